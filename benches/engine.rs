//! Microbenchmarks of what a backup spends its time on: cutting and hashing, sealing, the local index, the tree.
//!
//! `cargo bench -p backstay-cli --bench engine`. The figures of whole runs are `cargo xtask bench files`.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where its preparation fails")]

use std::hint::black_box;

use backstay_format::chunker::{Chunker, Chunking};
use backstay_format::compress::{DEFAULT_LEVEL, Hint};
use backstay_format::crypto::{Keys, MasterKey, RecordKind};
use backstay_format::ids::{ChunkId, PackId, RepositoryId, SegmentId};
use backstay_format::log::{Change, Extra, SegmentRecord};
use backstay_format::pack::PackKind;
use backstay_format::record::Sealer;
use backstay_format::segment::{Segment, SegmentEntry, SegmentPack};
use backstay_format::tree::{Content, Item, ItemKind, Node, Time, TreeBuilder, TreeShape};
use backstay_repo::index::{Cache, LocalIndex, SegmentSource};
use backstay_repo::protocol::State;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn keys() -> Keys {
    Keys::derive(&MasterKey::from_bytes([1; 32]), RepositoryId::new([2; 16]))
}

/// Bytes that look random; one word in four repeats, so that compression has something to find.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = if state & (3 << 40) == 0 { 0x2020_2020_2020_2020 } else { state };
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn chunk_and_hash(criterion: &mut Criterion) {
    let (keys, data) = (keys(), bytes(64 << 20));
    let chunker = Chunker::new(Chunking::DEFAULT, &keys).unwrap();
    let mut group = criterion.benchmark_group("bytes");
    group.sample_size(10).throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("cut and name 64 MiB", |bencher| {
        bencher.iter(|| {
            let mut rest = &data[..];
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at(chunker.cut(rest));
                black_box(keys.name(RecordKind::Data, chunk));
                rest = tail;
            }
        });
    });
    group.finish();
}

fn seal(criterion: &mut Criterion) {
    let (keys, data) = (keys(), bytes(1 << 20));
    let id = keys.name(RecordKind::Data, &data);
    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
    let mut group = criterion.benchmark_group("records");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("seal and verify 1 MiB", |bencher| {
        bencher.iter(|| {
            black_box(sealer.seal(RecordKind::Data, id, &data, Hint::Plain).unwrap());
        });
    });
    group.finish();
}

/// Gives out one made-up segment.
struct OneSegment(Segment);

impl SegmentSource for OneSegment {
    fn fetch(&self, _: &SegmentId) -> backstay_repo::Result<Segment> {
        Ok(self.0.clone())
    }
}

fn numbered(number: u64) -> ChunkId {
    // Spread as hashes are.
    let mut id = [0; 32];
    for (part, bytes) in id.chunks_exact_mut(8).enumerate() {
        let word =
            (number + part as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(number | 1);
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChunkId::new(id)
}

fn index_lookup(criterion: &mut Criterion) {
    const CHUNKS: u64 = 1_000_000;
    let mut segment = Segment::new(0);
    segment.packs.push(SegmentPack { id: PackId::new([3; 32]), kind: PackKind::Data, size_bytes: u64::from(u32::MAX) });
    segment.entries = (0..CHUNKS)
        .map(|number| SegmentEntry { id: numbered(number), pack: 0, offset: 32, stored_len: 100, raw_len: 50 })
        .collect();
    segment.entries.sort_unstable();
    let record = SegmentRecord { id: SegmentId::new([4; 32]), base: 0, entries: CHUNKS, extra: Extra::new() };
    let mut state = State::default();
    state.apply(1, &Change { segments_added: vec![record], ..Change::default() }).unwrap();
    let index = LocalIndex::open(&Cache::None, RepositoryId::new([2; 16]), [5; 16]).unwrap();
    index.refresh(&state, &OneSegment(segment)).unwrap();
    let mut number = 0;
    let mut group = criterion.benchmark_group("index of 1 M chunks");
    group.bench_function("lookup, found", |bencher| {
        bencher.iter(|| {
            number = (number + 7_919) % CHUNKS;
            black_box(index.lookup(&numbered(number)).unwrap().unwrap())
        });
    });
    group.bench_function("lookup, not there", |bencher| {
        bencher.iter(|| {
            number += 1;
            black_box(index.lookup(&numbered(CHUNKS + number)).unwrap())
        });
    });
    group.finish();
}

fn tree(criterion: &mut Criterion) {
    let keys = keys();
    let items: Vec<Item> = (0..100_000u64)
        .map(|number| Item {
            kind: ItemKind::File { size_bytes: 0, content: Content::EMPTY, hash: None, racy: false },
            inode: 1_000_000 + number,
            modified: Time {
                seconds: 1_700_000_000 + number as i64,
                nanoseconds: (number * 7_919 % 1_000_000_000) as u32,
            },
            ..Item::bare_directory(format!("folder-{:04}\0file-{number:08}", number / 1000).into_bytes())
        })
        .collect();
    let mut group = criterion.benchmark_group("tree of 100,000 items");
    group.sample_size(10).throughput(Throughput::Elements(items.len() as u64));
    group.bench_function("build", |bencher| {
        bencher.iter(|| {
            let mut store = |kind, plain: &[u8]| Ok::<_, std::convert::Infallible>(keys.name(kind, plain));
            let mut builder = TreeBuilder::new(&keys, TreeShape::FILES);
            for item in &items {
                let Ok(()) = builder.push(item, &mut store);
            }
            builder.finish(&mut store)
        });
    });
    let mut leaves = Vec::new();
    let mut store = |kind, plain: &[u8]| {
        leaves.push(plain.to_vec());
        Ok::<_, std::convert::Infallible>(keys.name(kind, plain))
    };
    let mut builder = TreeBuilder::new(&keys, TreeShape::FILES);
    for item in &items {
        let Ok(()) = builder.push(item, &mut store);
    }
    group.bench_function("read and compare, as a merge with the parent does", |bencher| {
        bencher.iter_batched(
            || items.iter(),
            |mut found| {
                for leaf in &leaves {
                    let Ok(Node::Leaf(items)) = Node::decode(leaf, 0) else { continue };
                    for item in items {
                        black_box(found.next().is_some_and(|other| *other == item));
                    }
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, chunk_and_hash, seal, index_lookup, tree);
criterion_main!(benches);
