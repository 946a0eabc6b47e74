//! The same story on each kind of storage, and storage that refuses.

use std::fs;

use backstay_testkit::servers;

use crate::mounts::Mounted;
use crate::world::{Run, World, noise};

fn tell(world: &World) {
    world.backstay(&["snapshots"]).ends_with(10);
    world.backstay(&["repo", "init"]).succeeds().says(&["made repository"]);
    world.backstay(&["repo", "init"]).ends_with(4);
    let first = world.backup();
    world.write("data/letters/three.txt", b"new\n");
    world.backup();
    world.backstay(&["diff", &first, "latest"]).succeeds().prints(&["three.txt"]);
    world.backstay(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 2 snapshots"]);
    world.backstay(&["repo", "scrub"]).succeeds();
    let snapshot = format!("latest:{}", world.text("data"));
    world
        .backstay(&["restore", "files", &snapshot, "--target", &world.text("out"), "--verify", "--no-cache"])
        .succeeds();
    world.assert_equal("data", "out");
}

#[test]
fn a_repository_lives_in_an_s3_bucket() {
    tell(&World::with_bucket(&servers::s3()));
}

#[test]
fn a_repository_lives_in_an_azure_container() {
    tell(&World::with_bucket(&servers::azure()));
}

#[test]
fn a_bucket_with_retention_works_because_nothing_is_ever_overwritten() {
    let world = World::with_bucket(&servers::s3_with_retention());
    world.backstay(&["repo", "init"]).succeeds();
    world.backup();
    world.write("data/letters/three.txt", b"new\n");
    world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn wrong_credentials_are_refused_without_repeating_them() {
    let mut bucket = servers::s3();
    bucket.options.environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "planted-wrong-secret".to_owned());
    let world = World::with_bucket(&bucket);
    let run = world.backstay(&["snapshots"]).ends_with(1).says(&["cannot", "hint: check the credentials"]);
    assert!(!run.stderr.contains("planted"), "{}", run.stderr);
}

#[test]
fn a_full_disk_is_said_to_be_full_and_nothing_is_lost() {
    let mut world = World::new();
    // Half of it is the reserve.
    let disk = Mounted::disk(&world, 32);
    world.location = format!("{}/repo", disk.path);
    world.backstay(&["repo", "init"]).succeeds();
    world.backup();
    world.write("data/large.bin", &noise(5, 16 << 20));
    let run = world.backstay(&["backup", "files", &world.text("data")]).ends_with(1);
    run.says(&["error: cannot store packs/", "hint: free some space", "No space left"]);
    world.backstay(&["repo", "check", "--read-data", "--no-cache"]).succeeds().prints(&["no damage: 1 snapshot"]);
}

#[test]
fn a_full_disk_is_made_room_on_by_forgetting_and_collecting() {
    let mut world = World::new();
    let disk = Mounted::disk(&world, 48);
    world.location = format!("{}/repo", disk.path);
    world.backstay(&["repo", "init"]).succeeds();
    let kept = world.backup();
    world.write("large/large.bin", &noise(5, 8 << 20));
    let run = world.backstay(&["backup", "files", "-o", "name", &world.text("large")]).succeeds();
    let large = run.stdout.trim();
    // To the last byte.
    let rest = fs::File::create(format!("{}/rest", disk.path)).unwrap();
    let full = std::io::copy(&mut std::io::repeat(1), &mut &rest).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    world.write("data/more.bin", &noise(6, 4 << 20));
    let run = world.backstay(&["backup", "files", &world.text("data")]).ends_with(1);
    run.says(&["No space left", "hint: free some space"]);
    world.backstay(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 2 snapshots"]);

    let reserve = format!("{}/reserve", world.location);
    assert!(fs::exists(&reserve).unwrap());
    world.backstay(&["forget", "--force", large]).succeeds();
    assert!(!fs::exists(&reserve).unwrap(), "it was given up for the entry");
    world.backstay(&["repo", "gc", "--grace", "0s"]).succeeds().prints(&["freed "]);
    assert!(fs::exists(&reserve).unwrap(), "it is there for the next time");
    let again = world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 2 snapshots"]);
    let from = format!("{again}:{}", world.text("data"));
    world.backstay(&["restore", "files", &from, "--target", &world.text("out")]).succeeds();
    world.assert_equal("data", "out");
    world.backstay(&["cat", &format!("{kept}:{}/letters/one.txt", world.text("data"))]).succeeds();
}

#[test]
fn a_file_size_limit_is_a_full_disk_too() {
    let world = World::with_repository();
    world.write("data/large.bin", &noise(5, 8 << 20));
    let run = world.with_file_limit(4 << 20, &["backup", "files", "--no-cache", &world.text("data")]).ends_with(1);
    run.says(&["cannot store packs/", "hint: free some space"]);
    world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn a_read_only_store_is_read_and_whoever_writes_to_it_learns_why_not() {
    let mut world = World::with_repository();
    let first = world.backup();
    let second = world.backup();
    world.write("data/letters/three.txt", b"new\n");
    let before = world.objects("");
    let read_only = Mounted::read_only(&world.path("repo"));
    world.location.clone_from(&read_only.path);
    let data = format!("{first}:{}", world.text("data"));
    // With the local index of earlier runs, and then with one that is made of what is read.
    for (cache, target) in [("home/.cache/backstay", "out"), ("new", "out-again")] {
        let reads = |arguments: &[&str]| world.backstay(&[arguments, &["--cache-dir", &world.text(cache)]].concat());
        reads(&["snapshots", "-o", "name"]).succeeds().prints(&[&first, &second]);
        reads(&["ls", "-R", "latest"]).succeeds().prints(&["two.txt"]);
        reads(&["cat", &format!("{data}/letters/one.txt")]).succeeds().prints(&["Dear Ishmael"]);
        reads(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage"]);
        reads(&["restore", "files", &data, "--target", &world.text(target)]).succeeds();
        assert!(world.path(target).join("letters/one.txt").exists());
    }
    Run::of(&mut world.command_without_secret(&["repo", "scrub"])).succeeds();
    for arguments in [
        &["backup", "files", &world.text("data")][..],
        &["forget", &first],
        &["repo", "gc"],
        &["hold", &first, "--reason", "x"],
    ] {
        let run = world.backstay(arguments).ends_with(1);
        run.says(&["error: cannot", "Read-only file system", "hint: check the credentials, and the permissions"]);
    }
    drop(read_only);
    world.location = world.text("repo");
    assert_eq!(world.objects(""), before, "nothing came, and nothing went");
    world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 3 snapshots"]);
}
