//! The workers of a restore: they fetch spans of packs and put what is in them wherever it belongs.
//!
//! A small file that lies in one chunk is made, written, given its metadata and closed in one go by the thread that has the
//! chunk. Spans of several windows are under way at once, so that no core waits for the end of a window.

use std::sync::Arc;

use backstay_format::ids::ChunkId;
use backstay_format::tree::ItemKind;
use backstay_repo::{Progress, ReadSpan, Reader, RepoError};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use rustix::fs::{FileType, Mode};

use super::Restore;
use super::content::{Entry, Place, SharedFile, Way, write_at};
use super::metadata::Before;
use super::report::{Action, Failure, is_damage, shown, with_causes};
use super::verify::Check;
use crate::error::FilesError;

/// What a worker may hold: a span as it is stored and as the store hands it over, a chunk, a part of an old file.
pub(super) const THREAD_BYTES_MAX: usize = 40 << 20;

/// Something to do.
pub(super) enum Job<'s> {
    /// Items without contents.
    Plain(Vec<Entry<'s>>),
    /// Looks whether these are in place already; answers with those that are not.
    Compare {
        places: Vec<Wanted<'s>>,
        answer: Sender<Vec<Wanted<'s>>>,
    },
    Fetch {
        window: Arc<Window<'s>>,
        span: ReadSpan,
    },
    /// Compares what was restored with the snapshot.
    Verify(Vec<Check>),
}

/// A place in a file that is put together.
pub(super) struct Wanted<'s> {
    pub(super) id: ChunkId,
    pub(super) file: Arc<SharedFile<'s>>,
    pub(super) place: Place,
}

/// What some chunks are fetched for, sorted by chunk.
pub(super) struct Window<'s> {
    pub(super) places: Vec<(ChunkId, Destination<'s>)>,
}

pub(super) enum Destination<'s> {
    /// A file that lies in this chunk and nowhere else.
    Whole(Box<Entry<'s>>, Place),
    Part(Arc<SharedFile<'s>>, Place),
}

impl<'s> Window<'s> {
    pub(super) fn new(mut places: Vec<(ChunkId, Destination<'s>)>) -> Self {
        // Stable: the files of a chunk stay in their order, and so in their directories.
        places.sort_by_key(|(id, _)| *id);
        Self { places }
    }

    pub(super) fn ids(&self) -> Vec<ChunkId> {
        let mut ids: Vec<_> = self.places.iter().map(|(id, _)| *id).collect();
        ids.dedup();
        ids
    }

    fn of_chunk(&self, id: &ChunkId) -> impl Iterator<Item = &Destination<'s>> {
        let start = self.places.partition_point(|(other, _)| other < id);
        self.places[start..].iter().take_while(move |(other, _)| other == id).map(|(_, destination)| destination)
    }

    /// The chunk cannot be read: fails the files that need it.
    pub(super) fn lose(&self, restore: &Restore<'_>, id: &ChunkId, error: &RepoError) {
        let damage = || Failure::Damaged { detail: with_causes(error) };
        for destination in self.of_chunk(id) {
            match destination {
                Destination::Whole(entry, _) => restore.settle_entry_failure(entry, damage()),
                Destination::Part(file, place) => {
                    file.fail(restore, damage());
                    file.done(restore, place.len.into());
                }
            }
        }
    }
}

/// The way to the workers, bounded.
pub(super) struct Queue<'q, 's> {
    jobs: Sender<Job<'s>>,
    unfinished: &'q Unfinished,
}

impl<'s> Queue<'_, 's> {
    pub(super) fn send(&self, job: Job<'s>) {
        *self.unfinished.jobs.lock() += 1;
        // Refused only when all workers have panicked: then so does the scope that they are in.
        if self.jobs.send(job).is_err() {
            self.unfinished.finish_one();
        }
    }

    /// Waits until everything sent so far is done.
    pub(super) fn drain(&self) {
        let mut jobs = self.unfinished.jobs.lock();
        while *jobs > 0 {
            self.unfinished.changed.wait(&mut jobs);
        }
    }
}

/// Jobs that were sent and are not done.
#[derive(Default)]
struct Unfinished {
    jobs: Mutex<usize>,
    changed: Condvar,
}

impl Unfinished {
    fn finish_one(&self) {
        *self.jobs.lock() -= 1;
        self.changed.notify_all();
    }
}

/// Finishes a job even where its worker panics: nobody waits for it for ever.
struct FinishOnDrop<'q>(&'q Unfinished);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish_one();
    }
}

/// Runs `plan` with workers behind its queue, until all jobs are done.
pub(super) fn with_workers<'s>(
    restore: &'s Restore<'s>,
    plan: impl FnOnce(&Queue<'_, 's>) -> Result<(), FilesError>,
) -> Result<(), FilesError> {
    let threads = restore.threads();
    let unfinished = Unfinished::default();
    let (jobs, receiver) = bounded(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (receiver, unfinished) = (receiver.clone(), &unfinished);
            scope.spawn(move || work(restore, &receiver, unfinished));
        }
        drop(receiver);
        let queue = Queue { jobs, unfinished: &unfinished };
        if let Err(error) = plan(&queue) {
            restore.abort(error);
        }
    });
    restore.outcome()
}

/// A worker's life. What comes after the run was stopped is thrown away.
fn work<'s>(restore: &'s Restore<'s>, jobs: &Receiver<Job<'s>>, unfinished: &Unfinished) {
    let mut worker = match Worker::new(restore) {
        Ok(worker) => Some(worker),
        Err(error) => {
            restore.abort(error.into());
            None
        }
    };
    for job in jobs {
        // Dropped after the job, whose last holds on directories go with it.
        let _finish = FinishOnDrop(unfinished);
        if let Some(worker) = worker.as_mut().filter(|_| !restore.is_stopped())
            && let Err(error) = worker.perform(job)
        {
            restore.abort(error);
        }
    }
}

struct Worker<'s> {
    restore: &'s Restore<'s>,
    reader: Reader<'s>,
    buffer: Vec<u8>,
}

impl<'s> Worker<'s> {
    fn new(restore: &'s Restore<'s>) -> Result<Self, RepoError> {
        Ok(Self { restore, reader: restore.repository.reader()?, buffer: Vec::new() })
    }

    fn perform(&mut self, job: Job<'s>) -> Result<(), FilesError> {
        match job {
            Job::Plain(entries) => {
                for entry in &entries {
                    self.restore.settle_result(entry, self.restore.make(entry));
                }
                Ok(())
            }
            Job::Compare { places, answer } => {
                let _ = answer.send(self.compare(places));
                Ok(())
            }
            Job::Fetch { window, span } => self.fetch(&window, &span),
            Job::Verify(checks) => {
                checks.iter().try_for_each(|check| check.perform(self.restore, &mut self.reader, &mut self.buffer))
            }
        }
    }

    fn compare(&mut self, mut places: Vec<Wanted<'s>>) -> Vec<Wanted<'s>> {
        let keys = self.restore.repository.keys();
        places.retain(|wanted| {
            let is_in_place = wanted.file.is_in_place(keys, &wanted.id, &wanted.place, &mut self.buffer);
            if is_in_place {
                wanted.file.done(self.restore, wanted.place.len.into());
            }
            !is_in_place
        });
        places
    }

    fn fetch(&mut self, window: &Window<'s>, span: &ReadSpan) -> Result<(), FilesError> {
        let (restore, buffer) = (self.restore, &mut self.buffer);
        let mut delivered = 0;
        let read = self.reader.read_span(span, |id, plain| {
            delivered += 1;
            restore.deliver(window, &id, plain, buffer);
            Ok::<_, RepoError>(())
        });
        let Err(error) = read else { return Ok(()) };
        // One record that cannot be read fails the files that need it, and no others.
        let mut rest = span.ids().skip(delivered);
        let Some(lost) = rest.next().filter(|_| is_damage(&error)) else { return Err(error.into()) };
        window.lose(restore, &lost, &error);
        for id in rest {
            match self.reader.read(&id) {
                Ok(plain) => restore.deliver(window, &id, plain, buffer),
                Err(error) if is_damage(&error) => window.lose(restore, &id, &error),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Restore<'_> {
    /// Puts a chunk wherever it belongs.
    fn deliver(&self, window: &Window<'_>, id: &ChunkId, plain: &[u8], buffer: &mut Vec<u8>) {
        for destination in window.of_chunk(id) {
            if self.is_stopped() {
                return;
            }
            match destination {
                Destination::Whole(entry, place) => self.settle_result(entry, self.write_whole(entry, place, plain)),
                Destination::Part(file, place) => file.write(self, place, plain, buffer),
            }
        }
    }

    fn write_whole(&self, entry: &Entry<'_>, place: &Place, plain: &[u8]) -> Result<Action, Failure> {
        let bytes = place.of_chunk(plain)?;
        let file = entry.create()?;
        write_at(&file, bytes, 0).inspect_err(|_| entry.discard_if_new())?;
        self.report.written(bytes.len() as u64);
        Progress::add(&self.progress.bytes_done, bytes.len() as u64);
        self.set_metadata(&file, &entry.item, entry.before())?;
        Ok(entry.made())
    }

    /// Makes an item that has no contents, or only sets its metadata.
    fn make(&self, entry: &Entry<'_>) -> Result<Action, Failure> {
        let item = &entry.item;
        if entry.way == Way::Metadata {
            let changed = self.set_metadata_of(&entry.directory, entry.name(), item, Before::Unknown)?;
            Progress::add(&self.progress.bytes_done, entry.size_bytes());
            return Ok(if changed { Action::Update } else { Action::Keep });
        }
        if let ItemKind::File { .. } = item.kind {
            let file = entry.create()?;
            self.set_metadata(&file, item, entry.before())?;
            return Ok(entry.made());
        }
        entry.make_room()?;
        let directory = entry.directory.fd().map_err(Failure::system("open its directory"))?;
        let node = |kind, mode, (major, minor)| {
            rustix::fs::mknodat(&directory, entry.name(), kind, mode, rustix::fs::makedev(major, minor))
        };
        let mode = Mode::RUSR | Mode::WUSR;
        let made = match &item.kind {
            ItemKind::Symlink { target } => rustix::fs::symlinkat(&target[..], &directory, entry.name()),
            ItemKind::Fifo => node(FileType::Fifo, mode, (0, 0)),
            ItemKind::CharDevice { major, minor } => node(FileType::CharacterDevice, mode, (*major, *minor)),
            ItemKind::BlockDevice { major, minor } => node(FileType::BlockDevice, mode, (*major, *minor)),
            ItemKind::Directory | ItemKind::File { .. } | ItemKind::HardLink { .. } => {
                return Err(Failure::new("not-written", "it is no item that is made so"));
            }
        };
        made.map_err(Failure::system("create it"))?;
        self.set_metadata_of(&entry.directory, entry.name(), item, entry.before())?;
        Ok(entry.made())
    }

    pub(super) fn settle_result(&self, entry: &Entry<'_>, result: Result<Action, Failure>) {
        match result {
            Ok(action) => self.settle(entry, action),
            Err(failure) => self.settle_entry_failure(entry, failure),
        }
    }

    pub(super) fn settle(&self, entry: &Entry<'_>, action: Action) {
        self.settle_key(&entry.item.key, action);
    }

    pub(super) fn settle_key(&self, key: &[u8], action: Action) {
        self.report.count(action, 1);
        Progress::add(&self.progress.items_done, 1);
        self.progress.set_current(|current| current.push_str(&shown(key)));
    }

    pub(super) fn settle_entry_failure(&self, entry: &Entry<'_>, failure: Failure) {
        self.report.set_absent(entry.number);
        self.settle_failure(&entry.item.key, failure);
    }

    pub(super) fn settle_failure(&self, key: &[u8], failure: Failure) {
        Progress::add(&self.progress.items_done, 1);
        Progress::add(&self.progress.problems, 1);
        match failure {
            Failure::Item { reason, detail } => self.report.fail(key, reason, &detail),
            Failure::Damaged { detail } => self.report.fail_damaged(key, &detail),
            Failure::Full(source) => self.abort(FilesError::TargetFull { path: shown(key), source }),
            Failure::Run(error) => self.abort(error),
        }
    }
}
