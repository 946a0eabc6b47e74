//! Looking into snapshots of clusters, with no cluster: get, find, diff, history.

use backstay_format::config::Secret;
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Cache, OpenOptions, Repository};
use backstay_testkit::objects::ObjectSource;
use serde_json::{Value, json};

use crate::world::{World, files_below};

/// Base64 of `planted-1` and `planted-2`: values of a Secret.
const PLANTED: [&str; 2] = ["cGxhbnRlZC0x", "cGxhbnRlZC0y"];

fn deployment(namespace: &str, replicas: u64, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace, "uid": format!("uid-{namespace}"), "resourceVersion": format!("{replicas}"),
            "creationTimestamp": "2026-03-01T00:00:00Z", "labels": {"app": "web"},
            "managedFields": [{"manager": "kubectl", "operation": "Update", "time": format!("2026-03-0{replicas}T11:00:00Z")}]},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
        "status": {"readyReplicas": replicas}})
}

fn secret(value: &str) -> Value {
    let applied = json!({"kind": "Secret", "data": {"password": value}}).to_string();
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "db", "namespace": "shop", "uid": "s",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
        "data": {"password": value}})
}

fn config_map(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "uid": name}, "data": data})
}

fn shop() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "n"}, "status": {"phase": "Active"}})
}

/// A repository with three snapshots of a cluster, a day apart.
fn three_days() -> (World, Vec<String>) {
    let world = World::with_repository();
    let store = Store::open(&Location::Directory(world.path("repo")), &StoreOptions::default()).unwrap();
    let secret_file = Secret::KeyFile(vec![7; 32].into());
    let repository = Repository::open(store, &secret_file, OpenOptions::new(Cache::None)).unwrap();
    let mut cluster = ObjectSource::new(&repository, "prod");
    let mut ids = Vec::new();
    cluster.set(&shop()).set(&deployment("shop", 1, "web:1")).set(&secret(PLANTED[0]));
    cluster.set(&config_map("shop", "app", json!({"app.conf": "a=1\nb=2\nc=3\n"})));
    cluster.set(&config_map("default", "top", json!({"a": "1", "b": "2"})));
    ids.push(cluster.snapshot("2026-03-01T12:00:00Z").id.to_string());
    cluster.set(&deployment("shop", 2, "web:2")).set(&secret(PLANTED[1]));
    cluster.set(&config_map("shop", "app", json!({"app.conf": "a=1\nb=9\nc=3\n"})));
    ids.push(cluster.snapshot("2026-03-02T12:00:00Z").id.to_string());
    cluster.set(&deployment("blog", 3, "blog:1")).remove(&config_map("shop", "app", json!({})));
    ids.push(cluster.snapshot("2026-03-03T12:00:00Z").id.to_string());
    (world, ids)
}

#[test]
fn get_shows_objects_as_kubectl_does() {
    let (world, ids) = three_days();
    let get = |arguments: &[&str]| world.backstay(&[&["get"], arguments].concat());
    let table = get(&["deploy", "-n", "shop"]).succeeds().stdout;
    assert_eq!(table, "NAME  READY  UP-TO-DATE  AVAILABLE  AGE\nweb   2/2    0           0          2d\n");
    let table = get(&["deployments.apps", "-A", "-o", "wide"]).succeeds().stdout;
    assert!(table.starts_with("NAMESPACE  NAME  READY  UP-TO-DATE  AVAILABLE  IMAGES  AGE\nblog"), "{table}");
    assert_eq!(get(&["cm"]).succeeds().stdout, "NAME  DATA  AGE\ntop   2     -\n");
    assert_eq!(get(&["ns"]).succeeds().stdout, "NAME  STATUS  AGE\nshop  Active  -\n");
    assert_eq!(
        get(&["all,cm", "-n", "shop", "-n", "blog", "-o", "name"]).succeeds().stdout,
        "deployment.apps/web\ndeployment.apps/web\n"
    );
    assert_eq!(get(&["deploy", "-A", "-l", "app!=web", "-o", "name"]).succeeds().stdout, "");
    let one = get(&["secret/db", "-n", "shop", "-o", "json"]).succeeds();
    assert_eq!(one.json()["data"]["password"], PLANTED[1]);
    get(&["secret", "db", "-n", "shop", "-o", "yaml"]).succeeds().prints(&["kind: Secret", PLANTED[1]]);
    let list = get(&["deploy,secrets", "-A", "-o", "json"]).succeeds().json();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("List"), 3));
    let list = get(&["deploy", "-A", "-o", "yaml"]).succeeds().stdout;
    assert!(list.starts_with("apiVersion: v1\nkind: List\nitems:\n- "), "{list}");
    get(&["po,jobs", "-A"]).ends_with(1).says(&["no kind \"po\"", "hint: `backstay show"]);

    // Other times than the newest.
    for arguments in [&["--snapshot", &ids[0][..8]][..], &["--at", "2026-03-01"], &["--at", "2026-03-02T11:00:00Z"]] {
        get(&[&["deploy", "web", "-n", "shop"], arguments].concat()).succeeds().prints(&["1/1", "12h"]);
    }
    get(&["deploy", "--at", "2026-02-01"]).ends_with(1).says(&["there are no snapshots"]);
    get(&["deploy", "--at", "tomorrow"]).ends_with(2).says(&["an age"]);
}

#[test]
fn what_is_not_there_is_said_with_what_may_have_been_meant() {
    let (world, _) = three_days();
    let get = |arguments: &[&str]| world.backstay(&[&["get"], arguments].concat());
    get(&["deploymets"]).ends_with(1).says(&["no kind \"deploymets\"", "hint: did you mean deployments"]);
    get(&["deploy", "web"]).ends_with(1).says(&[
        "deployments.apps/web in namespace default is not in snapshot",
        "there is deployments.apps/web in namespace shop",
        "hint: `backstay find --kind deployments --name web`",
    ]);
    get(&["cm/top", "cm/none"]).ends_with(1).prints(&["top"]).says(&["configmaps/none"]);
    get(&["cm", "-n", "nowhere"]).succeeds().says(&["no such objects in namespace nowhere"]);
    get(&["cm/"]).ends_with(2).says(&["KIND/NAME"]);
    get(&["cm", "-l", "a in"]).ends_with(2).says(&["label selector"]);
    world.backup();
    get(&["cm", "--source", "prod"]).succeeds();
    get(&["cm"]).ends_with(1).says(&["--source NAME"]);
    let files = world.backup();
    get(&["cm", "--snapshot", &files]).ends_with(1).says(&["holds no cluster's objects", "hint"]);
    world.backstay(&["diff", &files, "latest", "--source", "prod"]).ends_with(1);
    world.backstay(&["history", "cm/none"]).ends_with(1).says(&["is in none of 3 snapshots", "hint"]);
}

#[test]
fn the_tree_of_a_cluster_is_listed_and_read_as_files_are() {
    let (world, ids) = three_days();
    let path = format!("{}:/resources/configmaps/namespaces/shop/app.json", ids[0]);
    let object: Value = world.backstay(&["cat", &path]).succeeds().json();
    assert_eq!(object["data"]["app.conf"], "a=1\nb=2\nc=3\n");
    let listed = world.backstay(&["ls", "latest"]).succeeds().stdout;
    assert_eq!(listed, "/lists.json\n/resources\n");
    world
        .backstay(&["ls", "-R", "latest:/resources/secrets"])
        .succeeds()
        .prints(&["/resources/secrets/namespaces/shop/db.json"]);
}

#[test]
fn objects_are_found_in_all_snapshots_by_name_kind_labels_and_namespace() {
    let (world, ids) = three_days();
    let find = |arguments: &[&str]| {
        let found = world.backstay(&[&["find", "-o", "json"], arguments].concat()).succeeds().json();
        let line = |it: &Value| {
            format!(
                "{} {} {}",
                it["resource"].as_str().unwrap(),
                it["namespace"].as_str().unwrap_or("-"),
                it["snapshots"]
            )
        };
        found.as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(find(&["--name", "web"]), ["deployments.apps blog 1", "deployments.apps shop 3"]);
    assert_eq!(find(&["--name", "a*"]), ["configmaps shop 2"]);
    assert_eq!(find(&["--kind", "cm,ns"]), ["configmaps default 3", "configmaps shop 2", "namespaces - 3"]);
    assert_eq!(find(&["--label", "app=web", "-n", "blog"]), ["deployments.apps blog 1"]);
    assert_eq!(find(&["--name", "app", "--snapshot", &ids[2]]), Vec::<String>::new());
    let table = world.backstay(&["find", "--name", "app"]).succeeds().stdout;
    assert!(
        table.contains("configmaps/app") && table.contains("2026-03-01 12:00:00Z") && table.contains(&ids[1][..8]),
        "{table}"
    );
    let name = world.backstay(&["find", "--name", "app", "-o", "name"]).succeeds().stdout;
    world.backstay(&["cat", name.trim()]).succeeds().prints(&["b=9"]);
    world.backstay(&["find", "web.json"]).succeeds().prints(&["/resources/deployments.apps/namespaces/shop/web.json"]);
    world.backstay(&["find"]).ends_with(2);
    world.backstay(&["find", "x", "--name", "y"]).ends_with(2);
}

#[test]
fn diff_shows_objects_and_fields() {
    let (world, ids) = three_days();
    let text = world.backstay(&["diff", &ids[0], &ids[1]]).succeeds().stdout;
    let expected = "\
M  configmaps/app in namespace shop
     data[\"app.conf\"]:
       - b=2
       + b=9
M  deployments.apps/web in namespace shop
     spec.replicas: 1 -> 2
     spec.template.spec.containers[name=web].image: \"web:1\" -> \"web:2\"
M  secrets/db in namespace shop
     data.password: \"(hidden)\" -> \"(hidden, changed)\"
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.ends_with(": 0 objects added, 0 removed, 3 changed\n"), "{text}");
    let json = world.backstay(&["diff", &ids[1], "latest", "-o", "json"]).succeeds().json();
    let changes: Vec<_> =
        json["changes"].as_array().unwrap().iter().map(|it| (it["change"].clone(), it["resource"].clone())).collect();
    assert_eq!(changes, [(json!("-"), json!("configmaps")), (json!("+"), json!("deployments.apps"))]);
    assert_eq!(json["summary"]["added"], 1);
    let only =
        world.backstay(&["diff", &ids[0], &ids[1], "--kind", "deploy", "-n", "shop", "-o", "name"]).succeeds().stdout;
    assert_eq!(only, "deployments.apps/web in namespace shop\n");
    world.backstay(&["diff", &ids[0], &ids[1], "--all-fields"]).succeeds().prints(&["status.readyReplicas: 1 -> 2"]);
    world.backstay(&["diff", &ids[0], &ids[1], "--show-secrets"]).succeeds().prints(&PLANTED);
    world.backstay(&["diff", &ids[0]]).ends_with(2);
    world.backstay(&["diff", &ids[0], "--live", "--kubeconfig", "/nowhere"]).ends_with(1).says(&["/nowhere"]);
}

#[test]
fn history_tells_every_change_and_who_made_it() {
    let (world, ids) = three_days();
    let text = world.backstay(&["history", "deploy/web", "-n", "shop"]).succeeds().stdout;
    let expected = format!(
        "2026-03-01 12:00:00Z  {}  first seen (in the first snapshot), created 2026-03-01 00:00:00Z, written by kubectl (Update, 2026-03-01 11:00:00Z)\n\
         2026-03-02 12:00:00Z  {}  changed by kubectl (Update, 2026-03-02 11:00:00Z)\n     \
         spec.replicas: 1 -> 2\n     \
         spec.template.spec.containers[name=web].image: \"web:1\" -> \"web:2\"\n\
         deployments.apps/web in namespace shop in 3 snapshots of prod since 2026-03-01 12:00:00Z\n",
        &ids[0][..8],
        &ids[1][..8]
    );
    assert_eq!(text, expected);
    let json = world.backstay(&["history", "cm", "app", "-n", "shop", "-o", "json"]).succeeds().json();
    let events: Vec<_> = json["events"].as_array().unwrap().iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["first-seen", "changed", "deleted"]);
    world.backstay(&["history", "ns/shop", "--no-cache"]).succeeds().prints(&["namespaces/shop in 3 snapshots"]);
    world.backstay(&["history", "deploy"]).ends_with(2);
}

#[test]
fn export_writes_clean_manifests_and_leaves_other_files_alone() {
    let (world, ids) = three_days();
    let target = world.text("manifests");
    let export = |arguments: &[&str]| world.backstay(&[&["export"], arguments, &["--target", &target]].concat());
    export(&[&ids[1]]).succeeds().prints(&["5 manifests written to"]);
    let read = |name: &str| std::fs::read_to_string(world.path("manifests").join(name)).unwrap();
    let web = read("namespaces/shop/deployments.apps-web.yaml");
    let expected = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    app: web
  name: web
  namespace: shop
spec:
  replicas: 2
  template:
    spec:
      containers:
      - image: \"web:2\"
        name: web
";
    assert_eq!(web, expected);
    assert_eq!(
        read("namespaces/shop/configmaps-app.yaml"),
        "apiVersion: v1\ndata:\n  app.conf: |\n    a=1\n    b=9\n    c=3\nkind: ConfigMap\nmetadata:\n  name: app\n  namespace: shop\n"
    );
    let db = read("namespaces/shop/secrets-db.yaml");
    assert!(db.contains(PLANTED[1]) && !db.contains("last-applied"), "{db}");
    assert!(read("cluster/namespaces-shop.yaml").starts_with("apiVersion: v1\nkind: Namespace\n"));

    // Nothing is written twice, and nothing is overwritten unless it is asked for.
    export(&[&ids[1]]).succeeds().prints(&["0 manifests written", "5 there already"]);
    world.write("manifests/namespaces/shop/deployments.apps-web.yaml", b"mine");
    let left = export(&[&ids[1], "deploy"]).ends_with(4);
    left.says(&["1 file is there", "deployments.apps-web.yaml", "hint: --overwrite"]);
    assert_eq!(read("namespaces/shop/deployments.apps-web.yaml"), "mine");
    export(&[&ids[1], "deploy", "-n", "shop", "--overwrite"]).succeeds();
    assert_eq!(read("namespaces/shop/deployments.apps-web.yaml"), expected);
    let other = world.text("other");
    let json = world
        .backstay(&["export", "latest", "cm,ns", "-n", "default", "--target", &other, "-o", "json"])
        .succeeds()
        .json();
    assert_eq!((&json["written"], &json["left_out"]), (&json!(2), &json!({})));
}

#[test]
fn values_of_secrets_are_shown_only_where_they_are_asked_for() {
    let (world, ids) = three_days();
    for arguments in [
        &["diff", &ids[0], &ids[2], "--all-fields"][..],
        &["diff", &ids[0], &ids[2], "--all-fields", "-o", "json"],
        &["history", "secret/db", "-n", "shop", "--all-fields"],
        &["history", "secret/db", "-n", "shop", "--all-fields", "-o", "yaml"],
        &["find", "--name", "db"],
        &["get", "secrets", "-A", "-o", "wide"],
        &["show", "latest", "-o", "json"],
    ] {
        let run = world.backstay(&[&["-vv"], arguments].concat()).succeeds();
        for text in [&run.stdout, &run.stderr] {
            for value in PLANTED.iter().chain(&["planted-"]) {
                assert!(!text.contains(value), "{arguments:?} shows a value:\n{text}");
            }
        }
    }
    let files = files_below(&world.path("home"));
    assert!(files.iter().any(|path| path.ends_with("changes-1.sqlite")), "{files:?}");
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let holds = |value: &str| bytes.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(!PLANTED.iter().any(|value| holds(value)), "{} holds a value", path.display());
    }
    world.backstay(&["history", "secret/db", "-n", "shop", "--show-secrets"]).succeeds().prints(&PLANTED);
}
