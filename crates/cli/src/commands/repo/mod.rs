//! `backstay repo`: work on the repository itself.

mod check;
mod copy;
mod gc;
mod heal;
mod info;
mod init;
mod key;
mod limits;
mod repair;
mod scrub;
mod stats;

use std::io::Write;

use backstay_repo::RepoError;
use backstay_repo::check::Finding;
use clap::Subcommand;

use crate::Result;
use crate::context::{Context, warn};
use crate::failure::Exit;
use crate::output::{Output, counted, escape, short};

/// Work on the repository itself
#[derive(Subcommand)]
pub(crate) enum RepoCommand {
    Init(init::InitArgs),
    Info(info::InfoArgs),
    Stats(stats::StatsArgs),
    Check(check::CheckArgs),
    Gc(gc::GcArgs),
    Scrub(scrub::ScrubArgs),
    Copy(copy::CopyArgs),
    Heal(heal::HealArgs),
    #[command(subcommand)]
    Repair(repair::RepairCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
}

pub(crate) fn run(context: &Context, command: RepoCommand) -> Result<Exit> {
    match command {
        RepoCommand::Init(args) => init::run(context, &args),
        RepoCommand::Info(args) => info::run(context, &args),
        RepoCommand::Stats(args) => stats::run(context, &args),
        RepoCommand::Check(args) => check::run(context, &args),
        RepoCommand::Gc(args) => gc::run(context, &args),
        RepoCommand::Scrub(args) => scrub::run(context, &args),
        RepoCommand::Copy(args) => copy::run(context, &args),
        RepoCommand::Heal(args) => heal::run(context, &args),
        RepoCommand::Repair(command) => repair::run(context, command),
        RepoCommand::Key(command) => key::run(context, command),
    }
}

fn warn_of_passing_faults(faults: u64) {
    if faults > 0 {
        warn(&format!(
            "{} could be read only at the second try: watch the disk or the network",
            counted(faults, "object", "objects")
        ));
    }
}

/// What was seen is told all the same.
fn warn_unsaved(unsaved: Option<RepoError>) {
    if let Some(error) = unsaved {
        warn(&format!("what was seen could not be saved, and the next run reads the same again: {error}"));
    }
}

/// What is damaged, whom it touches, and what mends it.
fn print_findings(out: &mut Output, findings: &[Finding]) -> Result<()> {
    for finding in findings {
        writeln!(out, "damaged: {}: {}", escape(&finding.object), escape(&finding.problem))?;
        if !finding.snapshots.is_empty() {
            let snapshots: Vec<String> = finding.snapshots.iter().map(short).collect();
            writeln!(
                out,
                "  {}: {}",
                if snapshots.len() == 1 { "snapshot" } else { "snapshots" },
                snapshots.join(" ")
            )?;
        }
        for path in &finding.paths {
            writeln!(out, "  {}", escape(path))?;
        }
        if finding.paths_more > 0 {
            writeln!(out, "  and {} more", counted(finding.paths_more, "path", "paths"))?;
        }
        if !finding.mend.is_empty() {
            writeln!(out, "  mended by: {}", finding.mend.join(", or else "))?;
        }
    }
    Ok(())
}
