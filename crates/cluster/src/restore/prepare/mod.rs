//! What an object of a snapshot becomes before it is written: pure functions over its JSON, one for each rule.
//!
//! The same object, options and facts always give the same result, because a plan that is applied prepares again what it once
//! looked at. Rules are of two sorts: `release` takes off what a cluster gives an object, and is done to live objects too before they
//! are compared; the others change what is written, and are for the snapshot's objects only.

mod accounts;
mod definitions;
mod mapping;
mod services;
mod skip;
mod status;
mod strip;
mod volumes;
mod workloads;

use std::collections::HashMap;

use backstay_format::log::SnapshotRecord;
use serde_json::{Map, Value};

use self::skip::Named;
use self::status::StatusRule;
use self::strip::Taken;
use super::document::PlanError;
use super::modifiers::{Rules, Schemas};
use super::options::RestoreOptions;
use crate::api::{Discovery, Server};
use crate::error::Result;
use crate::object::{ObjectKey, OwnerReference, text_at};
use crate::resource::{Resource, ResourceName};
use crate::snapshot::ObjectReader;

pub(crate) use skip::is_never_restored;
pub use volumes::Volumes;

/// What becomes of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// It is not restored, and why.
    Skip(String),
    /// The target does not serve its kind in its version.
    Unserved {
        target: ObjectKey,
        why: String,
    },
    /// What was asked for cannot be done with it.
    Conflict {
        target: ObjectKey,
        why: String,
    },
    Object(Box<PreparedObject>),
}

/// An object as it will be written.
#[derive(Clone, PartialEq)]
pub struct PreparedObject {
    /// In the cluster: its namespace mapped.
    pub target: ObjectKey,
    /// In the version that the object is written in.
    pub resource: Resource,
    /// Without what the server sets, and without owner references and managedFields.
    pub body: Value,
    /// Where the status is to be restored.
    pub status: Option<Value>,
    /// The entries of managedFields in the snapshot.
    pub managers: Vec<Value>,
    /// As in the snapshot, with the uids from there.
    pub owners: Vec<OwnerReference>,
    pub notes: Vec<String>,
}

/// Names, and no contents: the object may be a Secret.
impl std::fmt::Debug for PreparedObject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, notes, .. } = self;
        formatter.debug_struct("PreparedObject").field("target", target).field("notes", notes).finish_non_exhaustive()
    }
}

/// Prepares objects for one target. Shared by threads.
pub struct Preparer {
    options: RestoreOptions,
    named: Named,
    status: Option<StatusRule>,
    rules: Rules,
    schemas: Schemas,
    volumes: Volumes,
    /// What the target serves.
    served: HashMap<ResourceName, Resource>,
}

impl Preparer {
    /// `served`: what discovery found at the target.
    pub fn new(
        options: &RestoreOptions,
        served: impl IntoIterator<Item = Resource>,
        volumes: Volumes,
        schemas: Schemas,
    ) -> Result<Self, PlanError> {
        let named = Named::parse(&options.control_plane_objects)
            .map_err(|error| PlanError::option("control plane objects", &error))?;
        Ok(Self {
            named,
            status: options.restore_status.as_ref().map(StatusRule::new),
            rules: options.resource_modifiers.as_ref().map(Rules::new).transpose()?.unwrap_or_default(),
            schemas,
            volumes,
            served: served.into_iter().map(|resource| (resource.name.clone(), resource)).collect(),
            options: options.clone(),
        })
    }

    /// For a snapshot and a cluster; its schemas are asked for when a modifier needs them.
    pub fn for_restore(
        server: &Server,
        discovery: &Discovery,
        reader: &mut ObjectReader<'_>,
        snapshot: &SnapshotRecord,
        options: &RestoreOptions,
    ) -> Result<Self> {
        let volumes = if options.restore_volumes { Volumes::read(reader, snapshot)? } else { Volumes::default() };
        let served = discovery.resources.iter().map(|served| served.resource.clone());
        Ok(Self::new(options, served, volumes, Schemas::of(server))?)
    }

    /// `object`: its bytes in the snapshot.
    pub fn prepare(&self, key: &ObjectKey, object: &[u8]) -> Result<Prepared, PlanError> {
        self.prepare_value(key, parse(key, object)?)
    }

    pub fn prepare_value(&self, key: &ObjectKey, mut body: Value) -> Result<Prepared, PlanError> {
        if let Some(why) = self.why_skipped(key, &body) {
            return Ok(Prepared::Skip(why));
        }
        let mut target = self.target(key);
        let wants_status = status::annotated(&body).unwrap_or_else(|| self.wants_status(&key.resource));
        let mut notes = Vec::new();
        let Taken { status, managers, owners } = self.release(&key.resource, &mut body, &mut notes);
        self.transform(&key.resource, &mut body, &mut notes);
        if let Err(why) = self.rules.apply(key, &mut body, &self.schemas) {
            return Ok(Prepared::Conflict { target, why });
        }
        mapping::map_references(&key.resource, &mut body, &self.options.namespace_mappings);
        let Some(metadata) = object_at(&mut body, &["metadata"]) else {
            return Err(PlanError::Object { key: key.clone(), detail: "it has no metadata".to_owned() });
        };
        if let Some(namespace) = &target.namespace {
            metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
        // A modifier may give it another name.
        text_at(&body, &["metadata", "name"]).clone_into(&mut target.name);
        let api_version = text_at(&body, &["apiVersion"]);
        let Some(resource) = self.resource(&key.resource, api_version) else {
            return Ok(Prepared::Unserved { why: self.why_unserved(&key.resource, api_version), target });
        };
        let status = status.filter(|_| wants_status);
        Ok(Prepared::Object(Box::new(PreparedObject { target, resource, body, status, managers, owners, notes })))
    }

    /// Where an object goes: its namespace mapped, or, of a namespace, its name.
    pub fn target(&self, key: &ObjectKey) -> ObjectKey {
        let map = |namespace: &String| self.options.namespace_mappings.get(namespace).unwrap_or(namespace).clone();
        let mut target = key.clone();
        target.namespace = key.namespace.as_ref().map(map);
        if key.resource == ResourceName::core("namespaces") {
            target.name = map(&key.name);
        }
        target
    }

    /// Takes off what a cluster gives an object by itself. Live objects are compared after the same.
    pub(super) fn release(&self, resource: &ResourceName, object: &mut Value, notes: &mut Vec<String>) -> Taken {
        match &resource.to_string()[..] {
            // Before managedFields are gone, which say who set a node port.
            "services" => services::release(object, self.options.preserve_node_ports),
            "pods" if workloads::release_pod(object) => {
                notes.push("its ephemeral containers are not restored: a new pod has none".to_owned());
            }
            "jobs.batch" => workloads::release_job(object),
            "persistentvolumes" => volumes::release_volume(object),
            "persistentvolumeclaims" => volumes::release_claim(object),
            "serviceaccounts" => accounts::release_account(object),
            "secrets" => accounts::release_token(object),
            _ => {}
        }
        strip::strip(object)
    }

    fn why_skipped(&self, key: &ObjectKey, object: &Value) -> Option<String> {
        skip::why(key, object, &self.named).or_else(|| match &key.resource.to_string()[..] {
            "persistentvolumes" => volumes::why_not(object, self.options.restore_volumes).map(str::to_owned),
            "secrets" => accounts::why_no_token(object),
            _ => None,
        })
    }

    /// Changes what is written, as options and newer servers ask.
    fn transform(&self, resource: &ResourceName, object: &mut Value, notes: &mut Vec<String>) {
        match &resource.to_string()[..] {
            "persistentvolumeclaims" => {
                notes.push(volumes::rebind_claim(object, &self.volumes, self.options.restore_volumes));
            }
            "customresourcedefinitions.apiextensions.k8s.io" if definitions::keep_unknown_fields(object) => {
                notes.push("preserveUnknownFields is said in its schema instead".to_owned());
            }
            "mutatingwebhookconfigurations.admissionregistration.k8s.io"
            | "validatingwebhookconfigurations.admissionregistration.k8s.io"
                if definitions::limit_side_effects(object) =>
            {
                notes.push("side effects that the server does not take are now None".to_owned());
            }
            _ => {}
        }
        if !self.options.storage_class_mappings.is_empty() {
            volumes::map_storage_class(resource, object, &self.options.storage_class_mappings);
        }
        if !self.options.image_mappings.is_empty() {
            workloads::map_images(resource, object, &self.options.image_mappings);
        }
    }

    fn wants_status(&self, resource: &ResourceName) -> bool {
        match (&self.status, self.served.get(resource)) {
            (Some(rule), Some(resource)) => rule.wants(resource),
            _ => false,
        }
    }

    /// The target's resource, in the version that the object was taken in: what other versions would need is known to no one but
    /// the server that stored it.
    fn resource(&self, name: &ResourceName, api_version: &str) -> Option<Resource> {
        let served = self.served.get(name)?;
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let is_served = served.version == version || served.served.iter().any(|it| it == version);
        is_served.then(|| Resource { version: version.to_owned(), ..served.clone() })
    }

    fn why_unserved(&self, name: &ResourceName, api_version: &str) -> String {
        match self.served.get(name) {
            None => format!("the cluster has no resource {name}"),
            Some(served) => {
                let versions = if served.served.is_empty() { &[served.version.clone()][..] } else { &served.served };
                format!("the cluster does not serve {name} in {api_version}, but in {}", versions.join(", "))
            }
        }
    }
}

/// An object's JSON; the error names the object and repeats nothing of it.
pub(super) fn parse(key: &ObjectKey, object: &[u8]) -> Result<Value, PlanError> {
    let broken = |detail: String| PlanError::Object { key: key.clone(), detail };
    match serde_json::from_slice(object) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(broken("it is not a JSON object".to_owned())),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// The object at a path of names.
fn object_at<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Map<String, Value>> {
    path.iter().try_fold(value, |value, name| value.get_mut(name))?.as_object_mut()
}

/// The list at a path of names.
fn array_at<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Vec<Value>> {
    path.iter().try_fold(value, |value, name| value.get_mut(name))?.as_array_mut()
}
