//! Applying a plan: its items wave by wave, several at once inside a wave, each with one outcome in the end.
//!
//! The cluster has to be the plan's. Every object is prepared again from the snapshot, so that a plan carries none. What happens to
//! one item is in `write`; here is who does it and when: definitions first, and what the cluster serves is asked again after them;
//! then the waves of `owners`; references that had to wait at the very end. An item that fails stops nobody, a server that cannot
//! be reached stops all, and what was not reached is counted. A run that is interrupted goes on from its journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::Item;
use backstay_repo::{Progress, Repository};
use parking_lot::{Mutex, RwLock};

use super::document::{Action, Plan, PlanItem};
use super::journal::{Journal, JournalError};
use super::order::DEFINITIONS;
use super::outcome::{Cause, ItemOutcome, ItemResult, Outcome};
use super::owners::{Order, Way};
use super::prepare::Preparer;
use super::wait;
use crate::api::{ApiError, Discovery, Server};
use crate::error::{ClusterError, Result};
use crate::resource::ResourceName;
use crate::snapshot::{ObjectReader, Within};

/// Items that a thread takes at once, so that neighbours in the snapshot are read together.
const RUN_ITEMS_MAX: usize = 16;
/// Fewer objects of a collection are found one by one.
const WALK_ITEMS_MIN: usize = 4;
/// How long requests may go on when the run is stopped; then their waiting ends.
const GRACE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(100);

/// How a plan is applied.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// Requests that are under way at the same time.
    pub connections: NonZero<usize>,
    /// How long something may take that the cluster does by itself: to end a namespace, to delete an object, to serve a new kind.
    pub patience: Duration,
    /// Where it is written down what is done.
    pub journal: Option<PathBuf>,
    /// How long to wait in the end until what was restored is ready.
    pub wait: Option<Duration>,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            connections: const { NonZero::new(8).expect("eight is not zero") },
            patience: Duration::from_mins(2),
            journal: None,
            wait: None,
        }
    }
}

/// Ends the watcher, also when the work panics.
struct End<'a> {
    is_over: &'a AtomicBool,
    watcher: &'a std::thread::Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.watcher.unpark();
    }
}

/// One application of one plan. Shared by its threads.
pub(super) struct Run<'a> {
    pub(super) server: &'a Server,
    pub(super) repository: &'a Repository,
    pub(super) snapshot: &'a SnapshotRecord,
    pub(super) plan: &'a Plan,
    pub(super) options: &'a ApplyOptions,
    pub(super) progress: &'a Progress,
    pub(super) order: Order,
    target: RwLock<Arc<Target>>,
    /// Where the snapshot has the objects of the wave that is written, by their place in the plan.
    located: RwLock<HashMap<usize, Item>>,
    /// Ends of items, by their place in the plan.
    outcomes: Mutex<BTreeMap<usize, ItemOutcome>>,
    /// Owners outside of the plan that were looked up: whether a live object has the old uid.
    pub(super) outside: Mutex<HashMap<String, bool>>,
    /// Namespaces that did not end in time.
    pub(super) stuck: Mutex<HashMap<String, Arc<Mutex<Option<bool>>>>>,
    pub(super) notes: Mutex<Vec<String>>,
    /// Why nothing more is tried.
    stopped: Mutex<Option<String>>,
}

/// What the cluster serves at the moment.
pub(super) struct Target {
    pub(super) discovery: Discovery,
    pub(super) preparer: Preparer,
}

/// Does what the plan says, and tells what became of each item. An error means that nothing was begun, or that the journal cannot be
/// written.
pub fn apply(
    server: &Server,
    repository: &Repository,
    snapshot: &SnapshotRecord,
    plan: &Plan,
    options: &ApplyOptions,
    progress: &Progress,
) -> Result<Outcome> {
    require_same(server, snapshot, plan)?;
    let (journal, known) = match &options.journal {
        Some(path) => {
            let (journal, known) = Journal::open(path, plan)?;
            (Some(journal), known)
        }
        None => (None, Vec::new()),
    };
    let run = Run {
        server,
        repository,
        snapshot,
        plan,
        options,
        progress,
        order: Order::new(&plan.items),
        target: RwLock::new(Arc::new(target(server, &mut ObjectReader::new(repository)?, snapshot, plan)?)),
        located: RwLock::new(HashMap::new()),
        outcomes: Mutex::new(BTreeMap::new()),
        outside: Mutex::new(HashMap::new()),
        stuck: Mutex::new(HashMap::new()),
        notes: Mutex::new(Vec::new()),
        stopped: Mutex::new(None),
    };
    Progress::add(&progress.items_total, plan.items.len() as u64);
    progress.totals_known.store(true, Ordering::Relaxed);
    let continued = run.take_over(known);
    run.take_decided();
    let readers = (0..options.connections.get()).map(|_| ObjectReader::new(repository).map(Mutex::new));
    let readers = readers.collect::<Result<Vec<_>>>()?;
    run.interruptible(|| run.waves(&readers, journal.as_ref()).map(|()| run.references(&readers)))?;
    if let Some(journal) = journal {
        if run.is_stopped() { journal.sync()? } else { journal.remove()? }
    }
    let not_ready = match options.wait {
        Some(limit) if !run.is_stopped() => run.wait_until_ready(limit)?,
        _ => Vec::new(),
    };
    Ok(run.outcome(continued, not_ready))
}

fn require_same(server: &Server, snapshot: &SnapshotRecord, plan: &Plan) -> Result<()> {
    if snapshot.id != plan.snapshot {
        return Err(ClusterError::ForeignSnapshot { plan: plan.snapshot, snapshot: snapshot.id });
    }
    let identity = server.identity()?;
    // Who may not read the uid has the address to go by.
    let is_same =
        identity.uid == plan.target.uid && (!identity.uid.is_empty() || identity.address == plan.target.address);
    if !is_same {
        let (planned, found) = (plan.target.clone(), identity);
        return Err(ClusterError::ForeignPlan { planned: Box::new(planned), found: Box::new(found) });
    }
    Ok(())
}

fn target(server: &Server, reader: &mut ObjectReader<'_>, snapshot: &SnapshotRecord, plan: &Plan) -> Result<Target> {
    let discovery = server.discover()?;
    let preparer = Preparer::for_restore(server, &discovery, reader, snapshot, &plan.options)?;
    Ok(Target { discovery, preparer })
}

impl Run<'_> {
    pub(super) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.read())
    }

    /// The uid of the object that an item is now.
    pub(super) fn uid(&self, place: usize) -> Option<String> {
        self.outcomes.lock().get(&place).and_then(|outcome| outcome.uid.clone())
    }

    /// Whoever stops the run waits for what is under way, but not for a server that lets it wait.
    fn interruptible<T>(&self, work: impl FnOnce() -> T) -> T {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut cancelled: Option<Instant> = None;
                while !is_over.load(Ordering::Acquire) {
                    if self.progress.is_cancelled() && cancelled.get_or_insert_with(Instant::now).elapsed() > GRACE {
                        self.server.interrupt();
                        return;
                    }
                    std::thread::park_timeout(TICK);
                }
            });
            let _end = End { is_over: &is_over, watcher: watcher.thread() };
            work()
        })
    }

    /// Whether a restore made the item's object, this run or one before it.
    fn is_new(&self, place: usize) -> bool {
        let outcomes = self.outcomes.lock();
        outcomes.get(&place).is_some_and(|it| matches!(it.result, ItemResult::Created | ItemResult::Recreated))
    }

    /// What earlier runs finished. Conflicts and failures are tried again.
    fn take_over(&self, known: Vec<ItemOutcome>) -> u64 {
        let mut outcomes = self.outcomes.lock();
        for outcome in known.into_iter().filter(|outcome| outcome.result.is_final()) {
            if let Some(place) = self.order.place(&outcome.key) {
                outcomes.insert(place, outcome);
            }
        }
        Progress::add(&self.progress.items_done, outcomes.len() as u64);
        outcomes.len() as u64
    }

    /// Items that need no request.
    fn take_decided(&self) {
        let mut outcomes = self.outcomes.lock();
        for (place, item) in self.plan.items.iter().enumerate() {
            let uid = item.live.as_ref().map(|live| live.uid.clone());
            let (result, cause, why, uid) = match &item.action {
                Action::Unchanged => (ItemResult::Unchanged, None, String::new(), uid),
                Action::Left { fields } => (ItemResult::Left, Some(Cause::Exists), named(fields), uid),
                Action::Skipped { why } => (ItemResult::Skipped, Some(Cause::Planned), why.clone(), None),
                Action::Conflict { why } => (ItemResult::Conflict, Some(Cause::Planned), why.clone(), None),
                _ => continue,
            };
            let (key, target, notes) = (item.key.clone(), item.target.clone(), item.notes.clone());
            let outcome = ItemOutcome { key, target, result, cause, why, notes, uid };
            if outcomes.insert(place, outcome).is_none() {
                Progress::add(&self.progress.items_done, 1);
            }
        }
    }

    fn waves(&self, readers: &[Mutex<ObjectReader<'_>>], journal: Option<&Journal>) -> Result<()> {
        let mut was_definition = false;
        for wave in &self.order.waves {
            let open: Vec<usize> = {
                let outcomes = self.outcomes.lock();
                wave.iter().copied().filter(|place| !outcomes.contains_key(place)).collect()
            };
            let is_definition = open.first().is_some_and(|place| self.plan.items[*place].layer == DEFINITIONS);
            if was_definition && !is_definition {
                self.wait_for_kinds()?;
                let served = target(self.server, &mut readers[0].lock(), self.snapshot, self.plan)?;
                *self.target.write() = Arc::new(served);
            }
            was_definition = is_definition || was_definition && open.is_empty();
            self.wave(&open, readers, journal)?;
        }
        Ok(())
    }

    fn wave(&self, places: &[usize], readers: &[Mutex<ObjectReader<'_>>], journal: Option<&Journal>) -> Result<()> {
        *self.located.write() = self.locate(&mut readers[0].lock(), places);
        let run_items = (places.len() / (readers.len() * 4)).clamp(1, RUN_ITEMS_MAX);
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<JournalError>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for reader in readers.iter().take(places.len().div_ceil(run_items)) {
                let (next, failed) = (&next, &failed);
                scope.spawn(move || {
                    let mut reader = reader.lock();
                    loop {
                        let start = next.fetch_add(run_items, Ordering::Relaxed);
                        let run = places.get(start..places.len().min(start + run_items)).unwrap_or_default();
                        if run.is_empty() {
                            return;
                        }
                        for place in run {
                            if self.is_stopped() || failed.lock().is_some() {
                                return;
                            }
                            let outcome = self.item(&mut reader, *place);
                            // What the end of the run cut off was not reached.
                            if self.is_stopped() && outcome.cause == Some(Cause::Unavailable) {
                                return;
                            }
                            let recorded = journal.map_or(Ok(()), |journal| journal.record(&outcome));
                            self.finish(*place, outcome);
                            if let Err(error) = recorded {
                                *failed.lock() = Some(error);
                            }
                        }
                    }
                });
            }
        });
        failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Finds the objects of a wave by walks over their collections, which cost a fraction of looking for each. What is not found here
    /// is looked for again by whoever needs it, and tells then what is wrong.
    fn locate(&self, reader: &mut ObjectReader<'_>, places: &[usize]) -> HashMap<usize, Item> {
        let mut collections: BTreeMap<(&ResourceName, Option<&str>), usize> = BTreeMap::new();
        for place in places {
            let key = &self.plan.items[*place].key;
            *collections.entry((&key.resource, key.namespace.as_deref())).or_insert(0) += 1;
        }
        let wanted: HashSet<usize> = places.iter().copied().collect();
        let mut located = HashMap::new();
        for ((resource, namespace), items) in collections {
            if items < WALK_ITEMS_MIN {
                continue;
            }
            let within = Within::Collection(resource, namespace);
            let walked = reader.for_each(self.snapshot, &within, &mut |_, key, item| {
                if let Some(place) = self.order.place(&key).filter(|place| wanted.contains(place)) {
                    located.insert(place, item);
                }
                Ok(())
            });
            if walked.is_err() {
                break;
            }
        }
        located
    }

    /// Where the snapshot has an item's object.
    pub(super) fn find(&self, reader: &mut ObjectReader<'_>, item: &PlanItem) -> Result<Option<Item>> {
        let located = self.order.place(&item.key).and_then(|place| self.located.read().get(&place).cloned());
        if located.is_some() { Ok(located) } else { reader.find(self.snapshot, &item.key) }
    }

    fn item(&self, reader: &mut ObjectReader<'_>, place: usize) -> ItemOutcome {
        let item = &self.plan.items[place];
        self.progress.set_current(|text| text.push_str(&item.target.to_string()));
        let mut notes = item.notes.clone();
        let written = self.write(reader, place, &mut notes);
        let (result, cause, why, uid) = match written {
            Ok((result, uid)) => (result, None, String::new(), Some(uid)),
            Err(refusal) => (refusal.result, Some(refusal.cause), refusal.why, refusal.uid),
        };
        ItemOutcome { key: item.key.clone(), target: item.target.clone(), result, cause, why, notes, uid }
    }

    fn finish(&self, place: usize, outcome: ItemOutcome) {
        Progress::add(&self.progress.items_done, 1);
        if !outcome.result.is_final() {
            Progress::add(&self.progress.problems, 1);
        }
        self.outcomes.lock().insert(place, outcome);
    }

    /// References that could not be there from the start.
    fn references(&self, readers: &[Mutex<ObjectReader<'_>>]) {
        for (place, item) in self.plan.items.iter().enumerate() {
            let is_late = item.owners.iter().any(|owner| self.order.way(place, item, owner) == Way::Late);
            if !is_late || !self.is_new(place) {
                continue;
            }
            if self.is_stopped() {
                return;
            }
            if let Err(why) = self.write_references(&mut readers[0].lock(), place) {
                let note = format!("its owner references could not be restored: {why}");
                if let Some(outcome) = self.outcomes.lock().get_mut(&place) {
                    outcome.notes.push(note);
                }
            }
        }
    }

    /// Nothing more is to be begun.
    pub(super) fn is_stopped(&self) -> bool {
        self.progress.is_cancelled() || self.stopped.lock().is_some()
    }

    /// Without a connection or with wrong credentials no other item would fare better.
    pub(super) fn stop_if_unreachable(&self, error: &ApiError) {
        let is_fatal = matches!(error, ApiError::Connect { .. } | ApiError::Tls { .. }) || error.is_unauthorized();
        if is_fatal {
            self.stopped.lock().get_or_insert_with(|| error.to_string());
        }
    }

    /// Waits until something is so; false when it is not in time, or nobody wants to wait any longer.
    pub(super) fn wait_until(
        &self,
        patience: Duration,
        is_so: &mut dyn FnMut() -> Result<bool, ApiError>,
    ) -> Result<bool, ApiError> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            if is_so()? {
                return Ok(true);
            }
            if self.is_stopped() || started.elapsed() + pause > patience {
                return Ok(false);
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn wait_until_ready(&self, limit: Duration) -> Result<Vec<wait::NotReady>> {
        let is_new = |it: &&ItemOutcome| {
            matches!(
                it.result,
                ItemResult::Created | ItemResult::Updated | ItemResult::Recreated | ItemResult::Unchanged
            )
        };
        let targets: Vec<_> = self.outcomes.lock().values().filter(is_new).map(|it| it.target.clone()).collect();
        wait::until_ready(self.server, &self.target().discovery, &targets, limit, self.progress)
    }

    fn outcome(&self, continued: u64, not_ready: Vec<wait::NotReady>) -> Outcome {
        let items: Vec<_> = std::mem::take(&mut *self.outcomes.lock()).into_values().collect();
        let comes_back_empty = |it: &&ItemOutcome| {
            matches!(it.result, ItemResult::Created | ItemResult::Recreated)
                && it.notes.iter().any(|note| note == super::document::EMPTY_VOLUME)
        };
        Outcome {
            snapshot: self.plan.snapshot,
            target: self.plan.target.clone(),
            continued,
            left_over: (self.plan.items.len() - items.len()) as u64,
            empty_volumes: items.iter().filter(comes_back_empty).count() as u64,
            stopped: self.stopped.lock().take(),
            notes: std::mem::take(&mut *self.notes.lock()),
            items,
            not_ready,
        }
    }
}

/// Fields as a reason: the first few, and how many there are.
pub(super) fn named(fields: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = fields.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if fields.len() > SHOWN {
        text.push_str(&format!(" and {} more", fields.len() - SHOWN));
    }
    text
}
