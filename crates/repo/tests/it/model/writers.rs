//! Writers: plan, put, check, create; mend when something was taken from them, once.

use super::steps::{Role, Rule, Scope, WriterStep, one_holder_each};
use super::world::{Basis, Chunks, Entry, MAX_WRITERS, SHARED, World, Writer, WriterPhase, members, view, view_at};

impl Scope {
    pub(super) fn writer_steps(&self, world: &World, number: u8) -> Vec<WriterStep> {
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

    pub(super) fn step_writer(&self, next: &mut World, number: u8, step: WriterStep) {
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

fn after_planning(writer: &Writer) -> WriterPhase {
    if writer.own == 0 { WriterPhase::Ready } else { WriterPhase::Planned }
}

fn own_segment(number: u8, has_mended: bool) -> u8 {
    1 + 2 * number + u8::from(has_mended)
}
