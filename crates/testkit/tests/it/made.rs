//! The repositories that figures are taken on are whole, and have the history that is said of them.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use backstay_format::config::Secret;
use backstay_repo::check::{Level, check};
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Cache, OpenOptions, Progress, Repository};

const KEY: &[u8; 32] = b"a key file has 32 bytes at least";

fn key_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("key");
    std::fs::write(&path, KEY).unwrap();
    path
}

fn open(folder: &Path) -> Repository {
    let store = Store::open(&Location::Directory(folder.to_owned()), &StoreOptions::default()).unwrap();
    Repository::open(store, &Secret::KeyFile(KEY.to_vec().into()), OpenOptions::new(Cache::None)).unwrap()
}

#[test]
fn a_synthetic_repository_is_whole_and_its_snapshots_share_most_of_their_trees() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let made = Command::new(env!("CARGO_BIN_EXE_synthetic-repository"))
        .arg(&repository)
        .arg(key_file(folder.path()))
        .args(["--chunks", "30000", "--snapshots", "10"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let repository = open(&repository);
    let report = check(&repository, Level::Full, 2, &Progress::new()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.snapshots, 10);
    let roots: HashSet<_> = repository.snapshots().iter().map(|snapshot| snapshot.tree.root).collect();
    assert_eq!(roots.len(), 10, "each snapshot differs from the one before");
    let files = repository.snapshots()[0].summary.files;
    let data = report.records - report.nodes;
    assert!((files + 1..=30_500).contains(&data), "{files} files, {data} data chunks");
    // A whole tree has a hundred leaves and more; nine others would make a thousand.
    assert!(report.nodes < 400, "{} nodes", report.nodes);
}

#[test]
fn a_day_of_the_year_is_96_snapshots_of_a_cluster_that_keeps_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let mut year = Command::new(env!("CARGO_BIN_EXE_cluster-year"))
        .args([&repository, &key_file(folder.path()), &folder.path().join("cache")])
        .args(["--objects", "900"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(year.stdout.take().unwrap()).lines();
    let mut objects = Vec::new();
    for day in 1..=2 {
        year.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let answer = answers.next().unwrap().unwrap();
        let words: Vec<&str> = answer.split(' ').collect();
        assert_eq!(words[0], (day * 96).to_string());
        objects.push(words[1].parse::<u64>().unwrap());
    }
    drop(year.stdin.take());
    assert!(year.wait().unwrap().success());
    assert!(objects.iter().all(|objects| (800..1000).contains(objects)), "{objects:?}");

    let repository = open(&repository);
    let snapshots = repository.snapshots();
    assert_eq!(snapshots.len(), 192);
    assert_eq!(snapshots[97].started, "2024-01-02T00:15:00.000Z");
    let report = check(&repository, Level::Structure, 2, &Progress::new()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}
