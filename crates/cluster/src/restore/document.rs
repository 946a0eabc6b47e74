//! The plan as a document: JSON that is saved, read by people and tools, and applied later.
//!
//! It names objects and fields, and holds no content of an object, so no value of a Secret either.

use std::collections::BTreeMap;
use std::fmt;

use backstay_format::ids::SnapshotId;
use backstay_repo::ErrorKind;
use serde::{Deserialize, Serialize};

use super::options::RestoreOptions;
use crate::api::ClusterIdentity;
use crate::object::ObjectKey;

/// The version of the document that this program writes and reads.
pub const VERSION: u32 = 1;

/// What a restore will do, object by object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub version: u32,
    pub snapshot: SnapshotId,
    /// The source that the snapshot is of.
    pub source: String,
    /// It is refused by any other cluster.
    pub target: ClusterIdentity,
    pub options: RestoreOptions,
    /// RFC 3339, UTC.
    pub made: String,
    /// By layer, then by target key.
    pub items: Vec<PlanItem>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanItem {
    /// In the snapshot.
    pub key: ObjectKey,
    /// In the cluster.
    pub target: ObjectKey,
    #[serde(flatten)]
    pub action: Action,
    /// The object that has its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// Layers go in one after another.
    pub layer: u32,
    /// Its owners that are in the plan too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerInPlan>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What happens to an object, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Action {
    Create,
    /// It is there, as it will be.
    Unchanged,
    /// It is there and differs, and the policy leaves it alone.
    Left {
        fields: Vec<String>,
    },
    Update {
        fields: Vec<String>,
    },
    /// Deleted and created again, because the server allows no update of some field.
    Recreate {
        fields: Vec<String>,
    },
    Conflict {
        why: String,
    },
    Skipped {
        why: String,
    },
    /// Its kind does not exist until this item of the plan is there.
    Unchecked {
        until: ObjectKey,
    },
}

/// [`Action`] without its reasons, to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionKind {
    Create,
    Update,
    Recreate,
    Unchecked,
    Unchanged,
    Left,
    Skipped,
    Conflict,
}

/// The object in the cluster as the plan saw it. Changing it requires that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    pub uid: String,
    pub resource_version: String,
    /// A hash, keyed by the repository, of what a restore looks at: a status that moves on is no change. Where the plan changes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
}

/// An owner that is in the same plan, and neither skipped nor in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerInPlan {
    /// In the snapshot.
    pub key: ObjectKey,
    /// What references to it hold in the snapshot.
    pub uid: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub controller: bool,
}

impl Plan {
    /// How many items each action has.
    pub fn counts(&self) -> BTreeMap<ActionKind, u64> {
        let mut counts = BTreeMap::new();
        for item in &self.items {
            *counts.entry(item.action.kind()).or_insert(0) += 1;
        }
        counts
    }

    /// Claims whose volumes come back without data.
    pub fn empty_volumes(&self) -> u64 {
        let comes_back_empty = |item: &&PlanItem| item.notes.iter().any(|note| note == EMPTY_VOLUME);
        self.items.iter().filter(comes_back_empty).count() as u64
    }

    /// Whether applying it deletes or changes what exists.
    pub fn changes_existing(&self) -> bool {
        let changes = |item: &PlanItem| matches!(item.action.kind(), ActionKind::Update | ActionKind::Recreate);
        self.items.iter().any(changes)
    }

    pub fn to_json(&self) -> Result<Vec<u8>, PlanError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| PlanError::File(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub fn from_json(bytes: &[u8]) -> Result<Self, PlanError> {
        /// Read first: a later version may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let broken = |error: serde_json::Error| PlanError::File(error.to_string());
        let Versioned { version } = serde_json::from_slice(bytes).map_err(broken)?;
        if version != VERSION {
            return Err(PlanError::Version { version });
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

/// The note of every claim whose volume is made anew.
pub const EMPTY_VOLUME: &str = "volume comes back EMPTY";

impl Action {
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Create => ActionKind::Create,
            Self::Unchanged => ActionKind::Unchanged,
            Self::Left { .. } => ActionKind::Left,
            Self::Update { .. } => ActionKind::Update,
            Self::Recreate { .. } => ActionKind::Recreate,
            Self::Conflict { .. } => ActionKind::Conflict,
            Self::Skipped { .. } => ActionKind::Skipped,
            Self::Unchecked { .. } => ActionKind::Unchecked,
        }
    }

    /// Whether the object will be there afterwards, so that others may name it as their owner.
    pub fn leaves_an_object(&self) -> bool {
        !matches!(self, Self::Conflict { .. } | Self::Skipped { .. })
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Recreate => "recreate",
            Self::Unchecked => "unchecked",
            Self::Unchanged => "unchanged",
            Self::Left => "left",
            Self::Skipped => "skipped",
            Self::Conflict => "conflict",
        })
    }
}

/// A plan that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("{option}: {detail}")]
    Option { option: &'static str, detail: String },
    #[error("resource modifiers: {0}")]
    Modifiers(String),
    #[error("this is not a restore plan: {0}")]
    File(String),
    #[error("the plan has version {version}, this program reads version {VERSION}")]
    Version { version: u32 },
    #[error("{key} in the snapshot cannot be read: {detail}")]
    Object { key: ObjectKey, detail: String },
}

impl PlanError {
    pub(super) fn option(option: &'static str, cause: &dyn fmt::Display) -> Self {
        Self::Option { option, detail: cause.to_string() }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Object { .. } => ErrorKind::Corrupt,
            _ => ErrorKind::Invalid,
        }
    }
}
