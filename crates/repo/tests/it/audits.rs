//! Audits save what they saw: short runs cover everything over time, nothing that is bad is forgotten, nobody waits.

use backstay_format::audit::{AuditResults, Depth};
use backstay_format::crypto::random;
use backstay_format::ids::{PackId, SnapshotId, WriterId};
use backstay_format::log::Change;
use backstay_format::pack::PackKind;
use backstay_repo::check::{
    AuditOptions, CheckReport, Coverage, Damaged, Level, Limits, Lost, ScrubOptions, ScrubReport, Subset, audit,
    audit_scrub,
};
use backstay_repo::index::PackInfo;
use backstay_repo::repair::PacksPlan;
use backstay_repo::{Append, ErrorKind, OpenOptions, Progress, Repository, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};
use jiff::SignedDuration;

use crate::scene::{Bucket, back_up, clock, files, options, read_all, secret};

const DAY: i64 = 24 * 60 * 60;

/// Two snapshots of two packs each.
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

    fn packs(&self) -> Vec<PackId> {
        self.store.names().iter().filter_map(|name| names::pack_of(name)).collect()
    }

    fn saved(&self) -> Vec<String> {
        self.store.names().into_iter().filter(|name| name.starts_with(names::AUDIT)).collect()
    }

    /// The pack with the contents of the file `two` alone.
    fn pack_of_two(&self) -> PackId {
        let packs = self.bucket.open().index().unwrap().packs().unwrap();
        let is_it = |pack: &&PackInfo| pack.kind == PackKind::Data && pack.records == 2;
        packs.iter().find(is_it).unwrap().id
    }
}

/// Another process, so many days later.
fn open_at(store: &FaultyStore, day: i64) -> Repository {
    Repository::open(store.open(), &secret(), OpenOptions { clock: clock(day * DAY), ..options() }).unwrap()
}

fn at_level(level: Level) -> AuditOptions {
    AuditOptions { level, limits: Limits::default(), snapshot: None, threads: 2 }
}

fn limited(level: Level, limits: Limits) -> AuditOptions {
    AuditOptions { limits, ..at_level(level) }
}

fn one_pack() -> Limits {
    Limits { max_bytes: Some(1), ..Limits::default() }
}

/// An audit that could save what it saw.
fn run(repository: &Repository, options: &AuditOptions) -> CheckReport {
    let (report, unsaved) = audit(repository, options, &Progress::new()).unwrap();
    assert!(unsaved.is_none(), "{unsaved:?}");
    report
}

fn scrub_at(store: &FaultyStore, day: i64, limits: Limits) -> ScrubReport {
    let options = ScrubOptions { limits, threads: 2 };
    let (report, unsaved) = audit_scrub(&store.open(), &clock(day * DAY), &options, &Progress::new()).unwrap();
    assert!(unsaved.is_none(), "{unsaved:?}");
    report
}

fn coverage(report: &CheckReport, level: &str) -> Coverage {
    report.coverage.iter().find(|coverage| coverage.level == level).unwrap().clone()
}

#[test]
fn short_runs_cover_everything_and_begin_again_with_the_oldest() {
    let scene = Scene::new();
    let packs = scene.packs().len() as u64;
    assert_eq!(packs, 4);
    for day in 0..8 {
        let report = run(&open_at(&scene.store, day), &limited(Level::Bytes, one_pack()));
        assert!(report.is_clean(), "{:?}", report.findings);
        assert_eq!((report.packs_read, report.records_read), (1, 0));
        let bytes = coverage(&report, "bytes");
        assert_eq!((bytes.packs, bytes.verified_packs), (packs, packs.min(day as u64 + 1)), "day {day}");
        assert!(bytes.last_day_bytes > 0 && bytes.last_day_bytes < bytes.bytes);
        assert_eq!(coverage(&report, "full").verified_packs, 0);
        assert_eq!(scene.saved().len(), 1, "one object holds it all");
    }
    let report = run(&open_at(&scene.store, 8), &at_level(Level::Structure));
    let bytes = coverage(&report, "bytes");
    assert_eq!((bytes.verified_bytes, bytes.oldest.as_deref()), (bytes.bytes, Some("2026-03-08T05:06:07Z")));
}

#[test]
fn the_order_of_reading_is_never_verified_first_then_oldest() {
    let scene = Scene::new();
    let mut seen: Vec<AuditResults> = Vec::new();
    for day in 0..6 {
        run(&open_at(&scene.store, day), &limited(Level::Full, one_pack()));
        let [name] = &scene.saved()[..] else { panic!("{:?}", scene.saved()) };
        let repository = scene.bucket.open();
        seen.push(AuditResults::open(repository.keys(), name, &scene.store.read(name).unwrap()).unwrap());
    }
    let newest = |results: &AuditResults| {
        results.rows.iter().max_by_key(|(_, verdict)| verdict.time).map(|((pack, depth), _)| (*pack, *depth)).unwrap()
    };
    let order: Vec<_> = seen.iter().map(newest).collect();
    assert!(order.iter().all(|(_, depth)| *depth == Depth::Full));
    let distinct: std::collections::BTreeSet<_> = order[..4].iter().collect();
    assert_eq!(distinct.len(), 4, "each once before any a second time");
    assert_eq!((order[4], order[5]), (order[0], order[1]));
}

#[test]
fn what_is_fresh_is_left_out_and_a_deeper_look_counts_for_a_shallower_one() {
    let scene = Scene::new();
    let days = |days: i64| Limits { max_age: Some(SignedDuration::from_hours(24 * days)), ..Limits::default() };
    assert_eq!(run(&open_at(&scene.store, 0), &limited(Level::Full, days(30))).packs_read, 4);
    for level in [Level::Bytes, Level::Full] {
        assert_eq!(run(&open_at(&scene.store, 29), &limited(level, days(30))).packs_read, 0, "{level:?}");
    }
    assert_eq!(run(&open_at(&scene.store, 30), &limited(Level::Bytes, days(30))).packs_read, 4);
    // Bytes say nothing of records.
    assert_eq!(run(&open_at(&scene.store, 31), &limited(Level::Full, days(30))).packs_read, 4);
}

#[test]
fn parts_are_disjoint_and_together_everything() {
    let scene = Scene::new();
    let part = |number| Limits { subset: Some(Subset::Part { number, of: 3 }), ..Limits::default() };
    let read: u64 =
        (1..=3).map(|n| run(&open_at(&scene.store, n), &limited(Level::Full, part(n as u64))).packs_read).sum();
    assert_eq!(read, 4);
    let report = run(&open_at(&scene.store, 4), &at_level(Level::Structure));
    assert_eq!(coverage(&report, "full").verified_packs, 4);
}

#[test]
fn no_pack_is_begun_when_the_time_is_over() {
    let scene = Scene::new();
    let ticking = std::sync::atomic::AtomicI64::new(0);
    let start = clock(0).now();
    // Each look at the clock takes a minute.
    let clock = backstay_repo::Clock::new(move || {
        start + SignedDuration::from_mins(ticking.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    });
    let repository = Repository::open(scene.store.open(), &secret(), OpenOptions { clock, ..options() }).unwrap();
    let limits = Limits { max_duration: Some(SignedDuration::from_mins(3)), ..Limits::default() };
    let options = AuditOptions { threads: 1, ..limited(Level::Bytes, limits) };
    let read = run(&repository, &options).packs_read;
    assert!((1..4).contains(&read), "{read}");
}

#[test]
fn damage_is_told_until_somebody_sees_that_it_is_mended() {
    let scene = Scene::new();
    let pack = scene.pack_of_two();
    let name = names::pack(&pack);
    assert!(run(&open_at(&scene.store, 0), &at_level(Level::Full)).is_clean());
    assert_eq!(scene.saved().len(), 1);
    scene.store.flip_bit(&name, 8 * 1000);
    let report = run(&open_at(&scene.store, 1), &at_level(Level::Full));
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((&finding.object, finding.records, &finding.snapshots[..]), (&name, 1, &[scene.second][..]));
    assert_eq!(finding.mend, ["backstay repo heal --from COPY", "backstay repo repair packs"]);
    let known = scene.bucket.open().damaged().unwrap().unwrap();
    assert_eq!(known.snapshots, [scene.second].into());
    assert!(matches!(&known.packs[&pack], Lost::Records(records) if records.len() == 1), "{known:?}");
    // Nothing is read, and nothing is forgotten.
    for level in [Level::List, Level::Structure] {
        let report = run(&open_at(&scene.store, 2), &at_level(level));
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert_eq!((&finding.object, finding.records, &finding.snapshots[..]), (&name, 1, &[scene.second][..]));
        assert!(finding.problem.contains("2026-03-05T05:06:07Z"), "{}", finding.problem);
        assert_eq!(report.packs_read, 0);
        assert_eq!(scene.bucket.open().damaged().unwrap().as_ref(), Some(&known));
    }
    assert_eq!(coverage(&report, "full").verified_packs, 3);
    // The bad one is first, however little is read, and whatever part it is in.
    for limits in [one_pack(), Limits { subset: Some(Subset::Percent(0.001)), ..one_pack() }] {
        let report = run(&open_at(&scene.store, 3), &limited(Level::Bytes, limits));
        assert_eq!((report.packs_read, report.findings.len()), (1, 1));
        assert!(!report.findings[0].problem.contains("not read since"), "{:?}", report.findings);
    }
    scene.store.flip_bit(&name, 8 * 1000);
    let report = run(&open_at(&scene.store, 4), &limited(Level::Bytes, one_pack()));
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.packs_read, 1);
    assert_eq!(scene.bucket.open().damaged().unwrap(), None);
    assert_eq!(scene.saved().len(), 1);
    assert!(run(&open_at(&scene.store, 5), &at_level(Level::Structure)).is_clean());
}

#[test]
fn what_is_noted_as_damaged_stays_until_a_run_has_looked_at_it() {
    let scene = Scene::new();
    scene.store.lose(&names::pack(&scene.pack_of_two()));
    let repository = scene.bucket.open();
    let plan = PacksPlan::make(&repository, backstay_repo::repair::Depth::Known, 1, &Progress::new()).unwrap();
    plan.run(&repository, &Progress::new()).unwrap();
    let noted = Damaged { snapshots: [scene.second].into(), ..Damaged::default() };
    // A list cannot tell that a record is in no segment; nor can a run that looks at another snapshot.
    let other = AuditOptions { snapshot: Some(scene.first), ..at_level(Level::Full) };
    for options in [at_level(Level::List), other, at_level(Level::Structure), at_level(Level::List)] {
        run(&scene.bucket.open(), &options);
        assert_eq!(scene.bucket.open().damaged().unwrap().as_ref(), Some(&noted), "{options:?}");
    }
    let again = back_up(&scene.bucket.open(), "one", &files(&[("two", 2, 250_000)])).unwrap();
    assert!(again.summary.new_bytes > 250_000, "stored again: {:?}", again.summary);
    run(&scene.bucket.open(), &at_level(Level::Structure));
    assert_eq!(scene.bucket.open().damaged().unwrap(), None);
}

#[test]
fn a_pack_that_was_noted_without_a_verdict_stays_noted_until_it_is_read() {
    let scene = Scene::new();
    let noted = Damaged { packs: [(scene.pack_of_two(), Lost::Records([].into()))].into(), ..Damaged::default() };
    scene.bucket.open().save_damaged(&noted).unwrap();
    for level in [Level::List, Level::Structure] {
        assert_eq!(run(&open_at(&scene.store, 0), &at_level(level)).findings.len(), 1);
        assert_eq!(scene.bucket.open().damaged().unwrap().as_ref(), Some(&noted), "{level:?}");
    }
    assert!(run(&open_at(&scene.store, 1), &at_level(Level::Bytes)).is_clean());
    assert_eq!(scene.bucket.open().damaged().unwrap(), None);
}

#[test]
fn what_others_note_and_let_go_while_a_check_runs_counts() {
    let scene = Scene::new();
    let pack = scene.pack_of_two();
    scene.store.flip_bit(&names::pack(&pack), 8 * 1000);
    run(&open_at(&scene.store, 0), &at_level(Level::Full));
    assert!(scene.bucket.open().damaged().unwrap().unwrap().packs.contains_key(&pack));
    // A check that has read everything and is about to save what it saw.
    let process = scene.bucket.process();
    let slow = open_at(&process, 1);
    let hold = process.hold(Verb::Create, names::AUDIT);
    std::thread::scope(|scope| {
        let checking = scope.spawn(|| run(&slow, &at_level(Level::Full)));
        hold.wait_until_reached();
        let repository = scene.bucket.open();
        let plan = PacksPlan::make(&repository, backstay_repo::repair::Depth::Known, 1, &Progress::new()).unwrap();
        plan.run(&repository, &Progress::new()).unwrap();
        let mut noted = repository.damaged().unwrap().unwrap();
        noted.snapshots.insert(scene.first);
        repository.save_damaged(&noted).unwrap();
        hold.release();
        checking.join().unwrap();
    });
    let noted = Damaged { snapshots: [scene.first, scene.second].into(), ..Damaged::default() };
    assert_eq!(scene.bucket.open().damaged().unwrap(), Some(noted));
}

#[test]
fn what_a_repair_notes_once_more_while_a_check_runs_stays_noted() {
    let scene = Scene::new();
    let noted = Damaged { snapshots: [scene.first].into(), ..Damaged::default() };
    scene.bucket.open().save_damaged(&noted).unwrap();
    let process = scene.bucket.process();
    let slow = open_at(&process, 1);
    let hold = process.hold(Verb::Create, names::AUDIT);
    std::thread::scope(|scope| {
        // Finds everything whole.
        let checking = scope.spawn(|| run(&slow, &at_level(Level::Full)));
        hold.wait_until_reached();
        let packs = scene.bucket.open().index().unwrap().packs().unwrap();
        let largest = packs.iter().max_by_key(|pack| pack.size_bytes).unwrap().id;
        scene.store.lose(&names::pack(&largest));
        let repository = scene.bucket.open();
        let plan = PacksPlan::make(&repository, backstay_repo::repair::Depth::Known, 1, &Progress::new()).unwrap();
        assert!(plan.snapshots.iter().any(|broken| broken.id == scene.first), "{plan:?}");
        plan.run(&repository, &Progress::new()).unwrap();
        hold.release();
        assert!(checking.join().unwrap().is_clean());
    });
    assert!(scene.bucket.open().damaged().unwrap().unwrap().snapshots.contains(&scene.first));
}

#[test]
fn two_audits_at_once_lose_nothing_of_what_either_saw() {
    let scene = Scene::new();
    run(&open_at(&scene.store, 0), &limited(Level::Full, one_pack()));
    let part = |snapshot| AuditOptions { snapshot: Some(snapshot), ..at_level(Level::Full) };
    let process = scene.bucket.process();
    let slow = open_at(&process, 1);
    let hold = process.hold(Verb::Create, names::AUDIT);
    std::thread::scope(|scope| {
        let left = scope.spawn(|| run(&slow, &part(scene.first)));
        hold.wait_until_reached();
        run(&open_at(&scene.store, 2), &part(scene.second));
        hold.release();
        left.join().unwrap();
    });
    assert_eq!(scene.saved().len(), 2, "each deleted what it took over, and no more");
    let report = run(&open_at(&scene.store, 3), &at_level(Level::Structure));
    let full = coverage(&report, "full");
    assert_eq!((full.verified_packs, full.oldest.as_deref()), (4, Some("2026-03-05T05:06:07Z")));
    assert_eq!(scene.saved().len(), 1);
}

#[test]
fn a_scrub_goes_on_where_it_stopped_and_a_check_takes_over_what_it_saw() {
    let scene = Scene::new();
    let bad = names::pack(&scene.pack_of_two());
    for day in 0..3 {
        let report = scrub_at(&scene.store, day, one_pack());
        assert_eq!((&report.findings[..], report.coverage[0].verified_packs), (&[][..], day as u64 + 1));
        assert_eq!(scene.saved().len(), 1);
    }
    scene.store.flip_bit(&bad, 8 * 1000);
    let report = scrub_at(&scene.store, 3, Limits::default());
    assert_eq!(report.findings.iter().map(|finding| &finding.object).collect::<Vec<_>>(), [&bad]);
    // A part that has nothing in it: the bad one is read all the same.
    let limits = Limits { max_age: Some(SignedDuration::from_hours(1000)), ..Limits::default() };
    let report = scrub_at(&scene.store, 4, limits);
    assert_eq!(report.findings.iter().map(|finding| &finding.object).collect::<Vec<_>>(), [&bad]);
    let [text] = &scene.saved()[..] else { panic!("{:?}", scene.saved()) };
    let text = String::from_utf8(scene.store.read(text).unwrap().to_vec()).unwrap();
    assert!(text.starts_with("backstay audit 1\n") && text.contains(" bad ") && text.contains(" good "), "{text}");
    // With keys it is found out what is lost.
    let report = run(&open_at(&scene.store, 5), &at_level(Level::Structure));
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((&finding.object, finding.records, &finding.snapshots[..]), (&bad, 1, &[scene.second][..]));
    assert_eq!((coverage(&report, "bytes").verified_packs, coverage(&report, "full").verified_packs), (3, 0));
    let [sealed] = &scene.saved().into_iter().filter(|name| name != names::DAMAGE).collect::<Vec<_>>()[..] else {
        panic!("{:?}", scene.saved())
    };
    assert!(names::check_result_of(sealed).is_some());
    // What was saved with a key is none of a scrub's business.
    scrub_at(&scene.store, 6, Limits::default());
    assert!(scene.saved().contains(sealed));
}

#[test]
fn a_store_that_may_not_be_written_is_audited_all_the_same() {
    let scene = Scene::new();
    let process = scene.bucket.process();
    process.set_read_only(true);
    let (report, unsaved) = audit(&open_at(&process, 0), &at_level(Level::Full), &Progress::new()).unwrap();
    assert!(report.is_clean());
    assert_eq!(unsaved.map(|error| error.kind()), Some(ErrorKind::Denied));
    // Where there is nothing new to save, nothing is written.
    let (_, unsaved) = audit(&open_at(&process, 0), &at_level(Level::Structure), &Progress::new()).unwrap();
    assert!(unsaved.is_none(), "{unsaved:?}");
    // Locked against deletion: what was taken over stays, and does no harm.
    run(&open_at(&scene.store, 0), &limited(Level::Full, one_pack()));
    let locked = scene.bucket.process();
    locked.inject_always(Verb::Delete, names::AUDIT, Fault::Denied);
    for day in 1..4 {
        run(&open_at(&locked, day), &limited(Level::Full, one_pack()));
    }
    assert_eq!(scene.saved().len(), 4);
    let report = run(&open_at(&scene.store, 5), &at_level(Level::Structure));
    assert_eq!((coverage(&report, "full").verified_packs, scene.saved().len()), (4, 1));
}

#[test]
fn an_interrupted_audit_saves_what_it_saw() {
    let scene = Scene::new();
    let process = scene.bucket.process();
    let repository = open_at(&process, 0);
    let progress = Progress::new();
    let hold = process.hold(Verb::Get, "packs/");
    let error = std::thread::scope(|scope| {
        let options = AuditOptions { threads: 1, ..at_level(Level::Bytes) };
        let (repository, progress) = (&repository, &progress);
        let run = scope.spawn(move || audit(repository, &options, progress).map(drop).unwrap_err());
        hold.wait_until_reached();
        progress.cancel();
        hold.release();
        run.join().unwrap()
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    let report = run(&open_at(&scene.store, 1), &at_level(Level::Structure));
    assert_eq!(coverage(&report, "bytes").verified_packs, 1);
}

#[test]
fn saved_results_that_are_damaged_are_named_once_and_cost_a_second_read() {
    let scene = Scene::new();
    run(&open_at(&scene.store, 0), &at_level(Level::Full));
    scrub_at(&scene.store, 0, Limits::default());
    scene.bucket.open().save_damaged(&Damaged { snapshots: [scene.first].into(), ..Damaged::default() }).unwrap();
    let saved = scene.saved();
    assert_eq!(saved.len(), 3);
    for name in &saved {
        let bits = scene.store.read(name).unwrap().len() * 8;
        scene.store.flip_bit(name, bits / 2);
    }
    let report = run(&open_at(&scene.store, 1), &at_level(Level::Structure));
    assert_eq!(
        report.findings.iter().map(|finding| &finding.object).collect::<Vec<_>>(),
        saved.iter().collect::<Vec<_>>()
    );
    assert_eq!(coverage(&report, "full").verified_packs, 0);
    assert_eq!(scene.saved(), [""; 0]);
    assert!(run(&open_at(&scene.store, 2), &at_level(Level::Full)).is_clean());
}

#[test]
fn of_a_cut_pack_a_list_fears_for_all_and_a_deeper_look_knows() {
    let scene = Scene::new();
    let pack = scene.pack_of_two();
    let name = names::pack(&pack);
    // Behind the first of its two records, of which the first is the larger.
    scene.store.truncate(&name, 210_000);
    let report = run(&open_at(&scene.store, 0), &at_level(Level::List));
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.records, 2);
    assert!(finding.problem.contains("may be lost"), "{}", finding.problem);
    assert_eq!(scene.bucket.open().damaged().unwrap().unwrap().packs, [(pack, Lost::All)].into());
    for level in [Level::Structure, Level::Bytes, Level::Full] {
        let report = run(&open_at(&scene.store, 1), &at_level(level));
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert_eq!((finding.records, &finding.paths[..]), (1, &["/two".to_owned()][..]), "{level:?}");
        assert!(finding.problem.starts_with("it has 210000 bytes"), "{}", finding.problem);
    }
}

#[test]
fn one_snapshot_is_audited_with_what_it_needs_and_nothing_else() {
    let scene = Scene::new();
    let two = names::pack(&scene.pack_of_two());
    scene.store.flip_bit(&two, 8 * 1000);
    let only = |snapshot| AuditOptions { snapshot: Some(snapshot), ..at_level(Level::Full) };
    let report = run(&open_at(&scene.store, 0), &only(scene.first));
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.snapshots, report.packs_read), (1, 2));
    let report = run(&open_at(&scene.store, 1), &only(scene.second));
    assert_eq!(report.packs_read, 3, "its own two, and the one with the shared file");
    assert_eq!(report.findings[0].snapshots, [scene.second]);
    // Of the second nothing new is known.
    let report = run(&open_at(&scene.store, 2), &only(scene.first));
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(scene.bucket.open().damaged().unwrap().unwrap().snapshots, [scene.second].into());
    let error = audit(&scene.bucket.open(), &only(SnapshotId::new([0; 16])), &Progress::new()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_forgotten_and_collected_meanwhile_is_no_damage() {
    let scene = Scene::new();
    let two = scene.pack_of_two();
    let slow = open_at(&scene.store, 0);
    slow.index().unwrap();
    // Another process forgets the second snapshot, retires its packs, and deletes them.
    let other = scene.bucket.open();
    let writer = WriterId::new(random().unwrap());
    let append =
        |change: Change| other.append(&Append::new(writer, "test", other.base()), &|_| change.clone()).unwrap();
    append(Change { snapshots_forgotten: vec![scene.second], ..Change::default() });
    append(Change { packs_retired: vec![two], ..Change::default() });
    scene.store.lose(&names::pack(&two));
    for level in [Level::List, Level::Structure, Level::Full] {
        let report = audit(&slow, &at_level(level), &Progress::new()).unwrap().0;
        assert!(report.is_clean(), "{level:?}: {:?}", report.findings);
    }
    assert_eq!(scene.bucket.open().damaged().unwrap(), None);
    assert_eq!(read_all(&scene.bucket.open()), 1);
}

#[test]
fn a_damaged_log_entry_names_what_it_committed() {
    let scene = Scene::new();
    let repository = scene.bucket.open();
    let entries: Vec<_> = scene.store.names().into_iter().filter(|name| name.starts_with("log/")).collect();
    scene.store.flip_bit(&entries[0], 8 * 60);
    let report = audit(&repository, &at_level(Level::List), &Progress::new()).unwrap().0;
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((&finding.object, &finding.snapshots[..]), (&entries[0], &[scene.first][..]));
    assert_eq!(finding.mend, ["backstay repo heal --from COPY"]);
}

#[test]
fn rows_of_packs_that_are_no_more_drop_out() {
    let scene = Scene::new();
    let two = scene.pack_of_two();
    run(&open_at(&scene.store, 0), &at_level(Level::Full));
    let other = scene.bucket.open();
    let writer = WriterId::new(random().unwrap());
    let append =
        |change: Change| other.append(&Append::new(writer, "test", other.base()), &|_| change.clone()).unwrap();
    append(Change { snapshots_forgotten: vec![scene.second], ..Change::default() });
    append(Change { packs_retired: vec![two], ..Change::default() });
    let report = run(&open_at(&scene.store, 1), &at_level(Level::Structure));
    assert!(report.is_clean(), "{:?}", report.findings);
    let [name] = &scene.saved()[..] else { panic!("{:?}", scene.saved()) };
    let saved = AuditResults::open(other.keys(), name, &scene.store.read(name).unwrap()).unwrap();
    assert_eq!(saved.rows.len(), 3);
    assert!(saved.rows.keys().all(|(pack, _)| *pack != two));
}
