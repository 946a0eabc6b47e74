//! The server's dry run of a plan: what can be tried is sent as it would be written, and what is refused is a conflict in the plan.
//!
//! What depends on another item of the plan cannot be tried: a namespace or an account that is not there yet is no conflict.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_repo::{RepoError, Repository};
use parking_lot::Mutex;
use serde_json::Value;

use super::compare::merge_patch;
use super::document::{Action, Plan, PlanItem};
use super::examine::Ground;
use super::immutable::held_by;
use super::options::ExistingPolicy;
use super::prepare::{Prepared, PreparedObject, Preparer};
use crate::api::{ApiError, PatchKind, Server, WriteOptions};
use crate::error::Result;
use crate::resource::ResourceName;
use crate::snapshot::ObjectReader;

/// Requests at once.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");
const MANAGER: &str = "backstay";

/// Tries every item that would be written, and changes the actions of those that the server refuses.
pub(super) fn try_out(ground: &Ground<'_>, repository: &Repository, plan: &mut Plan) -> Result<()> {
    let Ground { server, snapshot, preparer, live_namespaces, progress, .. } = ground;
    let policy = plan.options.existing_resource_policy;
    let can_be_tried = |item: &PlanItem| {
        let exists = |namespace: &String| live_namespaces.get(namespace) == Some(&false);
        matches!(item.action, Action::Create | Action::Update { .. })
            && item.target.namespace.as_ref().is_none_or(exists)
    };
    let next = AtomicUsize::new(0);
    let verdicts: Mutex<Vec<(usize, Verdict)>> = Mutex::default();
    let items = &plan.items;
    let work = || -> Result<()> {
        let mut reader = ObjectReader::new(repository)?;
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return Ok(()) };
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted.into());
            }
            if !can_be_tried(item) {
                continue;
            }
            let Some(found) = reader.find(snapshot, &item.key)? else { continue };
            let bytes = reader.read(&found)?;
            let Prepared::Object(object) = preparer.prepare(&item.key, &bytes)? else { continue };
            if let Some(verdict) = try_item(server, preparer, item, &object, policy)? {
                verdicts.lock().push((place, verdict));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS.get()).map(|_| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect::<Result<Vec<()>>>()
    })?;
    let is_early = |item: &&PlanItem| item.action == Action::Create && !can_be_tried(item);
    let early = items.iter().filter(is_early).count();
    if early > 0 {
        plan.notes.push(format!("{early} objects could not be tried, because their namespace is not there yet"));
    }
    for (place, verdict) in verdicts.into_inner() {
        let item = &mut plan.items[place];
        match verdict {
            Verdict::Note(note) => item.notes.push(note),
            Verdict::Action(action) => item.action = action,
        }
    }
    Ok(())
}

/// What the server's answer makes of an item.
enum Verdict {
    Note(String),
    Action(Action),
}

fn try_item(
    server: &Server,
    preparer: &Preparer,
    item: &PlanItem,
    object: &PreparedObject,
    policy: ExistingPolicy,
) -> Result<Option<Verdict>> {
    let options = WriteOptions { field_manager: MANAGER.to_owned(), dry_run: true, ..WriteOptions::default() };
    let (resource, namespace) = (&object.resource, object.target.namespace.as_deref());
    let result = match &item.action {
        Action::Update { .. } => {
            let Some(live) = server.get(resource, namespace, &object.target.name)? else { return Ok(None) };
            let Ok(live) = serde_json::from_slice::<Value>(&live) else { return Ok(None) };
            let patch = merge_patch(preparer, &object.target, &live, object).to_string();
            server.patch(resource, namespace, &object.target.name, PatchKind::Merge, patch.as_bytes(), &options)
        }
        _ => server.create(resource, namespace, object.body.to_string().as_bytes(), &options),
    };
    match result {
        Ok(_) => Ok(None),
        Err(error) if error.code().is_none() => Err(error.into()),
        Err(error) => Ok(Some(verdict(&error, item, object, policy))),
    }
}

fn verdict(error: &ApiError, item: &PlanItem, object: &PreparedObject, policy: ExistingPolicy) -> Verdict {
    let words = words(error, object);
    // One that is being deleted still has the name.
    let needs_another = error.is_not_found() || error.is_already_exists() || words.contains("not found");
    let is_elsewhere =
        words.contains("provided port is already allocated") || words.contains("does not support dry run");
    if needs_another || is_elsewhere {
        return Verdict::Note(format!("the dry run could not decide: {words}"));
    }
    if let Action::Update { fields } = &item.action
        && error.is_invalid()
        && policy == ExistingPolicy::Recreate
        && held_by(&item.key.resource).is_none()
    {
        return Verdict::Action(Action::Recreate { fields: fields.clone() });
    }
    Verdict::Action(Action::Conflict { why: words })
}

/// The server's words; those about a Secret may repeat its values, so that only their fields are told.
fn words(error: &ApiError, object: &PreparedObject) -> String {
    match error {
        ApiError::Status { code, reason, details, .. } if object.target.resource == ResourceName::core("secrets") => {
            let fields: Vec<_> = details.causes.iter().map(|cause| cause.field.as_str()).collect();
            format!("the server refuses it: {code} {reason} {}", fields.join(", ")).trim_end().to_owned()
        }
        ApiError::Status { message, .. } => message.clone(),
        other => other.to_string(),
    }
}
