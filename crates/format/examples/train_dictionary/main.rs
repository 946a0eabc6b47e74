//! Makes the dictionary for small Kubernetes objects from generated ones, and measures what it saves.
//!
//! `cargo run -p backstay-format --example train_dictionary -- [SIZE_KIB FILE]`: without arguments it trains and measures
//! several sizes, with them it writes one. The objects come from a fixed seed, so that anyone can make the same dictionary; a
//! dictionary that was ever released must never change, so a better one gets a new number.

mod custom;
mod json;
mod mix;
mod others;
mod workloads;
mod world;

use std::io::Write as _;

use world::Rng;
use zstd::bulk::Compressor;

type Maker = fn(&mut Rng) -> String;

/// Kinds by how often one of them changes alone: that is when the dictionary is used.
const KINDS: &[(Maker, usize)] = &[
    (workloads::deployment, 12),
    (workloads::replica_set, 8),
    (workloads::pod, 12),
    (workloads::stateful_set, 5),
    (workloads::daemon_set, 4),
    (workloads::job, 5),
    (workloads::cron_job, 3),
    (others::config_map, 8),
    (others::secret, 6),
    (others::service, 6),
    (others::endpoint_slice, 5),
    (others::service_account, 3),
    (others::role, 4),
    (others::role_binding, 3),
    (others::ingress, 3),
    (others::network_policy, 2),
    (others::volume_claim, 3),
    (others::volume, 3),
    (others::storage_class, 1),
    (others::node, 4),
    (others::namespace, 2),
    (others::lease, 2),
    (others::autoscaler, 2),
    (others::disruption_budget, 1),
    (others::event, 3),
    (custom::certificate, 2),
    (custom::service_monitor, 2),
    (custom::prometheus_rule, 2),
    (custom::argo_application, 3),
    (custom::http_route, 2),
    (custom::external_secret, 2),
    (custom::definition, 3),
];

const TRAINING_SEED: u64 = 1;
const MEASURING_SEED: u64 = 2;
const ROUNDS: usize = 40;
const BUNDLE_BYTES: usize = 64 << 10;
const LEVEL: i32 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let training = objects(TRAINING_SEED, ROUNDS);
    let mut out = std::io::stdout();
    if let [size_kib, file] = &arguments[..] {
        std::fs::write(file, zstd::dict::from_samples(&training, size_kib.parse::<usize>()? << 10)?)?;
        return Ok(());
    }
    let total: usize = training.iter().map(String::len).sum();
    writeln!(
        out,
        "trained with {} objects, {total} bytes; per cent of the plain bytes at level {LEVEL}",
        training.len()
    )?;
    let same_kinds = objects(MEASURING_SEED, 10);
    let mut rng = Rng::new(MEASURING_SEED);
    let mut mix: Vec<(String, String)> = (0..3600).map(|index| mix::object_of_mix(&mut rng, index)).collect();
    mix.sort();
    let mix: Vec<String> = mix.into_iter().map(|(_, object)| object).collect();
    if let [file] = &arguments[..] {
        std::fs::write(file, mix.concat())?;
    }
    writeln!(
        out,
        "| dictionary | other seed: singly | bundles | benchmark's mix: singly | bundles |\n|---|---|---|---|---|"
    )?;
    for size_kib in [0, 16, 32, 64, 80, 96, 112] {
        let dictionary = if size_kib == 0 { Vec::new() } else { zstd::dict::from_samples(&training, size_kib << 10)? };
        write!(out, "| {size_kib} KiB |")?;
        for sample in [&same_kinds, &mix] {
            let bundled = bundles(sample);
            write!(out, " {:.1} | {:.1} |", percent(sample, &dictionary)?, percent(&bundled, &dictionary)?)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// All kinds by turns, `rounds` times their weight.
fn objects(seed: u64, rounds: usize) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let mut objects = Vec::new();
    for _ in 0..rounds {
        for (maker, weight) in KINDS {
            objects.extend((0..*weight).map(|_| maker(&mut rng)));
        }
    }
    objects
}

/// Whole objects one after the other, as the writer bundles what is new together.
fn bundles(objects: &[String]) -> Vec<String> {
    let mut bundles = vec![String::new()];
    for object in objects {
        if bundles.last().is_some_and(|bundle| !bundle.is_empty() && bundle.len() + object.len() > BUNDLE_BYTES) {
            bundles.push(String::new());
        }
        bundles.last_mut().expect("never empty").push_str(object);
    }
    bundles
}

fn percent(samples: &[String], dictionary: &[u8]) -> std::io::Result<f64> {
    let mut compressor =
        if dictionary.is_empty() { Compressor::new(LEVEL)? } else { Compressor::with_dictionary(LEVEL, dictionary)? };
    let (mut plain, mut compressed) = (0, 0);
    for sample in samples {
        plain += sample.len();
        compressed += compressor.compress(sample.as_bytes())?.len();
    }
    Ok(compressed as f64 * 100.0 / plain as f64)
}
