//! A real Kubernetes control plane for tests: etcd, API server and, by choice, controllers and scheduler.
//!
//! - There is no node: pods stay pending unless a test writes their status.
//! - Authorization is on. [`Cluster::kubeconfig`] is an administrator's; [`Cluster::service_account_kubeconfig`] is anybody's.
//! - Everything lies in temporary folders and listens on loopback, and is gone with the test process (see `process`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::process::{Server, tool};

const ADMIN_TOKEN: &str = "admin-token";

/// Signs service accounts' tokens. It protects nothing: the administrator's token is a constant too.
const SERVICE_ACCOUNT_KEY: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINwHMEx2Yq3qS+dSRMYpoC2VoUgXRhpe/6YqUfmsTmkvoAoGCCqGSM49
AwEHoUQDQgAE1TjWAcl3x2kNQf7Fz/xucm03w5A170skxquwde+8pZKwTs9qtifd
bfN9De+S1o64yWRl1Si1LBUO9QEV+1FUrg==
-----END EC PRIVATE KEY-----
";

/// How long anything about a starting cluster may take on a busy machine.
const START_TRIES: u32 = 1200;
const START_PAUSE: Duration = Duration::from_millis(100);

/// What a cluster consists of besides etcd and the API server.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// The controllers: garbage collection, replica sets, jobs, default service accounts and all others.
    pub controllers: bool,
    pub scheduler: bool,
    /// More arguments of the API server, such as `--runtime-config=...`; a repeated one replaces ours.
    pub api_server_arguments: Vec<String>,
}

/// A cluster that ends with this value.
pub struct Cluster {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    has_controllers: bool,
    namespaces: AtomicU32,
    // Dropped in this order: nothing talks to a server that is gone.
    controllers: Vec<Server>,
    api_server: Server,
    _etcd: Server,
}

/// The cluster of this process, with controllers. It is started by the first who asks.
pub fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| start(ClusterOptions { controllers: true, ..ClusterOptions::default() }))
}

/// A cluster of one's own, for tests that need another configuration or change what belongs to everybody.
pub fn start(options: ClusterOptions) -> Cluster {
    let etcd = start_etcd();
    let api_server = start_api_server(&etcd, &options.api_server_arguments);
    let kubeconfig = api_server.folder().join("kubeconfig");
    write(&kubeconfig, &kubeconfig_text(&api_server, "admin", ADMIN_TOKEN));
    let mut cluster = Cluster {
        kubeconfig,
        kubectl: tool("bin/kubectl"),
        has_controllers: options.controllers,
        namespaces: AtomicU32::new(1),
        controllers: Vec::new(),
        api_server,
        _etcd: etcd,
    };
    cluster.wait_until("ready", &["get", "--raw=/readyz"]);
    // Made a moment later than the server calls itself ready; a test that counts objects must see them from the start.
    cluster
        .wait_until("filled", &["get", "namespace/kube-system", "namespace/kube-node-lease", "namespace/kube-public"]);
    cluster.wait_until("filled", &["get", "--namespace=default", "service/kubernetes"]);
    if options.controllers {
        cluster.controllers.push(cluster.start_client("kube-controller-manager", |folder| {
            let key = folder.join("service-account.key");
            write(&key, SERVICE_ACCOUNT_KEY);
            vec![
                argument("--service-account-private-key-file", &key),
                argument("--root-ca-file", &certificate(&cluster.api_server)),
                "--use-service-account-credentials".to_owned(),
            ]
        }));
        for namespace in ["default", "kube-system", "kube-node-lease", "kube-public"] {
            cluster.wait_for_namespace(namespace);
        }
    }
    if options.scheduler {
        cluster.controllers.push(cluster.start_client("kube-scheduler", |_| Vec::new()));
    }
    cluster
}

impl Cluster {
    /// The administrator's; its only context is called `test`.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `https://127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("https://{}", self.api_server.address())
    }

    /// The administrator's bearer token, for requests that a test makes itself.
    pub fn token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    /// What kubectl prints when it succeeds, which it must.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// The same with something on its input, for `-f -`.
    #[track_caller]
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        match self.try_kubectl(arguments, input) {
            Ok(output) => output,
            Err(message) => panic!("kubectl {}: {message}\n{input}", arguments.join(" ")),
        }
    }

    /// What kubectl prints, or what it complains about.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        // It keeps caches and reads preferences at home.
        command.env("HOME", self.api_server.folder()).env_remove("KUBECONFIG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl is installed");
        // It may end without reading all of it.
        let _ = child.stdin.take().expect("its input is piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("kubectl ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Applies manifests as `kubectl apply` does, with its annotation.
    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        self.kubectl_with(&["apply", "-f", "-"], yaml);
    }

    /// Makes a new namespace that nobody else in this process uses. With controllers, what they put there is there.
    #[track_caller]
    pub fn namespace(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name]);
        if self.has_controllers {
            self.wait_for_namespace(&name);
        }
        name
    }

    /// A kubeconfig of the service account, which is made if there is none. It may do nothing until a role is bound to it.
    #[track_caller]
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> PathBuf {
        let _ = self.try_kubectl(&["create", "serviceaccount", name, "--namespace", namespace], "");
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, "--duration=24h"]);
        let path = self.api_server.folder().join(format!("kubeconfig-{namespace}-{name}"));
        write(&path, &kubeconfig_text(&self.api_server, name, token.trim()));
        path
    }

    /// `kubectl wait` does not wait for several objects that do not exist yet.
    fn wait_for_namespace(&self, name: &str) {
        self.wait_until(
            "filled",
            &["get", "--namespace", name, "serviceaccount/default", "configmap/kube-root-ca.crt"],
        );
    }

    fn wait_until(&self, state: &str, arguments: &[&str]) {
        let mut complaint = String::new();
        for _ in 0..START_TRIES {
            match self.try_kubectl(arguments, "") {
                Ok(_) => return,
                Err(message) => complaint = message,
            }
            #[expect(clippy::disallowed_methods, reason = "no event tells that another process is ready")]
            std::thread::sleep(START_PAUSE);
        }
        panic!("the cluster does not become {state}: {complaint}\n{}", self.api_server.log_tail());
    }

    /// Starts one of the programs that work on the cluster from outside the API server.
    fn start_client(&self, name: &str, arguments: impl Fn(&Path) -> Vec<String>) -> Server {
        let program = tool(&format!("bin/{name}"));
        Server::start(name, |port, folder| {
            let mut command = Command::new(&program);
            command.arg(argument("--kubeconfig", &self.kubeconfig)).args(arguments(folder));
            command.args(["--leader-elect=false", "--bind-address=127.0.0.1", &format!("--secure-port={port}")]);
            command
        })
    }
}

fn start_etcd() -> Server {
    let program = tool("bin/etcd");
    Server::start("etcd", |port, folder| {
        let mut command = Command::new(&program);
        let clients = format!("http://127.0.0.1:{port}");
        // It is alone: no peer ever needs to find it.
        let peers = "http://127.0.0.1:1";
        command.arg(argument("--data-dir", &folder.join("data")));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls", peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        // Nothing in it outlives the process, and 300,000 objects have to fit.
        command.args(["--unsafe-no-fsync", "--quota-backend-bytes=8589934592", "--log-level=warn"]);
        command
    })
}

fn start_api_server(etcd: &Server, arguments: &[String]) -> Server {
    let program = tool("bin/kube-apiserver");
    Server::start("kube-apiserver", |port, folder| {
        let (key, tokens) = (folder.join("service-account.key"), folder.join("tokens.csv"));
        write(&key, SERVICE_ACCOUNT_KEY);
        write(&tokens, &format!("{ADMIN_TOKEN},admin,admin,system:masters\n"));
        let mut command = Command::new(&program);
        command.args([format!("--etcd-servers=http://{}", etcd.address()), format!("--secure-port={port}")]);
        command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]);
        command.arg(argument("--cert-dir", folder)).arg(argument("--token-auth-file", &tokens));
        command.args(["--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc"]);
        command.arg(argument("--service-account-key-file", &key));
        command.arg(argument("--service-account-signing-key-file", &key));
        // The largest range there may be: a measurement makes 42,000 services again and again.
        command.args(["--service-cluster-ip-range=10.96.0.0/12", "--allow-privileged"]).args(arguments);
        command
    })
}

/// The certificate that the API server made for itself, with the authority that it made for that.
fn certificate(api_server: &Server) -> PathBuf {
    api_server.folder().join("apiserver.crt")
}

fn kubeconfig_text(api_server: &Server, user: &str, token: &str) -> String {
    let (address, authority) = (api_server.address(), certificate(api_server));
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: \"https://{address}\", certificate-authority: \"{}\"}}}}]
users: [{{name: \"{user}\", user: {{token: \"{token}\"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: \"{user}\"}}}}]
current-context: test
",
        authority.display()
    )
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

#[track_caller]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|cause| panic!("cannot write {}: {cause}", path.display()));
}
