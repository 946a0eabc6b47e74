//! A user's machine for one story: a home of its own, files, a repository, and the program.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) use backstay_testkit::data::noise;
use backstay_testkit::servers::Bucket;
use serde_json::Value;
use tempfile::TempDir;

/// Where the program is.
pub(crate) const BACKSTAY: &str = env!("CARGO_BIN_EXE_backstay");

pub(crate) struct World {
    folder: TempDir,
    pub(crate) location: String,
    environment: Vec<(String, String)>,
    /// The address of the bucket's server.
    pub(crate) endpoint: Option<String>,
}

impl World {
    /// A machine with some files, and no repository yet. The secret is a key file: it costs no time.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("backstay-story-").unwrap();
        fs::write(folder.path().join("key"), [7; 32]).unwrap();
        let location = folder.path().join("repo").to_str().unwrap().to_owned();
        let world = Self { folder, location, environment: Vec::new(), endpoint: None };
        world.write("data/letters/one.txt", b"Dear Ishmael, call me.\n");
        world.write("data/letters/two.txt", &b"whale ".repeat(10_000));
        world.write("data/noise.bin", &noise(1, 3 << 20));
        world
    }

    pub(crate) fn with_repository() -> Self {
        let world = Self::new();
        world.backstay(&["repo", "init"]).succeeds();
        world
    }

    /// The same, with the repository in a bucket.
    pub(crate) fn with_bucket(bucket: &Bucket) -> Self {
        let mut world = Self::new();
        world.location = bucket.location.to_string();
        world.environment = bucket.options.environment.clone().into_iter().collect();
        world.endpoint.clone_from(&bucket.options.endpoint);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path as an argument.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// The program with nothing of this machine's environment, and with the key.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_without_secret(arguments);
        command.arg("--key-file").arg(self.path("key"));
        command
    }

    pub(crate) fn command_without_secret(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BACKSTAY);
        command.env_clear().env("HOME", self.path("home")).env("PATH", "/usr/bin:/bin");
        command.env("BACKSTAY_REPO", &self.location).envs(self.environment.iter().cloned());
        if let Some(endpoint) = &self.endpoint {
            command.args(["--endpoint", endpoint]);
        }
        command.args(arguments).stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    pub(crate) fn backstay(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// The same, where no file may be larger.
    pub(crate) fn with_file_limit(&self, size_bytes: u32, arguments: &[&str]) -> Run {
        let program = self.command(arguments);
        let mut command = Command::new("sh");
        // Where the signal is ignored, a write beyond the limit fails like one to a full disk. Units are 512 bytes.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", size_bytes / 512);
        command.args(["-c", &script, "sh", BACKSTAY]).args(program.get_args());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Run::of(&mut command)
    }

    /// Backs the data up and gives the snapshot's id.
    pub(crate) fn backup(&self) -> String {
        self.backstay(&["backup", "files", "-o", "name", &self.text("data")]).succeeds().stdout.trim().to_owned()
    }

    /// Every object of a repository in a folder, by name.
    pub(crate) fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let folder = self.path("repo").join(folder);
        // A folder comes with its first object.
        let mut found = if folder.exists() { files_below(&folder) } else { Vec::new() };
        found.sort();
        found
    }

    /// Fails unless the restored folder is the same as the data, by the word of `diff`.
    pub(crate) fn assert_equal(&self, original: &str, restored: &str) {
        let mut diff = Command::new("diff");
        diff.args(["--recursive", "--no-dereference"]).arg(self.path(original)).arg(self.path(restored));
        let output = diff.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// What a run of the program did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from_output(command.output().unwrap())
    }

    pub(crate) fn from_output(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        // Nothing that a user or a disk does may make the program panic, and no signal should end it.
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(output.status.signal(), None, "{stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Self { code: output.status.code().unwrap(), stdout, stderr }
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless all of these are in what people read.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub(crate) fn prints(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "{text:?} is not in:\n{}", self.stdout);
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
