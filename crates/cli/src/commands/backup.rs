//! `backstay backup`

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use backstay_files::backup::{
    BackupOptions, BackupOutcome, Identity, SAVE_INTERVAL_DEFAULT, StreamOptions, backup, backup_stream,
};
use backstay_files::filter::{FilterOptions, Marker, Rule};
use backstay_repo::{Progress, Repository, timestamp_text};
use clap::{Args, Subcommand};
use jiff::Span;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::Result;
use crate::context::{Context, threads, warn};
use crate::failure::{Exit, Failure};
use crate::output::documents::SnapshotDocument;
use crate::output::{ByteSize, Format, count, counted, duration, short, size};
use crate::progress::{self, Labels};

/// Problems that are named at the end; `show` has all.
pub(super) const PROBLEMS_SHOWN_MAX: usize = 10;

/// Make a snapshot
#[derive(Subcommand)]
pub(crate) enum BackupCommand {
    Files(Box<FilesArgs>),
    Cluster(Box<super::backup_cluster::ClusterArgs>),
}

/// Back files and directories up
///
/// Files whose type, size, times and inode are as in the source's last snapshot are not read again. What cannot be read
/// is in the snapshot's ledger, and the exit code is 3. An interrupted run goes on where it was, when it is repeated.
///
/// Patterns of --exclude: without a slash (`*.o`) they match names at any depth, with a leading slash the whole path,
/// with a slash elsewhere the path below each PATH, with one at the end only directories. `*` and `?` stay within a
/// name, `**` does not. The last pattern that matches decides; one that begins with `!` keeps what others leave out.
#[derive(Args)]
pub(crate) struct FilesArgs {
    /// Files and directories; a directory with everything in it
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Name under which this is backed up over and over [default: HOST:PATH]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Label the snapshot; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Name of this machine in the snapshot [default: as the system says]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// The snapshot may be forgotten after so long, such as 30d or 12h
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    ttl: Option<Span>,

    /// How data is cut: `database` for files that are changed in place [default: as in the source's last snapshot]
    #[arg(long, value_name = "default|database")]
    profile: Option<String>,

    /// Read every file, whatever its times say
    #[arg(long)]
    rehash: bool,

    /// Store nothing; tell what would be read
    #[arg(long)]
    dry_run: bool,

    /// Read paths from this file too, one a line, taken as they are; `-` is stdin; may be repeated
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// Back up what the command after `--` prints, as one file; nothing is kept if it fails
    #[arg(long, conflicts_with_all = ["paths", "files_from", "dry_run"])]
    stdin_from_command: bool,

    /// Path of that file in the snapshot
    #[arg(long, value_name = "PATH", default_value = "stdin", requires = "stdin_from_command")]
    stdin_filename: String,

    #[command(flatten)]
    filter: FilterArgs,

    /// Program and arguments for --stdin-from-command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Args)]
#[command(next_help_heading = "What is left out")]
struct FilterArgs {
    /// Leave out what matches this pattern; may be repeated
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Read patterns from this file, one a line, before those of --exclude; may be repeated
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// Leave out what is in directories that are marked as caches (CACHEDIR.TAG)
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out what is in directories with a file of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    exclude_if_present: Vec<OsString>,

    /// Leave out files that are larger
    #[arg(long, value_name = "SIZE")]
    exclude_larger_than: Option<ByteSize>,

    /// Stay on the file systems that the paths are on
    #[arg(long, short = 'x')]
    one_file_system: bool,
}

#[derive(Serialize)]
struct BackupDocument<'a> {
    dry_run: bool,
    snapshot: SnapshotDocument<'a>,
}

pub(super) fn run(context: &Context, command: BackupCommand) -> Result<Exit> {
    match command {
        BackupCommand::Files(args) => files(context, &args),
        BackupCommand::Cluster(args) => super::backup_cluster::run(context, &args),
    }
}

fn files(context: &Context, args: &FilesArgs) -> Result<Exit> {
    let host = args.host.clone().unwrap_or_else(super::host_name);
    // What is wrong with the arguments is told before a password is asked for.
    let run: Run<'_> = if args.stdin_from_command { stream(args, &host)? } else { directories(args, &host)? };
    let repository = context.open()?;
    let expires = args.ttl.map(|age| expiry(&repository, age)).transpose()?;
    let progress = Progress::new();
    let labels = Labels { doing: "read", item: "file", items: "files" };
    let outcome = progress::run(context, labels, &progress, || run(&repository, expires, threads(), &progress));
    let outcome = outcome.map_err(|failure| match failure.exit() {
        Exit::Interrupted if !args.stdin_from_command => {
            failure.with_hint("what was stored is kept: the same command goes on from there")
        }
        _ => failure,
    })?;
    report(context, args.dry_run, &outcome)
}

type Run<'a> = Box<dyn Fn(&Repository, Option<String>, NonZero<usize>, &Progress) -> Result<BackupOutcome> + 'a>;

fn directories<'a>(args: &'a FilesArgs, host: &str) -> Result<Run<'a>> {
    let mut typed = args.paths.clone();
    // Without --stdin-from-command `--` only ends the options.
    typed.extend(args.command.iter().map(PathBuf::from));
    for list in &args.files_from {
        typed.extend(paths_from(list)?);
    }
    if typed.is_empty() {
        return Err(Failure::usage("no path was given").with_hint("backstay backup files PATH"));
    }
    let mut paths = typed.iter().map(|path| absolute(path)).collect::<Result<Vec<_>>>()?;
    paths.sort();
    paths.dedup();
    let filter = filter(&args.filter)?;
    let shown: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    let identity = identity(args, host, &shown.join(","));
    Ok(Box::new(move |repository, expires, threads, progress| {
        let options = BackupOptions {
            paths: paths.clone(),
            identity: Identity { expires, ..identity.clone() },
            filter: filter.clone(),
            profile: args.profile.clone(),
            rehash: args.rehash,
            dry_run: args.dry_run,
            threads,
            save_interval: SAVE_INTERVAL_DEFAULT,
        };
        Ok(backup(repository, &options, progress)?)
    }))
}

fn stream<'a>(args: &'a FilesArgs, host: &str) -> Result<Run<'a>> {
    if args.command.is_empty() {
        return Err(Failure::usage("no command was given")
            .with_hint("backstay backup files --stdin-from-command --stdin-filename dump.sql -- COMMAND ARGUMENTS"));
    }
    let file_name = args.stdin_filename.trim_matches('/').to_owned();
    if file_name.is_empty() || file_name.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Failure::usage(format!("{:?} is no name for a file", args.stdin_filename)));
    }
    let identity = identity(args, host, &format!("/{file_name}"));
    Ok(Box::new(move |repository, expires, threads, progress| {
        let options = StreamOptions {
            command: args.command.clone(),
            file_name: file_name.clone(),
            identity: Identity { expires, ..identity.clone() },
            profile: args.profile.clone(),
            threads,
        };
        Ok(backup_stream(repository, &options, progress)?)
    }))
}

fn identity(args: &FilesArgs, host: &str, path: &str) -> Identity {
    Identity {
        source: args.source.clone().unwrap_or_else(|| format!("{host}:{path}")),
        host: host.to_owned(),
        user: super::user_name(),
        tags: args.tag.clone(),
        expires: None,
    }
}

fn filter(args: &FilterArgs) -> Result<FilterOptions> {
    let mut rules = Vec::new();
    for path in &args.exclude_file {
        let text = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
        let wrong =
            |error| Failure::from_error(&error).with_cause(format!("in {}", path.display())).with_exit(Exit::Usage);
        rules.extend(Rule::parse_lines(&text).map_err(wrong)?);
    }
    rules.extend(args.exclude.iter().map(|pattern| match pattern.strip_prefix('!') {
        Some(pattern) => Rule::include(pattern),
        None => Rule::exclude(pattern),
    }));
    let named = args.exclude_if_present.iter().map(|name| Marker::named(name.as_bytes()));
    Ok(FilterOptions {
        rules,
        markers: args.exclude_caches.then(Marker::cache_directory).into_iter().chain(named).collect(),
        file_size_max_bytes: args.exclude_larger_than.map(|size| size.0),
        one_file_system: args.one_file_system,
    })
}

fn paths_from(list: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        if list.as_os_str() != "-" {
            return fs::read(list);
        }
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| Failure::io("read", list, &error))?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect())
}

/// An absolute path without `.` and `..`. A link at its end stays one; where `..` has to be resolved, links before are followed.
fn absolute(path: &Path) -> Result<PathBuf> {
    let failed = |error| Failure::io("find", path, &error);
    let absolute = std::path::absolute(path).map_err(failed)?;
    if !absolute.components().any(|component| component == Component::ParentDir) {
        return Ok(absolute.components().collect());
    }
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(fs::canonicalize(parent).map_err(failed)?.join(name)),
        _ => fs::canonicalize(&absolute).map_err(failed),
    }
}

pub(super) fn parse_age(text: &str) -> Result<Span, String> {
    let age: Span = text.parse().map_err(|_| format!("{text:?} is no age; write 30d, 12h or 1y6mo"))?;
    if age.is_positive() { Ok(age) } else { Err("an age is positive".to_owned()) }
}

pub(super) fn expiry(repository: &Repository, age: Span) -> Result<String> {
    let now = repository.clock().now().to_zoned(TimeZone::UTC);
    let expires =
        now.checked_add(age).map_err(|error| Failure::usage("--ttl is too long").with_cause(error.to_string()))?;
    Ok(timestamp_text(expires.timestamp()))
}

fn report(context: &Context, dry_run: bool, outcome: &BackupOutcome) -> Result<Exit> {
    let snapshot = &outcome.snapshot;
    let (summary, ledger) = (&snapshot.summary, &snapshot.ledger);
    let id = short(&snapshot.id);
    let files = counted(summary.files, "file", "files");
    let changes = format!(
        "{} added, {} changed, {} unchanged",
        count(summary.added),
        count(summary.changed),
        count(summary.unchanged)
    );
    let took = duration(summary.duration_ms);
    context.note(&if dry_run {
        format!("would back up {files}, {}: {changes}; looked at in {took}", size(summary.size_bytes))
    } else {
        format!(
            "saved snapshot {id}: {files}, {}; {changes}; {} read, {} new, {} stored, in {took}",
            size(summary.size_bytes),
            size(summary.read_bytes),
            size(summary.new_bytes),
            size(summary.stored_bytes),
        )
    });
    for problem in outcome.problems.iter().take(PROBLEMS_SHOWN_MAX) {
        let detail = if problem.detail.is_empty() { String::new() } else { format!(" ({})", problem.detail) };
        warn(&format!("{}: {}{detail}", problem.path, problem.reason));
    }
    if ledger.failed > 0 {
        let failed = counted(ledger.failed, "item was", "items were");
        warn(&format!("{failed} not captured: `backstay show {id}` lists them"));
    }
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            out.document(&BackupDocument { dry_run, snapshot: SnapshotDocument::new(snapshot) })?;
        }
        Format::Name if !dry_run => writeln!(out, "{}", snapshot.id)?,
        Format::Name | Format::Table | Format::Wide => {}
    }
    out.finish()?;
    Ok(if ledger.failed > 0 { Exit::Partial } else { Exit::Done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_and_a_link_at_the_end_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink("a", real.join("link")).unwrap();
        assert_eq!(absolute(&real.join("./a/./")).unwrap(), real.join("a"));
        assert_eq!(absolute(&real.join("a/../link")).unwrap(), real.join("link"));
        assert_eq!(absolute(&real.join("link/..")).unwrap(), real);
        assert_eq!(absolute(Path::new("/")).unwrap(), Path::new("/"));
        assert!(absolute(Path::new("x")).unwrap().is_absolute());
    }

    #[test]
    fn ages_are_what_people_write() {
        for text in ["30d", "12h", "1y6mo", "2 weeks"] {
            assert!(parse_age(text).is_ok(), "{text}");
        }
        for text in ["", "30", "-3d", "0d", "soon"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
