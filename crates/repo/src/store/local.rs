//! The store's operations on a directory of this machine.
//!
//! A put is complete when it returns: contents and every directory entry that leads to them have been synced. A file
//! appears under its name whole or not at all, because it is written to the staging folder and then linked, which is
//! also what makes creation exclusive. Leftovers of a crash lie in the staging folder, where no listing sees them, and
//! are swept by later writers.
//!
//! The storage library has a local store too. This one reads straight into one allocation, asks for no runtime, keeps
//! files private to their owner, and leaves the folders it shares with its files alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::error::{ErrorKind, Failure};
use super::{Created, ObjectInfo, is_name};

/// No object can have this name, see [`is_name`].
const STAGING: &str = ".staging";
/// Staged files older than this were left by a crash. One that was only paused finds its file gone and says so.
const STALE_AFTER: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    swept: AtomicBool,
}

impl Directory {
    pub(super) fn open(root: &Path) -> Result<Self, Failure> {
        let metadata = fs::metadata(root).map_err(|error| Failure::io("there is no such folder", error))?;
        if !metadata.is_dir() {
            return Err(Failure::new(ErrorKind::Invalid, "it is not a folder"));
        }
        Ok(Self { root: root.to_owned(), swept: AtomicBool::new(false) })
    }

    /// Makes the folder, for its owner only, with missing parents. An existing folder is left as it is.
    pub(super) fn create(root: &Path) -> Result<Self, Failure> {
        make_folder(root)
            .and_then(|changed| changed.iter().try_for_each(|folder| sync_folder(folder)))
            .map_err(|error| Failure::io("the folder cannot be made", error))?;
        Self::open(root)
    }

    /// Reads an object into `memory`, replacing what is there.
    pub(super) fn get(&self, name: &str, memory: Vec<u8>) -> Result<Bytes, Failure> {
        let read = |memory| {
            let (mut file, size_bytes) = self.open_file(name)?;
            read_exactly(&mut file, size_bytes, memory)
        };
        or_once_more(read(memory), || read(Vec::new()))
    }

    pub(super) fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Failure> {
        let read = || self.read_range(name, &range);
        or_once_more(read(), read)
    }

    fn read_range(&self, name: &str, range: &Range<u64>) -> Result<Bytes, Failure> {
        let (mut file, size_bytes) = self.open_file(name)?;
        if range.end > size_bytes {
            let text =
                format!("it holds {size_bytes} bytes, and bytes {} to {} were asked for", range.start, range.end);
            return Err(Failure::new(ErrorKind::Corrupt, text));
        }
        file.seek(SeekFrom::Start(range.start)).map_err(cannot_read)?;
        read_exactly(&mut file, range.end - range.start, Vec::new())
    }

    pub(super) fn put(&self, name: &str, body: &[u8]) -> Result<(), Failure> {
        // Before writing, since a repeated backup often puts what is there.
        match self.head(name) {
            Err(failure) if failure.kind == ErrorKind::NotFound => {}
            found => {
                same_length(&found?, body)?;
                // Whoever put it there may not have got so far.
                return sync_folder(self.path(name).parent().unwrap_or(&self.root)).map_err(cannot_place);
            }
        }
        match self.place(name, body, |staged, target| fs::hard_link(staged, target)) {
            Err(failure) if failure.kind == ErrorKind::Conflict => same_length(&self.head(name)?, body),
            other => other,
        }
    }

    pub(super) fn create_object(&self, name: &str, body: &[u8]) -> Result<Created, Failure> {
        match self.place(name, body, |staged, target| fs::hard_link(staged, target)) {
            Ok(()) => Ok(Created::New),
            // Network file systems lose replies too.
            Err(failure) if failure.kind == ErrorKind::Conflict && self.get(name, Vec::new())? == body => {
                Ok(Created::New)
            }
            Err(failure) if failure.kind == ErrorKind::Conflict => Ok(Created::Exists),
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn overwrite(&self, name: &str, body: &[u8]) -> Result<(), Failure> {
        self.place(name, body, |staged, target| fs::rename(staged, target))
    }

    pub(super) fn head(&self, name: &str) -> Result<ObjectInfo, Failure> {
        let metadata =
            || fs::metadata(self.path(name)).map_err(|error| Failure::reading("it cannot be looked up", error));
        let metadata = or_once_more(metadata(), metadata)?;
        if metadata.is_dir() {
            return Err(Failure::new(ErrorKind::NotFound, "it is a folder"));
        }
        Ok(info(name.to_owned(), &metadata))
    }

    pub(super) fn delete(&self, name: &str) -> Result<(), Failure> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io("it cannot be removed", error)),
            _ => Ok(()),
        }
    }

    /// Everything below `folder` whose name is greater than `after`, in no particular order.
    pub(super) fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<ObjectInfo>, Failure> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.path(&folder)) {
                Ok(entries) => entries,
                // Folders come with their first object; one without objects is as good as none.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_empty() => continue,
                Err(error) => return Err(cannot_list(error)),
            };
            for entry in entries {
                let entry = entry.map_err(cannot_list)?;
                let file_name = entry.file_name();
                // Whatever else lies here (the staging folder, lost+found) is not ours.
                let Some(part) = file_name.to_str().filter(|part| is_name(part)) else {
                    continue;
                };
                let name = if folder.is_empty() { part.to_owned() } else { format!("{folder}/{part}") };
                if entry.file_type().map_err(cannot_list)?.is_dir() {
                    if may_hold_later(&name, after) {
                        folders.push(name);
                    }
                } else if after.is_none_or(|after| name.as_str() > after) {
                    match entry.metadata() {
                        Ok(metadata) => found.push(info(name, &metadata)),
                        // Deleted meanwhile.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(cannot_list(error)),
                    }
                }
            }
        }
        Ok(found)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn open_file(&self, name: &str) -> Result<(File, u64), Failure> {
        let file = File::open(self.path(name)).map_err(|error| Failure::reading("it cannot be opened", error))?;
        let metadata = file.metadata().map_err(cannot_read)?;
        if metadata.is_dir() {
            return Err(Failure::new(ErrorKind::NotFound, "it is a folder"));
        }
        Ok((file, metadata.len()))
    }

    fn place(&self, name: &str, body: &[u8], publish: impl Fn(&Path, &Path) -> io::Result<()>) -> Result<(), Failure> {
        let staged = self.stage(body).map_err(|error| Failure::io("it cannot be written", error))?;
        let target = self.path(name);
        let parent = target.parent().unwrap_or(&self.root);
        let outcome = match publish(&staged, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_folder(parent).and_then(|changed| {
                publish(&staged, &target)?;
                Ok(changed)
            }),
            other => other.map(|()| Vec::new()),
        };
        // Gone already after a rename.
        let _ = fs::remove_file(&staged);
        // Innermost first: on most file systems that writes the outer ones too, and the rest costs next to nothing.
        let synced = outcome.and_then(|changed| {
            sync_folder(parent)?;
            changed.iter().try_for_each(|folder| sync_folder(folder))
        });
        synced.map_err(cannot_place)
    }

    fn stage(&self, body: &[u8]) -> io::Result<PathBuf> {
        let folder = self.root.join(STAGING);
        let path = folder.join(random_name()?);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = match options.open(&path) {
            // The root itself must exist: a repository on a disk that is not mounted is not made anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.root.is_dir() => {
                make_folder(&folder)?;
                options.open(&path)?
            }
            other => other?,
        };
        let written = file.write_all(body).and_then(|()| file.sync_all());
        if !self.swept.swap(true, Ordering::Relaxed) {
            sweep(&folder, &file);
        }
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }
}

/// A disk may read at the second try what it could not read at the first.
fn or_once_more<T>(first: Result<T, Failure>, again: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    match first {
        Err(failure) if failure.kind == ErrorKind::Corrupt => again(),
        first => first,
    }
}

/// Could a name below `folder` be greater than `after`?
fn may_hold_later(folder: &str, after: Option<&str>) -> bool {
    let Some(after) = after else {
        return true;
    };
    let prefix = format!("{folder}/");
    after.starts_with(&prefix) || prefix.as_str() > after
}

fn same_length(found: &ObjectInfo, body: &[u8]) -> Result<(), Failure> {
    if found.size_bytes == body.len() as u64 {
        return Ok(());
    }
    let text = format!("it exists with {} bytes instead of {}", found.size_bytes, body.len());
    Err(Failure::new(ErrorKind::Corrupt, text))
}

fn read_exactly(file: &mut File, size_bytes: u64, memory: Vec<u8>) -> Result<Bytes, Failure> {
    let capacity = usize::try_from(size_bytes)
        .map_err(|_| Failure::new(ErrorKind::Invalid, format!("{size_bytes} bytes do not fit into memory")))?;
    let mut body = memory;
    body.clear();
    body.reserve_exact(capacity);
    file.take(size_bytes).read_to_end(&mut body).map_err(cannot_read)?;
    if body.len() as u64 != size_bytes {
        let text = format!("it was cut short while it was read, to {} of {size_bytes} bytes", body.len());
        return Err(Failure::new(ErrorKind::Corrupt, text));
    }
    Ok(body.into())
}

/// Like `create_dir_all`, for the owner only. Returns the folders that have a new entry, innermost first, for the caller
/// to sync.
fn make_folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    let mut existing = path;
    while !existing.as_os_str().is_empty() && !existing.exists() {
        missing.push(existing);
        match existing.parent() {
            Some(parent) => existing = parent,
            None => break,
        }
    }
    for folder in missing.iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(missing.iter().filter_map(|folder| folder.parent()).map(Path::to_owned).collect())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        // Some network file systems cannot sync a folder, and do it with the file.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Removes what crashed writers left. Ages are told by the file system's clock alone, as `now` was written just now.
/// Nothing depends on it, so it never fails.
fn sweep(folder: &Path, now: &File) {
    let Some(now) = now.metadata().and_then(|metadata| metadata.modified()).ok() else {
        return;
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > STALE_AFTER)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn random_name() -> io::Result<String> {
    let bytes: [u8; 16] = backstay_format::crypto::random().map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

fn info(name: String, metadata: &fs::Metadata) -> ObjectInfo {
    ObjectInfo { name, size_bytes: metadata.len(), modified_unix_seconds: metadata.mtime() }
}

fn cannot_read(error: io::Error) -> Failure {
    Failure::reading("it cannot be read", error)
}

fn cannot_place(error: io::Error) -> Failure {
    Failure::io("it cannot be put into place", error)
}

fn cannot_list(error: io::Error) -> Failure {
    Failure::io("the folder cannot be listed", error)
}
