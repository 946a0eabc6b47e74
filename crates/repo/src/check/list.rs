//! The first level: every object that is needed exists with the right size, and the small ones are read.
//!
//! Index segments are read one at a time, and of each pack a sum of its rows is kept: some 60 bytes a pack, nothing a record.

use backstay_format::FormatError;
use backstay_format::config::Config;
use backstay_format::crypto::stored_hash;
use backstay_format::ids::{EntryHash, PackId, SegmentId};
use backstay_format::pack::{PackKind, PackedRecord};
use backstay_format::segment::{Segment, SegmentEntry, SegmentPack};
use bytes::Bytes;

use super::select::Sized;
use super::{CheckReport, Damage, MISSING};
use crate::checkpoint::{Verification, Verified};
use crate::crew;
use crate::error::{ErrorKind, RepoError, Result, with_causes};
use crate::index::Digest;
use crate::names;
use crate::protocol::{self, State};
use crate::repository::{Repository, decode_entry};
use crate::salvage;

/// Small requests that are made at once: log entries, and packs that a listing does not show as they should be.
const REQUEST_THREADS: usize = 16;

/// What one valid segment says of a pack. All records of a pack are in one segment; after a repair two may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackRow {
    pub(super) id: PackId,
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
    pub(super) records: u32,
    /// A position in the inventory's list.
    pub(super) segment: u32,
}

/// All packs that valid segments name, from the store.
pub(super) struct Inventory {
    /// The state that this is of.
    pub(super) state: State,
    /// Those that can be read.
    pub(super) segments: Vec<SegmentId>,
    /// By pack; none twice with the same digest.
    rows: Vec<PackRow>,
}

impl Inventory {
    /// Every pack, with what segments say of it.
    pub(super) fn packs(&self) -> impl Iterator<Item = &[PackRow]> {
        self.rows.chunk_by(|left, right| left.id == right.id)
    }

    /// Every pack and its size in bytes.
    pub(super) fn sizes(&self) -> impl Iterator<Item = Sized> {
        self.packs().map(|rows| (rows[0].id, rows[0].size_bytes))
    }

    /// What segments say of a pack; empty where none names it.
    pub(super) fn rows(&self, id: &PackId) -> &[PackRow] {
        let start = self.rows.partition_point(|row| row.id < *id);
        let len = self.rows[start..].iter().take_while(|row| row.id == *id).count();
        &self.rows[start..start + len]
    }

    pub(super) fn records(&self) -> u64 {
        self.rows.iter().map(|row| u64::from(row.records)).sum()
    }

    /// Gives out every entry that counts, with its pack, segment by segment.
    pub(super) fn each_entry(
        &self,
        repository: &Repository,
        is_wanted: &dyn Fn(u32) -> bool,
        each: &mut dyn FnMut(&SegmentPack, &SegmentEntry),
    ) -> Result<()> {
        for (_, id) in (0..).zip(&self.segments).filter(|(position, _)| is_wanted(*position)) {
            // Read a moment ago: what fails now is told, and its records then count as in no segment.
            let Some(segment) = fetch(repository, id)? else { continue };
            let counts = counting_packs(&self.state, &segment);
            for entry in &segment.entries {
                if counts[entry.pack as usize] {
                    each(&segment.packs[entry.pack as usize], entry);
                }
            }
        }
        Ok(())
    }
}

/// Reads everything but packs, and lists those.
pub(super) fn list(repository: &Repository, report: &mut CheckReport, damage: &mut Damage) -> Result<Inventory> {
    check_config_and_keys(repository, report, damage)?;
    let state = repository.state();
    check_log(repository, &state, report, damage)?;
    if repository.is_copy()? {
        report.log_entries_behind_gap = match repository.entries_behind_gap() {
            Ok(behind) => behind.len() as u64,
            // Damage of the log was told.
            Err(error) if error.kind() == ErrorKind::Corrupt => 0,
            Err(error) => return Err(error),
        };
    }
    // Before the segments: a listing takes memory for a moment.
    let stored = stored_packs(repository)?;
    let inventory = read_segments(repository, state, report, damage)?;
    let mut unused = stored.iter().peekable();
    let mut unlike = Vec::new();
    for rows in inventory.packs() {
        let row = &rows[0];
        report.packs += 1;
        report.pack_bytes += row.size_bytes;
        report.records += rows.iter().map(|row| u64::from(row.records)).max().unwrap_or_default();
        while let Some((_, size_bytes)) = unused.next_if(|(id, _)| *id < row.id) {
            report.unused_packs += 1;
            report.unused_bytes += size_bytes;
        }
        let listed = unused.next_if(|(id, _)| *id == row.id);
        if listed.is_none_or(|(_, size_bytes)| *size_bytes != row.size_bytes) {
            unlike.push((row.id, row.size_bytes));
        }
    }
    // A listing may lack what is there.
    let found = crew::map(repository.store(), REQUEST_THREADS, &unlike, |(id, _)| size_bytes_of(repository, id))?;
    for ((id, size_bytes), found) in unlike.into_iter().zip(found) {
        match found {
            None => damage.add_pack(id, MISSING),
            Some(found) if found != size_bytes => {
                let sizes = format!("it has {found} bytes where {size_bytes} were stored");
                damage.add_pack(id, format!("{sizes}; its records may be lost: a deeper level looks which are"));
            }
            Some(_) => report.passing_faults += 1,
        }
    }
    for (_, size_bytes) in unused {
        report.unused_packs += 1;
        report.unused_bytes += size_bytes;
    }
    Ok(inventory)
}

fn stored_packs(repository: &Repository) -> Result<Vec<(PackId, u64)>> {
    let objects = repository.store().list(names::PACKS)?;
    let mut stored: Vec<_> =
        objects.into_iter().filter_map(|object| Some((names::pack_of(&object.name)?, object.size_bytes))).collect();
    stored.sort_unstable();
    Ok(stored)
}

/// Nothing where it is missing, or its disk knows nothing of it any more.
fn size_bytes_of(repository: &Repository, pack: &PackId) -> Result<Option<u64>> {
    match repository.store().head(&names::pack(pack)).map_err(RepoError::from) {
        Ok(info) => Ok(Some(info.size_bytes)),
        Err(error) if is_loss(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_loss(error: &RepoError) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

/// Reads a second time what is missing or damaged at the first: so a passing fault is told from stored damage.
fn twice<T>(report: &mut CheckReport, read: impl Fn() -> Result<T>) -> Result<T> {
    match read() {
        Err(error) if is_loss(&error) => read().inspect(|_| report.passing_faults += 1),
        first => first,
    }
}

fn check_config_and_keys(repository: &Repository, report: &mut CheckReport, damage: &mut Damage) -> Result<()> {
    let store = repository.store();
    for name in [names::CONFIG, names::CONFIG_COPY] {
        let read = || {
            let config = Config::read(&store.get(name)?).and_then(|config| config.authenticate(repository.keys()));
            config.map(drop).map_err(RepoError::damaged(name))
        };
        match twice(report, read) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                damage.add(name, "it is missing; the other copy still opens the repository");
            }
            Err(RepoError::Damaged { source, .. }) => damage.add(name, source.to_string()),
            Err(error) if is_loss(&error) => damage.add(name, with_causes(&error)),
            Err(error) => return Err(error),
        }
    }
    for object in store.list(names::KEYS)? {
        let Some(id) = names::key_of(&object.name) else {
            damage.add(object.name, "its name is not that of a key slot");
            continue;
        };
        let read = || {
            if stored_hash(&store.get(&object.name)?) == *id.as_bytes() {
                return Ok(());
            }
            Err(RepoError::damaged(&object.name[..])(FormatError::Checksum { what: "a key slot" }))
        };
        match twice(report, read) {
            Ok(()) => {}
            // Removed since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(RepoError::Damaged { .. }) => damage.add(object.name, "it does not match its name"),
            Err(error) if is_loss(&error) => damage.add(object.name, with_causes(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The log as it is stored, and the checkpoints: opening may have taken it from one, or from the local index.
fn check_log(repository: &Repository, state: &State, report: &mut CheckReport, damage: &mut Damage) -> Result<()> {
    let slots: Vec<u64> = (protocol::FIRST_SLOT..=state.slot()).collect();
    let read = |slot: &u64| match repository.store().get(&protocol::entry_name(*slot)).map_err(RepoError::from) {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if is_loss(&error) => Ok(None),
        Err(error) => Err(error),
    };
    let log = crew::map(repository.store(), REQUEST_THREADS, &slots, read)?;
    let mut previous: Option<EntryHash> = None;
    let mut checkpoints = Verification::begin(repository)?;
    for (slot, entry) in slots.into_iter().zip(log) {
        report.log_entries += 1;
        let name = protocol::entry_name(slot);
        // The entry and its hash; or what is wrong with it, and the hash where it can be read all the same.
        let look = |entry: Option<Bytes>| {
            let Some(entry) = entry else { return Err((MISSING.to_owned(), None)) };
            let hash = EntryHash::of(&entry);
            match decode_entry(repository.keys(), slot, &entry) {
                Ok(read) if slot == protocol::FIRST_SLOT || previous.is_none() || read.previous == previous => {
                    Ok((read, hash))
                }
                Ok(_) => Err(("it does not follow the entry before it".to_owned(), Some(hash))),
                Err(error) => Err((with_causes(&error), None)),
            }
        };
        let mut seen = look(entry);
        if seen.is_err() {
            seen = look(salvage::stored(repository.store(), &name)?);
            report.passing_faults += u64::from(seen.is_ok());
        }
        checkpoints.follow(seen.as_ref().ok())?;
        previous = match seen {
            Ok((_, hash)) => Some(hash),
            Err((problem, hash)) => {
                damage.add(name, problem);
                hash
            }
        };
    }
    let Verified { wrong, whole } = checkpoints.end()?;
    for (slot, problem) in wrong {
        damage.add(names::checkpoint(slot), problem);
    }
    let (opened, let_go) = repository.fold();
    if whole.is_some_and(|(state, gone)| state != *opened || gone != *let_go) {
        repository.forget_remembered_log();
        damage.add(
            "the local index",
            "the log that it remembered was not the store's, and is forgotten now: check again",
        );
    }
    Ok(())
}

fn read_segments(
    repository: &Repository,
    state: State,
    report: &mut CheckReport,
    damage: &mut Damage,
) -> Result<Inventory> {
    let mut inventory = Inventory { state, segments: Vec::new(), rows: Vec::new() };
    for (id, record) in inventory.state.segments() {
        report.segments += 1;
        let segment = match twice(report, || repository.fetch_segment_once(id)) {
            Ok(segment) => segment,
            Err(error) if is_loss(&error) => {
                damage.add(names::segment(id), with_causes(&error));
                continue;
            }
            Err(error) => return Err(error),
        };
        if segment.entries.len() as u64 != record.entries || segment.base != record.base {
            damage.add(names::segment(id), "it is not what the log says of it");
        }
        let counts = counting_packs(&inventory.state, &segment);
        let position = inventory.segments.len() as u32;
        let rows = segment.packs.iter().zip(Digest::of_segment(&segment)).zip(counts).filter(|(_, counts)| *counts);
        inventory.rows.extend(rows.map(|((pack, (digest, records)), _)| PackRow {
            id: pack.id,
            digest,
            size_bytes: pack.size_bytes,
            records,
            segment: position,
        }));
        inventory.segments.push(*id);
    }
    inventory.rows.sort_unstable();
    inventory.rows.dedup_by(|later, first| (later.id, later.digest) == (first.id, first.digest));
    Ok(inventory)
}

/// Which of a segment's packs were not retired after it was made.
fn counting_packs(state: &State, segment: &Segment) -> Vec<bool> {
    segment.packs.iter().map(|pack| state.is_pack_valid_in(segment.base, &pack.id)).collect()
}

fn fetch(repository: &Repository, id: &SegmentId) -> Result<Option<Segment>> {
    match repository.fetch_segment(id) {
        Ok(segment) => Ok(Some(segment)),
        Err(error) if is_loss(&error) => {
            tracing::warn!(%error, "an index segment that was read before cannot be read again");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The digest that a pack's own directory has.
pub(super) fn directory_digest(kind: PackKind, size_bytes: u64, records: &[PackedRecord]) -> Digest {
    let mut digest = Digest::of_pack(kind, size_bytes);
    for record in records {
        digest.add(&record.id, record.offset, record.stored_len, record.raw_len);
    }
    digest
}
