//! The simulated store: one request at a time, each with what its event makes of it; and the clock that retries wait on.

use std::fmt;
use std::future::ready;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use backstay_repo::store::Clock;
use bytes::Bytes;
use futures::future::{BoxFuture, poll_fn};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Event, Object, Objects, Shared, State, park};
use crate::clock::{never_answers, was_abandoned};
use crate::faulty::{Verb, broken, not_needed};

/// How long a long listing takes.
const LISTING: Duration = Duration::from_secs(20);

/// What is asked of the store, for one name.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Put {
        body: Bytes,
        is_create: bool,
    },
    Get,
    Head,
    /// Everything below the name.
    List,
    Delete,
}

enum Answer {
    Done,
    Object(Object),
    Listed(Vec<(String, Object)>),
}

impl Action {
    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Put { is_create: true, .. } => Verb::Create,
            Self::Put { is_create: false, .. } => Verb::Put,
            Self::Get => Verb::Get,
            Self::Head => Verb::Head,
            Self::List => Verb::List,
            Self::Delete => Verb::Delete,
        }
    }

    pub(super) fn changes(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete)
    }
}

impl State {
    /// Does it, now.
    fn answer(&mut self, name: &str, action: &Action) -> Result<Answer> {
        let missing = || Error::NotFound { path: name.to_owned(), source: "there is no such object".into() };
        match action {
            Action::Put { is_create: true, .. } if self.objects.contains_key(name) => {
                Err(Error::AlreadyExists { path: name.to_owned(), source: "the name is taken".into() })
            }
            Action::Put { body, .. } => {
                self.look(action.verb(), name);
                self.objects.insert(name.to_owned(), Object { body: body.clone(), modified: self.now });
                Ok(Answer::Done)
            }
            Action::Get | Action::Head => {
                self.objects.get(name).map(|object| Answer::Object(object.clone())).ok_or_else(missing)
            }
            Action::List => Ok(Answer::Listed(listed(&self.objects, name))),
            Action::Delete => {
                if self.objects.contains_key(name) {
                    self.look(Verb::Delete, name);
                    self.objects.remove(name);
                }
                Ok(Answer::Done)
            }
        }
    }

    pub(super) fn perform(&mut self, name: &str, action: &Action) -> Result<()> {
        self.answer(name, action).map(|_| ())
    }

    fn look(&mut self, verb: Verb, name: &str) {
        let Some(mut watch) = self.watch.take() else { return };
        if let Some(wrong) = watch(&self.objects, verb, name) {
            self.wrongs.push(wrong);
        }
        self.watch = Some(watch);
    }
}

impl Shared {
    /// One request of a process; no answer where it never comes.
    fn request(&self, process: Option<usize>, name: &str, action: &Action) -> Option<Result<Answer>> {
        let mut state = self.state.lock();
        let Some(index) = process else { return Some(state.answer(name, action)) };
        if state.processes[index].is_dead {
            return Some(Err(broken(io::ErrorKind::PermissionDenied, name)));
        }
        if super::SELF.get() != process {
            let who = state.processes[index].name.clone();
            state.log(who, action.verb(), name, None);
            return Some(state.answer(name, action));
        }
        let now = state.now;
        state = park(state, index, now);
        let event = state.draw(index, action);
        let who = state.processes[index].name.clone();
        state.log(who, action.verb(), name, event);
        if let Some(event) = event {
            state.count(event.word());
        }
        let broken = |kind| Some(Err(broken(kind, name)));
        match event {
            None if matches!(action, Action::List) => {
                // What comes and goes while it runs may be in it or not.
                let first = listed(&state.objects, name);
                let until = state.now + LISTING.mul_f64(state.dice.below(1024) as f64 / 1024.0);
                state = park(state, index, until);
                let second = listed(&state.objects, name);
                Some(Ok(Answer::Listed(blurred(first, second, &mut || state.dice.chance(512)))))
            }
            None => Some(state.answer(name, action)),
            Some(Event::DieBefore) => {
                state.processes[index].is_dead = true;
                broken(io::ErrorKind::PermissionDenied)
            }
            Some(Event::DieAfter) => {
                let _ = state.answer(name, action);
                state.processes[index].is_dead = true;
                broken(io::ErrorKind::PermissionDenied)
            }
            Some(Event::DieInFlight(after)) => {
                state.send_later(after, name, action);
                state.processes[index].is_dead = true;
                broken(io::ErrorKind::PermissionDenied)
            }
            Some(Event::FailBefore | Event::Outage(_)) => broken(io::ErrorKind::ConnectionReset),
            Some(Event::FailAfter) => {
                let _ = state.answer(name, action);
                broken(io::ErrorKind::ConnectionReset)
            }
            Some(Event::Unanswered) => None,
            Some(Event::UnansweredAfter) => {
                let _ = state.answer(name, action);
                None
            }
            Some(Event::Late(after)) => {
                state.send_later(after, name, action);
                None
            }
            Some(Event::Again(after)) => {
                state.send_later(after, name, action);
                Some(state.answer(name, action))
            }
            Some(Event::Twice) => {
                let _ = state.answer(name, action);
                Some(state.answer(name, action))
            }
            Some(Event::PauseBefore(pause)) => {
                let until = state.now + pause;
                state = park(state, index, until);
                Some(state.answer(name, action))
            }
            Some(Event::PauseAfter(pause)) => {
                let answer = state.answer(name, action);
                let until = state.now + pause;
                drop(park(state, index, until));
                Some(answer)
            }
            Some(Event::Denied) => broken(io::ErrorKind::PermissionDenied),
            Some(Event::Full) => broken(io::ErrorKind::StorageFull),
        }
    }
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::DieBefore | Self::DieAfter | Self::DieInFlight(_) => "deaths",
            Self::FailBefore | Self::Unanswered => "failed requests",
            Self::FailAfter | Self::UnansweredAfter => "lost replies",
            Self::Late(_) => "late requests",
            Self::Again(_) | Self::Twice => "repeated requests",
            Self::PauseBefore(_) | Self::PauseAfter(_) => "pauses",
            Self::Outage(_) => "outages",
            Self::Denied | Self::Full => "refusals",
        }
    }
}

fn listed(objects: &Objects, folder: &str) -> Vec<(String, Object)> {
    let below = |name: &str| folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let from = objects.range(folder.to_owned()..).take_while(|(name, _)| name.starts_with(folder));
    from.filter(|(name, _)| below(name)).map(|(name, object)| (name.clone(), object.clone())).collect()
}

/// All that was there throughout, and of the rest what `coin` says.
fn blurred(
    first: Vec<(String, Object)>,
    second: Vec<(String, Object)>,
    coin: &mut dyn FnMut() -> bool,
) -> Vec<(String, Object)> {
    let second: Objects = second.into_iter().collect();
    let mut seen: Objects = second.clone();
    let first: Objects = first.into_iter().collect();
    seen.retain(|name, _| first.contains_key(name) || coin());
    let gone = first.into_iter().filter(|(name, _)| !second.contains_key(name) && coin());
    seen.extend(gone.collect::<Vec<_>>());
    seen.into_iter().collect()
}

/// The store as one process sees it, or an onlooker.
pub(super) struct SimulatedStore {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Option<usize>,
}

impl SimulatedStore {
    async fn ask(&self, name: &str, action: Action) -> Result<Answer> {
        let answer = self.shared.request(self.process, name, &action);
        if let Some(answer) = answer {
            return answer;
        }
        never_answers().await;
        Err(broken(io::ErrorKind::TimedOut, name))
    }
}

#[async_trait]
impl ObjectStore for SimulatedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let action = Action::Put { body: payload.into(), is_create: options.mode == PutMode::Create };
        self.ask(location.as_ref(), action).await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Extensions::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(not_needed("put_multipart_opts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let action = if options.head { Action::Head } else { Action::Get };
        let Answer::Object(object) = self.ask(location.as_ref(), action).await? else {
            return Err(not_needed("an answer that is no object"));
        };
        let size_bytes = object.body.len() as u64;
        let range = match options.range {
            None => 0..size_bytes,
            Some(range) => range.as_range(size_bytes).map_err(|error| Error::Generic {
                store: "simulation",
                source: Box::new(io::Error::new(io::ErrorKind::InvalidInput, error.to_string())),
            })?,
        };
        Ok(result(location.clone(), &object, range))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = Self { shared: self.shared.clone(), process: self.process };
        let store = Arc::new(store);
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    store.ask(location.as_ref(), Action::Delete).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = Self { shared: self.shared.clone(), process: self.process };
        let folder = prefix.map(|prefix| prefix.as_ref().to_owned()).unwrap_or_default();
        let answer = async move {
            let Answer::Listed(found) = store.ask(&folder, Action::List).await? else {
                return Err(not_needed("an answer that is no list"));
            };
            let found: Vec<_> = found.iter().map(|(name, object)| Ok(meta(Path::from(&name[..]), object))).collect();
            Ok(futures::stream::iter(found))
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

fn meta(location: Path, object: &Object) -> ObjectMeta {
    let modified = SystemTime::UNIX_EPOCH + object.modified;
    ObjectMeta { location, last_modified: modified.into(), size: object.body.len() as u64, e_tag: None, version: None }
}

fn result(location: Path, object: &Object, range: Range<u64>) -> GetResult {
    let body = object.body.slice(range.start as usize..range.end as usize);
    GetResult {
        payload: GetResultPayload::Stream(futures::stream::once(ready(Ok(body))).boxed()),
        meta: meta(location, object),
        range,
        attributes: Attributes::new(),
        extensions: Extensions::default(),
    }
}

impl fmt::Debug for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedStore")
    }
}

impl fmt::Display for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulation")
    }
}

/// Time as a process's store sees it: waiting lets others go on.
pub(super) struct WorldClock {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Option<usize>,
}

impl Clock for WorldClock {
    fn now(&self) -> Duration {
        self.shared.state.lock().now
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let (shared, process) = (self.shared.clone(), self.process);
        async move { shared.park_for(process, wait) }.boxed()
    }

    fn timeout(&self, limit: Duration) -> BoxFuture<'static, ()> {
        let (shared, process) = (self.shared.clone(), self.process);
        // A time limit is looked at right after the request that it limits, by the same thread.
        poll_fn(move |_| {
            if !was_abandoned() {
                return Poll::Pending;
            }
            shared.park_for(process, limit);
            Poll::Ready(())
        })
        .boxed()
    }
}

impl fmt::Debug for WorldClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorldClock")
    }
}
