//! `backstay repo check`

use std::io::Write;

use backstay_repo::Progress;
use backstay_repo::check::{self, CheckReport, Level};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::print_findings;
use crate::Result;
use crate::context::{Context, threads, warn};
use crate::failure::Exit;
use crate::output::{Format, counted, size};
use crate::progress::{self, Labels};

/// Prove that every snapshot can be restored, and say what is damaged
///
/// Nothing is changed, and backups may run meanwhile. What is damaged is listed with the snapshots and paths that it
/// touches, and the exit code is 5.
#[derive(Args)]
pub(crate) struct CheckArgs {
    /// How deep to look
    #[arg(long, value_enum, default_value = "structure")]
    level: LevelArg,

    /// Read, decrypt and hash every byte; the same as --level full
    #[arg(long)]
    read_data: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum LevelArg {
    /// Everything needed is there, with the right size
    List,
    /// Every snapshot's tree is complete too
    Structure,
    /// Every byte is read too
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
    let level = if args.read_data { LevelArg::Full } else { args.level };
    let repository = context.open()?;
    let progress = Progress::new();
    let labels = Labels { doing: "checked", item: "pack", items: "packs" };
    let report = progress::run(context, labels, &progress, || {
        let level = match level {
            LevelArg::List => Level::List,
            LevelArg::Structure => Level::Structure,
            LevelArg::Full => Level::Full,
        };
        check::check(&repository, level, threads().get(), &progress)
    })?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            out.document(&CheckDocument { level, clean: report.is_clean(), report: &report })?;
        }
        Format::Name => report.findings.iter().try_for_each(|finding| writeln!(out, "{}", finding.object))?,
        Format::Table | Format::Wide => {
            print_findings(&mut out, &report.findings)?;
            writeln!(out, "{}", summary(level, &report))?;
        }
    }
    out.finish()?;
    if report.passing_faults > 0 {
        warn(&format!(
            "{} could be read only at the second try: watch the disk or the network",
            counted(report.passing_faults, "pack", "packs")
        ));
    }
    Ok(if report.is_clean() { Exit::Done } else { Exit::Damage })
}

fn summary(level: LevelArg, report: &CheckReport) -> String {
    let read = match level {
        LevelArg::List => "all are there with the right size".to_owned(),
        LevelArg::Structure => format!("{} read", counted(report.nodes, "tree node", "tree nodes")),
        LevelArg::Full => format!("{} read and verified", counted(report.records_read, "record", "records")),
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
