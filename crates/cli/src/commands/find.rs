//! `backstay find`

use std::collections::HashSet;
use std::io::Write;

use backstay_format::ids::ChunkId;
use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Item, Node, path_of_key};
use backstay_repo::{Reader, RepoError, Repository};
use clap::Args;
use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use super::SelectionArgs;
use super::find_objects::{self, ObjectArgs};
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::documents::{ItemDocument, display_path};
use crate::output::{Format, Output, escape, item_time, record_time, short, size};
use crate::selector::find_snapshot;

/// Search snapshots for files by name, or for Kubernetes objects by name, kind, labels and namespace
///
/// A pattern without a slash matches names at any depth (`*.conf`); one that begins with a slash the whole path
/// (`/etc/**/*.conf`); another one the end of the path (`nginx/*.conf`). `*` stays within one name, `**` does not.
///
/// With --name, --kind, --label or -n Kubernetes objects are searched for, and each is shown once: in how many snapshots it is,
/// and in which first and last.
#[derive(Args)]
pub(crate) struct FindArgs {
    /// A name, or a pattern with `*`, `?`, `[ab]` and `{a,b}`
    #[arg(required_unless_present_any = ["name", "kind", "labels", "namespace"],
        conflicts_with_all = ["name", "kind", "labels", "namespace"])]
    pattern: Option<String>,

    #[command(flatten)]
    objects: ObjectArgs,

    /// Search this snapshot only; may be repeated
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Vec<String>,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &FindArgs) -> Result<Exit> {
    let repository = context.open()?;
    let selection = args.selection.selection();
    let snapshots = if args.snapshot.is_empty() {
        repository.snapshots().into_iter().filter(|snapshot| selection.matches(snapshot)).collect()
    } else {
        let find = |spec: &String| find_snapshot(&repository, spec, &selection);
        args.snapshot.iter().map(find).collect::<Result<Vec<_>>>()?
    };
    let Some(pattern) = args.pattern.as_deref().filter(|_| !args.objects.is_given()) else {
        return find_objects::run(context, &args.objects, &repository, &snapshots);
    };
    let matcher = matcher(pattern)?;
    let mut out = context.output();
    let mut found = 0;
    let mut is_wanted =
        |item: &Item| Ok(matcher.is_match_candidate(&globset::Candidate::from_bytes(&path_of_key(&item.key))));
    let mut search = Search::new(&repository, &mut is_wanted)?;
    for snapshot in &snapshots {
        search.tree(snapshot, &mut |item| {
            found += 1;
            print(snapshot, item, &mut out)
        })?;
    }
    if out.format().is_document() {
        out.end_list()?;
    } else if found == 0 {
        context.note(&format!("no item of {} snapshots matches {pattern}", snapshots.len()));
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn matcher(pattern: &str) -> Result<GlobMatcher> {
    // Keys have no slash at their start.
    let glob = match pattern.strip_prefix('/') {
        Some(path) => path.to_owned(),
        None => format!("**/{pattern}"),
    };
    let glob = GlobBuilder::new(glob.trim_end_matches('/')).literal_separator(true).build();
    Ok(glob
        .map_err(|error| Failure::usage(format!("{pattern:?} is no pattern")).with_cause(error.kind().to_string()))?
        .compile_matcher())
}

/// Subtrees that snapshots share are searched once, unless something in them is wanted.
pub(super) struct Search<'r> {
    reader: Reader<'r>,
    is_wanted: &'r mut dyn FnMut(&Item) -> Result<bool>,
    without_match: HashSet<ChunkId>,
}

impl<'r> Search<'r> {
    pub(super) fn new(repository: &'r Repository, is_wanted: &'r mut dyn FnMut(&Item) -> Result<bool>) -> Result<Self> {
        Ok(Self { reader: repository.reader()?, is_wanted, without_match: HashSet::new() })
    }

    pub(super) fn tree(&mut self, snapshot: &SnapshotRecord, each: &mut dyn FnMut(&Item) -> Result<()>) -> Result<()> {
        self.node(&snapshot.tree.root, snapshot.tree.level, each).map(|_| ())
    }

    /// Returns whether anything below matched.
    fn node(&mut self, id: &ChunkId, level: u8, each: &mut dyn FnMut(&Item) -> Result<()>) -> Result<bool> {
        if self.without_match.contains(id) {
            return Ok(false);
        }
        let damaged = |source| RepoError::Damaged { object: format!("tree node {id}"), source };
        let node = Node::decode(self.reader.read(id)?, level).map_err(damaged)?;
        let mut has_match = false;
        match node {
            Node::Leaf(items) => {
                for item in items.iter().filter(|item| !item.key.is_empty()) {
                    if (self.is_wanted)(item)? {
                        has_match = true;
                        each(item)?;
                    }
                }
            }
            Node::Inner(children) => {
                for child in children {
                    has_match |= self.node(&child.id, level - 1, each)?;
                }
            }
        }
        if !has_match {
            self.without_match.insert(*id);
        }
        Ok(has_match)
    }
}

#[derive(Serialize)]
struct FoundDocument {
    snapshot: backstay_format::ids::SnapshotId,
    #[serde(flatten)]
    item: ItemDocument,
}

fn print(snapshot: &SnapshotRecord, item: &Item, out: &mut Output) -> Result<()> {
    match out.format() {
        Format::Json | Format::Yaml => {
            out.element(&FoundDocument { snapshot: snapshot.id, item: ItemDocument::new(item) })?;
        }
        // As `cat` and `restore` take it.
        Format::Name => {
            write!(out, "{}:/", snapshot.id)?;
            out.write_all(&path_of_key(&item.key))?;
            out.write_all(b"\n")?;
        }
        Format::Table | Format::Wide => writeln!(
            out,
            "{}  {}  {:>10}  {}  {}",
            short(&snapshot.id),
            record_time(&snapshot.started),
            if item.is_directory() { "-".to_owned() } else { size(item.size_bytes()) },
            item_time(item.modified),
            escape(&display_path(&item.key))
        )?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_ends_of_paths_or_whole_paths() {
        for (pattern, path, matches) in [
            ("*.conf", "etc/nginx/a.conf", true),
            ("a.conf", "a.conf", true),
            ("conf", "etc/a.conf", false),
            ("nginx/*.conf", "etc/nginx/a.conf", true),
            ("nginx/*.conf", "etc/nginx/deep/a.conf", false),
            ("/etc/*.conf", "etc/a.conf", true),
            ("/etc/*.conf", "srv/etc/a.conf", false),
            ("/etc/**/*.conf", "etc/nginx/deep/a.conf", true),
            ("nginx/", "etc/nginx", true),
        ] {
            assert_eq!(matcher(pattern).unwrap().is_match(path), matches, "{pattern} {path}");
        }
        assert_eq!(matcher("[").unwrap_err().exit(), Exit::Usage);
    }
}
