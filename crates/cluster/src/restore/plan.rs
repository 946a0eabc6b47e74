//! Making a plan: what a snapshot has and was asked for, held against what the cluster has.
//!
//! The cluster is looked at by lists, one for each resource and namespace (or one for all namespaces), not object by object, and
//! objects are compared as they pass: what stays in memory is the plan itself. Nothing is written; a dry run only asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::Item;
use serde::Deserialize;
use serde_json::Value;

use super::compare::{content, differences, is_added};
use super::document::{Action, Live, OwnerInPlan, Plan, PlanError, PlanItem, VERSION};
use super::immutable::{first_fixed, held_by};
use super::options::{ExistingPolicy, RestoreOptions};
use super::order::layer;
use super::prepare::{Prepared, PreparedObject, Preparer, parse};
use super::scope::Scope;
use super::try_out;
use crate::api::{ApiError, Discovery, ListOptions, Server};
use crate::error::{ClusterError, Result};
use crate::object::{ObjectKey, OwnerReference, text_at};
use crate::resource::{Resource, ResourceName};
use crate::snapshot::{Lists, ObjectReader, Within};

/// Up to so many objects are looked up one by one.
const LOOK_UPS: usize = 4;
/// From so many namespaces on, one list of all is cheaper than a list of each.
const LISTS_BY_NAMESPACE: usize = 4;

/// Looks at the snapshot and the cluster, and says what a restore would do.
pub fn plan(
    server: &Server,
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    options: &RestoreOptions,
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
    let mut planning = Planning {
        live_namespaces,
        server,
        reader,
        snapshot,
        options,
        preparer,
        scope,
        discovery,
        drafts: Vec::new(),
        needs: Needs::default(),
        notes,
    };
    planning.require_storage_classes(&lists)?;
    for resource in lists.resources.iter().map(|listed| &listed.resource) {
        if resource.namespaced && planning.scope.has_resource(resource) {
            planning.add_resource(resource)?;
        }
    }
    for resource in lists.resources.iter().map(|listed| &listed.resource) {
        if !resource.namespaced && resource.name != namespaces() {
            planning.add_cluster_resource(resource)?;
        }
    }
    planning.add_namespaces(&source_namespaces, lists.get(&namespaces()).map(|listed| &listed.resource))?;
    planning.finish(target)
}

struct Planning<'a, 'r> {
    server: &'a Server,
    reader: &'a mut ObjectReader<'r>,
    snapshot: &'a SnapshotRecord,
    options: &'a RestoreOptions,
    preparer: Preparer,
    scope: Scope,
    discovery: Discovery,
    /// Of the target, and whether each is being deleted.
    live_namespaces: BTreeMap<String, bool>,
    drafts: Vec<Draft>,
    needs: Needs,
    notes: Vec<String>,
}

/// An item whose owners are not known yet.
struct Draft {
    item: PlanItem,
    /// In the snapshot.
    uid: String,
    owners: Vec<OwnerReference>,
    /// The target does not serve its kind; the conflict stands unless the plan brings the kind.
    is_unserved: bool,
}

/// Names of objects of the whole cluster without which a chosen object does not work.
#[derive(Default)]
struct Needs {
    volumes: BTreeSet<String>,
    priority_classes: BTreeSet<String>,
    definitions: BTreeSet<String>,
}

impl Planning<'_, '_> {
    /// All chosen objects of a resource.
    fn add_resource(&mut self, resource: &Resource) -> Result<()> {
        let mut wanted = Vec::new();
        let scope = &self.scope;
        self.reader.for_each(self.snapshot, &Within::Resource(&resource.name), &mut |_, key, item| {
            if key.namespace.as_deref().is_none_or(|namespace| scope.has_namespace(namespace)) {
                wanted.push((key, item));
            }
            Ok(())
        })?;
        self.add(resource, &wanted, Because::Chosen)
    }

    /// A resource of the whole cluster: chosen, or those of its objects that others need.
    fn add_cluster_resource(&mut self, resource: &Resource) -> Result<()> {
        if self.scope.has_resource(resource) {
            return self.add_resource(resource);
        }
        let names = match &resource.name.to_string()[..] {
            "persistentvolumes" => std::mem::take(&mut self.needs.volumes),
            "priorityclasses.scheduling.k8s.io" => std::mem::take(&mut self.needs.priority_classes),
            DEFINITIONS => std::mem::take(&mut self.needs.definitions),
            _ => return Ok(()),
        };
        if !self.scope.may_come_along(resource) {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for name in names {
            let key = ObjectKey::new(resource.name.clone(), None, &name);
            if let Some(item) = self.reader.find(self.snapshot, &key)? {
                wanted.push((key, item));
            }
        }
        self.add(resource, &wanted, Because::Needed)
    }

    /// Namespaces that were chosen, and those that do not exist and something goes into.
    fn add_namespaces(&mut self, source: &BTreeMap<String, Item>, resource: Option<&Resource>) -> Result<()> {
        let used: BTreeSet<String> = self
            .drafts
            .iter()
            .filter(|draft| draft.item.action.leaves_an_object())
            .filter_map(|draft| draft.item.key.namespace.clone())
            .collect();
        for namespace in used.iter().filter(|name| !source.contains_key(*name)) {
            self.notes.push(format!(
                "namespace {namespace} itself is not in the snapshot: it is made without labels and annotations"
            ));
        }
        let Some(resource) = resource else { return Ok(()) };
        let is_chosen = self.scope.has_resource(resource);
        let mut wanted = Vec::new();
        for (name, item) in source {
            let key = ObjectKey::new(namespaces(), None, name);
            let is_used = used.contains(name);
            let exists = self.live_namespaces.contains_key(&self.preparer.target(&key).name);
            let bytes = self.reader.read(item)?;
            let object = parse(&key, &bytes).unwrap_or_default();
            if (is_chosen && self.scope.has_namespace_object(name, &object, is_used)) || (is_used && !exists) {
                wanted.push((key, item.clone()));
            }
        }
        self.add(resource, &wanted, Because::Needed)
    }

    /// Drafts for objects of one resource, compared with the cluster's.
    fn add(&mut self, resource: &Resource, wanted: &[(ObjectKey, Item)], because: Because) -> Result<()> {
        let mut drafts: Vec<Option<Draft>> = wanted.iter().map(|_| None).collect();
        let mut is_left_out = vec![false; wanted.len()];
        let mut places: HashMap<(Option<String>, String), usize> = HashMap::new();
        for (place, (key, _)) in wanted.iter().enumerate() {
            let target = self.preparer.target(key);
            let exists = target.namespace.as_ref().is_none_or(|it| self.live_namespaces.contains_key(it));
            if exists {
                places.insert((target.namespace, target.name), place);
            }
        }
        let mut unchecked_note = None;
        if let Some(served) = self.served_like(resource) {
            let looked = self.look(&served, &places, &mut |planning, place, live| {
                // Objects that are seen again are drafted again; one that vanished meanwhile is what a list cannot tell.
                let (key, item) = &wanted[place];
                drafts[place] = planning.draft(key, item, Some(live), because)?;
                is_left_out[place] = drafts[place].is_none();
                Ok(())
            });
            match looked {
                Ok(()) => {}
                Err(ClusterError::Api(error)) if error.is_forbidden() => {
                    self.notes.push(format!("what {} the cluster has could not be looked at: {error}", resource.name));
                    unchecked_note = Some("whether it exists could not be looked at");
                }
                Err(error) => return Err(error),
            }
        }
        for (place, (key, item)) in wanted.iter().enumerate() {
            let draft = match drafts[place].take() {
                None if !is_left_out[place] => self.draft(key, item, None, because)?,
                draft => draft,
            };
            if let Some(mut draft) = draft {
                if draft.item.live.is_none() && draft.item.action == Action::Create {
                    draft.item.notes.extend(unchecked_note.map(str::to_owned));
                }
                self.drafts.push(draft);
            }
        }
        Ok(())
    }

    /// The live objects at these names, by lists or one by one.
    fn look(
        &mut self,
        served: &Resource,
        places: &HashMap<(Option<String>, String), usize>,
        each: &mut dyn FnMut(&mut Self, usize, &Value) -> Result<()>,
    ) -> Result<()> {
        if places.len() <= LOOK_UPS {
            for ((namespace, name), place) in places {
                if let Some(bytes) = self.server.get(served, namespace.as_deref(), name)? {
                    each(self, *place, &live_value(served, &bytes)?)?;
                }
            }
            return Ok(());
        }
        let namespaces: BTreeSet<_> = places.keys().map(|(namespace, _)| namespace.clone()).collect();
        if namespaces.len() > LISTS_BY_NAMESPACE {
            match self.look_through(served, None, places, each) {
                // An account may be allowed to list in its namespaces only.
                Err(ClusterError::Api(error)) if error.is_forbidden() => {}
                result => return result,
            }
        }
        namespaces.into_iter().try_for_each(|namespace| self.look_through(served, namespace, places, each))
    }

    fn look_through(
        &mut self,
        served: &Resource,
        namespace: Option<String>,
        places: &HashMap<(Option<String>, String), usize>,
        each: &mut dyn FnMut(&mut Self, usize, &Value) -> Result<()>,
    ) -> Result<()> {
        let server = self.server;
        let options = ListOptions { namespace, ..ListOptions::default() };
        server.list::<ClusterError>(served, &options, &mut |page| {
            for object in page.items {
                let names = Names::of(served, &object)?;
                if let Some(place) = places.get(&names) {
                    each(self, *place, &live_value(served, &object)?)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The target's resource in the version that the snapshot has, where it can be listed.
    fn served_like(&self, resource: &Resource) -> Option<Resource> {
        let served = self.discovery.get(&resource.name).filter(|served| served.has("list"))?;
        let is_served =
            served.resource.version == resource.version || served.resource.served.contains(&resource.version);
        is_served.then(|| Resource { version: resource.version.clone(), ..served.resource.clone() })
    }

    /// What happens to one object. Nothing where it was not chosen.
    fn draft(&mut self, key: &ObjectKey, item: &Item, live: Option<&Value>, because: Because) -> Result<Option<Draft>> {
        let bytes = self.reader.read(item)?;
        let mut draft = Draft {
            item: PlanItem {
                key: key.clone(),
                target: self.preparer.target(key),
                action: Action::Create,
                live: None,
                layer: layer(&key.resource),
                owners: Vec::new(),
                notes: Vec::new(),
            },
            uid: String::new(),
            owners: Vec::new(),
            is_unserved: false,
        };
        let object = match parse(key, &bytes) {
            Ok(object) => object,
            Err(error) => {
                draft.item.action = Action::Conflict { why: error.to_string() };
                return Ok(Some(draft));
            }
        };
        if because == Because::Chosen && !self.scope.selects(&object) {
            return Ok(None);
        }
        text_at(&object, &["metadata", "uid"]).clone_into(&mut draft.uid);
        match self.preparer.prepare_value(key, object)? {
            Prepared::Skip(why) => draft.item.action = Action::Skipped { why },
            Prepared::Conflict { target, why } => {
                draft.item.target = target;
                draft.item.action = Action::Conflict { why };
            }
            Prepared::Unserved { target, why } => {
                draft.item.target = target;
                draft.item.action = Action::Conflict { why };
                draft.is_unserved = true;
                self.needs.definitions.insert(key.resource.to_string());
            }
            Prepared::Object(object) => self.decide(&mut draft, *object, live)?,
        }
        Ok(Some(draft))
    }

    fn decide(&mut self, draft: &mut Draft, object: PreparedObject, live: Option<&Value>) -> Result<()> {
        // A modifier gave it a name that no list was asked about.
        let renamed;
        let live = if object.target.name == draft.item.target.name {
            live
        } else {
            renamed =
                match self.server.get(&object.resource, object.target.namespace.as_deref(), &object.target.name)? {
                    Some(bytes) => Some(live_value(&object.resource, &bytes)?),
                    None => None,
                };
            renamed.as_ref()
        };
        if !is_valid_name(&object.target.name) {
            let why = format!("{:?} cannot be a name", object.target.name);
            draft.item.action = Action::Conflict { why };
            return Ok(());
        }
        self.note_needs(&object);
        if let Some(live) = live {
            let text = |name: &str| text_at(live, &["metadata", name]).to_owned();
            draft.item.action = self.action_for(&object, live);
            let is_changed = matches!(draft.item.action, Action::Update { .. } | Action::Recreate { .. });
            let keys = self.reader.repository().keys();
            let content = is_changed.then(|| content(&self.preparer, keys, &object.target.resource, live));
            draft.item.live = Some(Live {
                uid: text("uid"),
                resource_version: text("resourceVersion"),
                content: content.unwrap_or_default(),
            });
        }
        if matches!(draft.item.action, Action::Create | Action::Recreate { .. }) {
            draft.item.notes = object.notes;
            let namespace = object.target.namespace.as_deref().unwrap_or_default();
            if self.live_namespaces.get(namespace) == Some(&true) {
                draft.item.notes.push("its namespace is being deleted: that is waited for".to_owned());
            }
        }
        draft.item.target = object.target;
        draft.owners = object.owners;
        Ok(())
    }

    /// What the policy does with an object that exists.
    fn action_for(&self, object: &PreparedObject, live: &Value) -> Action {
        let resource = &object.target.resource;
        if !text_at(live, &["metadata", "deletionTimestamp"]).is_empty() {
            return Action::Conflict { why: "the object in the cluster is being deleted".to_owned() };
        }
        let fields = differences(&self.preparer, live, object);
        if fields.is_empty() {
            return Action::Unchanged;
        }
        let policy = self.options.existing_resource_policy;
        if policy == ExistingPolicy::None {
            return if is_added(resource, &fields) { Action::Update { fields } } else { Action::Left { fields } };
        }
        match (first_fixed(resource, live, &fields), policy, held_by(resource)) {
            (None, ..) => Action::Update { fields },
            (Some(_), ExistingPolicy::Recreate, None) => Action::Recreate { fields },
            (Some(field), ExistingPolicy::Recreate, Some(held)) => Action::Conflict {
                why: format!("{field} cannot be changed, and it is not deleted, because {held} would be lost with it"),
            },
            (Some(field), ..) => Action::Conflict {
                why: format!("{field} cannot be changed; the policy recreate deletes the object and creates it again"),
            },
        }
    }

    fn note_needs(&mut self, object: &PreparedObject) {
        let need = |names: &mut BTreeSet<String>, name: &str| {
            if !name.is_empty() {
                names.insert(name.to_owned());
            }
        };
        match &object.target.resource.to_string()[..] {
            "persistentvolumeclaims" => need(&mut self.needs.volumes, text_at(&object.body, &["spec", "volumeName"])),
            "pods" => need(&mut self.needs.priority_classes, text_at(&object.body, &["spec", "priorityClassName"])),
            _ => {}
        }
    }

    /// A class that storage is mapped to has to be there, or to come along.
    fn require_storage_classes(&mut self, lists: &Lists) -> Result<()> {
        let name = ResourceName::new("storageclasses", "storage.k8s.io");
        let comes_along = lists.get(&name).is_some_and(|listed| self.scope.has_resource(&listed.resource));
        let Some(served) = self.discovery.get(&name) else { return Ok(()) };
        for class in self.options.storage_class_mappings.values() {
            let key = ObjectKey::new(name.clone(), None, class);
            let exists = self.server.get(&served.resource, None, class)?.is_some()
                || (comes_along && self.reader.find(self.snapshot, &key)?.is_some());
            if !exists {
                let detail = format!("the cluster has no storage class {class}");
                return Err(PlanError::Option { option: "storage class mappings", detail }.into());
            }
        }
        Ok(())
    }

    /// What needs all items at once: kinds that the plan brings, names that two objects would have, owners.
    fn finish(mut self, target: crate::api::ClusterIdentity) -> Result<Plan> {
        self.drafts.sort_by(|left, right| {
            let order = |draft: &Draft| (draft.item.layer, draft.item.target.clone(), draft.item.key.clone());
            order(left).cmp(&order(right))
        });
        self.await_definitions();
        self.refuse_equal_targets();
        self.link_owners();
        if self.drafts.is_empty() {
            self.notes.push("the snapshot holds nothing of what was asked for".to_owned());
        }
        let mut plan = Plan {
            version: VERSION,
            snapshot: self.snapshot.id,
            source: self.snapshot.source.clone(),
            target,
            options: self.options.clone(),
            made: self.reader.repository().clock().now_text(),
            items: self.drafts.into_iter().map(|draft| draft.item).collect(),
            notes: self.notes,
        };
        if self.options.server_dry_run {
            let repository = self.reader.repository();
            try_out::try_out(self.server, repository, self.snapshot, &self.preparer, &self.live_namespaces, &mut plan)?;
        }
        Ok(plan)
    }

    /// An object whose kind the plan brings is looked at when the kind is there.
    fn await_definitions(&mut self) {
        let brings = |draft: &&Draft| {
            draft.item.key.resource.to_string() == DEFINITIONS
                && matches!(draft.item.action, Action::Create | Action::Update { .. } | Action::Recreate { .. })
        };
        let brought: BTreeMap<String, ObjectKey> = self
            .drafts
            .iter()
            .filter(brings)
            .map(|draft| (draft.item.key.name.clone(), draft.item.key.clone()))
            .collect();
        for draft in self.drafts.iter_mut().filter(|draft| draft.is_unserved) {
            if let Some(until) = brought.get(&draft.item.key.resource.to_string()) {
                draft.item.action = Action::Unchecked { until: until.clone() };
            }
        }
    }

    /// Mappings can bring two objects to one name; the first one, in order of the snapshot's keys, gets it.
    fn refuse_equal_targets(&mut self) {
        for place in 1..self.drafts.len() {
            let (before, after) = self.drafts.split_at_mut(place);
            let (Some(first), Some(second)) = (before.last(), after.first_mut()) else { continue };
            if first.item.target == second.item.target && second.item.action.leaves_an_object() {
                second.item.action = Action::Conflict { why: format!("{} goes to the same name", first.item.key) };
                second.item.live = None;
            }
        }
    }

    /// Owners that are in the plan, and what follows: the pods of a job are the job's to make.
    fn link_owners(&mut self) {
        let with_uid = self.drafts.iter().filter(|draft| !draft.uid.is_empty() && draft.item.action.leaves_an_object());
        let keys: HashMap<String, ObjectKey> =
            with_uid.map(|draft| (draft.uid.clone(), draft.item.key.clone())).collect();
        let jobs = ResourceName::new("jobs", "batch");
        let pods = ResourceName::core("pods");
        for draft in &mut self.drafts {
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
}

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Why objects are looked at: a selector is asked about chosen ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Because {
    Chosen,
    Needed,
}

/// The names of a live object, read without the rest.
#[derive(Deserialize)]
struct Names {
    metadata: NamesMetadata,
}

#[derive(Deserialize)]
struct NamesMetadata {
    name: String,
    namespace: Option<String>,
}

impl Names {
    fn of(resource: &Resource, object: &[u8]) -> Result<(Option<String>, String)> {
        let names: Self = serde_json::from_slice(object).map_err(|error| malformed(resource, &error))?;
        Ok((names.metadata.namespace, names.metadata.name))
    }
}

/// A live object. What cannot be read is named by its resource only, because it may be a Secret.
fn live_value(resource: &Resource, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| malformed(resource, &error).into())
}

fn malformed(resource: &Resource, error: &serde_json::Error) -> ApiError {
    let request = format!("GET {}", resource.collection_path(None));
    ApiError::Malformed {
        request,
        detail: format!("an object is no JSON (line {}, column {})", error.line(), error.column()),
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

/// As much as all kinds have in common: what can be a part of a path.
fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && name != "." && name != ".." && !name.contains(['/', '%'])
}

fn namespaces() -> ResourceName {
    ResourceName::core("namespaces")
}
