//! The same story on each kind of storage, and storage that refuses.

use std::fs;
use std::process::Command;

use backstay_testkit::servers;

use crate::world::{BACKSTAY, Run, World, noise};

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

/// Runs a script as root of a mount namespace of its own: what it mounts is gone with it.
fn with_mounts(world: &World, script: &str, arguments: &[&str]) -> Run {
    let program = world.command(arguments);
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-ec", script, "sh", BACKSTAY]).args(program.get_args());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.path("")).stdin(std::process::Stdio::null());
    Run::of(&mut command)
}

#[test]
fn a_full_disk_is_said_to_be_full_and_nothing_is_lost() {
    let world = World::with_repository();
    world.backup();
    world.write("data/large.bin", &noise(5, 40 << 20));
    // The repository, on a disk of its own that has room for half of that.
    let script = "mkdir full && mount -t tmpfs -o size=44m tmpfs full && cp -a repo/. full && \"$@\" -r full; code=$?; \
                  \"$1\" repo check --read-data -r full --key-file key --no-cache >&2; exit $code";
    let run = with_mounts(&world, script, &["backup", "files", "data"]).ends_with(1);
    run.says(&["error: cannot store packs/", "hint: free some space", "No space left"]);
}

#[test]
fn a_file_size_limit_is_a_full_disk_too() {
    let world = World::with_repository();
    world.write("data/large.bin", &noise(5, 8 << 20));
    let program = world.command(&["backup", "files", "--no-cache", &world.text("data")]);
    let mut command = Command::new("sh");
    // Where the signal is ignored, a write beyond the limit fails like one to a full disk. Units are 512 bytes.
    command.args(["-c", "trap '' XFSZ; ulimit -f 8192; exec \"$@\"", "sh", BACKSTAY]).args(program.get_args());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Run::of(&mut command).ends_with(1).says(&["cannot store packs/", "hint: free some space"]);
    world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn a_read_only_store_is_read_and_a_backup_to_it_says_why_not() {
    let world = World::with_repository();
    world.backup();
    world.write("data/letters/three.txt", b"new\n");
    let read_only = "mount --bind repo repo && mount -o remount,ro,bind repo && exec \"$@\"";
    with_mounts(&world, read_only, &["repo", "check", "--read-data"]).succeeds().prints(&["no damage"]);
    let snapshot = format!("latest:{}/letters/one.txt", world.text("data"));
    with_mounts(&world, read_only, &["cat", &snapshot]).succeeds().prints(&["Dear Ishmael"]);
    let run = with_mounts(&world, read_only, &["backup", "files", "data"]).ends_with(1);
    run.says(&["error: cannot", "Read-only file system", "hint: check the credentials, and the permissions"]);
    assert_eq!(fs::read_dir(world.path("repo/writers")).map_or(0, Iterator::count), 0);
}
