//! From one collection to the next on a host: the marks of the last one are brought up to date, proved, and left to the next one
//! (docs/design/0006, section 2).
//!
//! Invariant: what was taken from the file is not gone by, and nothing is written to it, unless it adds up. Whatever does not fit, the
//! marks are made anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::segment::SegmentPack;

use super::{Marks, may_be_let_go};
use crate::closure::{self, Role};
use crate::error::{RepoError, Result};
use crate::gc::references::References;
use crate::gc::saved::{self, Owner};
use crate::gc::table::{PackUse, Prefix, WholeIds, prefix, use_weight};
use crate::index::{Digest, LocalIndex, PackInfo};
use crate::protocol::State;

/// Records in packs that came since the last collection, as a share of those before: where there are more, the whole table is made anew.
const NEW_SHARE: u64 = 16;
const NEW_RECORDS_MIN: u64 = 1 << 16;
const NEW_RECORDS_MAX: u64 = 1 << 19;

impl Marks<'_> {
    fn owner(&self) -> Owner {
        Owner {
            repository: self.repository.config().repository,
            fingerprint: self.repository.keys().content_hash(b"marks"),
        }
    }

    /// Goes on from the marks of the last collection on this host; says whether it could.
    pub(super) fn resume(&mut self) -> Result<bool> {
        let Some(folder) = self.references.folder() else { return Ok(false) };
        let Some((table, counted)) = saved::read(folder, self.owner()) else { return Ok(false) };
        (self.table, self.counted) = (table, counted);
        let is_resumed = match self.bring_up() {
            Err(error) if may_be_let_go(&error) || matches!(error, RepoError::Index(_)) => {
                tracing::info!(%error, "the marks of the last collection are left alone");
                false
            }
            is_resumed => is_resumed?,
        };
        self.is_incremental = is_resumed;
        Ok(is_resumed)
    }

    /// Brings the marks of the last collection up to the state; says whether they are good. An error leaves them of no use, too.
    fn bring_up(&mut self) -> Result<bool> {
        let before = self.counted.clone();
        self.state = self.repository.state();
        let index = self.repository.index()?;
        let live: BTreeMap<PackId, PackInfo> =
            index.packs()?.into_iter().filter(|pack| pack.live).map(|pack| (pack.id, pack)).collect();
        let is_known = |pack: &&PackUse| live.get(&pack.id).is_some_and(|info| info.digest == pack.digest);
        let known: HashSet<PackId> = self.table.packs().iter().filter(is_known).map(|pack| pack.id).collect();
        let gone: Vec<PackId> = self.table.packs().iter().filter(|pack| !is_known(pack)).map(|pack| pack.id).collect();
        self.table.retire(&gone);
        self.table.compact();
        for pack in live.values() {
            self.table.set_condemned(&pack.id, pack.is_condemned);
        }
        let new: Vec<PackInfo> = live.into_values().filter(|pack| !known.contains(&pack.id)).collect();
        if !self.insert_packs(index, &new)? {
            return Ok(false);
        }
        let roots = roots_of(&self.state);
        let (came, went) = differences(&before.roots, &roots);
        // In this order: what both name is not looked at.
        self.walk(came)?;
        if !self.unclear.is_empty() || !self.take_out(went)? {
            return Ok(false);
        }
        self.counted.roots = roots;
        if !self.table.is_proven(self.counted.weight) {
            tracing::warn!("the marks of the last collection do not add up, and are made anew");
            return Ok(false);
        }
        self.suspect_what_the_walk_met()?;
        self.choose_once()?;
        self.is_saved = gone.is_empty() && new.is_empty() && self.counted == before;
        Ok(true)
    }

    /// Adds the rows of packs that came since, as their segments tell them; says whether it could.
    fn insert_packs(&mut self, index: &LocalIndex, packs: &[PackInfo]) -> Result<bool> {
        let records: u64 = packs.iter().map(|pack| pack.records).sum();
        let before = self.table.rows();
        let most = (before as u64 / NEW_SHARE).clamp(NEW_RECORDS_MIN, NEW_RECORDS_MAX);
        if records > most || self.table.is_crowded(records as usize) {
            tracing::debug!(records, "too much came since the last collection to go on from its marks");
            return Ok(false);
        }
        let mut wanted: HashMap<PackId, u32> = HashMap::new();
        let mut segments = BTreeSet::new();
        for pack in packs {
            wanted.insert(pack.id, self.table.push_pack(PackUse::of(pack)));
            let named_by = index.segments_of(&pack.id)?;
            let named_by = named_by.iter().filter_map(|id| self.state.segments().get(id));
            let right = named_by.filter(|record| self.state.is_pack_valid_in(record.base, &pack.id));
            // One that is read anyway, or the shortest: memory holds one at a time besides the table.
            let best = right.min_by_key(|record| (!segments.contains(&record.id), record.entries));
            segments.extend(best.map(|record| record.id));
        }
        let mut rows = Vec::with_capacity(records as usize);
        let mut found: HashMap<PackId, i64> = HashMap::new();
        for id in &segments {
            let segment = self.repository.fetch_segment(id)?;
            let of_pack = |pack: &SegmentPack| wanted.get(&pack.id).copied().filter(|_| !found.contains_key(&pack.id));
            let numbers: Vec<Option<u32>> = segment.packs.iter().map(of_pack).collect();
            for (pack, (digest, _)) in segment.packs.iter().zip(Digest::of_segment(&segment)) {
                found.entry(pack.id).or_insert(digest.column());
            }
            let of_wanted = segment
                .entries
                .iter()
                .filter_map(|entry| numbers[entry.pack as usize].map(|number| (entry.id, number, entry.stored_len)));
            rows.extend(of_wanted);
        }
        // More than one segment may tell of a pack, and not the same.
        if packs.iter().any(|pack| found.get(&pack.id) != Some(&pack.digest)) {
            tracing::debug!("segments do not tell what the local index knows");
            return Ok(false);
        }
        rows.sort_unstable();
        rows.dedup_by_key(|(id, pack, _)| (*id, *pack));
        self.table.insert(&rows, &Known { index, references: &self.references })?;
        Ok(true)
    }

    /// Takes back what snapshots named that are gone, and with it whatever nothing else names; says whether it could.
    fn take_out(&mut self, roots: Vec<(ChunkId, Role)>) -> Result<bool> {
        let mut todo = Vec::new();
        for (id, role) in roots {
            self.counted.weight = self.counted.weight.wrapping_sub(use_weight(prefix(&id)));
            let taken = match role {
                Role::Node => self.table.disuse_node(prefix(&id)),
                Role::Data => self.table.take_use(prefix(&id)).then_some(false),
            };
            match taken {
                Some(true) => todo.push(id),
                Some(false) => {}
                None => return Ok(false),
            }
        }
        self.remembered(References::write)?;
        while let Some(id) = todo.pop() {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let Some(named) = self.remembered(|references| references.get(&id))?.flatten() else { return Ok(false) };
            self.counted.nodes = self.counted.nodes.saturating_sub(1);
            self.counted.weight = self.counted.weight.wrapping_sub(named.weight(&id));
            for data in named.data {
                if !self.table.take_use(data) {
                    return Ok(false);
                }
            }
            for node in named.nodes {
                match self.table.disuse_node(prefix(&node)) {
                    Some(true) => todo.push(node),
                    Some(false) => {}
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Leaves the marks to the next collection on this host. Nothing can be asked of them afterwards.
    pub(in crate::gc) fn save(mut self) {
        let Some(folder) = self.references.folder().map(Path::to_owned) else { return };
        // Of two nodes that begin alike nobody could say which one is counted.
        if self.is_saved || !self.unclear.is_empty() {
            return;
        }
        self.table.compact();
        if !self.table.is_proven(self.counted.weight) {
            tracing::warn!("the marks do not add up, and are not kept");
            return;
        }
        self.counted.roots.sort_unstable();
        if let Err(error) = self.references.write() {
            tracing::debug!(%error, "the marks are not kept");
        } else if let Err(error) = saved::write(&folder, self.owner(), &self.table, &self.counted) {
            tracing::debug!(%error, "the marks are not kept");
        }
    }
}

/// Whole ids, from the local index and from what nodes are remembered to name.
struct Known<'a> {
    index: &'a LocalIndex,
    references: &'a References,
}

impl WholeIds for Known<'_> {
    fn places(&self, id: &ChunkId) -> Result<usize> {
        Ok(self.index.copies(id)?.len())
    }

    fn is_only_node(&self, id: &ChunkId, (first, last): (Prefix, Prefix)) -> Result<bool> {
        Ok(self.references.nodes_between(first, last)? == [*id])
    }
}

/// What listed snapshots name themselves, sorted.
fn roots_of(state: &State) -> Vec<(ChunkId, Role)> {
    let mut roots: Vec<_> = state.listed().values().flat_map(|listed| closure::roots(&listed.record)).collect();
    roots.sort_unstable();
    roots
}

/// What came and what went between two sorted lists.
fn differences<T: Ord + Copy>(mut before: &[T], mut after: &[T]) -> (Vec<T>, Vec<T>) {
    let (mut came, mut went) = (Vec::new(), Vec::new());
    loop {
        match (before.split_first(), after.split_first()) {
            (Some((old, olds)), Some((new, news))) if old == new => (before, after) = (olds, news),
            (Some((old, olds)), new) if new.is_none_or(|(new, _)| old < new) => {
                went.push(*old);
                before = olds;
            }
            (_, Some((new, news))) => {
                came.push(*new);
                after = news;
            }
            (_, None) => return (came, went),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn what_came_and_what_went_is_counted_as_often_as_it_did() {
        let of = |before: &[u8], after: &[u8]| differences(before, after);
        assert_eq!(of(&[], &[]), (vec![], vec![]));
        assert_eq!(of(&[1, 2], &[]), (vec![], vec![1, 2]));
        assert_eq!(of(&[], &[1, 1]), (vec![1, 1], vec![]));
        assert_eq!(of(&[1, 1, 3, 4], &[1, 2, 3, 3, 5]), (vec![2, 3, 5], vec![1, 4]));
    }
}
