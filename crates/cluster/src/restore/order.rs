//! In which order objects go in: Velero's order, cut into layers.
//!
//! A layer begins when the one before has ended; within a layer only owners count. Volumes go before claims, roles before accounts
//! before bindings, what pods mount before pods, and pods before their controllers, which adopt them. What Velero lists nowhere
//! shares one layer. Whatever can refuse other objects (webhooks, admission policies) goes in last of all.

use crate::resource::ResourceName;

/// Each line is a layer. `*` stands for every resource that no line names.
const LAYERS: &[&[&str]] = &[
    &["customresourcedefinitions.apiextensions.k8s.io"],
    &["namespaces"],
    &["storageclasses.storage.k8s.io", "volumesnapshotclasses.snapshot.storage.k8s.io"],
    &["volumesnapshotcontents.snapshot.storage.k8s.io"],
    &["volumesnapshots.snapshot.storage.k8s.io"],
    &["persistentvolumes"],
    &["persistentvolumeclaims"],
    &["clusterroles.rbac.authorization.k8s.io", "roles.rbac.authorization.k8s.io"],
    &["serviceaccounts"],
    &["clusterrolebindings.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"],
    &["secrets", "configmaps", "limitranges", "priorityclasses.scheduling.k8s.io"],
    &["pods"],
    // A controller finds what it made before: deployments their sets, stateful and daemon sets their revisions.
    &["replicasets.apps", "controllerrevisions.apps"],
    &["clusterclasses.cluster.x-k8s.io"],
    // Before the services whose endpoints would be made anew.
    &["endpoints", "endpointslices.discovery.k8s.io"],
    &["services"],
    &["*"],
    &["clusterbootstraps.run.tanzu.vmware.com"],
    &["clusters.cluster.x-k8s.io"],
    &["clusterresourcesets.addons.cluster.x-k8s.io"],
    &["apps.kappctrl.k14s.io"],
    &["packageinstalls.packaging.carvel.dev"],
    &[
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    ],
];

/// The layer of custom resource definitions: what it brings has to be discovered before the next.
pub const DEFINITIONS: u32 = 0;
pub const NAMESPACES: u32 = 1;

/// Which layer a resource goes in with.
pub fn layer(resource: &ResourceName) -> u32 {
    let name = resource.to_string();
    let of = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    of(&name).or_else(|| of("*")).unwrap_or_default() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_keep_veleros_order() {
        let high = [
            "customresourcedefinitions.apiextensions.k8s.io",
            "namespaces",
            "storageclasses.storage.k8s.io",
            "volumesnapshotclasses.snapshot.storage.k8s.io",
            "volumesnapshotcontents.snapshot.storage.k8s.io",
            "volumesnapshots.snapshot.storage.k8s.io",
            "persistentvolumes",
            "persistentvolumeclaims",
            "clusterroles.rbac.authorization.k8s.io",
            "roles.rbac.authorization.k8s.io",
            "serviceaccounts",
            "clusterrolebindings.rbac.authorization.k8s.io",
            "rolebindings.rbac.authorization.k8s.io",
            "secrets",
            "configmaps",
            "limitranges",
            "priorityclasses.scheduling.k8s.io",
            "pods",
            "replicasets.apps",
            "clusterclasses.cluster.x-k8s.io",
            "endpoints",
            "services",
            "deployments.apps",
            "clusterbootstraps.run.tanzu.vmware.com",
            "clusters.cluster.x-k8s.io",
            "clusterresourcesets.addons.cluster.x-k8s.io",
            "apps.kappctrl.k14s.io",
            "packageinstalls.packaging.carvel.dev",
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
        ];
        let layers = high.map(|name| {
            let Ok(name) = name.parse::<ResourceName>();
            layer(&name)
        });
        assert!(layers.is_sorted(), "{layers:?}");
        assert_eq!((layers[0], layers[1]), (DEFINITIONS, NAMESPACES));
    }

    #[test]
    fn a_resource_that_nobody_lists_goes_between_services_and_the_last_ones() {
        let Ok(custom) = "widgets.example.com".parse();
        let Ok(deployments) = "deployments.apps".parse();
        assert_eq!(layer(&custom), layer(&deployments));
        assert!(layer(&custom) > layer(&ResourceName::core("services")));
    }

    #[test]
    fn what_can_refuse_other_objects_goes_in_last_of_all() {
        let last = LAYERS.len() as u32 - 1;
        for plural in ["mutatingwebhookconfigurations", "validatingadmissionpolicybindings"] {
            assert_eq!(layer(&ResourceName::new(plural, "admissionregistration.k8s.io")), last);
        }
    }
}
