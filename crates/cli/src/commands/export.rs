//! `backstay export`

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use backstay_cluster::filter::LabelSelector;
use backstay_cluster::look::export::{Manifest, export};
use backstay_cluster::look::resolve_kinds;
use backstay_cluster::look::select::{Namespaces, Query};
use backstay_cluster::object::ObjectKey;
use backstay_cluster::resource::Resource;
use backstay_cluster::snapshot::ObjectReader;
use clap::Args;
use serde::Serialize;

use super::{NamespaceArgs, SelectionArgs};
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Format, counted, to_yaml};
use crate::selector::find_snapshot;

/// Files in the way that are named.
const CONFLICTS_SHOWN_MAX: usize = 20;

/// Write Kubernetes objects of a snapshot as manifests for `kubectl apply -R -f DIR`
///
/// Each object is a file: namespaces/NAMESPACE/KIND-NAME.yaml, or cluster/KIND-NAME.yaml. What the server and its controllers
/// add is taken off, and what cannot be applied is left out and counted: objects that a controller makes from another one,
/// events, leases, ended pods. Values of Secrets are written as they are.
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// `latest`, or the start of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,

    /// Only these kinds
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,

    /// Folder to write to; made where it is not there
    #[arg(long, value_name = "DIR")]
    target: PathBuf,

    /// Replace files that are there and differ
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    namespaces: NamespaceArgs,

    /// Only objects with these labels, such as app=web,tier in (a,b)
    #[arg(long = "selector", short = 'l', value_name = "LABELS")]
    labels: Option<String>,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &ExportArgs) -> Result<Exit> {
    let labels = args.labels.as_deref().map(LabelSelector::parse).transpose();
    let labels = labels.map_err(backstay_cluster::ClusterError::from)?;
    let repository = context.open()?;
    let snapshot = find_snapshot(&repository, &args.snapshot, &args.selection.selection())?;
    let mut reader = ObjectReader::new(&repository)?;
    let lists = reader.lists(&snapshot)?;
    let namespaces = args.namespaces.or_all();
    let resources: Vec<&Resource> = if args.kinds.is_empty() {
        // Who names namespaces means what is in them.
        let is_wanted = |it: &&Resource| it.namespaced || namespaces == Namespaces::All;
        lists.resources.iter().map(|listed| &listed.resource).filter(is_wanted).collect()
    } else {
        resolve_kinds(&lists, &args.kinds.join(","))?.into_iter().map(|listed| &listed.resource).collect()
    };
    let queries: Vec<_> = resources
        .into_iter()
        .map(|resource| Query { resource, namespaces: &namespaces, names: &[], labels: labels.as_ref() })
        .collect();
    let mut files =
        Files { target: &args.target, overwrite: args.overwrite, written: 0, unchanged: 0, conflicts: Vec::new() };
    let report = export(&mut reader, &snapshot, &lists, &queries, &mut |manifest| files.put(&manifest))?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&ExportDocument {
            target: args.target.display().to_string(),
            written: files.written,
            unchanged: files.unchanged,
            conflicts: &files.conflicts,
            left_out: &report.left_out,
            notes: &report.notes,
        })?,
        Format::Name => {}
        Format::Table | Format::Wide => {
            let written = counted(files.written, "manifest", "manifests");
            writeln!(out, "{written} written to {}, {} there already", args.target.display(), files.unchanged)?;
            for (why, objects) in &report.left_out {
                writeln!(out, "  left out: {}: {why}", counted(*objects, "object", "objects"))?;
            }
            for (note, objects) in &report.notes {
                writeln!(out, "  note: {}: {note}", counted(*objects, "object", "objects"))?;
            }
        }
    }
    out.finish()?;
    if files.conflicts.is_empty() {
        return Ok(Exit::Done);
    }
    let count = files.conflicts.len() as u64;
    let failure = Failure::new(format!("{} there that differ, and were left", counted(count, "file is", "files are")));
    let shown = files.conflicts.iter().take(CONFLICTS_SHOWN_MAX);
    let failure = shown.fold(failure, |failure, path| failure.with_candidate(path.clone()));
    Err(failure.with_exit(Exit::Conflict).with_hint("--overwrite replaces them; or export to an empty folder"))
}

#[derive(Serialize)]
struct ExportDocument<'a> {
    target: String,
    written: u64,
    unchanged: u64,
    /// Files that were there, differ, and were left.
    conflicts: &'a [String],
    left_out: &'a BTreeMap<String, u64>,
    notes: &'a BTreeMap<String, u64>,
}

/// The folder that is written to.
struct Files<'a> {
    target: &'a Path,
    overwrite: bool,
    written: u64,
    unchanged: u64,
    conflicts: Vec<String>,
}

impl Files<'_> {
    fn put(&mut self, manifest: &Manifest) -> Result<()> {
        let path = self.target.join(relative_path(&manifest.key));
        let failed = |error: io::Error| Failure::io("write", &path, &error);
        let text = to_yaml(&manifest.body).map_err(failed)?;
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(_) if fs::read(&path).is_ok_and(|there| there == text) => {
                self.unchanged += 1;
                return Ok(());
            }
            Ok(_) if !self.overwrite => {
                self.conflicts.push(path.display().to_string());
                return Ok(());
            }
            Ok(_) => {}
        }
        let folder = path.parent().unwrap_or(self.target);
        // Nobody else's to read: Secrets are among them.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // Beside it first, so that no half manifest is ever there; and a link in the way is replaced, not followed.
        let partial = folder.join(format!(".{}.partial", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
            file.write_all(&text)?;
            fs::rename(&partial, &path)
        };
        if let Err(error) = write() {
            // What could not be written is not worth keeping.
            let _ = fs::remove_file(&partial);
            return Err(failed(error));
        }
        self.written += 1;
        Ok(())
    }
}

/// What belongs to the whole cluster comes first in the order in which `kubectl apply -R` reads a folder.
fn relative_path(key: &ObjectKey) -> PathBuf {
    let mut path = match &key.namespace {
        Some(namespace) => Path::new("namespaces").join(namespace),
        None => PathBuf::from("cluster"),
    };
    path.push(format!("{}-{}.yaml", key.resource, key.name));
    path
}
