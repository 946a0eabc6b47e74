//! What became of one object over the snapshots of a source: first seen, each change with who made it, deleted, seen again.
//!
//! Which snapshots differ is known from the local table of changes (`backstay_repo::Changes`); only those are read. What the table
//! says is proven by what is read: where it does not fit, the table is built anew.

use backstay_format::ids::SnapshotId;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::ItemKind;
use backstay_repo::{Changes, Progress, Span};
use serde::Serialize;
use serde_json::Value;

use super::fields::{FieldChange, FieldOptions, diff_objects};
use super::select::broken;
use crate::error::{ClusterError, Result};
use crate::object::{ObjectKey, text_at};
use crate::snapshot::{Lists, ObjectReader};

/// An object's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    #[serde(flatten)]
    pub key: ObjectKey,
    pub source: String,
    /// Snapshots of the source that were looked at, and the time of the first one.
    pub snapshots: u64,
    pub since: Option<String>,
    /// Oldest first; empty where no snapshot has the object.
    pub events: Vec<Event>,
    /// Changes of fields that were left out.
    pub noise_only: u64,
}

/// One thing that happened, as far as snapshots show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    pub event: EventKind,
    /// The snapshot that shows it first, and when that was begun.
    pub snapshot: SnapshotId,
    pub time: String,
    /// When the snapshot before was begun: it happened between the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// When the object says it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// It was deleted and made again: its uid is another one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recreated: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<Manager>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    FirstSeen,
    Changed,
    Deleted,
    /// The snapshot has no list of its kind: it may have been there all the same.
    NotListed,
    SeenAgain,
}

/// Who wrote to the object, by its own managed fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manager {
    pub manager: String,
    pub operation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
}

/// The history of an object over all listed snapshots of a source. `progress` counts the snapshots that the table of changes does not
/// know yet: all of them the first time.
pub fn history(
    reader: &mut ObjectReader<'_>,
    source: &str,
    key: &ObjectKey,
    options: FieldOptions,
    progress: &Progress,
) -> Result<History> {
    let mut changes = Changes::open(reader.repository(), source, progress)?;
    let spans = changes.spans(&key.tree_key())?;
    let mut read = read_spans(reader, &changes, &spans, key)?;
    if read.is_none() {
        tracing::info!("the table of changes does not fit the snapshots and is built anew");
        changes.rebuild()?;
        let spans = changes.spans(&key.tree_key())?;
        read = read_spans(reader, &changes, &spans, key)?;
    }
    let read = read.ok_or_else(|| wrong_table(&changes, key))?;
    let mut history = History {
        key: key.clone(),
        source: source.to_owned(),
        snapshots: changes.snapshots().len() as u64,
        since: changes.snapshots().first().map(|snapshot| snapshot.started.clone()),
        events: Vec::new(),
        noise_only: 0,
    };
    let mut before: Option<&(Span, Value)> = None;
    for state in &read {
        let (span, object) = state;
        let first = &changes.snapshots()[span.first];
        let event = Event {
            created: Some(text_at(object, &["metadata", "creationTimestamp"]).to_owned()).filter(|it| !it.is_empty()),
            ..Event::new(EventKind::FirstSeen, first, previous(&changes, span.first))
        };
        match before {
            None => history.events.push(Event { managers: managers(object), ..event }),
            Some((earlier, old)) => {
                let is_gap = earlier.last + 1 < span.first;
                if is_gap {
                    history.events.push(vanished(reader, &changes, earlier, key)?);
                }
                let fields = diff_objects(old, object, options);
                let uid = |object| text_at(object, &["metadata", "uid"]);
                let recreated = uid(old) != uid(object);
                if fields.is_empty() && !is_gap && !recreated {
                    history.noise_only += 1;
                } else {
                    let kind = if is_gap { EventKind::SeenAgain } else { EventKind::Changed };
                    let managers = new_managers(old, object);
                    history.events.push(Event { event: kind, recreated, fields, managers, ..event });
                }
            }
        }
        before = Some(state);
    }
    if let Some((span, _)) = before
        && span.last + 1 < changes.snapshots().len()
    {
        history.events.push(vanished(reader, &changes, span, key)?);
    }
    Ok(history)
}

impl Event {
    fn new(event: EventKind, snapshot: &SnapshotRecord, before: Option<&SnapshotRecord>) -> Self {
        Self {
            event,
            snapshot: snapshot.id,
            time: snapshot.started.clone(),
            after: before.map(|before| before.started.clone()),
            created: None,
            recreated: false,
            fields: Vec::new(),
            managers: Vec::new(),
        }
    }
}

fn previous<'c>(changes: &'c Changes<'_>, index: usize) -> Option<&'c SnapshotRecord> {
    index.checked_sub(1).map(|before| &changes.snapshots()[before])
}

/// The object's state in each span; nothing where the snapshots say otherwise than the table.
fn read_spans(
    reader: &mut ObjectReader<'_>,
    changes: &Changes<'_>,
    spans: &[Span],
    key: &ObjectKey,
) -> Result<Option<Vec<(Span, Value)>>> {
    let mut read = Vec::with_capacity(spans.len());
    for span in spans {
        let snapshot = &changes.snapshots()[span.first];
        let Some(item) = reader.find(snapshot, key)? else { return Ok(None) };
        if matches!(item.kind, ItemKind::File { hash: Some(hash), .. } if hash != span.hash) {
            return Ok(None);
        }
        let bytes = reader.read(&item)?;
        let object = serde_json::from_slice(&bytes).map_err(|error| broken(snapshot, key, &error))?;
        read.push((*span, object));
    }
    Ok(Some(read))
}

/// The object is not in the snapshot behind a span.
fn vanished(reader: &mut ObjectReader<'_>, changes: &Changes<'_>, span: &Span, key: &ObjectKey) -> Result<Event> {
    let snapshot = &changes.snapshots()[span.last + 1];
    let is_listed = covers(&reader.lists(snapshot)?, key);
    let kind = if is_listed { EventKind::Deleted } else { EventKind::NotListed };
    Ok(Event::new(kind, snapshot, Some(&changes.snapshots()[span.last])))
}

/// Whether a snapshot would have the object if the cluster had it, as far as its lists tell.
pub(super) fn covers(lists: &Lists, key: &ObjectKey) -> bool {
    let in_list = |namespace: &Option<String>| namespace.is_none() || *namespace == key.namespace;
    lists.get(&key.resource).is_some_and(|listed| listed.lists.iter().any(|list| in_list(&list.namespace)))
}

fn managers(object: &Value) -> Vec<Manager> {
    let entries = object.get("metadata").and_then(|metadata| metadata.get("managedFields")).and_then(Value::as_array);
    let text = |entry: &Value, name: &str| text_at(entry, &[name]).to_owned();
    let manager = |entry: &Value| Manager {
        manager: text(entry, "manager"),
        operation: text(entry, "operation"),
        subresource: text(entry, "subresource"),
        time: text(entry, "time"),
    };
    entries.into_iter().flatten().map(manager).collect()
}

/// Those that wrote since: the server sets an entry's time whenever its manager changes something.
fn new_managers(before: &Value, after: &Value) -> Vec<Manager> {
    let before = managers(before);
    managers(after).into_iter().filter(|manager| !before.contains(manager)).collect()
}

fn wrong_table(changes: &Changes<'_>, key: &ObjectKey) -> ClusterError {
    let snapshot = changes.snapshots().last().map_or(SnapshotId::new([0; 16]), |snapshot| snapshot.id);
    ClusterError::Snapshot { snapshot, detail: format!("{key} is not what the table of changes says, built anew too") }
}
