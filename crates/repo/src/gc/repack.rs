//! Rewriting packs that hold little, or are small: what is needed of them goes, verified, into new packs, and one entry puts the new
//! ones in the place of the old ones.
//!
//! Invariant: a source is let go only when each needed record of it was copied from it, or its chosen copy is in a pack that stays
//! or was verified in this run (docs/design/0006, section 4).

use std::collections::{BTreeSet, HashSet};

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::log::Change;
use backstay_format::pack::{PackBuilder, PackKind, PackedRecord, read_directory};
use backstay_format::record::Sealer;
use backstay_format::segment::Segment;
use bytes::Bytes;

use super::marks::{Marks, read_pack};
use super::plan::{self, Listing};
use super::{ATTEMPTS_MAX, Amount, Collection};
use crate::error::{RepoError, Result};
use crate::names;
use crate::protocol::{self, WriterIntent};
use crate::repository::Append;
use crate::writer::pack_bytes_for;

/// Sources, and what became of them so far.
struct Batch {
    sources: Vec<PackId>,
    source_bytes: u64,
    segment: Segment,
    /// Records copied although their chosen copies are elsewhere, in packs that were not verified yet.
    early: HashSet<ChunkId>,
    new: Amount,
    intent: WriterIntent,
    /// The marks by which records were chosen.
    generation: u64,
}

impl Batch {
    fn new(marks: &Marks<'_>) -> Self {
        Self {
            sources: Vec::new(),
            source_bytes: 0,
            segment: Segment::new(marks.base()),
            early: HashSet::new(),
            new: Amount::default(),
            intent: WriterIntent::default(),
            generation: marks.generation(),
        }
    }
}

impl Collection<'_> {
    pub(super) fn rewrite(&mut self, marks: &mut Marks<'_>, listing: &Listing) -> Result<()> {
        let used_bytes = marks.packs().iter().map(|pack| pack.size_bytes).sum();
        let config = self.repository.config();
        let sources = plan::choose_repack(self.options, marks.packs(), listing, |kind| {
            pack_bytes_for(config, kind, used_bytes) as u64
        });
        if self.options.dry_run {
            for pack in sources.iter().filter_map(|id| marks.pack(id)) {
                self.report.repacked.add(pack.size_bytes);
                self.report.repacked_into.bytes += pack.used_bytes();
            }
            return Ok(());
        }
        let mut sealer = Sealer::new(self.repository.keys(), config.compression_level)
            .map_err(RepoError::making("a reader of records"))?;
        for source in &sources {
            marks.set_pending(source, true);
        }
        for kind in [PackKind::Tree, PackKind::Data] {
            let of_kind = |id: &&PackId| marks.pack(id).is_some_and(|pack| pack.kind == kind);
            let sources: Vec<PackId> = sources.iter().filter(of_kind).copied().collect();
            let target_bytes = pack_bytes_for(config, kind, used_bytes);
            let mut batch = Batch::new(marks);
            let mut builder = None;
            for source in sources {
                if self.is_out_of_time() || self.progress.is_cancelled() || marks.was_full() {
                    break;
                }
                self.sweep.keep_alive()?;
                self.take_over(marks, &mut sealer, &source, kind, target_bytes, &mut builder, &mut batch)?;
                let records = batch.segment.entries.len() + builder.as_ref().map_or(0, PackBuilder::records);
                let is_full = batch.source_bytes >= self.options.batch_bytes || records as u64 >= plan::BATCH_RECORDS;
                if is_full {
                    self.finish_pack(&mut builder, &mut batch)?;
                    self.replace(marks, batch)?;
                    batch = Batch::new(marks);
                }
            }
            self.finish_pack(&mut builder, &mut batch)?;
            self.replace(marks, batch)?;
        }
        if self.progress.is_cancelled() { Err(RepoError::Interrupted) } else { Ok(()) }
    }

    /// Copies what is needed of a source. A damaged one stays as it is.
    #[expect(clippy::too_many_arguments, reason = "the state of one batch, which ends before its borrower does")]
    fn take_over(
        &mut self,
        marks: &mut Marks<'_>,
        sealer: &mut Sealer<'_>,
        source: &PackId,
        kind: PackKind,
        target_bytes: usize,
        builder: &mut Option<PackBuilder>,
        batch: &mut Batch,
    ) -> Result<()> {
        // Another collection may have been faster.
        if marks.pack(source).is_none_or(|pack| pack.is_gone) {
            return Ok(());
        }
        let Some((bytes, directory)) = self.read_source(marks, source)? else { return Ok(()) };
        let is_wanted =
            |record: &&PackedRecord| !batch.early.contains(&record.id) && marks.is_wanted(&record.id, source);
        let wanted: Vec<&PackedRecord> = directory.iter().filter(is_wanted).collect();
        // All of them before the first is taken over: a source goes as a whole or not at all.
        let mut verified = Vec::with_capacity(wanted.len());
        for record in wanted {
            let stored = bytes.get(record.offset as usize..).unwrap_or_default();
            match sealer.verified(stored) {
                Ok(found) if found.header().id == record.id => verified.push(found),
                _ => return marks.suspect(&[*source]),
            }
        }
        for record in verified {
            let open = match builder {
                Some(builder) => builder,
                None => builder
                    .insert(PackBuilder::new(kind, target_bytes + (1 << 20)).map_err(RepoError::making("a pack"))?),
            };
            open.push(&record);
            let id = record.header().id;
            if !marks.is_kept(&id, source) {
                batch.early.insert(id);
            }
            if open.len() >= target_bytes {
                self.finish_pack(builder, batch)?;
            }
        }
        marks.set_pending(source, false);
        batch.sources.push(*source);
        batch.source_bytes += bytes.len() as u64;
        Ok(())
    }

    /// The bytes and the directory of a pack that is what its name says; of another, nothing, and it is remembered.
    fn read_source(&mut self, marks: &mut Marks<'_>, source: &PackId) -> Result<Option<(Bytes, Vec<PackedRecord>)>> {
        if let Some(bytes) = read_pack(self.repository, source)?
            && let Ok(directory) = read_directory(self.repository.keys(), &bytes)
        {
            return Ok(Some((bytes, directory)));
        }
        // Unless somebody else has collected it meanwhile, copies elsewhere become the chosen ones.
        marks.catch_up()?;
        if marks.pack(source).is_some_and(|pack| !pack.is_gone) {
            marks.suspect(&[*source])?;
        }
        Ok(None)
    }

    fn finish_pack(&mut self, builder: &mut Option<PackBuilder>, batch: &mut Batch) -> Result<()> {
        let Some(builder) = builder.take() else { return Ok(()) };
        let pack = builder.finish(self.repository.keys()).map_err(RepoError::making("a pack"))?;
        batch.intent.own_packs.insert(pack.id);
        batch.segment.push_pack(&pack);
        batch.new.add(pack.bytes.len() as u64);
        self.repository.store().put(&names::pack(&pack.id), pack.bytes.into())?;
        Ok(())
    }

    /// Puts the segment and appends the entry. What cannot be replaced any more stays, and the new packs are garbage.
    fn replace(&mut self, marks: &mut Marks<'_>, mut batch: Batch) -> Result<()> {
        if batch.sources.is_empty() {
            return Ok(());
        }
        let mut segments_added = Vec::new();
        if !batch.segment.packs.is_empty() {
            let (record, _) = self.repository.put_segment(&mut batch.segment)?;
            batch.intent.own_segments.insert(record.id);
            self.own_segments.insert(record.id);
            marks.expect_own(record.id);
            segments_added.push(record);
        }
        let first_base = batch.segment.base;
        for _ in 0..ATTEMPTS_MAX {
            marks.catch_up()?;
            // A base is raised only by a check of every entry in between.
            let later = self.repository.changes_after(first_base);
            let later = later.iter().filter(|(slot, _)| *slot <= marks.base()).map(|(slot, change)| (*slot, change));
            if let Err(violations) = protocol::check_writer(&batch.intent, first_base, later) {
                tracing::info!(?violations, "a repack was overtaken");
                self.report.is_unfinished = true;
                return Ok(());
            }
            if marks.generation() != batch.generation {
                self.drop_outdated_sources(marks, &mut batch)?;
            }
            if batch.sources.is_empty() {
                self.report.is_unfinished = true;
                return Ok(());
            }
            // One that was condemned and is needed again goes as any other that is rewritten: after the grace.
            let is_condemned = |id: &&PackId| marks.state().condemned().contains_key(id);
            let change = Change {
                segments_added: segments_added.clone(),
                packs_reprieved: batch.sources.iter().filter(is_condemned).copied().collect(),
                packs_retired: batch.sources.clone(),
                ..Change::default()
            };
            let append = Append { intent: &batch.intent, ..Append::new(self.id, "gc: repack", marks.base()) };
            match self.repository.append(&append, &|_| change.clone()) {
                Ok(slot) => {
                    for record in &segments_added {
                        self.repository.remember_segment(record.id, &batch.segment);
                    }
                    for pack in batch.sources.iter().filter_map(|id| marks.pack(id)) {
                        self.report.repacked.add(pack.size_bytes);
                    }
                    self.report.repacked_into.objects += batch.new.objects;
                    self.report.repacked_into.bytes += batch.new.bytes;
                    return marks.catch_up_with_own(slot);
                }
                Err(RepoError::Overtaken(violations)) => {
                    tracing::debug!(?violations, "the marks are brought up to date");
                }
                Err(error) => return Err(error),
            }
        }
        self.report.is_unfinished = true;
        Ok(())
    }

    /// Leaves those sources in place that hold something needed by now which was not copied.
    fn drop_outdated_sources(&mut self, marks: &mut Marks<'_>, batch: &mut Batch) -> Result<()> {
        loop {
            let generation = marks.generation();
            let copied: HashSet<ChunkId> = batch.segment.entries.iter().map(|entry| entry.id).collect();
            let mut still = BTreeSet::new();
            for source in &batch.sources {
                let is_there = marks.pack(source).is_some_and(|pack| !pack.is_gone);
                if is_there
                    && let Some((_, directory)) = self.read_source(marks, source)?
                    && directory
                        .iter()
                        .all(|record| copied.contains(&record.id) || !marks.is_wanted(&record.id, source))
                {
                    still.insert(*source);
                }
            }
            batch.sources.retain(|source| still.contains(source));
            batch.generation = generation;
            // Damage that was found meanwhile moves the choice once more.
            if marks.generation() == generation {
                return Ok(());
            }
        }
    }
}
