//! The fold of the log and the conditions of appending, by example and by property. What they amount to together is `model`'s.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::ids::{ChunkId, EntryHash, PackId, SegmentId, SnapshotId, WriterId};
use backstay_format::log::{Amendment, Change, LogEntry, SegmentRecord, SnapshotKind, SnapshotRecord, TreeRef};
use backstay_repo::protocol::{
    Proposal, ProtocolError, State, Violation, WriterIntent, affects_marks, check_append, check_writer, entry_name,
    entry_slot,
};
use proptest::prelude::*;

#[test]
fn names_of_entries_sort_as_slots_do_and_read_back() {
    assert_eq!(entry_name(1), "log/00000000/0000000000000001");
    assert_eq!(entry_name(4096), "log/00000001/0000000000001000");
    let slots = [1, 9, 10, 255, 256, 4095, 4096, 70_000, 1 << 33, 1 << 40];
    let names: Vec<_> = slots.iter().map(|slot| entry_name(*slot)).collect();
    assert!(names.is_sorted());
    assert_eq!(names.iter().filter_map(|name| entry_slot(name)).collect::<Vec<_>>(), slots);
    for other in ["log/00000000/0000000000001000", "log/00000000/000000000000000A", "log", ""] {
        assert_eq!(entry_slot(other), None, "{other}");
    }
}

#[test]
fn an_old_segment_is_wrong_about_a_pack_retired_since_and_right_about_others() {
    let state = folded(&[
        Change { segments_added: vec![segment(1, 0)], ..Change::default() },
        Change { packs_retired: vec![pack(1)], ..Change::default() },
        Change { segments_added: vec![segment(2, 2)], ..Change::default() },
    ]);
    assert!(!state.is_pack_valid_in(0, &pack(1)));
    assert!(!state.is_pack_valid_in(1, &pack(1)));
    assert!(state.is_pack_valid_in(2, &pack(1)));
    assert!(state.is_pack_valid_in(0, &pack(2)));
}

#[test]
fn a_retirement_is_forgotten_once_every_segment_is_younger() {
    let mut log = vec![
        Change { segments_added: vec![segment(1, 0)], ..Change::default() },
        Change { packs_retired: vec![pack(1)], ..Change::default() },
    ];
    assert_eq!(folded(&log).retired().get(&pack(1)), Some(&2));
    log.push(Change {
        segments_added: vec![segment(2, 1)],
        segments_removed: vec![segment_id(1)],
        ..Change::default()
    });
    assert_eq!(folded(&log).retired().get(&pack(1)), Some(&2));
    log.push(Change {
        segments_added: vec![segment(3, 3)],
        segments_removed: vec![segment_id(2)],
        ..Change::default()
    });
    assert!(folded(&log).retired().is_empty());
}

#[test]
fn a_forgotten_snapshot_returns_as_it_was_until_anything_is_retired() {
    let mut state = folded(&[add(1), amend(1, |word| word.accepted = Some(false)), forget(&[1])]);
    assert!(state.listed().is_empty());
    assert_eq!(state.forgotten()[&snapshot_id(1)].slot, 3);

    let mut restored = state.clone();
    let undo = Change { snapshots_restored: vec![snapshot_id(1)], ..Change::default() };
    restored.apply(4, &undo).unwrap();
    assert_eq!(restored.listed()[&snapshot_id(1)].slot, 1);
    assert!(!restored.listed()[&snapshot_id(1)].record.accepted);
    assert!(restored.forgotten().is_empty());

    state.apply(4, &Change { packs_retired: vec![pack(9)], ..Change::default() }).unwrap();
    let error = ProtocolError::NotRestorable { slot: 5, snapshot: snapshot_id(1) };
    assert_eq!(state.apply(5, &undo), Err(error.clone()));
    assert_eq!(check(&state, &undo), vec![Violation::Unfoldable(error)]);
    // As a commit that relies on packs, it may return still.
    state.apply(5, &add(1)).unwrap();
    assert!(state.listed().contains_key(&snapshot_id(1)));
}

#[test]
fn amendments_change_what_they_name_and_an_empty_expiry_takes_it_away() {
    let state = folded(&[
        add(1),
        amend(1, |word| {
            word.tags = Some(vec!["a".into()]);
            word.expires = Some("2030-01-01T00:00:00Z".into());
        }),
        amend(1, |word| word.holds = Some(vec!["audit".into()])),
        amend(2, |word| word.accepted = Some(true)),
    ]);
    let record = &state.listed()[&snapshot_id(1)].record;
    assert_eq!(record.tags, ["a"]);
    assert_eq!(record.holds, ["audit"]);
    assert_eq!(record.expires.as_deref(), Some("2030-01-01T00:00:00Z"));
    assert_eq!(state.listed().len(), 1);
    let state = folded(&[
        add(1),
        amend(1, |word| word.expires = Some("2030-01-01T00:00:00Z".into())),
        amend(1, |word| word.expires = Some(String::new())),
    ]);
    assert_eq!(state.listed()[&snapshot_id(1)].record.expires, None);
}

#[test]
fn condemned_packs_keep_their_first_slot_and_leave_by_reprieve_or_retirement() {
    let condemn = |packs: &[u8]| Change {
        packs_condemned: packs.iter().map(|number| pack(*number)).collect(),
        ..Change::default()
    };
    let state = folded(&[
        condemn(&[1, 2]),
        condemn(&[2, 3]),
        Change { packs_reprieved: vec![pack(1)], packs_retired: vec![pack(3)], ..Change::default() },
    ]);
    assert_eq!(state.condemned().iter().collect::<Vec<_>>(), [(&pack(2), &1)]);
}

#[test]
fn an_entry_that_only_says_again_what_holds_is_accepted() {
    let mut state = folded(&[add(1), forget(&[1])]);
    let before = state.clone();
    let again = Change {
        snapshots_forgotten: vec![snapshot_id(1), snapshot_id(7)],
        segments_removed: vec![segment_id(7)],
        packs_reprieved: vec![pack(7)],
        ..Change::default()
    };
    state.apply(3, &again).unwrap();
    assert_eq!(state.slot(), 3);
    assert_eq!(state.forgotten(), before.forgotten());
    assert_eq!(state.segments(), before.segments());
}

#[test]
fn an_entry_with_two_readings_is_refused_by_name_and_changes_nothing() {
    let state =
        folded(&[add(1), Change { segments_added: vec![segment(1, 0)], ..Change::default() }, add(2), forget(&[2])]);
    let slot = 5;
    let cases = [
        (6, Change::default(), ProtocolError::OutOfOrder { slot: 6, expected: 5 }),
        (4, Change::default(), ProtocolError::OutOfOrder { slot: 4, expected: 5 }),
        (slot, add(1), ProtocolError::SnapshotConflict { slot, snapshot: snapshot_id(1) }),
        (slot, add(2), ProtocolError::SnapshotConflict { slot, snapshot: snapshot_id(2) }),
        (
            slot,
            Change { snapshots_forgotten: vec![snapshot_id(3)], ..add(3) },
            ProtocolError::SnapshotConflict { slot, snapshot: snapshot_id(3) },
        ),
        (
            slot,
            Change { snapshots_restored: vec![snapshot_id(3)], ..Change::default() },
            ProtocolError::NotRestorable { slot, snapshot: snapshot_id(3) },
        ),
        (
            slot,
            Change { snapshots_restored: vec![snapshot_id(2)], packs_retired: vec![pack(1)], ..Change::default() },
            ProtocolError::NotRestorable { slot, snapshot: snapshot_id(2) },
        ),
        (
            slot,
            Change { segments_added: vec![segment(1, 0)], ..Change::default() },
            ProtocolError::SegmentConflict { slot, segment: segment_id(1) },
        ),
        (
            slot,
            Change { segments_added: vec![segment(2, 5)], ..Change::default() },
            ProtocolError::BaseAhead { slot, segment: segment_id(2), base: 5 },
        ),
    ];
    for (slot, change, error) in cases {
        let mut after = state.clone();
        assert_eq!(after.apply(slot, &change), Err(error.clone()));
        assert_eq!(after, state, "{error}");
    }
}

#[test]
fn an_entry_must_name_the_one_before_it() {
    let mut state = State::default();
    state.follow(&entry(1, None), EntryHash::new([1; 32])).unwrap();
    let wrong = state.follow(&entry(2, Some(EntryHash::new([9; 32]))), EntryHash::new([2; 32]));
    assert_eq!(wrong, Err(ProtocolError::WrongPredecessor { slot: 2 }));
    assert_eq!((state.slot(), state.hash()), (1, Some(EntryHash::new([1; 32]))));
    state.follow(&entry(2, state.hash()), EntryHash::new([2; 32])).unwrap();
    assert_eq!((state.slot(), state.hash()), (2, Some(EntryHash::new([2; 32]))));
}

#[test]
fn nothing_is_added_to_a_log_that_says_what_this_version_does_not_know() {
    let newer = Change { extra: [("moved".to_owned(), serde_json::json!([1]))].into(), ..Change::default() };
    let state = folded(&[add(1), newer, add(2)]);
    assert_eq!(state.listed().len(), 2);
    assert_eq!(check(&state, &add(3)), [Violation::UnknownChange { slot: 2 }]);
}

#[test]
fn a_writer_learns_all_that_was_taken_from_it_and_by_which_entry() {
    let intent = WriterIntent {
        own_packs: [pack(1), pack(2)].into(),
        own_segments: [segment_id(1)].into(),
        relied_packs: [pack(3), pack(4)].into(),
        parents: [snapshot_id(1), snapshot_id(2)].into(),
    };
    let first = Change {
        snapshots_forgotten: vec![snapshot_id(2), snapshot_id(5)],
        packs_retired: vec![pack(2), pack(4), pack(8)],
        ..Change::default()
    };
    let second = Change { segments_removed: vec![segment_id(1)], ..Change::default() };
    let violations = check_writer(&intent, 6, [(7, &first), (8, &second)]).unwrap_err();
    assert_eq!(
        violations,
        [
            Violation::OwnPackRetired { pack: pack(2), slot: 7 },
            Violation::ReliedPackRetired { pack: pack(4), slot: 7 },
            Violation::ParentForgotten { snapshot: snapshot_id(2), slot: 7 },
            Violation::OwnSegmentRemoved { segment: segment_id(1), slot: 8 },
        ]
    );
    assert_eq!(check_writer(&intent, 8, []), Ok(()));
    assert_eq!(check_writer(&intent, 6, [(7, &add(9))]), Ok(()));
}

#[test]
fn an_entry_that_was_not_looked_at_is_a_violation() {
    let gap = check_writer(&WriterIntent::default(), 6, [(7, &add(1)), (9, &add(2))]);
    assert_eq!(gap, Err(vec![Violation::EntryMissing { slot: 8 }]));

    let state = folded(&[add(1), add(2)]);
    let proposal =
        Proposal { change: &add(3), base: 0, intent: &WriterIntent::default(), replaced_segments: &BTreeSet::new() };
    let short = check_append(&proposal, &state, [(1, &add(1))]);
    assert_eq!(short, Err(vec![Violation::EntryMissing { slot: 2 }]));
    assert_eq!(check_append(&proposal, &state, [(1, &add(1)), (2, &add(2))]), Ok(()));
}

#[test]
fn only_listed_snapshots_can_be_forgotten_or_amended_and_a_hold_keeps_forget_away() {
    let state = folded(&[add(1), amend(1, |word| word.holds = Some(vec!["audit".into()]))]);
    let not_listed = Violation::NotListed { snapshot: snapshot_id(2) };
    let held = Violation::Held { snapshot: snapshot_id(1), holds: vec!["audit".into()] };
    assert_eq!(check(&state, &forget(&[1, 2])), [held, not_listed.clone()]);
    assert_eq!(check(&state, &amend(2, |_| ())), [not_listed]);
    let release = amend(1, |word| word.holds = Some(Vec::new()));
    assert_eq!(check(&state, &release), []);
}

#[test]
fn marks_are_outdated_by_what_may_need_a_pack_and_not_by_a_forget() {
    let retire = Change { packs_retired: vec![pack(1)], ..Change::default() };
    let commits = [
        add(9),
        Change { snapshots_restored: vec![snapshot_id(2)], ..Change::default() },
        Change { segments_added: vec![segment(5, 0)], ..Change::default() },
        Change { packs_retired: vec![pack(7)], ..Change::default() },
    ];
    let start = [add(1), add(2), forget(&[2])];
    for later in commits {
        assert!(affects_marks(&later));
        let mut log = start.to_vec();
        log.push(later);
        assert_eq!(check_since(&log, 3, &retire), [Violation::MarksOutdated { slot: 4 }]);
        assert_eq!(check_since(&log, 4, &retire), []);
    }
    let mut log = start.to_vec();
    log.push(forget(&[1]));
    log.push(Change { packs_condemned: vec![pack(1)], ..Change::default() });
    assert_eq!(check_since(&log, 3, &retire), []);
}

#[test]
fn a_merge_replaces_valid_segments_only_and_a_collector_removes_others_only() {
    let log = [Change { segments_added: vec![segment(1, 0), segment(2, 0)], ..Change::default() }];
    let state = folded(&log);
    let merge = Change {
        segments_added: vec![segment(3, 1)],
        segments_removed: vec![segment_id(1), segment_id(4)],
        ..Change::default()
    };
    let check_replacing = |base, replaced: &[u8]| {
        let proposal = Proposal {
            change: &merge,
            base,
            intent: &WriterIntent::default(),
            replaced_segments: &replaced.iter().map(|number| segment_id(*number)).collect(),
        };
        let later = (1..).zip(&log).skip(base as usize);
        check_append(&proposal, &state, later).err().unwrap_or_default()
    };
    assert_eq!(check_replacing(1, &[1]), []);
    let invalid = Violation::ReplacedSegmentInvalid { segment: segment_id(4) };
    assert_eq!(check_replacing(1, &[1, 4]), [invalid]);
    let valid = Violation::UnusedSegmentValid { segment: segment_id(1) };
    assert_eq!(check_replacing(1, &[]), [valid]);
    // The marks did not know of the first entry, nor can the merged segment.
    assert_eq!(
        check_replacing(0, &[1]),
        [Violation::MarksOutdated { slot: 1 }, Violation::SegmentBaseAhead { segment: segment_id(3), base: 1 },]
    );
}

proptest! {
    #[test]
    fn a_state_and_the_entries_after_it_fold_to_the_same_as_everything(
        changes in prop::collection::vec(any_change(), 1..30),
        cut in 0..30usize,
    ) {
        let log = accepted(changes);
        let cut = cut.min(log.len());
        let mut resumed = folded(&log[..cut]);
        for (slot, change) in (cut as u64 + 1..).zip(&log[cut..]) {
            resumed.apply(slot, change).unwrap();
        }
        prop_assert_eq!(resumed, folded(&log));
    }

    #[test]
    fn what_the_check_allows_the_fold_accepts(
        changes in prop::collection::vec(any_change(), 1..30),
        next in any_change(),
        replaced in prop::collection::btree_set((0..6u8).prop_map(segment_id), 0..3),
    ) {
        let state = folded(&accepted(changes));
        let proposal = Proposal {
            change: &next,
            base: state.slot(),
            intent: &WriterIntent::default(),
            replaced_segments: &replaced,
        };
        let mut after = state.clone();
        let applied = after.apply(state.next_slot(), &next);
        match check_append(&proposal, &state, []) {
            Ok(()) => prop_assert_eq!(applied, Ok(())),
            Err(violations) => prop_assert!(!violations.is_empty()),
        }
    }

    #[test]
    fn every_retirement_after_a_segment_joined_is_masked_in_it_and_none_before_its_base(
        changes in prop::collection::vec(any_change(), 1..30),
    ) {
        let log = accepted(changes);
        let state = folded(&log);
        for segment in state.segments().values() {
            let joined = (1..).zip(&log).filter(|(_, change)| change.segments_added.contains(segment));
            let joined = joined.map(|(slot, _)| slot).max().unwrap();
            for number in 0..4 {
                let retired = (1..).zip(&log).filter(|(_, change)| change.packs_retired.contains(&pack(number)));
                let retired = retired.map(|(slot, _)| slot).max().unwrap_or(0);
                let is_valid = state.is_pack_valid_in(segment.base, &pack(number));
                prop_assert!(!is_valid || retired <= joined, "retired at {} in {:?}", retired, segment);
                prop_assert!(is_valid || retired > segment.base, "not retired in {:?}", segment);
            }
        }
    }
}

/// Few ids, so that changes meet. Bases that are ahead are cut when the slot is known.
fn any_change() -> impl Strategy<Value = Change> {
    let few = |count: u8| prop::collection::vec(0..count, 0..3);
    (few(4), few(4), few(4), few(6), few(6), few(4), few(4), 0..30u64).prop_map(
        |(added, forgotten, restored, joined, removed, retired, condemned, base)| Change {
            snapshots_added: added.into_iter().map(snapshot).collect(),
            snapshots_forgotten: forgotten.into_iter().map(snapshot_id).collect(),
            snapshots_restored: restored.into_iter().map(snapshot_id).collect(),
            segments_added: joined.into_iter().map(|number| segment(number, base)).collect(),
            segments_removed: removed.into_iter().map(segment_id).collect(),
            packs_retired: retired.into_iter().map(pack).collect(),
            packs_condemned: condemned.into_iter().map(pack).collect(),
            ..Change::default()
        },
    )
}

/// A log of those changes that the fold accepts, one after the other.
fn accepted(changes: Vec<Change>) -> Vec<Change> {
    let mut state = State::default();
    let mut log = Vec::new();
    for mut change in changes {
        for segment in &mut change.segments_added {
            segment.base = segment.base.min(state.slot());
        }
        if state.apply(state.next_slot(), &change).is_ok() {
            log.push(change);
        }
    }
    log
}

fn folded(log: &[Change]) -> State {
    let mut state = State::default();
    for (slot, change) in (1..).zip(log) {
        state.apply(slot, change).expect("a log of these tests can be folded");
    }
    state
}

/// What speaks against appending the change now, by somebody who knows everything up to now.
fn check(state: &State, change: &Change) -> Vec<Violation> {
    let proposal =
        Proposal { change, base: state.slot(), intent: &WriterIntent::default(), replaced_segments: &BTreeSet::new() };
    check_append(&proposal, state, []).err().unwrap_or_default()
}

fn check_since(log: &[Change], base: u64, change: &Change) -> Vec<Violation> {
    let proposal = Proposal { change, base, intent: &WriterIntent::default(), replaced_segments: &BTreeSet::new() };
    let later = (1..).zip(log).skip(base as usize);
    check_append(&proposal, &folded(log), later).err().unwrap_or_default()
}

fn entry(slot: u64, previous: Option<EntryHash>) -> LogEntry {
    LogEntry {
        slot,
        previous,
        writer: WriterId::new([1; 16]),
        nonce: WriterId::new([2; 16]),
        time: "2026-01-01T00:00:00Z".into(),
        program: "test".into(),
        reason: "test".into(),
        change: Change::default(),
        extra: BTreeMap::new(),
    }
}

fn add(number: u8) -> Change {
    Change { snapshots_added: vec![snapshot(number)], ..Change::default() }
}

fn forget(numbers: &[u8]) -> Change {
    Change { snapshots_forgotten: numbers.iter().map(|number| snapshot_id(*number)).collect(), ..Change::default() }
}

fn amend(number: u8, word: impl FnOnce(&mut Amendment)) -> Change {
    let mut amendment = Amendment {
        snapshot: snapshot_id(number),
        accepted: None,
        tags: None,
        holds: None,
        expires: None,
        extra: BTreeMap::new(),
    };
    word(&mut amendment);
    Change { snapshots_amended: vec![amendment], ..Change::default() }
}

fn pack(number: u8) -> PackId {
    PackId::new([number; 32])
}

fn segment_id(number: u8) -> SegmentId {
    SegmentId::new([number; 32])
}

fn segment(number: u8, base: u64) -> SegmentRecord {
    SegmentRecord { id: segment_id(number), base, entries: 1, extra: BTreeMap::new() }
}

fn snapshot_id(number: u8) -> SnapshotId {
    SnapshotId::new([number; 16])
}

/// A record of which nothing but the id matters.
pub(crate) fn snapshot(number: u8) -> SnapshotRecord {
    let tree = TreeRef { root: ChunkId::new([number; 32]), level: 0, items: 0 };
    SnapshotRecord::new(snapshot_id(number), SnapshotKind::Files, "", "", tree)
}
