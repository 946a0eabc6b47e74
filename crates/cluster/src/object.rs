//! Objects: which one, and the few fields that rules look at.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::ResourceName;

/// Where all objects are in a snapshot's tree.
pub const ROOT: &[u8] = b"resources";
const SUFFIX: &[u8] = b".json";

/// An object within one cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    pub resource: ResourceName,
    /// Nothing for objects of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl ObjectKey {
    pub fn new(resource: ResourceName, namespace: Option<&str>, name: &str) -> Self {
        Self { resource, namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    /// Its place in a snapshot's tree: `resources/<resource>/{cluster|namespaces/<namespace>}/<name>.json`.
    pub fn tree_key(&self) -> Vec<u8> {
        let mut key = tree_key_of_collection(&self.resource, self.namespace.as_deref());
        key.push(0);
        key.extend_from_slice(self.name.as_bytes());
        key.extend_from_slice(SUFFIX);
        key
    }

    /// Nothing for directories and for what is not an object.
    pub fn from_tree_key(key: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(key).ok()?;
        let mut parts = text.split('\0');
        if parts.next()?.as_bytes() != ROOT {
            return None;
        }
        let Ok(resource) = parts.next()?.parse();
        let namespace = match parts.next()? {
            "cluster" => None,
            "namespaces" => Some(parts.next()?.to_owned()),
            _ => return None,
        };
        let name = parts.next()?.strip_suffix(".json")?.to_owned();
        parts.next().is_none().then_some(Self { resource, namespace, name })
    }

    /// Whether the names can be a path's components: what the server would never give, nobody may put into a tree.
    pub fn is_valid(&self) -> bool {
        let is_component = |text: &str| !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '\0']);
        is_component(&self.resource.to_string())
            && self.namespace.as_deref().is_none_or(is_component)
            && is_component(&self.name)
    }
}

/// `Kind/name`-like, as kubectl shows objects: `deployments.apps/web`, and `… in namespace shop` where there is one.
impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.resource, self.name)?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(formatter, " in namespace {namespace}"))
    }
}

/// The directory of a resource's objects, of one namespace or of the cluster.
pub fn tree_key_of_collection(resource: &ResourceName, namespace: Option<&str>) -> Vec<u8> {
    let mut key = tree_key_of_resource(resource);
    key.push(0);
    match namespace {
        Some(namespace) => {
            key.extend_from_slice(b"namespaces\0");
            key.extend_from_slice(namespace.as_bytes());
        }
        None => key.extend_from_slice(b"cluster"),
    }
    key
}

/// The directory of a resource.
pub fn tree_key_of_resource(resource: &ResourceName) -> Vec<u8> {
    let mut key = ROOT.to_vec();
    key.push(0);
    key.extend_from_slice(resource.to_string().as_bytes());
    key
}

/// The fields that most rules look at; everything else of an object stays unread.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Head {
    pub api_version: String,
    pub kind: String,
    pub metadata: HeadMetadata,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeadMetadata {
    pub name: String,
    pub namespace: Option<String>,
    pub uid: String,
    pub resource_version: String,
    pub creation_timestamp: Option<String>,
    pub deletion_timestamp: Option<String>,
    #[serde(deserialize_with = "null_is_nothing")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_nothing")]
    pub owner_references: Vec<OwnerReference>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl Head {
    pub fn parse(object: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(object)
    }
}

/// What servers of their own write where they mean nothing.
fn null_is_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A string inside an object, by a path of names; empty where it is not there.
pub fn text_at<'v>(object: &'v Value, path: &[&str]) -> &'v str {
    path.iter().try_fold(object, |value, name| value.get(name)).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_again_in_its_place_in_the_tree() {
        let pod = ObjectKey::new(ResourceName::core("pods"), Some("web"), "api-0");
        assert_eq!(pod.tree_key(), b"resources\0pods\0namespaces\0web\0api-0.json");
        let role = ObjectKey::new(ResourceName::new("clusterroles", "rbac.authorization.k8s.io"), None, "system:node");
        assert_eq!(role.tree_key(), b"resources\0clusterroles.rbac.authorization.k8s.io\0cluster\0system:node.json");
        for key in [pod, role] {
            assert_eq!(ObjectKey::from_tree_key(&key.tree_key()), Some(key));
        }
        for other in
            [&b"resources"[..], b"resources\0pods\0namespaces\0web", b"lists.json", b"resources\0pods\0cluster"]
        {
            assert_eq!(ObjectKey::from_tree_key(other), None);
        }
    }

    #[test]
    fn a_null_is_no_label_and_no_owner() {
        let head = Head::parse(br#"{"metadata":{"name":"a","labels":null,"ownerReferences":null}}"#).unwrap();
        assert_eq!(head.metadata, HeadMetadata { name: "a".to_owned(), ..HeadMetadata::default() });
    }

    #[test]
    fn names_that_would_leave_their_directory_are_not_valid() {
        let named = |name: &str| ObjectKey::new(ResourceName::core("pods"), Some("web"), name).is_valid();
        assert!(named("system:node"));
        for wrong in ["", ".", "..", "a/b", "a\0b"] {
            assert!(!named(wrong), "{wrong:?}");
        }
    }
}
