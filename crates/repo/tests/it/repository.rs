//! Opening, order of writing, naming snapshots, and caches that change no result.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::config::{Config, Secret};
use backstay_format::ids::{SnapshotId, WriterId};
use backstay_format::log::{Amendment, Change};
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Append, Cache, ErrorKind, OpenOptions, RepoError, Repository, Selection, names};
use backstay_testkit::faulty::{FaultyStore, Verb};

use crate::scene::{
    Bucket, assert_sound, back_up, chain, clock, files, open, options, put_files, read_all, record, secret,
};

/// Writes that were done, in order: verb and the first folder of the name.
fn writes(process: &FaultyStore) -> Vec<(Verb, String)> {
    let records = process.records().into_iter();
    records
        .filter(|record| record.done && matches!(record.verb, Verb::Put | Verb::Create | Verb::Delete))
        .map(|record| {
            (record.verb, record.name.split_once('/').map_or(&record.name[..], |(folder, _)| folder).to_owned())
        })
        .collect()
}

#[test]
fn packs_are_stored_before_the_segment_that_names_them_and_the_log_entry_comes_last() {
    let bucket = Bucket::new();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    back_up(&repository, "one", &files(&[("large", 1, 3_500_000)])).unwrap();
    let mut written = writes(&process);
    assert_eq!(written.remove(0), (Verb::Put, "writers".to_owned()), "the writer is known before its first pack");
    assert_eq!(written.pop(), Some((Verb::Delete, "writers".to_owned())));
    assert_eq!(written.pop(), Some((Verb::Create, "log".to_owned())));
    assert_eq!(written.pop(), Some((Verb::Create, "index".to_owned())));
    assert_eq!(written.len(), 4, "three packs of data and one of trees: {written:?}");
    assert!(written.iter().all(|write| *write == (Verb::Create, "packs".to_owned())), "{written:?}");
}

#[test]
fn nothing_is_ever_overwritten_but_a_heartbeat() {
    let bucket = Bucket::empty();
    let process = bucket.process();
    let mut repository = Repository::init(process.open(), &secret(), "test", options()).unwrap();
    let other = Secret::KeyFile(vec![8; 32].into());
    let key = repository.key_add(&secret(), &other, "other").unwrap();
    for round in 0..4u64 {
        // Hours pass between packs: heartbeats are renewed.
        let ticks = std::sync::atomic::AtomicI64::new(round as i64 * 100_000);
        let start = clock(0);
        let late = backstay_repo::Clock::new(move || {
            start.now() + jiff::SignedDuration::from_secs(ticks.fetch_add(700, std::sync::atomic::Ordering::Relaxed))
        });
        repository = Repository::open(process.open(), &secret(), OpenOptions { clock: late, ..options() }).unwrap();
        let writer = repository.begin().unwrap();
        let tree = put_files(&writer, &files(&[("changed", round, 900_000), ("kept", 99, 400_000)])).unwrap();
        writer.save(record(&repository, "one", tree)).unwrap();
        let tree = put_files(&writer, &files(&[("changed", 50 + round, 900_000), ("kept", 99, 400_000)])).unwrap();
        writer.commit(record(&repository, "one", tree)).unwrap();
    }
    repository.key_remove(&key).unwrap();
    let mut created = BTreeSet::new();
    let mut beats = 0;
    for record in process.records().into_iter().filter(|record| record.done) {
        match record.verb {
            Verb::Put => {
                assert!(record.name.starts_with(names::WRITERS), "{} was overwritten", record.name);
                beats += 1;
            }
            Verb::Create => assert!(created.insert(record.name.clone()), "{} was created twice", record.name),
            Verb::Delete => {
                let may_go =
                    ["probe/", names::WRITERS, names::KEYS].iter().any(|folder| record.name.starts_with(folder));
                assert!(may_go, "{} was deleted", record.name);
            }
            Verb::Get | Verb::Head | Verb::List => {}
        }
    }
    assert!(beats > 4, "{beats} heartbeats of 4 writers");
    assert_eq!(assert_sound(&bucket), 4);
}

#[test]
fn a_backup_of_what_is_stored_already_writes_one_log_entry() {
    let bucket = Bucket::new();
    let same = files(&[("a", 1, 700_000), ("b", 2, 10)]);
    back_up(&bucket.open(), "one", &same).unwrap();
    let process = bucket.process();
    let second = back_up(&open(&process).unwrap(), "one", &same).unwrap();
    assert_eq!(writes(&process), [(Verb::Create, "log".to_owned())]);
    assert_eq!((second.summary.new_bytes, second.summary.stored_bytes), (0, 0));
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn a_password_opens_and_another_does_not() {
    let bucket = Bucket::empty();
    let password = |text: &str| Secret::Password(text.to_owned().into());
    let init = Repository::init(bucket.process().open(), &password("right"), "me", options()).unwrap();
    back_up(&init, "one", &files(&[("a", 1, 10)])).unwrap();
    let reopened = Repository::open(bucket.process().open(), &password("right"), options()).unwrap();
    assert_eq!(read_all(&reopened), 1);
    for wrong in [password("Right"), password(""), secret()] {
        let error = Repository::open(bucket.process().open(), &wrong, options()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongPassword, "{}", chain(&error));
    }
}

#[test]
fn an_empty_place_and_one_with_other_things_are_no_repository() {
    let bucket = Bucket::empty();
    let error = bucket.try_open().map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRepository);
    assert!(error.to_string().contains("memory://faulty"), "{error}");
    bucket.process().write("letters/to-mother", "Dear mother");
    assert_eq!(bucket.try_open().map(drop).unwrap_err().kind(), ErrorKind::NoRepository);
}

#[test]
fn a_repository_of_a_newer_program_is_left_alone_and_a_read_only_one_is_read() {
    let bucket = Bucket::new();
    back_up(&bucket.open(), "one", &files(&[("a", 1, 10)])).unwrap();
    let config = bucket.open().config().clone();
    let sealed_with = |change: &dyn Fn(&mut Config)| {
        let forked = bucket.fork();
        let mut config = config.clone();
        change(&mut config);
        for name in [names::CONFIG, names::CONFIG_COPY] {
            forked.process().write(name, config.seal(bucket.open().keys()));
        }
        forked
    };
    let newer = sealed_with(&|config| config.format_version += 1);
    let unknown = sealed_with(&|config| config.features.incompatible = vec!["later".to_owned()]);
    for newer in [newer, unknown] {
        let before = newer.process().names();
        let error = newer.try_open().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        let error = Repository::init(newer.process().open(), &secret(), "x", options()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert_eq!(newer.process().names(), before);
    }
    let read_only = sealed_with(&|config| config.features.read_only_compatible = vec!["later".to_owned()]);
    assert_eq!(read_all(&read_only.open()), 1);
    let error = back_up(&read_only.open(), "one", &files(&[("b", 2, 10)])).unwrap_err();
    assert!(matches!(error, RepoError::ReadOnly), "{}", chain(&error));
    assert_eq!(read_only.open().base(), 1);
}

/// Commits snapshots of one empty tree with these sources, times, and changes.
fn commit(bucket: &Bucket, source: &str, seconds: i64, flags: &str) -> SnapshotId {
    let options = OpenOptions { clock: clock(seconds), ..options() };
    let repository = Repository::open(bucket.process().open(), &secret(), options).unwrap();
    let writer = repository.begin().unwrap();
    let mut snapshot = record(&repository, source, put_files(&writer, &BTreeMap::new()).unwrap());
    snapshot.incomplete = flags.contains("incomplete");
    snapshot.accepted = !flags.contains("flagged");
    if flags.contains("tagged") {
        snapshot.tags = vec!["nightly".to_owned(), "db".to_owned()];
    }
    writer.commit(snapshot).unwrap().id
}

fn sources(sources: &[&str]) -> Selection {
    Selection { sources: sources.iter().map(|&source| source.to_owned()).collect(), ..Selection::default() }
}

#[test]
fn latest_is_the_newest_accepted_and_complete_one_of_a_single_source() {
    let bucket = Bucket::new();
    let find = |selection: &Selection| bucket.open().find_snapshot("latest", selection);
    assert_eq!(find(&Selection::default()).unwrap_err().kind(), ErrorKind::NotFound);
    // Committed in another order than they were started.
    let newest = commit(&bucket, "one", 300, "tagged");
    let older = commit(&bucket, "one", 100, "tagged");
    commit(&bucket, "one", 400, "incomplete");
    let flagged = commit(&bucket, "one", 500, "flagged");
    commit(&bucket, "two", 350, "incomplete");
    assert_eq!(find(&Selection::default()).unwrap().id, newest);
    let only_incomplete = find(&sources(&["two"])).unwrap_err();
    assert!(matches!(&only_incomplete, RepoError::NoSnapshots { source_name: Some(name) } if name == "two"));
    let two = commit(&bucket, "two", 50, "");
    let RepoError::AmbiguousSource { sources: candidates } = find(&Selection::default()).unwrap_err() else { panic!() };
    assert_eq!(candidates, ["one", "two"]);
    assert_eq!(find(&sources(&["one"])).unwrap().id, newest);
    assert_eq!(find(&sources(&["two"])).unwrap().id, two);
    assert_eq!(find(&sources(&["three"])).unwrap_err().kind(), ErrorKind::NotFound);
    let tagged = Selection { tags: vec!["db".to_owned(), "nightly".to_owned()], ..Selection::default() };
    assert_eq!(find(&tagged).unwrap().id, newest);
    let repository = bucket.open();
    let (complete, incomplete) = repository.parents_of("one");
    assert_eq!(complete.unwrap().id, newest);
    assert!(incomplete.unwrap().incomplete);
    // An incomplete one older than the complete one is of no use.
    commit(&bucket, "one", 600, "");
    assert_eq!(bucket.open().parents_of("one").1, None);
    // Acceptance counts from the moment it is said; forgetting too.
    let accept = Amendment {
        snapshot: flagged,
        accepted: Some(true),
        tags: None,
        holds: None,
        expires: None,
        extra: BTreeMap::new(),
    };
    let repository = bucket.open();
    let forgotten: Vec<_> = repository.snapshots().into_iter().rev().map(|snapshot| snapshot.id).take(1).collect();
    let change = Change { snapshots_amended: vec![accept], snapshots_forgotten: forgotten, ..Change::default() };
    append(&repository, &change).unwrap();
    assert_eq!(find(&sources(&["one"])).unwrap().id, flagged);
    assert_eq!(bucket.open().snapshot(&older).unwrap().source, "one");
}

fn append(repository: &Repository, change: &Change) -> backstay_repo::Result<u64> {
    let base = repository.base();
    repository.append(&Append::new(WriterId::new([9; 16]), "test", base), &|_| change.clone())
}

#[test]
fn the_start_of_an_id_names_a_snapshot_unless_it_is_short_or_names_two() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let tree = put_files(&writer, &BTreeMap::new()).unwrap();
    for id in
        ["abcd1111111111111111111111111111", "abcd2222222222222222222222222222", "ef012345678901234567890123456789"]
    {
        let id: SnapshotId = id.parse().unwrap();
        writer.commit(backstay_format::log::SnapshotRecord { id, ..record(&repository, "one", tree) }).unwrap();
    }
    let find = |spec: &str| repository.find_snapshot(spec, &Selection::default());
    for spec in ["abcd1", "ABCD11", "abcd1111111111111111111111111111"] {
        assert_eq!(find(spec).unwrap().id.to_string(), "abcd1111111111111111111111111111", "{spec}");
    }
    let RepoError::AmbiguousSnapshot { candidates, .. } = find("abcd").unwrap_err() else { panic!() };
    assert_eq!(candidates.len(), 2);
    for spec in ["ef0", "ef013", "", "xyz0", "abcd11111111111111111111111111110"] {
        assert_eq!(find(spec).unwrap_err().kind(), ErrorKind::NotFound, "{spec}");
    }
    let elsewhere = repository.find_snapshot("ef01", &sources(&["two"]));
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_cache_that_is_deleted_damaged_or_ahead_of_the_store_changes_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::new();
    let cached = |bucket: &Bucket| {
        let options = OpenOptions { cache: Cache::Folder(folder.path().to_owned()), ..options() };
        Repository::open(bucket.process().open(), &secret(), options).unwrap()
    };
    let databases = || -> Vec<std::path::PathBuf> {
        let folders = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        folders
            .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
            .filter(|path| path.is_file())
            .collect()
    };
    let all = files(&[("a", 1, 700_000), ("b", 2, 10)]);
    back_up(&cached(&bucket), "one", &all).unwrap();
    let before = bucket.fork();
    type Harm = fn(&std::path::Path);
    let harms: [Harm; 4] = [
        |_| {},
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, vec![0xa5; 100_000]).unwrap(),
        |path| {
            let length = std::fs::metadata(path).unwrap().len();
            std::fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
        },
    ];
    for (round, harm) in harms.into_iter().enumerate() {
        let found = databases();
        assert!(!found.is_empty());
        for path in &found {
            harm(path);
        }
        let repository = cached(&bucket);
        assert_eq!(read_all(&repository), round + 1);
        let again = back_up(&repository, "one", &all).unwrap();
        assert_eq!((again.summary.new_bytes, again.summary.stored_bytes), (0, 0), "round {round}");
        assert_eq!(assert_sound(&bucket), round + 2);
    }
    // The bucket is put back to an earlier state, and goes another way from there: the cache knows entries that never were.
    let repository = cached(&before);
    assert_eq!((repository.base(), read_all(&repository)), (1, 1));
    let added = back_up(&repository, "one", &files(&[("c", 3, 300_000)])).unwrap();
    assert!(added.summary.new_bytes > 300_000);
    assert_eq!(assert_sound(&before), 2);
    drop(repository);
    assert_eq!(read_all(&cached(&bucket)), 5);
    assert_eq!(read_all(&cached(&before)), 2);
}

#[test]
fn a_record_that_a_cache_lacks_is_found_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::new();
    let cached = || OpenOptions { cache: Cache::Folder(folder.path().to_owned()), ..options() };
    let repository = Repository::open(bucket.process().open(), &secret(), cached()).unwrap();
    back_up(&repository, "one", &files(&[("a", 1, 700_000)])).unwrap();
    repository.index().unwrap();
    drop(repository);
    let database = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let database = std::fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path());
    let database = database.into_iter().find(|path| path.extension().is_some_and(|end| end == "sqlite")).unwrap();
    let connection = rusqlite::Connection::open(database).unwrap();
    assert_eq!(connection.execute("DELETE FROM chunks", []).unwrap(), 5);
    drop(connection);
    let repository = Repository::open(bucket.process().open(), &secret(), cached()).unwrap();
    assert_eq!(read_all(&repository), 1);
}

#[test]
fn a_full_or_read_only_store_keeps_what_was_committed_and_says_why() {
    let bucket = Bucket::new();
    let process = bucket.process();
    let repository = open(&process).unwrap();
    back_up(&repository, "one", &files(&[("a", 1, 500_000)])).unwrap();
    let before = process.names();
    process.set_full(true);
    let error = back_up(&repository, "one", &files(&[("b", 2, 500_000)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{}", chain(&error));
    process.set_full(false);
    process.set_read_only(true);
    let error = back_up(&repository, "one", &files(&[("b", 2, 500_000)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", chain(&error));
    assert_eq!(process.names(), before);
    assert_eq!(read_all(&open(&process).unwrap()), 1);
    process.set_read_only(false);
    back_up(&repository, "one", &files(&[("b", 2, 500_000)])).unwrap();
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn a_repository_in_a_directory_keeps_a_reserve_for_the_day_when_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().to_owned());
    let store = Store::open(&location, &StoreOptions::default()).unwrap();
    let repository = Repository::init(store, &secret(), "test", options()).unwrap();
    back_up(&repository, "one", &files(&[("a", 1, 500_000)])).unwrap();
    assert_eq!(std::fs::metadata(folder.path().join(names::RESERVE)).unwrap().len(), 16 << 20);
    assert_eq!(read_all(&repository), 1);
}

#[test]
fn nothing_stored_gives_away_a_name_or_contents_and_other_keys_give_other_ids() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let mut chunks = writer.chunk_writer().unwrap();
    let contents = "the contents of the letter ".repeat(5);
    let plain = backstay_format::compress::Hint::Plain;
    let chunk = chunks.put(backstay_format::crypto::RecordKind::Data, contents.as_bytes(), plain).unwrap();
    let tree = put_files(&writer, &files(&[("letter-to-mother", 1, 100)])).unwrap();
    let mut snapshot = record(&repository, "diary-of-bob", tree);
    snapshot.tags = vec!["embarrassing".to_owned()];
    writer.commit(snapshot).unwrap();
    let store = bucket.process();
    assert_eq!(store.names().len(), 3 + 2 + 1 + 1, "config, copy and key; two packs, a segment, an entry");
    for name in store.names() {
        let stored = store.read(&name).unwrap();
        for word in ["the contents", "letter", "mother", "diary", "embarrassing"] {
            assert!(!stored.windows(word.len()).any(|window| window == word.as_bytes()), "{word} in {name}");
        }
    }
    // The same bytes under another repository's keys have another id.
    let other = Bucket::new().open();
    assert_ne!(other.keys().name(backstay_format::crypto::RecordKind::Data, contents.as_bytes()), chunk);
}
