//! How long the history of an object takes over many snapshots: `cargo run --example history_scale -p backstay-cluster [snapshots]`.
//!
//! 3,600 objects of eleven kinds, 1 % of which change from snapshot to snapshot, in a repository on the disk. The figures are in
//! docs/design/0004.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement ends where a step fails, and prints what it found"
)]

use std::time::Instant;

use backstay_cluster::look::FieldOptions;
use backstay_cluster::look::history::history;
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::config::Secret;
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Changes, OpenOptions, Progress, Repository};
use backstay_testkit::objects::ObjectSource;
use serde_json::{Value, json};

const OBJECTS: u64 = 3600;
const CHANGED: u64 = OBJECTS / 100;
const KINDS: [(&str, &str); 11] = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("networking.k8s.io/v1", "Ingress"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "PersistentVolumeClaim"),
];

fn object(number: u64, generation: u64) -> Value {
    let (api_version, kind) = KINDS[(number % KINDS.len() as u64) as usize];
    let lines: Vec<String> = (0..20).map(|line| format!("setting.{line} = {}", number * 31 + line)).collect();
    json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": format!("app-{number}"), "namespace": format!("team-{}", number % 40), "uid": number.to_string(),
            "resourceVersion": generation.to_string()},
        "spec": {"generation": generation, "text": lines.join("\n")}})
}

fn main() {
    let snapshots: u64 = std::env::args().nth(1).map_or(1000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Directory(folder.path().join("repo"));
    std::fs::create_dir(folder.path().join("repo")).unwrap();
    let secret = || Secret::KeyFile(vec![7; 32].into());
    let options = || OpenOptions::with_cache_folder(folder.path().join("cache"));
    let store = || Store::open(&location, &StoreOptions::default()).unwrap();
    let repository = Repository::init(store(), &secret(), "scale", options()).unwrap();
    let start = Instant::now();
    let mut cluster = ObjectSource::new(&repository, "scale");
    for number in 0..OBJECTS {
        cluster.set(&object(number, 0));
    }
    let begin: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for snapshot in 0..snapshots {
        for change in 0..CHANGED {
            // Every object changes once in a hundred snapshots; the first ten in every tenth.
            let number = (snapshot * CHANGED + change) % OBJECTS;
            cluster.set(&object(number, snapshot + 1));
        }
        if snapshot % 10 == 0 {
            cluster.set(&object(2, snapshot + 1));
        }
        let time = begin + jiff::SignedDuration::from_secs(900 * snapshot as i64);
        cluster.snapshot(&time.to_string());
    }
    println!("{snapshots} snapshots of {OBJECTS} objects made in {:.1} s", start.elapsed().as_secs_f64());
    drop(cluster);
    drop(repository);

    let key = ObjectKey::new(ResourceName::new("deployments", "apps"), Some("team-2"), "app-2");
    for run in ["cold", "warm", "warm", "warm"] {
        let start = Instant::now();
        let repository = Repository::open(store(), &secret(), options()).unwrap();
        let opened = start.elapsed();
        let mut reader = ObjectReader::new(&repository).unwrap();
        let history = history(&mut reader, "scale", &key, FieldOptions::default(), &Progress::new()).unwrap();
        println!(
            "{run}: {:.0} ms, of which opening the repository {:.0} ms; {} events",
            start.elapsed().as_secs_f64() * 1e3,
            opened.as_secs_f64() * 1e3,
            history.events.len()
        );
    }
    let repository = Repository::open(store(), &secret(), options()).unwrap();
    let rows = Changes::open(&repository, "scale", &Progress::new()).unwrap().rows().unwrap();
    let cache = std::fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::metadata(cache.join("changes-1.sqlite")).unwrap().len();
    println!("table of changes: {rows} rows, {} KiB", bytes >> 10);
}
