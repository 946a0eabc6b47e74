//! `backstay repo copy`

use std::io::Write;

use backstay_format::ids::RepositoryId;
use backstay_repo::copy::{CopyOptions, CopyReport, GRACE_SECONDS_DEFAULT, Place};
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Progress, Repository};
use clap::Args;
use serde::Serialize;

use super::init::{judge, refuse_other_folders};
use crate::Result;
use crate::context::{Context, SecondPlace, confirm};
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output, count, counted, escape, size};
use crate::progress::{self, Labels};
use crate::secret::CopySecret;

/// Copy the repository to a second place, or what is new since the last time
///
/// The copy is the same repository, with passwords of its own: it can be listed, restored from and checked like any other, and
/// `repo heal` mends each of the two with the other. At every moment it can be read in full; an interrupted run goes on where it
/// was. Nothing but this command changes a copy. What `repo gc` let go here goes there too, a day later.
///
/// Credentials for the second place's cloud, where they are others, are read from the same variables with BACKSTAY_TO_ in front.
#[derive(Args)]
pub(crate) struct CopyArgs {
    /// Where the copy is: a path, s3://, gs:// or az://
    #[arg(value_name = "TO", required_unless_present = "take_over")]
    to: Option<String>,

    #[command(flatten)]
    secret: CopySecret,

    /// What the copy's first key slot is called [default: user@host]
    #[arg(long, value_name = "TEXT")]
    to_label: Option<String>,

    /// Address of the second place's store, where it is not the first one's
    #[arg(long, value_name = "URL")]
    to_endpoint: Option<String>,

    /// Region of the second place's bucket, where it is not the first one's
    #[arg(long, value_name = "NAME")]
    to_region: Option<String>,

    /// Only say how much there is to copy
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Make the copy that --repo names a repository of its own: backed up into, and never copied into again
    ///
    /// For when the original is lost. No copying into it may be running.
    #[arg(long, conflicts_with_all = ["to", "dry_run"])]
    take_over: bool,

    /// Do not ask before taking over
    #[arg(long, short, requires = "take_over")]
    yes: bool,
}

#[derive(Serialize)]
struct CopyDocument<'a> {
    repository: RepositoryId,
    location: String,
    dry_run: bool,
    #[serde(flatten)]
    report: &'a CopyReport,
}

pub(super) fn run(context: &Context, args: &CopyArgs) -> Result<Exit> {
    // As `Context::open`, but the secret is needed once more.
    let store = context.store()?;
    let secret = context.secret()?;
    let source = context.open_with(store, &secret)?;
    let Some(to) = &args.to else { return take_over(context, &source, args.yes) };
    let place = SecondPlace {
        name: to,
        endpoint: args.to_endpoint.as_deref(),
        region: args.to_region.as_deref(),
        variables: "BACKSTAY_TO_",
    };
    let location = place.location()?;
    let existing = context.second_store(&place)?;
    let found = existing.as_ref().map(|to| source.copy_place(to)).transpose()?;
    let to = match (existing, found) {
        (Some(store), Some(Place::Copy)) => Some(store),
        _ if args.dry_run => None,
        _ => Some(make(context, &source, &secret, &location, &place, args)?),
    };
    let progress = Progress::new();
    let labels = Labels { doing: "copied", item: "pack", items: "packs" };
    let options = CopyOptions { dry_run: args.dry_run, grace_seconds: GRACE_SECONDS_DEFAULT };
    let report = progress::run(context, labels, &progress, || source.copy_to(to.as_ref(), &options, &progress))?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&CopyDocument {
            repository: source.config().repository,
            location: location.to_string(),
            dry_run: args.dry_run,
            report: &report,
        })?,
        Format::Name => writeln!(out, "{}", source.config().repository)?,
        Format::Table | Format::Wide => print(&mut out, &report, args.dry_run)?,
    }
    out.finish()?;
    if report.damaged.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!("{} could not be copied", counted(report.damaged.len() as u64, "object", "objects")))
        .with_exit(Exit::Damage)
        .with_hint("`backstay repo heal --from COPY` mends each place with the other; then copy again"))
}

/// Makes the place, as `repo init` does.
fn make(
    context: &Context,
    source: &Repository,
    secret: &backstay_format::config::Secret,
    location: &Location,
    place: &SecondPlace<'_>,
    args: &CopyArgs,
) -> Result<Store> {
    if let Location::Directory(path) = location {
        refuse_other_folders(path)?;
    }
    let new = args.secret.read()?;
    let options = context.second_options(place);
    let store = Store::create_location(location, &options)?;
    let capabilities = store.probe()?;
    judge(location, capabilities)?;
    let create_if_absent = capabilities.create_if_absent;
    let store = Store::create_location(location, &StoreOptions { create_if_absent, ..options })?;
    let label =
        args.to_label.clone().unwrap_or_else(|| format!("{}@{}", super::super::user_name(), super::super::host_name()));
    source.make_copy(&store, secret, &new, &label)?;
    context.note(&format!("made a copy of repository {} at {location}", source.config().repository));
    Ok(store)
}

fn take_over(context: &Context, copy: &Repository, is_confirmed: bool) -> Result<Exit> {
    let location = copy.store().location().to_owned();
    if !copy.is_copy()? {
        // Says so.
        copy.take_over()?;
    }
    let behind = match copy.entries_behind_gap()?.len() as u64 {
        0 => String::new(),
        behind => format!(
            "; {} behind a gap in its log go to quarantine/ (where the original is left, `backstay repo heal --from ORIGINAL` closes the gap)",
            counted(behind, "entry", "entries")
        ),
    };
    confirm(&format!("make {location} a repository of its own, never copied into again{behind}"), is_confirmed)?;
    let kept = copy.take_over()?;
    context.note(&format!("{location} is a repository of its own now"));
    if !kept.is_empty() {
        let entries = counted(kept.len() as u64, "entry", "entries");
        context.note(&format!("{entries} behind a gap in its log went to quarantine/"));
    }
    let mut out = context.output();
    if out.format().is_document() {
        let repository = copy.config().repository;
        out.document(&serde_json::json!({ "repository": repository, "location": location, "quarantined": kept }))?;
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn print(out: &mut Output, report: &CopyReport, dry_run: bool) -> Result<()> {
    for damaged in &report.damaged {
        writeln!(out, "damaged: {} at {}: {}", escape(&damaged.object), escape(&damaged.location), damaged.problem)?;
    }
    let present =
        if report.packs_present > 0 { format!("; {} were there", count(report.packs_present)) } else { String::new() };
    writeln!(
        out,
        "{} {} ({}), {}{present}",
        if dry_run { "to copy:" } else { "copied" },
        counted(report.packs, "pack", "packs"),
        size(report.pack_bytes),
        counted(report.index_segments, "index segment", "index segments"),
    )?;
    let entries = report.log_entries - report.log_entries_before;
    let (is, done) = if dry_run { ("would be", "to delete later:") } else { ("is", "to be deleted later:") };
    writeln!(
        out,
        "the copy {is} at log entry {}, {} further",
        count(report.log_entries),
        counted(entries, "entry", "entries")
    )?;
    if report.deleted > 0 {
        writeln!(
            out,
            "deleted {} that the repository let go ({})",
            counted(report.deleted, "object", "objects"),
            size(report.deleted_bytes)
        )?;
    }
    if report.waiting > 0 {
        writeln!(out, "{done} {} that the repository let go", counted(report.waiting, "object", "objects"))?;
    }
    Ok(())
}
