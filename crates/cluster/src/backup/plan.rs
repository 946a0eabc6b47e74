//! What a run will list: decided from what the server has, its namespaces and the filters, before the first object is read.

use std::collections::BTreeSet;

use backstay_format::log::LedgerEntry;
use serde::Deserialize;

use super::entry::{find, key_below_resource};
use super::related::Wants;
use super::take::{Taken, Unit, failed, not_fatal, noted, path_of};
use crate::api::{ListOptions, Page, Server};
use crate::error::{ClusterError, Result};
use crate::filter::{Choice, FilterError, Filters, Globs, NamespaceFacts};
use crate::object::{Head, ObjectKey};
use crate::resource::{Resource, ResourceName};
use crate::snapshot::Lists;

/// Velero's order of what is ordered: claims follow the pods that write to them, and volumes their claims.
const ORDERED_FIRST: [&str; 3] = ["pods", "persistentvolumeclaims", "persistentvolumes"];

/// Up to so many namespaces are listed one by one in any case.
const SINGLE_NAMESPACES_MAX: usize = 8;

pub(super) struct Plan {
    pub(super) choice: Choice,
    pub(super) wants: Wants,
    /// Listed one after the other, before all others.
    pub(super) ordered: Vec<Unit>,
    /// Those with the most objects in the parent first.
    pub(super) units: Vec<Unit>,
    /// Listed last, where they are chosen.
    pub(super) namespaces: Option<Namespaces>,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) notes: Vec<String>,
}

pub(super) struct Namespaces {
    pub(super) resource: Resource,
    /// Otherwise only those can be had whose names are known.
    pub(super) are_listable: bool,
}

pub(super) fn plan(server: &Server, filters: &Filters, before: &Lists) -> Result<Plan> {
    let discovery = server.discover()?;
    let mut ledger: Vec<LedgerEntry> = discovery
        .failed
        .iter()
        .map(|group| failed(format!("groups/{}", group.group_version), "group-failed", group.detail.clone()))
        .collect();
    let namespaces = discovery.get(&ResourceName::core("namespaces")).map(|served| served.resource.clone());
    let facts = match &namespaces {
        Some(resource) => facts(server, resource)?,
        None => None,
    };
    let find = |text: &str| discovery.find(text).map(|served| served.resource.clone());
    let (choice, notes) = Choice::new(filters, &find, facts.as_deref().unwrap_or_default())?;
    let chosen = chosen_namespaces(&choice, filters, facts.as_deref(), &mut ledger)?;
    let are_most = chosen
        .as_ref()
        .zip(facts.as_ref())
        .is_some_and(|(chosen, all)| chosen.len() > SINGLE_NAMESPACES_MAX && chosen.len() * 2 >= all.len());
    let is_taken = |resource: &Resource| choice.lists(resource) && !resource.name.is_core("namespaces");
    let mut units: Vec<Unit> = discovery
        .resources
        .iter()
        .filter(|served| served.has("list") && served.has("create") && is_taken(&served.resource))
        .map(|served| &served.resource)
        // With namespaces chosen of which none is there, nothing in a namespace is.
        .filter(|resource| !resource.namespaced || chosen.as_ref().is_none_or(|names| !names.is_empty()))
        .map(|resource| Unit {
            resource: resource.clone(),
            namespaces: chosen.clone().filter(|_| resource.namespaced).unwrap_or_default(),
            are_most: resource.namespaced && are_most,
        })
        .collect();
    let rank_before = |unit: &Unit| before.get(&unit.resource.name).map_or(0, |listed| listed.objects);
    units.sort_by_key(|unit| std::cmp::Reverse(rank_before(unit)));
    let listed: BTreeSet<ResourceName> = units.iter().map(|unit| unit.resource.name.clone()).collect();
    let wants = Wants::new(
        &|name| discovery.get(name).map(|served| served.resource.clone()),
        // Whether a namespace is chosen is asked for each object.
        &|resource| resource.namespaced || choice.may_come_along(resource, None),
        &|name| choice.selectors().is_empty() && listed.contains(name),
    );
    let ranks = ordered_ranks(filters, &find);
    let (mut ordered, units): (Vec<Unit>, Vec<Unit>) =
        units.into_iter().partition(|unit| ranks.contains(&unit.resource.name));
    ordered.sort_by_key(|unit| ranks.iter().position(|name| *name == unit.resource.name));
    let namespaces = namespaces
        .filter(|resource| choice.lists(resource))
        .map(|resource| Namespaces { resource, are_listable: facts.is_some() });
    Ok(Plan { choice, wants, ordered, units, namespaces, ledger, notes })
}

/// Objects that are expected by name, and are not there, are worth knowing.
pub(super) fn expect_ordered(filters: &Filters, ordered: &[Unit], all: &[Taken], ledger: &mut Vec<LedgerEntry>) {
    for (text, names) in &filters.ordered_resources {
        let is_meant = |unit: &&Unit| {
            let resource = &unit.resource;
            resource.name.plural == *text || resource.name.to_string() == *text || resource.short_names.contains(text)
        };
        let Some(resource) = ordered.iter().find(is_meant).map(|unit| &unit.resource) else { continue };
        let taken = all.iter().find(|taken| taken.resource.name == resource.name);
        for name in names {
            let (namespace, name) = name.split_once('/').map_or((None, &name[..]), |(ns, name)| (Some(ns), name));
            let key = ObjectKey::new(resource.name.clone(), namespace, name);
            if taken.is_none_or(|taken| find(&taken.entries, &key_below_resource(&key)).is_none()) {
                ledger.push(noted(&key, "missing", "named by the ordered resources"));
            }
        }
    }
}

/// A namespace's phase: `Active` or `Terminating`.
pub(super) fn phase(namespace: &[u8]) -> String {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Namespace {
        status: Status,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Status {
        phase: String,
    }
    serde_json::from_slice::<Namespace>(namespace).unwrap_or_default().status.phase
}

/// All namespaces; nothing where they may not be listed.
fn facts(server: &Server, resource: &Resource) -> Result<Option<Vec<NamespaceFacts>>> {
    let mut facts = Vec::new();
    let listed = server.list(resource, &ListOptions::default(), &mut |page: Page| {
        if page.restart {
            facts.clear();
        }
        for object in &page.items {
            if let Ok(head) = Head::parse(object) {
                let phase = phase(object);
                facts.push(NamespaceFacts { name: head.metadata.name, labels: head.metadata.labels, phase });
            }
        }
        Ok::<_, ClusterError>(())
    });
    match listed {
        Ok(_) => Ok(Some(facts)),
        Err(ClusterError::Api(error)) if error.is_forbidden() => Ok(None),
        Err(ClusterError::Api(error)) => Err(not_fatal(error)?.into()),
        Err(error) => Err(error),
    }
}

/// The namespaces to list one by one; nothing where the whole cluster is listed.
fn chosen_namespaces(
    choice: &Choice,
    filters: &Filters,
    facts: Option<&[NamespaceFacts]>,
    ledger: &mut Vec<LedgerEntry>,
) -> Result<Option<Vec<String>>> {
    if choice.includes_every_namespace() {
        return Ok(None);
    }
    let Some(facts) = facts else {
        if let Some(pattern) = Globs::parse(&filters.included_namespaces)?.wildcards().next() {
            let detail = "the namespaces it could match may not be listed by this account".to_owned();
            return Err(FilterError::Pattern { pattern: pattern.to_owned(), detail }.into());
        }
        return Ok(Some(
            choice.named_namespaces().filter(|name| choice.has_namespace(name)).map(str::to_owned).collect(),
        ));
    };
    for name in choice.named_namespaces() {
        if !facts.iter().any(|namespace| namespace.name == *name) {
            let key = ObjectKey::new(ResourceName::core("namespaces"), None, name);
            ledger.push(failed(path_of(&key), "no-such-namespace", "it was included by its name".to_owned()));
        }
    }
    let chosen = facts.iter().filter(|namespace| choice.has_namespace(&namespace.name));
    Ok(Some(chosen.map(|namespace| namespace.name.clone()).collect()))
}

/// Resources that are ordered, in their order.
fn ordered_ranks(filters: &Filters, find: &dyn Fn(&str) -> Option<Resource>) -> Vec<ResourceName> {
    let mut ranks: Vec<ResourceName> =
        filters.ordered_resources.keys().filter_map(|text| find(text)).map(|resource| resource.name).collect();
    let first =
        |name: &ResourceName| ORDERED_FIRST.iter().position(|plural| name.is_core(plural)).unwrap_or(usize::MAX);
    ranks.sort_by_key(first);
    ranks
}
