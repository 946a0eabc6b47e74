//! Reads directories ahead of whoever consumes the walk, in the order of the walk, within bounds.
//!
//! Work waits in a map ordered by tree key: a worker takes what the consumer will need first. Results wait in a second map
//! until the consumer comes for them. The consumer does itself what nobody has begun when it needs it; so a full window can
//! stop the workers but never the walk, and neither needs to know how the other is bounded.
//!
//! The unit of work is a directory with its first slice of entries, or one more slice of a large directory.

use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;

use super::directory::{Directory, Hint, Listing, Names};
use super::entry::{Found, Kind, Slice};
use super::{Moment, WalkOptions};
use crate::filter::{Filter, MatchScratch, Reason};

/// Entries whose stats are read in one go.
const SLICE_ENTRIES: usize = 1024;
/// Holds a few thousand names; file systems give a directory in pieces of this size.
const DIRENTS_BYTES: usize = 64 << 10;

/// Work and results of one walk.
pub(super) struct Schedule {
    pub(super) filter: Arc<Filter>,
    options: WalkOptions,
    state: Mutex<State>,
    /// Signalled when there may be something to do for a worker.
    work: Condvar,
    /// Signalled when a worker has finished something.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// Not begun, by the key of what each cursor gives next.
    pending: BTreeMap<Vec<u8>, Cursor>,
    /// Finished and not yet consumed.
    finished: HashMap<Vec<u8>, Output>,
    entries_ahead: usize,
    directories_ahead: usize,
    workers_waiting: usize,
    stopped: bool,
}

/// A row of tasks; only the first is in the map of pending work.
enum Cursor {
    Root(RootTask),
    /// The subdirectories of a slice, from the given one on.
    Children {
        slice: Arc<Slice>,
        at: usize,
    },
    /// The slices of a large directory, from the given one on.
    Slices {
        listing: Arc<Listing>,
        marked: Option<Marked>,
        at: usize,
    },
}

/// A directory that the user named.
pub(super) struct RootTask {
    pub(super) parent_key: Vec<u8>,
    pub(super) name: Vec<u8>,
}

enum Task {
    Root(RootTask),
    Child { slice: Arc<Slice>, at: usize },
    Slice { listing: Arc<Listing>, marked: Option<Marked>, at: usize },
}

/// The marker found in a directory: all else is left out.
#[derive(Clone)]
struct Marked {
    reason: Reason,
    name: Vec<u8>,
}

/// What a task found.
#[derive(Default)]
pub(super) struct Output {
    /// Why a directory could not be read, wholly or from some name on.
    pub(super) failure: Option<Errno>,
    pub(super) slice: Option<Arc<Slice>>,
    /// Whether more slices of the same directory come.
    pub(super) next_slice: Option<usize>,
}

/// Buffers of one thread.
pub(super) struct Scratch {
    dirents: Box<[MaybeUninit<u8>]>,
    path: Vec<u8>,
    matches: MatchScratch,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { dirents: Box::new_uninit_slice(DIRENTS_BYTES), path: Vec::new(), matches: MatchScratch::default() }
    }
}

/// The key of the task that lists a directory: behind its entry, before its contents.
pub(super) fn listing_key(directory_key: &[u8]) -> Vec<u8> {
    [directory_key, &[0]].concat()
}

/// The key of the task that reads a slice: the key of its first entry.
pub(super) fn slice_key(listing: &Listing, at: usize) -> Vec<u8> {
    listing.directory.key_of(listing.names.bytes(listing.names.sorted()[at * SLICE_ENTRIES]))
}

impl Schedule {
    pub(super) fn new(
        filter: Arc<Filter>,
        options: WalkOptions,
        roots: impl Iterator<Item = (Vec<u8>, RootTask)>,
    ) -> Self {
        let pending = roots.map(|(key, task)| (listing_key(&key), Cursor::Root(task))).collect();
        let state = Mutex::new(State { pending, ..State::default() });
        Self { filter, options, state, work: Condvar::new(), done: Condvar::new() }
    }

    /// Works until everything is read or the walk is dropped.
    pub(super) fn work(&self) {
        let _on_panic = StopOnPanic(self);
        let mut scratch = Scratch::default();
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return;
            }
            let may_read = state.entries_ahead < self.options.entries_ahead_max
                && state.directories_ahead < self.options.directories_ahead_max;
            let first = if may_read { state.pending.first_key_value().map(|(key, _)| key.clone()) } else { None };
            let Some((key, task)) = first.and_then(|key| state.take(&key).map(|task| (key, task))) else {
                state.workers_waiting += 1;
                self.work.wait(&mut state);
                state.workers_waiting -= 1;
                continue;
            };
            let (output, cursors) = MutexGuard::unlocked(&mut state, || self.perform(task, &mut scratch));
            state.directories_ahead += 1;
            state.entries_ahead += output.entries();
            state.pending.extend(cursors);
            state.finished.insert(key, output);
            self.done.notify_one();
            if !state.pending.is_empty() && state.workers_waiting > 0 {
                self.work.notify_one();
            }
        }
    }

    /// The result of a task that is known to exist and that nobody else consumes.
    ///
    /// # Panics
    /// When a worker did: a walk that ended early would be taken for a complete one.
    pub(super) fn fetch(&self, key: &[u8], scratch: &mut Scratch) -> Output {
        let mut state = self.state.lock();
        loop {
            if let Some(output) = state.finished.remove(key) {
                state.directories_ahead -= 1;
                state.entries_ahead -= output.entries();
                // Woken only when half the window is free, workers do not go back to sleep after one directory.
                let has_room = state.entries_ahead <= self.options.entries_ahead_max / 2
                    && state.directories_ahead <= self.options.directories_ahead_max / 2;
                if has_room && state.workers_waiting > 0 && !state.pending.is_empty() {
                    self.work.notify_all();
                }
                return output;
            }
            if let Some(task) = state.take(key) {
                let (output, cursors) = MutexGuard::unlocked(&mut state, || self.perform(task, scratch));
                state.pending.extend(cursors);
                if state.workers_waiting > 0 && !state.pending.is_empty() {
                    self.work.notify_all();
                }
                return output;
            }
            assert!(!state.stopped, "a thread of the walk panicked");
            self.done.wait(&mut state);
        }
    }

    /// Lets the workers end.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.work.notify_all();
        self.done.notify_all();
    }

    fn perform(&self, task: Task, scratch: &mut Scratch) -> (Output, Vec<(Vec<u8>, Cursor)>) {
        let (listing, marked, at, failure) = match task {
            Task::Slice { listing, marked, at } => (listing, marked, at, None),
            Task::Root(root) => {
                let parent = Directory::open_above(&root.parent_key);
                match parent.and_then(|parent| parent.open_root(&root.name)) {
                    Ok(directory) => self.list(directory, scratch),
                    Err(error) => return (Output { failure: Some(error), ..Output::default() }, Vec::new()),
                }
            }
            Task::Child { slice, at } => {
                let name = slice.name_of_entered(at);
                let parent = &slice.listing.directory;
                self.options.announce(Moment::Opening, || parent.key_of(name));
                match parent.open_child(name) {
                    Ok(directory) => self.list(directory, scratch),
                    Err(error) => return (Output { failure: Some(error), ..Output::default() }, Vec::new()),
                }
            }
        };
        let names = listing.names.sorted().len();
        let mut output = Output { failure, ..Output::default() };
        let mut cursors = Vec::new();
        if names == 0 {
            return (output, cursors);
        }
        let slice = Arc::new(self.read_slice(&listing, marked.as_ref(), at, scratch));
        if !slice.entered.is_empty() {
            let cursor = Cursor::Children { slice: slice.clone(), at: 0 };
            cursors.push((cursor.key(), cursor));
        }
        output.slice = Some(slice);
        if names > (at + 1) * SLICE_ENTRIES {
            output.next_slice = Some(at + 1);
            // The cursor of a directory is made once and then moves on by itself.
            if at == 0 {
                let cursor = Cursor::Slices { listing, marked, at: 1 };
                cursors.push((cursor.key(), cursor));
            }
        }
        (output, cursors)
    }

    fn list(
        &self,
        directory: Directory,
        scratch: &mut Scratch,
    ) -> (Arc<Listing>, Option<Marked>, usize, Option<Errno>) {
        let (names, failure) = Names::read(&directory, &mut scratch.dirents);
        let mut markers = self.filter.markers();
        let marked = markers.find_map(|(reason, marker)| {
            let is_marked = names.contains(&marker.name)
                && (marker.header.is_empty() || directory.file_begins_with(&marker.name, &marker.header));
            is_marked.then(|| Marked { reason, name: marker.name.clone() })
        });
        self.options.announce(Moment::Listed, || directory.key().to_vec());
        (Arc::new(Listing { directory: Arc::new(directory), names }), marked, 0, failure)
    }

    fn read_slice(&self, listing: &Arc<Listing>, marked: Option<&Marked>, at: usize, scratch: &mut Scratch) -> Slice {
        let directory = &listing.directory;
        let names = &listing.names.sorted()[at * SLICE_ENTRIES..];
        let names = &names[..names.len().min(SLICE_ENTRIES)];
        let mut slice = Slice { listing: listing.clone(), found: Vec::with_capacity(names.len()), entered: Vec::new() };
        scratch.path.clear();
        scratch.path.extend(directory.key().iter().map(|byte| if *byte == 0 { b'/' } else { *byte }));
        if !scratch.path.is_empty() {
            scratch.path.push(b'/');
        }
        let directory_len = scratch.path.len();
        for name in names {
            let bytes = listing.names.bytes(*name);
            if let Some(marked) = marked.filter(|marked| marked.name != bytes) {
                self.filter.count(marked.reason, 1);
                continue;
            }
            // Excluded before anything touches it: what hangs or fails when looked at is often the reason to exclude it.
            let by_rule = |is_directory, scratch: &mut Scratch| {
                scratch.path.truncate(directory_len);
                scratch.path.extend_from_slice(bytes);
                let root_len = directory.root_key_len();
                let relative = &scratch.path[if root_len == 0 { 0 } else { root_len + 1 }..];
                let reason = self.filter.excludes(&scratch.path, relative, is_directory, &mut scratch.matches)?;
                self.filter.count(reason, 1);
                Some(reason)
            };
            if self.filter.has_rules()
                && name.hint() != Hint::Unknown
                && by_rule(name.hint() == Hint::Directory, scratch).is_some()
            {
                continue;
            }
            let stat = directory.stat(bytes);
            if let Ok(stat) = &stat {
                if self.filter.has_rules()
                    && name.hint() == Hint::Unknown
                    && by_rule(stat.is_directory(), scratch).is_some()
                {
                    continue;
                }
                if stat.kind == Kind::File
                    && let Some(reason) = self.filter.excludes_size(stat.size_bytes)
                {
                    self.filter.count(reason, 1);
                    continue;
                }
                if stat.is_directory() {
                    match self.filter.excludes_device(stat.device, directory.root_device()) {
                        Some(reason) => self.filter.count(reason, 1),
                        None => slice.entered.push(slice.found.len() as u32),
                    }
                }
            }
            slice.found.push(Found { name: *name, stat });
        }
        slice
    }
}

impl State {
    /// Takes the task with this key off its cursor.
    fn take(&mut self, key: &[u8]) -> Option<Task> {
        let (task, rest) = match self.pending.remove(key)? {
            Cursor::Root(root) => (Task::Root(root), None),
            Cursor::Children { slice, at } => {
                let rest =
                    (at + 1 < slice.entered.len()).then(|| Cursor::Children { slice: slice.clone(), at: at + 1 });
                (Task::Child { slice, at }, rest)
            }
            Cursor::Slices { listing, marked, at } => {
                let has_more = listing.names.sorted().len() > (at + 1) * SLICE_ENTRIES;
                let next = || Cursor::Slices { listing: listing.clone(), marked: marked.clone(), at: at + 1 };
                let rest = has_more.then(next);
                (Task::Slice { listing, marked, at }, rest)
            }
        };
        self.pending.extend(rest.map(|cursor| (cursor.key(), cursor)));
        Some(task)
    }
}

impl Cursor {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Root(root) => {
                let separator: &[u8] = if root.parent_key.is_empty() { &[] } else { &[0] };
                listing_key(&[&root.parent_key, separator, &root.name].concat())
            }
            Self::Children { slice, at } => listing_key(&slice.listing.directory.key_of(slice.name_of_entered(*at))),
            Self::Slices { listing, at, .. } => slice_key(listing, *at),
        }
    }
}

impl Output {
    fn entries(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.found.len())
    }
}

/// A worker that panics must not leave the consumer waiting for its result.
struct StopOnPanic<'s>(&'s Schedule);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
