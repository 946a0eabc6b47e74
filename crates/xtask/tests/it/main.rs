//! Tidy checks: what the structure of the project promises, asserted on its manifests and files.
//!
//! They are tests, so that nothing needs to be added anywhere for them to run.
#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod dependencies;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

fn project_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// What the program prints when it runs in the root of the workspace.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(project_root()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Fails showing every violation, one a line.
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
