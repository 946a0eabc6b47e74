//! `backstay repo key`: several secrets may open one repository, and none of them is ever part of the data's keys.

use std::io::Write;

use backstay_format::config::Secret;
use backstay_format::ids::KeyId;
use backstay_repo::{KeyInfo, Repository};
use clap::{Args, Subcommand};

use super::info::KeyDocument;
use crate::Result;
use crate::context::{Context, confirm, warn};
use crate::failure::{Exit, Failure};
use crate::output::{Align, Format, Table, record_time};
use crate::secret::NewSecret;

/// Fewer digits than this are refused: they would soon mean another slot.
const PREFIX_DIGITS_MIN: usize = 4;

/// Manage the passwords and keys that open the repository
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    List(ListArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
    Passwd(PasswdArgs),
}

/// List key slots; the one that was used now is marked
#[derive(Args)]
pub(crate) struct ListArgs {}

/// Add a password or key; the present one opens the repository for it
#[derive(Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    new: NewSecret,

    /// What the slot is called [default: user@host]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

/// Remove a key slot: its password or key opens the repository no more
///
/// Whoever had it may have kept the master key. The data keep it: to change that, copy them into a new repository.
#[derive(Args)]
pub(crate) struct RemoveArgs {
    /// The start of the slot's id
    id: String,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Change the password: add a new slot, and remove the one that was used
#[derive(Args)]
pub(crate) struct PasswdArgs {
    #[command(flatten)]
    new: NewSecret,
}

pub(super) fn run(context: &Context, command: KeyCommand) -> Result<Exit> {
    // As `Context::open`, but the secret is needed once more.
    let store = context.store()?;
    let secret = context.secret()?;
    let repository = context.open_with(store, &secret)?;
    match command {
        KeyCommand::List(_) => list(context, &repository, &secret)?,
        KeyCommand::Add(args) => {
            let default = || format!("{}@{}", super::super::user_name(), super::super::host_name());
            let label = args.label.unwrap_or_else(default);
            let id = repository.key_add(&secret, &args.new.read()?, &label)?;
            print_added(context, id)?;
        }
        KeyCommand::Remove(args) => {
            let damaged = repository.keys_list()?.damaged;
            if let Some(key) = damaged.iter().find(|key| key.id.to_string() == args.id) {
                confirm(&format!("remove key slot {}, which is damaged", key.id.short()), args.yes)?;
                repository.key_remove(&key.id)?;
                context.note(&format!("removed key slot {}", key.id.short()));
                return Ok(Exit::Done);
            }
            let key = find(&repository, &args.id)?;
            let used = used_slot(&repository, &secret)?;
            if used.id == key.id {
                warn("this is the slot that was used now: another password or key is needed from now on");
            }
            confirm(&format!("remove key slot {} ({})", key.id.short(), key.slot.label), args.yes)?;
            repository.key_remove(&key.id)?;
            context.note(&format!("removed key slot {}", key.id.short()));
        }
        KeyCommand::Passwd(args) => {
            let old = used_slot(&repository, &secret)?;
            let id = repository.key_add(&secret, &args.new.read()?, &old.slot.label)?;
            // The new slot is stored before the old one goes: a crash in between leaves both.
            repository.key_remove(&old.id)?;
            context.note(&format!("removed key slot {}", old.id.short()));
            print_added(context, id)?;
        }
    }
    Ok(Exit::Done)
}

pub(super) fn documents(repository: &Repository) -> Result<Vec<KeyDocument>> {
    let document = |key: KeyInfo| KeyDocument {
        id: key.id,
        label: key.slot.label,
        created: key.slot.created,
        role: key.slot.role,
    };
    Ok(repository.keys_list()?.intact.into_iter().map(document).collect())
}

fn list(context: &Context, repository: &Repository, secret: &Secret) -> Result<()> {
    let keys = documents(repository)?;
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => {
            keys.iter().try_for_each(|key| out.element(key))?;
            out.end_list()?;
        }
        Format::Name => keys.iter().try_for_each(|key| writeln!(out, "{}", key.id))?,
        Format::Table | Format::Wide => {
            let used = used_slot(repository, secret)?.id;
            let columns = [
                ("ID", Align::Left),
                ("LABEL", Align::Left),
                ("CREATED", Align::Left),
                ("ROLE", Align::Left),
                ("", Align::Left),
            ];
            let mut table = Table::new(columns);
            for key in keys {
                let mark = if key.id == used { "used now" } else { "" };
                table.push([key.id.short(), key.label, record_time(&key.created), key.role, mark.to_owned()]);
            }
            table.print(&mut out)?;
        }
    }
    for key in repository.keys_list()?.damaged {
        let id = key.id;
        warn(&format!("key slot {id} is damaged ({}): `backstay repo key remove {id}` removes it", key.problem));
    }
    Ok(out.finish()?)
}

fn print_added(context: &Context, id: KeyId) -> Result<()> {
    context.note(&format!("added key slot {}", id.short()));
    let mut out = context.output();
    match out.format() {
        Format::Json | Format::Yaml => out.document(&serde_json::json!({ "id": id }))?,
        Format::Name => writeln!(out, "{id}")?,
        Format::Table | Format::Wide => {}
    }
    Ok(out.finish()?)
}

/// The slot that this secret opens.
fn used_slot(repository: &Repository, secret: &Secret) -> Result<KeyInfo> {
    let opens = |key: &KeyInfo| matches!(key.slot.open(secret), Ok(Some(_)));
    repository.keys_list()?.intact.into_iter().find(opens).ok_or_else(|| {
        Failure::new("the key slot that was used is gone: somebody has just removed it").with_exit(Exit::Conflict)
    })
}

fn find(repository: &Repository, prefix: &str) -> Result<KeyInfo> {
    if prefix.len() < PREFIX_DIGITS_MIN {
        return Err(Failure::usage(format!("{prefix:?} is too short: {PREFIX_DIGITS_MIN} digits are the least")));
    }
    let mut found: Vec<_> =
        repository.keys_list()?.intact.into_iter().filter(|key| key.id.to_string().starts_with(prefix)).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            Err(Failure::new(format!("there is no key slot {prefix}")).with_hint("`backstay repo key list` lists them"))
        }
        _ => Err(Failure::new(format!("{prefix} could be any of {} key slots", found.len()))
            .with_hint("type more of the id")),
    }
}
