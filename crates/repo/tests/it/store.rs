//! The store over a directory and over a store that fails as told.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use backstay_repo::store::{Capabilities, Clock, Created, ErrorKind, Location, Operation, Store, StoreOptions};
use backstay_testkit::InMemory;
use backstay_testkit::clock::SimulatedClock;
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};
use bytes::Bytes;

/// What every store must do. Used for the real servers too.
pub(crate) fn check(store: &Store) {
    let small = Bytes::from_static(b"small");
    let large = Bytes::from((0..3_000_000u32).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    assert_eq!(store.list("").unwrap(), [], "a new store is empty");

    // Writing and reading.
    store.put("packs/00/small", small.clone()).unwrap();
    store.put("packs/00/small", small.clone()).unwrap();
    let handles: Vec<_> =
        (0..8).map(|i| store.start_put(format!("packs/0{i}/large"), large.slice(i * 100..))).collect();
    for handle in handles {
        handle.wait().unwrap();
    }
    assert_eq!(store.get("packs/00/small").unwrap(), small);
    assert_eq!(store.get("packs/03/large").unwrap(), large.slice(300..));
    assert_eq!(store.get_range("packs/00/large", 1_000_000..2_500_000).unwrap(), large.slice(1_000_000..2_500_000));
    assert_eq!(store.get_range("packs/00/small", 4..5).unwrap(), small.slice(4..5));
    assert_eq!(store.get_range("packs/00/small", 2..2).unwrap(), Bytes::new());
    for range in [0..6, 4..6, 5..6, 100..200] {
        let error = store.get_range("packs/00/small", range.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{range:?}: {}", chain(&error));
    }
    store.put("packs/00/empty", Bytes::new()).unwrap();
    assert_eq!(store.get("packs/00/empty").unwrap(), Bytes::new());
    let error = store.put("packs/00/small", Bytes::from_static(b"another length")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
    assert_eq!(store.get("packs/00/small").unwrap(), small, "nothing is overwritten");

    // Creating.
    assert_eq!(store.create("log/1", Bytes::from_static(b"nonce a")).unwrap(), Created::New);
    assert_eq!(store.create("log/1", Bytes::from_static(b"nonce b")).unwrap(), Created::Exists);
    assert_eq!(store.create("log/1", Bytes::from_static(b"nonce a")).unwrap(), Created::New, "ours, once more");
    assert_eq!(store.get("log/1").unwrap(), "nonce a");
    assert_eq!(race(store, "log/2"), 1);

    // Overwriting.
    store.overwrite("writers/a", Bytes::from_static(b"one")).unwrap();
    store.overwrite("writers/a", Bytes::from_static(b"second")).unwrap();
    assert_eq!(store.get("writers/a").unwrap(), "second");

    // Looking.
    let info = store.head("packs/00/small").unwrap();
    assert_eq!((info.name.as_str(), info.size_bytes), ("packs/00/small", 5));
    assert!(info.modified_unix_seconds > 1_700_000_000, "{info:?}");
    let names = |objects: Vec<backstay_repo::store::ObjectInfo>| {
        objects.into_iter().map(|object| object.name).collect::<Vec<_>>()
    };
    assert_eq!(names(store.list("log").unwrap()), ["log/1", "log/2"]);
    assert_eq!(names(store.list("log/").unwrap()), ["log/1", "log/2"]);
    assert_eq!(names(store.list("lo").unwrap()), [""; 0], "a folder, not the beginning of a name");
    assert_eq!(names(store.list("none").unwrap()), [""; 0]);
    assert_eq!(names(store.list_after("log", "log/1").unwrap()), ["log/2"]);
    assert_eq!(names(store.list_after("packs", "packs/06/large").unwrap()), ["packs/07/large"]);
    assert_eq!(names(store.list_after("packs", "packs/06/a").unwrap()), ["packs/06/large", "packs/07/large"]);
    let all = names(store.list("").unwrap());
    assert_eq!(all.len(), 13, "{all:?}");
    assert!(all.is_sorted());
    assert!(store.list("packs").unwrap().contains(&info));

    // What is not there.
    for name in ["packs/00/none", "none", "packs", "packs/00"] {
        for error in
            [store.get(name).unwrap_err(), store.get_range(name, 0..1).unwrap_err(), store.head(name).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));
            assert_eq!(error.name(), name);
            assert!(error.to_string().contains(store.location()), "{error}");
        }
    }

    // Deleting.
    store.delete("packs/00/small").unwrap();
    store.delete("packs/00/small").unwrap();
    assert_eq!(store.head("packs/00/small").unwrap_err().kind(), ErrorKind::NotFound);
    let probed = store.probe().unwrap();
    let everything =
        Capabilities { create_if_absent: true, read_after_write: true, list_after_write: true, delete: true };
    assert_eq!(probed, everything);
    assert_eq!(names(store.list("probe").unwrap()), [""; 0], "the probe leaves nothing");

    // Names that could mean something else somewhere.
    for name in ["", "/a", "a/", "a//b", "..", "a/../b", "A", "a.b", "a b", "a%2fb", "a\0", "ü"] {
        assert_eq!(store.get(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
        assert_eq!(store.put(name, small.clone()).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
        let started = store.start_put(name.to_owned(), small.clone());
        assert_eq!(started.wait().unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
}

/// How many of 16 writers of one name win. Whose bytes are there must be the winner's.
pub(crate) fn race(store: &Store, name: &str) -> usize {
    let winners: Vec<usize> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|writer| scope.spawn(move || (writer, store.create(name, format!("writer {writer}").into()))))
            .collect();
        let outcomes = writers.into_iter().map(|writer| writer.join().unwrap());
        outcomes.filter(|(_, outcome)| outcome.as_ref().unwrap() == &Created::New).map(|(writer, _)| writer).collect()
    });
    for winner in &winners {
        assert_eq!(store.get(name).unwrap(), format!("writer {winner}"));
    }
    winners.len()
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

pub(crate) fn directory() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().join("made/by/us"));
    let store = Store::create_location(&location, &StoreOptions::default()).unwrap();
    (folder, store)
}

#[test]
fn a_directory_does_all_that_a_store_must() {
    let (_folder, store) = directory();
    check(&store);
}

#[test]
fn memory_does_all_that_a_store_must() {
    check(&FaultyStore::new().open());
}

const BODY: Bytes = Bytes::from_static(b"a body with a nonce");

#[test]
fn a_lost_reply_to_a_create_is_not_a_lost_race() {
    for fault in [Fault::FailAfter, Fault::NeverAnswersAfter, Fault::Repeat] {
        let faulty = FaultyStore::new();
        faulty.inject(Verb::Create, "log/1", fault.clone());
        assert_eq!(faulty.open().create("log/1", BODY).unwrap(), Created::New, "{fault:?}");
        assert_eq!(faulty.read("log/1").unwrap(), BODY);
    }
}

#[test]
fn a_race_lost_while_the_reply_was_lost_is_a_lost_race() {
    for fault in [Fault::FailBefore, Fault::NeverAnswers] {
        let faulty = FaultyStore::new();
        faulty.inject(Verb::Create, "log/1", fault);
        let hold = faulty.hold(Verb::Create, "log/1");
        let store = faulty.open();
        let outcome = std::thread::scope(|scope| {
            let loser = scope.spawn(|| store.create("log/1", BODY));
            hold.wait_until_reached();
            faulty.write("log/1", "somebody else's body");
            hold.release();
            loser.join().unwrap()
        });
        assert_eq!(outcome.unwrap(), Created::Exists);
        assert_eq!(faulty.read("log/1").unwrap(), "somebody else's body");
    }
}

#[test]
fn a_create_refused_for_a_name_that_is_free_is_repeated() {
    let faulty = FaultyStore::new();
    faulty.inject_times(Verb::Create, "log/1", Fault::Refuse, Some(3));
    assert_eq!(faulty.open().create("log/1", BODY).unwrap(), Created::New);
    assert_eq!(faulty.count(Verb::Create), 4);

    faulty.inject_times(Verb::Create, "packs/1", Fault::Refuse, Some(3));
    faulty.open().put("packs/1", BODY).unwrap();
    assert_eq!(faulty.read("packs/1").unwrap(), BODY);
}

#[test]
fn a_create_without_a_clear_answer_says_that_its_outcome_is_unknown() {
    let faulty = FaultyStore::new();
    let store = faulty.open();
    store.put("packs/1", BODY).unwrap();
    faulty.inject_always(Verb::Create, "log/1", Fault::NeverAnswers);
    let error = store.create("log/1", BODY).unwrap_err();
    assert!(error.is_outcome_unknown());
    assert_eq!((error.kind(), error.operation(), error.name()), (ErrorKind::Retry, Operation::Create, "log/1"));
    let text = chain(&error);
    assert!(text.starts_with("cannot tell whether log/1 was created in memory://faulty ("), "{text}");
    assert!(text.ends_with(" s): no answer within 30 s"), "{text}");

    // A refusal after silence leaves the silence unexplained.
    faulty.heal();
    faulty.inject(Verb::Create, "log/2", Fault::NeverAnswersAfter);
    faulty.inject(Verb::Create, "log/2", Fault::Denied);
    let error = store.create("log/2", BODY).unwrap_err();
    assert_eq!((error.kind(), error.is_outcome_unknown()), (ErrorKind::Denied, true));

    // A refusal at once is clear, and so is a failed read.
    faulty.inject(Verb::Create, "log/3", Fault::Denied);
    let error = store.create("log/3", BODY).unwrap_err();
    assert_eq!((error.kind(), error.is_outcome_unknown()), (ErrorKind::Denied, false));
    faulty.inject_always(Verb::Get, "log/3", Fault::FailBefore);
    assert!(!store.get("log/3").unwrap_err().is_outcome_unknown());
}

#[test]
fn creates_are_exact_whatever_the_network_loses() {
    for seed in 0..20 {
        let faulty = FaultyStore::new();
        faulty.fail_at_random(seed, 50);
        let store = faulty.open();
        for number in 0..20 {
            let name = format!("log/{number}");
            let body = Bytes::from(format!("ours {number}"));
            assert_eq!(store.create(&name, body.clone()).unwrap(), Created::New, "seed {seed}, {name}");
            assert_eq!(faulty.read(&name).unwrap(), body, "seed {seed}, {name}");
            assert_eq!(store.create(&name, "theirs".into()).unwrap(), Created::Exists, "seed {seed}, {name}");
            assert_eq!(store.get(&name).unwrap(), body, "seed {seed}, {name}");
        }
        assert_eq!(race(&store, "log/race"), 1, "seed {seed}");
        assert_eq!(store.list("log").unwrap().len(), 21, "seed {seed}");
    }
}

#[test]
fn a_store_that_ignores_or_lacks_create_if_absent_is_found_out() {
    let faulty = FaultyStore::new();
    faulty.ignore_conditions();
    let probed = faulty.open().probe().unwrap();
    let expected =
        Capabilities { create_if_absent: false, read_after_write: true, list_after_write: true, delete: true };
    assert_eq!(probed, expected);
    assert_eq!(faulty.names(), [""; 0]);

    // Knowing it, nothing is overwritten that was there before the call.
    let options = StoreOptions { create_if_absent: false, ..StoreOptions::default() };
    let store = faulty.open_with(&options);
    assert_eq!(store.create("log/1", BODY).unwrap(), Created::New);
    assert_eq!(store.create("log/1", "another".into()).unwrap(), Created::Exists);
    assert_eq!(
        faulty.count(Verb::Create),
        6,
        "only the probe's were conditional: two, each of the three times that it looked"
    );
}

#[test]
fn of_two_that_create_at_once_without_the_condition_the_first_one_sees_that_it_was_replaced() {
    let bucket = Arc::new(InMemory::new());
    let [first, second] = [(); 2].map(|()| FaultyStore::over(bucket.clone()));
    let open =
        |process: &FaultyStore| process.open_with(&StoreOptions { create_if_absent: false, ..StoreOptions::default() });
    let (put, look) = (second.hold(Verb::Put, "log/"), first.hold(Verb::Get, "log/"));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| open(&second).create("log/1", "second".into()).unwrap());
        put.wait_until_reached();
        let early = scope.spawn(|| open(&first).create("log/1", "first".into()).unwrap());
        look.wait_until_reached();
        put.release();
        assert_eq!(late.join().unwrap(), Created::New);
        look.release();
        assert_eq!(early.join().unwrap(), Created::Exists);
    });
    assert_eq!(first.read("log/1").unwrap(), "second");
}

#[test]
fn a_probe_sees_stale_answers_and_kept_objects() {
    let faulty = FaultyStore::new();
    faulty.inject(Verb::Get, "probe/", Fault::Missing);
    faulty.inject_always(Verb::List, "probe", Fault::Missing);
    faulty.inject_always(Verb::Delete, "probe/", Fault::Denied);
    // The first read is the second create's, which looks whose object it met.
    faulty.inject(Verb::Get, "probe/", Fault::Missing);
    let probed = faulty.open().probe().unwrap();
    assert!(!probed.list_after_write && !probed.delete, "{probed:?}");
}

#[test]
fn what_repeating_cannot_help_fails_at_once_and_says_why() {
    let faulty = FaultyStore::new();
    let store = faulty.open();
    store.put("packs/1", BODY).unwrap();
    faulty.set_full(true);
    faulty.forget_records();
    for error in [
        store.put("packs/2", BODY).unwrap_err(),
        store.start_put("packs/2".to_owned(), BODY).wait().unwrap_err(),
        store.create("log/1", BODY).unwrap_err(),
        store.overwrite("writers/1", BODY).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Full, "{}", chain(&error));
        assert!(!error.is_outcome_unknown());
    }
    assert_eq!(faulty.records().len(), 4, "one request each");
    store.delete("packs/1").unwrap();

    faulty.set_full(false);
    faulty.set_read_only(true);
    for error in [
        store.put("packs/2", BODY).unwrap_err(),
        store.create("log/1", BODY).unwrap_err(),
        store.overwrite("writers/1", BODY).unwrap_err(),
        store.delete("packs/2").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", chain(&error));
    }
    assert_eq!(faulty.names(), [""; 0]);
}

#[test]
fn an_answer_that_is_cut_short_is_asked_for_again() {
    let faulty = FaultyStore::new();
    let store = faulty.open();
    store.put("packs/1", BODY).unwrap();
    faulty.inject(Verb::Get, "packs/1", Fault::CutShort(5));
    assert_eq!(store.get("packs/1").unwrap(), BODY);
    faulty.inject(Verb::Get, "packs/1", Fault::CutShort(1));
    assert_eq!(store.get_range("packs/1", 2..9).unwrap(), BODY.slice(2..9));
    assert_eq!(store.usage().retries, 2);

    faulty.inject_always(Verb::Get, "packs/1", Fault::CutShort(5));
    let error = store.get("packs/1").unwrap_err();
    assert!(chain(&error).ends_with("only 5 of 19 bytes arrived"), "{}", chain(&error));
}

#[test]
fn waits_grow_up_to_a_limit_and_end() {
    let faulty = FaultyStore::new();
    let store = faulty.open();
    store.put("packs/1", BODY).unwrap();
    faulty.inject_always(Verb::Get, "", Fault::FailBefore);
    let error = store.get("packs/1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    let slept = faulty.clock().slept();
    for (index, wait) in slept.iter().enumerate() {
        let longest = Duration::from_secs(15).min(Duration::from_millis(200) * 2u32.pow(index.min(10) as u32));
        assert!(*wait <= longest && *wait >= longest / 2, "wait {index}: {wait:?}");
    }
    let total = faulty.clock().slept_in_total();
    assert!(total > Duration::from_mins(5) && total < Duration::from_secs(330), "{total:?}");
    assert_eq!(faulty.count(Verb::Get), slept.len() + 1);
}

#[test]
fn a_store_that_never_answered_is_given_up_soon() {
    let faulty = FaultyStore::new();
    faulty.inject_always(Verb::Get, "", Fault::FailBefore);
    let error = faulty.open().get("config").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(faulty.clock().slept_in_total() <= Duration::from_secs(20));
    assert!(error.to_string().starts_with("cannot read config in memory://faulty ("), "{error}");
}

#[test]
fn transfers_stay_below_their_limits_together() {
    let faulty = FaultyStore::new();
    let options = StoreOptions {
        limit_upload_bytes_per_second: Some(1_000_000),
        limit_download_bytes_per_second: Some(500_000),
        ..StoreOptions::default()
    };
    let store = faulty.open_with(&options);
    for number in 0..10 {
        store.clone().put(&format!("packs/{number}"), vec![number; 100_000].into()).unwrap();
    }
    assert_eq!(faulty.clock().now(), Duration::from_secs(1), "a million bytes up");
    store.get("packs/1").unwrap();
    store.get_range("packs/2", 0..50_000).unwrap();
    assert_eq!(faulty.clock().now(), Duration::from_millis(1300), "150,000 bytes down");

    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SimulatedClock::new());
    let location = Location::Directory(folder.path().to_owned());
    let store = Store::open_with_clock(&location, &options, clock.clone()).unwrap();
    store.put("packs/1", vec![1; 500_000].into()).unwrap();
    store.get("packs/1").unwrap();
    assert_eq!(clock.now(), Duration::from_millis(1500));
}

#[test]
fn requests_in_flight_are_bounded() {
    let faulty = FaultyStore::new();
    let store = faulty.open_with(&StoreOptions { max_connections: 2, ..StoreOptions::default() });
    let holds = [faulty.hold(Verb::Create, "packs/"), faulty.hold(Verb::Create, "packs/")];
    let handles: Vec<_> = (0..6).map(|number| store.start_put(format!("packs/{number}"), BODY)).collect();
    for hold in &holds {
        hold.wait_until_reached();
    }
    assert_eq!(faulty.records().len(), 2);
    for hold in holds {
        hold.release();
    }
    for handle in handles {
        handle.wait().unwrap();
    }
    assert_eq!(faulty.written().len(), 6);
}

#[test]
fn an_interrupt_ends_a_request_that_waits() {
    let faulty = FaultyStore::new();
    let store = faulty.open();
    let hold = faulty.hold(Verb::Get, "packs/1");
    let error = std::thread::scope(|scope| {
        let reader = scope.spawn(|| store.get("packs/1"));
        hold.wait_until_reached();
        store.interrupt();
        reader.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(store.put("packs/2", BODY).unwrap_err().kind(), ErrorKind::Interrupted, "and all that follow");
}

#[test]
fn requests_and_bytes_are_counted() {
    let faulty = FaultyStore::new();
    for store in [faulty.open(), directory().1] {
        store.put("packs/1", BODY).unwrap();
        store.create("log/1", BODY).unwrap();
        store.overwrite("writers/1", BODY).unwrap();
        store.get("packs/1").unwrap();
        store.get_range("packs/1", 0..4).unwrap();
        store.head("packs/1").unwrap();
        store.list("packs").unwrap();
        store.delete("packs/1").unwrap();
        let usage = store.usage();
        assert_eq!((usage.puts, usage.creates, usage.overwrites, usage.gets), (1, 1, 1, 2));
        assert_eq!((usage.heads, usage.lists, usage.deletes, usage.retries), (1, 1, 1, 0));
        assert_eq!((usage.uploaded_bytes, usage.downloaded_bytes), (57, 23));
    }
}

#[test]
fn a_folder_is_not_made_by_opening_it() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().join("none"));
    let error = Store::open(&location, &StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("/none"), "{error}");
    assert!(!folder.path().join("none").exists());

    fs::write(folder.path().join("file"), "").unwrap();
    let location = Location::Directory(folder.path().join("file"));
    let error = Store::open(&location, &StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", chain(&error));
}

#[test]
fn a_folder_that_vanished_is_not_made_anew() {
    let (folder, store) = directory();
    store.put("packs/1", BODY).unwrap();
    let root = folder.path().join("made/by/us");
    fs::rename(&root, folder.path().join("elsewhere")).unwrap();
    assert_eq!(store.put("packs/2", BODY).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!root.exists());
}

#[test]
fn a_directory_keeps_its_files_to_its_owner() {
    let (folder, store) = directory();
    store.put("packs/00/1", BODY).unwrap();
    store.create("log/1", BODY).unwrap();
    let root = folder.path().join("made/by/us");
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    for (path, expected) in
        [("", 0o700), ("packs", 0o700), ("packs/00", 0o700), ("packs/00/1", 0o600), ("log/1", 0o600)]
    {
        assert_eq!(mode(path), expected, "{path}");
    }
}

#[test]
fn leftovers_of_a_crash_are_invisible_and_swept_when_old() {
    let (folder, store) = directory();
    store.put("packs/1", BODY).unwrap();
    let root = folder.path().join("made/by/us");
    let staging = root.join(".staging");
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0, "a finished put leaves nothing");

    let written = fs::metadata(root.join("packs/1")).unwrap().modified().unwrap();
    for (name, age) in [("old", Duration::from_hours(25)), ("recent", Duration::from_hours(23))] {
        let file = fs::File::create(staging.join(name)).unwrap();
        file.set_modified(written - age).unwrap();
    }
    fs::create_dir(root.join("lost+found")).unwrap();
    assert_eq!(store.list("").unwrap().len(), 1);
    let reopened = Store::open(&store.location().parse().unwrap(), &StoreOptions::default()).unwrap();
    reopened.put("packs/2", BODY).unwrap();
    let left: Vec<_> = fs::read_dir(&staging).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["recent"]);
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().to_owned());
    // Mounting takes a privilege. Where the test lacks it, the kinds of errors are still tested beside their list.
    let Some(_mounted) = Tmpfs::mount(folder.path(), 64 * 1024) else {
        return;
    };
    let store = Store::open(&location, &StoreOptions::default()).unwrap();
    let error = store.put("packs/2", vec![1; 1 << 20].into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{}", chain(&error));
    assert_eq!(store.list("").unwrap(), []);
    store.put("packs/3", vec![1; 32 * 1024].into()).unwrap();
    assert_eq!(store.list("").unwrap().len(), 1, "room is free again");
}

/// A small file system in memory, gone when dropped.
struct Tmpfs<'a>(&'a std::path::Path);

impl<'a> Tmpfs<'a> {
    fn mount(path: &'a std::path::Path, size_bytes: usize) -> Option<Self> {
        let size = format!("size={size_bytes}");
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}
