//! Forgetting, undo and holds over one store in memory, with other processes in between.

use std::collections::BTreeMap;
use std::thread;

use backstay_format::ids::{PackId, SnapshotId, WriterId};
use backstay_format::log::{Change, SnapshotKind, SnapshotRecord};
use backstay_repo::retention::{Period, Policy, Rule};
use backstay_repo::{Append, ErrorKind, ForgetError, OpenOptions, RepoError, Repository, Selection, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};
use jiff::tz::TimeZone;

use crate::retention::policy;
use crate::scene::{Bucket, assert_sound, back_up, chain, clock, files, options, put_files, record, secret};

const HOUR: i64 = 3600;

/// A process whose clock shows so many seconds after the start of the scene.
fn process_at(process: &FaultyStore, seconds: i64) -> Repository {
    let options = OpenOptions { clock: clock(seconds), ..options() };
    Repository::open(process.open(), &secret(), options).unwrap()
}

fn commit_with(bucket: &Bucket, source: &str, seconds: i64, change: impl FnOnce(&mut SnapshotRecord)) -> SnapshotId {
    let repository = process_at(&bucket.process(), seconds);
    let writer = repository.begin().unwrap();
    let tree = put_files(&writer, &files(&[("a", seconds as u64, 1000)])).unwrap();
    let mut snapshot = record(&repository, source, tree);
    change(&mut snapshot);
    writer.commit(snapshot).unwrap().id
}

fn commit(bucket: &Bucket, source: &str, seconds: i64) -> SnapshotId {
    commit_with(bucket, source, seconds, |_| {})
}

fn listed(bucket: &Bucket) -> Vec<SnapshotId> {
    bucket.open().snapshots().into_iter().map(|snapshot| snapshot.id).collect()
}

fn everything() -> Selection {
    Selection::default()
}

fn last(count: u32) -> Policy {
    policy(vec![Rule::Last(count)])
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: backstay_repo::Result<T>) -> ForgetError {
    match result.unwrap_err() {
        RepoError::Forget(error) => error,
        error => panic!("{}", chain(&error)),
    }
}

#[test]
fn a_policy_forgets_by_one_entry_and_the_second_time_by_none() {
    let bucket = Bucket::new();
    let ids: Vec<_> = (0..4).map(|hour| commit(&bucket, "one", hour * HOUR)).collect();
    let other = commit(&bucket, "two", 0);
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    process.forget_records();
    let tried = repository.forget_by_policy(&last(2), &everything(), true).unwrap();
    assert_eq!((tried.slot, process.written()), (None, Vec::new()), "a dry run writes nothing");
    let done = repository.forget_by_policy(&last(2), &everything(), false).unwrap();
    assert_eq!((done.slot, process.written().len()), (Some(6), 1));
    assert_eq!(done.judged, tried.judged);
    assert_eq!(listed(&bucket), [other, ids[2], ids[3]]);
    let again = repository.forget_by_policy(&last(2), &everything(), false).unwrap();
    assert_eq!((again.slot, repository.base()), (None, 6));
    assert_eq!(assert_sound(&bucket), 3);
    let nothing = repository.forget_by_policy(&policy(Vec::new()), &everything(), false);
    assert_eq!(refusal(nothing), ForgetError::EmptyPolicy);
}

#[test]
fn a_backup_that_commits_while_a_policy_is_applied_is_judged_too() {
    let bucket = Bucket::new();
    for hour in 0..3 {
        commit(&bucket, "one", hour * HOUR);
    }
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    let hold = process.hold(Verb::Create, "log/");
    let newest = thread::scope(|scope| {
        let forgetting = scope.spawn(|| repository.forget_by_policy(&last(1), &everything(), false).unwrap());
        hold.wait_until_reached();
        let newest = commit(&bucket, "one", 4 * HOUR);
        hold.release();
        assert_eq!(forgetting.join().unwrap().slot, Some(5), "the slot that it was made for was another's");
        newest
    });
    assert_eq!(listed(&bucket), [newest]);
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn what_another_process_forgot_meanwhile_is_no_reason_to_let_the_rest_go() {
    // The newest one, by which the policy would let the two before go, is taken away by force before the entry is there.
    let bucket = Bucket::new();
    let ids: Vec<_> = (0..3).map(|hour| commit(&bucket, "one", hour * HOUR)).collect();
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    let hold = process.hold(Verb::Create, "log/");
    thread::scope(|scope| {
        let forgetting = scope.spawn(|| repository.forget_by_policy(&last(1), &everything(), false).unwrap());
        hold.wait_until_reached();
        process_at(&bucket.process(), 9 * HOUR).forget(&[ids[2]], true, false).unwrap();
        hold.release();
        forgetting.join().unwrap();
    });
    assert_eq!(listed(&bucket), [ids[1]], "the newest that is left stays");
}

#[test]
fn two_policies_at_once_leave_what_both_would_have_left_one_after_the_other() {
    // Two days in UTC, one in Kiritimati, where the days are cut at 10:00 UTC: the scene starts at 05:06.
    let start = Bucket::new();
    for (source, hour) in [("one", 0), ("one", 6), ("one", 20), ("one", 28), ("two", 0), ("two", 20)] {
        commit(&start, source, hour * HOUR);
    }
    let daily = |zone: &str| Policy {
        zone: TimeZone::get(zone).unwrap(),
        ..policy(vec![Rule::Newest { period: Period::Day, count: 1 }])
    };
    let only = |source: &str| Selection { sources: vec![source.into()], ..everything() };
    let pairs = [
        ((daily("UTC"), everything()), (daily("Pacific/Kiritimati"), everything())),
        ((last(1), only("one")), (last(1), only("two"))),
        ((last(1), everything()), (last(2), everything())),
    ];
    for (first, second) in pairs {
        let one_after_the_other = start.fork();
        for (policy, selection) in [&first, &second] {
            let repository = process_at(&one_after_the_other.process(), 99 * HOUR);
            repository.forget_by_policy(policy, selection, false).unwrap();
        }
        let bucket = start.fork();
        let process = bucket.process();
        let late = process_at(&process, 99 * HOUR);
        let hold = process.hold(Verb::Create, "log/");
        thread::scope(|scope| {
            let forgetting = scope.spawn(|| late.forget_by_policy(&second.0, &second.1, false).unwrap());
            hold.wait_until_reached();
            let early = process_at(&bucket.process(), 99 * HOUR);
            early.forget_by_policy(&first.0, &first.1, false).unwrap();
            hold.release();
            forgetting.join().unwrap();
        });
        assert_eq!(listed(&bucket), listed(&one_after_the_other));
        let sources: std::collections::BTreeSet<_> =
            bucket.open().snapshots().into_iter().map(|snapshot| snapshot.source).collect();
        assert_eq!(sources.len(), 2);
    }
}

#[test]
fn any_number_of_processes_may_back_up_and_forget_at_once() {
    let bucket = Bucket::new();
    for source in ["one", "two"] {
        commit(&bucket, source, 0);
    }
    thread::scope(|scope| {
        for worker in 0..4i64 {
            let bucket = &bucket;
            scope.spawn(move || {
                let source = ["one", "two"][(worker % 2) as usize];
                for round in 1..6 {
                    commit(bucket, source, (round * 10 + worker) * HOUR);
                    let repository = process_at(&bucket.process(), 1000 * HOUR);
                    let outcome =
                        repository.forget_by_policy(&last(1 + worker as u32 % 2), &everything(), false).unwrap();
                    assert!(outcome.judged.iter().any(|one| one.verdict.is_kept() && one.snapshot.source == source));
                }
            });
        }
    });
    let repository = process_at(&bucket.process(), 1000 * HOUR);
    repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    let left: BTreeMap<_, _> =
        repository.snapshots().into_iter().map(|snapshot| (snapshot.source, snapshot.started)).collect();
    let at = |seconds| clock(seconds).now_text();
    assert_eq!(left, [("one".to_owned(), at(52 * HOUR)), ("two".to_owned(), at(53 * HOUR))].into());
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn a_forget_whose_reply_is_lost_is_done_once() {
    let bucket = Bucket::new();
    let ids: Vec<_> = (0..3).map(|hour| commit(&bucket, "one", hour * HOUR)).collect();
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    process.inject(Verb::Create, "log/", Fault::FailAfter);
    let done = repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    assert_eq!((done.slot, bucket.open().base()), (Some(4), 4));
    assert_eq!(listed(&bucket), [ids[2]]);
}

#[test]
fn whatever_fails_a_forget_is_done_whole_or_not_at_all() {
    let start = Bucket::new();
    let ids: Vec<_> = (0..4).map(|hour| commit(&start, "one", hour * HOUR)).collect();
    let (mut whole, mut not_at_all) = (0, 0);
    for seed in 0..200 {
        let bucket = start.fork();
        let process = bucket.process();
        let repository = process_at(&process, 9 * HOUR);
        process.fail_at_random(seed, 90);
        if seed % 2 == 0 {
            process.die_at_write(0, seed % 4 == 0);
        }
        let outcome = repository.forget_by_policy(&last(2), &everything(), false);
        let left = listed(&bucket);
        if left == ids[2..] {
            whole += 1;
        } else {
            assert!(left == ids && outcome.is_err(), "seed {seed}: {} left", left.len());
            not_at_all += 1;
        }
    }
    assert!(whole > 20 && not_at_all > 20, "{whole} {not_at_all}");
}

#[test]
fn the_newest_accepted_one_goes_by_force_only_and_a_held_one_never() {
    let bucket = Bucket::new();
    let ids: Vec<_> = (0..3).map(|hour| commit(&bucket, "one", hour * HOUR)).collect();
    let flagged = commit_with(&bucket, "one", 4 * HOUR, |snapshot| snapshot.accepted = false);
    let future = commit_with(&bucket, "one", 5 * HOUR, |snapshot| snapshot.started = "2040-01-01T00:00:00Z".into());
    let repository = process_at(&bucket.process(), 9 * HOUR);
    let newest = || ForgetError::NewestAccepted { snapshot: ids[2], source_name: "one".into() };
    assert_eq!(refusal(repository.forget(&[ids[0], ids[2]], false, false)), newest());
    assert_eq!(listed(&bucket).len(), 5, "all or none");
    assert!(repository.hold(&[ids[2]], "case 7").unwrap());
    let held = ForgetError::Held { snapshot: ids[2], holds: vec!["case 7".into()] };
    assert_eq!(refusal(repository.forget(&[ids[2]], true, false)), held);
    assert!(repository.release(&[ids[2]], "case 7").unwrap());
    assert_eq!(repository.forget(&[ids[0], flagged], false, true).unwrap().len(), 2);
    assert_eq!(listed(&bucket).len(), 5, "a dry run");
    repository.forget(&[ids[0], flagged, future], false, false).unwrap();
    assert_eq!(listed(&bucket), [ids[1], ids[2]]);
    assert_eq!(repository.forget(&[ids[0], ids[2], ids[1]], true, false).unwrap().len(), 2, "one was gone already");
    assert_eq!(listed(&bucket), []);
}

#[test]
fn an_undo_brings_back_what_was_forgotten_by_a_word_until_a_pack_is_retired() {
    let bucket = Bucket::new();
    let ids: Vec<_> = (0..3).map(|hour| commit(&bucket, "one", hour * HOUR)).collect();
    let repository = process_at(&bucket.process(), 9 * HOUR);
    repository.forget(&[ids[0]], false, false).unwrap();
    repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    let forgotten: Vec<_> = repository.forgotten().into_iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(forgotten, ids[..2]);
    let other = process_at(&bucket.process(), 9 * HOUR);
    assert_eq!(other.find_forgotten(&ids[1].to_string()[..8], &everything()).unwrap().id, ids[1]);
    // What is listed already needs no undo.
    let back = repository.forget_undo(&[ids[1], ids[2]]).unwrap();
    assert_eq!(back.iter().map(|record| record.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(assert_sound(&bucket), 2);
    let slot = repository.base();
    assert!(other.forget_undo(&[ids[1]]).unwrap().is_empty());
    assert_eq!(bucket.open().base(), slot, "nothing was appended");
    // A collection retires a pack, of whomever.
    let retired = Change { packs_retired: vec![PackId::new([9; 32])], ..Change::default() };
    let base = repository.base();
    repository.append(&Append::new(WriterId::new([9; 16]), "gc", base), &|_| retired.clone()).unwrap();
    assert!(other.catch_up().unwrap());
    assert!(other.forgotten().is_empty(), "only a commit can bring it back now");
    for (found, spec) in [("abcd", "abcd".to_owned()), (&ids[1].to_string(), ids[1].to_string())] {
        // Listed ones are not forgotten.
        assert_eq!(refusal(other.find_forgotten(found, &everything())), ForgetError::NotRestorable { spec });
    }
    assert_eq!(listed(&bucket), ids[1..]);
}

/// Retires all packs but those that these keep, as a collection would.
fn retire_all_but(bucket: &Bucket, kept: &[PackId]) -> Vec<PackId> {
    let repository = bucket.open();
    let packs = repository.index().unwrap().packs().unwrap().into_iter().filter(|pack| pack.live).map(|pack| pack.id);
    let retired: Vec<_> = packs.filter(|pack| !kept.contains(pack)).collect();
    let change = Change { packs_retired: retired.clone(), ..Change::default() };
    repository.append(&Append::new(WriterId::new([9; 16]), "gc", repository.base()), &|_| change.clone()).unwrap();
    retired
}

#[test]
fn an_undo_after_a_collection_looks_up_everything_and_names_what_is_gone() {
    let start = Bucket::new();
    let wanted = files(&[("large", 1, 1_500_000), ("small", 2, 10)]);
    let repository = start.open();
    let writer = repository.begin().unwrap();
    let tree = put_files(&writer, &wanted).unwrap();
    let flagged = SnapshotRecord { accepted: false, ..record(&repository, "one", tree) };
    let first = writer.commit(flagged).unwrap();
    repository.accept(first.id).unwrap();
    let packs: Vec<_> = repository.index().unwrap().packs().unwrap().iter().map(|pack| pack.id).collect();
    back_up(&start.open(), "two", &files(&[("small", 2, 10), ("other", 3, 400_000)])).unwrap();
    start.open().forget(&[first.id], true, false).unwrap();
    let before = start.open().base();

    // Some other pack was retired: everything is where it was.
    let bucket = start.fork();
    let change = Change { packs_retired: vec![PackId::new([9; 32])], ..Change::default() };
    let other = bucket.open();
    other.append(&Append::new(WriterId::new([9; 16]), "gc", other.base()), &|_| change.clone()).unwrap();
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    let prefix = &first.id.to_string()[..8];
    assert_eq!(repository.find_forgotten(prefix, &everything()).unwrap().id, first.id);
    process.forget_records();
    let back = repository.forget_undo(&[first.id]).unwrap();
    assert_eq!(back.iter().map(|record| record.id).collect::<Vec<_>>(), [first.id]);
    assert_eq!(process.written().len(), 1, "nothing but the entry");
    assert_eq!(assert_sound(&bucket), 2);
    let again = bucket.open().snapshot(&first.id).unwrap();
    assert!(again.accepted, "as it was when it was forgotten");
    assert_eq!(again.tree, first.tree);
    assert_eq!(bucket.open().base(), before + 2);
    assert!(repository.forget_undo(&[first.id]).unwrap().is_empty(), "it is listed");

    // Its packs were retired, and their bytes are there: what the other snapshot does not have is put again.
    let bucket = start.fork();
    let second = bucket.open();
    let kept: Vec<_> = second
        .index()
        .unwrap()
        .packs()
        .unwrap()
        .iter()
        .map(|pack| pack.id)
        .filter(|pack| !packs.contains(pack))
        .collect();
    // The other one shares a chunk with the first.
    second.forget(&[second.snapshots()[0].id], true, false).unwrap();
    let retired = retire_all_but(&bucket, &kept);
    assert_eq!(retired.len(), packs.len());
    assert_eq!(bucket.open().forget_undo(&[first.id]).unwrap().len(), 1);
    let again = bucket.process();
    for pack in &retired {
        again.lose(&names::pack(pack));
    }
    assert_eq!(assert_sound(&bucket), 1);

    // The same with the bytes of some gone.
    for lost in packs {
        let bucket = start.fork();
        let second = bucket.open();
        second.forget(&[second.snapshots()[0].id], true, false).unwrap();
        retire_all_but(&bucket, &kept);
        bucket.process().lose(&names::pack(&lost));
        let slot = bucket.open().base();
        match refusal(bucket.open().forget_undo(&[first.id])) {
            ForgetError::Gone { snapshot, records, place } => {
                assert_eq!(snapshot, first.id);
                assert!((1..=8).contains(&records), "{records}");
                assert!(["/", "/large", "/small"].contains(&&place[..]), "{place}");
            }
            error => panic!("{error}"),
        }
        assert_eq!(bucket.open().base(), slot, "nothing is appended");
        assert_eq!(assert_sound(&bucket), 0);
    }
}

#[test]
fn an_undo_that_a_collection_overtakes_looks_again() {
    let bucket = Bucket::new();
    let wanted = files(&[("large", 1, 1_500_000)]);
    let first = back_up(&bucket.open(), "one", &wanted).unwrap();
    bucket.open().forget(&[first.id], true, false).unwrap();
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    for _ in 0..2 {
        // By a word first, then as a commit: each time the packs that it was to rest on are retired under it.
        let hold = process.hold(Verb::Create, "log/");
        thread::scope(|scope| {
            let undoing = scope.spawn(|| repository.forget_undo(&[first.id]).unwrap());
            hold.wait_until_reached();
            let retired = retire_all_but(&bucket, &[]);
            assert!(!retired.is_empty());
            hold.release();
            assert_eq!(undoing.join().unwrap().len(), 1);
        });
        let let_go = bucket.open().let_go();
        for pack in let_go.packs.keys() {
            if process.read(&names::pack(pack)).is_some() {
                process.lose(&names::pack(pack));
            }
        }
        assert_eq!(assert_sound(&bucket), 1);
        repository.forget(&[first.id], true, false).unwrap();
        let other = Change { packs_retired: vec![PackId::new([9; 32])], ..Change::default() };
        repository.append(&Append::new(WriterId::new([9; 16]), "gc", repository.base()), &|_| other.clone()).unwrap();
    }
}

#[test]
fn holds_have_names_and_two_processes_that_hold_at_once_both_do() {
    let bucket = Bucket::new();
    let id = commit(&bucket, "one", 0);
    commit(&bucket, "one", HOUR);
    let process = bucket.process();
    let repository = process_at(&process, 9 * HOUR);
    let hold = process.hold(Verb::Create, "log/");
    thread::scope(|scope| {
        let holding = scope.spawn(|| repository.hold(&[id], "mine").unwrap());
        hold.wait_until_reached();
        assert!(process_at(&bucket.process(), 0).hold(&[id], "another's").unwrap());
        hold.release();
        assert!(holding.join().unwrap());
    });
    let holds = || bucket.open().snapshot(&id).unwrap().holds;
    assert_eq!(holds(), ["another's", "mine"]);
    assert!(!repository.hold(&[id], "mine").unwrap(), "it is held so already");
    assert!(!repository.release(&[id], "nobody's").unwrap());
    assert!(repository.release(&[id], "another's").unwrap());
    assert_eq!(holds(), ["mine"]);
    repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    assert_eq!(listed(&bucket).len(), 2);
    repository.release(&[id], "mine").unwrap();
    repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    assert_eq!(listed(&bucket).len(), 1);
    // Who holds what somebody forgot meanwhile is told so.
    let error = repository.hold(&[id], "late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{}", chain(&error));
    assert!(error.to_string().contains(&id.to_string()), "{error}");
}

#[test]
fn a_backup_leaves_what_an_unfinished_run_saved_where_somebody_holds_it() {
    let bucket = Bucket::new();
    let saved = commit_with(&bucket, "one", 0, |snapshot| snapshot.incomplete = true);
    let repository = process_at(&bucket.process(), HOUR);
    repository.hold(&[saved], "evidence").unwrap();
    let writer = repository.begin().unwrap();
    writer.supersede(saved);
    let tree = put_files(&writer, &files(&[("b", 1, 10)])).unwrap();
    let last = writer.commit(record(&repository, "one", tree)).unwrap().id;
    assert_eq!(listed(&bucket), [saved, last]);
}

#[test]
fn a_clusters_snapshot_is_forgotten_held_and_brought_back_with_those_of_its_volumes() {
    let bucket = Bucket::new();
    let mut clusters = Vec::new();
    for day in 0..2 {
        let volume = commit(&bucket, "cluster/shop/data", day * 24 * HOUR);
        let cluster = commit_with(&bucket, "cluster", day * 24 * HOUR + 60, |snapshot| {
            snapshot.kind = SnapshotKind::Cluster;
            snapshot.volumes = [("shop/data".to_owned(), volume)].into();
        });
        clusters.push((cluster, volume));
    }
    let [(old, old_volume), (new, new_volume)] = clusters[..] else { panic!() };
    let repository = process_at(&bucket.process(), 99 * HOUR);
    let alone = ForgetError::VolumeOf { volume: old_volume, snapshot: old };
    assert_eq!(refusal(repository.forget(&[old_volume], true, false)), alone);
    repository.hold(&[old], "case").unwrap();
    assert_eq!(repository.snapshot(&old_volume).unwrap().holds, ["case"]);
    repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    assert_eq!(listed(&bucket).len(), 4);
    repository.release(&[old], "case").unwrap();
    repository.forget_by_policy(&last(1), &everything(), false).unwrap();
    assert_eq!(listed(&bucket), [new_volume, new]);
    let back = repository.forget_undo(&[old]).unwrap();
    assert_eq!(back.iter().map(|record| record.id).collect::<Vec<_>>(), [old_volume, old]);
    let gone = repository.forget(&[new, old], true, false).unwrap();
    assert_eq!((gone.len(), listed(&bucket).len()), (4, 0));
}

#[test]
fn forgetting_on_a_full_disk_gives_up_the_reserve_and_only_then() {
    let bucket = Bucket::new();
    let ids: Vec<_> = (0..3).map(|hour| commit(&bucket, "one", hour * HOUR)).collect();
    let process = bucket.process();
    process.write(names::RESERVE, vec![0; 1000]);
    let repository = process_at(&process, 9 * HOUR);
    repository.forget(&ids[..1], false, false).unwrap();
    assert!(process.read(names::RESERVE).is_some());
    process.inject(Verb::Create, "log/", Fault::Full);
    repository.forget(&ids[1..2], false, false).unwrap();
    assert!(process.read(names::RESERVE).is_none());
    assert_eq!(listed(&bucket), ids[2..]);
    process.inject(Verb::Create, "log/", Fault::Full);
    let error = repository.forget(&ids[2..], true, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{}", chain(&error));
    assert_eq!(listed(&bucket), ids[2..]);
}
