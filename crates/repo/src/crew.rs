//! Work that several threads share: all that this crate does in more than one thread begins here.
//!
//! Invariant: where the store does one thing at a time, everything happens in the caller's thread, in the order of the items.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::Result;
use crate::store::Store;

/// How many threads can compute at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work` in up to so many threads at once; each takes what is left to do until there is nothing.
///
/// # Errors
/// The first thread's that failed. The others are waited for.
pub(crate) fn work(store: &Store, threads: usize, work: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
    if threads <= 1 || store.is_one_at_a_time() {
        return work();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect();
        results.into_iter().collect()
    })
}

/// What `each` makes of every item, in the items' order.
///
/// # Errors
/// The first that an item met; no further item is begun then, and those under way are finished.
pub(crate) fn map<T: Sync, R: Send>(
    store: &Store,
    threads: usize,
    items: &[T],
    each: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, is_stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let made = Mutex::new(Vec::with_capacity(items.len()));
    work(store, threads.min(items.len()), &|| {
        while !is_stopped.load(Ordering::Relaxed) {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { break };
            let result = each(item).inspect_err(|_| is_stopped.store(true, Ordering::Relaxed))?;
            made.lock().push((position, result));
        }
        Ok(())
    })?;
    let mut made = made.into_inner();
    made.sort_unstable_by_key(|(position, _)| *position);
    Ok(made.into_iter().map(|(_, result)| result).collect())
}
