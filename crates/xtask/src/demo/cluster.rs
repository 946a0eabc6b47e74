//! The half about a cluster: an application is backed up twice, one namespace is deleted and restored, and kubectl says
//! whether it is the same.
//!
//! There is no node, so pods stay pending; everything else is as in any cluster, with all its controllers.

use std::time::{Duration, Instant};

use super::{Program, heading};
use crate::Result;
use crate::cluster::Cluster;
use crate::command::{line, output, write};

const APPLICATION: &str = include_str!("application.yaml");
const COUPONS: &str = include_str!("coupons.yaml");

/// How long controllers may take to bind, adopt and write down what they found.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn play(mut program: Program) -> Result<()> {
    heading("A throw-away Kubernetes cluster with an application");
    let cluster = Cluster::start(&[])?;
    program.environment.push(("KUBECONFIG", cluster.kubeconfig().into()));
    let shop = Shop { program, cluster };
    println!("$ export KUBECONFIG={}", shop.cluster.kubeconfig().display());
    shop.fill()?;

    heading("The first backup of the cluster");
    shop.program.backstay(&["repo", "init"])?;
    shop.program.backstay(&["backup", "cluster"])?;

    heading("Somebody works on it; the second backup stores what changed");
    shop.change()?;
    shop.program.backstay(&["backup", "cluster"])?;

    heading("What is in the snapshots, without asking the cluster");
    let snapshots = shop.program.snapshots()?;
    let [first, second] = snapshots.as_slice() else {
        return Err(format!("two backups were made, but the snapshots are {snapshots:?}"));
    };
    for question in [
        &["snapshots"][..],
        &["show", "latest"],
        &["get", "deployments", "-n", "shop", "--snapshot", first],
        &["diff", first, second],
        &["history", "deployment/web", "-n", "shop"],
    ] {
        shop.program.backstay(question)?;
    }

    heading("Somebody deletes the namespace, and its volume");
    let before = shop.describe()?;
    shop.kubectl(&["delete", "namespace", "shop"])?;
    shop.kubectl(&["delete", "persistentvolume", "shop-data"])?;

    heading("A restore is a plan first");
    let restore = ["restore", "cluster", "latest", "--include-namespaces", "shop"];
    shop.program.backstay(&[&restore[..], &["--dry-run"]].concat())?;
    shop.program.backstay(&restore)?;

    heading("Every object is there again");
    shop.compare(&before)?;
    shop.kubectl(&["get", "deployments,pods,persistentvolumeclaims,coupons", "-n", "shop"])?;

    heading("For a cluster of your own");
    println!("$ export KUBECONFIG=... BACKSTAY_REPO=... BACKSTAY_PASSWORD=...");
    println!("$ backstay repo init\n$ backstay backup cluster\n");
    Ok(())
}

struct Shop {
    program: Program,
    cluster: Cluster,
}

impl Shop {
    fn fill(&self) -> Result<()> {
        self.apply("application.yaml", APPLICATION)?;
        self.kubectl(&["wait", "--for=condition=Established", "crd/coupons.shop.example.com", "--timeout=60s"])?;
        self.apply("coupons.yaml", COUPONS)?;
        self.wait_for("3 pods and a bound volume", |shop| shop.has_settled(3))
    }

    fn change(&self) -> Result<()> {
        self.kubectl(&["scale", "deployment/web", "--replicas=3", "-n", "shop"])?;
        let settings = r#"{"data":{"LOG_LEVEL":"debug"}}"#;
        self.kubectl(&["patch", "configmap/web", "--type=merge", "-p", settings, "-n", "shop"])?;
        let key = r#"{"stringData":{"api-key":"not-a-real-key-2"}}"#;
        self.kubectl(&["patch", "secret/payment", "--type=merge", "-p", key, "-n", "shop"])?;
        self.kubectl(&["delete", "coupon/spring", "-n", "shop"])?;
        self.wait_for("4 pods", |shop| shop.has_settled(4))
    }

    fn has_settled(&self, pods: usize) -> Result<bool> {
        let names = self.read(&["get", "pods", "-n", "shop", "-o", "name"])?;
        let phase =
            self.read(&["get", "persistentvolumeclaim/data", "-n", "shop", "-o", "jsonpath={.status.phase}"])?;
        Ok(names.lines().count() == pods && phase == "Bound")
    }

    /// Compares with what `describe` said before, as soon as the controllers have done their part.
    fn compare(&self, before: &[String]) -> Result<()> {
        let mut after = Vec::new();
        let equal = self.wait_for("all objects as before", |shop| {
            after = shop.describe()?;
            Ok(after == before)
        });
        if equal.is_ok() {
            let objects = before.iter().filter(|line| line.starts_with("- apiVersion:")).count();
            println!("{objects} objects and the namespace are equal, {} lines of YAML in all", before.len());
            return Ok(());
        }
        let difference = before.iter().zip(&after).position(|(before, after)| before != after);
        let place = difference.unwrap_or(before.len().min(after.len()));
        let around = |lines: &[String]| lines[place.saturating_sub(8)..lines.len().min(place + 4)].join("\n");
        Err(format!("the namespace is not as it was.\n--- before\n{}\n--- after\n{}", around(before), around(&after)))
    }

    /// Everything in the namespace that somebody wrote down, as kubectl shows it.
    ///
    /// Left out is what no cluster gives twice: ids, times, addresses, status, and the objects that controllers make anew
    /// under other names. `generateName` is what a name was made from that is kept as it is.
    fn describe(&self) -> Result<Vec<String>> {
        let kinds = self.read(&["api-resources", "--namespaced", "--verbs=list,create", "-o", "name"])?;
        let is_made_anew = |kind: &str| ["events", "endpoints", "endpointslices", "leases"].contains(&kind);
        let kinds: Vec<&str> =
            kinds.lines().filter(|kind| !is_made_anew(kind.split('.').next().unwrap_or_default())).collect();
        let namespace = self.read(&["get", "namespace/shop", "-o", "yaml"])?;
        let objects = self.read(&["get", &kinds.join(","), "-n", "shop", "-o", "yaml"])?;
        Ok([plain(&namespace, 0), plain(&objects, 2)].concat())
    }

    fn apply(&self, name: &str, manifest: &str) -> Result<()> {
        let path = self.program.work.join(name);
        write(&path, manifest)?;
        self.kubectl(&["apply", "-f", &path.to_string_lossy()])
    }

    /// Shows the command and what it prints.
    fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        let command = self.cluster.kubectl(arguments);
        println!("\n$ {}", line(&command).replacen(&*command.get_program().to_string_lossy(), "kubectl", 1));
        print!("{}", self.read(arguments)?);
        Ok(())
    }

    fn read(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.cluster.kubectl(arguments))
    }

    fn wait_for(&self, wanted: &str, mut is_there: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if is_there(self)? {
                return Ok(());
            }
            #[expect(clippy::disallowed_methods, reason = "no event tells that all controllers have come to rest")]
            std::thread::sleep(Duration::from_millis(500));
        }
        Err(format!("there are still not {wanted} after {} s", PATIENCE.as_secs()))
    }
}

/// Lines of YAML without what differs between two lives of an object; its own fields are indented by `indent`.
fn plain(yaml: &str, indent: usize) -> Vec<String> {
    const DIFFERS: [&str; 5] = ["uid:", "resourceVersion:", "creationTimestamp:", "generation:", "generateName:"];
    let mut lines = Vec::new();
    let mut is_status = false;
    for line in yaml.lines() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        is_status = if depth <= indent { depth == indent && trimmed.starts_with("status:") } else { is_status };
        let key = trimmed.trim_start_matches("- ");
        if is_status || DIFFERS.iter().any(|differs| key.starts_with(differs)) {
            continue;
        }
        // Addresses of services are given out anew.
        let address = [": 10.", "- 10."].iter().find_map(|before| line.find(before));
        lines.push(address.map_or_else(|| line.to_owned(), |start| format!("{}ADDRESS", &line[..start + 2])));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_differs_between_two_lives_is_left_out() {
        let yaml = "items:\n- kind: Service\n  metadata:\n    name: web\n    uid: 1\n  spec:\n    clusterIP: 10.96.4.5\n    \
                    status: kept\n  status:\n    conditions:\n    - type: Ready\n- kind: Other\n";
        let wanted = "items:\n- kind: Service\n  metadata:\n    name: web\n  spec:\n    clusterIP: ADDRESS\n    status: \
                      kept\n- kind: Other";
        assert_eq!(plain(yaml, 2).join("\n"), wanted);
        assert_eq!(plain("kind: A\nstatus:\n  phase: Active\nspec: {}\n", 0), ["kind: A", "spec: {}"]);
    }
}
