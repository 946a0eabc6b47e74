//! Guards: what makes a snapshot one that somebody should look at before relying on it.
//!
//! They compare with the newest accepted snapshot of the source. A flagged snapshot is kept like any other, but `latest` passes it over
//! until it is accepted. That a kind has no objects any more is no reason as long as it is still listed: events and jobs come and go.

use backstay_format::log::{ClusterIdentityRecord, SnapshotRecord};

use crate::snapshot::Lists;

/// Fewer objects than this many per cent of those before are too few.
pub const GUARD_OBJECTS_PERCENT_DEFAULT: u8 = 70;

/// Resources that a flag names.
const NAMED_MAX: usize = 5;

/// What is compared.
pub(super) struct Seen<'a> {
    pub(super) cluster: &'a ClusterIdentityRecord,
    pub(super) objects: u64,
    pub(super) lists: &'a Lists,
}

/// The guards' words; none where all is well.
pub(super) fn flags(before: &SnapshotRecord, before_lists: &Lists, now: &Seen<'_>, objects_percent: u8) -> Vec<String> {
    let mut flags = Vec::new();
    let parent = before.id.short();
    let uid_before = before.cluster.as_ref().map(|cluster| &cluster.uid[..]).unwrap_or_default();
    let uid = &now.cluster.uid[..];
    if !uid.is_empty() && !uid_before.is_empty() && uid != uid_before {
        flags
            .push(format!("this is another cluster (kube-system {uid}) than that of snapshot {parent} ({uid_before})"));
    }
    let objects_before = before.summary.objects;
    if u128::from(now.objects) * 100 < u128::from(objects_before) * u128::from(objects_percent) {
        flags.push(format!(
            "{} objects are fewer than {objects_percent} % of the {objects_before} in snapshot {parent}",
            now.objects
        ));
    }
    let gone: Vec<String> = before_lists
        .resources
        .iter()
        .filter(|listed| listed.objects > 0 && !listed.lists.is_empty())
        .filter(|listed| now.lists.get(&listed.resource.name).is_none_or(|listed| listed.lists.is_empty()))
        .map(|listed| format!("{} ({})", listed.resource.name, listed.objects))
        .collect();
    if !gone.is_empty() {
        let more = gone.len().saturating_sub(NAMED_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let named = gone[..gone.len().min(NAMED_MAX)].join(", ");
        flags.push(format!("not listed, with objects in snapshot {parent}: {named}{more}"));
    }
    flags
}

#[cfg(test)]
mod tests {
    use backstay_format::ids::{ChunkId, SnapshotId};
    use backstay_format::log::{SnapshotKind, Summary, TreeRef};

    use super::*;
    use crate::resource::{Resource, ResourceName};
    use crate::snapshot::{ListedAt, ListedResource};

    fn identity(uid: &str) -> ClusterIdentityRecord {
        ClusterIdentityRecord { uid: uid.to_owned(), version: "v1.36.3".to_owned(), ..ClusterIdentityRecord::default() }
    }

    fn lists(resources: &[(&str, u64, bool)]) -> Lists {
        let listed = |&(plural, objects, was_listed): &(&str, u64, bool)| ListedResource {
            resource: Resource {
                name: ResourceName::core(plural),
                version: "v1".to_owned(),
                kind: String::new(),
                singular: String::new(),
                short_names: Vec::new(),
                categories: Vec::new(),
                namespaced: true,
                served: Vec::new(),
            },
            objects,
            lists: if was_listed { vec![at()] } else { Vec::new() },
        };
        Lists { resources: resources.iter().map(listed).collect(), ..Lists::default() }
    }

    fn at() -> ListedAt {
        let time = "2026-01-01T00:00:00Z".to_owned();
        ListedAt { namespace: None, resource_version: "1".to_owned(), time, inconsistent: false }
    }

    fn before(objects: u64, uid: &str) -> SnapshotRecord {
        SnapshotRecord {
            summary: Summary { objects, ..Summary::default() },
            cluster: Some(identity(uid)),
            ..SnapshotRecord::new(
                SnapshotId::new([7; 16]),
                SnapshotKind::Cluster,
                "one",
                "",
                TreeRef { root: ChunkId::new([0; 32]), level: 0, items: 0 },
            )
        }
    }

    #[test]
    fn each_guard_speaks_where_it_should_and_nowhere_else() {
        let all = lists(&[("pods", 90, true), ("secrets", 10, true), ("nodes", 1, false)]);
        let rows = [
            // Objects, uid, lists, what is flagged.
            (100, "a", all.clone(), None),
            (70, "a", all.clone(), None),
            (69, "a", all.clone(), Some("69 objects are fewer than 70 % of the 100 in snapshot 07070707")),
            (100, "b", all.clone(), Some("this is another cluster (kube-system b)")),
            (100, "", all.clone(), None),
            (100, "a", lists(&[("pods", 90, true), ("secrets", 0, true)]), None),
            (
                100,
                "a",
                lists(&[("pods", 90, true)]),
                Some("not listed, with objects in snapshot 07070707: secrets (10)"),
            ),
            (100, "a", lists(&[("pods", 90, true), ("secrets", 3, false)]), Some("not listed")),
        ];
        for (objects, uid, now, expected) in rows {
            let seen = Seen { cluster: &identity(uid), objects, lists: &now };
            let flags = flags(&before(100, "a"), &all, &seen, 70);
            match expected {
                None => assert_eq!(flags, Vec::<String>::new()),
                Some(start) => assert!(flags.len() == 1 && flags[0].starts_with(start), "{flags:?}"),
            }
        }
    }
}
