//! The fault matrix: the code of all roles at once in a simulated world, with whatever can happen to any of their requests.
//!
//! A seed is one story: who takes part, when, with which clock, and what happens to each request. After it a fresh process finds
//! everything that was promised ([`book`]). `BACKSTAY_SEED=n` tells one story alone, request by request; docs/reference/fault-matrix.md
//! says what happens where.

mod alone;
mod book;
mod repairs;
mod roles;
mod story;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use story::{Ending, Story};

/// The test that tells them, by its full name.
const ALL_AT_ONCE: &str = "matrix::whatever_happens_to_anybody_nothing_that_was_promised_is_lost";
/// Stories in every run of the tests.
const SEEDS: u64 = 10_000;
/// Threads that tell stories.
const THREADS: usize = 2;
/// What has to have happened so often, in [`SEEDS`] stories, for them to be about what they are about.
const AT_LEAST: &[(&str, u64)] = &[
    ("backups", 10_000),
    ("saves", 4_000),
    ("trees taken over", 6_000),
    ("forgets", 4_000),
    ("forgets of everything", 500),
    ("holds", 700),
    ("undos", 2_000),
    ("collections", 6_000),
    ("collections that went on from the last one", 900),
    ("restores", 4_000),
    ("deaths", 5_000),
    ("lost replies", 4_000),
    ("failed requests", 20_000),
    ("repeated requests", 500),
    ("late requests", 250),
    ("late arrivals", 700),
    ("pauses", 8_000),
    ("outages", 500),
    ("refusals", 500),
    ("overtaken", 75),
    ("packs condemned", 4_000),
    ("packs reprieved", 80),
    ("packs retired", 5_000),
    ("packs repacked", 1_000),
    ("packs deleted", 6_000),
    ("segments merged away", 10_000),
];

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn add(sums: &mut BTreeMap<&'static str, u64>, tally: BTreeMap<&'static str, u64>) {
    for (what, count) in tally {
        *sums.entry(what).or_default() += count;
    }
}

/// Tells stories from `first` on, until `count` are told or the time is up; gives back how many, and what happened in them.
fn tell(first: u64, count: u64, limit: Option<Duration>) -> (u64, BTreeMap<&'static str, u64>) {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let told = AtomicU64::new(0);
    let sums = Mutex::new(BTreeMap::new());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while limit.is_none_or(|limit| begun.elapsed() < limit) && failures.lock().is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count {
                        break;
                    }
                    let ending = catch_unwind(|| Story::of(seed).tell());
                    let Ending { wrongs, tally, .. } = ending.unwrap_or_else(|_| Ending::panicked());
                    if wrongs.is_empty() {
                        told.fetch_add(1, Ordering::Relaxed);
                        add(&mut sums.lock(), tally);
                    } else {
                        failures.lock().push((seed, wrongs));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner();
    if let Some((seed, wrongs)) = failures.first() {
        panic!(
            "seed {seed}: {}\nonce more, request by request: BACKSTAY_SEED={seed} cargo test -p backstay-repo --test it \
             matrix::whatever -- --nocapture",
            wrongs.join("\n")
        );
    }
    (told.into_inner(), sums.into_inner())
}

#[test]
#[expect(clippy::print_stdout, reason = "what a seed tells, and the counts of a soak, are for people")]
fn whatever_happens_to_anybody_nothing_that_was_promised_is_lost() {
    let seed = number_from_environment("BACKSTAY_SEED");
    let minutes = number_from_environment("BACKSTAY_SOAK_MINUTES");
    if let (Some(seed), None) = (seed, minutes) {
        let ending = Story::of(seed).tell();
        for step in &ending.trace {
            println!("{step}");
        }
        println!("{:#?}", ending.tally);
        assert!(ending.wrongs.is_empty(), "seed {seed}: {}", ending.wrongs.join("\n"));
        return;
    }
    let begun = Instant::now();
    let count = if minutes.is_some() { u64::MAX } else { SEEDS };
    let (told, sums) = tell(seed.unwrap_or(0), count, minutes.map(Duration::from_mins));
    println!("{told} stories in {} s", begun.elapsed().as_secs());
    for (what, count) in &sums {
        println!("{count:>10} {what}");
    }
    let expected = |least: u64| least * told / SEEDS;
    let rare: Vec<_> =
        AT_LEAST.iter().filter(|(what, least)| sums.get(what).copied().unwrap_or(0) < expected(*least)).collect();
    assert!(rare.is_empty(), "too rare in {told} stories: {rare:?}; all: {sums:#?}");
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for seed in 0..40 {
        let (first, second) = (Story::of(seed).tell(), Story::of(seed).tell());
        let differs = first.trace.iter().zip(&second.trace).find(|(first, second)| first != second);
        assert!(differs.is_none(), "seed {seed}: {differs:#?}");
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert_eq!(first.tally, second.tally, "seed {seed}");
    }
}

#[test]
fn a_seed_tells_the_same_story_in_another_process() {
    let seed = 40;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ALL_AT_ONCE, "--nocapture"])
        .env("BACKSTAY_SEED", seed.to_string())
        .env_remove("BACKSTAY_SOAK_MINUTES")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let trace: Vec<String> = Story::of(seed).tell().trace.iter().map(ToString::to_string).collect();
    assert!(trace.len() > 20, "{trace:#?}");
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(" s ")).collect();
    assert_eq!(lines, trace);
}
