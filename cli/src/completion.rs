//! `remotelab completion`

use std::process::ExitCode;

use clap_complete::Shell;

use crate::{arguments, output};

/// Print what makes a shell complete these commands.
///
/// For bash, for example: `remotelab completion bash > ~/.local/share/bash-completion/completions/remotelab`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(given: &Arguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(given.shell, &mut arguments::definition(), "remotelab", &mut script);
    output::text(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
