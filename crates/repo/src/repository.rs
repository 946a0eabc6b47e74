//! A repository: made and opened, with its local index. `log` follows its log, `append` adds to it, `keys` has to do with who can open it.
//!
//! The bucket is the truth: everything here can be thrown away and read again. Nothing is ever locked.

mod append;
mod keys;
mod log;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use backstay_format::FormatError;
use backstay_format::config::{Access, Config, KeySlot, Secret};
use backstay_format::crypto::{Keys, MasterKey, random, stored_hash};
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{RepositoryId, SegmentId, SnapshotId};
use backstay_format::log::{Extra, SegmentRecord, SnapshotRecord};
use backstay_format::segment::Segment;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::checkpoint::CHECKPOINT_ENTRIES;
use crate::clock::Clock;
use crate::copy::{self, CopyError};
use crate::error::{ErrorKind, RepoError, Result};
use crate::index::{Cache, IndexError, LocalIndex, SegmentSource};
use crate::names;
use crate::protocol::State;
use crate::reserve;
use crate::store::{Created, Store};
pub use append::Append;
pub use keys::{DamagedKey, KeyInfo, KeySlots};
pub(crate) use keys::{stored_slots, unlock};
use log::Log;
pub(crate) use log::decode_entry;

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
