//! How a run ends: exit codes, and errors as people see them.
//!
//! Exit codes are decided here and nowhere else, from the kinds of errors and from outcomes. A message names the item,
//! the causes follow one a line, and a hint says what to do next.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use backstay_cluster::ClusterError;
use backstay_cluster::api::ApiError;
use backstay_cluster::look::LookError;
use backstay_cluster::restore::JournalError;
use backstay_files::FilesError;
use backstay_repo::copy::CopyError;
use backstay_repo::store::{LocationError, StoreError};
use backstay_repo::{ErrorKind, ForgetError, RepoError};

use crate::output::escape;

/// How a run ended. The numbers are promised (docs/reference/exit-codes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Partial = 3,
    Conflict = 4,
    Damage = 5,
    NoRepository = 10,
    WrongPassword = 12,
    Interrupted = 130,
}

impl Exit {
    /// The worse of two outcomes of one run.
    pub(crate) fn or_graver(self, other: Self) -> Self {
        let gravity = |exit| {
            [Self::Done, Self::Partial, Self::Conflict, Self::Failed, Self::Damage].iter().position(|it| *it == exit)
        };
        if gravity(other) > gravity(self) { other } else { self }
    }

    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Corrupt => Self::Damage,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::NoRepository => Self::NoRepository,
            ErrorKind::WrongPassword => Self::WrongPassword,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Retry
            | ErrorKind::NotFound
            | ErrorKind::Invalid
            | ErrorKind::Denied
            | ErrorKind::Full
            | ErrorKind::Unsupported => Self::Failed,
        }
    }
}

/// An error on its way to the terminal.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    /// Lines below the message: causes, or what could have been meant.
    lines: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), lines: Vec::new(), hint: None }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(message).with_exit(Exit::Usage)
    }

    /// An error with everything that caused it.
    pub(crate) fn from_error(error: &dyn Error) -> Self {
        let mut failure = Self::new(error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            failure = failure.with_cause(error.to_string());
            cause = error.source();
        }
        failure
    }

    /// A file of the user's that cannot be read or written.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(format!("cannot {action} {}", path.display())).with_cause(error.to_string())
    }

    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.lines.push(format!("cause: {}", cause.into()));
        self
    }

    pub(crate) fn with_candidate(mut self, candidate: impl Into<String>) -> Self {
        self.lines.push(candidate.into());
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn print(&self) {
        if self.exit == Exit::Done {
            return;
        }
        let mut text = labelled("error", AnsiColor::Red, &self.message);
        for line in &self.lines {
            text.push_str(&format!("  {}\n", escape(line)));
        }
        if let Some(hint) = &self.hint {
            text.push('\n');
            text.push_str(&labelled("hint", AnsiColor::Cyan, hint));
        }
        // With stderr gone there is nobody to tell.
        let _ = anstream::stderr().write_all(text.as_bytes());
    }
}

/// A message line: a word in colour, then plain text that is readable without it.
pub(crate) fn labelled(label: &str, color: AnsiColor, message: &str) -> String {
    let style = Style::new().bold().fg_color(Some(color.into()));
    format!("{style}{label}:{style:#} {}\n", escape(message))
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        let failure = Self::from_error(&error).with_exit(Exit::of(error.kind()));
        match repo_hint(&error) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        RepoError::from(error).into()
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Repository(error) => error.into(),
            error @ (FilesError::Filter(_) | FilesError::UnknownProfile { .. } | FilesError::NoCommand) => {
                Self::from_error(&error).with_exit(Exit::Usage)
            }
            error => Self::from_error(&error).with_exit(Exit::of(error.kind())),
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Repository(error) => error.into(),
            ClusterError::Api(error) => error.into(),
            ClusterError::Look(error) => error.into(),
            error @ ClusterError::Filter(_) => Self::from_error(&error).with_exit(Exit::Usage),
            error => {
                let failure = Self::from_error(&error).with_exit(Exit::of(error.kind()));
                match cluster_hint(&error) {
                    Some(hint) => failure.with_hint(hint),
                    None => failure,
                }
            }
        }
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        let failure = Self::from_error(&error);
        match error {
            LookError::UnknownKind { near, .. } if near.is_empty() => {
                failure.with_hint("`backstay show SNAPSHOT` lists the kinds that a snapshot has")
            }
            LookError::UnknownKind { near, .. } => failure.with_hint(format!("did you mean {}?", near.join(" or "))),
            LookError::AmbiguousKind { candidates, .. } => {
                failure.with_hint(format!("write it with its group: {}", candidates.join(" or ")))
            }
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let failure = Self::from_error(&error).with_exit(Exit::of(error.kind()));
        match api_hint(&error) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<LocationError> for Failure {
    fn from(error: LocationError) -> Self {
        let failure = Self::from_error(&error).with_exit(Exit::Usage);
        match error {
            LocationError::Empty => failure.with_hint("name the repository with --repo, or set BACKSTAY_REPO"),
            _ => failure
                .with_hint("a repository is a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"),
        }
    }
}

/// For what is written to stdout. A reader that has seen enough and closes the pipe is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let failure = Self::new("cannot write the output").with_cause(error.to_string());
        if error.kind() == io::ErrorKind::BrokenPipe { failure.with_exit(Exit::Done) } else { failure }
    }
}

/// What to do about it.
fn repo_hint(error: &RepoError) -> Option<String> {
    let hint = match error {
        RepoError::NoRepository { .. } => {
            "check --repo or BACKSTAY_REPO; `backstay repo init` makes a new repository there"
        }
        RepoError::RepositoryExists { .. } => {
            "use it as it is (`backstay repo info` describes it), or name another place; `--if-absent` makes this no error"
        }
        RepoError::WrongPassword { .. } => {
            "the secret comes from --password-file, --password-command, --key-file, BACKSTAY_PASSWORD or the prompt, in this order"
        }
        RepoError::Unsupported { .. } | RepoError::ReadOnly => "install a newer version of backstay",
        RepoError::Damaged { .. }
        | RepoError::MissingRecord { .. }
        | RepoError::LostRecord { .. }
        | RepoError::MissingPack { .. }
        | RepoError::Log(_)
        | RepoError::LogGap { .. } => {
            "`backstay repo check --read-data` says which snapshots and files are concerned; `backstay repo scrub` needs no password"
        }
        RepoError::BrokenIndex { .. } => "`backstay repo repair index` makes it anew from the packs; that comes first",
        RepoError::UnindexedPack { .. } => "`backstay repo repair index` takes it into the index; that comes first",
        RepoError::DamagedPacks { .. } => {
            "`backstay repo heal --from COPY` or `backstay repo repair packs` comes first: it saves what can be read of them"
        }
        RepoError::Index(_) => "run it again with --no-cache, or with another --cache-dir",
        RepoError::NeedsExclusiveUse { .. } => {
            "make sure that nothing else uses the repository, and that no backup which was paused will go on; then add --exclusive"
        }
        RepoError::OutcomeUnknown { .. } => {
            "`backstay snapshots` shows whether it was done, once the store can be reached; where it was not, run the same command again"
        }
        RepoError::Overtaken(_) | RepoError::BrokenBackup => {
            "run the same command again: it finds what was stored, and sees the repository as it is now"
        }
        RepoError::NoSnapshot { .. } | RepoError::NoSnapshots { .. } => "`backstay snapshots` lists the snapshots",
        RepoError::AmbiguousSnapshot { .. } => "type more of the id; `backstay snapshots` lists them",
        RepoError::AmbiguousSource { .. } => "choose one with --source NAME",
        RepoError::Forget(error) => return Some(forget_hint(error).to_owned()),
        RepoError::Copy(error) => copy_hint(error),
        RepoError::Store(_) => return store_hint(error.kind()).map(str::to_owned),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn forget_hint(error: &ForgetError) -> &'static str {
    match error {
        ForgetError::EmptyPolicy => "give at least one rule, such as --keep-daily 7",
        ForgetError::Held { .. } => "take its holds off first: `backstay hold SNAPSHOT --release NAME`",
        ForgetError::NewestAccepted { .. } => "where the source is to go altogether, say --force",
        ForgetError::VolumeOf { .. } => "it goes when that snapshot goes: name that one",
        ForgetError::NotRestorable { .. } => {
            "`backstay snapshots --forgotten` lists those that can be; of others, type the id as `backstay snapshots` showed it once"
        }
        ForgetError::Gone { .. } => {
            "a collection has let its data go; a copy of the repository that was not collected since may have it"
        }
    }
}

fn copy_hint(error: &CopyError) -> &'static str {
    match error {
        CopyError::IsCopy { .. } => {
            "change the original, and copy again; `backstay repo heal --from ORIGINAL` mends a copy; where the original is lost, `backstay repo copy --take-over` makes the copy a repository of its own"
        }
        CopyError::NoCopy { .. } => {
            "it was made by `repo init`, or taken over with `repo copy --take-over`: name another place for the copy"
        }
        CopyError::OtherRepository { .. } => "name another place, or the right repository with --repo",
        CopyError::Diverged { .. } => {
            "compare `backstay snapshots` at both places, and copy to a new place; where the original lost the end of its log, `backstay repo heal --from COPY` brings it back"
        }
    }
}

fn cluster_hint(error: &ClusterError) -> Option<&'static str> {
    Some(match error {
        ClusterError::NotACluster { .. } => {
            "`backstay snapshots` lists the snapshots with their kinds; `backstay restore files` restores files"
        }
        ClusterError::NoSource => "name the source with --source NAME",
        ClusterError::NothingListed(error) if error.is_forbidden() => {
            "an account that may only read some namespaces names them: --include-namespaces NAME --include-cluster-resources=false"
        }
        ClusterError::NothingListed(error) => return api_hint(error),
        ClusterError::ForeignPlan { .. } => {
            "choose the plan's cluster with --kubeconfig and --context, or make a plan for this one: the same command without --plan"
        }
        ClusterError::ForeignSnapshot { .. } => "leave the snapshot out: the plan names it",
        ClusterError::Journal(JournalError::Foreign { .. }) => {
            "it is of another plan that was interrupted: apply that one to its end, or remove the file"
        }
        ClusterError::Journal(_) => {
            "the journal lies beside the plan; with --no-cache none is kept, and a run that is interrupted begins anew"
        }
        _ => return None,
    })
}

fn api_hint(error: &ApiError) -> Option<&'static str> {
    Some(match error {
        ApiError::Connect { .. } | ApiError::Tls { .. } | ApiError::Config { .. } => {
            "check --kubeconfig and --context (or KUBECONFIG); `kubectl cluster-info` says whether the cluster answers"
        }
        error if error.is_unauthorized() => "the credentials are wrong or expired: sign in again, as for kubectl",
        error if error.is_forbidden() => "`kubectl auth can-i --list` says what this account may do",
        ApiError::Deadline { .. } => "run the same command again when the cluster answers faster",
        _ => return None,
    })
}

fn store_hint(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Retry => "run the same command again when the store can be reached: what was stored is found again",
        ErrorKind::NotFound => "check --repo or BACKSTAY_REPO; `backstay repo check` says what is missing",
        ErrorKind::Denied => "check the credentials, and the permissions of the folder or bucket",
        ErrorKind::Full => {
            "free some space or raise the quota, then run the same command again: what was stored is found again"
        }
        ErrorKind::Corrupt => "`backstay repo scrub` compares every stored object with its own hash",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_outcome_decides_the_exit_code() {
        let all = [Exit::Done, Exit::Partial, Exit::Conflict, Exit::Failed, Exit::Damage];
        for (index, graver) in all.iter().enumerate() {
            for lesser in &all[..=index] {
                assert_eq!(lesser.or_graver(*graver), *graver);
                assert_eq!(graver.or_graver(*lesser), *graver);
            }
        }
    }

    #[test]
    fn a_closed_pipe_is_success() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit(), Exit::Done);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit(), Exit::Failed);
    }
}
