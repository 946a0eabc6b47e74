//! The bytes of a node: a header, tables of ids and strings, then items, children or extents.

use std::sync::Arc;

use super::item::Item;
use crate::error::{FormatError, Result};
use crate::ids::ChunkId;
use crate::wire::{Reader, put_var_bytes, put_varint};

const WHAT: &str = "a tree node";
const VERSION: u8 = 1;
const HEADER_LEN: usize = 20;
/// Eight levels of at least four children hold more items than any cluster or file system has.
const LEVEL_MAX: u8 = 32;
/// A node ends at the latest with the item whose keys add up to so much. Keys are stored without what they share with the one
/// before, so that without this bound a small node could stand for any amount of memory.
pub(super) const KEYS_BYTES_MAX: usize = 4 << 20;

/// A decoded tree node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Leaf(Vec<Item>),
    Inner(Vec<Child>),
}

/// A node below an inner node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The key of the first item below it.
    pub first_key: Vec<u8>,
    pub id: ChunkId,
    /// Items below it.
    pub items: u64,
}

impl Node {
    /// Reads a tree node that its parent says is at `level`.
    pub fn decode(plain: &[u8], level: u8) -> Result<Self> {
        let (header, tables, mut reader) = NodeHeader::decode(WHAT, plain)?;
        if header.level != level || level > LEVEL_MAX {
            return Err(FormatError::invalid(
                WHAT,
                format!("a node of level {} stands at level {level}", header.level),
            ));
        }
        let mut last_key: Vec<u8> = Vec::new();
        let (mut keys, mut keys_bytes) = (0u32, 0);
        let mut next_key = |reader: &mut Reader<'_>| -> Result<Vec<u8>> {
            // An inner node has two children at least, however long their keys are.
            if keys >= 2 && keys_bytes >= KEYS_BYTES_MAX {
                return Err(FormatError::invalid(WHAT, "its keys are longer than a node's may be"));
            }
            let shared = reader.varint_usize()?;
            let suffix = reader.var_bytes()?;
            let Some(prefix) = last_key.get(..shared) else {
                return Err(FormatError::invalid(WHAT, "a key shares more than the key before it has"));
            };
            let mut key = Vec::with_capacity(shared + suffix.len());
            key.extend_from_slice(prefix);
            key.extend_from_slice(suffix);
            if keys > 0 && key <= last_key {
                return Err(FormatError::invalid(WHAT, "its keys are not in order"));
            }
            keys += 1;
            keys_bytes += key.len();
            last_key.clear();
            last_key.extend_from_slice(&key);
            Ok(key)
        };
        // A count is only a claim: memory is taken as the items come.
        let node = if level == 0 {
            let mut items = Vec::with_capacity((header.count as usize).min(4096));
            for _ in 0..header.count {
                let key = next_key(&mut reader)?;
                let body = reader.var_bytes()?;
                items.push(Item::decode_body(key, body, &tables)?);
            }
            Self::Leaf(items)
        } else {
            let mut children = Vec::with_capacity((header.count as usize).min(4096));
            for index in 0..header.count {
                let first_key = next_key(&mut reader)?;
                children.push(Child { first_key, id: tables.chunk(index.into())?, items: reader.varint()? });
            }
            Self::Inner(children)
        };
        reader.finish()?;
        Ok(node)
    }

    /// Every record that the node's bytes refer to directly: child nodes for an inner node; for a leaf, data chunks and
    /// content nodes, in this order. Costs no decoding of items.
    pub fn references(plain: &[u8]) -> Result<References> {
        let (header, tables, _) = NodeHeader::decode(WHAT, plain)?;
        Ok(References { level: header.level, chunks: tables.chunks, content: tables.content })
    }
}

/// What a tree or content node refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    pub level: u8,
    /// Child nodes above level 0, data chunks at level 0.
    pub chunks: Vec<ChunkId>,
    /// Roots of content lists in a tree's leaf; child nodes in an inner content node.
    pub content: Vec<ChunkId>,
}

/// The fixed start of every node.
pub(super) struct NodeHeader {
    pub(super) level: u8,
    pub(super) count: u32,
}

impl NodeHeader {
    pub(super) fn encode(&self, tables: &Tables, body: &[u8]) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(HEADER_LEN + (tables.chunks.len() + tables.content.len()) * 32 + body.len() + 64);
        out.extend_from_slice(&[VERSION, self.level, 0, 0]);
        for count in [self.count, tables.chunks.len() as u32, tables.content.len() as u32, tables.strings.len() as u32]
        {
            out.extend_from_slice(&count.to_le_bytes());
        }
        for id in tables.chunks.iter().chain(&tables.content) {
            out.extend_from_slice(id.as_bytes());
        }
        for string in &tables.strings {
            put_var_bytes(&mut out, string.as_bytes());
        }
        out.extend_from_slice(body);
        out
    }

    pub(super) fn decode<'a>(what: &'static str, plain: &'a [u8]) -> Result<(Self, TableReader, Reader<'a>)> {
        let mut reader = Reader::new(what, plain);
        let [version, level, _, _] = reader.array()?;
        if version != VERSION {
            return Err(FormatError::Version { what, found: version.into(), supported: VERSION.into() });
        }
        let count = reader.u32()?;
        let [chunks, content, strings] = [reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize];
        let mut ids = |count: usize| -> Result<Vec<ChunkId>> {
            let bytes = reader
                .bytes(count.checked_mul(32).ok_or_else(|| FormatError::invalid(what, "a count is out of range"))?)?;
            Ok(bytes.chunks_exact(32).map(|id| ChunkId::new(id.try_into().expect("chunks of 32"))).collect())
        };
        // An item names a user and a group at most.
        if strings as u64 > 2 * u64::from(count) {
            return Err(FormatError::invalid(what, "it has more names than its items can use"));
        }
        let mut tables = TableReader { chunks: ids(chunks)?, content: ids(content)?, strings: Vec::new() };
        for _ in 0..strings {
            let text = std::str::from_utf8(reader.var_bytes()?)
                .map_err(|_| FormatError::invalid(what, "a name is not UTF-8"))?;
            tables.strings.push(text.into());
        }
        Ok((Self { level, count }, tables, reader))
    }
}

/// Ids and strings that a node under construction refers to by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    chunks: Vec<ChunkId>,
    content: Vec<ChunkId>,
    strings: Vec<Arc<str>>,
}

/// Neighbours share chunks (bundles), so looking back a little finds nearly all repetitions.
const LOOK_BACK: usize = 8;

impl Tables {
    pub(super) fn chunk(&mut self, id: ChunkId) -> u64 {
        position_or_push(&mut self.chunks, id)
    }

    /// A child's number is its position among the children: equal children are listed twice.
    pub(super) fn push_child(&mut self, id: ChunkId) {
        self.chunks.push(id);
    }

    pub(super) fn content(&mut self, id: ChunkId) -> u64 {
        position_or_push(&mut self.content, id)
    }

    pub(super) fn string(&mut self, text: &Arc<str>) -> u64 {
        let found = self.strings.iter().position(|string| string == text);
        found.unwrap_or_else(|| {
            self.strings.push(text.clone());
            self.strings.len() - 1
        }) as u64
    }

    pub(super) fn encoded_len(&self) -> usize {
        (self.chunks.len() + self.content.len()) * 32
            + self.strings.iter().map(|string| string.len() + 1).sum::<usize>()
    }
}

fn position_or_push(ids: &mut Vec<ChunkId>, id: ChunkId) -> u64 {
    let start = ids.len().saturating_sub(LOOK_BACK);
    if let Some(found) = ids[start..].iter().rposition(|known| *known == id) {
        return (start + found) as u64;
    }
    ids.push(id);
    ids.len() as u64 - 1
}

/// The tables of a decoded node.
pub(super) struct TableReader {
    chunks: Vec<ChunkId>,
    content: Vec<ChunkId>,
    strings: Vec<Arc<str>>,
}

impl TableReader {
    pub(super) fn chunk(&self, index: u64) -> Result<ChunkId> {
        entry(&self.chunks, index)
    }

    pub(super) fn content(&self, index: u64) -> Result<ChunkId> {
        entry(&self.content, index)
    }

    pub(super) fn string(&self, index: u64) -> Result<Arc<str>> {
        entry(&self.strings, index)
    }
}

fn entry<T: Clone>(table: &[T], index: u64) -> Result<T> {
    usize::try_from(index)
        .ok()
        .and_then(|index| table.get(index))
        .cloned()
        .ok_or_else(|| FormatError::invalid(WHAT, "a number refers to no table entry"))
}

/// Appends a key, leaving out what it shares with the key before.
pub(super) fn put_key(out: &mut Vec<u8>, before: &[u8], key: &[u8]) {
    let shared = before.iter().zip(key).take_while(|(a, b)| a == b).count();
    put_varint(out, shared as u64);
    put_var_bytes(out, &key[shared..]);
}
