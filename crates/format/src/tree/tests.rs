//! Trees against a plain sorted map.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::crypto::{Keys, MasterKey, RecordKind};
use crate::ids::{ChunkId, RepositoryId};
use crate::log::TreeRef;

const SHAPE: TreeShape = TreeShape { min_bytes: 256, target_bytes: 512, max_bytes: 2048 };

fn keys() -> Keys {
    Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]))
}

type Stored = BTreeMap<ChunkId, (RecordKind, Vec<u8>)>;

fn store<'a>(
    keys: &'a Keys,
    stored: &'a mut Stored,
) -> impl FnMut(RecordKind, &[u8]) -> std::result::Result<ChunkId, Infallible> + 'a {
    |kind, plain| {
        let id = keys.name(kind, plain);
        stored.insert(id, (kind, plain.to_vec()));
        Ok(id)
    }
}

fn item(path: &str, size_bytes: u64) -> Item {
    let content = if size_bytes == 0 {
        Content::EMPTY
    } else {
        Content::Extents(vec![Extent::Part {
            id: ChunkId::new([size_bytes as u8; 32]),
            offset: 3,
            len: size_bytes as u32,
        }])
    };
    Item {
        kind: ItemKind::File { size_bytes, content, hash: (size_bytes > 0).then_some([7; 16]), racy: false },
        user: Some("root".into()),
        ..Item::bare_directory(key_of_path(path.as_bytes()))
    }
}

fn build(keys: &Keys, items: &BTreeMap<Vec<u8>, Item>, stored: &mut Stored) -> TreeRef {
    let mut builder = TreeBuilder::new(keys, SHAPE);
    for item in items.values() {
        let Ok(()) = builder.push(item, &mut store(keys, stored));
    }
    let Ok(root) = builder.finish(&mut store(keys, stored));
    root
}

fn collect(stored: &Stored, id: ChunkId, level: u8, out: &mut Vec<Item>) {
    match Node::decode(&stored[&id].1, level).unwrap() {
        Node::Leaf(items) => out.extend(items),
        Node::Inner(children) => {
            for child in children {
                let before = out.len();
                collect(stored, child.id, level - 1, out);
                assert_eq!(out[before].key, child.first_key);
                assert_eq!((out.len() - before) as u64, child.items);
            }
        }
    }
}

fn paths() -> impl Strategy<Value = BTreeMap<String, u64>> {
    proptest::collection::btree_map("[ab./]{0,3}[a-d]{1,4}(/[a-z]{1,3}){0,2}", 0u64..200, 0..400)
}

fn items(paths: &BTreeMap<String, u64>) -> BTreeMap<Vec<u8>, Item> {
    paths.iter().map(|(path, size)| item(path, *size)).map(|item| (item.key.clone(), item)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_gives_back_its_items_in_order(paths in paths()) {
        let (keys, items, mut stored) = (keys(), items(&paths), Stored::new());
        let root = build(&keys, &items, &mut stored);
        let mut found = Vec::new();
        collect(&stored, root.root, root.level, &mut found);
        prop_assert_eq!(root.items, items.len() as u64);
        prop_assert_eq!(found, items.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn one_changed_item_changes_one_path_of_nodes(paths in paths(), pick: prop::sample::Index) {
        prop_assume!(!paths.is_empty());
        let (keys, mut items, mut stored) = (keys(), items(&paths), Stored::new());
        build(&keys, &items, &mut stored);
        let before = stored.len();
        let key = items.keys().nth(pick.index(items.len())).unwrap().clone();
        items.get_mut(&key).unwrap().inode += 1;
        let root = build(&keys, &items, &mut stored);
        // One node a level; an item whose length changed may also move one boundary.
        prop_assert!(stored.len() - before <= 3 * (usize::from(root.level) + 1));
    }

    #[test]
    fn a_leaf_taken_over_makes_the_same_tree(paths in paths()) {
        let (keys, items, mut stored) = (keys(), items(&paths), Stored::new());
        let root = build(&keys, &items, &mut stored);
        let mut leaves = Vec::new();
        leaves_of(&stored, root.root, root.level, &mut leaves);
        let mut builder = TreeBuilder::new(&keys, SHAPE);
        let count = leaves.len();
        for (index, (id, items)) in leaves.into_iter().enumerate() {
            prop_assert!(builder.is_at_leaf_start());
            if index + 1 < count {
                let leaf = LeafRef { first_key: items[0].key.clone(), id, items: items.len() as u64 };
                let Ok(()) = builder.push_leaf(leaf, &items.last().unwrap().key, &mut store(&keys, &mut stored));
            } else {
                for item in &items {
                    let Ok(()) = builder.push(item, &mut store(&keys, &mut stored));
                }
            }
        }
        let Ok(again) = builder.finish(&mut store(&keys, &mut stored));
        prop_assert_eq!(again, root);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), level in 0u8..3) {
        let _ = Node::decode(&bytes, level);
        let _ = ContentNode::decode(&bytes, level);
        let _ = Node::references(&bytes);
    }

    #[test]
    fn a_damaged_node_never_panics(paths in paths(), at: prop::sample::Index, bit in 0u8..8) {
        let (keys, items, mut stored) = (keys(), items(&paths), Stored::new());
        let root = build(&keys, &items, &mut stored);
        let mut plain = stored[&root.root].1.clone();
        let at = at.index(plain.len());
        plain[at] ^= 1 << bit;
        let _ = Node::decode(&plain, root.level);
        let _ = Node::references(&plain);
    }

    #[test]
    fn a_content_list_of_any_length_gives_back_its_extents(count in 0usize..5000, holes in 1usize..50) {
        let (keys, mut stored) = (keys(), Stored::new());
        let mut expected: Vec<Extent> = Vec::new();
        let mut builder = ContentBuilder::new();
        for n in 0..count {
            let id = keys.name(RecordKind::Data, &n.to_le_bytes());
            let extent = if n % holes == 0 { Extent::Hole { len: 1 << 33 } } else { Extent::Chunk { id, len: 1000 + n as u32 } };
            let Ok(()) = builder.push(extent, &mut store(&keys, &mut stored));
            match (expected.last_mut(), extent) {
                (Some(Extent::Hole { len }), Extent::Hole { len: more }) => *len += more,
                _ => expected.push(extent),
            }
        }
        let Ok(content) = builder.finish(&mut store(&keys, &mut stored));
        let mut found = Vec::new();
        match &content {
            Content::Extents(extents) => found.clone_from(extents),
            Content::Node { root, level } => {
                extents_of(&stored, root.id, *level, &mut found);
                prop_assert_eq!(root.extents, expected.len() as u64);
            }
        }
        prop_assert_eq!(content.length().unwrap(), expected.iter().map(Extent::len).sum::<u64>());
        prop_assert_eq!(found, expected);
    }
}

fn leaves_of(stored: &Stored, id: ChunkId, level: u8, out: &mut Vec<(ChunkId, Vec<Item>)>) {
    match Node::decode(&stored[&id].1, level).unwrap() {
        Node::Leaf(items) => out.push((id, items)),
        Node::Inner(children) => {
            for child in &children {
                leaves_of(stored, child.id, level - 1, out);
            }
        }
    }
}

fn extents_of(stored: &Stored, id: ChunkId, level: u8, out: &mut Vec<Extent>) {
    match ContentNode::decode(&stored[&id].1, level).unwrap() {
        ContentNode::Extents(extents) => out.extend(extents),
        ContentNode::Children(children) => {
            for child in &children {
                extents_of(stored, child.id, level - 1, out);
            }
        }
    }
}

#[test]
fn every_kind_of_item_round_trips_with_unknown_fields() {
    let (keys, mut stored) = (keys(), Stored::new());
    let kinds = [
        ItemKind::Directory,
        ItemKind::Symlink { target: b"../\xff".to_vec() },
        ItemKind::Fifo,
        ItemKind::CharDevice { major: 1, minor: 3 },
        ItemKind::BlockDevice { major: 8, minor: 1 << 20 },
        ItemKind::HardLink { target: b"a\0b".to_vec() },
        ItemKind::File {
            size_bytes: 1 << 40,
            content: Content::Extents(vec![Extent::Hole { len: 1 << 40 }]),
            hash: None,
            racy: true,
        },
        // The largest sparse file of XFS and tmpfs.
        ItemKind::File {
            size_bytes: i64::MAX as u64,
            content: Content::Extents(vec![Extent::Hole { len: i64::MAX as u64 }]),
            hash: None,
            racy: false,
        },
    ];
    let mut items = BTreeMap::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        let key = vec![b'a' + index as u8, 0, 0xff];
        let item = Item {
            key: key.clone(),
            kind,
            mode: 0o7777,
            uid: u32::MAX,
            gid: 5,
            user: None,
            group: Some("wheel".into()),
            modified: Time { seconds: -5, nanoseconds: 999_999_999 },
            changed: Time { seconds: i64::MAX, nanoseconds: 0 },
            inode: u64::MAX,
            xattrs: vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }],
            extensions: vec![Extension { number: 77, value: b"later".to_vec() }],
        };
        items.insert(key, item);
    }
    let root = build(&keys, &items, &mut stored);
    let mut found = Vec::new();
    collect(&stored, root.root, root.level, &mut found);
    assert_eq!(found, items.into_values().collect::<Vec<_>>());
}

#[test]
fn long_keys_that_share_a_prefix_never_make_a_node_that_costs_much_more_memory_than_bytes() {
    let (keys, mut stored) = (keys(), Stored::new());
    let shape = TreeShape { min_bytes: 1 << 20, target_bytes: 4 << 20, max_bytes: 4 << 20 };
    let prefix = vec![b'd'; 100_000];
    let mut builder = TreeBuilder::new(&keys, shape);
    for n in 0..200u32 {
        let key = [&prefix[..], &[0], &n.to_be_bytes()].concat();
        let Ok(()) = builder.push(&Item::bare_directory(key), &mut store(&keys, &mut stored));
    }
    let Ok(root) = builder.finish(&mut store(&keys, &mut stored));
    let mut leaves = Vec::new();
    leaves_of(&stored, root.root, root.level, &mut leaves);
    assert_eq!(leaves.iter().map(|(_, items)| items.len()).collect::<Vec<_>>(), [42, 42, 42, 42, 32]);

    // One key of 100,000 bytes, then many that share all of it: 3 bytes each, refused after 4 MiB of keys.
    let hostile = |count: u32| {
        let mut node = [&[1, 0, 0, 0][..], &count.to_le_bytes(), &[0; 12]].concat();
        let body = [1, 8, 0, 0, 0, 0, 0, 0];
        for n in 0..count {
            if n == 0 {
                node.extend_from_slice(&[0, 0xa0, 0x8d, 0x06]);
                node.extend_from_slice(&prefix);
            } else {
                node.extend_from_slice(&[0xa0, 0x8d, 0x06, 4]);
                node.extend_from_slice(&n.to_be_bytes());
            }
            node.push(body.len() as u8);
            node.extend_from_slice(&body);
        }
        Node::decode(&node, 0)
    };
    assert!(matches!(hostile(42), Ok(Node::Leaf(items)) if items.len() == 42));
    assert!(hostile(43).unwrap_err().to_string().contains("keys are longer"));
}

#[test]
fn more_names_than_items_could_use_are_refused() {
    let node = |strings: u32| {
        [&[1, 0, 0, 0][..], &[0; 4], &[0; 8], &strings.to_le_bytes(), &vec![0; strings as usize]].concat()
    };
    assert!(Node::decode(&node(0), 0).is_ok());
    assert!(Node::decode(&node(1), 0).unwrap_err().to_string().contains("more names"));
}

#[test]
fn keys_sort_depth_first_and_give_back_their_paths() {
    let order = ["/a", "/a/b", "/a/b/c", "/a.b", "/a0"];
    let keys: Vec<_> = order.iter().map(|path| key_of_path(path.as_bytes())).collect();
    assert!(keys.is_sorted());
    assert_eq!(path_of_key(&keys[2]), b"a/b/c");
    assert_eq!(key_parent(&keys[1]), Some(&b"a"[..]));
    assert_eq!(key_parent(&keys[0]), Some(&b""[..]));
    assert_eq!(key_parent(b""), None);
    assert_eq!(key_of_path(b"//a///b/"), b"a\0b");
}
