//! Moves directory trees in and out of a repository faithfully.

pub mod backup;
mod error;
pub mod filter;
pub mod restore;
pub mod walk;

pub use error::FilesError;
