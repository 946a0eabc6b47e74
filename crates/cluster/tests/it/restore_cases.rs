//! What gets in the way of a restore: each case on the real server, with the item, its result and its cause.

use std::time::Duration;

use backstay_cluster::api::{ConnectOptions, Server};
use backstay_cluster::restore::{Action, ApplyOptions, Cause, ExistingPolicy, ItemResult, Outcome, RestoreOptions};
use serde_json::{Value, json};

use crate::restore_world::{World, assert_all, config_map, mapped, pause, quick, result};

fn policy(policy: ExistingPolicy) -> RestoreOptions {
    RestoreOptions { existing_resource_policy: policy, ..RestoreOptions::default() }
}

#[track_caller]
fn cause(outcome: &Outcome, name: &str) -> (ItemResult, Option<Cause>) {
    let item = outcome.items.iter().find(|item| item.target.name == name).unwrap();
    (item.result, item.cause)
}

fn secret(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": {"a": "cGxhbnRlZA=="}})
}

#[test]
fn a_namespace_comes_back_with_its_labels_and_everything_in_it() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    world.cluster.kubectl(&["label", "namespace", &namespace, "team=whales"]);
    world.cluster.kubectl_with(&["create", "-f", "-"], &secret(&namespace, "secret").to_string());
    let mut objects = vec![world.get(&namespace, &format!("namespace/{namespace}"))];
    objects.extend(world.live(&namespace, "secrets,configmaps,serviceaccounts"));
    world.cluster.kubectl(&["delete", "namespace", &namespace]);

    let snapshot = world.snapshot(&objects);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let outcome = world.apply(&snapshot, &plan, &quick());
    assert_eq!(result(&outcome, &namespace), (ItemResult::Created, String::new()));
    assert_eq!(result(&outcome, "secret"), (ItemResult::Created, String::new()));
    assert_eq!(result(&outcome, "kube-root-ca.crt").0, ItemResult::Skipped);
    assert_eq!(world.get(&namespace, "secret/secret")["data"], json!({"a": "cGxhbnRlZA=="}));
    let labels = &world.get(&namespace, &format!("namespace/{namespace}"))["metadata"]["labels"];
    assert_eq!(labels["team"], "whales");
    // The plan may be applied again: what it wanted to make is there as it should be.
    let outcome = world.apply(&snapshot, &plan, &quick());
    assert_eq!(result(&outcome, "secret"), (ItemResult::Unchanged, String::new()));
    assert_eq!((outcome.is_partial(), outcome.has_conflicts()), (false, false), "{outcome:#?}");
}

#[test]
fn a_namespace_that_is_not_restored_is_made_bare_and_said_so() {
    let world = World::new();
    let namespace = format!("{}-bare", world.cluster.namespace("cases"));
    let outcome = world.restore(&[config_map(&namespace, "map", "x")], &RestoreOptions::default());
    assert_eq!(result(&outcome, "map"), (ItemResult::Created, String::new()));
    assert!(outcome.notes.iter().any(|note| note.contains(&namespace)), "{:?}", outcome.notes);
}

#[test]
fn a_namespace_that_is_ending_is_waited_for_and_in_the_end_is_a_conflict() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let mut held = config_map(&namespace, "held", "x");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    world.cluster.kubectl_with(&["create", "-f", "-"], &held.to_string());
    let snapshot = world.snapshot(&[config_map(&namespace, "map", "x"), config_map(&namespace, "other", "x")]);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    world.cluster.kubectl(&["delete", "namespace", &namespace, "--wait=false"]);

    let hasty = ApplyOptions { patience: Duration::from_secs(1), ..ApplyOptions::default() };
    let outcome = world.apply(&snapshot, &plan, &hasty);
    assert_eq!(cause(&outcome, "map"), (ItemResult::Conflict, Some(Cause::Terminating)));
    assert_eq!(cause(&outcome, "other"), (ItemResult::Conflict, Some(Cause::Terminating)));
    assert!(result(&outcome, "map").1.contains(&namespace));

    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            pause(Duration::from_secs(1));
            let patch = r#"{"metadata":{"finalizers":null}}"#;
            world.cluster.kubectl(&["patch", "configmap", "held", "-n", &namespace, "--type=merge", "-p", patch]);
        });
        let patient = ApplyOptions { patience: Duration::from_mins(1), ..ApplyOptions::default() };
        world.apply(&snapshot, &plan, &patient)
    });
    assert_all(&outcome, ItemResult::Created);
}

#[test]
fn an_exceeded_quota_fails_its_items_and_nothing_else() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    world.cluster.apply(&format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: few, namespace: {namespace}}}, spec: {{hard: {{count/secrets: '1'}}}}}}"
    ));
    world.eventually(
        &["get", "resourcequota", "few", "-n", &namespace, "-o", "jsonpath={.status.hard.count/secrets}"],
        |hard| hard == "1",
    );
    let objects = [secret(&namespace, "a"), secret(&namespace, "b"), config_map(&namespace, "map", "x")];
    let outcome = world.restore(&objects, &RestoreOptions::default());
    assert_eq!((outcome.count(ItemResult::Created), outcome.count(ItemResult::Failed)), (2, 1), "{outcome:#?}");
    let groups = outcome.groups(ItemResult::Failed);
    assert_eq!((groups[0].cause, groups[0].namespace), (Some(Cause::Quota), Some(namespace.as_str())));
    assert!(groups[0].first.why.contains("exceeded quota"), "{}", groups[0].first.why);
    assert!(outcome.is_partial() && !outcome.has_conflicts());
    assert!(!serde_json::to_string(&outcome).unwrap().contains("cGxhbnRlZA"), "a Secret's value is nowhere in it");
}

#[test]
fn what_a_policy_denies_fails_with_its_words() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let name = format!("deny-{namespace}");
    world.cluster.apply(&format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}]}}\n  \
         validations: [{{expression: \"object.metadata.namespace != '{namespace}' || object.metadata.name != 'denied'\", message: no whales here}}]\n\
         ---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {name}}}\n\
         spec: {{policyName: {name}, validationActions: [Deny]}}\n"
    ));
    let denied = config_map(&namespace, "denied", "x");
    for _ in 0..100 {
        if world.cluster.try_kubectl(&["create", "--dry-run=server", "-f", "-"], &denied.to_string()).is_err() {
            break;
        }
        pause(Duration::from_millis(100));
    }
    let outcome = world.restore(&[denied, config_map(&namespace, "allowed", "x")], &RestoreOptions::default());
    let kind = "validatingadmissionpolicybinding";
    world.cluster.kubectl(&["delete", kind, &name]);
    assert_eq!(result(&outcome, "allowed").0, ItemResult::Created);
    assert_eq!(cause(&outcome, "denied"), (ItemResult::Failed, Some(Cause::Denied)));
    assert!(result(&outcome, "denied").1.contains("no whales here"));
}

#[test]
fn webhooks_go_in_last_so_that_they_refuse_nothing_of_the_same_restore() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let name = format!("hook-{namespace}");
    let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{"name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}]}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "service", "namespace": namespace},
        "spec": {"ports": [{"port": 80}]}});
    let outcome = world.restore(&[hook, config_map(&namespace, "map", "x"), service], &RestoreOptions::default());
    world.cluster.kubectl(&["delete", "validatingwebhookconfiguration", &name]);
    assert_all(&outcome, ItemResult::Created);
}

/// A definition of `Widget`s in a group of its own.
fn definition(group: &str) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("widgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

fn widget(group: &str, namespace: &str) -> Value {
    json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "widget", "namespace": namespace}, "spec": {"size": 3}})
}

#[test]
fn a_definition_and_its_objects_come_in_one_run() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let group = format!("{namespace}.example.com");
    let objects = [definition(&group), widget(&group, &namespace)];
    let outcome = world.restore(&objects, &RestoreOptions::default());
    assert_all(&outcome, ItemResult::Created);
    let restored = world.get(&namespace, &format!("widgets.{group}/widget"));
    assert_eq!(restored["spec"], json!({"size": 3}));
    world.cluster.kubectl(&["delete", "crd", &format!("widgets.{group}")]);
}

#[test]
fn a_kind_or_version_that_the_cluster_does_not_serve_is_a_conflict_of_its_items() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let scaler = json!({"apiVersion": "autoscaling/v9", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaler", "namespace": namespace}});
    let objects = [widget("nobody.example.com", &namespace), scaler, config_map(&namespace, "map", "x")];
    let outcome = world.restore(&objects, &RestoreOptions::default());
    assert_eq!(result(&outcome, "map").0, ItemResult::Created);
    assert_eq!(result(&outcome, "widget").0, ItemResult::Conflict);
    let (scaler, why) = result(&outcome, "scaler");
    assert_eq!(scaler, ItemResult::Conflict);
    assert!(why.contains("v2"), "it says what is served: {why}");
}

#[test]
fn subjects_of_a_mapped_namespace_move_along() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("cases"), world.cluster.namespace("cases"));
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "binding", "namespace": from},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "role"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": from}]});
    assert_all(&world.restore(&[binding], &mapped(&from, &to)), ItemResult::Created);
    assert_eq!(world.get(&to, "rolebinding/binding")["subjects"][0]["namespace"], to.as_str());
}

#[test]
fn a_service_whose_node_port_is_taken_gets_another() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("cases"), world.cluster.namespace("cases"));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "service", "namespace": from},
        "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30765}]}});
    world.cluster.kubectl_with(&["create", "-f", "-"], &service.to_string());
    let options = RestoreOptions { preserve_node_ports: true, ..mapped(&from, &to) };
    let outcome = world.restore(&[world.get(&from, "service/service")], &options);
    assert_all(&outcome, ItemResult::Created);
    assert!(outcome.items[0].notes.iter().any(|note| note.contains("node ports")), "{:?}", outcome.items[0].notes);
    let port = world.get(&to, "service/service")["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!(port >= 30000 && port != 30765, "{port}");
}

#[test]
fn what_exists_and_differs_is_left_updated_or_recreated_as_the_policy_says() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let create = |object: &Value| world.cluster.kubectl_with(&["create", "-f", "-"], &object.to_string());
    let mut fixed = config_map(&namespace, "fixed", "now");
    fixed["immutable"] = true.into();
    create(&fixed);
    create(&config_map(&namespace, "free", "now"));
    create(&config_map(&namespace, "same", "x"));
    let mut wanted = fixed.clone();
    wanted["data"]["key"] = "then".into();
    let objects = [wanted, config_map(&namespace, "free", "then"), config_map(&namespace, "same", "x")];
    let value =
        |name: &str| world.get(&namespace, &format!("configmap/{name}"))["data"]["key"].as_str().unwrap().to_owned();

    let outcome = world.restore(&objects, &policy(ExistingPolicy::None));
    assert_eq!(result(&outcome, "free"), (ItemResult::Left, "data.key".to_owned()));
    assert_eq!(result(&outcome, "same"), (ItemResult::Unchanged, String::new()));
    assert_eq!((value("free"), outcome.is_partial(), outcome.has_conflicts()), ("now".to_owned(), false, false));

    let outcome = world.restore(&objects, &policy(ExistingPolicy::Update));
    assert_eq!(result(&outcome, "free"), (ItemResult::Updated, String::new()));
    assert_eq!(result(&outcome, "fixed").0, ItemResult::Conflict);
    assert!(outcome.has_conflicts());
    assert_eq!((value("free"), value("fixed")), ("then".to_owned(), "now".to_owned()));

    let before = world.get(&namespace, "configmap/fixed")["metadata"]["uid"].clone();
    let outcome = world.restore(&objects, &policy(ExistingPolicy::Recreate));
    assert_eq!(result(&outcome, "fixed"), (ItemResult::Recreated, String::new()));
    assert_eq!(result(&outcome, "free"), (ItemResult::Unchanged, String::new()));
    assert_eq!(value("fixed"), "then");
    assert_ne!(world.get(&namespace, "configmap/fixed")["metadata"]["uid"], before);
}

#[test]
fn what_a_deletion_would_take_along_is_never_recreated() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let claim = |size: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim", "namespace": namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": size}}}})
    };
    world.cluster.kubectl_with(&["create", "-f", "-"], &claim("2Gi").to_string());
    let before = world.get(&namespace, "pvc/claim")["metadata"]["uid"].clone();
    let snapshot = world.snapshot(&[claim("1Gi")]);
    let mut plan = world.plan(&snapshot, &policy(ExistingPolicy::Recreate));
    // Whatever the plan says.
    plan.items[0].action = Action::Recreate { fields: vec!["spec".to_owned()] };
    let outcome = world.apply(&snapshot, &plan, &quick());
    assert_eq!(cause(&outcome, "claim"), (ItemResult::Conflict, Some(Cause::Immutable)));
    assert!(result(&outcome, "claim").1.contains("data of the volume"));
    assert_eq!(world.get(&namespace, "pvc/claim")["metadata"]["uid"], before);
}

#[test]
fn what_moved_since_the_plan_is_not_overwritten() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    for name in ["changed", "deleted", "replaced", "still"] {
        world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&namespace, name, "now").to_string());
    }
    let objects = ["changed", "deleted", "replaced", "still", "made"].map(|name| config_map(&namespace, name, "then"));
    let snapshot = world.snapshot(&objects);
    let plan = world.plan(&snapshot, &policy(ExistingPolicy::Update));
    let patch = r#"{"data":{"key":"later"}}"#;
    world.cluster.kubectl(&["patch", "configmap", "changed", "-n", &namespace, "--type=merge", "-p", patch]);
    world.cluster.kubectl(&["delete", "configmap", "deleted", "replaced", "-n", &namespace]);
    world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&namespace, "replaced", "now").to_string());
    world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&namespace, "made", "meanwhile").to_string());

    let outcome = world.apply(&snapshot, &plan, &quick());
    for name in ["changed", "deleted", "replaced", "made"] {
        assert_eq!(cause(&outcome, name), (ItemResult::Conflict, Some(Cause::Moved)), "{name}");
    }
    assert_eq!(result(&outcome, "still"), (ItemResult::Updated, String::new()));
    let value = |name: &str| world.get(&namespace, &format!("configmap/{name}"))["data"]["key"].clone();
    assert_eq!([value("changed"), value("replaced"), value("made")], ["later", "now", "meanwhile"]);
}

#[test]
fn a_status_that_moves_on_is_no_change() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let claim = |label: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "claim", "namespace": namespace, "labels": {"tier": label}},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}})
    };
    world.cluster.kubectl_with(&["create", "-f", "-"], &claim("now").to_string());
    let mut wanted = world.get(&namespace, "pvc/claim");
    wanted["metadata"]["labels"]["tier"] = "then".into();
    let snapshot = world.snapshot(&[wanted]);
    let plan = world.plan(&snapshot, &policy(ExistingPolicy::Update));
    let status = r#"{"status":{"conditions":[{"type":"Resizing","status":"True"}]}}"#;
    let arguments = ["patch", "pvc", "claim", "-n", &namespace, "--subresource=status", "--type=merge", "-p", status];
    world.cluster.kubectl(&arguments);
    assert_all(&world.apply(&snapshot, &plan, &quick()), ItemResult::Updated);
    assert_eq!(world.get(&namespace, "pvc/claim")["metadata"]["labels"]["tier"], "then");
}

#[test]
fn a_status_comes_back_where_it_is_asked_for() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("cases"), world.cluster.namespace("cases"));
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim", "namespace": from},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}});
    claim["status"] =
        json!({"phase": "Pending", "conditions": [{"type": "Resizing", "status": "True", "reason": "planted"}]});
    let restore_status = serde_json::from_value(json!({"includedResources": ["persistentvolumeclaims"]})).unwrap();
    let options = RestoreOptions { restore_status: Some(restore_status), ..mapped(&from, &to) };
    let outcome = world.restore(&[claim], &options);
    assert_all(&outcome, ItemResult::Created);
    assert_eq!(world.get(&to, "pvc/claim")["status"]["conditions"][0]["reason"], "planted");
    assert_eq!(outcome.empty_volumes, 1);
}

#[test]
fn what_a_default_account_has_more_is_added_to_the_one_that_the_controllers_make() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let copy = format!("{namespace}-copy");
    let mut account = world.get(&namespace, "serviceaccount/default");
    account["imagePullSecrets"] = json!([{"name": "registry"}]);
    let objects = [world.get(&namespace, &format!("namespace/{namespace}")), account];
    let options = mapped(&namespace, &copy);
    let outcome = world.restore(&objects, &options);
    let (result, why) = result(&outcome, "default");
    assert!(matches!(result, ItemResult::Created | ItemResult::Updated), "{result:?}: {why}");
    assert_eq!(world.get(&copy, "serviceaccount/default")["imagePullSecrets"], json!([{"name": "registry"}]));
    // Once more: the namespace and the account are there, and nothing is left to be added.
    let outcome = world.restore(&objects, &options);
    assert_eq!(self::result(&outcome, "default"), (ItemResult::Unchanged, String::new()));
}

#[test]
fn an_account_with_few_rights_restores_what_it_may_and_is_told_the_rest() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    let kubeconfig = world.cluster.service_account_kubeconfig(&namespace, "robot");
    world.cluster.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: robot, namespace: {namespace}}}\nrules:\n\
         - {{apiGroups: [''], resources: [configmaps], verbs: [get, list, create, patch]}}\n\
         - {{apiGroups: [''], resources: [secrets], verbs: [get, list]}}\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: robot, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: robot}}\n\
         subjects: [{{kind: ServiceAccount, name: robot, namespace: {namespace}}}]\n"
    ));
    let options = ConnectOptions { kubeconfig: Some(kubeconfig), ..ConnectOptions::default() };
    let robot = World { server: Server::connect(&options).unwrap(), ..world };
    let objects = [secret(&namespace, "secret"), config_map(&namespace, "map", "x")];
    let outcome = robot.restore(&objects, &RestoreOptions::default());
    assert_eq!(result(&outcome, "map"), (ItemResult::Created, String::new()));
    assert_eq!(cause(&outcome, "secret"), (ItemResult::Failed, Some(Cause::Forbidden)));
    assert!(result(&outcome, "secret").1.contains("robot"), "{:?}", result(&outcome, "secret"));
}

#[test]
fn many_creates_under_one_quota_all_go_in() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    world.cluster.apply(&format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: many, namespace: {namespace}}}, spec: {{hard: {{count/secrets: '500'}}}}}}"
    ));
    let hard = ["get", "resourcequota", "many", "-n", &namespace, "-o", "jsonpath={.status.hard.count/secrets}"];
    world.eventually(&hard, |hard| hard == "500");
    let objects: Vec<_> = (0..80).map(|number| secret(&namespace, &format!("secret-{number}"))).collect();
    assert_all(&world.restore(&objects, &RestoreOptions::default()), ItemResult::Created);
}

#[test]
fn a_namespace_that_is_deleted_and_restored_at_once_comes_back_with_everything() {
    let world = World::new();
    let namespace = world.cluster.namespace("cases");
    world.cluster.kubectl(&["label", "namespace", &namespace, "team=whales"]);
    world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&namespace, "map", "x").to_string());
    let objects = [world.get(&namespace, &format!("namespace/{namespace}")), world.get(&namespace, "configmap/map")];
    world.cluster.kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
    let snapshot = world.snapshot(&objects);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let patient = ApplyOptions { patience: Duration::from_mins(1), ..ApplyOptions::default() };
    let outcome = world.apply(&snapshot, &plan, &patient);
    assert_all(&outcome, ItemResult::Created);
    assert_eq!(world.get(&namespace, "configmap/map")["data"], objects[1]["data"]);
    assert_eq!(world.get(&namespace, &format!("namespace/{namespace}"))["metadata"]["labels"]["team"], "whales");
}
