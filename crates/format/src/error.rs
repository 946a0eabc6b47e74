//! What can be wrong with bytes: every decoder of this crate answers with one of these.

use crate::ids::ChunkId;

/// Bytes that cannot be turned into what they should be.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("{what} is truncated: {actual_bytes} bytes where {expected_bytes} were expected")]
    Truncated { what: &'static str, expected_bytes: u64, actual_bytes: u64 },
    #[error("{what} does not start with its magic bytes")]
    Magic { what: &'static str },
    #[error("{what} has format version {found}, this program reads up to {supported}")]
    Version { what: &'static str, found: u32, supported: u32 },
    #[error("{what} does not match its checksum")]
    Checksum { what: &'static str },
    #[error("{what} cannot be unsealed: it was changed, or belongs to another repository")]
    Unseal { what: &'static str },
    #[error("record {id} has other contents than its id says")]
    WrongContents { id: ChunkId },
    #[error("{what} is not valid: {detail}")]
    Invalid { what: &'static str, detail: String },
    #[error("compression failed")]
    Compression(#[source] std::io::Error),
    #[error("the system's random generator failed")]
    Random,
    #[error("no key slot opens with this password or key")]
    WrongPassword,
    #[error("this repository needs features this program does not have: {}", .0.join(", "))]
    UnknownFeatures(Vec<String>),
}

impl FormatError {
    pub(crate) fn invalid(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { what, detail: detail.into() }
    }
}

pub type Result<T> = std::result::Result<T, FormatError>;
