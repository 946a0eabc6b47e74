//! What is needed: one row for each place of a record, what needs the record, and per pack what a collection would keep of it.
//!
//! Rows are sorted by the first bits of their ids, which where they lie says, and hold the 32 bits after those, the pack's number, the
//! length, and what needs the record: 12 bytes. Where two ids begin alike, which the table cannot tell apart, all places of both are kept:
//! garbage may stay, what is needed never goes. Of what came since it was made, whole ids are not compared: whatever begins like something
//! else may be another record.
//!
//! A record is needed as long as a snapshot or a node that is needed names it. Their namings are counted, each node's once: so what a
//! snapshot was alone with can be taken out again without a look at anything else. Nodes cannot name each other in a circle, as each is
//! named by its hash: a node whose count is not 0 is below a snapshot. [`Table::is_proven`] checks the counts.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::PackKind;
use backstay_format::segment::Segment;

use crate::error::Result;
use crate::index::{Digest, IndexError, LocalIndex, PackInfo, mix};

/// The start of an id, as rows and cached references hold it.
pub(super) type Prefix = u64;

pub(super) fn prefix(id: &ChunkId) -> Prefix {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("an id is longer"))
}

/// What a use of a record adds to the weight of everything.
pub(super) fn use_weight(record: Prefix) -> u64 {
    weight_of_head(record >> (64 - HEAD_BITS))
}

/// The same of a node that is counted.
pub(super) fn node_weight(node: Prefix) -> u64 {
    weight_of_head(!(node >> (64 - HEAD_BITS)))
}

fn weight_of_head(head: u64) -> u64 {
    mix(mix(1, head), 1)
}

/// What a row adds to the weight of its pack's rows.
fn row_weight(start: Start, place: Place) -> u64 {
    mix(mix(2, start), place.stored_bytes().into())
}

/// What a use of a node met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// What it names is not counted yet.
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
    /// Of what segments say of it, and the sum of the weights of its rows.
    pub(super) digest: i64,
    pub(super) rows_weight: u64,
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
    pub(super) fn new(id: PackId, kind: PackKind, size_bytes: u64, digest: i64) -> Self {
        Self {
            id,
            kind,
            size_bytes,
            digest,
            rows_weight: 0,
            is_condemned: false,
            is_gone: false,
            is_suspect: false,
            is_pending: false,
            is_own: false,
            kept_records: 0,
            kept_bytes: 0,
        }
    }

    /// As the local index knows it.
    pub(super) fn of(info: &PackInfo) -> Self {
        let of = Self::new(info.id, info.kind, info.size_bytes, info.digest);
        Self { is_condemned: info.is_condemned, ..of }
    }

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
/// A table that has grown to so many is made anew.
const ROWS_PER_BUCKET_MAX: usize = 32;
pub(super) const BUCKET_BITS_MIN: u32 = 16;
/// The first bits of an id that every table knows.
const HEAD_BITS: u32 = BUCKET_BITS_MIN + 32;

/// As many first bits of an id as the table tells apart: those of its bucket, and 32 more.
pub(super) type Start = u64;

/// What needs a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// How often snapshots and counted nodes name it.
    pub(super) uses: u32,
    /// It is a node, and what it names is counted.
    pub(super) is_counted: bool,
}

/// A place of a record, and in the first one of a record what needs it. From the lowest bit: the pack's number (28 bits), stored bytes (25),
/// uses (10), whether it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u64);

impl Place {
    const PACK_BITS: u32 = 28;
    const BYTES_BITS: u32 = 25;
    const USES_SHIFT: u32 = Self::PACK_BITS + Self::BYTES_BITS;
    const PLACE: u64 = (1 << Self::USES_SHIFT) - 1;
    const COUNTED: u64 = 1 << 63;
    /// So many uses are counted elsewhere.
    const MANY: u32 = 1023;

    /// Neither limit is ever met: so many packs do not fit into memory, and no record is as long.
    fn new(pack: u32, stored_bytes: u32) -> Self {
        debug_assert!(pack < 1 << Self::PACK_BITS, "{pack} packs");
        let bytes = stored_bytes.min((1 << Self::BYTES_BITS) - 1);
        Self(u64::from(bytes) << Self::PACK_BITS | u64::from(pack))
    }

    pub(super) fn pack(self) -> u32 {
        (self.0 & ((1 << Self::PACK_BITS) - 1)) as u32
    }

    fn stored_bytes(self) -> u32 {
        ((self.0 & Self::PLACE) >> Self::PACK_BITS) as u32
    }

    fn uses(self) -> u32 {
        (self.0 >> Self::USES_SHIFT) as u32 & Self::MANY
    }

    fn set_uses(&mut self, uses: u32) {
        self.0 = self.0 & !(u64::from(Self::MANY) << Self::USES_SHIFT) | u64::from(uses) << Self::USES_SHIFT;
    }

    fn is_counted(self) -> bool {
        self.0 & Self::COUNTED != 0
    }

    fn set_counted(&mut self, is_counted: bool) {
        self.0 = self.0 & !Self::COUNTED | if is_counted { Self::COUNTED } else { 0 };
    }

    /// The same need at another place.
    fn moved_to(self, place: Self) -> Self {
        Self(self.0 & !Self::PLACE | place.0 & Self::PLACE)
    }
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) bucket_bits: u32,
    /// The row that each bucket begins at, and the end of the last one.
    pub(super) buckets: Vec<u32>,
    /// Of each row, sorted within its bucket: the 32 bits after those of the bucket.
    pub(super) rests: Vec<u32>,
    pub(super) places: Vec<Place>,
    /// Uses of records that have more than a row can count.
    pub(super) many: HashMap<Start, u32>,
    /// Beginnings that different ids share.
    pub(super) ambiguous: HashSet<Start>,
    /// Of the last row.
    last_id: Option<ChunkId>,
    /// Rows of segments that came since, sorted. What this run rewrites takes the rows of what it replaces.
    added: Vec<(Start, u32, u32)>,
    /// What needs records without a row.
    pub(super) rowless: HashMap<Start, Need>,
    packs: Vec<PackUse>,
    numbers: HashMap<PackId, u32>,
}

impl Table {
    /// Everything that the index says can be read.
    pub(super) fn new(index: &LocalIndex) -> Result<Self> {
        let packs: Vec<PackInfo> = index.packs()?.into_iter().filter(|pack| pack.live).collect();
        let mut table = Self::with_room(packs.iter().map(|pack| pack.records as usize).sum());
        // Of the rows that come, not of those that should.
        let mut digests = Vec::with_capacity(packs.len());
        for pack in packs {
            digests.push(Digest::of_pack(pack.kind, pack.size_bytes));
            table.push_pack(PackUse::of(&pack));
        }
        index.for_each_chunk(&mut |id, location| {
            let pack = table.numbers.get(&location.pack).copied();
            let pack = pack.unwrap_or_else(|| {
                digests.push(Digest::of_pack(location.kind, location.pack_bytes));
                table.push_pack(PackUse::new(location.pack, location.kind, location.pack_bytes, 0))
            });
            digests[pack as usize].add(&id, location.offset, location.stored_len, location.raw_len);
            // The rows are checked one by one; everything below rests on their order.
            if table.last_id.is_some_and(|last| last > id) {
                return Err(IndexError::Damaged { table: "chunks" }.into());
            }
            table.push_row(id, pack, location.stored_len);
            Ok(())
        })?;
        for (pack, digest) in table.packs.iter_mut().zip(digests) {
            pack.digest = digest.column();
        }
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
            places: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    /// One to be filled from a file.
    pub(super) fn with_bucket_bits(bucket_bits: u32) -> Self {
        Self { bucket_bits, ..Self::default() }
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
        let place = self.placed(start, pack, stored_bytes);
        self.places.push(place);
    }

    /// A row of a pack, which knows of it.
    fn placed(&mut self, start: Start, pack: u32, stored_bytes: u32) -> Place {
        let place = Place::new(pack, stored_bytes);
        let weight = &mut self.packs[pack as usize].rows_weight;
        *weight = weight.wrapping_add(row_weight(start, place));
        place
    }

    pub(super) fn end_rows(&mut self) {
        self.buckets.resize((1 << self.bucket_bits) + 1, self.rests.len() as u32);
    }

    fn start(&self, prefix: Prefix) -> Start {
        prefix >> (32 - self.bucket_bits)
    }

    /// The first and the last beginning of an id that a record of this start may have.
    fn prefixes(&self, start: Start) -> (Prefix, Prefix) {
        let unknown_bits = 32 - self.bucket_bits;
        let first = start << unknown_bits;
        (first, first | ((1 << unknown_bits) - 1))
    }

    /// Gives back its number.
    pub(super) fn push_pack(&mut self, pack: PackUse) -> u32 {
        let number = self.packs.len() as u32;
        self.numbers.insert(pack.id, number);
        self.packs.push(pack);
        number
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

    /// Says that something names this node, whose own names are counted from now on.
    pub(super) fn use_node(&mut self, node: Prefix) -> Mark {
        if !self.add_use(node) {
            return Mark::Missing;
        }
        let start = self.start(node);
        let rows = self.rows_of(start);
        let was_counted = if rows.is_empty() {
            let need = self.rowless.entry(start).or_default();
            std::mem::replace(&mut need.is_counted, true)
        } else {
            let place = &mut self.places[rows.start];
            let before = place.is_counted();
            place.set_counted(true);
            before
        };
        match was_counted {
            _ if self.is_unclear(!rows.is_empty(), start) => Mark::Unclear,
            true => Mark::Known,
            false => Mark::New,
        }
    }

    /// Takes such a use back, and says whether it was the last one: then what the node names is counted no longer, and is to be taken
    /// back as well. `None` where there was no use.
    pub(super) fn disuse_node(&mut self, node: Prefix) -> Option<bool> {
        if !(self.is_counted(node) && self.take_use(node)) {
            return None;
        }
        let start = self.start(node);
        let rows = self.rows_of(start);
        if rows.is_empty() {
            let is_last = self.rowless.get(&start).is_some_and(|need| need.uses == 0);
            if is_last {
                self.rowless.remove(&start);
            }
            return Some(is_last);
        }
        let place = &mut self.places[rows.start];
        let is_last = place.uses() == 0;
        place.set_counted(!is_last);
        Some(is_last)
    }

    /// Whether what this node names is counted, or what one names that begins alike.
    pub(super) fn is_counted(&self, node: Prefix) -> bool {
        let start = self.start(node);
        let rows = self.rows_of(start);
        let rowless = || self.rowless.get(&start).is_some_and(|need| need.is_counted);
        if rows.is_empty() { rowless() } else { self.places[rows.start].is_counted() }
    }

    /// Says that something names this record; false where no valid segment does.
    #[must_use]
    pub(super) fn add_use(&mut self, record: Prefix) -> bool {
        let start = self.start(record);
        let rows = self.rows_of(start);
        if rows.is_empty() {
            if self.added_of(start).is_empty() {
                return false;
            }
            self.rowless.entry(start).or_default().uses += 1;
            return true;
        }
        let place = &mut self.places[rows.start];
        match place.uses() {
            Place::MANY => *self.many.entry(start).or_insert(Place::MANY) += 1,
            uses => {
                place.set_uses(uses + 1);
                if uses + 1 == Place::MANY {
                    self.many.insert(start, Place::MANY);
                }
            }
        }
        true
    }

    /// Takes a use back; false where there was none.
    #[must_use]
    pub(super) fn take_use(&mut self, record: Prefix) -> bool {
        let start = self.start(record);
        let rows = self.rows_of(start);
        if rows.is_empty() {
            let Some(need) = self.rowless.get_mut(&start).filter(|need| need.uses > 0) else { return false };
            need.uses -= 1;
            if *need == Need::default() {
                self.rowless.remove(&start);
            }
            return true;
        }
        let place = &mut self.places[rows.start];
        match place.uses() {
            0 => return false,
            Place::MANY => {
                let uses = self.many.entry(start).or_insert(Place::MANY);
                *uses -= 1;
                if *uses < Place::MANY {
                    place.set_uses(*uses);
                    self.many.remove(&start);
                }
            }
            uses => place.set_uses(uses - 1),
        }
        true
    }

    fn starts(&self) -> impl Iterator<Item = (Start, Place)> {
        (0..1usize << self.bucket_bits).flat_map(move |bucket| {
            let rows = self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize;
            rows.map(move |row| ((bucket as u64) << 32 | u64::from(self.rests[row]), self.places[row]))
        })
    }

    /// The sum of the weights of everything that is counted: of each node, and of each use. Who counts a node knows what it has to become.
    pub(super) fn weight(&self) -> u64 {
        let shift = self.bucket_bits - BUCKET_BITS_MIN;
        let of = |start: Start, uses: u32, is_counted: bool| {
            let head = start >> shift;
            let node = if is_counted { weight_of_head(!head) } else { 0 };
            weight_of_head(head).wrapping_mul(u64::from(uses)).wrapping_add(node)
        };
        let mut sum = 0u64;
        for (start, place) in self.starts().filter(|(_, place)| place.uses() > 0 || place.is_counted()) {
            let uses = match place.uses() {
                Place::MANY => self.many.get(&start).copied().unwrap_or(Place::MANY),
                uses => uses,
            };
            sum = sum.wrapping_add(of(start, uses, place.is_counted()));
        }
        let rowless = self.rowless.iter().map(|(start, need)| of(*start, need.uses, need.is_counted));
        rowless.fold(sum, u64::wrapping_add)
    }

    /// Whether everything adds up, in a table that was compacted: all uses to this weight, and the rows of each pack to what was put in
    /// for it.
    pub(super) fn is_proven(&self, weight: u64) -> bool {
        let mut sums = vec![0u64; self.packs.len()];
        for (start, place) in self.starts() {
            let Some(sum) = sums.get_mut(place.pack() as usize) else { return false };
            *sum = sum.wrapping_add(row_weight(start, place));
        }
        self.weight() == weight && self.packs.iter().zip(sums).all(|(pack, sum)| pack.rows_weight == sum)
    }

    /// Whether the arrays fit each other, as far as everything else takes it for granted.
    pub(super) fn is_well_formed(&self) -> bool {
        let ends = (self.buckets.first(), self.buckets.last());
        ends == (Some(&0), Some(&(self.rests.len() as u32)))
            && self.buckets.is_sorted()
            && self.places.iter().all(|place| (place.pack() as usize) < self.packs.len())
    }

    /// Leaves out the rows of packs that are gone, and of those that only some rows show.
    pub(super) fn compact(&mut self) {
        let partial: HashSet<u32> = self.added.iter().map(|(_, pack, _)| *pack).collect();
        let mut numbers = vec![None; self.packs.len()];
        let packs = std::mem::take(&mut self.packs);
        self.numbers.clear();
        for (number, pack) in (0..).zip(packs) {
            if !pack.is_gone && !partial.contains(&number) {
                numbers[number as usize] = Some(self.push_pack(pack));
            }
        }
        self.added.clear();
        let (mut row, mut kept) = (0, 0);
        for bucket in 0..1usize << self.bucket_bits {
            let end = self.buckets[bucket + 1] as usize;
            self.buckets[bucket] = kept as u32;
            while row < end {
                let rest = self.rests[row];
                let (first, mut need) = (kept, Some(self.places[row]));
                while row < end && self.rests[row] == rest {
                    let place = self.places[row];
                    if let Some(pack) = numbers[place.pack() as usize] {
                        let place = Place::new(pack, place.stored_bytes());
                        self.rests[kept] = rest;
                        self.places[kept] = need.take().map_or(place, |need| need.moved_to(place));
                        kept += 1;
                    }
                    row += 1;
                }
                if kept == first
                    && let Some(need) = need
                {
                    self.orphan((bucket as u64) << 32 | u64::from(rest), need);
                }
            }
        }
        let last = self.buckets.len() - 1;
        self.buckets[last] = kept as u32;
        self.rests.truncate(kept);
        self.places.truncate(kept);
    }

    /// No row of this record is left.
    fn orphan(&mut self, start: Start, place: Place) {
        let uses = self.many.remove(&start).unwrap_or(place.uses());
        let need = Need { uses, is_counted: place.is_counted() };
        if need == Need::default() {
            self.ambiguous.remove(&start);
        } else {
            self.rowless.insert(start, need);
        }
    }

    /// Puts rows (id, number of a pack, stored bytes) in their places, sorted as they are.
    pub(super) fn insert(&mut self, new: &[(ChunkId, u32, u32)], ids: &dyn WholeIds) -> Result<()> {
        let shift = 32 - self.bucket_bits;
        for group in new.chunk_by(|left, right| prefix(&left.0) >> shift == prefix(&right.0) >> shift) {
            let id = group[0].0;
            let start = self.start(prefix(&id));
            let before = self.rows_of(start).len();
            let is_counted = self.rowless.get(&start).is_some_and(|need| need.is_counted);
            let are_alike = group.iter().all(|row| row.0 == id);
            let is_one = are_alike
                && (before == 0 || ids.places(&id)? == before + group.len())
                // A node that waits for a place: this may be another one, which is not counted.
                && (!is_counted || ids.is_only_node(&id, self.prefixes(start))?);
            if !is_one {
                self.ambiguous.insert(start);
            }
        }
        // From the end on, so that nothing is kept twice.
        let (mut old, mut end) = (self.rests.len(), self.rests.len() + new.len());
        self.rests.reserve_exact(new.len());
        self.rests.resize(end, 0);
        self.places.reserve_exact(new.len());
        self.places.resize(end, Place(0));
        let mut waiting = new;
        for bucket in (0..1usize << self.bucket_bits).rev() {
            if waiting.is_empty() {
                break;
            }
            let first = self.buckets[bucket] as usize;
            self.buckets[bucket + 1] = end as u32;
            loop {
                let next = waiting.last().filter(|row| self.start(prefix(&row.0)) >> 32 == bucket as u64);
                end -= match next {
                    // What is new comes after what is alike: the first row says what needs the record.
                    Some((id, pack, bytes)) if old == first || self.start(prefix(id)) as u32 >= self.rests[old - 1] => {
                        let start = self.start(prefix(id));
                        self.rests[end - 1] = start as u32;
                        self.places[end - 1] = self.placed(start, *pack, *bytes);
                        waiting = &waiting[..waiting.len() - 1];
                        1
                    }
                    _ if old > first => {
                        old -= 1;
                        self.rests[end - 1] = self.rests[old];
                        self.places[end - 1] = self.places[old];
                        1
                    }
                    _ => break,
                };
            }
        }
        for (id, ..) in new {
            let start = self.start(prefix(id));
            let Some(need) = self.rowless.remove(&start) else { continue };
            let row = self.rows_of(start).start;
            let place = &mut self.places[row];
            place.set_uses(need.uses.min(Place::MANY));
            place.set_counted(need.is_counted);
            if need.uses >= Place::MANY {
                self.many.insert(start, need.uses);
            }
        }
        Ok(())
    }

    /// Whether buckets have become so long that a new table would be better.
    pub(super) fn is_crowded(&self, more: usize) -> bool {
        (self.rests.len() + more) / ROWS_PER_BUCKET_MAX > 1 << self.bucket_bits
    }

    /// Adds the records of a segment that came since, after the packs that were retired since. `is_valid`: whether what it says of a
    /// pack counts. `is_own`: whether this run has put it, with records of packs that the table shows.
    pub(super) fn add_segment(&mut self, segment: &Segment, is_own: bool, is_valid: impl Fn(&PackId) -> bool) {
        let numbers: Vec<Option<u32>> = segment
            .packs
            .iter()
            .zip(Digest::of_segment(segment))
            .map(|(pack, (digest, _))| {
                // A pack that is known from another segment has its rows already.
                if !is_valid(&pack.id) || self.numbers.contains_key(&pack.id) {
                    return None;
                }
                let known = PackUse::new(pack.id, pack.kind, pack.size_bytes, digest.column());
                Some(self.push_pack(PackUse { is_own, ..known }))
            })
            .collect();
        let mut is_sorted = true;
        for entry in &segment.entries {
            let Some(pack) = numbers[entry.pack as usize] else { continue };
            let start = self.start(prefix(&entry.id));
            if is_own && let Some(row) = self.gone_row(start) {
                self.places[row] = self.places[row].moved_to(self.placed(start, pack, entry.stored_len));
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
        let is_gone = |row: &usize| self.packs[self.places[*row].pack() as usize].is_gone;
        self.rows_of(start).find(is_gone).filter(|_| !self.is_unclear(true, start))
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

    pub(super) fn set_condemned(&mut self, id: &PackId, is_condemned: bool) {
        if let Some(number) = self.numbers.get(id) {
            self.packs[*number as usize].is_condemned = is_condemned;
        }
    }

    pub(super) fn set_pending(&mut self, id: &PackId, is_pending: bool) {
        if let Some(number) = self.numbers.get(id) {
            self.packs[*number as usize].is_pending = is_pending;
        }
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
                if self.places[rows.start].uses() > 0 {
                    let later = self.added[added..].iter().take_while(|(other, ..)| *other == start);
                    let later = later.map(|&(_, pack, bytes)| (pack, bytes));
                    // Where it cannot be said which record it is, every place stays.
                    let is_unclear = self.is_unclear(true, start);
                    let places = self.places[rows].iter().map(|place| (place.pack(), place.stored_bytes()));
                    if !keep(&mut self.packs, places.chain(later), is_unclear) {
                        lost = Some(start);
                    }
                }
            }
        }
        for (start, _) in self.rowless.iter().filter(|(_, need)| need.uses > 0) {
            // More than one copy among what came since is left to the next collection.
            let places = self.added_of(*start).iter().map(|&(_, pack, bytes)| (pack, bytes)).collect::<Vec<_>>();
            if !keep(&mut self.packs, places.into_iter(), true) {
                lost = Some(*start);
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
        let is_live = if has_rows {
            self.places[rows.start].uses() > 0
        } else {
            self.rowless.get(&start).is_some_and(|need| need.uses > 0)
        };
        if !is_live {
            return Chosen::None;
        }
        let places = self.places[rows].iter().map(|place| place.pack());
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

/// What knows whole ids, of which the table has the beginnings only.
pub(super) trait WholeIds {
    /// In how many places the local index has a record.
    fn places(&self, id: &ChunkId) -> Result<usize>;
    /// Whether this is the only one of the nodes counted that begins so.
    fn is_only_node(&self, id: &ChunkId, between: (Prefix, Prefix)) -> Result<bool>;
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

    /// Answers of the same kind to everything; none where nothing is to be asked.
    struct Knows(Option<usize>, Option<bool>);

    impl WholeIds for Knows {
        fn places(&self, _: &ChunkId) -> Result<usize> {
            Ok(self.0.expect("not to be asked"))
        }

        fn is_only_node(&self, _: &ChunkId, _: (Prefix, Prefix)) -> Result<bool> {
            Ok(self.1.expect("not to be asked"))
        }
    }

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
            table.push_pack(PackUse::new(pack(number), PackKind::Data, 1000, 0));
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
            table.push_pack(PackUse::new(pack(number), PackKind::Data, 1000, 0));
        }
        // Two records that the table cannot tell apart, then copies of one, which lies at the end of a bucket, and one beside it.
        let last = |rest| ChunkId::new([&[0, 6, 255, 255, 255, 255][..], &[rest; 26]].concat().try_into().unwrap());
        let next = |rest| ChunkId::new([&[0, 7, 0, 0, 0, 0][..], &[rest; 26]].concat().try_into().unwrap());
        for (id, pack) in [(id(5, 1), 0), (id(5, 2), 1), (last(1), 0), (last(1), 1), (next(1), 2)] {
            table.push_row(id, pack, 100);
        }
        table.end_rows();
        let marks = [id(5, 1), id(5, 2), last(1), last(1), next(1)].map(|id| table.use_node(prefix(&id)));
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
        table.use_node(first(5));
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
        let marked = [5, 6].map(|number| table.use_node(first(number)));
        assert_eq!(marked, [Mark::New; 2]);
        table.retire(&[pack(0)]);
        table.add_segment(&segment(8, &[id(5, 1)]), true, |_| true);
        assert!(table.added.is_empty(), "it takes the row of what it replaces");
        assert_eq!(table.use_node(first(5)), Mark::Known);
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
        assert_eq!([5, 5, 6].map(|number| table.use_node(first(number))), [Mark::New, Mark::Known, Mark::New]);
        table.add_segment(&segment(8, &[id(5, 8), id(9, 8)]), false, |_| true);
        assert_eq!([6, 9, 9].map(|number| table.use_node(first(number))), [Mark::Known, Mark::New, Mark::Known]);
        assert_eq!([5, 5].map(|number| table.use_node(first(number))), [Mark::Unclear; 2], "one before and one since");
        table.add_segment(&segment(9, &[id(9, 9), id(10, 1), id(10, 2)]), false, |_| true);
        assert_eq!([9, 10, 10].map(|number| table.use_node(first(number))), [Mark::Unclear; 3], "two since");
        assert_eq!(table.use_node(first(11)), Mark::Missing);
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

    #[test]
    fn uses_are_counted_however_many_they_are() {
        let mut table = table(&[(5, 0), (6, 0)], 1);
        let one = use_weight(first(5));
        for uses in 1..=3000u64 {
            assert!(table.add_use(first(5)));
            assert_eq!(table.weight(), one.wrapping_mul(uses));
        }
        for uses in (0..3000u64).rev() {
            assert!(table.take_use(first(5)));
            assert_eq!(table.weight(), one.wrapping_mul(uses));
            assert_eq!(table.choose(), None);
            assert_eq!(table.packs()[0].kept_records, u64::from(uses > 0));
        }
        assert!(!table.take_use(first(5)) && !table.take_use(first(6)) && !table.take_use(first(7)));
        assert!(!table.add_use(first(7)), "nobody has it");
        assert!(table.many.is_empty());
    }

    #[test]
    fn a_node_is_counted_until_nothing_names_it() {
        let mut table = table(&[(5, 0), (6, 1)], 2);
        assert_eq!([5, 5, 6].map(|number| table.use_node(first(number))), [Mark::New, Mark::Known, Mark::New]);
        let of = |number| node_weight(first(number)).wrapping_add(use_weight(first(number)));
        assert_eq!(table.weight(), of(5).wrapping_add(use_weight(first(5))).wrapping_add(of(6)));
        assert_eq!([5, 5, 5].map(|number| table.disuse_node(first(number))), [Some(false), Some(true), None]);
        assert_eq!(table.weight(), of(6));
        assert!(!table.is_counted(first(5)) && table.is_counted(first(6)));
        assert_eq!(table.use_node(first(5)), Mark::New);
    }

    #[test]
    fn rows_go_with_their_packs_and_what_needs_them_waits_for_others() {
        let mut table = table(&[(5, 0), (5, 1), (6, 0), (7, 1), (8, 0)], 2);
        for number in [5, 6, 6, 7] {
            assert!(table.add_use(first(number)));
        }
        assert_eq!(table.use_node(first(8)), Mark::New);
        let weight = table.weight();
        table.retire(&[pack(0)]);
        table.compact();
        assert_eq!((table.rows(), table.packs().len()), (2, 1));
        assert!(table.choose().is_some(), "6 and 8 have no place");
        assert_eq!(table.weight(), weight);
        let number = table.push_pack(PackUse::new(pack(9), PackKind::Data, 1000, 0));
        let new = [5, 6, 6, 8].map(|record| (id(record, 0), number, 100));
        table.insert(&new[..1], &Knows(Some(2), None)).unwrap();
        table.insert(&new[2..], &Knows(None, Some(true))).unwrap();
        assert!(table.is_proven(weight));
        assert_eq!((table.choose(), table.weight(), table.rows()), (None, weight, 5));
        let kept = |number| table.pack(&pack(number)).unwrap().kept_records;
        assert_eq!([1, 9].map(kept), [2, 2]);
        assert!(table.rowless.is_empty() && table.ambiguous.is_empty());
        assert_eq!(table.use_node(first(8)), Mark::Known);
        assert!(table.take_use(first(6)) && table.take_use(first(6)) && !table.take_use(first(6)));
        table.compact();
        assert_eq!(table.rows(), 5, "nothing went since");
    }

    #[test]
    fn what_is_put_beside_a_record_is_ambiguous_unless_it_is_the_same() {
        for is_one in [false, true] {
            let mut table = table(&[(5, 0), (6, 0)], 2);
            table.insert(&[(id(5, 0), 1, 100)], &Knows(Some(1 + usize::from(is_one)), None)).unwrap();
            assert!(table.add_use(first(5)));
            assert_eq!(table.choose(), None);
            assert_eq!([0, 1].map(|number| table.packs()[number].kept_records), [1, u64::from(!is_one)]);
        }
        let mut table = table(&[(6, 0)], 2);
        table.insert(&[(id(5, 0), 0, 100), (id(5, 1), 1, 100)], &Knows(None, None)).unwrap();
        assert_eq!(table.use_node(first(5)), Mark::Unclear);
    }

    #[test]
    fn a_node_that_begins_like_one_that_waits_for_a_place_is_unclear() {
        for is_it in [false, true] {
            let mut table = table(&[(5, 0), (6, 1)], 2);
            assert_eq!(table.use_node(first(5)), Mark::New);
            table.retire(&[pack(0)]);
            table.compact();
            let number = table.push_pack(PackUse::new(pack(9), PackKind::Tree, 1000, 0));
            table.insert(&[(id(5, 77), number, 100)], &Knows(None, Some(is_it))).unwrap();
            let expected = if is_it { Mark::Known } else { Mark::Unclear };
            assert_eq!(table.use_node(prefix(&id(5, 77))), expected);
        }
    }

    #[test]
    fn a_row_that_is_not_what_was_put_in_is_noticed() {
        let sound = || table(&[(5, 0), (6, 0), (7, 1)], 2);
        assert!(sound().is_proven(0) && sound().is_well_formed() && !sound().is_proven(1));
        for row in 0..3 {
            for bit in 0..64 {
                let mut table = sound();
                table.places[row].0 ^= 1 << bit;
                assert!(!table.is_proven(0), "bit {bit} of place {row}");
            }
            for bit in 0..32 {
                let mut table = sound();
                table.rests[row] ^= 1 << bit;
                assert!(!table.is_proven(0), "bit {bit} of rest {row}");
            }
        }
    }
}
