//! The test kit's own promises.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod cluster;
mod made;
