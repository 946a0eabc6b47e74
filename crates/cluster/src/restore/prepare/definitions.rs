//! Definitions of resources and webhooks: what older versions allowed and today's servers refuse.

use serde_json::Value;

use super::{array_at, object_at};
use crate::object::text_at;

/// `preserveUnknownFields: true` is refused since v1; each version's schema says the same today.
pub(super) fn keep_unknown_fields(definition: &mut Value) -> bool {
    let Some(spec) = object_at(definition, &["spec"]) else { return false };
    if spec.get("preserveUnknownFields") != Some(&Value::Bool(true)) {
        return false;
    }
    spec.insert("preserveUnknownFields".to_owned(), Value::Bool(false));
    for version in array_at(definition, &["spec", "versions"]).into_iter().flatten() {
        if let Some(schema) = object_at(version, &["schema", "openAPIV3Schema"]) {
            schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
        }
    }
    true
}

/// Webhooks with side effects that v1 does not take.
pub(super) fn limit_side_effects(configuration: &mut Value) -> bool {
    let mut changed = false;
    for webhook in array_at(configuration, &["webhooks"]).into_iter().flatten() {
        if !matches!(text_at(webhook, &["sideEffects"]), "None" | "NoneOnDryRun") {
            webhook["sideEffects"] = Value::from("None");
            changed = true;
        }
    }
    changed
}
