//! What the log ever let go: more than the state knows, which forgets a retirement when no index segment needs it any more.

use std::collections::HashMap;

use backstay_format::ids::{PackId, SegmentId};
use backstay_format::log::Change;

/// What entries ever let go, with the newest slot that did: its bytes may be deleted, again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetGo {
    pub packs: HashMap<PackId, u64>,
    pub segments: HashMap<SegmentId, u64>,
    /// The slot that condemned a pack before it was retired, or that condemns it now.
    pub condemned: HashMap<PackId, u64>,
}

impl LetGo {
    /// Whether there is anything to [`Self::note`].
    pub(crate) fn is_touched_by(change: &Change) -> bool {
        !(change.packs_condemned.is_empty()
            && change.packs_reprieved.is_empty()
            && change.packs_retired.is_empty()
            && change.segments_removed.is_empty())
    }

    /// Goes on to the change of an entry.
    pub(crate) fn note(&mut self, slot: u64, change: &Change) {
        for pack in &change.packs_condemned {
            self.condemned.entry(*pack).or_insert(slot);
        }
        for pack in &change.packs_reprieved {
            self.condemned.remove(pack);
        }
        self.packs.extend(change.packs_retired.iter().map(|pack| (*pack, slot)));
        self.segments.extend(change.segments_removed.iter().map(|segment| (*segment, slot)));
    }
}
