//! Collectors, with and without a repack, and compactors.

use super::steps::{CollectorStep, CompactorStep, Role, Rule, Scope};
use super::world::{
    Basis, Chunks, Collector, CollectorPhase, Compactor, CompactorPhase, Entry, Packs, Segments, World, members, view,
    view_at,
};
use backstay_repo::protocol::Violation;

/// What a collector found.
pub(super) struct Marks {
    pub kept: Packs,
    pub garbage: Packs,
    pub unused_segments: Segments,
}

impl Scope {
    pub(super) fn collector_steps(&self, world: &World, number: u8) -> Vec<CollectorStep> {
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

    pub(super) fn step_collector(&self, next: &mut World, number: u8, step: CollectorStep) {
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

    pub(super) fn compactor_steps(&self, world: &World, number: u8) -> Vec<CompactorStep> {
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

    pub(super) fn step_compactor(&self, next: &mut World, number: u8, step: CompactorStep) {
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
