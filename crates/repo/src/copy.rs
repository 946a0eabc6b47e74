//! The same repository at a second place: its id and keys, the same bytes under the same names, and key slots of its own.
//!
//! Invariants (docs/design/0005):
//! - The log that counts at a copy is a prefix of the source's, and everything that the state at its end needs is there: packs,
//!   then index segments, then entries, the newest first. None of them counts before the first missing one is there.
//! - A place is marked as a copy before it has a config. Nothing is appended there, and nothing but a copy is copied into.
//! - What the source let go is deleted after the entry that says so counts at the copy, and never what its state needs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;

use backstay_format::config::{CopyMark, KeySlot, Secret};
use backstay_format::crypto::stored_hash;
use backstay_format::ids::{EntryHash, PackId, RepositoryId, SegmentId};
use backstay_format::log::Extra;
use bytes::Bytes;

use crate::checkpoint;
use crate::error::{ErrorKind, RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::protocol::{self, FIRST_SLOT, State};
use crate::repair::quarantine;
use crate::repository::{Repository, decode_entry, found, read_config, unlock};
use crate::salvage::stored;
use crate::store::{self, Created, Store};
use crate::transfer::{self, Outcome};

/// How long a copy keeps what its source let go: whoever has opened an older state there can read on meanwhile.
pub const GRACE_SECONDS_DEFAULT: u64 = 24 * 60 * 60;

/// Why a place is not copied to, or not appended to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    #[error("{location} holds a copy: nothing but its source's changes goes into it")]
    IsCopy { location: String },
    #[error("{location} holds repository {repository} itself, not a copy of it")]
    NoCopy { location: String, repository: RepositoryId },
    #[error("{location} holds repository {found}, not a copy of {repository}")]
    OtherRepository { location: String, found: RepositoryId, repository: RepositoryId },
    #[error("log entry {slot} at {location} is not the source's: one of the two has gone its own way")]
    Diverged { location: String, slot: u64 },
}

impl CopyError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::IsCopy { .. } => ErrorKind::Denied,
            Self::NoCopy { .. } | Self::OtherRepository { .. } | Self::Diverged { .. } => ErrorKind::Conflict,
        }
    }
}

/// What there is where a copy is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// No repository: [`Repository::make_copy`] comes first.
    Empty,
    /// A copy of this repository, however far it got.
    Copy,
}

/// How far a copying goes.
#[derive(Debug, Clone, Copy)]
pub struct CopyOptions {
    /// Only find out what there is to do.
    pub dry_run: bool,
    /// What was let go is deleted when the entry that says so has been at the copy for so long, by the copy's own times.
    pub grace_seconds: u64,
}

/// What a copying did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CopyReport {
    /// Entries of the log that counted at the copy before, and after.
    pub log_entries_before: u64,
    pub log_entries: u64,
    /// Copied now.
    pub packs: u64,
    pub pack_bytes: u64,
    pub index_segments: u64,
    /// Needed, and there already.
    pub packs_present: u64,
    /// Packs and index segments that the source let go.
    pub deleted: u64,
    pub deleted_bytes: u64,
    /// The same, to be deleted by a later run.
    pub waiting: u64,
    /// What could not be copied, because it is damaged or missing.
    pub damaged: Vec<DamagedObject>,
}

/// An object that is not what its name says, or not there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DamagedObject {
    pub location: String,
    pub object: String,
    pub problem: String,
}

/// Whether a place is marked as a copy. Its presence counts, not its bytes: a damaged mark still keeps appends away.
pub(crate) fn is_marked(store: &Store) -> Result<bool> {
    is_there(store, names::COPY)
}

fn is_there(store: &Store, name: &str) -> Result<bool> {
    match store.head(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == store::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Repository {
    /// What there is at a place, and whether this repository may be copied there.
    ///
    /// # Errors
    /// [`CopyError`] where there is something else than a copy of this repository.
    pub fn copy_place(&self, to: &Store) -> Result<Place> {
        let Some(config) = read_config(to)? else { return Ok(Place::Empty) };
        let (location, repository) = (to.location().to_owned(), self.config().repository);
        if config.repository() != repository {
            return Err(CopyError::OtherRepository { location, found: config.repository(), repository }.into());
        }
        let damaged = RepoError::damaged(format!("{} at {location}", names::CONFIG));
        config.authenticate(self.keys()).map_err(damaged)?;
        if !is_marked(to)? {
            return Err(CopyError::NoCopy { location, repository }.into());
        }
        Ok(Place::Copy)
    }

    /// Makes a copy without entries at an empty place. `own` opens this repository, `new` will open the copy.
    pub fn make_copy(&self, to: &Store, own: &Secret, new: &Secret, label: &str) -> Result<()> {
        let repository = self.config().repository;
        let master = unlock(self.store(), repository, own)?;
        let created = self.clock().now_text();
        let slot = KeySlot::seal(&master, new, repository, label, &created).map_err(RepoError::making("a key slot"))?;
        let mut config = self.config().clone();
        config.store.create_if_absent = to.probe()?.create_if_absent;
        let mark = CopyMark { repository, created, extra: Extra::new() };
        // One that an unfinished run left does as well.
        to.create(names::COPY, mark.to_text().into())?;
        to.put(&names::key(&slot.id), slot.bytes.into())?;
        found(to, &config, self.keys())
    }

    /// Copies what a copy lacks. `to` is [`Place::Copy`]; none with `dry_run` stands for a place where nothing is yet.
    ///
    /// Can be interrupted and begun again at any time, and run several times at once.
    ///
    /// # Errors
    /// [`CopyError::Diverged`], and nothing is copied, where the copy's log is not a prefix of this one. Packs that are damaged here
    /// are in the report: the copy then lacks what this repository lacks. A damaged index segment is an error, and the copy stays
    /// as it was.
    pub fn copy_to(&self, to: Option<&Store>, options: &CopyOptions, progress: &Progress) -> Result<CopyReport> {
        let held = to.map_or_else(|| Ok(Held::default()), Held::list)?;
        self.catch_up()?;
        let before = held.end();
        if let Some(to) = to {
            self.refuse_divergence(to, before)?;
        }
        let report = CopyReport { log_entries_before: before, ..CopyReport::default() };
        let mut copying = Copying { source: self, to, held, copied: HashSet::new(), progress, report };
        loop {
            let (state, packs) = copying.needs()?;
            if options.dry_run {
                copying.count(&state, &packs);
            } else if !copying.copy_packs(&state, &packs)? || !copying.copy_segments(&state)? {
                // Something was collected meanwhile: a newer entry says so.
                continue;
            }
            let is_present = |id: &&PackId| copying.held.packs.contains_key(id) && !copying.copied.contains(id);
            copying.report.packs_present = packs.keys().filter(is_present).count() as u64;
            copying.publish(&state, before, options)?;
            copying.copy_checkpoint(&state, options)?;
            copying.let_go(&state, &packs, before, options)?;
            return Ok(copying.report);
        }
    }

    /// Entries of this copy that do not count because one before them is missing: a copying is not finished, or an entry is lost.
    ///
    /// # Errors
    /// Where the log cannot be read; and at a place that is no copy, where there is such an entry.
    pub fn entries_behind_gap(&self) -> Result<Vec<u64>> {
        let listed = self.store().list(names::LOG)?;
        // What a listing lacks, and what one request did not find, may be there all the same.
        self.catch_up()?;
        while self.catch_up()? {}
        // A checkpoint, or what this host remembers, may have led past a gap: what counts are the entries from the first one on.
        let slots: BTreeSet<u64> = listed.iter().filter_map(|object| protocol::entry_slot(&object.name)).collect();
        let mut due = FIRST_SLOT;
        while slots.contains(&due) || is_there(self.store(), &protocol::entry_name(due))? {
            due += 1;
        }
        Ok(slots.into_iter().filter(|slot| *slot > due).collect())
    }

    /// Makes this copy a repository of its own: from here on it is appended to, and nothing is copied into it.
    ///
    /// No copying into it may be running. Entries behind a gap do not count here, and go. Gives the places in the quarantine where
    /// they are kept.
    ///
    /// # Errors
    /// [`CopyError::NoCopy`] where it is none.
    pub fn take_over(&self) -> Result<Vec<String>> {
        if !self.is_copy()? {
            let (location, repository) = (self.store().location().to_owned(), self.config().repository);
            return Err(CopyError::NoCopy { location, repository }.into());
        }
        let mut kept = Vec::new();
        for slot in self.entries_behind_gap()? {
            let name = protocol::entry_name(slot);
            if let Some(bytes) = stored(self.store(), &name)? {
                kept.push(quarantine(self.store(), &name, bytes)?);
                self.store().delete(&name)?;
            }
        }
        self.store().delete(names::COPY)?;
        // It may be of the source, which has the same id, and goes on past what counts here.
        self.forget_remembered_log();
        Ok(kept)
    }

    /// Damage of an entry is no other history.
    fn refuse_damaged(&self, to: &Store, slot: u64, stored: &[u8]) -> Result<()> {
        decode_entry(self.keys(), slot, stored).map(drop).map_err(|error| match error {
            RepoError::Damaged { object, source } => {
                RepoError::Damaged { object: format!("{object} at {}", to.location()), source }
            }
            error => error,
        })
    }

    /// Each entry names the one before: one that both have proves all before it.
    fn refuse_divergence(&self, to: &Store, end: u64) -> Result<()> {
        let is_equal = |slot: u64| -> Result<bool> {
            let name = protocol::entry_name(slot);
            let (theirs, ours) = (to.get(&name)?, self.store().get(&name)?);
            if theirs != ours {
                self.refuse_damaged(to, slot, &theirs)?;
            }
            Ok(theirs == ours)
        };
        let common = end.min(self.base());
        let (mut equal, mut different) = (0, common + 1);
        if common >= FIRST_SLOT && !is_equal(common)? {
            different = common;
            while different - equal > 1 {
                let middle = equal + (different - equal) / 2;
                if is_equal(middle)? {
                    equal = middle;
                } else {
                    different = middle;
                }
            }
        }
        if different > end {
            Ok(())
        } else {
            Err(CopyError::Diverged { location: to.location().to_owned(), slot: different }.into())
        }
    }
}

/// What lies at a copy: sizes, and times by its own clock.
#[derive(Default)]
struct Held {
    packs: HashMap<PackId, u64>,
    segments: HashMap<SegmentId, u64>,
    entries: BTreeMap<u64, i64>,
}

impl Held {
    fn list(store: &Store) -> Result<Self> {
        let packs = store.list(names::PACKS)?.into_iter();
        let segments = store.list(names::INDEX)?.into_iter();
        let entries = store.list(names::LOG)?.into_iter();
        Ok(Self {
            packs: packs.filter_map(|object| Some((names::pack_of(&object.name)?, object.size_bytes))).collect(),
            segments: segments
                .filter_map(|object| Some((names::segment_of(&object.name)?, object.size_bytes)))
                .collect(),
            entries: entries
                .filter_map(|object| Some((protocol::entry_slot(&object.name)?, object.modified_unix_seconds)))
                .collect(),
        })
    }

    /// The last entry before the first gap: where the log of a copy ends.
    fn end(&self) -> u64 {
        (FIRST_SLOT..).zip(self.entries.keys()).take_while(|(due, slot)| due == *slot).count() as u64
    }

    /// When an entry came to count here, at the latest: of those that came together the first one was stored last.
    fn arrived(&self, slot: u64) -> Option<i64> {
        self.entries.range(..=slot).map(|(_, modified)| *modified).max()
    }
}

struct Copying<'a> {
    source: &'a Repository,
    to: Option<&'a Store>,
    held: Held,
    /// Packs that were not there before.
    copied: HashSet<PackId>,
    progress: &'a Progress,
    report: CopyReport,
}

impl Copying<'_> {
    /// A state of the source, and every pack that it needs with its size.
    ///
    /// The local index says what segments name that the copy has: it could only lack a pack there, and the copy got it with
    /// the segment. What the other segments name is read from the store.
    fn needs(&self) -> Result<(State, BTreeMap<PackId, u64>)> {
        loop {
            let state = self.source.state();
            let known = self.source.ask_index(|index| index.packs())?;
            let mut packs: BTreeMap<_, _> =
                known.into_iter().filter(|pack| pack.live).map(|pack| (pack.id, pack.size_bytes)).collect();
            for id in state.segments().keys().filter(|id| !self.held.segments.contains_key(*id)) {
                match self.source.fetch_segment(id) {
                    Ok(segment) => packs.extend(
                        segment
                            .packs
                            .iter()
                            .filter(|pack| state.is_pack_valid_in(segment.base, &pack.id))
                            .map(|pack| (pack.id, pack.size_bytes)),
                    ),
                    // Merged into another: there is a newer state.
                    Err(error) if error.kind() == ErrorKind::NotFound && self.source.catch_up()? => break,
                    Err(error) => return Err(error),
                }
            }
            if self.source.base() == state.slot() {
                return Ok((state, packs));
            }
        }
    }

    /// Whether the source has gone on: what is not found was let go by then.
    fn is_overtaken(&self, state: &State) -> Result<bool> {
        self.source.catch_up()?;
        Ok(self.source.base() != state.slot())
    }

    /// What there would be to do.
    fn count(&mut self, state: &State, packs: &BTreeMap<PackId, u64>) {
        let missing = packs.iter().filter(|(id, _)| !self.held.packs.contains_key(id));
        (self.report.packs, self.report.pack_bytes) =
            missing.fold((0, 0), |(count, bytes), (_, size_bytes)| (count + 1, bytes + size_bytes));
        let segments = state.segments().keys().filter(|id| !self.held.segments.contains_key(*id));
        self.report.index_segments = segments.count() as u64;
    }

    /// Copies packs; false where one was collected meanwhile.
    fn copy_packs(&mut self, state: &State, packs: &BTreeMap<PackId, u64>) -> Result<bool> {
        let Some(to) = self.to else { return Ok(true) };
        self.report.damaged.clear();
        let mut missing = Vec::new();
        for (id, size_bytes) in packs {
            match self.held.packs.get(id) {
                None => missing.push((*id, *size_bytes)),
                Some(found) if found == size_bytes => {}
                Some(found) => self.report.damaged.push(DamagedObject {
                    location: to.location().to_owned(),
                    object: names::pack(id),
                    problem: format!("it has {found} bytes where {size_bytes} were stored"),
                }),
            }
        }
        let progress = self.progress;
        Progress::add(&progress.items_total, missing.len() as u64);
        Progress::add(&progress.bytes_total, missing.iter().map(|(_, size_bytes)| size_bytes).sum());
        progress.totals_known.store(true, Ordering::Relaxed);
        let source = self.source.store();
        let outcomes =
            transfer::packs(source, &missing, self.source.options().memory_bytes, progress, &|id, bytes| {
                Ok(to.put(&names::pack(id), bytes)?)
            })?;
        let mut is_any_gone = false;
        for ((id, size_bytes), outcome) in missing.into_iter().zip(outcomes) {
            let problem = match outcome {
                Outcome::Done => {
                    self.held.packs.insert(id, size_bytes);
                    self.copied.insert(id);
                    self.report.packs += 1;
                    self.report.pack_bytes += size_bytes;
                    continue;
                }
                Outcome::Missing => {
                    is_any_gone = true;
                    "it is missing"
                }
                Outcome::Damaged => transfer::OTHER_BYTES,
            };
            self.report.damaged.push(DamagedObject {
                location: source.location().to_owned(),
                object: names::pack(&id),
                problem: problem.to_owned(),
            });
        }
        Ok(!(is_any_gone && self.is_overtaken(state)?))
    }

    /// Copies index segments, once all packs that they name are there; false where one was merged meanwhile.
    fn copy_segments(&mut self, state: &State) -> Result<bool> {
        let Some(to) = self.to else { return Ok(true) };
        for id in state.segments().keys() {
            if self.held.segments.contains_key(id) {
                continue;
            }
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let name = names::segment(id);
            let read = || -> Result<Bytes> {
                let bytes = self.source.store().get(&name)?;
                if stored_hash(&bytes) != *id.as_bytes() {
                    let source = backstay_format::FormatError::Checksum { what: "an index segment" };
                    return Err(RepoError::Damaged { object: name.clone(), source });
                }
                Ok(bytes)
            };
            // A second read tells a passing fault from damage.
            let bytes = match read().or_else(|_| read()) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound && self.is_overtaken(state)? => return Ok(false),
                Err(error) => return Err(error),
            };
            self.held.segments.insert(*id, bytes.len() as u64);
            to.put(&name, bytes)?;
            self.report.index_segments += 1;
        }
        Ok(true)
    }

    /// Copies the entries up to the state's. They begin to count together, with the last one that is stored.
    fn publish(&mut self, state: &State, before: u64, options: &CopyOptions) -> Result<()> {
        self.report.log_entries = state.slot();
        let Some(to) = self.to.filter(|_| !options.dry_run && state.slot() > before) else { return Ok(()) };
        let entries = self.entries(state, before)?;
        // Somebody may have taken the place over since.
        if !is_marked(to)? {
            let (location, repository) = (to.location().to_owned(), self.source.config().repository);
            return Err(CopyError::NoCopy { location, repository }.into());
        }
        // From the newest to the oldest: whoever else copies at the same time never makes a part of them count.
        for (slot, bytes) in entries {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let name = protocol::entry_name(slot);
            if to.create(&name, bytes)? == Created::Exists {
                self.source.refuse_damaged(to, slot, &to.get(&name)?)?;
                return Err(CopyError::Diverged { location: to.location().to_owned(), slot }.into());
            }
        }
        Ok(())
    }

    /// Copies the newest checkpoint that is of no later entry than the last one here, and takes away those that the source does not
    /// have (any more).
    fn copy_checkpoint(&self, state: &State, options: &CopyOptions) -> Result<()> {
        let Some(to) = self.to.filter(|_| !options.dry_run) else { return Ok(()) };
        let of_source = checkpoint::list(self.source.store())?;
        for slot in checkpoint::list(to)? {
            if !of_source.contains(&slot) {
                delete(to, &names::checkpoint(slot))?;
            }
        }
        if let Some((checkpoint, bytes)) = self.source.newest_checkpoint(&(FIRST_SLOT..=state.slot())) {
            let name = names::checkpoint(checkpoint.slot);
            // A damaged one. Where a retention period keeps it, it stays.
            if stored(to, &name)?.is_some_and(|found| found != bytes) {
                delete(to, &name)?;
            }
            to.create(&name, bytes)?;
        }
        Ok(())
    }

    /// The entries up to the state's from the newest to the one after a slot, as they are stored, each proven by the next.
    fn entries(&self, state: &State, before: u64) -> Result<Vec<(u64, Bytes)>> {
        let source = self.source;
        let mut fetched: HashMap<String, Bytes> = source.fetch_log_after(before)?.into_iter().collect();
        let mut entries = Vec::new();
        let mut due = state.hash();
        for slot in (before + 1..=state.slot()).rev() {
            let name = protocol::entry_name(slot);
            let bytes = fetched.remove(&name).map_or_else(|| source.store().get(&name), Ok)?;
            if due != Some(EntryHash::of(&bytes)) {
                let source = backstay_format::FormatError::Checksum { what: "a log entry" };
                return Err(RepoError::Damaged { object: name, source });
            }
            due = decode_entry(source.keys(), slot, &bytes)?.previous;
            entries.push((slot, bytes));
        }
        Ok(entries)
    }

    /// Deletes what the source let go, once the entry that says so has counted here for the grace.
    fn let_go(
        &mut self,
        state: &State,
        packs: &BTreeMap<PackId, u64>,
        before: u64,
        options: &CopyOptions,
    ) -> Result<()> {
        let Some(to) = self.to else { return Ok(()) };
        let let_go = self.source.let_go();
        let of_packs = self
            .held
            .packs
            .iter()
            .filter(|(id, _)| !packs.contains_key(id))
            .filter_map(|(id, size_bytes)| Some((names::pack(id), *size_bytes, *let_go.packs.get(id)?)));
        let of_segments = self
            .held
            .segments
            .iter()
            .filter(|(id, _)| !state.segments().contains_key(id))
            .filter_map(|(id, size_bytes)| Some((names::segment(id), *size_bytes, *let_go.segments.get(id)?)));
        let mut gone: Vec<_> = of_packs.chain(of_segments).filter(|(_, _, slot)| *slot <= state.slot()).collect();
        gone.sort_unstable();
        if gone.is_empty() {
            return Ok(());
        }
        let now = if options.grace_seconds == 0 || options.dry_run { None } else { Some(time_of(to)?) };
        for (name, size_bytes, slot) in gone {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let is_due = match now {
                _ if options.grace_seconds == 0 => true,
                Some(now) if slot <= before => self
                    .held
                    .arrived(slot)
                    .is_some_and(|arrived| now.saturating_sub(arrived) >= options.grace_seconds as i64),
                _ => false,
            };
            if options.dry_run || !is_due {
                self.report.waiting += 1;
                continue;
            }
            match to.delete(&name) {
                Ok(()) => {
                    self.report.deleted += 1;
                    self.report.deleted_bytes += size_bytes;
                }
                // A retention period: a later run deletes it.
                Err(error) if error.kind() == store::ErrorKind::Denied => self.report.waiting += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Deletes what nobody needs. Under a retention period a later run does it.
fn delete(store: &Store, name: &str) -> Result<()> {
    match store.delete(name) {
        Err(error) if error.kind() != store::ErrorKind::Denied => Err(error.into()),
        _ => Ok(()),
    }
}

/// What time it is by a store's clock: that of an object that was written just now.
fn time_of(store: &Store) -> Result<i64> {
    let nonce: [u8; 16] = backstay_format::crypto::random().map_err(RepoError::making("a name"))?;
    let name = format!("probe/{}", backstay_format::ids::to_hex(&nonce));
    store.put(&name, Bytes::from_static(b"time"))?;
    let now = store.head(&name)?.modified_unix_seconds;
    delete(store, &name)?;
    Ok(now)
}
