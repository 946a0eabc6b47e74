//! JSON as an API server writes it: fields in the order they are given, absent ones left out, Go's escapes.
//!
//! `managed_fields` derives from an object what the server would note about who set which field.

use std::fmt::Write as _;

#[derive(Clone)]
pub(crate) enum Json {
    Absent,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

macro_rules! object {
    ($($key:literal : $value:expr),* $(,)?) => {
        $crate::json::Json::Object(vec![$(($key.to_owned(), $crate::json::Json::from($value))),*])
    };
}

macro_rules! list {
    ($($value:expr),* $(,)?) => { $crate::json::Json::List(vec![$($crate::json::Json::from($value)),*]) };
}

pub(crate) use {list, object};

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

impl From<Vec<Json>> for Json {
    fn from(value: Vec<Json>) -> Self {
        Self::List(value)
    }
}

impl From<Vec<(String, Json)>> for Json {
    fn from(value: Vec<(String, Json)>) -> Self {
        Self::Object(value)
    }
}

impl Json {
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<Json>) {
        if let Self::Object(fields) = self {
            let value = value.into();
            match fields.iter_mut().find(|(name, _)| name == key) {
                Some(field) => field.1 = value,
                None => fields.push((key.to_owned(), value)),
            }
        }
    }

    /// With the fields of all objects in order of their names: maps, and all of a custom resource.
    pub(crate) fn sorted(self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(Self::sorted).collect()),
            Self::Object(fields) => {
                let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, value.sorted())).collect();
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(fields)
            }
            other => other,
        }
    }

    /// Without fields of these names, at any depth.
    pub(crate) fn without(self, names: &[&str]) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(|item| item.without(names)).collect()),
            Self::Object(fields) => Self::Object(
                fields
                    .into_iter()
                    .filter(|(name, _)| !names.contains(&name.as_str()))
                    .map(|(name, value)| (name, value.without(names)))
                    .collect(),
            ),
            other => other,
        }
    }

    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Absent => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                let mut first = true;
                for (name, value) in fields.iter().filter(|(_, value)| !matches!(value, Self::Absent)) {
                    if !std::mem::take(&mut first) {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Lists whose items the server tells apart by some of their fields; all other lists are one value.
const KEYED_LISTS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("conditions", &["type"]),
    ("ownerReferences", &["uid"]),
    ("podIPs", &["ip"]),
    ("hostIPs", &["ip"]),
    ("addresses", &["type"]),
];

/// Structs that are always there, so that no manager owns their existence.
const PLAIN_STRUCTS: &[&str] = &["metadata", "spec", "status", "template", "strategy", "updateStrategy", "jobTemplate"];

/// Maps that are one value.
const ATOMIC: &[&str] = &[
    "selector",
    "nodeSelector",
    "capacity",
    "allocatable",
    "nodeInfo",
    "valueFrom",
    "claimRef",
    "subjects",
    "roleRef",
];

/// The `fieldsV1` of whoever set all of `value`.
pub(crate) fn managed_fields(value: &Json) -> Json {
    set_of("spec", value)
}

fn set_of(name: &str, value: &Json) -> Json {
    let empty = || Json::Object(Vec::new());
    match value {
        Json::Object(fields) if !ATOMIC.contains(&name) && !fields.is_empty() => {
            let mut set: Vec<_> = fields
                .iter()
                .filter(|(_, value)| !matches!(value, Json::Absent))
                .map(|(name, value)| (format!("f:{name}"), set_of(name, value)))
                .collect();
            if !PLAIN_STRUCTS.contains(&name) {
                set.push((".".to_owned(), empty()));
            }
            set.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(set)
        }
        Json::List(items) => {
            let Some(keys) = keys_of(name, items) else { return empty() };
            let mut set = vec![(".".to_owned(), empty())];
            for item in items {
                let key = keys.iter().filter_map(|key| Some(((*key).to_owned(), item.get(key)?.clone()))).collect();
                set.push((format!("k:{}", Json::Object(key).render()), set_of("item", item)));
            }
            Json::Object(set)
        }
        _ => empty(),
    }
}

fn keys_of(name: &str, items: &[Json]) -> Option<&'static [&'static str]> {
    if name == "ports" {
        let first = items.first()?;
        return if first.get("containerPort").is_some() {
            Some(&["containerPort", "protocol"])
        } else if first.get("targetPort").is_some() {
            Some(&["port", "protocol"])
        } else {
            None
        };
    }
    KEYED_LISTS.iter().find(|(list, _)| *list == name).map(|(_, keys)| *keys)
}
