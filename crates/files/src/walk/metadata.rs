//! Extended attributes, and the tree item of an entry.

use std::io::Write as _;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use backstay_format::tree::{Item, ItemKind, Xattr};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::owners::Owners;
use super::{Directory, Stat};

/// A value is never longer: the kernel's limit.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Nearly every value and list of names is shorter. The kernel makes and clears as much memory as it is offered: with 64 KiB that
/// took longer than all else about an entry.
const VALUE_BYTES_USUAL: usize = 256;

/// Reads extended attributes by name in a directory, without opening files and without following links.
///
/// The kernel's calls for that take no directory descriptor before Linux 6.13. So the thread gets a working directory of its own
/// and moves it along, which costs a quarter of a path through `/proc/self/fd` per call. Where a sandbox forbids that, it is
/// such a path. The reader stays on the thread that made it.
#[derive(Debug)]
pub struct XattrReader {
    way: Way,
    buffer: Vec<u8>,
    /// The working directory is the thread's: the reader must not move to another one.
    not_send: PhantomData<*const ()>,
}

#[derive(Debug)]
enum Way {
    /// Held open, so that no other directory can get its place in memory and be taken for it.
    WorkingDirectory {
        current: Option<Arc<Directory>>,
    },
    ProcPath,
}

/// The extended attributes of one entry, sorted by name, and what could not be read of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Xattrs {
    pub list: Vec<Xattr>,
    /// The first failure: worth a note, not more, as the rest of the entry is there.
    pub failure: Option<XattrFailure>,
}

/// An attribute that could not be read, or the list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XattrFailure {
    pub name: Option<Vec<u8>>,
    pub error: Errno,
}

impl XattrReader {
    /// Gives the calling thread a working directory of its own, for good: call it on a thread made for this work.
    pub fn new() -> Self {
        #[expect(deprecated, reason = "only sharing descriptors can break other threads, and FS does not touch them")]
        let unshared = rustix::thread::unshare(UnshareFlags::FS);
        let way = if unshared.is_ok() { Way::WorkingDirectory { current: None } } else { Way::ProcPath };
        Self { way, buffer: vec![0; VALUE_BYTES_MAX], not_send: PhantomData }
    }

    /// A reader that goes through `/proc/self/fd`, as in a sandbox.
    pub fn through_proc() -> Self {
        Self { way: Way::ProcPath, buffer: vec![0; VALUE_BYTES_MAX], not_send: PhantomData }
    }

    /// All extended attributes of an entry, among them its ACLs and file capabilities. A file system without any has none.
    pub fn read(&mut self, directory: &Arc<Directory>, name: &[u8]) -> Xattrs {
        let name = if name.is_empty() { b"." } else { name };
        let failed = |error| Xattrs { list: Vec::new(), failure: Some(XattrFailure { name: None, error }) };
        let path = match &mut self.way {
            Way::ProcPath => {
                let mut path = Vec::with_capacity(name.len() + 32);
                // Writing to memory does not fail.
                let _ = write!(path, "/proc/self/fd/{}/", directory.as_fd().as_raw_fd());
                path.extend_from_slice(name);
                path
            }
            Way::WorkingDirectory { current } => {
                if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, directory)) {
                    *current = None;
                    if let Err(error) = rustix::process::fchdir(directory) {
                        return failed(error);
                    }
                    *current = Some(directory.clone());
                }
                name.to_vec()
            }
        };
        let list = |buffer: &mut [u8]| rustix::fs::llistxattr(&path[..], buffer);
        let names = match read_value(&mut self.buffer, list) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Xattrs::default(),
            Ok(len) => self.buffer[..len].to_vec(),
            Err(error) => return failed(error),
        };
        let mut found = Xattrs::default();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match read_value(&mut self.buffer, |buffer| rustix::fs::lgetxattr(&path[..], name, buffer)) {
                Ok(len) => found.list.push(Xattr { name: name.to_vec(), value: self.buffer[..len].to_vec() }),
                // Removed since it was listed.
                Err(Errno::NODATA) => {}
                Err(error) => {
                    found.failure.get_or_insert_with(|| XattrFailure { name: Some(name.to_vec()), error });
                }
            }
        }
        found.list.sort_unstable();
        found
    }
}

/// Reads into the buffer, of which no more is offered at first than is usually needed.
fn read_value(buffer: &mut [u8], read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<usize, Errno> {
    match read(&mut buffer[..VALUE_BYTES_USUAL]) {
        Err(Errno::RANGE) => read(buffer),
        result => result,
    }
}

impl Default for XattrReader {
    fn default() -> Self {
        Self::new()
    }
}

/// The tree item of an entry.
pub fn item(key: Vec<u8>, stat: &Stat, kind: ItemKind, xattrs: Vec<Xattr>, owners: &Owners) -> Item {
    Item {
        key,
        kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: owners.user(stat.uid),
        group: owners.group(stat.gid),
        modified: stat.modified,
        changed: stat.changed,
        inode: stat.inode,
        xattrs,
        extensions: Vec::new(),
    }
}
