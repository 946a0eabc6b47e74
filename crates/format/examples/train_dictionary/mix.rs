//! The mix that the cluster benchmark loads: other words, labels, managers and shares than what the dictionary is made from.

use crate::json::{Json, list, object};
use crate::world::{App, Draft, Rng, Style};

/// One object, with the resource it belongs to as the key that it sorts by.
pub(crate) fn object_of_mix(rng: &mut Rng, index: u64) -> (String, String) {
    const SHARES: &[(&str, u64)] = &[
        ("configmaps", 26),
        ("secrets", 18),
        ("deployments", 14),
        ("services", 14),
        ("serviceaccounts", 8),
        ("roles", 5),
        ("rolebindings", 5),
        ("ingresses", 4),
        ("cronjobs", 2),
        ("networkpolicies", 4),
    ];
    let mut at = rng.below(100);
    let resource = SHARES
        .iter()
        .find(|(_, share)| {
            let hit = at < *share;
            at = at.wrapping_sub(*share);
            hit
        })
        .map_or("configmaps", |(name, _)| *name);
    let app = App {
        name: format!("app-{index}"),
        namespace: format!("team-{}", rng.below(40)),
        version: "1".to_owned(),
        style: Style::Bare,
    };
    let key = format!("{resource}/{}/{}", app.namespace, app.name);
    (key, draft(resource, &app, rng))
}

fn words(rng: &mut Rng, count: u64) -> String {
    const WORDS: &[&str] = &[
        "alpha", "bravo", "cart", "price", "order", "payment", "queue", "redis", "postgres", "http", "timeout",
        "retry", "level", "debug", "info", "host", "port", "8080", "true", "false", "node", "pool", "cache", "shard",
        "topic",
    ];
    (0..count).map(|_| rng.pick(WORDS)).collect::<Vec<_>>().join(" ")
}

fn draft(resource: &str, app: &App, rng: &mut Rng) -> String {
    let (api_version, kind) = match resource {
        "configmaps" => ("v1", "ConfigMap"),
        "secrets" => ("v1", "Secret"),
        "deployments" => ("apps/v1", "Deployment"),
        "services" => ("v1", "Service"),
        "serviceaccounts" => ("v1", "ServiceAccount"),
        "roles" => ("rbac.authorization.k8s.io/v1", "Role"),
        "rolebindings" => ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        "ingresses" => ("networking.k8s.io/v1", "Ingress"),
        "cronjobs" => ("batch/v1", "CronJob"),
        _ => ("networking.k8s.io/v1", "NetworkPolicy"),
    };
    let mut draft = Draft::new(api_version, kind, app, rng);
    draft.maker = Some("unknown");
    draft.labels = object! {
        "app": app.name.clone(), "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": app.name.clone(), "helm.sh/chart": format!("web-1.2.{}", rng.below(30)),
    };
    draft.annotations = vec![
        ("meta.helm.sh/release-name".to_owned(), app.name.clone().into()),
        ("meta.helm.sh/release-namespace".to_owned(), app.namespace.clone().into()),
    ];
    let selector = object! { "app": app.name.clone() };
    let pod = |container: Json, restart: &str| {
        object! {
            "containers": list![container], "restartPolicy": restart, "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": object! {},
            "schedulerName": "default-scheduler",
        }
    };
    draft.generation = matches!(resource, "deployments" | "ingresses" | "cronjobs" | "networkpolicies");
    draft.body = match resource {
        "configmaps" => {
            let lines = 5 + rng.below(115);
            let text = (0..lines).map(|_| words(rng, 6)).collect::<Vec<_>>().join("\n");
            vec![("data", object! { "LOG_LEVEL": "info", "application.properties": text })]
        }
        "secrets" => {
            let length = 100 + rng.below(1400) as usize;
            vec![
                ("data", object! { "password": rng.base64(24), "tls.crt": rng.base64(length) }),
                ("type", "Opaque".into()),
            ]
        }
        "deployments" => {
            let variables: Vec<Json> = (0..3 + rng.below(22))
                .map(|n| object! { "name": format!("VAR_{n}"), "value": words(rng, 2) })
                .collect();
            let probe = |path: &str| object! { "httpGet": object! { "path": path, "port": 8080, "scheme": "HTTP" }, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 };
            let container = object! {
                "name": "c", "image": format!("registry.example.com/{}:1.{}", app.name, rng.below(99)), "ports": list![object! { "containerPort": 8080, "protocol": "TCP" }],
                "env": variables, "resources": object! { "limits": object! { "memory": "256Mi" }, "requests": object! { "cpu": "100m", "memory": "128Mi" } },
                "livenessProbe": probe("/health"), "readinessProbe": probe("/ready"),
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
            };
            draft.annotations.push(("deployment.kubernetes.io/revision".to_owned(), "1".into()));
            draft.status = object! { "observedGeneration": 1, "conditions": list![
                object! { "type": "Available", "status": "True", "lastUpdateTime": rng.time(), "lastTransitionTime": rng.time(), "reason": "MinimumReplicasAvailable", "message": words(rng, 4) },
                object! { "type": "Progressing", "status": "True", "lastUpdateTime": rng.time(), "lastTransitionTime": rng.time(), "reason": "NewReplicaSetAvailable", "message": words(rng, 6) },
            ] };
            vec![(
                "spec",
                object! {
                    "replicas": 0, "selector": object! { "matchLabels": selector.clone() },
                    "template": object! { "metadata": object! { "labels": selector }, "spec": pod(container, "Always") },
                    "strategy": object! { "type": "RollingUpdate", "rollingUpdate": object! { "maxUnavailable": "25%", "maxSurge": "25%" } },
                    "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                },
            )]
        }
        "services" => {
            let address = rng.address();
            draft.status = object! { "loadBalancer": object! {} };
            vec![(
                "spec",
                object! {
                    "ports": list![object! { "protocol": "TCP", "port": 80, "targetPort": 8080 }], "selector": selector, "clusterIP": address.clone(), "clusterIPs": list![address],
                    "type": "ClusterIP", "sessionAffinity": "None", "ipFamilies": list!["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                },
            )]
        }
        "serviceaccounts" => Vec::new(),
        "roles" => vec![(
            "rules",
            list![
                object! { "verbs": list!["get", "list", "watch"], "apiGroups": list![""], "resources": list!["configmaps", "secrets"] }
            ],
        )],
        "rolebindings" => vec![
            (
                "subjects",
                list![object! { "kind": "ServiceAccount", "name": "default", "namespace": app.namespace.clone() }],
            ),
            ("roleRef", object! { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": app.name.clone() }),
        ],
        "ingresses" => vec![(
            "spec",
            object! { "rules": list![object! { "host": format!("{}.example.com", app.name), "http": object! { "paths": list![object! {
            "path": "/", "pathType": "Prefix", "backend": object! { "service": object! { "name": app.name.clone(), "port": object! { "number": 80 } } } }] } }] },
        )],
        "cronjobs" => {
            let container = object! { "name": "c", "image": "x", "resources": object! {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "Always" };
            vec![(
                "spec",
                object! { "schedule": "0 3 * * *", "concurrencyPolicy": "Allow", "suspend": true,
                "jobTemplate": object! { "metadata": object! {}, "spec": object! { "template": object! { "metadata": object! {}, "spec": pod(container, "Never") } } },
                "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1 },
            )]
        }
        _ => vec![(
            "spec",
            object! { "podSelector": object! { "matchLabels": selector }, "ingress": list![object! { "from": list![object! { "podSelector": object! {} }] }], "policyTypes": list!["Ingress"] },
        )],
    };
    draft.finish(app, rng)
}
