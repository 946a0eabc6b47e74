//! Custom resources of projects that many clusters run, and definitions of such.

use crate::json::{Json, list, object};
use crate::world::{App, Draft, Rng};

fn custom(api_version: &'static str, kind: &'static str, app: &App, rng: &mut Rng) -> Draft {
    let mut draft = Draft::new(api_version, kind, app, rng);
    draft.custom = true;
    draft.generation = true;
    draft
}

fn ready(rng: &mut Rng, kind: &str, reason: &str) -> Json {
    object! { "lastTransitionTime": rng.time(), "message": rng.words(5), "observedGeneration": 1, "reason": reason, "status": "True", "type": kind }
}

pub(crate) fn certificate(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = custom("cert-manager.io/v1", "Certificate", &app, rng);
    draft.status_manager = "cert-manager-certificates-readiness";
    draft.body = vec![(
        "spec",
        object! {
            "dnsNames": list![format!("{}.example.com", app.name)], "duration": "2160h0m0s", "renewBefore": "360h0m0s",
            "issuerRef": object! { "group": "cert-manager.io", "kind": "ClusterIssuer", "name": rng.pick(&["letsencrypt-prod", "letsencrypt-staging", "ca-issuer"]) },
            "secretName": format!("{}-tls", app.name), "usages": list!["digital signature", "key encipherment"],
            "privateKey": object! { "algorithm": "RSA", "encoding": "PKCS1", "size": 2048 },
        },
    )];
    draft.status = object! { "conditions": list![ready(rng, "Ready", "Ready")],
    "notAfter": rng.time(), "notBefore": rng.time(), "renewalTime": rng.time(), "revision": 1 };
    draft.finish(&app, rng)
}

pub(crate) fn service_monitor(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = custom("monitoring.coreos.com/v1", "ServiceMonitor", &app, rng);
    draft.labels.set("release", "kube-prometheus-stack");
    draft.body = vec![(
        "spec",
        object! {
            "endpoints": list![object! { "interval": rng.pick(&["30s", "15s", "60s"]), "path": "/metrics", "port": rng.pick(&["metrics", "http-metrics", "http"]), "scrapeTimeout": "10s" }],
            "jobLabel": "app.kubernetes.io/name", "namespaceSelector": object! { "matchNames": list![app.namespace.clone()] }, "selector": object! { "matchLabels": app.selector() },
        },
    )];
    draft.finish(&app, rng)
}

pub(crate) fn prometheus_rule(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = custom("monitoring.coreos.com/v1", "PrometheusRule", &app, rng);
    let rules: Vec<Json> = (0..=rng.below(4)).map(|index| object! {
        "alert": format!("{}{index}", rng.pick(&["HighErrorRate", "PodCrashLooping", "TargetDown", "HighLatency"])),
        "annotations": object! { "description": rng.words(8), "summary": rng.words(4) },
        "expr": format!("sum(rate(http_requests_total{{job=\"{}\",code=~\"5..\"}}[5m])) by (namespace, pod) > {}", app.name, rng.below(10)),
        "for": rng.pick(&["5m", "10m", "15m"]), "labels": object! { "severity": rng.pick(&["warning", "critical"]) },
    }).collect();
    draft.body = vec![("spec", object! { "groups": list![object! { "name": app.name.clone(), "rules": rules }] })];
    draft.finish(&app, rng)
}

pub(crate) fn argo_application(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = custom("argoproj.io/v1alpha1", "Application", &app, rng);
    draft.namespace = Some("argocd".to_owned());
    draft.finalizers = vec!["resources-finalizer.argocd.argoproj.io"];
    draft.status_manager = "argocd-application-controller";
    let source = object! { "path": format!("apps/{}", app.name), "repoURL": "https://git.example.com/platform/deploy.git", "targetRevision": rng.pick(&["HEAD", "main"]) };
    let destination = object! { "namespace": app.namespace.clone(), "server": "https://kubernetes.default.svc" };
    draft.body = vec![(
        "spec",
        object! {
            "destination": destination.clone(), "project": "default", "source": source.clone(),
            "syncPolicy": object! { "automated": object! { "prune": true, "selfHeal": true }, "syncOptions": list!["CreateNamespace=true"] },
        },
    )];
    let resources: Vec<Json> = [("", "v1", "Service"), ("apps", "v1", "Deployment"), ("", "v1", "ConfigMap")].iter().map(|(group, version, kind)| object! {
        "group": (!group.is_empty()).then_some(*group), "health": object! { "status": "Healthy" }, "kind": *kind, "name": app.name.clone(),
        "namespace": app.namespace.clone(), "status": "Synced", "version": *version,
    }).collect();
    draft.status = object! {
        "controllerNamespace": "argocd", "health": object! { "lastTransitionTime": rng.time(), "status": "Healthy" }, "reconciledAt": rng.time(), "resources": resources,
        "history": list![object! { "deployStartedAt": rng.time(), "deployedAt": rng.time(), "id": rng.below(40) as i64, "initiatedBy": object! { "automated": true }, "revision": rng.hex(40), "source": source.clone() }],
        "operationState": object! { "finishedAt": rng.time(), "message": rng.words(5), "phase": "Succeeded", "startedAt": rng.time() },
        "sourceType": rng.pick(&["Kustomize", "Helm", "Directory"]), "summary": object! { "images": list![format!("registry.example.com/{}:{}", app.name, app.version)] },
        "sync": object! { "comparedTo": object! { "destination": destination, "source": source }, "revision": rng.hex(40), "status": "Synced" },
    };
    draft.finish(&app, rng)
}

pub(crate) fn http_route(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = custom("gateway.networking.k8s.io/v1", "HTTPRoute", &app, rng);
    let gateway = object! { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": rng.pick(&["public", "internal", "default"]), "namespace": "gateway-system" };
    draft.status_manager = "gateway-controller";
    draft.body = vec![(
        "spec",
        object! {
            "hostnames": list![format!("{}.example.com", app.name)], "parentRefs": list![gateway.clone()],
            "rules": list![object! { "backendRefs": list![object! { "group": "", "kind": "Service", "name": app.name.clone(), "port": 80, "weight": 1 }],
                "matches": list![object! { "path": object! { "type": "PathPrefix", "value": "/" } }] }],
        },
    )];
    draft.status = object! { "parents": list![object! {
    "conditions": list![ready(rng, "Accepted", "Accepted"), ready(rng, "ResolvedRefs", "ResolvedRefs")],
    "controllerName": "example.com/gateway-controller", "parentRef": gateway }] };
    draft.finish(&app, rng)
}

pub(crate) fn external_secret(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = custom("external-secrets.io/v1beta1", "ExternalSecret", &app, rng);
    draft.status_manager = "external-secrets";
    draft.body = vec![(
        "spec",
        object! {
            "data": list![object! { "remoteRef": object! { "conversionStrategy": "Default", "decodingStrategy": "None", "key": format!("prod/{}", app.name), "metadataPolicy": "None", "property": "password" }, "secretKey": "password" }],
            "refreshInterval": "1h", "secretStoreRef": object! { "kind": "ClusterSecretStore", "name": "vault" },
            "target": object! { "creationPolicy": "Owner", "deletionPolicy": "Retain", "name": app.name.clone() },
        },
    )];
    draft.status = object! { "binding": object! { "name": app.name.clone() }, "conditions": list![ready(rng, "Ready", "SecretSynced")],
    "refreshTime": rng.time(), "syncedResourceVersion": format!("1-{}", rng.hex(32)) };
    draft.finish(&app, rng)
}

/// A definition with a generated schema: the field names and types that schemas have in common.
pub(crate) fn definition(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("apiextensions.k8s.io/v1", "CustomResourceDefinition", &app, rng);
    let kind = app.name.replace('-', "");
    let (plural, group) = (format!("{kind}s"), format!("{}.example.com", app.namespace));
    draft.name = format!("{plural}.{group}");
    draft.namespace = None;
    draft.generation = true;
    draft.annotations = vec![("controller-gen.kubebuilder.io/version".to_owned(), "v0.17.0".into())];
    draft.status_manager = "kube-apiserver";
    let names =
        object! { "plural": plural, "singular": kind.clone(), "kind": kind.clone(), "listKind": format!("{kind}List") };
    let schema = object! { "openAPIV3Schema": object! {
        "type": "object",
        "required": list!["spec"],
        "properties": object! {
            "apiVersion": object! { "type": "string" }, "kind": object! { "type": "string" }, "metadata": object! { "type": "object" },
            "spec": schema(rng, 3), "status": schema(rng, 2),
        },
    } };
    draft.body = vec![(
        "spec",
        object! {
            "group": group, "names": names.clone(), "scope": rng.pick(&["Namespaced", "Cluster"]),
            "versions": list![object! {
                "name": rng.pick(&["v1", "v1alpha1", "v1beta1"]), "served": true, "storage": true, "schema": schema, "subresources": object! { "status": object! {} },
                "additionalPrinterColumns": list![object! { "name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status" },
                    object! { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" }],
            }],
            "conversion": object! { "strategy": "None" },
        },
    )];
    draft.status = object! {
        "conditions": list![
            object! { "type": "NamesAccepted", "status": "True", "lastTransitionTime": rng.time(), "reason": "NoConflicts", "message": rng.words(5) },
            object! { "type": "Established", "status": "True", "lastTransitionTime": rng.time(), "reason": "InitialNamesAccepted", "message": rng.words(5) },
        ],
        "acceptedNames": names, "storedVersions": list!["v1"],
    };
    draft.finish(&app, rng)
}

fn schema(rng: &mut Rng, depth: u64) -> Json {
    const FIELDS: &[&str] = &[
        "name",
        "namespace",
        "labels",
        "annotations",
        "replicas",
        "image",
        "resources",
        "selector",
        "template",
        "conditions",
        "type",
        "status",
        "reason",
        "message",
        "lastTransitionTime",
        "observedGeneration",
        "key",
        "value",
        "values",
        "operator",
        "matchLabels",
        "matchExpressions",
        "port",
        "host",
        "url",
        "secretRef",
        "configMapRef",
        "timeout",
        "interval",
        "enabled",
        "kind",
        "apiVersion",
        "group",
        "storageClassName",
        "size",
        "tolerations",
        "affinity",
    ];
    let start = rng.below(FIELDS.len() as u64) as usize;
    let properties: Vec<(String, Json)> = (0..3 + rng.below(6) as usize)
        .map(|index| {
            let value = match rng.below(if depth == 0 { 4 } else { 7 }) {
                0 | 1 => object! { "description": rng.words(7), "type": "string" },
                2 => {
                    object! { "description": rng.words(5), "type": "integer", "format": rng.pick(&["int32", "int64"]) }
                }
                3 => object! { "type": "boolean" },
                4 => object! { "type": "array", "items": schema(rng, depth - 1), "x-kubernetes-list-type": "atomic" },
                5 => object! { "type": "object", "additionalProperties": object! { "type": "string" } },
                _ => schema(rng, depth - 1),
            };
            (FIELDS[(start + index) % FIELDS.len()].to_owned(), value)
        })
        .collect();
    object! { "description": rng.words(6), "type": "object", "properties": Json::Object(properties).sorted() }
}
