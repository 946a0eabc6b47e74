//! Space comes back: forgetting, collecting, and what is said about it.

use crate::world::World;

/// Two snapshots of a source that share nothing, the older one forgotten.
fn with_garbage() -> (World, String) {
    let world = World::with_repository();
    world.write("mine/file", &vec![1; 300_000]);
    let older = backup(&world);
    world.write("mine/file", b"something else");
    backup(&world);
    world.backstay(&["forget", "--keep-last", "1"]).succeeds();
    (world, older)
}

fn backup(world: &World) -> String {
    world.backstay(&["backup", "files", "-o", "name", &world.text("mine")]).succeeds().stdout.trim().to_owned()
}

#[test]
fn what_was_forgotten_goes_after_the_grace_and_can_be_brought_back_before() {
    let (world, older) = with_garbage();
    let before = world.objects("packs");
    world.backstay(&["repo", "gc", "--dry-run"]).succeeds().prints(&["would condemn 2 packs", "in use by 1 snapshot"]);
    world.backstay(&["repo", "gc"]).succeeds().prints(&[
        "condemned 2 packs",
        "readable for the grace",
        "waiting: 2 packs",
    ]);
    assert_eq!(world.objects("packs"), before);
    world.backstay(&["forget", "--undo", &older]).succeeds();
    world.backstay(&["repo", "gc"]).succeeds().prints(&["reprieved 2 packs", "in use by 2 snapshots"]);
    world.backstay(&["forget", &older]).succeeds();
    let document = world.backstay(&["repo", "gc", "--grace", "0s", "-o", "json"]).succeeds().json();
    assert_eq!((&document["deleted"]["objects"], &document["dry_run"]), (&2.into(), &false.into()));
    assert_eq!(world.objects("packs").len(), before.len() - 2);
    world.backstay(&["repo", "gc", "--grace", "0s"]).succeeds().prints(&["in use by 1 snapshot"]);
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let world = World::with_repository();
    for arguments in [["--grace", "soon"], ["--grace", "1mo"], ["--max-unused", "-5"], ["--max-repack", "much"]] {
        world.backstay(&[&["repo", "gc"][..], &arguments].concat()).ends_with(2);
    }
    world.backstay(&["repo", "gc"]).succeeds().prints(&["in use by 0 snapshots: 0 packs"]);
}
