//! An open directory, and its names in order.
//!
//! Everything in a directory is reached relative to its descriptor and never through a symlink, so that nobody who renames
//! a directory or puts a link in its place during the walk can lead it elsewhere.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use backstay_format::tree::path_of_key;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::entry::{Kind, Stat};

/// A directory that is open while anybody holds it.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    key: Vec<u8>,
    /// How much of the key is that of the root given by the user.
    root_key_len: usize,
    root_device: u64,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Opens a directory that is above a root or holds one. Symlinks are followed: the path is the user's own word.
    pub(super) fn open_above(key: &[u8]) -> Result<Self, Errno> {
        let path = [b"/", &path_of_key(key)[..]].concat();
        // O_PATH: whoever may pass through a directory need not be allowed to list it.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd, key: key.to_vec(), root_key_len: 0, root_device: 0 })
    }

    /// Opens a directory that the user named, whose key is that of `name` in this one.
    pub(super) fn open_root(&self, name: &[u8]) -> Result<Self, Errno> {
        let fd = self.open_directory(name)?;
        let root_device = Stat::of(&fd)?.device;
        let key = self.key_of(name);
        Ok(Self { fd, root_key_len: key.len(), key, root_device })
    }

    pub(super) fn open_child(&self, name: &[u8]) -> Result<Self, Errno> {
        let fd = self.open_directory(name)?;
        Ok(Self { fd, key: self.key_of(name), root_key_len: self.root_key_len, root_device: self.root_device })
    }

    fn open_directory(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        self.open(name, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The tree key of the directory itself.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The tree key of an entry.
    pub fn key_of(&self, name: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.key.len() + 1 + name.len());
        self.put_key_of(name, &mut key);
        key
    }

    /// The tree key of an entry, into a buffer that is used again and again.
    pub fn put_key_of(&self, name: &[u8], key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&self.key);
        if !key.is_empty() {
            key.push(0);
        }
        key.extend_from_slice(name);
    }

    pub(super) fn root_key_len(&self) -> usize {
        self.root_key_len
    }

    pub(super) fn root_device(&self) -> u64 {
        self.root_device
    }

    /// Opens a file for reading and gives its stat as it is now, to compare with the one found before.
    ///
    /// A symlink is an error; a fifo or a device that took the file's place is opened without waiting for it, and told by
    /// the stat. The access time is left alone where the caller is allowed that.
    pub fn open_file(&self, name: &[u8]) -> Result<(File, Stat), Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open(name, flags)?;
        let stat = Stat::of(&fd)?;
        Ok((File::from(fd), stat))
    }

    /// Whether a regular file is here and begins so; a file that cannot be read does not.
    pub(super) fn file_begins_with(&self, name: &[u8], header: &[u8]) -> bool {
        let mut found = vec![0; header.len()];
        let opened = self.open_file(name);
        opened.is_ok_and(|(file, stat)| {
            stat.kind == Kind::File && file.read_exact_at(&mut found, 0).is_ok() && found == header
        })
    }

    /// The target of a symlink.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.fd, name, Vec::new()).map(|target| target.into_bytes())
    }

    /// The stat of an entry; of a link, not of what it points to.
    pub fn stat(&self, name: &[u8]) -> Result<Stat, Errno> {
        // A mount that is not there yet is not made for a stat.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statat(&self.fd, or_self(name), flags).map(|stat| Stat::from(&stat))
    }

    /// The stat of a directory above a root: what a link points to, as the link was followed to get to the root.
    pub(super) fn stat_above(&self, name: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.fd, or_self(name), AtFlags::empty()).map(|stat| Stat::from(&stat))
    }

    fn open(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let name = or_self(name);
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags | OFlags::NOATIME, Mode::empty()) {
            // Only the owner and root may ask for that.
            Err(Errno::PERM) => rustix::fs::openat(&self.fd, name, flags, Mode::empty()),
            result => result,
        }
    }
}

/// Lets this process open as many files as the system allows it: a walk holds a descriptor for each level of the tree it is in,
/// and the usual limit of 1024 was chosen for programs that use `select`. Gives the limit that holds now.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    holds.unwrap_or(u64::MAX)
}

/// The root of the file system has no name in any directory.
fn or_self(name: &[u8]) -> &[u8] {
    if name.is_empty() { b"." } else { name }
}

/// The names of a directory, sorted by their bytes.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) directory: Arc<Directory>,
    pub(super) names: Names,
}

#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    sorted: Vec<Name>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    /// The first eight bytes as a number: most comparisons end here.
    prefix: u64,
    start: u32,
    len: u16,
    hint: Hint,
}

/// The type that a directory gives for a name; many file systems give it, none must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    Directory,
    Else,
    Unknown,
}

impl Name {
    pub(super) fn hint(self) -> Hint {
        self.hint
    }
}

impl Names {
    /// A list of one name, of an entry that was not found by listing.
    pub(super) fn one(name: &[u8]) -> Self {
        let mut names = Self::default();
        // A single name cannot be too long for an empty list.
        let _ = names.push(name, Hint::Unknown);
        names
    }

    /// Reads all names. If that fails half-way, what was read so far is there beside the error.
    pub(super) fn read(directory: &Directory, buffer: &mut [MaybeUninit<u8>]) -> (Self, Option<Errno>) {
        let mut names = Self::default();
        let mut entries = RawDir::new(directory, buffer);
        let mut failure = None;
        while let Some(entry) = entries.next() {
            let pushed = entry.and_then(|entry| {
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    return Ok(());
                }
                let hint = match entry.file_type() {
                    FileType::Directory => Hint::Directory,
                    FileType::Unknown => Hint::Unknown,
                    _ => Hint::Else,
                };
                names.push(name, hint)
            });
            if let Err(error) = pushed {
                failure = Some(error);
                break;
            }
        }
        let Self { bytes, sorted } = &mut names;
        sorted.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| slice(bytes, *a).cmp(slice(bytes, *b))));
        // A directory that changes while it is listed may give a name twice.
        sorted.dedup_by(|a, b| slice(bytes, *a) == slice(bytes, *b));
        (names, failure)
    }

    fn push(&mut self, name: &[u8], hint: Hint) -> Result<(), Errno> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
        let len = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        let mut prefix = [0; 8];
        let shown = name.len().min(8);
        prefix[..shown].copy_from_slice(&name[..shown]);
        self.bytes.extend_from_slice(name);
        self.sorted.push(Name { prefix: u64::from_be_bytes(prefix), start, len, hint });
        Ok(())
    }

    pub(super) fn sorted(&self) -> &[Name] {
        &self.sorted
    }

    pub(super) fn bytes(&self, name: Name) -> &[u8] {
        slice(&self.bytes, name)
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.sorted.binary_search_by(|probe| self.bytes(*probe).cmp(name)).is_ok()
    }
}

fn slice(bytes: &[u8], name: Name) -> &[u8] {
    &bytes[name.start as usize..][..usize::from(name.len)]
}
