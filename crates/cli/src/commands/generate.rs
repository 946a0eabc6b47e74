//! `backstay generate`, hidden: for the project itself and for packagers.

use std::path::PathBuf;

use clap::Subcommand;

use crate::Result;
use crate::docs;
use crate::failure::Exit;

/// Generate files that are made from the command line's definition
#[derive(Subcommand)]
pub(crate) enum GenerateCommand {
    /// Write the reference, the man pages and the completions into a folder
    Docs { folder: PathBuf },
}

pub(crate) fn run(command: &GenerateCommand) -> Result<Exit> {
    match command {
        GenerateCommand::Docs { folder } => docs::write(folder)?,
    }
    Ok(Exit::Done)
}
