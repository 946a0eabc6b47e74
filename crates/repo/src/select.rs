//! Which snapshot somebody means: `latest`, the start of an id, by source and tags.

use std::sync::Arc;

use backstay_format::ids::SnapshotId;
use backstay_format::log::SnapshotRecord;
use jiff::Timestamp;

use crate::error::{RepoError, Result};
use crate::forget::ForgetError;
use crate::repository::Repository;

/// Narrows the snapshots that are looked at; empty lists narrow nothing.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub sources: Vec<String>,
    /// All of these.
    pub tags: Vec<String>,
    /// Only snapshots that were begun by this time: `latest` is then the newest one of that time.
    pub until: Option<Timestamp>,
}

impl Selection {
    pub fn matches(&self, snapshot: &SnapshotRecord) -> bool {
        (self.sources.is_empty() || self.sources.contains(&snapshot.source))
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
            && self
                .until
                .is_none_or(|until| snapshot.started.parse::<Timestamp>().is_ok_and(|started| started <= until))
    }
}

/// Fewer digits than this are refused: they would soon mean another snapshot.
const PREFIX_DIGITS_MIN: usize = 4;

impl Repository {
    /// The snapshot that `spec` names.
    ///
    /// `latest` is the newest accepted and complete one of a single source; where several sources have snapshots, one has to be named.
    pub fn find_snapshot(&self, spec: &str, selection: &Selection) -> Result<SnapshotRecord> {
        let snapshots: Vec<_> = self.snapshots().into_iter().filter(|snapshot| selection.matches(snapshot)).collect();
        if spec == "latest" {
            return latest(snapshots, selection);
        }
        by_prefix(snapshots, spec)?.ok_or_else(|| RepoError::NoSnapshot { spec: spec.to_owned() })
    }

    /// The snapshot whose id starts like this and that is not listed any more, however long ago it was forgotten.
    pub fn find_forgotten(&self, spec: &str, selection: &Selection) -> Result<SnapshotRecord> {
        let matching = |snapshots: Vec<SnapshotRecord>| {
            by_prefix(snapshots.into_iter().filter(|snapshot| selection.matches(snapshot)).collect(), spec)
        };
        if let Some(found) = matching(self.forgotten())? {
            return Ok(found);
        }
        let prefix = spec.to_ascii_lowercase();
        let state = self.state();
        let is_meant = |id: &SnapshotId| id.to_string().starts_with(&prefix) && !state.listed().contains_key(id);
        let earlier = self.once_listed(&is_meant)?.into_values().map(Arc::unwrap_or_clone).collect();
        Ok(matching(earlier)?.ok_or_else(|| ForgetError::NotRestorable { spec: spec.to_owned() })?)
    }

    /// The newest accepted and complete snapshot of a source, and a newer incomplete one that an unfinished run left.
    pub fn parents_of(&self, source: &str) -> (Option<SnapshotRecord>, Option<SnapshotRecord>) {
        let mut complete = None;
        let mut incomplete: Option<SnapshotRecord> = None;
        for snapshot in self.snapshots().into_iter().filter(|snapshot| snapshot.source == source) {
            if snapshot.incomplete {
                incomplete = Some(snapshot);
            } else if snapshot.accepted {
                complete = Some(snapshot);
            }
        }
        let is_newer = |incomplete: &SnapshotRecord| {
            complete.as_ref().is_none_or(|complete: &SnapshotRecord| incomplete.started > complete.started)
        };
        (complete.clone(), incomplete.filter(is_newer))
    }
}

/// The only one whose id starts like this.
fn by_prefix(snapshots: Vec<SnapshotRecord>, spec: &str) -> Result<Option<SnapshotRecord>> {
    if spec.len() < PREFIX_DIGITS_MIN || !spec.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let prefix = spec.to_ascii_lowercase();
    let mut found: Vec<_> =
        snapshots.into_iter().filter(|snapshot| snapshot.id.to_string().starts_with(&prefix)).collect();
    if found.len() > 1 {
        return Err(RepoError::AmbiguousSnapshot {
            spec: spec.to_owned(),
            candidates: found.iter().map(|snapshot| snapshot.id).collect(),
        });
    }
    Ok(found.pop())
}

fn latest(snapshots: Vec<SnapshotRecord>, selection: &Selection) -> Result<SnapshotRecord> {
    let usable: Vec<_> = snapshots.into_iter().filter(|snapshot| snapshot.accepted && !snapshot.incomplete).collect();
    let mut sources: Vec<_> = usable.iter().map(|snapshot| snapshot.source.clone()).collect();
    sources.sort();
    sources.dedup();
    if sources.len() > 1 {
        return Err(RepoError::AmbiguousSource { sources });
    }
    usable
        .into_iter()
        .next_back()
        .ok_or_else(|| RepoError::NoSnapshots { source_name: selection.sources.first().cloned() })
}
