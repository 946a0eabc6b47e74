//! Copies: sound at every write, whoever dies, collects or copies at the same time; and nobody else's to append to.

use std::collections::BTreeSet;
use std::thread;

use backstay_format::config::Secret;
use backstay_format::ids::{PackId, SegmentId, SnapshotId, WriterId};
use backstay_format::log::{Change, Extra, SegmentRecord};
use backstay_format::segment::Segment;
use backstay_repo::copy::{CopyError, CopyOptions, CopyReport, GRACE_SECONDS_DEFAULT, Place};
use backstay_repo::gc::CollectOptions;
use backstay_repo::repair::{Depth, IndexPlan, PacksPlan, SnapshotsPlan};
use backstay_repo::{Append, ErrorKind, Progress, RepoError, Repository, Result, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::scene::{Bucket, assert_sound, back_up, chain, check_full, files, options, read_all, secret};

/// What opens the copy, and not the source.
pub(crate) fn other_secret() -> Secret {
    Secret::KeyFile(vec![8; 32].into())
}

pub(crate) fn open_copy(bucket: &Bucket) -> Result<Repository> {
    Repository::open(bucket.process().open(), &other_secret(), options())
}

fn options_for(grace_seconds: u64) -> CopyOptions {
    CopyOptions { dry_run: false, grace_seconds }
}

/// One process that copies.
pub(crate) fn copy(source: &FaultyStore, to: &FaultyStore, grace_seconds: u64) -> Result<CopyReport> {
    let source = crate::scene::open(source)?;
    let to = to.open();
    if source.copy_place(&to)? == Place::Empty {
        source.make_copy(&to, &secret(), &other_secret(), "copy")?;
    }
    source.copy_to(Some(&to), &options_for(grace_seconds), &Progress::new())
}

fn copy_all(source: &Bucket, to: &Bucket, grace_seconds: u64) -> CopyReport {
    copy(&source.process(), &to.process(), grace_seconds).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn packs(bucket: &Bucket) -> BTreeSet<PackId> {
    bucket.process().names().iter().filter_map(|name| names::pack_of(name)).collect()
}

/// A collector by hand: forgets a snapshot, retires the packs that it alone needs, makes one segment of all that there are, and
/// deletes what was let go.
fn collect(bucket: &Bucket, forgotten: SnapshotId, gone: &BTreeSet<PackId>) {
    let process = bucket.process();
    let repository = bucket.open();
    repository.forget(&[forgotten], true, false).unwrap();
    let writer = WriterId::new([9; 16]);
    let retired = Change { packs_retired: gone.iter().copied().collect(), ..Change::default() };
    repository.append(&Append::new(writer, "gc", repository.base()), &|_| retired.clone()).unwrap();
    let old: BTreeSet<SegmentId> = repository.state().segments().keys().copied().collect();
    let mut merged = Segment::new(repository.base());
    for id in &old {
        let segment = Segment::open(repository.keys(), &process.read(&names::segment(id)).unwrap()).unwrap();
        for mut entry in segment.entries {
            let pack = segment.packs[entry.pack as usize];
            if gone.contains(&pack.id) {
                continue;
            }
            let known = merged.packs.iter().position(|known| known.id == pack.id);
            let position = known.unwrap_or_else(|| {
                merged.packs.push(pack);
                merged.packs.len() - 1
            });
            entry.pack = position as u32;
            merged.entries.push(entry);
        }
    }
    let sealed = merged.seal(repository.keys()).unwrap();
    process.write(&names::segment(&sealed.id), sealed.bytes);
    let record = SegmentRecord { id: sealed.id, base: sealed.base, entries: sealed.entries, extra: Extra::new() };
    let change =
        Change { segments_added: vec![record], segments_removed: old.iter().copied().collect(), ..Change::default() };
    let append = Append { replaced_segments: &old, ..Append::new(writer, "gc", repository.base()) };
    repository.append(&append, &|_| change.clone()).unwrap();
    for name in gone.iter().map(names::pack).chain(old.iter().map(names::segment)) {
        process.lose(&name);
    }
}

/// A repository with two snapshots of two sources; the packs that the first one alone needs.
struct Source {
    bucket: Bucket,
    first: SnapshotId,
    gone: BTreeSet<PackId>,
}

impl Source {
    fn new() -> Self {
        let bucket = Bucket::new();
        let first = back_up(&bucket.open(), "one", &files(&[("first", 1, 1_500_000)])).unwrap().id;
        let gone = packs(&bucket);
        back_up(&bucket.open(), "two", &files(&[("second", 2, 1_200_000)])).unwrap();
        assert!(gone.len() >= 2);
        Self { bucket, first, gone }
    }

    /// The first snapshot and its packs go, and there is a third one.
    fn live_on(&self) {
        collect(&self.bucket, self.first, &self.gone);
        back_up(&self.bucket.open(), "two", &files(&[("second", 2, 1_200_000), ("third", 3, 600_000)])).unwrap();
    }

    /// The same repository in another bucket, to do something else to it.
    fn fork(&self) -> Self {
        Self { bucket: self.bucket.fork(), first: self.first, gone: self.gone.clone() }
    }
}

/// What must hold of a copy at any moment: it is none yet, or all that is listed can be read; gives the number of log entries.
#[track_caller]
fn assert_copy_sound(bucket: &Bucket) -> Option<u64> {
    let repository = match open_copy(bucket) {
        Ok(repository) => repository,
        Err(RepoError::NoRepository { .. }) => return None,
        Err(error) => panic!("{}", chain(&error)),
    };
    let mut findings = check_full(&repository).findings;
    // As after an `init` that died there.
    findings.retain(|finding| finding.object != "config-copy");
    assert!(findings.is_empty(), "{findings:?}");
    read_all(&repository);
    Some(repository.base())
}

/// Both places hold the same.
#[track_caller]
fn assert_same(source: &Bucket, copy: &Bucket) {
    assert_copy_sound(copy);
    let listed = |repository: &Repository| repository.snapshots().into_iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(listed(&source.open()), listed(&open_copy(copy).unwrap()));
    let (ours, theirs) = (source.process(), copy.process());
    let needed = |name: &String| ["packs/", "index/", "log/"].iter().any(|folder| name.starts_with(folder));
    for name in ours.names().iter().filter(|name| needed(name)) {
        assert!(ours.read(name) == theirs.read(name), "{name}");
    }
}

fn writes(process: &FaultyStore) -> usize {
    process.records().iter().filter(|record| matches!(record.verb, Verb::Put | Verb::Create | Verb::Delete)).count()
}

#[test]
fn a_copy_is_the_same_repository_with_a_secret_of_its_own() {
    let source = Source::new();
    let to = Bucket::empty();
    let report = copy_all(&source.bucket, &to, GRACE_SECONDS_DEFAULT);
    assert_eq!((report.log_entries_before, report.log_entries), (0, source.bucket.open().base()));
    assert_eq!(report.packs, packs(&source.bucket).len() as u64);
    assert_same(&source.bucket, &to);
    let copy = open_copy(&to).unwrap();
    assert_eq!(copy.config().repository, source.bucket.open().config().repository);
    assert!(copy.is_copy().unwrap() && !source.bucket.open().is_copy().unwrap());
    assert!(matches!(to.try_open(), Err(RepoError::WrongPassword { .. })));
}

#[test]
fn a_later_run_copies_what_is_new_and_reads_nothing_else() {
    let source = Source::new();
    let to = Bucket::empty();
    copy_all(&source.bucket, &to, GRACE_SECONDS_DEFAULT);
    let before = packs(&source.bucket);
    back_up(&source.bucket.open(), "two", &files(&[("second", 2, 1_200_000), ("third", 3, 600_000)])).unwrap();
    let new: BTreeSet<_> = packs(&source.bucket).difference(&before).copied().collect();
    let (from, into) = (source.bucket.process(), to.process());
    let report = copy(&from, &into, GRACE_SECONDS_DEFAULT).unwrap();
    assert_eq!((report.packs, report.packs_present), (new.len() as u64, before.len() as u64));
    let records = from.records();
    let read: BTreeSet<_> =
        records.iter().filter(|one| one.verb == Verb::Get).filter_map(|one| names::pack_of(&one.name)).collect();
    assert_eq!(read, new);
    assert_same(&source.bucket, &to);
    let again = copy_all(&source.bucket, &to, GRACE_SECONDS_DEFAULT);
    assert_eq!((again.packs, again.index_segments, again.log_entries_before), (0, 0, again.log_entries));
}

#[test]
fn trying_a_copy_writes_nothing_and_counts_what_there_is_to_do() {
    let source = Source::new();
    let to = Bucket::empty();
    let try_it = |to: Option<&FaultyStore>| {
        let options = CopyOptions { dry_run: true, ..options_for(0) };
        let store = to.map(FaultyStore::open);
        source.bucket.open().copy_to(store.as_ref(), &options, &Progress::new()).unwrap()
    };
    let nowhere = try_it(None);
    assert_eq!(nowhere.packs, packs(&source.bucket).len() as u64);
    let done = copy_all(&source.bucket, &to, 0);
    assert_eq!(
        (nowhere.packs, nowhere.pack_bytes, nowhere.log_entries),
        (done.packs, done.pack_bytes, done.log_entries)
    );
    source.live_on();
    let process = to.process();
    let planned = try_it(Some(&process));
    assert_eq!(writes(&process), 0);
    let done = copy_all(&source.bucket, &to, 0);
    assert_eq!(
        (planned.packs, planned.pack_bytes, planned.index_segments),
        (done.packs, done.pack_bytes, done.index_segments)
    );
    assert_eq!((planned.waiting, planned.deleted), (done.deleted, 0));
}

/// The state in the middle of this history lists a snapshot whose packs are gone: no copy may ever show it.
#[test]
fn a_first_copy_that_dies_at_any_write_is_none_or_sound_and_goes_on() {
    let source = Source::new();
    source.live_on();
    let end = source.bucket.open().base();
    let whole = Bucket::empty();
    let process = whole.process();
    copy(&source.bucket.process(), &process, 0).unwrap();
    assert_same(&source.bucket, &whole);
    let count = writes(&process);
    for n in 0..count {
        for last_is_done in [false, true] {
            let to = Bucket::empty();
            let process = to.process();
            process.die_at_write(n, last_is_done);
            let died = copy(&source.bucket.process(), &process, 0);
            assert!(process.is_dead() && died.is_err(), "write {n}");
            let seen = assert_copy_sound(&to);
            assert!(matches!(seen, None | Some(0)) || seen == Some(end), "write {n}: {seen:?}");
            copy_all(&source.bucket, &to, 0);
            assert_same(&source.bucket, &to);
        }
    }
}

#[test]
fn a_later_copy_that_dies_at_any_write_shows_the_old_state_or_the_new_one() {
    let source = Source::new();
    let start = Bucket::empty();
    let old = copy_all(&source.bucket, &start, 0).log_entries;
    source.live_on();
    let new = source.bucket.open().base();
    let whole = start.fork();
    let process = whole.process();
    let report = copy(&source.bucket.process(), &process, 0).unwrap();
    assert!(report.deleted as usize > source.gone.len(), "packs and segments: {report:?}");
    let count = writes(&process);
    let mut seen = BTreeSet::new();
    for n in 0..count {
        for last_is_done in [false, true] {
            let to = start.fork();
            let process = to.process();
            process.die_at_write(n, last_is_done);
            // A delete that is refused is no error: the next run deletes.
            let _ = copy(&source.bucket.process(), &process, 0);
            assert!(process.is_dead(), "write {n}");
            seen.extend(assert_copy_sound(&to));
            copy_all(&source.bucket, &to, 0);
            assert_same(&source.bucket, &to);
            assert!(packs(&to).is_disjoint(&source.gone), "what was let go is deleted, write {n}");
        }
    }
    assert_eq!(seen, BTreeSet::from([old, new]));
}

/// One copying dies with half of its entries behind the gap; the source collects; another begins with more entries, and dies too.
#[test]
fn a_source_that_collects_between_two_copyings_that_die_is_copied_by_the_third() {
    let start = Source::new();
    let whole = Bucket::empty();
    let process = whole.process();
    copy(&start.bucket.process(), &process, 0).unwrap();
    let count = writes(&process);
    let mut seen = BTreeSet::new();
    for n in 0..count {
        let source = start.fork();
        let to = Bucket::empty();
        let process = to.process();
        process.die_at_write(n, n % 2 == 0);
        assert!(copy(&source.bucket.process(), &process, 0).is_err());
        source.live_on();
        for m in [0, 3, 5, 7, 9] {
            let process = to.process();
            process.die_at_write(m, true);
            let _ = copy(&source.bucket.process(), &process, 0);
            seen.extend(assert_copy_sound(&to));
        }
        copy_all(&source.bucket, &to, 0);
        assert_same(&source.bucket, &to);
    }
    assert!(seen.len() >= 2, "{seen:?}");
}

#[test]
fn what_is_collected_while_it_is_copied_is_left_out_with_the_newer_state() {
    let source = Source::new();
    let to = Bucket::empty();
    let process = source.bucket.process();
    let gone = names::pack(source.gone.first().unwrap());
    let hold = process.hold(Verb::Get, &gone);
    let report = thread::scope(|scope| {
        let copying = scope.spawn(|| copy(&process, &to.process(), 0));
        hold.wait_until_reached();
        source.live_on();
        hold.release();
        copying.join().unwrap().unwrap()
    });
    assert!(report.damaged.is_empty(), "{:?}", report.damaged);
    assert_eq!(report.log_entries, source.bucket.open().base());
    assert_same(&source.bucket, &to);
    assert_eq!(open_copy(&to).unwrap().snapshots().len(), 2);
}

#[test]
fn two_copyings_at_once_make_one_copy() {
    let source = Source::new();
    let to = Bucket::empty();
    let (first, second) = (to.process(), to.process());
    // The one that began before the source went on waits with its first entry until the other is done.
    let hold = first.hold(Verb::Create, "log/");
    thread::scope(|scope| {
        let early = scope.spawn(|| copy(&source.bucket.process(), &first, 0));
        hold.wait_until_reached();
        source.live_on();
        copy(&source.bucket.process(), &second, 0).unwrap();
        assert_same(&source.bucket, &to);
        hold.release();
        early.join().unwrap().unwrap();
    });
    assert_same(&source.bucket, &to);
}

#[test]
fn what_the_source_let_go_stays_for_the_grace() {
    let source = Source::new();
    let to = Bucket::empty();
    copy_all(&source.bucket, &to, GRACE_SECONDS_DEFAULT);
    source.live_on();
    for _ in 0..2 {
        let report = copy_all(&source.bucket, &to, GRACE_SECONDS_DEFAULT);
        assert_eq!(report.deleted, 0);
        assert!(report.waiting as usize > source.gone.len());
        assert!(packs(&to).is_superset(&source.gone));
        assert_same(&source.bucket, &to);
    }
    assert!(copy_all(&source.bucket, &to, 0).deleted as usize > source.gone.len());
    assert!(packs(&to).is_disjoint(&source.gone));
    assert_same(&source.bucket, &to);
}

#[test]
fn nothing_is_appended_to_a_copy_until_it_is_taken_over_and_then_nothing_is_copied_into_it() {
    let source = Source::new();
    let to = Bucket::empty();
    copy_all(&source.bucket, &to, 0);
    let copy = open_copy(&to).unwrap();
    let refused = |error: RepoError| {
        assert!(matches!(error, RepoError::Copy(CopyError::IsCopy { .. })), "{error}");
        assert_eq!(error.kind(), ErrorKind::Denied);
    };
    refused(copy.begin().map(drop).unwrap_err());
    refused(copy.forget(&[source.first], true, false).unwrap_err());
    refused(copy.hold(&[source.first], "audit").unwrap_err());
    refused(copy.collect(&CollectOptions::default(), &Progress::new()).map(drop).unwrap_err());
    copy.take_over().unwrap();
    let own = open_copy(&to).unwrap();
    back_up(&own, "three", &files(&[("third", 3, 10)])).unwrap();
    assert_eq!(read_all(&open_copy(&to).unwrap()), 3);
    let error = self::copy(&source.bucket.process(), &to.process(), 0).unwrap_err();
    assert!(matches!(error, RepoError::Copy(CopyError::NoCopy { .. })), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Nor was the source ever one.
    let error = source.bucket.open().take_over().unwrap_err();
    assert!(matches!(error, RepoError::Copy(CopyError::NoCopy { .. })), "{error}");
}

#[test]
fn a_copy_is_healed_and_never_repaired() {
    let source = Source::new();
    let to = Bucket::empty();
    copy_all(&source.bucket, &to, 0);
    let process = to.process();
    process.lose(&names::pack(source.gone.first().unwrap()));
    let copy = open_copy(&to).unwrap();
    let findings = check_full(&copy).findings;
    assert!(findings.iter().all(|finding| finding.mend == ["backstay repo heal --from ORIGINAL"]), "{findings:?}");
    assert!(!findings.is_empty());
    let progress = Progress::new();
    for refused in [
        IndexPlan::make(&copy).map(drop),
        PacksPlan::make(&copy, Depth::Known, 1, &progress).map(drop),
        SnapshotsPlan::make(&copy, &progress).map(drop),
    ] {
        assert!(matches!(refused, Err(RepoError::Copy(CopyError::IsCopy { .. }))), "{refused:?}");
    }
}

#[test]
fn a_copy_that_was_not_finished_is_taken_over_as_it_was_before() {
    let source = Source::new();
    let start = Bucket::empty();
    let old = copy_all(&source.bucket, &start, 0).log_entries;
    source.live_on();
    let process = start.fork().process();
    copy(&source.bucket.process(), &process, 0).unwrap();
    for n in 0..writes(&process) {
        let to = start.fork();
        let process = to.process();
        process.die_at_write(n, true);
        let _ = copy(&source.bucket.process(), &process, 0);
        let before = open_copy(&to).unwrap();
        before.take_over().unwrap();
        let own = open_copy(&to).unwrap();
        assert!(own.base() == old || own.base() == source.bucket.open().base(), "write {n}: {}", own.base());
        back_up(&own, "three", &files(&[("third", 3, 10)])).unwrap();
        read_all(&open_copy(&to).unwrap());
        assert!(check_full(&own).is_clean(), "write {n}");
    }
}

#[test]
fn entries_behind_a_gap_are_kept_when_a_copy_is_taken_over() {
    let source = Source::new();
    let to = Bucket::empty();
    copy_all(&source.bucket, &to, 0);
    source.live_on();
    let end = copy_all(&source.bucket, &to, 0).log_entries;
    let entry = backstay_repo::protocol::entry_name;
    let bytes: Vec<_> = (5..=end).map(|slot| to.process().read(&entry(slot)).unwrap()).collect();
    to.process().lose(&entry(4));
    let copy = open_copy(&to).unwrap();
    assert_eq!((copy.base(), copy.entries_behind_gap().unwrap()), (3, (5..=end).collect::<Vec<_>>()));
    assert_eq!(check_full(&copy).log_entries_behind_gap, end - 4);
    let kept = copy.take_over().unwrap();
    let process = to.process();
    assert_eq!(kept.iter().map(|name| process.read(name).unwrap()).collect::<Vec<_>>(), bytes);
    assert!((4..=end).all(|slot| process.read(&entry(slot)).is_none()));
    assert_eq!(open_copy(&to).unwrap().base(), 3);
}

#[test]
fn an_entry_that_a_listing_lacks_is_no_gap() {
    let source = Source::new();
    let to = Bucket::empty();
    copy_all(&source.bucket, &to, 0);
    let process = to.process();
    let copy = Repository::open(process.open(), &other_secret(), options()).unwrap();
    source.live_on();
    let end = copy_all(&source.bucket, &to, 0).log_entries;
    // Listings lack an entry, and the first request for it finds nothing.
    let lacking = backstay_repo::protocol::entry_name(copy.base() + 1);
    let entry = process.read(&lacking).unwrap();
    process.lose(&lacking);
    let hold = process.hold(Verb::Get, &lacking);
    process.inject(Verb::Get, &lacking, Fault::Missing);
    thread::scope(|scope| {
        let taking_over = scope.spawn(|| copy.take_over().unwrap());
        hold.wait_until_reached();
        process.write(&lacking, entry);
        hold.release();
        assert_eq!(taking_over.join().unwrap(), [""; 0]);
    });
    assert_eq!(open_copy(&to).unwrap().base(), end);
}

#[test]
fn a_copy_with_a_history_of_its_own_is_refused_naming_the_first_entry_that_differs() {
    let source = Source::new();
    let to = Bucket::empty();
    let end = copy_all(&source.bucket, &to, 0).log_entries;
    let mark = to.process().read("copy").unwrap();
    open_copy(&to).unwrap().take_over().unwrap();
    for _ in 0..2 {
        back_up(&open_copy(&to).unwrap(), "three", &files(&[("third", 3, 10)])).unwrap();
    }
    to.process().write("copy", mark);
    for _ in 0..3 {
        let before = to.process().names();
        match copy(&source.bucket.process(), &to.process(), 0).unwrap_err() {
            RepoError::Copy(error @ CopyError::Diverged { slot, .. }) => {
                assert_eq!(slot, end + 1, "{error}");
            }
            error => panic!("{}", chain(&error)),
        }
        assert_eq!(to.process().names(), before, "nothing was copied");
        // The source, shorter at first, becomes as long and then longer.
        back_up(&source.bucket.open(), "one", &files(&[("first", 1, 10)])).unwrap();
    }
    let other = Bucket::new();
    back_up(&other.open(), "one", &files(&[("first", 1, 10)])).unwrap();
    let error = copy(&source.bucket.process(), &other.process(), 0).unwrap_err();
    assert!(matches!(error, RepoError::Copy(CopyError::OtherRepository { .. })), "{error}");
    assert_eq!(assert_sound(&other), 1);
}

#[test]
fn a_damaged_entry_at_the_copy_is_damage_and_no_other_history() {
    let source = Source::new();
    let to = Bucket::empty();
    let end = copy_all(&source.bucket, &to, 0).log_entries;
    to.process().flip_bit(&backstay_repo::protocol::entry_name(end), 1000);
    let error = copy(&source.bucket.process(), &to.process(), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_segment_that_is_damaged_at_the_source_leaves_the_copy_as_it_was_and_a_passing_fault_is_none() {
    let source = Source::new();
    let to = Bucket::empty();
    let old = copy_all(&source.bucket, &to, 0).log_entries;
    let process = source.bucket.process();
    let known: BTreeSet<_> = process.names().into_iter().collect();
    back_up(&source.bucket.open(), "two", &files(&[("third", 3, 300_000)])).unwrap();
    let segment = process.names().into_iter().find(|name| name.starts_with("index/") && !known.contains(name)).unwrap();
    process.flip_bit(&segment, 1000);
    let error = copy(&source.bucket.process(), &to.process(), 0).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && chain(&error).contains(&segment), "{}", chain(&error));
    assert_eq!(assert_copy_sound(&to), Some(old));
    process.flip_bit(&segment, 1000);
    // The first read of it goes wrong, and the first one after the packs are copied.
    let (from, into) = (source.bucket.process(), to.process());
    let hold = into.hold(Verb::Create, names::PACKS);
    from.inject(Verb::Get, &segment, Fault::FlipBit(1000));
    thread::scope(|scope| {
        let copying = scope.spawn(|| copy(&from, &into, 0));
        hold.wait_until_reached();
        from.inject(Verb::Get, &segment, Fault::FlipBit(1000));
        hold.release();
        copying.join().unwrap().unwrap();
    });
    assert_same(&source.bucket, &to);
}

#[test]
fn a_pack_that_is_damaged_at_the_source_is_named_and_everything_else_is_copied() {
    let source = Source::new();
    let to = Bucket::empty();
    let damaged = names::pack(source.gone.first().unwrap());
    source.bucket.process().flip_bit(&damaged, 1000);
    let report = copy_all(&source.bucket, &to, 0);
    assert_eq!(report.damaged.iter().map(|one| &one.object).collect::<Vec<_>>(), [&damaged]);
    assert_eq!(report.log_entries, source.bucket.open().base());
    let findings = check_full(&open_copy(&to).unwrap()).findings;
    assert!(findings.iter().all(|finding| finding.snapshots == [source.first]), "{findings:?}");
    // It comes with the next copying when it is whole again.
    source.bucket.process().flip_bit(&damaged, 1000);
    assert_eq!(copy_all(&source.bucket, &to, 0).packs, 1);
    assert_same(&source.bucket, &to);
}
