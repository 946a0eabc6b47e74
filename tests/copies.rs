//! A second place: made, kept up to date, restored from, taken over; and each place mended with the other.

use std::fs;
use std::path::PathBuf;

use backstay_testkit::servers;

use crate::world::{Run, World, files_below};

/// A repository in a folder, and a copy of it somewhere, each with a key of its own.
struct Pair {
    world: World,
    source: String,
    copy: String,
}

impl Pair {
    fn new(world: World, copy: String) -> Self {
        world.write("key2", &[8; 32]);
        let pair = Self { source: world.text("repo"), world, copy };
        pair.at_source(&["repo", "init"]).succeeds();
        pair.back_up();
        pair
    }

    fn in_folders() -> Self {
        let world = World::new();
        let copy = world.text("copy");
        Self::new(world, copy)
    }

    fn at_source(&self, arguments: &[&str]) -> Run {
        self.world.backstay(&[&["-r", &self.source, "--no-cache"], arguments].concat())
    }

    fn at_copy(&self, arguments: &[&str]) -> Run {
        let key = self.world.text("key2");
        let secret = ["--key-file", &key, "-r", &self.copy, "--no-cache"];
        Run::of(&mut self.world.command_without_secret(&[&secret, arguments].concat()))
    }

    fn back_up(&self) {
        self.at_source(&["backup", "files", &self.world.text("data")]).succeeds();
    }

    fn make_copy(&self) -> Run {
        self.at_source(&["repo", "copy", &self.copy, "--to-key-file", &self.world.text("key2")])
    }

    fn restore_from_copy(&self) {
        let snapshot = format!("latest:{}", self.world.text("data"));
        let target = self.world.text("out");
        self.at_copy(&["restore", "files", &snapshot, "--target", &target, "--verify"]).succeeds();
        self.world.assert_equal("data", "out");
        fs::remove_dir_all(target).unwrap();
    }

    fn source_objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = files_below(&self.world.path("repo").join(folder));
        found.sort();
        found
    }
}

fn tell(pair: &Pair) {
    pair.at_source(&["repo", "copy", &pair.copy, "--dry-run"]).succeeds().prints(&["to copy: 2 packs"]);
    pair.at_copy(&["snapshots"]).ends_with(10);
    // The copy's secret is nobody's to guess.
    pair.at_source(&["repo", "copy", &pair.copy]).ends_with(2).says(&["--to-password-file"]);
    pair.make_copy().succeeds().prints(&["copied 2 packs", "the copy is at log entry 1"]);
    pair.restore_from_copy();
    pair.at_copy(&["repo", "info"]).succeeds().prints(&["it is a copy"]);
    pair.at_copy(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage"]);

    pair.world.write("data/letters/three.txt", b"new\n");
    pair.back_up();
    let copied = pair.at_source(&["repo", "copy", &pair.copy, "-o", "json"]).succeeds().json();
    assert_eq!((&copied["log_entries_before"], &copied["log_entries"]), (&1.into(), &2.into()), "{copied}");
    assert_eq!((&copied["packs_present"], &copied["damaged"]), (&2.into(), &serde_json::json!([])), "{copied}");
    pair.restore_from_copy();
    let listed = |run: Run| run.succeeds().stdout;
    assert_eq!(
        listed(pair.at_copy(&["snapshots", "-o", "name"])),
        listed(pair.at_source(&["snapshots", "-o", "name"]))
    );
}

fn heal(pair: &Pair) {
    let packs = pair.source_objects("packs");
    let mut bytes = fs::read(&packs[0]).unwrap();
    bytes[100] ^= 1;
    fs::write(&packs[0], &bytes).unwrap();
    fs::remove_file(&packs[1]).unwrap();
    fs::remove_file(&pair.source_objects("log")[0]).unwrap();
    fs::write(pair.world.path("repo/config"), b"{").unwrap();
    pair.at_source(&["snapshots"]).ends_with(5);
    let heal = ["repo", "heal", "--from", &pair.copy, "--read-data"];
    let with = |more: &[&str]| pair.at_source(&[&heal, more].concat());
    with(&["--dry-run"]).ends_with(5).prints(&["damaged: config: ", "damaged: log/", "damaged: packs/", " has it"]);
    with(&[]).ends_with(2).says(&["--yes"]);
    let healed = with(&["--yes", "-o", "json"]).succeeds().json();
    assert_eq!(healed["healed"].as_array().unwrap().len(), 4, "{healed}");
    assert_eq!(healed["quarantined"].as_array().unwrap().len(), 2, "{healed}");
    pair.at_source(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 2 snapshots"]);
    pair.at_source(&["repo", "scrub"]).succeeds();
    with(&["--yes"]).succeeds().prints(&["nothing to mend"]);
    pair.at_copy(&["repo", "heal", "--from", &pair.source]).succeeds().prints(&["nothing to mend"]);
    pair.at_source(&["repo", "copy", &pair.copy]).succeeds().prints(&["copied 0 packs"]);
}

#[test]
fn a_repository_is_copied_from_folder_to_folder_and_healed_from_there() {
    let pair = Pair::in_folders();
    tell(&pair);
    heal(&pair);
}

#[test]
fn a_repository_is_copied_from_a_folder_to_a_bucket_and_healed_from_there() {
    let bucket = servers::s3();
    let pair = Pair::new(World::with_bucket(&bucket), bucket.location.to_string());
    tell(&pair);
    heal(&pair);
}

#[test]
fn a_copy_is_only_copied_to_until_it_is_taken_over() {
    let pair = Pair::in_folders();
    pair.make_copy().succeeds();
    let data = pair.world.text("data");
    let refusal = ["holds a copy", "hint: change the original", "--take-over"];
    pair.at_copy(&["backup", "files", &data]).ends_with(1).says(&refusal);
    pair.at_copy(&["hold", "latest", "--reason", "audit"]).ends_with(1).says(&refusal);
    pair.at_source(&["repo", "copy", "--take-over", "--yes"]).ends_with(4).says(&["not a copy"]);
    pair.at_copy(&["repo", "copy", "--take-over"]).ends_with(2).says(&["--yes"]);
    pair.at_copy(&["repo", "copy", "--take-over", "--yes"]).succeeds().says(&["repository of its own"]);
    pair.world.write("data/letters/three.txt", b"new\n");
    pair.at_copy(&["backup", "files", &data]).succeeds();
    pair.restore_from_copy();
    pair.at_source(&["repo", "copy", &pair.copy]).ends_with(4).says(&["not a copy of it", "hint: "]);
}

#[test]
fn what_neither_place_has_is_named() {
    let pair = Pair::in_folders();
    pair.make_copy().succeeds();
    let pack = pair.source_objects("packs")[0].clone();
    let name = pack.strip_prefix(pair.world.path("repo")).unwrap().to_str().unwrap().to_owned();
    fs::remove_file(&pack).unwrap();
    fs::remove_file(pair.world.path("copy").join(&name)).unwrap();
    let heal = pair.at_source(&["repo", "heal", "--from", &pair.copy, "--yes"]).ends_with(5);
    heal.prints(&[&name, "does not have it either"]).says(&["could not be mended", "hint: "]);
    // And a copying does not hide it either.
    let copied = pair.at_source(&["repo", "copy", &pair.copy]).ends_with(5);
    copied.prints(&[&format!("damaged: {name}")]).says(&["could not be copied", "hint: "]);
}

#[test]
fn places_that_cannot_be_a_copy_are_refused() {
    let pair = Pair::in_folders();
    let key = pair.world.text("key2");
    pair.at_source(&["repo", "copy", &pair.source]).ends_with(4).says(&["not a copy of it"]);
    pair.at_source(&["repo", "copy", &pair.world.text("data"), "--to-key-file", &key])
        .ends_with(1)
        .says(&["is not empty"]);
    pair.at_source(&["repo", "copy"]).ends_with(2);
    pair.at_source(&["repo", "heal", "--from", &pair.source]).ends_with(2).says(&["same place"]);
    pair.at_source(&["repo", "heal", "--from", &pair.copy]).ends_with(10);
    pair.at_copy(&["repo", "init"]).succeeds();
    pair.make_copy().ends_with(4).says(&["holds repository", "hint: "]);
}
