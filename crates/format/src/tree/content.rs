//! Where a file's contents are: a list of extents, inside the item while it is short, in content nodes where it is long.
//!
//! Content nodes are cut where the chunk ids say so: an insertion into a large file changes the nodes around it, not all.

use super::builder::StoreNode;
use super::node::{NodeHeader, TableReader, Tables};
use crate::crypto::RecordKind;
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::wire::{Reader, put_varint};

const WHAT: &str = "a content list";
/// Up to so many extents stay in the item: some 2 KiB of its leaf.
const INLINE_MAX: usize = 64;
const NODE_MIN: usize = 128;
const NODE_MAX: usize = 1024;
/// One id in so many ends a node.
const NODE_TARGET: u64 = 256;
const LEVEL_MAX: u8 = 8;

/// A run of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A whole chunk.
    Chunk { id: ChunkId, len: u32 },
    /// A part of a chunk: a small file inside a bundle.
    Part { id: ChunkId, offset: u32, len: u32 },
    /// Zeros that are not stored, and need not be on the disk either.
    Hole { len: u64 },
}

impl Extent {
    pub fn len(&self) -> u64 {
        match *self {
            Self::Chunk { len, .. } | Self::Part { len, .. } => len.into(),
            Self::Hole { len } => len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn chunk(&self) -> Option<ChunkId> {
        match *self {
            Self::Chunk { id, .. } | Self::Part { id, .. } => Some(id),
            Self::Hole { .. } => None,
        }
    }

    fn encode(&self, tables: &mut Tables, out: &mut Vec<u8>) {
        match *self {
            Self::Chunk { id, len } => {
                put_varint(out, u64::from(len) << 2);
                put_varint(out, tables.chunk(id));
            }
            Self::Part { id, offset, len } => {
                put_varint(out, u64::from(len) << 2 | 1);
                put_varint(out, tables.chunk(id));
                put_varint(out, offset.into());
            }
            // Its length has a number of its own: a sparse file may claim lengths that leave no bits for a type.
            Self::Hole { len } => {
                put_varint(out, 2);
                put_varint(out, len);
            }
        }
    }

    fn decode(tables: &TableReader, reader: &mut Reader<'_>) -> Result<Self> {
        let head = reader.varint()?;
        let len = head >> 2;
        let short = || u32::try_from(len).map_err(|_| FormatError::invalid(WHAT, "a chunk is longer than 4 GiB"));
        Ok(match head & 3 {
            0 => Self::Chunk { len: short()?, id: tables.chunk(reader.varint()?)? },
            1 => {
                let (len, id) = (short()?, tables.chunk(reader.varint()?)?);
                let offset = u32::try_from(reader.varint()?)
                    .ok()
                    .filter(|offset| offset.checked_add(len).is_some())
                    .ok_or_else(|| FormatError::invalid(WHAT, "an offset is out of range"))?;
                Self::Part { id, offset, len }
            }
            2 if len == 0 => Self::Hole { len: reader.varint()? },
            _ => return Err(FormatError::invalid(WHAT, "an extent's type is not known")),
        })
    }
}

/// A content node and what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRef {
    pub id: ChunkId,
    pub len: u64,
    pub extents: u64,
}

/// A file's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Extents(Vec<Extent>),
    /// `level` 0: the node holds extents.
    Node {
        root: ContentRef,
        level: u8,
    },
}

impl Content {
    pub const EMPTY: Self = Self::Extents(Vec::new());

    /// The sum of all extents, bytes; nothing if it does not fit.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Extents(extents) => extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.len())),
            Self::Node { root, .. } => Some(root.len),
        }
    }

    pub(super) fn encode(&self, tables: &mut Tables, out: &mut Vec<u8>) {
        match self {
            Self::Extents(extents) => {
                put_varint(out, (extents.len() as u64) << 1);
                for extent in extents {
                    extent.encode(tables, out);
                }
            }
            Self::Node { root, level } => {
                put_varint(out, u64::from(*level) << 1 | 1);
                put_ref(root, tables, out);
            }
        }
    }

    pub(super) fn decode(tables: &TableReader, reader: &mut Reader<'_>) -> Result<Self> {
        let head = reader.varint()?;
        if head & 1 == 1 {
            let level = u8::try_from(head >> 1)
                .ok()
                .filter(|level| *level <= LEVEL_MAX)
                .ok_or_else(|| FormatError::invalid(WHAT, "it is too deep"))?;
            return Ok(Self::Node { root: read_ref(tables, reader)?, level });
        }
        let mut extents = Vec::new();
        for _ in 0..head >> 1 {
            extents.push(Extent::decode(tables, reader)?);
        }
        Ok(Self::Extents(extents))
    }
}

fn put_ref(node: &ContentRef, tables: &mut Tables, out: &mut Vec<u8>) {
    put_varint(out, tables.content(node.id));
    put_varint(out, node.len);
    put_varint(out, node.extents);
}

fn read_ref(tables: &TableReader, reader: &mut Reader<'_>) -> Result<ContentRef> {
    Ok(ContentRef { id: tables.content(reader.varint()?)?, len: reader.varint()?, extents: reader.varint()? })
}

/// A decoded content node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentNode {
    Extents(Vec<Extent>),
    Children(Vec<ContentRef>),
}

impl ContentNode {
    /// Reads a content node that its parent says is at `level`.
    pub fn decode(plain: &[u8], level: u8) -> Result<Self> {
        let (header, tables, mut reader) = NodeHeader::decode(WHAT, plain)?;
        if header.level != level {
            return Err(FormatError::invalid(
                WHAT,
                format!("a node of level {} stands at level {level}", header.level),
            ));
        }
        let node = if level == 0 {
            Self::Extents((0..header.count).map(|_| Extent::decode(&tables, &mut reader)).collect::<Result<_>>()?)
        } else {
            Self::Children((0..header.count).map(|_| read_ref(&tables, &mut reader)).collect::<Result<_>>()?)
        };
        reader.finish()?;
        Ok(node)
    }
}

/// Makes a `Content` from extents that come in order, with little memory for a file of any size.
#[derive(Debug, Clone, Default)]
pub struct ContentBuilder {
    extents: Vec<Extent>,
    /// Nodes waiting for a parent, per level.
    nodes: Vec<Vec<ContentRef>>,
}

impl ContentBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next extent. `store` stores a node's plain bytes and gives back its id.
    pub fn push<E>(&mut self, extent: Extent, store: &mut StoreNode<'_, E>) -> std::result::Result<(), E> {
        if let (Some(Extent::Hole { len: before }), Extent::Hole { len }) = (self.extents.last_mut(), extent) {
            *before += len;
            return Ok(());
        }
        self.extents.push(extent);
        let ends = extent.chunk().is_some_and(|id| ends_node(&id)) && self.extents.len() >= NODE_MIN;
        if ends || self.extents.len() == NODE_MAX {
            self.close_extents(store)?;
        }
        Ok(())
    }

    pub fn finish<E>(mut self, store: &mut StoreNode<'_, E>) -> std::result::Result<Content, E> {
        if self.nodes.is_empty() && self.extents.len() <= INLINE_MAX {
            return Ok(Content::Extents(self.extents));
        }
        if !self.extents.is_empty() {
            self.close_extents(store)?;
        }
        let mut level = 0;
        loop {
            let is_top = self.nodes.len() == level + 1;
            if is_top && self.nodes[level].len() == 1 {
                return Ok(Content::Node { root: self.nodes[level][0], level: level as u8 });
            }
            if !self.nodes[level].is_empty() {
                self.close_children(level, store)?;
            }
            level += 1;
        }
    }

    fn close_extents<E>(&mut self, store: &mut StoreNode<'_, E>) -> std::result::Result<(), E> {
        let mut tables = Tables::default();
        let mut body = Vec::new();
        for extent in &self.extents {
            extent.encode(&mut tables, &mut body);
        }
        let header = NodeHeader { level: 0, count: self.extents.len() as u32 };
        let id = store(RecordKind::Content, &header.encode(&tables, &body))?;
        let node =
            ContentRef { id, len: self.extents.iter().map(Extent::len).sum(), extents: self.extents.len() as u64 };
        self.extents.clear();
        self.push_node(0, node, store)
    }

    fn push_node<E>(
        &mut self,
        level: usize,
        node: ContentRef,
        store: &mut StoreNode<'_, E>,
    ) -> std::result::Result<(), E> {
        if self.nodes.len() == level {
            self.nodes.push(Vec::new());
        }
        self.nodes[level].push(node);
        let count = self.nodes[level].len();
        if (ends_node(&node.id) && count >= NODE_MIN) || count == NODE_MAX {
            self.close_children(level, store)?;
        }
        Ok(())
    }

    fn close_children<E>(&mut self, level: usize, store: &mut StoreNode<'_, E>) -> std::result::Result<(), E> {
        let children = std::mem::take(&mut self.nodes[level]);
        let mut tables = Tables::default();
        let mut body = Vec::new();
        for child in &children {
            put_ref(child, &mut tables, &mut body);
        }
        let header = NodeHeader { level: level as u8 + 1, count: children.len() as u32 };
        let id = store(RecordKind::Content, &header.encode(&tables, &body))?;
        let node = ContentRef {
            id,
            len: children.iter().map(|child| child.len).sum(),
            extents: children.iter().map(|child| child.extents).sum(),
        };
        self.push_node(level + 1, node, store)
    }
}

/// Ids are keyed hashes: their first bytes are as good as a hash of them.
fn ends_node(id: &ChunkId) -> bool {
    let word = u64::from_le_bytes(id.as_bytes()[..8].try_into().expect("an id has 32 bytes"));
    word.is_multiple_of(NODE_TARGET)
}
