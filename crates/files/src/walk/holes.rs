//! Where a file has data and where it has holes.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::Stat;

/// A part of a file, bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    Data(Range<u64>),
    /// Zeros that take no space.
    Hole(Range<u64>),
}

/// The runs of a file, in order, without gaps, up to its size.
#[derive(Debug)]
pub struct Runs<'f> {
    fd: BorrowedFd<'f>,
    at: u64,
    size_bytes: u64,
    /// Whether the file system can be asked at all.
    may_have_holes: bool,
    /// Found behind the hole that was given last.
    data: Option<Range<u64>>,
}

/// Asks the file system for the runs of a file with this stat. Moves the position of the descriptor: read with `pread`.
///
/// A file that has all its blocks is not asked about, and a file system that cannot tell has one run of data.
pub fn runs<'f>(fd: &'f impl AsFd, stat: &Stat) -> Runs<'f> {
    let may_have_holes = stat.blocks.saturating_mul(512) < stat.size_bytes;
    Runs { fd: fd.as_fd(), at: 0, size_bytes: stat.size_bytes, may_have_holes, data: None }
}

impl Runs<'_> {
    /// The next range of data at or behind a position; nothing when only a hole is left.
    fn next_data(&self, at: u64) -> Result<Option<Range<u64>>, Errno> {
        let start = match rustix::fs::seek(self.fd, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(self.fd, SeekFrom::Hole(start))?;
        let range = start.max(at)..end.min(self.size_bytes);
        Ok((range.start < range.end).then_some(range))
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if let Some(data) = self.data.take() {
            self.at = data.end;
            return Some(Run::Data(data));
        }
        if self.at >= self.size_bytes {
            return None;
        }
        let rest = self.at..self.size_bytes;
        // A file that shrinks or a file system that fails meanwhile is found out by reading, so all the rest is data then.
        let data = if self.may_have_holes { self.next_data(self.at) } else { Ok(Some(rest.clone())) };
        match data.unwrap_or_else(|_| Some(rest.clone())) {
            Some(data) if data.start == self.at => {
                self.at = data.end;
                Some(Run::Data(data))
            }
            Some(data) => {
                let hole = self.at..data.start;
                self.data = Some(data);
                Some(Run::Hole(hole))
            }
            None => {
                self.at = self.size_bytes;
                Some(Run::Hole(rest))
            }
        }
    }
}
