//! Judging every snapshot: kept, and for which reasons, or forgotten.
//!
//! A cluster's snapshot and its volumes' are one unit: the volumes' are not judged, they go when the last one that names them goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backstay_format::ids::SnapshotId;
use backstay_format::log::SnapshotRecord;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::policy::{Policy, Rule};
use crate::select::Selection;

/// What an unfinished run saved is left alone for so long, even when there is something newer: the run may still be going on.
const UNFINISHED_KEPT_HOURS: i64 = 24;

/// A snapshot, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub snapshot: Arc<SnapshotRecord>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// At least one reason.
    Keep(Vec<Kept>),
    Forget(Gone),
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// By a rule of the policy. The period is the one that the snapshot is the newest of.
    Rule {
        name: String,
        period: Option<String>,
    },
    /// The newest accepted one of its source.
    Newest,
    /// One of the newest accepted ones, as many as the policy leaves at least.
    AtLeast,
    Held(Vec<String>),
    /// It was to be kept until this time, which has not come.
    Until(String),
    /// Only what expires was to go, and it never does.
    NeverExpires,
    /// It bears a time that has not come.
    Future,
    /// Its time cannot be read.
    Undated,
    /// Saved by an unfinished run, which may go on from it.
    Unfinished,
    /// A volume of this snapshot, which stays.
    VolumeOf(SnapshotId),
}

/// Why a snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    NoRule,
    Expired,
    /// Saved by an unfinished run; there is something newer to go on from.
    Superseded,
    /// A volume of this snapshot, which goes.
    VolumeOf(SnapshotId),
}

impl Verdict {
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Keep(_))
    }
}

/// Judges those of the listed snapshots that `selection` names: by source, then from old to new.
///
/// Each source is judged by itself. What protects its newest accepted snapshots looks at all of the source, selected or not.
pub fn decide(
    listed: impl IntoIterator<Item = Arc<SnapshotRecord>>,
    policy: &Policy,
    selection: &Selection,
    now: Timestamp,
) -> Vec<Judged> {
    let listed: BTreeMap<SnapshotId, Arc<SnapshotRecord>> =
        listed.into_iter().map(|record| (record.id, record)).collect();
    let namers = namers(listed.values().cloned());
    let mut sources: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
    for record in listed.values().filter(|record| !namers.contains_key(&record.id)) {
        sources.entry(&record.source).or_default().push(Candidate::new(record, &listed, now));
    }
    let mut judged = Vec::new();
    for candidates in sources.values_mut() {
        candidates.sort_by_key(|candidate| (candidate.time, candidate.record.id));
        judged.extend(decide_source(candidates, policy, selection, now));
    }
    decide_volumes(&mut judged, &listed, &namers);
    judged.sort_by(|left, right| order(&left.snapshot).cmp(&order(&right.snapshot)));
    judged
}

/// Who names each snapshot as one of its volumes'.
pub(crate) fn namers(listed: impl Iterator<Item = Arc<SnapshotRecord>>) -> BTreeMap<SnapshotId, BTreeSet<SnapshotId>> {
    let mut namers: BTreeMap<SnapshotId, BTreeSet<SnapshotId>> = BTreeMap::new();
    for record in listed {
        for volume in record.volumes.values().filter(|volume| **volume != record.id) {
            namers.entry(*volume).or_default().insert(record.id);
        }
    }
    namers
}

/// The newest accepted and finished snapshots of a source that are not dated in the future, as many as are to be left.
///
/// Where all are from the future, these count: something has to be the newest.
pub(crate) fn newest_accepted(
    snapshots: impl IntoIterator<Item = Arc<SnapshotRecord>>,
    count: usize,
    now: Timestamp,
) -> Vec<SnapshotId> {
    let usable = |record: &Arc<SnapshotRecord>| record.accepted && !record.incomplete;
    let dated = |record: Arc<SnapshotRecord>| Some((record.started.parse::<Timestamp>().ok()?, record.id));
    let mut dated: Vec<_> = snapshots.into_iter().filter(usable).filter_map(dated).collect();
    dated.sort_unstable();
    let from_now_on = dated.partition_point(|(time, _)| *time <= now);
    if from_now_on > 0 {
        dated.truncate(from_now_on);
    }
    dated.into_iter().rev().take(count).map(|(_, id)| id).collect()
}

/// A snapshot of a source, with what a decision asks of it.
struct Candidate<'a> {
    record: &'a Arc<SnapshotRecord>,
    time: Option<Timestamp>,
    is_future: bool,
    /// Its own holds and its volumes'.
    holds: Vec<String>,
    expiry: Expiry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Never,
    Coming,
    Past,
}

impl<'a> Candidate<'a> {
    fn new(
        record: &'a Arc<SnapshotRecord>,
        listed: &BTreeMap<SnapshotId, Arc<SnapshotRecord>>,
        now: Timestamp,
    ) -> Self {
        let time = record.started.parse().ok();
        let volumes = record.volumes.values().filter_map(|id| listed.get(id));
        let holds: BTreeSet<&String> = volumes.chain([record]).flat_map(|record| &record.holds).collect();
        let expiry = match record.expires.as_deref().map(str::parse::<Timestamp>) {
            None => Expiry::Never,
            Some(Ok(until)) if until <= now => Expiry::Past,
            // A time that cannot be read has not come.
            Some(_) => Expiry::Coming,
        };
        Self {
            record,
            time,
            is_future: time.is_some_and(|time| time > now),
            holds: holds.into_iter().cloned().collect(),
            expiry,
        }
    }

    /// The time of one that the rules look at.
    fn counted_time(&self, policy: &Policy) -> Option<Timestamp> {
        let is_gone = policy.expired && self.expiry == Expiry::Past;
        self.time.filter(|_| !self.is_future && !self.record.incomplete && !is_gone)
    }
}

fn decide_source(candidates: &[Candidate<'_>], policy: &Policy, selection: &Selection, now: Timestamp) -> Vec<Judged> {
    let records = candidates.iter().map(|candidate| candidate.record.clone());
    let at_least = usize::try_from(policy.at_least).unwrap_or(usize::MAX).max(1);
    let protected = newest_accepted(records, at_least, now);
    let selected: Vec<_> = candidates.iter().filter(|candidate| selection.matches(candidate.record)).collect();
    let counted: Vec<Counted<'_>> = selected
        .iter()
        .filter_map(|candidate| Some(Counted { time: candidate.counted_time(policy)?, record: candidate.record }))
        .collect();
    // A flagged one is judged as if it were accepted. The accepted ones are judged without any flagged one, so that none of
    // them goes because of it.
    let accepted: Vec<_> = counted.iter().copied().filter(|counted| counted.record.accepted).collect();
    let mut picked = pick(&accepted, policy);
    let mut picked_of_all = pick(&counted, policy);
    let mut verdict = |candidate: &Candidate<'_>| {
        let record = candidate.record;
        let mut kept = Vec::new();
        if !candidate.holds.is_empty() {
            kept.push(Kept::Held(candidate.holds.clone()));
        }
        if let Some(rank) = protected.iter().position(|id| *id == record.id) {
            kept.push(if rank == 0 { Kept::Newest } else { Kept::AtLeast });
        }
        if candidate.time.is_none() {
            kept.push(Kept::Undated);
        } else if candidate.is_future {
            kept.push(Kept::Future);
        } else if record.incomplete {
            if is_superseded(candidate, candidates, now) {
                return if kept.is_empty() { Verdict::Forget(Gone::Superseded) } else { Verdict::Keep(kept) };
            }
            kept.push(Kept::Unfinished);
            return Verdict::Keep(kept);
        }
        if candidate.expiry == Expiry::Coming {
            kept.extend(record.expires.clone().map(Kept::Until));
        }
        let is_expired = policy.expired && candidate.expiry == Expiry::Past;
        if policy.rules.is_empty() && candidate.expiry == Expiry::Never {
            kept.push(Kept::NeverExpires);
        }
        let by_rules = if record.accepted { &mut picked } else { &mut picked_of_all };
        kept.append(&mut by_rules.remove(&record.id).unwrap_or_default());
        match (kept.is_empty(), is_expired) {
            (false, _) => Verdict::Keep(kept),
            (true, true) => Verdict::Forget(Gone::Expired),
            (true, false) => Verdict::Forget(Gone::NoRule),
        }
    };
    selected
        .into_iter()
        .map(|candidate| Judged { snapshot: candidate.record.clone(), verdict: verdict(candidate) })
        .collect()
}

/// Whether what an unfinished run saved is of no use any more: the next run of its source goes on from something newer.
fn is_superseded(unfinished: &Candidate<'_>, of_source: &[Candidate<'_>], now: Timestamp) -> bool {
    let is_newer = |other: &Candidate<'_>| {
        let is_parent = other.record.incomplete || other.record.accepted;
        is_parent && !other.is_future && other.time > unfinished.time
    };
    let saved = unfinished.record.finished.parse::<Timestamp>().ok().max(unfinished.time);
    let is_old =
        saved.is_some_and(|saved| now.duration_since(saved) > SignedDuration::from_hours(UNFINISHED_KEPT_HOURS));
    is_old && of_source.iter().any(is_newer)
}

/// A snapshot that the rules look at.
#[derive(Clone, Copy)]
struct Counted<'a> {
    time: Timestamp,
    record: &'a Arc<SnapshotRecord>,
}

/// What each rule keeps of these snapshots, which come from old to new.
fn pick(snapshots: &[Counted<'_>], policy: &Policy) -> BTreeMap<SnapshotId, Vec<Kept>> {
    let mut picked: BTreeMap<SnapshotId, Vec<Kept>> = BTreeMap::new();
    let Some(newest) = snapshots.last() else { return picked };
    for rule in &policy.rules {
        let name = rule.name();
        let mut keep = |counted: &Counted<'_>, period: Option<String>| {
            let reason = Kept::Rule { name: name.clone().into_owned(), period };
            picked.entry(counted.record.id).or_default().push(reason);
        };
        match rule {
            Rule::Last(count) => {
                snapshots.iter().rev().take(*count as usize).for_each(|counted| keep(counted, None));
            }
            Rule::Newest { period, count } => {
                // Not only neighbours share a period: where a clock is put back shortly after midnight, a day comes twice.
                let mut seen = BTreeSet::new();
                for counted in snapshots.iter().rev() {
                    let name = period.name_of(counted.time, &policy.zone);
                    if seen.len() < *count as usize && seen.insert(name.clone()) {
                        keep(counted, Some(name));
                    }
                }
            }
            Rule::Within(span) => {
                let cutoff = cutoff(newest.time, *span, &policy.zone);
                snapshots.iter().filter(|counted| counted.time > cutoff).for_each(|counted| keep(counted, None));
            }
            Rule::NewestWithin { period, span } => {
                let cutoff = cutoff(newest.time, *span, &policy.zone);
                let mut seen = BTreeSet::new();
                for counted in snapshots.iter().rev().filter(|counted| counted.time > cutoff) {
                    let name = period.name_of(counted.time, &policy.zone);
                    if seen.insert(name.clone()) {
                        keep(counted, Some(name));
                    }
                }
            }
            Rule::Tags(tags) => {
                let has_all = |counted: &&Counted<'_>| tags.iter().all(|tag| counted.record.tags.contains(tag));
                snapshots.iter().filter(has_all).for_each(|counted| keep(counted, None));
            }
        }
    }
    picked
}

/// So long before the newest snapshot, by the calendar of the zone. What reaches back past all calendars keeps everything.
fn cutoff(newest: Timestamp, span: jiff::Span, zone: &TimeZone) -> Timestamp {
    newest.to_zoned(zone.clone()).checked_sub(span).map_or(Timestamp::MIN, |time| time.timestamp())
}

/// A volume's snapshot stays as long as any that names it, and is shown where one of these was judged.
fn decide_volumes(
    judged: &mut Vec<Judged>,
    listed: &BTreeMap<SnapshotId, Arc<SnapshotRecord>>,
    namers: &BTreeMap<SnapshotId, BTreeSet<SnapshotId>>,
) {
    let verdicts: BTreeMap<SnapshotId, bool> =
        judged.iter().map(|judged| (judged.snapshot.id, judged.verdict.is_kept())).collect();
    for (volume, namers) in namers {
        let Some(record) = listed.get(volume) else { continue };
        let Some(shown) = namers.iter().find(|namer| verdicts.contains_key(namer)) else { continue };
        // One that was not judged stays.
        let staying = namers.iter().find(|namer| verdicts.get(namer) != Some(&false));
        let verdict = match staying {
            Some(namer) => Verdict::Keep(vec![Kept::VolumeOf(*namer)]),
            None => Verdict::Forget(Gone::VolumeOf(*shown)),
        };
        judged.push(Judged { snapshot: record.clone(), verdict });
    }
}

fn order(record: &SnapshotRecord) -> (&str, Option<Timestamp>, SnapshotId) {
    (&record.source, record.started.parse().ok(), record.id)
}
