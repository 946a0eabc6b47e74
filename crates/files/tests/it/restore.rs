//! Restoring into a new folder: what was backed up comes back as it was.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use backstay_files::FilesError;
use backstay_files::restore::{Action, Ownership, RestoreOptions, restore};
use backstay_format::tree::{Content, Extent, ItemKind, display_key};
use backstay_repo::{ErrorKind, Progress};
use backstay_testkit::faulty::{Fault, Verb};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::restore_world::{World, assert_same, described, everything, item, key, noise};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A directory with one of everything; files of all sizes among them.
fn fill(source: &Path) {
    fs::write(source.join("empty"), b"").unwrap();
    fs::write(source.join("small"), b"a few bytes").unwrap();
    fs::write(source.join("one chunk"), noise(1, 200_000)).unwrap();
    fs::write(source.join("many chunks"), noise(2, 9_000_000)).unwrap();
    fs::create_dir_all(source.join("a/b/c")).unwrap();
    for index in 0..300 {
        fs::write(source.join(format!("a/b/{index}")), noise(index + 10, (index * 37) as usize)).unwrap();
    }
    fs::write(source.join(OsStr::from_bytes(b"not \xff\xfe utf-8\n\t\x01")), b"odd").unwrap();
    fs::write(source.join("program"), b"#!/bin/sh\n").unwrap();
    set_mode(&source.join("program"), 0o4755);
    symlink("nowhere/at/all", source.join("dangling")).unwrap();
    symlink("a/b", source.join("to a directory")).unwrap();
    set_time(&source.join("dangling"), -86_400, 7);
    let node = |name: &str, kind, mode, device| {
        rustix::fs::mknodat(CWD, source.join(name), kind, Mode::from_raw_mode(mode), device).unwrap();
    };
    node("fifo", FileType::Fifo, 0o620, 0);
    if rustix::process::geteuid().is_root() {
        node("null", FileType::CharacterDevice, 0o666, rustix::fs::makedev(1, 3));
        rustix::fs::chownat(CWD, source.join("a"), None, Some(rustix::fs::Gid::from_raw(4321)), AtFlags::empty())
            .unwrap();
        rustix::fs::chownat(
            CWD,
            source.join("dangling"),
            Some(rustix::fs::Uid::from_raw(1234)),
            None,
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
    fs::hard_link(source.join("many chunks"), source.join("a/second name")).unwrap();
    fs::hard_link(source.join("small"), source.join("third")).unwrap();
    fs::create_dir(source.join("read only")).unwrap();
    fs::write(source.join("read only/inside"), b"inside").unwrap();
    set_xattr(&source.join("read only"), "user.of-directory", b"d");
    set_xattr(&source.join("small"), "user.binary", &[0, 255, 1]);
    set_xattr(&source.join("a/b/3"), "user.of-closed", b"closed");
    set_mode(&source.join("read only"), 0o500);
    if rustix::process::geteuid().is_root() {
        set_mode(&source.join("a/b/3"), 0);
    }
    set_time(&source.join("a/b/7"), 1_000_000_000, 1);
    set_time(&source.join("a/b"), 1_000_000_001, 999_999_999);
    set_time(&source.join("a"), 1_000_000_002, 5);
}

#[test]
fn everything_a_directory_can_hold_comes_back_as_it_was() {
    let world = World::new();
    let source = world.source();
    fill(&source);
    set_mode(&source, 0o751);
    set_time(&source, 1_234_567_890, 42);
    let snapshot = world.backup();
    let target = world.path("target");
    let options = RestoreOptions { verify: true, ..world.options(&target) };
    let outcome = world.restore(&snapshot, &options);
    assert_eq!(outcome.problems, []);
    assert_eq!(outcome.notes, []);
    assert_same(&target, &source);
    let inode = |path: &str| fs::symlink_metadata(target.join(path)).unwrap().ino();
    assert_eq!(inode("many chunks"), inode("a/second name"));
    assert_eq!(inode("small"), inode("third"));
    assert_ne!(inode("small"), inode("program"));
    assert_eq!(outcome.counts.created, described(&source).len() as u64 - 1);
}

#[test]
fn holes_come_back_as_holes() {
    let world = World::new();
    let sparse = File::create(world.source().join("sparse")).unwrap();
    sparse.set_len(24 << 20).unwrap();
    sparse.write_all_at(&noise(3, 100_000), 20 << 20).unwrap();
    let only_hole = File::create(world.source().join("only a hole")).unwrap();
    only_hole.set_len(20 << 20).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &RestoreOptions { verify: true, ..world.options(&target) });
    assert_eq!(outcome.problems, []);
    assert_same(&target, &world.source());
    let allocated = |name: &str| fs::metadata(target.join(name)).unwrap().blocks() * 512;
    assert!(allocated("sparse") < 1 << 20, "{} bytes on the disk", allocated("sparse"));
    assert_eq!(allocated("only a hole"), 0);
    assert!(outcome.written_bytes < 1 << 20);
}

#[test]
fn directories_nested_deeper_than_descriptors_may_be_open_come_back() {
    let world = World::new();
    let deep: PathBuf = std::iter::repeat_n("d", 700).collect();
    fs::create_dir_all(world.source().join(&deep)).unwrap();
    fs::write(world.source().join(&deep).join("bottom"), b"deep").unwrap();
    fs::write(world.source().join("d/d/e"), b"behind it").unwrap();
    set_time(&world.source().join("d/d"), 1_000_000_000, 1);
    let snapshot = world.backup();
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &RestoreOptions { verify: true, ..world.options(&target) });
    assert_eq!(outcome.problems, []);
    assert_same(&target, &world.source());
}

#[test]
fn without_a_part_absolute_paths_land_below_the_target_which_stays_as_it_is() {
    let world = World::new();
    fs::write(world.source().join("file"), b"x").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    set_mode(&target, 0o711);
    let outcome = world.restore(&snapshot, &everything(&target));
    assert_eq!(outcome.problems, []);
    let below = target.join(world.source().strip_prefix("/").unwrap());
    assert_same(&below, &world.source());
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn a_part_that_is_a_file_lands_in_the_target_under_its_name() {
    let world = World::new();
    fs::create_dir(world.source().join("a")).unwrap();
    fs::write(world.source().join("a/file"), b"x").unwrap();
    fs::write(world.source().join("a/file2"), b"y").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    let options = RestoreOptions { subtree: Some(key(&world.source().join("a/file"))), ..everything(&target) };
    let outcome = world.restore(&snapshot, &options);
    assert_eq!(outcome.counts.created, 1);
    assert_eq!(fs::read(target.join("file")).unwrap(), b"x");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}

#[test]
fn a_part_that_the_snapshot_does_not_have_is_an_error_that_names_it() {
    let world = World::new();
    let snapshot = world.backup();
    let options = RestoreOptions { subtree: Some(b"no\0where".to_vec()), ..everything(&world.path("target")) };
    let error = world.try_restore(&snapshot, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), format!("/no/where is not in snapshot {}", snapshot.id));
}

#[test]
fn globs_choose_what_is_restored_and_only_directories_on_the_way_are_made() {
    let world = World::new();
    for path in ["logs/a.log", "logs/a.txt", "data/b.log", "data/cache/c.log", "other/d.txt", "whole/x/y"] {
        let path = world.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    let snapshot = world.backup();
    let target = world.path("target");
    let options = RestoreOptions {
        include: vec!["*.log".into(), "whole".into()],
        exclude: vec!["cache/".into()],
        ..world.options(&target)
    };
    let outcome = world.restore(&snapshot, &options);
    assert_eq!(outcome.problems, []);
    let found: Vec<_> = described(&target).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(found, ["", "data", "data/b.log", "logs", "logs/a.log", "whole", "whole/x", "whole/x/y"]);
    // The two files and what is called `whole`; not the directories that only lead there.
    assert_eq!(outcome.counts.created, 5);
}

#[test]
fn links_to_a_file_that_is_not_restored_become_one_file_with_its_contents() {
    let world = World::new();
    for path in ["a", "b"] {
        fs::create_dir(world.source().join(path)).unwrap();
    }
    fs::write(world.source().join("a/first"), noise(4, 3_000_000)).unwrap();
    fs::hard_link(world.source().join("a/first"), world.source().join("b/second")).unwrap();
    fs::hard_link(world.source().join("a/first"), world.source().join("b/third")).unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    let options = RestoreOptions { subtree: Some(key(&world.source().join("b"))), verify: true, ..everything(&target) };
    let outcome = world.restore(&snapshot, &options);
    assert_eq!(outcome.problems, []);
    assert_same(&target, &world.source().join("b"));
    let inode = |path: &str| fs::metadata(target.join(path)).unwrap().ino();
    assert_eq!(inode("second"), inode("third"));
}

#[test]
fn owners_are_restored_where_that_is_permitted_and_said_once_where_it_is_not() {
    let world = World::new();
    let mut items = [item(b"a", world.stored(b"a")), item(b"b", ItemKind::Directory), item(b"c", ItemKind::Fifo)];
    for item in &mut items {
        (item.uid, item.gid) = (item.uid + 1234, item.gid + 4321);
    }
    let snapshot = world.snapshot_of(&items);
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &everything(&target));
    assert_eq!(outcome.problems, []);
    let is_root = rustix::process::geteuid().is_root();
    for item in &items {
        let metadata = fs::symlink_metadata(target.join(display_key(&item.key))).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()) == (item.uid, item.gid), is_root);
    }
    let notes: Vec<_> = outcome.notes.iter().map(|note| (&note.reason[..], note.items)).collect();
    assert_eq!(notes, if is_root { vec![] } else { vec![("ownership", 3)] });
}

#[test]
fn owners_are_left_alone_on_request_and_then_no_program_runs_as_somebody_else() {
    let world = World::new();
    let mut program = item(b"program", world.stored(b"#!/bin/sh\n"));
    (program.uid, program.gid, program.mode) = (program.uid + 12, program.gid + 34, 0o6755);
    let snapshot = world.snapshot_of(&[program]);
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &RestoreOptions { ownership: Ownership::Ignored, ..everything(&target) });
    assert_eq!((outcome.problems, outcome.notes), (vec![], vec![]));
    let metadata = fs::metadata(target.join("program")).unwrap();
    assert_eq!(metadata.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(metadata.mode() & 0o7777, 0o755);
}

#[test]
fn inherited_acls_do_not_stay_on_what_is_restored() {
    let world = World::new();
    fs::create_dir(world.source().join("a")).unwrap();
    fs::write(world.source().join("a/file"), b"x").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    // Version 2; owner rwx, user 77 rwx, group r-x, mask rwx, others r-x.
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let acl = [
        2u32.to_le_bytes().to_vec(),
        entry(1, 7, none),
        entry(2, 7, 77),
        entry(4, 5, none),
        entry(16, 7, none),
        entry(32, 5, none),
    ]
    .concat();
    set_xattr(&target, "system.posix_acl_default", &acl);
    let below = target.join("below");
    fs::create_dir(&below).unwrap();
    let outcome = world.restore(&snapshot, &world.options(&below));
    assert_eq!(outcome.problems, []);
    assert_same(&below, &world.source());
}

#[test]
fn a_lost_pack_fails_the_files_in_it_by_name_and_no_others() {
    let world = World::new();
    fs::write(world.source().join("first"), noise(5, 5_000_000)).unwrap();
    world.backup();
    let lost: Vec<_> = world.store.names().into_iter().filter(|name| name.starts_with("packs/")).collect();
    fs::write(world.source().join("second"), noise(6, 5_000_000)).unwrap();
    fs::write(world.source().join("third"), b"small and new").unwrap();
    let snapshot = world.backup();
    for name in lost {
        world.store.lose(&name);
    }
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &world.options(&target));
    let failed: Vec<_> = outcome.problems.iter().map(|entry| (&entry.path[..], &entry.reason[..])).collect();
    let first = world.source().join("first");
    assert_eq!(failed, [(first.to_str().unwrap(), "damaged")]);
    assert_eq!((outcome.counts.failed, outcome.counts.damaged), (1, 1));
    assert!(outcome.found_damage() && outcome.is_partial());
    let found: Vec<_> = described(&target).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(found, ["", "second", "third"]);
    assert_eq!(fs::read(target.join("second")).unwrap(), noise(6, 5_000_000));
}

#[test]
fn a_store_that_fails_altogether_ends_the_run_instead_of_failing_every_file() {
    let world = World::new();
    fs::write(world.source().join("file"), noise(7, 1_000_000)).unwrap();
    let snapshot = world.backup();
    world.store.inject_always(Verb::Get, "packs/", Fault::Denied);
    let error = world.try_restore(&snapshot, &world.options(&world.path("target"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[test]
fn contents_that_contradict_the_tree_are_damage_and_leave_no_file() {
    let world = World::new();
    let ItemKind::File { content: Content::Extents(extents), .. } = world.stored(&noise(8, 1000)) else { panic!() };
    let Extent::Chunk { id, .. } = extents[0] else { panic!() };
    let file = |extents: Vec<Extent>| ItemKind::File {
        size_bytes: extents.iter().map(Extent::len).sum(),
        content: Content::Extents(extents),
        hash: None,
        racy: false,
    };
    let snapshot = world.snapshot_of(&[
        item(b"behind its end", file(vec![Extent::Part { id, offset: 900, len: 200 }])),
        item(b"good", file(vec![Extent::Part { id, offset: 900, len: 100 }])),
        item(b"longer", file(vec![Extent::Chunk { id, len: 1001 }])),
        item(b"much longer", file(vec![Extent::Chunk { id, len: 1000 }, Extent::Chunk { id, len: 2000 }])),
    ]);
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &everything(&target));
    assert_eq!(outcome.counts.damaged, 3);
    let found: Vec<_> = described(&target).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(found, ["", "good"]);
    assert_eq!(fs::read(target.join("good")).unwrap(), &noise(8, 1000)[900..]);
}

#[test]
fn a_cancelled_restore_ends_as_interrupted() {
    let world = World::new();
    fs::write(world.source().join("file"), b"x").unwrap();
    let snapshot = world.backup();
    let progress = Progress::new();
    progress.cancel();
    let result = restore(&world.repository, &snapshot, &world.options(&world.path("target")), &progress);
    let Err(FilesError::Repository(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn items_are_announced_in_the_order_of_the_tree() {
    let world = World::new();
    fs::create_dir(world.source().join("b")).unwrap();
    for path in ["a", "b/c", "d"] {
        fs::write(world.source().join(path), b"x").unwrap();
    }
    let snapshot = world.backup();
    let seen = Mutex::new(Vec::new());
    let strip = key(&world.source()).len() + 1;
    let each = |action: Action, key: &[u8]| seen.lock().unwrap().push((action, display_key(&key[strip..])));
    world.restore(&snapshot, &RestoreOptions { each: Some(&each), ..world.options(&world.path("target")) });
    let expected = ["a", "b", "b/c", "d"].map(|path| (Action::Create, path.to_owned()));
    assert_eq!(*seen.lock().unwrap(), expected);
}
