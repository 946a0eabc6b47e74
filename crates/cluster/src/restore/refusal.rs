//! Why an item is not as it is in the snapshot: the server's answers, sorted.
//!
//! Words come from the server's status. Where a check of a Secret's contents speaks, they lose whatever they quote: some repeat the
//! value.

use super::outcome::{Cause, ItemResult};
use super::prepare::PreparedObject;
use crate::api::ApiError;
use crate::resource::ResourceName;

/// Longer words are cut: a denial may hold a policy's whole text.
const WORDS_CHARS_MAX: usize = 600;

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) result: ItemResult,
    pub(super) cause: Cause,
    pub(super) why: String,
    /// Of an object that is there all the same.
    pub(super) uid: Option<String>,
}

impl Refusal {
    fn new(result: ItemResult, cause: Cause, why: String) -> Self {
        Self { result, cause, why, uid: None }
    }

    pub(super) fn skipped(why: String) -> Self {
        Self::new(ItemResult::Skipped, Cause::Planned, why)
    }

    pub(super) fn planned(why: String) -> Self {
        Self::new(ItemResult::Conflict, Cause::Planned, why)
    }

    pub(super) fn left(why: String, uid: String) -> Self {
        Self { uid: Some(uid), ..Self::new(ItemResult::Left, Cause::Exists, why) }
    }

    pub(super) fn moved(why: String) -> Self {
        Self::new(ItemResult::Conflict, Cause::Moved, why)
    }

    pub(super) fn terminating(why: String) -> Self {
        Self::new(ItemResult::Conflict, Cause::Terminating, why)
    }

    pub(super) fn immutable(why: String) -> Self {
        Self::new(ItemResult::Conflict, Cause::Immutable, why)
    }

    pub(super) fn unserved(why: String) -> Self {
        Self::new(ItemResult::Conflict, Cause::Unserved, why)
    }

    pub(super) fn unreadable(why: String) -> Self {
        Self::new(ItemResult::Failed, Cause::Unreadable, why)
    }

    pub(super) fn owner(why: String) -> Self {
        Self::new(ItemResult::Failed, Cause::Owner, why)
    }

    pub(super) fn unavailable(why: String) -> Self {
        Self::new(ItemResult::Failed, Cause::Unavailable, why)
    }

    pub(super) fn of(error: &ApiError, object: &PreparedObject) -> Self {
        let words = Self::words(error, object);
        let ApiError::Status { code, message, .. } = error else {
            return Self::unavailable(words);
        };
        let cause = match code {
            _ if Self::is_namespace_terminating(error) => return Self::terminating(words),
            _ if is_denial(message) => Cause::Denied,
            403 if message.contains("exceeded quota") => Cause::Quota,
            401 | 403 if message.contains(" cannot ") => Cause::Forbidden,
            401 => Cause::Forbidden,
            403 => Cause::Denied,
            404 => return Self::unserved(words),
            409 => return Self::moved(words),
            400 | 413 | 422 => Cause::Invalid,
            _ => Cause::Unavailable,
        };
        Self::new(ItemResult::Failed, cause, words)
    }

    /// An update that the server calls invalid is one of a field that cannot change: the object itself was valid once.
    pub(super) fn of_an_update(self) -> Self {
        let is_immutable = ["immutable", "may not", "updates to", "not be changed", "Forbidden: "];
        if self.cause == Cause::Invalid && is_immutable.iter().any(|words| self.why.contains(words)) {
            return Self::immutable(self.why);
        }
        self
    }

    pub(super) fn is_namespace_terminating(error: &ApiError) -> bool {
        error.is_forbidden()
            && error
                .details()
                .is_some_and(|details| details.causes.iter().any(|it| it.reason == "NamespaceTerminating"))
    }

    /// What the server says.
    pub(super) fn words(error: &ApiError, object: &PreparedObject) -> String {
        let text = match error {
            ApiError::Status { message, code, reason, .. } if message.is_empty() => format!("{code} {reason}"),
            ApiError::Status { message, .. } => message.clone(),
            error => error.to_string(),
        };
        let may_repeat = object.target.resource == ResourceName::core("secrets") && may_repeat_values(error);
        let text = if may_repeat { without_quotes(&text) } else { text };
        if text.chars().count() <= WORDS_CHARS_MAX {
            return text;
        }
        text.chars().take(WORDS_CHARS_MAX).chain(['…']).collect()
    }
}

/// Whether the words come from whoever looked at the object: not from what asks who may do it, or how many there are.
fn may_repeat_values(error: &ApiError) -> bool {
    match error {
        ApiError::Status { code: 403, message, .. } => {
            !message.contains(" cannot ") && !message.contains("exceeded quota") || is_denial(message)
        }
        ApiError::Status { code, .. } => !matches!(code, 401 | 404 | 409 | 429),
        _ => false,
    }
}

/// The words of webhooks and of policies, which choose their own codes.
fn is_denial(message: &str) -> bool {
    message.contains("denied the request") || message.contains("denied request:")
}

/// The text with `…` in place of everything between quotes.
fn without_quotes(text: &str) -> String {
    let mut kept = String::new();
    for (place, part) in text.split('"').enumerate() {
        match place % 2 {
            0 => kept.push_str(part),
            _ => kept.push_str("\"…\""),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_a_secret_lose_what_they_quote() {
        let text = r#"Secret "a" is invalid: data[k]: Invalid value: "hunter2\"3": no"#;
        assert_eq!(without_quotes(r#"a "x" b "y""#), "a \"…\" b \"…\"");
        assert!(!without_quotes(text).contains("hunter2"));
    }
}
