//! The config, the key slots and the mark of a copy: the stored objects that are readable text.
//!
//! All are write-once. A text object is three lines: a JSON document, a line that authenticates the document's bytes as they
//! are stored, and a line with the BLAKE3 of everything before it, so that a half-written one is told from a whole one without
//! a key. No document is ever written anew to be checked: another program may order or escape its fields differently.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::chunker::Chunking;
use crate::compress::DEFAULT_LEVEL;
use crate::crypto::{Keys, MasterKey, SealKey, TAG_LEN, random, stored_hash};
use crate::error::{FormatError, Result};
use crate::ids::{KeyId, RepositoryId, from_hex, to_hex};
use crate::log::Extra;
use crate::memory::Blocks;
use crate::tree::TreeShape;

/// The newest repository format this program reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Everything about a repository that is fixed when it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub format_version: u32,
    pub repository: RepositoryId,
    /// RFC 3339, UTC.
    pub created: String,
    pub features: Features,
    pub chunking: Profiles,
    pub trees: TreeShapes,
    pub compression_level: i32,
    /// Data packs start at the first size and grow to the second with the repository.
    pub pack_bytes: u32,
    pub pack_bytes_max: u32,
    /// What `repo init` found out about the store.
    pub store: StoreFacts,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Names of format features in use. A program that does not know a name may still read and write (compatible), read only
/// (read-only compatible), or do nothing at all (incompatible).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    #[serde(default)]
    pub compatible: Vec<String>,
    #[serde(default)]
    pub read_only_compatible: Vec<String>,
    #[serde(default)]
    pub incompatible: Vec<String>,
}

/// The ways of cutting that a source can choose from, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profiles {
    pub default: Chunking,
    pub database: Chunking,
}

impl Profiles {
    pub const NAMES: [&str; 2] = ["default", "database"];

    pub fn by_name(&self, name: &str) -> Option<Chunking> {
        match name {
            "" | "default" => Some(self.default),
            "database" => Some(self.database),
            _ => None,
        }
    }
}

/// Sizes of tree nodes, for trees of files and of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeShapes {
    pub files: TreeShape,
    pub objects: TreeShape,
}

/// What a repository's safety rests on and not every store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFacts {
    pub create_if_absent: bool,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Whether this program may write to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

impl Config {
    pub fn new(repository: RepositoryId, created: String, create_if_absent: bool) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            repository,
            created,
            features: Features::default(),
            chunking: Profiles { default: Chunking::DEFAULT, database: Chunking::DATABASE },
            trees: TreeShapes { files: TreeShape::FILES, objects: TreeShape::OBJECTS },
            compression_level: DEFAULT_LEVEL,
            pack_bytes: 32 << 20,
            pack_bytes_max: 64 << 20,
            store: StoreFacts { create_if_absent, extra: Extra::new() },
            extra: Extra::new(),
        }
    }

    /// The stored text.
    pub fn seal(&self, keys: &Keys) -> Vec<u8> {
        let document = serde_json::to_string(self).expect("a config is plain data");
        let mac = keys.config_mac(document.as_bytes());
        with_hash_line(format!("{document}\nmac {}\n", to_hex(&mac)))
    }

    /// Reads the text without a key: enough to say what it is, not yet to trust it.
    ///
    /// # Errors
    /// `Version` and `UnknownFeatures` when a newer program made it.
    pub fn read(stored: &[u8]) -> Result<UntrustedConfig> {
        const WHAT: &str = "the config";
        let text = check_hash_line(WHAT, stored)?;
        let (document, mac) = text
            .strip_suffix('\n')
            .and_then(|text| text.split_once("\nmac "))
            .ok_or_else(|| FormatError::invalid(WHAT, "the authentication line is missing"))?;
        // Version and features first: in a newer config the other fields may have another form.
        #[derive(Deserialize)]
        struct Head {
            format_version: u32,
            #[serde(default)]
            features: Features,
        }
        let head: Head =
            serde_json::from_str(document).map_err(|error| FormatError::invalid(WHAT, error.to_string()))?;
        if head.format_version > FORMAT_VERSION {
            return Err(FormatError::Version { what: WHAT, found: head.format_version, supported: FORMAT_VERSION });
        }
        if !head.features.incompatible.is_empty() {
            return Err(FormatError::UnknownFeatures(head.features.incompatible));
        }
        let config: Self =
            serde_json::from_str(document).map_err(|error| FormatError::invalid(WHAT, error.to_string()))?;
        config.trees.files.validate()?;
        config.trees.objects.validate()?;
        let sizes = 1 << 20..=256 << 20;
        if !sizes.contains(&config.pack_bytes) || !sizes.contains(&config.pack_bytes_max) {
            return Err(FormatError::invalid(WHAT, "a pack size is out of range"));
        }
        Ok(UntrustedConfig { config, document: document.to_owned(), mac: mac.to_owned() })
    }
}

/// A config that was read, but not yet authenticated with the repository's keys.
pub struct UntrustedConfig {
    config: Config,
    document: String,
    mac: String,
}

impl UntrustedConfig {
    pub fn repository(&self) -> RepositoryId {
        self.config.repository
    }

    /// What the store was found to do when the place was made.
    pub fn create_if_absent(&self) -> bool {
        self.config.store.create_if_absent
    }

    pub fn authenticate(self, keys: &Keys) -> Result<(Config, Access)> {
        if to_hex(&keys.config_mac(self.document.as_bytes())) != self.mac {
            return Err(FormatError::Unseal { what: "the config" });
        }
        let access =
            if self.config.features.read_only_compatible.is_empty() { Access::ReadWrite } else { Access::ReadOnly };
        Ok((self.config, access))
    }
}

/// Says that a place holds a copy of a repository: it is read like any other, and only copied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMark {
    pub repository: RepositoryId,
    /// When the copy was begun: RFC 3339, UTC.
    pub created: String,
    #[serde(flatten)]
    pub extra: Extra,
}

impl CopyMark {
    /// The stored text.
    pub fn to_text(&self) -> Vec<u8> {
        let document = serde_json::to_string(self).expect("the mark of a copy is plain data");
        with_hash_line(format!("{document}\n"))
    }

    pub fn read(stored: &[u8]) -> Result<Self> {
        const WHAT: &str = "the mark of a copy";
        let text = check_hash_line(WHAT, stored)?;
        serde_json::from_str(text).map_err(|error| FormatError::invalid(WHAT, error.to_string()))
    }
}

/// What opens a repository.
pub enum Secret {
    /// What a person types or a command prints: stretched with Argon2id.
    Password(Zeroizing<String>),
    /// A file of at least 32 random bytes: used as it is, without stretching.
    KeyFile(Zeroizing<Vec<u8>>),
}

/// Work that a password guess costs, of slots that are made from now on: 64 MiB in 2 passes over 4 lanes, about three times
/// the least that OWASP asks for (docs/design/0001). Lanes are filled on as many cores, so whoever has the password waits less
/// than whoever guesses it.
const ARGON2_MEMORY_KIB: u32 = 64 << 10;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 4;
/// A slot that asks for more than a machine has would be a way to stop every open.
const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
const ARGON2_PASSES_MAX: u32 = 64;
const ARGON2_LANES_MAX: u32 = 64;
const KEY_FILE_BYTES_MIN: usize = 32;

/// How a slot's own key comes from the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "kebab-case")]
enum Derivation {
    Argon2id { memory_kib: u32, passes: u32, lanes: u32 },
    Blake3,
}

/// The text of a key slot: the master key, sealed with a key that comes from one secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeySlot {
    pub repository: RepositoryId,
    /// What its owner calls it.
    pub label: String,
    pub created: String,
    /// `full` is the only role so far.
    pub role: String,
    derivation: Derivation,
    salt: String,
    #[serde(flatten)]
    pub extra: Extra,
    /// The document as it is stored, which is bound in: nobody can relabel a slot, or weaken its derivation, unnoticed.
    #[serde(skip)]
    document: String,
    /// The master key and the tag.
    #[serde(skip)]
    sealed: Vec<u8>,
}

/// A key slot as it is stored.
pub struct SealedKeySlot {
    pub id: KeyId,
    pub bytes: Vec<u8>,
}

impl KeySlot {
    pub fn seal(
        master: &MasterKey,
        secret: &Secret,
        repository: RepositoryId,
        label: &str,
        created: &str,
    ) -> Result<SealedKeySlot> {
        const WHAT: &str = "a key slot";
        let derivation = match secret {
            Secret::KeyFile(bytes) if bytes.len() < KEY_FILE_BYTES_MIN => {
                let detail = format!("its key file has {} bytes, {KEY_FILE_BYTES_MIN} are the least", bytes.len());
                return Err(FormatError::invalid(WHAT, detail));
            }
            Secret::Password(_) => {
                Derivation::Argon2id { memory_kib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES }
            }
            Secret::KeyFile(_) => Derivation::Blake3,
        };
        let salt: [u8; 32] = random()?;
        let mut slot = Self {
            repository,
            label: label.to_owned(),
            created: created.to_owned(),
            role: "full".to_owned(),
            derivation,
            salt: to_hex(&salt),
            extra: Extra::new(),
            document: String::new(),
            sealed: master.as_bytes().to_vec(),
        };
        slot.document = serde_json::to_string(&slot).expect("a key slot is plain data");
        let key = slot.slot_key(secret)?.expect("made for this kind of secret");
        key.seal([0; 12], slot.document.as_bytes(), &mut slot.sealed, 0)?;
        let bytes = with_hash_line(format!("{}\nsealed {}\n", slot.document, to_hex(&slot.sealed)));
        Ok(SealedKeySlot { id: KeyId::new(stored_hash(&bytes)), bytes })
    }

    pub fn read(stored: &[u8]) -> Result<Self> {
        const WHAT: &str = "a key slot";
        let (document, sealed) = check_hash_line(WHAT, stored)?
            .strip_suffix('\n')
            .and_then(|text| text.split_once("\nsealed "))
            .ok_or_else(|| FormatError::invalid(WHAT, "the line of the sealed key is missing"))?;
        let sealed: [u8; 32 + TAG_LEN] = from_hex(sealed)
            .ok_or_else(|| FormatError::invalid(WHAT, "its sealed key is not 96 hexadecimal digits"))?;
        let slot: Self =
            serde_json::from_str(document).map_err(|error| FormatError::invalid(WHAT, error.to_string()))?;
        Ok(Self { document: document.to_owned(), sealed: sealed.to_vec(), ..slot })
    }

    /// The master key, or nothing where the secret is not this slot's.
    pub fn open(&self, secret: &Secret) -> Result<Option<MasterKey>> {
        const WHAT: &str = "a key slot";
        let Some(key) = self.slot_key(secret)? else { return Ok(None) };
        let mut plain = Vec::new();
        if key.open(WHAT, [0; 12], self.document.as_bytes(), &self.sealed, &mut plain).is_err() {
            return Ok(None);
        }
        let plain = Zeroizing::new(plain);
        let bytes: [u8; 32] =
            plain[..].try_into().map_err(|_| FormatError::invalid(WHAT, "its sealed key has a wrong length"))?;
        Ok(Some(MasterKey::from_bytes(bytes)))
    }

    /// Nothing, where the slot is for another kind of secret.
    fn slot_key(&self, secret: &Secret) -> Result<Option<SealKey>> {
        const WHAT: &str = "a key slot";
        let salt: [u8; 32] =
            from_hex(&self.salt).ok_or_else(|| FormatError::invalid(WHAT, "its salt is not 64 hexadecimal digits"))?;
        let mut key = Zeroizing::new([0u8; 32]);
        match (&self.derivation, secret) {
            (&Derivation::Argon2id { memory_kib, passes, lanes }, Secret::Password(password)) => {
                let within =
                    memory_kib <= ARGON2_MEMORY_KIB_MAX && passes <= ARGON2_PASSES_MAX && lanes <= ARGON2_LANES_MAX;
                // RFC 9106 asks for 8 KiB a lane; the crate leaves that to its caller.
                if !within || memory_kib < 8 * lanes {
                    return Err(FormatError::invalid(WHAT, "the cost of its key derivation is out of range"));
                }
                let params = Params::new(memory_kib, passes, lanes, Some(32))
                    .map_err(|error| FormatError::invalid(WHAT, error.to_string()))?;
                let memory = Blocks::new(params.block_count()).map_err(|error| {
                    FormatError::invalid(WHAT, format!("no memory for its key derivation: {error}"))
                })?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into_with_memory(password.as_bytes(), &salt, &mut key[..], memory)
                    .map_err(|error| FormatError::invalid(WHAT, error.to_string()))?;
            }
            (Derivation::Blake3, Secret::KeyFile(bytes)) => {
                let mut hasher = blake3::Hasher::new_derive_key("backstay v1 key file");
                hasher.update(&salt).update(bytes);
                key.copy_from_slice(hasher.finalize().as_bytes());
            }
            _ => return Ok(None),
        }
        Ok(Some(SealKey::new(&key)))
    }
}

pub(crate) fn with_hash_line(text: String) -> Vec<u8> {
    let hash = to_hex(&stored_hash(text.as_bytes()));
    format!("{text}blake3 {hash}\n").into_bytes()
}

/// Checks the last line of a text object and gives back the text before it; needs no key.
pub fn check_hash_line<'a>(what: &'static str, stored: &'a [u8]) -> Result<&'a str> {
    let text = std::str::from_utf8(stored).map_err(|_| FormatError::invalid(what, "it is not text"))?;
    let Some((before, hash)) = text.strip_suffix('\n').and_then(|text| text.rsplit_once("\nblake3 ")) else {
        return Err(FormatError::invalid(what, "its last line, the hash, is missing: it is cut off"));
    };
    let body = &text[..=before.len()];
    if to_hex(&stored_hash(body.as_bytes())) != hash {
        return Err(FormatError::Checksum { what });
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Secret {
        Secret::Password(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_slot_opens_with_its_own_secret_alone() {
        let master = MasterKey::from_bytes([9; 32]);
        let repository = RepositoryId::new([1; 16]);
        let file = || Secret::KeyFile(Zeroizing::new(vec![3; 40]));
        let by_password =
            KeySlot::seal(&master, &password("correct"), repository, "me", "2026-01-01T00:00:00Z").unwrap();
        let by_file = KeySlot::seal(&master, &file(), repository, "job", "2026-01-01T00:00:00Z").unwrap();
        let slot = KeySlot::read(&by_password.bytes).unwrap();
        assert_eq!(slot.label, "me");
        assert_eq!(slot.open(&password("correct")).unwrap().unwrap().as_bytes(), master.as_bytes());
        assert!(slot.open(&password("wrong")).unwrap().is_none());
        assert!(slot.open(&file()).unwrap().is_none());
        let slot = KeySlot::read(&by_file.bytes).unwrap();
        assert_eq!(slot.open(&file()).unwrap().unwrap().as_bytes(), master.as_bytes());
        assert!(slot.open(&password("correct")).unwrap().is_none());
    }

    #[test]
    fn a_relabelled_slot_does_not_open() {
        let master = MasterKey::from_bytes([9; 32]);
        let file = Secret::KeyFile(Zeroizing::new(vec![3; 40]));
        let sealed = KeySlot::seal(&master, &file, RepositoryId::new([1; 16]), "me", "2026-01-01T00:00:00Z").unwrap();
        let slot = KeySlot::read(&forged(&sealed.bytes, r#""label":"me""#, r#""label":"you""#)).unwrap();
        assert_eq!(slot.label, "you");
        assert!(slot.open(&file).unwrap().is_none());
    }

    /// The same text with one part replaced and its hash line made right again.
    fn forged(stored: &[u8], from: &str, to: &str) -> Vec<u8> {
        let text = std::str::from_utf8(stored).unwrap();
        assert!(text.contains(from), "{text}");
        with_hash_line(check_hash_line("test", stored).unwrap().replacen(from, to, 1))
    }

    #[test]
    fn a_slot_that_another_program_wrote_opens_whatever_its_order_and_spacing() {
        let master = MasterKey::from_bytes([9; 32]);
        let file = Secret::KeyFile(Zeroizing::new(vec![3; 40]));
        let mut slot = KeySlot {
            document: String::new(),
            sealed: master.as_bytes().to_vec(),
            ..KeySlot::read(&KeySlot::seal(&master, &file, RepositoryId::new([1; 16]), "me", "").unwrap().bytes)
                .unwrap()
        };
        slot.document = format!(
            r#"{{ "later": [1.50], "salt": "{}", "derivation": {{"function": "blake3"}}, "role": "full",
"created": "", "label": "m\u0065", "repository": "{}" }}"#,
            slot.salt, slot.repository
        );
        let key = slot.slot_key(&file).unwrap().unwrap();
        key.seal([0; 12], slot.document.as_bytes(), &mut slot.sealed, 0).unwrap();
        let stored = with_hash_line(format!("{}\nsealed {}\n", slot.document, to_hex(&slot.sealed)));
        let read = KeySlot::read(&stored).unwrap();
        assert_eq!((read.label.as_str(), &read.extra["later"]), ("me", &serde_json::json!([1.5])));
        assert_eq!(read.open(&file).unwrap().unwrap().as_bytes(), master.as_bytes());
    }

    #[test]
    fn a_slot_that_asks_for_too_much_or_too_little_work_is_refused() {
        let master = MasterKey::from_bytes([9; 32]);
        let sealed = KeySlot::seal(&master, &password("x"), RepositoryId::new([1; 16]), "me", "").unwrap();
        for (from, to) in [
            (r#""memory_kib":65536"#, r#""memory_kib":4000000000"#),
            (r#""memory_kib":65536"#, r#""memory_kib":7"#),
            (r#""memory_kib":65536,"passes":2,"lanes":4"#, r#""memory_kib":64,"passes":2,"lanes":64"#),
            (r#""lanes":4"#, r#""lanes":0"#),
            (r#""passes":2"#, r#""passes":0"#),
            (r#""salt":""#, r#""salt":"+"#),
        ] {
            let slot = KeySlot::read(&forged(&sealed.bytes, from, to)).unwrap();
            assert!(matches!(slot.open(&password("x")), Err(FormatError::Invalid { .. })), "{to}");
        }
    }

    #[test]
    fn a_short_key_file_makes_no_slot() {
        let short = Secret::KeyFile(Zeroizing::new(vec![3; 31]));
        assert!(KeySlot::seal(&MasterKey::from_bytes([9; 32]), &short, RepositoryId::new([1; 16]), "me", "").is_err());
    }

    fn sealed_config(change: impl Fn(&mut Config)) -> (Vec<u8>, Keys) {
        let repository = RepositoryId::new([1; 16]);
        let keys = Keys::derive(&MasterKey::from_bytes([9; 32]), repository);
        let mut config = Config::new(repository, "2026-01-01T00:00:00Z".to_owned(), true);
        change(&mut config);
        (config.seal(&keys), keys)
    }

    #[test]
    fn a_config_is_authenticated_and_keeps_unknown_fields() {
        let (stored, keys) = sealed_config(|config| {
            config.extra.insert("later".to_owned(), serde_json::json!({"a": 1}));
        });
        let (config, access) = Config::read(&stored).unwrap().authenticate(&keys).unwrap();
        assert_eq!(config.extra["later"]["a"], 1);
        assert_eq!(access, Access::ReadWrite);
        let other = Keys::derive(&MasterKey::from_bytes([8; 32]), RepositoryId::new([1; 16]));
        assert!(Config::read(&stored).unwrap().authenticate(&other).is_err());
    }

    #[test]
    fn every_cut_and_every_changed_byte_of_a_config_is_noticed() {
        let (stored, _) = sealed_config(|_| {});
        for length in 0..stored.len() {
            assert!(Config::read(&stored[..length]).is_err(), "cut at {length}");
            let mut damaged = stored.clone();
            damaged[length] ^= 1;
            assert!(Config::read(&damaged).is_err(), "byte {length}");
        }
    }

    #[test]
    fn newer_versions_and_features_are_told_apart() {
        let (stored, _) = sealed_config(|config| config.format_version = 2);
        assert!(matches!(Config::read(&stored), Err(FormatError::Version { found: 2, supported: 1, .. })));
        let (stored, _) = sealed_config(|config| config.features.incompatible.push("shards".to_owned()));
        assert!(matches!(Config::read(&stored), Err(FormatError::UnknownFeatures(names)) if names == ["shards"]));
        // Also where the feature gave a field another form.
        let stored = forged(&stored, r#""algorithm":"fixed""#, r#""algorithm":"later""#);
        assert!(matches!(Config::read(&stored), Err(FormatError::UnknownFeatures(names)) if names == ["shards"]));
        let (stored, keys) = sealed_config(|config| config.features.read_only_compatible.push("parity".to_owned()));
        assert_eq!(Config::read(&stored).unwrap().authenticate(&keys).unwrap().1, Access::ReadOnly);
    }
}
