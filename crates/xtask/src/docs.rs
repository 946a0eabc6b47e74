//! `cargo xtask docs`: the reference pages, the man page and the shell completions, as the program itself writes them.

use std::path::Path;

use crate::Result;
use crate::command::{command, create_dir, output, project_root, read, remove_dir, show_and_run, target_dir};

pub(crate) const HELP: &str = "\
Usage: cargo xtask docs [--check]

Writes the generated part of docs/reference: the command line reference, the man page and the shell completions.

Options:
  --check  Write nothing; fail naming the files that are not current";

const REFERENCE: &str = "docs/reference";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => generate(Path::new(REFERENCE)),
        [option] if option == "--check" => check(),
        _ => Err(format!("cannot understand {arguments:?}\n\n{HELP}")),
    }
}

fn generate(folder: &Path) -> Result<()> {
    create_dir(&project_root().join(folder))?;
    let words = ["run", "--quiet", "--locked", "--package", "backstay-cli", "--", "generate", "docs"];
    show_and_run(command("cargo").args(words).arg(folder))
}

/// Compares what the program writes now with what is there. Pages written by hand lie beside it and are left alone.
fn check() -> Result<()> {
    let fresh = target_dir()?.join("generated-docs");
    remove_dir(&fresh)?;
    generate(&fresh)?;
    let names = output(command("find").arg(&fresh).args(["-type", "f", "-printf", r"%P\n"]))?;
    let is_current = |name: &str| read(&project_root().join(REFERENCE).join(name)) == read(&fresh.join(name));
    let stale: Vec<&str> = names.lines().filter(|name| !is_current(name)).collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not current in {REFERENCE}: {}; run `cargo xtask docs` and commit what it writes", stale.join(", ")))
}
