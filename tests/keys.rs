//! Several secrets for one repository.

use crate::world::{Run, World};

#[test]
fn a_password_is_added_changed_and_removed_without_rewriting_data() {
    let world = World::with_repository();
    world.backup();
    let packs = world.objects("packs");
    let as_person = |arguments: &[&str], password: &str, new: &str| {
        let mut command = world.command_without_secret(arguments);
        Run::of(command.env("BACKSTAY_PASSWORD", password).env("BACKSTAY_NEW_PASSWORD", new))
    };
    let add = Run::of(
        world
            .command(&["repo", "key", "add", "--label", "captain", "-o", "name"])
            .env("BACKSTAY_NEW_PASSWORD", "first"),
    );
    let first = add.succeeds().stdout.trim().to_owned();
    as_person(&["snapshots"], "first", "").succeeds();
    let list = as_person(&["repo", "key", "list"], "first", "").succeeds().stdout;
    let used: Vec<&str> = list.lines().filter(|line| line.contains("used now")).collect();
    assert!(matches!(used[..], [line] if line.contains("captain") && line.starts_with(&first[..8])), "{list}");

    as_person(&["repo", "key", "passwd"], "first", "second").succeeds().says(&["removed key slot", "added key slot"]);
    as_person(&["snapshots"], "first", "").ends_with(12);
    let keys = as_person(&["repo", "key", "list", "-o", "json"], "second", "").succeeds().json();
    let labels: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key["label"].as_str().unwrap()).collect();
    assert_eq!(labels.len(), 2);
    assert!(labels.contains(&"captain"), "the new slot keeps the name: {labels:?}");

    let captain = keys.as_array().unwrap().iter().find(|key| key["label"] == "captain").unwrap();
    let captain = captain["id"].as_str().unwrap();
    world.backstay(&["repo", "key", "remove", &captain[..10]]).ends_with(2).says(&["--yes"]);
    world.backstay(&["repo", "key", "remove", &captain[..10], "--yes"]).succeeds();
    as_person(&["snapshots"], "second", "").ends_with(12);
    assert_eq!(world.objects("packs"), packs);
}

#[test]
fn the_last_key_slot_stays() {
    let world = World::with_repository();
    let id = world.backstay(&["repo", "key", "list", "-o", "name"]).succeeds().stdout;
    world.backstay(&["repo", "key", "remove", id.trim(), "--yes"]).ends_with(1).says(&["only one"]);
    world.backstay(&["repo", "key", "remove", "abc", "--yes"]).ends_with(2).says(&["too short"]);
    world.backstay(&["repo", "key", "remove", "abcdef", "--yes"]).ends_with(1).says(&["there is no key slot"]);
    world.backstay(&["snapshots"]).succeeds();
}
