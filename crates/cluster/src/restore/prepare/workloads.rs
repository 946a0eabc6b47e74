//! Pods, jobs, and what makes pods.

use serde_json::Value;

use super::{array_at, object_at};
use crate::object::text_at;
use crate::resource::ResourceName;
use crate::restore::options::ImageMapping;

/// Where a resource has a pod's specification.
fn pod_spec_path(resource: &ResourceName) -> Option<&'static [&'static str]> {
    match &resource.to_string()[..] {
        "pods" => Some(&["spec"]),
        "podtemplates" => Some(&["template", "spec"]),
        "deployments.apps"
        | "statefulsets.apps"
        | "daemonsets.apps"
        | "replicasets.apps"
        | "replicationcontrollers"
        | "jobs.batch" => Some(&["spec", "template", "spec"]),
        "cronjobs.batch" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}

/// A pod's place is found anew: its node, the priority of its class, the tokens that were mounted for it.
pub(super) fn release_pod(pod: &mut Value) -> bool {
    let token_prefix = format!("{}-token-", text_at(pod, &["spec", "serviceAccountName"]));
    let Some(spec) = object_at(pod, &["spec"]) else { return false };
    spec.remove("nodeName");
    spec.remove("priority");
    // Computed with the priority: one that differs from the target's class is refused.
    spec.remove("preemptionPolicy");
    let is_token = |entry: &Value| text_at(entry, &["name"]).starts_with(&token_prefix);
    if token_prefix.len() > "-token-".len() {
        if let Some(Value::Array(volumes)) = spec.get_mut("volumes") {
            volumes.retain(|volume| !is_token(volume));
        }
        for containers in ["containers", "initContainers"] {
            for container in spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(mounts) = array_at(container, &["volumeMounts"]) {
                    mounts.retain(|mount| !is_token(mount));
                }
            }
        }
    }
    // A new pod cannot have one: they are added to running pods.
    spec.remove("ephemeralContainers").is_some()
}

/// A job's selector is made by the server, unless its author did it.
pub(super) fn release_job(job: &mut Value) {
    const LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
    if job.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let places: [&[&str]; 3] =
        [&["metadata", "labels"], &["spec", "selector", "matchLabels"], &["spec", "template", "metadata", "labels"]];
    for place in places {
        if let Some(labels) = object_at(job, place) {
            for label in LABELS {
                labels.remove(label);
            }
        }
    }
    let is_empty = job
        .pointer("/spec/selector")
        .and_then(Value::as_object)
        .is_some_and(|selector| selector.values().all(|part| part.as_object().is_some_and(serde_json::Map::is_empty)));
    if is_empty && let Some(spec) = object_at(job, &["spec"]) {
        spec.remove("selector");
    }
}

/// Replaces parts of the images' names, one mapping after another.
pub(super) fn map_images(resource: &ResourceName, object: &mut Value, mappings: &[ImageMapping]) {
    let Some(spec) = pod_spec_path(resource).and_then(|path| object_at(object, path)) else { return };
    for containers in ["containers", "initContainers"] {
        for container in spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::String(image)) = container.get_mut("image") {
                for ImageMapping { from, to } in mappings {
                    *image = image.replace(from, to);
                }
            }
        }
    }
}
