//! `backstay repo heal`

use std::io::Write;

use backstay_format::ids::RepositoryId;
use backstay_repo::heal::{Ailment, HealOptions, HealReport, diagnose};
use backstay_repo::{Progress, RepoError};
use clap::Args;
use serde::Serialize;

use crate::Result;
use crate::context::{Context, SecondPlace, confirm};
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output, counted, escape, size};
use crate::progress::{self, Labels};

/// Mend what is damaged or missing here with what a copy of the repository holds
///
/// Works in both directions, and where the repository cannot even be opened. Looks at the config, the whole log and every index
/// segment, for packs that are missing or of a wrong size, and at those that a check named; with --read-data it reads every pack. What it replaces is kept
/// below `quarantine/`. The password or key is that of this place; where no key slot is left here, that of the copy.
///
/// Credentials for the copy's cloud, where they are others, are read from the same variables with BACKSTAY_FROM_ in front.
#[derive(Args)]
pub(crate) struct HealArgs {
    /// Where the right bytes are: a path, s3://, gs:// or az://
    #[arg(long, value_name = "COPY")]
    from: String,

    /// Address of the copy's store, where it is not the first one's
    #[arg(long, value_name = "URL")]
    from_endpoint: Option<String>,

    /// Region of the copy's bucket, where it is not the first one's
    #[arg(long, value_name = "NAME")]
    from_region: Option<String>,

    /// Read every pack here and compare it with its name
    #[arg(long)]
    read_data: bool,

    /// Only say what is wrong, and what can be mended
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Serialize)]
struct HealDocument<'a> {
    repository: RepositoryId,
    dry_run: bool,
    found: &'a [Ailment],
    #[serde(flatten)]
    report: &'a HealReport,
}

pub(super) fn run(context: &Context, args: &HealArgs) -> Result<Exit> {
    let place = SecondPlace {
        name: &args.from,
        endpoint: args.from_endpoint.as_deref(),
        region: args.from_region.as_deref(),
        variables: "BACKSTAY_FROM_",
    };
    if place.location()?.to_string() == context.location()?.to_string() {
        return Err(Failure::usage("--from and --repo are the same place"));
    }
    let here = context.store_as_made()?;
    let from = context.second_store(&place)?;
    let from = from.ok_or_else(|| RepoError::NoRepository { location: args.from.clone() })?;
    let secret = context.secret()?;
    let options = HealOptions { read_data: args.read_data, memory_bytes: context.open_options().memory_bytes };
    let progress = Progress::new();
    let labels = Labels { doing: "read", item: "pack", items: "packs" };
    let diagnosis = progress::run(context, labels, &progress, || diagnose(&here, &from, &secret, &options, &progress))?;
    let is_shown = !context.output().format().is_document();
    let curable = diagnosis.ailments.iter().filter(|ailment| ailment.can_be_healed).count() as u64;
    if is_shown {
        print_plan(&mut context.output(), &diagnosis.ailments, &args.from)?;
    }
    let report = if args.dry_run {
        let failed = diagnosis.ailments.iter().filter(|ailment| !ailment.can_be_healed).cloned().collect();
        HealReport { failed, ..HealReport::default() }
    } else {
        let question = format!("put the right bytes in place of {}", counted(curable, "object", "objects"));
        confirm(&question, args.yes || curable == 0)?;
        let progress = Progress::new();
        let labels = Labels { doing: "fetched", item: "pack", items: "packs" };
        progress::run(context, labels, &progress, || diagnosis.heal(&progress))?
    };
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&HealDocument {
            repository: diagnosis.repository,
            dry_run: args.dry_run,
            found: &diagnosis.ailments,
            report: &report,
        })?,
        Format::Name => report.healed.iter().try_for_each(|name| writeln!(out, "{name}"))?,
        Format::Table | Format::Wide => print(&mut out, &report, args.dry_run, diagnosis.ailments.is_empty())?,
    }
    out.finish()?;
    if report.failed.is_empty() {
        // Damage that is known and was left as it is.
        return Ok(if args.dry_run && curable > 0 { Exit::Damage } else { Exit::Done });
    }
    Err(Failure::new(format!("{} could not be mended", counted(report.failed.len() as u64, "object", "objects")))
        .with_exit(Exit::Damage)
        .with_hint("another copy may have them; without one, `backstay repo repair` saves what can be read"))
}

fn print_plan(out: &mut Output, ailments: &[Ailment], from: &str) -> Result<()> {
    if matches!(out.format(), Format::Name) {
        return Ok(());
    }
    for Ailment { object, problem, can_be_healed } in ailments {
        let remedy = if *can_be_healed { "has it" } else { "does not have it either" };
        writeln!(out, "damaged: {}: {}; {} {remedy}", escape(object), escape(problem), escape(from))?;
    }
    Ok(())
}

fn print(out: &mut Output, report: &HealReport, dry_run: bool, is_sound: bool) -> Result<()> {
    if is_sound {
        writeln!(out, "nothing to mend")?;
    } else if !dry_run {
        writeln!(
            out,
            "mended {} ({})",
            counted(report.healed.len() as u64, "object", "objects"),
            size(report.healed_bytes)
        )?;
    }
    for name in &report.quarantined {
        writeln!(out, "kept the damaged bytes as {}", escape(name))?;
    }
    for Ailment { object, problem, .. } in report.failed.iter().filter(|_| !dry_run) {
        writeln!(out, "not mended: {}: {}", escape(object), escape(problem))?;
    }
    Ok(())
}
