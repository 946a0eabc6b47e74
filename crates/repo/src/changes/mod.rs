//! What changed from snapshot to snapshot: a local table with one row per change, so that the history of an item is found
//! without reading every snapshot.
//!
//! Invariants:
//! - It is a cache, as the local index is, and in the same folder, but in a file of its own: it holds keys of items, which are
//!   names of what was backed up, and keyed hashes; never contents.
//! - A row lasts from the first snapshot in which an item has some contents to the last one: snapshots without changes cost one
//!   short row each, whatever they hold.
//! - It is brought up to date by comparing neighbours, so it costs what changed. Forgotten snapshots stay in it, and are passed
//!   over where it is read; where the newest known ones are gone, what came behind the last listed one is read anew.
//!
//! `file` is the database.

mod file;

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use backstay_format::ids::SnapshotId;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Content, Extent, Item, ItemKind};

use crate::error::{RepoError, Result};
use crate::index::IndexResult;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::tree::{Difference, TreeCursor, diff_trees};
use file::{Append, ChangesFile};

/// Snapshots that are added in one transaction: what an interrupted run loses.
const SNAPSHOTS_PER_TRANSACTION: usize = 64;

/// The changes of one source's items over its snapshots.
pub struct Changes<'r> {
    repository: &'r Repository,
    source: String,
    file: ChangesFile,
    progress: &'r Progress,
    /// Listed ones, in their order, and their numbers in the file.
    snapshots: Vec<SnapshotRecord>,
    numbers: Vec<i64>,
}

/// Snapshots in a row, by their places in [`Changes::snapshots`], in which an item has the same contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: usize,
    /// The last one that has it.
    pub last: usize,
    pub hash: [u8; 16],
}

impl<'r> Changes<'r> {
    /// Reads what is not known yet. Other processes that ask the same wait meanwhile.
    ///
    /// The first time this reads a tree and the differences of all snapshots, which takes a while: `progress` counts snapshots,
    /// and may stop it between two. What was read until then stays, by the sixty-four.
    ///
    /// # Errors
    /// `Interrupted`, and whatever reading the repository or the cache folder may give.
    pub fn open(repository: &'r Repository, source: &str, progress: &'r Progress) -> Result<Self> {
        let fingerprint = repository.keys().content_hash(b"changes");
        let file = ChangesFile::open(&repository.options().cache, repository.config().repository, fingerprint)?;
        // Objects have names that outlive every snapshot; files of a source may be other files each time.
        let is_wanted = |it: &SnapshotRecord| it.kind == SnapshotKind::Cluster && it.source == source && !it.incomplete;
        let snapshots = repository.snapshots().into_iter().filter(is_wanted).collect();
        let mut changes =
            Self { repository, source: source.to_owned(), file, progress, snapshots, numbers: Vec::new() };
        match changes.catch_up() {
            Err(RepoError::Index(error)) if error.is_damage() => {
                tracing::info!(%error, "the table of changes is of no use and is built anew");
                changes.rebuild()?;
            }
            done => done?,
        }
        Ok(changes)
    }

    /// The listed snapshots of the source, oldest first.
    pub fn snapshots(&self) -> &[SnapshotRecord] {
        &self.snapshots
    }

    /// When an item had which contents, oldest first; where spans do not touch it was not there.
    pub fn spans(&mut self, key: &[u8]) -> Result<Vec<Span>> {
        match self.read_spans(key) {
            Err(error) if error.is_damage() => {
                tracing::info!(%error, "the table of changes cannot be read and is built anew");
                self.rebuild()?;
                Ok(self.read_spans(key)?)
            }
            spans => Ok(spans?),
        }
    }

    /// Throws everything away and reads it again: for an answer that turned out to be wrong.
    pub fn rebuild(&mut self) -> Result<()> {
        self.file.replace()?;
        self.catch_up()
    }

    /// Rows of the table: one per change, of all sources.
    pub fn rows(&self) -> Result<u64> {
        Ok(self.file.count()?)
    }

    fn read_spans(&self, key: &[u8]) -> IndexResult<Vec<Span>> {
        let source = self.file.source(&self.source)?;
        let mut spans: Vec<Span> = Vec::new();
        for row in self.file.changes(source, key)? {
            let first = self.numbers.partition_point(|number| *number < row.first);
            let end = match row.last {
                Some(last) => self.numbers.partition_point(|number| *number <= last),
                None => self.numbers.len(),
            };
            if first >= end {
                // All snapshots that had it are forgotten.
                continue;
            }
            match spans.last_mut() {
                Some(before) if before.hash == row.hash && before.last + 1 == first => before.last = end - 1,
                _ => spans.push(Span { first, last: end - 1, hash: row.hash }),
            }
        }
        Ok(spans)
    }

    fn catch_up(&mut self) -> Result<()> {
        let source = self.file.source(&self.source)?;
        let known = self.file.snapshots(source)?;
        let number_of: HashMap<SnapshotId, i64> = known.iter().map(|(number, id)| (*id, *number)).collect();
        self.numbers = self.snapshots.iter().map_while(|snapshot| number_of.get(&snapshot.id).copied()).collect();
        if !self.numbers.is_sorted() {
            self.numbers.clear();
        }
        let mut newest = self.numbers.last().copied().unwrap_or(0);
        let is_behind = self.numbers.len() < self.snapshots.len();
        if is_behind && known.last().is_some_and(|(number, _)| *number != newest) {
            // The newest known snapshots are forgotten, or one came in between.
            self.file.rewind(source, newest)?;
        }
        Progress::add(&self.progress.items_total, (self.snapshots.len() - self.numbers.len()) as u64);
        self.progress.totals_known.store(true, Ordering::Relaxed);
        let mut reader = self.repository.reader()?;
        while self.numbers.len() < self.snapshots.len() {
            let append = self.file.begin()?;
            let end = self.snapshots.len().min(self.numbers.len() + SNAPSHOTS_PER_TRANSACTION);
            for index in self.numbers.len()..end {
                if self.progress.is_cancelled() {
                    return Err(RepoError::Interrupted);
                }
                let snapshot = &self.snapshots[index];
                newest += 1;
                let next = Next { append: &append, source, number: newest, repository: self.repository };
                if let Some(before) = index.checked_sub(1).map(|before| &self.snapshots[before]) {
                    diff_trees(&mut reader, before.tree, snapshot.tree, &mut |difference| next.add(&difference))?;
                } else {
                    let mut cursor = TreeCursor::new(snapshot.tree);
                    while let Some(item) = cursor.next(&mut reader)? {
                        next.add(&Difference::Added(item))?;
                    }
                }
                append.snapshot(source, newest, &snapshot.id)?;
                self.numbers.push(newest);
                Progress::add(&self.progress.items_done, 1);
            }
            append.commit()?;
        }
        Ok(())
    }
}

/// A snapshot whose changes are being added.
struct Next<'a> {
    append: &'a Append<'a>,
    source: i64,
    number: i64,
    repository: &'a Repository,
}

impl Next<'_> {
    fn add(&self, difference: &Difference) -> Result<()> {
        // What lies at the top describes the snapshot, and differs in each.
        if !difference.key().contains(&0) {
            return Ok(());
        }
        let (before, after) = match difference {
            Difference::Added(item) => (None, self.hash(item)),
            Difference::Removed(item) => (self.hash(item), None),
            Difference::Changed { before, after } => (self.hash(before), self.hash(after)),
        };
        if before == after {
            return Ok(());
        }
        if before.is_some() {
            self.append.ends(self.source, self.number, difference.key())?;
        }
        if let Some(hash) = after {
            self.append.begins(self.source, self.number, difference.key(), hash)?;
        }
        Ok(())
    }

    /// Nothing for what has no contents.
    fn hash(&self, item: &Item) -> Option<[u8; 16]> {
        let ItemKind::File { content, hash, .. } = &item.kind else { return None };
        Some(hash.unwrap_or_else(|| {
            let mut text = Vec::new();
            match content {
                Content::Node { root, .. } => text.extend_from_slice(root.id.as_bytes()),
                Content::Extents(extents) => {
                    for extent in extents {
                        text.extend_from_slice(extent.chunk().as_ref().map_or(&[][..], |id| id.as_bytes()));
                        if let Extent::Part { offset, .. } = extent {
                            text.extend_from_slice(&offset.to_le_bytes());
                        }
                        text.extend_from_slice(&extent.len().to_le_bytes());
                    }
                }
            }
            self.repository.keys().content_hash(&text)
        }))
    }
}
