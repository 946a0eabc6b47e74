//! One error type for everything a repository can answer, and what a caller should do about it.

use backstay_format::FormatError;
use backstay_format::ids::{ChunkId, PackId, RepositoryId, SegmentId, SnapshotId};

use crate::copy::CopyError;
use crate::forget::ForgetError;
use crate::index::IndexError;
use crate::protocol::{ProtocolError, Violation};
use crate::store::{self, StoreError};

pub type Result<T> = std::result::Result<T, RepoError>;

/// What the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same again, later.
    Retry,
    /// Somebody else was first; look again, then repeat.
    Conflict,
    NotFound,
    /// Stored bytes are damaged or missing.
    Corrupt,
    /// The request makes no sense.
    Invalid,
    Denied,
    Full,
    Interrupted,
    WrongPassword,
    NoRepository,
    /// Made by a newer program.
    Unsupported,
}

#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    #[error(transparent)]
    Store(SourceOf),
    #[error("{object} is damaged")]
    Damaged {
        object: String,
        #[source]
        source: FormatError,
    },
    #[error("cannot make {object}")]
    Format {
        object: &'static str,
        #[source]
        source: FormatError,
    },
    #[error("the local index failed")]
    Index(#[source] IndexError),
    #[error("there is no repository at {location}")]
    NoRepository { location: String },
    #[error("there is a repository at {location} already: {repository}")]
    RepositoryExists { location: String, repository: RepositoryId },
    #[error("wrong password or key for the repository at {location}")]
    WrongPassword { location: String },
    #[error("the repository at {location} was made by a newer program")]
    Unsupported {
        location: String,
        #[source]
        source: FormatError,
    },
    #[error("this program may only read the repository: it does not know a feature that is in use")]
    ReadOnly,
    #[error(
        "the store at {location} cannot create an object only if it is absent: collecting, bringing back snapshots and repairing packs there need exclusive use"
    )]
    NeedsExclusiveUse { location: String },
    #[error("record {id} is in no index segment")]
    MissingRecord { id: ChunkId },
    #[error(
        "a record that is needed, whose id begins with {:012x}, is in no pack that can be read: run `backstay repo check`",
        .start >> 16
    )]
    LostRecord { start: u64 },
    #[error("pack {pack}, which holds record {id}, is not in the store")]
    MissingPack { pack: PackId, id: ChunkId },
    #[error("index segment {segment} is missing or damaged")]
    BrokenIndex { segment: SegmentId },
    #[error("pack {pack} holds records that snapshots have lost, and no index segment names it")]
    UnindexedPack { pack: PackId },
    #[error("{packs} packs are missing or damaged, pack {first} among them")]
    DamagedPacks { packs: usize, first: PackId },
    #[error("the log is damaged")]
    Log(#[source] ProtocolError),
    #[error("log entry {slot} is missing, but entry {later} is there")]
    LogGap { slot: u64, later: u64 },
    #[error("the store did not say whether log entry {slot} is there: it may be, or may come to be")]
    OutcomeUnknown {
        slot: u64,
        #[source]
        source: StoreError,
    },
    #[error("what this run relied upon was changed while it ran: {}", list(.0))]
    Overtaken(Vec<Violation>),
    #[error(
        "a pack or index segment of this backup could not be stored: it cannot be committed, and has to begin anew"
    )]
    BrokenBackup,
    #[error("no snapshot {spec}")]
    NoSnapshot { spec: String },
    #[error("{spec} could be any of {} snapshots", .candidates.len())]
    AmbiguousSnapshot { spec: String, candidates: Vec<SnapshotId> },
    #[error("several sources have snapshots: {}", .sources.join(", "))]
    AmbiguousSource { sources: Vec<String> },
    #[error("there are no snapshots{}", .source_name.as_ref().map(|name| format!(" of source {name}")).unwrap_or_default())]
    NoSnapshots { source_name: Option<String> },
    #[error(transparent)]
    Forget(#[from] ForgetError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("{0}")]
    Invalid(String),
    #[error("interrupted")]
    Interrupted,
}

/// A store error that stands for itself: its message is not repeated as a cause.
#[derive(Debug)]
pub struct SourceOf(pub StoreError);

impl std::fmt::Display for SourceOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceOf {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl RepoError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(SourceOf(error)) | Self::OutcomeUnknown { source: error, .. } => match error.kind() {
                store::ErrorKind::Retry => ErrorKind::Retry,
                store::ErrorKind::Conflict => ErrorKind::Conflict,
                store::ErrorKind::NotFound => ErrorKind::NotFound,
                store::ErrorKind::Corrupt => ErrorKind::Corrupt,
                store::ErrorKind::Invalid => ErrorKind::Invalid,
                store::ErrorKind::Denied => ErrorKind::Denied,
                store::ErrorKind::Full => ErrorKind::Full,
                store::ErrorKind::Interrupted => ErrorKind::Interrupted,
            },
            Self::Damaged { .. }
            | Self::MissingRecord { .. }
            | Self::LostRecord { .. }
            | Self::MissingPack { .. }
            | Self::BrokenIndex { .. }
            | Self::UnindexedPack { .. }
            | Self::DamagedPacks { .. }
            | Self::Log(_)
            | Self::LogGap { .. } => ErrorKind::Corrupt,
            Self::Format { .. }
            | Self::Index(_)
            | Self::Invalid(_)
            | Self::NeedsExclusiveUse { .. }
            | Self::AmbiguousSnapshot { .. }
            | Self::AmbiguousSource { .. } => ErrorKind::Invalid,
            Self::NoRepository { .. } => ErrorKind::NoRepository,
            Self::BrokenBackup => ErrorKind::Retry,
            Self::RepositoryExists { .. } | Self::Overtaken(_) => ErrorKind::Conflict,
            Self::WrongPassword { .. } => ErrorKind::WrongPassword,
            Self::Unsupported { .. } | Self::ReadOnly => ErrorKind::Unsupported,
            Self::NoSnapshot { .. } | Self::NoSnapshots { .. } => ErrorKind::NotFound,
            Self::Forget(error) => error.kind(),
            Self::Copy(error) => error.kind(),
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    pub(crate) fn damaged(object: impl Into<String>) -> impl FnOnce(FormatError) -> Self {
        |source| Self::Damaged { object: object.into(), source }
    }

    pub(crate) fn making(object: &'static str) -> impl FnOnce(FormatError) -> Self {
        move |source| Self::Format { object, source }
    }
}

impl From<StoreError> for RepoError {
    fn from(error: StoreError) -> Self {
        Self::Store(SourceOf(error))
    }
}

impl From<IndexError> for RepoError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// The error and its causes in one line.
pub(crate) fn with_causes(error: &RepoError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
