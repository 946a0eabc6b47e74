//! Forgetting, undo and holds as they are typed.

use crate::world::World;

/// A repository with three snapshots of one source, from old to new.
fn with_three() -> (World, Vec<String>) {
    let world = World::with_repository();
    let ids = (0..3).map(|_| world.backup()).collect();
    (world, ids)
}

fn listed(world: &World) -> Vec<String> {
    let run = world.backstay(&["snapshots", "-o", "name"]).succeeds();
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_policy_says_what_it_keeps_and_why_and_forgetting_can_be_undone() {
    let (world, ids) = with_three();
    let policy = ["forget", "--keep-last", "1", "--keep-daily", "1", "--zone", "Asia/Kolkata"];
    world
        .backstay(&[&policy[..], &["--dry-run"]].concat())
        .succeeds()
        .prints(&["ACTION", "forget", "newest, last, daily 20"])
        .says(&["would forget 2 snapshots and keep 1; nothing was changed"]);
    assert_eq!(listed(&world), ids);
    let document = world.backstay(&[&policy[..], &["-o", "json"]].concat()).succeeds().json();
    assert_eq!((&document["kept"], &document["forgotten"]), (&1.into(), &2.into()));
    let of_newest = &document["snapshots"][2];
    assert_eq!((&of_newest["action"], of_newest["id"].as_str()), (&"keep".into(), Some(&ids[2][..])));
    assert_eq!(of_newest["reasons"][2]["rule"], "daily");
    assert_eq!(listed(&world), ids[2..]);
    world.backstay(&policy).succeeds().says(&["nothing to forget; kept 1"]);

    let run = world.backstay(&["snapshots", "--forgotten", "-o", "name"]).succeeds();
    assert_eq!(run.stdout.lines().collect::<Vec<_>>(), ids[..2]);
    world.backstay(&["show", &ids[0]]).ends_with(1).says(&["no snapshot"]);
    world.backstay(&["forget", "--undo", &ids[0][..8]]).succeeds().says(&["brought back 1 snapshot"]);
    world.backstay(&["forget", "--undo", &ids[0]]).succeeds().says(&["is listed"]);
    world.backstay(&["forget", "--undo", "abcdef"]).ends_with(1).says(&["can be brought back", "--forgotten"]);
    assert_eq!(listed(&world), [&ids[0][..], &ids[2]]);
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn a_held_snapshot_stays_until_it_is_released() {
    let (world, ids) = with_three();
    world.backstay(&["hold", &ids[0], &ids[1], "--reason", "case 7"]).succeeds().says(&["holding ", "case 7"]);
    world.backstay(&["hold", &ids[0], "--reason", "audit"]).succeeds();
    world.backstay(&["hold", &ids[0], "--reason", "audit"]).succeeds().says(&["held already"]);
    world.backstay(&["snapshots"]).succeeds().prints(&["complete, held"]);
    world.backstay(&["snapshots", "-o", "wide"]).succeeds().prints(&["HOLDS", "case 7,audit"]);
    world.backstay(&["show", &ids[0]]).succeeds().prints(&["Holds:", "case 7, audit"]);
    world.backstay(&["forget", "--keep-last", "1"]).succeeds().prints(&["held case 7"]);
    world.backstay(&["forget", "--force", &ids[0]]).ends_with(1).says(&["is held: case 7, audit", "--release NAME"]);
    assert_eq!(listed(&world), ids);
    world.backstay(&["hold", &ids[0], "--release", "case 8"]).succeeds().says(&["no hold case 8", "audit"]);
    for name in ["case 7", "audit"] {
        world.backstay(&["hold", &ids[0], "--release", name]).succeeds().says(&["released "]);
    }
    world.backstay(&["forget", "--keep-last", "1"]).succeeds();
    assert_eq!(listed(&world), ids[1..]);
}

#[test]
fn the_newest_accepted_snapshot_goes_by_force_only() {
    let (world, ids) = with_three();
    world.backstay(&["forget", "latest"]).ends_with(1).says(&["is the newest accepted one of source", "--force"]);
    let run = world.backstay(&["forget", "-o", "name", &ids[0]]).succeeds();
    assert_eq!(run.stdout.trim(), ids[0]);
    world.backstay(&["forget", "--force", "--dry-run", &ids[2]]).succeeds().says(&["would forget 1 snapshot"]);
    world.backstay(&["forget", "--force", &ids[1], &ids[2]]).succeeds().says(&["forgot 2 snapshots"]);
    assert_eq!(listed(&world), [""; 0]);
}

#[test]
fn what_has_expired_goes_when_asked_and_what_has_not_stays() {
    let world = World::with_repository();
    let data = world.text("data");
    let backup = |more: &[&str]| {
        let run = world.backstay(&[&["backup", "files", "-o", "name", &data][..], more].concat()).succeeds();
        run.stdout.trim().to_owned()
    };
    let expired = backup(&["--ttl", "1ms"]);
    let promised = backup(&["--ttl", "30d"]);
    let newest = backup(&["--ttl", "1ms"]);
    world.backstay(&["forget", "--keep-tag", "none", "--dry-run"]).succeeds().prints(&["until 20", "newest"]);
    world.backstay(&["forget", "--expired"]).succeeds().prints(&["expired"]).says(&["forgot 1 snapshot, kept 2"]);
    assert_eq!(listed(&world), [promised, newest]);
    world.backstay(&["forget", "--undo", &expired]).succeeds();
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_with_2() {
    let (world, ids) = with_three();
    for arguments in [
        &["forget"][..],
        &["forget", "--dry-run"],
        &["forget", "--source", "x"],
        &["forget", "--keep-last", "0"],
        &["forget", "--keep-last", "-1"],
        &["forget", "--keep-last", "many"],
        &["forget", "--keep-within", "soon"],
        &["forget", "--keep-daily", "1", "--zone", "Atlantis/Capital"],
        &["forget", "--keep-daily", "1", "--keep-at-least", "0"],
        &["forget", "--keep-last", "1", &ids[0]],
        &["forget", "--undo"],
        &["forget", "--force", "--keep-last", "1"],
        &["hold", &ids[0]],
        &["hold", &ids[0], "--reason", "a", "--release", "b"],
        &["hold", &ids[0], "--reason", "a,b"],
        &["hold", "--reason", "a"],
    ] {
        world.backstay(arguments).ends_with(2);
    }
    world.backstay(&["forget"]).ends_with(2).says(&["what is to be kept is not said", "hint: ", "--keep-daily 7"]);
    world.backstay(&["forget", "--keep-daily", "7", "--prune"]).ends_with(2).says(&["leave --prune out"]);
    assert_eq!(listed(&world), ids);
}
