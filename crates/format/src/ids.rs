//! Identifiers: one newtype per kind of thing, so that a pack is never looked up by a chunk's name.
//!
//! Text forms are lower-case hexadecimal, full length in formats; people may type any unique prefix of a snapshot id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The text is not the hexadecimal form of the identifier that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: expected {expected_digits} hexadecimal digits")]
pub struct ParseIdError {
    what: &'static str,
    expected_digits: usize,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $bytes;

            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first eight digits: enough for a person, never used to look something up.
            pub fn short(&self) -> String {
                to_hex(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_hex(text).map(Self).ok_or_else(|| ParseIdError {
                    what: $what,
                    expected_digits: $bytes * 2,
                    text: text.chars().take(100).collect(),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// Names a record (a chunk, a tree node or a content node): keyed BLAKE3 of its plain bytes, under the key of its kind.
    ChunkId, 32, "a chunk id"
);
id!(
    /// Names a pack: BLAKE3, without a key, of the stored bytes.
    PackId, 32, "a pack id"
);
id!(
    /// Names an index segment: BLAKE3, without a key, of the stored bytes.
    SegmentId, 32, "an index segment id"
);
id!(
    /// Names a snapshot: 16 random bytes, so that a forgotten snapshot's name never comes back.
    SnapshotId, 16, "a snapshot id"
);
id!(
    /// Names a repository: 16 random bytes made by `repo init`.
    RepositoryId, 16, "a repository id"
);
id!(
    /// Names one running writer, and tells one attempt to append a log entry from another's.
    WriterId, 16, "a writer id"
);
id!(
    /// Names a key slot: BLAKE3, without a key, of the stored bytes.
    KeyId, 32, "a key slot id"
);
id!(
    /// BLAKE3, without a key, of a log entry's stored bytes: what the next entry names as its predecessor.
    EntryHash, 32, "a log entry's hash"
);

/// Lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
    }
    Some(bytes)
}

/// Upper case is refused, so that every identifier has one text form.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_refuses_other_lengths_and_upper_case() {
        let id = SnapshotId::new([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(id.to_string().parse::<SnapshotId>().unwrap(), id);
        assert!("ab".parse::<SnapshotId>().is_err());
        assert!("AB".repeat(16).parse::<SnapshotId>().is_err());
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
    }
}
