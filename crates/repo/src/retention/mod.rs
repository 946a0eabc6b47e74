//! Which snapshots a policy keeps, and why.
//!
//! Invariants:
//! - Pure: no storage and no clock; the time is an argument, and everything is decided from the snapshots that are listed. So a
//!   decision can be made again on a newer state, and the same one always comes out.
//! - Whatever is in doubt is kept: what is held, what bears no readable time or one in the future, what was promised to be kept
//!   until later, and the newest accepted snapshot of each source.
//! - What does not count (flagged, unfinished, from the future, expired) takes no place of one that does.
//! - Deciding again on what was kept lets nothing more go.
//!
//! Elsewhere: appending what was decided (`forget`), holds (`amend`).

mod decision;
mod period;
mod policy;

pub use decision::{Gone, Judged, Kept, Verdict, decide};
pub(crate) use decision::{namers, newest_accepted};
pub use period::Period;
pub use policy::{Policy, Rule};
