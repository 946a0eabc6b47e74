//! `backstay repo stats`

use std::io::Write;

use backstay_repo::stats::{KindStatistics, RepositoryStatistics, statistics};
use clap::Args;
use serde::Serialize;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{Align, Format, Table, count, counted, ratio, size};

/// Tell what the repository holds, and what deduplication and compression save
#[derive(Args)]
pub(crate) struct StatsArgs {}

#[derive(Serialize)]
struct StatsDocument {
    #[serde(flatten)]
    statistics: RepositoryStatistics,
    /// Size of all snapshots' files to unique data.
    deduplication_ratio: Option<f64>,
    /// Unique data to what is stored for them.
    compression_ratio: Option<f64>,
    total_ratio: Option<f64>,
}

pub(super) fn run(context: &Context, _args: &StatsArgs) -> Result<Exit> {
    let repository = context.open()?;
    let statistics = statistics(&repository)?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            let stored = statistics.data.stored_bytes + statistics.trees.stored_bytes;
            let document = StatsDocument {
                deduplication_ratio: quotient(statistics.snapshots_bytes, statistics.data.plain_bytes),
                compression_ratio: quotient(statistics.data.plain_bytes, statistics.data.stored_bytes),
                total_ratio: quotient(statistics.snapshots_bytes, stored),
                statistics,
            };
            out.document(&document)?;
        }
        Format::Name => writeln!(out, "{}", repository.config().repository)?,
        Format::Table | Format::Wide => print(&statistics, &mut out)?,
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn quotient(large: u64, small: u64) -> Option<f64> {
    // Two digits are all that is meant.
    (small > 0).then(|| (large as f64 / small as f64 * 100.0).round() / 100.0)
}

fn print(statistics: &RepositoryStatistics, out: &mut dyn Write) -> Result<()> {
    let RepositoryStatistics { snapshots, snapshots_files, snapshots_bytes, data, trees, .. } = *statistics;
    let stored_bytes = data.stored_bytes + trees.stored_bytes;
    writeln!(
        out,
        "{} with {} of {}",
        counted(snapshots, "snapshot", "snapshots"),
        counted(snapshots_files, "file", "files"),
        size(snapshots_bytes)
    )?;
    let columns = [
        ("KIND", Align::Left),
        ("RECORDS", Align::Right),
        ("UNIQUE", Align::Right),
        ("STORED", Align::Right),
        ("PACKS", Align::Right),
    ];
    let mut table = Table::new(columns);
    for (name, kind) in [("data", data), ("trees", trees)] {
        let KindStatistics { records, plain_bytes, stored_bytes, packs } = kind;
        table.push([name.to_owned(), count(records), size(plain_bytes), size(stored_bytes), count(packs)]);
    }
    table.print(out)?;
    writeln!(out, "deduplication {}: all snapshots' files to unique data", ratio(snapshots_bytes, data.plain_bytes))?;
    writeln!(out, "compression   {}: unique data to stored data", ratio(data.plain_bytes, data.stored_bytes))?;
    writeln!(
        out,
        "together      {}: all snapshots' files to {} stored",
        ratio(snapshots_bytes, stored_bytes),
        size(stored_bytes)
    )?;
    Ok(())
}
