//! What is chosen: Velero's two families of filters, label selectors, globs of namespaces.
//!
//! Everything here is pure: what is asked is decided from names, labels and what discovery said. `Filters` is what somebody wrote down,
//! `Choice` is what it means in one cluster.

mod choice;
mod globs;
mod selector;
mod velero;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use choice::{Choice, NamespaceFacts, Rule};
pub use globs::Globs;
pub use selector::LabelSelector;
pub use velero::{VeleroBackup, parse_ordered_resources};

/// The label that keeps an object, or all of a namespace, out of every backup. Only the value `true` counts.
pub const EXCLUDE_LABEL: &str = "velero.io/exclude-from-backup";

/// Stands for everything in a list of names.
const EVERYTHING: &str = "*";

/// What to back up, in Velero's words. Empty lists of what is included mean everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filters {
    /// Names and globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_namespaces: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_namespaces: Vec<String>,
    /// The first family: resources of any scope, as plural, `plural.group`, kind or short name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_resources: Vec<String>,
    /// Nothing: all of the cluster's own objects where all namespaces are chosen, else those that a chosen object needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_cluster_resources: Option<bool>,
    /// The second family: by scope. Not together with the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_cluster_scoped_resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_cluster_scoped_resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_namespace_scoped_resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_namespace_scoped_resources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// An object that one of them matches is chosen. Not together with `label_selector`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub or_label_selectors: Vec<LabelSelector>,
    /// Resources that are listed before all others, one after the other, and which of their objects are awaited there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ordered_resources: BTreeMap<String, Vec<String>>,
}

/// A filter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the label selector {text:?} cannot be used: {detail}")]
    Selector { text: String, detail: String },
    #[error("the pattern {pattern:?} cannot be used: {detail}")]
    Pattern { pattern: String, detail: String },
    #[error("{what}: {detail}")]
    List { what: &'static str, detail: String },
    #[error(
        "resources are chosen either by included and excluded resources, or by included and excluded cluster-scoped and namespace-scoped resources, not by both"
    )]
    BothFamilies,
    #[error("objects are chosen either by a label selector or by several of which one has to match, not by both")]
    BothSelectors,
    #[error("this is no Velero backup: {detail}")]
    Manifest { detail: String },
}

impl FilterError {
    fn selector(text: &str, detail: impl Into<String>) -> Self {
        Self::Selector { text: text.to_owned(), detail: detail.into() }
    }
}

impl Filters {
    /// Whatever can be wrong without looking at a cluster.
    pub fn check(&self) -> Result<(), FilterError> {
        let first = !self.included_resources.is_empty()
            || !self.excluded_resources.is_empty()
            || self.include_cluster_resources.is_some();
        if first && self.uses_scopes() {
            return Err(FilterError::BothFamilies);
        }
        if self.label_selector.is_some() && !self.or_label_selectors.is_empty() {
            return Err(FilterError::BothSelectors);
        }
        let (yes, no) = (MayExcludeAll::Yes, MayExcludeAll::No);
        check_lists("namespaces", &self.included_namespaces, &self.excluded_namespaces, no)?;
        check_lists("resources", &self.included_resources, &self.excluded_resources, no)?;
        let (included, excluded) = (&self.included_cluster_scoped_resources, &self.excluded_cluster_scoped_resources);
        check_lists("cluster-scoped resources", included, excluded, yes)?;
        let (included, excluded) =
            (&self.included_namespace_scoped_resources, &self.excluded_namespace_scoped_resources);
        check_lists("namespace-scoped resources", included, excluded, yes)?;
        Globs::parse(&self.included_namespaces)?;
        Globs::parse(&self.excluded_namespaces)?;
        Ok(())
    }

    /// One of these has to match, where there are any.
    pub fn selectors(&self) -> Vec<LabelSelector> {
        self.label_selector.iter().chain(&self.or_label_selectors).filter(|it| !it.is_empty()).cloned().collect()
    }

    /// Whether the second family is in use.
    fn uses_scopes(&self) -> bool {
        !self.included_cluster_scoped_resources.is_empty()
            || !self.excluded_cluster_scoped_resources.is_empty()
            || !self.included_namespace_scoped_resources.is_empty()
            || !self.excluded_namespace_scoped_resources.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MayExcludeAll {
    Yes,
    No,
}

fn check_lists(
    what: &'static str,
    included: &[String],
    excluded: &[String],
    may_exclude_all: MayExcludeAll,
) -> Result<(), FilterError> {
    let wrong = |detail: &str| Err(FilterError::List { what, detail: detail.to_owned() });
    let is_everything = |it: &String| it == EVERYTHING;
    if included.len() > 1 && included.iter().any(is_everything) {
        return wrong("what is included is either `*` alone or a list of names");
    }
    if excluded.iter().any(is_everything) {
        if may_exclude_all == MayExcludeAll::No {
            return wrong("`*` cannot be excluded: nothing would be left");
        }
        if excluded.len() > 1 {
            return wrong("what is excluded is either `*` alone or a list of names");
        }
        if !included.is_empty() {
            return wrong("where `*` is excluded nothing can be included");
        }
    }
    let included: BTreeSet<_> = included.iter().collect();
    match excluded.iter().find(|name| included.contains(name)) {
        Some(both) => wrong(&format!("{both} is both included and excluded")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_velero_does_not_validate_is_refused() {
        let default = Filters::default;
        let selector = || LabelSelector::parse("a=b").unwrap();
        let rows = [
            (Filters { included_namespaces: list("* a"), ..default() }, "`*` alone"),
            (Filters { excluded_namespaces: list("*"), ..default() }, "cannot be excluded"),
            (Filters { included_namespaces: list("a"), excluded_namespaces: list("a"), ..default() }, "both included"),
            (Filters { included_namespaces: list("a{b}"), ..default() }, "`{`"),
            (Filters { included_resources: list("* pods"), ..default() }, "`*` alone"),
            (Filters { excluded_resources: list("*"), ..default() }, "cannot be excluded"),
            (Filters { included_resources: list("po"), excluded_resources: list("po"), ..default() }, "both included"),
            (
                Filters {
                    included_resources: list("pods"),
                    included_namespace_scoped_resources: list("pods"),
                    ..default()
                },
                "not by both",
            ),
            (
                Filters {
                    include_cluster_resources: Some(true),
                    excluded_cluster_scoped_resources: list("*"),
                    ..default()
                },
                "not by both",
            ),
            (
                Filters {
                    included_cluster_scoped_resources: list("nodes"),
                    excluded_cluster_scoped_resources: list("*"),
                    ..default()
                },
                "nothing can be included",
            ),
            (Filters { excluded_namespace_scoped_resources: list("* pods"), ..default() }, "`*` alone"),
            (
                Filters { label_selector: Some(selector()), or_label_selectors: vec![selector()], ..default() },
                "not by both",
            ),
        ];
        for (filters, expected) in rows {
            let error = filters.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}: {filters:?}");
        }
        for filters in [
            Filters { included_namespaces: list("*"), excluded_namespaces: list("a"), ..default() },
            Filters { excluded_cluster_scoped_resources: list("*"), ..default() },
        ] {
            filters.check().unwrap();
        }
    }
}
