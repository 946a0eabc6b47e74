//! A cluster's snapshot as it is read: the resources it has, and its objects in the order of their keys.
//!
//! How it is written is `backup`'s. Both agree on what is here: the tree's layout, the extensions of an object's item, and
//! `lists.json`, which says what each list of the run gave.

use std::collections::VecDeque;

use backstay_format::ids::ChunkId;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Content, Extent, Item, ItemKind};
use backstay_repo::tree::{TreeCursor, find_item};
use backstay_repo::{Reader, RepoError, Repository};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{ClusterError, Result};
use crate::filter::Filters;
use crate::object::{ObjectKey, ROOT, tree_key_of_collection, tree_key_of_resource};
use crate::resource::{Resource, ResourceName};

/// The tree key of the document that says what was listed.
pub const LISTS: &[u8] = b"lists.json";

/// Extensions of an object's item (docs/format.md, "Objects").
pub mod extension {
    /// `v1`, `apps/v1`: not part of the path, so that history survives a new version.
    pub const API_VERSION: u64 = 1;
    /// Why it is in, where no filter chose it: see [`super::Reason`].
    pub const REASON: u64 = 2;
}

/// Why an object is in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The filters chose it.
    Chosen = 0,
    /// Something that was chosen needs it: a claim its volume, a custom resource its definition.
    Related = 1,
}

/// What was listed: the tree's `lists.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lists {
    /// In order of their names.
    pub resources: Vec<ListedResource>,
    /// API groups whose resources could not be learnt: `group/version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_groups: Vec<String>,
    /// What was asked for, where it was not everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    #[serde(flatten)]
    pub extra: backstay_format::log::Extra,
}

/// A resource, and what its lists gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedResource {
    #[serde(flatten)]
    pub resource: Resource,
    /// In the snapshot.
    pub objects: u64,
    /// The state of the cluster that the list shows; several where it was listed by namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListedAt>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedAt {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub resource_version: String,
    /// RFC 3339, UTC: when the first page was asked for.
    pub time: String,
    /// Its continue token expired twice: the later pages show a later state than the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inconsistent: bool,
}

impl Lists {
    pub fn get(&self, name: &ResourceName) -> Option<&ListedResource> {
        self.resources.iter().find(|listed| listed.resource.name == *name)
    }
}

/// Bundles that are kept while objects next to each other are read: 4 MiB at most, as `backup` cuts them.
const BUNDLES_KEPT: usize = 16;

/// One thread's way to read the objects of snapshots.
pub struct ObjectReader<'r> {
    /// Tree nodes.
    nodes: Reader<'r>,
    data: Reader<'r>,
    bundles: VecDeque<(ChunkId, Bytes)>,
}

impl<'r> ObjectReader<'r> {
    pub fn new(repository: &'r Repository) -> Result<Self> {
        Ok(Self { nodes: repository.reader()?, data: repository.reader()?, bundles: VecDeque::new() })
    }

    pub fn repository(&self) -> &'r Repository {
        self.data.repository()
    }

    /// The reader of tree nodes, for `backstay_repo::tree`.
    pub fn nodes(&mut self) -> &mut Reader<'r> {
        &mut self.nodes
    }

    pub fn lists(&mut self, snapshot: &SnapshotRecord) -> Result<Lists> {
        require_cluster(snapshot)?;
        let broken = |detail: String| ClusterError::Snapshot { snapshot: snapshot.id, detail };
        let item = find_item(&mut self.nodes, snapshot.tree, LISTS)?
            .ok_or_else(|| broken("lists.json is not there".to_owned()))?;
        let bytes = self.read(&item)?;
        serde_json::from_slice(&bytes).map_err(|error| broken(format!("lists.json cannot be read: {error}")))
    }

    /// The item of one object.
    pub fn find(&mut self, snapshot: &SnapshotRecord, key: &ObjectKey) -> Result<Option<Item>> {
        Ok(find_item(&mut self.nodes, snapshot.tree, &key.tree_key())?)
    }

    /// All objects, of one resource or of one collection, in order of their keys. Their bytes are read by [`Self::read`].
    pub fn for_each(
        &mut self,
        snapshot: &SnapshotRecord,
        within: &Within<'_>,
        each: &mut dyn FnMut(&mut Self, ObjectKey, Item) -> Result<()>,
    ) -> Result<()> {
        require_cluster(snapshot)?;
        let directory = within.tree_key();
        let mut cursor = TreeCursor::new(snapshot.tree);
        cursor.seek(&mut self.nodes, &directory)?;
        while let Some(item) = cursor.next(&mut self.nodes)? {
            let is_below =
                item.key.strip_prefix(&directory[..]).is_some_and(|rest| rest.first().is_none_or(|it| *it == 0));
            if !is_below {
                break;
            }
            if let (Some(key), ItemKind::File { .. }) = (ObjectKey::from_tree_key(&item.key), &item.kind) {
                each(self, key, item)?;
            }
        }
        Ok(())
    }

    /// An object's bytes.
    pub fn read(&mut self, item: &Item) -> Result<Bytes> {
        let ItemKind::File { content: Content::Extents(extents), .. } = &item.kind else {
            // An object is smaller than 64 chunks: etcd takes 1.5 MiB.
            return Err(missing(item));
        };
        if let [Extent::Part { id, offset, len }] = extents[..] {
            let (start, end) = (offset as usize, offset as usize + len as usize);
            let bundle = self.bundle(&id)?;
            return if end > bundle.len() { Err(missing(item)) } else { Ok(bundle.slice(start..end)) };
        }
        let mut bytes = Vec::new();
        for extent in extents {
            match *extent {
                Extent::Chunk { id, .. } => bytes.extend_from_slice(self.data.read(&id)?),
                _ => return Err(missing(item)),
            }
        }
        Ok(bytes.into())
    }

    fn bundle(&mut self, id: &ChunkId) -> Result<Bytes> {
        if let Some((_, bytes)) = self.bundles.iter().find(|(known, _)| known == id) {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::copy_from_slice(self.data.read(id)?);
        if self.bundles.len() == BUNDLES_KEPT {
            self.bundles.pop_front();
        }
        self.bundles.push_back((*id, bytes.clone()));
        Ok(bytes)
    }
}

/// A part of a snapshot.
#[derive(Debug, Clone, Copy)]
pub enum Within<'a> {
    Everything,
    Resource(&'a ResourceName),
    /// Of one namespace, or the objects of the whole cluster.
    Collection(&'a ResourceName, Option<&'a str>),
}

impl Within<'_> {
    fn tree_key(&self) -> Vec<u8> {
        match *self {
            Self::Everything => ROOT.to_vec(),
            Self::Resource(resource) => tree_key_of_resource(resource),
            Self::Collection(resource, namespace) => tree_key_of_collection(resource, namespace),
        }
    }
}

/// The version that an object was taken in: `apps/v1`.
pub fn api_version(item: &Item) -> &str {
    let value = item.extensions.iter().find(|it| it.number == extension::API_VERSION).map(|it| &it.value[..]);
    value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

/// Why an object is in its snapshot.
pub fn reason(item: &Item) -> Reason {
    let is_related =
        |it: &backstay_format::tree::Extension| it.number == extension::REASON && it.value == [Reason::Related as u8];
    if item.extensions.iter().any(is_related) { Reason::Related } else { Reason::Chosen }
}

pub fn require_cluster(snapshot: &SnapshotRecord) -> Result<()> {
    if snapshot.kind == SnapshotKind::Cluster {
        Ok(())
    } else {
        Err(ClusterError::NotACluster { snapshot: snapshot.id })
    }
}

fn missing(item: &Item) -> ClusterError {
    let detail = format!("{} has contents that no object has", backstay_format::tree::display_key(&item.key));
    RepoError::Invalid(detail).into()
}
