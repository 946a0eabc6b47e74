//! What is typed: options before and after, names that mean several things, words of other programs.

use crate::world::{Run, World};

#[test]
fn global_options_stand_before_or_after_the_command() {
    let world = World::new();
    let repo = world.text("elsewhere");
    world.backstay(&["--repo", &repo, "repo", "init"]).succeeds();
    world.backstay(&["snapshots", "-o", "json", "-r", &repo]).succeeds();
    world.backstay(&["-o", "json", "-r", &repo, "snapshots"]).succeeds();
    world.backstay(&["snapshots"]).ends_with(10);
    // A relative path is one, and messages name it in full.
    world.backstay(&["snapshots", "-r", "no-such-folder"]).ends_with(10).says(&[&world.text("no-such-folder")]);
}

#[test]
fn words_of_other_programs_are_answered_with_the_right_command() {
    let world = World::new();
    for (typed, hint) in [
        ("init", "hint: backstay repo init"),
        ("check", "hint: backstay repo check"),
        ("unlock", "nothing to unlock"),
        ("prune", "hint: backstay repo gc"),
        ("delete", "hint: backstay forget SNAPSHOT"),
        ("expire", "hint: backstay forget --expired"),
        ("undelete", "hint: backstay forget --undo SNAPSHOT"),
        ("backup create", "hint: backstay backup files PATH, or backstay backup cluster"),
        ("backup /home", "hint: backstay backup files PATH"),
        ("backup --exclude x /home", "hint: backstay backup files PATH"),
        ("restore latest", "hint: backstay restore files SNAPSHOT"),
        ("restore latest --target x", "hint: backstay restore files SNAPSHOT"),
        ("repo prune", "hint: backstay repo gc"),
        ("list", "hint: backstay snapshots"),
        ("dump", "hint: backstay cat"),
        ("stats", "hint: backstay repo stats"),
        ("help", "--help"),
    ] {
        let words: Vec<&str> = typed.split(' ').collect();
        world.backstay(&words).ends_with(2).says(&["error: ", hint]);
    }
    world.backstay(&["snapshot"]).ends_with(2).says(&["backstay snapshots"]);
    world.backstay(&["repo", "chekc"]).ends_with(2).says(&["check"]);
}

#[test]
fn latest_of_several_sources_lists_them() {
    let world = World::with_repository();
    let letters = world.text("data/letters");
    let data = world.text("data");
    world.backstay(&["backup", "files", "--source", "all", &data]).succeeds();
    world.backstay(&["backup", "files", "--source", "letters", "--tag", "daily", &letters]).succeeds();
    world.backstay(&["show", "latest"]).ends_with(1).says(&[
        "`latest` could be a snapshot of 2 sources",
        "all: newest is ",
        "letters: newest is ",
        "--source NAME",
    ]);
    world.backstay(&["show", "latest", "--source", "letters"]).succeeds().prints(&["letters"]);
    world.backstay(&["show", "latest", "--tag", "daily"]).succeeds().prints(&["letters"]);
    let list = world.backstay(&["snapshots", "--source", "all", "-o", "name"]).succeeds().stdout;
    assert_eq!(list.lines().count(), 1);
}

#[test]
fn the_start_of_an_id_is_enough_unless_it_is_too_short() {
    let world = World::with_repository();
    let id = world.backup();
    world.backstay(&["show", &id[..4], "-o", "name"]).succeeds().prints(&[&id]);
    world.backstay(&["show", &id[..4].to_uppercase(), "-o", "name"]).succeeds().prints(&[&id]);
    world.backstay(&["show", &id[..3]]).ends_with(1).says(&["no snapshot"]);
}

#[test]
fn help_is_data_and_every_command_has_it() {
    let world = World::new();
    let help = Run::of(&mut world.command_without_secret(&["--help"])).succeeds();
    assert!(help.stderr.is_empty());
    for command in ["repo", "backup", "snapshots", "show", "ls", "cat", "find", "diff", "restore", "completions"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        Run::of(&mut world.command_without_secret(&[command, "--help"])).succeeds().prints(&["Usage: backstay"]);
    }
    assert!(!help.stdout.contains("generate"), "{}", help.stdout);
    Run::of(&mut world.command_without_secret(&["--version"])).succeeds().prints(&["backstay 0."]);
}

#[test]
fn completions_of_each_shell_know_the_commands() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        Run::of(&mut world.command_without_secret(&["completions", shell])).succeeds().prints(&[
            "snapshots",
            "restore",
            "limit-upload",
        ]);
    }
}

#[test]
fn messages_are_plain_off_a_terminal_and_quiet_silences_them() {
    let world = World::with_repository();
    let run = world.backstay(&["backup", "files", &world.text("data")]).succeeds();
    assert!(!run.stderr.contains('\x1b') && run.stdout.is_empty(), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "one line at the end: {}", run.stderr);
    let quiet = world.backstay(&["backup", "files", "-q", &world.text("data")]).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn paths_come_from_a_list_and_rules_leave_things_out() {
    let world = World::with_repository();
    world.write("data/letters/draft.o", b"x");
    world.write("data/letters/keep.o", b"x");
    world.write("data/cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n");
    world.write("data/cache/blob", b"x");
    world.write("list", format!("{0}/letters\n\n{0}/cache\n", world.text("data")).as_bytes());
    let arguments = ["backup", "files", "--files-from", "list", "-e", "*.o", "-e", "!keep.o", "--exclude-caches"];
    world.backstay(&arguments).succeeds();
    let names = world.backstay(&["find", "*", "-o", "json"]).succeeds().json();
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["type"] == "file")
        .map(|item| item["path"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["CACHEDIR.TAG", "keep.o", "one.txt", "two.txt"]);
    world.backstay(&["show", "latest"]).succeeds().prints(&["left out: 1 item by exclude *.o", "CACHEDIR.TAG"]);
}
