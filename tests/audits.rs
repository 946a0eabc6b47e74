//! Audits through the command line: short runs that add up, what they say, and what they leave to the next one.

use std::fs;
use std::path::PathBuf;

use crate::world::{Run, World};

/// A repository with several packs: one backup a file, each of a tree pack and a data pack.
fn world() -> World {
    let world = World::with_repository();
    world.backup();
    world.write("data/more", b"one more file");
    world.backup();
    world
}

/// The largest pack: the one with the noise.
fn data_pack(world: &World) -> PathBuf {
    world.objects("packs").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn name(world: &World, object: &std::path::Path) -> String {
    object.strip_prefix(world.path("repo")).unwrap().to_str().unwrap().to_owned()
}

fn flip(object: &std::path::Path) {
    let mut bytes = fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(object, bytes).unwrap();
}

fn scrub(world: &World, arguments: &[&str]) -> Run {
    Run::of(&mut world.command_without_secret(&[&["repo", "scrub"], arguments].concat()))
}

#[test]
fn nights_of_a_few_bytes_each_cover_everything() {
    let world = world();
    let packs = world.objects("packs").len() as u64;
    assert!(packs >= 4, "{packs}");
    for night in 1..=packs {
        let report =
            world.backstay(&["repo", "check", "--level", "full", "--max-bytes", "1", "-o", "json"]).succeeds().json();
        assert_eq!((&report["packs_read"], &report["clean"]), (&1.into(), &true.into()));
        let full = &report["coverage"][1];
        assert_eq!((&full["level"], &full["verified_packs"]), (&"full".into(), &night.into()));
        assert_eq!(full["packs"], packs);
    }
    let check = world.backstay(&["repo", "check"]).succeeds();
    check.prints(&[
        "no damage: 2 snapshots",
        "verified at level full: 100 %",
        "100 % in the last day",
        "the oldest 20",
    ]);
    // All of it is fresh.
    let check = world.backstay(&["repo", "check", "--level", "full", "--max-age", "1d"]).succeeds();
    check.prints(&["0 records in 0 packs (0 B) read and verified"]);
    assert_eq!(world.objects("audit").len(), 1);
}

#[test]
fn damage_is_named_with_what_mends_it_until_it_is_gone() {
    let world = world();
    let pack = data_pack(&world);
    let intact = fs::read(&pack).unwrap();
    flip(&pack);
    let name = name(&world, &pack);
    let damaged = format!("damaged: {name}: ");
    world.backstay(&["repo", "check"]).succeeds();
    world.backstay(&["repo", "check", "--level", "bytes"]).ends_with(5).prints(&[
        &damaged,
        "noise.bin",
        "snapshots: ",
        "mended by: backstay repo heal --from COPY, or else backstay repo repair packs",
        "1 object damaged",
    ]);
    // Known from then on, without reading it.
    for arguments in [&["repo", "check"][..], &["repo", "check", "--level", "list"], &["repo", "check", "--no-cache"]] {
        world.backstay(arguments).ends_with(5).prints(&[&damaged, "noise.bin", "was not read since"]);
    }
    fs::write(&pack, intact).unwrap();
    // The bad one is the first to be read again.
    world.backstay(&["repo", "check", "--level", "bytes", "--max-bytes", "1"]).succeeds().prints(&["no damage"]);
    world.backstay(&["repo", "check"]).succeeds();
    assert!(!world.path("repo/audit/damage").exists());
}

#[test]
fn a_scrub_without_the_password_saves_what_a_check_takes_over() {
    let world = world();
    scrub(&world, &["--max-bytes", "1"]).succeeds().prints(&["no damage", "verified at level bytes: "]);
    scrub(&world, &[]).succeeds().prints(&["verified at level bytes: 100 %"]);
    let [saved] = &world.objects("audit")[..] else { panic!("{:?}", world.objects("audit")) };
    assert!(fs::read_to_string(saved).unwrap().starts_with("backstay audit 1\n"));
    let check = world.backstay(&["repo", "check", "--level", "bytes", "--max-age", "1d"]).succeeds();
    check.prints(&["0 packs (0 B) read and compared with their names", "verified at level bytes: 100 %"]);
    let pack = data_pack(&world);
    flip(&pack);
    scrub(&world, &[]).ends_with(5).prints(&[&format!("damaged: {}: ", name(&world, &pack)), "mended by: "]);
    // With the password it is found out whom it touches.
    world.backstay(&["repo", "check"]).ends_with(5).prints(&[&name(&world, &pack), "noise.bin"]);
    assert!(world.path("repo/audit/damage").exists());
}

#[test]
fn parts_snapshots_and_nonsense() {
    let world = world();
    let mut read = 0;
    for part in ["1/3", "2/3", "3/3"] {
        let arguments = ["repo", "check", "--level", "bytes", "--subset", part, "-o", "json"];
        read += world.backstay(&arguments).succeeds().json()["packs_read"].as_u64().unwrap();
    }
    assert_eq!(read, world.objects("packs").len() as u64);
    let report =
        world.backstay(&["repo", "check", "--read-data", "--snapshot", "latest", "-o", "json"]).succeeds().json();
    assert_eq!(report["snapshots"], 1);
    world.backstay(&["repo", "check", "--snapshot", "ffffffff"]).ends_with(1).says(&["no snapshot ffffffff"]);
    for arguments in [
        &["--max-bytes", "10M"][..],
        &["--level", "full", "--subset", "4/3"],
        &["--level", "full", "--max-age", "soon"],
        &["--level", "list", "--read-data"],
    ] {
        world.backstay(&[&["repo", "check"], arguments].concat()).ends_with(2);
    }
}
