//! Checkpoints: where opening begins, so that it need not read the whole log (docs/design/0002, section 11).
//!
//! Invariants:
//! - A checkpoint is what the entries up to its own come to, and nothing else. The log alone decides: any checkpoint may be
//!   missing, damaged or of another log at any time, which costs reading more entries.
//! - It is believed only where the entry that it names is the store's.

use std::collections::{BTreeMap, HashMap};

use backstay_format::FormatError;
use backstay_format::checkpoint::{Checkpoint, ForgottenSnapshot, ListedSnapshot};
use backstay_format::crypto::stored_hash;
use backstay_format::ids::EntryHash;
use backstay_format::log::LogEntry;
use bytes::Bytes;

use crate::error::{RepoError, Result, with_causes};
use crate::names;
use crate::protocol::{self, LetGo, Listed, State};
use crate::repository::{Repository, decode_entry};
use crate::salvage::stored;
use crate::store::Store;

/// From one checkpoint to the next, unless said otherwise: a remembered entry takes 15 µs to fold.
pub const CHECKPOINT_ENTRIES: u64 = 1024;
/// How many are kept: one may be damaged, or be put while another process lists them.
const KEPT: usize = 2;

/// The checkpoint of a log. Nothing before the first entry, and where a newer program changed what this one does not know.
pub(crate) fn of(state: &State, let_go: &LetGo) -> Option<Checkpoint> {
    let hash = state.hash().filter(|_| state.unknown_change().is_none())?;
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

/// The names of those that nobody needs where the log ends at `base`: all but the newest ones, and such as are of entries that are
/// not there.
pub(crate) fn outdated(store: &Store, base: u64) -> Result<Vec<String>> {
    let (ahead, behind): (Vec<u64>, Vec<u64>) = list(store)?.into_iter().partition(|slot| *slot > base);
    Ok(ahead.into_iter().chain(behind.into_iter().skip(KEPT)).map(names::checkpoint).collect())
}

impl Repository {
    /// The newest stored checkpoint past an entry that can be read and is of this log, and its stored bytes. Whatever is in the way
    /// of one is passed over: the entries say the same.
    pub(crate) fn newest_checkpoint(&self, after: u64) -> Option<(Checkpoint, Bytes)> {
        let slots = list(self.store()).unwrap_or_else(|error| {
            tracing::debug!(%error, "the checkpoints cannot be listed");
            Vec::new()
        });
        slots.into_iter().take_while(|slot| *slot > after).find_map(|slot| {
            let name = names::checkpoint(slot);
            let read = || -> Result<Option<(Checkpoint, Bytes)>> {
                let stored = self.store().get(&name)?;
                let checkpoint =
                    Checkpoint::open(self.keys(), slot, &stored).map_err(RepoError::damaged(name.clone()))?;
                let entry = self.store().get(&protocol::entry_name(slot))?;
                let is_of_this_log = checkpoint.hash == hash(&entry);
                Ok(is_of_this_log.then_some((checkpoint, stored)))
            };
            read().unwrap_or_else(|error| {
                tracing::debug!(error = with_causes(&error), "checkpoint {slot} is passed over");
                None
            })
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
    pub(crate) fn put_missed_checkpoint(&self) -> Result<()> {
        let base = self.base();
        let newest = list(self.store())?.into_iter().find(|slot| *slot <= base).unwrap_or_default();
        if base - newest >= 2 * self.options().checkpoint_entries {
            self.put_checkpoint();
        }
        Ok(())
    }

    /// What is wrong with which stored checkpoint, as far as the log can be read.
    pub(crate) fn wrong_checkpoints(&self) -> Result<BTreeMap<u64, String>> {
        let mut verification = Verification::begin(self)?;
        if verification.stored.is_empty() {
            return Ok(verification.wrong);
        }
        let read: HashMap<String, Bytes> = self.fetch_log_after(0)?.into_iter().collect();
        for slot in protocol::FIRST_SLOT..=self.base() {
            let stored = read.get(&protocol::entry_name(slot));
            let entry = stored.and_then(|stored| decode_entry(self.keys(), slot, stored).ok().zip(Some(hash(stored))));
            verification.follow(entry.as_ref().map(|(entry, hash)| (entry, *hash)));
        }
        Ok(verification.wrong)
    }
}

fn hash(stored: &[u8]) -> EntryHash {
    EntryHash::new(stored_hash(stored))
}

/// Compares stored checkpoints with what the entries come to.
#[derive(Default)]
pub(crate) struct Verification {
    state: State,
    let_go: LetGo,
    stored: BTreeMap<u64, Checkpoint>,
    /// No entry was missing or damaged so far.
    is_whole: bool,
    /// What is wrong with which checkpoint.
    wrong: BTreeMap<u64, String>,
}

impl Verification {
    /// Reads the stored checkpoints.
    pub(crate) fn begin(repository: &Repository) -> Result<Self> {
        let mut verification = Self { is_whole: true, ..Self::default() };
        for slot in list(repository.store())? {
            let name = names::checkpoint(slot);
            let read = || {
                stored(repository.store(), &name)
                    .map(|stored| stored.map(|it| Checkpoint::open(repository.keys(), slot, &it)))
            };
            // A second read tells a passing fault from damage.
            let again = |first| if matches!(first, Some(Err(_))) { read() } else { Ok(first) };
            match read().and_then(again)? {
                // A collection took it away, or it is of another version.
                None | Some(Err(FormatError::Version { .. })) => {}
                Some(Ok(checkpoint)) => drop(verification.stored.insert(slot, checkpoint)),
                Some(Err(error)) => drop(verification.wrong.insert(slot, error.to_string())),
            }
        }
        Ok(verification)
    }

    /// Goes on to an entry as it is stored; to none where it cannot be read.
    pub(crate) fn follow(&mut self, entry: Option<(&LogEntry, EntryHash)>) {
        let followed = entry.is_some_and(|(entry, hash)| {
            let is_next = self.is_whole && self.state.follow(entry, hash).is_ok();
            if is_next {
                self.let_go.note(entry.slot, &entry.change);
            }
            is_next
        });
        self.is_whole &= followed;
        if followed
            && let Some(checkpoint) = self.stored.remove(&self.state.slot())
            && of(&self.state, &self.let_go).is_none_or(|expected| expected != checkpoint)
        {
            self.wrong.insert(self.state.slot(), "it is not what the log says".to_owned());
        }
    }

    /// What is wrong with which checkpoint; and the state at the end of the log, if all of it could be read.
    pub(crate) fn end(self) -> (BTreeMap<u64, String>, Option<State>) {
        (self.wrong, self.is_whole.then_some(self.state))
    }
}
