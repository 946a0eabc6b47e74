//! `backstay hold`

use clap::{ArgGroup, Args};

use super::SelectionArgs;
use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::short;
use crate::selector::find_snapshot;

/// Keep snapshots from being forgotten, by a named hold, or take a hold off
///
/// A snapshot may have several holds; as long as it has any, no policy and no --force removes it. What holds a cluster's
/// snapshot holds those of its volumes.
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["reason", "release"])))]
pub(crate) struct HoldArgs {
    /// `latest`, or the starts of ids
    #[arg(value_name = "SNAPSHOT", required = true)]
    snapshots: Vec<String>,

    /// Hold for this reason, such as the name of a case or a release
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    reason: Option<String>,

    /// Take the hold of this name off; others stay
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    release: Option<String>,

    #[command(flatten)]
    selection: SelectionArgs,
}

pub(crate) fn run(context: &Context, args: &HoldArgs) -> Result<Exit> {
    let repository = context.open()?;
    let selection = args.selection.selection();
    let mut snapshots = Vec::new();
    for spec in &args.snapshots {
        snapshots.push(find_snapshot(&repository, spec, &selection)?);
    }
    let ids: Vec<_> = snapshots.iter().map(|snapshot| snapshot.id).collect();
    let shown = snapshots.iter().map(|snapshot| short(&snapshot.id)).collect::<Vec<_>>().join(", ");
    let message = match (&args.reason, &args.release) {
        (Some(name), _) if repository.hold(&ids, name)? => format!("holding {shown}: {name}"),
        (Some(name), _) => format!("{shown}: held already: {name}"),
        (None, Some(name)) if repository.release(&ids, name)? => format!("released {shown}: {name}"),
        (None, name) => {
            let others: Vec<_> = snapshots.iter().flat_map(|snapshot| snapshot.holds.clone()).collect();
            let others =
                if others.is_empty() { "none at all".to_owned() } else { format!("but {}", others.join(", ")) };
            format!("{shown}: no hold {}, {others}", name.as_deref().unwrap_or_default())
        }
    };
    context.note(&message);
    Ok(Exit::Done)
}

/// Holds are shown in lists and lines.
fn parse_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_plain = !name.is_empty() && name.len() <= 200 && !name.contains(|c: char| c.is_control() || c == ',');
    if is_plain { Ok(name.to_owned()) } else { Err("a name has 1 to 200 bytes, no comma and no line break".to_owned()) }
}
