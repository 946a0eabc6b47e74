//! What is left of a broken snapshot becomes one that can be read in full, and says what is missing.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::ids::SnapshotId;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::pack::{PackKind, read_directory};
use backstay_format::tree::{
    Extent, Item, ItemKind, TreeBuilder, TreeShape, display_key, key_of_path, key_parent, path_of_key,
};
use backstay_repo::repair::{Depth, PacksPlan, REPAIRED_FROM, SnapshotsPlan, SnapshotsRepair};
use backstay_repo::tree::TreeCursor;
use backstay_repo::{Progress, RepoError, Repository, Result, names, read_ledger};
use backstay_testkit::faulty::FaultyStore;

use crate::repair::{Harm, Readable, count_writes, readable, readable_paths};
use crate::scene::{Bucket, assert_sound, back_up, chain, check_full, file, files, noise, open, read_all, record};

/// A snapshot with directories, many small files, some large ones, and hard links to all of them; its tree has many leaves.
fn back_up_tree(repository: &Repository, source: &str, kind: SnapshotKind, first: u64) -> SnapshotRecord {
    let writer = repository.begin().unwrap();
    let mut chunks = writer.chunk_writer().unwrap();
    let mut items: BTreeMap<Vec<u8>, Item> = BTreeMap::new();
    for directory in 0..12u64 {
        let key = key_of_path(format!("d{directory:02}").as_bytes());
        items.insert(key.clone(), Item::bare_directory(key));
        for n in 0..20u64 {
            let seed = first + directory * 100 + n;
            let length = if n == 7 { 90_000 } else { 60 + n as usize };
            let bytes = noise(seed, length);
            let id = chunks.put(RecordKind::Data, &bytes, Hint::Plain).unwrap();
            let path = format!("d{directory:02}/f{n:02}");
            let item = file(&path, seed, length as u64, vec![Extent::Chunk { id, len: length as u32 }]);
            let link = key_of_path(format!("links/{directory:02}{n:02}").as_bytes());
            let kind = ItemKind::HardLink { target: item.key.clone() };
            items.insert(link.clone(), Item { kind, ..Item::bare_directory(link) });
            items.insert(item.key.clone(), item);
        }
    }
    let links = key_of_path(b"links");
    items.insert(links.clone(), Item::bare_directory(links));
    let trees = &repository.config().trees;
    let shape: TreeShape = if kind == SnapshotKind::Cluster { trees.objects } else { TreeShape::FILES };
    let mut builder = TreeBuilder::new(repository.keys(), shape);
    for item in items.values() {
        builder.push(item, &mut |kind, plain| chunks.put(kind, plain, Hint::Plain)).unwrap();
    }
    let tree = builder.finish(&mut |kind, plain| chunks.put(kind, plain, Hint::Plain)).unwrap();
    let entry = serde_json::json!({ "path": "/z", "reason": "vanished", "failed": false });
    let ledger = writer.write_ledger(&[serde_json::from_value(entry).unwrap()]).unwrap();
    drop(chunks);
    let tags = vec!["weekly".to_owned()];
    writer.commit(SnapshotRecord { kind, ledger, tags, ..record(repository, source, tree) }).unwrap()
}

fn plan(repository: &Repository) -> SnapshotsPlan {
    SnapshotsPlan::make(repository, &Progress::new()).unwrap()
}

fn repair(process: &FaultyStore) -> Result<SnapshotsRepair> {
    let repository = open(process)?;
    SnapshotsPlan::make(&repository, &Progress::new())?.run(&repository, &Progress::new())
}

fn repair_packs(bucket: &Bucket) {
    let repository = bucket.open();
    let plan = PacksPlan::make(&repository, Depth::All, 1, &Progress::new()).unwrap();
    plan.run(&repository, &Progress::new()).unwrap();
}

/// Flips a bit in the middle of a record.
fn harm_record(store: &FaultyStore, pack: &str, offset: u32, stored_len: u32) {
    store.flip_bit(pack, (offset + stored_len / 2) as usize * 8);
}

fn items(repository: &Repository, snapshot: &SnapshotRecord) -> Vec<Item> {
    let mut reader = repository.reader().unwrap();
    let mut cursor = TreeCursor::new(snapshot.tree);
    let mut items = Vec::new();
    while let Some(item) = cursor.next(&mut reader).unwrap() {
        items.push(item);
    }
    items
}

/// What is listed passes every check, and every file of it can be read.
fn assert_clean(bucket: &Bucket) {
    let repository = bucket.open();
    let report = check_full(&repository);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert!(readable_paths(&repository).values().all(|readable| readable.is_whole));
}

/// Compares what a repair made with what could be read before it.
fn assert_repaired(bucket: &Bucket, before: &BTreeMap<SnapshotId, Readable>, old: &[SnapshotRecord]) {
    let repository = bucket.open();
    let mut reader = repository.reader().unwrap();
    for old in old {
        let readable = &before[&old.id];
        if readable.is_whole {
            assert_eq!(repository.snapshot(&old.id).as_ref(), Some(old), "what is whole is left alone");
            continue;
        }
        assert_eq!(repository.snapshot(&old.id), None);
        let is_successor = |new: &SnapshotRecord| new.annotations.get(REPAIRED_FROM) == Some(&old.id.to_string());
        let Some(new) = repository.snapshots().into_iter().find(is_successor) else {
            assert!(readable.paths.is_empty(), "{:?}", readable.paths);
            continue;
        };
        assert_eq!((&new.source, &new.started, new.kind, &new.tags), (&old.source, &old.started, old.kind, &old.tags));
        let items = items(&repository, &new);
        let is_file = |item: &&Item| matches!(item.kind, ItemKind::File { .. });
        let files: BTreeSet<_> = items.iter().filter(is_file).map(|item| display_key(&item.key)).collect();
        assert_eq!(files, readable.paths);
        let keys: BTreeSet<_> = items.iter().map(|item| &item.key[..]).collect();
        for item in &items {
            if let Some(parent) = key_parent(&item.key).filter(|parent| !parent.is_empty()) {
                assert!(keys.contains(parent), "{:?} has no directory", path_of_key(&item.key));
            }
            if let ItemKind::HardLink { target } = &item.kind {
                assert!(keys.contains(&target[..]), "{:?} is a link to nothing", path_of_key(&item.key));
            }
        }
        let ledger = read_ledger(&mut reader, &new.ledger).unwrap();
        let lost = ledger.iter().filter(|entry| entry.failed && entry.reason == "lost").count() as u64;
        assert!(lost > 0 && new.ledger.failed == lost, "{ledger:?}");
        let counted = new.summary.files + new.summary.objects + new.summary.directories + new.summary.others;
        assert_eq!((counted, new.tree.items), (items.len() as u64, items.len() as u64));
    }
}

#[test]
fn whatever_record_is_lost_all_else_is_in_the_new_snapshot() {
    for kind in [SnapshotKind::Files, SnapshotKind::Cluster] {
        let start = Bucket::new();
        let repository = start.open();
        back_up_tree(&repository, "one", kind, 0);
        back_up(&repository, "other", &files(&[("three", 3, 400_000)])).unwrap();
        let old = repository.snapshots();
        let store = start.process();
        let mut tried = 0;
        for pack in repository.index().unwrap().packs().unwrap() {
            let name = names::pack(&pack.id);
            let records = read_directory(repository.keys(), &store.read(&name).unwrap()).unwrap();
            // Every node, and a few of the many data chunks.
            let step = if pack.kind == PackKind::Tree { 1 } else { records.len().div_ceil(4) };
            for record in records.iter().step_by(step) {
                let bucket = start.fork();
                harm_record(&bucket.process(), &name, record.offset, record.stored_len);
                repair_packs(&bucket);
                let before = readable_paths(&bucket.open());
                let records = readable(&bucket.open());
                let repository = bucket.open();
                let plan = plan(&repository);
                let broken = before.values().filter(|readable| !readable.is_whole).count();
                assert_eq!(plan.snapshots.len(), broken);
                let done = plan.run(&repository, &Progress::new()).unwrap();
                assert_eq!(done.snapshots.len(), broken);
                assert_repaired(&bucket, &before, &old);
                assert_clean(&bucket);
                let after = readable(&bucket.open());
                assert!(records.iter().all(|(id, bytes)| after.get(id) == Some(bytes)), "nothing readable is dropped");
                assert!(self::plan(&bucket.open()).is_empty());
                tried += 1;
            }
        }
        assert!(tried > 10, "{tried}");
    }
}

#[test]
fn any_pack_may_be_lost_and_the_rest_of_every_snapshot_is_kept() {
    let start = Bucket::new();
    let repository = start.open();
    back_up_tree(&repository, "one", SnapshotKind::Files, 0);
    back_up_tree(&repository, "one", SnapshotKind::Files, 600);
    back_up(&repository, "other", &files(&[("three", 3, 400_000)])).unwrap();
    let old = repository.snapshots();
    for pack in repository.index().unwrap().packs().unwrap() {
        for harm in Harm::ALL {
            let bucket = start.fork();
            harm.to(&bucket.process(), &names::pack(&pack.id));
            repair_packs(&bucket);
            let before = readable_paths(&bucket.open());
            repair(&bucket.process()).unwrap();
            assert_repaired(&bucket, &before, &old);
            assert_clean(&bucket);
        }
    }
}

/// Two snapshots, of which one has lost a file.
fn with_loss() -> (Bucket, SnapshotRecord) {
    let bucket = Bucket::new();
    let repository = bucket.open();
    back_up(&repository, "other", &files(&[("three", 3, 400_000)])).unwrap();
    let old = back_up(&repository, "one", &files(&[("lost", 1, 1000), ("kept", 2, 1000)])).unwrap();
    let lost = items(&repository, &old).into_iter().find(|item| item.key == b"lost").unwrap();
    let ItemKind::File { content: backstay_format::tree::Content::Extents(extents), .. } = lost.kind else { panic!() };
    let place = repository.index().unwrap().lookup(&extents[0].chunk().unwrap()).unwrap().unwrap();
    harm_record(&bucket.process(), &names::pack(&place.pack), place.offset, place.stored_len);
    (bucket, old)
}

#[test]
fn damaged_packs_come_first() {
    let (bucket, old) = with_loss();
    let store = bucket.process();
    let repository = bucket.open();
    let data = repository.index().unwrap().packs().unwrap()[0].id;
    let stored = store.read(&names::pack(&data)).unwrap();
    store.lose(&names::pack(&data));
    let failed = SnapshotsPlan::make(&repository, &Progress::new()).unwrap_err();
    assert!(matches!(failed, RepoError::DamagedPacks { packs: 1, first } if first == data), "{}", chain(&failed));
    store.write(&names::pack(&data), stored);
    repair_packs(&bucket);
    let done = repair(&store).unwrap();
    assert_eq!(done.snapshots[0].id, old.id);
    assert_eq!(assert_sound(&bucket), 2);
    assert_eq!(bucket.open().damaged().unwrap(), None, "nothing of what is listed is damaged any more");
}

#[test]
fn a_held_snapshot_stays_and_what_is_left_of_it_is_made_once() {
    let (bucket, old) = with_loss();
    bucket.open().hold(&[old.id], "case 7").unwrap();
    repair_packs(&bucket);
    let done = repair(&bucket.process()).unwrap();
    assert_eq!(done.snapshots[0].holds, ["case 7"]);
    let repository = bucket.open();
    assert_eq!(repository.snapshots().len(), 3);
    assert!(repository.snapshot(&old.id).is_some());
    let new = repository.snapshot(&done.snapshots[0].new.unwrap()).unwrap();
    assert_eq!((new.tree.items, new.holds.len()), (1, 0));
    assert!(plan(&repository).is_empty());
    // No backup takes its tree over, as long as it is the newest.
    assert!(repository.damaged().unwrap().unwrap().snapshots.contains(&old.id));
}

#[test]
fn what_a_repair_forgot_can_be_brought_back() {
    let (bucket, old) = with_loss();
    repair_packs(&bucket);
    repair(&bucket.process()).unwrap();
    let repository = bucket.open();
    repository.forget_undo(&[old.id]).unwrap();
    assert!(repository.snapshot(&old.id).is_some());
}

#[test]
fn a_clusters_snapshot_names_the_new_snapshot_of_its_volume() {
    let (bucket, old) = with_loss();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let tree = repository
        .find_snapshot("latest", &backstay_repo::Selection { sources: vec!["other".to_owned()], ..Default::default() })
        .unwrap()
        .tree;
    let volumes = [("web/data".to_owned(), old.id)].into();
    let owner = SnapshotRecord { volumes, ..record(&repository, "cluster", tree) };
    let owner = writer.commit(owner).unwrap();
    repair_packs(&bucket);
    let done = repair(&bucket.process()).unwrap();
    let new: BTreeMap<_, _> = done.snapshots.iter().map(|snapshot| (snapshot.id, snapshot.new.unwrap())).collect();
    let repository = bucket.open();
    assert_eq!((repository.snapshot(&old.id), repository.snapshot(&owner.id)), (None, None));
    let successor = repository.snapshot(&new[&owner.id]).unwrap();
    assert_eq!(successor.volumes["web/data"], new[&old.id]);
    assert_eq!(successor.tree, owner.tree);
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn backups_go_on_while_snapshots_are_repaired_and_of_two_repairs_one_is_done() {
    let (bucket, old) = with_loss();
    repair_packs(&bucket);
    let (left, right) = (bucket.open(), bucket.open());
    let plans = [plan(&left), plan(&right)];
    back_up(&bucket.open(), "one", &files(&[("lost", 1, 1000), ("kept", 2, 1000)])).unwrap();
    plans[0].run(&left, &Progress::new()).unwrap();
    let late = plans[1].run(&right, &Progress::new()).unwrap_err();
    assert!(matches!(late, RepoError::Overtaken(_)), "{}", chain(&late));
    let repository = bucket.open();
    assert_eq!(repository.snapshot(&old.id), None);
    assert_eq!(read_all(&repository), 3);
    assert!(plan(&repository).is_empty());
}

#[test]
fn a_backup_that_stored_again_what_was_lost_leaves_nothing_to_repair() {
    let (bucket, old) = with_loss();
    repair_packs(&bucket);
    assert_eq!(plan(&bucket.open()).snapshots.len(), 1);
    back_up(&bucket.open(), "one", &files(&[("lost", 1, 1000), ("kept", 2, 1000)])).unwrap();
    assert!(plan(&bucket.open()).is_empty());
    assert!(bucket.open().snapshot(&old.id).is_some());
    assert_eq!(assert_sound(&bucket), 3);
}

#[test]
fn a_repair_of_snapshots_that_dies_at_any_write_is_done_by_the_next_one() {
    let (start, old) = with_loss();
    repair_packs(&start);
    let before = readable_paths(&start.open());
    let whole = start.fork().process();
    repair(&whole).unwrap();
    let count = count_writes(&whole);
    assert!(count >= 4, "{count} writes");
    for n in 0..count {
        for last_is_done in [false, true] {
            let bucket = start.fork();
            let process = bucket.process();
            process.die_at_write(n, last_is_done);
            // The last write only clears what is known to be damaged.
            assert!(repair(&process).is_err(), "write {n}");
            repair(&bucket.process()).unwrap();
            assert_repaired(&bucket, &before, std::slice::from_ref(&old));
            assert_eq!(assert_sound(&bucket), 2, "write {n}");
        }
    }
}
