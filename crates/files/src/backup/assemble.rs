//! Puts a run together: merges walk and parents, hands out jobs, and builds the tree from what comes back, in order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use backstay_format::compress::Hint;
use backstay_format::log::{LedgerEntry, SnapshotRecord, Summary, TreeRef};
use backstay_format::tree::{Item, ItemKind, LeafRef, TreeBuilder, display_key};
use backstay_repo::{ChunkWriter, Progress, new_snapshot_id};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::parents::{Known, Parents, Run};
use super::work::{Job, Message, Outcome, SMALL_FILE_BYTES_MAX, Shared, Task, entry};
use super::{Draft, finish_summary, interrupted};
use crate::error::FilesError;
use crate::walk::{Batch, Kind, Stat, Step, Walk, item, reason};

/// Entries under way at once: some 20 MiB of items and paths.
const WINDOW_ENTRIES_MAX: usize = 64 << 10;
/// A bundle ends behind a file once it has so many bytes and the file's name says so, or when it has the most.
const BUNDLE_BYTES_MIN: u64 = 256 << 10;
const BUNDLE_BYTES_TARGET: u64 = 512 << 10;
const BUNDLE_BYTES_MAX: u64 = (1 << 20) - SMALL_FILE_BYTES_MAX;
/// Entries of a batch at most, and where none of them has contents.
const BATCH_ENTRIES_MAX: usize = 4096;
const BATCH_EMPTY_ENTRIES_MAX: usize = 512;

/// A place in the order of keys.
enum Slot {
    /// So many outcomes of a job.
    Job {
        number: u64,
        count: usize,
    },
    Run(Run),
    Ledger(LedgerEntry),
    Item(Box<Item>),
}

/// Small files and entries without contents that wait for more of their kind.
struct OpenBatch {
    number: u64,
    tasks: Vec<Task>,
    bytes: u64,
}

/// The finished tree of a run.
pub(super) struct Assembled {
    pub(super) tree: TreeRef,
    pub(super) summary: Summary,
    pub(super) ledger: Vec<LedgerEntry>,
}

pub(super) struct Assembler<'a, 'r> {
    draft: &'a Draft<'a>,
    shared: &'a Shared<'r>,
    parents: Parents<'a>,
    jobs: &'a Sender<Job>,
    results: &'a Receiver<Message>,
    writer: ChunkWriter<'a>,
    builder: TreeBuilder<'a>,
    slots: VecDeque<Slot>,
    /// Entries in `slots`.
    waiting_entries: usize,
    outcomes: HashMap<u64, std::vec::IntoIter<Outcome>>,
    next_job: u64,
    batch: Option<OpenBatch>,
    /// The first names of files with several names, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// First names that could not be captured.
    lost_links: HashSet<Vec<u8>>,
    summary: Summary,
    ledger: Vec<LedgerEntry>,
    next_save: Instant,
}

impl<'a, 'r> Assembler<'a, 'r> {
    pub(super) fn new(
        draft: &'a Draft<'a>,
        shared: &'a Shared<'r>,
        parents: impl IntoIterator<Item = SnapshotRecord>,
        jobs: &'a Sender<Job>,
        results: &'a Receiver<Message>,
    ) -> Result<Self, FilesError> {
        let repository = draft.repository;
        let parents = Parents::new(repository.reader()?, parents);
        for parent in parents.snapshots() {
            shared.writer.reuse_tree_of(parent);
        }
        if let Some(incomplete) = draft.incomplete {
            shared.writer.supersede(incomplete);
        }
        Ok(Self {
            draft,
            shared,
            parents,
            jobs,
            results,
            writer: shared.writer.chunk_writer()?,
            builder: TreeBuilder::new(repository.keys(), repository.config().trees.files),
            slots: VecDeque::new(),
            waiting_entries: 0,
            outcomes: HashMap::new(),
            next_job: 0,
            batch: None,
            links: HashMap::new(),
            lost_links: HashSet::new(),
            summary: Summary::default(),
            ledger: Vec::new(),
            next_save: Instant::now() + draft.options.save_interval,
        })
    }

    pub(super) fn run(mut self, walk: Walk) -> Result<Assembled, FilesError> {
        for step in walk {
            match step {
                Step::Entries(batch) => self.entries(&batch)?,
                Step::Unreadable { key, error } => {
                    self.end_run();
                    Progress::add(&self.shared.progress.problems, 1);
                    self.push(Slot::Ledger(entry(&key, reason(error), &error.to_string(), true)), 1);
                }
            }
            while let Ok(message) = self.results.try_recv() {
                self.receive(message)?;
            }
            self.settle()?;
            while self.waiting_entries > WINDOW_ENTRIES_MAX {
                self.send_batch()?;
                self.wait()?;
            }
            if self.shared.progress.is_cancelled() {
                return self.cancel();
            }
            if Instant::now() >= self.next_save {
                self.save()?;
            }
        }
        self.shared.progress.totals_known.store(true, Ordering::Relaxed);
        self.end_run();
        self.send_batch()?;
        self.settle()?;
        while !self.slots.is_empty() {
            self.wait()?;
            if self.shared.progress.is_cancelled() {
                return self.cancel();
            }
            if Instant::now() >= self.next_save {
                self.save()?;
            }
        }
        let tree = if self.draft.options.dry_run {
            TreeRef { root: backstay_format::ids::ChunkId::new([0; 32]), level: 0, items: self.builder.items() }
        } else {
            let writer = &mut self.writer;
            self.builder.finish(&mut |kind, plain| writer.put(kind, plain, Hint::Plain))?
        };
        Ok(Assembled { tree, summary: self.summary, ledger: self.ledger })
    }

    fn entries(&mut self, batch: &Batch) -> Result<(), FilesError> {
        let directory = batch.directory();
        self.shared.progress.set_current(|current| {
            current.push('/');
            current.push_str(&display_key(directory.key()));
        });
        for found in batch.entries() {
            let stat = match found.stat {
                Ok(stat) => stat,
                Err(error) => {
                    self.end_run();
                    let key = directory.key_of(found.name);
                    Progress::add(&self.shared.progress.problems, 1);
                    self.push(Slot::Ledger(entry(&key, reason(error), &error.to_string(), true)), 1);
                    continue;
                }
            };
            self.count(stat);
            if stat.kind == Kind::File && stat.links > 1 {
                let key = directory.key_of(found.name);
                if let Some(first) = self.links.get(&(stat.device, stat.inode)) {
                    let kind = ItemKind::HardLink { target: first.clone() };
                    let link = item(key, stat, kind, Vec::new(), &self.shared.owners);
                    self.end_run();
                    self.push(Slot::Item(Box::new(link)), 1);
                    continue;
                }
                self.links.insert((stat.device, stat.inode), key);
            }
            let slots = &mut self.slots;
            let waiting = &mut self.waiting_entries;
            let mut emit = |run: Run| {
                *waiting += run.len();
                slots.push_back(Slot::Run(run));
            };
            let reread = self.draft.options.rehash && stat.kind == Kind::File;
            let known = self.parents.look_up(directory.key(), found.name, stat, reread, &mut emit)?;
            match known {
                Known::Unchanged => {
                    self.summary.unchanged += 1;
                    Progress::add(&self.shared.progress.items_done, 1);
                    Progress::add(
                        &self.shared.progress.bytes_done,
                        stat.size_bytes * u64::from(stat.kind == Kind::File),
                    );
                    continue;
                }
                Known::Changed(_) => self.summary.changed += 1,
                Known::New => self.summary.added += 1,
            }
            let known = match known {
                Known::Changed(item) => Some(item),
                _ => None,
            };
            if self.draft.options.dry_run {
                self.summary.read_bytes += if stat.kind == Kind::File { stat.size_bytes } else { 0 };
                continue;
            }
            self.add_task(Task { directory: directory.clone(), name: found.name.to_vec(), stat: *stat, known })?;
        }
        Ok(())
    }

    fn count(&mut self, stat: &Stat) {
        let progress = self.shared.progress;
        Progress::add(&progress.items_total, 1);
        Progress::add(&progress.bytes_total, if stat.kind == Kind::File { stat.size_bytes } else { 0 });
        match stat.kind {
            Kind::Directory => self.summary.directories += 1,
            Kind::File => {
                self.summary.files += 1;
                self.summary.size_bytes += stat.size_bytes;
            }
            _ => self.summary.others += 1,
        }
    }

    /// Small files and entries without contents gather until their bundle is full; larger files are jobs of their own.
    fn add_task(&mut self, task: Task) -> Result<(), FilesError> {
        let bytes = if task.stat.kind == Kind::File { task.stat.size_bytes } else { 0 };
        if bytes > SMALL_FILE_BYTES_MAX {
            let number = self.next_number();
            self.push(Slot::Job { number, count: 1 }, 1);
            return self.send(Job::Batch { number, tasks: vec![task] });
        }
        let ends = {
            let next_job = &mut self.next_job;
            let batch = self.batch.get_or_insert_with(|| {
                *next_job += 1;
                OpenBatch { number: *next_job - 1, tasks: Vec::new(), bytes: 0 }
            });
            match self.slots.back_mut() {
                Some(Slot::Job { number, count }) if *number == batch.number => *count += 1,
                _ => self.slots.push_back(Slot::Job { number: batch.number, count: 1 }),
            }
            self.waiting_entries += 1;
            batch.bytes += bytes;
            let (total, count) = (batch.bytes, batch.tasks.len() + 1);
            let ends = total >= BUNDLE_BYTES_MAX
                || count >= if total == 0 { BATCH_EMPTY_ENTRIES_MAX } else { BATCH_ENTRIES_MAX }
                || total >= BUNDLE_BYTES_MIN && bytes > 0 && ends_bundle(&self.writer, &task.name, bytes);
            batch.tasks.push(task);
            ends
        };
        if ends { self.send_batch() } else { Ok(()) }
    }

    fn next_number(&mut self) -> u64 {
        self.next_job += 1;
        self.next_job - 1
    }

    fn send_batch(&mut self) -> Result<(), FilesError> {
        match self.batch.take() {
            Some(batch) => self.send(Job::Batch { number: batch.number, tasks: batch.tasks }),
            None => Ok(()),
        }
    }

    /// All workers are gone only when one has failed.
    fn send(&self, job: Job) -> Result<(), FilesError> {
        self.jobs.send(job).or_else(|_| interrupted())
    }

    fn push(&mut self, slot: Slot, entries: usize) {
        self.slots.push_back(slot);
        self.waiting_entries += entries;
    }

    fn end_run(&mut self) {
        let (slots, waiting) = (&mut self.slots, &mut self.waiting_entries);
        self.parents.end_run(&mut |run| {
            *waiting += run.len();
            slots.push_back(Slot::Run(run));
        });
    }

    /// Waits for a worker, but not so long that an interruption or a saving would have to wait too.
    fn wait(&mut self) -> Result<(), FilesError> {
        match self.results.recv_timeout(Duration::from_millis(200)) {
            Ok(message) => self.receive(message)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return interrupted(),
        }
        self.settle()
    }

    fn receive(&mut self, message: Message) -> Result<(), FilesError> {
        match message {
            Message::Done { number, outcomes } => {
                let new_bytes = self.shared.writer.statistics().new_bytes;
                self.shared.progress.new_bytes.store(new_bytes, Ordering::Relaxed);
                self.outcomes.insert(number, outcomes.into_iter());
                Ok(())
            }
            // The error itself is told by whoever started the run.
            Message::Failed => interrupted(),
        }
    }

    /// Moves everything that is ready, in order, into the tree.
    fn settle(&mut self) -> Result<(), FilesError> {
        while let Some(slot) = self.slots.front_mut() {
            if let Slot::Job { number, count } = slot {
                let Some(outcomes) = self.outcomes.get_mut(number) else { return Ok(()) };
                let outcome = outcomes.next().expect("a job has an outcome for each of its tasks");
                if outcomes.len() == 0 {
                    self.outcomes.remove(number);
                }
                *count -= 1;
                if *count == 0 {
                    self.slots.pop_front();
                }
                self.waiting_entries -= 1;
                self.place(outcome)?;
                continue;
            }
            match self.slots.pop_front() {
                Some(Slot::Run(run)) => {
                    self.waiting_entries -= run.len();
                    self.place_run(run)?;
                }
                Some(Slot::Ledger(entry)) => {
                    self.waiting_entries -= 1;
                    self.ledger.push(entry);
                }
                Some(Slot::Item(item)) => {
                    self.waiting_entries -= 1;
                    self.place_link(*item)?;
                }
                Some(Slot::Job { .. }) | None => return Ok(()),
            }
        }
        Ok(())
    }

    fn place(&mut self, outcome: Outcome) -> Result<(), FilesError> {
        Progress::add(&self.shared.progress.items_done, 1);
        self.summary.read_bytes += outcome.read_bytes;
        if outcome.is_same {
            self.summary.changed -= 1;
            self.summary.unchanged += 1;
        }
        self.ledger.extend(outcome.ledger);
        match outcome.captured {
            Ok(item) => self.add_item(&item),
            Err(key) => {
                self.lost_links.insert(key);
                Ok(())
            }
        }
    }

    /// A further name of a file is worth nothing where the file itself was not captured.
    fn place_link(&mut self, item: Item) -> Result<(), FilesError> {
        Progress::add(&self.shared.progress.items_done, 1);
        if let ItemKind::HardLink { target } = &item.kind
            && self.lost_links.contains(target)
        {
            let detail = format!("it is another name of /{}, which could not be read", display_key(target));
            self.ledger.push(entry(&item.key, "unreadable", &detail, true));
            return Ok(());
        }
        self.add_item(&item)
    }

    fn place_run(&mut self, run: Run) -> Result<(), FilesError> {
        let items = match run {
            Run::Leaf(leaf) if self.builder.is_at_leaf_start() && !self.draft.options.dry_run => {
                let (Some(first), Some(last)) = (leaf.items.first(), leaf.items.last()) else { return Ok(()) };
                let taken = LeafRef { first_key: first.key.clone(), id: leaf.id, items: leaf.items.len() as u64 };
                let writer = &mut self.writer;
                self.builder.push_leaf(taken, &last.key, &mut |kind, plain| writer.put(kind, plain, Hint::Plain))?;
                return Ok(());
            }
            Run::Leaf(leaf) => leaf.items,
            Run::Items(items) => items,
        };
        items.iter().try_for_each(|item| self.add_item(item))
    }

    fn add_item(&mut self, item: &Item) -> Result<(), FilesError> {
        if self.draft.options.dry_run {
            return Ok(());
        }
        let writer = &mut self.writer;
        Ok(self.builder.push(item, &mut |kind, plain| writer.put(kind, plain, Hint::Plain))?)
    }

    /// Saves what is in the tree so far as an incomplete snapshot.
    fn save(&mut self) -> Result<(), FilesError> {
        self.next_save = Instant::now() + self.draft.options.save_interval;
        if self.draft.options.dry_run || self.shared.writer.statistics().new_records == 0 {
            return Ok(());
        }
        let writer = &mut self.writer;
        let tree = self.builder.clone().finish(&mut |kind, plain| writer.put(kind, plain, Hint::Plain))?;
        let ledger = self.shared.writer.write_ledger(&self.ledger)?;
        let mut summary = self.summary.clone();
        finish_summary(&mut summary, self.draft.repository, self.draft.started);
        let record = self.draft.record(new_snapshot_id()?, tree, summary, ledger);
        self.shared.writer.save(record)?;
        Ok(())
    }

    fn cancel(mut self) -> Result<Assembled, FilesError> {
        self.shared.stop();
        self.save()?;
        interrupted()
    }
}

/// Depends on the file's name and size alone: the same files make the same bundles, wherever their directory lies.
fn ends_bundle(writer: &ChunkWriter<'_>, name: &[u8], bytes: u64) -> bool {
    let hash = writer.content_hash(name);
    let hash = u64::from_le_bytes(hash[..8].try_into().expect("eight of sixteen bytes"));
    let scaled = (u128::from(hash) * u128::from(BUNDLE_BYTES_TARGET - BUNDLE_BYTES_MIN)) >> 64;
    scaled < u128::from(bytes)
}
