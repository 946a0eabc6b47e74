//! What a store was asked for, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Operation;

/// Requests that were sent (repetitions included), and bytes of object bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub gets: u64,
    pub puts: u64,
    pub creates: u64,
    pub overwrites: u64,
    pub heads: u64,
    pub lists: u64,
    pub deletes: u64,
    pub uploaded_bytes: u64,
    pub downloaded_bytes: u64,
    pub retries: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    gets: AtomicU64,
    puts: AtomicU64,
    creates: AtomicU64,
    overwrites: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    uploaded_bytes: AtomicU64,
    downloaded_bytes: AtomicU64,
    retries: AtomicU64,
}

impl Counters {
    pub(super) fn request(&self, operation: Operation) {
        let counter = match operation {
            Operation::Open => return,
            Operation::Get => &self.gets,
            Operation::Put => &self.puts,
            Operation::Create => &self.creates,
            Operation::Overwrite => &self.overwrites,
            Operation::Head => &self.heads,
            Operation::List => &self.lists,
            Operation::Delete => &self.deletes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uploaded(&self, size_bytes: usize) {
        self.uploaded_bytes.fetch_add(size_bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn downloaded(&self, size_bytes: usize) {
        self.downloaded_bytes.fetch_add(size_bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Usage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            gets: read(&self.gets),
            puts: read(&self.puts),
            creates: read(&self.creates),
            overwrites: read(&self.overwrites),
            heads: read(&self.heads),
            lists: read(&self.lists),
            deletes: read(&self.deletes),
            uploaded_bytes: read(&self.uploaded_bytes),
            downloaded_bytes: read(&self.downloaded_bytes),
            retries: read(&self.retries),
        }
    }
}
