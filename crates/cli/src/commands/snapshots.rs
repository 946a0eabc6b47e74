//! `backstay snapshots`

use std::io::Write;

use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_repo::Repository;
use clap::Args;

use super::SelectionArgs;
use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::documents::SnapshotDocument;
use crate::output::{Align, Format, Output, Table, count, duration, record_time, short, size};

/// List snapshots, oldest first
#[derive(Args)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// List what was forgotten and can be brought back (`backstay forget --undo`)
    #[arg(long)]
    forgotten: bool,
}

pub(crate) fn run(context: &Context, args: &SnapshotsArgs) -> Result<Exit> {
    let repository = context.open()?;
    let selection = args.selection.selection();
    let listed = if args.forgotten { forgotten(&repository) } else { repository.snapshots() };
    let snapshots: Vec<_> = listed.into_iter().filter(|snapshot| selection.matches(snapshot)).collect();
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            snapshots.iter().try_for_each(|snapshot| out.element(&SnapshotDocument::new(snapshot)))?;
            out.end_list()?;
        }
        Format::Name => snapshots.iter().try_for_each(|snapshot| writeln!(out, "{}", snapshot.id))?,
        Format::Table | Format::Wide if snapshots.is_empty() => context.note("there are no snapshots"),
        Format::Table => print_table(&snapshots, &mut out)?,
        Format::Wide => print_wide(&snapshots, &mut out)?,
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// What runs saved along the way is no loss: their last commit forgot it.
fn forgotten(repository: &Repository) -> Vec<SnapshotRecord> {
    repository.forgotten().into_iter().filter(|snapshot| !snapshot.incomplete).collect()
}

fn print_table(snapshots: &[SnapshotRecord], out: &mut Output) -> Result<()> {
    let mut table = Table::new([
        ("ID", Align::Left),
        ("STARTED", Align::Left),
        ("SOURCE", Align::Left),
        ("FILES", Align::Right),
        ("OBJECTS", Align::Right),
        ("SIZE", Align::Right),
        ("STORED", Align::Right),
        ("STATE", Align::Left),
        ("TAGS", Align::Left),
    ]);
    for snapshot in snapshots {
        let summary = &snapshot.summary;
        table.push([
            short(&snapshot.id),
            record_time(&snapshot.started),
            snapshot.source.clone(),
            of_kind(snapshot, SnapshotKind::Files, summary.files),
            of_kind(snapshot, SnapshotKind::Cluster, summary.objects),
            size(summary.size_bytes),
            size(summary.stored_bytes),
            state_and_hold(snapshot),
            snapshot.tags.join(","),
        ]);
    }
    Ok(table.print(out)?)
}

fn print_wide(snapshots: &[SnapshotRecord], out: &mut Output) -> Result<()> {
    let mut table = Table::new([
        ("ID", Align::Left),
        ("STARTED", Align::Left),
        ("TOOK", Align::Right),
        ("SOURCE", Align::Left),
        ("HOST", Align::Left),
        ("USER", Align::Left),
        ("FILES", Align::Right),
        ("OBJECTS", Align::Right),
        ("ADDED", Align::Right),
        ("CHANGED", Align::Right),
        ("SIZE", Align::Right),
        ("NEW", Align::Right),
        ("STORED", Align::Right),
        ("FAILED", Align::Right),
        ("STATE", Align::Left),
        ("EXPIRES", Align::Left),
        ("HOLDS", Align::Left),
        ("TAGS", Align::Left),
        ("PATHS", Align::Left),
    ]);
    for snapshot in snapshots {
        let summary = &snapshot.summary;
        table.push([
            snapshot.id.to_string(),
            record_time(&snapshot.started),
            duration(summary.duration_ms),
            snapshot.source.clone(),
            snapshot.host.clone(),
            snapshot.user.clone(),
            of_kind(snapshot, SnapshotKind::Files, summary.files),
            of_kind(snapshot, SnapshotKind::Cluster, summary.objects),
            count(summary.added),
            count(summary.changed),
            size(summary.size_bytes),
            size(summary.new_bytes),
            size(summary.stored_bytes),
            count(snapshot.ledger.failed),
            state(snapshot).to_owned(),
            snapshot.expires.as_deref().map_or_else(String::new, record_time),
            snapshot.holds.join(","),
            snapshot.tags.join(","),
            snapshot.paths.join(" "),
        ]);
    }
    Ok(table.print(out)?)
}

/// The state, and whether somebody keeps it from being forgotten.
fn state_and_hold(snapshot: &SnapshotRecord) -> String {
    let held = if snapshot.holds.is_empty() { "" } else { ", held" };
    format!("{}{held}", state(snapshot))
}

/// A count that means something in snapshots of one kind only.
fn of_kind(snapshot: &SnapshotRecord, kind: SnapshotKind, items: u64) -> String {
    if snapshot.kind == kind { count(items) } else { String::new() }
}

/// What a person should know of a snapshot before relying on it.
pub(super) fn state(snapshot: &SnapshotRecord) -> &'static str {
    if snapshot.incomplete {
        "unfinished"
    } else if !snapshot.accepted {
        "flagged"
    } else if snapshot.ledger.failed > 0 {
        "partial"
    } else {
        "complete"
    }
}
