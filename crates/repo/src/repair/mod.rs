//! Mending a damaged repository by what it still holds itself (docs/guides/repairing.md).
//!
//! Invariants:
//! - A repair is planned first, and changes nothing until it is run. Everything it decides goes through the log, so that backups
//!   and collections may run meanwhile and any repair may be repeated.
//! - Nothing that can be read is dropped, and nothing is deleted: damaged bytes are copied to the quarantine before anything takes
//!   their place, and what an entry lets go is left to a collection.
//! - No cache is trusted.
//! - A copy is not repaired, not even planned: nothing is appended there, and what it lacks is its original's to give.
//!
//! `index` makes index segments from packs, `packs` saves what is intact in damaged packs, `snapshots` makes snapshots of what is
//! left of broken ones. What a copy of the repository still has is elsewhere: in `heal`.

mod index;
mod packs;
mod snapshots;
mod survey;

pub use index::{BrokenCheckpoint, BrokenSegment, DamagedPack, IndexPlan, IndexRepair, UnindexedPack};
pub use packs::{Depth, PackDamage, PacksPlan, PacksRepair};
pub use snapshots::{REPAIRED_FROM, RepairedSnapshot, SnapshotsPlan, SnapshotsRepair};
pub use survey::BrokenSnapshot;

use backstay_format::audit::Damaged;
use backstay_format::crypto::random;
use backstay_format::ids::WriterId;
use backstay_format::segment::Segment;
use bytes::Bytes;

use self::survey::is_loss;
use crate::error::{RepoError, Result};
use crate::names;
use crate::protocol::State;
use crate::repository::Repository;
use crate::store::Store;

/// Keeps the damaged bytes of an object, and says where.
pub(crate) fn quarantine(store: &Store, name: &str, bytes: Bytes) -> Result<String> {
    let place = names::quarantine(name, &bytes);
    store.put(&place, bytes)?;
    Ok(place)
}

/// Gives out every valid segment, from the store.
///
/// # Errors
/// [`RepoError::BrokenIndex`] where one cannot be read.
fn each_segment(repository: &Repository, state: &State, each: &mut dyn FnMut(&Segment)) -> Result<()> {
    for id in state.segments().keys() {
        match repository.fetch_segment(id) {
            Ok(segment) => each(&segment),
            Err(error) if is_loss(error.kind()) => return Err(RepoError::BrokenIndex { segment: *id }),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is known to be damaged.
fn known_damage(repository: &Repository) -> Result<Damaged> {
    Ok(repository.damaged()?.unwrap_or_default())
}

fn new_writer() -> Result<WriterId> {
    Ok(WriterId::new(random().map_err(RepoError::making("a writer id"))?))
}
