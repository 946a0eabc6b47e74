//! What the processes of a story do: the code of the crate, called as the programs call it, over and over.
//!
//! Errors that a harmed store or another process explains are borne; any other one is a wrong of the story.

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::ids::SnapshotId;
use backstay_format::log::{Extra, LedgerEntry, SnapshotRecord, TreeRef};
use backstay_format::tree::{Content, Extent, Item, ItemKind, TreeBuilder};
use backstay_repo::gc::CollectOptions;
use backstay_repo::retention::{Policy, Rule};
use backstay_repo::tree::TreeCursor;
use backstay_repo::{ErrorKind, OpenOptions, Progress, RepoError, Repository, Result, Selection, Writer};
use backstay_testkit::data::Dice;
use backstay_testkit::simulation::Process;

use super::book::{Book, is_listed};
use crate::scene::{Files, chain, contents, file, noise, record, secret};

/// Bytes of one data chunk here: stories are about many small things.
const CHUNK_BYTES: usize = 3_000;
/// Different files that there are at all: what one forgets, another is about to need.
const POOL: u64 = 14;

/// Stories have some tens of log entries.
const CHECKPOINT_ENTRIES: u64 = 5;

/// Times that a process does nothing between two things that it does.
const BREAKS: &[Duration] =
    &[Duration::ZERO, Duration::from_mins(3), Duration::from_hours(2), Duration::from_hours(26)];

pub(super) fn open(process: &Process, book: &Book) -> Result<Repository> {
    let options = OpenOptions {
        clock: process.clock(),
        checkpoint_entries: CHECKPOINT_ENTRIES,
        ..OpenOptions::new(book.cache(process))
    };
    Repository::open(process.store(), &secret(), options)
}

/// Does something `rounds` times, with breaks; a repository that is open is sometimes used again.
fn rounds(process: &Process, book: &Book, dice: &mut Dice, rounds: u64, work: &mut dyn FnMut(&Repository, &mut Dice)) {
    let mut opened: Option<Repository> = None;
    for _ in 0..rounds {
        let repository = match opened.take() {
            Some(repository) if dice.chance(512) && repository.catch_up().is_ok() => repository,
            _ => match open(process, book) {
                Ok(repository) => repository,
                Err(error) => {
                    process.note("not opened");
                    // A store that is out of reach; and before an answer nobody knows of a death.
                    assert!(is_of_the_store(&error) || process.is_dead(), "opening: {}", chain(&error));
                    continue;
                }
            },
        };
        work(&repository, dice);
        if process.is_dead() {
            return;
        }
        opened = Some(repository);
        process.sleep(*dice.choose(BREAKS));
    }
}

pub(super) fn is_of_the_store(error: &RepoError) -> bool {
    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Denied | ErrorKind::Full)
}

fn unexpected(process: &Process, book: &Book, what: &str, error: &RepoError) {
    if !process.is_dead() {
        book.wrong(format!("{what}: {}", chain(error)));
    }
}

/// Files of the pool, by chance.
pub(super) fn some_files(dice: &mut Dice) -> Files {
    let count = 1 + dice.below(5);
    let numbers = (0..count).map(|_| dice.below(POOL));
    numbers.map(|number| (format!("f{number}"), (number + 1, 400 + (number as usize * 977) % 7_000))).collect()
}

/// Puts the files' contents and their tree. What stands in `known` with the same bytes is taken over unseen.
fn put(writer: &Writer<'_>, files: &Files, known: &BTreeMap<Vec<u8>, Item>) -> Result<TreeRef> {
    let mut chunks = writer.chunk_writer()?;
    let repository = writer.repository();
    let mut builder = TreeBuilder::new(repository.keys(), repository.config().trees.files);
    let mut items = Vec::new();
    for (path, &(seed, length)) in files {
        let bare = file(path, seed, length as u64, Vec::new());
        if let Some(item) = known.get(&bare.key).filter(|item| item.inode == seed) {
            items.push(item.clone());
            continue;
        }
        let mut extents = Vec::new();
        for chunk in noise(seed, length).chunks(CHUNK_BYTES) {
            let id = chunks.put(RecordKind::Data, chunk, Hint::Plain)?;
            extents.push(Extent::Chunk { id, len: chunk.len() as u32 });
        }
        let kind =
            ItemKind::File { size_bytes: length as u64, content: Content::Extents(extents), hash: None, racy: false };
        items.push(Item { kind, ..bare });
    }
    items.sort_by(|left, right| left.key.cmp(&right.key));
    for item in &items {
        builder.push(item, &mut |kind, plain| chunks.put(kind, plain, Hint::Plain))?;
    }
    builder.finish(&mut |kind, plain| chunks.put(kind, plain, Hint::Plain))
}

pub(super) fn items_of(repository: &Repository, snapshot: &SnapshotRecord) -> Result<Vec<Item>> {
    let mut reader = repository.reader()?;
    let mut cursor = TreeCursor::new(snapshot.tree);
    let mut items = Vec::new();
    while let Some(item) = cursor.next(&mut reader)? {
        items.push(item);
    }
    Ok(items)
}

/// How a backup goes about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// What it finds in the snapshots before it is taken over unseen.
    pub(super) takes_over: bool,
    pub(super) saves: bool,
    pub(super) has_ledger: bool,
    /// How long it takes to read what it backs up.
    pub(super) reads_for: Duration,
}

impl Way {
    pub(super) fn by(dice: &mut Dice) -> Self {
        let (takes_over, saves, has_ledger) = (dice.chance(700), dice.chance(350), dice.chance(300));
        let reads_for = if dice.chance(512) { Duration::ZERO } else { *dice.choose(BREAKS) };
        Self { takes_over, saves, has_ledger, reads_for }
    }
}

/// Backups of one source, each taking over what it finds in the one before.
pub(super) fn back_up(process: &Process, book: &Book, mut dice: Dice, source: &str) {
    let count = 1 + dice.below(3);
    rounds(process, book, &mut dice, count, &mut |repository, dice| {
        let (files, way) = (some_files(dice), Way::by(dice));
        for attempt in 0..4 {
            match back_up_once(process, repository, book, way, source, &files) {
                Ok(()) => return process.note("backups"),
                Err(error) if error.kind() == ErrorKind::Conflict => process.note("overtaken"),
                Err(error) if is_of_the_store(&error) => {
                    process.note("backups given up");
                    if attempt > 0 {
                        return;
                    }
                }
                Err(error) => return unexpected(process, book, "backup", &error),
            }
            if repository.catch_up().is_err() {
                return;
            }
        }
    });
}

/// Two backups of the same new file at once, so that there are two copies of it.
pub(super) fn back_up_twice(repository: &Repository, book: &Book) -> Result<()> {
    let files: Files = [("twin".to_owned(), (POOL + 1, 6_000))].into();
    let writers = [repository.begin()?, repository.begin()?];
    let trees = [put(&writers[0], &files, &BTreeMap::new())?, put(&writers[1], &files, &BTreeMap::new())?];
    for (writer, tree) in writers.iter().zip(trees) {
        let record = record(repository, "twins", tree);
        book.attempt(record.id, &files);
        book.committed(record.id);
        writer.commit(record)?;
    }
    Ok(())
}

pub(super) fn back_up_once(
    process: &Process,
    repository: &Repository,
    book: &Book,
    way: Way,
    source: &str,
    files: &Files,
) -> Result<()> {
    let (complete, incomplete) = repository.parents_of(source);
    let writer = repository.begin()?;
    let mut known = BTreeMap::new();
    for parent in complete.iter().chain(&incomplete).filter(|_| way.takes_over) {
        match items_of(repository, parent) {
            Ok(items) => {
                writer.reuse_tree_of(parent.id);
                known.extend(items.into_iter().map(|item| (item.key.clone(), item)));
                process.note("trees taken over");
            }
            // It may have been forgotten and collected since it was seen; then its files are read again.
            Err(error) if is_of_the_store(&error) || process.is_dead() => return Err(error),
            Err(error) => {
                if is_listed(process, parent.id) {
                    return Err(error);
                }
                process.note("parents gone");
            }
        }
    }
    process.sleep(way.reads_for);
    if let Some(incomplete) = &incomplete {
        writer.supersede(incomplete.id);
    }
    if way.saves {
        let half: Files = files.iter().take(files.len().div_ceil(2)).map(|(k, v)| (k.clone(), *v)).collect();
        let saved = record(repository, source, put(&writer, &half, &known)?);
        book.attempt(saved.id, &half);
        let id = saved.id;
        writer.save(saved)?;
        book.committed(id);
        process.note("saves");
    }
    let tree = put(&writer, files, &known)?;
    process.sleep(way.reads_for);
    let mut record = record(repository, source, tree);
    if way.has_ledger {
        let note = LedgerEntry {
            path: format!("gone-{}", files.len()),
            reason: "vanished".to_owned(),
            detail: String::new(),
            failed: false,
            extra: Extra::new(),
        };
        record.ledger = writer.write_ledger(&[note])?;
    }
    book.attempt(record.id, files);
    let id = record.id;
    writer.commit(record)?;
    book.committed(id);
    Ok(())
}

/// Forgets by a policy, or one by name; holds another now and then.
pub(super) fn forget(process: &Process, book: &Book, mut dice: Dice) {
    let count = 1 + dice.below(4);
    rounds(process, book, &mut dice, count, &mut |repository, dice| {
        let outcome = forget_once(process, repository, book, dice);
        match outcome {
            Ok(()) => {}
            Err(error) if is_of_the_store(&error) => process.note("forgets given up"),
            // What was to be held is forgotten already.
            Err(error) if error.kind() == ErrorKind::Conflict => process.note("overtaken"),
            Err(error) => unexpected(process, book, "forget", &error),
        }
    });
}

pub(super) fn forget_once(process: &Process, repository: &Repository, book: &Book, dice: &mut Dice) -> Result<()> {
    let listed: Vec<SnapshotId> = repository.snapshots().iter().map(|snapshot| snapshot.id).collect();
    if listed.is_empty() {
        return Ok(());
    }
    match dice.below(8) {
        0 => {
            let id = *dice.choose(&listed);
            repository.hold(&[id], "audit")?;
            book.held(id);
            process.note("holds");
        }
        // A retired cluster: whoever takes over from what was listed a moment ago is left alone with it.
        1 => {
            let gone = repository.forget(&listed, true, false)?;
            book.forgotten(gone.iter().map(|record| record.id));
            process.note("forgets of everything");
        }
        2..5 => {
            let policy = Policy {
                rules: vec![Rule::Last(1 + dice.below(2) as u32)],
                expired: false,
                at_least: 0,
                zone: jiff::tz::TimeZone::UTC,
            };
            let outcome = repository.forget_by_policy(&policy, &Selection::default(), false)?;
            if outcome.slot.is_some() {
                book.forgotten(outcome.judged.iter().filter(|one| !one.verdict.is_kept()).map(|one| one.snapshot.id));
                process.note("forgets");
            }
        }
        _ => {
            let gone = repository.forget(&[*dice.choose(&listed)], true, false)?;
            if !gone.is_empty() {
                book.forgotten(gone.iter().map(|record| record.id));
                process.note("forgets");
            }
        }
    }
    Ok(())
}

/// Brings back what others forget.
pub(super) fn undo(process: &Process, book: &Book, mut dice: Dice) {
    rounds(process, book, &mut dice, 4, &mut |repository, dice| {
        let forgotten: Vec<SnapshotId> = repository.forgotten().iter().map(|snapshot| snapshot.id).collect();
        if forgotten.is_empty() {
            return;
        }
        match repository.forget_undo(&[*dice.choose(&forgotten)]) {
            Ok(back) if back.is_empty() => {}
            Ok(back) => {
                book.undone(back.iter().map(|record| record.id));
                process.note("undos");
            }
            Err(error) if is_of_the_store(&error) => {}
            Err(error) if [ErrorKind::Conflict, ErrorKind::NotFound].contains(&error.kind()) => {
                process.note("undos too late");
            }
            Err(error) => unexpected(process, book, "undo", &error),
        }
    });
}

/// Restores snapshots. One that is listed still is readable; one that was collected may not be.
pub(super) fn restore(process: &Process, book: &Book, mut dice: Dice) {
    rounds(process, book, &mut dice, 3, &mut |repository, dice| {
        let listed = repository.snapshots();
        if listed.is_empty() {
            return;
        }
        let snapshot = dice.choose(&listed);
        match contents(repository, snapshot.tree) {
            Ok(read) => {
                process.note("restores");
                if let Err(wrong) = book.compare(snapshot, &read) {
                    book.wrong(wrong);
                }
            }
            Err(error) if is_of_the_store(&error) => {}
            Err(_) if process.is_dead() => {}
            Err(error) if is_listed(process, snapshot.id) => {
                book.wrong(format!("snapshot {}, listed, cannot be restored: {}", snapshot.id, chain(&error)));
            }
            Err(_) => process.note("restores of what was collected"),
        }
    });
}

/// Collects, with a grace or without: the worst moment is whenever it runs.
pub(super) fn collect(process: &Process, book: &Book, mut dice: Dice) {
    let grace_seconds = *dice.choose(&[0, 0, 3600, 24 * 3600]);
    let unused_max = *dice.choose(&[0.0, 0.05, 0.6]);
    let options = CollectOptions { grace_seconds, unused_max, ..CollectOptions::default() };
    let count = 1 + dice.below(3);
    rounds(process, book, &mut dice, count, &mut |repository, _| match collect_once(process, repository, &options) {
        Ok(()) => {}
        Err(error) if is_of_the_store(&error) => process.note("collections given up"),
        Err(error) if error.kind() == ErrorKind::Conflict => process.note("overtaken"),
        Err(error) => unexpected(process, book, "collection", &error),
    });
}

pub(super) fn collect_once(process: &Process, repository: &Repository, options: &CollectOptions) -> Result<()> {
    let report = repository.collect(options, &Progress::new())?;
    process.note("collections");
    process.note_times("collections that went on from the last one", report.is_incremental.into());
    process.note_times("packs condemned", report.condemned.objects);
    process.note_times("packs reprieved", report.reprieved.objects);
    process.note_times("packs retired", report.retired.objects);
    process.note_times("packs repacked", report.repacked.objects);
    process.note_times("packs deleted", report.deleted.objects);
    process.note_times("segments merged away", report.segments_before.saturating_sub(report.segments_after));
    Ok(())
}

/// All that can go, at once.
pub(super) fn collect_all(repository: &Repository) -> Result<()> {
    let options = CollectOptions { grace_seconds: 0, unused_max: 0.0, ..CollectOptions::default() };
    repository.collect(&options, &Progress::new()).map(|_| ())
}
