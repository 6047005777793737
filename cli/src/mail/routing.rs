//! `remotelab mail routing`

use std::path::PathBuf;

use remotelab_config::Env;
use remotelab_mailbox::{Desk, Model, ProbeOptions, Routing, RoutingError, RoutingOptions, probe};

use crate::failure::Hinted;
use crate::{output, runtime};

/// One command about the routes at the mail provider's edge.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what would be changed, and why.
    Plan(Routes),
    /// Make the changes of the plan; with rules of others in the way, none of them.
    Apply(Routes),
    /// Make the changes of the plan, around what others own.
    Sync(Routes),
    /// Print what is there and what should be.
    Status(Routes),
    Probe(Probe),
}

/// Which routes.
#[derive(Debug, clap::Args)]
pub(super) struct Routes {
    /// The zone; by default the mail domain.
    #[arg(long)]
    zone: Option<String>,
    /// The Email Worker's name.
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// `plus`: one rule and sub-addresses; `local_part`: a rule for each address; `catch_all`: one rule for all.
    #[arg(long, value_parser = model)]
    model: Option<Model>,
    /// Take over rules of others for our addresses.
    #[arg(long)]
    adopt: bool,
    /// The file with credentials; by default `cloudflare-auth.json` beside the list of guests.
    #[arg(long, value_name = "PATH")]
    auth_file: Option<PathBuf>,
}

/// Ask the domain's mail servers whether they take mail for an address; none is sent.
#[derive(Debug, clap::Args)]
pub(super) struct Probe {
    /// The address.
    #[arg(long, value_name = "EMAIL")]
    address: String,
    /// A mail server, in the place of those that the domain names.
    #[arg(long, value_name = "HOST")]
    mx_host: Option<String>,
    /// Its port.
    #[arg(long, default_value_t = 25)]
    port: u16,
    /// The name to greet with; a real one of this machine.
    #[arg(long, default_value = "localhost.localdomain", value_name = "HOST")]
    hello: String,
}

pub(super) fn run(desk: &Desk, env: &Env, command: Command) -> anyhow::Result<()> {
    let (strict, routes) = match command {
        Command::Probe(asked) => return ask(env, asked),
        Command::Plan(routes) => {
            let routing = open(desk, env, routes)?;
            return output::json(&runtime::block_on(async { routing.plan().await.map_err(failed) })?);
        }
        Command::Status(routes) => {
            let routing = open(desk, env, routes)?;
            return output::json(&runtime::block_on(async { Ok(routing.status().await) })?);
        }
        Command::Apply(routes) => (true, routes),
        Command::Sync(routes) => (false, routes),
    };
    let routing = open(desk, env, routes)?;
    output::json(&runtime::block_on(async { routing.apply(strict).await.map_err(failed) })?)
}

fn open(desk: &Desk, env: &Env, routes: Routes) -> anyhow::Result<Routing> {
    let Routes { zone, worker, model, adopt, auth_file } = routes;
    Routing::open(desk, env, RoutingOptions { zone, worker, model, adopt, auth_file }).map_err(failed)
}

fn ask(env: &Env, asked: Probe) -> anyhow::Result<()> {
    let Probe { address, mx_host, port, hello } = asked;
    let told =
        runtime::block_on(async { Ok(probe(env, &ProbeOptions { address, mx_host, port, hello }).await) })?;
    output::json(&told)?;
    anyhow::ensure!(told.accepted, "it would not be taken: {}", told.response);
    Ok(())
}

/// 4: others are in the way; 5: the other side does not answer.
fn failed(error: RoutingError) -> anyhow::Error {
    let (code, hint) = match error {
        RoutingError::Conflicts(_) => (4, "remotelab mail routing plan"),
        RoutingError::TooMany(_) => (4, "remotelab mail routing plan --model catch_all"),
        RoutingError::Remote(_) => (5, "remotelab mail routing status"),
        RoutingError::Desk(_) | RoutingError::Credentials(_) => return error.into(),
    };
    Hinted::new(error.to_string(), hint).with_code(code).into()
}

fn model(text: &str) -> Result<Model, &'static str> {
    Model::parse(text).ok_or("it is plus, local_part or catch_all")
}
