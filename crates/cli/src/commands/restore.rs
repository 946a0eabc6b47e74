//! `backstay restore`

use std::io::Write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use backstay_files::restore::{
    Action, Note, Overwrite, Ownership, RestoreCounts, RestoreOptions, RestoreOutcome, restore,
};
use backstay_format::ids::SnapshotId;
use backstay_format::log::{LedgerEntry, SnapshotRecord};
use backstay_repo::{Progress, Repository};
use clap::{Args, Subcommand, ValueEnum};
use parking_lot::Mutex;
use serde::Serialize;

use super::SelectionArgs;
use crate::Result;
use crate::context::{Context, confirm, threads, warn};
use crate::failure::{Exit, Failure};
use crate::output::documents::display_path;
use crate::output::{Format, Output, count, counted, duration, escape, short, size};
use crate::progress::{self, Labels};
use crate::selector::{Selector, SelectorParser};

/// Problems that are named at the end; documents have all.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// Bring a snapshot back
#[derive(Subcommand)]
pub(crate) enum RestoreCommand {
    Files(FilesArgs),
    Cluster(Box<super::restore_cluster::ClusterArgs>),
}

/// Restore files and directories of a snapshot
///
/// With a path its contents land in DIR; without one, DIR gets absolute paths below it. What is in DIR already stays as
/// it is, unless --overwrite or --delete say otherwise. Nothing is ever written outside DIR.
#[derive(Args)]
pub(crate) struct FilesArgs {
    /// `latest` or the start of an id, and maybe a path in it
    #[arg(value_name = "SNAPSHOT[:/PATH]", value_parser = SelectorParser)]
    selector: Selector,

    /// Where to; made if it is missing
    #[arg(long, short, value_name = "DIR")]
    target: PathBuf,

    /// What happens to files that are there
    #[arg(long, value_enum, default_value = "never")]
    overwrite: OverwriteArg,

    /// Remove what the snapshot does not have from the directories that are restored
    #[arg(long)]
    delete: bool,

    /// Do not ask before --delete
    #[arg(long, short)]
    yes: bool,

    /// Change nothing; print what would be done
    #[arg(long)]
    dry_run: bool,

    /// Read everything again in the end, and compare it with the snapshot
    #[arg(long)]
    verify: bool,

    /// Restore only what matches this pattern, and what is inside it; may be repeated
    #[arg(long, short, value_name = "PATTERN")]
    include: Vec<String>,

    /// Do not touch what matches this pattern; may be repeated
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Leave owners as they come: everything belongs to whoever restores
    #[arg(long)]
    no_owner: bool,

    #[command(flatten)]
    selection: SelectionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OverwriteArg {
    /// They stay as they are
    Never,
    /// Those with another size or time get the snapshot's contents
    Changed,
    /// The contents of all are compared, and written where they differ
    Always,
}

pub(super) fn run(context: &Context, command: RestoreCommand) -> Result<Exit> {
    match command {
        RestoreCommand::Files(args) => files(context, &args),
        RestoreCommand::Cluster(args) => super::restore_cluster::run(context, &args),
    }
}

fn files(context: &Context, args: &FilesArgs) -> Result<Exit> {
    let target = std::path::absolute(&args.target).map_err(|error| Failure::io("find", &args.target, &error))?;
    let repository = context.open()?;
    let snapshot = args.selector.find(&repository, &args.selection.selection())?;
    if args.delete && !args.dry_run {
        let question = format!("delete from {} what snapshot {} does not have", target.display(), short(&snapshot.id));
        confirm(&question, args.yes)?;
    }
    let started = Instant::now();
    let plan = Plan::default();
    let outcome = restore_files(context, args, &repository, &snapshot, &target, &plan)?;
    let took = started.elapsed().as_millis() as u64;
    let planned = std::mem::take(&mut *plan.lock());
    report(context, args, &snapshot, &target, &outcome, planned, took)
}

/// What a dry run would do, in order.
type Plan = Arc<Mutex<Vec<PlannedDocument>>>;

#[derive(Serialize)]
struct PlannedDocument {
    action: &'static str,
    path: String,
}

fn restore_files(
    context: &Context,
    args: &FilesArgs,
    repository: &Repository,
    snapshot: &SnapshotRecord,
    target: &Path,
    plan: &Plan,
) -> Result<RestoreOutcome> {
    let plan = Arc::clone(plan);
    let each = move |action, key: &[u8]| {
        plan.lock().push(PlannedDocument { action: action_name(action), path: display_path(key) });
    };
    let options = RestoreOptions {
        target: target.to_owned(),
        subtree: args.selector.key.clone(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        overwrite: match args.overwrite {
            OverwriteArg::Never => Overwrite::Never,
            OverwriteArg::Changed => Overwrite::Changed,
            OverwriteArg::Always => Overwrite::Always,
        },
        delete: args.delete,
        dry_run: args.dry_run,
        verify: args.verify,
        ownership: if args.no_owner { Ownership::Ignored } else { Ownership::WherePermitted },
        threads: threads(),
        memory_bytes: repository.options().memory_bytes,
        each: args.dry_run.then_some(&each),
    };
    let progress = Progress::new();
    let labels = Labels { doing: "restored", item: "item", items: "items" };
    progress::run(context, labels, &progress, || restore(repository, snapshot, &options, &progress)).map_err(|error| {
        let failure = Failure::from(error);
        match failure.exit() {
            Exit::Interrupted => failure.with_hint("the same command with --overwrite changed goes on from there"),
            _ => failure,
        }
    })
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Keep => "keep",
        Action::Leave => "leave",
        Action::Delete => "delete",
    }
}

#[derive(Serialize)]
struct RestoreDocument<'a> {
    dry_run: bool,
    snapshot: SnapshotId,
    target: String,
    created: u64,
    updated: u64,
    unchanged: u64,
    left: u64,
    deleted: u64,
    failed: u64,
    damaged: u64,
    written_bytes: u64,
    problems: &'a [LedgerEntry],
    notes: Vec<NoteDocument<'a>>,
    /// Only of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<PlannedDocument>>,
}

#[derive(Serialize)]
struct NoteDocument<'a> {
    reason: &'a str,
    detail: &'a str,
    path: &'a str,
    items: u64,
}

fn report(
    context: &Context,
    args: &FilesArgs,
    snapshot: &SnapshotRecord,
    target: &Path,
    outcome: &RestoreOutcome,
    plan: Vec<PlannedDocument>,
    took: u64,
) -> Result<Exit> {
    let RestoreCounts { created, updated, unchanged, left, deleted, failed, damaged } = outcome.counts;
    let mut out = context.output();
    if out.format().is_document() {
        let notes = outcome.notes.iter().map(|Note { reason, detail, path, items }| NoteDocument {
            reason,
            detail,
            path,
            items: *items,
        });
        out.document(&RestoreDocument {
            dry_run: args.dry_run,
            snapshot: snapshot.id,
            target: target.to_string_lossy().into_owned(),
            created,
            updated,
            unchanged,
            left,
            deleted,
            failed,
            damaged,
            written_bytes: outcome.written_bytes,
            problems: &outcome.problems,
            notes: notes.collect(),
            plan: args.dry_run.then_some(plan),
        })?;
    } else {
        plan.iter().try_for_each(|planned| print_planned(planned, &mut out))?;
    }
    out.finish()?;
    for problem in outcome.problems.iter().take(PROBLEMS_SHOWN_MAX) {
        warn(&format!("{}: {}: {}", problem.path, problem.reason, problem.detail));
    }
    let more = outcome.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    if more > 0 {
        warn(&format!("and {} more; `-o json` prints all", counted(more as u64, "problem", "problems")));
    }
    for note in &outcome.notes {
        context.note(&format!(
            "{}: {}, first {}: {}",
            note.reason,
            counted(note.items, "item", "items"),
            note.path,
            note.detail
        ));
    }
    let mut counts = Vec::new();
    for (number, word) in [
        (created, "created"),
        (updated, "updated"),
        (unchanged, "unchanged"),
        (left, "left as they were"),
        (deleted, "deleted"),
        (failed, "failed"),
    ] {
        if number > 0 || word == "created" {
            counts.push(format!("{} {word}", count(number)));
        }
    }
    let (id, counts, target) = (short(&snapshot.id), counts.join(", "), target.display());
    context.note(&if args.dry_run {
        format!("would restore snapshot {id} to {target}: {counts}")
    } else {
        let verified = if args.verify { ", verified" } else { "" };
        format!(
            "restored snapshot {id} to {target}: {counts}; {} written{verified}, in {}",
            size(outcome.written_bytes),
            duration(took)
        )
    });
    if left > 0 {
        context.note("`--overwrite changed` brings what was left to the state of the snapshot");
    }
    let partial = if outcome.is_partial() { Exit::Partial } else { Exit::Done };
    Ok(partial.or_graver(if outcome.found_damage() { Exit::Damage } else { Exit::Done }))
}

fn print_planned(planned: &PlannedDocument, out: &mut Output) -> Result<()> {
    let path = escape(&planned.path);
    match out.format() {
        Format::Name => writeln!(out, "{path}")?,
        _ => writeln!(out, "{:<6}  {path}", planned.action)?,
    }
    Ok(())
}
