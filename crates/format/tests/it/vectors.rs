//! Encodings that leave nothing to chance, byte by byte. The ids and cuts were computed with `docs/reference/decode.py` and the
//! definitions in docs/format.md, not with this crate; the node bytes were written down by hand.

use std::convert::Infallible;

use backstay_format::chunker::{Chunker, Chunking};
use backstay_format::crypto::RecordKind;
use backstay_format::ids::{ChunkId, to_hex};
use backstay_format::tree::{
    Content, ContentBuilder, ContentNode, Extent, Item, ItemKind, Node, References, Time, TreeBuilder, TreeShape,
    key_of_path,
};

use crate::golden::keys;

#[test]
fn ids_of_every_kind() {
    let expected = [
        "e0d2604e87d5f5e6afcf0a33244ce8c53363f147766b5632332aa3ae8e9c2eaf",
        "f38c9e976d49ececc58c6eafaafb5d5697aa2ebafc42ea4d3d2ee8a7bcba1a75",
        "ca38dc6d1af03d868c8e9027af1ee97252db6fddaeb33b6598825522beaad944",
        "9850e04d57a6787d09ece19f3c236bdecb0e669d8e808b83ca671db22a5a654c",
    ];
    assert_eq!(RecordKind::ALL.map(|kind| keys().name(kind, b"hello").to_string()), expected);
    assert_eq!(to_hex(&keys().content_hash(b"hello")), expected[0][..32]);
}

#[test]
fn cuts_of_known_bytes() {
    let mut data = vec![0; 4001];
    blake3_of("golden", &mut data);
    let chunking = Chunking::Fastcdc2020 { min_bytes: 64, average_bytes: 256, max_bytes: 1024 };
    let chunker = Chunker::new(chunking, &keys()).unwrap();
    let (mut cuts, mut at) = (Vec::new(), 0);
    while at < data.len() {
        at += chunker.cut(&data[at..]);
        cuts.push(at);
    }
    assert_eq!(cuts, [101, 647, 996, 1417, 1718, 2100, 2369, 2678, 2991, 3619, 3882, 4001]);
}

fn blake3_of(text: &str, out: &mut [u8]) {
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(out);
}

/// All nodes that were stored, in order, and the id of each.
fn stored<T>(
    make: impl FnOnce(&mut dyn FnMut(RecordKind, &[u8]) -> Result<ChunkId, Infallible>) -> T,
) -> (Vec<Vec<u8>>, T) {
    let mut nodes = Vec::new();
    let result = make(&mut |_, plain| {
        nodes.push(plain.to_vec());
        Ok(ChunkId::new([nodes.len() as u8; 32]))
    });
    (nodes, result)
}

#[test]
fn a_leaf_of_files() {
    let time = Time { seconds: 1000, nanoseconds: 5 };
    let base = Item {
        mode: 0o644,
        uid: 1000,
        gid: 100,
        modified: time,
        changed: time,
        inode: 9,
        ..Item::bare_directory(Vec::new())
    };
    let whole = Extent::Chunk { id: ChunkId::new([0xaa; 32]), len: 7 };
    let part = Extent::Part { id: ChunkId::new([0xaa; 32]), offset: 2, len: 5 };
    let hole = Extent::Hole { len: 300 };
    let items = [
        Item {
            key: key_of_path(b"d/one"),
            user: Some("ann".into()),
            kind: ItemKind::File {
                size_bytes: 307,
                content: Content::Extents(vec![whole, hole]),
                hash: None,
                racy: true,
            },
            ..base.clone()
        },
        Item {
            key: key_of_path(b"d/two"),
            changed: Time { seconds: -1, nanoseconds: 0 },
            kind: ItemKind::File {
                size_bytes: 5,
                content: Content::Extents(vec![part]),
                hash: Some([0xcc; 16]),
                racy: false,
            },
            ..base.clone()
        },
        Item {
            key: key_of_path(b"e"),
            group: Some("ann".into()),
            kind: ItemKind::Symlink { target: b"d".to_vec() },
            ..base
        },
    ];
    let keys = keys();
    let shape = TreeShape { min_bytes: 1024, target_bytes: 4096, max_bytes: 4096 };
    let (nodes, ()) = stored(|store| {
        let mut builder = TreeBuilder::new(&keys, shape);
        for item in &items {
            let Ok(()) = builder.push(item, store);
        }
        let Ok(root) = builder.finish(store);
        assert_eq!((root.level, root.items), (0, 3));
    });
    let expected = [
        &[1, 0, 0, 0][..],                     // version, level
        &[3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], // items, ids, content ids
        &[1, 0, 0, 0],                         // strings
        &[0xaa; 32],                           // the id
        b"\x03ann",                            // the string
        b"\x00\x05d\0one",                     // first key: nothing shared
        &[20],                                 // length of the body
        &[2, 0b10_1001],                       // file; user, changed = modified, racy
        &[0xa4, 0x03, 0xe8, 0x07, 100],        // mode 0o644, uid 1000, gid 100
        &[0],                                  // user: string 0
        &[0xd0, 0x0f, 5],                      // modified: 1000 s, 5 ns
        &[9],                                  // inode
        &[0xb3, 0x02, 4],                      // size 307, two extents
        &[7 << 2, 0],                          // whole chunk of 7 bytes, id 0
        &[2, 0xac, 0x02],                      // hole of 300 bytes
        b"\x02\x03two",                        // shares "d\0"
        &[34],
        &[2, 0b01_0000], // file; content hash
        &[0xa4, 0x03, 0xe8, 0x07, 100, 0xd0, 0x0f, 5],
        &[1, 0],             // changed: -1 s
        &[9, 5, 2],          // inode, size, one extent
        &[5 << 2 | 1, 0, 2], // 5 bytes of id 0 from 2 on
        &[0xcc; 16],
        b"\x00\x01e",
        &[14],
        &[3, 0b00_1010], // symbolic link; group, changed = modified
        &[0xa4, 0x03, 0xe8, 0x07, 100, 0, 0xd0, 0x0f, 5, 9],
        b"\x01d",
    ]
    .concat();
    assert_eq!(nodes, std::slice::from_ref(&expected));
    assert!(matches!(Node::decode(&expected, 0), Ok(Node::Leaf(found)) if found == items));
    let references = References { level: 0, chunks: vec![ChunkId::new([0xaa; 32])], content: Vec::new() };
    assert_eq!(Node::references(&expected).unwrap(), references);
}

#[test]
fn an_inner_node_and_an_empty_tree() {
    let keys = keys();
    let shape = TreeShape { min_bytes: 256, target_bytes: 256, max_bytes: 256 };
    let (nodes, root) = stored(|store| {
        let mut builder = TreeBuilder::new(&keys, shape);
        for name in ["a", "b"] {
            // One item a leaf, as each is larger than the maximum.
            let target = name.repeat(300).into_bytes();
            let item =
                Item { kind: ItemKind::Symlink { target }, ..Item::bare_directory(key_of_path(name.as_bytes())) };
            let Ok(()) = builder.push(&item, store);
        }
        let Ok(root) = builder.finish(store);
        root
    });
    let expected = [
        &[1, 1, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[1; 32], // the first leaf's id, then the second's
        &[2; 32],
        b"\x00\x01a\x01", // key, one item below
        b"\x00\x01b\x01",
    ]
    .concat();
    assert_eq!((nodes.len(), &nodes[2], root.level, root.items), (3, &expected, 1, 2));

    let (nodes, root) = stored(|store| {
        let Ok(root) = TreeBuilder::new(&keys, shape).finish(store);
        root
    });
    assert_eq!((nodes, root.level, root.items), (vec![[&[1][..], &[0; 19]].concat()], 0, 0));
}

#[test]
fn content_nodes_end_where_ids_say_and_never_above_1024() {
    // An id that starts with a zero byte ends a node, but not below 128 entries.
    let id = |n: u32| {
        let mut bytes = [1; 32];
        bytes[1..5].copy_from_slice(&n.to_be_bytes());
        bytes[0] = u8::from(!(n == 100 || n == 200));
        ChunkId::new(bytes)
    };
    let extents: Vec<Extent> = (0..1400).map(|n| Extent::Chunk { id: id(n), len: 1 }).collect();
    let (nodes, content) = stored(|store| {
        let mut builder = ContentBuilder::new();
        for extent in &extents {
            let Ok(()) = builder.push(*extent, store);
        }
        let Ok(content) = builder.finish(store);
        content
    });
    let lengths: Vec<usize> = nodes[..3]
        .iter()
        .map(|node| match ContentNode::decode(node, 0).unwrap() {
            ContentNode::Extents(extents) => extents.len(),
            ContentNode::Children(_) => panic!("level 0 has extents"),
        })
        .collect();
    assert_eq!(lengths, [201, 1024, 175]);
    let expected = [
        &[1, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0][..],
        &[1; 32],
        &[2; 32],
        &[3; 32],
        &[0, 0xc9, 0x01, 0xc9, 0x01], // child 0: 201 bytes in 201 extents
        &[1, 0x80, 0x08, 0x80, 0x08],
        &[2, 0xaf, 0x01, 0xaf, 0x01],
    ]
    .concat();
    assert_eq!((nodes.len(), &nodes[3]), (4, &expected));
    let Content::Node { root, level: 1 } = content else { panic!("{content:?}") };
    assert_eq!((root.id, root.len, root.extents), (ChunkId::new([4; 32]), 1400, 1400));
}
