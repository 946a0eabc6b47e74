//! The file itself: its schema, its place, who may replace it, and how it is written.
//!
//! Everyone who has the file open holds a shared lock on the file `lock` beside it; whoever replaces it holds that lock alone, so
//! that the log of changes (`-wal`), which SQLite finds by its name, never meets another file than its own. The system frees the
//! lock of a process that dies. SQLite's own locks keep the transactions of several processes apart.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstay_format::ids::RepositoryId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::{Cache, IndexError, IndexResult};

/// Changes with the tables: another program's file is not touched, it has another name.
const SCHEMA: i64 = 2;
/// Stands in place of the schema while a file is written without a journal: a crash leaves a file of no use.
const UNFINISHED: i64 = 0;

/// `slot` is the newest entry of the log up to which some process has read. There is one checkpoint at most, and `log` has what came
/// after it. Numbers are never used twice, so that a row that was
/// left behind by whatever accident can not be taken for another pack's.
const TABLES: &str = "
    CREATE TABLE meta (repository BLOB NOT NULL, fingerprint BLOB NOT NULL, slot INTEGER NOT NULL) STRICT;
    CREATE TABLE segments (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE packs (number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, kind INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL, records INTEGER NOT NULL, digest INTEGER NOT NULL, sum INTEGER NOT NULL,
        UNIQUE (id, digest)) STRICT;
    CREATE TABLE segment_packs (pack INTEGER NOT NULL, segment INTEGER NOT NULL, sum INTEGER NOT NULL,
        PRIMARY KEY (pack, segment)) STRICT, WITHOUT ROWID;
    CREATE TABLE chunks (id BLOB NOT NULL, pack INTEGER NOT NULL, start INTEGER NOT NULL, stored_len INTEGER NOT NULL,
        raw_len INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (id, pack)) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoint (slot INTEGER PRIMARY KEY, stored BLOB NOT NULL) STRICT;
    CREATE TABLE log (slot INTEGER PRIMARY KEY, stored BLOB NOT NULL) STRICT;
";

/// How long a transaction of another process is waited for.
const BUSY_SECONDS: u64 = 60;
/// Several processes that begin at once get in each other's way for a moment.
const CONNECT_ATTEMPTS_MAX: u32 = 100;
/// A log of changes that is longer is written back after a refresh: who opens the file next reads all of it.
const WAL_BYTES_MAX: u64 = 1 << 20;

/// An open file.
pub(super) struct IndexFile {
    pub(super) connection: Connection,
    /// Nothing for a private file that vanishes with the process.
    place: Option<Place>,
    repository: RepositoryId,
    fingerprint: [u8; 16],
}

struct Place {
    /// The repository's folder.
    folder: PathBuf,
    /// Locked as long as the file is open.
    lock: File,
}

impl IndexFile {
    pub(super) fn open(cache: &Cache, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Self> {
        if let Cache::Folder(folder) = cache {
            let opened = Place::open(folder, repository).and_then(|place| {
                let connection = place.connect(repository, fingerprint)?;
                Ok(Self { connection, place: Some(place), repository, fingerprint })
            });
            match opened {
                Ok(file) => return Ok(file),
                Err(error) => tell_temporary(&error, folder),
            }
        }
        let connection = temporary(repository, fingerprint)?;
        Ok(Self { connection, place: None, repository, fingerprint })
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.place.is_none()
    }

    /// Where sorting may put what memory cannot hold.
    pub(super) fn sort_folder(&self) -> PathBuf {
        self.place.as_ref().map_or_else(std::env::temp_dir, |place| place.folder.clone())
    }

    /// Puts an empty file in the place of this one; a temporary one where other processes use it.
    pub(super) fn replace(&mut self) -> IndexResult<()> {
        // Closes this file before it is removed.
        self.connection = temporary(self.repository, self.fingerprint)?;
        if let Some(place) = &self.place {
            match place.replace(self.repository, self.fingerprint) {
                Ok(connection) => self.connection = connection,
                Err(error) => {
                    tell_temporary(&error, &place.folder);
                    self.place = None;
                }
            }
        }
        Ok(())
    }

    /// Goes on with an empty temporary file.
    pub(super) fn leave(&mut self) -> IndexResult<()> {
        self.connection = temporary(self.repository, self.fingerprint)?;
        self.place = None;
        Ok(())
    }

    /// A transaction that may write; only one process has one at a time.
    pub(super) fn begin(&mut self) -> IndexResult<Transaction<'_>> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Makes ready to fill a fresh file without writing everything twice. Not possible while another process has it open.
    pub(super) fn begin_bulk(&mut self) -> IndexResult<bool> {
        if self.is_temporary() {
            return Ok(true);
        }
        self.connection.busy_timeout(Duration::ZERO)?;
        let mode = self.connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0));
        self.connection.busy_timeout(Duration::from_secs(BUSY_SECONDS))?;
        match mode {
            Ok(mode) if mode == "delete" => {}
            Ok(_) => return Ok(false),
            Err(error) => {
                let error = IndexError::from(error);
                return if error.is_damage() { Err(error) } else { Ok(false) };
            }
        }
        // From here on another process waits at its first look.
        self.connection.execute_batch(&format!(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA user_version = {UNFINISHED}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
        ))?;
        Ok(true)
    }

    /// Makes the file durable, says that it is whole, and lets others in.
    pub(super) fn end_bulk(&mut self) -> IndexResult<()> {
        if self.is_temporary() {
            return Ok(());
        }
        self.connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA locking_mode = NORMAL; PRAGMA user_version = {UNFINISHED};
             PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA user_version = {SCHEMA};"
        ))?;
        Ok(())
    }

    /// Writes a long log of changes back into the file.
    pub(super) fn settle(&self) -> IndexResult<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let wal = with_suffix(&place.file(), "-wal");
        if std::fs::metadata(wal).is_ok_and(|wal| wal.len() > WAL_BYTES_MAX) {
            // Where another process is reading, the next one does it.
            self.connection.busy_timeout(Duration::ZERO)?;
            let result = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.connection.busy_timeout(Duration::from_secs(BUSY_SECONDS))?;
            result?;
        }
        Ok(())
    }
}

impl Place {
    fn open(folder: &Path, repository: RepositoryId) -> IndexResult<Self> {
        let open = || {
            let folder = cache_folder(folder, repository)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let lock = options.open(folder.join("lock"))?;
            Ok(Self { folder, lock })
        };
        open().map_err(|source| IndexError::Folder { folder: folder.join(repository.to_string()), source })
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("index-{SCHEMA}.sqlite"))
    }

    /// Opens the file, or makes a new one where it is of no use.
    fn connect(&self, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
        for _ in 0..CONNECT_ATTEMPTS_MAX {
            self.share()?;
            if let Some(connection) = connect(&self.file(), repository, fingerprint)? {
                return Ok(connection);
            }
            if self.try_alone()? {
                // Another process may have made it since.
                let connection = match connect(&self.file(), repository, fingerprint)? {
                    Some(connection) => connection,
                    None => self.create(repository, fingerprint)?,
                };
                self.share()?;
                return Ok(connection);
            }
            // Others are at the same: one of them succeeds.
            std::thread::yield_now();
        }
        Err(IndexError::InUse)
    }

    /// Makes a new file whatever there is. The caller has closed it.
    fn replace(&self, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
        if !self.try_alone()? {
            return Err(IndexError::InUse);
        }
        let connection = self.create(repository, fingerprint)?;
        self.share()?;
        Ok(connection)
    }

    fn share(&self) -> IndexResult<()> {
        self.lock.lock_shared().map_err(|source| self.failed(source))
    }

    /// Whether nobody else has the file open. If so, nobody can open it until it is shared again.
    fn try_alone(&self) -> IndexResult<bool> {
        match self.lock.try_lock() {
            Ok(()) => Ok(self.is_still_there()),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(self.failed(source)),
        }
    }

    /// Removes the file and its companions, and makes an empty one.
    fn create(&self, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
        let file = &self.file();
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let name = with_suffix(file, suffix);
            let removed = std::fs::remove_file(&name).or_else(|_| std::fs::remove_dir_all(&name));
            if let Err(source) = removed
                && source.kind() != std::io::ErrorKind::NotFound
            {
                return Err(self.failed(source));
            }
        }
        // Made here, not by SQLite, so that nobody else can read it from the first moment on.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|source| self.failed(source))?;
        let connection = Connection::open_with_flags(file, FLAGS)?;
        // What a power cut leaves of an empty file is of no use, and is seen to be.
        prepare(&connection, "OFF")?;
        create_tables(&connection, repository, fingerprint)?;
        connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        Ok(connection)
    }

    /// Whether the lock is the one that others find: somebody may have removed the folder meanwhile.
    fn is_still_there(&self) -> bool {
        let same = || -> std::io::Result<bool> {
            let (held, found) = (self.lock.metadata()?, std::fs::metadata(self.folder.join("lock"))?);
            Ok((held.dev(), held.ino()) == (found.dev(), found.ino()))
        };
        same().unwrap_or(false)
    }

    fn failed(&self, source: std::io::Error) -> IndexError {
        IndexError::Folder { folder: self.folder.clone(), source }
    }
}

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A repository's own folder below the cache's: made where it is not there, and nobody else's to read.
pub(crate) fn cache_folder(folder: &Path, repository: RepositoryId) -> std::io::Result<PathBuf> {
    let folder = folder.join(repository.to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    if std::fs::metadata(&folder)?.mode() & 0o077 != 0 {
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    }
    Ok(folder)
}

/// A private file that SQLite removes when it is closed.
fn temporary(repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    let connection = Connection::open("")?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;")?;
    create_tables(&connection, repository, fingerprint)?;
    Ok(connection)
}

/// `None` where there is no file, or it is damaged or not this repository's.
fn connect(file: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Option<Connection>> {
    let Ok(metadata) = std::fs::metadata(file) else { return Ok(None) };
    if metadata.mode() & 0o077 != 0
        && let Err(error) = std::fs::set_permissions(file, Permissions::from_mode(0o600))
    {
        tracing::debug!(%error, "others can read the local index");
    }
    match try_connect(file, repository, fingerprint) {
        Ok(true_file @ Some(_)) => return Ok(true_file),
        Ok(None) => tracing::info!(file = %file.display(), "the local index is another repository's or unfinished"),
        Err(error) if error.is_damage() => tracing::info!(%error, file = %file.display(), "the local index is damaged"),
        Err(error) => return Err(error),
    }
    Ok(None)
}

fn try_connect(file: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Option<Connection>> {
    let connection = Connection::open_with_flags(file, FLAGS)?;
    prepare(&connection, "NORMAL")?;
    let schema: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if schema != SCHEMA {
        return Ok(None);
    }
    let (found, key): ([u8; 16], [u8; 16]) =
        connection.query_row("SELECT repository, fingerprint FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((found == *repository.as_bytes() && key == fingerprint).then_some(connection))
}

fn prepare(connection: &Connection, synchronous: &str) -> IndexResult<()> {
    connection.busy_timeout(Duration::from_secs(BUSY_SECONDS))?;
    // On closing, SQLite would write back and remove the log of changes by its name, which may be another file's by then.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA journal_mode = WAL; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = {WAL_BYTES_MAX};"
    ))?;
    Ok(())
}

fn create_tables(connection: &Connection, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<()> {
    connection.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {SCHEMA};"))?;
    connection.execute(
        "INSERT INTO meta (repository, fingerprint, slot) VALUES (?1, ?2, 0)",
        params![repository.as_bytes(), fingerprint],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

fn tell_temporary(error: &IndexError, folder: &Path) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(%error, cause, folder = %folder.display(), "a temporary index is built for this run");
}
