//! Runs of a restore: interrupted, continued, repeated, of another cluster, waited for.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstay_cluster::ClusterError;
use backstay_cluster::api::{ConnectOptions, Server};
use backstay_cluster::restore::{ApplyOptions, ItemResult, JournalError, Reason, RestoreOptions, apply};
use backstay_repo::{ErrorKind, Progress};
use backstay_testkit::cluster::shared;
use backstay_testkit::proxy::{Fault, Proxy, Rule};
use serde_json::{Value, json};

use crate::restore_world::{World, assert_all, config_map, mapped, pause, quick};

#[test]
fn an_interrupted_restore_goes_on_from_its_journal() {
    let world = World::new();
    let namespace = world.cluster.namespace("runs");
    let objects: Vec<_> = (0..300).map(|number| config_map(&namespace, &format!("map-{number:03}"), "x")).collect();
    let snapshot = world.snapshot(&objects);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let options = ApplyOptions { journal: Some(journal.clone()), ..quick() };
    let progress = Progress::new();
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            while progress.items_done.load(Ordering::Relaxed) < 40 {
                pause(Duration::from_millis(1));
            }
            progress.cancel();
        });
        apply(&world.server, &world.repository, &snapshot, &plan, &options, &progress).unwrap()
    });
    assert!(first.left_over > 0 && first.is_partial(), "{} left over", first.left_over);
    let done = first.count(ItemResult::Created);
    assert!(done >= 40);

    // A crash in the middle of a line loses that line.
    let mut text = fs::read_to_string(&journal).unwrap();
    assert_eq!(text.lines().count() as u64, 1 + done);
    text.push_str(r#"{"key":{"resource":"configm"#);
    fs::write(&journal, text).unwrap();
    let second = world.apply(&snapshot, &plan, &options);
    assert_all(&second, ItemResult::Created);
    assert_eq!((second.continued, second.items.len()), (done, 300));
    assert!(!journal.exists(), "a finished restore needs no journal");
    assert_all(&world.apply(&snapshot, &plan, &options), ItemResult::Unchanged);
}

#[test]
fn a_plan_is_refused_by_another_cluster_and_a_journal_by_another_plan() {
    let world = World::new();
    let namespace = world.cluster.namespace("runs");
    let snapshot = world.snapshot(&[config_map(&namespace, "map", "x")]);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let run =
        |plan: &_, options: &_| apply(&world.server, &world.repository, &snapshot, plan, options, &Progress::new());
    let mut foreign = plan.clone();
    foreign.target.uid = "another".to_owned();
    let error = run(&foreign, &quick()).unwrap_err();
    assert!(matches!(error, ClusterError::ForeignPlan { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);

    let folder = tempfile::tempdir().unwrap();
    let options = ApplyOptions { journal: Some(folder.path().join("journal")), ..quick() };
    fs::write(folder.path().join("journal"), "something else\n").unwrap();
    let error = run(&plan, &options).unwrap_err();
    assert!(matches!(error, ClusterError::Journal(JournalError::Foreign { .. })), "{error}");

    let busy = fs::File::create(folder.path().join("busy")).unwrap();
    busy.lock().unwrap();
    let options = ApplyOptions { journal: Some(folder.path().join("busy")), ..quick() };
    let error = run(&plan, &options).unwrap_err();
    assert!(matches!(error, ClusterError::Journal(JournalError::Busy { .. })), "{error}");
    drop(busy);
    let maps = world.cluster.kubectl(&["get", "configmaps", "-n", &namespace, "-o", "name"]);
    assert_eq!(maps.trim(), "configmap/kube-root-ca.crt", "nothing was begun");
}

#[test]
fn waiting_says_what_is_not_ready_and_why() {
    let world = World::new();
    let namespace = world.cluster.namespace("runs");
    let deployment = |name: &str, replicas: u32| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "web"}]}}}})
    };
    let cases = ["image", "crash", "scheduling", "volume", "probe", "config"];
    for object in cases.iter().map(|name| deployment(name, 1)).chain([deployment("none", 0)]) {
        world.cluster.kubectl_with(&["create", "-f", "-"], &object.to_string());
    }

    let running = json!({"startedAt": "2026-01-01T00:00:00Z"});
    let container = |ready: bool, state: Value| {
        json!([{"name": "main", "image": "web", "imageID": "", "ready": ready, "restartCount": 0, "state": state,
        "lastState": {"terminated": {"exitCode": 7, "reason": "Error", "startedAt": null, "finishedAt": null}}}])
    };
    let waiting =
        |reason: &str, message: &str| container(false, json!({"waiting": {"reason": reason, "message": message}}));
    let unschedulable = |message: &str| json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]});
    let status = |name: &str| match name {
        "image" => json!({"phase": "Pending", "containerStatuses": waiting("ImagePullBackOff", "no such image")}),
        "crash" => json!({"phase": "Running", "containerStatuses": waiting("CrashLoopBackOff", "back-off")}),
        "scheduling" => unschedulable("0/3 nodes are available: 3 Insufficient cpu."),
        "volume" => {
            unschedulable("pod has unbound immediate PersistentVolumeClaims: persistentvolumeclaim \"data\" not found")
        }
        "config" => {
            json!({"phase": "Pending", "containerStatuses": waiting("CreateContainerConfigError", "secret \"x\" not found")})
        }
        _ => json!({"phase": "Running", "containerStatuses": container(false, json!({"running": running}))}),
    };
    for name in cases {
        let selector = format!("app={name}");
        let get = ["get", "pods", "-n", &namespace, "-l", &selector, "-o", "name"];
        world.eventually(&get, |pods| pods.lines().count() == 1);
        let pod = world.cluster.kubectl(&get);
        let patch = json!({"status": status(name)}).to_string();
        world.cluster.kubectl(&[
            "patch",
            pod.trim(),
            "-n",
            &namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ]);
    }
    let snapshot = world.snapshot(&world.live(&namespace, "deployments"));
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let options = ApplyOptions { wait: Some(Duration::from_secs(1)), ..quick() };
    let outcome = world.apply(&snapshot, &plan, &options);
    assert_all(&outcome, ItemResult::Unchanged);
    let mut found: Vec<_> = outcome.not_ready.iter().map(|it| (it.target.name.as_str(), it.reason)).collect();
    found.sort_unstable();
    let expected = [
        ("config", Reason::Configuration),
        ("crash", Reason::Crash),
        ("image", Reason::Image),
        ("probe", Reason::Probe),
        ("scheduling", Reason::Scheduling),
        ("volume", Reason::Volume),
    ];
    assert_eq!(found, expected, "{:#?}", outcome.not_ready);
    let why = |name: &str| &outcome.not_ready.iter().find(|it| it.target.name == name).unwrap().why;
    assert!(why("image").contains("no such image") && why("crash").contains("code 7"), "{:#?}", outcome.not_ready);
    assert!(outcome.is_partial());

    // When all is well, nothing is waited for any longer.
    for name in cases {
        let patch = json!({"status": {"observedGeneration": 9, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}});
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": container(true, json!({"running": running}))}});
        let pods =
            world.cluster.kubectl(&["get", "pods", "-n", &namespace, "-l", &format!("app={name}"), "-o", "name"]);
        let patched = |object: &str, patch: &Value| {
            let patch = patch.to_string();
            world.cluster.kubectl(&[
                "patch",
                object,
                "-n",
                &namespace,
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ])
        };
        patched(pods.trim(), &ready);
        patched(&format!("deployment/{name}"), &patch);
    }
    let options = ApplyOptions { wait: Some(Duration::from_secs(30)), ..quick() };
    let outcome = world.apply(&snapshot, &plan, &options);
    assert_eq!(outcome.not_ready, []);
}

#[test]
fn a_workload_whose_pods_exceed_the_quota_is_not_ready_for_that_reason() {
    let world = World::new();
    let namespace = world.cluster.namespace("runs");
    world.cluster.apply(&format!(
        "{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: none, namespace: {namespace}}}, spec: {{hard: {{pods: '0'}}}}}}"
    ));
    world.eventually(
        &["get", "resourcequota", "none", "-n", &namespace, "-o", "jsonpath={.status.hard.pods}"],
        |hard| hard == "0",
    );
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "set", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "set"}},
            "template": {"metadata": {"labels": {"app": "set"}}, "spec": {"containers": [{"name": "main", "image": "web"}]}}}});
    let snapshot = world.snapshot(&[set]);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let options = ApplyOptions { wait: Some(Duration::from_secs(3)), ..quick() };
    let outcome = world.apply(&snapshot, &plan, &options);
    let reasons: Vec<_> = outcome.not_ready.iter().map(|it| it.reason).collect();
    assert_eq!(reasons, [Reason::Quota], "{:#?}", outcome.not_ready);
}

/// The world's cluster behind a proxy that misbehaves.
fn behind(proxy: &Proxy) -> World {
    let deadline = Duration::from_secs(3);
    let options = ConnectOptions { kubeconfig: Some(proxy.kubeconfig()), context: None, deadline };
    World { server: Server::connect(&options).unwrap(), ..World::new() }
}

#[test]
fn an_object_whose_answer_was_lost_is_finished_all_the_same() {
    let proxy = Proxy::start(shared());
    let world = behind(&proxy);
    let (from, to) = (world.cluster.namespace("runs"), world.cluster.namespace("runs"));
    let create = |manager: &str, patch: &str| {
        let manager = format!("--field-manager={manager}");
        world.cluster.kubectl_with(&["apply", "--server-side", &manager, "-n", &from, "-f", "-"], patch);
    };
    create("one", "{apiVersion: v1, kind: ConfigMap, metadata: {name: map}, data: {a: x}}");
    create("two", "{apiVersion: v1, kind: ConfigMap, metadata: {name: map}, data: {b: x}}");
    let snapshot = world.snapshot(&[world.get(&from, "configmap/map")]);
    let plan = world.plan(&snapshot, &mapped(&from, &to));
    let path = format!("/api/v1/namespaces/{to}/configmaps");
    proxy.add(Rule::new(&path, Fault::LoseAnswer).method("POST"));
    let outcome = world.apply(&snapshot, &plan, &quick());
    assert_all(&outcome, ItemResult::Created);
    let managers = [
        "get",
        "configmap/map",
        "-n",
        &to,
        "--show-managed-fields",
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
    ];
    assert_eq!(world.cluster.kubectl(&managers), "one two");
}

#[test]
fn a_server_that_is_gone_stops_the_run_and_what_is_left_is_counted() {
    let proxy = Proxy::start(shared());
    let world = behind(&proxy);
    let namespace = world.cluster.namespace("runs");
    let objects: Vec<_> = (0..60).map(|number| config_map(&namespace, &format!("map-{number:02}"), "x")).collect();
    let snapshot = world.snapshot(&objects);
    let plan = world.plan(&snapshot, &RestoreOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let options = ApplyOptions { journal: Some(folder.path().join("journal")), ..quick() };
    let path = format!("/api/v1/namespaces/{namespace}/");
    proxy.add(Rule::new(&path, Fault::HangUp).after(20).times(1_000_000));
    let outcome = world.apply(&snapshot, &plan, &options);
    assert!(outcome.stopped.as_ref().is_some_and(|why| why.contains("API server")), "{:?}", outcome.stopped);
    assert_eq!(outcome.items.len() as u64 + outcome.left_over, 60);
    assert!(outcome.left_over > 0 && outcome.is_partial() && options.journal.as_ref().unwrap().exists());

    // With a server that answers, the same plan goes on from there.
    let outcome = apply(&World::new().server, &world.repository, &snapshot, &plan, &options, &Progress::new()).unwrap();
    assert_eq!((outcome.left_over, outcome.stopped.as_ref()), (0, None));
    assert_eq!(outcome.count(ItemResult::Created) + outcome.count(ItemResult::Unchanged), 60, "{outcome:#?}");
    assert!(outcome.continued > 0);
}
