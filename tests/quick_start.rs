//! The README's quick start, and what a user does next.

use crate::world::{Run, World};

#[test]
fn the_quick_start_works_as_the_readme_says() {
    let world = World::new();
    let with_password = |arguments: &[&str]| {
        Run::of(world.command_without_secret(arguments).env("BACKSTAY_PASSWORD", "a long password"))
    };
    with_password(&["repo", "init"]).succeeds().says(&["made repository", "keep a copy elsewhere"]);
    let data = world.text("data");
    with_password(&["backup", "files", &data]).succeeds().says(&["saved snapshot", "3 files", "stored"]);
    with_password(&["snapshots"]).succeeds().prints(&["ID", "SOURCE", &format!(":{data}"), "complete"]);
    let letters = format!("latest:{data}/letters");
    let target = world.text("out");
    with_password(&["restore", "files", &letters, "--target", &target, "--verify"]).succeeds().says(&[
        "restored snapshot",
        "2 created",
        "verified",
    ]);
    world.assert_equal("data/letters", "out");
    with_password(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage", "read and verified"]);
}

#[test]
fn a_second_backup_stores_only_what_changed_and_both_come_back() {
    let world = World::with_repository();
    let first = world.backup();
    world.write("before/letters/one.txt", b"Dear Ishmael, call me.\n");
    world.write("data/letters/one.txt", b"Dear Queequeg, call me instead.\n");
    world.write("data/letters/three.txt", b"new\n");
    std::fs::remove_file(world.path("data/letters/two.txt")).unwrap();
    let document = world.backstay(&["backup", "files", "-o", "json", &world.text("data")]).succeeds().json();
    let summary = &document["snapshot"]["summary"];
    let new_bytes = summary["new_bytes"].as_u64().unwrap();
    assert!(new_bytes > 0 && new_bytes < 64 << 10, "3 MiB of noise did not change: {summary}");
    let second = document["snapshot"]["id"].as_str().unwrap();

    let data = world.text("data");
    let diff = world.backstay(&["diff", &first, second]).succeeds().stdout;
    let changed: Vec<(&str, &str)> = diff
        .lines()
        .filter(|line| line.contains("letters/"))
        .map(|line| (line.split_whitespace().next().unwrap(), line.rsplit('/').next().unwrap()))
        .collect();
    assert_eq!(changed, [("M", "one.txt"), ("+", "three.txt"), ("-", "two.txt")], "{diff}");
    assert!(diff.contains("1 item added (4 B), 1 removed (58.6 KiB), 1 changed (23 B to 32 B)"), "{diff}");

    for (snapshot, text) in [(first.as_str(), "Ishmael"), (second, "Queequeg")] {
        world.backstay(&["cat", &format!("{snapshot}:{data}/letters/one.txt")]).succeeds().prints(&[text, "call me"]);
    }
    world.backstay(&["restore", "files", &format!("{second}:{data}"), "--target", &world.text("out")]).succeeds();
    world.assert_equal("data", "out");
    world.backstay(&["restore", "files", &first, "--target", &world.text("all")]).succeeds();
    let restored = std::fs::read(world.path("all").join(data.trim_start_matches('/')).join("letters/two.txt")).unwrap();
    assert_eq!(restored, b"whale ".repeat(10_000));
}

#[test]
fn what_is_in_snapshots_is_found_without_restoring() {
    let world = World::with_repository();
    let id = world.backup();
    let data = world.text("data");
    let ls = |arguments: &[&str]| world.backstay(arguments).succeeds().stdout;
    assert_eq!(ls(&["ls", "latest"]), format!("{data}/letters\n{data}/noise.bin\n"));
    assert_eq!(
        ls(&["ls", &format!("{id}:{data}/letters")]),
        format!("{data}/letters/one.txt\n{data}/letters/two.txt\n")
    );
    assert_eq!(
        ls(&["ls", "-R", &format!("latest:{data}")]),
        format!("{data}/letters\n{data}/letters/one.txt\n{data}/letters/two.txt\n{data}/noise.bin\n")
    );
    let long = ls(&["ls", "-l", &format!("latest:{data}/noise.bin")]);
    assert!(long.starts_with("-rw") && long.contains("3.00 MiB"), "{long}");
    assert_eq!(
        ls(&["find", "*.txt", "-o", "name"]),
        format!("{id}:{data}/letters/one.txt\n{id}:{data}/letters/two.txt\n")
    );
    assert_eq!(ls(&["find", "/nowhere/*"]), "");
    world.backstay(&["show", "latest"]).succeeds().prints(&[&id, "3 files", "complete", "0 unchanged"]);
    world.backstay(&["describe", &id[..8]]).succeeds().prints(&[&id]);
    world.backstay(&["repo", "info"]).succeeds().prints(&["Key slots", "version 1"]);
    world.backstay(&["repo", "stats"]).succeeds().prints(&["1 snapshot with 3 files of 3.06 MiB", "deduplication"]);
    world.backstay(&["repo", "scrub"]).succeeds().prints(&["no damage"]);
}

#[test]
fn statistics_tell_deduplication_from_compression() {
    let world = World::with_repository();
    world.backup();
    std::fs::write(world.path("data/copy.bin"), std::fs::read(world.path("data/noise.bin")).unwrap()).unwrap();
    world.backup();
    let stats = world.backstay(&["repo", "stats", "-o", "json"]).succeeds().json();
    let number = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(number("snapshots"), 2);
    assert_eq!(number("snapshots_files"), 7);
    assert_eq!(number("snapshots_bytes"), 9 * (1 << 20) + 2 * (23 + 60_000));
    let data = stats["data"]["plain_bytes"].as_u64().unwrap();
    assert!(((3 << 20) + 60_000..(3 << 20) + 64_000).contains(&data), "the noise is stored once: {stats}");
    assert!(stats["deduplication_ratio"].as_f64().unwrap() > 2.9, "{stats}");
}

#[test]
fn the_output_of_a_command_is_backed_up_and_its_failure_keeps_nothing() {
    let world = World::with_repository();
    let stream = |script: &str| {
        let arguments =
            ["backup", "files", "--stdin-from-command", "--stdin-filename", "dumps/db.sql", "--source", "db"];
        let mut command = world.command(&arguments);
        Run::of(command.args(["--", "sh", "-c", script]))
    };
    stream("echo create table; echo insert").succeeds().says(&["saved snapshot", "1 file"]);
    world.backstay(&["cat", "latest:/dumps/db.sql"]).succeeds().prints(&["create table\ninsert\n"]);
    stream("echo half; exit 7").ends_with(1).says(&["sh ended with", "7"]);
    assert_eq!(world.backstay(&["snapshots", "-o", "name"]).succeeds().stdout.lines().count(), 1);
}

#[test]
fn names_that_are_not_text_come_back_exactly() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::with_repository();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9\n\x1b[2J");
    std::fs::write(world.path("data").join(name), b"odd").unwrap();
    let id = world.backup();
    let list = world.backstay(&["ls", "latest"]).succeeds().stdout;
    assert!(
        list.contains(r"\n\u{1b}[2J") && !list.contains('\x1b'),
        "a terminal is not at the mercy of names: {list:?}"
    );
    let items = world.backstay(&["ls", "latest", "-o", "json"]).succeeds().json();
    let hex = items[0]["path_hex"].as_str().unwrap();
    assert!(hex.ends_with("636166e90a1b5b324a"), "{items}");
    let mut path = std::ffi::OsString::from(format!("{id}:{}/", world.text("data")));
    path.push(name);
    assert_eq!(Run::of(world.command(&["cat"]).arg(path)).succeeds().stdout, "odd");
}
