//! Checkpoints: opening reads less, and is never led astray.

use std::collections::BTreeSet;
use std::path::Path;

use backstay_format::checkpoint::Checkpoint;
use backstay_format::ids::WriterId;
use backstay_format::log::{Amendment, Change, Extra, SnapshotKind, SnapshotRecord};
use backstay_repo::check::{Level, check, scrub};
use backstay_repo::copy::{CopyOptions, Place};
use backstay_repo::gc::CollectOptions;
use backstay_repo::protocol::entry_name;
use backstay_repo::repair::IndexPlan;
use backstay_repo::{Append, Cache, LetGo, OpenOptions, Progress, Repository, Result, names, new_snapshot_id};
use backstay_testkit::data::Dice;
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::copy::{open_copy, other_secret};
use crate::scene::{Bucket, assert_sound, back_up, chain, files, options, read_all, secret};

/// Entries from one checkpoint to the next.
const ENTRIES: u64 = 4;

fn frequent() -> OpenOptions {
    OpenOptions { checkpoint_entries: ENTRIES, ..options() }
}

fn try_open(process: &FaultyStore) -> Result<Repository> {
    Repository::open(process.open(), &secret(), frequent())
}

fn open(process: &FaultyStore) -> Repository {
    try_open(process).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn cached(process: &FaultyStore, folder: &Path) -> Repository {
    let options = OpenOptions { cache: Cache::Folder(folder.to_owned()), ..frequent() };
    Repository::open(process.open(), &secret(), options).unwrap()
}

fn slots(bucket: &Bucket) -> Vec<u64> {
    bucket.process().names().iter().filter_map(|name| names::checkpoint_slot(name)).collect()
}

/// Appends an entry that amends the newest snapshot.
fn amend(repository: &Repository, number: u64) {
    let snapshot = repository.snapshots().last().unwrap().id;
    let tags = Some(vec![format!("tag {number}")]);
    let amendment = Amendment { snapshot, accepted: None, tags, holds: None, expires: None, extra: Extra::new() };
    let change = Change { snapshots_amended: vec![amendment], ..Change::default() };
    append(repository, &change);
}

fn append(repository: &Repository, change: &Change) -> u64 {
    let append = Append::new(WriterId::new([9; 16]), "test", repository.base());
    repository.append(&append, &|_| change.clone()).unwrap()
}

/// A repository with so many entries, and checkpoints on the way.
fn with_entries(entries: u64) -> Bucket {
    let bucket = Bucket::new();
    let repository = open(&bucket.process());
    back_up(&repository, "one", &files(&[("a", 1, 300_000)])).unwrap();
    for number in 2..=entries {
        amend(&repository, number);
    }
    assert_eq!(repository.base(), entries);
    bucket
}

/// The state and what was let go, as the entries alone say.
fn without_checkpoints(bucket: &Bucket) -> (backstay_repo::protocol::State, LetGo) {
    let bucket = bucket.fork();
    let process = bucket.process();
    for slot in slots(&bucket) {
        process.lose(&names::checkpoint(slot));
    }
    let repository = open(&process);
    (repository.state(), LetGo::clone(&repository.let_go()))
}

/// The log entries that a process has read.
fn entries_read(process: &FaultyStore) -> BTreeSet<String> {
    let records = process.records().into_iter();
    records.filter(|it| it.verb == Verb::Get && it.name.starts_with(names::LOG)).map(|it| it.name).collect()
}

#[test]
fn whatever_was_done_a_checkpoint_and_the_entries_after_it_say_what_all_entries_say() {
    let mut resumed = 0;
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let bucket = Bucket::new();
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..14 {
            let process = bucket.process();
            let repository = if dice.chance(512) { cached(&process, folder.path()) } else { open(&process) };
            let listed = repository.snapshots();
            match dice.below(8) {
                0..4 => {
                    let all = files(&[("kept", 99, 100_000), ("new", 1 + dice.below(5), 1_200_000)]);
                    let source = ["one", "two"][dice.below(2) as usize];
                    back_up(&repository, source, &all).unwrap();
                }
                4 if !listed.is_empty() => amend(&repository, seed),
                5 if !listed.is_empty() => drop(repository.forget(&[dice.choose(&listed).id], true, false).unwrap()),
                6 => {
                    let forgotten: Vec<_> = repository.state().forgotten().keys().copied().collect();
                    if let Some(first) = forgotten.first() {
                        repository.forget_undo(&[*first]).unwrap();
                    }
                }
                _ => {
                    let grace_seconds = *dice.choose(&[0, 1_000]);
                    let options = CollectOptions { grace_seconds, ..CollectOptions::default() };
                    repository.collect(&options, &Progress::new()).unwrap();
                }
            }
        }
        let expected = without_checkpoints(&bucket);
        let process = bucket.process();
        for repository in [open(&process), cached(&bucket.process(), folder.path())] {
            assert_eq!(repository.state(), expected.0, "seed {seed}");
            assert_eq!(*repository.let_go(), expected.1, "seed {seed}");
        }
        resumed += u64::from(!entries_read(&process).contains(&entry_name(1)));
        assert_sound(&bucket);
    }
    assert!(resumed > 50, "{resumed} of 60 began at a checkpoint");
}

#[test]
fn who_remembers_nothing_reads_from_the_newest_checkpoint_on() {
    let bucket = with_entries(3 * ENTRIES + 2);
    assert_eq!(slots(&bucket), [ENTRIES, 2 * ENTRIES, 3 * ENTRIES]);
    let process = bucket.process();
    let repository = open(&process);
    // The checkpoint's own entry, which proves it, and up to the one that is not there.
    let expected = (3 * ENTRIES..=3 * ENTRIES + 3).map(entry_name).collect();
    assert_eq!(entries_read(&process), expected);
    assert_eq!(repository.base(), 3 * ENTRIES + 2);
    assert_eq!(read_all(&repository), 1);
}

#[test]
fn a_host_remembers_a_checkpoint_in_the_place_of_the_entries_before_it() {
    let bucket = with_entries(9 * ENTRIES);
    let folder = tempfile::tempdir().unwrap();
    // Without stored checkpoints: this host makes its own.
    for slot in slots(&bucket) {
        bucket.process().lose(&names::checkpoint(slot));
    }
    assert_eq!(cached(&bucket.process(), folder.path()).base(), 9 * ENTRIES);
    let rows = || -> (i64, Option<i64>) {
        let repository = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let mut found = std::fs::read_dir(repository).unwrap().map(|entry| entry.unwrap().path());
        let file = found.find(|path| path.extension().is_some_and(|end| end == "sqlite")).unwrap();
        let count = "SELECT (SELECT count(*) FROM log), (SELECT max(slot) FROM checkpoint)";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        rusqlite::Connection::open(file).unwrap().query_row(count, [], read).unwrap()
    };
    assert_eq!(rows(), (0, Some(9 * ENTRIES as i64)));
    let process = bucket.process();
    let repository = cached(&process, folder.path());
    assert_eq!(entries_read(&process), BTreeSet::from([entry_name(9 * ENTRIES), entry_name(9 * ENTRIES + 1)]));
    for number in 0..ENTRIES - 1 {
        amend(&repository, number);
    }
    drop(repository);
    assert_eq!(rows(), (ENTRIES as i64 - 1, Some(9 * ENTRIES as i64)));
    let repository = cached(&bucket.process(), folder.path());
    assert_eq!((repository.state(), LetGo::clone(&repository.let_go())), without_checkpoints(&bucket));
    // One that was away for long begins at the store's.
    drop(repository);
    let other = open(&bucket.process());
    for number in 0..3 * ENTRIES {
        amend(&other, number);
    }
    let process = bucket.process();
    let repository = cached(&process, folder.path());
    assert!(entries_read(&process).len() as u64 <= ENTRIES + 2, "{:?}", entries_read(&process));
    assert_eq!((repository.state(), LetGo::clone(&repository.let_go())), without_checkpoints(&bucket));
}

#[test]
fn a_bucket_that_was_put_back_is_not_opened_at_a_checkpoint_of_what_it_was() {
    let bucket = with_entries(ENTRIES + 1);
    let before = bucket.fork();
    let folder = tempfile::tempdir().unwrap();
    let repository = cached(&bucket.process(), folder.path());
    for number in 0..3 * ENTRIES {
        amend(&repository, number);
    }
    drop(repository);
    drop(cached(&bucket.process(), folder.path()));
    // The store was put back, but for its checkpoints.
    for slot in slots(&bucket) {
        let name = names::checkpoint(slot);
        if !slots(&before).contains(&slot) {
            before.process().write(&name, bucket.process().read(&name).unwrap().to_vec());
        }
    }
    for repository in [open(&before.process()), cached(&before.process(), folder.path())] {
        assert_eq!(repository.base(), ENTRIES + 1);
    }
    // It goes another way, and passes the slots of the checkpoints that it once had.
    let repository = open(&before.process());
    for number in 0..4 * ENTRIES {
        amend(&repository, 1000 + number);
    }
    let expected = without_checkpoints(&before);
    for repository in [open(&before.process()), cached(&before.process(), folder.path())] {
        assert_eq!((repository.state(), LetGo::clone(&repository.let_go())), expected);
    }
    // What is of another log is taken away as soon as a check has told of it.
    let report = check(&repository, Level::List, 1, &Progress::new()).unwrap();
    assert!(!report.is_clean());
    IndexPlan::make(&repository).unwrap().run(&repository, &Progress::new()).unwrap();
    assert_sound(&before);
}

#[test]
fn what_is_wrong_with_a_checkpoint_costs_reading_an_older_one_or_all_entries() {
    let whole = with_entries(2 * ENTRIES + 1);
    let expected = without_checkpoints(&whole);
    let newest = names::checkpoint(2 * ENTRIES);
    type Harm = fn(&FaultyStore, &str);
    let harms: [Harm; 5] = [
        |process, name| process.flip_bit(name, 800),
        |process, name| process.truncate(name, 60),
        |process, name| process.write(name, Vec::new()),
        // The other one's bytes.
        |process, name| process.write(name, process.read(&names::checkpoint(ENTRIES)).unwrap().to_vec()),
        |process, name| process.lose(name),
    ];
    for (number, harm) in harms.into_iter().enumerate() {
        let bucket = whole.fork();
        let process = bucket.process();
        harm(&process, &newest);
        let repository = open(&process);
        assert_eq!((repository.state(), LetGo::clone(&repository.let_go())), expected, "harm {number}");
        assert_eq!(entries_read(&process), (ENTRIES..=2 * ENTRIES + 2).map(entry_name).collect(), "harm {number}");
        let report = check(&repository, Level::List, 1, &Progress::new()).unwrap();
        let found: Vec<_> = report.findings.iter().map(|finding| (&finding.object[..], &finding.mend[..])).collect();
        let is_lost = number == 4;
        let mend = &["backstay repo repair index"][..];
        assert_eq!(found, if is_lost { vec![] } else { vec![(&newest[..], mend)] }, "harm {number}");
        // Without a key nobody can tell that an intact one is in another's place.
        let scrubbed = scrub(&process.open(), 1, &Progress::new()).unwrap().findings;
        assert_eq!(scrubbed.len(), usize::from(number < 3), "harm {number}: {scrubbed:?}");
        let done = IndexPlan::make(&repository).unwrap().run(&repository, &Progress::new()).unwrap();
        assert_eq!(done.checkpoints_removed, u64::from(!is_lost), "harm {number}");
        assert_eq!(slots(&bucket), [ENTRIES]);
        assert_sound(&bucket);
    }
    // Requests that fail.
    for verb in [Verb::List, Verb::Get] {
        for fault in [Fault::Missing, Fault::Denied] {
            let process = whole.process();
            process.inject_always(verb, names::CHECKPOINTS.trim_end_matches('/'), fault);
            let repository = open(&process);
            assert_eq!((repository.state(), LetGo::clone(&repository.let_go())), expected);
        }
    }
}

#[test]
fn a_checkpoint_that_says_something_else_than_the_log_is_found_wherever_it_lies() {
    let bucket = with_entries(ENTRIES);
    let process = bucket.process();
    let name = names::checkpoint(ENTRIES);
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&process);
    let mut wrong = Checkpoint::open(keys.keys(), ENTRIES, &process.read(&name).unwrap()).unwrap();
    wrong.listed.clear();
    process.write(&name, wrong.seal(keys.keys()).unwrap());
    // A host that has taken it over.
    let misled = cached(&process, folder.path());
    assert!(misled.snapshots().is_empty());
    let objects = |repository: &Repository| -> Vec<String> {
        let report = check(repository, Level::List, 1, &Progress::new()).unwrap();
        report.findings.into_iter().map(|finding| finding.object).collect()
    };
    assert_eq!(objects(&misled), [&name[..], "the local index"]);
    let plan = IndexPlan::make(&misled).unwrap();
    assert_eq!(plan.checkpoints.len(), 1);
    plan.run(&misled, &Progress::new()).unwrap();
    let repository = cached(&process, folder.path());
    assert_eq!((read_all(&repository), objects(&repository)), (1, vec![]));
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn who_is_open_sees_every_entry_that_comes_checkpoint_or_not() {
    let bucket = with_entries(1);
    let repository = open(&bucket.process());
    let other = open(&bucket.process());
    for number in 0..3 * ENTRIES {
        amend(&other, number);
    }
    repository.catch_up().unwrap();
    let seen: Vec<u64> = repository.changes_after(1).into_iter().map(|(slot, _)| slot).collect();
    assert_eq!(seen, (2..=3 * ENTRIES + 1).collect::<Vec<_>>());
    // One that was made and never opened begins before the first entry.
    let bucket = Bucket::empty();
    let made = Repository::init(bucket.process().open(), &secret(), "test", frequent()).unwrap();
    let other = open(&bucket.process());
    for number in 0..ENTRIES {
        back_up(&other, "one", &files(&[("a", number, 1_000)])).unwrap();
    }
    made.catch_up().unwrap();
    assert_eq!(made.changes_after(0).len() as u64, ENTRIES);
}

#[test]
fn a_collection_keeps_two_and_makes_one_that_was_missed() {
    let bucket = with_entries(4 * ENTRIES);
    let collect = |repository: &Repository, dry_run| {
        repository.collect(&CollectOptions { dry_run, ..CollectOptions::default() }, &Progress::new()).unwrap()
    };
    collect(&open(&bucket.process()), true);
    assert_eq!(slots(&bucket).len(), 4);
    collect(&open(&bucket.process()), false);
    assert_eq!(slots(&bucket), [3 * ENTRIES, 4 * ENTRIES]);
    // Those who should have put them could not.
    let process = bucket.process();
    process.inject_always(Verb::Create, names::CHECKPOINTS, Fault::Denied);
    let repository = open(&process);
    for number in 0..=2 * ENTRIES {
        amend(&repository, number);
    }
    assert_eq!(slots(&bucket), [3 * ENTRIES, 4 * ENTRIES]);
    let repository = open(&bucket.process());
    collect(&repository, false);
    let base = repository.base();
    assert_eq!(slots(&bucket), [4 * ENTRIES, base]);
    // Where nothing may be deleted, more of them stay.
    let process = bucket.process();
    process.inject_always(Verb::Delete, names::CHECKPOINTS, Fault::Denied);
    let repository = open(&process);
    for number in 0..2 * ENTRIES {
        amend(&repository, number);
    }
    let report = collect(&repository, false);
    assert_eq!(report.refused.objects, 2);
    assert_eq!(slots(&bucket).len(), 4);
    assert_sound(&bucket);
}

#[test]
fn a_state_that_this_program_does_not_know_whole_gets_none() {
    let bucket = with_entries(2);
    let repository = open(&bucket.process());
    amend(&repository, 3);
    let change = Change { extra: Extra::from([("from_a_newer_program".to_owned(), 1.into())]), ..Change::default() };
    assert_eq!(append(&repository, &change), ENTRIES);
    assert!(slots(&bucket).is_empty());
    assert_eq!(open(&bucket.process()).state().unknown_change(), Some(ENTRIES));
}

#[test]
fn what_an_older_program_would_not_write_back_gets_none() {
    let bucket = with_entries(ENTRIES - 2);
    let repository = open(&bucket.process());
    let known = repository.snapshots().pop().unwrap();
    // As it reads the record of a kind that came later.
    let newer = SnapshotRecord { id: new_snapshot_id().unwrap(), kind: SnapshotKind::Other, ..known };
    append(&repository, &Change { snapshots_added: vec![newer.clone()], ..Change::default() });
    amend(&repository, 1);
    assert!(slots(&bucket).is_empty());
    // Nor while it may come back.
    append(&repository, &Change { snapshots_forgotten: vec![newer.id], ..Change::default() });
    for number in 0..ENTRIES {
        amend(&repository, number);
    }
    assert!(slots(&bucket).is_empty());
}

#[test]
fn behind_a_damaged_entry_a_check_and_a_repair_say_what_can_be_said() {
    for harm in 0..3 {
        let bucket = with_entries(3 * ENTRIES);
        let process = bucket.process();
        let entry = entry_name(ENTRIES + 1);
        match harm {
            0 => process.lose(&entry),
            1 => process.flip_bit(&entry, 800),
            _ => process.inject_always(Verb::Get, &entry, Fault::BadSector(100)),
        }
        process.flip_bit(&names::checkpoint(2 * ENTRIES), 800);
        let repository = open(&process);
        assert_eq!(repository.base(), 3 * ENTRIES, "a checkpoint stands for it");
        let report = check(&repository, Level::List, 1, &Progress::new()).unwrap();
        let mut found: Vec<_> = report.findings.into_iter().map(|finding| finding.object).collect();
        found.sort();
        assert_eq!(found, [names::checkpoint(2 * ENTRIES), entry], "harm {harm}");
        let plan = IndexPlan::make(&repository).unwrap();
        assert_eq!(plan.checkpoints.iter().map(|it| it.slot).collect::<Vec<_>>(), [2 * ENTRIES]);
    }
}

#[test]
fn what_was_let_go_is_compared_too() {
    let bucket = Bucket::new();
    let repository = open(&bucket.process());
    let first = back_up(&repository, "one", &files(&[("a", 1, 300_000)])).unwrap();
    back_up(&repository, "one", &files(&[("b", 2, 300_000)])).unwrap();
    repository.forget(&[first.id], true, false).unwrap();
    repository.collect(&CollectOptions { grace_seconds: 0, ..CollectOptions::default() }, &Progress::new()).unwrap();
    while !repository.base().is_multiple_of(ENTRIES) {
        amend(&repository, 0);
    }
    let (process, slot) = (bucket.process(), repository.base());
    let name = names::checkpoint(slot);
    let mut wrong = Checkpoint::open(repository.keys(), slot, &process.read(&name).unwrap()).unwrap();
    assert!(!wrong.packs_let_go.is_empty());
    wrong.packs_let_go.clear();
    process.write(&name, wrong.seal(repository.keys()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let misled = cached(&process, folder.path());
    let report = check(&misled, Level::List, 1, &Progress::new()).unwrap();
    let found: Vec<_> = report.findings.into_iter().map(|finding| finding.object).collect();
    assert_eq!(found, [&name[..], "the local index"]);
}

#[test]
fn a_host_that_copied_takes_no_more_over_than_counts_at_the_copy() {
    let source = with_entries(2 * ENTRIES);
    let to = Bucket::empty();
    let folder = tempfile::tempdir().unwrap();
    let copy = || -> Result<()> {
        let (from, store) = (cached(&source.process(), folder.path()), to.process().open());
        if from.copy_place(&store)? == Place::Empty {
            from.make_copy(&store, &secret(), &other_secret(), "copy")?;
        }
        from.copy_to(Some(&store), &CopyOptions { dry_run: false, grace_seconds: 0 }, &Progress::new()).map(drop)
    };
    copy().unwrap();
    let repository = open(&source.process());
    for number in 0..ENTRIES {
        amend(&repository, number);
    }
    copy().unwrap();
    // As if the second one had died before its last entries, which are the oldest.
    for slot in [2 * ENTRIES + 1, 2 * ENTRIES + 2] {
        to.process().lose(&entry_name(slot));
    }
    let options = OpenOptions { cache: Cache::Folder(folder.path().to_owned()), ..frequent() };
    let opened = Repository::open(to.process().open(), &other_secret(), options.clone()).unwrap();
    assert_eq!(opened.entries_behind_gap().unwrap(), [2 * ENTRIES + 3, 3 * ENTRIES]);
    assert_eq!(opened.take_over().unwrap().len(), 2);
    for options in [options, frequent()] {
        let opened = Repository::open(to.process().open(), &other_secret(), options).unwrap();
        assert_eq!(opened.base(), 2 * ENTRIES);
        assert_eq!(read_all(&opened), 1);
    }
}

#[test]
fn a_copy_has_the_newest_checkpoint_of_what_counts_there() {
    let source = with_entries(2 * ENTRIES + 1);
    let to = Bucket::empty();
    let copy = |from: &Repository| {
        let store = to.process().open();
        if from.copy_place(&store).unwrap() == Place::Empty {
            from.make_copy(&store, &secret(), &other_secret(), "copy").unwrap();
        }
        let options = CopyOptions { dry_run: false, grace_seconds: 0 };
        from.copy_to(Some(&store), &options, &Progress::new()).unwrap();
    };
    let repository = open(&source.process());
    copy(&repository);
    assert_eq!(slots(&to), [2 * ENTRIES]);
    for number in 0..4 * ENTRIES {
        amend(&repository, number);
        copy(&open(&source.process()));
    }
    assert_eq!(slots(&to), [2, 3, 4, 5, 6].map(|number| number * ENTRIES));
    // What the source has no more goes; a damaged one is replaced.
    repository.collect(&CollectOptions::default(), &Progress::new()).unwrap();
    to.process().flip_bit(&names::checkpoint(6 * ENTRIES), 800);
    copy(&open(&source.process()));
    assert_eq!(slots(&to), [5 * ENTRIES, 6 * ENTRIES]);
    let at_copy = open_copy(&to).unwrap();
    assert_eq!((at_copy.state(), LetGo::clone(&at_copy.let_go())), without_checkpoints(&source));
    let report = check(&at_copy, Level::List, 1, &Progress::new()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}
