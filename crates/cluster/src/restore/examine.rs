//! Looking at the objects of one resource: what the snapshot has of it, beside what the cluster has.
//!
//! The cluster is looked at by lists, one for each namespace or one for all of them, and objects are compared as they pass: what stays
//! in memory is a draft of each item. Several resources are looked at at once, each with a reader of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::Item;
use backstay_repo::{Progress, RepoError};
use serde::Deserialize;
use serde_json::Value;

use super::compare::{content, differences, is_added};
use super::document::{Action, Live, PlanItem};
use super::immutable::{first_fixed, held_by};
use super::options::{ExistingPolicy, RestoreOptions};
use super::order::layer;
use super::prepare::{Prepared, PreparedObject, Preparer, parse};
use super::scope::Scope;
use crate::api::{ApiError, Discovery, ListOptions, Server};
use crate::error::{ClusterError, Result};
use crate::object::{ObjectKey, OwnerReference, text_at};
use crate::resource::Resource;
use crate::snapshot::{ObjectReader, Within};

/// Up to so many objects are looked up one by one.
const LOOK_UPS: usize = 4;
/// From so many namespaces on, one list of all is cheaper than a list of each.
const LISTS_BY_NAMESPACE: usize = 4;

/// What all resources are held against. Shared by threads.
pub(super) struct Ground<'a> {
    pub(super) server: &'a Server,
    pub(super) snapshot: &'a SnapshotRecord,
    pub(super) options: &'a RestoreOptions,
    pub(super) progress: &'a Progress,
    pub(super) preparer: Preparer,
    pub(super) scope: Scope,
    pub(super) discovery: Discovery,
    /// Of the target, and whether each is being deleted.
    pub(super) live_namespaces: BTreeMap<String, bool>,
}

/// What looking gave.
#[derive(Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    pub(super) needs: Needs,
    pub(super) notes: Vec<String>,
}

/// An item whose owners are not known yet.
pub(super) struct Draft {
    pub(super) item: PlanItem,
    /// In the snapshot.
    pub(super) uid: String,
    pub(super) owners: Vec<OwnerReference>,
    /// The target does not serve its kind; the conflict stands unless the plan brings the kind.
    pub(super) is_unserved: bool,
}

/// Names of objects of the whole cluster without which a chosen object does not work.
#[derive(Default)]
pub(super) struct Needs {
    pub(super) volumes: BTreeSet<String>,
    pub(super) priority_classes: BTreeSet<String>,
    pub(super) definitions: BTreeSet<String>,
}

impl Found {
    pub(super) fn extend(&mut self, other: Self) {
        self.drafts.extend(other.drafts);
        self.needs.volumes.extend(other.needs.volumes);
        self.needs.priority_classes.extend(other.needs.priority_classes);
        self.needs.definitions.extend(other.needs.definitions);
        self.notes.extend(other.notes);
    }
}

/// One thread's look.
pub(super) struct Examiner<'g, 'r> {
    ground: &'g Ground<'g>,
    reader: &'g mut ObjectReader<'r>,
    found: Found,
}

impl<'g, 'r> Examiner<'g, 'r> {
    pub(super) fn new(ground: &'g Ground<'g>, reader: &'g mut ObjectReader<'r>) -> Self {
        Self { ground, reader, found: Found::default() }
    }

    pub(super) fn end(self) -> Found {
        self.found
    }

    /// All chosen objects of a chosen resource.
    pub(super) fn add_chosen(&mut self, resource: &Resource) -> Result<()> {
        let mut wanted = Vec::new();
        let scope = &self.ground.scope;
        self.reader.for_each(self.ground.snapshot, &Within::Resource(&resource.name), &mut |_, key, item| {
            if key.namespace.as_deref().is_none_or(|namespace| scope.has_namespace(namespace)) {
                wanted.push((key, item));
            }
            Ok(())
        })?;
        self.add(resource, &wanted, Because::Chosen)
    }

    /// Objects of the whole cluster by name; those that the snapshot has.
    pub(super) fn add_needed(&mut self, resource: &Resource, names: BTreeSet<String>) -> Result<()> {
        let mut wanted = Vec::new();
        for name in names {
            let key = ObjectKey::new(resource.name.clone(), None, &name);
            if let Some(item) = self.reader.find(self.ground.snapshot, &key)? {
                wanted.push((key, item));
            }
        }
        self.add(resource, &wanted, Because::Needed)
    }

    /// Drafts for objects of one resource, compared with the cluster's.
    pub(super) fn add(&mut self, resource: &Resource, wanted: &[(ObjectKey, Item)], because: Because) -> Result<()> {
        let mut drafts: Vec<Option<Draft>> = wanted.iter().map(|_| None).collect();
        let mut is_left_out = vec![false; wanted.len()];
        let mut places: HashMap<(Option<String>, String), usize> = HashMap::new();
        for (place, (key, _)) in wanted.iter().enumerate() {
            let target = self.ground.preparer.target(key);
            // What is in a namespace that is being deleted will not be there either.
            let stays = |namespace: &String| self.ground.live_namespaces.get(namespace) == Some(&false);
            if target.namespace.as_ref().is_none_or(stays) {
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
                    self.found
                        .notes
                        .push(format!("what {} the cluster has could not be looked at: {error}", resource.name));
                    unchecked_note = Some("whether it exists could not be looked at");
                }
                Err(error) => return Err(error),
            }
        }
        Progress::add(&self.ground.progress.items_done, wanted.len() as u64);
        for (place, (key, item)) in wanted.iter().enumerate() {
            let draft = match drafts[place].take() {
                None if !is_left_out[place] => self.draft(key, item, None, because)?,
                draft => draft,
            };
            if let Some(mut draft) = draft {
                if draft.item.live.is_none() && draft.item.action == Action::Create {
                    draft.item.notes.extend(unchecked_note.map(str::to_owned));
                }
                self.found.drafts.push(draft);
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
                if let Some(bytes) = self.ground.server.get(served, namespace.as_deref(), name)? {
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
        let server = self.ground.server;
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
        let served = self.ground.discovery.get(&resource.name).filter(|served| served.has("list"))?;
        let is_served =
            served.resource.version == resource.version || served.resource.served.contains(&resource.version);
        is_served.then(|| Resource { version: resource.version.clone(), ..served.resource.clone() })
    }

    /// What happens to one object. Nothing where it was not chosen.
    fn draft(&mut self, key: &ObjectKey, item: &Item, live: Option<&Value>, because: Because) -> Result<Option<Draft>> {
        if self.ground.progress.is_cancelled() {
            return Err(RepoError::Interrupted.into());
        }
        let bytes = self.reader.read(item)?;
        let mut draft = Draft {
            item: PlanItem {
                key: key.clone(),
                target: self.ground.preparer.target(key),
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
        if because == Because::Chosen && !self.ground.scope.selects(&object) {
            return Ok(None);
        }
        text_at(&object, &["metadata", "uid"]).clone_into(&mut draft.uid);
        match self.ground.preparer.prepare_value(key, object)? {
            Prepared::Skip(why) => draft.item.action = Action::Skipped { why },
            Prepared::Conflict { target, why } => {
                draft.item.target = target;
                draft.item.action = Action::Conflict { why };
            }
            Prepared::Unserved { target, why } => {
                draft.item.target = target;
                draft.item.action = Action::Conflict { why };
                draft.is_unserved = true;
                self.found.needs.definitions.insert(key.resource.to_string());
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
            renamed = match self.ground.server.get(
                &object.resource,
                object.target.namespace.as_deref(),
                &object.target.name,
            )? {
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
        let is_ending = live.is_some_and(|live| !text_at(live, &["metadata", "deletionTimestamp"]).is_empty());
        if let Some(live) = live.filter(|_| !is_ending) {
            let text = |name: &str| text_at(live, &["metadata", name]).to_owned();
            draft.item.action = self.action_for(&object, live);
            let is_changed = matches!(draft.item.action, Action::Update { .. } | Action::Recreate { .. });
            let keys = self.reader.repository().keys();
            let content = is_changed.then(|| content(&self.ground.preparer, keys, &object.target.resource, live));
            draft.item.live = Some(Live {
                uid: text("uid"),
                resource_version: text("resourceVersion"),
                content: content.unwrap_or_default(),
            });
        }
        if matches!(draft.item.action, Action::Create | Action::Recreate { .. }) {
            draft.item.notes = object.notes;
            if is_ending {
                draft.item.notes.push("the one in the cluster is being deleted: that is waited for".to_owned());
            }
            let namespace = object.target.namespace.as_deref().unwrap_or_default();
            if self.ground.live_namespaces.get(namespace) == Some(&true) {
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
        let fields = differences(&self.ground.preparer, live, object);
        if fields.is_empty() {
            return Action::Unchanged;
        }
        let policy = self.ground.options.existing_resource_policy;
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
            "persistentvolumeclaims" => {
                need(&mut self.found.needs.volumes, text_at(&object.body, &["spec", "volumeName"]));
            }
            "pods" => {
                need(&mut self.found.needs.priority_classes, text_at(&object.body, &["spec", "priorityClassName"]));
            }
            _ => {}
        }
    }
}

/// Why objects are looked at: a selector is asked about chosen ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
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
pub(super) fn live_value(resource: &Resource, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| malformed(resource, &error).into())
}

pub(super) fn malformed(resource: &Resource, error: &serde_json::Error) -> ApiError {
    let request = format!("GET {}", resource.collection_path(None));
    ApiError::Malformed {
        request,
        detail: format!("an object is no JSON (line {}, column {})", error.line(), error.column()),
    }
}

/// As much as all kinds have in common: what can be a part of a path.
fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && name != "." && name != ".." && !name.contains(['/', '%'])
}
