//! Waiting until what was restored works, and saying what does not and why.
//!
//! Workloads, claims and pods of their own are asked again and again until all are ready or the time is over; then each that is not is
//! looked into: its pods' conditions and containers, its own conditions, and the last warning among its events.

use std::time::{Duration, Instant};

use backstay_repo::Progress;
use serde::Serialize;
use serde_json::Value;

use super::write::parse;
use crate::api::{ApiError, Discovery, ListOptions, Server};
use crate::error::Result;
use crate::object::{ObjectKey, text_at};
use crate::resource::{Resource, ResourceName};

/// Between two looks at everything that is not ready yet.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Something that was restored and does not work yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotReady {
    pub target: ObjectKey,
    pub reason: Reason,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It cannot be pulled.
    Image,
    /// No node takes the pod.
    Scheduling,
    Volume,
    /// It runs, and its probe fails.
    Probe,
    Quota,
    /// It ends again and again.
    Crash,
    /// Something that it names is not there: a Secret, a ConfigMap.
    Configuration,
    /// Nothing is known to be wrong.
    Slow,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Image => "image",
            Self::Scheduling => "scheduling",
            Self::Volume => "volume",
            Self::Probe => "failing probe",
            Self::Quota => "quota",
            Self::Crash => "crashes",
            Self::Configuration => "configuration",
            Self::Slow => "not ready yet",
        })
    }
}

/// Gives what is not ready when all are, or the time is over.
pub(super) fn until_ready(
    server: &Server,
    discovery: &Discovery,
    targets: &[ObjectKey],
    limit: Duration,
    progress: &Progress,
) -> Result<Vec<NotReady>> {
    let started = Instant::now();
    let served = |target: &ObjectKey| discovery.get(&target.resource).map(|it| it.resource.clone());
    let followed = targets.iter().filter(|target| is_followed(&target.resource));
    let mut open: Vec<_> = followed.filter_map(|target| Some((target, served(target)?))).collect();
    let mut pause = PAUSE_MIN;
    loop {
        let mut waiting = Vec::new();
        for (target, resource) in open {
            progress.set_current(|text| text.push_str(&format!("waiting for {target}")));
            let live = server.get(&resource, target.namespace.as_deref(), &target.name)?;
            // What is gone was removed by somebody: nobody waits for that.
            let is_waiting = match live.map(|bytes| parse(&bytes)) {
                Some(live) => !is_ready(server, &target.resource, &live)?,
                None => false,
            };
            if is_waiting {
                waiting.push((target, resource));
            }
        }
        open = waiting;
        if open.is_empty() || progress.is_cancelled() || started.elapsed() + pause > limit {
            break;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
    let mut not_ready = Vec::new();
    for (target, resource) in open {
        let live = server.get(&resource, target.namespace.as_deref(), &target.name)?;
        if let Some(live) = live.map(|bytes| parse(&bytes)) {
            let (reason, why) = diagnosis(server, target, &live)?;
            not_ready.push(NotReady { target: target.clone(), reason, why });
        }
    }
    Ok(not_ready)
}

fn is_followed(resource: &ResourceName) -> bool {
    let followed = [
        "deployments.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "replicasets.apps",
        "replicationcontrollers",
        "jobs.batch",
        "pods",
        "persistentvolumeclaims",
    ];
    followed.contains(&resource.to_string().as_str())
}

/// What has a controller is that one's business.
fn is_ready(server: &Server, resource: &ResourceName, live: &Value) -> Result<bool, ApiError> {
    let number = |path: [&str; 2], default: i64| live[path[0]][path[1]].as_i64().unwrap_or(default);
    let has_controller =
        live["metadata"]["ownerReferences"].as_array().is_some_and(|it| it.iter().any(|it| it["controller"] == true));
    let is_seen = number(["status", "observedGeneration"], 0) >= number(["metadata", "generation"], 0);
    let replicas = number(["spec", "replicas"], 1);
    Ok(match resource.plural.as_str() {
        "deployments" => {
            is_seen
                && number(["status", "updatedReplicas"], 0) >= replicas
                && number(["status", "availableReplicas"], 0) >= replicas
        }
        "statefulsets" => is_seen && number(["status", "readyReplicas"], 0) >= replicas,
        "daemonsets" => {
            is_seen && number(["status", "numberReady"], 0) >= number(["status", "desiredNumberScheduled"], 0)
        }
        "replicasets" | "replicationcontrollers" => {
            has_controller || is_seen && number(["status", "readyReplicas"], 0) >= replicas
        }
        "jobs" => {
            live["spec"]["suspend"] == true
                || is_true(live, "Complete")
                || !is_true(live, "Failed") && number(["status", "ready"], 0) > 0
        }
        "pods" => has_controller || is_true(live, "Ready") || text_at(live, &["status", "phase"]) == "Succeeded",
        "persistentvolumeclaims" => text_at(live, &["status", "phase"]) == "Bound" || waits_for_pod(server, live)?,
        _ => true,
    })
}

/// A claim of a class that makes volumes for pods only is as it should be without one.
fn waits_for_pod(server: &Server, claim: &Value) -> Result<bool, ApiError> {
    let class = text_at(claim, &["spec", "storageClassName"]);
    if class.is_empty() {
        return Ok(false);
    }
    let class = match server.get_path(&format!("/apis/storage.k8s.io/v1/storageclasses/{class}")) {
        Ok(class) => parse(&class),
        Err(error) if error.is_not_found() || error.is_forbidden() => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(text_at(&class, &["volumeBindingMode"]) == "WaitForFirstConsumer")
}

fn diagnosis(server: &Server, target: &ObjectKey, live: &Value) -> Result<(Reason, String)> {
    if target.resource == ResourceName::core("pods") {
        return Ok(pod_diagnosis(server, live)?.unwrap_or_else(slow));
    }
    if target.resource == ResourceName::core("persistentvolumeclaims") {
        let warning = last_warning(server, live)?;
        let phase = text_at(live, &["status", "phase"]);
        let why = warning.map_or_else(|| format!("no volume is bound to it ({phase})"), |(_, message)| message);
        return Ok((Reason::Volume, why));
    }
    for pod in pods(server, live)? {
        if let Some(found) = pod_diagnosis(server, &pod)? {
            let name = text_at(&pod, &["metadata", "name"]);
            return Ok((found.0, format!("pod {name}: {}", found.1)));
        }
    }
    let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
    let is_wrong = |it: &&Value| {
        let status = text_at(it, &["status"]);
        match text_at(it, &["type"]) {
            "ReplicaFailure" | "Failed" | "FailureTarget" => status == "True",
            "Progressing" => status == "False",
            _ => false,
        }
    };
    let words = conditions.into_iter().find(is_wrong).map(|it| text_at(it, &["message"]).to_owned());
    let words = match words {
        Some(words) => Some(words),
        None => last_warning(server, live)?.map(|(_, message)| message),
    };
    Ok(words.map_or_else(slow, |words| (if is_quota(&words) { Reason::Quota } else { Reason::Slow }, words)))
}

fn slow() -> (Reason, String) {
    (Reason::Slow, "nothing is known to be wrong".to_owned())
}

fn is_quota(words: &str) -> bool {
    words.contains("exceeded quota")
}

/// Of a workload, those that are not ready.
fn pods(server: &Server, workload: &Value) -> Result<Vec<Value>> {
    let Some(selector) = selector(&workload["spec"]["selector"]) else { return Ok(Vec::new()) };
    let options = ListOptions {
        namespace: Some(text_at(workload, &["metadata", "namespace"]).to_owned()),
        label_selector: Some(selector),
        ..ListOptions::default()
    };
    let mut pods = Vec::new();
    let listed = server.list::<ApiError>(&pod_resource(), &options, &mut |page| {
        if page.restart {
            pods.clear();
        }
        pods.extend(page.items.into_iter().map(|item| parse(&item)).filter(|pod| !is_true(pod, "Ready")));
        Ok(())
    });
    match listed {
        Ok(_) => Ok(pods),
        Err(error) if error.is_forbidden() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What is wrong with a pod; nothing where nothing shows.
fn pod_diagnosis(server: &Server, pod: &Value) -> Result<Option<(Reason, String)>> {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let unscheduled = conditions.find(|it| it["type"] == "PodScheduled" && it["status"] == "False");
    if let Some(condition) = unscheduled {
        let words = text_at(condition, &["message"]).to_owned();
        let is_volume = words.contains("persistentvolumeclaim") || words.contains("volume");
        return Ok(Some((if is_volume { Reason::Volume } else { Reason::Scheduling }, words)));
    }
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let mut containers = statuses.iter().flat_map(|name| pod["status"][*name].as_array().into_iter().flatten());
    for container in containers.clone() {
        let name = text_at(container, &["name"]);
        let waiting = &container["state"]["waiting"];
        let (reason, message) = (text_at(waiting, &["reason"]), text_at(waiting, &["message"]));
        let found = match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => {
                let image = text_at(container, &["image"]);
                Some((Reason::Image, format!("container {name} cannot get its image {image}: {message}")))
            }
            "CrashLoopBackOff" => {
                let code = container["lastState"]["terminated"]["exitCode"].as_i64();
                let code = code.map(|code| format!(", last with code {code}")).unwrap_or_default();
                Some((Reason::Crash, format!("container {name} ends again and again{code}")))
            }
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                Some((Reason::Configuration, format!("container {name}: {message}")))
            }
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    let warning = last_warning(server, pod)?;
    if let Some((reason, message)) = &warning
        && (reason.contains("Mount") || reason.contains("Volume"))
    {
        return Ok(Some((Reason::Volume, message.clone())));
    }
    let is_unready = |container: &&Value| container["ready"] == false && container["state"]["running"].is_object();
    if let Some(container) = containers.find(is_unready) {
        let name = text_at(container, &["name"]);
        let words = warning.filter(|(reason, _)| reason == "Unhealthy").map(|(_, message)| format!(": {message}"));
        let words = words.unwrap_or_default();
        return Ok(Some((Reason::Probe, format!("container {name} runs, but is not ready{words}"))));
    }
    if let Some((_, message)) = warning {
        return Ok(Some((if is_quota(&message) { Reason::Quota } else { Reason::Slow }, message)));
    }
    let is_unscheduled = text_at(pod, &["spec", "nodeName"]).is_empty();
    Ok(is_unscheduled.then(|| (Reason::Scheduling, "no node was chosen for it yet".to_owned())))
}

/// Reason and message of the newest warning about an object.
fn last_warning(server: &Server, object: &Value) -> Result<Option<(String, String)>> {
    let at = |name: &str| text_at(object, &["metadata", name]);
    let path = format!(
        "/api/v1/namespaces/{}/events?fieldSelector=involvedObject.uid%3D{}%2Ctype%3DWarning&limit=500",
        at("namespace"),
        at("uid")
    );
    let events = match server.get_path(&path) {
        Ok(events) => parse(&events),
        Err(error) if error.is_forbidden() || error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let time = |event: &Value| {
        let times = ["lastTimestamp", "eventTime"].map(|name| text_at(event, &[name]).to_owned());
        times.into_iter().max().unwrap_or_default()
    };
    let newest = events["items"].as_array().into_iter().flatten().max_by_key(|event| time(event));
    Ok(newest.map(|event| (text_at(event, &["reason"]).to_owned(), text_at(event, &["message"]).to_owned())))
}

fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == condition && it["status"] == "True")
}

/// A label selector as the server's lists take it. Replication controllers have labels alone.
fn selector(selector: &Value) -> Option<String> {
    let selector = selector.as_object()?;
    let has_parts = selector.contains_key("matchLabels") || selector.contains_key("matchExpressions");
    let labels = if has_parts { selector.get("matchLabels").and_then(Value::as_object) } else { Some(selector) };
    let labels = labels.into_iter().flatten().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let expressions = expressions.map(|expression| {
        let key = text_at(expression, &["key"]);
        let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let values = values.collect::<Vec<_>>().join(",");
        match text_at(expression, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        }
    });
    Some(labels.chain(expressions).collect::<Vec<_>>().join(","))
}

fn pod_resource() -> Resource {
    Resource {
        name: ResourceName::core("pods"),
        version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        served: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_written_as_lists_take_them() {
        let full = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["a", "b"]},
            {"key": "old", "operator": "DoesNotExist"},
            {"key": "new", "operator": "Exists"},
        ]});
        assert_eq!(selector(&full).unwrap(), "app=web,tier in (a,b),!old,new");
        assert_eq!(selector(&json!({"app": "web"})).unwrap(), "app=web");
        assert_eq!(selector(&Value::Null), None);
    }
}
