//! Mending what was overtaken: everything that snapshots need is looked up anew (docs/design/0002, section 7).
//!
//! Where an entry took away something that a run relied upon, nobody remembers what rested on it. So all that the snapshots need
//! is walked as the log stands now, and the next attempt rests on what was found and on nothing else:
//! - in an own pack that a segment of this very attempt names: what other threads put meanwhile may be in no segment yet;
//! - or in a pack that the index, in this state of the log or a newer one, says is valid.
//!
//! What is in neither is read from where it once was, while the bytes are there, and put again; then all is walked again.
//! Only the attempt has the newer base. The run keeps its own, with everything it ever relied upon: what its threads put is
//! checked from there on, whether a snapshot needs it yet or not.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::ids::{ChunkId, PackId, SnapshotId};
use backstay_format::log::SnapshotRecord;
use backstay_format::segment::{Segment, SegmentEntry, SegmentPack};
use backstay_format::tree::{Node, References};

use super::{ChunkWriter, Unnamed, Writer};
use crate::closure::{self, Role};
use crate::error::{ErrorKind, RepoError, Result};
use crate::index::Location;
use crate::protocol::{Violation, WriterIntent};
use crate::reader::Reader;

/// What an attempt to append rests on.
pub(super) struct Ground {
    pub(super) base: u64,
    pub(super) intent: WriterIntent,
    /// The entry names these.
    pub(super) segments: Vec<Arc<Unnamed>>,
}

/// What a walk came to.
pub(super) enum Found {
    All(Ground),
    /// Some records were put again, or the index is better now: another walk may find all.
    Again,
    Gone(Gone),
}

/// Records that a snapshot needs and that lie nowhere any more.
pub(super) struct Gone {
    pub(super) snapshot: SnapshotId,
    pub(super) records: u64,
    pub(super) first: ChunkId,
}

/// Whether looking everything up again can help.
pub(super) fn is_mendable(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::OwnPackRetired { .. }
            | Violation::OwnSegmentRemoved { .. }
            | Violation::ReliedPackRetired { .. }
            | Violation::ParentForgotten { .. }
            // A segment that was made anew for an attempt which then failed.
            | Violation::SegmentBaseAhead { .. }
    )
}

impl Writer<'_> {
    /// Looks up everything that these snapshots need. All of it was put before the last `flush`.
    pub(super) fn look_up(&self, snapshots: &[SnapshotRecord]) -> Result<Found> {
        // Read first: every answer below is that of this state or of a newer one.
        let base = self.repository.base();
        let segments = self.segments_without_retired_packs(base)?;
        let search = RefCell::new(Search::new(self, &segments)?);
        for snapshot in snapshots {
            let walked = closure::walk(
                closure::roots(snapshot),
                &mut |id, role| search.borrow_mut().enter(id, role),
                &mut |id| search.borrow_mut().open(id),
            );
            if let Err(error) = walked {
                // What was found may have been let go, and deleted, before it was read.
                let may_be_deleted = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt);
                if may_be_deleted {
                    self.repository.catch_up()?;
                    if self.repository.base() > base || search.borrow().put_again > 0 {
                        return Ok(Found::Again);
                    }
                }
                return Err(error);
            }
            let search = search.borrow();
            if let Some(first) = search.first_gone {
                // Another process may have taken rows of merged segments out of the index, which a newer state names elsewhere.
                if self.repository.catch_up()? || self.repository.rebuild_index_once()? {
                    return Ok(Found::Again);
                }
                return Ok(Found::Gone(Gone { snapshot: snapshot.id, records: search.gone.len() as u64, first }));
            }
        }
        let Search { relied_packs, put_again, .. } = search.into_inner();
        if put_again > 0 {
            return Ok(Found::Again);
        }
        let own_packs = segments.iter().flat_map(|unnamed| unnamed.segment.packs.iter().map(|pack| pack.id)).collect();
        let intent = WriterIntent { own_packs, relied_packs, ..WriterIntent::default() };
        Ok(Found::All(Ground { base, intent, segments }))
    }

    /// Where a snapshot needs a record, as far as what leads there can still be read.
    pub(super) fn place_of(&self, snapshot: &SnapshotRecord, record: &ChunkId) -> Result<String> {
        let segments = self.published.lock().segments.clone();
        let mut search = Search::new(self, &segments)?;
        closure::place_of(snapshot, record, &mut |id| {
            search.read(id)?;
            Ok(search.reader.plain().to_vec())
        })
    }

    /// The segments that no entry names yet. One that was removed, or that names a retired pack, is made anew from the packs
    /// that are left; what was in the others is put again if it is needed.
    fn segments_without_retired_packs(&self, base: u64) -> Result<Vec<Arc<Unnamed>>> {
        let let_go = self.repository.let_go();
        let earlier = self.published.lock().segments.clone();
        let mut segments = Vec::with_capacity(earlier.len());
        let mut retired = HashMap::new();
        for unnamed in &earlier {
            let is_retired = |pack: &SegmentPack| let_go.packs.contains_key(&pack.id);
            let segment = &unnamed.segment;
            if !let_go.segments.contains_key(&unnamed.record.id) && !segment.packs.iter().any(is_retired) {
                segments.push(unnamed.clone());
                continue;
            }
            let mut left = Segment::new(base);
            let mut positions = Vec::with_capacity(segment.packs.len());
            for pack in &segment.packs {
                positions.push((!is_retired(pack)).then_some(left.packs.len() as u32));
                if !is_retired(pack) {
                    left.packs.push(*pack);
                }
            }
            for entry in &segment.entries {
                match positions[entry.pack as usize] {
                    Some(pack) => left.entries.push(SegmentEntry { pack, ..*entry }),
                    None => {
                        retired.insert(entry.id, location(segment, entry));
                    }
                }
            }
            if !left.packs.is_empty() {
                segments.push(Arc::new(self.store_segment(left)?));
            }
        }
        {
            let mut own = self.own.lock();
            for id in retired.keys() {
                own.packed.remove(id);
            }
        }
        let mut published = self.published.lock();
        // Other threads add behind these.
        published.segments.splice(..earlier.len(), segments.iter().cloned());
        published.retired.extend(retired);
        Ok(segments)
    }
}

fn location(segment: &Segment, entry: &SegmentEntry) -> Location {
    let pack = &segment.packs[entry.pack as usize];
    Location {
        pack: pack.id,
        kind: pack.kind,
        pack_bytes: pack.size_bytes,
        offset: entry.offset,
        stored_len: entry.stored_len,
        raw_len: entry.raw_len,
    }
}

struct Search<'w> {
    writer: &'w Writer<'w>,
    segments: &'w [Arc<Unnamed>],
    reader: Reader<'w>,
    chunks: ChunkWriter<'w>,
    /// Nodes that were met.
    nodes: HashSet<ChunkId>,
    relied_packs: BTreeSet<PackId>,
    put_again: u64,
    gone: HashSet<ChunkId>,
    first_gone: Option<ChunkId>,
}

impl<'w> Search<'w> {
    fn new(writer: &'w Writer<'w>, segments: &'w [Arc<Unnamed>]) -> Result<Self> {
        Ok(Self {
            writer,
            segments,
            reader: writer.repository.reader()?,
            chunks: writer.chunk_writer()?,
            nodes: HashSet::new(),
            relied_packs: BTreeSet::new(),
            put_again: 0,
            gone: HashSet::new(),
            first_gone: None,
        })
    }

    fn enter(&mut self, id: ChunkId, role: Role) -> Result<bool> {
        if role == Role::Node && !self.nodes.insert(id) {
            return Ok(false);
        }
        if self.in_own_segment(&id).is_some() {
            return Ok(true);
        }
        if let Some(location) = self.writer.repository.ask_index(|index| index.lookup(&id))? {
            self.relied_packs.insert(location.pack);
            return Ok(true);
        }
        if self.writer.own.lock().packed.contains(&id) {
            // Put again already, and in no segment yet: the next walk can look inside.
            self.put_again += 1;
            return Ok(false);
        }
        let Some(kind) = self.read_leftover(&id)? else {
            self.gone.insert(id);
            self.first_gone.get_or_insert(id);
            return Ok(false);
        };
        self.chunks.put(kind, self.reader.plain(), Hint::Plain)?;
        self.put_again += 1;
        Ok(true)
    }

    fn open(&mut self, id: &ChunkId) -> Result<References> {
        self.read(id)?;
        Node::references(self.reader.plain()).map_err(RepoError::damaged(format!("tree node {id}")))
    }

    /// Reads a record wherever it is, valid or not.
    fn read(&mut self, id: &ChunkId) -> Result<()> {
        if let Some(location) = self.in_own_segment(id) {
            self.reader.read_at(id, &location)?;
        } else if self.writer.repository.ask_index(|index| index.lookup(id))?.is_some() {
            self.reader.read(id)?;
        } else if self.read_leftover(id)?.is_none() {
            return Err(RepoError::MissingRecord { id: *id });
        }
        Ok(())
    }

    fn in_own_segment(&self, id: &ChunkId) -> Option<Location> {
        self.segments.iter().find_map(|unnamed| {
            let entries = &unnamed.segment.entries;
            let at = entries.binary_search_by(|entry| entry.id.cmp(id)).ok()?;
            Some(location(&unnamed.segment, &entries[at]))
        })
    }

    /// Reads a record of a retired pack, where the bytes are still there.
    fn read_leftover(&mut self, id: &ChunkId) -> Result<Option<RecordKind>> {
        let own = self.writer.published.lock().retired.get(id).copied();
        let others = self.writer.repository.ask_index(|index| index.ever(id))?;
        for place in own.into_iter().chain(others) {
            match self.reader.read_at(id, &place) {
                Ok(kind) => return Ok(Some(kind)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
