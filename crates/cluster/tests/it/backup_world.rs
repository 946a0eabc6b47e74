//! A repository in memory and a real cluster, for tests of the capture. Time goes on by a second whenever it is looked at.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use backstay_cluster::Result;
use backstay_cluster::api::{ConnectOptions, Server};
use backstay_cluster::backup::{BackupOptions, BackupOutcome, GUARD_OBJECTS_PERCENT_DEFAULT, THREADS_DEFAULT, backup};
use backstay_cluster::filter::Filters;
use backstay_cluster::object::ObjectKey;
use backstay_cluster::snapshot::{ObjectReader, Reason, Within, reason};
use backstay_format::config::Secret;
use backstay_format::log::{LedgerEntry, SnapshotRecord};
use backstay_repo::{Cache, Clock, OpenOptions, Progress, Repository, read_ledger};
use backstay_testkit::InMemory;
use backstay_testkit::cluster::Cluster;
use backstay_testkit::faulty::FaultyStore;
use serde_json::Value;

/// 2026-03-04T05:06:07Z
const START_SECONDS: i64 = 1_772_600_767;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) repository: Repository,
    /// What the repository lies in, which counts requests.
    pub(crate) store: FaultyStore,
}

impl World {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self::with_kubeconfig(cluster.kubeconfig())
    }

    pub(crate) fn with_kubeconfig(kubeconfig: &Path) -> Self {
        let store = FaultyStore::over(Arc::new(InMemory::new()));
        Self { server: connect(kubeconfig), repository: repository(&store), store }
    }

    pub(crate) fn backup(&self, options: &BackupOptions) -> Result<BackupOutcome> {
        backup(&self.repository, &self.server, options, &Progress::new())
    }

    /// Of what these filters choose, as Velero writes them.
    #[track_caller]
    pub(crate) fn backup_of(&self, filters: &Value) -> BackupOutcome {
        self.backup(&options(filters)).unwrap()
    }

    /// Objects as `resource/name`, `resource/namespace/name`; those that only came along begin with `+`. In order.
    pub(crate) fn objects(&self, snapshot: &SnapshotRecord) -> Vec<String> {
        let mut objects = Vec::new();
        let mut reader = ObjectReader::new(&self.repository).unwrap();
        reader
            .for_each(snapshot, &Within::Everything, &mut |_, key, item| {
                let mark = if reason(&item) == Reason::Related { "+" } else { "" };
                let namespace = key.namespace.map_or_else(String::new, |namespace| format!("{namespace}/"));
                objects.push(format!("{mark}{}/{namespace}{}", key.resource, key.name));
                Ok(())
            })
            .unwrap();
        objects
    }

    /// An object's bytes, as they are in the snapshot.
    #[track_caller]
    pub(crate) fn object(&self, snapshot: &SnapshotRecord, key: &ObjectKey) -> Value {
        let mut reader = ObjectReader::new(&self.repository).unwrap();
        let item = reader.find(snapshot, key).unwrap().unwrap_or_else(|| panic!("{key} is not in the snapshot"));
        serde_json::from_slice(&reader.read(&item).unwrap()).unwrap()
    }

    pub(crate) fn ledger(&self, snapshot: &SnapshotRecord) -> Vec<LedgerEntry> {
        read_ledger(&mut self.repository.reader().unwrap(), &snapshot.ledger).unwrap()
    }
}

pub(crate) fn connect(kubeconfig: &Path) -> Server {
    Server::connect(&ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), ..ConnectOptions::default() }).unwrap()
}

pub(crate) fn options(filters: &Value) -> BackupOptions {
    BackupOptions {
        source: None,
        host: "host".to_owned(),
        user: "user".to_owned(),
        tags: Vec::new(),
        expires: None,
        filters: serde_json::from_value::<Filters>(filters.clone()).unwrap(),
        page_size: 500,
        threads: THREADS_DEFAULT,
        dry_run: false,
        accept: false,
        guard_objects_percent: GUARD_OBJECTS_PERCENT_DEFAULT,
    }
}

/// Names of the ledger's entries: `reason path`.
pub(crate) fn reasons(ledger: &[LedgerEntry]) -> Vec<String> {
    ledger.iter().map(|entry| format!("{} {}", entry.reason, entry.path)).collect()
}

fn repository(store: &FaultyStore) -> Repository {
    let seconds = AtomicI64::new(START_SECONDS);
    let clock = Clock::new(move || {
        jiff::Timestamp::from_second(seconds.fetch_add(1, Ordering::Relaxed)).expect("tests end before that")
    });
    let options = OpenOptions { clock, ..OpenOptions::new(Cache::None) };
    Repository::init(store.open(), &Secret::KeyFile(vec![7; 32].into()), "test", options).unwrap()
}
