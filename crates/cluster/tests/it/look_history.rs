//! What became of an object, and the local table of changes that tells where to look.

use std::path::Path;
use std::sync::atomic::Ordering;

use backstay_cluster::look::FieldOptions;
use backstay_cluster::look::history::{EventKind, History, history};
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::ResourceName;
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::ids::SnapshotId;
use backstay_format::log::Change;
use backstay_repo::{Append, ErrorKind, Progress, Repository};
use backstay_testkit::objects::ObjectSource;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Bucket;

fn time(hour: u32) -> String {
    format!("2026-03-04T{hour:02}:00:00Z")
}

fn web(replicas: u64, manager: &str, written: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "1", "creationTimestamp": time(0),
            "managedFields": [
                {"manager": "helm", "operation": "Apply", "time": time(0)},
                {"manager": manager, "operation": "Update", "time": time(written)},
            ]},
        "spec": {"replicas": replicas}})
}

fn other() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "other", "namespace": "shop"}})
}

fn key() -> ObjectKey {
    ObjectKey::new(ResourceName::new("deployments", "apps"), Some("shop"), "web")
}

fn look(repository: &Repository) -> History {
    ask(repository, &key(), FieldOptions::default())
}

fn ask(repository: &Repository, key: &ObjectKey, options: FieldOptions) -> History {
    history(&mut ObjectReader::new(repository).unwrap(), "test", key, options, &Progress::new()).unwrap()
}

fn shown(history: &History) -> Vec<String> {
    let line = |event: &backstay_cluster::look::history::Event| {
        let fields: Vec<_> = event.fields.iter().map(|it| it.path.to_string()).collect();
        let managers: Vec<_> = event.managers.iter().map(|it| it.manager.as_str()).collect();
        format!("{:?} {} [{}] [{}]", event.event, &event.time[11..13], fields.join(" "), managers.join(" "))
    };
    history.events.iter().map(line).collect()
}

/// Ten snapshots, an hour apart: the object comes in the second, changes in the fourth and sixth, goes in the eighth, and is back
/// in the tenth.
fn ten(repository: &Repository) -> Vec<SnapshotId> {
    let mut cluster = ObjectSource::new(repository, "test");
    cluster.set(&other());
    let mut ids = Vec::new();
    for hour in 1..=10 {
        match hour {
            2 => cluster.set(&web(1, "kubectl", 1)),
            4 => cluster.set(&web(2, "hpa", 3)),
            // Only the manager's time: nothing that anybody sees.
            5 => cluster.set(&web(2, "hpa", 4)),
            6 => cluster.set(&web(5, "hpa", 5)),
            8 => cluster.remove(&web(0, "", 0)),
            10 => cluster.set(&web(1, "kubectl", 9)),
            _ => &mut cluster,
        };
        ids.push(cluster.snapshot(&time(hour)).id);
    }
    ids
}

const ALL: [&str; 5] = [
    "FirstSeen 02 [] [helm kubectl]",
    "Changed 04 [spec.replicas] [hpa]",
    "Changed 06 [spec.replicas] [hpa]",
    "Deleted 08 [] []",
    "SeenAgain 10 [spec.replicas] [kubectl]",
];

fn forget(repository: &Repository, ids: &[SnapshotId]) {
    let change = |_: &_| Change { snapshots_forgotten: ids.to_vec(), ..Change::default() };
    let writer = backstay_format::ids::WriterId::new([1; 16]);
    repository.append(&Append::new(writer, "forget", repository.base()), &change).unwrap();
}

#[test]
fn every_change_is_told_with_its_fields_and_who_made_it() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    ten(&repository);
    let history = look(&repository);
    assert_eq!(shown(&history), ALL);
    assert_eq!((history.snapshots, history.noise_only), (10, 1));
    assert_eq!(history.events[1].after.as_deref(), Some(&time(3)[..]));
    assert_eq!(history.events[0].created.as_deref(), Some(&time(0)[..]));
    assert_eq!(
        (&history.events[1].fields[0].before, &history.events[1].fields[0].after),
        (&Some(1.into()), &Some(2.into()))
    );

    let all = FieldOptions { all_fields: true, show_secrets: false };
    assert_eq!(ask(&repository, &key(), all).events.len(), 6);
    let never = ObjectKey::new(ResourceName::core("pods"), Some("shop"), "web");
    assert!(ask(&repository, &never, all).events.is_empty());
}

#[test]
fn the_table_of_changes_tells_how_far_it_is_and_stops_when_asked() {
    let bucket = Bucket::new();
    let cache = TempDir::new().unwrap();
    let repository = bucket.open_cached(cache.path());
    ten(&repository);
    let counted = |progress: &Progress| {
        history(&mut ObjectReader::new(&repository).unwrap(), "test", &key(), FieldOptions::default(), progress)
            .map(|_| (progress.items_done.load(Ordering::Relaxed), progress.items_total.load(Ordering::Relaxed)))
    };
    let stopped = Progress::new();
    stopped.cancel();
    assert_eq!(counted(&stopped).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(counted(&Progress::new()).unwrap(), (10, 10));
    assert_eq!(counted(&Progress::new()).unwrap(), (0, 0), "it is known now");
}

#[test]
fn the_table_of_changes_follows_new_snapshots_and_passes_forgotten_ones_over() {
    let bucket = Bucket::new();
    let cache = TempDir::new().unwrap();
    let repository = bucket.open_cached(cache.path());
    let ids = ten(&repository);
    assert_eq!(shown(&look(&repository)), ALL);

    // In the middle: the change of the sixth is seen in the seventh then; the gap of the eighth and ninth closes.
    forget(&repository, &[ids[5], ids[7], ids[8]]);
    assert_eq!(
        shown(&look(&repository)),
        [
            "FirstSeen 02 [] [helm kubectl]",
            "Changed 04 [spec.replicas] [hpa]",
            "Changed 07 [spec.replicas] [hpa]",
            "Changed 10 [spec.replicas] [kubectl]",
        ]
    );

    // The newest ones, with others behind them: what the table knew of them is of no use.
    forget(&repository, &[ids[9]]);
    assert_eq!(shown(&look(&repository)).len(), 3);
    let mut cluster = ObjectSource::new(&repository, "test");
    cluster.set(&other()).set(&web(7, "kubectl", 11));
    cluster.snapshot(&time(11));
    assert_eq!(shown(&look(&repository)).last().unwrap(), "Changed 11 [spec.replicas] [kubectl]");

    // An undone `forget`, and a snapshot that comes in before others.
    let restore = |_: &_| Change { snapshots_restored: vec![ids[9]], ..Change::default() };
    let writer = backstay_format::ids::WriterId::new([2; 16]);
    repository.append(&Append::new(writer, "forget", repository.base()), &restore).unwrap();
    let restored = shown(&look(&repository));
    assert_eq!(restored[3..], ["Changed 10 [spec.replicas] [kubectl]", "Changed 11 [spec.replicas] [kubectl]"]);
    assert_eq!(shown(&look(&bucket.open())), restored, "a table built at once says the same");
}

#[test]
fn a_table_that_is_damaged_foreign_or_gone_is_built_anew() {
    let bucket = Bucket::new();
    let cache = TempDir::new().unwrap();
    ten(&bucket.open_cached(cache.path()));
    let check = |what: &str| assert_eq!(shown(&look(&bucket.open_cached(cache.path()))), ALL, "{what}");
    check("new");
    let file = changes_file(cache.path());
    let whole = std::fs::read(&file).unwrap();

    std::fs::write(&file, b"not a database, but long enough to look at it").unwrap();
    check("not a database");
    for at in (0..whole.len()).step_by(whole.len() / 50) {
        let mut damaged = whole.clone();
        let end = (at + 200).min(damaged.len());
        damaged[at..end].fill(0xa5);
        std::fs::write(&file, damaged).unwrap();
        check(&format!("damaged at {at}"));
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    check("cut");
    std::fs::remove_file(&file).unwrap();
    check("gone");

    let another = Bucket::new();
    ten(&another.open_cached(cache.path()));
    look(&another.open_cached(cache.path()));
    let newest = std::fs::read_dir(cache.path()).unwrap().map(|it| it.unwrap().path().join("changes-1.sqlite"));
    let foreign = newest.into_iter().find(|path| *path != file).unwrap();
    std::fs::copy(foreign, &file).unwrap();
    check("another repository's");
}

#[test]
fn the_table_holds_no_value_and_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let bucket = Bucket::new();
    let cache = TempDir::new().unwrap();
    let repository = bucket.open_cached(cache.path());
    let mut cluster = ObjectSource::new(&repository, "test");
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "data": {"password": value}});
    cluster.set(&secret("cGxhbnRlZC0x"));
    cluster.snapshot(&time(1));
    cluster.set(&secret("cGxhbnRlZC0y"));
    cluster.snapshot(&time(2));
    let key = ObjectKey::new(ResourceName::core("secrets"), Some("shop"), "db");
    let told = ask(&repository, &key, FieldOptions::default());
    let text = serde_json::to_string(&told).unwrap();
    assert!(text.contains("data.password") && !text.contains("cGxhbnRlZC"), "{text}");
    let shown = ask(&repository, &key, FieldOptions { all_fields: false, show_secrets: true });
    assert_eq!(shown.events[1].fields[0].after, Some("cGxhbnRlZC0y".into()));
    for entry in std::fs::read_dir(changes_file(cache.path()).parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"cGxhbnRlZC"), "{}", path.display());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_kind_that_was_not_listed_is_not_taken_for_deleted() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}});
    ObjectSource::new(&repository, "test").set(&web(1, "kubectl", 1)).snapshot(&time(1));
    ObjectSource::new(&repository, "test").set(&config_map).snapshot(&time(2));
    ObjectSource::new(&repository, "test").set(&web(1, "kubectl", 1)).snapshot(&time(3));
    let events: Vec<_> = look(&repository).events.iter().map(|it| it.event).collect();
    assert_eq!(events, [EventKind::FirstSeen, EventKind::NotListed, EventKind::SeenAgain]);
}

fn changes_file(cache: &Path) -> std::path::PathBuf {
    let repository = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    repository.join("changes-1.sqlite")
}
