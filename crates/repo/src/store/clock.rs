//! Time as the store sees it, and the throttle built on it.
//!
//! Time decides only when something is tried again, never whether it is allowed. It is behind a trait so that tests
//! can let hours of back-off pass in no time and see exactly how long the store would have waited.

use std::fmt;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;

/// A monotonic clock, from an arbitrary origin.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    fn now(&self) -> Duration;

    /// Ends after `wait`: used to back off and to throttle.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// Ends after `limit` too, but stands for giving up on something that should have happened by then.
    fn timeout(&self, limit: Duration) -> BoxFuture<'static, ()>;
}

#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        // The timer is made inside the future: it must belong to the runtime that runs it.
        async move { tokio::time::sleep(wait).await }.boxed()
    }

    fn timeout(&self, limit: Duration) -> BoxFuture<'static, ()> {
        self.sleep(limit)
    }
}

/// Lets bytes pass at a rate on average, with no allowance for bursts: whoever takes bytes waits until they are paid
/// for, so that many connections together stay below the limit too.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: u64,
    paid_until: Mutex<Duration>,
}

impl Throttle {
    /// `None` when there is no limit. A limit of zero would stop everything, and counts as one byte a second.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Option<Self> {
        bytes_per_second.map(|limit| Self { bytes_per_second: limit.max(1), paid_until: Mutex::new(Duration::ZERO) })
    }

    /// Reserves `size_bytes` and says how long to wait before (sending) or after (having received) them.
    pub(super) fn take(&self, now: Duration, size_bytes: u64) -> Duration {
        let cost = Duration::from_secs_f64(size_bytes as f64 / self.bytes_per_second as f64);
        let mut paid_until = self.paid_until.lock();
        *paid_until = now.max(*paid_until) + cost;
        paid_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takers_together_stay_below_the_limit_and_idle_time_is_not_saved_up() {
        let throttle = Throttle::new(Some(1000)).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(throttle.take(Duration::ZERO, 500), second / 2);
        assert_eq!(throttle.take(Duration::ZERO, 500), second);
        assert_eq!(throttle.take(second / 2, 1000), second * 3 / 2);
        assert_eq!(throttle.take(second * 100, 1000), second);
    }
}
