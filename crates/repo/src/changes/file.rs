//! The file: its schema, its place beside the local index, and what is written to it.
//!
//! One process uses it at a time and the others wait for the lock beside it, which the system frees when a process dies: what
//! the first one builds is what the next one wants.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backstay_format::ids::{RepositoryId, SnapshotId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::index::{Cache, IndexError, IndexResult, cache_folder};

/// Changes with the tables: a file of another schema is left alone, it has another name.
const SCHEMA: i64 = 1;

/// Snapshots of a source are numbered in their order. A change holds from its first snapshot to its last one; without a last
/// one it still holds.
const TABLES: &str = "
    CREATE TABLE meta (repository BLOB NOT NULL, fingerprint BLOB NOT NULL) STRICT;
    CREATE TABLE sources (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE snapshots (source INTEGER NOT NULL, number INTEGER NOT NULL, id BLOB NOT NULL,
        PRIMARY KEY (source, number)) STRICT, WITHOUT ROWID;
    CREATE TABLE changes (source INTEGER NOT NULL, key BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER, hash BLOB NOT NULL,
        PRIMARY KEY (source, key, first)) STRICT, WITHOUT ROWID;
";

/// The open file, alone.
pub(super) struct ChangesFile {
    connection: Connection,
    /// Nothing for a private file that vanishes with the process.
    place: Option<(PathBuf, File)>,
    repository: RepositoryId,
    fingerprint: [u8; 16],
}

/// One change: from the snapshot with this number to the one with that number, or up to now.
pub(super) struct Row {
    pub(super) first: i64,
    pub(super) last: Option<i64>,
    pub(super) hash: [u8; 16],
}

impl ChangesFile {
    /// Opens the file, or makes a new one where there is none or it is of no use.
    pub(super) fn open(cache: &Cache, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Self> {
        if let Cache::Folder(folder) = cache {
            match open_alone(folder, repository) {
                Ok((path, lock)) => {
                    let connection = match connect(&path, repository, fingerprint) {
                        Ok(connection) => connection,
                        Err(error) => {
                            tracing::info!(%error, file = %path.display(), "the table of changes is of no use and is built anew");
                            create(&path, repository, fingerprint)?
                        }
                    };
                    return Ok(Self { connection, place: Some((path, lock)), repository, fingerprint });
                }
                Err(source) => {
                    let error = IndexError::Folder { folder: folder.clone(), source };
                    tracing::warn!(%error, "a temporary table of changes is built for this run");
                }
            }
        }
        let connection = Connection::open("")?;
        create_tables(&connection, repository, fingerprint)?;
        Ok(Self { connection, place: None, repository, fingerprint })
    }

    /// Begins with an empty file.
    pub(super) fn replace(&mut self) -> IndexResult<()> {
        // Closes the file before it is removed.
        self.connection = Connection::open("")?;
        match &self.place {
            Some((path, _)) => self.connection = create(path, self.repository, self.fingerprint)?,
            None => create_tables(&self.connection, self.repository, self.fingerprint)?,
        }
        Ok(())
    }

    /// The number of a source.
    pub(super) fn source(&self, name: &str) -> IndexResult<i64> {
        let find = "SELECT number FROM sources WHERE name = ?1";
        if let Some(number) = self.connection.query_row(find, [name], |row| row.get(0)).optional()? {
            return Ok(number);
        }
        self.connection.execute("INSERT INTO sources (name) VALUES (?1)", [name])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// The snapshots whose changes are known, in their order.
    pub(super) fn snapshots(&self, source: i64) -> IndexResult<Vec<(i64, SnapshotId)>> {
        let mut statement =
            self.connection.prepare_cached("SELECT number, id FROM snapshots WHERE source = ?1 ORDER BY number")?;
        let rows = statement.query_map([source], |row| Ok((row.get(0)?, SnapshotId::new(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets everything behind the snapshot with this number.
    pub(super) fn rewind(&mut self, source: i64, number: i64) -> IndexResult<()> {
        let Append(transaction) = self.begin()?;
        transaction.execute("DELETE FROM changes WHERE source = ?1 AND first > ?2", params![source, number])?;
        transaction
            .execute("UPDATE changes SET last = NULL WHERE source = ?1 AND last >= ?2", params![source, number])?;
        transaction.execute("DELETE FROM snapshots WHERE source = ?1 AND number > ?2", params![source, number])?;
        Ok(transaction.commit()?)
    }

    pub(super) fn begin(&mut self) -> IndexResult<Append<'_>> {
        Ok(Append(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?))
    }

    /// The changes of one item, in their order.
    pub(super) fn changes(&self, source: i64, key: &[u8]) -> IndexResult<Vec<Row>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT first, last, hash FROM changes WHERE source = ?1 AND key = ?2 ORDER BY first")?;
        let rows = statement.query_map(params![source, key], |row| {
            Ok(Row { first: row.get(0)?, last: row.get(1)?, hash: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Rows of all sources.
    pub(super) fn count(&self) -> IndexResult<u64> {
        Ok(self.connection.query_row("SELECT count(*) FROM changes", [], |row| row.get::<_, i64>(0))? as u64)
    }
}

/// Further snapshots on their way into the file.
pub(super) struct Append<'f>(Transaction<'f>);

impl Append<'_> {
    pub(super) fn snapshot(&self, source: i64, number: i64, id: &SnapshotId) -> IndexResult<()> {
        let mut statement = self.0.prepare_cached("INSERT INTO snapshots (source, number, id) VALUES (?1, ?2, ?3)")?;
        statement.execute(params![source, number, id.as_bytes()])?;
        Ok(())
    }

    /// From the snapshot with this number on, the item has these contents.
    pub(super) fn begins(&self, source: i64, number: i64, key: &[u8], hash: [u8; 16]) -> IndexResult<()> {
        let mut statement = self
            .0
            .prepare_cached("INSERT INTO changes (source, key, first, last, hash) VALUES (?1, ?2, ?3, NULL, ?4)")?;
        statement.execute(params![source, key, number, hash])?;
        Ok(())
    }

    /// The snapshot with this number is the first that does not have the item's contents any more.
    pub(super) fn ends(&self, source: i64, number: i64, key: &[u8]) -> IndexResult<()> {
        let mut statement =
            self.0.prepare_cached("UPDATE changes SET last = ?3 WHERE source = ?1 AND key = ?2 AND last IS NULL")?;
        statement.execute(params![source, key, number - 1])?;
        Ok(())
    }

    pub(super) fn commit(self) -> IndexResult<()> {
        Ok(self.0.commit()?)
    }
}

/// Waits until no other process uses the file.
fn open_alone(folder: &Path, repository: RepositoryId) -> std::io::Result<(PathBuf, File)> {
    let folder = cache_folder(folder, repository)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(folder.join("changes-lock"))?;
    lock.lock()?;
    Ok((folder.join(format!("changes-{SCHEMA}.sqlite")), lock))
}

fn connect(path: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    // Made here, not by SQLite, so that nobody else can read it from the first moment on.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).is_ok();
    let connection = Connection::open(path)?;
    prepare(&connection)?;
    if created {
        create_tables(&connection, repository, fingerprint)?;
        return Ok(connection);
    }
    let (found, key): ([u8; 16], [u8; 16]) =
        connection.query_row("SELECT repository, fingerprint FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let schema: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == *repository.as_bytes() && key == fingerprint && schema == SCHEMA {
        Ok(connection)
    } else {
        Err(IndexError::Damaged { table: "meta" })
    }
}

fn create(path: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    let journal = path.with_extension("sqlite-journal");
    for name in [path, &journal] {
        let removed = std::fs::remove_file(name).or_else(|_| std::fs::remove_dir_all(name));
        if let Err(source) = removed
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(IndexError::Folder { folder: path.to_owned(), source });
        }
    }
    connect(path, repository, fingerprint)
}

fn prepare(connection: &Connection) -> IndexResult<()> {
    connection.execute_batch(
        "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(())
}

fn create_tables(connection: &Connection, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<()> {
    connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {SCHEMA};"))?;
    connection.execute(
        "INSERT INTO meta (repository, fingerprint) VALUES (?1, ?2)",
        params![repository.as_bytes(), fingerprint],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
