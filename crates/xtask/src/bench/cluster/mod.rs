//! `cargo xtask bench cluster`: backups, restores and questions beside the plain requests that they cannot do without.
//!
//! `suite` does the work at one size, `report` writes the page. The requests beside them are `benches/cluster.py`'s. There are no
//! controllers, so nothing moves that the measurement does not move itself, and each object has one field manager until a
//! phase adds another.

mod report;
mod suite;

use std::path::PathBuf;

use report::Report;
use suite::Suite;

use super::{HELP, build_release};
use crate::Result;
use crate::command::{command, create_dir, output, project_root, remove_dir, write};
use crate::tools;

const PAGE: &str = "docs/reference/bench-cluster.md";

const SIZE_MIN: usize = 1000;

struct Options {
    sizes: Vec<usize>,
    runs: usize,
    history: bool,
    restore_up_to: Option<usize>,
    no_page: bool,
    work: PathBuf,
}

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    output(command("python3").args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]))
        .map_err(|_| "please install first: Python 3.10 or newer".to_owned())?;
    let program = build_release()?;
    remove_dir(&options.work)?;
    let mut report = Report::new(&options.command_line(), options.runs)?;
    for &size in &options.sizes {
        create_dir(&options.work)?;
        let work = std::fs::canonicalize(&options.work)
            .map_err(|cause| format!("cannot find {}: {cause}", options.work.display()))?;
        let measured = Suite::start(&program, &work, size, &options)?.run()?;
        report.add(size, &measured);
        // After every size: an hour's figures are not lost with the last of them.
        if !options.no_page {
            write(&project_root().join(PAGE), report.page())?;
        }
        remove_dir(&options.work)?;
    }
    println!("\n{}", report.page());
    if !options.no_page {
        println!("written to {PAGE}");
    }
    Ok(())
}

impl Options {
    /// The command that repeats this run.
    fn command_line(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(ToString::to_string).collect();
        let runs = if self.runs == 3 { String::new() } else { format!(" --runs {}", self.runs) };
        let history = if self.history { " --history" } else { "" };
        let restores = self.restore_up_to.map_or_else(String::new, |most| format!(" --restore-up-to {most}"));
        format!("cargo xtask bench cluster --sizes {}{runs}{history}{restores}", sizes.join(","))
    }
}

fn parse(arguments: &[String]) -> Result<Options> {
    let work = tools::cache_dir()?.join("bench");
    let sizes = vec![3600, 30_000, 300_000];
    let mut options = Options { sizes, runs: 3, history: false, restore_up_to: None, no_page: false, work };
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value\n\n{HELP}"));
        match option.as_str() {
            "--sizes" => {
                let sizes = value()?.split(',').map(|size| size.parse().map_err(|cause| format!("{size:?}: {cause}")));
                options.sizes = sizes.collect::<Result<_>>()?;
            }
            "--runs" => options.runs = value()?.parse().map_err(|cause| format!("--runs: {cause}"))?,
            "--history" => options.history = true,
            "--restore-up-to" => {
                let most = value()?;
                options.restore_up_to =
                    Some(most.parse().map_err(|cause| format!("--restore-up-to {most:?}: {cause}"))?);
            }
            "--no-page" => options.no_page = true,
            "--work" => options.work = value()?.into(),
            _ => return Err(format!("there is no option {option}\n\n{HELP}")),
        }
    }
    if options.runs == 0 {
        return Err(format!("nothing to measure\n\n{HELP}"));
    }
    // Spread over 40 namespaces, fewer leave one without a deployment to ask about.
    if let Some(size) = options.sizes.iter().find(|&&size| size < SIZE_MIN) {
        return Err(format!("--sizes: {size} is too few, {SIZE_MIN} objects are the least"));
    }
    Ok(options)
}
