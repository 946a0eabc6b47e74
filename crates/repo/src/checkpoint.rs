//! Checkpoints: where opening begins, so that it need not read the whole log (docs/design/0002, section 11).
//!
//! Invariants:
//! - A checkpoint is what the entries up to its own come to, and nothing else. The log alone decides: any checkpoint may be
//!   missing, damaged or of another log at any time, which costs reading more entries.
//! - It is believed only where the entry that it names is the store's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use backstay_format::FormatError;
use backstay_format::checkpoint::{Checkpoint, ForgottenSnapshot, ListedSnapshot};
use backstay_format::ids::EntryHash;
use backstay_format::log::{LogEntry, SnapshotKind};
use bytes::Bytes;

use crate::error::{ErrorKind, RepoError, Result, with_causes};
use crate::names;
use crate::protocol::{self, FIRST_SLOT, LetGo, Listed, State};
use crate::repository::Repository;
use crate::salvage::stored;
use crate::store::Store;

/// From one checkpoint to the next, unless said otherwise: a remembered entry takes 15 µs to fold.
pub const CHECKPOINT_ENTRIES: u64 = 1024;
/// How many are kept: one may be damaged, or be put while another process lists them.
const KEPT: usize = 2;

/// The checkpoint of a log. Nothing before the first entry, and where a newer program said what this one does not know and could not
/// say again.
pub(crate) fn of(state: &State, let_go: &LetGo) -> Option<Checkpoint> {
    let hash = state.hash().filter(|_| state.unknown_change().is_none())?;
    let forgotten = state.forgotten().values().map(|forgotten| &forgotten.snapshot);
    if state.listed().values().chain(forgotten).any(|listed| listed.record.kind == SnapshotKind::Other) {
        return None;
    }
    let snapshot = |listed: &Listed| ListedSnapshot { slot: listed.slot, record: (*listed.record).clone() };
    let forgotten = state.forgotten().values();
    Some(Checkpoint {
        slot: state.slot(),
        hash,
        listed: state.listed().values().map(snapshot).collect(),
        forgotten: forgotten
            .map(|it| ForgottenSnapshot { forgotten: it.slot, snapshot: snapshot(&it.snapshot) })
            .collect(),
        segments: state.segments().values().cloned().collect(),
        retired: rows(state.retired()),
        condemned: rows(state.condemned()),
        packs_let_go: rows(&let_go.packs),
        segments_let_go: rows(&let_go.segments),
        ever_condemned: rows(&let_go.condemned),
    })
}

/// The log that a checkpoint is of.
pub(crate) fn resume(checkpoint: Checkpoint) -> (State, LetGo) {
    let let_go = LetGo {
        packs: checkpoint.packs_let_go.iter().copied().collect(),
        segments: checkpoint.segments_let_go.iter().copied().collect(),
        condemned: checkpoint.ever_condemned.iter().copied().collect(),
    };
    (State::resume(checkpoint), let_go)
}

/// A table in order of ids.
fn rows<'a, T: Copy + Ord + 'a>(table: impl IntoIterator<Item = (&'a T, &'a u64)>) -> Vec<(T, u64)> {
    let mut rows: Vec<_> = table.into_iter().map(|(id, slot)| (*id, *slot)).collect();
    rows.sort_unstable();
    rows
}

/// The entries that stored checkpoints are of, the newest first.
pub(crate) fn list(store: &Store) -> Result<Vec<u64>> {
    let listed = store.list(names::CHECKPOINTS)?;
    let mut slots: Vec<_> = listed.iter().filter_map(|object| names::checkpoint_slot(&object.name)).collect();
    slots.sort_unstable_by_key(|slot| std::cmp::Reverse(*slot));
    Ok(slots)
}

/// The names of those listed that nobody needs where the log ends at `base`: all but the newest ones, and such as are of entries
/// that are not there. The log was read after the listing.
pub(crate) fn outdated(listed: Vec<u64>, base: u64) -> Vec<String> {
    let (ahead, behind): (Vec<u64>, Vec<u64>) = listed.into_iter().partition(|slot| *slot > base);
    ahead.into_iter().chain(behind.into_iter().skip(KEPT)).map(names::checkpoint).collect()
}

impl Repository {
    /// The newest stored checkpoint of one of these entries that can be read and is of this log, and its stored bytes. Whatever is in
    /// the way of one is passed over: the entries say the same.
    pub(crate) fn newest_checkpoint(&self, of: &RangeInclusive<u64>) -> Option<(Checkpoint, Bytes)> {
        let slots = list(self.store()).unwrap_or_else(|error| {
            tracing::debug!(%error, "the checkpoints cannot be listed");
            Vec::new()
        });
        slots.into_iter().filter(|slot| of.contains(slot)).find_map(|slot| {
            let read = || -> Result<_> { proven(self, slot, &self.store().get(&names::checkpoint(slot))?) };
            match read() {
                Ok(read) => Some(read),
                Err(error) => {
                    tracing::debug!(error = with_causes(&error), "checkpoint {slot} is passed over");
                    None
                }
            }
        })
    }

    /// Stores the checkpoint of the log as last read, for whoever opens it with nothing remembered. Nobody misses one that fails.
    pub(crate) fn put_checkpoint(&self) {
        let (state, let_go) = self.fold();
        let Some(checkpoint) = of(&state, &let_go) else { return };
        let slot = checkpoint.slot;
        let put = || -> Result<()> {
            let sealed = checkpoint.seal(self.keys()).map_err(RepoError::making("a checkpoint"))?;
            self.store().create(&names::checkpoint(slot), sealed.into())?;
            Ok(())
        };
        if let Err(error) = put() {
            tracing::debug!(error = with_causes(&error), "checkpoint {slot} was not stored");
        }
    }

    /// Stores one where those that appended the entries of the last two did not.
    pub(crate) fn put_missed_checkpoint(&self) {
        let base = self.base();
        let newest = self.newest_checkpoint(&(FIRST_SLOT..=base)).map_or(0, |(checkpoint, _)| checkpoint.slot);
        if base - newest >= 2 * self.options().checkpoint_entries {
            self.put_checkpoint();
        }
    }

    /// What is wrong with which stored checkpoint, as far as the log can be read.
    pub(crate) fn wrong_checkpoints(&self) -> Result<BTreeMap<u64, String>> {
        let mut verification = Verification::begin(self)?;
        if !verification.slots.is_empty() {
            self.each_entry(&mut |entry| match entry {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                    verification.follow(None)
                }
                entry => verification.follow(Some(&entry?)),
            })?;
        }
        Ok(verification.end()?.wrong)
    }
}

/// A stored checkpoint, if it can be read and the entry that it names is in this log.
fn proven(repository: &Repository, slot: u64, stored: &Bytes) -> Result<(Checkpoint, Bytes)> {
    let damaged = || RepoError::damaged(names::checkpoint(slot));
    let checkpoint = Checkpoint::open(repository.keys(), slot, stored).map_err(damaged())?;
    let entry = repository.store().get(&protocol::entry_name(slot))?;
    if checkpoint.hash == EntryHash::of(&entry) {
        return Ok((checkpoint, stored.clone()));
    }
    let detail = "it is of another log".to_owned();
    Err(damaged()(FormatError::Invalid { what: "a checkpoint", detail }))
}

/// Compares stored checkpoints with what the entries come to.
pub(crate) struct Verification<'r> {
    repository: &'r Repository,
    state: State,
    let_go: LetGo,
    /// Those that were not come to yet.
    slots: BTreeSet<u64>,
    /// No entry was missing or damaged so far.
    is_whole: bool,
    /// What is wrong with which checkpoint.
    wrong: BTreeMap<u64, String>,
}

/// What a [`Verification`] showed.
pub(crate) struct Verified {
    /// What is wrong with which checkpoint.
    pub(crate) wrong: BTreeMap<u64, String>,
    /// What the whole log comes to, if all of it could be read.
    pub(crate) whole: Option<(State, LetGo)>,
}

impl<'r> Verification<'r> {
    pub(crate) fn begin(repository: &'r Repository) -> Result<Self> {
        Ok(Self {
            repository,
            state: State::default(),
            let_go: LetGo::default(),
            slots: list(repository.store())?.into_iter().collect(),
            is_whole: true,
            wrong: BTreeMap::new(),
        })
    }

    /// Goes on to an entry as it is stored; to none where it cannot be read.
    pub(crate) fn follow(&mut self, entry: Option<&(LogEntry, EntryHash)>) -> Result<()> {
        let followed = entry.is_some_and(|(entry, hash)| {
            let is_next = self.is_whole && self.state.follow(entry, *hash).is_ok();
            if is_next {
                self.let_go.note(entry.slot, &entry.change);
            }
            is_next
        });
        self.is_whole &= followed;
        let slot = self.state.slot();
        if followed && self.slots.remove(&slot) {
            let expected = of(&self.state, &self.let_go);
            self.look(slot, &|checkpoint| expected.as_ref() == Some(checkpoint))?;
        }
        Ok(())
    }

    /// Reads a checkpoint, twice where the first reading fails: so a passing fault is told from damage.
    fn look(&mut self, slot: u64, is_right: &dyn Fn(&Checkpoint) -> bool) -> Result<()> {
        let name = names::checkpoint(slot);
        let read = || -> Result<Option<std::result::Result<Checkpoint, FormatError>>> {
            let stored = stored(self.repository.store(), &name)?;
            Ok(stored.map(|stored| Checkpoint::open(self.repository.keys(), slot, &stored)))
        };
        let first = read()?;
        let problem = match if matches!(first, Some(Err(_))) { read()? } else { first } {
            // A collection took it away, or it is of another version.
            None | Some(Err(FormatError::Version { .. })) => return Ok(()),
            Some(Ok(checkpoint)) if is_right(&checkpoint) => return Ok(()),
            Some(Ok(_)) => "it is not what the log says".to_owned(),
            Some(Err(error)) => error.to_string(),
        };
        self.wrong.insert(slot, problem);
        Ok(())
    }

    /// Of a checkpoint behind a damaged entry only that can be said whether it can be read and is of this log.
    pub(crate) fn end(mut self) -> Result<Verified> {
        for slot in std::mem::take(&mut self.slots) {
            let entry =
                stored(self.repository.store(), &protocol::entry_name(slot))?.map(|entry| EntryHash::of(&entry));
            self.look(slot, &|checkpoint| Some(checkpoint.hash) == entry)?;
        }
        Ok(Verified { wrong: self.wrong, whole: self.is_whole.then_some((self.state, self.let_go)) })
    }
}
