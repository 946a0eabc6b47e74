//! Mending a place with what another place of the same repository holds: a copy's damage from its source, or the other way round.
//!
//! Invariants:
//! - Only what is missing or is not what its name says is written, and only with bytes that are proven: packs and index segments
//!   by their names, log entries by the keys and by the hashes of their neighbours, the config by the keys.
//! - The damaged bytes are kept in the quarantine before they are replaced.
//! - What the log let go is not brought back; a copy's log is not made longer than what was copied; no cache is trusted.
//!
//! It works where the repository cannot even be opened: nothing but one key slot, here or there, must be intact.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use backstay_format::FormatError;
use backstay_format::audit::Damaged;
use backstay_format::config::{Config, KeySlot, Secret};
use backstay_format::crypto::{Keys, MasterKey, stored_hash};
use backstay_format::ids::{EntryHash, KeyId, PackId, RepositoryId};
use backstay_format::log::LogEntry;
use backstay_format::segment::Segment;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::copy::{CopyError, is_marked};
use crate::crew;
use crate::error::{RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::protocol::{self, FIRST_SLOT, State};
use crate::repository::{decode_entry, stored_slots};
use crate::salvage::{self, stored};
use crate::store::{Created, Store};
use crate::transfer::{self, OTHER_BYTES, Outcome};

/// How closely a place is looked at.
#[derive(Debug, Clone, Copy)]
pub struct HealOptions {
    /// Read every pack that is needed; otherwise those that are missing or of a wrong size are found, and those that audits named.
    pub read_data: bool,
    /// The most that packs under way may hold in memory.
    pub memory_bytes: usize,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Ailment {
    pub object: String,
    pub problem: String,
    /// Whether the right bytes are to be had. For packs that is only known when they are fetched: here it means that one of the
    /// name is there.
    pub can_be_healed: bool,
}

/// What is wrong at a place, and what can be done about it.
pub struct Diagnosis<'s> {
    here: &'s Store,
    from: &'s Store,
    pub repository: RepositoryId,
    /// By name.
    pub ailments: Vec<Ailment>,
    /// Right bytes that are at hand: the small objects.
    remedies: BTreeMap<String, Bytes>,
    packs: Vec<(PackId, u64)>,
    /// The last entry that is stored here, whatever is missing before it.
    log_end: u64,
    /// Packs that audits named, and that are intact.
    intact_suspects: BTreeSet<PackId>,
    keys: Keys,
    memory_bytes: usize,
}

/// What a healing did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct HealReport {
    /// Objects that are right now.
    pub healed: Vec<String>,
    pub healed_bytes: u64,
    /// What could not be mended, and why.
    pub failed: Vec<Ailment>,
    /// Where damaged bytes were kept.
    pub quarantined: Vec<String>,
}

/// What is stored under a name.
enum Found<T> {
    Intact(T),
    Missing,
    Damaged(String),
}

impl<T> Found<T> {
    fn problem(&self) -> &str {
        match self {
            Self::Intact(_) => "",
            Self::Missing => "it is missing",
            Self::Damaged(problem) => problem,
        }
    }
}

/// Looks at everything that the repository needs `here`, and for what can be had `from` the other place.
///
/// # Errors
/// [`CopyError::OtherRepository`] where the two places are not of one repository. Damage is in the result.
pub fn diagnose<'s>(
    here: &'s Store,
    from: &'s Store,
    secret: &Secret,
    options: &HealOptions,
    progress: &Progress,
) -> Result<Diagnosis<'s>> {
    let (ours, theirs) = (configs(here)?, configs(from)?);
    let repository = one_repository(here, from, &ours, &theirs)?;
    let (master, slot) = unlock_either(here, from, repository, secret)?;
    let diagnosis = Diagnosis {
        here,
        from,
        repository,
        ailments: Vec::new(),
        remedies: BTreeMap::new(),
        packs: Vec::new(),
        log_end: 0,
        intact_suspects: BTreeSet::new(),
        keys: Keys::derive(&master, repository),
        memory_bytes: options.memory_bytes,
    };
    let mut examination = Examination { diagnosis, progress };
    if let Some((name, bytes)) = slot {
        let problem = "no key slot here can be opened with this secret; the other place has one";
        examination.remedy(name, problem, Some(bytes));
    }
    examination.configs(ours, theirs)?;
    let state = examination.log()?;
    let packs = examination.segments(&state)?;
    examination.packs(packs, options)?;
    let mut diagnosis = examination.diagnosis;
    diagnosis.ailments.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(diagnosis)
}

impl Diagnosis<'_> {
    /// Puts the right bytes in the place of what is wrong, and tells the audits' list: keys and config, packs, index segments, then the log from its end, so
    /// that what counts can be read at every moment. What was lost behind the log's end comes last, in its order.
    pub fn heal(&self, progress: &Progress) -> Result<HealReport> {
        let report = Mutex::new(HealReport::default());
        let is_late = |name: &str| [names::INDEX, names::LOG].iter().any(|folder| name.starts_with(folder));
        for (name, bytes) in self.remedies.iter().filter(|(name, _)| !is_late(name)) {
            self.replace(name, bytes, &report)?;
        }
        Progress::add(&progress.items_total, self.packs.len() as u64);
        Progress::add(&progress.bytes_total, self.packs.iter().map(|(_, size_bytes)| size_bytes).sum());
        progress.totals_known.store(true, Ordering::Relaxed);
        let outcomes = transfer::packs(self.from, &self.packs, self.memory_bytes / 2, progress, &|id, bytes| {
            self.replace(&names::pack(id), &bytes, &report)
        })?;
        for ((id, _), outcome) in self.packs.iter().zip(outcomes) {
            let problem = match outcome {
                Outcome::Done => continue,
                Outcome::Missing => format!("it is not at {} either", self.from.location()),
                Outcome::Damaged => format!("at {} {OTHER_BYTES} either", self.from.location()),
            };
            report.lock().failed.push(Ailment { object: names::pack(id), problem, can_be_healed: false });
        }
        for folder in [names::INDEX, names::LOG] {
            let in_folder = |(name, _): &(&String, &Bytes)| name.starts_with(folder) && !self.is_behind_log(name);
            for (name, bytes) in self.remedies.iter().filter(in_folder).rev() {
                if progress.is_cancelled() {
                    return Err(RepoError::Interrupted);
                }
                self.replace(name, bytes, &report)?;
            }
        }
        let mut report = report.into_inner();
        self.bring_back_end(&mut report, progress)?;
        report.failed.extend(self.ailments.iter().filter(|ailment| !ailment.can_be_healed).cloned());
        for list in [&mut report.healed, &mut report.quarantined] {
            list.sort_unstable();
        }
        report.failed.sort_by(|a, b| a.object.cmp(&b.object));
        self.clear_damage(&report)?;
        Ok(report)
    }

    fn is_behind_log(&self, name: &str) -> bool {
        protocol::entry_slot(name).is_some_and(|slot| slot > self.log_end)
    }

    /// The lost end of the log, one entry after the other: a backup may append at the same time, and nothing may be put behind its
    /// entry, which the next one of the lost would not follow.
    fn bring_back_end(&self, report: &mut HealReport, progress: &Progress) -> Result<()> {
        let mut lost = self.remedies.iter().filter(|(name, _)| self.is_behind_log(name));
        while let Some((name, bytes)) = lost.next() {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            if self.here.create(name, bytes.clone())? == Created::New {
                report.healed.push(name.clone());
                report.healed_bytes += bytes.len() as u64;
                continue;
            }
            let left = std::iter::once(name).chain(lost.by_ref().map(|(name, _)| name));
            let problem = "the log has gone on here: from this slot on the other place has another history";
            report.failed.extend(left.map(|name| Ailment {
                object: name.clone(),
                problem: problem.to_owned(),
                can_be_healed: false,
            }));
        }
        Ok(())
    }

    /// What audits have found here. What cannot be read is as good as absent: it is advice.
    fn known_damage(&self) -> Result<Damaged> {
        let stored = stored(self.here, names::DAMAGE)?;
        Ok(stored.and_then(|stored| Damaged::open(&self.keys, &stored).ok()).unwrap_or_default())
    }

    /// Takes from the list the packs that are whole again. Whether its snapshots are, a check finds out.
    fn clear_damage(&self, report: &HealReport) -> Result<()> {
        let known = self.known_damage()?;
        let mut left = known.clone();
        let healed: BTreeSet<_> = report.healed.iter().filter_map(|name| names::pack_of(name)).collect();
        left.packs.retain(|pack, _| !healed.contains(pack) && !self.intact_suspects.contains(pack));
        if left == known {
            Ok(())
        } else if left.is_empty() {
            Ok(self.here.delete(names::DAMAGE)?)
        } else {
            let stored = left.seal(&self.keys).map_err(RepoError::making("the list of what is damaged"))?;
            Ok(self.here.overwrite(names::DAMAGE, stored.into())?)
        }
    }

    /// The name determines the bytes, so that nobody can miss what is replaced.
    fn replace(&self, name: &str, bytes: &Bytes, report: &Mutex<HealReport>) -> Result<()> {
        match stored(self.here, name)? {
            Some(found) if found == bytes => {}
            Some(damaged) => {
                let place = names::quarantine(name, &damaged);
                self.here.put(&place, damaged)?;
                self.here.overwrite(name, bytes.clone())?;
                report.lock().quarantined.push(place);
            }
            None => {
                if self.here.create(name, bytes.clone())? == Created::Exists {
                    let problem = "somebody else has just stored something else".to_owned();
                    report.lock().failed.push(Ailment { object: name.to_owned(), problem, can_be_healed: true });
                    return Ok(());
                }
            }
        }
        let mut report = report.lock();
        report.healed.push(name.to_owned());
        report.healed_bytes += bytes.len() as u64;
        Ok(())
    }
}

struct Examination<'p, 's> {
    diagnosis: Diagnosis<'s>,
    progress: &'p Progress,
}

impl Examination<'_, '_> {
    fn keys(&self) -> &Keys {
        &self.diagnosis.keys
    }

    fn remedy(&mut self, name: String, problem: &str, bytes: Option<Bytes>) {
        let can_be_healed = bytes.is_some();
        if let Some(bytes) = bytes {
            self.diagnosis.remedies.insert(name.clone(), bytes);
        }
        self.diagnosis.ailments.push(Ailment { object: name, problem: problem.to_owned(), can_be_healed });
    }

    /// The two copies must be the same. What the store can do is each place's own.
    fn configs(&mut self, ours: Configs, theirs: Configs) -> Result<()> {
        let [ours, theirs] = [ours, theirs].map(|configs| {
            configs.map(|found| match found {
                Found::Intact((config, bytes)) => match config.authenticate(self.keys()) {
                    Ok((config, _)) => Found::Intact((config, bytes)),
                    Err(error) => Found::Damaged(error.to_string()),
                },
                Found::Missing => Found::Missing,
                Found::Damaged(problem) => Found::Damaged(problem),
            })
        });
        let first = |configs: &[Found<(Config, Bytes)>; 2]| {
            configs.iter().find_map(|found| if let Found::Intact(intact) = found { Some(intact.clone()) } else { None })
        };
        let right = match (first(&ours), first(&theirs)) {
            (Some((_, bytes)), _) => Some(bytes),
            (None, Some((mut config, _))) => {
                config.store.create_if_absent = self.diagnosis.here.probe()?.create_if_absent;
                Some(config.seal(self.keys()).into())
            }
            (None, None) => None,
        };
        for (name, found) in [names::CONFIG, names::CONFIG_COPY].into_iter().zip(ours) {
            match found {
                Found::Intact((_, bytes)) if right.as_ref() == Some(&bytes) => {}
                Found::Intact(_) => self.remedy(name.to_owned(), "it is not the same as its other copy", right.clone()),
                found => self.remedy(name.to_owned(), found.problem(), right.clone()),
            }
        }
        Ok(())
    }

    /// Reads the log here, takes what is wrong in it from the other place, and folds it as far as it goes.
    fn log(&mut self) -> Result<State> {
        let Diagnosis { here, from, .. } = self.diagnosis;
        let own_end = last_slot(here)?;
        self.diagnosis.log_end = own_end;
        // What was copied has been in the source's log: if it is not there any more, it was lost.
        let is_source = !is_marked(here)? && is_marked(from)?;
        let end = if is_source { own_end.max(last_slot(from)?) } else { own_end };
        let mut stored = read_log(here, end)?;
        let mut state = State::default();
        for slot in FIRST_SLOT..=end {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let name = protocol::entry_name(slot);
            let found = self.entry(&state, slot, stored.remove(&slot));
            let (entry, hash) = match found {
                Found::Intact(intact) => intact,
                found => {
                    let problem = found.problem().to_owned();
                    let theirs = salvage::stored(from, &name)?;
                    match self.entry(&state, slot, theirs.clone()) {
                        // The entry behind it must name it, or it is of another history.
                        Found::Intact((entry, hash)) if self.names(slot + 1, stored.get(&(slot + 1)), hash) => {
                            self.remedy(name.clone(), &problem, theirs);
                            (entry, hash)
                        }
                        // Its own history, which others have not copied.
                        _ if slot > own_end => break,
                        _ => {
                            self.remedy(name, &problem, None);
                            break;
                        }
                    }
                }
            };
            if let Err(error) = state.follow(&entry, hash) {
                self.remedy(name, &error.to_string(), None);
                break;
            }
        }
        Ok(state)
    }

    /// An entry that opens with the keys, in its place, and follows what is before it.
    fn entry(&self, state: &State, slot: u64, stored: Option<Bytes>) -> Found<(LogEntry, EntryHash)> {
        let Some(stored) = stored else { return Found::Missing };
        match decode_entry(self.keys(), slot, &stored) {
            Ok(entry) if entry.previous == state.hash() => Found::Intact((entry, EntryHash::of(&stored))),
            Ok(_) => Found::Damaged("it does not follow the entry before it".to_owned()),
            Err(RepoError::Damaged { source, .. }) => Found::Damaged(source.to_string()),
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// Whether the entry stored for a slot names this predecessor; also where it cannot be read.
    fn names(&self, slot: u64, stored: Option<&Bytes>, hash: EntryHash) -> bool {
        let entry = stored.and_then(|stored| decode_entry(self.keys(), slot, stored).ok());
        entry.is_none_or(|entry| entry.previous == Some(hash))
    }

    /// Reads every index segment; gives the packs that they name, with their sizes.
    fn segments(&mut self, state: &State) -> Result<BTreeMap<PackId, u64>> {
        let Diagnosis { here, from, .. } = self.diagnosis;
        let mut packs = BTreeMap::new();
        for id in state.segments().keys() {
            if self.progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let name = names::segment(id);
            let found = self.segment(here, &name, id.as_bytes())?;
            let segment = if let Found::Intact((segment, _)) = found {
                segment
            } else if let Found::Intact((segment, bytes)) = self.segment(from, &name, id.as_bytes())? {
                self.remedy(name, found.problem(), Some(bytes));
                segment
            } else {
                self.remedy(name, found.problem(), None);
                continue;
            };
            let valid = segment.packs.iter().filter(|pack| state.is_pack_valid_in(segment.base, &pack.id));
            packs.extend(valid.map(|pack| (pack.id, pack.size_bytes)));
        }
        Ok(packs)
    }

    fn segment(&self, store: &Store, name: &str, hash: &[u8; 32]) -> Result<Found<(Segment, Bytes)>> {
        let Some(bytes) = stored(store, name)? else { return Ok(Found::Missing) };
        if stored_hash(&bytes) != *hash {
            return Ok(Found::Damaged(OTHER_BYTES.to_owned()));
        }
        Ok(match Segment::open(self.keys(), &bytes) {
            Ok(segment) => Found::Intact((segment, bytes)),
            Err(error) => Found::Damaged(error.to_string()),
        })
    }

    fn packs(&mut self, needed: BTreeMap<PackId, u64>, options: &HealOptions) -> Result<()> {
        let Diagnosis { here, from, .. } = self.diagnosis;
        let (ours, theirs) = (pack_sizes(here)?, pack_sizes(from)?);
        let suspects = self.diagnosis.known_damage()?.packs;
        let mut damaged: BTreeMap<PackId, String> = BTreeMap::new();
        let mut to_read = Vec::new();
        for (id, size_bytes) in &needed {
            match ours.get(id) {
                // The name proves the bytes: an index that was made from a cut pack has the wrong size.
                Some(found) if found != size_bytes || options.read_data || suspects.contains_key(id) => {
                    to_read.push((*id, *found));
                }
                Some(_) => {}
                None => drop(damaged.insert(*id, Found::<()>::Missing.problem().to_owned())),
            }
        }
        Progress::add(&self.progress.items_total, to_read.len() as u64);
        Progress::add(&self.progress.bytes_total, to_read.iter().map(|(_, size_bytes)| size_bytes).sum());
        self.progress.totals_known.store(true, Ordering::Relaxed);
        let outcomes = transfer::packs(here, &to_read, options.memory_bytes, self.progress, &|_, _| Ok(()))?;
        for ((id, found), outcome) in to_read.into_iter().zip(outcomes) {
            let size_bytes = needed[&id];
            match outcome {
                Outcome::Done if suspects.contains_key(&id) => drop(self.diagnosis.intact_suspects.insert(id)),
                Outcome::Done => {}
                Outcome::Missing => drop(damaged.insert(id, Found::<()>::Missing.problem().to_owned())),
                Outcome::Damaged if found != size_bytes => {
                    damaged.insert(id, format!("it has {found} bytes where {size_bytes} were stored"));
                }
                Outcome::Damaged => drop(damaged.insert(id, OTHER_BYTES.to_owned())),
            }
        }
        for (id, problem) in damaged {
            let found = theirs.get(&id);
            self.diagnosis.packs.extend(found.map(|size_bytes| (id, *size_bytes)));
            let can_be_healed = found.is_some();
            self.diagnosis.ailments.push(Ailment { object: names::pack(&id), problem, can_be_healed });
        }
        Ok(())
    }
}

/// `config` and `config-copy`.
type Configs = [Found<(backstay_format::config::UntrustedConfig, Bytes)>; 2];

fn configs(store: &Store) -> Result<Configs> {
    let read = |name: &str| -> Result<Found<_>> {
        let Some(bytes) = stored(store, name)? else { return Ok(Found::Missing) };
        match Config::read(&bytes) {
            Ok(config) => Ok(Found::Intact((config, bytes))),
            Err(source @ (FormatError::Version { .. } | FormatError::UnknownFeatures(_))) => {
                Err(RepoError::Unsupported { location: store.location().to_owned(), source })
            }
            Err(error) => Ok(Found::Damaged(error.to_string())),
        }
    };
    Ok([read(names::CONFIG)?, read(names::CONFIG_COPY)?])
}

/// The repository that both places are of. One whose configs are all lost is known by its other objects.
fn one_repository(here: &Store, from: &Store, ours: &Configs, theirs: &Configs) -> Result<RepositoryId> {
    let id = |configs: &Configs| {
        configs
            .iter()
            .find_map(|found| if let Found::Intact((config, _)) = found { Some(config.repository()) } else { None })
    };
    for (store, configs) in [(here, ours), (from, theirs)] {
        let is_bare = configs.iter().all(|found| matches!(found, Found::Missing));
        if is_bare && store.list(names::LOG)?.is_empty() {
            return Err(RepoError::NoRepository { location: store.location().to_owned() });
        }
    }
    match (id(ours), id(theirs)) {
        (Some(repository), Some(found)) if repository != found => {
            Err(CopyError::OtherRepository { location: from.location().to_owned(), found, repository }.into())
        }
        (ours, theirs) => ours.or(theirs).ok_or_else(|| {
            let detail = "neither place has a readable one".to_owned();
            RepoError::Damaged {
                object: names::CONFIG.to_owned(),
                source: FormatError::Invalid { what: "the config", detail },
            }
        }),
    }
}

/// The master key, by a slot here or else there; one that is only there is to be put here.
fn unlock_either(
    here: &Store,
    from: &Store,
    repository: RepositoryId,
    secret: &Secret,
) -> Result<(MasterKey, Option<(String, Bytes)>)> {
    for (store, is_here) in [(here, true), (from, false)] {
        for (id, bytes) in stored_slots(store)? {
            if let Some(master) = open_slot(&id, &bytes, repository, secret) {
                return Ok((master, (!is_here).then(|| (names::key(&id), bytes))));
            }
        }
    }
    Err(RepoError::WrongPassword { location: here.location().to_owned() })
}

fn open_slot(id: &KeyId, bytes: &Bytes, repository: RepositoryId, secret: &Secret) -> Option<MasterKey> {
    if stored_hash(bytes) != *id.as_bytes() {
        return None;
    }
    let slot = KeySlot::read(bytes).ok().filter(|slot| slot.repository == repository)?;
    slot.open(secret).ok().flatten()
}

fn last_slot(store: &Store) -> Result<u64> {
    Ok(store.list(names::LOG)?.iter().filter_map(|object| protocol::entry_slot(&object.name)).max().unwrap_or(0))
}

/// The stored entries up to a slot.
fn read_log(store: &Store, end: u64) -> Result<HashMap<u64, Bytes>> {
    const THREADS: usize = 16;
    let slots: Vec<u64> = (FIRST_SLOT..=end).collect();
    let stored = crew::map(store, THREADS, &slots, |slot| stored(store, &protocol::entry_name(*slot)))?;
    Ok(slots.into_iter().zip(stored).filter_map(|(slot, bytes)| Some((slot, bytes?))).collect())
}

fn pack_sizes(store: &Store) -> Result<HashMap<PackId, u64>> {
    let listed = store.list(names::PACKS)?.into_iter();
    Ok(listed.filter_map(|object| Some((names::pack_of(&object.name)?, object.size_bytes))).collect())
}
