//! Label selectors in both of their forms: the text of `kubectl -l`, and the `matchLabels` and `matchExpressions` of a manifest.
//!
//! The text of a selector is what the server is asked with; matching here says the same of labels that are at hand.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FilterError;

/// All of its requirements hold; one without any matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted.
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl LabelSelector {
    /// Equality (`a=b`, `a==b`, `a!=b`), sets (`a in (b,c)`, `a notin (b)`), existence (`a`, `!a`) and numbers (`a>1`), joined by commas.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let parts = split_outside_brackets(text).into_iter().map(str::trim).filter(|part| !part.is_empty());
        let requirements = parts
            .map(|part| Requirement::parse(part).map_err(|detail| FilterError::selector(text, detail)))
            .collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Several selectors of which one has to match, as in `a=b or c=d`.
    pub fn parse_any(text: &str) -> Result<Vec<Self>, FilterError> {
        let parts: Vec<_> = text.split(" or ").collect();
        if parts.iter().any(|part| part.trim().is_empty()) {
            return Err(FilterError::selector(text, "a side of an `or` is empty"));
        }
        parts.into_iter().map(Self::parse).collect()
    }

    /// A manifest's selector: `{matchLabels, matchExpressions}`.
    pub fn from_json(value: &Value) -> Result<Self, FilterError> {
        let manifest: Manifest = serde_json::from_value(value.clone())
            .map_err(|error| FilterError::selector(&value.to_string(), error.to_string()))?;
        let failed = |detail| FilterError::selector(&value.to_string(), detail);
        let mut requirements = Vec::new();
        for (key, value) in manifest.match_labels {
            requirements.push(Requirement::new(&key, Operator::In, vec![value]).map_err(failed)?);
        }
        for Expression { key, operator, values } in manifest.match_expressions {
            let operator = match &operator[..] {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(failed(format!("{other:?} is none of In, NotIn, Exists, DoesNotExist"))),
            };
            requirements.push(Requirement::new(&key, operator, values).map_err(failed)?);
        }
        Ok(Self { requirements })
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels.get(&requirement.key)))
    }
}

/// The text that the server takes.
impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            write!(formatter, "{requirement}")?;
        }
        Ok(())
    }
}

impl FromStr for LabelSelector {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl Serialize for LabelSelector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LabelSelector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(key) = text.strip_prefix('!') {
            return Self::new(key.trim(), Operator::DoesNotExist, Vec::new());
        }
        if let Some(list) = text.strip_suffix(')') {
            let (head, list) = list.split_once('(').ok_or("a bracket is closed that was not opened")?;
            let (key, word) =
                head.trim().rsplit_once(char::is_whitespace).ok_or("before `(` come a label and `in` or `notin`")?;
            let operator = match word {
                "in" => Operator::In,
                "notin" => Operator::NotIn,
                _ => return Err(format!("{word:?} is neither `in` nor `notin`")),
            };
            return Self::new(key.trim(), operator, list.split(',').map(|value| value.trim().to_owned()).collect());
        }
        let signs = [
            ("!=", Operator::NotIn),
            ("==", Operator::In),
            ("=", Operator::In),
            (">", Operator::GreaterThan),
            ("<", Operator::LessThan),
        ];
        let found = signs.into_iter().find_map(|(sign, operator)| Some((text.split_once(sign)?, operator)));
        match found {
            Some(((key, value), operator)) => Self::new(key.trim(), operator, vec![value.trim().to_owned()]),
            None => Self::new(text, Operator::Exists, Vec::new()),
        }
    }

    fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        check_key(key)?;
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(format!("label {key} needs a value to compare with"));
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(format!("label {key} is asked for as such, and takes no values"));
            }
            Operator::GreaterThan | Operator::LessThan if values.iter().any(|value| value.parse::<i64>().is_err()) => {
                return Err(format!("label {key} is compared as a number, which {:?} is not", values.concat()));
            }
            _ => {}
        }
        values.iter().try_for_each(|value| check_value(value))?;
        values.sort();
        values.dedup();
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn matches(&self, value: Option<&String>) -> bool {
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        let number = |value: &String| value.parse::<i64>().ok();
        let compared = || Some((number(value?)?, number(self.values.first()?)?));
        match self.operator {
            Operator::In => is_listed,
            Operator::NotIn => !is_listed,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compared().is_some_and(|(value, limit)| value > limit),
            Operator::LessThan => compared().is_some_and(|(value, limit)| value < limit),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        let list = values.join(",");
        match operator {
            Operator::In if values.len() == 1 => write!(formatter, "{key}={list}"),
            Operator::NotIn if values.len() == 1 => write!(formatter, "{key}!={list}"),
            Operator::In => write!(formatter, "{key} in ({list})"),
            Operator::NotIn => write!(formatter, "{key} notin ({list})"),
            Operator::Exists => write!(formatter, "{key}"),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
            Operator::GreaterThan => write!(formatter, "{key}>{list}"),
            Operator::LessThan => write!(formatter, "{key}<{list}"),
        }
    }
}

/// `[prefix/]name`: the name as a value, but not empty; the prefix a DNS name.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_dns = |text: &str| {
        !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    if name.is_empty() || !is_word(name) || !prefix.is_none_or(is_dns) {
        return Err(format!("{key:?} is no name of a label"));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_word(value) { Ok(()) } else { Err(format!("{value:?} is no value of a label")) }
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(',').filter(|pair| !pair.is_empty());
        pairs.filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn each_operator_says_what_the_server_would() {
        let rows = [
            ("", "", true),
            ("app=web", "app=web", true),
            ("app==web", "app=api", false),
            ("app=web", "", false),
            ("app!=web", "", true),
            ("app!=web", "app=web", false),
            ("app in (web, api)", "app=api", true),
            ("app in (web,api)", "", false),
            ("app notin (web,api)", "", true),
            ("app notin (web,api)", "app=web", false),
            ("app", "app=", true),
            ("app", "tier=a", false),
            ("!app", "tier=a", true),
            ("!app", "app=web", false),
            ("app=", "app=", true),
            ("size>3", "size=4", true),
            ("size>3", "size=3", false),
            ("size<3", "size=many", false),
            ("app=web,tier in (a,b)", "app=web,tier=b", true),
            ("app=web,tier in (a,b)", "app=web,tier=c", false),
            ("app.kubernetes.io/name=web", "app.kubernetes.io/name=web", true),
        ];
        for (selector, of, expected) in rows {
            assert_eq!(
                LabelSelector::parse(selector).unwrap().matches(&labels(of)),
                expected,
                "{selector:?} on {of:?}"
            );
        }
    }

    #[test]
    fn a_selector_is_written_as_it_is_read() {
        let rows = [
            ("b=2, a = 1", "b=2,a=1"),
            ("a==1", "a=1"),
            ("a in (2,1)", "a in (1,2)"),
            ("a in (1)", "a=1"),
            ("!a,b,c!=d,e notin (f,g),h>1", "!a,b,c!=d,e notin (f,g),h>1"),
        ];
        for (text, written) in rows {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.to_string(), written);
            assert_eq!(LabelSelector::parse(written).unwrap(), selector);
        }
    }

    #[test]
    fn what_the_server_would_refuse_is_refused() {
        for text in
            ["=a", "a b", "a=b c", "a in b", "a in (b", "a)", "a of (b)", "-a=b", "a=-b", "a>b", "a/b/c=d", "A!/x"]
        {
            let error = LabelSelector::parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn selectors_joined_by_or_are_taken_apart() {
        let any = LabelSelector::parse_any("app=web or tier in (a,b),!c").unwrap();
        assert_eq!(any.iter().map(ToString::to_string).collect::<Vec<_>>(), ["app=web", "tier in (a,b),!c"]);
        assert!(LabelSelector::parse_any("app=web or ").is_err());
    }

    #[test]
    fn a_manifests_selector_means_the_same_as_its_text() {
        let value = json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["b", "a"] },
                { "key": "canary", "operator": "DoesNotExist" },
                { "key": "zone", "operator": "Exists" },
                { "key": "env", "operator": "NotIn", "values": ["test"] },
            ],
        });
        let selector = LabelSelector::from_json(&value).unwrap();
        assert_eq!(selector.to_string(), "app=web,tier in (a,b),!canary,zone,env!=test");
        for wrong in [
            json!({ "matchLabel": {} }),
            json!({ "matchExpressions": [{ "key": "a", "operator": "Near" }] }),
            json!({ "matchExpressions": [{ "key": "a", "operator": "In" }] }),
            json!({ "matchExpressions": [{ "key": "a", "operator": "Exists", "values": ["b"] }] }),
        ] {
            assert!(LabelSelector::from_json(&wrong).is_err(), "{wrong}");
        }
    }
}
