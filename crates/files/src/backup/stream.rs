//! Backing up what a command prints, as one file. The command's exit status decides whether there is a snapshot.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use backstay_format::chunker::Chunker;
use backstay_format::compress::Hint;
use backstay_format::log::{LedgerRef, Summary};
use backstay_format::tree::{Item, ItemKind, Time, TreeBuilder, key_of_path, key_parent};
use backstay_repo::{Progress, Repository, Writer, new_snapshot_id};

use super::large::{Finished, Input, LargeFile, Step};
use super::{BackupOutcome, Identity, chunker, finish_summary, interrupted, record, workers};
use crate::error::FilesError;

/// A command whose standard output is backed up.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Program and arguments; no shell.
    pub command: Vec<std::ffi::OsString>,
    /// Name of the file in the snapshot: a path without `.` and `..`.
    pub file_name: String,
    pub identity: Identity,
    pub profile: Option<String>,
    pub threads: std::num::NonZeroUsize,
}

/// Runs the command and backs its output up.
///
/// # Errors
/// Where the command cannot be started, ends with another status than 0, or is ended by a signal, nothing is committed.
pub fn backup_stream(
    repository: &Repository,
    options: &StreamOptions,
    progress: &Progress,
) -> Result<BackupOutcome, FilesError> {
    let started = repository.clock().now();
    let (complete, _) = repository.parents_of(&options.identity.source);
    let (profile, chunker) = chunker(repository, options.profile.as_deref(), complete.as_ref())?;
    let (program, arguments) = options.command.split_first().ok_or(FilesError::NoCommand)?;
    let shown = program.to_string_lossy().into_owned();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| FilesError::Command { program: shown.clone(), source })?;
    let stdout = child.stdout.take().expect("it was asked for");
    let writer = repository.begin()?;
    let read = read_all(
        &writer,
        &chunker,
        Box::new(stdout),
        workers(options.threads, repository.options().memory_bytes),
        progress,
    );
    let finished = match read {
        Ok(finished) => finished,
        Err(error) => {
            end(&mut child);
            return Err(error);
        }
    };
    let status = child.wait().map_err(|source| FilesError::Command { program: shown.clone(), source })?;
    if let Some(source) = finished.error {
        return Err(FilesError::Command { program: shown, source });
    }
    if !status.success() {
        return Err(FilesError::CommandFailed { program: shown, status });
    }
    let mut chunks = writer.chunk_writer()?;
    let mut builder = TreeBuilder::new(repository.keys(), repository.config().trees.files);
    let mut store = |kind, plain: &[u8]| chunks.put(kind, plain, Hint::Plain);
    let now = Time { seconds: started.as_second(), nanoseconds: started.subsec_nanosecond().unsigned_abs() };
    let key = key_of_path(options.file_name.as_bytes());
    let size_bytes = finished.content.length().unwrap_or(0);
    let mut above = Vec::new();
    let mut parent = key_parent(&key);
    while let Some(directory) = parent {
        above.push(directory);
        parent = key_parent(directory);
    }
    let directories = above.len() as u64;
    for directory in above.into_iter().rev() {
        let item = Item { modified: now, changed: now, ..Item::bare_directory(directory.to_vec()) };
        builder.push(&item, &mut store)?;
    }
    let kind = ItemKind::File { size_bytes, content: finished.content, hash: None, racy: true };
    let item = Item { kind, mode: 0o600, modified: now, changed: now, ..Item::bare_directory(key) };
    builder.push(&item, &mut store)?;
    let tree = builder.finish(&mut store)?;
    let mut summary =
        Summary { files: 1, directories, size_bytes, added: 1, read_bytes: finished.read_bytes, ..Summary::default() };
    finish_summary(&mut summary, repository, started);
    let paths = vec![format!("/{}", options.file_name.trim_start_matches('/'))];
    let record = record(
        repository,
        &options.identity,
        paths,
        &profile,
        started,
        new_snapshot_id()?,
        tree,
        summary,
        LedgerRef::default(),
    );
    Ok(BackupOutcome { snapshot: writer.commit(record)?, problems: Vec::new() })
}

fn read_all(
    writer: &Writer<'_>,
    chunker: &Chunker,
    stream: Box<dyn Read + Send>,
    threads: usize,
    progress: &Progress,
) -> Result<Finished, FilesError> {
    let file = LargeFile::new(Input::Stream(stream), chunker);
    let work = || -> Result<Option<Finished>, FilesError> {
        let mut chunks = writer.chunk_writer()?;
        let mut scratch = Vec::new();
        loop {
            if progress.is_cancelled() {
                return interrupted();
            }
            match file.step(chunker, &mut chunks, &mut scratch, progress)? {
                Step::More => {}
                Step::Exhausted => return Ok(None),
                Step::Finished(finished) => return Ok(Some(finished)),
            }
        }
    };
    let mut found = None;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            let result = worker.join().expect("reading a stream does not panic")?;
            found = found.take().or(result);
            Ok::<_, FilesError>(())
        })
    })?;
    found.map_or_else(interrupted, Ok)
}

/// Ends a command whose output is not wanted any more; it was started here.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
