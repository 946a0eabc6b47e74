//! Resources: what a cluster has kinds of, as discovery tells it and as a snapshot remembers it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A resource without its version: `pods`, `deployments.apps`. Its text is a directory's name in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName {
    pub plural: String,
    /// Empty for the core group.
    pub group: String,
}

impl ResourceName {
    pub fn new(plural: impl Into<String>, group: impl Into<String>) -> Self {
        Self { plural: plural.into(), group: group.into() }
    }

    /// Of the core group.
    pub fn core(plural: &str) -> Self {
        Self::new(plural, "")
    }

    pub fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.plural)?;
        if self.group.is_empty() { Ok(()) } else { write!(formatter, ".{}", self.group) }
    }
}

impl FromStr for ResourceName {
    type Err = std::convert::Infallible;

    /// A plural has no dots, so the first one ends it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (plural, group) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self::new(plural, group))
    }
}

impl Serialize for ResourceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Ok(name) = text.parse();
        Ok(name)
    }
}

/// A resource in the one version that is used here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub name: ResourceName,
    pub version: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub singular: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// All versions that the server has, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served: Vec<String>,
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.name.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.name.group, self.version) }
    }

    /// The path of its collection, in a namespace or of the whole cluster.
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        let root = if self.name.group.is_empty() { "/api" } else { "/apis" };
        let api_version = self.api_version();
        match namespace {
            Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{}", self.name.plural),
            None => format!("{root}/{api_version}/{}", self.name.plural),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["pods", "deployments.apps", "crontabs.stable.example.com"] {
            let Ok(name) = text.parse::<ResourceName>();
            assert_eq!(name.to_string(), text);
        }
        assert_eq!("crontabs.stable.example.com".parse(), Ok(ResourceName::new("crontabs", "stable.example.com")));
    }
}
