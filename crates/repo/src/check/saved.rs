//! What audits leave in the repository: read, taken over, written. The bytes are `backstay_format::audit`'s.
//!
//! It is advice: what cannot be read is as good as absent here, and a check names it.

use backstay_format::FormatError;
use backstay_format::audit::{AuditResults, Damaged, Depth, Verdict};
use backstay_format::crypto::{Keys, random};
use backstay_format::ids::{PackId, WriterId};
use bytes::Bytes;

use crate::error::{RepoError, Result};
use crate::names;
use crate::repository::Repository;
use crate::salvage::stored;
use crate::store::{ErrorKind, Store};

impl Repository {
    /// What is damaged, as far as the last audits, repairs and collections know; nothing where they found nothing. One request.
    pub fn damaged(&self) -> Result<Option<Damaged>> {
        Ok(read_damaged(self.store(), self.keys())?.unwrap_or_else(|error| {
            tracing::warn!(%error, "the list of what is damaged cannot be read");
            None
        }))
    }

    /// Changes what the list of what is damaged says now: whoever found or mended damage knows that, and nothing of what others
    /// have put there. What was let go or is not listed any more leaves it. Of two that say so at once, the later one counts, until the next
    /// audit.
    pub(crate) fn amend_damaged(&self, amend: &mut dyn FnMut(&mut Damaged)) -> Result<()> {
        let before = self.damaged()?.unwrap_or_default();
        // Behind the list: a snapshot on it is in the log by then.
        let is_log_read = self.catch_up().is_ok();
        let mut damaged = before.clone();
        amend(&mut damaged);
        let (let_go, state) = (self.let_go(), self.state());
        damaged.packs.retain(|id, _| !let_go.packs.contains_key(id));
        damaged.snapshots.retain(|id| !is_log_read || state.listed().contains_key(id));
        if damaged == before { Ok(()) } else { self.save_damaged(&damaged) }
    }

    /// Says anew what is damaged.
    pub fn save_damaged(&self, damaged: &Damaged) -> Result<()> {
        if !self.may_write() {
            return Err(RepoError::ReadOnly);
        }
        if damaged.is_empty() {
            return Ok(self.store().delete(names::DAMAGE)?);
        }
        let stored = damaged.seal(self.keys()).map_err(RepoError::making("the list of what is damaged"))?;
        Ok(self.store().overwrite(names::DAMAGE, Bytes::from(stored))?)
    }
}

/// The second error is that of damaged bytes.
fn read_damaged(store: &Store, keys: &Keys) -> Result<std::result::Result<Option<Damaged>, FormatError>> {
    let Some(stored) = stored(store, names::DAMAGE)? else { return Ok(Ok(None)) };
    Ok(Damaged::open(keys, &stored).map(Some))
}

/// What earlier audits saw, and the objects that say so.
#[derive(Default)]
pub(super) struct Saved {
    pub(super) results: AuditResults,
    /// Read and taken over.
    objects: Vec<String>,
    /// Object and problem: of no use, and of no harm.
    pub(super) damaged: Vec<(String, String)>,
    /// What was known to be damaged.
    pub(super) known: Option<Damaged>,
    is_changed: bool,
}

/// Reads what audits saved: all of it with keys, without them what was saved without.
pub(super) fn read(store: &Store, keys: Option<&Keys>) -> Result<Saved> {
    let mut saved = Saved::default();
    for object in store.list(names::AUDIT)? {
        let name = object.name;
        if let Some(keys) = keys.filter(|_| name == names::DAMAGE) {
            match read_damaged(store, keys)? {
                Ok(known) => saved.known = known,
                Err(error) => saved.damaged.push((name, error.to_string())),
            }
            continue;
        }
        let is_text = names::scrub_result_of(&name).is_some();
        if !is_text && (keys.is_none() || names::check_result_of(&name).is_none()) {
            continue;
        }
        let read = || -> Result<Option<std::result::Result<AuditResults, FormatError>>> {
            Ok(stored(store, &name)?.map(|stored| match keys {
                Some(keys) if !is_text => AuditResults::open(keys, &name, &stored),
                _ => AuditResults::read_text(&stored),
            }))
        };
        // Once more where it is damaged: it may have been on its way.
        let results = match read()? {
            Some(Err(_)) => read()?,
            first => first,
        };
        match results {
            Some(Ok(results)) => {
                saved.results.merge(&results);
                saved.objects.push(name);
            }
            Some(Err(error)) => saved.damaged.push((name, error.to_string())),
            // Another audit has taken it over since the listing: its own may have come after it.
            None => {}
        }
    }
    Ok(saved)
}

impl Saved {
    /// Only which objects are of no use.
    pub(super) fn without_verdicts(self) -> Self {
        Self { damaged: self.damaged, ..Self::default() }
    }

    /// Notes what this run saw of a pack, in place of what was known at this depth and above it.
    pub(super) fn note(&mut self, pack: PackId, depth: Depth, is_good: bool, time: u64) {
        self.is_changed = true;
        let rows = &mut self.results.rows;
        for shallower in [Depth::Bytes, Depth::Full].into_iter().filter(|shallower| *shallower <= depth) {
            rows.remove(&(pack, shallower));
        }
        rows.insert((pack, depth), Verdict { time, is_good });
    }

    /// Leaves out packs that are no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&PackId) -> bool) {
        let before = self.results.rows.len();
        self.results.rows.retain(|(pack, _), _| is_there(pack));
        self.is_changed |= self.results.rows.len() < before;
    }

    /// When the pack was found to be good at this depth or deeper.
    pub(super) fn verified(&self, pack: &PackId, depth: Depth) -> Option<u64> {
        let good = |depth| self.results.rows.get(&(*pack, depth)).filter(|verdict| verdict.is_good);
        let deep_enough = [Depth::Bytes, Depth::Full].into_iter().filter(|known| *known >= depth);
        deep_enough.filter_map(good).map(|verdict| verdict.time).max()
    }

    /// When the pack was found to be damaged, unless it was verified as deep since.
    pub(super) fn bad_since(&self, pack: &PackId) -> Option<u64> {
        let bad = |depth| {
            let verdict = self.results.rows.get(&(*pack, depth)).filter(|verdict| !verdict.is_good)?;
            let is_over = self.verified(pack, depth).is_some_and(|time| time > verdict.time);
            (!is_over).then_some(verdict.time)
        };
        [Depth::Bytes, Depth::Full].into_iter().filter_map(bad).max()
    }

    /// Puts everything into one object, unless it is in one already, and deletes those that it was read from. Nothing is lost where that stops half-way, and
    /// what another audit saves at the same time stays.
    pub(super) fn save(self, store: &Store, keys: Option<&Keys>) -> Result<()> {
        if !self.is_changed && self.objects.len() <= 1 && self.damaged.is_empty() {
            return Ok(());
        }
        let id = WriterId::new(random().map_err(RepoError::making("a name"))?);
        let (name, stored) = match keys {
            Some(keys) => {
                let name = names::check_result(&id);
                let stored = self.results.seal(keys, &name).map_err(RepoError::making("the results of an audit"))?;
                (name, stored)
            }
            None => (names::scrub_result(&id), self.results.to_text()),
        };
        if !self.results.rows.is_empty() {
            store.put(&name, Bytes::from(stored))?;
        }
        for name in self.objects.iter().chain(self.damaged.iter().map(|(name, _)| name)) {
            match store.delete(name) {
                // Locked against deletion: the next audit takes it over once more.
                Err(error) if error.kind() == ErrorKind::Denied => {}
                done => done?,
            }
        }
        Ok(())
    }
}
