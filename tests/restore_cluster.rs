//! Restores of Kubernetes objects, as somebody does them who lost a namespace.

use std::fs;
use std::process::Stdio;

use backstay_testkit::cluster::{Cluster, shared};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Run, World, files_below};

const APPLICATION: &str = "
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: blue}}
---
{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {password: planted-whale}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 0, selector: {matchLabels: {app: web}},
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: web}]}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce],
  storageClassName: none, resources: {requests: {storage: 1Gi}}}}
";

struct Story {
    cluster: &'static Cluster,
    world: World,
    namespace: String,
}

impl Story {
    /// An application in a namespace, and a snapshot of it.
    fn new() -> Self {
        let story = Self { cluster: shared(), world: World::with_repository(), namespace: shared().namespace("story") };
        story.cluster.kubectl_with(&["apply", "-n", &story.namespace, "-f", "-"], APPLICATION);
        story.run(&["backup", "cluster", "--include-namespaces", &story.namespace]).succeeds();
        story
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let kubeconfig = self.cluster.kubeconfig().to_str().unwrap();
        self.world.backstay(&[arguments, &["--kubeconfig", kubeconfig]].concat())
    }

    fn restore(&self, arguments: &[&str]) -> Run {
        self.run(&[&["restore", "cluster"], arguments].concat())
    }

    fn get(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&[&["get", "-n", &self.namespace], arguments].concat())
    }
}

#[test]
fn a_namespace_that_was_deleted_comes_back_by_a_plan() {
    let story = Story::new();
    story.cluster.kubectl(&["delete", "namespace", &story.namespace]);

    let plan = story.world.text("plan.json");
    story.restore(&["latest", "--plan-out", &plan]).succeeds().prints(&["create", "secrets/login", "EMPTY"]);
    assert!(!fs::read_to_string(&plan).unwrap().contains("cGxhbnRlZC13aGFsZQ"), "no value of a Secret");
    let gone = story.cluster.try_kubectl(&["get", "namespace", &story.namespace], "");
    assert!(gone.unwrap_err().contains("NotFound"), "a plan changes nothing");

    let run = story.restore(&["--plan", &plan, "-o", "json"]).succeeds().says(&["1 volume comes back EMPTY"]);
    let document = run.json();
    assert_eq!((&document["left_over"], &document["empty_volumes"]), (&0.into(), &1.into()));
    assert_eq!(
        document["counts"]["created"].as_u64().unwrap(),
        7,
        "the namespace, its five objects, and what the deployment made"
    );
    assert!(!run.stdout.contains("cGxhbnRlZC13aGFsZQ") && !run.stderr.contains("planted-whale"));
    assert_eq!(story.get(&["secret/login", "-o", "jsonpath={.data.password}"]), "cGxhbnRlZC13aGFsZQ==");
    assert_eq!(story.get(&["deployment/web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]), "web");

    // Once more is harmless, with the old plan and with a new one.
    story.restore(&["--plan", &plan]).succeeds();
    let again = story.restore(&["latest", "-o", "json"]).succeeds().json();
    assert_eq!(again["counts"].get("created"), None, "{}", again["counts"]);
    assert_eq!(again["counts"].get("left"), None, "{}", again["counts"]);
}

#[test]
fn what_exists_is_changed_only_when_it_is_asked_for_and_confirmed() {
    let story = Story::new();
    let colour = || story.get(&["configmap/settings", "-o", "jsonpath={.data.colour}"]);
    let patch = r#"{"data":{"colour":"red"}}"#;
    story.cluster.kubectl(&["patch", "configmap", "settings", "-n", &story.namespace, "--type=merge", "-p", patch]);

    story.restore(&["latest", "--include-resources", "configmaps"]).succeeds().says(&["left as it is", "data.colour"]);
    let update = ["latest", "--include-resources", "configmaps", "--existing-resource-policy", "update"];
    story.restore(&update).ends_with(2).says(&["change 1 existing object", "--yes"]);
    assert_eq!(colour(), "red");
    story.restore(&[&update[..], &["--yes"]].concat()).succeeds().says(&["1 updated"]);
    assert_eq!(colour(), "blue");
}

#[test]
fn what_cannot_be_restored_is_told_with_its_cause_and_an_exit_code() {
    let story = Story::new();
    let into = format!("{}-quota", story.namespace);
    story.cluster.kubectl(&["create", "namespace", &into]);
    let quota = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {count/secrets: '0'}}}";
    story.cluster.kubectl_with(&["create", "-n", &into, "-f", "-"], quota);
    for _ in 0..300 {
        let hard = ["get", "resourcequota", "none", "-n", &into, "-o", "jsonpath={.status.hard}"];
        if !story.cluster.kubectl(&hard).is_empty() {
            break;
        }
    }
    let mapping = format!("{}:{into}", story.namespace);
    story
        .restore(&["latest", "--namespace-mappings", &mapping])
        .ends_with(3)
        .says(&["failed: secrets/login", "quota exceeded"]);

    story.restore(&["latest", "--plan", "x"]).ends_with(2);
    story.restore(&[]).ends_with(2);
    let nowhere = story.world.text("nowhere");
    let run = story.world.backstay(&["restore", "cluster", "latest", "--kubeconfig", &nowhere]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("nowhere"), "{}", run.stderr);
    let files = story.world.backup();
    story.restore(&[&files]).ends_with(1).says(&["holds no cluster's objects", "backstay restore files"]);
}

#[test]
fn an_interrupted_restore_goes_on_when_it_is_run_again() {
    let story = Story::new();
    let maps = |number: u32| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: map-{number}}}, data: {{a: b}}}}\n---\n")
    };
    let maps: String = (0..400).map(maps).collect();
    story.cluster.kubectl_with(&["create", "-n", &story.namespace, "-f", "-"], &maps);
    story.run(&["backup", "cluster", "--include-namespaces", &story.namespace]).succeeds();
    let mapping = format!("{0}:{0}-copy", story.namespace);
    let restore = ["restore", "cluster", "latest", "--namespace-mappings", &mapping];

    let kubeconfig = story.cluster.kubeconfig().to_str().unwrap();
    let mut command = story.world.command(&[&restore[..], &["--kubeconfig", kubeconfig]].concat());
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The journal is there before the first object is.
    let folder = story.world.path("home/.cache/backstay/restores");
    let has_journal = || files_below(&folder).iter().any(|path| path.extension().is_some_and(|it| it == "journal"));
    while !folder.exists() || !has_journal() {
        assert_eq!(running.try_wait().unwrap(), None, "it ended before the interrupt");
    }
    kill_process(Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let run = Run::from_output(running.wait_with_output().unwrap());
    run.ends_with(130).says(&["not reached", "run the same command again"]);

    let run = story.run(&restore).succeeds().says(&["going on with the restore that was interrupted"]);
    assert!(!run.stderr.contains("unchanged"), "{}", run.stderr);
    assert!(!folder.exists() || files_below(&folder).is_empty(), "nothing is left of it");
    story.run(&restore).succeeds().says(&["unchanged"]);
}
