//! The local index: right after any history, whatever happened to its file.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backstay_format::ids::{ChunkId, PackId, RepositoryId, SegmentId};
use backstay_format::log::{Change, Extra, SegmentRecord};
use backstay_format::pack::PackKind;
use backstay_format::segment::{Segment, SegmentEntry, SegmentPack};
use backstay_repo::index::{Cache, LocalIndex, Location, SegmentSource};
use backstay_repo::protocol::State;
use backstay_repo::{RepoError, Result};
use proptest::prelude::*;

const REPOSITORY: RepositoryId = RepositoryId::new([7; 16]);
const KEY: [u8; 16] = [9; 16];

/// A repository as the index sees it: a log, and segments in a store.
#[derive(Default, Clone)]
struct World {
    state: State,
    stored: BTreeMap<SegmentId, Segment>,
    fetches: Cell<u64>,
}

impl SegmentSource for World {
    fn fetch(&self, id: &SegmentId) -> Result<Segment> {
        self.fetches.set(self.fetches.get() + 1);
        self.stored.get(id).cloned().ok_or_else(|| RepoError::Invalid(format!("segment {id} is not stored")))
    }
}

impl World {
    fn append(&mut self, change: Change) {
        self.state.apply(self.state.next_slot(), &change).unwrap();
    }

    fn add(&mut self, segment: Segment) -> SegmentId {
        let (id, record) = self.store(segment);
        self.append(Change { segments_added: vec![record], ..Change::default() });
        id
    }

    /// Stores a segment that no log entry names yet.
    fn store(&mut self, mut segment: Segment) -> (SegmentId, SegmentRecord) {
        segment.entries.sort_unstable();
        let id = SegmentId::new(bytes(1000 + self.stored.len() as u64));
        let record =
            SegmentRecord { id, base: segment.base, entries: segment.entries.len() as u64, extra: Extra::new() };
        self.stored.insert(id, segment);
        (id, record)
    }

    fn retire(&mut self, packs: &[u64]) {
        self.append(Change { packs_retired: packs.iter().map(|n| pack_id(*n)).collect(), ..Change::default() });
    }

    fn remove(&mut self, segment: SegmentId) {
        self.append(Change { segments_removed: vec![segment], ..Change::default() });
    }

    /// The naive answer: every place in the order of preference.
    fn copies(&self, id: &ChunkId) -> Vec<Location> {
        let mut copies = BTreeSet::new();
        for record in self.state.segments().values() {
            let segment = &self.stored[&record.id];
            for entry in segment.entries.iter().filter(|entry| entry.id == *id) {
                let pack = segment.packs[entry.pack as usize];
                if self.state.is_pack_valid_in(record.base, &pack.id) {
                    let location = Location {
                        pack: pack.id,
                        kind: pack.kind,
                        pack_bytes: pack.size_bytes,
                        offset: entry.offset,
                        stored_len: entry.stored_len,
                        raw_len: entry.raw_len,
                    };
                    copies.insert((self.state.condemned().contains_key(&pack.id), location));
                }
            }
        }
        copies.into_iter().map(|(_, location)| location).collect()
    }

    fn dedupable(&self, id: &ChunkId) -> Option<PackId> {
        let copies = self.copies(id).into_iter().map(|location| location.pack);
        copies.filter(|pack| !self.state.condemned().contains_key(pack)).min()
    }

    fn ids(&self) -> BTreeSet<ChunkId> {
        self.stored.values().flat_map(|segment| segment.entries.iter().map(|entry| entry.id)).collect()
    }

    /// Every answer of the index is the naive one.
    fn assert_same(&self, index: &LocalIndex) {
        let ids: Vec<_> = self.ids().into_iter().chain([chunk_id(u64::MAX)]).collect();
        let expected: Vec<_> = ids.iter().map(|id| self.copies(id)).collect();
        for (id, copies) in ids.iter().zip(&expected) {
            assert_eq!(index.copies(id).unwrap(), *copies, "{id}");
            assert_eq!(index.lookup(id).unwrap(), copies.first().copied(), "{id}");
            assert_eq!(index.contains_dedupable(id, |_| false).unwrap(), self.dedupable(id), "{id}");
        }
        let firsts: Vec<_> = expected.iter().map(|copies| copies.first().copied()).collect();
        assert_eq!(index.lookup_many(&ids).unwrap(), firsts);
        let mut walked = Vec::new();
        index
            .for_each_chunk(&mut |id, location| {
                walked.push((id, location));
                Ok(())
            })
            .unwrap();
        assert!(walked.is_sorted_by_key(|(id, _)| *id));
        walked.sort_unstable();
        walked.dedup();
        let mut all: Vec<_> =
            ids.iter().zip(&expected).flat_map(|(id, copies)| copies.iter().map(|copy| (*id, *copy))).collect();
        all.sort_unstable();
        assert_eq!(walked, all);
        assert_eq!(index.chunk_count().unwrap(), firsts.iter().flatten().count() as u64);
        let live: BTreeSet<_> = self
            .state
            .segments()
            .values()
            .flat_map(|record| self.stored[&record.id].packs.iter().map(|pack| (record.base, pack.id)))
            .filter(|(base, pack)| self.state.is_pack_valid_in(*base, pack))
            .map(|(_, pack)| pack)
            .collect();
        let packs = index.packs().unwrap();
        assert_eq!(packs.iter().filter(|pack| pack.live).map(|pack| pack.id).collect::<BTreeSet<_>>(), live);
        assert_eq!(index.statistics().unwrap().packs, live.len() as u64);
    }
}

fn bytes(n: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn chunk_id(n: u64) -> ChunkId {
    ChunkId::new(bytes(n))
}

fn pack_id(n: u64) -> PackId {
    PackId::new(bytes(n))
}

/// A segment naming packs, each with these records.
fn segment(base: u64, packs: &[(u64, &[u64])]) -> Segment {
    let mut segment = Segment::new(base);
    for (pack, records) in packs {
        let position = segment.packs.len() as u32;
        let kind = if pack % 2 == 0 { PackKind::Data } else { PackKind::Tree };
        segment.packs.push(SegmentPack { id: pack_id(*pack), kind, size_bytes: 1 << 25 });
        for (n, record) in records.iter().enumerate() {
            segment.entries.push(SegmentEntry {
                id: chunk_id(*record),
                pack: position,
                offset: 64 + 200 * n as u32,
                stored_len: 100 + *record as u32 % 50,
                raw_len: 1000 + *record as u32 % 500,
            });
        }
    }
    segment.entries.sort_unstable();
    segment
}

fn numbers(from: u64, count: u64) -> Vec<u64> {
    (from..from + count).collect()
}

fn open(folder: &Path) -> LocalIndex {
    LocalIndex::open(&Cache::Folder(folder.to_owned()), REPOSITORY, KEY).unwrap()
}

fn file(folder: &Path) -> PathBuf {
    folder.join(REPOSITORY.to_string()).join("index-2.sqlite")
}

/// A world of two segments and an index of it that was closed again.
fn closed(folder: &Path, records: u64) -> World {
    let mut world = World::default();
    world.add(segment(0, &[(1, &numbers(0, records)), (2, &numbers(records, records))]));
    world.add(segment(1, &[(3, &numbers(records / 2, records))]));
    open(folder).refresh(&world.state, &world).unwrap();
    world
}

/// Opens, refreshes, and expects everything to be right, with so many segments fetched.
fn assert_recovers(folder: &Path, world: &World, fetches: u64) {
    let before = world.fetches.get();
    let index = open(folder);
    index.refresh(&world.state, world).unwrap();
    world.assert_same(&index);
    assert_eq!(world.fetches.get() - before, fetches);
    drop(index);
    // What was mended stays mended.
    open(folder).refresh(&world.state, world).unwrap();
    assert_eq!(world.fetches.get() - before, fetches);
}

#[derive(Debug, Clone)]
enum Step {
    Add { packs: Vec<(u64, Vec<u64>)>, lag: u64 },
    AddAgain { segment: usize, records_left: usize },
    Retire(u64),
    Condemn(u64),
    Reprieve(u64),
    Merge(usize, usize),
    Remove(usize),
    InsertAhead { packs: Vec<(u64, Vec<u64>)> },
    Refresh,
    RefreshOld,
    Reopen,
    Rebuild,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let packs = || prop::collection::vec((0u64..12, prop::collection::vec(0u64..24, 0..6)), 1..4);
    let step = prop_oneof![
        4 => (packs(), 0u64..3).prop_map(|(packs, lag)| Step::Add { packs, lag }),
        1 => (0usize..8, 0usize..4).prop_map(|(segment, records_left)| Step::AddAgain { segment, records_left }),
        2 => (0u64..12).prop_map(Step::Retire),
        2 => (0u64..12).prop_map(Step::Condemn),
        1 => (0u64..12).prop_map(Step::Reprieve),
        1 => (0usize..8, 0usize..8).prop_map(|(a, b)| Step::Merge(a, b)),
        2 => (0usize..8).prop_map(Step::Remove),
        1 => packs().prop_map(|packs| Step::InsertAhead { packs }),
        4 => Just(Step::Refresh),
        1 => Just(Step::RefreshOld),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rebuild),
    ];
    prop::collection::vec(step, 1..30)
}

fn build(base: u64, packs: &[(u64, Vec<u64>)]) -> Segment {
    let mut unique: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (pack, records) in packs {
        let records: BTreeSet<u64> = records.iter().copied().collect();
        unique.insert(*pack, records.into_iter().collect());
    }
    let packs: Vec<(u64, &[u64])> = unique.iter().map(|(pack, records)| (*pack, &records[..])).collect();
    segment(base, &packs)
}

fn run_step(step: &Step, world: &mut World, index: &LocalIndex) {
    let valid: Vec<SegmentId> = world.state.segments().keys().copied().collect();
    let pick = |n: usize| valid.get(n % valid.len().max(1)).copied();
    match step {
        Step::Add { packs, lag } => {
            let base = world.state.slot().saturating_sub(*lag);
            world.add(build(base, packs));
        }
        Step::AddAgain { segment, records_left } => {
            // After a repair: the same packs, of which fewer records are left.
            if let Some(id) = pick(*segment) {
                let mut again = world.stored[&id].clone();
                again.base = world.state.slot();
                again.entries.truncate(*records_left);
                world.add(again);
            }
        }
        Step::Retire(pack) => world.retire(&[*pack]),
        Step::Condemn(pack) => world.append(Change { packs_condemned: vec![pack_id(*pack)], ..Change::default() }),
        Step::Reprieve(pack) => world.append(Change { packs_reprieved: vec![pack_id(*pack)], ..Change::default() }),
        Step::Merge(a, b) => {
            let (Some(a), Some(b)) = (pick(*a), pick(*b)) else { return };
            let mut merged = Segment::new(world.state.slot());
            for id in BTreeSet::from([a, b]) {
                let old = world.stored[&id].clone();
                for (n, pack) in old.packs.iter().enumerate() {
                    let is_new = !merged.packs.iter().any(|known| known.id == pack.id);
                    if is_new && world.state.is_pack_valid_in(old.base, &pack.id) {
                        let position = merged.packs.len() as u32;
                        merged.packs.push(*pack);
                        let own = old.entries.iter().filter(|entry| entry.pack as usize == n);
                        merged.entries.extend(own.map(|entry| SegmentEntry { pack: position, ..*entry }));
                    }
                }
            }
            let (_, record) = world.store(merged);
            let removed = BTreeSet::from([a, b]).into_iter().collect();
            world.append(Change { segments_added: vec![record], segments_removed: removed, ..Change::default() });
        }
        Step::Remove(segment) => {
            if let Some(id) = pick(*segment) {
                world.remove(id);
            }
        }
        Step::InsertAhead { packs } => {
            let (id, record) = world.store(build(world.state.slot(), packs));
            index.insert_segment(id, &world.stored[&id]).unwrap();
            // What was inserted counts for nothing until the log names it.
            index.refresh(&world.state, world).unwrap();
            world.assert_same(index);
            world.append(Change { segments_added: vec![record], ..Change::default() });
        }
        Step::Refresh | Step::RefreshOld | Step::Reopen | Step::Rebuild => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_a_naive_fold_of_the_log(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let (mut world, mut old) = (World::default(), World::default());
        let mut index = open(folder.path());
        let behind = open(folder.path());
        let private = LocalIndex::open(&Cache::None, REPOSITORY, KEY).unwrap();
        for step in &steps {
            run_step(step, &mut world, &index);
            match step {
                Step::Refresh => {
                    index.refresh(&world.state, &world).unwrap();
                    world.assert_same(&index);
                }
                Step::RefreshOld => {
                    // Another process that has read less of the log shares the file, and both are right.
                    old.stored.clone_from(&world.stored);
                    behind.refresh(&old.state, &old).unwrap();
                    old.assert_same(&behind);
                    old.state = world.state.clone();
                }
                Step::Reopen => index = open(folder.path()),
                Step::Rebuild => index.discard(),
                _ => {}
            }
        }
        index.refresh(&world.state, &world).unwrap();
        world.assert_same(&index);
        private.refresh(&world.state, &world).unwrap();
        world.assert_same(&private);
    }
}

#[test]
fn an_index_that_is_up_to_date_fetches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = closed(folder.path(), 50);
    assert_eq!(world.fetches.get(), 2);
    assert_recovers(folder.path(), &world, 0);
}

#[test]
fn files_of_no_use_are_noticed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let world = closed(folder.path(), 5000);
    let whole = std::fs::read(&path).unwrap();
    let other = {
        let folder = tempfile::tempdir().unwrap();
        LocalIndex::open(&Cache::Folder(folder.path().to_owned()), RepositoryId::new([8; 16]), KEY).unwrap();
        std::fs::read(folder.path().join(RepositoryId::new([8; 16]).to_string()).join("index-2.sqlite")).unwrap()
    };
    let other_wal_is_ignored = b"not a log of changes".to_vec();
    for (what, contents) in [
        ("rubbish", b"rubbish".repeat(10_000)),
        ("nothing", Vec::new()),
        ("only zeros", vec![0; 100_000]),
        ("a header and rubbish", [&whole[..4096], &vec![0xa5; 200_000]].concat()),
        ("another repository's, or an empty one", other),
    ] {
        std::fs::write(&path, contents).unwrap();
        std::fs::write(path.with_extension("sqlite-wal"), &other_wal_is_ignored).unwrap();
        assert!(world.fetches.get() > 0, "{what}");
        assert_recovers(folder.path(), &world, 2);
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_recovers(folder.path(), &world, 2);
}

#[test]
fn another_key_schema_or_an_unfinished_file_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let world = closed(folder.path(), 50);
    let index = LocalIndex::open(&Cache::Folder(folder.path().to_owned()), REPOSITORY, [1; 16]).unwrap();
    index.refresh(&world.state, &world).unwrap();
    world.assert_same(&index);
    assert_eq!(world.fetches.get(), 4);
    drop(index);
    assert_recovers(folder.path(), &world, 2);
    for version in [0, 1, 3] {
        let connection = rusqlite::Connection::open(file(folder.path())).unwrap();
        connection.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
        drop(connection);
        assert_recovers(folder.path(), &world, 2);
    }
}

/// Whatever bytes are damaged: an answer is right, or missing, or an error that says that the index is damaged.
#[test]
fn damaged_bytes_never_give_a_wrong_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let world = closed(folder.path(), 400);
    rusqlite::Connection::open(&path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let ids: Vec<_> = world.ids().into_iter().collect();
    let (mut seen, mut damages) = (0u32, 0u32);
    // All over the file, each time other bits, and a few bytes after them or none.
    for position in (0..whole.len()).step_by(whole.len() / 250) {
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (position % 8);
        for byte in damaged.iter_mut().skip(position + 1).take(position % 13) {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, &damaged).unwrap();
        for companion in ["sqlite-wal", "sqlite-shm"] {
            let _ = std::fs::remove_file(path.with_extension(companion));
        }
        let index = open(folder.path());
        index.refresh(&world.state, &world).unwrap();
        let mut is_damaged = false;
        for id in &ids {
            match index.copies(id) {
                Ok(copies) => {
                    let expected = world.copies(id);
                    assert!(copies.iter().all(|copy| expected.contains(copy)), "byte {position}: {copies:?}");
                    is_damaged |= copies != expected;
                }
                Err(error) => {
                    assert!(error.is_damage(), "byte {position}: {error}");
                    is_damaged = true;
                }
            }
            let dedupable = index.contains_dedupable(id, |_| false).unwrap_or_default();
            assert!(dedupable.is_none_or(|pack| world.copies(id).iter().any(|copy| copy.pack == pack)));
        }
        seen += 1;
        damages += u32::from(is_damaged);
        // What a reader does after a miss or an error.
        index.discard();
        index.refresh(&world.state, &world).unwrap();
        for id in &ids {
            assert_eq!(index.copies(id).unwrap(), world.copies(id));
        }
    }
    assert!(seen >= 250 && damages > 50, "{damages} of {seen} were seen in answers");
}

#[test]
fn a_damaged_row_is_mended_by_the_next_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let world = closed(folder.path(), 50);
    let connection = rusqlite::Connection::open(file(folder.path())).unwrap();
    connection.execute("UPDATE chunks SET pack = 3 - pack", []).unwrap();
    drop(connection);
    let index = open(folder.path());
    index.refresh(&world.state, &world).unwrap();
    let id = chunk_id(3);
    assert!(index.lookup(&id).unwrap_err().is_damage());
    assert!(index.contains_dedupable(&id, |_| false).unwrap_err().is_damage());
    assert!(index.refresh(&world.state, &world).unwrap().rebuilt);
    world.assert_same(&index);
}

#[test]
fn a_cache_folder_that_cannot_be_used_gives_way_to_a_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("a file");
    std::fs::write(&blocked, b"here").unwrap();
    let mut world = World::default();
    world.add(segment(0, &[(1, &[1, 2, 3])]));
    let index = open(&blocked);
    index.refresh(&world.state, &world).unwrap();
    world.assert_same(&index);
    index.discard();
    index.refresh(&world.state, &world).unwrap();
    world.assert_same(&index);
    assert_eq!(std::fs::read(&blocked).unwrap(), b"here");
}

#[test]
fn only_the_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = closed(folder.path(), 50);
    let home = file(folder.path()).parent().unwrap().to_owned();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let assert_modes = || {
        assert_eq!(mode(&home), 0o700);
        let names: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(names.len() >= 2);
        for name in names {
            assert_eq!(mode(&name), 0o600, "{}", name.display());
        }
    };
    assert_modes();
    // Opened wide by somebody, and closed again.
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(file(folder.path()), PermissionsExt::from_mode(0o644)).unwrap();
    for companion in ["sqlite-wal", "sqlite-shm"] {
        let _ = std::fs::remove_file(file(folder.path()).with_extension(companion));
    }
    world.add(segment(2, &[(4, &[1])]));
    let index = open(folder.path());
    index.refresh(&world.state, &world).unwrap();
    world.assert_same(&index);
    assert_modes();
}

#[test]
fn an_index_deleted_while_in_use_goes_on_and_harms_no_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = closed(folder.path(), 50);
    let first = open(folder.path());
    first.refresh(&world.state, &world).unwrap();
    std::fs::remove_dir_all(folder.path().join(REPOSITORY.to_string())).unwrap();
    world.assert_same(&first);
    world.add(segment(2, &[(5, &[1, 2])]));
    first.refresh(&world.state, &world).unwrap();
    world.assert_same(&first);
    let second = open(folder.path());
    second.refresh(&world.state, &world).unwrap();
    world.retire(&[1]);
    second.refresh(&world.state, &world).unwrap();
    // Closing or rebuilding the first must not touch the second's file.
    first.discard();
    first.refresh(&world.state, &world).unwrap();
    world.assert_same(&first);
    drop(first);
    world.assert_same(&second);
    drop(second);
    assert_recovers(folder.path(), &world, 0);
}

/// Set for the processes that the test below starts: itself again.
const SHARED_FOLDER: &str = "BACKSTAY_TEST_INDEX_FOLDER";

#[test]
fn processes_and_threads_that_begin_at_once_share_one_file() {
    let mut world = World::default();
    for n in 0..20 {
        world.add(segment(n, &[(n, &numbers(n * 100, 150))]));
    }
    let refresh_in_threads = |folder: &Path| {
        let barrier = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (world, barrier) = (world.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let index = open(folder);
                    index.refresh(&world.state, &world).unwrap();
                    world.assert_same(&index);
                });
            }
        });
    };
    if let Some(folder) = std::env::var_os(SHARED_FOLDER) {
        return refresh_in_threads(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "index::processes_and_threads_that_begin_at_once_share_one_file";
    let start = |_| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name]).env(SHARED_FOLDER, folder.path()).stdout(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_recovers(folder.path(), &world, 0);
}

#[test]
fn a_rebuild_does_not_disturb_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = closed(folder.path(), 50);
    let (first, second) = (open(folder.path()), open(folder.path()));
    second.refresh(&world.state, &world).unwrap();
    first.discard();
    first.refresh(&world.state, &world).unwrap();
    world.add(segment(2, &[(6, &[7, 8])]));
    for index in [&first, &second] {
        index.refresh(&world.state, &world).unwrap();
        world.assert_same(index);
    }
    drop((first, second));
    assert_recovers(folder.path(), &world, 0);
}

#[test]
fn a_fresh_index_of_many_records_is_loaded_at_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::default();
    for n in 0..3 {
        world.add(segment(n, &[(2 * n, &numbers(n * 40_000, 40_000)), (2 * n + 1, &numbers(n * 40_000, 2000))]));
    }
    let index = open(folder.path());
    let report = index.refresh(&world.state, &world).unwrap();
    assert_eq!((report.segments_loaded, report.rebuilt), (3, false));
    assert_eq!(index.chunk_count().unwrap(), 120_000);
    assert_eq!(index.statistics().unwrap().records, 126_000);
    for n in [0, 1999, 2000, 39_999, 40_000, 119_999] {
        assert_eq!(index.copies(&chunk_id(n)).unwrap(), world.copies(&chunk_id(n)));
    }
    drop(index);
    let reopened = open(folder.path());
    assert_eq!(reopened.refresh(&world.state, &world).unwrap().segments_loaded, 0);
    assert_eq!(reopened.chunk_count().unwrap(), 120_000);
    let private = LocalIndex::open(&Cache::None, REPOSITORY, KEY).unwrap();
    private.refresh(&world.state, &world).unwrap();
    assert_eq!(private.chunk_count().unwrap(), 120_000);
}

#[test]
fn rows_of_packs_that_no_segment_names_make_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::default();
    let index = open(folder.path());
    let mut sizes = Vec::new();
    for n in 0..4 {
        let old = world.state.segments().keys().next().copied();
        world.add(segment(world.state.slot(), &[(n, &numbers(n * 60_000, 60_000))]));
        if let Some(old) = old {
            world.remove(old);
        }
        index.refresh(&world.state, &world).unwrap();
        sizes.push(std::fs::metadata(file(folder.path())).unwrap().len());
    }
    assert_eq!(index.chunk_count().unwrap(), 60_000);
    assert!(sizes[3] <= sizes[1] * 11 / 10, "the file does not grow with the number of versions: {sizes:?}");
}

#[test]
fn an_error_of_the_store_is_told_and_leaves_the_index_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = closed(folder.path(), 50);
    let index = open(folder.path());
    index.refresh(&world.state, &world).unwrap();
    let before = world.clone();
    let id = world.add(segment(2, &[(9, &[1, 999])]));
    let stored = world.stored.remove(&id).unwrap();
    assert!(matches!(index.refresh(&world.state, &world), Err(RepoError::Invalid(_))));
    before.assert_same(&index);
    world.stored.insert(id, stored);
    index.refresh(&world.state, &world).unwrap();
    world.assert_same(&index);
}

#[test]
fn log_entries_are_remembered_until_they_are_cleared() {
    let one = |index: &LocalIndex, slot| index.log_cache_after(slot - 1, 1).pop().map(|(_, stored)| stored);
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    for slot in 1..=600 {
        index.log_cache_put(slot, &slot.to_le_bytes());
    }
    assert_eq!(one(&index, 600).as_deref(), Some(&600u64.to_le_bytes()[..]));
    drop(index);
    let index = open(folder.path());
    for slot in 1..=600u64 {
        assert_eq!(one(&index, slot).as_deref(), Some(&slot.to_le_bytes()[..]));
    }
    assert_eq!(one(&index, 601), None);
    index.log_cache_clear();
    assert_eq!(one(&index, 1), None);
    drop(index);
    assert_eq!(one(&open(folder.path()), 1), None);
}
