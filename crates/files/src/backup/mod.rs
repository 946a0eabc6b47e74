//! Backing up directory trees.
//!
//! One thread merges what the walker finds with the parent snapshot and puts items into the tree, in order; workers read,
//! cut, hash and seal. Memory is bounded by the window of entries under way, whatever the size of the source.
//! A run saves its progress every few minutes; the next one goes on from there.

mod assemble;
mod large;
mod parents;
mod stream;
mod work;

pub use stream::{StreamOptions, backup_stream};

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backstay_format::chunker::Chunker;
use backstay_format::log::{LedgerRef, SnapshotKind, SnapshotRecord, Summary, TreeRef};
use backstay_format::tree::Time;
use backstay_repo::{Progress, RepoError, Repository, new_snapshot_id, timestamp_text};
use crossbeam_channel::{bounded, unbounded};

use self::assemble::Assembler;
use self::work::{Job, Shared, work};
use crate::error::FilesError;
use crate::filter::{Filter, FilterOptions};
use crate::walk::{Owners, Root, Walk, WalkOptions, raise_descriptor_limit};

/// An entry changed so shortly before the scan may change again without its times showing it: clocks of file systems are coarse.
const RACY_SECONDS: i64 = 2;
/// Jobs that wait for a worker.
const JOBS_QUEUED_MAX: usize = 64;

/// A worker's buffers and compression contexts, with chunks of the usual sizes.
const WORKER_BYTES: usize = 12 << 20;

/// Workers that the memory allows for: packs under way, the window of entries and the local index take the other part.
fn workers(threads: NonZeroUsize, memory_bytes: usize) -> usize {
    threads.get().min((memory_bytes / 8 * 3 / WORKER_BYTES).max(1))
}

/// What to back up, and under which name.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Absolute paths without `.` and `..`.
    pub paths: Vec<PathBuf>,
    pub identity: Identity,
    pub filter: FilterOptions,
    /// How data is cut; where nothing is said, as in the parent.
    pub profile: Option<String>,
    /// Read every file, whatever its times say.
    pub rehash: bool,
    /// Only count what would be read.
    pub dry_run: bool,
    pub threads: NonZeroUsize,
    /// Progress is saved so often.
    pub save_interval: Duration,
}

/// What a snapshot is called and labelled with.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    pub source: String,
    pub host: String,
    pub user: String,
    pub tags: Vec<String>,
    /// RFC 3339.
    pub expires: Option<String>,
}

/// How often progress is saved: what an interruption may cost.
pub const SAVE_INTERVAL_DEFAULT: Duration = Duration::from_mins(5);

/// A finished backup.
#[derive(Debug, Clone)]
pub struct BackupOutcome {
    /// Not in the repository where it was a dry run.
    pub snapshot: SnapshotRecord,
    /// Entries of the ledger that make the snapshot partial, for a first look: the first of them.
    pub problems: Vec<backstay_format::log::LedgerEntry>,
}

/// Backs directory trees up.
///
/// # Errors
/// A root that cannot be read, a repository that fails, or a cancelled run, whose progress is then saved. What cannot be read below
/// the roots is in the snapshot's ledger instead.
pub fn backup(
    repository: &Repository,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupOutcome, FilesError> {
    let started = repository.clock().now();
    // A walk holds a descriptor for each level that it is deep.
    raise_descriptor_limit();
    let roots = options
        .paths
        .iter()
        .map(|path| Root::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())))
        .collect::<Result<Vec<_>, _>>()?;
    let filter = Arc::new(Filter::new(&options.filter)?);
    let (complete, incomplete) = repository.parents_of(&options.identity.source);
    let (profile, chunker) =
        chunker(repository, options.profile.as_deref(), complete.as_ref().or(incomplete.as_ref()))?;
    let writer = repository.begin()?;
    let draft =
        Draft { repository, options, profile, started, incomplete: incomplete.as_ref().map(|parent| parent.id) };
    let racy_from = Time { seconds: started.as_second() - RACY_SECONDS, nanoseconds: 0 };
    let threads = workers(options.threads, repository.options().memory_bytes);
    let shared = Shared::new(&writer, chunker, Owners::of_host(), progress, racy_from, threads);
    // What is lost of a parent is found in the source only if the source is read.
    let parents = [incomplete, complete].into_iter().flatten().filter(|parent| !writer.is_damaged(&parent.id));
    let walked = std::thread::scope(|scope| {
        let walk = Walk::start(scope, &roots, filter.clone(), WalkOptions::new(options.threads))?;
        let (jobs, job_queue) = bounded(JOBS_QUEUED_MAX);
        #[expect(clippy::disallowed_methods, reason = "bounded by the window: one message a job under way")]
        let (done, results) = unbounded();
        if !options.dry_run {
            for _ in 0..threads {
                let (shared, queue, wake, done) = (&shared, job_queue.clone(), jobs.clone(), done.clone());
                scope.spawn(move || work(shared, &queue, &wake, &done));
            }
        }
        drop((job_queue, done));
        let assembler = Assembler::new(&draft, &shared, parents, &jobs, &results);
        let result = assembler.and_then(|assembler| assembler.run(walk));
        if result.is_err() {
            shared.stop();
        }
        for _ in 0..threads {
            // A worker that has failed does not listen any more.
            let _ = jobs.send_timeout(Job::End, Duration::from_hours(1));
        }
        result
    });
    if let Some(error) = shared.take_error() {
        return Err(error.into());
    }
    let assembled = walked?;
    let mut ledger = if options.dry_run { LedgerRef::default() } else { writer.write_ledger(&assembled.ledger)? };
    ledger.filtered = filter.counts();
    let mut summary = assembled.summary;
    finish_summary(&mut summary, repository, started);
    let record = draft.record(new_snapshot_id()?, assembled.tree, summary, ledger);
    let problems = assembled.ledger.into_iter().filter(|entry| entry.failed).take(20).collect();
    let snapshot = if options.dry_run { record } else { writer.commit(record)? };
    Ok(BackupOutcome { snapshot, problems })
}

/// The profile that was asked for, or the parent's, and what cuts by it.
fn chunker(
    repository: &Repository,
    asked: Option<&str>,
    parent: Option<&SnapshotRecord>,
) -> Result<(String, Chunker), FilesError> {
    let name = asked.or(parent.map(|parent| &parent.profile[..])).unwrap_or_default().to_owned();
    let Some(chunking) = repository.config().chunking.by_name(&name) else {
        return Err(FilesError::UnknownProfile { name });
    };
    match Chunker::new(chunking, repository.keys()) {
        Ok(chunker) => Ok((name, chunker)),
        Err(source) => Err(FilesError::Profile { name, source }),
    }
}

/// Everything about the snapshot that is known from the start.
struct Draft<'r> {
    repository: &'r Repository,
    options: &'r BackupOptions,
    profile: String,
    started: jiff::Timestamp,
    /// Left by an unfinished run; superseded by this one.
    incomplete: Option<backstay_format::ids::SnapshotId>,
}

impl Draft<'_> {
    fn record(
        &self,
        id: backstay_format::ids::SnapshotId,
        tree: TreeRef,
        summary: Summary,
        ledger: LedgerRef,
    ) -> SnapshotRecord {
        let paths = self.options.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        record(self.repository, &self.options.identity, paths, &self.profile, self.started, id, tree, summary, ledger)
    }
}

fn record(
    repository: &Repository,
    identity: &Identity,
    paths: Vec<String>,
    profile: &str,
    started: jiff::Timestamp,
    id: backstay_format::ids::SnapshotId,
    tree: TreeRef,
    summary: Summary,
    ledger: LedgerRef,
) -> SnapshotRecord {
    SnapshotRecord {
        finished: repository.clock().now_text(),
        host: identity.host.clone(),
        user: identity.user.clone(),
        program: repository.options().program.clone(),
        paths,
        summary,
        ledger,
        profile: profile.to_owned(),
        tags: identity.tags.clone(),
        expires: identity.expires.clone(),
        ..SnapshotRecord::new(id, SnapshotKind::Files, &identity.source, &timestamp_text(started), tree)
    }
}

fn finish_summary(summary: &mut Summary, repository: &Repository, started: jiff::Timestamp) {
    let elapsed = repository.clock().now().duration_since(started);
    summary.duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(0);
}

/// What stands between a finished walk and its commit.
fn interrupted<T>() -> Result<T, FilesError> {
    Err(FilesError::Repository(RepoError::Interrupted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_the_workers_and_one_is_always_left() {
        let many = NonZeroUsize::new(64).expect("not zero");
        assert_eq!(workers(many, 256 << 20), 8);
        assert_eq!(workers(many, 1 << 20), 1);
        assert_eq!(workers(NonZeroUsize::MIN, 256 << 20), 1);
    }
}
