//! The seeds of the fuzz targets, run through the same functions by every ordinary test run.
//!
//! Seeds are whatever opens in the golden repository, in the form that each target takes, and inputs that once failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use backstay_format::compress::DEFAULT_LEVEL;
use backstay_format::crypto::RecordKind;
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::pack::read_directory;
use backstay_format::record::Sealer;

use crate::golden::{keys, object, objects};

#[expect(unreachable_pub, reason = "they are public in the crate of the fuzz targets")]
#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")
}

#[test]
fn every_seed_goes_through_its_target() {
    make_missing();
    for (name, target) in targets::TARGETS {
        let seeds: Vec<PathBuf> =
            fs::read_dir(folder().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{name} has seeds");
        for seed in seeds {
            target(&fs::read(&seed).unwrap());
        }
    }
}

#[test]
fn damaged_seeds_go_through_their_targets() {
    for (name, target) in targets::TARGETS {
        for seed in fs::read_dir(folder().join(name)).unwrap() {
            let seed = fs::read(seed.unwrap().path()).unwrap();
            // Some hundred places spread over the seed, each cut off and each with a bit flipped.
            for at in (0..seed.len()).step_by(seed.len() / 100 + 1) {
                target(&seed[..at]);
                let mut damaged = seed.clone();
                damaged[at] ^= 1 << (at % 8);
                target(&damaged);
            }
        }
    }
}

/// Writes the seeds that come from the golden repository, when asked to (see golden.rs).
fn make_missing() {
    if std::env::var_os("BACKSTAY_MAKE_GOLDEN").is_none() {
        return;
    }
    let keys = keys();
    let mut seeds: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target, bytes: Vec<u8>| seeds.entry(target).or_default().push(bytes);
    let first_line = |bytes: Vec<u8>| bytes.split(|byte| *byte == b'\n').next().unwrap().to_vec();

    add("config", first_line(object("config")));
    for (_, slot) in objects("keys") {
        add("key_slot", first_line(slot.clone()));
        add("key_slot", slot);
    }
    for under in ["index", "log", "writers"] {
        for stored in objects(under).into_values() {
            add("envelope", stored);
        }
    }
    for stored in objects("index").into_values() {
        add("segment", envelope::open(&keys, EnvelopeKind::Segment, b"", &stored).unwrap());
    }
    for (slot, stored) in (1u64..).zip(objects("log").into_values()) {
        add("log_entry", envelope::open(&keys, EnvelopeKind::LogEntry, &slot.to_le_bytes(), &stored).unwrap());
    }
    for stored in objects("ckpt").into_values() {
        add("checkpoint", envelope::open(&keys, EnvelopeKind::Checkpoint, &2u64.to_le_bytes(), &stored).unwrap());
        add("envelope", stored);
    }
    for (name, stored) in objects("audit") {
        let kinds = [
            (EnvelopeKind::AuditResults, name.as_bytes(), "audit_results"),
            (EnvelopeKind::Damaged, &b""[..], "damaged"),
        ];
        let opened = |(kind, context, target)| Some((target, envelope::open(&keys, kind, context, &stored).ok()?));
        match kinds.into_iter().find_map(opened) {
            Some((target, plain)) => {
                add(target, plain);
                add("envelope", stored);
            }
            None => add("audit_results", stored),
        }
    }
    let text = b"{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}{}";
    let compressed = zstd::bulk::compress(text, DEFAULT_LEVEL).unwrap();
    for (codec, body) in [(0, &text[..]), (1, &compressed), (2, &compressed)] {
        add("forged_envelope", [&[1, codec, text.len() as u8, 0, 0], body].concat());
        add("forged_record", [&[1, codec, 1, text.len() as u8, 0, 0], body].concat());
    }
    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
    for pack in objects("packs").into_values() {
        let mut levels = BTreeSet::new();
        for record in read_directory(&keys, &pack).unwrap() {
            let stored = &pack[record.offset as usize..][..record.stored_len as usize];
            let mut plain = Vec::new();
            sealer.open(stored, &mut plain).unwrap();
            match record.kind {
                RecordKind::Data => add("record", stored.to_vec()),
                // One node a level is enough, and every leaf that refers to something.
                RecordKind::Tree if plain[8..20] != [0; 12] && plain[1] == 0 => add("tree_node", plain),
                RecordKind::Tree if levels.insert((record.kind, plain[1])) => add("tree_node", plain),
                RecordKind::Content if levels.insert((record.kind, plain[1])) => {
                    add("content_node", plain);
                }
                _ => {}
            }
        }
        if pack.len() < 4096 {
            add("pack", pack);
        }
    }
    for (target, seeds) in seeds {
        let folder = folder().join(target);
        fs::create_dir_all(&folder).unwrap();
        for (index, seed) in seeds.into_iter().enumerate() {
            let path = folder.join(format!("golden-{index}"));
            if !path.exists() {
                fs::write(path, seed).unwrap();
            }
        }
    }
}
