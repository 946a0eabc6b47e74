//! `backstay repo scrub`

use std::io::Write;

use backstay_repo::Progress;
use backstay_repo::check::{ScrubReport, scrub};
use clap::Args;
use serde::Serialize;

use super::print_findings;
use crate::Result;
use crate::context::{Context, threads, warn};
use crate::failure::Exit;
use crate::output::{Format, counted, escape, size};
use crate::progress::{self, Labels};

/// Compare every stored object with its own hash; needs no password
///
/// So a machine that must not read the data can prove that they are intact. What is missing altogether only
/// `repo check` can tell.
#[derive(Args)]
pub(crate) struct ScrubArgs {}

#[derive(Serialize)]
struct ScrubDocument<'a> {
    clean: bool,
    #[serde(flatten)]
    report: &'a ScrubReport,
}

pub(super) fn run(context: &Context, _args: &ScrubArgs) -> Result<Exit> {
    let store = context.store()?;
    let progress = Progress::new();
    let labels = Labels { doing: "read", item: "object", items: "objects" };
    let report = progress::run(context, labels, &progress, || scrub(&store, threads().get(), &progress))?;
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
        }
    }
    out.finish()?;
    if report.passing_faults > 0 {
        warn(&format!(
            "{} could be read only at the second try: watch the disk or the network",
            counted(report.passing_faults, "object", "objects")
        ));
    }
    Ok(if clean { Exit::Done } else { Exit::Damage })
}
