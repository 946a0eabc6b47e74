//! Trees: ordered, content-defined lists of items, cut into nodes so that what is equal is stored once (docs/format.md, "Trees").
//!
//! A tree maps keys (path components joined by a zero byte, so that plain byte order is depth-first order) to items. Where
//! a node ends depends on its own items alone: equal runs of items make equal nodes, in any tree, whatever came before.

mod builder;
mod content;
mod item;
mod node;

pub use builder::{LeafRef, StoreNode, TreeBuilder};
pub use content::{Content, ContentBuilder, ContentNode, ContentRef, Extent};
pub use item::{Extension, Item, ItemKind, Time, Xattr, display_key, key_of_path, key_parent, path_of_key};
pub use node::{Child, Node, References};

use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result};

/// How large the nodes of a tree are: encoded bytes before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeShape {
    pub min_bytes: u32,
    pub target_bytes: u32,
    pub max_bytes: u32,
}

impl TreeShape {
    /// Directory trees: some 250 files a leaf. The arithmetic is in docs/design/0001.
    pub const FILES: Self = Self { min_bytes: 4 << 10, target_bytes: 16 << 10, max_bytes: 64 << 10 };
    /// Kubernetes objects: some 50 a leaf, or a change of one object would cost more than the object.
    pub const OBJECTS: Self = Self { min_bytes: 512, target_bytes: 2 << 10, max_bytes: 8 << 10 };

    pub(crate) fn validate(&self) -> Result<()> {
        let ordered = 256 <= self.min_bytes
            && self.min_bytes <= self.target_bytes
            && self.target_bytes <= self.max_bytes
            && self.max_bytes <= 4 << 20;
        if ordered { Ok(()) } else { Err(FormatError::invalid("a tree shape", format!("{self:?} is out of range"))) }
    }
}

#[cfg(test)]
mod tests;
