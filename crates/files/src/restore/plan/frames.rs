//! The directories from the target down to where the walk is.
//!
//! A directory is made when the first chosen item comes that is it or is in it. What the snapshot does not have is removed when the
//! walk leaves a directory.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;

use backstay_format::tree::Item;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::super::metadata::{Before, first_mode};
use super::super::report::{Action, Failure};
use super::super::selection::{Protected, Selection, Verdict};
use super::super::target::{
    Held, NewDirectory, has_default_acl, name_of, names_in, open_beneath, open_directory, proc_path, stat_in,
};
use super::super::{Overwrite, Restore};
use super::decide::find;
use super::is_at_or_below;
use crate::walk::Stat;

pub(super) struct Frames<'s> {
    restore: &'s Restore<'s>,
    pub(super) selection: Selection,
    /// Where something may be deleted.
    protected: Option<&'s Protected>,
    stack: Vec<Frame<'s>>,
}

struct Frame<'s> {
    key: Vec<u8>,
    item: Option<Item>,
    choice: Choice,
    state: State<'s>,
    /// Names that were there and have not come in the snapshot.
    extra: Option<BTreeSet<Vec<u8>>>,
}

/// What the globs say about a directory, and about what is in it as long as nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Chosen,
    /// Something in it may be.
    NotChosen,
    /// Nothing in it is.
    Excluded,
}

enum State<'s> {
    Waiting,
    Made(Held<'s>),
    /// Something is there that must stay.
    Left,
    Failed,
}

/// Where an item goes.
pub(super) enum Parent<'s> {
    Made(Held<'s>),
    Left,
}

impl<'s> Frames<'s> {
    /// The root is the target, which stands for the directory with this key.
    pub(super) fn new(
        restore: &'s Restore<'s>,
        mut selection: Selection,
        protected: Option<&'s Protected>,
        root_key: &[u8],
        root_item: Option<Item>,
    ) -> Self {
        let choice = match selection.verdict(root_key, true) {
            Verdict::Included => Choice::Chosen,
            _ if selection.is_included_by_default() => Choice::Chosen,
            _ => Choice::NotChosen,
        };
        let is_fresh = restore.directories.root_is_fresh;
        let takes_metadata = is_fresh || (choice == Choice::Chosen && restore.options.overwrite != Overwrite::Never);
        let metadata = root_item.filter(|_| takes_metadata && !restore.options.dry_run);
        let held = Held::root(restore, root_key.to_vec(), metadata);
        let mut frames = Self { restore, selection, protected, stack: Vec::new() };
        let extra = frames.names_to_clean(&held, choice);
        frames.stack.push(Frame { key: root_key.to_vec(), item: None, choice, state: State::Made(held), extra });
        frames
    }

    /// Goes to the directory of an item; returns whether the item is chosen.
    pub(super) fn go_to(&mut self, key: &[u8], is_directory: bool) -> bool {
        let parent = backstay_format::tree::key_parent(key).unwrap_or_default();
        while self.stack.len() > 1 && !is_at_or_below(parent, &self.top().key) {
            self.leave();
        }
        // Directories that have no items of their own: only their names are known.
        while self.top().key.len() < parent.len() {
            let start = self.top().key.len() + usize::from(!self.top().key.is_empty());
            let end = parent[start..].iter().position(|byte| *byte == 0).map_or(parent.len(), |at| start + at);
            let bare = Item::bare_directory(parent[..end].to_vec());
            let choice = self.choice(&bare.key, true);
            self.enter(bare, choice);
        }
        let name_at = parent.len() + usize::from(!parent.is_empty());
        if let Some(extra) = &mut self.top_mut().extra {
            extra.remove(&key[name_at..]);
        }
        self.choice(key, is_directory) == Choice::Chosen
    }

    /// Goes into a directory after `go_to`. It is made when it is needed.
    pub(super) fn go_into(&mut self, item: Item) {
        let choice = self.choice(&item.key, true);
        self.enter(item, choice);
    }

    fn enter(&mut self, item: Item, choice: Choice) {
        let key = item.key.clone();
        self.stack.push(Frame { key, item: Some(item), choice, state: State::Waiting, extra: None });
    }

    fn choice(&mut self, key: &[u8], is_directory: bool) -> Choice {
        let above = self.top().choice;
        match self.selection.verdict(key, is_directory) {
            _ if above == Choice::Excluded => Choice::Excluded,
            Verdict::Excluded => Choice::Excluded,
            Verdict::Included => Choice::Chosen,
            Verdict::Inherited => above,
        }
    }

    /// The directory where the walk is, made now if it was not yet, with all above it.
    pub(super) fn directory(&mut self) -> Result<Parent<'s>, Failure> {
        let first = self.stack.iter().rposition(|frame| !matches!(frame.state, State::Waiting)).unwrap_or(0);
        for index in first + 1..self.stack.len() {
            let parent = match &self.stack[index - 1].state {
                State::Made(held) => held.clone(),
                _ => break,
            };
            self.stack[index].state = match self.make(index, &parent) {
                Ok(Some(held)) => State::Made(held),
                Ok(None) => State::Left,
                Err(failure) => {
                    self.restore.settle_failure(&self.stack[index].key, failure);
                    State::Failed
                }
            };
        }
        let made = self.stack.iter().rev().find(|frame| !matches!(frame.state, State::Waiting));
        match made.map(|frame| &frame.state) {
            Some(State::Made(held)) => Ok(Parent::Made(held.clone())),
            Some(State::Left) => Ok(Parent::Left),
            _ => Err(Failure::new("no-directory", "its directory was not restored")),
        }
    }

    fn make(&mut self, index: usize, parent: &Held<'s>) -> Result<Option<Held<'s>>, Failure> {
        let restore = self.restore;
        let frame = &mut self.stack[index];
        let choice = frame.choice;
        let Some(item) = frame.item.take() else { return Ok(None) };
        let key = frame.key.clone();
        let name = name_of(&key).to_vec();
        let found = if parent.is_fresh { None } else { find(parent, &name)? };
        let report = |action| {
            if choice == Choice::Chosen {
                restore.announce(action, &key);
                restore.report.count(action, 1);
            }
        };
        let never = restore.options.overwrite == Overwrite::Never;
        match found {
            Some(stat) if stat.is_directory() => {
                let takes_metadata = choice == Choice::Chosen && !never;
                report(if !takes_metadata || restore.has_metadata(&item, &stat) {
                    Action::Keep
                } else {
                    Action::Update
                });
                let fd = parent.fd().map_err(Failure::system("open its directory"))?;
                if takes_metadata && !restore.options.dry_run {
                    unlock(&fd, &name, &stat).map_err(Failure::system("get access to it"))?;
                }
                let fd = Arc::new(open_directory(&fd, &name).map_err(Failure::system("open it"))?);
                let metadata = Some(item).filter(|_| takes_metadata && !restore.options.dry_run);
                let has_default_acl = has_default_acl(&fd);
                let held = parent.child(NewDirectory { name, key, is_fresh: false, has_default_acl, metadata });
                restore.directories.keep(&held, fd);
                self.stack[index].extra = self.names_to_clean(&held, choice);
                Ok(Some(held))
            }
            Some(_) if never => {
                report(Action::Leave);
                Ok(None)
            }
            found => {
                report(if found.is_some() { Action::Update } else { Action::Create });
                let has_default_acl = parent.has_default_acl;
                let mut new = NewDirectory { name, key, is_fresh: true, has_default_acl, metadata: None };
                if restore.options.dry_run {
                    return Ok(Some(parent.child(new)));
                }
                let fd = parent.fd().map_err(Failure::system("open its directory"))?;
                if found.is_some() {
                    rustix::fs::unlinkat(&fd, &new.name, AtFlags::empty())
                        .map_err(Failure::system("remove what is in its place"))?;
                }
                let before = if has_default_acl { Before::Unknown } else { Before::Empty };
                let mode = Mode::from_raw_mode(first_mode(&item, before)) | Mode::RWXU;
                rustix::fs::mkdirat(&fd, &new.name, mode).map_err(Failure::system("make it"))?;
                let fd = Arc::new(open_directory(&fd, &new.name).map_err(Failure::system("open it"))?);
                new.metadata = Some(item);
                let held = parent.child(new);
                restore.directories.keep(&held, fd);
                Ok(Some(held))
            }
        }
    }

    /// What is in a directory that was there, where what is not in the snapshot goes.
    fn names_to_clean(&self, directory: &Held<'_>, choice: Choice) -> Option<BTreeSet<Vec<u8>>> {
        let protected = self.protected?;
        if directory.is_fresh || choice != Choice::Chosen || !protected.allows_cleaning(&directory.key) {
            return None;
        }
        match directory.fd().and_then(|fd| names_in(&fd)) {
            Ok(names) => Some(names.into_iter().collect()),
            Err(error) => {
                self.restore.settle_failure(&directory.key, Failure::system("list it")(error));
                None
            }
        }
    }

    fn leave(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        let (State::Made(directory), Some(extra)) = (&frame.state, &frame.extra) else { return };
        for name in extra {
            if self.restore.is_stopped() {
                return;
            }
            let key = directory.key_of(name);
            let stat = directory.fd().and_then(|fd| stat_in(&fd, name));
            let is_directory = stat.is_ok_and(|stat| stat.is_directory());
            let is_excluded = self.selection.verdict(&key, is_directory) == Verdict::Excluded;
            if is_excluded || !self.protected.is_some_and(|protected| protected.allows_removing(&key)) {
                continue;
            }
            self.restore.announce(Action::Delete, &key);
            match self.restore.remove_tree(directory, name) {
                Ok(entries) => self.restore.report.count(Action::Delete, entries),
                Err(error) => self.restore.settle_failure(&key, Failure::system("remove it")(error)),
            }
        }
    }

    pub(super) fn delete_nothing_more(&mut self) {
        self.protected = None;
        for frame in &mut self.stack {
            frame.extra = None;
        }
    }

    /// Leaves everything.
    pub(super) fn finish(&mut self) {
        while !self.stack.is_empty() {
            self.leave();
        }
    }

    fn top(&self) -> &Frame<'s> {
        self.stack.last().expect("the target is left last")
    }

    fn top_mut(&mut self) -> &mut Frame<'s> {
        self.stack.last_mut().expect("the target is left last")
    }
}

/// Lets the owner into a directory that will get its own mode in the end.
fn unlock(parent: impl AsFd, name: &[u8], stat: &Stat) -> Result<(), Errno> {
    if stat.mode & 0o700 == 0o700 {
        return Ok(());
    }
    let handle = open_beneath(parent, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    rustix::fs::chmod(proc_path(&handle), Mode::from_raw_mode(stat.mode | 0o700))
}
