//! Owner, extended attributes, mode and times, in an order in which none undoes another.
//!
//! A change of owner clears set-id bits and capabilities, so it comes first. Extended attributes come before the mode, as a
//! file that its owner may not write takes none; the mode of an item with an ACL holds the ACL's mask already. Times are last.
//! What the file has already is not set again: an item that is as it should be keeps its change time.

use std::os::fd::{AsFd, BorrowedFd};

use backstay_format::tree::{Item, Time, Xattr};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::report::{Failure, Report};
use super::target::{Directory, Held, open_beneath, proc_path};
use super::{Ownership, Restore};
use crate::walk::{Kind, Stat};

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
/// The kernel's limits for one value and for the list of names.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// What the process may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    /// Give files to others.
    pub(super) may_chown: bool,
    ownership: Ownership,
}

impl Rights {
    pub(super) fn of_process(ownership: Ownership) -> Self {
        let capable =
            rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::CHOWN));
        Self { may_chown: capable && ownership == Ownership::WherePermitted, ownership }
    }
}

/// Whether extended attributes have to be looked at that the item does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Just made: it has none.
    Empty,
    /// It was there, or inherited something.
    Unknown,
}

impl Restore<'_> {
    /// Whether a file has the owner, mode and time of an item, as far as they would be set.
    pub(super) fn has_metadata(&self, item: &Item, stat: &Stat) -> bool {
        // What the owner will be.
        let owner = if self.rights.may_chown { (item.uid, item.gid) } else { (stat.uid, stat.gid) };
        (stat.uid, stat.gid) == owner && stat.mode == mode(item, owner) && stat.modified == item.modified
    }

    /// Sets the metadata of an open file or directory; returns whether anything was set.
    pub(super) fn set_metadata(&self, fd: impl AsFd, item: &Item, before: Before) -> Result<bool, Failure> {
        self.set_metadata_by(&Handle::Open(fd.as_fd()), item, before)
    }

    /// The same for an entry that is not opened: links, special files, files that are otherwise as they should be.
    pub(super) fn set_metadata_of(
        &self,
        directory: &Held<'_>,
        name: &[u8],
        item: &Item,
        before: Before,
    ) -> Result<bool, Failure> {
        let parent = directory.fd().map_err(Failure::system("open its directory"))?;
        let fd = open_beneath(&parent, name, OFlags::PATH, Mode::empty()).map_err(Failure::system("open it"))?;
        self.set_metadata_by(&Handle::Unopened { path: proc_path(&fd), fd: fd.as_fd() }, item, before)
    }

    fn set_metadata_by(&self, handle: &Handle<'_>, item: &Item, before: Before) -> Result<bool, Failure> {
        let stat = handle.stat()?;
        if stat.links > 1 && !stat.is_directory() && before == Before::Unknown {
            return Err(Failure::new("changed-meanwhile", "it has got another name"));
        }
        let mut changed = self.set_owner(handle, item, &stat)?;
        let owned = if changed { handle.stat()? } else { stat };
        let has_new_attributes = handle.replace_attributes(item, before, &self.report)?;
        changed |= has_new_attributes;
        let mode = mode(item, (owned.uid, owned.gid));
        // Links have no mode; an ACL that was set has changed it.
        if stat.kind != Kind::Symlink && (owned.mode != mode || has_new_attributes) {
            handle.set_mode(mode).map_err(Failure::system("set its mode"))?;
            changed = true;
        }
        if stat.modified != item.modified {
            handle.set_time(item.modified).map_err(Failure::system("set its times"))?;
            changed = true;
        }
        Ok(changed)
    }

    /// Gives a directory its metadata, when everything in it is done.
    pub(super) fn finish_directory(&self, directory: &Directory) {
        let Some(item) = &directory.metadata else { return };
        let before = if directory.is_fresh && !directory.has_default_acl { Before::Empty } else { Before::Unknown };
        let opened = self.directories.fd(directory).map_err(Failure::system("open it"));
        if let Err(failure) = opened.and_then(|fd| self.set_metadata(&fd, item, before)) {
            self.settle_failure(&directory.key, failure);
        }
    }

    fn set_owner(&self, handle: &Handle<'_>, item: &Item, stat: &Stat) -> Result<bool, Failure> {
        if (stat.uid, stat.gid) == (item.uid, item.gid) {
            return Ok(false);
        }
        if !self.rights.may_chown {
            if self.rights.ownership == Ownership::WherePermitted {
                self.report.note("ownership", "owners are not restored: only root may give files away", &item.key);
            }
            return Ok(false);
        }
        // The largest number stands for "leave it" in the call, and is nobody's.
        let uid = (item.uid != u32::MAX).then(|| Uid::from_raw(item.uid));
        let gid = (item.gid != u32::MAX).then(|| Gid::from_raw(item.gid));
        match handle.set_owner(uid, gid) {
            Ok(()) => Ok(true),
            // An owner that does not exist in this user namespace, or a file system without owners.
            Err(error @ (Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP)) => {
                self.report.note("ownership", format!("owners are not restored: {error}"), &item.key);
                Ok(false)
            }
            Err(error) => Err(Failure::system("set its owner")(error)),
        }
    }
}

/// The mode to make a file or directory with, before it has its owner: the final one where that says the same whoever owns it, so
/// that nobody can read meanwhile what they could not in the end.
pub(super) fn first_mode(item: &Item, before: Before) -> u32 {
    let (owner, group, others) = (item.mode >> 6 & 7, item.mode >> 3 & 7, item.mode & 7);
    let is_for_all_alike = group == others && owner & others == others;
    if is_for_all_alike && item.xattrs.is_empty() && before == Before::Empty { item.mode & 0o777 } else { 0o600 }
}

/// The mode to set. A program that would run as somebody else than its owner in the snapshot does not run as anybody.
fn mode(item: &Item, (uid, gid): (u32, u32)) -> u32 {
    let mut mode = item.mode & 0o7777;
    if !item.is_directory() && uid != item.uid {
        mode &= !SET_UID;
    }
    if !item.is_directory() && gid != item.gid {
        mode &= !SET_GID;
    }
    mode
}

/// Something that gets metadata: always the very inode that was looked at, whatever has its name meanwhile.
enum Handle<'f> {
    Open(BorrowedFd<'f>),
    /// What cannot be opened, or need not be. Calls that do not take such a descriptor take its path in `/proc`.
    Unopened {
        fd: BorrowedFd<'f>,
        path: String,
    },
}

impl Handle<'_> {
    /// Makes the attributes those of the item; returns whether any was set. A failure is a note: the item itself is there.
    fn replace_attributes(&self, item: &Item, before: Before, report: &Report) -> Result<bool, Failure> {
        if before == Before::Empty {
            for xattr in &item.xattrs {
                self.set_one(xattr, item, report)?;
            }
            return Ok(!item.xattrs.is_empty());
        }
        let mut changed = false;
        let mut names = vec![0; XATTR_BYTES_MAX];
        let len = match self.list(&mut names) {
            Ok(len) => len,
            Err(Errno::OPNOTSUPP) => 0,
            Err(error) => return Err(Failure::system("list its extended attributes")(error)),
        };
        let present: Vec<&[u8]> = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        for name in &present {
            // Labels of other systems, such as SELinux, are this host's own.
            let is_ours =
                name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_") || *name == b"security.capability";
            if is_ours && !item.xattrs.iter().any(|xattr| xattr.name == *name) {
                match self.remove(name) {
                    Ok(()) => changed = true,
                    Err(Errno::NODATA) => {}
                    Err(error) => note(name, error, item, report),
                }
            }
        }
        let mut value = vec![0; XATTR_BYTES_MAX];
        for xattr in &item.xattrs {
            let is_there = present.contains(&&xattr.name[..])
                && self.get(&xattr.name, &mut value).is_ok_and(|len| value[..len] == xattr.value);
            if !is_there {
                self.set_one(xattr, item, report)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    fn set_one(&self, xattr: &Xattr, item: &Item, report: &Report) -> Result<(), Failure> {
        match self.set(&xattr.name, &xattr.value) {
            Ok(()) => Ok(()),
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => {
                let name = String::from_utf8_lossy(&xattr.name);
                Err(Failure::new("not-written", format!("cannot set its extended attribute {name}: {error}")))
            }
            Err(error) => {
                note(&xattr.name, error, item, report);
                Ok(())
            }
        }
    }
}

impl Handle<'_> {
    fn stat(&self) -> Result<Stat, Failure> {
        let (Self::Open(fd) | Self::Unopened { fd, .. }) = self;
        Stat::of(fd).map_err(Failure::system("look at it"))
    }

    fn set_owner(&self, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            Self::Unopened { fd, .. } => rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            Self::Unopened { path, .. } => rustix::fs::chmod(&path[..], mode),
        }
    }

    fn set_time(&self, modified: Time) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times(modified)),
            Self::Unopened { fd, path } => {
                match rustix::fs::utimensat(fd, "", &times(modified), AtFlags::EMPTY_PATH) {
                    // Linux before 5.8.
                    Err(Errno::INVAL | Errno::NOENT) => {
                        rustix::fs::utimensat(CWD, &path[..], &times(modified), AtFlags::empty())
                    }
                    result => result,
                }
            }
        }
    }

    fn list(&self, names: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, names),
            Self::Unopened { path, .. } => rustix::fs::listxattr(&path[..], names),
        }
    }

    fn get(&self, name: &[u8], value: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, value),
            Self::Unopened { path, .. } => rustix::fs::getxattr(&path[..], name, value),
        }
    }

    fn set(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Unopened { path, .. } => rustix::fs::setxattr(&path[..], name, value, XattrFlags::empty()),
        }
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Self::Unopened { path, .. } => rustix::fs::removexattr(&path[..], name),
        }
    }
}

fn note(name: &[u8], error: Errno, item: &Item, report: &Report) {
    let reason = match name.split(|byte| *byte == b'.').next() {
        Some(b"security") => "xattr-security",
        Some(b"trusted") => "xattr-trusted",
        Some(b"system") => "xattr-system",
        _ => "xattr",
    };
    report.note(reason, format!("an extended attribute is not restored: {error}"), &item.key);
}

fn times(modified: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        // Larger numbers than a second has would mean something else to the call.
        last_modification: Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanoseconds.min(999_999_999).into() },
    }
}
