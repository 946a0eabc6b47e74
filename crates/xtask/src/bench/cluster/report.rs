//! The page with the figures: medians, ratios to the plain requests, and the goals.

use std::fmt::Write;

use super::super::table::{cell, machine, median};
use super::suite::{LONG_HISTORY, Measured, Phase, Sample};
use crate::Result;
use crate::command::read;

/// A backup may take so many times the listing, and so many seconds more.
const BACKUP_GOAL: (f64, f64) = (1.5, 0.5);
const UNCHANGED_GOAL_BYTES: f64 = 16.0 * 1024.0;
/// One changed object, and the rest of the backup.
const CHANGED_GOAL_BYTES: (f64, f64) = (4096.0, 16.0 * 1024.0);
const FIRST_GOAL_OF_GZIP: f64 = 1.1;
const MEMORY_GOAL_MIB: f64 = 200.0;

pub(super) struct Report {
    page: String,
}

impl Report {
    pub(super) fn new(command_line: &str, runs: usize) -> Result<Report> {
        let repeated = match runs {
            1 => "One run.".to_owned(),
            runs => format!("Medians of {runs} runs, least and most in brackets."),
        };
        let page = format!(
            "# Kubernetes objects: Backstay beside plain requests\n\n\
             Written by `{command_line}`. {repeated} etcd, API server and Backstay share one machine and a loopback \
             connection; there are no controllers. The objects are of eleven kinds in 40 namespaces, made by \
             `benches/cluster.py`; what the control plane makes itself is backed up too. From 10,000 objects on services are \
             headless: the more addresses are taken, the longer a server looks for a free one.\n\n\
             *Listing* gets each listable resource once, without pages, on one connection, and drops the bytes. A backup's \
             goal is {} × the listing + {} s. *Creates* sends the same objects over eight connections, before each restore and \
             after it, as a server slows down while it fills: the mean counts. A restore plans and \
             applies into namespaces of other names; its goal is 1.4 × the creates where objects have one field manager, and \
             2.6 × where they have several, because a second request is needed to write down who owns which field.\n\n\
             Machine: {}; its load average was {} when the measurement began.\n",
            BACKUP_GOAL.0,
            BACKUP_GOAL.1,
            machine()?,
            load_average()?,
        );
        Ok(Report { page })
    }

    pub(super) fn page(&self) -> &str {
        &self.page
    }

    pub(super) fn add(&mut self, size: usize, measured: &Measured) {
        let _ = write!(
            self.page,
            "\n## {size} objects loaded\n\n{} objects in all, {:.1} MB of JSON, {:.2} MB through `gzip -6`; {} of them \
             changed; {} restored.\n",
            measured.objects,
            measured.listed_bytes / 1e6,
            measured.gzip_bytes / 1e6,
            measured.changed_objects,
            measured.restored_objects,
        );
        self.add_backups(measured);
        if measured.restored_objects > 0.0 {
            self.add_restores(measured);
        }
        self.add_questions(measured);
    }

    fn add_backups(&mut self, measured: &Measured) {
        self.page.push_str(
            "\n| backup | listing, s | backup, s | goal, s | ratio | peak memory, MiB | goal | stored, kB | goal |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for (phase, title) in [(Phase::First, "first"), (Phase::Unchanged, "unchanged"), (Phase::Changed, "changed")] {
            let samples = Samples::of(measured, phase);
            let goal_seconds = BACKUP_GOAL.0 * samples.median(|sample| sample.plain_seconds) + BACKUP_GOAL.1;
            let goal_bytes = match phase {
                Phase::First => FIRST_GOAL_OF_GZIP * measured.gzip_bytes,
                Phase::Unchanged => UNCHANGED_GOAL_BYTES,
                _ => CHANGED_GOAL_BYTES.0 * measured.changed_objects + CHANGED_GOAL_BYTES.1,
            };
            let _ = writeln!(
                self.page,
                "| {title} | {} | {} | {goal_seconds:.2} | {:.2} | {} | {MEMORY_GOAL_MIB:.0} | {} | {:.1} |",
                samples.cell(2, |sample| sample.plain_seconds),
                samples.cell(2, |sample| sample.seconds),
                samples.ratio(),
                samples.cell(0, |sample| sample.peak_memory_bytes as f64 / f64::from(1 << 20)),
                samples.cell(1, |sample| sample.stored_bytes as f64 / 1e3),
                goal_bytes / 1e3,
            );
        }
    }

    fn add_restores(&mut self, measured: &Measured) {
        self.page.push_str(
            "\n| restore | creates, s | restore, s | ratio | goal | peak memory, MiB |\n|---|---:|---:|---:|---:|---:|\n",
        );
        let rows = [(Phase::Restore, "one field manager", 1.4), (Phase::RestoreManagers, "two field managers", 2.6)];
        for (phase, title, goal) in rows {
            let samples = Samples::of(measured, phase);
            if samples.0.is_empty() {
                continue;
            }
            let _ = writeln!(
                self.page,
                "| {title} | {} | {} | {:.2} | {goal} | {} |",
                samples.cell(2, |sample| sample.plain_seconds),
                samples.cell(2, |sample| sample.seconds),
                samples.ratio(),
                samples.cell(0, |sample| sample.peak_memory_bytes as f64 / f64::from(1 << 20)),
            );
        }
    }

    fn add_questions(&mut self, measured: &Measured) {
        self.page.push_str("\n| question | s | peak memory, MiB |\n|---|---:|---:|\n");
        let rows = [
            (Phase::Diff, "`diff` of the first and the changed snapshot".to_owned()),
            (Phase::History, "`history` of one deployment over three snapshots, for the first time".to_owned()),
            (Phase::LongHistoryCold, format!("the same over {LONG_HISTORY} snapshots, without a local index")),
            (Phase::LongHistory, format!("the same over {LONG_HISTORY} snapshots, again")),
        ];
        for (phase, title) in rows {
            let samples = Samples::of(measured, phase);
            if samples.0.is_empty() {
                continue;
            }
            let _ = writeln!(
                self.page,
                "| {title} | {} | {} |",
                samples.cell(2, |sample| sample.seconds),
                samples.cell(0, |sample| sample.peak_memory_bytes as f64 / f64::from(1 << 20)),
            );
        }
    }
}

/// Of the last minute. Figures that were taken beside other work are worth less, and a reader should see that.
fn load_average() -> Result<String> {
    let text = read("/proc/loadavg".as_ref())?;
    Ok(text.split(' ').next().unwrap_or("unknown").to_owned())
}

/// All runs of one phase.
struct Samples<'a>(Vec<&'a Sample>);

impl<'a> Samples<'a> {
    fn of(measured: &'a Measured, phase: Phase) -> Self {
        Self(measured.samples.iter().filter(|sample| sample.phase == phase).collect())
    }

    fn sorted(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.0.iter().map(|sample| of(sample)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(&self.sorted(of)).unwrap_or(f64::NAN)
    }

    fn cell(&self, digits: usize, of: impl Fn(&Sample) -> f64) -> String {
        cell(&self.sorted(of), digits)
    }

    /// Of the medians.
    fn ratio(&self) -> f64 {
        self.median(|sample| sample.seconds) / self.median(|sample| sample.plain_seconds)
    }
}
