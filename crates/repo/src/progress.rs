//! Counters that long work moves and a terminal shows; and the word to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Shared between the threads that work and the one that shows it. All counters only grow.
#[derive(Debug, Default)]
pub struct Progress {
    pub items_total: AtomicU64,
    pub items_done: AtomicU64,
    pub bytes_total: AtomicU64,
    pub bytes_done: AtomicU64,
    /// Plain bytes that were not in the repository.
    pub new_bytes: AtomicU64,
    /// Set once the totals are known.
    pub totals_known: AtomicBool,
    pub problems: AtomicU64,
    current: Mutex<String>,
    cancelled: AtomicBool,
}

impl Progress {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    /// What is being worked on, for people. Skipped when somebody is reading it: no worker waits for a terminal.
    pub fn set_current(&self, make: impl FnOnce(&mut String)) {
        if let Some(mut current) = self.current.try_lock() {
            current.clear();
            make(&mut current);
        }
    }

    pub fn current(&self) -> String {
        self.current.lock().clone()
    }

    /// Asks the work to stop at the next safe place.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
