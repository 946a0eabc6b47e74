//! What the tests of restoring share: a repository in memory, trees on disk and trees made by hand, and what a tree looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use backstay_files::FilesError;
use backstay_files::backup::{BackupOptions, Identity, SAVE_INTERVAL_DEFAULT, backup};
use backstay_files::filter::FilterOptions;
use backstay_files::restore::{Overwrite, Ownership, RestoreOptions, RestoreOutcome, restore};
use backstay_format::compress::Hint;
use backstay_format::config::Secret;
use backstay_format::crypto::RecordKind;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Content, Extent, Item, ItemKind, Time, TreeBuilder, TreeShape, key_of_path};
use backstay_repo::{Cache, OpenOptions, Progress, RepoError, Repository, new_snapshot_id};
pub(crate) use backstay_testkit::data::noise;
use backstay_testkit::faulty::FaultyStore;
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) store: FaultyStore,
    pub(crate) repository: Repository,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let store = FaultyStore::new();
        let secret = Secret::KeyFile(vec![7; 32].into());
        let repository = Repository::init(store.open(), &secret, "test", OpenOptions::new(Cache::None)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("source")).unwrap();
        Self { store, repository, folder }
    }

    /// The directory that is backed up.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// A path that does not exist yet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn backup(&self) -> SnapshotRecord {
        self.backup_paths(&[self.source()])
    }

    pub(crate) fn backup_paths(&self, paths: &[PathBuf]) -> SnapshotRecord {
        let options = BackupOptions {
            paths: paths.to_vec(),
            identity: Identity { source: "test".into(), ..Identity::default() },
            filter: FilterOptions::default(),
            profile: None,
            rehash: true,
            dry_run: false,
            threads: NonZeroUsize::new(2).unwrap(),
            save_interval: SAVE_INTERVAL_DEFAULT,
        };
        backup(&self.repository, &options, &Progress::new()).unwrap().snapshot
    }

    /// Options that restore what is in the source directory.
    pub(crate) fn options<'a>(&self, target: &Path) -> RestoreOptions<'a> {
        RestoreOptions { subtree: Some(key(&self.source())), ..everything(target) }
    }

    pub(crate) fn restore(&self, snapshot: &SnapshotRecord, options: &RestoreOptions<'_>) -> RestoreOutcome {
        self.try_restore(snapshot, options).unwrap()
    }

    pub(crate) fn try_restore(
        &self,
        snapshot: &SnapshotRecord,
        options: &RestoreOptions<'_>,
    ) -> Result<RestoreOutcome, FilesError> {
        restore(&self.repository, snapshot, options, &Progress::new())
    }

    /// A snapshot with these items, whatever they are.
    pub(crate) fn snapshot_of(&self, items: &[Item]) -> SnapshotRecord {
        let template = self.backup();
        let writer = self.repository.begin().unwrap();
        let mut chunks = writer.chunk_writer().unwrap();
        let mut store = |kind: RecordKind, plain: &[u8]| chunks.put(kind, plain, Hint::Plain);
        let mut builder = TreeBuilder::new(self.repository.keys(), TreeShape::FILES);
        for item in items {
            builder.push::<RepoError>(item, &mut store).unwrap();
        }
        let tree = builder.finish::<RepoError>(&mut store).unwrap();
        drop(chunks);
        let paths = vec!["/".to_owned()];
        writer.commit(SnapshotRecord { id: new_snapshot_id().unwrap(), tree, paths, ..template }).unwrap()
    }

    /// The contents of a file in a tree made by hand.
    pub(crate) fn stored(&self, bytes: &[u8]) -> ItemKind {
        let writer = self.repository.begin().unwrap();
        let id = writer.chunk_writer().unwrap().put(RecordKind::Data, bytes, Hint::Plain).unwrap();
        let template = self.backup();
        writer.commit(SnapshotRecord { id: new_snapshot_id().unwrap(), ..template }).unwrap();
        let len = bytes.len() as u32;
        let content = Content::Extents(vec![Extent::Chunk { id, len }]);
        ItemKind::File { size_bytes: len.into(), content, hash: None, racy: false }
    }
}

/// Options that restore absolute paths.
pub(crate) fn everything<'a>(target: &Path) -> RestoreOptions<'a> {
    RestoreOptions {
        target: target.to_owned(),
        subtree: None,
        include: Vec::new(),
        exclude: Vec::new(),
        overwrite: Overwrite::Changed,
        delete: false,
        dry_run: false,
        verify: false,
        ownership: Ownership::WherePermitted,
        threads: NonZeroUsize::new(2).unwrap(),
        memory_bytes: 256 << 20,
        each: None,
    }
}

pub(crate) fn key(path: &Path) -> Vec<u8> {
    key_of_path(path.as_os_str().as_bytes())
}

/// An item made by hand, belonging to whoever runs the test.
pub(crate) fn item(key: &[u8], kind: ItemKind) -> Item {
    let mode = if matches!(kind, ItemKind::Directory) { 0o755 } else { 0o644 };
    let modified = Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 };
    Item {
        kind,
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        modified,
        changed: modified,
        ..Item::bare_directory(key.to_vec())
    }
}

/// Everything that a restore should bring back of each path below a directory, and of the directory itself.
pub(crate) fn described(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let contents = if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            let sum = bytes
                .iter()
                .fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
            format!("file of {} bytes, {sum:x}", bytes.len())
        } else if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else {
            format!("fifo {} char {} device {}", kind.is_fifo(), kind.is_char_device(), metadata.rdev())
        };
        let description = format!(
            "{contents}, mode {:o}, owner {}:{}, modified {}.{:09}, xattrs {:?}",
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            xattrs(&path),
        );
        found.insert(path.strip_prefix(root).unwrap().to_owned(), description);
    }
    found
}

/// Asserts that two directories hold the same, and says only where they differ.
#[track_caller]
pub(crate) fn assert_same(found: &Path, expected: &Path) {
    let (found, expected) = (described(found), described(expected));
    let paths = found.keys().chain(expected.keys()).collect::<BTreeSet<_>>();
    let differing = paths.into_iter().filter(|path| found.get(*path) != expected.get(*path));
    let first: Vec<_> = differing.take(5).map(|path| (path, found.get(path), expected.get(path))).collect();
    assert!(first.is_empty(), "path, found, expected: {first:#?}");
}

/// Names and values, but for the labels of the host.
fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found: Vec<_> = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"security.selinux"))
        .map(|name| {
            let mut value = vec![0; 4096];
            let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
            (String::from_utf8_lossy(name).into_owned(), value[..len].to_vec())
        })
        .collect();
    found.sort();
    found
}
