//! `backstay cat`

use std::io::{self, Write};

use backstay_format::tree::{Content, Extent, ItemKind};
use backstay_repo::tree::find_item;
use backstay_repo::{RepoError, Repository};
use clap::Args;

use super::SelectionArgs;
use super::ls::no_such_path;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::documents::{display_path, link_target, type_name};
use crate::selector::{Selector, SelectorParser};

/// Holes are written as so many zeros at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Print the contents of a file in a snapshot
#[derive(Args)]
pub(crate) struct CatArgs {
    /// `latest` or the start of an id, and the path of a file
    #[arg(value_name = "SNAPSHOT:/PATH", value_parser = SelectorParser)]
    selector: Selector,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &CatArgs) -> Result<Exit> {
    let key = args.selector.key.as_ref().ok_or_else(|| {
        let snapshot = &args.selector.snapshot;
        Failure::usage("the path of a file is missing").with_hint(format!("backstay cat {snapshot}:/PATH"))
    })?;
    let repository = context.open()?;
    let snapshot = args.selector.find(&repository, &args.selection.selection())?;
    let mut reader = repository.reader()?;
    let mut item = find_item(&mut reader, snapshot.tree, key)?.ok_or_else(|| no_such_path(&snapshot, key))?;
    if let ItemKind::HardLink { target } = &item.kind {
        item = find_item(&mut reader, snapshot.tree, target)?.ok_or_else(|| no_such_path(&snapshot, target))?;
    }
    let ItemKind::File { content, .. } = &item.kind else {
        let what = type_name(&item.kind);
        let failure = Failure::new(format!("{} is a {what}, not a file", display_path(&item.key)));
        return Err(match link_target(&item.kind) {
            Some(target) => failure.with_hint(format!("it leads to {target}")),
            None => failure.with_hint("`backstay ls` lists directories"),
        });
    };
    // Not through the stream that drops colours off a terminal: a file's bytes are printed as they are.
    write_content(&repository, content, &mut io::stdout().lock())?;
    Ok(Exit::Done)
}

fn write_content(repository: &Repository, content: &Content, out: &mut dyn Write) -> Result<()> {
    let mut data = repository.reader()?;
    repository.reader()?.extents(content, &mut |extent| match extent {
        Extent::Chunk { id, .. } => Ok::<_, Failure>(out.write_all(data.read(&id)?)?),
        Extent::Part { id, offset, len } => {
            let range = offset as usize..offset as usize + len as usize;
            let part = data.read(&id)?.get(range).ok_or(RepoError::MissingRecord { id })?;
            Ok(out.write_all(part)?)
        }
        Extent::Hole { len } => {
            let mut left = len;
            while left > 0 {
                let now = left.min(ZEROS.len() as u64);
                out.write_all(&ZEROS[..now as usize])?;
                left -= now;
            }
            Ok(())
        }
    })?;
    Ok(out.flush()?)
}
