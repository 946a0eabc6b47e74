//! `backstay completions`

use clap::Args;
use clap_complete::Shell;

use crate::Result;
use crate::context::Context;
use crate::failure::Exit;

/// Print a script that teaches a shell to complete this command
///
/// For bash: `backstay completions bash > ~/.local/share/bash-completion/completions/backstay`
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(context: &Context, args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "backstay", &mut script);
    let mut out = context.output();
    std::io::Write::write_all(&mut out, &script)?;
    out.finish()?;
    Ok(Exit::Done)
}
