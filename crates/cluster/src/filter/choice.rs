//! What filters mean in one cluster: which resources are listed, which objects are taken, and which may come along.
//!
//! Where this differs from Velero: a namespace that carries the exclude label is left out, but does not make "all namespaces" into
//! "some" (there, one labelled namespace silently takes all of the cluster's own objects out of the backup); and snapshots of volumes
//! (`volumesnapshots`, `volumesnapshotcontents`) are objects like others.

use std::collections::{BTreeMap, BTreeSet};

use super::{EVERYTHING, EXCLUDE_LABEL, FilterError, Filters, Globs, LabelSelector};
use crate::object::Head;
use crate::resource::{Resource, ResourceName};

/// Filters, resolved.
#[derive(Debug, Clone)]
pub struct Choice {
    included: Globs,
    excluded: Globs,
    /// Namespaces with the exclude label.
    labelled: BTreeSet<String>,
    family: Family,
    selectors: Vec<LabelSelector>,
}

/// Why an object is left out; the names are what a ledger counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    ExcludeLabel,
    ExcludedNamespace,
    BeingDeleted,
    /// Of a namespace: its phase.
    NotActive,
    Selector,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Self::ExcludeLabel => EXCLUDE_LABEL,
            Self::ExcludedNamespace => "namespaces",
            Self::BeingDeleted => "deletionTimestamp",
            Self::NotActive => "namespace-not-active",
            Self::Selector => "selector",
        }
    }
}

/// What a rule must know of a namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamespaceFacts {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `Active` or `Terminating`.
    pub phase: String,
}

#[derive(Debug, Clone)]
enum Family {
    /// Included and excluded resources of any scope.
    Any { resources: Names, cluster_resources: Option<bool> },
    /// By scope.
    Scoped { cluster: Names, namespaced: Names },
}

#[derive(Debug, Clone)]
struct Names {
    included: Included,
    excludes_all: bool,
    excluded: BTreeSet<ResourceName>,
}

#[derive(Debug, Clone)]
enum Included {
    /// Nobody said.
    Unset,
    Everything,
    Only(BTreeSet<ResourceName>),
}

impl Choice {
    /// `resolve` finds a resource by any of its names. What it does not find is told in the notes; an included one then chooses nothing.
    pub fn new(
        filters: &Filters,
        resolve: &dyn Fn(&str) -> Option<Resource>,
        namespaces: &[NamespaceFacts],
    ) -> Result<(Self, Vec<String>), FilterError> {
        filters.check()?;
        let mut notes = Vec::new();
        let mut names = |included: &[String], excluded: &[String], namespaced: Option<bool>| {
            Names::new(included, excluded, namespaced, resolve, &mut notes)
        };
        let family = if filters.uses_scopes() {
            let (included, excluded) =
                (&filters.included_cluster_scoped_resources, &filters.excluded_cluster_scoped_resources);
            let cluster = names(included, excluded, Some(false));
            let (included, excluded) =
                (&filters.included_namespace_scoped_resources, &filters.excluded_namespace_scoped_resources);
            Family::Scoped { cluster, namespaced: names(included, excluded, Some(true)) }
        } else {
            let resources = names(&filters.included_resources, &filters.excluded_resources, None);
            Family::Any { resources, cluster_resources: filters.include_cluster_resources }
        };
        let (included, excluded) =
            (Globs::parse(&filters.included_namespaces)?, Globs::parse(&filters.excluded_namespaces)?);
        for pattern in included.wildcards().filter(|pattern| *pattern != EVERYTHING) {
            let glob = Globs::parse(&[pattern.to_owned()])?;
            if !namespaces.iter().any(|namespace| glob.matches(&namespace.name)) {
                notes.push(format!("no namespace matches {pattern}"));
            }
        }
        let labelled = namespaces.iter().filter(|namespace| has_exclude_label(&namespace.labels));
        let labelled = labelled.map(|namespace| namespace.name.clone()).collect();
        Ok((Self { included, excluded, labelled, family, selectors: filters.selectors() }, notes))
    }

    /// Whether no filter narrows the namespaces.
    pub fn is_every_namespace(&self) -> bool {
        self.includes_every_namespace() && self.excluded.is_empty()
    }

    /// Whether namespaces are at most taken away: one list of the whole cluster then does for all.
    pub fn includes_every_namespace(&self) -> bool {
        self.included.is_empty() || self.included.patterns() == [EVERYTHING]
    }

    /// Namespaces that were included by their name.
    pub fn named_namespaces(&self) -> impl Iterator<Item = &str> {
        self.included.literals()
    }

    /// One of these has to match, where there are any. Objects that come along are not asked.
    pub fn selectors(&self) -> &[LabelSelector] {
        &self.selectors
    }

    pub fn has_namespace(&self, name: &str) -> bool {
        self.leaves_out_namespace(name).is_none()
    }

    /// Whether the resource is listed.
    pub fn lists(&self, resource: &Resource) -> bool {
        let is_namespaces = is_namespaces(&resource.name);
        match &self.family {
            Family::Any { resources, cluster_resources } => {
                let by_scope = resource.namespaced
                    || match cluster_resources {
                        Some(wanted) => *wanted,
                        None => is_namespaces || self.is_every_namespace(),
                    };
                by_scope && resources.includes(&resource.name)
            }
            Family::Scoped { namespaced, .. } if resource.namespaced => namespaced.includes(&resource.name),
            Family::Scoped { cluster, namespaced } => {
                if cluster.excludes(&resource.name) {
                    return false;
                }
                is_namespaces
                    || match &cluster.included {
                        Included::Unset => {
                            cluster.excluded.is_empty() && namespaced.is_everything() && self.is_every_namespace()
                        }
                        Included::Everything => true,
                        Included::Only(names) => names.contains(&resource.name),
                    }
            }
        }
    }

    /// Whether an object that a chosen one needs may come along: of the cluster unless it is excluded, of a namespace where it could have
    /// been chosen itself.
    pub fn may_come_along(&self, resource: &Resource, namespace: Option<&str>) -> bool {
        if let Some(namespace) = namespace {
            return self.has_namespace(namespace) && self.lists(resource);
        }
        match &self.family {
            Family::Any { resources, cluster_resources } => {
                *cluster_resources != Some(false) && !resources.excludes(&resource.name)
            }
            Family::Scoped { cluster, .. } => !cluster.excludes(&resource.name),
        }
    }

    /// Why an object that was listed, or fetched to come along, is left out.
    pub fn leaves_out(&self, object: &Head) -> Option<Rule> {
        let metadata = &object.metadata;
        if has_exclude_label(&metadata.labels) {
            Some(Rule::ExcludeLabel)
        } else if metadata.deletion_timestamp.is_some() {
            Some(Rule::BeingDeleted)
        } else {
            metadata.namespace.as_deref().and_then(|namespace| self.leaves_out_namespace(namespace))
        }
    }

    /// The same for a Namespace; `has_objects`: something in it was taken.
    pub fn leaves_out_namespace_object(&self, namespace: &NamespaceFacts, has_objects: bool) -> Option<Rule> {
        if let Some(rule) = self.leaves_out_namespace(&namespace.name) {
            return Some(rule);
        }
        if namespace.phase != "Active" && !namespace.phase.is_empty() {
            return Some(Rule::NotActive);
        }
        let is_selected = self.selectors.is_empty() || self.selectors.iter().any(|it| it.matches(&namespace.labels));
        // Whoever names namespaces means them; a selector alone takes those that match, and those that hold something that does.
        (!is_selected && !has_objects && self.is_every_namespace()).then_some(Rule::Selector)
    }

    /// By the names alone.
    fn names_namespace(&self, name: &str) -> bool {
        (self.included.is_empty() || self.included.matches(name)) && !self.excluded.matches(name)
    }

    fn leaves_out_namespace(&self, name: &str) -> Option<Rule> {
        if self.names_namespace(name) {
            self.labelled.contains(name).then_some(Rule::ExcludeLabel)
        } else {
            Some(Rule::ExcludedNamespace)
        }
    }
}

impl Names {
    fn new(
        included: &[String],
        excluded: &[String],
        namespaced: Option<bool>,
        resolve: &dyn Fn(&str) -> Option<Resource>,
        notes: &mut Vec<String>,
    ) -> Self {
        let mut resolved = |names: &[String]| {
            let mut set = BTreeSet::new();
            for name in names.iter().filter(|name| *name != EVERYTHING) {
                match resolve(name) {
                    None => notes.push(format!("the cluster has no resource {name}")),
                    Some(resource) if namespaced.is_some_and(|namespaced| namespaced != resource.namespaced) => {
                        let scope = if resource.namespaced { "in namespaces" } else { "of the whole cluster" };
                        notes.push(format!("{name} is {scope}, and means nothing in a list of the other scope"));
                    }
                    Some(resource) => {
                        set.insert(resource.name);
                    }
                }
            }
            set
        };
        Self {
            included: match included {
                [] => Included::Unset,
                [one] if one == EVERYTHING => Included::Everything,
                names => Included::Only(resolved(names)),
            },
            excludes_all: excluded.iter().any(|it| it == EVERYTHING),
            excluded: resolved(excluded),
        }
    }

    fn excludes(&self, name: &ResourceName) -> bool {
        self.excludes_all || self.excluded.contains(name)
    }

    fn includes(&self, name: &ResourceName) -> bool {
        !self.excludes(name)
            && match &self.included {
                Included::Unset | Included::Everything => true,
                Included::Only(names) => names.contains(name),
            }
    }

    fn is_everything(&self) -> bool {
        !matches!(self.included, Included::Only(_)) && !self.excludes_all && self.excluded.is_empty()
    }
}

fn is_namespaces(name: &ResourceName) -> bool {
    name.group.is_empty() && name.plural == "namespaces"
}

fn has_exclude_label(labels: &BTreeMap<String, String>) -> bool {
    labels.get(EXCLUDE_LABEL).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Resources as discovery gives them: name, kind, short name, whether they are in namespaces.
    const RESOURCES: &[(&str, &str, &str, bool)] = &[
        ("pods", "Pod", "po", true),
        ("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", true),
        ("persistentvolumes", "PersistentVolume", "pv", false),
        ("namespaces", "Namespace", "ns", false),
        ("nodes", "Node", "no", false),
        ("deployments.apps", "Deployment", "deploy", true),
        ("volumesnapshots.snapshot.storage.k8s.io", "VolumeSnapshot", "vs", true),
        ("customresourcedefinitions.apiextensions.k8s.io", "CustomResourceDefinition", "crd", false),
    ];

    fn resource(text: &str) -> Option<Resource> {
        let (name, kind, short, namespaced) = RESOURCES.iter().find(|(name, kind, short, _)| {
            let plural = name.split('.').next().unwrap_or_default();
            [*name, plural, *short].contains(&text) || kind.eq_ignore_ascii_case(text)
        })?;
        let Ok(name) = name.parse();
        Some(Resource {
            name,
            version: "v1".to_owned(),
            kind: (*kind).to_owned(),
            singular: kind.to_lowercase(),
            short_names: vec![(*short).to_owned()],
            categories: Vec::new(),
            namespaced: *namespaced,
            served: Vec::new(),
        })
    }

    fn namespaces() -> Vec<NamespaceFacts> {
        let labelled = |name: &str, label: &str, value: &str| NamespaceFacts {
            name: name.to_owned(),
            labels: BTreeMap::from([(label.to_owned(), value.to_owned())]),
            phase: "Active".to_owned(),
        };
        vec![
            labelled("shop", "team", "a"),
            labelled("shop-test", "team", "b"),
            labelled("scratch", EXCLUDE_LABEL, "true"),
            NamespaceFacts { phase: "Terminating".to_owned(), ..labelled("old", "team", "a") },
        ]
    }

    fn choice(filters: &serde_json::Value) -> (Choice, Vec<String>) {
        let filters: Filters = serde_json::from_value(filters.clone()).unwrap();
        Choice::new(&filters, &resource, &namespaces()).unwrap()
    }

    /// What is listed, by short names.
    fn listed(filters: &serde_json::Value) -> String {
        let (choice, _) = choice(filters);
        let names = RESOURCES.iter().filter(|(name, ..)| choice.lists(&resource(name).unwrap()));
        names.map(|(_, _, short, _)| *short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_situation_lists_what_velero_lists() {
        let rows = [
            // Nothing said; snapshots of volumes are objects here, which Velero leaves out.
            (json!({}), "po pvc pv ns no deploy vs crd"),
            (json!({ "includedNamespaces": ["*"] }), "po pvc pv ns no deploy vs crd"),
            // Old family: the cluster's own objects come with all namespaces only.
            (json!({ "includedNamespaces": ["shop"] }), "po pvc ns deploy vs"),
            (json!({ "includedNamespaces": ["shop*"] }), "po pvc ns deploy vs"),
            (json!({ "excludedNamespaces": ["shop"] }), "po pvc ns deploy vs"),
            (json!({ "includeClusterResources": false }), "po pvc deploy vs"),
            (json!({ "includedNamespaces": ["shop"], "includeClusterResources": false }), "po pvc deploy vs"),
            (
                json!({ "includedNamespaces": ["shop"], "includeClusterResources": true }),
                "po pvc pv ns no deploy vs crd",
            ),
            // Resources by any of their names, of any scope.
            (json!({ "includedResources": ["po", "deployments.apps", "PersistentVolume"] }), "po pv deploy"),
            (json!({ "includedResources": ["*"], "excludedResources": ["no"] }), "po pvc pv ns deploy vs crd"),
            (json!({ "includedResources": ["pv"], "includedNamespaces": ["shop"] }), ""),
            (
                json!({ "includedResources": ["pv"], "includeClusterResources": true, "includedNamespaces": ["shop"] }),
                "pv",
            ),
            (json!({ "excludedResources": ["volumesnapshots", "po"] }), "pvc pv ns no deploy crd"),
            // What is not there chooses nothing, and excludes nothing.
            (json!({ "includedResources": ["unicorns"] }), ""),
            (json!({ "includedResources": ["unicorns", "po"] }), "po"),
            (json!({ "excludedResources": ["unicorns"] }), "po pvc pv ns no deploy vs crd"),
            // New family: everything of the cluster only where nothing is narrowed; namespaces always.
            (json!({ "includedNamespaceScopedResources": ["*"] }), "po pvc pv ns no deploy vs crd"),
            (
                json!({ "includedNamespaceScopedResources": ["*"], "includedNamespaces": ["shop"] }),
                "po pvc ns deploy vs",
            ),
            (json!({ "includedNamespaceScopedResources": ["po"] }), "po ns"),
            (json!({ "excludedNamespaceScopedResources": ["po"] }), "pvc ns deploy vs"),
            (json!({ "excludedNamespaceScopedResources": ["*"] }), "ns"),
            (json!({ "includedClusterScopedResources": ["no"] }), "po pvc ns no deploy vs"),
            (json!({ "includedClusterScopedResources": ["*"] }), "po pvc pv ns no deploy vs crd"),
            (
                json!({ "includedClusterScopedResources": ["*"], "excludedClusterScopedResources": ["no"] }),
                "po pvc pv ns deploy vs crd",
            ),
            (
                json!({ "includedClusterScopedResources": ["*"], "includedNamespaces": ["shop"] }),
                "po pvc pv ns no deploy vs crd",
            ),
            (json!({ "excludedClusterScopedResources": ["no"] }), "po pvc ns deploy vs"),
            (json!({ "excludedClusterScopedResources": ["*"] }), "po pvc deploy vs"),
            (json!({ "includedClusterScopedResources": ["no"], "excludedNamespaceScopedResources": ["*"] }), "ns no"),
            // A name of the other scope chooses nothing.
            (json!({ "includedNamespaceScopedResources": ["no"] }), "ns"),
        ];
        for (filters, expected) in rows {
            assert_eq!(listed(&filters), expected, "{filters}");
        }
    }

    #[test]
    fn what_is_needed_comes_along_unless_it_was_excluded() {
        let rows = [
            (json!({}), "pv", None, true),
            (json!({ "includedNamespaces": ["shop"] }), "pv", None, true),
            (json!({ "includedResources": ["pvc"] }), "pv", None, true),
            (json!({ "excludedResources": ["pv"] }), "pv", None, false),
            (json!({ "includeClusterResources": false }), "pv", None, false),
            (json!({ "includedNamespaceScopedResources": ["pvc"] }), "pv", None, true),
            (json!({ "includedClusterScopedResources": ["no"] }), "pv", None, true),
            (json!({ "excludedClusterScopedResources": ["pv"] }), "pv", None, false),
            (json!({ "excludedClusterScopedResources": ["*"] }), "crd", None, false),
            // Of a namespace: only what the other filters would choose too.
            (json!({ "labelSelector": "app=web" }), "pvc", Some("shop"), true),
            (json!({ "includedResources": ["po"] }), "pvc", Some("shop"), false),
            (json!({ "includedNamespaces": ["shop"] }), "pvc", Some("shop-test"), false),
            (json!({}), "pvc", Some("scratch"), false),
        ];
        for (filters, name, namespace, expected) in rows {
            let resource = resource(name).unwrap();
            assert_eq!(choice(&filters).0.may_come_along(&resource, namespace), expected, "{filters} {name}");
        }
    }

    #[test]
    fn objects_are_left_out_by_label_namespace_and_deletion() {
        let rows = [
            (json!({}), json!({ "namespace": "shop" }), None),
            (json!({}), json!({ "namespace": "shop", "labels": { EXCLUDE_LABEL: "true" } }), Some(Rule::ExcludeLabel)),
            (json!({}), json!({ "namespace": "shop", "labels": { EXCLUDE_LABEL: "True" } }), None),
            (json!({}), json!({ "namespace": "scratch" }), Some(Rule::ExcludeLabel)),
            // The label is stronger than a namespace's name, and than a selector that matches.
            (json!({ "includedNamespaces": ["scratch"] }), json!({ "namespace": "scratch" }), Some(Rule::ExcludeLabel)),
            (json!({}), json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" }), Some(Rule::BeingDeleted)),
            (json!({ "excludedNamespaces": ["shop"] }), json!({ "namespace": "shop" }), Some(Rule::ExcludedNamespace)),
            (
                json!({ "excludedNamespaces": ["shop-*"] }),
                json!({ "namespace": "shop-test" }),
                Some(Rule::ExcludedNamespace),
            ),
            (
                json!({ "includedNamespaces": ["shop-*"] }),
                json!({ "namespace": "shop" }),
                Some(Rule::ExcludedNamespace),
            ),
        ];
        for (filters, metadata, expected) in rows {
            let head: Head = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            assert_eq!(choice(&filters).0.leaves_out(&head), expected, "{filters} {metadata}");
        }
    }

    #[test]
    fn namespaces_go_in_by_name_by_label_or_for_what_they_hold() {
        let rows = [
            // Filters, namespace, whether something in it was taken.
            (json!({}), "shop", false, None),
            (json!({}), "scratch", false, Some(Rule::ExcludeLabel)),
            (json!({}), "old", true, Some(Rule::NotActive)),
            (json!({ "includedNamespaces": ["shop"] }), "shop-test", false, Some(Rule::ExcludedNamespace)),
            (json!({ "labelSelector": "team=a" }), "shop", false, None),
            (json!({ "labelSelector": "team=a" }), "shop-test", false, Some(Rule::Selector)),
            (json!({ "labelSelector": "team=a" }), "shop-test", true, None),
            (json!({ "orLabelSelectors": ["team=c", "team=b"] }), "shop-test", false, None),
            (json!({ "orLabelSelectors": ["team=c", "team=b"] }), "shop", false, Some(Rule::Selector)),
            // Named ones go in whatever their labels are.
            (json!({ "includedNamespaces": ["shop*"], "labelSelector": "team=b" }), "shop", false, None),
        ];
        for (filters, name, has_objects, expected) in rows {
            let facts = namespaces().into_iter().find(|namespace| namespace.name == name).unwrap();
            let (choice, _) = choice(&filters);
            assert_eq!(choice.leaves_out_namespace_object(&facts, has_objects), expected, "{filters} {name}");
        }
    }

    #[test]
    fn what_chooses_nothing_is_told() {
        let rows = [
            (json!({ "includedResources": ["unicorns"] }), "the cluster has no resource unicorns"),
            (json!({ "excludedNamespaceScopedResources": ["nodes"] }), "nodes is of the whole cluster"),
            (json!({ "includedNamespaces": ["web-*"] }), "no namespace matches web-*"),
        ];
        for (filters, expected) in rows {
            let (_, notes) = choice(&filters);
            assert!(notes.len() == 1 && notes[0].starts_with(expected), "{filters}: {notes:?}");
        }
        assert_eq!(
            choice(&json!({ "includedNamespaces": ["*"], "includedResources": ["po"] })).1,
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_labelled_namespace_does_not_take_the_clusters_own_objects_away() {
        let (choice, _) = choice(&json!({}));
        assert!(!choice.has_namespace("scratch"));
        assert!(choice.lists(&resource("nodes").unwrap()));
    }
}
