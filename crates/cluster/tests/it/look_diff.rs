//! What differs between two snapshots, and between a snapshot and live objects.

use backstay_cluster::ClusterError;
use backstay_cluster::look::FieldOptions;
use backstay_cluster::look::diff::{DiffOptions, DiffSummary, ObjectChange, ObjectChangeKind, diff_snapshots};
use backstay_cluster::look::select::Namespaces;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::log::SnapshotRecord;
use backstay_repo::Repository;
use backstay_testkit::objects::ObjectSource;
use serde_json::{Value, json};

use crate::support::{Bucket, NOW};

fn object(api_version: &str, kind: &str, namespace: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "1"}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    for (name, value) in rest.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn everything() -> DiffOptions {
    DiffOptions { namespaces: Namespaces::All, resources: Vec::new(), fields: FieldOptions::default() }
}

fn shown(change: &ObjectChange) -> String {
    match &change.kind {
        ObjectChangeKind::Added => format!("+ {}", change.key),
        ObjectChangeKind::Removed => format!("- {}", change.key),
        ObjectChangeKind::Changed { fields, recreated } => {
            let fields: Vec<_> = fields.iter().map(|it| it.path.to_string()).collect();
            format!("M {} {}{}", change.key, fields.join(" "), if *recreated { " recreated" } else { "" })
        }
    }
}

fn diff(
    repository: &Repository,
    before: &SnapshotRecord,
    after: &SnapshotRecord,
    options: &DiffOptions,
) -> (Vec<String>, DiffSummary) {
    let mut lines = Vec::new();
    let mut reader = ObjectReader::new(repository).unwrap();
    let summary = diff_snapshots(&mut reader, before, after, options, &mut |change| {
        lines.push(shown(&change));
        Ok::<_, ClusterError>(())
    });
    (lines, summary.unwrap())
}

#[test]
fn objects_and_their_fields_are_compared_without_noise() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let mut cluster = ObjectSource::new(&repository, "test");
    let web = |replicas: u64, status: u64, uid: &str| {
        let mut web = object(
            "apps/v1",
            "Deployment",
            "shop",
            "web",
            json!({"spec": {"replicas": replicas}, "status": {"replicas": status}}),
        );
        web["metadata"]["uid"] = uid.into();
        web
    };
    let gone = object("v1", "ConfigMap", "shop", "gone", json!({}));
    let role = |verb: &str| {
        object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "reader", json!({"rules": [{"verbs": [verb]}]}))
    };
    let lease = |holder: &str| {
        object("coordination.k8s.io/v1", "Lease", "shop", "lock", json!({"spec": {"holderIdentity": holder}}))
    };
    let quiet = |ready: u64| object("apps/v1", "Deployment", "shop", "quiet", json!({"status": {"ready": ready}}));
    cluster.set(&web(1, 1, "a")).set(&gone).set(&role("get")).set(&lease("x")).set(&quiet(1));
    let before = cluster.snapshot(NOW);
    cluster.set(&web(2, 2, "b")).remove(&gone).set(&role("list")).set(&lease("y")).set(&quiet(2));
    cluster.set(&object("v1", "ConfigMap", "blog", "new", json!({})));
    let after = cluster.snapshot(NOW);

    let (lines, summary) = diff(&repository, &before, &after, &everything());
    assert_eq!(
        lines,
        [
            "M clusterroles.rbac.authorization.k8s.io/reader rules[0].verbs",
            "+ configmaps/new in namespace blog",
            "- configmaps/gone in namespace shop",
            "M deployments.apps/web in namespace shop spec.replicas recreated",
        ]
    );
    let expected =
        DiffSummary { added: 1, removed: 1, changed: 2, noise_only: 1, restless: 1, not_compared: Vec::new() };
    assert_eq!(summary, expected);

    let in_shop = DiffOptions { namespaces: Namespaces::These(vec!["shop".to_owned()]), ..everything() };
    assert_eq!(diff(&repository, &before, &after, &in_shop).0.len(), 2);
    let leases = DiffOptions { resources: vec![ResourceName::new("leases", "coordination.k8s.io")], ..everything() };
    assert_eq!(
        diff(&repository, &before, &after, &leases).0,
        ["M leases.coordination.k8s.io/lock in namespace shop spec.holderIdentity"]
    );
    let all_fields = DiffOptions { fields: FieldOptions { all_fields: true, show_secrets: false }, ..everything() };
    let (lines, _) = diff(&repository, &before, &after, &all_fields);
    assert!(lines.contains(&"M deployments.apps/quiet in namespace shop status.ready".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("leases")), "{lines:?}");
    assert_eq!(diff(&repository, &before, &before, &everything()), (Vec::new(), DiffSummary::default()));
}

#[test]
fn a_kind_that_one_snapshot_has_no_list_of_is_not_taken_for_deleted() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let config_map = object("v1", "ConfigMap", "shop", "a", json!({}));
    let before = ObjectSource::new(&repository, "test")
        .set(&config_map)
        .set(&object("v1", "Pod", "shop", "p", json!({})))
        .snapshot(NOW);
    let after = ObjectSource::new(&repository, "test").set(&config_map).snapshot(NOW);
    let (lines, summary) = diff(&repository, &before, &after, &everything());
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(summary.not_compared, [ResourceName::core("pods")]);
}
