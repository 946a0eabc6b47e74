//! Backing a cluster up: lists what the filters choose, stores what is new, and commits the snapshot.
//!
//! Each resource is one unit of work for one of a few threads; memory follows the page size and, by some 130 bytes each, the number
//! of objects. What cannot be seen is in the ledger, and is not taken over from the parent: a snapshot holds what was seen.

mod entry;
mod guard;
mod plan;
mod related;
mod take;
mod tree;

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backstay_format::log::{
    ClusterIdentityRecord, Extra, LedgerEntry, LedgerRef, SnapshotKind, SnapshotRecord, Summary,
};
use backstay_repo::{ErrorKind, Progress, RepoError, Repository, Writer, new_snapshot_id, timestamp_text};
use parking_lot::Mutex;

pub use guard::GUARD_OBJECTS_PERCENT_DEFAULT;

use self::entry::{Chunks, State};
use self::plan::Plan;
use self::related::Wants;
use self::take::{Seen, Taken, Unit, Worker};
use crate::api::Server;
use crate::error::{ClusterError, Result};
use crate::filter::{Choice, Filters, NamespaceFacts, Rule};
use crate::object::Head;
use crate::snapshot::{ListedResource, Lists, ObjectReader};

/// Lists under way at once: more would not be faster, and would be felt by the server's other users.
pub const THREADS_DEFAULT: NonZeroUsize = NonZeroUsize::new(4).expect("it is not zero");
/// Ledger entries that an outcome shows.
const PROBLEMS_MAX: usize = 20;
/// How soon an interrupt reaches a request that waits.
const INTERRUPT_TICK: Duration = Duration::from_millis(100);

/// What to back up, and under which name.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Nothing: the uid of the cluster's kube-system.
    pub source: Option<String>,
    pub host: String,
    pub user: String,
    pub tags: Vec<String>,
    /// RFC 3339.
    pub expires: Option<String>,
    pub filters: Filters,
    /// Objects in one answer of the server.
    pub page_size: u32,
    pub threads: NonZeroUsize,
    /// Only count.
    pub dry_run: bool,
    /// Whatever the guards say.
    pub accept: bool,
    /// Fewer objects than so many per cent of those in the newest accepted snapshot are flagged.
    pub guard_objects_percent: u8,
}

/// A finished backup.
#[derive(Debug, Clone)]
pub struct BackupOutcome {
    /// Not in the repository where it was a dry run.
    pub snapshot: SnapshotRecord,
    pub lists: Lists,
    /// Entries of the ledger that make the snapshot partial, for a first look: the first of them.
    pub problems: Vec<LedgerEntry>,
    /// What a person should know who wrote the filters.
    pub notes: Vec<String>,
    /// Claims whose volumes' data is not in the snapshot.
    pub volumes_without_data: u64,
}

/// What the threads of a run share.
struct Shared<'r> {
    repository: &'r Repository,
    server: &'r Server,
    /// Nothing in a dry run.
    writer: Option<Writer<'r>>,
    /// The newest snapshot of the source: what is equal there is not stored again.
    parent: Option<SnapshotRecord>,
    chunks: Chunks,
    choice: Choice,
    wants: Wants,
    page_size: u32,
    progress: &'r Progress,
    notes: Mutex<Vec<String>>,
    /// A thread has failed: the others stop.
    is_stopped: AtomicBool,
}

/// Backs a cluster up.
///
/// # Errors
/// A server that cannot be reached or refuses everything, a repository that fails, an interrupt. What cannot be seen of an otherwise
/// willing server is in the snapshot's ledger instead.
pub fn backup(
    repository: &Repository,
    server: &Server,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupOutcome> {
    options.filters.check()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                if progress.is_cancelled() {
                    server.interrupt();
                    return;
                }
                std::thread::park_timeout(INTERRUPT_TICK);
            }
        });
        let _end = End { is_over: &is_over, watcher: watcher.thread() };
        let result = run(repository, server, options, progress);
        // However the interrupt showed itself.
        if result.is_err() && progress.is_cancelled() { Err(RepoError::Interrupted.into()) } else { result }
    })
}

/// Ends the watcher, also where the run panics: the scope would wait for it.
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

impl Shared<'_> {
    fn check_cancelled(&self) -> Result<()> {
        if self.progress.is_cancelled() || self.is_stopped.load(Ordering::Relaxed) {
            return Err(RepoError::Interrupted.into());
        }
        Ok(())
    }

    fn note(&self, text: String) {
        self.notes.lock().push(text);
    }
}

fn run(
    repository: &Repository,
    server: &Server,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupOutcome> {
    let started = repository.clock().now();
    progress.set_current(|text| text.push_str("what the cluster has"));
    let identity = server.identity()?;
    let source = match &options.source {
        Some(source) => source.clone(),
        None if identity.uid.is_empty() => return Err(ClusterError::NoSource),
        None => identity.uid.clone(),
    };
    let cluster = ClusterIdentityRecord {
        uid: identity.uid,
        version: identity.version,
        context: identity.context,
        extra: Extra::new(),
    };
    let (accepted, incomplete) = repository.parents_of(&source);
    let accepted = accepted.filter(|accepted| accepted.kind == SnapshotKind::Cluster);
    // What is stored counts whether a guard flagged it or not.
    let is_parent = |snapshot: &SnapshotRecord| {
        snapshot.kind == SnapshotKind::Cluster && snapshot.source == source && !snapshot.incomplete
    };
    let parent = repository.snapshots().into_iter().rfind(is_parent);
    let mut notes = Vec::new();
    let lists_before = match &accepted {
        Some(accepted) => lists_of(repository, accepted, &mut notes)?,
        None => Lists::default(),
    };
    let Plan { choice, wants, ordered, units, namespaces, mut ledger, notes: told } =
        plan::plan(server, &options.filters, &lists_before)?;
    notes.extend(told);
    let writer = if options.dry_run { None } else { Some(repository.begin()?) };
    let is_damaged = |parent: &SnapshotRecord| writer.as_ref().is_some_and(|writer| writer.is_damaged(&parent.id));
    let parent = parent.filter(|parent| !is_damaged(parent));
    if let Some(writer) = &writer {
        if let Some(parent) = &parent {
            writer.reuse_tree_of(parent.id);
        }
        if let Some(incomplete) = &incomplete {
            writer.supersede(incomplete.id);
        }
    }
    let shared = Shared {
        repository,
        server,
        writer,
        parent,
        chunks: Chunks::default(),
        choice,
        wants,
        page_size: options.page_size,
        progress,
        notes: Mutex::new(notes),
        is_stopped: AtomicBool::new(false),
    };
    let mut all = take_all(&shared, &ordered, &units, namespaces.as_ref(), options.threads)?;
    all.sort_by_cached_key(|taken| taken.resource.name.to_string());
    plan::expect_ordered(&options.filters, &ordered, &all, &mut ledger);
    let lists = Lists {
        resources: all
            .iter()
            .map(|taken| ListedResource {
                resource: taken.resource.clone(),
                objects: taken.entries.len() as u64,
                lists: taken.lists.clone(),
            })
            .collect(),
        filters: Some(options.filters.clone()).filter(|filters| *filters != Filters::default()),
        failed_groups: ledger
            .iter()
            .filter_map(|entry| entry.path.strip_prefix("groups/"))
            .map(str::to_owned)
            .collect(),
        extra: Extra::new(),
    };
    let chunk_writer = shared.writer.as_ref().map(|writer| writer.chunk_writer()).transpose()?;
    let (tree, directories) = tree::write(repository, chunk_writer, &all, &shared.chunks, &lists)?;
    let mut summary = summary(&all);
    summary.directories = directories;
    let mut filtered = BTreeMap::new();
    for taken in &mut all {
        ledger.append(&mut taken.ledger);
        for (rule, count) in &taken.filtered {
            *filtered.entry(rule.name().to_owned()).or_default() += count;
        }
    }
    ledger.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
    ledger.dedup();
    let counted =
        |ledger: &[LedgerEntry], failed: bool| ledger.iter().filter(|entry| entry.failed == failed).count() as u64;
    let ledger_ref = match &shared.writer {
        Some(writer) => LedgerRef { filtered, ..writer.write_ledger(&ledger)? },
        None => LedgerRef {
            failed: counted(&ledger, true),
            noted: counted(&ledger, false),
            filtered,
            ..LedgerRef::default()
        },
    };
    let flags = accepted.as_ref().map_or_else(Vec::new, |accepted| {
        let seen = guard::Seen { cluster: &cluster, objects: summary.objects, lists: &lists };
        guard::flags(accepted, &lists_before, &seen, options.guard_objects_percent)
    });
    let elapsed = repository.clock().now().duration_since(started);
    summary.duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(0);
    let record = SnapshotRecord {
        finished: repository.clock().now_text(),
        host: options.host.clone(),
        user: options.user.clone(),
        program: repository.options().program.clone(),
        accepted: flags.is_empty() || options.accept,
        flags,
        summary,
        ledger: ledger_ref,
        tags: options.tags.clone(),
        expires: options.expires.clone(),
        cluster: Some(cluster),
        ..SnapshotRecord::new(new_snapshot_id()?, SnapshotKind::Cluster, &source, &timestamp_text(started), tree)
    };
    let is_volume = |entry: &&LedgerEntry| entry.reason == take::VOLUME_NOT_CAPTURED;
    Ok(BackupOutcome {
        snapshot: match &shared.writer {
            Some(writer) => writer.commit(record)?,
            None => record,
        },
        lists,
        volumes_without_data: ledger.iter().filter(is_volume).count() as u64,
        problems: ledger.into_iter().filter(|entry| entry.failed).take(PROBLEMS_MAX).collect(),
        notes: std::mem::take(&mut shared.notes.lock()),
    })
}

/// Everything that goes into the snapshot: the units, what they need, and at last the namespaces, which depend on what is in them.
fn take_all(
    shared: &Shared<'_>,
    ordered: &[Unit],
    units: &[Unit],
    namespaces: Option<&plan::Namespaces>,
    threads: NonZeroUsize,
) -> Result<Vec<Taken>> {
    let selectors: Vec<String> = shared.choice.selectors().iter().map(ToString::to_string).collect();
    let mut worker = Worker::new(shared)?;
    let mut all = Vec::new();
    for unit in ordered {
        all.push(worker.take(unit, Seen::Chosen, &selectors)?);
    }
    all.extend(take_in_parallel(shared, units, &selectors, threads)?);
    if all.iter().all(|taken| taken.lists.is_empty())
        && let Some(error) = all.iter_mut().find_map(|taken| taken.error.take())
    {
        return Err(ClusterError::NothingListed(error));
    }
    related::follow(shared, &mut worker, &mut all)?;
    if let Some(namespaces) = namespaces {
        let taken = take_namespaces(shared, &mut worker, namespaces, &all)?;
        all.push(taken);
    }
    worker.finish()?;
    Ok(all)
}

fn take_in_parallel(
    shared: &Shared<'_>,
    units: &[Unit],
    selectors: &[String],
    threads: NonZeroUsize,
) -> Result<Vec<Taken>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = Worker::new(shared)?;
        let mut taken = Vec::new();
        while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
            taken.push(worker.take(unit, Seen::Chosen, selectors)?);
        }
        worker.finish()?;
        Ok::<_, ClusterError>(taken)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let guarded = || {
            let result = work();
            if result.is_err() {
                shared.is_stopped.store(true, Ordering::Relaxed);
            }
            result
        };
        let workers: Vec<_> = (0..threads.get().min(units.len())).map(|_| scope.spawn(guarded)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a thread of a backup does not panic")).collect()
    });
    let mut all = Vec::new();
    let mut failure: Option<ClusterError> = None;
    for result in results {
        match result {
            Ok(taken) => all.extend(taken),
            // Those that were stopped say so; what stopped them is the cause.
            Err(error) if failure.as_ref().is_none_or(|it| it.kind() == ErrorKind::Interrupted) => {
                failure = Some(error);
            }
            Err(_) => {}
        }
    }
    failure.map_or(Ok(all), Err)
}

fn take_namespaces(
    shared: &Shared<'_>,
    worker: &mut Worker<'_, '_>,
    namespaces: &plan::Namespaces,
    all: &[Taken],
) -> Result<Taken> {
    let with_objects: HashSet<&[u8]> =
        all.iter().flat_map(|taken| taken.entries.iter().filter_map(|entry| entry.namespace())).collect();
    let rule = |head: &Head, object: &[u8]| -> Option<Rule> {
        let facts = NamespaceFacts {
            name: head.metadata.name.clone(),
            labels: head.metadata.labels.clone(),
            phase: plan::phase(object),
        };
        let has_objects = with_objects.contains(facts.name.as_bytes());
        shared.choice.leaves_out_namespace_object(&facts, has_objects).or_else(|| shared.choice.leaves_out(head))
    };
    if namespaces.are_listable {
        let unit = Unit { resource: namespaces.resource.clone(), namespaces: Vec::new(), are_most: false };
        return worker.take(&unit, Seen::By(&rule), &[]);
    }
    let names: Vec<_> = shared.choice.named_namespaces().map(|name| (None, name.to_owned())).collect();
    worker.fetch(&namespaces.resource, &names, Seen::By(&rule), "its objects are in the snapshot")
}

fn lists_of(repository: &Repository, parent: &SnapshotRecord, notes: &mut Vec<String>) -> Result<Lists> {
    match ObjectReader::new(repository)?.lists(parent) {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
            notes.push(format!("lists.json of snapshot {} cannot be read ({error})", parent.id));
            Ok(Lists::default())
        }
        result => result,
    }
}

fn summary(all: &[Taken]) -> Summary {
    let mut summary = Summary::default();
    for taken in all {
        summary.read_bytes += taken.read_bytes;
        for entry in &taken.entries {
            summary.objects += 1;
            summary.size_bytes += u64::from(entry.size_bytes);
            match entry.state {
                State::Unchanged => summary.unchanged += 1,
                State::Changed => summary.changed += 1,
                State::Added => summary.added += 1,
            }
        }
    }
    summary
}
