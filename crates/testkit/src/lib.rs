//! Development only: what several crates' tests need.

pub mod clock;
pub mod faulty;
pub mod servers;
