//! Development only: what several crates' tests need.

pub mod clock;
pub mod cluster;
pub mod data;
pub mod faulty;
pub mod kill;
pub mod objects;
mod process;
pub mod proxy;
pub mod servers;
pub mod simulation;

/// A store in memory, for crates that may not name `object_store`.
pub use object_store::memory::InMemory;
