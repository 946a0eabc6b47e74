//! Backs a made-up cluster up every quarter of an hour of a simulated year, a day at a time.
//!
//! `cluster-year FOLDER KEY_FILE CACHE [--objects N]` makes a repository. For each line that it is given it goes a day on, which is 96
//! snapshots, and answers with one line: snapshots made so far, objects in the last one, mean bytes of JSON in it, objects stored anew and
//! bytes stored per backup, seconds per backup. Between two lines nothing happens here: whoever drives it forgets and collects then.
//! The capture is testkit's, which has no server to list; what a snapshot stores is laid out as the program's own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is for the program that starts it")]

mod cluster;

use std::error::Error;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use backstay_format::config::Secret;
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Clock, OpenOptions, Repository, timestamp_text};
use backstay_testkit::objects::ObjectSource;
use cluster::{Cluster, QUARTERS_PER_DAY};
use jiff::{SignedDuration, Timestamp};

const USAGE: &str = "usage: cluster-year FOLDER KEY_FILE CACHE [--objects N]";
const OBJECTS: u64 = 5000;
const QUARTER_SECONDS: i64 = 900;
/// A Monday.
const BEGIN: &str = "2024-01-01T00:00:00Z";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (paths, objects) = match arguments {
        [paths @ .., option, number] if option == "--objects" => (paths, number.parse()?),
        paths => (paths, OBJECTS),
    };
    let [folder, key_file, cache] = paths else { return Err(USAGE.into()) };
    let secret = Secret::KeyFile(std::fs::read(key_file)?.into());
    let location = Location::Directory(folder.into());
    let begin: Timestamp = BEGIN.parse()?;
    let quarters = Arc::new(AtomicI64::new(0));
    let passed = quarters.clone();
    let clock = Clock::new(move || begin + SignedDuration::from_secs(QUARTER_SECONDS * passed.load(Ordering::Relaxed)));
    let options = OpenOptions { clock: clock.clone(), ..OpenOptions::with_cache_folder(cache.into()) };
    let store = Store::create_location(&location, &StoreOptions::default())?;
    let repository = Repository::init(store, &secret, "year", options)?;

    let mut cluster = Cluster::new(objects);
    let mut source = ObjectSource::new(&repository, "cluster");
    cluster.fill(&mut source);
    for line in std::io::stdin().lock().lines() {
        line?;
        repository.catch_up()?;
        let (mut changed, mut stored_bytes, mut last) = (0, 0, None);
        let start = Instant::now();
        for _ in 0..QUARTERS_PER_DAY {
            changed += source.unwritten() as u64;
            let record = source.snapshot(&timestamp_text(clock.now()));
            stored_bytes += record.summary.stored_bytes;
            last = Some(record);
            quarters.fetch_add(1, Ordering::Relaxed);
            cluster.pass(&mut source);
        }
        let seconds = start.elapsed().as_secs_f64() / QUARTERS_PER_DAY as f64;
        println!(
            "{} {} {} {} {} {seconds:.4}",
            quarters.load(Ordering::Relaxed),
            last.as_ref().map_or(0, |record| record.summary.objects),
            last.as_ref().map_or(0, |record| record.summary.size_bytes),
            changed / QUARTERS_PER_DAY,
            stored_bytes / QUARTERS_PER_DAY,
        );
    }
    Ok(())
}
