//! What of a plan is done, so that a restore that was interrupted goes on where it ended.
//!
//! A text file: one JSON line that says which plan it is of, then one line per item as it ends. Lines are synced in batches, so a
//! crash loses the last few at most; those items are found in the cluster and turn out unchanged. A line that was cut off in its
//! middle ends the file. It goes when the restore has come to its end. Nobody else writes while a run does: the file is locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backstay_format::ids::SnapshotId;
use backstay_repo::ErrorKind;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::document::Plan;
use super::outcome::ItemOutcome;

/// Unsynced lines are synced when there are so many, or after so long.
const BATCH_LINES: usize = 128;
const BATCH_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {action} the journal {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another restore is at work with the journal {}", path.display())]
    Busy { path: PathBuf },
    #[error("{} is no journal of this plan", path.display())]
    Foreign { path: PathBuf },
}

impl JournalError {
    pub fn kind(&self) -> ErrorKind {
        if let Self::Busy { .. } = self { ErrorKind::Conflict } else { ErrorKind::Invalid }
    }
}

/// Its first line: which plan it is of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    version: u32,
    snapshot: SnapshotId,
    target_uid: String,
    made: String,
}

/// A journal that is being written. Shared by threads.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Whole lines that are not in the file yet.
    lines: Vec<u8>,
    waiting: usize,
    synced: Instant,
}

impl Journal {
    /// Opens or makes the journal of a plan, and reads what is in it, the latest word on each item last.
    pub(super) fn open(path: &Path, plan: &Plan) -> Result<(Self, Vec<ItemOutcome>), JournalError> {
        let failed = |action| move |source| JournalError::Io { action, path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let header = Header {
            version: 1,
            snapshot: plan.snapshot,
            target_uid: plan.target.uid.clone(),
            made: plan.made.clone(),
        };
        let (mut outcomes, mut end) = (Vec::new(), 0);
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed("read"))? > 0 && line.ends_with(b"\n") {
            if end == 0 {
                let found: Option<Header> = serde_json::from_slice(&line).ok();
                if found.as_ref() != Some(&header) {
                    return Err(JournalError::Foreign { path: path.to_owned() });
                }
            } else if let Ok(outcome) = serde_json::from_slice(&line) {
                outcomes.push(outcome);
            } else {
                break;
            }
            end += line.len() as u64;
            line.clear();
        }
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(failed("write"))?;
        let state = State { file, lines: Vec::new(), waiting: 0, synced: Instant::now() };
        let journal = Self { path: path.to_owned(), state: Mutex::new(state) };
        if end == 0 {
            journal.append(&header)?;
            journal.sync()?;
        }
        Ok((journal, outcomes))
    }

    pub(super) fn record(&self, outcome: &ItemOutcome) -> Result<(), JournalError> {
        self.append(outcome)
    }

    /// Everything that was recorded is on the disk afterwards.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.written(self.state.lock().sync())
    }

    /// Everything is done: another run begins anew, and finds it in the cluster.
    pub(super) fn remove(self) -> Result<(), JournalError> {
        self.written(std::fs::remove_file(&self.path))
    }

    fn append(&self, line: &impl Serialize) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        let written = serde_json::to_writer(&mut state.lines, line).map_err(io::Error::from);
        state.lines.push(b'\n');
        state.waiting += 1;
        let is_due = state.waiting >= BATCH_LINES || state.synced.elapsed() >= BATCH_TIME;
        self.written(written.and_then(|()| if is_due { state.sync() } else { Ok(()) }))
    }

    fn written(&self, result: io::Result<()>) -> Result<(), JournalError> {
        result.map_err(|source| JournalError::Io { action: "write", path: self.path.clone(), source })
    }
}

impl State {
    fn sync(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines)?;
        self.lines.clear();
        self.waiting = 0;
        self.file.sync_data()?;
        self.synced = Instant::now();
        Ok(())
    }
}
