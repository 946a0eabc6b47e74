//! Objects of a snapshot as manifests that `kubectl apply` takes.
//!
//! They are cleaned by the rules that a restore prepares objects by, so both write the same. What a controller makes from another
//! object is left out, because its maker comes along; a restore brings it back to be adopted, which `kubectl apply` cannot.

use std::collections::BTreeMap;

use backstay_format::log::SnapshotRecord;
use serde_json::Value;

use super::fields::LAST_APPLIED;
use super::select::{Found, Query, select};
use crate::error::{ClusterError, Result};
use crate::object::ObjectKey;
use crate::restore::modifiers::Schemas;
use crate::restore::{Prepared, Preparer, RestoreOptions, Volumes};
use crate::snapshot::{Lists, ObjectReader};

/// A controller counts with it, and sets it anew.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// An object ready to be written down.
pub struct Manifest {
    pub key: ObjectKey,
    pub body: Value,
}

/// What became of the objects of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    pub exported: u64,
    /// Objects that cannot be applied or need not be, by the reason.
    pub left_out: BTreeMap<String, u64>,
    /// What has to be known of exported objects, and of how many.
    pub notes: BTreeMap<String, u64>,
}

/// Gives out the manifests of what the queries find, in order of resources, namespaces and names.
pub fn export<E: From<ClusterError>>(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    lists: &Lists,
    queries: &[Query<'_>],
    each: &mut dyn FnMut(Manifest) -> Result<(), E>,
) -> Result<ExportReport, E> {
    let preparer = preparer(reader, snapshot, lists)?;
    let mut report = ExportReport::default();
    for query in queries {
        select(reader, snapshot, query, &mut |found: Found| match clean(&preparer, &found)? {
            Ok((body, notes)) => {
                report.exported += 1;
                for note in notes {
                    *report.notes.entry(note).or_default() += 1;
                }
                each(Manifest { key: found.key, body })
            }
            Err(why) => {
                *report.left_out.entry(why).or_default() += 1;
                Ok(())
            }
        })?;
    }
    Ok(report)
}

/// The target is any cluster that serves what the snapshot's did.
fn preparer(reader: &mut ObjectReader<'_>, snapshot: &SnapshotRecord, lists: &Lists) -> Result<Preparer> {
    let options = RestoreOptions::default();
    let volumes = Volumes::read(reader, snapshot)?;
    let served = lists.resources.iter().map(|listed| listed.resource.clone());
    let no_schemas = Schemas::new(|path| Err(format!("{path} is not asked for: there are no modifiers")));
    Ok(Preparer::new(&options, served, volumes, no_schemas)?)
}

/// The manifest with what has to be known of it, or why there is none.
fn clean(preparer: &Preparer, found: &Found) -> Result<std::result::Result<(Value, Vec<String>), String>> {
    if !found.key.is_valid() {
        return Ok(Err("its name cannot be a file's".to_owned()));
    }
    let object = match preparer.prepare(&found.key, &found.bytes)? {
        Prepared::Object(object) => object,
        Prepared::Skip(why) | Prepared::Unserved { why, .. } | Prepared::Conflict { why, .. } => return Ok(Err(why)),
    };
    if let Some(owner) = object.owners.iter().find(|owner| owner.controller == Some(true)) {
        return Ok(Err(format!("its controller makes it: a {}", owner.kind)));
    }
    let mut body = object.body;
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
        annotations.remove(REVISION);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    Ok(Ok((body, object.notes)))
}
