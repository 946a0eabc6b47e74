//! The walker: order, what it says about trees that change or cannot be read, and metadata.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_files::filter::{Filter, FilterOptions, Rule};
use backstay_files::walk::{
    Kind, Moment, Observer, Owners, Root, Run, Stat, Step, Walk, WalkError, WalkOptions, XattrReader, item,
    raise_descriptor_limit, reason, runs,
};
use backstay_format::tree::{ItemKind, key_of_path};
use proptest::prelude::*;
use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::io::Errno;

/// All that a walk gave.
#[derive(Default)]
pub(crate) struct Collected {
    /// Every entry in the order in which it came.
    pub(crate) entries: Vec<(Vec<u8>, Result<Stat, Errno>)>,
    /// Directories that could not be read, and how many entries came before.
    pub(crate) unreadable: Vec<(Vec<u8>, Errno, usize)>,
    /// Paths below the first root, for people.
    pub(crate) below: Vec<String>,
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Collected {
    fn keys(&self) -> Vec<Vec<u8>> {
        self.entries.iter().map(|(key, _)| key.clone()).collect()
    }

    fn stat(&self, path: &Path) -> Stat {
        let key = key_of_path(path.as_os_str().as_bytes());
        let at = self.entries.iter().position(|(found, _)| *found == key).unwrap();
        self.entries[at].1.unwrap()
    }
}

pub(crate) fn collect(roots: &[&Path]) -> Collected {
    collect_with(roots, Filter::new(&FilterOptions::default()).unwrap(), None)
}

pub(crate) fn collect_with(roots: &[&Path], filter: Filter, observer: Option<Arc<Observer>>) -> Collected {
    collect_bounded(roots, filter, WalkOptions { observer, ..options() })
}

fn options() -> WalkOptions {
    WalkOptions::new(NonZeroUsize::new(2).unwrap())
}

fn root(path: &Path) -> Root {
    Root::new(path.as_os_str().as_bytes()).unwrap()
}

fn collect_bounded(roots: &[&Path], filter: Filter, options: WalkOptions) -> Collected {
    let filter = Arc::new(filter);
    let mut collected = Collected::default();
    let prefix = format!("{}/", roots[0].display());
    std::thread::scope(|scope| {
        let roots: Vec<_> = roots.iter().map(|path| root(path)).collect();
        for step in Walk::start(scope, &roots, filter.clone(), options).unwrap() {
            match step {
                Step::Entries(batch) => {
                    assert_eq!(batch.len(), batch.entries().count());
                    for entry in batch.entries() {
                        let key = batch.directory().key_of(entry.name);
                        collected.below.extend(path(&key).strip_prefix(&prefix).map(str::to_owned));
                        collected.entries.push((key, entry.stat.copied()));
                    }
                }
                Step::Unreadable { key, error } => collected.unreadable.push((key, error, collected.entries.len())),
            }
        }
    });
    collected.counts = filter.counts();
    collected
}

fn path(key: &[u8]) -> String {
    let path = String::from_utf8_lossy(key).replace('\0', "/");
    format!("/{path}")
}

/// The same, one directory after the other.
fn naive(folder: &Path, out: &mut Vec<Vec<u8>>) {
    out.push(key_of_path(folder.as_os_str().as_bytes()));
    if !fs::symlink_metadata(folder).unwrap().is_dir() {
        return;
    }
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for name in names {
        naive(&folder.join(name), out);
    }
}

fn above(folder: &Path) -> Vec<Vec<u8>> {
    let mut keys: Vec<_> = folder.ancestors().skip(1).map(|path| key_of_path(path.as_os_str().as_bytes())).collect();
    keys.reverse();
    keys
}

fn expected(folder: &Path) -> Vec<Vec<u8>> {
    let mut keys = above(folder);
    naive(folder, &mut keys);
    keys
}

/// Names that sort differently when a separator counts as a byte of its own, and names that are no text.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec!["a", "a.b", "a0", "a b", "a-", "A", "aa", "a!", "b", ".", ".."])
            .prop_map(|name| if name.starts_with('.') { b"...".to_vec() } else { name.as_bytes().to_vec() }),
        prop::collection::vec(any::<u8>().prop_filter("no name", |byte| *byte != 0 && *byte != b'/'), 1..12)
            .prop_map(|name| [b"x", &name[..]].concat()),
        prop::sample::select(vec![b"\x01".to_vec(), b"\xff\xfe".to_vec(), b"a\x01".to_vec(), b"\xc3\xa9".to_vec()]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entries_come_in_the_order_of_tree_keys(
        trees in prop::collection::vec(prop::collection::vec(name(), 1..5), 0..60),
        entries_ahead_max in 1usize..40,
        directories_ahead_max in 1usize..10,
        threads in 1usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (index, components) in trees.iter().enumerate() {
            let path = components.iter().fold(folder.path().to_owned(), |path, name| path.join(OsStr::from_bytes(name)));
            // Where a file is in the way of a directory, or the other way round, whatever came first stays.
            if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                let _ = if index % 3 == 0 { fs::create_dir(&path) } else { fs::write(&path, "") };
            }
        }
        let options = WalkOptions {
            entries_ahead_max,
            directories_ahead_max,
            ..WalkOptions::new(NonZeroUsize::new(threads).unwrap())
        };
        let found = collect_bounded(&[folder.path()], Filter::new(&FilterOptions::default()).unwrap(), options);
        let keys = found.keys();
        prop_assert!(keys.is_sorted());
        prop_assert_eq!(keys, expected(folder.path()));
        prop_assert!(found.unreadable.is_empty());
    }
}

#[test]
fn a_directory_of_many_slices_interleaves_with_its_subdirectories() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..3000 {
        let path = folder.path().join(format!("{n:05}"));
        if n % 100 == 7 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("inside"), "").unwrap();
        } else {
            fs::write(path, "").unwrap();
        }
    }
    let options = WalkOptions { entries_ahead_max: 1500, directories_ahead_max: 3, ..options() };
    let found = collect_bounded(&[folder.path()], Filter::new(&FilterOptions::default()).unwrap(), options);
    assert_eq!(found.keys(), expected(folder.path()));
    assert_eq!(found.below.len(), 3030);
}

#[test]
fn a_tree_deeper_than_the_usual_limit_of_open_files_is_walked_to_its_end() {
    // A limit that cannot be raised is the machine's; the tree is as deep as it allows.
    let depth = 1500.min(raise_descriptor_limit() as usize / 2);
    let folder = tempfile::tempdir().unwrap();
    let deep = (0..depth).fold(folder.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("end"), "").unwrap();
    let found = collect(&[folder.path()]);
    assert_eq!(found.below.len(), depth + 1);
    assert!(found.below[depth].ends_with("d/d/end"));
    assert!(found.unreadable.is_empty());
}

/// Walks 200 directories of 10 files; gives the most directories that were ever listed and not yet consumed.
fn directories_ahead(options: WalkOptions) -> usize {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..200 {
        let directory = folder.path().join(n.to_string());
        fs::create_dir(&directory).unwrap();
        for n in 0..10 {
            fs::write(directory.join(n.to_string()), "").unwrap();
        }
    }
    let (consumed, listed, most) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let observer: Arc<Observer> = Arc::new({
        let (consumed, most) = (consumed.clone(), most.clone());
        move |moment, _| {
            if moment == Moment::Listed {
                let before = consumed.load(Ordering::SeqCst);
                most.fetch_max((listed.fetch_add(1, Ordering::SeqCst) + 1).saturating_sub(before), Ordering::SeqCst);
            }
        }
    });
    let filter = Arc::new(Filter::new(&FilterOptions::default()).unwrap());
    let mut files = 0;
    std::thread::scope(|scope| {
        let options = WalkOptions { observer: Some(observer), ..options };
        for step in Walk::start(scope, &[root(folder.path())], filter, options).unwrap() {
            let Step::Entries(batch) = step else { panic!("all can be read") };
            let count = batch.entries().filter(|entry| entry.stat.unwrap().kind == Kind::File).count();
            files += count;
            consumed.fetch_add(usize::from(count > 0), Ordering::SeqCst);
        }
    });
    assert_eq!(files, 2000);
    most.load(Ordering::SeqCst)
}

#[test]
fn no_more_is_read_ahead_than_the_window_holds() {
    // Beyond the window: what two workers and the consumer are at, the root, and the one just taken.
    let slack = 2 + 2 + 1 + 1 + 1;
    let few_directories = WalkOptions { directories_ahead_max: 8, ..options() };
    assert!(directories_ahead(few_directories) <= 8 + slack);
    let few_entries = WalkOptions { entries_ahead_max: 80, ..options() };
    assert!(directories_ahead(few_entries) <= 8 + slack);
}

#[test]
fn a_walk_that_is_dropped_half_way_ends_its_threads() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..50 {
        fs::create_dir(folder.path().join(n.to_string())).unwrap();
    }
    let filter = Arc::new(Filter::new(&FilterOptions::default()).unwrap());
    // The scope ends only when all its threads have.
    let first = std::thread::scope(|scope| {
        let mut walk = Walk::start(scope, &[root(folder.path())], filter, options()).unwrap();
        walk.next().is_some()
    });
    assert!(first);
}

#[test]
fn a_walk_whose_thread_panics_does_not_end_as_if_it_were_complete() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/x", "b/x", "c/x"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let observer = at(Moment::Opening, &folder.path().join("b"), || panic!("as a test"));
    let filter = Arc::new(Filter::new(&FilterOptions::default()).unwrap());
    let mut is_complete = false;
    let walked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        std::thread::scope(|scope| {
            let options = WalkOptions { observer: Some(observer), ..options() };
            Walk::start(scope, &[root(folder.path())], filter, options).unwrap().for_each(drop);
            is_complete = true;
        });
    }));
    assert!(walked.is_err());
    assert!(!is_complete);
}

#[test]
fn several_roots_are_sorted_and_one_inside_another_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    for path in ["b/x/y", "a/file", "a.b/z", "c/not"] {
        fs::create_dir_all(base.join(path).parent().unwrap()).unwrap();
        fs::write(base.join(path), "").unwrap();
    }
    let roots = ["b/x", "a.b", "b", "a/file", "b"].map(|name| base.join(name));
    let found = collect(&roots.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let mut keys = above(&base);
    keys.extend(
        ["", "a", "a/file", "a.b", "a.b/z", "b", "b/x", "b/x/y"]
            .map(|path| key_of_path(base.join(path).as_os_str().as_bytes())),
    );
    assert_eq!(found.keys(), keys);
    assert!(keys.is_sorted());
}

#[test]
fn the_root_of_the_file_system_has_the_empty_key() {
    let filter = Arc::new(Filter::new(&FilterOptions { one_file_system: true, ..FilterOptions::default() }).unwrap());
    std::thread::scope(|scope| {
        let mut walk = Walk::start(scope, &[root(Path::new("/"))], filter, options()).unwrap();
        let Some(Step::Entries(batch)) = walk.next() else { panic!("the root comes first") };
        assert_eq!(batch.entries().map(|entry| batch.directory().key_of(entry.name)).collect::<Vec<_>>(), [b""]);
        assert_eq!(batch.entries().next().unwrap().stat.unwrap().inode, fs::metadata("/").unwrap().ino());
        let Some(Step::Entries(batch)) = walk.next() else { panic!("then what is in it") };
        assert_eq!(batch.directory().key(), b"");
        let name = batch.entries().next().unwrap().name.to_vec();
        assert_eq!(batch.directory().key_of(&name), name);
    });
}

#[test]
fn a_root_that_is_a_link_is_the_link_and_links_above_it_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("real/inside")).unwrap();
    symlink("real", path("link")).unwrap();
    let found = collect(&[&path("link")]);
    assert_eq!(found.stat(&path("link")).kind, Kind::Symlink);
    assert_eq!(found.below, Vec::<String>::new());
    let found = collect(&[&path("link/inside")]);
    let stat = found.stat(&path("link"));
    assert_eq!((stat.kind, stat.inode), (Kind::Directory, fs::metadata(path("real")).unwrap().ino()));
    assert_eq!(found.stat(&path("link/inside")).kind, Kind::Directory);
}

#[test]
fn a_root_that_cannot_be_read_is_an_error_of_the_whole_walk() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let filter = || Arc::new(Filter::new(&FilterOptions::default()).unwrap());
    std::thread::scope(|scope| {
        let roots = [root(folder.path()), root(Path::new("/nowhere/at/all"))];
        let error = Walk::start(scope, &roots, filter(), options()).err().unwrap();
        assert_eq!(error.to_string(), "cannot read /nowhere/at/all");
        let error = Walk::start(scope, &[root(&missing)], filter(), options()).err().unwrap();
        assert!(matches!(error, WalkError::RootUnreadable { source: Errno::NOENT, .. }));
        assert!(matches!(Walk::start(scope, &[], filter(), options()).err().unwrap(), WalkError::NoRoots));
    });
    assert!(Root::new(b"relative").is_err());
    assert!(Root::new(b"/a/../b").is_err());
}

#[test]
fn every_kind_of_entry_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "12345").unwrap();
    fs::set_permissions(path("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(path("file"), path("hard")).unwrap();
    fs::create_dir(path("dir")).unwrap();
    symlink("/no where", path("link")).unwrap();
    let _socket = UnixListener::bind(path("socket")).unwrap();
    make_node(&path("fifo"), FileType::Fifo, 0).unwrap();
    let device = rustix::fs::makedev(1, 3);
    // Only root may make devices; elsewhere the others are proof enough.
    let has_device = make_node(&path("null"), FileType::CharacterDevice, device).is_ok();

    let found = collect(&[folder.path()]);
    let stat = found.stat(&path("file"));
    let metadata = fs::metadata(path("file")).unwrap();
    assert_eq!((stat.kind, stat.mode, stat.links, stat.size_bytes), (Kind::File, 0o4751, 2, 5));
    assert_eq!((stat.inode, stat.device), (metadata.ino(), metadata.dev()));
    assert_eq!((stat.uid, stat.gid, stat.blocks), (metadata.uid(), metadata.gid(), metadata.blocks()));
    assert_eq!(
        (stat.modified.seconds, i64::from(stat.modified.nanoseconds)),
        (metadata.mtime(), metadata.mtime_nsec())
    );
    assert_eq!((stat.changed.seconds, i64::from(stat.changed.nanoseconds)), (metadata.ctime(), metadata.ctime_nsec()));
    assert_eq!(found.stat(&path("hard")).inode, stat.inode);
    assert_eq!(found.stat(&path("dir")).kind, Kind::Directory);
    assert_eq!(found.stat(&path("link")).kind, Kind::Symlink);
    assert_eq!(found.stat(&path("socket")).kind, Kind::Socket);
    assert_eq!(found.stat(&path("fifo")).kind, Kind::Fifo);
    if has_device {
        let stat = found.stat(&path("null"));
        assert_eq!((stat.kind, stat.device_numbers()), (Kind::CharDevice, (1, 3)));
    }
}

fn make_node(path: &Path, kind: FileType, device: u64) -> rustix::io::Result<()> {
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::RUSR | Mode::WUSR, device)
}

#[test]
fn links_that_lead_in_circles_are_entries_and_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    symlink(".", folder.path().join("d/self")).unwrap();
    symlink("..", folder.path().join("d/up")).unwrap();
    symlink("loop", folder.path().join("loop")).unwrap();
    let found = collect(&[folder.path()]);
    assert_eq!(found.below, ["d", "d/self", "d/up", "loop"]);
}

/// Runs `action` once, when the walk is at that moment of that directory.
fn at(moment: Moment, directory: &Path, action: impl Fn() + Send + Sync + 'static) -> Arc<Observer> {
    let key = key_of_path(directory.as_os_str().as_bytes());
    Arc::new(move |now, found: &[u8]| {
        if now == moment && found == key {
            action();
        }
    })
}

fn observed(folder: &Path, observer: Arc<Observer>) -> Collected {
    collect_with(&[folder], Filter::new(&FilterOptions::default()).unwrap(), Some(observer))
}

#[test]
fn a_directory_that_vanishes_is_named_at_its_place_and_the_walk_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/x", "b/x", "c/x"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let victim = folder.path().join("b");
    let observer = at(Moment::Opening, &victim, {
        let victim = victim.clone();
        move || fs::remove_dir_all(&victim).unwrap()
    });
    let found = observed(folder.path(), observer);
    assert_eq!(found.below, ["a", "a/x", "b", "c", "c/x"]);
    let [(key, error, position)] = &found.unreadable[..] else { panic!("one directory is gone") };
    assert_eq!((path(key), reason(*error)), (victim.display().to_string(), "vanished"));
    assert_eq!(found.entries[position - 1].0, *key, "it comes right behind its entry");
}

#[test]
fn a_directory_replaced_by_a_link_is_not_entered() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "").unwrap();
    let victim = folder.path().join("d");
    fs::create_dir(&victim).unwrap();
    let observer = at(Moment::Opening, &victim, {
        let (victim, outside) = (victim.clone(), outside.path().to_owned());
        move || {
            fs::remove_dir(&victim).unwrap();
            symlink(&outside, &victim).unwrap();
        }
    });
    let found = observed(folder.path(), observer);
    assert_eq!(found.below, ["d"]);
    assert_eq!(found.unreadable.len(), 1);
    assert_eq!(reason(found.unreadable[0].1), "replaced");
}

#[test]
fn a_file_that_vanishes_between_listing_and_stat_is_an_entry_without_one() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let victim = folder.path().join("b");
    let observer = at(Moment::Listed, folder.path(), move || fs::remove_file(&victim).unwrap());
    let found = observed(folder.path(), observer);
    assert_eq!(found.below, ["a", "b", "c"]);
    let stats: Vec<_> =
        found.entries[found.entries.len() - 3..].iter().map(|(_, stat)| stat.map(|stat| stat.kind)).collect();
    assert_eq!(stats, [Ok(Kind::File), Err(Errno::NOENT), Ok(Kind::File)]);
}

#[test]
fn a_directory_renamed_and_replaced_while_it_is_read_does_not_lead_elsewhere() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (victim, moved) = (folder.path().join("d"), outside.path().join("moved"));
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "mine").unwrap();
    fs::write(outside.path().join("file"), "another's").unwrap();
    let observer = at(Moment::Listed, &victim, {
        let (victim, outside) = (victim.clone(), outside.path().to_owned());
        move || {
            fs::rename(&victim, &moved).unwrap();
            symlink(&outside, &victim).unwrap();
        }
    });
    let found = observed(folder.path(), observer);
    assert_eq!(found.below, ["d", "d/file"]);
    assert_eq!(found.stat(&victim.join("file")).size_bytes, 4);
}

#[test]
fn a_directory_that_may_not_be_read_is_named_and_the_walk_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/x", "b/x"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let locked = folder.path().join("a");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
    let found = collect(&[folder.path()]);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    // Root may read everything.
    if rustix::process::geteuid().is_root() {
        assert_eq!(found.below, ["a", "a/x", "b", "b/x"]);
    } else {
        assert_eq!(found.below, ["a", "b", "b/x"]);
        assert_eq!(found.unreadable.iter().map(|(_, error, _)| reason(*error)).collect::<Vec<_>>(), ["unreadable"]);
    }
}

#[test]
fn files_are_opened_without_following_links_or_waiting_for_fifos() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "contents").unwrap();
    symlink("file", folder.path().join("link")).unwrap();
    make_node(&folder.path().join("fifo"), FileType::Fifo, 0).unwrap();
    with_directory(folder.path(), |directory| {
        let (file, stat) = directory.open_file(b"file").unwrap();
        let mut contents = [0; 8];
        file.read_exact_at(&mut contents, 0).unwrap();
        assert_eq!((&contents, stat.size_bytes), (b"contents", 8));
        assert_eq!(directory.open_file(b"link").unwrap_err(), Errno::LOOP);
        assert_eq!(directory.open_file(b"fifo").unwrap().1.kind, Kind::Fifo);
        assert_eq!(directory.open_file(b"none").unwrap_err(), Errno::NOENT);
        assert_eq!(directory.read_link(b"link").unwrap(), b"file");
    });
}

/// Gives the open directory that the entries of `folder` are in.
fn with_directory(folder: &Path, action: impl FnOnce(&Arc<backstay_files::walk::Directory>)) {
    let filter = Arc::new(Filter::new(&FilterOptions::default()).unwrap());
    let key = key_of_path(folder.as_os_str().as_bytes());
    std::thread::scope(|scope| {
        let walk = Walk::start(scope, &[root(folder)], filter, options()).unwrap();
        let directory = walk.into_iter().find_map(|step| match step {
            Step::Entries(batch) if batch.directory().key() == key => Some(batch.directory().clone()),
            _ => None,
        });
        action(&directory.unwrap());
    });
}

#[test]
fn extended_attributes_of_files_links_and_directories_are_read_by_both_ways() {
    // /dev/shm would do for neither: user attributes of tmpfs are young.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "").unwrap();
    fs::write(path("bare"), "").unwrap();
    fs::create_dir(path("dir")).unwrap();
    symlink("file", path("link")).unwrap();
    let set = |name: &str, attribute: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path(name), attribute, value, XattrFlags::empty()).unwrap();
    };
    set("file", "user.b", b"\0\xff");
    set("file", "user.a", b"");
    set("dir", "user.dir", b"1");
    with_directory(folder.path(), |directory| {
        // A thread of its own: its working directory moves.
        std::thread::scope(|scope| {
            let here = std::env::current_dir().unwrap();
            scope.spawn(|| {
                for mut reader in [XattrReader::new(), XattrReader::through_proc()] {
                    let mut read = |name: &[u8]| {
                        let found = reader.read(directory, name);
                        assert_eq!(found.failure, None);
                        // Security modules add theirs.
                        let own = found.list.into_iter().filter(|xattr| xattr.name.starts_with(b"user."));
                        own.map(|xattr| (xattr.name, xattr.value)).collect::<Vec<_>>()
                    };
                    let expected = vec![(b"user.a".to_vec(), Vec::new()), (b"user.b".to_vec(), b"\0\xff".to_vec())];
                    assert_eq!(read(b"file"), expected);
                    assert_eq!(read(b"dir"), [(b"user.dir".to_vec(), b"1".to_vec())]);
                    assert_eq!(read(b"link"), [], "those of the link, not of its target");
                    assert_eq!(read(b"bare"), []);
                    let failure = reader.read(directory, b"none").failure.unwrap();
                    assert_eq!((failure.name, failure.error), (None, Errno::NOENT));
                }
            });
            assert_eq!(std::env::current_dir().unwrap(), here, "the other threads stay where they are");
        });
    });
}

#[test]
fn owners_have_the_first_name_of_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let (passwd, group) = (folder.path().join("passwd"), folder.path().join("group"));
    fs::write(&passwd, "root:x:0:0:root:/root:/bin/sh\nadmin:x:0:0::/:\n# no\nbroken\nweb:x:33:33::/:\nbad:x:many:0\n")
        .unwrap();
    fs::write(&group, "wheel:x:0:\nweb:x:33:a,b\n").unwrap();
    let owners = Owners::read(&passwd, &group);
    assert_eq!(owners.user(0).as_deref(), Some("root"));
    assert_eq!(owners.user(33).as_deref(), Some("web"));
    assert_eq!(owners.group(0).as_deref(), Some("wheel"));
    assert_eq!(owners.user(1), None);
    assert_eq!(Owners::read(&folder.path().join("none"), &group).user(0), None);

    fs::write(folder.path().join("file"), "").unwrap();
    let mut stat = Stat::of(fs::File::open(folder.path().join("file")).unwrap()).unwrap();
    (stat.uid, stat.gid) = (33, 7);
    let made = item(b"k".to_vec(), &stat, ItemKind::Fifo, Vec::new(), &owners);
    assert_eq!((made.user.as_deref(), made.group, made.uid, made.gid), (Some("web"), None, 33, 7));
    assert_eq!(
        (made.modified, made.changed, made.inode, made.mode),
        (stat.modified, stat.changed, stat.inode, stat.mode)
    );
}

#[test]
fn holes_are_found_and_full_files_are_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create_new(folder.path().join("sparse")).unwrap();
    file.set_len(8 << 30).unwrap();
    file.write_all_at(&vec![1; 65536], 1 << 20).unwrap();
    file.write_all_at(&vec![1; 65536], 5 << 30).unwrap();
    let found: Vec<_> = runs(&file, &Stat::of(&file).unwrap()).collect();
    let (first, second) = (1u64 << 20, 5u64 << 30);
    assert_eq!(
        found,
        [
            Run::Hole(0..first),
            Run::Data(first..first + 65536),
            Run::Hole(first + 65536..second),
            Run::Data(second..second + 65536),
            Run::Hole(second + 65536..8 << 30),
        ]
    );

    let full = fs::File::create_new(folder.path().join("full")).unwrap();
    full.write_all_at(&[1; 10000], 0).unwrap();
    full.sync_all().unwrap();
    assert_eq!(runs(&full, &Stat::of(&full).unwrap()).collect::<Vec<_>>(), [Run::Data(0..10000)]);

    let empty = fs::File::create_new(folder.path().join("empty")).unwrap();
    assert_eq!(runs(&empty, &Stat::of(&empty).unwrap()).count(), 0);
    empty.set_len(4096).unwrap();
    assert_eq!(runs(&empty, &Stat::of(&empty).unwrap()).collect::<Vec<_>>(), [Run::Hole(0..4096)]);

    // What cannot be asked is all data.
    let (socket, _other) = UnixStream::pair().unwrap();
    let stat = Stat { size_bytes: 10, blocks: 0, ..Stat::of(&empty).unwrap() };
    assert_eq!(runs(&socket, &stat).collect::<Vec<_>>(), [Run::Data(0..10)]);
}

#[test]
fn another_file_system_is_an_entry_that_is_not_entered() {
    // Mounting takes a right that tests rarely have; /proc is a file system of its own everywhere.
    let options = FilterOptions {
        rules: vec![Rule::exclude("/*"), Rule::include("/proc")],
        one_file_system: true,
        ..FilterOptions::default()
    };
    let found = collect_with(&[Path::new("/")], Filter::new(&options).unwrap(), None);
    assert_eq!(found.keys(), [&b""[..], b"proc"]);
    assert_eq!(found.counts["another file system"], 1);
}
