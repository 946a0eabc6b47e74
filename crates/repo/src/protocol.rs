//! The log protocol's decisions: what the entries of the log add up to, and when a change may be appended.
//!
//! Invariants:
//! - Pure: no storage, no clock, no randomness, no threads. The checks of docs/design/0002 are exactly these functions, and the
//!   model in `tests/it/model` evaluates these functions too, so that the two cannot drift apart.
//! - What [`check_append`] allows, [`State::apply`] accepts at the next slot.
//! - Slots are the only time there is. Ages and heartbeats decide when something is tried, never here.
//!
//! Elsewhere: the documents (`backstay_format::log`), reading and appending entries, and the work of each role.

mod conditions;
mod let_go;
mod state;

pub use conditions::{Proposal, Violation, WriterIntent, affects_marks, check_append, check_writer};
pub use let_go::LetGo;
pub use state::{Forgotten, Listed, ProtocolError, State};

/// The first slot of every log.
pub const FIRST_SLOT: u64 = 1;

/// Slots per folder, which bounds the size of a directory.
const SLOTS_PER_FOLDER: u64 = 4096;

/// Where the entry of `slot` is stored: of fixed width, so that names sort as slots do.
pub fn entry_name(slot: u64) -> String {
    format!("log/{:08x}/{slot:016x}", slot / SLOTS_PER_FOLDER)
}

/// The slot that `name` is for, or `None` if it is no log entry's name.
pub fn entry_slot(name: &str) -> Option<u64> {
    let slot = u64::from_str_radix(name.rsplit('/').next()?, 16).ok()?;
    (entry_name(slot) == name).then_some(slot)
}
