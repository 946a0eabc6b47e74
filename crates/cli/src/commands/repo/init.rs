//! `backstay repo init`

use std::path::Path;

use backstay_format::config::Config;
use backstay_format::ids::RepositoryId;
use backstay_repo::store::{Capabilities, Location, Store, StoreOptions};
use backstay_repo::{RepoError, Repository, names};
use clap::Args;
use serde::Serialize;

use crate::Result;
use crate::context::{Context, warn};
use crate::failure::{Exit, Failure};

/// Make a new repository
///
/// A folder is made if it is not there; a bucket is made with its cloud's own tools. The store is tried out first, and
/// what it lacks is said. Without the password or key nobody can read the repository, ever: keep a copy elsewhere.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// Do nothing if the repository exists and the password opens it
    #[arg(long)]
    if_absent: bool,

    /// What the first key slot is called [default: user@host]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

#[derive(Serialize)]
struct InitDocument {
    repository: RepositoryId,
    location: String,
    created: bool,
    create_if_absent: bool,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Exit> {
    let location = context.location()?;
    if args.if_absent
        && let Some(repository) = open_existing(context)?
    {
        context.note(&format!("repository {} is at {} already", repository.config().repository, location));
        return print(context, &repository, false);
    }
    if let Location::Directory(path) = &location {
        refuse_other_folders(path)?;
    }
    let options = context.store_options();
    let store = Store::create_location(&location, &options)?;
    refuse_existing(&store)?;
    let secret = context.new_secret()?;
    let capabilities = store.probe()?;
    let store = if capabilities.create_if_absent {
        store
    } else {
        Store::create_location(&location, &StoreOptions { create_if_absent: false, ..options })?
    };
    judge(&location, capabilities)?;
    let label =
        args.label.clone().unwrap_or_else(|| format!("{}@{}", super::super::user_name(), super::super::host_name()));
    let repository = Repository::init(store, &secret, &label, context.open_options())?;
    context.note(&format!("made repository {} at {location}", repository.config().repository));
    context.note("without its password or key nobody can read it, ever: keep a copy elsewhere");
    print(context, &repository, true)
}

fn open_existing(context: &Context) -> Result<Option<Repository>> {
    match context.open() {
        Ok(repository) => Ok(Some(repository)),
        Err(failure) if failure.exit() == Exit::NoRepository => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Nobody should be asked for a new password where there is a repository.
fn refuse_existing(store: &Store) -> Result<()> {
    match store.get(names::CONFIG).map(|stored| Config::read(&stored)) {
        Ok(Ok(config)) => {
            let location = store.location().to_owned();
            Err(RepoError::RepositoryExists { location, repository: config.repository() }.into())
        }
        // What else can be wrong is found out when the repository is made.
        _ => Ok(()),
    }
}

/// A home folder named by mistake should not fill with packs.
pub(super) fn refuse_other_folders(path: &Path) -> Result<()> {
    const OWN: [&str; 12] = [
        ".staging",
        "config",
        "config-copy",
        "copy",
        "keys",
        "packs",
        "index",
        "log",
        "writers",
        "reserve",
        "probe",
        "lost+found",
    ];
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    for entry in entries {
        let name = entry.map_err(|error| Failure::io("read", path, &error))?.file_name();
        if !OWN.iter().any(|own| name == *own) {
            let other = name.to_string_lossy();
            return Err(Failure::new(format!("{} is not empty: it holds {other}", path.display()))
                .with_hint("name a folder that is empty or does not exist yet"));
        }
    }
    Ok(())
}

/// Refuses what cannot work, and says what is not promised.
pub(super) fn judge(location: &Location, capabilities: Capabilities) -> Result<()> {
    if !capabilities.read_after_write || !capabilities.list_after_write {
        return Err(Failure::new(format!("the store at {location} does not show at once what was written to it"))
            .with_hint("it cannot hold a repository; use one that is consistent"));
    }
    if !capabilities.create_if_absent {
        warn(
            "the store cannot create an object only if its name is free: never let two programs write to this repository at once",
        );
    }
    if !capabilities.delete {
        warn(
            "nothing can be deleted here, be it by a retention period or for lack of permission: space is not freed before that changes",
        );
    }
    Ok(())
}

fn print(context: &Context, repository: &Repository, created: bool) -> Result<Exit> {
    let mut out = context.output();
    if out.format().is_document() {
        let config = repository.config();
        out.document(&InitDocument {
            repository: config.repository,
            location: repository.store().location().to_owned(),
            created,
            create_if_absent: config.store.create_if_absent,
        })?;
    }
    out.finish()?;
    Ok(Exit::Done)
}
