//! The state at a slot: the fold of every entry up to it.
//!
//! An entry is refused where two readings are possible, or where a snapshot would be listed without a promise that its data is
//! there. Where it only says again what holds already (forget, remove, retire, condemn, reprieve), it is accepted: every reading
//! leads to the same state, and a repository that can be read is worth more than a stricter log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_format::checkpoint::{Checkpoint, ListedSnapshot};
use backstay_format::ids::{EntryHash, PackId, SegmentId, SnapshotId};
use backstay_format::log::{Amendment, Change, LogEntry, SegmentRecord, SnapshotRecord};

use super::FIRST_SLOT;

/// What the log says after its entry [`State::slot`]. The default is the state before the first entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    slot: u64,
    hash: Option<EntryHash>,
    listed: BTreeMap<SnapshotId, Listed>,
    forgotten: BTreeMap<SnapshotId, Forgotten>,
    segments: BTreeMap<SegmentId, SegmentRecord>,
    retired: BTreeMap<PackId, u64>,
    condemned: BTreeMap<PackId, u64>,
    /// The first entry that changed something this version does not know.
    unknown_change: Option<u64>,
}

/// A snapshot that can be listed, and so read in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The entry that committed it.
    pub slot: u64,
    /// As committed, with every later amendment.
    pub record: Arc<SnapshotRecord>,
}

/// A snapshot that can be listed again, because nothing was retired since it was forgotten.
#[derive(Debug, Clone, PartialEq)]
pub struct Forgotten {
    /// The entry that forgot it.
    pub slot: u64,
    pub snapshot: Listed,
}

/// An entry of the log that cannot be folded: damage, or the work of a newer program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("log entry {slot} was read where entry {expected} is due")]
    OutOfOrder { slot: u64, expected: u64 },
    #[error("log entry {slot} names another predecessor than the entry stored before it")]
    WrongPredecessor { slot: u64 },
    #[error("log entry {slot} adds snapshot {snapshot}, which is listed, was just forgotten, or is named twice")]
    SnapshotConflict { slot: u64, snapshot: SnapshotId },
    #[error(
        "log entry {slot} lists snapshot {snapshot} again, but it was not forgotten, or its data may be gone since"
    )]
    NotRestorable { slot: u64, snapshot: SnapshotId },
    #[error("log entry {slot} adds index segment {segment}, which is valid already, or is named twice")]
    SegmentConflict { slot: u64, segment: SegmentId },
    #[error("log entry {slot} adds index segment {segment}, which claims to know the log up to entry {base}")]
    BaseAhead { slot: u64, segment: SegmentId, base: u64 },
}

impl State {
    /// What a checkpoint says.
    pub(crate) fn resume(checkpoint: Checkpoint) -> Self {
        let listed = |it: ListedSnapshot| Listed { slot: it.slot, record: Arc::new(it.record) };
        let forgotten = checkpoint.forgotten.into_iter();
        Self {
            slot: checkpoint.slot,
            hash: Some(checkpoint.hash),
            listed: checkpoint.listed.into_iter().map(|it| (it.record.id, listed(it))).collect(),
            forgotten: forgotten
                .map(|it| (it.snapshot.record.id, Forgotten { slot: it.forgotten, snapshot: listed(it.snapshot) }))
                .collect(),
            segments: checkpoint.segments.into_iter().map(|record| (record.id, record)).collect(),
            retired: checkpoint.retired.into_iter().collect(),
            condemned: checkpoint.condemned.into_iter().collect(),
            unknown_change: None,
        }
    }

    /// The newest entry folded; 0 before the first.
    pub fn slot(&self) -> u64 {
        self.slot
    }

    /// The slot that the next entry will have.
    pub fn next_slot(&self) -> u64 {
        self.slot + 1
    }

    /// The hash of the newest entry's stored bytes, which the next entry must name.
    pub fn hash(&self) -> Option<EntryHash> {
        self.hash
    }

    pub fn listed(&self) -> &BTreeMap<SnapshotId, Listed> {
        &self.listed
    }

    /// Snapshots that may be listed again by an undo.
    pub fn forgotten(&self) -> &BTreeMap<SnapshotId, Forgotten> {
        &self.forgotten
    }

    /// The valid index segments.
    pub fn segments(&self) -> &BTreeMap<SegmentId, SegmentRecord> {
        &self.segments
    }

    /// Retired packs that an index segment may still name, with the slot of their newest retirement.
    pub fn retired(&self) -> &BTreeMap<PackId, u64> {
        &self.retired
    }

    /// Packs better not deduplicated against, with the slot that condemned them.
    pub fn condemned(&self) -> &BTreeMap<PackId, u64> {
        &self.condemned
    }

    /// The first entry that changed something this version does not know: nothing may be added to such a state.
    pub fn unknown_change(&self) -> Option<u64> {
        self.unknown_change
    }

    /// Whether an index segment made at `segment_base` is right about `pack`: it is not if the pack was retired after that.
    pub fn is_pack_valid_in(&self, segment_base: u64, pack: &PackId) -> bool {
        self.retired.get(pack).is_none_or(|&slot| slot <= segment_base)
    }

    /// Goes on to `entry`, whose stored bytes hash to `hash`.
    pub fn follow(&mut self, entry: &LogEntry, hash: EntryHash) -> Result<(), ProtocolError> {
        if entry.slot == self.next_slot() && entry.previous != self.hash {
            return Err(ProtocolError::WrongPredecessor { slot: entry.slot });
        }
        self.apply(entry.slot, &entry.change)?;
        self.hash = Some(hash);
        Ok(())
    }

    /// Goes on to an entry's change, without its place in the chain of hashes. After an error nothing has changed.
    pub fn apply(&mut self, slot: u64, change: &Change) -> Result<(), ProtocolError> {
        self.validate(slot, change)?;
        self.slot = slot;
        self.hash = None;
        if !change.extra.is_empty() {
            self.unknown_change.get_or_insert(slot);
        }
        for id in &change.snapshots_forgotten {
            if let Some(snapshot) = self.listed.remove(id) {
                self.forgotten.insert(*id, Forgotten { slot, snapshot });
            }
        }
        for id in &change.snapshots_restored {
            if let Some(forgotten) = self.forgotten.remove(id) {
                self.listed.insert(*id, forgotten.snapshot);
            }
        }
        for record in &change.snapshots_added {
            self.listed.insert(record.id, Listed { slot, record: Arc::new(record.clone()) });
        }
        for amendment in &change.snapshots_amended {
            if let Some(listed) = self.listed.get_mut(&amendment.snapshot) {
                amend(Arc::make_mut(&mut listed.record), amendment);
            }
        }
        for id in &change.segments_removed {
            self.segments.remove(id);
        }
        for record in &change.segments_added {
            self.segments.insert(record.id, record.clone());
        }
        for pack in &change.packs_condemned {
            self.condemned.entry(*pack).or_insert(slot);
        }
        for pack in &change.packs_reprieved {
            self.condemned.remove(pack);
        }
        for pack in &change.packs_retired {
            self.condemned.remove(pack);
            self.retired.insert(*pack, slot);
        }
        if !change.packs_retired.is_empty() {
            // Nobody knows here whose data the packs held, so that none of these may come back by a mere word.
            self.forgotten.clear();
        }
        if !(change.packs_retired.is_empty() && change.segments_removed.is_empty()) {
            self.drop_unneeded_retirements();
        }
        Ok(())
    }

    /// Whether [`Self::apply`] would accept the change at this slot.
    pub(super) fn validate(&self, slot: u64, change: &Change) -> Result<(), ProtocolError> {
        let expected = self.next_slot();
        if slot != expected || slot < FIRST_SLOT {
            return Err(ProtocolError::OutOfOrder { slot, expected });
        }
        let mut named: BTreeSet<_> = change.snapshots_forgotten.iter().copied().collect();
        for id in &change.snapshots_restored {
            let is_restorable = self.forgotten.contains_key(id) && change.packs_retired.is_empty();
            if !named.insert(*id) || !(is_restorable || self.listed.contains_key(id)) {
                return Err(ProtocolError::NotRestorable { slot, snapshot: *id });
            }
        }
        for record in &change.snapshots_added {
            let snapshot = record.id;
            let is_known = self.listed.contains_key(&snapshot) || self.forgotten.contains_key(&snapshot);
            if !named.insert(snapshot) || is_known {
                return Err(ProtocolError::SnapshotConflict { slot, snapshot });
            }
        }
        let mut named: BTreeSet<_> = change.segments_removed.iter().copied().collect();
        for record in &change.segments_added {
            let segment = record.id;
            if !named.insert(segment) || self.segments.contains_key(&segment) {
                return Err(ProtocolError::SegmentConflict { slot, segment });
            }
            if record.base >= slot {
                return Err(ProtocolError::BaseAhead { slot, segment, base: record.base });
            }
        }
        Ok(())
    }

    /// A retirement at or before the base of every valid segment masks nothing, now or later: whoever adds an older segment
    /// has checked the entries themselves, and a merge of older segments needs them to be valid still.
    fn drop_unneeded_retirements(&mut self) {
        let oldest_base = self.segments.values().map(|segment| segment.base).min();
        self.retired.retain(|_, slot| oldest_base.is_some_and(|base| *slot > base));
    }
}

/// An empty expiry takes the expiry away.
fn amend(record: &mut SnapshotRecord, amendment: &Amendment) {
    if let Some(accepted) = amendment.accepted {
        record.accepted = accepted;
    }
    if let Some(tags) = &amendment.tags {
        record.tags.clone_from(tags);
    }
    if let Some(holds) = &amendment.holds {
        record.holds.clone_from(holds);
    }
    if let Some(expires) = &amendment.expires {
        record.expires = (!expires.is_empty()).then(|| expires.clone());
    }
}
