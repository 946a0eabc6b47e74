//! The documents that `-o json` prints. Their fields are promised: docs/reference/json.md describes each, new ones may
//! be added, none is renamed or removed within a major version.
//!
//! Times are RFC 3339 in UTC, sizes are bytes, ids are whole. A path that is not UTF-8 is shown with replacement
//! characters, and exactly in a field `path_hex` beside it.

use std::collections::BTreeMap;

use backstay_cluster::snapshot::{ListedAt, ListedResource, Lists};
use backstay_format::ids::{SnapshotId, to_hex};
use backstay_format::log::{LedgerEntry, SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Item, ItemKind, display_key, path_of_key};
use serde::Serialize;

use super::item_time_exact;

/// One snapshot.
#[derive(Serialize)]
pub(crate) struct SnapshotDocument<'a> {
    pub(crate) id: SnapshotId,
    short_id: String,
    kind: SnapshotKind,
    source: &'a str,
    host: &'a str,
    user: &'a str,
    paths: &'a [String],
    tags: &'a [String],
    started: &'a str,
    finished: &'a str,
    program: &'a str,
    profile: &'a str,
    incomplete: bool,
    accepted: bool,
    flags: &'a [String],
    expires: Option<&'a str>,
    holds: &'a [String],
    parents: &'a [SnapshotId],
    items: u64,
    /// Only of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterDocument<'a>>,
    summary: SummaryDocument,
    ledger: LedgerDocument<'a>,
    /// Only in `show`, of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Vec<ResourceDocument>>,
}

/// Which cluster a snapshot is of.
#[derive(Serialize)]
struct ClusterDocument<'a> {
    uid: &'a str,
    version: &'a str,
    context: &'a str,
}

/// What a snapshot has of one resource.
#[derive(Serialize)]
pub(crate) struct ResourceDocument {
    name: String,
    version: String,
    kind: String,
    namespaced: bool,
    objects: u64,
    lists: Vec<ListedAt>,
}

#[derive(Serialize)]
struct SummaryDocument {
    objects: u64,
    files: u64,
    directories: u64,
    others: u64,
    size_bytes: u64,
    added: u64,
    changed: u64,
    unchanged: u64,
    read_bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    duration_ms: u64,
}

#[derive(Serialize)]
struct LedgerDocument<'a> {
    failed: u64,
    noted: u64,
    filtered: &'a BTreeMap<String, u64>,
    /// Only in `show`.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<&'a [LedgerEntry]>,
}

impl<'a> SnapshotDocument<'a> {
    pub(crate) fn new(record: &'a SnapshotRecord) -> Self {
        let summary = &record.summary;
        Self {
            id: record.id,
            short_id: record.id.short(),
            kind: record.kind,
            source: &record.source,
            host: &record.host,
            user: &record.user,
            paths: &record.paths,
            tags: &record.tags,
            started: &record.started,
            finished: &record.finished,
            program: &record.program,
            profile: if record.profile.is_empty() { "default" } else { &record.profile },
            incomplete: record.incomplete,
            accepted: record.accepted,
            flags: &record.flags,
            expires: record.expires.as_deref(),
            holds: &record.holds,
            parents: &record.parents,
            items: record.tree.items,
            cluster: record.cluster.as_ref().map(|cluster| ClusterDocument {
                uid: &cluster.uid,
                version: &cluster.version,
                context: &cluster.context,
            }),
            summary: SummaryDocument {
                objects: summary.objects,
                files: summary.files,
                directories: summary.directories,
                others: summary.others,
                size_bytes: summary.size_bytes,
                added: summary.added,
                changed: summary.changed,
                unchanged: summary.unchanged,
                read_bytes: summary.read_bytes,
                new_bytes: summary.new_bytes,
                stored_bytes: summary.stored_bytes,
                duration_ms: summary.duration_ms,
            },
            ledger: LedgerDocument {
                failed: record.ledger.failed,
                noted: record.ledger.noted,
                filtered: &record.ledger.filtered,
                entries: None,
            },
            resources: None,
        }
    }

    pub(crate) fn with_ledger(record: &'a SnapshotRecord, entries: &'a [LedgerEntry], lists: &Lists) -> Self {
        let mut document = Self::new(record);
        document.ledger.entries = Some(entries);
        if record.kind == SnapshotKind::Cluster {
            document.resources = Some(lists.resources.iter().map(ResourceDocument::new).collect());
        }
        document
    }
}

impl ResourceDocument {
    pub(crate) fn new(listed: &ListedResource) -> Self {
        let ListedResource { resource, objects, lists } = listed;
        Self {
            name: resource.name.to_string(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
            namespaced: resource.namespaced,
            objects: *objects,
            lists: lists.clone(),
        }
    }
}

/// What `forget` did, or would do.
#[derive(Serialize)]
pub(crate) struct ForgetDocument<'a> {
    pub(crate) dry_run: bool,
    pub(crate) kept: u64,
    pub(crate) forgotten: u64,
    pub(crate) snapshots: Vec<JudgedDocument<'a>>,
}

/// A snapshot, and what became of it.
#[derive(Serialize)]
pub(crate) struct JudgedDocument<'a> {
    pub(crate) id: SnapshotId,
    pub(crate) short_id: String,
    pub(crate) source: &'a str,
    pub(crate) started: &'a str,
    pub(crate) action: &'static str,
    pub(crate) reasons: Vec<ReasonDocument>,
}

/// Why a snapshot stays or goes.
#[derive(Serialize)]
pub(crate) struct ReasonDocument {
    pub(crate) rule: String,
    pub(crate) detail: Option<String>,
}

impl ReasonDocument {
    /// In one line, for people.
    pub(crate) fn text(&self) -> String {
        self.detail.as_ref().map_or_else(|| self.rule.clone(), |detail| format!("{} {detail}", self.rule))
    }
}

/// One file, directory or other item of a snapshot.
#[derive(Serialize)]
pub(crate) struct ItemDocument {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    size_bytes: u64,
    /// Octal digits.
    mode: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<[u32; 2]>,
}

impl ItemDocument {
    pub(crate) fn new(item: &Item) -> Self {
        let path = path_of_key(&item.key);
        let device = match item.kind {
            ItemKind::CharDevice { major, minor } | ItemKind::BlockDevice { major, minor } => Some([major, minor]),
            _ => None,
        };
        Self {
            path_hex: std::str::from_utf8(&path).is_err().then(|| to_hex(&[b"/", &path[..]].concat())),
            path: display_path(&item.key),
            kind: type_name(&item.kind),
            size_bytes: item.size_bytes(),
            mode: format!("{:04o}", item.mode),
            uid: item.uid,
            gid: item.gid,
            user: item.user.as_deref().map(str::to_owned),
            group: item.group.as_deref().map(str::to_owned),
            modified: item_time_exact(item.modified),
            target: link_target(&item.kind),
            device,
        }
    }
}

/// An absolute path, for people.
pub(crate) fn display_path(key: &[u8]) -> String {
    format!("/{}", display_key(key))
}

/// What a link leads to, for people.
pub(crate) fn link_target(kind: &ItemKind) -> Option<String> {
    match kind {
        ItemKind::Symlink { target } => Some(String::from_utf8_lossy(target).into_owned()),
        ItemKind::HardLink { target } => Some(display_path(target)),
        _ => None,
    }
}

pub(crate) fn type_name(kind: &ItemKind) -> &'static str {
    match kind {
        ItemKind::Directory => "directory",
        ItemKind::File { .. } => "file",
        ItemKind::Symlink { .. } => "symlink",
        ItemKind::Fifo => "fifo",
        ItemKind::CharDevice { .. } => "char-device",
        ItemKind::BlockDevice { .. } => "block-device",
        ItemKind::HardLink { .. } => "hard-link",
    }
}
