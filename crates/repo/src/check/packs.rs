//! Reading packs: many at a time for the first look, and one by one, record for record, where something is wrong.
//!
//! The first look compares the bytes with the pack's name and, at full depth, the pack's own directory with the digest of
//! the index, and opens every record that the directory lists. What is not as it should be is read a second time with the entries
//! of the index: so a passing fault is told from stored damage, and it is known which records are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backstay_format::audit::{Depth, Lost};
use backstay_format::ids::PackId;
use backstay_format::pack::{PackedRecord, pack_kind, read_directory, verify_pack_name};
use backstay_format::record::Sealer;
use backstay_format::segment::SegmentEntry;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use super::list::{Inventory, PackRow, directory_digest};
use super::{MISSING, PackDamage};
use crate::crew;
use crate::error::{RepoError, Result, with_causes};
use crate::names;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::salvage::salvage;
use crate::store::ErrorKind;

/// Records are handed out by so many stored bytes: few packs must keep many threads busy to the end.
const PART_BYTES: u64 = 1 << 20;

/// What to read.
pub(super) struct Plan<'i> {
    /// In this order.
    pub(super) packs: Vec<&'i [PackRow]>,
    pub(super) depth: Depth,
    /// No pack is begun from then on.
    pub(super) deadline: Option<Timestamp>,
    pub(super) threads: usize,
}

/// What a first look at packs showed.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) good: Vec<PackId>,
    /// Something was not as it should be.
    pub(super) suspects: Vec<PackId>,
    /// Opened, in good packs.
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// A pack in memory, whose records are opened by whoever has time.
struct OpenPack<'i> {
    row: &'i PackRow,
    bytes: Bytes,
    records: Vec<PackedRecord>,
    is_suspect: AtomicBool,
    parts_left: AtomicUsize,
}

/// Some records of a pack.
struct Part<'i> {
    pack: Arc<OpenPack<'i>>,
    records: Range<usize>,
}

/// What the threads share.
struct Queue<'i> {
    parts: Vec<Part<'i>>,
    /// Memory of packs that are done, for the next ones.
    spare: Vec<Vec<u8>>,
    next_pack: usize,
    /// Packs that are in memory, or being read into it.
    held: usize,
    is_stopped: bool,
}

/// Reads packs as planned. What was seen until an error is in `looked` too.
pub(super) fn look(repository: &Repository, plan: &Plan<'_>, progress: &Progress, looked: &mut Looked) -> Result<()> {
    let largest = plan.packs.iter().map(|rows| rows[0].size_bytes).max().unwrap_or_default();
    let run = Look {
        repository,
        plan,
        progress,
        // Half of the memory is for packs; the other half is for the index, and for what is being opened.
        held_max: (repository.options().memory_bytes as u64 / 2 / largest.max(1)).clamp(1, plan.threads.max(1) as u64)
            as usize,
        queue: Mutex::new(Queue { parts: Vec::new(), spare: Vec::new(), next_pack: 0, held: 0, is_stopped: false }),
        changed: Condvar::new(),
        looked: Mutex::new(looked),
    };
    crew::work(repository.store(), plan.threads, &|| run.work())
}

struct Look<'i, 'r> {
    repository: &'i Repository,
    plan: &'i Plan<'i>,
    progress: &'i Progress,
    held_max: usize,
    queue: Mutex<Queue<'i>>,
    changed: Condvar,
    looked: Mutex<&'r mut Looked>,
}

enum Task<'i> {
    Open(Part<'i>),
    Read(&'i [PackRow], Vec<u8>),
}

impl<'i> Look<'i, '_> {
    fn work(&self) -> Result<()> {
        let result = self.work_through();
        if result.is_err() {
            self.queue.lock().is_stopped = true;
            self.changed.notify_all();
        }
        result
    }

    fn work_through(&self) -> Result<()> {
        let level = self.repository.config().compression_level;
        let mut sealer = Sealer::new(self.repository.keys(), level).map_err(RepoError::making("a reader"))?;
        let mut plain = Vec::new();
        while let Some(task) = self.next_task() {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            match task {
                Task::Open(part) => {
                    let pack = &part.pack;
                    let is_sound = pack.records[part.records].iter().all(|record| {
                        let bytes = &pack.bytes[record.offset as usize..];
                        sealer.open(bytes, &mut plain).is_ok_and(|header| header.id == record.id)
                    });
                    pack.is_suspect.fetch_or(!is_sound, Ordering::AcqRel);
                    if pack.parts_left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        let is_suspect = pack.is_suspect.load(Ordering::Acquire);
                        self.note(pack.row, is_suspect, pack.records.len());
                    }
                    if let Some(done) = Arc::into_inner(part.pack) {
                        self.release(done.bytes);
                    }
                }
                Task::Read(rows, memory) => match self.read(rows, memory)? {
                    Some((bytes, records)) if !records.is_empty() => self.hand_out(&rows[0], bytes, records),
                    sound => {
                        self.note(&rows[0], sound.is_none(), 0);
                        self.release(sound.map(|(bytes, _)| bytes).unwrap_or_default());
                    }
                },
            }
        }
        Ok(())
    }

    /// Records first, so that no more packs are in memory than need be.
    fn next_task(&self) -> Option<Task<'i>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_stopped {
                return None;
            }
            if let Some(part) = queue.parts.pop() {
                return Some(Task::Open(part));
            }
            let is_late = || self.plan.deadline.is_some_and(|deadline| self.repository.clock().now() >= deadline);
            let next = self.plan.packs.get(queue.next_pack).filter(|_| !is_late());
            match next {
                Some(&rows) if queue.held < self.held_max => {
                    queue.next_pack += 1;
                    queue.held += 1;
                    let memory = queue.spare.pop().unwrap_or_default();
                    return Some(Task::Read(rows, memory));
                }
                None if queue.held == 0 => return None,
                _ => self.changed.wait(&mut queue),
            }
        }
    }

    /// The pack's bytes, and at full depth its records; nothing where something is wrong.
    fn read(&self, rows: &[PackRow], memory: Vec<u8>) -> Result<Option<(Bytes, Vec<PackedRecord>)>> {
        let row = &rows[0];
        let bytes = match self.repository.store().get_into(&names::pack(&row.id), memory) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if verify_pack_name(row.id, &bytes).is_err() {
            return Ok(None);
        }
        if self.plan.depth == Depth::Bytes {
            return Ok(Some((bytes, Vec::new())));
        }
        let Ok(records) = read_directory(self.repository.keys(), &bytes) else { return Ok(None) };
        Ok(is_as_indexed(rows, &bytes, &records).then_some((bytes, records)))
    }

    /// Cuts a pack's records into parts.
    fn hand_out(&self, row: &'i PackRow, bytes: Bytes, records: Vec<PackedRecord>) {
        let mut ranges = Vec::new();
        let (mut start, mut part_bytes) = (0, 0);
        for (index, record) in records.iter().enumerate() {
            part_bytes += u64::from(record.stored_len);
            if part_bytes >= PART_BYTES {
                ranges.push(start..index + 1);
                (start, part_bytes) = (index + 1, 0);
            }
        }
        if start < records.len() {
            ranges.push(start..records.len());
        }
        let parts_left = AtomicUsize::new(ranges.len());
        let pack = Arc::new(OpenPack { row, bytes, records, is_suspect: AtomicBool::new(false), parts_left });
        // The parts of one pack are taken from its start.
        let parts: Vec<_> = ranges.into_iter().rev().map(|records| Part { pack: pack.clone(), records }).collect();
        // Whoever ends the last part must be the last to hold the pack: it gives the memory back.
        drop(pack);
        self.queue.lock().parts.extend(parts);
        self.changed.notify_all();
    }

    fn note(&self, row: &PackRow, is_suspect: bool, records: usize) {
        Progress::add(&self.progress.bytes_done, row.size_bytes);
        Progress::add(&self.progress.items_done, 1);
        let mut looked = self.looked.lock();
        looked.bytes += row.size_bytes;
        if is_suspect {
            looked.suspects.push(row.id);
        } else {
            looked.good.push(row.id);
            looked.records += records as u64;
        }
    }

    fn release(&self, bytes: Bytes) {
        let mut queue = self.queue.lock();
        queue.held -= 1;
        queue.spare.push(bytes.into());
        drop(queue);
        self.changed.notify_all();
    }
}

/// Whether the pack's own directory says what some segment says.
fn is_as_indexed(rows: &[PackRow], bytes: &[u8], records: &[PackedRecord]) -> bool {
    pack_kind(bytes).is_ok_and(|kind| {
        let digest = directory_digest(kind, bytes.len() as u64, records);
        rows.iter().any(|row| row.digest == digest && row.records as usize == records.len())
    })
}

/// What a second, exact look showed.
pub(super) struct Examined {
    pub(super) id: PackId,
    /// Nothing where the pack is as it should be.
    pub(super) damage: Option<PackDamage>,
    pub(super) records: u64,
}

/// Reads packs one by one and opens every record that the index says is in them.
pub(super) fn examine(
    repository: &Repository,
    inventory: &Inventory,
    packs: &BTreeSet<PackId>,
    progress: &Progress,
) -> Result<Vec<Examined>> {
    // Packs of one segment together, so that it is read once.
    let mut by_segments: BTreeMap<BTreeSet<u32>, BTreeMap<PackId, Vec<SegmentEntry>>> = BTreeMap::new();
    for id in packs {
        let segments = inventory.rows(id).iter().map(|row| row.segment).collect();
        by_segments.entry(segments).or_default().insert(*id, Vec::new());
    }
    let level = repository.config().compression_level;
    let mut sealer = Sealer::new(repository.keys(), level).map_err(RepoError::making("a reader"))?;
    let mut examined = Vec::new();
    for (segments, mut packs) in by_segments {
        inventory.each_entry(repository, &|position| segments.contains(&position), &mut |pack, entry| {
            if let Some(entries) = packs.get_mut(&pack.id) {
                entries.push(*entry);
            }
        })?;
        for (id, mut entries) in packs {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            entries.sort_unstable_by_key(|entry| (entry.offset, entry.id));
            entries.dedup_by_key(|entry| (entry.offset, entry.id));
            let damage = examine_pack(repository, &mut sealer, inventory.rows(&id), &id, &entries)?;
            if damage.is_some() {
                Progress::add(&progress.problems, 1);
            }
            examined.push(Examined { id, damage, records: entries.len() as u64 });
        }
    }
    Ok(examined)
}

fn examine_pack(
    repository: &Repository,
    sealer: &mut Sealer<'_>,
    rows: &[PackRow],
    id: &PackId,
    entries: &[SegmentEntry],
) -> Result<Option<PackDamage>> {
    let missing = || Some(PackDamage { problem: MISSING.to_owned(), lost: Lost::All });
    let (name, store) = (names::pack(id), repository.store());
    let size_bytes = rows.first().map_or(0, |row| row.size_bytes);
    let stored_bytes = match store.head(&name) {
        Ok(info) => info.size_bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(missing()),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            return Ok(Some(PackDamage { problem: with_causes(&error.into()), lost: Lost::All }));
        }
        Err(error) => return Err(error.into()),
    };
    // Of what is longer than a pack can be, no more is read than the pack had.
    let read = if stored_bytes > size_bytes { store.get_range(&name, 0..size_bytes) } else { store.get(&name) };
    let mut problem = None;
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(missing()),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            problem = Some(with_causes(&error.into()));
            let Some(bytes) = salvage(store, &name, stored_bytes.min(size_bytes))? else { return Ok(missing()) };
            bytes
        }
        Err(error) => return Err(error.into()),
    };
    if problem.is_some() {
        // Said already, and whatever else is wrong with it comes from that.
    } else if stored_bytes != size_bytes {
        problem = Some(format!("it has {stored_bytes} bytes where {size_bytes} were stored"));
    } else if let Err(error) = verify_pack_name(*id, &bytes) {
        problem = Some(error.to_string());
    }
    match read_directory(repository.keys(), &bytes) {
        Ok(directory) if is_as_indexed(rows, &bytes, &directory) => {}
        Ok(_) => {
            problem.get_or_insert_with(|| "its directory is not what the index says of it".to_owned());
        }
        Err(error) => {
            problem.get_or_insert_with(|| error.to_string());
        }
    }
    let (mut lost, mut plain) = (BTreeSet::new(), Vec::new());
    for entry in entries {
        let record = bytes.get(entry.offset as usize..).unwrap_or_default();
        let fault = match sealer.open(record, &mut plain) {
            Ok(header) if header.id == entry.id => continue,
            Ok(header) => format!("record {} stands where record {} should be", header.id, entry.id),
            Err(error) => error.to_string(),
        };
        problem.get_or_insert(fault);
        lost.insert(entry.id);
    }
    Ok(problem.map(|problem| PackDamage { problem, lost: Lost::Records(lost) }))
}
