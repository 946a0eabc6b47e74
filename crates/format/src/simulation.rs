//! Seeded randomness for simulations: a thread that was given a seed draws the same bytes in every run.
//!
//! Only there with the feature `simulation`, and only for threads that ask: all others draw from the system's generator.

use std::cell::Cell;

thread_local! {
    /// The seed, and how often something was drawn.
    static SOURCE: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// From now on what this thread draws follows from the seed. Two threads with one seed draw the same: nonces repeat then, so the
/// seeds of processes that share a repository must differ.
pub fn seed_this_thread(seed: u64) {
    SOURCE.set(Some((seed, 0)));
}

/// Says whether this thread has a seed and the bytes were drawn.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    let Some((seed, count)) = SOURCE.get() else { return false };
    SOURCE.set(Some((seed, count + 1)));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&count.to_le_bytes());
    hasher.finalize_xof().fill(bytes);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random;

    fn draw(seed: u64) -> [[u8; 32]; 2] {
        let thread = std::thread::spawn(move || {
            seed_this_thread(seed);
            [random().unwrap(), random().unwrap()]
        });
        thread.join().unwrap()
    }

    #[test]
    fn what_a_thread_draws_follows_from_its_seed_and_never_repeats() {
        let [first, second] = draw(1);
        assert_eq!(draw(1), [first, second]);
        assert_ne!(first, second);
        assert!(!draw(2).contains(&first));
        let unseeded: [u8; 32] = random().unwrap();
        assert_ne!(unseeded, first);
    }
}
