//! What an object of a snapshot becomes before it is written: pure functions over its JSON.
//!
//! The same object, options and facts always give the same result, because a plan that is applied prepares again what it once
//! looked at.

mod strip;

use std::collections::HashMap;

use serde_json::Value;

use crate::object::{ObjectKey, OwnerReference, text_at};
use crate::resource::{Resource, ResourceName};
use crate::restore::document::PlanError;
use crate::restore::options::RestoreOptions;

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
    Object(Box<PreparedObject>),
}

/// An object as it will be written.
#[derive(Debug, Clone, PartialEq)]
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

/// Prepares objects for one target. Shared by threads.
pub struct Preparer {
    options: RestoreOptions,
    /// What the target serves.
    served: HashMap<ResourceName, Resource>,
}

impl Preparer {
    /// `served`: what discovery found at the target.
    pub fn new(options: &RestoreOptions, served: impl IntoIterator<Item = Resource>) -> Self {
        let served = served.into_iter().map(|resource| (resource.name.clone(), resource)).collect();
        Self { options: options.clone(), served }
    }

    /// `object`: its bytes in the snapshot.
    pub fn prepare(&self, key: &ObjectKey, object: &[u8]) -> Result<Prepared, PlanError> {
        let broken = |detail: String| PlanError::Object { key: key.clone(), detail };
        let mut body: Value = serde_json::from_slice(object).map_err(|error| broken(error.to_string()))?;
        if !body.is_object() {
            return Err(broken("it is not a JSON object".to_owned()));
        }
        let target = self.target(key);
        let api_version = text_at(&body, &["apiVersion"]).to_owned();
        let Some(resource) = self.resource(&key.resource, &api_version) else {
            return Ok(Prepared::Unserved { target, why: self.why_unserved(&key.resource, &api_version) });
        };
        let taken = strip::strip(&mut body);
        if let (Some(namespace), Some(metadata)) = (&target.namespace, body.get_mut("metadata")) {
            metadata["namespace"] = Value::from(namespace.as_str());
        }
        let prepared = PreparedObject {
            target,
            resource,
            body,
            status: None,
            managers: taken.managers,
            owners: taken.owners,
            notes: Vec::new(),
        };
        Ok(Prepared::Object(Box::new(prepared)))
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
