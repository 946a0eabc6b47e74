//! `backstay show`

use std::io::Write;

use backstay_cluster::snapshot::{Lists, ObjectReader};
use backstay_format::log::{ClusterIdentityRecord, LedgerEntry, SnapshotKind, SnapshotRecord};
use backstay_repo::read_ledger;
use clap::Args;

use super::{SelectionArgs, snapshots};
use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::documents::SnapshotDocument;
use crate::output::{Format, Output, count, counted, duration, escape, print_fields, record_time, size};
use crate::selector::find_snapshot;

/// Ledger entries that a table shows; documents have all.
const ENTRIES_SHOWN_MAX: usize = 100;

/// Describe a snapshot: counts, sizes, and what could not be captured
#[derive(Args)]
#[command(visible_alias = "describe")]
pub(crate) struct ShowArgs {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &ShowArgs) -> Result<Exit> {
    let repository = context.open()?;
    let snapshot = find_snapshot(&repository, &args.snapshot, &args.selection.selection())?;
    let mut out = context.output();
    match out.format() {
        Format::Name => writeln!(out, "{}", snapshot.id)?,
        format => {
            let entries = read_ledger(&mut repository.reader()?, &snapshot.ledger)?;
            let lists = match snapshot.kind {
                SnapshotKind::Cluster => ObjectReader::new(&repository)?.lists(&snapshot)?,
                _ => Lists::default(),
            };
            if format.is_document() {
                out.document(&SnapshotDocument::with_ledger(&snapshot, &entries, &lists))?;
            } else {
                print(&mut out, &snapshot, &entries, &lists)?;
            }
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn print(out: &mut Output, snapshot: &SnapshotRecord, entries: &[LedgerEntry], lists: &Lists) -> Result<()> {
    let summary = &snapshot.summary;
    let mut fields = vec![
        ("Snapshot", snapshot.id.to_string()),
        ("State", snapshots::state(snapshot).to_owned()),
        ("Source", snapshot.source.clone()),
        ("Paths", snapshot.paths.join(" ")),
        ("Cluster", snapshot.cluster.as_ref().map_or_else(String::new, cluster)),
        ("Host", snapshot.host.clone()),
        ("User", snapshot.user.clone()),
        ("Program", snapshot.program.clone()),
        ("Profile", snapshot.profile.clone()),
        ("Started", record_time(&snapshot.started)),
        ("Took", duration(summary.duration_ms)),
        ("Tags", snapshot.tags.join(" ")),
        ("Flags", snapshot.flags.join("; ")),
        ("Holds", snapshot.holds.join(", ")),
        ("Expires", snapshot.expires.as_deref().map_or_else(String::new, record_time)),
        ("Items", items(snapshot)),
        ("Size", size(summary.size_bytes)),
        (
            "Changes",
            format!(
                "{} added, {} changed, {} unchanged",
                count(summary.added),
                count(summary.changed),
                count(summary.unchanged)
            ),
        ),
        (
            "Data",
            format!(
                "{} read, {} new, {} stored",
                size(summary.read_bytes),
                size(summary.new_bytes),
                size(summary.stored_bytes)
            ),
        ),
        ("Ledger", format!("{} failed, {} noted", count(snapshot.ledger.failed), count(snapshot.ledger.noted))),
    ];
    if let Some(filters) = lists.filters.as_ref().and_then(|filters| serde_json::to_string(filters).ok()) {
        fields.push(("Filters", filters));
    }
    fields.retain(|(_, value)| !value.is_empty());
    print_fields(out, &fields)?;
    for (rule, items) in &snapshot.ledger.filtered {
        writeln!(out, "  left out: {} by {}", counted(*items, "item", "items"), escape(rule))?;
    }
    for listed in lists.resources.iter().filter(|listed| listed.objects > 0) {
        writeln!(
            out,
            "  {}: {} ({})",
            escape(&listed.resource.name.to_string()),
            counted(listed.objects, "object", "objects"),
            escape(&listed.resource.api_version())
        )?;
    }
    // What failed comes first: it is what a person has to act on.
    let (failed, noted): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.failed);
    for entry in failed.iter().chain(&noted).take(ENTRIES_SHOWN_MAX) {
        let word = if entry.failed { "failed" } else { "noted" };
        let detail = if entry.detail.is_empty() { String::new() } else { format!(" ({})", entry.detail) };
        writeln!(out, "  {word}: {}: {}{}", escape(&entry.path), escape(&entry.reason), escape(&detail))?;
    }
    if entries.len() > ENTRIES_SHOWN_MAX {
        writeln!(out, "  and {} more; `-o json` prints all", count((entries.len() - ENTRIES_SHOWN_MAX) as u64))?;
    }
    Ok(())
}

fn items(snapshot: &SnapshotRecord) -> String {
    let summary = &snapshot.summary;
    if snapshot.kind == SnapshotKind::Cluster {
        return counted(summary.objects, "object", "objects");
    }
    format!(
        "{}, {}, {}",
        counted(summary.files, "file", "files"),
        counted(summary.directories, "directory", "directories"),
        counted(summary.others, "other", "others")
    )
}

fn cluster(cluster: &ClusterIdentityRecord) -> String {
    let context = if cluster.context.is_empty() { String::new() } else { format!(", context {}", cluster.context) };
    format!("{} ({}{context})", cluster.uid, cluster.version)
}
