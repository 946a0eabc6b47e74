//! Whom damage touches: from unreadable records to snapshots and paths, and what mends it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use backstay_format::ids::{ChunkId, PackId, SnapshotId};
use backstay_format::tree::{Content, ContentNode, ContentRef, Extent, ItemKind, Node, display_key};

use super::list::Inventory;
use super::present::Present;
use super::{Finding, PATHS_MAX, Run, nothing_below};
use crate::error::{RepoError, Result};
use crate::names;
use crate::protocol;
use crate::reader::Reader;
use crate::tree::read_node;

/// Paths kept per finding to tell each once; more are not told apart, and not counted.
const PATHS_KEPT_MAX: usize = 10_000;

/// Where a record that cannot be read should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Pack(PackId),
    /// In no segment at all.
    Nowhere,
    /// In a segment that cannot be read any more, though this host remembers it.
    LostSegment,
    /// In an intact pack: its bytes are right and make no sense.
    Record(ChunkId),
}

#[derive(Clone, Default)]
struct Touched {
    snapshots: BTreeSet<SnapshotId>,
    paths: BTreeSet<String>,
    /// Only of a place that has no record count of its own.
    records: HashSet<ChunkId>,
}

/// Turns damage into the report's findings, and says which snapshots cannot be read in full.
pub(super) fn findings(
    run: &mut Run<'_>,
    inventory: &Inventory,
    present: Option<Present>,
) -> Result<BTreeSet<SnapshotId>> {
    if run.damage.is_empty() && !run.something_is_absent {
        return Ok(BTreeSet::new());
    }
    let mut touched = BTreeMap::new();
    if !run.index_is_broken {
        let present = match present {
            Some(mut present) => {
                present.forget_met();
                present
            }
            None => Present::read(run.repository, inventory, &run.damage)?,
        };
        touched = search(run, present)?;
    }
    forget_what_the_log_explains(run, inventory, &mut touched)?;
    let lost = lost_records(run, inventory)?;
    let all: BTreeSet<SnapshotId> = run.snapshots.iter().map(|snapshot| snapshot.id).collect();
    let mut nowhere = touched.remove(&Place::Nowhere);
    if run.damage.has_segment() {
        // Which of several segments named a record, only they could say.
        let mut hidden = nowhere.take().unwrap_or_default();
        hidden.add(touched.remove(&Place::LostSegment).unwrap_or_default());
        nowhere = Some(hidden);
    }
    let is_copy = run.repository.is_copy()?;
    let mut findings = Vec::new();
    for (object, problem) in &run.damage.objects {
        let is_segment = names::segment_of(object).is_some();
        let slot = protocol::entry_slot(object);
        let found = if is_segment && run.index_is_broken {
            // Without it nothing is found any more.
            Touched { snapshots: all.clone(), ..Touched::default() }
        } else if is_segment {
            nowhere.clone().unwrap_or_default()
        } else if let Some(slot) = slot {
            let listed = inventory.state.listed().values().filter(|listed| listed.slot == slot);
            let snapshots = listed.map(|listed| listed.record.id).filter(|id| all.contains(id)).collect();
            Touched { snapshots, ..Touched::default() }
        } else if let Some(record) = object.strip_prefix("record ").and_then(|id| id.parse().ok()) {
            touched.remove(&Place::Record(record)).unwrap_or_default()
        } else {
            Touched::default()
        };
        findings.push(finding(object.clone(), problem.clone(), found.records.len() as u64, found, is_copy));
    }
    for (id, damage) in &run.damage.packs {
        let found = touched.remove(&Place::Pack(*id)).unwrap_or_default();
        // Of one snapshot alone was asked.
        if run.options.snapshot.is_none() || !found.snapshots.is_empty() {
            let records = lost.get(id).copied().unwrap_or_default();
            findings.push(finding(names::pack(id), damage.problem.clone(), records, found, is_copy));
        }
    }
    if let Some(found) = nowhere.filter(|_| !run.damage.has_segment())
        && let Some(record) = found.records.iter().min()
    {
        let others = found.records.len() as u64 - 1;
        let mut problem = "a snapshot needs it, and no index segment names it".to_owned();
        if others > 0 {
            problem.push_str(&format!("; nor {others} others"));
        }
        findings.push(finding(format!("record {record}"), problem, others + 1, found, is_copy));
    }
    findings.sort_by(|left, right| left.object.cmp(&right.object));
    // What a damaged log entry committed can be read all the same.
    let unreadable = findings.iter().filter(|finding| protocol::entry_slot(&finding.object).is_none());
    let snapshots = unreadable.flat_map(|finding| finding.snapshots.iter().copied()).collect();
    run.report.findings = findings;
    Ok(snapshots)
}

fn finding(object: String, problem: String, records: u64, touched: Touched, is_copy: bool) -> Finding {
    Finding {
        mend: mend(&object, is_copy),
        object,
        problem,
        records,
        snapshots: touched.snapshots.into_iter().collect(),
        paths_more: touched.paths.len().saturating_sub(PATHS_MAX) as u64,
        paths: touched.paths.into_iter().take(PATHS_MAX).collect(),
    }
}

/// The commands that mend an object, the best first. At a copy nothing is repaired, as nothing is appended there.
pub(super) fn mend(object: &str, is_copy: bool) -> Vec<&'static str> {
    const HEAL: &str = "backstay repo heal --from COPY";
    const HEAL_COPY: &str = "backstay repo heal --from ORIGINAL";
    const INDEX: &str = "backstay repo repair index";
    if object.starts_with(names::KEYS) {
        // What else lies there has no id to remove it by.
        names::key_of(object).map(|_| "backstay repo key remove").into_iter().collect()
    } else if is_copy && (object.starts_with("record ") || names::is_kept_for_restores(object)) {
        vec![HEAL_COPY]
    } else if object.starts_with(names::PACKS) {
        vec![HEAL, "backstay repo repair packs"]
    } else if object.starts_with(names::INDEX) {
        vec![HEAL, INDEX]
    } else if names::checkpoint_slot(object).is_some() {
        // At a copy the next one takes its place.
        if is_copy { Vec::new() } else { vec![INDEX] }
    } else if object.starts_with("record ") {
        vec![INDEX, "backstay repo repair snapshots"]
    } else if names::is_kept_for_restores(object) {
        vec![HEAL]
    } else {
        Vec::new()
    }
}

/// What vanished while this check ran, and whom a newer entry names as the reason: nobody waits for a check.
fn forget_what_the_log_explains(
    run: &mut Run<'_>,
    inventory: &Inventory,
    touched: &mut BTreeMap<Place, Touched>,
) -> Result<()> {
    match run.repository.catch_up() {
        // A log that cannot be read was told; it explains nothing.
        Ok(_) | Err(RepoError::Log(_) | RepoError::Damaged { .. } | RepoError::LogGap { .. }) => {}
        Err(error) => return Err(error),
    }
    if run.repository.base() == inventory.state.slot() {
        return Ok(());
    }
    let (let_go, state, slot) = (run.repository.let_go(), run.repository.state(), inventory.state.slot());
    let is_gone = |id: &PackId| let_go.packs.get(id).is_some_and(|gone| *gone > slot);
    run.damage.packs.retain(|id, _| !is_gone(id));
    run.damage.objects.retain(|object, _| {
        names::segment_of(object).is_none_or(|id| let_go.segments.get(&id).is_none_or(|gone| *gone <= slot))
    });
    touched.retain(|place, found| {
        found.snapshots.retain(|id| state.listed().contains_key(id));
        !found.snapshots.is_empty() && !matches!(place, Place::Pack(id) if is_gone(id))
    });
    Ok(())
}

/// How many records of each damaged pack have no copy elsewhere.
fn lost_records(run: &Run<'_>, inventory: &Inventory) -> Result<BTreeMap<PackId, u64>> {
    if run.damage.packs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let segments: HashSet<u32> =
        run.damage.packs.keys().flat_map(|id| inventory.rows(id)).map(|row| row.segment).collect();
    let present = Present::read(run.repository, inventory, &run.damage)?;
    let mut lost: BTreeMap<PackId, u64> = BTreeMap::new();
    inventory.each_entry(run.repository, &|position| segments.contains(&position), &mut |pack, entry| {
        if run.damage.is_lost(&pack.id, &entry.id) && !present.has_prefix(&entry.id) {
            *lost.entry(pack.id).or_default() += 1;
        }
    })?;
    Ok(lost)
}

/// Walks every snapshot to whatever cannot be read.
fn search(run: &mut Run<'_>, present: Present) -> Result<BTreeMap<Place, Touched>> {
    let snapshots = std::mem::take(&mut run.snapshots);
    let reader = run.repository.reader()?;
    let mut search = Search { run, reader, present, touched: BTreeMap::new() };
    for snapshot in &snapshots {
        for chunk in &snapshot.ledger.chunks {
            if !search.can_read(chunk)? {
                search.touch(chunk, snapshot.id, "(ledger)")?;
            }
        }
        search.node(snapshot.id, &snapshot.tree.root, snapshot.tree.level, "/")?;
    }
    let touched = search.touched;
    run.snapshots = snapshots;
    Ok(touched)
}

struct Search<'s, 'r> {
    run: &'s mut Run<'r>,
    reader: Reader<'r>,
    /// What it has met are nodes below which everything can be read: they are not walked again for the next snapshot.
    present: Present,
    touched: BTreeMap<Place, Touched>,
}

impl Search<'_, '_> {
    fn can_read(&self, id: &ChunkId) -> Result<bool> {
        self.present.contains(self.run, &self.run.damage, id)
    }

    fn touch(&mut self, id: &ChunkId, snapshot: SnapshotId, path: &str) -> Result<()> {
        let copies = self.run.copies(id)?;
        let is_lost = |pack: &PackId| self.run.damage.is_lost(pack, id);
        let mut places: Vec<_> = copies.iter().map(|copy| copy.pack).filter(is_lost).map(Place::Pack).collect();
        if places.is_empty() && self.present.is_lost(id) {
            places.push(Place::Record(*id));
        }
        if places.is_empty() {
            places.push(if copies.is_empty() { Place::Nowhere } else { Place::LostSegment });
        }
        for place in places {
            let touched = self.touched.entry(place).or_default();
            touched.snapshots.insert(snapshot);
            if touched.paths.len() < PATHS_KEPT_MAX {
                touched.paths.insert(path.to_owned());
            }
            if !matches!(place, Place::Pack(_)) {
                touched.records.insert(*id);
            }
        }
        Ok(())
    }

    /// A record that turns out to be unreadable, though nothing was said of it.
    fn lose(&mut self, id: &ChunkId, error: RepoError) -> Result<()> {
        let (_, problem) = nothing_below(error)?;
        self.present.lose(*id);
        if self.run.copies(id)?.iter().all(|copy| !self.run.damage.is_lost(&copy.pack, id)) {
            self.run.damage.add(format!("record {id}"), problem);
        }
        Ok(())
    }

    /// Whether everything below the node can be read.
    fn node(&mut self, snapshot: SnapshotId, id: &ChunkId, level: u8, first_path: &str) -> Result<bool> {
        if self.present.is_met(id) {
            return Ok(true);
        }
        let mut node = None;
        if self.can_read(id)? {
            match read_node(&mut self.reader, id, level) {
                Ok(read) => node = Some(read),
                Err(error) => self.lose(id, error)?,
            }
        }
        let mut is_clean = true;
        match node {
            None => {
                self.touch(id, snapshot, &format!("{first_path}…"))?;
                return Ok(false);
            }
            Some(Node::Inner(children)) => {
                for child in children {
                    let first_path = format!("/{}", display_key(&child.first_key));
                    is_clean &= self.node(snapshot, &child.id, level - 1, &first_path)?;
                }
            }
            Some(Node::Leaf(items)) => {
                for item in items {
                    if let ItemKind::File { content, .. } = &item.kind {
                        let path = format!("/{}", display_key(&item.key));
                        is_clean &= match content {
                            Content::Extents(extents) => self.extents(snapshot, extents, &path)?,
                            Content::Node { root, level } => self.content_node(snapshot, root, *level, &path)?,
                        };
                    }
                }
            }
        }
        if is_clean {
            self.present.meet(id);
        }
        Ok(is_clean)
    }

    fn extents(&mut self, snapshot: SnapshotId, extents: &[Extent], path: &str) -> Result<bool> {
        let mut is_clean = true;
        for id in extents.iter().filter_map(Extent::chunk) {
            if !self.can_read(&id)? {
                self.touch(&id, snapshot, path)?;
                is_clean = false;
            }
        }
        Ok(is_clean)
    }

    fn content_node(&mut self, snapshot: SnapshotId, node: &ContentRef, level: u8, path: &str) -> Result<bool> {
        if self.present.is_met(&node.id) {
            return Ok(true);
        }
        let mut read = None;
        if self.can_read(&node.id)? {
            let plain = self.reader.read(&node.id);
            let decode = |plain: &[u8]| {
                ContentNode::decode(plain, level).map_err(RepoError::damaged(format!("content node {}", node.id)))
            };
            match plain.and_then(decode) {
                Ok(decoded) => read = Some(decoded),
                Err(error) => self.lose(&node.id, error)?,
            }
        }
        let is_clean = match read {
            None => {
                self.touch(&node.id, snapshot, path)?;
                false
            }
            Some(ContentNode::Extents(extents)) => self.extents(snapshot, &extents, path)?,
            Some(ContentNode::Children(children)) => {
                let mut is_clean = true;
                for child in &children {
                    is_clean &= self.content_node(snapshot, child, level - 1, path)?;
                }
                is_clean
            }
        };
        if is_clean {
            self.present.meet(&node.id);
        }
        Ok(is_clean)
    }
}

impl Touched {
    fn add(&mut self, other: Self) {
        self.snapshots.extend(other.snapshots);
        self.paths.extend(other.paths);
        self.records.extend(other.records);
    }
}
