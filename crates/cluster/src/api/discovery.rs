//! What the server has kinds of: every resource once, in its preferred version.
//!
//! The server tells everything in two aggregated documents; old ones are asked group by group. A group whose own server does not answer
//! is marked stale there: it is asked directly, and reported where that fails too, so that no group vanishes silently. Resources
//! that show the same objects under two groups are taken once.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResourceList, APIVersions};
use kube::client::{APIGroupDiscoveryList, APIResourceDiscovery};
use serde::Deserialize;

use super::error::ApiError;
use super::request::{Call, Query, Transport};
use crate::resource::{Resource, ResourceName};

/// Asks for the aggregated form, and takes the old one.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// Plural, the group it is taken from, and the group that has the same objects.
const SAME_OBJECTS: [(&str, &str, &str); 7] = [
    ("events", "", "events.k8s.io"),
    ("deployments", "apps", "extensions"),
    ("daemonsets", "apps", "extensions"),
    ("replicasets", "apps", "extensions"),
    ("networkpolicies", "networking.k8s.io", "extensions"),
    ("ingresses", "networking.k8s.io", "extensions"),
    ("podsecuritypolicies", "policy", "extensions"),
];

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Discovery {
    /// In the server's order of groups, the core group first.
    pub resources: Vec<ServedResource>,
    pub failed: Vec<FailedGroup>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServedResource {
    pub resource: Resource,
    pub verbs: Vec<String>,
    pub status_subresource: bool,
    pub scale_subresource: bool,
    /// Names of the same objects in other groups.
    pub aliases: Vec<ResourceName>,
}

/// A group in one version whose resources could not be learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedGroup {
    /// `metrics.k8s.io/v1beta1`.
    pub group_version: String,
    pub detail: String,
}

impl ServedResource {
    pub fn has(&self, verb: &str) -> bool {
        self.verbs.iter().any(|it| it == verb)
    }
}

impl Discovery {
    /// By its exact name, or the name that the same objects have in another group.
    pub fn get(&self, name: &ResourceName) -> Option<&ServedResource> {
        let exact = self.resources.iter().find(|it| it.resource.name == *name);
        exact.or_else(|| self.resources.iter().find(|it| it.aliases.contains(name)))
    }

    /// As people write it: plural, singular, kind or short name, in this order, with a group (and a version) or without.
    pub fn find(&self, text: &str) -> Option<&ServedResource> {
        let text = text.to_ascii_lowercase();
        let (word, group) = text.split_once('.').map_or((&text[..], None), |(word, group)| (word, Some(group)));
        let is_called: [fn(&Resource, &str) -> bool; 4] = [
            |resource, word| resource.name.plural == word,
            |resource, word| resource.singular == word,
            |resource, word| resource.kind.eq_ignore_ascii_case(word),
            |resource, word| resource.short_names.iter().any(|it| it == word),
        ];
        let is_in_group = |served: &&ServedResource| {
            group.is_none_or(|group| served.names().any(|name| is_group(group, name, &served.resource)))
        };
        if word.is_empty() {
            return None;
        }
        is_called.iter().find_map(|is_called| {
            self.resources.iter().filter(is_in_group).find(|served| is_called(&served.resource, word))
        })
    }
}

impl ServedResource {
    fn names(&self) -> impl Iterator<Item = &ResourceName> {
        std::iter::once(&self.resource.name).chain(&self.aliases)
    }
}

/// Whether what follows the first dot means this group: `apps`, `v1.apps`, and `v1` for the core group.
fn is_group(text: &str, name: &ResourceName, resource: &Resource) -> bool {
    let is_version = |text: &str| resource.served.iter().any(|version| version == text);
    text == name.group
        || if name.group.is_empty() {
            is_version(text)
        } else {
            text.split_once('.').is_some_and(|(version, group)| is_version(version) && group == name.group)
        }
}

pub(super) async fn discover(transport: &Transport) -> Result<Discovery, ApiError> {
    let mut groups = groups(transport, "/api").await?;
    groups.extend(self::groups(transport, "/apis").await?);
    let mut failed = Vec::new();
    for group in &mut groups {
        for version in &mut group.versions {
            let Contents::Unknown { is_stale } = version.contents else {
                continue;
            };
            let group_version = version.group_version(&group.name);
            let root = if group.name.is_empty() { "/api" } else { "/apis" };
            let call = Call::get(format!("{root}/{group_version}"), Query::default());
            // Of a group that is known not to answer, nobody waits for it to come back.
            let call = if is_stale { call.only_once() } else { call };
            match resources(transport, &call).await {
                Ok(resources) => version.contents = Contents::Known(resources),
                Err(error @ (ApiError::Interrupted { .. } | ApiError::Config { .. } | ApiError::Tls { .. })) => {
                    return Err(error);
                }
                Err(error) => failed.push(FailedGroup { group_version, detail: error.to_string() }),
            }
        }
    }
    Ok(Discovery { resources: assemble(groups), failed })
}

#[derive(Debug, Default)]
struct Group {
    name: String,
    /// The preferred one first.
    versions: Vec<Version>,
}

#[derive(Debug)]
struct Version {
    name: String,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Known(Vec<Found>),
    /// To be asked for.
    Unknown {
        is_stale: bool,
    },
}

/// A resource in one version.
#[derive(Debug, Clone, Default)]
struct Found {
    plural: String,
    singular: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
    short_names: Vec<String>,
    categories: Vec<String>,
    status: bool,
    scale: bool,
}

impl Version {
    fn group_version(&self, group: &str) -> String {
        if group.is_empty() { self.name.clone() } else { format!("{group}/{}", self.name) }
    }
}

async fn groups(transport: &Transport, root: &str) -> Result<Vec<Group>, ApiError> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let call = Call::get(root.to_owned(), Query::default()).accept(ACCEPT);
    let body = transport.call(&call).await?.body;
    let malformed = |error| ApiError::malformed(&call, &error);
    let Kind { kind } = serde_json::from_slice(&body).map_err(malformed)?;
    match &kind[..] {
        "APIGroupDiscoveryList" => Ok(from_aggregated(serde_json::from_slice(&body).map_err(malformed)?)),
        "APIVersions" => {
            let versions: APIVersions = serde_json::from_slice(&body).map_err(malformed)?;
            Ok(vec![Group { name: String::new(), versions: versions.versions.into_iter().map(unknown).collect() }])
        }
        "APIGroupList" => Ok(from_group_list(serde_json::from_slice(&body).map_err(malformed)?)),
        other => {
            let detail = format!("it is no list of API groups, but {other}");
            Err(ApiError::Malformed { request: call.to_string(), detail })
        }
    }
}

async fn resources(transport: &Transport, call: &Call) -> Result<Vec<Found>, ApiError> {
    let body = transport.call(call).await?.body;
    let list: APIResourceList = serde_json::from_slice(&body).map_err(|error| ApiError::malformed(call, &error))?;
    Ok(from_resource_list(list))
}

fn unknown(name: String) -> Version {
    Version { name, contents: Contents::Unknown { is_stale: false } }
}

fn from_aggregated(list: APIGroupDiscoveryList) -> Vec<Group> {
    let mut groups = Vec::with_capacity(list.items.len());
    for group in list.items {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        let mut versions = Vec::with_capacity(group.versions.len());
        for version in group.versions {
            let contents = if version.freshness.as_deref() == Some("Stale") {
                Contents::Unknown { is_stale: true }
            } else {
                Contents::Known(version.resources.into_iter().map(Found::from).collect())
            };
            versions.push(Version { name: version.version.unwrap_or_default(), contents });
        }
        groups.push(Group { name, versions });
    }
    groups
}

impl From<APIResourceDiscovery> for Found {
    fn from(resource: APIResourceDiscovery) -> Self {
        let has = |wanted| resource.subresources.iter().any(|it| it.subresource.as_deref() == Some(wanted));
        Self {
            status: has("status"),
            scale: has("scale"),
            plural: resource.resource.unwrap_or_default(),
            singular: resource.singular_resource.unwrap_or_default(),
            kind: resource.response_kind.and_then(|it| it.kind).unwrap_or_default(),
            namespaced: resource.scope.as_deref() == Some("Namespaced"),
            verbs: resource.verbs,
            short_names: resource.short_names,
            categories: resource.categories,
        }
    }
}

fn from_group_list(list: APIGroupList) -> Vec<Group> {
    let mut groups = Vec::with_capacity(list.groups.len());
    for group in list.groups {
        let preferred = group.preferred_version.map(|it| it.version);
        let mut versions: Vec<String> = group.versions.into_iter().map(|it| it.version).collect();
        versions.sort_by_key(|version| Some(version) != preferred.as_ref());
        groups.push(Group { name: group.name, versions: versions.into_iter().map(unknown).collect() });
    }
    groups
}

fn from_resource_list(list: APIResourceList) -> Vec<Found> {
    let mut resources: Vec<Found> = Vec::new();
    let mut subresources = Vec::new();
    for resource in list.resources {
        if let Some((plural, subresource)) = resource.name.split_once('/') {
            subresources.push((plural.to_owned(), subresource.to_owned()));
            continue;
        }
        resources.push(Found {
            plural: resource.name,
            singular: resource.singular_name,
            kind: resource.kind,
            namespaced: resource.namespaced,
            verbs: resource.verbs,
            short_names: resource.short_names.unwrap_or_default(),
            categories: resource.categories.unwrap_or_default(),
            ..Found::default()
        });
    }
    for found in &mut resources {
        let has = |wanted: &str| subresources.iter().any(|(plural, it)| *plural == found.plural && it == wanted);
        (found.status, found.scale) = (has("status"), has("scale"));
    }
    resources
}

/// Every resource once, in the first version that has it.
fn assemble(groups: Vec<Group>) -> Vec<ServedResource> {
    let mut resources: Vec<ServedResource> = Vec::new();
    let mut places: BTreeMap<ResourceName, usize> = BTreeMap::new();
    for group in groups {
        for version in group.versions {
            let Contents::Known(found) = version.contents else {
                continue;
            };
            for found in found.into_iter().filter(|it| !it.plural.is_empty() && !it.kind.is_empty()) {
                let name = ResourceName::new(found.plural.as_str(), group.name.as_str());
                if let Some(place) = places.get(&name) {
                    resources[*place].resource.served.push(version.name.clone());
                } else {
                    places.insert(name.clone(), resources.len());
                    resources.push(found.served(name, &version.name));
                }
            }
        }
    }
    for (plural, kept, dropped) in SAME_OBJECTS {
        let (kept, dropped) = (ResourceName::new(plural, kept), ResourceName::new(plural, dropped));
        if places.contains_key(&dropped)
            && let Some(place) = places.get(&kept)
        {
            resources[*place].aliases.push(dropped);
        }
    }
    let aliases: Vec<ResourceName> = resources.iter().flat_map(|it| it.aliases.clone()).collect();
    resources.retain(|it| !aliases.contains(&it.resource.name));
    resources
}

impl Found {
    fn served(self, name: ResourceName, version: &str) -> ServedResource {
        // Old servers leave it out.
        let singular = if self.singular.is_empty() { self.kind.to_ascii_lowercase() } else { self.singular };
        let resource = Resource {
            name,
            version: version.to_owned(),
            kind: self.kind,
            singular,
            short_names: self.short_names,
            categories: self.categories,
            namespaced: self.namespaced,
            served: vec![version.to_owned()],
        };
        ServedResource {
            resource,
            verbs: self.verbs,
            status_subresource: self.status,
            scale_subresource: self.scale,
            aliases: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(plural: &str, kind: &str, short: &str) -> String {
        format!(
            r#"{{"resource":"{plural}","responseKind":{{"group":"","version":"","kind":"{kind}"}},"scope":"Namespaced",
            "singularResource":"{}","verbs":["get","list"],"shortNames":["{short}"],"subresources":[{{"subresource":"status"}}]}}"#,
            kind.to_ascii_lowercase()
        )
    }

    type Versions<'a> = &'a [(&'a str, &'a [String])];

    fn discovery(groups: &[(&str, Versions<'_>)]) -> Discovery {
        let groups: Vec<String> = groups
            .iter()
            .map(|(name, versions)| {
                let versions: Vec<String> = versions
                    .iter()
                    .map(|(version, resources)| {
                        format!(
                            r#"{{"version":"{version}","freshness":"Current","resources":[{}]}}"#,
                            resources.join(",")
                        )
                    })
                    .collect();
                format!(r#"{{"metadata":{{"name":"{name}"}},"versions":[{}]}}"#, versions.join(","))
            })
            .collect();
        let list = format!(r#"{{"kind":"APIGroupDiscoveryList","items":[{}]}}"#, groups.join(","));
        Discovery { resources: assemble(from_aggregated(serde_json::from_str(&list).unwrap())), failed: Vec::new() }
    }

    fn example() -> Discovery {
        let pods = resource("pods", "Pod", "po");
        let events = resource("events", "Event", "ev");
        let deployments = resource("deployments", "Deployment", "deploy");
        discovery(&[
            ("", &[("v1", &[pods, events.clone()])]),
            ("extensions", &[("v1beta1", &[deployments.clone(), resource("ingresses", "Ingress", "ing")])]),
            (
                "apps",
                &[
                    ("v1", std::slice::from_ref(&deployments)),
                    ("v1beta2", &[deployments.clone(), resource("old", "Old", "o")]),
                ],
            ),
            ("events.k8s.io", &[("v1", &[events])]),
            ("metrics.k8s.io", &[("v1beta1", &[resource("pods", "PodMetrics", "")])]),
            ("shop.example.com", &[("v1", &[resource("pods", "Pod", "po")])]),
        ])
    }

    #[test]
    fn every_resource_is_there_once_in_the_version_that_the_server_prefers() {
        let discovery = example();
        let names: Vec<String> = discovery.resources.iter().map(|it| it.resource.name.to_string()).collect();
        let expected = [
            "pods",
            "events",
            "ingresses.extensions",
            "deployments.apps",
            "old.apps",
            "pods.metrics.k8s.io",
            "pods.shop.example.com",
        ];
        assert_eq!(names, expected);
        let deployments = discovery.find("deployments").unwrap();
        assert_eq!(deployments.resource.api_version(), "apps/v1");
        assert_eq!(deployments.resource.served, ["v1", "v1beta2"]);
        assert!(deployments.status_subresource && !deployments.scale_subresource);
        assert!(deployments.has("list") && !deployments.has("create"));
        assert_eq!(discovery.find("old").unwrap().resource.served, ["v1beta2"]);
    }

    #[test]
    fn a_resource_is_found_by_every_name_that_people_use() {
        let discovery = example();
        let table = [
            ("pods", "pods"),
            ("pod", "pods"),
            ("Pod", "pods"),
            ("po", "pods"),
            ("pods.v1", "pods"),
            ("PodMetrics", "pods.metrics.k8s.io"),
            ("pods.metrics.k8s.io", "pods.metrics.k8s.io"),
            ("pod.shop.example.com", "pods.shop.example.com"),
            ("pods.v1.shop.example.com", "pods.shop.example.com"),
            ("deploy.apps", "deployments.apps"),
            ("Deployment.v1beta2.apps", "deployments.apps"),
            ("deployments.extensions", "deployments.apps"),
            ("events.events.k8s.io", "events"),
        ];
        for (text, name) in table {
            assert_eq!(discovery.find(text).map(|it| it.resource.name.to_string()).as_deref(), Some(name), "{text}");
        }
        for unknown in ["", "widgets", "pods.apps", "deployments.v2.apps", "."] {
            assert_eq!(discovery.find(unknown), None, "{unknown}");
        }
        assert_eq!(discovery.get(&ResourceName::new("events", "events.k8s.io")), discovery.find("events"));
    }

    #[test]
    fn the_form_of_old_servers_says_the_same() {
        let list = serde_json::from_str(
            r#"{"groupVersion":"apps/v1","resources":[
            {"name":"deployments/status","singularName":"","namespaced":true,"kind":"Deployment","verbs":["get"]},
            {"name":"deployments","singularName":"","namespaced":true,"kind":"Deployment","verbs":["list"],"shortNames":["deploy"]},
            {"name":"deployments/scale","singularName":"","namespaced":true,"kind":"Scale","verbs":["get"]}]}"#,
        );
        let groups = serde_json::from_str(
            r#"{"groups":[{"name":"apps","versions":[{"groupVersion":"apps/v2","version":"v2"},{"groupVersion":"apps/v1","version":"v1"}],
            "preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]}"#,
        );
        let mut groups = from_group_list(groups.unwrap());
        let versions: Vec<&str> = groups[0].versions.iter().map(|it| &it.name[..]).collect();
        assert_eq!(versions, ["v1", "v2"]);
        groups[0].versions[0].contents = Contents::Known(from_resource_list(list.unwrap()));
        let resources = assemble(groups);
        assert_eq!((resources.len(), &resources[0].resource.singular[..]), (1, "deployment"));
        assert!(resources[0].status_subresource && resources[0].scale_subresource && resources[0].has("list"));
    }
}
