//! Reads directory trees: every entry with its stat, in the order of a file snapshot's tree keys.
//!
//! That order is depth first with names sorted by their bytes: a directory's entry, then all that is in it, then the next name.
//! Invariants: nothing is reached through a symlink below a root; what cannot be read is a step of the walk, at its place
//! in the order, and never ends it; memory is bounded by the window (`WalkOptions`) and the names of the directories being read.
//! Reading files, comparing with a former snapshot and the ledger are the backup's; what is left out is `filter`'s.

mod directory;
mod entry;
mod holes;
mod metadata;
mod owners;
mod roots;
mod schedule;

pub use directory::{Directory, raise_descriptor_limit};
pub use entry::{Batch, Entry, Kind, Stat};
pub use holes::{Run, Runs, runs};
pub use metadata::{XattrFailure, XattrReader, Xattrs, item};
pub use owners::Owners;
pub use roots::Root;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::Scope;

use rustix::io::Errno;

use crate::filter::Filter;
use roots::{Plan, PlannedEntry};
use schedule::{Output, Schedule, Scratch, listing_key, slice_key};

/// How far a walk reads ahead.
#[derive(Clone)]
pub struct WalkOptions {
    /// Threads that read directories ahead of the consumer.
    pub threads: NonZeroUsize,
    /// Entries that wait for the consumer, about; some 130 bytes each.
    pub entries_ahead_max: usize,
    /// Directories, or slices of them, that wait for the consumer: each may hold a descriptor, as does each level of depth
    /// ([`raise_descriptor_limit`]).
    pub directories_ahead_max: usize,
    /// Called at certain moments with the key of a directory, on the thread that is about to touch it: tests change the
    /// tree there.
    pub observer: Option<Arc<Observer>>,
}

pub type Observer = dyn Fn(Moment, &[u8]) + Send + Sync;

/// A moment in the reading of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Its entry was found; it is opened next.
    Opening,
    /// Its names are known; their stats are read next.
    Listed,
}

impl WalkOptions {
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads, entries_ahead_max: 64 << 10, directories_ahead_max: 256, observer: None }
    }

    fn announce(&self, moment: Moment, key: impl FnOnce() -> Vec<u8>) {
        if let Some(observer) = &self.observer {
            observer(moment, &key());
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    #[error("cannot read {path}")]
    RootUnreadable {
        path: String,
        #[source]
        source: Errno,
    },
    #[error("{path} is not an absolute path without `.` and `..`")]
    NotAbsolute { path: String },
    #[error("there is nothing to walk")]
    NoRoots,
}

/// What comes next in a walk.
#[derive(Debug, Clone)]
pub enum Step {
    Entries(Batch),
    /// A directory, whose entry came just before, could not be read, wholly or in part: what could be read follows. Or a root
    /// that was there when the walk began is no more.
    Unreadable {
        key: Vec<u8>,
        error: Errno,
    },
}

/// A stable word for why an entry or a directory could not be read, as the ledger uses it.
pub fn reason(error: Errno) -> &'static str {
    match error {
        Errno::NOENT | Errno::STALE => "vanished",
        // A directory was opened, or a file, and something else was there.
        Errno::NOTDIR | Errno::LOOP | Errno::NXIO => "replaced",
        _ => "unreadable",
    }
}

/// A walk under way: an iterator over its steps.
pub struct Walk {
    schedule: Arc<Schedule>,
    scratch: Scratch,
    plan: Plan,
    frames: Vec<Frame>,
    /// The directory whose entry was given last and whose contents come next.
    entering: Option<Vec<u8>>,
}

/// A directory that the walk is inside of.
struct Frame {
    output: Output,
    /// The next entry of the slice.
    at: usize,
    /// The next of the slice's directories to enter.
    entered: usize,
}

impl Walk {
    /// Begins a walk. Roots are sorted, and one inside another is dropped; the directories above them are entries too.
    ///
    /// # Errors
    /// A root that cannot be read: the user named it.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        roots: &[Root],
        filter: Arc<Filter>,
        options: WalkOptions,
    ) -> Result<Self, WalkError> {
        let plan = Plan::new(roots)?;
        let threads = options.threads.get();
        let schedule = Arc::new(Schedule::new(filter, options, plan.tasks()));
        for _ in 0..threads {
            let schedule = schedule.clone();
            scope.spawn(move || schedule.work());
        }
        Ok(Self { schedule, scratch: Scratch::default(), plan, frames: Vec::new(), entering: None })
    }

    /// Gives the contents of the directory whose entry came last, or why they cannot be read.
    fn enter(&mut self, key: Vec<u8>) -> Option<Step> {
        let output = self.schedule.fetch(&listing_key(&key), &mut self.scratch);
        let failure = output.failure;
        self.frames.push(Frame { output, at: 0, entered: 0 });
        failure.map(|error| Step::Unreadable { key, error })
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(key) = self.entering.take()
                && let Some(step) = self.enter(key)
            {
                return Some(step);
            }
            let Some(frame) = self.frames.last_mut() else {
                let PlannedEntry { step, entering } = self.plan.next()?;
                self.entering = entering;
                return Some(step);
            };
            let Some(slice) = frame.output.slice.clone() else {
                self.frames.pop();
                continue;
            };
            if frame.at < slice.found.len() {
                let start = frame.at;
                frame.at = slice.entered.get(frame.entered).map_or(slice.found.len(), |at| *at as usize + 1);
                if frame.entered < slice.entered.len() {
                    self.entering = Some(slice.listing.directory.key_of(slice.name_of_entered(frame.entered)));
                    frame.entered += 1;
                }
                return Some(Step::Entries(Batch { end: frame.at, slice, start }));
            }
            match frame.output.next_slice {
                Some(number) => {
                    let output = self.schedule.fetch(&slice_key(&slice.listing, number), &mut self.scratch);
                    *frame = Frame { output, at: 0, entered: 0 };
                }
                None => {
                    self.frames.pop();
                }
            }
        }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        // Workers end only when told: the walk cannot know that the consumer wants no more.
        self.schedule.stop();
    }
}
