//! A repository in memory for tests that need no cluster; their snapshots come from `backstay_testkit::objects`.

use std::path::Path;
use std::sync::Arc;

use backstay_format::config::Secret;
use backstay_repo::{Cache, Clock, OpenOptions, Repository};
use backstay_testkit::InMemory;
use backstay_testkit::faulty::FaultyStore;

/// The time at which all these tests take place.
pub(crate) const NOW: &str = "2026-03-04T05:06:07Z";

/// What a bucket holds; each opening is a process of its own.
pub(crate) struct Bucket(Arc<InMemory>);

impl Bucket {
    /// With an empty repository.
    pub(crate) fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let process = FaultyStore::over(store.clone());
        Repository::init(process.open(), &secret(), "test", options(Cache::None)).unwrap();
        Self(store)
    }

    pub(crate) fn open(&self) -> Repository {
        self.open_with(Cache::None)
    }

    /// With the local index in a folder.
    pub(crate) fn open_cached(&self, folder: &Path) -> Repository {
        self.open_with(Cache::Folder(folder.to_owned()))
    }

    fn open_with(&self, cache: Cache) -> Repository {
        Repository::open(FaultyStore::over(self.0.clone()).open(), &secret(), options(cache)).unwrap()
    }
}

fn secret() -> Secret {
    Secret::KeyFile(vec![7; 32].into())
}

fn options(cache: Cache) -> OpenOptions {
    let now: jiff::Timestamp = NOW.parse().unwrap();
    OpenOptions { clock: Clock::new(move || now), ..OpenOptions::new(cache) }
}
