//! What can go wrong with a whole run. What goes wrong with one object is in a ledger or an outcome instead.

use backstay_format::ids::SnapshotId;
use backstay_repo::{ErrorKind, RepoError};

use crate::api::{ApiError, ClusterIdentity};
use crate::filter::FilterError;
use crate::look::LookError;
use crate::restore::{JournalError, PlanError};

pub type Result<T, E = ClusterError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "the plan is for the cluster {} ({}), and this is {} ({})",
        planned.uid, planned.address, found.uid, found.address
    )]
    ForeignPlan { planned: Box<ClusterIdentity>, found: Box<ClusterIdentity> },
    #[error("the plan is for snapshot {plan}, not for {snapshot}")]
    ForeignSnapshot { plan: SnapshotId, snapshot: SnapshotId },
    #[error("this account may not read the namespace kube-system, whose uid names a source")]
    NoSource,
    #[error("nothing of the cluster could be listed")]
    NothingListed(#[source] ApiError),
    #[error("snapshot {snapshot} holds no cluster's objects, but files")]
    NotACluster { snapshot: SnapshotId },
    #[error("snapshot {snapshot}: {detail}")]
    Snapshot { snapshot: SnapshotId, detail: String },
}

impl ClusterError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Repository(error) => error.kind(),
            Self::Api(error) | Self::NothingListed(error) => error.kind(),
            Self::Filter(_)
            | Self::Look(_)
            | Self::NoSource
            | Self::NotACluster { .. }
            | Self::ForeignSnapshot { .. } => ErrorKind::Invalid,
            Self::Plan(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::ForeignPlan { .. } => ErrorKind::Conflict,
            Self::Snapshot { .. } => ErrorKind::Corrupt,
        }
    }
}
