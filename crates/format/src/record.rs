//! A record: one chunk or node, compressed and sealed, behind a clear header that a scan can find (docs/format.md, "Records").
//!
//! A record does not know where it lies: it can be moved to another pack as it is. `Sealer::seal` is the only way to make
//! one, and it has read the record back before it gives it out.

use crate::chunker::CHUNK_BYTES_MAX;
use crate::compress::{Codec, Codecs, Hint};
use crate::crypto::{Keys, RecordKind, TAG_LEN, random, stored_hash};
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::wire::Reader;

/// Length of a record's clear header, bytes.
pub const RECORD_HEADER_LEN: usize = 64;
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"BsRc";
/// The part of the header that is bound into the sealing: all but nonce and check.
const AAD_LEN: usize = 48;
const KEY_EPOCH: u8 = 0;

/// What the clear header of a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub kind: RecordKind,
    pub id: ChunkId,
    /// Length of the plain bytes.
    pub raw_len: u32,
    /// Length of ciphertext and tag.
    pub sealed_len: u32,
    codec: Codec,
    dictionary: u8,
    nonce: [u8; 12],
}

impl RecordHeader {
    /// Header and body together, bytes.
    pub fn stored_len(&self) -> u32 {
        RECORD_HEADER_LEN as u32 + self.sealed_len
    }

    fn encode(&self) -> [u8; RECORD_HEADER_LEN] {
        let mut out = [0; RECORD_HEADER_LEN];
        out[..4].copy_from_slice(&RECORD_MAGIC);
        out[4..8].copy_from_slice(&[self.kind as u8, self.codec as u8, self.dictionary, KEY_EPOCH]);
        out[8..12].copy_from_slice(&self.raw_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.sealed_len.to_le_bytes());
        out[16..48].copy_from_slice(self.id.as_bytes());
        out[48..60].copy_from_slice(&self.nonce);
        let check = stored_hash(&out[..60]);
        out[60..].copy_from_slice(&check[..4]);
        out
    }

    /// Reads the header at the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "a record header";
        let mut reader = Reader::new(WHAT, bytes);
        let header = reader.bytes(RECORD_HEADER_LEN)?;
        if header[..4] != RECORD_MAGIC {
            return Err(FormatError::Magic { what: WHAT });
        }
        if stored_hash(&header[..60])[..4] != header[60..] {
            return Err(FormatError::Checksum { what: WHAT });
        }
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let decoded = Self {
            kind: RecordKind::from_byte(header[4])
                .ok_or_else(|| FormatError::invalid(WHAT, format!("kind {} is not known", header[4])))?,
            codec: Codec::from_byte(header[5])
                .ok_or_else(|| FormatError::invalid(WHAT, format!("codec {} is not known", header[5])))?,
            dictionary: header[6],
            raw_len: word(8),
            sealed_len: word(12),
            id: ChunkId::new(header[16..48].try_into().expect("32 bytes")),
            nonce: header[48..60].try_into().expect("twelve bytes"),
        };
        if header[7] != KEY_EPOCH {
            return Err(FormatError::invalid(WHAT, format!("key epoch {} is not known", header[7])));
        }
        let longest = zstd::zstd_safe::compress_bound(CHUNK_BYTES_MAX) + TAG_LEN;
        if decoded.raw_len as usize > CHUNK_BYTES_MAX
            || (decoded.sealed_len as usize) < TAG_LEN
            || decoded.sealed_len as usize > longest
        {
            return Err(FormatError::invalid(WHAT, "a length is out of range"));
        }
        Ok(decoded)
    }
}

/// A record that was read back after it was made.
#[derive(Debug)]
pub struct SealedRecord<'a> {
    header: RecordHeader,
    bytes: &'a [u8],
}

impl SealedRecord<'_> {
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

/// Makes and reads records: one per thread, with its compression contexts and buffers.
pub struct Sealer<'k> {
    keys: &'k Keys,
    codecs: Codecs,
    record: Vec<u8>,
    body: Vec<u8>,
    verified: Vec<u8>,
}

impl<'k> Sealer<'k> {
    pub fn new(keys: &'k Keys, level: i32) -> Result<Self> {
        Ok(Self { keys, codecs: Codecs::new(level)?, record: Vec::new(), body: Vec::new(), verified: Vec::new() })
    }

    pub fn keys(&self) -> &'k Keys {
        self.keys
    }

    /// Compresses, seals, and reads back: decrypts, decompresses, and compares with the id.
    ///
    /// # Errors
    /// `WrongContents` when `id` is not the name of `plain`, or when memory or the compressor changed a byte on the way.
    pub fn seal(&mut self, kind: RecordKind, id: ChunkId, plain: &[u8], hint: Hint) -> Result<SealedRecord<'_>> {
        if plain.len() > CHUNK_BYTES_MAX {
            return Err(FormatError::invalid("a chunk", format!("{} bytes are too long", plain.len())));
        }
        self.record.clear();
        self.record.resize(RECORD_HEADER_LEN, 0);
        let (codec, dictionary) = self.codecs.compress(hint, plain, &mut self.record)?;
        let header = RecordHeader {
            kind,
            id,
            raw_len: plain.len() as u32,
            sealed_len: (self.record.len() - RECORD_HEADER_LEN + TAG_LEN) as u32,
            codec,
            dictionary,
            nonce: random()?,
        };
        let encoded = header.encode();
        self.record[..RECORD_HEADER_LEN].copy_from_slice(&encoded);
        let key = self.keys.record_key(&id);
        key.seal(header.nonce, &encoded[..AAD_LEN], &mut self.record, RECORD_HEADER_LEN)?;

        let mut verified = std::mem::take(&mut self.verified);
        let record = std::mem::take(&mut self.record);
        let result = self.open(&record, &mut verified);
        self.record = record;
        self.verified = verified;
        let header = result?;
        Ok(SealedRecord { header, bytes: &self.record })
    }

    /// A stored record, verified, to be put into another pack as it is.
    pub fn verified<'a>(&mut self, stored: &'a [u8]) -> Result<SealedRecord<'a>> {
        let mut verified = std::mem::take(&mut self.verified);
        let header = self.open(stored, &mut verified);
        self.verified = verified;
        let header = header?;
        Ok(SealedRecord { bytes: &stored[..header.stored_len() as usize], header })
    }

    /// Decrypts, decompresses and names the record at the start of `stored`; `plain` is replaced by its plain bytes.
    pub fn open(&mut self, stored: &[u8], plain: &mut Vec<u8>) -> Result<RecordHeader> {
        const WHAT: &str = "a record";
        let header = RecordHeader::decode(stored)?;
        let Some(sealed) = stored.get(RECORD_HEADER_LEN..header.stored_len() as usize) else {
            return Err(FormatError::Truncated {
                what: WHAT,
                expected_bytes: header.stored_len().into(),
                actual_bytes: stored.len() as u64,
            });
        };
        let key = self.keys.record_key(&header.id);
        let aad = &stored[..AAD_LEN];
        let raw_len = header.raw_len as usize;
        if header.codec == Codec::Stored {
            // Straight into the caller's buffer: nothing to decompress.
            key.open(WHAT, header.nonce, aad, sealed, plain)?;
            if plain.len() != raw_len {
                return Err(FormatError::invalid(WHAT, "its length is not the length it names"));
            }
        } else {
            key.open(WHAT, header.nonce, aad, sealed, &mut self.body)?;
            self.codecs.decompress(WHAT, (header.codec, header.dictionary), &self.body, raw_len, plain)?;
        }
        if self.keys.name(header.kind, plain) != header.id {
            return Err(FormatError::WrongContents { id: header.id });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::DEFAULT_LEVEL;
    use crate::crypto::MasterKey;
    use crate::ids::RepositoryId;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]))
    }

    proptest! {
        #[test]
        fn a_record_gives_back_its_bytes(plain in proptest::collection::vec(any::<u8>(), 0..4000), text: String) {
            let keys = keys();
            let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
            for (plain, hint) in [(&plain[..], Hint::Plain), (text.as_bytes(), Hint::SmallJson)] {
                let id = keys.name(RecordKind::Data, plain);
                let stored = sealer.seal(RecordKind::Data, id, plain, hint).unwrap().bytes().to_vec();
                let mut out = Vec::new();
                let header = sealer.open(&stored, &mut out).unwrap();
                prop_assert_eq!(&out[..], plain);
                prop_assert_eq!(header.stored_len() as usize, stored.len());
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let keys = keys();
        let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
        let plain = b"some words, some words, some words, some words, some words";
        let id = keys.name(RecordKind::Tree, plain);
        let stored = sealer.seal(RecordKind::Tree, id, plain, Hint::Plain).unwrap().bytes().to_vec();
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(&damaged, &mut Vec::new()).is_err(), "bit {bit}");
        }
        for length in 0..stored.len() {
            assert!(sealer.open(&stored[..length], &mut Vec::new()).is_err(), "length {length}");
        }
    }

    #[test]
    fn written_is_verified_a_wrong_id_never_leaves_the_sealer() {
        let keys = keys();
        let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
        let id = keys.name(RecordKind::Data, b"other bytes");
        let result = sealer.seal(RecordKind::Data, id, b"bytes", Hint::Plain);
        assert!(matches!(result, Err(FormatError::WrongContents { id: wrong }) if wrong == id));
    }

    #[test]
    fn two_seals_of_the_same_bytes_differ() {
        let keys = keys();
        let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
        let id = keys.name(RecordKind::Data, b"bytes");
        let first = sealer.seal(RecordKind::Data, id, b"bytes", Hint::Plain).unwrap().bytes().to_vec();
        let second = sealer.seal(RecordKind::Data, id, b"bytes", Hint::Plain).unwrap().bytes().to_vec();
        assert_ne!(first, second);
    }
}
