//! The API server behind blocking calls: connection, requests with deadlines and retries, discovery, lists.

use backstay_repo::ErrorKind;
use serde::{Deserialize, Serialize};

/// Which cluster a server is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// Of the namespace kube-system, which lives as long as the cluster.
    pub uid: String,
    /// `v1.36.3`.
    pub version: String,
    pub context: String,
    pub address: String,
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {}

impl ApiError {
    pub fn kind(&self) -> ErrorKind {
        match *self {}
    }
}
