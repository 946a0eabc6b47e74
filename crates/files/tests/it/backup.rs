//! Backups of real directories into a repository in memory.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstay_files::FilesError;
use backstay_files::backup::{
    BackupOptions, BackupOutcome, Identity, SAVE_INTERVAL_DEFAULT, StreamOptions, backup, backup_stream,
};
use backstay_files::filter::FilterOptions;
use backstay_format::audit::{Damaged, Lost};
use backstay_format::chunker::Chunker;
use backstay_format::config::Secret;
use backstay_format::tree::{Extent, Item, ItemKind, display_key, key_of_path};
use backstay_repo::check::{Level, check};
use backstay_repo::store::Store;
use backstay_repo::tree::TreeCursor;
use backstay_repo::{Cache, ErrorKind, OpenOptions, Progress, Repository, names, read_ledger};
use backstay_testkit::InMemory;
use backstay_testkit::data::noise;
use backstay_testkit::faulty::FaultyStore;
use tempfile::TempDir;

struct Scene {
    folder: TempDir,
    objects: Arc<InMemory>,
    repository: Repository,
}

fn secret() -> Secret {
    Secret::KeyFile(vec![7; 32].into())
}

impl Scene {
    fn new() -> Self {
        let objects = Arc::new(InMemory::new());
        let store = Store::from_object_store(objects.clone(), "memory").unwrap();
        let repository = Repository::init(store, &secret(), "test", OpenOptions::new(Cache::None)).unwrap();
        Self { folder: TempDir::new().unwrap(), objects, repository }
    }

    /// Another process: nothing is shared but the store.
    fn reopened(&self) -> Repository {
        let store = Store::from_object_store(self.objects.clone(), "memory").unwrap();
        Repository::open(store, &secret(), OpenOptions::new(Cache::None)).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn options(&self) -> BackupOptions {
        BackupOptions {
            paths: vec![self.root()],
            identity: Identity { source: "here".to_owned(), ..Identity::default() },
            filter: FilterOptions::default(),
            profile: None,
            rehash: false,
            dry_run: false,
            threads: NonZeroUsize::new(2).unwrap(),
            save_interval: SAVE_INTERVAL_DEFAULT,
        }
    }

    fn back_up(&self) -> BackupOutcome {
        backup(&self.repository, &self.options(), &Progress::new()).unwrap()
    }

    /// Waits out the racy period by giving every file an old change time, which only the kernel can set: so the clock of
    /// the repository is moved instead.
    fn settled(self) -> Self {
        let store = Store::from_object_store(self.objects.clone(), "memory").unwrap();
        let mut options = OpenOptions::new(Cache::None);
        options.clock = backstay_repo::Clock::new(|| backstay_repo::Clock::system().now() + Duration::from_hours(1));
        let repository = Repository::open(store, &secret(), options).unwrap();
        Self { repository, ..self }
    }

    fn items(&self, outcome: &BackupOutcome) -> Vec<Item> {
        let mut reader = self.repository.reader().unwrap();
        let mut cursor = TreeCursor::new(outcome.snapshot.tree);
        let mut items = Vec::new();
        while let Some(item) = cursor.next(&mut reader).unwrap() {
            items.push(item);
        }
        items
    }

    /// What is at and below the root. The directories above it are the machine's: others make files there meanwhile.
    fn below(&self, outcome: &BackupOutcome) -> Vec<Item> {
        let root = key_of_path(self.root().as_os_str().as_bytes());
        self.items(outcome).into_iter().filter(|item| item.key.starts_with(&root)).collect()
    }

    /// How many of the directories above the root changed between two backups.
    fn changed_above(&self, first: &BackupOutcome, second: &BackupOutcome) -> u64 {
        let below = self.below(first).len();
        let above =
            |outcome| self.items(outcome).into_iter().take_while(|item| item.is_directory()).collect::<Vec<_>>();
        let (before, after) = (above(first), above(second));
        let count = first.snapshot.tree.items as usize - below;
        before.iter().zip(&after).take(count).filter(|(before, after)| before != after).count() as u64
    }

    /// The second backup stored nothing, unless for a directory above the root.
    fn assert_nothing_new(&self, first: &BackupOutcome, second: &BackupOutcome) {
        assert_eq!(self.below(second), self.below(first));
        if self.changed_above(first, second) == 0 {
            assert_eq!(second.snapshot.tree, first.snapshot.tree);
            assert_eq!(second.snapshot.summary.new_bytes, 0);
            assert_eq!(second.snapshot.summary.stored_bytes, 0);
        }
    }

    fn item(&self, outcome: &BackupOutcome, name: &str) -> Item {
        let wanted = self.root().join(name);
        let found =
            self.items(outcome).into_iter().find(|item| Path::new(&format!("/{}", display_key(&item.key))) == wanted);
        found.unwrap_or_else(|| panic!("{name} is not in the snapshot"))
    }

    fn extents(&self, item: &Item) -> Vec<Extent> {
        let ItemKind::File { content, .. } = &item.kind else { panic!("{item:?} is no file") };
        let mut extents = Vec::new();
        let mut reader = self.repository.reader().unwrap();
        reader
            .extents::<backstay_repo::RepoError>(content, &mut |extent| {
                extents.push(extent);
                Ok(())
            })
            .unwrap();
        extents
    }

    fn contents(&self, item: &Item) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = self.repository.reader().unwrap();
        for extent in self.extents(item) {
            match extent {
                Extent::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
                Extent::Chunk { id, .. } => bytes.extend_from_slice(reader.read(&id).unwrap()),
                Extent::Part { id, offset, len } => {
                    bytes.extend_from_slice(&reader.read(&id).unwrap()[offset as usize..][..len as usize]);
                }
            }
        }
        bytes
    }

    fn assert_clean(&self) {
        let report = check(&self.repository, Level::Full, 2, &Progress::new()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

#[test]
fn every_file_comes_back_byte_for_byte() {
    let scene = Scene::new();
    let sizes = [0, 1, 100, 5000, 131_072, 131_073, 700_000, 5 << 20, 20 << 20];
    for (index, size) in sizes.into_iter().enumerate() {
        scene.write(&format!("files/{index}"), &noise(index as u64, size));
    }
    for index in 0..300 {
        scene.write(&format!("small/{}/{index}", index % 7), &noise(1000 + index, 3000 + index as usize * 17));
    }
    let outcome = scene.back_up();
    assert_eq!(outcome.snapshot.summary.files, 309);
    for (index, size) in sizes.into_iter().enumerate() {
        let item = scene.item(&outcome, &format!("files/{index}"));
        assert!(scene.contents(&item) == noise(index as u64, size), "file of {size} bytes");
    }
    for index in 0..300 {
        let item = scene.item(&outcome, &format!("small/{}/{index}", index % 7));
        assert!(scene.contents(&item) == noise(1000 + index, 3000 + index as usize * 17), "small file {index}");
    }
    scene.assert_clean();
}

#[test]
fn an_unchanged_source_makes_the_same_tree_and_reads_nothing() {
    let scene = Scene::new().settled();
    for index in 0..2000 {
        scene.write(&format!("{}/{index}", index % 13), &noise(index, 500));
    }
    let first = scene.back_up();
    let second = scene.back_up();
    scene.assert_nothing_new(&first, &second);
    assert_eq!(second.snapshot.summary.read_bytes, 0);
    let changed = scene.changed_above(&first, &second);
    assert_eq!(second.snapshot.summary.unchanged, first.snapshot.tree.items - changed);
    assert_eq!(second.snapshot.parents, [first.snapshot.id]);
}

#[test]
fn nothing_is_taken_over_from_a_parent_that_has_lost_something() {
    let scene = Scene::new().settled();
    for index in 0..300 {
        scene.write(&format!("{}/{index}", index % 7), &noise(index, 3000));
    }
    let first = scene.back_up();
    let store = FaultyStore::over(scene.objects.clone());
    let packs = scene.repository.index().unwrap().packs().unwrap();
    for pack in &packs {
        store.lose(&names::pack(&pack.id));
    }
    // Before anybody knows of it, a tree that cannot be read is no reason to fail.
    let between = scene.back_up();
    let damaged = Damaged {
        packs: packs.iter().map(|pack| (pack.id, Lost::All)).collect(),
        snapshots: [first.snapshot.id, between.snapshot.id].into(),
    };
    scene.repository.save_damaged(&damaged).unwrap();
    let second = scene.back_up();
    assert_eq!(second.snapshot.parents, []);
    assert_eq!(second.snapshot.summary.read_bytes, 300 * 3000);
    for item in scene.below(&second).iter().filter(|item| !item.is_directory()) {
        let index = display_key(&item.key).rsplit('/').next().unwrap().parse().unwrap();
        assert_eq!(scene.contents(item), noise(index, 3000));
    }
    let third = scene.back_up();
    assert_eq!((&third.snapshot.parents[..], third.snapshot.summary.read_bytes), (&[second.snapshot.id][..], 0));
}

#[test]
fn files_changed_just_before_the_scan_are_read_again() {
    let scene = Scene::new();
    scene.write("file", b"contents");
    let first = scene.back_up();
    let second = scene.back_up();
    assert_eq!(second.snapshot.summary.read_bytes, 8);
    let changed = scene.changed_above(&first, &second);
    assert_eq!(second.snapshot.summary.changed, changed, "read again, and found to be the same");
    scene.assert_nothing_new(&first, &second);
}

#[test]
fn a_touched_file_is_read_and_stored_nowhere() {
    let scene = Scene::new().settled();
    for index in 0..200 {
        scene.write(&format!("{index}"), &noise(index, 2000));
    }
    let first = scene.back_up();
    let file = fs::File::open(scene.root().join("77")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let second = scene.back_up();
    assert_eq!(second.snapshot.summary.read_bytes, 2000);
    assert_eq!(second.snapshot.summary.changed, 1 + scene.changed_above(&first, &second));
    let (before, after) = (scene.item(&first, "77"), scene.item(&second, "77"));
    assert_ne!(before.modified, after.modified);
    assert_eq!(before.kind, after.kind);
    assert!(second.snapshot.summary.new_bytes < 64 << 10, "only tree nodes are new: {:?}", second.snapshot.summary);
    scene.assert_clean();
}

#[test]
fn rehash_reads_everything_and_stores_nothing_new() {
    let scene = Scene::new().settled();
    for index in 0..200 {
        scene.write(&format!("{index}"), &noise(index, 2000));
    }
    scene.write("large", &noise(1, 3 << 20));
    let first = scene.back_up();
    let options = BackupOptions { rehash: true, ..scene.options() };
    let second = backup(&scene.repository, &options, &Progress::new()).unwrap();
    assert_eq!(second.snapshot.summary.read_bytes, 200 * 2000 + (3 << 20));
    scene.assert_nothing_new(&first, &second);
}

#[test]
fn one_changed_file_costs_itself_and_one_path_of_the_tree() {
    let scene = Scene::new().settled();
    for index in 0..5000 {
        scene.write(&format!("{}/{index}", index % 50), &noise(index, 300));
    }
    let first = scene.back_up();
    scene.write("7/57", &noise(99_999, 400));
    scene.write("7/new", &noise(99_998, 500));
    fs::remove_file(scene.root().join("8/58")).unwrap();
    let second = scene.back_up();
    let summary = &second.snapshot.summary;
    // The files, their directories' entries, and the nodes above them.
    let changed = summary.changed - scene.changed_above(&first, &second);
    assert_eq!((changed, summary.added), (3, 1), "{summary:?}");
    assert_eq!(summary.read_bytes, 900);
    let tree_bytes = first.snapshot.summary.new_bytes - 5000 * 300;
    assert!(summary.new_bytes - 900 < tree_bytes / 2, "{summary:?} of {tree_bytes} bytes of nodes");
    assert_eq!(scene.contents(&scene.item(&second, "7/57")), noise(99_999, 400));
    assert!(!scene.items(&second).iter().any(|item| item.key.ends_with(b"\x0058")));
    scene.assert_clean();
}

#[test]
fn equal_files_are_stored_once_wherever_they_are() {
    let scene = Scene::new();
    let large = noise(5, 6 << 20);
    for directory in ["a", "b", "c"] {
        scene.write(&format!("{directory}/large"), &large);
    }
    let outcome = scene.back_up();
    assert!(outcome.snapshot.summary.new_bytes < (6 << 20) + (64 << 10), "{:?}", outcome.snapshot.summary);
}

#[test]
fn a_large_file_is_cut_where_one_thread_would_cut_it() {
    let scene = Scene::new();
    let bytes = noise(42, 40 << 20);
    scene.write("large", &bytes);
    let options = BackupOptions { threads: NonZeroUsize::new(8).unwrap(), ..scene.options() };
    let outcome = backup(&scene.repository, &options, &Progress::new()).unwrap();
    let keys = scene.repository.keys();
    let chunker = Chunker::new(scene.repository.config().chunking.default, keys).unwrap();
    let mut expected = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(chunker.cut(rest));
        let id = keys.name(backstay_format::crypto::RecordKind::Data, chunk);
        expected.push(Extent::Chunk { id, len: chunk.len() as u32 });
        rest = tail;
    }
    assert_eq!(scene.extents(&scene.item(&outcome, "large")), expected);
}

#[test]
fn the_database_profile_cuts_at_fixed_places_and_is_remembered() {
    let scene = Scene::new().settled();
    let mut bytes = noise(3, 9 << 20);
    scene.write("data", &bytes);
    let options = BackupOptions { profile: Some("database".to_owned()), ..scene.options() };
    let first = backup(&scene.repository, &options, &Progress::new()).unwrap();
    let lengths: Vec<u64> = scene.extents(&scene.item(&first, "data")).iter().map(Extent::len).collect();
    assert_eq!(lengths, [1 << 20; 9]);
    bytes[5 << 20] ^= 1;
    scene.write("data", &bytes);
    let second = scene.back_up();
    assert_eq!(second.snapshot.profile, "database");
    assert!(second.snapshot.summary.new_bytes < (1 << 20) + (64 << 10), "{:?}", second.snapshot.summary);
    let unknown = BackupOptions { profile: Some("none".to_owned()), ..scene.options() };
    assert!(matches!(backup(&scene.repository, &unknown, &Progress::new()), Err(FilesError::UnknownProfile { .. })));
}

#[test]
fn holes_are_not_read_and_stay_holes() {
    let scene = Scene::new();
    let file = fs::File::create(scene.root().join("sparse")).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(&noise(1, 100_000), 512 << 20).unwrap();
    drop(file);
    let outcome = scene.back_up();
    let item = scene.item(&outcome, "sparse");
    let extents = scene.extents(&item);
    assert!(matches!(extents.first(), Some(Extent::Hole { len }) if *len == 512 << 20), "{extents:?}");
    assert!(matches!(extents.last(), Some(Extent::Hole { .. })), "{extents:?}");
    assert_eq!(item.size_bytes(), 1 << 30);
    assert!(outcome.snapshot.summary.read_bytes < 1 << 20);
}

#[test]
fn further_names_of_a_file_are_links_to_the_first() {
    let scene = Scene::new();
    scene.write("b/first", &noise(1, 1000));
    fs::create_dir(scene.root().join("c")).unwrap();
    fs::hard_link(scene.root().join("b/first"), scene.root().join("c/second")).unwrap();
    fs::hard_link(scene.root().join("b/first"), scene.root().join("a")).unwrap();
    let outcome = scene.back_up();
    assert!(matches!(scene.item(&outcome, "a").kind, ItemKind::File { size_bytes: 1000, .. }));
    let first = scene.item(&outcome, "a").key;
    for other in ["b/first", "c/second"] {
        assert_eq!(scene.item(&outcome, other).kind, ItemKind::HardLink { target: first.clone() });
    }
    assert_eq!(scene.below(&scene.back_up()), scene.below(&outcome));
}

#[test]
fn sockets_are_named_in_the_ledger_and_links_are_kept() {
    let scene = Scene::new();
    let _listener = std::os::unix::net::UnixListener::bind(scene.root().join("socket")).unwrap();
    symlink("nowhere/at all", scene.root().join("link")).unwrap();
    let outcome = scene.back_up();
    assert_eq!(scene.item(&outcome, "link").kind, ItemKind::Symlink { target: b"nowhere/at all".to_vec() });
    let ledger = &outcome.snapshot.ledger;
    assert_eq!((ledger.failed, ledger.noted), (0, 1));
    let entries = read_ledger(&mut scene.repository.reader().unwrap(), ledger).unwrap();
    assert_eq!(entries[0].reason, "socket");
    assert_eq!(Path::new(&entries[0].path), scene.root().join("socket"));
}

#[test]
fn a_root_that_is_missing_fails_the_run_and_stores_nothing() {
    let scene = Scene::new();
    let options = BackupOptions { paths: vec![scene.root().join("missing")], ..scene.options() };
    let error = backup(&scene.repository, &options, &Progress::new()).unwrap_err();
    assert!(matches!(error, FilesError::Walk(_)), "{error:?}");
    assert!(scene.reopened().snapshots().is_empty());
}

#[test]
fn a_dry_run_counts_and_stores_nothing() {
    let scene = Scene::new();
    scene.write("file", &noise(1, 5000));
    let options = BackupOptions { dry_run: true, ..scene.options() };
    let outcome = backup(&scene.repository, &options, &Progress::new()).unwrap();
    assert_eq!(outcome.snapshot.summary.read_bytes, 5000);
    assert!(scene.reopened().snapshots().is_empty());
}

#[test]
fn what_is_saved_along_the_way_can_be_read_in_full_and_vanishes_with_the_final_commit() {
    let scene = Scene::new();
    for index in 0..3000 {
        scene.write(&format!("{}/{index}", index % 30), &noise(index, 5000));
    }
    let options = BackupOptions { save_interval: Duration::ZERO, ..scene.options() };
    let outcome = backup(&scene.repository, &options, &Progress::new()).unwrap();
    let reopened = scene.reopened();
    assert!(reopened.base() > 2, "savings are entries of the log: {}", reopened.base());
    assert_eq!(reopened.snapshots().iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [outcome.snapshot.id]);
    scene.assert_clean();
}

#[test]
fn an_interrupted_run_saves_its_progress_and_the_next_one_goes_on() {
    let scene = Scene::new().settled();
    let count = 400u64;
    for index in 0..count {
        scene.write(&format!("{index:03}"), &noise(index, 200_000));
    }
    let progress = Progress::new();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.bytes_done.load(Ordering::Relaxed) < 20_000_000 {
                std::thread::yield_now();
            }
            progress.cancel();
        });
        backup(&scene.repository, &scene.options(), &progress)
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
    let reopened = scene.reopened();
    let saved = &reopened.snapshots()[0];
    assert!(saved.incomplete);
    assert!(check(&reopened, Level::Full, 1, &Progress::new()).unwrap().is_clean());
    let saved_files = saved.summary.files.min(saved.tree.items);
    let second = scene.back_up();
    assert_eq!(second.snapshot.summary.files, count);
    assert!(
        second.snapshot.summary.unchanged >= saved_files / 2,
        "{} files were saved, {:?}",
        saved_files,
        second.snapshot.summary
    );
    assert_eq!(scene.reopened().snapshots().len(), 1);
    scene.assert_clean();
}

#[test]
fn a_command_s_output_is_kept_only_if_it_ends_well() {
    let scene = Scene::new();
    let options = |script: &str| StreamOptions {
        command: ["sh", "-c", script].map(Into::into).to_vec(),
        file_name: "dump.sql".to_owned(),
        identity: Identity { source: "database".to_owned(), ..Identity::default() },
        profile: None,
        threads: NonZeroUsize::new(2).unwrap(),
    };
    let failed = backup_stream(&scene.repository, &options("echo half; exit 3"), &Progress::new());
    assert!(matches!(failed, Err(FilesError::CommandFailed { .. })), "{failed:?}");
    assert!(scene.repository.snapshots().is_empty());
    let script = "i=0; while [ $i -lt 300000 ]; do echo line $i; i=$((i+1)); done";
    let outcome = backup_stream(&scene.repository, &options(script), &Progress::new()).unwrap();
    let items = scene.items(&outcome);
    let expected = (0..300_000).fold(String::new(), |text, n| text + &format!("line {n}\n"));
    let file = items.last().unwrap();
    assert_eq!(display_key(&file.key), "dump.sql");
    assert!(scene.contents(file) == expected.as_bytes());
}
