//! Later words on listed snapshots. They change what is listed, never what is stored.

use backstay_format::crypto::random;
use backstay_format::ids::{SnapshotId, WriterId};
use backstay_format::log::{Amendment, Change, Extra};

use crate::error::{RepoError, Result};
use crate::protocol::WriterIntent;
use crate::repository::Repository;

impl Repository {
    /// Accepts a snapshot that a guard flagged: `latest` may mean it, and guards compare with it.
    pub fn accept(&self, snapshot: SnapshotId) -> Result<()> {
        let amendment =
            Amendment { snapshot, accepted: Some(true), tags: None, holds: None, expires: None, extra: Extra::new() };
        let writer = WriterId::new(random().map_err(RepoError::making("a writer id"))?);
        let change = Change { snapshots_amended: vec![amendment], ..Change::default() };
        self.append(writer, "accept", self.base(), &WriterIntent::default(), &|_| change.clone())?;
        Ok(())
    }
}
