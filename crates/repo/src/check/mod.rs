//! Proving that what is listed can be read: by list and sizes, by structure, or byte by byte.
//!
//! Findings name the damaged object, what is wrong with it, and every snapshot and path that it touches. Nothing is changed,
//! nobody waits, and no cache is trusted: log and index segments are read from the store.

mod impact;
mod packs;
mod saved;
mod scrub;

pub use backstay_format::audit::{Damaged, Lost};
pub use scrub::{ScrubReport, scrub};

use std::collections::{BTreeMap, HashMap, HashSet};

use backstay_format::crypto::stored_hash;
use backstay_format::ids::{ChunkId, EntryHash, PackId, SnapshotId};
use backstay_format::log::LogEntry;
use backstay_format::segment::SegmentEntry;
use backstay_format::tree::Node;
use bytes::Bytes;

use crate::error::{ErrorKind, RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::protocol::{self, State};
use crate::reader::Reader;
use crate::repository::{Repository, decode_entry};

/// How deep a check goes; each level includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every object that is needed exists, with the right size; the small ones are read.
    List,
    /// Every snapshot's tree is complete, and every chunk it names is in the index.
    Structure,
    /// Every record is decrypted, decompressed and hashed.
    Full,
}

/// One damaged or missing thing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The stored object.
    pub object: String,
    pub problem: String,
    /// Records in it that cannot be read and have no other copy.
    pub records: u64,
    pub snapshots: Vec<SnapshotId>,
    /// Up to [`PATHS_MAX`] of the files concerned.
    pub paths: Vec<String>,
    pub paths_more: u64,
}

/// Paths listed per finding; the others are counted.
pub const PATHS_MAX: usize = 20;

/// What a check saw.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct CheckReport {
    pub snapshots: u64,
    pub packs: u64,
    pub pack_bytes: u64,
    pub segments: u64,
    pub log_entries: u64,
    pub records: u64,
    /// Tree and content nodes read.
    pub nodes: u64,
    /// Records that were decrypted and hashed.
    pub records_read: u64,
    /// Packs that no valid segment names, and their bytes: a collection will look at them.
    pub unused_packs: u64,
    pub unused_bytes: u64,
    /// A first read that failed and a second that did not: the disk or the network wants watching.
    pub passing_faults: u64,
    pub findings: Vec<Finding>,
}

impl CheckReport {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What is known to be unreadable, before it is known whom it touches.
#[derive(Debug, Default)]
struct Damage {
    /// Object, problem, and the records in it.
    objects: BTreeMap<String, (String, Vec<ChunkId>)>,
}

impl Damage {
    fn add(&mut self, object: String, problem: impl Into<String>, records: impl IntoIterator<Item = ChunkId>) {
        let (_, known) = self.objects.entry(object).or_insert_with(|| (problem.into(), Vec::new()));
        known.extend(records);
    }
}

/// All packs and records that valid segments name, from the store.
struct Inventory {
    packs: HashMap<PackId, PackState>,
}

struct PackState {
    size_bytes: u64,
    entries: Vec<SegmentEntry>,
}

/// Checks the whole repository.
///
/// # Errors
/// Only what keeps the check from going on; damage is in the report.
pub fn check(repository: &Repository, level: Level, threads: usize, progress: &Progress) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let mut damage = Damage::default();
    let inventory = list_level(repository, &mut report, &mut damage)?;
    let snapshots = repository.snapshots();
    report.snapshots = snapshots.len() as u64;
    let mut unreadable = impact::unreadable_records(&inventory, &damage);
    if level >= Level::Full {
        Progress::add(&progress.bytes_total, report.pack_bytes);
        Progress::add(&progress.items_total, report.packs);
        progress.totals_known.store(true, std::sync::atomic::Ordering::Relaxed);
        packs::read_all(repository, &inventory, threads, progress, &mut report, &mut damage)?;
        unreadable = impact::unreadable_records(&inventory, &damage);
    }
    if level >= Level::Structure {
        let present: HashSet<ChunkId> = inventory.records().filter(|id| !unreadable.contains(id)).collect();
        structure_level(repository, &present, progress, &mut report, &mut damage)?;
    }
    report.findings = impact::findings(repository, damage, &unreadable)?;
    Ok(report)
}

impl Inventory {
    fn records(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.packs.values().flat_map(|pack| pack.entries.iter().map(|entry| entry.id))
    }
}

fn list_level(repository: &Repository, report: &mut CheckReport, damage: &mut Damage) -> Result<Inventory> {
    let store = repository.store();
    for name in [names::CONFIG, names::CONFIG_COPY] {
        let text = match store.get(name) {
            Ok(text) => text,
            Err(error) if error.kind() == crate::store::ErrorKind::NotFound => {
                damage.add(name.to_owned(), "it is missing; the other copy still opens the repository", []);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let read = backstay_format::config::Config::read(&text);
        if let Err(error) = read.and_then(|config| config.authenticate(repository.keys())) {
            damage.add(name.to_owned(), error.to_string(), []);
        }
    }
    for object in store.list(names::KEYS)? {
        let problem = match names::key_of(&object.name) {
            None => Some("its name is not that of a key slot".to_owned()),
            Some(id) => {
                let text = store.get(&object.name)?;
                let matches = stored_hash(&text) == *id.as_bytes();
                (!matches).then(|| "it does not match its name".to_owned())
            }
        };
        if let Some(problem) = problem {
            damage.add(object.name, problem, []);
        }
    }
    let state = repository.state();
    check_log(repository, &state, report, damage)?;
    let mut inventory = Inventory { packs: HashMap::new() };
    for (id, record) in state.segments() {
        report.segments += 1;
        let segment = match repository.fetch_segment(id) {
            Ok(segment) => segment,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                damage.add(names::segment(id), with_cause(&error), []);
                continue;
            }
            Err(error) => return Err(error),
        };
        if segment.entries.len() as u64 != record.entries || segment.base != record.base {
            damage.add(names::segment(id), "it is not what the log says of it", []);
        }
        let mut by_pack: Vec<Vec<SegmentEntry>> = vec![Vec::new(); segment.packs.len()];
        for entry in segment.entries {
            by_pack[entry.pack as usize].push(entry);
        }
        for (pack, mut entries) in segment.packs.into_iter().zip(by_pack) {
            if state.is_pack_valid_in(segment.base, &pack.id) {
                entries.sort_unstable_by_key(|entry| entry.offset);
                let new = PackState { size_bytes: pack.size_bytes, entries };
                inventory.packs.entry(pack.id).or_insert(new);
            }
        }
    }
    let mut listed = HashMap::new();
    for object in store.list(names::PACKS)? {
        if let Some(id) = names::pack_of(&object.name) {
            listed.insert(id, object.size_bytes);
        }
    }
    for (id, pack) in &inventory.packs {
        report.packs += 1;
        report.pack_bytes += pack.size_bytes;
        report.records += pack.entries.len() as u64;
        let records = || pack.entries.iter().map(|entry| entry.id);
        match listed.remove(id) {
            None => damage.add(names::pack(id), "it is missing", records()),
            Some(size_bytes) if size_bytes != pack.size_bytes => {
                damage.add(
                    names::pack(id),
                    format!("it has {size_bytes} bytes where {} were stored", pack.size_bytes),
                    records(),
                );
            }
            Some(_) => {}
        }
    }
    report.unused_packs = listed.len() as u64;
    report.unused_bytes = listed.values().sum();
    Ok(inventory)
}

/// The log as it is stored: opening may have taken it from the local index.
fn check_log(repository: &Repository, state: &State, report: &mut CheckReport, damage: &mut Damage) -> Result<()> {
    let mut stored: HashMap<String, Bytes> = repository.fetch_log_after(0)?.into_iter().collect();
    let mut previous: Option<EntryHash> = None;
    for slot in protocol::FIRST_SLOT..=state.slot() {
        report.log_entries += 1;
        let name = protocol::entry_name(slot);
        let Some(entry) = stored.remove(&name) else {
            damage.add(name, "it is missing", []);
            previous = None;
            continue;
        };
        let follows =
            |entry: LogEntry| slot == protocol::FIRST_SLOT || previous.is_none() || entry.previous == previous;
        match decode_entry(repository.keys(), slot, &entry).map(follows) {
            Ok(true) => {}
            Ok(false) => damage.add(name, "it does not follow the entry before it", []),
            Err(error) => {
                damage.add(name, with_cause(&error), []);
                previous = None;
                continue;
            }
        }
        previous = Some(EntryHash::new(stored_hash(&entry)));
    }
    Ok(())
}

/// Walks every node of every snapshot once.
fn structure_level(
    repository: &Repository,
    present: &HashSet<ChunkId>,
    progress: &Progress,
    report: &mut CheckReport,
    damage: &mut Damage,
) -> Result<()> {
    let mut reader = repository.reader()?;
    let mut seen = HashSet::new();
    for snapshot in repository.snapshots() {
        let mut todo = vec![snapshot.tree.root];
        for chunk in &snapshot.ledger.chunks {
            if !present.contains(chunk) {
                damage.add(format!("record {chunk}"), "a ledger names it, and it cannot be read", [*chunk]);
            }
        }
        while let Some(id) = todo.pop() {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            if !seen.insert(id) {
                continue;
            }
            if !present.contains(&id) {
                damage.add(format!("record {id}"), "a tree names it, and it cannot be read", [id]);
                continue;
            }
            match references(&mut reader, &id) {
                Ok(references) => {
                    report.nodes += 1;
                    // Level 0 names data chunks: they are leaves of the walk.
                    if references.level > 0 {
                        todo.extend(references.chunks);
                    } else {
                        for chunk in references.chunks.into_iter().filter(|chunk| !present.contains(chunk)) {
                            damage.add(format!("record {chunk}"), "a tree names it, and it cannot be read", [chunk]);
                        }
                    }
                    todo.extend(references.content);
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                    damage.add(format!("record {id}"), with_cause(&error), [id]);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn references(reader: &mut Reader<'_>, id: &ChunkId) -> Result<backstay_format::tree::References> {
    let plain = reader.read(id)?;
    Node::references(plain).map_err(RepoError::damaged(format!("tree node {id}")))
}

fn with_cause(error: &RepoError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
