//! Looking at snapshots of a real cluster, and beside it: the live comparison, the managers of a history, manifests that apply.

use backstay_cluster::ClusterError;
use backstay_cluster::look::FieldOptions;
use backstay_cluster::look::diff::{DiffOptions, DiffSummary, ObjectChange, ObjectChangeKind, diff_live};
use backstay_cluster::look::export::export;
use backstay_cluster::look::history::{EventKind, history};
use backstay_cluster::look::select::{Namespaces, Query};
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::log::SnapshotRecord;
use backstay_repo::Progress;
use backstay_testkit::cluster::{Cluster, shared};
use serde_json::json;

use crate::backup_world::World;

fn application(namespace: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         containers: [{{name: web, image: 'registry.example.com/web:1'}}]\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: db, namespace: {namespace}}}\nstringData: {{password: planted}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app, namespace: {namespace}}}\ndata: {{a: '1'}}\n"
    )
}

fn compare(world: &World, snapshot: &SnapshotRecord, namespace: &str) -> (Vec<String>, DiffSummary) {
    let options = DiffOptions {
        namespaces: Namespaces::These(vec![namespace.to_owned()]),
        resources: vec![
            ResourceName::core("configmaps"),
            ResourceName::new("deployments", "apps"),
            ResourceName::core("secrets"),
            ResourceName::core("services"),
        ],
        fields: FieldOptions::default(),
    };
    let mut lines = Vec::new();
    let mut reader = ObjectReader::new(&world.repository).unwrap();
    let summary = diff_live(&mut reader, snapshot, &world.server, &options, &mut |change: ObjectChange| {
        let what = match &change.kind {
            ObjectChangeKind::Added => "+".to_owned(),
            ObjectChangeKind::Removed => "-".to_owned(),
            ObjectChangeKind::Changed { fields, recreated } => {
                let fields: Vec<_> = fields.iter().map(|it| it.path.to_string()).collect();
                format!("{}{}", fields.join(" "), if *recreated { " recreated" } else { "" })
            }
        };
        lines.push(format!("{}/{} {what}", change.key.resource, change.key.name));
        Ok::<_, ClusterError>(())
    });
    (lines, summary.unwrap())
}

fn back_up(world: &World, namespace: &str) -> SnapshotRecord {
    world.backup_of(&json!({"includedNamespaces": [namespace]})).snapshot
}

fn change_everything(cluster: &Cluster, namespace: &str) {
    cluster.kubectl(&["-n", namespace, "scale", "deployment/web", "--replicas=3"]);
    cluster.kubectl(&["-n", namespace, "delete", "configmap", "app"]);
    cluster.kubectl(&["-n", namespace, "create", "configmap", "new"]);
    cluster.kubectl(&["-n", namespace, "delete", "service", "web"]);
    cluster.kubectl(&["-n", namespace, "create", "service", "clusterip", "web", "--tcp=80"]);
    let patch = r#"{"stringData": {"password": "other"}}"#;
    cluster.kubectl(&["-n", namespace, "patch", "secret", "db", "-p", patch]);
}

#[test]
fn a_snapshot_is_compared_with_the_cluster_as_it_is_and_history_names_who_changed_it() {
    let cluster = shared();
    let world = World::new(cluster);
    let namespace = cluster.namespace("live");
    cluster.apply(&application(&namespace, 1));
    let before = back_up(&world, &namespace);
    assert_eq!(compare(&world, &before, &namespace).0, Vec::<String>::new());

    change_everything(cluster, &namespace);
    let (lines, summary) = compare(&world, &before, &namespace);
    assert_eq!(lines[..3], ["configmaps/app -", "configmaps/new +", "deployments.apps/web spec.replicas"]);
    assert_eq!(lines[3], "secrets/db data.password");
    assert!(lines[4].starts_with("services/web ") && lines[4].ends_with(" recreated"), "{lines:?}");
    assert_eq!((summary.added, summary.removed, summary.changed), (1, 1, 3));

    back_up(&world, &namespace);
    let key = ObjectKey::new(ResourceName::new("deployments", "apps"), Some(&namespace), "web");
    let mut reader = ObjectReader::new(&world.repository).unwrap();
    let told = history(&mut reader, &before.source, &key, FieldOptions::default(), &Progress::new()).unwrap();
    let events: Vec<_> = told.events.iter().map(|it| it.event).collect();
    assert_eq!(events, [EventKind::FirstSeen, EventKind::Changed]);
    let managers: Vec<_> = told.events[1].managers.iter().map(|it| it.manager.as_str()).collect();
    assert!(managers.contains(&"kubectl"), "{managers:?}");
    let key = ObjectKey::new(ResourceName::core("configmaps"), Some(&namespace), "app");
    let told = history(&mut reader, &before.source, &key, FieldOptions::default(), &Progress::new()).unwrap();
    assert_eq!(told.events.last().unwrap().event, EventKind::Deleted);
}

#[test]
fn manifests_of_a_snapshot_are_taken_by_kubectl() {
    let cluster = shared();
    let world = World::new(cluster);
    let namespace = cluster.namespace("manifests");
    cluster.apply(&application(&namespace, 0));
    let snapshot = back_up(&world, &namespace);
    cluster.kubectl(&["-n", &namespace, "delete", "deployments,services,secrets,configmaps", "--all"]);

    let mut reader = ObjectReader::new(&world.repository).unwrap();
    let lists = reader.lists(&snapshot).unwrap();
    let namespaces = Namespaces::These(vec![namespace.clone()]);
    let queries: Vec<_> = lists
        .resources
        .iter()
        .filter(|it| it.resource.namespaced)
        .map(|it| Query { resource: &it.resource, namespaces: &namespaces, names: &[], labels: None })
        .collect();
    let mut items = Vec::new();
    let report = export(&mut reader, &snapshot, &lists, &queries, &mut |manifest| {
        items.push(manifest.body);
        Ok::<_, ClusterError>(())
    });
    let report = report.unwrap();
    assert!(report.exported >= 4, "{report:?}");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    cluster.kubectl_with(&["apply", "-f", "-"], &list.to_string());
    let (lines, _) = compare(&world, &snapshot, &namespace);
    // New objects with the same contents; the addresses of a service and the namespace's certificate are the cluster's choice.
    let is_own = |line: &&str| !line.starts_with("services/web ") && !line.contains("kube-root-ca.crt");
    let contents: Vec<_> = lines.iter().map(String::as_str).filter(is_own).collect();
    assert_eq!(contents, ["configmaps/app  recreated", "deployments.apps/web  recreated", "secrets/db  recreated"]);
}
