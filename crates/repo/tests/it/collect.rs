//! Collections: what nobody needs goes, what anybody needs stays, whoever dies, races or lies.

use std::collections::BTreeSet;
use std::sync::Arc;

use backstay_format::ids::{PackId, SnapshotId};
use backstay_repo::gc::{CollectOptions, CollectReport};
use backstay_repo::protocol::entry_name;
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{ErrorKind, Progress, RepoError, Repository, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::scene::{Bucket, Files, assert_sound, back_up, chain, files, open, put_files, read_all, record};

/// Nobody is spared: the worst moment.
fn at_once() -> CollectOptions {
    CollectOptions { grace_seconds: 0, ..CollectOptions::default() }
}

fn collect(repository: &Repository, options: &CollectOptions) -> CollectReport {
    repository.collect(options, &Progress::new()).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// After quiet collections only what is needed is left.
fn assert_tidy(bucket: &Bucket) {
    for _ in 0..3 {
        collect(&bucket.open(), &at_once());
    }
    let repository = bucket.open();
    let needed = collect(&repository, &CollectOptions { dry_run: true, ..at_once() });
    let names = bucket.process().names();
    let packs = names.iter().filter(|name| names::pack_of(name).is_some()).count();
    assert_eq!(packs as u64, needed.needed.objects, "{names:#?}");
    let segments: BTreeSet<String> = repository.state().segments().keys().map(names::segment).collect();
    let stored: BTreeSet<String> = names.iter().filter(|name| name.starts_with(names::INDEX)).cloned().collect();
    assert_eq!(stored, segments);
}

fn old() -> Files {
    files(&[("shared", 1, 700_000), ("old", 2, 1_500_000)])
}

fn new() -> Files {
    files(&[("shared", 1, 700_000), ("new", 3, 1_500_000)])
}

/// Two snapshots that share a file; the first one is forgotten.
fn with_garbage() -> (Bucket, SnapshotId, SnapshotId) {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let old = back_up(&repository, "one", &old()).unwrap().id;
    let new = back_up(&repository, "one", &new()).unwrap().id;
    repository.forget(&[old], true, false).unwrap();
    (bucket, old, new)
}

#[test]
fn where_nothing_was_forgotten_nothing_goes_and_nothing_is_said() {
    let bucket = Bucket::new();
    back_up(&bucket.open(), "one", &old()).unwrap();
    let before = bucket.process().names();
    let repository = bucket.open();
    let report = collect(&repository, &CollectOptions::default());
    assert_eq!((report.condemned.objects, report.retired.objects, report.deleted.objects), (0, 0, 0));
    assert!(report.needed.objects > 1 && report.nodes > 0 && report.records > 0);
    assert_eq!(bucket.process().names(), before, "no log entry, no heartbeat, no probe is left");
}

#[test]
fn what_was_forgotten_is_condemned_first_and_stays_readable() {
    let (bucket, old, _) = with_garbage();
    let packs_before = bucket.process().names();
    let report = collect(&bucket.open(), &CollectOptions::default());
    assert!(report.condemned.objects > 0 && report.deleted.objects == 0, "{report:?}");
    assert!(report.waiting_until.is_some());
    let packs = |names: Vec<String>| names.into_iter().filter(|name| name.starts_with("packs/")).collect::<Vec<_>>();
    // A repack may have added one; none is gone.
    let after: BTreeSet<_> = packs(bucket.process().names()).into_iter().collect();
    assert!(packs(packs_before).iter().all(|name| after.contains(name)));
    let again = collect(&bucket.open(), &CollectOptions::default());
    assert_eq!((again.condemned.objects, again.deleted.objects), (0, 0), "the grace is not over");
    // Nothing new relies on what is condemned.
    let repository = bucket.open();
    back_up(&repository, "two", &files(&[("again", 2, 1_500_000)])).unwrap();
    assert_sound(&bucket);
    assert_tidy(&bucket);
    assert!(bucket.open().snapshot(&old).is_none());
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn a_snapshot_that_comes_back_takes_its_packs_back() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let first = back_up(&repository, "one", &files(&[("only here", 2, 1_500_000)])).unwrap().id;
    back_up(&repository, "one", &files(&[("other", 3, 1_500_000)])).unwrap();
    repository.forget(&[first], true, false).unwrap();
    let condemned = collect(&bucket.open(), &CollectOptions::default());
    assert!(condemned.condemned.objects > 0);
    bucket.open().forget_undo(&[first]).unwrap();
    let report = collect(&bucket.open(), &CollectOptions::default());
    assert_eq!(report.reprieved, condemned.condemned);
    assert_eq!(report.waiting.objects, 0);
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn without_a_grace_garbage_goes_at_once_and_nothing_else() {
    let (bucket, _, new) = with_garbage();
    let report = collect(&bucket.open(), &at_once());
    assert!(report.retired.objects > 0, "{report:?}");
    assert!(report.deleted.bytes > 1_400_000, "{report:?}");
    assert_eq!(assert_sound(&bucket), 1);
    assert!(bucket.open().snapshot(&new).is_some());
    assert_tidy(&bucket);
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    process.forget_records();
    let tried = collect(&repository, &CollectOptions { dry_run: true, ..at_once() });
    assert_eq!(process.written(), Vec::<String>::new());
    let done = collect(&repository, &at_once());
    assert_eq!((tried.retired, tried.repacked.objects), (done.retired, done.repacked.objects));
}

#[test]
fn a_wasteful_pack_is_rewritten_and_a_damaged_one_left() {
    let make = || {
        let bucket = Bucket::new();
        let repository = bucket.open();
        // One pack with both files; then only the small one is needed.
        let both = back_up(&repository, "one", &files(&[("keep", 1, 190_000), ("waste", 2, 700_000)])).unwrap().id;
        back_up(&repository, "one", &files(&[("keep", 1, 190_000)])).unwrap();
        repository.forget(&[both], true, false).unwrap();
        bucket
    };
    let bucket = make();
    let report = collect(&bucket.open(), &at_once());
    assert!(report.repacked.bytes > 800_000 && report.repacked_into.bytes < 250_000, "{report:?}");
    assert_eq!(assert_sound(&bucket), 1);
    assert_tidy(&bucket);
    assert_eq!(assert_sound(&bucket), 1);

    let bucket = make();
    let largest = bucket.process().names().into_iter().filter(|name| names::pack_of(name).is_some());
    let largest = largest.max_by_key(|name| bucket.process().read(name).unwrap().len()).unwrap();
    bucket.process().flip_bit(&largest, 8 * 600_000);
    let report = collect(&bucket.open(), &at_once());
    assert_eq!(report.damaged, [names::pack_of(&largest).unwrap()]);
    assert!(bucket.process().read(&largest).is_some(), "what can still be read of it is not thrown away");
}

#[test]
fn of_two_copies_one_stays() {
    let bucket = Bucket::new();
    // Neither knows of the other.
    let (one, two) = (bucket.open(), bucket.open());
    let content = files(&[("same", 5, 900_000)]);
    back_up(&one, "one", &content).unwrap();
    back_up(&two, "two", &content).unwrap();
    let before = bucket.process().names().len();
    let report = collect(&bucket.open(), &at_once());
    assert!(report.retired.bytes > 800_000, "{report:?}");
    assert!(bucket.process().names().len() < before);
    assert_eq!(assert_sound(&bucket), 2);
    assert_tidy(&bucket);
}

#[test]
fn a_copy_that_is_lost_or_damaged_is_not_the_one_that_stays() {
    for lose in [true, false] {
        let bucket = Bucket::new();
        let (one, two) = (bucket.open(), bucket.open());
        let content = files(&[("same", 5, 900_000)]);
        back_up(&one, "one", &content).unwrap();
        back_up(&two, "two", &content).unwrap();
        let mut packs = bucket.process().names();
        packs.retain(|name| names::pack_of(name).is_some() && bucket.process().read(name).unwrap().len() > 800_000);
        // The one with the smaller id would be chosen.
        let chosen = packs.iter().min().unwrap();
        if lose {
            bucket.process().lose(chosen);
        } else {
            bucket.process().truncate(chosen, 800_000);
        }
        let report = collect(&bucket.open(), &at_once());
        assert_eq!(report.damaged, [names::pack_of(chosen).unwrap()]);
        assert_eq!(read_all(&bucket.open()), 2, "the other copy is there");
    }
}

/// Two packs that hold one needed record and nothing else of use, in the order of their ids: the first copy would be kept.
fn with_two_copies() -> (Bucket, PackId, PackId) {
    let bucket = Bucket::new();
    let (one, two) = (bucket.open(), bucket.open());
    let mut gone = Vec::new();
    for (seed, repository) in [(2, &one), (3, &two)] {
        let content = files(&[("keep", 1, 190_000), ("waste", seed, 700_000)]);
        gone.push(back_up(repository, "one", &content).unwrap().id);
    }
    let mut packs: Vec<PackId> = bucket.process().names().iter().filter_map(|name| names::pack_of(name)).collect();
    packs.retain(|pack| bucket.process().read(&names::pack(pack)).unwrap().len() > 800_000);
    packs.sort_unstable();
    let [first, second] = packs[..] else { panic!("{packs:?}") };
    let repository = bucket.open();
    back_up(&repository, "one", &files(&[("keep", 1, 190_000)])).unwrap();
    repository.forget(&gone, true, false).unwrap();
    (bucket, first, second)
}

/// The same, and one bit of the first copy has rotted.
fn with_a_rotten_copy() -> (Bucket, PackId, PackId) {
    let (bucket, rotten, intact) = with_two_copies();
    bucket.process().flip_bit(&names::pack(&rotten), 8 * 100_000);
    (bucket, rotten, intact)
}

#[test]
fn a_second_copy_of_what_was_rewritten_goes_in_the_same_run() {
    let (bucket, first, second) = with_two_copies();
    collect(&bucket.open(), &at_once());
    let names = bucket.process().names();
    assert!([first, second].iter().all(|pack| !names.contains(&names::pack(pack))), "{names:#?}");
    assert_eq!(assert_sound(&bucket), 1);
    // What was condemned before is not taken back for it.
    let (bucket, first, second) = with_two_copies();
    collect(&bucket.open(), &CollectOptions { unused_max: f64::MAX, ..CollectOptions::default() });
    let report = collect(&bucket.open(), &CollectOptions::default());
    assert_eq!((report.reprieved.objects, report.repacked.objects), (0, 1));
    let state = bucket.open().state();
    assert!(state.retired().contains_key(&first) && state.condemned().contains_key(&second));
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn the_last_intact_copy_stays_when_the_chosen_one_is_found_damaged() {
    let (bucket, rotten, _) = with_a_rotten_copy();
    let report = collect(&bucket.open(), &at_once());
    assert_eq!(report.damaged, [rotten]);
    assert_eq!(read_all(&bucket.open()), 1);
    let known = bucket.open().damaged().unwrap().unwrap();
    assert_eq!(known.packs.into_keys().collect::<Vec<_>>(), [rotten], "it is remembered");
    // Nor do later ones trust it, whether or not they look at it.
    collect(&bucket.open(), &CollectOptions { unused_max: f64::MAX, ..at_once() });
    assert_eq!(read_all(&bucket.open()), 1);
}

#[test]
fn a_copy_that_was_condemned_is_taken_back_when_the_chosen_one_is_found_damaged() {
    let (bucket, rotten, intact) = with_a_rotten_copy();
    let first = collect(&bucket.open(), &CollectOptions { unused_max: f64::MAX, ..CollectOptions::default() });
    assert!(first.condemned.objects > 0 && first.damaged.is_empty(), "{first:?}");
    assert!(bucket.open().state().condemned().contains_key(&intact));
    let second = collect(&bucket.open(), &CollectOptions::default());
    assert_eq!((second.damaged, second.reprieved.objects), (vec![rotten], 1));
    collect(&bucket.open(), &at_once());
    assert_eq!(read_all(&bucket.open()), 1);
}

#[test]
fn a_node_that_was_read_from_another_copy_keeps_that_one() {
    let bucket = Bucket::new();
    let (one, two) = (bucket.open(), bucket.open());
    let content = files(&[("same", 5, 900_000)]);
    let tree = back_up(&one, "one", &content).unwrap().tree.root;
    back_up(&two, "two", &content).unwrap();
    let repository = bucket.open();
    let copies = repository.index().unwrap().copies(&tree).unwrap();
    assert_eq!(copies.len(), 2);
    bucket.process().flip_bit(&names::pack(&copies[0].pack), 8 * (copies[0].offset as usize + 60));
    let report = collect(&bucket.open(), &at_once());
    assert_eq!(report.damaged, [copies[0].pack]);
    assert_eq!(read_all(&bucket.open()), 2);
    // A fault on the way is none of the pack.
    let process = bucket.process();
    process.inject(Verb::Get, &names::pack(&copies[1].pack), Fault::FlipBit(8 * (copies[1].offset as usize + 60)));
    assert_eq!(collect(&open(&process).unwrap(), &at_once()).damaged, []);
}

#[test]
fn where_damage_cannot_be_written_down_nothing_is_let_go_by_marks_of_before() {
    for is_full_for_good in [true, false] {
        let bucket = Bucket::new();
        let (one, two) = (bucket.open(), bucket.open());
        let content = files(&[("same", 5, 900_000)]);
        let back = back_up(&one, "one", &content).unwrap();
        let copy = back_up(&two, "two", &content).unwrap();
        // Something to rewrite.
        let repository = bucket.open();
        let old = back_up(&repository, "three", &files(&[("keep", 1, 190_000), ("waste", 2, 700_000)])).unwrap();
        back_up(&repository, "three", &files(&[("keep", 1, 190_000)])).unwrap();
        repository.forget(&[back.id, copy.id, old.id], true, false).unwrap();
        let copies = repository.index().unwrap().copies(&back.tree.root).unwrap();
        assert_eq!(copies.len(), 2);
        // While that is rewritten a snapshot comes back, and a copy of its tree cannot be read.
        let process = bucket.process();
        let collector = open(&process).unwrap();
        let hold = process.hold(Verb::Create, names::INDEX);
        let report = std::thread::scope(|scope| {
            let collecting = scope.spawn(|| collect(&collector, &at_once()));
            hold.wait_until_reached();
            bucket.open().forget_undo(&[back.id]).unwrap();
            bucket.process().flip_bit(&names::pack(&copies[0].pack), 8 * (copies[0].offset as usize + 60));
            if is_full_for_good {
                process.inject_always(Verb::Put, names::DAMAGE, Fault::Full);
            } else {
                process.inject(Verb::Put, names::DAMAGE, Fault::Full);
            }
            hold.release();
            collecting.join().unwrap()
        });
        assert!(report.was_full && report.is_unfinished == is_full_for_good, "{report:?}");
        assert_eq!(read_all(&bucket.open()), 2);
        let state = bucket.open().state();
        assert!(!state.retired().contains_key(&copies[1].pack), "the intact one stays");
        assert_eq!(bucket.open().damaged().unwrap().is_some(), !is_full_for_good);
        // With room again all is well.
        collect(&bucket.open(), &at_once());
        assert_eq!(read_all(&bucket.open()), 2);
    }
}

#[test]
fn where_nothing_more_can_be_let_go_what_was_before_is_deleted() {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    process.inject_always(Verb::Delete, names::PACKS, Fault::Denied);
    let refused = collect(&open(&process).unwrap(), &at_once()).refused.objects;
    let repository = bucket.open();
    let last = repository.snapshots()[0].id;
    back_up(&repository, "two", &files(&[("other", 4, 300_000)])).unwrap();
    repository.forget(&[last], true, false).unwrap();
    // A bucket that is full to the last byte takes no entry.
    let packs = || bucket.process().names().iter().filter(|name| names::pack_of(name).is_some()).count() as u64;
    let before = packs();
    let process = bucket.process();
    process.inject_always(Verb::Create, names::LOG, Fault::Full);
    let full = open(&process).unwrap().collect(&at_once(), &Progress::new()).map(drop).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full, "{}", chain(&full));
    assert!(refused > 0 && packs() == before - refused, "{} of {before}, {refused} were refused", packs());
    assert_sound(&bucket);
}

#[test]
fn what_was_condemned_and_is_rewritten_after_all_is_kept_for_the_grace() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let all = back_up(&repository, "one", &files(&[("keep", 1, 190_000), ("waste", 2, 700_000)])).unwrap();
    let kept = back_up(&repository, "one", &files(&[("keep", 1, 190_000)])).unwrap();
    back_up(&repository, "two", &files(&[("other", 3, 300_000)])).unwrap();
    repository.forget(&[all.id, kept.id], true, false).unwrap();
    collect(&bucket.open(), &CollectOptions::default());
    let condemned: BTreeSet<PackId> = bucket.open().state().condemned().keys().copied().collect();
    bucket.open().forget_undo(&[kept.id]).unwrap();
    let report = collect(&bucket.open(), &CollectOptions::default());
    assert!(report.repacked.objects > 0, "{report:?}");
    let repository = bucket.open();
    let rewritten: Vec<_> = condemned.iter().filter(|pack| repository.state().retired().contains_key(pack)).collect();
    assert!(!rewritten.is_empty());
    for pack in rewritten {
        assert!(!repository.let_go().condemned.contains_key(pack), "its grace begins with its retirement");
        assert!(bucket.process().names().contains(&names::pack(pack)));
    }
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn a_cache_that_lacks_rows_is_built_anew_and_no_damage() {
    let (bucket, ..) = with_garbage();
    let cache = tempfile::tempdir().unwrap();
    let open = || {
        let cache = backstay_repo::Cache::Folder(cache.path().to_owned());
        let options = backstay_repo::OpenOptions { cache, ..crate::scene::options() };
        Repository::open(bucket.process().open(), &crate::scene::secret(), options).unwrap()
    };
    let dry = CollectOptions { dry_run: true, ..at_once() };
    // Or it would not look at them.
    let anew = |options| {
        walk(cache.path()).into_iter().filter(|path| path.ends_with("marks-1")).for_each(|path| {
            std::fs::remove_file(path).unwrap();
        });
        collect(&open(), options)
    };
    let expected = anew(&dry);
    let file = walk(cache.path()).into_iter().find(|path| path.ends_with("index-2.sqlite")).unwrap();
    let root = open().snapshots()[0].tree.root;
    for remove in ["DELETE FROM chunks WHERE id = ?1", "DELETE FROM chunks WHERE id <> ?1"] {
        rusqlite::Connection::open(&file).unwrap().execute(remove, [root.as_bytes()]).unwrap();
        assert_eq!(anew(&dry), expected, "{remove}");
    }
}

#[test]
fn a_backup_that_commits_between_marks_and_entry_keeps_what_it_relies_on() {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    let collector = open(&process).unwrap();
    // A writer that has deduplicated against the garbage, and commits while the collector's entry is on its way.
    let other = bucket.open();
    let writer = other.begin().unwrap();
    let tree = put_files(&writer, &files(&[("back again", 2, 1_500_000)])).unwrap();
    let hold = process.hold(Verb::Create, "log/");
    let report = std::thread::scope(|scope| {
        let collecting = scope.spawn(|| collect(&collector, &at_once()));
        hold.wait_until_reached();
        writer.commit(record(&other, "two", tree)).unwrap();
        hold.release();
        collecting.join().unwrap()
    });
    assert_eq!(assert_sound(&bucket), 2, "{report:?}");
    assert_tidy(&bucket);
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn two_collections_at_once_do_no_harm() {
    for held in 0..4 {
        let (bucket, ..) = with_garbage();
        let slow = bucket.process();
        let collector = open(&slow).unwrap();
        let verbs = [(Verb::Create, "log/"), (Verb::Put, "packs/"), (Verb::Delete, "packs/"), (Verb::Create, "packs/")];
        let (verb, prefix) = verbs[held];
        let hold = slow.hold(verb, prefix);
        std::thread::scope(|scope| {
            let collecting = scope.spawn(|| collector.collect(&at_once(), &Progress::new()));
            // Where the story has no such request, there is nothing to hold.
            let done = || collecting.is_finished();
            while !hold.is_reached() && !done() {
                std::thread::yield_now();
            }
            collect(&bucket.open(), &at_once());
            hold.release();
            collecting.join().unwrap().unwrap();
        });
        assert_eq!(assert_sound(&bucket), 1, "held at {verb:?}");
        assert_tidy(&bucket);
        assert_eq!(assert_sound(&bucket), 1);
    }
}

fn writes(process: &FaultyStore) -> usize {
    process.records().iter().filter(|record| matches!(record.verb, Verb::Put | Verb::Create | Verb::Delete)).count()
}

#[test]
fn a_collection_that_dies_at_any_write_is_finished_by_the_next() {
    let (start, ..) = with_garbage();
    for number in 0..9u64 {
        back_up(&start.open(), &format!("source {number}"), &files(&[("small", 100 + number, 3000)])).unwrap();
    }
    let whole = start.fork();
    let process = whole.process();
    // As many entries as can be.
    let options = CollectOptions { batch_bytes: 1, ..at_once() };
    let report = collect(&open(&process).unwrap(), &options);
    assert!(report.repacked.objects > 0 && report.segments_after < report.segments_before, "{report:?}");
    let count = writes(&process);
    assert!(count > 15, "{count} writes");
    for n in 0..count {
        for last_is_done in [false, true] {
            let bucket = start.fork();
            let process = bucket.process();
            let repository = open(&process).unwrap();
            process.die_at_write(n, last_is_done);
            let _ = repository.collect(&options, &Progress::new());
            assert_eq!(assert_sound(&bucket), 10, "write {n}");
            assert_tidy(&bucket);
            assert_eq!(assert_sound(&bucket), 10, "write {n}");
        }
    }
}

#[test]
fn many_segments_become_few_and_name_the_same() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    for number in 0..20u64 {
        back_up(&repository, "one", &files(&[("changes", number, 5000)])).unwrap();
    }
    assert_eq!(repository.state().segments().len(), 20);
    let report = collect(&bucket.open(), &CollectOptions::default());
    assert!(report.segments_before >= 20 && report.segments_after < 9, "{report:?}");
    assert!(bucket.open().state().segments().len() < 9);
    assert_eq!(assert_sound(&bucket), 20);
}

#[test]
fn a_segment_that_a_run_puts_and_merges_away_is_deleted_by_that_run() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    for number in 0..20u64 {
        back_up(&repository, "one", &files(&[("changes", number, 5000)])).unwrap();
    }
    // Small packs are put together, batch by batch: each puts a segment, and the merge of all takes most away again.
    let report = collect(&bucket.open(), &CollectOptions { batch_bytes: 1, ..at_once() });
    assert!(report.repacked.objects > 16 && report.segments_before > report.segments_after + 8, "{report:?}");
    let stored = bucket.process().names().iter().filter(|name| name.starts_with(names::INDEX)).count();
    assert_eq!(stored, bucket.open().state().segments().len());
    assert_eq!(assert_sound(&bucket), 20);
}

#[test]
fn packs_that_no_segment_names_are_spared_for_the_grace() {
    let bucket = Bucket::new();
    back_up(&bucket.open(), "one", &old()).unwrap();
    let process = bucket.process();
    process.inject_always(Verb::Create, "log/", Fault::Denied);
    let dying = open(&process).unwrap();
    assert!(back_up(&dying, "two", &files(&[("never committed", 7, 1_200_000)])).is_err());
    let report = collect(&bucket.open(), &CollectOptions::default());
    assert!(report.spared.bytes > 1_000_000 && report.deleted.objects == 0, "{report:?}");
    let report = collect(&bucket.open(), &at_once());
    assert!(report.deleted.bytes > 1_000_000, "{report:?}");
    assert_tidy(&bucket);
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn a_backup_that_ends_without_a_snapshot_takes_its_heartbeat_away() {
    let bucket = Bucket::new();
    let process = bucket.process();
    let beats = || process.names().into_iter().filter(|name| name.starts_with(names::WRITERS)).count();
    let repository = open(&process).unwrap();
    let content = files(&[("large", 7, 2_500_000)]);
    let writer = repository.begin().unwrap();
    put_files(&writer, &content).unwrap();
    assert_eq!(beats(), 1);
    drop(writer);
    assert_eq!(beats(), 0);
    // A store that is gone is asked once.
    let writer = repository.begin().unwrap();
    put_files(&writer, &content).unwrap();
    process.forget_records();
    process.inject_always(Verb::Delete, names::WRITERS, Fault::NeverAnswers);
    drop(writer);
    let asked = process.records().into_iter().filter(|record| record.verb == Verb::Delete).count();
    assert_eq!((asked, beats()), (1, 1));
}

#[test]
fn a_heartbeat_goes_on_when_the_clock_is_put_back() {
    use std::sync::atomic::{AtomicI64, Ordering};
    let bucket = Bucket::new();
    let process = bucket.process();
    let seconds = Arc::new(AtomicI64::new(0));
    let moving = seconds.clone();
    let clock = backstay_repo::Clock::new(move || {
        jiff::Timestamp::from_second(1_800_000_000 + moving.load(Ordering::Relaxed)).unwrap()
    });
    let options = backstay_repo::OpenOptions { clock, ..crate::scene::options() };
    let repository = Repository::open(process.open(), &crate::scene::secret(), options).unwrap();
    let writer = repository.begin().unwrap();
    let beats = || {
        let beats = process.records().into_iter().filter(|record| record.name.starts_with(names::WRITERS));
        beats.filter(|record| record.verb == Verb::Put).count()
    };
    for (number, (time, count)) in [(0, 1), (500, 1), (601, 2), (-80_000, 3), (-79_900, 3)].into_iter().enumerate() {
        seconds.store(time, Ordering::Relaxed);
        put_files(&writer, &files(&[("large", 100 + number as u64, 1_500_000)])).unwrap();
        assert_eq!(beats(), count, "at {time}");
    }
}

#[test]
fn where_something_needed_is_missing_nothing_is_let_go() {
    let (bucket, ..) = with_garbage();
    let repository = bucket.open();
    // A pack of the tree that is listed: retired by hand, as no rule allows.
    let root = repository.snapshots()[0].tree.root;
    let pack = repository.index().unwrap().lookup(&root).unwrap().unwrap().pack;
    retire_by_hand(&repository, pack);
    let before = bucket.process().names();
    let error = bucket.open().collect(&at_once(), &Progress::new()).unwrap_err();
    assert!(matches!(error, RepoError::MissingRecord { id } if id == root), "{}", chain(&error));
    assert_eq!(bucket.process().names(), before);
}

fn retire_by_hand(repository: &Repository, pack: PackId) {
    use backstay_format::log::Change;
    let change = Change { packs_retired: vec![pack], ..Change::default() };
    let writer = backstay_format::ids::WriterId::new([9; 16]);
    repository.append(&backstay_repo::Append::new(writer, "test", repository.base()), &|_| change.clone()).unwrap();
}

#[test]
fn what_the_store_refuses_to_delete_is_tried_again() {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    process.inject_always(Verb::Delete, "packs/", Fault::Denied);
    let locked = open(&process).unwrap();
    let report = collect(&locked, &at_once());
    assert!(report.refused.objects > 0 && report.deleted.objects == 0, "{report:?}");
    let entries = locked.base();
    let again = collect(&locked, &at_once());
    assert_eq!(again.refused, report.refused);
    assert_eq!(locked.base(), entries, "not decided anew");
    assert_eq!(assert_sound(&bucket), 1);
    assert_tidy(&bucket);
}

/// Garbage that is let go and that the store did not delete.
fn with_due_garbage() -> (Bucket, usize) {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    process.inject_always(Verb::Delete, "packs/", Fault::Denied);
    let report = collect(&open(&process).unwrap(), &at_once());
    assert!(report.refused.objects > 0);
    (bucket, report.refused.objects as usize)
}

#[test]
fn a_full_store_without_a_reserve_is_rid_of_what_was_let_go() {
    let (start, due) = with_due_garbage();
    let packs = |bucket: &Bucket| bucket.process().names().iter().filter(|name| names::pack_of(name).is_some()).count();
    // No room comes from it.
    let bucket = start.fork();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    process.set_full(true);
    let error = repository.collect(&at_once(), &Progress::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{}", chain(&error));
    assert_eq!(packs(&bucket), packs(&start) - due);
    assert_eq!(assert_sound(&bucket), 1);
    // Some does.
    let bucket = start.fork();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    process.inject(Verb::Put, names::WRITERS, Fault::Full);
    let report = collect(&repository, &CollectOptions { exclusive: true, ..at_once() });
    assert_eq!((report.deleted.objects as usize, report.refused.objects, report.was_full), (due, 0, true));
    assert_eq!(assert_sound(&bucket), 1);
    // What is let go and not due stays.
    let bucket = start.fork();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    process.set_full(true);
    repository.collect(&CollectOptions::default(), &Progress::new()).unwrap_err();
    assert_eq!(packs(&bucket), packs(&start));
}

#[test]
fn what_the_reserve_gave_is_not_spent_on_rewriting() {
    let (bucket, ..) = with_garbage();
    for number in 0..9u64 {
        back_up(&bucket.open(), &format!("source {number}"), &files(&[("small", 100 + number, 3000)])).unwrap();
    }
    let process = bucket.process();
    process.write(names::RESERVE, vec![0; 1000]);
    let repository = open(&process).unwrap();
    process.inject(Verb::Create, "log/", Fault::Full);
    let report = collect(&repository, &CollectOptions { unused_max: f64::MAX, ..at_once() });
    assert!(report.was_full && report.deleted.objects > 0, "{report:?}");
    assert_eq!((report.repacked.objects, report.segments_after), (0, 0), "neither packs nor segments");
    assert_eq!(process.read(names::RESERVE), None);
    assert_eq!(assert_sound(&bucket), 10);
}

/// A repository in a folder, where files can be given any time.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Repository::init(Self::store(folder.path()), &crate::scene::secret(), "test", crate::scene::options()).unwrap();
        Self(folder)
    }

    fn store(path: &std::path::Path) -> Store {
        Store::open(&Location::Directory(path.to_owned()), &StoreOptions::default()).unwrap()
    }

    fn open(&self) -> Repository {
        Repository::open(Self::store(self.0.path()), &crate::scene::secret(), crate::scene::options()).unwrap()
    }

    /// Says that an object was stored so many hours from now.
    fn date(&self, name: &str, hours: i64) {
        let now = std::fs::metadata(self.0.path().join(names::RESERVE)).unwrap().modified().unwrap();
        let shift = std::time::Duration::from_secs(3600 * hours.unsigned_abs());
        let time = if hours < 0 { now - shift } else { now + shift };
        std::fs::File::open(self.0.path().join(name)).unwrap().set_modified(time).unwrap();
    }

    fn flip_bit(&self, name: &str, bit: usize) {
        let path = self.0.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bytes).unwrap();
    }

    fn put(&self, name: &str, hours: i64) {
        let store = Self::store(self.0.path());
        store.put(name, vec![1; 1000].into()).unwrap();
        self.date(name, hours);
    }

    fn has(&self, name: &str) -> bool {
        self.0.path().join(name).exists()
    }
}

const YEAR_HOURS: i64 = 365 * 24;

#[test]
fn of_two_copies_to_be_rewritten_the_intact_one_is_taken_over() {
    // In one entry, or in two: then the intact copy is let go before the other is looked at.
    for batch_bytes in [256 << 20, 1] {
        let folder = Folder::new();
        let (one, two) = (folder.open(), folder.open());
        let mut gone = Vec::new();
        for (seed, repository) in [(2, &one), (3, &two)] {
            let own = format!("own {seed}");
            let content = files(&[("keep", 1, 190_000), (&own, 10 + seed, 50_000), ("waste", seed, 700_000)]);
            gone.push(back_up(repository, "one", &content).unwrap().id);
        }
        let repository = folder.open();
        let packs = repository.index().unwrap().packs().unwrap();
        // By id: the first one's copy is the chosen one.
        let large: Vec<PackId> = packs.iter().filter(|pack| pack.size_bytes > 800_000).map(|pack| pack.id).collect();
        let [rotten, intact] = large[..] else { panic!("{packs:?}") };
        let needed = files(&[("keep", 1, 190_000), ("own 2", 12, 50_000), ("own 3", 13, 50_000)]);
        back_up(&repository, "one", &needed).unwrap();
        repository.forget(&gone, true, false).unwrap();
        folder.flip_bit(&names::pack(&rotten), 8 * 100_000);
        // Older packs are rewritten first.
        folder.date(&names::pack(&intact), -48);
        let report = collect(&folder.open(), &CollectOptions { batch_bytes, ..at_once() });
        assert_eq!((report.damaged, report.repacked.objects), (vec![rotten], 1));
        assert_eq!(read_all(&folder.open()), 1, "{batch_bytes}");
    }
}

#[test]
fn times_in_the_future_pin_nothing() {
    let folder = Folder::new();
    let repository = folder.open();
    let gone = back_up(&repository, "one", &files(&[("old", 2, 1_500_000)])).unwrap().id;
    back_up(&repository, "one", &files(&[("new", 3, 1_500_000)])).unwrap();
    repository.forget(&[gone], true, false).unwrap();
    let first = collect(&folder.open(), &CollectOptions::default());
    assert!(first.condemned.objects > 0, "{first:?}");
    let (stray, beat) =
        (names::pack(&PackId::new([7; 32])), names::writer(&backstay_format::ids::WriterId::new([7; 16])));
    folder.put(&stray, YEAR_HOURS);
    folder.put(&beat, YEAR_HOURS);
    folder.date(&entry_name(folder.open().base()), YEAR_HOURS);
    let second = collect(&folder.open(), &CollectOptions::default());
    assert_eq!(second.deleted.objects, first.condemned.objects + 1, "{second:?}");
    assert_eq!((second.waiting.objects, second.spared.objects), (0, 0), "{second:?}");
    assert!(!folder.has(&stray) && !folder.has(&beat));
    assert_eq!(read_all(&folder.open()), 1);
}

#[test]
fn packs_that_no_segment_names_go_although_others_write() {
    let folder = Folder::new();
    let repository = folder.open();
    back_up(&repository, "one", &old()).unwrap();
    let writer = repository.begin().unwrap();
    let tree = put_files(&writer, &new()).unwrap();
    writer.save(record(&repository, "one", tree)).unwrap();
    let stray = names::pack(&PackId::new([7; 32]));
    folder.put(&stray, -48);
    // Its base may be older than the pack: that may be its own.
    folder.date(&entry_name(1), -49);
    let report = collect(&folder.open(), &CollectOptions::default());
    assert_eq!((report.spared.objects, report.deleted.objects), (1, 0), "{report:?}");
    folder.date(&entry_name(1), -47);
    let report = collect(&folder.open(), &CollectOptions::default());
    assert_eq!((report.spared.objects, report.deleted.objects), (0, 1), "{report:?}");
    assert!(!folder.has(&stray));
    drop(writer);
    assert_eq!(read_all(&folder.open()), 2);
}

#[test]
fn a_backup_puts_the_reserve_back_before_it_fills_the_disk() {
    let folder = Folder::new();
    std::fs::remove_file(folder.0.path().join(names::RESERVE)).unwrap();
    let repository = folder.open();
    drop(repository.begin().unwrap());
    assert!(folder.has(names::RESERVE));
}

#[test]
fn a_store_that_ignores_conditions_asks_for_exclusive_use() {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    process.ignore_conditions();
    let error = repository.collect(&at_once(), &Progress::new()).unwrap_err();
    assert!(matches!(error, RepoError::NeedsExclusiveUse { .. }), "{}", chain(&error));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let report = collect(&repository, &CollectOptions { exclusive: true, ..at_once() });
    assert!(report.deleted.objects > 0);
    assert_eq!(assert_sound(&bucket), 1);
}

#[test]
fn without_conditions_an_undo_and_a_repair_of_packs_ask_for_exclusive_use() {
    use backstay_repo::repair::{Depth, PacksPlan};
    let bucket = Bucket::empty();
    let process = bucket.process();
    process.ignore_conditions();
    let (secret, options) = (crate::scene::secret(), crate::scene::options());
    let repository = Repository::init(process.open(), &secret, "test", options).unwrap();
    let ids = [1, 2].map(|seed| back_up(&repository, "one", &files(&[("a", seed, 300_000)])).unwrap().id);
    repository.forget(&ids[..1], true, false).unwrap();
    let error = repository.forget_undo(&ids[..1]).unwrap_err();
    assert!(matches!(error, RepoError::NeedsExclusiveUse { .. }), "{}", chain(&error));
    let pack = repository.index().unwrap().packs().unwrap()[0].id;
    process.truncate(&names::pack(&pack), 200);
    let before = process.names();
    let plan = PacksPlan::make(&repository, Depth::Known, 1, &Progress::new()).unwrap();
    let error = plan.run(&repository, &Progress::new()).unwrap_err();
    assert!(matches!(error, RepoError::NeedsExclusiveUse { .. }), "{}", chain(&error));
    assert_eq!(process.names(), before);
    let repository = repository.exclusive();
    assert_eq!(repository.forget_undo(&ids[..1]).unwrap().len(), 1);
    assert_eq!(plan.run(&repository, &Progress::new()).unwrap().packs_retired, 1);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_collection_whose_heartbeat_was_swept_away_while_it_slept_beats_again() {
    let (bucket, ..) = with_garbage();
    let process = bucket.process();
    let hold = process.hold(Verb::Head, "writers/");
    std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| open(&process).unwrap().collect(&at_once(), &Progress::new()).unwrap());
        hold.wait_until_reached();
        let other = bucket.process();
        for name in other.names().iter().filter(|name| name.starts_with("writers/")) {
            other.lose(name);
        }
        hold.release();
        assert!(sleeping.join().unwrap().deleted.objects > 0);
    });
    assert_tidy(&bucket);
}
