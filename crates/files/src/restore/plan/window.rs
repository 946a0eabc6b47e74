//! Windows of items whose chunks are read together.

use std::fs::File;
use std::sync::Arc;

use backstay_format::ids::ChunkId;
use backstay_format::tree::{Content, Extent, ItemKind};
use backstay_repo::{ReadSpan, Reader, RepoError};
use crossbeam_channel::bounded;

use super::super::Restore;
use super::super::apply::{Destination, Job, Queue, Wanted, Window};
use super::super::content::{Entry, Part, Place, SharedFile};
use super::super::report::Failure;
use crate::error::FilesError;

/// Plain bytes of a window: a few spans for every thread, and little to wait for at the end.
const WINDOW_BYTES: u64 = 64 << 20;
/// Small files of a window: some 25 ms of one thread.
const WINDOW_FILES: usize = 1024;
/// Files of a window that need more than one chunk: each may be open until its last chunk has come.
const WINDOW_SHARED_FILES: usize = 64;
/// Items without contents that are handed over at once.
const PLAIN_ITEMS: usize = 64;
/// Contents of old files that one thread compares at once.
const COMPARE_BYTES: u64 = 8 << 20;

/// Gathers items and hands them to the workers.
pub(super) struct Windows<'q, 's> {
    restore: &'s Restore<'s>,
    queue: &'q Queue<'q, 's>,
    plain: Vec<Entry<'s>>,
    places: Vec<(ChunkId, Destination<'s>)>,
    /// What may be in place already.
    wanted: Vec<Wanted<'s>>,
    bytes: u64,
    shared_files: usize,
    /// Windows handed over so far.
    flushed: usize,
}

impl<'q, 's> Windows<'q, 's> {
    pub(super) fn new(restore: &'s Restore<'s>, queue: &'q Queue<'q, 's>) -> Self {
        Self {
            restore,
            queue,
            plain: Vec::new(),
            places: Vec::new(),
            wanted: Vec::new(),
            bytes: 0,
            shared_files: 0,
            flushed: 0,
        }
    }

    /// Adds an item that needs no chunks.
    pub(super) fn add_plain(&mut self, entry: Entry<'s>) {
        self.plain.push(entry);
        if self.plain.len() == PLAIN_ITEMS {
            self.flush_plain();
        }
    }

    /// Adds a file with contents; `old` is what is there, open.
    pub(super) fn add_file(
        &mut self,
        entry: Entry<'s>,
        old: Option<File>,
        contents: &mut Reader<'_>,
    ) -> Result<(), FilesError> {
        if let (None, ItemKind::File { content: Content::Extents(extents), .. }) = (&old, &entry.item.kind)
            && let [extent] = extents[..]
            && let Some((id, place)) = place_of(extent, 0, 0)
        {
            self.bytes += extent.len();
            self.places.push((id, Destination::Whole(Box::new(entry), place)));
            return self.flush_if_full();
        }
        let file = Arc::new(SharedFile::new(entry, old));
        let ItemKind::File { size_bytes, content, .. } = &file.entry.item.kind else { return Ok(()) };
        self.shared_files += 1;
        let mut offset = 0;
        let added = contents.extents(content, &mut |extent| {
            let end = offset + extent.len();
            if end > *size_bytes {
                return Err(wrong_size());
            }
            self.add_extent(&file, extent, offset)?;
            offset = end;
            Ok(())
        });
        let added = added.and_then(|()| if offset == *size_bytes { Ok(()) } else { Err(wrong_size()) });
        if let Err(failure) = added {
            file.fail(self.restore, failure);
        }
        file.done(self.restore, 0);
        self.flush_if_full()
    }

    fn add_extent(&mut self, file: &Arc<SharedFile<'s>>, extent: Extent, offset: u64) -> Result<(), Failure> {
        let Some((id, place)) = place_of(extent, offset, file.old_bytes()) else {
            return file.add_hole(offset, extent.len());
        };
        file.add_pending();
        self.bytes += extent.len();
        if place.is_over_old {
            self.wanted.push(Wanted { id, file: file.clone(), place });
        } else {
            self.places.push((id, Destination::Part(file.clone(), place)));
        }
        if self.restore.is_stopped() {
            return Err(Failure::Run(RepoError::Interrupted.into()));
        }
        self.flush_if_full().map_err(Failure::Run)
    }

    fn flush_if_full(&mut self) -> Result<(), FilesError> {
        let files = self.places.len() + self.wanted.len();
        // The first ones are smaller, as the workers wait for them.
        let share = [8, 4, 2].get(self.flushed).copied().unwrap_or(1);
        let is_full = self.bytes >= WINDOW_BYTES / share
            || files >= WINDOW_FILES / share as usize
            || self.shared_files >= WINDOW_SHARED_FILES;
        if is_full { self.flush() } else { Ok(()) }
    }

    fn flush_plain(&mut self) {
        if !self.plain.is_empty() {
            self.queue.send(Job::Plain(std::mem::take(&mut self.plain)));
        }
    }

    /// Hands over everything that was added.
    pub(super) fn flush(&mut self) -> Result<(), FilesError> {
        self.flush_plain();
        let mut places = std::mem::take(&mut self.places);
        let differing = self.without_what_is_in_place();
        places.extend(differing.into_iter().map(|wanted| (wanted.id, Destination::Part(wanted.file, wanted.place))));
        self.bytes = 0;
        self.shared_files = 0;
        self.flushed += 1;
        let window = Arc::new(Window::new(places));
        for span in self.plan_spans(&window)? {
            self.queue.send(Job::Fetch { window: window.clone(), span });
        }
        Ok(())
    }

    /// Lets the workers look into the old files, so that only what differs is fetched.
    fn without_what_is_in_place(&mut self) -> Vec<Wanted<'s>> {
        let mut answers = Vec::new();
        let mut wanted = std::mem::take(&mut self.wanted).into_iter().peekable();
        while wanted.peek().is_some() {
            let mut bytes = 0;
            let mut places = Vec::new();
            while bytes < COMPARE_BYTES
                && let Some(next) = wanted.next()
            {
                bytes += u64::from(next.place.len);
                places.push(next);
            }
            let (answer, answered) = bounded(1);
            self.queue.send(Job::Compare { places, answer });
            answers.push(answered);
        }
        // Nobody answers when the run was stopped.
        answers.into_iter().flat_map(|answered| answered.recv().unwrap_or_default()).collect()
    }

    /// Chunks that are in no index fail the files that need them, and no others.
    fn plan_spans(&self, window: &Window<'s>) -> Result<Vec<ReadSpan>, FilesError> {
        let mut ids = window.ids();
        loop {
            match self.restore.repository.plan_reads(&ids) {
                Err(ref error @ RepoError::MissingRecord { id }) => {
                    window.lose(self.restore, &id, error);
                    ids.retain(|other| *other != id);
                }
                result => return Ok(result?),
            }
        }
    }
}

/// Where the bytes of an extent come from and go; nothing for a hole.
fn place_of(extent: Extent, file_offset: u64, old_bytes: u64) -> Option<(ChunkId, Place)> {
    let (id, len, part) = match extent {
        Extent::Chunk { id, len } => (id, len, Part::Whole),
        Extent::Part { id, offset, len } => (id, len, Part::From { offset }),
        Extent::Hole { .. } => return None,
    };
    let is_over_old = file_offset + u64::from(len) <= old_bytes;
    Some((id, Place { file_offset, len, part, is_over_old }))
}

fn wrong_size() -> Failure {
    Failure::Damaged { detail: "its contents do not have the size that the tree says".to_owned() }
}
