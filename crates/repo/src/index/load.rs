//! Fills the file: segments that a state names and the file does not have come in, those that are gone go out.
//!
//! Segments are read from the store before the file is locked: no other process waits for the network.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use backstay_format::ids::{PackId, SegmentId};
use backstay_format::segment::{Segment, SegmentEntry, SegmentPack};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::sort::Sorter;
use super::view::{Digest, View, chunk_sum, link_sum, pack_sum, segment_sum};
use super::{IndexError, IndexResult, Inner, RefreshReport, SegmentSource};
use crate::error::{RepoError, Result};
use crate::protocol::State;

/// From here on a fresh file is written without a journal, sorted as a whole.
const BULK_ENTRIES_MIN: u64 = 100_000;
/// Entries that are added to a file in use in one transaction.
const BATCH_ENTRIES: usize = 256 << 10;
/// Rows of packs that no segment names stay until they are this many and a quarter of all: removing them reads everything.
const UNNAMED_RECORDS_MIN: i64 = 50_000;
/// Another process may forget segments while this one loads them; it has a reason to only once or twice.
const ROUNDS_MAX: u32 = 4;

impl Inner {
    pub(super) fn refresh(&mut self, state: &State, source: &dyn SegmentSource) -> Result<RefreshReport> {
        self.write_log();
        let mut report = RefreshReport::default();
        let mut outcome = if self.is_damaged { self.begin_anew(true, &mut report) } else { Ok(()) };
        for is_in_place in [true, false] {
            match outcome.map_err(RepoError::from).and_then(|()| self.try_refresh(state, source, &mut report)) {
                Err(RepoError::Index(error)) => {
                    tracing::info!(
                        error = &error as &dyn std::error::Error,
                        "the local index is of no use and is built anew"
                    );
                    outcome = self.begin_anew(is_in_place && error.is_damage(), &mut report);
                }
                done => return done.map(|()| report),
            }
        }
        outcome?;
        self.try_refresh(state, source, &mut report)?;
        Ok(report)
    }

    /// Goes on with an empty file, in the cache folder or elsewhere.
    fn begin_anew(&mut self, is_in_place: bool, report: &mut RefreshReport) -> IndexResult<()> {
        self.view = View::default();
        self.is_damaged = false;
        *report = RefreshReport { rebuilt: true, ..RefreshReport::default() };
        if is_in_place { self.file.replace() } else { self.file.leave() }
    }

    fn try_refresh(&mut self, state: &State, source: &dyn SegmentSource, report: &mut RefreshReport) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            let known = segments(&self.file.connection)?;
            let missing: Vec<_> = state.segments().values().filter(|record| !known.contains_key(&record.id)).collect();
            if missing.is_empty() {
                report.segments_dropped += self.forget_vanished(state, &known)?;
                // Read again: another process may have dropped what was there.
                if let Some(view) = View::new(state, &segments(&self.file.connection)?) {
                    self.view = view;
                    self.file.settle()?;
                    return Ok(());
                }
                continue;
            }
            let entries: u64 = missing.iter().map(|record| record.entries).sum();
            let is_bulk = known.is_empty() && entries >= BULK_ENTRIES_MIN;
            let mut batch = Batch::new(self.file.sort_folder());
            for record in missing {
                let segment = source.fetch(&record.id)?;
                if !is_bulk && batch.entries > 0 && batch.entries + segment.entries.len() > BATCH_ENTRIES {
                    let full = std::mem::replace(&mut batch, Batch::new(self.file.sort_folder()));
                    self.write(full)?;
                }
                batch.add(record.id, &segment)?;
                report.segments_loaded += 1;
            }
            if is_bulk && self.file.begin_bulk()? {
                self.write(batch)?;
                self.file.end_bulk()?;
            } else {
                self.write(batch)?;
            }
        }
        Err(IndexError::InUse.into())
    }

    fn write(&mut self, batch: Batch) -> IndexResult<()> {
        let transaction = self.file.begin()?;
        batch.write(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Drops segments that the state does not name. A process that has read less of the log than another one drops nothing:
    /// what it does not know may be newer.
    fn forget_vanished(&mut self, state: &State, known: &HashMap<SegmentId, i64>) -> IndexResult<u64> {
        let gone: Vec<i64> =
            known.iter().filter(|(id, _)| !state.segments().contains_key(id)).map(|(_, number)| *number).collect();
        let newest = |connection: &Connection| {
            connection.prepare_cached("SELECT slot FROM meta")?.query_row([], |row| row.get::<_, i64>(0))
        };
        let slot = state.slot() as i64;
        match newest(&self.file.connection)?.cmp(&slot) {
            Ordering::Greater => return Ok(0),
            Ordering::Equal if gone.is_empty() => return Ok(0),
            _ => {}
        }
        let transaction = self.file.begin()?;
        if newest(&transaction)? > slot {
            return Ok(0);
        }
        transaction.execute("UPDATE meta SET slot = ?1", [slot])?;
        if !gone.is_empty() {
            for number in &gone {
                transaction.execute("DELETE FROM segments WHERE number = ?1", [number])?;
            }
            transaction.execute("DELETE FROM segment_packs WHERE segment NOT IN (SELECT number FROM segments)", [])?;
            sweep(&transaction)?;
        }
        transaction.commit()?;
        Ok(gone.len() as u64)
    }
}

/// Removes packs that no segment names, and their rows, once they are many.
fn sweep(transaction: &Transaction<'_>) -> IndexResult<()> {
    let (unnamed, all): (i64, i64) = transaction.query_row(
        "SELECT ifnull(sum(records) FILTER (WHERE number NOT IN (SELECT pack FROM segment_packs)), 0), ifnull(sum(records), 0)
         FROM packs",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if unnamed >= UNNAMED_RECORDS_MIN && unnamed >= all / 4 {
        transaction.execute("DELETE FROM packs WHERE number NOT IN (SELECT pack FROM segment_packs)", [])?;
        transaction.execute("DELETE FROM chunks WHERE pack NOT IN (SELECT number FROM packs)", [])?;
    }
    Ok(())
}

fn segments(connection: &Connection) -> IndexResult<HashMap<SegmentId, i64>> {
    let mut statement = connection.prepare_cached("SELECT number, id, sum FROM segments")?;
    let mut rows = statement.query([])?;
    let mut segments = HashMap::new();
    while let Some(row) = rows.next()? {
        let (number, id) = (row.get(0)?, SegmentId::new(row.get(1)?));
        if row.get::<_, i32>(2)? != segment_sum(number, &id) {
            return Err(IndexError::Damaged { table: "segments" });
        }
        segments.insert(id, number);
    }
    Ok(segments)
}

/// Segments on their way into the file.
pub(super) struct Batch {
    /// With the positions of their packs in `packs`.
    segments: Vec<(SegmentId, Vec<u32>)>,
    packs: Vec<NewPack>,
    /// A pack's id and the digest of its entries: two segments may know different records of a pack, after a repair.
    positions: HashMap<(PackId, i64), u32>,
    /// Rows whose pack is a position in `packs`.
    rows: Sorter,
    sort_folder: PathBuf,
    entries: usize,
}

struct NewPack {
    pack: SegmentPack,
    digest: i64,
    records: i64,
}

impl Batch {
    pub(super) fn new(sort_folder: PathBuf) -> Self {
        Self {
            segments: Vec::new(),
            packs: Vec::new(),
            positions: HashMap::new(),
            rows: Sorter::new(sort_folder.clone()),
            sort_folder,
            entries: 0,
        }
    }

    pub(super) fn add(&mut self, id: SegmentId, segment: &Segment) -> IndexResult<()> {
        let first_new = self.packs.len() as u32;
        let mut positions = Vec::with_capacity(segment.packs.len());
        for (pack, (digest, records)) in segment.packs.iter().zip(Digest::of_segment(segment)) {
            let digest = digest.column();
            let position = *self.positions.entry((pack.id, digest)).or_insert_with(|| {
                self.packs.push(NewPack { pack: *pack, digest, records: records.into() });
                self.packs.len() as u32 - 1
            });
            positions.push(position);
        }
        for entry in &segment.entries {
            let pack = positions[entry.pack as usize];
            if pack >= first_new {
                self.rows.push(SegmentEntry { pack, ..*entry }).map_err(|error| self.sort_failed(error))?;
                self.entries += 1;
            }
        }
        self.segments.push((id, positions));
        Ok(())
    }

    /// Writes what the file does not have yet: another process may have been faster.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> IndexResult<()> {
        let sort_folder = self.sort_folder;
        let packs =
            self.packs.iter().map(|pack| insert_pack(transaction, pack)).collect::<IndexResult<Vec<(i64, bool)>>>()?;
        for (id, positions) in &self.segments {
            let numbers: HashSet<i64> = positions.iter().map(|position| packs[*position as usize].0).collect();
            insert_segment(transaction, id, &numbers)?;
        }
        let mut statement = transaction.prepare_cached(
            "INSERT OR IGNORE INTO chunks (id, pack, start, stored_len, raw_len, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let written = self.rows.finish(|row| {
            let (pack, is_new) = packs[row.pack as usize];
            if is_new {
                let sum = chunk_sum(&row.id, pack, row.offset, row.stored_len, row.raw_len);
                statement.execute(params![row.id.as_bytes(), pack, row.offset, row.stored_len, row.raw_len, sum])?;
            }
            Ok(())
        });
        written.map_err(|error| match error {
            WriteError::Sqlite(error) => error.into(),
            WriteError::Sort(source) => IndexError::Folder { folder: sort_folder, source },
        })
    }

    fn sort_failed(&self, source: std::io::Error) -> IndexError {
        IndexError::Folder { folder: self.sort_folder.clone(), source }
    }
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Sort(#[from] std::io::Error),
}

/// The pack's number, and whether its rows are still to be written.
fn insert_pack(transaction: &Transaction<'_>, new: &NewPack) -> IndexResult<(i64, bool)> {
    let NewPack { pack, digest, records } = new;
    let known: Option<i64> = transaction
        .prepare_cached("SELECT number FROM packs WHERE id = ?1 AND digest = ?2")?
        .query_row(params![pack.id.as_bytes(), digest], |row| row.get(0))
        .optional()?;
    if let Some(number) = known {
        return Ok((number, false));
    }
    transaction
        .prepare_cached(
            "INSERT INTO packs (id, kind, size_bytes, records, digest, sum) VALUES (?1, ?2, ?3, ?4, ?5, 0)",
        )?
        .execute(params![pack.id.as_bytes(), pack.kind as u8, pack.size_bytes as i64, records, digest])?;
    let number = transaction.last_insert_rowid();
    let sum = pack_sum(number, &pack.id, pack.kind as u8, pack.size_bytes as i64, *records, *digest);
    transaction.prepare_cached("UPDATE packs SET sum = ?2 WHERE number = ?1")?.execute(params![number, sum])?;
    Ok((number, true))
}

fn insert_segment(transaction: &Transaction<'_>, id: &SegmentId, packs: &HashSet<i64>) -> IndexResult<()> {
    let is_new = transaction
        .prepare_cached("INSERT OR IGNORE INTO segments (id, sum) VALUES (?1, 0)")?
        .execute([id.as_bytes()])?;
    if is_new == 0 {
        return Ok(());
    }
    let segment = transaction.last_insert_rowid();
    let sum = segment_sum(segment, id);
    transaction.prepare_cached("UPDATE segments SET sum = ?2 WHERE number = ?1")?.execute(params![segment, sum])?;
    let mut link = transaction.prepare_cached("INSERT INTO segment_packs (pack, segment, sum) VALUES (?1, ?2, ?3)")?;
    for pack in packs {
        link.execute(params![pack, segment, link_sum(*pack, segment)])?;
    }
    Ok(())
}
