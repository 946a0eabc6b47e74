//! Configuration, network, storage, access and cluster-wide objects.

use crate::json::{Json, list, object};
use crate::workloads::node_name;
use crate::world::{App, Draft, Rng};

pub(crate) fn config_map(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "ConfigMap", &app, rng);
    draft.name = format!("{}-config", app.name);
    let mut lines = |count: u64, form: u64| -> String {
        (0..count)
            .map(|_| match form {
                0 => format!("{}={}\n", rng.words(1), rng.words(2)),
                1 => format!("{}: {}\n", rng.words(1), rng.words(3)),
                _ => format!("  {}:\n    {}: {}\n", rng.words(1), rng.words(1), rng.words(2)),
            })
            .collect()
    };
    let data = match lines(1, 0).len() % 5 {
        0 => object! { "application.properties": lines(20, 0), "LOG_LEVEL": "info" },
        1 => object! { "config.yaml": format!("apiVersion: v1\nkind: Config\nserver:\n{}", lines(25, 2)) },
        2 => object! { "application.yml": lines(40, 1) },
        3 => {
            object! { "LOG_LEVEL": "info", "ENVIRONMENT": "production", "DATABASE_HOST": lines(1, 1), "CACHE_TTL": "300", "FEATURE_FLAGS": "" }
        }
        _ => object! { "nginx.conf": format!(
        "server {{\n  listen 80;\n  server_name _;\n  location / {{\n    proxy_pass http://{}:8080;\n    proxy_set_header Host $host;\n  }}\n}}\n", app.name) },
    };
    draft.body = vec![("data", data)];
    if rng.chance(15) {
        "kube-root-ca.crt".clone_into(&mut draft.name);
        draft.labels = object! {};
        draft.annotations = vec![("kubernetes.io/description".to_owned(), rng.words(30).into())];
        draft.maker = Some("kube-controller-manager");
        let body = rng.base64(900);
        draft.body = vec![(
            "data",
            object! { "ca.crt": format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n") },
        )];
    }
    draft.finish(&app, rng)
}

pub(crate) fn secret(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "Secret", &app, rng);
    let mut length = |least: u64, most: u64| (least + rng.below(most - least)) as usize;
    let (small, large) = (length(8, 40), length(700, 1800));
    let (data, kind) = match rng.below(6) {
        0 => (object! { "tls.crt": rng.base64(large), "tls.key": rng.base64(1200) }, "kubernetes.io/tls"),
        1 => (object! { ".dockerconfigjson": rng.base64(small * 5) }, "kubernetes.io/dockerconfigjson"),
        2 => (object! { "release": rng.base64(large) }, "helm.sh/release.v1"),
        3 => (object! { "password": rng.base64(small), "username": rng.base64(8) }, "kubernetes.io/basic-auth"),
        _ => (object! { "password": rng.base64(small), "token": rng.base64(32), "api-key": rng.base64(24) }, "Opaque"),
    };
    if kind == "helm.sh/release.v1" {
        draft.name = format!("sh.helm.release.v1.{}.v{}", app.name, rng.below(30) + 1);
        draft.labels = object! { "modifiedAt": "1760000000", "name": app.name.clone(), "owner": "helm", "status": rng.pick(&["deployed", "superseded"]), "version": "1" };
        draft.maker = Some("helm");
    } else {
        draft.name = format!("{}-{}", app.name, rng.pick(&["secret", "tls", "credentials", "auth"]));
    }
    draft.body = vec![("data", data.sorted()), ("type", kind.into())];
    draft.finish(&app, rng)
}

pub(crate) fn service(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "Service", &app, rng);
    let headless = rng.chance(20);
    let address = if headless { "None".to_owned() } else { rng.address() };
    let kind = rng.pick(&["ClusterIP", "ClusterIP", "ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"]);
    draft.body = vec![(
        "spec",
        object! {
            "ports": list![object! { "name": rng.pick(&["http", "https", "metrics", "grpc"]), "protocol": "TCP", "port": rng.pick(&[80i64, 443, 8080, 9090]),
                "targetPort": rng.pick(&["http", "https", "metrics"]), "nodePort": (kind != "ClusterIP").then(|| 30_000 + rng.below(2767) as i64) }],
            "selector": app.selector(), "clusterIP": address.clone(), "clusterIPs": list![address], "type": kind, "sessionAffinity": "None",
            "externalTrafficPolicy": (kind != "ClusterIP").then_some("Cluster"),
            "ipFamilies": list!["IPv4"], "ipFamilyPolicy": "SingleStack",
            "allocateLoadBalancerNodePorts": (kind == "LoadBalancer").then_some(true),
            "internalTrafficPolicy": "Cluster",
        },
    )];
    let mut text = draft_with_empty_status(draft, &app, rng);
    text.push_str(r#","status":{"loadBalancer":{}}}"#);
    text
}

/// Services and ingresses have a status that nobody manages; without its closing brace.
fn draft_with_empty_status(draft: Draft, app: &App, rng: &mut Rng) -> String {
    let mut text = draft.finish(app, rng);
    // `finish` wrote no status, so that the last brace closes the object.
    text.pop();
    text
}

pub(crate) fn endpoint_slice(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("discovery.k8s.io/v1", "EndpointSlice", &app, rng);
    draft.name = format!("{}-{}", app.name, rng.suffix(5));
    draft.generate_name = Some(format!("{}-", app.name));
    draft.generation = true;
    draft.labels.set("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
    draft.labels.set("kubernetes.io/service-name", app.name.clone());
    draft.annotations = vec![("endpoints.kubernetes.io/last-change-trigger-time".to_owned(), rng.time().into())];
    draft.owner = Some(("v1", "Service", app.name.clone()));
    draft.maker = Some("kube-controller-manager");
    let endpoints: Vec<Json> = (0..rng.below(4)).map(|_| object! {
        "addresses": list![rng.address()], "conditions": object! { "ready": true, "serving": true, "terminating": false },
        "targetRef": object! { "kind": "Pod", "namespace": app.namespace.clone(), "name": format!("{}-{}-{}", app.name, rng.suffix(10), rng.suffix(5)), "uid": rng.uid() },
        "nodeName": node_name(rng), "zone": rng.chance(40).then(|| rng.pick(&["us-east-1a", "us-east-1b", "eu-west-1a"])),
    }).collect();
    draft.body = vec![
        ("addressType", "IPv4".into()),
        ("endpoints", endpoints.into()),
        (
            "ports",
            list![
                object! { "name": rng.pick(&["http", "https", "metrics"]), "protocol": "TCP", "port": rng.pick(&[8080i64, 8443, 9090]) }
            ],
        ),
    ];
    draft.finish(&app, rng)
}

pub(crate) fn service_account(rng: &mut Rng) -> String {
    let mut app = App::random(rng);
    let is_default = rng.chance(30);
    if is_default {
        "default".clone_into(&mut app.name);
    }
    let mut draft = Draft::new("v1", "ServiceAccount", &app, rng);
    if is_default {
        draft.labels = object! {};
        draft.maker = Some("kube-controller-manager");
    } else if rng.chance(30) {
        draft.annotations.push((
            "eks.amazonaws.com/role-arn".to_owned(),
            format!("arn:aws:iam::000000000000:role/{}", app.name).into(),
        ));
    }
    draft.body = vec![("automountServiceAccountToken", rng.chance(40).then_some(true).into())];
    draft.finish(&app, rng)
}

fn rules(rng: &mut Rng) -> Json {
    let count = 1 + rng.below(5);
    let rules: Vec<Json> = (0..count)
        .map(|_| {
            let (group, resources) = rng.pick(&[
                ("", &["configmaps", "secrets"][..]),
                ("", &["pods", "pods/log"]),
                ("", &["events"]),
                ("", &["services", "endpoints", "nodes", "namespaces"]),
                ("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"]),
                ("batch", &["jobs", "cronjobs"]),
                ("coordination.k8s.io", &["leases"]),
                ("networking.k8s.io", &["ingresses", "networkpolicies"]),
                ("apiextensions.k8s.io", &["customresourcedefinitions"]),
                ("discovery.k8s.io", &["endpointslices"]),
                ("admissionregistration.k8s.io", &["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]),
                ("rbac.authorization.k8s.io", &["roles", "rolebindings", "clusterroles", "clusterrolebindings"]),
            ]);
            let verbs = rng.pick(&[
                &["get", "list", "watch"][..],
                &["*"],
                &["create", "patch"],
                &["get", "list", "watch", "create", "update", "patch", "delete"],
                &["get", "create", "update"],
            ]);
            let texts = |texts: &[&str]| Json::List(texts.iter().map(|text| Json::from(*text)).collect());
            object! { "verbs": texts(verbs), "apiGroups": list![group], "resources": texts(resources) }
        })
        .collect();
    rules.into()
}

pub(crate) fn role(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let cluster = rng.chance(50);
    let mut draft = Draft::new("rbac.authorization.k8s.io/v1", if cluster { "ClusterRole" } else { "Role" }, &app, rng);
    if cluster {
        draft.namespace = None;
        if rng.chance(30) {
            draft.name = format!("system:controller:{}", app.name);
            draft.labels = object! { "kubernetes.io/bootstrapping": "rbac-defaults" };
            draft.annotations = vec![("rbac.authorization.kubernetes.io/autoupdate".to_owned(), "true".into())];
            draft.maker = Some("kube-apiserver");
        }
    }
    draft.body = vec![("rules", rules(rng))];
    draft.finish(&app, rng)
}

pub(crate) fn role_binding(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let cluster = rng.chance(50);
    let mut draft = Draft::new(
        "rbac.authorization.k8s.io/v1",
        if cluster { "ClusterRoleBinding" } else { "RoleBinding" },
        &app,
        rng,
    );
    if cluster {
        draft.namespace = None;
    }
    let subject = if rng.chance(80) {
        object! { "kind": "ServiceAccount", "name": app.name.clone(), "namespace": app.namespace.clone() }
    } else {
        object! { "kind": rng.pick(&["User", "Group"]), "apiGroup": "rbac.authorization.k8s.io", "name": rng.pick(&["developers", "admins", "system:authenticated"]) }
    };
    draft.body = vec![
        ("subjects", list![subject]),
        (
            "roleRef",
            object! { "apiGroup": "rbac.authorization.k8s.io", "kind": if cluster { "ClusterRole" } else { "Role" }, "name": app.name.clone() },
        ),
    ];
    draft.finish(&app, rng)
}

pub(crate) fn ingress(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("networking.k8s.io/v1", "Ingress", &app, rng);
    draft.generation = true;
    let host = format!("{}.example.com", app.name);
    for annotation in [
        ("cert-manager.io/cluster-issuer", "letsencrypt-prod"),
        ("nginx.ingress.kubernetes.io/ssl-redirect", "true"),
        ("nginx.ingress.kubernetes.io/proxy-body-size", "50m"),
        ("nginx.ingress.kubernetes.io/rewrite-target", "/"),
        ("alb.ingress.kubernetes.io/scheme", "internet-facing"),
        ("kubernetes.io/ingress.class", "nginx"),
    ] {
        if rng.chance(30) {
            draft.annotations.push((annotation.0.to_owned(), annotation.1.into()));
        }
    }
    let path = object! { "path": "/", "pathType": rng.pick(&["Prefix", "ImplementationSpecific"]),
    "backend": object! { "service": object! { "name": app.name.clone(), "port": if rng.chance(50) { object! { "number": 80 } } else { object! { "name": "http" } } } } };
    draft.body = vec![(
        "spec",
        object! {
            "ingressClassName": rng.pick(&["nginx", "traefik", "alb"]),
            "tls": rng.chance(60).then(|| list![object! { "hosts": list![host.clone()], "secretName": format!("{}-tls", app.name) }]),
            "rules": list![object! { "host": host, "http": object! { "paths": list![path] } }],
        },
    )];
    let mut text = draft_with_empty_status(draft, &app, rng);
    text.push_str(r#","status":{"loadBalancer":{}}}"#);
    text
}

pub(crate) fn network_policy(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("networking.k8s.io/v1", "NetworkPolicy", &app, rng);
    draft.generation = true;
    let from = if rng.chance(50) {
        object! { "podSelector": object! {} }
    } else {
        object! { "namespaceSelector": object! { "matchLabels": object! { "kubernetes.io/metadata.name": app.namespace.clone() } } }
    };
    draft.body = vec![(
        "spec",
        object! {
            "podSelector": object! { "matchLabels": app.selector() },
            "ingress": list![object! { "ports": rng.chance(50).then(|| list![object! { "protocol": "TCP", "port": 8080 }]), "from": list![from] }],
            "policyTypes": rng.pick(&[&["Ingress"][..], &["Ingress", "Egress"]]).iter().map(|kind| Json::from(*kind)).collect::<Vec<_>>(),
        },
    )];
    draft.finish(&app, rng)
}

pub(crate) fn volume_claim(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "PersistentVolumeClaim", &app, rng);
    draft.name = format!("data-{}-{}", app.name, rng.below(5));
    draft.annotations = vec![
        ("pv.kubernetes.io/bind-completed".to_owned(), "yes".into()),
        ("pv.kubernetes.io/bound-by-controller".to_owned(), "yes".into()),
        ("volume.beta.kubernetes.io/storage-provisioner".to_owned(), "ebs.csi.aws.com".into()),
        ("volume.kubernetes.io/storage-provisioner".to_owned(), "ebs.csi.aws.com".into()),
    ];
    draft.finalizers = vec!["kubernetes.io/pvc-protection"];
    let size = rng.pick(&["8Gi", "10Gi", "50Gi", "100Gi"]);
    draft.body = vec![(
        "spec",
        object! {
            "accessModes": list![rng.pick(&["ReadWriteOnce", "ReadWriteMany"])], "resources": object! { "requests": object! { "storage": size } },
            "volumeName": format!("pvc-{}", rng.uid()), "storageClassName": rng.pick(&["standard", "gp3", "fast", "local-path"]), "volumeMode": "Filesystem",
        },
    )];
    draft.status =
        object! { "phase": "Bound", "accessModes": list!["ReadWriteOnce"], "capacity": object! { "storage": size } };
    draft.finish(&app, rng)
}

pub(crate) fn volume(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "PersistentVolume", &app, rng);
    draft.name = format!("pvc-{}", rng.uid());
    draft.namespace = None;
    draft.labels = object! {};
    draft.annotations = vec![("pv.kubernetes.io/provisioned-by".to_owned(), "ebs.csi.aws.com".into())];
    draft.finalizers = vec!["external-provisioner.volume.kubernetes.io/finalizer", "kubernetes.io/pv-protection"];
    draft.maker = Some("csi-provisioner");
    draft.body = vec![(
        "spec",
        object! {
            "capacity": object! { "storage": rng.pick(&["8Gi", "10Gi", "50Gi"]) },
            "csi": object! { "driver": "ebs.csi.aws.com", "volumeHandle": format!("vol-{}", rng.hex(17)), "fsType": "ext4",
                "volumeAttributes": object! { "storage.kubernetes.io/csiProvisionerIdentity": format!("{}-8081-ebs.csi.aws.com", rng.below(2_000_000_000)) } },
            "accessModes": list!["ReadWriteOnce"],
            "claimRef": object! { "kind": "PersistentVolumeClaim", "namespace": app.namespace.clone(), "name": format!("data-{}-0", app.name), "uid": rng.uid(),
                "apiVersion": "v1", "resourceVersion": rng.below(9_000_000).to_string() },
            "persistentVolumeReclaimPolicy": rng.pick(&["Delete", "Retain"]), "storageClassName": rng.pick(&["standard", "gp3", "fast"]), "volumeMode": "Filesystem",
            "nodeAffinity": object! { "required": object! { "nodeSelectorTerms": list![object! { "matchExpressions": list![object! {
                "key": "topology.kubernetes.io/zone", "operator": "In", "values": list!["us-east-1a"] }] }] } },
        },
    )];
    draft.status = object! { "phase": "Bound", "lastPhaseTransitionTime": rng.time() };
    draft.finish(&app, rng)
}

pub(crate) fn storage_class(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("storage.k8s.io/v1", "StorageClass", &app, rng);
    draft.namespace = None;
    draft.annotations.push(("storageclass.kubernetes.io/is-default-class".to_owned(), "true".into()));
    draft.body = vec![
        (
            "provisioner",
            rng.pick(&["ebs.csi.aws.com", "pd.csi.storage.gke.io", "disk.csi.azure.com", "rancher.io/local-path"])
                .into(),
        ),
        ("parameters", object! { "type": rng.pick(&["gp3", "pd-ssd", "Premium_LRS"]), "encrypted": "true" }.sorted()),
        ("reclaimPolicy", "Delete".into()),
        ("allowVolumeExpansion", true.into()),
        ("volumeBindingMode", rng.pick(&["WaitForFirstConsumer", "Immediate"]).into()),
    ];
    draft.finish(&app, rng)
}

pub(crate) fn node(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "Node", &app, rng);
    draft.name = node_name(rng);
    draft.namespace = None;
    draft.labels = object! {
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": draft.name.clone(),
        "kubernetes.io/os": "linux", "node.kubernetes.io/instance-type": "m5.xlarge", "topology.kubernetes.io/region": "us-east-1", "topology.kubernetes.io/zone": "us-east-1a",
    };
    draft.annotations = vec![
        ("csi.volume.kubernetes.io/nodeid".to_owned(), format!("{{\"ebs.csi.aws.com\":\"i-{}\"}}", rng.hex(17)).into()),
        ("node.alpha.kubernetes.io/ttl".to_owned(), "0".into()),
        ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".into()),
    ];
    draft.maker = Some("kubelet");
    draft.status_manager = "kubelet";
    draft.body = vec![(
        "spec",
        object! { "podCIDR": "10.244.0.0/24", "podCIDRs": list!["10.244.0.0/24"], "providerID": format!("aws:///us-east-1a/i-{}", rng.hex(17)) },
    )];
    let amounts = object! { "cpu": "4", "ephemeral-storage": "83873772Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0", "memory": "16Gi", "pods": "110" };
    let condition = |rng: &mut Rng, kind: &str, status: &str, reason: &str| {
        object! {
        "type": kind, "status": status, "lastHeartbeatTime": rng.time(), "lastTransitionTime": rng.time(), "reason": reason, "message": rng.words(5) }
    };
    let images: Vec<Json> = (0..8).map(|_| object! { "names": list![format!("registry.k8s.io/pause@sha256:{}", rng.hex(64))], "sizeBytes": rng.below(400_000_000) as i64 }).collect();
    draft.status = object! {
        "capacity": amounts.clone(), "allocatable": amounts,
        "conditions": list![
            condition(rng, "MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition(rng, "DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition(rng, "PIDPressure", "False", "KubeletHasSufficientPID"),
            condition(rng, "Ready", "True", "KubeletReady"),
        ],
        "addresses": list![object! { "type": "InternalIP", "address": rng.address() }, object! { "type": "Hostname", "address": draft.name.clone() }],
        "daemonEndpoints": object! { "kubeletEndpoint": object! { "Port": 10250 } },
        "nodeInfo": object! { "machineID": rng.hex(32), "systemUUID": rng.uid(), "bootID": rng.uid(), "kernelVersion": "6.1.0", "osImage": "Linux",
            "containerRuntimeVersion": "containerd://2.0.0", "kubeletVersion": "v1.34.0", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64" },
        "images": images,
    };
    draft.finish(&app, rng)
}

pub(crate) fn namespace(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "Namespace", &app, rng);
    draft.name.clone_from(&app.namespace);
    draft.namespace = None;
    draft.labels = object! { "kubernetes.io/metadata.name": app.namespace.clone() };
    if rng.chance(50) {
        draft.labels.set("pod-security.kubernetes.io/enforce", rng.pick(&["restricted", "baseline", "privileged"]));
    }
    draft.body = vec![("spec", object! { "finalizers": list!["kubernetes"] })];
    let mut text = draft_with_empty_status(draft, &app, rng);
    text.push_str(r#","status":{"phase":"Active"}}"#);
    text
}

pub(crate) fn lease(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("coordination.k8s.io/v1", "Lease", &app, rng);
    draft.labels = object! {};
    draft.maker = Some(rng.pick(&["kubelet", "kube-controller-manager", "kube-scheduler", "manager"]));
    let micro = rng.below(1_000_000);
    let time = rng.time().replace('Z', &format!(".{micro:06}Z"));
    draft.body = vec![(
        "spec",
        object! { "holderIdentity": format!("{}_{}", app.name, rng.uid()), "leaseDurationSeconds": rng.pick(&[15i64, 40, 3600]),
        "acquireTime": time.clone(), "renewTime": time, "leaseTransitions": rng.below(40) as i64 },
    )];
    draft.finish(&app, rng)
}

pub(crate) fn autoscaler(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("autoscaling/v2", "HorizontalPodAutoscaler", &app, rng);
    let replicas = 1 + rng.below(9) as i64;
    draft.body = vec![(
        "spec",
        object! {
            "scaleTargetRef": object! { "kind": "Deployment", "name": app.name.clone(), "apiVersion": "apps/v1" }, "minReplicas": 1, "maxReplicas": 10,
            "metrics": list![object! { "type": "Resource", "resource": object! { "name": "cpu", "target": object! { "type": "Utilization", "averageUtilization": 80 } } }],
        },
    )];
    draft.status = object! {
        "lastScaleTime": rng.time(), "currentReplicas": replicas, "desiredReplicas": replicas,
        "currentMetrics": list![object! { "type": "Resource", "resource": object! { "name": "cpu", "current": object! { "averageUtilization": rng.below(100) as i64, "averageValue": "12m" } } }],
        "conditions": list![
            object! { "type": "AbleToScale", "status": "True", "lastTransitionTime": rng.time(), "reason": "ReadyForNewScale", "message": rng.words(6) },
            object! { "type": "ScalingActive", "status": "True", "lastTransitionTime": rng.time(), "reason": "ValidMetricFound",
                "message": rng.words(6) },
            object! { "type": "ScalingLimited", "status": "False", "lastTransitionTime": rng.time(), "reason": "DesiredWithinRange", "message": rng.words(6) },
        ],
    };
    draft.finish(&app, rng)
}

pub(crate) fn disruption_budget(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("policy/v1", "PodDisruptionBudget", &app, rng);
    draft.generation = true;
    draft.body = vec![(
        "spec",
        object! { "minAvailable": rng.chance(50).then_some(1), "maxUnavailable": 1, "selector": object! { "matchLabels": app.selector() } },
    )];
    draft.status = object! {
        "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
        "conditions": list![object! { "type": "DisruptionAllowed", "status": "True", "observedGeneration": 1, "lastTransitionTime": rng.time(), "reason": "SufficientPods", "message": "" }],
    };
    draft.finish(&app, rng)
}

pub(crate) fn event(rng: &mut Rng) -> String {
    let app = App::random(rng);
    let mut draft = Draft::new("v1", "Event", &app, rng);
    let pod = format!("{}-{}-{}", app.name, rng.suffix(10), rng.suffix(5));
    draft.name = format!("{pod}.{}", rng.hex(16));
    draft.labels = object! {};
    draft.maker = Some(rng.pick(&["kubelet", "kube-controller-manager", "kube-scheduler"]));
    let reason = rng.pick(&[
        "Pulled",
        "Created",
        "Started",
        "Scheduled",
        "Killing",
        "BackOff",
        "Unhealthy",
        "SuccessfulCreate",
        "ScalingReplicaSet",
    ]);
    let time = rng.time();
    draft.body = vec![
        (
            "involvedObject",
            object! { "kind": "Pod", "namespace": app.namespace.clone(), "name": pod, "uid": rng.uid(), "apiVersion": "v1",
            "resourceVersion": rng.below(9_000_000).to_string(), "fieldPath": format!("spec.containers{{{}}}", app.name) },
        ),
        ("reason", reason.into()),
        ("message", rng.words(7).into()),
        ("source", object! { "component": "kubelet", "host": node_name(rng) }),
        ("firstTimestamp", time.clone().into()),
        ("lastTimestamp", time.into()),
        ("count", (1 + rng.below(50) as i64).into()),
        ("type", rng.pick(&["Normal", "Normal", "Warning"]).into()),
        ("eventTime", Json::Absent),
        ("reportingComponent", "kubelet".into()),
        ("reportingInstance", node_name(rng).into()),
    ];
    draft.finish(&app, rng)
}
