//! What the user asked to walk, and the directories above it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use backstay_format::tree::{display_key, key_of_path, key_parent};
use rustix::io::Errno;

use super::directory::{Directory, Listing, Names};
use super::entry::{Batch, Found, Slice};
use super::schedule::RootTask;
use super::{Step, WalkError};

/// A file or directory to walk: an absolute path without `.` and `..`.
///
/// If it is a symlink, the link itself is the entry, as restic does it; symlinks above it are followed, and stand in the walk
/// as the directories that they lead to, so that a path keeps its name when the link is moved to another disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    key: Vec<u8>,
}

impl Root {
    pub fn new(path: &[u8]) -> Result<Self, WalkError> {
        let is_plain = path.starts_with(b"/")
            && !path.contains(&0)
            && !path.split(|byte| *byte == b'/').any(|component| component == b"." || component == b"..");
        if !is_plain {
            return Err(WalkError::NotAbsolute { path: String::from_utf8_lossy(path).into_owned() });
        }
        Ok(Self { key: key_of_path(path) })
    }

    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

/// The entries of roots and of what is above them, in order, each read when it is its turn.
pub(super) struct Plan {
    entries: VecDeque<(Vec<u8>, Role)>,
    /// The last directory that held an entry: many roots are often in one.
    parent: Option<Arc<Directory>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Above,
    /// A root, and whether it is a directory to enter.
    Root {
        is_directory: bool,
    },
}

/// An entry of the plan, alone in its batch, and the directory to enter behind it.
pub(super) struct PlannedEntry {
    pub(super) step: Step,
    pub(super) entering: Option<Vec<u8>>,
}

impl Plan {
    /// Looks at each root once, so that a wrong name is an error before anything is stored.
    pub(super) fn new(roots: &[Root]) -> Result<Self, WalkError> {
        let mut keys: Vec<&[u8]> = roots.iter().map(Root::key).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Err(WalkError::NoRoots);
        }
        let mut entries = BTreeMap::new();
        let mut kept: Option<&[u8]> = None;
        for key in keys {
            // Sorted by key, all that is inside a root comes right behind it.
            if kept.is_some_and(|root| is_inside(key, root)) {
                continue;
            }
            kept = Some(key);
            let unreadable = |source| WalkError::RootUnreadable { path: format!("/{}", display_key(key)), source };
            let is_directory = probe(key).map_err(unreadable)?;
            entries.insert(key.to_vec(), Role::Root { is_directory });
            let mut above = key;
            while let Some(parent) = key_parent(above) {
                entries.entry(parent.to_vec()).or_insert(Role::Above);
                above = parent;
            }
        }
        Ok(Self { entries: entries.into_iter().collect(), parent: None })
    }

    /// The directories to list, by key.
    pub(super) fn tasks(&self) -> impl Iterator<Item = (Vec<u8>, RootTask)> {
        self.entries.iter().filter(|(_, role)| *role == Role::Root { is_directory: true }).map(|(key, _)| {
            let (parent_key, name) = split(key);
            (key.clone(), RootTask { parent_key: parent_key.to_vec(), name: name.to_vec() })
        })
    }

    pub(super) fn next(&mut self) -> Option<PlannedEntry> {
        let (key, role) = self.entries.pop_front()?;
        let (parent_key, name) = split(&key);
        let found = self.open_parent(parent_key).and_then(|parent| {
            let stat = if role == Role::Above { parent.stat_above(name) } else { parent.stat(name) };
            stat.map(|stat| (parent, stat))
        });
        let entering = (role == Role::Root { is_directory: true }).then(|| key.clone());
        match found {
            Ok((directory, stat)) => {
                let names = Names::one(name);
                let name = names.sorted()[0];
                let listing = Arc::new(Listing { directory, names });
                let slice = Slice { listing, found: vec![Found { name, stat: Ok(stat) }], entered: Vec::new() };
                let batch = Batch { slice: Arc::new(slice), start: 0, end: 1 };
                Some(PlannedEntry { step: Step::Entries(batch), entering })
            }
            // It was there when the walk began.
            Err(error) => Some(PlannedEntry { step: Step::Unreadable { key, error }, entering: None }),
        }
    }

    fn open_parent(&mut self, key: &[u8]) -> Result<Arc<Directory>, Errno> {
        match &self.parent {
            Some(parent) if parent.key() == key => Ok(parent.clone()),
            _ => {
                let parent = Arc::new(Directory::open_above(key)?);
                self.parent = Some(parent.clone());
                Ok(parent)
            }
        }
    }
}

/// Whether a root is a directory, and can be listed.
fn probe(key: &[u8]) -> Result<bool, Errno> {
    let (parent_key, name) = split(key);
    let parent = Directory::open_above(parent_key)?;
    let is_directory = parent.stat(name)?.is_directory();
    if is_directory {
        parent.open_root(name)?;
    }
    Ok(is_directory)
}

fn is_inside(key: &[u8], root: &[u8]) -> bool {
    root.is_empty() || (key.starts_with(root) && key.get(root.len()) == Some(&0))
}

/// The key of the directory that holds an entry, and the entry's name in it; the root of the file system is in itself.
fn split(key: &[u8]) -> (&[u8], &[u8]) {
    match key.iter().rposition(|byte| *byte == 0) {
        Some(at) => (&key[..at], &key[at + 1..]),
        None => (&[], key),
    }
}
