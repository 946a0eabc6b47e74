//! What differs between two states of an object, field by field.
//!
//! Elements of lists are matched by what names them (`name`, a port and its protocol) where every element has such a name and no
//! two share one; by their places otherwise. What the server and its controllers write by themselves is noise, and left out
//! unless it is asked for. Secrets are hidden before anything is compared: see `redact`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::redact;

/// What of two objects is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldOptions {
    /// What the server and its controllers write too: status, managed fields, resource versions.
    pub all_fields: bool,
    /// The values of Secrets; otherwise only whether they changed is shown.
    pub show_secrets: bool,
}

/// Metadata that the server writes.
const NOISE_METADATA: &[&str] =
    &["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];
/// kubectl's copy of what it applied: every change would be shown twice.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What may name an element of a list, by the list's name; the first field must be there.
const NAMED_BY: &[(&str, &[&str])] = &[
    ("ports", &["port", "protocol"]),
    ("ports", &["containerPort", "protocol"]),
    ("managedFields", &["manager", "operation", "subresource"]),
    ("subjects", &["name", "kind", "namespace"]),
    ("ownerReferences", &["name", "kind"]),
];
/// The same for any other list.
const NAMED_BY_DEFAULT: &[&[&str]] = &[&["name"], &["mountPath"], &["devicePath"], &["type"], &["ip"], &["key"]];

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    pub path: FieldPath,
    /// Nothing where the field was not there.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Where a field is in an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Field(String),
    /// Of a list, by what names it.
    Named(Vec<(&'static str, String)>),
    /// Of a list, by its place.
    Index(usize),
    /// The order of a list's elements.
    Order,
}

/// Everything that differs, in order of the fields' names.
pub fn diff_objects(before: &Value, after: &Value, options: FieldOptions) -> Vec<FieldChange> {
    let (mut before, mut after) = (before.clone(), after.clone());
    if !options.show_secrets {
        redact::hide_secrets_of_pair(&mut before, &mut after);
    }
    if !options.all_fields {
        strip_noise(&mut before);
        strip_noise(&mut after);
    }
    let mut changes = Vec::new();
    compare(&FieldPath::default(), &before, &after, &mut changes);
    changes
}

/// Takes off what the server and its controllers write by themselves.
fn strip_noise(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for name in NOISE_METADATA {
        metadata.remove(*name);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

fn compare(path: &FieldPath, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                compare_maybe(&path.join(Step::Field(name.clone())), left.get(name), right.get(name), changes);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.iter().chain(right).all(Value::is_object) => {
            match names_of_elements(path.last_field(), left, right) {
                Some((left_names, right_names)) => {
                    compare_named(path, (left, &left_names), (right, &right_names), changes);
                }
                None => {
                    for index in 0..left.len().max(right.len()) {
                        compare_maybe(&path.join(Step::Index(index)), left.get(index), right.get(index), changes);
                    }
                }
            }
        }
        _ => compare_leaf(path, Some(before), Some(after), changes),
    }
}

fn compare_maybe(path: &FieldPath, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) => compare(path, before, after, changes),
        (before, after) => compare_leaf(path, before, after, changes),
    }
}

fn compare_leaf(path: &FieldPath, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    changes.push(FieldChange { path: path.clone(), before: before.cloned(), after: after.cloned() });
}

type ElementName = Vec<(&'static str, String)>;

fn compare_named(
    path: &FieldPath,
    (left, left_names): (&[Value], &[ElementName]),
    (right, right_names): (&[Value], &[ElementName]),
    changes: &mut Vec<FieldChange>,
) {
    let by_name: BTreeMap<&ElementName, &Value> = right_names.iter().zip(right).collect();
    for (name, before) in left_names.iter().zip(left) {
        compare_maybe(&path.join(Step::Named(name.clone())), Some(before), by_name.get(name).copied(), changes);
    }
    for (name, after) in right_names.iter().zip(right).filter(|(name, _)| !left_names.contains(name)) {
        compare_leaf(&path.join(Step::Named(name.clone())), None, Some(after), changes);
    }
    let order = |names: &[ElementName], others: &[ElementName]| -> Vec<Value> {
        names.iter().filter(|name| others.contains(name)).map(|name| Value::from(name_text(name))).collect()
    };
    let (before, after) = (order(left_names, right_names), order(right_names, left_names));
    if before != after {
        compare_leaf(&path.join(Step::Order), Some(&before.into()), Some(&after.into()), changes);
    }
}

/// What names each element of both lists; nothing where that would be ambiguous.
fn names_of_elements(list: &str, left: &[Value], right: &[Value]) -> Option<(Vec<ElementName>, Vec<ElementName>)> {
    let special = NAMED_BY.iter().filter(|(name, _)| *name == list).map(|(_, fields)| *fields);
    special.chain(NAMED_BY_DEFAULT.iter().copied()).find_map(|fields| {
        let names = |list: &[Value]| {
            let names: Vec<_> = list.iter().map(|element| name_of_element(element, fields)).collect::<Option<_>>()?;
            let distinct: BTreeSet<&ElementName> = names.iter().collect();
            (distinct.len() == names.len()).then_some(names)
        };
        Some((names(left)?, names(right)?))
    })
}

fn name_of_element(element: &Value, fields: &[&'static str]) -> Option<ElementName> {
    element.get(fields[0])?;
    let mut name = Vec::with_capacity(fields.len());
    for field in fields {
        let value = match element.get(*field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            None if *field == "protocol" => "TCP".to_owned(),
            None => continue,
            Some(_) => return None,
        };
        name.push((*field, value));
    }
    Some(name)
}

fn name_text(name: &[(&'static str, String)]) -> String {
    name.iter().map(|(field, value)| format!("{field}={value}")).collect::<Vec<_>>().join(",")
}

impl FieldPath {
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The name of the list or map that it leads to; empty for an element.
    fn last_field(&self) -> &str {
        match self.0.last() {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }
}

/// `spec.template.spec.containers[name=web].image`, `metadata.labels["app.kubernetes.io/name"]`.
impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) => {
                    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    if name.is_empty() || !name.chars().all(is_plain) {
                        write!(formatter, "[{}]", Value::from(name.as_str()))?;
                    } else if index == 0 {
                        formatter.write_str(name)?;
                    } else {
                        write!(formatter, ".{name}")?;
                    }
                }
                Step::Named(name) => write!(formatter, "[{}]", name_text(name))?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Order => formatter.write_str(" (order)")?,
            }
        }
        Ok(())
    }
}

impl FieldChange {
    /// `added`, `removed` or `changed`.
    pub fn word(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }
}

impl Serialize for FieldChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("FieldChange", 4)?;
        document.serialize_field("path", &self.path.to_string())?;
        document.serialize_field("change", self.word())?;
        for (name, value) in [("before", &self.before), ("after", &self.after)] {
            match value {
                Some(value) => document.serialize_field(name, value)?,
                None => document.skip_field(name)?,
            }
        }
        document.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(before: Value, after: Value, expected: &[&str]) {
        let changes = diff_objects(&before, &after, FieldOptions::default());
        let shown: Vec<String> = changes
            .iter()
            .map(|it| {
                let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string);
                format!("{}: {} {}", it.path, text(&it.before), text(&it.after))
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn fields_are_compared_one_by_one() {
        check(json!({"spec": {"replicas": 2}}), json!({"spec": {"replicas": 3}}), &["spec.replicas: 2 3"]);
        check(
            json!({"metadata": {"labels": {"a": "1", "b": "1"}}}),
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "web", "b": "1"}}}),
            &[r#"metadata.labels.a: "1" -"#, r#"metadata.labels["app.kubernetes.io/name"]: - "web""#],
        );
        check(json!({"a": null}), json!({}), &["a: null -"]);
        check(json!({"a": {"b": 1}}), json!({"a": 1}), &[r#"a: {"b":1} 1"#]);
        check(json!({"args": ["a", "b"]}), json!({"args": ["b"]}), &[r#"args: ["a","b"] ["b"]"#]);
    }

    #[test]
    fn elements_of_lists_are_matched_by_their_names() {
        check(
            json!({"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}),
            json!({"containers": [{"name": "c", "image": "c:1"}, {"name": "b", "image": "b:2"}]}),
            &[
                r#"containers[name=a]: {"image":"a:1","name":"a"} -"#,
                r#"containers[name=b].image: "b:1" "b:2""#,
                r#"containers[name=c]: - {"image":"c:1","name":"c"}"#,
            ],
        );
        check(
            json!({"ports": [{"port": 53, "protocol": "UDP", "name": "x"}, {"port": 53, "nodePort": 1}]}),
            json!({"ports": [{"port": 53, "protocol": "UDP", "name": "y"}, {"port": 53, "nodePort": 2}]}),
            &[r#"ports[port=53,protocol=UDP].name: "x" "y""#, "ports[port=53,protocol=TCP].nodePort: 1 2"],
        );
        check(
            json!({"initContainers": [{"name": "a"}, {"name": "b"}]}),
            json!({"initContainers": [{"name": "b"}, {"name": "a"}]}),
            &[r#"initContainers (order): ["name=a","name=b"] ["name=b","name=a"]"#],
        );
    }

    #[test]
    fn elements_without_distinct_names_are_matched_by_their_places() {
        check(
            json!({"env": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}),
            json!({"env": [{"name": "a", "value": "1"}, {"name": "a", "value": "3"}, {"name": "b"}]}),
            &[r#"env[1].value: "2" "3""#, r#"env[2]: - {"name":"b"}"#],
        );
        check(
            json!({"rules": [{"verbs": ["get"]}]}),
            json!({"rules": [{"verbs": ["get", "list"]}]}),
            &[r#"rules[0].verbs: ["get"] ["get","list"]"#],
        );
    }

    #[test]
    fn what_the_server_writes_is_noise() {
        let before = json!({
            "metadata": {"name": "a", "resourceVersion": "1", "generation": 1, "uid": "x", "managedFields": [], "selfLink": "/a"},
            "status": {"ready": 1}
        });
        let after = json!({
            "metadata": {"name": "a", "resourceVersion": "2", "generation": 2, "uid": "y", "managedFields": [{}],
                "annotations": {LAST_APPLIED: "{}"}},
            "status": {"ready": 2}
        });
        check(before.clone(), after.clone(), &[]);
        let all = diff_objects(&before, &after, FieldOptions { all_fields: true, show_secrets: false });
        let paths: Vec<_> = all.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "metadata.annotations",
                "metadata.generation",
                "metadata.managedFields[0]",
                "metadata.resourceVersion",
                "metadata.selfLink",
                "metadata.uid",
                "status.ready"
            ]
        );
    }

    #[test]
    fn a_change_as_a_document_has_only_the_sides_that_there_are() {
        let changes = diff_objects(&json!({"a": 1}), &json!({"a": 2, "b": 3}), FieldOptions::default());
        assert_eq!(
            serde_json::to_value(changes).unwrap(),
            json!([{"path": "a", "change": "changed", "before": 1, "after": 2}, {"path": "b", "change": "added", "after": 3}])
        );
    }
}
