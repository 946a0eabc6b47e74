//! The model's small world: a store, a log, and everybody who works on them, each in a few bytes.
//!
//! Small numbers stand for ids. What the log adds up to and whether an entry may be appended is never decided here: entries are
//! turned into real changes, and the real fold and the real conditions are asked (remembering their answers, for speed).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use backstay_format::ids::{PackId, SegmentId, SnapshotId};
use backstay_format::log::{Change, SegmentRecord};
use backstay_repo::protocol::{Proposal, State, Violation, WriterIntent, check_append};

use crate::protocol::snapshot;

/// The chunk that everybody shares.
pub(super) const SHARED: Chunks = 1;
/// A chunk that only the first snapshot needs.
pub(super) const FIRST_ONLY: Chunks = 2;
/// The old pack, its segment, and the snapshot that they belong to.
pub(super) const OLD: u8 = 0;

pub(super) const MAX_WRITERS: usize = 2;
pub(super) const MAX_COLLECTORS: usize = 2;
pub(super) const MAX_COMPACTORS: usize = 2;
const PACKS: usize = 9;
const SEGMENTS: usize = 11;
const SNAPSHOTS: usize = 5;
/// One more than any scope uses, for a last collection after everything.
const MAX_ENTRIES: usize = 8;

/// Sets, one bit a member.
pub(super) type Chunks = u8;
pub(super) type Packs = u16;
pub(super) type Segments = u16;
pub(super) type Snapshots = u8;

/// The members of a set.
pub(super) fn members(set: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |bit| set & (1 << bit) != 0)
}

/// One entry of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub added: Snapshots,
    pub forgotten: Snapshots,
    pub restored: Snapshots,
    pub segment_added: Option<u8>,
    pub segment_base: u8,
    pub segments_removed: Segments,
    pub packs_retired: Packs,
}

/// Logs are hashed all the time: in one step an entry, for speed.
impl Hash for Entry {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let snapshots = [self.added, self.forgotten, self.restored].map(u64::from);
        let segment = u64::from(self.segment_added.map_or(0, |segment| segment + 1));
        hasher.write_u64(
            snapshots[0]
                | snapshots[1] << 5
                | snapshots[2] << 10
                | segment << 15
                | u64::from(self.segment_base) << 19
                | u64::from(self.segments_removed) << 23
                | u64::from(self.packs_retired) << 34,
        );
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Log {
    len: u8,
    entries: [Entry; MAX_ENTRIES],
}

impl Log {
    pub(super) fn new(first: Entry) -> Self {
        let mut log = Self { len: 0, entries: [Entry::default(); MAX_ENTRIES] };
        log.push(first);
        log
    }

    /// The slot of the last entry.
    pub(super) fn tail(&self) -> u8 {
        self.len
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries[self.len as usize] = entry;
        self.len += 1;
    }

    pub(super) fn at(&self, slot: u8) -> &Entry {
        &self.entries[slot as usize - 1]
    }

    /// What a store without create-if-absent does.
    pub(super) fn overwrite(&mut self, slot: u8, entry: Entry) {
        if slot == self.len + 1 {
            self.push(entry);
        } else {
            self.entries[slot as usize - 1] = entry;
        }
    }

    /// The log as it was at an earlier slot.
    pub(super) fn up_to(&self, slot: u8) -> Self {
        let mut log = *self;
        log.len = slot;
        log.entries[slot as usize..].fill(Entry::default());
        log
    }

    pub(super) fn since(&self, slot: u8) -> &[Entry] {
        &self.entries[slot as usize..self.len as usize]
    }

    pub(super) fn retired_since(&self, slot: u8) -> Packs {
        self.since(slot).iter().fold(0, |packs, entry| packs | entry.packs_retired)
    }

    pub(super) fn removed_since(&self, slot: u8) -> Segments {
        self.since(slot).iter().fold(0, |segments, entry| segments | entry.segments_removed)
    }

    pub(super) fn forgotten_since(&self, slot: u8) -> Snapshots {
        self.since(slot).iter().fold(0, |snapshots, entry| snapshots | entry.forgotten)
    }

    pub(super) fn added(&self) -> Snapshots {
        self.since(0).iter().fold(0, |snapshots, entry| snapshots | entry.added)
    }
}

/// What somebody who has read a log knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub listed: Snapshots,
    pub restorable: Snapshots,
    pub segments: Segments,
    /// For each segment, the packs about which it is right.
    trusted: [Packs; SEGMENTS],
}

/// What is stored, and what every process has in mind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub log: Log,
    pub packs: Packs,
    pub segments: Segments,
    /// What was put under a name, whether it is still there or not.
    pub pack_chunks: [Chunks; PACKS],
    pub segment_packs: [Packs; SEGMENTS],
    pub snapshot_chunks: [Chunks; SNAPSHOTS],
    /// Commits whose writers told somebody that they are done.
    pub acknowledged: Snapshots,
    pub writers: [Writer; MAX_WRITERS],
    pub collectors: [Collector; MAX_COLLECTORS],
    pub compactors: [Compactor; MAX_COMPACTORS],
    pub reviver: Reviver,
    pub forgets_left: u8,
    pub undos_left: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum WriterPhase {
    #[default]
    Idle,
    /// The plan is made; packs are to be put.
    Planned,
    PacksPut,
    /// Everything is put; the entry is to be checked.
    Ready,
    /// The entry passed the check against all entries up to this slot.
    Checked(u8),
    /// The entry was sent for the slot after this one, and no answer came.
    Unanswered(u8),
    Done,
    GivenUp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Writer {
    pub phase: WriterPhase,
    pub base: u8,
    pub needs: Chunks,
    /// What goes into this attempt's pack.
    pub to_store: Chunks,
    /// Packs put or to be put by this run, that no entry names yet.
    pub own: Packs,
    pub relied: Packs,
    pub parents: Snapshots,
    pub has_mended: bool,
    pub has_incomplete: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum CollectorPhase {
    #[default]
    Idle,
    Listed,
    Marked,
    /// A pack is about to be rewritten.
    Repacking,
    RepackPut,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Collector {
    pub phase: CollectorPhase,
    pub runs: u8,
    pub base: u8,
    pub packs_seen: Packs,
    pub segments_seen: Segments,
    /// The base of the rewritten pack's segment.
    pub sealed_base: u8,
    /// The pack being rewritten, with the chunks to be kept of it.
    pub source: Option<(u8, Chunks)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum CompactorPhase {
    #[default]
    Idle,
    Read,
    Put,
    Done,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Compactor {
    pub phase: CompactorPhase,
    pub base: u8,
    pub replaced: Segments,
}

/// Undoes a forget after a retirement: a commit that relies on old packs for everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Reviver {
    /// What is to be listed again, while at work.
    pub snapshot: Option<u8>,
    pub base: u8,
    pub relied: Packs,
}

impl World {
    pub(super) fn new(first_chunks: Chunks, forgets_left: u8, undos_left: u8) -> Self {
        let first = Entry { added: 1, segment_added: Some(OLD), ..Entry::default() };
        let mut world = Self {
            log: Log::new(first),
            packs: 1,
            segments: 1,
            pack_chunks: [0; PACKS],
            segment_packs: [0; SEGMENTS],
            snapshot_chunks: [0; SNAPSHOTS],
            acknowledged: 1,
            writers: [Writer::default(); MAX_WRITERS],
            collectors: [Collector::default(); MAX_COLLECTORS],
            compactors: [Compactor::default(); MAX_COMPACTORS],
            reviver: Reviver::default(),
            forgets_left,
            undos_left,
        };
        world.pack_chunks[0] = first_chunks;
        world.segment_packs[0] = 1;
        world.snapshot_chunks[0] = first_chunks;
        world
    }

    pub(super) fn put_pack(&mut self, pack: u8, chunks: Chunks) {
        self.packs |= 1 << pack;
        self.pack_chunks[pack as usize] = chunks;
    }

    pub(super) fn put_segment(&mut self, segment: u8, packs: Packs) {
        self.segments |= 1 << segment;
        self.segment_packs[segment as usize] = packs;
    }

    pub(super) fn chunks_in(&self, packs: Packs) -> Chunks {
        members(packs).fold(0, |chunks, pack| chunks | self.pack_chunks[pack as usize])
    }

    pub(super) fn chunks_of(&self, snapshots: Snapshots) -> Chunks {
        members(snapshots.into()).fold(0, |chunks, id| chunks | self.snapshot_chunks[id as usize])
    }

    /// Those of `packs` that hold the chunk.
    pub(super) fn holders(&self, chunk: u8, packs: Packs) -> Packs {
        members(packs)
            .filter(|pack| self.pack_chunks[*pack as usize] & (1 << chunk) != 0)
            .fold(0, |holders, pack| holders | 1 << pack)
    }

    /// The packs that the index of a view names.
    pub(super) fn index(&self, view: &View) -> Packs {
        members(view.segments).fold(0, |packs, id| packs | self.segment_packs[id as usize] & view.trusted[id as usize])
    }

    /// The same, if nothing masked what old segments say.
    pub(super) fn index_unmasked(&self, view: &View) -> Packs {
        members(view.segments).fold(0, |packs, id| packs | self.segment_packs[id as usize])
    }
}

/// What the real fold says about a log.
pub(super) fn view(log: &Log) -> View {
    view_at(log, log.tail())
}

/// What it said at an earlier slot.
pub(super) fn view_at(log: &Log, slot: u8) -> View {
    folded(log).views[slot as usize]
}

/// What it said after every entry, the first one first.
pub(super) fn views(log: &Log) -> impl Iterator<Item = View> {
    let folded = folded(log);
    (1..=log.tail()).map(move |slot| folded.views[slot as usize])
}

/// What an appender's work rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Basis {
    pub base: u8,
    pub own: Packs,
    pub relied: Packs,
    pub parents: Snapshots,
    pub replaced: Segments,
}

/// What the real conditions say about an entry.
pub(super) fn judge(log: &Log, entry: &Entry, basis: Basis) -> Verdict {
    let key = (*log, *entry, basis);
    if let Some(known) = VERDICTS.with_borrow(|verdicts| verdicts.get(&key).cloned()) {
        return known;
    }
    let folded = folded(log);
    let change = change(entry);
    let intent = WriterIntent {
        own_packs: members(basis.own).map(pack_id).collect(),
        own_segments: BTreeSet::new(),
        relied_packs: members(basis.relied).map(pack_id).collect(),
        parents: members(basis.parents.into()).map(snapshot_id).collect(),
    };
    let replaced = members(basis.replaced).map(segment_id).collect();
    let proposal = Proposal { change: &change, base: basis.base.into(), intent: &intent, replaced_segments: &replaced };
    let later = folded.changes[basis.base as usize..].iter().map(|(slot, change)| (*slot, &**change));
    let verdict: Verdict = match check_append(&proposal, &folded.state, later) {
        Ok(()) => Rc::new([]),
        Err(violations) => violations.into(),
    };
    VERDICTS.with_borrow_mut(|verdicts| verdicts.insert(key, Rc::clone(&verdict)));
    verdict
}

/// Empty if nothing speaks against it.
pub(super) type Verdict = Rc<[Violation]>;

/// A log and all its beginnings, folded.
struct Folded {
    state: State,
    views: Vec<View>,
    changes: Vec<(u64, Rc<Change>)>,
}

thread_local! {
    static FOLDS: RefCell<HashMap<Log, Rc<Folded>>> = RefCell::default();
    static VERDICTS: RefCell<HashMap<(Log, Entry, Basis), Verdict>> = RefCell::default();
}

fn folded(log: &Log) -> Rc<Folded> {
    if let Some(known) = FOLDS.with_borrow(|folds| folds.get(log).cloned()) {
        return known;
    }
    let mut new = Folded { state: State::default(), views: Vec::new(), changes: Vec::new() };
    if log.tail() > 0 {
        let slot = log.tail();
        let before = folded(&log.up_to(slot - 1));
        let change = Rc::new(change(log.at(slot)));
        new = Folded { state: before.state.clone(), views: before.views.clone(), changes: before.changes.clone() };
        new.state.apply(slot.into(), &change).expect("an entry that passed the check can be folded");
        new.changes.push((slot.into(), change));
    }
    new.views.push(view_of(&new.state));
    let new = Rc::new(new);
    FOLDS.with_borrow_mut(|folds| folds.insert(*log, Rc::clone(&new)));
    new
}

fn view_of(state: &State) -> View {
    let mut view = View {
        listed: state.listed().keys().fold(0, |set, id| set | 1 << id.as_bytes()[0]),
        restorable: state.forgotten().keys().fold(0, |set, id| set | 1 << id.as_bytes()[0]),
        segments: 0,
        trusted: [0; SEGMENTS],
    };
    for (id, record) in state.segments() {
        let segment = id.as_bytes()[0];
        view.segments |= 1 << segment;
        view.trusted[segment as usize] = (0..PACKS as u8)
            .filter(|pack| state.is_pack_valid_in(record.base, &pack_id(*pack)))
            .fold(0, |packs, pack| packs | 1 << pack);
    }
    view
}

fn change(entry: &Entry) -> Change {
    Change {
        snapshots_added: members(entry.added.into()).map(snapshot).collect(),
        snapshots_forgotten: members(entry.forgotten.into()).map(snapshot_id).collect(),
        snapshots_restored: members(entry.restored.into()).map(snapshot_id).collect(),
        segments_added: entry
            .segment_added
            .map(|segment| SegmentRecord {
                id: segment_id(segment),
                base: entry.segment_base.into(),
                entries: 1,
                extra: BTreeMap::new(),
            })
            .into_iter()
            .collect(),
        segments_removed: members(entry.segments_removed).map(segment_id).collect(),
        packs_retired: members(entry.packs_retired).map(pack_id).collect(),
        ..Change::default()
    }
}

fn pack_id(pack: u8) -> PackId {
    PackId::new([pack; 32])
}

fn segment_id(segment: u8) -> SegmentId {
    SegmentId::new([segment; 32])
}

fn snapshot_id(snapshot: u8) -> SnapshotId {
    SnapshotId::new([snapshot; 16])
}
