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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    walk_in_waves(roots, 1, enter, &mut |ids| ids.iter().map(&mut *open).collect())
}

/// The same, where up to so many nodes are opened together.
pub(crate) fn walk_in_waves(
    roots: impl IntoIterator<Item = (ChunkId, Role)>,
    wave: usize,
    enter: &mut dyn FnMut(ChunkId, Role) -> Result<bool>,
    open: &mut dyn FnMut(&[ChunkId]) -> Result<Vec<References>>,
) -> Result<()> {
    // The next one last.
    let mut todo = Vec::new();
    for (id, role) in roots {
        if enter(id, role)? && role == Role::Node {
            todo.push(id);
        }
    }
    todo.reverse();
    while !todo.is_empty() {
        let mut ids = todo.split_off(todo.len().saturating_sub(wave));
        ids.reverse();
        let first_new = todo.len();
        for references in open(&ids)? {
            // Above level 0 of a tree the chunks are nodes; a content node's children always stand under `content`.
            let role = if references.level > 0 { Role::Node } else { Role::Data };
            let named = references.chunks.into_iter().map(|chunk| (chunk, role));
            for (id, role) in named.chain(references.content.into_iter().map(|node| (node, Role::Node))) {
                if enter(id, role)? && role == Role::Node {
                    todo.push(id);
                }
            }
        }
        // The first child comes first: nodes lie in the order of their keys, and are read in that order.
        todo[first_new..].reverse();
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    fn id(number: u8) -> ChunkId {
        ChunkId::new([number; ChunkId::LEN])
    }

    /// Which nodes are opened, wave by wave, below two roots: 1 names 2 and 3, those and 4 name data and 5.
    fn waves(wave: usize) -> Vec<Vec<ChunkId>> {
        let nodes = |chunks: &[u8], level, content: &[u8]| References {
            level,
            chunks: chunks.iter().copied().map(id).collect(),
            content: content.iter().copied().map(id).collect(),
        };
        let tree: HashMap<ChunkId, References> = [
            (id(1), nodes(&[2, 3], 1, &[])),
            (id(2), nodes(&[20, 21], 0, &[5])),
            (id(3), nodes(&[20], 0, &[5])),
            (id(4), nodes(&[], 0, &[5])),
            (id(5), nodes(&[50], 0, &[])),
        ]
        .into();
        let (mut met, mut waves) = (BTreeSet::new(), Vec::new());
        let mut open = |ids: &[ChunkId]| {
            waves.push(ids.to_vec());
            Ok(ids.iter().map(|id| tree[id].clone()).collect())
        };
        let roots = [(id(1), Role::Node), (id(4), Role::Node), (id(60), Role::Data)];
        walk_in_waves(roots, wave, &mut |id, _| Ok(met.insert(id)), &mut open).unwrap();
        assert_eq!(met, [1, 2, 3, 4, 5, 20, 21, 50, 60].map(id).into());
        waves
    }

    #[test]
    fn nodes_are_opened_once_and_in_the_order_of_their_keys() {
        assert_eq!(waves(1), [1, 2, 5, 3, 4].map(|node| vec![id(node)]));
        assert_eq!(waves(2), [vec![id(1), id(4)], vec![id(2), id(3)], vec![id(5)]]);
        assert_eq!(waves(99).concat(), [1, 4, 2, 3, 5].map(id));
    }
}
