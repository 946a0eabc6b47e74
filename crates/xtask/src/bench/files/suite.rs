//! The order of things: what is backed up, when it changes, and who is measured next to whom.
//!
//! All programs go through one phase before any of them enters the next, in an order that turns with every run, so that a
//! slow minute of the machine hits them alike. Every run has new repositories. Many files are not deleted before the last
//! restore.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::super::measure::{Measurement, measure};
use super::super::stored_bytes;
use super::program::{Instance, Program};
use crate::Result;
use crate::command::{command, create_dir, line, output, read, remove_dir};

const MILLION_FOLDERS: usize = 1000;
const MILLION_FILES_PER_FOLDER: usize = 1000;
const LARGE_DIRECTORY_ENTRIES: usize = 200_000;
const SPARSE_FILE_BYTES: u64 = 8 << 30;
/// One MiB of data at every so many bytes: 64 MiB in all.
const SPARSE_FILE_STRIDE_BYTES: u64 = 128 << 20;

/// What all suites share.
pub(super) struct Work {
    pub(super) dir: PathBuf,
    pub(super) executables: Vec<(Program, PathBuf)>,
    pub(super) runs: usize,
    /// No restore starts before this instant.
    pub(super) restores_from: Instant,
}

/// One set of files with the phases it goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    Volumes,
    MillionFiles,
    LargeDirectory,
    SparseFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    First,
    Unchanged,
    Changed,
    Check,
    Restore,
}

/// One measured command.
pub(super) struct Sample {
    pub(super) phase: Phase,
    /// A program's name, or `find`.
    pub(super) subject: &'static str,
    pub(super) measurement: Measurement,
    /// What the repository held afterwards.
    pub(super) stored_bytes: u64,
}

pub(super) const FIND: &str = "find";

impl Suite {
    pub(super) fn phases(self) -> &'static [Phase] {
        match self {
            Suite::Volumes => &[Phase::First, Phase::Unchanged, Phase::Changed, Phase::Check, Phase::Restore],
            Suite::MillionFiles | Suite::LargeDirectory => &[Phase::First, Phase::Unchanged],
            Suite::SparseFile => &[Phase::First, Phase::Restore],
        }
    }

    /// Whether `find` is measured too: it does nothing but look at every file.
    pub(super) fn has_find(self) -> bool {
        matches!(self, Suite::MillionFiles | Suite::LargeDirectory)
    }

    /// Beside `find`, the other programs show only an order of magnitude: an hour of their time would show no more.
    fn takes_part(self, program: Program, run: usize) -> bool {
        run == 0 || self == Suite::Volumes || program == Program::Backstay
    }

    fn folder(self) -> &'static str {
        match self {
            Suite::Volumes => "volumes",
            Suite::MillionFiles => "million-files",
            Suite::LargeDirectory => "large-directory",
            Suite::SparseFile => "sparse-file",
        }
    }

    /// Goes through all phases in all runs.
    pub(super) fn run(self, work: &Work, data: &Path) -> Result<Vec<Sample>> {
        let dir = work.dir.join(self.folder());
        let source = dir.join("source");
        println!("\n== {}: making the files", self.folder());
        create_dir(&source)?;
        self.make(&source, data)?;

        let mut samples = Vec::new();
        for run in 0..work.runs {
            let instances = self.instances(work, &dir, run)?;
            let mut changed = false;
            for &phase in self.phases().iter().filter(|&&phase| phase != Phase::Restore) {
                if phase == Phase::Changed {
                    exchange_databases(&source)?;
                    changed = true;
                }
                read_all(&source)?;
                if self.has_find() {
                    let mut find = command(FIND);
                    find.arg(&source).args(["-printf", r"%s %T@ %i\n"]);
                    samples.push(sample(phase, FIND, run, &mut find, &dir)?);
                }
                for instance in &instances {
                    read_all(&instance.repository())?;
                    let mut command = match phase {
                        Phase::Check => instance.check(),
                        _ => instance.backup(&source, label(phase)),
                    };
                    let mut sample = sample(phase, instance.program.name(), run, &mut command, &instance.home)?;
                    sample.stored_bytes = stored_bytes(&instance.repository())?;
                    samples.push(sample);
                }
            }
            // The next run starts from the first database again; after the last one the restored files are compared.
            if changed && run + 1 < work.runs {
                exchange_databases(&source)?;
            }
        }
        if self.phases().contains(&Phase::Restore) {
            self.restore(work, &dir, &source, &mut samples)?;
        }
        Ok(samples)
    }

    fn restore(self, work: &Work, dir: &Path, source: &Path, samples: &mut Vec<Sample>) -> Result<()> {
        let newest = *self
            .phases()
            .iter()
            .rfind(|phase| !matches!(phase, Phase::Check | Phase::Restore))
            .unwrap_or(&Phase::First);
        let wait = work.restores_from.saturating_duration_since(Instant::now());
        println!("restores begin in {} s", wait.as_secs());
        #[expect(clippy::disallowed_methods, reason = "the file system has to calm down before restores are measured")]
        std::thread::sleep(wait);
        for run in 0..work.runs {
            for instance in self.instances(work, dir, run)? {
                let target = instance.home.join("restored");
                create_dir(&target)?;
                fill_page_cache(&instance.home.join("zeros"))?;
                read_all(&instance.repository())?;
                let mut command = instance.restore(&target, label(newest));
                samples.push(sample(Phase::Restore, instance.program.name(), run, &mut command, &instance.home)?);
                if run == 0 {
                    let restored = target.join(source.strip_prefix("/").unwrap_or(source));
                    let mut diff = Command::new("diff");
                    output(diff.args(["--recursive", "--no-dereference"]).arg(source).arg(restored))
                        .map_err(|cause| format!("the restored files differ: {cause}"))?;
                }
                // One file, but of 8 GiB on the disk where a program does not restore holes.
                if self == Suite::SparseFile {
                    remove_dir(&target)?;
                }
            }
        }
        Ok(())
    }

    /// This run's instances, made on first use, in an order that turns with every run.
    fn instances(self, work: &Work, dir: &Path, run: usize) -> Result<Vec<Instance>> {
        let mut instances = Vec::new();
        for (program, executable) in &work.executables {
            if !self.takes_part(*program, run) {
                continue;
            }
            let home = dir.join(format!("run-{run}")).join(program.name());
            let instance = Instance { program: *program, executable: executable.clone(), home };
            if !instance.home.exists() {
                create_dir(&instance.home)?;
                output(&mut instance.init())?;
            }
            instances.push(instance);
        }
        let turn = run % instances.len().max(1);
        instances.rotate_left(turn);
        Ok(instances)
    }

    fn make(self, source: &Path, data: &Path) -> Result<()> {
        match self {
            Suite::Volumes => {
                for (from, to) in
                    [("many", source.join("many")), ("pg0", database(source)), ("pg1", other_database(source))]
                {
                    output(command("cp").arg("-a").arg(data.join(from)).arg(to))?;
                }
            }
            Suite::MillionFiles => {
                for folder in 0..MILLION_FOLDERS {
                    make_empty_files(&source.join(format!("folder-{folder:04}")), MILLION_FILES_PER_FOLDER)?;
                }
            }
            Suite::LargeDirectory => make_empty_files(source, LARGE_DIRECTORY_ENTRIES)?,
            Suite::SparseFile => make_sparse_file(&source.join("disk.img"), &data.join("pg0"))?,
        }
        Ok(())
    }
}

fn sample(phase: Phase, subject: &'static str, run: usize, command: &mut Command, home: &Path) -> Result<Sample> {
    output(&mut Command::new("sync"))?;
    println!("$ {}", line(command));
    let measurement = measure(command, &home.join(format!("{subject}-{}.log", label(phase))))?;
    println!(
        "  run {} {:<9} {subject:<8} {:7.2} s, {:7.2} s of processor, {:5} MiB",
        run + 1,
        label(phase),
        measurement.wall.as_secs_f64(),
        measurement.cpu.as_secs_f64(),
        measurement.peak_memory_bytes >> 20,
    );
    Ok(Sample { phase, subject, measurement, stored_bytes: 0 })
}

fn label(phase: Phase) -> &'static str {
    match phase {
        Phase::First => "first",
        Phase::Unchanged => "unchanged",
        Phase::Changed => "changed",
        Phase::Check => "check",
        Phase::Restore => "restore",
    }
}

fn database(source: &Path) -> PathBuf {
    source.join("pg")
}

/// Beside `source`, so that it is not backed up.
fn other_database(source: &Path) -> PathBuf {
    source.with_file_name("pg-other")
}

/// Puts the other state of the database at the path that is backed up. Renaming keeps every file as it was made, and each
/// is another inode than its predecessor, as after a volume was cloned: no program can trust its metadata alone.
fn exchange_databases(source: &Path) -> Result<()> {
    let (database, other, aside) = (database(source), other_database(source), source.with_file_name("pg-aside"));
    for (from, to) in [(&database, &aside), (&other, &database), (&aside, &other)] {
        fs::rename(from, to).map_err(|cause| format!("cannot rename {}: {cause}", from.display()))?;
    }
    Ok(())
}

/// Brings a file, or everything below a folder, into the page cache.
fn read_all(dir: &Path) -> Result<()> {
    let mut command = Command::new("find");
    command.arg(dir).args(["-type", "f", "-size", "+0", "-exec", "cat", "{}", "+"]).stdout(Stdio::null());
    let status = command.status().map_err(|cause| format!("cannot start `{}`: {cause}", line(&command)))?;
    if status.success() { Ok(()) } else { Err(format!("cannot read all of {}", dir.display())) }
}

/// Leaves no memory free that is not page cache, by reading a new file that is one hole.
///
/// A virtual machine may give free memory back to its host; to get it again took one to two seconds a GiB where this was
/// measured, for the page cache that a restore fills as for its own memory, whatever the program.
fn fill_page_cache(path: &Path) -> Result<()> {
    let meminfo = read("/proc/meminfo".as_ref())?;
    let free_kib = meminfo.lines().find_map(|line| line.strip_prefix("MemFree:")?.trim().strip_suffix(" kB"));
    let free_kib: u64 = free_kib.and_then(|text| text.parse().ok()).ok_or("/proc/meminfo does not say what is free")?;
    let made = File::create(path).and_then(|file| file.set_len(free_kib << 10));
    made.map_err(|cause| format!("cannot make {}: {cause}", path.display()))?;
    read_all(path)
}

fn make_empty_files(folder: &Path, count: usize) -> Result<()> {
    create_dir(folder)?;
    for number in 0..count {
        let path = folder.join(format!("file-{number:06}"));
        File::create(&path).map_err(|cause| format!("cannot make {}: {cause}", path.display()))?;
    }
    Ok(())
}

/// A file that is mostly holes, with data from the database between them.
fn make_sparse_file(path: &Path, database: &Path) -> Result<()> {
    let list = output(command("find").arg(database).args(["-type", "f", "-size", "+64M"]))?;
    let largest = list.lines().min().ok_or("the database has no large file")?;
    let failed = |cause| format!("cannot copy from {largest} to {}: {cause}", path.display());
    let mut contents = File::open(largest).map_err(failed)?;
    let mut file = File::create(path).map_err(failed)?;
    // Block by block: the kernel counts this process's memory as the peak of every child it starts later.
    let mut block = vec![0; 1 << 20];
    for offset in (0..SPARSE_FILE_BYTES).step_by(SPARSE_FILE_STRIDE_BYTES as usize) {
        contents.read_exact(&mut block).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(&block)).map_err(failed)?;
    }
    file.set_len(SPARSE_FILE_BYTES).map_err(failed)
}
