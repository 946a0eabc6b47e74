//! Large files: every idle worker takes the next chunk of the same file, so that one huge file keeps all cores busy.
//!
//! Reading and cutting is done by whoever holds the cursor, in file order, so the cut points are the serial ones whatever
//! the number of threads; hashing, compressing and sealing, which cost ten times as much, happen outside it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::Ordering;

use backstay_format::chunker::Chunker;
use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::tree::{Content, ContentBuilder, Extent};
use backstay_repo::{ChunkWriter, Progress, RepoError};
use parking_lot::Mutex;

use crate::walk::{Run, Stat, runs};

/// A file that several workers read together.
pub(super) struct LargeFile {
    cursor: Mutex<Cursor>,
    assembly: Mutex<Assembly>,
}

/// Where the bytes come from.
pub(super) enum Input {
    File {
        file: File,
        data: VecDeque<Range<u64>>,
        size_bytes: u64,
    },
    /// A command's output: no holes, no size.
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// A file as its stat says it is now. Bytes that are added later are the next backup's.
    pub(super) fn of_file(file: File, stat: &Stat) -> Self {
        let data = runs(&file, stat)
            .filter_map(|run| match run {
                Run::Data(range) => Some(range),
                Run::Hole(_) => None,
            })
            .collect();
        Self::File { file, data, size_bytes: stat.size_bytes }
    }
}

struct Cursor {
    input: Input,
    /// Position of the next byte that is read into the buffer.
    position: u64,
    /// End of the run of data that is being read; holes end a chunk.
    data_end: u64,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    pieces: u64,
    is_ended: bool,
}

/// Extents as they come, put into order.
struct Assembly {
    next: u64,
    waiting: BTreeMap<u64, Extent>,
    /// Set by the piece that found the end.
    pieces: Option<u64>,
    content: Option<ContentBuilder>,
    read_bytes: u64,
    error: Option<io::Error>,
}

/// What one step of a worker came to.
pub(super) enum Step {
    /// There is more to do.
    More,
    /// Nothing is left to read; others may still be at work.
    Exhausted,
    /// This worker put the last piece into place.
    Finished(Finished),
}

/// A file that was read to its end, or as far as it could be.
pub(super) struct Finished {
    pub(super) content: Content,
    pub(super) read_bytes: u64,
    pub(super) error: Option<io::Error>,
}

enum Piece {
    /// Where it is in the buffer, until the next one is asked for.
    Chunk {
        index: u64,
        range: Range<usize>,
    },
    Hole {
        index: u64,
        len: u64,
    },
    /// Nothing comes behind so many pieces.
    End {
        pieces: u64,
        error: Option<io::Error>,
    },
}

impl LargeFile {
    pub(super) fn new(input: Input, chunker: &Chunker) -> Self {
        let size_bytes = match &input {
            Input::File { size_bytes, .. } => *size_bytes,
            Input::Stream(_) => u64::MAX,
        };
        // Four chunks' worth, so that a refill moves little; no more than the file has.
        let capacity = (4 * chunker.chunking().max_bytes() as u64).min(size_bytes.saturating_add(1)) as usize;
        Self {
            cursor: Mutex::new(Cursor {
                input,
                position: 0,
                data_end: 0,
                buffer: vec![0; capacity.max(1)],
                start: 0,
                end: 0,
                pieces: 0,
                is_ended: false,
            }),
            assembly: Mutex::new(Assembly {
                next: 0,
                waiting: BTreeMap::new(),
                pieces: None,
                content: Some(ContentBuilder::new()),
                read_bytes: 0,
                error: None,
            }),
        }
    }

    /// Reads, cuts and stores one piece. Others may be doing the same.
    pub(super) fn step(
        &self,
        chunker: &Chunker,
        writer: &mut ChunkWriter<'_>,
        scratch: &mut Vec<u8>,
        progress: &Progress,
    ) -> Result<Step, RepoError> {
        let piece = {
            let mut cursor = self.cursor.lock();
            if cursor.is_ended {
                return Ok(Step::Exhausted);
            }
            let piece = cursor.next_piece(chunker);
            if let Piece::Chunk { range, .. } = &piece {
                scratch.clear();
                scratch.extend_from_slice(&cursor.buffer[range.clone()]);
            }
            piece
        };
        self.store(piece, scratch, writer, progress)
    }

    /// The same for a file that nobody shares: stored from where it was read to.
    pub(super) fn step_alone(
        &mut self,
        chunker: &Chunker,
        writer: &mut ChunkWriter<'_>,
        progress: &Progress,
    ) -> Result<Step, RepoError> {
        let cursor = self.cursor.get_mut();
        let piece = cursor.next_piece(chunker);
        let range = if let Piece::Chunk { range, .. } = &piece { range.clone() } else { 0..0 };
        // Taken out for the moment: nobody else has a hold of this file.
        let buffer = std::mem::take(&mut cursor.buffer);
        let step = self.store(piece, &buffer[range], writer, progress);
        self.cursor.get_mut().buffer = buffer;
        step
    }

    /// Stores a piece and puts it into its place; `bytes` are those of a chunk.
    fn store(
        &self,
        piece: Piece,
        bytes: &[u8],
        writer: &mut ChunkWriter<'_>,
        progress: &Progress,
    ) -> Result<Step, RepoError> {
        let placed = match piece {
            Piece::Hole { index, len } => Some((index, Extent::Hole { len })),
            Piece::Chunk { index, .. } => {
                let len = bytes.len() as u32;
                let id = writer.put(RecordKind::Data, bytes, Hint::Plain)?;
                Progress::add(&progress.bytes_done, len.into());
                progress.new_bytes.store(writer.writer().statistics().new_bytes, Ordering::Relaxed);
                Some((index, Extent::Chunk { id, len }))
            }
            Piece::End { pieces, error } => {
                let mut assembly = self.assembly.lock();
                assembly.pieces = Some(pieces);
                assembly.error = error;
                None
            }
        };
        self.place(placed, writer)
    }

    fn place(&self, placed: Option<(u64, Extent)>, writer: &mut ChunkWriter<'_>) -> Result<Step, RepoError> {
        let mut assembly = self.assembly.lock();
        if let Some((index, extent)) = placed {
            assembly.waiting.insert(index, extent);
        }
        let assembly = &mut *assembly;
        let Some(content) = &mut assembly.content else { return Ok(Step::Exhausted) };
        let mut store = |kind, plain: &[u8]| writer.put(kind, plain, Hint::Plain);
        while let Some(extent) = assembly.waiting.remove(&assembly.next) {
            if extent.chunk().is_some() {
                assembly.read_bytes += extent.len();
            }
            content.push(extent, &mut store)?;
            assembly.next += 1;
        }
        if assembly.pieces != Some(assembly.next) {
            return Ok(Step::More);
        }
        let content = assembly.content.take().expect("it was there above").finish(&mut store)?;
        Ok(Step::Finished(Finished { content, read_bytes: assembly.read_bytes, error: assembly.error.take() }))
    }

    /// The file's stat as it is now; nothing for a stream.
    pub(super) fn stat(&self) -> Option<Stat> {
        match &self.cursor.lock().input {
            Input::File { file, .. } => Stat::of(file).ok(),
            Input::Stream(_) => None,
        }
    }
}

impl Cursor {
    /// The next piece; an error ends the file.
    fn next_piece(&mut self, chunker: &Chunker) -> Piece {
        let piece = self.cut(chunker).unwrap_or_else(|error| Piece::End { pieces: self.pieces, error: Some(error) });
        if matches!(piece, Piece::End { .. }) {
            self.is_ended = true;
        }
        piece
    }

    /// Finds the next chunk in the buffer, or tells of a hole.
    fn cut(&mut self, chunker: &Chunker) -> io::Result<Piece> {
        let max = chunker.chunking().max_bytes();
        loop {
            let is_drained = matches!(self.input, Input::File { .. }) && self.position >= self.data_end;
            if self.end - self.start < max && !is_drained {
                self.fill()?;
            }
            if self.start < self.end {
                let length = chunker.cut(&self.buffer[self.start..self.end]);
                let range = self.start..self.start + length;
                self.start += length;
                let index = self.pieces;
                self.pieces += 1;
                return Ok(Piece::Chunk { index, range });
            }
            // The run of data is used up.
            let Input::File { data, size_bytes, .. } = &mut self.input else {
                return Ok(Piece::End { pieces: self.pieces, error: None });
            };
            let next = data.pop_front().unwrap_or(*size_bytes..*size_bytes);
            let hole_start = std::mem::replace(&mut self.position, next.start);
            self.data_end = next.end;
            if next.start > hole_start {
                let index = self.pieces;
                self.pieces += 1;
                return Ok(Piece::Hole { index, len: next.start - hole_start });
            }
            if next.is_empty() {
                return Ok(Piece::End { pieces: self.pieces, error: None });
            }
        }
    }

    /// Reads on until the buffer is full or the run of data ends.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < self.buffer.len() {
            let room = &mut self.buffer[self.end..];
            let count = match &mut self.input {
                Input::Stream(stream) => match stream.read(room) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => result?,
                },
                Input::File { file, data, size_bytes } => {
                    let left = (self.data_end - self.position).min(room.len() as u64) as usize;
                    if left == 0 {
                        return Ok(());
                    }
                    match rustix::io::pread(&*file, &mut room[..left], self.position) {
                        Err(rustix::io::Errno::INTR) => continue,
                        // Shorter than it was: the end is here.
                        Ok(0) => {
                            self.data_end = self.position;
                            *size_bytes = self.position;
                            data.clear();
                            return Ok(());
                        }
                        result => result?,
                    }
                }
            };
            if count == 0 {
                return Ok(());
            }
            self.end += count;
            self.position += count as u64;
        }
        Ok(())
    }
}
