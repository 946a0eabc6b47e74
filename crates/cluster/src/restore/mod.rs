//! Restoring: a plan, and its application.
//!
//! Everything up to the plan only reads. `prepare` says, without a server, what an object of a snapshot becomes; `plan` holds that
//! against the target; `apply` prepares the same again and writes it, so that a plan never carries an object.

mod apply;
pub mod compare;
pub mod document;
mod examine;
mod immutable;
mod journal;
mod managers;
pub mod modifiers;
pub mod options;
pub mod order;
mod outcome;
mod owners;
mod pace;
pub mod plan;
pub mod prepare;
mod references;
mod refusal;
mod scope;
mod try_out;
mod wait;
mod write;

pub use apply::{ApplyOptions, apply};
pub use document::{Action, ActionKind, Live, OwnerInPlan, Plan, PlanError, PlanItem};
pub use journal::JournalError;
pub use managers::OWN_MANAGER;
pub use modifiers::ResourceModifiers;
pub use options::{ExistingPolicy, ImageMapping, RestoreOptions, StatusChoice};
pub use outcome::{Cause, Group, ItemOutcome, ItemResult, Outcome};
pub use plan::plan;
pub use prepare::{Prepared, PreparedObject, Preparer, Volumes};
pub use wait::{NotReady, Reason};
