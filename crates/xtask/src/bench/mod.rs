//! `cargo xtask bench`: figures about Backstay, where there is something to compare with beside it in the same run on the same machine.
//!
//! `files` compares with other backup programs, `cluster` with a plain listing and plain creates of the same Kubernetes objects,
//! `gc` says what long histories cost. `measure` takes time and memory, `table` has what the pages are written with.

mod cluster;
mod files;
mod gc;
mod measure;
mod table;

use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::{command, output, show_and_run, target_dir};

pub(crate) const HELP: &str = "\
Usage: cargo xtask bench files|cluster|gc [OPTIONS]

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
  --restore-up-to N  Restore nothing at larger sizes: creates take most of the time
  --no-page        Only print the table
  --work DIR       Where repositories go; it is removed at the end [default: bench in the cache folder]

gc: Builds the release binary and what makes the repositories, and measures lists, checks and collections of many chunks under 1,000
snapshots; then a year of backups of a cluster every quarter of an hour, with a policy and a collection each day. The tables are written
to docs/reference/bench-gc.md, the chart beside it. Needs 20 GB of disk, and about an hour.

  --part PART      Only scale or only year; the other section of the page stays as it is
  --chunks LIST    Sizes of the repositories [default: 1000000,10000000]
  --runs N         How often lists, checks and collections are repeated [default: 3]
  --days N         Of the year [default: 365]
  --no-page        Only print the tables
  --data DIR       Where the repositories of many chunks are kept [default: long-life in the tools' cache folder]
  --work DIR       Where copies and the year go, on the same file system; removed at the end [default: bench in the cache folder]";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((what, rest)) if what == "files" => files::run(rest),
        Some((what, rest)) if what == "cluster" => cluster::run(rest),
        Some((what, rest)) if what == "gc" => gc::run(rest),
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
