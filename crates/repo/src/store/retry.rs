//! Repeating requests: how long one attempt may take, how long to wait between two, and when to give up.
//!
//! This is the only place that repeats. The storage library's own repetitions are switched off, or the two would
//! multiply each other; a server's `Retry-After` holds back all requests of a store, not only the one that met it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{pin::pin, sync::Arc};

use futures::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::clock::{Clock, Throttle};
use super::error::{ErrorKind, Failure, Operation, StoreError};
use super::options::StoreOptions;
use super::usage::Counters;

/// An answer, or the next piece of one, must begin within this time.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A transfer slower than this on average is given up: one that would need days is as good as broken.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const FIRST_RACE_WAIT: Duration = Duration::from_millis(10);
const LONGEST_RACE_WAIT: Duration = Duration::from_secs(2);
/// A store that never answered is probably misspelt: people should not wait for minutes to learn that.
const FIRST_CONTACT_LIMIT: Duration = Duration::from_secs(20);
/// No server decides how long we sleep.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// How long one transfer of `size_bytes` may take.
pub(super) fn transfer_limit(size_bytes: u64) -> Duration {
    ANSWER_LIMIT + Duration::from_millis(size_bytes * 1000 / SLOWEST_BYTES_PER_SECOND)
}

/// What all requests of one store share.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) location: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) usage: Counters,
    pub(super) upload: Option<Throttle>,
    pub(super) download: Option<Throttle>,
    give_up_after: Duration,
    connections: Semaphore,
    interrupted: watch::Sender<bool>,
    answered: AtomicBool,
    /// No request starts before this time, on `clock`.
    held_until: Mutex<Duration>,
}

impl Calls {
    pub(super) fn new(location: String, options: &StoreOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            location,
            clock,
            usage: Counters::default(),
            upload: Throttle::new(options.limit_upload_bytes_per_second),
            download: Throttle::new(options.limit_download_bytes_per_second),
            give_up_after: options.give_up_after,
            connections: Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)),
            interrupted: watch::Sender::new(false),
            answered: AtomicBool::new(false),
            held_until: Mutex::new(Duration::ZERO),
        }
    }

    pub(super) fn interrupt(&self) {
        self.interrupted.send_replace(true);
    }

    pub(super) fn error(&self, operation: Operation, name: &str, failure: Failure) -> StoreError {
        StoreError::new(operation, name, &self.location, failure)
    }

    /// Runs `attempt` until it succeeds, fails for good, or time is up. `attempt_limit` is how long one may take.
    ///
    /// An operation that is not idempotent must cope with having been done already by an earlier attempt whose answer
    /// was lost; the error then says so if it ends without a clear answer.
    pub(super) async fn run<T, F>(
        &self,
        operation: Operation,
        name: &str,
        attempt_limit: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let started = self.clock.now();
        let mut attempts = 0;
        let mut unclear = false;
        loop {
            attempts += 1;
            let failure = match self.one(attempt()).await {
                Ok(value) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            unclear |= failure.is_unclear();
            let elapsed = self.clock.now().saturating_sub(started);
            let wait = self.wait_after(attempts, &failure);
            // What a create did must be found out, or its caller cannot go on.
            let is_first_contact = !self.answered.load(Ordering::Relaxed) && operation != Operation::Create;
            let limit = if is_first_contact && attempts > 1 {
                self.give_up_after.min(FIRST_CONTACT_LIMIT)
            } else {
                self.give_up_after + attempt_limit
            };
            if failure.kind != ErrorKind::Retry || elapsed + wait > limit {
                let error = self.error(operation, name, failure).after(attempts, elapsed);
                let unknown = unclear && operation == Operation::Create;
                return Err(if unknown { error.with_outcome_unknown() } else { error });
            }
            tracing::warn!(
                location = self.location,
                name,
                "cannot {operation} yet, trying again in {:.1} s: {failure}",
                wait.as_secs_f64()
            );
            self.usage.retry();
            if let Err(failure) = self.unless_interrupted(self.clock.sleep(wait)).await {
                let error = self.error(operation, name, failure).after(attempts, elapsed);
                let unknown = unclear && operation == Operation::Create;
                return Err(if unknown { error.with_outcome_unknown() } else { error });
            }
        }
    }

    /// Waits for `future`, but not longer than `limit`, and not when interrupted.
    pub(super) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Result<T, Failure> {
        let timeout = self.clock.timeout(limit);
        self.unless_interrupted(async {
            match select(pin!(future), timeout).await {
                Either::Left((value, _)) => Ok(value),
                Either::Right(((), _)) => Err(Failure::unclear(format!("no answer within {} s", limit.as_secs()))),
            }
        })
        .await?
    }

    /// Waits until `size_bytes` may pass `throttle`.
    pub(super) async fn pay(&self, throttle: Option<&Throttle>, size_bytes: usize) -> Result<(), Failure> {
        let Some(throttle) = throttle else {
            return Ok(());
        };
        let wait = throttle.take(self.clock.now(), size_bytes as u64);
        self.unless_interrupted(self.clock.sleep(wait)).await
    }

    async fn one<T>(&self, attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let permit = self.unless_interrupted(self.connections.acquire()).await?;
        let _permit = permit.expect("the semaphore is never closed");
        let held = self.held_until.lock().saturating_sub(self.clock.now());
        if !held.is_zero() {
            self.unless_interrupted(self.clock.sleep(held)).await?;
        }
        attempt.await
    }

    async fn unless_interrupted<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let mut interrupted = self.interrupted.subscribe();
        let interrupted = pin!(interrupted.wait_for(|interrupted| *interrupted));
        match select(interrupted, pin!(future)).await {
            Either::Left(_) => Err(Failure::interrupted()),
            Either::Right((value, _)) => Ok(value),
        }
    }

    /// At random up to a limit that grows, so that those who race part.
    pub(super) async fn wait_after_lost_race(&self, lost: u32) -> Result<(), StoreError> {
        let longest = LONGEST_RACE_WAIT.min(FIRST_RACE_WAIT * 2u32.saturating_pow(lost.min(16)));
        let wait = self.clock.sleep(longest.mul_f64(random_fraction()));
        self.unless_interrupted(wait).await.map_err(|failure| self.error(Operation::Create, "", failure))
    }

    fn wait_after(&self, attempts: u32, failure: &Failure) -> Duration {
        if let Some(retry_after) = failure.retry_after {
            let wait = retry_after.min(LONGEST_RETRY_AFTER);
            let mut held_until = self.held_until.lock();
            *held_until = (*held_until).max(self.clock.now() + wait);
            return wait;
        }
        let longest = LONGEST_WAIT.min(FIRST_WAIT * 2u32.saturating_pow(attempts.min(16) - 1));
        longest.mul_f64(0.5 + 0.5 * random_fraction())
    }
}

/// In [0, 1), so that many clients that failed together do not come back together.
fn random_fraction() -> f64 {
    let [byte0, byte1] = backstay_format::crypto::random().unwrap_or([0; 2]);
    f64::from(u16::from_le_bytes([byte0, byte1])) / 65536.0
}
