//! What each role may do next: every step that touches the store is one action, and anybody may stop before any of them for ever.
//!
//! A check and the create that follows are one action, except for writers: a create that fails because the slot was taken leaves
//! everything as it was. Writers do them apart, because their answers may be lost in between.

use stateright::{Model, Property};

use backstay_repo::protocol::Violation;

use super::properties;
use super::world::{
    Basis, Chunks, Collector, CollectorPhase, Compactor, CompactorPhase, Entry, FIRST_ONLY, MAX_WRITERS, Packs,
    Reviver, SHARED, Segments, View, World, Writer, WriterPhase, judge, members, view, view_at,
};

/// How much may happen. Everything within it is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub writers: u8,
    pub collectors: u8,
    pub collector_runs: u8,
    pub may_repack: bool,
    pub compactors: u8,
    pub forgets: u8,
    pub undos: u8,
    pub max_entries: u8,
    /// Writers may store a chunk again that they could have deduplicated.
    pub may_store: bool,
    /// Writers may take over a whole tree.
    pub may_reuse: bool,
    /// Writers may commit an incomplete snapshot on the way.
    pub may_save: bool,
    pub may_lose_answers: bool,
    /// Each snapshot has a chunk of its own.
    pub has_private_chunks: bool,
    /// Also asks in every state whether a fresh collector could finish, and each writer alone.
    pub judges_progress: bool,
    pub without: Option<Rule>,
}

/// Writers that only deduplicate; nobody else.
pub(super) const BARE: Scope = Scope {
    writers: 1,
    collectors: 0,
    collector_runs: 1,
    may_repack: false,
    compactors: 0,
    forgets: 0,
    undos: 0,
    max_entries: 6,
    may_store: false,
    may_reuse: false,
    may_save: false,
    may_lose_answers: false,
    has_private_chunks: true,
    judges_progress: false,
    without: None,
};

/// The rules that can be taken out, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    CreateIfAbsent,
    OwnPacks,
    OwnSegments,
    ReliedPacks,
    Parents,
    MarksUpToDate,
    RetirementsCountForMarks,
    DeleteOnlyAfterTheEntry,
    NewNames,
    UnindexedPacksThroughTheLog,
    KeepOneCopy,
    OwnRepackedPack,
    Mask,
    ReplacedStillValid,
    SegmentsDeletedOnlyAfterTheEntry,
    SegmentBeforeCommit,
    PacksBeforeSegment,
    LookAtTheSlot,
    UndoOnlyIfNothingWasRetired,
    UndoByCommitReliesOnPacks,
    BaseRaisedOnlyByACheck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Writer(u8, WriterStep),
    Collector(u8, CollectorStep),
    Compactor(u8, CompactorStep),
    Forget(u8),
    Undo(u8),
    ReadForRevival(u8),
    Revive,
    DeletePack(u8),
    DeleteSegment(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterStep {
    PlanRelyingOn(u8),
    PlanStoring,
    PlanReusing(u8),
    PutPacks,
    PutPacksUnanswered,
    PutSegment,
    ReopenUnchecked,
    SaveIncomplete,
    Check,
    Create,
    CreateUnanswered,
    Resolve,
    MendByCopies,
    MendByStoring,
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CollectorStep {
    List,
    Mark,
    MarkToRepack(u8),
    PutPack,
    PutSegment,
    Append,
    MarkAgain,
    Abandon,
    DeleteUnlogged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CompactorStep {
    Read,
    Put,
    Append,
    GiveUp,
    DeleteReplaced,
}

/// What a collector found.
pub(super) struct Marks {
    pub kept: Packs,
    pub garbage: Packs,
    pub unused_segments: Segments,
}

impl Model for Scope {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let chunks = if self.has_private_chunks { SHARED | FIRST_ONLY } else { SHARED };
        vec![World::new(chunks, self.forgets, self.undos)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for number in 0..self.writers {
            let steps = self.writer_steps(world, number);
            actions.extend(steps.into_iter().map(|step| Action::Writer(number, step)));
        }
        for number in 0..self.collectors {
            let steps = self.collector_steps(world, number);
            actions.extend(steps.into_iter().map(|step| Action::Collector(number, step)));
        }
        for number in 0..self.compactors {
            let steps = self.compactor_steps(world, number);
            actions.extend(steps.into_iter().map(|step| Action::Compactor(number, step)));
        }
        self.people(world, actions);
        actions.extend(members(world.packs & world.log.retired_since(0)).map(Action::DeletePack));
        actions.extend(members(world.segments & world.log.removed_since(0)).map(Action::DeleteSegment));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Writer(number, step) => self.step_writer(&mut next, number, step),
            Action::Collector(number, step) => self.step_collector(&mut next, number, step),
            Action::Compactor(number, step) => self.step_compactor(&mut next, number, step),
            Action::Forget(snapshot) => {
                next.forgets_left -= 1;
                next.log.push(Entry { forgotten: 1 << snapshot, ..Entry::default() });
            }
            Action::Undo(snapshot) => {
                next.undos_left -= 1;
                let is_restorable = view(&world.log).restorable & (1 << snapshot) != 0;
                next.log.push(if is_restorable {
                    Entry { restored: 1 << snapshot, ..Entry::default() }
                } else {
                    Entry { added: 1 << snapshot, ..Entry::default() }
                });
            }
            Action::ReadForRevival(snapshot) => {
                next.undos_left -= 1;
                let index = self.index(world, &view(&world.log));
                let relied = one_holder_each(world, world.chunks_of(1 << snapshot), index);
                next.reviver = Reviver { snapshot: Some(snapshot), base: world.log.tail(), relied };
            }
            Action::Revive => {
                let (entry, basis) = revival(world);
                if self.violations(world, Role::Reviver, &entry, basis).is_empty() {
                    next.log.push(entry);
                }
                next.reviver = Reviver::default();
            }
            Action::DeletePack(pack) => next.packs &= !(1 << pack),
            Action::DeleteSegment(segment) => next.segments &= !(1 << segment),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

/// Who appends: some rules can be taken out for one role alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Collector,
    Compactor,
    Reviver,
    Person,
}

impl Scope {
    fn is_without(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    fn can_append(&self, world: &World) -> bool {
        world.log.tail() < self.max_entries
    }

    /// The packs that somebody with this view finds in the index.
    pub(super) fn index(&self, world: &World, view: &View) -> Packs {
        if self.is_without(Rule::Mask) { world.index_unmasked(view) } else { world.index(view) }
    }

    /// What the real conditions say, less what only a rule that is taken out forbids.
    pub(super) fn violations(&self, world: &World, role: Role, entry: &Entry, basis: Basis) -> Vec<Violation> {
        let mut violations = judge(&world.log, entry, basis).to_vec();
        if let Some(rule) = self.without {
            violations.retain(|violation| !is_of_rule(rule, role, world, violation));
        }
        violations
    }

    // Writers.

    fn writer_steps(&self, world: &World, number: u8) -> Vec<WriterStep> {
        let writer = &world.writers[number as usize];
        match writer.phase {
            WriterPhase::Idle => self.plans(world),
            WriterPhase::Planned if self.is_without(Rule::PacksBeforeSegment) => {
                vec![WriterStep::PutSegment]
            }
            WriterPhase::Planned => {
                let is_put = writer.own & !world.packs == 0;
                if self.may_lose_answers && !is_put {
                    vec![WriterStep::PutPacks, WriterStep::PutPacksUnanswered]
                } else {
                    vec![WriterStep::PutPacks]
                }
            }
            WriterPhase::PacksPut if self.is_without(Rule::BaseRaisedOnlyByACheck) => {
                vec![WriterStep::PutSegment, WriterStep::ReopenUnchecked]
            }
            WriterPhase::PacksPut => vec![WriterStep::PutSegment],
            WriterPhase::Ready if !self.can_append(world) => Vec::new(),
            WriterPhase::Ready => {
                let (entry, basis) = commit(world, number);
                if self.violations(world, Role::Writer, &entry, basis).is_empty() {
                    let mut steps = vec![WriterStep::Check];
                    if self.may_save && !writer.has_incomplete && writer.own != 0 {
                        steps.push(WriterStep::SaveIncomplete);
                    }
                    steps
                } else if writer.has_mended {
                    vec![WriterStep::GiveUp]
                } else {
                    vec![WriterStep::MendByCopies, WriterStep::MendByStoring]
                }
            }
            WriterPhase::Checked(_) if !self.may_lose_answers => vec![WriterStep::Create],
            WriterPhase::Checked(_) => vec![WriterStep::Create, WriterStep::CreateUnanswered],
            WriterPhase::Unanswered(_) => vec![WriterStep::Resolve],
            WriterPhase::Done | WriterPhase::GivenUp => Vec::new(),
        }
    }

    fn plans(&self, world: &World) -> Vec<WriterStep> {
        let view = view(&world.log);
        let mut steps: Vec<_> =
            members(world.holders(0, self.index(world, &view))).map(WriterStep::PlanRelyingOn).collect();
        if self.may_store || steps.is_empty() {
            steps.push(WriterStep::PlanStoring);
        }
        if self.may_reuse {
            steps.extend(members(view.listed.into()).map(WriterStep::PlanReusing));
        }
        steps
    }

    fn step_writer(&self, next: &mut World, number: u8, step: WriterStep) {
        let tail = next.log.tail();
        let mut writer = next.writers[number as usize];
        match step {
            WriterStep::PlanRelyingOn(pack) => {
                writer = self.plan(number, tail, SHARED, 0);
                writer.relied = 1 << pack;
            }
            WriterStep::PlanStoring => writer = self.plan(number, tail, SHARED, SHARED),
            WriterStep::PlanReusing(snapshot) => {
                writer = self.plan(number, tail, next.chunks_of(1 << snapshot), 0);
                writer.parents = 1 << snapshot;
            }
            WriterStep::PutPacks | WriterStep::PutPacksUnanswered => {
                // A pack of the first attempt that is still good was put then.
                let pack = self.own_pack(number, writer.has_mended);
                if writer.own & (1 << pack) != 0 {
                    next.put_pack(pack, writer.to_store);
                }
                if step == WriterStep::PutPacks {
                    writer.phase = self.after_packs(&writer);
                }
            }
            WriterStep::PutSegment => {
                let segment = own_segment(number, writer.has_mended);
                next.put_segment(segment, writer.own);
                if self.is_without(Rule::PacksBeforeSegment) {
                    let pack = self.own_pack(number, writer.has_mended);
                    next.pack_chunks[pack as usize] = writer.to_store;
                }
                writer.phase = WriterPhase::Ready;
            }
            WriterStep::ReopenUnchecked => writer.base = tail,
            WriterStep::SaveIncomplete => {
                let incomplete = 1 + MAX_WRITERS as u8 + number;
                let (entry, _) = commit(next, number);
                next.snapshot_chunks[incomplete as usize] = next.chunks_in(writer.own);
                next.log.push(Entry { added: 1 << incomplete, forgotten: 0, ..entry });
                writer.relied |= writer.own;
                writer.own = 0;
                writer.has_incomplete = true;
                writer.base = tail + 1;
            }
            WriterStep::Check => writer.phase = WriterPhase::Checked(tail),
            WriterStep::Create | WriterStep::CreateUnanswered | WriterStep::Resolve => {
                writer.phase = self.create(next, number, step);
            }
            WriterStep::MendByCopies | WriterStep::MendByStoring => {
                writer = self.mend(next, number, step == WriterStep::MendByCopies);
            }
            WriterStep::GiveUp => writer.phase = WriterPhase::GivenUp,
        }
        if matches!(writer.phase, WriterPhase::Done | WriterPhase::GivenUp) {
            // What it had in mind makes no difference any more; only how it got there is asked for.
            let Writer { phase, parents, has_mended, .. } = writer;
            writer = Writer { phase, parents, has_mended, ..Writer::default() };
        }
        next.writers[number as usize] = writer;
    }

    fn plan(&self, number: u8, base: u8, needs: Chunks, stored: Chunks) -> Writer {
        let private = if self.has_private_chunks { 4 << number } else { 0 };
        let to_store = stored | private;
        let own = if to_store == 0 { 0 } else { 1 << self.own_pack(number, false) };
        let mut writer = Writer { base, needs: needs | private, own, to_store, ..Writer::default() };
        writer.phase = after_planning(&writer);
        writer
    }

    fn own_pack(&self, number: u8, has_mended: bool) -> u8 {
        1 + 2 * number + u8::from(has_mended && !self.is_without(Rule::NewNames))
    }

    fn after_packs(&self, writer: &Writer) -> WriterPhase {
        if writer.own == 0 || self.is_without(Rule::SegmentBeforeCommit) {
            WriterPhase::Ready
        } else {
            WriterPhase::PacksPut
        }
    }

    /// The create, and how the writer understands what it hears.
    fn create(&self, next: &mut World, number: u8, step: WriterStep) -> WriterPhase {
        let phase = next.writers[number as usize].phase;
        let (WriterPhase::Checked(seen) | WriterPhase::Unanswered(seen)) = phase else {
            return phase;
        };
        let slot = seen + 1;
        let is_free = next.log.tail() == seen;
        let mine = 1 << (number + 1);
        if is_free || self.is_without(Rule::CreateIfAbsent) {
            let (entry, _) = commit_at(next, number, seen);
            next.snapshot_chunks[number as usize + 1] = next.writers[number as usize].needs;
            next.log.overwrite(slot, entry);
        } else if next.log.at(slot).added & mine == 0 && step != WriterStep::CreateUnanswered {
            if step == WriterStep::Resolve && self.is_without(Rule::LookAtTheSlot) {
                next.acknowledged |= mine;
                return WriterPhase::Done;
            }
            return WriterPhase::Ready;
        }
        if step == WriterStep::CreateUnanswered {
            return WriterPhase::Unanswered(seen);
        }
        next.acknowledged |= mine;
        WriterPhase::Done
    }

    /// Raises the base to the tail and replaces what entries in between took away.
    fn mend(&self, world: &World, number: u8, by_copies: bool) -> Writer {
        let before = world.writers[number as usize];
        let mut writer = before;
        let retired = world.log.retired_since(before.base);
        writer.base = world.log.tail();
        writer.has_mended = true;
        writer.own &= !retired;
        writer.relied &= !retired;
        if before.parents & world.log.forgotten_since(before.base) != 0 {
            writer.parents = 0;
        }
        let have = world.chunks_in(writer.own | writer.relied) | world.chunks_of(writer.parents);
        let mut missing = before.needs & !have;
        if by_copies {
            let index = self.index(world, &view(&world.log));
            let found = world.chunks_in(index) & missing;
            writer.relied |= one_holder_each(world, found, index);
            missing &= !found;
        }
        writer.to_store = missing;
        if missing != 0 {
            writer.own |= 1 << self.own_pack(number, true);
        }
        writer.phase = after_planning(&writer);
        writer
    }

    // Collectors.

    fn collector_steps(&self, world: &World, number: u8) -> Vec<CollectorStep> {
        let collector = &world.collectors[number as usize];
        match collector.phase {
            CollectorPhase::Idle if collector.runs < self.collector_runs => vec![CollectorStep::List],
            CollectorPhase::Idle => Vec::new(),
            CollectorPhase::Listed => {
                let mut steps = vec![CollectorStep::Mark];
                if self.may_repack {
                    let at_tail = Collector { base: world.log.tail(), ..*collector };
                    let marks = self.marks(world, number, &at_tail);
                    steps.extend(wasteful(world, &at_tail, &marks).map(CollectorStep::MarkToRepack));
                }
                steps
            }
            CollectorPhase::Repacking => {
                let source = collector.source.map_or(0, |(pack, _)| 1 << pack);
                let is_there = world.packs & source != 0;
                vec![if is_there { CollectorStep::PutPack } else { CollectorStep::Abandon }]
            }
            CollectorPhase::RepackPut => vec![CollectorStep::PutSegment],
            CollectorPhase::Marked if !self.can_append(world) => Vec::new(),
            CollectorPhase::Marked => {
                let (entry, basis) = self.collection(world, number);
                let violations = self.violations(world, Role::Collector, &entry, basis);
                let is_outdated = |violation: &Violation| matches!(violation, Violation::MarksOutdated { .. });
                let mut steps = vec![if violations.is_empty() {
                    CollectorStep::Append
                } else if violations.iter().all(is_outdated) {
                    CollectorStep::MarkAgain
                } else {
                    CollectorStep::Abandon
                }];
                if self.is_without(Rule::DeleteOnlyAfterTheEntry) || self.is_without(Rule::UnindexedPacksThroughTheLog)
                {
                    steps.push(CollectorStep::DeleteUnlogged);
                }
                steps
            }
        }
    }

    fn step_collector(&self, next: &mut World, number: u8, step: CollectorStep) {
        let tail = next.log.tail();
        let mut collector = next.collectors[number as usize];
        match step {
            CollectorStep::List => {
                collector.packs_seen = next.packs;
                collector.segments_seen = next.segments;
                collector.phase = CollectorPhase::Listed;
            }
            CollectorStep::Mark | CollectorStep::MarkAgain => {
                collector.base = tail;
                collector.phase = CollectorPhase::Marked;
                let marks = self.marks(next, number, &collector);
                if marks.garbage == 0 && marks.unused_segments == 0 && collector.source.is_none() {
                    collector = finished(&collector);
                }
            }
            CollectorStep::MarkToRepack(pack) => {
                collector.base = tail;
                collector.source = Some((pack, live_chunks(next, &collector, pack)));
                collector.sealed_base = tail;
                collector.phase = CollectorPhase::Repacking;
            }
            CollectorStep::PutPack => {
                let chunks = collector.source.map_or(0, |(_, chunks)| chunks);
                next.put_pack(repacked_pack(number, &collector), chunks);
                collector.phase = CollectorPhase::RepackPut;
            }
            CollectorStep::PutSegment => {
                let pack = repacked_pack(number, &collector);
                next.put_segment(repacked_segment(number, &collector), 1 << pack);
                collector.phase = CollectorPhase::Marked;
            }
            CollectorStep::Append => {
                let (entry, _) = self.collection(next, number);
                next.log.push(entry);
                collector = finished(&collector);
            }
            CollectorStep::Abandon => collector = finished(&collector),
            CollectorStep::DeleteUnlogged => {
                let marks = self.marks(next, number, &collector);
                let indexed = self.index(next, &view_at(&next.log, collector.base));
                next.packs &= !if self.is_without(Rule::DeleteOnlyAfterTheEntry) {
                    marks.garbage
                } else {
                    marks.garbage & !indexed
                };
                collector = finished(&collector);
            }
        }
        next.collectors[number as usize] = collector;
    }

    /// What a collector with these lists finds at its base. Each makes another choice among copies.
    pub(super) fn marks(&self, world: &World, number: u8, collector: &Collector) -> Marks {
        let view = view_at(&world.log, collector.base);
        let log = world.log.up_to(collector.base);
        let indexed = self.index(world, &view);
        let is_repacked = collector.source.is_some() && collector.phase == CollectorPhase::Marked;
        let repacked = if is_repacked { 1 << repacked_pack(number, collector) } else { 0 };
        let live = world.chunks_of(view.listed);
        let mut kept = 0;
        for chunk in members(live.into()) {
            let holders = world.holders(chunk, indexed | repacked);
            kept |= if holders & repacked != 0 {
                repacked
            } else if number == 0 {
                holders & holders.wrapping_neg()
            } else {
                members(holders).last().map_or(0, |pack| 1 << pack)
            };
        }
        if self.is_without(Rule::KeepOneCopy) {
            kept = members(indexed)
                .filter(|&pack| {
                    let others = world.chunks_in(indexed & !(1 << pack));
                    world.pack_chunks[pack as usize] & live & !others != 0
                })
                .fold(0, |packs, pack| packs | 1 << pack);
        }
        let unindexed = collector.packs_seen & !indexed;
        let own_segment = if is_repacked { 1 << repacked_segment(number, collector) } else { 0 };
        Marks {
            kept,
            garbage: (indexed & !kept | unindexed) & !log.retired_since(0) & !repacked,
            unused_segments: collector.segments_seen & !view.segments & !log.removed_since(0) & !own_segment,
        }
    }

    /// The entry of a collector that has marked.
    fn collection(&self, world: &World, number: u8) -> (Entry, Basis) {
        let collector = &world.collectors[number as usize];
        let marks = self.marks(world, number, collector);
        let mut entry =
            Entry { packs_retired: marks.garbage, segments_removed: marks.unused_segments, ..Entry::default() };
        let mut basis = Basis { base: collector.base, ..Basis::default() };
        if collector.source.is_some() {
            basis.own = 1 << repacked_pack(number, collector);
            entry.segment_added = Some(repacked_segment(number, collector));
            entry.segment_base = collector.sealed_base;
        }
        (entry, basis)
    }

    // Compactors.

    fn compactor_steps(&self, world: &World, number: u8) -> Vec<CompactorStep> {
        match world.compactors[number as usize].phase {
            CompactorPhase::Idle => vec![CompactorStep::Read],
            CompactorPhase::Read => vec![CompactorStep::Put],
            CompactorPhase::Put if !self.can_append(world) => Vec::new(),
            CompactorPhase::Put => {
                let (entry, basis) = merge(world, number);
                let violations = self.violations(world, Role::Compactor, &entry, basis);
                let is_good = violations.is_empty();
                let mut steps = vec![if is_good { CompactorStep::Append } else { CompactorStep::GiveUp }];
                if self.is_without(Rule::SegmentsDeletedOnlyAfterTheEntry) {
                    steps.push(CompactorStep::DeleteReplaced);
                }
                steps
            }
            CompactorPhase::Done => Vec::new(),
        }
    }

    fn step_compactor(&self, next: &mut World, number: u8, step: CompactorStep) {
        let mut compactor = next.compactors[number as usize];
        match step {
            CompactorStep::Read => {
                let base = next.log.tail();
                let replaced = view(&next.log).segments;
                compactor = Compactor { phase: CompactorPhase::Read, base, replaced };
            }
            CompactorStep::Put => {
                let packs = self.index(next, &view_at(&next.log, compactor.base));
                next.put_segment(merged_segment(number), packs);
                compactor.phase = CompactorPhase::Put;
            }
            CompactorStep::Append => {
                let (entry, _) = merge(next, number);
                next.log.push(entry);
                compactor = Compactor { phase: CompactorPhase::Done, ..Compactor::default() };
            }
            CompactorStep::GiveUp => {
                compactor = Compactor { phase: CompactorPhase::Done, ..Compactor::default() };
            }
            CompactorStep::DeleteReplaced => next.segments &= !compactor.replaced,
        }
        next.compactors[number as usize] = compactor;
    }

    // Forget and undo: people read the log and append at once.

    fn people(&self, world: &World, actions: &mut Vec<Action>) {
        if !self.can_append(world) {
            return;
        }
        let view = view(&world.log);
        let is_allowed = |entry: Entry| {
            let basis = Basis { base: world.log.tail(), ..Basis::default() };
            self.violations(world, Role::Person, &entry, basis).is_empty()
        };
        let known = world.log.added();
        if world.forgets_left > 0 {
            let can_forget = |id: &u8| is_allowed(Entry { forgotten: 1 << id, ..Entry::default() });
            actions.extend(members(known.into()).filter(can_forget).map(Action::Forget));
        }
        if world.reviver.snapshot.is_some() {
            actions.push(Action::Revive);
        }
        if world.undos_left > 0 {
            let forgotten = known & !view.listed;
            let can_restore = |id: &u8| is_allowed(Entry { restored: 1 << id, ..Entry::default() });
            actions.extend(members(forgotten.into()).filter(can_restore).map(Action::Undo));
            let others = forgotten & !view.restorable;
            for snapshot in members(others.into()) {
                if self.is_without(Rule::UndoOnlyIfNothingWasRetired) {
                    actions.push(Action::Undo(snapshot));
                }
                let found = world.chunks_in(self.index(world, &view));
                let is_whole = world.chunks_of(1 << snapshot) & !found == 0;
                if is_whole && world.reviver.snapshot.is_none() {
                    actions.push(Action::ReadForRevival(snapshot));
                }
            }
        }
    }
}

fn is_of_rule(rule: Rule, role: Role, world: &World, violation: &Violation) -> bool {
    match violation {
        Violation::OwnPackRetired { .. } => {
            rule == Rule::OwnPacks && role == Role::Writer || rule == Rule::OwnRepackedPack && role == Role::Collector
        }
        Violation::OwnSegmentRemoved { .. } => rule == Rule::OwnSegments,
        Violation::ReliedPackRetired { .. } => {
            rule == Rule::ReliedPacks && role == Role::Writer
                || rule == Rule::UndoByCommitReliesOnPacks && role == Role::Reviver
        }
        Violation::ParentForgotten { .. } => rule == Rule::Parents,
        Violation::ReplacedSegmentInvalid { .. } => rule == Rule::ReplacedStillValid,
        Violation::MarksOutdated { slot } => {
            let entry = world.log.at(*slot as u8);
            let only_retires = entry.added | entry.restored == 0 && entry.segment_added.is_none();
            rule == Rule::MarksUpToDate || rule == Rule::RetirementsCountForMarks && only_retires
        }
        _ => false,
    }
}

/// The entry by which a writer commits now, and what it rests on.
pub(super) fn commit(world: &World, number: u8) -> (Entry, Basis) {
    commit_at(world, number, world.log.tail())
}

fn commit_at(world: &World, number: u8, seen: u8) -> (Entry, Basis) {
    let writer = &world.writers[number as usize];
    let mut entry = Entry { added: 1 << (number + 1), ..Entry::default() };
    if writer.has_incomplete {
        let incomplete = 1 << (1 + MAX_WRITERS as u8 + number);
        entry.forgotten = incomplete & view_at(&world.log, seen).listed;
    }
    if writer.own != 0 {
        entry.segment_added = Some(own_segment(number, writer.has_mended));
        entry.segment_base = writer.base;
    }
    let basis =
        Basis { base: writer.base, own: writer.own, relied: writer.relied, parents: writer.parents, replaced: 0 };
    (entry, basis)
}

fn revival(world: &World) -> (Entry, Basis) {
    let added = world.reviver.snapshot.map_or(0, |snapshot| 1 << snapshot);
    let Reviver { base, relied, .. } = world.reviver;
    (Entry { added, ..Entry::default() }, Basis { base, relied, ..Basis::default() })
}

fn merge(world: &World, number: u8) -> (Entry, Basis) {
    let compactor = &world.compactors[number as usize];
    let entry = Entry {
        segment_added: Some(merged_segment(number)),
        segment_base: compactor.base,
        segments_removed: compactor.replaced,
        ..Entry::default()
    };
    let basis = Basis { base: compactor.base, replaced: compactor.replaced, ..Basis::default() };
    (entry, basis)
}

fn after_planning(writer: &Writer) -> WriterPhase {
    if writer.own == 0 { WriterPhase::Ready } else { WriterPhase::Planned }
}

fn own_segment(number: u8, has_mended: bool) -> u8 {
    1 + 2 * number + u8::from(has_mended)
}

fn repacked_pack(number: u8, collector: &Collector) -> u8 {
    5 + 2 * number + collector.runs
}

fn repacked_segment(number: u8, collector: &Collector) -> u8 {
    5 + 2 * number + collector.runs
}

fn merged_segment(number: u8) -> u8 {
    9 + number
}

fn finished(collector: &Collector) -> Collector {
    Collector { runs: collector.runs + 1, ..Collector::default() }
}

/// Kept packs that hold something dead.
fn wasteful(world: &World, collector: &Collector, marks: &Marks) -> impl Iterator<Item = u8> {
    members(marks.kept).filter(move |&pack| live_chunks(world, collector, pack) != world.pack_chunks[pack as usize])
}

fn live_chunks(world: &World, collector: &Collector, pack: u8) -> Chunks {
    let listed = view_at(&world.log, collector.base).listed;
    world.pack_chunks[pack as usize] & world.chunks_of(listed)
}

/// For each chunk the first pack that holds it.
fn one_holder_each(world: &World, chunks: Chunks, packs: Packs) -> Packs {
    members(chunks.into())
        .map(|chunk| world.holders(chunk, packs))
        .fold(0, |chosen, holders| chosen | holders & holders.wrapping_neg())
}
