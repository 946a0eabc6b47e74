//! `backstay ls`

use std::io::Write;

use backstay_format::log::SnapshotRecord;
use backstay_format::tree::{Item, ItemKind, key_of_path, path_of_key};
use backstay_repo::Reader;
use backstay_repo::tree::{TreeCursor, find_item};
use clap::Args;

use super::SelectionArgs;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::documents::{ItemDocument, display_path, link_target};
use crate::output::{Format, Output, escape, item_time, size};
use crate::selector::{Selector, SelectorParser};

/// List files of a snapshot
///
/// Without a path, what lies directly in the backed-up directories is listed.
#[derive(Args)]
pub(crate) struct LsArgs {
    /// `latest` or the start of an id, and maybe a path in it
    #[arg(value_name = "SNAPSHOT[:/PATH]", value_parser = SelectorParser)]
    selector: Selector,

    /// Everything below the path, at any depth
    #[arg(long, short = 'R')]
    recursive: bool,

    /// Modes, owners, sizes and times too (the same as `-o wide`)
    #[arg(long, short)]
    long: bool,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &LsArgs) -> Result<Exit> {
    let repository = context.open()?;
    let snapshot = args.selector.find(&repository, &args.selection.selection())?;
    let mut reader = repository.reader()?;
    let mut out = context.output();
    let is_long = args.long || out.format() == Format::Wide;
    let mut print = |item: &Item, out: &mut Output| print_item(item, is_long, out);
    match &args.selector.key {
        Some(key) => list(&mut reader, &snapshot, key, args.recursive, &mut out, &mut print)?,
        None => {
            for path in top_paths(&snapshot) {
                list(&mut reader, &snapshot, &path, args.recursive, &mut out, &mut print)?;
            }
        }
    }
    if out.format().is_document() {
        out.end_list()?;
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// The backed-up paths, without those inside another.
fn top_paths(snapshot: &SnapshotRecord) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = snapshot.paths.iter().map(|path| key_of_path(path.as_bytes())).collect();
    keys.sort_unstable();
    keys.dedup_by(|later, earlier| is_below(later, earlier));
    if keys.is_empty() { vec![Vec::new()] } else { keys }
}

/// A directory's entries, or the item itself where it is no directory.
fn list(
    reader: &mut Reader<'_>,
    snapshot: &SnapshotRecord,
    key: &[u8],
    recursive: bool,
    out: &mut Output,
    print: &mut dyn FnMut(&Item, &mut Output) -> Result<()>,
) -> Result<()> {
    let item = find_item(reader, snapshot.tree, key)?.ok_or_else(|| no_such_path(snapshot, key))?;
    if !item.is_directory() {
        return print(&item, out);
    }
    let mut cursor = TreeCursor::new(snapshot.tree);
    cursor.seek(reader, key)?;
    while let Some(item) = cursor.next(reader)? {
        if item.key == key {
            continue;
        }
        if !is_below(&item.key, key) {
            break;
        }
        print(&item, out)?;
        if item.is_directory() && !recursive {
            // The first key behind everything that is in it.
            let behind = [&item.key[..], &[1]].concat();
            cursor = TreeCursor::new(snapshot.tree);
            cursor.seek(reader, &behind)?;
        }
    }
    Ok(())
}

/// Whether a key is inside the directory with the other key, or is that directory itself.
pub(super) fn is_below(key: &[u8], directory: &[u8]) -> bool {
    match key.strip_prefix(directory) {
        Some(rest) => directory.is_empty() || rest.is_empty() || rest[0] == 0,
        None => false,
    }
}

pub(super) fn no_such_path(snapshot: &SnapshotRecord, key: &[u8]) -> Failure {
    let parent = backstay_format::tree::key_parent(key).unwrap_or_default();
    let id = snapshot.id.short();
    Failure::new(format!("{} is not in snapshot {id}", display_path(key))).with_hint(format!(
        "`backstay ls {id}:{}` lists the directory, `backstay find` searches all snapshots",
        display_path(parent)
    ))
}

fn print_item(item: &Item, is_long: bool, out: &mut Output) -> Result<()> {
    match out.format() {
        Format::Json | Format::Yaml => out.element(&ItemDocument::new(item))?,
        // The exact bytes: for programs that take names.
        Format::Name => {
            out.write_all(b"/")?;
            out.write_all(&path_of_key(&item.key))?;
            out.write_all(b"\n")?;
        }
        Format::Table | Format::Wide if is_long => print_long(item, out)?,
        Format::Table | Format::Wide => writeln!(out, "{}", escape(&display_path(&item.key)))?,
    }
    Ok(())
}

fn print_long(item: &Item, out: &mut Output) -> Result<()> {
    let owner =
        |name: &Option<std::sync::Arc<str>>, id: u32| name.as_deref().map_or_else(|| id.to_string(), str::to_owned);
    let size = match item.kind {
        ItemKind::File { size_bytes, .. } => size(size_bytes),
        ItemKind::CharDevice { major, minor } | ItemKind::BlockDevice { major, minor } => format!("{major}, {minor}"),
        _ => "-".to_owned(),
    };
    let target = link_target(&item.kind).map(|target| format!(" -> {target}")).unwrap_or_default();
    writeln!(
        out,
        "{}  {:<8}  {:<8}  {size:>10}  {}  {}{}",
        mode_text(item),
        escape(&owner(&item.user, item.uid)),
        escape(&owner(&item.group, item.gid)),
        item_time(item.modified),
        escape(&display_path(&item.key)),
        escape(&target)
    )?;
    Ok(())
}

/// `-rwsr-xr-x`, as `ls` shows it.
fn mode_text(item: &Item) -> String {
    let kind = match item.kind {
        ItemKind::Directory => 'd',
        ItemKind::File { .. } => '-',
        ItemKind::Symlink { .. } => 'l',
        ItemKind::Fifo => 'p',
        ItemKind::CharDevice { .. } => 'c',
        ItemKind::BlockDevice { .. } => 'b',
        ItemKind::HardLink { .. } => 'h',
    };
    let mut text = String::from(kind);
    for (shift, special, [without, with]) in [(6, 0o4000, ['S', 's']), (3, 0o2000, ['S', 's']), (0, 0o1000, ['T', 't'])]
    {
        let bits = item.mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (bits & 1 == 1, item.mode & special != 0) {
            (false, false) => '-',
            (true, false) => 'x',
            (false, true) => without,
            (true, true) => with,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        for (mode, text) in
            [(0o755, "drwxr-xr-x"), (0o1777, "drwxrwxrwt"), (0o4640, "drwSr-----"), (0o2710, "drwx--s---")]
        {
            let item = Item { mode, ..Item::bare_directory(Vec::new()) };
            assert_eq!(mode_text(&item), text);
        }
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_below() {
        assert!(is_below(b"a\0b", b"a") && is_below(b"a", b"a") && is_below(b"a", b""));
        assert!(!is_below(b"ab", b"a") && !is_below(b"b", b"a"));
    }
}
