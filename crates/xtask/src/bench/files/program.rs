//! The programs that are compared, and how each says the same thing.
//!
//! zstd level 3 and encryption for all. Everything a program keeps outside its repository (caches, keys, settings) goes
//! into a folder of its own, so that no run sees another's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::command::{command, output};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Backstay,
    Restic,
    Borg,
    Rustic,
}

/// One program with one repository.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) program: Program,
    pub(super) executable: PathBuf,
    /// Holds the repository, the caches and the restored files of this instance.
    pub(super) home: PathBuf,
}

impl Program {
    pub(super) const ALL: [Program; 4] = [Program::Backstay, Program::Restic, Program::Borg, Program::Rustic];

    pub(super) fn name(self) -> &'static str {
        match self {
            Program::Backstay => "backstay",
            Program::Restic => "restic",
            Program::Borg => "borg",
            Program::Rustic => "rustic",
        }
    }

    pub(super) fn named(name: &str) -> Result<Program> {
        let found = Program::ALL.into_iter().find(|program| program.name() == name);
        found.ok_or_else(|| format!("there is no program {name:?} to measure"))
    }

    /// What the program calls its version.
    pub(super) fn version(self, executable: &Path) -> Result<String> {
        let argument = if self == Program::Restic { "version" } else { "--version" };
        let text = output(command(executable).arg(argument))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

impl Instance {
    pub(super) fn repository(&self) -> PathBuf {
        self.home.join("repository")
    }

    pub(super) fn init(&self) -> Command {
        match self.program {
            Program::Backstay => self.say(&["repo", "init"]),
            Program::Restic => self.say(&["init"]),
            Program::Borg => self.say(&["init", "--encryption", "repokey-blake2"]),
            Program::Rustic => self.say(&["init", "--set-compression", "3"]),
        }
    }

    /// Backs `source` up; `label` is new with every backup of this repository.
    pub(super) fn backup(&self, source: &Path, label: &str) -> Command {
        let mut command = match self.program {
            Program::Backstay => self.say(&["backup", "files"]),
            // Automatic compression is zstd level 3.
            Program::Restic => self.say(&["backup", "--compression", "auto"]),
            Program::Borg => self.say(&["create", "--compression", "zstd,3", &format!("::{label}")]),
            Program::Rustic => self.say(&["backup"]),
        };
        command.arg(source);
        command
    }

    /// Reads, decrypts and verifies all that is stored.
    pub(super) fn check(&self) -> Command {
        match self.program {
            Program::Backstay => self.say(&["repo", "check", "--read-data"]),
            Program::Restic | Program::Rustic => self.say(&["check", "--read-data"]),
            Program::Borg => self.say(&["check", "--verify-data"]),
        }
    }

    /// Restores the backup with the label, which is the newest, below the existing empty folder `target`.
    pub(super) fn restore(&self, target: &Path, label: &str) -> Command {
        let mut command = match self.program {
            Program::Backstay => self.say(&["restore", "files", "latest", "--target"]),
            Program::Restic => self.say(&["restore", "latest", "--target"]),
            Program::Rustic => self.say(&["restore", "latest"]),
            Program::Borg => {
                let mut command = self.say(&["extract", &format!("::{label}")]);
                command.current_dir(target);
                return command;
            }
        };
        command.arg(target);
        command
    }

    fn say(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(words).current_dir(&self.home);
        command
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("XDG_CONFIG_HOME", self.home.join("config"));
        let (repository, password) = match self.program {
            Program::Backstay => ("BACKSTAY_REPO", "BACKSTAY_PASSWORD"),
            Program::Restic => ("RESTIC_REPOSITORY", "RESTIC_PASSWORD"),
            Program::Borg => ("BORG_REPO", "BORG_PASSPHRASE"),
            Program::Rustic => ("RUSTIC_REPOSITORY", "RUSTIC_PASSWORD"),
        };
        command.env(repository, self.repository()).env(password, "bench");
        command
    }
}
