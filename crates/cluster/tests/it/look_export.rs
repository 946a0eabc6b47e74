//! Manifests: what is taken off, and what is left out.

use std::collections::BTreeMap;

use backstay_cluster::ClusterError;
use backstay_cluster::look::export::{ExportReport, export};
use backstay_cluster::look::select::{Namespaces, Query};
use backstay_cluster::snapshot::ObjectReader;
use backstay_testkit::objects::snapshot;
use serde_json::{Value, json};

use crate::support::{Bucket, NOW};

fn exported(objects: &[Value]) -> (BTreeMap<String, Value>, ExportReport) {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let snapshot = snapshot(&repository, "test", NOW, objects);
    let mut reader = ObjectReader::new(&repository).unwrap();
    let lists = reader.lists(&snapshot).unwrap();
    let queries: Vec<_> = lists
        .resources
        .iter()
        .map(|it| Query { resource: &it.resource, namespaces: &Namespaces::All, names: &[], labels: None })
        .collect();
    let mut manifests = BTreeMap::new();
    let report = export(&mut reader, &snapshot, &lists, &queries, &mut |manifest| {
        manifests.insert(manifest.key.to_string(), manifest.body);
        Ok::<_, ClusterError>(())
    });
    (manifests, report.unwrap())
}

#[test]
fn what_the_cluster_gives_an_object_is_taken_off() {
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "5", "generation": 2,
            "creationTimestamp": NOW, "managedFields": [{"manager": "x", "operation": "Update"}], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}], "selector": {"app": "web"}},
        "status": {"loadBalancer": {}}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"deployment.kubernetes.io/revision": "3", "team": "x"}},
        "spec": {"replicas": 1}});
    let (manifests, report) = exported(&[service, deployment]);
    assert_eq!(
        manifests["services/web in namespace shop"],
        json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}})
    );
    assert_eq!(manifests["deployments.apps/web in namespace shop"]["metadata"]["annotations"], json!({"team": "x"}));
    assert_eq!(report, ExportReport { exported: 2, ..ExportReport::default() });
}

#[test]
fn what_another_object_brings_along_or_nobody_can_apply_is_left_out_and_counted() {
    let owned = |kind: &str, api_version: &str, name: &str, owner: &str, controller: bool| {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner, "name": "web", "uid": "1", "controller": controller}]}})
    };
    let (manifests, report) = exported(&[
        owned("ReplicaSet", "apps/v1", "web-1", "Deployment", true),
        owned("Pod", "v1", "web-1-a", "ReplicaSet", true),
        owned("ConfigMap", "v1", "kept", "Deployment", false),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "shop"}}),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "shop"}}),
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "shop"}}),
    ]);
    let kept = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "shop"}});
    assert_eq!(manifests, BTreeMap::from([("configmaps/kept in namespace shop".to_owned(), kept)]));
    assert_eq!(report.left_out.values().sum::<u64>(), 5, "{report:?}");
    assert_eq!(report.left_out["its controller makes it: a Deployment"], 1);
}
