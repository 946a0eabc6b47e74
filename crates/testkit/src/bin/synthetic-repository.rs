//! Makes a repository of any size with a long history, through the same writer as a backup.
//!
//! `synthetic-repository FOLDER KEY_FILE --chunks N --snapshots N --chunk-bytes N`: one file a chunk, a thousand files a directory.
//! From one snapshot to the next a 200th of the leaves change, in runs of eight neighbours, and in each a tenth of the files: what a day
//! does to a directory tree. What does not change is never looked at again, so that ten million chunks take minutes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is for people")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use backstay_format::compress::Hint;
use backstay_format::config::Secret;
use backstay_format::crypto::{Keys, RecordKind};
use backstay_format::ids::ChunkId;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Content, Extent, Item, ItemKind, LeafRef, Time, TreeBuilder};
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{ChunkWriter, Clock, OpenOptions, RepoError, Repository, Writer, timestamp_text};
use backstay_testkit::data::{noise, random};
use backstay_testkit::objects;
use jiff::{SignedDuration, Timestamp};

const USAGE: &str = "usage: synthetic-repository FOLDER KEY_FILE [--chunks N] [--snapshots N] [--chunk-bytes N]; 1,000 snapshots, 64 bytes a chunk";

const FILES_PER_DIRECTORY: u64 = 1000;
/// Of the leaves, from one snapshot to the next.
const LEAVES_PER_CHANGED_LEAF: usize = 200;
/// Changed leaves that lie beside each other: people work in a few directories at a time.
const RUN_LEAVES: usize = 8;
/// Of a changed leaf's files.
const FILES_PER_CHANGED_FILE: u64 = 10;
const WRITER_THREADS: u64 = 2;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

struct Plan {
    folder: PathBuf,
    key_file: PathBuf,
    chunks: u64,
    snapshots: u64,
    chunk_bytes: usize,
}

fn main() -> ExitCode {
    match plan().and_then(|plan| make(&plan)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(key_file)) = (arguments.next(), arguments.next()) else { return Err(USAGE.into()) };
    let mut plan =
        Plan { folder: folder.into(), key_file: key_file.into(), chunks: 1_000_000, snapshots: 1000, chunk_bytes: 64 };
    while let Some(option) = arguments.next() {
        let number: u64 = arguments.next().ok_or(USAGE)?.parse()?;
        match option.as_str() {
            "--chunks" => plan.chunks = number,
            "--snapshots" => plan.snapshots = number.max(1),
            "--chunk-bytes" => plan.chunk_bytes = usize::try_from(number)?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(plan)
}

fn make(plan: &Plan) -> Result<()> {
    let secret = Secret::KeyFile(std::fs::read(&plan.key_file)?.into());
    let location = Location::Directory(plan.folder.clone());
    let store = Store::create_location(&location, &StoreOptions::default())?;
    let cache = plan.folder.with_extension("cache");
    let day = Arc::new(AtomicI64::new(0));
    let begin: Timestamp = "2024-01-01T00:00:00Z".parse()?;
    let today = day.clone();
    let clock = Clock::new(move || begin + SignedDuration::from_hours(24 * today.load(Ordering::Relaxed)));
    let options = OpenOptions { clock, ..OpenOptions::with_cache_folder(cache.clone()) };
    let repository = Repository::init(store, &secret, "synthetic", options)?;

    let mut files = Files::new(plan);
    let mut parent = files.first_snapshot(&repository)?;
    for number in 1..plan.snapshots {
        day.store(number as i64, Ordering::Relaxed);
        parent = files.next_snapshot(&repository, &parent, number)?;
    }
    std::fs::remove_dir_all(cache)?;
    println!("{} files, {} leaves, {} chunks", files.count(), files.leaves.len(), files.chunks);
    Ok(())
}

/// The directory tree that is backed up: what its newest snapshot holds.
struct Files {
    /// How often each file changed.
    generations: Vec<u16>,
    leaves: Vec<Leaf>,
    /// All that were ever stored.
    chunks: u64,
    chunk_bytes: usize,
}

/// A leaf of the newest tree: which of the sorted items it holds.
#[derive(Clone, Copy)]
struct Leaf {
    start: u64,
    end: u64,
    id: ChunkId,
}

impl Files {
    fn new(plan: &Plan) -> Self {
        // Every later snapshot adds a 2000th of what the first one has.
        let per_change = LEAVES_PER_CHANGED_LEAF as u64 * FILES_PER_CHANGED_FILE;
        let count = plan.chunks * per_change / (per_change + plan.snapshots - 1);
        Self { generations: vec![0; count as usize], leaves: Vec::new(), chunks: 0, chunk_bytes: plan.chunk_bytes }
    }

    fn count(&self) -> u64 {
        self.generations.len() as u64
    }

    fn first_snapshot(&mut self, repository: &Repository) -> Result<SnapshotRecord> {
        let writer = repository.begin()?;
        let count = self.count();
        let share = count.div_ceil(WRITER_THREADS).max(1);
        let put_share = &|start: u64| -> Result<()> {
            let mut chunks = writer.chunk_writer()?;
            (start..count.min(start + share)).try_for_each(|file| self.put(&mut chunks, file))
        };
        std::thread::scope(|scope| {
            let starts = (0..count).step_by(share as usize);
            let workers: Vec<_> = starts.map(|start| scope.spawn(move || put_share(start))).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("putting chunks does not panic"))
        })?;
        self.chunks = count;
        let mut tree = TreeWriter::new(repository, &writer)?;
        for position in 0..self.items() {
            tree.push(self, position)?;
        }
        self.commit(repository, &writer, tree)
    }

    fn next_snapshot(
        &mut self,
        repository: &Repository,
        parent: &SnapshotRecord,
        number: u64,
    ) -> Result<SnapshotRecord> {
        let writer = repository.begin()?;
        writer.reuse_tree_of(parent.id);
        let mut chunks = writer.chunk_writer()?;
        let mut is_changed = vec![false; self.leaves.len()];
        let wanted = (self.leaves.len() / LEAVES_PER_CHANGED_LEAF).max(1);
        for run in 0..wanted.div_ceil(RUN_LEAVES) {
            let start = random(number << 20 | run as u64) as usize % self.leaves.len();
            let length = RUN_LEAVES.min(wanted - run * RUN_LEAVES);
            is_changed.iter_mut().skip(start).take(length).for_each(|leaf| *leaf = true);
        }
        for leaf in (0..self.leaves.len()).filter(|leaf| is_changed[*leaf]) {
            for position in self.leaves[leaf].start..self.leaves[leaf].end {
                if let Some(file) = file_at(position)
                    && random(number << 40 ^ file).is_multiple_of(FILES_PER_CHANGED_FILE)
                {
                    self.generations[file as usize] += 1;
                    self.put(&mut chunks, file)?;
                    self.chunks += 1;
                }
            }
        }
        let mut tree = TreeWriter::new(repository, &writer)?;
        let last = self.leaves.len() - 1;
        for (number, leaf) in self.leaves.iter().enumerate() {
            if is_changed[number] || number == last {
                (leaf.start..leaf.end).try_for_each(|position| tree.push(self, position))?;
            } else {
                tree.take_over(leaf)?;
            }
        }
        self.commit(repository, &writer, tree)
    }

    fn commit(&mut self, repository: &Repository, writer: &Writer<'_>, tree: TreeWriter<'_>) -> Result<SnapshotRecord> {
        let TreeWriter { builder, mut chunks, mut leaves, start, .. } = tree;
        let items = self.items();
        let mut last = None;
        let root = builder.finish(&mut |kind, plain| {
            let id = chunks.put(kind, plain, Hint::Plain)?;
            last.get_or_insert(id);
            Ok::<_, RepoError>(id)
        })?;
        if let Some(id) = last.filter(|_| start < items) {
            leaves.push(Leaf { start, end: items, id });
        }
        self.leaves = leaves;
        let now = timestamp_text(repository.clock().now());
        let mut record = SnapshotRecord { kind: SnapshotKind::Files, tree: root, ..objects::record(&now) };
        "synthetic".clone_into(&mut record.source);
        record.summary.files = self.count();
        record.summary.size_bytes = self.count() * self.chunk_bytes as u64;
        drop(chunks);
        Ok(writer.commit(record)?)
    }

    /// The root, and each directory before its files.
    fn items(&self) -> u64 {
        1 + self.count() + self.count().div_ceil(FILES_PER_DIRECTORY)
    }

    fn item(&self, keys: &Keys, position: u64) -> Item {
        let Some(file) = file_at(position) else { return Item::bare_directory(key_at(position)) };
        let bytes = self.bytes(file);
        let extent = Extent::Chunk { id: keys.name(RecordKind::Data, &bytes), len: bytes.len() as u32 };
        Item {
            mode: 0o644,
            modified: Time { seconds: 1_700_000_000 + i64::from(self.generations[file as usize]), nanoseconds: 0 },
            kind: ItemKind::File {
                size_bytes: bytes.len() as u64,
                content: Content::Extents(vec![extent]),
                hash: None,
                racy: false,
            },
            ..Item::bare_directory(key_at(position))
        }
    }

    fn put(&self, chunks: &mut ChunkWriter<'_>, file: u64) -> Result<()> {
        chunks.put(RecordKind::Data, &self.bytes(file), Hint::Plain)?;
        Ok(())
    }

    /// Noise where a chunk is small. In a large one, every other half KiB is noise, and the rest of it compresses to nothing.
    fn bytes(&self, file: u64) -> Vec<u8> {
        let seed = file << 16 | u64::from(self.generations[file as usize]);
        let mut bytes = noise(seed, self.chunk_bytes);
        for half in bytes.chunks_exact_mut(1024) {
            half[512..].copy_from_slice(&[b'-'; 512]);
        }
        bytes
    }
}

/// Builds one tree and remembers its leaves.
struct TreeWriter<'a> {
    keys: &'a Keys,
    builder: TreeBuilder<'a>,
    chunks: ChunkWriter<'a>,
    leaves: Vec<Leaf>,
    /// Where the open leaf begins.
    start: u64,
}

impl<'a> TreeWriter<'a> {
    fn new(repository: &'a Repository, writer: &'a Writer<'a>) -> Result<Self> {
        let keys = repository.keys();
        let builder = TreeBuilder::new(keys, repository.config().trees.files);
        Ok(Self { keys, builder, chunks: writer.chunk_writer()?, leaves: Vec::new(), start: 0 })
    }

    fn push(&mut self, files: &Files, position: u64) -> Result<()> {
        let item = files.item(self.keys, position);
        let mut stored = None;
        self.builder.push(&item, &mut |kind, plain| {
            let id = self.chunks.put(kind, plain, Hint::Plain)?;
            // A leaf that ends may end nodes above it too, after it.
            stored.get_or_insert(id);
            Ok::<_, RepoError>(id)
        })?;
        if let Some(id) = stored {
            self.leaves.push(Leaf { start: self.start, end: position + 1, id });
            self.start = position + 1;
        }
        Ok(())
    }

    fn take_over(&mut self, leaf: &Leaf) -> Result<()> {
        let items = leaf.end - leaf.start;
        let taken = LeafRef { first_key: key_at(leaf.start), id: leaf.id, items };
        self.builder
            .push_leaf(taken, &key_at(leaf.end - 1), &mut |kind, plain| self.chunks.put(kind, plain, Hint::Plain))?;
        self.leaves.push(*leaf);
        self.start = leaf.end;
        Ok(())
    }
}

/// The number of the file that is the item at a position; none for a directory.
fn file_at(position: u64) -> Option<u64> {
    let below_root = position.checked_sub(1)?;
    let (directory, place) = (below_root / (FILES_PER_DIRECTORY + 1), below_root % (FILES_PER_DIRECTORY + 1));
    Some(directory * FILES_PER_DIRECTORY + place.checked_sub(1)?)
}

fn key_at(position: u64) -> Vec<u8> {
    let Some(below_root) = position.checked_sub(1) else { return Vec::new() };
    match (below_root / (FILES_PER_DIRECTORY + 1), below_root % (FILES_PER_DIRECTORY + 1)) {
        (directory, 0) => format!("directory-{directory:06}").into_bytes(),
        (directory, place) => format!("directory-{directory:06}\0file-{:04}", place - 1).into_bytes(),
    }
}
