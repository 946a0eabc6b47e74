//! Writers that are overtaken, by collections and forgets that keep no manners: they mend, or end with nothing listed.

use std::collections::BTreeSet;
use std::thread;

use backstay_format::ids::{ChunkId, PackId, SegmentId, WriterId};
use backstay_format::log::{Change, SnapshotRecord, TreeRef};
use backstay_repo::closure::{Role, references, roots, walk};
use backstay_repo::{Append, ErrorKind, RepoError, Repository, Result, Writer, names};
use backstay_testkit::faulty::{FaultyStore, Verb};

use crate::scene::{Bucket, Files, assert_sound, back_up, chain, files, open, put_files, record};

/// How a run ends up appending.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Commit,
    Save,
}

const ENDINGS: [Ending; 2] = [Ending::Commit, Ending::Save];

impl Ending {
    fn append(self, writer: &Writer<'_>, tree: TreeRef) -> Result<()> {
        let snapshot = record(writer.repository(), "run", tree);
        match self {
            Self::Commit => writer.commit(snapshot).map(|_| ()),
            Self::Save => writer.save(snapshot),
        }
    }
}

/// What an entry of somebody else's does, and whether the bytes go with it.
struct Strike {
    change: Change,
    deletes: bool,
}

/// Decided when an attempt is about to append.
type StrikeAt<'a> = &'a dyn Fn(&FaultyStore, &Repository) -> Strike;

fn append(repository: &Repository, change: Change) {
    let append = Append::new(WriterId::new([9; 16]), "test", repository.base());
    repository.append(&append, &|_| change.clone()).unwrap();
}

/// Deletes what entries let go, as any collection may at any time.
fn delete_let_go(bucket: &Bucket) {
    let (let_go, process) = (bucket.open().let_go(), bucket.process());
    let packs = let_go.packs.keys().map(names::pack);
    for name in packs.chain(let_go.segments.keys().map(names::segment)) {
        if process.read(&name).is_some() {
            process.lose(&name);
        }
    }
}

/// A run whose attempts to append are each overtaken by one strike, as long as there are some. What is let go is deleted in the end,
/// so that a snapshot that rests on it is found out.
fn run(
    bucket: &Bucket,
    ending: Ending,
    put: impl Fn(&Writer<'_>) -> Result<TreeRef>,
    strikes: &[StrikeAt<'_>],
) -> Result<Vec<String>> {
    let process = bucket.process();
    let repository = open(&process).unwrap();
    let writer = repository.begin().unwrap();
    let tree = put(&writer).unwrap();
    let holds: Vec<_> = strikes.iter().map(|_| process.hold(Verb::Create, "log/")).collect();
    let mut is_first = true;
    thread::scope(|scope| {
        let appending = scope.spawn(|| ending.append(&writer, tree));
        for (hold, strike) in holds.into_iter().zip(strikes) {
            hold.wait_until_reached();
            if is_first {
                // All that was put is stored now.
                process.forget_records();
            }
            is_first = false;
            let other = bucket.open();
            let Strike { change, deletes } = strike(&process, &other);
            append(&other, change);
            if deletes {
                delete_let_go(bucket);
            }
            hold.release();
        }
        appending.join().unwrap()
    })?;
    let written = process.written();
    delete_let_go(bucket);
    if matches!(ending, Ending::Save) {
        assert_sound(bucket);
        // The run goes on: what it put and what was mended are both of use.
        writer.commit(record(&repository, "run", tree)).unwrap();
        delete_let_go(bucket);
    }
    assert_sound(bucket);
    let read = bucket.open().snapshots();
    assert_eq!(read.iter().filter(|snapshot| snapshot.source == "run" && !snapshot.incomplete).count(), 1);
    Ok(written)
}

fn wanted() -> Files {
    files(&[("large", 1, 2_500_000), ("small", 2, 10)])
}

fn put_wanted(writer: &Writer<'_>) -> Result<TreeRef> {
    put_files(writer, &wanted())
}

fn packs(process: &FaultyStore) -> BTreeSet<PackId> {
    process.names().iter().filter_map(|name| names::pack_of(name)).collect()
}

/// Packs that no entry has made valid or retired.
fn unnamed_packs(process: &FaultyStore, other: &Repository) -> Vec<PackId> {
    let known: BTreeSet<PackId> = other.index().unwrap().packs().unwrap().iter().map(|pack| pack.id).collect();
    packs(process)
        .into_iter()
        .filter(|pack| !known.contains(pack))
        .filter(|pack| !other.let_go().packs.contains_key(pack))
        .collect()
}

fn unnamed_segments(process: &FaultyStore, other: &Repository) -> Vec<SegmentId> {
    let segments = process.names().into_iter().filter_map(|name| names::segment_of(&name));
    segments
        .filter(|segment| !other.state().segments().contains_key(segment))
        .filter(|segment| !other.let_go().segments.contains_key(segment))
        .collect()
}

fn valid_packs(other: &Repository) -> Vec<PackId> {
    other.index().unwrap().packs().unwrap().into_iter().filter(|pack| pack.live).map(|pack| pack.id).collect()
}

fn retire(packs_retired: Vec<PackId>, deletes: bool) -> Strike {
    assert!(!packs_retired.is_empty());
    Strike { change: Change { packs_retired, ..Change::default() }, deletes }
}

/// All snapshots forgotten, and all valid packs retired.
fn wipe(other: &Repository, deletes: bool) -> Strike {
    let snapshots_forgotten = other.snapshots().iter().map(|snapshot| snapshot.id).collect();
    let change = Change { snapshots_forgotten, packs_retired: valid_packs(other), ..Change::default() };
    Strike { change, deletes }
}

fn new_packs(written: &[String]) -> usize {
    written.iter().filter(|name| name.starts_with("packs/")).count()
}

/// It ends as overtaken, nothing is listed, and the next run is successful.
#[track_caller]
fn assert_given_up(bucket: &Bucket, outcome: Result<Vec<String>>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, RepoError::Overtaken(_)), "{}", chain(&error));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(bucket.open().snapshots().iter().all(|snapshot| snapshot.source != "run"), "nothing is listed");
    delete_let_go(bucket);
    assert_sound(bucket);
    back_up(&bucket.open(), "run", &wanted()).unwrap();
    assert_sound(bucket);
}

#[test]
fn w1_what_was_in_a_retired_pack_of_its_own_is_put_into_a_new_one() {
    for ending in ENDINGS {
        // Three packs of data and one of nodes.
        for position in 0..4 {
            let bucket = Bucket::new();
            let one = |process: &FaultyStore, other: &Repository| {
                retire(vec![unnamed_packs(process, other)[position]], false)
            };
            let written = run(&bucket, ending, put_wanted, &[&one]).unwrap();
            assert_eq!(new_packs(&written), 1, "{written:?}");
        }
        let bucket = Bucket::new();
        let all = |process: &FaultyStore, other: &Repository| retire(unnamed_packs(process, other), false);
        let written = run(&bucket, ending, put_wanted, &[&all]).unwrap();
        assert_eq!(new_packs(&written), 4, "{written:?}");
    }
}

#[test]
fn w1_a_retired_pack_of_its_own_whose_bytes_are_gone_ends_the_run() {
    for ending in ENDINGS {
        let bucket = Bucket::new();
        back_up(&bucket.open(), "earlier", &files(&[("other", 7, 500_000)])).unwrap();
        let one = |process: &FaultyStore, other: &Repository| retire(unnamed_packs(process, other)[..1].to_vec(), true);
        assert_given_up(&bucket, run(&bucket, ending, put_wanted, &[&one]));
    }
}

#[test]
fn w1_a_removed_segment_of_its_own_is_made_anew() {
    for ending in ENDINGS {
        let bucket = Bucket::new();
        let removed = |process: &FaultyStore, other: &Repository| {
            let segments_removed = unnamed_segments(process, other);
            assert_eq!(segments_removed.len(), 1);
            Strike { change: Change { segments_removed, ..Change::default() }, deletes: true }
        };
        let written = run(&bucket, ending, put_wanted, &[&removed]).unwrap();
        assert_eq!(written.iter().filter(|name| name.starts_with("index/")).count(), 1, "{written:?}");
        assert_eq!(new_packs(&written), 0);
    }
}

#[test]
fn w2_another_valid_copy_is_relied_upon() {
    for ending in ENDINGS {
        let bucket = Bucket::new();
        back_up(&bucket.open(), "first", &wanted()).unwrap();
        let first = valid_packs(&bucket.open());
        append(&bucket.open(), Change { packs_condemned: first.clone(), ..Change::default() });
        back_up(&bucket.open(), "second", &wanted()).unwrap();
        append(&bucket.open(), Change { packs_reprieved: first.clone(), ..Change::default() });
        let second: Vec<_> = valid_packs(&bucket.open()).into_iter().filter(|pack| !first.contains(pack)).collect();
        assert_eq!(second.len(), first.len());
        for gone in [first, second] {
            let bucket = bucket.fork();
            let strike = |_: &FaultyStore, _: &Repository| retire(gone.clone(), true);
            let written = run(&bucket, ending, put_wanted, &[&strike]).unwrap();
            assert_eq!(new_packs(&written), 0, "{written:?}");
        }
    }
}

#[test]
fn w2_what_is_only_left_in_a_retired_pack_is_put_again_and_what_is_not_ends_the_run() {
    for ending in ENDINGS {
        for deletes in [false, true] {
            let bucket = Bucket::new();
            back_up(&bucket.open(), "earlier", &wanted()).unwrap();
            let strike = |_: &FaultyStore, other: &Repository| wipe(other, deletes);
            let outcome = run(&bucket, ending, put_wanted, &[&strike]);
            if deletes {
                assert_given_up(&bucket, outcome);
            } else {
                assert!(new_packs(&outcome.unwrap()) >= 4);
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as what puts")]
fn take_over(writer: &Writer<'_>) -> Result<TreeRef> {
    let parent = writer.repository().snapshots()[0].clone();
    writer.reuse_tree_of(parent.id);
    Ok(parent.tree)
}

#[test]
fn w3_a_tree_of_a_forgotten_snapshot_is_looked_up_record_by_record() {
    for ending in ENDINGS {
        let bucket = Bucket::new();
        back_up(&bucket.open(), "earlier", &wanted()).unwrap();
        let forgotten = |_: &FaultyStore, other: &Repository| {
            let snapshots_forgotten = vec![other.snapshots()[0].id];
            Strike { change: Change { snapshots_forgotten, ..Change::default() }, deletes: false }
        };
        let written = run(&bucket.fork(), ending, take_over, &[&forgotten]).unwrap();
        assert_eq!(new_packs(&written), 0);
        // Forgotten, and then collected before the next attempt.
        let collected = |_: &FaultyStore, other: &Repository| retire(valid_packs(other), false);
        let written = run(&bucket.fork(), ending, take_over, &[&forgotten, &collected]).unwrap();
        assert!(new_packs(&written) >= 4);
        let gone = |_: &FaultyStore, other: &Repository| wipe(other, true);
        assert_given_up(&bucket, run(&bucket, ending, take_over, &[&gone]));
    }
}

#[test]
fn a_second_collector_between_two_attempts_is_mended_too() {
    for ending in ENDINGS {
        let bucket = Bucket::new();
        back_up(&bucket.open(), "earlier", &files(&[("large", 1, 1_300_000)])).unwrap();
        let forget_and_retire = |_: &FaultyStore, other: &Repository| wipe(other, false);
        let own_packs = |process: &FaultyStore, other: &Repository| retire(unnamed_packs(process, other), false);
        let own_segments = |process: &FaultyStore, other: &Repository| {
            let segments_removed = unnamed_segments(process, other);
            Strike { change: Change { segments_removed, ..Change::default() }, deletes: true }
        };
        let strikes: [StrikeAt<'_>; 4] = [&forget_and_retire, &own_packs, &own_segments, &own_packs];
        run(&bucket, ending, put_wanted, &strikes).unwrap();
    }
}

#[test]
fn a_run_that_is_overtaken_again_and_again_ends() {
    let bucket = Bucket::new();
    let own_packs = |process: &FaultyStore, other: &Repository| retire(unnamed_packs(process, other), false);
    let strikes: [StrikeAt<'_>; 4] = [&own_packs; 4];
    assert_given_up(&bucket, run(&bucket, Ending::Commit, put_wanted, &strikes));
}

#[test]
fn what_a_saving_found_retired_is_put_again_when_it_comes_again() {
    // The bytes of an own pack are gone when the saving looks; the source still has them.
    let bucket = Bucket::new();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    let writer = repository.begin().unwrap();
    put_wanted(&writer).unwrap();
    let saved = put_files(&writer, &files(&[("saved", 5, 300_000)])).unwrap();
    let hold = process.hold(Verb::Create, "log/");
    thread::scope(|scope| {
        let saving = scope.spawn(|| writer.save(record(&repository, "run", saved)));
        hold.wait_until_reached();
        let other = bucket.open();
        let large = unnamed_packs(&process, &other);
        // The packs of the saved snapshot's own records are the last that were stored.
        let sizes: Vec<_> = large.iter().map(|pack| process.read(&names::pack(pack)).unwrap().len()).collect();
        let full =
            large.iter().zip(sizes).filter(|(_, size)| *size >= 1 << 20).map(|(pack, _)| *pack).collect::<Vec<_>>();
        assert!(full.len() >= 2);
        append(&other, Change { packs_retired: full, ..Change::default() });
        delete_let_go(&bucket);
        hold.release();
        saving.join().unwrap()
    })
    .unwrap();
    assert_sound(&bucket);
    let tree = put_wanted(&writer).unwrap();
    writer.commit(record(&repository, "run", tree)).unwrap();
    assert_sound(&bucket);
}

/// A collection without manners: what no listed snapshot needs goes at once, and so do its bytes, or not.
fn collect(bucket: &Bucket, deletes: bool) -> Result<()> {
    let process = bucket.process();
    let listed: Vec<_> = packs(&process).into_iter().collect();
    let segments: Vec<_> = process.names().iter().filter_map(|name| names::segment_of(name)).collect();
    let repository = bucket.open();
    let mut kept = BTreeSet::new();
    let mut met = BTreeSet::<ChunkId>::new();
    let mut reader = repository.reader()?;
    let index = repository.index()?;
    for snapshot in repository.snapshots() {
        let mut enter = |id: ChunkId, _: Role| {
            kept.insert(index.lookup(&id)?.ok_or(RepoError::MissingRecord { id })?.pack);
            Ok(met.insert(id))
        };
        walk(roots(&snapshot), &mut enter, &mut |id| references(&mut reader, id))?;
    }
    let let_go = repository.let_go();
    let is_garbage = |pack: &PackId| !kept.contains(pack) && !let_go.packs.contains_key(pack);
    let state = repository.state();
    let change = Change {
        packs_retired: listed.into_iter().filter(is_garbage).collect(),
        segments_removed: segments
            .into_iter()
            .filter(|segment| !state.segments().contains_key(segment) && !let_go.segments.contains_key(segment))
            .collect(),
        ..Change::default()
    };
    if change.packs_retired.is_empty() && change.segments_removed.is_empty() {
        return Ok(());
    }
    repository.append(&Append::new(WriterId::new([9; 16]), "gc", repository.base()), &|_| change.clone())?;
    if deletes {
        delete_let_go(bucket);
    }
    Ok(())
}

#[test]
fn threads_savings_forgets_and_collections_without_manners_lose_nothing() {
    let (mut mended, mut given_up) = (0, 0);
    for seed in 0..24u64 {
        let bucket = Bucket::new();
        back_up(&bucket.open(), "run", &files(&[("a", 1, 1_200_000), ("b", 2, 300_000)])).unwrap();
        let process = bucket.process();
        let repository = open(&process).unwrap();
        let writer = repository.begin().unwrap();
        let outcome: Result<SnapshotRecord> = thread::scope(|scope| {
            let collecting = scope.spawn(|| {
                for round in 0..6 {
                    if round == seed % 3 {
                        let other = bucket.open();
                        let ids: Vec<_> =
                            other.snapshots().iter().filter(|it| !it.incomplete).map(|it| it.id).collect();
                        other.forget(&ids, true, false).unwrap();
                    }
                    // Overtaken by the run itself: its next round sees that.
                    match collect(&bucket, seed % 4 == 0) {
                        Ok(()) | Err(RepoError::Overtaken(_)) => {}
                        // Another's snapshot was forgotten and collected while it was walked.
                        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
                        Err(error) => panic!("seed {seed}: {}", chain(&error)),
                    }
                }
            });
            let beside = scope.spawn(|| {
                for round in 0..4 {
                    put_files(&writer, &files(&[("a", 1, 1_200_000), ("c", 3 + round, 700_000)]))?;
                }
                Ok::<_, RepoError>(())
            });
            let backing_up = || {
                let mut tree = put_files(&writer, &files(&[("b", 2, 300_000)]))?;
                for round in 0..3 {
                    let all = files(&[("a", 1, 1_200_000), ("b", 2, 300_000), ("c", 3 + round, 700_000)]);
                    tree = put_files(&writer, &all)?;
                    writer.save(record(&repository, "run", tree))?;
                }
                Ok::<_, RepoError>(tree)
            };
            let tree = backing_up();
            beside.join().unwrap()?;
            collecting.join().unwrap();
            writer.commit(record(&repository, "run", tree?))
        });
        match outcome {
            Ok(_) => mended += 1,
            Err(RepoError::Overtaken(_)) => given_up += 1,
            Err(error) => panic!("seed {seed}: {}", chain(&error)),
        }
        delete_let_go(&bucket);
        assert_sound(&bucket);
        back_up(&bucket.open(), "run", &wanted()).unwrap();
        assert_sound(&bucket);
    }
    assert!(mended > 0, "{mended} were done, {given_up} gave up");
}
