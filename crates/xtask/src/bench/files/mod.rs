//! `cargo xtask bench files`: Backstay beside other backup programs, on the same files in the same run.
//!
//! `program` knows each program's words, `measure` takes time and memory, `suite` fixes the order of things, `report` writes
//! the page. Compression level, encryption and what is kept are alike for all; everything else is each program's default.

mod program;
mod report;
mod suite;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use program::Program;
use report::Report;
use suite::{Suite, Work};

use super::{HELP, build_release};
use crate::Result;
use crate::command::{command, create_dir, output, project_root, remove_dir, show_and_run, write};
use crate::tools;

const PAGE: &str = "docs/reference/bench-files.md";

const INDEX_CHUNKS: &str = "2000000";

/// ext4 creates files several times more slowly for some minutes after a lot was deleted.
const QUIET_BEFORE_RESTORE: Duration = Duration::from_mins(6);

struct Options {
    programs: Vec<Program>,
    runs: usize,
    scale: bool,
    quick: bool,
    data: PathBuf,
    work: PathBuf,
}

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    let executables = install(&options.programs)?;
    tools::install_postgresql()?;
    show_and_run(command(project_root().join("benches/dataset.sh")).arg(&options.data))?;

    remove_dir(&options.work)?;
    create_dir(&options.work)?;
    let work = Work {
        dir: std::fs::canonicalize(&options.work).map_err(|cause| format!("{}: {cause}", options.work.display()))?,
        executables,
        runs: options.runs,
        restores_from: Instant::now() + if options.quick { Duration::ZERO } else { QUIET_BEFORE_RESTORE },
    };
    let everything = !options.quick && options.programs == Program::ALL;
    // After every part: an hour's figures are not lost with the last of them.
    let keep = |report: &Report| if everything { write(&project_root().join(PAGE), report.page()) } else { Ok(()) };
    let mut report = Report::new(&work, &options.command_line())?;
    for suite in suites(&options) {
        let samples = suite.run(&work, &options.data)?;
        report.add(suite, &samples);
        keep(&report)?;
    }

    if options.scale {
        let words = ["run", "--release", "--locked", "--package", "backstay-repo", "--example", "index_scale"];
        report.add_index(&output(command("cargo").args(words).arg(INDEX_CHUNKS))?);
    }

    println!("\n{}", report.page());
    keep(&report)?;
    if everything {
        println!("written to {PAGE}");
    }
    remove_dir(&options.work)
}

impl Options {
    /// The command that repeats this run.
    fn command_line(&self) -> String {
        let mut words = vec!["cargo xtask bench files".to_owned()];
        if self.programs != Program::ALL {
            words.push(format!(
                "--programs {}",
                self.programs.iter().map(|program| program.name()).collect::<Vec<_>>().join(",")
            ));
        }
        if self.quick {
            words.push("--quick".into());
        } else if self.runs != 3 {
            words.push(format!("--runs {}", self.runs));
        }
        if self.scale {
            words.push("--scale".into());
        }
        words.join(" ")
    }
}

fn parse(arguments: &[String]) -> Result<Options> {
    let cache = tools::cache_dir()?;
    let mut options = Options {
        programs: Program::ALL.to_vec(),
        runs: 3,
        scale: false,
        quick: false,
        data: cache.join("data"),
        work: cache.join("bench"),
    };
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value\n\n{HELP}"));
        match option.as_str() {
            "--programs" => options.programs = value()?.split(',').map(Program::named).collect::<Result<_>>()?,
            "--runs" => options.runs = value()?.parse().map_err(|cause| format!("--runs: {cause}"))?,
            "--scale" => options.scale = true,
            "--quick" => (options.quick, options.runs) = (true, 1),
            "--data" => options.data = value()?.into(),
            "--work" => options.work = value()?.into(),
            _ => return Err(format!("there is no option {option}\n\n{HELP}")),
        }
    }
    if options.runs == 0 || options.programs.is_empty() {
        return Err(format!("nothing to measure\n\n{HELP}"));
    }
    Ok(options)
}

fn suites(options: &Options) -> Vec<Suite> {
    let mut suites = vec![Suite::Volumes];
    if options.scale {
        suites.extend([Suite::MillionFiles, Suite::LargeDirectory, Suite::SparseFile]);
    }
    suites
}

/// Each program with the path to run it by.
fn install(programs: &[Program]) -> Result<Vec<(Program, PathBuf)>> {
    programs
        .iter()
        .map(|&program| {
            let path = match program {
                Program::Backstay => build_release()?,
                Program::Restic => tools::install_restic()?,
                Program::Borg => tools::install_borg()?,
                Program::Rustic => tools::install_rustic()?,
            };
            Ok((program, path))
        })
        .collect()
}
