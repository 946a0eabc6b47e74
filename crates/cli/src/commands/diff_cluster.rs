//! `backstay diff` for snapshots of clusters: objects, and their fields.

use std::io::Write;

use backstay_cluster::look::FieldOptions;
use backstay_cluster::look::diff::{
    DiffOptions, DiffSummary, ObjectChange, ObjectChangeKind, diff_live, diff_snapshots,
};
use backstay_cluster::look::fields::FieldChange;
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::ids::SnapshotId;
use backstay_format::log::SnapshotRecord;
use backstay_repo::Repository;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::NamespaceArgs;
use super::find_objects::resolve_in_any;
use crate::Result;
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output, counted, escape, short};

/// A value that is longer is cut: documents have all of it.
const VALUE_CHARACTERS_MAX: usize = 100;
/// Lines of a text that are shown on each side.
const LINES_MAX: usize = 12;

/// What of two snapshots of clusters is compared.
#[derive(Args)]
#[command(next_help_heading = "Snapshots of clusters")]
pub(crate) struct ClusterDiffArgs {
    /// Compare with the cluster as it is now
    #[arg(long, conflicts_with = "after", required_unless_present = "after")]
    pub(super) live: bool,

    #[command(flatten)]
    namespaces: NamespaceArgs,

    /// Only these kinds; several with commas
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Compare too what the server and its controllers write by themselves: status, managed fields, leases, events
    #[arg(long)]
    all_fields: bool,

    /// Show the values of Secrets, not only that they changed
    #[arg(long)]
    show_secrets: bool,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// With what a snapshot is compared.
pub(super) enum After<'a> {
    Snapshot(&'a SnapshotRecord),
    Live,
}

pub(super) fn run(
    context: &Context,
    args: &ClusterDiffArgs,
    repository: &Repository,
    before: &SnapshotRecord,
    after: &After<'_>,
) -> Result<Exit> {
    let mut reader = ObjectReader::new(repository)?;
    let snapshots = match after {
        After::Snapshot(after) => vec![*after, before],
        After::Live => vec![before],
    };
    let resources: Vec<ResourceName> = match &args.kind {
        Some(kind) => resolve_in_any(&mut reader, snapshots.into_iter(), kind)?,
        None => Vec::new(),
    };
    let fields = FieldOptions { all_fields: args.all_fields, show_secrets: args.show_secrets };
    let options = DiffOptions { namespaces: args.namespaces.or_all(), resources, fields };
    let mut out = context.output();
    let mut changes = Vec::new();
    let is_document = out.format().is_document();
    let mut each = |change: ObjectChange| -> Result<()> {
        if is_document {
            changes.push(ChangeDocument::new(change));
            Ok(())
        } else {
            print(&change, &mut out)
        }
    };
    let (summary, after_id, after_name) = match after {
        After::Snapshot(after) => {
            let summary = diff_snapshots(&mut reader, before, after, &options, &mut each)?;
            (summary, Some(after.id), short(&after.id))
        }
        After::Live => {
            let server = args.connection.connect()?;
            let summary = diff_live(&mut reader, before, &server, &options, &mut each)?;
            (summary, None, format!("the cluster at {}", server.address()))
        }
    };
    match out.format() {
        Format::Json | Format::Yaml => {
            out.document(&DiffDocument { before: before.id, after: after_id, changes, summary })?;
        }
        Format::Table | Format::Wide => print_summary(&summary, &short(&before.id), &after_name, &mut out)?,
        Format::Name => {}
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// Files and objects have nothing in common that could differ.
pub(super) fn refuse_files() -> Failure {
    Failure::new("a snapshot of files and one of a cluster cannot be compared")
        .with_hint("`backstay snapshots` lists the snapshots with their kinds")
}

#[derive(Serialize)]
struct DiffDocument {
    before: SnapshotId,
    /// Nothing: the live cluster.
    after: Option<SnapshotId>,
    changes: Vec<ChangeDocument>,
    summary: DiffSummary,
}

#[derive(Serialize)]
struct ChangeDocument {
    change: char,
    #[serde(flatten)]
    key: ObjectKey,
    recreated: bool,
    fields: Vec<FieldChange>,
}

impl ChangeDocument {
    fn new(change: ObjectChange) -> Self {
        let mark = mark(&change);
        let (fields, recreated) = match change.kind {
            ObjectChangeKind::Changed { fields, recreated } => (fields, recreated),
            _ => (Vec::new(), false),
        };
        Self { change: mark, key: change.key, recreated, fields }
    }
}

fn mark(change: &ObjectChange) -> char {
    match change.kind {
        ObjectChangeKind::Added => '+',
        ObjectChangeKind::Removed => '-',
        ObjectChangeKind::Changed { .. } => 'M',
    }
}

fn print(change: &ObjectChange, out: &mut Output) -> Result<()> {
    if out.format() == Format::Name {
        writeln!(out, "{}", escape(&change.key.to_string()))?;
        return Ok(());
    }
    write!(out, "{}  {}", mark(change), escape(&change.key.to_string()))?;
    if let ObjectChangeKind::Changed { recreated: true, .. } = change.kind {
        write!(out, " (deleted and made again)")?;
    }
    writeln!(out)?;
    if let ObjectChangeKind::Changed { fields, .. } = &change.kind {
        print_fields(fields, out)?;
    }
    Ok(())
}

/// Each field on a line; texts of several lines by the lines that differ.
pub(super) fn print_fields(fields: &[FieldChange], out: &mut Output) -> Result<()> {
    for field in fields {
        let path = escape(&field.path.to_string()).into_owned();
        match (&field.before, &field.after) {
            (Some(Value::String(before)), Some(Value::String(after)))
                if before.contains('\n') || after.contains('\n') =>
            {
                writeln!(out, "     {path}:")?;
                print_lines(before, after, out)?;
            }
            (Some(before), Some(after)) => writeln!(out, "     {path}: {} -> {}", shown(before), shown(after))?,
            (None, Some(after)) => writeln!(out, "     {path}: added {}", shown(after))?,
            (Some(before), None) => writeln!(out, "     {path}: removed {}", shown(before))?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}... ({} characters)", escape(&text[..end]), text.chars().count()),
        None => escape(&text).into_owned(),
    }
}

/// The lines between the first and the last that differ.
fn print_lines(before: &str, after: &str, out: &mut Output) -> Result<()> {
    let (removed, added) = differing_lines(before, after);
    for (mark, lines) in [('-', removed), ('+', added)] {
        for line in lines.iter().take(LINES_MAX) {
            writeln!(out, "       {mark} {}", escape(line))?;
        }
        if lines.len() > LINES_MAX {
            writeln!(out, "       {mark} and {} more lines", lines.len() - LINES_MAX)?;
        }
    }
    Ok(())
}

fn differing_lines<'t>(before: &'t str, after: &'t str) -> (Vec<&'t str>, Vec<&'t str>) {
    let (mut before, mut after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    while before.last().is_some_and(|line| after.last() == Some(line)) {
        before.pop();
        after.pop();
    }
    let same = before.iter().zip(&after).take_while(|(left, right)| left == right).count();
    (before.split_off(same), after.split_off(same))
}

fn print_summary(summary: &DiffSummary, before: &str, after: &str, out: &mut Output) -> Result<()> {
    write!(
        out,
        "{before} to {after}: {} added, {} removed, {} changed",
        counted(summary.added, "object", "objects"),
        summary.removed,
        summary.changed
    )?;
    let mut left_out = Vec::new();
    if summary.noise_only > 0 {
        left_out
            .push(format!("{} changed only by the server itself", counted(summary.noise_only, "object", "objects")));
    }
    if summary.restless > 0 {
        left_out.push(counted(summary.restless, "lease or event", "leases and events"));
    }
    if !left_out.is_empty() {
        write!(out, " (left out: {}; --all-fields shows them)", left_out.join(", "))?;
    }
    writeln!(out)?;
    if !summary.not_compared.is_empty() {
        let names: Vec<String> = summary.not_compared.iter().map(ToString::to_string).collect();
        writeln!(out, "not compared, because only one side has a list of them: {}", names.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        let lines = differing_lines("a\nb\nc\nd\n", "a\nx\ny\nd\n");
        assert_eq!(lines, (vec!["b", "c"], vec!["x", "y"]));
        assert_eq!(differing_lines("a\n", "a\na\n"), (vec![], vec!["a"]));
        assert_eq!(differing_lines("a\nb", "b"), (vec!["a"], vec![]));
    }

    #[test]
    fn long_values_are_cut_and_control_characters_are_shown() {
        assert_eq!(shown(&Value::from("a\u{1b}")), r#""a\u001b""#);
        let long = shown(&Value::from("ä".repeat(200)));
        assert!(long.ends_with("... (202 characters)") && long.chars().count() < 130, "{long}");
    }
}
