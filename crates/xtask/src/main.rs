//! Automation of the project: `cargo xtask test|soak|demo|bench|docs`.
//!
//! One file per command. It runs other programs and prints each command line before running it, so that a reader can repeat
//! every step by hand. The tidy checks are ordinary tests in `tests/it`, run by `cargo test` like all others.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool whose output is for people")]

mod bench;
mod cluster;
mod command;
mod demo;
mod docs;
mod soak;
mod test;
mod tools;

use std::process::ExitCode;

/// What went wrong, as one message for a person: the program ends with it.
type Result<T> = std::result::Result<T, String>;

/// A command, with its arguments.
type Run = fn(&[String]) -> Result<()>;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  test   Install what the tests need, then check formatting, lints and run every test
  soak   Tell stories of the fault matrix for longer than the tests do
  demo   Back a real directory up twice, show what was stored, restore it and compare
  bench  Compare with other backup programs, or measure the limits of scale
  docs   Write the generated reference, or check that it is current

Each command explains itself with --help.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let (help, run): (_, Run) = match name {
        "test" => (test::HELP, test::run),
        "soak" => (soak::HELP, soak::run),
        "demo" => (demo::HELP, demo::run),
        "bench" => (bench::HELP, bench::run),
        "docs" => (docs::HELP, docs::run),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("error: there is no command {name:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if rest.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{help}");
        return ExitCode::SUCCESS;
    }
    match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
