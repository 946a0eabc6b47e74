//! Reading records: found through the local index, verified against their ids, from another copy where one is damaged.

use std::collections::BTreeSet;
use std::ops::Range;

use backstay_format::FormatError;
use backstay_format::crypto::RecordKind;
use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::PackKind;
use backstay_format::record::Sealer;
use backstay_format::tree::{Content, ContentNode, ContentRef, Extent};
use bytes::Bytes;

use crate::error::{ErrorKind, RepoError, Result};
use crate::index::Location;
use crate::names;
use crate::repository::Repository;

/// Tree nodes lie in the order in which a walk wants them: one request brings many.
const WINDOW_BYTES: u64 = 512 << 10;
const WINDOWS: usize = 8;
/// Reading over a gap is cheaper than another request up to here.
const GAP_BYTES_MAX: u64 = 256 << 10;
const SPAN_BYTES_MAX: u64 = 16 << 20;

/// A run of one pack that is read at once.
#[derive(Debug, Clone)]
pub struct ReadSpan {
    pub pack: PackId,
    pub range: Range<u64>,
    /// Offset in the pack, stored length, and name of each record wanted, in order.
    records: Vec<(u32, u32, ChunkId)>,
}

impl ReadSpan {
    /// Records that will be given out.
    pub fn ids(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.records.iter().map(|(_, _, id)| *id)
    }
}

/// One thread's way to read: compression contexts, buffers and a few windows of tree packs.
pub struct Reader<'r> {
    repository: &'r Repository,
    sealer: Sealer<'r>,
    windows: Vec<Window>,
    plain: Vec<u8>,
    /// Packs whose copy of a record could not be read while another one could.
    passed_over: BTreeSet<PackId>,
}

struct Window {
    pack: PackId,
    start: u64,
    bytes: Bytes,
}

impl Repository {
    pub fn reader(&self) -> Result<Reader<'_>> {
        let sealer =
            Sealer::new(self.keys(), self.config().compression_level).map_err(RepoError::making("a reader"))?;
        Ok(Reader { repository: self, sealer, windows: Vec::new(), plain: Vec::new(), passed_over: BTreeSet::new() })
    }

    /// Where to read these records with the fewest requests: by pack and offset, each record once.
    pub fn plan_reads(&self, ids: &[ChunkId]) -> Result<Vec<ReadSpan>> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let locations = self.ask_index(|index| index.lookup_many(&ids))?;
        let mut found = Vec::with_capacity(ids.len());
        for (id, location) in ids.iter().zip(locations) {
            let location = location.ok_or(RepoError::MissingRecord { id: *id })?;
            found.push((location.pack, location.offset, location.stored_len, *id));
        }
        found.sort_unstable();
        let mut spans: Vec<ReadSpan> = Vec::new();
        for (pack, offset, stored_len, id) in found {
            let (start, end) = (u64::from(offset), u64::from(offset) + u64::from(stored_len));
            match spans.last_mut() {
                Some(span)
                    if span.pack == pack
                        && start <= span.range.end + GAP_BYTES_MAX
                        && end - span.range.start <= SPAN_BYTES_MAX =>
                {
                    span.range.end = end.max(span.range.end);
                    span.records.push((offset, stored_len, id));
                }
                _ => spans.push(ReadSpan { pack, range: start..end, records: vec![(offset, stored_len, id)] }),
            }
        }
        Ok(spans)
    }
}

impl<'r> Reader<'r> {
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// The plain bytes of a record.
    pub fn read(&mut self, id: &ChunkId) -> Result<&[u8]> {
        self.read_into_plain(id)?;
        Ok(&self.plain)
    }

    /// Packs whose copy of a record could not be read, since this was asked before.
    pub(crate) fn take_passed_over(&mut self) -> BTreeSet<PackId> {
        std::mem::take(&mut self.passed_over)
    }

    /// The record that was read last.
    pub(crate) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Reads a record at a place that the index need not know, verified like any other.
    pub(crate) fn read_at(&mut self, id: &ChunkId, location: &Location) -> Result<RecordKind> {
        self.try_location(id, location)
    }

    /// Gives out the records of a span, in its order.
    pub fn read_span<E: From<RepoError>>(
        &mut self,
        span: &ReadSpan,
        mut each: impl FnMut(ChunkId, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let bytes = match self.repository.store().get_range(&names::pack(&span.pack), span.range.clone()) {
            Ok(bytes) => Some(bytes),
            // Found again one by one: the pack may have been collected, or a request may have been too large for a store.
            Err(error) if !matches!(error.kind(), crate::store::ErrorKind::Interrupted) => None,
            Err(error) => return Err(RepoError::from(error).into()),
        };
        for &(offset, stored_len, id) in &span.records {
            let opened = bytes.as_ref().is_some_and(|bytes| {
                let start = (u64::from(offset) - span.range.start) as usize;
                let record = &bytes[start..start + stored_len as usize];
                self.sealer.open(record, &mut self.plain).is_ok_and(|header| header.id == id)
            });
            if !opened {
                self.read_into_plain(&id)?;
            }
            each(id, &self.plain)?;
        }
        Ok(())
    }

    /// All extents of a file, in order.
    pub fn extents<E: From<RepoError>>(
        &mut self,
        content: &Content,
        each: &mut dyn FnMut(Extent) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match content {
            Content::Extents(extents) => extents.iter().try_for_each(|extent| each(*extent)),
            Content::Node { root, level } => self.extents_below(root, *level, each),
        }
    }

    fn extents_below<E: From<RepoError>>(
        &mut self,
        node: &ContentRef,
        level: u8,
        each: &mut dyn FnMut(Extent) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let plain = self.read(&node.id)?;
        let decoded =
            ContentNode::decode(plain, level).map_err(RepoError::damaged(format!("content node {}", node.id)))?;
        match decoded {
            ContentNode::Extents(extents) => extents.into_iter().try_for_each(each),
            ContentNode::Children(children) => {
                children.iter().try_for_each(|child| self.extents_below(child, level - 1, each))
            }
        }
    }

    fn read_into_plain(&mut self, id: &ChunkId) -> Result<()> {
        let first = self.try_copies(id);
        match first {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                // A pack that was collected has another place by now; what was damaged on its way arrives at the second try.
                self.repository.catch_up()?;
                self.windows.clear();
                if self.try_copies(id).is_ok() {
                    return Ok(());
                }
                // Rows of the local index prove themselves: it may lack a record, but a wrong pack is not its fault.
                let may_lack = matches!(error, RepoError::MissingRecord { .. });
                if may_lack && self.repository.rebuild_index_once()? && self.try_copies(id).is_ok() {
                    return Ok(());
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Each copy in turn; the first error is reported.
    fn try_copies(&mut self, id: &ChunkId) -> Result<()> {
        let Some(location) = self.repository.ask_index(|index| index.lookup(id))? else {
            return Err(RepoError::MissingRecord { id: *id });
        };
        let Err(error) = self.try_location(id, &location) else { return Ok(()) };
        if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) {
            for other in self.repository.ask_index(|index| index.copies(id))? {
                if other.pack != location.pack && self.try_location(id, &other).is_ok() {
                    self.passed_over.insert(location.pack);
                    return Ok(());
                }
            }
        }
        Err(error)
    }

    fn try_location(&mut self, id: &ChunkId, location: &Location) -> Result<RecordKind> {
        let missing = |error: crate::store::StoreError| {
            if error.kind() == crate::store::ErrorKind::NotFound {
                RepoError::MissingPack { pack: location.pack, id: *id }
            } else {
                error.into()
            }
        };
        let start = u64::from(location.offset);
        let end = start + u64::from(location.stored_len);
        let name = names::pack(&location.pack);
        let record = if location.kind == PackKind::Tree && end - start < WINDOW_BYTES {
            self.window(location, start..end).map_err(missing)?
        } else {
            self.repository.store().get_range(&name, start..end).map_err(missing)?
        };
        let header = self.sealer.open(&record, &mut self.plain).map_err(RepoError::damaged(name.clone()))?;
        if header.id != *id {
            let detail = format!("record {} stands where record {id} should be", header.id);
            return Err(RepoError::Damaged { object: name, source: FormatError::Invalid { what: "a pack", detail } });
        }
        Ok(header.kind)
    }

    fn window(
        &mut self,
        location: &Location,
        range: Range<u64>,
    ) -> std::result::Result<Bytes, crate::store::StoreError> {
        let inside = |window: &Window| {
            window.pack == location.pack
                && window.start <= range.start
                && range.end <= window.start + window.bytes.len() as u64
        };
        if let Some(position) = self.windows.iter().position(inside) {
            let window = self.windows.remove(position);
            let at = (range.start - window.start) as usize;
            let record = window.bytes.slice(at..at + (range.end - range.start) as usize);
            self.windows.push(window);
            return Ok(record);
        }
        let end = (range.start + WINDOW_BYTES).min(location.pack_bytes).max(range.end);
        let (store, name) = (self.repository.store(), names::pack(&location.pack));
        let bytes = match store.get_range(&name, range.start..end) {
            // A pack that was cut off behind this record.
            Err(error) if error.kind() == crate::store::ErrorKind::Corrupt => store.get_range(&name, range.clone())?,
            read => read?,
        };
        let record = bytes.slice(..(range.end - range.start) as usize);
        if self.windows.len() == WINDOWS {
            self.windows.remove(0);
        }
        self.windows.push(Window { pack: location.pack, start: range.start, bytes });
        Ok(record)
    }
}
