//! Packs from one store to another: several at once, within a budget of memory, each proven by its name before it goes on.

use backstay_format::crypto::stored_hash;
use backstay_format::ids::PackId;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::crew;
use crate::error::{RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::store::{ErrorKind, Store};

const THREADS: usize = 8;

/// What is wrong with an object whose name is the hash of other bytes.
pub(crate) const OTHER_BYTES: &str = "its bytes are not those its name says";

/// What became of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Missing,
    /// Read twice, and not what its name says.
    Damaged,
}

/// Reads packs, whose sizes are given in bytes, and hands over the bytes of those that are intact. Outcomes are in the packs' order.
///
/// # Errors
/// The first that a request or `take` met; packs under way are finished.
pub(crate) fn packs(
    source: &Store,
    packs: &[(PackId, u64)],
    memory_bytes: usize,
    progress: &Progress,
    take: &(dyn Fn(&PackId, Bytes) -> Result<()> + Sync),
) -> Result<Vec<Outcome>> {
    let budget =
        Budget { free: Mutex::new(memory_bytes as u64), given_back: Condvar::new(), total: memory_bytes as u64 };
    crew::map(source, THREADS, packs, |(id, size_bytes)| {
        if progress.is_cancelled() {
            return Err(RepoError::Interrupted);
        }
        let share = budget.take(*size_bytes);
        let outcome = one(source, id, take);
        budget.give_back(share);
        Progress::add(&progress.items_done, 1);
        Progress::add(&progress.bytes_done, *size_bytes);
        outcome
    })
}

fn one(source: &Store, id: &PackId, take: &(dyn Fn(&PackId, Bytes) -> Result<()> + Sync)) -> Result<Outcome> {
    // A second read tells a passing fault from stored damage.
    for _ in 0..2 {
        match source.get(&names::pack(id)) {
            Ok(bytes) if stored_hash(&bytes) == *id.as_bytes() => return take(id, bytes).map(|()| Outcome::Done),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Outcome::Missing),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome::Damaged)
}

/// Bytes that may be in memory at once.
struct Budget {
    free: Mutex<u64>,
    given_back: Condvar,
    total: u64,
}

impl Budget {
    /// What is larger than all of it goes alone.
    fn take(&self, bytes: u64) -> u64 {
        let share = bytes.min(self.total);
        let mut free = self.free.lock();
        while *free < share {
            self.given_back.wait(&mut free);
        }
        *free -= share;
        share
    }

    fn give_back(&self, share: u64) {
        *self.free.lock() += share;
        self.given_back.notify_all();
    }
}
