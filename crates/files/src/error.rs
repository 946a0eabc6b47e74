//! What can go wrong with a whole run. What goes wrong with one file is in a ledger instead.

use std::io;
use std::process::ExitStatus;

use backstay_format::FormatError;
use backstay_format::ids::SnapshotId;
use backstay_repo::{ErrorKind, RepoError};
use rustix::io::Errno;

use crate::filter::FilterError;
use crate::walk::WalkError;

#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("there is no profile {name:?}; known are: {}", backstay_format::config::Profiles::NAMES.join(", "))]
    UnknownProfile { name: String },
    #[error("the profile {name:?} of this repository cannot be used")]
    Profile {
        name: String,
        #[source]
        source: FormatError,
    },
    #[error("no command was given")]
    NoCommand,
    #[error("cannot run {program}")]
    Command {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} ended with {status}: its output was not kept")]
    CommandFailed { program: String, status: ExitStatus },
    #[error("snapshot {snapshot} holds no files, but a cluster's objects")]
    NotFiles { snapshot: SnapshotId },
    #[error("{path} is not in snapshot {snapshot}")]
    NotInSnapshot { path: String, snapshot: SnapshotId },
    #[error(
        "snapshot {snapshot} was saved by an unfinished run: what it does not have says nothing about what may be deleted"
    )]
    DeleteByIncomplete { snapshot: SnapshotId },
    #[error("cannot use the target {path}")]
    Target {
        path: String,
        #[source]
        source: Errno,
    },
    #[error("the target has no space left for {path}")]
    TargetFull {
        path: String,
        #[source]
        source: Errno,
    },
}

impl FilesError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Repository(error) => error.kind(),
            Self::Walk(_) | Self::Command { .. } | Self::CommandFailed { .. } | Self::NotInSnapshot { .. } => {
                ErrorKind::NotFound
            }
            Self::Filter(_)
            | Self::UnknownProfile { .. }
            | Self::NoCommand
            | Self::NotFiles { .. }
            | Self::DeleteByIncomplete { .. } => ErrorKind::Invalid,
            Self::Target { .. } => ErrorKind::Denied,
            Self::TargetFull { .. } => ErrorKind::Full,
            Self::Profile { .. } => ErrorKind::Unsupported,
        }
    }
}
