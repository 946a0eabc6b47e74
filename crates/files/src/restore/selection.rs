//! Which items of a snapshot are restored, and what `--delete` may remove.

use std::collections::HashSet;

use backstay_format::tree::{display_key, key_of_path, key_parent};
use backstay_repo::read_ledger;

use super::Restore;
use crate::error::FilesError;
use crate::filter::{Filter, FilterError, FilterOptions, MatchScratch, Rule};

pub(super) struct Selection {
    /// Nothing: all of it.
    include: Option<Filter>,
    exclude: Option<Filter>,
    /// How much of each key is that of the directory whose contents land in the target.
    strip: usize,
    scratch: MatchScratch,
    path: Vec<u8>,
}

/// What globs say about one item alone; what they say about its directories counts too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Included,
    Excluded,
    /// As its directory.
    Inherited,
}

impl Selection {
    pub(super) fn new(include: &[String], exclude: &[String], strip: usize) -> Result<Self, FilterError> {
        Ok(Self {
            include: compile(include)?,
            exclude: compile(exclude)?,
            strip,
            scratch: MatchScratch::default(),
            path: Vec::new(),
        })
    }

    /// Whether items are restored that no glob names.
    pub(super) fn is_included_by_default(&self) -> bool {
        self.include.is_none()
    }

    /// What the globs say about an item and the directories that it is in.
    pub(super) fn chooses(&mut self, key: &[u8]) -> bool {
        let mut is_chosen = self.is_included_by_default();
        let mut at = Some(key);
        let mut is_directory = false;
        while let Some(key) = at {
            match self.verdict(key, is_directory) {
                Verdict::Excluded => return false,
                Verdict::Included => is_chosen = true,
                Verdict::Inherited => {}
            }
            is_directory = true;
            at = key_parent(key);
        }
        is_chosen
    }

    pub(super) fn verdict(&mut self, key: &[u8], is_directory: bool) -> Verdict {
        if self.include.is_none() && self.exclude.is_none() {
            return Verdict::Inherited;
        }
        self.path.clear();
        self.path.extend(key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }));
        let relative = &self.path[self.strip.min(self.path.len())..];
        let mut matches = |filter: &Option<Filter>| {
            filter
                .as_ref()
                .is_some_and(|filter| filter.excludes(&self.path, relative, is_directory, &mut self.scratch).is_some())
        };
        if matches(&self.exclude) {
            Verdict::Excluded
        } else if matches(&self.include) {
            Verdict::Included
        } else {
            Verdict::Inherited
        }
    }
}

/// A filter that leaves out exactly what matches.
fn compile(globs: &[String]) -> Result<Option<Filter>, FilterError> {
    if globs.is_empty() {
        return Ok(None);
    }
    let rules = globs.iter().map(|glob| Rule::exclude(glob.as_str())).collect();
    Filter::new(&FilterOptions { rules, ..FilterOptions::default() }).map(Some)
}

/// What must stay although the snapshot does not have it.
pub(super) struct Protected {
    /// Keys of what was backed up: what lies beside them was never looked at.
    roots: Vec<Vec<u8>>,
    /// Paths that could not be captured, as the ledger shows them.
    uncaptured: HashSet<String>,
}

impl Protected {
    pub(super) fn of(restore: &Restore<'_>) -> Result<Self, FilesError> {
        let snapshot = restore.snapshot;
        let entries = read_ledger(&mut restore.repository.reader()?, &snapshot.ledger)?;
        Ok(Self {
            roots: snapshot.paths.iter().map(|path| key_of_path(path.as_bytes())).collect(),
            uncaptured: entries.into_iter().map(|entry| entry.path.trim_start_matches('/').to_owned()).collect(),
        })
    }

    /// Whether the snapshot says all that was in this directory.
    pub(super) fn allows_cleaning(&self, directory: &[u8]) -> bool {
        let is_inside = |root: &Vec<u8>| {
            root.is_empty() || directory.starts_with(root) && matches!(directory.get(root.len()), None | Some(0))
        };
        self.roots.iter().any(is_inside) && !self.is_uncaptured_at_or_above(directory)
    }

    pub(super) fn allows_removing(&self, key: &[u8]) -> bool {
        !self.uncaptured.contains(&display_key(key))
    }

    fn is_uncaptured_at_or_above(&self, key: &[u8]) -> bool {
        let mut at = Some(key);
        while let Some(key) = at {
            if self.uncaptured.contains(&display_key(key)) {
                return true;
            }
            at = key_parent(key);
        }
        false
    }
}
