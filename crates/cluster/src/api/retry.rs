//! When a request is tried again, and after how long: pure, so that the rules are tables in tests.
//!
//! This is the only place that repeats: the library's own repetitions are switched off. A read is repeated for everything that passes.
//! A write is repeated only where the server cannot have done it: it was never sent, or the server said to come back later.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::error::ApiError;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An overloaded server gets at least this much rest, and new credentials this much time to be known.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// A server that never answered is probably not there: nobody should wait for minutes to learn that.
const FIRST_CONTACT_LIMIT: Duration = Duration::from_secs(5);
/// An internal error that is not about the store behind the server is mostly there to stay: a conversion webhook that fails.
const TRIES_OF_INTERNAL_ERRORS: u32 = 3;

/// What may be done after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Reading changes nothing.
    Always,
    /// Only if the server cannot have done it.
    IfNotDone,
    Never,
}

/// How far the request got that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It never left.
    NotSent,
    /// The server may have done it.
    Sent,
}

/// The state of a request's retries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tries {
    /// That failed.
    pub(super) count: u32,
    /// Since the first one began.
    pub(super) elapsed: Duration,
    pub(super) deadline: Duration,
    /// Whether this server ever answered anything.
    pub(super) is_first_contact: bool,
}

/// How long to wait before the next try; nothing where there is none.
pub(super) fn wait_before_next(error: &ApiError, reach: Reach, repeat: Repeat, tries: Tries) -> Option<Duration> {
    let back_off = back_off(tries.count);
    let wait = match error {
        ApiError::Connect { .. } | ApiError::Deadline { .. } => back_off,
        ApiError::Status { code, message, details, .. } => match code {
            401 if tries.count == 1 => SHORTEST_REST,
            429 | 503 => details.retry_after.unwrap_or(back_off).max(SHORTEST_REST),
            502 | 504 => back_off,
            500 if details.retry_after.is_some() || message.contains("etcdserver") => {
                details.retry_after.unwrap_or(back_off)
            }
            500 if tries.count < TRIES_OF_INTERNAL_ERRORS => back_off,
            _ => return None,
        },
        _ => return None,
    };
    let is_allowed = match repeat {
        Repeat::Always => true,
        Repeat::IfNotDone => reach == Reach::NotSent || was_turned_away(error),
        Repeat::Never => false,
    };
    let is_unreachable = tries.is_first_contact && reach == Reach::NotSent;
    let limit = if is_unreachable { tries.deadline.min(FIRST_CONTACT_LIMIT) } else { tries.deadline };
    (is_allowed && tries.elapsed + wait < limit).then_some(wait)
}

/// Whether a write that failed like this may have been done all the same.
pub(super) fn is_outcome_unknown(error: &ApiError, reach: Reach) -> bool {
    match error {
        ApiError::Status { code: 500.., .. } => !was_turned_away(error),
        ApiError::Connect { .. } | ApiError::Deadline { .. } => reach == Reach::Sent,
        _ => false,
    }
}

/// The server answered before it did anything. A 503 without a word on when to come back may be a proxy's that lost the answer.
fn was_turned_away(error: &ApiError) -> bool {
    match error {
        ApiError::Status { code, details, .. } => {
            matches!(code, 401 | 429) || (*code == 503 && details.retry_after.is_some())
        }
        _ => false,
    }
}

/// Doubles from try to try; the random half keeps many clients from coming back together.
fn back_off(count: u32) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << count.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    let random = RandomState::new().hash_one(count) as f64 / u64::MAX as f64;
    full.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::StatusDetails;

    const READ: Repeat = Repeat::Always;
    const WRITE: Repeat = Repeat::IfNotDone;

    fn tries(count: u32) -> Tries {
        Tries { count, elapsed: Duration::ZERO, deadline: Duration::from_mins(1), is_first_contact: false }
    }

    fn status(code: u16, message: &str, retry_after_seconds: Option<u64>) -> ApiError {
        let retry_after = retry_after_seconds.map(Duration::from_secs);
        let details = Box::new(StatusDetails { retry_after, ..StatusDetails::default() });
        let (request, reason) = (String::new(), String::new());
        ApiError::Status { request, code, reason, message: message.to_owned(), details }
    }

    fn broken() -> ApiError {
        let (request, address, origin, detail) = Default::default();
        ApiError::Connect { request, address, origin, detail, outcome_unknown: false }
    }

    #[test]
    fn the_server_decides_how_long_to_wait_but_never_less_than_a_second_nor_past_the_deadline() {
        let wait = |seconds, repeat| wait_before_next(&status(429, "", seconds), Reach::Sent, repeat, tries(1));
        for repeat in [READ, WRITE] {
            assert_eq!(wait(Some(7), repeat), Some(Duration::from_secs(7)));
            assert_eq!(wait(Some(0), repeat), Some(Duration::from_secs(1)));
            assert_eq!(wait(None, repeat), Some(Duration::from_secs(1)));
            assert_eq!(wait(Some(60), repeat), None);
        }
    }

    #[test]
    fn a_write_is_repeated_only_where_the_server_cannot_have_done_it() {
        // Code, retry-after, how far it got, read again, written again, outcome unknown.
        let table = [
            (429, None, Reach::Sent, true, true, false),
            (503, Some(1), Reach::Sent, true, true, false),
            (503, None, Reach::Sent, true, false, true),
            (500, None, Reach::Sent, true, false, true),
            (502, None, Reach::Sent, true, false, true),
            (504, None, Reach::Sent, true, false, true),
            (401, None, Reach::Sent, true, true, false),
            (403, None, Reach::Sent, false, false, false),
            (409, None, Reach::Sent, false, false, false),
            (422, None, Reach::Sent, false, false, false),
        ];
        for (code, retry_after, reach, read, written, unknown) in table {
            let error = status(code, "", retry_after);
            assert_eq!(wait_before_next(&error, reach, READ, tries(1)).is_some(), read, "{code}");
            assert_eq!(wait_before_next(&error, reach, WRITE, tries(1)).is_some(), written, "{code}");
            assert_eq!(is_outcome_unknown(&error, reach), unknown, "{code}");
            assert_eq!(wait_before_next(&error, reach, Repeat::Never, tries(1)), None, "{code}");
        }
        for (reach, written) in [(Reach::NotSent, true), (Reach::Sent, false)] {
            assert!(wait_before_next(&broken(), reach, READ, tries(1)).is_some());
            assert_eq!(wait_before_next(&broken(), reach, WRITE, tries(1)).is_some(), written);
            assert_eq!(is_outcome_unknown(&broken(), reach), !written);
        }
    }

    #[test]
    fn credentials_and_internal_errors_get_few_tries_and_a_store_that_changes_its_leader_as_many_as_there_is_time() {
        let again = |error: &ApiError, count| wait_before_next(error, Reach::Sent, READ, tries(count)).is_some();
        assert!(again(&status(401, "", None), 1) && !again(&status(401, "", None), 2));
        assert!(again(&status(500, "conversion webhook failed", None), 2));
        assert!(!again(&status(500, "conversion webhook failed", None), 3));
        assert!(again(&status(500, "etcdserver: leader changed", None), 20));
    }

    #[test]
    fn a_server_that_never_answered_is_given_up_soon() {
        let after = |is_first_contact, seconds| {
            let tries = Tries { is_first_contact, elapsed: Duration::from_secs(seconds), ..tries(3) };
            wait_before_next(&broken(), Reach::NotSent, READ, tries).is_some()
        };
        assert!(after(true, 1) && !after(true, 5) && after(false, 5) && !after(false, 60));
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        for (count, least, most) in
            [(1, 100, 200), (2, 200, 400), (4, 800, 1600), (9, 5000, 10_000), (99, 5000, 10_000)]
        {
            let wait = back_off(count).as_millis();
            assert!((least..=most).contains(&wait), "{count}: {wait} ms");
        }
    }
}
