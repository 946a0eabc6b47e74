//! Hard links: made when the files that they name are there.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use backstay_format::tree::{Item, ItemKind};
use backstay_repo::Reader;
use backstay_repo::tree::find_item;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::super::content::Way;
use super::super::report::{Action, Failure};
use super::super::target::{Held, is_plain_name, name_of, stat_in};
use super::Planner;
use super::decide::find;
use crate::error::FilesError;
use crate::walk::Stat;

/// So many links wait until everything before them is done.
const WAITING_MAX: usize = 4096;
/// Files outside the part that is restored whose first link is remembered; later ones of others become files of their own.
const COPIES_MAX: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Links<'s> {
    waiting: Vec<Link<'s>>,
    /// Where the contents of a file are that is not restored itself: its first link that is.
    copies: HashMap<Vec<u8>, Vec<u8>>,
}

struct Link<'s> {
    number: u64,
    item: Item,
    directory: Held<'s>,
    /// What it is linked to.
    target: Vec<u8>,
}

impl<'s> Planner<'_, 's> {
    /// Adds a link to the file with this key.
    pub(super) fn add_link(
        &mut self,
        number: u64,
        item: Item,
        directory: Held<'s>,
        contents: &mut Reader<'_>,
    ) -> Result<(), FilesError> {
        let ItemKind::HardLink { target } = &item.kind else { return Ok(()) };
        let mut target = target.clone();
        if !self.is_restored(&target) {
            let Some(copy) = self.links.copies.get(&target) else {
                if self.links.copies.len() == COPIES_MAX {
                    self.links.copies.clear();
                }
                self.links.copies.insert(target, item.key.clone());
                return self.add_copy(number, item, directory, contents);
            };
            target.clone_from(copy);
        }
        self.links.waiting.push(Link { number, item, directory, target });
        if self.links.waiting.len() >= WAITING_MAX { self.make_links(contents) } else { Ok(()) }
    }

    /// Waits for everything before the links, and makes them.
    pub(super) fn make_links(&mut self, contents: &mut Reader<'_>) -> Result<(), FilesError> {
        if self.links.waiting.is_empty() {
            return Ok(());
        }
        self.windows.flush()?;
        self.queue.drain();
        let mut last_parent = None;
        for link in std::mem::take(&mut self.links.waiting) {
            if self.restore.is_stopped() {
                return Ok(());
            }
            match self.make_link(&link, &mut last_parent) {
                Ok(Made::Settled) => {}
                Ok(Made::No) => self.add_copy(link.number, link.item, link.directory, contents)?,
                Err(failure) => {
                    self.restore.report.set_absent(link.number);
                    self.restore.settle_failure(&link.item.key, failure);
                }
            }
        }
        Ok(())
    }

    fn make_link(&self, link: &Link<'s>, last_parent: &mut Option<(Vec<u8>, Arc<OwnedFd>)>) -> Result<Made, Failure> {
        let restore = self.restore;
        let dry_run = restore.options.dry_run;
        let target = if dry_run { None } else { self.find_target(link, last_parent) };
        if target.is_none() && !dry_run {
            return Ok(Made::No);
        }
        let name = name_of(&link.item.key);
        let found = if link.directory.is_fresh { None } else { find(&link.directory, name)? };
        let is_linked = match (&target, &found) {
            (Some((_, stat)), Some(found)) => (stat.device, stat.inode) == (found.device, found.inode),
            _ => false,
        };
        let (way, action) = match found {
            Some(_) if is_linked => (Way::Metadata, Action::Keep),
            Some(found) => match restore.decide_by_overwriting(&link.item, &link.directory, name, &found)? {
                Some(way) => (way, Action::Update),
                None => (Way::Metadata, Action::Leave),
            },
            None => (Way::Create, Action::Create),
        };
        restore.announce(action, &link.item.key);
        if let (Some((parent, _)), true) = (&target, way != Way::Metadata) {
            let directory = link.directory.fd().map_err(Failure::system("open its directory"))?;
            if way == Way::Replace {
                rustix::fs::unlinkat(&directory, name, AtFlags::empty())
                    .map_err(Failure::system("remove what is in its place"))?;
            }
            match rustix::fs::linkat(parent, name_of(&link.target), &directory, name, AtFlags::empty()) {
                Ok(()) => {}
                // A file system without hard links, one with too many, or somebody else's file.
                Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP) => return Ok(Made::No),
                Err(error) => return Err(Failure::system("link it")(error)),
            }
        }
        if action == Action::Leave {
            restore.report.set_absent(link.number);
        }
        restore.settle_key(&link.item.key, action);
        Ok(Made::Settled)
    }

    /// The directory and the stat of the file to link to, where what is there is that file: it may not have been restored,
    /// or an older one may have been left.
    fn find_target(
        &self,
        link: &Link<'s>,
        last_parent: &mut Option<(Vec<u8>, Arc<OwnedFd>)>,
    ) -> Option<(Arc<OwnedFd>, Stat)> {
        let name = name_of(&link.target);
        let parent_key = &link.target[..link.target.len() - name.len()];
        let parent = match last_parent {
            Some((key, fd)) if key == parent_key => fd.clone(),
            _ => {
                let fd = self.restore.open_path(parent_key.get(self.part.strip..)?)?;
                *last_parent = Some((parent_key.to_vec(), fd.clone()));
                fd
            }
        };
        let stat = stat_in(&parent, name).ok().filter(|_| is_plain_name(name))?;
        let is_it = !stat.is_directory() && stat.modified == link.item.modified;
        is_it.then_some((parent, stat))
    }

    /// Restores a link as a file of its own.
    fn add_copy(
        &mut self,
        number: u64,
        mut item: Item,
        directory: Held<'s>,
        contents: &mut Reader<'_>,
    ) -> Result<(), FilesError> {
        let ItemKind::HardLink { target } = &item.kind else { return Ok(()) };
        if let Some(Item { kind: kind @ ItemKind::File { .. }, .. }) =
            find_item(contents, self.restore.snapshot.tree, target)?
        {
            item.kind = kind;
            return self.add_item(number, item, directory, contents);
        }
        self.restore.report.set_absent(number);
        let failure = Failure::new("no-link-target", "the file that it is a link to is not in the snapshot");
        self.restore.settle_failure(&item.key, failure);
        Ok(())
    }
}

enum Made {
    Settled,
    /// There is nothing to link to.
    No,
}
