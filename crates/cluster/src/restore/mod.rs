//! Restoring: a plan, and its application.
//!
//! Everything up to the plan only reads. `prepare` says, without a server, what an object of a snapshot becomes; `plan` holds that
//! against the target; `apply` prepares the same again and writes it, so that a plan never carries an object.

pub mod compare;
pub mod document;
mod immutable;
pub mod modifiers;
pub mod options;
pub mod order;
pub mod plan;
pub mod prepare;
mod scope;
mod try_out;

pub use document::{Action, ActionKind, Live, OwnerInPlan, Plan, PlanError, PlanItem};
pub use modifiers::ResourceModifiers;
pub use options::{ExistingPolicy, ImageMapping, RestoreOptions, StatusChoice};
pub use plan::plan;
pub use prepare::{Prepared, PreparedObject, Preparer, Volumes};
