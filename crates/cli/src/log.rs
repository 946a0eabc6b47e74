//! What the crates below log, on stderr: warnings, and more with `--verbose`.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::Globals;
use crate::progress;

/// Starts logging. `BACKSTAY_LOG` takes a filter as `tracing` knows it, for whoever looks for a fault.
pub(crate) fn start(globals: &Globals) {
    let level = match globals.verbose {
        // A network library complains of what is tried again, and is reported if it fails in the end.
        0 => "backstay=warn,error,kube_client=off",
        1 => "backstay=info,warn",
        _ => "backstay=debug,info",
    };
    let filter = std::env::var("BACKSTAY_LOG").unwrap_or_else(|_| level.to_owned());
    let Ok(filter) = EnvFilter::try_new(filter) else { return };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(AboveProgress)
        .without_time()
        .with_target(globals.verbose > 1)
        .with_ansi(false);
    // A second start in one process changes nothing.
    let _ = subscriber.try_init();
}

/// Lines are printed above the progress line, not into it.
struct AboveProgress;

impl<'w> MakeWriter<'w> for AboveProgress {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line(Vec::new())
    }
}

struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        progress::print_above(&String::from_utf8_lossy(&self.0));
    }
}
