//! What can be typed before or after every command. The commands' own options lie with the commands.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;
use crate::output::{ByteSize, Format, positive_size};

const LONG_ABOUT: &str = "\
Backs directory trees up into one encrypted, deduplicating repository, and restores them.

A repository is a folder or a bucket: a path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. The clouds' \
credentials come from the variables that their own tools read (AWS_..., GOOGLE_..., AZURE_...).";

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partial (something could not be read or written), 4 conflict, \
5 damage found, 10 no repository, 12 wrong password, 130 interrupted";

/// Backs up directory trees, encrypted and deduplicated
#[derive(Parser)]
#[command(name = "backstay", version, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
#[command(max_term_width = 100, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Repository: a path, s3://, gs:// or az://
    #[arg(long, short, global = true, env = "BACKSTAY_REPO", hide_env_values = true, value_name = "LOCATION")]
    pub(crate) repo: Option<String>,

    /// Read the password from the first line of this file
    ///
    /// Without any of --password-file, --password-command and --key-file, the password comes from the environment
    /// variable BACKSTAY_PASSWORD, or it is asked for.
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["password_command", "key_file"])]
    pub(crate) password_file: Option<PathBuf>,

    /// Read the password from the first line that this shell command prints
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "key_file")]
    pub(crate) password_command: Option<String>,

    /// Open the repository with the bytes of this file (at least 32 random ones) in place of a password
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, global = true, env = "BACKSTAY_CACHE_DIR", hide_env_values = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Keep no local index: build it for this run, and remove it
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,

    /// How data is printed
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value = "table",
        hide_possible_values = true,
        value_name = "table|wide|json|yaml|name"
    )]
    pub(crate) output: Format,

    /// Print no progress and no messages but errors and warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Say more on stderr; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,

    /// Upload at most so many bytes a second, such as 10M
    #[arg(long, global = true, value_name = "RATE", value_parser = positive_size)]
    pub(crate) limit_upload: Option<ByteSize>,

    /// Download at most so many bytes a second
    #[arg(long, global = true, value_name = "RATE", value_parser = positive_size)]
    pub(crate) limit_download: Option<ByteSize>,

    /// Memory that reading and writing may take
    #[arg(long, global = true, value_name = "SIZE", default_value = "256M", value_parser = positive_size)]
    pub(crate) memory: ByteSize,

    /// Address of a store that is compatible with a cloud's
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// Region of the bucket
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) region: Option<String>,

    /// Trust the certificates in this file (PEM) besides the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Name the bucket in the path, not in the host name
    #[arg(long, global = true)]
    pub(crate) path_style: bool,

    /// Allow http:// addresses of other machines
    #[arg(long, global = true)]
    pub(crate) allow_http: bool,

    /// Requests in flight at once
    #[arg(long, global = true, value_name = "NUMBER", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: u16,
}
