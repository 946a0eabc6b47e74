//! Later words on listed snapshots. They change what is listed, never what is stored.

use backstay_format::crypto::random;
use backstay_format::ids::{SnapshotId, WriterId};
use backstay_format::log::{Amendment, Change, Extra};

use crate::error::{RepoError, Result};
use crate::protocol::State;
use crate::repository::{Append, Repository};

impl Repository {
    /// Accepts a snapshot that a guard flagged: `latest` may mean it, and guards compare with it.
    pub fn accept(&self, snapshot: SnapshotId) -> Result<()> {
        self.amend("accept", &|_| vec![Amendment { accepted: Some(true), ..amendment(snapshot) }])?;
        Ok(())
    }

    /// Keeps these snapshots, and those of a cluster's volumes, from being forgotten as long as this hold is on them. Says
    /// whether that is new.
    pub fn hold(&self, snapshots: &[SnapshotId], name: &str) -> Result<bool> {
        self.amend_holds("hold", snapshots, &|holds| {
            let is_new = !holds.iter().any(|hold| hold == name);
            is_new.then(|| [holds, &[name.to_owned()]].concat())
        })
    }

    /// Takes this hold off again; others stay. Says whether any had it.
    pub fn release(&self, snapshots: &[SnapshotId], name: &str) -> Result<bool> {
        self.amend_holds("release", snapshots, &|holds| {
            let has_it = holds.iter().any(|hold| hold == name);
            has_it.then(|| holds.iter().filter(|hold| *hold != name).cloned().collect())
        })
    }

    /// `change` gives new holds for old ones, or nothing. What two processes hold at once is held by both.
    fn amend_holds(
        &self,
        reason: &str,
        snapshots: &[SnapshotId],
        change: &dyn Fn(&[String]) -> Option<Vec<String>>,
    ) -> Result<bool> {
        self.amend(reason, &|state| {
            let listed = |id: &SnapshotId| state.listed().get(id);
            let volumes = snapshots.iter().filter_map(listed).flat_map(|listed| listed.record.volumes.values());
            let mut ids: Vec<_> = volumes.filter(|id| listed(id).is_some()).chain(snapshots).copied().collect();
            ids.sort_unstable();
            ids.dedup();
            let amended = |id: SnapshotId| {
                // One that was forgotten meanwhile is named all the same, so that the append says so.
                let holds = change(listed(&id).map_or(&[][..], |listed| &listed.record.holds));
                holds.map(|holds| Amendment { holds: Some(holds), ..amendment(id) })
            };
            ids.into_iter().filter_map(amended).collect()
        })
    }

    /// Appends what is to be amended in the newest state; says whether there was anything.
    fn amend(&self, reason: &str, amendments: &dyn Fn(&State) -> Vec<Amendment>) -> Result<bool> {
        let writer = WriterId::new(random().map_err(RepoError::making("a writer id"))?);
        let slot = self.append_decided(&Append::new(writer, reason, self.base()), &mut |state| {
            let snapshots_amended = amendments(state);
            Ok((!snapshots_amended.is_empty()).then(|| Change { snapshots_amended, ..Change::default() }))
        })?;
        Ok(slot.is_some())
    }
}

/// One that says nothing yet.
fn amendment(snapshot: SnapshotId) -> Amendment {
    Amendment { snapshot, accepted: None, tags: None, holds: None, expires: None, extra: Extra::new() }
}
