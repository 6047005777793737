//! `remotelab generate-token`

use std::process::ExitCode;

use anyhow::{Context, ensure};
use remotelab_config::atomic;
use remotelab_config::lock::FileLock;
use remotelab_config::secret::Secret;
use remotelab_manager::guests::{self, links};
use serde_json::{Map, Value, json};

use crate::chosen::{Chosen, Which};
use crate::output;
use crate::place::Place;
use crate::verb::Failure;

/// Replace the access token of an instance and print the new link.
///
/// Browsers that are logged in stay so, without `--revoke-sessions`. `REMOTELAB_INSTANCE_ROOT` or
/// `REMOTELAB_CONFIG_DIR` choose an instance other than the owner's, and so does `--instance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print no link.
    #[arg(long)]
    no_url: bool,
    /// Sign every browser out, too. The chat server must be stopped for that.
    #[arg(long)]
    revoke_sessions: bool,
    #[command(flatten)]
    which: Which,
    /// Print one JSON document.
    #[arg(long, display_order = 901)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match replace(arguments) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Ok(Failure::from(error).report(arguments.json)),
    }
}

fn replace(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    let chosen = arguments.which.find(&place)?;
    let file = chosen.paths.auth();
    // Not by the type that checks tokens: a damaged one is what this command is often called for.
    let mut auth: Map<String, Value> =
        atomic::read_json(&file).context("move the file away to start with a new one")?.unwrap_or_default();
    let link = if arguments.no_url { None } else { base(&place, &chosen)? };
    let _stopped = arguments.revoke_sessions.then(|| sign_everybody_out(&chosen)).transpose()?;
    let token = Secret::random().reveal();
    auth.insert("token".to_owned(), Value::String(token.clone()));
    atomic::create_private_dir(chosen.paths.config())?;
    atomic::write_json(&file, &auth)?;
    let is_local =
        link.as_ref().is_some_and(|base| chosen.port.is_some_and(|port| *base == links::local_base(port)));
    let link = link.map(|base| links::access(&base, Some(&token)));
    if arguments.json {
        return output::json(&json!({"authFile": file, "token": token, "accessUrl": link}));
    }
    let heading = if is_local { "Access URL (local):" } else { "Access URL:" };
    let link = link.map(|link| format!("\n{heading}\n  {link}\n")).unwrap_or_default();
    let file = file.display();
    output::text(&format!(
        "Auth token generated and written to: {file}\n\nYour access token: {token}\n{link}"
    ))
}

/// Where the instance is entered; `None` where nothing says so.
fn base(place: &Place, chosen: &Chosen) -> anyhow::Result<Option<String>> {
    if let Some(base) = &chosen.public_base {
        return Ok(Some(base.clone()));
    }
    let Some(port) = chosen.port else { return Ok(None) };
    let public = guests::owner_public_base(&place.home, port)?;
    Ok(Some(public.unwrap_or_else(|| links::local_base(port))))
}

/// A running server would write its logins again.
fn sign_everybody_out(chosen: &Chosen) -> anyhow::Result<FileLock> {
    let lock = FileLock::try_acquire(&chosen.paths.server_lock());
    ensure!(lock.is_ok(), "--revoke-sessions needs the chat server of {} to be stopped", chosen.name);
    for file in [chosen.paths.auth_sessions(), chosen.paths.install_handoffs()] {
        if file.exists() {
            atomic::write_private(&file, b"{}\n")?;
        }
    }
    Ok(lock?)
}
