//! What the format promises for ever: stored objects of every kind, made once, that must open, and encodings byte by byte.
#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod fuzz_seeds;
mod golden;
mod vectors;
