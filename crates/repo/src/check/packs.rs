//! The deepest level: reads every pack whole and opens every record in it.

use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::{read_directory, verify_pack_name};
use backstay_format::record::Sealer;
use parking_lot::Mutex;

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

/// Reads all packs with as many threads; each holds one pack at a time.
pub(super) fn read_all(
    repository: &Repository,
    inventory: &Inventory,
    threads: usize,
    progress: &Progress,
    report: &mut CheckReport,
    damage: &mut Damage,
) -> Result<()> {
    let packs: Vec<(&PackId, &PackState)> =
        inventory.packs.iter().filter(|(id, _)| !damage.objects.contains_key(&names::pack(id))).collect();
    let next = AtomicUsize::new(0);
    let shared = Mutex::new((report, damage));
    let work = || -> Result<()> {
        let mut sealer = Sealer::new(repository.keys(), repository.config().compression_level)
            .map_err(RepoError::making("a reader"))?;
        let mut plain = Vec::new();
        while let Some(&(id, pack)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let mut result = read_pack(repository, &mut sealer, &mut plain, id, pack)?;
            let mut passed = false;
            if result.problem.is_some() {
                // A second read tells a passing fault from stored damage.
                let again = read_pack(repository, &mut sealer, &mut plain, id, pack)?;
                passed = again.problem.is_none();
                result = again;
            }
            Progress::add(&progress.bytes_done, pack.size_bytes);
            Progress::add(&progress.items_done, 1);
            let mut shared = shared.lock();
            shared.0.records_read += result.records_read;
            shared.0.passing_faults += u64::from(passed);
            if let Some(problem) = result.problem {
                Progress::add(&progress.problems, 1);
                shared.1.add(names::pack(id), problem, result.damaged);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("checking does not panic"))
    })
}

fn read_pack(
    repository: &Repository,
    sealer: &mut Sealer<'_>,
    plain: &mut Vec<u8>,
    id: &PackId,
    pack: &PackState,
) -> Result<PackResult> {
    let mut result = PackResult::default();
    let bytes = match repository.store().get(&names::pack(id)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == crate::store::ErrorKind::NotFound => {
            result.problem = Some("it is missing".to_owned());
            result.damaged = pack.entries.iter().map(|entry| entry.id).collect();
            return Ok(result);
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
    for entry in &pack.entries {
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
    Ok(result)
}
