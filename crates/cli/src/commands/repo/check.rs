//! `backstay repo check`

use std::io::Write;

use backstay_repo::check::{AuditOptions, CheckReport, Level, Limits, audit};
use backstay_repo::{Progress, Selection};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::limits::{LimitArgs, coverage_line};
use super::{print_findings, warn_of_passing_faults, warn_unsaved};
use crate::Result;
use crate::context::{Context, threads, warn};
use crate::failure::{Exit, Failure};
use crate::output::{Format, counted, size};
use crate::progress::{self, Labels};
use crate::selector::find_snapshot;

/// Prove that every snapshot can be restored, and say what is damaged
///
/// No data are changed, and backups may run meanwhile. What is damaged is listed with the snapshots and paths that it
/// touches and the commands that mend it, and the exit code is 5. Which packs were read, and what is damaged, is saved in the repository: the next check goes on
/// where this one stopped, and the next backup relies on nothing that is damaged.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// How deep to look; each level includes those before
    #[arg(long, value_enum, default_value = "structure")]
    level: LevelArg,

    /// Read, decrypt and hash every byte; the same as --level full
    #[arg(long, conflicts_with = "level")]
    read_data: bool,

    /// Check this snapshot and what it needs
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,

    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum LevelArg {
    /// Everything needed is there, with the right size
    List,
    /// Every snapshot's tree is complete too
    Structure,
    /// The bytes of packs are those that their names say
    Bytes,
    /// Every record in them is opened too
    Full,
}

#[derive(Serialize)]
struct CheckDocument<'a> {
    level: LevelArg,
    clean: bool,
    #[serde(flatten)]
    report: &'a CheckReport,
}

pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<Exit> {
    let level_arg = if args.read_data { LevelArg::Full } else { args.level };
    let level = match level_arg {
        LevelArg::List => Level::List,
        LevelArg::Structure => Level::Structure,
        LevelArg::Bytes => Level::Bytes,
        LevelArg::Full => Level::Full,
    };
    let limits = args.limits.limits();
    if level < Level::Bytes && limits != Limits::default() {
        let failure = Failure::usage("limits on what is read mean nothing where no packs are read");
        return Err(failure.with_hint("add --level bytes, or --level full"));
    }
    let repository = context.open()?;
    let snapshot = args.snapshot.as_ref().map(|spec| find_snapshot(&repository, spec, &Selection::default()));
    let snapshot = snapshot.transpose()?.map(|snapshot| snapshot.id);
    let options = AuditOptions { level, limits, snapshot, threads: threads().get() };
    let progress = Progress::new();
    let labels = Labels { doing: "checked", item: "pack", items: "packs" };
    let (report, unsaved) = progress::run(context, labels, &progress, || audit(&repository, &options, &progress))?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            out.document(&CheckDocument { level: level_arg, clean: report.is_clean(), report: &report })?;
        }
        Format::Name => report.findings.iter().try_for_each(|finding| writeln!(out, "{}", finding.object))?,
        Format::Table | Format::Wide => {
            print_findings(&mut out, &report.findings)?;
            writeln!(out, "{}", summary(level, &report))?;
            for line in report.coverage.iter().filter_map(coverage_line) {
                writeln!(out, "{line}")?;
            }
        }
    }
    out.finish()?;
    if report.log_entries_behind_gap > 0 {
        let entries = counted(report.log_entries_behind_gap, "log entry", "log entries");
        warn(&format!(
            "{entries} behind a gap in this copy's log: the next `backstay repo copy` goes on there, or `backstay repo heal --from` the original closes it"
        ));
    }
    warn_of_passing_faults(report.passing_faults);
    warn_unsaved(unsaved);
    Ok(if report.is_clean() { Exit::Done } else { Exit::Damage })
}

fn summary(level: Level, report: &CheckReport) -> String {
    let packs = || format!("{} ({})", counted(report.packs_read, "pack", "packs"), size(report.bytes_read));
    let read = match level {
        Level::List => "all listed with their sizes".to_owned(),
        Level::Structure => format!("{} read", counted(report.nodes, "tree node", "tree nodes")),
        Level::Bytes => format!("{} read and compared with their names", packs()),
        Level::Full => {
            format!("{} in {} read and verified", counted(report.records_read, "record", "records"), packs())
        }
    };
    let verdict = match report.findings.len() as u64 {
        0 => "no damage".to_owned(),
        damaged => format!("{} damaged", counted(damaged, "object", "objects")),
    };
    let unused = match report.unused_packs {
        0 => String::new(),
        unused => format!("; {} ({}) in no use", counted(unused, "pack", "packs"), size(report.unused_bytes)),
    };
    format!(
        "{verdict}: {}, {} in {} ({}), {read}{unused}",
        counted(report.snapshots, "snapshot", "snapshots"),
        counted(report.records, "record", "records"),
        counted(report.packs, "pack", "packs"),
        size(report.pack_bytes),
    )
}
