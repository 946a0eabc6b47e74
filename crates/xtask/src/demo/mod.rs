//! `cargo xtask demo`: what Backstay does, in a few minutes, on real files and a real Kubernetes control plane.
//!
//! `files` and `cluster` each play one half. What came back is compared by other programs (diff, find, kubectl), not by Backstay.

mod cluster;
mod files;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{command, create_dir, line, output, remove_dir, show_and_run, target_dir};
use crate::tools::missing_go;

pub(crate) const HELP: &str = "\
Usage: cargo xtask demo [DIR]

Builds the program and makes a repository in a temporary folder. Files: backs a copy of DIR up, changes the copy, backs it
up again, shows what was stored, restores both snapshots and compares every byte, mode, owner and time with the originals.
Cluster: starts a throw-away Kubernetes control plane with an application in it, backs it up, changes it, backs it up
again, shows what changed, deletes a namespace, restores it and compares every object.
Everything is removed at the end. DIR is this project's own source tree unless given. Where Go is missing, which the
control plane is built with, only the first half is shown. Building it takes about 8 minutes on two cores, once.";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let directory = match arguments {
        [] => None,
        [directory] => Some(PathBuf::from(directory)),
        _ => return Err(format!("cannot understand {arguments:?}\n\n{HELP}")),
    };
    show_and_run(command("cargo").args(["build", "--package", "backstay-cli"]))?;
    let work = std::env::temp_dir().join(format!("backstay-demo-{}", std::process::id()));
    create_dir(&work)?;
    let work = fs::canonicalize(&work).map_err(|cause| format!("cannot find {}: {cause}", work.display()))?;
    let missing_go = missing_go();
    let outcome = play(&work, directory.as_deref(), missing_go.is_none());
    println!("$ rm -r {}", work.display());
    remove_dir(&work)?;
    outcome?;
    println!("\nBoth snapshots of files restored exactly as they were backed up.");
    match missing_go {
        None => println!("The namespace restored with every object as it was backed up."),
        Some(go) => println!("The cluster was left out: please install {go} for that half."),
    }
    Ok(())
}

fn play(work: &Path, directory: Option<&Path>, has_go: bool) -> Result<()> {
    files::play(&Program::new(work, "files")?, directory)?;
    if has_go { cluster::play(Program::new(work, "cluster")?) } else { Ok(()) }
}

/// The start of an id says which snapshot is meant.
const SHORT_ID_LENGTH: usize = 8;

/// The program with a repository of its own.
struct Program {
    work: PathBuf,
    executable: PathBuf,
    /// Set for every command.
    environment: Vec<(&'static str, PathBuf)>,
}

impl Program {
    fn new(work: &Path, name: &str) -> Result<Program> {
        let work = work.join(name);
        create_dir(&work)?;
        let environment = vec![
            ("BACKSTAY_REPO", work.join("repo")),
            ("BACKSTAY_PASSWORD", "demo".into()),
            ("XDG_CACHE_HOME", work.join("cache")),
        ];
        Ok(Program { work, executable: target_dir()?.join("debug/backstay"), environment })
    }

    fn backstay(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(arguments);
        println!("\n$ {}", line(&command).replacen(&text(&self.executable), "backstay", 1));
        let failed = |cause| format!("cannot start {}: {cause}", self.executable.display());
        let status = command.status().map_err(failed)?;
        if status.success() { Ok(()) } else { Err(format!("`backstay {}` ended with {status}", arguments.join(" "))) }
    }

    /// The ids of all snapshots, oldest first.
    fn snapshots(&self) -> Result<Vec<String>> {
        let names = output(&mut self.command(&["snapshots", "-o", "name"]))?;
        Ok(names.lines().map(|id| id.chars().take(SHORT_ID_LENGTH).collect()).collect())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn heading(text: &str) {
    println!("\n# {text}");
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
