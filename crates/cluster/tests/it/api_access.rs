//! Reaching a server, or not: kubeconfigs, credentials, rights, API groups that are dying.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backstay_cluster::api::{ApiError, ConnectOptions, ListOptions, Page, Server};
use backstay_testkit::cluster::{self, ClusterOptions};
use backstay_testkit::proxy::Proxy;
use tempfile::TempDir;

use crate::api_faults::until;

fn connect(kubeconfig: &Path, context: Option<&str>) -> Result<Server, ApiError> {
    let (kubeconfig, context) = (Some(kubeconfig.to_owned()), context.map(str::to_owned));
    Server::connect(&ConnectOptions { kubeconfig, context, ..ConnectOptions::default() })
}

/// A kubeconfig with one context, `only`, and lines for its cluster and its user.
fn kubeconfig(folder: &TempDir, cluster: &str, user: &str) -> PathBuf {
    let path = folder.path().join("config");
    let text = format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{{cluster}}}}}]
users: [{{name: u, user: {{{user}}}}}]
contexts: [{{name: only, context: {{cluster: c, user: u}}}}]
"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn error_of(server: Result<Server, ApiError>) -> ApiError {
    match server.and_then(|server| server.identity()) {
        Ok(identity) => panic!("{identity:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_kubeconfig_that_cannot_be_used_says_which_and_why() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    let error = error_of(connect(&missing, None)).to_string();
    let expected = format!("kubeconfig {} cannot be used: No such file or directory", missing.display());
    assert!(error.starts_with(&expected), "{error}");

    let path = kubeconfig(&folder, "server: \"https://127.0.0.1:1\"", "token: t");
    let shown = path.display();
    let error = error_of(connect(&path, Some("other"))).to_string();
    assert_eq!(error, format!("there is no context \"other\" in kubeconfig {shown}: it has only"));
    let error = error_of(connect(&path, None)).to_string();
    assert_eq!(error, format!("kubeconfig {shown} has no current context, so choose one with --context: it has only"));

    std::fs::write(&path, "apiVersion: v1\nusers: [{name: u, user: {token: [hunter2}}]\n").unwrap();
    let error = error_of(connect(&path, None));
    let text = format!("{error} {error:?}");
    assert!(text.contains("cannot be understood") && !text.contains("hunter2"), "{text}");
}

#[test]
fn where_no_server_is_the_error_names_the_address_and_the_kubeconfig_soon() {
    let folder = TempDir::new().unwrap();
    let path = kubeconfig(&folder, "server: \"https://127.0.0.1:1\"", "token: hunter2");
    let started = Instant::now();
    let error = error_of(connect(&path, Some("only")));
    assert!(started.elapsed() < Duration::from_secs(10));
    let (text, shown) = (error.to_string(), path.display());
    let expected = format!("cannot reach the API server https://127.0.0.1:1 (kubeconfig {shown}): Connection refused");
    assert!(text.starts_with(&expected), "{text}");
    assert!(!format!("{text} {error:?}").contains("hunter2"));
}

#[test]
fn a_server_with_a_foreign_certificate_gets_no_credentials() {
    let cluster = cluster::shared();
    let folder = TempDir::new().unwrap();
    let path = kubeconfig(&folder, &format!("server: \"{}\"", cluster.address()), "token: hunter2");
    let error = error_of(connect(&path, Some("only")));
    assert!(matches!(error, ApiError::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains(&cluster.address()), "{error}");
    let plain = cluster.address().replace("https://", "http://");
    let path = kubeconfig(&folder, &format!("server: \"{plain}\""), "token: hunter2");
    let error = error_of(connect(&path, Some("only")));
    assert!(error.to_string().contains("Client sent an HTTP request to an HTTPS server"), "{error}");
}

#[test]
fn credentials_that_are_not_valid_are_tried_once_more_and_then_named() {
    let cluster = cluster::shared();
    let namespace = cluster.namespace("tokens");
    cluster.kubectl(&["create", "serviceaccount", "gone", "--namespace", &namespace]);
    let token = cluster.kubectl(&["create", "token", "gone", "--namespace", &namespace]);
    cluster.kubectl(&["delete", "serviceaccount", "gone", "--namespace", &namespace]);
    let proxy = Proxy::start(cluster);
    let path = proxy.kubeconfig_with(token.trim());
    let started = Instant::now();
    let error = error_of(connect(&path, None));
    assert!(error.is_unauthorized(), "{error}");
    assert!(!format!("{error} {error:?}").contains(token.trim()));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(proxy.requests("/version").len(), 2);
}

#[test]
fn a_helper_for_credentials_that_fails_is_heard_but_what_it_printed_is_not_repeated() {
    let folder = TempDir::new().unwrap();
    let script = "echo hunter2; echo the session is over >&2; exit 3";
    let exec = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, \"{script}\"]}}"
    );
    let path = kubeconfig(&folder, "server: \"https://127.0.0.1:1\"", &exec);
    let error = error_of(connect(&path, Some("only")));
    let text = format!("{error} {error:?}");
    assert!(text.contains("the session is over") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_account_of_one_namespace_reads_what_it_may_and_is_told_what_it_may_not() {
    let cluster = cluster::shared();
    let namespace = cluster.namespace("narrow");
    cluster.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=configmaps",
        "--namespace",
        &namespace,
    ]);
    let account = format!("--serviceaccount={namespace}:narrow");
    cluster.kubectl(&["create", "rolebinding", "reader", "--role=reader", &account, "--namespace", &namespace]);
    let server = connect(&cluster.service_account_kubeconfig(&namespace, "narrow"), None).unwrap();
    let identity = server.identity().unwrap();
    assert_eq!((&identity.uid[..], identity.version.starts_with('v')), ("", true));
    let discovery = server.discover().unwrap();
    let list = |name: &str, namespace: Option<&String>| {
        let options = ListOptions { namespace: namespace.cloned(), ..ListOptions::default() };
        let mut count = 0;
        let mut each = |page: Page| -> Result<(), ApiError> {
            count += page.items.len();
            Ok(())
        };
        server.list(&discovery.find(name).unwrap().resource, &options, &mut each).map(|_| count)
    };
    assert_eq!(list("configmaps", Some(&namespace)).unwrap(), 1);
    let denied = list("configmaps", None).unwrap_err();
    assert!(denied.is_forbidden(), "{denied}");
    let denied = list("secrets", Some(&namespace)).unwrap_err();
    let text = denied.to_string();
    assert!(
        denied.is_forbidden() && text.starts_with(&format!("GET /api/v1/namespaces/{namespace}/secrets: ")),
        "{text}"
    );
}

#[test]
fn a_dying_api_group_is_reported_and_all_others_are_there() {
    // One of its own: kubectl and other tests would stumble over the dead group.
    let cluster = cluster::start(ClusterOptions::default());
    let server = connect(cluster.kubeconfig(), None).unwrap();
    let before = server.discover().unwrap();
    assert_eq!(before.failed, []);
    cluster.apply(
        "apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.dead.example.com}
spec:
  group: dead.example.com
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: nobody, namespace: default}
",
    );
    let after = until("the dead group is noticed", || {
        let discovery = server.discover().unwrap();
        (!discovery.failed.is_empty()).then_some(discovery)
    });
    assert_eq!(after.resources, before.resources);
    assert_eq!(after.failed.len(), 1);
    assert_eq!(after.failed[0].group_version, "dead.example.com/v1beta1");
    let detail = &after.failed[0].detail;
    assert!(detail.starts_with("GET /apis/dead.example.com/v1beta1: ") && detail.contains("503"), "{detail}");
}
