//! `backstay diff`

use std::io::Write;

use backstay_format::ids::SnapshotId;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Item, ItemKind, path_of_key};
use backstay_repo::Repository;
use backstay_repo::tree::{Difference, diff_trees};
use clap::Args;
use serde::Serialize;

use super::SelectionArgs;
use super::diff_cluster::{self, After, ClusterDiffArgs};
use super::ls::is_below;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::documents::{ItemDocument, display_path};
use crate::output::{Format, Output, counted, escape, short, size};
use crate::selector::{Selector, SelectorParser};

/// Compare two snapshots: `+` added, `-` removed, `M` other contents or another type
///
/// Of files, sizes before and after stand beside each path. Both snapshots may name the same path to compare below it only.
///
/// Of clusters, each object that differs is shown with its fields, before and after; with --live the snapshot is compared with the
/// cluster as it is now. What the server and its controllers write by themselves is left out, and of Secrets only is shown that
/// a value changed.
#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The earlier snapshot
    #[arg(value_name = "BEFORE[:/PATH]", value_parser = SelectorParser)]
    before: Selector,

    /// The later snapshot
    #[arg(value_name = "AFTER[:/PATH]", value_parser = SelectorParser)]
    after: Option<Selector>,

    /// List items too of which only mode, owner, times or attributes changed (`m`)
    #[arg(long)]
    metadata: bool,

    #[command(flatten)]
    cluster: ClusterDiffArgs,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &DiffArgs) -> Result<Exit> {
    let repository = context.open()?;
    let selection = args.selection.selection();
    let before = args.before.find(&repository, &selection)?;
    let Some(selector) = &args.after else {
        return diff_cluster::run(context, &args.cluster, &repository, &before, &After::Live);
    };
    let after = selector.find(&repository, &selection)?;
    match (before.kind, after.kind) {
        (SnapshotKind::Cluster, SnapshotKind::Cluster) => {
            diff_cluster::run(context, &args.cluster, &repository, &before, &After::Snapshot(&after))
        }
        (SnapshotKind::Cluster, _) | (_, SnapshotKind::Cluster) => Err(diff_cluster::refuse_files()),
        _ => diff_files(context, args, selector, &repository, &before, &after),
    }
}

fn diff_files(
    context: &Context,
    args: &DiffArgs,
    selector: &Selector,
    repository: &Repository,
    before: &SnapshotRecord,
    after: &SnapshotRecord,
) -> Result<Exit> {
    let below = match (&args.before.key, &selector.key) {
        (Some(before), Some(after)) if before != after => {
            return Err(Failure::usage("two different paths cannot be compared")
                .with_hint("name the same path twice, or once: it holds for both snapshots"));
        }
        (Some(key), _) | (None, Some(key)) => key.clone(),
        (None, None) => Vec::new(),
    };
    let mut out = context.output();
    let is_document = out.format().is_document();
    let mut summary = Summary::default();
    let mut changes = Vec::new();
    diff_trees(&mut repository.reader()?, before.tree, after.tree, &mut |difference| {
        if !is_below(difference.key(), &below) {
            return Ok(());
        }
        let Some(change) = Change::of(&difference) else { return Ok(()) };
        summary.count(&difference, &change);
        if change.mark == 'm' && !args.metadata {
            return Ok(());
        }
        if is_document {
            changes.push(ChangeDocument::new(&difference, change));
            Ok(())
        } else {
            print(&difference, &change, &mut out)
        }
    })?;
    match out.format() {
        Format::Json | Format::Yaml => {
            out.document(&DiffDocument { before: before.id, after: after.id, changes, summary })?;
        }
        Format::Table | Format::Wide => summary.print(&short(&before.id), &short(&after.id), &mut out)?,
        Format::Name => {}
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// One difference, as far as people see it: inode numbers and change times differ wherever something was moved or copied.
struct Change {
    mark: char,
    fields: Vec<&'static str>,
}

impl Change {
    fn of(difference: &Difference) -> Option<Self> {
        let (before, after) = match difference {
            Difference::Added(_) => return Some(Self { mark: '+', fields: Vec::new() }),
            Difference::Removed(_) => return Some(Self { mark: '-', fields: Vec::new() }),
            Difference::Changed { before, after } => (before, after),
        };
        let mut fields = Vec::new();
        let mut compare = |field, is_equal: bool| {
            if !is_equal {
                fields.push(field);
            }
        };
        compare("contents", has_same_contents(&before.kind, &after.kind));
        compare("mode", before.mode == after.mode);
        compare("owner", (before.uid, before.gid) == (after.uid, after.gid));
        compare("modified", before.modified == after.modified);
        compare("attributes", before.xattrs == after.xattrs);
        match fields.first() {
            None => None,
            Some(&"contents") => Some(Self { mark: 'M', fields }),
            Some(_) => Some(Self { mark: 'm', fields }),
        }
    }
}

fn has_same_contents(before: &ItemKind, after: &ItemKind) -> bool {
    match (before, after) {
        (
            ItemKind::File { size_bytes: size_before, content: before, hash: hash_before, .. },
            ItemKind::File { size_bytes: size_after, content: after, hash: hash_after, .. },
        ) => match (hash_before, hash_after) {
            // A small file may lie in another bundle now.
            (Some(before), Some(after)) => before == after && size_before == size_after,
            _ => before == after,
        },
        _ => before == after,
    }
}

#[derive(Default, Serialize)]
struct Summary {
    added: u64,
    removed: u64,
    changed: u64,
    metadata_changed: u64,
    added_bytes: u64,
    removed_bytes: u64,
    /// Of changed files, before and after.
    changed_bytes_before: u64,
    changed_bytes_after: u64,
}

impl Summary {
    fn count(&mut self, difference: &Difference, change: &Change) {
        match difference {
            Difference::Added(item) => {
                self.added += 1;
                self.added_bytes += item.size_bytes();
            }
            Difference::Removed(item) => {
                self.removed += 1;
                self.removed_bytes += item.size_bytes();
            }
            Difference::Changed { .. } if change.mark == 'm' => self.metadata_changed += 1,
            Difference::Changed { before, after } => {
                self.changed += 1;
                self.changed_bytes_before += before.size_bytes();
                self.changed_bytes_after += after.size_bytes();
            }
        }
    }

    fn print(&self, before: &str, after: &str, out: &mut Output) -> Result<()> {
        writeln!(
            out,
            "{before} to {after}: {} added ({}), {} removed ({}), {} changed ({} to {}), metadata of {} more changed",
            counted(self.added, "item", "items"),
            size(self.added_bytes),
            self.removed,
            size(self.removed_bytes),
            self.changed,
            size(self.changed_bytes_before),
            size(self.changed_bytes_after),
            self.metadata_changed,
        )?;
        Ok(())
    }
}

#[derive(Serialize)]
struct DiffDocument {
    before: SnapshotId,
    after: SnapshotId,
    changes: Vec<ChangeDocument>,
    summary: Summary,
}

#[derive(Serialize)]
struct ChangeDocument {
    change: char,
    fields: Vec<&'static str>,
    before: Option<ItemDocument>,
    after: Option<ItemDocument>,
}

impl ChangeDocument {
    fn new(difference: &Difference, change: Change) -> Self {
        let (before, after) = sides(difference);
        Self {
            change: change.mark,
            fields: change.fields,
            before: before.map(ItemDocument::new),
            after: after.map(ItemDocument::new),
        }
    }
}

fn sides(difference: &Difference) -> (Option<&Item>, Option<&Item>) {
    match difference {
        Difference::Added(item) => (None, Some(item)),
        Difference::Removed(item) => (Some(item), None),
        Difference::Changed { before, after } => (Some(before), Some(after)),
    }
}

fn print(difference: &Difference, change: &Change, out: &mut Output) -> Result<()> {
    if out.format() == Format::Name {
        out.write_all(b"/")?;
        out.write_all(&path_of_key(difference.key()))?;
        out.write_all(b"\n")?;
        return Ok(());
    }
    let shown = |item: Option<&Item>| match item.map(|item| &item.kind) {
        Some(ItemKind::File { size_bytes, .. }) => size(*size_bytes),
        _ => "-".to_owned(),
    };
    let (before, after) = sides(difference);
    let fields = if change.mark == 'm' { format!(" ({})", change.fields.join(", ")) } else { String::new() };
    let path = display_path(difference.key());
    writeln!(out, "{}  {:>10}  {:>10}  {}{fields}", change.mark, shown(before), shown(after), escape(&path))?;
    Ok(())
}
