//! `cargo xtask bench`: figures about Backstay, always beside something else in the same run on the same machine.
//!
//! `files` compares with other backup programs, `cluster` with a plain listing and plain creates of the same Kubernetes objects.
//! `measure` takes time and memory, `table` has what both pages are written with.

mod cluster;
mod files;
mod measure;
mod table;

use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::{command, output, show_and_run, target_dir};

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench files|cluster [OPTIONS]

files: Builds the release binary, installs the other programs and makes the data set where they are missing, and measures
every program in turn: first backup, the same again, a changed database, a full check, a restore. With a full run the
table is written to docs/reference/bench-files.md. The caches are warm. Needs 30 GB of disk for three runs, and with
--scale 12 GB more: not every program restores holes.

  --programs LIST  Of backstay, restic, borg, rustic [default: all of them]
  --runs N         How often everything is repeated; medians are shown [default: 3]
  --scale          Also a million files, a directory of 200,000 entries, a file of 8 GiB with holes,
                   and the local index at two million chunks
  --quick          One run, restores at once instead of six quiet minutes later; for a first look
  --data DIR       Where the data set is kept [default: data in the tools' cache folder]
  --work DIR       Where repositories and restored files go; it is removed at the end [default: bench in the cache folder]

cluster: Builds the release binary, starts a control plane for each size, fills it, and measures a first backup, an unchanged and
a changed one beside a plain listing of the same objects, a restore beside plain creates, and the time of questions. The table
is written to docs/reference/bench-cluster.md. Needs Go and Python 3.10.

  --sizes LIST     Numbers of objects [default: 3600,30000,300000]
  --runs N         How often everything is repeated [default: 3]
  --history        Also questions over 1,000 snapshots, at sizes up to 10,000; making them takes ten minutes and more
  --no-page        Only print the table
  --work DIR       Where repositories go; it is removed at the end [default: bench in the cache folder]";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((what, rest)) if what == "files" => files::run(rest),
        Some((what, rest)) if what == "cluster" => cluster::run(rest),
        _ => Err(format!("say what to measure\n\n{HELP}")),
    }
}

fn build_release() -> Result<PathBuf> {
    show_and_run(command("cargo").args(["build", "--release", "--locked", "--package", "backstay-cli"]))?;
    Ok(target_dir()?.join("release/backstay"))
}

/// The size of all that a program stored. The space that Backstay sets aside for the day the disk is full is none of it.
fn stored_bytes(repository: &Path) -> Result<u64> {
    let sizes =
        output(command("find").arg(repository).args(["-type", "f", "-not", "-name", "reserve", "-printf", r"%s\n"]))?;
    Ok(sizes.lines().filter_map(|size| size.parse::<u64>().ok()).sum())
}
