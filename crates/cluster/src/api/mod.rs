//! The API server behind blocking calls: connection, requests with deadlines and retries, discovery, lists.

use backstay_repo::ErrorKind;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {}

impl ApiError {
    pub fn kind(&self) -> ErrorKind {
        match *self {}
    }
}
