//! A checkpoint: the state that the log's entries come to at one of them, so that opening need not read them all
//! (docs/format.md, "Checkpoints").
//!
//! Nothing here is needed: whoever has no checkpoint, or one that this version does not read, folds the entries themselves.

use serde::{Deserialize, Serialize};

use crate::crypto::Keys;
use crate::envelope::{self, EnvelopeKind};
use crate::error::{FormatError, Result};
use crate::ids::{EntryHash, PackId, SegmentId, SnapshotId};
use crate::log::{SegmentRecord, SnapshotRecord};
use crate::wire::Reader;

const WHAT: &str = "a checkpoint";
/// Another one for every change of the fold, and for whatever a record gets that an older program would not write back: a checkpoint
/// by such a program is none. (The local index has a schema of its own, which is raised with this.)
const VERSION: u32 = 1;
const ROW_LEN: usize = 40;

/// The state after an entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The last entry folded.
    pub slot: u64,
    /// The BLAKE3 of that entry as it is stored: it proves that the checkpoint is of this log.
    pub hash: EntryHash,
    /// By snapshot id.
    pub listed: Vec<ListedSnapshot>,
    /// By snapshot id; none of them is listed.
    pub forgotten: Vec<ForgottenSnapshot>,
    /// The valid index segments, by id.
    pub segments: Vec<SegmentRecord>,
    /// Packs that an index segment may still name, with the entry that retired them last. Tables are in order of ids.
    pub retired: Vec<(PackId, u64)>,
    /// With the entry that condemned them.
    pub condemned: Vec<(PackId, u64)>,
    /// Everything that entries ever let go, with the newest one that did.
    pub packs_let_go: Vec<(PackId, u64)>,
    pub segments_let_go: Vec<(SegmentId, u64)>,
    /// Packs, let go since or not, with the entry that condemned them first.
    pub ever_condemned: Vec<(PackId, u64)>,
}

/// A snapshot that can be listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedSnapshot {
    /// The entry that committed it.
    pub slot: u64,
    /// With every later amendment.
    pub record: SnapshotRecord,
}

/// A snapshot that an undo may list again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForgottenSnapshot {
    /// The entry that forgot it.
    pub forgotten: u64,
    #[serde(flatten)]
    pub snapshot: ListedSnapshot,
}

/// The part in JSON.
#[derive(Serialize, Deserialize)]
struct Document {
    slot: u64,
    hash: EntryHash,
    listed: Vec<ListedSnapshot>,
    forgotten: Vec<ForgottenSnapshot>,
    segments: Vec<SegmentRecord>,
}

impl Checkpoint {
    /// Makes the stored bytes.
    pub fn seal(self, keys: &Keys) -> Result<Vec<u8>> {
        let slot = self.slot;
        envelope::seal(keys, EnvelopeKind::Checkpoint, &slot.to_le_bytes(), &self.encode()?)
    }

    /// Reads the checkpoint that was stored for the entry in `slot`.
    pub fn open(keys: &Keys, slot: u64, stored: &[u8]) -> Result<Self> {
        let read = Self::decode(&envelope::open(keys, EnvelopeKind::Checkpoint, &slot.to_le_bytes(), stored)?)?;
        if read.slot == slot { Ok(read) } else { Err(invalid(format!("it says that it is of entry {}", read.slot))) }
    }

    /// The plain body.
    fn encode(self) -> Result<Vec<u8>> {
        let document = {
            let Self { slot, hash, listed, forgotten, segments, .. } = self;
            let document = Document { slot, hash, listed, forgotten, segments };
            serde_json::to_vec(&document).map_err(|error| invalid(error.to_string()))?
        };
        let mut plain = Vec::with_capacity(8 + document.len());
        plain.extend_from_slice(&VERSION.to_le_bytes());
        plain.extend_from_slice(&(document.len() as u32).to_le_bytes());
        plain.extend_from_slice(&document);
        put_table(&mut plain, &self.retired, PackId::as_bytes);
        put_table(&mut plain, &self.condemned, PackId::as_bytes);
        put_table(&mut plain, &self.packs_let_go, PackId::as_bytes);
        put_table(&mut plain, &self.segments_let_go, SegmentId::as_bytes);
        put_table(&mut plain, &self.ever_condemned, PackId::as_bytes);
        Ok(plain)
    }

    /// Reads a plain body. Everything must be in its order, and no entry be named that came after the checkpoint.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, plain);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: WHAT, found: version, supported: VERSION });
        }
        let length = reader.u32()? as usize;
        let document: Document =
            serde_json::from_slice(reader.bytes(length)?).map_err(|error| invalid(error.to_string()))?;
        let Document { slot, hash, listed, forgotten, segments } = document;
        let read = Self {
            slot,
            hash,
            listed,
            forgotten,
            segments,
            retired: table(&mut reader, slot, PackId::new)?,
            condemned: table(&mut reader, slot, PackId::new)?,
            packs_let_go: table(&mut reader, slot, PackId::new)?,
            segments_let_go: table(&mut reader, slot, SegmentId::new)?,
            ever_condemned: table(&mut reader, slot, PackId::new)?,
        };
        reader.finish()?;
        read.validate()?;
        Ok(read)
    }

    fn validate(&self) -> Result<()> {
        let is_listed = |id: &SnapshotId| self.listed.binary_search_by_key(id, |listed| listed.record.id).is_ok();
        let past = 1..=self.slot;
        let is_sound = self.listed.is_sorted_by(|a, b| a.record.id < b.record.id)
            && self.listed.iter().all(|listed| past.contains(&listed.slot))
            && self.forgotten.is_sorted_by(|a, b| a.snapshot.record.id < b.snapshot.record.id)
            && self.forgotten.iter().all(|forgotten| {
                past.contains(&forgotten.snapshot.slot)
                    && past.contains(&forgotten.forgotten)
                    && !is_listed(&forgotten.snapshot.record.id)
            })
            && self.segments.is_sorted_by(|a, b| a.id < b.id)
            && self.segments.iter().all(|segment| segment.base < self.slot);
        if is_sound { Ok(()) } else { Err(invalid("its lists are not in order")) }
    }
}

fn put_table<const N: usize, T>(plain: &mut Vec<u8>, rows: &[(T, u64)], bytes: impl Fn(&T) -> &[u8; N]) {
    plain.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    for (id, slot) in rows {
        plain.extend_from_slice(bytes(id));
        plain.extend_from_slice(&slot.to_le_bytes());
    }
}

fn table<T: Ord>(reader: &mut Reader<'_>, newest: u64, id: impl Fn([u8; 32]) -> T) -> Result<Vec<(T, u64)>> {
    let count = reader.u32()? as usize;
    if count > reader.remaining() / ROW_LEN {
        return Err(invalid("a table is longer than what is there"));
    }
    let mut rows: Vec<(T, u64)> = Vec::with_capacity(count);
    for _ in 0..count {
        let row = (id(reader.array()?), reader.u64()?);
        if rows.last().is_some_and(|last| last.0 >= row.0) || !(1..=newest).contains(&row.1) {
            return Err(invalid("the rows of a table are not in order"));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn invalid(detail: impl Into<String>) -> FormatError {
    FormatError::invalid(WHAT, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::ids::{ChunkId, RepositoryId};
    use crate::log::{Extra, SnapshotKind, TreeRef};

    fn keys() -> Keys {
        Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]))
    }

    fn listed(id: u8, slot: u64) -> ListedSnapshot {
        let tree = TreeRef { root: ChunkId::new([id; 32]), level: 0, items: 1 };
        let id = SnapshotId::new([id; 16]);
        let mut record = SnapshotRecord::new(id, SnapshotKind::Files, "home", "2026-01-02T03:04:05Z", tree);
        record.extra.insert("from_a_newer_program".to_owned(), 7.into());
        ListedSnapshot { slot, record }
    }

    fn sample() -> Checkpoint {
        let pack = |n: u8, slot| (PackId::new([n; 32]), slot);
        Checkpoint {
            slot: 40,
            hash: EntryHash::new([9; 32]),
            listed: vec![listed(1, 3), listed(2, 40)],
            forgotten: vec![ForgottenSnapshot { forgotten: 39, snapshot: listed(3, 4) }],
            segments: vec![SegmentRecord { id: SegmentId::new([4; 32]), base: 39, entries: 5, extra: Extra::new() }],
            retired: vec![pack(1, 12), pack(2, 7)],
            condemned: vec![pack(3, 40)],
            packs_let_go: vec![pack(1, 12), pack(2, 7), pack(4, 1)],
            segments_let_go: vec![(SegmentId::new([5; 32]), 8)],
            ever_condemned: vec![pack(1, 11), pack(3, 40)],
        }
    }

    #[test]
    fn what_is_sealed_is_opened_as_it_was_and_only_for_its_entry() {
        let stored = sample().seal(&keys()).unwrap();
        assert_eq!(Checkpoint::open(&keys(), 40, &stored).unwrap(), sample());
        assert!(Checkpoint::open(&keys(), 41, &stored).is_err());
        let elsewhere =
            envelope::seal(&keys(), EnvelopeKind::Checkpoint, &41u64.to_le_bytes(), &sample().encode().unwrap());
        assert!(Checkpoint::open(&keys(), 41, &elsewhere.unwrap()).is_err(), "its own number counts too");
    }

    #[test]
    fn every_cut_is_noticed_and_no_changed_byte_is_fatal() {
        let plain = sample().encode().unwrap();
        for at in 0..plain.len() {
            assert!(Checkpoint::decode(&plain[..at]).is_err(), "cut at {at}");
            let mut changed = plain.clone();
            changed[at] ^= 0x10;
            let _ = Checkpoint::decode(&changed);
        }
        assert!(Checkpoint::decode(&[plain, vec![0]].concat()).is_err());
    }

    #[test]
    fn what_is_out_of_order_or_after_its_entry_is_refused() {
        let spoilt: [fn(&mut Checkpoint); 9] = [
            |it| it.listed.swap(0, 1),
            |it| it.listed[1].slot = 41,
            |it| it.listed[0].slot = 0,
            |it| it.forgotten[0].snapshot.record.id = it.listed[0].record.id,
            |it| it.forgotten[0].forgotten = 41,
            |it| it.segments[0].base = 40,
            |it| it.retired.swap(0, 1),
            |it| it.packs_let_go[2].1 = 41,
            |it| it.ever_condemned[1].0 = it.ever_condemned[0].0,
        ];
        for (number, spoil) in spoilt.into_iter().enumerate() {
            let mut checkpoint = sample();
            spoil(&mut checkpoint);
            assert!(Checkpoint::decode(&checkpoint.encode().unwrap()).is_err(), "{number}");
        }
    }

    #[test]
    fn another_version_is_none() {
        let mut plain = sample().encode().unwrap();
        plain[0] = 2;
        assert!(matches!(Checkpoint::decode(&plain), Err(FormatError::Version { found: 2, .. })));
    }
}
