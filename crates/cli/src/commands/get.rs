//! `backstay get`

use std::io::Write;

use backstay_cluster::filter::LabelSelector;
use backstay_cluster::look::resolve_kinds;
use backstay_cluster::look::select::{Found, Namespaces, Query, near_names, select};
use backstay_cluster::resource::Resource;
use backstay_cluster::snapshot::{Lists, ObjectReader};
use backstay_format::log::SnapshotRecord;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{NamespaceArgs, SelectionArgs, columns};
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Align, Format, Output, Table, age, short};
use crate::selector::find_snapshot;

/// Show Kubernetes objects of a snapshot, like kubectl
///
/// KIND is a plural, a singular, a short name, `plural.group`, `all`, or several of them with commas. Objects are shown in
/// the namespace `default`, unless -n or -A says otherwise. `-o yaml` and `-o json` print objects as they are stored, the values
/// of Secrets included.
#[derive(Args)]
pub(crate) struct GetArgs {
    /// KIND, KIND NAME..., or KIND/NAME...
    #[arg(value_name = "KIND [NAME]", required = true)]
    objects: Vec<String>,

    /// The snapshot: `latest` or the start of an id
    #[arg(long, value_name = "SNAPSHOT", default_value = "latest")]
    snapshot: String,

    #[command(flatten)]
    namespaces: NamespaceArgs,

    /// Only objects with these labels, such as app=web,tier in (a,b)
    #[arg(long = "selector", short = 'l', value_name = "LABELS")]
    labels: Option<String>,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &GetArgs) -> Result<Exit> {
    let wanted = parse_objects(&args.objects)?;
    let labels = args.labels.as_deref().map(LabelSelector::parse).transpose();
    let labels = labels.map_err(backstay_cluster::ClusterError::from)?;
    let repository = context.open()?;
    let snapshot = find_snapshot(&repository, &args.snapshot, &args.selection.selection())?;
    let mut reader = ObjectReader::new(&repository)?;
    let lists = reader.lists(&snapshot)?;
    let queries = resolve(&lists, &wanted)?;
    let namespaces = args.namespaces.or_default();
    let is_single = matches!(&queries[..], [(_, names)] if names.len() == 1)
        && matches!(&namespaces, Namespaces::These(names) if names.len() == 1);
    let mut out = context.output();
    if out.format().is_document() && !is_single {
        out.begin_objects()?;
    }
    let mut shown = Shown {
        started: snapshot.started.parse().ok(),
        with_namespace: !matches!(&namespaces, Namespaces::These(names) if names.len() == 1),
        with_kind: queries.len() > 1,
        is_single,
        objects: 0,
    };
    let mut missing = Vec::new();
    for (resource, names) in &queries {
        let query = Query { resource, namespaces: &namespaces, names, labels: labels.as_ref() };
        let mut table = None;
        let lacking = select(&mut reader, &snapshot, &query, &mut |found| {
            shown.objects += 1;
            print(&shown, resource, &found, &mut table, &mut out)
        })?;
        if let Some(table) = table {
            if shown.with_kind && shown.objects > table.len() as u64 {
                writeln!(out)?;
            }
            table.print(&mut out)?;
        }
        missing.extend(lacking.into_iter().map(|name| (*resource, name)));
    }
    if out.format().is_document() && !is_single {
        out.end_objects()?;
    }
    out.finish()?;
    if let Some((resource, name)) = missing.first() {
        return Err(not_found(&mut reader, &snapshot, resource, name, &namespaces));
    }
    if shown.objects == 0 {
        let place = match &namespaces {
            Namespaces::These(names) if queries.iter().any(|(resource, _)| resource.namespaced) => {
                format!(" in namespace {}", names.join(", "))
            }
            _ => String::new(),
        };
        context.note(&format!("no such objects{place} in snapshot {}", short(&snapshot.id)));
    }
    Ok(Exit::Done)
}

/// `KIND`, `KIND NAME…` or `KIND/NAME…` as kinds with the names that are wanted of each; no names: all.
pub(super) fn parse_objects(words: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    if !words.iter().any(|word| word.contains('/')) {
        return Ok(vec![(words[0].clone(), words[1..].to_vec())]);
    }
    let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
    for word in words {
        let (kind, name) = word
            .split_once('/')
            .filter(|(kind, name)| !kind.is_empty() && !name.is_empty() && !name.contains('/'))
            .ok_or_else(|| {
                Failure::usage(format!("{word:?} is not KIND/NAME"))
                    .with_hint("write KIND NAME NAME, or KIND/NAME KIND/NAME")
            })?;
        match wanted.iter_mut().find(|(known, _)| known == kind) {
            Some((_, names)) => names.push(name.to_owned()),
            None => wanted.push((kind.to_owned(), vec![name.to_owned()])),
        }
    }
    Ok(wanted)
}

fn resolve<'l>(lists: &'l Lists, wanted: &[(String, Vec<String>)]) -> Result<Vec<(&'l Resource, Vec<String>)>> {
    let mut queries = Vec::new();
    for (kind, names) in wanted {
        for listed in resolve_kinds(lists, kind)? {
            queries.push((&listed.resource, names.clone()));
        }
    }
    Ok(queries)
}

/// How objects are shown.
struct Shown {
    /// Ages are those at the snapshot's time.
    started: Option<Timestamp>,
    with_namespace: bool,
    with_kind: bool,
    is_single: bool,
    objects: u64,
}

fn print(shown: &Shown, resource: &Resource, found: &Found, table: &mut Option<Table>, out: &mut Output) -> Result<()> {
    let broken = |error: serde_json::Error| {
        Failure::new(format!("{} is no JSON", found.key)).with_cause(error.to_string()).with_exit(Exit::Damage)
    };
    let parsed = || serde_json::from_slice::<Value>(&found.bytes).map_err(broken);
    match out.format() {
        Format::Json | Format::Yaml if shown.is_single => out.document(&parsed()?)?,
        // Not parsed: numbers and order stay as the server sent them.
        Format::Json => out.element(&serde_json::from_slice::<&RawValue>(&found.bytes).map_err(broken)?)?,
        Format::Yaml => out.element(&parsed()?)?,
        Format::Name => writeln!(out, "{}", reference(resource, &found.key.name))?,
        format @ (Format::Table | Format::Wide) => {
            let is_wide = format == Format::Wide;
            let columns = || columns::of_resource(resource).filter(move |column| is_wide || !column.is_wide);
            let with_namespace = shown.with_namespace && resource.namespaced;
            let table = table.get_or_insert_with(|| {
                let mut titles = Vec::new();
                titles.extend(with_namespace.then_some(("NAMESPACE", Align::Left)));
                titles.push(("NAME", Align::Left));
                titles.extend(columns().map(|column| (column.title, Align::Left)));
                titles.push(("AGE", Align::Left));
                Table::new(titles)
            });
            let object = parsed()?;
            let created = object["metadata"]["creationTimestamp"].as_str().and_then(|time| time.parse().ok());
            let mut row = Vec::new();
            row.extend(with_namespace.then(|| found.key.namespace.clone().unwrap_or_default()));
            let name = &found.key.name;
            row.push(if shown.with_kind { reference(resource, name) } else { name.clone() });
            row.extend(columns().map(|column| (column.value)(&object)));
            row.push(created.zip(shown.started).map_or_else(|| "-".to_owned(), |(created, now)| age(created, now)));
            table.push_row(&row);
        }
    }
    Ok(())
}

/// `deployment.apps/web`, as `kubectl get -o name` says it.
fn reference(resource: &Resource, name: &str) -> String {
    let kind = resource.kind.to_lowercase();
    let group = &resource.name.group;
    if group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{group}/{name}") }
}

pub(super) fn not_found(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    resource: &Resource,
    name: &str,
    namespaces: &Namespaces,
) -> Failure {
    let place = match namespaces {
        Namespaces::These(names) if resource.namespaced => format!(" in namespace {}", names.join(", ")),
        _ => String::new(),
    };
    let failure = Failure::new(format!("{}/{name}{place} is not in snapshot {}", resource.name, short(&snapshot.id)));
    // What cannot be read now was an error before.
    let near = near_names(reader, snapshot, resource, name).unwrap_or_default();
    let failure = near.iter().fold(failure, |failure, key| failure.with_candidate(format!("there is {key}")));
    failure.with_hint(format!("`backstay find --kind {} --name {name}` searches all snapshots", resource.name.plural))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_names_are_typed_as_for_kubectl() {
        let parse = |words: &[&str]| parse_objects(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let expected = |wanted: &[(&str, &[&str])]| {
            let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
            wanted.iter().map(|(kind, list)| ((*kind).to_owned(), names(list))).collect::<Vec<_>>()
        };
        assert_eq!(parse(&["pods"]).unwrap(), expected(&[("pods", &[])]));
        assert_eq!(parse(&["pods,svc", "a", "b"]).unwrap(), expected(&[("pods,svc", &["a", "b"])]));
        assert_eq!(parse(&["po/a", "svc/b", "po/c"]).unwrap(), expected(&[("po", &["a", "c"]), ("svc", &["b"])]));
        for wrong in [&["po/a", "b"][..], &["po/"], &["/a"], &["po/a/b"]] {
            assert_eq!(parse(wrong).unwrap_err().exit(), Exit::Usage, "{wrong:?}");
        }
    }
}
