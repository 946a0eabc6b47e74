//! Sorts more rows than memory should hold: sorted runs in files without a name, merged when read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use backstay_format::crypto::random;
use backstay_format::ids::{ChunkId, to_hex};
use backstay_format::segment::SegmentEntry;

/// Rows held in memory: 24 MiB.
const ROWS_MAX: usize = 512 << 10;
const ROW_LEN: usize = 48;

/// Rows to be sorted by id.
pub(super) struct Sorter {
    folder: PathBuf,
    rows: Vec<SegmentEntry>,
    runs: Vec<File>,
}

impl Sorter {
    /// Runs that do not fit into memory are written to `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, rows: Vec::new(), runs: Vec::new() }
    }

    pub(super) fn push(&mut self, row: SegmentEntry) -> std::io::Result<()> {
        if self.rows.len() == ROWS_MAX {
            self.spill()?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Gives out all rows in order.
    pub(super) fn finish<E: From<std::io::Error>>(
        mut self,
        mut each: impl FnMut(SegmentEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rows.sort_unstable();
        if self.runs.is_empty() {
            return self.rows.into_iter().try_for_each(each);
        }
        let mut rows = self.rows.into_iter();
        let mut runs: Vec<BufReader<File>> =
            self.runs.into_iter().map(|run| BufReader::with_capacity(64 << 10, run)).collect();
        let in_memory = runs.len();
        let mut heap = BinaryHeap::with_capacity(in_memory + 1);
        let mut next = |run: usize| if run == in_memory { Ok(rows.next()) } else { read_row(&mut runs[run]) };
        for run in 0..=in_memory {
            heap.extend(next(run)?.map(|row| Reverse((row, run))));
        }
        while let Some(Reverse((row, run))) = heap.pop() {
            each(row)?;
            heap.extend(next(run)?.map(|row| Reverse((row, run))));
        }
        Ok(())
    }

    fn spill(&mut self) -> std::io::Result<()> {
        self.rows.sort_unstable();
        let name = random::<8>().map_err(std::io::Error::other)?;
        let path = self.folder.join(format!("backstay-sort-{}", to_hex(&name)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        let mut writer = BufWriter::with_capacity(64 << 10, file);
        for row in self.rows.drain(..) {
            writer.write_all(&encode(&row))?;
        }
        let mut file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.runs.push(file);
        Ok(())
    }
}

fn encode(row: &SegmentEntry) -> [u8; ROW_LEN] {
    let mut bytes = [0; ROW_LEN];
    bytes[..32].copy_from_slice(row.id.as_bytes());
    for (place, word) in bytes[32..].chunks_exact_mut(4).zip([row.pack, row.offset, row.stored_len, row.raw_len]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn read_row(run: &mut BufReader<File>) -> std::io::Result<Option<SegmentEntry>> {
    use std::io::BufRead;
    if run.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut id = [0; 32];
    run.read_exact(&mut id)?;
    let mut word = || {
        let mut bytes = [0; 4];
        run.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    };
    let (pack, offset, stored_len, raw_len) = (word()?, word()?, word()?, word()?);
    Ok(Some(SegmentEntry { id: ChunkId::new(id), pack, offset, stored_len, raw_len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_than_fit_into_memory_come_out_sorted_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path().to_owned());
        let count = 2 * ROWS_MAX as u64 + 777;
        for n in 0..count {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let row = SegmentEntry { id: ChunkId::new(id), pack: n as u32, offset: 1, stored_len: 2, raw_len: 3 };
            sorter.push(row).unwrap();
        }
        assert_eq!(sorter.runs.len(), 2);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "runs have no name");
        let (mut last, mut seen, mut packs) = (None, 0, 0u64);
        sorter
            .finish(|row| {
                assert!(last.is_none_or(|last| last < row));
                assert_eq!((row.offset, row.stored_len, row.raw_len), (1, 2, 3));
                last = Some(row);
                seen += 1;
                packs += u64::from(row.pack);
                Ok::<_, std::io::Error>(())
            })
            .unwrap();
        assert_eq!((seen, packs), (count, count * (count - 1) / 2));
    }
}
