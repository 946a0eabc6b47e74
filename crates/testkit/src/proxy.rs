//! A proxy in front of a real API server that misbehaves as told: what networks, load balancers and busy servers do on bad days.
//!
//! Clients speak plain HTTP with it, on loopback. What no rule catches goes to the API server as it is and comes back as it is, one
//! whole answer at a time, so watches do not work through it.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::servers::{Request, read_request};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The API server never sees it; this is answered instead.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A continue token that is too old; with the token for a later state that a server offers, or without.
    Expired { offers: bool },
    /// The connection is closed; the API server never sees the request.
    HangUp,
    /// The API server does it, and the connection is closed instead of its answer.
    LoseAnswer,
    /// The connection is closed in the middle of the answer's body.
    Truncate,
    /// The same where nobody said how long the body is: its end looks like a regular one.
    TruncateUnnoticed,
    /// The API server does it, but later.
    Delay(Duration),
    /// Nothing is said, and the connection stays open.
    Silence,
    /// The API server does it without having been told which form of answer is wanted, as one does that does not know the form.
    OldForm,
}

impl Fault {
    /// An answer in the API server's form.
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Self::Answer(code, vec![("content-type", "application/json".to_owned())], status.to_string().into_bytes())
    }

    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        let headers = vec![("retry-after", retry_after_seconds.to_string())];
        Self::Answer(429, headers, b"Too many requests, please try again later.\n".to_vec())
    }
}

/// Which requests a fault meets.
#[derive(Clone, Debug)]
pub struct Rule {
    method: Option<&'static str>,
    path: String,
    query: String,
    skip: u32,
    times: u32,
    fault: Fault,
}

impl Rule {
    /// The first request whose path begins like this.
    pub fn new(path: &str, fault: Fault) -> Self {
        Self { method: None, path: path.to_owned(), query: String::new(), skip: 0, times: 1, fault }
    }

    pub fn method(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Only those with this in their query.
    pub fn query(self, part: &str) -> Self {
        Self { query: part.to_owned(), ..self }
    }

    /// Lets so many pass first.
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Meets so many instead of one.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    fn matches(&self, request: &Request) -> bool {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        path.starts_with(&self.path)
            && query.contains(&self.query)
            && self.method.is_none_or(|method| method == request.method)
    }
}

pub struct Proxy {
    address: SocketAddr,
    folder: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: kube::Client,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<Request>>,
    runtime: Runtime,
}

struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

impl Proxy {
    pub fn start(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime for the way to the API server");
        let mut config = kube::Config::new(cluster.address().parse().expect("an address"));
        config.accept_invalid_certs = true;
        config.disable_compression = true;
        config.default_retry = false;
        let upstream = {
            let _inside = runtime.enter();
            kube::Client::try_from(config).expect("a client without credentials")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared { upstream, rules: Mutex::default(), requests: Mutex::default(), runtime });
        let folder = TempDir::with_prefix("backstay-proxy-").expect("a temporary folder");
        // The threads end with the process.
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        let proxy = Self { address, folder, shared };
        proxy.write_kubeconfig("kubeconfig", cluster.token());
        proxy
    }

    /// The administrator's, by way of the proxy.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// One with other credentials.
    pub fn kubeconfig_with(&self, token: &str) -> PathBuf {
        self.write_kubeconfig("kubeconfig-other", token)
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Of several rules that match, the first that is not used up counts.
    pub fn add(&self, rule: Rule) {
        self.shared.rules.lock().push(rule);
    }

    /// What came so far, faulty or not, whose path begins like this.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        self.shared.requests.lock().iter().filter(|request| request.target.starts_with(path)).cloned().collect()
    }

    fn write_kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let path: &Path = self.folder.path();
        let (path, address) = (path.join(name), self.address());
        let text = format!(
            "apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: \"{address}\"}}}}]
users: [{{name: user, user: {{token: \"{token}\"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: user}}}}]
current-context: test
"
        );
        std::fs::write(&path, text).expect("a file in a temporary folder");
        path
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        loop {
            let request = read_request(&mut reader)?;
            self.requests.lock().push(request.clone());
            match self.fault_for(&request) {
                None => send(&mut stream, &self.forward(&request)?)?,
                Some(Fault::Answer(status, headers, body)) => {
                    let headers = headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value));
                    let status = StatusCode::from_u16(status).expect("a rule with a status code");
                    send(&mut stream, &Answer { status, headers: headers.collect(), body: body.into() })?;
                }
                Some(Fault::Expired { offers }) => send(&mut stream, &expired(&request, offers))?,
                Some(Fault::HangUp) => return None,
                Some(Fault::LoseAnswer) => return self.forward(&request).map(drop),
                Some(Fault::Truncate) => {
                    let answer = self.forward(&request)?;
                    stream.write_all(&head(&answer, Some(answer.body.len()))).ok()?;
                    return stream.write_all(&answer.body[..answer.body.len() / 2]).ok();
                }
                Some(Fault::TruncateUnnoticed) => {
                    let answer = self.forward(&request)?;
                    stream.write_all(&head(&answer, None)).ok()?;
                    return stream.write_all(&answer.body[..answer.body.len() / 2]).ok();
                }
                Some(Fault::Delay(wait)) => {
                    // The timer is made inside the future: it belongs to the runtime.
                    self.runtime.block_on(async { tokio::time::sleep(wait).await });
                    send(&mut stream, &self.forward(&request)?)?;
                }
                Some(Fault::OldForm) => {
                    let mut request = request;
                    request.headers.retain(|(name, _)| name != "accept");
                    send(&mut stream, &self.forward(&request)?)?;
                }
                // The client closes when it has waited long enough.
                Some(Fault::Silence) => return stream.read(&mut [0]).ok().map(drop),
            }
        }
    }

    fn fault_for(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.rules.lock();
        for rule in rules.iter_mut().filter(|rule| rule.matches(request)) {
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                return Some(rule.fault.clone());
            }
        }
        None
    }

    /// Nothing where the API server does not answer: the client's connection then ends as its own would have.
    fn forward(&self, request: &Request) -> Option<Answer> {
        let mut forwarded = http::Request::builder().method(request.method.as_str()).uri(&request.target);
        for (name, value) in request.headers.iter().filter(|(name, _)| !is_of_the_connection(name)) {
            forwarded = forwarded.header(name, value);
        }
        let forwarded = forwarded.body(Body::from(request.body.clone())).ok()?;
        self.runtime.block_on(async {
            let (head, body) = self.upstream.send(forwarded).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            let headers = head.headers.iter().filter(|(name, _)| !is_of_the_connection(name.as_str()));
            let headers = headers.filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?.to_owned())));
            Some(Answer { status: head.status, headers: headers.collect(), body })
        })
    }
}

fn is_of_the_connection(name: &str) -> bool {
    matches!(name, "host" | "connection" | "content-length" | "transfer-encoding" | "accept-encoding")
}

/// What the API server says when the state of a list is gone.
fn expired(request: &Request, offers: bool) -> Answer {
    let token = request.target.split(['?', '&']).find_map(|part| part.strip_prefix("continue="));
    let metadata = match token {
        Some(token) if offers => json!({ "continue": for_the_latest_state(token) }),
        _ => json!({}),
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "The provided continue parameter is too old to display a consistent list result.",
    });
    let headers = vec![(header::CONTENT_TYPE, "application/json".to_owned())];
    Answer { status: StatusCode::GONE, headers, body: status.to_string().into_bytes().into() }
}

/// A token goes on after a key, in the state of a revision; -1 means the latest one.
fn for_the_latest_state(token: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(token).expect("a continue token is base64");
    let mut token: Value = serde_json::from_slice(&bytes).expect("a continue token is JSON");
    token["rv"] = json!(-1);
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn send(stream: &mut TcpStream, answer: &Answer) -> Option<()> {
    stream.write_all(&head(answer, Some(answer.body.len()))).ok()?;
    stream.write_all(&answer.body).ok()
}

fn head(answer: &Answer, body_bytes: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match body_bytes {
        Some(size) => head.push_str(&format!("content-length: {size}\r\n\r\n")),
        None => head.push_str("connection: close\r\n\r\n"),
    }
    head.into_bytes()
}
