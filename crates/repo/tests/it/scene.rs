//! Processes that back up into one store in memory, and die there. Nothing is shared between two processes but the store.
//!
//! Files are self-proving: an item's inode is the seed of its bytes, so that whatever is listed can be compared with what it
//! must hold, whoever backed it up.

use std::collections::BTreeMap;
use std::sync::Arc;

use backstay_format::compress::Hint;
use backstay_format::config::Secret;
use backstay_format::crypto::RecordKind;
use backstay_format::log::{SnapshotKind, SnapshotRecord, TreeRef};
use backstay_format::tree::{Content, Extent, Item, ItemKind, TreeBuilder, key_of_path};
use backstay_repo::check::{CheckReport, Level, check};
use backstay_repo::tree::TreeCursor;
use backstay_repo::{Cache, Clock, OpenOptions, Progress, RepoError, Repository, Result, Writer, new_snapshot_id};
use backstay_testkit::InMemory;
pub(crate) use backstay_testkit::data::noise;
use backstay_testkit::faulty::FaultyStore;

/// Bytes of one data chunk: several make a pack.
const CHUNK_BYTES: usize = 200_000;
/// The smallest packs that a config may ask for.
const PACK_BYTES: u32 = 1 << 20;

pub(crate) fn secret() -> Secret {
    Secret::KeyFile(vec![7; 32].into())
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions { clock: clock(0), ..OpenOptions::new(Cache::None) }
}

/// A clock that stands still, so many seconds after an hour of 2026.
pub(crate) fn clock(seconds: i64) -> Clock {
    let start: jiff::Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
    Clock::new(move || start + jiff::SignedDuration::from_secs(seconds))
}

/// What a bucket holds. Clones are the same bucket.
#[derive(Clone)]
pub(crate) struct Bucket(Arc<InMemory>);

impl Bucket {
    pub(crate) fn empty() -> Self {
        Self(Arc::new(InMemory::new()))
    }

    /// A repository with small packs and no snapshots.
    pub(crate) fn new() -> Self {
        let bucket = Self::empty();
        let process = bucket.process();
        let repository = Repository::init(process.open(), &secret(), "test", options()).unwrap();
        let mut config = repository.config().clone();
        config.pack_bytes = PACK_BYTES;
        config.pack_bytes_max = PACK_BYTES;
        for name in ["config", "config-copy"] {
            process.write(name, config.seal(repository.keys()));
        }
        bucket
    }

    /// Another bucket that holds the same.
    pub(crate) fn fork(&self) -> Self {
        Self(Arc::new(self.0.fork()))
    }

    /// The store as one process sees it, with faults of its own.
    pub(crate) fn process(&self) -> FaultyStore {
        FaultyStore::over(self.0.clone())
    }

    pub(crate) fn open(&self) -> Repository {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Repository> {
        open(&self.process())
    }
}

pub(crate) fn open(process: &FaultyStore) -> Result<Repository> {
    Repository::open(process.open(), &secret(), options())
}

/// Path to seed and length.
pub(crate) type Files = BTreeMap<String, (u64, usize)>;

pub(crate) fn files(files: &[(&str, u64, usize)]) -> Files {
    files.iter().map(|&(path, seed, length)| (path.to_owned(), (seed, length))).collect()
}

/// Puts the contents and the tree of these files.
pub(crate) fn put_files(writer: &Writer<'_>, files: &Files) -> Result<TreeRef> {
    let mut chunks = writer.chunk_writer()?;
    let keys = writer.repository().keys();
    let mut builder = TreeBuilder::new(keys, writer.repository().config().trees.files);
    let mut items = Vec::new();
    for (path, &(seed, length)) in files {
        let mut extents = Vec::new();
        for chunk in noise(seed, length).chunks(CHUNK_BYTES) {
            let id = chunks.put(RecordKind::Data, chunk, Hint::Plain)?;
            extents.push(Extent::Chunk { id, len: chunk.len() as u32 });
        }
        items.push(file(path, seed, length as u64, extents));
    }
    items.sort_by(|left, right| left.key.cmp(&right.key));
    for item in &items {
        builder.push(item, &mut |kind, plain| chunks.put(kind, plain, Hint::Plain))?;
    }
    builder.finish(&mut |kind, plain| chunks.put(kind, plain, Hint::Plain))
}

pub(crate) fn file(path: &str, seed: u64, size_bytes: u64, extents: Vec<Extent>) -> Item {
    Item {
        kind: ItemKind::File { size_bytes, content: Content::Extents(extents), hash: None, racy: false },
        inode: seed,
        ..Item::bare_directory(key_of_path(path.as_bytes()))
    }
}

pub(crate) fn record(repository: &Repository, source: &str, tree: TreeRef) -> SnapshotRecord {
    let now = repository.clock().now_text();
    SnapshotRecord {
        program: "test".to_owned(),
        ..SnapshotRecord::new(new_snapshot_id().unwrap(), SnapshotKind::Files, source, &now, tree)
    }
}

/// A whole backup.
pub(crate) fn back_up(repository: &Repository, source: &str, files: &Files) -> Result<SnapshotRecord> {
    let writer = repository.begin()?;
    let tree = put_files(&writer, files)?;
    writer.commit(record(repository, source, tree))
}

/// Reads everything that is listed back and compares it; returns the number of snapshots.
pub(crate) fn read_all(repository: &Repository) -> usize {
    let snapshots = repository.snapshots();
    for snapshot in &snapshots {
        let read = contents(repository, snapshot.tree).unwrap();
        assert_eq!(read.len() as u64, snapshot.tree.items, "snapshot {}", snapshot.id);
        for (path, seed, bytes) in read {
            assert!(bytes == noise(seed, bytes.len()), "{path} of snapshot {} has other bytes", snapshot.id);
        }
    }
    snapshots.len()
}

/// Path, seed and bytes of every file.
pub(crate) fn contents(repository: &Repository, tree: TreeRef) -> Result<Vec<(String, u64, Vec<u8>)>> {
    let mut reader = repository.reader()?;
    let mut cursor = TreeCursor::new(tree);
    let mut found = Vec::new();
    while let Some(item) = cursor.next(&mut reader)? {
        let ItemKind::File { size_bytes, content, .. } = &item.kind else { continue };
        let mut extents = Vec::new();
        reader.extents::<RepoError>(content, &mut |extent| {
            extents.push(extent);
            Ok(())
        })?;
        let mut bytes = Vec::new();
        for id in extents.iter().filter_map(Extent::chunk) {
            bytes.extend_from_slice(reader.read(&id)?);
        }
        assert_eq!(bytes.len() as u64, *size_bytes);
        found.push((backstay_format::tree::display_key(&item.key), item.inode, bytes));
    }
    Ok(found)
}

pub(crate) fn check_full(repository: &Repository) -> CheckReport {
    check(repository, Level::Full, 1, &Progress::new()).unwrap()
}

/// What must hold of a bucket after anything: what is listed passes every check and can be read; returns the number of snapshots.
pub(crate) fn assert_sound(bucket: &Bucket) -> usize {
    let repository = bucket.open();
    let report = check_full(&repository);
    assert!(report.is_clean(), "{:?}", report.findings);
    let read = read_all(&repository);
    assert_eq!(report.snapshots, read as u64);
    read
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
