//! A real cluster, a repository in memory, and the way between them, for tests of restores.

use std::time::Duration;

use backstay_cluster::api::{ConnectOptions, Server};
use backstay_cluster::restore::{ApplyOptions, ItemResult, Outcome, Plan, RestoreOptions, apply, plan};
use backstay_cluster::snapshot::ObjectReader;
use backstay_format::log::SnapshotRecord;
use backstay_repo::{Progress, Repository};
use backstay_testkit::cluster::{Cluster, shared};
use serde_json::{Value, json};

use crate::support::{Bucket, NOW};

pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) server: Server,
    pub(crate) repository: Repository,
}

impl World {
    pub(crate) fn new() -> Self {
        let cluster = shared();
        let options = ConnectOptions { kubeconfig: Some(cluster.kubeconfig().to_owned()), ..ConnectOptions::default() };
        Self { cluster, server: Server::connect(&options).unwrap(), repository: Bucket::new().open() }
    }

    /// Objects as the server has them, managedFields included.
    pub(crate) fn live(&self, namespace: &str, kinds: &str) -> Vec<Value> {
        let list = self.cluster.kubectl(&["get", kinds, "-n", namespace, "-o", "json", "--show-managed-fields"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        list["items"].as_array().map_or_else(|| vec![list.clone()], Clone::clone)
    }

    /// One of them; panics where it is not there.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Value {
        let object = self.cluster.kubectl(&["get", name, "-n", namespace, "-o", "json", "--show-managed-fields"]);
        serde_json::from_str(&object).unwrap()
    }

    pub(crate) fn snapshot(&self, objects: &[Value]) -> SnapshotRecord {
        backstay_testkit::objects::snapshot(&self.repository, "test", NOW, objects)
    }

    pub(crate) fn plan(&self, snapshot: &SnapshotRecord, options: &RestoreOptions) -> Plan {
        let mut reader = ObjectReader::new(&self.repository).unwrap();
        plan(&self.server, &mut reader, snapshot, options, &Progress::new()).unwrap()
    }

    pub(crate) fn apply(&self, snapshot: &SnapshotRecord, plan: &Plan, options: &ApplyOptions) -> Outcome {
        apply(&self.server, &self.repository, snapshot, plan, options, &Progress::new()).unwrap()
    }

    /// Plans and applies objects with short patience.
    pub(crate) fn restore(&self, objects: &[Value], options: &RestoreOptions) -> Outcome {
        let snapshot = self.snapshot(objects);
        let plan = self.plan(&snapshot, options);
        self.apply(&snapshot, &plan, &quick())
    }

    /// Asks kubectl until it says what is wanted.
    #[track_caller]
    pub(crate) fn eventually(&self, arguments: &[&str], is_wanted: impl Fn(&str) -> bool) {
        let mut output = String::new();
        for _ in 0..300 {
            output = self.cluster.try_kubectl(arguments, "").unwrap_or_else(|message| message);
            if is_wanted(&output) {
                return;
            }
            pause(Duration::from_millis(100));
        }
        panic!("kubectl {}: {output}", arguments.join(" "));
    }

    /// Returns when the garbage collector has looked at the namespace: an object whose owner never was is gone.
    #[track_caller]
    pub(crate) fn collect_garbage(&self, namespace: &str) {
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "00000000-dead-4000-8000-000000000000"});
        let orphan = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "garbage", "namespace": namespace, "ownerReferences": [owner]}});
        self.cluster.kubectl_with(&["create", "-f", "-"], &orphan.to_string());
        self.eventually(&["get", "configmap", "garbage", "-n", namespace], |output| output.contains("NotFound"));
    }
}

/// Nobody wants to wait long for what never happens.
pub(crate) fn quick() -> ApplyOptions {
    ApplyOptions { patience: Duration::from_secs(5), ..ApplyOptions::default() }
}

pub(crate) fn mapped(from: &str, to: &str) -> RestoreOptions {
    RestoreOptions { namespace_mappings: [(from.to_owned(), to.to_owned())].into(), ..RestoreOptions::default() }
}

/// The result of the item of that name, and why.
#[track_caller]
pub(crate) fn result(outcome: &Outcome, name: &str) -> (ItemResult, String) {
    let item = outcome.items.iter().find(|item| item.target.name == name);
    let item = item.unwrap_or_else(|| panic!("{name} is not in {outcome:#?}"));
    (item.result, item.why.clone())
}

#[track_caller]
pub(crate) fn assert_all(outcome: &Outcome, result: ItemResult) {
    let others: Vec<_> = outcome.items.iter().filter(|item| item.result != result).collect();
    assert!(others.is_empty() && outcome.left_over == 0, "{others:#?}, {} left over", outcome.left_over);
}

pub(crate) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "no event tells what another process has done")]
    std::thread::sleep(time);
}

pub(crate) fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"key": value}})
}
