//! Mending the index: what no readable segment says is read from the packs themselves.
//!
//! Works on log and store alone, where the index cannot be read at all. A pack that an entry ever let go is not looked at: its
//! bytes may be deleted at any time.

use std::collections::{BTreeSet, HashSet};

use backstay_format::FormatError;
use backstay_format::audit::Lost;
use backstay_format::ids::{ChunkId, PackId, SegmentId};
use backstay_format::log::{Change, SegmentRecord};
use backstay_format::pack::{
    PACK_FOOTER_LEN, PACK_HEADER_LEN, PackKind, PackedRecord, directory_place, open_directory, pack_kind, scan_records,
};
use backstay_format::record::Sealer;
use backstay_format::segment::{SEGMENT_ENTRIES_MAX, Segment, SegmentEntry, SegmentPack};

use super::{new_writer, quarantine};
use crate::crew;
use crate::error::{ErrorKind, RepoError, Result, with_causes};
use crate::names;
use crate::progress::Progress;
use crate::protocol::WriterIntent;
use crate::repository::{Append, Repository};
use crate::salvage::stored;
use crate::store;

/// The end of a pack that is asked for first: the directory of some 1,300 records.
const TAIL_BYTES: u64 = 64 << 10;
/// Directories that are fetched at once: small requests, which a remote store answers slowly but many at a time.
const FETCH_THREADS: usize = 16;
/// Looks at a log that others append to before this gives up.
const ATTEMPTS_MAX: u32 = 10;

/// What is wrong with the index, and what would be read to mend it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct IndexPlan {
    /// Valid segments that are missing or damaged.
    pub segments: Vec<BrokenSegment>,
    /// Stored packs that no readable segment names.
    pub packs: Vec<UnindexedPack>,
    /// Checkpoints that are damaged, or not what the log says. Nothing is lost with them.
    pub checkpoints: Vec<BrokenCheckpoint>,
    /// The newest log entry that this takes into account.
    #[serde(skip)]
    base: u64,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct BrokenSegment {
    pub id: SegmentId,
    pub problem: String,
    /// Places that it held, as the log says.
    pub entries: u64,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct BrokenCheckpoint {
    /// The log entry that it is of.
    pub slot: u64,
    pub problem: String,
}

#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct UnindexedPack {
    pub id: PackId,
    pub size_bytes: u64,
}

/// What was done.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct IndexRepair {
    pub segments_removed: u64,
    pub segments_added: u64,
    pub packs: u64,
    pub records: u64,
    /// Packs of which records can be read, but not the directory or the size that it needs: `repair packs` mends them. And those
    /// of which nothing could be read.
    pub damaged: Vec<DamagedPack>,
    pub checkpoints_removed: u64,
    /// Where damaged segments and checkpoints were copied to.
    pub quarantined: Vec<String>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct DamagedPack {
    pub id: PackId,
    pub problem: String,
    /// Records in it that opened; with none it is left alone.
    pub records: u64,
}

impl IndexPlan {
    /// Compares what the valid segments say with the packs that are stored.
    ///
    /// # Errors
    /// Only what keeps it from reading log and store; damage is in the plan.
    pub fn make(repository: &Repository) -> Result<Self> {
        repository.refuse_copy()?;
        for _ in 0..ATTEMPTS_MAX {
            // Before the log: what is stored from here on is no business of this repair.
            let stored = repository.store().list(names::PACKS)?;
            repository.catch_up()?;
            if let Some(mut plan) = Self::of(repository, &stored)? {
                let wrong = repository.wrong_checkpoints()?.into_iter();
                plan.checkpoints.extend(wrong.map(|(slot, problem)| BrokenCheckpoint { slot, problem }));
                return Ok(plan);
            }
        }
        Err(RepoError::Invalid("the index was replaced again and again while it was read: try again later".to_owned()))
    }

    /// Nothing where a segment is gone because a newer entry replaced it.
    fn of(repository: &Repository, stored: &[store::ObjectInfo]) -> Result<Option<Self>> {
        let state = repository.state();
        let mut named = HashSet::new();
        let mut segments = Vec::new();
        for (id, record) in state.segments() {
            match repository.fetch_segment(id) {
                Ok(segment) => named.extend(segment.packs.iter().map(|pack| pack.id)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                    if repository.catch_up()? {
                        return Ok(None);
                    }
                    segments.push(BrokenSegment { id: *id, problem: with_causes(&error), entries: record.entries });
                }
                Err(error) => return Err(error),
            }
        }
        let let_go = &repository.let_go().packs;
        let unindexed = |object: &store::ObjectInfo| {
            let id = names::pack_of(&object.name)?;
            let is_wanted = !named.contains(&id) && !let_go.contains_key(&id);
            is_wanted.then_some(UnindexedPack { id, size_bytes: object.size_bytes })
        };
        let mut packs: Vec<_> = stored.iter().filter_map(unindexed).collect();
        packs.sort_unstable_by_key(|pack| pack.id);
        Ok(Some(Self { segments, packs, checkpoints: Vec::new(), base: state.slot() }))
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.packs.is_empty() && self.checkpoints.is_empty()
    }

    /// The first of the packs that no segment names in which one of these records can be read.
    pub(super) fn pack_with(&self, repository: &Repository, records: &HashSet<ChunkId>) -> Result<Option<PackId>> {
        for packs in self.packs.chunks(FETCH_THREADS * 4) {
            for (pack, read) in packs.iter().zip(directories(repository, packs)?) {
                let found = or_scan(repository, pack, read)?.map(|read| read.records).unwrap_or_default();
                if found.iter().any(|record| records.contains(&record.id)) {
                    return Ok(Some(pack.id));
                }
            }
        }
        Ok(None)
    }

    /// Reads the packs, stores new segments, and appends the entry that puts them in the place of the broken ones.
    ///
    /// # Errors
    /// [`RepoError::Overtaken`] where a collection or another repair was faster: plan anew. Nothing is lost then.
    pub fn run(&self, repository: &Repository, progress: &Progress) -> Result<IndexRepair> {
        let mut done = IndexRepair::default();
        if self.is_empty() {
            return Ok(done);
        }
        for checkpoint in &self.checkpoints {
            let name = names::checkpoint(checkpoint.slot);
            if let Some(bytes) = stored(repository.store(), &name)? {
                done.quarantined.push(quarantine(repository.store(), &name, bytes)?);
                repository.store().delete(&name)?;
                done.checkpoints_removed += 1;
            }
        }
        for segment in &self.segments {
            let name = names::segment(&segment.id);
            if let Some(bytes) = stored(repository.store(), &name)? {
                done.quarantined.push(quarantine(repository.store(), &name, bytes)?);
            }
        }
        Progress::add(&progress.items_total, self.packs.len() as u64);
        Progress::add(&progress.bytes_total, self.packs.iter().map(|pack| pack.size_bytes).sum());
        progress.totals_known.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut new = NewSegments { repository, segment: Segment::new(self.base), stored: Vec::new() };
        let mut intent = WriterIntent::default();
        for packs in self.packs.chunks(FETCH_THREADS * 4) {
            for (pack, read) in packs.iter().zip(directories(repository, packs)?) {
                if progress.is_cancelled() {
                    return Err(RepoError::Interrupted);
                }
                if let Some(read) = or_scan(repository, pack, read)? {
                    if let Some(problem) = read.problem {
                        done.damaged.push(DamagedPack { id: pack.id, problem, records: read.records.len() as u64 });
                    }
                    if !read.records.is_empty() {
                        done.packs += 1;
                        done.records += read.records.len() as u64;
                        // Whoever retires one of them meanwhile must win: the segment would name it again.
                        intent.own_packs.insert(pack.id);
                        new.push(pack, read.kind, &read.records)?;
                    }
                } else {
                    repository.catch_up()?;
                    if !repository.let_go().packs.contains_key(&pack.id) {
                        let problem = "it is not there any more".to_owned();
                        done.damaged.push(DamagedPack { id: pack.id, problem, records: 0 });
                    }
                }
                Progress::add(&progress.items_done, 1);
                Progress::add(&progress.bytes_done, pack.size_bytes);
            }
        }
        new.store()?;
        let broken: BTreeSet<SegmentId> = self.segments.iter().map(|segment| segment.id).collect();
        if broken.is_empty() && new.stored.is_empty() {
            return Ok(done);
        }
        let change = Change {
            segments_added: new.stored,
            segments_removed: broken.iter().copied().collect(),
            ..Change::default()
        };
        let append = Append {
            intent: &intent,
            replaced_segments: &broken,
            ..Append::new(new_writer()?, "repair index", self.base)
        };
        // Before the entry: nobody may rely on what is lost in them for a moment.
        repository.amend_damaged(&mut |damaged| {
            for pack in done.damaged.iter().filter(|pack| pack.records > 0) {
                damaged.packs.entry(pack.id).or_insert_with(|| Lost::Records(BTreeSet::new()));
            }
        })?;
        repository.append(&append, &|_| change.clone())?;
        done.segments_removed = change.segments_removed.len() as u64;
        done.segments_added = change.segments_added.len() as u64;
        Ok(done)
    }
}

/// What a pack says of itself.
struct Directory {
    kind: PackKind,
    records: Vec<PackedRecord>,
    /// Why the records had to be looked for.
    problem: Option<String>,
}

/// The directories of packs, in their order; where one cannot be read, why.
fn directories(
    repository: &Repository,
    packs: &[UnindexedPack],
) -> Result<Vec<std::result::Result<Directory, String>>> {
    crew::map(repository.store(), FETCH_THREADS, packs, |pack| match directory(repository, pack) {
        Ok(directory) => Ok(Ok(directory)),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => Ok(Err(with_causes(&error))),
        Err(error) => Err(error),
    })
}

fn directory(repository: &Repository, pack: &UnindexedPack) -> Result<Directory> {
    let (store, name, size_bytes) = (repository.store(), names::pack(&pack.id), pack.size_bytes);
    let header = store.get_range(&name, 0..size_bytes.min(PACK_HEADER_LEN as u64))?;
    let tail_start = size_bytes.saturating_sub(TAIL_BYTES);
    let tail = store.get_range(&name, tail_start..size_bytes)?;
    let read = || -> std::result::Result<_, FormatError> {
        let kind = pack_kind(&header)?;
        let place = directory_place(size_bytes, &tail[tail.len().saturating_sub(PACK_FOOTER_LEN)..])?;
        Ok((kind, place))
    };
    let (kind, place) = read().map_err(RepoError::damaged(name.clone()))?;
    let sealed = match place.start.checked_sub(tail_start) {
        Some(start) => tail.slice(start as usize..(place.end - tail_start) as usize),
        None => store.get_range(&name, place.clone())?,
    };
    let records = open_directory(repository.keys(), &header, place.start, &sealed).map_err(RepoError::damaged(name))?;
    Ok(Directory { kind, records, problem: None })
}

/// What a pack says of itself, or what is found in it. Nothing where the pack is gone.
fn or_scan(
    repository: &Repository,
    pack: &UnindexedPack,
    read: std::result::Result<Directory, String>,
) -> Result<Option<Directory>> {
    read.map_or_else(|problem| scan(repository, pack, &problem), |read| Ok(Some(read)))
}

/// Looks for records in a pack whose directory cannot be read, and opens each. Nothing where the pack is gone.
fn scan(repository: &Repository, pack: &UnindexedPack, problem: &str) -> Result<Option<Directory>> {
    let Some(bytes) = stored(repository.store(), &names::pack(&pack.id))? else { return Ok(None) };
    let level = repository.config().compression_level;
    let mut sealer = Sealer::new(repository.keys(), level).map_err(RepoError::making("a reader"))?;
    let mut plain = Vec::new();
    let records = scan_records(&bytes, &mut |record| {
        let end = u64::from(record.offset) + u64::from(record.stored_len);
        end <= pack.size_bytes && sealer.open(&bytes[record.offset as usize..], &mut plain).is_ok()
    });
    let kind = records.first().map_or(PackKind::Data, |record| PackKind::of(record.kind));
    Ok(Some(Directory { kind, records, problem: Some(problem.to_owned()) }))
}

/// New segments, one in memory at a time.
struct NewSegments<'r> {
    repository: &'r Repository,
    segment: Segment,
    stored: Vec<SegmentRecord>,
}

impl NewSegments<'_> {
    /// All records of a pack go into one segment.
    fn push(&mut self, pack: &UnindexedPack, kind: PackKind, records: &[PackedRecord]) -> Result<()> {
        if self.segment.entries.len() + records.len() > SEGMENT_ENTRIES_MAX / 2 {
            self.store()?;
        }
        let position = self.segment.packs.len() as u32;
        self.segment.packs.push(SegmentPack { id: pack.id, kind, size_bytes: pack.size_bytes });
        self.segment.entries.extend(records.iter().map(|record| SegmentEntry {
            id: record.id,
            pack: position,
            offset: record.offset,
            stored_len: record.stored_len,
            raw_len: record.raw_len,
        }));
        Ok(())
    }

    fn store(&mut self) -> Result<()> {
        let next = Segment::new(self.segment.base);
        let mut segment = std::mem::replace(&mut self.segment, next);
        if !segment.packs.is_empty() {
            self.stored.push(self.repository.put_segment(&mut segment)?.0);
        }
        Ok(())
    }
}
