//! Files whose contents are under way: where each chunk goes, what of a file is there already, and when it is done.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use backstay_format::crypto::{Keys, RecordKind};
use backstay_format::ids::ChunkId;
use backstay_format::tree::{Item, ItemKind};
use backstay_repo::Progress;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::Restore;
use super::metadata::{Before, first_mode};
use super::report::{Action, Failure, shown};
use super::target::{Held, name_of, open_beneath};
use crate::walk::{Kind, Stat};

/// What differs in a file that is there is written in such blocks: the unit of file systems and of page caches.
const BLOCK_BYTES: usize = 4096;

/// An item on its way into the target.
pub(super) struct Entry<'s> {
    pub(super) item: Item,
    /// Position in the snapshot, for the second pass of a verifying restore.
    pub(super) number: u64,
    pub(super) directory: Held<'s>,
    pub(super) way: Way,
}

/// How an item gets into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing is there.
    Create,
    /// What is there is removed first.
    Replace,
    /// A file is there, with this many bytes and no other name.
    InPlace { size_bytes: u64 },
    /// Only the metadata is looked at.
    Metadata,
}

impl Entry<'_> {
    /// The name in its directory.
    pub(super) fn name(&self) -> &[u8] {
        name_of(&self.item.key)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.item.size_bytes()
    }

    /// What the file has before its metadata is set.
    pub(super) fn before(&self) -> Before {
        let is_new = matches!(self.way, Way::Create | Way::Replace);
        if is_new && !self.directory.has_default_acl { Before::Empty } else { Before::Unknown }
    }

    /// Makes the file, for nobody to read before it has its metadata who may not read it afterwards.
    pub(super) fn create(&self) -> Result<File, Failure> {
        self.make_room()?;
        let directory = self.directory.fd().map_err(Failure::system("open its directory"))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(first_mode(&self.item, self.before()));
        let fd = open_beneath(&directory, self.name(), flags, mode);
        fd.map(File::from).map_err(Failure::system("create it"))
    }

    /// Removes what is in the place of a new item.
    pub(super) fn make_room(&self) -> Result<(), Failure> {
        if self.way != Way::Replace {
            return Ok(());
        }
        match self.remove() {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Failure::system("remove what is in its place")(error)),
        }
    }

    /// What happened to an item that was made.
    pub(super) fn made(&self) -> Action {
        if self.way == Way::Create { Action::Create } else { Action::Update }
    }

    /// Removes a new file that could not be filled: half a file is worse than none.
    pub(super) fn discard_if_new(&self) {
        if matches!(self.way, Way::Create | Way::Replace)
            && let Err(error) = self.remove()
        {
            tracing::warn!(path = shown(&self.item.key), %error, "a file that was begun stays behind");
        }
    }

    fn remove(&self) -> Result<(), Errno> {
        rustix::fs::unlinkat(self.directory.fd()?, self.name(), AtFlags::empty())
    }

    /// Opens the file that is there, if it is still one that may be written into.
    pub(super) fn open_in_place(&self) -> Option<(File, u64)> {
        let directory = self.directory.fd().ok()?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = open_beneath(&directory, self.name(), flags, Mode::empty()).ok()?;
        let stat = Stat::of(&fd).ok()?;
        (stat.kind == Kind::File && stat.links == 1).then(|| (File::from(fd), stat.size_bytes))
    }
}

/// Where bytes of a chunk go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) file_offset: u64,
    pub(super) len: u32,
    pub(super) part: Part,
    /// Something is there, in its whole length: only what differs is written.
    pub(super) is_over_old: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole chunk: its name proves the bytes of the file too.
    Whole,
    From {
        offset: u32,
    },
}

impl Place {
    /// The bytes for this place, out of the plain bytes of the chunk.
    pub(super) fn of_chunk<'p>(&self, plain: &'p [u8]) -> Result<&'p [u8], Failure> {
        let len = self.len as usize;
        let bytes = match self.part {
            Part::Whole => (plain.len() == len).then_some(plain),
            Part::From { offset } => plain.get(offset as usize..).and_then(|rest| rest.get(..len)),
        };
        bytes.ok_or_else(|| Failure::Damaged { detail: "a chunk has another length than the tree says".into() })
    }
}

/// A file that several chunks, or an older version of itself, are put together to.
pub(super) struct SharedFile<'s> {
    pub(super) entry: Entry<'s>,
    file: Mutex<Option<Arc<File>>>,
    /// Places still to come, and one for the planner while it goes on adding.
    pending: AtomicUsize,
    has_holes: AtomicBool,
    is_changed: AtomicBool,
    has_failed: AtomicBool,
    written_bytes: AtomicU64,
}

impl<'s> SharedFile<'s> {
    pub(super) fn new(entry: Entry<'s>, in_place: Option<File>) -> Self {
        Self {
            entry,
            file: Mutex::new(in_place.map(Arc::new)),
            pending: AtomicUsize::new(1),
            has_holes: AtomicBool::new(false),
            is_changed: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            written_bytes: AtomicU64::new(0),
        }
    }

    /// Bytes that were there before.
    pub(super) fn old_bytes(&self) -> u64 {
        if let Way::InPlace { size_bytes } = self.entry.way { size_bytes } else { 0 }
    }

    pub(super) fn add_pending(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// The first failure is the one that is reported.
    pub(super) fn fail(&self, restore: &Restore<'_>, failure: Failure) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            restore.settle_failure(&self.entry.item.key, failure);
            restore.report.set_absent(self.entry.number);
        }
    }

    /// The open file; made by whoever comes first.
    fn file(&self) -> Result<Arc<File>, Failure> {
        let mut file = self.file.lock();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let created = Arc::new(self.entry.create()?);
        *file = Some(created.clone());
        Ok(created)
    }

    /// Whether what is there proves to be what belongs there, without the chunk.
    pub(super) fn is_in_place(&self, keys: &Keys, id: &ChunkId, place: &Place, buffer: &mut Vec<u8>) -> bool {
        let Ok(file) = self.file() else { return false };
        buffer.resize(place.len as usize, 0);
        if file.read_exact_at(buffer, place.file_offset).is_err() {
            return false;
        }
        match (place.part, &self.entry.item.kind) {
            (Part::Whole, _) => keys.name(RecordKind::Data, buffer) == *id,
            (Part::From { .. }, ItemKind::File { size_bytes, hash: Some(hash), .. }) => {
                *size_bytes == u64::from(place.len) && keys.content_hash(buffer) == *hash
            }
            (Part::From { .. }, _) => false,
        }
    }

    /// Puts the bytes of a chunk in their place.
    pub(super) fn write(&self, restore: &Restore<'_>, place: &Place, plain: &[u8], buffer: &mut Vec<u8>) {
        if !self.has_failed() {
            match self.try_write(place, plain, buffer) {
                Ok(written) => {
                    self.written_bytes.fetch_add(written, Ordering::Relaxed);
                    restore.report.written(written);
                }
                Err(failure) => self.fail(restore, failure),
            }
        }
        self.done(restore, place.len.into());
    }

    fn try_write(&self, place: &Place, plain: &[u8], buffer: &mut Vec<u8>) -> Result<u64, Failure> {
        let bytes = place.of_chunk(plain)?;
        let file = self.file()?;
        if !place.is_over_old {
            write_at(&file, bytes, place.file_offset)?;
            return Ok(bytes.len() as u64);
        }
        buffer.resize(bytes.len(), 0);
        read_at(&file, buffer, place.file_offset)?;
        let mut written = 0;
        for run in differing_runs(buffer, bytes) {
            write_at(&file, &bytes[run.clone()], place.file_offset + run.start as u64)?;
            written += run.len() as u64;
        }
        Ok(written)
    }

    /// A hole: nothing to write in a new file. In an old one what is there goes.
    pub(super) fn add_hole(&self, offset: u64, len: u64) -> Result<(), Failure> {
        self.has_holes.store(true, Ordering::Relaxed);
        let end = (offset + len).min(self.old_bytes());
        if offset >= end {
            return Ok(());
        }
        let file = self.file()?;
        match rustix::fs::seek(&*file, SeekFrom::Data(offset)) {
            Ok(data) if data < end => {}
            Ok(_) | Err(Errno::NXIO) => return Ok(()),
            Err(_) => {}
        }
        self.is_changed.store(true, Ordering::Relaxed);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&*file, flags, offset, end - offset) {
            Err(Errno::OPNOTSUPP) => write_zeros(&file, offset, end),
            result => result.map_err(Failure::system("punch a hole into it")),
        }
    }

    /// One place less to wait for. Whoever was waited for last finishes the file.
    pub(super) fn done(&self, restore: &Restore<'_>, bytes: u64) {
        Progress::add(&restore.progress.bytes_done, bytes);
        if self.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let file = self.file.lock().take();
        if self.has_failed() {
            // What was not there before is not left half done. What was is kept, with what was written into it.
            if file.is_some() {
                self.entry.discard_if_new();
            }
            return;
        }
        match self.finish(restore, file) {
            Ok(action) => restore.settle(&self.entry, action),
            Err(failure) => self.fail(restore, failure),
        }
    }

    fn finish(&self, restore: &Restore<'_>, file: Option<Arc<File>>) -> Result<Action, Failure> {
        let file = match file {
            Some(file) => file,
            // All of it is a hole.
            None => Arc::new(self.entry.create()?),
        };
        let size = self.entry.size_bytes();
        let is_in_place = matches!(self.entry.way, Way::InPlace { .. });
        if self.has_holes.load(Ordering::Relaxed) || (is_in_place && size != self.old_bytes()) {
            let sized = rustix::fs::ftruncate(&*file, size);
            sized.inspect_err(|_| self.entry.discard_if_new()).map_err(Failure::system("set its length"))?;
        }
        let has_new_metadata = restore.set_metadata(file.as_fd(), &self.entry.item, self.entry.before())?;
        let is_updated = has_new_metadata
            || self.written_bytes.load(Ordering::Relaxed) > 0
            || self.is_changed.load(Ordering::Relaxed)
            || size != self.old_bytes();
        Ok(match self.entry.way {
            Way::Create => Action::Create,
            _ if is_updated => Action::Update,
            _ => Action::Keep,
        })
    }
}

pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> Result<(), Failure> {
    let written = file.write_all_at(bytes, offset);
    written.map_err(|error| Failure::system("write it")(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
    let read = file.read_exact_at(buffer, offset);
    read.map_err(|error| Failure::system("read what is there")(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

fn write_zeros(file: &File, start: u64, end: u64) -> Result<(), Failure> {
    let zeros = [0; BLOCK_BYTES];
    let mut at = start;
    while at < end {
        let len = (end - at).min(zeros.len() as u64);
        write_at(file, &zeros[..len as usize], at)?;
        at += len;
    }
    Ok(())
}

/// The runs of whole blocks in which two buffers of one length differ.
fn differing_runs(old: &[u8], new: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, (a, b)) in old.chunks(BLOCK_BYTES).zip(new.chunks(BLOCK_BYTES)).enumerate() {
        if a == b {
            continue;
        }
        let start = index * BLOCK_BYTES;
        let end = start + b.len();
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}
