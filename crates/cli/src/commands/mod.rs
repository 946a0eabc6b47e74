//! The commands, one file each. A command's doc comment is its help.

mod accept;
mod backup;
mod backup_cluster;
mod cat;
mod columns;
mod completions;
mod diff;
mod diff_cluster;
mod export;
mod find;
mod find_objects;
mod forget;
mod generate;
mod get;
mod history;
mod hold;
mod ls;
mod repo;
mod restore;
mod restore_cluster;
mod show;
mod snapshots;

use backstay_cluster::look::select::Namespaces;
use backstay_files::walk::Owners;
use backstay_repo::Selection;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;
use crate::output::point_in_time;

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(subcommand)]
    Repo(repo::RepoCommand),
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    Accept(accept::AcceptArgs),
    Hold(hold::HoldArgs),
    Forget(Box<forget::ForgetArgs>),
    Snapshots(snapshots::SnapshotsArgs),
    Show(show::ShowArgs),
    Ls(ls::LsArgs),
    Cat(cat::CatArgs),
    Get(get::GetArgs),
    Find(find::FindArgs),
    Diff(diff::DiffArgs),
    History(history::HistoryArgs),
    Export(export::ExportArgs),
    #[command(subcommand)]
    Restore(restore::RestoreCommand),
    Completions(completions::CompletionsArgs),
    #[command(subcommand, hide = true)]
    Generate(generate::GenerateCommand),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Repo(command) => repo::run(context, command),
        Command::Backup(command) => backup::run(context, command),
        Command::Accept(args) => accept::run(context, &args),
        Command::Hold(args) => hold::run(context, &args),
        Command::Forget(args) => forget::run(context, &args),
        Command::Snapshots(args) => snapshots::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Ls(args) => ls::run(context, &args),
        Command::Cat(args) => cat::run(context, &args),
        Command::Get(args) => get::run(context, &args),
        Command::Find(args) => find::run(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::History(args) => history::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Restore(command) => restore::run(context, command),
        Command::Completions(args) => completions::run(context, &args),
        Command::Generate(command) => generate::run(&command),
    }
}

/// Narrows the snapshots that are looked at.
#[derive(Args)]
pub(crate) struct SelectionArgs {
    /// Only snapshots of this source; may be repeated
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,

    /// Only snapshots with this tag; repeated: with all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h
    #[arg(long, value_name = "TIME", value_parser = point_in_time)]
    at: Option<Timestamp>,
}

impl SelectionArgs {
    pub(crate) fn selection(&self) -> Selection {
        Selection { sources: self.source.clone(), tags: self.tag.clone(), until: self.at }
    }
}

/// Narrows what is looked at to namespaces.
#[derive(Args)]
pub(crate) struct NamespaceArgs {
    /// Only in this namespace; may be repeated
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Vec<String>,

    /// In all namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl NamespaceArgs {
    /// Without a word the namespace `default` is meant, as by kubectl.
    pub(crate) fn or_default(&self) -> Namespaces {
        match &self.namespace[..] {
            [] if !self.all_namespaces => Namespaces::These(vec!["default".to_owned()]),
            _ => self.or_all(),
        }
    }

    /// Without a word all of them are meant.
    pub(crate) fn or_all(&self) -> Namespaces {
        if self.namespace.is_empty() { Namespaces::All } else { Namespaces::These(self.namespace.clone()) }
    }
}

/// The name of this machine, as snapshots carry it.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who runs this: by name where it has one.
fn user_name() -> String {
    let user = rustix::process::geteuid().as_raw();
    Owners::of_host().user(user).map_or_else(|| user.to_string(), |name| name.to_string())
}
