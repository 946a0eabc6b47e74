//! `backstay find` for Kubernetes objects: by name, kind, labels and namespace, over all snapshots.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use backstay_cluster::ClusterError;
use backstay_cluster::filter::LabelSelector;
use backstay_cluster::look::{LookError, resolve_kinds};
use backstay_cluster::object::{Head, ObjectKey};
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::ids::SnapshotId;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Item, ItemKind, path_of_key};
use backstay_repo::Repository;
use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use super::find::Search;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Align, Format, Output, Table, counted, record_time, short};

/// What is said of the objects that are looked for.
#[derive(Args)]
#[command(next_help_heading = "Kubernetes objects")]
pub(crate) struct ObjectArgs {
    /// Objects with this name, or with names like this pattern
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,

    /// Objects of this kind: plural, singular, short name or `plural.group`; several with commas
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Objects with these labels, such as app=web,tier in (a,b)
    #[arg(long = "label", short = 'l', value_name = "LABELS")]
    labels: Option<String>,

    /// Objects in this namespace; may be repeated
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Vec<String>,
}

impl ObjectArgs {
    /// Whether objects are looked for, not paths.
    pub(super) fn is_given(&self) -> bool {
        self.name.is_some() || self.kind.is_some() || self.labels.is_some() || !self.namespace.is_empty()
    }
}

pub(super) fn run(
    context: &Context,
    args: &ObjectArgs,
    repository: &Repository,
    snapshots: &[SnapshotRecord],
) -> Result<Exit> {
    let snapshots: Vec<_> = snapshots.iter().filter(|it| it.kind == SnapshotKind::Cluster).collect();
    let mut reader = ObjectReader::new(repository)?;
    let name = args.name.as_deref().map(matcher).transpose()?;
    let labels = args.labels.as_deref().map(LabelSelector::parse).transpose().map_err(ClusterError::from)?;
    let resources = match &args.kind {
        Some(kind) => Some(resolve_in_any(&mut reader, snapshots.iter().rev().copied(), kind)?),
        None => None,
    };
    let mut labelled: HashMap<[u8; 16], bool> = HashMap::new();
    let mut is_wanted = |item: &Item| -> Result<bool> {
        let Some(key) = ObjectKey::from_tree_key(&item.key) else { return Ok(false) };
        let fits = name.as_ref().is_none_or(|name| name.is_match(&key.name))
            && resources.as_ref().is_none_or(|resources| resources.contains(&key.resource))
            && (args.namespace.is_empty() || key.namespace.is_some_and(|it| args.namespace.contains(&it)));
        let (true, ItemKind::File { hash, .. }) = (fits, &item.kind) else { return Ok(false) };
        let Some(selector) = &labels else { return Ok(true) };
        if let Some(known) = hash.and_then(|hash| labelled.get(&hash)) {
            return Ok(*known);
        }
        let path = || String::from_utf8_lossy(&path_of_key(&item.key)).into_owned();
        let head = Head::parse(&reader.read(item)?);
        let head = head.map_err(|_| Failure::new(format!("{} is no object", path())).with_exit(Exit::Damage))?;
        let fits = selector.matches(&head.metadata.labels);
        labelled.extend(hash.map(|hash| (hash, fits)));
        Ok(fits)
    };
    let mut found: BTreeMap<Vec<u8>, Seen<'_>> = BTreeMap::new();
    let mut search = Search::new(repository, &mut is_wanted)?;
    for &snapshot in &snapshots {
        search.tree(snapshot, &mut |item| {
            let seen = found.entry(item.key.clone()).or_insert(Seen { first: snapshot, last: snapshot, snapshots: 0 });
            seen.last = snapshot;
            seen.snapshots += 1;
            Ok(())
        })?;
    }
    let mut out = context.output();
    print(&found, &mut out)?;
    if found.is_empty() && !out.format().is_document() {
        context.note(&format!("no such object in {}", counted(snapshots.len() as u64, "snapshot", "snapshots")));
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// The kinds that a text names, by the newest snapshot that has them: a kind may be gone by now.
pub(super) fn resolve_in_any<'s>(
    reader: &mut ObjectReader<'_>,
    newest_first: impl Iterator<Item = &'s SnapshotRecord>,
    text: &str,
) -> Result<Vec<ResourceName>> {
    let mut unknown = None;
    for snapshot in newest_first {
        match resolve_kinds(&reader.lists(snapshot)?, text) {
            Ok(resources) => return Ok(resources.iter().map(|it| it.resource.name.clone()).collect()),
            Err(error) => {
                unknown.get_or_insert(error);
            }
        }
    }
    Err(unknown.unwrap_or_else(|| LookError::UnknownKind { text: text.to_owned(), near: Vec::new() }).into())
}

/// Where an object was seen.
struct Seen<'s> {
    first: &'s SnapshotRecord,
    last: &'s SnapshotRecord,
    snapshots: u64,
}

#[derive(Serialize)]
struct FoundDocument<'a> {
    #[serde(flatten)]
    key: &'a ObjectKey,
    path: String,
    snapshots: u64,
    first: SeenDocument<'a>,
    last: SeenDocument<'a>,
}

#[derive(Serialize)]
struct SeenDocument<'a> {
    snapshot: SnapshotId,
    time: &'a str,
}

impl<'a> SeenDocument<'a> {
    fn new(snapshot: &'a SnapshotRecord) -> Self {
        Self { snapshot: snapshot.id, time: &snapshot.started }
    }
}

fn print(found: &BTreeMap<Vec<u8>, Seen<'_>>, out: &mut Output) -> Result<()> {
    let mut table = Table::new([
        ("NAMESPACE", Align::Left),
        ("OBJECT", Align::Left),
        ("SNAPSHOTS", Align::Right),
        ("FIRST", Align::Left),
        ("LAST", Align::Left),
        ("LAST SNAPSHOT", Align::Left),
    ]);
    for (tree_key, seen) in found {
        let Some(key) = ObjectKey::from_tree_key(tree_key) else { continue };
        let path = format!("/{}", String::from_utf8_lossy(&path_of_key(tree_key)));

        match out.format() {
            Format::Json | Format::Yaml => out.element(&FoundDocument {
                key: &key,
                path,
                snapshots: seen.snapshots,
                first: SeenDocument::new(seen.first),
                last: SeenDocument::new(seen.last),
            })?,
            // As `cat` takes it.
            Format::Name => writeln!(out, "{}:{path}", seen.last.id)?,
            Format::Table | Format::Wide => table.push([
                key.namespace.unwrap_or_default(),
                format!("{}/{}", key.resource, key.name),
                seen.snapshots.to_string(),
                record_time(&seen.first.started),
                record_time(&seen.last.started),
                short(&seen.last.id),
            ]),
        }
    }
    if out.format().is_document() {
        out.end_list()?;
    } else if table.len() > 0 {
        table.print(out)?;
    }
    Ok(())
}

fn matcher(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).build();
    let glob = glob
        .map_err(|error| Failure::usage(format!("{pattern:?} is no pattern")).with_cause(error.kind().to_string()))?;
    Ok(glob.compile_matcher())
}
