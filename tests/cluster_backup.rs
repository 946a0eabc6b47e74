//! Objects of a cluster go into a repository: what a user types and reads, on a real API server.

use std::fs;
use std::path::Path;
use std::process::Command;

use backstay_testkit::cluster::{Cluster, shared};

use crate::world::{Run, World, files_below};

/// Where somebody would look for it, and nobody must find it.
const PLANTED: &str = "planted-value-of-a-secret";

/// A namespace with fifty objects of its own, a Secret and a claim.
fn shop(cluster: &Cluster) -> String {
    let ns = cluster.namespace("story");
    let mut yaml = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: password, namespace: {ns}}}, stringData: {{password: {PLANTED}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: {ns}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}, storageClassName: none}}
"
    );
    for number in 0..50 {
        yaml.push_str(&format!(
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c-{number}, namespace: {ns}, labels: {{own: 'yes'}}}}}}\n"
        ));
    }
    cluster.kubectl_with(&["create", "-f", "-"], &yaml);
    ns
}

fn command(world: &World, cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command.env("KUBECONFIG", cluster.kubeconfig());
    command
}

/// The chosen namespace's objects but events, which come and go.
fn backup(world: &World, cluster: &Cluster, ns: &str, more: &[&str]) -> Run {
    let typed = ["backup", "cluster", "--source", "shop", "--include-namespaces", ns, "--exclude-resources", "events"];
    Run::of(&mut command(world, cluster, &[&typed[..], more].concat()))
}

#[test]
fn a_cluster_is_backed_up_looked_at_and_guarded() {
    let cluster = shared();
    let ns = shop(cluster);
    let world = World::with_repository();

    backup(&world, cluster, &ns, &["--dry-run"]).succeeds().says(&["would back up "]);
    assert_eq!(world.backstay(&["snapshots", "-o", "name"]).succeeds().stdout, "");

    let first = backup(&world, cluster, &ns, &["-o", "name", "--tag", "nightly", "--ttl", "30d"])
        .succeeds()
        .says(&["saved snapshot ", " added, 0 changed, 0 unchanged", "the data of 1 volume is NOT in the snapshot"])
        .stdout;
    let first = first.trim();
    let listed = world.backstay(&["snapshots"]).succeeds().prints(&["OBJECTS", "shop", "complete", "nightly"]).stdout;
    assert_eq!(listed.lines().count(), 2);
    world.backstay(&["show", "latest"]).succeeds().prints(&[
        "Cluster:",
        "Filters:   {\"includedNamespaces\":[",
        "context test",
        "configmaps: 51 objects (v1)",
        "secrets: 1 object (v1)",
        "noted: resources/persistentvolumeclaims/namespaces/",
        "volume-data-not-captured",
    ]);
    let shown = world.backstay(&["show", first, "-o", "json"]).succeeds().json();
    assert_eq!(shown["kind"], "cluster");
    assert_eq!(
        shown["cluster"]["uid"],
        cluster.kubectl(&["get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}"])
    );
    let config_maps = shown["resources"].as_array().unwrap().iter().find(|it| it["name"] == "configmaps").unwrap();
    assert_eq!((&config_maps["objects"], &config_maps["lists"][0]["namespace"]), (&51.into(), &ns.as_str().into()));
    let path = format!("latest:/resources/configmaps/namespaces/{ns}/c-7.json");
    let object = world.backstay(&["cat", &path]).succeeds().json();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&"ConfigMap".into(), &"c-7".into()));

    // Far fewer objects: kept, flagged, and not what `latest` means.
    cluster.kubectl(&["delete", "--raw", &format!("/api/v1/namespaces/{ns}/configmaps?labelSelector=own%3Dyes")]);
    let second = backup(&world, cluster, &ns, &["-o", "name"])
        .ends_with(3)
        .says(&["fewer than 70 %", "flagged and not accepted", "backstay accept "])
        .stdout;
    let second = second.trim();
    world.backstay(&["show", "latest", "-o", "name"]).succeeds().prints(&[first]);
    world.backstay(&["show", second]).succeeds().prints(&["State:     flagged", "fewer than 70 %"]);
    world.backstay(&["accept", second]).succeeds().says(&["accepted snapshot"]);
    world.backstay(&["accept", second]).succeeds().says(&["is accepted already"]);
    world.backstay(&["show", "latest", "-o", "name"]).succeeds().prints(&[second]);
    world.backstay(&["accept", "ffffffff"]).ends_with(1).says(&["no snapshot ffffffff"]);
    let third = backup(&world, cluster, &ns, &["-o", "json"]).succeeds().json();
    assert_eq!((&third["volumes_without_data"], &third["snapshot"]["summary"]["added"]), (&1.into(), &0.into()));
}

#[test]
fn filters_are_typed_or_come_from_a_velero_backup() {
    let cluster = shared();
    let ns = shop(cluster);
    let world = World::with_repository();
    let run = |arguments: &[&str]| {
        Run::of(&mut command(&world, cluster, &[&["backup", "cluster", "--source", "shop"], arguments].concat()))
    };
    let manifest = format!(
        "apiVersion: velero.io/v1
kind: Backup
metadata: {{name: nightly, namespace: velero}}
spec:
  includedNamespaces: [{ns}]
  includedResources: [cm, unicorns]
  labelSelector: {{matchLabels: {{own: 'yes'}}}}
  ttl: 720h0m0s
  hooks: {{resources: [{{name: dump}}]}}
"
    );
    world.write("backup.yaml", manifest.as_bytes());
    let saved = run(&["-f", "backup.yaml", "-o", "json"])
        .succeeds()
        .says(&["hooks of the Velero backup: no hooks are run", "the cluster has no resource unicorns"]);
    let saved = saved.json();
    assert_eq!(saved["snapshot"]["summary"]["objects"], 50);
    assert!(saved["snapshot"]["expires"].is_string());
    assert_eq!(saved["notes"].as_array().unwrap().len(), 2);

    let typed = ["--include-namespaces", &ns, "--include-resources", "cm", "--include-cluster-resources=false"];
    run(&[&typed[..], &["--or-selector", "own=yes or own=no"]].concat()).succeeds().says(&["50 objects of 1 kind"]);

    for (arguments, message) in [
        (&["--include-resources", "cm", "--include-namespace-scoped-resources", "cm"][..], "not by both"),
        (&["-l", "a in b"], "label selector \"a in b\""),
        (&["-l", "a=b", "--or-selector", "c=d"], "cannot be used with"),
        (&["--include-namespaces", "a{b}"], "`{` is not taken"),
        (&["--exclude-namespaces", "*"], "cannot be excluded"),
        (&["-f", "backup.yaml", "--include-namespaces", "x"], "cannot be used with"),
        (&["--ordered-resources", "pods"], "pods=ns1/p1"),
        (&["--guard-objects", "101"], "101"),
    ] {
        run(arguments).ends_with(2).says(&[message]);
    }
    world.write("other.yaml", b"apiVersion: velero.io/v1\nkind: Restore\n");
    run(&["-f", "other.yaml"]).ends_with(2).says(&["no Velero backup", "other.yaml"]);
    run(&["-f", "missing.yaml"]).ends_with(1).says(&["cannot read missing.yaml"]);
}

#[test]
fn without_a_usable_cluster_the_message_says_what_to_do() {
    let world = World::with_repository();
    let with_kubeconfig = |path: &str| world.backstay(&["backup", "cluster", "--kubeconfig", path]);
    world.backstay(&["backup", "cluster"]).ends_with(1).says(&["there is no kubeconfig", "--kubeconfig", "hint: "]);
    with_kubeconfig("nowhere").ends_with(1).says(&["kubeconfig nowhere", "hint: "]);
    world.write("empty", b"");
    with_kubeconfig("empty").ends_with(1).says(&["no current context"]);
    let unreachable = |server: &str| {
        format!(
            "{{current-context: x, contexts: [{{name: x, context: {{cluster: c, user: u}}}}],
              clusters: [{{name: c, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{token: {PLANTED}}}}}]}}"
        )
    };
    world.write("closed", unreachable("http://127.0.0.1:1").as_bytes());
    with_kubeconfig("closed").ends_with(1).says(&["cannot reach the API server http://127.0.0.1:1", "hint: "]);

    let cluster = shared();
    let text = fs::read_to_string(cluster.kubeconfig()).unwrap();
    let expired = text.replace(cluster.token(), PLANTED);
    assert_ne!(expired, text);
    world.write("expired", expired.as_bytes());
    let refused = with_kubeconfig("expired").ends_with(1).says(&["401", "hint: the credentials are wrong or expired"]);
    assert!(!refused.stderr.contains(PLANTED), "{}", refused.stderr);
    let kubeconfig = cluster.kubeconfig().to_str().unwrap();
    world
        .backstay(&["backup", "cluster", "--kubeconfig", kubeconfig, "--context", "other"])
        .ends_with(1)
        .says(&["no context \"other\"", "it has test"]);
    assert_eq!(world.backstay(&["snapshots", "-o", "name"]).succeeds().stdout, "");

    // An account that may read nothing.
    let ns = cluster.namespace("nobody");
    let nobody = cluster.service_account_kubeconfig(&ns, "nobody");
    let nobody = nobody.to_str().unwrap();
    with_kubeconfig(nobody).ends_with(1).says(&["kube-system", "hint: name the source with --source"]);
    world.backstay(&["backup", "cluster", "--kubeconfig", nobody, "--source", "one"]).ends_with(1).says(&[
        "nothing of the cluster could be listed",
        "forbidden",
        "--include-namespaces NAME",
    ]);
}

#[test]
fn a_secret_is_in_the_repository_and_nowhere_else() {
    let cluster = shared();
    let ns = shop(cluster);
    let world = World::with_repository();
    let saved = backup(&world, cluster, &ns, &["-vv", "-o", "json"]).succeeds();
    let encoded =
        cluster.kubectl(&["get", "secret", "password", "--namespace", &ns, "-o", "jsonpath={.data.password}"]);
    let path = format!("latest:/resources/secrets/namespaces/{ns}/password.json");
    world.backstay(&["cat", &path]).succeeds().prints(&[&encoded]);
    for text in [PLANTED, &encoded] {
        assert!(!saved.stderr.contains(text) && !saved.stdout.contains(text));
        for folder in ["home", "repo"] {
            assert_nowhere(&world.path(folder), text);
        }
    }
}

/// Fails where a file below the folder has the text in it.
fn assert_nowhere(folder: &Path, text: &str) {
    let files = files_below(folder);
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text} is in {}", file.display());
    }
}

#[test]
fn a_snapshot_of_another_kind_is_refused_with_the_right_command() {
    let cluster = shared();
    let ns = shop(cluster);
    let world = World::with_repository();
    let id = backup(&world, cluster, &ns, &["-o", "name"]).succeeds().stdout;
    let target = world.text("out");
    world
        .backstay(&["restore", "files", id.trim(), "--target", &target])
        .ends_with(1)
        .says(&["holds no files, but a cluster's objects"]);
}
