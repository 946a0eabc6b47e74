//! The collector's dealings with the store: what is there and since when, by the store's clock; and deleting.

use std::collections::{BTreeSet, HashMap};

use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::WriterId;
use jiff::Timestamp;

use super::plan::{Beat, Listing, credible};
use crate::error::{RepoError, Result};
use crate::names;
use crate::protocol;
use crate::repository::Repository;
use crate::store::{ErrorKind, Store};
use crate::writer::HEARTBEAT_SECONDS;

/// A writer's record that has not been touched for so long was left by a crash.
const BEAT_IS_STALE_SECONDS: i64 = 7 * 24 * 3600;
/// Heartbeats that may get lost in a row.
const BEATS_MAX: u32 = 5;
/// What a probe left behind when it was killed.
const PROBES: &str = "probe";
const PROBE_IS_STALE_SECONDS: i64 = 24 * 3600;

pub(super) struct Sweep<'r> {
    repository: &'r Repository,
    id: WriterId,
    /// The entry that the work began at.
    base: u64,
    /// Now, by the store's clock; without a heartbeat of its own, by this host's.
    now: i64,
    is_beating: bool,
    /// The store's times of log entries that were asked for.
    entry_times: HashMap<u64, i64>,
    stale: Vec<String>,
    last_beat: Timestamp,
}

impl<'r> Sweep<'r> {
    pub(super) fn new(repository: &'r Repository, id: WriterId) -> Self {
        let last_beat = repository.clock().now();
        let (base, now) = (repository.base(), last_beat.as_second());
        let (entry_times, stale) = (HashMap::new(), Vec::new());
        Self { repository, id, base, now, is_beating: false, entry_times, stale, last_beat }
    }

    /// Writes a heartbeat of its own: other collectors spare what this one puts, and its time is the store's. A dry run, which
    /// writes nothing, and one that finds no room for it have to trust this host's clock.
    pub(super) fn begin(&mut self) -> Result<()> {
        for attempt in 1.. {
            self.beat()?;
            self.is_beating = true;
            match self.store().head(&names::writer(&self.id)) {
                Ok(found) => {
                    self.now = found.modified_unix_seconds;
                    break;
                }
                // This one slept for days in between, and another collection has swept it away.
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < BEATS_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Beats again when it is time, in long work.
    pub(super) fn keep_alive(&mut self) -> Result<()> {
        let now = self.repository.clock().now();
        if self.is_beating && now.duration_since(self.last_beat).as_secs().abs() >= HEARTBEAT_SECONDS {
            self.beat()?;
            self.last_beat = now;
        }
        Ok(())
    }

    fn beat(&self) -> Result<()> {
        crate::writer::beat(self.repository, &self.id, self.base)
    }

    /// What the store says about a time, as far as it counts.
    fn time(&self, at: i64) -> i64 {
        // This host's clock may be behind the store's: then nothing is old.
        if self.is_beating { credible(at, self.now) } else { at.min(self.now) }
    }

    fn store(&self) -> &Store {
        self.repository.store()
    }

    pub(super) fn list(&mut self) -> Result<Listing> {
        let packs = self.store().list(names::PACKS)?;
        let segments = self.store().list(names::INDEX)?;
        let mut listing = Listing { now: self.now, ..Listing::default() };
        for object in packs {
            if let Some(id) = names::pack_of(&object.name) {
                listing.packs.insert(id, (object.size_bytes, self.time(object.modified_unix_seconds)));
            }
        }
        for object in segments {
            if let Some(id) = names::segment_of(&object.name) {
                listing.segments.insert(id, self.time(object.modified_unix_seconds));
            }
        }
        for object in self.store().list(names::WRITERS)? {
            let at = self.time(object.modified_unix_seconds);
            if self.now - at >= BEAT_IS_STALE_SECONDS {
                self.stale.push(object.name);
            } else if object.name != names::writer(&self.id)
                && let Some(base) = self.base_of(&object.name)?
            {
                listing.beats.push(Beat { at, base, since: self.begun_since(base)? });
            }
        }
        Ok(listing)
    }

    /// The time since which a writer with this base may have put something.
    fn begun_since(&mut self, base: u64) -> Result<i64> {
        if base < protocol::FIRST_SLOT || base > self.repository.base() {
            return Ok(0);
        }
        self.entry_time(base)
    }

    /// The entry that a writer's work began at; 0 where its record cannot be read, nothing where it has ended.
    fn base_of(&self, name: &str) -> Result<Option<u64>> {
        let stored = match self.store().get(name) {
            Ok(stored) => stored,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let context: Option<WriterId> = name.strip_prefix(names::WRITERS).and_then(|id| id.parse().ok());
        let plain = context
            .and_then(|id| envelope::open(self.repository.keys(), EnvelopeKind::Writer, id.as_bytes(), &stored).ok());
        let document: Option<serde_json::Value> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        Ok(Some(document.and_then(|document| document["base"].as_u64()).unwrap_or(0)))
    }

    /// When an entry was appended, by the store's clock.
    pub(super) fn entry_time(&mut self, slot: u64) -> Result<i64> {
        if let Some(time) = self.entry_times.get(&slot) {
            return Ok(*time);
        }
        let time = self.store().head(&protocol::entry_name(slot))?.modified_unix_seconds;
        let time = self.time(time);
        self.entry_times.insert(slot, time);
        Ok(time)
    }

    /// Records of writers that died long ago, and what probes left.
    pub(super) fn leftovers(&mut self) -> Result<Vec<String>> {
        let mut leftovers = std::mem::take(&mut self.stale);
        let probes = self.store().list(PROBES)?;
        let is_stale = |at: i64| self.now - self.time(at) >= PROBE_IS_STALE_SECONDS;
        leftovers
            .extend(probes.into_iter().filter(|probe| is_stale(probe.modified_unix_seconds)).map(|probe| probe.name));
        Ok(leftovers)
    }

    /// Deletes what may be deleted; gives back what the store refuses to.
    pub(super) fn delete(&self, names: &[String]) -> Result<BTreeSet<String>> {
        let mut refused = BTreeSet::new();
        for (name, error) in self.store().delete_many(names)? {
            if error.kind() != ErrorKind::Denied {
                return Err(RepoError::from(error));
            }
            tracing::debug!(%error, "not deleted; the next collection tries again");
            refused.insert(name);
        }
        Ok(refused)
    }

    /// Takes the heartbeat away.
    pub(super) fn end(&self) {
        if self.is_beating
            && let Err(error) = self.store().delete(&names::writer(&self.id))
        {
            tracing::debug!(%error, "the collector's record stays behind");
        }
    }
}
