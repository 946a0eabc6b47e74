//! Damage of every kind of stored object: it is named, with whom it touches; reading it is an error; nothing panics.

use std::collections::BTreeSet;

use backstay_format::config::Secret;
use backstay_format::ids::{ChunkId, PackId, SnapshotId};
use backstay_format::log::{Extra, LedgerEntry, SnapshotRecord};
use backstay_format::tree::ItemKind;
use backstay_repo::check::{CheckReport, Damaged, Finding, Level, Lost, check, scrub};
use backstay_repo::tree::TreeCursor;
use backstay_repo::{ErrorKind, Progress, RepoError, Repository, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::scene::{
    Bucket, assert_sound, back_up, chain, check_full, contents, files, noise, open, options, put_files, read_all,
    record, secret,
};

/// Two snapshots: both have `shared`, each has a file of its own.
struct Scene {
    bucket: Bucket,
    store: FaultyStore,
    first: SnapshotId,
    second: SnapshotId,
}

impl Scene {
    fn new() -> Self {
        let bucket = Bucket::new();
        let repository = bucket.open();
        let first = back_up(&repository, "one", &files(&[("one", 1, 300_000), ("shared", 9, 450_000)])).unwrap().id;
        let second = back_up(&repository, "one", &files(&[("shared", 9, 450_000), ("two", 2, 250_000)])).unwrap().id;
        Self { store: bucket.process(), bucket, first, second }
    }

    /// The chunks of a file of the second snapshot or the first.
    fn chunks(&self, path: &str) -> Vec<ChunkId> {
        let repository = self.bucket.open();
        let mut reader = repository.reader().unwrap();
        for snapshot in repository.snapshots() {
            let mut cursor = TreeCursor::new(snapshot.tree);
            while let Some(item) = cursor.next(&mut reader).unwrap() {
                if let ItemKind::File { content, .. } = item.kind
                    && item.key == path.as_bytes()
                {
                    let mut ids = Vec::new();
                    reader
                        .extents::<RepoError>(&content, &mut |extent| {
                            ids.extend(extent.chunk());
                            Ok(())
                        })
                        .unwrap();
                    return ids;
                }
            }
        }
        panic!("no file {path}")
    }

    fn root(&self, snapshot: SnapshotId) -> ChunkId {
        self.bucket.open().snapshot(&snapshot).unwrap().tree.root
    }

    /// The pack that a record is in, and the bit in the middle of it.
    fn place(&self, id: &ChunkId) -> (String, usize) {
        let location = self.bucket.open().index().unwrap().lookup(id).unwrap().unwrap();
        (names::pack(&location.pack), (location.offset + location.stored_len / 2) as usize * 8)
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        self.store.names().into_iter().filter(|name| name.starts_with(prefix)).collect()
    }

    fn check(&self, level: Level) -> CheckReport {
        check(&self.bucket.open(), level, 2, &Progress::new()).unwrap()
    }

    /// A scrub without keys names exactly these objects.
    fn assert_scrub(&self, expected: &[&str]) {
        let report = scrub(&self.store.open(), 2, &Progress::new()).unwrap();
        let found: Vec<_> = report.findings.iter().map(|finding| &finding.object[..]).collect();
        assert_eq!(found, expected, "{:?}", report.findings);
        assert_eq!(report.foreign, [""; 0]);
    }

    /// Reading each snapshot whole either gives what it must, or is an error of this kind.
    fn readable(&self) -> BTreeSet<SnapshotId> {
        let repository = self.bucket.open();
        let mut readable = BTreeSet::new();
        for snapshot in repository.snapshots() {
            match contents(&repository, snapshot.tree) {
                Ok(read) => {
                    assert!(read.iter().all(|(_, seed, bytes)| *bytes == noise(*seed, bytes.len())));
                    readable.insert(snapshot.id);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error)),
            }
        }
        readable
    }
}

fn only(report: &CheckReport) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    &report.findings[0]
}

fn set<const N: usize>(ids: [SnapshotId; N]) -> Vec<SnapshotId> {
    BTreeSet::from(ids).into_iter().collect()
}

#[test]
fn a_sound_repository_is_found_sound_at_every_level() {
    let scene = Scene::new();
    for level in [Level::List, Level::Structure, Level::Full] {
        let report = scene.check(level);
        assert_eq!(report.findings, [], "{level:?}");
        assert_eq!((report.snapshots, report.packs, report.segments, report.log_entries), (2, 4, 2, 2));
        assert_eq!(report.records, 2 + 3 + 2 + 2, "chunks of three files and two leaves");
        assert_eq!(report.nodes, if level == Level::List { 0 } else { 2 });
        assert_eq!(report.records_read, if level == Level::Full { 9 } else { 0 });
    }
    scene.assert_scrub(&[]);
    assert_eq!(scene.readable().len(), 2);
}

#[test]
fn a_flipped_bit_in_a_chunk_is_traced_to_every_snapshot_and_path() {
    for (path, touched) in [("shared", 2), ("two", 1)] {
        let scene = Scene::new();
        let (pack, bit) = scene.place(&scene.chunks(path)[1]);
        scene.store.flip_bit(&pack, bit);
        let report = scene.check(Level::Full);
        let finding = only(&report);
        assert_eq!((&finding.object, finding.records), (&pack, 1));
        assert_eq!(finding.paths, [format!("/{path}")]);
        let snapshots = if touched == 2 { set([scene.first, scene.second]) } else { set([scene.second]) };
        assert_eq!(finding.snapshots, snapshots);
        // Sizes and structure do not show it.
        assert!(scene.check(Level::Structure).is_clean());
        scene.assert_scrub(&[&pack]);
        assert_eq!(scene.readable().len(), 2 - touched);
    }
}

#[test]
fn a_flipped_bit_in_a_tree_node_is_traced_to_its_snapshot() {
    let scene = Scene::new();
    let (pack, bit) = scene.place(&scene.root(scene.second));
    scene.store.flip_bit(&pack, bit);
    for level in [Level::Structure, Level::Full] {
        let report = scene.check(level);
        assert_eq!(only(&report).snapshots, [scene.second], "{level:?}");
    }
    let report = scene.check(Level::Full);
    assert_eq!((&only(&report).object, only(&report).records), (&pack, 1));
    scene.assert_scrub(&[&pack]);
    assert_eq!(scene.readable(), BTreeSet::from([scene.first]));
}

#[test]
fn a_flipped_bit_beside_the_records_of_a_pack_is_found_and_costs_nothing() {
    let scene = Scene::new();
    for pack in scene.names("packs/") {
        let size_bytes = scene.store.read(&pack).unwrap().len();
        // In its header, and in the sealed directory at its end.
        for bit in [0, 30 * 8, (size_bytes - 1) * 8, (size_bytes - 20) * 8] {
            scene.store.flip_bit(&pack, bit);
            let report = scene.check(Level::Full);
            let finding = only(&report);
            assert_eq!((&finding.object, finding.records, finding.snapshots.len()), (&pack, 0, 0), "bit {bit}");
            scene.assert_scrub(&[&pack]);
            assert_eq!(scene.readable().len(), 2);
            scene.store.flip_bit(&pack, bit);
        }
    }
}

#[test]
fn a_truncated_or_deleted_pack_is_found_by_a_mere_list() {
    type Harm = fn(&FaultyStore, &str);
    let harms: [(Harm, &str); 3] = [
        (|store, pack| store.lose(pack), "it is missing"),
        (|store, pack| store.truncate(pack, 0), "it has 0 bytes"),
        (|store, pack| store.truncate(pack, 40), "it has 40 bytes"),
    ];
    for (harm, problem) in harms {
        let scene = Scene::new();
        let (pack, _) = scene.place(&scene.chunks("two")[0]);
        harm(&scene.store, &pack);
        for level in [Level::List, Level::Structure, Level::Full] {
            let report = scene.check(level);
            let finding = only(&report);
            assert_eq!((&finding.object, finding.records), (&pack, 2), "{level:?}");
            assert!(finding.problem.starts_with(problem), "{}", finding.problem);
            assert_eq!(finding.snapshots, [scene.second]);
            assert_eq!(finding.paths, ["/two"]);
        }
        assert_eq!(scene.readable(), BTreeSet::from([scene.first]));
        // The pack of a whole tree.
        let (trees, _) = scene.place(&scene.root(scene.first));
        harm(&scene.store, &trees);
        let report = scene.check(Level::Structure);
        let finding = report.findings.iter().find(|finding| finding.object == trees).unwrap();
        assert_eq!(finding.snapshots, [scene.first]);
        assert!(scene.readable().is_empty());
    }
}

#[test]
fn a_bad_sector_is_damage_of_what_lies_in_it_and_of_nothing_else() {
    let scene = Scene::new();
    let (pack, bit) = scene.place(&scene.chunks("two")[1]);
    let process = scene.bucket.process();
    process.inject_always(Verb::Get, &pack, Fault::BadSector(bit as u64 / 8));
    let report = check(&open(&process).unwrap(), Level::Full, 2, &Progress::new()).unwrap();
    let finding = only(&report);
    assert_eq!((&finding.object, finding.records, &finding.paths[..]), (&pack, 1, &["/two".to_owned()][..]));
    assert!(finding.problem.contains("cannot read"), "{}", finding.problem);
    let report = scrub(&process.open(), 2, &Progress::new()).unwrap();
    assert_eq!(report.findings.iter().map(|finding| &finding.object).collect::<Vec<_>>(), [&pack]);
    // A key slot that cannot be read keeps nobody out, nor does advice.
    let slot = scene.bucket.open().key_add(&secret(), &Secret::KeyFile(vec![8; 32].into()), "other").unwrap();
    let damaged = Damaged { snapshots: [scene.first].into(), ..Damaged::default() };
    scene.bucket.open().save_damaged(&damaged).unwrap();
    let process = scene.bucket.process();
    // Rules go by the beginning of a name, the first one that fits.
    process.inject_always(Verb::Get, names::CONFIG_COPY, Fault::BadSector(u64::MAX));
    for name in [names::CONFIG, names::DAMAGE, &names::key(&slot)] {
        process.inject_always(Verb::Get, name, Fault::BadSector(10));
    }
    let repository = open(&process).unwrap();
    assert_eq!(repository.damaged().unwrap(), None);
    assert_eq!(read_all(&repository), 2);
}

#[test]
fn a_pack_replaced_by_another_ones_bytes_is_found() {
    let scene = Scene::new();
    let (pack, _) = scene.place(&scene.chunks("two")[0]);
    let (other, _) = scene.place(&scene.chunks("one")[0]);
    // Of equal length, so that a list cannot tell.
    let mut bytes = scene.store.read(&other).unwrap().to_vec();
    bytes.resize(scene.store.read(&pack).unwrap().len(), 0);
    scene.store.write(&pack, bytes);
    assert!(scene.check(Level::List).is_clean());
    let report = scene.check(Level::Full);
    let finding = only(&report);
    assert_eq!((&finding.object, finding.records), (&pack, 2));
    assert_eq!((&finding.snapshots[..], &finding.paths[..]), (&[scene.second][..], &["/two".to_owned()][..]));
    scene.assert_scrub(&[&pack]);
    assert_eq!(scene.readable(), BTreeSet::from([scene.first]));
}

#[test]
fn a_passing_fault_of_any_object_is_told_and_is_no_damage() {
    let scene = Scene::new();
    let check = |inject: &dyn Fn(&FaultyStore)| {
        let process = scene.bucket.process();
        let repository = open(&process).unwrap();
        repository.index().unwrap();
        inject(&process);
        let report = check(&repository, Level::Full, 1, &Progress::new()).unwrap();
        (report.findings, report.passing_faults)
    };
    for prefix in ["config", "config-copy", names::KEYS, names::LOG, names::INDEX, names::PACKS] {
        for fault in [Fault::FlipBit(400), Fault::Missing, Fault::BadSector(10)] {
            // Whoever asks for a key slot in vain learns that it was removed.
            if prefix == names::KEYS && matches!(fault, Fault::Missing) {
                continue;
            }
            let seen = check(&|process| process.inject(Verb::Get, prefix, fault.clone()));
            assert_eq!(seen, (vec![], 1), "{prefix} {fault:?}");
        }
    }
    let packs = scene.names(names::PACKS).len() as u64;
    assert_eq!(check(&|process| process.inject(Verb::List, "packs", Fault::Missing)), (vec![], packs));
}

#[test]
fn who_lost_but_a_ledger_with_another_ones_node_is_named_too() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let old = files(&[("old", 1, 1_000)]);
    let tree = back_up(&repository, "one", &old).unwrap().tree;
    // One run stores a tree that only a later snapshot has, and a ledger.
    let writer = repository.begin().unwrap();
    let new = put_files(&writer, &files(&[("new", 2, 1_000)])).unwrap();
    let note = LedgerEntry {
        path: "gone".to_owned(),
        reason: "vanished".to_owned(),
        detail: String::new(),
        failed: false,
        extra: Extra::new(),
    };
    let ledger = writer.write_ledger(&[note]).unwrap();
    let chunk = ledger.chunks[0];
    let with_ledger = writer.commit(SnapshotRecord { ledger, ..record(&repository, "one", tree) }).unwrap().id;
    let with_tree = back_up(&bucket.open(), "two", &files(&[("new", 2, 1_000)])).unwrap();
    assert_eq!(with_tree.tree.root, new.root);
    let index = repository.index().unwrap();
    let places = [new.root, chunk].map(|id| index.lookup(&id).unwrap().unwrap());
    assert_eq!(places[0].pack, places[1].pack);
    for place in places {
        bucket.process().flip_bit(&names::pack(&place.pack), 8 * (place.offset as usize + 70));
    }
    let report = check(&bucket.open(), Level::Structure, 1, &Progress::new()).unwrap();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    let touched: BTreeSet<_> = finding.snapshots.iter().copied().collect();
    assert_eq!(touched, [with_ledger, with_tree.id].into(), "{finding:?}");
}

#[test]
fn a_damaged_or_missing_segment_is_named() {
    for harm in 0..3 {
        let scene = Scene::new();
        for segment in scene.names("index/") {
            let stored = scene.store.read(&segment).unwrap();
            match harm {
                0 => scene.store.flip_bit(&segment, stored.len() * 4),
                1 => scene.store.truncate(&segment, stored.len() - 1),
                _ => scene.store.lose(&segment),
            }
            let report = scene.check(Level::List);
            assert!(report.findings.iter().any(|finding| finding.object == segment), "{:?}", report.findings);
            let error = scene.bucket.open().index().map(drop).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound), "{}", chain(&error));
            assert!(chain(&error).contains(&segment), "{}", chain(&error));
            if harm < 2 {
                scene.assert_scrub(&[&segment]);
            }
            scene.store.write(&segment, stored);
        }
        assert!(scene.check(Level::Full).is_clean());
    }
}

#[test]
fn a_check_goes_on_past_a_lost_segment_and_says_what_it_hides() {
    let scene = Scene::new();
    let segments = scene.names("index/");
    scene.store.lose(&segments[0]);
    let report = scene.check(Level::Full);
    let finding = report.findings.iter().find(|finding| finding.object == segments[0]).unwrap();
    assert!(finding.problem.contains("not"), "{}", finding.problem);
    let touched: BTreeSet<_> = report.findings.iter().flat_map(|finding| &finding.snapshots).collect();
    assert!(!touched.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_damaged_log_entry_is_named_by_whoever_reads_it() {
    for harm in 0..3 {
        let scene = Scene::new();
        for entry in scene.names("log/") {
            let repository = scene.bucket.open();
            let stored = scene.store.read(&entry).unwrap();
            match harm {
                0 => scene.store.flip_bit(&entry, stored.len() * 4),
                1 => scene.store.truncate(&entry, stored.len() / 2),
                _ => scene.store.write(&entry, Vec::new()),
            }
            let error = scene.bucket.try_open().map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
            assert!(error.to_string().contains(&entry), "{error}");
            // A process that had read it before finds it damaged in the store.
            let report = check(&repository, Level::List, 1, &Progress::new()).unwrap();
            assert_eq!(only(&report).object, entry);
            scene.assert_scrub(&[&entry]);
            scene.store.write(&entry, stored);
        }
    }
}

#[test]
fn a_lost_log_entry_is_a_gap_and_nothing_is_appended_past_it() {
    let scene = Scene::new();
    let repository = scene.bucket.open();
    let entries = scene.names("log/");
    scene.store.lose(&entries[0]);
    let error = scene.bucket.try_open().map(drop).unwrap_err();
    assert!(matches!(error, RepoError::LogGap { slot: 1, later: 2 }), "{}", chain(&error));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let report = check(&repository, Level::List, 1, &Progress::new()).unwrap();
    assert_eq!(only(&report).object, entries[0]);
    assert_eq!(scene.names("log/"), entries[1..]);
}

#[test]
fn a_log_entry_of_another_repository_does_not_follow() {
    let scene = Scene::new();
    let entries = scene.names("log/");
    for foreign in [scene.store.read(&entries[0]).unwrap(), Scene::new().store.read(&entries[1]).unwrap()] {
        scene.store.write(&entries[1], foreign);
        let error = scene.bucket.try_open().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
        assert!(error.to_string().contains(&entries[1]), "{error}");
    }
}

#[test]
fn a_damaged_or_missing_config_is_replaced_by_its_copy_and_reported() {
    for name in ["config", "config-copy"] {
        for harm in 0..3 {
            let scene = Scene::new();
            match harm {
                0 => scene.store.flip_bit(name, 100 * 8),
                1 => scene.store.truncate(name, 200),
                _ => scene.store.lose(name),
            }
            assert_eq!(scene.readable().len(), 2, "{name} {harm}");
            let report = scene.check(Level::List);
            assert_eq!(only(&report).object, name);
            if harm < 2 {
                scene.assert_scrub(&[name]);
            }
            let again = Repository::init(scene.store.open(), &secret(), "test", options()).map(drop).unwrap_err();
            assert_eq!(again.kind(), ErrorKind::Conflict, "{}", chain(&again));
        }
    }
}

#[test]
fn without_any_config_data_is_not_taken_for_an_empty_place() {
    let scene = Scene::new();
    scene.store.flip_bit("config", 800);
    scene.store.flip_bit("config-copy", 800);
    let error = scene.bucket.try_open().map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
    scene.store.lose("config");
    scene.store.lose("config-copy");
    let before = scene.store.names();
    for error in [
        scene.bucket.try_open().map(drop).unwrap_err(),
        Repository::init(scene.store.open(), &secret(), "test", options()).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", chain(&error));
        assert!(error.to_string().contains("config"), "{error}");
    }
    assert_eq!(scene.store.names(), before);
}

#[test]
fn a_damaged_key_slot_beside_a_good_one_keeps_nobody_out() {
    let scene = Scene::new();
    let other = Secret::KeyFile(vec![8; 32].into());
    let id = scene.bucket.open().key_add(&secret(), &other, "other").unwrap();
    let name = names::key(&id);
    scene.store.flip_bit(&name, 400);
    assert_eq!(scene.readable().len(), 2);
    assert_eq!(only(&scene.check(Level::List)).object, name);
    scene.assert_scrub(&[&name]);
    let error = Repository::open(scene.store.open(), &other, options()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "not said to be a wrong key: {}", chain(&error));
    assert!(error.to_string().contains(&name), "{error}");
}

#[test]
fn a_damaged_key_slot_is_named_beside_the_others_and_can_be_removed() {
    let scene = Scene::new();
    let repository = scene.bucket.open();
    let id = repository.key_add(&secret(), &Secret::KeyFile(vec![8; 32].into()), "other").unwrap();
    scene.store.flip_bit(&names::key(&id), 400);
    let slots = repository.keys_list().unwrap();
    assert_eq!(slots.damaged.iter().map(|key| key.id).collect::<Vec<_>>(), [id]);
    let [own] = &slots.intact[..] else { panic!("{slots:?}") };
    assert_eq!(only(&scene.check(Level::List)).mend, ["backstay repo key remove"]);
    let refused = repository.key_remove(&own.id).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "the other one opens nothing: {refused}");
    repository.key_remove(&id).unwrap();
    assert!(scene.check(Level::List).is_clean());
    // What is no slot at all has no id.
    scene.store.write("keys/other", "");
    assert_eq!(only(&scene.check(Level::List)).mend, [""; 0]);
}

#[test]
fn a_chunk_with_a_second_copy_survives_the_loss_of_one() {
    let bucket = Bucket::new();
    let twice = files(&[("twice", 1, 350_000)]);
    let (left, right) = (bucket.open(), bucket.open());
    let writers = [left.begin().unwrap(), right.begin().unwrap()];
    let trees = [put_files(&writers[0], &twice).unwrap(), put_files(&writers[1], &twice).unwrap()];
    for (writer, tree) in writers.iter().zip(trees) {
        writer.commit(record(writer.repository(), "one", tree)).unwrap();
    }
    let repository = bucket.open();
    let store = bucket.process();
    let packs = repository.index().unwrap().packs().unwrap();
    assert_eq!(packs.len(), 4, "each record twice");
    for pack in packs {
        let name = names::pack(&pack.id);
        let stored = store.read(&name).unwrap();
        for harm in 0..2 {
            if harm == 0 {
                store.lose(&name);
            } else {
                store.write(&name, vec![0; stored.len()]);
            }
            assert_eq!(read_all(&bucket.open()), 2);
            // Still open from before: it finds the other copy too.
            assert_eq!(read_all(&repository), 2);
            let report = check_full(&repository);
            let finding = only(&report);
            assert_eq!((&finding.object, finding.records, finding.snapshots.len()), (&name, 0, 0));
        }
        store.write(&name, stored);
    }
    assert_eq!(assert_sound(&bucket), 2);
}

#[test]
fn a_missing_pack_makes_a_reader_look_at_the_log_once_and_then_fail_naming_it() {
    let scene = Scene::new();
    let chunk = scene.chunks("two")[0];
    let (pack, _) = scene.place(&chunk);
    let process = scene.bucket.process();
    let repository = open(&process).unwrap();
    repository.index().unwrap();
    scene.store.lose(&pack);
    process.forget_records();
    let error = repository.reader().unwrap().read(&chunk).map(drop).unwrap_err();
    assert!(matches!(&error, RepoError::MissingPack { pack: lost, id } if names::pack(lost) == pack && *id == chunk));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let requests = |verb, prefix: &str| {
        process.records().iter().filter(|record| record.verb == verb && record.name.starts_with(prefix)).count()
    };
    assert_eq!((requests(Verb::List, "log"), requests(Verb::Get, "packs/"), requests(Verb::Get, "index/")), (1, 2, 0));
}

#[test]
fn a_bit_flipped_on_its_way_is_no_damage() {
    let scene = Scene::new();
    let process = scene.bucket.process();
    let repository = open(&process).unwrap();
    for _ in 0..3 {
        process.inject(Verb::Get, "packs/", Fault::FlipBit(1000));
        assert_eq!(read_all(&repository), 2);
    }
    for name in scene.names("packs/") {
        process.inject(Verb::Get, &name, Fault::FlipBit(2000));
    }
    let report = check_full(&repository);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert!(report.passing_faults >= 2, "{report:?}");
}

#[test]
fn a_check_does_not_wait_for_a_writer_and_a_writer_not_for_a_check() {
    let scene = Scene::new();
    // What is put is stored when the call returns.
    let repository = Repository::open(scene.bucket.process().open().one_at_a_time(), &secret(), options()).unwrap();
    let writer = repository.begin().unwrap();
    let large = files(&[("large", 77, 2_500_000)]);
    let tree = put_files(&writer, &large).unwrap();
    // Half-way: packs are stored that nothing names yet.
    let report = scene.check(Level::Full);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.snapshots, report.unused_packs), (2, 2));
    // A check that stands still in the middle keeps no backup from beginning and committing.
    let process = scene.bucket.process();
    let checking = open(&process).unwrap();
    let hold = process.hold(Verb::Get, "packs/");
    let report = std::thread::scope(|scope| {
        let check = scope.spawn(|| check_full(&checking));
        hold.wait_until_reached();
        writer.commit(record(&repository, "one", tree)).unwrap();
        back_up(&scene.bucket.open(), "other", &large).unwrap();
        assert_eq!(scene.bucket.open().snapshots().len(), 4);
        hold.release();
        check.join().unwrap()
    });
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.snapshots, 2);
    assert_eq!(assert_sound(&scene.bucket), 4);
}

#[test]
fn any_bit_of_any_object_may_flip_and_nothing_panics_or_reads_wrong() {
    let scene = Scene::new();
    let mut flips = 0;
    for name in scene.store.names() {
        let bits = scene.store.read(&name).unwrap().len() * 8;
        for part in 0..12 {
            let bit = (bits - 1) * part / 11;
            scene.store.flip_bit(&name, bit);
            scene.assert_scrub(&[&name]);
            match scene.bucket.try_open() {
                Ok(repository) => match check(&repository, Level::Full, 1, &Progress::new()) {
                    Ok(report) => {
                        assert!(report.findings.iter().any(|finding| finding.object == name), "{name} bit {bit}");
                        // Damage that touches no snapshot leaves all of them readable.
                        if report.findings.iter().all(|finding| finding.snapshots.is_empty()) {
                            assert_eq!(scene.readable().len(), 2, "{name} bit {bit}");
                        }
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} bit {bit}: {}", chain(&error)),
                },
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} bit {bit}: {}", chain(&error)),
            }
            scene.store.flip_bit(&name, bit);
            flips += 1;
        }
    }
    assert_eq!(flips, 12 * scene.store.names().len());
    assert!(scene.check(Level::Full).is_clean());
}

#[test]
fn a_damaged_ledger_is_traced_to_its_snapshot() {
    let bucket = Bucket::new();
    let repository = bucket.open();
    let writer = repository.begin().unwrap();
    let tree = put_files(&writer, &files(&[("a", 1, 10)])).unwrap();
    let entry: LedgerEntry =
        serde_json::from_value(serde_json::json!({ "path": "/b", "reason": "vanished", "failed": true })).unwrap();
    let ledger = writer.write_ledger(std::slice::from_ref(&entry)).unwrap();
    let mut snapshot = record(&repository, "one", tree);
    snapshot.ledger = ledger.clone();
    let snapshot = writer.commit(snapshot).unwrap();
    assert_eq!(backstay_repo::read_ledger(&mut repository.reader().unwrap(), &ledger).unwrap(), [entry]);
    let location = repository.index().unwrap().lookup(&ledger.chunks[0]).unwrap().unwrap();
    let store = bucket.process();
    let name = names::pack(&location.pack);
    store.flip_bit(&name, (location.offset + location.stored_len - 1) as usize * 8);
    let report = check_full(&bucket.open());
    assert_eq!((&only(&report).object, &only(&report).snapshots[..]), (&name, &[snapshot.id][..]));
    let reopened = bucket.open();
    let error = backstay_repo::read_ledger(&mut reopened.reader().unwrap(), &ledger).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn what_is_known_to_be_damaged_is_said_anew_and_taken_back() {
    let scene = Scene::new();
    let repository = scene.bucket.open();
    assert_eq!(repository.damaged().unwrap(), None);
    let [one, two] = [1, 2].map(|n| PackId::new([n; 32]));
    let [lost, kept] = [3, 4].map(|n| ChunkId::new([n; 32]));
    let mut damaged = Damaged {
        packs: [(one, Lost::All), (two, Lost::Records([lost].into()))].into(),
        snapshots: [scene.first].into(),
    };
    repository.save_damaged(&damaged).unwrap();
    let other = scene.bucket.open();
    assert_eq!(other.damaged().unwrap().as_ref(), Some(&damaged));
    let known = [(&one, &lost), (&one, &kept), (&two, &lost), (&two, &kept)];
    assert_eq!(known.map(|(pack, record)| damaged.is_lost(pack, record)), [true, true, true, false]);
    scene.assert_scrub(&[]);
    damaged.packs.remove(&one);
    other.save_damaged(&damaged).unwrap();
    assert_eq!(repository.damaged().unwrap().as_ref(), Some(&damaged));
    // Advice that cannot be read keeps nobody from working.
    let bits = scene.store.read(names::DAMAGE).unwrap().len() * 8;
    scene.store.flip_bit(names::DAMAGE, bits / 2);
    scene.assert_scrub(&[names::DAMAGE]);
    assert_eq!(repository.damaged().unwrap(), None);
    repository.save_damaged(&Damaged::default()).unwrap();
    assert_eq!(scene.names("audit/"), [""; 0]);
}
