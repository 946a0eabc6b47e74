//! Services: addresses and node ports belong to a cluster, except those that somebody asked for.

use serde_json::{Map, Value};

use crate::object::text_at;

/// Takes off the cluster's addresses and, unless they are preserved, the node ports that nobody set. Reads managedFields.
pub(super) fn release(service: &mut Value, preserve_node_ports: bool) {
    if text_at(service, &["spec", "type"]) == "ExternalName" {
        return;
    }
    let asked = (!preserve_node_ports).then(|| Asked::of(service));
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if spec.get("clusterIP").and_then(Value::as_str) != Some("None") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    let Some(asked) = asked else { return };
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut()
            && !asked.has_node_port(port)
        {
            port.remove("nodePort");
        }
    }
    if !asked.health_check_port {
        spec.remove("healthCheckNodePort");
    }
}

/// Which node ports somebody asked for: by the manifest that kubectl remembers, else by the fields that a manager owns.
struct Asked {
    ports: Ports,
    health_check_port: bool,
}

enum Ports {
    /// As `kubectl apply` got them.
    Applied(Vec<Map<String, Value>>),
    /// Keys of owned ports: `k:{"port":80,"protocol":"TCP"}`, parsed.
    Owned(Vec<Value>),
}

impl Asked {
    fn of(service: &Value) -> Self {
        const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
        let applied = text_at(service, &["metadata", "annotations", LAST_APPLIED]);
        if let Ok(applied) = serde_json::from_str::<Value>(applied) {
            let ports = applied.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
            return Self {
                ports: Ports::Applied(ports.filter_map(Value::as_object).cloned().collect()),
                health_check_port: is_number(applied.pointer("/spec/healthCheckNodePort")),
            };
        }
        let entries = service.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        let specs: Vec<_> = entries.filter_map(|entry| entry.pointer("/fieldsV1/f:spec")).collect();
        let owned = specs.iter().filter_map(|spec| spec.get("f:ports")?.as_object()).flatten();
        let owned = owned.filter(|(_, fields)| fields.get("f:nodePort").is_some());
        Self {
            ports: Ports::Owned(
                owned.filter_map(|(key, _)| serde_json::from_str(key.strip_prefix("k:")?).ok()).collect(),
            ),
            health_check_port: specs.iter().any(|spec| spec.get("f:healthCheckNodePort").is_some()),
        }
    }

    fn has_node_port(&self, port: &Map<String, Value>) -> bool {
        let number = |port: &Map<String, Value>| port.get("nodePort").and_then(Value::as_i64).filter(|it| *it > 0);
        match &self.ports {
            // A port is told by its name, one without a name by its number.
            Ports::Applied(applied) => {
                let name = |port: &Map<String, Value>| {
                    port.get("name").and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
                };
                applied.iter().any(|it| match name(port) {
                    Some(wanted) => name(it) == Some(wanted) && number(it).is_some(),
                    None => name(it).is_none() && number(it).is_some() && number(it) == number(port),
                })
            }
            Ports::Owned(keys) => {
                let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
                keys.iter().any(|key| {
                    key.get("port") == port.get("port")
                        && key.get("protocol").and_then(Value::as_str).unwrap_or("TCP") == protocol
                })
            }
        }
    }
}

fn is_number(value: Option<&Value>) -> bool {
    value.and_then(Value::as_i64).is_some_and(|it| it > 0)
}
