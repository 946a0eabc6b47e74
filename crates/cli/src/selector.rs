//! `S` and `S:/PATH` as they are typed, and the snapshot that is meant.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::key_of_path;
use backstay_repo::{RepoError, Repository, Selection};

use crate::Result;
use crate::failure::Failure;
use crate::output::{record_time, short};

/// Candidates that are shown when a name could mean many.
const CANDIDATES_MAX: usize = 20;

/// A snapshot, and maybe a path in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) snapshot: String,
    /// The path's tree key.
    pub(crate) key: Option<Vec<u8>>,
}

impl Selector {
    /// Reads `S` or `S:/PATH`; the path may hold any bytes.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let (snapshot, path) = match bytes.iter().position(|byte| *byte == b':') {
            Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            None => (bytes, None),
        };
        let snapshot =
            std::str::from_utf8(snapshot).ok().filter(|snapshot| !snapshot.is_empty() && !snapshot.contains('/'));
        let snapshot =
            snapshot.ok_or("it is no snapshot; write `latest`, the start of an id, or one of them with `:/PATH`")?;
        let key = path.map(|path| {
            let components = || path.split(|byte| *byte == b'/');
            if components().any(|component| component == b"..") {
                return Err("the path must not have `..` in it");
            }
            Ok(key_of_path(&components().filter(|component| *component != b".").collect::<Vec<_>>().join(&b'/')))
        });
        Ok(Self { snapshot: snapshot.to_owned(), key: key.transpose()? })
    }

    pub(crate) fn find(&self, repository: &Repository, selection: &Selection) -> Result<SnapshotRecord> {
        find_snapshot(repository, &self.snapshot, selection)
    }
}

/// For clap: names with bytes that are not UTF-8 are welcome.
#[derive(Clone)]
pub(crate) struct SelectorParser;

impl clap::builder::TypedValueParser for SelectorParser {
    type Value = Selector;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Selector, clap::Error> {
        Selector::parse(value).map_err(|reason| {
            let name = argument.map(ToString::to_string).unwrap_or_default();
            let text = format!("invalid value '{}' for '{name}': {reason}\n", value.to_string_lossy());
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

/// The snapshot that is meant; where it could be several, an error that lists them.
pub(crate) fn find_snapshot(repository: &Repository, spec: &str, selection: &Selection) -> Result<SnapshotRecord> {
    repository.find_snapshot(spec, selection).map_err(|error| match error {
        RepoError::AmbiguousSnapshot { .. } => ambiguous(error, &repository.snapshots()),
        RepoError::AmbiguousSource { ref sources } => {
            let newest = |source: &String| {
                let (complete, _) = repository.parents_of(source);
                let newest = complete.map(|it| format!(": newest is {}, {}", short(&it.id), record_time(&it.started)));
                format!("{source}{}", newest.unwrap_or_default())
            };
            let lines = sources.iter().map(newest).collect();
            let failure = Failure::new(format!("`latest` could be a snapshot of {} sources", sources.len()));
            with_candidates(failure, lines).with_hint("choose one with --source NAME, or name a snapshot by its id")
        }
        error => error.into(),
    })
}

/// The forgotten snapshot that is meant; where it could be several, an error that lists them.
pub(crate) fn find_forgotten(repository: &Repository, spec: &str, selection: &Selection) -> Result<SnapshotRecord> {
    repository.find_forgotten(spec, selection).map_err(|error| ambiguous(error, &repository.forgotten()))
}

/// Names what an id could be the start of.
fn ambiguous(error: RepoError, snapshots: &[SnapshotRecord]) -> Failure {
    let RepoError::AmbiguousSnapshot { candidates, .. } = &error else { return error.into() };
    let shown = |snapshot: &SnapshotRecord| {
        format!("{} of {}, {}", snapshot.id, snapshot.source, record_time(&snapshot.started))
    };
    let lines = snapshots.iter().filter(|snapshot| candidates.contains(&snapshot.id)).map(shown).collect();
    with_candidates(error.into(), lines)
}

fn with_candidates(failure: Failure, lines: Vec<String>) -> Failure {
    let more = lines.len().saturating_sub(CANDIDATES_MAX);
    let failure = lines.into_iter().take(CANDIDATES_MAX).fold(failure, Failure::with_candidate);
    if more == 0 { failure } else { failure.with_candidate(format!("and {more} more")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_snapshot_and_maybe_a_path_of_any_bytes() {
        let parse = |text: &[u8]| Selector::parse(OsStr::from_bytes(text));
        let selector = |snapshot: &str, key: Option<&[u8]>| {
            Ok(Selector { snapshot: snapshot.to_owned(), key: key.map(<[u8]>::to_vec) })
        };
        assert_eq!(parse(b"latest"), selector("latest", None));
        assert_eq!(parse(b"3f2a:/"), selector("3f2a", Some(b"")));
        assert_eq!(parse(b"3f2a:/a//b/./c:d/"), selector("3f2a", Some(b"a\0b\0c:d")));
        assert_eq!(parse(b"3f2a:a"), selector("3f2a", Some(b"a")));
        assert_eq!(parse(b"3f2a:/\xff"), selector("3f2a", Some(b"\xff")));
        for wrong in [&b""[..], b":/a", b"/a", b"3f2a:/a/../b"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
