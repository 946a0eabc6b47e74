//! Tests of the repository over its public interface.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod audits;
mod check;
mod checkpoints;
mod collect;
mod copy;
mod faults;
mod forget;
mod heal;
mod index;
mod marks;
mod matrix;
mod mending;
mod model;
mod protocol;
mod repair;
mod repair_index;
mod repair_packs;
mod repair_snapshots;
mod repository;
mod retention;
mod scene;
mod store;
mod store_servers;
mod trees;
