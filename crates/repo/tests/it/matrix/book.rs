//! What was promised, and whether it was kept: acknowledged snapshots, forgetting, holds, and that no garbage stays.
//!
//! The log is read here by a fold of its own, and a watch on the store sees every deletion before it is done.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{ChunkId, PackId, SegmentId, SnapshotId};
use backstay_format::log::{LogEntry, SnapshotRecord};
use backstay_repo::closure::{references, roots, walk};
use backstay_repo::repair::REPAIRED_FROM;
use backstay_repo::{Cache, OpenOptions, Repository, names, protocol};
use backstay_testkit::faulty::Verb;
use backstay_testkit::simulation::{Objects, Process, World};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::roles::collect_all;
use crate::scene::{Files, chain, check_full, contents, noise, options, secret};

/// Kept by all processes of a story.
#[derive(Default)]
pub(super) struct Book {
    pages: Mutex<Pages>,
    /// Where the processes of this story keep their local indexes, if they do.
    hosts: Option<TempDir>,
}

#[derive(Default, Clone)]
struct Pages {
    /// What each snapshot that anybody tried to commit must hold.
    attempted: BTreeMap<SnapshotId, Files>,
    committed: BTreeSet<SnapshotId>,
    forgotten: BTreeSet<SnapshotId>,
    undone: BTreeSet<SnapshotId>,
    held: BTreeSet<SnapshotId>,
    /// What must be left of each snapshot once repairs have replaced it.
    left: BTreeMap<SnapshotId, Files>,
    wrongs: Vec<String>,
}

impl Book {
    /// One that goes on from another.
    pub(super) fn after(earlier: &Self) -> Self {
        Self { pages: Mutex::new(earlier.pages.lock().clone()), hosts: None }
    }

    /// The same, whose processes live on two hosts with caches that outlast them.
    pub(super) fn with_caches(self) -> Self {
        Self { hosts: Some(tempfile::tempdir().unwrap()), ..self }
    }

    pub(super) fn cache(&self, process: &Process) -> Cache {
        let host = |hosts: &TempDir| hosts.path().join(format!("host-{}", process.number() % 2));
        self.hosts.as_ref().map_or(Cache::None, |hosts| Cache::Folder(host(hosts)))
    }

    pub(super) fn attempt(&self, id: SnapshotId, files: &Files) {
        self.pages.lock().attempted.insert(id, files.clone());
    }

    pub(super) fn committed(&self, id: SnapshotId) {
        self.pages.lock().committed.insert(id);
    }

    pub(super) fn forgotten(&self, ids: impl IntoIterator<Item = SnapshotId>) {
        self.pages.lock().forgotten.extend(ids);
    }

    pub(super) fn undone(&self, ids: impl IntoIterator<Item = SnapshotId>) {
        self.pages.lock().undone.extend(ids);
    }

    pub(super) fn held(&self, id: SnapshotId) {
        self.pages.lock().held.insert(id);
    }

    /// From now on nothing but this can be saved of a snapshot.
    pub(super) fn left(&self, id: SnapshotId, files: Files) {
        self.pages.lock().left.insert(id, files);
    }

    pub(super) fn attempted(&self, id: SnapshotId) -> Files {
        self.pages.lock().attempted[&id].clone()
    }

    pub(super) fn wrong(&self, text: String) {
        self.pages.lock().wrongs.push(text);
    }

    /// The difference between what a snapshot must hold and what was read of it.
    pub(super) fn compare(&self, snapshot: &SnapshotRecord, read: &[(String, u64, Vec<u8>)]) -> Result<(), String> {
        let (pages, id) = (self.pages.lock(), snapshot.id);
        let repaired = snapshot.annotations.get(REPAIRED_FROM).and_then(|from| pages.left.get(&from.parse().ok()?));
        let expected =
            repaired.or_else(|| pages.attempted.get(&id)).ok_or(format!("nobody ever made snapshot {id}"))?;
        let found: Files = read.iter().map(|(path, seed, bytes)| (path.clone(), (*seed, bytes.len()))).collect();
        if found != *expected {
            return Err(format!("snapshot {id} holds {found:?} instead of {expected:?}"));
        }
        let wrong = read.iter().find(|(_, seed, bytes)| *bytes != noise(*seed, bytes.len()));
        wrong.map_or(Ok(()), |(path, ..)| Err(format!("{path} of snapshot {id} has other bytes")))
    }

    /// What a fresh process finds after a story, and after two collections without anybody else.
    pub(super) fn verify(&self, world: &World) -> Vec<String> {
        world.deliver_all();
        let mut wrongs = world.wrongs();
        wrongs.extend(self.pages.lock().wrongs.clone());
        if wrongs.is_empty()
            && let Err(wrong) = self.verify_promises(world).and_then(|()| self.verify_cleaning(world))
        {
            wrongs.push(wrong);
        }
        wrongs.extend(world.wrongs());
        wrongs
    }

    fn verify_promises(&self, world: &World) -> Result<(), String> {
        let repository = onlooker(world)?;
        let history = history(world, &repository)?;
        let listed = listed(&history);
        let pages = self.pages.lock().clone();
        let mut ever = BTreeSet::new();
        let (mut forgotten, mut restored) = (BTreeSet::new(), BTreeSet::new());
        for (slot, entry) in &history {
            let change = &entry.change;
            ever.extend(change.snapshots_added.iter().map(|record| record.id));
            forgotten.extend(change.snapshots_forgotten.iter().copied());
            restored.extend(change.snapshots_restored.iter().copied());
            restored.extend(change.snapshots_added.iter().map(|record| record.id));
            let may_forget = ["forget", "backup", "save", "repair snapshots"].contains(&&entry.reason[..]);
            if !may_forget && !change.snapshots_forgotten.is_empty() {
                return Err(format!("entry {slot}, of {}, forgets snapshots", entry.reason));
            }
        }
        let lost = |what: &str, missing: Option<&SnapshotId>| {
            missing
                .map_or(Ok(()), |id| Err(format!("snapshot {id} was {what}, and it was told so; the log says nothing")))
        };
        lost("committed", pages.committed.iter().find(|id| !ever.contains(id)))?;
        lost("forgotten", pages.forgotten.iter().find(|id| !forgotten.contains(id)))?;
        lost("brought back", pages.undone.iter().find(|id| !restored.contains(id)))?;
        lost("held", pages.held.iter().find(|id| !listed.contains_key(id)))?;
        let shown: BTreeSet<_> = repository.snapshots().iter().map(|snapshot| snapshot.id).collect();
        if shown != listed.keys().copied().collect() {
            return Err(format!("{shown:?} are listed, and by the log it should be {:?}", listed.keys()));
        }
        self.verify_contents(&repository)
    }

    /// What is listed passes every check and reads back.
    fn verify_contents(&self, repository: &Repository) -> Result<(), String> {
        let report = check_full(repository);
        if !report.is_clean() {
            return Err(format!("the check finds {:#?}", report.findings));
        }
        for snapshot in repository.snapshots() {
            let read = contents(repository, snapshot.tree);
            let read = read.map_err(|error| format!("snapshot {}: {}", snapshot.id, chain(&error)))?;
            self.compare(&snapshot, &read)?;
        }
        Ok(())
    }

    /// After quiet collections nothing is left that is of no use, and all that is of use is.
    fn verify_cleaning(&self, world: &World) -> Result<(), String> {
        for _ in 0..2 {
            // Whatever somebody left who died is old by then.
            world.advance(std::time::Duration::from_hours(24 * 30));
            let repository = onlooker(world)?;
            collect_all(&repository).map_err(|error| format!("a quiet collection: {}", chain(&error)))?;
        }
        let repository = onlooker(world)?;
        self.verify_contents(&repository)?;
        let needed = needed(&repository)?;
        let index = repository.index().map_err(|error| chain(&error))?;
        let useful: Vec<PackId> = index.packs().map_err(|error| chain(&error))?.iter().map(|pack| pack.id).collect();
        let state = repository.state();
        let mut used: BTreeSet<PackId> = BTreeSet::new();
        for chunk in &needed {
            used.extend(index.copies(chunk).map_err(|error| chain(&error))?.iter().map(|copy| copy.pack));
        }
        let checkpoints = world.objects().keys().filter(|name| names::checkpoint_slot(name).is_some()).count();
        if checkpoints > 2 {
            return Err(format!("after quiet collections {checkpoints} checkpoints are left"));
        }
        for name in world.objects().keys() {
            let is_of_use = if let Some(pack) = names::pack_of(name) {
                useful.contains(&pack) && used.contains(&pack)
            } else if let Some(segment) = names::segment_of(name) {
                state.segments().contains_key(&segment)
            } else {
                let kept = [names::CONFIG, names::CONFIG_COPY].contains(&&name[..]);
                // What was damaged stays for people to look at.
                kept || [names::KEYS, names::LOG, names::CHECKPOINTS, names::QUARANTINE, names::AUDIT]
                    .iter()
                    .any(|folder| name.starts_with(folder))
            };
            if !is_of_use {
                return Err(format!("after quiet collections {name} is left, which is of no use"));
            }
        }
        Ok(())
    }
}

/// All that listed snapshots reach.
fn needed(repository: &Repository) -> Result<HashSet<ChunkId>, String> {
    let mut reader = repository.reader().map_err(|error| chain(&error))?;
    let mut seen = HashSet::new();
    for snapshot in repository.snapshots() {
        let enter = &mut |id, _| Ok(seen.insert(id));
        walk(roots(&snapshot), enter, &mut |id| references(&mut reader, id)).map_err(|error| chain(&error))?;
    }
    Ok(seen)
}

pub(super) fn onlooker(world: &World) -> Result<Repository, String> {
    let options = OpenOptions { clock: world.clock(), ..options() };
    Repository::open(world.store(), &secret(), options).map_err(|error| chain(&error))
}

fn decoded(repository: &Repository, slot: u64, stored: &[u8]) -> Result<LogEntry, String> {
    let plain = envelope::open(repository.keys(), EnvelopeKind::LogEntry, &slot.to_le_bytes(), stored);
    let plain = plain.map_err(|error| format!("entry {slot}: {error}"))?;
    serde_json::from_slice(&plain).map_err(|error| format!("entry {slot}: {error}"))
}

fn history(world: &World, repository: &Repository) -> Result<Vec<(u64, LogEntry)>, String> {
    let objects = world.objects();
    let entries = objects.iter().filter_map(|(name, object)| Some((protocol::entry_slot(name)?, object)));
    entries.map(|(slot, object)| Ok((slot, decoded(repository, slot, &object.body)?))).collect()
}

/// What the log adds up to, read naively.
fn listed(history: &[(u64, LogEntry)]) -> BTreeMap<SnapshotId, SnapshotRecord> {
    let mut records = BTreeMap::new();
    let mut listed = BTreeMap::new();
    for (_, LogEntry { change, .. }) in history {
        for id in &change.snapshots_forgotten {
            listed.remove(id);
        }
        for record in &change.snapshots_added {
            records.insert(record.id, record.clone());
            listed.insert(record.id, record.clone());
        }
        for id in &change.snapshots_restored {
            listed.extend(records.get(id).map(|record| (*id, record.clone())));
        }
    }
    listed
}

/// Whether a snapshot is listed, by what the store holds now.
pub(super) fn is_listed(process: &Process, id: SnapshotId) -> bool {
    let world = process.world();
    let repository = onlooker(world);
    repository.is_ok_and(|repository| repository.snapshot(&id).is_some())
}

/// Objects to every deletion of what no entry let go, and to every replacement.
pub(super) fn watch(repository: Arc<Repository>) -> impl FnMut(&Objects, Verb, &str) -> Option<String> + Send {
    let mut next = protocol::FIRST_SLOT;
    let mut packs: BTreeSet<PackId> = BTreeSet::new();
    let mut segments: BTreeSet<SegmentId> = BTreeSet::new();
    move |objects, verb, name| {
        while let Some(object) = objects.get(&protocol::entry_name(next)) {
            match decoded(&repository, next, &object.body) {
                Ok(entry) => {
                    packs.extend(entry.change.packs_retired);
                    segments.extend(entry.change.segments_removed);
                }
                Err(wrong) => return Some(wrong),
            }
            next += 1;
        }
        // Heartbeats, probes, and what audits saw: nothing that a restore needs. A checkpoint may go, but never be another.
        let is_manners = [names::WRITERS, names::AUDIT, "probe"].iter().any(|folder| name.starts_with(folder));
        let is_right = match verb {
            _ if is_manners => true,
            Verb::Delete if names::checkpoint_slot(name).is_some() => true,
            Verb::Delete => match (names::pack_of(name), names::segment_of(name)) {
                (Some(pack), _) => packs.contains(&pack),
                (_, Some(segment)) => segments.contains(&segment),
                _ => false,
            },
            _ => !objects.contains_key(name),
        };
        (!is_right).then(|| format!("{verb:?} of {name}, which no entry let go, or which is written once"))
    }
}
