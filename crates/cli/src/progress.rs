//! Progress of long work: a line that changes on a terminal, a line now and then elsewhere.
//!
//! The work runs in the calling thread; another one looks at its counters. It also passes an interrupt on to the work.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backstay_repo::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use crate::context::Context;
use crate::interrupt;
use crate::output::{counted, duration, escape, size};

/// How often a terminal's line changes.
const TICK: Duration = Duration::from_millis(100);
/// Work that is over sooner needs no line at all.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often something is said elsewhere: a log should stay readable.
const LINE_PERIOD: Duration = Duration::from_secs(30);
/// The rate is that of the last few seconds.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// What fits beside the numbers on most terminals.
const PATH_CHARS_MAX: usize = 40;

/// The line that is being shown, so that messages are printed above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels {
    pub(crate) doing: &'static str,
    pub(crate) item: &'static str,
    pub(crate) items: &'static str,
}

/// Runs the work and shows how it goes. The first interrupt cancels it.
pub(crate) fn run<T>(context: &Context, labels: Labels, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let requested = interrupt::watch();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut display = Display::new(context, labels, progress);
            while !is_over.load(Ordering::Acquire) {
                if interrupt::is_requested(requested) && !progress.is_cancelled() {
                    progress.cancel();
                    context.note("interrupted: stopping at a safe place; once more ends at once");
                }
                display.show();
                std::thread::park_timeout(TICK);
            }
            display.clear();
        });
        // Also when the work panics, or the scope would wait for ever.
        let _end = End { is_over: &is_over, watcher: watcher.thread() };
        work()
    })
}

struct End<'a> {
    is_over: &'a AtomicBool,
    watcher: &'a std::thread::Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.watcher.unpark();
    }
}

/// Prints on stderr, above the progress line if there is one.
pub(crate) fn print_above(text: &str) {
    let shown = SHOWN.lock();
    // With stderr gone there is nobody to tell.
    let print = || drop(anstream::stderr().write_all(text.as_bytes()));
    match &*shown {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

struct Display<'a> {
    labels: Labels,
    progress: &'a Progress,
    mode: Mode,
    started: Instant,
    /// Moments and bytes done, over the window of the rate.
    history: Vec<(Instant, u64)>,
}

enum Mode {
    Hidden,
    Terminal(ProgressBar),
    Lines { next: Instant, print: fn(&str) },
}

impl<'a> Display<'a> {
    fn new(context: &Context, labels: Labels, progress: &'a Progress) -> Self {
        let started = Instant::now();
        let mode = if !context.shows_progress() {
            Mode::Hidden
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            *SHOWN.lock() = Some(bar.clone());
            Mode::Terminal(bar)
        } else {
            Mode::Lines { next: started + LINE_PERIOD, print: print_above }
        };
        Self { labels, progress, mode, started, history: Vec::new() }
    }

    fn show(&mut self) {
        let now = Instant::now();
        let rate = self.rate(now);
        match &mut self.mode {
            Mode::Hidden => {}
            Mode::Terminal(_) if now - self.started < PATIENCE => {}
            Mode::Terminal(bar) => {
                let current = end_of(&escape(&self.progress.current()));
                let line = status(self.labels, self.progress, now - self.started, rate);
                bar.set_message(if current.is_empty() { line } else { format!("{line} | {current}") });
            }
            Mode::Lines { next, print } => {
                if now >= *next {
                    *next = now + LINE_PERIOD;
                    print(&format!("{}\n", status(self.labels, self.progress, now - self.started, rate)));
                }
            }
        }
    }

    fn clear(&mut self) {
        if let Mode::Terminal(bar) = &self.mode {
            *SHOWN.lock() = None;
            bar.finish_and_clear();
        }
    }

    /// Bytes a second, lately.
    fn rate(&mut self, now: Instant) -> u64 {
        let done = self.progress.bytes_done.load(Ordering::Relaxed);
        let keep = self.history.iter().rposition(|(then, _)| now - *then > RATE_WINDOW).unwrap_or(0);
        self.history.drain(..keep);
        self.history.push((now, done));
        let (then, before) = self.history[0];
        let seconds = (now - then).as_secs_f64();
        if seconds < 0.5 { 0 } else { ((done - before) as f64 / seconds) as u64 }
    }
}

/// Long paths differ at their ends.
fn end_of(path: &str) -> String {
    let hidden = path.chars().count().saturating_sub(PATH_CHARS_MAX);
    if hidden == 0 { path.to_owned() } else { format!("…{}", path.chars().skip(hidden + 1).collect::<String>()) }
}

/// One line: what is done, of how much, how fast, and how long it will take.
fn status(labels: Labels, progress: &Progress, elapsed: Duration, rate: u64) -> String {
    let [items, items_total, bytes, bytes_total, new_bytes, problems] = [
        &progress.items_done,
        &progress.items_total,
        &progress.bytes_done,
        &progress.bytes_total,
        &progress.new_bytes,
        &progress.problems,
    ]
    .map(|counter| counter.load(Ordering::Relaxed));
    let is_total_known = progress.totals_known.load(Ordering::Relaxed);
    let mut line = format!("{} {}", labels.doing, counted(items, labels.item, labels.items));
    if is_total_known && items_total > 0 {
        line.push_str(&format!(" of {}", crate::output::count(items_total)));
    }
    // Some work has no bytes to count.
    if bytes > 0 || bytes_total > 0 {
        line.push_str(&format!(", {}", size(bytes)));
    }
    if is_total_known && bytes_total > 0 {
        let percent = (u128::from(bytes.min(bytes_total)) * 100 / u128::from(bytes_total)) as u64;
        line.push_str(&format!(" of {} ({percent} %)", size(bytes_total)));
    }
    if new_bytes > 0 {
        line.push_str(&format!(", {} new", size(new_bytes)));
    }
    if problems > 0 {
        line.push_str(&format!(", {}", counted(problems, "problem", "problems")));
    }
    line.push_str(&format!(", {}", duration(elapsed.as_millis() as u64)));
    if rate > 0 {
        line.push_str(&format!(", {}/s", size(rate)));
        if is_total_known && bytes_total > bytes {
            line.push_str(&format!(", {} left", duration((bytes_total - bytes).div_ceil(rate) * 1000)));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_work_without_bytes_has_none() {
        let progress = Progress::new();
        let labels = Labels { doing: "table of changes: read", item: "snapshot", items: "snapshots" };
        Progress::add(&progress.items_done, 64);
        Progress::add(&progress.items_total, 1000);
        progress.totals_known.store(true, Ordering::Relaxed);
        let line = status(labels, &progress, Duration::from_secs(3), 0);
        assert_eq!(line, "table of changes: read 64 snapshots of 1,000, 3.0 s");
    }

    #[test]
    fn the_line_tells_totals_and_time_left_once_they_are_known() {
        let progress = Progress::new();
        let labels = Labels { doing: "read", item: "file", items: "files" };
        Progress::add(&progress.items_done, 1);
        Progress::add(&progress.bytes_done, 3 << 20);
        let elapsed = Duration::from_secs(3);
        assert_eq!(status(labels, &progress, elapsed, 1 << 20), "read 1 file, 3.00 MiB, 3.0 s, 1.00 MiB/s");
        Progress::add(&progress.items_total, 2000);
        Progress::add(&progress.bytes_total, 12 << 20);
        Progress::add(&progress.new_bytes, 1 << 20);
        progress.totals_known.store(true, Ordering::Relaxed);
        assert_eq!(
            status(labels, &progress, elapsed, 1 << 20),
            "read 1 file of 2,000, 3.00 MiB of 12.0 MiB (25 %), 1.00 MiB new, 3.0 s, 1.00 MiB/s, 9.0 s left"
        );
    }
}
