//! Making a plan: what a snapshot has and was asked for, held against what the cluster has.
//!
//! Resources are looked at by `examine`; here is what comes before and after: which resources, what comes along because something
//! chosen needs it, and what needs all items at once. Nothing is written; a dry run only asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::Item;
use backstay_repo::Progress;
use serde::Deserialize;

use super::document::{Action, OwnerInPlan, Plan, PlanError, VERSION};
use super::examine::{Because, Draft, Examiner, Found, Ground, malformed};
use super::options::RestoreOptions;
use super::prepare::{Preparer, parse};
use super::scope::Scope;
use super::try_out;
use crate::api::{ClusterIdentity, Discovery, ListOptions, Server};
use crate::error::{ClusterError, Result};
use crate::object::ObjectKey;
use crate::resource::{Resource, ResourceName};
use crate::snapshot::{Lists, ObjectReader, Within};

/// Resources that are looked at at once.
const THREADS: usize = 4;
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Looks at the snapshot and the cluster, and says what a restore would do.
pub fn plan(
    server: &Server,
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    options: &RestoreOptions,
    progress: &Progress,
) -> Result<Plan> {
    let lists = reader.lists(snapshot)?;
    let target = server.identity()?;
    let discovery = server.discover()?;
    let preparer = Preparer::for_restore(server, &discovery, reader, snapshot, options)?;
    let mut source_namespaces = BTreeMap::new();
    reader.for_each(snapshot, &Within::Resource(&namespaces()), &mut |_, key, item| {
        source_namespaces.insert(key.name, item);
        Ok(())
    })?;
    let (scope, mut notes) = Scope::new(options, &lists, source_namespaces.keys().cloned())?;
    let live_namespaces = match live_namespaces(server, &discovery) {
        Err(ClusterError::Api(error)) if error.is_forbidden() => {
            notes.push(format!("namespaces are taken to exist, because they could not be looked at: {error}"));
            let mapped = |name: &String| preparer.target(&ObjectKey::new(namespaces(), None, name)).name;
            source_namespaces.keys().map(|name| (mapped(name), false)).collect()
        }
        result => result?,
    };
    let ground = Ground { server, snapshot, options, progress, preparer, scope, discovery, live_namespaces };
    require_storage_classes(&ground, reader, &lists)?;
    let mut found = Found { notes, ..Found::default() };
    found.extend(examine_chosen(&ground, reader, &lists)?);
    add_needed(&ground, reader, &lists, &mut found)?;
    if let Some(listed) = lists.get(&namespaces()) {
        add_namespaces(&ground, reader, &source_namespaces, &listed.resource, &mut found)?;
    }
    finish(&ground, reader, target, found)
}

/// All chosen resources but namespaces, which depend on what is found in them; those with most objects first.
fn examine_chosen(ground: &Ground<'_>, reader: &ObjectReader<'_>, lists: &Lists) -> Result<Found> {
    let is_chosen = |resource: &Resource| resource.name != namespaces() && ground.scope.has_resource(resource);
    let mut chosen: Vec<_> = lists.resources.iter().filter(|listed| is_chosen(&listed.resource)).collect();
    chosen.sort_by_key(|listed| std::cmp::Reverse(listed.objects));
    ground.progress.items_total.store(chosen.iter().map(|listed| listed.objects).sum(), Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let repository = reader.repository();
    let work = || -> Result<Found> {
        let mut reader = ObjectReader::new(repository)?;
        let mut examiner = Examiner::new(ground, &mut reader);
        while let Some(listed) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = examiner.add_chosen(&listed.resource) {
                // The others need not go on.
                next.store(chosen.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(examiner.end())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(chosen.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_fold(Found::default(), |mut all, thread| {
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            Ok(all)
        })
    })
}

/// Objects of the whole cluster that were not chosen, and that something chosen needs.
fn add_needed(ground: &Ground<'_>, reader: &mut ObjectReader<'_>, lists: &Lists, found: &mut Found) -> Result<()> {
    let needs = std::mem::take(&mut found.needs);
    let by_resource = [
        ("persistentvolumes", needs.volumes),
        ("priorityclasses.scheduling.k8s.io", needs.priority_classes),
        (DEFINITIONS, needs.definitions),
    ];
    let mut examiner = Examiner::new(ground, reader);
    for (name, names) in by_resource {
        let Ok(name) = name.parse();
        let Some(listed) = lists.get(&name) else { continue };
        let resource = &listed.resource;
        if !ground.scope.has_resource(resource) && ground.scope.may_come_along(resource) {
            examiner.add_needed(resource, names)?;
        }
    }
    found.extend(examiner.end());
    Ok(())
}

/// Namespaces that were chosen, and those that do not exist and something goes into.
fn add_namespaces(
    ground: &Ground<'_>,
    reader: &mut ObjectReader<'_>,
    source: &BTreeMap<String, Item>,
    resource: &Resource,
    found: &mut Found,
) -> Result<()> {
    let used: BTreeSet<String> = found
        .drafts
        .iter()
        .filter(|draft| draft.item.action.leaves_an_object())
        .filter_map(|draft| draft.item.key.namespace.clone())
        .collect();
    for namespace in used.iter().filter(|name| !source.contains_key(*name)) {
        found.notes.push(format!(
            "namespace {namespace} itself is not in the snapshot: it is made without labels and annotations"
        ));
    }
    let is_chosen = ground.scope.has_resource(resource);
    let mut wanted = Vec::new();
    for (name, item) in source {
        let key = ObjectKey::new(namespaces(), None, name);
        let is_used = used.contains(name);
        let stays = ground.live_namespaces.get(&ground.preparer.target(&key).name) == Some(&false);
        let bytes = reader.read(item)?;
        let object = parse(&key, &bytes).unwrap_or_default();
        if (is_chosen && ground.scope.has_namespace_object(name, &object, is_used)) || (is_used && !stays) {
            wanted.push((key, item.clone()));
        }
    }
    let mut examiner = Examiner::new(ground, reader);
    examiner.add(resource, &wanted, Because::Needed)?;
    found.extend(examiner.end());
    Ok(())
}

/// A class that storage is mapped to has to be there, or to come along.
fn require_storage_classes(ground: &Ground<'_>, reader: &mut ObjectReader<'_>, lists: &Lists) -> Result<()> {
    let name = ResourceName::new("storageclasses", "storage.k8s.io");
    let comes_along = lists.get(&name).is_some_and(|listed| ground.scope.has_resource(&listed.resource));
    let Some(served) = ground.discovery.get(&name) else { return Ok(()) };
    for class in ground.options.storage_class_mappings.values() {
        let key = ObjectKey::new(name.clone(), None, class);
        let exists = ground.server.get(&served.resource, None, class)?.is_some()
            || (comes_along && reader.find(ground.snapshot, &key)?.is_some());
        if !exists {
            let detail = format!("the cluster has no storage class {class}");
            return Err(PlanError::Option { option: "storage class mappings", detail }.into());
        }
    }
    Ok(())
}

/// What needs all items at once: kinds that the plan brings, names that two objects would have, owners.
fn finish(ground: &Ground<'_>, reader: &ObjectReader<'_>, target: ClusterIdentity, found: Found) -> Result<Plan> {
    let Found { mut drafts, mut notes, .. } = found;
    notes.sort();
    drafts.sort_by(|left, right| {
        let (left, right) = (&left.item, &right.item);
        (left.layer, &left.target, &left.key).cmp(&(right.layer, &right.target, &right.key))
    });
    await_definitions(&mut drafts);
    refuse_equal_targets(&mut drafts);
    link_owners(&mut drafts);
    if drafts.is_empty() {
        notes.push("the snapshot holds nothing of what was asked for".to_owned());
    }
    let mut plan = Plan {
        version: VERSION,
        snapshot: ground.snapshot.id,
        source: ground.snapshot.source.clone(),
        target,
        options: ground.options.clone(),
        made: reader.repository().clock().now_text(),
        items: drafts.into_iter().map(|draft| draft.item).collect(),
        notes,
    };
    if ground.options.server_dry_run {
        let repository = reader.repository();
        try_out::try_out(ground, repository, &mut plan)?;
    }
    Ok(plan)
}

/// An object whose kind the plan brings is looked at when the kind is there.
fn await_definitions(drafts: &mut [Draft]) {
    let brings = |draft: &&Draft| {
        draft.item.key.resource.to_string() == DEFINITIONS
            && matches!(draft.item.action, Action::Create | Action::Update { .. } | Action::Recreate { .. })
    };
    let brought: BTreeMap<String, ObjectKey> =
        drafts.iter().filter(brings).map(|draft| (draft.item.key.name.clone(), draft.item.key.clone())).collect();
    for draft in drafts.iter_mut().filter(|draft| draft.is_unserved) {
        if let Some(until) = brought.get(&draft.item.key.resource.to_string()) {
            draft.item.action = Action::Unchecked { until: until.clone() };
        }
    }
}

/// Mappings can bring two objects to one name; the first one, in order of the snapshot's keys, gets it.
fn refuse_equal_targets(drafts: &mut [Draft]) {
    for place in 1..drafts.len() {
        let (before, after) = drafts.split_at_mut(place);
        let (Some(first), Some(second)) = (before.last(), after.first_mut()) else { continue };
        if first.item.target == second.item.target && second.item.action.leaves_an_object() {
            second.item.action = Action::Conflict { why: format!("{} goes to the same name", first.item.key) };
            second.item.live = None;
        }
    }
}

/// Owners that are in the plan, and what follows: the pods of a job are the job's to make.
fn link_owners(drafts: &mut [Draft]) {
    let with_uid = drafts.iter().filter(|draft| !draft.uid.is_empty() && draft.item.action.leaves_an_object());
    let keys: HashMap<String, ObjectKey> = with_uid.map(|draft| (draft.uid.clone(), draft.item.key.clone())).collect();
    let jobs = ResourceName::new("jobs", "batch");
    let pods = ResourceName::core("pods");
    for draft in drafts {
        draft.item.owners = draft
            .owners
            .iter()
            .filter_map(|owner| {
                let controller = owner.controller.unwrap_or_default();
                Some(OwnerInPlan { key: keys.get(&owner.uid)?.clone(), uid: owner.uid.clone(), controller })
            })
            .collect();
        let is_of_job = draft.item.owners.iter().any(|owner| owner.controller && owner.key.resource == jobs);
        if draft.item.key.resource == pods && draft.item.action == Action::Create && is_of_job {
            draft.item.action = Action::Skipped { why: "its job makes its pods anew".to_owned() };
            draft.item.notes.clear();
        }
    }
}

fn live_namespaces(server: &Server, discovery: &Discovery) -> Result<BTreeMap<String, bool>> {
    #[derive(Deserialize)]
    struct Head {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        name: String,
        deletion_timestamp: Option<String>,
    }
    let mut names = BTreeMap::new();
    let Some(served) = discovery.get(&namespaces()) else { return Ok(names) };
    server.list::<ClusterError>(&served.resource, &ListOptions::default(), &mut |page| {
        if page.restart {
            names.clear();
        }
        for object in &page.items {
            let Head { metadata } =
                serde_json::from_slice(object).map_err(|error| malformed(&served.resource, &error))?;
            names.insert(metadata.name, metadata.deletion_timestamp.is_some());
        }
        Ok(())
    })?;
    Ok(names)
}

fn namespaces() -> ResourceName {
    ResourceName::core("namespaces")
}
