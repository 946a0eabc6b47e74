//! Damaged, missing, half-written and newer objects: each is named, with whom it touches and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{Run, World};

/// A repository with one snapshot, whose data lie in one pack and whose tree in another.
struct Victim {
    world: World,
    snapshot: String,
    data_pack: PathBuf,
    tree_pack: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let world = World::with_repository();
        let snapshot = world.backup();
        let mut packs = world.objects("packs");
        packs.sort_by_key(|path| fs::metadata(path).unwrap().len());
        let [tree_pack, data_pack] = &packs[..] else { panic!("{packs:?}") };
        Self { data_pack: data_pack.clone(), tree_pack: tree_pack.clone(), snapshot, world }
    }

    /// The object's name in the store.
    fn name(&self, object: &Path) -> String {
        object.strip_prefix(self.world.path("repo")).unwrap().to_str().unwrap().to_owned()
    }

    /// Runs without what an earlier run has kept.
    fn afresh(&self, arguments: &[&str]) -> Run {
        self.world.backstay(&[arguments, &["--no-cache"]].concat())
    }

    fn restore(&self) -> Run {
        let snapshot = format!("latest:{}", self.world.text("data"));
        self.afresh(&["restore", "files", &snapshot, "--target", &self.world.text("out")])
    }
}

fn flip(object: &Path, position: usize) {
    let mut bytes = fs::read(object).unwrap();
    bytes[position] ^= 0x10;
    fs::write(object, bytes).unwrap();
}

fn truncate(object: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(object).unwrap().set_len(len).unwrap();
}

#[test]
fn a_flipped_bit_in_a_pack_fails_only_the_files_it_touches() {
    let victim = Victim::new();
    // In the middle of the noise, far from the letters.
    flip(&victim.data_pack, 1 << 20);
    let name = victim.name(&victim.data_pack);
    let noise = format!("{}/noise.bin", victim.world.text("data"));
    victim.afresh(&["repo", "check"]).succeeds();
    let check = victim.afresh(&["repo", "check", "--read-data"]).ends_with(5);
    check.prints(&[
        &format!("damaged: {name}: "),
        &format!("snapshot: {}", &victim.snapshot[..8]),
        &noise,
        "1 object damaged",
    ]);
    let report = victim.afresh(&["repo", "check", "--read-data", "-o", "json"]).ends_with(5).json();
    let finding = &report["findings"][0];
    assert_eq!((&finding["object"], &finding["paths"]), (&name.clone().into(), &serde_json::json!([noise])));
    assert_eq!(finding["snapshots"], serde_json::json!([victim.snapshot]));

    victim.restore().ends_with(5).says(&["noise.bin", "damaged", "1 failed"]);
    victim.world.assert_equal("data/letters", "out/letters");
    assert!(!victim.world.path("out/noise.bin").exists(), "half a file is not left behind");
    victim.afresh(&["cat", &format!("latest:{noise}")]).ends_with(5).says(&[&name, "hint: ", "repo check"]);
    let scrub = Run::of(&mut victim.world.command_without_secret(&["repo", "scrub"]));
    scrub.ends_with(5).prints(&[&format!("damaged: {name}: ")]);
}

#[test]
fn a_truncated_or_missing_pack_is_found_by_a_mere_list() {
    let victim = Victim::new();
    let name = victim.name(&victim.data_pack);
    truncate(&victim.data_pack, 1000);
    victim.afresh(&["repo", "check", "--level", "list"]).ends_with(5).prints(&[
        &name,
        "1000 bytes",
        "noise.bin",
        "one.txt",
    ]);
    victim.restore().ends_with(5).says(&["noise.bin"]);
    fs::remove_file(&victim.data_pack).unwrap();
    victim.afresh(&["repo", "check", "--level", "list"]).ends_with(5).prints(&[&name, "missing", "two.txt"]);
    victim.restore().ends_with(5);
}

#[test]
fn a_damaged_tree_is_named_and_nothing_panics() {
    for position in [0, 4, 60, 200] {
        let victim = Victim::new();
        flip(&victim.tree_pack, position);
        let name = victim.name(&victim.tree_pack);
        victim.afresh(&["repo", "check", "--read-data"]).ends_with(5).prints(&[&name]);
        let ls = victim.afresh(&["ls", "-R", "latest"]);
        assert!(ls.code == 0 || ls.code == 5, "{ls:?}");
        let restore = victim.restore();
        assert!(restore.code == 0 || restore.code == 5, "{restore:?}");
    }
}

#[test]
fn a_damaged_or_missing_index_segment_is_named() {
    let victim = Victim::new();
    let segment = victim.world.objects("index").remove(0);
    let name = victim.name(&segment);
    let cat = format!("latest:{}/letters/one.txt", victim.world.text("data"));
    let intact = fs::read(&segment).unwrap();
    flip(&segment, 100);
    victim.afresh(&["cat", &cat]).ends_with(5).says(&[&name]);
    victim.afresh(&["repo", "check"]).ends_with(5).prints(&[&name, &victim.snapshot[..8]]);
    fs::write(&segment, &intact[..intact.len() / 2]).unwrap();
    victim.afresh(&["cat", &cat]).ends_with(5).says(&[&name]);
    fs::remove_file(&segment).unwrap();
    let run = victim.afresh(&["cat", &cat]).says(&[&name]);
    assert_ne!(run.code, 0);
    victim.afresh(&["repo", "check"]).ends_with(5).prints(&[&name]);
    // What is in the log is not lost with it.
    victim.afresh(&["snapshots", "-o", "name"]).succeeds().prints(&[&victim.snapshot]);
}

#[test]
fn a_damaged_log_entry_is_named() {
    let victim = Victim::new();
    victim.world.write("data/more", b"more");
    victim.world.backup();
    let entries = victim.world.objects("log");
    assert_eq!(entries.len(), 2);
    let name = victim.name(&entries[0]);
    let intact = fs::read(&entries[0]).unwrap();
    for position in [0, 10, intact.len() / 2, intact.len() - 1] {
        flip(&entries[0], position);
        victim.afresh(&["snapshots"]).ends_with(5).says(&[&name, "is damaged", "hint: "]);
        // With what an earlier run has kept it opens all the same, and a check is not deceived.
        victim.world.backstay(&["snapshots"]).succeeds();
        victim.world.backstay(&["repo", "check"]).ends_with(5).prints(&[&format!("damaged: {name}: ")]);
        let scrub = Run::of(&mut victim.world.command_without_secret(&["repo", "scrub"]));
        scrub.ends_with(5).prints(&[&format!("damaged: {name}")]);
        fs::write(&entries[0], &intact).unwrap();
    }
    truncate(&entries[0], 20);
    victim.afresh(&["snapshots"]).ends_with(5).says(&[&name]);
    fs::remove_file(&entries[0]).unwrap();
    victim.world.backstay(&["repo", "check"]).ends_with(5).prints(&[&format!("damaged: {name}: it is missing")]);
    victim.afresh(&["snapshots"]).ends_with(5).says(&["log entry 1 is missing, but entry 2 is there"]);
}

#[test]
fn a_log_entry_in_anothers_place_is_damage() {
    let victim = Victim::new();
    victim.world.write("data/more", b"more");
    victim.world.backup();
    let entries = victim.world.objects("log");
    fs::copy(&entries[0], &entries[1]).unwrap();
    victim.afresh(&["snapshots"]).ends_with(5).says(&[&victim.name(&entries[1])]);
}

#[test]
fn a_damaged_config_is_replaced_by_its_copy_and_reported() {
    let victim = Victim::new();
    let [config, copy] = ["repo/config", "repo/config-copy"].map(|name| victim.world.path(name));
    truncate(&config, 100);
    victim.afresh(&["snapshots", "-o", "name"]).succeeds().prints(&[&victim.snapshot]);
    victim.afresh(&["repo", "check"]).ends_with(5).prints(&["damaged: config: ", "cut off"]);
    fs::remove_file(&config).unwrap();
    victim.afresh(&["snapshots", "-o", "name"]).succeeds();
    victim.afresh(&["repo", "check"]).ends_with(5).prints(&["damaged: config: it is missing"]);
    fs::write(&config, fs::read(&copy).unwrap()).unwrap();
    victim.afresh(&["repo", "check"]).succeeds();
    for object in [&config, &copy] {
        flip(object, 30);
    }
    victim.afresh(&["snapshots"]).ends_with(5).says(&["config is damaged"]);
}

#[test]
fn an_init_that_was_interrupted_can_be_repeated() {
    let world = World::with_repository();
    fs::remove_file(world.path("repo/config")).unwrap();
    world.backstay(&["snapshots"]).ends_with(10);
    world.backstay(&["repo", "init"]).succeeds();
    world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn a_damaged_key_slot_is_not_a_wrong_password() {
    let victim = Victim::new();
    let slot = victim.world.objects("keys").remove(0);
    flip(&slot, 40);
    victim.afresh(&["snapshots"]).ends_with(5).says(&[&victim.name(&slot), "is damaged"]);
    fs::remove_file(&slot).unwrap();
    let run = victim.afresh(&["snapshots"]);
    assert_ne!(run.code, 0, "{run:?}");
}

#[test]
fn a_repository_of_a_newer_program_is_left_alone() {
    let victim = Victim::new();
    for (from, to, says) in [
        (r#""format_version":1"#, r#""format_version":2"#, "format version 2"),
        (r#""incompatible":[]"#, r#""incompatible":["shards"]"#, "shards"),
    ] {
        let intact = ["repo/config", "repo/config-copy"].map(|name| {
            let path = victim.world.path(name);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, with_new_hash(&text, from, to)).unwrap();
            (path, text)
        });
        victim.afresh(&["snapshots"]).ends_with(1).says(&[
            "was made by a newer program",
            says,
            "install a newer version",
        ]);
        victim.afresh(&["backup", "files", "data"]).ends_with(1);
        for (path, text) in intact {
            fs::write(path, text).unwrap();
        }
    }
    victim.afresh(&["snapshots"]).succeeds();
}

/// The text with one part replaced, and the hash in its last line made right again.
fn with_new_hash(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{text}");
    let (before, _) = text.trim_end().rsplit_once("blake3 ").unwrap();
    let before = before.replacen(from, to, 1);
    let hash = backstay_format::ids::to_hex(&backstay_format::crypto::stored_hash(before.as_bytes()));
    format!("{before}blake3 {hash}\n")
}

#[test]
fn any_byte_of_any_object_may_be_damaged_and_nothing_panics() {
    let victim = Victim::new();
    let objects = crate::world::files_below(&victim.world.path("repo"));
    for object in objects.iter().filter(|object| !object.ends_with("reserve")) {
        let intact = fs::read(object).unwrap();
        let name = victim.name(object);
        for part in [0, 1, 3, 7] {
            flip(object, intact.len() * part / 8);
            let scrub = Run::of(&mut victim.world.command_without_secret(&["repo", "scrub", "-o", "name"]));
            assert_eq!(scrub.ends_with(5).stdout, format!("{name}\n"));
            let check = victim.afresh(&["repo", "check", "--read-data", "-o", "name"]).ends_with(5);
            assert!(check.stdout.contains(&name) || check.stderr.contains(&name), "{name}: {check:?}");
            fs::write(object, &intact).unwrap();
        }
    }
    victim.afresh(&["repo", "check", "--read-data"]).succeeds();
}
