//! One request: its path, its tries, its deadline.
//!
//! The client is used through `send` alone: its other methods print bodies when they cannot read them. It also knows no read timeout,
//! so each try here ends after a silence, and all of them together at the deadline.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::future::{Either, select};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use kube::client::Body;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::error::ApiError;
use super::retry::{Reach, Repeat, Tries, is_outcome_unknown, wait_before_next};
use super::status;
use crate::resource::Resource;

/// Requests that one server gets from us at the same time.
const REQUESTS_AT_ONCE: usize = 8;
/// A server ends its own requests after a minute; one that says nothing for longer will not answer.
const LONGEST_SILENCE: Duration = Duration::from_secs(65);

/// What is asked. Without `Debug`, since the body may be a Secret.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: String,
    accept: &'static str,
    content_type: &'static str,
    body: Bytes,
    repeat: Repeat,
}

pub(super) struct Reply {
    pub(super) body: Bytes,
}

/// The way to the server, shared by all who ask.
pub(super) struct Transport {
    client: kube::Client,
    address: String,
    /// Where the address was found.
    origin: String,
    deadline: Duration,
    silence: Duration,
    permits: Semaphore,
    interrupted: watch::Sender<bool>,
    has_answered: AtomicBool,
}

/// Why one try failed.
struct Failure {
    error: ApiError,
    reach: Reach,
}

impl Call {
    pub(super) fn get(path: String, query: Query) -> Self {
        Self {
            method: Method::GET,
            path,
            query: query.0,
            accept: "application/json",
            content_type: "",
            body: Bytes::new(),
            repeat: Repeat::Always,
        }
    }

    /// A path as it goes over the wire, perhaps with a query.
    pub(super) fn get_raw(path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self::get(path.to_owned(), Query(query.to_owned()))
    }

    pub(super) fn write(method: Method, path: String, query: Query, content_type: &'static str, body: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(body);
        Self { method, content_type, body, repeat: Repeat::IfNotDone, ..Self::get(path, query) }
    }

    pub(super) fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    pub(super) fn only_once(self) -> Self {
        Self { repeat: Repeat::Never, ..self }
    }

    fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    fn to_http(&self) -> Result<Request<Body>, ApiError> {
        let address = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        let mut request = Request::builder().method(&self.method).uri(address).header(header::ACCEPT, self.accept);
        if !self.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, self.content_type);
        }
        let body = Body::from(self.body.clone());
        request.body(body).map_err(|error| ApiError::Config { detail: format!("{self}: {error}") })
    }
}

/// Without the query: continue tokens are long and tell nothing.
impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

impl Transport {
    pub(super) fn new(client: kube::Client, address: String, origin: String, deadline: Duration) -> Self {
        Self {
            client,
            address,
            origin,
            deadline,
            // So that a silent try leaves time for another one.
            silence: LONGEST_SILENCE.min(deadline / 3),
            permits: Semaphore::new(REQUESTS_AT_ONCE),
            interrupted: watch::Sender::new(false),
            has_answered: AtomicBool::new(false),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn interrupt(&self) {
        self.interrupted.send_replace(true);
    }

    /// Asks until there is an answer, the failure is one that stays, or the deadline is over. Waiting for a free place is not counted.
    pub(super) async fn call(&self, call: &Call) -> Result<Reply, ApiError> {
        let mut started = None;
        let mut count = 0;
        loop {
            let permit = self.unless_interrupted(call, self.permits.acquire()).await?;
            let started = *started.get_or_insert_with(Instant::now);
            let left = self.deadline.saturating_sub(started.elapsed());
            let attempt = timeout(left, self.attempt(call));
            // What a write did must be known, so it is awaited even then.
            let outcome = if call.is_write() { attempt.await } else { self.unless_interrupted(call, attempt).await? };
            drop(permit);
            let Failure { mut error, reach } = match outcome {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(failure)) => failure,
                Err(_) => Failure { error: self.silent(call, left), reach: Reach::Sent },
            };
            count += 1;
            let is_first_contact = !self.has_answered.load(Ordering::Relaxed);
            let tries = Tries { count, elapsed: started.elapsed(), deadline: self.deadline, is_first_contact };
            let Some(wait) = wait_before_next(&error, reach, call.repeat, tries) else {
                let is_unknown = call.is_write() && is_outcome_unknown(&error, reach);
                error.set_outcome_unknown(is_unknown);
                return Err(error);
            };
            tracing::warn!(tries = count, wait_ms = wait.as_millis() as u64, "trying again: {error}");
            self.unless_interrupted(call, tokio::time::sleep(wait)).await?;
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Reply, Failure> {
        let request = call.to_http().map_err(|error| Failure { error, reach: Reach::NotSent })?;
        let silent = |_| Failure { error: self.silent(call, self.silence), reach: Reach::Sent };
        let response = timeout(self.silence, self.client.send(request)).await.map_err(silent)?;
        let response = response.map_err(|error| self.failure(call, &error))?;
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        while let Some(frame) = timeout(self.silence, body.frame()).await.map_err(silent)? {
            let frame = frame.map_err(|error| Failure { error: self.broken(call, &error), reach: Reach::Sent })?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        self.has_answered.store(true, Ordering::Relaxed);
        if head.status.is_success() {
            return Ok(Reply { body: bytes.freeze() });
        }
        Err(Failure { error: status::error(call.to_string(), head.status, &head.headers, &bytes), reach: Reach::Sent })
    }

    /// Runs `future` to its end, or to the interrupt.
    async fn unless_interrupted<F: Future>(&self, call: &Call, future: F) -> Result<F::Output, ApiError> {
        let mut interrupted = self.interrupted.subscribe();
        let interrupt = pin!(interrupted.wait_for(|it| *it));
        match select(interrupt, pin!(future)).await {
            Either::Left(_) => Err(ApiError::Interrupted { request: call.to_string() }),
            Either::Right((output, _)) => Ok(output),
        }
    }

    fn silent(&self, call: &Call, waited: Duration) -> ApiError {
        let detail = format!("{} is silent", self.address);
        ApiError::Deadline { request: call.to_string(), waited, detail, outcome_unknown: false }
    }

    /// What the client says, without what it may print: the output of a credentials' helper, for one.
    fn failure(&self, call: &Call, error: &kube::Error) -> Failure {
        let failure = |error, reach| Failure { error, reach };
        if let kube::Error::Auth(error) = error {
            let detail = super::connect::credentials_failure(error, &self.origin);
            return failure(ApiError::Config { detail }, Reach::NotSent);
        }
        let is_unsent =
            causes(error).any(|it| it.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect));
        let reach = if is_unsent { Reach::NotSent } else { Reach::Sent };
        // The TLS library's errors come as input/output errors about data.
        let is_tls = causes(error)
            .filter_map(|it| it.downcast_ref::<io::Error>())
            .any(|it| it.kind() == io::ErrorKind::InvalidData);
        if is_tls {
            let (address, origin) = (self.address.clone(), self.origin.clone());
            return failure(ApiError::Tls { address, origin, detail: innermost(error) }, reach);
        }
        failure(self.broken(call, error), reach)
    }

    fn broken(&self, call: &Call, error: &(dyn Error + 'static)) -> ApiError {
        ApiError::Connect {
            request: call.to_string(),
            address: self.address.clone(),
            origin: self.origin.clone(),
            detail: innermost(error),
            outcome_unknown: false,
        }
    }
}

/// Where an object or a collection is, with or without one of its subresources.
pub(super) fn object_path(
    resource: &Resource,
    namespace: Option<&str>,
    name: Option<&str>,
    subresource: Option<&str>,
) -> Result<String, ApiError> {
    let group = &resource.name.group;
    let mut path = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
    let mut push = |segment: &str| match segment {
        // The server would take them for another path.
        "" | "." | ".." => Err(ApiError::Config { detail: format!("{} cannot be named \"{segment}\"", resource.kind) }),
        _ => {
            path.push('/');
            encode(segment, &mut path);
            Ok(())
        }
    };
    push(&resource.version)?;
    if let Some(namespace) = namespace {
        push("namespaces")?;
        push(namespace)?;
    }
    push(&resource.name.plural)?;
    for segment in name.into_iter().chain(subresource) {
        push(segment)?;
    }
    Ok(path)
}

/// Parameters, encoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        encode(value, &mut self.0);
    }

    pub(super) fn push_unless_empty(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.push(name, value);
        }
    }
}

/// Percent-encodes what RFC 3986 reserves; the colon is free in both places, and common in names of roles.
fn encode(text: &str, output: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            output.push(char::from(byte));
        } else {
            output.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// An error and what is inside it. An input/output error does not count what it wraps as its source.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| match (*error).downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => (*error).source(),
    })
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ResourceName;

    fn path(namespace: Option<&str>, name: Option<&str>, subresource: Option<&str>) -> Result<String, String> {
        let name_of_resource = ResourceName::new("roles", "rbac.authorization.k8s.io");
        let resource = Resource {
            name: name_of_resource,
            version: "v1".to_owned(),
            kind: "Role".to_owned(),
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            served: Vec::new(),
        };
        object_path(&resource, namespace, name, subresource).map_err(|error| error.to_string())
    }

    #[test]
    fn no_name_leads_out_of_its_collection() {
        let root = "/apis/rbac.authorization.k8s.io/v1";
        assert_eq!(path(None, None, None), Ok(format!("{root}/roles")));
        assert_eq!(
            path(Some("web"), Some("system:a"), Some("status")),
            Ok(format!("{root}/namespaces/web/roles/system:a/status"))
        );
        let hostile = path(Some("a/../b"), Some("x?dryRun=All#y z%2e"), None);
        assert_eq!(hostile, Ok(format!("{root}/namespaces/a%2F..%2Fb/roles/x%3FdryRun%3DAll%23y%20z%252e")));
        for wrong in ["", ".", ".."] {
            assert_eq!(path(None, Some(wrong), None), Err(format!("Role cannot be named \"{wrong}\"")));
        }
    }

    #[test]
    fn the_text_of_a_call_has_no_query() {
        assert_eq!(Call::get_raw("/version?timeout=1s").to_string(), "GET /version");
    }
}
