//! Which snapshots have lost something, and what: a walk that goes on past what cannot be read.

use std::collections::{HashMap, HashSet};

use backstay_format::ids::{ChunkId, SnapshotId};
use backstay_format::log::{LedgerEntry, LedgerRef, SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Child, Content, Extent, Item, ItemKind, Node, display_key};

use crate::closure;
use crate::error::{ErrorKind, RepoError, Result};
use crate::progress::Progress;
use crate::reader::Reader;
use crate::repository::Repository;
use crate::tree::{Leaf, read_node};
use crate::writer::read_ledger;

/// Paths named per snapshot; the others are counted.
const PATHS_MAX: usize = 20;

/// A listed snapshot of which something is lost.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BrokenSnapshot {
    pub id: SnapshotId,
    pub source: String,
    pub started: String,
    /// It stays listed, whatever is lost.
    pub holds: Vec<String>,
    /// Items that are lost, those below a lost tree node counted as the tree counts them.
    pub items_lost: u64,
    /// The first of what is lost; a path that ends with `…` stands for the items from there on that a lost tree node held.
    pub paths: Vec<String>,
    pub paths_more: u64,
}

impl BrokenSnapshot {
    fn note(&mut self, path: String, items: u64) {
        self.items_lost += items;
        if self.paths.len() < PATHS_MAX {
            self.paths.push(path);
        } else {
            self.paths_more += 1;
        }
    }
}

/// A piece of a tree, in order of keys.
pub(super) enum Part {
    Leaf {
        leaf: Leaf,
        /// All contents of its items can be read.
        is_whole: bool,
    },
    /// A node that cannot be read, with everything below it.
    Lost(Child),
}

/// Knows of each node whether everything below it can be read: what snapshots share is looked at once.
pub(super) struct Survey<'r> {
    repository: &'r Repository,
    reader: Reader<'r>,
    /// Beside what the index does not know.
    lost: HashSet<ChunkId>,
    /// Records that snapshots need and that were looked for in vain.
    missing: HashSet<ChunkId>,
    whole: HashMap<ChunkId, bool>,
}

impl<'r> Survey<'r> {
    /// `lost` are records that the index names and that cannot be read.
    pub(super) fn new(repository: &'r Repository, lost: HashSet<ChunkId>) -> Result<Self> {
        Ok(Self { repository, reader: repository.reader()?, lost, missing: HashSet::new(), whole: HashMap::new() })
    }

    /// The listed snapshots that have lost something, oldest first.
    pub(super) fn broken(&mut self, progress: &Progress) -> Result<Vec<BrokenSnapshot>> {
        let mut broken = Vec::new();
        let snapshots = self.repository.snapshots();
        Progress::add(&progress.items_total, snapshots.len() as u64);
        progress.totals_known.store(true, std::sync::atomic::Ordering::Relaxed);
        for snapshot in snapshots {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let mut is_whole = self.is_node_whole(&snapshot.tree.root)?;
            for chunk in &snapshot.ledger.chunks {
                is_whole &= self.is_readable(chunk)?;
            }
            if !is_whole {
                broken.push(self.look_into(&snapshot)?);
            }
            Progress::add(&progress.items_done, 1);
        }
        Ok(broken)
    }

    fn look_into(&mut self, snapshot: &SnapshotRecord) -> Result<BrokenSnapshot> {
        let mut found = BrokenSnapshot {
            id: snapshot.id,
            source: snapshot.source.clone(),
            started: snapshot.started.clone(),
            holds: snapshot.holds.clone(),
            items_lost: 0,
            paths: Vec::new(),
            paths_more: 0,
        };
        for chunk in &snapshot.ledger.chunks {
            if !self.is_readable(chunk)? {
                found.note("(ledger)".to_owned(), 0);
            }
        }
        let kind = snapshot.kind;
        let mut parts = Parts::new(snapshot);
        while let Some(part) = self.next_part(&mut parts, Pass::Whole)? {
            match part {
                Part::Lost(child) => found.note(format!("{}…", path(kind, &child.first_key)), child.items),
                Part::Leaf { leaf, .. } => {
                    for item in &leaf.items {
                        if !self.has_contents(item)? {
                            found.note(path(kind, &item.key), 1);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether a record that names nothing is there.
    pub(super) fn is_readable(&mut self, id: &ChunkId) -> Result<bool> {
        let is_readable = !self.lost.contains(id) && self.repository.ask_index(|index| index.lookup(id))?.is_some();
        if !is_readable {
            self.missing.insert(*id);
        }
        Ok(is_readable)
    }

    pub(super) fn missing(&self) -> &HashSet<ChunkId> {
        &self.missing
    }

    /// The entries of a ledger chunk; nothing where it is lost.
    pub(super) fn ledger_chunk(&mut self, id: &ChunkId) -> Result<Option<Vec<LedgerEntry>>> {
        if !self.is_readable(id)? {
            return Ok(None);
        }
        let one = LedgerRef { chunks: vec![*id], ..LedgerRef::default() };
        match read_ledger(&mut self.reader, &one) {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if is_loss(error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn has_contents(&mut self, item: &Item) -> Result<bool> {
        let ItemKind::File { content, .. } = &item.kind else { return Ok(true) };
        match content {
            Content::Node { root, .. } => self.is_node_whole(&root.id),
            Content::Extents(extents) => {
                for id in extents.iter().filter_map(Extent::chunk) {
                    if !self.is_readable(&id)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Whether a node and everything below it can be read.
    fn is_node_whole(&mut self, id: &ChunkId) -> Result<bool> {
        if let Some(is_whole) = self.whole.get(id) {
            return Ok(*is_whole);
        }
        let mut is_whole = self.is_readable(id)?;
        if is_whole {
            match closure::references(&mut self.reader, id) {
                Ok(references) => {
                    for chunk in &references.chunks {
                        is_whole &=
                            if references.level > 0 { self.is_node_whole(chunk)? } else { self.is_readable(chunk)? };
                    }
                    for node in &references.content {
                        is_whole &= self.is_node_whole(node)?;
                    }
                }
                Err(error) if is_loss(error.kind()) => {
                    self.missing.insert(*id);
                    is_whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        self.whole.insert(*id, is_whole);
        Ok(is_whole)
    }

    /// The next piece of a tree.
    pub(super) fn next_part(&mut self, parts: &mut Parts, pass: Pass) -> Result<Option<Part>> {
        while let Some((level, child)) = parts.todo.pop() {
            let is_whole = self.is_node_whole(&child.id)?;
            if is_whole && pass == Pass::Whole {
                continue;
            }
            match self.node(&child, level)? {
                Some(Node::Inner(children)) => {
                    parts.todo.extend(children.into_iter().rev().map(|child| (level - 1, child)));
                }
                Some(Node::Leaf(items)) => {
                    let leaf = Leaf { id: child.id, items, is_last: parts.todo.is_empty() };
                    return Ok(Some(Part::Leaf { leaf, is_whole }));
                }
                None => return Ok(Some(Part::Lost(child))),
            }
        }
        Ok(None)
    }

    /// Nothing where it is lost.
    fn node(&mut self, child: &Child, level: u8) -> Result<Option<Node>> {
        if !self.is_readable(&child.id)? {
            return Ok(None);
        }
        match read_node(&mut self.reader, &child.id, level) {
            Ok(node) => Ok(Some(node)),
            Err(error) if is_loss(error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What to do with nodes below which nothing is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Passes over them.
    Whole,
    Nothing,
}

/// How far a walk over a tree has come.
pub(super) struct Parts {
    /// Nodes to come and their levels, the next one last.
    todo: Vec<(u8, Child)>,
}

impl Parts {
    pub(super) fn new(snapshot: &SnapshotRecord) -> Self {
        let tree = snapshot.tree;
        Self { todo: vec![(tree.level, Child { first_key: Vec::new(), id: tree.root, items: tree.items })] }
    }
}

pub(super) fn is_loss(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::NotFound)
}

/// A key as ledgers and findings write it.
pub(super) fn path(kind: SnapshotKind, key: &[u8]) -> String {
    match kind {
        SnapshotKind::Cluster => display_key(key),
        SnapshotKind::Files | SnapshotKind::Other => format!("/{}", display_key(key)),
    }
}
