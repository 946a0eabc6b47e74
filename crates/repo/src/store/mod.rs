//! The one way by which Backstay reaches its storage: a directory, S3, Google Cloud Storage or Azure, all alike.
//!
//! - Names are made of `0-9 a-z - /` only. Everything is created once; only [`Store::overwrite`] replaces.
//! - A call blocks its thread and returns when the storage has answered: after [`Store::put`] the bytes are durable.
//!   Work on the network runs on a small runtime of the process; a directory is read by the calling thread itself.
//! - Requests are repeated, within limits, while the store is unreachable or overloaded ([`retry`]).
//! - No error, log line or debug output holds a secret ([`error`], [`answer`]).
//!
//! The store must give read-after-write for `get` and `list`. What it honours beyond that is found by
//! [`Store::probe`]; what its objects mean is none of this module's business.

mod answer;
mod clock;
mod cloud;
mod error;
mod local;
mod location;
mod objects;
mod options;
mod probe;
mod retry;
mod usage;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use object_store::ObjectStore;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub use clock::{Clock, SystemClock};
pub use error::{ErrorKind, Operation, StoreError};
pub use location::{Location, LocationError};
pub use options::StoreOptions;
pub use probe::Capabilities;
pub use usage::Usage;

use error::Failure;
use local::Directory;
use objects::Objects;
use retry::Calls;

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub name: String,
    pub size_bytes: u64,
    pub modified_unix_seconds: i64,
}

/// The outcome of [`Store::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object exists now, with these bytes, by this call.
    New,
    /// Somebody else's object has the name.
    Exists,
}

/// A location, opened. Clones share limits and counters.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    is_one_at_a_time: bool,
}

struct Inner {
    calls: Arc<Calls>,
    backend: Backend,
    runtime: &'static Runtime,
}

#[derive(Debug)]
enum Backend {
    Directory(Directory),
    Objects(Arc<Objects>),
}

impl Backend {
    fn objects(store: Arc<dyn ObjectStore>, options: &StoreOptions) -> Self {
        Self::Objects(Arc::new(Objects::new(store, options.create_if_absent)))
    }
}

impl Store {
    /// Opens a location. A folder must exist; a bucket is not asked for before the first request.
    pub fn open(location: &Location, options: &StoreOptions) -> Result<Self, StoreError> {
        Self::build(location, options, Arc::new(SystemClock::new()), Directory::open)
    }

    /// Opens a location and makes its folder first. Buckets are made with their cloud's own tools.
    pub fn create_location(location: &Location, options: &StoreOptions) -> Result<Self, StoreError> {
        Self::build(location, options, Arc::new(SystemClock::new()), Directory::create)
    }

    /// Like [`Store::open`], with time of one's own.
    pub fn open_with_clock(
        location: &Location,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::build(location, options, clock, Directory::open)
    }

    /// A store over any object store; `name` is what errors call it.
    pub fn from_object_store(store: Arc<dyn ObjectStore>, name: &str) -> Result<Self, StoreError> {
        Self::from_object_store_with(store, name, &StoreOptions::default(), Arc::new(SystemClock::new()))
    }

    /// Like [`Store::from_object_store`], with limits and time of one's own.
    pub fn from_object_store_with(
        store: Arc<dyn ObjectStore>,
        name: &str,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let calls = Calls::new(name.to_owned(), options, clock);
        Self::assemble(calls, Ok(Backend::objects(store, options)))
    }

    fn build(
        location: &Location,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
        open_directory: fn(&std::path::Path) -> Result<Directory, Failure>,
    ) -> Result<Self, StoreError> {
        let calls = Calls::new(location.to_string(), options, clock);
        let backend = match location {
            Location::Directory(path) => open_directory(path).map(Backend::Directory),
            _ => cloud::connect(location, options).map(|store| Backend::objects(store, options)),
        };
        Self::assemble(calls, backend)
    }

    fn assemble(calls: Calls, backend: Result<Backend, Failure>) -> Result<Self, StoreError> {
        let opened = backend.and_then(|backend| Ok((backend, runtime()?)));
        let (backend, runtime) = opened.map_err(|failure| calls.error(Operation::Open, "", failure))?;
        let inner = Arc::new(Inner { calls: Arc::new(calls), backend, runtime });
        Ok(Self { inner, is_one_at_a_time: false })
    }

    /// Makes one request after another, each in the thread that needs it: for simulations, which decide what comes next.
    pub fn one_at_a_time(self) -> Self {
        Self { is_one_at_a_time: true, ..self }
    }

    pub(crate) fn is_one_at_a_time(&self) -> bool {
        self.is_one_at_a_time
    }

    /// Whether it is a directory of this host: there a full disk is a matter of the repository.
    pub fn is_directory(&self) -> bool {
        matches!(self.inner.backend, Backend::Directory(_))
    }

    /// What errors call this store.
    pub fn location(&self) -> &str {
        &self.inner.calls.location
    }

    /// The whole object.
    pub fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        self.get_into(name, Vec::new())
    }

    /// The whole object, in memory that is used again where the store can: new pages cost as much as reading them.
    pub(crate) fn get_into(&self, name: &str, memory: Vec<u8>) -> Result<Bytes, StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        self.checked(Operation::Get, name)?;
        match backend {
            Backend::Directory(directory) => self.read_locally(name, || directory.get(name, memory)),
            Backend::Objects(objects) => self.wait(objects.get(calls, name)),
        }
    }

    /// Exactly these bytes of an object. One that is too short is [`ErrorKind::Corrupt`].
    pub fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        self.checked(Operation::Get, name)?;
        if range.end <= range.start {
            return Ok(Bytes::new());
        }
        match backend {
            Backend::Directory(directory) => self.read_locally(name, || directory.get_range(name, range.clone())),
            Backend::Objects(objects) => self.wait(objects.get_range(calls, name, range)),
        }
    }

    /// Stores an object whose name is the hash of its bytes, so that an object of this name and length is already it.
    pub fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, body)
    }

    /// Begins a [`Store::put`] and returns at once. At most `max_connections` proceed at a time, so the caller bounds
    /// the bytes in flight by bounding the handles it holds.
    pub fn start_put(&self, name: String, body: Bytes) -> PutHandle {
        if self.is_one_at_a_time {
            return PutHandle { store: self.clone(), task: Task::Done(self.put(&name, body)) };
        }
        let Inner { calls, backend, runtime } = &*self.inner;
        let task = match backend {
            Backend::Objects(objects) if is_name(&name) => {
                let (objects, calls) = (Arc::clone(objects), Arc::clone(calls));
                runtime.spawn(async move { objects.put(&calls, &name, body).await })
            }
            _ => {
                let inner = Arc::clone(&self.inner);
                runtime.spawn_blocking(move || inner.put(&name, body))
            }
        };
        PutHandle { store: self.clone(), task: Task::Running(task) }
    }

    /// Creates an object if the name is free. The body must be unlike any other writer's (hold a nonce): that is how a
    /// lost reply is told apart from a lost race. An error may leave it open whether the object was created, see
    /// [`StoreError::is_outcome_unknown`].
    pub fn create(&self, name: &str, body: Bytes) -> Result<Created, StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        self.checked(Operation::Create, name)?;
        match backend {
            Backend::Directory(directory) => {
                self.inner.write_locally(Operation::Create, name, &body, || directory.create_object(name, &body))
            }
            Backend::Objects(objects) => self.wait(objects.create(calls, name, body)),
        }
    }

    /// Stores an object whether or not the name is taken. For heartbeats only: everything else is written once.
    pub fn overwrite(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        self.checked(Operation::Overwrite, name)?;
        match backend {
            Backend::Directory(directory) => {
                self.inner.write_locally(Operation::Overwrite, name, &body, || directory.overwrite(name, &body))
            }
            Backend::Objects(objects) => self.wait(objects.overwrite(calls, name, body)),
        }
    }

    pub fn head(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        self.checked(Operation::Head, name)?;
        match backend {
            Backend::Directory(directory) => self.locally(Operation::Head, name, || directory.head(name)),
            Backend::Objects(objects) => self.wait(objects.head(calls, name)),
        }
    }

    /// All objects below a folder (`packs`, or nothing for all), however deep, by name.
    pub fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list_from(folder, None)
    }

    /// All objects below a folder whose name is greater than `after`, by name.
    pub fn list_after(&self, folder: &str, after: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.list_from(folder, Some(after))
    }

    fn list_from(&self, folder: &str, after: Option<&str>) -> Result<Vec<ObjectInfo>, StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        let folder = folder.trim_end_matches('/');
        if !folder.is_empty() {
            self.checked(Operation::List, folder)?;
        }
        let mut found = match backend {
            Backend::Directory(directory) => self.locally(Operation::List, folder, || directory.list(folder, after))?,
            Backend::Objects(objects) => self.wait(objects.list(calls, folder, after))?,
        };
        found.retain(|object| is_name(&object.name) && after.is_none_or(|after| object.name.as_str() > after));
        found.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }

    /// Deletes an object. One that does not exist is deleted already.
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        self.checked(Operation::Delete, name)?;
        match backend {
            Backend::Directory(directory) => self.locally(Operation::Delete, name, || directory.delete(name)),
            Backend::Objects(objects) => self.wait(objects.delete(calls, name)),
        }
    }

    /// Asks once to delete an object that may as well stay, and does not wait long for a store that is gone.
    pub(crate) fn try_delete(&self, name: &str) {
        let Inner { calls, backend, .. } = &*self.inner;
        let done = match backend {
            Backend::Directory(directory) => self.locally(Operation::Delete, name, || directory.delete(name)),
            Backend::Objects(objects) => self.wait(objects.try_delete(calls, name)),
        };
        if let Err(error) = done {
            tracing::debug!(%error, "it stays behind");
        }
    }

    /// Deletes many objects, with as few requests as the store can do with. Gives back those that are still there, each with the
    /// reason; what does not exist is deleted already.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] and [`ErrorKind::Retry`]: everything else concerns single objects.
    pub fn delete_many(&self, names: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        let left = match backend {
            Backend::Directory(_) => names.to_vec(),
            Backend::Objects(objects) => self.wait(objects.delete_many(calls, names)),
        };
        let mut failed = Vec::new();
        for name in left {
            match self.delete(&name) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Retry) => return Err(error),
                Err(error) => failed.push((name, error)),
            }
        }
        Ok(failed)
    }

    /// Finds out what the store honours, by writing and removing an object below `probe/`.
    pub fn probe(&self) -> Result<Capabilities, StoreError> {
        probe::probe(self)
    }

    /// Counts of this store and its clones since it was opened.
    pub fn usage(&self) -> Usage {
        self.inner.calls.usage.read()
    }

    /// Waits a little, longer the more races in a row were lost: on a directory not at all, as nobody is far away there.
    pub(crate) fn wait_after_lost_race(&self, lost: u32) -> Result<(), StoreError> {
        let Inner { calls, backend, .. } = &*self.inner;
        match backend {
            Backend::Directory(_) => Ok(()),
            Backend::Objects(_) => self.wait(calls.wait_after_lost_race(lost)),
        }
    }

    /// Ends all waiting and repeating, now and later, with [`ErrorKind::Interrupted`].
    pub fn interrupt(&self) {
        self.inner.calls.interrupt();
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.inner.runtime.block_on(work)
    }

    fn checked(&self, operation: Operation, name: &str) -> Result<(), StoreError> {
        self.inner.checked(operation, name)
    }

    fn locally<T>(
        &self,
        operation: Operation,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.inner.locally(operation, name, work)
    }

    fn read_locally(&self, name: &str, work: impl FnOnce() -> Result<Bytes, Failure>) -> Result<Bytes, StoreError> {
        let calls = &self.inner.calls;
        let body = self.locally(Operation::Get, name, work)?;
        calls.usage.downloaded(body.len());
        if calls.download.is_some() {
            self.wait(calls.pay(calls.download.as_ref(), body.len()))
                .map_err(|failure| calls.error(Operation::Get, name, failure))?;
        }
        Ok(body)
    }
}

impl Inner {
    fn put(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.checked(Operation::Put, name)?;
        match &self.backend {
            Backend::Directory(directory) => {
                self.write_locally(Operation::Put, name, &body, || directory.put(name, &body))
            }
            Backend::Objects(objects) => self.runtime.block_on(objects.put(&self.calls, name, body)),
        }
    }

    fn write_locally<T>(
        &self,
        operation: Operation,
        name: &str,
        body: &Bytes,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        if self.calls.upload.is_some() {
            self.runtime
                .block_on(self.calls.pay(self.calls.upload.as_ref(), body.len()))
                .map_err(|failure| self.calls.error(operation, name, failure))?;
        }
        let done = self.locally(operation, name, work)?;
        self.calls.usage.uploaded(body.len());
        Ok(done)
    }

    fn locally<T>(
        &self,
        operation: Operation,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.calls.usage.request(operation);
        work().map_err(|failure| self.calls.error(operation, name, failure))
    }

    fn checked(&self, operation: Operation, name: &str) -> Result<(), StoreError> {
        if is_name(name) {
            return Ok(());
        }
        let failure = Failure::new(ErrorKind::Invalid, "this is no name for an object");
        Err(self.calls.error(operation, name, failure))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Clients of clouds hold credentials.
        f.debug_struct("Store").field("location", &self.location()).finish_non_exhaustive()
    }
}

/// A put that was begun, see [`Store::start_put`]. Dropping it does not stop it.
#[must_use = "a put whose outcome nobody looks at may have failed"]
pub struct PutHandle {
    store: Store,
    task: Task,
}

enum Task {
    Running(JoinHandle<Result<(), StoreError>>),
    Done(Result<(), StoreError>),
}

impl PutHandle {
    pub fn wait(self) -> Result<(), StoreError> {
        let task = match self.task {
            Task::Running(task) => task,
            Task::Done(outcome) => return outcome,
        };
        self.store.wait(task).unwrap_or_else(|error| {
            let failure = Failure::new(ErrorKind::Interrupted, format!("its task ended: {error}"));
            Err(self.store.inner.calls.error(Operation::Put, "an object", failure))
        })
    }

    pub fn is_finished(&self) -> bool {
        match &self.task {
            Task::Running(task) => task.is_finished(),
            Task::Done(_) => true,
        }
    }
}

/// Parts of `0-9 a-z -`, parted by single slashes. So a name is the same on every store and file system, needs no
/// escaping, and cannot lead out of a folder.
pub(crate) fn is_name(name: &str) -> bool {
    name.split('/')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-')))
}

/// One runtime for the process, never shut down: a store's last clone may be dropped by one of its own workers, and a
/// runtime cannot be dropped from within itself.
fn runtime() -> Result<&'static Runtime, Failure> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let built = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_name("backstay-store")
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the threads for network access cannot be started", error))?;
    Ok(RUNTIME.get_or_init(|| built))
}
