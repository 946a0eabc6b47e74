//! Taking snapshots off the list, and putting them back.
//!
//! What goes is decided on the state that the entry is checked against, anew for every attempt to append it: a list that was
//! made before somebody else's backup or forgetting is never acted on. A cluster's snapshot and its volumes' are one unit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_format::crypto::random;
use backstay_format::ids::{SnapshotId, WriterId};
use backstay_format::log::{Change, SnapshotRecord};
use jiff::Timestamp;

use crate::error::{ErrorKind, RepoError, Result};
use crate::protocol::State;
use crate::repository::{Append, Repository};
use crate::reserve::with_reserve;
use crate::retention::{Judged, Policy, decide, namers, newest_accepted};
use crate::select::Selection;

/// Collections that may let go of more, one after the other, while an undo runs.
const UNDO_ATTEMPTS_MAX: u32 = 8;

/// What a policy did.
#[derive(Debug, Clone)]
pub struct PolicyOutcome {
    /// By source, then from old to new.
    pub judged: Vec<Judged>,
    /// The log entry; none where nothing was to go, or it was only tried.
    pub slot: Option<u64>,
}

/// Why a snapshot stays, or does not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    #[error("the policy does not say what to keep")]
    EmptyPolicy,
    #[error("snapshot {snapshot} is held: {}", holds.join(", "))]
    Held { snapshot: SnapshotId, holds: Vec<String> },
    #[error("snapshot {snapshot} is the newest accepted one of source {source_name}")]
    NewestAccepted { snapshot: SnapshotId, source_name: String },
    #[error("snapshot {volume} is a volume's, and belongs to snapshot {snapshot}")]
    VolumeOf { volume: SnapshotId, snapshot: SnapshotId },
    #[error("no snapshot {spec} can be brought back")]
    NotRestorable { spec: String },
    #[error(
        "snapshot {snapshot} cannot be brought back: {records} of its records are gone, the first of them at {place}"
    )]
    Gone { snapshot: SnapshotId, records: u64, place: String },
}

impl ForgetError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::EmptyPolicy => ErrorKind::Invalid,
            Self::Held { .. } | Self::NewestAccepted { .. } | Self::VolumeOf { .. } => ErrorKind::Denied,
            Self::NotRestorable { .. } | Self::Gone { .. } => ErrorKind::NotFound,
        }
    }
}

impl Repository {
    /// Forgets what a policy does not keep. `dry_run` decides only.
    ///
    /// # Errors
    /// [`ForgetError::EmptyPolicy`] where the policy asks for nothing.
    pub fn forget_by_policy(&self, policy: &Policy, selection: &Selection, dry_run: bool) -> Result<PolicyOutcome> {
        if policy.is_empty() {
            return Err(ForgetError::EmptyPolicy.into());
        }
        let mut judged = Vec::new();
        let slot = self.forget_decided(dry_run, &mut |state, now| {
            judged = decide(records(state), policy, selection, now);
            Ok(judged.iter().filter(|one| !one.verdict.is_kept()).map(|one| one.snapshot.id).collect())
        })?;
        Ok(PolicyOutcome { judged, slot })
    }

    /// Forgets these snapshots, with those of a cluster's volumes; gives back all that went, from old to new.
    ///
    /// # Errors
    /// [`ForgetError`], and nothing is forgotten, where one of them is held, is a volume's of a snapshot that stays, or is the newest
    /// accepted one of its source: that one goes only by `force`. Those that somebody else forgot meanwhile are passed over.
    pub fn forget(&self, ids: &[SnapshotId], force: bool, dry_run: bool) -> Result<Vec<Arc<SnapshotRecord>>> {
        let mut gone = Vec::new();
        self.forget_decided(dry_run, &mut |state, now| {
            gone = explicit(state, ids, force, now)?;
            Ok(gone.iter().map(|record| record.id).collect())
        })?;
        Ok(gone)
    }

    /// Lists forgotten snapshots again, with those of a cluster's volumes; gives back all that came back, from old to new.
    ///
    /// While no pack was retired since, an entry that says so is enough. After that it is a commit: everything that the snapshot
    /// needs is looked up, and put again where it is only left in retired packs.
    ///
    /// # Errors
    /// [`ForgetError::NotRestorable`] for one that was never listed, [`ForgetError::Gone`] where some of the data is gone. Those that
    /// are listed already are passed over. [`RepoError::NeedsExclusiveUse`] where the store lacks create-if-absent.
    pub fn forget_undo(&self, ids: &[SnapshotId]) -> Result<Vec<Arc<SnapshotRecord>>> {
        self.require_order()?;
        let mut wanted: BTreeSet<SnapshotId> = ids.iter().copied().collect();
        let mut back = BTreeMap::new();
        for _ in 0..UNDO_ATTEMPTS_MAX {
            self.catch_up()?;
            let missing = missing(&self.state(), &wanted);
            if missing.is_empty() {
                match self.restore(&wanted)? {
                    Some(restored) => {
                        back.extend(restored);
                        return Ok(from_old_to_new(back.into_values()));
                    }
                    None => continue,
                }
            }
            let records = self.once_listed(&|id| missing.contains(id))?;
            if let Some(unknown) = missing.iter().find(|id| !records.contains_key(id)) {
                return Err(ForgetError::NotRestorable { spec: unknown.to_string() }.into());
            }
            let known = wanted.len();
            wanted.extend(records.values().flat_map(|record| record.volumes.values()));
            if wanted.len() > known {
                continue;
            }
            let listed: Vec<_> = records.values().map(|record| (**record).clone()).collect();
            self.begin()?.list_again(&listed)?;
            back.extend(records);
        }
        Err(RepoError::Invalid(format!(
            "{UNDO_ATTEMPTS_MAX} collections in a row came between: nothing was lost by that"
        )))
    }

    /// The undo by a word; nothing where a collection let some of them go meanwhile.
    fn restore(&self, wanted: &BTreeSet<SnapshotId>) -> Result<Option<BTreeMap<SnapshotId, Arc<SnapshotRecord>>>> {
        let mut back = None;
        self.append_decided(&Append::new(writer()?, "undo", self.base()), &mut |state| {
            back = missing(state, wanted).is_empty().then(BTreeMap::new);
            let Some(found) = &mut back else { return Ok(None) };
            for forgotten in wanted.iter().filter_map(|id| state.forgotten().get(id)) {
                let record = &forgotten.snapshot.record;
                let volumes = record.volumes.values().filter_map(|volume| state.forgotten().get(volume));
                found.extend(volumes.map(|volume| (volume.snapshot.record.id, volume.snapshot.record.clone())));
                found.insert(record.id, record.clone());
            }
            let restored: Vec<_> = found.keys().copied().collect();
            Ok((!restored.is_empty()).then(|| Change { snapshots_restored: restored, ..Change::default() }))
        })?;
        Ok(back)
    }

    /// Snapshots that were ever listed, as they last were, from the whole log: a state forgets them.
    pub(crate) fn once_listed(
        &self,
        wanted: &dyn Fn(&SnapshotId) -> bool,
    ) -> Result<BTreeMap<SnapshotId, Arc<SnapshotRecord>>> {
        let mut found = BTreeMap::new();
        let mut state = State::default();
        self.each_entry(&mut |entry| {
            let (entry, hash) = entry?;
            state.follow(&entry, hash).map_err(RepoError::Log)?;
            let change = entry.change;
            let added = change.snapshots_added.iter().map(|record| record.id);
            let amended = change.snapshots_amended.iter().map(|amendment| amendment.snapshot);
            for id in added.chain(amended).filter(|id| wanted(id)) {
                if let Some(listed) = state.listed().get(&id) {
                    found.insert(id, listed.record.clone());
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Forgotten snapshots that can be listed again, from old to new.
    pub fn forgotten(&self) -> Vec<SnapshotRecord> {
        let state = self.state();
        let records = state.forgotten().values().map(|forgotten| forgotten.snapshot.record.clone());
        from_old_to_new(records).into_iter().map(|record| (*record).clone()).collect()
    }

    fn forget_decided(
        &self,
        dry_run: bool,
        decide: &mut dyn FnMut(&State, Timestamp) -> Result<Vec<SnapshotId>>,
    ) -> Result<Option<u64>> {
        // Forgetting is how a full disk gets room again.
        with_reserve(self.store(), || {
            self.append_decided(&Append::new(writer()?, "forget", self.base()), &mut |state| {
                let ids = decide(state, self.clock().now())?;
                let is_wanted = !ids.is_empty() && !dry_run;
                Ok(is_wanted.then(|| Change { snapshots_forgotten: ids, ..Change::default() }))
            })
        })
    }
}

fn explicit(state: &State, ids: &[SnapshotId], force: bool, now: Timestamp) -> Result<Vec<Arc<SnapshotRecord>>> {
    let listed = state.listed();
    let named: BTreeSet<SnapshotId> = ids.iter().copied().filter(|id| listed.contains_key(id)).collect();
    let owners = namers(records(state));
    let mut going: BTreeSet<SnapshotId> = named.clone();
    for (volume, namers) in &owners {
        let owner_that_stays = namers.iter().find(|namer| !named.contains(namer));
        match owner_that_stays {
            None if listed.contains_key(volume) => {
                going.insert(*volume);
            }
            Some(owner) if named.contains(volume) => {
                return Err(ForgetError::VolumeOf { volume: *volume, snapshot: *owner }.into());
            }
            _ => {}
        }
    }
    let gone = from_old_to_new(going.iter().filter_map(|id| listed.get(id)).map(|listed| listed.record.clone()));
    if let Some(held) = gone.iter().find(|record| !record.holds.is_empty()) {
        return Err(ForgetError::Held { snapshot: held.id, holds: held.holds.clone() }.into());
    }
    let sources: BTreeSet<&str> =
        gone.iter().filter(|record| named.contains(&record.id)).map(|record| &record.source[..]).collect();
    for source in sources.into_iter().filter(|_| !force) {
        let newest = newest_accepted(records(state).filter(|record| record.source == source), 1, now);
        if let Some(snapshot) = newest.into_iter().find(|id| named.contains(id)) {
            return Err(ForgetError::NewestAccepted { snapshot, source_name: source.to_owned() }.into());
        }
    }
    Ok(gone)
}

/// Those that are neither listed nor can be listed again by a word.
fn missing(state: &State, wanted: &BTreeSet<SnapshotId>) -> BTreeSet<SnapshotId> {
    let is_there = |id: &SnapshotId| state.listed().contains_key(id) || state.forgotten().contains_key(id);
    wanted.iter().filter(|id| !is_there(id)).copied().collect()
}

fn records(state: &State) -> impl Iterator<Item = Arc<SnapshotRecord>> {
    state.listed().values().map(|listed| listed.record.clone())
}

fn from_old_to_new(records: impl Iterator<Item = Arc<SnapshotRecord>>) -> Vec<Arc<SnapshotRecord>> {
    let mut records: Vec<_> = records.collect();
    records.sort_by(|left, right| (&left.started, left.id).cmp(&(&right.started, right.id)));
    records
}

fn writer() -> Result<WriterId> {
    Ok(WriterId::new(random().map_err(RepoError::making("a writer id"))?))
}
