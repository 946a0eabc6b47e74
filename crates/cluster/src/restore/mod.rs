//! Restoring: a plan, and its application.
//!
//! Everything up to the plan only reads. `prepare` says, without a server, what an object of a snapshot becomes; `plan` holds that
//! against the target; `apply` prepares the same again and writes it, so that a plan never carries an object.

pub mod document;
pub mod modifiers;
pub mod options;
pub mod order;
pub mod prepare;

pub use document::{Action, ActionKind, Live, OwnerInPlan, Plan, PlanError, PlanItem};
pub use modifiers::ResourceModifiers;
pub use options::{ExistingPolicy, ImageMapping, RestoreOptions, StatusChoice};
pub use prepare::{Prepared, Preparer};
