//! What the tests of repairs share: damage, and what can be read.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::ids::{ChunkId, SnapshotId};
use backstay_format::tree::{Content, Extent, ItemKind, Node, display_key};
use backstay_repo::Repository;
use backstay_testkit::faulty::{FaultyStore, Verb};
use bytes::Bytes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Flip,
    Cut,
    Lose,
}

impl Harm {
    pub(crate) const ALL: [Self; 3] = [Self::Flip, Self::Cut, Self::Lose];

    /// Gives back the damaged bytes, if there are any.
    pub(crate) fn to(self, store: &FaultyStore, name: &str) -> Option<Bytes> {
        let length = store.read(name).expect("an object to damage").len();
        match self {
            Self::Flip => store.flip_bit(name, length * 4),
            Self::Cut => store.truncate(name, length / 2),
            Self::Lose => store.lose(name),
        }
        store.read(name)
    }
}

/// Every record that can be read, with its bytes.
pub(crate) fn readable(repository: &Repository) -> BTreeMap<ChunkId, Vec<u8>> {
    let mut ids = Vec::new();
    repository
        .index()
        .unwrap()
        .for_each_chunk(&mut |id, _| {
            ids.push(id);
            Ok(())
        })
        .unwrap();
    let mut reader = repository.reader().unwrap();
    ids.into_iter().filter_map(|id| Some((id, reader.read(&id).ok()?.to_vec()))).collect()
}

pub(crate) fn count_writes(process: &FaultyStore) -> usize {
    let is_write = |verb: Verb| matches!(verb, Verb::Put | Verb::Create | Verb::Delete);
    process.records().iter().filter(|record| is_write(record.verb)).count()
}

/// What can be read of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readable {
    /// Every file that can be found and read.
    pub(crate) paths: BTreeSet<String>,
    /// Nothing is lost, nor of its ledger.
    pub(crate) is_whole: bool,
}

/// The files of every listed snapshot that can be found and read, each looked for by itself.
pub(crate) fn readable_paths(repository: &Repository) -> BTreeMap<SnapshotId, Readable> {
    let mut reader = repository.reader().unwrap();
    let mut found = BTreeMap::new();
    for snapshot in repository.snapshots() {
        let mut all = Readable { paths: BTreeSet::new(), is_whole: true };
        all.is_whole &= snapshot.ledger.chunks.iter().all(|chunk| reader.read(chunk).is_ok());
        let mut todo = vec![(snapshot.tree.level, snapshot.tree.root)];
        while let Some((level, id)) = todo.pop() {
            match reader.read(&id).ok().map(|plain| Node::decode(plain, level).unwrap()) {
                None => all.is_whole = false,
                Some(Node::Inner(children)) => todo.extend(children.iter().map(|child| (level - 1, child.id))),
                Some(Node::Leaf(items)) => {
                    for item in items {
                        let ItemKind::File { content: Content::Extents(extents), .. } = &item.kind else { continue };
                        if extents.iter().filter_map(Extent::chunk).all(|chunk| reader.read(&chunk).is_ok()) {
                            all.paths.insert(display_key(&item.key));
                        } else {
                            all.is_whole = false;
                        }
                    }
                }
            }
        }
        found.insert(snapshot.id, all);
    }
    found
}
