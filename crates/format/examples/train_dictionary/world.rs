//! What all objects have in common: names, metadata, managers, and a seeded source of chance.

use std::fmt::Write as _;

use crate::json::{Json, list, managed_fields, object};

/// SplitMix64: the same objects on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub(crate) fn text_of(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| self.pick(alphabet) as char).collect()
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        self.text_of(b"0123456789abcdef", digits)
    }

    /// The suffix that the server and its controllers give to names.
    pub(crate) fn suffix(&mut self, length: usize) -> String {
        self.text_of(b"bcdfghjklmnpqrstvwxz2456789", length)
    }

    pub(crate) fn base64(&mut self, bytes: usize) -> String {
        let mut text =
            self.text_of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", bytes.div_ceil(3) * 4);
        if !bytes.is_multiple_of(3) {
            text.replace_range(text.len() - 1.., "=");
        }
        text
    }

    pub(crate) fn uid(&mut self) -> String {
        let mut digits = self.hex(32);
        digits.replace_range(12..13, "4");
        digits.replace_range(16..17, self.pick(&["8", "9", "a", "b"]));
        for hyphen in [20, 16, 12, 8] {
            digits.insert(hyphen, '-');
        }
        digits
    }

    pub(crate) fn time(&mut self) -> String {
        let (month, day) = (self.below(12) + 1, self.below(28) + 1);
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        format!("{}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", self.pick(&[2024, 2025, 2026, 2027]))
    }

    pub(crate) fn address(&mut self) -> String {
        format!("10.{}.{}.{}", self.below(256), self.below(256), self.below(256))
    }

    pub(crate) fn words(&mut self, count: u64) -> String {
        const WORDS: &[&str] = &[
            "server",
            "client",
            "database",
            "cache",
            "enabled",
            "disabled",
            "true",
            "false",
            "timeout",
            "retry",
            "limit",
            "size",
            "path",
            "url",
            "user",
            "name",
            "mode",
            "format",
            "json",
            "text",
            "log",
            "level",
            "info",
            "warn",
            "debug",
            "interval",
            "seconds",
            "30s",
            "5m",
            "max",
            "min",
            "default",
            "connection",
            "pool",
            "http",
            "https",
            "listen",
            "address",
            "port",
            "8080",
            "9090",
            "0.0.0.0",
            "localhost",
            "metrics",
            "health",
            "/var/lib",
            "/etc",
            "/tmp",
            "secret",
            "token",
            "region",
        ];
        (0..count).map(|_| self.pick(WORDS)).collect::<Vec<_>>().join(" ")
    }
}

/// One application that objects belong to.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) version: String,
    pub(crate) style: Style,
}

/// Who installed it, which shows in labels, annotations and managers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Helm,
    Kubectl,
    Kustomize,
    Argo,
    Bare,
}

impl App {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        const FIRST: &[&str] = &[
            "api", "web", "auth", "cart", "billing", "search", "mail", "order", "report", "image", "event", "user",
            "stock", "media", "gateway", "notify", "ledger", "catalog", "session", "export",
        ];
        const SECOND: &[&str] =
            &["service", "server", "worker", "backend", "frontend", "controller", "proxy", "db", "cache", "job"];
        const SPACES: &[&str] = &[
            "default",
            "production",
            "staging",
            "dev",
            "platform",
            "monitoring",
            "infra",
            "kube-system",
            "team",
            "apps",
        ];
        let name = match rng.below(3) {
            0 => format!("{}-{}", rng.pick(FIRST), rng.pick(SECOND)),
            1 => format!("{}-{}-{}", rng.pick(FIRST), rng.pick(FIRST), rng.pick(SECOND)),
            _ => format!("{}{}", rng.pick(FIRST), rng.below(100)),
        };
        let namespace = if rng.chance(50) {
            rng.pick(SPACES).to_owned()
        } else {
            format!("{}-{}", rng.pick(SPACES), rng.pick(FIRST))
        };
        let version = format!("{}.{}.{}", rng.below(6), rng.below(30), rng.below(12));
        let style = rng.pick(&[
            Style::Helm,
            Style::Helm,
            Style::Helm,
            Style::Kubectl,
            Style::Kubectl,
            Style::Kustomize,
            Style::Argo,
            Style::Bare,
        ]);
        Self { name, namespace, version, style }
    }

    pub(crate) fn selector(&self) -> Json {
        match self.style {
            Style::Helm | Style::Argo => {
                object! { "app.kubernetes.io/instance": self.name.clone(), "app.kubernetes.io/name": self.name.clone() }
            }
            Style::Kustomize => {
                object! { "app.kubernetes.io/component": "server", "app.kubernetes.io/name": self.name.clone() }
            }
            Style::Kubectl | Style::Bare => object! { "app": self.name.clone() },
        }
    }

    pub(crate) fn labels(&self, rng: &mut Rng) -> Json {
        let mut labels = self.selector();
        match self.style {
            Style::Helm => {
                labels.set("app.kubernetes.io/managed-by", "Helm");
                labels.set("app.kubernetes.io/version", self.version.clone());
                labels.set("helm.sh/chart", format!("{}-{}", self.name, self.version));
            }
            Style::Kustomize => labels.set("app.kubernetes.io/part-of", self.namespace.clone()),
            Style::Argo => labels.set("argocd.argoproj.io/instance", self.name.clone()),
            Style::Kubectl | Style::Bare => {}
        }
        if rng.chance(40) {
            let label = rng.pick(&[
                "app.kubernetes.io/component",
                "app.kubernetes.io/part-of",
                "tier",
                "team",
                "environment",
                "env",
                "app",
                "release",
                "version",
            ]);
            labels.set(
                label,
                rng.pick(&["backend", "frontend", "controller", "platform", "prod", "dev", "database", "v1", "stable"]),
            );
        }
        labels.sorted()
    }

    fn manager(&self, rng: &mut Rng) -> (&'static str, &'static str) {
        match self.style {
            Style::Helm => rng.pick(&[("helm", "Update"), ("Go-http-client", "Update")]),
            Style::Kubectl => {
                rng.pick(&[("kubectl-client-side-apply", "Update"), ("kubectl-create", "Update"), ("kubectl", "Apply")])
            }
            Style::Kustomize => rng.pick(&[("kustomize-controller", "Apply"), ("kubectl-client-side-apply", "Update")]),
            Style::Argo => ("argocd-controller", rng.pick(&["Apply", "Update"])),
            Style::Bare => rng.pick(&[("unknown", "Update"), ("kubectl-edit", "Update"), ("node-fetch", "Update")]),
        }
    }
}

/// One object on its way to the text that a list holds.
pub(crate) struct Draft {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) generate_name: Option<String>,
    pub(crate) generation: bool,
    pub(crate) labels: Json,
    pub(crate) annotations: Vec<(String, Json)>,
    pub(crate) owner: Option<(&'static str, &'static str, String)>,
    pub(crate) finalizers: Vec<&'static str>,
    /// `spec`, `data`, `rules` and so on, in the server's order; `status` apart.
    pub(crate) body: Vec<(&'static str, Json)>,
    pub(crate) status: Json,
    /// Who made it, where it is a controller and not the application's own installer.
    pub(crate) maker: Option<&'static str>,
    /// Who writes its status.
    pub(crate) status_manager: &'static str,
    pub(crate) custom: bool,
}

impl Draft {
    pub(crate) fn new(api_version: &'static str, kind: &'static str, app: &App, rng: &mut Rng) -> Self {
        Self {
            api_version,
            kind,
            name: app.name.clone(),
            namespace: Some(app.namespace.clone()),
            generate_name: None,
            generation: false,
            labels: app.labels(rng),
            annotations: Vec::new(),
            owner: None,
            finalizers: Vec::new(),
            body: Vec::new(),
            status: Json::Absent,
            maker: None,
            status_manager: "kube-controller-manager",
            custom: false,
        }
    }

    /// The text, with `apiVersion` and `kind` in front as a backup restores them.
    pub(crate) fn finish(mut self, app: &App, rng: &mut Rng) -> String {
        let by_hand = self.maker.is_none();
        let (manager, operation) = self.maker.map_or_else(|| app.manager(rng), |maker| (maker, "Update"));
        let applied = by_hand && manager == "kubectl-client-side-apply";
        if by_hand && app.style == Style::Helm {
            self.annotations.push(("meta.helm.sh/release-name".to_owned(), app.name.clone().into()));
            self.annotations.push(("meta.helm.sh/release-namespace".to_owned(), app.namespace.clone().into()));
        }
        if by_hand && app.style == Style::Argo {
            let id = format!(
                "{}:{}/{}:{}/{}",
                app.name,
                self.api_version.split('/').next().unwrap_or(""),
                self.kind,
                app.namespace,
                self.name
            );
            self.annotations.push(("argocd.argoproj.io/tracking-id".to_owned(), id.into()));
        }
        if applied {
            let text = self.last_applied();
            self.annotations.push(("kubectl.kubernetes.io/last-applied-configuration".to_owned(), text.into()));
        }
        let annotations =
            if self.annotations.is_empty() { Json::Absent } else { Json::Object(self.annotations.clone()).sorted() };
        let has_labels = matches!(&self.labels, Json::Object(labels) if !labels.is_empty());
        let labels = if has_labels { self.labels.clone() } else { Json::Absent };
        let created = rng.time();

        let owned = {
            let mut meta = object! { "labels": labels.clone(), "annotations": annotations.clone() };
            if self.owner.is_some() {
                meta.set("ownerReferences", list![object! { "uid": rng.uid() }]);
            }
            if self.generate_name.is_some() {
                meta.set("generateName", Json::from(""));
            }
            let mut whole = object! { "metadata": meta };
            for (name, value) in &self.body {
                whole.set(name, value.clone());
            }
            managed_fields(&whole)
        };
        let mut managed = vec![object! {
            "manager": manager, "operation": operation, "apiVersion": self.api_version, "time": created.clone(),
            "fieldsType": "FieldsV1", "fieldsV1": owned,
        }];
        if !matches!(self.status, Json::Absent) {
            managed.push(object! {
                "manager": self.status_manager, "operation": "Update", "apiVersion": self.api_version, "time": rng.time(),
                "fieldsType": "FieldsV1", "fieldsV1": managed_fields(&object! { "status": self.status.clone() }),
                "subresource": "status",
            });
        }
        if self.generation && rng.chance(10) {
            managed.push(object! {
                "manager": rng.pick(&["kubectl-edit", "kubectl-rollout", "kubectl-scale", "kubectl-patch"]),
                "operation": "Update", "apiVersion": self.api_version, "time": rng.time(), "fieldsType": "FieldsV1",
                "fieldsV1": object! { "f:spec": object! { "f:replicas": object! {} } },
            });
        }

        let metadata = object! {
            "name": self.name, "generateName": self.generate_name, "namespace": self.namespace, "uid": rng.uid(),
            "resourceVersion": (rng.below(90_000_000) + 300).to_string(),
            "generation": self.generation.then(|| 1 + (rng.below(8) * rng.below(3)) as i64),
            "creationTimestamp": created,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": self.owner.map(|(api_version, kind, name)| list![object! {
                "apiVersion": api_version, "kind": kind, "name": name, "uid": rng.uid(), "controller": true, "blockOwnerDeletion": true,
            }]),
            "finalizers": (!self.finalizers.is_empty()).then(|| Json::List(self.finalizers.iter().map(|name| Json::from(*name)).collect())),
            "managedFields": managed,
        };
        let mut whole = object! { "apiVersion": self.api_version, "kind": self.kind, "metadata": metadata };
        for (name, value) in self.body {
            whole.set(name, value);
        }
        whole.set("status", self.status);
        if self.custom { whole.sorted().render() } else { whole.render() }
    }

    /// What kubectl keeps of the manifest: sorted, without what the server filled in.
    fn last_applied(&self) -> String {
        let mut metadata =
            object! { "annotations": object! {}, "labels": self.labels.clone(), "name": self.name.clone() };
        if let Some(namespace) = &self.namespace {
            metadata.set("namespace", namespace.clone());
        }
        let mut whole = object! { "apiVersion": self.api_version, "kind": self.kind, "metadata": metadata };
        for (name, value) in &self.body {
            whole.set(name, value.clone());
        }
        let mut text = whole.without(SERVER_DEFAULTS).sorted().render();
        let _ = writeln!(text);
        text
    }
}

const SERVER_DEFAULTS: &[&str] = &[
    "terminationMessagePath",
    "terminationMessagePolicy",
    "dnsPolicy",
    "schedulerName",
    "imagePullPolicy",
    "securityContext",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "successThreshold",
    "failureThreshold",
    "scheme",
    "timeoutSeconds",
    "progressDeadlineSeconds",
    "revisionHistoryLimit",
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
    "sessionAffinity",
    "serviceAccount",
    "defaultMode",
    "volumeName",
];
