//! Memory follows the configuration, not the source: the most that each command ever held.

use std::fs;
use std::process::Stdio;

use crate::world::{World, noise};

/// The promised ceiling for a whole process.
const CEILING_KIB: u64 = 256 << 10;
const FOLDERS: usize = 60;
const FILES_PER_FOLDER: usize = 1000;
const LARGE_BYTES: usize = 320 << 20;

/// Runs the program and gives the most memory that it ever held, as the kernel counts it.
fn peak_kib(world: &World, arguments: &[&str]) -> u64 {
    let mut command = world.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        // The last look before the end is as good as the end: packs of 32 MiB come and go much more slowly.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(seen) = line.and_then(|line| line.trim().strip_suffix(" kB")) {
            peak = peak.max(seen.parse().unwrap());
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::yield_now();
    };
    assert!(ended.success(), "{arguments:?}");
    peak
}

#[test]
fn no_command_holds_more_than_the_ceiling_however_large_the_source() {
    let world = World::with_repository();
    for folder in 0..FOLDERS {
        fs::create_dir_all(world.path(&format!("data/{folder}"))).unwrap();
        for file in 0..FILES_PER_FOLDER {
            fs::write(world.path(&format!("data/{folder}/{file}")), []).unwrap();
        }
    }
    world.write("data/large", &noise(9, LARGE_BYTES));
    let data = world.text("data");
    let target = world.text("restored");
    for arguments in [
        &["backup", "files", &data][..],
        &["backup", "files", &data, "--rehash"],
        &["repo", "check", "--read-data"],
        &["restore", "files", "latest", "--target", &target],
    ] {
        let peak = peak_kib(&world, arguments);
        assert!(peak > 0 && peak < CEILING_KIB, "{arguments:?} held {peak} KiB");
    }
}
