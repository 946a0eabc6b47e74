//! Runs other programs: shown before they start, and an error naming the command when they fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The root of the workspace. Every command runs there unless it says otherwise.
pub(crate) fn project_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("the crate lies two folders below the root").to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = output(command("cargo").args(["metadata", "--format-version=1", "--no-deps"]))?;
    let after = metadata.split_once("\"target_directory\":\"").map(|(_, rest)| rest);
    let path = after.and_then(|rest| rest.split_once('"')).map(|(path, _)| path);
    Ok(path.ok_or("cargo metadata names no target_directory")?.into())
}

/// A command that starts in the root of the workspace.
pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(program: S) -> Command {
    let mut command = Command::new(program);
    command.current_dir(project_root());
    command
}

/// Prints the command line and runs it with this terminal.
pub(crate) fn show_and_run(command: &mut Command) -> Result<()> {
    println!("$ {}", line(command));
    let status = command.status().map_err(|cause| cannot_start(command, &cause))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

/// Runs the command and returns what it printed on stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::piped()).output().map_err(|cause| cannot_start(command, &cause))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}` ended with {}: {}", line(command), output.status, stderr.trim_end()))
    }
}

/// The command as it would be typed.
pub(crate) fn line(command: &Command) -> String {
    let mut words = vec![word(&command.get_program().to_string_lossy())];
    words.extend(command.get_args().map(|argument| word(&argument.to_string_lossy())));
    words.join(" ")
}

/// Reads a file; the error names it.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))
}

/// Writes a file; the error names it.
pub(crate) fn write(path: &Path, contents: &str) -> Result<()> {
    fs::write(path, contents).map_err(|cause| format!("cannot write {}: {cause}", path.display()))
}

/// Makes a folder and those above it; the error names it.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|cause| format!("cannot make the folder {}: {cause}", path.display()))
}

/// Removes a folder with all it holds, if it is there; the error names it.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove the folder {}: {cause}", path.display()))
        }
        _ => Ok(()),
    }
}

fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@+%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn cannot_start(command: &Command, cause: &std::io::Error) -> String {
    format!("cannot start {}: {cause}", command.get_program().to_string_lossy())
}
