//! Who owns which field of an object, kept over a restore.
//!
//! What the server does (Kubernetes 1.36, tested in `restore_managers`): a POST ignores managedFields and gives every field that is
//! sent to the request's field manager; an apply refuses them and owns exactly the fields that are sent; a patch that sets them is
//! taken as it is, times included. So an object is created under the manager that owns most of it, and the answer says whether that
//! made the same owners; where it did not, one patch does. An object of one manager costs one request, any other two.
//!
//! Entries of the status are left out: a status is not restored, or written under its own manager's name.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::object::text_at;

/// Writes objects whose fields nobody owned.
pub const OWN_MANAGER: &str = "backstay";

/// How an object is created.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Creation {
    pub(super) manager: String,
    /// By server-side apply, with the manager's fields only; otherwise all that is in the body is sent.
    pub(super) is_apply: bool,
    /// What is sent.
    pub(super) body: Value,
    /// What is to be there in the end.
    whole: Value,
    /// The entries that the object is to have. Empty where the snapshot knows none.
    pub(super) wanted: Vec<Value>,
}

impl Creation {
    /// `managers`: the snapshot's entries. `uids`: owners' new uids by their old ones; the body has the new ones already.
    pub(super) fn new(body: &Value, managers: &[Value], uids: &HashMap<String, String>) -> Self {
        let whole = without_words_of_the_status(body, managers);
        let wanted: Vec<Value> = managers.iter().filter_map(|entry| still_true(entry, &whole, uids)).collect();
        let is_main = |entry: &&Value| text_at(entry, &["subresource"]).is_empty();
        let updates = |entry: &&Value| text_at(entry, &["operation"]) == "Update";
        let main = match &wanted[..] {
            [one] => Some(one).filter(is_main),
            several => several.iter().find(|entry| is_main(entry) && updates(entry)),
        };
        let manager = main.map_or(OWN_MANAGER, |entry| text_at(entry, &["manager"])).to_owned();
        let applied = main.filter(|entry| text_at(entry, &["operation"]) == "Apply");
        let fields = applied.and_then(|entry| entry.get("fieldsV1")).and_then(Value::as_object);
        let body = match fields {
            Some(fields) => identified(extract(fields, &whole), &whole),
            None => without_defaults(&whole, &wanted),
        };
        Self { manager, is_apply: fields.is_some(), body, whole, wanted }
    }

    /// The same as a POST with everything, for a server that does not take the apply.
    pub(super) fn as_post(&self) -> Self {
        Self { is_apply: false, body: without_defaults(&self.whole, &self.wanted), ..self.clone() }
    }

    /// What has to be patched after the answer: nothing where the object is as it was.
    pub(super) fn correction(&self, answer: &Value) -> Option<Value> {
        let entries = entries(answer);
        let is_complete = !self.is_apply || contains(answer, &self.whole);
        if is_complete && (self.wanted.is_empty() || are_equal(&entries, &self.wanted)) {
            return None;
        }
        let mut patch = if is_complete { Value::Object(Map::new()) } else { self.whole.clone() };
        let metadata = object_in(&mut patch, "metadata");
        metadata.insert("resourceVersion".to_owned(), text_at(answer, &["metadata", "resourceVersion"]).into());
        if !self.wanted.is_empty() {
            metadata.insert("managedFields".to_owned(), self.joined(&entries).into());
        }
        Some(patch)
    }

    /// The wanted entries, and what others made of the object since: a controller may have been faster than this patch.
    fn joined(&self, live: &[&Value]) -> Vec<Value> {
        let operation = if self.is_apply { "Apply" } else { "Update" };
        let is_own = |entry: &Value| {
            text_at(entry, &["manager"]) == self.manager
                && text_at(entry, &["operation"]) == operation
                && text_at(entry, &["subresource"]).is_empty()
        };
        let mut joined = self.wanted.clone();
        for entry in live.iter().filter(|entry| !is_own(entry)) {
            match joined.iter_mut().find(|it| identity(it) == identity(entry)) {
                Some(same) => {
                    if let Some(fields) = entry.get("fieldsV1") {
                        unite(&mut same["fieldsV1"], fields);
                    }
                }
                None => joined.push((*entry).clone()),
            }
        }
        joined
    }
}

/// Without annotations and labels that nobody owned but who wrote the status: they were written along with it, and come back with it.
/// A deployment's revision is one; sent along, it would be the creator's.
fn without_words_of_the_status(body: &Value, managers: &[Value]) -> Value {
    let mut body = body.clone();
    for words in ["annotations", "labels"] {
        let owns =
            |entry: &Value, name: &str| entry["fieldsV1"]["f:metadata"][format!("f:{words}")].get(name).is_some();
        let (of_status, others): (Vec<&Value>, Vec<&Value>) =
            managers.iter().partition(|entry| text_at(entry, &["subresource"]) == "status");
        let Some(Value::Object(found)) = body.get_mut("metadata").and_then(|metadata| metadata.get_mut(words)) else {
            continue;
        };
        found.retain(|name, _| {
            let name = format!("f:{name}");
            others.iter().any(|entry| owns(entry, &name)) || !of_status.iter().any(|entry| owns(entry, &name))
        });
        if found.is_empty() {
            object_in(&mut body, "metadata").remove(words);
        }
    }
    body
}

/// The manager of the status, under whose name it is written.
pub(super) fn status_manager(managers: &[Value]) -> &str {
    let of_status = managers.iter().find(|entry| text_at(entry, &["subresource"]) == "status");
    of_status.map_or(OWN_MANAGER, |entry| text_at(entry, &["manager"]))
}

/// An entry without what the new object does not have; nothing where that leaves nothing, and of the status.
fn still_true(entry: &Value, body: &Value, uids: &HashMap<String, String>) -> Option<Value> {
    if text_at(entry, &["subresource"]) == "status" || text_at(entry, &["manager"]).is_empty() {
        return None;
    }
    let mut fields = entry.get("fieldsV1")?.as_object()?.clone();
    rename_owners(&mut fields, uids);
    let fields = prune(&fields, body);
    if fields.is_empty() {
        return None;
    }
    let mut entry = entry.clone();
    entry["fieldsV1"] = fields.into();
    Some(entry)
}

/// References to owners are keyed by uid.
fn rename_owners(fields: &mut Map<String, Value>, uids: &HashMap<String, String>) {
    let references = fields
        .get_mut("f:metadata")
        .and_then(|metadata| metadata.get_mut("f:ownerReferences"))
        .and_then(Value::as_object_mut);
    let Some(references) = references else { return };
    let renamed = std::mem::take(references).into_iter().map(|(name, below)| {
        let key = name.strip_prefix("k:").and_then(|key| serde_json::from_str::<Value>(key).ok());
        let new = key.and_then(|key| uids.get(text_at(&key, &["uid"])).cloned());
        (new.map_or(name, |uid| format!("k:{}", serde_json::json!({ "uid": uid }))), below)
    });
    *references = renamed.collect();
}

/// The fields of the set that the value has. The names in sets are those of `fieldsV1`: `f:` a field, `k:` an element by its keys,
/// `v:` an element by its value, `i:` one by its place, `.` the thing itself.
fn prune(fields: &Map<String, Value>, value: &Value) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, below) in fields {
        if name == "." {
            kept.insert(name.clone(), below.clone());
            continue;
        }
        let (Some(child), Some(below)) = (step(name, value), below.as_object()) else { continue };
        let pruned = prune(below, child);
        if below.is_empty() || !pruned.is_empty() {
            kept.insert(name.clone(), pruned.into());
        }
    }
    kept
}

/// The part of the value that the set names.
fn extract(fields: &Map<String, Value>, value: &Value) -> Value {
    if fields.is_empty() {
        return value.clone();
    }
    let children = fields.iter().filter(|(name, _)| *name != ".");
    let children = children.filter_map(|(name, below)| Some((name, below.as_object()?, step(name, value)?)));
    match value {
        Value::Array(elements) => {
            let named: Vec<_> = children.collect();
            let part = elements.iter().filter_map(|element| {
                let (_, below, _) = named.iter().find(|(_, _, child)| std::ptr::eq(*child, element))?;
                Some(extract(below, element))
            });
            Value::Array(part.collect())
        }
        _ => children.map(|(name, below, child)| (name[2..].to_owned(), extract(below, child))).collect(),
    }
}

/// What one name of a set leads to.
fn step<'v>(name: &str, value: &'v Value) -> Option<&'v Value> {
    let (kind, text) = name.split_once(':')?;
    match kind {
        "f" => value.get(text),
        "i" => value.get(text.parse::<usize>().ok()?),
        "v" => {
            let wanted: Value = serde_json::from_str(text).ok()?;
            value.as_array()?.iter().find(|element| **element == wanted)
        }
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(text).ok()?;
            let has_keys = |element: &&Value| keys.iter().all(|(name, key)| element.get(name) == Some(key));
            value.as_array()?.iter().find(has_keys)
        }
        _ => None,
    }
}

/// What an apply needs besides its fields.
fn identified(mut part: Value, full: &Value) -> Value {
    for name in ["apiVersion", "kind"] {
        part[name] = full[name].clone();
    }
    let metadata = object_in(&mut part, "metadata");
    for name in ["name", "namespace"] {
        if let Some(value) = full["metadata"].get(name) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    // No object is ever at version 1: what exists is refused with a conflict, and what does not is created.
    metadata.insert("resourceVersion".to_owned(), "1".into());
    part
}

/// What the server puts into a new object by itself. Sent along it would count as the creator's; where nobody owned it, it is left
/// to the server, and the owners come out as they were without a second request.
fn without_defaults(body: &Value, wanted: &[Value]) -> Value {
    let defaults: &[[&str; 2]] = match (text_at(body, &["apiVersion"]), text_at(body, &["kind"])) {
        ("v1", "Service") => &[["spec", "ipFamilies"], ["spec", "ipFamilyPolicy"]],
        ("v1", "Namespace") => &[["spec", "finalizers"]],
        ("v1", "PersistentVolumeClaim" | "PersistentVolume") => &[["metadata", "finalizers"]],
        _ => &[],
    };
    let mut body = body.clone();
    for [parent, name] in defaults {
        let path = |entry: &Value| entry["fieldsV1"].get(format!("f:{parent}"))?.get(format!("f:{name}")).cloned();
        let is_own = *parent != "metadata" || has_only_protection(&body[*parent][*name]);
        if !wanted.is_empty()
            && is_own
            && wanted.iter().all(|entry| path(entry).is_none())
            && let Some(parent) = body.get_mut(*parent).and_then(Value::as_object_mut)
        {
            parent.remove(*name);
        }
    }
    body
}

/// Whether these finalizers are those that the server sets on volumes and claims.
fn has_only_protection(finalizers: &Value) -> bool {
    let is_protection =
        |it: &Value| matches!(it.as_str(), Some("kubernetes.io/pvc-protection" | "kubernetes.io/pv-protection"));
    finalizers.as_array().is_some_and(|finalizers| finalizers.iter().all(is_protection))
}

/// Whether everything of `part` is in `whole`. Lists have to be equal in length.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
            part.iter().all(|(name, value)| whole.get(name).map_or(is_empty(value), |it| contains(it, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        (whole, part) => whole == part,
    }
}

/// Entries of an object, without those of the status.
fn entries(object: &Value) -> Vec<&Value> {
    object["metadata"]["managedFields"].as_array().map(|entries| entries.iter().collect()).unwrap_or_default()
}

/// The same owners of the same fields, whatever the times and the order. Whoever wrote the status does not matter.
fn are_equal(live: &[&Value], wanted: &[Value]) -> bool {
    let of_objects: Vec<_> = live.iter().filter(|entry| text_at(entry, &["subresource"]) != "status").collect();
    let is_there = |entry: &Value| {
        of_objects.iter().any(|it| identity(it) == identity(entry) && it["fieldsV1"] == entry["fieldsV1"])
    };
    of_objects.len() == wanted.len() && wanted.iter().all(is_there)
}

/// What makes an entry one of its own.
fn identity(entry: &Value) -> [&str; 4] {
    ["manager", "operation", "apiVersion", "subresource"].map(|name| text_at(entry, &[name]))
}

fn unite(fields: &mut Value, more: &Value) {
    if let (Some(fields), Some(more)) = (fields.as_object_mut(), more.as_object()) {
        for (name, below) in more {
            unite(fields.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), below);
        }
    }
}

/// The object below a name, made where there is none.
pub(super) fn object_in<'v>(parent: &'v mut Value, name: &str) -> &'v mut Map<String, Value> {
    if !parent[name].is_object() {
        parent[name] = Value::Object(Map::new());
    }
    parent[name].as_object_mut().expect("it was just made an object")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "1"}},
            "spec": {"containers": [
                {"name": "side", "image": "s"},
                {"name": "main", "image": "m", "ports": [{"containerPort": 80, "protocol": "TCP"}], "args": ["a", "b"]},
            ]},
        })
    }

    #[test]
    fn an_apply_sends_what_its_manager_owned_and_nothing_else() {
        let fields = json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:name": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}},
                "f:gone": {}},
        });
        let creation = Creation::new(&pod(), &[entry("argo", "Apply", fields)], &HashMap::new());
        assert_eq!((creation.manager.as_str(), creation.is_apply), ("argo", true));
        assert_eq!(
            creation.body,
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "1", "labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "args": ["a", "b"], "ports": [{"containerPort": 80}]}]},
            })
        );
        assert_eq!(creation.wanted[0]["fieldsV1"]["f:spec"].get("f:gone"), None, "the object has no such field");
    }

    #[test]
    fn with_several_managers_an_updating_one_creates_and_a_patch_divides_the_fields() {
        let managers = [
            entry("argo", "Apply", json!({"f:metadata": {"f:labels": {"f:app": {}}}})),
            entry("kubectl", "Update", json!({"f:metadata": {"f:labels": {"f:tier": {}}}})),
            json!({"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "subresource": "status",
                "fieldsV1": {"f:status": {}}}),
        ];
        let creation = Creation::new(&pod(), &managers, &HashMap::new());
        assert_eq!((creation.manager.as_str(), creation.is_apply), ("kubectl", false));
        assert_eq!(creation.body, pod());
        assert_eq!(creation.wanted, managers[..2]);
        assert_eq!(status_manager(&managers), "kubelet");

        let controller = entry("kubelet", "Update", json!({"f:metadata": {"f:annotations": {"f:x": {}}}}));
        let mut answer = pod();
        answer["metadata"]["resourceVersion"] = "7".into();
        answer["metadata"]["managedFields"] =
            json!([entry("kubectl", "Update", json!({"f:spec": {"f:containers": {}}})), controller]);
        let patch = creation.correction(&answer).unwrap();
        let expected =
            json!({"metadata": {"resourceVersion": "7", "managedFields": [managers[0], managers[1], controller]}});
        assert_eq!(patch, expected);
        answer["metadata"]["managedFields"] = json!([managers[1], managers[0]]);
        assert_eq!(creation.correction(&answer), None);
    }

    #[test]
    fn what_was_written_along_with_the_status_is_left_to_who_writes_it() {
        let mut body = pod();
        body["metadata"]["annotations"] = json!({"revision": "3", "mine": "x"});
        let mut status = entry("controller", "Update", json!({"f:metadata": {"f:annotations": {"f:revision": {}}}}));
        status["subresource"] = "status".into();
        let helm = entry("helm", "Update", json!({"f:metadata": {"f:annotations": {".": {}, "f:mine": {}}}}));
        let creation = Creation::new(&body, &[helm.clone(), status.clone()], &HashMap::new());
        assert_eq!(creation.body["metadata"]["annotations"], json!({"mine": "x"}));
        assert_eq!(creation.wanted, [helm]);
        let alone = Creation::new(&body, &[status], &HashMap::new()).body;
        assert_eq!(alone["metadata"]["annotations"], json!({"mine": "x"}), "nobody is known to own it");
    }

    #[test]
    fn an_owner_reference_is_owned_under_the_new_uid() {
        let mut body = pod();
        body["metadata"]["ownerReferences"] = json!([{"uid": "new", "name": "x"}]);
        let fields = json!({"f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"old\"}": {},
            "k:{\"uid\":\"dropped\"}": {}}}});
        let uids = HashMap::from([("old".to_owned(), "new".to_owned())]);
        let creation = Creation::new(&body, &[entry("helm", "Update", fields)], &uids);
        let expected = json!({"f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"new\"}": {}}}});
        assert_eq!(creation.wanted[0]["fieldsV1"], expected);
    }

    #[test]
    fn what_a_server_sets_by_itself_is_left_to_it_where_nobody_owned_it() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "type": "ClusterIP"}});
        let helm = entry("helm", "Update", json!({"f:spec": {"f:type": {}}}));
        let sent = Creation::new(&service, &[helm], &HashMap::new()).body;
        assert_eq!(sent["spec"], json!({"type": "ClusterIP"}));
        let owned = entry("helm", "Update", json!({"f:spec": {"f:ipFamilies": {}, "f:ipFamilyPolicy": {}}}));
        assert_eq!(Creation::new(&service, &[owned], &HashMap::new()).body, service);
        assert_eq!(Creation::new(&service, &[], &HashMap::new()).body, service, "nothing is known of its owners");
    }
}
