//! `remotelab start`, `stop` and `restart`

use std::path::Path;
use std::process::ExitCode;

use remotelab_manager::control::{Client, Error, State};
use remotelab_manager::outside::Tool;
use remotelab_manager::tunnel::restart_client;

use crate::failure::Hinted;
use crate::output;
use crate::place::{self, Place};

/// The unit that `remotelab setup` has made.
const UNIT: &str = "remotelab.service";

/// Stop all services and start them again, or one of them.
///
/// They take the program that this command is. Guests are brought to it with care by
/// `remotelab guest-instance converge --all`; here they are only started anew. The exit code is 1 when a service did
/// not come up.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which.
    #[arg(value_enum, default_value_t = What::All)]
    service: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Your chat server and all guests that run.
    Chat,
    /// The client of the Cloudflare tunnel.
    Tunnel,
    /// The gateway.
    #[value(alias = "mainland")]
    Bridge,
    /// The mailbox.
    Mail,
    /// All of them.
    All,
}

pub(crate) fn start() -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    if Client::new(&place.paths().supervisor_socket()).status().is_ok() {
        output::line("RemoteLab is up.")?;
        return Ok(ExitCode::SUCCESS);
    }
    unit(&place)?.done(&["--user", "start", UNIT])?;
    output::line("RemoteLab was started.")?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn stop() -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    let systemctl = Tool::find("systemctl", &place.env).filter(|systemctl| {
        systemctl.run(&["--user", "is-active", "--quiet", UNIT]).is_ok_and(|said| said.is_well)
    });
    match systemctl {
        Some(systemctl) => drop(systemctl.done(&["--user", "stop", UNIT])?),
        None if Client::new(&place.paths().supervisor_socket()).status().is_ok() => {
            let message = "RemoteLab runs in a terminal: Ctrl-C there ends it";
            return Err(Hinted::new(message, "remotelab restart").into());
        }
        None => {}
    }
    output::line("RemoteLab is stopped. Runs in progress go on.")?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    let client = Client::new(&place.paths().supervisor_socket());
    let program = place::program()?;
    let is_wanted =
        |what: What| matches!(arguments.service, service if service == what || service == What::All);
    let mut names: Vec<String> = Vec::new();
    if arguments.service != What::Tunnel {
        let children = client.status().map_err(|error| match error {
            Error::NotRunning => anyhow::Error::from(Hinted::new(error.to_string(), "remotelab up")),
            error => error.into(),
        })?;
        let running =
            children.into_iter().filter(|child| !matches!(child.state, State::Stopped | State::Asleep));
        names = running.map(|child| child.name).filter(|name| is_wanted(what_is(name))).collect();
        // The door last: whoever comes meanwhile waits before it.
        names.sort_by_key(|name| name == "gateway");
    }
    output::line("Restarting:")?;
    let mut is_well = true;
    for name in &names {
        is_well &= renewed(&client, name, &program)?;
    }
    if is_wanted(What::Tunnel) && place.home.join(".cloudflared/config.yml").exists() {
        match restart_client(&place.home, &place.env) {
            Ok(()) => output::line("  tunnel: restarted")?,
            Err(error) => {
                is_well &= arguments.service != What::Tunnel;
                output::line(&format!("  tunnel: not restarted, {error}"))?;
            }
        }
    }
    output::line(if is_well { "Done!" } else { "Not all of them came up." })?;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn what_is(name: &str) -> What {
    match name {
        "gateway" => What::Bridge,
        "mail" => What::Mail,
        _ => What::Chat,
    }
}

fn renewed(client: &Client, name: &str, program: &Path) -> anyhow::Result<bool> {
    match client.renew(name, program) {
        Ok(()) => output::line(&format!("  {name}: restarted"))?,
        Err(error) => {
            output::line(&format!("  {name}: failed to restart, {error}; its log says more"))?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn unit(place: &Place) -> anyhow::Result<Tool> {
    let has_unit = place.home.join(".config/systemd/user").join(UNIT).exists();
    match Tool::find("systemctl", &place.env).filter(|_| has_unit) {
        Some(systemctl) => Ok(systemctl),
        None => Err(Hinted::new("no service here starts RemoteLab", "remotelab setup").into()),
    }
}
