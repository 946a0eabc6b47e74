//! Which objects of a snapshot a restore is about: the options, held against what the snapshot has.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::PlanError;
use super::options::RestoreOptions;
use super::prepare::is_never_restored;
use crate::filter::{Choice, Filters, LabelSelector, NamespaceFacts};
use crate::resource::Resource;
use crate::snapshot::Lists;

/// The options' choice in one snapshot.
pub(super) struct Scope {
    choice: Choice,
}

impl Scope {
    /// `namespaces`: the names that the snapshot has. Also gives what was named and is not there.
    pub(super) fn new(
        options: &RestoreOptions,
        lists: &Lists,
        namespaces: impl IntoIterator<Item = String>,
    ) -> Result<(Self, Vec<String>), PlanError> {
        let filters = filters(options)?;
        let facts: Vec<_> = namespaces.into_iter().map(|name| NamespaceFacts { name, ..Default::default() }).collect();
        let resolve = |text: &str| find(lists, text).cloned();
        let refused =
            options.included_resources.iter().filter_map(|text| resolve(text).map(|found| (text, found.name)));
        for (text, name) in refused {
            if is_never_restored(&name) {
                let detail =
                    format!("{text}: {name} are never restored, because they belong to the cluster that made them");
                return Err(PlanError::Option { option: "included resources", detail });
            }
        }
        check_mappings(&options.namespace_mappings)?;
        let (choice, mut notes) =
            Choice::new(&filters, &resolve, &facts).map_err(|error| PlanError::option("filters", &error))?;
        for namespace in options.namespace_mappings.keys().filter(|name| !facts.iter().any(|it| it.name == **name)) {
            notes.push(format!("namespace {namespace} is mapped, but not in the snapshot"));
        }
        let notes =
            notes.into_iter().map(|note| note.replace("the cluster has no resource", "the snapshot has no resource"));
        Ok((Self { choice }, notes.collect()))
    }

    /// Whether objects of the resource are restored because they were asked for.
    pub(super) fn has_resource(&self, resource: &Resource) -> bool {
        self.choice.lists(resource)
    }

    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.choice.has_namespace(name)
    }

    /// Whether an object of the whole cluster may come along because a chosen one needs it.
    pub(super) fn may_come_along(&self, resource: &Resource) -> bool {
        self.choice.may_come_along(resource, None)
    }

    /// By its labels.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let selectors = self.choice.selectors();
        selectors.is_empty() || {
            let labels = labels_of(object);
            selectors.iter().any(|selector| selector.matches(&labels))
        }
    }

    /// `has_objects`: something in it is restored.
    pub(super) fn has_namespace_object(&self, name: &str, object: &Value, has_objects: bool) -> bool {
        let facts = NamespaceFacts { name: name.to_owned(), labels: labels_of(object), phase: String::new() };
        self.choice.leaves_out_namespace_object(&facts, has_objects).is_none()
    }
}

/// A snapshot's resource by any of its names.
pub(super) fn find<'l>(lists: &'l Lists, text: &str) -> Option<&'l Resource> {
    lists.resources.iter().map(|listed| &listed.resource).find(|resource| is_called(resource, text))
}

/// Plural, `plural.group`, kind, singular or short name, in any case.
pub(super) fn is_called(resource: &Resource, text: &str) -> bool {
    let is = |name: &str| !name.is_empty() && name.eq_ignore_ascii_case(text);
    is(&resource.name.plural)
        || is(&resource.name.to_string())
        || is(&resource.kind)
        || is(&resource.singular)
        || resource.short_names.iter().any(|name| is(name))
}

fn filters(options: &RestoreOptions) -> Result<Filters, PlanError> {
    let parse = |text: &String| LabelSelector::parse(text).map_err(|error| PlanError::option("label selector", &error));
    Ok(Filters {
        included_namespaces: options.included_namespaces.clone(),
        excluded_namespaces: options.excluded_namespaces.clone(),
        included_resources: options.included_resources.clone(),
        excluded_resources: options.excluded_resources.clone(),
        include_cluster_resources: options.include_cluster_resources,
        label_selector: options.label_selector.as_ref().map(parse).transpose()?,
        or_label_selectors: options.or_label_selectors.iter().map(parse).collect::<Result<_, _>>()?,
        ..Filters::default()
    })
}

/// What a namespace is mapped to has to be a name that a namespace can have.
fn check_mappings(mappings: &BTreeMap<String, String>) -> Result<(), PlanError> {
    let is_inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    for (from, to) in mappings {
        let is_label =
            (1..=63).contains(&to.len()) && to.chars().all(is_inner) && !to.starts_with('-') && !to.ends_with('-');
        if !is_label {
            let detail =
                format!("{from} cannot become {to:?}: a namespace's name has 1 to 63 letters a-z, digits and -");
            return Err(PlanError::Option { option: "namespace mappings", detail });
        }
    }
    Ok(())
}

fn labels_of(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
