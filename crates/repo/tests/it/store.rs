//! The store over a directory and over a store that fails as told.

use std::error::Error;

use backstay_repo::store::{Capabilities, Created, ErrorKind, Location, Store, StoreOptions};
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
    check(&backstay_testkit::faulty::FaultyStore::new().open());
}
