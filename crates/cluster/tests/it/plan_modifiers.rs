//! Resource modifiers: Velero's YAML, its conditions, and patches that act as the server's own.

use std::collections::BTreeMap;

use backstay_cluster::api::{ConnectOptions, Server};
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::{Resource, ResourceName};
use backstay_cluster::restore::modifiers::Schemas;
use backstay_cluster::restore::{Prepared, Preparer, ResourceModifiers, RestoreOptions, Volumes};
use backstay_testkit::cluster::shared;
use serde_json::{Value, json};

fn deployments() -> Resource {
    Resource {
        name: ResourceName::new("deployments", "apps"),
        version: "v1".to_owned(),
        kind: "Deployment".to_owned(),
        singular: "deployment".to_owned(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        served: vec!["v1".to_owned()],
    }
}

fn no_schemas() -> Schemas {
    Schemas::new(|path| Err(format!("nobody asks for {path} here")))
}

/// What the rules make of an object of `shop`.
fn modified(rules: &str, resource: Resource, object: &Value, schemas: Schemas) -> Result<Value, String> {
    let document = ResourceModifiers::parse(rules).map_err(|error| error.to_string())?;
    let options = RestoreOptions {
        resource_modifiers: Some(document),
        namespace_mappings: BTreeMap::from([("shop".to_owned(), "copy".to_owned())]),
        ..RestoreOptions::default()
    };
    let namespace = resource.namespaced.then_some("shop");
    let key = ObjectKey::new(resource.name.clone(), namespace, object["metadata"]["name"].as_str().unwrap());
    let preparer = Preparer::new(&options, [resource], Volumes::default(), schemas).unwrap();
    match preparer.prepare(&key, object.to_string().as_bytes()).unwrap() {
        Prepared::Object(object) => Ok(object.body),
        Prepared::Conflict { why, .. } => Err(why),
        other => panic!("{other:?}"),
    }
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "mysql-main", "namespace": "shop", "labels": {"app": "mysql"}},
        "spec": {"replicas": 2, "paused": true},
    })
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let rows = [
        ("groupResource: deployments.apps", true),
        ("groupResource: '*.apps'", true),
        ("groupResource: '*'", false),
        ("groupResource: '**'", true),
        ("groupResource: deployments", false),
        ("groupResource: pods", false),
        ("groupResource: '**', namespaces: [shop]", true),
        ("groupResource: '**', namespaces: ['sh*']", true),
        // Names are those of the snapshot: the mapping comes later.
        ("groupResource: '**', namespaces: [copy]", false),
        ("groupResource: '**', resourceNameRegex: '^mysql-.*$'", true),
        ("groupResource: '**', resourceNameRegex: 'main'", true),
        ("groupResource: '**', resourceNameRegex: '^main'", false),
        ("groupResource: '**', labelSelector: {matchLabels: {app: mysql}}", true),
        (
            "groupResource: '**', labelSelector: {matchExpressions: [{key: app, operator: NotIn, values: [mysql]}]}",
            false,
        ),
        ("groupResource: '**', matches: [{path: /spec/replicas, value: '2'}]", true),
        ("groupResource: '**', matches: [{path: /spec/replicas, value: '\"2\"'}]", false),
        ("groupResource: '**', matches: [{path: /metadata/labels/app, value: mysql}]", true),
        ("groupResource: '**', matches: [{path: /spec/missing, value: x}]", false),
        (
            "groupResource: '**', matches: [{path: /spec/replicas, value: '2'}, {path: /spec/paused, value: 'false'}]",
            false,
        ),
    ];
    for (conditions, expected) in rows {
        let rules = format!(
            "{{version: v1, resourceModifierRules: [{{conditions: {{{conditions}}}, patches: [{{operation: replace, path: /spec/replicas, value: '7'}}]}}]}}"
        );
        let body = modified(&rules, deployments(), &deployment(), no_schemas()).unwrap();
        assert_eq!(body["spec"]["replicas"] == 7, expected, "{conditions}");
    }
}

#[test]
fn values_of_json_patches_are_read_as_velero_reads_them() {
    let rows = [
        ("'5'", json!(5)),
        ("'1.5'", json!(1.5)),
        ("'true'", json!(true)),
        ("'null'", json!(null)),
        (r#"'{"a":1}'"#, json!({"a": 1})),
        (r"'[1,2]'", json!([1, 2])),
        ("hello", json!("hello")),
        (r#""\"1\"""#, json!("1")),
        (r#""\"true\"""#, json!("true")),
        ("''", json!("")),
        ("v1.2.3", json!("v1.2.3")),
    ];
    for (value, expected) in rows {
        let rules = format!(
            "{{version: v1, resourceModifierRules: [{{conditions: {{groupResource: '**'}}, patches: [{{operation: add, path: /spec/x, value: {value}}}]}}]}}"
        );
        let body = modified(&rules, deployments(), &deployment(), no_schemas()).unwrap();
        assert_eq!(body["spec"]["x"], expected, "{value}");
    }
}

#[test]
fn operations_are_those_of_rfc_6902_and_a_failed_test_means_not_here() {
    let rules = |operations: &str| {
        format!(
            "{{version: v1, resourceModifierRules: [{{conditions: {{groupResource: '**'}}, patches: [{operations}]}}]}}"
        )
    };
    let spec = |operations: &str| {
        modified(&rules(operations), deployments(), &deployment(), no_schemas()).map(|body| body["spec"].clone())
    };
    let rows = [
        ("{operation: remove, path: /spec/paused}", json!({"replicas": 2})),
        ("{operation: move, from: /spec/replicas, path: /spec/x}", json!({"x": 2, "paused": true})),
        ("{operation: copy, from: /spec/replicas, path: /spec/x}", json!({"x": 2, "paused": true, "replicas": 2})),
        (
            "{operation: test, path: /spec/replicas, value: '2'}, {operation: remove, path: /spec/paused}",
            json!({"replicas": 2}),
        ),
        (
            "{operation: remove, path: /spec/paused}, {operation: test, path: /spec/replicas, value: '3'}",
            json!({"replicas": 2, "paused": true}),
        ),
    ];
    for (operations, expected) in rows {
        assert_eq!(spec(operations), Ok(expected), "{operations}");
    }
    let error = spec("{operation: remove, path: /spec/missing}").unwrap_err();
    assert_eq!(error, "resource modifiers, rule 1: operation 1 at /spec/missing: path is invalid");
}

#[test]
fn conditions_see_the_object_before_any_rule_and_rules_apply_in_order() {
    let rules = r#"
version: v1
resourceModifierRules:
- conditions: {groupResource: deployments.apps}
  mergePatches:
  - patchData: |
      spec: {replicas: 3, paused: null}
      metadata: {annotations: {first: "yes"}}
- conditions: {groupResource: deployments.apps, matches: [{path: /spec/replicas, value: "3"}]}
  mergePatches: [{patchData: '{"spec": {"replicas": 9}}'}]
- conditions: {groupResource: deployments.apps, matches: [{path: /spec/replicas, value: "2"}]}
  patches: [{operation: replace, path: /spec/replicas, value: "4"}]
"#;
    let body = modified(rules, deployments(), &deployment(), no_schemas()).unwrap();
    assert_eq!(body["spec"], json!({"replicas": 4}));
    assert_eq!(body["metadata"]["annotations"], json!({"first": "yes"}));
}

#[test]
fn documents_that_would_not_do_what_they_say_are_refused() {
    let rule = |text: &str| format!("{{version: v1, resourceModifierRules: [{text}]}}");
    let rows = [
        ("{version: v2, resourceModifierRules: []}".to_owned(), "must be v1"),
        ("{version: v1, resourceModifierRules: []}".to_owned(), "no rules"),
        ("{version: v1, resourceModifierRule: []}".to_owned(), "resourceModifierRule"),
        (rule("{conditions: {groupResource: ''}, patches: [{operation: remove, path: /a}]}"), "groupResource is empty"),
        (rule("{conditions: {groupResource: a}}"), "no patches"),
        (
            rule(
                "{conditions: {groupResource: a}, patches: [{operation: remove, path: /a}], mergePatches: [{patchData: '{}'}]}",
            ),
            "more than one",
        ),
        (rule("{conditions: {groupResource: a}, patches: [{operation: delete, path: /a}]}"), "none of add"),
        (rule("{conditions: {groupResource: a}, patches: [{operation: remove, path: ''}]}"), "no path"),
        (rule("{conditions: {groupResource: a}, patches: [{op: remove, path: /a}]}"), "op"),
        (rule("{conditions: {groupResource: a, namespace: b}, patches: [{operation: remove, path: /a}]}"), "namespace"),
        (
            rule("{conditions: {groupResource: a, resourceNameRegex: '('}, patches: [{operation: remove, path: /a}]}"),
            "regular",
        ),
        (
            rule("{conditions: {groupResource: a}, patches: [{operation: add, path: /a, value: '{x'}]}"),
            "begins like JSON",
        ),
        (rule("{conditions: {groupResource: a}, mergePatches: [{patchData: '[]'}]}"), "not an object"),
        ("{kind: ConfigMap, data: {a: '', b: ''}}".to_owned(), "exactly one key"),
    ];
    for (text, expected) in rows {
        let error = ResourceModifiers::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_config_map_is_read_by_its_only_key() {
    let inner = "version: v1\nresourceModifierRules:\n- conditions: {groupResource: pods}\n  patches: [{operation: remove, path: /spec/x}]\n";
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"rules.yaml": inner}});
    assert_eq!(ResourceModifiers::parse(&map.to_string()).unwrap(), ResourceModifiers::parse(inner).unwrap());
}

/// Patches of a deployment and a service; each is given to the server too, and both results must be the same.
#[test]
fn strategic_patches_do_what_the_server_would_do() {
    let cluster = shared();
    let namespace = cluster.namespace("strategic");
    cluster.apply(&format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}, finalizers: [example.com/a, example.com/b]}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: web}}}}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 1}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      tolerations: [{{key: a, operator: Exists}}]
      volumes: [{{name: cache, emptyDir: {{}}}}, {{name: conf, configMap: {{name: conf}}}}]
      containers:
      - {{name: web, image: "web:1", args: [a, b], env: [{{name: A, value: "1"}}, {{name: B, value: "2"}}], ports: [{{containerPort: 80}}]}}
      - {{name: side, image: "side:1"}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80}}, {{name: https, port: 443}}]}}
"#
    ));
    let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig().to_owned()), ..ConnectOptions::default() };
    let server = Server::connect(&options).unwrap();
    let discovery = server.discover().unwrap();
    let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let rows = [
        ("deployment", pod(json!({"containers": [{"name": "web", "image": "web:2"}]}))),
        ("deployment", pod(json!({"containers": [{"name": "new", "image": "new:1"}]}))),
        ("deployment", pod(json!({"containers": [{"name": "side", "$patch": "delete"}]}))),
        ("deployment", pod(json!({"containers": [{"$patch": "replace"}, {"name": "only", "image": "only:1"}]}))),
        (
            "deployment",
            pod(
                json!({"containers": [{"name": "web", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]}),
            ),
        ),
        ("deployment", pod(json!({"containers": [{"name": "web", "args": ["c"]}]}))),
        ("deployment", pod(json!({"containers": [{"name": "web", "args": null}]}))),
        ("deployment", pod(json!({"$setElementOrder/containers": [{"name": "side"}, {"name": "web"}]}))),
        (
            "deployment",
            pod(json!({
                "$setElementOrder/containers": [{"name": "side"}, {"name": "new"}, {"name": "web"}],
                "containers": [{"name": "new", "image": "new:1"}],
            })),
        ),
        ("deployment", pod(json!({"tolerations": [{"key": "b", "operator": "Exists"}]}))),
        (
            "deployment",
            pod(
                json!({"volumes": [{"name": "cache", "$retainKeys": ["name", "configMap"], "configMap": {"name": "x"}}]}),
            ),
        ),
        ("deployment", pod(json!({"nodeSelector": {"a": "b"}}))),
        ("deployment", json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}})),
        ("deployment", json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})),
        ("deployment", json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}})),
        ("deployment", json!({"metadata": {"finalizers": ["example.com/c"]}})),
        (
            "deployment",
            json!({"metadata": {"labels": {"x": "y"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": null}}}),
        ),
        ("deployment", json!({"spec": {"selector": {"matchLabels": {"app": "web"}}, "replicas": 3}})),
        ("service", json!({"spec": {"ports": [{"port": 443, "name": "tls"}]}})),
        ("service", json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}})),
        ("service", json!({"spec": {"selector": {"$patch": "replace", "app": "other"}}})),
    ];
    for (kind, patch) in rows {
        let get = cluster.kubectl(&["get", kind, "web", "-n", &namespace, "-o", "json", "--show-managed-fields"]);
        let live: Value = serde_json::from_str(&get).unwrap();
        let text = patch.to_string();
        let arguments = [
            "patch",
            kind,
            "web",
            "-n",
            &namespace,
            "--type",
            "strategic",
            "-p",
            &text,
            "--dry-run=server",
            "-o",
            "json",
        ];
        let theirs: Value = serde_json::from_str(&cluster.kubectl(&arguments)).unwrap();
        let resource = discovery.find(kind).unwrap().resource.clone();
        let rules = json!({"version": "v1", "resourceModifierRules": [
            {"conditions": {"groupResource": "**"}, "strategicPatches": [{"patchData": text}]}]});
        let nothing = "{version: v1, resourceModifierRules: [{conditions: {groupResource: none}, patches: [{operation: remove, path: /x}]}]}";
        let ours = modified(&rules.to_string(), resource.clone(), &live, Schemas::of(&server)).unwrap();
        let expected = modified(nothing, resource, &theirs, no_schemas()).unwrap();
        assert_eq!(without_defaults(ours), without_defaults(expected), "{patch}");
    }
}

/// What the server adds to new elements after a patch.
fn without_defaults(mut body: Value) -> Value {
    let defaults = [
        "imagePullPolicy",
        "resources",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "defaultMode",
        "targetPort",
        "protocol",
        "rollingUpdate",
    ];
    fn walk(value: &mut Value, defaults: &[&str]) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !defaults.contains(&&name[..]));
                fields.values_mut().for_each(|value| walk(value, defaults));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, defaults)),
            _ => {}
        }
    }
    walk(&mut body, &defaults);
    body
}

#[test]
fn a_strategic_patch_of_a_field_or_kind_that_cannot_have_it_is_an_error() {
    let cluster = shared();
    let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig().to_owned()), ..ConnectOptions::default() };
    let server = Server::connect(&options).unwrap();
    let rules = |patch: &str| {
        format!(
            "{{version: v1, resourceModifierRules: [{{conditions: {{groupResource: '**'}}, strategicPatches: [{{patchData: '{patch}'}}]}}]}}"
        )
    };
    let schemas = || Schemas::of(&server);
    let error = modified(&rules("{spec: {replica: 1}}"), deployments(), &deployment(), schemas()).unwrap_err();
    assert_eq!(error, "resource modifiers, rule 1: spec: the kind has no field replica");
    let definition = json!({"apiVersion": "apps/v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "shop"}});
    let error = modified(&rules("{spec: {}}"), deployments(), &definition, schemas()).unwrap_err();
    assert!(error.contains("built-in kinds only; use mergePatches or patches for Widget"), "{error}");
}
