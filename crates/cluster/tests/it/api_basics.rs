//! The API of a real server: identity, discovery, objects in and out.

use backstay_cluster::api::{
    ApiError, ClusterIdentity, ConnectOptions, DeleteOptions, Discovery, ListOptions, Listed, Page, PatchKind, Server,
    WriteOptions,
};
use backstay_cluster::resource::Resource;
use backstay_testkit::cluster::{self, Cluster};
use serde_json::{Value, json};

fn connect(cluster: &Cluster) -> Server {
    let kubeconfig = Some(cluster.kubeconfig().to_owned());
    Server::connect(&ConnectOptions { kubeconfig, ..ConnectOptions::default() }).unwrap()
}

fn resource(discovery: &Discovery, name: &str) -> Resource {
    discovery.find(name).unwrap_or_else(|| panic!("{name} is served")).resource.clone()
}

fn list(server: &Server, resource: &Resource, options: &ListOptions) -> (Vec<Vec<u8>>, Listed) {
    let mut objects = Vec::new();
    let mut each = |page: Page| -> Result<(), ApiError> {
        objects.extend(page.items.iter().map(|item| item.to_vec()));
        Ok(())
    };
    let listed = server.list(resource, options, &mut each).unwrap();
    (objects, listed)
}

fn config_map(name: &str, value: &str) -> Vec<u8> {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "key": value } })
        .to_string()
        .into()
}

#[test]
fn a_cluster_says_who_it_is() {
    let cluster = cluster::shared();
    let identity = connect(cluster).identity().unwrap();
    let uid = cluster.kubectl(&["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"]);
    let version: Value = serde_json::from_str(&cluster.kubectl(&["get", "--raw=/version"])).unwrap();
    let expected = ClusterIdentity {
        uid,
        version: version["gitVersion"].as_str().unwrap().to_owned(),
        context: "test".to_owned(),
        address: cluster.address(),
    };
    assert_eq!(identity, expected);
}

#[test]
fn discovery_has_every_resource_that_kubectl_knows_but_the_same_objects_once() {
    let cluster = cluster::shared();
    let discovery = connect(cluster).discover().unwrap();
    let mut ours: Vec<String> = discovery.resources.iter().map(|it| it.resource.name.to_string()).collect();
    let known = cluster.kubectl(&["api-resources", "--output=name"]);
    let mut theirs: Vec<String> = known.lines().map(str::to_owned).filter(|it| it != "events.events.k8s.io").collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    let deployments = discovery.find("deploy").unwrap();
    assert_eq!(deployments.resource.api_version(), "apps/v1");
    assert!(deployments.status_subresource && deployments.scale_subresource && deployments.has("list"));
    assert!(deployments.resource.namespaced && !discovery.find("ns").unwrap().resource.namespaced);
}

#[test]
fn a_listed_object_has_the_bytes_that_the_server_sends_for_it() {
    let cluster = cluster::shared();
    let server = connect(cluster);
    let config_maps = resource(&server.discover().unwrap(), "configmaps");
    let namespace = cluster.namespace("bytes");
    let options = WriteOptions::new("test");
    for number in 0..23 {
        let body = config_map(&format!("map-{number}"), "\u{e9} \" \\ <>& \u{2028}");
        server.create(&config_maps, Some(&namespace), &body, &options).unwrap();
    }
    let pages = ListOptions { namespace: Some(namespace.clone()), page_size: 5, ..ListOptions::default() };
    let (objects, listed) = list(&server, &config_maps, &pages);
    assert_eq!(objects.len(), 24, "and kube-root-ca.crt");
    assert!(!listed.restarted && !listed.inconsistent);
    let raw = cluster.kubectl(&["get", &format!("--raw=/api/v1/namespaces/{namespace}/configmaps")]);
    assert!(raw.len() as u64 <= listed.received_bytes);
    for object in &objects {
        let text = std::str::from_utf8(object).unwrap();
        let rest = text.strip_prefix(r#"{"apiVersion":"v1","kind":"ConfigMap","#).unwrap();
        assert!(raw.contains(&format!("{{{rest}")), "{text}");
        let name = serde_json::from_str::<Value>(text).unwrap()["metadata"]["name"].as_str().unwrap().to_owned();
        let single = server.get(&config_maps, Some(&namespace), &name).unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&single).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}

#[test]
fn an_object_is_created_changed_and_deleted_with_preconditions() {
    let cluster = cluster::shared();
    let server = connect(cluster);
    let config_maps = resource(&server.discover().unwrap(), "cm");
    let namespace = cluster.namespace("writes");
    let (space, options) = (Some(&namespace[..]), WriteOptions::new("test"));
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();

    let dry = WriteOptions { dry_run: true, ..options.clone() };
    server.create(&config_maps, space, &config_map("a", "1"), &dry).unwrap();
    assert_eq!(server.get(&config_maps, space, "a").unwrap(), None);

    let created = parse(&server.create(&config_maps, space, &config_map("a", "1"), &options).unwrap());
    assert_eq!(created["metadata"]["managedFields"][0]["manager"], "test");
    let again = server.create(&config_maps, space, &config_map("a", "1"), &options).unwrap_err();
    assert!(again.is_already_exists() && !again.is_conflict() && !again.is_outcome_unknown(), "{again}");

    let patch = br#"{"data":{"more":"2"}}"#;
    let patched = parse(&server.patch(&config_maps, space, "a", PatchKind::Merge, patch, &options).unwrap());
    assert_eq!(patched["data"], json!({ "key": "1", "more": "2" }));
    let patch = br#"[{"op":"remove","path":"/data/more"}]"#;
    server.patch(&config_maps, space, "a", PatchKind::Json, patch, &options).unwrap();
    let stale = server.update(&config_maps, space, "a", created.to_string().as_bytes(), &options).unwrap_err();
    assert!(stale.is_conflict(), "{stale}");

    let other = WriteOptions::new("other");
    let taken = server.patch(&config_maps, space, "a", PatchKind::Apply, &config_map("a", "3"), &other).unwrap_err();
    assert!(taken.is_conflict() && !taken.details().unwrap().causes.is_empty(), "{taken}");
    let force = WriteOptions { force: true, ..other };
    let applied = server.patch(&config_maps, space, "a", PatchKind::Apply, &config_map("a", "3"), &force).unwrap();
    assert_eq!(parse(&applied)["data"], json!({ "key": "3" }));

    let wrong = DeleteOptions { uid: Some("other".to_owned()), ..DeleteOptions::default() };
    assert!(server.delete(&config_maps, space, "a", &wrong).unwrap_err().is_conflict());
    let uid = created["metadata"]["uid"].as_str().map(str::to_owned);
    server.delete(&config_maps, space, "a", &DeleteOptions { uid, ..DeleteOptions::default() }).unwrap();
    assert_eq!(server.get(&config_maps, space, "a").unwrap(), None);
    assert!(server.delete(&config_maps, space, "a", &DeleteOptions::default()).unwrap_err().is_not_found());
    let invalid = server.create(&config_maps, space, &config_map("A_B", "1"), &options).unwrap_err();
    assert!(invalid.is_invalid() && invalid.details().unwrap().causes[0].field == "metadata.name", "{invalid}");
}
