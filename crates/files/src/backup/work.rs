//! What workers do: read entries, bundle small files, read large files together.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_format::chunker::Chunker;
use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::log::{Extra, LedgerEntry};
use backstay_format::tree::{Content, Extent, Item, ItemKind, Time, Xattr, display_key};
use backstay_repo::{ChunkWriter, Progress, RepoError, Writer};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::large::{Finished, Input, LargeFile, Step};
use crate::walk::{Directory, Kind, Owners, Stat, XattrReader, item, reason};

/// Files up to this size are bundled with their neighbours.
pub(super) const SMALL_FILE_BYTES_MAX: u64 = 128 << 10;
/// Files that several workers share; smaller ones are read by one.
const SHARED_FILE_BYTES_MIN: u64 = 8 << 20;
/// Small files remembered within a run, to store equal ones once: some 80 bytes each.
const SEEN_FILES_MAX: usize = 256 << 10;

/// One entry that must be read.
pub(super) struct Task {
    pub(super) directory: Arc<Directory>,
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// Its version in the parent, for comparing contents.
    pub(super) known: Option<Box<Item>>,
}

/// Tasks that one worker does in one go: their small files make one bundle.
pub(super) enum Job {
    Batch {
        number: u64,
        tasks: Vec<Task>,
    },
    /// Something to help with: look at the shared files.
    Help,
    /// Nothing will come any more, and no file is shared.
    End,
}

/// What became of a task.
pub(super) struct Outcome {
    /// The key alone, where the entry could not be captured.
    pub(super) captured: Result<Item, Vec<u8>>,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) read_bytes: u64,
    /// Read again for its times, and found to be as the parent has it.
    pub(super) is_same: bool,
}

impl Outcome {
    fn captured(item: Item, ledger: Vec<LedgerEntry>, read_bytes: u64) -> Self {
        Self { captured: Ok(item), ledger, read_bytes, is_same: false }
    }

    fn lost(key: Vec<u8>, ledger: Vec<LedgerEntry>) -> Self {
        Self { captured: Err(key), ledger, read_bytes: 0, is_same: false }
    }

    fn compared_with(mut self, known: Option<&Item>) -> Self {
        self.is_same = match (&self.captured, known) {
            (Ok(item), Some(known)) => is_same(item, known),
            _ => false,
        };
        self
    }
}

/// Whether nothing but the doubt about its times differs.
fn is_same(item: &Item, known: &Item) -> bool {
    let (
        ItemKind::File { size_bytes, content, hash, .. },
        ItemKind::File { size_bytes: size, content: was, hash: named, .. },
    ) = (&item.kind, &known.kind)
    else {
        return item == known;
    };
    (size_bytes, content, hash) == (size, was, named) && Item { kind: known.kind.clone(), ..item.clone() } == *known
}

/// What workers tell.
pub(super) enum Message {
    Done {
        number: u64,
        outcomes: Vec<Outcome>,
    },
    /// A worker has failed; the error is in `Shared`.
    Failed,
}

/// Everything that the workers of a run share.
pub(super) struct Shared<'r> {
    pub(super) writer: &'r Writer<'r>,
    pub(super) chunker: Chunker,
    pub(super) owners: Owners,
    pub(super) progress: &'r Progress,
    /// Entries changed at or after this moment are racy.
    pub(super) racy_from: Time,
    pub(super) threads: usize,
    shared_files: Mutex<Vec<Arc<SharedFile>>>,
    seen: Mutex<HashMap<[u8; 16], Extent>>,
    stop: AtomicBool,
    error: Mutex<Option<RepoError>>,
}

struct SharedFile {
    number: u64,
    task: Task,
    xattrs: Mutex<(Vec<Xattr>, Vec<LedgerEntry>)>,
    file: LargeFile,
}

impl<'r> Shared<'r> {
    pub(super) fn new(
        writer: &'r Writer<'r>,
        chunker: Chunker,
        owners: Owners,
        progress: &'r Progress,
        racy_from: Time,
        threads: usize,
    ) -> Self {
        Self {
            writer,
            chunker,
            owners,
            progress,
            racy_from,
            threads,
            shared_files: Mutex::default(),
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
            error: Mutex::new(None),
        }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Remembers the first error and stops everybody.
    fn fail(&self, error: RepoError) {
        self.error.lock().get_or_insert(error);
        self.stop();
    }

    pub(super) fn take_error(&self) -> Option<RepoError> {
        self.error.lock().take()
    }

    pub(super) fn is_racy(&self, stat: &Stat) -> bool {
        stat.modified.max(stat.changed) >= self.racy_from
    }
}

/// A worker's life: jobs until there are no more, large files first.
pub(super) fn work(shared: &Shared<'_>, jobs: &Receiver<Job>, wake: &Sender<Job>, done: &Sender<Message>) {
    let result = Worker::new(shared, wake, done).and_then(|mut worker| worker.run(jobs));
    if let Err(error) = result {
        shared.fail(error);
        let _ = done.send(Message::Failed);
    }
}

struct Worker<'s, 'r> {
    shared: &'s Shared<'r>,
    writer: ChunkWriter<'s>,
    xattrs: XattrReader,
    wake: &'s Sender<Job>,
    done: &'s Sender<Message>,
    /// The bundle that is being filled, or the chunk at hand.
    buffer: Vec<u8>,
}

impl<'s, 'r> Worker<'s, 'r> {
    fn new(shared: &'s Shared<'r>, wake: &'s Sender<Job>, done: &'s Sender<Message>) -> Result<Self, RepoError> {
        Ok(Self {
            shared,
            writer: shared.writer.chunk_writer()?,
            xattrs: XattrReader::new(),
            wake,
            done,
            buffer: Vec::new(),
        })
    }

    fn run(&mut self, jobs: &Receiver<Job>) -> Result<(), RepoError> {
        loop {
            while let Some(file) = self.next_shared_file() {
                if self.shared.is_stopped() {
                    return Ok(());
                }
                self.help(&file)?;
            }
            let job = jobs.recv();
            if self.shared.is_stopped() {
                return Ok(());
            }
            match job {
                Ok(Job::Batch { number, tasks }) => self.batch(number, tasks)?,
                Ok(Job::Help) => {}
                Ok(Job::End) | Err(_) => return Ok(()),
            }
        }
    }

    fn next_shared_file(&self) -> Option<Arc<SharedFile>> {
        self.shared.shared_files.lock().first().cloned()
    }

    fn help(&mut self, file: &Arc<SharedFile>) -> Result<(), RepoError> {
        match file.file.step(&self.shared.chunker, &mut self.writer, &mut self.buffer, self.shared.progress)? {
            Step::More => {}
            Step::Exhausted => self.unshare(file),
            Step::Finished(finished) => {
                self.unshare(file);
                let (xattrs, ledger) = std::mem::take(&mut *file.xattrs.lock());
                let outcome = self.large_outcome(&file.task, finished, file.file.stat(), xattrs, ledger);
                self.finish(file.number, vec![outcome]);
            }
        }
        Ok(())
    }

    fn unshare(&self, file: &Arc<SharedFile>) {
        self.shared.shared_files.lock().retain(|shared| !Arc::ptr_eq(shared, file));
    }

    /// The receiver is gone only when the run has failed.
    fn finish(&self, number: u64, outcomes: Vec<Outcome>) {
        let _ = self.done.send(Message::Done { number, outcomes });
    }

    fn batch(&mut self, number: u64, tasks: Vec<Task>) -> Result<(), RepoError> {
        if let [task] = &tasks[..]
            && task.stat.kind == Kind::File
            && task.stat.size_bytes > SMALL_FILE_BYTES_MAX
        {
            let task = tasks.into_iter().next().expect("there is one");
            return self.large(number, task);
        }
        let mut outcomes = Vec::with_capacity(tasks.len());
        let mut bundled = Vec::new();
        self.buffer.clear();
        for task in &tasks {
            let outcome = match task.stat.kind {
                Kind::File if task.stat.size_bytes > 0 => {
                    let (outcome, place) = self.small(task);
                    if let Some(place) = place {
                        bundled.push((outcomes.len(), place));
                    }
                    outcome
                }
                _ => self.without_contents(task),
            };
            outcomes.push(outcome);
        }
        self.store_bundle(&mut outcomes, bundled)?;
        let compare = |(outcome, task): (Outcome, &Task)| outcome.compared_with(task.known.as_deref());
        let outcomes = outcomes.into_iter().zip(&tasks).map(compare).collect();
        self.finish(number, outcomes);
        Ok(())
    }

    /// Reads a small file to the end of the bundle. Where it lies there is known once the bundle is stored.
    fn small(&mut self, task: &Task) -> (Outcome, Option<Place>) {
        let start = self.buffer.len();
        let read = match self.read_small(task) {
            Ok(read) => read,
            Err(error) => {
                self.buffer.truncate(start);
                return (self.failed(task, reason(error), &error.to_string()), None);
            }
        };
        let (xattrs, mut ledger) = self.read_xattrs(task);
        let bytes = &self.buffer[start..];
        let len = bytes.len() as u32;
        Progress::add(&self.shared.progress.bytes_done, len.into());
        let stable = read.is_unchanged(&task.stat);
        if !stable {
            ledger.push(entry(&task.key(), "changed-while-read", "", true));
        }
        let hash = self.writer.content_hash(bytes);
        let racy = !stable || self.shared.is_racy(&read);
        let mut content = Content::EMPTY;
        let mut place = None;
        if len > 0 {
            let stored = known_content(task, &hash, len)
                .or_else(|| self.shared.seen.lock().get(&hash).map(|extent| Content::Extents(vec![*extent])));
            match stored {
                Some(stored) => {
                    self.buffer.truncate(start);
                    content = stored;
                }
                None => place = Some(Place { offset: start as u32, len, hash }),
            }
        }
        let kind = ItemKind::File { size_bytes: len.into(), content, hash: (len > 0).then_some(hash), racy };
        let item = item(task.key(), &task.stat, kind, xattrs, &self.shared.owners);
        (Outcome::captured(item, ledger, len.into()), place)
    }

    fn read_small(&mut self, task: &Task) -> Result<Stat, Errno> {
        let (file, opened) = task.directory.open_file(&task.name)?;
        if opened.kind != Kind::File {
            return Err(Errno::NXIO);
        }
        // No more than it had when it was opened: a bundle must not grow with a file that grows.
        let size = opened.size_bytes.min(SMALL_FILE_BYTES_MAX);
        self.buffer.reserve(size as usize);
        (&file).take(size).read_to_end(&mut self.buffer).map_err(|error| errno(&error))?;
        Stat::of(&file)
    }

    /// Stores the bundle and tells each of its files where it lies.
    fn store_bundle(&mut self, outcomes: &mut [Outcome], bundled: Vec<(usize, Place)>) -> Result<(), RepoError> {
        if bundled.is_empty() {
            return Ok(());
        }
        let id = self.writer.put(RecordKind::Data, &self.buffer, Hint::Plain)?;
        let mut seen = self.shared.seen.lock();
        if seen.len() + bundled.len() > SEEN_FILES_MAX {
            seen.clear();
        }
        for (index, Place { offset, len, hash }) in bundled {
            let extent = if len as usize == self.buffer.len() {
                Extent::Chunk { id, len }
            } else {
                Extent::Part { id, offset, len }
            };
            seen.insert(hash, extent);
            if let Ok(Item { kind: ItemKind::File { content, .. }, .. }) = &mut outcomes[index].captured {
                *content = Content::Extents(vec![extent]);
            }
        }
        Ok(())
    }

    /// Everything that has no contents: directories, links, special files, empty files.
    fn without_contents(&mut self, task: &Task) -> Outcome {
        let (xattrs, ledger) = self.read_xattrs(task);
        let (major, minor) = task.stat.device_numbers();
        let kind = match task.stat.kind {
            Kind::Directory => ItemKind::Directory,
            Kind::File => ItemKind::File {
                size_bytes: 0,
                content: Content::EMPTY,
                hash: None,
                racy: self.shared.is_racy(&task.stat),
            },
            Kind::Symlink => match task.directory.read_link(&task.name) {
                Ok(target) => ItemKind::Symlink { target },
                Err(error) => return self.failed(task, reason(error), &error.to_string()),
            },
            Kind::Fifo => ItemKind::Fifo,
            Kind::CharDevice => ItemKind::CharDevice { major, minor },
            Kind::BlockDevice => ItemKind::BlockDevice { major, minor },
            Kind::Socket | Kind::Other => {
                let reason = if task.stat.kind == Kind::Socket { "socket" } else { "unknown-type" };
                let ledger = vec![entry(&task.key(), reason, "", false)];
                return Outcome::lost(task.key(), ledger);
            }
        };
        let item = item(task.key(), &task.stat, kind, xattrs, &self.shared.owners);
        Outcome::captured(item, ledger, 0)
    }

    fn large(&mut self, number: u64, task: Task) -> Result<(), RepoError> {
        let (file, opened) = match task.directory.open_file(&task.name) {
            Ok((file, stat)) if stat.kind == Kind::File => (file, stat),
            Ok(_) => {
                let outcome = self.failed(&task, reason(Errno::NXIO), "it is no file any more");
                self.finish(number, vec![outcome]);
                return Ok(());
            }
            Err(error) => {
                let outcome = self.failed(&task, reason(error), &error.to_string());
                self.finish(number, vec![outcome]);
                return Ok(());
            }
        };
        let (xattrs, ledger) = self.read_xattrs(&task);
        let mut file = LargeFile::new(Input::of_file(file, &opened), &self.shared.chunker);
        if opened.size_bytes >= SHARED_FILE_BYTES_MIN {
            let file = Arc::new(SharedFile { number, task, xattrs: Mutex::new((xattrs, ledger)), file });
            self.shared.shared_files.lock().push(file);
            // Whoever waits for a job is woken; where the queue is full nobody waits.
            for _ in 0..self.shared.threads {
                let _ = self.wake.try_send(Job::Help);
            }
            return Ok(());
        }
        loop {
            if self.shared.is_stopped() {
                return Ok(());
            }
            let progress = self.shared.progress;
            match file.step_alone(&self.shared.chunker, &mut self.writer, progress)? {
                Step::More | Step::Exhausted => {}
                Step::Finished(finished) => {
                    let outcome = self.large_outcome(&task, finished, file.stat(), xattrs, ledger);
                    self.finish(number, vec![outcome]);
                    return Ok(());
                }
            }
        }
    }

    fn large_outcome(
        &self,
        task: &Task,
        finished: Finished,
        after: Option<Stat>,
        xattrs: Vec<Xattr>,
        mut ledger: Vec<LedgerEntry>,
    ) -> Outcome {
        if let Some(error) = finished.error {
            return self.failed(task, "unreadable", &error.to_string());
        }
        let stable = after.is_some_and(|after| after.is_unchanged(&task.stat));
        if !stable {
            ledger.push(entry(&task.key(), "changed-while-read", "", true));
        }
        let size_bytes = finished.content.length().unwrap_or(0);
        let racy = !stable || self.shared.is_racy(&task.stat);
        let kind = ItemKind::File { size_bytes, content: finished.content, hash: None, racy };
        let item = item(task.key(), &task.stat, kind, xattrs, &self.shared.owners);
        Outcome::captured(item, ledger, finished.read_bytes).compared_with(task.known.as_deref())
    }

    fn read_xattrs(&mut self, task: &Task) -> (Vec<Xattr>, Vec<LedgerEntry>) {
        let xattrs = self.xattrs.read(&task.directory, &task.name);
        let ledger = xattrs.failure.map(|failure| {
            let name = failure.name.map(|name| format!("{}: ", String::from_utf8_lossy(&name))).unwrap_or_default();
            entry(&task.key(), "xattr-unreadable", &format!("{name}{}", failure.error), false)
        });
        (xattrs.list, ledger.into_iter().collect())
    }

    fn failed(&self, task: &Task, reason: &str, detail: &str) -> Outcome {
        Progress::add(&self.shared.progress.problems, 1);
        let ledger = vec![entry(&task.key(), reason, detail, true)];
        Outcome::lost(task.key(), ledger)
    }
}

/// The contents as the parent has them, where they are still the same: a touched file costs nothing.
fn known_content(task: &Task, hash: &[u8; 16], len: u32) -> Option<Content> {
    match &task.known.as_ref()?.kind {
        ItemKind::File { size_bytes, content, hash: Some(known), .. }
            if known == hash && *size_bytes == u64::from(len) =>
        {
            Some(content.clone())
        }
        _ => None,
    }
}

/// Where a small file lies in the bundle at hand.
struct Place {
    offset: u32,
    len: u32,
    hash: [u8; 16],
}

impl Task {
    pub(super) fn key(&self) -> Vec<u8> {
        self.directory.key_of(&self.name)
    }
}

impl Stat {
    /// Same file, same size, same times: nothing was written between the two.
    fn is_unchanged(&self, before: &Self) -> bool {
        (self.inode, self.size_bytes, self.modified, self.changed)
            == (before.inode, before.size_bytes, before.modified, before.changed)
    }
}

pub(super) fn entry(key: &[u8], reason: &str, detail: &str, failed: bool) -> LedgerEntry {
    LedgerEntry {
        path: format!("/{}", display_key(key)),
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        failed,
        extra: Extra::new(),
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
