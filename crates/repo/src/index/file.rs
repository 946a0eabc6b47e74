//! The file itself: its schema, its place, and what makes it worth keeping.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstay_format::ids::RepositoryId;
use rusqlite::{Connection, params};

use super::{IndexError, IndexResult};

/// Changes with the tables: another program's file is not touched, it has another name.
const SCHEMA: i64 = 1;

const TABLES: &str = "
    CREATE TABLE meta (repository BLOB NOT NULL, fingerprint BLOB NOT NULL) STRICT;
    CREATE TABLE packs (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
    CREATE TABLE segments (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, base INTEGER NOT NULL) STRICT;
    CREATE TABLE segment_packs (segment INTEGER NOT NULL, pack INTEGER NOT NULL, PRIMARY KEY (segment, pack)) STRICT, WITHOUT ROWID;
    CREATE TABLE chunks (id BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL, stored_len INTEGER NOT NULL,
        raw_len INTEGER NOT NULL, PRIMARY KEY (id, pack)) STRICT, WITHOUT ROWID;
    CREATE TABLE log (slot INTEGER PRIMARY KEY, stored BLOB NOT NULL) STRICT;
";

/// Opens the repository's file in the cache folder, or makes a new one where it is of no use.
pub(super) fn open(folder: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    let file = path(folder, repository);
    let parent = file.parent().unwrap_or(folder);
    let failed = |source| IndexError::Folder { folder: parent.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    if let Ok(Some(connection)) = try_open(&file, repository, fingerprint) {
        return Ok(connection);
    }
    if file.exists() {
        tracing::info!(file = %file.display(), "the local index is of no use and is built anew");
    }
    remove(folder, repository);
    // Made here, not by SQLite, so that nobody else can read it from the first moment on.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(failed)?;
    let connection = Connection::open(&file)?;
    prepare(&connection)?;
    create(&connection, repository, fingerprint)?;
    Ok(connection)
}

/// A private file that SQLite removes when it is closed.
pub(super) fn temporary(repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    let connection = Connection::open("")?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;")?;
    create(&connection, repository, fingerprint)?;
    Ok(connection)
}

/// Removes the file and its companions; what is not there need not be removed.
pub(super) fn remove(folder: &Path, repository: RepositoryId) {
    let file = path(folder, repository);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = file.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
}

fn path(folder: &Path, repository: RepositoryId) -> PathBuf {
    folder.join(repository.to_string()).join(format!("index-{SCHEMA}.sqlite"))
}

/// Nothing, where the file is not this repository's.
fn try_open(file: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Option<Connection>> {
    if !file.exists() {
        return Ok(None);
    }
    let connection = Connection::open_with_flags(
        file,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    prepare(&connection)?;
    let schema: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let (found, key): ([u8; 16], [u8; 16]) =
        connection.query_row("SELECT repository, fingerprint FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let is_ours = schema == SCHEMA && found == *repository.as_bytes() && key == fingerprint;
    Ok(is_ours.then_some(connection))
}

fn prepare(connection: &Connection) -> IndexResult<()> {
    connection.busy_timeout(Duration::from_secs(60))?;
    // A cache need not survive a power cut whole, but must notice it: the log of changes does that.
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;")?;
    Ok(())
}

fn create(connection: &Connection, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<()> {
    connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {SCHEMA};"))?;
    connection.execute(
        "INSERT INTO meta (repository, fingerprint) VALUES (?1, ?2)",
        params![repository.as_bytes(), fingerprint],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
