//! What a restore did: counts, items that failed, and what is worth saying once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_format::log::{Extra, LedgerEntry};
use backstay_format::tree::display_key;
use backstay_repo::{ErrorKind, RepoError};
use parking_lot::Mutex;
use rustix::io::Errno;

use crate::error::FilesError;

/// More failures than this are only counted.
const PROBLEMS_MAX: usize = 10_000;

/// What happens to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Create,
    /// Something about it differs; a dry run does not look into files.
    Update,
    /// As the snapshot has it already.
    Keep,
    /// Something is in its place that may not be overwritten.
    Leave,
    /// The snapshot does not have it.
    Delete,
}

/// How many items each thing happened to. Directories that only lead to what was restored are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreCounts {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub left: u64,
    pub deleted: u64,
    pub failed: u64,
    /// Of the failed ones: because the repository is damaged.
    pub damaged: u64,
}

/// A finished restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOutcome {
    pub counts: RestoreCounts,
    /// Contents written, bytes: less than the size of what was restored where files were there before.
    pub written_bytes: u64,
    /// The failures, at most the first ten thousand, in order of paths in the snapshot.
    pub problems: Vec<LedgerEntry>,
    /// What could not be restored of items that are otherwise there, and was nobody's fault: owners, for one.
    pub notes: Vec<Note>,
}

impl RestoreOutcome {
    pub fn is_partial(&self) -> bool {
        self.counts.failed > 0
    }

    pub fn found_damage(&self) -> bool {
        self.counts.damaged > 0
    }
}

/// Said once, however many items it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable word: `ownership`, `xattr-security` …
    pub reason: String,
    pub detail: String,
    /// The first item.
    pub path: String,
    pub items: u64,
}

/// Why an item was not restored, or why nothing more will be.
pub(super) enum Failure {
    Item {
        reason: &'static str,
        detail: String,
    },
    /// The repository cannot give its contents.
    Damaged {
        detail: String,
    },
    /// The target has no space left: every item after this one would fail too.
    Full(Errno),
    Run(FilesError),
}

impl Failure {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Item { reason, detail: detail.into() }
    }

    /// An error of the system while doing `what`.
    pub(super) fn system(what: &'static str) -> impl Fn(Errno) -> Self {
        move |error| {
            let reason = match error {
                Errno::NOSPC | Errno::DQUOT => return Self::Full(error),
                Errno::ACCESS | Errno::PERM | Errno::ROFS => "not-permitted",
                Errno::LOOP | Errno::XDEV | Errno::NOTDIR => "unsafe-path",
                Errno::EXIST => "in-the-way",
                Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => "not-representable",
                _ => "not-written",
            };
            Self::Item { reason, detail: format!("cannot {what}: {error}") }
        }
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        if is_damage(&error) { Self::Damaged { detail: with_causes(&error) } } else { Self::Run(error.into()) }
    }
}

/// Whether an error is that of the record that was asked for, and the next one may still be read.
pub(super) fn is_damage(error: &RepoError) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound)
}

/// Collects from all threads.
#[derive(Default)]
pub(super) struct Report {
    created: AtomicU64,
    updated: AtomicU64,
    unchanged: AtomicU64,
    left: AtomicU64,
    deleted: AtomicU64,
    failed: AtomicU64,
    damaged: AtomicU64,
    written_bytes: AtomicU64,
    problems: Mutex<Vec<LedgerEntry>>,
    notes: Mutex<BTreeMap<(&'static str, String), Note>>,
    /// One bit an item of the snapshot: nothing is there to verify.
    absent: Mutex<Vec<u64>>,
}

impl Report {
    pub(super) fn count(&self, action: Action, items: u64) {
        let counter = match action {
            Action::Create => &self.created,
            Action::Update => &self.updated,
            Action::Keep => &self.unchanged,
            Action::Leave => &self.left,
            Action::Delete => &self.deleted,
        };
        counter.fetch_add(items, Ordering::Relaxed);
    }

    pub(super) fn written(&self, bytes: u64) {
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, key: &[u8], reason: &str, detail: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut problems = self.problems.lock();
        if problems.len() < PROBLEMS_MAX {
            problems.push(LedgerEntry {
                path: shown(key),
                reason: reason.to_owned(),
                detail: detail.to_owned(),
                failed: true,
                extra: Extra::new(),
            });
        }
    }

    pub(super) fn fail_damaged(&self, key: &[u8], detail: &str) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        self.fail(key, "damaged", detail);
    }

    pub(super) fn note(&self, reason: &'static str, detail: impl Into<String>, key: &[u8]) {
        let mut notes = self.notes.lock();
        let note = notes.entry((reason, detail.into()));
        let note = note.or_insert_with_key(|(reason, detail)| Note {
            reason: (*reason).to_owned(),
            detail: detail.clone(),
            path: shown(key),
            items: 0,
        });
        note.items += 1;
    }

    /// Says that the item with this number was not restored.
    pub(super) fn set_absent(&self, number: u64) {
        let mut absent = self.absent.lock();
        let word = (number / 64) as usize;
        if absent.len() <= word {
            absent.resize(word + 1, 0);
        }
        absent[word] |= 1 << (number % 64);
    }

    pub(super) fn is_absent(&self, number: u64) -> bool {
        let absent = self.absent.lock();
        absent.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(super) fn finish(&self) -> RestoreOutcome {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut problems = std::mem::take(&mut *self.problems.lock());
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        RestoreOutcome {
            counts: RestoreCounts {
                created: get(&self.created),
                updated: get(&self.updated),
                unchanged: get(&self.unchanged),
                left: get(&self.left),
                deleted: get(&self.deleted),
                failed: get(&self.failed),
                damaged: get(&self.damaged),
            },
            written_bytes: get(&self.written_bytes),
            problems,
            notes: std::mem::take(&mut *self.notes.lock()).into_values().collect(),
        }
    }
}

pub(super) fn shown(key: &[u8]) -> String {
    format!("/{}", display_key(key))
}

/// An error and its causes in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
