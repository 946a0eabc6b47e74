//! Moves directory trees in and out of a repository faithfully.

pub mod filter;
pub mod walk;
