//! `backstay history`

use std::io::Write;

use backstay_cluster::look::FieldOptions;
use backstay_cluster::look::history::{Event, EventKind, History, Manager, history};
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_repo::{Progress, Repository};
use clap::Args;

use super::diff_cluster::print_fields;
use super::find_objects::resolve_in_any;
use super::get::parse_objects;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Format, Output, counted, escape, record_time, short};
use crate::progress::{self, Labels};

/// Tell what became of a Kubernetes object over all snapshots: first seen, each change with who made it, deleted
///
/// Changes are found by a table in the cache folder, which is made from the snapshots when it is asked for the first time.
#[derive(Args)]
pub(crate) struct HistoryArgs {
    /// KIND/NAME, or KIND NAME
    #[arg(value_name = "KIND/NAME", required = true, num_args = 1..=2)]
    object: Vec<String>,

    /// The object's namespace; objects of the whole cluster have none
    #[arg(long, short, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,

    /// Look at the snapshots of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Show too what the server and its controllers write by themselves: status, managed fields
    #[arg(long)]
    all_fields: bool,

    /// Show the values of a Secret, not only that they changed
    #[arg(long)]
    show_secrets: bool,
}

pub(crate) fn run(context: &Context, args: &HistoryArgs) -> Result<Exit> {
    let wanted = parse_objects(&args.object)?;
    let [(kind, names)] = &wanted[..] else { return Err(one_object()) };
    let [name] = &names[..] else { return Err(one_object()) };
    let repository = context.open()?;
    let snapshots = snapshots(&repository, args.source.as_deref())?;
    let mut reader = ObjectReader::new(&repository)?;
    let resources = resolve_in_any(&mut reader, snapshots.iter().rev(), kind)?;
    let [resource] = &resources[..] else { return Err(one_object()) };
    let newest = &snapshots[snapshots.len() - 1];
    let is_namespaced = is_namespaced(&mut reader, &snapshots, resource)?;
    let key = ObjectKey::new(resource.clone(), is_namespaced.then_some(&args.namespace), name);
    let fields = FieldOptions { all_fields: args.all_fields, show_secrets: args.show_secrets };
    let progress = Progress::new();
    let labels = Labels { doing: "table of changes: read", item: "snapshot", items: "snapshots" };
    let history =
        progress::run(context, labels, &progress, || history(&mut reader, &newest.source, &key, fields, &progress))?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&history)?,
        Format::Name => history.events.iter().try_for_each(|event| writeln!(out, "{}", event.snapshot))?,
        Format::Table | Format::Wide => print(&history, &mut out)?,
    }
    out.finish()?;
    if history.events.is_empty() {
        let source = &history.source;
        return Err(Failure::new(format!(
            "{key} is in none of {}",
            counted(history.snapshots, "snapshot", "snapshots")
        ))
        .with_cause(format!("only snapshots of source {source} were looked at"))
        .with_hint(format!("`backstay find --kind {resource} --name {name}` searches all namespaces and sources")));
    }
    Ok(Exit::Done)
}

fn one_object() -> Failure {
    Failure::usage("one object has to be named").with_hint("backstay history KIND/NAME -n NAMESPACE")
}

/// The snapshots of the one source that is meant, oldest first.
fn snapshots(repository: &Repository, source: Option<&str>) -> Result<Vec<SnapshotRecord>> {
    let is_wanted = |it: &SnapshotRecord| it.kind == SnapshotKind::Cluster && !it.incomplete;
    let mut snapshots: Vec<_> = repository.snapshots().into_iter().filter(is_wanted).collect();
    if let Some(source) = source {
        snapshots.retain(|snapshot| snapshot.source == source);
    }
    let mut sources: Vec<String> = snapshots.iter().map(|snapshot| snapshot.source.clone()).collect();
    sources.sort();
    sources.dedup();
    match &sources[..] {
        [_] => Ok(snapshots),
        [] => Err(Failure::new("there are no snapshots of a cluster to look at")
            .with_hint("`backstay snapshots` lists the snapshots; `backstay backup cluster` makes one")),
        _ => Err(sources
            .iter()
            .fold(Failure::new("snapshots of several sources could be meant"), |failure, source| {
                failure.with_candidate(source.clone())
            })
            .with_hint("choose one with --source NAME")),
    }
}

fn is_namespaced(reader: &mut ObjectReader<'_>, snapshots: &[SnapshotRecord], resource: &ResourceName) -> Result<bool> {
    for snapshot in snapshots.iter().rev() {
        if let Some(listed) = reader.lists(snapshot)?.get(resource) {
            return Ok(listed.resource.namespaced);
        }
    }
    Ok(true)
}

fn print(history: &History, out: &mut Output) -> Result<()> {
    for event in &history.events {
        let (what, is_shown) = told(event);
        let id = short(&event.snapshot);
        writeln!(out, "{}  {id}  {}", record_time(&event.time), escape(&what))?;
        if is_shown {
            print_fields(&event.fields, out)?;
        }
    }
    if !history.events.is_empty() {
        let since = history.since.as_deref().map(record_time).unwrap_or_default();
        let snapshots = counted(history.snapshots, "snapshot", "snapshots");
        let noise = match history.noise_only {
            0 => String::new(),
            count => {
                format!("; {} only by the server itself (--all-fields)", counted(count, "more change", "more changes"))
            }
        };
        writeln!(out, "{} in {snapshots} of {} since {since}{noise}", history.key, escape(&history.source))?;
    }
    Ok(())
}

/// An event in words, and whether its fields follow.
fn told(event: &Event) -> (String, bool) {
    let by = if event.managers.is_empty() {
        String::new()
    } else {
        format!(" by {}", event.managers.iter().map(manager).collect::<Vec<_>>().join(", "))
    };
    let created = event.created.as_deref().map(record_time);
    let between = event.after.as_deref().map(|after| format!(" after {}", record_time(after))).unwrap_or_default();
    match event.event {
        EventKind::FirstSeen => {
            let created = created.map(|time| format!(", created {time}")).unwrap_or_default();
            let first = if event.after.is_none() { " (in the first snapshot)" } else { "" };
            (format!("first seen{first}{created}{}", by.replacen(" by ", ", written by ", 1)), false)
        }
        EventKind::Changed if event.recreated => (format!("deleted and made again{by}"), true),
        EventKind::Changed => (format!("changed{by}"), true),
        EventKind::Deleted => (format!("deleted{between}"), false),
        EventKind::NotListed => ("not in the snapshot, which has no list of its kind".to_owned(), false),
        EventKind::SeenAgain if event.recreated => (format!("there again, as a new object{by}"), true),
        EventKind::SeenAgain => (format!("there again{by}"), true),
    }
}

fn manager(manager: &Manager) -> String {
    let subresource =
        if manager.subresource.is_empty() { String::new() } else { format!(" of {}", manager.subresource) };
    let time = if manager.time.is_empty() { String::new() } else { format!(", {}", record_time(&manager.time)) };
    format!("{} ({}{subresource}{time})", manager.manager, manager.operation)
}
