//! One item of a plan: what is sent for it, and what is made of the answer.
//!
//! Every write has a condition that the server checks: a create that there is no such object, an update or a deletion that the
//! object is the one that the plan saw. So nothing is overwritten that nobody looked at, whoever else is at work.

use std::collections::HashMap;
use std::time::Duration;

use backstay_repo::Progress;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::apply::{Run, named};
use super::compare::{content, differences, is_added, merge_patch};
use super::document::{Action, Live, PlanItem};
use super::immutable::held_by;
use super::managers::{Creation, object_in, status_manager};
use super::options::ExistingPolicy;
use super::outcome::ItemResult;
use super::prepare::{Prepared, PreparedObject};
use super::references::Owners;
use super::refusal::Refusal;
use crate::api::{ApiError, DeleteOptions, PatchKind, Propagation, WriteOptions};
use crate::object::text_at;
use crate::resource::ResourceName;
use crate::snapshot::ObjectReader;

/// Creates of one object, each after something that stood in its way was cleared.
const TRIES_MAX: u32 = 10;
const GONE: &str = "it was deleted since the plan";
const CHANGED: &str = "it was changed since the plan";

/// Times the number of the try: creates under one quota wait for each other.
const CONTENTION_PAUSE: Duration = Duration::from_millis(30);

/// What became of an item, and the uid of its object.
pub(super) type Written = Result<(ItemResult, String), Refusal>;

#[derive(Default, Deserialize)]
struct Answer {
    metadata: Value,
}

impl Run<'_> {
    pub(super) fn write(&self, reader: &mut ObjectReader<'_>, place: usize, notes: &mut Vec<String>) -> Written {
        let item = &self.plan.items[place];
        let object = self.prepared(reader, item)?;
        for note in &object.notes {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        match (&item.action, &item.live) {
            (Action::Update { .. }, Some(live)) => self.update(reader, place, &object, live, notes),
            (Action::Recreate { .. }, Some(live)) => {
                let owners = self.owners(place, &object, notes)?;
                self.recreate(reader, place, &object, &owners, live, notes)
            }
            _ => {
                let owners = self.owners(place, &object, notes)?;
                self.create(reader, place, &object, &owners, notes)
            }
        }
    }

    /// What the snapshot's object becomes. The same as when the plan was made, but for kinds that did not exist then.
    pub(super) fn prepared(&self, reader: &mut ObjectReader<'_>, item: &PlanItem) -> Result<PreparedObject, Refusal> {
        let unreadable = |error: &dyn std::fmt::Display| Refusal::unreadable(error.to_string());
        let found = self.find(reader, item).map_err(|error| unreadable(&error))?;
        let found = found.ok_or_else(|| Refusal::unreadable("it is not in the snapshot".to_owned()))?;
        let bytes = reader.read(&found).map_err(|error| unreadable(&error))?;
        match self.target().preparer.prepare(&item.key, &bytes).map_err(|error| unreadable(&error))? {
            Prepared::Object(object) => Ok(*object),
            Prepared::Skip(why) => Err(Refusal::skipped(why)),
            Prepared::Conflict { why, .. } => Err(Refusal::planned(why)),
            Prepared::Unserved { why, .. } => Err(Refusal::unserved(why)),
        }
    }

    fn create(
        &self,
        reader: &mut ObjectReader<'_>,
        place: usize,
        object: &PreparedObject,
        owners: &Owners,
        notes: &mut Vec<String>,
    ) -> Written {
        let mut body = object.body.clone();
        if !owners.references.is_empty() {
            body["metadata"]["ownerReferences"] = owners.references.clone().into();
        }
        self.keep_status_without_subresource(object, &mut body);
        let mut creation = Creation::new(&body, &object.managers, &owners.uids);
        let is_new_kind = matches!(self.plan.items[place].action, Action::Unchecked { .. });
        for attempt in 1..=TRIES_MAX {
            let error = match self.send(object, &creation) {
                Ok(answer) => return self.finish_created(object, &creation, answer, notes),
                Err(error) => error,
            };
            let is_contended = is_quota_contended(&error);
            let exists = error.is_already_exists() || (creation.is_apply && error.is_conflict() && !is_contended);
            if exists || error.is_outcome_unknown() {
                let Some(live) = self.live(object)? else { continue };
                if !text_at(&live, &["metadata", "deletionTimestamp"]).is_empty() {
                    self.wait_until_gone(object, text_at(&live, &["metadata", "uid"]))?;
                } else if !exists && self.differences(object, &live).is_empty() {
                    // The answer was lost, and this is what was sent.
                    return self.finish_created(object, &creation, live, notes);
                } else {
                    return self.meet(reader, place, object, &live, notes);
                }
            } else if is_contended {
                std::thread::park_timeout(CONTENTION_PAUSE * attempt);
            } else if error.is_not_found() && Self::is_namespace_missing(object, &error) {
                self.make_namespace(reader, object)?;
            } else if Refusal::is_namespace_terminating(&error) {
                self.wait_for_namespace(object)?;
            } else if error.is_not_found() && is_new_kind {
                if !self.becomes_served(object)? {
                    return Err(self.refused(&error, object));
                }
            } else if creation.is_apply && (error.is_invalid() || error.is_forbidden()) {
                creation = creation.as_post();
            } else if is_node_port_taken(object, &error) && drop_node_ports(&mut body) {
                notes.push("its node ports are taken: it got others".to_owned());
                creation = Creation::new(&body, &object.managers, &owners.uids);
            } else {
                return Err(self.refused(&error, object));
            }
        }
        Err(Refusal::moved("it came and went while it was restored".to_owned()))
    }

    fn send(&self, object: &PreparedObject, creation: &Creation) -> Result<Value, ApiError> {
        let mut options = WriteOptions::new(creation.manager.as_str());
        let (resource, namespace) = (&object.resource, object.target.namespace.as_deref());
        let body = creation.body.to_string().into_bytes();
        Progress::add(&self.progress.bytes_done, body.len() as u64);
        if creation.is_apply {
            options.force = true;
            let name = &object.target.name;
            return Ok(parse(&self.server.patch(resource, namespace, name, PatchKind::Apply, &body, &options)?));
        }
        // Of a create only uid and managers matter.
        let answer = self.server.create(resource, namespace, &body, &options)?;
        let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
        Ok(serde_json::json!({ "metadata": answer.metadata }))
    }

    /// The object is there: its managers, its status, and what only it can be waited for.
    fn finish_created(
        &self,
        object: &PreparedObject,
        creation: &Creation,
        answer: Value,
        notes: &mut Vec<String>,
    ) -> Written {
        let uid = text_at(&answer, &["metadata", "uid"]).to_owned();
        self.correct(object, creation, answer, notes);
        if let Some(status) = object.status.as_ref().filter(|_| self.has_status_subresource(object)) {
            let options =
                WriteOptions { subresource: Some("status"), ..WriteOptions::new(status_manager(&object.managers)) };
            let patch = serde_json::json!({ "status": status }).to_string();
            if let Err(error) = self.patch(object, patch.as_bytes(), &options) {
                notes.push(format!("its status could not be restored: {}", Refusal::words(&error, object)));
            }
        }
        if object.target.resource.plural == "customresourcedefinitions" {
            self.wait_until_established(object)?;
        }
        Ok((ItemResult::Created, uid))
    }

    /// Brings managers, and after an apply the fields that nobody owned, to what they were. The object is restored without that too.
    fn correct(&self, object: &PreparedObject, creation: &Creation, mut answer: Value, notes: &mut Vec<String>) {
        let options = WriteOptions::new(creation.manager.as_str());
        for _ in 0..TRIES_MAX {
            let Some(patch) = creation.correction(&answer) else { return };
            match self.patch(object, patch.to_string().as_bytes(), &options) {
                Ok(()) => return,
                Err(error) if error.is_conflict() => match self.live(object) {
                    Ok(Some(live)) => answer = live,
                    _ => return,
                },
                Err(error) => {
                    let words = Refusal::words(&error, object);
                    notes.push(format!("its field managers could not be restored: {words}"));
                    return;
                }
            }
        }
        notes.push("its field managers could not be restored: it keeps being changed".to_owned());
    }

    /// There is an object of that name which the plan did not see.
    fn meet(
        &self,
        reader: &mut ObjectReader<'_>,
        place: usize,
        object: &PreparedObject,
        live: &Value,
        notes: &mut Vec<String>,
    ) -> Written {
        let uid = text_at(live, &["metadata", "uid"]).to_owned();
        let fields = self.differences(object, live);
        if fields.is_empty() {
            return Ok((ItemResult::Unchanged, uid));
        }
        let item = &self.plan.items[place];
        let was_checked = !matches!(item.action, Action::Unchecked { .. });
        // The controllers make the account of a new namespace first.
        let is_added = is_added(&object.target.resource, &fields);
        match self.plan.options.existing_resource_policy {
            ExistingPolicy::None if !is_added => Err(Refusal::left(named(&fields), uid)),
            _ if was_checked && !is_added => Err(Refusal::moved("it was made since the plan, and differs".to_owned())),
            _ => {
                let resource_version = text_at(live, &["metadata", "resourceVersion"]).to_owned();
                let seen = Live { uid, resource_version, content: self.content(object, live) };
                self.update(reader, place, object, &seen, notes)
            }
        }
    }

    fn update(
        &self,
        reader: &mut ObjectReader<'_>,
        place: usize,
        object: &PreparedObject,
        expected: &Live,
        notes: &mut Vec<String>,
    ) -> Written {
        let manager = Creation::new(&object.body, &object.managers, &HashMap::new()).manager;
        let options = WriteOptions::new(manager);
        for _ in 0..TRIES_MAX {
            let live = self.expected(object, expected)?.ok_or_else(|| Refusal::moved(GONE.to_owned()))?;
            let mut patch = merge_patch(&self.target().preparer, &object.target, &live, object);
            let version = text_at(&live, &["metadata", "resourceVersion"]);
            object_in(&mut patch, "metadata").insert("resourceVersion".to_owned(), version.into());
            let is_last_resort = self.plan.options.existing_resource_policy == ExistingPolicy::Recreate;
            match self.patch(object, patch.to_string().as_bytes(), &options) {
                Ok(()) => return Ok((ItemResult::Updated, expected.uid.clone())),
                // Maybe its status moved on: then it is still what the plan saw.
                Err(error) if error.is_conflict() => {}
                Err(error) if error.is_invalid() && is_last_resort => {
                    let owners = self.owners(place, object, notes)?;
                    return self.recreate(reader, place, object, &owners, expected, notes);
                }
                Err(error) => {
                    self.stop_if_unreachable(&error);
                    return Err(Refusal::of_update(&error, object));
                }
            }
        }
        Err(Refusal::moved("it keeps being changed".to_owned()))
    }

    /// Deletes and creates. Nothing is deleted that the server would not create again, nor what holds other things. The object alone
    /// goes: what it owns is orphaned, and the new one adopts what it knows by its labels.
    fn recreate(
        &self,
        reader: &mut ObjectReader<'_>,
        place: usize,
        object: &PreparedObject,
        owners: &Owners,
        expected: &Live,
        notes: &mut Vec<String>,
    ) -> Written {
        if let Some(held) = held_by(&object.target.resource) {
            return Err(Refusal::immutable(format!("it is not deleted, because {held} would be lost with it")));
        }
        let Some(live) = self.expected(object, expected)? else {
            // An earlier run came as far as this, or somebody else deleted it: nothing is in the way.
            let (_, uid) = self.create(reader, place, object, owners, notes)?;
            return Ok((ItemResult::Recreated, uid));
        };
        let try_out = WriteOptions { dry_run: true, ..WriteOptions::new(super::managers::OWN_MANAGER) };
        let (resource, namespace) = (&object.resource, object.target.namespace.as_deref());
        match self.server.create(resource, namespace, object.body.to_string().as_bytes(), &try_out) {
            Err(error) if !error.is_already_exists() && !is_node_port_taken(object, &error) => {
                return Err(self.refused(&error, object));
            }
            _ => {}
        }
        let options = DeleteOptions {
            uid: Some(expected.uid.clone()),
            resource_version: Some(text_at(&live, &["metadata", "resourceVersion"]).to_owned()),
            propagation: Some(Propagation::Orphan),
            dry_run: false,
        };
        match self.server.delete(resource, namespace, &object.target.name, &options) {
            Err(error) if error.is_conflict() => {
                return Err(Refusal::moved(CHANGED.to_owned()));
            }
            Err(error) if !error.is_not_found() => return Err(self.refused(&error, object)),
            _ => {}
        }
        self.wait_until_gone(object, &expected.uid)?;
        match self.create(reader, place, object, owners, notes) {
            Ok((_, uid)) => Ok((ItemResult::Recreated, uid)),
            Err(refusal) => Err(Refusal { why: format!("it was deleted, and then: {}", refusal.why), ..refusal }),
        }
    }

    /// The live object, if it is still the one that the plan saw; nothing where it is gone.
    fn expected(&self, object: &PreparedObject, expected: &Live) -> Result<Option<Value>, Refusal> {
        let Some(live) = self.live(object)? else { return Ok(None) };
        let at = |name: &str| text_at(&live, &["metadata", name]).to_owned();
        if at("uid") != expected.uid {
            return Err(Refusal::moved("another object has its name since the plan".to_owned()));
        }
        if at("resourceVersion") != expected.resource_version && self.content(object, &live) != expected.content {
            return Err(Refusal::moved(CHANGED.to_owned()));
        }
        if !at("deletionTimestamp").is_empty() {
            return Err(Refusal::terminating("it is being deleted".to_owned()));
        }
        Ok(Some(live))
    }

    fn content(&self, object: &PreparedObject, live: &Value) -> String {
        content(&self.target().preparer, self.repository.keys(), &object.target.resource, live)
    }

    pub(super) fn live(&self, object: &PreparedObject) -> Result<Option<Value>, Refusal> {
        let (resource, namespace) = (&object.resource, object.target.namespace.as_deref());
        match self.server.get(resource, namespace, &object.target.name) {
            Ok(bytes) => Ok(bytes.map(|bytes| parse(&bytes))),
            Err(error) => Err(self.refused(&error, object)),
        }
    }

    pub(super) fn patch(&self, object: &PreparedObject, patch: &[u8], options: &WriteOptions) -> Result<(), ApiError> {
        let (resource, namespace) = (&object.resource, object.target.namespace.as_deref());
        self.server.patch(resource, namespace, &object.target.name, PatchKind::Merge, patch, options).map(drop)
    }

    pub(super) fn refused(&self, error: &ApiError, object: &PreparedObject) -> Refusal {
        self.stop_if_unreachable(error);
        Refusal::of(error, object)
    }

    fn differences(&self, object: &PreparedObject, live: &Value) -> Vec<String> {
        differences(&self.target().preparer, live, object)
    }

    fn has_status_subresource(&self, object: &PreparedObject) -> bool {
        let target = self.target();
        target.discovery.resources.iter().any(|it| it.resource.name == object.resource.name && it.status_subresource)
    }

    /// Some kinds have their status among their other fields.
    fn keep_status_without_subresource(&self, object: &PreparedObject, body: &mut Value) {
        if let Some(status) = object.status.as_ref().filter(|_| !self.has_status_subresource(object)) {
            body["status"] = status.clone();
        }
    }
}

/// An answer of the server. What cannot be read has no fields, and then lacks what is looked for.
pub(super) fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Objects that count against the same quota are admitted one after another, and the server gives up on some.
fn is_quota_contended(error: &ApiError) -> bool {
    error.is_conflict()
        && matches!(error, ApiError::Status { message, .. } if message.contains("fulfilled on resourcequotas"))
}

fn is_node_port_taken(object: &PreparedObject, error: &ApiError) -> bool {
    let is_taken = |message: &str| message.contains("port is already allocated");
    object.target.resource == ResourceName::core("services")
        && matches!(error, ApiError::Status { code: 422, message, .. } if is_taken(message))
}

/// Leaves the choice of node ports to the server; false where none was chosen.
fn drop_node_ports(service: &mut Value) -> bool {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return false };
    let mut has_dropped = spec.remove("healthCheckNodePort").is_some();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        has_dropped |= port.as_object_mut().and_then(|port: &mut Map<String, Value>| port.remove("nodePort")).is_some();
    }
    has_dropped
}
