//! What a log entry says: the documents inside `log/<n>`, and the snapshot record that a commit carries inline.
//!
//! How entries are folded and checked against each other is `backstay-repo::protocol`; how the document is sealed is `envelope`.
//! Every document keeps the fields it does not know (`extra`), so that a newer version's data survives an older one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crypto::stored_hash;
use crate::ids::{ChunkId, EntryHash, PackId, SegmentId, SnapshotId, WriterId};

/// Fields that this version does not know, kept as they came.
pub type Extra = BTreeMap<String, Value>;

impl EntryHash {
    /// Of an entry as it is stored.
    pub fn of(stored: &[u8]) -> Self {
        Self::new(stored_hash(stored))
    }
}

/// One slot of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The slot this entry was made for; an entry found elsewhere is damage.
    pub slot: u64,
    /// The hash of the entry before; absent in slot 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<EntryHash>,
    /// Who appended it, and by which attempt: tells a lost reply from a lost race.
    pub writer: WriterId,
    pub nonce: WriterId,
    /// RFC 3339, UTC, by the appender's clock: for people, never for safety.
    pub time: String,
    pub program: String,
    /// What was done, for the audit: `backup`, `forget`, `gc` …
    pub reason: String,
    pub change: Change,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A change of the repository's state; most lists are empty in most entries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots_added: Vec<SnapshotRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots_forgotten: Vec<SnapshotId>,
    /// Forgotten snapshots that are listed again (`forget --undo`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots_restored: Vec<SnapshotId>,
    /// Fields of listed snapshots that may change: accepted, tags, holds, expiry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots_amended: Vec<Amendment>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments_added: Vec<SegmentRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments_removed: Vec<SegmentId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs_retired: Vec<PackId>,
    /// A hint: still readable, but better not deduplicated against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs_condemned: Vec<PackId>,
    /// Condemned packs that turned out to be needed: the hint is taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs_reprieved: Vec<PackId>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// An index segment joining the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentRecord {
    pub id: SegmentId,
    /// The slot up to which its maker had read the log: packs retired later are masked in it.
    pub base: u64,
    pub entries: u64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A later word on a listed snapshot; absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    pub snapshot: SnapshotId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What was backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    Files,
    Cluster,
    /// Made by a newer program: listed, and refused by a restore.
    #[serde(other)]
    Other,
}

/// One committed backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    pub id: SnapshotId,
    pub kind: SnapshotKind,
    /// The name under which this is backed up over and over.
    pub source: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub finished: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    pub program: String,
    /// What was named on the command line, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Saved along the way by a run that was not finished; the final commit forgets it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incomplete: bool,
    /// No guard flagged it, or somebody accepted it.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub accepted: bool,
    /// The guards' words, when `accepted` was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Snapshots whose subtrees were reused (condition W3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<SnapshotId>,
    pub tree: TreeRef,
    pub summary: Summary,
    #[serde(default, skip_serializing_if = "LedgerRef::is_empty")]
    pub ledger: LedgerRef,
    /// How the data was cut: remembered per source.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// A cluster's volumes: `namespace/claim` to the volume's own snapshot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, SnapshotId>,
    /// The cluster that a cluster's snapshot is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterIdentityRecord>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl SnapshotRecord {
    /// An accepted snapshot that was made in no time, with nothing attached to it: the rest is filled in by its maker.
    pub fn new(id: SnapshotId, kind: SnapshotKind, source: &str, time: &str, tree: TreeRef) -> Self {
        Self {
            id,
            kind,
            source: source.to_owned(),
            started: time.to_owned(),
            finished: time.to_owned(),
            host: String::new(),
            user: String::new(),
            program: String::new(),
            paths: Vec::new(),
            incomplete: false,
            accepted: true,
            flags: Vec::new(),
            parents: Vec::new(),
            tree,
            summary: Summary::default(),
            ledger: LedgerRef::default(),
            profile: String::new(),
            tags: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            expires: None,
            holds: Vec::new(),
            volumes: BTreeMap::new(),
            cluster: None,
            extra: Extra::new(),
        }
    }
}

/// Which cluster it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentityRecord {
    /// Of the namespace kube-system: a cluster keeps it for life. Empty where it could not be read.
    pub uid: String,
    /// The server's: `v1.36.3`.
    pub version: String,
    /// The kubeconfig's name for it; empty inside a cluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The root of a tree. An empty tree has one empty leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRef {
    pub root: ChunkId,
    /// 0: the root is a leaf.
    pub level: u8,
    pub items: u64,
}

/// Counts and bytes of one backup run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub files: u64,
    pub directories: u64,
    /// Symbolic links, fifos, devices; objects count under `objects`.
    pub others: u64,
    #[serde(default)]
    pub objects: u64,
    /// Apparent size of all files, bytes.
    pub size_bytes: u64,
    /// Items taken over from the parent without reading.
    pub unchanged: u64,
    pub changed: u64,
    pub added: u64,
    /// Read from the source, bytes.
    pub read_bytes: u64,
    /// Not in the repository before, plain bytes.
    pub new_bytes: u64,
    /// The same as stored: compressed, sealed, tree nodes included.
    pub stored_bytes: u64,
    pub duration_ms: u64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where the ledger is, and what it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRef {
    /// JSON lines of [`LedgerEntry`], in order of path, cut at 1 MiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<ChunkId>,
    /// Entries that make the snapshot partial.
    #[serde(default)]
    pub failed: u64,
    /// Entries that are only worth knowing.
    #[serde(default)]
    pub noted: u64,
    /// Items left out by a filter, per rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filtered: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl LedgerRef {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One item that was not plainly captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Bytes that are not UTF-8 are shown with the replacement character; the tree has the exact name.
    pub path: String,
    /// A stable word: `unreadable`, `vanished`, `changed-while-read`, `socket` …
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether it makes the snapshot partial.
    pub failed: bool,
    #[serde(flatten)]
    pub extra: Extra,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_true(value: &bool) -> bool {
    *value
}

fn yes() -> bool {
    true
}
