//! Which packs a run reads, and how much was verified when.
//!
//! Bad ones come first, then those that were never verified as deep, then those whose verification is the oldest: so runs of
//! any size cover everything over time. Pure: what was saved and the time are given.

use backstay_format::audit::Depth;
use backstay_format::ids::PackId;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::saved::Saved;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// How much one run reads. The default is everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Packs that were verified as deep so recently are left out.
    pub max_age: Option<SignedDuration>,
    /// No pack is begun later than this after the run began to read.
    pub max_duration: Option<SignedDuration>,
    /// No pack is begun that would make it more bytes; the first one always is.
    pub max_bytes: Option<u64>,
    pub subset: Option<Subset>,
}

/// A part of all packs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Subset {
    /// One of so many parts of about equal size, by the packs' names; from 1 on.
    Part { number: u64, of: u64 },
    /// The packs whose verification is the oldest, up to this share of all bytes.
    Percent(f64),
}

/// A pack and its size in bytes.
pub(super) type Sized = (PackId, u64);

/// What to read, in this order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Chosen {
    pub(super) bad: Vec<Sized>,
    pub(super) others: Vec<Sized>,
}

impl Chosen {
    pub(super) fn new(
        packs: impl Iterator<Item = Sized>,
        is_bad: &dyn Fn(&PackId) -> bool,
        saved: &Saved,
        limits: &Limits,
        depth: Depth,
        now: u64,
    ) -> Self {
        let mut total_bytes = 0;
        let mut wanted: Vec<(bool, u64, Sized)> = Vec::new();
        for (id, size_bytes) in packs {
            total_bytes += size_bytes;
            let verified = saved.verified(&id, depth);
            let is_fresh = || {
                let age = |time| i64::try_from(now.saturating_sub(time)).unwrap_or(i64::MAX);
                let max_age = limits.max_age.map_or(-1, |max_age| max_age.as_secs());
                verified.is_some_and(|time| age(time) < max_age)
            };
            let is_elsewhere = || match limits.subset {
                Some(Subset::Part { number, of }) => place(&id) % of.max(1) + 1 != number,
                _ => false,
            };
            let is_bad = is_bad(&id);
            if is_bad || !(is_fresh() || is_elsewhere()) {
                wanted.push((!is_bad, verified.map_or(0, |time| time.saturating_add(1)), (id, size_bytes)));
            }
        }
        wanted.sort_unstable();
        let share_bytes = match limits.subset {
            Some(Subset::Percent(percent)) => (total_bytes as f64 * percent / 100.0).ceil() as u64,
            _ => u64::MAX,
        };
        let (mut chosen, mut bytes, mut share) = (Self::default(), 0u64, 0u64);
        for (is_sound, _, (id, size_bytes)) in wanted {
            let is_first = bytes == 0;
            if !is_first && limits.max_bytes.is_some_and(|max_bytes| bytes + size_bytes > max_bytes) {
                break;
            }
            if is_sound {
                if share >= share_bytes {
                    break;
                }
                share += size_bytes;
                chosen.others.push((id, size_bytes));
            } else {
                chosen.bad.push((id, size_bytes));
            }
            bytes += size_bytes;
        }
        chosen
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sized> {
        self.bad.iter().chain(&self.others)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.iter().map(|(_, size_bytes)| size_bytes).sum()
    }
}

/// Evenly spread, as names are hashes.
fn place(id: &PackId) -> u64 {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().expect("eight bytes"))
}

/// How much of the packs was verified at one depth or deeper, and when. Damaged packs are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// `bytes` or `full`.
    pub level: &'static str,
    pub packs: u64,
    pub bytes: u64,
    pub verified_packs: u64,
    pub verified_bytes: u64,
    /// Of the verified bytes, those that were in the last 24 hours, 7 days, 30 days.
    pub last_day_bytes: u64,
    pub last_week_bytes: u64,
    pub last_month_bytes: u64,
    /// The oldest verification that still counts; nothing where nothing was verified.
    pub oldest: Option<String>,
}

impl Coverage {
    pub(super) fn of(packs: impl Iterator<Item = Sized>, saved: &Saved, depth: Depth, now: u64) -> Self {
        let mut coverage = Self {
            level: match depth {
                Depth::Bytes => "bytes",
                Depth::Full => "full",
            },
            packs: 0,
            bytes: 0,
            verified_packs: 0,
            verified_bytes: 0,
            last_day_bytes: 0,
            last_week_bytes: 0,
            last_month_bytes: 0,
            oldest: None,
        };
        let mut oldest: Option<u64> = None;
        for (id, size_bytes) in packs {
            coverage.packs += 1;
            coverage.bytes += size_bytes;
            let Some(time) = saved.verified(&id, depth).filter(|_| saved.bad_since(&id).is_none()) else { continue };
            coverage.verified_packs += 1;
            coverage.verified_bytes += size_bytes;
            let age_seconds = now.saturating_sub(time);
            for (days, bytes) in [
                (1, &mut coverage.last_day_bytes),
                (7, &mut coverage.last_week_bytes),
                (30, &mut coverage.last_month_bytes),
            ] {
                if age_seconds < days * DAY_SECONDS {
                    *bytes += size_bytes;
                }
            }
            oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
        }
        coverage.oldest = oldest.map(time_text);
        coverage
    }
}

/// RFC 3339, UTC; of a time that no calendar has, the number of seconds.
pub(super) fn time_text(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn id(n: u8) -> PackId {
        let mut bytes = [0; 32];
        bytes[7] = n;
        PackId::new(bytes)
    }

    /// Packs of 10 bytes, verified so many days ago.
    fn saved(packs: &[(u8, u64)]) -> Saved {
        let mut saved = Saved::default();
        for (n, days) in packs {
            saved.note(id(*n), Depth::Full, true, NOW - days * DAY_SECONDS);
        }
        saved
    }

    fn chosen(saved: &Saved, limits: &Limits) -> (Vec<u8>, Vec<u8>) {
        let packs = (0..6).map(|n| (id(n), 10));
        let chosen = Chosen::new(packs, &|pack| saved.bad_since(pack).is_some(), saved, limits, Depth::Bytes, NOW);
        let names = |packs: &[Sized]| packs.iter().map(|(id, _)| id.as_bytes()[7]).collect();
        (names(&chosen.bad), names(&chosen.others))
    }

    #[test]
    fn bad_ones_come_first_then_the_never_verified_then_the_oldest() {
        let mut saved = saved(&[(0, 3), (1, 9), (3, 40), (5, 1)]);
        saved.note(id(5), Depth::Bytes, false, NOW);
        assert_eq!(chosen(&saved, &Limits::default()), (vec![5], vec![2, 4, 3, 1, 0]));
    }

    #[test]
    fn limits_leave_out_what_is_fresh_elsewhere_or_too_much_and_never_what_is_bad() {
        let mut saved = saved(&[(0, 3), (1, 9), (3, 40), (5, 1)]);
        saved.note(id(5), Depth::Bytes, false, NOW);
        let days = |days: i64| Some(SignedDuration::from_hours(24 * days));
        let limits = Limits { max_age: days(9), ..Limits::default() };
        assert_eq!(chosen(&saved, &limits), (vec![5], vec![2, 4, 3, 1]), "nine days old is not younger than nine days");
        let limits = Limits { max_age: days(10), ..limits };
        assert_eq!(chosen(&saved, &limits), (vec![5], vec![2, 4, 3]));
        let limits = Limits { max_bytes: Some(39), ..limits };
        assert_eq!(chosen(&saved, &limits), (vec![5], vec![2, 4]));
        let limits = Limits { max_bytes: Some(1), ..limits };
        assert_eq!(chosen(&saved, &limits), (vec![5], vec![]), "one is always read");
        for (number, expected) in [(1, vec![3, 0]), (2, vec![4, 1]), (3, vec![2])] {
            let limits = Limits { subset: Some(Subset::Part { number, of: 3 }), ..Limits::default() };
            assert_eq!(chosen(&saved, &limits), (vec![5], expected));
        }
        for (percent, expected) in [(0.1, vec![2]), (17.0, vec![2, 4]), (100.0, vec![2, 4, 3, 1, 0])] {
            let limits = Limits { subset: Some(Subset::Percent(percent)), ..Limits::default() };
            assert_eq!(chosen(&saved, &limits), (vec![5], expected), "{percent}");
        }
    }

    #[test]
    fn coverage_counts_what_was_verified_as_deep_and_is_not_bad_since() {
        let mut saved = saved(&[(0, 3), (1, 9), (3, 40)]);
        saved.note(id(2), Depth::Bytes, true, NOW);
        saved.note(id(1), Depth::Bytes, false, NOW);
        let coverage = |depth| Coverage::of((0..6).map(|n| (id(n), 10)), &saved, depth, NOW);
        let bytes = coverage(Depth::Bytes);
        assert_eq!((bytes.packs, bytes.bytes, bytes.verified_packs, bytes.verified_bytes), (6, 60, 3, 30));
        assert_eq!((bytes.last_day_bytes, bytes.last_week_bytes, bytes.last_month_bytes), (10, 20, 20));
        assert_eq!(bytes.oldest, Some(time_text(NOW - 40 * DAY_SECONDS)));
        assert_eq!(coverage(Depth::Full).verified_packs, 2);
    }

    #[test]
    fn a_deeper_look_stands_for_a_shallower_one_and_never_the_other_way() {
        let mut saved = Saved::default();
        saved.note(id(1), Depth::Full, true, 5);
        assert_eq!((saved.verified(&id(1), Depth::Bytes), saved.verified(&id(1), Depth::Full)), (Some(5), Some(5)));
        saved.note(id(1), Depth::Bytes, true, 7);
        assert_eq!((saved.verified(&id(1), Depth::Bytes), saved.verified(&id(1), Depth::Full)), (Some(7), Some(5)));
        saved.note(id(1), Depth::Full, false, 8);
        assert_eq!((saved.verified(&id(1), Depth::Bytes), saved.bad_since(&id(1))), (None, Some(8)));
        saved.note(id(1), Depth::Bytes, true, 9);
        assert_eq!(saved.bad_since(&id(1)), Some(8), "its records were not looked at");
        saved.note(id(1), Depth::Full, true, 10);
        assert_eq!(saved.bad_since(&id(1)), None);
    }
}
