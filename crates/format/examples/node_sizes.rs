//! What trees cost at several node sizes: all nodes once, and the nodes that one changed item replaces.
//!
//! `cargo run --release -p backstay-format --example node_sizes` prints the tables of docs/design/0001.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Write as _;

use backstay_format::compress::{DEFAULT_LEVEL, Hint};
use backstay_format::crypto::{Keys, MasterKey, RecordKind};
use backstay_format::ids::{ChunkId, RepositoryId};
use backstay_format::record::Sealer;
use backstay_format::tree::{Content, Extent, Item, ItemKind, Time, TreeBuilder, TreeShape, key_of_path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = Keys::derive(&MasterKey::from_bytes([1; 32]), RepositoryId::new([2; 16]));
    let mut out = std::io::stdout();
    let few: Vec<Item> = objects(&keys).into_iter().step_by(14).collect();
    for (name, items) in [("files", files(&keys)), ("objects", objects(&keys)), ("objects", few)] {
        let columns = "stored bytes an item | bytes a changed item: 1 | 10 | 100";
        writeln!(out, "{} {name}\n\n| target | levels | nodes | {columns} |", items.len())?;
        writeln!(out, "|---|---|---|---|---|---|---|")?;
        for target_kib in [2u32, 4, 8, 16, 32, 64, 128] {
            let target_bytes = target_kib << 10;
            let shape = TreeShape { min_bytes: target_bytes / 4, target_bytes, max_bytes: target_bytes * 4 };
            let mut nodes = HashSet::new();
            let (total, levels) = store(&keys, shape, &items, &mut nodes)?;
            let each = total as f64 / items.len() as f64;
            write!(out, "| {target_kib} KiB | {levels} | {} | {each:.1} |", nodes.len())?;
            for changed in [1usize, 10, 100] {
                let mut replaced = 0;
                for round in 0..20 {
                    let items = changed_items(&items, changed, round);
                    replaced += store(&keys, shape, &items, &mut nodes.clone())?.0;
                }
                write!(out, " {} |", replaced / 20 / changed as u64)?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The same items, so many of them changed, spread out.
fn changed_items(items: &[Item], count: usize, round: usize) -> Vec<Item> {
    let mut items = items.to_vec();
    for n in 0..count {
        let at = ((round * count + n) * 7919 + 13) % items.len();
        items[at].modified.seconds += 1;
        if let ItemKind::File { hash, .. } = &mut items[at].kind {
            *hash = Some([(round + n) as u8; 16]);
        }
    }
    items
}

/// Stores the nodes that are not known yet; gives back their stored bytes, and the levels.
fn store(
    keys: &Keys,
    shape: TreeShape,
    items: &[Item],
    nodes: &mut HashSet<ChunkId>,
) -> Result<(u64, u8), Box<dyn std::error::Error>> {
    let mut sealer = Sealer::new(keys, DEFAULT_LEVEL)?;
    let mut bytes = 0;
    let mut put = |kind: RecordKind, plain: &[u8]| -> Result<ChunkId, Infallible> {
        let id = keys.name(kind, plain);
        if nodes.insert(id) {
            let record = sealer.seal(kind, id, plain, Hint::Plain).expect("a node can be sealed");
            // The directory and the index segment have a row each for it.
            bytes += u64::from(record.header().stored_len()) + 2 * 48;
        }
        Ok(id)
    };
    let mut builder = TreeBuilder::new(keys, shape);
    for item in items {
        let Ok(()) = builder.push(item, &mut put);
    }
    let Ok(root) = builder.finish(&mut put);
    Ok((bytes, root.level + 1))
}

/// 50,000 files of 8 KiB in 500 folders, bundled by the megabyte.
fn files(keys: &Keys) -> Vec<Item> {
    let mut items = Vec::new();
    for n in 0..50_000u64 {
        if n.is_multiple_of(100) {
            items.push(Item::bare_directory(key_of_path(format!("src/module-{:03}", n / 100).as_bytes())));
        }
        let noise = noise(keys, n);
        let name = format!("src/module-{:03}/file_{:02}_{:x}.go", n / 100, n % 100, noise % 4096);
        let time = Time {
            seconds: 1_700_000_000 + (noise % 10_000_000) as i64,
            nanoseconds: (noise >> 32) as u32 % 1_000_000_000,
        };
        items.push(item(
            keys,
            &name,
            n,
            (noise % 16_384) as u32,
            128,
            Item {
                mode: 0o644,
                uid: 1000,
                gid: 1000,
                user: Some("user".into()),
                group: Some("user".into()),
                modified: time,
                changed: time,
                inode: 5_000_000 + n,
                ..Item::bare_directory(Vec::new())
            },
        ));
    }
    items
}

/// 50,000 objects of 2.4 KB in 40 namespaces, bundled by 64 KiB.
fn objects(keys: &Keys) -> Vec<Item> {
    const RESOURCES: [&str; 5] = ["configmaps", "deployments.apps", "secrets", "services", "serviceaccounts"];
    let mut items = Vec::new();
    for (at, resource) in RESOURCES.iter().enumerate() {
        for namespace in 10..50 {
            for n in 0..250u64 {
                let number = (at as u64 * 40 + namespace) * 250 + n;
                let name = format!("resources/{resource}/namespaces/team-{namespace}/app-{n:03}.json");
                let length = 1200 + (noise(keys, number) % 2400) as u32;
                items.push(item(keys, &name, number, length, 27, Item::bare_directory(Vec::new())));
            }
        }
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items
}

fn item(keys: &Keys, path: &str, number: u64, length: u32, per_bundle: u64, base: Item) -> Item {
    let id = keys.name(RecordKind::Data, &(number / per_bundle).to_le_bytes());
    let offset = (number % per_bundle) as u32 * length;
    let content = Content::Extents(vec![Extent::Part { id, offset, len: length }]);
    let hash = Some(keys.content_hash(&number.to_le_bytes()));
    let kind = ItemKind::File { size_bytes: length.into(), content, hash, racy: false };
    Item { key: key_of_path(path.as_bytes()), kind, ..base }
}

fn noise(keys: &Keys, number: u64) -> u64 {
    let hash = keys.content_hash(&number.to_be_bytes());
    u64::from_le_bytes(hash[..8].try_into().expect("sixteen bytes"))
}
