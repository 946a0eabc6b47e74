//! Names of users and groups, kept beside the numbers so that a restore elsewhere can tell who was meant.
//!
//! They come from `/etc/passwd` and `/etc/group` alone. Names that only a directory service knows are not found: asking it
//! takes the C library's plugins, and its answer may take seconds per file. The numbers are always kept.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The names known on this host, read once.
#[derive(Debug, Default)]
pub struct Owners {
    users: HashMap<u32, Arc<str>>,
    groups: HashMap<u32, Arc<str>>,
}

impl Owners {
    /// The names of this host; none where there are no such files, as in a small container image.
    pub fn of_host() -> Self {
        Self::read(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    pub fn read(passwd: &Path, group: &Path) -> Self {
        Self { users: names(passwd), groups: names(group) }
    }

    pub fn user(&self, uid: u32) -> Option<Arc<str>> {
        self.users.get(&uid).cloned()
    }

    pub fn group(&self, gid: u32) -> Option<Arc<str>> {
        self.groups.get(&gid).cloned()
    }
}

/// Both files have the name first and the number third.
fn names(path: &Path) -> HashMap<u32, Arc<str>> {
    let text = fs::read(path).unwrap_or_default();
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let mut fields = line.split(':');
        let (name, number) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(Ok(number))) = (name, number.map(str::parse))
            && !name.is_empty()
        {
            // Several names may share a number; the first is the one that the system shows.
            names.entry(number).or_insert_with(|| Arc::from(name));
        }
    }
    names
}
