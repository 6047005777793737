//! `remotelab token`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use remotelab_config::api_tokens::{ApiToken, Error, Scope, TokenFile};
use remotelab_config::atomic;
use serde_json::{Value, json};

use crate::chosen::Which;
use crate::output;
use crate::place::Place;
use crate::verb::{Failure, Kind, duration};

/// Hand out tokens that may do little, for connectors.
///
/// Each is shown once and can be revoked alone. They work at once, also while the chat server runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    which: WhichOne,
}

#[derive(Debug, clap::Args)]
struct WhichOne {
    /// The guest whose tokens these are; without it the instance that the environment chooses.
    #[arg(long, global = true, value_name = "NAME", display_order = 900)]
    instance: Option<String>,
    /// Print one JSON document.
    #[arg(long, global = true, display_order = 901)]
    json: bool,
}

/// One command about tokens.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(Create),
    /// List the tokens and when each was used last.
    List,
    /// Refuse a token from now on.
    Revoke {
        /// The token's id, `tok_…`, as `list` prints it.
        #[arg(value_name = "TOKEN-ID")]
        id: String,
    },
}

/// Make a token and print it, this once.
#[derive(Debug, clap::Args)]
struct Create {
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it allows: `connector` may create sessions, post messages and read what became of them.
    #[arg(long, value_name = "SCOPE", default_value = "connector", value_parser = ["connector"])]
    scope: String,
    /// How long it is good, like `90d` or `12h`; for ever without it.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let WhichOne { instance, json } = &arguments.which;
    match carry_out(&arguments.command, instance.clone(), *json) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Ok(failure.report(*json)),
    }
}

fn carry_out(command: &Command, instance: Option<String>, as_json: bool) -> Result<(), Failure> {
    let chosen = Which::named(instance).find(&Place::find()?)?;
    let file = TokenFile::in_folder(chosen.paths.config());
    match command {
        Command::Create(create) => self::create(&file, create, as_json),
        Command::List => list(&file, as_json),
        Command::Revoke { id } => revoke(&file, id, as_json),
    }
}

fn create(file: &TokenFile, wanted: &Create, as_json: bool) -> Result<(), Failure> {
    let now = Timestamp::now();
    let expires = wanted.expires.map(|life| now.checked_add(life)).transpose();
    let expires = expires.context("that is too far away")?;
    if let Some(folder) = file.path().parent() {
        atomic::create_private_dir(folder).context("there is no folder for it")?;
    }
    let (token, text) = file.create(&wanted.name, Scope::Connector, expires, now)?;
    if as_json {
        let mut shown = json!(token);
        shown["token"] = text.into();
        return Ok(output::json(&json!({ "token": shown }))?);
    }
    Ok(output::text(&format!("{}token: {text}\n", lines(&token)))?)
}

fn list(file: &TokenFile, as_json: bool) -> Result<(), Failure> {
    let all = file.load().map_err(Error::from)?;
    if as_json {
        let tokens: Vec<Value> = all.list().map(|token| json!(token)).collect();
        return Ok(output::json(&json!({ "tokens": tokens }))?);
    }
    let blocks: Vec<String> = all.list().map(lines).collect();
    if blocks.is_empty() {
        return Ok(output::line("There are no tokens.")?);
    }
    Ok(output::text(&blocks.join("\n"))?)
}

fn revoke(file: &TokenFile, id: &str, as_json: bool) -> Result<(), Failure> {
    let Some(token) = file.revoke(id)? else {
        return Err(Failure::new(Kind::Refused, "Token not found").with_hint("remotelab token list"));
    };
    if as_json {
        return Ok(output::json(&json!({"ok": true, "token": token}))?);
    }
    Ok(output::line(&format!("{} ({}) is refused from now on.", token.id, token.name))?)
}

fn lines(token: &ApiToken) -> String {
    let shown = json!(token);
    let text = |key: &str| shown[key].as_str().unwrap_or("never").to_owned();
    ["id", "name", "scope", "created", "lastUsed", "expires"]
        .map(|key| format!("{key}: {}\n", text(key)))
        .concat()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = if matches!(error, Error::Name) { Kind::Usage } else { Kind::Refused };
        Self::new(kind, format!("{:#}", anyhow::Error::from(error)))
    }
}
