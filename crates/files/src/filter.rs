//! What is left out of a backup, and how much of it.
//!
//! Rules are looked at from the last to the first, and the first that matches decides; what no rule matches is kept. A
//! directory that is left out is not entered, so nothing below it can be included again. Patterns are globs over bytes:
//! - `*` and `?` match within one name (`?` one byte), `**` any number of directories, `[ab]` and `{a,b}` a choice, `\` quotes.
//! - without a slash (`*.o`) a pattern matches a name at any depth;
//! - with a leading slash (`/home/*/.cache`) it matches the whole absolute path;
//! - with a slash elsewhere (`target/debug`) it matches the path below each root that was given;
//! - with a slash at the end (`node_modules/`) it matches directories only.
//!
//! Roots are never left out: whoever names a path means it. A directory with a marker (`CACHEDIR.TAG`), and a directory where
//! another file system is mounted when only one is wanted, are kept themselves, without what is in them; the marker stays too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// What decides about an entry that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Exclude,
    /// Keeps what an earlier rule leaves out.
    Include,
}

/// One pattern of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub verdict: Verdict,
    pub pattern: String,
}

impl Rule {
    pub fn exclude(pattern: impl Into<String>) -> Self {
        Self { verdict: Verdict::Exclude, pattern: pattern.into() }
    }

    pub fn include(pattern: impl Into<String>) -> Self {
        Self { verdict: Verdict::Include, pattern: pattern.into() }
    }

    /// Rules of a file: one pattern a line. A leading `!` includes; lines that are empty or begin with `#` say nothing;
    /// `\!` and `\#` stand for the characters themselves.
    pub fn parse_lines(text: &[u8]) -> Result<Vec<Self>, FilterError> {
        let mut rules = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = std::str::from_utf8(line).map_err(|_| FilterError::NotText { line: index + 1 })?;
            let line = line.trim_end_matches(['\r', ' ', '\t']);
            match line.strip_prefix('!') {
                _ if line.is_empty() || line.starts_with('#') => {}
                Some(pattern) => rules.push(Self::include(pattern)),
                None => rules.push(Self::exclude(line)),
            }
        }
        Ok(rules)
    }
}

/// A file whose presence leaves out everything else in its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub name: Vec<u8>,
    /// What the file begins with; without it, it is no marker.
    pub header: Vec<u8>,
}

impl Marker {
    /// Marks a directory as a cache: <https://bford.info/cachedir/>.
    pub fn cache_directory() -> Self {
        Self { name: b"CACHEDIR.TAG".to_vec(), header: b"Signature: 8a477f597d28d172789f06886806bc55".to_vec() }
    }

    pub fn named(name: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), header: Vec::new() }
    }
}

/// Everything that can leave something out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterOptions {
    /// In order; the last that matches decides.
    pub rules: Vec<Rule>,
    pub markers: Vec<Marker>,
    /// Files with more apparent bytes are left out.
    pub file_size_max_bytes: Option<u64>,
    /// Stay on the file system that each root is on.
    pub one_file_system: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    #[error("the pattern {pattern:?} is not a glob")]
    Pattern {
        pattern: String,
        #[source]
        source: globset::Error,
    },
    #[error("the pattern {pattern:?} matches nothing")]
    EmptyPattern { pattern: String },
    #[error("line {line} is not UTF-8: use `?` for each byte that is not")]
    NotText { line: usize },
}

/// Why something was left out; an index into the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason(usize);

/// The rules, compiled, with a counter for each.
#[derive(Debug)]
pub struct Filter {
    rules: Vec<CompiledRule>,
    /// Patterns for absolute paths and for names at any depth.
    absolute: PatternSet,
    /// Patterns for paths below a root.
    relative: PatternSet,
    markers: Vec<Marker>,
    file_size_max_bytes: Option<u64>,
    one_file_system: bool,
    reasons: Vec<(String, AtomicU64)>,
}

#[derive(Debug)]
struct CompiledRule {
    verdict: Verdict,
    directories_only: bool,
}

#[derive(Debug)]
struct PatternSet {
    set: GlobSet,
    /// Which rule each pattern of the set is.
    rules: Vec<usize>,
}

/// Buffers that are used again for the next entry.
#[derive(Debug, Default)]
pub(crate) struct MatchScratch {
    matches: Vec<usize>,
}

impl Filter {
    pub fn new(options: &FilterOptions) -> Result<Self, FilterError> {
        let mut rules = Vec::with_capacity(options.rules.len());
        let mut reasons = Vec::new();
        let mut absolute = (GlobSetBuilder::new(), Vec::new());
        let mut relative = (GlobSetBuilder::new(), Vec::new());
        for rule in &options.rules {
            let empty = || FilterError::EmptyPattern { pattern: rule.pattern.clone() };
            let invalid = |source| FilterError::Pattern { pattern: rule.pattern.clone(), source };
            let directories_only = rule.pattern.ends_with('/');
            let pattern = rule.pattern.trim_end_matches('/');
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            let (anchored_at, pattern) = match pattern.strip_prefix('/') {
                Some(rest) => (&mut absolute, rest.trim_start_matches('/').to_owned()),
                None if pattern.contains('/') => (&mut relative, pattern.to_owned()),
                None if pattern.is_empty() => return Err(empty()),
                None => (&mut absolute, format!("**/{pattern}")),
            };
            if pattern.is_empty() {
                return Err(empty());
            }
            let glob = GlobBuilder::new(&pattern).literal_separator(true).build().map_err(invalid)?;
            anchored_at.0.add(glob);
            anchored_at.1.push(rules.len());
            rules.push(CompiledRule { verdict: rule.verdict, directories_only });
            reasons.push(format!("exclude {}", rule.pattern));
        }
        let compile = |(builder, rules): (GlobSetBuilder, Vec<usize>)| {
            let set =
                builder.build().map_err(|source| FilterError::Pattern { pattern: "all together".into(), source })?;
            Ok(PatternSet { set, rules })
        };
        for marker in &options.markers {
            reasons.push(format!("marked by {}", String::from_utf8_lossy(&marker.name)));
        }
        reasons.push(format!("larger than {} bytes", options.file_size_max_bytes.unwrap_or(u64::MAX)));
        reasons.push("another file system".into());
        Ok(Self {
            rules,
            absolute: compile(absolute)?,
            relative: compile(relative)?,
            markers: options.markers.clone(),
            file_size_max_bytes: options.file_size_max_bytes,
            one_file_system: options.one_file_system,
            reasons: reasons.into_iter().map(|reason| (reason, AtomicU64::new(0))).collect(),
        })
    }

    /// How many entries each rule left out so far. What is below a directory that was not entered is not counted.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let counts = self.reasons.iter().map(|(reason, count)| (reason.clone(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether a rule leaves this entry out. Paths have no leading slash; `relative` is nothing outside all roots.
    pub(crate) fn excludes(
        &self,
        absolute: &[u8],
        relative: &[u8],
        is_directory: bool,
        scratch: &mut MatchScratch,
    ) -> Option<Reason> {
        let mut last = None;
        for (patterns, path) in [(&self.absolute, absolute), (&self.relative, relative)] {
            if patterns.rules.is_empty() {
                continue;
            }
            patterns.set.matches_candidate_into(&Candidate::from_bytes(path), &mut scratch.matches);
            let rules = scratch.matches.iter().map(|pattern| patterns.rules[*pattern]);
            let decisive = rules.filter(|rule| is_directory || !self.rules[*rule].directories_only).max();
            last = last.max(decisive);
        }
        last.filter(|rule| self.rules[*rule].verdict == Verdict::Exclude).map(Reason)
    }

    pub(crate) fn markers(&self) -> impl Iterator<Item = (Reason, &Marker)> {
        self.markers.iter().enumerate().map(|(index, marker)| (Reason(self.rules.len() + index), marker))
    }

    pub(crate) fn excludes_size(&self, size_bytes: u64) -> Option<Reason> {
        let too_large = self.file_size_max_bytes.is_some_and(|max| size_bytes > max);
        too_large.then(|| Reason(self.reasons.len() - 2))
    }

    pub(crate) fn excludes_device(&self, device: u64, root_device: u64) -> Option<Reason> {
        (self.one_file_system && device != root_device).then(|| Reason(self.reasons.len() - 1))
    }

    pub(crate) fn count(&self, reason: Reason, entries: u64) {
        self.reasons[reason.0].1.fetch_add(entries, Ordering::Relaxed);
    }
}
