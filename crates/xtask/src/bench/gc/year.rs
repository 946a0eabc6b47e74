//! A year of backups every quarter of an hour, with a policy and a collection each day, and what the repository looks like every evening.
//!
//! testkit's `cluster-year` makes a day's backups when it is given a line; between two days the program forgets, collects and lists.
//! Snapshots are dated by simulated time; the store's files have real times, so collections have no grace.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use super::super::measure::Measurement;
use super::super::table::median;
use super::chart::{Line, Panel, Scale, svg};
use super::{Host, Options, Tools, below, key_file, where_and_when};
use crate::Result;
use crate::command::{command, line};

/// What Velero stores for each backup of such a cluster, every time anew.
const VELERO_MB: f64 = 2.1;
const POLICY: [&str; 10] =
    ["--keep-within", "1d", "--keep-hourly", "48", "--keep-daily", "30", "--keep-weekly", "12", "--keep-monthly", "12"];
/// Listing with nothing cached reads the whole log: measured once in so many days, and on the last.
const COLD_EVERY: usize = 5;

/// One evening.
#[derive(Default)]
struct Day {
    made: f64,
    objects: f64,
    object_bytes: f64,
    changed: f64,
    stored_per_backup: f64,
    backup_seconds: f64,
    listed: usize,
    stored: Stored,
    forget: f64,
    collect: f64,
    collect_memory_mib: f64,
    list: f64,
    list_memory_mib: f64,
    list_cold: Option<f64>,
}

/// Files and bytes of each part of the repository.
#[derive(Default, Clone, Copy)]
struct Stored {
    packs: (usize, u64),
    index: (usize, u64),
    log: (usize, u64),
}

impl Stored {
    fn megabytes(&self) -> f64 {
        (self.packs.1 + self.index.1 + self.log.1) as f64 / 1e6
    }
}

/// The page's section, and the chart.
pub(super) fn run(tools: &Tools, options: &Options, work: &Path) -> Result<(String, String)> {
    let header =
        format!("Written by `cargo xtask bench gc --part year --days {}`. {}\n", options.days, where_and_when()?);
    let home = work.join("year");
    let host = Host::new(&tools.backstay, &home.join("repository"), &key_file(work)?, &home)?;
    let mut backups = Backups::start(tools, &host)?;
    let mut days = Vec::with_capacity(options.days);
    for number in 1..=options.days {
        let day =
            backups.next_day().and_then(|day| evening(&host, day, number == options.days || number % COLD_EVERY == 0));
        let day = day.map_err(|error| format!("day {number}: {error}"))?;
        println!(
            "day {number}: {:.0} made, {} listed, {:.1} MB in {} packs, {} segments, {} entries; backup {:.3} s, forget {:.2}, gc {:.2}, list {:.3}",
            day.made,
            day.listed,
            day.stored.megabytes(),
            day.stored.packs.0,
            day.stored.index.0,
            day.stored.log.0,
            day.backup_seconds,
            day.forget,
            day.collect,
            day.list
        );
        days.push(day);
    }
    backups.end()?;
    Ok((header + &section(&days), chart(&days)))
}

/// Forgets, collects, lists.
fn evening(host: &Host<'_>, mut day: Day, with_cold: bool) -> Result<Day> {
    let seconds = |measured: Measurement| measured.wall.as_secs_f64();
    let mib = |measured: &Measurement| measured.peak_memory_bytes as f64 / f64::from(1 << 20);
    day.forget = seconds(host.quiet(&[&["forget"][..], &POLICY].concat())?);
    let collected = host.quiet(&["repo", "gc", "--grace", "0s"])?;
    (day.collect, day.collect_memory_mib) = (seconds(collected), mib(&collected));
    let listed = host.quiet(&["snapshots", "-o", "name"])?;
    (day.list, day.list_memory_mib) = (seconds(listed), mib(&listed));
    day.listed = host.answer()?.lines().count();
    if with_cold {
        day.list_cold = Some(seconds(host.quiet(&["snapshots", "-o", "name", "--no-cache"])?));
    }
    day.stored = Stored {
        packs: below(&host.repository.join("packs"))?,
        index: below(&host.repository.join("index"))?,
        log: below(&host.repository.join("log"))?,
    };
    Ok(day)
}

/// The process that makes backups, a day for each line.
struct Backups {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Backups {
    fn start(tools: &Tools, host: &Host<'_>) -> Result<Self> {
        let mut maker = command(&tools.year);
        maker.arg(&host.repository).arg(&host.key_file).arg(host.cache()).stdin(Stdio::piped()).stdout(Stdio::piped());
        println!("$ {}", line(&maker));
        let mut child = maker.spawn().map_err(|cause| format!("cannot start `{}`: {cause}", line(&maker)))?;
        let answers = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
        Ok(Self { child, answers })
    }

    fn next_day(&mut self) -> Result<Day> {
        let input = self.child.stdin.as_mut().ok_or("the child has no input")?;
        input
            .write_all(b"\n")
            .and_then(|()| input.flush())
            .map_err(|cause| format!("cluster-year has ended: {cause}"))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|cause| format!("cluster-year cannot be read: {cause}"))?;
        let numbers: Vec<f64> = answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [made, objects, object_bytes, changed, stored_per_backup, backup_seconds] = numbers[..] else {
            return Err(format!("cluster-year answered {answer:?}"));
        };
        Ok(Day { made, objects, object_bytes, changed, stored_per_backup, backup_seconds, ..Day::default() })
    }

    fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait().map_err(|cause| format!("cluster-year: {cause}"))?;
        if status.success() { Ok(()) } else { Err(format!("cluster-year ended with {status}")) }
    }
}

fn section(days: &[Day]) -> String {
    let Some(last) = days.last() else { return String::new() };
    let mean = |of: fn(&Day) -> f64| days.iter().map(of).sum::<f64>() / days.len() as f64;
    let mut text = format!(
        "\nA made-up cluster of {:.0} objects, {:.1} MB of JSON, of which {:.0} change from one backup to the next: leases, nodes and \
         autoscalers that beat, jobs, events, and a rollout in each working hour. {:.0} backups were made; a backup stored {:.0} kB on \
         average and took {:.0} ms (objects from memory, no API server). Each day ends with `backstay forget {}`, `backstay repo gc --grace 0s`, and \
         listing what is left.\n\n\
         Velero's line is its arithmetic: {VELERO_MB} MB for each backup of such a cluster, whole every time.\n\n\
         ![Repository size, snapshots, and times of collection and listing over the days](bench-gc-year.svg)\n\n",
        last.objects,
        last.object_bytes / 1e6,
        mean(|day| day.changed),
        last.made,
        mean(|day| day.stored_per_backup) / 1e3,
        mean(|day| day.backup_seconds) * 1e3,
        POLICY.join(" "),
    );
    text.push_str(
        "| day | snapshots made | listed | repository, MB | packs, MB | index, MB | log, MB | Velero, listed, MB | Velero, all, MB | packs | segments | log entries | forget, s | gc, s | gc, MiB | list, s | list, nothing cached, s |\n",
    );
    text.push_str("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    let mut shown: Vec<usize> = [1, 7, 30, 91, 182, 273].into_iter().filter(|day| *day < days.len()).collect();
    shown.push(days.len());
    for number in shown {
        let day = &days[number - 1];
        let megabytes = |(_, bytes): (usize, u64)| bytes as f64 / 1e6;
        // Not measured every day: the last one before.
        let cold = days[..number].iter().rev().find_map(|day| day.list_cold);
        let _ = writeln!(
            text,
            "| {number} | {:.0} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {} | {} | {} | {:.2} | {:.2} | {:.0} | {:.2} | {} |",
            day.made,
            day.listed,
            day.stored.megabytes(),
            megabytes(day.stored.packs),
            megabytes(day.stored.index),
            megabytes(day.stored.log),
            VELERO_MB * day.listed as f64,
            VELERO_MB * day.made,
            day.stored.packs.0,
            day.stored.index.0,
            day.stored.log.0,
            day.forget,
            day.collect,
            day.collect_memory_mib,
            day.list,
            cold.map_or("-".into(), |seconds| format!("{seconds:.2}")),
        );
    }
    let of_days = |of: fn(&Day) -> f64| {
        let mut values: Vec<f64> = days.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let greatest = values.last().copied().unwrap_or_default();
        (median(&values).unwrap_or_default(), greatest)
    };
    let (collect, collect_most) = of_days(|day| day.collect);
    let (list, list_most) = of_days(|day| day.list);
    let (_, memory_most) = of_days(|day| day.collect_memory_mib.max(day.list_memory_mib));
    let _ = write!(
        text,
        "\nOver all days: a collection took {collect:.2} s (median; {collect_most:.2} at most), a listing {list:.2} s ({list_most:.2} at most), and neither more \
         than {memory_most:.0} MiB of memory. Chart: [bench-gc-year.svg](bench-gc-year.svg)."
    );
    text
}

fn chart(days: &[Day]) -> String {
    let line = |name: &str, is_dashed: bool, of: &dyn Fn(&Day) -> Option<f64>| Line {
        name: name.into(),
        is_dashed,
        points: days.iter().enumerate().filter_map(|(at, day)| Some((at as f64 + 1.0, of(day)?))).collect(),
    };
    let panel = |title: &str, scale, lines| Panel { title: title.into(), scale, lines };
    let panels = [
        panel(
            "Stored, MB (logarithmic)",
            Scale::Logarithmic,
            vec![
                line("Backstay", false, &|day| Some(day.stored.megabytes())),
                line("Velero, listed", true, &|day| Some(VELERO_MB * day.listed as f64)),
                line("Velero, all", true, &|day| Some(VELERO_MB * day.made)),
            ],
        ),
        panel("Snapshots listed", Scale::Linear, vec![line("after forget", false, &|day| Some(day.listed as f64))]),
        panel(
            "Collection each day, seconds",
            Scale::Linear,
            vec![line("repo gc", false, &|day| Some(day.collect)), line("forget", true, &|day| Some(day.forget))],
        ),
        panel(
            "Listing all snapshots, seconds",
            Scale::Linear,
            vec![
                line("with the local index", false, &|day| Some(day.list)),
                line("nothing cached", true, &|day| day.list_cold),
            ],
        ),
        panel(
            "What the repository is made of, MB",
            Scale::Linear,
            vec![
                line("packs", false, &|day| Some(day.stored.packs.1 as f64 / 1e6)),
                line("log", true, &|day| Some(day.stored.log.1 as f64 / 1e6)),
                line("index", true, &|day| Some(day.stored.index.1 as f64 / 1e6)),
            ],
        ),
        panel(
            "Packs and index segments",
            Scale::Logarithmic,
            vec![
                line("packs", false, &|day| Some(day.stored.packs.0.max(1) as f64)),
                line("segments", true, &|day| Some(day.stored.index.0.max(1) as f64)),
            ],
        ),
    ];
    svg(&panels, days.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_and_the_chart_say_what_the_days_were() {
        let day = |made: f64, listed, collect| Day {
            made,
            listed,
            collect,
            stored: Stored { packs: (4, 3_000_000), index: (1, 500_000), log: (96, 500_000) },
            list_cold: Some(0.5),
            ..Day::default()
        };
        let days = [day(96.0, 96, 0.25), day(192.0, 120, 0.75)];
        let text = section(&days);
        assert!(text.contains("| 2 | 192 | 120 | 4.0 | 3.0 | 0.5 | 0.5 | 252 | 403 | 4 | 1 | 96 |"), "{text}");
        assert!(text.contains("a collection took 0.50 s (median; 0.75 at most)"), "{text}");
        assert_eq!(chart(&days).matches("<polyline").count(), 13);
    }
}
