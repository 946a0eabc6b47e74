//! What must hold in every state of the model, and what must happen in some.

use stateright::{Model, Property};

use super::steps::{Action, Role, Scope, WriterStep};
use super::world::{Basis, Collector, Entry, World, WriterPhase, view, views};

pub(super) const READABLE: &str = "every chunk of every listed snapshot can be read";
pub(super) const INDEX_IS_TRUE: &str = "everything that the index names is there";
pub(super) const ANSWERED_IS_KEPT: &str = "a commit that was answered is in the log";
pub(super) const READERS_GO_ON: &str = "whatever an older state names and is gone is explained by an entry";
pub(super) const COLLECTABLE: &str = "a fresh collector frees all garbage and nothing else";
pub(super) const WRITERS_END: &str = "a writer that is left alone ends";

pub(super) const DELETED: &str = "a pack is deleted";
pub(super) const MENDED: &str = "a writer commits after mending";
pub(super) const REPACKED: &str = "a pack is repacked";
pub(super) const MERGED: &str = "segments are merged";
pub(super) const UNDONE: &str = "a snapshot is listed again by a word";
pub(super) const REVIVED: &str = "a snapshot is listed again by a commit";
pub(super) const SAVED: &str = "an incomplete snapshot is replaced by its final one";
pub(super) const TAKEN_OVER: &str = "a writer commits a tree taken over unread";

pub(super) fn all(scope: &Scope) -> Vec<Property<Scope>> {
    let mut properties = vec![
        Property::always(READABLE, |_, world: &World| is_readable(world)),
        Property::always(INDEX_IS_TRUE, is_index_true),
        Property::always(ANSWERED_IS_KEPT, |_, world: &World| world.acknowledged & !world.log.added() == 0),
        Property::always(READERS_GO_ON, |_, world: &World| readers_go_on(world)),
        Property::sometimes(DELETED, |_, world: &World| world.log.retired_since(0) & !world.packs != 0),
        Property::sometimes(MENDED, |_, world: &World| {
            world.writers.iter().any(|writer| writer.has_mended && writer.phase == WriterPhase::Done)
        }),
        Property::sometimes(REPACKED, |_, world: &World| {
            entries(world).any(|entry| entry.segment_added.is_some() && entry.packs_retired != 0)
        }),
        Property::sometimes(MERGED, |_, world: &World| {
            entries(world).any(|entry| entry.segment_added.is_some() && entry.segments_removed != 0)
        }),
        Property::sometimes(UNDONE, |_, world: &World| entries(world).any(|entry| entry.restored != 0)),
        Property::sometimes(REVIVED, |_, world: &World| {
            (2..=world.log.tail()).any(|slot| world.log.up_to(slot - 1).added() & world.log.at(slot).added != 0)
        }),
        Property::sometimes(SAVED, |_, world: &World| {
            entries(world).any(|entry| entry.added != 0 && entry.forgotten != 0)
        }),
        Property::sometimes(TAKEN_OVER, |_, world: &World| {
            world.writers.iter().any(|writer| writer.parents != 0 && writer.phase == WriterPhase::Done)
        }),
    ];
    if scope.judges_progress {
        properties.push(Property::always(COLLECTABLE, is_collectable));
        properties.push(Property::always(WRITERS_END, do_writers_end));
    }
    properties
}

fn entries(world: &World) -> impl Iterator<Item = &Entry> {
    world.log.since(0).iter()
}

fn is_readable(world: &World) -> bool {
    let mut view = view(&world.log);
    view.segments &= world.segments;
    let found = world.chunks_in(world.index(&view) & world.packs);
    world.chunks_of(view.listed) & !found == 0
}

fn is_index_true(scope: &Scope, world: &World) -> bool {
    let view = view(&world.log);
    view.segments & !world.segments == 0 && scope.index(world, &view) & !world.packs == 0
}

fn readers_go_on(world: &World) -> bool {
    (1..).zip(views(&world.log)).all(|(slot, old)| {
        old.segments & !world.segments & !world.log.removed_since(slot) == 0
            && world.index(&old) & !world.packs & !world.log.retired_since(slot) == 0
    })
}

/// Everybody else has stopped for ever; one more collector runs once, and deletes.
fn is_collectable(scope: &Scope, world: &World) -> bool {
    let mut after = world.clone();
    let collector = Collector {
        base: world.log.tail(),
        packs_seen: world.packs,
        segments_seen: world.segments,
        ..Collector::default()
    };
    let marks = scope.marks(world, 0, &collector);
    if marks.garbage != 0 || marks.unused_segments != 0 {
        let entry = Entry { packs_retired: marks.garbage, segments_removed: marks.unused_segments, ..Entry::default() };
        let basis = Basis { base: collector.base, ..Basis::default() };
        if !scope.violations(world, Role::Collector, &entry, basis).is_empty() {
            return false;
        }
        after.log.push(entry);
    }
    after.packs &= !after.log.retired_since(0);
    after.segments &= !after.log.removed_since(0);
    is_readable(&after)
        && is_index_true(scope, &after)
        && after.packs == marks.kept
        && after.segments == view(&after.log).segments
}

/// Not judged where the bound of the log stands in the way.
fn do_writers_end(scope: &Scope, world: &World) -> bool {
    (0..scope.writers).all(|number| {
        let mut alone = world.clone();
        let mut actions = Vec::new();
        for _ in 0..16 {
            let phase = alone.writers[number as usize].phase;
            let is_over = matches!(phase, WriterPhase::Done | WriterPhase::GivenUp);
            if is_over || alone.log.tail() >= scope.max_entries {
                return true;
            }
            actions.clear();
            scope.actions(&alone, &mut actions);
            let Some(next) = actions.iter().find(|action| is_plain_step(**action, number)) else {
                return false;
            };
            alone = scope.next_state(&alone, *next).expect("every action of the model leads on");
        }
        false
    })
}

fn is_plain_step(action: Action, number: u8) -> bool {
    matches!(action, Action::Writer(by, step) if by == number
        && !matches!(step, WriterStep::PutPacksUnanswered | WriterStep::CreateUnanswered))
}
