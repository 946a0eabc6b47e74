//! An answer that is no success, taken apart: the server's `Status` object, or whatever stands before it says instead.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::error::{ApiError, StatusCause, StatusDetails};

/// More than this of a foreign answer (a proxy's page) tells nothing.
const LONGEST_FOREIGN_TEXT_BYTES: usize = 200;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    metadata: Metadata,
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "continue")]
    continue_token: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u64,
    causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
    field: String,
}

pub(super) fn error(request: String, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let canonical = code.canonical_reason().unwrap_or("unknown");
    let message = if status.message.is_empty() { foreign_text(body, canonical) } else { status.message };
    let reason = if status.reason.is_empty() { canonical.replace(' ', "") } else { status.reason };
    let header = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let seconds = header.or_else(|| Some(status.details.retry_after_seconds).filter(|seconds| *seconds > 0));
    let causes = status.details.causes.into_iter();
    let details = StatusDetails {
        causes: causes.map(|it| StatusCause { reason: it.reason, message: it.message, field: it.field }).collect(),
        continue_token: Some(status.metadata.continue_token).filter(|token| !token.is_empty()),
        retry_after: seconds.map(Duration::from_secs),
        outcome_unknown: false,
    };
    ApiError::Status { request, code: code.as_u16(), reason, message, details: Box::new(details) }
}

/// The beginning of what was sent, on one line.
fn foreign_text(body: &[u8], otherwise: &str) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(LONGEST_FOREIGN_TEXT_BYTES)]);
    let words: Vec<&str> =
        text.split(|it: char| it.is_whitespace() || it.is_control()).filter(|it| !it.is_empty()).collect();
    if words.is_empty() || text.trim_start().starts_with('<') { otherwise.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_taken_apart() {
        let body = br#"{"kind":"Status","apiVersion":"v1","metadata":{"continue":"abc"},"status":"Failure","message":"gone",
            "reason":"Expired","details":{"retryAfterSeconds":3,"causes":[{"reason":"FieldValueInvalid","message":"bad","field":"spec.x"}]},
            "code":410}"#;
        let error = error("GET /api/v1/pods".to_owned(), StatusCode::GONE, &HeaderMap::new(), body);
        assert_eq!(error.to_string(), "GET /api/v1/pods: gone (410 Expired)");
        let details = error.details().unwrap();
        assert_eq!(details.continue_token.as_deref(), Some("abc"));
        assert_eq!(details.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(details.causes[0].field, "spec.x");
    }

    #[test]
    fn an_answer_of_something_in_between_is_told_in_its_own_words_or_the_codes() {
        let of = |body: &[u8]| error("GET /x".to_owned(), StatusCode::BAD_GATEWAY, &HeaderMap::new(), body).to_string();
        assert_eq!(of(b"no\r\n upstream"), "GET /x: no upstream (502 BadGateway)");
        assert_eq!(of(b"<html>..."), "GET /x: Bad Gateway (502 BadGateway)");
        assert_eq!(of(b"\xff\xfe"), "GET /x: \u{fffd}\u{fffd} (502 BadGateway)");
        assert_eq!(of(b""), "GET /x: Bad Gateway (502 BadGateway)");
        // Details of an unexpected shape must not hide the code.
        assert_eq!(of(br#"{"message":7}"#), "GET /x: {\"message\":7} (502 BadGateway)");
    }

    #[test]
    fn the_header_counts_more_than_the_body() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let body = br#"{"details":{"retryAfterSeconds":3}}"#;
        let error = error(String::new(), StatusCode::TOO_MANY_REQUESTS, &headers, body);
        assert_eq!(error.details().unwrap().retry_after, Some(Duration::from_secs(7)));
    }
}
