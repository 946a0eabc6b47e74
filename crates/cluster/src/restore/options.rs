//! What a restore is asked for: Velero's words, and a few of our own.
//!
//! Options are part of the plan's document, because applying it prepares every object again. They hold what somebody wrote down for
//! the restore, never anything of an object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::modifiers::ResourceModifiers;

/// What to restore, and how. Empty lists of what is included mean everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RestoreOptions {
    /// Globs, matched with the names that the snapshot has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_namespaces: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_namespaces: Vec<String>,
    /// Plural, `plural.group`, kind, singular or short name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_resources: Vec<String>,
    /// Nothing: cluster-scoped objects only where all namespaces are restored, and those that a restored object needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_cluster_resources: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// An object that one of them matches is chosen. Not together with `label_selector`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub or_label_selectors: Vec<String>,
    /// From the snapshot's name to the target's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_mappings: BTreeMap<String, String>,
    pub existing_resource_policy: ExistingPolicy,
    /// Whose status is restored too; nothing: of none but those that ask for it by annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_status: Option<StatusChoice>,
    pub preserve_node_ports: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_modifiers: Option<ResourceModifiers>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_class_mappings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_mappings: Vec<ImageMapping>,
    /// Whether persistent volumes with the policy Retain come along. The data of volumes is in no snapshot yet.
    pub restore_volumes: bool,
    /// What is restored although the control plane makes it by itself: `RESOURCE` or `RESOURCE/NAME`, both globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub control_plane_objects: Vec<String>,
    /// Whether the plan asks the server to try what can be tried.
    pub server_dry_run: bool,
}

/// Nothing is lost with these: everything is chosen, and no existing object is touched.
impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            included_namespaces: Vec::new(),
            excluded_namespaces: Vec::new(),
            included_resources: Vec::new(),
            excluded_resources: Vec::new(),
            include_cluster_resources: None,
            label_selector: None,
            or_label_selectors: Vec::new(),
            namespace_mappings: BTreeMap::new(),
            existing_resource_policy: ExistingPolicy::None,
            restore_status: None,
            preserve_node_ports: false,
            resource_modifiers: None,
            storage_class_mappings: BTreeMap::new(),
            image_mappings: Vec::new(),
            restore_volumes: true,
            control_plane_objects: Vec::new(),
            server_dry_run: false,
        }
    }
}

/// What happens to an object that exists and differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExistingPolicy {
    /// It is left as it is.
    #[default]
    None,
    /// The fields that differ are patched.
    Update,
    /// As `update`; where the server does not allow that, it is deleted and created again.
    Recreate,
}

/// Velero's `restoreStatus`: resources by name, `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StatusChoice {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub included_resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_resources: Vec<String>,
}

/// A part of an image's name, and what is put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageMapping {
    pub from: String,
    pub to: String,
}
