//! Everything that snapshots need: walking from their records down to the last data chunk, each record once.
//!
//! Check, collection, mending, repair and copying all rest on this one walk, and differ in where a node's references come from
//! and in what they do with a record.

use backstay_format::ids::ChunkId;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Node, References};

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
