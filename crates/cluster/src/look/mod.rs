//! Looking into snapshots: objects by kind and name, what differs between two states, and what became of an object over time.
//!
//! Nothing here needs a cluster but [`diff::diff_live`]. What is compared hides the values of Secrets (`redact`); what is asked for
//! as it is, [`select::select`] gives as it is. How things are printed is the command line's.

pub mod diff;
pub mod export;
pub mod fields;
pub mod history;
pub mod kinds;
pub mod redact;
pub mod select;

pub use fields::{FieldChange, FieldOptions, diff_objects};
pub use kinds::{resolve_kind, resolve_kinds};
pub use redact::{hide_secrets, hide_secrets_of_pair};

/// What was asked for is not there.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("no kind {text:?}")]
    UnknownKind {
        text: String,
        /// Names that there are and that may have been meant.
        near: Vec<String>,
    },
    #[error("kind {text:?} could be {}", .candidates.join(" or "))]
    AmbiguousKind { text: String, candidates: Vec<String> },
}
