//! The values of Secrets, hidden: whatever compares or plans shows that one changed, never what it is.
//!
//! Values are replaced before anything is compared or printed, so nothing later can give them away. They lie in `data` and
//! `stringData`, and again in annotations where a tool keeps a copy of the manifest (`kubectl apply` does).

use serde_json::Value;

use super::fields::LAST_APPLIED;
use crate::object::text_at;

/// What is shown in place of a value.
pub const HIDDEN: &str = "(hidden)";
/// The same for the later of two values that differ.
pub const HIDDEN_CHANGED: &str = "(hidden, changed)";

const VALUES: [&str; 2] = ["data", "stringData"];

/// Hides the values, if it is a Secret.
pub fn hide_secrets(object: &mut Value) {
    hide_beside(object, None);
}

/// Hides the values of both states of an object; those that differ still do.
pub fn hide_secrets_of_pair(before: &mut Value, after: &mut Value) {
    let original = before.clone();
    hide_beside(before, None);
    hide_beside(after, Some(&original));
}

pub fn is_secret(object: &Value) -> bool {
    text_at(object, &["kind"]) == "Secret"
}

fn hide_beside(object: &mut Value, before: Option<&Value>) {
    // Something that was a Secret or will be one: its name is what both states share.
    if !is_secret(object) && !before.is_some_and(is_secret) {
        return;
    }
    let Some(fields) = object.as_object_mut() else { return };
    for name in VALUES {
        let Some(values) = fields.get_mut(name) else { continue };
        let before = before.and_then(|before| before.get(name));
        match values.as_object_mut() {
            Some(values) => {
                for (name, value) in values {
                    hide_value(value, before.and_then(|before| before.get(name)));
                }
            }
            None => hide_value(values, before),
        }
    }
    let annotations = fields.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    let before = before.and_then(|before| before.get("metadata")?.get("annotations"));
    for (name, value) in annotations.and_then(Value::as_object_mut).into_iter().flatten() {
        if name == LAST_APPLIED || is_document(value) {
            hide_value(value, before.and_then(|before| before.get(name)));
        }
    }
}

fn hide_value(value: &mut Value, before: Option<&Value>) {
    let differs = before.is_some_and(|before| before != value);
    *value = Value::from(if differs { HIDDEN_CHANGED } else { HIDDEN });
}

/// Any tool may keep a manifest in an annotation of its own.
fn is_document(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(['{', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::fields::{FieldOptions, diff_objects};
    use serde_json::json;

    fn secret(password: &str) -> Value {
        let manifest = json!({"kind": "Secret", "data": {"password": password}}).to_string();
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "annotations": {LAST_APPLIED: manifest.clone(), "other.example.com/original": manifest, "team": "x"}},
            "data": {"password": password, "user": "app"},
            "stringData": {"note": password},
        })
    }

    #[test]
    fn no_value_of_a_secret_is_left() {
        let mut hidden = secret("planted-value");
        hide_secrets(&mut hidden);
        let text = hidden.to_string();
        assert!(!text.contains("planted-value") && !text.contains("\"app\""), "{text}");
        assert_eq!(hidden["metadata"]["annotations"]["team"], "x");
        assert_eq!(hidden["data"]["password"], HIDDEN);
        let mut other = json!({"kind": "ConfigMap", "data": {"a": "b"}});
        hide_secrets(&mut other);
        assert_eq!(other["data"]["a"], "b");
    }

    #[test]
    fn a_changed_value_is_told_from_an_equal_one_without_being_shown() {
        for all_fields in [false, true] {
            let options = FieldOptions { all_fields, show_secrets: false };
            let changes = diff_objects(&secret("planted-1"), &secret("planted-2"), options);
            let text = serde_json::to_string(&changes).unwrap();
            assert!(!text.contains("planted"), "{text}");
            let paths: Vec<_> = changes.iter().map(|it| it.path.to_string()).collect();
            let annotations = [
                r#"metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]"#,
                r#"metadata.annotations["other.example.com/original"]"#,
            ];
            let annotations = &annotations[usize::from(!all_fields)..];
            assert_eq!(paths, [&["data.password"], annotations, &["stringData.note"]].concat());
            assert_eq!(changes[0].before, Some(HIDDEN.into()));
            assert_eq!(changes[0].after, Some(HIDDEN_CHANGED.into()));
        }
        let shown = diff_objects(&secret("1"), &secret("2"), FieldOptions { all_fields: false, show_secrets: true });
        assert_eq!((&shown[0].before, &shown[0].after), (&Some("1".into()), &Some("2".into())));
    }

    #[test]
    fn values_that_come_or_go_are_hidden_too() {
        let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}});
        for (before, after) in [(secret("planted"), empty.clone()), (empty, secret("planted"))] {
            let options = FieldOptions { all_fields: true, show_secrets: false };
            let text = serde_json::to_string(&diff_objects(&before, &after, options)).unwrap();
            assert!(!text.contains("planted") && text.contains(HIDDEN), "{text}");
        }
    }
}
