//! Where passwords come from, and where they never go.

use std::process::Stdio;

use crate::world::{Run, World};

const PASSWORD: &str = "xyzzy-planted-password";

#[test]
fn every_source_of_a_password_opens_the_repository() {
    let world = World::new();
    world.write("password", format!("{PASSWORD}\r\nnot this line\n").as_bytes());
    let file = world.text("password");
    let command = format!("cat {file}");
    let by_file =
        |arguments: &[&str]| Run::of(world.command_without_secret(arguments).args(["--password-file", &file]));
    by_file(&["repo", "init"]).succeeds();
    by_file(&["snapshots"]).succeeds();
    Run::of(&mut world.command_without_secret(&["snapshots", "--password-command", &command])).succeeds();
    let from_environment =
        |value: &str| Run::of(world.command_without_secret(&["snapshots"]).env("BACKSTAY_PASSWORD", value));
    from_environment(PASSWORD).succeeds();
    // An option is nearer than the environment.
    let mut both = world.command_without_secret(&["snapshots", "--password-file", &file]);
    Run::of(both.env("BACKSTAY_PASSWORD", "wrong")).succeeds();
    from_environment("").ends_with(2).says(&["BACKSTAY_PASSWORD is empty"]);
    Run::of(&mut world.command_without_secret(&["snapshots", "--password-command", "exit 3"]))
        .ends_with(1)
        .says(&["--password-command failed", "3"]);
    Run::of(&mut world.command_without_secret(&["snapshots", "--password-file", "nowhere"]))
        .ends_with(1)
        .says(&["nowhere"]);
}

#[test]
fn a_planted_password_shows_up_nowhere() {
    let world = World::new();
    let cloud_key = "planted-cloud-secret";
    let run = |arguments: &[&str], password: &str| {
        let mut command = world.command_without_secret(arguments);
        command
            .env("BACKSTAY_PASSWORD", password)
            .env("AWS_SECRET_ACCESS_KEY", cloud_key)
            .env("AWS_ACCESS_KEY_ID", "id");
        command.env("RUST_LOG", "trace").env("BACKSTAY_LOG", "trace").stderr(Stdio::piped());
        Run::of(&mut command)
    };
    let data = world.text("data");
    let mut shown = String::new();
    let mut look = |arguments: &[&str], password: &str| {
        let run = run(arguments, password);
        shown.push_str(&run.stdout);
        shown.push_str(&run.stderr);
    };
    look(&["repo", "init", "-vv"], PASSWORD);
    look(&["backup", "files", "-vv", &data], PASSWORD);
    for format in ["table", "wide", "json", "yaml", "name"] {
        for command in [&["repo", "info"][..], &["repo", "key", "list"], &["snapshots"], &["show", "latest"]] {
            look(&[command, &["-o", format, "-vv"]].concat(), PASSWORD);
        }
    }
    look(&["snapshots", "-vv"], &format!("{PASSWORD} but wrong"));
    look(&["snapshots", "-vv", "--repo", "s3://bucket/x", "--endpoint", "http://127.0.0.1:9", "--help"], PASSWORD);
    look(&["no-such-command", "-vv"], PASSWORD);
    look(&["--help"], PASSWORD);
    assert!(shown.contains("made repository") && shown.contains("wrong password"), "{shown}");
    for secret in [PASSWORD, cloud_key] {
        assert!(!shown.contains(secret), "{shown}");
    }
    // Nor is it in the repository, the cache, or anywhere else that the program writes.
    let mut files = crate::world::files_below(&world.path("repo"));
    files.extend(crate::world::files_below(&world.path("home")));
    assert!(files.len() > 5);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [PASSWORD, "Dear Ishmael"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds {secret:?}", file.display());
        }
    }
}
