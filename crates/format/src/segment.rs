//! An index segment: an immutable, sorted list of which record lies where (docs/format.md, "Index segments").
//!
//! All records of a pack are in one segment: a segment that is lost or merged never leaves half a pack behind.

use crate::crypto::Keys;
use crate::envelope::{self, EnvelopeKind};
use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, PackId, SegmentId};
use crate::pack::{PackKind, SealedPack};
use crate::wire::Reader;

const WHAT: &str = "an index segment";
const VERSION: u32 = 1;
const ROW_LEN: usize = 48;

/// A writer closes a segment at this many entries: 48 MiB, so that reading one stays far below the memory ceiling.
pub const SEGMENT_ENTRIES_MAX: usize = 1 << 20;

/// A pack that a segment names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPack {
    pub id: PackId,
    pub kind: PackKind,
    pub size_bytes: u64,
}

/// Where one record lies; `pack` is a position in the segment's list of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentEntry {
    pub id: ChunkId,
    pub pack: u32,
    pub offset: u32,
    pub stored_len: u32,
    pub raw_len: u32,
}

/// The contents of an index segment, entries sorted by id, then pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// The slot of the log up to which its maker had read.
    pub base: u64,
    pub packs: Vec<SegmentPack>,
    pub entries: Vec<SegmentEntry>,
}

/// A segment as it is stored.
pub struct SealedSegment {
    pub id: SegmentId,
    pub bytes: Vec<u8>,
    pub entries: u64,
    pub base: u64,
}

impl Segment {
    pub fn new(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// Adds all records of a pack. Entries are sorted when the segment is sealed.
    pub fn push_pack(&mut self, pack: &SealedPack) {
        let position = self.packs.len() as u32;
        self.packs.push(SegmentPack { id: pack.id, kind: pack.kind, size_bytes: pack.bytes.len() as u64 });
        self.entries.extend(pack.records.iter().map(|record| SegmentEntry {
            id: record.id,
            pack: position,
            offset: record.offset,
            stored_len: record.stored_len,
            raw_len: record.raw_len,
        }));
    }

    /// Sorts the entries and makes the stored bytes.
    pub fn seal(&mut self, keys: &Keys) -> Result<SealedSegment> {
        self.entries.sort_unstable();
        let mut plain = Vec::with_capacity(24 + (self.packs.len() + self.entries.len()) * ROW_LEN);
        plain.extend_from_slice(&VERSION.to_le_bytes());
        plain.extend_from_slice(&(self.packs.len() as u32).to_le_bytes());
        plain.extend_from_slice(&self.base.to_le_bytes());
        plain.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for pack in &self.packs {
            plain.extend_from_slice(pack.id.as_bytes());
            plain.extend_from_slice(&pack.size_bytes.to_le_bytes());
            plain.extend_from_slice(&[pack.kind as u8, 0, 0, 0, 0, 0, 0, 0]);
        }
        for entry in &self.entries {
            plain.extend_from_slice(entry.id.as_bytes());
            plain.extend_from_slice(&entry.pack.to_le_bytes());
            plain.extend_from_slice(&entry.offset.to_le_bytes());
            plain.extend_from_slice(&entry.stored_len.to_le_bytes());
            plain.extend_from_slice(&entry.raw_len.to_le_bytes());
        }
        let bytes = envelope::seal(keys, EnvelopeKind::Segment, b"", &plain)?;
        Ok(SealedSegment {
            id: SegmentId::new(crate::crypto::stored_hash(&bytes)),
            bytes,
            entries: self.entries.len() as u64,
            base: self.base,
        })
    }

    /// Reads a stored segment and checks that it is sorted and that every place it names is inside a pack it names.
    pub fn open(keys: &Keys, stored: &[u8]) -> Result<Self> {
        let plain = envelope::open(keys, EnvelopeKind::Segment, b"", stored)?;
        Self::decode(&plain)
    }

    /// Reads the plain body of a segment.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, plain);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: WHAT, found: version, supported: VERSION });
        }
        let pack_count = reader.u32()? as usize;
        let base = reader.u64()?;
        let entry_count = reader.u64()? as usize;
        let expected = pack_count.checked_add(entry_count).and_then(|rows| rows.checked_mul(ROW_LEN));
        if expected != Some(reader.remaining()) {
            return Err(FormatError::invalid(WHAT, "its length does not match its counts"));
        }
        let mut packs = Vec::with_capacity(pack_count);
        for _ in 0..pack_count {
            let id = PackId::new(reader.array()?);
            let size_bytes = reader.u64()?;
            let [kind, ..] = reader.array::<8>()?;
            let kind = PackKind::from_byte(kind)
                .ok_or_else(|| FormatError::invalid(WHAT, format!("pack kind {kind} is not known")))?;
            packs.push(SegmentPack { id, kind, size_bytes });
        }
        let mut entries: Vec<SegmentEntry> = Vec::with_capacity(entry_count);
        for _ in 0..entry_count {
            let entry = SegmentEntry {
                id: ChunkId::new(reader.array()?),
                pack: reader.u32()?,
                offset: reader.u32()?,
                stored_len: reader.u32()?,
                raw_len: reader.u32()?,
            };
            let inside = packs
                .get(entry.pack as usize)
                .is_some_and(|pack| u64::from(entry.offset) + u64::from(entry.stored_len) <= pack.size_bytes);
            if !inside {
                return Err(FormatError::invalid(WHAT, format!("record {} lies outside its pack", entry.id)));
            }
            if entries.last().is_some_and(|last| *last >= entry) {
                return Err(FormatError::invalid(WHAT, "its entries are not sorted"));
            }
            entries.push(entry);
        }
        reader.finish()?;
        Ok(Self { base, packs, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::ids::RepositoryId;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]))
    }

    fn segment(ids: &std::collections::BTreeSet<u64>, base: u64) -> Segment {
        let mut segment = Segment::new(base);
        for n in 0..3u8 {
            segment.packs.push(SegmentPack { id: PackId::new([n; 32]), kind: PackKind::Tree, size_bytes: 1 << 20 });
        }
        for id in ids {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&id.to_be_bytes());
            segment.entries.push(SegmentEntry {
                id: ChunkId::new(bytes),
                pack: (id % 3) as u32,
                offset: (id % 1000) as u32,
                stored_len: 80,
                raw_len: 17,
            });
        }
        segment
    }

    proptest! {
        #[test]
        fn a_segment_gives_back_its_sorted_entries(ids: std::collections::BTreeSet<u64>, base: u64) {
            let keys = keys();
            let expected = segment(&ids, base);
            let mut shuffled = expected.clone();
            shuffled.entries.reverse();
            let sealed = shuffled.seal(&keys).unwrap();
            prop_assert_eq!(sealed.entries, ids.len() as u64);
            prop_assert_eq!(Segment::open(&keys, &sealed.bytes).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Segment::decode(&bytes);
        }
    }

    #[test]
    fn unsorted_doubled_or_outlying_entries_are_refused() {
        let row = |id: u8, pack: u32, offset: u32| SegmentEntry {
            id: ChunkId::new([id; 32]),
            pack,
            offset,
            stored_len: 80,
            raw_len: 1,
        };
        for entries in [vec![row(2, 0, 0), row(2, 0, 0)], vec![row(1, 9, 0)], vec![row(1, 0, u32::MAX)]] {
            let mut segment = segment(&[].into(), 1);
            segment.entries = entries;
            let sealed = segment.seal(&keys()).unwrap();
            assert!(Segment::open(&keys(), &sealed.bytes).is_err());
        }
    }
}
