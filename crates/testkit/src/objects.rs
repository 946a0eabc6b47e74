//! Snapshots of Kubernetes objects without a cluster: what looking and restoring are tested on.
//!
//! They have the layout of docs/format.md and docs/design/0004, written by hand here, so that a reader that strays from it fails.

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::log::{SnapshotKind, SnapshotRecord};
use backstay_format::tree::{Content, Extension, Extent, Item, ItemKind, TreeBuilder};
use backstay_repo::{Repository, new_snapshot_id};
use serde_json::{Value, json};

/// Kind, plural, whether it lives in namespaces, short names, whether it is of the category `all`.
const KINDS: &[(&str, &str, bool, &[&str], bool)] = &[
    ("ClusterRole", "clusterroles", false, &[], false),
    ("ClusterRoleBinding", "clusterrolebindings", false, &[], false),
    ("ConfigMap", "configmaps", true, &["cm"], false),
    ("ControllerRevision", "controllerrevisions", true, &[], false),
    ("CronJob", "cronjobs", true, &["cj"], true),
    ("CustomResourceDefinition", "customresourcedefinitions", false, &["crd", "crds"], false),
    ("DaemonSet", "daemonsets", true, &["ds"], true),
    ("Deployment", "deployments", true, &["deploy"], true),
    ("EndpointSlice", "endpointslices", true, &[], false),
    ("Endpoints", "endpoints", true, &["ep"], false),
    ("Event", "events", true, &["ev"], false),
    ("HorizontalPodAutoscaler", "horizontalpodautoscalers", true, &["hpa"], true),
    ("Ingress", "ingresses", true, &["ing"], false),
    ("Job", "jobs", true, &[], true),
    ("Lease", "leases", true, &[], false),
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false, &[], false),
    ("Namespace", "namespaces", false, &["ns"], false),
    ("NetworkPolicy", "networkpolicies", true, &["netpol"], false),
    ("Node", "nodes", false, &["no"], false),
    ("PersistentVolume", "persistentvolumes", false, &["pv"], false),
    ("PersistentVolumeClaim", "persistentvolumeclaims", true, &["pvc"], false),
    ("Pod", "pods", true, &["po"], true),
    ("ReplicaSet", "replicasets", true, &["rs"], true),
    ("Role", "roles", true, &[], false),
    ("RoleBinding", "rolebindings", true, &[], false),
    ("Secret", "secrets", true, &[], false),
    ("Service", "services", true, &["svc"], true),
    ("ServiceAccount", "serviceaccounts", true, &["sa"], false),
    ("StatefulSet", "statefulsets", true, &["sts"], true),
    ("StorageClass", "storageclasses", false, &["sc"], false),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false, &[], false),
];

/// A cluster as one source of snapshots: objects come, change and go, and a snapshot holds what is there.
pub struct ObjectSource<'r> {
    repository: &'r Repository,
    source: String,
    /// Objects by their keys.
    items: BTreeMap<Vec<u8>, Item>,
    /// Bytes of objects that no snapshot holds yet.
    unwritten: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Per resource: what `lists.json` says of it.
    resources: BTreeMap<String, Value>,
}

impl<'r> ObjectSource<'r> {
    pub fn new(repository: &'r Repository, source: &str) -> Self {
        Self {
            repository,
            source: source.to_owned(),
            items: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            resources: BTreeMap::new(),
        }
    }

    /// Adds an object, or puts it in the place of the one that is there.
    pub fn set(&mut self, object: &Value) -> &mut Self {
        let (key, resource) = place(object);
        self.resources.insert(resource["name"].as_str().expect("it was just made").to_owned(), resource);
        let bytes = serde_json::to_vec(object).expect("a value is JSON");
        let api_version = object["apiVersion"].as_str().expect("an object has a version");
        let item = Item {
            mode: 0o644,
            extensions: vec![Extension { number: 1, value: api_version.as_bytes().to_vec() }],
            kind: ItemKind::File {
                size_bytes: bytes.len() as u64,
                content: Content::EMPTY,
                hash: Some(self.repository.keys().content_hash(&bytes)),
                racy: false,
            },
            ..Item::bare_directory(key.clone())
        };
        self.items.insert(key.clone(), item);
        self.unwritten.insert(key, bytes);
        self
    }

    /// Takes an object away; what else it says than its kind and names does not matter.
    pub fn remove(&mut self, object: &Value) -> &mut Self {
        let (key, _) = place(object);
        assert!(self.items.remove(&key).is_some(), "the object to be removed is not there");
        self.unwritten.remove(&key);
        self
    }

    /// How many objects the next snapshot will store anew.
    pub fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// Commits a snapshot of what is there now; `started` is RFC 3339, UTC.
    pub fn snapshot(&mut self, started: &str) -> SnapshotRecord {
        let mut record = SnapshotRecord { source: self.source.clone(), ..record(started) };
        let writer = self.repository.begin().unwrap_or_else(failed);
        let mut chunks = writer.chunk_writer().unwrap_or_else(failed);
        for (key, bytes) in std::mem::take(&mut self.unwritten) {
            let id = chunks.put(RecordKind::Data, &bytes, Hint::SmallJson).unwrap_or_else(failed);
            let extent = Extent::Chunk { id, len: bytes.len() as u32 };
            let item = self.items.get_mut(&key).expect("it was set with its bytes");
            let ItemKind::File { content, .. } = &mut item.kind else { unreachable!("objects are files") };
            *content = Content::Extents(vec![extent]);
        }
        let lists = serde_json::to_vec(&self.lists(started)).expect("a value is JSON");
        let id = chunks.put(RecordKind::Data, &lists, Hint::Plain).unwrap_or_else(failed);
        let lists = Item {
            mode: 0o644,
            kind: ItemKind::File {
                size_bytes: lists.len() as u64,
                content: Content::Extents(vec![Extent::Chunk { id, len: lists.len() as u32 }]),
                hash: Some(self.repository.keys().content_hash(&lists)),
                racy: false,
            },
            ..Item::bare_directory(b"lists.json".to_vec())
        };
        let directories: BTreeSet<&[u8]> = self.items.keys().flat_map(|key| directories_above(key)).collect();
        let mut all: Vec<Item> = directories.into_iter().map(|key| Item::bare_directory(key.to_vec())).collect();
        all.push(lists);
        all.extend(self.items.values().cloned());
        all.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        let mut builder = TreeBuilder::new(self.repository.keys(), self.repository.config().trees.objects);
        for item in &all {
            builder.push(item, &mut |kind, plain| chunks.put(kind, plain, Hint::Plain)).unwrap_or_else(failed);
        }
        record.tree = builder.finish(&mut |kind, plain| chunks.put(kind, plain, Hint::Plain)).unwrap_or_else(failed);
        record.summary.objects = self.items.len() as u64;
        record.summary.size_bytes = self.items.values().map(size_bytes).sum();
        writer.commit(record).unwrap_or_else(failed)
    }

    fn lists(&self, time: &str) -> Value {
        let resources = self.resources.iter().map(|(name, resource)| {
            let directory = format!("resources\0{name}\0").into_bytes();
            let objects =
                self.items.range(directory.clone()..).take_while(|(key, _)| key.starts_with(&directory)).count();
            let mut resource = resource.clone();
            resource["objects"] = objects.into();
            resource["lists"] = json!([{"resource_version": "1000", "time": time}]);
            resource
        });
        json!({"resources": resources.collect::<Vec<_>>()})
    }
}

/// A snapshot of these objects alone.
pub fn snapshot(repository: &Repository, source: &str, started: &str, objects: &[Value]) -> SnapshotRecord {
    let mut cluster = ObjectSource::new(repository, source);
    for object in objects {
        cluster.set(object);
    }
    cluster.snapshot(started)
}

/// An object's key in the tree, and its resource as `lists.json` describes it.
fn place(object: &Value) -> (Vec<u8>, Value) {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("an object without names: {object}")).to_owned();
    let (api_version, kind, name) =
        (text(&object["apiVersion"]), text(&object["kind"]), text(&object["metadata"]["name"]));
    let namespace = object["metadata"]["namespace"].as_str();
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let known = KINDS.iter().find(|(known, ..)| *known == kind);
    let plural = known.map_or_else(|| format!("{}s", kind.to_lowercase()), |known| known.1.to_owned());
    let namespaced = known.map_or(namespace.is_some(), |known| known.2);
    assert_eq!(namespaced, namespace.is_some(), "{kind}/{name} and its namespace do not fit");
    let resource_name = if group.is_empty() { plural } else { format!("{plural}.{group}") };
    let collection = namespace.map_or_else(|| "cluster".to_owned(), |namespace| format!("namespaces\0{namespace}"));
    let key = format!("resources\0{resource_name}\0{collection}\0{name}.json").into_bytes();
    let resource = json!({
        "name": resource_name,
        "version": version,
        "kind": kind,
        "singular": kind.to_lowercase(),
        "short_names": known.map_or(&[][..], |known| known.3),
        "categories": if known.is_some_and(|known| known.4) { vec!["all"] } else { Vec::new() },
        "namespaced": namespaced,
        "served": [version],
    });
    (key, resource)
}

fn size_bytes(item: &Item) -> u64 {
    match item.kind {
        ItemKind::File { size_bytes, .. } => size_bytes,
        _ => 0,
    }
}

/// The root and every directory down to the one that the key is in.
fn directories_above(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
    std::iter::once(0).chain(ends).map(|end| &key[..end])
}

/// A record of nothing, made at this time: what a snapshot holds is filled in.
pub fn record(started: &str) -> SnapshotRecord {
    let no_tree =
        backstay_format::log::TreeRef { root: backstay_format::ids::ChunkId::new([0; 32]), level: 0, items: 0 };
    SnapshotRecord {
        program: "test".to_owned(),
        ..SnapshotRecord::new(new_snapshot_id().unwrap_or_else(failed), SnapshotKind::Cluster, "", started, no_tree)
    }
}

fn failed<T>(error: backstay_repo::RepoError) -> T {
    panic!("the snapshot of a test cannot be written: {error}")
}
