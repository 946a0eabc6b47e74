//! What a request can end with, in words that name the request and the cause.
//!
//! Texts are composed here; the errors of the libraries below are taken apart, since some of them print credentials or documents.

use std::time::Duration;

use backstay_repo::ErrorKind;
use serde_json::error::Category;

use super::request::Call;

#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// Nothing was sent: kubeconfig, context, credentials' helper, a name that is none.
    #[error("{detail}")]
    Config { detail: String },
    /// No connection, or it broke before the answer was there.
    #[error("cannot reach the API server {address} ({origin}): {detail}")]
    Connect {
        request: String,
        address: String,
        /// Where the address was found.
        origin: String,
        detail: String,
        /// The server may have done what it was asked to do.
        outcome_unknown: bool,
    },
    #[error("no secure connection to the API server {address} ({origin}): {detail}")]
    Tls { address: String, origin: String, detail: String },
    /// The server's answer.
    #[error("{request}: {message} ({code} {reason})")]
    Status {
        /// Without its query: `GET /api/v1/pods`.
        request: String,
        code: u16,
        /// The server's word: `NotFound`, `AlreadyExists`, `Expired`.
        reason: String,
        message: String,
        details: Box<StatusDetails>,
    },
    #[error("{request}: no answer within {} s: {detail}", .waited.as_secs())]
    Deadline {
        request: String,
        waited: Duration,
        /// What the last try met.
        detail: String,
        outcome_unknown: bool,
    },
    #[error("{request}: the answer cannot be read: {detail}")]
    Malformed { request: String, detail: String },
    #[error("{request}: interrupted")]
    Interrupted { request: String },
}

/// What a server's refusal says besides its message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusDetails {
    /// Which fields, where it names them.
    pub causes: Vec<StatusCause>,
    /// With 410: where a list can go on, in a later state.
    pub(super) continue_token: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) outcome_unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusCause {
    /// `FieldValueInvalid`, `FieldValueForbidden`, ...
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl ApiError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. } | Self::Tls { .. } | Self::Malformed { .. } => ErrorKind::Invalid,
            Self::Connect { .. } | Self::Deadline { .. } => ErrorKind::Retry,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::Status { code, .. } => match code {
                401 | 403 => ErrorKind::Denied,
                404 => ErrorKind::NotFound,
                409 => ErrorKind::Conflict,
                410 | 429 | 500.. => ErrorKind::Retry,
                _ => ErrorKind::Invalid,
            },
        }
    }

    /// Of the server's answer, where there was one.
    pub fn code(&self) -> Option<u16> {
        if let Self::Status { code, .. } = self { Some(*code) } else { None }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    pub fn is_already_exists(&self) -> bool {
        self.has_reason(409, "AlreadyExists")
    }

    /// Somebody else changed it meanwhile, or a precondition does not hold.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409) && !self.is_already_exists()
    }

    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// The credentials are wrong or expired.
    pub fn is_unauthorized(&self) -> bool {
        self.code() == Some(401)
    }

    /// The server refuses the object itself.
    pub fn is_invalid(&self) -> bool {
        matches!(self.code(), Some(400 | 422))
    }

    /// A write that may or may not have been done: look before doing it again.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Connect { outcome_unknown, .. } | Self::Deadline { outcome_unknown, .. } => *outcome_unknown,
            Self::Status { details, .. } => details.outcome_unknown,
            _ => false,
        }
    }

    /// What the server says besides its message.
    pub fn details(&self) -> Option<&StatusDetails> {
        if let Self::Status { details, .. } = self { Some(details) } else { None }
    }

    /// The parser's own words may quote what it read, such as a Secret.
    pub(super) fn malformed(call: &Call, error: &serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Eof => "it ends too early",
            Category::Syntax | Category::Io => "it is no JSON",
            Category::Data => "it has another form than expected",
        };
        let detail = format!("{what} (line {}, column {})", error.line(), error.column());
        Self::Malformed { request: call.to_string(), detail }
    }

    pub(super) fn continue_token(&self) -> Option<&str> {
        self.details()?.continue_token.as_deref()
    }

    pub(super) fn set_outcome_unknown(&mut self, is_unknown: bool) {
        match self {
            Self::Connect { outcome_unknown, .. } | Self::Deadline { outcome_unknown, .. } => {
                *outcome_unknown = is_unknown;
            }
            Self::Status { details, .. } => details.outcome_unknown = is_unknown,
            _ => {}
        }
    }

    fn has_reason(&self, wanted_code: u16, wanted: &str) -> bool {
        matches!(self, Self::Status { code, reason, .. } if *code == wanted_code && reason == wanted)
    }
}
