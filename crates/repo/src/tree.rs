//! Walking trees: a cursor over items in order, and the difference of two trees, which reads only what differs.

use backstay_format::ids::ChunkId;
use backstay_format::log::TreeRef;
use backstay_format::tree::{Child, Item, Node};

use crate::error::{RepoError, Result};
use crate::reader::Reader;

/// An ordered cursor over the items of a tree.
pub struct TreeCursor {
    /// Open inner nodes, root first: children not yet visited, in reverse, and their level.
    path: Vec<(u8, Vec<Child>)>,
    leaf: Option<Leaf>,
    position: usize,
}

/// A leaf, whole.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub id: ChunkId,
    pub items: Vec<Item>,
    /// No leaf comes behind it.
    pub is_last: bool,
}

impl TreeCursor {
    /// Before the first item.
    pub fn new(tree: TreeRef) -> Self {
        let root = Child { first_key: Vec::new(), id: tree.root, items: tree.items };
        Self { path: vec![(tree.level, vec![root])], leaf: None, position: 0 }
    }

    /// The next item, or nothing behind the last.
    pub fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<Item>> {
        loop {
            if let Some(leaf) = &mut self.leaf
                && let Some(item) = leaf.items.get_mut(self.position)
            {
                self.position += 1;
                let empty = Item::bare_directory(Vec::new());
                return Ok(Some(std::mem::replace(item, empty)));
            }
            self.leaf = self.next_leaf(reader)?;
            self.position = 0;
            if self.leaf.is_none() {
                return Ok(None);
            }
        }
    }

    /// The next whole leaf; items of the current leaf that were not given out yet are passed over.
    pub fn next_leaf(&mut self, reader: &mut Reader<'_>) -> Result<Option<Leaf>> {
        self.leaf = None;
        let Some((level, child)) = self.next_child() else { return Ok(None) };
        let mut level = level;
        let mut child = child;
        loop {
            match read_node(reader, &child.id, level)? {
                Node::Leaf(items) => {
                    let is_last = self.path.iter().all(|(_, children)| children.is_empty());
                    return Ok(Some(Leaf { id: child.id, items, is_last }));
                }
                Node::Inner(mut children) => {
                    children.reverse();
                    let first = children.pop().ok_or_else(|| empty_node(&child.id))?;
                    level -= 1;
                    self.path.push((level, children));
                    child = first;
                }
            }
        }
    }

    /// Goes to the first item whose key is not below `key`. Only forward of the start: a new cursor goes anywhere.
    pub fn seek(&mut self, reader: &mut Reader<'_>, key: &[u8]) -> Result<()> {
        let Some((mut level, mut child)) = self.next_child() else { return Ok(()) };
        loop {
            match read_node(reader, &child.id, level)? {
                Node::Leaf(items) => {
                    self.position = items.partition_point(|item| &item.key[..] < key);
                    let is_last = self.path.iter().all(|(_, children)| children.is_empty());
                    self.leaf = Some(Leaf { id: child.id, items, is_last });
                    return Ok(());
                }
                Node::Inner(mut children) => {
                    // The last child that begins at or before the key; the first where the key is before all.
                    let found = children.partition_point(|child| &child.first_key[..] <= key).max(1) - 1;
                    if found >= children.len() {
                        return Err(empty_node(&child.id));
                    }
                    let mut rest = children.split_off(found);
                    rest.reverse();
                    child = rest.pop().ok_or_else(|| empty_node(&child.id))?;
                    level -= 1;
                    self.path.push((level, rest));
                }
            }
        }
    }

    fn next_child(&mut self) -> Option<(u8, Child)> {
        while let Some((level, children)) = self.path.last_mut() {
            if let Some(child) = children.pop() {
                return Some((*level, child));
            }
            self.path.pop();
        }
        None
    }
}

/// The item with exactly this key.
pub fn find_item(reader: &mut Reader<'_>, tree: TreeRef, key: &[u8]) -> Result<Option<Item>> {
    let mut cursor = TreeCursor::new(tree);
    cursor.seek(reader, key)?;
    Ok(cursor.next(reader)?.filter(|item| item.key == key))
}

/// One difference between two trees.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and is given on at once")]
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    Added(Item),
    Removed(Item),
    Changed { before: Item, after: Item },
}

impl Difference {
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Added(item) | Self::Removed(item) | Self::Changed { after: item, .. } => &item.key,
        }
    }
}

/// Gives out every difference, in order of keys. Equal subtrees are passed over unread.
pub fn diff_trees<E: From<RepoError>>(
    reader: &mut Reader<'_>,
    before: TreeRef,
    after: TreeRef,
    each: &mut dyn FnMut(Difference) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut left = Frontier::new(before);
    let mut right = Frontier::new(after);
    loop {
        // Whole equal subtrees first: both sides stand before the same node.
        if let (Some(a), Some(b)) = (left.unread(), right.unread()) {
            if a.1.id == b.1.id && a.0 == b.0 {
                left.skip();
                right.skip();
                continue;
            }
            // The side that is behind goes on, or else the higher node is opened: so equal subtrees meet, and at equal levels.
            let is_left_due = (&a.1.first_key, b.0) <= (&b.1.first_key, a.0);
            if is_left_due {
                left.open(reader)?;
            } else {
                right.open(reader)?;
            }
            continue;
        }
        // A side that stands before an unread node while the other has items: open only what the items reach into.
        match (left.item(), right.item()) {
            (Some(a), Some(b)) => match a.key.cmp(&b.key) {
                std::cmp::Ordering::Less => each(Difference::Removed(left.take()))?,
                std::cmp::Ordering::Greater => each(Difference::Added(right.take()))?,
                std::cmp::Ordering::Equal => {
                    let (before, after) = (left.take(), right.take());
                    if before != after {
                        each(Difference::Changed { before, after })?;
                    }
                }
            },
            (Some(a), None) => match right.unread() {
                Some((_, child)) if child.first_key <= a.key => right.open(reader)?,
                _ => each(Difference::Removed(left.take()))?,
            },
            (None, Some(b)) => match left.unread() {
                Some((_, child)) if child.first_key <= b.key => left.open(reader)?,
                _ => each(Difference::Added(right.take()))?,
            },
            (None, None) => {
                if left.unread().is_some() {
                    left.open(reader)?;
                } else if right.unread().is_some() {
                    right.open(reader)?;
                } else {
                    return Ok(());
                }
            }
        }
    }
}

/// What is left of a tree: opened items first, then unread nodes.
struct Frontier {
    items: std::vec::IntoIter<Item>,
    /// Unread nodes, the next one last.
    nodes: Vec<(u8, Child)>,
}

impl Frontier {
    fn new(tree: TreeRef) -> Self {
        let root = Child { first_key: Vec::new(), id: tree.root, items: tree.items };
        Self { items: Vec::new().into_iter(), nodes: vec![(tree.level, root)] }
    }

    /// The node it stands before; nothing while items are left.
    fn unread(&self) -> Option<&(u8, Child)> {
        if self.items.as_slice().is_empty() { self.nodes.last() } else { None }
    }

    fn item(&self) -> Option<&Item> {
        self.items.as_slice().first()
    }

    fn take(&mut self) -> Item {
        self.items.next().expect("the caller looked at it")
    }

    fn skip(&mut self) {
        self.nodes.pop();
    }

    fn open(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let Some((level, child)) = self.nodes.pop() else { return Ok(()) };
        match read_node(reader, &child.id, level)? {
            Node::Leaf(items) => self.items = items.into_iter(),
            Node::Inner(children) => self.nodes.extend(children.into_iter().rev().map(|child| (level - 1, child))),
        }
        Ok(())
    }
}

pub(crate) fn read_node(reader: &mut Reader<'_>, id: &ChunkId, level: u8) -> Result<Node> {
    let plain = reader.read(id)?;
    Node::decode(plain, level).map_err(RepoError::damaged(format!("tree node {id}")))
}

fn empty_node(id: &ChunkId) -> RepoError {
    let detail = "an inner node has no children".to_owned();
    let source = backstay_format::FormatError::Invalid { what: "a tree node", detail };
    RepoError::Damaged { object: format!("tree node {id}"), source }
}
