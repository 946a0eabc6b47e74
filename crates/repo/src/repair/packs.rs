//! Saving what is intact in damaged packs: into new packs, which take the place of the old ones in one entry of the log.
//!
//! Every record that opens is saved, needed or not and whether or not it has another copy: so nothing that a backup commits
//! meanwhile can rest on what was left behind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::log::{Change, SegmentRecord};
use backstay_format::pack::{PackBuilder, PackKind, scan_records, verify_pack_name};
use backstay_format::record::{SealedRecord, Sealer};
use backstay_format::segment::{SEGMENT_ENTRIES_MAX, Segment, SegmentEntry};
use parking_lot::Mutex;

use super::survey::{BrokenSnapshot, Survey};
use super::{each_segment, new_writer, quarantine};
use crate::crew;
use crate::error::{RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::protocol::{self, Violation, WriterIntent};
use crate::repository::{Append, Repository};
use crate::salvage::stored;

/// Commits of others that may come between a look at the log and the entry.
const ATTEMPTS_MAX: u32 = 100;

/// Which packs are looked into, beside those whose size is wrong and those that a check found damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Known,
    /// All of them are read.
    All,
}

/// Damaged packs, and what their damage has cost.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PacksPlan {
    pub packs: Vec<PackDamage>,
    /// Those that a check found damaged, and that are intact after all.
    pub intact: Vec<PackId>,
    /// Whom it touches that some records can not be read from anywhere in this repository.
    pub snapshots: Vec<BrokenSnapshot>,
    #[serde(skip)]
    base: u64,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct PackDamage {
    pub id: PackId,
    pub problem: String,
    /// As it is stored now; nothing where it is missing.
    pub size_bytes: Option<u64>,
    /// Records in it that can be read: they are saved.
    pub records_intact: u64,
    /// Records that can be read neither here nor from another pack.
    pub records_lost: u64,
    /// Those that can be read: without all of them saved, the pack is not retired.
    #[serde(skip)]
    intact: HashSet<ChunkId>,
}

/// What was done.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct PacksRepair {
    pub packs_retired: u64,
    pub packs_added: u64,
    pub records_saved: u64,
    /// Damaged packs that stay as they are: not all that the plan had read in them could be read again. A later run retires them.
    pub not_retired: Vec<PackId>,
    /// Where the damaged bytes were copied to.
    pub quarantined: Vec<String>,
}

impl PacksPlan {
    /// Looks for damaged packs, and reads those.
    ///
    /// # Errors
    /// [`RepoError::BrokenIndex`] where an index segment cannot be read: `repair index` comes first.
    pub fn make(repository: &Repository, depth: Depth, threads: usize, progress: &Progress) -> Result<Self> {
        repository.refuse_copy()?;
        repository.catch_up()?;
        let base = repository.base();
        let state = repository.state();
        let mut sizes: BTreeMap<PackId, u64> = BTreeMap::new();
        each_segment(repository, &state, &mut |segment| {
            let valid = segment.packs.iter().filter(|pack| state.is_pack_valid_in(segment.base, &pack.id));
            sizes.extend(valid.map(|pack| (pack.id, pack.size_bytes)));
        })?;
        let mut suspects = wrong_sizes(repository, &sizes)?;
        let known = super::known_damage(repository)?;
        let known: BTreeSet<PackId> = known.packs.keys().filter(|id| sizes.contains_key(id)).copied().collect();
        suspects.extend(&known);
        if depth == Depth::All {
            suspects.extend(unlike_their_names(repository, &sizes, threads, progress)?);
        }
        let mut entries: HashMap<PackId, Vec<SegmentEntry>> = HashMap::new();
        if !suspects.is_empty() {
            each_segment(repository, &state, &mut |segment| {
                for entry in &segment.entries {
                    let pack = segment.packs[entry.pack as usize].id;
                    if suspects.contains(&pack) && state.is_pack_valid_in(segment.base, &pack) {
                        entries.entry(pack).or_default().push(*entry);
                    }
                }
            })?;
        }
        let mut plan = Self { packs: Vec::new(), intact: Vec::new(), snapshots: Vec::new(), base };
        let mut lost: HashMap<PackId, HashSet<ChunkId>> = HashMap::new();
        for id in suspects {
            let entries = entries.remove(&id).unwrap_or_default();
            let Some(found) = look_into(repository, &id, sizes[&id], &entries)? else {
                if known.contains(&id) {
                    plan.intact.push(id);
                }
                continue;
            };
            lost.insert(id, entries.iter().map(|entry| entry.id).filter(|id| !found.intact.contains(id)).collect());
            plan.packs.push(PackDamage {
                id,
                problem: found.problem,
                size_bytes: found.size_bytes,
                records_intact: found.intact.len() as u64,
                records_lost: 0,
                intact: found.intact,
            });
        }
        let mut all_lost: HashSet<ChunkId> = lost.values().flatten().copied().collect();
        for id in plan.packs.iter().flat_map(|pack| &pack.intact) {
            all_lost.remove(id);
        }
        if !all_lost.is_empty() {
            each_segment(repository, &state, &mut |segment| {
                for entry in &segment.entries {
                    let pack = segment.packs[entry.pack as usize].id;
                    if !lost.contains_key(&pack) && state.is_pack_valid_in(segment.base, &pack) {
                        all_lost.remove(&entry.id);
                    }
                }
            })?;
        }
        for pack in &mut plan.packs {
            pack.records_lost = lost[&pack.id].intersection(&all_lost).count() as u64;
        }
        if !all_lost.is_empty() {
            repository.rebuild_index()?;
            plan.snapshots = Survey::new(repository, all_lost)?.broken(progress)?;
        }
        Ok(plan)
    }

    /// Nothing is damaged.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// Copies damaged packs to the quarantine, saves what is intact in them, and appends the entry that retires them.
    ///
    /// # Errors
    /// [`RepoError::Overtaken`] where a collection took a new pack for garbage: nothing is lost, and the repair may be repeated.
    /// [`RepoError::NeedsExclusiveUse`] where the store lacks create-if-absent.
    pub fn run(&self, repository: &Repository, progress: &Progress) -> Result<PacksRepair> {
        if !self.packs.is_empty() {
            repository.require_order()?;
        }
        let mut done = PacksRepair::default();
        let mut rescue = Rescue::new(repository, self.base);
        let level = repository.config().compression_level;
        let mut sealer = Sealer::new(repository.keys(), level).map_err(RepoError::making("a reader"))?;
        Progress::add(&progress.items_total, self.packs.len() as u64);
        progress.totals_known.store(true, Ordering::Relaxed);
        for pack in &self.packs {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            // A second read where the first one gives less than the plan's did.
            for _ in 0..2 {
                let Some(bytes) = stored(repository.store(), &names::pack(&pack.id))? else { continue };
                let kept = quarantine(repository.store(), &names::pack(&pack.id), bytes.clone())?;
                if !done.quarantined.contains(&kept) {
                    done.quarantined.push(kept);
                }
                let mut pushed = Ok(());
                scan_records(&bytes, &mut |record| {
                    let verified = sealer.verified(&bytes[record.offset as usize..]);
                    verified.is_ok_and(|record| {
                        if pushed.is_ok() {
                            pushed = rescue.push(&record);
                        }
                        true
                    })
                });
                pushed?;
                if pack.intact.is_subset(&rescue.saved) {
                    break;
                }
            }
            rescue.finish_packs()?;
            Progress::add(&progress.items_done, 1);
        }
        rescue.finish_segment()?;
        let not_saved = self.packs.iter().filter(|pack| !pack.intact.is_subset(&rescue.saved));
        done.not_retired = not_saved.map(|pack| pack.id).collect();
        let saved: Vec<_> = self.packs.iter().map(|pack| pack.id).filter(|id| !done.not_retired.contains(id)).collect();
        if let Some(retired) = self.append(repository, &rescue, &saved)? {
            done.packs_retired = retired;
            done.packs_added = rescue.intent.own_packs.len() as u64;
            done.records_saved = rescue.saved.len() as u64;
        }
        repository.amend_damaged(&mut |damaged| {
            for id in saved.iter().chain(&self.intact) {
                damaged.packs.remove(id);
            }
        })?;
        Ok(done)
    }

    /// Retires packs of which everything is saved. Gives their number; nothing where others have retired all of them.
    fn append(&self, repository: &Repository, rescue: &Rescue<'_>, saved: &[PackId]) -> Result<Option<u64>> {
        let writer = new_writer()?;
        let mut base = self.base;
        for _ in 0..ATTEMPTS_MAX {
            repository.catch_up()?;
            let later = repository.changes_after(base);
            protocol::check_writer(&rescue.intent, base, later.iter().map(|(slot, change)| (*slot, change)))
                .map_err(RepoError::Overtaken)?;
            // No entry in between can need more of the old packs than was saved: that is all that can be read of them.
            base = later.last().map_or(base, |(slot, _)| *slot);
            let let_go = &repository.let_go().packs;
            let packs_retired: Vec<_> = saved.iter().copied().filter(|id| !let_go.contains_key(id)).collect();
            if packs_retired.is_empty() {
                return Ok(None);
            }
            let retired = packs_retired.len() as u64;
            self.note_broken(repository, &later)?;
            let change = Change { packs_retired, segments_added: rescue.segments.clone(), ..Change::default() };
            let append = Append { intent: &rescue.intent, ..Append::new(writer, "repair packs", base) };
            match repository.append(&append, &|_| change.clone()) {
                Ok(_) => return Ok(Some(retired)),
                // Somebody else's entry came in between.
                Err(RepoError::Overtaken(violations))
                    if violations.iter().all(|violation| matches!(violation, Violation::MarksOutdated { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(RepoError::Invalid(format!("the log was busy: {ATTEMPTS_MAX} appends in a row came too late")))
    }

    /// Before the entry: until these are repaired, no backup may take their trees over. What was committed since the plan was made
    /// may rest on what is lost as well; a check says whether it does.
    fn note_broken(&self, repository: &Repository, later: &[(u64, Change)]) -> Result<()> {
        let is_any_lost = self.packs.iter().any(|pack| pack.records_lost > 0);
        let changes = later.iter().map(|(_, change)| change).filter(|_| is_any_lost);
        let later = changes.flat_map(|change| {
            change.snapshots_added.iter().map(|snapshot| snapshot.id).chain(change.snapshots_restored.iter().copied())
        });
        let broken: Vec<_> = self.snapshots.iter().map(|snapshot| snapshot.id).chain(later).collect();
        repository.amend_damaged(&mut |damaged| damaged.snapshots.extend(&broken))
    }
}

/// Packs that a listing does not show with the size that the index says.
pub(super) fn wrong_sizes(repository: &Repository, sizes: &BTreeMap<PackId, u64>) -> Result<BTreeSet<PackId>> {
    let mut wrong: BTreeSet<PackId> = sizes.keys().copied().collect();
    for object in repository.store().list(names::PACKS)? {
        if let Some(id) = names::pack_of(&object.name)
            && sizes.get(&id) == Some(&object.size_bytes)
        {
            wrong.remove(&id);
        }
    }
    if !wrong.is_empty() {
        // A collection may have deleted them since the state was read.
        repository.catch_up()?;
        let let_go = &repository.let_go().packs;
        wrong.retain(|id| !let_go.contains_key(id));
    }
    Ok(wrong)
}

/// Packs whose bytes are not those that their names say.
fn unlike_their_names(
    repository: &Repository,
    sizes: &BTreeMap<PackId, u64>,
    threads: usize,
    progress: &Progress,
) -> Result<Vec<PackId>> {
    let packs: Vec<_> = sizes.iter().collect();
    Progress::add(&progress.bytes_total, sizes.values().sum());
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some((id, size_bytes)) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            if stored(repository.store(), &names::pack(id))?.is_none_or(|bytes| verify_pack_name(**id, &bytes).is_err())
            {
                found.lock().push(**id);
            }
            Progress::add(&progress.bytes_done, **size_bytes);
        }
        Ok(())
    };
    crew::work(repository.store(), threads, &work)?;
    Ok(found.into_inner())
}

/// What is left of a damaged pack.
struct Remains {
    problem: String,
    size_bytes: Option<u64>,
    intact: HashSet<ChunkId>,
}

/// Nothing where the pack is intact, at the second read at the latest, or was let go.
fn look_into(
    repository: &Repository,
    id: &PackId,
    size_bytes: u64,
    entries: &[SegmentEntry],
) -> Result<Option<Remains>> {
    let level = repository.config().compression_level;
    let mut sealer = Sealer::new(repository.keys(), level).map_err(RepoError::making("a reader"))?;
    let mut plain = Vec::new();
    for is_last in [false, true] {
        let Some(bytes) = stored(repository.store(), &names::pack(id))? else {
            repository.catch_up()?;
            if repository.let_go().packs.contains_key(id) {
                return Ok(None);
            }
            if is_last {
                let problem = "it is missing".to_owned();
                return Ok(Some(Remains { problem, size_bytes: None, intact: HashSet::new() }));
            }
            continue;
        };
        let mut open = |offset: u32| sealer.open(bytes.get(offset as usize..).unwrap_or_default(), &mut plain);
        let mut problem = None;
        if bytes.len() as u64 != size_bytes {
            problem = Some(format!("it has {} bytes where {size_bytes} were stored", bytes.len()));
        } else if let Err(error) = verify_pack_name(*id, &bytes) {
            problem = Some(error.to_string());
        } else if let Some(entry) =
            entries.iter().find(|entry| !open(entry.offset).is_ok_and(|header| header.id == entry.id))
        {
            problem = Some(format!("record {} is not where the index says", entry.id));
        }
        let Some(problem) = problem else { return Ok(None) };
        if is_last {
            let records = scan_records(&bytes, &mut |record| open(record.offset).is_ok());
            let intact = records.iter().map(|record| record.id).collect();
            return Ok(Some(Remains { problem, size_bytes: Some(bytes.len() as u64), intact }));
        }
    }
    Ok(None)
}

/// New packs for what was saved: for each old one a new one, or two where it held records of both kinds.
struct Rescue<'r> {
    repository: &'r Repository,
    open: [Option<PackBuilder>; 2],
    segment: Segment,
    segments: Vec<SegmentRecord>,
    /// Own packs only: nothing else is relied upon.
    intent: WriterIntent,
    saved: HashSet<ChunkId>,
}

impl<'r> Rescue<'r> {
    fn new(repository: &'r Repository, base: u64) -> Self {
        let (open, saved) = ([None, None], HashSet::new());
        let intent = WriterIntent::default();
        Self { repository, open, segment: Segment::new(base), segments: Vec::new(), intent, saved }
    }

    fn push(&mut self, record: &SealedRecord<'_>) -> Result<()> {
        let header = record.header();
        if !self.saved.insert(header.id) {
            return Ok(());
        }
        let kind = PackKind::of(header.kind);
        let slot = &mut self.open[usize::from(kind == PackKind::Tree)];
        let builder = match slot {
            Some(builder) => builder,
            None => slot.insert(PackBuilder::new(kind, 1 << 20).map_err(RepoError::making("a pack"))?),
        };
        builder.push(record);
        Ok(())
    }

    fn finish_packs(&mut self) -> Result<()> {
        for builder in self.open.iter_mut().filter_map(Option::take) {
            let pack = builder.finish(self.repository.keys()).map_err(RepoError::making("a pack"))?;
            self.intent.own_packs.insert(pack.id);
            self.segment.push_pack(&pack);
            self.repository.store().put(&names::pack(&pack.id), pack.bytes.into())?;
        }
        if self.segment.entries.len() >= SEGMENT_ENTRIES_MAX / 2 { self.finish_segment() } else { Ok(()) }
    }

    fn finish_segment(&mut self) -> Result<()> {
        let next = Segment::new(self.segment.base);
        let mut segment = std::mem::replace(&mut self.segment, next);
        if !segment.packs.is_empty() {
            let (stored, _) = self.repository.put_segment(&mut segment)?;
            self.intent.own_segments.insert(stored.id);
            self.segments.push(stored);
        }
        Ok(())
    }
}
