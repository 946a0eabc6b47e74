//! The marks: which records the listed snapshots need, up to date with the log as far as it was read.
//!
//! They go on from those of the last collection on this host (`resume`): what came since is counted, what went is taken back. Or they
//! are made anew, which is the same with nothing before.

mod resume;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;

use backstay_format::audit::Lost;
use backstay_format::ids::{ChunkId, PackId, SegmentId};
use backstay_format::pack::verify_pack_name;
use bytes::Bytes;
use parking_lot::Mutex;

use super::ATTEMPTS_MAX;
use super::references::{Named, References};
use super::saved::Counted;
use super::table::{Mark, PackUse, Prefix, Table, prefix, use_weight};
use crate::closure::{self, Role};
use crate::crew;
use crate::error::{self, RepoError, Result};
use crate::index::IndexResult;
use crate::names;
use crate::progress::Progress;
use crate::protocol::{State, affects_marks};
use crate::reader::Reader;
use crate::repository::Repository;
use crate::reserve;
use crate::store::ErrorKind;

/// Nodes that are read together, and those of them that one thread reads one after another.
const WAVE_NODES: usize = 256;
const PART_NODES: usize = 16;

pub(super) struct Marks<'r> {
    repository: &'r Repository,
    progress: &'r Progress,
    /// One for each thread that ever read nodes at the same time.
    readers: Mutex<Vec<Reader<'r>>>,
    references: References,
    table: Table,
    /// What the table counts.
    counted: Counted,
    /// They go on from those of the last collection.
    is_incremental: bool,
    /// The file of the last collection says the same.
    is_saved: bool,
    /// The newest entry that the marks know of.
    state: State,
    generation: u64,
    /// Nodes that were looked into although it could not be said whether that had been done.
    unclear: HashSet<ChunkId>,
    /// Other copies than those in these are preferred.
    avoided: BTreeSet<PackId>,
    /// To be rewritten, and not verified yet.
    pending: BTreeSet<PackId>,
    /// Found missing or damaged.
    damaged: BTreeSet<PackId>,
    /// Those of them that later collections would not know of.
    unsaved: BTreeSet<PackId>,
    /// The store was full, and its reserve was given up.
    was_full: bool,
    is_dry: bool,
    /// Put by this collection, with what it rewrote.
    own_segments: HashSet<SegmentId>,
    /// What each pack holds was not summed up for these marks: nothing may be let go by it.
    is_stale: bool,
}

impl<'r> Marks<'r> {
    /// Marks everything that is listed in the state as last read.
    ///
    /// # Errors
    /// [`RepoError::MissingRecord`] where something that is needed is in no index segment: until that is mended, nobody can say
    /// what is garbage.
    pub(super) fn new(repository: &'r Repository, progress: &'r Progress, is_dry: bool) -> Result<Self> {
        let references = References::open(
            &repository.options().cache,
            repository.config().repository,
            repository.keys().content_hash(b"references"),
        )?;
        let mut marks = Self {
            repository,
            progress,
            readers: Mutex::default(),
            references,
            table: Table::default(),
            counted: Counted::default(),
            is_incremental: false,
            is_saved: false,
            state: repository.state(),
            generation: 0,
            unclear: HashSet::new(),
            avoided: BTreeSet::new(),
            pending: BTreeSet::new(),
            damaged: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            was_full: false,
            is_dry,
            own_segments: HashSet::new(),
            is_stale: false,
        };
        if !marks.resume()? {
            marks.begin_anew()?;
        }
        let Self { references, table, counted, .. } = &mut marks;
        if let Err(error) = references.settle(counted.nodes, |id| table.is_counted(prefix(id))) {
            tracing::info!(%error, "references of tree nodes are read anew");
            references.begin_anew()?;
        }
        Ok(marks)
    }

    /// Marks everything that is listed, with nothing kept of the marks so far. Something that disappeared meanwhile is no damage where
    /// the log has grown since: another collection has let it go, or put it elsewhere.
    fn begin_anew(&mut self) -> Result<()> {
        self.generation += 1;
        let mut is_rebuilt = false;
        for _ in 1..ATTEMPTS_MAX {
            let error = match self.mark_listed() {
                Err(error) if may_be_let_go(&error) => error,
                done => return done,
            };
            self.repository.catch_up()?;
            if self.repository.state().slot() != self.state.slot() {
                tracing::debug!(%error, "the marks are made anew");
            } else if matches!(error, RepoError::MissingRecord { .. }) && !is_rebuilt {
                // Rows of the local index prove themselves, but it may lack some.
                tracing::info!(%error, "the local index is built anew, as it lacks a record that is needed");
                self.repository.rebuild_index()?;
                is_rebuilt = true;
            } else {
                return Err(error);
            }
        }
        self.mark_listed()
    }

    fn mark_listed(&mut self) -> Result<()> {
        self.state = self.repository.state();
        self.unclear.clear();
        self.counted = Counted::default();
        (self.is_incremental, self.is_saved, self.is_stale) = (false, false, true);
        // Never two of them in memory.
        self.table = Table::default();
        self.table = match Table::new(self.repository.index()?) {
            Err(RepoError::Index(error)) if error.is_damage() => {
                tracing::info!(%error, "the local index cannot be read");
                self.repository.rebuild_index()?;
                Table::new(self.repository.index()?)?
            }
            table => table?,
        };
        self.repository.index()?.release_memory()?;
        for pack in &self.avoided {
            self.table.suspect(pack);
        }
        for pack in &self.pending {
            self.table.set_pending(pack, true);
        }
        self.progress.items_total.store(self.state.listed().len() as u64, Ordering::Relaxed);
        self.progress.totals_known.store(true, Ordering::Relaxed);
        let listed: Vec<_> = self.state.listed().values().map(|listed| listed.record.clone()).collect();
        for (number, record) in (1..).zip(&listed) {
            self.walk(closure::roots(record))?;
            self.progress.items_done.fetch_max(number, Ordering::Relaxed);
        }
        self.suspect_what_the_walk_met()?;
        self.choose_once()
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn base(&self) -> u64 {
        self.state.slot()
    }

    pub(super) fn packs(&self) -> &[PackUse] {
        self.table.packs()
    }

    pub(super) fn pack(&self, id: &PackId) -> Option<&PackUse> {
        self.table.pack(id)
    }

    /// Whether the chosen copy of a record is in this pack.
    pub(super) fn is_kept(&self, id: &ChunkId, pack: &PackId) -> bool {
        self.table.is_kept(id, pack)
    }

    /// The same, or its chosen copy is in a pack that is to be rewritten and of which nobody knows yet whether it can be read.
    pub(super) fn is_wanted(&self, id: &ChunkId, pack: &PackId) -> bool {
        self.table.is_wanted(id, pack)
    }

    /// Says whether a pack is to be rewritten and not verified yet.
    pub(super) fn set_pending(&mut self, pack: &PackId, is_pending: bool) {
        if is_pending {
            self.pending.insert(*pack);
        } else {
            self.pending.remove(pack);
        }
        self.table.set_pending(pack, is_pending);
    }

    /// Says that this collection has put a segment, of records of packs that were there when the marks were made.
    pub(super) fn expect_own(&mut self, segment: SegmentId) {
        self.own_segments.insert(segment);
    }

    /// Packs that were found missing or damaged.
    pub(super) fn damaged(&self) -> &BTreeSet<PackId> {
        &self.damaged
    }

    /// Records of the index, by places.
    pub(super) fn rows(&self) -> u64 {
        self.table.rows() as u64
    }

    /// Whether they go on from those of the last collection on this host.
    pub(super) fn is_incremental(&self) -> bool {
        self.is_incremental
    }

    /// Nodes that are needed.
    pub(super) fn nodes(&self) -> u64 {
        self.counted.nodes
    }

    /// Brings the marks up to date with the log: only trees of snapshots that joined since are walked.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        if self.read_on()? { self.choose() } else { Ok(()) }
    }

    /// The same, when an entry of this collection's own was appended that moved what is needed from packs into others. What it
    /// left in each pack is summed up by [`Self::sum_up`], once after many.
    pub(super) fn catch_up_with_own(&mut self, slot: u64) -> Result<()> {
        let is_next = self.base() + 1 == slot;
        let is_affected = self.read_on()?;
        if is_next && self.base() == slot {
            self.is_stale = true;
            return Ok(());
        }
        if is_affected { self.choose() } else { Ok(()) }
    }

    /// Sees to it that what each pack holds is summed up for these marks, whatever failed on the way here.
    pub(super) fn sum_up(&mut self) -> Result<()> {
        if self.is_stale { self.choose() } else { Ok(()) }
    }

    /// Says whether the choice of copies may have changed.
    fn read_on(&mut self) -> Result<bool> {
        self.repository.catch_up()?;
        let state = self.repository.state();
        if state.slot() == self.state.slot() {
            return Ok(false);
        }
        match self.follow(state) {
            // What was marked for a snapshot that is forgotten since may be gone by now, and so may what this state names.
            Err(error) if may_be_let_go(&error) => self.begin_anew().map(|()| true),
            followed => followed,
        }
    }

    fn follow(&mut self, state: State) -> Result<bool> {
        let changes = self.repository.changes_after(self.state.slot());
        let changes: Vec<_> = changes.into_iter().filter(|(slot, _)| *slot <= state.slot()).collect();
        let is_affected = changes.iter().any(|(_, change)| affects_marks(change));
        self.is_stale |= is_affected;
        self.is_saved &= !is_affected;
        for (_, change) in &changes {
            self.table.retire(&change.packs_retired);
        }
        for record in changes.iter().flat_map(|(_, change)| &change.segments_added) {
            // One that was removed again is replaced by another of these entries, or was never needed.
            if state.segments().contains_key(&record.id) {
                let segment = self.repository.fetch_segment(&record.id)?;
                let is_own = self.own_segments.contains(&record.id);
                self.table.add_segment(&segment, is_own, |pack| state.is_pack_valid_in(segment.base, pack));
            }
        }
        let mut joined = Vec::new();
        for (_, change) in &changes {
            joined.extend(change.snapshots_added.iter().map(|record| record.id));
            joined.extend(change.snapshots_restored.iter().copied());
        }
        self.state = state;
        for id in joined {
            if let Some(listed) = self.state.listed().get(&id).cloned() {
                self.walk(closure::roots(&listed.record))?;
            }
        }
        self.suspect_what_the_walk_met()?;
        self.generation += u64::from(is_affected);
        Ok(is_affected)
    }

    /// Changes whenever the choice of copies may have changed.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Says that packs were found damaged: other copies of what they hold are preferred from now on, by every later collection too.
    pub(super) fn suspect(&mut self, packs: &[PackId]) -> Result<()> {
        self.prefer_others(packs);
        self.choose()?;
        let found: BTreeSet<PackId> = packs.iter().copied().filter(|pack| !self.damaged.contains(pack)).collect();
        self.remember_damage(found)
    }

    /// Copies that a read passed over because they are missing or damaged.
    fn suspect_what_the_walk_met(&mut self) -> Result<()> {
        let readers = self.readers.get_mut().iter_mut();
        let passed_over: BTreeSet<PackId> = readers.flat_map(Reader::take_passed_over).collect();
        if passed_over.is_empty() {
            return Ok(());
        }
        let let_go = self.repository.let_go();
        let mut found = BTreeSet::new();
        for pack in passed_over {
            // A pack that was let go is no damage.
            if !let_go.packs.contains_key(&pack) && read_pack(self.repository, &pack)?.is_none() {
                found.insert(pack);
            }
        }
        self.prefer_others(&found.iter().copied().collect::<Vec<_>>());
        self.remember_damage(found)
    }

    /// Says the same of packs that an audit found damaged.
    pub(super) fn prefer_others(&mut self, packs: &[PackId]) {
        self.avoided.extend(packs);
        for pack in packs {
            self.table.suspect(pack);
        }
        self.generation += 1;
    }

    /// Adds to what is known to be damaged; a check takes away again what was mended. Without this a later run would trust
    /// what this one did not, and let the intact copy go.
    fn remember_damage(&mut self, found: BTreeSet<PackId>) -> Result<()> {
        self.damaged.extend(&found);
        self.unsaved.extend(found);
        self.save_damage()
    }

    /// Sees to it that later collections know of all damage that this one goes by.
    pub(super) fn save_damage(&mut self) -> Result<()> {
        if self.unsaved.is_empty() || self.is_dry {
            return Ok(());
        }
        let known = self.repository.damaged()?.unwrap_or_default();
        let mut damaged = known.clone();
        for pack in &self.unsaved {
            damaged.packs.entry(*pack).or_insert(Lost::All);
        }
        if damaged != known {
            match self.repository.save_damaged(&damaged) {
                Err(error) if error.kind() == error::ErrorKind::Full && reserve::give_up(self.repository.store())? => {
                    self.was_full = true;
                    self.repository.save_damaged(&damaged)?;
                }
                saved => saved?,
            }
        }
        self.unsaved.clear();
        Ok(())
    }

    /// Whether the store was full when damage was to be saved, and has given up its reserve.
    pub(super) fn was_full(&self) -> bool {
        self.was_full
    }

    pub(super) fn choose(&mut self) -> Result<()> {
        match self.choose_once() {
            // It may have been marked for a snapshot that is forgotten since.
            Err(error) if may_be_let_go(&error) => self.begin_anew(),
            done => done,
        }
    }

    fn choose_once(&mut self) -> Result<()> {
        if let Some(start) = self.table.choose() {
            return Err(RepoError::LostRecord { start });
        }
        self.is_stale = false;
        Ok(())
    }

    /// Counts what snapshots name, and what those nodes of it name that were not counted yet.
    fn walk(&mut self, roots: impl IntoIterator<Item = (ChunkId, Role)>) -> Result<()> {
        let mut todo = Vec::new();
        for (id, role) in roots {
            match role {
                Role::Node => todo.extend(self.use_node(id)?),
                Role::Data if self.table.add_use(prefix(&id)) => {}
                Role::Data => return Err(RepoError::MissingRecord { id }),
            }
            self.counted.roots.push((id, role));
            self.counted.weight = self.counted.weight.wrapping_add(use_weight(prefix(&id)));
        }
        while !todo.is_empty() {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let mut wave = todo.split_off(todo.len().saturating_sub(WAVE_NODES));
            wave.reverse();
            let first_new = todo.len();
            self.counted.nodes += wave.len() as u64;
            for (id, named) in wave.iter().zip(self.named(&wave)?) {
                self.counted.weight = self.counted.weight.wrapping_add(named.weight(id));
                for data in named.data {
                    if !self.table.add_use(data) {
                        return Err(missing(self.repository, id, data));
                    }
                }
                for node in named.nodes {
                    todo.extend(self.use_node(node)?);
                }
            }
            // The first child comes first: nodes lie in the order of their keys.
            todo[first_new..].reverse();
        }
        Ok(())
    }

    /// Counts a naming of a node; gives it back where it is to be looked into.
    fn use_node(&mut self, id: ChunkId) -> Result<Option<ChunkId>> {
        match self.table.use_node(prefix(&id)) {
            Mark::Missing => Err(RepoError::MissingRecord { id }),
            Mark::New => Ok(Some(id)),
            Mark::Known => Ok(None),
            Mark::Unclear => Ok(self.unclear.insert(id).then_some(id)),
        }
    }

    /// What each of these nodes names: as it is remembered, or read, on all cores.
    fn named(&mut self, ids: &[ChunkId]) -> Result<Vec<Named>> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(self.remembered(|references| references.get(id))?.flatten());
        }
        let unknown: Vec<ChunkId> =
            ids.iter().zip(&found).filter(|(_, named)| named.is_none()).map(|(id, _)| *id).collect();
        let parts: Vec<&[ChunkId]> = unknown.chunks(PART_NODES).collect();
        let repository = self.repository;
        let readers = &self.readers;
        let read = crew::map(repository.store(), crew::cores(), &parts, |part| {
            let spare = readers.lock().pop();
            let mut reader = spare.map_or_else(|| repository.reader(), Ok)?;
            let named = part.iter().map(|id| closure::references(&mut reader, id).map(Named::of)).collect();
            // After an error too: it knows which copies it passed over.
            readers.lock().push(reader);
            named
        })?;
        let mut read = read.into_iter().flat_map(|part: Vec<Named>| part);
        for (id, named) in ids.iter().zip(&mut found).filter(|(_, named)| named.is_none()) {
            let copy = named.insert(read.next().expect("each was read")).clone();
            self.remembered(|references| references.put(*id, copy))?;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Asks the cache; one that cannot answer begins anew, and then answers nothing.
    fn remembered<T>(&mut self, ask: impl FnOnce(&mut References) -> IndexResult<T>) -> Result<Option<T>> {
        match ask(&mut self.references) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                tracing::info!(%error, "references of tree nodes are read anew");
                self.references.begin_anew()?;
                Ok(None)
            }
        }
    }
}

/// Whether another collection that has gone on explains it.
fn may_be_let_go(error: &RepoError) -> bool {
    matches!(error.kind(), error::ErrorKind::Corrupt | error::ErrorKind::NotFound)
}

/// The bytes of a pack that is what its name says; nothing of one that is missing or damaged.
pub(super) fn read_pack(repository: &Repository, pack: &PackId) -> Result<Option<Bytes>> {
    // What was damaged on its way arrives at the second try.
    for _ in 0..2 {
        match repository.store().get(&names::pack(pack)) {
            Ok(bytes) if verify_pack_name(*pack, &bytes).is_ok() => return Ok(Some(bytes)),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The full name of the record that a node names and nobody has.
fn missing(repository: &Repository, node: &ChunkId, start: Prefix) -> RepoError {
    match repository.reader().and_then(|mut reader| closure::references(&mut reader, node)) {
        Ok(references) => match references.chunks.into_iter().find(|chunk| prefix(chunk) == start) {
            Some(id) => RepoError::MissingRecord { id },
            None => RepoError::MissingRecord { id: *node },
        },
        Err(error) => error,
    }
}
