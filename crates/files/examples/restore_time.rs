//! Backs paths up into a repository in a folder, unless one is there, and says what restoring the snapshot takes:
//! `restore_time REPOSITORY TARGET THREADS PATH...`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use backstay_files::backup::{BackupOptions, Identity, SAVE_INTERVAL_DEFAULT, backup};
use backstay_files::filter::FilterOptions;
use backstay_files::restore::{Overwrite, Ownership, RestoreOptions, restore};
use backstay_format::config::Secret;
use backstay_repo::store::{Location, Store, StoreOptions};
use backstay_repo::{Cache, OpenOptions, Progress, Repository, Selection};

#[expect(clippy::print_stdout, reason = "its output is what the program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().ok_or("usage: restore_time REPOSITORY TARGET THREADS PATH...");
    let (folder, target, threads) = (PathBuf::from(next()?), PathBuf::from(next()?), next()?);
    let threads: NonZeroUsize = threads.to_string_lossy().parse()?;
    let paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let secret = Secret::KeyFile(vec![7; 32].into());
    let progress = Progress::new();
    if !folder.exists() {
        let began = Instant::now();
        let store = Store::create_location(&Location::Directory(folder.clone()), &StoreOptions::default())?;
        let repository = Repository::init(store, &secret, "measured", options(&folder))?;
        let options = BackupOptions {
            paths,
            identity: Identity { source: "measured".into(), ..Identity::default() },
            filter: FilterOptions::default(),
            profile: None,
            rehash: false,
            dry_run: false,
            threads,
            save_interval: SAVE_INTERVAL_DEFAULT,
        };
        let outcome = backup(&repository, &options, &progress)?;
        println!("backed up in {:.3} s: {:?}", began.elapsed().as_secs_f64(), outcome.snapshot.summary);
    }
    let began = Instant::now();
    let store = Store::open(&Location::Directory(folder.clone()), &StoreOptions::default())?;
    let repository = Repository::open(store, &secret, options(&folder))?;
    let snapshot = repository.find_snapshot("latest", &Selection::default())?;
    let options = RestoreOptions {
        target,
        subtree: None,
        include: Vec::new(),
        exclude: Vec::new(),
        overwrite: Overwrite::Changed,
        delete: false,
        dry_run: false,
        verify: false,
        ownership: Ownership::WherePermitted,
        threads,
        memory_bytes: repository.options().memory_bytes,
        each: None,
    };
    let outcome = restore(&repository, &snapshot, &options, &progress)?;
    println!(
        "restored in {:.3} s: {:?}, {} bytes written",
        began.elapsed().as_secs_f64(),
        outcome.counts,
        outcome.written_bytes
    );
    Ok(())
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions::new(Cache::Folder(folder.with_extension("cache")))
}
