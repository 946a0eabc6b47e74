//! What is not restored: what belongs to a cluster's own life, what has ended, and what the control plane makes by itself.

use serde_json::Value;

use crate::filter::{FilterError, Globs};
use crate::object::{ObjectKey, text_at};
use crate::resource::ResourceName;

/// Of no use in another cluster, or dangerous there: never restored, and an error where somebody includes one.
pub(crate) const NEVER: [&str; 9] = [
    "nodes",
    "events",
    "events.events.k8s.io",
    "csinodes.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "backups.velero.io",
    "restores.velero.io",
    "resticrepositories.velero.io",
    "backuprepositories.velero.io",
];

/// Resources all of whose objects the control plane or the nodes make.
const CONTROL_PLANE: [&str; 6] = [
    "leases.coordination.k8s.io",
    "leasecandidates.coordination.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
    "ipaddresses.networking.k8s.io",
    "resourceslices.resource.k8s.io",
    "storageversions.internal.apiserver.k8s.io",
];

/// What is restored although the control plane makes it: pairs of patterns of resources and of names.
#[derive(Debug, Default)]
pub(super) struct Named(Vec<(Globs, Globs)>);

impl Named {
    /// `RESOURCE` or `RESOURCE/NAME`.
    pub(super) fn parse(texts: &[String]) -> Result<Self, FilterError> {
        let parse = |text: &String| {
            let (resource, name) = text.split_once('/').unwrap_or((text, "*"));
            Ok((Globs::parse(&[resource.to_owned()])?, Globs::parse(&[name.to_owned()])?))
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn has(&self, key: &ObjectKey) -> bool {
        let is_resource =
            |globs: &Globs| globs.matches(&key.resource.plural) || globs.matches(&key.resource.to_string());
        self.0.iter().any(|(resource, name)| is_resource(resource) && name.matches(&key.name))
    }
}

/// Why an object of the snapshot is not restored; nothing where it is.
pub(super) fn why(key: &ObjectKey, object: &Value, named: &Named) -> Option<String> {
    let resource = key.resource.to_string();
    if NEVER.contains(&&resource[..]) {
        return Some(format!("{resource} are never restored: they belong to the cluster that made them"));
    }
    if let Some(why) = why_ended(&resource, object) {
        return Some(why.to_owned());
    }
    if resource == "apiservices.apiregistration.k8s.io"
        && label(object, "kube-aggregator.kubernetes.io/automanaged").is_some()
    {
        return Some("the API server makes it by itself".to_owned());
    }
    let made_by = made_by(key, &resource, object)?;
    (!named.has(key)).then(|| format!("{made_by} makes it by itself"))
}

/// What is over is not begun again, and a node's own pods come from its files.
fn why_ended(resource: &str, object: &Value) -> Option<&'static str> {
    let has = |path: &[&str]| !text_at(object, path).is_empty();
    match resource {
        "pods" if has(&["metadata", "annotations", "kubernetes.io/config.mirror"]) => {
            Some("it is a mirror pod: a node makes it from a file")
        }
        "pods" if matches!(text_at(object, &["status", "phase"]), "Succeeded" | "Failed") => Some("the pod has ended"),
        "jobs.batch" if has(&["status", "completionTime"]) => Some("the job is complete"),
        _ => None,
    }
}

/// Which part of a cluster makes this object without being asked.
fn made_by(key: &ObjectKey, resource: &str, object: &Value) -> Option<&'static str> {
    const API_SERVER: &str = "the API server";
    const CONTROLLERS: &str = "the controller manager";
    let (namespace, name) = (key.namespace.as_deref().unwrap_or_default(), &key.name[..]);
    let in_system = namespace == "kube-system";
    let if_so = |is_so: bool, maker| is_so.then_some(maker);
    match resource {
        _ if CONTROL_PLANE.contains(&resource) => Some("the control plane"),
        "configmaps" if name == "kube-root-ca.crt" => Some(CONTROLLERS),
        "configmaps" => if_so(
            in_system
                && matches!(
                    name,
                    "extension-apiserver-authentication" | "kube-apiserver-legacy-service-account-token-tracking"
                ),
            API_SERVER,
        ),
        "serviceaccounts" => if_so(name == "default" && is_plain_account(object), CONTROLLERS),
        "secrets" => if_so(
            in_system && text_at(object, &["type"]) == "bootstrap.kubernetes.io/token",
            "the joining of nodes (a bootstrap token)",
        ),
        "services" | "endpoints" | "endpointslices.discovery.k8s.io"
            if namespace == "default" && name == "kubernetes" =>
        {
            Some(API_SERVER)
        }
        "endpoints" => if_so(
            label(object, "endpoints.kubernetes.io/managed-by").is_some() || is_managed_by_controllers(object),
            CONTROLLERS,
        ),
        "endpointslices.discovery.k8s.io" => if_so(
            label(object, "endpointslice.kubernetes.io/managed-by").is_some_and(|by| by.ends_with(".k8s.io")),
            CONTROLLERS,
        ),
        "clusterroles.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
        | "roles.rbac.authorization.k8s.io"
        | "rolebindings.rbac.authorization.k8s.io" => if_so(
            name.starts_with("system:") || label(object, "kubernetes.io/bootstrapping") == Some("rbac-defaults"),
            API_SERVER,
        ),
        "flowschemas.flowcontrol.apiserver.k8s.io" | "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" => {
            if_so(
                matches!(name, "exempt" | "catch-all")
                    || text_at(object, &["metadata", "annotations", "apf.kubernetes.io/autoupdate-spec"]) == "true",
                API_SERVER,
            )
        }
        "priorityclasses.scheduling.k8s.io" => {
            if_so(matches!(name, "system-cluster-critical" | "system-node-critical"), API_SERVER)
        }
        "servicecidrs.networking.k8s.io" => if_so(name == "kubernetes", API_SERVER),
        "namespaces" => if_so(name == "kube-node-lease", API_SERVER),
        _ => None,
    }
}

/// Nobody put anything into it: another cluster makes the same.
fn is_plain_account(object: &Value) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        other => other.is_null(),
    };
    ["/metadata/labels", "/metadata/annotations", "/imagePullSecrets", "/automountServiceAccountToken"]
        .iter()
        .all(|pointer| object.pointer(pointer).is_none_or(is_empty))
}

fn is_managed_by_controllers(object: &Value) -> bool {
    let managers = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    managers.is_some_and(|managers| {
        !managers.is_empty() && managers.iter().all(|entry| text_at(entry, &["manager"]) == "kube-controller-manager")
    })
}

fn label<'o>(object: &'o Value, name: &str) -> Option<&'o str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// Whether objects of this resource are never restored.
pub(crate) fn is_never_restored(resource: &ResourceName) -> bool {
    NEVER.contains(&&resource.to_string()[..])
}
