//! What nodes name, remembered on this host: a node's bytes never change, so that a collection reads from the store only the nodes
//! that are new to it.
//!
//! A cache like the local index, in the same folder: it may be deleted at any time, every row carries a check of its fields, and one
//! that does not fit throws the file away. It holds ids and starts of ids.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backstay_format::ids::{ChunkId, RepositoryId};
use backstay_format::tree;
use rusqlite::{Connection, OptionalExtension, params};

use super::table::{Prefix, node_weight, prefix, use_weight};
use crate::index::{Cache, IndexError, IndexResult, cache_folder, mix};

/// Changes with the tables: a file of another schema is left alone, it has another name.
const SCHEMA: i64 = 1;
const TABLES: &str = "
    CREATE TABLE meta (repository BLOB NOT NULL, fingerprint BLOB NOT NULL) STRICT;
    CREATE TABLE nodes (id BLOB PRIMARY KEY, named BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";
/// Rows that wait to be written in one transaction come to so much.
const PENDING_BYTES_MAX: usize = 4 << 20;
/// Nodes that no snapshot has any more are forgotten when they are this many, and this share of those in use.
const STALE_ROWS_MIN: u64 = 10_000;
const STALE_SHARE: u64 = 4;

/// What a node names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) nodes: Vec<ChunkId>,
    /// Data chunks.
    pub(super) data: Vec<Prefix>,
}

impl Named {
    /// Of the references that were read from a node: above level 0 its chunks are nodes.
    pub(super) fn of(references: tree::References) -> Self {
        let mut named = Self { nodes: references.content, data: Vec::new() };
        if references.level > 0 {
            named.nodes.extend(references.chunks);
        } else {
            named.data = references.chunks.iter().map(prefix).collect();
        }
        named
    }

    /// What the node adds to the weight of everything when it is counted.
    pub(super) fn weight(&self, id: &ChunkId) -> u64 {
        let uses = self.nodes.iter().map(prefix).chain(self.data.iter().copied()).map(use_weight);
        uses.fold(node_weight(prefix(id)), u64::wrapping_add)
    }
}

pub(super) struct References {
    connection: Connection,
    /// The file, and the lock held while it is open: another collection on this host does without the cache. Nothing for a private
    /// file.
    place: Option<(PathBuf, File)>,
    repository: RepositoryId,
    fingerprint: [u8; 16],
    pending: Vec<(ChunkId, Named)>,
    pending_bytes: usize,
}

impl References {
    pub(super) fn open(cache: &Cache, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Self> {
        if let Cache::Folder(folder) = cache {
            match Self::open_file(folder, repository, fingerprint) {
                Ok(references) => return Ok(references),
                Err(error) => tracing::info!(%error, "references of tree nodes are not remembered by this run"),
            }
        }
        let connection = temporary(repository, fingerprint)?;
        Ok(Self { connection, place: None, repository, fingerprint, pending: Vec::new(), pending_bytes: 0 })
    }

    fn open_file(folder: &Path, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Self> {
        let failed = |source| IndexError::Folder { folder: folder.to_owned(), source };
        let place = cache_folder(folder, repository).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(place.join("references-lock")).map_err(failed)?;
        lock.try_lock().map_err(|_| IndexError::InUse)?;
        let path = place.join(format!("references-{SCHEMA}.sqlite"));
        let connection = connect(&path, repository, fingerprint).or_else(|error| {
            tracing::info!(%error, "the file of references is of no use and begins anew");
            remove(&path)?;
            connect(&path, repository, fingerprint)
        })?;
        Ok(Self {
            connection,
            place: Some((path, lock)),
            repository,
            fingerprint,
            pending: Vec::new(),
            pending_bytes: 0,
        })
    }

    /// The cache folder of the repository, in which nobody else collects while this is open; nothing for a private file.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.place.as_ref().and_then(|(path, _)| path.parent())
    }

    pub(super) fn get(&self, id: &ChunkId) -> IndexResult<Option<Named>> {
        let mut statement = self.connection.prepare_cached("SELECT named, sum FROM nodes WHERE id = ?1")?;
        let row = statement
            .query_row([id.as_bytes()], |row| Ok((row.get_ref(0)?.as_blob().map(decode)?, row.get::<_, i64>(1)?)))
            .optional()?;
        match row {
            None => Ok(None),
            Some((Some(named), sum)) if sum == check(id, &encode(&named)) => Ok(Some(named)),
            Some(_) => Err(IndexError::Damaged { table: "nodes" }),
        }
    }

    /// The nodes whose ids lie between two beginnings, both included; two at most.
    pub(super) fn nodes_between(&self, first: Prefix, last: Prefix) -> IndexResult<Vec<ChunkId>> {
        let mut statement =
            self.connection.prepare_cached("SELECT id FROM nodes WHERE id >= ?1 AND id <= ?2 LIMIT 2")?;
        let end = [&last.to_be_bytes()[..], &[0xff; ChunkId::LEN - 8]].concat();
        let ids = statement.query_map(params![&first.to_be_bytes()[..], end], |row| Ok(ChunkId::new(row.get(0)?)))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn put(&mut self, id: ChunkId, named: Named) -> IndexResult<()> {
        self.pending_bytes += ChunkId::LEN * (1 + named.nodes.len()) + size_of::<Prefix>() * named.data.len();
        self.pending.push((id, named));
        if self.pending_bytes >= PENDING_BYTES_MAX { self.write() } else { Ok(()) }
    }

    pub(super) fn write(&mut self) -> IndexResult<()> {
        self.pending_bytes = 0;
        let transaction = self.connection.transaction()?;
        {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO nodes (id, named, sum) VALUES (?1, ?2, ?3)")?;
            for (id, named) in self.pending.drain(..) {
                let named = encode(&named);
                statement.execute(params![id.as_bytes(), named, check(&id, &named)])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Begins with an empty file.
    pub(super) fn begin_anew(&mut self) -> IndexResult<()> {
        self.pending.clear();
        self.pending_bytes = 0;
        // Closes the file before it is removed.
        self.connection = temporary(self.repository, self.fingerprint)?;
        if let Some((path, _)) = &self.place {
            match remove(path).and_then(|()| connect(path, self.repository, self.fingerprint)) {
                Ok(connection) => self.connection = connection,
                Err(error) => {
                    tracing::info!(%error, "references of tree nodes are not remembered by this run");
                    self.place = None;
                }
            }
        }
        Ok(())
    }

    /// Ends the marking: writes what waits and gives up the memory of pages. Forgets nodes that no snapshot has any more, once
    /// they are many. `in_use`: how many are not.
    pub(super) fn settle(&mut self, in_use: u64, is_in_use: impl Fn(&ChunkId) -> bool) -> IndexResult<()> {
        self.write()?;
        let rows: i64 = self.connection.query_row("SELECT count(*) FROM nodes", [], |row| row.get(0))?;
        if (rows as u64).saturating_sub(in_use) > STALE_ROWS_MIN.max(in_use / STALE_SHARE) {
            self.retain(is_in_use)?;
        }
        Ok(self.connection.execute_batch("PRAGMA shrink_memory")?)
    }

    fn retain(&mut self, is_in_use: impl Fn(&ChunkId) -> bool) -> IndexResult<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut nodes = transaction.prepare("SELECT id FROM nodes ORDER BY id")?;
            let nodes = nodes.query_map([], |row| row.get(0).map(ChunkId::new))?;
            let stale = nodes.filter(|node| node.as_ref().map_or(true, |id| !is_in_use(id)));
            let mut delete = transaction.prepare_cached("DELETE FROM nodes WHERE id = ?1")?;
            for id in stale.collect::<rusqlite::Result<Vec<_>>>()? {
                delete.execute([id.as_bytes()])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

fn encode(named: &Named) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + named.nodes.len() * ChunkId::LEN + named.data.len() * 8);
    bytes.extend_from_slice(&(named.nodes.len() as u32).to_le_bytes());
    for node in &named.nodes {
        bytes.extend_from_slice(node.as_bytes());
    }
    for data in &named.data {
        bytes.extend_from_slice(&data.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Named> {
    let (count, rest) = bytes.split_at_checked(4)?;
    let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
    let (nodes, data) = rest.split_at_checked(count.checked_mul(ChunkId::LEN)?)?;
    let nodes = nodes.chunks_exact(ChunkId::LEN).map(|id| ChunkId::new(id.try_into().expect("as long as an id")));
    let words = data.chunks_exact(8);
    if !words.remainder().is_empty() {
        return None;
    }
    let data = words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
    Some(Named { nodes: nodes.collect(), data })
}

/// The check of a row: against decay, not against an attacker, who could read the memory of the program as well.
fn check(id: &ChunkId, named: &[u8]) -> i64 {
    let words = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let hash = id.as_bytes().chunks(8).fold(5, |hash, bytes| mix(hash, words(bytes)));
    mix(named.chunks(8).fold(hash, |hash, bytes| mix(hash, words(bytes))), named.len() as u64) as i64
}

fn connect(path: &PathBuf, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    // Made here, not by SQLite, so that nobody else can read it from the first moment on.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).is_ok();
    let connection = Connection::open(path)?;
    // Nobody else has it open: a lock for each row asked for would cost more than the row.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    if created {
        create_tables(&connection, repository, fingerprint)?;
        return Ok(connection);
    }
    let (found, key): ([u8; 16], [u8; 16]) =
        connection.query_row("SELECT repository, fingerprint FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if found == *repository.as_bytes() && key == fingerprint {
        Ok(connection)
    } else {
        Err(IndexError::Damaged { table: "meta" })
    }
}

fn temporary(repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<Connection> {
    let connection = Connection::open("")?;
    create_tables(&connection, repository, fingerprint)?;
    Ok(connection)
}

fn remove(path: &PathBuf) -> IndexResult<()> {
    for name in [path, &path.with_extension("sqlite-journal")] {
        let removed = std::fs::remove_file(name).or_else(|_| std::fs::remove_dir_all(name));
        if let Err(source) = removed
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(IndexError::Folder { folder: path.clone(), source });
        }
    }
    Ok(())
}

fn create_tables(connection: &Connection, repository: RepositoryId, fingerprint: [u8; 16]) -> IndexResult<()> {
    connection.execute_batch(&format!("BEGIN; {TABLES}"))?;
    connection.execute(
        "INSERT INTO meta (repository, fingerprint) VALUES (?1, ?2)",
        params![repository.as_bytes(), fingerprint],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references() -> References {
        References::open(&Cache::None, RepositoryId::new([1; 16]), [2; 16]).unwrap()
    }

    fn named() -> Named {
        Named { nodes: vec![ChunkId::new([7; 32])], data: vec![1, u64::MAX] }
    }

    #[test]
    fn what_a_node_names_is_remembered() {
        let mut references = references();
        let id = ChunkId::new([9; 32]);
        references.put(id, named()).unwrap();
        references.write().unwrap();
        assert_eq!(references.get(&id).unwrap(), Some(named()));
        assert_eq!(references.get(&ChunkId::new([8; 32])).unwrap(), None);
    }

    #[test]
    fn nodes_are_found_by_the_beginnings_of_their_ids() {
        let mut references = references();
        let ids = [ChunkId::new([9; 32]), ChunkId::new([10; 32])];
        for id in ids {
            references.put(id, named()).unwrap();
        }
        references.write().unwrap();
        let own = prefix(&ids[0]);
        assert_eq!(references.nodes_between(own, own).unwrap(), [ids[0]]);
        assert_eq!(references.nodes_between(0, own - 1).unwrap(), []);
        assert_eq!(references.nodes_between(own + 1, u64::MAX).unwrap(), [ids[1]]);
        assert_eq!(references.nodes_between(0, u64::MAX).unwrap(), ids);
    }

    #[test]
    fn nodes_that_no_snapshot_has_are_forgotten_once_they_are_many() {
        let mut references = references();
        let id = |number: u64| ChunkId::new([&number.to_be_bytes()[..], &[3; 24]].concat().try_into().unwrap());
        for number in 0..STALE_ROWS_MIN + 9 {
            references.put(id(number), named()).unwrap();
        }
        let is_there = |references: &References, number| references.get(&id(number)).unwrap().is_some();
        references.settle(9, |_| panic!("they are few")).unwrap();
        assert!(is_there(&references, 7) && is_there(&references, 9));
        references.settle(5, |node| *node < id(9)).unwrap();
        assert!(is_there(&references, 7) && !is_there(&references, 9));
    }

    #[test]
    fn any_flipped_bit_of_a_row_is_damage_and_never_an_answer() {
        let mut references = references();
        let id = ChunkId::new([9; 32]);
        references.put(id, named()).unwrap();
        references.write().unwrap();
        let stored = encode(&named());
        for bit in 0..stored.len() * 8 {
            let mut bytes = stored.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            references.connection.execute("UPDATE nodes SET named = ?1", [bytes]).unwrap();
            assert!(references.get(&id).is_err(), "bit {bit}");
        }
    }
}
