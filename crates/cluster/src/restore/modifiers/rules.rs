//! Rules ready to be applied: conditions compiled, patches parsed.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};
use json_patch::{Patch, PatchErrorKind};
use regex::Regex;
use serde_json::{Value, json};

use super::schemas::Schemas;
use super::{Conditions, JsonPatch, ModifierRule, PatchData, ResourceModifiers, strategic};
use crate::filter::{Globs, LabelSelector};
use crate::object::{ObjectKey, text_at};
use crate::restore::document::PlanError;

/// All rules of a document, in their order.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    /// Counted from 1, as people count.
    number: usize,
    condition: Condition,
    change: Change,
}

#[derive(Debug)]
struct Condition {
    group_resource: GlobMatcher,
    namespaces: Globs,
    name: Option<Regex>,
    labels: Option<LabelSelector>,
    matches: Vec<(String, Value)>,
}

#[derive(Debug)]
enum Change {
    Json(Patch),
    Merge(Vec<Value>),
    Strategic(Vec<Value>),
}

impl Rules {
    pub fn new(document: &ResourceModifiers) -> Result<Self, PlanError> {
        if document.version != "v1" {
            let detail = format!("version {:?} is not known; it must be v1", document.version);
            return Err(PlanError::Modifiers(detail));
        }
        if document.resource_modifier_rules.is_empty() {
            return Err(PlanError::Modifiers("it has no rules".to_owned()));
        }
        let rules = document.resource_modifier_rules.iter().enumerate().map(|(index, rule)| {
            let number = index + 1;
            let failed = |detail| PlanError::Modifiers(format!("rule {number}: {detail}"));
            let condition = Condition::new(&rule.conditions).map_err(failed)?;
            Ok(Rule { number, condition, change: Change::new(rule).map_err(failed)? })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// Applies every rule whose conditions hold for the object as it came in. An error leaves it half changed and says which rule.
    pub fn apply(&self, key: &ObjectKey, object: &mut Value, schemas: &Schemas) -> Result<(), String> {
        // Conditions are about the object before any rule: later ones do not see what earlier ones did.
        let chosen: Vec<_> = self.0.iter().filter(|rule| rule.condition.holds(key, object)).collect();
        for rule in chosen {
            let failed = |detail: String| format!("resource modifiers, rule {}: {detail}", rule.number);
            rule.change.apply(object, schemas).map_err(failed)?;
            let names = text_at(object, &["kind"]).len().min(text_at(object, &["metadata", "name"]).len());
            if names == 0 {
                return Err(failed("it leaves no kind and name".to_owned()));
            }
        }
        Ok(())
    }
}

impl Condition {
    fn new(conditions: &Conditions) -> Result<Self, String> {
        if conditions.group_resource.is_empty() {
            return Err("groupResource is empty".to_owned());
        }
        let name = &conditions.resource_name_regex;
        let compiled = Regex::new(name).map_err(|_| format!("resourceNameRegex {name:?} is no regular expression"))?;
        let matches = conditions.matches.iter().map(|it| {
            if it.path.starts_with('/') {
                Ok((it.path.clone(), json_of_text(&it.value)?))
            } else {
                Err(format!("the path {:?} of a match does not begin with /", it.path))
            }
        });
        Ok(Self {
            group_resource: dotted_glob(&conditions.group_resource)?,
            namespaces: Globs::parse(&conditions.namespaces).map_err(|error| error.to_string())?,
            name: (!name.is_empty()).then_some(compiled),
            labels: conditions
                .label_selector
                .as_ref()
                .map(|selector| LabelSelector::from_json(selector).map_err(|error| error.to_string()))
                .transpose()?,
            matches: matches.collect::<Result<_, _>>()?,
        })
    }

    fn holds(&self, key: &ObjectKey, object: &Value) -> bool {
        let is_in_namespace = match &key.namespace {
            Some(namespace) => self.namespaces.is_empty() || self.namespaces.matches(namespace),
            None => true,
        };
        is_in_namespace
            && self.group_resource.is_match(slashed(&key.resource.to_string()))
            && self.name.as_ref().is_none_or(|name| name.is_match(&key.name))
            && self.labels.as_ref().is_none_or(|selector| selector.matches(&labels_of(object)))
            && self.matches.iter().all(|(path, value)| object.pointer(path) == Some(value))
    }
}

impl Change {
    fn new(rule: &ModifierRule) -> Result<Self, String> {
        let ModifierRule { patches, merge_patches, strategic_patches, .. } = rule;
        match (patches.is_empty(), merge_patches.is_empty(), strategic_patches.is_empty()) {
            (false, true, true) => {
                let operations = patches.iter().map(operation).collect::<Result<Vec<_>, _>>()?;
                let patch = serde_json::from_value(Value::Array(operations)).map_err(|error| error.to_string())?;
                Ok(Self::Json(patch))
            }
            (true, false, true) => patch_data(merge_patches).map(Self::Merge),
            (true, true, false) => patch_data(strategic_patches).map(Self::Strategic),
            (true, true, true) => Err("it has no patches".to_owned()),
            _ => Err("it has more than one of patches, mergePatches and strategicPatches".to_owned()),
        }
    }

    fn apply(&self, object: &mut Value, schemas: &Schemas) -> Result<(), String> {
        match self {
            Self::Json(patch) => match json_patch::patch(object, patch) {
                Ok(()) => Ok(()),
                // A test is how a rule asks whether it is meant.
                Err(error) if matches!(error.kind, PatchErrorKind::TestFailed) => Ok(()),
                Err(error) => Err(format!("operation {} at {}: {}", error.operation + 1, error.path, error.kind)),
            },
            Self::Merge(patches) => {
                for patch in patches {
                    json_patch::merge(object, patch);
                }
                Ok(())
            }
            Self::Strategic(patches) => {
                let schema = schemas.of_kind(text_at(object, &["apiVersion"]), text_at(object, &["kind"]))?;
                patches.iter().try_for_each(|patch| strategic::apply(object, patch, &schema))
            }
        }
    }
}

/// An operation as RFC 6902 writes it.
fn operation(patch: &JsonPatch) -> Result<Value, String> {
    let JsonPatch { operation, from, path, value } = patch;
    if path.is_empty() {
        return Err(format!("a patch ({operation}) has no path"));
    }
    match &operation[..] {
        "add" | "replace" | "test" => Ok(json!({"op": operation, "path": path, "value": json_of_text(value)?})),
        "remove" => Ok(json!({"op": operation, "path": path})),
        "move" | "copy" => Ok(json!({"op": operation, "from": from, "path": path})),
        _ => Err(format!("{operation:?} is none of add, remove, replace, test, move, copy")),
    }
}

/// A value is always a text. What reads as JSON is meant as JSON (a text in quotes stays a text that way), everything else as it stands.
fn json_of_text(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(_) if text.starts_with(['{', '[']) => Err(format!("the value {text:?} begins like JSON, but is none")),
        Err(_) => Ok(Value::from(text)),
    }
}

/// YAML or JSON, which YAML includes.
fn patch_data(patches: &[PatchData]) -> Result<Vec<Value>, String> {
    let parse = |patch: &PatchData| match serde_saphyr::from_str::<Value>(&patch.patch_data) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("patchData is not an object".to_owned()),
        Err(error) => Err(format!("patchData cannot be read: {error}")),
    };
    patches.iter().map(parse).collect()
}

/// `*` ends at a dot, `**` does not.
fn dotted_glob(pattern: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(&slashed(pattern)).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("groupResource {pattern:?}: {}", error.kind()))
}

/// The globs here know one separator.
fn slashed(text: &str) -> String {
    text.replace('.', "/")
}

fn labels_of(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
