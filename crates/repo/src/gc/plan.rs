//! What a collection decides, as a function of the marks, the listings and the store's times. Pure.
//!
//! Nothing here is about safety: the append checks what may go (docs/design/0002, section 9). These are manners: whom to spare, and
//! what is worth rewriting.

use std::collections::{BTreeMap, HashSet};

use backstay_format::ids::{PackId, SegmentId};
use backstay_format::pack::PackKind;

use super::CollectOptions;
use super::table::PackUse;

/// A writer beats every ten minutes; one that has not for so long is not waited for.
const BEAT_IS_RECENT_SECONDS: i64 = 35 * 60;
/// Packs of which so much is unused are rewritten at any age.
const MOSTLY_UNUSED_OF_256: u64 = 205;
/// Small packs are put together when so many of one size class are there: each record is moved once per class.
const SMALL_PACKS_MIN: usize = 16;
const SMALL_CLASS_BYTES: u64 = 4 << 10;
const SMALL_CLASS_FACTOR: u64 = 16;
/// A rewrite's batch ends with the source that reaches this, or so many bytes: memory follows the number of records, too.
pub(super) const BATCH_RECORDS: u64 = 64 << 10;

/// What a store's clock may be ahead of itself: a change of its clock, several machines.
const AHEAD_SECONDS_MAX: i64 = 3600;

/// A store's time, seconds. What claims to be of a later hour than now was written while a clock was wrong; it would pin garbage
/// until then, and counts as long past instead. That may spare too little, and takes nothing from safety: times are manners.
pub(super) fn credible(at: i64, now: i64) -> i64 {
    if at - now > AHEAD_SECONDS_MAX { 0 } else { at }
}

/// A running writer, as its heartbeat tells it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    /// Seconds, by the store's clock.
    pub(super) at: i64,
    /// The entry that its work began at; 0 where that cannot be read.
    pub(super) base: u64,
    /// The time of that entry: it has put nothing before.
    pub(super) since: i64,
}

/// What was listed, and when, by the store's clock; seconds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) now: i64,
    /// Size and time of every stored pack.
    pub(super) packs: BTreeMap<PackId, (u64, i64)>,
    pub(super) segments: BTreeMap<SegmentId, i64>,
    /// Of others.
    pub(super) beats: Vec<Beat>,
}

impl Listing {
    fn beats_recently(&self, beat: &Beat) -> bool {
        self.now - beat.at < BEAT_IS_RECENT_SECONDS
    }

    /// Whether a writer runs whose work began before this entry.
    fn is_writing_since_before(&self, slot: u64) -> bool {
        self.beats.iter().any(|beat| self.beats_recently(beat) && beat.base < slot)
    }

    /// Whether a writer runs that may have put something at this time.
    fn is_writing_since(&self, at: i64) -> bool {
        self.beats.iter().any(|beat| self.beats_recently(beat) && beat.since <= at)
    }
}

/// What the log says, as far as the decision needs it.
pub(super) struct Log<'a> {
    /// The slot that condemned a pack, and the store's time of that entry.
    pub(super) condemned: &'a BTreeMap<PackId, (u64, i64)>,
    pub(super) is_valid_segment: &'a dyn Fn(&SegmentId) -> bool,
    /// Whether an entry let it go already.
    pub(super) is_pack_let_go: &'a dyn Fn(&PackId) -> bool,
    pub(super) is_segment_let_go: &'a dyn Fn(&SegmentId) -> bool,
}

/// What one entry is to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) condemn: Vec<PackId>,
    pub(super) reprieve: Vec<PackId>,
    pub(super) retire: Vec<PackId>,
    /// Retired packs that no segment names: nobody can have read them.
    pub(super) unindexed: Vec<PackId>,
    pub(super) remove_segments: Vec<SegmentId>,
    /// Condemned packs that wait, with the store's time from which they may go; writers may hold them longer.
    pub(super) waiting: Vec<(PackId, i64)>,
    /// Packs and segments that nobody names yet, and that may be somebody's who is at work.
    pub(super) spared: Vec<PackId>,
}

impl Decision {
    pub(super) fn is_empty(&self) -> bool {
        self.condemn.is_empty()
            && self.reprieve.is_empty()
            && self.retire.is_empty()
            && self.unindexed.is_empty()
            && self.remove_segments.is_empty()
    }
}

/// What is garbage, and what of it may go now.
pub(super) fn decide(options: &CollectOptions, packs: &[PackUse], listing: &Listing, log: &Log<'_>) -> Decision {
    let mut decision = Decision::default();
    let is_immediate = options.grace_seconds == 0;
    for pack in packs.iter().filter(|pack| !pack.is_gone) {
        let condemned = log.condemned.get(&pack.id);
        match (pack.is_garbage(), condemned) {
            (false, None) => {}
            (false, Some(_)) => decision.reprieve.push(pack.id),
            (true, _) if is_immediate => decision.retire.push(pack.id),
            (true, None) => decision.condemn.push(pack.id),
            (true, Some(&(slot, at))) => {
                let due = at + options.grace_seconds;
                if listing.now >= due && !listing.is_writing_since_before(slot) {
                    decision.retire.push(pack.id);
                } else {
                    decision.waiting.push((pack.id, due));
                }
            }
        }
    }
    let known: HashSet<&PackId> = packs.iter().map(|pack| &pack.id).collect();
    let is_old = |at: i64| listing.now - at >= options.grace_seconds && !listing.is_writing_since(at);
    let may_go = |at: i64| is_immediate || is_old(at);
    for (id, (_, at)) in &listing.packs {
        if known.contains(id) || (log.is_pack_let_go)(id) {
            continue;
        }
        if may_go(*at) { decision.unindexed.push(*id) } else { decision.spared.push(*id) }
    }
    for (id, at) in &listing.segments {
        let is_unused = !(log.is_valid_segment)(id) && !(log.is_segment_let_go)(id);
        if is_unused && may_go(*at) {
            decision.remove_segments.push(*id);
        }
    }
    decision
}

/// Packs to be rewritten, those of one kind together, those with the most waste first.
pub(super) fn choose_repack(
    options: &CollectOptions,
    packs: &[PackUse],
    listing: &Listing,
    pack_bytes: impl Fn(PackKind) -> u64,
) -> Vec<PackId> {
    let is_candidate = |pack: &&PackUse| {
        let is_whole = listing.packs.get(&pack.id).is_some_and(|(size_bytes, _)| *size_bytes == pack.size_bytes);
        !pack.is_gone && !pack.is_suspect && !pack.is_garbage() && is_whole
    };
    let unused = PackUse::unused_bytes;
    let used_bytes: u64 = packs.iter().filter(is_candidate).map(PackUse::used_bytes).sum();
    let mut unused_bytes: u64 = packs.iter().filter(is_candidate).map(unused).sum();
    let allowed_bytes = (used_bytes as f64 * options.unused_max).min(u64::MAX as f64) as u64;
    let mut budget = options.repack_bytes_max.unwrap_or(u64::MAX);
    let is_old = |pack: &PackUse| {
        let at = listing.packs.get(&pack.id).map_or(listing.now, |(_, at)| *at);
        listing.now - at >= options.pack_age_min_seconds || unused(pack) * 256 >= pack.size_bytes * MOSTLY_UNUSED_OF_256
    };
    let mut chosen: Vec<&PackUse> = Vec::new();
    let mut wasteful: Vec<&PackUse> =
        packs.iter().filter(is_candidate).filter(|pack| unused(pack) > 0 && is_old(pack)).collect();
    // The greatest share of waste first: the most is freed for what is written.
    wasteful.sort_by(|left, right| {
        let share = |pack: &PackUse| unused(pack) as f64 / pack.size_bytes as f64;
        share(right).total_cmp(&share(left)).then(left.id.cmp(&right.id))
    });
    for pack in wasteful {
        if unused_bytes <= allowed_bytes {
            break;
        }
        if pack.size_bytes > budget {
            continue;
        }
        budget -= pack.size_bytes;
        unused_bytes -= unused(pack);
        chosen.push(pack);
    }
    let mut classes: BTreeMap<(u8, u32), Vec<&PackUse>> = BTreeMap::new();
    let taken: HashSet<PackId> = chosen.iter().map(|pack| pack.id).collect();
    for pack in packs.iter().filter(is_candidate).filter(|pack| !taken.contains(&pack.id) && is_old(pack)) {
        // One of many tiny records is as large as a batch makes it.
        if pack.size_bytes < pack_bytes(pack.kind) / 2 && pack.kept_records < BATCH_RECORDS / 2 {
            let class = (pack.size_bytes / SMALL_CLASS_BYTES).max(1).ilog(SMALL_CLASS_FACTOR);
            classes.entry((pack.kind as u8, class)).or_default().push(pack);
        }
    }
    for small in classes.into_values().filter(|small| small.len() >= SMALL_PACKS_MIN) {
        for pack in small {
            if pack.size_bytes <= budget {
                budget -= pack.size_bytes;
                chosen.push(pack);
            }
        }
    }
    let at = |pack: &PackUse| listing.packs.get(&pack.id).map_or(0, |(_, at)| *at);
    chosen.sort_by_key(|pack| (pack.kind as u8, at(pack), pack.id));
    chosen.into_iter().map(|pack| pack.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn pack(number: u8, size_bytes: u64, kept_bytes: u64) -> PackUse {
        let pack = PackUse::new(PackId::new([number; 32]), PackKind::Data, size_bytes, 0);
        PackUse { kept_records: u64::from(kept_bytes > 0), kept_bytes, ..pack }
    }

    fn listing(packs: &[PackUse], now: i64) -> Listing {
        let packs = packs.iter().map(|pack| (pack.id, (pack.size_bytes, 0))).collect();
        Listing { now, packs, ..Listing::default() }
    }

    fn decide_with(
        options: &CollectOptions,
        packs: &[PackUse],
        listing: &Listing,
        condemned: &[(u8, u64, i64)],
    ) -> Decision {
        let condemned = condemned.iter().map(|(number, slot, at)| (PackId::new([*number; 32]), (*slot, *at))).collect();
        let log = Log {
            condemned: &condemned,
            is_valid_segment: &|_| false,
            is_pack_let_go: &|_| false,
            is_segment_let_go: &|_| false,
        };
        decide(options, packs, listing, &log)
    }

    #[test]
    fn garbage_is_condemned_first_and_retired_after_the_grace() {
        let options = CollectOptions::default();
        let packs = [pack(1, 100, 0), pack(2, 100, 100)];
        let first = decide_with(&options, &packs, &listing(&packs, 1000), &[]);
        assert_eq!((first.condemn, first.retire), (vec![packs[0].id], vec![]));
        let early = decide_with(&options, &packs, &listing(&packs, 1000 + DAY - 1), &[(1, 5, 1000)]);
        assert_eq!((early.retire.len(), early.waiting), (0, vec![(packs[0].id, 1000 + DAY)]));
        let due = decide_with(&options, &packs, &listing(&packs, 1000 + DAY), &[(1, 5, 1000)]);
        assert_eq!(due.retire, [packs[0].id]);
    }

    #[test]
    fn a_writer_that_began_before_holds_what_was_condemned() {
        let options = CollectOptions::default();
        let packs = [pack(1, 100, 0)];
        for (base, beat, is_held) in [(4, 3 * DAY, true), (5, 3 * DAY, false), (4, 3 * DAY - 3600, false)] {
            let mut listing = listing(&packs, 3 * DAY);
            listing.beats.push(Beat { at: beat, base, since: 0 });
            let decision = decide_with(&options, &packs, &listing, &[(1, 5, 0)]);
            assert_eq!(decision.retire.is_empty(), is_held, "base {base}, beat at {beat}");
        }
    }

    #[test]
    fn what_is_needed_again_is_reprieved() {
        let packs = [pack(1, 100, 50)];
        let decision = decide_with(&CollectOptions::default(), &packs, &listing(&packs, 9 * DAY), &[(1, 5, 0)]);
        assert_eq!(decision, Decision { reprieve: vec![packs[0].id], ..Decision::default() });
    }

    #[test]
    fn what_no_segment_names_is_spared_while_its_writer_may_be_at_work() {
        let options = CollectOptions::default();
        let stray = [pack(9, 10, 0)];
        let mut listing = listing(&stray, 2 * DAY);
        assert_eq!(decide_with(&options, &[], &listing, &[]).unindexed, [stray[0].id]);
        let put = listing.packs[&stray[0].id].1;
        listing.beats.push(Beat { at: 2 * DAY, base: 7, since: put + 1 });
        assert_eq!(
            decide_with(&options, &[], &listing, &[]).unindexed,
            [stray[0].id],
            "who began later has not put it"
        );
        listing.beats.push(Beat { at: 2 * DAY, base: 6, since: put });
        assert_eq!(decide_with(&options, &[], &listing, &[]).spared, [stray[0].id]);
    }

    #[test]
    fn a_time_in_the_future_counts_as_long_past() {
        assert_eq!(
            [DAY - 5, DAY, DAY + 3600, DAY + 3601, 400 * DAY].map(|at| credible(at, DAY)),
            [DAY - 5, DAY, DAY + 3600, 0, 0]
        );
    }

    #[test]
    fn the_most_wasteful_packs_go_first_until_the_waste_is_allowed() {
        let packs = [pack(1, 1 << 30, 1 << 29), pack(2, 1 << 30, 1 << 26), pack(3, 1 << 30, (1 << 30) - 100)];
        let options = CollectOptions { unused_max: 0.4, ..CollectOptions::default() };
        let chosen = choose_repack(&options, &packs, &listing(&packs, DAY), |_| 32 << 20);
        assert_eq!(chosen, [packs[1].id]);
        let options = CollectOptions { unused_max: 0.0, repack_bytes_max: Some(2 << 30), ..CollectOptions::default() };
        assert_eq!(choose_repack(&options, &packs, &listing(&packs, DAY), |_| 32 << 20).len(), 2);
    }

    #[test]
    fn young_packs_are_left_unless_they_are_mostly_unused() {
        let packs = [pack(1, 1 << 20, 1 << 19), pack(2, 1 << 20, 1000)];
        let options = CollectOptions { unused_max: 0.0, pack_age_min_seconds: 30 * DAY, ..CollectOptions::default() };
        assert_eq!(choose_repack(&options, &packs, &listing(&packs, DAY), |_| 1 << 20), [packs[1].id]);
        assert_eq!(choose_repack(&options, &packs, &listing(&packs, 31 * DAY), |_| 1 << 20).len(), 2);
    }

    #[test]
    fn small_packs_are_put_together_once_they_are_many() {
        let packs: Vec<_> = (1..=16).map(|number| pack(number, 10_000, 10_000)).collect();
        let options = CollectOptions::default();
        assert_eq!(choose_repack(&options, &packs, &listing(&packs, DAY), |_| 32 << 20).len(), 16);
        assert_eq!(choose_repack(&options, &packs[1..], &listing(&packs, DAY), |_| 32 << 20).len(), 0);
        let tiny = PackUse { kept_records: BATCH_RECORDS, ..pack(17, 10_000, 10_000) };
        assert_eq!(
            choose_repack(&options, &[&packs[1..], &[tiny]].concat(), &listing(&packs, DAY), |_| 32 << 20).len(),
            0
        );
    }
}
