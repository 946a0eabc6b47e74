//! What became of each item of a plan, and why.
//!
//! Exit codes and summaries come from here alone. Reasons are the server's words, never an object's bytes.

use std::collections::BTreeMap;
use std::fmt;

use backstay_format::ids::SnapshotId;
use serde::{Deserialize, Serialize};

use super::wait::NotReady;
use crate::api::ClusterIdentity;
use crate::object::ObjectKey;

/// The end of a restore: one result for every item of the plan that was reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub snapshot: SnapshotId,
    pub target: ClusterIdentity,
    /// In the order of the plan.
    pub items: Vec<ItemOutcome>,
    /// Items that an earlier run had finished already.
    pub continued: u64,
    /// Items that were not reached, because the run was stopped.
    pub left_over: u64,
    /// Why, where it was not by whoever started it.
    pub stopped: Option<String>,
    /// Claims that are there now with volumes that hold nothing.
    pub empty_volumes: u64,
    pub notes: Vec<String>,
    /// Only where it was waited for.
    pub not_ready: Vec<NotReady>,
}

/// The end of one item. A line of the journal, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// In the snapshot.
    pub key: ObjectKey,
    /// In the cluster.
    pub target: ObjectKey,
    pub result: ItemResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The cause in the words of whoever knows more of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Of the object that is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemResult {
    Created,
    Updated,
    Recreated,
    Unchanged,
    Left,
    Skipped,
    Conflict,
    Failed,
}

/// Why an item is not as it is in the snapshot, to group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The plan said so.
    Planned,
    /// It is there and differs.
    Exists,
    /// Somebody else changed, made or removed it since the plan.
    Moved,
    /// The server allows no change of some field.
    Immutable,
    /// It, or its namespace, is being deleted.
    Terminating,
    /// The cluster does not serve its kind in its version.
    Unserved,
    Quota,
    /// A webhook or an admission policy.
    Denied,
    /// Whoever restores may not do it.
    Forbidden,
    Invalid,
    /// An object that it belongs to could not be restored.
    Owner,
    /// The server gave no answer, or could not do it now.
    Unavailable,
    /// The snapshot's object cannot be read.
    Unreadable,
}

impl ItemResult {
    /// Whether another run has to look at the item again.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Conflict | Self::Failed)
    }
}

/// Items that ended alike for the same cause in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group<'a> {
    pub result: ItemResult,
    pub namespace: Option<&'a str>,
    pub cause: Option<Cause>,
    pub items: u64,
    pub first: &'a ItemOutcome,
}

impl Outcome {
    pub fn counts(&self) -> BTreeMap<ItemResult, u64> {
        let mut counts = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.result).or_insert(0) += 1;
        }
        counts
    }

    pub fn count(&self, result: ItemResult) -> u64 {
        self.items.iter().filter(|item| item.result == result).count() as u64
    }

    /// Something could not be restored.
    pub fn is_partial(&self) -> bool {
        self.left_over > 0 || !self.not_ready.is_empty() || self.count(ItemResult::Failed) > 0
    }

    pub fn has_conflicts(&self) -> bool {
        self.count(ItemResult::Conflict) > 0
    }

    /// What ended with this result, by namespace and cause.
    pub fn groups(&self, result: ItemResult) -> Vec<Group<'_>> {
        let mut groups: BTreeMap<(Option<&str>, Option<Cause>), Group<'_>> = BTreeMap::new();
        for item in self.items.iter().filter(|item| item.result == result) {
            let namespace = item.target.namespace.as_deref();
            let new = || Group { result, namespace, cause: item.cause, items: 0, first: item };
            groups.entry((namespace, item.cause)).or_insert_with(new).items += 1;
        }
        groups.into_values().collect()
    }
}

impl fmt::Display for ItemResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Recreated => "recreated",
            Self::Unchanged => "unchanged",
            Self::Left => "left",
            Self::Skipped => "skipped",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Planned => "as planned",
            Self::Exists => "exists and differs",
            Self::Moved => "moved since the plan",
            Self::Immutable => "the server allows no change of it",
            Self::Terminating => "is being deleted",
            Self::Unserved => "the cluster does not serve it",
            Self::Quota => "quota exceeded",
            Self::Denied => "denied by a webhook or policy",
            Self::Forbidden => "not allowed for this user",
            Self::Invalid => "the server calls it invalid",
            Self::Owner => "its owner could not be restored",
            Self::Unavailable => "the server could not do it",
            Self::Unreadable => "cannot be read from the snapshot",
        })
    }
}
