//! A clock whose waits are over at once, and which remembers them.

use std::cell::Cell;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use backstay_repo::store::Clock;
use futures::FutureExt;
use futures::future::{BoxFuture, poll_fn};
use parking_lot::Mutex;

thread_local! {
    /// Set when a request on this thread has just been found to be one that never answers, see [`never_answers`].
    static ABANDONED: Cell<bool> = const { Cell::new(false) };
}

/// Simulated time. Back-off and throttling take no time and move the clock; a time limit strikes only for a request
/// that a fault keeps from ever answering, so slow machines change nothing.
#[derive(Clone, Debug, Default)]
pub struct SimulatedClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    slept: Vec<Duration>,
    limits_strike: bool,
}

impl SimulatedClock {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn advance(&self, by: Duration) {
        self.state.lock().now += by;
    }

    /// From now on every time limit strikes at once, for requests that have no answer yet.
    pub fn strike_limits(&self) {
        self.state.lock().limits_strike = true;
    }

    /// Every wait so far, in order.
    pub fn slept(&self) -> Vec<Duration> {
        self.state.lock().slept.clone()
    }

    /// The sum of all waits so far.
    pub fn slept_in_total(&self) -> Duration {
        self.state.lock().slept.iter().sum()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        self.state.lock().now
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.state.lock();
        state.now += wait;
        state.slept.push(wait);
        futures::future::ready(()).boxed()
    }

    fn timeout(&self, limit: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        // A time limit is looked at right after the request that it limits, by the same thread.
        poll_fn(move |_| {
            if !was_abandoned() && !clock.state.lock().limits_strike {
                return Poll::Pending;
            }
            clock.advance(limit);
            Poll::Ready(())
        })
        .boxed()
    }
}

/// Whether the request that this thread has just made will never be answered; asked once.
pub(crate) fn was_abandoned() -> bool {
    ABANDONED.take()
}

/// Stands for a request that is never answered: under a [`SimulatedClock`] its time limit strikes at once.
pub(crate) async fn never_answers() {
    poll_fn(|_| {
        ABANDONED.set(true);
        Poll::<()>::Pending
    })
    .await;
}
