//! Processes that die, stores that lose replies, writers that race: what is listed can be read, and the next run goes on.

use std::sync::Barrier;
use std::thread;

use backstay_format::ids::SnapshotId;
use backstay_repo::{ErrorKind, RepoError, Repository, Result};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::scene::{
    Bucket, Files, assert_sound, back_up, chain, check_full, files, open, options, put_files, read_all, record, secret,
};

fn before() -> Files {
    files(&[("kept", 1, 700_000), ("small", 2, 10)])
}

/// What one process does: a backup of one source, and one of another that saves its progress on the way. `acknowledged` is
/// what it may rely on when it dies.
fn story(process: &FaultyStore, acknowledged: &mut Vec<SnapshotId>) -> Result<()> {
    let repository = open(process)?;
    let changed = files(&[("changed", 3, 1_500_000), ("kept", 1, 700_000), ("small", 2, 10)]);
    acknowledged.push(back_up(&repository, "one", &changed)?.id);
    let writer = repository.begin()?;
    let half = files(&[("first", 4, 1_100_000)]);
    let saved = record(&repository, "two", put_files(&writer, &half)?);
    writer.save(saved.clone())?;
    acknowledged.push(saved.id);
    let all = files(&[("first", 4, 1_100_000), ("second", 5, 900_000)]);
    let last = record(&repository, "two", put_files(&writer, &all)?);
    // The final entry forgets what was saved along the way: from here on either of the two is right.
    acknowledged.pop();
    acknowledged.push(writer.commit(last)?.id);
    Ok(())
}

fn writes(process: &FaultyStore) -> usize {
    process.records().iter().filter(|record| matches!(record.verb, Verb::Put | Verb::Create | Verb::Delete)).count()
}

#[test]
fn a_backup_that_dies_at_any_write_leaves_only_what_can_be_read_in_full() {
    let start = Bucket::new();
    let kept = back_up(&start.open(), "one", &before()).unwrap().id;
    let whole = start.fork();
    let process = whole.process();
    story(&process, &mut Vec::new()).unwrap();
    assert_eq!(assert_sound(&whole), 3);
    let count = writes(&process);
    assert!(count >= 15, "several packs, segments and entries, {count} writes");
    for n in 0..count {
        for last_is_done in [false, true] {
            let bucket = start.fork();
            let process = bucket.process();
            process.die_at_write(n, last_is_done);
            let mut acknowledged = vec![kept];
            let died = story(&process, &mut acknowledged);
            assert!(process.is_dead(), "write {n}");
            // Only the last delete, of the heartbeat, fails without harm.
            assert!(died.is_err() || n == count - 1, "write {n}");
            let listed = assert_sound(&bucket);
            let repository = bucket.open();
            for id in &acknowledged {
                assert!(repository.snapshot(id).is_some(), "write {n}: snapshot {id} was acknowledged");
            }
            assert!(listed <= acknowledged.len() + 1, "write {n}");
            story(&bucket.process(), &mut Vec::new()).unwrap();
            assert_eq!(assert_sound(&bucket), listed + 2, "write {n}");
        }
    }
}

#[test]
fn an_init_that_dies_at_any_write_leaves_no_repository_or_one_that_works() {
    let whole = Bucket::empty();
    let process = whole.process();
    Repository::init(process.open(), &secret(), "test", options()).unwrap();
    let count = writes(&process);
    let mut outcomes = [0, 0];
    for n in 0..count {
        for last_is_done in [false, true] {
            let bucket = Bucket::empty();
            let process = bucket.process();
            process.die_at_write(n, last_is_done);
            assert!(Repository::init(process.open(), &secret(), "test", options()).is_err(), "write {n}");
            let is_there = match bucket.try_open() {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NoRepository, "write {n}: {}", chain(&error));
                    false
                }
            };
            outcomes[usize::from(is_there)] += 1;
            let again = Repository::init(bucket.process().open(), &secret(), "test", options());
            match again {
                Ok(_) => assert!(!is_there, "write {n}"),
                Err(RepoError::RepositoryExists { .. }) => assert!(is_there, "write {n}"),
                Err(error) => panic!("write {n}: {}", chain(&error)),
            }
            let repository = bucket.open();
            back_up(&repository, "one", &before()).unwrap();
            assert_eq!(read_all(&bucket.open()), 1, "write {n}");
            // What may be missing is the config's second copy, and a check says so.
            let objects: Vec<_> = check_full(&repository).findings.into_iter().map(|finding| finding.object).collect();
            assert!(objects.is_empty() || is_there && objects == ["config-copy"], "write {n}: {objects:?}");
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn whatever_fails_at_random_what_is_listed_can_be_read() {
    let start = Bucket::new();
    back_up(&start.open(), "one", &before()).unwrap();
    let (mut dead, mut done) = (0, 0);
    for seed in 0..300u64 {
        let bucket = start.fork();
        let mut acknowledged = Vec::new();
        for run in 0..3 {
            let process = bucket.process();
            process.fail_at_random(seed * 3 + run, [10, 60, 120][(seed % 3) as usize]);
            if run < 2 {
                process.die_at_write((seed / 3 % 17) as usize, seed % 2 == 0);
            }
            let backups = || -> Result<Vec<SnapshotId>> {
                let repository = open(&process)?;
                let mut ids = Vec::new();
                for (source, length) in [("one", 90_000), ("two", 150_000)] {
                    let changed = files(&[("kept", 1, 700_000), ("new", seed * 7 + run, length)]);
                    ids.push(back_up(&repository, source, &changed)?.id);
                }
                Ok(ids)
            };
            match backups() {
                Ok(ids) => {
                    done += 1;
                    acknowledged.extend(ids);
                }
                Err(error) => {
                    dead += 1;
                    let expected = [ErrorKind::Denied, ErrorKind::Retry];
                    assert!(expected.contains(&error.kind()), "seed {seed} run {run}: {}", chain(&error));
                }
            }
        }
        let listed = assert_sound(&bucket);
        let repository = bucket.open();
        for id in &acknowledged {
            assert!(repository.snapshot(id).is_some(), "seed {seed}: snapshot {id} was acknowledged");
        }
        assert!((1 + acknowledged.len()..=7).contains(&listed), "seed {seed}: {listed}");
    }
    assert!(dead > 200 && done > 200, "both happen: {dead} died, {done} were done");
}

#[test]
fn a_commit_whose_reply_is_lost_is_committed_exactly_once() {
    for fault in [Fault::FailAfter, Fault::NeverAnswersAfter, Fault::Repeat] {
        let bucket = Bucket::new();
        let process = bucket.process();
        let repository = open(&process).unwrap();
        process.inject(Verb::Create, "log/", fault.clone());
        let id = back_up(&repository, "one", &before()).unwrap().id;
        let reopened = bucket.open();
        assert_eq!(reopened.base(), 1, "{fault:?}: one entry");
        assert_eq!(reopened.snapshots().iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [id]);
        assert_eq!(assert_sound(&bucket), 1);
    }
}

#[test]
fn a_commit_without_any_answer_is_known_again_whatever_became_of_it() {
    // Whether the entry arrived, and whether another's came meanwhile.
    for (fault, is_there) in [(Fault::NeverAnswersAfter, true), (Fault::NeverAnswers, false)] {
        for another in [false, true] {
            let bucket = Bucket::new();
            let process = bucket.process();
            let repository = open(&process).unwrap();
            let writer = repository.begin().unwrap();
            let snapshot = record(&repository, "one", put_files(&writer, &before()).unwrap());
            process.inject_always(Verb::Create, "log/", fault.clone());
            let error = writer.commit(snapshot.clone()).unwrap_err();
            assert!(matches!(error, RepoError::OutcomeUnknown { slot: 1, .. }), "{}", chain(&error));
            assert_eq!(error.kind(), ErrorKind::Retry);
            let error = back_up(&repository, "two", &before()).unwrap_err();
            assert!(
                matches!(error, RepoError::OutcomeUnknown { slot: 1, .. }),
                "nothing before that: {}",
                chain(&error)
            );
            process.heal();
            assert_eq!(assert_sound(&bucket), usize::from(is_there));
            if another {
                back_up(&bucket.open(), "another", &before()).unwrap();
            }
            let id = writer.commit(snapshot.clone()).unwrap().id;
            assert_eq!(id, snapshot.id);
            let slot = bucket.open().state().listed()[&id].slot;
            assert_eq!(slot, if is_there || !another { 1 } else { 2 });
            // Saying it once more changes nothing.
            writer.commit(snapshot).unwrap();
            back_up(&repository, "two", &before()).unwrap();
            assert_eq!(bucket.open().base(), 2 + u64::from(another), "one entry a backup");
            assert_eq!(assert_sound(&bucket), 2 + usize::from(another));
        }
    }
}

#[test]
fn a_saving_without_any_answer_vanishes_with_the_final_commit() {
    for fault in [Fault::NeverAnswersAfter, Fault::NeverAnswers] {
        let bucket = Bucket::new();
        let process = bucket.process();
        let repository = open(&process).unwrap();
        let writer = repository.begin().unwrap();
        let half = put_files(&writer, &files(&[("first", 4, 1_100_000)])).unwrap();
        process.inject_always(Verb::Create, "log/", fault);
        assert!(writer.save(record(&repository, "one", half)).is_err());
        process.heal();
        let all = put_files(&writer, &files(&[("first", 4, 1_100_000), ("second", 5, 900_000)])).unwrap();
        let committed = writer.commit(record(&repository, "one", all)).unwrap().id;
        let listed: Vec<_> = bucket.open().snapshots().iter().map(|snapshot| snapshot.id).collect();
        assert_eq!(listed, [committed]);
        assert_eq!(assert_sound(&bucket), 1);
    }
}

#[test]
fn nobody_in_the_process_waits_while_the_store_is_asked_for_an_entry() {
    let bucket = Bucket::new();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    let id = back_up(&repository, "one", &before()).unwrap().id;
    for (verb, prefix) in [(Verb::Create, "log/"), (Verb::List, "log")] {
        let hold = process.hold(verb, prefix);
        thread::scope(|scope| {
            let slow = scope.spawn(|| back_up(&repository, "two", &before()).unwrap());
            hold.wait_until_reached();
            assert!(repository.snapshot(&id).is_some());
            assert!(read_all(&repository) >= 1);
            hold.release();
            slow.join().unwrap();
        });
    }
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn a_writer_fetches_no_segment_of_its_own() {
    let bucket = Bucket::new();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    let writer = repository.begin().unwrap();
    for seed in 0..3 {
        let tree = put_files(&writer, &files(&[("a", seed, 1_300_000)])).unwrap();
        writer.save(record(&repository, "one", tree)).unwrap();
    }
    let tree = put_files(&writer, &before()).unwrap();
    writer.commit(record(&repository, "one", tree)).unwrap();
    assert_eq!(read_all(&repository), 1);
    let fetched = process.records().into_iter().filter(|request| request.verb == Verb::Get);
    assert_eq!(fetched.filter(|request| request.name.starts_with("index/")).count(), 0);
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn a_commit_that_loses_the_race_for_a_slot_takes_the_next_one() {
    let bucket = Bucket::new();
    let slow = bucket.process();
    let hold = slow.hold(Verb::Create, "log/");
    let repository = open(&slow).unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| back_up(&repository, "late", &before()).unwrap().id);
        hold.wait_until_reached();
        let early = back_up(&bucket.open(), "early", &before()).unwrap().id;
        hold.release();
        let late = late.join().unwrap();
        let state = bucket.open().state();
        assert_eq!((state.listed()[&early].slot, state.listed()[&late].slot), (1, 2));
    });
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn two_writers_at_once_commit_all_they_did_and_share_what_they_stored() {
    const ROUNDS: u64 = 20;
    let bucket = Bucket::new();
    let start = Barrier::new(2);
    let round = |round: u64, own: u64| {
        files(&[("shared", 10 + round / 2, 250_000), ("own", 1000 + own * ROUNDS + round, 30_000)])
    };
    thread::scope(|scope| {
        for own in 0..2 {
            let (bucket, start) = (&bucket, &start);
            scope.spawn(move || {
                let repository = bucket.open();
                for number in 0..ROUNDS {
                    start.wait();
                    back_up(&repository, &format!("source {own}"), &round(number, own)).unwrap();
                }
            });
        }
    });
    assert_eq!(assert_sound(&bucket), 2 * ROUNDS as usize);
    assert_eq!(bucket.open().base(), 2 * ROUNDS, "one entry a backup");
    let again = back_up(&bucket.open(), "again", &round(ROUNDS - 1, 1)).unwrap();
    assert_eq!(again.summary.new_bytes, 0);
    // At the worst both store what is new to both; never again what was there before the round.
    let records = bucket.open().index().unwrap().statistics().unwrap().records;
    let distinct = bucket.open().index().unwrap().chunk_count().unwrap();
    assert!(records <= distinct + ROUNDS, "{records} records, {distinct} different ones");
}

#[test]
fn threads_of_one_process_share_a_repository() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    thread::scope(|scope| {
        for source in 0..4u64 {
            let repository = &repository;
            scope.spawn(move || {
                for round in 0..6 {
                    let changed = files(&[("shared", 9, 450_000), ("own", 100 + source * 10 + round, 60_000)]);
                    back_up(repository, &format!("source {source}"), &changed).unwrap();
                }
            });
        }
    });
    assert_eq!(assert_sound(&bucket), 24);
}

#[test]
fn threads_of_one_writer_store_equal_bytes_once() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let all = files(&[("a", 1, 900_000), ("b", 2, 1_300_000)]);
    let trees: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| put_files(&writer, &all).unwrap())).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(trees.iter().all(|tree| tree == &trees[0]));
    assert_eq!(writer.statistics().new_records, 5 + 7 + 1, "chunks of both files and one leaf");
    writer.commit(record(&repository, "one", trees[0])).unwrap();
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn a_backup_one_of_whose_packs_was_not_stored_never_commits() {
    let bucket = Bucket::new();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    let writer = repository.begin().unwrap();
    process.inject(Verb::Create, "packs/", Fault::Denied);
    let large = files(&[("large", 1, 3_000_000)]);
    // Whoever puts may not learn of it, or may go on in spite of it; a second try must not wait for ever either.
    let tree = put_files(&writer, &large).or_else(|_| put_files(&writer, &large)).unwrap();
    for _ in 0..2 {
        assert!(writer.commit(record(&repository, "one", tree)).is_err());
        assert!(writer.save(record(&repository, "one", tree)).is_err());
    }
    let named = process.written().into_iter().filter(|name| name.starts_with("index/") || name.starts_with("log/"));
    assert_eq!(named.collect::<Vec<_>>(), [""; 0], "no segment and no entry names what is not there");
    assert_eq!(assert_sound(&bucket), 0);
    back_up(&repository, "one", &large).unwrap();
    assert_eq!(assert_sound(&bucket), 1);
}
