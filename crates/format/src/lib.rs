//! Turns bytes and metadata into the exact stored bytes and back, verifying every id.
//!
//! Owns every byte layout of a repository (docs/format.md). No IO, no async, no clock: what is random is drawn from the
//! system's generator in one place (`crypto`). No input makes it panic; what cannot be read is a [`FormatError`].

pub mod audit;
pub mod checkpoint;
pub mod chunker;
pub mod compress;
pub mod config;
pub mod crypto;
pub mod envelope;
mod error;
pub mod ids;
pub mod log;
mod memory;
pub mod pack;
pub mod record;
pub mod segment;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod tree;
mod wire;

pub use error::{FormatError, Result};
