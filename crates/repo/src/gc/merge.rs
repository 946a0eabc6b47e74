//! Merging index segments: every backup adds some, and who opens the repository without a cache reads them all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backstay_format::ids::{PackId, SegmentId};
use backstay_format::log::Change;
use backstay_format::segment::{SEGMENT_ENTRIES_MAX, Segment, SegmentEntry};

use super::Collection;
use crate::error::{RepoError, Result};
use crate::protocol::{State, WriterIntent};
use crate::repository::Append;

/// Segments of one size class are merged when so many are there: each entry is written once per class.
const CLASS_MIN: usize = 8;
const CLASS_ENTRIES: u64 = 1024;
const CLASS_FACTOR: u64 = 8;
/// More are merged whatever their classes.
const SEGMENTS_MAX: usize = 64;

impl Collection<'_> {
    pub(super) fn merge_segments(&mut self) -> Result<()> {
        self.repository.catch_up()?;
        self.report.segments_before = self.repository.state().segments().len() as u64;
        self.report.segments_after = self.report.segments_before;
        // Each round makes one segment of several.
        while let Some(group) = choose(&sizes(&self.repository.state())) {
            if self.options.dry_run {
                self.report.segments_after -= group.len() as u64 - 1;
                return Ok(());
            }
            if !self.merge(&group)? {
                self.report.is_unfinished = true;
                break;
            }
        }
        self.report.segments_after = self.repository.state().segments().len() as u64;
        Ok(())
    }

    /// Puts one segment in the place of several; says whether it could.
    fn merge(&mut self, group: &[SegmentId]) -> Result<bool> {
        let state = self.repository.state();
        let mut merged = Merged::new(state.slot());
        for id in group {
            let segment = match self.repository.fetch_segment(id) {
                // Somebody else has merged it: there is a newer state.
                Err(error) if error.kind() == crate::error::ErrorKind::NotFound && self.repository.catch_up()? => {
                    return Ok(false);
                }
                segment => segment?,
            };
            merged.add(&segment, |pack| state.is_pack_valid_in(segment.base, pack));
        }
        let mut segment = merged.segment;
        let mut change = Change { segments_removed: group.to_vec(), ..Change::default() };
        let mut intent = WriterIntent::default();
        if !segment.packs.is_empty() {
            let (record, _) = self.repository.put_segment(&mut segment)?;
            intent.own_segments.insert(record.id);
            self.own_segments.insert(record.id);
            change.segments_added.push(record);
        }
        let replaced_segments: BTreeSet<SegmentId> = group.iter().copied().collect();
        let append = Append {
            intent: &intent,
            replaced_segments: &replaced_segments,
            ..Append::new(self.id, "gc: merge", state.slot())
        };
        match self.repository.append(&append, &|_| change.clone()) {
            Ok(_) => {
                for record in &change.segments_added {
                    self.repository.remember_segment(record.id, &segment);
                }
                Ok(true)
            }
            Err(RepoError::Overtaken(violations)) => {
                tracing::info!(?violations, "a merge of index segments was overtaken");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn sizes(state: &State) -> Vec<(u64, SegmentId)> {
    let mut sizes: Vec<_> = state.segments().values().map(|record| (record.entries, record.id)).collect();
    sizes.sort_unstable();
    sizes
}

/// The segments to become one next, from those given in the order of their sizes.
fn choose(sizes: &[(u64, SegmentId)]) -> Option<Vec<SegmentId>> {
    let fitting = |group: &[(u64, SegmentId)]| -> Vec<SegmentId> {
        let mut entries = 0;
        let fits = group.iter().take_while(|(size, _)| {
            entries += size;
            entries <= SEGMENT_ENTRIES_MAX as u64
        });
        fits.map(|(_, id)| *id).collect()
    };
    let mut classes: BTreeMap<u32, Vec<(u64, SegmentId)>> = BTreeMap::new();
    for &(entries, id) in sizes {
        classes.entry((entries / CLASS_ENTRIES).max(1).ilog(CLASS_FACTOR)).or_default().push((entries, id));
    }
    let of_class = classes.values().filter(|class| class.len() >= CLASS_MIN).map(|class| fitting(class));
    if let Some(group) = of_class.into_iter().find(|group| group.len() >= CLASS_MIN) {
        return Some(group);
    }
    let surplus = sizes.len().checked_sub(SEGMENTS_MAX).filter(|surplus| *surplus > 0)?;
    let group = fitting(&sizes[..sizes.len().min(surplus + CLASS_MIN)]);
    (group.len() > 1).then_some(group)
}

/// A segment in the making.
struct Merged {
    segment: Segment,
    numbers: HashMap<PackId, u32>,
    seen: BTreeSet<(u32, u32)>,
}

impl Merged {
    fn new(base: u64) -> Self {
        Self { segment: Segment::new(base), numbers: HashMap::new(), seen: BTreeSet::new() }
    }

    /// Takes over what counts. Two segments may name one pack, after a repair: each of its records once.
    fn add(&mut self, segment: &Segment, is_valid: impl Fn(&PackId) -> bool) {
        let places: Vec<Option<(u32, bool)>> = segment
            .packs
            .iter()
            .map(|pack| {
                if !is_valid(&pack.id) {
                    return None;
                }
                if let Some(number) = self.numbers.get(&pack.id) {
                    return Some((*number, true));
                }
                let number = self.segment.packs.len() as u32;
                self.numbers.insert(pack.id, number);
                self.segment.packs.push(*pack);
                Some((number, false))
            })
            .collect();
        for (number, is_known) in places.iter().flatten() {
            if *is_known {
                let rows = self.segment.entries.iter().filter(|entry| entry.pack == *number);
                self.seen.extend(rows.map(|entry| (entry.pack, entry.offset)));
            }
        }
        for entry in &segment.entries {
            let Some((pack, is_known)) = places[entry.pack as usize] else { continue };
            if !is_known || self.seen.insert((pack, entry.offset)) {
                self.segment.entries.push(SegmentEntry { pack, ..*entry });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(entries: &[u64]) -> Vec<(u64, SegmentId)> {
        let mut sizes: Vec<_> = entries
            .iter()
            .enumerate()
            .map(|(number, entries)| (*entries, SegmentId::new([number as u8; 32])))
            .collect();
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn segments_of_one_class_are_merged_when_they_are_eight() {
        assert_eq!(choose(&segments(&[10; 7])), None);
        assert_eq!(choose(&segments(&[10; 8])).map(|group| group.len()), Some(8));
        let mixed: Vec<u64> = [vec![10; 7], vec![100_000; 7]].concat();
        assert_eq!(choose(&segments(&mixed)), None);
    }

    #[test]
    fn there_are_never_more_than_can_be_merged_down_to_the_limit() {
        let mut sizes: Vec<u64> = (0..100).map(|number| 1 << (number % 19)).collect();
        let mut rounds = 0;
        while let Some(group) = choose(&segments(&sizes)) {
            assert!(group.len() > 1);
            let all = segments(&sizes);
            let merged: u64 = all.iter().filter(|(_, id)| group.contains(id)).map(|(entries, _)| entries).sum();
            assert!(merged <= SEGMENT_ENTRIES_MAX as u64);
            sizes = all.iter().filter(|(_, id)| !group.contains(id)).map(|(entries, _)| *entries).collect();
            sizes.push(merged);
            rounds += 1;
        }
        assert!(sizes.len() <= SEGMENTS_MAX && rounds > 1, "{sizes:?}");
    }

    #[test]
    fn full_segments_stay_as_they_are() {
        assert_eq!(choose(&segments(&[SEGMENT_ENTRIES_MAX as u64; 80])), None);
    }
}
