//! An index that is lost or damaged is made again from the packs alone, whatever happens meanwhile.

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::ids::{PackId, WriterId};
use backstay_format::log::Change;
use backstay_format::pack::read_directory;
use backstay_repo::repair::{IndexPlan, IndexRepair, SnapshotsPlan};
use backstay_repo::{Append, ErrorKind, Progress, RepoError, Repository, Result, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::repair::{Harm, count_writes, readable};
use crate::scene::{Bucket, assert_sound, back_up, chain, files, open, options, put_files, record, secret};

/// Three snapshots, each with segments of its own.
fn start() -> Bucket {
    let bucket = Bucket::new();
    let repository = bucket.open();
    back_up(&repository, "one", &files(&[("one", 1, 300_000), ("shared", 9, 450_000)])).unwrap();
    back_up(&repository, "one", &files(&[("shared", 9, 450_000), ("two", 2, 250_000)])).unwrap();
    back_up(&bucket.open(), "other", &files(&[("three", 3, 1_400_000)])).unwrap();
    bucket
}

/// What a backup leaves that dies before its commit, with all that it has put.
fn die_before_commit(bucket: &Bucket) {
    let store = bucket.process().open().one_at_a_time();
    let repository = Repository::open(store, &secret(), options()).unwrap();
    put_files(&repository.begin().unwrap(), &files(&[("left", 5, 1_300_000)])).unwrap();
}

fn segments(store: &FaultyStore) -> Vec<String> {
    store.names().into_iter().filter(|name| name.starts_with(names::INDEX)).collect()
}

fn repair(process: &FaultyStore) -> Result<IndexRepair> {
    let repository = open(process)?;
    IndexPlan::make(&repository)?.run(&repository, &Progress::new())
}

/// Appends an entry as a collector would that has decided on it.
fn retire(repository: &Repository, packs: &[PackId]) {
    repository.catch_up().unwrap();
    let append = Append::new(WriterId::new([9; 16]), "gc", repository.base());
    repository.append(&append, &|_| Change { packs_retired: packs.to_vec(), ..Change::default() }).unwrap();
}

fn index_is_broken(bucket: &Bucket) -> bool {
    bucket.open().index().is_err()
}

#[test]
fn any_segments_are_made_again_from_the_packs_alone() {
    let start = start();
    let records = readable(&start.open());
    let count = segments(&start.process()).len();
    assert!(count >= 3, "{count} segments");
    for harm in Harm::ALL {
        for harmed in (0..count).map(|one| one..one + 1).chain(std::iter::once(0..count)) {
            let bucket = start.fork();
            let store = bucket.process();
            let names = segments(&store)[harmed].to_vec();
            let damaged: Vec<_> = names.iter().map(|name| harm.to(&store, name)).collect();
            assert!(index_is_broken(&bucket));
            let repository = bucket.open();
            let plan = IndexPlan::make(&repository).unwrap();
            let mut broken: Vec<_> = plan.segments.iter().map(|segment| names::segment(&segment.id)).collect();
            broken.sort_unstable();
            assert_eq!(broken, names);
            // A plan changes nothing.
            assert!(index_is_broken(&bucket));
            let done = plan.run(&repository, &Progress::new()).unwrap();
            assert_eq!((done.segments_removed, done.damaged.len()), (names.len() as u64, 0));
            assert_eq!(done.packs, plan.packs.len() as u64);
            assert_eq!(assert_sound(&bucket), 3);
            assert_eq!(readable(&bucket.open()), records);
            // Damaged bytes are kept.
            let kept: Vec<_> = done.quarantined.iter().map(|name| store.read(name).unwrap()).collect();
            assert_eq!(kept, damaged.into_iter().flatten().collect::<Vec<_>>());
            assert!(IndexPlan::make(&bucket.open()).unwrap().is_empty());
        }
    }
}

#[test]
fn without_damage_only_packs_that_nobody_names_are_added() {
    let bucket = start();
    assert!(IndexPlan::make(&bucket.open()).unwrap().is_empty());
    let before = bucket.open().base();
    assert_eq!(repair(&bucket.process()).unwrap().segments_added, 0);
    assert_eq!(bucket.open().base(), before, "nothing to say, nothing appended");
    die_before_commit(&bucket);
    let plan = IndexPlan::make(&bucket.open()).unwrap();
    assert_eq!((plan.segments.len(), plan.packs.len()), (0, 1));
    let done = repair(&bucket.process()).unwrap();
    assert_eq!((done.segments_added, done.segments_removed, done.packs), (1, 0, 1));
    assert_eq!(assert_sound(&bucket), 3);
    // The next backup finds its chunks there.
    let snapshot = back_up(&bucket.open(), "one", &files(&[("left", 5, 1_200_000)])).unwrap();
    assert!(snapshot.summary.new_bytes < 1000, "the tree alone: {:?}", snapshot.summary);
}

#[test]
fn a_pack_that_was_ever_let_go_is_never_named_again() {
    let bucket = start();
    let store = bucket.process();
    let repository = bucket.open();
    // A backup that was forgotten and collected; its packs are not deleted yet.
    let gone = back_up(&repository, "gone", &files(&[("gone", 7, 900_000)])).unwrap();
    let packs: Vec<_> = repository.index().unwrap().packs().unwrap().into_iter().map(|pack| pack.id).collect();
    let of_gone: Vec<_> = {
        let other = start_packs(&bucket, &gone.source);
        packs.into_iter().filter(|pack| other.contains(pack)).collect()
    };
    assert!(!of_gone.is_empty());
    repository.forget(&[gone.id], true, false).unwrap();
    retire(&repository, &of_gone);
    for name in segments(&store) {
        store.lose(&name);
    }
    let plan = IndexPlan::make(&bucket.open()).unwrap();
    assert!(of_gone.iter().all(|pack| store.read(&names::pack(pack)).is_some()));
    assert!(plan.packs.iter().all(|pack| !of_gone.contains(&pack.id)), "{:?}", plan.packs);
    repair(&store).unwrap();
    assert_eq!(assert_sound(&bucket), 3);
    let known = bucket.open().index().unwrap().packs().unwrap();
    assert!(known.iter().all(|pack| !of_gone.contains(&pack.id)));
}

/// The packs that hold what only this source's snapshot needs.
fn start_packs(bucket: &Bucket, source: &str) -> Vec<PackId> {
    let repository = bucket.open();
    let mut by_source: [Vec<PackId>; 2] = [Vec::new(), Vec::new()];
    for snapshot in repository.snapshots() {
        let list = &mut by_source[usize::from(snapshot.source == source)];
        let mut seen = std::collections::HashSet::new();
        let mut reader = repository.reader().unwrap();
        backstay_repo::closure::walk(
            backstay_repo::closure::roots(&snapshot),
            &mut |id, _| {
                list.push(repository.index()?.lookup(&id)?.unwrap().pack);
                Ok(seen.insert(id))
            },
            &mut |id| backstay_repo::closure::references(&mut reader, id),
        )
        .unwrap();
    }
    let [others, own] = by_source;
    own.into_iter().filter(|pack| !others.contains(pack)).collect()
}

#[test]
fn a_pack_without_a_directory_is_searched_for_its_records() {
    let start = start();
    let keys_of = start.open();
    let store = start.process();
    let packs: Vec<_> = store.names().into_iter().filter(|name| name.starts_with(names::PACKS)).collect();
    for segment in segments(&store) {
        store.lose(&segment);
    }
    for name in packs {
        let whole = store.read(&name).unwrap();
        let records = read_directory(keys_of.keys(), &whole).unwrap();
        // The footer, the directory, and half of the last record with everything behind it.
        let last = records.last().unwrap();
        let cut = (last.offset + last.stored_len / 2) as usize;
        for (harm, left) in [(0, records.len()), (1, records.len()), (2, records.len() - 1)] {
            let bucket = start.fork();
            let store = bucket.process();
            match harm {
                0 => store.flip_bit(&name, whole.len() * 8 - 100),
                1 => store.flip_bit(&name, whole.len() * 8 - 400),
                _ => store.truncate(&name, cut),
            }
            let done = repair(&store).unwrap();
            let [damaged] = &done.damaged[..] else { panic!("{name}: {:?}", done.damaged) };
            assert_eq!((names::pack(&damaged.id), damaged.records), (name.clone(), left as u64));
            let repository = bucket.open();
            let known = repository.damaged().unwrap().unwrap_or_default();
            assert_eq!(known.packs.contains_key(&damaged.id), left > 0, "without a record it is not named");
            let index = repository.index().unwrap();
            let mut reader = repository.reader().unwrap();
            for record in &records[..left] {
                assert!(index.copies(&record.id).unwrap().iter().any(|copy| names::pack(&copy.pack) == name));
                reader.read(&record.id).unwrap();
            }
        }
    }
}

#[test]
fn a_directory_longer_than_the_first_request_is_read_whole() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let mut chunks = writer.chunk_writer().unwrap();
    for n in 0..3000u32 {
        chunks.put(RecordKind::Data, &n.to_le_bytes(), Hint::Plain).unwrap();
    }
    drop(chunks);
    let tree = put_files(&writer, &files(&[("one", 1, 1000)])).unwrap();
    writer.commit(record(&repository, "one", tree)).unwrap();
    let records = readable(&bucket.open());
    assert!(records.len() > 3000);
    let store = bucket.process();
    for segment in segments(&store) {
        store.lose(&segment);
    }
    let done = repair(&store).unwrap();
    assert_eq!((done.records, done.damaged.len()), (records.len() as u64, 0));
    assert_eq!(readable(&bucket.open()), records);
}

#[test]
fn a_backup_goes_on_while_the_index_is_repaired() {
    let bucket = start();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let large = files(&[("large", 77, 2_500_000), ("shared", 9, 450_000)]);
    let tree = put_files(&writer, &large).unwrap();
    let store = bucket.process();
    store.lose(&segments(&store)[0]);
    // Its packs that are stored already are in the new segment as well.
    repair(&bucket.process()).unwrap();
    writer.commit(record(&repository, "one", tree)).unwrap();
    assert_eq!(assert_sound(&bucket), 4);
}

#[test]
fn what_a_collection_lets_go_meanwhile_stays_let_go() {
    let bucket = start();
    let repository = bucket.open();
    die_before_commit(&bucket);
    let process = bucket.process();
    let known: Vec<_> = repository.index().unwrap().packs().unwrap().iter().map(|pack| pack.id).collect();
    process.lose(&segments(&process)[0]);
    let left =
        process.names().iter().filter_map(|name| names::pack_of(name)).find(|pack| !known.contains(pack)).unwrap();
    let hold = process.hold(Verb::Create, names::INDEX);
    let failed = std::thread::scope(|scope| {
        let repairing = scope.spawn(|| repair(&process));
        hold.wait_until_reached();
        retire(&bucket.open(), &[left]);
        hold.release();
        repairing.join().unwrap().unwrap_err()
    });
    assert!(matches!(failed, RepoError::Overtaken(_)), "{}", chain(&failed));
    assert_eq!(failed.kind(), ErrorKind::Conflict);
    assert!(index_is_broken(&bucket));
    repair(&bucket.process()).unwrap();
    assert_eq!(assert_sound(&bucket), 3);
    assert!(bucket.open().index().unwrap().packs().unwrap().iter().all(|pack| pack.id != left));
}

#[test]
fn of_two_repairs_at_once_one_is_done_and_the_other_finds_nothing_left() {
    let bucket = start();
    let store = bucket.process();
    store.lose(&segments(&store)[1]);
    let (left, right) = (bucket.open(), bucket.open());
    let plans = [IndexPlan::make(&left).unwrap(), IndexPlan::make(&right).unwrap()];
    plans[0].run(&left, &Progress::new()).unwrap();
    let late = plans[1].run(&right, &Progress::new()).unwrap_err();
    assert!(matches!(late, RepoError::Overtaken(_)), "{}", chain(&late));
    assert!(IndexPlan::make(&right).unwrap().is_empty());
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn a_repair_of_the_index_that_dies_at_any_write_is_done_by_the_next_one() {
    let start = start();
    let records = readable(&start.open());
    let store = start.process();
    for (harm, name) in Harm::ALL.into_iter().zip(segments(&store)) {
        harm.to(&store, &name);
    }
    let whole = start.fork().process();
    repair(&whole).unwrap();
    let count = count_writes(&whole);
    assert!(count >= 3, "{count} writes");
    for n in 0..count {
        for last_is_done in [false, true] {
            let bucket = start.fork();
            let process = bucket.process();
            process.die_at_write(n, last_is_done);
            repair(&process).unwrap_err();
            assert!(process.is_dead());
            repair(&bucket.process()).unwrap();
            assert_eq!(assert_sound(&bucket), 3, "write {n}");
            assert_eq!(readable(&bucket.open()), records, "write {n}");
        }
    }
}

#[test]
fn packs_that_a_repair_did_not_see_are_not_given_up_by_the_next_one() {
    let bucket = start();
    let process = bucket.process();
    process.lose(&segments(&process)[0]);
    // A listing that shows no packs.
    process.inject(Verb::List, names::PACKS.trim_end_matches('/'), Fault::Missing);
    assert_eq!(repair(&process).unwrap().packs, 0);
    let failed = SnapshotsPlan::make(&bucket.open(), &Progress::new()).unwrap_err();
    assert!(matches!(failed, RepoError::UnindexedPack { .. }), "{}", chain(&failed));
    repair(&process).unwrap();
    assert!(SnapshotsPlan::make(&bucket.open(), &Progress::new()).unwrap().is_empty());
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn a_pack_that_vanishes_before_it_is_read_is_named() {
    let bucket = start();
    let store = bucket.process();
    store.lose(&segments(&store)[0]);
    let repository = bucket.open();
    let plan = IndexPlan::make(&repository).unwrap();
    let pack = plan.packs[0].id;
    store.lose(&names::pack(&pack));
    let done = plan.run(&repository, &Progress::new()).unwrap();
    assert_eq!(done.damaged.iter().map(|pack| (pack.id, pack.records)).collect::<Vec<_>>(), [(pack, 0)]);
}

#[test]
fn a_passing_fault_is_no_damage() {
    let bucket = start();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    process.inject(Verb::Get, names::INDEX, Fault::FlipBit(999));
    assert!(IndexPlan::make(&repository).unwrap().is_empty());
}
