//! Resource modifiers: Velero's YAML, read as it is, and applied to an object before it is written.
//!
//! Reading is strict: an unknown key, a rule without a patch or with two kinds of them is an error, because a modifier that is
//! silently ignored restores something that nobody asked for.

mod rules;
mod schemas;
mod strategic;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use rules::Rules;
pub use schemas::Schemas;

use super::document::PlanError;

/// The document: rules in the order in which they are applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceModifiers {
    pub version: String,
    pub resource_modifier_rules: Vec<ModifierRule>,
}

/// What it changes, and how: exactly one of the three kinds of patches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModifierRule {
    pub conditions: Conditions,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<JsonPatch>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_patches: Vec<PatchData>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategic_patches: Vec<PatchData>,
}

/// All of them must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conditions {
    /// A glob whose separator is the dot: `deployments.apps`, `*.apps`, `**`.
    pub group_resource: String,
    /// Globs, matched with the snapshot's names. Ignored for objects of the whole cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Matches anywhere in the name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_name_regex: String,
    /// `matchLabels` and `matchExpressions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<FieldMatch>,
}

/// A field that has to have a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMatch {
    pub path: String,
    #[serde(default)]
    pub value: String,
}

/// One operation of RFC 6902. Its value is a text that is read as JSON where it looks like JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonPatch {
    pub operation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// A patch as YAML or JSON text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchData {
    pub patch_data: String,
}

impl ResourceModifiers {
    /// Reads the document, or a ConfigMap that holds it under its only key, and checks that it can be applied.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        /// As much of a ConfigMap as matters.
        #[derive(Deserialize)]
        struct ConfigMap {
            kind: String,
            #[serde(default)]
            data: std::collections::BTreeMap<String, String>,
        }
        let error = |detail: String| PlanError::Modifiers(detail);
        let inner = match serde_saphyr::from_str::<ConfigMap>(text) {
            Ok(map) if map.kind == "ConfigMap" => {
                let mut values = map.data.into_values();
                match (values.next(), values.next()) {
                    (Some(document), None) => document,
                    _ => return Err(error("the ConfigMap must have exactly one key".to_owned())),
                }
            }
            _ => text.to_owned(),
        };
        let document: Self = serde_saphyr::from_str(&inner).map_err(|cause| error(cause.to_string()))?;
        Rules::new(&document)?;
        Ok(document)
    }
}
