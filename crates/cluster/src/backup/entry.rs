//! Objects of a running backup: where their bytes are, in as little memory as it takes (some 130 bytes each).
//!
//! Chunks are named by their place in one table: a hundred objects share a bundle, and a bundle has a name only when it is full.

use std::collections::HashMap;

use backstay_format::ids::ChunkId;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Content, Extension, Extent, Item, ItemKind};
use parking_lot::Mutex;

use crate::error::Result;
use crate::object::{ObjectKey, tree_key_of_resource};
use crate::resource::ResourceName;
use crate::snapshot::{ObjectReader, Reason, Within, extension};

const MODE: u32 = 0o644;

/// An object as the tree will hold it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Below the resource's directory: `cluster\0NAME.json`, `namespaces\0NAMESPACE\0NAME.json`.
    pub(super) key: Box<[u8]>,
    pub(super) hash: [u8; 16],
    pub(super) size_bytes: u32,
    pub(super) place: Place,
    pub(super) state: State,
    pub(super) is_related: bool,
}

/// Compared with the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unchanged,
    Changed,
    Added,
}

/// Where an object's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A dry run stores nothing.
    Nowhere,
    /// A whole chunk.
    Chunk { slot: u32 },
    /// Inside a bundle.
    Part { slot: u32, offset: u32 },
    /// What no API server gives out, but an aggregated one may: larger than a chunk.
    Many(Box<[Extent]>),
}

/// The names of all chunks that entries speak of.
#[derive(Default)]
pub(super) struct Chunks {
    ids: Mutex<Vec<ChunkId>>,
}

impl Chunks {
    pub(super) fn add(&self, id: ChunkId) -> u32 {
        let mut ids = self.ids.lock();
        ids.push(id);
        (ids.len() - 1) as u32
    }

    /// A place for a chunk whose name will be known later.
    pub(super) fn reserve(&self) -> u32 {
        self.add(ChunkId::new([0; 32]))
    }

    pub(super) fn fill(&self, slot: u32, id: ChunkId) {
        self.ids.lock()[slot as usize] = id;
    }

    fn get(&self, slot: u32) -> ChunkId {
        self.ids.lock()[slot as usize]
    }
}

impl Entry {
    pub(super) fn namespace(&self) -> Option<&[u8]> {
        self.key.strip_prefix(b"namespaces\0")?.split(|byte| *byte == 0).next()
    }

    /// The item of the tree, with its whole key.
    pub(super) fn item(&self, directory: &[u8], api_version: &str, chunks: &Chunks) -> Item {
        let len = self.size_bytes;
        let extents = match &self.place {
            Place::Nowhere => Vec::new(),
            Place::Chunk { slot } => vec![Extent::Chunk { id: chunks.get(*slot), len }],
            Place::Part { slot, offset } => vec![Extent::Part { id: chunks.get(*slot), offset: *offset, len }],
            Place::Many(extents) => extents.to_vec(),
        };
        let mut extensions = vec![Extension { number: extension::API_VERSION, value: api_version.as_bytes().to_vec() }];
        if self.is_related {
            extensions.push(Extension { number: extension::REASON, value: vec![Reason::Related as u8] });
        }
        let kind = ItemKind::File {
            size_bytes: len.into(),
            content: Content::Extents(extents),
            hash: Some(self.hash),
            racy: false,
        };
        let key = [directory, b"\0", &self.key].concat();
        Item { kind, mode: MODE, extensions, ..Item::bare_directory(key) }
    }
}

/// A document's item: `lists.json`.
pub(super) fn document_item(key: &[u8], hash: [u8; 16], extents: Vec<Extent>) -> Item {
    let size_bytes = extents.iter().map(Extent::len).sum();
    let kind = ItemKind::File { size_bytes, content: Content::Extents(extents), hash: Some(hash), racy: false };
    Item { kind, mode: MODE, ..Item::bare_directory(key.to_vec()) }
}

/// The part of an object's key that an entry keeps.
pub(super) fn key_below_resource(key: &ObjectKey) -> Box<[u8]> {
    let directory = tree_key_of_resource(&key.resource).len() + 1;
    key.tree_key().split_off(directory).into()
}

/// The objects of a resource in the parent snapshot, in order of their keys.
pub(super) fn known(
    reader: &mut ObjectReader<'_>,
    parent: &SnapshotRecord,
    resource: &ResourceName,
    chunks: &Chunks,
) -> Result<Vec<Entry>> {
    let directory = tree_key_of_resource(resource).len() + 1;
    let mut slots = HashMap::new();
    let mut entries = Vec::new();
    reader.for_each(parent, &Within::Resource(resource), &mut |_, _, mut item| {
        let ItemKind::File { size_bytes, content: Content::Extents(extents), hash: Some(hash), .. } = item.kind else {
            return Ok(());
        };
        let mut slot = |id| *slots.entry(id).or_insert_with(|| chunks.add(id));
        let place = match extents[..] {
            [Extent::Chunk { id, .. }] => Place::Chunk { slot: slot(id) },
            [Extent::Part { id, offset, .. }] => Place::Part { slot: slot(id), offset },
            _ => Place::Many(extents.into()),
        };
        let key = item.key.split_off(directory.min(item.key.len())).into();
        let size_bytes = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        entries.push(Entry { key, hash, size_bytes, place, state: State::Unchanged, is_related: false });
        Ok(())
    })?;
    Ok(entries)
}

/// The entry with this key among sorted ones.
pub(super) fn find<'e>(entries: &'e [Entry], key: &[u8]) -> Option<&'e Entry> {
    entries.binary_search_by(|entry| entry.key[..].cmp(key)).ok().map(|at| &entries[at])
}
