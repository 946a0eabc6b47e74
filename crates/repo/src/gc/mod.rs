//! Collection: finds what no listed snapshot needs, lets it go through the log, and deletes it afterwards (docs/design/0002,
//! section 9).
//!
//! Invariants:
//! - Nothing is deleted that an entry has not retired or removed before. Whether it may is the append's to check, against every
//!   entry since the marks were made; on a conflict the marks are brought up to date, and the decision is taken anew.
//! - It may be killed between any two requests, and run twice at once: the log decides, and what is left over is the next one's.
//! - Where something that is needed cannot be found, nothing is let go.
//! - Packs are rewritten, and verified by that, before any are let go; and what was found damaged is remembered. So no copy goes
//!   for the sake of one that this or an earlier run found damaged.
//! - Memory: 12 bytes and a bit for each place of a record in the index, and what a batch of a repack holds.
//!
//! `table` and `marks` find out what is needed, with `references` and `saved` as caches; `plan` decides; `repack` and `merge` rewrite packs and
//! index segments; `sweep` lists and deletes.

mod marks;
mod merge;
mod plan;
mod references;
mod repack;
mod saved;
mod sweep;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use backstay_format::crypto::random;
use backstay_format::ids::{PackId, SegmentId, WriterId};
use backstay_format::log::Change;
use jiff::Timestamp;

use crate::checkpoint;
use crate::clock::timestamp_text;
use crate::error::{ErrorKind, RepoError, Result};
use crate::progress::Progress;
use crate::protocol::LetGo;
use crate::repository::{Append, Repository};
use crate::reserve;
use crate::store::Store;
use marks::Marks;
use plan::{Decision, Listing, Log};
use sweep::Sweep;
use table::PackUse;

/// Lost races, or entries that came between marks and append, before a collection leaves the rest to the next one.
const ATTEMPTS_MAX: u32 = 100;

/// How a collection is to go about it. None of it is about safety.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CollectOptions {
    /// How long what was condemned, or replaced by a repack, can still be read; by the store's times. 0 also ignores whether
    /// anybody is writing: a run that is overtaken mends itself or begins anew.
    pub grace_seconds: i64,
    /// Unused bytes that may stay in packs which are needed, as a share of the used ones.
    pub unused_max: f64,
    /// The most that packs to be rewritten may come to.
    pub repack_bytes_max: Option<u64>,
    /// One entry replaces packs that come to so much: what an interrupted collection has rewritten for nothing.
    pub batch_bytes: u64,
    /// No pack is begun to be rewritten after so long.
    pub seconds_max: Option<i64>,
    /// Packs younger than this are not rewritten unless they are mostly unused: a storage class bills for a minimum age.
    pub pack_age_min_seconds: i64,
    /// Says what would be done.
    pub dry_run: bool,
    /// The operator says that nothing else uses the repository, now or later with a state of now: what a store without
    /// create-if-absent needs.
    pub exclusive: bool,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            grace_seconds: 24 * 3600,
            unused_max: 0.05,
            repack_bytes_max: None,
            batch_bytes: 256 << 20,
            seconds_max: None,
            pack_age_min_seconds: 0,
            dry_run: false,
            exclusive: false,
        }
    }
}

/// A number of stored objects, and what they come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amount {
    pub objects: u64,
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// What a collection saw and did; of a dry run, what it would do.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct CollectReport {
    pub snapshots: u64,
    /// Packs that hold something needed, and in them what is not.
    pub needed: Amount,
    pub unused_bytes: u64,
    /// Newly found to be needed by nobody: readable until the grace is over.
    pub condemned: Amount,
    /// Condemned earlier, and needed again.
    pub reprieved: Amount,
    /// Let go by an entry of this run, rewritten ones not counted.
    pub retired: Amount,
    /// Rewritten, and what they became.
    pub repacked: Amount,
    pub repacked_into: Amount,
    /// Index segments before and after.
    pub segments_before: u64,
    pub segments_after: u64,
    /// Deleted packs, and other objects: index segments, heartbeats, leftovers.
    pub deleted: Amount,
    pub deleted_others: u64,
    /// Condemned or replaced packs whose grace is not over, or that a running backup may rely on.
    pub waiting: Amount,
    /// When the last of them can go, RFC 3339 UTC.
    pub waiting_until: Option<String>,
    /// Packs that no index segment names and that may be a running backup's.
    pub spared: Amount,
    /// The store refused to delete these: a retention period or missing permission. Tried again by every collection.
    pub refused: Amount,
    /// Packs that were found missing or damaged. They stay as they are, and other copies of what they hold are kept.
    pub damaged: Vec<PackId>,
    /// The store was full, so that nothing was rewritten.
    pub was_full: bool,
    /// Somebody else changed the repository faster than this collection: the rest is the next one's.
    pub is_unfinished: bool,
    /// It went on from what the last collection on this host knew, instead of finding out everything anew.
    pub is_incremental: bool,
    /// Tree nodes that snapshots need, and places of records in the index.
    pub nodes: u64,
    pub records: u64,
}

impl Repository {
    /// Collects what no listed snapshot needs.
    ///
    /// # Errors
    /// [`RepoError::MissingRecord`] and other damage that keeps it from knowing what is needed: then nothing was let go. Whatever
    /// else fails, what was done is sound, and the next collection goes on.
    pub fn collect(&self, options: &CollectOptions, progress: &Progress) -> Result<CollectReport> {
        self.refuse_copy()?;
        let id = WriterId::new(random().map_err(RepoError::making("a collector's id"))?);
        let mut collection = Collection {
            repository: self,
            options,
            progress,
            id,
            sweep: Sweep::new(self, id),
            report: CollectReport::default(),
            own_segments: BTreeSet::new(),
            started: self.clock().now(),
        };
        let result = collection.run();
        collection.sweep.end();
        result?;
        Ok(collection.report)
    }
}

struct Collection<'r> {
    repository: &'r Repository,
    options: &'r CollectOptions,
    progress: &'r Progress,
    id: WriterId,
    sweep: Sweep<'r>,
    report: CollectReport,
    /// Put by this run, so that its listing does not show them: one that it merged away again is deleted like others.
    own_segments: BTreeSet<SegmentId>,
    started: Timestamp,
}

impl Collection<'_> {
    /// Finds out what the store can do, and tells others that this collection runs.
    fn begin(&mut self) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let store = self.repository.store();
        if !self.options.exclusive {
            let capabilities = relieved(store, &mut self.report, || Ok(store.probe()?))?;
            if !capabilities.create_if_absent {
                return Err(RepoError::NeedsExclusiveUse { location: store.location().to_owned() });
            }
        }
        relieved(store, &mut self.report, || self.sweep.begin())
    }

    fn run(&mut self) -> Result<()> {
        match self.begin() {
            // Not even a heartbeat has room. What was let go needs none to be deleted, and makes some.
            Err(error) if error.kind() == ErrorKind::Full => {
                self.report.was_full = true;
                let listing = self.sweep.list()?;
                self.repository.catch_up()?;
                self.delete(&listing, &mut [])?;
                self.begin()?;
            }
            begun => begun?,
        }
        let listing = self.sweep.list()?;
        // After the listings: what they do not show yet is named by a later entry, or by none.
        self.repository.catch_up()?;
        let mut marks = Marks::new(self.repository, self.progress, self.options.dry_run)?;
        self.suspect_what_is_not_there(&mut marks, &listing)?;
        // Before anything is let go for the sake of a copy elsewhere: what is rewritten is verified.
        if !self.report.was_full {
            match self.rewrite(&mut marks, &listing) {
                Err(error) if error.kind() == ErrorKind::Full => self.report.was_full = true,
                done => done?,
            }
        }
        let mut retired_now = match self.let_go(&mut marks, &listing) {
            // What earlier entries let go makes room.
            Err(error) if error.kind() == ErrorKind::Full => {
                self.delete(&listing, &mut [])?;
                return Err(error);
            }
            retired => retired?,
        };
        self.report.was_full |= marks.was_full();
        self.sum_up(&marks);
        // And gives up their memory, which a merge needs.
        marks.save();
        if !self.report.was_full {
            match self.merge_segments() {
                Err(error) if error.kind() == ErrorKind::Full => self.report.was_full = true,
                done => done?,
            }
        }
        if !(self.options.dry_run || self.report.was_full) {
            self.repository.put_missed_checkpoint();
        }
        self.delete(&listing, &mut retired_now)?;
        if !self.options.dry_run {
            reserve::put_back(self.repository.store())?;
        }
        Ok(())
    }

    /// A pack that is missing or cut, or that a check found damaged, is nobody's chosen copy: another one must not be let go for its sake.
    fn suspect_what_is_not_there(&mut self, marks: &mut Marks<'_>, listing: &Listing) -> Result<()> {
        let is_whole = |pack: &PackUse| listing.packs.get(&pack.id).is_some_and(|(size, _)| *size == pack.size_bytes);
        let mut suspects = Vec::new();
        // A listing may be late; the object decides.
        for pack in marks.packs().iter().filter(|pack| !is_whole(pack)) {
            match self.repository.store().head(&crate::names::pack(&pack.id)) {
                Ok(found) if found.size_bytes == pack.size_bytes => {}
                Err(error) if error.kind() != crate::store::ErrorKind::NotFound => return Err(error.into()),
                _ => suspects.push(pack.id),
            }
        }
        if !suspects.is_empty() {
            // Another collection may have let them go since.
            marks.catch_up()?;
            suspects.retain(|id| marks.pack(id).is_some_and(|pack| !pack.is_gone));
            marks.suspect(&suspects)?;
        }
        let Some(known) = self.repository.damaged()? else { return Ok(()) };
        marks.prefer_others(&known.packs.into_keys().collect::<Vec<_>>());
        marks.choose()
    }

    /// Appends what is condemned, reprieved, retired and removed. Gives back what may be deleted at once.
    fn let_go(&mut self, marks: &mut Marks<'_>, listing: &Listing) -> Result<Vec<PackId>> {
        for _ in 0..ATTEMPTS_MAX {
            // Or a later collection would trust what this one did not, with the other copy gone.
            match marks.save_damage() {
                Err(error) if error.kind() == ErrorKind::Full => {
                    self.report.was_full = true;
                    break;
                }
                saved => saved?,
            }
            // What was rewritten is summed up once; and whatever failed on the way here, nothing is decided by older marks.
            marks.sum_up()?;
            let decision = self.decide(marks, listing)?;
            if decision.is_empty() || self.options.dry_run {
                self.tell(&decision, marks, listing);
                return Ok(Vec::new());
            }
            let change = Change {
                packs_condemned: decision.condemn.clone(),
                packs_reprieved: decision.reprieve.clone(),
                packs_retired: [&decision.retire[..], &decision.unindexed].concat(),
                segments_removed: decision.remove_segments.clone(),
                ..Change::default()
            };
            let append = Append::new(self.id, "gc", marks.base());
            let repository = self.repository;
            // A merge must not spend what this gives up.
            let appended =
                relieved(repository.store(), &mut self.report, || repository.append(&append, &|_| change.clone()));
            match appended {
                Ok(_) => {
                    self.tell(&decision, marks, listing);
                    marks.catch_up()?;
                    return Ok(change.packs_retired);
                }
                Err(RepoError::Overtaken(violations)) => {
                    tracing::debug!(?violations, "the marks are brought up to date");
                    marks.catch_up()?;
                }
                Err(error) => return Err(error),
            }
        }
        self.report.is_unfinished = true;
        Ok(Vec::new())
    }

    fn decide(&mut self, marks: &Marks<'_>, listing: &Listing) -> Result<Decision> {
        let state = marks.state();
        let mut condemned = BTreeMap::new();
        for (pack, slot) in state.condemned() {
            condemned.insert(*pack, (*slot, self.sweep.entry_time(*slot)?));
        }
        let let_go = self.repository.let_go();
        let log = Log {
            condemned: &condemned,
            is_valid_segment: &|id| state.segments().contains_key(id),
            is_pack_let_go: &|id| let_go.packs.contains_key(id),
            is_segment_let_go: &|id| let_go.segments.contains_key(id),
        };
        Ok(plan::decide(self.options, marks.packs(), listing, &log))
    }

    /// Puts a decision into the report.
    fn tell(&mut self, decision: &Decision, marks: &Marks<'_>, listing: &Listing) {
        let amount = |packs: &[PackId]| {
            let mut amount = Amount::default();
            for id in packs {
                let listed = listing.packs.get(id).map(|(size_bytes, _)| *size_bytes);
                amount.add(listed.or_else(|| marks.pack(id).map(|pack| pack.size_bytes)).unwrap_or(0));
            }
            amount
        };
        self.report.condemned = amount(&decision.condemn);
        self.report.reprieved = amount(&decision.reprieve);
        self.report.retired = amount(&[&decision.retire[..], &decision.unindexed].concat());
        self.report.spared = amount(&decision.spared);
        let waiting: Vec<_> = decision.waiting.iter().map(|(pack, _)| *pack).collect();
        self.report.waiting = amount(&waiting);
        self.wait_until(decision.waiting.iter().map(|(_, due)| *due).max());
        if !decision.condemn.is_empty() {
            let condemned = self.report.condemned;
            self.report.waiting.objects += condemned.objects;
            self.report.waiting.bytes += condemned.bytes;
            self.wait_until(Some(listing.now + self.options.grace_seconds));
        }
    }

    fn wait_until(&mut self, due: Option<i64>) {
        let due = due.and_then(|due| Timestamp::from_second(due).ok()).map(timestamp_text);
        // Texts of one form sort as times do.
        self.report.waiting_until = self.report.waiting_until.take().max(due);
    }

    fn sum_up(&mut self, marks: &Marks<'_>) {
        self.report.snapshots = marks.state().listed().len() as u64;
        self.report.is_incremental = marks.is_incremental();
        self.report.nodes = marks.nodes();
        self.report.records = marks.rows();
        self.report.damaged = marks.damaged().iter().copied().collect();
        for pack in marks.packs().iter().filter(|pack| !pack.is_gone && !pack.is_garbage()) {
            self.report.needed.add(pack.size_bytes);
            self.report.unused_bytes += pack.unused_bytes();
        }
    }

    /// Deletes whatever entries let go and whose grace is over.
    fn delete(&mut self, listing: &Listing, retired_now: &mut [PackId]) -> Result<()> {
        let let_go = self.repository.let_go();
        let mut names = Vec::new();
        let mut sizes = BTreeMap::new();
        retired_now.sort_unstable();
        let index = self.repository.index()?;
        for (id, &(size_bytes, _)) in &listing.packs {
            let Some(slot) = let_go.packs.get(id) else { continue };
            let is_due = self.options.grace_seconds == 0 || retired_now.binary_search(id).is_ok();
            let due = if is_due { listing.now } else { self.due(id, *slot, &let_go)? };
            if due > listing.now {
                self.report.waiting.add(size_bytes);
                self.wait_until(Some(due));
            } else {
                sizes.insert(crate::names::pack(id), size_bytes);
            }
        }
        // What the index still names is no garbage, whatever led here.
        let readable = index.packs()?.into_iter().filter(|pack| pack.live).map(|pack| crate::names::pack(&pack.id));
        for name in readable {
            if sizes.remove(&name).is_some() {
                tracing::warn!(pack = name, "a retired pack is named by a newer index segment and is left alone");
            }
        }
        names.extend(sizes.keys().cloned());
        let state = self.repository.state();
        let segments = listing.segments.keys().chain(&self.own_segments);
        let segments = segments.filter(|id| let_go.segments.contains_key(id) && !state.segments().contains_key(id));
        let segments: Vec<_> = segments.map(crate::names::segment).collect();
        if self.options.dry_run {
            for size_bytes in sizes.values() {
                self.report.deleted.add(*size_bytes);
            }
            self.report.deleted_others = segments.len() as u64;
            return Ok(());
        }
        let refused = self.sweep.delete(&names)?;
        self.report.refused = Amount::default();
        for (name, size_bytes) in &sizes {
            let amount = if refused.contains(name) { &mut self.report.refused } else { &mut self.report.deleted };
            amount.add(*size_bytes);
        }
        let checkpoints = checkpoint::list(self.repository.store())?;
        // After the listing: one that others put meanwhile is not of another log.
        self.repository.catch_up()?;
        let outdated = checkpoint::outdated(checkpoints, self.repository.base());
        let others = [segments, self.sweep.leftovers()?, outdated].concat();
        let refused = self.sweep.delete(&others)?;
        self.report.deleted_others += (others.len() - refused.len()) as u64;
        self.report.refused.objects += refused.len() as u64;
        Ok(())
    }

    /// When a retired pack may be deleted: what was condemned long before, at once; what a repack replaced, after the grace.
    fn due(&mut self, pack: &PackId, retired: u64, let_go: &LetGo) -> Result<i64> {
        let retired_at = self.sweep.entry_time(retired)?;
        let Some(condemned) = let_go.condemned.get(pack).filter(|slot| **slot < retired) else {
            return Ok(retired_at + self.options.grace_seconds);
        };
        let condemned_at = self.sweep.entry_time(*condemned)?;
        Ok((condemned_at + self.options.grace_seconds).max(retired_at))
    }

    fn is_out_of_time(&self) -> bool {
        let seconds = self.repository.clock().now().duration_since(self.started).as_secs();
        self.options.seconds_max.is_some_and(|most| seconds >= most)
    }
}

/// Does the work; where the store is full, once more without its reserve, which is noted.
fn relieved<T>(store: &Store, report: &mut CollectReport, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if error.kind() == ErrorKind::Full && reserve::give_up(store)? => {
            report.was_full = true;
            work()
        }
        done => done,
    }
}
