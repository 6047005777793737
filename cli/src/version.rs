//! `remotelab version`

use std::process::ExitCode;

use serde_json::json;

use crate::output;

/// Print the version.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON document: the version, the commit and the time of a released build, the platform.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.json {
        output::line(env!("CARGO_PKG_VERSION"))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": option_env!("REMOTELAB_BUILD_COMMIT"),
        "createdAt": option_env!("REMOTELAB_BUILD_TIME"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    }))?;
    Ok(ExitCode::SUCCESS)
}
