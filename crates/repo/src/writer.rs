//! A running backup: deduplicates, fills packs, uploads them, publishes index segments, and commits.
//!
//! Order: packs, then index segments, then one log entry. What the entry's snapshot needs is durable before it is created.
//! Many threads put records at once; each has a `ChunkWriter`.

mod mend;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backstay_format::audit::Damaged;
use backstay_format::compress::Hint;
use backstay_format::config::Config;
use backstay_format::crypto::{RecordKind, random};
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{ChunkId, SnapshotId, WriterId};
use backstay_format::log::{Change, LedgerEntry, LedgerRef, SegmentRecord, SnapshotRecord};
use backstay_format::pack::{PackBuilder, PackKind};
use backstay_format::record::Sealer;
use backstay_format::segment::{SEGMENT_ENTRIES_MAX, Segment};
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use crate::error::{RepoError, Result};
use crate::forget::ForgetError;
use crate::index::Location;
use crate::names;
use crate::protocol::{State, Violation, WriterIntent};
use crate::repository::{Append, Repository};
use crate::reserve;
use crate::store::PutHandle;
use mend::{Found, Gone, Ground, is_mendable};

/// Tree packs stay small: they are what a browse or a check has to fetch.
const TREE_PACK_BYTES: usize = 8 << 20;
/// Seconds between two beats of a writer; manners only, no safety rests on it.
pub(crate) const HEARTBEAT_SECONDS: i64 = 600;
/// Ledger entries are cut into chunks of this size.
const LEDGER_CHUNK_BYTES: usize = 1 << 20;
/// Attempts to append that may be overtaken, each by a newer entry, before a run gives up.
const ATTEMPTS_MAX: u32 = 8;

/// Counters of a running or finished backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterStatistics {
    /// Plain bytes that were not in the repository.
    pub new_bytes: u64,
    /// Bytes of packs and segments written.
    pub stored_bytes: u64,
    pub new_records: u64,
    pub packs: u64,
}

/// One running backup. `Sync`: its threads share it.
pub struct Writer<'r> {
    repository: &'r Repository,
    id: WriterId,
    /// What the run relies upon is checked against every entry after this one, to its end.
    base: u64,
    /// Known when the run began: nothing new relies on it.
    damaged: Damaged,
    pack_bytes: usize,
    /// Bytes of finished packs that may wait for the store at once.
    in_flight_bytes_max: usize,
    own: Mutex<Own>,
    sealed: Condvar,
    open: Mutex<OpenPacks>,
    /// Signalled when a full pack was handed to the uploads.
    handed_over: Condvar,
    uploads: Mutex<Uploads>,
    published: Mutex<Published>,
    /// Held from the flush to the entry: one append at a time.
    appending: Mutex<()>,
    /// The last append ended without an answer: its entry may be there, or come to be there.
    is_unanswered: AtomicBool,
    new_bytes: AtomicU64,
    new_records: AtomicU64,
    stored_bytes: AtomicU64,
    packs: AtomicU64,
}

/// Records of this run that the local index does not know yet.
#[derive(Default)]
struct Own {
    /// In a pack of this run.
    packed: HashSet<ChunkId>,
    /// Some thread is at it: others with the same bytes wait, or a saving could name what is in no pack yet.
    sealing: HashSet<ChunkId>,
}

#[derive(Default)]
struct OpenPacks {
    data: Option<PackBuilder>,
    tree: Option<PackBuilder>,
    /// Packs that were taken out full and are not among the uploads yet.
    finishing: usize,
}

impl OpenPacks {
    fn of(&mut self, kind: PackKind) -> &mut Option<PackBuilder> {
        match kind {
            PackKind::Data => &mut self.data,
            PackKind::Tree => &mut self.tree,
        }
    }
}

struct Uploads {
    running: VecDeque<(PutHandle, usize)>,
    running_bytes: usize,
    /// Entries of packs that were given to the store.
    segment: Segment,
    last_beat: Option<Timestamp>,
    /// A pack or segment is not stored although records in it were given names: nothing may be committed any more.
    is_broken: bool,
}

#[derive(Default)]
struct Published {
    /// Everything that the run ever relied upon.
    intent: WriterIntent,
    segments: Vec<Arc<Unnamed>>,
    /// Where records of own packs were that were retired before an entry named them.
    retired: HashMap<ChunkId, Location>,
    /// Snapshots that this run saved along the way.
    own_incomplete: Vec<SnapshotId>,
    /// Those that an earlier, unfinished run left.
    superseded: Vec<SnapshotId>,
}

/// A segment that is stored, but not yet named by a log entry.
struct Unnamed {
    record: SegmentRecord,
    /// Sorted.
    segment: Segment,
}

impl Repository {
    /// Begins a backup. Everything listed now may be relied upon; the commit checks that it still can be.
    ///
    /// # Errors
    /// A full directory that has given up its reserve: the room that is left is for forgetting and collecting.
    pub fn begin(&self) -> Result<Writer<'_>> {
        self.refuse_copy()?;
        reserve::require(self.store())?;
        let base = self.base();
        let stored = self.index()?.statistics()?.stored_bytes;
        let pack_bytes = pack_bytes_for(self.config(), PackKind::Data, stored);
        Ok(Writer {
            repository: self,
            id: WriterId::new(random().map_err(RepoError::making("a writer id"))?),
            base,
            damaged: self.damaged()?.unwrap_or_default(),
            pack_bytes,
            in_flight_bytes_max: (self.options().memory_bytes / 4).max(pack_bytes),
            own: Mutex::default(),
            sealed: Condvar::new(),
            open: Mutex::default(),
            handed_over: Condvar::new(),
            uploads: Mutex::new(Uploads {
                running: VecDeque::new(),
                running_bytes: 0,
                segment: Segment::new(base),
                last_beat: None,
                is_broken: false,
            }),
            published: Mutex::default(),
            appending: Mutex::default(),
            is_unanswered: AtomicBool::new(false),
            new_bytes: AtomicU64::new(0),
            new_records: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            packs: AtomicU64::new(0),
        })
    }
}

impl<'r> Writer<'r> {
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    pub fn chunk_writer(&self) -> Result<ChunkWriter<'_>> {
        let level = self.repository.config().compression_level;
        let sealer = Sealer::new(self.repository.keys(), level).map_err(RepoError::making("a chunk writer"))?;
        Ok(ChunkWriter { writer: self, sealer })
    }

    pub fn statistics(&self) -> WriterStatistics {
        WriterStatistics {
            new_bytes: self.new_bytes.load(Ordering::Relaxed),
            stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
            new_records: self.new_records.load(Ordering::Relaxed),
            packs: self.packs.load(Ordering::Relaxed),
        }
    }

    /// Whether something of this snapshot is known to be lost: then nothing of its tree is to be taken over unseen.
    pub fn is_damaged(&self, snapshot: &SnapshotId) -> bool {
        self.damaged.snapshots.contains(snapshot)
    }

    /// Says that nodes or chunks of this snapshot's tree are taken over unseen: the commit fails if it was forgotten.
    pub fn reuse_tree_of(&self, parent: SnapshotId) {
        self.published.lock().intent.parents.insert(parent);
    }

    /// Says that this snapshot, left by an unfinished run, is superseded by the final commit.
    pub fn supersede(&self, incomplete: SnapshotId) {
        self.published.lock().superseded.push(incomplete);
    }

    /// Stores the ledger's entries.
    pub fn write_ledger(&self, entries: &[LedgerEntry]) -> Result<LedgerRef> {
        let mut ledger = LedgerRef::default();
        let mut writer = self.chunk_writer()?;
        let mut lines = Vec::new();
        for entry in entries {
            if entry.failed {
                ledger.failed += 1;
            } else {
                ledger.noted += 1;
            }
            let line = serde_json::to_vec(entry).map_err(|error| RepoError::Invalid(error.to_string()))?;
            if lines.len() + line.len() >= LEDGER_CHUNK_BYTES && !lines.is_empty() {
                ledger.chunks.push(writer.put(RecordKind::Ledger, &lines, Hint::Plain)?);
                lines.clear();
            }
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        if !lines.is_empty() {
            ledger.chunks.push(writer.put(RecordKind::Ledger, &lines, Hint::Plain)?);
        }
        Ok(ledger)
    }

    /// Saves progress: a snapshot marked incomplete, with everything put so far. Other threads may go on putting.
    pub fn save(&self, mut record: SnapshotRecord) -> Result<()> {
        record.incomplete = true;
        let id = record.id;
        let earlier = {
            let mut published = self.published.lock();
            let earlier = published.own_incomplete.clone();
            // Before there is an answer: it may be listed without one.
            published.own_incomplete.push(id);
            earlier
        };
        self.append("save", record, &earlier)?;
        self.published.lock().own_incomplete = vec![id];
        Ok(())
    }

    /// Makes everything durable and appends the snapshot to the log. Snapshots saved along the way go in the same entry.
    pub fn commit(&self, record: SnapshotRecord) -> Result<SnapshotRecord> {
        let earlier = {
            let published = self.published.lock();
            [&published.own_incomplete[..], &published.superseded[..]].concat()
        };
        let record = self.append("backup", record, &earlier)?;
        self.stop_beating();
        Ok(record)
    }

    /// Nobody has to wait for it any more. Manners: a beat that stays behind only makes a collection wait a little.
    fn stop_beating(&self) {
        if self.uploads.lock().last_beat.take().is_some() {
            self.repository.store().try_delete(&names::writer(&self.id));
        }
    }

    fn append(&self, reason: &str, record: SnapshotRecord, superseded: &[SnapshotId]) -> Result<SnapshotRecord> {
        let _one_at_a_time = self.appending.lock();
        self.settle()?;
        self.flush()?;
        let record = SnapshotRecord {
            summary: backstay_format::log::Summary {
                new_bytes: self.new_bytes.load(Ordering::Relaxed),
                stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
                ..record.summary
            },
            parents: self.published.lock().intent.parents.iter().copied().collect(),
            ..record
        };
        let ground = {
            let published = self.published.lock();
            Ground { base: self.base, intent: published.intent.clone(), segments: published.segments.clone() }
        };
        let overtaken = |violations, _| RepoError::Overtaken(violations);
        self.append_mended(reason, std::slice::from_ref(&record), superseded, Some(ground), &overtaken)?;
        Ok(record)
    }

    /// Makes everything durable and lists these snapshots in the place of others, in one entry. Of the others, those that
    /// somebody holds stay.
    ///
    /// # Errors
    /// [`RepoError::Overtaken`] where somebody else was first: a second replacement would stand beside the first.
    pub(crate) fn replace(&self, reason: &str, records: &[SnapshotRecord], replaced: &[SnapshotId]) -> Result<()> {
        let _one_at_a_time = self.appending.lock();
        self.settle()?;
        self.flush()?;
        let (intent, segments) = {
            let published = self.published.lock();
            (published.intent.clone(), published.segments.clone())
        };
        let change = |state: &State| Change {
            snapshots_added: records.to_vec(),
            snapshots_forgotten: replaced.iter().filter(|id| may_be_forgotten(state, id)).copied().collect(),
            segments_added: segments.iter().map(|unnamed| unnamed.record.clone()).collect(),
            ..Change::default()
        };
        self.repository.append(&Append { intent: &intent, ..Append::new(self.id, reason, self.base) }, &change)?;
        self.forget_named(&segments);
        self.stop_beating();
        Ok(())
    }

    /// Lists snapshots again that were listed once: everything that they need is looked up, and put again where it is only left
    /// in retired packs.
    ///
    /// # Errors
    /// [`ForgetError::Gone`] where some of it lies nowhere any more.
    pub(crate) fn list_again(&self, records: &[SnapshotRecord]) -> Result<()> {
        let _one_at_a_time = self.appending.lock();
        let gone = |_, Gone { snapshot, records: count, first }: Gone| {
            let record = records.iter().find(|record| record.id == snapshot);
            let place = record.and_then(|record| self.place_of(record, &first).ok());
            let place = place.unwrap_or_else(|| format!("record {first}"));
            ForgetError::Gone { snapshot, records: count, place }.into()
        };
        self.append_mended("undo", records, &[], None, &gone)?;
        self.stop_beating();
        Ok(())
    }

    /// Appends the snapshots that are not listed. Each attempt but the first, and that one too without a `ground`, rests on a walk
    /// over everything they need.
    fn append_mended(
        &self,
        reason: &str,
        records: &[SnapshotRecord],
        superseded: &[SnapshotId],
        mut ground: Option<Ground>,
        gone: &dyn Fn(Vec<Violation>, Gone) -> RepoError,
    ) -> Result<()> {
        let mut violations = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let ground = if let Some(ground) = ground.take() {
                ground
            } else {
                self.flush()?;
                match self.look_up(records)? {
                    Found::All(ground) => ground,
                    Found::Again => continue,
                    Found::Gone(found) => return Err(gone(violations, found)),
                }
            };
            let change = |state: &State| {
                let is_there = |id| state.listed().contains_key(id) || state.forgotten().contains_key(id);
                let added: Vec<_> = records.iter().filter(|record| !is_there(&record.id)).cloned().collect();
                // None: an earlier attempt whose answer was lost, or somebody else's, was successful.
                (!added.is_empty()).then(|| Change {
                    snapshots_added: added,
                    snapshots_forgotten: superseded.iter().filter(|id| may_be_forgotten(state, id)).copied().collect(),
                    segments_added: ground.segments.iter().map(|unnamed| unnamed.record.clone()).collect(),
                    ..Change::default()
                })
            };
            let append = Append { intent: &ground.intent, ..Append::new(self.id, reason, ground.base) };
            match self.repository.append_decided(&append, &mut |state| Ok(change(state))) {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {
                    self.forget_named(&ground.segments);
                    return Ok(());
                }
                Err(RepoError::Overtaken(found)) if found.iter().all(is_mendable) => {
                    tracing::info!(
                        "overtaken, and everything is looked up again: {}",
                        RepoError::Overtaken(found.clone())
                    );
                    violations = found;
                }
                Err(error) => {
                    let is_unanswered = matches!(error, RepoError::OutcomeUnknown { .. });
                    self.is_unanswered.fetch_or(is_unanswered, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Err(RepoError::Overtaken(violations))
    }

    /// After an append without an answer: finds out, before anything else is appended.
    fn settle(&self) -> Result<()> {
        if !self.is_unanswered.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.repository.settle()?;
        self.repository.catch_up()?;
        let later = self.repository.changes_after(self.base);
        let is_named = |id| later.iter().any(|(_, change)| change.segments_added.iter().any(|named| named.id == id));
        let mut segments = self.published.lock().segments.clone();
        segments.retain(|unnamed| is_named(unnamed.record.id));
        self.forget_named(&segments);
        self.is_unanswered.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// An entry names these: from here on the index knows their records.
    fn forget_named(&self, named: &[Arc<Unnamed>]) {
        self.published.lock().segments.retain(|unnamed| named.iter().all(|named| named.record.id != unnamed.record.id));
        for unnamed in named {
            self.repository.remember_segment(unnamed.record.id, &unnamed.segment);
        }
        let mut own = self.own.lock();
        for entry in named.iter().flat_map(|unnamed| &unnamed.segment.entries) {
            own.packed.remove(&entry.id);
        }
    }

    /// Makes everything that was put so far durable and findable: packs, then segments.
    ///
    /// # Errors
    /// Every time, once a pack or segment could not be stored, whoever learnt of it first.
    fn flush(&self) -> Result<()> {
        let (data, tree) = {
            let mut open = self.open.lock();
            let taken = (open.data.take(), open.tree.take());
            open.finishing += usize::from(taken.0.is_some()) + usize::from(taken.1.is_some());
            taken
        };
        // Both, whatever becomes of the first: each was counted.
        let results = [data, tree].map(|builder| builder.map_or(Ok(()), |builder| self.finish_pack(builder)));
        {
            let mut open = self.open.lock();
            while open.finishing > 0 {
                self.handed_over.wait(&mut open);
            }
        }
        results.into_iter().collect::<Result<()>>()?;
        let mut uploads = self.uploads.lock();
        if uploads.is_broken {
            return Err(RepoError::BrokenBackup);
        }
        let published = self.publish(&mut uploads);
        uploads.is_broken |= published.is_err();
        published
    }

    /// Waits for all uploads and stores the segment that names them. After an error the writer is broken.
    fn publish(&self, uploads: &mut Uploads) -> Result<()> {
        while let Some((handle, bytes)) = uploads.running.pop_front() {
            uploads.running_bytes -= bytes;
            handle.wait()?;
        }
        if uploads.segment.packs.is_empty() {
            return Ok(());
        }
        let segment = std::mem::replace(&mut uploads.segment, Segment::new(self.base));
        let unnamed = Arc::new(self.store_segment(segment)?);
        self.published.lock().segments.push(unnamed);
        Ok(())
    }

    fn store_segment(&self, mut segment: Segment) -> Result<Unnamed> {
        let (record, stored_bytes) = self.repository.put_segment(&mut segment)?;
        self.stored_bytes.fetch_add(stored_bytes, Ordering::Relaxed);
        Ok(Unnamed { record, segment })
    }

    /// Finishes a pack that was taken out of `open` and counted in `finishing`.
    fn finish_pack(&self, builder: PackBuilder) -> Result<()> {
        let result = self.upload_pack(builder);
        if result.is_err() {
            // Before the pack stops counting: whoever waits for it must see this.
            self.uploads.lock().is_broken = true;
        }
        self.open.lock().finishing -= 1;
        self.handed_over.notify_all();
        result
    }

    fn upload_pack(&self, builder: PackBuilder) -> Result<()> {
        let pack = builder.finish(self.repository.keys()).map_err(RepoError::making("a pack"))?;
        let bytes = pack.bytes.len();
        self.stored_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.published.lock().intent.own_packs.insert(pack.id);
        let mut uploads = self.uploads.lock();
        self.beat(&mut uploads)?;
        while uploads.running_bytes + bytes > self.in_flight_bytes_max {
            let Some((handle, waited)) = uploads.running.pop_front() else { break };
            uploads.running_bytes -= waited;
            handle.wait()?;
        }
        uploads.segment.push_pack(&pack);
        let handle = self.repository.store().start_put(names::pack(&pack.id), Bytes::from(pack.bytes));
        uploads.running.push_back((handle, bytes));
        uploads.running_bytes += bytes;
        if uploads.segment.entries.len() >= SEGMENT_ENTRIES_MAX / 2 {
            self.publish(&mut uploads)?;
        }
        Ok(())
    }

    /// Tells collectors that this writer lives, before its first pack and then now and again.
    fn beat(&self, uploads: &mut Uploads) -> Result<()> {
        let now = self.repository.clock().now();
        // Either way: a clock may be put back.
        let is_recent = |last: Timestamp| now.duration_since(last).as_secs().abs() < HEARTBEAT_SECONDS;
        if uploads.last_beat.is_some_and(is_recent) {
            return Ok(());
        }
        beat(self.repository, &self.id, self.base)?;
        uploads.last_beat = Some(now);
        Ok(())
    }
}

/// A run that fails has ended too.
impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.stop_beating();
    }
}

/// Writes a heartbeat: manners, on which no safety rests.
pub(crate) fn beat(repository: &Repository, id: &WriterId, base: u64) -> Result<()> {
    let document = serde_json::json!({
        "base": base,
        "time": repository.clock().now_text(),
        "program": repository.options().program,
    });
    let stored =
        envelope::seal(repository.keys(), EnvelopeKind::Writer, id.as_bytes(), document.to_string().as_bytes())
            .map_err(RepoError::making("a writer record"))?;
    Ok(repository.store().overwrite(&names::writer(id), stored.into())?)
}

/// How large packs are made in a repository of this size: twice the size at 1 TiB, as the number of packs grows with the square
/// root of the repository.
pub(crate) fn pack_bytes_for(config: &Config, kind: PackKind, stored_bytes: u64) -> usize {
    match kind {
        PackKind::Data => {
            let growth = (stored_bytes as f64 / (1u64 << 40) as f64).sqrt();
            let grown = (f64::from(config.pack_bytes) * (1.0 + growth)) as u64;
            grown.min(config.pack_bytes_max.into()) as usize
        }
        PackKind::Tree => TREE_PACK_BYTES,
    }
}

/// One thread's way to put records.
pub struct ChunkWriter<'w> {
    writer: &'w Writer<'w>,
    sealer: Sealer<'w>,
}

impl<'w> ChunkWriter<'w> {
    pub fn writer(&self) -> &'w Writer<'w> {
        self.writer
    }

    /// Stores these bytes unless they are stored already, and gives back their name.
    ///
    /// The name is proven only when `commit` or `save` has returned.
    pub fn put(&mut self, kind: RecordKind, plain: &[u8], hint: Hint) -> Result<ChunkId> {
        let writer = self.writer;
        let id = writer.repository.keys().name(kind, plain);
        {
            let mut own = writer.own.lock();
            while own.sealing.contains(&id) {
                writer.sealed.wait(&mut own);
            }
            if own.packed.contains(&id) {
                return Ok(id);
            }
            if let Some(pack) = writer
                .repository
                .ask_index(|index| index.contains_dedupable(&id, |pack| writer.damaged.packs.contains_key(pack)))?
            {
                writer.published.lock().intent.relied_packs.insert(pack);
                return Ok(id);
            }
            own.sealing.insert(id);
        }
        let full = self.seal_into_pack(kind, id, plain, hint);
        {
            let mut own = writer.own.lock();
            own.sealing.remove(&id);
            if full.is_ok() {
                own.packed.insert(id);
            }
        }
        writer.sealed.notify_all();
        if let Some(builder) = full? {
            writer.finish_pack(builder)?;
        }
        Ok(id)
    }

    /// Gives back the pack, where this record made it full.
    fn seal_into_pack(
        &mut self,
        kind: RecordKind,
        id: ChunkId,
        plain: &[u8],
        hint: Hint,
    ) -> Result<Option<PackBuilder>> {
        let writer = self.writer;
        let record = self.sealer.seal(kind, id, plain, hint).map_err(|source| RepoError::Damaged {
            object: format!("record {id}, read back before it was stored,"),
            source,
        })?;
        writer.new_bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
        writer.new_records.fetch_add(1, Ordering::Relaxed);
        let pack_kind = PackKind::of(kind);
        let target_bytes = match pack_kind {
            PackKind::Data => writer.pack_bytes,
            PackKind::Tree => TREE_PACK_BYTES,
        };
        let mut open = writer.open.lock();
        let slot = open.of(pack_kind);
        let builder = match slot {
            Some(builder) => builder,
            None => {
                slot.insert(PackBuilder::new(pack_kind, target_bytes + (1 << 20)).map_err(RepoError::making("a pack"))?)
            }
        };
        builder.push(&record);
        if builder.len() < target_bytes {
            return Ok(None);
        }
        let full = slot.take();
        open.finishing += 1;
        Ok(full)
    }

    /// The keyed hash of small contents, see `Keys::content_hash`.
    pub fn content_hash(&self, plain: &[u8]) -> [u8; 16] {
        self.writer.repository.keys().content_hash(plain)
    }
}

/// Reads a ledger's entries.
pub fn read_ledger(reader: &mut crate::reader::Reader<'_>, ledger: &LedgerRef) -> Result<Vec<LedgerEntry>> {
    let mut entries = Vec::new();
    for chunk in &ledger.chunks {
        let plain = reader.read(chunk)?;
        for line in plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            entries.push(serde_json::from_slice(line).map_err(|error| RepoError::Damaged {
                object: format!("ledger chunk {chunk}"),
                source: backstay_format::FormatError::Invalid { what: "a ledger entry", detail: error.to_string() },
            })?);
        }
    }
    Ok(entries)
}

/// What somebody else forgot meanwhile need not be forgotten again, and what somebody holds stays.
fn may_be_forgotten(state: &State, id: &SnapshotId) -> bool {
    state.listed().get(id).is_some_and(|listed| listed.record.holds.is_empty())
}

/// A new snapshot's name.
pub fn new_snapshot_id() -> Result<SnapshotId> {
    Ok(SnapshotId::new(random().map_err(RepoError::making("a snapshot id"))?))
}
