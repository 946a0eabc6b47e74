//! What objects become before they are written: a row for each of Velero's rules, and for what differs from them. No cluster.

use std::collections::BTreeMap;

use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::{Resource, ResourceName};
use backstay_cluster::restore::modifiers::Schemas;
use backstay_cluster::restore::{
    ImageMapping, Prepared, PreparedObject, Preparer, RestoreOptions, StatusChoice, Volumes,
};
use serde_json::{Value, json};

/// Plural, group, version, kind, whether it lives in namespaces.
const SERVED: &[(&str, &str, &str, &str, bool)] = &[
    ("pods", "", "v1", "Pod", true),
    ("services", "", "v1", "Service", true),
    ("endpoints", "", "v1", "Endpoints", true),
    ("configmaps", "", "v1", "ConfigMap", true),
    ("secrets", "", "v1", "Secret", true),
    ("serviceaccounts", "", "v1", "ServiceAccount", true),
    ("namespaces", "", "v1", "Namespace", false),
    ("nodes", "", "v1", "Node", false),
    ("events", "", "v1", "Event", true),
    ("persistentvolumes", "", "v1", "PersistentVolume", false),
    ("persistentvolumeclaims", "", "v1", "PersistentVolumeClaim", true),
    ("deployments", "apps", "v1", "Deployment", true),
    ("statefulsets", "apps", "v1", "StatefulSet", true),
    ("jobs", "batch", "v1", "Job", true),
    ("cronjobs", "batch", "v1", "CronJob", true),
    ("leases", "coordination.k8s.io", "v1", "Lease", true),
    ("endpointslices", "discovery.k8s.io", "v1", "EndpointSlice", true),
    ("certificatesigningrequests", "certificates.k8s.io", "v1", "CertificateSigningRequest", false),
    ("clusterroles", "rbac.authorization.k8s.io", "v1", "ClusterRole", false),
    ("rolebindings", "rbac.authorization.k8s.io", "v1", "RoleBinding", true),
    ("clusterrolebindings", "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", false),
    ("priorityclasses", "scheduling.k8s.io", "v1", "PriorityClass", false),
    ("flowschemas", "flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", false),
    ("apiservices", "apiregistration.k8s.io", "v1", "APIService", false),
    ("customresourcedefinitions", "apiextensions.k8s.io", "v1", "CustomResourceDefinition", false),
    ("validatingwebhookconfigurations", "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", false),
];

fn resource((plural, group, version, kind, namespaced): (&str, &str, &str, &str, bool)) -> Resource {
    Resource {
        name: ResourceName::new(plural, group),
        version: version.to_owned(),
        kind: kind.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced,
        served: vec![version.to_owned()],
    }
}

fn preparer(options: &RestoreOptions) -> Preparer {
    let no_schemas = Schemas::new(|path| Err(format!("nobody asks for {path} here")));
    let kept = Volumes::of(["kept".to_owned()]);
    Preparer::new(options, SERVED.iter().copied().map(resource), kept, no_schemas).unwrap()
}

fn prepare(options: &RestoreOptions, object: &Value) -> Prepared {
    let kind = object["kind"].as_str().unwrap();
    let served = resource(*SERVED.iter().find(|it| it.3 == kind).unwrap());
    let key = ObjectKey::new(
        served.name,
        object["metadata"]["namespace"].as_str(),
        object["metadata"]["name"].as_str().unwrap(),
    );
    preparer(options).prepare(&key, object.to_string().as_bytes()).unwrap()
}

#[track_caller]
fn body_with(options: &RestoreOptions, object: &Value) -> PreparedObject {
    match prepare(options, object) {
        Prepared::Object(object) => *object,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn body(object: &Value) -> Value {
    body_with(&RestoreOptions::default(), object).body
}

#[track_caller]
fn why_skipped(object: &Value) -> Option<String> {
    match prepare(&RestoreOptions::default(), object) {
        Prepared::Skip(why) => Some(why),
        Prepared::Object(_) => None,
        other => panic!("{other:?}"),
    }
}

/// An object of this kind in namespace `shop` with these fields besides.
fn object(kind: &str, name: &str, fields: Value) -> Value {
    let (_, group, version, _, namespaced) = *SERVED.iter().find(|it| it.3 == kind).unwrap();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if namespaced {
        object["metadata"]["namespace"] = json!("shop");
    }
    merge(&mut object, fields);
    object
}

fn merge(into: &mut Value, fields: Value) {
    match (into, fields) {
        (Value::Object(into), Value::Object(fields)) => {
            fields.into_iter().for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, value) => *into = value,
    }
}

#[test]
fn what_the_server_sets_is_taken_off_and_the_rest_stays() {
    let reference =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true});
    let source = object(
        "ConfigMap",
        "settings",
        json!({
            "metadata": {
                "generateName": "settings-", "selfLink": "/x", "uid": "1", "resourceVersion": "2", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
                "deletionGracePeriodSeconds": 30, "ownerReferences": [reference], "finalizers": ["example.com/keep"],
                "labels": {"app": "web"}, "annotations": {"note": "x"}, "managedFields": [{"manager": "kubectl"}],
            },
            "data": {"a": "1"}, "status": {"phase": "x"},
        }),
    );
    let prepared = body_with(&RestoreOptions::default(), &source);
    let expected = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
        "metadata": {"name": "settings", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"note": "x"},
                     "finalizers": ["example.com/keep"]},
    });
    assert_eq!(prepared.body, expected);
    assert_eq!(prepared.managers, [json!({"manager": "kubectl"})]);
    assert_eq!((prepared.owners[0].uid.as_str(), prepared.owners[0].controller), ("u", Some(true)));
    assert_eq!(prepared.status, None);
}

#[test]
fn what_is_over_or_belongs_to_another_cluster_is_skipped() {
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
    let automanaged = json!({"metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}}});
    let rows = [
        (object("Pod", "a", json!({"status": {"phase": "Succeeded"}})), "the pod has ended"),
        (object("Pod", "a", json!({"status": {"phase": "Failed"}})), "the pod has ended"),
        (object("Pod", "a", json!({"status": {"phase": "Running"}})), ""),
        (object("Pod", "a", mirror), "mirror pod"),
        (object("Job", "a", json!({"status": {"completionTime": "2026-01-01T00:00:00Z"}})), "the job is complete"),
        // A job that failed has no completion time: it is restored.
        (object("Job", "a", json!({"status": {"failed": 3}})), ""),
        (object("Node", "a", json!({})), "never restored"),
        (object("Event", "a", json!({})), "never restored"),
        (object("APIService", "v1.", automanaged), "the API server makes it"),
        (object("APIService", "v1.metrics", json!({})), ""),
    ];
    for (source, expected) in rows {
        let why = why_skipped(&source);
        let fits = why.as_ref().map_or(expected.is_empty(), |why| !expected.is_empty() && why.contains(expected));
        assert!(fits, "{source}: {why:?} instead of {expected:?}");
    }
}

#[test]
fn what_the_control_plane_makes_is_left_to_it_unless_it_is_named() {
    let bootstrapping = json!({"metadata": {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}});
    let suggested = json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}});
    let by = |label: &str, value: &str| json!({"metadata": {"labels": {label: value}}});
    let in_namespace = |kind: &str, name: &str, namespace: &str, mut fields: Value| {
        merge(&mut fields, json!({"metadata": {"namespace": namespace}}));
        object(kind, name, fields)
    };
    let left = [
        object("ConfigMap", "kube-root-ca.crt", json!({})),
        object("ServiceAccount", "default", json!({})),
        object("ClusterRole", "system:node", json!({})),
        object("ClusterRole", "cluster-admin", bootstrapping),
        object("FlowSchema", "service-accounts", suggested),
        object("FlowSchema", "exempt", json!({})),
        object("Lease", "leader", json!({})),
        object("CertificateSigningRequest", "csr", json!({})),
        object("PriorityClass", "system-node-critical", json!({})),
        object("Namespace", "kube-node-lease", json!({})),
        object(
            "EndpointSlice",
            "web-abc",
            by("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"),
        ),
        object("Endpoints", "web", by("endpoints.kubernetes.io/managed-by", "endpoint-controller")),
        in_namespace("Service", "kubernetes", "default", json!({})),
        in_namespace("Secret", "bootstrap-token-abc", "kube-system", json!({"type": "bootstrap.kubernetes.io/token"})),
    ];
    for source in left {
        let why = why_skipped(&source);
        assert!(why.as_ref().is_some_and(|why| why.ends_with("makes it by itself")), "{source}: {why:?}");
        let name = source["metadata"]["name"].as_str().unwrap();
        let plural = SERVED.iter().find(|it| it.3 == source["kind"]).unwrap().0;
        for named in [plural.to_owned(), format!("{plural}/{name}"), format!("*/{}*", &name[..3])] {
            let options = RestoreOptions { control_plane_objects: vec![named], ..RestoreOptions::default() };
            assert_eq!(body_with(&options, &source).target.name, name);
        }
    }
    let kept = [
        object("ServiceAccount", "default", json!({"imagePullSecrets": [{"name": "registry"}]})),
        object("ServiceAccount", "web", json!({})),
        object("ClusterRole", "web", json!({})),
        object("FlowSchema", "own", json!({})),
        object("EndpointSlice", "own", by("endpointslice.kubernetes.io/managed-by", "me")),
        object("Endpoints", "own", json!({})),
        object("Service", "kubernetes", json!({})),
    ];
    for source in kept {
        assert_eq!(why_skipped(&source), None, "{source}");
    }
}

#[test]
fn node_ports_are_kept_where_somebody_asked_for_them() {
    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let service = |annotations: Value, managed: Value, ports: Value| {
        let metadata = json!({"annotations": annotations, "managedFields": managed});
        object("Service", "web", json!({"metadata": metadata, "spec": {"type": "NodePort", "ports": ports}}))
    };
    let applied = |ports: Value| json!({LAST_APPLIED: json!({"spec": {"ports": ports}}).to_string()});
    let owned = |key: &str, field: &str| json!([{"fieldsV1": {"f:spec": {"f:ports": {key: {field: {}}}}}}]);
    let named = json!([{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}]);
    let unnamed = json!([{"port": 80, "nodePort": 30080, "protocol": "TCP"}]);
    let key = r#"k:{"port":80,"protocol":"TCP"}"#;
    let rows = [
        ("nobody", service(json!({}), json!([]), named.clone()), None),
        (
            "kubectl, by name",
            service(applied(json!([{"name": "http", "nodePort": 30080}])), json!([]), named.clone()),
            Some(30080),
        ),
        (
            "kubectl, another name",
            service(applied(json!([{"name": "x", "nodePort": 30080}])), json!([]), named.clone()),
            None,
        ),
        ("kubectl, without it", service(applied(json!([{"name": "http"}])), json!([]), named.clone()), None),
        ("kubectl, by number", service(applied(json!([{"nodePort": 30080}])), json!([]), unnamed.clone()), Some(30080)),
        ("kubectl, another number", service(applied(json!([{"nodePort": 30081}])), json!([]), unnamed.clone()), None),
        ("kubectl decides over managers", service(applied(json!([])), owned(key, "f:nodePort"), unnamed.clone()), None),
        ("a manager", service(json!({}), owned(key, "f:nodePort"), named.clone()), Some(30080)),
        ("a manager of other fields", service(json!({}), owned(key, "f:port"), named.clone()), None),
        (
            "a manager of another port",
            service(json!({}), owned(r#"k:{"port":81,"protocol":"TCP"}"#, "f:nodePort"), named),
            None,
        ),
    ];
    for (claim, source, expected) in rows {
        assert_eq!(body(&source)["spec"]["ports"][0]["nodePort"].as_i64(), expected, "{claim}");
        let preserved = RestoreOptions { preserve_node_ports: true, ..RestoreOptions::default() };
        assert_eq!(body_with(&preserved, &source).body["spec"]["ports"][0]["nodePort"], 30080, "{claim}");
    }
}

#[test]
fn addresses_of_services_are_the_clusters() {
    let with_spec = |spec: Value| body(&object("Service", "web", json!({"spec": spec})))["spec"].clone();
    let rows = [
        (
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "loadBalancerIP": "1.2.3.4", "externalIPs": ["5.6.7.8"]}),
            json!({"loadBalancerIP": "1.2.3.4", "externalIPs": ["5.6.7.8"]}),
        ),
        (json!({"clusterIP": "None", "clusterIPs": ["None"]}), json!({"clusterIP": "None", "clusterIPs": ["None"]})),
        (
            json!({"type": "ExternalName", "externalName": "x.example.com", "ports": [{"nodePort": 1}]}),
            json!({"type": "ExternalName", "externalName": "x.example.com", "ports": [{"nodePort": 1}]}),
        ),
        (
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}),
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        ),
    ];
    for (source, expected) in rows {
        assert_eq!(with_spec(source), expected);
    }
}

#[test]
fn a_pod_is_placed_anew_and_gets_new_tokens() {
    let token = json!({"name": "web-token-abcde"});
    let source = object(
        "Pod",
        "web-0",
        json!({"spec": {
            "serviceAccountName": "web", "nodeName": "node-1", "priority": 100, "priorityClassName": "high",
            "volumes": [token, {"name": "data"}, {"name": "kube-api-access-x"}],
            "containers": [{"name": "a", "volumeMounts": [token, {"name": "data"}]}],
            "initContainers": [{"name": "b", "volumeMounts": [token]}],
            "ephemeralContainers": [{"name": "debug"}],
        }}),
    );
    let prepared = body_with(&RestoreOptions::default(), &source);
    let expected = json!({
        "serviceAccountName": "web", "priorityClassName": "high",
        "volumes": [{"name": "data"}, {"name": "kube-api-access-x"}],
        "containers": [{"name": "a", "volumeMounts": [{"name": "data"}]}],
        "initContainers": [{"name": "b", "volumeMounts": []}],
    });
    assert_eq!(prepared.body["spec"], expected);
    assert_eq!(prepared.notes, ["its ephemeral containers are not restored: a new pod has none"]);
}

#[test]
fn a_job_gets_its_selector_from_the_server_unless_its_author_made_it() {
    let labels = json!({"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u", "job-name": "j"});
    let job = |manual: bool| {
        let spec = json!({
            "manualSelector": manual,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {"metadata": {"labels": labels}},
        });
        body(&object("Job", "j", json!({"spec": spec})))["spec"].clone()
    };
    let spec = job(false);
    assert_eq!(spec["template"]["metadata"]["labels"], json!({"job-name": "j"}));
    assert_eq!(spec.get("selector"), None);
    let spec = job(true);
    assert_eq!(spec["template"]["metadata"]["labels"], labels);
    assert_eq!(spec["selector"]["matchLabels"], json!({"batch.kubernetes.io/controller-uid": "u"}));
}

#[test]
fn accounts_and_tokens_are_the_new_clusters() {
    let account =
        object("ServiceAccount", "web", json!({"secrets": [{"name": "web-token-abcde"}, {"name": "web-dockercfg"}]}));
    assert_eq!(body(&account)["secrets"], json!([{"name": "web-dockercfg"}]));

    let token = |name: &str| {
        object(
            "Secret",
            name,
            json!({
                "type": "kubernetes.io/service-account-token",
                "metadata": {"annotations": {"kubernetes.io/service-account.name": "web", "kubernetes.io/service-account.uid": "u"}},
                "data": {"token": "dA==", "ca.crt": "Yw==", "namespace": "bg==", "extra": "ZQ=="},
            }),
        )
    };
    assert!(why_skipped(&token("web-token-abcde")).unwrap().contains("service account web"));
    let asked_for = body(&token("robot"));
    assert_eq!(asked_for["data"], json!({"extra": "ZQ=="}));
    assert_eq!(asked_for["metadata"]["annotations"], json!({"kubernetes.io/service-account.name": "web"}));

    let other = object("Secret", "web-token-x", json!({"type": "Opaque", "data": {"token": "dA=="}}));
    assert_eq!(body(&other)["data"], json!({"token": "dA=="}));
}

#[test]
fn volumes_that_are_kept_come_back_with_their_claims_and_others_are_made_anew() {
    let volume = |policy: &str| {
        let claim = json!({"namespace": "shop", "name": "data", "uid": "u", "resourceVersion": "1"});
        let annotations =
            json!({"pv.kubernetes.io/bound-by-controller": "yes", "pv.kubernetes.io/provisioned-by": "csi"});
        object(
            "PersistentVolume",
            "kept",
            json!({
                "metadata": {"annotations": annotations},
                "spec": {"persistentVolumeReclaimPolicy": policy, "claimRef": claim},
            }),
        )
    };
    let claim = |volume: &str| {
        let annotations = json!({
            "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
            "volume.kubernetes.io/storage-provisioner": "csi", "volume.beta.kubernetes.io/storage-provisioner": "csi",
            "volume.kubernetes.io/selected-node": "n", "mine": "x",
        });
        let spec = json!({"volumeName": volume, "dataSource": {"name": "x"}, "storageClassName": "fast"});
        object("PersistentVolumeClaim", "data", json!({"metadata": {"annotations": annotations}, "spec": spec}))
    };
    let kept = body(&volume("Retain"));
    assert_eq!(kept["spec"]["claimRef"], json!({"namespace": "shop", "name": "data"}));
    assert_eq!(kept["metadata"]["annotations"], json!({"pv.kubernetes.io/provisioned-by": "csi"}));
    assert!(why_skipped(&volume("Delete")).unwrap().contains("Delete"));

    let bound = body_with(&RestoreOptions::default(), &claim("kept"));
    assert_eq!(bound.body["spec"]["volumeName"], "kept");
    assert_eq!(bound.body["metadata"]["annotations"], json!({"mine": "x"}));
    assert_eq!(bound.notes, ["bound to volume kept as before, whose data is not in the snapshot"]);

    let anew = body_with(&RestoreOptions::default(), &claim("pvc-1"));
    assert_eq!(anew.body["spec"], json!({"dataSource": {"name": "x"}, "storageClassName": "fast"}));
    assert_eq!(anew.notes, ["volume comes back EMPTY"]);

    let without = RestoreOptions { restore_volumes: false, ..RestoreOptions::default() };
    let anew = body_with(&without, &claim("kept"));
    assert_eq!(anew.body["spec"], json!({"storageClassName": "fast"}));
    assert_eq!(anew.notes, ["volume comes back EMPTY"]);
    assert!(matches!(prepare(&without, &volume("Retain")), Prepared::Skip(_)));
}

#[test]
fn storage_classes_and_images_are_mapped() {
    let options = RestoreOptions {
        storage_class_mappings: BTreeMap::from([("fast".to_owned(), "slow".to_owned())]),
        image_mappings: vec![ImageMapping { from: "docker.io/".to_owned(), to: "mirror.example.com/".to_owned() }],
        ..RestoreOptions::default()
    };
    let claim = object(
        "PersistentVolumeClaim",
        "a",
        json!({
            "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "fast"}}, "spec": {"storageClassName": "fast"},
        }),
    );
    let claim = body_with(&options, &claim).body;
    assert_eq!(claim["spec"]["storageClassName"], "slow");
    assert_eq!(claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"], "slow");

    let pod = json!({"containers": [{"image": "docker.io/web:1"}], "initContainers": [{"image": "docker.io/init:1"}]});
    let mapped = json!({"containers": [{"image": "mirror.example.com/web:1"}], "initContainers": [{"image": "mirror.example.com/init:1"}]});
    let set = object(
        "StatefulSet",
        "a",
        json!({"spec": {
            "volumeClaimTemplates": [{"spec": {"storageClassName": "fast"}}, {"spec": {"storageClassName": "other"}}],
            "template": {"spec": pod},
        }}),
    );
    let set = body_with(&options, &set).body;
    assert_eq!(set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"], "slow");
    assert_eq!(set["spec"]["volumeClaimTemplates"][1]["spec"]["storageClassName"], "other");
    assert_eq!(set["spec"]["template"]["spec"], mapped);
    let cron = object("CronJob", "a", json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}));
    assert_eq!(body_with(&options, &cron).body["spec"]["jobTemplate"]["spec"]["template"]["spec"], mapped);
}

#[test]
fn references_to_a_mapped_namespace_follow_it() {
    let options = RestoreOptions {
        namespace_mappings: BTreeMap::from([("shop".to_owned(), "copy".to_owned())]),
        ..RestoreOptions::default()
    };
    let subjects = json!([
        {"kind": "ServiceAccount", "name": "web", "namespace": "shop"},
        {"kind": "ServiceAccount", "name": "web", "namespace": "other"},
        {"kind": "User", "name": "system:serviceaccount:shop:web"},
        {"kind": "Group", "name": "system:serviceaccounts:shop"},
        {"kind": "User", "name": "shop"},
    ]);
    let mapped = json!([
        {"kind": "ServiceAccount", "name": "web", "namespace": "copy"},
        {"kind": "ServiceAccount", "name": "web", "namespace": "other"},
        {"kind": "User", "name": "system:serviceaccount:copy:web"},
        {"kind": "Group", "name": "system:serviceaccounts:copy"},
        {"kind": "User", "name": "shop"},
    ]);
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        let binding = body_with(&options, &object(kind, "web", json!({"subjects": subjects})));
        assert_eq!(binding.body["subjects"], mapped);
    }
    let service = json!({"namespace": "shop", "name": "web"});
    let rows = [
        (
            "ValidatingWebhookConfiguration",
            json!({"webhooks": [{"sideEffects": "None", "clientConfig": {"service": service}}]}),
            "/webhooks/0/clientConfig/service/namespace",
        ),
        ("APIService", json!({"spec": {"service": service}}), "/spec/service/namespace"),
        (
            "CustomResourceDefinition",
            json!({"spec": {"conversion": {"webhook": {"clientConfig": {"service": service}}}}}),
            "/spec/conversion/webhook/clientConfig/service/namespace",
        ),
        ("PersistentVolume", json!({"spec": {"claimRef": service}}), "/spec/claimRef/namespace"),
        ("Namespace", json!({"metadata": {"name": "shop"}}), "/metadata/name"),
        (
            "Namespace",
            json!({"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}}}),
            "/metadata/labels/kubernetes.io~1metadata.name",
        ),
        ("Pod", json!({}), "/metadata/namespace"),
    ];
    for (kind, fields, pointer) in rows {
        let prepared = body_with(&options, &object(kind, "web", fields));
        assert_eq!(prepared.body.pointer(pointer), Some(&json!("copy")), "{kind}");
    }
    let namespace = body_with(&options, &object("Namespace", "shop", json!({})));
    assert_eq!(namespace.target, ObjectKey::new(ResourceName::core("namespaces"), None, "copy"));
    let pod = body_with(&options, &object("Pod", "web", json!({})));
    assert_eq!(pod.target, ObjectKey::new(ResourceName::core("pods"), Some("copy"), "web"));
}

#[test]
fn old_definitions_and_webhooks_become_what_servers_take_today() {
    let definition = object(
        "CustomResourceDefinition",
        "x",
        json!({"spec": {
            "preserveUnknownFields": true, "versions": [{"schema": {"openAPIV3Schema": {"type": "object"}}}],
        }}),
    );
    let definition = body(&definition);
    assert_eq!(definition["spec"]["preserveUnknownFields"], false);
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], schema);
    for (before, after) in [("Some", "None"), ("Unknown", "None"), ("None", "None"), ("NoneOnDryRun", "NoneOnDryRun")] {
        let webhook = object("ValidatingWebhookConfiguration", "x", json!({"webhooks": [{"sideEffects": before}]}));
        assert_eq!(body(&webhook)["webhooks"][0]["sideEffects"], after);
    }
}

#[test]
fn status_is_restored_where_an_option_or_the_object_asks_for_it() {
    let choice = |included: &[&str], excluded: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
        Some(StatusChoice { included_resources: own(included), excluded_resources: own(excluded) })
    };
    let rows = [
        (None, None, false),
        (choice(&["deployments"], &[]), None, true),
        (choice(&["deployments.apps"], &[]), None, true),
        (choice(&["*"], &[]), None, true),
        (choice(&["*"], &["deployments"]), None, false),
        (choice(&["pods"], &[]), None, false),
        (None, Some("true"), true),
        (None, Some("True"), true),
        (None, Some("yes"), false),
        (choice(&["*"], &[]), Some("false"), false),
        (choice(&["*"], &[]), Some("no"), true),
    ];
    for (restore_status, annotation, expected) in rows {
        let annotations = annotation.map_or_else(|| json!({}), |it| json!({"velero.io/restore-status": it}));
        let source =
            object("Deployment", "web", json!({"metadata": {"annotations": annotations}, "status": {"replicas": 1}}));
        let options = RestoreOptions { restore_status: restore_status.clone(), ..RestoreOptions::default() };
        let status = body_with(&options, &source).status;
        assert_eq!(status.is_some(), expected, "{restore_status:?} {annotation:?}");
    }
}

#[test]
fn a_version_that_the_cluster_lacks_is_named_with_those_it_has() {
    let mut source = object("Deployment", "web", json!({}));
    source["apiVersion"] = json!("apps/v1beta1");
    let Prepared::Unserved { why, .. } = prepare(&RestoreOptions::default(), &source) else { panic!() };
    assert_eq!(why, "the cluster does not serve deployments.apps in apps/v1beta1, but in v1");
    let key = ObjectKey::new(ResourceName::new("widgets", "example.com"), Some("shop"), "a");
    let widget = br#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a"}}"#;
    let Ok(Prepared::Unserved { why, .. }) = preparer(&RestoreOptions::default()).prepare(&key, widget) else {
        panic!()
    };
    assert_eq!(why, "the cluster has no resource widgets.example.com");
}

#[test]
fn debug_output_of_a_secret_has_no_values() {
    let secret = object("Secret", "password", json!({"data": {"password": "cGxhbnRlZA=="}}));
    let shown = format!("{:?}", prepare(&RestoreOptions::default(), &secret));
    assert!(shown.contains("password") && !shown.contains("cGxhbnRlZA"), "{shown}");
}
