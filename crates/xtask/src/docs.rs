//! `cargo xtask docs`: the reference pages, the man page and the shell completions, as the program itself writes them.

use std::path::Path;

use crate::Result;
use crate::command::{command, create_dir, output, project_root, remove_dir, show_and_run};

pub(crate) const HELP: &str = "\
Usage: cargo xtask docs [--check]

Writes the generated part of docs/reference: the command line reference, the man page and the shell completions.

Options:
  --check  Write nothing; fail naming the files that are not current";

const GENERATED: &str = "docs/reference/generated";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {
            remove_dir(&project_root().join(GENERATED))?;
            generate(Path::new(GENERATED))
        }
        [option] if option == "--check" => check(),
        _ => Err(format!("cannot understand {arguments:?}\n\n{HELP}")),
    }
}

fn generate(target: &Path) -> Result<()> {
    create_dir(&project_root().join(target))?;
    show_and_run(
        command("cargo").args(["run", "--quiet", "--package", "backstay-cli", "--", "generate", "docs"]).arg(target),
    )
}

fn check() -> Result<()> {
    let fresh = project_root().join("target/generated-docs");
    remove_dir(&fresh)?;
    generate(&fresh)?;
    output(command("diff").args(["--recursive", "--brief", GENERATED]).arg(&fresh)).map(drop).map_err(|difference| {
        format!(
            "the generated reference is not current; run `cargo xtask docs` and commit what it writes\n{difference}"
        )
    })
}
