//! Fields of built-in kinds that the server lets nobody change: the plan knows without asking.
//!
//! What is missing here is found by the server's dry run, or when the plan is applied.

use serde_json::Value;

use crate::resource::ResourceName;

/// What of an object may not change.
enum Fixed {
    /// These, and all below them.
    Only(&'static [&'static str]),
    /// All below the first, but the others.
    AllOfBut(&'static str, &'static [&'static str]),
}

/// The first of these fields that cannot be changed in place.
pub(super) fn first_fixed<'f>(resource: &ResourceName, live: &Value, fields: &'f [String]) -> Option<&'f str> {
    let fixed = match &resource.to_string()[..] {
        "configmaps" | "secrets" if live.get("immutable") == Some(&Value::Bool(true)) => {
            Fixed::Only(&["data", "binaryData", "immutable", "type"])
        }
        "secrets" => Fixed::Only(&["type"]),
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" => Fixed::Only(&["spec.selector"]),
        "statefulsets.apps" => Fixed::AllOfBut(
            "spec",
            &[
                "spec.replicas",
                "spec.ordinals",
                "spec.template",
                "spec.updateStrategy",
                "spec.revisionHistoryLimit",
                "spec.persistentVolumeClaimRetentionPolicy",
                "spec.minReadySeconds",
            ],
        ),
        "jobs.batch" => Fixed::Only(&["spec.selector", "spec.template.spec", "spec.completionMode"]),
        "controllerrevisions.apps" => Fixed::Only(&["data"]),
        "pods" => Fixed::AllOfBut(
            "spec",
            &[
                "spec.containers",
                "spec.initContainers",
                "spec.activeDeadlineSeconds",
                "spec.tolerations",
                "spec.schedulingGates",
            ],
        ),
        "persistentvolumeclaims" => {
            Fixed::AllOfBut("spec", &["spec.resources", "spec.volumeAttributesClassName", "spec.volumeName"])
        }
        "storageclasses.storage.k8s.io" => {
            Fixed::Only(&["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"])
        }
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            Fixed::Only(&["roleRef"])
        }
        "priorityclasses.scheduling.k8s.io" => Fixed::Only(&["value", "preemptionPolicy"]),
        "ingressclasses.networking.k8s.io" => Fixed::Only(&["spec.controller"]),
        "runtimeclasses.node.k8s.io" => Fixed::Only(&["handler"]),
        "endpointslices.discovery.k8s.io" => Fixed::Only(&["addressType"]),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            Fixed::Only(&["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"])
        }
        _ => return None,
    };
    fields.iter().map(String::as_str).find(|field| fixed.has(field))
}

/// What would be lost with an object that is deleted to be created again; nothing where it is the object alone.
pub(super) fn held_by(resource: &ResourceName) -> Option<&'static str> {
    match &resource.to_string()[..] {
        "namespaces" => Some("everything in the namespace"),
        "customresourcedefinitions.apiextensions.k8s.io" => Some("all objects of its kind"),
        "persistentvolumeclaims" | "persistentvolumes" => Some("the data of the volume"),
        _ => None,
    }
}

impl Fixed {
    fn has(&self, field: &str) -> bool {
        let is_within =
            |root: &str| field.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        match self {
            Self::Only(roots) => roots.iter().any(|root| is_within(root)),
            Self::AllOfBut(root, changeable) => is_within(root) && !changeable.iter().any(|field| is_within(field)),
        }
    }
}
