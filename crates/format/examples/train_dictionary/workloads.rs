//! Workloads and what their controllers make of them.

use crate::json::{Json, list, object};
use crate::world::{App, Draft, Rng};

pub(crate) fn deployment(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("apps/v1", "Deployment", &app, rng);
    let replicas = rng.below(4) as i64;
    draft.generation = true;
    draft.annotations.push(("deployment.kubernetes.io/revision".to_owned(), (rng.below(30) + 1).to_string().into()));
    draft.body = vec![(
        "spec",
        object! {
            "replicas": replicas,
            "selector": object! { "matchLabels": app.selector() },
            "template": template(&app, rng, "Always"),
            "strategy": if rng.chance(85) {
                object! { "type": "RollingUpdate", "rollingUpdate": object! { "maxUnavailable": "25%", "maxSurge": "25%" } }
            } else {
                object! { "type": "Recreate" }
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
    )];
    let set = format!("{}-{}", app.name, rng.suffix(10));
    draft.status = object! {
        "observedGeneration": 1 + rng.below(9) as i64, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": list![
            object! { "type": "Available", "status": "True", "lastUpdateTime": rng.time(), "lastTransitionTime": rng.time(),
                "reason": "MinimumReplicasAvailable", "message": rng.words(5) },
            object! { "type": "Progressing", "status": "True", "lastUpdateTime": rng.time(), "lastTransitionTime": rng.time(),
                "reason": "NewReplicaSetAvailable", "message": format!("{} {set}", rng.words(4)) },
        ],
    };
    draft.finish(&app, rng)
}

pub(crate) fn replica_set(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let hash = rng.suffix(10);
    let mut draft = Draft::new("apps/v1", "ReplicaSet", &app, rng);
    let replicas = if rng.chance(60) { 0 } else { 1 + rng.below(3) as i64 };
    draft.name = format!("{}-{hash}", app.name);
    draft.generation = true;
    draft.labels = app.selector();
    draft.labels.set("pod-template-hash", hash.clone());
    draft.annotations = vec![
        ("deployment.kubernetes.io/desired-replicas".to_owned(), "1".into()),
        ("deployment.kubernetes.io/max-replicas".to_owned(), "2".into()),
        ("deployment.kubernetes.io/revision".to_owned(), (rng.below(30) + 1).to_string().into()),
    ];
    draft.owner = Some(("apps/v1", "Deployment", app.name.clone()));
    draft.maker = Some("kube-controller-manager");
    let mut template = template(&app, rng, "Always");
    template.set("metadata", object! { "creationTimestamp": Json::Absent, "labels": draft.labels.clone() });
    draft.body = vec![(
        "spec",
        object! {
            "replicas": replicas, "selector": object! { "matchLabels": draft.labels.clone() }, "template": template,
        },
    )];
    draft.status = object! {
        "replicas": replicas, "fullyLabeledReplicas": (replicas > 0).then_some(replicas), "readyReplicas": (replicas > 0).then_some(replicas),
        "availableReplicas": (replicas > 0).then_some(replicas), "observedGeneration": 1 + rng.below(4) as i64,
    };
    draft.finish(&app, rng)
}

pub(crate) fn pod(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let set = format!("{}-{}", app.name, rng.suffix(10));
    let mut draft = Draft::new("v1", "Pod", &app, rng);
    draft.name = format!("{set}-{}", rng.suffix(5));
    draft.generate_name = Some(format!("{set}-"));
    draft.labels = app.selector();
    draft.labels.set("pod-template-hash", rng.suffix(10));
    draft.owner =
        Some(("apps/v1", rng.pick(&["ReplicaSet", "ReplicaSet", "ReplicaSet", "StatefulSet", "DaemonSet"]), set));
    draft.maker = Some("kube-controller-manager");
    draft.status_manager = "kubelet";
    let mut spec = pod_spec(&app, rng, "Always");
    let token = format!("kube-api-access-{}", rng.suffix(5));
    if let Json::Object(fields) = &mut spec {
        fields.retain(|(name, _)| name != "volumes");
        fields.insert(0, ("volumes".to_owned(), list![object! {
            "name": token.clone(),
            "projected": object! {
                "sources": list![
                    object! { "serviceAccountToken": object! { "expirationSeconds": 3607, "path": "token" } },
                    object! { "configMap": object! { "name": "kube-root-ca.crt", "items": list![object! { "key": "ca.crt", "path": "ca.crt" }] } },
                    object! { "downwardAPI": object! { "items": list![object! { "path": "namespace",
                        "fieldRef": object! { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
                ],
                "defaultMode": 420,
            },
        }]));
    }
    let node = node_name(rng);
    spec.set("nodeName", node);
    spec.set("tolerations", list![
        object! { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        object! { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
    ]);
    spec.set("priority", 0);
    spec.set("enableServiceLinks", true);
    spec.set("preemptionPolicy", "PreemptLowerPriority");
    draft.body = vec![("spec", spec)];
    let (started, host, pod) = (rng.time(), rng.address(), rng.address());
    let mut condition = |kind: &str| {
        object! {
            "type": kind, "status": "True", "lastProbeTime": Json::Absent, "lastTransitionTime": rng.time(),
        }
    };
    let conditions =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(&mut condition);
    let image = image(&app, rng);
    draft.status = object! {
        "phase": "Running",
        "conditions": conditions.to_vec(),
        "hostIP": host.clone(), "hostIPs": list![object! { "ip": host }],
        "podIP": pod.clone(), "podIPs": list![object! { "ip": pod }],
        "startTime": started.clone(),
        "containerStatuses": list![object! {
            "name": app.name.clone(),
            "state": object! { "running": object! { "startedAt": started } },
            "lastState": object! {}, "ready": true, "restartCount": rng.below(3) as i64, "image": image.clone(),
            "imageID": format!("{}@sha256:{}", image.split(':').next().unwrap_or(""), rng.hex(64)),
            "containerID": format!("containerd://{}", rng.hex(64)), "started": true,
            "volumeMounts": list![object! { "name": token, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "readOnly": true, "recursiveReadOnly": "Disabled" }],
        }],
        "qosClass": rng.pick(&["Burstable", "BestEffort", "Guaranteed"]),
    };
    draft.finish(&app, rng)
}

pub(crate) fn stateful_set(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("apps/v1", "StatefulSet", &app, rng);
    let replicas = 1 + rng.below(3) as i64;
    draft.generation = true;
    let revision = format!("{}-{}", app.name, rng.suffix(10));
    draft.body = vec![(
        "spec",
        object! {
            "replicas": replicas, "selector": object! { "matchLabels": app.selector() }, "template": template(&app, rng, "Always"),
            "volumeClaimTemplates": list![object! {
                "kind": "PersistentVolumeClaim", "apiVersion": "v1",
                "metadata": object! { "name": "data" },
                "spec": object! { "accessModes": list!["ReadWriteOnce"],
                    "resources": object! { "requests": object! { "storage": rng.pick(&["8Gi", "10Gi", "50Gi", "100Gi"]) } }, "volumeMode": "Filesystem" },
                "status": object! { "phase": "Pending" },
            }],
            "serviceName": format!("{}-headless", app.name), "podManagementPolicy": rng.pick(&["OrderedReady", "Parallel"]),
            "updateStrategy": object! { "type": "RollingUpdate", "rollingUpdate": object! { "partition": 0 } },
            "revisionHistoryLimit": 10,
            "persistentVolumeClaimRetentionPolicy": object! { "whenDeleted": "Retain", "whenScaled": "Retain" },
        },
    )];
    draft.status = object! {
        "observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas, "currentReplicas": replicas, "updatedReplicas": replicas,
        "currentRevision": revision.clone(), "updateRevision": revision, "collisionCount": 0, "availableReplicas": replicas,
    };
    draft.finish(&app, rng)
}

pub(crate) fn daemon_set(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("apps/v1", "DaemonSet", &app, rng);
    let nodes = 1 + rng.below(30) as i64;
    draft.generation = true;
    draft.annotations.push(("deprecated.daemonset.template.generation".to_owned(), "1".into()));
    draft.body = vec![(
        "spec",
        object! {
            "selector": object! { "matchLabels": app.selector() }, "template": template(&app, rng, "Always"),
            "updateStrategy": object! { "type": "RollingUpdate", "rollingUpdate": object! { "maxUnavailable": 1, "maxSurge": 0 } },
            "revisionHistoryLimit": 10,
        },
    )];
    draft.status = object! {
        "currentNumberScheduled": nodes, "numberMisscheduled": 0, "desiredNumberScheduled": nodes, "numberReady": nodes,
        "observedGeneration": 1, "updatedNumberScheduled": nodes, "numberAvailable": nodes,
    };
    draft.finish(&app, rng)
}

pub(crate) fn job(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("batch/v1", "Job", &app, rng);
    let uid = rng.uid();
    draft.name = format!("{}-{}", app.name, 28_000_000 + rng.below(2_000_000));
    draft.generation = true;
    let of_job = object! {
        "batch.kubernetes.io/controller-uid": uid.clone(), "batch.kubernetes.io/job-name": draft.name.clone(),
        "controller-uid": uid.clone(), "job-name": draft.name.clone(),
    };
    draft.labels = of_job.clone();
    draft.annotations.push(("batch.kubernetes.io/cronjob-scheduled-timestamp".to_owned(), rng.time().into()));
    draft.owner = Some(("batch/v1", "CronJob", app.name.clone()));
    draft.maker = Some("kube-controller-manager");
    let mut template = template(&app, rng, "OnFailure");
    template.set("metadata", object! { "labels": of_job });
    draft.body = vec![(
        "spec",
        object! {
            "parallelism": 1, "completions": 1, "backoffLimit": rng.pick(&[6i64, 3, 0]),
            "selector": object! { "matchLabels": object! { "batch.kubernetes.io/controller-uid": uid } },
            "template": template, "completionMode": "NonIndexed", "suspend": false, "podReplacementPolicy": "TerminatingOrFailed",
        },
    )];
    let done = rng.time();
    let mut condition = |kind: &str| {
        object! {
            "type": kind, "status": "True", "lastProbeTime": done.clone(), "lastTransitionTime": done.clone(),
            "reason": "CompletionsReached", "message": rng.words(5),
        }
    };
    let conditions = ["SuccessCriteriaMet", "Complete"].map(&mut condition).to_vec();
    draft.status = object! {
        "conditions": conditions, "startTime": rng.time(), "completionTime": done,
        "succeeded": 1, "terminating": 0, "uncountedTerminatedPods": object! {}, "ready": 0,
    };
    draft.finish(&app, rng)
}

pub(crate) fn cron_job(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("batch/v1", "CronJob", &app, rng);
    draft.generation = true;
    draft.body = vec![(
        "spec",
        object! {
            "schedule": rng.pick(&["0 3 * * *", "*/5 * * * *", "0 * * * *", "30 1 * * 0"]), "concurrencyPolicy": rng.pick(&["Allow", "Forbid"]),
            "suspend": rng.chance(20),
            "jobTemplate": object! { "metadata": object! {}, "spec": object! { "template": template(&app, rng, "OnFailure") } },
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
        },
    )];
    draft.status = object! { "lastScheduleTime": rng.time(), "lastSuccessfulTime": rng.time() };
    draft.finish(&app, rng)
}

pub(crate) fn node_name(rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => format!("ip-10-{}-{}-{}.ec2.internal", rng.below(256), rng.below(256), rng.below(256)),
        1 => format!("worker-{}", rng.below(60)),
        _ => format!("node-pool-{}-{}", rng.below(4), rng.suffix(4)),
    }
}

fn image(app: &App, rng: &mut Rng) -> String {
    let registry = rng.pick(&[
        "registry.example.com",
        "docker.io/library",
        "ghcr.io/example",
        "quay.io/example",
        "registry.k8s.io",
    ]);
    format!("{registry}/{}:{}{}", app.name, rng.pick(&["v", ""]), app.version)
}

fn template(app: &App, rng: &mut Rng, restart: &str) -> Json {
    let mut metadata = object! { "creationTimestamp": Json::Absent, "labels": app.selector() };
    if rng.chance(40) {
        metadata.set("annotations", match rng.below(3) {
            0 => object! { "prometheus.io/path": "/metrics", "prometheus.io/port": "8080", "prometheus.io/scrape": "true" },
            1 => object! { "checksum/config": rng.hex(64) },
            _ => object! { "kubectl.kubernetes.io/restartedAt": rng.time() },
        });
    }
    object! { "metadata": metadata, "spec": pod_spec(app, rng, restart) }
}

fn pod_spec(app: &App, rng: &mut Rng, restart: &str) -> Json {
    let account = rng.chance(60).then(|| app.name.clone());
    let mut mounts = Vec::new();
    let mut volumes = Vec::new();
    if rng.chance(60) {
        mounts.push(object! { "name": "config", "readOnly": rng.chance(50).then_some(true), "mountPath": rng.pick(&["/etc/config", "/config", "/app/config"]) });
        volumes.push(object! { "name": "config", "configMap": object! { "name": format!("{}-config", app.name), "defaultMode": 420 } });
    }
    if rng.chance(35) {
        mounts.push(object! { "name": "tls", "readOnly": true, "mountPath": "/etc/tls" });
        volumes.push(object! { "name": "tls", "secret": object! { "secretName": format!("{}-tls", app.name), "defaultMode": 420 } });
    }
    if rng.chance(35) {
        mounts.push(object! { "name": "tmp", "mountPath": "/tmp" });
        volumes.push(object! { "name": "tmp", "emptyDir": object! {} });
    }
    if rng.chance(25) {
        mounts.push(object! { "name": "data", "mountPath": rng.pick(&["/data", "/var/lib/data"]) });
        volumes.push(
            object! { "name": "data", "persistentVolumeClaim": object! { "claimName": format!("{}-data", app.name) } },
        );
    }
    if rng.chance(55) {
        mounts.push(object! { "name": format!("kube-api-access-{}", rng.suffix(5)), "readOnly": true,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" });
    }
    let port = rng.pick(&[8080i64, 9090, 3000, 8443, 80, 5000]);
    let container = object! {
        "name": app.name.clone(),
        "image": image(app, rng),
        "command": rng.chance(20).then(|| list!["/bin/sh", "-c"]),
        "args": rng.chance(45).then(|| list![format!("--config=/etc/config/{}.yaml", app.name), "--log-level=info", format!("--port={port}")]),
        "ports": list![object! { "name": rng.pick(&["http", "metrics", "https", "grpc"]), "containerPort": port, "protocol": "TCP" }],
        "envFrom": rng.chance(20).then(|| list![object! { "configMapRef": object! { "name": format!("{}-env", app.name) } }]),
        "env": environment(app, rng),
        "resources": resources(rng),
        "volumeMounts": (!mounts.is_empty()).then_some(mounts),
        "livenessProbe": rng.chance(60).then(|| probe(rng, port, "live")),
        "readinessProbe": rng.chance(60).then(|| probe(rng, port, "ready")),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": rng.pick(&["IfNotPresent", "IfNotPresent", "Always"]),
        "securityContext": rng.chance(50).then(|| object! {
            "capabilities": object! { "drop": list!["ALL"] }, "runAsNonRoot": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        }),
    };
    object! {
        "volumes": (!volumes.is_empty()).then_some(volumes),
        "containers": list![container],
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "nodeSelector": rng.chance(20).then(|| object! { "kubernetes.io/os": "linux" }),
        "serviceAccountName": account.clone(),
        "serviceAccount": account,
        "securityContext": if rng.chance(50) {
            object! {}
        } else {
            object! { "runAsUser": 1000, "runAsNonRoot": true, "fsGroup": 1000, "seccompProfile": object! { "type": "RuntimeDefault" } }
        },
        "imagePullSecrets": rng.chance(20).then(|| list![object! { "name": "regcred" }]),
        "affinity": rng.chance(15).then(|| object! { "podAntiAffinity": object! {
            "preferredDuringSchedulingIgnoredDuringExecution": list![object! { "weight": 100, "podAffinityTerm": object! {
                "labelSelector": object! { "matchLabels": app.selector() }, "topologyKey": "kubernetes.io/hostname" } }] } }),
        "schedulerName": "default-scheduler",
        "tolerations": rng.chance(15).then(|| list![object! { "key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule" }]),
    }
}

fn environment(app: &App, rng: &mut Rng) -> Json {
    const NAMES: &[&str] = &[
        "LOG_LEVEL",
        "PORT",
        "HOST",
        "DATABASE_URL",
        "REDIS_URL",
        "REDIS_HOST",
        "DB_HOST",
        "DB_PORT",
        "DB_NAME",
        "DB_USER",
        "ENVIRONMENT",
        "NODE_ENV",
        "JAVA_OPTS",
        "TZ",
        "API_URL",
        "TIMEOUT",
        "WORKERS",
        "REGION",
        "AWS_REGION",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "DEBUG",
        "CACHE_TTL",
        "FEATURE_FLAGS",
        "METRICS_ENABLED",
        "HTTP_PROXY",
        "NO_PROXY",
    ];
    let mut variables = Vec::new();
    let start = rng.below(NAMES.len() as u64) as usize;
    for index in 0..rng.below(12) as usize {
        let words = rng.below(3) + 1;
        variables.push(object! { "name": NAMES[(start + index) % NAMES.len()], "value": rng.words(words) });
    }
    if rng.chance(40) {
        variables.push(object! { "name": "POD_NAMESPACE", "valueFrom": object! { "fieldRef": object! { "apiVersion": "v1", "fieldPath": "metadata.namespace" } } });
        variables.push(object! { "name": "POD_NAME", "valueFrom": object! { "fieldRef": object! { "apiVersion": "v1", "fieldPath": "metadata.name" } } });
    }
    if rng.chance(40) {
        variables.push(object! { "name": rng.pick(&["DB_PASSWORD", "API_KEY", "PASSWORD", "TOKEN"]), "valueFrom": object! { "secretKeyRef": object! {
            "name": format!("{}-secret", app.name), "key": rng.pick(&["password", "token", "api-key"]) } } });
    }
    if variables.is_empty() { Json::Absent } else { variables.into() }
}

fn resources(rng: &mut Rng) -> Json {
    if rng.chance(25) {
        return object! {};
    }
    object! {
        "limits": object! { "cpu": rng.chance(40).then(|| rng.pick(&["500m", "1", "2", "200m"])), "memory": rng.pick(&["128Mi", "256Mi", "512Mi", "1Gi", "2Gi"]) },
        "requests": object! { "cpu": rng.pick(&["10m", "50m", "100m", "250m", "500m"]), "memory": rng.pick(&["64Mi", "128Mi", "256Mi", "512Mi"]) },
    }
}

fn probe(rng: &mut Rng, port: i64, purpose: &str) -> Json {
    let path = match purpose {
        "live" => rng.pick(&["/health", "/healthz", "/livez"]),
        _ => rng.pick(&["/ready", "/readyz", "/healthz"]),
    };
    object! {
        "httpGet": object! { "path": path, "port": port, "scheme": "HTTP" },
        "initialDelaySeconds": rng.chance(50).then(|| rng.pick(&[5i64, 10, 15, 30])),
        "timeoutSeconds": 1, "periodSeconds": rng.pick(&[10i64, 10, 20, 30]), "successThreshold": 1, "failureThreshold": 3,
    }
}
