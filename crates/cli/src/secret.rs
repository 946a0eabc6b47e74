//! Passwords and keys: from a file, a command, the environment or a person. They are never printed, and wiped after use.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backstay_format::config::Secret;
use zeroize::Zeroizing;

use crate::Result;
use crate::failure::{Exit, Failure};

/// More than any password has; a key file that is larger is another file.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Where a secret comes from, in the order in which the places are looked at.
pub(crate) struct SecretSources<'a> {
    pub(crate) password_file: Option<&'a Path>,
    pub(crate) password_command: Option<&'a str>,
    pub(crate) key_file: Option<&'a Path>,
    /// In front of the options' names: `new-`.
    pub(crate) prefix: &'static str,
    pub(crate) variable: &'static str,
    pub(crate) prompt: &'static str,
    /// A new secret is asked for twice: nobody can look it up later.
    pub(crate) is_new: bool,
}

impl SecretSources<'_> {
    pub(crate) fn read(&self) -> Result<Secret> {
        if let Some(path) = self.password_file {
            return password(first_line(read_file(path)?), &format!("the password file {}", path.display()));
        }
        if let Some(command) = self.password_command {
            return password(first_line(command_output(command)?), "the output of --password-command");
        }
        if let Some(path) = self.key_file {
            return Ok(Secret::KeyFile(read_file(path)?));
        }
        if let Some(value) = std::env::var_os(self.variable) {
            return password(Zeroizing::new(value.into_encoded_bytes()), self.variable);
        }
        self.ask()
    }

    fn ask(&self) -> Result<Secret> {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::new("there is no password, and no terminal to ask for one")
                .with_exit(Exit::Usage)
                .with_hint(format!(
                    "give --{0}password-file, --{0}password-command or --{0}key-file, or set {1}",
                    self.prefix, self.variable
                )));
        }
        let typed = prompt(self.prompt)?;
        if self.is_new && *typed != *prompt("The same again: ")? {
            return Err(Failure::usage("the two passwords differ"));
        }
        password(Zeroizing::new(typed.as_bytes().to_vec()), "the password")
    }
}

/// Options that name a second, new secret.
#[derive(clap::Args)]
pub(crate) struct NewSecret {
    /// Read the new password from the first line of this file
    ///
    /// Without any of these options it comes from the environment variable BACKSTAY_NEW_PASSWORD, or it is asked for.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_password_command", "new_key_file"])]
    new_password_file: Option<PathBuf>,

    /// Read the new password from the first line that this shell command prints
    #[arg(long, value_name = "COMMAND", conflicts_with = "new_key_file")]
    new_password_command: Option<String>,

    /// The new secret is the bytes of this file (at least 32 random ones)
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
}

impl NewSecret {
    pub(crate) fn read(&self) -> Result<Secret> {
        SecretSources {
            password_file: self.new_password_file.as_deref(),
            password_command: self.new_password_command.as_deref(),
            key_file: self.new_key_file.as_deref(),
            prefix: "new-",
            variable: "BACKSTAY_NEW_PASSWORD",
            prompt: "New password: ",
            is_new: true,
        }
        .read()
    }
}

/// Options that name the secret of a copy that does not exist yet.
#[derive(clap::Args)]
pub(crate) struct CopySecret {
    /// Read the copy's password from the first line of this file; only needed when it is made
    ///
    /// Without any of these options it comes from the environment variable BACKSTAY_TO_PASSWORD, or it is asked for.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to_password_command", "to_key_file"])]
    to_password_file: Option<PathBuf>,

    /// Read the copy's password from the first line that this shell command prints
    #[arg(long, value_name = "COMMAND", conflicts_with = "to_key_file")]
    to_password_command: Option<String>,

    /// The copy's secret is the bytes of this file (at least 32 random ones)
    #[arg(long, value_name = "FILE")]
    to_key_file: Option<PathBuf>,
}

impl CopySecret {
    pub(crate) fn read(&self) -> Result<Secret> {
        SecretSources {
            password_file: self.to_password_file.as_deref(),
            password_command: self.to_password_command.as_deref(),
            key_file: self.to_key_file.as_deref(),
            prefix: "to-",
            variable: "BACKSTAY_TO_PASSWORD",
            prompt: "Password for the copy: ",
            is_new: true,
        }
        .read()
    }
}

fn password(bytes: Zeroizing<Vec<u8>>, source: &str) -> Result<Secret> {
    if bytes.is_empty() {
        return Err(Failure::usage(format!("{source} is empty")));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Secret::Password(Zeroizing::new(text.to_owned()))),
        Err(_) => {
            Err(Failure::usage(format!("{source} is not UTF-8 text"))
                .with_hint("random bytes serve as a key: --key-file"))
        }
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let size_bytes = fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?.len();
    if size_bytes > SECRET_BYTES_MAX {
        return Err(Failure::usage(format!("{} is too large for a secret", path.display())));
    }
    fs::read(path).map(Zeroizing::new).map_err(|error| Failure::io("read", path, &error))
}

fn command_output(command: &str) -> Result<Zeroizing<Vec<u8>>> {
    // Its errors go to the terminal: they say why there is no password. The command itself may hold a secret.
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new("cannot run --password-command").with_cause(error.to_string()))?;
    let text = Zeroizing::new(output.stdout);
    if output.status.success() {
        return Ok(text);
    }
    Err(Failure::new(format!("--password-command failed: {}", output.status)))
}

fn first_line(text: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn prompt(text: &str) -> Result<Zeroizing<String>> {
    rpassword::prompt_password(text)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new("cannot ask for the password").with_cause(error.to_string()))
}
