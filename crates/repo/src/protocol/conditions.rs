//! What must hold when a change is appended: conditions over the entries that others appended since the work began.
//!
//! A violation never means that something was lost; it says what to mend before the next attempt (docs/design/0002).

use std::collections::BTreeSet;

use backstay_format::ids::{PackId, SegmentId, SnapshotId};
use backstay_format::log::Change;

use super::state::{ProtocolError, State};

/// What a writer's work rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriterIntent {
    /// W1: every pack that this run has put and that its change needs.
    pub own_packs: BTreeSet<PackId>,
    /// W1: segments put, but in no entry yet. Those that a proposal's change adds count as well.
    pub own_segments: BTreeSet<SegmentId>,
    /// W2: packs of others holding chunks that were not stored again.
    pub relied_packs: BTreeSet<PackId>,
    /// W3: snapshots of which whole subtrees were taken over unread.
    pub parents: BTreeSet<SnapshotId>,
}

/// A change that somebody wants to append, and what it rests on.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    pub change: &'a Change,
    /// The newest entry that the work behind the change has taken into account. A collector's marks are up to date with it.
    pub base: u64,
    pub intent: &'a WriterIntent,
    /// Those of the change's removed segments whose entries live on in its added ones. The others must be no part of the index.
    pub replaced_segments: &'a BTreeSet<SegmentId>,
}

/// Why a change may not be appended as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("pack {pack}, written by this run, was retired by log entry {slot}")]
    OwnPackRetired { pack: PackId, slot: u64 },
    #[error("index segment {segment}, written by this run, was removed by log entry {slot}")]
    OwnSegmentRemoved { segment: SegmentId, slot: u64 },
    #[error("pack {pack}, which this run relies upon, was retired by log entry {slot}")]
    ReliedPackRetired { pack: PackId, slot: u64 },
    #[error("snapshot {snapshot}, of which this run took over subtrees, was forgotten by log entry {slot}")]
    ParentForgotten { snapshot: SnapshotId, slot: u64 },
    #[error("snapshot {snapshot} is not listed")]
    NotListed { snapshot: SnapshotId },
    #[error("snapshot {snapshot} is held ({})", holds.join(", "))]
    Held { snapshot: SnapshotId, holds: Vec<String> },
    #[error("index segment {segment}, to be replaced, is not valid any more")]
    ReplacedSegmentInvalid { segment: SegmentId },
    #[error("index segment {segment}, to be removed as unused, is valid")]
    UnusedSegmentValid { segment: SegmentId },
    #[error("index segment {segment} claims to know the log up to entry {base}, which its maker has not read")]
    SegmentBaseAhead { segment: SegmentId, base: u64 },
    #[error("log entry {slot} may need what the marks, made before it, would let go")]
    MarksOutdated { slot: u64 },
    #[error("log entry {slot} was not looked at")]
    EntryMissing { slot: u64 },
    #[error(transparent)]
    Unfoldable(#[from] ProtocolError),
    /// Reading goes on; adding to what is only half understood does not.
    #[error("log entry {slot}, of a newer program, changes something that this one does not know")]
    UnknownChange { slot: u64 },
}

/// Whether the change may become the entry after `state`. `later` are all entries after the proposal's base, in order, the last
/// of them being the one that `state` ends with.
pub fn check_append<'a>(
    proposal: &Proposal<'_>,
    state: &State,
    later: impl IntoIterator<Item = (u64, &'a Change)>,
) -> Result<(), Vec<Violation>> {
    let change = proposal.change;
    let mut violations = Vec::new();
    let lets_go = !change.packs_retired.is_empty()
        || change.segments_removed.iter().any(|id| !proposal.replaced_segments.contains(id));
    let added: BTreeSet<_> = change.segments_added.iter().map(|segment| segment.id).collect();
    let mut newest = proposal.base;
    for (slot, entry) in consecutive(proposal.base, later, &mut violations) {
        newest = slot;
        check_entry(proposal.intent, &added, slot, entry, &mut violations);
        if lets_go && affects_marks(entry) {
            violations.push(Violation::MarksOutdated { slot });
        }
    }
    if newest != state.slot() {
        violations.push(Violation::EntryMissing { slot: newest + 1 });
    }
    if let Some(slot) = state.unknown_change() {
        violations.push(Violation::UnknownChange { slot });
    }
    check_snapshots(change, state, &mut violations);
    check_segments(proposal, state, &mut violations);
    if let Err(error) = state.validate(state.next_slot(), change) {
        violations.push(Violation::Unfoldable(error));
    }
    done(violations)
}

/// W1 to W3 alone: what a long run asks now and then, to mend early. When it passes, the run's base may be raised to the last
/// entry given; no other way of raising it is safe.
pub fn check_writer<'a>(
    intent: &WriterIntent,
    base: u64,
    later: impl IntoIterator<Item = (u64, &'a Change)>,
) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    for (slot, entry) in consecutive(base, later, &mut violations) {
        check_entry(intent, &BTreeSet::new(), slot, entry, &mut violations);
    }
    done(violations)
}

/// Whether a collector has to bring its marks up to date with this entry before it lets anything go. Forgetting only makes more
/// garbage, and removed segments live on in those that replace them.
pub fn affects_marks(change: &Change) -> bool {
    // A retirement counts: the kept copy of a chunk may have been in that pack.
    !(change.snapshots_added.is_empty()
        && change.snapshots_restored.is_empty()
        && change.segments_added.is_empty()
        && change.packs_retired.is_empty())
}

/// The entries up to the first gap, which is a violation.
fn consecutive<'a>(
    base: u64,
    later: impl IntoIterator<Item = (u64, &'a Change)>,
    violations: &mut Vec<Violation>,
) -> Vec<(u64, &'a Change)> {
    let mut entries = Vec::new();
    for (expected, (slot, change)) in (base + 1..).zip(later) {
        if slot != expected {
            violations.push(Violation::EntryMissing { slot: expected });
            break;
        }
        entries.push((slot, change));
    }
    entries
}

fn check_entry(
    intent: &WriterIntent,
    added: &BTreeSet<SegmentId>,
    slot: u64,
    entry: &Change,
    violations: &mut Vec<Violation>,
) {
    for &pack in &entry.packs_retired {
        if intent.own_packs.contains(&pack) {
            violations.push(Violation::OwnPackRetired { pack, slot });
        }
        if intent.relied_packs.contains(&pack) {
            violations.push(Violation::ReliedPackRetired { pack, slot });
        }
    }
    for &segment in &entry.segments_removed {
        if intent.own_segments.contains(&segment) || added.contains(&segment) {
            violations.push(Violation::OwnSegmentRemoved { segment, slot });
        }
    }
    for &snapshot in &entry.snapshots_forgotten {
        if intent.parents.contains(&snapshot) {
            violations.push(Violation::ParentForgotten { snapshot, slot });
        }
    }
}

fn check_snapshots(change: &Change, state: &State, violations: &mut Vec<Violation>) {
    for &snapshot in &change.snapshots_forgotten {
        match state.listed().get(&snapshot) {
            None => violations.push(Violation::NotListed { snapshot }),
            Some(listed) if !listed.record.holds.is_empty() => {
                violations.push(Violation::Held { snapshot, holds: listed.record.holds.clone() });
            }
            Some(_) => {}
        }
    }
    for amendment in &change.snapshots_amended {
        let snapshot = amendment.snapshot;
        if !state.listed().contains_key(&snapshot) {
            violations.push(Violation::NotListed { snapshot });
        }
    }
}

fn check_segments(proposal: &Proposal<'_>, state: &State, violations: &mut Vec<Violation>) {
    for &segment in &proposal.change.segments_removed {
        match (proposal.replaced_segments.contains(&segment), state.segments().contains_key(&segment)) {
            (true, false) => violations.push(Violation::ReplacedSegmentInvalid { segment }),
            (false, true) => violations.push(Violation::UnusedSegmentValid { segment }),
            (true, true) | (false, false) => {}
        }
    }
    for segment in &proposal.change.segments_added {
        if segment.base > proposal.base {
            violations.push(Violation::SegmentBaseAhead { segment: segment.id, base: segment.base });
        }
    }
}

fn done(violations: Vec<Violation>) -> Result<(), Vec<Violation>> {
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}
