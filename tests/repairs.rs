//! A broken repository is mended by what it still holds, as it is typed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{Run, World};

/// The pack that holds the files' contents: the larger one.
fn data_pack(world: &World) -> PathBuf {
    world.objects("packs").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn flip(object: &Path, position: usize) {
    let mut bytes = fs::read(object).unwrap();
    bytes[position] ^= 0x10;
    fs::write(object, bytes).unwrap();
}

fn name(world: &World, object: &Path) -> String {
    object.strip_prefix(world.path("repo")).unwrap().to_str().unwrap().to_owned()
}

/// Runs without what an earlier run has kept on this host.
fn afresh(world: &World, arguments: &[&str]) -> Run {
    world.backstay(&[arguments, &["--no-cache"]].concat())
}

fn restore(world: &World, snapshot: &str) -> Run {
    let what = format!("{snapshot}:{}", world.text("data"));
    afresh(world, &["restore", "files", &what, "--target", &world.text("out")])
}

#[test]
fn a_lost_index_is_made_again() {
    let world = World::with_repository();
    world.backup();
    world.backup();
    for segment in world.objects("index") {
        fs::remove_file(segment).unwrap();
    }
    restore(&world, "latest").ends_with(1).says(&["index/"]);
    let planned = afresh(&world, &["repo", "repair", "index", "--dry-run"]).ends_with(5);
    planned.prints(&["damaged: index/", "2 packs", "no index segment"]).says(&["nothing was changed"]);
    afresh(&world, &["repo", "repair", "index"]).ends_with(2).says(&["needs a confirmation", "--yes"]);
    assert!(world.objects("index").is_empty());
    afresh(&world, &["repo", "repair", "packs"]).ends_with(5).says(&["repo repair index"]);
    let repaired = afresh(&world, &["repo", "repair", "index", "--yes"]).succeeds();
    repaired.says(&["indexed ", "in 2 packs", "repo check"]);
    restore(&world, "latest").succeeds();
    world.assert_equal("data", "out");
    afresh(&world, &["repo", "check", "--read-data"]).succeeds();
    afresh(&world, &["repo", "repair", "index"]).succeeds().says(&["every index segment and checkpoint can be read"]);
}

#[test]
fn what_the_source_still_has_is_whole_again_after_the_next_backup() {
    let world = World::with_repository();
    let old = world.backup();
    let pack = data_pack(&world);
    flip(&pack, 1 << 20);
    afresh(&world, &["repo", "check", "--read-data"]).ends_with(5);
    let planned = afresh(&world, &["repo", "repair", "packs", "--dry-run"]).ends_with(5);
    planned
        .prints(&[&format!("damaged: {}", name(&world, &pack)), "1 lost", &old[..8], "noise.bin"])
        .says(&["repo heal --from COPY"]);
    let new = world.backup();
    let document = afresh(&world, &["repo", "repair", "packs", "--yes", "-o", "json"]).succeeds().json();
    assert_eq!(
        (&document["done"]["packs_retired"], &document["plan"]["snapshots"]),
        (&1.into(), &serde_json::json!([]))
    );
    let kept = world.path("repo").join(document["done"]["quarantined"][0].as_str().unwrap());
    assert_eq!(fs::read(&kept).unwrap(), fs::read(&pack).unwrap());
    afresh(&world, &["repo", "repair", "snapshots"]).succeeds().says(&["nothing is lost of any snapshot"]);
    // A collection deletes it one day.
    fs::remove_file(&pack).unwrap();
    afresh(&world, &["repo", "check", "--read-data"]).succeeds();
    for snapshot in [&old, &new] {
        restore(&world, snapshot).succeeds();
        world.assert_equal("data", "out");
        fs::remove_dir_all(world.path("out")).unwrap();
    }
}

#[test]
fn what_is_lost_is_named_and_the_rest_of_the_snapshot_is_kept() {
    let world = World::with_repository();
    let old = world.backup();
    let pack = data_pack(&world);
    flip(&pack, 1 << 20);
    fs::remove_file(world.path("data/noise.bin")).unwrap();
    afresh(&world, &["repo", "repair", "packs"]).succeeds().says(&["--read-data reads all of them"]);
    let repaired = afresh(&world, &["repo", "repair", "packs", "--read-data", "--yes"]).ends_with(5);
    repaired.prints(&["1 lost", "noise.bin"]).says(&["saved ", "kept as quarantine/packs/", "repo repair snapshots"]);
    let planned = afresh(&world, &["repo", "repair", "snapshots", "--dry-run"]).ends_with(5);
    planned.prints(&[&format!("snapshot {} of ", &old[..8]), "1 item lost", "noise.bin"]);
    let repaired = afresh(&world, &["repo", "repair", "snapshots", "--yes"]).succeeds();
    repaired.says(&["heal --from COPY", &format!("what is left of {} is ", &old[..8]), "forgotten"]);
    afresh(&world, &["repo", "check", "--read-data"]).succeeds();
    let run = world.backstay(&["snapshots", "-o", "name"]).succeeds();
    let [new] = run.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{run:?}") };
    assert_ne!(new, old);
    afresh(&world, &["show", new]).succeeds().prints(&["noise.bin", "lost"]);
    restore(&world, new);
    world.assert_equal("data", "out");
}
