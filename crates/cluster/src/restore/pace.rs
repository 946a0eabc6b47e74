//! What the cluster has to do by itself before an item can go on: end a namespace, delete an object, serve a kind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::apply::Run;
use super::document::{Action, PlanItem};
use super::managers::OWN_MANAGER;
use super::prepare::PreparedObject;
use super::refusal::Refusal;
use super::write::parse;
use crate::api::{ApiError, WriteOptions};
use crate::object::text_at;
use crate::resource::{Resource, ResourceName};
use crate::snapshot::ObjectReader;

/// A kind that was just defined is served a moment later.
const SERVED_PATIENCE: Duration = Duration::from_secs(15);

impl Run<'_> {
    /// Until the object with this uid is not there any more.
    pub(super) fn wait_until_gone(&self, object: &PreparedObject, uid: &str) -> Result<(), Refusal> {
        let (resource, namespace) = (&object.resource, object.target.namespace.as_deref());
        let mut holders = String::new();
        let is_gone = self.wait_until(self.options.patience, &mut || {
            let live = self.server.get(resource, namespace, &object.target.name)?;
            let live = live.map(|bytes| parse(&bytes)).filter(|live| text_at(live, &["metadata", "uid"]) == uid);
            holders = live.as_ref().map(finalizers).unwrap_or_default();
            Ok(live.is_none())
        });
        if is_gone.map_err(|error| self.refused(&error, object))? {
            return Ok(());
        }
        let seconds = self.options.patience.as_secs();
        Err(Refusal::terminating(format!("it is being deleted, and was still there after {seconds} s{holders}")))
    }

    /// Until a namespace that is being deleted is gone; then it is made again. Those who come later take the first one's word.
    pub(super) fn wait_for_namespace(&self, object: &PreparedObject) -> Result<(), Refusal> {
        let Some(name) = object.target.namespace.as_deref() else { return Ok(()) };
        let ended = Arc::clone(self.stuck.lock().entry(name.to_owned()).or_default());
        let mut ended = ended.lock();
        let resource = namespaces();
        if ended.is_none() {
            let mut was = None;
            let is_gone = self.wait_until(self.options.patience, &mut || {
                let live = self.server.get(&resource, None, name)?.map(|bytes| parse(&bytes));
                let is_ending = live.as_ref().is_some_and(is_terminating);
                was = live.or(was.take());
                Ok(!is_ending)
            });
            *ended = Some(is_gone.map_err(|error| self.refused(&error, object))?);
        }
        if *ended == Some(true) {
            return Ok(());
        }
        let seconds = self.options.patience.as_secs();
        Err(Refusal::terminating(format!(
            "the namespace {name} is being deleted, and was still there after {seconds} s"
        )))
    }

    /// Makes an object's namespace: the snapshot's, or a bare one where the plan does not have it.
    pub(super) fn make_namespace(&self, reader: &mut ObjectReader<'_>, object: &PreparedObject) -> Result<(), Refusal> {
        let Some(name) = object.target.namespace.as_deref() else { return Ok(()) };
        let resource = namespaces();
        let is_it = |item: &&PlanItem| item.target.resource == resource.name && item.target.name == name;
        let planned = self.plan.items.iter().find(is_it).and_then(|item| self.prepared(reader, item).ok());
        let is_bare = planned.is_none();
        let bare = || json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let body = planned.map_or_else(bare, |namespace| namespace.body).to_string();
        match self.server.create(&resource, None, body.as_bytes(), &WriteOptions::new(OWN_MANAGER)) {
            Ok(_) => {
                if is_bare {
                    let note = format!("the namespace {name} was made without labels: the restore does not include it");
                    self.notes.lock().push(note);
                }
                Ok(())
            }
            Err(error) if error.is_already_exists() => Ok(()),
            Err(error) => Err(self.refused(&error, object)),
        }
    }

    /// Until the server tells of all kinds that this run defined.
    pub(super) fn wait_for_kinds(&self) -> Result<(), ApiError> {
        let defined = |item: &&PlanItem| match &item.action {
            Action::Unchecked { until } => self.order.place(until).and_then(|place| self.uid(place)).is_some(),
            _ => false,
        };
        let kinds: BTreeSet<&ResourceName> =
            self.plan.items.iter().filter(defined).map(|item| &item.key.resource).collect();
        if kinds.is_empty() {
            return Ok(());
        }
        self.wait_until(SERVED_PATIENCE, &mut || {
            let discovery = self.server.discover()?;
            Ok(kinds.iter().all(|kind| discovery.get(kind).is_some()))
        })?;
        Ok(())
    }

    pub(super) fn is_namespace_missing(object: &PreparedObject, error: &ApiError) -> bool {
        let ApiError::Status { message, .. } = error else { return false };
        object
            .target
            .namespace
            .as_ref()
            .is_some_and(|name| message.contains(&format!("namespaces \"{name}\" not found")))
    }

    /// Whether a kind that the server does not know yet turns up: definitions are served a moment after they are established.
    pub(super) fn becomes_served(&self, object: &PreparedObject) -> Result<bool, Refusal> {
        let path = object.resource.collection_path(object.target.namespace.as_deref());
        let is_served =
            self.wait_until(SERVED_PATIENCE, &mut || match self.server.get_path(&format!("{path}?limit=1")) {
                Ok(_) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error),
            });
        is_served.map_err(|error| self.refused(&error, object))
    }

    /// Until custom resources of a new definition can be made.
    pub(super) fn wait_until_established(&self, object: &PreparedObject) -> Result<(), Refusal> {
        let mut why = String::new();
        let is_established = self.wait_until(self.options.patience, &mut || {
            let live = self.server.get(&object.resource, None, &object.target.name)?;
            let live = live.map(|bytes| parse(&bytes)).unwrap_or_default();
            let condition = |name: &str| {
                let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().find(|it| it["type"] == name).cloned().unwrap_or_default()
            };
            let names = condition("NamesAccepted");
            text_at(&names, &["message"]).clone_into(&mut why);
            Ok(names["status"] == "True" && condition("Established")["status"] == "True")
        });
        if is_established.map_err(|error| self.refused(&error, object))? {
            return Ok(());
        }
        let seconds = self.options.patience.as_secs();
        Err(Refusal::unavailable(format!("it was created, but is not established after {seconds} s: {why}")))
    }
}

fn namespaces() -> Resource {
    Resource {
        name: ResourceName::core("namespaces"),
        version: "v1".to_owned(),
        kind: "Namespace".to_owned(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: false,
        served: Vec::new(),
    }
}

fn is_terminating(object: &Value) -> bool {
    !text_at(object, &["metadata", "deletionTimestamp"]).is_empty()
}

fn finalizers(object: &Value) -> String {
    let names = object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.collect();
    if names.is_empty() { String::new() } else { format!("; finalizers hold it: {}", names.join(", ")) }
}
