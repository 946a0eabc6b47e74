//! The local index: which record lies where, in an SQLite file on this host, built from the index segments.
//!
//! Invariants:
//! - It is a cache. It may be deleted, damaged, stale or another repository's at any time: that is noticed, and it is built anew.
//! - The file holds facts that never change: what a segment, known by the hash of its bytes, says. Which of them count is
//!   decided here, by the state of the log at hand. So processes that have read the log up to different entries share a file.
//! - Every row carries a check of its fields. A row that does not fit is damage, never an answer: a wrong place would only
//!   cost a failed read, but a record wrongly taken for stored would be lost.
//! - It holds ids and places, no names and no contents; its copy of the log is as sealed as the original.
//!
//! `file` opens, makes and replaces the file; `load` fills it; `view` decides what counts; `sort` sorts what memory cannot hold.

mod file;
mod load;
mod sort;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;

use backstay_format::ids::{ChunkId, PackId, RepositoryId, SegmentId};
use backstay_format::pack::PackKind;
use backstay_format::segment::Segment;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::Result;
use crate::protocol::State;
use file::IndexFile;
pub(crate) use file::cache_folder;
use load::Batch;
pub(crate) use view::Digest;
use view::View;
pub(crate) use view::mix;

/// Log entries that wait to be written to the file in one transaction.
const LOG_ENTRIES_PENDING_MAX: usize = 256;
/// Rows that a walk over everything reads at a time.
const WALK_ROWS: usize = 4096;

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
    #[error("cannot use the cache folder {}", .folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the local index is damaged: a row of {table} does not fit its check")]
    Damaged { table: &'static str },
    #[error("the local index is in use by another process")]
    InUse,
}

impl IndexError {
    /// Whether a new file would help; otherwise only another place does.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly};
        let elsewhere = [DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly];
        match self {
            Self::Sqlite(error) => error.sqlite_error_code().is_none_or(|code| !elsewhere.contains(&code)),
            Self::Damaged { .. } => true,
            Self::Folder { .. } | Self::InUse => false,
        }
    }
}

pub type IndexResult<T> = std::result::Result<T, IndexError>;

/// Fetches a segment that the state names. It must not call the index.
pub trait SegmentSource {
    fn fetch(&self, id: &SegmentId) -> Result<Segment>;
}

/// A place where a record can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    pub records: u64,
    /// Of what segments say of it, in a number that stands for nothing else.
    pub digest: i64,
    /// Not retired: it can be read.
    pub live: bool,
    /// Readable, but nothing new should rely on it.
    pub is_condemned: bool,
}

/// Sums over everything that can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexStatistics {
    pub packs: u64,
    /// Sizes of whole packs.
    pub stored_bytes: u64,
    /// Copies of records.
    pub records: u64,
}

/// What a refresh did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefreshReport {
    pub segments_loaded: u64,
    pub segments_dropped: u64,
    /// The file was of no use and was replaced.
    pub rebuilt: bool,
}

/// The local index of one repository. Threads share it.
pub struct LocalIndex {
    inner: Mutex<Inner>,
}

struct Inner {
    file: IndexFile,
    view: View,
    /// Log entries that are not in the file yet.
    log_pending: BTreeMap<u64, Bytes>,
    /// A row or page was seen that cannot be right: the next refresh begins with a new file.
    is_damaged: bool,
}

impl LocalIndex {
    /// Opens the index, or begins a new one where there is none or it is not this repository's.
    ///
    /// # Errors
    /// Only where not even a temporary file can be made: a cache that cannot be used is replaced by one.
    pub fn open(cache: &Cache, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Self> {
        let file = IndexFile::open(cache, repository, fingerprint)?;
        let inner = Inner { file, view: View::default(), log_pending: BTreeMap::new(), is_damaged: false };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Says that an answer was wrong: the next refresh throws everything away and builds it again. Until then, answers come
    /// from what there is.
    pub fn discard(&self) {
        self.inner.lock().is_damaged = true;
    }

    /// Brings the index to a state: loads segments that it does not have, forgets those that are gone, and finds out which
    /// packs count.
    ///
    /// # Errors
    /// Those of `source`. Damage of the file is mended, if need be with a temporary one.
    pub fn refresh(&self, state: &State, source: &dyn SegmentSource) -> Result<RefreshReport> {
        self.inner.lock().refresh(state, source)
    }

    /// Adds a segment that this process has just stored, so that it need not be fetched. It counts once a state names it.
    pub fn insert_segment(&self, id: SegmentId, segment: &Segment) -> IndexResult<()> {
        self.inner.lock().watch(|inner| {
            let mut batch = Batch::new(inner.file.sort_folder());
            batch.add(id, segment)?;
            let transaction = inner.file.begin()?;
            batch.write(&transaction)?;
            Ok(transaction.commit()?)
        })
    }

    /// A place to read the record at: in a pack that is not condemned where there is one, then the one with the lowest id.
    pub fn lookup(&self, id: &ChunkId) -> IndexResult<Option<Location>> {
        self.inner.lock().watch(|inner| inner.best(id))
    }

    /// The same for many, in their order. Sorted ids are found fastest.
    pub fn lookup_many(&self, ids: &[ChunkId]) -> IndexResult<Vec<Option<Location>>> {
        self.inner.lock().watch(|inner| {
            inner.file.connection.execute_batch("BEGIN")?;
            let found = ids.iter().map(|id| inner.best(id)).collect();
            inner.file.connection.execute_batch("COMMIT")?;
            found
        })
    }

    /// The pack of a copy that something new may rely on: neither condemned nor avoided.
    pub fn contains_dedupable(
        &self,
        id: &ChunkId,
        is_avoided: impl Fn(&PackId) -> bool,
    ) -> IndexResult<Option<PackId>> {
        let is_wanted = |pack: &PackInfo| !pack.is_condemned && !is_avoided(&pack.id);
        let best = self.inner.lock().watch(|inner| inner.first(id, is_wanted))?;
        Ok(best.map(|location| location.pack))
    }

    /// Every place where the record can be read, the best first.
    pub fn copies(&self, id: &ChunkId) -> IndexResult<Vec<Location>> {
        self.inner.lock().watch(|inner| {
            let mut copies = Vec::new();
            inner.each_copy(id, |pack, location| copies.push((pack.is_condemned, location)))?;
            copies.sort_unstable();
            copies.dedup();
            Ok(copies.into_iter().map(|(_, location)| location).collect())
        })
    }

    /// Every place where the record ever was, as far as the file still knows: valid, retired, or of a segment that is gone. Only
    /// reading it shows whether it is there.
    pub(crate) fn ever(&self, id: &ChunkId) -> IndexResult<Vec<Location>> {
        self.inner.lock().watch(|inner| inner.ever(id))
    }

    /// Every pack that valid segments name, retired ones among them, by id.
    pub fn packs(&self) -> IndexResult<Vec<PackInfo>> {
        self.inner.lock().watch(|inner| inner.view.packs(&inner.file.connection))
    }

    /// The segments that name a pack, as far as the file has them: whether they count is for the state to say.
    pub(crate) fn segments_of(&self, pack: &PackId) -> IndexResult<Vec<SegmentId>> {
        self.inner.lock().watch(|inner| {
            let mut statement = inner.file.connection.prepare_cached(
                "SELECT g.id FROM packs p JOIN segment_packs s ON s.pack = p.number JOIN segments g ON g.number = s.segment
                 WHERE p.id = ?1 ORDER BY g.number",
            )?;
            let rows = statement.query_map([pack.as_bytes()], |row| Ok(SegmentId::new(row.get(0)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub fn statistics(&self) -> IndexResult<IndexStatistics> {
        let mut sums = IndexStatistics::default();
        for pack in self.packs()?.into_iter().filter(|pack| pack.live) {
            sums.packs += 1;
            sums.stored_bytes += pack.size_bytes;
            sums.records += pack.records;
        }
        Ok(sums)
    }

    /// Records that can be read, each counted once. Reads the whole index.
    pub fn chunk_count(&self) -> Result<u64> {
        let (mut count, mut last) = (0, None);
        self.for_each_chunk(&mut |id, _| {
            count += u64::from(last != Some(id));
            last = Some(id);
            Ok(())
        })?;
        Ok(count)
    }

    /// Gives out every place of every record, in order of ids. Others can use the index meanwhile.
    pub fn for_each_chunk(&self, each: &mut dyn FnMut(ChunkId, Location) -> Result<()>) -> Result<()> {
        let mut last = ([0; ChunkId::LEN], 0);
        loop {
            let mut page = Vec::with_capacity(WALK_ROWS);
            let rows = self.inner.lock().watch(|inner| inner.walk(&mut last, &mut page))?;
            for (id, location) in page {
                each(id, location)?;
            }
            if rows < WALK_ROWS {
                return Ok(());
            }
        }
    }

    /// Gives up the memory of pages that were read, after a walk over everything.
    pub(crate) fn release_memory(&self) -> IndexResult<()> {
        self.inner.lock().watch(|inner| Ok(inner.file.connection.execute_batch("PRAGMA shrink_memory")?))
    }

    /// Up to so many of the entries after a slot as they are stored, without a gap. The caller checks that they fit.
    pub fn log_cache_after(&self, slot: u64, most: usize) -> Vec<(u64, Bytes)> {
        let inner = self.inner.lock();
        let stored = || -> rusqlite::Result<Vec<(u64, Bytes)>> {
            let mut statement = inner
                .file
                .connection
                .prepare_cached("SELECT slot, stored FROM log WHERE slot > ?1 ORDER BY slot LIMIT ?2")?;
            let rows = statement.query_map([slot as i64, most as i64], |row| {
                Ok((row.get::<_, i64>(0)? as u64, Bytes::from(row.get::<_, Vec<u8>>(1)?)))
            })?;
            rows.collect()
        };
        let mut entries: BTreeMap<u64, Bytes> = stored().unwrap_or_default().into_iter().collect();
        entries.extend(inner.log_pending.range(slot + 1..).map(|(slot, stored)| (*slot, stored.clone())));
        (slot + 1..)
            .zip(entries)
            .take_while(|(due, (found, _))| due == found)
            .map(|(_, entry)| entry)
            .take(most)
            .collect()
    }

    /// Remembers a log entry. A cache that cannot remember it costs a request the next time.
    pub fn log_cache_put(&self, slot: u64, stored: &[u8]) {
        let mut inner = self.inner.lock();
        inner.log_pending.insert(slot, Bytes::copy_from_slice(stored));
        if inner.log_pending.len() >= LOG_ENTRIES_PENDING_MAX {
            inner.write_log();
        }
    }

    pub fn log_cache_clear(&self) {
        let mut inner = self.inner.lock();
        inner.log_pending.clear();
        if let Err(error) = inner.file.connection.execute_batch("DELETE FROM checkpoint; DELETE FROM log;") {
            tracing::debug!(%error, "the remembered log was not cleared");
        }
    }

    /// The checkpoint that is known here, with the entry that it is of. The caller checks that it fits.
    pub(crate) fn checkpoint_get(&self) -> Option<(u64, Bytes)> {
        let inner = self.inner.lock();
        let mut statement = inner.file.connection.prepare_cached("SELECT slot, stored FROM checkpoint").ok()?;
        let row = statement.query_row([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?)));
        row.optional().ok()?.map(|(slot, stored)| (slot, Bytes::from(stored)))
    }

    /// Remembers a checkpoint in the place of an older one, and of the entries before it.
    pub(crate) fn checkpoint_put(&self, slot: u64, stored: &[u8]) {
        let mut inner = self.inner.lock();
        inner.write_log();
        if let Err(error) = write_checkpoint(&mut inner.file.connection, slot as i64, stored) {
            tracing::debug!(%error, "a checkpoint was not remembered");
        }
    }
}

impl Drop for LocalIndex {
    fn drop(&mut self) {
        self.inner.get_mut().write_log();
    }
}

impl Inner {
    /// Remembers that the file is damaged, where an error says so.
    fn watch<T>(&mut self, work: impl FnOnce(&mut Self) -> IndexResult<T>) -> IndexResult<T> {
        let result = work(self);
        if let Err(error) = &result {
            self.is_damaged |= error.is_damage();
        }
        result
    }

    fn best(&mut self, id: &ChunkId) -> IndexResult<Option<Location>> {
        self.first(id, |_| true)
    }

    fn first(&mut self, id: &ChunkId, wanted: impl Fn(&PackInfo) -> bool) -> IndexResult<Option<Location>> {
        let mut best: Option<(bool, Location)> = None;
        self.each_copy(id, |pack, location| {
            let candidate = (pack.is_condemned, location);
            if wanted(pack) && best.is_none_or(|best| candidate < best) {
                best = Some(candidate);
            }
        })?;
        Ok(best.map(|(_, location)| location))
    }

    fn each_copy(&mut self, id: &ChunkId, mut each: impl FnMut(&PackInfo, Location)) -> IndexResult<()> {
        let connection = &self.file.connection;
        let mut statement =
            connection.prepare_cached("SELECT pack, start, stored_len, raw_len, sum FROM chunks WHERE id = ?1")?;
        let mut rows = statement.query([id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            if let Some((pack, location)) = self.view.location(connection, id, row)? {
                each(&pack, location);
            }
        }
        Ok(())
    }

    fn ever(&self, id: &ChunkId) -> IndexResult<Vec<Location>> {
        let mut statement = self.file.connection.prepare_cached(
            "SELECT p.id, p.kind, p.size_bytes, c.start, c.stored_len, c.raw_len
             FROM chunks c JOIN packs p ON p.number = c.pack WHERE c.id = ?1",
        )?;
        let rows = statement.query_map([id.as_bytes()], |row| {
            let kind = if row.get::<_, u8>(1)? == PackKind::Data as u8 { PackKind::Data } else { PackKind::Tree };
            Ok(Location {
                pack: PackId::new(row.get(0)?),
                kind,
                pack_bytes: row.get::<_, i64>(2)? as u64,
                offset: row.get(3)?,
                stored_len: row.get(4)?,
                raw_len: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// One page of all rows, after `last` (id and pack); returns how many rows there were.
    fn walk(&mut self, last: &mut ([u8; 32], i64), page: &mut Vec<(ChunkId, Location)>) -> IndexResult<usize> {
        let connection = &self.file.connection;
        let mut statement = connection.prepare_cached(
            "SELECT pack, start, stored_len, raw_len, sum, id FROM chunks WHERE (id, pack) > (?1, ?2) ORDER BY id, pack LIMIT ?3",
        )?;
        let mut rows = statement.query(params![last.0, last.1, WALK_ROWS as i64])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            *last = (row.get(5)?, row.get(0)?);
            let id = ChunkId::new(last.0);
            if let Some((_, location)) = self.view.location(connection, &id, row)? {
                page.push((id, location));
            }
        }
        Ok(count)
    }

    fn write_log(&mut self) {
        let pending = std::mem::take(&mut self.log_pending);
        if pending.is_empty() {
            return;
        }
        let write = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            insert_log(&transaction, &pending)?;
            transaction.commit()
        };
        if let Err(error) = write(&mut self.file.connection) {
            tracing::debug!(%error, "log entries were not remembered");
        }
    }
}

fn write_checkpoint(connection: &mut Connection, slot: i64, stored: &[u8]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have read on.
    let newest =
        transaction.query_row("SELECT ifnull(max(slot), 0) FROM checkpoint", [], |row| row.get::<_, i64>(0))?;
    if newest < slot {
        transaction.execute("DELETE FROM checkpoint", [])?;
        transaction.execute("INSERT INTO checkpoint (slot, stored) VALUES (?1, ?2)", params![slot, stored])?;
        transaction.execute("DELETE FROM log WHERE slot <= ?1", [slot])?;
    }
    transaction.commit()
}

fn insert_log(transaction: &Transaction<'_>, entries: &BTreeMap<u64, Bytes>) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("INSERT OR REPLACE INTO log (slot, stored) VALUES (?1, ?2)")?;
    for (slot, stored) in entries {
        statement.execute(params![*slot as i64, &stored[..]])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_entries_come_in_a_row_up_to_the_first_gap() {
        let index = LocalIndex::open(&Cache::None, RepositoryId::new([1; 16]), [2; 16]).unwrap();
        // Most of them are in the file, the last ones wait.
        for slot in (1..=600).filter(|slot| *slot != 590) {
            index.log_cache_put(slot, &slot.to_le_bytes());
        }
        let after = |slot, most| -> Vec<u64> {
            let entries = index.log_cache_after(slot, most);
            assert!(entries.iter().all(|(slot, stored)| stored[..] == slot.to_le_bytes()));
            entries.into_iter().map(|(slot, _)| slot).collect()
        };
        assert_eq!(after(0, 10), (1..=10).collect::<Vec<_>>());
        assert_eq!(after(500, 1000), (501..=589).collect::<Vec<_>>());
        assert_eq!(after(590, 1000), (591..=600).collect::<Vec<_>>());
        assert_eq!(after(589, 1000), [0; 0]);
        assert_eq!(after(600, 1000), [0; 0]);
    }
}
