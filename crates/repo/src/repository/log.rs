//! The log of a repository: read, remembered on this host, and followed.

use std::collections::VecDeque;
use std::sync::Arc;

use backstay_format::FormatError;
use backstay_format::checkpoint::Checkpoint;
use backstay_format::crypto::Keys;
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::EntryHash;
use backstay_format::log::{Change, LogEntry};
use bytes::Bytes;

use super::Repository;
use crate::checkpoint;
use crate::crew;
use crate::error::{RepoError, Result};
use crate::index::Cache;
use crate::names;
use crate::protocol::{self, FIRST_SLOT, LetGo, State};

/// The most a reader fetches of the log at a time.
const LOG_FETCH_THREADS: usize = 16;
/// Remembered entries that are opened together, and so many that a thread is worth it.
const LOG_DECODE_ENTRIES: usize = 4096;
const LOG_DECODE_ENTRIES_MIN: usize = 256;
/// Entries of a whole log that are in memory at a time.
const ENTRIES_AT_ONCE: usize = 1024;

/// What was read of the log.
#[derive(Default)]
pub(super) struct Log {
    pub(super) state: Arc<State>,
    pub(super) let_go: Arc<LetGo>,
    /// Entries read since the repository was opened: what a writer's conditions are checked against. No base is older.
    pub(super) later: Vec<(u64, Change)>,
    /// Entries before that are not kept, and a checkpoint may stand for them.
    pub(super) is_opening: bool,
    /// The checkpoint that this host has.
    pub(super) checkpoint: u64,
}

impl Log {
    /// To read on from here, without the entries before.
    fn ahead(&self) -> Self {
        Self {
            state: self.state.clone(),
            let_go: self.let_go.clone(),
            later: Vec::new(),
            is_opening: self.is_opening,
            checkpoint: self.checkpoint,
        }
    }

    /// Goes on to a checkpoint, which somebody has proven to be of this log, or will.
    fn resume(&mut self, checkpoint: Checkpoint) {
        self.checkpoint = checkpoint.slot;
        let (state, let_go) = checkpoint::resume(checkpoint);
        (self.state, self.let_go) = (Arc::new(state), Arc::new(let_go));
    }
}

impl Repository {
    /// Reads what came to the log since; returns whether anything did.
    pub fn catch_up(&self) -> Result<bool> {
        self.read_log()
    }

    pub(super) fn read_log(&self) -> Result<bool> {
        let _one_at_a_time = self.reading.lock();
        let mut ahead = self.log.lock().ahead();
        let start = ahead.state.slot();
        self.follow_cached(&mut ahead)?;
        let remembered = ahead.state.slot();
        if ahead.is_opening && remembered == 0 {
            self.resume_stored(&mut ahead);
        }
        let mut listed = self.list_log_after(ahead.state.slot())?;
        let is_far = listed.len() as u64 > self.options.checkpoint_entries;
        if ahead.is_opening && remembered > 0 && is_far && self.resume_stored(&mut ahead) {
            let after = protocol::entry_name(ahead.state.slot());
            listed.retain(|name| *name > after);
        }
        let mut fetched = self.fetch_log(listed)?;
        loop {
            let slot = ahead.state.next_slot();
            let Some(stored) = self.next_entry(slot, &mut fetched)? else { break };
            self.follow(&mut ahead, slot, &stored)?;
            self.index_file()?.log_cache_put(slot, &stored);
        }
        self.remember_checkpoint(&mut ahead);
        let mut log = self.log.lock();
        // Entries that were appended here meanwhile are there already.
        let known = log.state.slot();
        if ahead.state.slot() > known {
            log.later.extend(ahead.later.into_iter().filter(|(slot, _)| *slot > known));
            (log.state, log.let_go, log.checkpoint) = (ahead.state, ahead.let_go, ahead.checkpoint);
        }
        Ok(log.state.slot() != start)
    }

    /// Whether the log has an entry past this one by now.
    pub(super) fn has_gone_on(&self, slot: u64) -> Result<bool> {
        self.read_log()?;
        Ok(self.base() != slot)
    }

    /// Begins at the newest checkpoint of the store, if there is one past what is known.
    fn resume_stored(&self, log: &mut Log) -> bool {
        let Some((checkpoint, stored)) = self.newest_checkpoint(&(log.state.next_slot()..=u64::MAX)) else {
            return false;
        };
        log.resume(checkpoint);
        if self.options.cache != Cache::None
            && let Ok(index) = self.index_file()
        {
            index.checkpoint_put(log.checkpoint, &stored);
        }
        true
    }

    /// Keeps a checkpoint on this host, so that the next process need not go through the same entries.
    fn remember_checkpoint(&self, log: &mut Log) {
        let is_far = log.state.slot() - log.checkpoint >= self.options.checkpoint_entries;
        if !log.is_opening || !is_far || self.options.cache == Cache::None {
            return;
        }
        let sealed = checkpoint::of(&log.state, &log.let_go).map(|checkpoint| checkpoint.seal(&self.keys));
        if let Some(Ok(stored)) = sealed
            && let Ok(index) = self.index_file()
        {
            log.checkpoint = log.state.slot();
            index.checkpoint_put(log.checkpoint, &stored);
        }
    }

    /// Follows the entries that this host remembers, as far as they are still the store's: one request proves them all, as
    /// each names the one before it, and so does a checkpoint. A bucket that was put back to an earlier state must not be added to
    /// past its end.
    fn follow_cached(&self, log: &mut Log) -> Result<()> {
        let index = self.index_file()?;
        let before = log.ahead();
        let later = log.later.len();
        let mut is_sound = true;
        if log.is_opening
            && let Some((slot, stored)) = index.checkpoint_get()
        {
            match Checkpoint::open(&self.keys, slot, &stored) {
                Ok(checkpoint) => log.resume(checkpoint),
                // Another version's is as good as none; but its entries are not kept.
                Err(_) => is_sound = false,
            }
        }
        while is_sound {
            let remembered = index.log_cache_after(log.state.slot(), LOG_DECODE_ENTRIES);
            if remembered.is_empty() {
                break;
            }
            let decode =
                |(slot, stored): &(u64, Bytes)| Ok((decode_entry(&self.keys, *slot, stored)?, EntryHash::of(stored)));
            let threads = crew::cores().min(remembered.len() / LOG_DECODE_ENTRIES_MIN + 1);
            let decoded = crew::map(&self.store, threads, &remembered, decode);
            is_sound =
                decoded.is_ok_and(|entries| entries.into_iter().all(|(entry, hash)| fold(log, entry, hash).is_ok()));
        }
        let newest = log.state.slot();
        if is_sound && newest > before.state.slot() {
            is_sound = match self.store.get(&protocol::entry_name(newest)) {
                Ok(stored) => log.state.hash() == Some(EntryHash::of(&stored)),
                Err(error) if error.kind() == crate::store::ErrorKind::NotFound => false,
                Err(error) => return Err(error.into()),
            };
        }
        if !is_sound {
            tracing::info!("the remembered log is not the store's and is read again");
            index.log_cache_clear();
            log.later.truncate(later);
            *log = Log { later: std::mem::take(&mut log.later), ..before };
        }
        Ok(())
    }

    /// The entry of a slot: the first of those fetched, or from the store itself. A listing may be late; the object decides.
    fn next_entry(&self, slot: u64, fetched: &mut VecDeque<(String, Bytes)>) -> Result<Option<Bytes>> {
        let name = protocol::entry_name(slot);
        let first = fetched.pop_front();
        if let Some((found, stored)) = &first
            && *found == name
        {
            return Ok(Some(stored.clone()));
        }
        match self.store.get(&name) {
            Ok(stored) => Ok(Some(stored)),
            Err(error) if error.kind() == crate::store::ErrorKind::NotFound => match first {
                // What a copying has not finished yet (docs/design/0005).
                Some(_) if self.is_copy()? => Ok(None),
                Some((later, _)) => {
                    Err(RepoError::LogGap { slot, later: protocol::entry_slot(&later).unwrap_or(slot) })
                }
                None => Ok(None),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The names of the entries after a slot, as far as a listing shows them.
    fn list_log_after(&self, slot: u64) -> Result<Vec<String>> {
        let listed = self.store.list_after(names::LOG, &protocol::entry_name(slot))?;
        Ok(listed.into_iter().map(|object| object.name).filter(|name| protocol::entry_slot(name).is_some()).collect())
    }

    /// Entries after a slot.
    pub(crate) fn fetch_log_after(&self, slot: u64) -> Result<VecDeque<(String, Bytes)>> {
        self.fetch_log(self.list_log_after(slot)?)
    }

    /// Many at a time: opening a repository with years of history should not take a request after another.
    fn fetch_log(&self, wanted: Vec<String>) -> Result<VecDeque<(String, Bytes)>> {
        let threads = LOG_FETCH_THREADS.min(wanted.len() / 8 + 1);
        let fetched = crew::map(&self.store, threads, &wanted, |name| Ok(self.store.get(name)?))?;
        Ok(wanted.into_iter().zip(fetched).collect())
    }

    pub(super) fn follow(&self, log: &mut Log, slot: u64, stored: &[u8]) -> Result<()> {
        fold(log, decode_entry(&self.keys, slot, stored)?, EntryHash::of(stored))
    }

    /// Gives out every entry of the log up to the last one read with the hash of its bytes, in order; from the store, many at a time.
    pub(crate) fn each_entry(&self, each: &mut dyn FnMut(Result<(LogEntry, EntryHash)>) -> Result<()>) -> Result<()> {
        let slots: Vec<u64> = (FIRST_SLOT..=self.base()).collect();
        for slots in slots.chunks(ENTRIES_AT_ONCE) {
            let read = |slot: &u64| -> Result<(LogEntry, EntryHash)> {
                let stored = self.store.get(&protocol::entry_name(*slot))?;
                Ok((decode_entry(&self.keys, *slot, &stored)?, EntryHash::of(&stored)))
            };
            let entries = crew::map(&self.store, LOG_FETCH_THREADS, slots, |slot| Ok(read(slot)))?;
            for entry in entries {
                each(entry)?;
            }
        }
        Ok(())
    }

    /// What the log as last read ever let go.
    pub fn let_go(&self) -> Arc<LetGo> {
        self.log.lock().let_go.clone()
    }

    /// State, and what was let go, both at the same entry.
    pub(crate) fn fold(&self) -> (Arc<State>, Arc<LetGo>) {
        let log = self.log.lock();
        (log.state.clone(), log.let_go.clone())
    }

    /// Whatever this host remembers of the log: it is read again.
    pub(crate) fn forget_remembered_log(&self) {
        if let Ok(index) = self.index_file() {
            index.log_cache_clear();
        }
    }

    /// The changes after a slot, as far as the log was read. `slot` is not older than the opening of the repository.
    pub fn changes_after(&self, slot: u64) -> Vec<(u64, Change)> {
        self.log.lock().later.iter().filter(|(later, _)| *later > slot).cloned().collect()
    }

    /// The slot up to which the log was read: a writer's base.
    pub fn base(&self) -> u64 {
        self.log.lock().state.slot()
    }
}

/// Goes on to an entry whose stored bytes hash to `hash`.
fn fold(log: &mut Log, entry: LogEntry, hash: EntryHash) -> Result<()> {
    Arc::make_mut(&mut log.state).follow(&entry, hash).map_err(RepoError::Log)?;
    // Others may look at the old one, which is large after years.
    if LetGo::is_touched_by(&entry.change) {
        Arc::make_mut(&mut log.let_go).note(entry.slot, &entry.change);
    }
    if !log.is_opening {
        log.later.push((entry.slot, entry.change));
    }
    Ok(())
}

/// Reads one log entry that was stored for this slot.
pub(crate) fn decode_entry(keys: &Keys, slot: u64, stored: &[u8]) -> Result<LogEntry> {
    let name = || protocol::entry_name(slot);
    let document = envelope::open(keys, EnvelopeKind::LogEntry, &slot.to_le_bytes(), stored)
        .map_err(|source| RepoError::Damaged { object: name(), source })?;
    let entry: LogEntry = serde_json::from_slice(&document).map_err(|error| RepoError::Damaged {
        object: name(),
        source: FormatError::Invalid { what: "a log entry", detail: error.to_string() },
    })?;
    if entry.slot != slot {
        let detail = format!("it says that it is entry {}", entry.slot);
        return Err(RepoError::Damaged {
            object: name(),
            source: FormatError::Invalid { what: "a log entry", detail },
        });
    }
    Ok(entry)
}
