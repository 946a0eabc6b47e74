//! Restoring directory trees.
//!
//! One thread walks the snapshot in the order of its keys, makes directories and decides what happens to each item; workers
//! fetch chunks, write files and set metadata. Invariants:
//! - nothing outside the target is written: everything is reached name by name from the target's descriptor, never through
//!   a link, and names that could lead elsewhere are refused (`target`);
//! - a file that has other names on the disk is replaced, never written into;
//! - one item that cannot be restored fails alone, and is named in the outcome;
//! - memory is bounded by the windows under way, whatever the size of the snapshot.

mod apply;
mod content;
mod delete;
mod metadata;
mod plan;
mod report;
mod selection;
mod target;
mod verify;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_repo::{Progress, RepoError, Repository};
use parking_lot::Mutex;

use self::metadata::Rights;
use self::report::Report;
use self::target::Directories;
use crate::error::FilesError;

pub use self::report::{Action, Note, RestoreCounts, RestoreOutcome};

/// What to restore, where to, and what may happen to what is there.
#[derive(Clone)]
pub struct RestoreOptions<'a> {
    /// Made where it is missing. Links in its path are followed: it is the user's word.
    pub target: PathBuf,
    /// The key of a part of the snapshot. What is in that directory lands in the target, which takes the directory's metadata; a
    /// file lands in it under its name. Without one, the target holds absolute paths and stays as it is itself.
    pub subtree: Option<Vec<u8>>,
    /// Globs as in [`crate::filter`]; where there are any, only what matches one or is inside what does is restored.
    pub include: Vec<String>,
    /// What matches one of these, and what is inside it, is neither restored nor deleted.
    pub exclude: Vec<String>,
    pub overwrite: Overwrite,
    /// Removes what the snapshot does not have from the directories that are restored.
    pub delete: bool,
    /// Changes nothing and reads no contents: only says what would be done.
    pub dry_run: bool,
    /// Reads everything again in the end and compares it with the snapshot.
    pub verify: bool,
    pub ownership: Ownership,
    pub threads: NonZeroUsize,
    /// What the whole process may hold in memory.
    pub memory_bytes: usize,
    /// Called with each item's key before anything happens to it, in order.
    pub each: Option<&'a Each<'a>>,
}

/// Called with what happens to an item, and its key.
pub type Each<'a> = dyn Fn(Action, &[u8]) + Sync + 'a;

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays as it is.
    Never,
    /// It is left alone where its size and modification time are the snapshot's; else only what differs is written.
    Changed,
    /// Its contents are compared whatever its times say; only what differs is written.
    Always,
}

/// Whether owners are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Where the process is allowed to give files away.
    WherePermitted,
    /// Everything belongs to whoever restores.
    Ignored,
}

/// Restores a snapshot, or a part of one.
///
/// # Errors
/// A repository that fails as a whole, a target that cannot be used or is full, a part that the snapshot does not have, or a
/// cancelled run. What goes wrong with one item is in the outcome.
pub fn restore(
    repository: &Repository,
    snapshot: &SnapshotRecord,
    options: &RestoreOptions<'_>,
    progress: &Progress,
) -> Result<RestoreOutcome, FilesError> {
    if snapshot.kind != SnapshotKind::Files {
        return Err(FilesError::NotFiles { snapshot: snapshot.id });
    }
    if options.delete && snapshot.incomplete {
        return Err(FilesError::DeleteByIncomplete { snapshot: snapshot.id });
    }
    let restore = Restore {
        repository,
        snapshot,
        options,
        progress,
        directories: Directories::open(&options.target, options.dry_run)?,
        report: Report::default(),
        rights: Rights::of_process(options.ownership),
        stopped: AtomicBool::new(false),
        error: Mutex::new(None),
    };
    let whole = options.subtree.is_none() && options.include.is_empty() && options.exclude.is_empty();
    if whole {
        Progress::add(&progress.items_total, snapshot.tree.items);
        Progress::add(&progress.bytes_total, snapshot.summary.size_bytes);
        progress.totals_known.store(true, Ordering::Relaxed);
    }
    restore.run()?;
    Ok(restore.report.finish())
}

/// One restore, shared by its threads.
struct Restore<'r> {
    repository: &'r Repository,
    snapshot: &'r SnapshotRecord,
    options: &'r RestoreOptions<'r>,
    progress: &'r Progress,
    directories: Directories,
    report: Report,
    rights: Rights,
    stopped: AtomicBool,
    error: Mutex<Option<FilesError>>,
}

impl Restore<'_> {
    fn run(&self) -> Result<(), FilesError> {
        plan::run(self)?;
        if self.options.verify && !self.options.dry_run {
            verify::run(self)?;
        }
        Ok(())
    }

    /// Remembers the first error and stops everybody.
    fn abort(&self, error: FilesError) {
        self.error.lock().get_or_insert(error);
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        if self.progress.is_cancelled() {
            self.abort(RepoError::Interrupted.into());
        }
        self.stopped.load(Ordering::Relaxed)
    }

    /// The error that stopped everybody.
    fn outcome(&self) -> Result<(), FilesError> {
        self.error.lock().take().map_or(Ok(()), Err)
    }

    /// Threads that fit into the budget.
    fn threads(&self) -> usize {
        let fitting = self.options.memory_bytes / 2 / apply::THREAD_BYTES_MAX;
        self.options.threads.get().min(fitting).max(1)
    }
}
