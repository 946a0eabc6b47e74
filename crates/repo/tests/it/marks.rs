//! Collections that go on from what the last one on their host knew: they decide as those that find out everything anew.

use std::path::Path;

use backstay_format::ids::SnapshotId;
use backstay_repo::gc::{CollectOptions, CollectReport};
use backstay_repo::{Cache, OpenOptions, Progress, Repository, names};
use backstay_testkit::data::Dice;
use backstay_testkit::faulty::{Record, Verb};
use tempfile::TempDir;

use crate::scene::{Bucket, Files, assert_sound, back_up, chain, files, options, secret};

fn open(bucket: &Bucket, cache: Cache) -> Repository {
    Repository::open(bucket.process().open(), &secret(), OpenOptions { cache, ..options() }).unwrap()
}

fn on(host: &TempDir) -> Cache {
    Cache::Folder(host.path().to_owned())
}

fn collect(repository: &Repository, options: &CollectOptions) -> CollectReport {
    repository.collect(options, &Progress::new()).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn at_once() -> CollectOptions {
    CollectOptions { grace_seconds: 0, ..CollectOptions::default() }
}

/// What a collection would do: whether it went on, and what it says apart from that.
fn would(bucket: &Bucket, cache: Cache) -> (bool, CollectReport) {
    let report = collect(&open(bucket, cache), &CollectOptions { dry_run: true, ..at_once() });
    (report.is_incremental, CollectReport { is_incremental: false, ..report })
}

fn file_of(host: &Path) -> std::path::PathBuf {
    let folder = std::fs::read_dir(host.join("backstay")).or_else(|_| std::fs::read_dir(host)).unwrap();
    folder.map(|entry| entry.unwrap().path().join("marks-1")).find(|path| path.exists()).expect("marks were left")
}

/// Something of everything: trees of several nodes, files that others share, and many uses of one chunk.
fn some_files(dice: &mut Dice) -> Files {
    let common = dice.below(3);
    let mut all = files(&[("common", common, 400_000)]);
    for _ in 0..dice.below(6) {
        let seed = 10 + dice.below(12);
        all.insert(format!("file-{seed}"), (seed, 1 + dice.below(3) as usize * 150_000));
    }
    for number in 0..dice.below(40) {
        all.insert(format!("same-{number:03}"), (common, 1000));
    }
    all
}

#[test]
fn whatever_happened_since_it_decides_as_one_that_begins_anew() {
    let (mut went_on, mut all) = (0, 0);
    for seed in 0..24 {
        let mut dice = Dice::new(seed);
        let bucket = Bucket::new();
        let hosts = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut forgotten: Vec<SnapshotId> = Vec::new();
        for step in 0..30 {
            let host = dice.choose(&hosts);
            let repository = open(&bucket, on(host));
            let listed: Vec<SnapshotId> = repository.snapshots().iter().map(|snapshot| snapshot.id).collect();
            match dice.below(8) {
                0..=3 => drop(back_up(&repository, "one", &some_files(&mut dice)).unwrap()),
                4 | 5 if !listed.is_empty() => {
                    let id = *dice.choose(&listed);
                    repository.forget(&[id], true, false).unwrap();
                    forgotten.push(id);
                }
                6 if !forgotten.is_empty() => drop(repository.forget_undo(&[*dice.choose(&forgotten)])),
                _ => {
                    let options = CollectOptions {
                        grace_seconds: *dice.choose(&[0, 0, 3600]),
                        unused_max: *dice.choose(&[0.0, 0.05, 1.0]),
                        ..CollectOptions::default()
                    };
                    collect(&repository, &options);
                }
            }
            drop(repository);
            if dice.chance(512) {
                let (_, expected) = would(&bucket, Cache::None);
                for host in &hosts {
                    let (is_incremental, found) = would(&bucket, on(host));
                    assert_eq!(found, expected, "seed {seed}, step {step}");
                    went_on += u64::from(is_incremental);
                    all += 1;
                }
            }
        }
        assert_sound(&bucket);
    }
    assert!(went_on * 10 > all * 8, "{went_on} of {all} went on from the last one's marks");
}

#[test]
fn where_nothing_changed_nothing_is_read_or_written() {
    let bucket = Bucket::new();
    let host = tempfile::tempdir().unwrap();
    back_up(&bucket.open(), "one", &files(&[("a", 1, 500_000), ("b", 2, 300_000)])).unwrap();
    collect(&open(&bucket, on(&host)), &at_once());
    let (_, expected) = would(&bucket, on(&host));
    let written = || std::fs::metadata(file_of(host.path())).unwrap().modified().unwrap();
    let before = written();
    // Not even the rows of the local index.
    let index = file_of(host.path()).with_file_name("index-2.sqlite");
    rusqlite::Connection::open(index).unwrap().execute("DELETE FROM chunks", []).unwrap();
    assert_eq!(would(&bucket, on(&host)), (true, expected));
    assert_eq!(written(), before);
}

#[test]
fn marks_that_are_damaged_or_of_another_time_cost_time_only() {
    let bucket = Bucket::new();
    let host = tempfile::tempdir().unwrap();
    let first = back_up(&bucket.open(), "one", &files(&[("a", 1, 500_000), ("b", 2, 300_000)])).unwrap();
    collect(&open(&bucket, on(&host)), &at_once());
    let file = file_of(host.path());
    let early = std::fs::read(&file).unwrap();
    back_up(&bucket.open(), "one", &files(&[("a", 1, 500_000), ("c", 3, 700_000)])).unwrap();
    bucket.open().forget(&[first.id], true, false).unwrap();
    let (_, expected) = would(&bucket, Cache::None);
    let late = {
        assert_eq!(would(&bucket, on(&host)), (true, expected.clone()));
        std::fs::read(&file).unwrap()
    };
    assert!(early != late);
    std::fs::write(&file, &early).unwrap();
    assert_eq!(would(&bucket, on(&host)), (true, expected.clone()), "what is old is brought up");
    for offset in (0..late.len()).step_by(late.len() / 97) {
        let mut bytes = late.clone();
        bytes[offset] ^= 0x55;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(would(&bucket, on(&host)), (false, expected.clone()), "byte {offset}");
        std::fs::write(&file, &late[..offset]).unwrap();
        assert_eq!(would(&bucket, on(&host)), (false, expected.clone()), "cut at {offset}");
    }
}

/// The check that ends the file of marks.
fn check_of(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut words: Vec<u64> =
        bytes.chunks(8).map(|part| part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))).collect();
    if bytes.len().is_multiple_of(8) {
        words.push(0);
    }
    mix(words.into_iter().fold(0, mix), bytes.len() as u64)
}

#[test]
fn counts_that_are_wrong_are_noticed_before_anything_is_decided() {
    let bucket = Bucket::new();
    let host = tempfile::tempdir().unwrap();
    back_up(&bucket.open(), "one", &files(&[("a", 1, 500_000), ("b", 2, 300_000)])).unwrap();
    collect(&open(&bucket, on(&host)), &at_once());
    let (_, expected) = would(&bucket, on(&host));
    let stored = std::fs::read(file_of(host.path())).unwrap();
    let (bytes, check) = stored.split_at(stored.len() - 8);
    assert_eq!(check, check_of(bytes).to_le_bytes());
    // As a fault of memory would leave it, with a check that fits: another pack, another length, one use more or less of a record, or
    // a node that is none. Rows come last.
    for row in 0..3 {
        for bit in 0..64 {
            let mut wrong = bytes.to_vec();
            let byte = wrong.len() - 8 * (row + 1) + bit / 8;
            wrong[byte] ^= 1 << (bit % 8);
            let check = check_of(&wrong).to_le_bytes();
            std::fs::write(file_of(host.path()), [&wrong[..], &check].concat()).unwrap();
            assert_eq!(would(&bucket, on(&host)), (false, expected.clone()), "bit {bit} of row {row}");
        }
    }
    std::fs::write(file_of(host.path()), &stored).unwrap();
    assert_eq!(would(&bucket, on(&host)), (true, expected));
}

#[test]
fn a_repository_that_was_put_back_from_a_copy_is_noticed() {
    let bucket = Bucket::new();
    let host = tempfile::tempdir().unwrap();
    back_up(&bucket.open(), "one", &files(&[("a", 1, 500_000)])).unwrap();
    let earlier = bucket.fork();
    let wrong = back_up(&bucket.open(), "one", &files(&[("b", 2, 500_000)])).unwrap();
    collect(&open(&bucket, on(&host)), &at_once());
    // Another history from here on, which this host does not know.
    back_up(&earlier.open(), "one", &files(&[("c", 3, 500_000)])).unwrap();
    back_up(&earlier.open(), "one", &files(&[("d", 4, 500_000)])).unwrap();
    let (_, expected) = would(&earlier, Cache::None);
    assert_eq!(would(&earlier, on(&host)).1, expected);
    assert!(earlier.open().snapshot(&wrong.id).is_none());
    collect(&open(&earlier, on(&host)), &at_once());
    assert_eq!(assert_sound(&earlier), 3);
}

#[test]
fn references_are_remembered_and_any_damage_to_them_costs_time_only() {
    let bucket = Bucket::new();
    let host = tempfile::tempdir().unwrap();
    let ids = [1, 2].map(|seed| {
        back_up(&bucket.open(), "one", &files(&[("a", 1, 500_000), ("b", 10 + seed, 300_000)])).unwrap().id
    });
    let (_, expected) = would(&bucket, on(&host));
    let marks = file_of(host.path());
    std::fs::remove_file(&marks).unwrap();
    let process = bucket.process();
    let repository =
        Repository::open(process.open(), &secret(), OpenOptions { cache: on(&host), ..options() }).unwrap();
    process.forget_records();
    let anew = collect(&repository, &CollectOptions { dry_run: true, ..at_once() });
    assert_eq!(anew, expected);
    let is_pack = |record: &Record| record.verb == Verb::Get && record.name.starts_with(names::PACKS);
    assert_eq!(process.records().into_iter().filter(is_pack).count(), 0, "no node is read twice");
    drop(repository);
    let (file, early) = (marks.with_file_name("references-1.sqlite"), std::fs::read(&marks).unwrap());
    let stored = std::fs::read(&file).unwrap();
    bucket.open().forget(&ids[..1], true, false).unwrap();
    let (_, expected) = would(&bucket, Cache::None);
    for (number, offset) in (0..stored.len()).step_by(stored.len() / 97).enumerate() {
        let mut bytes = stored.clone();
        bytes[offset] ^= 0x55;
        std::fs::write(&file, bytes).unwrap();
        // For a walk over everything, and for what is taken out of the marks of before.
        if number % 2 == 0 {
            std::fs::remove_file(&marks).unwrap();
        } else {
            std::fs::write(&marks, &early).unwrap();
        }
        assert_eq!(would(&bucket, on(&host)).1, expected, "byte {offset}");
    }
}
