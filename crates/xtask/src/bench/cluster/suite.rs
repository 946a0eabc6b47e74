//! The order of things at one size: load, back up, change, ask, restore.
//!
//! Every run has a new repository, and takes the plain requests right beside what they are compared with. Restores come last, because
//! they make the cluster grow. Nobody deletes anything: without controllers a namespace never ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::measure::measure;
use super::super::stored_bytes;
use super::Options;
use crate::Result;
use crate::cluster::Cluster;
use crate::command::{command, create_dir, line, output, remove_dir};

/// Namespaces of the load; `benches/cluster.py` calls them `team-0` and so on.
const NAMESPACES: usize = 40;
/// Of the objects, between two backups.
const CHANGED_PERCENT: &str = "1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    First,
    Unchanged,
    Changed,
    Diff,
    History,
    /// Over many snapshots, with and without the local index.
    LongHistoryCold,
    LongHistory,
    /// Objects that one field manager wrote.
    Restore,
    /// The same with a second one on each.
    RestoreManagers,
}

/// One measured command, and the plain requests that it is compared with.
pub(super) struct Sample {
    pub(super) phase: Phase,
    pub(super) seconds: f64,
    pub(super) plain_seconds: f64,
    pub(super) peak_memory_bytes: u64,
    /// By which the repository grew.
    pub(super) stored_bytes: u64,
}

/// From here on restores are measured once, and only of objects with one manager: every restore makes the cluster larger by all that
/// was loaded, and the API server keeps it in memory.
const LARGE: usize = 100_000;

/// Up to here a repository with a long history is made too, by as many backups.
const SMALL: usize = 10_000;
pub(super) const LONG_HISTORY: usize = 1000;

/// All that is known about one size.
pub(super) struct Measured {
    pub(super) objects: f64,
    pub(super) listed_bytes: f64,
    pub(super) gzip_bytes: f64,
    /// How many of them each restore writes.
    pub(super) restored_objects: f64,
    pub(super) changed_objects: f64,
    pub(super) samples: Vec<Sample>,
}

pub(super) struct Suite<'a> {
    program: &'a Path,
    work: &'a Path,
    size: usize,
    runs: usize,
    history: bool,
    has_restores: bool,
    cluster: Cluster,
}

impl<'a> Suite<'a> {
    pub(super) fn start(program: &'a Path, work: &'a Path, size: usize, options: &Options) -> Result<Suite<'a>> {
        println!("\n== {size} objects");
        let cluster = Cluster::start(&["--without-controllers"])?;
        let has_restores = options.restore_up_to.is_none_or(|most| size <= most);
        let suite = Suite { program, work, size, runs: options.runs, history: options.history, has_restores, cluster };
        suite.plain(&["load", &size.to_string()])?;
        Ok(suite)
    }

    /// Goes through all phases in all runs.
    pub(super) fn run(self) -> Result<Measured> {
        let size = self.plain(&["size"])?;
        let number = |name| field(&size, name);
        let mut measured = Measured {
            objects: number("objects")?,
            listed_bytes: number("bytes")?,
            gzip_bytes: number("gzip_bytes")?,
            restored_objects: 0.0,
            changed_objects: 0.0,
            samples: Vec::new(),
        };
        for run in 0..self.runs {
            self.back_up(run, &mut measured)?;
        }
        if self.history && self.size <= SMALL {
            self.remember(&mut measured)?;
        }
        if !self.has_restores {
            return Ok(measured);
        }
        if self.size >= LARGE {
            self.restore(0, Phase::Restore, &mut measured)?;
            return Ok(measured);
        }
        for run in 0..self.runs {
            self.restore(run, Phase::Restore, &mut measured)?;
        }
        self.plain(&["change", "100", "everywhere"])?;
        self.backstay(0, &["backup", "cluster"], "backup-of-two-managers")?;
        for run in 0..self.runs {
            self.restore(run, Phase::RestoreManagers, &mut measured)?;
        }
        Ok(measured)
    }

    fn back_up(&self, run: usize, measured: &mut Measured) -> Result<()> {
        create_dir(&self.home(run))?;
        output(&mut self.command(run, &["repo", "init"]))?;
        for phase in [Phase::First, Phase::Unchanged, Phase::Changed] {
            if phase == Phase::Changed {
                let changed = self.plain(&["change", CHANGED_PERCENT, &format!("run-{run}")])?;
                measured.changed_objects = field(&changed, "requests")?;
            }
            let plain_seconds = field(&self.plain(&["list"])?, "seconds")?;
            let before = stored_bytes(&self.home(run).join("repository"))?;
            let mut sample = self.sample(run, phase, plain_seconds, &["backup", "cluster"])?;
            sample.stored_bytes = stored_bytes(&self.home(run).join("repository"))?.saturating_sub(before);
            measured.samples.push(sample);
        }
        let names = output(&mut self.command(run, &["snapshots", "-o", "name"]))?;
        let (Some(first), Some(last)) = (names.lines().next(), names.lines().last()) else {
            return Err(format!("three backups were made, but the snapshots are {names:?}"));
        };
        measured.samples.push(self.sample(run, Phase::Diff, 0.0, &["diff", first, last])?);
        let question = ["history", &self.deployments()?[0], "-n", "team-1"];
        measured.samples.push(self.sample(run, Phase::History, 0.0, &question)?);
        Ok(())
    }

    /// Makes a thousand snapshots, each with one changed object, and asks about one of them.
    fn remember(&self, measured: &mut Measured) -> Result<()> {
        let deployments = self.deployments()?;
        println!("making {LONG_HISTORY} snapshots");
        for number in 0..LONG_HISTORY {
            let changed = &deployments[number % deployments.len()];
            let annotation = format!("bench.example.com/changed={number}");
            output(&mut self.cluster.kubectl(&["annotate", "--overwrite", changed, &annotation, "-n", "team-1"]))?;
            output(&mut self.command(0, &["backup", "cluster"]))?;
        }
        let question = ["history", &deployments[0], "-n", "team-1"];
        for _ in 0..self.runs {
            remove_dir(&self.home(0).join("cache"))?;
            for phase in [Phase::LongHistoryCold, Phase::LongHistory] {
                measured.samples.push(self.sample(0, phase, 0.0, &question)?);
            }
        }
        Ok(())
    }

    /// Deployments of one namespace, as `deployment/NAME`.
    fn deployments(&self) -> Result<Vec<String>> {
        let list = output(&mut self.cluster.kubectl(&["get", "deployments", "-n", "team-1", "-o", "name"]))?;
        let names = list.lines().filter_map(|name| name.split_once('/'));
        let deployments: Vec<String> = names.map(|(_, name)| format!("deployment/{name}")).collect();
        if deployments.is_empty() { Err("the load has no deployment in team-1".into()) } else { Ok(deployments) }
    }

    /// Into namespaces of its own, from the first run's repository. A server slows down as it fills, so that what is created before
    /// and after the restore is compared with it.
    fn restore(&self, run: usize, phase: Phase, measured: &mut Measured) -> Result<()> {
        let kind = if phase == Phase::Restore { "one" } else { "two" };
        let create = |when: &str| self.plain(&["create", &format!("{when}-{kind}-{run}")]);
        let before = create("before")?;
        measured.restored_objects = field(&before, "requests")?;
        let included: Vec<String> = (0..NAMESPACES).map(|number| format!("team-{number}")).collect();
        let mappings: Vec<String> =
            (0..NAMESPACES).map(|number| format!("team-{number}:restored-{kind}-{run}-{number}")).collect();
        let words = [
            "restore",
            "cluster",
            "latest",
            "--include-namespaces",
            &included.join(","),
            "--namespace-mappings",
            &mappings.join(","),
        ];
        let mut sample = self.sample(0, phase, field(&before, "seconds")?, &words)?;
        sample.plain_seconds = f64::midpoint(sample.plain_seconds, field(&create("after")?, "seconds")?);
        measured.samples.push(sample);
        self.count_restored(kind, run, measured.restored_objects)
    }

    /// A fast restore that restored nothing is no figure.
    fn count_restored(&self, kind: &str, run: usize, wanted: f64) -> Result<()> {
        let kinds = "configmaps,secrets,deployments,services,serviceaccounts,roles,rolebindings,ingresses,networkpolicies,\
                     cronjobs,namespaces";
        let columns = "custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name";
        let list = output(&mut self.cluster.kubectl(&["get", kinds, "-A", "--no-headers", "-o", columns]))?;
        let prefix = format!("restored-{kind}-{run}-");
        let is_restored = |line: &&str| line.split_whitespace().any(|word| word.starts_with(&prefix));
        let found = list.lines().filter(is_restored).count();
        if (found as f64) < wanted {
            return Err(format!("{wanted} objects were to be restored into {prefix}*, and {found} are there"));
        }
        Ok(())
    }

    fn sample(&self, run: usize, phase: Phase, plain_seconds: f64, words: &[&str]) -> Result<Sample> {
        let log = format!("{phase:?}-{run}").to_lowercase();
        let (seconds, peak_memory_bytes) = self.backstay(run, words, &log)?;
        let mib = peak_memory_bytes >> 20;
        println!("  {phase:?}: {seconds:.2} s beside {plain_seconds:.2} s, {mib} MiB");
        Ok(Sample { phase, seconds, plain_seconds, peak_memory_bytes, stored_bytes: 0 })
    }

    fn backstay(&self, run: usize, words: &[&str], log: &str) -> Result<(f64, u64)> {
        let mut command = self.command(run, words);
        let shown: String = line(&command).chars().take(160).collect();
        println!("$ {shown}");
        let measurement = measure(&mut command, &self.home(run).join(format!("{log}.log")))?;
        Ok((measurement.wall.as_secs_f64(), measurement.peak_memory_bytes))
    }

    fn command(&self, run: usize, words: &[&str]) -> Command {
        let home = self.home(run);
        let mut command = Command::new(self.program);
        command.args(words).env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache"));
        command.env("KUBECONFIG", self.cluster.kubeconfig());
        command.env("BACKSTAY_REPO", home.join("repository")).env("BACKSTAY_PASSWORD", "bench");
        command
    }

    /// One line of JSON from the plain requests.
    fn plain(&self, words: &[&str]) -> Result<String> {
        let mut plain = command("python3");
        plain.arg("benches/cluster.py").arg(self.cluster.kubeconfig()).args(words);
        println!("$ {}", line(&plain));
        let answer = output(&mut plain)?;
        println!("  {}", answer.trim_end());
        Ok(answer)
    }

    fn home(&self, run: usize) -> PathBuf {
        self.work.join(format!("run-{run}"))
    }
}

/// A number in one flat JSON object.
fn field(json: &str, name: &str) -> Result<f64> {
    let after = json.split_once(&format!("\"{name}\": ")).map(|(_, rest)| rest);
    let digits = after.and_then(|rest| rest.split([',', '}']).next());
    digits.and_then(|digits| digits.parse().ok()).ok_or(format!("{json:?} has no number called {name}"))
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_number_is_found_by_its_name() {
        let json = "{\"seconds\": 0.25, \"requests\": 59}\n";
        assert_eq!(field(json, "seconds"), Ok(0.25));
        assert_eq!(field(json, "requests"), Ok(59.0));
        assert!(field(json, "bytes").is_err());
    }
}
