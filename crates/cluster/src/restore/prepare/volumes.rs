//! Persistent volumes and claims: which volume comes back, and how claim and volume find each other again.
//!
//! The data of volumes is in no snapshot yet. A volume that the cluster may delete (`Delete`) is not restored: its claim makes a new
//! and empty one. A volume that somebody keeps (`Retain`) is restored as it is, and so is the claim's reference to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::object_at;
use crate::error::Result;
use crate::object::text_at;
use crate::resource::ResourceName;
use crate::restore::document::EMPTY_VOLUME;
use crate::snapshot::{ObjectReader, Within};
use backstay_format::log::SnapshotRecord;

/// On claims and volumes: how they were bound, and by which node and program.
const BINDING: [&str; 5] = [
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// What of a snapshot's volumes has to be known before its claims.
#[derive(Debug, Clone, Default)]
pub struct Volumes {
    /// Names of the volumes that come back.
    kept: BTreeSet<String>,
}

impl Volumes {
    /// Reads the snapshot's volumes.
    pub fn read(reader: &mut ObjectReader<'_>, snapshot: &SnapshotRecord) -> Result<Self> {
        let mut kept = BTreeSet::new();
        let volumes = ResourceName::core("persistentvolumes");
        reader.for_each(snapshot, &Within::Resource(&volumes), &mut |reader, key, item| {
            let bytes = reader.read(&item)?;
            // A broken one is the plan's to report, when it comes to it.
            if serde_json::from_slice::<Value>(&bytes).is_ok_and(|volume| is_kept(&volume)) {
                kept.insert(key.name);
            }
            Ok(())
        })?;
        Ok(Self { kept })
    }

    /// By name.
    pub fn of(kept: impl IntoIterator<Item = String>) -> Self {
        Self { kept: kept.into_iter().collect() }
    }
}

/// Why a volume is not restored.
pub(super) fn why_not(volume: &Value, restore_volumes: bool) -> Option<&'static str> {
    if !restore_volumes {
        return Some("volumes are not restored: its claim makes a new one");
    }
    (!is_kept(volume)).then_some("its reclaim policy is Delete: its claim makes a new one")
}

fn is_kept(volume: &Value) -> bool {
    text_at(volume, &["spec", "persistentVolumeReclaimPolicy"]) != "Delete"
}

/// The claim is waited for again, by name.
pub(super) fn release_volume(volume: &mut Value) {
    remove_annotations(volume, &BINDING[..2]);
    if let Some(claim) = object_at(volume, &["spec", "claimRef"]) {
        claim.remove("uid");
        claim.remove("resourceVersion");
    }
}

pub(super) fn release_claim(claim: &mut Value) {
    remove_annotations(claim, &BINDING);
}

/// Keeps the claim's volume where it comes back too, else lets the claim make a new one. Gives what people must know.
pub(super) fn rebind_claim(claim: &mut Value, volumes: &Volumes, restore_volumes: bool) -> String {
    let volume = text_at(claim, &["spec", "volumeName"]).to_owned();
    if restore_volumes && volumes.kept.contains(&volume) {
        return format!("bound to volume {volume} as before, whose data is not in the snapshot");
    }
    if let Some(spec) = object_at(claim, &["spec"]) {
        spec.remove("volumeName");
        if !restore_volumes {
            spec.remove("dataSource");
            spec.remove("dataSourceRef");
        }
    }
    EMPTY_VOLUME.to_owned()
}

/// Claims, volumes and the claim templates of stateful sets.
pub(super) fn map_storage_class(resource: &ResourceName, object: &mut Value, mappings: &BTreeMap<String, String>) {
    match &resource.to_string()[..] {
        "persistentvolumeclaims" | "persistentvolumes" => map_class_of(object, mappings),
        "statefulsets.apps" => {
            let templates = super::array_at(object, &["spec", "volumeClaimTemplates"]);
            templates.into_iter().flatten().for_each(|template| map_class_of(template, mappings));
        }
        _ => {}
    }
}

fn map_class_of(object: &mut Value, mappings: &BTreeMap<String, String>) {
    let mut map = |pointer: &[&str], name: &str| {
        if let Some(Value::String(class)) = object_at(object, pointer).and_then(|fields| fields.get_mut(name))
            && let Some(target) = mappings.get(class)
        {
            class.clone_from(target);
        }
    };
    map(&["spec"], "storageClassName");
    map(&["metadata", "annotations"], BETA_CLASS);
}

fn remove_annotations(object: &mut Value, names: &[&str]) {
    if let Some(annotations) = object_at(object, &["metadata", "annotations"]) {
        for name in names {
            annotations.remove(*name);
        }
    }
}
