//! A pack: many records in one immutable stored object, with a sealed directory at its end (docs/format.md, "Packs").
//!
//! Either the directory or a forward scan over the records' clear headers gives the list of what is in a pack.
//! Keyless programs can check a pack against its name and walk its headers.

use std::ops::Range;

use crate::crypto::{Keys, RecordKind, TAG_LEN, random, stored_hash};
use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, PackId};
use crate::record::{RECORD_HEADER_LEN, RECORD_MAGIC, RecordHeader, SealedRecord};
use crate::wire::Reader;

pub const PACK_HEADER_LEN: usize = 32;
pub const PACK_FOOTER_LEN: usize = 32;
const PACK_MAGIC: [u8; 8] = *b"BKSTPACK";
const FOOTER_MAGIC: [u8; 8] = *b"BKSTPEND";
const PACK_VERSION: u8 = 1;
const KEY_EPOCH: u8 = 0;
const DIRECTORY_ENTRY_LEN: usize = 48;
const DIRECTORY_KEY: u8 = b'D';
const WHAT: &str = "a pack";
const DIRECTORY: &str = "a pack's directory";

/// Data packs may lie in cold storage; all other records are in tree packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PackKind {
    Data = 1,
    Tree = 2,
}

impl PackKind {
    /// The packs that hold records of this kind.
    pub fn of(kind: RecordKind) -> Self {
        match kind {
            RecordKind::Data => Self::Data,
            RecordKind::Tree | RecordKind::Content | RecordKind::Ledger => Self::Tree,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::Tree].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Where a record lies in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedRecord {
    pub id: ChunkId,
    pub offset: u32,
    /// Header and body, bytes.
    pub stored_len: u32,
    pub raw_len: u32,
    pub kind: RecordKind,
}

/// A pack that is being filled.
pub struct PackBuilder {
    kind: PackKind,
    salt: [u8; 16],
    bytes: Vec<u8>,
    records: Vec<PackedRecord>,
}

/// A finished pack: its name proves its bytes.
pub struct SealedPack {
    pub id: PackId,
    pub kind: PackKind,
    pub bytes: Vec<u8>,
    pub records: Vec<PackedRecord>,
}

impl PackBuilder {
    /// A random salt makes every pack's name new, even for the same chunks: a late delete of a retired pack can never hit
    /// a newer one (docs/design/0002).
    pub fn new(kind: PackKind, capacity_bytes: usize) -> Result<Self> {
        let salt = random()?;
        let mut bytes = Vec::with_capacity(capacity_bytes);
        bytes.extend_from_slice(&PACK_MAGIC);
        bytes.extend_from_slice(&[PACK_VERSION, kind as u8, KEY_EPOCH, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&salt);
        Ok(Self { kind, salt, bytes, records: Vec::new() })
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Records so far.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    pub fn push(&mut self, record: &SealedRecord<'_>) {
        let header = record.header();
        debug_assert_eq!(PackKind::of(header.kind), self.kind);
        self.records.push(PackedRecord {
            id: header.id,
            offset: self.bytes.len() as u32,
            stored_len: header.stored_len(),
            raw_len: header.raw_len,
            kind: header.kind,
        });
        self.bytes.extend_from_slice(record.bytes());
    }

    /// Appends directory and footer, and names the pack.
    pub fn finish(mut self, keys: &Keys) -> Result<SealedPack> {
        let offset = self.bytes.len();
        // Growing by itself would double a large pack.
        self.bytes.reserve_exact(self.records.len() * DIRECTORY_ENTRY_LEN + TAG_LEN + PACK_FOOTER_LEN);
        for record in &self.records {
            self.bytes.extend_from_slice(record.id.as_bytes());
            self.bytes.extend_from_slice(&record.offset.to_le_bytes());
            self.bytes.extend_from_slice(&record.stored_len.to_le_bytes());
            self.bytes.extend_from_slice(&record.raw_len.to_le_bytes());
            self.bytes.extend_from_slice(&[record.kind as u8, 0, 0, 0]);
        }
        let header: [u8; PACK_HEADER_LEN] =
            self.bytes[..PACK_HEADER_LEN].try_into().expect("a pack starts with its header");
        keys.envelope_key(DIRECTORY_KEY, &self.salt).seal([0; 12], &header, &mut self.bytes, offset)?;
        let mut footer = [0; PACK_FOOTER_LEN];
        footer[..4].copy_from_slice(&(offset as u32).to_le_bytes());
        footer[4..8].copy_from_slice(&((self.bytes.len() - offset) as u32).to_le_bytes());
        footer[8..12].copy_from_slice(&(self.records.len() as u32).to_le_bytes());
        let check = stored_hash(&footer[..16]);
        footer[16..24].copy_from_slice(&check[..8]);
        footer[24..].copy_from_slice(&FOOTER_MAGIC);
        self.bytes.extend_from_slice(&footer);
        Ok(SealedPack {
            id: PackId::new(stored_hash(&self.bytes)),
            kind: self.kind,
            bytes: self.bytes,
            records: self.records,
        })
    }
}

/// The kind of the pack that starts with these bytes.
pub fn pack_kind(bytes: &[u8]) -> Result<PackKind> {
    let mut reader = Reader::new(WHAT, bytes);
    let header = reader.bytes(PACK_HEADER_LEN)?;
    if header[..8] != PACK_MAGIC {
        return Err(FormatError::Magic { what: WHAT });
    }
    if header[8] != PACK_VERSION {
        return Err(FormatError::Version { what: WHAT, found: header[8].into(), supported: PACK_VERSION.into() });
    }
    PackKind::from_byte(header[9]).ok_or_else(|| FormatError::invalid(WHAT, format!("kind {} is not known", header[9])))
}

/// Compares the bytes of a pack with its name; needs no key.
pub fn verify_pack_name(id: PackId, bytes: &[u8]) -> Result<()> {
    if stored_hash(bytes) == *id.as_bytes() { Ok(()) } else { Err(FormatError::Checksum { what: WHAT }) }
}

/// Reads the sealed directory at the end of a whole pack.
pub fn read_directory(keys: &Keys, bytes: &[u8]) -> Result<Vec<PackedRecord>> {
    pack_kind(bytes)?;
    let footer_start = bytes.len().saturating_sub(PACK_FOOTER_LEN);
    let place = directory_place(bytes.len() as u64, &bytes[footer_start..])?;
    let sealed = &bytes[place.start as usize..place.end as usize];
    open_directory(keys, &bytes[..PACK_HEADER_LEN], place.start, sealed)
}

/// Where the sealed directory of a pack of so many bytes lies, by its last [`PACK_FOOTER_LEN`] bytes.
pub fn directory_place(pack_bytes: u64, footer: &[u8]) -> Result<Range<u64>> {
    let footer_start = pack_bytes.checked_sub(PACK_FOOTER_LEN as u64).filter(|start| *start >= PACK_HEADER_LEN as u64);
    let (Some(footer_start), PACK_FOOTER_LEN) = (footer_start, footer.len()) else {
        return Err(FormatError::Truncated {
            what: WHAT,
            expected_bytes: (PACK_HEADER_LEN + PACK_FOOTER_LEN) as u64,
            actual_bytes: pack_bytes,
        });
    };
    if footer[24..] != FOOTER_MAGIC {
        return Err(FormatError::Magic { what: "a pack's footer" });
    }
    if stored_hash(&footer[..16])[..8] != footer[16..24] {
        return Err(FormatError::Checksum { what: "a pack's footer" });
    }
    let mut reader = Reader::new("a pack's footer", footer);
    let [offset, length, count] = [reader.u32()?, reader.u32()?, reader.u32()?].map(u64::from);
    if offset < PACK_HEADER_LEN as u64 || offset + length != footer_start {
        return Err(FormatError::invalid(DIRECTORY, "its place is out of range"));
    }
    if count * DIRECTORY_ENTRY_LEN as u64 + TAG_LEN as u64 != length {
        return Err(FormatError::invalid(DIRECTORY, "its length does not match its count"));
    }
    Ok(offset..footer_start)
}

/// Opens the sealed directory that starts at `offset` of the pack whose first [`PACK_HEADER_LEN`] bytes are `header`.
pub fn open_directory(keys: &Keys, header: &[u8], offset: u64, sealed: &[u8]) -> Result<Vec<PackedRecord>> {
    pack_kind(header)?;
    if header[10] != KEY_EPOCH {
        return Err(FormatError::invalid(DIRECTORY, format!("key epoch {} is not known", header[10])));
    }
    let header = &header[..PACK_HEADER_LEN];
    let mut plain = Vec::new();
    keys.envelope_key(DIRECTORY_KEY, &header[16..]).open(DIRECTORY, [0; 12], header, sealed, &mut plain)?;
    let mut records = Vec::with_capacity(plain.len() / DIRECTORY_ENTRY_LEN);
    let mut reader = Reader::new(DIRECTORY, &plain);
    while !reader.is_empty() {
        let id = ChunkId::new(reader.array()?);
        let (record_offset, stored_len, raw_len) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let [kind, _, _, _] = reader.array()?;
        let kind = RecordKind::from_byte(kind)
            .ok_or_else(|| FormatError::invalid(DIRECTORY, format!("record kind {kind} is not known")))?;
        let end = u64::from(record_offset) + u64::from(stored_len);
        if (record_offset as usize) < PACK_HEADER_LEN || end > offset {
            return Err(FormatError::invalid(DIRECTORY, format!("record {id} lies outside the pack")));
        }
        records.push(PackedRecord { id, offset: record_offset, stored_len, raw_len, kind });
    }
    Ok(records)
}

/// Finds records by their clear headers alone: for a pack whose directory is damaged or cut off.
///
/// Where a header is damaged, the scan looks for the next one by its magic bytes and checksum, and also where `opens` says that what
/// a header stands before is no record: bytes may have been cut out of it, and the next one then begins before it should end.
/// Records that are cut off by the end are left out.
pub fn scan_records(bytes: &[u8], opens: &mut dyn FnMut(&PackedRecord) -> bool) -> Vec<PackedRecord> {
    let mut records = Vec::new();
    let mut position = PACK_HEADER_LEN;
    // No pack is that long, but a stored object that claims to be one may be.
    let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
    while position + RECORD_HEADER_LEN <= bytes.len() {
        if let Ok(header) = RecordHeader::decode(&bytes[position..])
            && position + header.stored_len() as usize <= bytes.len()
        {
            let record = PackedRecord {
                id: header.id,
                offset: position as u32,
                stored_len: header.stored_len(),
                raw_len: header.raw_len,
                kind: header.kind,
            };
            if opens(&record) {
                position += record.stored_len as usize;
                records.push(record);
                continue;
            }
        }
        let next = bytes[position + 1..].windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC);
        match next {
            Some(distance) => position += 1 + distance,
            None => break,
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{DEFAULT_LEVEL, Hint};
    use crate::crypto::MasterKey;
    use crate::ids::RepositoryId;
    use crate::record::Sealer;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]))
    }

    fn pack(keys: &Keys, contents: &[Vec<u8>]) -> SealedPack {
        let mut sealer = Sealer::new(keys, DEFAULT_LEVEL).unwrap();
        let mut builder = PackBuilder::new(PackKind::Data, 1 << 16).unwrap();
        for plain in contents {
            let id = keys.name(RecordKind::Data, plain);
            builder.push(&sealer.seal(RecordKind::Data, id, plain, Hint::Plain).unwrap());
        }
        builder.finish(keys).unwrap()
    }

    proptest! {
        #[test]
        fn directory_and_scan_both_list_every_record(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..12)) {
            let keys = keys();
            let pack = pack(&keys, &contents);
            prop_assert_eq!(pack_kind(&pack.bytes).unwrap(), PackKind::Data);
            verify_pack_name(pack.id, &pack.bytes).unwrap();
            prop_assert_eq!(&read_directory(&keys, &pack.bytes).unwrap(), &pack.records);
            prop_assert_eq!(&scan_records(&pack.bytes, &mut |_| true), &pack.records);
            let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
            for (record, plain) in pack.records.iter().zip(&contents) {
                let mut out = Vec::new();
                sealer.open(&pack.bytes[record.offset as usize..], &mut out).unwrap();
                prop_assert_eq!(&out, plain);
            }
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_directory(&keys(), &bytes);
            let _ = scan_records(&bytes, &mut |_| true);
        }
    }

    #[test]
    fn a_scan_finds_what_lies_beyond_a_damaged_or_cut_place() {
        let keys = keys();
        let contents: Vec<Vec<u8>> = (0..5u8).map(|n| vec![n; 200]).collect();
        let pack = pack(&keys, &contents);
        let mut damaged = pack.bytes.clone();
        damaged[pack.records[1].offset as usize + 9] ^= 1;
        let found = scan_records(&damaged, &mut |_| true);
        assert_eq!(found.iter().map(|record| record.id).collect::<Vec<_>>(), [0, 2, 3, 4].map(|n| pack.records[n].id));
        let cut = &pack.bytes[..pack.records[3].offset as usize + 70];
        assert!(read_directory(&keys, cut).is_err());
        assert_eq!(scan_records(cut, &mut |_| true), pack.records[..3]);
        assert!(verify_pack_name(pack.id, &damaged).is_err());
    }

    #[test]
    fn a_pack_of_another_key_epoch_is_told_apart_from_damage() {
        let keys = keys();
        let mut pack = pack(&keys, &[vec![1; 50]]);
        pack.bytes[10] = 1;
        let error = read_directory(&keys, &pack.bytes).unwrap_err();
        assert_eq!(error.to_string(), "a pack's directory is not valid: key epoch 1 is not known");
    }

    #[test]
    fn two_packs_of_the_same_records_have_two_names() {
        let keys = keys();
        assert_ne!(pack(&keys, &[vec![1; 50]]).id, pack(&keys, &[vec![1; 50]]).id);
    }
}
