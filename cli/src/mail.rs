//! `remotelab mail`

mod letters;
mod routing;
mod serve;
mod setup;
mod tend;

use std::path::PathBuf;

use anyhow::Context;
use remotelab_config::InstanceName;
use remotelab_mailbox::{Clock, Desk, Options};

use crate::output;
use crate::place::Place;

/// Which mailbox, and the command about it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The owner's mailbox folder; by default `agent-mailbox` beside the list of guests.
    #[arg(long, global = true, display_order = 900, value_name = "PATH")]
    root: Option<PathBuf>,
    /// Print one JSON document. All results but `serve` are JSON anyway.
    #[arg(long, global = true, display_order = 901)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// One command about mail.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the mail bridge in the foreground.
    ///
    /// It takes mail in, hands it to the instance it is for, and sends the answers. `remotelab up` runs it
    /// too.
    Serve,
    Init(setup::Init),
    /// Print how mail comes in and leaves, and what waits.
    Status,
    /// Say whose mail may become work.
    #[command(subcommand)]
    Allow(setup::Allow),
    /// Say how answers leave.
    #[command(subcommand)]
    Outbound(setup::Outbound),
    /// Say what is done with mail that is let in.
    #[command(subcommand)]
    Automation(setup::Automation),
    /// Read and change the routes at the mail provider's edge (Cloudflare Email Routing).
    #[command(subcommand)]
    Routing(routing::Command),
    Ingest(letters::Ingest),
    Queue(letters::Queue),
    /// Let mail that waits for review become work.
    Approve(letters::Verdict),
    /// Let mail that was held or given up become work, or a letter that is held go out.
    Release(letters::Verdict),
    /// Refuse mail for good, its sender is not told; or a letter that is held.
    Reject(letters::Verdict),
    Send(letters::Send),
    List(tend::List),
    Outbox(tend::Outbox),
    Show(tend::Show),
    /// Try again at once: a mail that waits or has failed, or a letter that waits or was given up.
    Retry(tend::One),
    /// Read a mail anew, with the settings of now; its session gets it as another message.
    Replay(tend::One),
    /// Delete a mail with its raw bytes; the session and the letters to its sender stay.
    Delete(tend::One),
    Prune(tend::Prune),
}

/// A guest, where a command can be about one.
#[derive(Debug, clap::Args)]
struct Instance {
    /// The guest that it is about; the owner without it.
    #[arg(long = "instance", value_name = "NAME")]
    name: Option<String>,
}

impl Instance {
    fn name(&self) -> anyhow::Result<Option<InstanceName>> {
        let parse = |text: &String| {
            InstanceName::normalise(text).with_context(|| format!("{text:?} is no name of a guest"))
        };
        self.name.as_ref().map(parse).transpose()
    }
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    let options = options(&place, arguments.root);
    let desk = || Desk::new(options.places.clone(), options.env.clone(), Clock::system());
    match arguments.command {
        Command::Serve => serve::run(options),
        Command::Init(init) => setup::init(&desk(), init),
        Command::Status => output::json(&desk().status()?),
        Command::Allow(allow) => setup::allow(&desk(), &allow),
        Command::Outbound(outbound) => setup::outbound(&desk(), outbound),
        Command::Automation(automation) => setup::automation(&desk(), automation),
        Command::Routing(routing) => routing::run(&desk(), &options.env, routing),
        Command::Ingest(ingest) => letters::ingest(&desk(), ingest),
        Command::Queue(queue) => letters::queue(&desk(), &queue),
        Command::Approve(verdict) => output::json(&desk().approve(&verdict.id, verdict.reviewer.as_deref())?),
        Command::Release(verdict) => letters::release(&desk(), &verdict),
        Command::Reject(verdict) => letters::reject(&desk(), &verdict),
        Command::Send(send) => letters::send(&desk(), send),
        Command::List(list) => tend::list(&desk(), &list),
        Command::Outbox(outbox) => tend::outbox(&desk(), &outbox),
        Command::Show(show) => tend::show(&desk(), &show),
        Command::Retry(one) => output::json(&desk().retry(&one.id)?),
        Command::Replay(one) => output::json(&desk().replay(&one.id)?),
        Command::Delete(one) => output::json(&desk().delete(&one.id)?),
        Command::Prune(prune) => tend::prune(&desk(), &prune),
    }
}

fn options(place: &Place, root: Option<PathBuf>) -> Options {
    let paths = place.paths();
    let places = remotelab_mailbox::Places::below(paths.instance().config());
    let mut options = Options::from_env(place.env.clone(), places);
    if let Some(root) = root {
        options.places.owner_root = root;
    }
    options
}
