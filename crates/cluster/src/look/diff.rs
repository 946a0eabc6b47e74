//! What differs between two snapshots of a cluster, or between a snapshot and the cluster as it is: objects, and their fields.

use std::collections::BTreeMap;

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Item, ItemKind};
use backstay_repo::RepoError;
use backstay_repo::tree::{Difference, diff_trees};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::fields::{FieldChange, FieldOptions, diff_objects};
use super::history::covers;
use super::select::{Namespaces, broken};
use crate::api::{ApiError, ListOptions, Server};
use crate::error::{ClusterError, Result};
use crate::object::{Head, ObjectKey, text_at};
use crate::resource::{Resource, ResourceName};
use crate::snapshot::{ListedResource, Lists, ObjectReader, Within};

/// Kinds that change all the time and say nothing about what somebody did: left out unless they are named.
const RESTLESS: [(&str, &str); 3] = [("leases", "coordination.k8s.io"), ("events", ""), ("events", "events.k8s.io")];

/// What is compared.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Those named here; objects of the whole cluster are compared where all namespaces are.
    pub namespaces: Namespaces,
    /// Empty: all kinds, without leases and events.
    pub resources: Vec<ResourceName>,
    pub fields: FieldOptions,
}

/// An object that is not the same on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectChange {
    pub key: ObjectKey,
    pub kind: ObjectChangeKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ObjectChangeKind {
    Added,
    Removed,
    Changed {
        fields: Vec<FieldChange>,
        /// It was deleted and made again: its uid is another one.
        recreated: bool,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DiffSummary {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    /// Objects of which only fields differ that the server and its controllers write.
    pub noise_only: u64,
    /// Differences of leases and events.
    pub restless: u64,
    /// Kinds that only one side has a list of: nothing can be said about their objects.
    pub not_compared: Vec<ResourceName>,
}

impl DiffOptions {
    /// Whether an object is looked at, as far as its key tells.
    fn wants(&self, key: &ObjectKey) -> bool {
        let is_in_namespace = match (&self.namespaces, &key.namespace) {
            (Namespaces::All, _) => true,
            (Namespaces::These(names), Some(namespace)) => names.contains(namespace),
            (Namespaces::These(_), None) => self.resources.contains(&key.resource),
        };
        is_in_namespace && self.wants_resource(&key.resource)
    }

    fn wants_resource(&self, resource: &ResourceName) -> bool {
        self.resources.is_empty() || self.resources.contains(resource)
    }

    fn leaves_out(&self, resource: &ResourceName) -> bool {
        self.resources.is_empty() && !self.fields.all_fields && is_restless(resource)
    }
}

fn is_restless(resource: &ResourceName) -> bool {
    RESTLESS.contains(&(&resource.plural[..], &resource.group[..]))
}

/// Gives out every object that differs, in order of keys.
pub fn diff_snapshots<E: From<ClusterError> + From<RepoError>>(
    reader: &mut ObjectReader<'_>,
    before: &SnapshotRecord,
    after: &SnapshotRecord,
    options: &DiffOptions,
    each: &mut dyn FnMut(ObjectChange) -> Result<(), E>,
) -> Result<DiffSummary, E> {
    let (lists_before, lists_after) = (reader.lists(before)?, reader.lists(after)?);
    let mut summary =
        DiffSummary { not_compared: one_sided(&lists_before, &lists_after, options), ..Default::default() };
    let repository = reader.repository();
    diff_trees(&mut repository.reader()?, before.tree, after.tree, &mut |difference| {
        let Some(key) = ObjectKey::from_tree_key(difference.key()).filter(|key| options.wants(key)) else {
            return Ok(());
        };
        let kind = match difference {
            Difference::Added(_) if !covers(&lists_before, &key) => return Ok(()),
            Difference::Removed(_) if !covers(&lists_after, &key) => return Ok(()),
            Difference::Added(_) => ObjectChangeKind::Added,
            Difference::Removed(_) => ObjectChangeKind::Removed,
            Difference::Changed { before: left, after: right } => {
                if content_hash(&left).is_some() && content_hash(&left) == content_hash(&right) {
                    // It lies elsewhere now, or another reason brought it in.
                    return Ok(());
                }
                let (left, right) = (parse(reader, before, &key, &left)?, parse(reader, after, &key, &right)?);
                compare(&left, &right, options)
            }
        };
        count(ObjectChange { key, kind }, options, &mut summary, each)
    })?;
    Ok(summary)
}

/// Gives out every object of the snapshot that is not the same in the cluster now, and those that came since, by resource and key.
///
/// Kinds that the server does not serve, or does not let this account list, are not compared.
pub fn diff_live<E: From<ClusterError>>(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    server: &Server,
    options: &DiffOptions,
    each: &mut dyn FnMut(ObjectChange) -> Result<(), E>,
) -> Result<DiffSummary, E> {
    let lists = reader.lists(snapshot)?;
    let discovery = server.discover().map_err(ClusterError::from)?;
    let mut summary = DiffSummary::default();
    for listed in &lists.resources {
        let name = &listed.resource.name;
        if !options.wants_resource(name) || options.leaves_out(name) {
            continue;
        }
        let Some(served) = discovery.get(name).filter(|it| it.has("list")) else {
            if listed.objects > 0 {
                summary.not_compared.push(name.clone());
            }
            continue;
        };
        let mut resource = served.resource.clone();
        if resource.served.contains(&listed.resource.version) {
            // Another version would differ in its defaults and names.
            resource.version.clone_from(&listed.resource.version);
        }
        match list_live(server, &resource, options) {
            Ok(mut live) => {
                live.retain(|(key, _)| covers(&lists, key));
                diff_with_live(reader, snapshot, &resource, live, options, &mut summary, each)?;
            }
            Err(error) if error.is_forbidden() || error.is_not_found() => summary.not_compared.push(name.clone()),
            Err(error) => return Err(ClusterError::from(error).into()),
        }
    }
    Ok(summary)
}

/// A live object: its key, and its bytes as the server sent them.
type LiveObject = (ObjectKey, Bytes);

fn list_live(server: &Server, resource: &Resource, options: &DiffOptions) -> Result<Vec<LiveObject>, ApiError> {
    let namespaces = match &options.namespaces {
        Namespaces::These(names) if resource.namespaced => names.iter().cloned().map(Some).collect(),
        _ => vec![None],
    };
    let mut live = Vec::new();
    for namespace in namespaces {
        let kept = live.len();
        let list = ListOptions { namespace, ..ListOptions::default() };
        server.list(resource, &list, &mut |page| {
            if page.restart {
                live.truncate(kept);
            }
            for object in page.items {
                let head = Head::parse(&object).map_err(|error| ApiError::Malformed {
                    request: format!("GET {}", resource.collection_path(list.namespace.as_deref())),
                    detail: error.to_string(),
                })?;
                let metadata = head.metadata;
                let key = ObjectKey::new(resource.name.clone(), metadata.namespace.as_deref(), &metadata.name);
                live.push((key, object.into_bytes()));
            }
            Ok::<_, ApiError>(())
        })?;
    }
    Ok(live)
}

fn diff_with_live<E: From<ClusterError>>(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    resource: &Resource,
    live: Vec<LiveObject>,
    options: &DiffOptions,
    summary: &mut DiffSummary,
    each: &mut dyn FnMut(ObjectChange) -> Result<(), E>,
) -> Result<(), E> {
    let mut items = BTreeMap::new();
    reader.for_each(snapshot, &Within::Resource(&resource.name), &mut |_, key, item| {
        if options.wants(&key) {
            items.insert(key, item);
        }
        Ok(())
    })?;
    let mut changes = BTreeMap::new();
    for (key, bytes) in live {
        if !options.wants(&key) {
            continue;
        }
        let Some(item) = items.remove(&key) else {
            changes.insert(key, ObjectChangeKind::Added);
            continue;
        };
        if content_hash(&item) == Some(reader.repository().keys().content_hash(&bytes)) {
            continue;
        }
        let left = parse(reader, snapshot, &key, &item)?;
        let right: Value = serde_json::from_slice(&bytes).map_err(|error| broken(snapshot, &key, &error))?;
        let kind = compare(&left, &right, options);
        changes.insert(key, kind);
    }
    changes.extend(items.into_keys().map(|key| (key, ObjectChangeKind::Removed)));
    for (key, kind) in changes {
        count(ObjectChange { key, kind }, options, summary, each)?;
    }
    Ok(())
}

fn compare(left: &Value, right: &Value, options: &DiffOptions) -> ObjectChangeKind {
    let uid = |object| text_at(object, &["metadata", "uid"]).to_owned();
    let fields = diff_objects(left, right, options.fields);
    ObjectChangeKind::Changed { fields, recreated: uid(left) != uid(right) }
}

fn count<E>(
    change: ObjectChange,
    options: &DiffOptions,
    summary: &mut DiffSummary,
    each: &mut dyn FnMut(ObjectChange) -> Result<(), E>,
) -> Result<(), E> {
    if options.leaves_out(&change.key.resource) {
        summary.restless += 1;
        return Ok(());
    }
    match &change.kind {
        ObjectChangeKind::Added => summary.added += 1,
        ObjectChangeKind::Removed => summary.removed += 1,
        ObjectChangeKind::Changed { fields, recreated: false } if fields.is_empty() => {
            summary.noise_only += 1;
            return Ok(());
        }
        ObjectChangeKind::Changed { .. } => summary.changed += 1,
    }
    each(change)
}

/// A kind that was listed on one side only has not vanished with all its objects: it may have failed, or a filter left it out.
/// Where there was nothing of it, nothing is missed.
fn one_sided(before: &Lists, after: &Lists, options: &DiffOptions) -> Vec<ResourceName> {
    let lacks = |lists: &Lists, it: &ListedResource| it.objects > 0 && lists.get(&it.resource.name).is_none();
    let one_sided = before.resources.iter().filter(|it| lacks(after, it));
    let one_sided = one_sided.chain(after.resources.iter().filter(|it| lacks(before, it)));
    one_sided.map(|it| it.resource.name.clone()).filter(|name| options.wants_resource(name)).collect()
}

fn parse(reader: &mut ObjectReader<'_>, snapshot: &SnapshotRecord, key: &ObjectKey, item: &Item) -> Result<Value> {
    let bytes = reader.read(item)?;
    serde_json::from_slice(&bytes).map_err(|error| broken(snapshot, key, &error))
}

fn content_hash(item: &Item) -> Option<[u8; 16]> {
    match item.kind {
        ItemKind::File { hash, .. } => hash,
        _ => None,
    }
}
