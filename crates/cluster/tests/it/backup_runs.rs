//! Whole backups of a cluster of their own: everything is there, an unchanged cluster costs next to nothing, and guards speak.

use std::collections::BTreeSet;

use backstay_cluster::backup::BackupOptions;
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::{ObjectReader, Within};
use backstay_format::tree::key_parent;
use backstay_repo::tree::TreeCursor;
use backstay_testkit::cluster::{Cluster, ClusterOptions, shared, start};
use backstay_testkit::faulty::Verb;
use serde_json::{Value, json};

use crate::backup_world::{World, connect, options, reasons};

/// What a run that only finds the same may store.
const UNCHANGED_BYTES_MAX: u64 = 16 << 10;
/// What a changed object may cost on top of that.
const CHANGED_BYTES_MAX: u64 = 4 << 10;
const CONFIG_MAPS: usize = 400;

fn config_map(namespace: &str, number: usize, generation: usize) -> String {
    // Close to 8 KiB that do not compress to nothing.
    let mut manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-{number}, namespace: {namespace}}}\ndata:\n  app.conf: |\n"
    );
    for line in 0..280 {
        let (name, value) = (number * 7919 + line, (number + 1) * (line + 1) * (generation + 31));
        manifest.push_str(&format!("    setting-{line}-{name:x} = {value:x}\n"));
    }
    manifest + "---\n"
}

fn fill(cluster: &Cluster) {
    cluster.kubectl(&["create", "namespace", "shop"]);
    let yaml: String = (0..CONFIG_MAPS).map(|number| config_map("shop", number, 0)).collect();
    cluster.kubectl_with(&["create", "-f", "-"], &yaml);
}

#[test]
fn a_second_backup_costs_what_changed() {
    let cluster = start(ClusterOptions::default());
    fill(&cluster);
    let world = World::new(&cluster);

    let first = world.backup_of(&json!({})).snapshot;
    let uid = cluster.kubectl(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(first.source, uid);
    assert_eq!(first.cluster.as_ref().unwrap().uid, uid);
    assert!(first.accepted && first.ledger.failed == 0, "{:?}", first.flags);
    assert_eq!(first.summary.added, first.summary.objects);
    assert_eq!(reasons(&world.ledger(&first)), Vec::<String>::new());
    let listed = cluster.kubectl(&["get", "--raw", "/api/v1/namespaces/shop/configmaps/config-7"]);
    let key = ObjectKey::new(ResourceName::core("configmaps"), Some("shop"), "config-7");
    assert_eq!(world.object(&first, &key), serde_json::from_str::<Value>(&listed).unwrap());
    assert!((7 << 10..8 << 10).contains(&listed.len()), "{}", listed.len());

    // Every directory is there, before what is in it.
    let (mut cursor, mut reader) = (TreeCursor::new(first.tree), world.repository.reader().unwrap());
    let mut directories = BTreeSet::new();
    while let Some(item) = cursor.next(&mut reader).unwrap() {
        assert!(key_parent(&item.key).is_none_or(|parent| directories.contains(parent)), "{:?}", item.key);
        if item.is_directory() {
            directories.insert(item.key);
        }
    }
    assert_eq!(directories.len() as u64, first.summary.directories);

    let second = world.backup_of(&json!({})).snapshot;
    assert_eq!(second.summary.objects, first.summary.objects);
    assert_eq!(second.summary.added, 0);
    // The API server renews its own lease.
    assert!(second.summary.changed <= 2, "{:?}", second.summary);
    assert!(second.summary.stored_bytes <= UNCHANGED_BYTES_MAX, "{:?}", second.summary);
    assert_eq!(second.parents, [first.id]);

    let changed = 10;
    let yaml: String = (0..changed).map(|number| config_map("shop", number * 37, 1)).collect();
    cluster.kubectl_with(&["replace", "-f", "-"], &yaml);
    let third = world.backup_of(&json!({})).snapshot;
    assert!((10..=12).contains(&third.summary.changed), "{:?}", third.summary);
    let allowed = changed as u64 * CHANGED_BYTES_MAX + UNCHANGED_BYTES_MAX;
    assert!(third.summary.stored_bytes <= allowed, "{:?} of {allowed}", third.summary);

    // What the tree says is the same however it came about.
    let all = world.objects(&third);
    assert_eq!(all.len() as u64, third.summary.objects);
    let other = World::new(&cluster);
    assert_eq!(other.objects(&other.backup_of(&json!({})).snapshot), all);
}

#[test]
fn an_object_is_read_with_one_request_and_its_neighbours_in_the_bundle_with_none() {
    const BUNDLE_BYTES: u64 = 256 << 10;
    let cluster = shared();
    let namespace = cluster.namespace("bundles");
    let yaml: String = (0..100).map(|number| config_map(&namespace, number, 0)).collect();
    cluster.kubectl_with(&["create", "-f", "-"], &yaml);
    let world = World::new(cluster);
    let filters = json!({ "includedNamespaces": [namespace], "includedResources": ["configmaps"] });
    let snapshot = world.backup_of(&filters).snapshot;

    let mut items = Vec::new();
    let mut reader = ObjectReader::new(&world.repository).unwrap();
    let each = &mut |_: &mut ObjectReader<'_>, _, item| {
        items.push(item);
        Ok(())
    };
    reader.for_each(&snapshot, &Within::Everything, each).unwrap();
    assert!(items.len() >= 100, "{}", items.len());

    world.store.forget_records();
    ObjectReader::new(&world.repository).unwrap().read(&items[50]).unwrap();
    assert_eq!(world.store.count(Verb::Get), 1);

    world.store.forget_records();
    let read_bytes: u64 = items.iter().map(|item| reader.read(item).unwrap().len() as u64).sum();
    let (requests, least) = (world.store.count(Verb::Get) as u64, read_bytes.div_ceil(BUNDLE_BYTES));
    // Bundles end with an object, so they are not quite full.
    assert!((least..=least + 1).contains(&requests), "{requests} requests for {read_bytes} bytes");
}

#[test]
fn guards_flag_a_snapshot_until_it_is_accepted() {
    let cluster = start(ClusterOptions::default());
    fill(&cluster);
    let world = World::new(&cluster);
    let named = |filters: &Value| BackupOptions { source: Some("one".to_owned()), ..options(filters) };
    let first = world.backup(&named(&json!({}))).unwrap().snapshot;
    assert!(first.accepted);
    cluster.kubectl(&["delete", "--raw", "/api/v1/namespaces/shop/configmaps"]);
    let second = world.backup(&named(&json!({}))).unwrap().snapshot;
    assert!(!second.accepted);
    assert_eq!(second.flags.len(), 1, "{:?}", second.flags);
    assert!(second.flags[0].contains("fewer than 70 %"), "{:?}", second.flags);
    // Still compared with the one that is accepted; a threshold lets it pass.
    let low = BackupOptions { guard_objects_percent: 1, ..named(&json!({})) };
    assert!(world.backup(&low).unwrap().snapshot.accepted);
    cluster.kubectl(&["create", "configmap", "fresh", "--namespace", "shop"]);
    let third = world.backup(&named(&json!({ "excludedResources": ["priorityclasses"] }))).unwrap().snapshot;
    assert!(third.flags[0].contains("not listed") && third.flags[0].contains("priorityclasses"), "{:?}", third.flags);
    let accepting = BackupOptions { accept: true, ..named(&json!({ "excludedResources": ["priorityclasses"] })) };
    let fourth = world.backup(&accepting).unwrap().snapshot;
    assert!(fourth.accepted && !fourth.flags.is_empty());
    // What a flagged snapshot holds is not stored again.
    assert_eq!((third.summary.added, fourth.summary.added), (1, 0));
    // Another cluster under the same name.
    let other = start(ClusterOptions::default());
    let server = connect(other.kubeconfig());
    let moved = World { server, ..world };
    let fifth = moved.backup(&named(&json!({ "excludedResources": ["priorityclasses"] }))).unwrap().snapshot;
    assert!(fifth.flags.iter().any(|flag| flag.starts_with("this is another cluster")), "{:?}", fifth.flags);
}
