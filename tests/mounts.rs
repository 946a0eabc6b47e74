//! File systems of a story's own: a small disk, a folder that cannot be written.
//!
//! They are mounted in namespaces of their own, for which nobody needs to be root, and reached through `/proc` of the process that
//! keeps those. With it they are gone.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::world::World;

pub(crate) struct Mounted {
    keeper: Child,
    /// The folder, as a path for every program.
    pub(crate) path: String,
}

impl Mounted {
    /// An empty disk of this size.
    pub(crate) fn disk(world: &World, size_mib: u32) -> Self {
        std::fs::create_dir(world.path("disk")).unwrap();
        Self::by(&format!("mount -t tmpfs -o size={size_mib}m tmpfs disk"), &world.path("disk"))
    }

    /// The same folder, where nothing can be changed.
    pub(crate) fn read_only(folder: &Path) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap();
        Self::by(&format!("mount --bind {name} {name}; mount -o remount,ro,bind {name}"), folder)
    }

    fn by(script: &str, folder: &Path) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-ec", &format!("{script}; echo mounted; exec cat")]);
        command.current_dir(folder.parent().unwrap());
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        if said != "mounted\n" {
            let mut error = String::new();
            keeper.stderr.as_mut().unwrap().read_to_string(&mut error).unwrap();
            panic!("this story needs user and mount namespaces (unshare --map-root-user --mount): {}", error.trim());
        }
        let path = format!("/proc/{}/root{}", keeper.id(), folder.display());
        Self { keeper, path }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It reads to the end of its input.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
