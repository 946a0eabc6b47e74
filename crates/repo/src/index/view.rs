//! What of the file counts in the state at hand: packs that a valid segment names whose maker knew of their retirement, if
//! they were retired at all.
//!
//! Packs are looked at when they are first asked for, so that opening a large index costs nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use backstay_format::ids::{ChunkId, PackId, SegmentId};
use backstay_format::pack::PackKind;
use backstay_format::segment::Segment;
use rusqlite::{Connection, Row};

use super::{IndexError, IndexResult, Location, PackInfo};
use crate::protocol::State;

/// The state, as far as the index needs it, and what was found out with it.
#[derive(Default)]
pub(super) struct View {
    /// Valid segments: number in the file, and base.
    segments: HashMap<i64, u64>,
    retired: BTreeMap<PackId, u64>,
    condemned: HashSet<PackId>,
    /// By number in the file. Numbers are never used twice in a file.
    packs: HashMap<i64, Option<PackInfo>>,
}

impl View {
    /// `None` where the file does not have every valid segment.
    pub(super) fn new(state: &State, known: &HashMap<SegmentId, i64>) -> Option<Self> {
        let segments = state
            .segments()
            .iter()
            .map(|(id, record)| known.get(id).map(|number| (*number, record.base)))
            .collect::<Option<_>>()?;
        Some(Self {
            segments,
            retired: state.retired().clone(),
            condemned: state.condemned().keys().copied().collect(),
            packs: HashMap::new(),
        })
    }

    /// Reads a row of `chunks` (pack, start, stored_len, raw_len, sum); `None` where its pack does not count.
    pub(super) fn location(
        &mut self,
        connection: &Connection,
        id: &ChunkId,
        row: &Row<'_>,
    ) -> IndexResult<Option<(PackInfo, Location)>> {
        let (number, offset, stored_len, raw_len): (i64, u32, u32, u32) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if row.get::<_, i32>(4)? != chunk_sum(id, number, offset, stored_len, raw_len) {
            return Err(IndexError::Damaged { table: "chunks" });
        }
        let pack = if let Some(pack) = self.packs.get(&number) {
            *pack
        } else {
            let pack = self.read_pack(connection, number)?;
            self.packs.insert(number, pack);
            pack
        };
        Ok(pack.filter(|pack| pack.live).map(|pack| {
            let (pack_bytes, kind) = (pack.size_bytes, pack.kind);
            (pack, Location { pack: pack.id, kind, pack_bytes, offset, stored_len, raw_len })
        }))
    }

    /// Every pack that a valid segment names, by id.
    pub(super) fn packs(&mut self, connection: &Connection) -> IndexResult<Vec<PackInfo>> {
        let mut statement = connection.prepare_cached(
            "SELECT p.number, p.id, p.kind, p.size_bytes, p.records, p.digest, p.sum, s.segment, s.sum
             FROM packs p JOIN segment_packs s ON s.pack = p.number ORDER BY p.number",
        )?;
        let mut rows = statement.query([])?;
        // With the digest of the last naming that counts: those of one number come in a row.
        let mut packs: BTreeMap<PackId, (PackInfo, Option<i64>)> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            if let Some(pack) = self.judge(row)? {
                let (known, last) = packs.entry(pack.id).or_insert((pack, None));
                known.records = known.records.max(pack.records);
                if pack.live && *last != Some(pack.digest) {
                    let both = |last: i64| mix(mix(last as u64, pack.digest as u64), known.digest as u64) as i64;
                    known.digest = last.map_or(pack.digest, both);
                    (known.live, *last) = (true, Some(pack.digest));
                }
            }
        }
        Ok(packs.into_values().map(|(pack, _)| pack).collect())
    }

    fn read_pack(&self, connection: &Connection, number: i64) -> IndexResult<Option<PackInfo>> {
        let mut statement = connection.prepare_cached(
            "SELECT p.number, p.id, p.kind, p.size_bytes, p.records, p.digest, p.sum, s.segment, s.sum
             FROM packs p JOIN segment_packs s ON s.pack = p.number WHERE p.number = ?1",
        )?;
        let mut rows = statement.query([number])?;
        let mut found: Option<PackInfo> = None;
        while let Some(row) = rows.next()? {
            if let Some(pack) = self.judge(row)?
                && !found.is_some_and(|found| found.live)
            {
                found = Some(pack);
            }
        }
        Ok(found)
    }

    /// What one segment's naming of a pack is worth; `None` where the segment is not valid.
    fn judge(&self, row: &Row<'_>) -> IndexResult<Option<PackInfo>> {
        let (number, id): (i64, PackId) = (row.get(0)?, PackId::new(row.get(1)?));
        let (kind, size_bytes, records, digest): (u8, i64, i64, i64) =
            (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        if row.get::<_, i32>(6)? != pack_sum(number, &id, kind, size_bytes, records, digest) {
            return Err(IndexError::Damaged { table: "packs" });
        }
        let segment = row.get(7)?;
        if row.get::<_, i32>(8)? != link_sum(number, segment) {
            return Err(IndexError::Damaged { table: "segment_packs" });
        }
        let Some(base) = self.segments.get(&segment) else { return Ok(None) };
        let kind = if kind == PackKind::Data as u8 { PackKind::Data } else { PackKind::Tree };
        Ok(Some(PackInfo {
            id,
            kind,
            size_bytes: size_bytes as u64,
            records: records as u64,
            digest,
            live: self.retired.get(&id).is_none_or(|slot| slot <= base),
            is_condemned: self.condemned.contains(&id),
        }))
    }
}

/// The check of a row of `chunks`.
pub(super) fn chunk_sum(id: &ChunkId, pack: i64, offset: u32, stored_len: u32, raw_len: u32) -> i32 {
    let words = [pack as u64, u64::from(offset) << 32 | u64::from(stored_len), u64::from(raw_len)];
    fold(mix_bytes(mix_all(1, &words), id.as_bytes()))
}

/// The check of a row of `packs`.
pub(super) fn pack_sum(number: i64, id: &PackId, kind: u8, size_bytes: i64, records: i64, digest: i64) -> i32 {
    let words = [number as u64, u64::from(kind), size_bytes as u64, records as u64, digest as u64];
    fold(mix_bytes(mix_all(2, &words), id.as_bytes()))
}

/// The check of a row of `segments`.
pub(super) fn segment_sum(number: i64, id: &SegmentId) -> i32 {
    fold(mix_bytes(mix_all(3, &[number as u64]), id.as_bytes()))
}

/// The check of a row of `segment_packs`.
pub(super) fn link_sum(pack: i64, segment: i64) -> i32 {
    fold(mix_all(4, &[pack as u64, segment as u64]))
}

/// One step is one-to-one, so that a change of one word always shows in the 64 bits. Against decay, not against an attacker:
/// who can write the file can also read the memory of the program.
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn mix_all(start: u64, words: &[u64]) -> u64 {
    words.iter().fold(start, |hash, word| mix(hash, *word))
}

fn mix_bytes(hash: u64, bytes: &[u8; 32]) -> u64 {
    bytes.chunks_exact(8).fold(hash, |hash, word| mix(hash, u64::from_le_bytes(word.try_into().expect("eight bytes"))))
}

fn fold(hash: u64) -> i32 {
    let hash = mix(hash, 0);
    (hash ^ (hash >> 32)) as i32
}

/// What a segment says of one pack, in a number that does not depend on the order of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn of_pack(kind: PackKind, size_bytes: u64) -> Self {
        Self(mix(size_bytes, kind as u64))
    }

    /// Of each pack of a segment, with the number of its entries.
    pub(crate) fn of_segment(segment: &Segment) -> Vec<(Self, u32)> {
        let packs = segment.packs.iter();
        let mut digests: Vec<_> = packs.map(|pack| (Self::of_pack(pack.kind, pack.size_bytes), 0)).collect();
        for entry in &segment.entries {
            let (digest, records) = &mut digests[entry.pack as usize];
            digest.add(&entry.id, entry.offset, entry.stored_len, entry.raw_len);
            *records += 1;
        }
        digests
    }

    /// Sums of mixed words do not depend on the order of entries.
    pub(crate) fn add(&mut self, id: &ChunkId, offset: u32, stored_len: u32, raw_len: u32) {
        let place = u64::from(offset) << 32 | u64::from(stored_len);
        self.0 = self.0.wrapping_add(mix_bytes(mix(u64::from(raw_len), place), id.as_bytes()));
    }

    /// As a column of `packs`.
    pub(crate) fn column(self) -> i64 {
        self.0 as i64
    }
}
