//! What people type who know other programs, or a command of this one that is not there yet: answered with the right command.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Failure;

/// Words that are no commands here, and what to say.
const TOP_LEVEL: &[(&[&str], &str)] = &[
    (&["init"], "backstay repo init"),
    (&["check", "verify"], "backstay repo check"),
    (&["scrub"], "backstay repo scrub"),
    (&["repair"], "backstay repo repair index|packs|snapshots"),
    (&["copy"], "backstay repo copy TO"),
    (&["heal"], "backstay repo heal --from COPY"),
    (&["gc", "prune", "compact", "vacuum"], "backstay repo gc"),
    (&["stats", "repoinfo"], "backstay repo stats"),
    (&["info"], "backstay repo info"),
    (&["key", "passwd", "key-list"], "backstay repo key list|add|remove|passwd"),
    (&["create", "save", "archive"], "backstay backup files PATH"),
    (&["extract"], "backstay restore files SNAPSHOT --target DIR"),
    (&["list", "snapshot", "repo-list"], "backstay snapshots"),
    (&["dump"], "backstay cat SNAPSHOT:/PATH"),
    (&["completion", "shell-completion"], "backstay completions SHELL"),
    (&["delete", "rm", "remove"], "backstay forget SNAPSHOT"),
    (&["expire"], "backstay forget --expired"),
    (&["undelete"], "backstay forget --undo SNAPSHOT; `backstay snapshots --forgotten` lists what can be brought back"),
    (&["release", "pin"], "backstay hold SNAPSHOT --reason NAME, or --release NAME"),
    (&["version"], "backstay --version"),
];

/// Words for which there is nothing to do.
const NEEDLESS: &[(&[&str], &str)] = &[
    (&["unlock", "break-lock"], "no command here ever locks the repository, so there is nothing to unlock"),
    (
        &["cache", "rebuild-index"],
        "the local index looks after itself; its folder (--cache-dir) may be deleted at any time",
    ),
    (&["help"], "backstay --help, or backstay COMMAND --help"),
];

/// Commands that will be there in a later version.
const LATER: &[&str] = &["recover", "mount", "tag", "rewrite", "schedule", "operator"];

/// Another message than clap's, where a better one is known.
pub(crate) fn answer(error: &clap::Error, arguments: &[OsString]) -> Option<Failure> {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
    {
        return unknown_command(word, parent_of(word, arguments));
    }
    // `backstay backup --exclude x /home`: the option is not known before `files` was said.
    if error.kind() == ErrorKind::UnknownArgument {
        let is_prune =
            matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(word)) if word == "--prune");
        if is_prune && arguments.iter().any(|word| word == "forget") {
            let hint = "leave --prune out: `backstay repo gc` frees what no snapshot uses any more";
            return Some(Failure::usage("forget has no --prune: it only takes snapshots off the list").with_hint(hint));
        }
        let parent = arguments
            .iter()
            .skip(1)
            .find_map(|word| word.to_str().filter(|word| ["backup", "restore"].contains(word)))?;
        let has_kind = arguments.iter().any(|word| word == "files" || word == "cluster");
        return if has_kind { None } else { unknown_command("", Some(parent)) };
    }
    None
}

/// The command whose subcommand the word should be.
fn parent_of<'a>(word: &str, arguments: &'a [OsString]) -> Option<&'a str> {
    let position = arguments.iter().skip(1).position(|argument| argument == word)? + 1;
    arguments[1..position].iter().rev().find_map(|argument| {
        argument.to_str().filter(|argument| ["repo", "backup", "restore", "key"].contains(argument))
    })
}

fn unknown_command(word: &str, parent: Option<&str>) -> Option<Failure> {
    let refused = |message: String, hint: String| Some(Failure::usage(message).with_hint(hint));
    let found = |table: &'static [(&'static [&'static str], &'static str)]| {
        table.iter().find(|(words, _)| words.contains(&word)).map(|(_, answer)| *answer)
    };
    if LATER.contains(&word) {
        let hint = "`backstay --help` lists the commands of this version";
        return refused(format!("there is no command {word:?} yet"), hint.to_owned());
    }
    match parent {
        Some("backup") => {
            let hint = "backstay backup files PATH, or backstay backup cluster";
            refused("what is to be backed up is not said".to_owned(), hint.to_owned())
        }
        Some("restore") => refused(
            "what is to be restored is not said".to_owned(),
            "backstay restore files SNAPSHOT[:/PATH] --target DIR, or backstay restore cluster SNAPSHOT".to_owned(),
        ),
        Some("repo") => {
            found(TOP_LEVEL).and_then(|command| refused(format!("there is no command {word:?}"), command.to_owned()))
        }
        Some(_) => None,
        None => {
            let message = format!("there is no command {word:?}");
            if let Some(command) = found(TOP_LEVEL) {
                return refused(message, command.to_owned());
            }
            found(NEEDLESS).and_then(|explanation| refused(message, explanation.to_owned()))
        }
    }
}
