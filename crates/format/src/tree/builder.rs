//! Builds a tree from items that come in order, node by node, in little memory.

use super::TreeShape;
use super::item::Item;
use super::node::{Child, KEYS_BYTES_MAX, NodeHeader, Tables, put_key};
use crate::crypto::{Keys, RecordKind};
use crate::ids::ChunkId;
use crate::log::TreeRef;
use crate::wire::{put_var_bytes, put_varint};

/// A leaf of another tree that is taken over as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRef {
    pub first_key: Vec<u8>,
    pub id: ChunkId,
    pub items: u64,
}

/// A tree under construction. A clone can be finished to save progress while the original goes on.
#[derive(Clone)]
pub struct TreeBuilder<'k> {
    keys: &'k Keys,
    shape: TreeShape,
    leaf: LeafBuffer,
    /// Nodes waiting for a parent: `levels[0]` holds leaves.
    levels: Vec<LevelBuffer>,
    items: u64,
    last_key: Option<Vec<u8>>,
    scratch: Vec<u8>,
}

#[derive(Clone, Default)]
struct LeafBuffer {
    body: Vec<u8>,
    tables: Tables,
    count: u32,
    keys_bytes: usize,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
}

#[derive(Clone, Default)]
struct LevelBuffer {
    children: Vec<Child>,
    bytes: usize,
}

/// Stores a node's plain bytes and gives back its id.
pub type StoreNode<'s, E> = dyn FnMut(RecordKind, &[u8]) -> Result<ChunkId, E> + 's;

impl<'k> TreeBuilder<'k> {
    pub fn new(keys: &'k Keys, shape: TreeShape) -> Self {
        Self {
            keys,
            shape,
            leaf: LeafBuffer::default(),
            levels: Vec::new(),
            items: 0,
            last_key: None,
            scratch: Vec::new(),
        }
    }

    /// Items so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Whether a new leaf begins here: only then may a leaf of another tree be taken over.
    pub fn is_at_leaf_start(&self) -> bool {
        self.leaf.count == 0
    }

    /// Adds the next item.
    ///
    /// # Panics
    /// When keys do not ascend: whoever sorts them has a bug, and a tree with items out of order could not be searched.
    pub fn push<E>(&mut self, item: &Item, store: &mut StoreNode<'_, E>) -> Result<(), E> {
        self.advance(&item.key, 1);
        let leaf = &mut self.leaf;
        let before = leaf.body.len() + leaf.tables.encoded_len();
        if leaf.count == 0 {
            leaf.first_key.clone_from(&item.key);
        }
        put_key(&mut leaf.body, &leaf.last_key, &item.key);
        self.scratch.clear();
        item.encode_body(&mut leaf.tables, &mut self.scratch);
        put_var_bytes(&mut leaf.body, &self.scratch);
        leaf.count += 1;
        leaf.keys_bytes += item.key.len();
        leaf.last_key.clone_from(&item.key);
        let total = leaf.body.len() + leaf.tables.encoded_len();
        if leaf.keys_bytes >= KEYS_BYTES_MAX || self.ends_node(0, &item.key, total - before, total) {
            self.close_leaf(store)?;
        }
        Ok(())
    }

    /// Takes over a whole leaf of another tree of the same shape: the same items pushed one by one would make the same leaf.
    /// The last leaf of a tree must not be taken over: it ended because the tree did.
    pub fn push_leaf<E>(&mut self, leaf: LeafRef, last_key: &[u8], store: &mut StoreNode<'_, E>) -> Result<(), E> {
        assert!(self.is_at_leaf_start(), "a leaf is taken over only where a leaf begins");
        self.advance(&leaf.first_key, leaf.items);
        self.last_key = Some(last_key.to_vec());
        self.push_child(0, Child { first_key: leaf.first_key, id: leaf.id, items: leaf.items }, store)
    }

    /// Closes all nodes and gives back the root. A tree without items is one empty leaf.
    pub fn finish<E>(mut self, store: &mut StoreNode<'_, E>) -> Result<TreeRef, E> {
        if self.leaf.count > 0 || self.levels.is_empty() {
            self.close_leaf(store)?;
        }
        let mut level = 0;
        loop {
            let is_top = self.levels.len() == level + 1;
            if is_top && self.levels[level].children.len() == 1 {
                let root = &self.levels[level].children[0];
                return Ok(TreeRef { root: root.id, level: level as u8, items: self.items });
            }
            if !self.levels[level].children.is_empty() {
                self.close_inner(level, store)?;
            }
            level += 1;
        }
    }

    fn advance(&mut self, key: &[u8], items: u64) {
        if let Some(last) = &mut self.last_key {
            assert!(key > &last[..], "items come in ascending order");
            last.clear();
            last.extend_from_slice(key);
        } else {
            self.last_key = Some(key.to_vec());
        }
        self.items += items;
    }

    /// A node ends behind an entry with a chance that grows with the entry's length, so that nodes of long and of short
    /// entries have the same size; never below the minimum, always above the maximum.
    fn ends_node(&self, level: u8, key: &[u8], entry_bytes: usize, node_bytes: usize) -> bool {
        if node_bytes < self.shape.min_bytes as usize {
            return false;
        }
        if node_bytes >= self.shape.max_bytes as usize {
            return true;
        }
        let hash = self.keys.boundary_hash(level, key);
        let scaled = (u128::from(hash) * u128::from(self.shape.target_bytes - self.shape.min_bytes + 1)) >> 64;
        scaled < entry_bytes as u128
    }

    fn close_leaf<E>(&mut self, store: &mut StoreNode<'_, E>) -> Result<(), E> {
        let leaf = std::mem::take(&mut self.leaf);
        let header = NodeHeader { level: 0, count: leaf.count };
        let id = store(RecordKind::Tree, &header.encode(&leaf.tables, &leaf.body))?;
        self.push_child(0, Child { first_key: leaf.first_key, id, items: leaf.count.into() }, store)
    }

    fn push_child<E>(&mut self, level: usize, child: Child, store: &mut StoreNode<'_, E>) -> Result<(), E> {
        if self.levels.len() == level {
            self.levels.push(LevelBuffer::default());
        }
        // An estimate that depends on the child alone: keys are stored shorter than they are.
        let entry_bytes = 40 + child.first_key.len();
        let key = child.first_key.clone();
        let buffer = &mut self.levels[level];
        buffer.children.push(child);
        buffer.bytes += entry_bytes;
        let (count, bytes) = (buffer.children.len(), buffer.bytes);
        // At least two children a node, or a tree of long keys would never end.
        if count >= 2 && self.ends_node(level as u8 + 1, &key, entry_bytes, bytes) {
            self.close_inner(level, store)?;
        }
        Ok(())
    }

    fn close_inner<E>(&mut self, level: usize, store: &mut StoreNode<'_, E>) -> Result<(), E> {
        let children = std::mem::take(&mut self.levels[level]).children;
        let mut tables = Tables::default();
        let mut body = Vec::new();
        let mut before: &[u8] = &[];
        for child in &children {
            put_key(&mut body, before, &child.first_key);
            put_varint(&mut body, child.items);
            tables.push_child(child.id);
            before = &child.first_key;
        }
        let items = children.iter().map(|child| child.items).sum();
        let header = NodeHeader { level: level as u8 + 1, count: children.len() as u32 };
        let id = store(RecordKind::Tree, &header.encode(&tables, &body))?;
        let first_key = children[0].first_key.clone();
        self.push_child(level + 1, Child { first_key, id, items }, store)
    }
}
