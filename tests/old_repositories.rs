//! Repositories made by earlier versions restore byte for byte, for ever, and go on being used.
//!
//! `tests/fixtures/make.sh` made them. A format change that breaks one of these stories loses somebody's backups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{Run, World};

const PASSWORD: &str = "fixture password";
/// What the snapshots hold, in order, and the folder of the machine they were made on.
const ROOTS: [&str; 4] = ["data", "data", "db", ""];

#[test]
fn every_snapshot_of_format_1_restores_exactly() {
    let old = Old::new("v1");
    let snapshots = fs::read_to_string(old.fixture.join("snapshots.txt")).unwrap();
    assert_eq!(old.backstay(&["snapshots", "-o", "name"]).succeeds().stdout, snapshots);
    for (number, (snapshot, root)) in snapshots.lines().zip(ROOTS).enumerate() {
        let target = old.world.text(&format!("out-{number}"));
        let selector = format!(
            "{snapshot}:/{}",
            if root.is_empty() { String::new() } else { format!("tmp/backstay-fixture/{root}") }
        );
        old.backstay(&["restore", "files", &selector, "--target", &target, "--no-owner", "--verify"]).succeeds();
        let expected = fs::read(old.fixture.join(format!("{}.txt", number + 1))).unwrap();
        let restored =
            if root.is_empty() { fs::read(format!("{target}/dump.sql")).unwrap() } else { list(Path::new(&target)) };
        assert!(restored == expected, "snapshot {}:\n{}", number + 1, first_difference(&expected, &restored));
    }
}

#[test]
fn format_1_is_read_checked_and_extended() {
    let old = Old::new("v1");
    let with_password =
        Run::of(old.world.command_without_secret(&["repo", "check", "--read-data"]).env("BACKSTAY_PASSWORD", PASSWORD));
    with_password.succeeds().prints(&["no damage: 4 snapshots"]);
    let scrub = old.backstay(&["repo", "scrub", "-o", "json"]).succeeds().json();
    assert_eq!(scrub["foreign"], serde_json::json!([]));
    let first = old.backstay(&["snapshots", "-o", "json"]).succeeds().json()[0].clone();
    assert_eq!(
        (&first["source"], &first["tags"][0], &first["ledger"]["noted"]),
        (&"tree".into(), &"first".into(), &1.into())
    );
    assert!(first["expires"].as_str().unwrap() > "2100");
    old.backstay(&["show", "latest", "--source", "tree"]).succeeds().prints(&["socket"]);
    let profile =
        old.backstay(&["show", "latest", "--source", "db", "-o", "json"]).succeeds().json()["profile"].clone();
    assert_eq!(profile, "database");

    // What is stored is found again, and what is new joins it.
    old.backstay(&[
        "restore",
        "files",
        "latest:/tmp/backstay-fixture/db",
        "--source",
        "db",
        "--target",
        &old.world.text("db"),
    ])
    .succeeds();
    let backup = old
        .backstay(&["backup", "files", "--profile", "database", "-o", "json", &old.world.text("db")])
        .succeeds()
        .json();
    let new_bytes = backup["snapshot"]["summary"]["new_bytes"].as_u64().unwrap();
    assert!(new_bytes < 100_000, "72 MiB are stored already: {new_bytes}");
    old.backstay(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 5 snapshots"]);
}

/// A copy of an old repository, so that the one in the sources stays as it is.
struct Old {
    world: World,
    fixture: PathBuf,
}

impl Old {
    fn new(name: &str) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
        let world = World::new();
        let copied = Command::new("cp").arg("-R").arg(fixture.join("repo")).arg(world.path("repo")).status().unwrap();
        assert!(copied.success());
        fs::copy(fixture.join("key"), world.path("key")).unwrap();
        Self { world, fixture }
    }

    fn backstay(&self, arguments: &[&str]) -> Run {
        self.world.backstay(arguments)
    }
}

/// The list that `make.sh` makes of a folder: names, types, modes, sizes, times and targets, then contents.
fn list(folder: &Path) -> Vec<u8> {
    let script = r"find . -printf '%P %y %m %s %T@ %l\n' | sort; find . -type f -exec sha256sum {} + | sort -k 2";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env("LC_ALL", "C").env("TZ", "UTC");
    command.output().unwrap().stdout
}

fn first_difference(expected: &[u8], restored: &[u8]) -> String {
    let [expected, restored] = [expected, restored].map(String::from_utf8_lossy);
    let differing = expected.lines().zip(restored.lines()).find(|(expected, restored)| expected != restored);
    format!("{differing:?} of {} and {} lines", expected.lines().count(), restored.lines().count())
}
