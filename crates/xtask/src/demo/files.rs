//! The half about files: works on a copy, because the files are changed between the two backups.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::{Program, heading, text};
use crate::Result;
use crate::command::{command, create_dir, line, output, show_and_run};

pub(super) fn play(program: &Program, directory: Option<&Path>) -> Result<()> {
    let (data, before) = (program.work.join("data"), program.work.join("before"));
    copy_directory(directory, &data)?;

    heading("A repository is a directory, or a bucket. It is always encrypted");
    println!("$ export BACKSTAY_REPO={} BACKSTAY_PASSWORD=demo", program.work.join("repo").display());
    program.backstay(&["repo", "init"])?;

    heading("The first backup reads and stores everything");
    program.backstay(&["backup", "files", &text(&data)])?;

    heading("Something changes; the second backup stores only that");
    show_and_run(command("cp").arg("-a").arg(&data).arg(&before))?;
    change(&data)?;
    program.backstay(&["backup", "files", &text(&data)])?;

    heading("What is stored");
    program.backstay(&["snapshots"])?;
    program.backstay(&["show", "latest"])?;
    let snapshots = program.snapshots()?;
    let [first, second] = snapshots.as_slice() else {
        return Err(format!("two backups were made, but the snapshots are {snapshots:?}"));
    };
    program.backstay(&["diff", first, second])?;
    program.backstay(&["repo", "stats"])?;
    program.backstay(&["repo", "check", "--read-data"])?;

    heading("Both snapshots come back, byte for byte, with modes, owners and times");
    for (snapshot, original) in [(first, &before), (second, &data)] {
        let restored = program.work.join(format!("restored-{snapshot}"));
        let contents = format!("{snapshot}:{}", data.display());
        program.backstay(&["restore", "files", &contents, "--target", &text(&restored), "--verify"])?;
        compare(original, &restored)?;
    }
    Ok(())
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
