//! Owner references over a restore, with the real controllers and their garbage collector at work.

use backstay_cluster::restore::{Cause, ItemResult, RestoreOptions};
use serde_json::{Value, json};

use crate::restore_world::{World, assert_all, config_map, mapped, quick, result};

fn names(objects: &[Value]) -> Vec<String> {
    let mut names: Vec<_> = objects.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn owner_uids(object: &Value) -> Vec<String> {
    let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references.map(|it| it["uid"].as_str().unwrap().to_owned()).collect()
}

fn owned(mut object: Value, owner: &Value, controller: bool) -> Value {
    let reference = json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": controller});
    object["metadata"]["ownerReferences"] = json!([reference]);
    object
}

#[test]
fn a_deployment_adopts_what_it_made_before_and_other_dependents_carry_its_new_uid() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("owners"), world.cluster.namespace("owners"));
    world.cluster.apply(&format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: {from}}},
          spec: {{replicas: 2, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}},
          spec: {{containers: [{{name: main, image: web}}]}}}}}}}}"
    ));
    world.eventually(&["get", "pods", "-n", &from, "-o", "name"], |pods| pods.lines().count() == 2);
    let deployment = world.get(&from, "deployment/web");
    let config = owned(config_map(&from, "config", "x"), &deployment, false);
    world.cluster.kubectl_with(&["create", "-f", "-"], &config.to_string());

    let mut objects = world.live(&from, "deployments,replicasets,pods");
    objects.push(world.get(&from, "configmap/config"));
    let outcome = world.restore(&objects, &mapped(&from, &to));
    assert_all(&outcome, ItemResult::Created);

    let new = world.get(&to, "deployment/web")["metadata"]["uid"].as_str().unwrap().to_owned();
    world.eventually(&["get", "rs", "-n", &to, "-o", "jsonpath={.items[*].metadata.ownerReferences[*].uid}"], |uid| {
        uid == new
    });
    let set = world.live(&to, "replicasets");
    let set_uid = set[0]["metadata"]["uid"].as_str().unwrap().to_owned();
    let both = format!("{set_uid} {set_uid}");
    world.eventually(
        &["get", "pods", "-n", &to, "-o", "jsonpath={.items[*].metadata.ownerReferences[*].uid}"],
        |uids| uids == both,
    );
    world.collect_garbage(&to);
    assert_eq!(names(&world.live(&to, "replicasets")), names(&world.live(&from, "replicasets")), "no duplicates");
    assert_eq!(names(&world.live(&to, "pods")), names(&world.live(&from, "pods")), "no duplicates");
    assert_eq!(owner_uids(&world.get(&to, "configmap/config")), [new]);
}

#[test]
fn a_stateful_set_adopts_its_pods_and_revisions_and_a_cron_job_keeps_its_jobs() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("owners"), world.cluster.namespace("owners"));
    let template = "{metadata: {labels: {app: db}}, spec: {containers: [{name: main, image: db}]}}";
    let job = "{spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: job}]}}}}";
    world.cluster.apply(&format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db, namespace: {from}}}\nspec: {{serviceName: db, replicas: 1, \
         selector: {{matchLabels: {{app: db}}}}, template: {template}}}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: nightly, \
         namespace: {from}}}\nspec: {{schedule: '0 3 1 1 *', jobTemplate: {job}}}\n"
    ));
    world.cluster.kubectl(&["create", "job", "nightly-1", "--from=cronjob/nightly", "-n", &from]);
    let kinds = "statefulsets,controllerrevisions,cronjobs,jobs,pods";
    world.eventually(&["get", "pods", "-n", &from, "-o", "name"], |pods| pods.lines().count() == 2);
    let cron_job = world.get(&from, "cronjob/nightly");
    // What kubectl makes is owned by the cron job, as the jobs that it starts by itself are.
    assert_eq!(owner_uids(&world.get(&from, "job/nightly-1")), [cron_job["metadata"]["uid"].as_str().unwrap()]);

    let outcome = world.restore(&world.live(&from, kinds), &mapped(&from, &to));
    let skipped: Vec<_> = outcome.items.iter().filter(|it| it.result != ItemResult::Created).collect();
    assert!(matches!(&skipped[..], [pod] if pod.why.contains("makes its pods anew")), "{skipped:#?}");
    let uid = |name: &str| world.get(&to, name)["metadata"]["uid"].as_str().unwrap().to_owned();
    let set = uid("statefulset/db");
    world.eventually(&["get", "pod/db-0", "-n", &to, "-o", "jsonpath={.metadata.ownerReferences[*].uid}"], |uid| {
        uid == set
    });
    let revisions =
        ["get", "controllerrevisions", "-n", &to, "-o", "jsonpath={.items[*].metadata.ownerReferences[*].uid}"];
    world.eventually(&revisions, |uids| uids == set);
    assert_eq!(owner_uids(&world.get(&to, "job/nightly-1")), [uid("cronjob/nightly")]);
    // The job makes its pod anew, once.
    world.eventually(&["get", "pods", "-n", &to, "-l", "job-name=nightly-1", "-o", "name"], |pods| {
        pods.lines().count() == 1
    });
    assert_eq!(names(&world.live(&to, "controllerrevisions")), names(&world.live(&from, "controllerrevisions")));
}

#[test]
fn owners_that_own_each_other_and_controllers_that_adopt_nothing_get_their_references_in_the_end() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("owners"), world.cluster.namespace("owners"));
    for name in ["a", "b", "boss"] {
        world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&from, name, "x").to_string());
    }
    let [a, b, boss] = ["configmap/a", "configmap/b", "configmap/boss"].map(|name| world.get(&from, name));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker", "namespace": from},
        "spec": {"containers": [{"name": "main", "image": "x"}]}});
    let objects = [owned(a.clone(), &b, false), owned(b, &a, false), owned(pod, &boss, true), boss];
    let outcome = world.restore(&objects, &mapped(&from, &to));
    assert_all(&outcome, ItemResult::Created);
    let uid = |name: &str| world.get(&to, name)["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(owner_uids(&world.get(&to, "configmap/a")), [uid("configmap/b")]);
    assert_eq!(owner_uids(&world.get(&to, "configmap/b")), [uid("configmap/a")]);
    assert_eq!(owner_uids(&world.get(&to, "pod/worker")), [uid("configmap/boss")]);
}

#[test]
fn a_reference_to_what_is_not_restored_is_kept_if_it_is_the_same_object_and_dropped_otherwise() {
    let world = World::new();
    let namespace = world.cluster.namespace("owners");
    world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&namespace, "owner", "x").to_string());
    let owner = world.get(&namespace, "configmap/owner");
    let mut other = owner.clone();
    other["metadata"]["uid"] = "11111111-dead-4000-8000-000000000000".into();
    let objects = [
        owned(config_map(&namespace, "kept", "x"), &owner, false),
        owned(config_map(&namespace, "dropped", "x"), &other, false),
    ];
    let outcome = world.restore(&objects, &RestoreOptions::default());
    assert_all(&outcome, ItemResult::Created);
    assert_eq!(owner_uids(&world.get(&namespace, "configmap/kept")), owner_uids(&objects[0]));
    assert!(owner_uids(&world.get(&namespace, "configmap/dropped")).is_empty());
    let dropped = outcome.items.iter().find(|it| it.target.name == "dropped").unwrap();
    assert_eq!(dropped.notes, ["its owner ConfigMap/owner is not restored: the reference was dropped"]);
    assert_eq!(result(&outcome, "kept"), (ItemResult::Created, String::new()));
}

#[test]
fn a_plan_that_is_applied_again_finds_dependents_unchanged() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("owners"), world.cluster.namespace("owners"));
    for name in ["owner", "dependent"] {
        world.cluster.kubectl_with(&["create", "-f", "-"], &config_map(&from, name, "x").to_string());
    }
    let owner = world.get(&from, "configmap/owner");
    let snapshot = world.snapshot(&[owned(world.get(&from, "configmap/dependent"), &owner, false), owner]);
    let plan = world.plan(&snapshot, &mapped(&from, &to));
    assert_all(&world.apply(&snapshot, &plan, &quick()), ItemResult::Created);
    assert_all(&world.apply(&snapshot, &plan, &quick()), ItemResult::Unchanged);
}

#[test]
fn a_dependent_whose_owner_cannot_be_restored_waits_for_another_run() {
    let world = World::new();
    let (from, to) = (world.cluster.namespace("owners"), world.cluster.namespace("owners"));
    let quota = |number: u32| {
        format!(
            "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: none, namespace: {to}}}, spec: {{hard: {{count/secrets: '{number}'}}}}}}"
        )
    };
    let hard = ["get", "resourcequota", "none", "-n", &to, "-o", "jsonpath={.status.hard.count/secrets}"];
    world.cluster.apply(&quota(0));
    world.eventually(&hard, |hard| hard == "0");
    world.cluster.kubectl(&["create", "secret", "generic", "owner", "-n", &from]);
    let owner = world.get(&from, "secret/owner");
    let snapshot = world.snapshot(&[owned(config_map(&from, "dependent", "x"), &owner, false), owner]);
    let plan = world.plan(&snapshot, &mapped(&from, &to));
    let outcome = world.apply(&snapshot, &plan, &quick());
    let causes: Vec<_> = outcome.items.iter().map(|item| (item.target.name.as_str(), item.cause)).collect();
    assert_eq!(causes, [("dependent", Some(Cause::Owner)), ("owner", Some(Cause::Quota))]);
    assert!(result(&outcome, "dependent").1.contains("secrets/owner"));

    world.cluster.apply(&quota(1));
    world.eventually(&hard, |hard| hard == "1");
    assert_all(&world.apply(&snapshot, &plan, &quick()), ItemResult::Created);
    let uid = world.get(&to, "secret/owner")["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(owner_uids(&world.get(&to, "configmap/dependent")), [uid]);
}
