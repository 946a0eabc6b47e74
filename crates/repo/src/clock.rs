//! The time of day, passed in: so that tests can run a day in a moment, and a wrong clock can be tried out.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Where a repository takes the time from. Nothing's safety rests on it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the time of day comes in")]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// RFC 3339, UTC, whole milliseconds: the form in which records hold times.
    pub fn now_text(&self) -> String {
        timestamp_text(self.now())
    }
}

/// RFC 3339, UTC, whole milliseconds.
pub fn timestamp_text(time: Timestamp) -> String {
    format!("{time:.3}")
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}
