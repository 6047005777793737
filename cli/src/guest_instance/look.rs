//! `remotelab guest-instance list`, `links` and `show`

use remotelab_manager::guests::View;
use remotelab_manager::guests::pattern::is_pattern;
use remotelab_manager::qr;

use super::{Format, guest_links, guests, known};
use crate::place::Place;
use crate::{output, runtime};

/// List the guests and whether each runs.
///
/// One line per guest: name, port, host name, `running`, `asleep` or `stopped`, separated by tabs. Nothing is asked
/// over the network.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(super) format: Format,
}

/// Print the links by which people come in.
///
/// The links hold the access token: whoever has one is in. Nothing is asked over the network without `--check`. `links
/// create` makes one that is good for a while, so many times.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Links {
    #[command(subcommand)]
    pub(super) command: Option<guest_links::Command>,
    /// The guest, or several like `trial*`; all of them without it.
    name: Option<String>,
    /// Draw each link to hand out as a code for a phone's camera, too.
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Find out whether the guest answers by each link, within five seconds for all. One that sleeps is not woken.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Print everything about a guest, what runs for it, and whether it answers.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "status")]
pub(crate) struct Show {
    /// The guest.
    name: String,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn list(arguments: &List) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let views = guests(&place)?.list(local.outside().service)?;
    if arguments.format.json {
        return output::json(&views.iter().map(View::json).collect::<Vec<_>>());
    }
    if views.is_empty() {
        return output::line("There are no guest instances.");
    }
    output::text(&views.iter().map(|view| view.list_line() + "\n").collect::<String>())
}

pub(super) fn links(arguments: &Links) -> anyhow::Result<()> {
    if let Some(command) = &arguments.command {
        return guest_links::run(command);
    }
    let place = Place::find()?;
    let guests = guests(&place)?;
    let mut views = match &arguments.name {
        Some(text) if is_pattern(text) => guests.links_like(text)?,
        Some(text) => vec![guests.link(&known(text)?)?],
        None => guests.links()?,
    };
    if arguments.check {
        runtime::enable_tls();
        let local = place.local();
        guests.check(&mut views, local.outside().service);
    }
    if arguments.format.json {
        return match views.as_slice() {
            [view] if arguments.name.as_deref().is_some_and(|name| !is_pattern(name)) => {
                output::json(&view.json())
            }
            views => output::json(&views.iter().map(View::json).collect::<Vec<_>>()),
        };
    }
    if views.is_empty() {
        return output::line("There are no guest instances.");
    }
    let block = |view: &View| {
        let code = arguments.qr.then(|| qr::render(&view.access_url())).flatten();
        view.links_text() + &code.map(|code| format!("\n{code}\n")).unwrap_or_default()
    };
    output::text(&views.iter().map(block).collect::<Vec<_>>().join("\n"))
}

pub(super) fn show(arguments: &Show) -> anyhow::Result<()> {
    runtime::enable_tls();
    let place = Place::find()?;
    let local = place.local();
    let view = guests(&place)?.show(&known(&arguments.name)?, local.outside().service)?;
    if arguments.format.json { output::json(&view.json()) } else { output::text(&view.show_text()) }
}
