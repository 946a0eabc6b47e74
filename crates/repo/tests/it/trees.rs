//! Trees: searching and comparing them gives what naive maps give, and equal parts are not read.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::compress::Hint;
use backstay_format::crypto::{Keys, RecordKind};
use backstay_format::ids::ChunkId;
use backstay_format::log::TreeRef;
use backstay_format::tree::{Item, Node, TreeBuilder, TreeShape};
use backstay_repo::tree::{Difference, TreeCursor, diff_trees, find_item};
use backstay_repo::{ErrorKind, RepoError, Repository};
use proptest::prelude::*;

use crate::scene::{Bucket, file, record};

/// A few items make a leaf, a few leaves a node: small trees have many levels.
const SHAPE: TreeShape = TreeShape { min_bytes: 64, target_bytes: 160, max_bytes: 512 };

type Map = BTreeMap<Vec<u8>, Item>;
type Nodes = BTreeMap<ChunkId, Vec<u8>>;

/// The items of a map of numbers: a changed value is a changed item.
fn items(map: &BTreeMap<u16, u8>) -> Map {
    map.iter()
        .map(|(number, value)| file(&format!("folder/{number:05}"), u64::from(*value), 0, Vec::new()))
        .map(|item| (item.key.clone(), item))
        .collect()
}

fn build(keys: &Keys, items: &Map, nodes: &mut Nodes) -> TreeRef {
    let mut store = |kind, plain: &[u8]| -> Result<ChunkId, std::convert::Infallible> {
        let id = keys.name(kind, plain);
        nodes.insert(id, plain.to_vec());
        Ok(id)
    };
    let mut builder = TreeBuilder::new(keys, SHAPE);
    for item in items.values() {
        let Ok(()) = builder.push(item, &mut store);
    }
    let Ok(tree) = builder.finish(&mut store);
    tree
}

/// Stores these nodes, and no others.
fn store_nodes<'n>(repository: &Repository, tree: TreeRef, nodes: impl Iterator<Item = &'n Vec<u8>>) {
    let writer = repository.begin().unwrap();
    let mut chunks = writer.chunk_writer().unwrap();
    for plain in nodes {
        chunks.put(RecordKind::Tree, plain, Hint::Plain).unwrap();
    }
    writer.commit(record(repository, "trees", tree)).unwrap();
}

fn diff(repository: &Repository, before: TreeRef, after: TreeRef) -> Result<Vec<Difference>, RepoError> {
    let mut differences = Vec::new();
    diff_trees(&mut repository.reader()?, before, after, &mut |difference| {
        differences.push(difference);
        Ok::<_, RepoError>(())
    })?;
    Ok(differences)
}

fn naive_diff(before: &Map, after: &Map) -> Vec<Difference> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter_map(|key| match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => {
                (before != after).then(|| Difference::Changed { before: before.clone(), after: after.clone() })
            }
            (Some(item), None) => Some(Difference::Removed(item.clone())),
            (None, Some(item)) => Some(Difference::Added(item.clone())),
            (None, None) => None,
        })
        .collect()
}

/// Nodes of both trees are not even stored: whoever read one would fail. Of a root it is not known where it begins.
fn assert_only_differences_are_read(bucket: &Bucket, before: &Map, after: &Map) {
    let repository = bucket.fork().open();
    let (mut left, mut right) = (Nodes::new(), Nodes::new());
    let old = build(repository.keys(), before, &mut left);
    let new = build(repository.keys(), after, &mut right);
    let is_shared =
        |id: &ChunkId| left.contains_key(id) && right.contains_key(id) && *id != old.root && *id != new.root;
    let needed = left.iter().chain(&right).filter(|(id, _)| !is_shared(id)).map(|(_, plain)| plain);
    store_nodes(&repository, new, needed);
    assert_eq!(diff(&repository, old, new).unwrap(), naive_diff(before, after));
    assert_eq!(diff(&repository, new, old).unwrap(), naive_diff(after, before));
}

/// A map, and one that differs from it in a few places, or altogether.
fn two_maps() -> impl Strategy<Value = (BTreeMap<u16, u8>, BTreeMap<u16, u8>)> {
    let map = || prop::collection::btree_map(0..2000u16, 0..3u8, 0..300);
    let edits = prop::collection::vec((0..2000u16, prop::option::of(0..3u8)), 0..12);
    let run = prop::option::of((0..2000u16, 1..200u16));
    prop_oneof![
        4 => (map(), edits, run).prop_map(|(before, edits, run)| {
            let mut after = before.clone();
            for (key, value) in edits {
                match value {
                    Some(value) => after.insert(key, value),
                    None => after.remove(&key),
                };
            }
            if let Some((start, length)) = run {
                after.retain(|key, _| !(start..start.saturating_add(length)).contains(key));
            }
            (before, after)
        }),
        1 => (map(), map()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_difference_of_two_trees_is_that_of_two_maps_and_reads_no_node_that_both_have((before, after) in two_maps()) {
        assert_only_differences_are_read(&Bucket::new(), &items(&before), &items(&after));
    }

    #[test]
    fn a_cursor_finds_and_walks_as_a_map_does(map in prop::collection::btree_map(0..2000u16, 0..3u8, 0..300), wanted in prop::collection::vec(0..2001u16, 1..8)) {
        let map = items(&map);
        let repository = Bucket::new().open();
        let mut nodes = Nodes::new();
        let tree = build(repository.keys(), &map, &mut nodes);
        store_nodes(&repository, tree, nodes.values());
        let mut reader = repository.reader().unwrap();
        for number in wanted {
            for key in [format!("folder\0{number:05}"), format!("folder\0{number:05}x"), "folder".to_owned(), "g".to_owned()] {
                let key = key.into_bytes();
                let mut cursor = TreeCursor::new(tree);
                cursor.seek(&mut reader, &key).unwrap();
                let mut rest = Vec::new();
                while let Some(item) = cursor.next(&mut reader).unwrap() {
                    rest.push(item);
                }
                let expected: Vec<_> = map.range(key.clone()..).map(|(_, item)| item.clone()).collect();
                prop_assert_eq!(rest, expected);
                prop_assert_eq!(find_item(&mut reader, tree, &key).unwrap(), map.get(&key).cloned());
            }
        }
        let mut cursor = TreeCursor::new(tree);
        let mut leaves = Vec::new();
        while let Some(leaf) = cursor.next_leaf(&mut reader).unwrap() {
            leaves.push(leaf);
        }
        prop_assert_eq!(leaves.iter().filter(|leaf| leaf.is_last).count(), 1);
        prop_assert!(leaves.last().unwrap().is_last);
        let walked: Vec<_> = leaves.into_iter().flat_map(|leaf| leaf.items).collect();
        prop_assert_eq!(walked, map.values().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn whole_leaves_that_are_left_out_are_the_only_ones_read() {
    let all = items(&(0..300).map(|number| (number, 1)).collect());
    let bucket = Bucket::new();
    let mut nodes = Nodes::new();
    build(bucket.open().keys(), &all, &mut nodes);
    let leaves: Vec<_> = nodes.values().filter_map(|plain| Node::decode(plain, 0).ok()).collect();
    assert!(leaves.len() > 20, "{}", leaves.len());
    for leaf in leaves.chunks(2) {
        let mut rest = all.clone();
        for node in leaf {
            let Node::Leaf(items) = node else { panic!("decoded as a leaf") };
            rest.retain(|key, _| items.iter().all(|item| item.key != *key));
        }
        assert_only_differences_are_read(&bucket, &all, &rest);
    }
}

#[test]
fn equal_trees_differ_in_nothing_and_are_not_read() {
    let repository = Bucket::new().open();
    let mut nodes = Nodes::new();
    let tree = build(repository.keys(), &items(&(0..300).map(|number| (number, 1)).collect()), &mut nodes);
    assert!(tree.level >= 3, "many levels: {tree:?}");
    // Not one node is stored.
    assert_eq!(diff(&repository, tree, tree).unwrap(), []);
    let error = diff(&repository, tree, TreeRef { root: ChunkId::new([1; 32]), ..tree }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_node_of_another_level_than_its_parent_says_is_damage() {
    let repository = Bucket::new().open();
    let mut nodes = Nodes::new();
    let tree = build(repository.keys(), &items(&(0..300).map(|number| (number, 1)).collect()), &mut nodes);
    store_nodes(&repository, tree, nodes.values());
    let leaf = nodes.iter().find(|(_, plain)| Node::decode(plain, 0).is_ok()).map(|(id, _)| *id).unwrap();
    for wrong in [TreeRef { root: leaf, ..tree }, TreeRef { level: tree.level - 1, ..tree }] {
        let mut reader = repository.reader().unwrap();
        let error = TreeCursor::new(wrong).next(&mut reader).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&wrong.root.to_string()), "{error}");
        let error = TreeCursor::new(wrong).seek(&mut reader, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
