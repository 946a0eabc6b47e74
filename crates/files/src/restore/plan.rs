//! The walk through the snapshot that decides what happens to each item, in order.
//!
//! Directories are made here, on the way; everything else goes to the workers in windows: a bounded run of items whose chunks
//! are then read with few requests. Neighbours in the tree are neighbours in packs, so windows need not be large.
//! Hard links wait until the files they name are there.

mod decide;
mod frames;
mod links;
mod window;

use backstay_format::log::TreeRef;
use backstay_format::tree::{Item, ItemKind, key_parent};
use backstay_repo::tree::TreeCursor;
use backstay_repo::{Progress, Reader};

use self::frames::{Frames, Parent};
use self::links::Links;
use self::window::Windows;
use super::Restore;
use super::apply::{Queue, with_workers};
use super::content::{Entry, Way};
use super::report::{Action, Failure, is_damage, shown, with_causes};
use super::selection::{Protected, Selection};
use super::target::{Held, is_plain_name};
use crate::error::FilesError;

pub(super) fn run(restore: &Restore<'_>) -> Result<(), FilesError> {
    let mut reader = restore.repository.reader()?;
    let part = SnapshotPart::find(restore, &mut reader)?;
    let protected = if restore.options.delete { Some(Protected::of(restore)?) } else { None };
    let selection = part.selection(restore)?;
    let mut items = part.items();
    let mut next = items.next(&mut reader)?;
    // The first item may be the directory that the target stands for.
    let root_item = match &next {
        Next::Item(_, item) if item.is_directory() && item.key == part.root_key => {
            let Next::Item(_, item) = std::mem::replace(&mut next, items.next(&mut reader)?) else { return Ok(()) };
            Some(item).filter(|_| part.subtree.is_some())
        }
        _ => None,
    };
    with_workers(restore, |queue| {
        let mut contents = restore.repository.reader()?;
        let mut planner = Planner {
            restore,
            queue,
            part: &part,
            frames: Frames::new(restore, selection, protected.as_ref(), &part.root_key, root_item),
            windows: Windows::new(restore, queue),
            links: Links::default(),
            last_key: None,
            last_leaf_key: Vec::new(),
        };
        loop {
            if restore.is_stopped() {
                return Ok(());
            }
            match next {
                Next::Item(number, item) => planner.visit(number, item, &mut contents)?,
                Next::Lost(failure) => planner.lose_items(failure),
                Next::End => break,
            }
            next = items.next(&mut reader)?;
        }
        planner.make_links(&mut contents)?;
        planner.windows.flush()?;
        planner.frames.finish();
        Ok(())
    })
}

struct Planner<'q, 's> {
    restore: &'s Restore<'s>,
    queue: &'q Queue<'q, 's>,
    part: &'q SnapshotPart,
    frames: Frames<'s>,
    windows: Windows<'q, 's>,
    links: Links<'s>,
    last_key: Option<Vec<u8>>,
    /// The last item that was no directory.
    last_leaf_key: Vec<u8>,
}

impl<'s> Planner<'_, 's> {
    fn visit(&mut self, number: u64, item: Item, contents: &mut Reader<'_>) -> Result<(), FilesError> {
        if let Err(failure) = self.check_key(&item) {
            self.restore.report.set_absent(number);
            self.restore.settle_failure(&item.key, failure);
            return Ok(());
        }
        self.last_key = Some(item.key.clone());
        let is_chosen = self.frames.go_to(&item.key, item.is_directory());
        if item.is_directory() {
            Progress::add(&self.restore.progress.items_done, 1);
            self.frames.go_into(item);
            if is_chosen {
                // A failure is reported where it occurs.
                let _ = self.frames.directory();
            }
            return Ok(());
        }
        self.last_leaf_key.clone_from(&item.key);
        if !is_chosen {
            self.restore.report.set_absent(number);
            return Ok(());
        }
        match self.frames.directory() {
            Ok(Parent::Made(directory)) if matches!(item.kind, ItemKind::HardLink { .. }) => {
                self.add_link(number, item, directory, contents)
            }
            Ok(Parent::Made(directory)) => self.add_item(number, item, directory, contents),
            Ok(Parent::Left) => {
                self.restore.announce(Action::Leave, &item.key);
                self.restore.report.set_absent(number);
                self.restore.settle_key(&item.key, Action::Leave);
                Ok(())
            }
            Err(failure) => {
                self.restore.report.set_absent(number);
                self.restore.settle_failure(&item.key, failure);
                Ok(())
            }
        }
    }

    /// A part of the tree cannot be read: what was in it cannot be told from what the snapshot never had.
    fn lose_items(&mut self, failure: Failure) {
        self.restore.settle_failure(self.last_key.as_deref().unwrap_or(&self.part.root_key), failure);
        self.frames.delete_nothing_more();
    }

    /// Adds an item that is neither a directory nor a link to be made.
    fn add_item(
        &mut self,
        number: u64,
        item: Item,
        directory: Held<'s>,
        contents: &mut Reader<'_>,
    ) -> Result<(), FilesError> {
        let restore = self.restore;
        let mut entry = Entry { item, number, directory, way: Way::Create };
        let decision = match restore.decide(&entry.item, &entry.directory, entry.name()) {
            Ok(decision) => decision,
            Err(failure) => {
                restore.settle_entry_failure(&entry, failure);
                return Ok(());
            }
        };
        restore.announce(decision.action, &entry.item.key);
        let Some(way) = decision.way.filter(|_| !restore.options.dry_run) else {
            if decision.action == Action::Leave {
                restore.report.set_absent(number);
            }
            restore.settle(&entry, decision.action);
            return Ok(());
        };
        entry.way = way;
        let mut old = None;
        if let Way::InPlace { .. } = way {
            // One that cannot be opened for writing can still be replaced.
            (old, entry.way) = match entry.open_in_place() {
                Some((file, size_bytes)) => (Some(file), Way::InPlace { size_bytes }),
                None => (None, Way::Replace),
            };
        }
        let has_contents = entry.size_bytes() > 0 || old.is_some();
        if has_contents && entry.way != Way::Metadata {
            self.windows.add_file(entry, old, contents)
        } else {
            self.windows.add_plain(entry);
            Ok(())
        }
    }

    /// Refuses what no walk of a file system gives: it could lead out of the target, or mean two things.
    fn check_key(&self, item: &Item) -> Result<(), Failure> {
        let hostile = |detail: &str| Err(Failure::new("hostile-name", detail));
        let path = item.key.get(self.part.strip..).unwrap_or_default();
        if !path.split(|byte| *byte == 0).all(is_plain_name) {
            return hostile("a component of its path is empty, a dot, two dots, or has a slash in it");
        }
        if self.last_key.as_ref().is_some_and(|last| *last >= item.key) {
            return hostile("it is not in the order of keys");
        }
        if !self.last_leaf_key.is_empty() && is_at_or_below(&item.key, &self.last_leaf_key) {
            return hostile("it is inside something that is no directory");
        }
        Ok(())
    }

    /// Whether the item with this key is among those that are restored.
    fn is_restored(&mut self, key: &[u8]) -> bool {
        self.part.contains(key) && self.frames.selection.chooses(key)
    }
}

/// What is restored of the snapshot, before any glob.
pub(super) struct SnapshotPart {
    tree: TreeRef,
    /// Keys begin with it; nothing: all.
    subtree: Option<Vec<u8>>,
    /// The key of the directory that the target stands for.
    pub(super) root_key: Vec<u8>,
    /// Bytes of each key before the path below the target.
    pub(super) strip: usize,
}

impl SnapshotPart {
    pub(super) fn find(restore: &Restore<'_>, reader: &mut Reader<'_>) -> Result<Self, FilesError> {
        let tree = restore.snapshot.tree;
        let Some(key) = restore.options.subtree.clone() else {
            return Ok(Self { tree, subtree: None, root_key: Vec::new(), strip: 0 });
        };
        let mut cursor = TreeCursor::new(tree);
        let first = cursor.seek(reader, &key).and_then(|()| cursor.next(reader));
        let is_directory = match first {
            // A directory may be there without an item of its own.
            Ok(Some(item)) if is_at_or_below(&item.key, &key) => item.key != key || item.is_directory(),
            Ok(_) => return Err(FilesError::NotInSnapshot { path: shown(&key), snapshot: restore.snapshot.id }),
            // Whatever it was, what is left of it is in it.
            Err(error) if is_damage(&error) => true,
            Err(error) => return Err(error.into()),
        };
        let root_key = if is_directory { key.clone() } else { key_parent(&key).unwrap_or_default().to_vec() };
        let strip = if root_key.is_empty() { 0 } else { root_key.len() + 1 };
        Ok(Self { tree, subtree: Some(key), root_key, strip })
    }

    pub(super) fn selection(&self, restore: &Restore<'_>) -> Result<Selection, FilesError> {
        Ok(Selection::new(&restore.options.include, &restore.options.exclude, self.strip)?)
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.subtree.as_ref().is_none_or(|subtree| is_at_or_below(key, subtree))
    }

    pub(super) fn items(&self) -> Items<'_> {
        Items { part: self, cursor: TreeCursor::new(self.tree), started: false, number: 0 }
    }
}

/// The items of a part, numbered.
pub(super) struct Items<'p> {
    part: &'p SnapshotPart,
    cursor: TreeCursor,
    started: bool,
    number: u64,
}

pub(super) enum Next {
    Item(u64, Item),
    /// A run of items that cannot be read.
    Lost(Failure),
    End,
}

impl Items<'_> {
    /// A part of the tree that is damaged is passed over.
    pub(super) fn next(&mut self, reader: &mut Reader<'_>) -> Result<Next, FilesError> {
        let is_first = !std::mem::replace(&mut self.started, true);
        let sought = match &self.part.subtree {
            Some(subtree) if is_first => self.cursor.seek(reader, subtree),
            _ => Ok(()),
        };
        let item = match sought.and_then(|()| self.cursor.next(reader)) {
            Ok(Some(item)) if self.part.contains(&item.key) => item,
            Ok(_) => return Ok(Next::End),
            Err(error) if is_damage(&error) => {
                let detail = format!("what comes behind it in the tree is lost: {}", with_causes(&error));
                return Ok(Next::Lost(Failure::Damaged { detail }));
            }
            Err(error) => return Err(error.into()),
        };
        self.number += 1;
        Ok(Next::Item(self.number - 1, item))
    }
}

pub(super) fn is_at_or_below(key: &[u8], directory: &[u8]) -> bool {
    directory.is_empty() || (key.starts_with(directory) && matches!(key.get(directory.len()), None | Some(0)))
}
