//! `cargo xtask test`: everything that must hold before a change is accepted, from a fresh machine on.
//!
//! Nothing is skipped: a missing prerequisite ends the run before the first step. The tests are one cargo invocation, so its
//! closing lines tell what ran.

use std::time::Instant;

use crate::Result;
use crate::command::{command, show_and_run};
use crate::tools::{cache_dir, check_prerequisites, install_test_servers};

pub(crate) const HELP: &str = "\
Usage: cargo xtask test [--filter NAME]

Installs the servers that tests need (an S3 gateway, an Azure emulator, and a Kubernetes control plane, which is built
from source) into a cache folder, then runs `cargo fmt --check`, clippy with warnings as errors, and all tests of the
workspace. On two cores the first run takes about 25 minutes; repeating it installs nothing again.

Options:
  --filter NAME  Run only the tests whose name contains NAME

Environment:
  BACKSTAY_TEST_TOOLS  The cache folder [default: backstay-test in $XDG_CACHE_HOME or ~/.cache]";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => run_tests(None),
        [option, filter] if option == "--filter" => run_tests(Some(filter)),
        _ => Err(format!("cannot understand {arguments:?}\n\n{HELP}")),
    }
}

fn run_tests(filter: Option<&str>) -> Result<()> {
    let mut steps = Steps::default();
    steps.step("Prerequisites", check_prerequisites)?;
    steps.step("Test servers", install_test_servers)?;
    steps.step("Formatting", || show_and_run(command("cargo").args(["fmt", "--all", "--check"])))?;
    steps.step("Lints", || {
        show_and_run(command("cargo").args([
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    let cache = cache_dir()?;
    steps.step("Tests", || {
        let mut test = command("cargo");
        test.args(["test", "--locked", "--workspace"]).args(filter).env("BACKSTAY_TEST_TOOLS", cache);
        show_and_run(&mut test)
    })?;
    eprintln!("{}", steps.summary());
    Ok(())
}

/// Announces each step and remembers how long it took.
#[derive(Default)]
struct Steps {
    taken: Vec<String>,
}

impl Steps {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("== {name}");
        let start = Instant::now();
        work().map_err(|message| format!("{name}: {message}"))?;
        self.taken.push(format!("{name} {} s", start.elapsed().as_secs()));
        Ok(())
    }

    fn summary(&self) -> String {
        format!("== Done: {}", self.taken.join(", "))
    }
}
