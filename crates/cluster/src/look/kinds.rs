//! Kinds as they are typed: plural, `plural.group`, kind, singular and short name, `all`, and several joined by commas.

use crate::resource::{Resource, ResourceName};
use crate::snapshot::{ListedResource, Lists};

use super::LookError;

/// Names that are shown where the typed one is not known.
const NEAR_MAX: usize = 5;
/// The category that holds what people mean by "everything" of an application.
const CATEGORY_ALL: &str = "all";

/// What the text names, in the order in which it does, each once.
pub fn resolve_kinds<'l>(lists: &'l Lists, text: &str) -> Result<Vec<&'l ListedResource>, LookError> {
    let mut found: Vec<&ListedResource> = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let named = match resolve_kind(lists, word) {
            Ok(resource) => vec![resource],
            Err(LookError::UnknownKind { .. }) if is_category(lists, word) => in_category(lists, word),
            Err(error) => return Err(error),
        };
        for resource in named {
            if !found.iter().any(|it| it.resource.name == resource.resource.name) {
                found.push(resource);
            }
        }
    }
    if found.is_empty() { Err(unknown(lists, text)) } else { Ok(found) }
}

/// The one resource that a word names. Where groups have the same word, Kubernetes' own is meant.
pub fn resolve_kind<'l>(lists: &'l Lists, word: &str) -> Result<&'l ListedResource, LookError> {
    let mut matching: Vec<_> = lists.resources.iter().filter(|it| is_named(&it.resource, word)).collect();
    let Some(best) = matching.iter().map(|it| rank(&it.resource.name)).min() else {
        return Err(unknown(lists, word));
    };
    matching.retain(|it| rank(&it.resource.name) == best);
    match matching[..] {
        [one] => Ok(one),
        _ => Err(LookError::AmbiguousKind {
            text: word.to_owned(),
            candidates: matching.iter().map(|it| it.resource.name.to_string()).collect(),
        }),
    }
}

/// `candidates` that a typed word is close to, the closest first.
pub(super) fn near<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    let mut scored: Vec<(usize, &str)> = candidates
        .filter_map(|candidate| {
            let distance = edit_distance(&word, &candidate.to_ascii_lowercase());
            let is_part = word.len() >= 3 && candidate.contains(&word[..]);
            (is_part || distance <= word.chars().count().div_ceil(3)).then_some((distance, candidate))
        })
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(NEAR_MAX).map(|(_, candidate)| candidate.to_owned()).collect()
}

fn is_named(resource: &Resource, word: &str) -> bool {
    let is_word = |name: &str| !name.is_empty() && name.eq_ignore_ascii_case(word);
    let group_matches = |group: &str| resource.name.group.eq_ignore_ascii_case(group);
    let names = || {
        let short = resource.short_names.iter().map(String::as_str);
        [&resource.name.plural[..], &resource.singular, &resource.kind].into_iter().chain(short)
    };
    if names().any(is_word) || is_word(&resource.name.to_string()) {
        return true;
    }
    // `deployment.apps`, `deploy.apps`.
    word.split_once('.')
        .is_some_and(|(name, group)| group_matches(group) && names().any(|it| it.eq_ignore_ascii_case(name)))
}

/// Kubernetes' own groups first: the core, those without dots, those of its domain.
fn rank(name: &ResourceName) -> u8 {
    match &name.group[..] {
        "" => 0,
        group if !group.contains('.') => 1,
        group if group.ends_with(".k8s.io") => 2,
        _ => 3,
    }
}

fn is_category(lists: &Lists, word: &str) -> bool {
    word == CATEGORY_ALL || lists.resources.iter().any(|it| it.resource.categories.iter().any(|name| name == word))
}

fn in_category<'l>(lists: &'l Lists, word: &str) -> Vec<&'l ListedResource> {
    lists.resources.iter().filter(|it| it.resource.categories.iter().any(|name| name == word)).collect()
}

fn unknown(lists: &Lists, text: &str) -> LookError {
    let names = lists.resources.iter().flat_map(|it| {
        [&it.resource.name.plural[..], &it.resource.singular].into_iter().filter(|name| !name.is_empty())
    });
    LookError::UnknownKind { text: text.to_owned(), near: near(text, names) }
}

/// Single characters that are to be put in, taken out or replaced.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, left) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, right) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        let resource = |plural: &str, group: &str, kind: &str, short: &[&str], categories: &[&str]| ListedResource {
            resource: Resource {
                name: ResourceName::new(plural, group),
                version: "v1".to_owned(),
                kind: kind.to_owned(),
                singular: kind.to_lowercase(),
                short_names: short.iter().map(|it| (*it).to_owned()).collect(),
                categories: categories.iter().map(|it| (*it).to_owned()).collect(),
                namespaced: true,
                served: Vec::new(),
            },
            objects: 1,
            lists: Vec::new(),
        };
        Lists {
            resources: vec![
                resource("deployments", "apps", "Deployment", &["deploy"], &["all"]),
                resource("events", "", "Event", &["ev"], &[]),
                resource("events", "events.k8s.io", "Event", &["ev"], &[]),
                resource("gateways", "one.example.com", "Gateway", &["gw"], &[]),
                resource("gateways", "two.example.com", "Gateway", &["gw"], &[]),
                resource("pods", "", "Pod", &["po"], &["all"]),
            ],
            ..Lists::default()
        }
    }

    fn names(text: &str) -> Result<Vec<String>, LookError> {
        let lists = lists();
        let found = resolve_kinds(&lists, text)?;
        Ok(found.iter().map(|it| it.resource.name.to_string()).collect())
    }

    #[test]
    fn a_kind_is_found_by_every_name_that_kubectl_takes() {
        for text in
            ["deployments", "deployment", "Deployment", "deploy", "deployments.apps", "deploy.apps", "DEPLOYMENT"]
        {
            assert_eq!(names(text).unwrap(), ["deployments.apps"], "{text}");
        }
        assert_eq!(names("po,deploy,pods").unwrap(), ["pods", "deployments.apps"]);
        assert_eq!(names("all").unwrap(), ["deployments.apps", "pods"]);
        assert_eq!(names("ev").unwrap(), ["events"]);
        assert_eq!(names("events.events.k8s.io").unwrap(), ["events.events.k8s.io"]);
        assert_eq!(names("gw.two.example.com").unwrap(), ["gateways.two.example.com"]);
    }

    #[test]
    fn a_word_that_fits_two_foreign_groups_is_not_guessed() {
        let Err(LookError::AmbiguousKind { candidates, .. }) = names("gw") else { panic!("it was guessed") };
        assert_eq!(candidates, ["gateways.one.example.com", "gateways.two.example.com"]);
    }

    #[test]
    fn what_was_nearly_typed_right_is_offered() {
        for (text, expected) in
            [("deploymnet", vec!["deployment", "deployments"]), ("pdos", vec!["pod", "pods"]), ("zzz", vec![])]
        {
            let Err(LookError::UnknownKind { near, .. }) = names(text) else { panic!("{text} was found") };
            assert_eq!(near, expected, "{text}");
        }
    }
}
