//! `backstay repo info`

use std::io::Write;

use backstay_format::ids::{KeyId, RepositoryId};
use clap::Args;
use serde::Serialize;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::{Format, counted, print_fields, record_time, size};

/// Describe the repository: identity, format, features, key slots
#[derive(Args)]
pub(crate) struct InfoArgs {}

#[derive(Serialize)]
struct InfoDocument {
    repository: RepositoryId,
    location: String,
    created: String,
    format_version: u32,
    features: Vec<String>,
    create_if_absent: bool,
    /// Whether it is a copy: only `repo copy` adds to it.
    copy: bool,
    compression_level: i32,
    pack_bytes: u32,
    pack_bytes_max: u32,
    /// Entries of the log: how often the repository was changed.
    log_entries: u64,
    snapshots: u64,
    sources: u64,
    index_segments: u64,
    keys: Vec<KeyDocument>,
}

#[derive(Serialize)]
pub(super) struct KeyDocument {
    pub(super) id: KeyId,
    pub(super) label: String,
    pub(super) created: String,
    pub(super) role: String,
}

pub(super) fn run(context: &Context, _args: &InfoArgs) -> Result<Exit> {
    let repository = context.open()?;
    let config = repository.config();
    let state = repository.state();
    let mut sources: Vec<_> = state.listed().values().map(|listed| listed.record.source.clone()).collect();
    sources.sort();
    sources.dedup();
    let features = &config.features;
    let all_features = [&features.compatible, &features.read_only_compatible, &features.incompatible];
    let info = InfoDocument {
        repository: config.repository,
        location: repository.store().location().to_owned(),
        created: config.created.clone(),
        format_version: config.format_version,
        features: all_features.into_iter().flatten().cloned().collect(),
        create_if_absent: config.store.create_if_absent,
        copy: repository.is_copy()?,
        compression_level: config.compression_level,
        pack_bytes: config.pack_bytes,
        pack_bytes_max: config.pack_bytes_max,
        log_entries: state.slot(),
        snapshots: state.listed().len() as u64,
        sources: sources.len() as u64,
        index_segments: state.segments().len() as u64,
        keys: super::key::documents(&repository)?,
    };
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&info)?,
        Format::Name => writeln!(out, "{}", info.repository)?,
        Format::Table | Format::Wide => {
            let keys = info.keys.iter().map(|key| format!("{} ({})", key.id.short(), key.label)).collect::<Vec<_>>();
            let commits = if info.copy {
                "by `repo copy` only: it is a copy (`repo copy --take-over` makes it a repository of its own)"
            } else if info.create_if_absent {
                "safe with any number of programs at once"
            } else {
                "by one program at a time only: the store cannot create an object if its name is free"
            };
            print_fields(
                &mut out,
                &[
                    ("Repository", info.repository.to_string()),
                    ("Location", info.location),
                    ("Created", record_time(&info.created)),
                    ("Format", format!("version {}", info.format_version)),
                    ("Features", if info.features.is_empty() { "none".to_owned() } else { info.features.join(" ") }),
                    ("Commits", commits.to_owned()),
                    ("Compression", format!("zstd, level {}", info.compression_level)),
                    (
                        "Packs",
                        format!("{} growing to {}", size(info.pack_bytes.into()), size(info.pack_bytes_max.into())),
                    ),
                    ("Snapshots", format!("{} of {}", info.snapshots, counted(info.sources, "source", "sources"))),
                    ("Log", counted(info.log_entries, "entry", "entries")),
                    ("Key slots", keys.join(", ")),
                ],
            )?;
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}
