//! Everything that snapshots need: walking from their records down to the last data chunk, each record once.
//!
//! Check, collection, mending, repair and copying all rest on this one walk, and differ in where a node's references come from
//! and in what they do with a record.

use backstay_format::ids::ChunkId;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Content, Extent, ItemKind, Node, References, display_key};

use crate::error::{RepoError, Result};
use crate::reader::Reader;

/// What a record is to the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A tree or content node: it names others.
    Node,
    /// A data or ledger chunk: it names nothing.
    Data,
}

/// The records that a snapshot names itself.
pub fn roots(snapshot: &SnapshotRecord) -> impl Iterator<Item = (ChunkId, Role)> + '_ {
    let ledger = snapshot.ledger.chunks.iter().map(|chunk| (*chunk, Role::Data));
    ledger.chain([(snapshot.tree.root, Role::Node)])
}

/// Goes to everything below `roots`. `enter` is asked of each record that is named, as often as it is named, and says whether to
/// look inside: not where the record was met before. `open` gives what a node names.
///
/// # Errors
/// Those of `enter` and `open`, at once.
pub fn walk(
    roots: impl IntoIterator<Item = (ChunkId, Role)>,
    enter: &mut dyn FnMut(ChunkId, Role) -> Result<bool>,
    open: &mut dyn FnMut(&ChunkId) -> Result<References>,
) -> Result<()> {
    let mut todo = Vec::new();
    for (id, role) in roots {
        if enter(id, role)? && role == Role::Node {
            todo.push(id);
        }
    }
    while let Some(id) = todo.pop() {
        let references = open(&id)?;
        // Above level 0 of a tree the chunks are nodes; a content node's children always stand under `content`.
        let role = if references.level > 0 { Role::Node } else { Role::Data };
        let named = references.chunks.into_iter().map(|chunk| (chunk, role));
        for (id, role) in named.chain(references.content.into_iter().map(|node| (node, Role::Node))) {
            if enter(id, role)? && role == Role::Node {
                todo.push(id);
            }
        }
    }
    Ok(())
}

/// What a node names, read from the repository.
pub fn references(reader: &mut Reader<'_>, id: &ChunkId) -> Result<References> {
    let plain = reader.read(id)?;
    Node::references(plain).map_err(RepoError::damaged(format!("tree node {id}")))
}

/// Where a snapshot needs a record, for people: the path of the first file, or of the first item below a node. `read` gives the plain
/// bytes of a node.
///
/// # Errors
/// [`RepoError::MissingRecord`] where no node that can be read names it.
pub(crate) fn place_of(
    snapshot: &SnapshotRecord,
    wanted: &ChunkId,
    read: &mut dyn FnMut(&ChunkId) -> Result<Vec<u8>>,
) -> Result<String> {
    if snapshot.ledger.chunks.contains(wanted) {
        return Ok("(ledger)".to_owned());
    }
    if snapshot.tree.root == *wanted {
        return Ok("/".to_owned());
    }
    let mut todo = vec![(snapshot.tree.root, snapshot.tree.level)];
    while let Some((id, level)) = todo.pop() {
        // What else cannot be read has its own place.
        let Some(node) = read(&id).ok().and_then(|plain| Node::decode(&plain, level).ok()) else { continue };
        match node {
            Node::Inner(children) => {
                if let Some(child) = children.iter().find(|child| child.id == *wanted) {
                    return Ok(format!("/{}…", display_key(&child.first_key)));
                }
                todo.extend(children.iter().rev().map(|child| (child.id, level - 1)));
            }
            Node::Leaf(items) => {
                for item in &items {
                    if let ItemKind::File { content, .. } = &item.kind
                        && is_in(content, wanted, read)
                    {
                        return Ok(format!("/{}", display_key(&item.key)));
                    }
                }
            }
        }
    }
    Err(RepoError::MissingRecord { id: *wanted })
}

fn is_in(content: &Content, wanted: &ChunkId, read: &mut dyn FnMut(&ChunkId) -> Result<Vec<u8>>) -> bool {
    let root = match content {
        Content::Extents(extents) => return extents.iter().filter_map(Extent::chunk).any(|chunk| chunk == *wanted),
        Content::Node { root, .. } => root.id,
    };
    let mut is_found = false;
    let mut enter = |id, _| {
        is_found |= id == *wanted;
        Ok(!is_found)
    };
    let mut open = |id: &ChunkId| Node::references(&read(id)?).map_err(RepoError::damaged("a content node"));
    // A node that cannot be read ends it, and may be the wanted one, which was met then.
    let _ = walk([(root, Role::Node)], &mut enter, &mut open);
    is_found
}
