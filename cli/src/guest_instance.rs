//! `remotelab guest-instance`

mod create;

use anyhow::Context;
use remotelab_config::InstanceName;
use remotelab_gateway::Settings as GatewaySettings;
use remotelab_manager::guests::{Guests, View};

use crate::place::Place;
use crate::{output, runtime};

/// One command about guests.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Named),
    CreateTrial(create::Trial),
    /// List the guests and whether each runs.
    ///
    /// One line per guest: name, port, host name, `running` or `stopped`, separated by tabs.
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Print the links by which people come in.
    ///
    /// The links hold the access token: whoever has one is in. Nothing is asked over the network.
    Links {
        /// The guest; all of them without it.
        name: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Print everything about a guest, and whether it answers.
    #[command(visible_alias = "status")]
    Show {
        /// The guest.
        name: String,
        #[command(flatten)]
        format: Format,
    },
}

/// How results are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Format {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => create::named(arguments),
        Command::CreateTrial(arguments) => create::trial(arguments),
        Command::List { format } => list(format),
        Command::Links { name, format } => links(name.as_deref(), format),
        Command::Show { name, format } => show(&name, format),
    }
}

fn list(format: Format) -> anyhow::Result<()> {
    runtime::enable_tls();
    let views = guests(&Place::find()?)?.list()?;
    if format.json {
        return output::json(&views.iter().map(View::json).collect::<Vec<_>>());
    }
    if views.is_empty() {
        return output::line("There are no guest instances.");
    }
    output::text(&views.iter().map(|view| view.list_line() + "\n").collect::<String>())
}

fn links(name: Option<&str>, format: Format) -> anyhow::Result<()> {
    let guests = guests(&Place::find()?)?;
    let views = match name {
        Some(text) => {
            let view = guests.link(&known(text)?)?;
            if format.json {
                return output::json(&view.json());
            }
            vec![view]
        }
        None => guests.links()?,
    };
    if format.json {
        return output::json(&views.iter().map(View::json).collect::<Vec<_>>());
    }
    if views.is_empty() {
        return output::line("There are no guest instances.");
    }
    output::text(&views.iter().map(View::links_text).collect::<Vec<_>>().join("\n"))
}

fn show(name: &str, format: Format) -> anyhow::Result<()> {
    runtime::enable_tls();
    let view = guests(&Place::find()?)?.show(&known(name)?)?;
    if format.json { output::json(&view.json()) } else { output::text(&view.show_text()) }
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
