//! What happens to an item, from what is in its place.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use backstay_format::tree::{Item, ItemKind};
use rustix::io::Errno;

use super::super::content::Way;
use super::super::report::{Action, Failure};
use super::super::target::{Held, open_directory, stat_in};
use super::super::{Overwrite, Restore};
use crate::walk::{Kind, Stat};

/// What happens to an item.
pub(super) struct Decision {
    pub(super) action: Action,
    /// Nothing: nothing is to be done.
    pub(super) way: Option<Way>,
}

/// What is in the place of an item.
pub(super) fn find(directory: &Held<'_>, name: &[u8]) -> Result<Option<Stat>, Failure> {
    match directory.fd().and_then(|fd| stat_in(&fd, name)) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Failure::system("look at what is in its place")(error)),
    }
}

impl Restore<'_> {
    pub(super) fn announce(&self, action: Action, key: &[u8]) {
        if let Some(each) = self.options.each {
            each(action, key);
        }
    }

    /// Decides about anything but directories and hard links.
    pub(super) fn decide(&self, item: &Item, directory: &Held<'_>, name: &[u8]) -> Result<Decision, Failure> {
        let create = Decision { action: Action::Create, way: Some(Way::Create) };
        let found = if directory.is_fresh { None } else { find(directory, name)? };
        let Some(found) = found else { return Ok(create) };
        let never = self.options.overwrite == Overwrite::Never;
        if !never && self.is_alike(item, directory, name, &found) {
            let has_metadata = self.has_metadata(item, &found);
            // Setting metadata of a file would set them of all its names, wherever they are.
            if found.links == 1 {
                let action = if has_metadata { Action::Keep } else { Action::Update };
                return Ok(Decision { action, way: Some(Way::Metadata) });
            }
            if has_metadata {
                return Ok(Decision { action: Action::Keep, way: None });
            }
        }
        Ok(match self.decide_by_overwriting(item, directory, name, &found)? {
            Some(way) => Decision { action: Action::Update, way: Some(way) },
            None => Decision { action: Action::Leave, way: None },
        })
    }

    /// How an item gets in the place of something that differs; nothing where that stays.
    pub(super) fn decide_by_overwriting(
        &self,
        item: &Item,
        directory: &Held<'_>,
        name: &[u8],
        found: &Stat,
    ) -> Result<Option<Way>, Failure> {
        if self.options.overwrite == Overwrite::Never {
            return Ok(None);
        }
        if found.is_directory() {
            if !self.options.delete {
                return Err(Failure::new("in-the-way", "a directory is in its place"));
            }
            let key = directory.key_of(name);
            self.announce(Action::Delete, &key);
            let removed = self.remove_tree(directory, name).map_err(Failure::system("remove what is in its place"))?;
            self.report.count(Action::Delete, removed);
            return Ok(Some(Way::Create));
        }
        let is_file = matches!(item.kind, ItemKind::File { .. });
        if is_file && found.kind == Kind::File && found.links == 1 {
            return Ok(Some(Way::InPlace { size_bytes: found.size_bytes }));
        }
        Ok(Some(Way::Replace))
    }

    /// Whether what is there is taken for the item, but for its metadata.
    fn is_alike(&self, item: &Item, directory: &Held<'_>, name: &[u8], found: &Stat) -> bool {
        let kind = found.kind;
        match &item.kind {
            ItemKind::File { size_bytes, .. } => {
                kind == Kind::File
                    && self.options.overwrite == Overwrite::Changed
                    && (found.size_bytes, found.modified) == (*size_bytes, item.modified)
            }
            ItemKind::Symlink { target } => {
                let read = || rustix::fs::readlinkat(directory.fd()?, name, Vec::new());
                kind == Kind::Symlink && read().is_ok_and(|found| found.as_bytes() == target)
            }
            ItemKind::Fifo => kind == Kind::Fifo,
            ItemKind::CharDevice { major, minor } => {
                kind == Kind::CharDevice && found.device_numbers() == (*major, *minor)
            }
            ItemKind::BlockDevice { major, minor } => {
                kind == Kind::BlockDevice && found.device_numbers() == (*major, *minor)
            }
            ItemKind::Directory | ItemKind::HardLink { .. } => false,
        }
    }

    /// Opens a directory by its path below the target, as the components of a key.
    pub(super) fn open_path(&self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        let mut fd = self.directories.root()?;
        for name in path.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            fd = Arc::new(open_directory(&fd, name).ok()?);
        }
        Some(fd)
    }
}
