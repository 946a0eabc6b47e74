//! The collector's dealings with the store: what is there and since when, by the store's clock; and deleting.

use std::collections::{BTreeSet, HashMap};

use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::WriterId;
use jiff::Timestamp;

use super::plan::{Beat, Listing};
use crate::error::{RepoError, Result};
use crate::names;
use crate::protocol;
use crate::repository::Repository;
use crate::store::{ErrorKind, Store};
use crate::writer::HEARTBEAT_SECONDS;

/// A writer's record that has not been touched for so long was left by a crash.
const BEAT_IS_STALE_SECONDS: i64 = 7 * 24 * 3600;
/// What a probe left behind when it was killed.
const PROBES: &str = "probe";
const PROBE_IS_STALE_SECONDS: i64 = 24 * 3600;

pub(super) struct Sweep<'r> {
    repository: &'r Repository,
    id: WriterId,
    is_dry: bool,
    /// Now, by the store's clock.
    now: i64,
    /// The store's times of log entries that were asked for.
    entry_times: HashMap<u64, i64>,
    stale: Vec<String>,
    last_beat: Timestamp,
}

impl<'r> Sweep<'r> {
    /// Writes a heartbeat of its own: other collectors spare what this one puts, and its time is the store's. A dry run writes
    /// nothing and has to trust this host's clock.
    pub(super) fn begin(repository: &'r Repository, id: WriterId, is_dry: bool) -> Result<Self> {
        let now = if is_dry {
            repository.clock().now().as_second()
        } else {
            crate::writer::beat(repository, &id, repository.base())?;
            repository.store().head(&names::writer(&id))?.modified_unix_seconds
        };
        let last_beat = repository.clock().now();
        Ok(Self { repository, id, is_dry, now, entry_times: HashMap::new(), stale: Vec::new(), last_beat })
    }

    /// Beats again when it is time, in long work.
    pub(super) fn keep_alive(&mut self) -> Result<()> {
        let now = self.repository.clock().now();
        if !self.is_dry && now.duration_since(self.last_beat).as_secs().abs() >= HEARTBEAT_SECONDS {
            crate::writer::beat(self.repository, &self.id, self.repository.base())?;
            self.last_beat = now;
        }
        Ok(())
    }

    fn store(&self) -> &Store {
        self.repository.store()
    }

    pub(super) fn list(&mut self) -> Result<Listing> {
        let mut listing = Listing { now: self.now, ..Listing::default() };
        for object in self.store().list(names::PACKS)? {
            if let Some(id) = names::pack_of(&object.name) {
                listing.packs.insert(id, (object.size_bytes, object.modified_unix_seconds));
            }
        }
        for object in self.store().list(names::INDEX)? {
            if let Some(id) = names::segment_of(&object.name) {
                listing.segments.insert(id, object.modified_unix_seconds);
            }
        }
        if self.is_dry {
            // This host's clock may be behind the store's.
            let newest = listing.packs.values().map(|(_, at)| *at).chain(listing.segments.values().copied()).max();
            self.now = self.now.max(newest.unwrap_or(self.now));
            listing.now = self.now;
        }
        for object in self.store().list(names::WRITERS)? {
            let at = object.modified_unix_seconds;
            if self.now - at >= BEAT_IS_STALE_SECONDS {
                self.stale.push(object.name);
            } else if object.name != names::writer(&self.id) {
                listing.beats.push(Beat { at, base: self.base_of(&object.name)? });
            }
        }
        Ok(listing)
    }

    /// The entry that a writer's work began at; 0 where its record cannot be read.
    fn base_of(&self, name: &str) -> Result<u64> {
        let stored = match self.store().get(name) {
            Ok(stored) => stored,
            // It has ended.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(u64::MAX),
            Err(error) => return Err(error.into()),
        };
        let context: Option<WriterId> = name.strip_prefix(names::WRITERS).and_then(|id| id.parse().ok());
        let plain = context
            .and_then(|id| envelope::open(self.repository.keys(), EnvelopeKind::Writer, id.as_bytes(), &stored).ok());
        let document: Option<serde_json::Value> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        Ok(document.and_then(|document| document["base"].as_u64()).unwrap_or(0))
    }

    /// When an entry was appended, by the store's clock.
    pub(super) fn entry_time(&mut self, slot: u64) -> Result<i64> {
        if let Some(time) = self.entry_times.get(&slot) {
            return Ok(*time);
        }
        let time = self.store().head(&protocol::entry_name(slot))?.modified_unix_seconds;
        self.entry_times.insert(slot, time);
        Ok(time)
    }

    /// Records of writers that died long ago, and what probes left.
    pub(super) fn leftovers(&mut self) -> Result<Vec<String>> {
        let mut leftovers = std::mem::take(&mut self.stale);
        let probes = self.store().list(PROBES)?;
        let is_stale = |at: i64| self.now - at >= PROBE_IS_STALE_SECONDS;
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
        if !self.is_dry
            && let Err(error) = self.store().delete(&names::writer(&self.id))
        {
            tracing::debug!(%error, "the collector's record stays behind");
        }
    }
}
