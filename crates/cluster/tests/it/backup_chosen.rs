//! What goes into a snapshot: filters, what chosen objects need, and what the ledger says of the rest.

use std::sync::atomic::{AtomicU32, Ordering};

use backstay_cluster::backup::{BackupOptions, BackupOutcome, backup};
use backstay_repo::{ErrorKind, Progress};
use backstay_testkit::cluster::{Cluster, ClusterOptions, shared, start};
use serde_json::json;

use crate::backup_world::{World, options, reasons};

/// A namespace with a pod, its claim with a volume, an account with a cluster role, and a custom resource. Objects of the whole
/// cluster are named after the namespace.
fn application(cluster: &Cluster) -> String {
    static KINDS: AtomicU32 = AtomicU32::new(0);
    let ns = cluster.namespace("shop");
    let kind = KINDS.fetch_add(1, Ordering::Relaxed);
    cluster.apply(&format!(
        "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: '{ns}-data'}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  hostPath: {{path: /nowhere}}
  storageClassName: manual
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: {ns}}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 1Gi}}}}
  storageClassName: manual
  volumeName: '{ns}-data'
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: '{ns}-high'}}
value: 1000
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: web, namespace: {ns}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: '{ns}-reader'}}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: '{ns}-web'}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: '{ns}-reader'}}
subjects: [{{kind: ServiceAccount, name: web, namespace: {ns}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: {ns}, labels: {{app: web}}}}
spec:
  priorityClassName: '{ns}-high'
  serviceAccountName: web
  containers: [{{name: web, image: example}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: plain, namespace: {ns}, labels: {{app: api}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: private, namespace: {ns}, labels: {{velero.io/exclude-from-backup: 'true'}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets{kind}.shop.example.com}}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {{plural: widgets{kind}, singular: widget{kind}, kind: Widget{kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    ));
    cluster.kubectl(&["wait", "--for=condition=Established", &format!("crd/widgets{kind}.shop.example.com")]);
    cluster.apply(&format!(
        "{{apiVersion: shop.example.com/v1, kind: Widget{kind}, metadata: {{name: one, namespace: {ns}}}}}"
    ));
    cluster.kubectl(&["wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--namespace", &ns]);
    ns
}

/// Without what the controllers make, and what they tell about it; the namespace is called `NS`, numbers `N`.
fn own(world: &World, snapshot: &backstay_format::log::SnapshotRecord, ns: &str) -> Vec<String> {
    let is_ours = |object: &String| {
        !object.starts_with("events/")
            && !object.ends_with("/kube-root-ca.crt")
            && !object.contains("service-account-issuer-discovery")
    };
    let objects = world.objects(snapshot).into_iter().filter(is_ours);
    let mut objects: Vec<_> = objects
        .map(|object| object.replace(ns, "NS"))
        .map(|object| match object.split_once("widgets") {
            Some((before, after)) => {
                format!("{before}widgets{}", after.trim_start_matches(|it: char| it.is_ascii_digit()))
            }
            None => object,
        })
        .collect();
    objects.sort();
    objects
}

#[test]
fn what_chosen_objects_need_comes_along() {
    let cluster = shared();
    let ns = application(cluster);
    let world = World::new(cluster);

    let outcome = world.backup_of(&json!({ "includedNamespaces": [ns] }));
    let related = [
        "+clusterrolebindings.rbac.authorization.k8s.io/NS-web",
        "+clusterroles.rbac.authorization.k8s.io/NS-reader",
        "+customresourcedefinitions.apiextensions.k8s.io/widgets.shop.example.com",
        "+persistentvolumes/NS-data",
        "+priorityclasses.scheduling.k8s.io/NS-high",
    ];
    let chosen = [
        "configmaps/NS/plain",
        "namespaces/NS",
        "persistentvolumeclaims/NS/data",
        "pods/NS/web",
        "serviceaccounts/NS/default",
        "serviceaccounts/NS/web",
        "widgets.shop.example.com/NS/one",
    ];
    assert_eq!(own(&world, &outcome.snapshot, &ns), [&related[..], &chosen[..]].concat());
    assert_eq!(outcome.volumes_without_data, 1);
    assert_eq!(
        reasons(&world.ledger(&outcome.snapshot)),
        [format!("volume-data-not-captured resources/persistentvolumeclaims/namespaces/{ns}/data.json")]
    );
    assert_eq!(outcome.snapshot.ledger.failed, 0);
    assert_eq!(outcome.snapshot.ledger.filtered["velero.io/exclude-from-backup"], 1);

    // Again, with what came along known from before.
    let again = world.backup_of(&json!({ "includedNamespaces": [ns] })).snapshot;
    assert_eq!((again.summary.added, again.summary.objects), (0, outcome.snapshot.summary.objects));

    // A selector: the pod and what it needs, of which no label is asked.
    let by_label = world.backup_of(&json!({ "includedNamespaces": [ns], "labelSelector": "app=web" })).snapshot;
    assert_eq!(
        own(&world, &by_label, &ns),
        [
            "+persistentvolumeclaims/NS/data",
            "+persistentvolumes/NS-data",
            "+priorityclasses.scheduling.k8s.io/NS-high",
            "namespaces/NS",
            "pods/NS/web",
        ]
    );

    // Two selectors find the same object once.
    let filters = json!({
        "includedNamespaces": [ns],
        "orLabelSelectors": ["app=web", "app in (web,api)"],
        "includeClusterResources": false,
    });
    let any = world.backup_of(&filters).snapshot;
    assert_eq!(own(&world, &any, &ns), ["+persistentvolumeclaims/NS/data", "configmaps/NS/plain", "pods/NS/web"]);

    // What is excluded does not come along either; a claim needs no pods.
    let filters = json!({
        "includedNamespaces": [ns],
        "includedNamespaceScopedResources": ["pvc"],
        "excludedClusterScopedResources": ["pv"],
    });
    let claims = world.backup_of(&filters).snapshot;
    assert_eq!(own(&world, &claims, &ns), ["namespaces/NS", "persistentvolumeclaims/NS/data"]);
}

#[test]
fn namespaces_are_chosen_by_pattern_and_left_out_by_label() {
    let cluster = shared();
    let (one, two) = (cluster.namespace("pattern"), cluster.namespace("pattern"));
    cluster.kubectl(&["label", "namespace", &two, "velero.io/exclude-from-backup=true"]);
    let world = World::new(cluster);
    let filters = json!({ "includedNamespaces": ["pattern-*"], "includedResources": ["cm", "ns", "unicorns"] });
    let outcome = world.backup_of(&filters);
    assert_eq!(
        world.objects(&outcome.snapshot),
        [format!("configmaps/{one}/kube-root-ca.crt"), format!("namespaces/{one}")]
    );
    assert_eq!(outcome.notes, ["the cluster has no resource unicorns"]);

    let filters = json!({ "includedNamespaces": [one, "nowhere"], "includedResources": ["cm"] });
    let outcome = world.backup_of(&filters);
    assert_eq!(
        reasons(&world.ledger(&outcome.snapshot)),
        ["no-such-namespace resources/namespaces/cluster/nowhere.json"]
    );
    assert_eq!(outcome.snapshot.ledger.failed, 1);
}

#[test]
fn ordered_objects_that_are_missing_are_told() {
    let cluster = shared();
    let ns = cluster.namespace("ordered");
    let world = World::new(cluster);
    let filters = json!({
        "includedNamespaces": [ns],
        "includedResources": ["configmaps", "pods"],
        "orderedResources": { "configmaps": [format!("{ns}/kube-root-ca.crt"), format!("{ns}/gone")] },
    });
    let snapshot = world.backup_of(&filters).snapshot;
    assert_eq!(reasons(&world.ledger(&snapshot)), [format!("missing resources/configmaps/namespaces/{ns}/gone.json")]);
    assert_eq!(snapshot.ledger.failed, 0);
}

#[test]
fn a_dry_run_counts_and_stores_nothing() {
    let cluster = shared();
    let ns = cluster.namespace("dry");
    let world = World::new(cluster);
    let filters = json!({ "includedNamespaces": [ns], "includedResources": ["cm"] });
    let outcome = world.backup(&BackupOptions { dry_run: true, ..options(&filters) }).unwrap();
    assert_eq!(outcome.snapshot.summary.objects, 1);
    assert_eq!(world.repository.snapshots(), []);
    assert_eq!(world.backup_of(&filters).snapshot.summary.added, 1);
}

#[test]
fn most_of_many_namespaces_are_listed_at_once_with_the_same_result() {
    let cluster = start(ClusterOptions::default());
    let mut yaml = String::new();
    for number in 0..12 {
        yaml.push_str(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: many-{number}}}}}
---
{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: many-{number}}}}}
---
"
        ));
    }
    cluster.apply(&yaml);
    let world = World::new(&cluster);
    let filters =
        json!({ "includedNamespaces": ["many-*"], "excludedNamespaces": ["many-3"], "includedResources": ["cm"] });
    let outcome = world.backup_of(&filters);
    assert_eq!(outcome.snapshot.summary.objects, 11);
    assert!(!world.objects(&outcome.snapshot).contains(&"configmaps/many-3/c".to_owned()));
    let lists = |outcome: &BackupOutcome| outcome.lists.resources[0].lists.len();
    assert_eq!(lists(&outcome), 1);

    // An account that may list them one by one only.
    let kubeconfig = cluster.service_account_kubeconfig("default", "reader");
    cluster.kubectl(&["create", "clusterrole", "names", "--verb=get,list", "--resource=namespaces"]);
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "names",
        "--clusterrole=names",
        "--serviceaccount=default:reader",
    ]);
    cluster.kubectl(&["create", "clusterrole", "maps", "--verb=list", "--resource=configmaps"]);
    for number in 0..12 {
        let (name, ns) = ("--clusterrole=maps", format!("many-{number}"));
        cluster.kubectl(&["create", "rolebinding", "maps", name, "--serviceaccount=default:reader", "-n", &ns]);
    }
    let world = World::with_kubeconfig(&kubeconfig);
    let outcome = world.backup_of(&filters);
    assert_eq!((outcome.snapshot.summary.objects, outcome.snapshot.ledger.failed), (11, 0));
    assert_eq!(lists(&outcome), 11);
}

#[test]
fn an_interrupted_backup_leaves_no_snapshot() {
    let world = World::new(shared());
    let progress = Progress::new();
    progress.cancel();
    let error = backup(&world.repository, &world.server, &options(&json!({})), &progress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(world.repository.snapshots(), []);
}

#[test]
fn an_account_of_one_namespace_gets_what_it_may_read_and_a_ledger_of_what_not() {
    let cluster = shared();
    let ns = cluster.namespace("small");
    let kubeconfig = cluster.service_account_kubeconfig(&ns, "reader");
    cluster.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=configmaps,serviceaccounts",
        "-n",
        &ns,
    ]);
    cluster.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        &format!("--serviceaccount={ns}:reader"),
        "-n",
        &ns,
    ]);
    let world = World::with_kubeconfig(&kubeconfig);

    let filters = json!({ "includedNamespaces": [ns], "includeClusterResources": false });
    let error = world.backup(&options(&filters)).unwrap_err().to_string();
    assert!(error.contains("kube-system"), "{error}");

    let named = |filters| BackupOptions { source: Some("small".to_owned()), ..options(&filters) };
    let snapshot = world.backup(&named(filters)).unwrap().snapshot;
    assert_eq!(
        world.objects(&snapshot),
        [
            format!("configmaps/{ns}/kube-root-ca.crt"),
            format!("serviceaccounts/{ns}/default"),
            format!("serviceaccounts/{ns}/reader"),
        ]
    );
    let ledger = world.ledger(&snapshot);
    assert!(reasons(&ledger).contains(&format!("forbidden resources/secrets/namespaces/{ns}")), "{ledger:?}");
    assert!(ledger.iter().all(|entry| entry.reason == "forbidden" && entry.failed && entry.detail.contains("reader")));
    assert!(snapshot.ledger.failed > 10);
    assert_eq!(snapshot.cluster.unwrap().uid, "");

    // Related objects it may not read are in the ledger too.
    let filters = json!({ "includedNamespaces": [ns], "includedResources": ["sa"] });
    let snapshot = world.backup(&named(filters)).unwrap().snapshot;
    assert_eq!(
        reasons(&world.ledger(&snapshot)),
        ["forbidden resources/clusterrolebindings.rbac.authorization.k8s.io"]
    );

    let error = world.backup(&named(json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "nothing of the cluster could be listed");
    let error = world.backup(&named(json!({ "includedNamespaces": ["small-*"] }))).unwrap_err().to_string();
    assert!(error.contains("\"small-*\"") && error.contains("may not be listed"), "{error}");
}

#[test]
fn a_group_whose_server_is_down_is_in_the_ledger() {
    let cluster = start(ClusterOptions::default());
    cluster.apply(
        "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.dead.example.com}
spec:
  group: dead.example.com
  version: v1
  groupPriorityMinimum: 1000
  versionPriority: 10
  service: {namespace: default, name: nothing}
  insecureSkipTLSVerify: true
",
    );
    let world = World::new(&cluster);
    let outcome = world.backup_of(&json!({}));
    assert_eq!(reasons(&world.ledger(&outcome.snapshot)), ["group-failed groups/dead.example.com/v1"]);
    assert_eq!(outcome.snapshot.ledger.failed, 1);
    assert_eq!(outcome.lists.failed_groups, ["dead.example.com/v1"]);
    assert!(outcome.snapshot.accepted);
    assert!(
        world.objects(&outcome.snapshot).contains(&"apiservices.apiregistration.k8s.io/v1.dead.example.com".to_owned())
    );
}
