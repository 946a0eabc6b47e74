//! Whom damage touches: from unreadable records to snapshots and paths.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use backstay_format::ids::{ChunkId, SnapshotId};
use backstay_format::tree::{Content, ContentNode, ContentRef, Extent, Node, display_key};

use super::{Damage, Finding, Inventory, PATHS_MAX};
use crate::error::Result;
use crate::names;
use crate::reader::Reader;
use crate::repository::Repository;

/// Records of which no copy outside damaged places is left.
pub(super) fn unreadable_records(inventory: &Inventory, damage: &Damage) -> HashSet<ChunkId> {
    let mut unreadable: HashSet<ChunkId> = damage.objects.values().flat_map(|(_, records)| records).copied().collect();
    if unreadable.is_empty() {
        return unreadable;
    }
    for (id, pack) in &inventory.packs {
        let damaged = damage.objects.get(&names::pack(id));
        for entry in &pack.entries {
            let is_intact = damaged.is_none_or(|(_, records)| !records.contains(&entry.id));
            if is_intact {
                unreadable.remove(&entry.id);
            }
        }
    }
    unreadable
}

#[derive(Default)]
struct Touched {
    snapshots: BTreeSet<SnapshotId>,
    paths: BTreeSet<String>,
}

/// Turns damage into findings with the snapshots and paths that each touches.
pub(super) fn findings(repository: &Repository, damage: Damage, unreadable: &HashSet<ChunkId>) -> Result<Vec<Finding>> {
    if damage.objects.is_empty() {
        return Ok(Vec::new());
    }
    let mut lost: HashSet<ChunkId> = unreadable.clone();
    lost.extend(
        damage.objects.iter().filter(|(object, _)| object.starts_with("record ")).flat_map(|(_, (_, ids))| ids),
    );
    let mut search =
        Search { reader: repository.reader()?, lost: &lost, clean: HashMap::new(), touched: BTreeMap::new() };
    for snapshot in repository.snapshots() {
        for chunk in snapshot.ledger.chunks.iter().filter(|chunk| lost.contains(chunk)) {
            search.touch(*chunk, snapshot.id, "(ledger)".to_owned());
        }
        search.node(snapshot.id, &snapshot.tree.root, snapshot.tree.level, "");
    }
    let touched = search.touched;
    let mut in_objects: HashSet<ChunkId> = HashSet::new();
    for (object, (_, records)) in &damage.objects {
        if !object.starts_with("record ") {
            in_objects.extend(records);
        }
    }
    let mut findings = Vec::new();
    for (object, (problem, records)) in damage.objects {
        // A record that lies in a damaged pack is told once, with the pack.
        if object.starts_with("record ") && records.iter().all(|record| in_objects.contains(record)) {
            continue;
        }
        let records: BTreeSet<ChunkId> = records.into_iter().filter(|id| lost.contains(id)).collect();
        let mut all = Touched::default();
        for touched in records.iter().filter_map(|id| touched.get(id)) {
            all.snapshots.extend(&touched.snapshots);
            all.paths.extend(touched.paths.iter().cloned());
        }
        findings.push(Finding {
            object,
            problem,
            records: records.len() as u64,
            snapshots: all.snapshots.into_iter().collect(),
            paths_more: all.paths.len().saturating_sub(PATHS_MAX) as u64,
            paths: all.paths.into_iter().take(PATHS_MAX).collect(),
        });
    }
    Ok(findings)
}

struct Search<'r> {
    reader: Reader<'r>,
    lost: &'r HashSet<ChunkId>,
    /// Nodes below which nothing is lost are not walked again for the next snapshot.
    clean: HashMap<ChunkId, bool>,
    touched: BTreeMap<ChunkId, Touched>,
}

impl Search<'_> {
    fn touch(&mut self, id: ChunkId, snapshot: SnapshotId, path: String) {
        let touched = self.touched.entry(id).or_default();
        touched.snapshots.insert(snapshot);
        touched.paths.insert(path);
    }

    /// Whether everything below the node is readable.
    fn node(&mut self, snapshot: SnapshotId, id: &ChunkId, level: u8, first_path: &str) -> bool {
        if self.clean.get(id) == Some(&true) {
            return true;
        }
        if self.lost.contains(id) {
            self.touch(*id, snapshot, format!("{first_path}…"));
            return false;
        }
        let node = self.reader.read(id).ok().and_then(|plain| Node::decode(plain, level).ok());
        let mut is_clean = true;
        match node {
            None => is_clean = false,
            Some(Node::Inner(children)) => {
                for child in children {
                    is_clean &=
                        self.node(snapshot, &child.id, level - 1, &format!("/{}", display_key(&child.first_key)));
                }
            }
            Some(Node::Leaf(items)) => {
                for item in items {
                    if let backstay_format::tree::ItemKind::File { content, .. } = &item.kind {
                        let path = format!("/{}", display_key(&item.key));
                        is_clean &= self.content(snapshot, content, &path);
                    }
                }
            }
        }
        self.clean.insert(*id, is_clean);
        is_clean
    }

    fn content(&mut self, snapshot: SnapshotId, content: &Content, path: &str) -> bool {
        match content {
            Content::Extents(extents) => self.extents(snapshot, extents, path),
            Content::Node { root, level } => self.content_node(snapshot, root, *level, path),
        }
    }

    fn extents(&mut self, snapshot: SnapshotId, extents: &[Extent], path: &str) -> bool {
        let lost: Vec<ChunkId> = extents.iter().filter_map(Extent::chunk).filter(|id| self.lost.contains(id)).collect();
        for id in &lost {
            self.touch(*id, snapshot, path.to_owned());
        }
        lost.is_empty()
    }

    fn content_node(&mut self, snapshot: SnapshotId, node: &ContentRef, level: u8, path: &str) -> bool {
        if self.lost.contains(&node.id) {
            self.touch(node.id, snapshot, path.to_owned());
            return false;
        }
        let decoded = self.reader.read(&node.id).ok().and_then(|plain| ContentNode::decode(plain, level).ok());
        match decoded {
            None => false,
            Some(ContentNode::Extents(extents)) => self.extents(snapshot, &extents, path),
            Some(ContentNode::Children(children)) => {
                let mut is_clean = true;
                for child in &children {
                    is_clean &= self.content_node(snapshot, child, level - 1, path);
                }
                is_clean
            }
        }
    }
}
