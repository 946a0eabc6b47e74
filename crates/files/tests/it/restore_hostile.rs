//! No write ever leaves the target: hostile snapshots, and targets with traps in them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use backstay_files::restore::{Action, Overwrite, RestoreOptions};
use backstay_format::tree::{Item, ItemKind};

use crate::restore_world::{World, assert_same, described, everything, item, noise};

/// What must be the same in the end: a directory beside the target, with a file in it.
fn outside(world: &World) -> (std::path::PathBuf, std::collections::BTreeMap<std::path::PathBuf, String>) {
    let outside = world.path("outside");
    fs::create_dir_all(outside.join("dir")).unwrap();
    fs::write(outside.join("precious"), b"precious").unwrap();
    fs::set_permissions(outside.join("precious"), fs::Permissions::from_mode(0o640)).unwrap();
    let described = described(&outside);
    (outside, described)
}

fn names(target: &Path) -> Vec<String> {
    described(target).into_keys().map(|path| path.display().to_string()).collect()
}

#[test]
fn names_that_lead_elsewhere_are_refused_one_by_one() {
    let world = World::new();
    let (outside, before) = outside(&world);
    let absolute = outside.join("absolute");
    let file = world.stored(b"hostile");
    let link = |target: &[u8]| ItemKind::HardLink { target: target.to_vec() };
    let mut items: Vec<Item> = [
        &b"."[..],
        b"..",
        b"..\0outside\0planted",
        b"../outside/planted",
        b"a/../../outside/planted",
        b"\0empty",
        b"b\0\0c",
        b"b\0.\0c",
        b"b\0..\0..\0outside\0planted",
        b"b\0..",
        absolute.as_os_str().as_encoded_bytes(),
    ]
    .iter()
    .flat_map(|key| [*key].map(|key| item(key, file.clone())))
    .collect();
    items.push(item(b"..\0outside", ItemKind::Directory));
    items.push(item(b"..\0outside\0dir", ItemKind::Symlink { target: b"planted".to_vec() }));
    items.push(item(b"b\0..\0fifo", ItemKind::Fifo));
    let refused = items.len() as u64;
    items.push(item(b"good", file.clone()));
    items.push(item(b"m1", link(b"..\0outside\0precious")));
    items.push(item(b"m2", link(b"../outside/precious")));
    items.push(item(b"m3", link(b"m2")));
    items.push(item(b"m4", link(b"m4")));
    items.push(item(b"z", link(b"good")));
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items.dedup_by(|a, b| a.key == b.key);
    let snapshot = world.snapshot_of(&items);
    let target = world.path("target");
    for options in
        [everything(&target), RestoreOptions { overwrite: Overwrite::Always, delete: true, ..everything(&target) }]
    {
        let outcome = world.restore(&snapshot, &options);
        let count = |reason: &str| outcome.problems.iter().filter(|entry| entry.reason == reason).count() as u64;
        assert_eq!(count("hostile-name"), refused);
        assert_eq!(outcome.counts.failed, refused + 4, "{:?}", outcome.problems);
        assert_eq!(names(&target), ["", "good", "z"]);
        assert_eq!(described(&outside), before);
    }
}

#[test]
fn what_is_below_a_file_or_a_link_of_the_same_snapshot_is_refused() {
    let world = World::new();
    let (outside, before) = outside(&world);
    let file = world.stored(b"hostile");
    let to_outside = ItemKind::Symlink { target: outside.as_os_str().as_encoded_bytes().to_vec() };
    let snapshot = world.snapshot_of(&[
        item(b"file", file.clone()),
        item(b"file\0below", file.clone()),
        item(b"link", to_outside),
        item(b"link\0dir\0deeper", file.clone()),
        item(b"link\0planted", file.clone()),
        item(b"link\0planted\0more", ItemKind::Directory),
    ]);
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &everything(&target));
    assert_eq!(outcome.counts.failed, 4, "{:?}", outcome.problems);
    assert!(outcome.problems.iter().all(|entry| entry.reason == "hostile-name"));
    assert_eq!(fs::read_link(target.join("link")).unwrap(), outside);
    assert_eq!(described(&outside), before);
}

#[test]
fn a_link_in_the_place_of_a_directory_is_replaced_and_never_followed() {
    let world = World::new();
    let (outside, before) = outside(&world);
    fs::create_dir_all(world.source().join("a/b")).unwrap();
    fs::write(world.source().join("a/b/precious"), b"mine").unwrap();
    let snapshot = world.backup();
    for (name, place) in [("first", "a"), ("second", "a/b")] {
        let target = world.path(name);
        fs::create_dir_all(target.join(place).parent().unwrap()).unwrap();
        symlink(&outside, target.join(place)).unwrap();
        let outcome = world.restore(&snapshot, &RestoreOptions { delete: true, ..world.options(&target) });
        assert_eq!(outcome.problems, []);
        assert_same(&target, &world.source());
        assert_eq!(described(&outside), before);
    }
}

#[test]
fn a_link_in_the_place_of_a_directory_stays_when_nothing_may_be_overwritten() {
    let world = World::new();
    let (outside, before) = outside(&world);
    fs::create_dir(world.source().join("a")).unwrap();
    fs::write(world.source().join("a/new"), b"x").unwrap();
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    symlink(&outside, target.join("a")).unwrap();
    let outcome = world.restore(&snapshot, &RestoreOptions { overwrite: Overwrite::Never, ..world.options(&target) });
    assert_eq!((outcome.counts.left, outcome.counts.failed), (2, 0));
    assert_eq!(described(&outside), before);
}

#[test]
fn a_directory_that_becomes_a_link_during_the_restore_is_not_followed() {
    let world = World::new();
    let (outside, before) = outside(&world);
    // More directories than are kept open, so that the first ones have to be opened again for the links in them.
    for index in 0..2500 {
        let directory = world.source().join(format!("{index:04}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), noise(index, 100)).unwrap();
        fs::hard_link(directory.join("file"), directory.join("link")).unwrap();
    }
    let snapshot = world.backup();
    let target = world.path("target");
    let swap = |action: Action, key: &[u8]| {
        if action == Action::Create && key.ends_with(b"\x002499\0file") {
            for name in ["0000", "0001", "0002"] {
                fs::rename(target.join(name), target.join(format!("{name}-moved"))).unwrap();
                symlink(&outside, target.join(name)).unwrap();
            }
        }
    };
    let outcome = world.restore(&snapshot, &RestoreOptions { each: Some(&swap), ..world.options(&target) });
    assert_eq!(described(&outside), before);
    // The directories' metadata and the links in them, or the copies that take the links' place.
    assert!(outcome.counts.failed >= 3, "{:?}", outcome.counts);
    assert!(
        outcome.problems.iter().all(|entry| ["/0000", "/0001", "/0002"].iter().any(|name| entry.path.contains(name)))
    );
}

#[test]
fn a_file_with_another_name_outside_is_replaced_and_not_written_into() {
    let world = World::new();
    let (outside, before) = outside(&world);
    fs::write(world.source().join("contents"), b"other").unwrap();
    fs::write(world.source().join("metadata"), b"precious").unwrap();
    let modified = fs::metadata(outside.join("precious")).unwrap().modified().unwrap();
    fs::File::options().write(true).open(world.source().join("metadata")).unwrap().set_modified(modified).unwrap();
    fs::set_permissions(world.source().join("metadata"), fs::Permissions::from_mode(0o777)).unwrap();
    let snapshot = world.backup();
    for overwrite in [Overwrite::Changed, Overwrite::Always] {
        let target = world.path(&format!("{overwrite:?}"));
        fs::create_dir(&target).unwrap();
        for name in ["contents", "metadata"] {
            fs::hard_link(outside.join("precious"), target.join(name)).unwrap();
        }
        let outcome = world.restore(&snapshot, &RestoreOptions { overwrite, ..world.options(&target) });
        assert_eq!(outcome.problems, []);
        assert_same(&target, &world.source());
        assert_eq!(described(&outside), before);
        assert_eq!(fs::metadata(outside.join("precious")).unwrap().nlink(), 1);
    }
}

#[test]
fn links_and_pipes_in_the_place_of_files_are_replaced_and_never_opened() {
    let world = World::new();
    let (outside, before) = outside(&world);
    for name in ["empty", "fifo", "large", "small"] {
        let len = match name {
            "empty" => 0,
            "large" => 3_000_000,
            _ => 10,
        };
        fs::write(world.source().join(name), noise(1, len)).unwrap();
    }
    let snapshot = world.backup();
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    for name in ["empty", "large", "small"] {
        symlink(outside.join("precious"), target.join(name)).unwrap();
    }
    let fifo = target.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let outcome = world.restore(&snapshot, &world.options(&target));
    assert_eq!(outcome.problems, []);
    assert_eq!(outcome.counts.updated, 4);
    assert_same(&target, &world.source());
    assert_eq!(described(&outside), before);
}

#[test]
fn metadata_of_links_is_set_on_the_links() {
    let world = World::new();
    let (outside, before) = outside(&world);
    let mut link =
        item(b"link", ItemKind::Symlink { target: outside.join("precious").as_os_str().as_encoded_bytes().to_vec() });
    link.mode = 0o777;
    if rustix::process::geteuid().is_root() {
        (link.uid, link.gid) = (1234, 4321);
    }
    let snapshot = world.snapshot_of(&[link.clone()]);
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &everything(&target));
    assert_eq!(outcome.problems, []);
    let metadata = fs::symlink_metadata(target.join("link")).unwrap();
    assert_eq!((metadata.uid(), metadata.mtime()), (link.uid, link.modified.seconds));
    // Again, where it is there already with other times.
    rustix::fs::utimensat(
        rustix::fs::CWD,
        target.join("link"),
        &rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
            last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
        },
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let outcome = world.restore(&snapshot, &everything(&target));
    assert_eq!(outcome.counts.updated, 1);
    assert_eq!(fs::symlink_metadata(target.join("link")).unwrap().mtime(), link.modified.seconds);
    assert_eq!(described(&outside), before);
}

#[test]
fn numbers_that_mean_something_else_to_the_system_do_no_harm() {
    let world = World::new();
    let file = world.stored(b"x");
    let mut odd_time = item(b"a", file.clone());
    odd_time.modified.nanoseconds = (1 << 30) - 1;
    let mut odd_owner = item(b"b", file.clone());
    (odd_owner.uid, odd_owner.gid) = (u32::MAX, u32::MAX);
    let mut odd_mode = item(b"c", file);
    odd_mode.mode = u32::MAX;
    let sparse = ItemKind::File {
        size_bytes: u64::MAX,
        content: backstay_format::tree::Content::Extents(vec![backstay_format::tree::Extent::Hole { len: u64::MAX }]),
        hash: None,
        racy: false,
    };
    let snapshot = world.snapshot_of(&[odd_time.clone(), odd_owner, odd_mode, item(b"d", sparse)]);
    let target = world.path("target");
    let outcome = world.restore(&snapshot, &everything(&target));
    let failed: Vec<_> = outcome.problems.iter().map(|entry| &entry.path[..]).collect();
    assert_eq!(failed, ["/d"]);
    assert_eq!(names(&target), ["", "a", "b", "c"]);
    let metadata = fs::metadata(target.join("a")).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (odd_time.modified.seconds, 999_999_999));
    assert_eq!(fs::metadata(target.join("c")).unwrap().mode() & 0o7777, 0o7777);
}
