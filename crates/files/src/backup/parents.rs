//! Merging what the walker finds with earlier snapshots of the same source: what is unchanged is taken over unread.
//!
//! Both sides come in the order of keys, so no map of all files is ever kept. A whole leaf of a parent's tree of which
//! every item is unchanged is taken over as a leaf, without encoding it again.

use std::cmp::Ordering;

use backstay_format::ids::SnapshotId;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Item, ItemKind};
use backstay_repo::tree::{Leaf, TreeCursor};
use backstay_repo::{ErrorKind, Reader, RepoError};

use crate::walk::{Kind, Stat};

/// What the parents know of an entry.
pub(super) enum Known {
    /// The item is taken over; it comes out of `take_run`.
    Unchanged,
    /// An earlier version, to compare contents with.
    Changed(Box<Item>),
    New,
}

/// A run of unchanged items that is complete: nothing can be added to it any more.
pub(super) enum Run {
    /// Every item of a leaf, in a leaf that is not its tree's last.
    Leaf(Leaf),
    Items(Vec<Item>),
}

impl Run {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.items.len(),
            Self::Items(items) => items.len(),
        }
    }
}

/// One or two earlier snapshots: what an unfinished run saved comes first.
pub(super) struct Parents<'r> {
    reader: Reader<'r>,
    cursors: Vec<ParentCursor>,
    /// The cursor that has an open run.
    running: Option<usize>,
}

struct ParentCursor {
    snapshot: SnapshotId,
    cursor: TreeCursor,
    leaf: Option<Leaf>,
    position: usize,
    /// Where the open run begins in the leaf.
    run_start: usize,
    /// All items before the position were taken over, in one run.
    is_intact: bool,
    at_end: bool,
}

impl<'r> Parents<'r> {
    pub(super) fn new(reader: Reader<'r>, snapshots: impl IntoIterator<Item = SnapshotRecord>) -> Self {
        let cursors = snapshots
            .into_iter()
            .map(|snapshot| ParentCursor {
                snapshot: snapshot.id,
                cursor: TreeCursor::new(snapshot.tree),
                leaf: None,
                position: 0,
                run_start: 0,
                is_intact: true,
                at_end: false,
            })
            .collect();
        Self { reader, cursors, running: None }
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = SnapshotId> + '_ {
        self.cursors.iter().map(|cursor| cursor.snapshot)
    }

    /// Looks an entry up. Entries are asked for in ascending order. A run that ends before this entry goes to `emit`.
    pub(super) fn look_up(
        &mut self,
        directory_key: &[u8],
        name: &[u8],
        stat: &Stat,
        reread: bool,
        emit: &mut dyn FnMut(Run),
    ) -> Result<Known, RepoError> {
        let mut known = Known::New;
        for index in 0..self.cursors.len() {
            if !self.cursors[index].advance(&mut self.reader, directory_key, name, emit)? {
                continue;
            }
            let cursor = &mut self.cursors[index];
            let item = cursor.current().expect("advance stopped at an item");
            if !reread && is_unchanged(item, stat) {
                if self.running.is_some_and(|running| running != index) {
                    self.end_run(emit);
                }
                let cursor = &mut self.cursors[index];
                cursor.position += 1;
                self.running = Some(index);
                if let Some(run) = cursor.complete_leaf() {
                    self.running = None;
                    emit(run);
                }
                return Ok(Known::Unchanged);
            }
            if matches!(known, Known::New) {
                known = Known::Changed(Box::new(item.clone()));
            }
        }
        self.end_run(emit);
        Ok(known)
    }

    /// Ends the open run: something that is not of it comes next.
    pub(super) fn end_run(&mut self, emit: &mut dyn FnMut(Run)) {
        if let Some(index) = self.running.take()
            && let Some(run) = self.cursors[index].break_leaf()
        {
            emit(run);
        }
    }
}

impl ParentCursor {
    fn current(&self) -> Option<&Item> {
        self.leaf.as_ref()?.items.get(self.position)
    }

    /// Goes to the first item that is not before this key; true where it has the key.
    fn advance(
        &mut self,
        reader: &mut Reader<'_>,
        directory_key: &[u8],
        name: &[u8],
        emit: &mut dyn FnMut(Run),
    ) -> Result<bool, RepoError> {
        loop {
            if let Some(item) = self.current() {
                match compare(&item.key, directory_key, name) {
                    // Gone from the source: what was taken over before it is a run of its own.
                    Ordering::Less => {
                        if let Some(run) = self.break_leaf() {
                            emit(run);
                        }
                        self.position += 1;
                        self.run_start = self.position;
                    }
                    Ordering::Equal => return Ok(true),
                    Ordering::Greater => return Ok(false),
                }
                continue;
            }
            if self.at_end {
                return Ok(false);
            }
            self.leaf = match self.cursor.next_leaf(reader) {
                // A damaged parent must not stand in the way of a new, whole snapshot: what is not known of it is read.
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                    tracing::warn!(%error, snapshot = %self.snapshot, "the rest of an earlier snapshot cannot be read");
                    None
                }
                read => read?,
            };
            self.position = 0;
            self.run_start = 0;
            self.is_intact = true;
            self.at_end = self.leaf.is_none();
        }
    }

    /// After an item was taken over: the run, where it was the leaf's last.
    fn complete_leaf(&mut self) -> Option<Run> {
        let leaf = self.leaf.as_ref()?;
        if self.position < leaf.items.len() {
            return None;
        }
        if self.is_intact && !leaf.is_last {
            return self.leaf.take().map(Run::Leaf);
        }
        self.break_leaf()
    }

    fn break_leaf(&mut self) -> Option<Run> {
        self.is_intact = false;
        let leaf = self.leaf.as_mut()?;
        let run: Vec<Item> = leaf.items[self.run_start..self.position]
            .iter_mut()
            .map(|item| std::mem::replace(item, Item::bare_directory(Vec::new())))
            .collect();
        self.run_start = self.position;
        (!run.is_empty()).then_some(Run::Items(run))
    }
}

/// Compares a key with that of `name` in a directory, without making it.
fn compare(key: &[u8], directory_key: &[u8], name: &[u8]) -> Ordering {
    let prefix = key.len().min(directory_key.len());
    match key[..prefix].cmp(&directory_key[..prefix]) {
        Ordering::Equal => {}
        other => return other,
    }
    let rest = &key[prefix..];
    if prefix < directory_key.len() {
        return Ordering::Less;
    }
    if directory_key.is_empty() {
        return rest.cmp(name);
    }
    if name.is_empty() {
        return if rest.is_empty() { Ordering::Equal } else { Ordering::Greater };
    }
    match rest.split_first() {
        None => Ordering::Less,
        Some((0, rest)) => rest.cmp(name),
        Some(_) => Ordering::Greater,
    }
}

/// Type, size, both times and the inode are equal: never the device number, which changes with every mount.
fn is_unchanged(item: &Item, stat: &Stat) -> bool {
    let same_kind = match (&item.kind, stat.kind) {
        (ItemKind::File { size_bytes, racy, .. }, Kind::File) => *size_bytes == stat.size_bytes && !racy,
        (ItemKind::Directory, Kind::Directory)
        | (ItemKind::Symlink { .. }, Kind::Symlink)
        | (ItemKind::Fifo, Kind::Fifo)
        | (ItemKind::CharDevice { .. }, Kind::CharDevice)
        | (ItemKind::BlockDevice { .. }, Kind::BlockDevice) => true,
        _ => false,
    };
    same_kind && item.modified == stat.modified && item.changed == stat.changed && item.inode == stat.inode
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstay_format::tree::key_of_path;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comparing_in_pieces_equals_comparing_keys(key in "[ab.]{0,3}(/[ab.]{1,3}){0,3}", directory in "[ab.]{0,3}(/[ab.]{1,3}){0,2}", name in "[ab.]{1,3}") {
            let key = key_of_path(key.as_bytes());
            let directory_key = key_of_path(directory.as_bytes());
            let whole = key_of_path(format!("{directory}/{name}").as_bytes());
            prop_assert_eq!(compare(&key, &directory_key, name.as_bytes()), key.cmp(&whole));
        }
    }
}
