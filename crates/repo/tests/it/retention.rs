//! Retention: the calendar's edges as tables, and any policy over any snapshots against a naive reading of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use backstay_format::ids::{ChunkId, SnapshotId};
use backstay_format::log::{SnapshotKind, SnapshotRecord, TreeRef};
use backstay_repo::Selection;
use backstay_repo::retention::{Gone, Judged, Kept, Period, Policy, Rule, Verdict, decide};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use proptest::prelude::*;

const NOW: &str = "2030-01-01T00:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn id(number: u64) -> SnapshotId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SnapshotId::new(bytes)
}

/// An accepted snapshot of source `one`.
pub(crate) fn snapshot(number: u64, started: &str) -> SnapshotRecord {
    let tree = TreeRef { root: ChunkId::new([0; 32]), level: 0, items: 0 };
    SnapshotRecord::new(id(number), SnapshotKind::Files, "one", started, tree)
}

pub(crate) fn policy(rules: Vec<Rule>) -> Policy {
    Policy { rules, expired: false, at_least: 1, zone: TimeZone::UTC }
}

fn newest(period: Period, count: u32) -> Rule {
    Rule::Newest { period, count }
}

fn span(text: &str) -> Span {
    text.parse().unwrap()
}

fn judge(snapshots: &[SnapshotRecord], policy: &Policy) -> Vec<Judged> {
    decide(snapshots.iter().cloned().map(Arc::new), policy, &Selection::default(), time(NOW))
}

/// The snapshots that stay, by number, with their reasons; from old to new.
fn kept(judged: &[Judged]) -> Vec<(u64, Vec<Kept>)> {
    judged
        .iter()
        .filter_map(|judged| match &judged.verdict {
            Verdict::Keep(reasons) => Some((number_of(&judged.snapshot), reasons.clone())),
            Verdict::Forget(_) => None,
        })
        .collect()
}

fn number_of(record: &SnapshotRecord) -> u64 {
    u64::from_str_radix(&record.id.to_string()[..16], 16).unwrap()
}

fn kept_ids(judged: &[Judged]) -> BTreeSet<SnapshotId> {
    judged.iter().filter(|judged| judged.verdict.is_kept()).map(|judged| judged.snapshot.id).collect()
}

fn verdict_of(judged: &[Judged], number: u64) -> &Verdict {
    &judged.iter().find(|judged| number_of(&judged.snapshot) == number).unwrap().verdict
}

/// Of snapshots at these times, from old to new, a rule must keep exactly those that have a period's name beside them.
#[track_caller]
fn check(zone_name: &str, rule: Rule, snapshots: &[(&str, &str)]) {
    let records: Vec<_> = (0..).zip(snapshots).map(|(number, (started, _))| snapshot(number, started)).collect();
    let policy = Policy { zone: zone(zone_name), ..policy(vec![rule]) };
    let mut judged = judge(&records, &policy);
    let by_rule = |judged: &Judged| match &judged.verdict {
        Verdict::Keep(reasons) => reasons.iter().find_map(|reason| match reason {
            Kept::Rule { period, .. } => Some(period.clone().unwrap_or_else(|| "kept".to_owned())),
            _ => None,
        }),
        Verdict::Forget(_) => None,
    };
    judged.sort_by_key(|judged| number_of(&judged.snapshot));
    let found: Vec<_> = judged.iter().map(|judged| by_rule(judged).unwrap_or_default()).collect();
    let expected: Vec<_> = snapshots.iter().map(|(_, period)| (*period).to_owned()).collect();
    assert_eq!(found, expected, "{zone_name}");
}

#[test]
fn a_day_of_23_hours_and_one_of_25_are_one_day_each() {
    let daily = || newest(Period::Day, u32::MAX);
    // The clock is put forward on 29 March 2026, at 01:00 UTC, and back on 25 October.
    check(
        "Europe/Berlin",
        daily(),
        &[
            ("2026-03-28T22:59:59Z", "2026-03-28"),
            ("2026-03-28T23:00:00Z", ""),
            ("2026-03-29T00:59:59Z", ""),
            ("2026-03-29T21:59:59Z", "2026-03-29"),
            ("2026-03-29T22:00:00Z", "2026-03-30"),
        ],
    );
    check(
        "Europe/Berlin",
        daily(),
        &[
            ("2026-10-24T21:59:59Z", "2026-10-24"),
            ("2026-10-24T22:00:00Z", ""),
            ("2026-10-25T22:59:59Z", "2026-10-25"),
            ("2026-10-25T23:00:00Z", "2026-10-26"),
        ],
    );
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_two_hours_and_one_that_it_skips_is_none() {
    // 02:30 in Berlin, twice.
    check(
        "Europe/Berlin",
        newest(Period::Hour, 2),
        &[
            ("2026-10-24T23:30:00Z", ""),
            ("2026-10-25T00:30:00Z", "2026-10-25T00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-25T01Z"),
        ],
    );
    // 01:30 and 03:30 in Berlin: an hour apart.
    check(
        "Europe/Berlin",
        newest(Period::Hour, 3),
        &[
            ("2026-03-28T23:30:00Z", "2026-03-28T23Z"),
            ("2026-03-29T00:30:00Z", "2026-03-29T00Z"),
            ("2026-03-29T01:30:00Z", "2026-03-29T01Z"),
        ],
    );
}

#[test]
fn a_day_to_which_the_clock_goes_back_is_one_day_though_its_hours_are_apart() {
    // At 00:01 on 7 November the clock of St. John's was put back to 23:01 on the 6th.
    check(
        "America/St_Johns",
        newest(Period::Day, 5),
        &[
            ("2010-11-07T02:29:00Z", ""),
            ("2010-11-07T02:30:30Z", ""),
            ("2010-11-07T02:45:00Z", "2010-11-06"),
            ("2010-11-07T04:00:00Z", "2010-11-07"),
        ],
    );
}

#[test]
fn the_zone_says_where_a_day_begins() {
    // One instant, two and a half days by their names.
    for (zone, day) in [
        ("Pacific/Kiritimati", "2026-01-02"),
        ("UTC", "2026-01-01"),
        ("Pacific/Pago_Pago", "2025-12-31"),
        ("Asia/Kolkata", "2026-01-01"),
    ] {
        check(zone, newest(Period::Day, 1), &[("2026-01-01T10:30:00Z", day)]);
    }
    let across_midnight_in_india = |before, after| {
        [("2026-05-01T18:29:59Z", before), ("2026-05-01T18:30:00Z", ""), ("2026-05-02T18:29:59Z", after)]
    };
    check("Asia/Kolkata", newest(Period::Day, 9), &across_midnight_in_india("2026-05-01", "2026-05-02"));
    // The clock of Lord Howe is put back by half an hour, on 5 April 2026.
    check(
        "Australia/Lord_Howe",
        newest(Period::Day, 9),
        &[
            ("2026-04-04T12:59:59Z", "2026-04-04"),
            ("2026-04-04T13:00:00Z", ""),
            ("2026-04-05T13:29:59Z", "2026-04-05"),
            ("2026-04-05T13:30:00Z", "2026-04-06"),
        ],
    );
    // Samoa went over the date line, and had no 30 December.
    check(
        "Pacific/Apia",
        newest(Period::Day, 9),
        &[("2011-12-30T09:59:59Z", "2011-12-29"), ("2011-12-30T10:00:00Z", "2011-12-31")],
    );
}

#[test]
fn leap_days_are_days_and_months_and_years_are_those_of_the_calendar() {
    check(
        "UTC",
        newest(Period::Day, 2),
        &[("2028-02-28T12:00:00Z", ""), ("2028-02-29T12:00:00Z", "2028-02-29"), ("2028-03-01T12:00:00Z", "2028-03-01")],
    );
    check(
        "UTC",
        newest(Period::Month, 2),
        &[("2028-02-28T12:00:00Z", ""), ("2028-02-29T12:00:00Z", "2028-02"), ("2028-03-01T12:00:00Z", "2028-03")],
    );
    check(
        "America/New_York",
        newest(Period::Year, 9),
        &[("2027-01-01T04:59:59Z", "2026"), ("2027-01-01T05:00:00Z", ""), ("2028-01-01T04:59:59Z", "2027")],
    );
    // A year before a leap day, and a month before the 31st, are the last days that those months have.
    check(
        "UTC",
        Rule::Within(span("1y")),
        &[("2027-02-28T12:00:00Z", ""), ("2027-02-28T12:00:01Z", "kept"), ("2028-02-29T12:00:00Z", "kept")],
    );
    check(
        "UTC",
        Rule::Within(span("1mo")),
        &[("2028-02-29T12:00:00Z", ""), ("2028-02-29T12:00:01Z", "kept"), ("2028-03-31T12:00:00Z", "kept")],
    );
    // A day of 23 hours: the same time of day, the day before.
    check(
        "Europe/Berlin",
        Rule::Within(span("1d")),
        &[("2026-03-28T12:00:00Z", ""), ("2026-03-28T12:00:01Z", "kept"), ("2026-03-29T11:00:00Z", "kept")],
    );
    // Longer than there are calendars.
    check("UTC", Rule::Within(span("19000y")), &[("2026-03-28T12:00:00Z", "kept"), ("2027-03-29T11:00:00Z", "kept")]);
}

#[test]
fn weeks_are_those_of_iso_8601_also_around_new_year() {
    check(
        "UTC",
        newest(Period::Week, 99),
        &[
            ("2024-12-29T23:59:59Z", "2024-W52"),
            ("2024-12-30T00:00:00Z", ""),
            ("2025-01-05T23:59:59Z", "2025-W01"),
            ("2025-12-28T00:00:00Z", "2025-W52"),
            ("2025-12-29T00:00:00Z", ""),
            ("2026-01-01T00:00:00Z", "2026-W01"),
            ("2026-12-27T23:59:59Z", "2026-W52"),
            ("2026-12-28T00:00:00Z", ""),
            ("2027-01-03T23:59:59Z", "2026-W53"),
            ("2027-01-04T00:00:00Z", "2027-W01"),
        ],
    );
    // Sunday evening in New York is Monday in UTC.
    check(
        "America/New_York",
        newest(Period::Week, 99),
        &[("2027-01-04T04:59:59Z", "2026-W53"), ("2027-01-04T05:00:00Z", "2027-W01")],
    );
}

#[test]
fn of_several_in_one_period_the_newest_stays_and_of_equal_times_one() {
    check(
        "UTC",
        newest(Period::Minute, 2),
        &[
            ("2026-05-01T10:00:59Z", ""),
            ("2026-05-01T10:01:00Z", ""),
            ("2026-05-01T10:01:59.999Z", "2026-05-01T10:01Z"),
            ("2026-05-01T10:02:00Z", ""),
            ("2026-05-01T10:02:00Z", "2026-05-01T10:02Z"),
        ],
    );
    let equal = [("2026-05-01T10:00:00Z", ""), ("2026-05-01T10:00:00Z", "kept"), ("2026-05-01T10:00:00Z", "kept")];
    check("UTC", Rule::Last(2), &equal);
    check(
        "UTC",
        Rule::NewestWithin { period: Period::Day, span: span("2d") },
        &[
            ("2026-05-01T20:00:00Z", ""),
            ("2026-05-02T10:00:00Z", ""),
            ("2026-05-02T20:00:00Z", "2026-05-02"),
            ("2026-05-04T10:00:00Z", ""),
            ("2026-05-04T12:00:00Z", "2026-05-04"),
        ],
    );
}

#[test]
fn rules_are_independent_and_each_that_keeps_a_snapshot_is_named() {
    let snapshots = [
        snapshot(1, "2026-05-01T10:00:00Z"),
        SnapshotRecord { tags: vec!["a".into(), "b".into()], ..snapshot(2, "2026-05-01T11:00:00Z") },
        SnapshotRecord { tags: vec!["a".into()], ..snapshot(3, "2026-05-02T10:00:00Z") },
    ];
    let rules = vec![
        Rule::Last(1),
        newest(Period::Day, 1),
        newest(Period::Month, 5),
        Rule::Tags(vec!["a".into(), "b".into()]),
        Rule::Tags(vec!["c".into()]),
    ];
    let rule = |name: &str, period: Option<&str>| Kept::Rule { name: name.into(), period: period.map(str::to_owned) };
    let newest =
        vec![Kept::Newest, rule("last", None), rule("daily", Some("2026-05-02")), rule("monthly", Some("2026-05"))];
    let judged = judge(&snapshots, &policy(rules));
    assert_eq!(kept(&judged), [(2, vec![rule("tag", None)]), (3, newest)]);
    assert_eq!(*verdict_of(&judged, 1), Verdict::Forget(Gone::NoRule));
}

#[test]
fn each_source_is_judged_by_itself_and_only_what_is_selected_is_judged() {
    let of = |source: &str, record: SnapshotRecord| SnapshotRecord { source: source.to_owned(), ..record };
    let tagged = |record: SnapshotRecord| SnapshotRecord { tags: vec!["nightly".into()], ..record };
    let snapshots = [
        tagged(of("one", snapshot(1, "2026-05-01T00:00:00Z"))),
        tagged(of("one", snapshot(2, "2026-05-02T00:00:00Z"))),
        of("one", snapshot(3, "2026-05-03T00:00:00Z")),
        of("two", snapshot(4, "2020-05-01T00:00:00Z")),
        of("two", snapshot(5, "2020-05-02T00:00:00Z")),
    ];
    let last = policy(vec![Rule::Last(1)]);
    let numbers = |judged: &[Judged]| kept(judged).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
    assert_eq!(numbers(&judge(&snapshots, &last)), [3, 5]);
    let selected = |selection: &Selection, policy: &Policy| {
        decide(snapshots.iter().cloned().map(Arc::new), policy, selection, time(NOW))
    };
    let two = Selection { sources: vec!["two".into()], ..Selection::default() };
    let judged = selected(&two, &last);
    assert_eq!((judged.len(), numbers(&judged)), (2, vec![5]));
    let nightly = Selection { tags: vec!["nightly".into()], ..Selection::default() };
    assert_eq!(numbers(&selected(&nightly, &last)), [2]);
    // What is left at least is counted over the whole source.
    let rules = vec![Rule::Tags(vec!["other".into()])];
    let at_least = |at_least| selected(&nightly, &Policy { at_least, ..policy(rules.clone()) });
    assert_eq!(numbers(&at_least(1)), [0u64; 0]);
    let judged = at_least(2);
    assert_eq!(kept(&judged), [(2, vec![Kept::AtLeast])]);
}

#[test]
fn what_does_not_count_takes_no_place_and_no_policy_removes_the_newest_accepted_one() {
    let good = snapshot(1, "2026-05-01T00:00:00Z");
    let flagged = SnapshotRecord { accepted: false, ..snapshot(2, "2026-05-02T00:00:00Z") };
    let unfinished = SnapshotRecord { incomplete: true, ..snapshot(3, "2026-05-03T00:00:00Z") };
    let future = snapshot(4, "2040-01-01T00:00:00Z");
    let undated = snapshot(5, "yesterday");
    let all = [good.clone(), flagged.clone(), unfinished.clone(), future, undated];
    let judged = judge(&all, &policy(vec![Rule::Last(1)]));
    let last = Kept::Rule { name: "last".into(), period: None };
    assert_eq!(*verdict_of(&judged, 1), Verdict::Keep(vec![Kept::Newest, last.clone()]));
    assert_eq!(*verdict_of(&judged, 2), Verdict::Keep(vec![last.clone()]), "as if it were accepted");
    assert_eq!(*verdict_of(&judged, 3), Verdict::Keep(vec![Kept::Unfinished]));
    assert_eq!(*verdict_of(&judged, 4), Verdict::Keep(vec![Kept::Future]));
    assert_eq!(*verdict_of(&judged, 5), Verdict::Keep(vec![Kept::Undated]));
    // Not even a policy that fits none, or an expiry.
    let none = policy(vec![Rule::Tags(vec!["none".into()])]);
    assert_eq!(kept(&judge(&[good.clone(), flagged], &none)), [(1, vec![Kept::Newest])]);
    let expired = SnapshotRecord { expires: Some("2026-06-01T00:00:00Z".into()), ..good.clone() };
    let expiring = Policy { expired: true, ..policy(Vec::new()) };
    assert_eq!(kept(&judge(&[expired], &expiring)), [(1, vec![Kept::Newest])]);
    // What an unfinished run saved goes when there is something newer, and a day has passed.
    let newer = snapshot(6, "2026-05-04T00:00:00Z");
    let judged = judge(&[unfinished.clone(), newer.clone()], &none);
    assert_eq!(*verdict_of(&judged, 3), Verdict::Forget(Gone::Superseded));
    let soon = time("2026-05-03T23:59:59Z");
    let all = [unfinished, newer].map(Arc::new);
    assert_eq!(kept(&decide(all, &none, &Selection::default(), soon)).len(), 2);
}

#[test]
fn holds_and_promised_times_keep_and_what_has_expired_goes_and_takes_no_place() {
    let expires = |at: &str, record: SnapshotRecord| SnapshotRecord { expires: Some(at.to_owned()), ..record };
    let (past, coming) = ("2029-12-31T23:59:59Z", "2030-01-01T00:00:01Z");
    let snapshots = [
        SnapshotRecord { holds: vec!["case".into()], ..expires(past, snapshot(1, "2026-05-01T00:00:00Z")) },
        expires(past, snapshot(2, "2026-05-02T00:00:00Z")),
        expires(coming, snapshot(3, "2026-05-03T00:00:00Z")),
        expires(NOW, snapshot(4, "2026-05-04T00:00:00Z")),
        expires("never ever", snapshot(5, "2026-05-05T00:00:00Z")),
        snapshot(6, "2026-05-06T00:00:00Z"),
        expires(past, snapshot(7, "2026-05-07T00:00:00Z")),
        snapshot(8, "2026-05-08T00:00:00Z"),
    ];
    let expired = Policy { expired: true, ..policy(Vec::new()) };
    let judged = judge(&snapshots, &expired);
    assert_eq!(
        kept(&judged),
        [
            (1, vec![Kept::Held(vec!["case".into()])]),
            (3, vec![Kept::Until(coming.into())]),
            (5, vec![Kept::Until("never ever".into())]),
            (6, vec![Kept::NeverExpires]),
            (8, vec![Kept::Newest, Kept::NeverExpires]),
        ]
    );
    assert_eq!(*verdict_of(&judged, 4), Verdict::Forget(Gone::Expired));
    let numbers = |policy: &Policy| kept(&judge(&snapshots, policy)).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    let last = vec![Rule::Last(2)];
    assert_eq!(numbers(&Policy { expired: true, ..policy(last.clone()) }), [1, 3, 5, 6, 8]);
    assert_eq!(numbers(&policy(last)), [1, 3, 5, 7, 8], "an expiry alone lets nothing go earlier");
    assert_eq!(numbers(&Policy { at_least: 3, ..expired }), [1, 3, 5, 6, 7, 8]);
}

#[test]
fn the_snapshots_of_a_clusters_volumes_stay_and_go_with_it() {
    let volume = |number: u64, day: u64| SnapshotRecord {
        source: "cluster/shop/data".into(),
        ..snapshot(number, &format!("2026-05-{day:02}T00:00:00Z"))
    };
    let cluster = |number: u64, day: u64, volumes: &[u64]| SnapshotRecord {
        kind: SnapshotKind::Cluster,
        source: "cluster".into(),
        volumes: volumes.iter().map(|number| (format!("shop/{number}"), id(*number))).collect(),
        ..snapshot(number, &format!("2026-05-{day:02}T00:00:10Z"))
    };
    let mut snapshots = vec![
        volume(1, 1),
        volume(2, 2),
        volume(3, 3),
        volume(4, 4),
        cluster(11, 1, &[1, 99]),
        cluster(12, 2, &[2, 3]),
        cluster(13, 3, &[3]),
    ];
    let last = policy(vec![Rule::Last(1)]);
    let numbers = |snapshots: &[SnapshotRecord]| {
        kept(&judge(snapshots, &last)).into_iter().map(|(number, _)| number).collect::<BTreeSet<_>>()
    };
    assert_eq!(numbers(&snapshots), [3, 4, 13].into(), "a shared one stays, and one of no cluster is judged by itself");
    let judged = judge(&snapshots, &last);
    assert_eq!(*verdict_of(&judged, 1), Verdict::Forget(Gone::VolumeOf(id(11))));
    assert_eq!(*verdict_of(&judged, 3), Verdict::Keep(vec![Kept::VolumeOf(id(13))]));
    // A held volume holds all that belongs to it.
    snapshots[1].holds = vec!["case".into()];
    assert_eq!(numbers(&snapshots), [2, 3, 4, 12, 13].into());
}

/// A snapshot as the properties make it: hours and minutes after a start, and what is odd about it.
fn any_snapshots() -> impl Strategy<Value = Vec<SnapshotRecord>> {
    let one = (0..30_000i64, 0..8i64, 0..24u8, 0..4u8);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        (0..)
            .zip(all)
            .map(|(number, (hours, quarters, oddity, tag))| {
                let seconds = hours * 3600 + quarters * 450;
                let started = time("2026-11-25T12:00:00Z") + jiff::SignedDuration::from_secs(seconds);
                let mut record = snapshot(number, &started.to_string());
                match oddity {
                    0 => record.accepted = false,
                    1 => record.incomplete = true,
                    2 => record.holds = vec!["case".into()],
                    3 => record.expires = Some("2029-01-01T00:00:00Z".into()),
                    4 => record.expires = Some("2035-01-01T00:00:00Z".into()),
                    _ => {}
                }
                if tag == 0 {
                    record.tags = vec!["a".into()];
                }
                record
            })
            .collect()
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let period = (0..Period::ALL.len()).prop_map(|index| Period::ALL[index]);
    let spans = prop::sample::select(vec!["36h", "10d", "3w", "1mo", "1y", "2y6mo"]).prop_map(span);
    prop_oneof![
        (0..6u32).prop_map(Rule::Last),
        (period.clone(), 0..6u32).prop_map(|(period, count)| Rule::Newest { period, count }),
        (period.clone(), 0..6u32).prop_map(|(period, count)| Rule::Newest { period, count }),
        spans.clone().prop_map(Rule::Within),
        (period, spans).prop_map(|(period, span)| Rule::NewestWithin { period, span }),
        Just(Rule::Tags(vec!["a".into()])),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let zones =
        vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati"];
    (prop::collection::vec(any_rule(), 1..4), any::<bool>(), 0..4u32, prop::sample::select(zones))
        .prop_map(|(rules, expired, at_least, zone_name)| Policy { rules, expired, at_least, zone: zone(zone_name) })
}

/// What a period is, said in another way.
fn naive_period(period: Period, time: Timestamp, zone: &TimeZone) -> (i64, i64) {
    let local = time.to_zoned(zone.clone());
    let (year, month) = (i64::from(local.year()), i64::from(local.month()));
    match period {
        Period::Minute => (time.as_second().div_euclid(60), 0),
        Period::Hour => (time.as_second().div_euclid(3600), 0),
        Period::Day => (year, i64::from(local.day_of_year())),
        Period::Week => {
            let thursday = local.date() + Span::new().days(3 - i64::from(local.weekday().to_monday_zero_offset()));
            (i64::from(thursday.year()), i64::from((thursday.day_of_year() - 1) / 7))
        }
        Period::Month => (year, month),
        Period::Year => (year, 0),
    }
}

/// Whether a rule keeps `one` of the counted snapshots: its definition, snapshot by snapshot.
fn naive_keeps(rule: &Rule, one: &SnapshotRecord, counted: &[&SnapshotRecord], zone: &TimeZone) -> bool {
    let order = |record: &SnapshotRecord| (time(&record.started), record.id);
    let newer = || counted.iter().filter(|other| order(other) > order(one));
    let in_period = |period, record: &SnapshotRecord| naive_period(period, time(&record.started), zone);
    let is_newest_of = |period| newer().all(|other| in_period(period, other) != in_period(period, one));
    let is_within = |span: Span| {
        let newest = counted.iter().map(|record| time(&record.started)).max().unwrap();
        time(&one.started) > (newest.to_zoned(zone.clone()) - span).timestamp()
    };
    match rule {
        Rule::Last(count) => newer().count() < *count as usize,
        Rule::Newest { period, count } => {
            let later: BTreeSet<_> = newer().map(|other| in_period(*period, other)).collect();
            is_newest_of(*period) && later.len() < *count as usize
        }
        Rule::Within(span) => is_within(*span),
        Rule::NewestWithin { period, span } => is_newest_of(*period) && is_within(*span),
        Rule::Tags(tags) => tags.iter().all(|tag| one.tags.contains(tag)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_is_that_of_a_naive_reading_of_the_rules(snapshots in any_snapshots(), policy in any_policy()) {
        let judged = judge(&snapshots, &policy);
        prop_assert_eq!(judged.len(), snapshots.len());
        let is_past = |record: &SnapshotRecord| record.expires.as_deref() == Some("2029-01-01T00:00:00Z");
        let is_counted = |record: &&SnapshotRecord| {
            !record.incomplete && time(&record.started) <= time(NOW) && !(policy.expired && is_past(record))
        };
        let all: Vec<&SnapshotRecord> = snapshots.iter().filter(is_counted).collect();
        let accepted: Vec<&SnapshotRecord> = all.iter().copied().filter(|record| record.accepted).collect();
        let mut usable: Vec<_> = snapshots
            .iter()
            .filter(|record| record.accepted && !record.incomplete && time(&record.started) <= time(NOW))
            .map(|record| (time(&record.started), record.id))
            .collect();
        usable.sort();
        let protected: Vec<_> = usable.iter().rev().take(policy.at_least.max(1) as usize).map(|(_, id)| *id).collect();
        for one in &judged {
            let record = &*one.snapshot;
            if record.incomplete || time(&record.started) > time(NOW) {
                continue;
            }
            let others = if record.accepted { &accepted } else { &all };
            let counts = is_counted(&record);
            let expected = !record.holds.is_empty()
                || record.expires.is_some() && !is_past(record)
                || protected.contains(&record.id)
                || counts && policy.rules.iter().any(|rule| naive_keeps(rule, record, others, &policy.zone));
            prop_assert_eq!(one.verdict.is_kept(), expected, "{} {:?}", record.started, one.verdict);
        }
    }

    #[test]
    fn deciding_again_on_what_was_kept_lets_nothing_more_go(snapshots in any_snapshots(), policy in any_policy()) {
        let first = judge(&snapshots, &policy);
        let kept: Vec<_> = first.iter().filter(|one| one.verdict.is_kept()).map(|one| (*one.snapshot).clone()).collect();
        let second = judge(&kept, &policy);
        prop_assert_eq!(kept_ids(&second), kept_ids(&first));
        let periods = |judged: &[Judged]| judged.iter().filter(|one| one.verdict.is_kept()).cloned().collect::<Vec<_>>();
        prop_assert_eq!(periods(&second), periods(&first), "the reasons are the same, too");
    }

    #[test]
    fn each_rule_that_counts_lets_one_go_for_a_newer_snapshot_at_most(
        snapshots in any_snapshots(),
        policy in any_policy(),
    ) {
        let before = kept_ids(&judge(&snapshots, &policy));
        let newer = snapshot(1000, NOW);
        let all = [snapshots.clone(), vec![newer.clone()]].concat();
        let after = kept_ids(&judge(&all, &policy));
        prop_assert!(after.contains(&newer.id));
        let brought_back: Vec<_> = after.difference(&before).filter(|id| **id != newer.id).collect();
        prop_assert!(brought_back.is_empty(), "{:?}", brought_back);
        let counting = policy.rules.iter().filter(|rule| matches!(rule, Rule::Last(_) | Rule::Newest { .. })).count();
        let by_time = policy.rules.iter().any(|rule| matches!(rule, Rule::Within(_) | Rule::NewestWithin { .. }));
        let flagged: BTreeSet<_> =
            snapshots.iter().filter(|one| !one.accepted || one.incomplete).map(|one| one.id).collect();
        let gone = before.difference(&after).filter(|id| !flagged.contains(id)).count();
        prop_assert!(by_time || gone <= counting + 1, "{} went, {} rules", gone, counting);
    }

    #[test]
    fn nothing_that_does_not_count_ever_costs_a_good_one(snapshots in any_snapshots(), policy in any_policy()) {
        let good = |judged: &[Judged]| -> BTreeSet<_> {
            let good = |one: &&Judged| one.verdict.is_kept() && one.snapshot.accepted && !one.snapshot.incomplete;
            judged.iter().filter(good).map(|one| one.snapshot.id).collect()
        };
        let before = good(&judge(&snapshots, &policy));
        let at = "2029-12-31T00:00:00Z";
        let flagged = SnapshotRecord { accepted: false, ..snapshot(1000, at) };
        let unfinished = SnapshotRecord { incomplete: true, ..snapshot(1001, at) };
        let future = [snapshot(1002, "2030-01-01T00:00:01Z"), snapshot(1003, "2045-01-01T00:00:00Z")];
        let expired = SnapshotRecord { expires: Some(at.into()), ..snapshot(1004, "2020-01-01T00:00:00Z") };
        let more = [vec![flagged, unfinished, expired], future.to_vec()].concat();
        let after = good(&judge(&[snapshots.clone(), more].concat(), &policy));
        // A dated future counts for nothing unless there is nothing else.
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after).collect::<Vec<_>>());
    }
}
