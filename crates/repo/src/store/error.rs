//! What can go wrong between Backstay and its storage, in words that a person can act on.
//!
//! A [`StoreError`] names the operation, the object and the location; why it failed is in `source()`, as text
//! composed here. The errors of the storage libraries themselves are not kept: they print request addresses, and an
//! address may hold a signature.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The store could not be reached or is overloaded, and repeating did not help for as long as was allowed.
    Retry,
    /// Something else exists under this name already.
    Conflict,
    /// There is no such object, bucket or folder.
    NotFound,
    /// The store answers with something else than was stored.
    Corrupt,
    /// The request or the settings are wrong; repeating cannot help.
    Invalid,
    /// The store refuses: credentials, permissions, a retention period, a read-only disk.
    Denied,
    /// No space, or a quota is used up.
    Full,
    /// The store was told to stop, see [`Store::interrupt`](super::Store::interrupt).
    Interrupted,
}

/// One kind of access to the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Open,
    Get,
    Put,
    Create,
    Overwrite,
    Head,
    List,
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Get => "read",
            Self::Put => "store",
            Self::Create => "create",
            Self::Overwrite => "overwrite",
            Self::Head => "look up",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

/// A failed access, with everything that is needed to understand it.
#[derive(Debug)]
pub struct StoreError(Box<Details>);

#[derive(Debug)]
struct Details {
    operation: Operation,
    name: String,
    location: String,
    attempts: u32,
    elapsed: Duration,
    outcome_unknown: bool,
    failure: Failure,
}

impl StoreError {
    pub(super) fn new(operation: Operation, name: &str, location: &str, failure: Failure) -> Self {
        Self(Box::new(Details {
            operation,
            name: name.to_owned(),
            location: location.to_owned(),
            attempts: 1,
            elapsed: Duration::ZERO,
            outcome_unknown: false,
            failure,
        }))
    }

    pub(super) fn after(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.0.attempts = attempts;
        self.0.elapsed = elapsed;
        self
    }

    pub(super) fn with_outcome_unknown(mut self) -> Self {
        self.0.outcome_unknown = true;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.failure.kind
    }

    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The object that was asked for; empty when it was the location as a whole.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// True when a create may or may not have taken effect: the store gave no clear answer to any repetition.
    pub fn is_outcome_unknown(&self) -> bool {
        self.0.outcome_unknown
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.0;
        if details.outcome_unknown {
            write!(f, "cannot tell whether {} was created in {}", details.name, details.location)?;
        } else if details.name.is_empty() {
            write!(f, "cannot {} {}", details.operation, details.location)?;
        } else {
            write!(f, "cannot {} {} in {}", details.operation, details.name, details.location)?;
        }
        if details.attempts > 1 {
            write!(f, " ({} attempts in {} s)", details.attempts, details.elapsed.as_secs())?;
        }
        Ok(())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0.failure)
    }
}

/// Why one attempt failed. It knows neither object nor location: [`StoreError`] adds them.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) retry_after: Option<Duration>,
    text: String,
    source: Option<io::Error>,
}

impl Failure {
    pub(super) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, retry_after: None, text: text.into(), source: None }
    }

    pub(super) fn io(text: &str, source: io::Error) -> Self {
        let failure = Self::new(kind_of_io(&source), text);
        Self { source: Some(source), ..failure }
    }

    /// Of a read from a disk: what the disk has lost is damage of the object.
    pub(super) fn reading(text: &str, source: io::Error) -> Self {
        // EIO, EBADMSG and EUCLEAN of Linux, which have no kinds of their own.
        let is_lost = matches!(source.raw_os_error(), Some(5 | 74 | 117));
        let failure = Self::io(text, source);
        if is_lost { failure.with_kind(ErrorKind::Corrupt) } else { failure }
    }

    pub(super) fn unclear(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retry, text)
    }

    pub(super) fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "interrupted")
    }

    pub(super) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// "Not found" said of the bucket, not of the object in it.
    pub(super) fn is_about_bucket(&self) -> bool {
        ["NoSuchBucket", "ContainerNotFound", "ResourceNotFound"].iter().any(|code| self.text.contains(code))
    }

    /// May the request have been carried out all the same?
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self.kind, ErrorKind::Retry | ErrorKind::Interrupted)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as &(dyn Error + 'static))
    }
}

pub(super) fn kind_of_io(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::AlreadyExists => ErrorKind::Conflict,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
        Io::UnexpectedEof => ErrorKind::Corrupt,
        Io::NotADirectory | Io::IsADirectory | Io::InvalidInput | Io::InvalidFilename | Io::Unsupported => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_say_what_can_be_done_about_them() {
        // ENOENT, EACCES, EROFS, ENOSPC, EDQUOT, ENOTDIR, EIO, ESTALE of Linux.
        for (number, kind) in [
            (2, ErrorKind::NotFound),
            (13, ErrorKind::Denied),
            (30, ErrorKind::Denied),
            (28, ErrorKind::Full),
            (122, ErrorKind::Full),
            (20, ErrorKind::Invalid),
            (5, ErrorKind::Retry),
            (116, ErrorKind::Retry),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(kind_of_io(&error), kind, "{error}");
        }
        // EIO, EBADMSG, EUCLEAN where something is read; EACCES, ESTALE.
        for (number, kind) in [
            (5, ErrorKind::Corrupt),
            (74, ErrorKind::Corrupt),
            (117, ErrorKind::Corrupt),
            (13, ErrorKind::Denied),
            (116, ErrorKind::Retry),
        ] {
            assert_eq!(
                Failure::reading("it cannot be read", io::Error::from_raw_os_error(number)).kind,
                kind,
                "{number}"
            );
        }
    }
}
