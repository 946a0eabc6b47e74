//! `backstay accept`

use clap::Args;

use super::SelectionArgs;
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::short;
use crate::selector::find_snapshot;

/// Accept a snapshot that a guard flagged
///
/// From then on it counts as `latest`, and the next backup of its source is compared with it.
#[derive(Args)]
pub(crate) struct AcceptArgs {
    /// The start of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &AcceptArgs) -> Result<Exit> {
    let repository = context.open()?;
    let snapshot = find_snapshot(&repository, &args.snapshot, &args.selection.selection())?;
    let id = short(&snapshot.id);
    if snapshot.incomplete {
        return Err(Failure::new(format!("snapshot {id} was saved by an unfinished run, and cannot be accepted"))
            .with_hint("run its backup again: it goes on from there"));
    }
    if snapshot.accepted {
        context.note(&format!("snapshot {id} is accepted already"));
        return Ok(Exit::Done);
    }
    repository.accept(snapshot.id)?;
    context.note(&format!("accepted snapshot {id}"));
    Ok(Exit::Done)
}
