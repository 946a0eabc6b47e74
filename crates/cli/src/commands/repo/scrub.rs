//! `backstay repo scrub`

use std::io::Write;

use backstay_repo::check::{ScrubOptions, ScrubReport, audit_scrub};
use backstay_repo::{Clock, Progress};
use clap::Args;
use serde::Serialize;

use super::limits::{LimitArgs, coverage_line};
use super::{print_findings, warn_of_passing_faults, warn_unsaved};
use crate::Result;
use crate::context::{Context, threads};
use crate::failure::Exit;
use crate::output::{Format, counted, escape, size};
use crate::progress::{self, Labels};

/// Compare every stored object with its own hash; needs no password
///
/// So a machine that must not read the data can prove that they are intact. What is missing altogether only
/// `repo check` can tell. Which packs were read is saved in the repository: the next scrub goes on where this one stopped, and a check with --level bytes takes
/// it over.
#[derive(Args)]
pub(crate) struct ScrubArgs {
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Serialize)]
struct ScrubDocument<'a> {
    clean: bool,
    #[serde(flatten)]
    report: &'a ScrubReport,
}

pub(super) fn run(context: &Context, args: &ScrubArgs) -> Result<Exit> {
    let store = context.store()?;
    let options = ScrubOptions { limits: args.limits.limits(), threads: threads().get() };
    let progress = Progress::new();
    let labels = Labels { doing: "read", item: "object", items: "objects" };
    let (report, unsaved) =
        progress::run(context, labels, &progress, || audit_scrub(&store, &Clock::system(), &options, &progress))?;
    let clean = report.findings.is_empty();
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&ScrubDocument { clean, report: &report })?,
        Format::Name => report.findings.iter().try_for_each(|finding| writeln!(out, "{}", finding.object))?,
        Format::Table | Format::Wide => {
            print_findings(&mut out, &report.findings)?;
            for name in &report.foreign {
                writeln!(out, "not of this repository: {}", escape(name))?;
            }
            let verdict = match report.findings.len() as u64 {
                0 => "no damage".to_owned(),
                damaged => format!("{} damaged", counted(damaged, "object", "objects")),
            };
            writeln!(out, "{verdict}: {} read, {}", counted(report.objects, "object", "objects"), size(report.bytes))?;
            for line in report.coverage.iter().filter_map(coverage_line) {
                writeln!(out, "{line}")?;
            }
        }
    }
    out.finish()?;
    warn_of_passing_faults(report.passing_faults);
    warn_unsaved(unsaved);
    Ok(if clean { Exit::Done } else { Exit::Damage })
}
