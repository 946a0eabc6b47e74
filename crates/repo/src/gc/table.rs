//! What is live: one row for each place of a record, one bit for each record, and per pack what a collection would keep of it.
//!
//! Rows hold the first eight bytes of an id, the pack's number and the length: 16 bytes, and a bit. Where two ids begin alike, which
//! the table cannot tell apart, all places of both are kept: garbage may stay, what is needed never goes.

use std::collections::{HashMap, HashSet};

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::PackKind;
use backstay_format::segment::Segment;

use crate::error::Result;
use crate::index::{LocalIndex, PackInfo};

/// The start of an id, as rows and cached references hold it.
pub(super) type Prefix = u64;

pub(super) fn prefix(id: &ChunkId) -> Prefix {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("an id is longer"))
}

/// What marking met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// For the first time, or it cannot be said.
    New,
    Known,
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
/// Rows are found by the first bits of a prefix; so many rows share them on average.
const ROWS_PER_BUCKET: usize = 8;

pub(super) struct Table {
    /// Sorted by prefix.
    prefixes: Vec<Prefix>,
    row_packs: Vec<u32>,
    row_bytes: Vec<u32>,
    /// One bit a row; that of the first row of a record counts.
    live: Vec<u64>,
    /// Where the rows of each run of first bits begin.
    buckets: Vec<u32>,
    bucket_shift: u32,
    /// Prefixes that different ids share.
    ambiguous: HashSet<Prefix>,
    /// Rows of segments that came since: pack, bytes.
    added: HashMap<Prefix, Vec<(u32, u32)>>,
    added_live: HashSet<Prefix>,
    packs: Vec<PackUse>,
    numbers: HashMap<PackId, u32>,
}

impl Table {
    /// Everything that the index says can be read.
    pub(super) fn new(index: &LocalIndex) -> Result<Self> {
        let packs: Vec<PackInfo> = index.packs()?.into_iter().filter(|pack| pack.live).collect();
        let rows = packs.iter().map(|pack| pack.records as usize).sum();
        let mut table = Self {
            prefixes: Vec::with_capacity(rows),
            row_packs: Vec::with_capacity(rows),
            row_bytes: Vec::with_capacity(rows),
            live: Vec::new(),
            buckets: Vec::new(),
            bucket_shift: 0,
            ambiguous: HashSet::new(),
            added: HashMap::new(),
            added_live: HashSet::new(),
            packs: Vec::with_capacity(packs.len()),
            numbers: HashMap::with_capacity(packs.len()),
        };
        for pack in packs {
            table.push_pack(pack.id, pack.kind, pack.size_bytes, pack.is_condemned);
        }
        let mut last: Option<ChunkId> = None;
        index.for_each_chunk(&mut |id, location| {
            let start = prefix(&id);
            if last.is_some_and(|last| last != id && prefix(&last) == start) {
                table.ambiguous.insert(start);
            }
            last = Some(id);
            let pack = table.numbers.get(&location.pack).copied();
            let pack = pack.unwrap_or_else(|| {
                table.push_pack(location.pack, location.kind, location.pack_bytes, false);
                table.packs.len() as u32 - 1
            });
            table.prefixes.push(start);
            table.row_packs.push(pack);
            table.row_bytes.push(location.stored_len);
            Ok(())
        })?;
        table.live = vec![0; table.prefixes.len().div_ceil(64)];
        table.make_buckets();
        Ok(table)
    }

    fn push_pack(&mut self, id: PackId, kind: PackKind, size_bytes: u64, is_condemned: bool) {
        self.numbers.insert(id, self.packs.len() as u32);
        let (is_gone, is_suspect, kept_records, kept_bytes) = (false, false, 0, 0);
        self.packs.push(PackUse { id, kind, size_bytes, is_condemned, is_gone, is_suspect, kept_records, kept_bytes });
    }

    fn make_buckets(&mut self) {
        let bits = (self.prefixes.len() / ROWS_PER_BUCKET).max(1).ilog2();
        // A shift by all 64 bits would be none.
        let bits = bits.max(1);
        self.bucket_shift = 64 - bits;
        self.buckets = vec![0; (1 << bits) + 1];
        let mut row = 0;
        for bucket in 0..(1usize << bits) {
            while row < self.prefixes.len() && ((self.prefixes[row] >> self.bucket_shift) as usize) < bucket {
                row += 1;
            }
            self.buckets[bucket] = row as u32;
        }
        self.buckets[1 << bits] = self.prefixes.len() as u32;
    }

    /// The first row of a prefix.
    fn find(&self, wanted: Prefix) -> Option<usize> {
        let bucket = (wanted >> self.bucket_shift) as usize;
        let (start, end) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        let row = start + self.prefixes[start..end].partition_point(|prefix| *prefix < wanted);
        (row < end && self.prefixes[row] == wanted).then_some(row)
    }

    /// Says that something needs this record.
    pub(super) fn mark(&mut self, wanted: Prefix) -> Mark {
        let row = self.find(wanted);
        let is_added = self.added.contains_key(&wanted);
        if row.is_none() && !is_added {
            return Mark::Missing;
        }
        let mut is_new = self.ambiguous.contains(&wanted);
        if let Some(row) = row {
            let bit = 1 << (row % 64);
            is_new |= self.live[row / 64] & bit == 0;
            self.live[row / 64] |= bit;
        }
        if is_added {
            is_new |= self.added_live.insert(wanted);
        }
        if is_new { Mark::New } else { Mark::Known }
    }

    /// Adds the records of a segment that came since. `is_valid`: whether what it says of a pack counts.
    pub(super) fn add_segment(&mut self, segment: &Segment, is_valid: impl Fn(&PackId) -> bool) {
        let numbers: Vec<Option<u32>> = segment
            .packs
            .iter()
            .map(|pack| {
                if !is_valid(&pack.id) || self.numbers.contains_key(&pack.id) {
                    return None;
                }
                self.push_pack(pack.id, pack.kind, pack.size_bytes, false);
                Some(self.packs.len() as u32 - 1)
            })
            .collect();
        let mut ids: HashMap<Prefix, ChunkId> = HashMap::new();
        for entry in &segment.entries {
            let start = prefix(&entry.id);
            if *ids.entry(start).or_insert(entry.id) != entry.id {
                self.ambiguous.insert(start);
            }
            // A pack that is known from another segment has its rows already.
            let Some(pack) = numbers[entry.pack as usize] else { continue };
            self.added.entry(start).or_default().push((pack, entry.stored_len));
            if self.find(start).is_some_and(|row| self.is_live(row)) {
                self.added_live.insert(start);
            }
        }
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

    /// Whether a row of the prefix is in a pack that can be read.
    fn has_row(&self, start: Prefix) -> bool {
        let Some(row) = self.find(start) else { return false };
        let rows = self.prefixes[row..].iter().take_while(|prefix| **prefix == start).count();
        self.row_packs[row..row + rows].iter().any(|pack| !self.packs[*pack as usize].is_gone)
    }

    fn is_live(&self, row: usize) -> bool {
        self.live[row / 64] & (1 << (row % 64)) != 0
    }

    /// Chooses the copies that stay, and sums up per pack what they are. Gives back a live record of which no copy is left, if any.
    pub(super) fn choose(&mut self) -> Option<Prefix> {
        for pack in &mut self.packs {
            (pack.kept_records, pack.kept_bytes) = (0, 0);
        }
        let mut lost = None;
        let mut row = 0;
        while row < self.prefixes.len() {
            let start = self.prefixes[row];
            let end = row + self.prefixes[row..].iter().take_while(|prefix| **prefix == start).count();
            if self.is_live(row) {
                let places = (row..end).map(|row| (self.row_packs[row], self.row_bytes[row]));
                // What a later segment names may be the same record or another that begins alike: every place stays.
                let is_unclear = self.ambiguous.contains(&start) || self.added.contains_key(&start);
                let kept = keep(&mut self.packs, places, is_unclear);
                if !kept && !self.added.contains_key(&start) {
                    lost = Some(start);
                }
            }
            row = end;
        }
        let added: Vec<Prefix> = self.added_live.iter().copied().collect();
        for start in added {
            let places = self.added[&start].iter().copied();
            // More than one copy among what came since is left to the next collection.
            let is_kept = keep(&mut self.packs, places, true) || self.has_row(start);
            if !is_kept {
                lost = Some(start);
            }
        }
        lost
    }

    /// Whether the chosen copy of a record is in this pack: what [`Self::choose`] counted.
    pub(super) fn is_kept(&self, id: &ChunkId, pack: &PackId) -> bool {
        let start = prefix(id);
        let Some(number) = self.numbers.get(pack).copied() else { return false };
        if self.packs[number as usize].is_gone {
            return false;
        }
        let added = self.added.get(&start);
        if self.added_live.contains(&start) && added.is_some_and(|rows| rows.iter().any(|(pack, _)| *pack == number)) {
            return true;
        }
        let Some(row) = self.find(start).filter(|row| self.is_live(*row)) else { return false };
        let end = row + self.prefixes[row..].iter().take_while(|prefix| **prefix == start).count();
        let mut packs = self.row_packs[row..end].iter().copied();
        if self.ambiguous.contains(&start) || added.is_some() {
            return packs.any(|pack| pack == number);
        }
        best(&self.packs, packs) == Some(number)
    }

    pub(super) fn packs(&self) -> &[PackUse] {
        &self.packs
    }

    pub(super) fn pack(&self, id: &PackId) -> Option<&PackUse> {
        self.numbers.get(id).map(|number| &self.packs[*number as usize])
    }

    pub(super) fn rows(&self) -> usize {
        self.prefixes.len()
    }
}

/// The copy that stays: in a pack that is not condemned where there is one, then in the one with the lowest id.
fn best(packs: &[PackUse], copies: impl Iterator<Item = u32>) -> Option<u32> {
    let readable = copies.filter(|number| !packs[*number as usize].is_gone);
    readable.min_by_key(|number| {
        let pack = &packs[*number as usize];
        (pack.is_suspect, pack.is_condemned, pack.id)
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
