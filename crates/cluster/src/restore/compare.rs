//! Whether a live object is what would be written, and the patch that makes it so.
//!
//! Both sides are compared after the same release: what a cluster gives an object by itself is no difference. Snapshots hold whole
//! objects with their defaults, so a field that only one side has is a difference, except null and empty lists and objects, which say
//! nothing. Only names of fields are given, never their values.

use backstay_format::crypto::Keys;
use backstay_format::ids::to_hex;
use serde_json::{Map, Value};

use super::prepare::{PreparedObject, Preparer};
use crate::object::{ObjectKey, text_at};
use crate::resource::ResourceName;

/// More than these are counted only.
const FIELDS_NAMED: usize = 24;

/// Annotations with which deployments and their sets count: they move on with every change of the workload.
const COUNTERS: &str = "deployment.kubernetes.io/";

/// Which fields of a live object differ from the prepared one: `spec.replicas`, `metadata.labels["app.kubernetes.io/name"]`.
pub fn differences(preparer: &Preparer, live: &Value, object: &PreparedObject) -> Vec<String> {
    let resource = &object.target.resource;
    let (live, wanted) = comparable(preparer, resource, live, &object.body);
    let mut fields = Vec::new();
    collect(&mut String::new(), &live, &wanted, &mut fields);
    fields.sort_unstable();
    if fields.len() > FIELDS_NAMED {
        let more = fields.len() - FIELDS_NAMED;
        fields.truncate(FIELDS_NAMED);
        fields.push(format!("and {more} more"));
    }
    fields
}

/// The merge patch (RFC 7386) that changes those fields of the live object and no others.
pub fn merge_patch(preparer: &Preparer, target: &ObjectKey, live: &Value, object: &PreparedObject) -> Value {
    let (comparable_live, wanted) = comparable(preparer, &target.resource, live, &object.body);
    let merged = overlay(live, &comparable_live, &wanted);
    patch_between(live, &merged).unwrap_or_else(|| Value::Object(Map::new()))
}

/// Whether these differences are patched whatever the policy: what a service account has more in the snapshot is added, as in Velero,
/// because the controllers make the account of every new namespace before a restore can.
pub fn is_added(resource: &ResourceName, fields: &[String]) -> bool {
    const ADDED: [&str; 4] = ["metadata.labels", "metadata.annotations", "secrets", "imagePullSecrets"];
    *resource == ResourceName::core("serviceaccounts")
        && fields.iter().all(|field| ADDED.iter().any(|prefix| field.starts_with(prefix)))
}

/// A keyed hash of what is compared of a live object.
pub(super) fn content(preparer: &Preparer, keys: &Keys, resource: &ResourceName, live: &Value) -> String {
    to_hex(&keys.content_hash(released(preparer, resource, live).to_string().as_bytes()))
}

/// Both sides, released.
fn comparable(preparer: &Preparer, resource: &ResourceName, live: &Value, wanted: &Value) -> (Value, Value) {
    let mut live = released(preparer, resource, live);
    let mut wanted = wanted.clone();
    remove_counters(&mut wanted);
    match &resource.to_string()[..] {
        // Which volume a claim got is the cluster's choice, unless the claim asks for one.
        "persistentvolumeclaims" if wanted.pointer("/spec/volumeName").is_none() => {
            if let Some(spec) = live.get_mut("spec").and_then(Value::as_object_mut) {
                spec.remove("volumeName");
            }
        }
        "pods" => {
            name_tokens_alike(&mut live);
            name_tokens_alike(&mut wanted);
        }
        "serviceaccounts" => wanted = with_what_the_cluster_added(&live, wanted),
        _ => {}
    }
    (live, wanted)
}

/// A live object without what the cluster gave it by itself.
fn released(preparer: &Preparer, resource: &ResourceName, live: &Value) -> Value {
    let mut live = live.clone();
    preparer.release(resource, &mut live, &mut Vec::new());
    remove_counters(&mut live);
    live
}

fn remove_counters(object: &mut Value) {
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !name.starts_with(COUNTERS));
    }
}

/// Accounts are merged whatever the policy: what the cluster has stays, and wins.
fn with_what_the_cluster_added(live: &Value, mut wanted: Value) -> Value {
    for pointer in ["/metadata/labels", "/metadata/annotations"] {
        if let (Some(Value::Object(theirs)), Some(Value::Object(ours))) =
            (live.pointer(pointer), wanted.pointer_mut(pointer))
        {
            ours.extend(theirs.clone());
        }
    }
    for name in ["secrets", "imagePullSecrets"] {
        let Some(Value::Array(theirs)) = live.get(name) else { continue };
        let ours = wanted.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let added = ours.into_iter().filter(|entry| !theirs.contains(entry));
        wanted[name] = theirs.iter().cloned().chain(added).collect();
    }
    for (field, value) in live.as_object().into_iter().flatten() {
        if let Some(ours) = wanted.as_object_mut() {
            ours.entry(field.clone()).or_insert_with(|| value.clone());
        }
    }
    if let (Some(theirs), Some(ours)) =
        (live.get("metadata").and_then(Value::as_object), wanted.get_mut("metadata").and_then(Value::as_object_mut))
    {
        for (field, value) in theirs {
            ours.entry(field.clone()).or_insert_with(|| value.clone());
        }
    }
    wanted
}

/// The volume with a pod's token has a random name.
fn name_tokens_alike(pod: &mut Value) {
    const TOKENS: &str = "kube-api-access-";
    let rename = |entry: &mut Value| {
        if text_at(entry, &["name"]).starts_with(TOKENS) {
            entry["name"] = Value::from(TOKENS);
        }
    };
    let Some(spec) = pod.get_mut("spec") else { return };
    spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten().for_each(rename);
    for containers in ["containers", "initContainers"] {
        for container in spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
            let mounts = container.get_mut("volumeMounts").and_then(Value::as_array_mut);
            mounts.into_iter().flatten().for_each(rename);
        }
    }
}

fn collect(path: &mut String, live: &Value, wanted: &Value, fields: &mut Vec<String>) {
    if is_same(live, wanted) {
        return;
    }
    let length = path.len();
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for name in live.keys().chain(wanted.keys().filter(|name| !live.contains_key(*name))) {
                push_name(path, name);
                let (left, right) = (live.get(name), wanted.get(name));
                collect(path, left.unwrap_or(&Value::Null), right.unwrap_or(&Value::Null), fields);
                path.truncate(length);
            }
        }
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            for (index, (left, right)) in live.iter().zip(wanted).enumerate() {
                path.push_str(&format!("[{index}]"));
                collect(path, left, right, fields);
                path.truncate(length);
            }
        }
        _ => fields.push(path.clone()),
    }
}

fn push_name(path: &mut String, name: &str) {
    if name.contains(['.', '/', '[', '"']) {
        path.push_str(&format!("[{name:?}]"));
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    }
}

/// Null, empty and absent say the same.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let is_same_in = |name: &str, value: &Value, other: &Map<String, Value>| match other.get(name) {
                Some(other) => is_same(value, other),
                None => says_nothing(value),
            };
            left.iter().all(|(name, value)| is_same_in(name, value, right))
                && right.iter().all(|(name, value)| left.contains_key(name) || says_nothing(value))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        _ => left == right || (says_nothing(left) && says_nothing(right)),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(says_nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The live object with those parts replaced in which its comparable form differs from what is wanted.
fn overlay(live: &Value, comparable: &Value, wanted: &Value) -> Value {
    if is_same(comparable, wanted) {
        return live.clone();
    }
    match (live, comparable, wanted) {
        (Value::Object(live), Value::Object(comparable), Value::Object(wanted)) => {
            let mut merged = live.clone();
            for name in comparable.keys().filter(|name| !wanted.contains_key(*name)) {
                merged.remove(name);
            }
            for (name, value) in wanted {
                let merged_value = match (live.get(name), comparable.get(name)) {
                    (Some(live), Some(comparable)) => overlay(live, comparable, value),
                    _ => value.clone(),
                };
                merged.insert(name.clone(), merged_value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(comparable), Value::Array(wanted))
            if live.len() == comparable.len() && live.len() == wanted.len() =>
        {
            let parts = live.iter().zip(comparable).zip(wanted);
            parts.map(|((live, comparable), wanted)| overlay(live, comparable, wanted)).collect()
        }
        _ => wanted.clone(),
    }
}

/// The merge patch from one object to another; nothing where they are the same.
fn patch_between(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let mut patch = Map::new();
            for name in from.keys().filter(|name| !to.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            for (name, value) in to {
                let changed = match from.get(name) {
                    Some(old) => patch_between(old, value),
                    None => Some(value.clone()),
                };
                if let Some(changed) = changed {
                    patch.insert(name.clone(), changed);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (from != to).then(|| to.clone()),
    }
}
