//! A busy cluster without a server: its objects, and what a quarter of an hour does to them.
//!
//! 300 applications on 30 nodes make 5,000 objects. Every quarter all leases and nodes beat, cron jobs start and their oldest jobs go, events come
//! and go, autoscalers look again. In working hours an application is rolled out each hour; certificates are renewed at night. That is some
//! 190 objects of 5,000 from one backup to the next, and less than a tenth of them is anything that people did.

use std::collections::VecDeque;

use backstay_testkit::data::random;
use backstay_testkit::objects::ObjectSource;
use serde_json::{Value, json};

const NAMESPACES: u64 = 40;
const NODES: u64 = 30;
const LEADERS: u64 = 8;
const PODS_PER_APPLICATION: u64 = 3;
const CRON_JOBS: u64 = 30;
/// They start every quarter of an hour, the others every hour.
const FREQUENT_CRON_JOBS: u64 = 10;
const JOBS_KEPT: usize = 3;
/// New ones each quarter; they live for an hour.
const EVENTS: u64 = 50;
const QUARTERS_PER_EVENT: usize = 4;
pub(crate) const QUARTERS_PER_DAY: u64 = 96;
/// From eight to six, from Monday to Friday.
const WORKING_HOURS: std::ops::Range<u64> = 8..18;
const WORKING_DAYS: u64 = 5;

/// How many objects an application has, on average; the rest of the cluster has some 700.
const OBJECTS_PER_APPLICATION: f64 = 14.4;
const OBJECTS_BESIDE: f64 = 680.0;

/// The cluster's memory between two quarters.
pub(crate) struct Cluster {
    applications: u64,
    /// Of each application, how often it was rolled out.
    revisions: Vec<u64>,
    /// Of each cron job, the names of the jobs that are kept, oldest first.
    jobs: Vec<VecDeque<u64>>,
    /// Of each of the last quarters, its events.
    events: VecDeque<Vec<Value>>,
    version: u64,
    quarter: u64,
}

impl Cluster {
    pub(crate) fn new(objects: u64) -> Self {
        let applications = ((objects as f64 - OBJECTS_BESIDE) / OBJECTS_PER_APPLICATION).max(1.0) as u64;
        Self {
            applications,
            revisions: vec![1; applications as usize],
            jobs: vec![VecDeque::new(); CRON_JOBS as usize],
            events: VecDeque::new(),
            version: 1000,
            quarter: 0,
        }
    }

    /// Puts everything there that a cluster has before its first backup.
    pub(crate) fn fill(&mut self, source: &mut ObjectSource<'_>) {
        for number in 0..NAMESPACES {
            source.set(&self.object(
                "v1",
                "Namespace",
                None,
                &namespace(number),
                json!({"status": {"phase": "Active"}}),
            ));
        }
        for number in 0..120 {
            let rules: Vec<Value> = (0..=number % 6)
                .map(|rule| json!({"apiGroups": ["", "apps"], "resources": [format!("things{rule}"), "pods"], "verbs": ["get", "list", "watch"]}))
                .collect();
            let name = format!("system:part-{number}");
            source.set(&self.object(
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                None,
                &name,
                json!({"rules": rules}),
            ));
            let subjects =
                json!([{"kind": "ServiceAccount", "name": "default", "namespace": namespace(number % NAMESPACES)}]);
            let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
            let body = json!({"roleRef": role, "subjects": subjects});
            source.set(&self.object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", None, &name, body));
        }
        for application in 0..self.applications {
            self.found(source, application);
        }
        for job in 0..CRON_JOBS {
            for run in 0..JOBS_KEPT as u64 {
                self.run_job(source, job, run);
            }
        }
        for _ in 0..QUARTERS_PER_EVENT {
            self.beat(source);
        }
    }

    /// Lets a quarter of an hour pass.
    pub(crate) fn pass(&mut self, source: &mut ObjectSource<'_>) {
        self.quarter += 1;
        self.beat(source);
        for job in 0..CRON_JOBS {
            if job < FREQUENT_CRON_JOBS || (self.quarter + job).is_multiple_of(4) {
                self.run_job(source, job, self.quarter + JOBS_KEPT as u64);
            }
        }
        let hour = self.quarter % QUARTERS_PER_DAY / 4;
        let is_workday = self.quarter / QUARTERS_PER_DAY % 7 < WORKING_DAYS;
        if is_workday && WORKING_HOURS.contains(&hour) && self.quarter.is_multiple_of(4) {
            self.roll_out(source, random(self.quarter) % self.applications);
        }
        if self.quarter % QUARTERS_PER_DAY == 12 {
            for certificate in 0..2 {
                let application = random(self.quarter + 1 + certificate) % self.applications;
                source.set(&self.secret(application, self.quarter));
            }
        }
    }

    /// What moves although nobody does anything.
    fn beat(&mut self, source: &mut ObjectSource<'_>) {
        for node in 0..NODES {
            source.set(&self.node(node));
            let spec = json!({"holderIdentity": node_name(node), "leaseDurationSeconds": 40, "renewTime": self.now()});
            let body = json!({"spec": spec});
            source.set(&self.object(
                "coordination.k8s.io/v1",
                "Lease",
                Some("kube-node-lease"),
                &node_name(node),
                body,
            ));
        }
        for leader in 0..LEADERS {
            let name = format!("controller-{leader}");
            let holder = format!("{name}_{}", uid(leader));
            let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 2, "renewTime": self.now()});
            source.set(&self.object(
                "coordination.k8s.io/v1",
                "Lease",
                Some("kube-system"),
                &name,
                json!({"spec": spec}),
            ));
        }
        if self.events.len() == QUARTERS_PER_EVENT {
            for event in self.events.pop_front().into_iter().flatten() {
                source.remove(&event);
            }
        }
        let events: Vec<Value> = (0..EVENTS).map(|number| self.event(number)).collect();
        for event in &events {
            source.set(event);
        }
        self.events.push_back(events);
        for look in 0..10 {
            let application = random(self.quarter << 8 | look) % self.applications / 4 * 4;
            source.set(&self.autoscaler(application));
        }
    }

    fn found(&mut self, source: &mut ObjectSource<'_>, application: u64) {
        let (name, space) = names(application);
        let space = Some(&space[..]);
        source.set(&self.object("v1", "ServiceAccount", space, &name, json!({})));
        for part in ["settings", "dashboards"] {
            source.set(&self.config_map(application, part, 1));
        }
        source.set(&self.secret(application, 0));
        let spec = json!({"clusterIP": address(application), "clusterIPs": [address(application)], "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "selector": {"app": name}, "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]});
        source.set(&self.object("v1", "Service", space, &name, json!({"spec": spec, "status": {"loadBalancer": {}}})));
        if application.is_multiple_of(2) {
            let rules =
                json!([{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list", "watch"]}]);
            source.set(&self.object("rbac.authorization.k8s.io/v1", "Role", space, &name, json!({"rules": rules})));
            let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
            let body =
                json!({"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": space}]});
            source.set(&self.object("rbac.authorization.k8s.io/v1", "RoleBinding", space, &name, body));
            let body = json!({"spec": {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {}}]}]}});
            source.set(&self.object("networking.k8s.io/v1", "NetworkPolicy", space, &name, body));
        }
        if application.is_multiple_of(3) {
            let backend = json!({"service": {"name": name, "port": {"number": 80}}});
            let rule = json!({"host": format!("{name}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
            source.set(&self.object(
                "networking.k8s.io/v1",
                "Ingress",
                space,
                &name,
                json!({"spec": {"rules": [rule]}}),
            ));
        }
        if application.is_multiple_of(4) {
            source.set(&self.autoscaler(application));
            let volume = format!("pvc-{}", uid(application));
            let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}, "storageClassName": "fast",
                "volumeMode": "Filesystem", "volumeName": volume});
            let body = json!({"spec": spec, "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}}});
            source.set(&self.object("v1", "PersistentVolumeClaim", space, &name, body));
            let spec = json!({"capacity": {"storage": "10Gi"}, "claimRef": {"name": name, "namespace": space}, "storageClassName": "fast",
                "csi": {"driver": "csi.example.com", "volumeHandle": uid(application + 7)}, "persistentVolumeReclaimPolicy": "Delete"});
            source.set(&self.object(
                "v1",
                "PersistentVolume",
                None,
                &volume,
                json!({"spec": spec, "status": {"phase": "Bound"}}),
            ));
        }
        source.set(&self.replica_set(application, 0, 0));
        self.set_revision(source, application);
    }

    /// The new revision's pods take the place of the old one's; two replica sets are kept.
    fn roll_out(&mut self, source: &mut ObjectSource<'_>, application: u64) {
        let old = self.revisions[application as usize];
        for pod in 0..PODS_PER_APPLICATION {
            source.remove(&self.pod(application, old, pod));
        }
        source.remove(&self.replica_set(application, old - 1, 0));
        source.set(&self.replica_set(application, old, 0));
        self.revisions[application as usize] += 1;
        if application.is_multiple_of(2) {
            source.set(&self.config_map(application, "settings", old + 1));
        }
        self.set_revision(source, application);
    }

    fn set_revision(&mut self, source: &mut ObjectSource<'_>, application: u64) {
        let (name, space) = names(application);
        let revision = self.revisions[application as usize];
        source.set(&self.deployment(application, revision));
        source.set(&self.replica_set(application, revision, PODS_PER_APPLICATION));
        for pod in 0..PODS_PER_APPLICATION {
            source.set(&self.pod(application, revision, pod));
        }
        let endpoints: Vec<Value> = (0..PODS_PER_APPLICATION)
            .map(|pod| {
                let target = json!({"kind": "Pod", "name": pod_name(application, revision, pod), "namespace": space});
                json!({"addresses": [address(application * 7 + revision * 3 + pod)], "nodeName": node_name((application + pod) % NODES),
                    "conditions": {"ready": true, "serving": true, "terminating": false}, "targetRef": target, "zone": "zone-a"})
            })
            .collect();
        let body = json!({"addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]});
        source.set(&self.object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            Some(&space),
            &format!("{name}-{application:05}"),
            body,
        ));
    }

    /// One more job with its pod; the oldest goes when there are too many.
    fn run_job(&mut self, source: &mut ObjectSource<'_>, job: u64, run: u64) {
        let objects = |cluster: &mut Self, run: u64| {
            let (cron_job, space) = (format!("task-{job}"), namespace(job));
            let name = format!("{cron_job}-{:08}", 28_000_000 + run * 15);
            let container = json!({"name": "task", "image": format!("registry.example.com/tasks/{cron_job}:1.4"), "args": ["run", "--once"]});
            let spec = json!({"backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1,
                "template": {"spec": {"containers": [container], "restartPolicy": "Never"}}});
            let status = json!({"succeeded": 1, "startTime": cluster.now(), "completionTime": cluster.now(),
                "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": cluster.now()}]});
            let body = json!({"spec": spec, "status": status});
            let made = cluster.object("batch/v1", "Job", Some(&space), &name, body);
            let spec = json!({"containers": [container], "nodeName": node_name(random(run + job) % NODES), "restartPolicy": "Never"});
            let body = json!({"spec": spec, "status": cluster.pod_status(run, "Succeeded")});
            [made, cluster.object("v1", "Pod", Some(&space), &format!("{name}-{}", suffix(run ^ job << 32)), body)]
        };
        for object in objects(self, run) {
            source.set(&object);
        }
        self.jobs[job as usize].push_back(run);
        if self.jobs[job as usize].len() > JOBS_KEPT
            && let Some(oldest) = self.jobs[job as usize].pop_front()
        {
            for object in objects(self, oldest) {
                source.remove(&object);
            }
        }
        let schedule = if job < FREQUENT_CRON_JOBS { "*/15 * * * *" } else { "0 * * * *" };
        let body = json!({"spec": {"schedule": schedule, "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": JOBS_KEPT},
            "status": {"lastScheduleTime": self.now(), "lastSuccessfulTime": self.now()}});
        source.set(&self.object("batch/v1", "CronJob", Some(&namespace(job)), &format!("task-{job}"), body));
    }

    fn node(&mut self, node: u64) -> Value {
        let condition = |kind: &str, status: &str, now: &str| {
            json!({"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": "2025-06-01T00:00:00Z",
                "reason": format!("Kubelet{kind}"), "message": format!("kubelet says {kind}")})
        };
        let now = self.now();
        let conditions = json!([
            condition("MemoryPressure", "False", &now),
            condition("DiskPressure", "False", &now),
            condition("PIDPressure", "False", &now),
            condition("Ready", "True", &now)
        ]);
        let images: Vec<Value> = (0..25)
            .map(|image| {
                let names = [format!("registry.example.com/app-{}@sha256:{}{}", node + image, uid(image), uid(node))
                    .replace('-', "")];
                json!({"names": names, "sizeBytes": 50_000_000 + random(image) % 100_000_000})
            })
            .collect();
        let capacity = json!({"cpu": "16", "memory": "65537320Ki", "pods": "110", "ephemeral-storage": "203056560Ki"});
        let status = json!({"addresses": [{"type": "InternalIP", "address": address(node)}, {"type": "Hostname", "address": node_name(node)}],
            "allocatable": capacity, "capacity": capacity, "conditions": conditions, "images": images,
            "nodeInfo": {"architecture": "amd64", "kernelVersion": "6.12.0", "kubeletVersion": "v1.36.0", "machineID": uid(node)}});
        let spec = json!({"podCIDR": format!("10.{node}.0.0/24"), "providerID": format!("example://{}", uid(node))});
        self.object("v1", "Node", None, &node_name(node), json!({"spec": spec, "status": status}))
    }

    fn event(&mut self, number: u64) -> Value {
        let application = random(self.version) % self.applications;
        let (name, space) = names(application);
        let about =
            json!({"kind": "Pod", "name": pod_name(application, 1, 0), "namespace": space, "uid": uid(application)});
        let message =
            format!("Readiness probe failed: Get \"http://{}:8080/ready\": context deadline exceeded", address(number));
        let body = json!({"involvedObject": about, "reason": "Unhealthy", "message": message, "type": "Warning", "count": 1,
            "source": {"component": "kubelet", "host": node_name(number % NODES)}, "firstTimestamp": self.now(), "lastTimestamp": self.now()});
        let unique = format!("{name}.{:016x}", random(self.version + 1));
        self.object("v1", "Event", Some(&space), &unique, body)
    }

    fn autoscaler(&mut self, application: u64) -> Value {
        let (name, space) = names(application);
        let load = random(self.version) % 60 + 20;
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": load}}});
        let spec = json!({"minReplicas": 3, "maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}});
        let body =
            json!({"spec": spec, "status": {"currentReplicas": 3, "desiredReplicas": 3, "currentMetrics": [metric]}});
        self.object("autoscaling/v2", "HorizontalPodAutoscaler", Some(&space), &name, body)
    }

    fn config_map(&mut self, application: u64, part: &str, revision: u64) -> Value {
        let (name, space) = names(application);
        let lines: Vec<String> = (0..10 + application % 60)
            .map(|line| {
                format!(
                    "{}.{} = {}",
                    word(line),
                    word(application + line * 3),
                    word(random(application + line) + revision)
                )
            })
            .collect();
        let data =
            json!({"application.properties": lines.join("\n"), "LOG_LEVEL": "info", "REVISION": revision.to_string()});
        self.object("v1", "ConfigMap", Some(&space), &format!("{name}-{part}"), json!({"data": data}))
    }

    fn secret(&mut self, application: u64, generation: u64) -> Value {
        let (name, space) = names(application);
        // What a certificate is to a compressor.
        let noise: String =
            (0..12).map(|part| uid(application << 24 | generation << 8 | part).replace('-', "")).collect();
        let body =
            json!({"type": "kubernetes.io/tls", "data": {"tls.crt": noise, "tls.key": uid(application + generation)}});
        self.object("v1", "Secret", Some(&space), &format!("{name}-tls"), body)
    }

    fn deployment(&mut self, application: u64, revision: u64) -> Value {
        let (name, space) = names(application);
        let spec = json!({"replicas": PODS_PER_APPLICATION, "revisionHistoryLimit": 1, "selector": {"matchLabels": {"app": name}},
            "template": template(application, revision)});
        let condition = |kind: &str, now: &str| json!({"type": kind, "status": "True", "lastUpdateTime": now, "lastTransitionTime": now});
        let now = self.now();
        let status = json!({"availableReplicas": 3, "observedGeneration": revision, "readyReplicas": 3, "replicas": 3, "updatedReplicas": 3,
            "conditions": [condition("Available", &now), condition("Progressing", &now)]});
        self.object("apps/v1", "Deployment", Some(&space), &name, json!({"spec": spec, "status": status}))
    }

    fn replica_set(&mut self, application: u64, revision: u64, replicas: u64) -> Value {
        let (name, space) = names(application);
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(application, revision)});
        let body =
            json!({"spec": spec, "status": {"observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas}});
        self.object("apps/v1", "ReplicaSet", Some(&space), &format!("{name}-{}", suffix(revision)), body)
    }

    fn pod(&mut self, application: u64, revision: u64, pod: u64) -> Value {
        let (_, space) = names(application);
        let mut spec = template(application, revision)["spec"].take();
        spec["nodeName"] = node_name((application + pod) % NODES).into();
        spec["schedulerName"] = "default-scheduler".into();
        spec["tolerations"] = json!([{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300},
            {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 300}]);
        let status = self.pod_status(application * 7 + revision * 3 + pod, "Running");
        let name = pod_name(application, revision, pod);
        self.object("v1", "Pod", Some(&space), &name, json!({"spec": spec, "status": status}))
    }

    fn pod_status(&self, number: u64, phase: &str) -> Value {
        let now = self.now();
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        json!({"phase": phase, "podIP": address(number), "podIPs": [{"ip": address(number)}], "qosClass": "Burstable", "startTime": now,
            "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
            "containerStatuses": [{"name": "web", "ready": true, "restartCount": 0, "started": true, "state": {"running": {"startedAt": now}},
                "containerID": format!("containerd://{}{}", uid(number), uid(number + 1)).replace('-', "")}]})
    }

    /// As the server would write it: with what it adds to each object, and the field managers.
    fn object(&mut self, api_version: &str, kind: &str, namespace: Option<&str>, name: &str, body: Value) -> Value {
        self.version += 1;
        let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {}, "f:status": {}});
        let manager = json!({"apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": fields, "manager": "controller-manager",
            "operation": "Update", "time": self.now()});
        let mut metadata = json!({"name": name, "uid": uid(hash(kind, name)), "resourceVersion": self.version.to_string(),
            "creationTimestamp": "2025-06-01T00:00:00Z", "labels": {"app": name, "app.kubernetes.io/managed-by": "Helm"},
            "managedFields": [manager]});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        if let (Value::Object(object), Value::Object(body)) = (&mut object, body) {
            object.extend(body);
        }
        object
    }

    /// Some time in the quarter; who reads it needs only that it moves on.
    fn now(&self) -> String {
        let second = self.version % 60;
        let (day, quarter) = (self.quarter / QUARTERS_PER_DAY, self.quarter % QUARTERS_PER_DAY);
        format!("2026-{:02}-{:02}T{:02}:{:02}:{second:02}Z", day / 28 + 1, day % 28 + 1, quarter / 4, quarter % 4 * 15)
    }
}

fn template(application: u64, revision: u64) -> Value {
    let (name, _) = names(application);
    let variables: Vec<Value> = (0..3 + application % 20)
        .map(|number| json!({"name": format!("VAR_{number}"), "value": format!("{} {}", word(number * 5 + application), word(number))}))
        .collect();
    let container = json!({"name": "web", "image": format!("registry.example.com/{name}:1.{revision}"), "imagePullPolicy": "IfNotPresent",
        "env": variables, "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}});
    json!({"metadata": {"labels": {"app": name, "revision": revision.to_string()}},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "serviceAccountName": name,
            "terminationGracePeriodSeconds": 30}})
}

/// An application's name, and its namespace's.
fn names(application: u64) -> (String, String) {
    (format!("app-{application}"), namespace(application))
}

fn namespace(number: u64) -> String {
    format!("team-{}", number % NAMESPACES)
}

fn node_name(node: u64) -> String {
    format!("node-{node:02}.example.com")
}

fn pod_name(application: u64, revision: u64, pod: u64) -> String {
    format!("app-{application}-{}-{}", suffix(revision), suffix(application << 20 | revision << 8 | pod))
}

/// Letters and digits behind a generated name.
fn suffix(number: u64) -> String {
    format!("{:05x}", random(number) & 0xf_ffff)
}

fn address(number: u64) -> String {
    let bits = random(number);
    format!("10.{}.{}.{}", bits >> 16 & 255, bits >> 8 & 255, bits & 255)
}

fn uid(number: u64) -> String {
    let (high, low) = (random(number), random(number ^ u64::MAX));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn word(number: u64) -> &'static str {
    const WORDS: [&str; 23] = [
        "alpha", "bravo", "cart", "price", "order", "payment", "queue", "redis", "postgres", "http", "timeout",
        "retry", "level", "debug", "host", "port", "true", "false", "node", "pool", "cache", "shard", "topic",
    ];
    WORDS[(number % WORDS.len() as u64) as usize]
}

fn hash(kind: &str, name: &str) -> u64 {
    kind.bytes()
        .chain(name.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
