//! References to namespaces that are mapped: who writes an object into another namespace means the namespace's own objects there.
//!
//! Rewritten are the subjects of role bindings, the services of webhooks, API services and conversions, and the claims of volumes.
//! Names inside a workload's own configuration (DNS names, environment, fields of custom resources) are not known as references
//! and stay.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{array_at, object_at};
use crate::object::text_at;
use crate::resource::ResourceName;

type Mappings = BTreeMap<String, String>;

/// Rewrites what an object says of namespaces; its own is the caller's.
pub(super) fn map_references(resource: &ResourceName, object: &mut Value, mappings: &Mappings) {
    match &resource.to_string()[..] {
        "namespaces" => {
            let name = text_at(object, &["metadata", "name"]).to_owned();
            if let (Some(target), Some(metadata)) = (mappings.get(&name), object_at(object, &["metadata"])) {
                metadata.insert("name".to_owned(), Value::from(target.as_str()));
                if let Some(Value::String(label)) =
                    metadata.get_mut("labels").and_then(|labels| labels.get_mut("kubernetes.io/metadata.name"))
                {
                    label.clone_from(target);
                }
            }
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            array_at(object, &["subjects"]).into_iter().flatten().for_each(|subject| map_subject(subject, mappings));
        }
        "persistentvolumes" => map_namespace(object, &["spec", "claimRef"], mappings),
        "apiservices.apiregistration.k8s.io" => map_namespace(object, &["spec", "service"], mappings),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            map_namespace(object, &["spec", "conversion", "webhook", "clientConfig", "service"], mappings);
        }
        "mutatingwebhookconfigurations.admissionregistration.k8s.io"
        | "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            for webhook in array_at(object, &["webhooks"]).into_iter().flatten() {
                map_namespace(webhook, &["clientConfig", "service"], mappings);
            }
        }
        "validatingadmissionpolicybindings.admissionregistration.k8s.io"
        | "mutatingadmissionpolicybindings.admissionregistration.k8s.io" => {
            map_namespace(object, &["spec", "paramRef"], mappings);
        }
        _ => {}
    }
}

/// Accounts by kind, or by the names that the server gives their users and groups.
fn map_subject(subject: &mut Value, mappings: &Mappings) {
    match text_at(subject, &["kind"]) {
        "ServiceAccount" => map_namespace(subject, &[], mappings),
        "User" | "Group" => {
            let name = text_at(subject, &["name"]).to_owned();
            let mut parts = name.splitn(4, ':');
            let mapped = match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some("system"), Some("serviceaccount"), Some(namespace), Some(account)) => {
                    mappings.get(namespace).map(|target| format!("system:serviceaccount:{target}:{account}"))
                }
                (Some("system"), Some("serviceaccounts"), Some(namespace), None) => {
                    mappings.get(namespace).map(|target| format!("system:serviceaccounts:{target}"))
                }
                _ => None,
            };
            if let Some(mapped) = mapped {
                subject["name"] = Value::from(mapped);
            }
        }
        _ => {}
    }
}

fn map_namespace(object: &mut Value, path: &[&str], mappings: &Mappings) {
    if let Some(Value::String(namespace)) = object_at(object, path).and_then(|fields| fields.get_mut("namespace"))
        && let Some(target) = mappings.get(namespace)
    {
        namespace.clone_from(target);
    }
}
