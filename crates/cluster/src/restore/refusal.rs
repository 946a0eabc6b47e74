//! Why an item is not as it is in the snapshot: the server's answers, sorted.
//!
//! Words come from the server's status. Where somebody speaks who saw a Secret's contents, only who and which fields are told: some
//! repeat the value.

use super::outcome::{Cause, ItemResult};
use super::prepare::PreparedObject;
use crate::api::ApiError;
use crate::resource::ResourceName;

/// Longer words are cut: a denial may hold a policy's whole text.
const WORDS_CHARS_MAX: usize = 600;
/// How the server says that a field cannot change.
const FIXED: [&str; 5] = ["immutable", "may not", "updates to", "not be changed", "Forbidden: "];

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
    pub(super) fn of_update(error: &ApiError, object: &PreparedObject) -> Self {
        let refusal = Self::of(error, object);
        let is_fixed = |message: &str| FIXED.iter().any(|words| message.contains(words));
        let is_immutable = matches!(error, ApiError::Status { message, .. } if is_fixed(message));
        if refusal.cause == Cause::Invalid && is_immutable { Self::immutable(refusal.why) } else { refusal }
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
        let text = if may_repeat { without_values(error) } else { text };
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

/// Who refused and which fields, but not in which words.
fn without_values(error: &ApiError) -> String {
    let ApiError::Status { code, reason, message, details, .. } = error else { return "no answer".to_owned() };
    let denial = ["denied the request", "denied request"].iter().find_map(|it| Some(message.find(it)? + it.len()));
    if let Some(end) = denial {
        return format!("{} (the reason may repeat a Secret's value, and is not shown)", &message[..end]);
    }
    let fields: Vec<_> = details.causes.iter().map(|cause| cause.field.as_str()).filter(|it| !it.is_empty()).collect();
    if fields.is_empty() { format!("{code} {reason}") } else { format!("{reason}: {}", fields.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> ApiError {
        let (request, reason, message) = ("POST x".to_owned(), reason.to_owned(), message.to_owned());
        ApiError::Status { request, code, reason, message, details: Box::default() }
    }

    #[test]
    fn words_about_a_secret_say_who_refused_and_repeat_no_value() {
        let policy =
            refused(422, "Invalid", "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: hunter2 is weak");
        let webhook = refused(400, "BadRequest", "admission webhook \"w.example.com\" denied the request: \"hunter2\"");
        let invalid = refused(422, "Invalid", "Secret \"a\" is invalid: data[k]: Invalid value: \"hunter2\": no");
        for (error, words) in [
            (&policy, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request"),
            (&webhook, "admission webhook \"w.example.com\" denied the request"),
            (&invalid, "422 Invalid"),
        ] {
            assert!(may_repeat_values(error));
            let text = without_values(error);
            assert!(text.starts_with(words) && !text.contains("hunter2"), "{text}");
        }
        let quota = refused(403, "Forbidden", "secrets \"b\" is forbidden: exceeded quota: few");
        assert!(!may_repeat_values(&quota));
        assert!(!may_repeat_values(&refused(403, "Forbidden", "User \"x\" cannot create resource \"secrets\"")));
    }
}
