//! Time and memory of the local index at any number of chunks: `cargo run --release -p backstay-repo --example index_scale 2000000`.
//!
//! Segments are made up when they are fetched, so that what is measured is the index and one segment.

#![expect(clippy::print_stdout, reason = "a table for people")]

use std::time::{Duration, Instant};

use backstay_format::ids::{ChunkId, PackId, RepositoryId, SegmentId};
use backstay_format::log::{Change, Extra, SegmentRecord};
use backstay_format::pack::PackKind;
use backstay_format::segment::{SEGMENT_ENTRIES_MAX, Segment, SegmentEntry, SegmentPack};
use backstay_repo::Result;
use backstay_repo::index::{Cache, LocalIndex, SegmentSource};
use backstay_repo::protocol::State;

const REPOSITORY: RepositoryId = RepositoryId::new([1; 16]);
const RECORDS_PER_PACK: u64 = 32;
const SEGMENT_RECORDS: u64 = SEGMENT_ENTRIES_MAX as u64 / 2;
const LOOKUPS: u64 = 200_000;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(2_000_000), |count| count.parse())?;
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let cache = Cache::Folder(folder.path().to_owned());
    let open = || LocalIndex::open(&cache, REPOSITORY, [2; 16]);

    let tiny = Made { start: 0, end: 100 };
    let started = Instant::now();
    open()?.refresh(&tiny.state(), &tiny)?;
    report("no index, 100 chunks: open and load", started.elapsed());
    std::fs::remove_dir_all(folder.path().join(REPOSITORY.to_string()))?;

    let made = Made { start: 0, end: count };
    let mut state = made.state();
    let idle = peak_bytes();
    let started = Instant::now();
    let index = open()?;
    index.refresh(&state, &made)?;
    report(&format!("no index, {count} chunks: open and load"), started.elapsed());
    println!("  peak memory {} MiB, {} MiB before", peak_bytes() >> 20, idle >> 20);
    drop(index);
    let file = folder.path().join(REPOSITORY.to_string()).join("index-2.sqlite");
    let size = std::fs::metadata(file)?.len();
    println!("  file {} MiB, {:.1} bytes a chunk", size >> 20, size as f64 / count as f64);

    let started = Instant::now();
    let index = open()?;
    report("open again", started.elapsed());
    let started = Instant::now();
    index.refresh(&state, &made)?;
    report("refresh with nothing new", started.elapsed());
    let started = Instant::now();
    index.statistics()?;
    report("statistics", started.elapsed());

    let ids: Vec<ChunkId> = (0..LOOKUPS).map(|n| chunk_id(n * 7919 % count)).collect();
    for round in ["first", "second"] {
        let started = Instant::now();
        let found = ids.iter().try_fold(0, |found, id| {
            Ok::<_, Box<dyn std::error::Error>>(found + u64::from(index.lookup(id)?.is_some()))
        })?;
        each(&format!("lookup of a random chunk, {round} round"), started.elapsed());
        assert_eq!(found, LOOKUPS);
    }
    let started = Instant::now();
    for n in 0..LOOKUPS {
        assert_eq!(index.contains_dedupable(&chunk_id(u64::MAX - n), |_| false)?, None);
    }
    each("lookup of an unknown chunk", started.elapsed());
    let started = Instant::now();
    assert!(index.lookup_many(&ids)?.iter().all(Option::is_some));
    each("lookup_many, unsorted", started.elapsed());
    let started = Instant::now();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert!(index.lookup_many(&sorted)?.iter().all(Option::is_some));
    each("lookup_many, sorted", started.elapsed());
    let started = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = ids
            .chunks(ids.len() / 2)
            .map(|ids| scope.spawn(|| ids.iter().all(|id| index.lookup(id).is_ok_and(|found| found.is_some()))))
            .collect();
        workers.into_iter().all(|worker| worker.join().is_ok_and(|found| found))
    });
    each("lookup by two threads", started.elapsed());

    let more = Made { start: count, end: count + 3000 };
    let change = Change { segments_added: more.records(), ..Change::default() };
    state.apply(state.next_slot(), &change)?;
    let started = Instant::now();
    index.refresh(&state, &more)?;
    report("3000 chunks more", started.elapsed());
    let started = Instant::now();
    assert_eq!(index.chunk_count()?, count + 3000);
    report("walk over everything", started.elapsed());
    println!("  peak memory {} MiB", peak_bytes() >> 20);
    Ok(())
}

/// Chunks with these numbers, in as few segments as a writer makes.
struct Made {
    start: u64,
    end: u64,
}

impl Made {
    fn records(&self) -> Vec<SegmentRecord> {
        let starts = (self.start..self.end).step_by(SEGMENT_RECORDS as usize);
        starts
            .map(|start| SegmentRecord {
                id: SegmentId::new(bytes(start)),
                base: 0,
                entries: SEGMENT_RECORDS.min(self.end - start),
                extra: Extra::new(),
            })
            .collect()
    }

    fn state(&self) -> State {
        let mut state = State::default();
        let change = Change { segments_added: self.records(), ..Change::default() };
        state.apply(1, &change).expect("a first entry that only adds segments can be folded");
        state
    }
}

impl SegmentSource for Made {
    fn fetch(&self, id: &SegmentId) -> Result<Segment> {
        let start = u64::from_be_bytes(id.as_bytes()[24..].try_into().expect("eight bytes"));
        let mut segment = Segment::new(0);
        for n in start..self.end.min(start + SEGMENT_RECORDS) {
            let place = (n - start) % RECORDS_PER_PACK;
            if place == 0 {
                let id = PackId::new(bytes(n));
                segment.packs.push(SegmentPack { id, kind: PackKind::Data, size_bytes: 32 << 20 });
            }
            segment.entries.push(SegmentEntry {
                id: chunk_id(n),
                pack: segment.packs.len() as u32 - 1,
                offset: (place << 20) as u32,
                stored_len: 600_000 + (n % 400_000) as u32,
                raw_len: 1_000_000 + (n % 70_000) as u32,
            });
        }
        segment.entries.sort_unstable();
        Ok(segment)
    }
}

/// As evenly spread as a hash, with the number readable at the end.
fn bytes(n: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (round, word) in bytes.chunks_exact_mut(8).enumerate() {
        let mut mixed = n.wrapping_add(round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word.copy_from_slice(&(mixed ^ (mixed >> 29)).to_be_bytes());
    }
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn chunk_id(n: u64) -> ChunkId {
    ChunkId::new(bytes(n))
}

fn report(what: &str, time: Duration) {
    println!("{what}: {:.2} ms", time.as_secs_f64() * 1e3);
}

fn each(what: &str, time: Duration) {
    println!("{what}: {:.2} us each", time.as_secs_f64() * 1e6 / LOOKUPS as f64);
}

/// The most memory that this process had at once.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap_or_default() << 10
}
