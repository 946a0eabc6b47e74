//! A repository: made, opened, its log followed and appended to.
//!
//! The bucket is the truth: everything here can be thrown away and read again. Nothing is ever locked.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use backstay_format::FormatError;
use backstay_format::checkpoint::Checkpoint;
use backstay_format::config::{Access, Config, KeySlot, Secret};
use backstay_format::crypto::{Keys, MasterKey, random, stored_hash};
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{EntryHash, KeyId, RepositoryId, SegmentId, SnapshotId, WriterId};
use backstay_format::log::{Change, Extra, LogEntry, SegmentRecord, SnapshotRecord};
use backstay_format::segment::Segment;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::checkpoint::{self, CHECKPOINT_ENTRIES};
use crate::clock::Clock;
use crate::copy::{self, CopyError};
use crate::crew;
use crate::error::{ErrorKind, RepoError, Result};
use crate::index::{Cache, IndexError, LocalIndex, SegmentSource};
use crate::names;
use crate::protocol::{self, FIRST_SLOT, LetGo, Proposal, State, Violation, WriterIntent};
use crate::reserve;
use crate::salvage::stored;
use crate::store::{Created, Store};

/// The most a reader fetches of the log at a time.
const LOG_FETCH_THREADS: usize = 16;
/// Remembered entries that are opened together, and so many that a thread is worth it.
const LOG_DECODE_ENTRIES: usize = 4096;
const LOG_DECODE_ENTRIES_MIN: usize = 256;
/// Entries of a whole log that are in memory at a time.
const ENTRIES_AT_ONCE: usize = 1024;
/// Lost races for a slot before an append gives up: every lost one is another's progress.
const APPEND_ATTEMPTS_MAX: u32 = 1000;

/// How a repository is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub cache: Cache,
    pub clock: Clock,
    /// What appends to the log: name and version.
    pub program: String,
    /// The most that reading and writing may hold in memory at once.
    pub memory_bytes: usize,
    /// Entries of the log from one checkpoint to the next.
    pub checkpoint_entries: u64,
}

/// The default ceiling for a whole process.
pub const MEMORY_BYTES_DEFAULT: usize = 256 << 20;

impl OpenOptions {
    pub fn new(cache: Cache) -> Self {
        Self {
            cache,
            clock: Clock::system(),
            program: format!("backstay {}", env!("CARGO_PKG_VERSION")),
            memory_bytes: MEMORY_BYTES_DEFAULT,
            checkpoint_entries: CHECKPOINT_ENTRIES,
        }
    }

    pub fn with_cache_folder(folder: PathBuf) -> Self {
        Self::new(Cache::Folder(folder))
    }
}

/// An open repository.
pub struct Repository {
    store: Store,
    keys: Keys,
    config: Config,
    access: Access,
    options: OpenOptions,
    /// Locked for moments only, never during a request.
    log: Mutex<Log>,
    /// Held while the log is read on: one reading at a time.
    reading: Mutex<()>,
    /// Entries that the store was asked to create and gave no answer about.
    unanswered: Mutex<VecDeque<(u64, Bytes)>>,
    index: OnceLock<LocalIndex>,
    /// The slot whose state the index shows; `NEVER` before the first refresh.
    refreshed: AtomicU64,
    /// Held while the index is brought up to a state: one refresh at a time.
    refresh: Mutex<()>,
    rebuilt_for_a_read: AtomicBool,
    /// Known to be no copy; it will never be one.
    is_no_copy: AtomicBool,
    is_exclusive: bool,
}

const NEVER: u64 = u64::MAX;

/// What was read of the log.
#[derive(Default)]
struct Log {
    state: Arc<State>,
    let_go: Arc<LetGo>,
    /// Entries read since the repository was opened: what a writer's conditions are checked against. No base is older.
    later: Vec<(u64, Change)>,
    /// Entries before that are not kept, and a checkpoint may stand for them.
    is_opening: bool,
    /// The checkpoint that this host has.
    checkpoint: u64,
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

/// Who appends an entry, and what the change in it rests on.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    pub writer: WriterId,
    /// For the audit: `backup`, `forget`, `gc` …
    pub reason: &'a str,
    /// The newest entry that the work behind the change has taken into account.
    pub base: u64,
    pub intent: &'a WriterIntent,
    /// Those of the change's removed segments whose entries live on in its added ones.
    pub replaced_segments: &'a BTreeSet<SegmentId>,
}

impl<'a> Append<'a> {
    /// One that relies on nothing but the state at hand.
    pub fn new(writer: WriterId, reason: &'a str, base: u64) -> Self {
        static NOTHING: WriterIntent = WriterIntent {
            own_packs: BTreeSet::new(),
            own_segments: BTreeSet::new(),
            relied_packs: BTreeSet::new(),
            parents: BTreeSet::new(),
        };
        static NONE: BTreeSet<SegmentId> = BTreeSet::new();
        Self { writer, reason, base, intent: &NOTHING, replaced_segments: &NONE }
    }
}

/// A key slot, for people.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    pub id: KeyId,
    pub slot: KeySlot,
}

/// A key slot that nobody can open.
#[derive(Debug, Clone)]
pub struct DamagedKey {
    pub id: KeyId,
    pub problem: String,
}

/// Every key slot.
#[derive(Debug, Clone, Default)]
pub struct KeySlots {
    pub intact: Vec<KeyInfo>,
    pub damaged: Vec<DamagedKey>,
}

impl Repository {
    /// Makes a repository where none is: key slot first, then the config, so that a half-made one is none.
    pub fn init(store: Store, secret: &Secret, label: &str, options: OpenOptions) -> Result<Self> {
        if let Some(config) = read_config(&store)? {
            return Err(RepoError::RepositoryExists {
                location: store.location().to_owned(),
                repository: config.repository(),
            });
        }
        let capabilities = store.probe()?;
        let repository = RepositoryId::new(random().map_err(RepoError::making("a repository id"))?);
        let master = MasterKey::generate().map_err(RepoError::making("a master key"))?;
        let created = options.clock.now_text();
        let config = Config::new(repository, created.clone(), capabilities.create_if_absent);
        let keys = Keys::derive(&master, repository);
        let slot =
            KeySlot::seal(&master, secret, repository, label, &created).map_err(RepoError::making("a key slot"))?;
        store.put(&names::key(&slot.id), slot.bytes.into())?;
        found(&store, &config, &keys)?;
        Ok(Self::assemble(store, keys, config, Access::ReadWrite, options))
    }

    pub fn open(store: Store, secret: &Secret, options: OpenOptions) -> Result<Self> {
        let Some(untrusted) = read_config(&store)? else {
            return Err(RepoError::NoRepository { location: store.location().to_owned() });
        };
        let repository = untrusted.repository();
        let keys = Keys::derive(&unlock(&store, repository, secret)?, repository);
        let (config, access) = untrusted.authenticate(&keys).map_err(RepoError::damaged(names::CONFIG))?;
        let opened = Self::assemble(store, keys, config, access, options);
        opened.log.lock().is_opening = true;
        opened.read_log()?;
        opened.log.lock().is_opening = false;
        Ok(opened)
    }

    fn assemble(store: Store, keys: Keys, config: Config, access: Access, options: OpenOptions) -> Self {
        Self {
            store,
            keys,
            config,
            access,
            options,
            log: Mutex::new(Log::default()),
            reading: Mutex::new(()),
            unanswered: Mutex::default(),
            index: OnceLock::new(),
            refreshed: AtomicU64::new(NEVER),
            refresh: Mutex::new(()),
            rebuilt_for_a_read: AtomicBool::new(false),
            is_no_copy: AtomicBool::new(false),
            is_exclusive: false,
        }
    }

    /// The operator says that nothing else uses the repository, now or later with a state of now.
    pub fn exclusive(self) -> Self {
        Self { is_exclusive: true, ..self }
    }

    /// Without create-if-absent, what lets go and what brings back cannot be ordered against what others append.
    ///
    /// # Errors
    /// [`RepoError::NeedsExclusiveUse`], unless the operator says that there are no others.
    pub(crate) fn require_order(&self) -> Result<()> {
        if self.is_exclusive || self.config.store.create_if_absent {
            return Ok(());
        }
        Err(RepoError::NeedsExclusiveUse { location: self.store.location().to_owned() })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether this program knows every feature in use.
    pub(crate) fn may_write(&self) -> bool {
        self.access == Access::ReadWrite
    }

    pub fn options(&self) -> &OpenOptions {
        &self.options
    }

    pub fn clock(&self) -> &Clock {
        &self.options.clock
    }

    /// Whether this place holds a copy, which is only ever appended to by copying (docs/design/0005).
    pub fn is_copy(&self) -> Result<bool> {
        if self.is_no_copy.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let is_copy = copy::is_marked(&self.store)?;
        // A place is marked before it has a config, or never.
        self.is_no_copy.store(!is_copy, Ordering::Relaxed);
        Ok(is_copy)
    }

    /// What is appended to a copy would keep the next copying out.
    pub(crate) fn refuse_copy(&self) -> Result<()> {
        if self.is_copy()? {
            return Err(CopyError::IsCopy { location: self.store.location().to_owned() }.into());
        }
        Ok(())
    }

    /// The state as last read.
    pub fn state(&self) -> State {
        let state = self.log.lock().state.clone();
        Arc::unwrap_or_clone(state)
    }

    /// Listed snapshots, oldest first. Those saved along the way by unfinished runs are among them.
    pub fn snapshots(&self) -> Vec<SnapshotRecord> {
        let log = self.log.lock();
        let mut snapshots: Vec<_> = log.state.listed().values().map(|listed| (*listed.record).clone()).collect();
        snapshots.sort_by(|a, b| (&a.started, a.id).cmp(&(&b.started, b.id)));
        snapshots
    }

    pub fn snapshot(&self, id: &SnapshotId) -> Option<SnapshotRecord> {
        self.log.lock().state.listed().get(id).map(|listed| (*listed.record).clone())
    }

    /// The local index, brought up to the state as last read.
    pub fn index(&self) -> Result<&LocalIndex> {
        let index = self.index_file()?;
        if self.refreshed.load(Ordering::Acquire) != self.base() {
            let _one_at_a_time = self.refresh.lock();
            let state = self.state();
            if self.refreshed.load(Ordering::Acquire) != state.slot() {
                self.refresh_index(index, state)?;
            }
        }
        Ok(index)
    }

    /// Asks the index something; a file that cannot answer is thrown away, built anew, and asked again.
    pub(crate) fn ask_index<T>(
        &self,
        question: impl Fn(&LocalIndex) -> std::result::Result<T, IndexError>,
    ) -> Result<T> {
        match question(self.index()?) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::info!(%error, "the local index cannot be read");
                self.rebuild_index()?;
                Ok(question(self.index()?)?)
            }
        }
    }

    fn refresh_index(&self, index: &LocalIndex, mut state: State) -> Result<()> {
        loop {
            match index.refresh(&state, &StoredSegments { repository: self }) {
                Ok(_) => break,
                // A segment that is gone was replaced: there is a newer state.
                // (Another thread may have read it meanwhile.)
                Err(error) if error.kind() == ErrorKind::NotFound && self.has_gone_on(state.slot())? => {
                    state = self.state();
                }
                Err(RepoError::Index(error)) => {
                    tracing::info!(%error, "the local index cannot be written");
                    index.discard();
                    index.refresh(&state, &StoredSegments { repository: self })?;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.refreshed.store(state.slot(), Ordering::Release);
        Ok(())
    }

    /// Whether the log has an entry past this one by now.
    fn has_gone_on(&self, slot: u64) -> Result<bool> {
        self.read_log()?;
        Ok(self.base() != slot)
    }

    fn index_file(&self) -> Result<&LocalIndex> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let fingerprint = self.keys.content_hash(b"local index");
        let index = LocalIndex::open(&self.options.cache, self.config.repository, fingerprint)?;
        Ok(self.index.get_or_init(|| index))
    }

    /// Throws the local index away and builds it anew: for a read that its answer led astray.
    pub fn rebuild_index(&self) -> Result<()> {
        let index = self.index_file()?;
        let _one_at_a_time = self.refresh.lock();
        index.discard();
        // Where building fails, nobody may take what there is then for the whole.
        self.refreshed.store(NEVER, Ordering::Release);
        self.refresh_index(index, self.state())
    }

    /// The same, unless a read has asked for it before; says whether it was done.
    pub(crate) fn rebuild_index_once(&self) -> Result<bool> {
        if self.rebuilt_for_a_read.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        self.rebuild_index().map(|()| true)
    }

    /// Reads what came to the log since; returns whether anything did.
    pub fn catch_up(&self) -> Result<bool> {
        self.read_log()
    }

    fn read_log(&self) -> Result<bool> {
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
            let decode = |(slot, stored): &(u64, Bytes)| {
                Ok((decode_entry(&self.keys, *slot, stored)?, EntryHash::new(stored_hash(stored))))
            };
            let threads = crew::cores().min(remembered.len() / LOG_DECODE_ENTRIES_MIN + 1);
            let decoded = crew::map(&self.store, threads, &remembered, decode);
            is_sound =
                decoded.is_ok_and(|entries| entries.into_iter().all(|(entry, hash)| fold(log, entry, hash).is_ok()));
        }
        let newest = log.state.slot();
        if is_sound && newest > before.state.slot() {
            is_sound = match self.store.get(&protocol::entry_name(newest)) {
                Ok(stored) => log.state.hash() == Some(EntryHash::new(stored_hash(&stored))),
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

    fn follow(&self, log: &mut Log, slot: u64, stored: &[u8]) -> Result<()> {
        fold(log, decode_entry(&self.keys, slot, stored)?, EntryHash::new(stored_hash(stored)))
    }

    /// An index segment from the store. A second read tells a passing fault from damage.
    pub(crate) fn fetch_segment(&self, id: &SegmentId) -> Result<Segment> {
        match self.fetch_segment_once(id) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                self.fetch_segment_once(id)
            }
            read => read,
        }
    }

    pub(crate) fn fetch_segment_once(&self, id: &SegmentId) -> Result<Segment> {
        let name = names::segment(id);
        let stored = self.store.get(&name)?;
        if stored_hash(&stored) != *id.as_bytes() {
            return Err(RepoError::Damaged {
                object: name,
                source: FormatError::Checksum { what: "an index segment" },
            });
        }
        let opened = envelope::open(&self.keys, EnvelopeKind::Segment, b"", &stored);
        // The largest is 48 MiB: no more than two forms of it at a time.
        drop(stored);
        opened.and_then(|plain| Segment::decode(&plain)).map_err(RepoError::damaged(name))
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

    /// Appends one entry (docs/design/0002, "Append").
    ///
    /// `change` is made from the newest state, each time anew: what it says must be true of the state it is checked against.
    /// Returns the slot that was won.
    ///
    /// # Errors
    /// [`RepoError::Overtaken`] where a condition does not hold. [`RepoError::OutcomeUnknown`] where the store did not say whether
    /// the entry is there: the next append here finds out before it does anything else.
    pub fn append(&self, append: &Append<'_>, change: &dyn Fn(&State) -> Change) -> Result<u64> {
        let slot = self.append_decided(append, &mut |state| Ok(Some(change(state))))?;
        Ok(slot.expect("a change was given"))
    }

    /// The same, for a change that the newest state may show to be wrong or needless: then nothing is appended.
    pub(crate) fn append_decided(
        &self,
        append: &Append<'_>,
        decide: &mut dyn FnMut(&State) -> Result<Option<Change>>,
    ) -> Result<Option<u64>> {
        if !self.may_write() {
            return Err(RepoError::ReadOnly);
        }
        self.refuse_copy()?;
        self.settle()?;
        for lost in 0..APPEND_ATTEMPTS_MAX {
            if lost > 0 {
                self.store.wait_after_lost_race(lost)?;
            }
            self.read_log()?;
            let Some((slot, stored)) = self.propose(append, decide)? else { return Ok(None) };
            if self.create_entry(slot, &stored)? == Created::New {
                return Ok(Some(slot));
            }
        }
        Err(RepoError::Invalid(format!("the log was busy: {APPEND_ATTEMPTS_MAX} appends in a row came too late")))
    }

    /// The next entry, checked against the log as it was read.
    fn propose(
        &self,
        append: &Append<'_>,
        decide: &mut dyn FnMut(&State) -> Result<Option<Change>>,
    ) -> Result<Option<(u64, Bytes)>> {
        let &Append { writer, reason, base, intent, replaced_segments } = append;
        let (slot, previous, change) = {
            let log = self.log.lock();
            let Some(change) = decide(&log.state)? else { return Ok(None) };
            let proposal = Proposal { change: &change, base, intent, replaced_segments };
            let later = log.later.iter().filter(|(slot, _)| *slot > base).map(|(slot, change)| (*slot, change));
            protocol::check_append(&proposal, &log.state, later).map_err(|violations| {
                let is_newer = |violation: &Violation| matches!(violation, Violation::UnknownChange { .. });
                if violations.iter().any(is_newer) { RepoError::ReadOnly } else { RepoError::Overtaken(violations) }
            })?;
            (log.state.next_slot(), log.state.hash(), change)
        };
        let entry = LogEntry {
            slot,
            previous,
            writer,
            nonce: WriterId::new(random().map_err(RepoError::making("a nonce"))?),
            time: self.clock().now_text(),
            program: self.options.program.clone(),
            reason: reason.to_owned(),
            change,
            extra: Extra::new(),
        };
        let document = serde_json::to_vec(&entry).map_err(|error| RepoError::Invalid(error.to_string()))?;
        let stored = envelope::seal(&self.keys, EnvelopeKind::LogEntry, &slot.to_le_bytes(), &document)
            .map_err(RepoError::making("a log entry"))?;
        Ok(Some((slot, stored.into())))
    }

    /// Creates an entry in its slot. The store repeats that, within its limits, until there is an answer, and tells by the entry's
    /// nonce whose it is.
    fn create_entry(&self, slot: u64, stored: &Bytes) -> Result<Created> {
        let created = match self.store.create(&protocol::entry_name(slot), stored.clone()) {
            Err(source) if source.is_outcome_unknown() => {
                self.unanswered.lock().push_back((slot, stored.clone()));
                return Err(RepoError::OutcomeUnknown { slot, source });
            }
            created => created?,
        };
        if created == Created::New {
            let mut log = self.log.lock();
            // A thread that read the log may have met it there.
            if log.state.next_slot() == slot {
                self.follow(&mut log, slot, stored)?;
            }
            drop(log);
            self.index_file()?.log_cache_put(slot, stored);
            if slot.is_multiple_of(self.options.checkpoint_entries) {
                self.put_checkpoint();
            }
        }
        Ok(created)
    }

    /// Asks once more for each entry that there was no answer about: the same in the same slot, and nothing else before that.
    pub(crate) fn settle(&self) -> Result<()> {
        loop {
            let Some((slot, stored)) = self.unanswered.lock().pop_front() else { return Ok(()) };
            if let Err(error) = self.create_entry(slot, &stored) {
                if !matches!(error, RepoError::OutcomeUnknown { .. }) {
                    self.unanswered.lock().push_front((slot, stored));
                }
                return Err(error);
            }
        }
    }

    /// Gives out every entry of the log up to the last one read with the hash of its bytes, in order; from the store, many at a time.
    pub(crate) fn each_entry(&self, each: &mut dyn FnMut(Result<(LogEntry, EntryHash)>) -> Result<()>) -> Result<()> {
        let slots: Vec<u64> = (FIRST_SLOT..=self.base()).collect();
        for slots in slots.chunks(ENTRIES_AT_ONCE) {
            let read = |slot: &u64| -> Result<(LogEntry, EntryHash)> {
                let stored = self.store.get(&protocol::entry_name(*slot))?;
                Ok((decode_entry(&self.keys, *slot, &stored)?, EntryHash::new(stored_hash(&stored))))
            };
            let entries = crew::map(&self.store, LOG_FETCH_THREADS, slots, |slot| Ok(read(slot)))?;
            for entry in entries {
                each(entry)?;
            }
        }
        Ok(())
    }

    /// Stores an index segment; gives back what an entry says of it, and its stored bytes.
    pub(crate) fn put_segment(&self, segment: &mut Segment) -> Result<(SegmentRecord, u64)> {
        let sealed = segment.seal(self.keys()).map_err(RepoError::making("an index segment"))?;
        let stored_bytes = sealed.bytes.len() as u64;
        self.store.put(&names::segment(&sealed.id), sealed.bytes.into())?;
        let (base, entries) = (sealed.base, sealed.entries);
        Ok((SegmentRecord { id: sealed.id, base, entries, extra: Extra::new() }, stored_bytes))
    }

    /// Gives the local index a segment that an entry named just now, so that it need not be fetched.
    pub(crate) fn remember_segment(&self, id: SegmentId, segment: &Segment) {
        let remembered = self.index_file().and_then(|index| Ok(index.insert_segment(id, segment)?));
        if let Err(error) = remembered {
            tracing::debug!(%error, "a segment will be fetched again");
        }
    }

    /// Every key slot.
    pub fn keys_list(&self) -> Result<KeySlots> {
        let mut slots = KeySlots::default();
        for (id, bytes) in stored_slots(&self.store)? {
            match KeySlot::read(&bytes) {
                Ok(slot) => slots.intact.push(KeyInfo { id, slot }),
                Err(error) => slots.damaged.push(DamagedKey { id, problem: error.to_string() }),
            }
        }
        Ok(slots)
    }

    /// Adds a slot for another secret. `own` is a secret that opens the repository now: the master key is not kept in memory.
    pub fn key_add(&self, own: &Secret, new: &Secret, label: &str) -> Result<KeyId> {
        let repository = self.config.repository;
        let master = unlock(&self.store, repository, own)?;
        let slot = KeySlot::seal(&master, new, repository, label, &self.clock().now_text())
            .map_err(RepoError::making("a key slot"))?;
        self.store.put(&names::key(&slot.id), slot.bytes.into())?;
        Ok(slot.id)
    }

    /// Removes a slot; never the last one that is readable.
    pub fn key_remove(&self, id: &KeyId) -> Result<()> {
        let KeySlots { intact, damaged } = self.keys_list()?;
        let is_intact = intact.iter().any(|key| key.id == *id);
        if !is_intact && !damaged.iter().any(|key| key.id == *id) {
            return Err(RepoError::Invalid(format!("there is no key slot {id}")));
        }
        if is_intact && intact.len() == 1 {
            return Err(RepoError::Invalid(format!(
                "key slot {id} is the only one that can be read: without it nobody can open the repository"
            )));
        }
        Ok(self.store.delete(&names::key(id))?)
    }
}

/// Fetches segments for the local index.
struct StoredSegments<'r> {
    repository: &'r Repository,
}

impl SegmentSource for StoredSegments<'_> {
    fn fetch(&self, id: &SegmentId) -> Result<Segment> {
        self.repository.fetch_segment(id)
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

/// Puts what a repository has beside its key slots. The config's copy comes behind it: it must be that of the config that won.
pub(crate) fn found(store: &Store, config: &Config, keys: &Keys) -> Result<()> {
    reserve::put_back(store)?;
    let text = Bytes::from(config.seal(keys));
    if store.create(names::CONFIG, text.clone())? == Created::Exists {
        let (location, repository) = (store.location().to_owned(), config.repository);
        return Err(RepoError::RepositoryExists { location, repository });
    }
    if store.create(names::CONFIG_COPY, text.clone())? == Created::Exists {
        // Left by an `init` that lost a race or was not finished.
        store.delete(names::CONFIG_COPY)?;
        store.put(names::CONFIG_COPY, text)?;
    }
    Ok(())
}

/// The config, or its copy where the first is missing or damaged.
pub(crate) fn read_config(store: &Store) -> Result<Option<backstay_format::config::UntrustedConfig>> {
    let mut damage = None;
    for name in [names::CONFIG, names::CONFIG_COPY] {
        match store.get(name) {
            Ok(stored) => match Config::read(&stored) {
                Ok(config) => return Ok(Some(config)),
                Err(source @ (FormatError::Version { .. } | FormatError::UnknownFeatures(_))) => {
                    return Err(RepoError::Unsupported { location: store.location().to_owned(), source });
                }
                Err(source) => {
                    damage.get_or_insert(RepoError::Damaged { object: name.to_owned(), source });
                }
            },
            Err(error) if error.kind() == crate::store::ErrorKind::NotFound => {
                // Without a config a copy alone is an `init` that was not finished.
                if name == names::CONFIG {
                    match store.list(names::LOG) {
                        Ok(log) if log.is_empty() => return Ok(None),
                        // With a log there are backups: this is damage, and no place for another repository.
                        Ok(_) => {
                            let detail = "it is missing, but the log is there".to_owned();
                            let source = FormatError::Invalid { what: "the config", detail };
                            damage = Some(RepoError::Damaged { object: name.to_owned(), source });
                        }
                        Err(error) if error.kind() == crate::store::ErrorKind::NotFound => return Ok(None),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Err(error) if error.kind() == crate::store::ErrorKind::Corrupt => {
                damage.get_or_insert(error.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    damage.map_or(Ok(None), Err)
}

pub(crate) fn stored_slots(store: &Store) -> Result<Vec<(KeyId, Bytes)>> {
    let mut slots = Vec::new();
    for object in store.list(names::KEYS)? {
        // One that was removed since it was listed is none.
        if let Some(id) = names::key_of(&object.name)
            && let Some(bytes) = stored(store, &object.name)?
        {
            slots.push((id, bytes));
        }
    }
    Ok(slots)
}

/// Tries the secret on every slot.
pub(crate) fn unlock(store: &Store, repository: RepositoryId, secret: &Secret) -> Result<MasterKey> {
    let mut damage = None;
    for (id, bytes) in stored_slots(store)? {
        match KeySlot::read(&bytes).and_then(|slot| slot.open(secret).map(|master| (slot, master))) {
            Ok((slot, Some(master))) if slot.repository == repository => return Ok(master),
            Ok(_) => {}
            Err(source) => damage = Some(RepoError::Damaged { object: names::key(&id), source }),
        }
    }
    Err(damage.unwrap_or_else(|| RepoError::WrongPassword { location: store.location().to_owned() }))
}
