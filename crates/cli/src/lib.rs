//! The command line: what is typed, what is shown, and how a run ends.
//!
//! The only crate that knows a terminal, the process's environment, signals and exit codes. One file per command under
//! `commands`, whose doc comments are the help. stdout is data, stderr is messages and progress. What the commands do is
//! the business of `backstay-repo`, `backstay-files` and `backstay-cluster`.

mod args;
mod commands;
mod connection;
mod context;
mod docs;
mod failure;
mod foreign;
mod interrupt;
mod log;
mod output;
mod progress;
mod secret;
mod selector;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::Cli;
use context::Context;
use failure::{Exit, Failure};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let exit = match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli),
        Err(error) => reject(&error, &arguments),
    };
    ExitCode::from(exit as u8)
}

/// The definition of the command line: for completions and generated pages.
pub fn command() -> clap::Command {
    Cli::command()
}

fn run(cli: Cli) -> Exit {
    log::start(&cli.globals);
    let context = Context::new(cli.globals);
    match commands::run(&context, cli.command) {
        Ok(exit) => exit,
        Err(failure) => {
            failure.print();
            failure.exit()
        }
    }
}

/// The command line cannot be understood, or asks for help.
fn reject(error: &clap::Error, arguments: &[OsString]) -> Exit {
    if let Some(failure) = foreign::answer(error, arguments) {
        failure.print();
        return failure.exit();
    }
    // A closed pipe is the reader's choice, and there is nobody left to tell.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// The result of everything in this crate.
type Result<T, E = Failure> = std::result::Result<T, E>;
