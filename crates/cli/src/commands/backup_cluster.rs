//! `backstay backup cluster`

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use backstay_cluster::backup::{
    BackupOptions, BackupOutcome, GUARD_OBJECTS_PERCENT_DEFAULT, THREADS_DEFAULT, backup as backup_cluster,
};
use backstay_cluster::filter::{FilterError, Filters, LabelSelector, VeleroBackup, parse_ordered_resources};
use backstay_repo::Progress;
use clap::{Args, value_parser};
use jiff::Span;
use serde::Serialize;

use super::backup::{PROBLEMS_SHOWN_MAX, expiry, parse_age};
use crate::Result;
use crate::connection::ConnectionArgs;
use crate::context::{Context, warn};
use crate::failure::{Exit, Failure};
use crate::output::documents::{ResourceDocument, SnapshotDocument};
use crate::output::{Format, count, counted, duration, short, size};
use crate::progress::{self, Labels};

/// Back the objects of a Kubernetes cluster up
///
/// Every object that can be listed and created again, unless filters choose less; custom resources with their definitions. What
/// cannot be read is in the snapshot's ledger, and the exit code is 3. The data of volumes is not in the snapshot: each claim is named in
/// the ledger.
///
/// A snapshot of another cluster than before, with far fewer objects, or without a kind that was there, is flagged: it is kept, the
/// exit code is 3, and `latest` passes it over until `backstay accept` says that all is well.
#[derive(Args)]
pub(crate) struct ClusterArgs {
    /// Name under which this is backed up over and over [default: the uid of the cluster's namespace kube-system]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Label the snapshot; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// The snapshot may be forgotten after so long, such as 30d or 12h
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    ttl: Option<Span>,

    /// Store nothing; tell what would be taken
    #[arg(long)]
    dry_run: bool,

    /// Accept the snapshot, whatever the guards say
    #[arg(long)]
    accept: bool,

    /// Flag the snapshot if it has fewer objects than so many per cent of the last accepted one; 0 flags none
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = GUARD_OBJECTS_PERCENT_DEFAULT,
        value_parser = value_parser!(u8).range(0..=100)
    )]
    guard_objects: u8,

    /// Objects that the server gives at once
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = value_parser!(u32).range(1..=100_000))]
    page_size: u32,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    filter: FilterArgs,
}

/// Lists are separated by commas, or an option is repeated, as in Velero.
#[derive(Args)]
#[command(next_help_heading = "What is chosen")]
struct FilterArgs {
    /// Take the filters of this Velero Backup (YAML); not with other filters
    #[arg(long = "filename", short = 'f', value_name = "FILE", conflicts_with_all = FLAGS)]
    file: Option<PathBuf>,

    /// Namespaces, by name or pattern (`shop-*`); `*` for all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    include_namespaces: Vec<String>,

    /// Namespaces to leave out, by name or pattern
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    exclude_namespaces: Vec<String>,

    /// Resources, by any name that kubectl takes; `*` for all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    include_resources: Vec<String>,

    /// Resources to leave out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    exclude_resources: Vec<String>,

    /// Objects without a namespace: true for all, false for none [default: all where all namespaces are chosen, else what a
    /// chosen object needs]
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    include_cluster_resources: Option<bool>,

    /// Resources without a namespace; not with --include-resources and the like
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    include_cluster_scoped_resources: Vec<String>,

    /// Resources without a namespace to leave out; `*` for all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    exclude_cluster_scoped_resources: Vec<String>,

    /// Resources in namespaces; not with --include-resources and the like
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    include_namespace_scoped_resources: Vec<String>,

    /// Resources in namespaces to leave out; `*` for all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    exclude_namespace_scoped_resources: Vec<String>,

    /// Only objects with these labels (`app=web,tier in (a,b)`), and what they need
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    selector: Option<String>,

    /// Only objects that one of several selectors chooses: `app=web or app=api`
    #[arg(long, value_name = "SELECTORS", conflicts_with = "selector")]
    or_selector: Option<String>,

    /// List these resources first, one after the other, and say which of these objects are missing: `pods=ns1/p1,ns1/p2;pv=v4`
    #[arg(long, value_name = "LIST")]
    ordered_resources: Option<String>,
}

/// All filters but the file.
const FLAGS: [&str; 12] = [
    "include_namespaces",
    "exclude_namespaces",
    "include_resources",
    "exclude_resources",
    "include_cluster_resources",
    "include_cluster_scoped_resources",
    "exclude_cluster_scoped_resources",
    "include_namespace_scoped_resources",
    "exclude_namespace_scoped_resources",
    "selector",
    "or_selector",
    "ordered_resources",
];

#[derive(Serialize)]
struct BackupDocument<'a> {
    dry_run: bool,
    snapshot: SnapshotDocument<'a>,
    resources: Vec<ResourceDocument>,
    volumes_without_data: u64,
    notes: &'a [String],
}

pub(super) fn run(context: &Context, args: &ClusterArgs) -> Result<Exit> {
    // What is wrong with the arguments is told before a password is asked for, and the cluster before the repository.
    let (filters, ttl, notes) = filters(args)?;
    let server = args.connection.connect()?;
    let repository = context.open()?;
    let mut options = BackupOptions {
        source: args.source.clone(),
        host: super::host_name(),
        user: super::user_name(),
        tags: args.tag.clone(),
        expires: ttl.map(|age| expiry(&repository, age)).transpose()?,
        filters,
        page_size: args.page_size,
        threads: THREADS_DEFAULT,
        dry_run: args.dry_run,
        accept: args.accept,
        guard_objects_percent: args.guard_objects,
    };
    options.tags.dedup();
    let progress = Progress::new();
    let labels = Labels { doing: "listed", item: "object", items: "objects" };
    let outcome =
        progress::run(context, labels, &progress, || backup_cluster(&repository, &server, &options, &progress));
    let mut outcome = outcome?;
    outcome.notes.splice(0..0, notes);
    report(context, args, &outcome)
}

/// The filters, how long the snapshot is to be kept, and what the file asks for in vain.
fn filters(args: &ClusterArgs) -> Result<(Filters, Option<Span>, Vec<String>)> {
    let refused = |error: FilterError| Failure::from_error(&error).with_exit(Exit::Usage);
    let from = &args.filter;
    if let Some(path) = &from.file {
        let text = fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        let manifest =
            VeleroBackup::parse(&text).map_err(|error| refused(error).with_cause(format!("in {}", path.display())))?;
        let ttl = match (&args.ttl, &manifest.ttl) {
            (Some(age), _) => Some(*age),
            // Its zero stands for the server's default, which there is none of here.
            (None, Some(text)) => text.parse::<Span>().ok().filter(|age| age.is_positive()),
            (None, None) => None,
        };
        return Ok((manifest.filters, ttl, manifest.notes));
    }
    let selector = from.selector.as_deref().map(LabelSelector::parse).transpose().map_err(refused)?;
    let any = from.or_selector.as_deref().map(LabelSelector::parse_any).transpose().map_err(refused)?;
    let ordered = from.ordered_resources.as_deref().map(parse_ordered_resources).transpose().map_err(refused)?;
    let filters = Filters {
        included_namespaces: from.include_namespaces.clone(),
        excluded_namespaces: from.exclude_namespaces.clone(),
        included_resources: from.include_resources.clone(),
        excluded_resources: from.exclude_resources.clone(),
        include_cluster_resources: from.include_cluster_resources,
        included_cluster_scoped_resources: from.include_cluster_scoped_resources.clone(),
        excluded_cluster_scoped_resources: from.exclude_cluster_scoped_resources.clone(),
        included_namespace_scoped_resources: from.include_namespace_scoped_resources.clone(),
        excluded_namespace_scoped_resources: from.exclude_namespace_scoped_resources.clone(),
        label_selector: selector,
        or_label_selectors: any.unwrap_or_default(),
        ordered_resources: ordered.unwrap_or_default(),
    };
    filters.check().map_err(refused)?;
    Ok((filters, args.ttl, Vec::new()))
}

fn report(context: &Context, args: &ClusterArgs, outcome: &BackupOutcome) -> Result<Exit> {
    let snapshot = &outcome.snapshot;
    let (summary, ledger) = (&snapshot.summary, &snapshot.ledger);
    let id = short(&snapshot.id);
    let kinds = outcome.lists.resources.iter().filter(|listed| listed.objects > 0).count() as u64;
    let objects = format!(
        "{} of {}, {}",
        counted(summary.objects, "object", "objects"),
        counted(kinds, "kind", "kinds"),
        size(summary.size_bytes)
    );
    let changes = format!(
        "{} added, {} changed, {} unchanged",
        count(summary.added),
        count(summary.changed),
        count(summary.unchanged)
    );
    let took = duration(summary.duration_ms);
    context.note(&if args.dry_run {
        format!("would back up {objects}: {changes}; listed in {took}")
    } else {
        format!(
            "saved snapshot {id}: {objects}; {changes}; {} read, {} new, {} stored, in {took}",
            size(summary.read_bytes),
            size(summary.new_bytes),
            size(summary.stored_bytes),
        )
    });
    if outcome.volumes_without_data > 0 {
        let volumes = counted(outcome.volumes_without_data, "volume is", "volumes are");
        warn(&format!("the data of {volumes} NOT in the snapshot: only objects are backed up"));
    }
    outcome.notes.iter().for_each(|note| warn(note));
    for problem in outcome.problems.iter().take(PROBLEMS_SHOWN_MAX) {
        let detail = if problem.detail.is_empty() { String::new() } else { format!(" ({})", problem.detail) };
        warn(&format!("{}: {}{detail}", problem.path, problem.reason));
    }
    if ledger.failed > 0 {
        let failed = counted(ledger.failed, "part of the cluster was", "parts of the cluster were");
        let show = if args.dry_run { String::new() } else { format!(": `backstay show {id}` lists them") };
        warn(&format!("{failed} not captured{show}"));
    }
    snapshot.flags.iter().for_each(|flag| warn(flag));
    if !snapshot.accepted && !args.dry_run {
        warn(&format!(
            "the snapshot is flagged and not accepted: `latest` stays the one before it; `backstay diff latest {id}` shows what differs, and \
             `backstay accept {id}` accepts it"
        ));
    }
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&BackupDocument {
            dry_run: args.dry_run,
            snapshot: SnapshotDocument::new(snapshot),
            resources: outcome.lists.resources.iter().map(ResourceDocument::new).collect(),
            volumes_without_data: outcome.volumes_without_data,
            notes: &outcome.notes,
        })?,
        Format::Name if !args.dry_run => writeln!(out, "{}", snapshot.id)?,
        Format::Name | Format::Table | Format::Wide => {}
    }
    out.finish()?;
    Ok(if ledger.failed > 0 || !snapshot.accepted { Exit::Partial } else { Exit::Done })
}
