//! Field managers over a restore, as the real server keeps them.

use backstay_cluster::restore::ItemResult;
use serde_json::{Value, json};

use crate::restore_world::{World, assert_all, mapped};

/// Who owns what, without times, and without the status.
fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let of_object = entries.filter(|entry| entry["subresource"] != "status");
    let mut lines: Vec<_> =
        of_object.map(|entry| format!("{} {} {}", entry["manager"], entry["operation"], entry["fieldsV1"])).collect();
    lines.sort();
    lines
}

#[test]
fn an_object_has_the_field_managers_that_it_had() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("managers"), world.cluster.namespace("managers"));
    let deployment = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: applied, namespace: {from}, labels: {{app: web}}}},
          spec: {{replicas: 0, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}},
          spec: {{containers: [{{name: main, image: web, ports: [{{containerPort: 80}}], env: [{{name: A, value: b}}]}}]}}}}}}}}"
    );
    world.cluster.kubectl_with(&["apply", "--server-side", "--field-manager=argo", "-f", "-"], &deployment);
    let created = "{apiVersion: v1, kind: ConfigMap, metadata: {name: created}, data: {a: b}}";
    world.cluster.kubectl_with(&["create", "--field-manager=helm", "-n", &from, "-f", "-"], created);
    let shared = |manager: &str, key: &str| {
        let text = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: shared}}, data: {{{key}: x}}}}");
        let manager = format!("--field-manager={manager}");
        world.cluster.kubectl_with(&["apply", "--server-side", &manager, "-n", &from, "-f", "-"], &text);
    };
    shared("one", "first");
    shared("two", "second");
    world.cluster.kubectl(&["label", "configmap", "shared", "-n", &from, "tier=back", "--field-manager=kubectl-label"]);
    let service =
        "{apiVersion: v1, kind: Service, metadata: {name: service}, spec: {selector: {a: b}, ports: [{port: 80}]}}";
    world.cluster.kubectl_with(&["create", "--field-manager=helm", "-n", &from, "-f", "-"], service);
    world.cluster.kubectl(&["scale", "deployment", "applied", "-n", &from, "--replicas=0"]);

    let names = ["deployment/applied", "configmap/created", "configmap/shared", "service/service"];
    let originals: Vec<Value> = names.iter().map(|name| world.get(&from, name)).collect();
    let outcome = world.restore(&originals, &mapped(&from, &to));
    assert_all(&outcome, ItemResult::Created);
    for (name, original) in names.iter().zip(&originals) {
        let restored = world.get(&to, name);
        // The deployment's controller adds an annotation of its own, before or after the look at it.
        let own =
            |lines: Vec<String>| lines.into_iter().filter(|line| !line.contains("kube-controller")).collect::<Vec<_>>();
        assert_eq!(own(managers(&restored)), own(managers(original)), "{name}");
        assert_eq!(restored["data"], original["data"], "{name}");
        assert_eq!(restored["spec"]["template"], original["spec"]["template"], "{name}");
    }
    assert_eq!(managers(&originals[2]).len(), 3);
}

#[test]
fn an_apply_creates_and_never_touches_what_is_there() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("managers"), world.cluster.namespace("managers"));
    let text =
        |value: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: raced}}, data: {{a: {value}}}}}");
    let create = |namespace: &str, value: &str| {
        let arguments = ["apply", "--server-side", "--field-manager=argo", "-n", namespace, "-f", "-"];
        world.cluster.kubectl_with(&arguments, &text(value));
    };
    create(&from, "old");
    let snapshot = world.snapshot(&[world.get(&from, "configmap/raced")]);
    let plan = world.plan(&snapshot, &mapped(&from, &to));
    create(&to, "new");
    let outcome = world.apply(&snapshot, &plan, &crate::restore_world::quick());
    assert_all(&outcome, ItemResult::Left);
    assert_eq!(outcome.items[0].why, "data.a");
    assert_eq!(world.get(&to, "configmap/raced")["data"], json!({"a": "new"}));
}

#[test]
fn the_server_ignores_managed_fields_in_a_create_and_takes_them_in_a_patch() {
    let world = World::new();
    let namespace = world.cluster.namespace("managers");
    let entry = json!({"manager": "planted", "operation": "Apply", "apiVersion": "v1", "time": "2024-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "map", "namespace": namespace, "managedFields": [entry]}, "data": {"a": "b"}});
    world.cluster.kubectl_with(&["create", "--field-manager=creator", "-f", "-"], &map.to_string());
    let made = managers(&world.get(&namespace, "configmap/map"));
    assert_eq!(made, [r#""creator" "Update" {"f:data":{".":{},"f:a":{}}}"#]);
    let patch = json!({"metadata": {"managedFields": [entry]}}).to_string();
    world.cluster.kubectl(&["patch", "configmap", "map", "-n", &namespace, "--type=merge", "-p", &patch]);
    let patched = world.get(&namespace, "configmap/map");
    assert_eq!(managers(&patched), [r#""planted" "Apply" {"f:data":{"f:a":{}}}"#]);
    assert_eq!(patched["metadata"]["managedFields"][0]["time"], "2024-01-01T00:00:00Z");
}
