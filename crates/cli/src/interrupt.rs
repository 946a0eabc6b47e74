//! Ctrl-C and SIGTERM: the first one asks the work to stop at a safe place, the second ends the program at once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Exit;

/// From now on the first signal only sets a flag. For work that looks at it: anything else should end at once.
pub(crate) fn watch() -> &'static AtomicBool {
    static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    REQUESTED.get_or_init(|| {
        let requested = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the one that sets the flag must not end the program itself. Where a signal cannot be
            // caught it keeps its usual effect, which is to end the program.
            let _ = flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, Arc::clone(&requested));
            let _ = flag::register(signal, Arc::clone(&requested));
        }
        requested
    })
}

pub(crate) fn is_requested(requested: &AtomicBool) -> bool {
    requested.load(Ordering::Relaxed)
}
