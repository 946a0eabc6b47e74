//! Columns of well-known kinds for `backstay get`: what people look for first, read from the object as it is stored.

use backstay_cluster::resource::Resource;
use serde_json::Value;

/// One column of a kind.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Only with `-o wide`.
    pub(super) is_wide: bool,
    pub(super) value: fn(&Value) -> String,
}

const fn column(title: &'static str, value: fn(&Value) -> String) -> Column {
    Column { title, is_wide: false, value }
}

const fn wide(title: &'static str, value: fn(&Value) -> String) -> Column {
    Column { title, is_wide: true, value }
}

/// Columns between the name and the age; none for kinds that are not known here.
pub(super) fn of_resource(resource: &Resource) -> impl Iterator<Item = &'static Column> {
    of(&resource.name.to_string()).iter()
}

fn of(resource: &str) -> &'static [Column] {
    match resource {
        "configmaps" => const { &[column("DATA", |it| entries(&it["data"], &it["binaryData"]))] },
        "secrets" => {
            const { &[column("TYPE", |it| text(&it["type"])), column("DATA", |it| entries(&it["data"], &Value::Null))] }
        }
        "deployments.apps" => {
            const {
                &[
                    column("READY", |it| of_all(&it["status"]["readyReplicas"], &it["spec"]["replicas"])),
                    column("UP-TO-DATE", |it| number(&it["status"]["updatedReplicas"])),
                    column("AVAILABLE", |it| number(&it["status"]["availableReplicas"])),
                    wide("IMAGES", |it| images(&it["spec"]["template"]["spec"])),
                ]
            }
        }
        "statefulsets.apps" => {
            const {
                &[
                    column("READY", |it| of_all(&it["status"]["readyReplicas"], &it["spec"]["replicas"])),
                    wide("IMAGES", |it| images(&it["spec"]["template"]["spec"])),
                ]
            }
        }
        "replicasets.apps" => {
            const {
                &[
                    column("DESIRED", |it| number(&it["spec"]["replicas"])),
                    column("READY", |it| number(&it["status"]["readyReplicas"])),
                    wide("IMAGES", |it| images(&it["spec"]["template"]["spec"])),
                ]
            }
        }
        "daemonsets.apps" => {
            const {
                &[
                    column("DESIRED", |it| number(&it["status"]["desiredNumberScheduled"])),
                    column("READY", |it| number(&it["status"]["numberReady"])),
                    wide("IMAGES", |it| images(&it["spec"]["template"]["spec"])),
                ]
            }
        }
        "pods" => {
            const {
                &[
                    column("READY", pod_ready),
                    column("STATUS", |it| text(&it["status"]["phase"])),
                    column("RESTARTS", pod_restarts),
                    wide("NODE", |it| text(&it["spec"]["nodeName"])),
                    wide("IMAGES", |it| images(&it["spec"])),
                ]
            }
        }
        "services" => {
            const {
                &[
                    column("TYPE", |it| text(&it["spec"]["type"])),
                    column("CLUSTER-IP", |it| text(&it["spec"]["clusterIP"])),
                    column("PORT(S)", service_ports),
                ]
            }
        }
        "persistentvolumeclaims" => {
            const {
                &[
                    column("STATUS", |it| text(&it["status"]["phase"])),
                    column("VOLUME", |it| text(&it["spec"]["volumeName"])),
                    column("CAPACITY", |it| text(&it["status"]["capacity"]["storage"])),
                    column("STORAGECLASS", |it| text(&it["spec"]["storageClassName"])),
                ]
            }
        }
        "persistentvolumes" => {
            const {
                &[
                    column("CAPACITY", |it| text(&it["spec"]["capacity"]["storage"])),
                    column("STATUS", |it| text(&it["status"]["phase"])),
                    column("CLAIM", |it| {
                        let claim = &it["spec"]["claimRef"];
                        joined(&[text(&claim["namespace"]), text(&claim["name"])], "/")
                    }),
                ]
            }
        }
        "namespaces" => const { &[column("STATUS", |it| text(&it["status"]["phase"]))] },
        "nodes" => const { &[column("VERSION", |it| text(&it["status"]["nodeInfo"]["kubeletVersion"]))] },
        "jobs.batch" => {
            const { &[column("COMPLETIONS", |it| of_all(&it["status"]["succeeded"], &it["spec"]["completions"]))] }
        }
        "cronjobs.batch" => {
            const {
                &[
                    column("SCHEDULE", |it| text(&it["spec"]["schedule"])),
                    column("SUSPEND", |it| text(&it["spec"]["suspend"])),
                ]
            }
        }
        "ingresses.networking.k8s.io" => {
            const {
                &[column("HOSTS", |it| {
                    let hosts = list(&it["spec"]["rules"]).map(|rule| text(&rule["host"]));
                    joined(&hosts.collect::<Vec<_>>(), ",")
                })]
            }
        }
        _ => &[],
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Counts that are 0 are left out by the server.
fn number(value: &Value) -> String {
    value.as_i64().unwrap_or(0).to_string()
}

fn of_all(done: &Value, all: &Value) -> String {
    format!("{}/{}", number(done), all.as_i64().unwrap_or(1))
}

fn entries(one: &Value, other: &Value) -> String {
    let count = |value: &Value| value.as_object().map_or(0, serde_json::Map::len);
    (count(one) + count(other)).to_string()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn joined(parts: &[String], separator: &str) -> String {
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(separator)
}

fn images(pod: &Value) -> String {
    joined(&list(&pod["containers"]).map(|container| text(&container["image"])).collect::<Vec<_>>(), ",")
}

fn pod_ready(pod: &Value) -> String {
    let ready = list(&pod["status"]["containerStatuses"]).filter(|it| it["ready"] == true).count();
    format!("{ready}/{}", list(&pod["spec"]["containers"]).count())
}

fn pod_restarts(pod: &Value) -> String {
    list(&pod["status"]["containerStatuses"]).filter_map(|it| it["restartCount"].as_i64()).sum::<i64>().to_string()
}

fn service_ports(service: &Value) -> String {
    let port = |it: &Value| {
        let node = it["nodePort"].as_i64().map(|port| format!(":{port}")).unwrap_or_default();
        let protocol = it["protocol"].as_str().unwrap_or("TCP");
        format!("{}{node}/{protocol}", text(&it["port"]))
    };
    joined(&list(&service["spec"]["ports"]).map(port).collect::<Vec<_>>(), ",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_show_what_people_look_for_and_bear_objects_without_it() {
        let service = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1",
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}});
        let pod = json!({"spec": {"containers": [{}, {}]},
            "status": {"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 3}, {"ready": false}]}});
        for (resource, object, cells) in [
            ("services", service, vec!["NodePort", "10.0.0.1", "80:30080/TCP,53/UDP"]),
            ("pods", pod, vec!["1/2", "Running", "3", "", ""]),
            ("deployments.apps", json!({"spec": {"replicas": 3}}), vec!["0/3", "0", "0", ""]),
            ("configmaps", json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}), vec!["3"]),
            ("persistentvolumes", json!({"spec": {"claimRef": {"namespace": "a", "name": "b"}}}), vec!["", "", "a/b"]),
            ("services", json!({}), vec!["", "", ""]),
            ("crontabs.example.com", json!({}), vec![]),
        ] {
            let shown: Vec<String> = of(resource).iter().map(|column| (column.value)(&object)).collect();
            assert_eq!(shown, cells, "{resource}");
        }
    }
}
