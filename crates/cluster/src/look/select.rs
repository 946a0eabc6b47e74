//! Objects of a snapshot by kind, namespace, name and labels.

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::Item;
use backstay_repo::RepoError;
use bytes::Bytes;

use crate::error::{ClusterError, Result};
use crate::filter::LabelSelector;
use crate::object::{Head, ObjectKey};
use crate::resource::Resource;
use crate::snapshot::{ObjectReader, Within};

use super::kinds::near;

/// Which namespaces are looked at; objects of the whole cluster are always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespaces {
    All,
    These(Vec<String>),
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    pub resource: &'a Resource,
    pub namespaces: &'a Namespaces,
    /// Empty: whatever it is called.
    pub names: &'a [String],
    pub labels: Option<&'a LabelSelector>,
}

/// An object that was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub key: ObjectKey,
    pub item: Item,
    /// As it is stored.
    pub bytes: Bytes,
}

/// Gives out what matches, in order of namespaces and names. Returns the names that no object has.
pub fn select<E: From<ClusterError>>(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    query: &Query<'_>,
    each: &mut dyn FnMut(Found) -> Result<(), E>,
) -> Result<Vec<String>, E> {
    let mut failed = None;
    let missing = find(reader, snapshot, query, &mut |found| {
        each(found).map_err(|error| {
            failed = Some(error);
            // Only ends the walk: the caller's own error is given back.
            RepoError::Interrupted.into()
        })
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(missing?),
    }
}

fn find(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    query: &Query<'_>,
    each: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<Vec<String>> {
    let name = &query.resource.name;
    let mut missing = query.names.to_vec();
    let mut visit = |reader: &mut ObjectReader<'_>, key: ObjectKey, item: Item| -> Result<()> {
        let bytes = reader.read(&item)?;
        if let Some(selector) = query.labels {
            let head = Head::parse(&bytes).map_err(|error| broken(snapshot, &key, &error))?;
            if !selector.matches(&head.metadata.labels) {
                return Ok(());
            }
        }
        missing.retain(|name| *name != key.name);
        each(Found { key, item, bytes })
    };
    // Where each place is known, nothing else is read.
    let collections: Option<Vec<Option<&str>>> = match query.namespaces {
        _ if !query.resource.namespaced => Some(vec![None]),
        Namespaces::These(names) => Some(names.iter().map(|name| Some(&name[..])).collect()),
        Namespaces::All => None,
    };
    match collections {
        Some(collections) if !query.names.is_empty() => {
            for namespace in collections {
                for object in query.names {
                    let key = ObjectKey::new(name.clone(), namespace, object);
                    if let Some(item) = reader.find(snapshot, &key)? {
                        visit(reader, key, item)?;
                    }
                }
            }
        }
        Some(collections) => {
            for namespace in collections {
                reader.for_each(snapshot, &Within::Collection(name, namespace), &mut visit)?;
            }
        }
        None => {
            reader.for_each(snapshot, &Within::Resource(name), &mut |reader, key, item| {
                if query.names.is_empty() || query.names.contains(&key.name) {
                    visit(reader, key, item)
                } else {
                    Ok(())
                }
            })?;
        }
    }
    Ok(missing)
}

/// Objects of the same kind, wherever they are, whose names are close to one that was not found.
pub fn near_names(
    reader: &mut ObjectReader<'_>,
    snapshot: &SnapshotRecord,
    resource: &Resource,
    name: &str,
) -> Result<Vec<ObjectKey>> {
    let mut keys = Vec::new();
    reader.for_each(snapshot, &Within::Resource(&resource.name), &mut |_, key, _| {
        keys.push(key);
        Ok(())
    })?;
    let names = near(name, keys.iter().map(|key| &key.name[..]));
    // The very name in another namespace is the likeliest mistake.
    let mut close: Vec<ObjectKey> = keys.into_iter().filter(|key| names.contains(&key.name)).collect();
    close.sort_by_key(|key| names.iter().position(|name| *name == key.name));
    close.truncate(5);
    Ok(close)
}

pub(super) fn broken(snapshot: &SnapshotRecord, key: &ObjectKey, error: &serde_json::Error) -> ClusterError {
    ClusterError::Snapshot { snapshot: snapshot.id, detail: format!("{key} is no JSON: {error}") }
}
