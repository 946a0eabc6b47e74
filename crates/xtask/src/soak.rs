//! `cargo xtask soak`: the fault matrix for longer than the tests take.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::command::{command, show_and_run};

pub(crate) const HELP: &str = "\
Usage: cargo xtask soak [--minutes N] [--seed S]

Tells stories of the fault matrix (docs/reference/fault-matrix.md) one seed after another, and prints how often what happened.
It ends with the first story in which something that was promised is lost, and says how to tell that one alone.

Options:
  --minutes N  How long [default: 60]
  --seed S     The first seed [default: by the clock, so that no two soaks are the same]";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut minutes, mut seed) = (60, None);
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let number = |value: Option<&String>| {
            let value = value.ok_or_else(|| format!("{option} needs a number\n\n{HELP}"))?;
            value.parse::<u64>().map_err(|_| format!("{option} needs a number, not {value:?}"))
        };
        match option.as_str() {
            "--minutes" => minutes = number(rest.next())?,
            "--seed" => seed = Some(number(rest.next())?),
            _ => return Err(format!("cannot understand {option:?}\n\n{HELP}")),
        }
    }
    let seed = seed.unwrap_or_else(by_the_clock);
    let mut test = command("cargo");
    test.args(["test", "--locked", "-p", "backstay-repo", "--test", "it", "matrix::whatever_happens_to_anybody"]);
    test.args(["--", "--nocapture"]);
    test.env("BACKSTAY_SOAK_MINUTES", minutes.to_string()).env("BACKSTAY_SEED", seed.to_string());
    eprintln!("== {minutes} minutes, seeds from {seed} on");
    show_and_run(&mut test)
}

#[expect(clippy::disallowed_methods, reason = "a seed that no soak had before")]
fn by_the_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() * 1_000_000)
}
