//! What is intact in a damaged pack is saved, whatever happens meanwhile; the rest is named with whom it touches.

use std::collections::BTreeSet;

use backstay_format::audit::{Damaged, Lost};
use backstay_format::ids::{PackId, WriterId};
use backstay_format::log::Change;
use backstay_format::pack::PackKind;
use backstay_repo::index::PackInfo;
use backstay_repo::repair::{Depth, PacksPlan, PacksRepair};
use backstay_repo::{Append, Progress, RepoError, Repository, Result, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::repair::{Harm, count_writes, readable, readable_paths};
use crate::scene::{Bucket, assert_sound, back_up, chain, contents, files, noise, open, put_files, record};

fn start() -> Bucket {
    let bucket = Bucket::new();
    let repository = bucket.open();
    back_up(&repository, "one", &files(&[("one", 1, 300_000), ("shared", 9, 1_450_000)])).unwrap();
    back_up(&repository, "one", &files(&[("shared", 9, 1_450_000), ("two", 2, 250_000)])).unwrap();
    back_up(&bucket.open(), "other", &files(&[("three", 3, 400_000)])).unwrap();
    bucket
}

fn packs(repository: &Repository) -> Vec<PackId> {
    repository.index().unwrap().packs().unwrap().into_iter().filter(|pack| pack.live).map(|pack| pack.id).collect()
}

fn plan(repository: &Repository, depth: Depth) -> PacksPlan {
    PacksPlan::make(repository, depth, 2, &Progress::new()).unwrap()
}

fn repair(process: &FaultyStore, depth: Depth) -> Result<PacksRepair> {
    let repository = open(process)?;
    let plan = PacksPlan::make(&repository, depth, 1, &Progress::new())?;
    plan.run(&repository, &Progress::new())
}

/// Damages the end of a pack: everything in it can be read still, but not its directory.
fn harm_directory(store: &FaultyStore, pack: &PackId) {
    let name = names::pack(pack);
    let bits = store.read(&name).unwrap().len() * 8;
    store.flip_bit(&name, bits - 300);
}

#[test]
fn all_that_can_be_read_of_a_damaged_pack_is_saved_and_the_rest_is_named() {
    let start = start();
    let packs = packs(&start.open());
    assert!(packs.len() >= 6, "{packs:?}");
    for harm in Harm::ALL {
        for pack in &packs {
            let bucket = start.fork();
            let store = bucket.process();
            let damaged = harm.to(&store, &names::pack(pack));
            let before = readable(&bucket.open());
            let paths = readable_paths(&bucket.open());
            let repository = bucket.open();
            // A listing shows what is missing or cut, and only that.
            assert_eq!(plan(&repository, Depth::Known).is_empty(), harm == Harm::Flip);
            let plan = plan(&repository, Depth::All);
            let [found] = &plan.packs[..] else { panic!("{:?}", plan.packs) };
            assert_eq!((found.id, found.size_bytes), (*pack, damaged.as_ref().map(|bytes| bytes.len() as u64)));
            let broken: Vec<_> = plan.snapshots.iter().map(|snapshot| snapshot.id).collect();
            for snapshot in repository.snapshots() {
                assert_eq!(paths[&snapshot.id].is_whole, !broken.contains(&snapshot.id), "{pack} {harm:?}");
            }
            assert_eq!(found.records_lost > 0, !broken.is_empty());
            let done = plan.run(&repository, &Progress::new()).unwrap();
            assert_eq!((done.packs_retired, done.records_saved), (1, found.records_intact));
            assert_eq!(readable(&bucket.open()), before, "{pack} {harm:?}");
            assert!(readable_paths(&bucket.open()) == paths);
            assert!(self::packs(&bucket.open()).iter().all(|known| known != pack));
            let kept: Vec<_> = done.quarantined.iter().map(|name| store.read(name).unwrap()).collect();
            assert_eq!(kept, Vec::from_iter(damaged));
            // Until they are repaired, no backup may take over what is left of them.
            let known = bucket.open().damaged().unwrap().unwrap_or_default();
            assert_eq!(known, Damaged { packs: [].into(), snapshots: broken.into_iter().collect() });
            assert!(self::plan(&bucket.open(), Depth::All).is_empty());
        }
    }
}

#[test]
fn what_has_another_copy_costs_nothing() {
    let bucket = Bucket::new();
    let twice = files(&[("twice", 1, 350_000)]);
    let (left, right) = (bucket.open(), bucket.open());
    let writers = [left.begin().unwrap(), right.begin().unwrap()];
    let trees = [put_files(&writers[0], &twice).unwrap(), put_files(&writers[1], &twice).unwrap()];
    for (writer, tree) in writers.iter().zip(trees) {
        writer.commit(record(writer.repository(), "one", tree)).unwrap();
    }
    let all = packs(&bucket.open());
    assert_eq!(all.len(), 4, "each record twice");
    for pack in all {
        let bucket = bucket.fork();
        bucket.process().lose(&names::pack(&pack));
        let plan = plan(&bucket.open(), Depth::Known);
        assert_eq!((plan.packs[0].records_lost, plan.snapshots.len()), (0, 0));
        repair(&bucket.process(), Depth::Known).unwrap();
        assert_eq!(assert_sound(&bucket), 2);
    }
}

#[test]
fn what_a_check_found_is_looked_into_and_what_it_found_wrongly_is_cleared() {
    let bucket = start();
    let store = bucket.process();
    let all = packs(&bucket.open());
    let repository = bucket.open();
    let lost = |pack: PackId| Damaged { packs: [(pack, Lost::All)].into(), snapshots: [].into() };
    repository.save_damaged(&lost(all[0])).unwrap();
    let found = plan(&repository, Depth::Known);
    assert_eq!((found.packs.len(), &found.intact[..]), (0, &all[..1]));
    found.run(&repository, &Progress::new()).unwrap();
    assert_eq!(repository.damaged().unwrap(), None);
    harm_directory(&store, &all[0]);
    repository.save_damaged(&lost(all[0])).unwrap();
    assert_eq!(plan(&repository, Depth::Known).packs[0].id, all[0]);
    repair(&store, Depth::Known).unwrap();
    assert_eq!(repository.damaged().unwrap(), None);
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn a_passing_fault_is_no_damaged_pack() {
    let bucket = start();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    for pack in packs(&repository) {
        process.inject(Verb::Get, &names::pack(&pack), Fault::FlipBit(500));
    }
    assert!(plan(&repository, Depth::All).is_empty());
}

#[test]
fn a_pack_is_retired_only_when_all_is_saved_that_the_plan_could_read_in_it() {
    let start = start();
    let pack = packs(&start.open())[0];
    harm_directory(&start.process(), &pack);
    let records = readable(&start.open());
    for fault in [Fault::Missing, Fault::FlipBit(8 * 200)] {
        // The first read of the repair goes wrong, or all of them.
        for times in [Some(1), None] {
            let bucket = start.fork();
            let process = bucket.process();
            let repository = open(&process).unwrap();
            let plan = plan(&repository, Depth::All);
            assert!(plan.packs[0].records_intact > 0);
            repository.save_damaged(&Damaged { packs: [(pack, Lost::All)].into(), ..Damaged::default() }).unwrap();
            process.inject_times(Verb::Get, &names::pack(&pack), fault.clone(), times);
            let done = plan.run(&repository, &Progress::new()).unwrap();
            let is_passing = times.is_some();
            assert_eq!((done.packs_retired, done.not_retired.is_empty()), (u64::from(is_passing), is_passing));
            assert_eq!(bucket.open().damaged().unwrap().is_none(), is_passing, "what is not repaired stays known");
            assert_eq!(readable(&bucket.open()), records, "{fault:?} {times:?}");
            repair(&bucket.process(), Depth::All).unwrap();
            assert_eq!(assert_sound(&bucket), 3);
        }
    }
}

#[test]
fn of_a_pack_with_a_bad_sector_all_is_saved_that_lies_beside_it() {
    let bucket = start();
    let data = |pack: &PackInfo| pack.kind == PackKind::Data && pack.records > 2;
    let pack = bucket.open().index().unwrap().packs().unwrap().into_iter().find(data).unwrap();
    let process = bucket.process();
    process.inject_always(Verb::Get, &names::pack(&pack.id), Fault::BadSector(1000));
    let plan = plan(&open(&process).unwrap(), Depth::All);
    let [found] = &plan.packs[..] else { panic!("{:?}", plan.packs) };
    assert_eq!((found.id, found.records_intact, found.records_lost), (pack.id, pack.records - 1, 1));
    assert_eq!(repair(&process, Depth::All).unwrap().records_saved, found.records_intact);
    assert!(self::plan(&bucket.open(), Depth::All).is_empty());
}

#[test]
fn what_lies_behind_a_record_that_bytes_were_cut_out_of_is_saved() {
    let bucket = start();
    let data = |pack: &PackInfo| pack.kind == PackKind::Data && pack.records > 2;
    let pack = bucket.open().index().unwrap().packs().unwrap().into_iter().find(data).unwrap();
    let store = bucket.process();
    let mut bytes = store.read(&names::pack(&pack.id)).unwrap().to_vec();
    bytes.drain(10_000..11_000);
    store.write(&names::pack(&pack.id), bytes);
    let plan = plan(&bucket.open(), Depth::Known);
    assert_eq!(plan.packs[0].records_intact, pack.records - 1);
    assert_eq!(repair(&store, Depth::Known).unwrap().records_saved, pack.records - 1);
}

#[test]
fn backups_go_on_while_packs_are_repaired() {
    let bucket = start();
    let store = bucket.process();
    // Begun before the repair, and relying on what is in the pack.
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let known = files(&[("shared", 9, 1_450_000), ("new", 21, 90_000)]);
    let tree = put_files(&writer, &known).unwrap();
    for pack in packs(&repository) {
        harm_directory(&store, &pack);
    }
    let repairing = bucket.open();
    let plan = plan(&repairing, Depth::All);
    assert_eq!(plan.packs.len(), packs(&repository).len());
    // Committed between the plan and the entry.
    back_up(&bucket.open(), "two", &files(&[("three", 3, 400_000), ("four", 4, 10)])).unwrap();
    plan.run(&repairing, &Progress::new()).unwrap();
    assert_eq!(assert_sound(&bucket), 4);
    match writer.commit(record(&repository, "one", tree)) {
        Ok(_) => {}
        Err(RepoError::Overtaken(_)) => drop(back_up(&bucket.open(), "one", &known).unwrap()),
        Err(error) => panic!("{}", chain(&error)),
    }
    assert_eq!(assert_sound(&bucket), 5);
}

#[test]
fn what_is_committed_between_plan_and_entry_is_noted_as_what_may_have_lost_something() {
    let bucket = start();
    let repository = bucket.open();
    let data = |pack: &&PackInfo| pack.kind == PackKind::Data;
    let pack = repository.index().unwrap().packs().unwrap().iter().find(data).unwrap().id;
    bucket.process().lose(&names::pack(&pack));
    let plan = plan(&repository, Depth::Known);
    let broken: BTreeSet<_> = plan.snapshots.iter().map(|snapshot| snapshot.id).collect();
    // Relies on what is lost, which nobody has told yet.
    let all = files(&[("one", 1, 300_000), ("shared", 9, 1_450_000), ("three", 3, 400_000), ("two", 2, 250_000)]);
    let later = back_up(&bucket.open(), "one", &all).unwrap().id;
    assert!(!readable_paths(&bucket.open())[&later].is_whole && !broken.contains(&later));
    plan.run(&repository, &Progress::new()).unwrap();
    let noted = bucket.open().damaged().unwrap().unwrap().snapshots;
    assert_eq!(noted, broken.into_iter().chain([later]).collect());
}

#[test]
fn a_collection_that_takes_the_new_pack_for_garbage_makes_the_repair_begin_anew() {
    let bucket = start();
    let store = bucket.process();
    let data =
        bucket.open().index().unwrap().packs().unwrap().into_iter().find(|it| it.kind == PackKind::Data).unwrap();
    harm_directory(&store, &data.id);
    let known = packs(&bucket.open());
    let process = bucket.process();
    let hold = process.hold(Verb::Create, names::INDEX);
    let failed = std::thread::scope(|scope| {
        let repairing = scope.spawn(|| repair(&process, Depth::All));
        hold.wait_until_reached();
        let mut stored = store.names().into_iter().filter_map(|name| names::pack_of(&name));
        let new = stored.find(|pack| !known.contains(pack)).unwrap();
        let other = bucket.open();
        let append = Append::new(WriterId::new([9; 16]), "gc", other.base());
        other.append(&append, &|_| Change { packs_retired: vec![new], ..Change::default() }).unwrap();
        store.lose(&names::pack(&new));
        hold.release();
        repairing.join().unwrap().unwrap_err()
    });
    assert!(matches!(failed, RepoError::Overtaken(_)), "{}", chain(&failed));
    repair(&bucket.process(), Depth::All).unwrap();
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn of_two_repairs_of_a_pack_one_is_done() {
    let bucket = start();
    let store = bucket.process();
    let pack = packs(&bucket.open())[0];
    harm_directory(&store, &pack);
    let (left, right) = (bucket.open(), bucket.open());
    let plans = [plan(&left, Depth::All), plan(&right, Depth::All)];
    assert_eq!(plans[0].run(&left, &Progress::new()).unwrap().packs_retired, 1);
    assert_eq!(plans[1].run(&right, &Progress::new()).unwrap().packs_retired, 0);
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn without_an_index_the_index_comes_first() {
    let bucket = start();
    let store = bucket.process();
    let segment = store.names().into_iter().find(|name| name.starts_with(names::INDEX)).unwrap();
    store.lose(&segment);
    let failed = PacksPlan::make(&bucket.open(), Depth::Known, 1, &Progress::new()).unwrap_err();
    assert!(matches!(failed, RepoError::BrokenIndex { segment: id } if names::segment(&id) == segment));
}

#[test]
fn a_repair_of_packs_that_dies_at_any_write_is_done_by_the_next_one() {
    let start = start();
    let store = start.process();
    let all = packs(&start.open());
    // One that is cut, and two of which only the directory is damaged.
    Harm::Cut.to(&store, &names::pack(&all[0]));
    harm_directory(&store, &all[1]);
    harm_directory(&store, &all[2]);
    let (records, paths) = (readable(&start.open()), readable_paths(&start.open()));
    let whole = start.fork().process();
    repair(&whole, Depth::All).unwrap();
    let count = count_writes(&whole);
    assert!(count >= 6, "{count} writes");
    for n in 0..count {
        for last_is_done in [false, true] {
            let bucket = start.fork();
            let process = bucket.process();
            process.die_at_write(n, last_is_done);
            repair(&process, Depth::All).unwrap_err();
            assert!(process.is_dead());
            assert_eq!(readable(&bucket.open()), records, "write {n}");
            repair(&bucket.process(), Depth::All).unwrap();
            assert_eq!(readable(&bucket.open()), records, "write {n}");
            assert!(readable_paths(&bucket.open()) == paths, "write {n}");
            assert!(plan(&bucket.open(), Depth::All).is_empty());
        }
    }
}

#[test]
fn the_next_backup_stores_again_what_is_damaged() {
    let bucket = start();
    let store = bucket.process();
    let repository = bucket.open();
    let all = files(&[("shared", 9, 1_450_000), ("two", 2, 250_000)]);
    let data: Vec<_> = repository.index().unwrap().packs().unwrap();
    for pack in &data {
        Harm::Flip.to(&store, &names::pack(&pack.id));
    }
    let damage = data.iter().map(|pack| (pack.id, Lost::All)).collect();
    let snapshots = repository.snapshots().iter().map(|snapshot| snapshot.id).collect();
    repository.save_damaged(&Damaged { packs: damage, snapshots }).unwrap();
    let again = bucket.open();
    let newest = back_up(&again, "one", &all).unwrap();
    assert!(newest.summary.new_bytes > 1_700_000, "nothing is taken for stored: {:?}", newest.summary);
    repair(&bucket.process(), Depth::All).unwrap();
    let paths = readable_paths(&bucket.open());
    assert!(paths[&newest.id].is_whole);
    // Equal contents of older snapshots are whole again with it.
    assert!(paths.values().filter(|paths| paths.is_whole).count() >= 2);
    let read = contents(&bucket.open(), newest.tree).unwrap();
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(|(_, seed, bytes)| *bytes == noise(*seed, bytes.len())));
}
