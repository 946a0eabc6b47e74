//! The envelope: how everything that is not a record in a pack is sealed: index segments, log entries, checkpoints, writer
//! records, what audits found.
//!
//! A clear header, a sealed body, and a BLAKE3 of all before it, so that anyone can check the stored bytes without a key.
//! The place where an envelope belongs is bound in: one found elsewhere does not open.

use std::cell::RefCell;

use crate::compress::{Codec, Codecs, DEFAULT_LEVEL, Hint};
use crate::crypto::{Keys, TAG_LEN, random, stored_hash};
use crate::error::{FormatError, Result};
use crate::wire::Reader;

const MAGIC: [u8; 8] = *b"BKSTENVL";
const VERSION: u8 = 1;
const KEY_EPOCH: u8 = 0;
const HEADER_LEN: usize = 48;
const HASH_LEN: usize = 32;
/// No envelope's plain body is longer: a segment of a million entries is 48 MiB.
const PLAIN_BYTES_MAX: usize = 256 << 20;

thread_local! {
    /// What this thread opens envelopes with. A history is tens of thousands of log entries, and making a context takes longer than opening one.
    static CODECS: RefCell<Option<Codecs>> = const { RefCell::new(None) };
}

/// What an envelope holds. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EnvelopeKind {
    Segment = 1,
    LogEntry = 2,
    Writer = 3,
    AuditResults = 4,
    Damaged = 5,
    Checkpoint = 6,
}

impl EnvelopeKind {
    fn what(self) -> &'static str {
        match self {
            Self::Segment => "an index segment",
            Self::LogEntry => "a log entry",
            Self::Writer => "a writer record",
            Self::AuditResults => "a result of an audit",
            Self::Damaged => "the list of what is damaged",
            Self::Checkpoint => "a checkpoint",
        }
    }
}

/// Seals `plain`. `context` names the place it is made for (a log entry's slot, say) and must be given again to open it.
pub fn seal(keys: &Keys, kind: EnvelopeKind, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(FormatError::invalid(kind.what(), format!("{} bytes are too long", plain.len())));
    }
    let salt: [u8; 32] = random()?;
    let mut out = Vec::with_capacity(HEADER_LEN + plain.len() + TAG_LEN + HASH_LEN);
    out.resize(HEADER_LEN, 0);
    // A segment is mostly ids: nothing to compress.
    let codec = if kind == EnvelopeKind::Segment {
        out.extend_from_slice(plain);
        Codec::Stored
    } else {
        Codecs::new(DEFAULT_LEVEL)?.compress(Hint::Plain, plain, &mut out)?.0
    };
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&[VERSION, kind as u8, codec as u8, KEY_EPOCH]);
    out[12..16].copy_from_slice(&(plain.len() as u32).to_le_bytes());
    out[16..48].copy_from_slice(&salt);
    let aad = [&out[..HEADER_LEN], context].concat();
    keys.envelope_key(kind as u8, &salt).seal([0; 12], &aad, &mut out, HEADER_LEN)?;
    let hash = stored_hash(&out);
    out.extend_from_slice(&hash);
    Ok(out)
}

/// Checks the trailing hash; needs no key.
pub fn verify(kind: EnvelopeKind, stored: &[u8]) -> Result<()> {
    let what = kind.what();
    if stored.len() < HEADER_LEN + TAG_LEN + HASH_LEN {
        return Err(FormatError::Truncated {
            what,
            expected_bytes: (HEADER_LEN + TAG_LEN + HASH_LEN) as u64,
            actual_bytes: stored.len() as u64,
        });
    }
    if stored[..8] != MAGIC {
        return Err(FormatError::Magic { what });
    }
    let (body, hash) = stored.split_at(stored.len() - HASH_LEN);
    if stored_hash(body) != *hash {
        return Err(FormatError::Checksum { what });
    }
    if stored[8] != VERSION {
        return Err(FormatError::Version { what, found: stored[8].into(), supported: VERSION.into() });
    }
    Ok(())
}

/// Opens an envelope of this kind that was made for this place.
pub fn open(keys: &Keys, kind: EnvelopeKind, context: &[u8], stored: &[u8]) -> Result<Vec<u8>> {
    verify(kind, stored)?;
    let what = kind.what();
    let mut reader = Reader::new(what, &stored[9..HEADER_LEN]);
    let [found_kind, codec, epoch] = reader.array()?;
    let raw_len = reader.u32()? as usize;
    let salt: [u8; 32] = reader.array()?;
    if found_kind != kind as u8 {
        return Err(FormatError::invalid(what, format!("it is an envelope of kind {found_kind}")));
    }
    if epoch != KEY_EPOCH {
        return Err(FormatError::invalid(what, format!("key epoch {epoch} is not known")));
    }
    let codec = Codec::from_byte(codec)
        .filter(|codec| *codec != Codec::ZstdDictionary)
        .ok_or_else(|| FormatError::invalid(what, format!("codec {codec} is not known")))?;
    if raw_len > PLAIN_BYTES_MAX {
        return Err(FormatError::invalid(what, "its length is out of range"));
    }
    let aad = [&stored[..HEADER_LEN], context].concat();
    let mut plain = Vec::new();
    let sealed = &stored[HEADER_LEN..stored.len() - HASH_LEN];
    keys.envelope_key(kind as u8, &salt).open(what, [0; 12], &aad, sealed, &mut plain)?;
    if codec == Codec::Stored {
        if plain.len() != raw_len {
            return Err(FormatError::invalid(what, "its length is not the length it names"));
        }
        return Ok(plain);
    }
    let mut out = Vec::new();
    CODECS.with_borrow_mut(|codecs| {
        let codecs = match codecs {
            Some(codecs) => codecs,
            empty => empty.insert(Codecs::new(DEFAULT_LEVEL)?),
        };
        codecs.decompress(what, (codec, 0), &plain, raw_len, &mut out)
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::ids::RepositoryId;

    #[test]
    fn what_could_not_be_opened_again_is_not_sealed() {
        let keys = Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]));
        let plain = vec![0; PLAIN_BYTES_MAX + 1];
        assert!(seal(&keys, EnvelopeKind::Segment, b"", &plain).is_err());
    }

    #[test]
    fn an_envelope_opens_only_as_what_it_is_where_it_belongs() {
        let keys = Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]));
        let plain = b"{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}";
        let stored = seal(&keys, EnvelopeKind::LogEntry, b"7", plain).unwrap();
        assert!(stored.len() < HEADER_LEN + plain.len() + TAG_LEN + HASH_LEN);
        verify(EnvelopeKind::LogEntry, &stored).unwrap();
        assert_eq!(open(&keys, EnvelopeKind::LogEntry, b"7", &stored).unwrap(), plain);
        assert!(open(&keys, EnvelopeKind::LogEntry, b"8", &stored).is_err());
        assert!(open(&keys, EnvelopeKind::Writer, b"7", &stored).is_err());
        for position in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[position] ^= 0x10;
            assert!(open(&keys, EnvelopeKind::LogEntry, b"7", &damaged).is_err(), "byte {position}");
            assert!(verify(EnvelopeKind::LogEntry, &damaged).is_err(), "byte {position}");
            assert!(open(&keys, EnvelopeKind::LogEntry, b"7", &stored[..position]).is_err());
        }
    }
}
