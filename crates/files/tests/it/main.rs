//! Tests of `backstay-files` over its public API: one binary, a module per topic.
#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod backup;
mod filter;
mod restore;
mod restore_existing;
mod restore_hostile;
mod restore_world;
mod walk;
