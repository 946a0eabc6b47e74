//! Keys and the two primitives that everything stored goes through: keyed BLAKE3 for names, AES-256-GCM for secrecy.
//!
//! One master key per repository. Every use has a key of its own, derived with BLAKE3's `derive_key`; every sealed thing
//! has an AES key of its own, derived from its id or salt, so no count of messages wears a key out (docs/format.md, "Keys").

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, RepositoryId};

/// Length of the authentication tag behind every ciphertext, bytes.
pub const TAG_LEN: usize = 16;

/// The key that all other keys come from. It is stored only inside key slots, sealed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    pub fn generate() -> Result<Self> {
        Ok(Self(random()?))
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// What a record holds. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A run of a source's bytes.
    Data = 1,
    /// A node of a tree of items.
    Tree = 2,
    /// A node of the list of a large file's chunks.
    Content = 3,
    /// A part of a snapshot's ledger.
    Ledger = 4,
}

impl RecordKind {
    pub const ALL: [Self; 4] = [Self::Data, Self::Tree, Self::Content, Self::Ledger];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The derived keys of one repository.
#[derive(ZeroizeOnDrop)]
pub struct Keys {
    #[zeroize(skip)]
    repository: RepositoryId,
    /// Indexed by `RecordKind as usize - 1`.
    names: [[u8; 32]; 4],
    records: [u8; 32],
    envelopes: [u8; 32],
    boundary: [u8; 32],
    config: [u8; 32],
    gear_seed: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys of {}", self.repository)
    }
}

impl Keys {
    /// Keys differ between repositories even if a master key were used twice.
    pub fn derive(master: &MasterKey, repository: RepositoryId) -> Self {
        let mut material = [0u8; 48];
        material[..32].copy_from_slice(master.as_bytes());
        material[32..].copy_from_slice(repository.as_bytes());
        let key = |context: &str| blake3::derive_key(context, &material);
        let keys = Self {
            repository,
            names: [
                key("backstay v1 name of a data chunk"),
                key("backstay v1 name of a tree node"),
                key("backstay v1 name of a content node"),
                key("backstay v1 name of a ledger chunk"),
            ],
            records: key("backstay v1 sealing of records"),
            envelopes: key("backstay v1 sealing of envelopes"),
            boundary: key("backstay v1 boundaries of tree nodes"),
            config: key("backstay v1 authentication of the config"),
            gear_seed: key("backstay v1 gear table"),
        };
        material.zeroize();
        keys
    }

    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The name of these plain bytes. Without the keys nobody can test for known content.
    pub fn name(&self, kind: RecordKind, plain: &[u8]) -> ChunkId {
        ChunkId::new(*blake3::keyed_hash(&self.names[kind as usize - 1], plain).as_bytes())
    }

    /// A name for small contents inside a bundle, to tell whether a touched file has really changed.
    pub fn content_hash(&self, plain: &[u8]) -> [u8; 16] {
        let name = self.name(RecordKind::Data, plain);
        name.as_bytes()[..16].try_into().expect("a name has 32 bytes")
    }

    /// Where tree nodes end: a hash that depends on the level and the key of the last item alone.
    pub(crate) fn boundary_hash(&self, level: u8, item_key: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.boundary);
        hasher.update(&[level]).update(item_key);
        let hash = hasher.finalize();
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
    }

    pub(crate) fn config_mac(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.config, bytes).as_bytes()
    }

    pub(crate) fn gear_table(&self) -> Box<[u64; 256]> {
        let mut bytes = vec![0u8; 256 * 8];
        blake3::Hasher::new_keyed(&self.gear_seed).finalize_xof().fill(&mut bytes);
        let mut table = Box::new([0u64; 256]);
        for (word, bytes) in table.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
        }
        table
    }

    pub(crate) fn record_key(&self, id: &ChunkId) -> SealKey {
        SealKey::new(blake3::keyed_hash(&self.records, id.as_bytes()).as_bytes())
    }

    pub(crate) fn envelope_key(&self, kind: u8, salt: &[u8]) -> SealKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.envelopes);
        hasher.update(&[kind]).update(salt);
        SealKey::new(hasher.finalize().as_bytes())
    }
}

/// One AES-256-GCM key.
pub(crate) struct SealKey(LessSafeKey);

impl SealKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `out[start..]` in place and appends the tag.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], out: &mut Vec<u8>, start: usize) -> Result<()> {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut out[start..])
            .map_err(|_| FormatError::invalid("plain bytes", "too long to seal"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts `sealed` (ciphertext and tag) into `out`, replacing its contents.
    pub(crate) fn open(
        &self,
        what: &'static str,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(length) = sealed.len().checked_sub(TAG_LEN) else {
            return Err(FormatError::Truncated {
                what,
                expected_bytes: TAG_LEN as u64,
                actual_bytes: sealed.len() as u64,
            });
        };
        let (ciphertext, tag) = sealed.split_at(length);
        // `resize` without clearing first: bytes that stay are overwritten by the decryption anyway.
        out.resize(length, 0);
        self.0.open_separate_gather(Nonce::assume_unique_for_key(nonce), Aad::from(aad), ciphertext, tag, out).map_err(
            |_| {
                out.clear();
                FormatError::Unseal { what }
            },
        )
    }
}

/// Bytes from the system's generator: the only source of randomness of this crate.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0u8; N];
    #[cfg(feature = "simulation")]
    if crate::simulation::fill(&mut bytes) {
        return Ok(bytes);
    }
    rand::fill(&mut bytes).map_err(|_| FormatError::Random)?;
    Ok(bytes)
}

/// BLAKE3, without a key, of stored bytes: what the names of packs and segments prove.
pub fn stored_hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(master: u8, repository: u8) -> Keys {
        Keys::derive(&MasterKey::from_bytes([master; 32]), RepositoryId::new([repository; 16]))
    }

    #[test]
    fn names_depend_on_the_master_key_the_repository_and_the_kind() {
        let name = keys(1, 1).name(RecordKind::Data, b"hello");
        assert_eq!(name, keys(1, 1).name(RecordKind::Data, b"hello"));
        assert_ne!(name, keys(2, 1).name(RecordKind::Data, b"hello"));
        assert_ne!(name, keys(1, 2).name(RecordKind::Data, b"hello"));
        assert_ne!(name, keys(1, 1).name(RecordKind::Tree, b"hello"));
    }

    /// Computed from docs/format.md with `docs/reference/decode.py`, not with this crate.
    #[test]
    fn gear_table_and_boundaries_never_change() {
        let master = MasterKey::from_bytes(std::array::from_fn(|n| n as u8));
        let keys = Keys::derive(&master, RepositoryId::new([0xa5; 16]));
        let gear = keys.gear_table();
        assert_eq!(gear[..3], [0x115b_1678_dc83_8fa9, 0x4793_2560_0ab1_5755, 0x5ed3_62a9_3a35_5d0c]);
        assert_eq!(gear[255], 0x1193_7127_c065_18e9);
        assert_eq!(keys.boundary_hash(0, b""), 0xc4e7_adad_a8f6_8809);
        assert_eq!(keys.boundary_hash(0, b"a\0b"), 0x7ac2_724a_5114_755e);
        assert_eq!(keys.boundary_hash(3, b"a\0b"), 0xb19b_62e3_9c18_0efd);
    }

    #[test]
    fn sealed_bytes_open_only_with_the_same_key_nonce_and_additional_data() {
        let key = keys(1, 1).envelope_key(1, b"salt");
        let mut sealed = b"head plain".to_vec();
        key.seal([7; 12], b"aad", &mut sealed, 5).unwrap();
        assert_eq!(sealed.len(), 10 + TAG_LEN);
        let mut out = Vec::new();
        key.open("test", [7; 12], b"aad", &sealed[5..], &mut out).unwrap();
        assert_eq!(out, b"plain");
        assert!(key.open("test", [8; 12], b"aad", &sealed[5..], &mut out).is_err());
        assert!(key.open("test", [7; 12], b"other", &sealed[5..], &mut out).is_err());
        assert!(keys(1, 1).envelope_key(2, b"salt").open("test", [7; 12], b"aad", &sealed[5..], &mut out).is_err());
        assert!(key.open("test", [7; 12], b"aad", &sealed[..3], &mut out).is_err());
    }
}
