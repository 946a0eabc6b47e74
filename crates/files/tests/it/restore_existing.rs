//! Restoring into a folder where something is: what may be overwritten, what is written, what is deleted.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Mutex;

use backstay_files::restore::{Action, Overwrite, RestoreCounts, RestoreOptions};
use backstay_format::tree::display_key;
use backstay_repo::ErrorKind;

use crate::restore_world::{World, assert_same, described, everything, key, noise};

/// Gives a file other contents, and lets it keep its times and size.
fn change_unseen(path: &Path, offset: u64, bytes: &[u8]) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.set_modified(modified).unwrap();
}

fn status(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[test]
fn restoring_again_changes_nothing_at_all() {
    let world = World::new();
    fs::create_dir(world.source().join("a")).unwrap();
    fs::write(world.source().join("a/small"), b"x").unwrap();
    fs::write(world.source().join("large"), noise(1, 3_000_000)).unwrap();
    fs::hard_link(world.source().join("large"), world.source().join("link")).unwrap();
    symlink("large", world.source().join("symlink")).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    let options = world.options(&target);
    world.restore(&snapshot, &options);
    let paths: Vec<_> = described(&target).into_keys().map(|path| target.join(path)).collect();
    let before: Vec<_> = paths.iter().map(|path| status(path)).collect();
    for overwrite in [Overwrite::Changed, Overwrite::Always] {
        let outcome = world.restore(&snapshot, &RestoreOptions { overwrite, delete: true, ..options.clone() });
        // In place are the names of one file only if they have one name: the other is made again.
        if overwrite == Overwrite::Changed {
            assert_eq!(outcome.counts, RestoreCounts { unchanged: 5, ..RestoreCounts::default() });
            assert_eq!(outcome.written_bytes, 0);
            let after: Vec<_> = paths.iter().map(|path| status(path)).collect();
            assert_eq!(after, before);
        }
        assert_same(&target, &world.source());
    }
}

#[test]
fn only_blocks_that_differ_are_written_into_an_old_file() {
    let world = World::new();
    let path = world.source().join("database");
    fs::write(&path, noise(2, 8_000_000)).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    world.restore(&snapshot, &world.options(&target));
    let restored = target.join("database");
    let inode = fs::metadata(&restored).unwrap().ino();
    let file = File::options().write(true).open(&restored).unwrap();
    // One byte in each of two blocks, three blocks apart.
    file.write_all_at(b"!", 4_096_000).unwrap();
    file.write_all_at(b"!", 4_096_000 + 3 * 4096).unwrap();
    drop(file);
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!(outcome.counts, RestoreCounts { updated: 1, ..RestoreCounts::default() });
    // The cuts of chunks need not lie where blocks begin: a change may touch two.
    assert!((2 * 4096..=4 * 4096).contains(&outcome.written_bytes), "{} bytes written", outcome.written_bytes);
    assert_eq!(fs::metadata(&restored).unwrap().ino(), inode);
    assert_same(&target, &world.source());
}

#[test]
fn old_files_of_other_sizes_become_those_of_the_snapshot() {
    let world = World::new();
    for (name, len) in [("empty", 0), ("large", 5_000_000), ("small", 5000)] {
        fs::write(world.source().join(name), noise(3, len)).unwrap();
    }
    let snapshot = world.backup();
    for (name, old_bytes) in [("longer", 7_000_000), ("shorter", 2_000_000), ("tiny", 1), ("nothing", 0)] {
        let target = world.path(name);
        fs::create_dir(&target).unwrap();
        for file in ["empty", "large", "small"] {
            fs::write(target.join(file), noise(3, old_bytes)).unwrap();
        }
        let outcome = world.restore(&snapshot, &RestoreOptions { verify: true, ..world.options(&target) });
        assert_eq!(outcome.problems, []);
        assert_same(&target, &world.source());
        if name == "longer" {
            assert_eq!(outcome.written_bytes, 0, "what was there is the beginning of what it was");
        }
    }
}

#[test]
fn a_hole_takes_the_place_of_old_data() {
    let world = World::new();
    let file = File::create(world.source().join("sparse")).unwrap();
    file.write_all_at(&noise(4, 1 << 20), 0).unwrap();
    file.set_len(16 << 20).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("sparse"), noise(5, 16 << 20)).unwrap();
    let outcome = world.restore(&snapshot, &RestoreOptions { verify: true, ..world.options(&target) });
    assert_eq!(outcome.problems, []);
    assert_same(&target, &world.source());
    let allocated = fs::metadata(target.join("sparse")).unwrap().blocks() * 512;
    assert!(allocated < 2 << 20, "{allocated} bytes on the disk");
}

#[test]
fn a_touched_file_gets_its_time_back_and_no_contents() {
    let world = World::new();
    fs::write(world.source().join("large"), noise(6, 2_000_000)).unwrap();
    fs::write(world.source().join("small"), b"small").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    world.restore(&snapshot, &world.options(&target));
    for name in ["large", "small"] {
        let file = File::options().write(true).open(target.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    world.store.forget_records();
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!((outcome.counts.updated, outcome.written_bytes), (2, 0));
    assert_same(&target, &world.source());
}

#[test]
fn what_looks_unchanged_is_believed_by_default_and_compared_on_request() {
    let world = World::new();
    fs::write(world.source().join("large"), noise(7, 2_000_000)).unwrap();
    fs::write(world.source().join("small"), b"small").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    world.restore(&snapshot, &world.options(&target));
    change_unseen(&target.join("large"), 1_000_000, b"changed");
    change_unseen(&target.join("small"), 0, b"SMALL");
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!((outcome.counts.unchanged, outcome.written_bytes), (2, 0));
    assert_eq!(fs::read(target.join("small")).unwrap(), b"SMALL");
    let outcome = world.restore(&snapshot, &RestoreOptions { verify: true, ..world.options(&target) });
    let found: Vec<_> = outcome.problems.iter().map(|entry| &entry.reason[..]).collect();
    assert_eq!(found, ["verify-failed", "verify-failed"]);
    let outcome = world.restore(&snapshot, &RestoreOptions { overwrite: Overwrite::Always, ..world.options(&target) });
    assert_eq!(outcome.counts.updated, 2);
    assert_same(&target, &world.source());
}

#[test]
fn nothing_that_is_there_is_touched_when_nothing_may_be_overwritten() {
    let world = World::new();
    fs::create_dir_all(world.source().join("a/b")).unwrap();
    for path in ["a/there", "a/b/missing", "place of a directory"] {
        fs::write(world.source().join(path), b"from the snapshot").unwrap();
    }
    fs::create_dir(world.source().join("place of a file")).unwrap();
    fs::write(world.source().join("place of a file/x"), b"x").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir_all(target.join("a")).unwrap();
    fs::create_dir(target.join("place of a directory")).unwrap();
    fs::write(target.join("a/there"), b"mine").unwrap();
    fs::write(target.join("place of a file"), b"mine").unwrap();
    let before = described(&target);
    let outcome = world.restore(&snapshot, &RestoreOptions { overwrite: Overwrite::Never, ..world.options(&target) });
    assert_eq!(outcome.problems, []);
    assert_eq!(outcome.counts, RestoreCounts { created: 2, unchanged: 1, left: 4, ..RestoreCounts::default() });
    let after = described(&target);
    assert!(before.iter().all(|(path, was)| path.as_os_str() == "a" || after[path] == *was), "{after:?}");
    assert_eq!(fs::read(target.join("a/b/missing")).unwrap(), b"from the snapshot");
}

#[test]
fn deleting_removes_what_the_snapshot_does_not_have_and_nothing_else() {
    let world = World::new();
    let source = world.source();
    fs::create_dir_all(source.join("kept/below")).unwrap();
    fs::write(source.join("kept/file"), b"x").unwrap();
    fs::create_dir(source.join("filtered")).unwrap();
    let socket = UnixListener::bind(source.join("socket")).unwrap();
    let snapshot = world.backup();
    drop(socket);
    let target = world.path("target");
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), b"precious").unwrap();
    fs::create_dir_all(target.join("kept/extra/deep/er")).unwrap();
    fs::write(target.join("kept/extra/deep/er/file"), b"x").unwrap();
    symlink(&outside, target.join("kept/extra/link")).unwrap();
    symlink(&outside, target.join("kept/link")).unwrap();
    fs::create_dir(target.join("filtered")).unwrap();
    fs::write(target.join("filtered/a.keep"), b"x").unwrap();
    fs::write(target.join("filtered/b"), b"x").unwrap();
    fs::write(target.join("socket"), b"the ledger names it: whether it was there is known").unwrap();
    let options = RestoreOptions { delete: true, exclude: vec!["*.keep".into()], ..world.options(&target) };
    let planned = world.restore(&snapshot, &RestoreOptions { dry_run: true, ..options.clone() });
    let outcome = world.restore(&snapshot, &options);
    assert_eq!(outcome.problems, []);
    // extra, deep, er, the file in it, two links, b.
    assert_eq!((outcome.counts.deleted, planned.counts.deleted), (7, 7));
    let found: Vec<_> = described(&target).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(found, ["", "filtered", "filtered/a.keep", "kept", "kept/below", "kept/file", "socket"]);
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"precious");
}

#[test]
fn deleting_leaves_alone_what_lies_beside_the_paths_that_were_backed_up() {
    let world = World::new();
    fs::create_dir_all(world.source().join("a")).unwrap();
    fs::create_dir_all(world.source().join("b")).unwrap();
    let snapshot = world.backup_paths(&[world.source().join("a")]);
    let target = world.path("target");
    let below = target.join(world.source().strip_prefix("/").unwrap());
    fs::create_dir_all(below.join("a/extra")).unwrap();
    fs::create_dir_all(below.join("beside")).unwrap();
    let outcome = world.restore(&snapshot, &RestoreOptions { delete: true, ..everything(&target) });
    assert_eq!(outcome.counts.deleted, 1);
    assert!(below.join("beside").is_dir());
    assert!(!below.join("a/extra").exists());
}

#[test]
fn a_directory_in_the_place_of_a_file_is_removed_only_where_deleting_is_asked_for() {
    let world = World::new();
    fs::write(world.source().join("file"), b"x").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir_all(target.join("file/with")).unwrap();
    let outcome = world.restore(&snapshot, &world.options(&target));
    let found: Vec<_> = outcome.problems.iter().map(|entry| (&entry.reason[..], &entry.detail[..])).collect();
    assert_eq!(found, [("in-the-way", "a directory is in its place")]);
    assert!(target.join("file/with").is_dir());
    let outcome = world.restore(&snapshot, &RestoreOptions { delete: true, ..world.options(&target) });
    assert_eq!((outcome.problems, outcome.counts.deleted), (vec![], 2));
    assert_same(&target, &world.source());
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let world = World::new();
    let source = world.source();
    fs::create_dir(source.join("dir")).unwrap();
    for (path, bytes) in [("changed", &b"new"[..]), ("dir/created", b"x"), ("same", b"x")] {
        fs::write(source.join(path), bytes).unwrap();
    }
    fs::write(source.join("first"), b"linked").unwrap();
    fs::hard_link(source.join("first"), source.join("second")).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    world.restore(&snapshot, &world.options(&target));
    fs::remove_dir_all(target.join("dir")).unwrap();
    fs::write(target.join("changed"), b"old").unwrap();
    fs::write(target.join("extra"), b"x").unwrap();
    fs::remove_file(target.join("second")).unwrap();
    let before = described(&target);
    let strip = key(&source).len() + 1;
    let seen = Mutex::new(Vec::new());
    let each = |action: Action, key: &[u8]| seen.lock().unwrap().push((display_key(&key[strip..]), action));
    let options = RestoreOptions { dry_run: true, delete: true, each: Some(&each), ..world.options(&target) };
    let outcome = world.restore(&snapshot, &options);
    assert_eq!(described(&target), before);
    let expected = RestoreCounts { created: 3, updated: 1, unchanged: 2, deleted: 1, ..RestoreCounts::default() };
    assert_eq!(outcome.counts, expected);
    assert_eq!(outcome.written_bytes, 0);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let seen: Vec<_> = seen.iter().map(|(path, action)| (&path[..], *action)).collect();
    let expected = [
        ("changed", Action::Update),
        ("dir", Action::Create),
        ("dir/created", Action::Create),
        ("extra", Action::Delete),
        ("first", Action::Keep),
        ("same", Action::Keep),
        ("second", Action::Create),
    ];
    assert_eq!(seen, expected);
    let nowhere = world.path("nowhere");
    let outcome = world.restore(&snapshot, &RestoreOptions { dry_run: true, ..world.options(&nowhere) });
    assert_eq!(outcome.counts.created, 6);
    assert!(!nowhere.exists());
}

#[test]
fn items_of_other_types_are_replaced() {
    let world = World::new();
    let source = world.source();
    fs::create_dir(source.join("a")).unwrap();
    fs::write(source.join("a/file"), b"x").unwrap();
    fs::write(source.join("b"), b"x").unwrap();
    symlink("target", source.join("c")).unwrap();
    symlink("target", source.join("d")).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("a"), b"a file where a directory belongs").unwrap();
    symlink("elsewhere", target.join("b")).unwrap();
    symlink("elsewhere", target.join("c")).unwrap();
    fs::write(target.join("d"), b"a file where a link belongs").unwrap();
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!(outcome.problems, []);
    assert_eq!(outcome.counts, RestoreCounts { created: 1, updated: 4, ..RestoreCounts::default() });
    assert_same(&target, &source);
}

#[test]
fn a_directory_that_may_not_be_written_is_opened_for_the_restore_and_closed_again() {
    let world = World::new();
    let closed = world.source().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("file"), b"new").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    world.restore(&snapshot, &world.options(&target));
    fs::write(target.join("closed/file"), b"old").unwrap();
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!(outcome.problems, []);
    assert_same(&target, &world.source());
}

#[test]
fn old_contents_stay_where_the_new_ones_are_lost() {
    let world = World::new();
    let file = |name: &str, seed, len| fs::write(world.source().join(name), noise(seed, len)).unwrap();
    file("large", 8, 5_000_000);
    file("small", 9, 500);
    file("replaced", 10, 500);
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("large"), b"old and large").unwrap();
    fs::write(target.join("small"), b"old and small").unwrap();
    symlink("old", target.join("replaced")).unwrap();
    for name in world.store.names().into_iter().filter(|name| name.starts_with("packs/")) {
        // The tree can still be read: it is in a pack of its own, which is much smaller.
        if world.store.read(&name).unwrap().len() > 1_000_000 {
            world.store.lose(&name);
        }
    }
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!((outcome.counts.failed, outcome.counts.damaged), (3, 3));
    assert_eq!(fs::read(target.join("large")).unwrap(), b"old and large");
    assert_eq!(fs::read(target.join("small")).unwrap(), b"old and small");
    assert_eq!(fs::read_link(target.join("replaced")).unwrap(), Path::new("old"));
}

#[test]
fn a_damaged_part_of_the_tree_costs_only_what_is_in_it_and_deletes_nothing() {
    let world = World::new();
    for index in 0..2000 {
        fs::write(world.source().join(format!("{index:04}")), noise(index, 10)).unwrap();
    }
    let snapshot = world.backup();
    let target = world.path("target");
    world.restore(&snapshot, &world.options(&target));
    fs::write(target.join("1999"), b"other").unwrap();
    let packs = world.store.names().into_iter().filter(|name| name.starts_with("packs/"));
    // Data are small here: the larger pack is that of the tree. Its first record is the first leaf.
    let tree = packs.max_by_key(|name| world.store.read(name).unwrap().len()).unwrap();
    world.store.flip_bit(&tree, 2000 * 8);
    let outcome = world.restore(&snapshot, &RestoreOptions { delete: true, ..world.options(&target) });
    assert_eq!((outcome.counts.failed, outcome.counts.damaged, outcome.counts.deleted), (1, 1, 0));
    assert!(outcome.problems[0].detail.starts_with("what comes behind it in the tree is lost: "));
    // Where a leaf ends depends on the keys, but it has 64 KiB at most: some 1,300 of these files.
    assert!((500..2000).contains(&outcome.counts.unchanged), "{:?}", outcome.counts);
    assert_eq!(outcome.counts.updated, 1);
    assert_eq!(fs::read(target.join("1999")).unwrap(), noise(1999, 10));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2000);
}

#[test]
fn an_unfinished_snapshot_deletes_nothing() {
    let world = World::new();
    let mut snapshot = world.backup();
    snapshot.incomplete = true;
    let error = world
        .try_restore(&snapshot, &RestoreOptions { delete: true, ..world.options(&world.path("target")) })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!world.path("target").exists());
}
