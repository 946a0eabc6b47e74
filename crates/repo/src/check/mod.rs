//! Proving that what is listed can be read: by list and sizes, by structure, or byte by byte.
//!
//! Findings name the damaged object, what is wrong with it, every snapshot and path that it touches, and what mends it. Nobody
//! waits, and no cache is trusted: log and index segments are read from the store. Memory goes with the number of packs, and 8
//! bytes a record; never with what a pack or a snapshot holds.
//!
//! [`check`] only looks. [`audit`] also saves what it saw, so that many short runs cover everything over time.

mod impact;
mod list;
mod packs;
mod present;
mod saved;
mod scrub;
mod select;

pub use backstay_format::audit::{Damaged, Lost};
pub use scrub::{ScrubOptions, ScrubReport, audit_scrub, scrub};
pub use select::{Coverage, Limits, Subset};

use std::collections::{BTreeMap, BTreeSet, HashSet};

use backstay_format::audit::Depth;
use backstay_format::ids::{ChunkId, PackId, SnapshotId};
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::References;
use parking_lot::Mutex;

use crate::closure::{self, Role};
use crate::crew;
use crate::error::{ErrorKind, RepoError, Result, with_causes};
use crate::index::Location;
use crate::names;
use crate::progress::Progress;
use crate::protocol::LetGo;
use crate::repository::Repository;
use list::Inventory;
use packs::{Looked, Plan};
use present::Present;
use saved::Saved;
use select::Chosen;

/// How deep a check goes; each level includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every object that is needed exists, with the right size; the small ones are read.
    List,
    /// Every snapshot's tree is complete, and every chunk it names is in the index.
    Structure,
    /// The bytes of packs are those that their names say.
    Bytes,
    /// Every record in them is decrypted, decompressed and hashed.
    Full,
}

impl Level {
    /// How packs are read, if they are.
    fn depth(self) -> Option<Depth> {
        match self {
            Self::List | Self::Structure => None,
            Self::Bytes => Some(Depth::Bytes),
            Self::Full => Some(Depth::Full),
        }
    }
}

/// What an audit covers.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    pub level: Level,
    /// Which packs are read at level bytes and full.
    pub limits: Limits,
    /// This snapshot and what it needs, instead of everything.
    pub snapshot: Option<SnapshotId>,
    pub threads: usize,
}

/// One damaged or missing thing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The stored object.
    pub object: String,
    pub problem: String,
    /// Records in it that cannot be read, or may not be, and have no other copy.
    pub records: u64,
    pub snapshots: Vec<SnapshotId>,
    /// Up to [`PATHS_MAX`] of the files concerned.
    pub paths: Vec<String>,
    pub paths_more: u64,
    /// Commands that mend it, the best first; each works alone.
    pub mend: Vec<&'static str>,
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
    /// At a copy: those behind a missing one, which do not count. A copying is not finished, or an entry is lost.
    pub log_entries_behind_gap: u64,
    pub records: u64,
    /// Tree and content nodes read.
    pub nodes: u64,
    /// Packs that were read whole by this run, and their bytes.
    pub packs_read: u64,
    pub bytes_read: u64,
    /// Records that were decrypted and hashed.
    pub records_read: u64,
    /// Packs that no valid segment names, and their bytes: a collection will look at them.
    pub unused_packs: u64,
    pub unused_bytes: u64,
    /// A first read that failed and a second that did not: the disk or the network wants watching.
    pub passing_faults: u64,
    pub findings: Vec<Finding>,
    /// How much was verified when, by this run and those before; at level bytes and at level full.
    pub coverage: Vec<Coverage>,
}

impl CheckReport {
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What is known to be unreadable, before it is known whom it touches.
#[derive(Debug, Default)]
struct Damage {
    /// Object and problem, of all but packs.
    objects: BTreeMap<String, String>,
    packs: BTreeMap<PackId, PackDamage>,
}

#[derive(Debug)]
struct PackDamage {
    problem: String,
    lost: Lost,
}

impl Damage {
    fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.packs.is_empty()
    }

    fn has_segment(&self) -> bool {
        self.objects.keys().any(|object| names::segment_of(object).is_some())
    }

    fn add(&mut self, object: impl Into<String>, problem: impl Into<String>) {
        self.objects.entry(object.into()).or_insert_with(|| problem.into());
    }

    /// A pack of which nothing more is known.
    fn add_pack(&mut self, id: PackId, problem: impl Into<String>) {
        self.packs.entry(id).or_insert_with(|| PackDamage { problem: problem.into(), lost: Lost::All });
    }

    /// Whether this pack's copy of the record cannot be read, or may not be.
    fn is_lost(&self, pack: &PackId, record: &ChunkId) -> bool {
        self.packs.get(pack).is_some_and(|damage| damage.lost.contains(record))
    }
}

/// Checks the whole repository, as if nobody had ever checked it, and saves nothing.
///
/// # Errors
/// Only what keeps the check from going on; damage is in the report.
pub fn check(repository: &Repository, level: Level, threads: usize, progress: &Progress) -> Result<CheckReport> {
    let options = AuditOptions { level, limits: Limits::default(), snapshot: None, threads };
    let saved = saved::read(repository.store(), Some(repository.keys()))?.without_verdicts();
    let mut run = Run::new(repository, &options, progress, saved);
    run.go()?;
    Ok(run.report)
}

/// Checks what the options say, goes on where earlier audits stopped, and saves what it saw; also when it is interrupted.
///
/// # Errors
/// What keeps the check from going on. The second result says why nothing could be saved, which changes nothing of the report.
pub fn audit(
    repository: &Repository,
    options: &AuditOptions,
    progress: &Progress,
) -> Result<(CheckReport, Option<RepoError>)> {
    let saved = saved::read(repository.store(), Some(repository.keys()))?;
    let mut run = Run::new(repository, options, progress, saved);
    let outcome = run.go();
    let Run { report, saved, seen, .. } = run;
    let save = || {
        if !repository.may_write() {
            return Err(RepoError::ReadOnly);
        }
        saved.save(repository.store(), Some(repository.keys()))?;
        match seen {
            Some(seen) => repository.amend_damaged(&mut |damaged| seen.amend(damaged, &repository.let_go())),
            None => Ok(()),
        }
    };
    let unsaved = save().err();
    outcome?;
    Ok((report, unsaved))
}

/// One check under way.
struct Run<'r> {
    repository: &'r Repository,
    options: &'r AuditOptions,
    progress: &'r Progress,
    /// Seconds since 1970, when it began.
    now: u64,
    saved: Saved,
    snapshots: Vec<SnapshotRecord>,
    report: CheckReport,
    damage: Damage,
    /// Nothing until the end.
    seen: Option<Seen>,
    /// A segment is damaged that nobody on this host has read before: no record is found.
    index_is_broken: bool,
    /// The walk met a record that cannot be read.
    something_is_absent: bool,
}

/// Nodes that are opened together, and those of them that one thread reads one after another.
const WAVE_NODES: usize = 512;
const PART_NODES: usize = 16;

/// A segment that vanishes while it is listed was replaced: the newer state is listed then.
const ROUNDS_MAX: u32 = 4;

impl<'r> Run<'r> {
    fn new(repository: &'r Repository, options: &'r AuditOptions, progress: &'r Progress, saved: Saved) -> Self {
        Self {
            repository,
            options,
            progress,
            now: repository.clock().now().as_second().max(0).cast_unsigned(),
            saved,
            snapshots: Vec::new(),
            report: CheckReport::default(),
            damage: Damage::default(),
            seen: None,
            index_is_broken: false,
            something_is_absent: false,
        }
    }

    fn go(&mut self) -> Result<()> {
        let inventory = self.list()?;
        for (object, problem) in &self.saved.damaged {
            self.damage.add(object.clone(), format!("{problem}; what it says counts no more"));
        }
        if !self.damage.has_segment() {
            self.saved.retain(|pack| !inventory.rows(pack).is_empty());
        }
        self.add_known(&inventory);
        if self.options.level >= Level::Structure {
            self.read_packs(&inventory)?;
        }
        let mut present = None;
        if self.options.level >= Level::Structure && !self.index_is_broken {
            present = Some(self.structure(&inventory)?);
        }
        // At level list trees are walked only where something is damaged.
        let are_snapshots_examined =
            !self.index_is_broken && (present.is_some() || !self.damage.is_empty() || self.something_is_absent);
        let touched = impact::findings(self, &inventory, present)?;
        self.seen = Some(self.seen(&inventory, touched, are_snapshots_examined));
        let coverage = |depth| Coverage::of(inventory.sizes(), &self.saved, depth, self.now);
        self.report.coverage = [Depth::Bytes, Depth::Full].map(coverage).into();
        Ok(())
    }

    /// Lists what there is, and sees to it that records can be found.
    fn list(&mut self) -> Result<Inventory> {
        for round in 1.. {
            (self.report, self.damage) = (CheckReport::default(), Damage::default());
            // Built first where it is not there: later there is less memory for it.
            self.index_is_broken = match self.repository.index() {
                Ok(_) => false,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => true,
                Err(error) => return Err(error),
            };
            let inventory = list::list(self.repository, &mut self.report, &mut self.damage)?;
            self.snapshots = self.repository.snapshots();
            if let Some(wanted) = self.options.snapshot {
                self.snapshots.retain(|snapshot| snapshot.id == wanted);
                if self.snapshots.is_empty() {
                    return Err(RepoError::NoSnapshot { spec: wanted.to_string() });
                }
            }
            self.report.snapshots = self.snapshots.len() as u64;
            let is_newer = || self.repository.catch_up().is_ok() && self.repository.base() > inventory.state.slot();
            if !self.damage.has_segment() || round == ROUNDS_MAX || !is_newer() {
                return Ok(inventory);
            }
        }
        unreachable!("rounds are counted")
    }

    /// Every place of a record that the index knows; none where it knows nothing at all.
    fn copies(&self, id: &ChunkId) -> Result<Vec<Location>> {
        if self.index_is_broken {
            return Ok(Vec::new());
        }
        self.repository.ask_index(|index| index.copies(id))
    }

    /// Damage that others saw, and that nobody has found mended since.
    fn add_known(&mut self, inventory: &Inventory) {
        let known = self.saved.known.as_ref();
        for rows in inventory.packs() {
            let id = rows[0].id;
            let since = self.saved.bad_since(&id);
            let lost = known.and_then(|known| known.packs.get(&id));
            if self.damage.packs.contains_key(&id) || since.is_none() && lost.is_none() {
                continue;
            }
            let at = since.map(|since| format!(" at {}", select::time_text(since))).unwrap_or_default();
            let problem = format!("it was found damaged{at}, and was not read since");
            let lost = lost.cloned().unwrap_or(Lost::All);
            self.damage.packs.insert(id, PackDamage { problem, lost });
        }
    }

    /// Reads packs: those that are known to be damaged, or whose sizes say so, and at the deeper levels as many as the limits allow.
    fn read_packs(&mut self, inventory: &Inventory) -> Result<()> {
        let needed = self.needed_packs(inventory)?;
        let is_wanted = |id: &PackId| needed.as_ref().is_none_or(|needed| needed.contains(id));
        let Some(depth) = self.options.level.depth() else {
            // What is not known exactly, so that no more is called lost than is.
            let is_vague = |(_, damage): &(&PackId, &PackDamage)| damage.lost == Lost::All && damage.problem != MISSING;
            let vague = self.damage.packs.iter().filter(is_vague).map(|(id, _)| *id).filter(is_wanted).collect();
            return self.examine(inventory, &vague, false);
        };
        let limits = &self.options.limits;
        let is_there = |id: &PackId| self.damage.packs.get(id).is_none_or(|damage| damage.problem != MISSING);
        let packs = inventory.sizes().filter(|(id, _)| is_wanted(id) && is_there(id));
        let is_bad = |id: &PackId| self.damage.packs.contains_key(id);
        let chosen = Chosen::new(packs, &is_bad, &self.saved, limits, depth, self.now);
        Progress::add(&self.progress.bytes_total, chosen.bytes());
        Progress::add(&self.progress.items_total, chosen.iter().count() as u64);
        self.progress.totals_known.store(true, std::sync::atomic::Ordering::Relaxed);
        let deadline = limits.max_duration.and_then(|limit| self.repository.clock().now().checked_add(limit).ok());
        self.examine(inventory, &chosen.bad.iter().map(|(id, _)| *id).collect(), false)?;
        let mut looked = Looked::default();
        let packs = chosen.others.iter().map(|(id, _)| inventory.rows(id)).collect();
        let plan = Plan { packs, depth, deadline, threads: self.options.threads };
        let outcome = packs::look(self.repository, &plan, self.progress, &mut looked);
        self.report.packs_read += (looked.good.len() + looked.suspects.len()) as u64;
        self.report.bytes_read += looked.bytes;
        self.report.records_read += looked.records;
        for id in looked.good {
            self.saved.note(id, depth, true, self.now);
        }
        let suspects = looked.suspects.into_iter().collect();
        outcome.and_then(|()| self.examine(inventory, &suspects, true))
    }

    /// Looks exactly at packs that something is wrong with; `again` if this run has read them before.
    fn examine(&mut self, inventory: &Inventory, packs: &BTreeSet<PackId>, again: bool) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        for examined in packs::examine(self.repository, inventory, packs, self.progress)? {
            let size_bytes = inventory.rows(&examined.id).first().map_or(0, |row| row.size_bytes);
            self.report.records_read += examined.records;
            if !again {
                self.report.packs_read += 1;
                self.report.bytes_read += size_bytes;
                Progress::add(&self.progress.bytes_done, size_bytes);
                Progress::add(&self.progress.items_done, 1);
            }
            let is_good = examined.damage.is_none();
            self.saved.note(examined.id, Depth::Full, is_good, self.now);
            if let Some(damage) = examined.damage {
                self.damage.packs.insert(examined.id, damage);
            } else {
                self.damage.packs.remove(&examined.id);
                self.report.passing_faults += u64::from(again);
            }
        }
        Ok(())
    }

    /// The packs that the one snapshot needs; nothing where all are wanted.
    fn needed_packs(&self, inventory: &Inventory) -> Result<Option<HashSet<PackId>>> {
        if self.options.snapshot.is_none() || self.options.level < Level::Bytes || self.index_is_broken {
            return Ok(None);
        }
        let mut present = Present::read(self.repository, inventory, &Damage::default())?;
        let mut reader = self.repository.reader()?;
        let mut needed = HashSet::new();
        closure::walk(
            self.snapshots.iter().flat_map(closure::roots),
            &mut |id, _| {
                if !present.contains(self, &Damage::default(), &id)? || !present.meet(&id) {
                    return Ok(false);
                }
                needed.extend(self.repository.ask_index(|index| index.lookup(&id))?.map(|location| location.pack));
                Ok(true)
            },
            // What cannot be read is told by the walk that follows.
            &mut |id| closure::references(&mut reader, id).or_else(|error| nothing_below(error).map(|(none, _)| none)),
        )?;
        Ok(Some(needed))
    }

    /// Walks every node of every snapshot once, and looks exactly at the packs whose nodes cannot be read.
    fn structure(&mut self, inventory: &Inventory) -> Result<Present> {
        let mut present = Present::read(self.repository, inventory, &self.damage)?;
        let mut unreadable = Vec::new();
        let (mut nodes, mut is_absent) = (0, false);
        // One for each thread.
        let readers = Mutex::new(Vec::new());
        let open_some = |ids: &&[ChunkId]| {
            let spare = readers.lock().pop();
            let mut reader = spare.map_or_else(|| self.repository.reader(), Ok)?;
            let open = |id| match closure::references(&mut reader, id) {
                Ok(references) => Ok((references, None)),
                Err(error) => nothing_below(error).map(|(none, problem)| (none, Some(problem))),
            };
            let opened: Result<Vec<_>> = ids.iter().map(open).collect();
            readers.lock().push(reader);
            opened
        };
        closure::walk_in_waves(
            self.snapshots.iter().flat_map(closure::roots),
            WAVE_NODES,
            &mut |id, role| {
                if self.progress.is_cancelled() {
                    return Err(RepoError::Interrupted);
                }
                // What is not there is traced to whom it touches later.
                if !present.contains(self, &self.damage, &id)? {
                    is_absent = true;
                    return Ok(false);
                }
                let is_new = role == Role::Node && present.meet(&id);
                nodes += u64::from(is_new);
                Ok(is_new)
            },
            &mut |ids| {
                let parts: Vec<&[ChunkId]> = ids.chunks(PART_NODES).collect();
                let opened = crew::map(self.repository.store(), self.options.threads, &parts, open_some)?;
                let opened = ids.iter().zip(opened.into_iter().flatten()).map(|(id, (references, problem))| {
                    unreadable.extend(problem.map(|problem| (*id, problem)));
                    references
                });
                Ok(opened.collect())
            },
        )?;
        self.report.nodes = nodes - unreadable.len() as u64;
        self.something_is_absent = is_absent;
        let mut suspects = BTreeSet::new();
        for (id, problem) in &unreadable {
            present.lose(*id);
            let copies = self.copies(id)?;
            let fresh = copies.iter().filter(|copy| !self.damage.packs.contains_key(&copy.pack)).map(|copy| copy.pack);
            let before = suspects.len();
            suspects.extend(fresh.filter(|pack| !inventory.rows(pack).is_empty()));
            if suspects.len() == before && !copies.iter().any(|copy| self.damage.is_lost(&copy.pack, id)) {
                self.damage.add(format!("record {id}"), problem);
            }
        }
        let known = self.damage.packs.len();
        self.examine(inventory, &suspects, false)?;
        if self.damage.packs.len() > known {
            // What else was in them is not there either. Never two tables in memory.
            drop(present);
            present = Present::read(self.repository, inventory, &self.damage)?;
            for (id, _) in &unreadable {
                present.lose(*id);
            }
        }
        Ok(present)
    }

    /// What is to be said of what the next backup must not rely on.
    fn seen(&self, inventory: &Inventory, touched: BTreeSet<SnapshotId>, are_snapshots_examined: bool) -> Seen {
        let known = self.saved.known.as_ref();
        let is_sound = |id: &PackId| {
            // Of what a lost segment named nobody knows anything.
            let may_be_hidden = self.damage.has_segment() && inventory.rows(id).is_empty();
            !may_be_hidden && !self.damage.packs.contains_key(id)
        };
        let examined =
            |id: &SnapshotId| are_snapshots_examined && self.snapshots.iter().any(|snapshot| snapshot.id == *id);
        Seen {
            slot: inventory.state.slot(),
            sound_packs: known.into_iter().flat_map(|it| it.packs.keys()).copied().filter(is_sound).collect(),
            sound_snapshots: known.into_iter().flat_map(|it| &it.snapshots).copied().filter(examined).collect(),
            damaged: Damaged {
                packs: self.damage.packs.iter().map(|(id, damage)| (*id, damage.lost.clone())).collect(),
                snapshots: touched,
            },
        }
    }
}

/// What a run has to say about the list of what is damaged.
struct Seen {
    /// The newest log entry that the run has taken into account.
    slot: u64,
    /// On the list when it began, looked at, and not damaged, or not there any more.
    sound_packs: BTreeSet<PackId>,
    sound_snapshots: BTreeSet<SnapshotId>,
    damaged: Damaged,
}

impl Seen {
    /// What others have put there meanwhile stays; and every snapshot where packs were let go meanwhile, as it may have been put
    /// there once more.
    fn amend(&self, list: &mut Damaged, let_go: &LetGo) {
        list.packs.retain(|id, _| !self.sound_packs.contains(id));
        let is_overtaken = let_go.packs.values().any(|slot| *slot > self.slot);
        list.snapshots.retain(|id| is_overtaken || !self.sound_snapshots.contains(id));
        list.packs.extend(self.damaged.packs.clone());
        list.snapshots.extend(&self.damaged.snapshots);
    }
}

const MISSING: &str = "it is missing";

/// What a walk goes on with where a node cannot be read, and why; other errors end it.
fn nothing_below(error: RepoError) -> Result<(References, String)> {
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) {
        return Ok((References { level: 0, chunks: Vec::new(), content: Vec::new() }, with_causes(&error)));
    }
    Err(error)
}
