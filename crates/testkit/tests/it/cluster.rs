//! The throw-away cluster: real, guarded, and gone with the process that started it.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use backstay_testkit::cluster;

#[test]
fn a_shared_cluster_is_a_real_one_with_controllers() {
    let cluster = cluster::shared();
    assert!(cluster.kubectl(&["get", "--raw=/version"]).contains("\"gitVersion\": \"v1.36.3\""));

    let namespace = cluster.namespace("real");
    let deployment = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: {namespace}}}, spec: {{selector: \
         {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, \
         image: web}}]}}}}}}}}"
    );
    cluster.apply(&deployment);
    let wait = ["wait", "--for=create", "pod", "--selector=app=web", "--timeout=60s", "--namespace", &namespace];
    cluster.kubectl(&wait);
}

#[test]
fn namespaces_of_one_process_never_meet() {
    let cluster = cluster::shared();
    let (first, second) = (cluster.namespace("same"), cluster.namespace("same"));
    assert_ne!(first, second);
    let accounts = cluster.kubectl(&["get", "serviceaccounts", "--namespace", &second, "-o", "name"]);
    assert_eq!(accounts, "serviceaccount/default\n");
}

#[test]
fn a_service_account_may_do_only_what_a_role_grants() {
    let cluster = cluster::shared();
    let namespace = cluster.namespace("account");
    let kubeconfig = cluster.service_account_kubeconfig(&namespace, "reader");
    let kubeconfig = kubeconfig.to_str().unwrap();
    let get = ["--kubeconfig", kubeconfig, "get", "configmaps", "--namespace", &namespace, "-o", "name"];

    let refused = cluster.try_kubectl(&get, "").unwrap_err();
    let user = format!("system:serviceaccount:{namespace}:reader");
    assert!(refused.contains("Forbidden") && refused.contains(&user), "{refused}");

    let account = format!("--serviceaccount={namespace}:reader");
    cluster.kubectl(&["create", "rolebinding", "read", "--clusterrole=view", &account, "--namespace", &namespace]);
    assert_eq!(cluster.kubectl(&get), "configmap/kube-root-ca.crt\n");
}

#[test]
fn a_cluster_ends_with_its_process_even_when_that_is_killed() {
    let mut starter = Command::new(env!("CARGO_BIN_EXE_cluster-up"));
    let mut starter = starter.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut kubeconfig = String::new();
    BufReader::new(starter.stdout.take().unwrap()).read_line(&mut kubeconfig).unwrap();
    let kubeconfig = std::path::PathBuf::from(kubeconfig.trim());
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let address = text.split("https://").nth(1).unwrap().split('"').next().unwrap();
    TcpStream::connect(address).unwrap();

    starter.kill().unwrap();
    starter.wait().unwrap();
    let is_gone = || TcpStream::connect(address).is_err() && !kubeconfig.exists();
    for _ in 0..600 {
        if is_gone() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "no event tells that a process of somebody else has ended")]
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the cluster at {address} is still there a minute after its starter was killed");
}
