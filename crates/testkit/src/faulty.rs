//! An object store that fails as told: by script, or by a seeded schedule; and that remembers what was asked of it.
//!
//! Nothing here takes time. Faults happen to the requests that the script names, in order, so that a test reads like
//! the story it tells. What lies in the store can be damaged too, as disks and careless administrators do.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use backstay_repo::store::{Store, StoreOptions};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::{SimulatedClock, never_answers};
use crate::data::Dice;

/// A kind of request, as the store sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// A put that replaces.
    Put,
    /// A put that must not replace.
    Create,
    Get,
    Head,
    List,
    Delete,
}

/// What happens to one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A broken connection before anything was done.
    FailBefore,
    /// Done, but the reply is lost.
    FailAfter,
    /// Nothing is done, and no answer ever comes.
    NeverAnswers,
    /// Done, and no answer ever comes.
    NeverAnswersAfter,
    /// The network delivered the request twice; the answer is the second one's.
    Repeat,
    /// The object is there, and the store says that it is not; a list is empty.
    Missing,
    Denied,
    Full,
    /// "It exists already", although it does not and nothing is done: how some stores answer two creates at once.
    Refuse,
    /// Only this many bytes of the answer arrive.
    CutShort(usize),
    /// This bit of the answer arrives flipped.
    FlipBit(usize),
    /// The disk has lost this byte: what does not read it goes on as ever.
    BadSector(u64),
    /// A create that replaces, as stores do that do not know the condition.
    IgnoreCondition,
}

/// One request that reached the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub verb: Verb,
    pub name: String,
    /// Did the store do it? (Whether or not its client learnt of that.)
    pub done: bool,
}

/// The store. Clones are the same store.
#[derive(Clone)]
pub struct FaultyStore {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn ObjectStore>,
    script: Mutex<Script>,
    clock: SimulatedClock,
}

#[derive(Default)]
struct Script {
    faults: VecDeque<Rule>,
    holds: Vec<HoldRule>,
    records: Vec<Record>,
    is_read_only: bool,
    is_full: bool,
    ignores_conditions: bool,
    death: Option<Death>,
    schedule: Option<Schedule>,
}

/// Counts the writes that a process has left.
struct Death {
    writes_left: usize,
    last_is_done: bool,
    is_dead: bool,
}

struct Rule {
    verb: Verb,
    name_prefix: String,
    fault: Fault,
    /// `None`: for ever.
    remaining: Option<u32>,
}

struct HoldRule {
    verb: Verb,
    name_prefix: String,
    reached: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

struct Schedule {
    dice: Dice,
    failures_of_256: u8,
}

/// A request that is being held, see [`FaultyStore::hold`].
pub struct Hold {
    reached: watch::Receiver<bool>,
    released: watch::Sender<bool>,
}

impl Hold {
    /// Blocks until the request has arrived.
    pub fn wait_until_reached(&self) {
        let mut reached = self.reached.clone();
        // An error means that the request has come and gone.
        let _ = block_on(reached.wait_for(|reached| *reached));
    }

    /// Whether the request has arrived.
    pub fn is_reached(&self) -> bool {
        *self.reached.borrow()
    }

    /// Lets the request proceed.
    pub fn release(self) {
        self.released.send_replace(true);
    }
}

impl Default for FaultyStore {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyStore {
    /// In memory.
    pub fn new() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    pub fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Self { shared: Arc::new(Shared { inner, script: Mutex::default(), clock: SimulatedClock::new() }) }
    }

    /// A [`Store`] upon this one, in which waiting takes no time.
    pub fn open(&self) -> Store {
        self.open_with(&StoreOptions::default())
    }

    pub fn open_with(&self, options: &StoreOptions) -> Store {
        let clock = Arc::new(self.shared.clock.clone());
        Store::from_object_store_with(Arc::new(self.clone()), "memory://faulty", options, clock)
            .expect("opening a store in memory only needs threads")
    }

    pub fn clock(&self) -> &SimulatedClock {
        &self.shared.clock
    }

    /// The next request of this kind, for a name that begins so, meets this fault. Rules are used up in order.
    pub fn inject(&self, verb: Verb, name_prefix: &str, fault: Fault) {
        self.inject_times(verb, name_prefix, fault, Some(1));
    }

    /// Every such request, from now on.
    pub fn inject_always(&self, verb: Verb, name_prefix: &str, fault: Fault) {
        self.inject_times(verb, name_prefix, fault, None);
    }

    pub fn inject_times(&self, verb: Verb, name_prefix: &str, fault: Fault, times: Option<u32>) {
        let rule = Rule { verb, name_prefix: name_prefix.to_owned(), fault, remaining: times };
        self.shared.script.lock().faults.push_back(rule);
    }

    /// Holds the next such request until it is released.
    pub fn hold(&self, verb: Verb, name_prefix: &str) -> Hold {
        let (reached, reached_receiver) = watch::channel(false);
        let (released_sender, released) = watch::channel(false);
        let rule = HoldRule { verb, name_prefix: name_prefix.to_owned(), reached, released };
        self.shared.script.lock().holds.push(rule);
        Hold { reached: reached_receiver, released: released_sender }
    }

    /// From now on requests fail before or after they are done, so many in 256, by a generator with this seed. Requests
    /// made one after another meet the same faults in every run.
    pub fn fail_at_random(&self, seed: u64, failures_of_256: u8) {
        self.shared.script.lock().schedule = Some(Schedule { dice: Dice::new(seed), failures_of_256 });
    }

    /// The process that uses this store dies with its `n`-th write from now on (puts, creates and deletes, from 0): no
    /// request arrives any more. That write itself still does, without its answer, where `last_is_done`.
    pub fn die_at_write(&self, n: usize, last_is_done: bool) {
        self.shared.script.lock().death = Some(Death { writes_left: n, last_is_done, is_dead: false });
    }

    /// Whether the write of [`Self::die_at_write`] was reached.
    pub fn is_dead(&self) -> bool {
        self.shared.script.lock().death.as_ref().is_some_and(|death| death.is_dead)
    }

    /// Writing and deleting is refused.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.shared.script.lock().is_read_only = is_read_only;
    }

    /// There is no room for another byte. Deleting works, and makes none.
    pub fn set_full(&self, is_full: bool) {
        self.shared.script.lock().is_full = is_full;
    }

    /// Creates replace, always.
    pub fn ignore_conditions(&self) {
        self.shared.script.lock().ignores_conditions = true;
    }

    /// No more faults, of any kind. Records stay.
    pub fn heal(&self) {
        let mut script = self.shared.script.lock();
        let records = std::mem::take(&mut script.records);
        *script = Script { records, ..Script::default() };
    }

    /// The requests so far, in the order in which they arrived.
    pub fn records(&self) -> Vec<Record> {
        self.shared.script.lock().records.clone()
    }

    /// The names of what was written so far (puts and creates that were done), in order.
    pub fn written(&self) -> Vec<String> {
        let records = self.records();
        let written = records.into_iter().filter(|r| r.done && matches!(r.verb, Verb::Put | Verb::Create));
        written.map(|record| record.name).collect()
    }

    pub fn count(&self, verb: Verb) -> usize {
        self.shared.script.lock().records.iter().filter(|record| record.verb == verb).count()
    }

    pub fn forget_records(&self) {
        self.shared.script.lock().records.clear();
    }

    /// The names of everything stored, without a request being recorded.
    pub fn names(&self) -> Vec<String> {
        let listed = self.shared.inner.list(None).map_ok(|meta| meta.location.to_string()).try_collect();
        let mut names: Vec<String> = block_on(listed).expect("listing memory");
        names.sort_unstable();
        names
    }

    /// What is stored under a name.
    pub fn read(&self, name: &str) -> Option<Bytes> {
        let path = Path::from(name);
        let read = async { self.shared.inner.get(&path).await?.bytes().await };
        block_on(read).ok()
    }

    /// Puts something there behind everybody's back.
    pub fn write(&self, name: &str, body: impl Into<Bytes>) {
        let path = Path::from(name);
        let body: Bytes = body.into();
        block_on(self.shared.inner.put(&path, body.into())).expect("writing to memory");
    }

    /// Loses an object.
    pub fn lose(&self, name: &str) {
        let path = Path::from(name);
        block_on(self.shared.inner.delete(&path)).expect("deleting from memory");
    }

    /// Cuts a stored object off after so many bytes.
    pub fn truncate(&self, name: &str, size_bytes: usize) {
        let body = self.read(name).expect("an object to damage");
        self.write(name, body.slice(..size_bytes));
    }

    /// Flips one bit of a stored object.
    pub fn flip_bit(&self, name: &str, bit: usize) {
        let mut body = self.read(name).expect("an object to damage").to_vec();
        flip(&mut body, bit);
        self.write(name, body);
    }

    /// Records a request and finds out what is to happen to it.
    async fn arrive(&self, verb: Verb, name: &str) -> (usize, Option<Fault>) {
        let (index, fault, hold) = {
            let mut script = self.shared.script.lock();
            script.records.push(Record { verb, name: name.to_owned(), done: false });
            let index = script.records.len() - 1;
            let matches = |rule_verb: Verb, prefix: &str| rule_verb == verb && name.starts_with(prefix);
            let held = script.holds.iter().position(|rule| matches(rule.verb, &rule.name_prefix));
            let hold = held.map(|position| script.holds.remove(position));
            (index, script.fault(verb, name), hold)
        };
        if let Some(mut hold) = hold {
            hold.reached.send_replace(true);
            // An error means that the test is over and nobody will release it.
            let _ = hold.released.wait_for(|released| *released).await;
        }
        (index, fault)
    }

    fn done(&self, index: usize) {
        if let Some(record) = self.shared.script.lock().records.get_mut(index) {
            record.done = true;
        }
    }

    /// The faults that can happen to any request; `act` does it.
    async fn perform<'a, T>(
        &self,
        index: usize,
        fault: Option<&Fault>,
        name: &str,
        act: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        match fault {
            Some(Fault::FailBefore) => return Err(broken(io::ErrorKind::ConnectionReset, name)),
            Some(Fault::Denied) => return Err(broken(io::ErrorKind::PermissionDenied, name)),
            Some(Fault::Full) => return Err(broken(io::ErrorKind::StorageFull, name)),
            Some(Fault::Missing) => return Err(missing(name)),
            Some(Fault::Refuse) => return Err(refused(name)),
            Some(Fault::NeverAnswers) => never_answers().await,
            Some(Fault::Repeat) => {
                let _ = act().await;
            }
            _ => {}
        }
        let outcome = act().await;
        if outcome.is_ok() {
            self.done(index);
        }
        match fault {
            Some(Fault::FailAfter) => Err(broken(io::ErrorKind::ConnectionReset, name)),
            Some(Fault::NeverAnswersAfter) => {
                never_answers().await;
                outcome
            }
            _ => outcome,
        }
    }
}

impl Script {
    fn fault(&mut self, verb: Verb, name: &str) -> Option<Fault> {
        let writes = matches!(verb, Verb::Put | Verb::Create);
        if let Some(death) = &mut self.death {
            if death.is_dead {
                return Some(Fault::Denied);
            }
            if writes || verb == Verb::Delete {
                if death.writes_left == 0 {
                    death.is_dead = true;
                    // A refusal is not repeated; a lost reply is, and then meets refusals.
                    return Some(if death.last_is_done { Fault::FailAfter } else { Fault::Denied });
                }
                death.writes_left -= 1;
            }
        }
        if self.is_read_only && (writes || verb == Verb::Delete) {
            return Some(Fault::Denied);
        }
        if self.is_full && writes {
            return Some(Fault::Full);
        }
        let position = self.faults.iter().position(|rule| rule.verb == verb && name.starts_with(&rule.name_prefix));
        if let Some(position) = position {
            let rule = &mut self.faults[position];
            let fault = rule.fault.clone();
            if let Some(remaining) = &mut rule.remaining {
                *remaining = remaining.saturating_sub(1);
                if *remaining == 0 {
                    self.faults.remove(position);
                }
            }
            return Some(fault);
        }
        if self.ignores_conditions && verb == Verb::Create {
            return Some(Fault::IgnoreCondition);
        }
        self.schedule.as_mut().and_then(Schedule::next)
    }
}

impl Schedule {
    fn next(&mut self) -> Option<Fault> {
        let [dice, which, ..] = self.dice.roll().to_le_bytes();
        (dice < self.failures_of_256).then_some(match which % 4 {
            0 => Fault::FailBefore,
            1 => Fault::FailAfter,
            2 => Fault::NeverAnswers,
            _ => Fault::NeverAnswersAfter,
        })
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let verb = if options.mode == PutMode::Create { Verb::Create } else { Verb::Put };
        let (index, fault) = self.arrive(verb, location.as_ref()).await;
        let mut options = options;
        if matches!(fault, Some(Fault::IgnoreCondition)) {
            options.mode = PutMode::Overwrite;
        }
        let act = || self.shared.inner.put_opts(location, payload.clone(), options.clone());
        self.perform(index, fault.as_ref(), location.as_ref(), act).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(not_needed("put_multipart_opts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let verb = if options.head { Verb::Head } else { Verb::Get };
        let (index, fault) = self.arrive(verb, location.as_ref()).await;
        let act = || self.shared.inner.get_opts(location, options.clone());
        let mut result = self.perform(index, fault.as_ref(), location.as_ref(), act).await?;
        if let Some(Fault::BadSector(byte)) = fault
            && result.range.contains(&byte)
            && !options.head
        {
            return Err(broken(io::ErrorKind::UnexpectedEof, location.as_ref()));
        }
        if let Some(fault @ (Fault::CutShort(_) | Fault::FlipBit(_))) = fault {
            let stream =
                std::mem::replace(&mut result.payload, GetResultPayload::Stream(futures::stream::empty().boxed()));
            let GetResultPayload::Stream(stream) = stream else {
                return Err(not_needed("damaging the reads of files"));
            };
            let pieces: Vec<Bytes> = stream.try_collect().await?;
            let mut body = pieces.concat();
            match fault {
                Fault::CutShort(size_bytes) => body.truncate(size_bytes),
                Fault::FlipBit(bit) => flip(&mut body, bit),
                _ => {}
            }
            result.payload = GetResultPayload::Stream(futures::stream::iter([Ok(Bytes::from(body))]).boxed());
        }
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let (index, fault) = store.arrive(Verb::Delete, location.as_ref()).await;
                    let act = || store.shared.inner.delete(&location).boxed();
                    store.perform(index, fault.as_ref(), location.as_ref(), act).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        let prefix = prefix.cloned();
        let answer = async move {
            let name = prefix.as_ref().map(|prefix| prefix.as_ref().to_owned()).unwrap_or_default();
            let (index, fault) = store.arrive(Verb::List, &name).await;
            if matches!(fault, Some(Fault::Missing)) {
                return Ok::<_, object_store::Error>(futures::stream::empty().boxed());
            }
            let act = || store.shared.inner.list(prefix.as_ref()).try_collect::<Vec<_>>().boxed();
            let found = store.perform(index, fault.as_ref(), &name, act).await?;
            Ok(futures::stream::iter(found.into_iter().map(Ok)).boxed())
        };
        futures::stream::once(answer).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(not_needed("list_with_delimiter"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(not_needed("copy_opts"))
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.shared.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty({})", self.shared.inner)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without threads");
    runtime.block_on(future)
}

fn flip(body: &mut [u8], bit: usize) {
    body[bit / 8] ^= 1 << (bit % 8);
}

pub(crate) fn broken(kind: io::ErrorKind, name: &str) -> object_store::Error {
    let source = io::Error::new(kind, format!("{kind} (by the faulty store, for {name})"));
    object_store::Error::Generic { store: "faulty", source: Box::new(source) }
}

pub(crate) fn missing(name: &str) -> object_store::Error {
    object_store::Error::NotFound { path: name.to_owned(), source: "lost by the faulty store".into() }
}

pub(crate) fn refused(name: &str) -> object_store::Error {
    object_store::Error::AlreadyExists { path: name.to_owned(), source: "refused by the faulty store".into() }
}

pub(crate) fn not_needed(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: "the faulty store".to_owned() }
}
