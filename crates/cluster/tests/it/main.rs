//! Tests of `backstay-cluster` over its public API: one binary, a module per topic.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod api_access;
mod api_basics;
mod api_faults;
mod api_secrets;
mod backup_chosen;
mod backup_runs;
mod backup_world;
mod look_diff;
mod look_export;
mod look_history;
mod look_live;
mod look_select;
mod look_snapshot;
mod plan_modifiers;
mod plan_real;
mod plan_rules;
mod restore_cases;
mod restore_managers;
mod restore_owners;
mod restore_runs;
mod restore_world;
mod support;
