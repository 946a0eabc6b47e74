//! Owner references over a restore: in which order owners and dependents go in, and which references a new object carries.
//!
//! An uid of the old cluster is never written: the garbage collector deletes an object whose owner's uid does not exist. So a
//! dependent waits for its owner and carries the new uid in its create. The exception is what a controller makes by itself: were the
//! controller there first, it would make all of it again. Those go in before it, without the reference, and it adopts them by their
//! labels, which is what it does with orphans (tested on the real controllers in `restore_owners`). A controller that we do not know
//! to adopt gets the reference patched in the end, and so do owners that own each other.

use std::collections::{HashMap, HashSet};

use super::document::{OwnerInPlan, PlanItem};
use crate::object::ObjectKey;
use crate::resource::ResourceName;

/// How a dependent comes to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is created after the owner, with the reference.
    Carried,
    /// It is created before the owner, without, and the owner takes it.
    Adopted,
    /// It is created without, and the reference is patched when everything is there.
    Late,
}

/// Items in the order in which they are written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Order {
    /// Indices of items. Those of one wave do not need each other.
    pub(super) waves: Vec<Vec<usize>>,
    /// Dependents and their owners, by place in the plan, that have to go the last way because they own each other.
    cycles: Vec<(usize, usize)>,
    places: HashMap<ObjectKey, usize>,
}

impl Order {
    pub(super) fn new(items: &[PlanItem]) -> Self {
        let places: HashMap<_, _> = items.iter().enumerate().map(|(place, item)| (item.key.clone(), place)).collect();
        // What has to be written before each item, and whether it is for the sake of a reference that is carried.
        let mut before: Vec<Vec<(usize, bool)>> = vec![Vec::new(); items.len()];
        for (place, item) in items.iter().enumerate() {
            for owner in &item.owners {
                let Some(&owner_place) = places.get(&owner.key) else { continue };
                match way(&item.key.resource, owner) {
                    Way::Carried => before[place].push((owner_place, true)),
                    Way::Adopted | Way::Late => before[owner_place].push((place, false)),
                }
            }
        }
        let mut order = Self { places, ..Self::default() };
        let mut ranks: Vec<Option<(u32, u32)>> = vec![None; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        while !open.is_empty() {
            let is_ready = |place: &usize| before[*place].iter().all(|(it, _)| ranks[*it].is_some());
            let (mut ready, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(is_ready);
            open = rest;
            if ready.is_empty() {
                // Some own each other: following what is missing ends in such a circle, and one of it goes in without.
                let mut first = open[0];
                let mut seen = HashSet::new();
                while seen.insert(first) {
                    let missing = before[first].iter().find(|(it, _)| ranks[*it].is_none());
                    first = missing.map_or(first, |(it, _)| *it);
                }
                open.retain(|place| *place != first);
                let (done, undone): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut before[first]).into_iter().partition(|(it, _)| ranks[*it].is_some());
                before[first] = done;
                order.cycles.extend(undone.into_iter().filter(|(_, carried)| *carried).map(|(it, _)| (first, it)));
                ready.push(first);
            }
            for place in ready {
                let mut rank = (items[place].layer, 0);
                for (layer, level) in before[place].iter().filter_map(|(it, _)| ranks[*it]) {
                    rank = rank.max((layer, level + 1));
                }
                ranks[place] = Some(rank);
            }
        }
        let mut ranked: Vec<(Option<(u32, u32)>, usize)> = ranks.into_iter().zip(0..).collect();
        ranked.sort_unstable();
        for group in ranked.chunk_by(|(left, _), (right, _)| left == right) {
            order.waves.push(group.iter().map(|(_, place)| *place).collect());
        }
        order
    }

    pub(super) fn place(&self, key: &ObjectKey) -> Option<usize> {
        self.places.get(key).copied()
    }

    /// How the item at this place comes to one of its owners in the plan.
    pub(super) fn way(&self, place: usize, item: &PlanItem, owner: &OwnerInPlan) -> Way {
        let way = way(&item.key.resource, owner);
        let is_in_cycle = self.place(&owner.key).is_some_and(|owner| self.cycles.contains(&(place, owner)));
        if way == Way::Carried && is_in_cycle { Way::Late } else { way }
    }
}

fn way(dependent: &ResourceName, owner: &OwnerInPlan) -> Way {
    let [dependent, owner_name] = [dependent, &owner.key.resource].map(ToString::to_string);
    match (dependent.as_str(), owner_name.as_str()) {
        _ if !owner.controller => Way::Carried,
        ("pods", "replicasets.apps" | "replicationcontrollers" | "statefulsets.apps" | "daemonsets.apps")
        | ("replicasets.apps", "deployments.apps")
        | ("controllerrevisions.apps", "statefulsets.apps" | "daemonsets.apps") => Way::Adopted,
        // It knows its jobs by the reference alone and never adopts; nor does it start one for a time before its own creation.
        ("jobs.batch", "cronjobs.batch") => Way::Carried,
        ("pods" | "replicasets.apps" | "controllerrevisions.apps" | "jobs.batch", _) => Way::Late,
        _ => Way::Carried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::document::Action;

    fn key(text: &str) -> ObjectKey {
        let (resource, name) = text.split_once('/').unwrap();
        let Ok(resource) = resource.parse();
        ObjectKey::new(resource, Some("shop"), name)
    }

    fn item(text: &str, layer: u32, owners: &[(&str, bool)]) -> PlanItem {
        let owner = |(owner, controller): &(&str, bool)| OwnerInPlan {
            key: key(owner),
            uid: (*owner).to_owned(),
            controller: *controller,
        };
        PlanItem {
            key: key(text),
            target: key(text),
            action: Action::Create,
            live: None,
            layer,
            owners: owners.iter().map(owner).collect(),
            notes: Vec::new(),
        }
    }

    fn waves(items: &[PlanItem]) -> Vec<Vec<String>> {
        let names = |wave: &Vec<usize>| wave.iter().map(|place| items[*place].key.name.clone()).collect();
        Order::new(items).waves.iter().map(names).collect()
    }

    #[test]
    fn what_a_controller_makes_goes_in_before_it_and_other_dependents_after_their_owner() {
        let items = [
            item("configmaps/config", 10, &[("deployments.apps/web", false)]),
            item("secrets/other", 10, &[]),
            item("pods/web-1-a", 11, &[("replicasets.apps/web-1", true)]),
            item("replicasets.apps/web-1", 12, &[("deployments.apps/web", true)]),
            item("deployments.apps/web", 16, &[]),
        ];
        assert_eq!(waves(&items), [&["other"][..], &["web-1-a"], &["web-1"], &["web"], &["config"]]);
    }

    #[test]
    fn a_controller_waits_for_what_it_adopts_even_where_its_layer_comes_first() {
        let items = [
            item("widgets.example.com/w", 3, &[]),
            item("jobs.batch/import", 12, &[("widgets.example.com/w", true)]),
            item("jobs.batch/nightly-1", 12, &[("cronjobs.batch/nightly", true)]),
            item("cronjobs.batch/nightly", 16, &[]),
        ];
        assert_eq!(waves(&items), [&["import"][..], &["w"], &["nightly"], &["nightly-1"]]);
        let order = Order::new(&items);
        assert_eq!(order.way(1, &items[1], &items[1].owners[0]), Way::Late);
        assert_eq!(order.way(2, &items[2], &items[2].owners[0]), Way::Carried);
    }

    #[test]
    fn owners_that_own_each_other_all_go_in_and_one_reference_is_late() {
        let items = [
            item("widgets.example.com/a", 5, &[("widgets.example.com/b", false)]),
            item("widgets.example.com/b", 5, &[("widgets.example.com/a", false)]),
            item("widgets.example.com/self", 5, &[("widgets.example.com/self", false)]),
        ];
        let order = Order::new(&items);
        assert_eq!(order.waves, [vec![0, 2], vec![1]]);
        let way = |place: usize| order.way(place, &items[place], &items[place].owners[0]);
        assert_eq!([way(0), way(1), way(2)], [Way::Late, Way::Carried, Way::Late]);
    }
}
