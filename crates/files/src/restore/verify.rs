//! The second pass: everything that was restored is read again and compared with the snapshot.
//!
//! The pages that were just written are flushed and dropped first, so that it is the disk that is read where the file system lets go
//! of them. What failed or was left alone is passed over.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_format::crypto::RecordKind;
use backstay_format::tree::{Extent, Item, ItemKind};
use backstay_repo::Reader;
use backstay_repo::tree::find_item;
use rustix::fs::{Advice, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::Restore;
use super::apply::{Job, Queue, with_workers};
use super::plan::{Next, SnapshotPart, is_at_or_below};
use super::report::Failure;
use super::target::{Held, NewDirectory, is_plain_name, name_of, open_beneath, stat_in};
use crate::error::FilesError;
use crate::walk::Kind;

/// Contents that one thread compares at once.
const CHECK_BYTES: u64 = 8 << 20;
/// The same in files.
const CHECK_EXTENTS: usize = 256;

pub(super) fn run(restore: &Restore<'_>) -> Result<(), FilesError> {
    if let Some(root) = restore.directories.root() {
        // Only so that dropping the pages can work: no promise rests on it.
        if let Err(error) = rustix::fs::syncfs(&root) {
            tracing::debug!(%error, "the target was not flushed before it was verified");
        }
    }
    let mut reader = restore.repository.reader()?;
    let part = SnapshotPart::find(restore, &mut reader)?;
    with_workers(restore, |queue| {
        let mut contents = restore.repository.reader()?;
        let mut pass = Pass {
            restore,
            queue,
            path: vec![Held::root(restore, part.root_key.clone(), None)],
            checks: Vec::new(),
            bytes: 0,
        };
        let mut items = part.items();
        loop {
            if restore.is_stopped() {
                return Ok(());
            }
            match items.next(&mut reader)? {
                Next::Item(number, item) if !restore.report.is_absent(number) => pass.visit(item, &mut contents)?,
                // The first pass has told.
                Next::Item(..) | Next::Lost(_) => {}
                Next::End => break,
            }
        }
        pass.flush();
        Ok(())
    })
}

struct Pass<'q, 's> {
    restore: &'s Restore<'s>,
    queue: &'q Queue<'q, 's>,
    /// The directories down to the last item.
    path: Vec<Held<'s>>,
    checks: Vec<Check>,
    bytes: u64,
}

/// A file that is being compared.
struct Checked {
    item: Item,
    file: File,
    has_failed: AtomicBool,
}

/// One run of its bytes.
pub(super) struct Check {
    file: Arc<Checked>,
    extent: Extent,
    offset: u64,
}

impl<'s> Pass<'_, 's> {
    fn visit(&mut self, item: Item, contents: &mut Reader<'_>) -> Result<(), FilesError> {
        let key = item.key.clone();
        match self.check(item, contents) {
            Err(Failure::Run(error)) => Err(error),
            Err(failure) => {
                self.restore.settle_failure(&key, failure);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn check(&mut self, item: Item, contents: &mut Reader<'_>) -> Result<(), Failure> {
        if item.is_directory() {
            return Ok(());
        }
        let name = &name_of(&item.key).to_vec()[..];
        let directory = self.go_to(&item.key).and_then(|directory| directory.fd()).map_err(missing)?;
        let stat = stat_in(&directory, name).map_err(missing)?;
        let is_right = match &item.kind {
            ItemKind::File { size_bytes, .. } => stat.kind == Kind::File && stat.size_bytes == *size_bytes,
            ItemKind::Symlink { target } => {
                let found = rustix::fs::readlinkat(&directory, name, Vec::new());
                found.is_ok_and(|found| found.as_bytes() == target)
            }
            ItemKind::Fifo => stat.kind == Kind::Fifo,
            ItemKind::CharDevice { major, minor } => {
                stat.kind == Kind::CharDevice && stat.device_numbers() == (*major, *minor)
            }
            ItemKind::BlockDevice { major, minor } => {
                stat.kind == Kind::BlockDevice && stat.device_numbers() == (*major, *minor)
            }
            ItemKind::HardLink { .. } => stat.kind == Kind::File,
            ItemKind::Directory => true,
        };
        if !is_right {
            return Err(Failure::new("verify-failed", "what is there is something else"));
        }
        let item = match &item.kind {
            ItemKind::File { size_bytes, .. } if *size_bytes > 0 => item,
            // Linked to a file that is verified itself, or a copy of one that is not.
            ItemKind::HardLink { target } if stat.links == 1 => {
                match find_item(contents, self.restore.snapshot.tree, target)? {
                    Some(Item { kind, .. }) => Item { kind, ..item },
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(open_beneath(&directory, name, flags, Mode::empty()).map_err(missing)?);
        // Advice: where it is not taken, memory is read.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        let file = Arc::new(Checked { item, file, has_failed: AtomicBool::new(false) });
        let ItemKind::File { content, .. } = &file.item.kind else { return Ok(()) };
        let mut offset = 0;
        contents.extents(content, &mut |extent| {
            self.checks.push(Check { file: file.clone(), extent, offset });
            self.bytes += extent.len();
            offset += extent.len();
            if self.bytes >= CHECK_BYTES || self.checks.len() >= CHECK_EXTENTS {
                self.flush();
            }
            Ok::<_, Failure>(())
        })
    }

    /// The directory of an item.
    fn go_to(&mut self, key: &[u8]) -> Result<Held<'s>, Errno> {
        let parent = backstay_format::tree::key_parent(key).unwrap_or_default();
        while self.path.len() > 1 && self.path.last().is_some_and(|last| !is_at_or_below(parent, &last.key)) {
            self.path.pop();
        }
        let mut last = self.path.last().cloned().ok_or(Errno::NOENT)?;
        let start = last.key.len() + usize::from(!last.key.is_empty());
        for name in parent.get(start..).unwrap_or_default().split(|byte| *byte == 0) {
            if name.is_empty() {
                continue;
            }
            if !is_plain_name(name) {
                return Err(Errno::XDEV);
            }
            last = last.child(NewDirectory {
                name: name.to_vec(),
                key: last.key_of(name),
                is_fresh: false,
                has_default_acl: false,
                metadata: None,
            });
            self.path.push(last.clone());
        }
        Ok(last)
    }

    fn flush(&mut self) {
        self.bytes = 0;
        if !self.checks.is_empty() {
            self.queue.send(Job::Verify(std::mem::take(&mut self.checks)));
        }
    }
}

impl Check {
    pub(super) fn perform(
        &self,
        restore: &Restore<'_>,
        reader: &mut Reader<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), FilesError> {
        let failure = match self.is_right(restore, reader, buffer) {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let end = self.offset + self.extent.len();
                Failure::new("verify-failed", format!("bytes {} to {end} are not those of the snapshot", self.offset))
            }
            Err(Failure::Run(error)) => return Err(error),
            Err(failure) => failure,
        };
        if !self.file.has_failed.swap(true, Ordering::Relaxed) {
            restore.settle_failure(&self.file.item.key, failure);
        }
        Ok(())
    }

    fn is_right(&self, restore: &Restore<'_>, reader: &mut Reader<'_>, buffer: &mut Vec<u8>) -> Result<bool, Failure> {
        let keys = restore.repository.keys();
        match self.extent {
            Extent::Hole { len } => self.is_zero(len, buffer),
            Extent::Chunk { id, len } => {
                self.read(len, buffer)?;
                Ok(keys.name(RecordKind::Data, buffer) == id)
            }
            Extent::Part { id, offset, len } => {
                self.read(len, buffer)?;
                match &self.file.item.kind {
                    ItemKind::File { size_bytes, hash: Some(hash), .. } if *size_bytes == u64::from(len) => {
                        Ok(keys.content_hash(buffer) == *hash)
                    }
                    _ => {
                        let plain = reader.read(&id)?;
                        Ok(plain.get(offset as usize..).and_then(|rest| rest.get(..len as usize)) == Some(&buffer[..]))
                    }
                }
            }
        }
    }

    fn read(&self, len: u32, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        buffer.resize(len as usize, 0);
        self.file.file.read_exact_at(buffer, self.offset).map_err(|error| unreadable(&error))
    }

    fn is_zero(&self, len: u64, buffer: &mut Vec<u8>) -> Result<bool, Failure> {
        let end = self.offset + len;
        let mut at = self.offset;
        while at < end {
            // The holes of a file may be longer than anybody would read.
            match rustix::fs::seek(&self.file.file, SeekFrom::Data(at)) {
                Ok(data) => at = data,
                Err(Errno::NXIO) => break,
                Err(_) => {}
            }
            if at >= end {
                break;
            }
            buffer.resize((end - at).min(1 << 20) as usize, 0);
            self.file.file.read_exact_at(buffer, at).map_err(|error| unreadable(&error))?;
            if buffer.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += buffer.len() as u64;
        }
        Ok(true)
    }
}

fn missing(error: Errno) -> Failure {
    Failure::new("verify-failed", format!("it cannot be looked at: {error}"))
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new("verify-failed", format!("it cannot be read again: {error}"))
}
