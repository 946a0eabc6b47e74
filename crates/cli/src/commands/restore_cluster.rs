//! `backstay restore cluster`

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backstay_cluster::api::{ClusterIdentity, Server};
use backstay_cluster::restore::document::EMPTY_VOLUME;
use backstay_cluster::restore::{
    ActionKind, ApplyOptions, ExistingPolicy, ImageMapping, ItemOutcome, ItemResult, NotReady, Outcome, Plan, Reason,
    ResourceModifiers, RestoreOptions, StatusChoice, apply, plan,
};
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::ids::SnapshotId;
use backstay_format::log::SnapshotRecord;
use backstay_repo::{Progress, Repository, Selection};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::SelectionArgs;
use crate::Result;
use crate::connection::ConnectionArgs;
use crate::context::{Context, confirm, warn};
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output, count, counted, duration, escape, short};
use crate::progress::{self, Labels};
use crate::selector::find_snapshot;

/// Notes on single objects that are shown; documents have all.
const NOTES_SHOWN_MAX: usize = 20;

/// Restore Kubernetes objects of a snapshot
///
/// A plan comes first: for every object, whether it will be created, is there already, differs or is in conflict. --dry-run
/// prints it, --plan-out saves it, --plan applies a saved one. Objects that exist stay as they are, unless
/// --existing-resource-policy says otherwise; one that was changed since the plan is never overwritten.
///
/// An interrupted restore goes on where it was when the same command is run again, and a finished one may be repeated.
#[derive(Args)]
pub(crate) struct ClusterArgs {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAPSHOT", required_unless_present = "plan")]
    snapshot: Option<String>,

    /// Apply this saved plan
    #[arg(long, value_name = "FILE", conflicts_with_all = ["snapshot", "dry_run", "plan_out"])]
    plan: Option<PathBuf>,

    /// Change nothing; print the plan, with what the server says to it
    #[arg(long)]
    dry_run: bool,

    /// Change nothing; save the plan
    #[arg(long, value_name = "FILE")]
    plan_out: Option<PathBuf>,

    /// Do not ask before objects are changed, or deleted and created again
    #[arg(long, short)]
    yes: bool,

    /// Wait in the end until workloads and claims are ready, and say what is not and why
    #[arg(long)]
    wait: bool,

    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time, requires = "wait")]
    wait_timeout: Duration,

    #[command(flatten)]
    chosen: ChosenArgs,

    #[command(flatten)]
    changed: ChangedArgs,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    selection: SelectionArgs,
}

#[derive(Args)]
#[command(next_help_heading = "What is restored")]
struct ChosenArgs {
    /// Namespaces, or patterns of them [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    include_namespaces: Vec<String>,

    /// Namespaces that are left out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    exclude_namespaces: Vec<String>,

    /// Resources, such as `deployments.apps` or `configmaps` [default: all]
    #[arg(long, value_name = "RESOURCES", value_delimiter = ',')]
    include_resources: Vec<String>,

    /// Resources that are left out
    #[arg(long, value_name = "RESOURCES", value_delimiter = ',')]
    exclude_resources: Vec<String>,

    /// Objects of the whole cluster [default: with all namespaces, and what a restored object needs]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    include_cluster_resources: Option<bool>,

    /// Only objects whose labels match
    #[arg(long, short = 'l', value_name = "SELECTOR", conflicts_with = "or_selector")]
    selector: Option<String>,

    /// Objects that match one of several selectors: `app=web or app=db`
    #[arg(long, value_name = "SELECTORS")]
    or_selector: Option<String>,

    /// Persistent volumes of the policy Retain [default: true]; claims come back in any case, EMPTY
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    restore_volumes: Option<bool>,

    /// Objects that the control plane makes by itself and that are wanted all the same: `RESOURCE` or `RESOURCE/NAME`
    #[arg(long, value_name = "OBJECTS", value_delimiter = ',')]
    control_plane_objects: Vec<String>,
}

#[derive(Args)]
#[command(next_help_heading = "How it is restored")]
struct ChangedArgs {
    /// Other names for namespaces: `old:new`
    #[arg(long, value_name = "OLD:NEW", value_delimiter = ',', value_parser = parse_colon)]
    namespace_mappings: Vec<(String, String)>,

    /// What happens to objects that exist and differ
    #[arg(long, value_enum, value_name = "POLICY", default_value = "none")]
    existing_resource_policy: PolicyArg,

    /// Resources whose status is restored too; `*` for all
    #[arg(long, value_name = "RESOURCES", value_delimiter = ',')]
    status_include_resources: Vec<String>,

    /// Resources whose status is not restored
    #[arg(long, value_name = "RESOURCES", value_delimiter = ',')]
    status_exclude_resources: Vec<String>,

    /// Keep node ports that the cluster had chosen
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    preserve_nodeports: Option<bool>,

    /// Resource modifiers (YAML), or a ConfigMap that holds them
    #[arg(long, value_name = "FILE")]
    resource_modifiers: Option<PathBuf>,

    /// Other storage classes: `old:new`
    #[arg(long, value_name = "OLD:NEW", value_delimiter = ',', value_parser = parse_colon)]
    storage_class_mapping: Vec<(String, String)>,

    /// Replaces a part of images' names: `old.example.com=new.example.com`
    #[arg(long, value_name = "OLD=NEW", value_delimiter = ',', value_parser = parse_image)]
    image_mapping: Vec<ImageMapping>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyArg {
    /// They stay as they are
    None,
    /// The fields that differ are changed
    Update,
    /// As update; what cannot be changed is deleted and created again
    Recreate,
}

pub(super) fn run(context: &Context, args: &ClusterArgs) -> Result<Exit> {
    let options = args.options()?;
    let saved = args.plan.as_deref().map(read_plan).transpose()?;
    let server = args.connection.connect()?;
    let repository = context.open()?;
    let wanted = saved.as_ref().map(|plan| plan.snapshot.to_string()).or_else(|| args.snapshot.clone());
    let selection = if saved.is_some() { Selection::default() } else { args.selection.selection() };
    let snapshot = find_snapshot(&repository, &wanted.unwrap_or_default(), &selection)?;
    let files = match &args.plan {
        Some(path) => Some(Files { plan: path.clone(), is_own: false }),
        None => Files::in_cache(context, &snapshot, &server.identity()?),
    };
    let unfinished =
        files.as_ref().filter(|_| saved.is_none() && args.is_applied()).and_then(|it| it.unfinished(&options));
    let plan = match (saved, unfinished) {
        (Some(plan), _) => plan,
        (None, Some(plan)) => {
            context.note("going on with the restore that was interrupted");
            plan
        }
        (None, None) => make_plan(context, &server, &repository, &snapshot, &options)?,
    };
    if !args.is_applied() {
        return show_plan(context, args, &plan);
    }
    for note in &plan.notes {
        context.note(note);
    }
    ask(args, &plan)?;
    // Without a place for it an interrupted restore begins anew, which is no reason not to begin.
    let files = files.filter(|files| {
        let saved = if files.is_own { files.save(&plan) } else { Ok(()) };
        if let Err(error) = &saved {
            let path = files.plan.display();
            warn(&format!("this restore cannot be continued if it is interrupted: cannot write {path}: {error}"));
        }
        saved.is_ok()
    });
    let journal = files.as_ref().map(Files::journal);
    let started = Instant::now();
    let progress = Progress::new();
    let apply_options =
        ApplyOptions { journal, wait: args.wait.then_some(args.wait_timeout), ..ApplyOptions::default() };
    let labels = Labels { doing: "restored", item: "object", items: "objects" };
    let outcome = progress::run(context, labels, &progress, || {
        apply(&server, &repository, &snapshot, &plan, &apply_options, &progress)
    })?;
    if let Some(files) = files.filter(|files| files.is_own && !files.journal().exists()) {
        // In the way of nobody: the next restore would replace it.
        let _ = fs::remove_file(files.plan);
    }
    report(context, &plan, &outcome, progress.is_cancelled(), started.elapsed())
}

impl ClusterArgs {
    fn is_applied(&self) -> bool {
        !self.dry_run && self.plan_out.is_none()
    }

    fn options(&self) -> Result<RestoreOptions> {
        let (chosen, changed) = (&self.chosen, &self.changed);
        let modifiers = changed.resource_modifiers.as_deref().map(|path| {
            let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
            ResourceModifiers::parse(&text).map_err(|error| Failure::from_error(&error).with_exit(Exit::Usage))
        });
        let status = StatusChoice {
            included_resources: changed.status_include_resources.clone(),
            excluded_resources: changed.status_exclude_resources.clone(),
        };
        let or_selectors = chosen.or_selector.iter().flat_map(|text| text.split(" or "));
        Ok(RestoreOptions {
            included_namespaces: chosen.include_namespaces.clone(),
            excluded_namespaces: chosen.exclude_namespaces.clone(),
            included_resources: chosen.include_resources.clone(),
            excluded_resources: chosen.exclude_resources.clone(),
            include_cluster_resources: chosen.include_cluster_resources,
            label_selector: chosen.selector.clone(),
            or_label_selectors: or_selectors.map(|selector| selector.trim().to_owned()).collect(),
            namespace_mappings: changed.namespace_mappings.iter().cloned().collect(),
            existing_resource_policy: match changed.existing_resource_policy {
                PolicyArg::None => ExistingPolicy::None,
                PolicyArg::Update => ExistingPolicy::Update,
                PolicyArg::Recreate => ExistingPolicy::Recreate,
            },
            restore_status: (status != StatusChoice::default()).then_some(status),
            preserve_node_ports: changed.preserve_nodeports.unwrap_or(false),
            resource_modifiers: modifiers.transpose()?,
            storage_class_mappings: changed.storage_class_mapping.iter().cloned().collect(),
            image_mappings: changed.image_mapping.clone(),
            restore_volumes: chosen.restore_volumes.unwrap_or(true),
            control_plane_objects: chosen.control_plane_objects.clone(),
            server_dry_run: !self.is_applied(),
        })
    }
}

fn make_plan(
    context: &Context,
    server: &Server,
    repository: &Repository,
    snapshot: &SnapshotRecord,
    options: &RestoreOptions,
) -> Result<Plan> {
    let mut reader = ObjectReader::new(repository)?;
    let progress = Progress::new();
    let labels = Labels { doing: "planned", item: "object", items: "objects" };
    Ok(progress::run(context, labels, &progress, || plan(server, &mut reader, snapshot, options, &progress))?)
}

fn read_plan(path: &Path) -> Result<Plan> {
    let bytes = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    Plan::from_json(&bytes).map_err(|error| Failure::from_error(&error).with_cause(format!("{}", path.display())))
}

fn write_plan(path: &Path, plan: &Plan) -> Result<()> {
    let json = plan.to_json().map_err(|error| Failure::from_error(&error))?;
    fs::write(path, json).map_err(|error| Failure::io("write", path, &error))
}

/// Where a plan lies while it is applied, and what of it is done.
struct Files {
    plan: PathBuf,
    /// It was not saved by the user, and goes when it is done.
    is_own: bool,
}

impl Files {
    fn in_cache(context: &Context, snapshot: &SnapshotRecord, target: &ClusterIdentity) -> Option<Self> {
        if target.uid.is_empty() {
            return None;
        }
        let name = format!("{}-{}.plan.json", snapshot.id, target.uid);
        Some(Self { plan: context.cache_folder()?.join("restores").join(name), is_own: true })
    }

    fn journal(&self) -> PathBuf {
        let mut name = self.plan.clone().into_os_string();
        name.push(".journal");
        name.into()
    }

    /// The plan of a restore with the same options that did not come to its end.
    fn unfinished(&self, options: &RestoreOptions) -> Option<Plan> {
        let plan = Plan::from_json(&fs::read(&self.plan).ok()?).ok()?;
        (plan.options == *options && self.journal().exists()).then_some(plan)
    }

    fn save(&self, plan: &Plan) -> io::Result<()> {
        if fs::read(&self.plan).ok().and_then(|bytes| Plan::from_json(&bytes).ok()).as_ref() == Some(plan) {
            return Ok(());
        }
        if let Some(folder) = self.plan.parent() {
            fs::create_dir_all(folder)?;
        }
        // What another restore left behind belongs to another plan.
        let _ = fs::remove_file(self.journal());
        fs::write(&self.plan, plan.to_json().map_err(io::Error::other)?)
    }
}

fn show_plan(context: &Context, args: &ClusterArgs, plan: &Plan) -> Result<Exit> {
    if let Some(path) = &args.plan_out {
        write_plan(path, plan)?;
    }
    let mut out = context.output();
    crate::output::plan::print(&mut out, plan)?;
    out.finish()?;
    if let Some(path) = &args.plan_out {
        context.note(&format!("`backstay restore cluster --plan {}` applies it", path.display()));
    }
    let has_conflicts = plan.counts().contains_key(&ActionKind::Conflict);
    Ok(if has_conflicts { Exit::Conflict } else { Exit::Done })
}

fn ask(args: &ClusterArgs, plan: &Plan) -> Result<()> {
    if !plan.changes_existing() {
        return Ok(());
    }
    let counts = plan.counts();
    let number = |kind| counts.get(&kind).copied().unwrap_or_default();
    let parts = [(ActionKind::Update, "change"), (ActionKind::Recreate, "delete and create again")];
    let parts = parts.iter().filter(|(kind, _)| number(*kind) > 0);
    let verbs: Vec<_> = parts.map(|(kind, verb)| format!("{verb} {}", count(number(*kind)))).collect();
    let total = number(ActionKind::Update) + number(ActionKind::Recreate);
    let objects = if total == 1 { "object" } else { "objects" };
    let ClusterIdentity { context, address, .. } = &plan.target;
    confirm(&format!("{} existing {objects} in {context} ({address})", verbs.join(" and ")), args.yes)
}

#[derive(Serialize)]
struct RestoreDocument<'a> {
    snapshot: SnapshotId,
    source: &'a str,
    target: &'a ClusterIdentity,
    counts: BTreeMap<ItemResult, u64>,
    empty_volumes: u64,
    /// Objects that an earlier run of the same restore had finished.
    continued: u64,
    left_over: u64,
    stopped: Option<&'a str>,
    notes: &'a [String],
    items: &'a [ItemOutcome],
    not_ready: &'a [NotReady],
}

fn report(context: &Context, plan: &Plan, outcome: &Outcome, is_cancelled: bool, took: Duration) -> Result<Exit> {
    let mut out = context.output();
    match out.format() {
        Format::Name => print_names(&mut out, outcome)?,
        format if format.is_document() => out.document(&RestoreDocument {
            snapshot: outcome.snapshot,
            source: &plan.source,
            target: &outcome.target,
            counts: outcome.counts(),
            empty_volumes: outcome.empty_volumes,
            continued: outcome.continued,
            left_over: outcome.left_over,
            stopped: outcome.stopped.as_deref(),
            notes: &outcome.notes,
            items: &outcome.items,
            not_ready: &outcome.not_ready,
        })?,
        _ => {}
    }
    out.finish()?;
    tell_groups(context, outcome);
    tell_notes(context, outcome);
    tell_not_ready(outcome);
    if outcome.empty_volumes > 0 {
        let volumes = counted(outcome.empty_volumes, "volume comes", "volumes come");
        warn(&format!("{volumes} back EMPTY: the data of volumes is not in the snapshot"));
    }
    let counts = outcome.counts();
    let mut words: Vec<_> = counts.iter().map(|(result, number)| format!("{} {result}", count(*number))).collect();
    if outcome.left_over > 0 {
        words.push(format!("{} not reached", count(outcome.left_over)));
    }
    let ClusterIdentity { context: name, address, .. } = &outcome.target;
    let (id, words, took) = (short(&outcome.snapshot), words.join(", "), duration(took.as_millis() as u64));
    context.note(&format!("restored snapshot {id} to {name} ({address}): {words}; in {took}"));
    if let Some(why) = &outcome.stopped {
        return Err(Failure::new("the restore stopped before its end")
            .with_cause(why.clone())
            .with_hint("run the same command again: it goes on from there"));
    }
    if is_cancelled && outcome.left_over > 0 {
        return Err(Failure::new("the restore was interrupted")
            .with_exit(Exit::Interrupted)
            .with_hint("run the same command again: it goes on from there"));
    }
    let partial = if outcome.is_partial() { Exit::Partial } else { Exit::Done };
    Ok(partial.or_graver(if outcome.has_conflicts() { Exit::Conflict } else { Exit::Done }))
}

/// What is in the cluster because of this restore.
fn print_names(out: &mut Output, outcome: &Outcome) -> Result<()> {
    let is_new =
        |item: &&ItemOutcome| matches!(item.result, ItemResult::Created | ItemResult::Updated | ItemResult::Recreated);
    for item in outcome.items.iter().filter(is_new) {
        writeln!(out, "{}", escape(&item.target.to_string()))?;
    }
    Ok(())
}

fn tell_groups(context: &Context, outcome: &Outcome) {
    for result in [ItemResult::Left, ItemResult::Conflict, ItemResult::Failed] {
        for group in outcome.groups(result) {
            let place = group.namespace.map_or_else(|| "whole cluster".to_owned(), |name| format!("namespace {name}"));
            let cause = group.cause.map(|cause| cause.to_string()).unwrap_or_default();
            let objects = counted(group.items, "object", "objects");
            let why = if group.first.why.is_empty() { String::new() } else { format!(": {}", group.first.why) };
            let first = format!("{} ({cause}){why}", group.first.target);
            let text = match (result, group.items) {
                (ItemResult::Left, 1) => format!("left as it is: {first}"),
                (_, 1) => format!("{result}: {first}"),
                (ItemResult::Left, _) => format!("left {objects} as they are, {place}, such as {first}"),
                _ => format!("{result}: {objects}, {place}, such as {first}"),
            };
            if result == ItemResult::Left { context.note(&text) } else { warn(&text) }
        }
    }
    if outcome.count(ItemResult::Left) > 0 {
        context.note("`--existing-resource-policy update` brings what was left to the state of the snapshot");
    }
}

fn tell_notes(context: &Context, outcome: &Outcome) {
    for note in &outcome.notes {
        context.note(note);
    }
    let is_done = |item: &&ItemOutcome| item.result.is_final() && item.result != ItemResult::Skipped;
    let of_item = |item: &'_ ItemOutcome| {
        let notes = item.notes.iter().filter(|note| *note != EMPTY_VOLUME);
        notes.map(|note| format!("{}: {note}", item.target)).collect::<Vec<_>>()
    };
    let notes: Vec<String> = outcome.items.iter().filter(is_done).flat_map(of_item).collect();
    for note in notes.iter().take(NOTES_SHOWN_MAX) {
        context.note(note);
    }
    let more = notes.len().saturating_sub(NOTES_SHOWN_MAX);
    if more > 0 {
        context.note(&format!("and {} more; `-o json` prints all", counted(more as u64, "note", "notes")));
    }
}

fn tell_not_ready(outcome: &Outcome) {
    let mut reasons: BTreeMap<Reason, Vec<&NotReady>> = BTreeMap::new();
    for it in &outcome.not_ready {
        reasons.entry(it.reason).or_default().push(it);
    }
    for (reason, items) in reasons {
        let NotReady { target, why, .. } = items[0];
        let others = match items.len() {
            1 => String::new(),
            number => format!(" and {}", counted(number as u64 - 1, "other", "others")),
        };
        warn(&format!("not ready: {target}{others} ({reason}): {why}"));
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time: jiff::SignedDuration = text.parse().map_err(|_| "write a time such as 90s, 10m or 1h".to_owned())?;
    Duration::try_from(time).map_err(|_| "it must not be negative".to_owned())
}

fn parse_colon(text: &str) -> Result<(String, String), String> {
    parse_pair(text, ':')
}

fn parse_image(text: &str) -> Result<ImageMapping, String> {
    parse_pair(text, '=').map(|(from, to)| ImageMapping { from, to })
}

fn parse_pair(text: &str, separator: char) -> Result<(String, String), String> {
    match text.split_once(separator) {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err(format!("write OLD{separator}NEW")),
    }
}
