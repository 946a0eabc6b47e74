//! The deepest level: reads every pack whole and opens every record in it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::{read_directory, verify_pack_name};
use backstay_format::record::Sealer;
use backstay_format::segment::SegmentEntry;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::{CheckReport, Damage, Inventory, PackState};
use crate::error::{RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::repository::Repository;

/// What one reading of a pack showed.
#[derive(Default)]
struct PackResult {
    problem: Option<String>,
    damaged: Vec<ChunkId>,
    records_read: u64,
}

/// Records are handed out by so many stored bytes: few packs must keep many threads busy to the end.
const PART_BYTES: u64 = 1 << 20;

/// A pack in memory, whose records are opened by whoever has time.
struct OpenPack<'i> {
    id: &'i PackId,
    pack: &'i PackState,
    bytes: Bytes,
    result: Mutex<PackResult>,
    parts_left: AtomicUsize,
}

/// Some records of a pack.
struct Part<'i> {
    pack: Arc<OpenPack<'i>>,
    records: Range<usize>,
}

/// What the threads share.
struct Queue<'i> {
    packs: Vec<(&'i PackId, &'i PackState)>,
    parts: Vec<Part<'i>>,
    /// Memory of packs that are done, for the next ones.
    spare: Vec<Vec<u8>>,
    next_pack: usize,
    /// Threads that are reading a pack: parts may still come.
    reading: usize,
    is_stopped: bool,
}

/// Reads all packs; each thread holds at most one that is not all handed out.
pub(super) fn read_all(
    repository: &Repository,
    inventory: &Inventory,
    threads: usize,
    progress: &Progress,
    report: &mut CheckReport,
    damage: &mut Damage,
) -> Result<()> {
    let packs = inventory.packs.iter().filter(|(id, _)| !damage.objects.contains_key(&names::pack(id))).collect();
    let queue = Queue { packs, parts: Vec::new(), spare: Vec::new(), next_pack: 0, reading: 0, is_stopped: false };
    let run = ReadAll {
        repository,
        progress,
        queue: Mutex::new(queue),
        changed: Condvar::new(),
        found: Mutex::new((report, damage)),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| run.work())).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("checking does not panic"))
    })
}

struct ReadAll<'i, 'r> {
    repository: &'i Repository,
    progress: &'i Progress,
    queue: Mutex<Queue<'i>>,
    changed: Condvar,
    found: Mutex<(&'r mut CheckReport, &'r mut Damage)>,
}

enum Task<'i> {
    Open(Part<'i>),
    Read(&'i PackId, &'i PackState, Vec<u8>),
}

impl<'i> ReadAll<'i, '_> {
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
                    let mut result = PackResult::default();
                    open_records(
                        &mut sealer,
                        &mut plain,
                        &part.pack.bytes,
                        &part.pack.pack.entries[part.records],
                        &mut result,
                    );
                    self.merge(&part.pack, result, &mut sealer, &mut plain)?;
                    if let Some(done) = Arc::into_inner(part.pack) {
                        self.queue.lock().spare.push(done.bytes.into());
                    }
                }
                Task::Read(id, pack, memory) => {
                    let read = self.read(id, pack, memory);
                    let mut queue = self.queue.lock();
                    queue.reading -= 1;
                    // The parts of one pack are taken from its start.
                    queue.parts.extend(read?.into_iter().rev());
                    drop(queue);
                    self.changed.notify_all();
                }
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
            if let Some(&(id, pack)) = queue.packs.get(queue.next_pack) {
                queue.next_pack += 1;
                queue.reading += 1;
                let memory = queue.spare.pop().unwrap_or_default();
                return Some(Task::Read(id, pack, memory));
            }
            if queue.reading == 0 {
                return None;
            }
            self.changed.wait(&mut queue);
        }
    }

    /// Reads a pack and cuts its records into parts; a pack without records has one that is empty.
    fn read(&self, id: &'i PackId, pack: &'i PackState, memory: Vec<u8>) -> Result<Vec<Part<'i>>> {
        let mut result = PackResult::default();
        let bytes = fetch(self.repository, id, pack, memory, &mut result)?;
        let entries = if bytes.is_some() { &pack.entries[..] } else { &[] };
        let mut ranges = Vec::new();
        let (mut start, mut part_bytes) = (0, 0);
        for (index, entry) in entries.iter().enumerate() {
            part_bytes += u64::from(entry.stored_len);
            if part_bytes >= PART_BYTES {
                ranges.push(start..index + 1);
                (start, part_bytes) = (index + 1, 0);
            }
        }
        if start < entries.len() || ranges.is_empty() {
            ranges.push(start..entries.len());
        }
        let pack = Arc::new(OpenPack {
            id,
            pack,
            bytes: bytes.unwrap_or_default(),
            result: Mutex::new(result),
            parts_left: AtomicUsize::new(ranges.len()),
        });
        Ok(ranges.into_iter().map(|records| Part { pack: pack.clone(), records }).collect())
    }

    /// Adds what a part showed; whoever brings the last one tells what the pack came to.
    fn merge(&self, pack: &OpenPack<'_>, part: PackResult, sealer: &mut Sealer<'_>, plain: &mut Vec<u8>) -> Result<()> {
        {
            let mut result = pack.result.lock();
            result.records_read += part.records_read;
            result.damaged.extend(part.damaged);
            if result.problem.is_none() {
                result.problem = part.problem;
            }
        }
        if pack.parts_left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let mut result = std::mem::take(&mut *pack.result.lock());
        let mut passed = false;
        if result.problem.is_some() {
            // A second read tells a passing fault from stored damage.
            let again = read_pack(self.repository, sealer, plain, pack.id, pack.pack)?;
            passed = again.problem.is_none();
            result = again;
        }
        Progress::add(&self.progress.bytes_done, pack.pack.size_bytes);
        Progress::add(&self.progress.items_done, 1);
        let mut found = self.found.lock();
        found.0.records_read += result.records_read;
        found.0.passing_faults += u64::from(passed);
        if let Some(problem) = result.problem {
            Progress::add(&self.progress.problems, 1);
            found.1.add(names::pack(pack.id), problem, result.damaged);
        }
        Ok(())
    }
}

/// Reads a pack whole, by this thread alone.
fn read_pack(
    repository: &Repository,
    sealer: &mut Sealer<'_>,
    plain: &mut Vec<u8>,
    id: &PackId,
    pack: &PackState,
) -> Result<PackResult> {
    let mut result = PackResult::default();
    if let Some(bytes) = fetch(repository, id, pack, Vec::new(), &mut result)? {
        open_records(sealer, plain, &bytes, &pack.entries, &mut result);
    }
    Ok(result)
}

/// The pack's bytes, compared with its name and its directory with the index; nothing where it is missing.
fn fetch(
    repository: &Repository,
    id: &PackId,
    pack: &PackState,
    memory: Vec<u8>,
    result: &mut PackResult,
) -> Result<Option<Bytes>> {
    let bytes = match repository.store().get_into(&names::pack(id), memory) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == crate::store::ErrorKind::NotFound => {
            result.problem = Some("it is missing".to_owned());
            result.damaged = pack.entries.iter().map(|entry| entry.id).collect();
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if let Err(error) = verify_pack_name(*id, &bytes) {
        result.problem = Some(error.to_string());
    }
    match read_directory(repository.keys(), &bytes) {
        Ok(directory) => {
            let equal = directory.len() == pack.entries.len()
                && directory.iter().zip(&pack.entries).all(|(record, entry)| {
                    (record.id, record.offset, record.stored_len, record.raw_len)
                        == (entry.id, entry.offset, entry.stored_len, entry.raw_len)
                });
            if !equal {
                result.problem.get_or_insert_with(|| "its directory is not what the index says of it".to_owned());
            }
        }
        Err(error) => {
            result.problem.get_or_insert_with(|| error.to_string());
        }
    }
    Ok(Some(bytes))
}

fn open_records(
    sealer: &mut Sealer<'_>,
    plain: &mut Vec<u8>,
    bytes: &[u8],
    entries: &[SegmentEntry],
    result: &mut PackResult,
) {
    for entry in entries {
        result.records_read += 1;
        let record = bytes.get(entry.offset as usize..).unwrap_or_default();
        let problem = match sealer.open(record, plain) {
            Ok(header) if header.id == entry.id => continue,
            Ok(header) => format!("record {} stands where record {} should be", header.id, entry.id),
            Err(error) => error.to_string(),
        };
        result.problem.get_or_insert(problem);
        result.damaged.push(entry.id);
    }
}
