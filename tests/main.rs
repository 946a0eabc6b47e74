//! End-to-end stories over the real binary, one module each.
//!
//! Everything here goes through the command line, as a user's shell would. What a crate promises on its own is tested in
//! that crate, where a test costs a hundredth.
#![expect(clippy::unwrap_used, reason = "a story ends where one of its steps fails")]

mod audits;
mod caches;
mod cluster_backup;
mod collecting;
mod copies;
mod damage;
mod damage_kinds;
mod documents;
mod exit_codes;
mod hosts;
mod interrupts;
mod keys;
mod kills;
mod looking;
mod memory;
mod mounts;
mod old_repositories;
mod quick_start;
mod reference;
mod repairs;
mod restore_cluster;
mod retention;
mod secrets;
mod stores;
mod typing;
mod world;
