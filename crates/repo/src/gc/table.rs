//! What is live: one row for each place of a record, one bit for each record, and per pack what a collection would keep of it.
//!
//! Rows are sorted by the first bits of their ids, which where they lie says, and hold the 32 bits after those, the pack's number and the
//! length: 12 bytes, and a bit. Where two ids begin alike, which the table cannot tell apart, all places of both are kept: garbage
//! may stay, what is needed never goes. Of what came since it was made, whole ids are not compared: whatever begins like something
//! else may be another record.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::PackKind;
use backstay_format::segment::Segment;

use crate::error::Result;
use crate::index::{IndexError, LocalIndex, PackInfo};

/// The start of an id, as rows and cached references hold it.
pub(super) type Prefix = u64;

pub(super) fn prefix(id: &ChunkId) -> Prefix {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("an id is longer"))
}

/// What marking met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// For the first time.
    New,
    Known,
    /// It cannot be said: another record may begin alike.
    Unclear,
    /// No valid segment names it.
    Missing,
}

/// A pack that can be read, and what marking showed of it.
#[derive(Debug, Clone)]
pub(super) struct PackUse {
    pub(super) id: PackId,
    pub(super) kind: PackKind,
    pub(super) size_bytes: u64,
    pub(super) is_condemned: bool,
    /// Retired since the table was made.
    pub(super) is_gone: bool,
    /// Found damaged: the last choice.
    pub(super) is_suspect: bool,
    /// To be rewritten, and not verified yet: what is needed of it is copied from elsewhere, before a copy elsewhere goes.
    pub(super) is_pending: bool,
    /// Written by this run, of records that rows show in other packs: the first choice.
    pub(super) is_own: bool,
    /// Records whose chosen copy is here, and their stored bytes.
    pub(super) kept_records: u64,
    pub(super) kept_bytes: u64,
}

impl PackUse {
    /// Bytes of the pack that something needs, its share of headers and directory included.
    pub(super) fn used_bytes(&self) -> u64 {
        (self.kept_bytes + self.kept_records * DIRECTORY_ROW_BYTES + FRAME_BYTES).min(self.size_bytes)
    }

    pub(super) fn unused_bytes(&self) -> u64 {
        self.size_bytes - self.used_bytes()
    }

    pub(super) fn is_garbage(&self) -> bool {
        self.kept_records == 0
    }
}

/// At least what the directory has of each record, and what every pack has besides.
const DIRECTORY_ROW_BYTES: u64 = 48;
const FRAME_BYTES: u64 = 128;
/// Rows that begin alike in the first bits are a bucket; so many rows share one on average.
const ROWS_PER_BUCKET: usize = 8;
const BUCKET_BITS_MIN: u32 = 16;

/// As many first bits of an id as the table tells apart: those of its bucket, and 32 more.
type Start = u64;

#[derive(Default)]
pub(super) struct Table {
    bucket_bits: u32,
    /// The row that each bucket begins at, and the end of the last one.
    buckets: Vec<u32>,
    /// Of each row, sorted within its bucket: the 32 bits after those of the bucket.
    rests: Vec<u32>,
    row_packs: Vec<u32>,
    row_bytes: Vec<u32>,
    /// One bit a row; that of the first row of a record counts.
    live: Vec<u64>,
    /// Beginnings that different ids share.
    ambiguous: HashSet<Start>,
    /// Of the last row.
    last_id: Option<ChunkId>,
    /// Rows of segments that came since, sorted. What this run rewrites takes the rows of what it replaces.
    added: Vec<(Start, u32, u32)>,
    /// Live ones of which there was no row before.
    added_live: HashSet<Start>,
    packs: Vec<PackUse>,
    numbers: HashMap<PackId, u32>,
}

impl Table {
    /// Everything that the index says can be read.
    pub(super) fn new(index: &LocalIndex) -> Result<Self> {
        let packs: Vec<PackInfo> = index.packs()?.into_iter().filter(|pack| pack.live).collect();
        let mut table = Self::with_room(packs.iter().map(|pack| pack.records as usize).sum());
        for pack in packs {
            table.push_pack(pack.id, pack.kind, pack.size_bytes, pack.is_condemned);
        }
        index.for_each_chunk(&mut |id, location| {
            let pack = table.numbers.get(&location.pack).copied();
            let pack = pack.unwrap_or_else(|| {
                table.push_pack(location.pack, location.kind, location.pack_bytes, false);
                table.packs.len() as u32 - 1
            });
            // The rows are checked one by one; everything below rests on their order.
            if table.last_id.is_some_and(|last| last > id) {
                return Err(IndexError::Damaged { table: "chunks" }.into());
            }
            table.push_row(id, pack, location.stored_len);
            Ok(())
        })?;
        table.end_rows();
        Ok(table)
    }

    /// An empty table for about so many rows.
    fn with_room(rows: usize) -> Self {
        let bucket_bits = (rows / ROWS_PER_BUCKET).max(1).ilog2().clamp(BUCKET_BITS_MIN, 32);
        Self {
            bucket_bits,
            buckets: Vec::with_capacity((1 << bucket_bits) + 1),
            rests: Vec::with_capacity(rows),
            row_packs: Vec::with_capacity(rows),
            row_bytes: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    /// Adds a row; they come in the order of their ids.
    fn push_row(&mut self, id: ChunkId, pack: u32, stored_bytes: u32) {
        let start = self.start(prefix(&id));
        if self.last_id.is_some_and(|last| last != id && self.start(prefix(&last)) == start) {
            self.ambiguous.insert(start);
        }
        self.last_id = Some(id);
        self.buckets.resize(self.buckets.len().max((start >> 32) as usize + 1), self.rests.len() as u32);
        self.rests.push(start as u32);
        self.row_packs.push(pack);
        self.row_bytes.push(stored_bytes);
    }

    fn end_rows(&mut self) {
        self.buckets.resize((1 << self.bucket_bits) + 1, self.rests.len() as u32);
        self.live = vec![0; self.rests.len().div_ceil(64)];
    }

    fn start(&self, prefix: Prefix) -> Start {
        prefix >> (32 - self.bucket_bits)
    }

    fn push_pack(&mut self, id: PackId, kind: PackKind, size_bytes: u64, is_condemned: bool) {
        self.numbers.insert(id, self.packs.len() as u32);
        self.packs.push(PackUse {
            id,
            kind,
            size_bytes,
            is_condemned,
            is_gone: false,
            is_suspect: false,
            is_pending: false,
            is_own: false,
            kept_records: 0,
            kept_bytes: 0,
        });
    }

    /// The rows that begin so.
    fn rows_of(&self, start: Start) -> Range<usize> {
        let bucket = (start >> 32) as usize;
        let (first, end) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        let rests = &self.rests[first..end];
        let row = rests.partition_point(|rest| *rest < start as u32);
        let length = rests[row..].iter().take_while(|rest| **rest == start as u32).count();
        first + row..first + row + length
    }

    /// Those among what came since.
    fn added_of(&self, start: Start) -> &[(Start, u32, u32)] {
        let first = self.added.partition_point(|(added, ..)| *added < start);
        let length = self.added[first..].iter().take_while(|(added, ..)| *added == start).count();
        &self.added[first..first + length]
    }

    /// Whether places that begin so may be of different records: the same, or ones that begin alike. What this run rewrote is the
    /// record of the rows before.
    fn is_unclear(&self, has_rows: bool, start: Start) -> bool {
        let of_others = self.added_of(start).iter().filter(|(_, pack, _)| !self.packs[*pack as usize].is_own).count();
        self.ambiguous.contains(&start) || of_others + usize::from(has_rows) > 1
    }

    /// Says that something needs this record.
    pub(super) fn mark(&mut self, wanted: Prefix) -> Mark {
        let start = self.start(wanted);
        let rows = self.rows_of(start);
        if rows.is_empty() && self.added_of(start).is_empty() {
            return Mark::Missing;
        }
        let is_new = if rows.is_empty() {
            self.added_live.insert(start)
        } else {
            let is_new = !self.is_live(rows.start);
            self.live[rows.start / 64] |= 1 << (rows.start % 64);
            is_new
        };
        match is_new {
            _ if self.is_unclear(!rows.is_empty(), start) => Mark::Unclear,
            true => Mark::New,
            false => Mark::Known,
        }
    }

    /// Adds the records of a segment that came since, after the packs that were retired since. `is_valid`: whether what it says of a
    /// pack counts. `is_own`: whether this run has put it, with records of packs that the table shows.
    pub(super) fn add_segment(&mut self, segment: &Segment, is_own: bool, is_valid: impl Fn(&PackId) -> bool) {
        let numbers: Vec<Option<u32>> = segment
            .packs
            .iter()
            .map(|pack| {
                // A pack that is known from another segment has its rows already.
                if !is_valid(&pack.id) || self.numbers.contains_key(&pack.id) {
                    return None;
                }
                self.push_pack(pack.id, pack.kind, pack.size_bytes, false);
                let number = self.packs.len() - 1;
                self.packs[number].is_own = is_own;
                Some(number as u32)
            })
            .collect();
        let mut is_sorted = true;
        for entry in &segment.entries {
            let Some(pack) = numbers[entry.pack as usize] else { continue };
            let start = self.start(prefix(&entry.id));
            if is_own && let Some(row) = self.gone_row(start) {
                (self.row_packs[row], self.row_bytes[row]) = (pack, entry.stored_len);
            } else {
                self.added.push((start, pack, entry.stored_len));
                is_sorted = false;
            }
        }
        if !is_sorted {
            self.added.sort_unstable();
        }
    }

    /// A row of a record in a pack that is gone, which a place of the same record may take: so a rewrite, however large, costs no
    /// memory. None where ids begin alike.
    fn gone_row(&self, start: Start) -> Option<usize> {
        let is_gone = |row: &usize| self.packs[self.row_packs[*row] as usize].is_gone;
        self.rows_of(start).find(is_gone).filter(|_| !self.ambiguous.contains(&start))
    }

    /// Says that an entry retired these packs since.
    pub(super) fn retire(&mut self, packs: &[PackId]) {
        for id in packs {
            if let Some(number) = self.numbers.get(id) {
                self.packs[*number as usize].is_gone = true;
            }
        }
    }

    pub(super) fn suspect(&mut self, id: &PackId) {
        if let Some(number) = self.numbers.get(id) {
            self.packs[*number as usize].is_suspect = true;
        }
    }

    pub(super) fn set_pending(&mut self, id: &PackId, is_pending: bool) {
        if let Some(number) = self.numbers.get(id) {
            self.packs[*number as usize].is_pending = is_pending;
        }
    }

    fn is_live(&self, row: usize) -> bool {
        self.live[row / 64] & (1 << (row % 64)) != 0
    }

    /// Chooses the copies that stay, and sums up per pack what they are. Gives back the first bits of a live record of which no copy
    /// is left, if any.
    pub(super) fn choose(&mut self) -> Option<Prefix> {
        for pack in &mut self.packs {
            (pack.kept_records, pack.kept_bytes) = (0, 0);
        }
        let mut lost = None;
        let mut added = 0;
        for bucket in 0..1usize << self.bucket_bits {
            let mut row = self.buckets[bucket] as usize;
            while row < self.buckets[bucket + 1] as usize {
                let start = (bucket as u64) << 32 | u64::from(self.rests[row]);
                let rows = self.rows_of(start);
                row = rows.end;
                // Both are sorted.
                while self.added.get(added).is_some_and(|(other, ..)| *other < start) {
                    added += 1;
                }
                if self.is_live(rows.start) {
                    let later = self.added[added..].iter().take_while(|(other, ..)| *other == start);
                    let later = later.map(|&(_, pack, bytes)| (pack, bytes));
                    // Where it cannot be said which record it is, every place stays.
                    let is_unclear = self.is_unclear(true, start);
                    let places = rows.map(|row| (self.row_packs[row], self.row_bytes[row])).chain(later);
                    if !keep(&mut self.packs, places, is_unclear) {
                        lost = Some(start);
                    }
                }
            }
        }
        for run in self.added.chunk_by(|left, right| left.0 == right.0) {
            let start = run[0].0;
            // More than one copy among what came since is left to the next collection.
            let places = run.iter().map(|&(_, pack, bytes)| (pack, bytes));
            if self.added_live.contains(&start) && !keep(&mut self.packs, places, true) {
                lost = Some(start);
            }
        }
        lost.map(|start| start << (32 - self.bucket_bits))
    }

    /// Whether the chosen copy of a record is in this pack: what [`Self::choose`] counted.
    pub(super) fn is_kept(&self, id: &ChunkId, pack: &PackId) -> bool {
        let Some(number) = self.numbers.get(pack).copied() else { return false };
        !self.packs[number as usize].is_gone
            && match self.chosen(prefix(id)) {
                Chosen::None => false,
                Chosen::One(chosen) => chosen == number,
                Chosen::All(places) => places.contains(&number),
            }
    }

    /// The same, or the chosen copy is in a pack of which nobody knows yet whether it can be read.
    pub(super) fn is_wanted(&self, id: &ChunkId, pack: &PackId) -> bool {
        let is_pending = |chosen| matches!(chosen, Chosen::One(number) if self.packs[number as usize].is_pending);
        self.is_kept(id, pack) || is_pending(self.chosen(prefix(id)))
    }

    fn chosen(&self, wanted: Prefix) -> Chosen {
        let start = self.start(wanted);
        let rows = self.rows_of(start);
        let has_rows = !rows.is_empty();
        let is_live = if has_rows { self.is_live(rows.start) } else { self.added_live.contains(&start) };
        if !is_live {
            return Chosen::None;
        }
        let places = rows.map(|row| self.row_packs[row]);
        let places = places.chain(self.added_of(start).iter().map(|(_, pack, _)| *pack));
        // More than one copy among what came since is left to the next collection.
        if !has_rows || self.is_unclear(has_rows, start) {
            return Chosen::All(places.collect());
        }
        best(&self.packs, places).map_or(Chosen::None, Chosen::One)
    }

    pub(super) fn packs(&self) -> &[PackUse] {
        &self.packs
    }

    pub(super) fn pack(&self, id: &PackId) -> Option<&PackUse> {
        self.numbers.get(id).map(|number| &self.packs[*number as usize])
    }

    pub(super) fn rows(&self) -> usize {
        self.rests.len()
    }
}

/// Which copies of a record stay.
enum Chosen {
    None,
    One(u32),
    All(Vec<u32>),
}

/// The copy that stays: not in a pack that was found damaged or is condemned, where there is another; then in one that this run has
/// written; then in the one with the lowest id.
fn best(packs: &[PackUse], copies: impl Iterator<Item = u32>) -> Option<u32> {
    let readable = copies.filter(|number| !packs[*number as usize].is_gone);
    readable.min_by_key(|number| {
        let pack = &packs[*number as usize];
        (pack.is_suspect, pack.is_condemned, !pack.is_own, pack.id)
    })
}

/// Counts the chosen place, or all of them; says whether there is one.
fn keep(packs: &mut [PackUse], places: impl Iterator<Item = (u32, u32)> + Clone, all: bool) -> bool {
    let chosen = best(packs, places.clone().map(|(pack, _)| pack));
    let mut is_kept = false;
    for (number, bytes) in places {
        let pack = &mut packs[number as usize];
        if !pack.is_gone && (all || chosen == Some(number)) {
            pack.kept_records += 1;
            pack.kept_bytes += u64::from(bytes);
            is_kept = true;
        }
    }
    is_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64, rest: u8) -> ChunkId {
        let mut bytes = [rest; ChunkId::LEN];
        bytes[..8].copy_from_slice(&first(number).to_be_bytes());
        ChunkId::new(bytes)
    }

    fn pack(number: u8) -> PackId {
        PackId::new([number; 32])
    }

    /// The number of a record, as the first bits of its id.
    fn first(number: u64) -> Prefix {
        number << 48
    }

    /// Sorted numbers of records, and the number of the pack of each.
    fn table(rows: &[(u64, u32)], packs: u8) -> Table {
        let mut table = Table::with_room(rows.len());
        for number in 0..packs {
            table.push_pack(pack(number), PackKind::Data, 1000, false);
        }
        for (number, pack) in rows {
            table.push_row(id(*number, 0), *pack, 100);
        }
        table.end_rows();
        table
    }

    fn segment(of: u8, ids: &[ChunkId]) -> Segment {
        use backstay_format::segment::{SegmentEntry, SegmentPack};
        let mut segment = Segment::new(1);
        segment.packs.push(SegmentPack { id: pack(of), kind: PackKind::Data, size_bytes: 1000 });
        let entry = |(place, id): (usize, &ChunkId)| SegmentEntry {
            id: *id,
            pack: 0,
            offset: 100 * place as u32,
            stored_len: 100,
            raw_len: 100,
        };
        segment.entries.extend(ids.iter().enumerate().map(entry));
        segment
    }

    #[test]
    fn of_records_that_begin_alike_every_place_stays_and_of_copies_one() {
        let mut table = Table::with_room(6);
        for number in 0..3 {
            table.push_pack(pack(number), PackKind::Data, 1000, false);
        }
        // Two records that the table cannot tell apart, then copies of one, which lies at the end of a bucket, and one beside it.
        let last = |rest| ChunkId::new([&[0, 6, 255, 255, 255, 255][..], &[rest; 26]].concat().try_into().unwrap());
        let next = |rest| ChunkId::new([&[0, 7, 0, 0, 0, 0][..], &[rest; 26]].concat().try_into().unwrap());
        for (id, pack) in [(id(5, 1), 0), (id(5, 2), 1), (last(1), 0), (last(1), 1), (next(1), 2)] {
            table.push_row(id, pack, 100);
        }
        table.end_rows();
        let marks = [id(5, 1), id(5, 2), last(1), last(1), next(1)].map(|id| table.mark(prefix(&id)));
        assert_eq!(marks, [Mark::Unclear, Mark::Unclear, Mark::New, Mark::Known, Mark::New]);
        assert_eq!(table.choose(), None);
        let kept = [0, 1, 2].map(|number| table.pack(&pack(number)).unwrap().kept_records);
        assert_eq!(kept, [2, 1, 1]);
        assert!(table.is_kept(&id(5, 1), &pack(0)) && table.is_kept(&id(5, 2), &pack(1)));
        assert!(table.is_kept(&last(1), &pack(0)) && !table.is_kept(&last(1), &pack(1)));
        // A rewrite takes no row of which it cannot be said whose it is.
        table.retire(&[pack(0)]);
        table.add_segment(&segment(8, &[id(5, 1), last(1)]), true, |_| true);
        assert_eq!(table.added.len(), 1);
        assert_eq!(table.choose(), None);
        assert!(table.is_kept(&id(5, 2), &pack(1)) && table.is_kept(&id(5, 1), &pack(8)));
        assert!(table.is_kept(&last(1), &pack(8)) && !table.is_kept(&last(1), &pack(1)));
    }

    #[test]
    fn a_copy_is_taken_over_while_nobody_knows_whether_the_chosen_one_can_be_read() {
        let mut table = table(&[(5, 0), (5, 1), (6, 1)], 2);
        table.mark(first(5));
        let record = id(5, 1);
        table.set_pending(&pack(0), true);
        assert_eq!((table.is_kept(&record, &pack(1)), table.is_wanted(&record, &pack(1))), (false, true));
        assert!(!table.is_wanted(&id(6, 1), &pack(1)), "nobody needs it");
        table.set_pending(&pack(0), false);
        assert!(table.is_wanted(&record, &pack(0)) && !table.is_wanted(&record, &pack(1)));
    }

    #[test]
    fn of_what_this_run_rewrote_the_new_copy_stays() {
        let mut table = table(&[(5, 0), (5, 1), (6, 1), (7, 0)], 2);
        let marked = [5, 6].map(|number| table.mark(first(number)));
        assert_eq!(marked, [Mark::New; 2]);
        table.retire(&[pack(0)]);
        table.add_segment(&segment(8, &[id(5, 1)]), true, |_| true);
        assert!(table.added.is_empty(), "it takes the row of what it replaces");
        assert_eq!(table.mark(first(5)), Mark::Known);
        assert_eq!(table.choose(), None);
        let kept = |number| table.pack(&pack(number)).unwrap().kept_records;
        assert_eq!([0, 1, 8].map(kept), [0, 1, 1]);
        assert!(table.is_kept(&id(5, 1), &pack(8)) && !table.is_wanted(&id(5, 1), &pack(1)));
        table.retire(&[pack(8)]);
        assert_eq!(table.choose(), None);
        assert!(table.is_kept(&id(5, 1), &pack(1)), "somebody else let the new one go");
    }

    #[test]
    fn what_begins_like_something_that_came_since_is_unclear_and_stays() {
        let mut table = table(&[(5, 0), (6, 0), (7, 0)], 1);
        assert_eq!([5, 5, 6].map(|number| table.mark(first(number))), [Mark::New, Mark::Known, Mark::New]);
        table.add_segment(&segment(8, &[id(5, 8), id(9, 8)]), false, |_| true);
        assert_eq!([6, 9, 9].map(|number| table.mark(first(number))), [Mark::Known, Mark::New, Mark::Known]);
        assert_eq!([5, 5].map(|number| table.mark(first(number))), [Mark::Unclear; 2], "one before and one since");
        table.add_segment(&segment(9, &[id(9, 9), id(10, 1), id(10, 2)]), false, |_| true);
        assert_eq!([9, 10, 10].map(|number| table.mark(first(number))), [Mark::Unclear; 3], "two since");
        assert_eq!(table.mark(first(11)), Mark::Missing);
        assert_eq!(table.choose(), None);
        let kept = |number| table.pack(&pack(number)).unwrap().kept_records;
        assert_eq!([0, 8, 9].map(kept), [2, 2, 3]);
        for (record, number) in [(id(5, 0), 0), (id(5, 8), 8), (id(9, 8), 8), (id(9, 9), 9), (id(6, 0), 0)] {
            assert!(table.is_kept(&record, &pack(number)), "{record} in {number}");
        }
        assert!(!table.is_kept(&id(7, 0), &pack(0)));
        table.retire(&[pack(0)]);
        assert_eq!(table.choose(), Some(first(6)), "of this there is no other copy");
    }
}
