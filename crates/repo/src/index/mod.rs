//! The local index: which record lies where, in an SQLite file on this host, built from the index segments.
//!
//! It is a cache. It may be deleted, damaged, stale or another repository's at any time: that is noticed, and it is built anew.
//! A wrong answer can cost a failed read, which is repeated after a rebuild, and never data: what a record's row says is only
//! believed for packs that valid segments of the state at hand name. It holds ids and places, no names and no contents;
//! its copy of the log is as sealed as the original.

mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_format::ids::{ChunkId, PackId, RepositoryId, SegmentId};
use backstay_format::pack::PackKind;
use backstay_format::segment::Segment;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::Result;
use crate::protocol::State;

/// Where the index is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// One folder a repository, below this one.
    Folder(PathBuf),
    /// A file that vanishes with the process.
    None,
}

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("cannot use the local index")]
    Sqlite(#[from] rusqlite::Error),
    #[error("cannot make the local index in {}", .folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Fetches a segment that the state names.
pub trait SegmentSource {
    fn fetch(&self, id: &SegmentId) -> Result<Segment>;
}

/// A place where a record can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    pub pack: PackId,
    pub kind: PackKind,
    /// Size of the whole pack.
    pub pack_bytes: u64,
    pub offset: u32,
    pub stored_len: u32,
    pub raw_len: u32,
}

/// A pack that valid segments name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInfo {
    pub id: PackId,
    pub kind: PackKind,
    pub size_bytes: u64,
    /// Readable, but nothing new should rely on it.
    pub is_condemned: bool,
}

/// Sums over everything that can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexStatistics {
    pub packs: u64,
    pub stored_bytes: u64,
}

/// The local index of one repository. Threads share it.
pub struct LocalIndex {
    cache: Cache,
    repository: RepositoryId,
    fingerprint: [u8; 16],
    inner: Mutex<Inner>,
    /// The cache folder could not be used: said once.
    is_temporary: AtomicBool,
}

struct Inner {
    connection: Connection,
    /// Packs that count in the state at hand, by their number in the file.
    packs: HashMap<i64, PackInfo>,
}

type IndexResult<T> = std::result::Result<T, IndexError>;

impl LocalIndex {
    /// Opens the index, or begins a new one where there is none or it is not this repository's.
    ///
    /// # Errors
    /// Only where not even a temporary file can be made: a cache that cannot be used is replaced by one.
    pub fn open(cache: &Cache, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Self> {
        let opened = match cache {
            Cache::Folder(folder) => file::open(folder, repository, fingerprint).map(|connection| (connection, false)).or_else(
                |error| {
                    tracing::warn!(%error, folder = %folder.display(), "the cache folder cannot be used; a temporary index is built");
                    file::temporary(repository, fingerprint).map(|connection| (connection, true))
                },
            ),
            Cache::None => file::temporary(repository, fingerprint).map(|connection| (connection, true)),
        };
        let (connection, is_temporary) = opened?;
        Ok(Self {
            cache: cache.clone(),
            repository,
            fingerprint,
            inner: Mutex::new(Inner { connection, packs: HashMap::new() }),
            is_temporary: AtomicBool::new(is_temporary),
        })
    }

    /// Throws everything away; the next refresh builds it again.
    pub fn rebuild(&self) -> IndexResult<()> {
        let mut inner = self.inner.lock();
        inner.packs.clear();
        // The old file is closed before it is removed; another process that has it open keeps its own view.
        inner.connection = file::temporary(self.repository, self.fingerprint)?;
        if let Cache::Folder(folder) = &self.cache
            && !self.is_temporary.load(Ordering::Relaxed)
        {
            tracing::info!("the local index is built anew");
            file::remove(folder, self.repository);
            match file::open(folder, self.repository, self.fingerprint) {
                Ok(connection) => inner.connection = connection,
                Err(error) => {
                    tracing::warn!(%error, "the cache folder cannot be used; a temporary index is built");
                    self.is_temporary.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Brings the index to a state: loads segments that it does not have, forgets those that are gone, and finds out which
    /// packs count.
    pub fn refresh(&self, state: &State, source: &dyn SegmentSource) -> Result<()> {
        let known = self.segments()?;
        for (id, record) in state.segments() {
            if known.contains_key(id) {
                continue;
            }
            let segment = source.fetch(id)?;
            self.insert(id, record.base, &segment)?;
        }
        let gone: Vec<i64> =
            known.iter().filter(|(id, _)| !state.segments().contains_key(id)).map(|(_, number)| *number).collect();
        let mut inner = self.inner.lock();
        if !gone.is_empty() {
            let transaction = begin(&mut inner.connection)?;
            for number in gone {
                transaction.execute("DELETE FROM segment_packs WHERE segment = ?1", [number]).map_err(IndexError::from)?;
                transaction.execute("DELETE FROM segments WHERE number = ?1", [number]).map_err(IndexError::from)?;
            }
            transaction.commit().map_err(IndexError::from)?;
        }
        let packs = counting_packs(&inner.connection, state)?;
        inner.packs = packs;
        Ok(())
    }

    fn segments(&self) -> IndexResult<HashMap<SegmentId, i64>> {
        let inner = self.inner.lock();
        let mut statement = inner.connection.prepare_cached("SELECT id, number FROM segments")?;
        let rows = statement.query_map([], |row| Ok((SegmentId::new(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn insert(&self, id: &SegmentId, base: u64, segment: &Segment) -> IndexResult<()> {
        let mut inner = self.inner.lock();
        let transaction = begin(&mut inner.connection)?;
        transaction.execute("INSERT OR IGNORE INTO segments (id, base) VALUES (?1, ?2)", params![id.as_bytes(), base as i64])?;
        let number: i64 =
            transaction.query_row("SELECT number FROM segments WHERE id = ?1", [id.as_bytes()], |row| row.get(0))?;
        let mut numbers = Vec::with_capacity(segment.packs.len());
        for pack in &segment.packs {
            transaction.execute(
                "INSERT OR IGNORE INTO packs (id, kind, size) VALUES (?1, ?2, ?3)",
                params![pack.id.as_bytes(), pack.kind as u8, pack.size_bytes as i64],
            )?;
            let pack: i64 =
                transaction.query_row("SELECT number FROM packs WHERE id = ?1", [pack.id.as_bytes()], |row| row.get(0))?;
            transaction.execute("INSERT OR IGNORE INTO segment_packs (segment, pack) VALUES (?1, ?2)", [number, pack])?;
            numbers.push(pack);
        }
        {
            // In the order of ids, so that a large segment is written page after page.
            let mut statement = transaction.prepare_cached(
                "INSERT OR IGNORE INTO chunks (id, pack, offset, stored_len, raw_len) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for entry in &segment.entries {
                let pack = numbers[entry.pack as usize];
                statement.execute(params![entry.id.as_bytes(), pack, entry.offset, entry.stored_len, entry.raw_len])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// A place to read the record at: in a pack that is not condemned where there is one, then the one with the lowest id.
    pub fn lookup(&self, id: &ChunkId) -> IndexResult<Option<Location>> {
        self.inner.lock().best(id)
    }

    /// The same for many, in their order. Sorted ids are found fastest.
    pub fn lookup_many(&self, ids: &[ChunkId]) -> IndexResult<Vec<Option<Location>>> {
        let inner = self.inner.lock();
        ids.iter().map(|id| inner.best(id)).collect()
    }

    /// The pack of a copy that something new may rely on.
    pub fn contains_dedupable(&self, id: &ChunkId) -> IndexResult<Option<PackId>> {
        let copies = self.inner.lock().copies(id)?;
        let usable = copies.into_iter().filter(|(_, pack)| !pack.is_condemned).map(|(location, _)| location.pack);
        Ok(usable.min())
    }

    /// Every place where the record can be read.
    pub fn copies(&self, id: &ChunkId) -> IndexResult<Vec<Location>> {
        Ok(self.inner.lock().copies(id)?.into_iter().map(|(location, _)| location).collect())
    }

    /// Every pack that counts.
    pub fn packs(&self) -> Vec<PackInfo> {
        self.inner.lock().packs.values().copied().collect()
    }

    pub fn statistics(&self) -> IndexStatistics {
        let inner = self.inner.lock();
        IndexStatistics {
            packs: inner.packs.len() as u64,
            stored_bytes: inner.packs.values().map(|pack| pack.size_bytes).sum(),
        }
    }

    /// Gives out every place of every record, in order of ids.
    pub fn for_each_record(&self, each: &mut dyn FnMut(ChunkId, Location)) -> IndexResult<()> {
        let inner = self.inner.lock();
        let mut statement =
            inner.connection.prepare_cached("SELECT pack, offset, stored_len, raw_len, id FROM chunks ORDER BY id, pack")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some((location, _)) = inner.location(row)? {
                each(ChunkId::new(row.get(4)?), location);
            }
        }
        Ok(())
    }

    /// A log entry as it is stored, if it is known here. The caller checks that it fits.
    pub fn log_cache_get(&self, slot: u64) -> Option<Bytes> {
        let inner = self.inner.lock();
        let mut statement = inner.connection.prepare_cached("SELECT stored FROM log WHERE slot = ?1").ok()?;
        let stored: Option<Vec<u8>> = statement.query_row([slot as i64], |row| row.get(0)).optional().ok()?;
        stored.map(Bytes::from)
    }

    /// Remembers a log entry. A cache that cannot remember it costs a request the next time.
    pub fn log_cache_put(&self, slot: u64, stored: &[u8]) {
        let inner = self.inner.lock();
        let put = inner
            .connection
            .execute("INSERT OR REPLACE INTO log (slot, stored) VALUES (?1, ?2)", params![slot as i64, stored]);
        if let Err(error) = put {
            tracing::debug!(%error, "a log entry was not remembered");
        }
    }

    pub fn log_cache_clear(&self) {
        if let Err(error) = self.inner.lock().connection.execute("DELETE FROM log", []) {
            tracing::debug!(%error, "the remembered log was not cleared");
        }
    }
}

impl Inner {
    fn best(&self, id: &ChunkId) -> IndexResult<Option<Location>> {
        let best = self.copies(id)?.into_iter().min_by_key(|(location, pack)| (pack.is_condemned, location.pack));
        Ok(best.map(|(location, _)| location))
    }

    fn copies(&self, id: &ChunkId) -> IndexResult<Vec<(Location, PackInfo)>> {
        let mut statement =
            self.connection.prepare_cached("SELECT pack, offset, stored_len, raw_len FROM chunks WHERE id = ?1")?;
        let mut rows = statement.query([id.as_bytes()])?;
        let mut copies = Vec::new();
        while let Some(row) = rows.next()? {
            copies.extend(self.location(row)?);
        }
        Ok(copies)
    }

    fn location(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(Location, PackInfo)>> {
        let Some(pack) = self.packs.get(&row.get(0)?) else { return Ok(None) };
        let (offset, stored_len, raw_len) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let location =
            Location { pack: pack.id, kind: pack.kind, pack_bytes: pack.size_bytes, offset, stored_len, raw_len };
        Ok(Some((location, *pack)))
    }
}

fn begin(connection: &mut Connection) -> IndexResult<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Packs that some valid segment names whose maker knew of the pack's retirement, if it was retired at all.
fn counting_packs(connection: &Connection, state: &State) -> IndexResult<HashMap<i64, PackInfo>> {
    let mut statement = connection.prepare_cached(
        "SELECT packs.number, packs.id, packs.kind, packs.size, segments.id
         FROM segment_packs JOIN packs ON packs.number = segment_packs.pack
         JOIN segments ON segments.number = segment_packs.segment",
    )?;
    let mut rows = statement.query([])?;
    let mut packs = HashMap::new();
    while let Some(row) = rows.next()? {
        let segment = SegmentId::new(row.get(4)?);
        let id = PackId::new(row.get(1)?);
        let counts = state.segments().get(&segment).is_some_and(|record| state.is_pack_valid_in(record.base, &id));
        if counts {
            let kind = if row.get::<_, u8>(2)? == PackKind::Data as u8 { PackKind::Data } else { PackKind::Tree };
            let size_bytes = row.get::<_, i64>(3)? as u64;
            let is_condemned = state.condemned().contains_key(&id);
            packs.insert(row.get(0)?, PackInfo { id, kind, size_bytes, is_condemned });
        }
    }
    Ok(packs)
}
