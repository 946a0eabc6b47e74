//! `cargo xtask bench gc`: what a long life costs. Lists, checks and collections of repositories with many chunks, and a year of backups.
//!
//! `scale` measures repositories of one million chunks and more, `year` lets 35,000 backups of a cluster pass with a collection each day,
//! `chart` draws. What makes the repositories is testkit's; everything that is measured is the program itself, as a process of its own.
//! The page has a section of each part, and a run of one part leaves the other's as it is.

mod chart;
mod scale;
mod year;

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{Measurement, measure};
use super::table::machine;
use super::{HELP, build_release};
use crate::Result;
use crate::command::{command, create_dir, line, project_root, read, remove_dir, show_and_run, write};
use crate::tools;

const PAGE: &str = "docs/reference/bench-gc.md";
const CHART: &str = "docs/reference/bench-gc-year.svg";
const SCALE_TITLE: &str = "## Many chunks";
const YEAR_TITLE: &str = "## Backups every quarter of an hour";

struct Options {
    parts: Vec<Part>,
    chunks: Vec<u64>,
    runs: usize,
    days: usize,
    no_page: bool,
    data: PathBuf,
    work: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Scale,
    Year,
}

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    let tools = Tools::build()?;
    remove_dir(&options.work)?;
    create_dir(&options.work)?;
    let work = absolute(&options.work)?;
    let mut page = Page::read()?;
    if options.parts.contains(&Part::Scale) {
        create_dir(&options.data)?;
        page.scale = scale::run(&tools, &options, &absolute(&options.data)?, &work)?;
        page.save(&options)?;
    }
    if options.parts.contains(&Part::Year) {
        let (text, chart) = year::run(&tools, &options, &work)?;
        page.year = text;
        page.save(&options)?;
        if !options.no_page {
            write(&project_root().join(CHART), &chart)?;
        }
    }
    remove_dir(&options.work)?;
    println!("\n{}", page.text());
    if !options.no_page {
        println!("written to {PAGE}");
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Options> {
    let cache = tools::cache_dir()?;
    let mut options = Options {
        parts: vec![Part::Scale, Part::Year],
        chunks: vec![1_000_000, 10_000_000],
        runs: 3,
        days: 365,
        no_page: false,
        data: cache.join("long-life"),
        work: cache.join("bench"),
    };
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value\n\n{HELP}"));
        match option.as_str() {
            "--part" => {
                options.parts = vec![match value()?.as_str() {
                    "scale" => Part::Scale,
                    "year" => Part::Year,
                    other => return Err(format!("--part: {other:?} is neither scale nor year")),
                }];
            }
            "--chunks" => {
                let sizes = value()?.split(',').map(|size| size.parse().map_err(|cause| format!("{size:?}: {cause}")));
                options.chunks = sizes.collect::<Result<_>>()?;
            }
            "--runs" => options.runs = value()?.parse().map_err(|cause| format!("--runs: {cause}"))?,
            "--days" => options.days = value()?.parse().map_err(|cause| format!("--days: {cause}"))?,
            "--no-page" => options.no_page = true,
            "--data" => options.data = value()?.into(),
            "--work" => options.work = value()?.into(),
            _ => return Err(format!("there is no option {option}\n\n{HELP}")),
        }
    }
    if options.runs == 0 || options.days == 0 || options.chunks.is_empty() {
        return Err(format!("nothing to measure\n\n{HELP}"));
    }
    Ok(options)
}

/// The page's two sections, without their titles.
struct Page {
    scale: String,
    year: String,
}

impl Page {
    fn read() -> Result<Self> {
        let path = project_root().join(PAGE);
        Ok(if path.exists() { Self::parse(&read(&path)?) } else { Self::parse("") })
    }

    fn parse(text: &str) -> Self {
        let (before, year) = text.split_once(YEAR_TITLE).unwrap_or((text, ""));
        let scale = before.split_once(SCALE_TITLE).map_or("", |(_, scale)| scale);
        Self { scale: scale.trim().to_owned(), year: year.trim().to_owned() }
    }

    fn text(&self) -> String {
        let mut text = "# Long life: listing, checks and collections over years of snapshots\n\n\
             Every figure is of the program as a process of its own, start included, on a local directory that is in the page cache, opened \
             with a key file. *Nothing cached* means that the host has never opened the repository; else it has its local index.\n"
            .to_owned();
        for (title, section) in [(SCALE_TITLE, &self.scale), (YEAR_TITLE, &self.year)] {
            if !section.is_empty() {
                let _ = write!(text, "\n{title}\n\n{section}\n");
            }
        }
        text
    }

    fn save(&self, options: &Options) -> Result<()> {
        if options.no_page { Ok(()) } else { write(&project_root().join(PAGE), &self.text()) }
    }
}

/// The programs: the one that is measured, and those that make what it is measured on.
struct Tools {
    backstay: PathBuf,
    made: PathBuf,
    year: PathBuf,
}

impl Tools {
    fn build() -> Result<Self> {
        let backstay = build_release()?;
        let bins = ["--bin", "synthetic-repository", "--bin", "cluster-year"];
        show_and_run(
            command("cargo").args(["build", "--release", "--locked", "--package", "backstay-testkit"]).args(bins),
        )?;
        let beside = |name: &str| backstay.with_file_name(name);
        Ok(Self { made: beside("synthetic-repository"), year: beside("cluster-year"), backstay })
    }
}

/// One repository on this machine, and where the program keeps what it knows of it.
struct Host<'a> {
    program: &'a Path,
    repository: PathBuf,
    key_file: PathBuf,
    /// Cache and logs.
    home: PathBuf,
}

impl<'a> Host<'a> {
    fn new(program: &'a Path, repository: &Path, key_file: &Path, home: &Path) -> Result<Self> {
        create_dir(home)?;
        Ok(Self { program, repository: repository.into(), key_file: key_file.into(), home: home.into() })
    }

    fn cache(&self) -> PathBuf {
        self.home.join("cache")
    }

    fn forget_cache(&self) -> Result<()> {
        remove_dir(&self.cache())
    }

    fn measure(&self, words: &[&str]) -> Result<Measurement> {
        println!("$ {}", line(&self.command(words)));
        let measured = self.quiet(words)?;
        let (wall, memory) = (measured.wall.as_secs_f64(), measured.peak_memory_bytes >> 20);
        println!("  {wall:.2} s, {memory} MiB");
        Ok(measured)
    }

    /// The same for what is run a thousand times: nothing is printed.
    fn quiet(&self, words: &[&str]) -> Result<Measurement> {
        measure(&mut self.command(words), &self.log())
    }

    /// What the measured command printed last.
    fn answer(&self) -> Result<String> {
        read(&self.log())
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(self.program);
        command.args(words).args(["--quiet", "--key-file"]).arg(&self.key_file).arg("--repo").arg(&self.repository);
        command.arg("--cache-dir").arg(self.cache()).env("HOME", &self.home);
        command
    }
}

/// The file that opens every repository of this measurement.
fn key_file(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("key");
    write(&path, "a key file has 32 bytes at least")?;
    Ok(path)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|cause| format!("cannot find {}: {cause}", path.display()))
}

/// The machine, and how busy it was: figures that were taken beside other work are worth less, and a reader should see that.
fn where_and_when() -> Result<String> {
    let load = read("/proc/loadavg".as_ref())?;
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    Ok(format!("Machine: {}; its load average was {load} when the measurement began.", machine()?))
}

/// Files below a folder, and their bytes; without what is set aside for the day the disk is full.
fn below(folder: &Path) -> Result<(usize, u64)> {
    let failed = |cause: std::io::Error| format!("cannot list {}: {cause}", folder.display());
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        if entry.file_name() == "reserve" {
            continue;
        }
        if metadata.is_dir() {
            let (more, more_bytes) = below(&entry.path())?;
            (files, bytes) = (files + more, bytes + more_bytes);
        } else {
            (files, bytes) = (files + 1, bytes + metadata.len());
        }
    }
    Ok((files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_one_part_leaves_the_other_section_as_it_is() {
        let whole = Page { scale: "first\n\n| table |".into(), year: "second\n\n![chart](x.svg)".into() };
        let again = Page::parse(&whole.text());
        assert_eq!((&again.scale, &again.year), (&whole.scale, &whole.year));
        let alone = Page { scale: String::new(), year: "second".into() };
        let again = Page::parse(&alone.text());
        assert_eq!((again.scale.as_str(), again.year.as_str()), ("", "second"));
        assert_eq!(Page::parse("").text(), Page { scale: String::new(), year: String::new() }.text());
    }
}
