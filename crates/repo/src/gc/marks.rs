//! The marks: which records the listed snapshots need, up to date with the log as far as it was read.

use backstay_format::ids::{ChunkId, PackId};

use super::references::{Named, References};
use super::table::{Mark, PackUse, Prefix, Table, prefix};
use crate::closure::{self, Role};
use crate::error::{RepoError, Result};
use crate::index::IndexResult;
use crate::progress::Progress;
use crate::protocol::{State, affects_marks};
use crate::reader::Reader;
use crate::repository::Repository;

pub(super) struct Marks<'r> {
    repository: &'r Repository,
    progress: &'r Progress,
    reader: Reader<'r>,
    references: References,
    table: Table,
    /// The newest entry that the marks know of.
    state: State,
    /// Nodes met.
    nodes: u64,
    generation: u64,
}

impl<'r> Marks<'r> {
    /// Marks everything that is listed in the state as last read.
    ///
    /// # Errors
    /// [`RepoError::MissingRecord`] where something that is needed is in no index segment: until that is mended, nobody can say
    /// what is garbage.
    pub(super) fn new(repository: &'r Repository, progress: &'r Progress) -> Result<Self> {
        let references = References::open(
            &repository.options().cache,
            repository.config().repository,
            repository.keys().content_hash(b"references"),
        )?;
        let table = match Table::new(repository.index()?) {
            Err(RepoError::Index(error)) if error.is_damage() => {
                tracing::info!(%error, "the local index cannot be read");
                repository.rebuild_index()?;
                Table::new(repository.index()?)?
            }
            table => table?,
        };
        let state = repository.state();
        let reader = repository.reader()?;
        let mut marks = Self { repository, progress, reader, references, table, state, nodes: 0, generation: 0 };
        Progress::add(&progress.items_total, marks.state.listed().len() as u64);
        progress.totals_known.store(true, std::sync::atomic::Ordering::Relaxed);
        let roots: Vec<_> = marks.state.listed().values().map(|listed| listed.record.clone()).collect();
        for record in &roots {
            marks.mark_all(closure::roots(record))?;
            Progress::add(&progress.items_done, 1);
        }
        marks.choose()?;
        let nodes = marks.nodes;
        marks.remembered(|references| references.settle(nodes))?;
        Ok(marks)
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

    /// Records of the index, by places.
    pub(super) fn rows(&self) -> u64 {
        self.table.rows() as u64
    }

    pub(super) fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Brings the marks up to date with the log: only trees of snapshots that joined since are walked.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        self.repository.catch_up()?;
        let state = self.repository.state();
        if state.slot() == self.state.slot() {
            return Ok(());
        }
        let changes = self.repository.changes_after(self.state.slot());
        let changes: Vec<_> = changes.into_iter().filter(|(slot, _)| *slot <= state.slot()).collect();
        for record in changes.iter().flat_map(|(_, change)| &change.segments_added) {
            // One that was removed again is replaced by another of these entries, or was never needed.
            if state.segments().contains_key(&record.id) {
                let segment = self.repository.fetch_segment(&record.id)?;
                self.table.add_segment(&segment, |pack| state.is_pack_valid_in(segment.base, pack));
            }
        }
        let needs_marks = changes.iter().any(|(_, change)| affects_marks(change));
        let mut joined = Vec::new();
        for (_, change) in &changes {
            self.table.retire(&change.packs_retired);
            joined.extend(change.snapshots_added.iter().map(|record| record.id));
            joined.extend(change.snapshots_restored.iter().copied());
        }
        self.state = state;
        for id in joined {
            if let Some(listed) = self.state.listed().get(&id).cloned() {
                self.mark_all(closure::roots(&listed.record))?;
            }
        }
        if needs_marks {
            self.generation += 1;
            self.choose()
        } else {
            Ok(())
        }
    }

    /// Changes whenever the choice of copies may have changed.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Says that packs were found damaged: other copies of what they hold are preferred from now on.
    pub(super) fn suspect(&mut self, packs: &[PackId]) -> Result<()> {
        for pack in packs {
            self.table.suspect(pack);
        }
        self.generation += 1;
        self.choose()
    }

    fn choose(&mut self) -> Result<()> {
        match self.table.choose() {
            None => Ok(()),
            Some(start) => Err(RepoError::Invalid(format!(
                "a record that is needed, whose id begins with {start:016x}, is in no pack that can be read: run `backstay repo check`"
            ))),
        }
    }

    fn mark_all(&mut self, roots: impl Iterator<Item = (ChunkId, Role)>) -> Result<()> {
        let mut todo = Vec::new();
        for (id, role) in roots {
            if self.mark(id)? == Mark::New && role == Role::Node {
                todo.push(id);
            }
        }
        while let Some(id) = todo.pop() {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            self.nodes += 1;
            let named = self.named(&id)?;
            for data in named.data {
                if self.table.mark(data) == Mark::Missing {
                    return Err(missing(&mut self.reader, &id, data));
                }
            }
            // The first child is looked at first: nodes lie in the order of their keys.
            for node in named.nodes.into_iter().rev() {
                if self.mark(node)? == Mark::New {
                    todo.push(node);
                }
            }
        }
        Ok(())
    }

    fn mark(&mut self, id: ChunkId) -> Result<Mark> {
        match self.table.mark(prefix(&id)) {
            Mark::Missing => Err(RepoError::MissingRecord { id }),
            mark => Ok(mark),
        }
    }

    fn named(&mut self, id: &ChunkId) -> Result<Named> {
        if let Some(named) = self.remembered(|references| references.get(id))?.flatten() {
            return Ok(named);
        }
        let references = closure::references(&mut self.reader, id)?;
        let mut named = Named { nodes: references.content, data: Vec::new() };
        if references.level > 0 {
            named.nodes.extend(references.chunks);
        } else {
            named.data = references.chunks.iter().map(prefix).collect();
        }
        let copy = named.clone();
        self.remembered(|references| references.put(*id, copy))?;
        Ok(named)
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

/// The full name of the record that a node names and nobody has.
fn missing(reader: &mut Reader<'_>, node: &ChunkId, start: Prefix) -> RepoError {
    match closure::references(reader, node) {
        Ok(references) => match references.chunks.into_iter().find(|chunk| prefix(chunk) == start) {
            Some(id) => RepoError::MissingRecord { id },
            None => RepoError::MissingRecord { id: *node },
        },
        Err(error) => error,
    }
}
