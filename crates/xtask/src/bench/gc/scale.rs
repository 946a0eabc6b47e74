//! Repositories of many chunks and 1,000 snapshots: listing, checking, collecting; and gigabytes a second where every byte is read.
//!
//! A repository is made once and kept. Each run works on hard links of it: stored objects are never written again, so that
//! deleting them in the copy leaves the original whole.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::super::measure::Measurement;
use super::super::table::cell;
use super::{Host, Options, Tools, below, key_file, where_and_when};
use crate::Result;
use crate::command::{command, create_dir, remove_dir, show_and_run, write};

const SNAPSHOTS: u64 = 1000;
const FORGOTTEN: usize = 5;
/// Part of the names of kept repositories: another one when the maker makes something else.
const VERSION: u32 = 1;
/// Of the repository that is read whole.
const LARGE_CHUNKS: u64 = 3072;
const LARGE_CHUNK_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    ListCold,
    List,
    CheckList,
    StructureCold,
    Structure,
    FirstCollection,
    NothingToDo,
    AfterForgetting,
    Scrub,
    Full,
}

use Phase::{
    AfterForgetting, CheckList, FirstCollection, Full, List, ListCold, NothingToDo, Scrub, Structure, StructureCold,
};

const PHASES: [(Phase, &str); 8] = [
    (ListCold, "open and list snapshots, nothing cached"),
    (List, "open and list snapshots"),
    (CheckList, "`repo check --level list`"),
    (StructureCold, "`repo check --level structure`, nothing cached"),
    (Structure, "`repo check --level structure`"),
    (
        FirstCollection,
        "`repo gc` after forgetting 5 snapshots, the first one ever: small packs and segments are put together",
    ),
    (NothingToDo, "`repo gc` with nothing to do"),
    (AfterForgetting, "`repo gc` after forgetting 5 more"),
];

/// One repository of the page.
struct Made {
    folder: PathBuf,
    chunks: u64,
    chunk_bytes: u64,
    snapshots: u64,
}

pub(super) fn run(tools: &Tools, options: &Options, data: &Path, work: &Path) -> Result<String> {
    let key = key_file(data)?;
    let made = |chunks, snapshots, chunk_bytes| make(tools, data, &key, chunks, snapshots, chunk_bytes);
    let sizes: Vec<Made> = options.chunks.iter().map(|chunks| made(*chunks, SNAPSHOTS, 64)).collect::<Result<_>>()?;
    let large = made(LARGE_CHUNKS, 1, LARGE_CHUNK_BYTES)?;
    let mut text = format!(
        "Written by `cargo xtask bench gc --part scale --chunks {}`. {} {}\n\nMade through the writer of every backup: files of one \
         chunk of 64 bytes, a thousand in a directory; from one snapshot to the next a 200th of the tree's leaves change, and in each \
         a tenth of the files. The oldest {FORGOTTEN} are forgotten each time. Collections have no grace (`--grace 0s`), so that one run does all. \
         Goals at ten million chunks: to list within 2 s with nothing cached; to check and to collect within 60 s and 256 MiB.\n",
        options.chunks.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
        match options.runs {
            1 => "One run.".to_owned(),
            runs => format!("Medians of {runs} runs, least and most in brackets."),
        },
        where_and_when()?,
    );
    for size in &sizes {
        let mut samples = Vec::new();
        for run in 0..options.runs {
            println!("\n== {} chunks, run {}", size.chunks, run + 1);
            measure_size(tools, &key, size, work, &mut samples)?;
        }
        let (files, bytes) = below(&size.folder)?;
        let _ = write!(
            text,
            "\n### {} chunks, {} snapshots\n\n{:.2} GB in {files} files before the first collection.\n\n\
             | | s | processor, s | peak memory, MiB |\n|---|---:|---:|---:|\n",
            size.chunks,
            size.snapshots,
            bytes as f64 / 1e9,
        );
        for (phase, title) in PHASES {
            let of = |value: fn(&Measurement) -> f64| sorted(&samples, phase, value);
            let _ = writeln!(
                text,
                "| {title} | {} | {} | {} |",
                cell(&of(|sample| sample.wall.as_secs_f64()), 2),
                cell(&of(|sample| sample.cpu.as_secs_f64()), 2),
                cell(&of(|sample| sample.peak_memory_bytes as f64 / f64::from(1 << 20)), 0),
            );
        }
    }
    let bytes = below(&large.folder)?.1 as f64;
    let mut samples = Vec::new();
    for run in 0..options.runs {
        println!("\n== {} chunks of {} bytes, run {}", large.chunks, large.chunk_bytes, run + 1);
        let host = copy(tools, &key, &large, work)?;
        samples.push((Scrub, host.measure(&["repo", "scrub"])?));
        samples.push((Full, host.measure(&["repo", "check", "--level", "full"])?));
    }
    let _ = write!(
        text,
        "\n### Every byte read\n\n{} chunks of 1 MiB, every other half KiB of which is noise; {:.2} GB stored.\n\n\
         | | s | GB/s | GB/s per core | peak memory, MiB |\n|---|---:|---:|---:|---:|\n",
        large.chunks,
        bytes / 1e9
    );
    for (phase, title) in
        [(Scrub, "`repo scrub`: hashes, no key"), (Full, "`repo check --level full`: decrypts and decompresses too")]
    {
        let of = |value: &dyn Fn(&Measurement) -> f64| sorted(&samples, phase, value);
        let _ = writeln!(
            text,
            "| {title} | {} | {} | {} | {} |",
            cell(&of(&|sample| sample.wall.as_secs_f64()), 2),
            cell(&of(&|sample| bytes / 1e9 / sample.wall.as_secs_f64()), 2),
            cell(&of(&|sample| bytes / 1e9 / sample.cpu.as_secs_f64()), 2),
            cell(&of(&|sample| sample.peak_memory_bytes as f64 / f64::from(1 << 20)), 0),
        );
    }
    Ok(text)
}

/// All phases once, in the order of a repository's life.
fn measure_size(
    tools: &Tools,
    key: &Path,
    size: &Made,
    work: &Path,
    samples: &mut Vec<(Phase, Measurement)>,
) -> Result<()> {
    let host = copy(tools, key, size, work)?;
    let list = ["snapshots", "-o", "name"];
    let collect = ["repo", "gc", "--grace", "0s"];
    samples.push((ListCold, host.measure(&list)?));
    samples.push((List, host.measure(&list)?));
    let listed = host.answer()?;
    let oldest: Vec<&str> = listed.lines().take(2 * FORGOTTEN).collect();
    if oldest.len() < 2 * FORGOTTEN {
        return Err(format!("{} snapshots were made, but listed are {listed:?}", size.snapshots));
    }
    samples.push((CheckList, host.measure(&["repo", "check", "--level", "list"])?));
    host.forget_cache()?;
    samples.push((StructureCold, host.measure(&["repo", "check", "--level", "structure"])?));
    samples.push((Structure, host.measure(&["repo", "check", "--level", "structure"])?));
    host.measure(&[&["forget"][..], &oldest[..FORGOTTEN]].concat())?;
    let (_, before) = below(&host.repository)?;
    samples.push((FirstCollection, host.measure(&collect)?));
    // A fast collection that collected nothing is no figure.
    let (_, after) = below(&host.repository)?;
    if after >= before {
        return Err(format!("nothing was freed: {before} bytes before, {after} after:\n{}", host.answer()?));
    }
    println!("  freed {} of {before} bytes", before - after);
    samples.push((NothingToDo, host.measure(&collect)?));
    host.measure(&[&["forget"][..], &oldest[FORGOTTEN..]].concat())?;
    samples.push((AfterForgetting, host.measure(&collect)?));
    Ok(())
}

/// Makes a repository unless it is there from an earlier run.
fn make(tools: &Tools, data: &Path, key: &Path, chunks: u64, snapshots: u64, chunk_bytes: u64) -> Result<Made> {
    let folder = data.join(format!("made-{VERSION}-{chunks}-{snapshots}-{chunk_bytes}"));
    let done = folder.with_extension("done");
    if !done.exists() {
        remove_dir(&folder)?;
        let mut maker = command(&tools.made);
        maker.arg(&folder).arg(key).args(["--chunks", &chunks.to_string()]);
        maker.args(["--snapshots", &snapshots.to_string(), "--chunk-bytes", &chunk_bytes.to_string()]);
        show_and_run(&mut maker)?;
        write(&done, "")?;
    }
    Ok(Made { folder, chunks, chunk_bytes, snapshots })
}

/// A host that has never opened the repository, with a copy of its own.
fn copy<'a>(tools: &'a Tools, key: &Path, made: &Made, work: &Path) -> Result<Host<'a>> {
    let home = work.join("scale");
    remove_dir(&home)?;
    create_dir(&home)?;
    let repository = home.join("repository");
    show_and_run(command("cp").arg("-al").arg(&made.folder).arg(&repository))?;
    Host::new(&tools.backstay, &repository, key, &home)
}

fn sorted(samples: &[(Phase, Measurement)], phase: Phase, value: impl Fn(&Measurement) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = samples.iter().filter(|(of, _)| *of == phase).map(|(_, sample)| value(sample)).collect();
    values.sort_by(f64::total_cmp);
    values
}
