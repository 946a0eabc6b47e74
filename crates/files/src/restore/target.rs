//! The target of a restore: its directories, reached name by name.
//!
//! Invariants: every descriptor was opened relative to another one that began at the target, by one plain name and never
//! through a link; few are open at once, however many directories are under way; a directory gets its metadata when nothing
//! of it is under way any more.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_format::tree::Item;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Restore;
use crate::error::FilesError;
use crate::walk::{Stat, raise_descriptor_limit};

/// Descriptors of directories that are kept open, where the system allows twice as many: those of the windows under way, or each would
/// be opened again for its files.
const OPEN_MAX: usize = 2048;

/// Whether a name is one step down and nothing else.
pub(super) fn is_plain_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

/// The name of an item in its directory.
pub(super) fn name_of(key: &[u8]) -> &[u8] {
    &key[key.iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1)..]
}

/// Opens an entry of a directory, never following a link.
pub(super) fn open_beneath(directory: impl AsFd, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    if !is_plain_name(name) {
        return Err(Errno::XDEV);
    }
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(&directory, name, flags, mode, resolve) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Linux before 5.6, or a sandbox that does not know the call. One plain name leads nowhere else anyhow.
            Err(Errno::NOSYS | Errno::PERM) => return rustix::fs::openat(&directory, name, flags, mode),
            result => return result,
        }
    }
}

pub(super) fn open_directory(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    open_beneath(parent, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

/// The stat of an entry; of a link, not of what it points to.
pub(super) fn stat_in(directory: impl AsFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT).map(|stat| Stat::from(&stat))
}

/// All names in a directory.
pub(super) fn names_in(directory: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if is_plain_name(name) {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// The path of an open descriptor in `/proc`: for calls that take no descriptor. It leads to the very inode.
pub(super) fn proc_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// A directory of the target.
pub(super) struct Directory {
    id: u64,
    parent: Option<Arc<Directory>>,
    name: Vec<u8>,
    /// The tree key, for messages.
    pub(super) key: Vec<u8>,
    /// Made by this run, or would have been in a dry run: nothing is in it that this run did not put there.
    pub(super) is_fresh: bool,
    /// What is made in it gets ACLs that nobody asked for.
    pub(super) has_default_acl: bool,
    /// What to set in the end; nothing: it stays as it is.
    pub(super) metadata: Option<Item>,
}

impl Directory {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The tree key of an entry.
    pub(super) fn key_of(&self, name: &[u8]) -> Vec<u8> {
        let separator: &[u8] = if self.key.is_empty() { &[] } else { &[0] };
        [&self.key, separator, name].concat()
    }
}

/// The directories of a restore that are open.
pub(super) struct Directories {
    /// Nothing in a dry run into a target that does not exist.
    root: Option<Arc<OwnedFd>>,
    /// The target was made by this run.
    pub(super) root_is_fresh: bool,
    open: Mutex<Open>,
    open_max: usize,
    last_id: AtomicU64,
}

#[derive(Default)]
struct Open {
    fds: HashMap<u64, Arc<OwnedFd>>,
    /// In the order of opening; some may be closed already.
    order: VecDeque<u64>,
}

impl Directories {
    pub(super) fn open(target: &Path, dry_run: bool) -> Result<Self, FilesError> {
        let failed = |source| FilesError::Target { path: target.display().to_string(), source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::open(target, flags, Mode::empty());
        let (root, root_is_fresh) = match open() {
            Ok(root) => (Some(root), false),
            Err(Errno::NOENT) if dry_run => (None, true),
            Err(Errno::NOENT) => {
                let made = std::fs::create_dir_all(target);
                made.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
                (Some(open().map_err(failed)?), true)
            }
            Err(error) => return Err(failed(error)),
        };
        let open_max = OPEN_MAX.min(raise_descriptor_limit() as usize / 2);
        let (open, last_id) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { root: root.map(Arc::new), root_is_fresh, open, open_max, last_id })
    }

    /// The target; nothing in a dry run where it does not exist.
    pub(super) fn root(&self) -> Option<Arc<OwnedFd>> {
        self.root.clone()
    }

    /// The descriptor of a directory, opened again from the nearest one above that is open.
    pub(super) fn fd(&self, directory: &Directory) -> Result<Arc<OwnedFd>, Errno> {
        let mut closed = Vec::new();
        let mut at = directory;
        let mut fd = loop {
            if let Some(fd) = self.opened(at) {
                break fd;
            }
            closed.push(at);
            at = at.parent.as_deref().ok_or(Errno::NOENT)?;
        };
        for directory in closed.into_iter().rev() {
            fd = Arc::new(open_directory(&fd, &directory.name)?);
            self.keep(directory, fd.clone());
        }
        Ok(fd)
    }

    fn opened(&self, directory: &Directory) -> Option<Arc<OwnedFd>> {
        if directory.parent.is_none() {
            return self.root.clone();
        }
        self.open.lock().fds.get(&directory.id).cloned()
    }

    pub(super) fn keep(&self, directory: &Directory, fd: Arc<OwnedFd>) {
        let mut open = self.open.lock();
        if open.order.len() >= self.open_max
            && let Some(oldest) = open.order.pop_front()
        {
            open.fds.remove(&oldest);
        }
        open.order.push_back(directory.id);
        open.fds.insert(directory.id, fd);
    }

    fn forget(&self, directory: &Directory) {
        self.open.lock().fds.remove(&directory.id);
    }
}

/// What a directory is made with.
pub(super) struct NewDirectory {
    pub(super) name: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) is_fresh: bool,
    pub(super) has_default_acl: bool,
    pub(super) metadata: Option<Item>,
}

/// A hold on a directory. When the last one goes, so that nothing is written there any more, it gets its metadata.
pub(super) struct Held<'s> {
    restore: &'s Restore<'s>,
    /// Taken only when the hold goes.
    directory: Option<Arc<Directory>>,
}

impl<'s> Held<'s> {
    /// The target itself.
    pub(super) fn root(restore: &'s Restore<'s>, key: Vec<u8>, metadata: Option<Item>) -> Self {
        let is_fresh = restore.directories.root_is_fresh;
        let root = restore.directories.root.as_ref();
        let has_default_acl = root.is_some_and(has_default_acl);
        let new = NewDirectory { name: Vec::new(), key, is_fresh, has_default_acl, metadata };
        Self::new(restore, None, new)
    }

    pub(super) fn child(&self, new: NewDirectory) -> Self {
        Self::new(self.restore, self.directory.clone(), new)
    }

    fn new(restore: &'s Restore<'s>, parent: Option<Arc<Directory>>, new: NewDirectory) -> Self {
        let NewDirectory { name, key, is_fresh, has_default_acl, metadata } = new;
        let id = restore.directories.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let directory = Directory { id, parent, name, key, is_fresh, has_default_acl, metadata };
        Self { restore, directory: Some(Arc::new(directory)) }
    }

    pub(super) fn fd(&self) -> Result<Arc<OwnedFd>, Errno> {
        self.restore.directories.fd(self)
    }
}

impl Clone for Held<'_> {
    fn clone(&self) -> Self {
        Self { restore: self.restore, directory: self.directory.clone() }
    }
}

impl Deref for Held<'_> {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        self.directory.as_deref().expect("it is taken only when the hold goes")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Not by recursion: directories are nested deeper than stacks are high.
        let mut next = self.directory.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            self.restore.finish_directory(&last);
            self.restore.directories.forget(&last);
            next = last.parent.take();
        }
    }
}

/// Whether what is made in a directory inherits an ACL.
pub(super) fn has_default_acl(fd: impl AsFd) -> bool {
    let mut value = [0; 1];
    let name = OsStr::from_bytes(b"system.posix_acl_default");
    !matches!(rustix::fs::fgetxattr(fd, name, &mut value[..]), Err(Errno::NODATA | Errno::OPNOTSUPP))
}
