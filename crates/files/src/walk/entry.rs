//! What the walker found: the stat of an entry, and runs of entries of one directory.

use std::os::fd::AsFd;
use std::sync::Arc;

use backstay_format::tree::Time;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::directory::{Directory, Listing, Name};

/// What an entry is on the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Fifo,
    CharDevice,
    BlockDevice,
    Socket,
    /// A type that this program does not know.
    Other,
}

/// The part of a stat that a backup uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub size_bytes: u64,
    /// Allocated on the disk, in units of 512 bytes.
    pub blocks: u64,
    pub inode: u64,
    /// Tells file systems and groups of hard links apart within one run; it changes with every mount and is never kept.
    pub device: u64,
    /// The device that a device node stands for.
    pub node_device: u64,
    pub modified: Time,
    pub changed: Time,
}

impl Stat {
    /// The stat of an open file.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(fd).map(|stat| Self::from(&stat))
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Major and minor number of the device that a device node stands for.
    pub fn device_numbers(&self) -> (u32, u32) {
        (rustix::fs::major(self.node_device), rustix::fs::minor(self.node_device))
    }
}

impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds: nanoseconds as u32 };
        Self {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Directory,
                FileType::RegularFile => Kind::File,
                FileType::Symlink => Kind::Symlink,
                FileType::Fifo => Kind::Fifo,
                FileType::CharacterDevice => Kind::CharDevice,
                FileType::BlockDevice => Kind::BlockDevice,
                FileType::Socket => Kind::Socket,
                FileType::Unknown => Kind::Other,
            },
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            size_bytes: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            inode: stat.st_ino,
            device: stat.st_dev,
            node_device: stat.st_rdev,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// One name of a directory, and its stat or why there is none.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'b> {
    /// Empty for the root of the file system, which no directory lists.
    pub name: &'b [u8],
    pub stat: Result<&'b Stat, Errno>,
}

/// A run of entries of one directory, in order, with nothing of another directory between them.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(super) slice: Arc<Slice>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Batch {
    /// The directory that all entries are in. Cloning keeps its descriptor open.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.slice.listing.directory
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slice.found[self.start..self.end].iter().map(|found| self.slice.entry(found))
    }
}

/// Entries of a directory that were read in one go.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) listing: Arc<Listing>,
    pub(super) found: Vec<Found>,
    /// Positions in `found` of the directories whose contents follow their entry.
    pub(super) entered: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: Name,
    pub(super) stat: Result<Stat, Errno>,
}

impl Slice {
    fn entry<'a>(&'a self, found: &'a Found) -> Entry<'a> {
        Entry { name: self.listing.names.bytes(found.name), stat: found.stat.as_ref().map_err(|error| *error) }
    }

    /// The name of a directory to enter.
    pub(super) fn name_of_entered(&self, at: usize) -> &[u8] {
        self.listing.names.bytes(self.found[self.entered[at] as usize].name)
    }
}
