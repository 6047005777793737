//! `remotelab guest-instance`

mod access;
mod bounds;
mod converge;
mod create;
mod delete;
mod guest_links;
mod logs;
mod look;
mod rename;
mod report;
mod service;
mod trash;

use std::process::ExitCode;

use anyhow::Context;
use remotelab_config::InstanceName;
use remotelab_gateway::Settings as GatewaySettings;
use remotelab_manager::guests::Guests;

use crate::failure::Hinted;
use crate::place::Place;
use crate::verb::{Failure, Kind};

/// One command about guests.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Named),
    CreateTrial(create::Trial),
    List(look::List),
    Links(look::Links),
    Show(look::Show),
    Report(report::Arguments),
    Start(service::Start),
    Stop(service::Stop),
    Restart(service::Restart),
    Sleep(service::Sleep),
    Wake(service::Wake),
    Limits(bounds::Limits),
    Quota(bounds::Quota),
    Logs(logs::Arguments),
    RotateToken(access::RotateToken),
    SetPassword(access::SetPassword),
    Rename(rename::Arguments),
    Converge(converge::Arguments),
    Delete(delete::Arguments),
    /// See what is left of deleted guests, and bring one back.
    #[command(subcommand)]
    Trash(trash::Command),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Format {
    /// Print one JSON document; failures are one line of JSON on standard error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let as_json = command.is_json();
    let outcome = match command {
        Command::Create(arguments) => create::named(arguments),
        Command::CreateTrial(arguments) => create::trial(arguments),
        Command::List(arguments) => look::list(&arguments),
        Command::Links(arguments) => look::links(&arguments),
        Command::Show(arguments) => look::show(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Start(arguments) => service::start(&arguments),
        Command::Stop(arguments) => service::stop(&arguments),
        Command::Restart(arguments) => service::restart(&arguments),
        Command::Sleep(arguments) => service::sleep(&arguments),
        Command::Wake(arguments) => service::wake(&arguments),
        Command::Limits(arguments) => bounds::limits(&arguments),
        Command::Quota(arguments) => bounds::quota(&arguments),
        Command::Logs(arguments) => logs::run(&arguments),
        Command::RotateToken(arguments) => access::rotate_token(&arguments),
        Command::SetPassword(arguments) => return access::set_password(arguments),
        Command::Rename(arguments) => rename::run(arguments),
        Command::Converge(arguments) => match converge::run(arguments) {
            Ok(code) => return Ok(code),
            Err(error) => Err(error),
        },
        Command::Delete(arguments) => delete::run(&arguments),
        Command::Trash(command) => trash::run(command),
    };
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if as_json => Ok(told(error).report(true)),
        Err(error) => Err(error),
    }
}

impl Command {
    fn is_json(&self) -> bool {
        match self {
            Self::Links(look::Links { command: Some(command), .. }) => command.is_json(),
            Self::Create(arguments) => arguments.is_json(),
            Self::CreateTrial(arguments) => arguments.is_json(),
            Self::List(look::List { format, .. })
            | Self::Links(look::Links { format, .. })
            | Self::Show(look::Show { format, .. })
            | Self::Report(report::Arguments { format, .. })
            | Self::Start(service::Start { format, .. })
            | Self::Stop(service::Stop { format, .. })
            | Self::Restart(service::Restart { format, .. })
            | Self::Sleep(service::Sleep { format, .. })
            | Self::Wake(service::Wake { format, .. })
            | Self::Limits(bounds::Limits { format, .. })
            | Self::Quota(bounds::Quota { format, .. })
            | Self::RotateToken(access::RotateToken { format, .. })
            | Self::SetPassword(access::SetPassword { format, .. })
            | Self::Rename(rename::Arguments { format, .. })
            | Self::Converge(converge::Arguments { format, .. })
            | Self::Delete(delete::Arguments { format, .. }) => format.json,
            Self::Trash(command) => command.is_json(),
            Self::Logs(_) => false,
        }
    }
}

/// The failure with its hint, as programs read it.
fn told(error: anyhow::Error) -> Failure {
    match error.downcast_ref::<Hinted>() {
        Some(hinted) => {
            let kind = if hinted.is_usage() { Kind::Usage } else { Kind::Refused };
            Failure::new(kind, hinted.to_string()).with_hint(hinted.hint.clone())
        }
        None => Failure::from(error),
    }
}

/// Guests with links through the front door where that really listens.
fn guests(place: &Place) -> anyhow::Result<Guests> {
    let paths = place.paths();
    let gateway = GatewaySettings::load(&place.env, &paths)?;
    let door = gateway.listeners.first().context("the gateway has no listener")?;
    Ok(Guests::new(paths, place.env.clone(), door.bind))
}

fn known(text: &str) -> anyhow::Result<InstanceName> {
    InstanceName::normalise(text).with_context(|| format!("{text:?} is no name of a guest"))
}
