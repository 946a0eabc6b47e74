//! Appending to the log: one entry, checked against everything that came since its work began (docs/design/0002, "Append").

use std::collections::BTreeSet;

use backstay_format::crypto::random;
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{SegmentId, WriterId};
use backstay_format::log::{Change, Extra, LogEntry};
use bytes::Bytes;

use super::Repository;
use crate::error::{RepoError, Result};
use crate::protocol::{self, Proposal, State, Violation, WriterIntent};
use crate::store::Created;

/// Lost races for a slot before an append gives up: every lost one is another's progress.
const APPEND_ATTEMPTS_MAX: u32 = 1000;

/// Who appends an entry, and what the change in it rests on.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    pub writer: WriterId,
    /// For the audit: `backup`, `forget`, `gc` …
    pub reason: &'a str,
    /// The newest entry that the work behind the change has taken into account.
    pub base: u64,
    pub intent: &'a WriterIntent,
    /// Those of the change's removed segments whose entries live on in its added ones.
    pub replaced_segments: &'a BTreeSet<SegmentId>,
}

impl<'a> Append<'a> {
    /// One that relies on nothing but the state at hand.
    pub fn new(writer: WriterId, reason: &'a str, base: u64) -> Self {
        static NOTHING: WriterIntent = WriterIntent {
            own_packs: BTreeSet::new(),
            own_segments: BTreeSet::new(),
            relied_packs: BTreeSet::new(),
            parents: BTreeSet::new(),
        };
        static NONE: BTreeSet<SegmentId> = BTreeSet::new();
        Self { writer, reason, base, intent: &NOTHING, replaced_segments: &NONE }
    }
}

impl Repository {
    /// Appends one entry (docs/design/0002, "Append").
    ///
    /// `change` is made from the newest state, each time anew: what it says must be true of the state it is checked against.
    /// Returns the slot that was won.
    ///
    /// # Errors
    /// [`RepoError::Overtaken`] where a condition does not hold. [`RepoError::OutcomeUnknown`] where the store did not say whether
    /// the entry is there: the next append here finds out before it does anything else.
    pub fn append(&self, append: &Append<'_>, change: &dyn Fn(&State) -> Change) -> Result<u64> {
        let slot = self.append_decided(append, &mut |state| Ok(Some(change(state))))?;
        Ok(slot.expect("a change was given"))
    }

    /// The same, for a change that the newest state may show to be wrong or needless: then nothing is appended.
    pub(crate) fn append_decided(
        &self,
        append: &Append<'_>,
        decide: &mut dyn FnMut(&State) -> Result<Option<Change>>,
    ) -> Result<Option<u64>> {
        if !self.may_write() {
            return Err(RepoError::ReadOnly);
        }
        self.refuse_copy()?;
        self.settle()?;
        for lost in 0..APPEND_ATTEMPTS_MAX {
            if lost > 0 {
                self.store.wait_after_lost_race(lost)?;
            }
            self.read_log()?;
            let Some((slot, stored)) = self.propose(append, decide)? else { return Ok(None) };
            if self.create_entry(slot, &stored)? == Created::New {
                return Ok(Some(slot));
            }
        }
        Err(RepoError::Invalid(format!("the log was busy: {APPEND_ATTEMPTS_MAX} appends in a row came too late")))
    }

    /// The next entry, checked against the log as it was read.
    fn propose(
        &self,
        append: &Append<'_>,
        decide: &mut dyn FnMut(&State) -> Result<Option<Change>>,
    ) -> Result<Option<(u64, Bytes)>> {
        let &Append { writer, reason, base, intent, replaced_segments } = append;
        let (slot, previous, change) = {
            let log = self.log.lock();
            let Some(change) = decide(&log.state)? else { return Ok(None) };
            let proposal = Proposal { change: &change, base, intent, replaced_segments };
            let later = log.later.iter().filter(|(slot, _)| *slot > base).map(|(slot, change)| (*slot, change));
            protocol::check_append(&proposal, &log.state, later).map_err(|violations| {
                let is_newer = |violation: &Violation| matches!(violation, Violation::UnknownChange { .. });
                if violations.iter().any(is_newer) { RepoError::ReadOnly } else { RepoError::Overtaken(violations) }
            })?;
            (log.state.next_slot(), log.state.hash(), change)
        };
        let entry = LogEntry {
            slot,
            previous,
            writer,
            nonce: WriterId::new(random().map_err(RepoError::making("a nonce"))?),
            time: self.clock().now_text(),
            program: self.options.program.clone(),
            reason: reason.to_owned(),
            change,
            extra: Extra::new(),
        };
        let document = serde_json::to_vec(&entry).map_err(|error| RepoError::Invalid(error.to_string()))?;
        let stored = envelope::seal(&self.keys, EnvelopeKind::LogEntry, &slot.to_le_bytes(), &document)
            .map_err(RepoError::making("a log entry"))?;
        Ok(Some((slot, stored.into())))
    }

    /// Creates an entry in its slot. The store repeats that, within its limits, until there is an answer, and tells by the entry's
    /// nonce whose it is.
    fn create_entry(&self, slot: u64, stored: &Bytes) -> Result<Created> {
        let created = match self.store.create(&protocol::entry_name(slot), stored.clone()) {
            Err(source) if source.is_outcome_unknown() => {
                self.unanswered.lock().push_back((slot, stored.clone()));
                return Err(RepoError::OutcomeUnknown { slot, source });
            }
            created => created?,
        };
        if created == Created::New {
            let mut log = self.log.lock();
            // A thread that read the log may have met it there.
            if log.state.next_slot() == slot {
                self.follow(&mut log, slot, stored)?;
            }
            drop(log);
            self.index_file()?.log_cache_put(slot, stored);
            if slot.is_multiple_of(self.options.checkpoint_entries) {
                self.put_checkpoint();
            }
        }
        Ok(created)
    }

    /// Asks once more for each entry that there was no answer about: the same in the same slot, and nothing else before that.
    pub(crate) fn settle(&self) -> Result<()> {
        loop {
            let Some((slot, stored)) = self.unanswered.lock().pop_front() else { return Ok(()) };
            if let Err(error) = self.create_entry(slot, &stored) {
                if !matches!(error, RepoError::OutcomeUnknown { .. }) {
                    self.unanswered.lock().push_front((slot, stored));
                }
                return Err(error);
            }
        }
    }
}
