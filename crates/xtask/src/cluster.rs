//! A throw-away Kubernetes cluster for the demonstration and for measurements.
//!
//! The launcher belongs to the test kit, which takes minutes to compile on a fresh machine: so it runs as a program of its own,
//! and the cluster ends when its input is closed, which happens with this process in any case.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::command::{command, line, show_and_run, target_dir};
use crate::tools::{cache_dir, install_kubernetes};

pub(crate) struct Cluster {
    launcher: Child,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Cluster {
    /// Builds what is missing and starts a cluster; `arguments` are `cluster-up`'s.
    pub(crate) fn start(arguments: &[&str]) -> Result<Cluster> {
        install_kubernetes()?;
        let cache = cache_dir()?;
        show_and_run(command("cargo").args([
            "build",
            "--locked",
            "--package",
            "backstay-testkit",
            "--bin",
            "cluster-up",
        ]))?;

        let mut command = Command::new(target_dir()?.join("debug/cluster-up"));
        command.args(arguments).env("BACKSTAY_TEST_TOOLS", &cache).stdin(Stdio::piped()).stdout(Stdio::piped());
        println!("$ {} &", line(&command));
        let mut launcher = command.spawn().map_err(|cause| format!("cannot start `{}`: {cause}", line(&command)))?;
        let mut kubeconfig = String::new();
        let printed = launcher.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut kubeconfig));
        if !matches!(printed, Some(Ok(length)) if length > 0) {
            let _ = launcher.wait();
            return Err("the cluster does not start; its messages are above".into());
        }
        Ok(Cluster { launcher, kubeconfig: kubeconfig.trim_end().into(), kubectl: cache.join("bin/kubectl") })
    }

    /// The administrator's.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        // Its caches go with the cluster.
        let home = self.kubeconfig.parent().unwrap_or(Path::new("/"));
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env("HOME", home);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.launcher.stdin.take());
        let _ = self.launcher.wait();
    }
}
