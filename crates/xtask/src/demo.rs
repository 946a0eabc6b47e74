//! `cargo xtask demo`: what Backstay does, in one minute, on real files.
//!
//! Works on a copy in a temporary folder, because the files are changed between the two backups. The restored files are
//! compared by `diff` and `find`, not by Backstay.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{command, create_dir, line, output, remove_dir, show_and_run, target_dir};

pub(crate) const HELP: &str = "\
Usage: cargo xtask demo [DIR]

Builds the program, makes a repository in a temporary folder, backs a copy of DIR up, changes the copy, backs it up
again, shows what was stored, restores both snapshots and compares every byte, mode, owner and time with the originals.
Everything is removed at the end. DIR is this project's own source tree unless given.";

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
    let outcome = Demo::new(&work).and_then(|demo| demo.play(directory.as_deref()));
    println!("$ rm -r {}", work.display());
    remove_dir(&work)?;
    outcome?;
    println!("\nBoth snapshots restored exactly as they were backed up.");
    Ok(())
}

/// The start of an id says which snapshot is meant.
const SHORT_ID_LENGTH: usize = 8;

struct Demo {
    work: PathBuf,
    program: PathBuf,
}

impl Demo {
    fn new(work: &Path) -> Result<Demo> {
        Ok(Demo { work: work.into(), program: target_dir()?.join("debug/backstay") })
    }

    fn play(&self, directory: Option<&Path>) -> Result<()> {
        let (data, before) = (self.work.join("data"), self.work.join("before"));
        copy_directory(directory, &data)?;

        heading("A repository is a directory, or a bucket. It is always encrypted");
        println!("$ export BACKSTAY_REPO={} BACKSTAY_PASSWORD=demo", self.work.join("repo").display());
        self.backstay(&["repo", "init"])?;

        heading("The first backup reads and stores everything");
        self.backstay(&["backup", "files", &text(&data)])?;

        heading("Something changes; the second backup stores only that");
        show_and_run(command("cp").arg("-a").arg(&data).arg(&before))?;
        change(&data)?;
        self.backstay(&["backup", "files", &text(&data)])?;

        heading("What is stored");
        self.backstay(&["snapshots"])?;
        self.backstay(&["show", "latest"])?;
        let snapshots = self.snapshots()?;
        let [first, second] = snapshots.as_slice() else {
            return Err(format!("two backups were made, but the snapshots are {snapshots:?}"));
        };
        self.backstay(&["diff", first, second])?;
        self.backstay(&["repo", "stats"])?;
        self.backstay(&["repo", "check", "--read-data"])?;

        heading("Both snapshots come back, byte for byte, with modes, owners and times");
        for (snapshot, original) in [(first, &before), (second, &data)] {
            let restored = self.work.join(format!("restored-{snapshot}"));
            let contents = format!("{snapshot}:{}", data.display());
            self.backstay(&["restore", "files", &contents, "--target", &text(&restored), "--verify"])?;
            compare(original, &restored)?;
        }
        Ok(())
    }

    fn backstay(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(arguments);
        println!("\n$ {}", line(&command).replacen(&text(&self.program), "backstay", 1));
        let status = command.status().map_err(|cause| format!("cannot start {}: {cause}", self.program.display()))?;
        if status.success() { Ok(()) } else { Err(format!("`backstay {}` ended with {status}", arguments.join(" "))) }
    }

    /// The ids of all snapshots, oldest first.
    fn snapshots(&self) -> Result<Vec<String>> {
        let names = output(&mut self.command(&["snapshots", "-o", "name"]))?;
        Ok(names.lines().map(|id| id.chars().take(SHORT_ID_LENGTH).collect()).collect())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("BACKSTAY_REPO", self.work.join("repo"))
            .env("BACKSTAY_PASSWORD", "demo")
            .env("XDG_CACHE_HOME", self.work.join("cache"));
        command
    }
}

/// Copies the directory, or this project's sources without what was built from them.
fn copy_directory(directory: Option<&Path>, data: &Path) -> Result<()> {
    heading("Some real files");
    if let Some(directory) = directory {
        return show_and_run(Command::new("cp").arg("-a").arg(directory).arg(data));
    }
    create_dir(data)?;
    let names = ["crates", "docs", "benches", "Cargo.toml", "Cargo.lock", "README.md"];
    show_and_run(command("cp").arg("-a").args(names).arg(data))
}

/// Extends one file, removes one and adds one.
fn change(data: &Path) -> Result<()> {
    let list = output(Command::new("find").arg(data).args(["-type", "f", "-size", "+0", "-print"]))?;
    let mut files: Vec<&str> = list.lines().collect();
    files.sort_unstable();
    let [extended, removed, ..] = files.as_slice() else {
        return Err(format!("{} needs two files with contents for this demonstration", data.display()));
    };
    println!("$ echo 'one more line' >> {extended}");
    let mut file =
        OpenOptions::new().append(true).open(extended).map_err(|cause| format!("cannot open {extended}: {cause}"))?;
    writeln!(file, "one more line").map_err(|cause| format!("cannot extend {extended}: {cause}"))?;
    println!("$ rm {removed}");
    fs::remove_file(removed).map_err(|cause| format!("cannot remove {removed}: {cause}"))?;
    show_and_run(Command::new("cp").arg(extended).arg(data.join("added-by-the-demo")))
}

/// Fails unless both folders hold the same names, contents, types, modes, owners, links and times.
fn compare(original: &Path, restored: &Path) -> Result<()> {
    show_and_run(Command::new("diff").args(["--recursive", "--no-dereference"]).arg(original).arg(restored))?;
    let format = r"%P %y %m %U:%G %n %T@ %l\n";
    let list = |root: &Path| -> Result<Vec<String>> {
        let mut find = Command::new("find");
        find.arg(root).args(["-mindepth", "1", "-printf", format]);
        println!("$ {}", line(&find));
        let mut lines: Vec<String> = output(&mut find)?.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        Ok(lines)
    };
    let (originals, copies) = (list(original)?, list(restored)?);
    match originals.iter().zip(&copies).find(|(original, copy)| original != copy) {
        Some((original, copy)) => Err(format!("restored metadata differs: {copy:?} was {original:?}")),
        None if originals.len() != copies.len() => Err(format!("{} items became {}", originals.len(), copies.len())),
        None => {
            println!("{} items are equal in contents and metadata", originals.len());
            Ok(())
        }
    }
}

fn heading(text: &str) {
    println!("\n# {text}");
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
