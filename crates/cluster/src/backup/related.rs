//! What chosen objects need: claims their volumes, pods their claims and priority classes, service accounts the cluster's bindings that
//! name them with their roles, custom resources their definitions.
//!
//! It is asked for only where the filters did not choose it anyway. Unlike in Velero a claim brings no pods: it does not need them, and
//! looking for them is what makes large backups slow there.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Shared;
use super::entry::{find, key_below_resource};
use super::take::{Seen, Taken, Worker};
use crate::error::Result;
use crate::object::{Head, ObjectKey};
use crate::resource::{Resource, ResourceName};

const RBAC: &str = "rbac.authorization.k8s.io";
/// So many objects are fetched one by one; more are picked from a list.
const FETCHES_MAX: usize = 64;

/// Groups that the server itself has: no definitions are looked for.
const BUILT_IN_GROUPS: [&str; 22] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    RBAC,
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Which links are worth following in this run.
#[derive(Debug, Clone, Default)]
pub(super) struct Wants {
    pub(super) claims: Option<Resource>,
    pub(super) volumes: Option<Resource>,
    pub(super) priority_classes: Option<Resource>,
    pub(super) bindings: Option<Resource>,
    pub(super) roles: Option<Resource>,
    pub(super) definitions: Option<Resource>,
}

/// What objects name: namespace and name.
#[derive(Debug, Default)]
pub(super) struct Links {
    claims: BTreeSet<(String, String)>,
    volumes: BTreeSet<String>,
    priority_classes: BTreeSet<String>,
    accounts: BTreeSet<(String, String)>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Pod {
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    volumes: Vec<Volume>,
    priority_class_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Volume {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Claim {
    spec: ClaimSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSpec {
    volume_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Binding {
    subjects: Vec<Subject>,
    role_ref: RoleRef,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RoleRef {
    kind: String,
    name: String,
}

impl Links {
    /// Notes what this object needs. What cannot be read needs nothing: the server has taken the object as it is.
    pub(super) fn read(&mut self, key: &ObjectKey, object: &[u8], wants: &Wants) {
        let Some(namespace) = &key.namespace else { return };
        let in_namespace = |name: &str| (namespace.clone(), name.to_owned());
        let is = |plural: &str| key.resource.is_core(plural);
        if is("pods") && (wants.claims.is_some() || wants.priority_classes.is_some()) {
            let Pod { spec } = serde_json::from_slice(object).unwrap_or_default();
            for volume in spec.volumes {
                match (volume.persistent_volume_claim, volume.ephemeral) {
                    (Some(claim), _) => {
                        self.claims.insert(in_namespace(&claim.claim_name));
                    }
                    (None, Some(_)) => {
                        self.claims.insert(in_namespace(&format!("{}-{}", key.name, volume.name)));
                    }
                    (None, None) => {}
                }
            }
            self.priority_classes.extend(Some(spec.priority_class_name).filter(|name| !name.is_empty()));
        } else if is("persistentvolumeclaims") && wants.volumes.is_some() {
            let Claim { spec } = serde_json::from_slice(object).unwrap_or_default();
            self.volumes.extend(Some(spec.volume_name).filter(|name| !name.is_empty()));
        } else if is("serviceaccounts") && wants.bindings.is_some() {
            self.accounts.insert(in_namespace(&key.name));
        }
    }

    pub(super) fn merge(&mut self, mut other: Self) {
        self.claims.append(&mut other.claims);
        self.volumes.append(&mut other.volumes);
        self.priority_classes.append(&mut other.priority_classes);
        self.accounts.append(&mut other.accounts);
    }
}

impl Wants {
    /// `is_whole`: all objects of the resource are listed without a selector, so that nothing can be missing.
    pub(super) fn new(
        find: &dyn Fn(&ResourceName) -> Option<Resource>,
        may_come_along: &dyn Fn(&Resource) -> bool,
        is_whole: &dyn Fn(&ResourceName) -> bool,
    ) -> Self {
        let wanted = |plural: &str, group: &str| {
            let name = ResourceName::new(plural, group);
            find(&name).filter(|resource| may_come_along(resource) && !is_whole(&resource.name))
        };
        Self {
            claims: wanted("persistentvolumeclaims", ""),
            volumes: wanted("persistentvolumes", ""),
            priority_classes: wanted("priorityclasses", "scheduling.k8s.io"),
            bindings: wanted("clusterrolebindings", RBAC),
            roles: wanted("clusterroles", RBAC),
            definitions: wanted("customresourcedefinitions", "apiextensions.k8s.io"),
        }
    }
}

/// Fetches what the objects taken so far need and was not chosen, and adds it to them.
pub(super) fn follow(shared: &Shared<'_>, worker: &mut Worker<'_, '_>, all: &mut Vec<Taken>) -> Result<()> {
    let wants = &shared.wants;
    let mut links = Links::default();
    for taken in all.iter_mut() {
        links.merge(std::mem::take(&mut taken.links));
    }
    if let Some(claims) = &wants.claims {
        let names = links.claims.iter().filter(|(namespace, _)| shared.choice.may_come_along(claims, Some(namespace)));
        let names = names.map(|(namespace, name)| (Some(namespace.clone()), name.clone())).collect();
        let mut taken = get(worker, all, claims, names, "a pod mounts it")?;
        // Claims that came along bring their volumes too.
        links.merge(std::mem::take(&mut taken.links));
        add(all, taken);
    }
    let of_the_cluster = |names: BTreeSet<String>| names.into_iter().map(|name| (None, name)).collect();
    if let Some(volumes) = &wants.volumes {
        let taken = get(worker, all, volumes, of_the_cluster(links.volumes), "a claim is bound to it")?;
        add(all, taken);
    }
    if let Some(classes) = &wants.priority_classes {
        let taken = get(worker, all, classes, of_the_cluster(links.priority_classes), "a pod has this priority")?;
        add(all, taken);
    }
    if let Some(bindings) = wants.bindings.as_ref().filter(|_| !links.accounts.is_empty()) {
        let mut roles = BTreeSet::new();
        let taken = {
            let present = entries_of(all, bindings);
            worker.pick(bindings, &mut |head, object| {
                let binding: Binding = serde_json::from_slice(object).unwrap_or_default();
                if !names_one_of(&binding, &links.accounts) {
                    return false;
                }
                if binding.role_ref.kind == "ClusterRole" {
                    roles.insert(binding.role_ref.name);
                }
                !is_present(present, bindings, None, &head.metadata.name)
            })?
        };
        add(all, taken);
        if let Some(resource) = &wants.roles {
            let taken = get(worker, all, resource, of_the_cluster(roles), "a binding gives it to a service account")?;
            add(all, taken);
        }
    }
    if let Some(definitions) = &wants.definitions {
        let custom = all.iter().filter(|taken| !taken.entries.is_empty()).map(|taken| &taken.resource.name);
        let custom = custom.filter(|name| !name.group.is_empty() && !BUILT_IN_GROUPS.contains(&&name.group[..]));
        let names = custom.map(ToString::to_string).collect();
        let mut taken =
            get(worker, all, definitions, of_the_cluster(names), "objects of this kind are in the snapshot")?;
        // An aggregated API has no definition.
        taken.ledger.retain(|entry| entry.reason != "missing");
        add(all, taken);
    }
    Ok(())
}

/// Fetches those objects that are not there yet.
fn get(
    worker: &mut Worker<'_, '_>,
    all: &[Taken],
    resource: &Resource,
    mut names: Vec<(Option<String>, String)>,
    why: &str,
) -> Result<Taken> {
    let present = entries_of(all, resource);
    names.retain(|(namespace, name)| !is_present(present, resource, namespace.as_deref(), name));
    if names.len() <= FETCHES_MAX || resource.namespaced {
        return worker.fetch(resource, &names, Seen::Related, why);
    }
    let names: BTreeSet<String> = names.into_iter().map(|(_, name)| name).collect();
    worker.pick(resource, &mut |head: &Head, _| names.contains(&head.metadata.name))
}

fn names_one_of(binding: &Binding, accounts: &BTreeSet<(String, String)>) -> bool {
    binding.subjects.iter().any(|subject| match &subject.kind[..] {
        "ServiceAccount" => accounts.contains(&(subject.namespace.clone(), subject.name.clone())),
        "Group" => match subject.name.strip_prefix("system:serviceaccounts") {
            Some("") => true,
            Some(rest) => rest
                .strip_prefix(':')
                .is_some_and(|namespace| accounts.iter().any(|(of_account, _)| of_account == namespace)),
            None => false,
        },
        _ => false,
    })
}

fn entries_of<'a>(all: &'a [Taken], resource: &Resource) -> Option<&'a Taken> {
    all.iter().find(|taken| taken.resource.name == resource.name)
}

fn is_present(taken: Option<&Taken>, resource: &Resource, namespace: Option<&str>, name: &str) -> bool {
    let key = key_below_resource(&ObjectKey::new(resource.name.clone(), namespace, name));
    taken.is_some_and(|taken| find(&taken.entries, &key).is_some())
}

fn add(all: &mut Vec<Taken>, taken: Taken) {
    match all.iter_mut().find(|it| it.resource.name == taken.resource.name) {
        Some(there) => {
            there.merge(taken);
            there.sort();
        }
        None if taken.entries.is_empty() && taken.ledger.is_empty() && taken.filtered.is_empty() => {}
        None => all.push(taken),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(name: &str) -> Resource {
        let Ok(name) = name.parse::<ResourceName>();
        Resource {
            kind: String::new(),
            version: "v1".to_owned(),
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: false,
            served: Vec::new(),
            name,
        }
    }

    #[test]
    fn links_are_read_from_what_an_object_names() {
        let wants = Wants::new(&|name| Some(resource(&name.to_string())), &|_| true, &|_| false);
        let mut links = Links::default();
        let mut read = |plural: &str, name: &str, object: serde_json::Value| {
            let key = ObjectKey::new(ResourceName::core(plural), Some("shop"), name);
            links.read(&key, object.to_string().as_bytes(), &wants);
        };
        let volumes = json!([
            { "name": "data", "persistentVolumeClaim": { "claimName": "db" } },
            { "name": "scratch", "ephemeral": { "volumeClaimTemplate": {} } },
            { "name": "config", "configMap": { "name": "c" } },
        ]);
        read("pods", "db-0", json!({ "spec": { "volumes": volumes, "priorityClassName": "high" } }));
        read("persistentvolumeclaims", "db", json!({ "spec": { "volumeName": "pv-1" } }));
        read("persistentvolumeclaims", "pending", json!({ "spec": {} }));
        read("serviceaccounts", "web", json!({}));
        let pairs =
            |names: &[&str]| names.iter().map(|name| ("shop".to_owned(), (*name).to_owned())).collect::<BTreeSet<_>>();
        assert_eq!(links.claims, pairs(&["db", "db-0-scratch"]));
        assert_eq!(links.volumes, BTreeSet::from(["pv-1".to_owned()]));
        assert_eq!(links.priority_classes, BTreeSet::from(["high".to_owned()]));
        assert_eq!(links.accounts, pairs(&["web"]));
    }

    #[test]
    fn a_binding_counts_where_it_names_an_account_or_its_groups() {
        let accounts = BTreeSet::from([("shop".to_owned(), "web".to_owned())]);
        let rows = [
            (json!({ "kind": "ServiceAccount", "namespace": "shop", "name": "web" }), true),
            (json!({ "kind": "ServiceAccount", "namespace": "shop", "name": "api" }), false),
            (json!({ "kind": "ServiceAccount", "namespace": "other", "name": "web" }), false),
            (json!({ "kind": "Group", "name": "system:serviceaccounts" }), true),
            (json!({ "kind": "Group", "name": "system:serviceaccounts:shop" }), true),
            (json!({ "kind": "Group", "name": "system:serviceaccounts:other" }), false),
            (json!({ "kind": "Group", "name": "system:authenticated" }), false),
            (json!({ "kind": "User", "name": "web" }), false),
        ];
        for (subject, expected) in rows {
            let binding: Binding = serde_json::from_value(json!({ "subjects": [subject] })).unwrap();
            assert_eq!(names_one_of(&binding, &accounts), expected, "{subject}");
        }
    }

    #[test]
    fn what_is_listed_in_whole_is_not_asked_for_again() {
        let wants =
            Wants::new(&|name| Some(resource(&name.to_string())), &|it| it.name.plural != "clusterroles", &|name| {
                name.plural == "persistentvolumes"
            });
        assert!(wants.volumes.is_none() && wants.roles.is_none());
        assert!(wants.claims.is_some() && wants.definitions.is_some());
    }
}
