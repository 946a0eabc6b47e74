//! What each role may do next: every step that touches the store is one action, and anybody may stop before any of them for ever.
//!
//! A check and the create that follows are one action, except for writers: a create that fails because the slot was taken leaves
//! everything as it was. Writers do them apart, because their answers may be lost in between.

use stateright::{Model, Property};

use backstay_repo::protocol::Violation;

use super::properties;
use super::world::{Basis, Chunks, Entry, FIRST_ONLY, Packs, Reviver, SHARED, View, World, judge, members, view};

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
    pub(super) fn is_without(&self, rule: Rule) -> bool {
        self.without == Some(rule)
    }

    pub(super) fn can_append(&self, world: &World) -> bool {
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

fn revival(world: &World) -> (Entry, Basis) {
    let added = world.reviver.snapshot.map_or(0, |snapshot| 1 << snapshot);
    let Reviver { base, relied, .. } = world.reviver;
    (Entry { added, ..Entry::default() }, Basis { base, relied, ..Basis::default() })
}

/// For each chunk the first pack that holds it.
pub(super) fn one_holder_each(world: &World, chunks: Chunks, packs: Packs) -> Packs {
    members(chunks.into())
        .map(|chunk| world.holders(chunk, packs))
        .fold(0, |chosen, holders| chosen | holders & holders.wrapping_neg())
}
