//! Which records can be read: a sorted table of the first eight bytes of their ids, and a bit for each that a walk has met.
//!
//! That is 8 bytes a record where a whole id would take 32: 80 MiB at ten million. Ids are keyed hashes, so that an id which
//! no segment names meets the eight bytes of another once in 2^64 / records. Where the table has the same bytes twice (a
//! second copy, or indeed another id) the local index is asked for the whole id.

use std::collections::HashSet;

use backstay_format::ids::ChunkId;

use super::list::Inventory;
use super::{Damage, Run};
use crate::error::Result;
use crate::repository::Repository;

pub(super) struct Present {
    /// Sorted, each once.
    prefixes: Vec<u64>,
    /// Prefixes that stood in several entries.
    shared: Bits,
    met: Bits,
    /// In place of bits where a prefix is shared.
    met_shared: HashSet<ChunkId>,
    /// Found to be unreadable since the table was made.
    lost: HashSet<ChunkId>,
}

impl Present {
    /// All records that have a copy outside of damaged places.
    pub(super) fn read(repository: &Repository, inventory: &Inventory, damage: &Damage) -> Result<Self> {
        let mut prefixes = Vec::with_capacity(inventory.records() as usize);
        inventory.each_entry(repository, &|_| true, &mut |pack, entry| {
            if !damage.is_lost(&pack.id, &entry.id) {
                prefixes.push(prefix(&entry.id));
            }
        })?;
        Ok(Self::of(prefixes))
    }

    fn of(mut prefixes: Vec<u64>) -> Self {
        prefixes.sort_unstable();
        let mut shared = Bits::new(prefixes.len());
        let mut kept = 0;
        for index in 0..prefixes.len() {
            if kept > 0 && prefixes[kept - 1] == prefixes[index] {
                shared.set(kept - 1);
            } else {
                prefixes[kept] = prefixes[index];
                kept += 1;
            }
        }
        prefixes.truncate(kept);
        let met = Bits::new(kept);
        Self { prefixes, shared, met, met_shared: HashSet::new(), lost: HashSet::new() }
    }

    /// Whether the record has a copy that can be read, as far as is known.
    pub(super) fn contains(&self, run: &Run<'_>, damage: &Damage, id: &ChunkId) -> Result<bool> {
        let Ok(position) = self.prefixes.binary_search(&prefix(id)) else { return Ok(false) };
        if self.lost.contains(id) {
            return Ok(false);
        }
        if !self.shared.get(position) {
            return Ok(true);
        }
        let copies = run.copies(id)?;
        Ok(copies.iter().any(|copy| !damage.is_lost(&copy.pack, id)))
    }

    /// Remembers that the walk has met this record; says whether it is the first time. Only of one that is contained.
    pub(super) fn meet(&mut self, id: &ChunkId) -> bool {
        match self.prefixes.binary_search(&prefix(id)) {
            Ok(position) if !self.shared.get(position) => self.met.set(position),
            _ => self.met_shared.insert(*id),
        }
    }

    pub(super) fn is_met(&self, id: &ChunkId) -> bool {
        match self.prefixes.binary_search(&prefix(id)) {
            Ok(position) if !self.shared.get(position) => self.met.get(position),
            _ => self.met_shared.contains(id),
        }
    }

    /// Begins another walk.
    pub(super) fn forget_met(&mut self) {
        self.met = Bits::new(self.prefixes.len());
        self.met_shared.clear();
    }

    /// Whether some record that can be read begins like this one. For counts: it need not be the same.
    pub(super) fn has_prefix(&self, id: &ChunkId) -> bool {
        self.prefixes.binary_search(&prefix(id)).is_ok()
    }

    pub(super) fn is_lost(&self, id: &ChunkId) -> bool {
        self.lost.contains(id)
    }

    pub(super) fn lose(&mut self, id: ChunkId) {
        self.lost.insert(id);
    }
}

fn prefix(id: &ChunkId) -> u64 {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("eight bytes"))
}

/// A bit for each of so many things.
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn get(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    /// Says whether the bit was not set before.
    fn set(&mut self, index: usize) -> bool {
        let is_new = !self.get(index);
        self.0[index / 64] |= 1 << (index % 64);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prefix_is_kept_once_and_known_to_be_shared() {
        let present = Present::of(vec![5, 9, 5, 1, 9, 9, 1 << 60]);
        assert_eq!(present.prefixes, [1, 5, 9, 1 << 60]);
        assert_eq!([0, 1, 2, 3].map(|position| present.shared.get(position)), [false, true, true, false]);
    }

    #[test]
    fn two_ids_of_one_prefix_are_met_each_for_itself() {
        let id = |first: u8, last: u8| {
            let mut bytes = [first; 32];
            bytes[31] = last;
            ChunkId::new(bytes)
        };
        let mut present = Present::of(vec![prefix(&id(1, 0)), prefix(&id(1, 1)), prefix(&id(2, 0))]);
        assert_eq!(
            [id(1, 0), id(1, 1), id(1, 0), id(2, 0), id(2, 0)].map(|id| present.meet(&id)),
            [true, true, false, true, false]
        );
        present.forget_met();
        assert!(present.meet(&id(1, 0)) && present.meet(&id(2, 0)));
    }
}
