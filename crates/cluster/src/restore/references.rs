//! The owner references that a new object carries, and those that come to it in the end.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::apply::Run;
use super::managers::Creation;
use super::owners::Way;
use super::prepare::PreparedObject;
use super::refusal::Refusal;
use crate::api::WriteOptions;
use crate::object::{OwnerReference, text_at};
use crate::snapshot::ObjectReader;

/// What a new object is given of its owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    pub(super) references: Vec<Value>,
    /// New uids by the old ones.
    pub(super) uids: HashMap<String, String>,
}

/// Conflicts with others who change the object at the same time.
const TRIES_MAX: u32 = 5;

impl Run<'_> {
    /// The references that the object can carry from the start.
    pub(super) fn owners(
        &self,
        place: usize,
        object: &PreparedObject,
        notes: &mut Vec<String>,
    ) -> Result<Owners, Refusal> {
        let mut owners = Owners::default();
        for reference in &object.owners {
            match self.owner(place, reference, Way::Carried)? {
                Owner::Here(new) => {
                    owners.uids.insert(reference.uid.clone(), new.uid.clone());
                    owners.references.push(json!(new));
                }
                Owner::NotYet => {}
                Owner::Gone => {
                    let OwnerReference { kind, name, .. } = reference;
                    notes.push(format!("its owner {kind}/{name} is not restored: the reference was dropped"));
                }
            }
        }
        Ok(owners)
    }

    /// Patches the references that had to wait for owners which came later.
    pub(super) fn write_references(&self, reader: &mut ObjectReader<'_>, place: usize) -> Result<(), String> {
        let words = |refusal: Refusal| refusal.why;
        let object = self.prepared(reader, &self.plan.items[place]).map_err(words)?;
        let mut missing = Vec::new();
        for reference in &object.owners {
            if let Owner::Here(new) = self.owner(place, reference, Way::Late).map_err(words)? {
                missing.push(new);
            }
        }
        let manager = Creation::new(&object.body, &object.managers, &HashMap::new()).manager;
        for _ in 0..TRIES_MAX {
            let live = self.live(&object).map_err(words)?.ok_or("it is not there any more")?;
            let mut references = live["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let is_controlled = |references: &[Value]| references.iter().any(|it| it["controller"] == true);
            let before = references.len();
            for new in &missing {
                let is_there = references.iter().any(|it| text_at(it, &["uid"]) == new.uid);
                // It was adopted meanwhile, and an object has one controller.
                let is_taken = new.controller == Some(true) && is_controlled(&references);
                if !is_there && !is_taken {
                    references.push(json!(new));
                }
            }
            if references.len() == before {
                return Ok(());
            }
            let version = text_at(&live, &["metadata", "resourceVersion"]);
            let patch =
                json!({ "metadata": { "resourceVersion": version, "ownerReferences": references } }).to_string();
            match self.patch(&object, patch.as_bytes(), &WriteOptions::new(manager.as_str())) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(Refusal::words(&error, &object)),
            }
        }
        Err("it keeps being changed".to_owned())
    }

    /// Where an owner is that comes to its dependent this way.
    fn owner(&self, place: usize, reference: &OwnerReference, wanted: Way) -> Result<Owner, Refusal> {
        let item = &self.plan.items[place];
        let Some(planned) = item.owners.iter().find(|owner| owner.uid == reference.uid) else {
            let is_here = wanted == Way::Carried && self.is_outside(item.target.namespace.as_deref(), reference)?;
            return Ok(if is_here { Owner::Here(reference.clone()) } else { Owner::Gone });
        };
        let way = self.order.way(place, item, planned);
        if way != wanted {
            return Ok(Owner::NotYet);
        }
        let found = self.order.place(&planned.key).and_then(|owner| Some((owner, self.uid(owner)?)));
        let Some((owner, uid)) = found else {
            return Err(Refusal::owner(format!("its owner {} could not be restored", planned.key)));
        };
        let name = self.plan.items[owner].target.name.clone();
        Ok(Owner::Here(OwnerReference { name, uid, ..reference.clone() }))
    }

    /// Whether the owner is in the cluster, and the very same: its uid is the old one.
    fn is_outside(&self, namespace: Option<&str>, reference: &OwnerReference) -> Result<bool, Refusal> {
        if let Some(known) = self.outside.lock().get(&reference.uid) {
            return Ok(*known);
        }
        let group = reference.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let target = self.target();
        let served = target.discovery.resources.iter().map(|it| &it.resource);
        let resource = served.into_iter().find(|it| it.kind == reference.kind && it.name.group == group);
        let Some(resource) = resource else { return Ok(false) };
        let namespace = namespace.filter(|_| resource.namespaced);
        let found = self.server.get(resource, namespace, &reference.name);
        let found = found.map_err(|error| Refusal::unavailable(error.to_string()))?;
        let is_same =
            found.is_some_and(|bytes| text_at(&super::write::parse(&bytes), &["metadata", "uid"]) == reference.uid);
        self.outside.lock().insert(reference.uid.clone(), is_same);
        Ok(is_same)
    }
}

enum Owner {
    Here(OwnerReference),
    /// It comes to the dependent in another way.
    NotYet,
    Gone,
}
