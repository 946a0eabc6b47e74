//! Plans held against a real cluster: every action, and what leads to it.

use std::collections::BTreeMap;

use backstay_cluster::api::{ConnectOptions, Server};
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::restore::{
    Action, ActionKind, ExistingPolicy, Plan, PlanItem, ResourceModifiers, RestoreOptions, compare, plan,
};
use backstay_cluster::snapshot::ObjectReader;
use backstay_repo::{ErrorKind, Progress, Repository};
use backstay_testkit::cluster::{Cluster, shared};
use backstay_testkit::objects;
use serde_json::{Value, json};

use crate::support::{Bucket, NOW};

struct World {
    cluster: &'static Cluster,
    server: Server,
    repository: Repository,
}

impl World {
    fn new() -> Self {
        let cluster = shared();
        let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig().to_owned()), ..ConnectOptions::default() };
        Self { cluster, server: Server::connect(&options).unwrap(), repository: Bucket::new().open() }
    }

    fn try_plan(&self, objects: &[Value], options: &RestoreOptions) -> Result<Plan, backstay_cluster::ClusterError> {
        let snapshot = objects::snapshot(&self.repository, "test", NOW, objects);
        let mut reader = ObjectReader::new(&self.repository).unwrap();
        plan(&self.server, &mut reader, &snapshot, options, &Progress::new())
    }

    #[track_caller]
    fn plan(&self, objects: &[Value], options: &RestoreOptions) -> Plan {
        self.try_plan(objects, options).unwrap()
    }

    /// As the server has it.
    fn live(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let arguments = ["get", kind, name, "-n", namespace, "-o", "json", "--show-managed-fields"];
        serde_json::from_str(&self.cluster.kubectl(&arguments)).unwrap()
    }
}

fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"value": value}})
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": format!("uid-of-{name}")}})
}

#[track_caller]
fn item<'p>(plan: &'p Plan, name: &str) -> &'p PlanItem {
    plan.items.iter().find(|item| item.key.name == name).unwrap_or_else(|| panic!("no {name} in {:#?}", plan.items))
}

#[track_caller]
fn action<'p>(plan: &'p Plan, name: &str) -> &'p Action {
    &item(plan, name).action
}

fn with_policy(policy: ExistingPolicy) -> RestoreOptions {
    RestoreOptions { existing_resource_policy: policy, ..RestoreOptions::default() }
}

fn fields(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_exists_is_unchanged_left_updated_or_recreated_as_the_policy_says() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-policy");
    world.cluster.apply(&format!(
        "{}\n---\n{}\n---\n{}\n---\n{}",
        config_map(&shop, "same", "1"),
        config_map(&shop, "differs", "2"),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed", "namespace": shop}, "immutable": true, "data": {"value": "2"}}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": shop},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}}),
    ));
    let mut fixed = world.live(&shop, "configmap", "fixed");
    fixed["data"]["value"] = json!("1");
    let mut claim = world.live(&shop, "persistentvolumeclaim", "data");
    claim["spec"]["accessModes"] = json!(["ReadWriteMany"]);
    let mut differs = world.live(&shop, "configmap", "differs");
    differs["data"] = json!({"value": "1", "more": "x"});
    let objects = [world.live(&shop, "configmap", "same"), differs, fixed, claim, config_map(&shop, "new", "1")];

    let plan = world.plan(&objects, &with_policy(ExistingPolicy::None));
    assert_eq!(action(&plan, "same"), &Action::Unchanged);
    assert_eq!(action(&plan, "differs"), &Action::Left { fields: fields(&["data.more", "data.value"]) });
    assert_eq!(action(&plan, "fixed"), &Action::Left { fields: fields(&["data.value"]) });
    assert_eq!(action(&plan, "data"), &Action::Left { fields: fields(&["spec.accessModes[0]"]) });
    assert_eq!(action(&plan, "new"), &Action::Create);
    assert_eq!(item(&plan, "same").live.as_ref().unwrap().uid, objects[0]["metadata"]["uid"].as_str().unwrap());
    assert_eq!(item(&plan, "new").live, None);
    let counts = BTreeMap::from([(ActionKind::Create, 1), (ActionKind::Unchanged, 1), (ActionKind::Left, 3)]);
    assert_eq!(plan.counts(), counts);
    assert!(!plan.changes_existing());

    let plan = world.plan(&objects, &with_policy(ExistingPolicy::Update));
    assert_eq!(action(&plan, "differs"), &Action::Update { fields: fields(&["data.more", "data.value"]) });
    let why = |plan: &Plan, name: &str| match action(plan, name) {
        Action::Conflict { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    assert!(why(&plan, "fixed").starts_with("data.value cannot be changed; the policy recreate"));
    assert!(why(&plan, "data").starts_with("spec.accessModes[0] cannot be changed"));
    assert!(plan.changes_existing());

    let plan = world.plan(&objects, &with_policy(ExistingPolicy::Recreate));
    assert_eq!(action(&plan, "differs"), &Action::Update { fields: fields(&["data.more", "data.value"]) });
    assert_eq!(action(&plan, "fixed"), &Action::Recreate { fields: fields(&["data.value"]) });
    assert!(why(&plan, "data").ends_with("because the data of the volume would be lost with it"));
    assert_eq!(plan.empty_volumes(), 0);
}

#[test]
fn an_object_that_nobody_changed_is_unchanged_whatever_its_kind() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-same");
    world.cluster.apply(&format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {shop}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "web:1"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {shop}}}
spec: {{type: NodePort, selector: {{app: web}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: {shop}}}
spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: "a:1"}}]}}}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: robot, namespace: {shop}, annotations: {{kubernetes.io/service-account.name: default}}}}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: {shop}}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: none, resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: web, namespace: {shop}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}
subjects: [{{kind: ServiceAccount, name: web, namespace: {shop}}}]
"#
    ));
    let kinds = [
        ("deployment", "web"),
        ("service", "web"),
        ("job", "once"),
        ("secret", "robot"),
        ("persistentvolumeclaim", "data"),
        ("rolebinding", "web"),
    ];
    let objects: Vec<_> = kinds.iter().map(|(kind, name)| world.live(&shop, kind, name)).collect();
    let plan = world.plan(&objects, &with_policy(ExistingPolicy::Update));
    for item in &plan.items {
        assert_eq!(item.action, Action::Unchanged, "{}", item.key);
    }
    assert_eq!(plan.items.len(), kinds.len());
}

#[test]
fn what_a_deployment_counts_by_is_no_difference() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-revision");
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": shop},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}});
    world.cluster.apply(&deployment.to_string());
    let mut taken = world.live(&shop, "deployment", "web");
    taken["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("41");
    let plan = world.plan(&[taken], &with_policy(ExistingPolicy::Update));
    assert_eq!(action(&plan, "web"), &Action::Unchanged);
}

#[test]
fn many_objects_in_few_and_in_many_namespaces_are_looked_up_by_lists() {
    let world = World::new();
    let namespaces: Vec<_> = (0..6).map(|_| world.cluster.namespace("plan-lists")).collect();
    let names = ["a", "b", "c"];
    let all: Vec<_> =
        namespaces.iter().flat_map(|namespace| names.map(|name| config_map(namespace, name, "1"))).collect();
    // In every namespace one object is missing, and one differs.
    let live: Vec<_> = namespaces
        .iter()
        .flat_map(|namespace| [config_map(namespace, "a", "1"), config_map(namespace, "b", "2")])
        .map(|object| object.to_string())
        .collect();
    world.cluster.kubectl_with(&["create", "-f", "-"], &live.join("\n---\n"));
    for chosen in [2, 6] {
        let plan = world.plan(&all[..chosen * names.len()], &RestoreOptions::default());
        assert_eq!(plan.items.len(), chosen * names.len());
        for item in &plan.items {
            let expected = match &item.key.name[..] {
                "a" => ActionKind::Unchanged,
                "b" => ActionKind::Left,
                _ => ActionKind::Create,
            };
            assert_eq!(item.action.kind(), expected, "{}", item.key);
        }
    }
}

#[test]
fn an_account_of_one_namespace_plans_what_it_may_look_at() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-account");
    let kubeconfig = world.cluster.service_account_kubeconfig(&shop, "restorer");
    world.cluster.kubectl(&[
        "create",
        "rolebinding",
        "restorer",
        "-n",
        &shop,
        "--clusterrole=edit",
        &format!("--serviceaccount={shop}:restorer"),
    ]);
    let options = ConnectOptions { kubeconfig: Some(kubeconfig), ..ConnectOptions::default() };
    let world = World { server: Server::connect(&options).unwrap(), ..world };
    world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&shop, "a", "1").to_string());
    let mut objects = vec![namespace(&shop)];
    objects.extend(["a", "b", "c", "d", "e"].map(|name| config_map(&shop, name, "1")));
    let plan = world
        .plan(&objects, &RestoreOptions { included_resources: fields(&["configmaps"]), ..RestoreOptions::default() });
    assert_eq!(action(&plan, "a"), &Action::Unchanged);
    assert_eq!(action(&plan, "b"), &Action::Create);
    assert!(
        plan.notes[0].starts_with("namespaces are taken to exist, because they could not be looked at"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn what_is_being_deleted_is_created_again_when_it_is_gone() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-ending");
    let mut held = config_map(&shop, "held", "1");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    world.cluster.kubectl_with(&["create", "-f", "-"], &held.to_string());
    let live = [world.live(&shop, "namespace", &shop), world.live(&shop, "configmap", "held")];
    world.cluster.kubectl(&["delete", "namespace", &shop, "--wait=false"]);
    let plan = world.plan(&live, &with_policy(ExistingPolicy::Update));
    assert_eq!(action(&plan, &shop), &Action::Create);
    assert_eq!(item(&plan, &shop).notes, ["the one in the cluster is being deleted: that is waited for"]);
    assert_eq!((action(&plan, "held"), &item(&plan, "held").live), (&Action::Create, &None));
    assert_eq!(item(&plan, "held").notes, ["its namespace is being deleted: that is waited for"]);
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    world.cluster.kubectl(&["patch", "configmap", "held", "-n", &shop, "--type=merge", "-p", patch]);
}

#[test]
fn a_cancelled_plan_ends_as_interrupted() {
    let world = World::new();
    let snapshot = objects::snapshot(&world.repository, "test", NOW, &[config_map("plan-f", "a", "1")]);
    let mut reader = ObjectReader::new(&world.repository).unwrap();
    let progress = Progress::new();
    progress.cancel();
    let error = plan(&world.server, &mut reader, &snapshot, &RestoreOptions::default(), &progress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn a_missing_namespace_is_created_and_a_mapped_one_takes_its_objects_along() {
    let world = World::new();
    let objects =
        [namespace("plan-gone"), config_map("plan-gone", "settings", "1"), config_map("plan-other", "x", "1")];
    let options = RestoreOptions {
        included_namespaces: vec!["plan-go*".to_owned()],
        namespace_mappings: BTreeMap::from([("plan-gone".to_owned(), "plan-copy".to_owned())]),
        ..RestoreOptions::default()
    };
    let plan = world.plan(&objects, &options);
    let targets: Vec<_> =
        plan.items.iter().map(|item| (item.target.clone(), item.action.clone(), item.layer)).collect();
    let copy = ObjectKey::new(ResourceName::core("namespaces"), None, "plan-copy");
    let settings = ObjectKey::new(ResourceName::core("configmaps"), Some("plan-copy"), "settings");
    assert_eq!(targets, [(copy, Action::Create, 1), (settings, Action::Create, 10)]);

    let plan = world
        .plan(&objects, &RestoreOptions { included_resources: fields(&["configmaps"]), ..RestoreOptions::default() });
    assert_eq!(action(&plan, "plan-gone"), &Action::Create, "it is needed, though not chosen");
    assert_eq!(
        plan.notes,
        ["namespace plan-other itself is not in the snapshot: it is made without labels and annotations"]
    );
}

#[test]
fn two_objects_that_go_to_one_name_are_a_conflict() {
    let world = World::new();
    let objects = [config_map("plan-a", "settings", "1"), config_map("plan-b", "settings", "2")];
    let target = || "plan-one".to_owned();
    let mappings = BTreeMap::from([("plan-a".to_owned(), target()), ("plan-b".to_owned(), target())]);
    let plan = world.plan(&objects, &RestoreOptions { namespace_mappings: mappings, ..RestoreOptions::default() });
    assert_eq!(plan.items[0].action, Action::Create);
    let why = "configmaps/settings in namespace plan-a goes to the same name".to_owned();
    assert_eq!(plan.items[1].action, Action::Conflict { why });
}

#[test]
fn objects_of_a_kind_that_the_plan_brings_cannot_be_checked_yet_and_others_are_conflicts() {
    let world = World::new();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "planwidgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "planwidgets", "kind": "PlanWidget"}, "versions": []},
    });
    let widget = |kind: &str, name: &str| json!({"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}});
    let objects = [definition, widget("PlanWidget", "known"), widget("PlanGadget", "unknown")];
    let chosen = RestoreOptions { included_namespaces: fields(&["default"]), ..RestoreOptions::default() };
    let plan = world.plan(&objects, &chosen);
    let until = ObjectKey::new(
        ResourceName::new("customresourcedefinitions", "apiextensions.k8s.io"),
        None,
        "planwidgets.example.com",
    );
    assert_eq!(action(&plan, "known"), &Action::Unchecked { until });
    assert_eq!(action(&plan, "planwidgets.example.com"), &Action::Create, "it comes along");
    assert_eq!(item(&plan, "planwidgets.example.com").layer, 0);
    let why = "the cluster has no resource plangadgets.example.com".to_owned();
    assert_eq!(action(&plan, "unknown"), &Action::Conflict { why: why.clone() });

    let without = RestoreOptions { include_cluster_resources: Some(false), ..chosen };
    let plan = world.plan(&objects, &without);
    assert!(matches!(action(&plan, "known"), Action::Conflict { .. }));
}

#[test]
fn labels_and_resources_choose_and_volumes_come_along_with_their_claims() {
    let world = World::new();
    let labelled = |mut object: Value| {
        object["metadata"]["labels"] = json!({"app": "web"});
        object
    };
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim", "namespace": "plan-c"},
        "spec": {"volumeName": "plan-volume"}});
    let volume = |name: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "plan-c", "name": "claim"}}})
    };
    let objects = [
        labelled(config_map("plan-c", "chosen", "1")),
        config_map("plan-c", "other", "1"),
        labelled(claim),
        volume("plan-volume"),
        volume("plan-other-volume"),
        labelled(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secret", "namespace": "plan-c"}})),
    ];
    let options = RestoreOptions {
        included_namespaces: fields(&["plan-c"]),
        excluded_resources: fields(&["Secret"]),
        label_selector: Some("app in (web)".to_owned()),
        ..RestoreOptions::default()
    };
    let plan = world.plan(&objects, &options);
    let names: Vec<_> = plan.items.iter().map(|item| item.key.name.as_str()).collect();
    assert_eq!(names, ["plan-volume", "claim", "chosen"]);
    assert_eq!(
        item(&plan, "claim").notes,
        ["bound to volume plan-volume as before, whose data is not in the snapshot"]
    );
    assert_eq!(plan.empty_volumes(), 0);

    let plan = world.plan(&objects, &RestoreOptions { restore_volumes: false, ..options });
    assert_eq!(plan.empty_volumes(), 1);
    let names: Vec<_> = plan.items.iter().map(|item| item.key.name.as_str()).collect();
    assert_eq!(names, ["claim", "chosen"]);
}

#[test]
fn owners_in_the_plan_are_linked_and_pods_of_a_job_are_the_jobs_to_make() {
    let world = World::new();
    let object = |api_version: &str, kind: &str, name: &str, owner: Value| {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {
            "name": name, "namespace": "plan-owners", "uid": format!("uid-{name}"), "ownerReferences": owner}})
    };
    let owned_by =
        |name: &str, controller: bool| json!([{"name": name, "uid": format!("uid-{name}"), "controller": controller}]);
    let objects = [
        object("batch/v1", "Job", "job", json!([])),
        object("v1", "Pod", "job-pod", owned_by("job", true)),
        object("apps/v1", "Deployment", "web", json!([])),
        object("apps/v1", "ReplicaSet", "web-1", owned_by("web", true)),
        object("v1", "ConfigMap", "settings", owned_by("web", false)),
        object("v1", "ConfigMap", "orphan", owned_by("gone", false)),
    ];
    let plan = world.plan(&objects, &RestoreOptions::default());
    assert_eq!(action(&plan, "job-pod"), &Action::Skipped { why: "its job makes its pods anew".to_owned() });
    let owner = &item(&plan, "web-1").owners[0];
    assert_eq!((owner.key.name.as_str(), owner.uid.as_str(), owner.controller), ("web", "uid-web", true));
    assert!(!item(&plan, "settings").owners[0].controller);
    assert_eq!(item(&plan, "orphan").owners, []);
    let place = |name: &str| plan.items.iter().position(|item| item.key.name == name).unwrap();
    assert!(place("settings") < place("job-pod") && place("web-1") < place("web"));
}

#[test]
fn a_service_account_is_merged_whatever_the_policy() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-account");
    let mut account = world.live(&shop, "serviceaccount", "default");
    account["imagePullSecrets"] = json!([{"name": "registry"}]);
    let plan = world.plan(&[account], &RestoreOptions::default());
    assert_eq!(action(&plan, "default"), &Action::Update { fields: fields(&["imagePullSecrets"]) });
}

#[test]
fn a_plan_is_saved_and_read_and_holds_no_value_of_an_object() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-secret");
    let secret = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": shop,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":\"{value}\"}}")}}, "type": "Opaque", "data": {"password": value}})
    };
    world.cluster.apply(&secret("cGxhbnRlZC1saXZl").to_string());
    let plan = world.plan(&[secret("cGxhbnRlZC1vbGQ=")], &with_policy(ExistingPolicy::Update));
    let Action::Update { fields } = action(&plan, "password") else { panic!("{:?}", action(&plan, "password")) };
    assert!(fields.contains(&"data.password".to_owned()), "{fields:?}");
    let bytes = plan.to_json().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(!text.contains("cGxhbnRlZ"), "{text}");
    assert_eq!(Plan::from_json(&bytes).unwrap(), plan);
    let later = text.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(
        Plan::from_json(later.as_bytes()).unwrap_err().to_string(),
        "the plan has version 2, this program reads version 1"
    );
    assert!(Plan::from_json(b"{}").unwrap_err().to_string().starts_with("this is not a restore plan"));
}

#[test]
fn the_servers_dry_run_finds_what_the_server_refuses() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-try");
    let quota = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "wrong", "namespace": shop}, "spec": {"ports": [{"port": 99999}]}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "early", "namespace": shop},
        "spec": {"serviceAccountName": "later", "containers": [{"name": "a", "image": "a:1"}]}});
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "later", "namespace": shop}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bad", "namespace": shop}, "data": {"planted/key": "cGxhbnRlZA=="}});
    let options = RestoreOptions { server_dry_run: true, ..RestoreOptions::default() };
    let plan = world.plan(&[quota, pod, account, secret, config_map(&shop, "fine", "1")], &options);
    assert_eq!(action(&plan, "fine"), &Action::Create);
    let Action::Conflict { why } = action(&plan, "wrong") else { panic!() };
    assert!(why.contains("must be between 1 and 65535"), "{why}");
    assert_eq!(action(&plan, "early"), &Action::Create);
    assert!(
        item(&plan, "early").notes[0].starts_with("the dry run could not decide"),
        "{:?}",
        item(&plan, "early").notes
    );
    let Action::Conflict { why } = action(&plan, "bad") else { panic!() };
    assert!(why.starts_with("the server refuses it: 422 Invalid data") && !why.contains("cGxhbnRlZA"), "{why}");
    assert!(!world.cluster.kubectl(&["get", "configmaps", "-n", &shop]).contains("fine"), "a dry run writes nothing");
}

#[test]
fn a_patch_changes_what_differs_and_nothing_else() {
    let world = World::new();
    let shop = world.cluster.namespace("plan-patch");
    world.cluster.apply(&format!(
        r"
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {shop}, labels: {{old: label}}}}
spec: {{type: NodePort, selector: {{app: web}}, ports: [{{name: http, port: 80}}]}}
"
    ));
    let live = world.live(&shop, "service", "web");
    let mut wanted = live.clone();
    wanted["spec"]["selector"] = json!({"app": "shop"});
    wanted["metadata"]["labels"] = json!({"new": "label"});
    let options = RestoreOptions::default();
    let discovery = world.server.discover().unwrap();
    let served = discovery.resources.iter().map(|it| it.resource.clone());
    let schemas = backstay_cluster::restore::modifiers::Schemas::of(&world.server);
    let preparer = backstay_cluster::restore::Preparer::new(
        &options,
        served,
        backstay_cluster::restore::Volumes::default(),
        schemas,
    )
    .unwrap();
    let key = ObjectKey::new(ResourceName::core("services"), Some(&shop), "web");
    let backstay_cluster::restore::Prepared::Object(object) =
        preparer.prepare(&key, wanted.to_string().as_bytes()).unwrap()
    else {
        panic!()
    };
    let names = compare::differences(&preparer, &live, &object);
    assert_eq!(names, ["metadata.labels.new", "metadata.labels.old", "spec.selector.app"]);
    let patch = compare::merge_patch(&preparer, &key, &live, &object);
    let expected =
        json!({"metadata": {"labels": {"new": "label", "old": null}}, "spec": {"selector": {"app": "shop"}}});
    assert_eq!(patch, expected);
}

#[test]
fn what_cannot_be_asked_for_is_told_before_anything_is_looked_at() {
    let world = World::new();
    let objects =
        [config_map("plan-d", "a", "1"), json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})];
    let refused = |options: RestoreOptions| world.try_plan(&objects, &options).unwrap_err().to_string();
    let nodes = RestoreOptions { included_resources: fields(&["nodes"]), ..RestoreOptions::default() };
    assert_eq!(
        refused(nodes),
        "included resources: nodes: nodes are never restored, because they belong to the cluster that made them"
    );
    let mapped = |to: &str| RestoreOptions {
        namespace_mappings: BTreeMap::from([("plan-d".to_owned(), to.to_owned())]),
        ..RestoreOptions::default()
    };
    for wrong in ["", "Shop", "a.b", "-a", "a/b"] {
        assert!(refused(mapped(wrong)).starts_with("namespace mappings: plan-d cannot become"), "{wrong}");
    }
    let class = RestoreOptions {
        storage_class_mappings: BTreeMap::from([("a".to_owned(), "missing".to_owned())]),
        ..RestoreOptions::default()
    };
    assert_eq!(refused(class), "storage class mappings: the cluster has no storage class missing");
    let both = RestoreOptions {
        label_selector: Some("a=b".to_owned()),
        or_label_selectors: fields(&["c=d"]),
        ..RestoreOptions::default()
    };
    assert!(refused(both).contains("not by both"));
}

#[test]
fn a_modifier_that_fails_is_a_conflict_of_its_object() {
    let world = World::new();
    let rules = "version: v1\nresourceModifierRules:\n- conditions: {groupResource: configmaps, resourceNameRegex: bad}\n  patches: [{operation: remove, path: /data/missing}]\n";
    let options = RestoreOptions {
        resource_modifiers: Some(ResourceModifiers::parse(rules).unwrap()),
        ..RestoreOptions::default()
    };
    let plan = world.plan(&[config_map("plan-e", "bad", "1"), config_map("plan-e", "good", "1")], &options);
    assert_eq!(action(&plan, "good"), &Action::Create);
    let Action::Conflict { why } = action(&plan, "bad") else { panic!() };
    assert!(why.starts_with("resource modifiers, rule 1: operation 1 at /data/missing"), "{why}");
}
