//! `backstay repo gc`

use std::io::Write;

use backstay_repo::Progress;
use backstay_repo::gc::{Amount, CollectOptions, CollectReport};
use clap::Args;
use jiff::{Span, SpanRelativeTo};
use serde::Serialize;

use crate::Result;
use crate::context::{Context, warn};
use crate::failure::Exit;
use crate::output::{ByteSize, Format, counted, size};
use crate::progress::{self, Labels};

/// Free the space of what no snapshot needs any more
///
/// May run at any time, beside backups, restores, checks and other collections, and may be interrupted. What is found to be in no use stays
/// readable for the grace and goes with a later run: run it daily. Packs that are mostly unused, or small, are rewritten, and
/// index segments are merged.
#[derive(Args)]
pub(crate) struct GcArgs {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// How long what is in no use stays readable, such as 24h or 7d. 0s frees at once: for a full disk. A backup that runs at
    /// that moment may have to begin anew; nothing that is listed is ever touched
    #[arg(long, value_name = "PERIOD", default_value = "24h", value_parser = parse_period)]
    grace: i64,

    /// Unused bytes that may stay in packs which are needed, in percent of the needed ones
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = parse_percent)]
    max_unused: f64,

    /// Rewrite at most packs of so many bytes, such as 10G
    #[arg(long, value_name = "SIZE")]
    max_repack: Option<ByteSize>,

    /// Begin to rewrite no pack after so long, such as 30m
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    max_duration: Option<i64>,

    /// Rewrite no pack younger than this unless it is mostly unused: for storage classes that bill a minimum age, such as 30d
    #[arg(long, value_name = "PERIOD", default_value = "0s", value_parser = parse_period)]
    min_pack_age: i64,

    /// Collect in a store that cannot create an object only if it is absent. Says that no other process uses the repository,
    /// and that none that ran before will go on
    #[arg(long)]
    exclusive: bool,
}

#[derive(Serialize)]
struct GcDocument<'a> {
    dry_run: bool,
    #[serde(flatten)]
    report: &'a CollectReport,
}

pub(super) fn run(context: &Context, args: &GcArgs) -> Result<Exit> {
    let repository = context.open()?;
    let options = CollectOptions {
        grace_seconds: args.grace,
        unused_max: args.max_unused / 100.0,
        repack_bytes_max: args.max_repack.map(|most| most.0),
        seconds_max: args.max_duration,
        pack_age_min_seconds: args.min_pack_age,
        dry_run: args.dry_run,
        exclusive: args.exclusive,
        ..CollectOptions::default()
    };
    let progress = Progress::new();
    let labels = Labels { doing: "marked", item: "snapshot", items: "snapshots" };
    let report = progress::run(context, labels, &progress, || repository.collect(&options, &progress))?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&GcDocument { dry_run: args.dry_run, report: &report })?,
        Format::Name => {}
        Format::Table | Format::Wide => {
            for line in lines(&report, args.dry_run) {
                writeln!(out, "{line}")?;
            }
        }
    }
    out.finish()?;
    for pack in &report.damaged {
        warn(&format!(
            "pack {pack} is damaged and stays as it is: `backstay repo check --read-data` says whom it touches and what mends it"
        ));
    }
    if report.was_full {
        warn("the store was full, so that nothing was rewritten: run it again when there is room");
    }
    if report.is_unfinished {
        warn("others changed the repository meanwhile: the rest is done by the next run");
    }
    Ok(if report.damaged.is_empty() { Exit::Done } else { Exit::Damage })
}

fn lines(report: &CollectReport, is_dry: bool) -> Vec<String> {
    let packs = |amount: &Amount| format!("{} ({})", counted(amount.objects, "pack", "packs"), size(amount.bytes));
    let mut lines = Vec::new();
    let mut say = |amount: &Amount, done: &str, planned: &str, rest: &str| {
        if amount.objects > 0 {
            lines.push(format!("{} {}{rest}", if is_dry { planned } else { done }, packs(amount)));
        }
    };
    let until = report.waiting_until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    say(&report.condemned, "condemned", "would condemn", ": in no use, readable for the grace");
    say(&report.reprieved, "reprieved", "would reprieve", ": in use again");
    say(&report.retired, "let go", "would let go of", "");
    let into = if is_dry {
        format!(" as about {}", size(report.repacked_into.bytes))
    } else {
        format!(" as {}", packs(&report.repacked_into))
    };
    say(&report.repacked, "rewrote", "would rewrite", &into);
    say(&report.deleted, "freed", "would free", "");
    say(&report.waiting, "waiting:", "waiting:", &until);
    say(&report.spared, "spared", "would spare", ": named by no index yet, they may be a running backup's");
    if report.segments_after != report.segments_before {
        let (before, after) = (report.segments_before, report.segments_after);
        lines.push(format!("{} {before} index segments to {after}", if is_dry { "would merge" } else { "merged" }));
    }
    if report.refused.objects > 0 {
        lines.push(format!(
            "the store refuses to delete {} ({}) for now: later runs try again",
            counted(report.refused.objects, "object", "objects"),
            size(report.refused.bytes)
        ));
    }
    let unused = match report.unused_bytes {
        0 => String::new(),
        unused => format!(", {} of it unused", size(unused)),
    };
    lines.push(format!(
        "in use by {}: {}{unused}",
        counted(report.snapshots, "snapshot", "snapshots"),
        packs(&report.needed)
    ));
    lines
}

fn parse_period(text: &str) -> std::result::Result<i64, String> {
    let period: Span = text.parse().map_err(|_| format!("{text:?} is no period; write 24h, 7d or 0s"))?;
    let seconds = period
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("{text:?} has no fixed length; write it in weeks, days or hours"))?
        .as_secs();
    if seconds < 0 { Err("a period is not negative".to_owned()) } else { Ok(seconds) }
}

fn parse_percent(text: &str) -> std::result::Result<f64, String> {
    let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| format!("{text:?} is no percentage"))?;
    if (0.0..=100_000.0).contains(&percent) { Ok(percent) } else { Err("a percentage is 0 or more".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_a_fixed_length() {
        assert_eq!(parse_period("0s"), Ok(0));
        assert_eq!(parse_period("1d12h"), Ok(36 * 3600));
        assert_eq!(parse_period("2w"), Ok(14 * 86_400));
        for text in ["1mo", "-1h", "24", "soon"] {
            assert!(parse_period(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_are_not_negative() {
        assert_eq!(parse_percent("5"), Ok(5.0));
        assert_eq!(parse_percent("2.5%"), Ok(2.5));
        for text in ["-1", "much", "NaN"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }
}
