//! Snapshots of what is left of broken ones, and the broken ones forgotten: both in one entry of the log.
//!
//! Works on any tree, of files and of clusters: leaves of which nothing is lost are taken over as they are. What is left out is in
//! the new snapshot's ledger, as what a backup could not read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use backstay_format::compress::Hint;
use backstay_format::ids::SnapshotId;
use backstay_format::log::{Extra, LedgerEntry, LedgerRef, SnapshotKind, SnapshotRecord, Summary, TreeRef};
use backstay_format::tree::{Child, Item, ItemKind, LeafRef, TreeBuilder, key_parent};

use super::each_segment;
use super::index::IndexPlan;
use super::packs::wrong_sizes;
use super::survey::{BrokenSnapshot, Part, Parts, Pass, Survey, path};
use crate::error::{RepoError, Result};
use crate::progress::Progress;
use crate::repository::Repository;
use crate::writer::{ChunkWriter, Writer, new_snapshot_id};

/// Names, in a snapshot's annotations, the one that it was made from.
pub const REPAIRED_FROM: &str = "backstay.io/repaired-from";
/// The ledger's word for what a repair left out.
const LOST: &str = "lost";

/// Snapshots of which something cannot be read.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SnapshotsPlan {
    pub snapshots: Vec<BrokenSnapshot>,
}

/// What was done.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct SnapshotsRepair {
    pub snapshots: Vec<RepairedSnapshot>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct RepairedSnapshot {
    pub id: SnapshotId,
    /// What is left of it; nothing where not even the root of its tree can be read.
    pub new: Option<SnapshotId>,
    /// Not forgotten because somebody holds it.
    pub holds: Vec<String>,
}

impl SnapshotsPlan {
    /// Walks every listed snapshot.
    ///
    /// # Errors
    /// [`RepoError::BrokenIndex`], [`RepoError::UnindexedPack`] and [`RepoError::DamagedPacks`] where `repair index` or `repair
    /// packs` comes first: what they would save is not to be given up.
    pub fn make(repository: &Repository, progress: &Progress) -> Result<Self> {
        repository.refuse_copy()?;
        repository.catch_up()?;
        let state = repository.state();
        let mut sizes = BTreeMap::new();
        each_segment(repository, &state, &mut |segment| {
            let valid = segment.packs.iter().filter(|pack| state.is_pack_valid_in(segment.base, &pack.id));
            sizes.extend(valid.map(|pack| (pack.id, pack.size_bytes)));
        })?;
        let mut damaged = wrong_sizes(repository, &sizes)?;
        let known = super::known_damage(repository)?;
        damaged.extend(known.packs.keys().filter(|id| sizes.contains_key(id)));
        if let Some(first) = damaged.first() {
            return Err(RepoError::DamagedPacks { packs: damaged.len(), first: *first });
        }
        repository.rebuild_index()?;
        let mut survey = Survey::new(repository, HashSet::new())?;
        let mut snapshots = survey.broken(progress)?;
        if !snapshots.is_empty()
            && let Some(pack) = IndexPlan::make(repository)?.pack_with(repository, survey.missing())?
        {
            return Err(RepoError::UnindexedPack { pack });
        }
        let repaired: BTreeSet<_> =
            state.listed().values().filter_map(|listed| listed.record.annotations.get(REPAIRED_FROM)).collect();
        // One that is held stays, but what is left of it is kept once.
        snapshots.retain(|snapshot| snapshot.holds.is_empty() || !repaired.contains(&snapshot.id.to_string()));
        Ok(Self { snapshots })
    }

    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// Makes the new snapshots, and forgets the old ones that nobody holds. Volumes' snapshots stay with their cluster's.
    ///
    /// # Errors
    /// [`RepoError::Overtaken`] where one of them was forgotten meanwhile: plan anew.
    pub fn run(&self, repository: &Repository, progress: &Progress) -> Result<SnapshotsRepair> {
        let mut done = SnapshotsRepair::default();
        if self.is_empty() {
            return Ok(done);
        }
        let writer = repository.begin()?;
        let mut survey = Survey::new(repository, HashSet::new())?;
        let mut records = Vec::new();
        let mut replaced = Vec::new();
        let mut successors: HashMap<SnapshotId, SnapshotId> = HashMap::new();
        Progress::add(&progress.items_total, self.snapshots.len() as u64);
        progress.totals_known.store(true, std::sync::atomic::Ordering::Relaxed);
        for broken in &self.snapshots {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let old = repository.snapshot(&broken.id).ok_or(RepoError::NoSnapshot { spec: broken.id.to_string() })?;
            let new = rebuild(&writer, &mut survey, &old)?;
            if let Some(new) = &new {
                writer.reuse_tree_of(old.id);
                successors.insert(old.id, new.id);
            }
            if old.holds.is_empty() {
                replaced.push(old.id);
            }
            done.snapshots.push(RepairedSnapshot { id: old.id, new: new.as_ref().map(|new| new.id), holds: old.holds });
            records.extend(new);
            Progress::add(&progress.items_done, 1);
        }
        // A cluster's snapshot whose volume's was made anew names the new one.
        for owner in repository.snapshots() {
            let names_one = |record: &SnapshotRecord| record.volumes.values().any(|id| successors.contains_key(id));
            if !successors.contains_key(&owner.id) && owner.holds.is_empty() && names_one(&owner) {
                writer.reuse_tree_of(owner.id);
                replaced.push(owner.id);
                let new = successor(&owner)?;
                done.snapshots.push(RepairedSnapshot { id: owner.id, new: Some(new.id), holds: Vec::new() });
                records.push(new);
            }
        }
        for volume in records.iter_mut().flat_map(|record| record.volumes.values_mut()) {
            if let Some(new) = successors.get(volume) {
                *volume = *new;
            }
        }
        writer.replace("repair snapshots", &records, &replaced)?;
        repository.amend_damaged(&mut |damaged| {
            for id in &replaced {
                damaged.snapshots.remove(id);
            }
        })?;
        Ok(done)
    }
}

/// The same record under a new name.
fn successor(old: &SnapshotRecord) -> Result<SnapshotRecord> {
    let mut record = SnapshotRecord { id: new_snapshot_id()?, parents: vec![old.id], holds: Vec::new(), ..old.clone() };
    record.annotations.insert(REPAIRED_FROM.to_owned(), old.id.to_string());
    Ok(record)
}

/// What is left of a snapshot, stored; nothing where nothing is.
fn rebuild(writer: &Writer<'_>, survey: &mut Survey<'_>, old: &SnapshotRecord) -> Result<Option<SnapshotRecord>> {
    let trees = &writer.repository().config().trees;
    let shape = if old.kind == SnapshotKind::Cluster { trees.objects } else { trees.files };
    let mut remains = Remains {
        kind: old.kind,
        builder: TreeBuilder::new(writer.repository().keys(), shape),
        chunks: writer.chunk_writer()?,
        summary: Summary::default(),
        ledger: Vec::new(),
        lost_keys: BTreeSet::new(),
        lost_ranges: Vec::new(),
        gap: None,
    };
    let mut parts = Parts::new(old);
    while let Some(part) = survey.next_part(&mut parts, Pass::Nothing)? {
        remains.add(survey, part)?;
    }
    if remains.builder.items() == 0 && !remains.ledger.is_empty() {
        return Ok(None);
    }
    let (tree, summary, lost) = remains.finish()?;
    let mut ledger = old_ledger(survey, old)?;
    ledger.extend(lost);
    ledger.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
    let ledger = LedgerRef { filtered: old.ledger.filtered.clone(), ..writer.write_ledger(&ledger)? };
    Ok(Some(SnapshotRecord { tree, summary, ledger, ..successor(old)? }))
}

/// Entries of the old ledger, as far as they can be read.
fn old_ledger(survey: &mut Survey<'_>, old: &SnapshotRecord) -> Result<Vec<LedgerEntry>> {
    let mut entries = Vec::new();
    for chunk in &old.ledger.chunks {
        if let Some(read) = survey.ledger_chunk(chunk)? {
            entries.extend(read);
        } else {
            let detail = "some of what the backup noted cannot be read".to_owned();
            entries.push(lost("(ledger)".to_owned(), detail));
        }
    }
    Ok(entries)
}

fn lost(path: String, detail: String) -> LedgerEntry {
    LedgerEntry { path, reason: LOST.to_owned(), detail, failed: true, extra: Extra::new() }
}

/// A tree without what is lost, as it grows.
struct Remains<'w> {
    kind: SnapshotKind,
    builder: TreeBuilder<'w>,
    chunks: ChunkWriter<'w>,
    summary: Summary,
    ledger: Vec<LedgerEntry>,
    /// Items left out one by one.
    lost_keys: BTreeSet<Vec<u8>>,
    /// Whole ranges left out: their first keys, and the first key behind them, if there is one.
    lost_ranges: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Where the range begins that has just been left out.
    gap: Option<Vec<u8>>,
}

impl Remains<'_> {
    fn add(&mut self, survey: &mut Survey<'_>, part: Part) -> Result<()> {
        let (leaf, is_whole) = match part {
            Part::Leaf { leaf, is_whole } => (leaf, is_whole),
            Part::Lost(node) => {
                self.leave_out(node);
                return Ok(());
            }
        };
        let Some(first) = leaf.items.first() else { return Ok(()) };
        self.close_gap(&first.key)?;
        let has_dangling_link = leaf.items.iter().any(|item| self.link_target_is_lost(item));
        if is_whole && !has_dangling_link && !leaf.is_last && self.builder.is_at_leaf_start() {
            leaf.items.iter().for_each(|item| self.count(item));
            let last_key = leaf.items.last().map(|item| item.key.clone()).unwrap_or_default();
            let items = leaf.items.len() as u64;
            let whole = LeafRef { first_key: leaf.items[0].key.clone(), id: leaf.id, items };
            let chunks = &mut self.chunks;
            self.builder.push_leaf(whole, &last_key, &mut |kind, plain| chunks.put(kind, plain, Hint::Plain))?;
            return Ok(());
        }
        for item in &leaf.items {
            if !is_whole && !survey.has_contents(item)? {
                self.ledger.push(lost(path(self.kind, &item.key), "its contents cannot be read".to_owned()));
                self.lost_keys.insert(item.key.clone());
            } else if let ItemKind::HardLink { target } = &item.kind
                && self.link_target_is_lost(item)
            {
                let detail = format!("it is another name of {}, which is lost", path(self.kind, target));
                self.ledger.push(lost(path(self.kind, &item.key), detail));
                self.lost_keys.insert(item.key.clone());
            } else {
                self.push(item)?;
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, node: Child) {
        let items = node.items;
        let detail = format!("a tree node cannot be read: {items} items from here on are lost");
        self.ledger.push(lost(format!("{}…", path(self.kind, &node.first_key)), detail));
        if self.gap.is_none() {
            self.gap = Some(node.first_key.clone());
            self.lost_ranges.push((node.first_key, None));
        }
    }

    /// Goes on at `key` behind a range that was left out. Directories above it that were in that range are made up: their
    /// attributes are lost, but what is in them is not.
    fn close_gap(&mut self, key: &[u8]) -> Result<()> {
        let Some(start) = self.gap.take() else { return Ok(()) };
        if let Some((_, end)) = self.lost_ranges.last_mut() {
            *end = Some(key.to_vec());
        }
        let mut above: Vec<&[u8]> = std::iter::successors(key_parent(key), |&key| key_parent(key)).collect();
        above.reverse();
        for directory in above.into_iter().filter(|directory| *directory >= &start[..]) {
            self.push(&Item::bare_directory(directory.to_vec()))?;
        }
        Ok(())
    }

    fn link_target_is_lost(&self, item: &Item) -> bool {
        let ItemKind::HardLink { target } = &item.kind else { return false };
        let in_range =
            |(start, end): &(Vec<u8>, Option<Vec<u8>>)| target >= start && end.as_ref().is_none_or(|end| target < end);
        self.lost_keys.contains(target) || self.lost_ranges.iter().any(in_range)
    }

    fn push(&mut self, item: &Item) -> Result<()> {
        self.count(item);
        let chunks = &mut self.chunks;
        self.builder.push(item, &mut |kind, plain| chunks.put(kind, plain, Hint::Plain))
    }

    fn count(&mut self, item: &Item) {
        let counter = match (&item.kind, self.kind) {
            (ItemKind::Directory, _) => &mut self.summary.directories,
            // Beside the objects there is what their lists gave.
            (ItemKind::File { .. }, SnapshotKind::Cluster) if key_parent(&item.key) == Some(b"") => return,
            (ItemKind::File { .. }, SnapshotKind::Cluster) => &mut self.summary.objects,
            (ItemKind::File { .. }, _) => &mut self.summary.files,
            _ => &mut self.summary.others,
        };
        *counter += 1;
        self.summary.size_bytes += item.size_bytes();
    }

    fn finish(self) -> Result<(TreeRef, Summary, Vec<LedgerEntry>)> {
        let Self { builder, mut chunks, summary, ledger, .. } = self;
        let tree = builder.finish(&mut |kind, plain| chunks.put(kind, plain, Hint::Plain))?;
        Ok((tree, summary, ledger))
    }
}
