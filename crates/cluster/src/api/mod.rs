//! The API server behind blocking calls: connection, requests with deadlines and retries, discovery, lists.
//!
//! The only module that is async and names `kube`. A [`Server`] owns a small runtime that drives the connections; its calls block and
//! may come from many plain threads (never from inside an async runtime). Objects go in and out as JSON bytes; bodies and credentials
//! are in no error, log line or `Debug` output. What is read in an answer and what is done about it is the callers'.

mod connect;
mod discovery;
mod error;
mod list;
mod request;
mod retry;
mod split;
mod status;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::resource::Resource;

pub use connect::ConnectOptions;
pub use discovery::{Discovery, FailedGroup, ServedResource};
pub use error::{ApiError, StatusCause, StatusDetails};
pub use list::{ListOptions, Listed, Page};
pub use split::RawObject;

use request::{Call, Query, Transport, object_path};

/// A connection to one cluster's API server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    /// Always there until the drop, which must not wait for it.
    runtime: Option<Runtime>,
    transport: Arc<Transport>,
    context: String,
}

/// Which cluster it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// Of the namespace kube-system; empty where this account may not read it.
    pub uid: String,
    /// As the server says it: `v1.36.3`.
    pub version: String,
    /// Of the kubeconfig; `in-cluster` where the service account of a pod is used.
    pub context: String,
    pub address: String,
}

/// How a write is done.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    pub field_manager: String,
    /// The server checks and answers as if it had written.
    pub dry_run: bool,
    pub subresource: Option<&'static str>,
    /// Takes fields from other managers: for [`PatchKind::Apply`] only.
    pub force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Lists are merged by their keys: for built-in resources only.
    Strategic,
    /// Server-side apply.
    Apply,
}

#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// The object is deleted only if it still has this uid.
    pub uid: Option<String>,
    /// The object is deleted only if it was not changed since.
    pub resource_version: Option<String>,
    /// What happens to its dependents; the server's choice for the resource where nothing is said.
    pub propagation: Option<Propagation>,
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Server {
    /// Finds the configuration and prepares the connection. Nothing is sent yet.
    pub fn connect(options: &ConnectOptions) -> Result<Self, ApiError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kubernetes-api")
            .enable_all()
            .build()
            .map_err(|error| ApiError::Config { detail: format!("the threads for connections: {error}") })?;
        let (transport, context) = runtime.block_on(connect::connect(options))?;
        Ok(Self { inner: Arc::new(Inner { runtime: Some(runtime), transport: Arc::new(transport), context }) })
    }

    /// Ends all waiting: reads and pauses between retries fail with [`ApiError::Interrupted`], writes that were sent are awaited.
    pub fn interrupt(&self) {
        self.inner.transport.interrupt();
    }

    pub fn address(&self) -> &str {
        self.inner.transport.address()
    }

    pub fn identity(&self) -> Result<ClusterIdentity, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        #[derive(Deserialize)]
        struct Namespace {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            uid: String,
        }
        let version: Version = self.get_parsed("/version")?;
        let uid = match self.get_parsed::<Namespace>("/api/v1/namespaces/kube-system") {
            Ok(namespace) => namespace.metadata.uid,
            Err(error) if error.is_forbidden() => String::new(),
            Err(error) => return Err(error),
        };
        let (context, address) = (self.inner.context.clone(), self.address().to_owned());
        Ok(ClusterIdentity { uid, version: version.git_version, context, address })
    }

    /// What the server has kinds of.
    pub fn discover(&self) -> Result<Discovery, ApiError> {
        self.wait(discovery::discover(&self.inner.transport))
    }

    /// Gives all objects of a resource to `each`, page by page; the next page is fetched meanwhile.
    pub fn list<E: From<ApiError>>(
        &self,
        resource: &Resource,
        options: &ListOptions,
        each: &mut dyn FnMut(Page) -> Result<(), E>,
    ) -> Result<Listed, E> {
        list::list(self, resource, options, each)
    }

    /// Nothing where there is no such object (or no such resource).
    pub fn get(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Result<Option<Bytes>, ApiError> {
        let path = object_path(resource, namespace, Some(name), None)?;
        match self.call(&Call::get(path, Query::default())) {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Any path of the server, with its query: `/openapi/v3`, `/version`.
    pub fn get_path(&self, path: &str) -> Result<Bytes, ApiError> {
        self.call(&Call::get_raw(path))
    }

    pub fn create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Bytes, ApiError> {
        let path = object_path(resource, namespace, None, options.subresource)?;
        self.call(&Call::write(Method::POST, path, options.query(), "application/json", body))
    }

    /// Replaces the object. With a resourceVersion in the body only if nobody changed it since.
    pub fn update(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Bytes, ApiError> {
        let path = object_path(resource, namespace, Some(name), options.subresource)?;
        self.call(&Call::write(Method::PUT, path, options.query(), "application/json", body))
    }

    pub fn patch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        kind: PatchKind,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Bytes, ApiError> {
        let path = object_path(resource, namespace, Some(name), options.subresource)?;
        self.call(&Call::write(Method::PATCH, path, options.query(), kind.content_type(), body))
    }

    pub fn delete(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<(), ApiError> {
        let path = object_path(resource, namespace, Some(name), None)?;
        let body = options.body();
        self.call(&Call::write(Method::DELETE, path, Query::default(), "application/json", &body)).map(drop)
    }

    fn call(&self, call: &Call) -> Result<Bytes, ApiError> {
        self.wait(self.inner.transport.call(call)).map(|reply| reply.body)
    }

    fn get_parsed<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, ApiError> {
        let call = Call::get_raw(path);
        let body = self.call(&call)?;
        serde_json::from_slice(&body).map_err(|error| ApiError::malformed(&call, &error))
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime().block_on(future)
    }

    fn runtime(&self) -> &Runtime {
        self.inner.runtime.as_ref().expect("it is taken by the drop only")
    }
}

/// Without the credentials that are inside.
impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::ZERO);
        }
    }
}

impl WriteOptions {
    pub fn new(field_manager: impl Into<String>) -> Self {
        Self { field_manager: field_manager.into(), ..Self::default() }
    }

    fn query(&self) -> Query {
        let mut query = Query::default();
        query.push_unless_empty("fieldManager", &self.field_manager);
        if self.dry_run {
            query.push("dryRun", "All");
        }
        if self.force {
            query.push("force", "true");
        }
        query
    }
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            // JSON is YAML too, and this name is understood by every server that can apply.
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

impl DeleteOptions {
    fn body(&self) -> Vec<u8> {
        let mut body = serde_json::json!({ "kind": "DeleteOptions", "apiVersion": "v1" });
        if self.uid.is_some() || self.resource_version.is_some() {
            let mut preconditions = serde_json::Map::new();
            preconditions.extend(self.uid.as_ref().map(|uid| ("uid".to_owned(), uid.as_str().into())));
            let version = self.resource_version.as_ref();
            preconditions.extend(version.map(|version| ("resourceVersion".to_owned(), version.as_str().into())));
            body["preconditions"] = preconditions.into();
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = match propagation {
                Propagation::Background => "Background".into(),
                Propagation::Foreground => "Foreground".into(),
                Propagation::Orphan => "Orphan".into(),
            };
        }
        if self.dry_run {
            body["dryRun"] = serde_json::json!(["All"]);
        }
        body.to_string().into_bytes()
    }
}
