//! `remotelab guest-instance start`, `stop`, `restart`, `sleep` and `wake`

use remotelab_config::InstanceName;
use remotelab_manager::control;
use remotelab_manager::guests::{Changed, Error};

use super::{Format, guests, known};
use crate::failure::Hinted;
use crate::output;
use crate::place::Place;

/// Start a guest, and have it run whenever RemoteLab does.
///
/// It can be reached when the command returns. Without a running `remotelab up` it starts with that.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// The guest.
    name: String,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Stop a guest until it is started again.
///
/// It stays stopped when RemoteLab is started anew. Runs in progress go on and are found again.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// The guest.
    name: String,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Stop a guest's chat server and start it again.
///
/// It takes what has changed in the list of guests. Runs in progress go on and are found again.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// The guest.
    name: String,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Put a guest to sleep: it uses nothing, and starts again when somebody needs it.
///
/// Guests that nobody uses fall asleep by themselves. One that has something to do stays awake.
#[derive(Debug, clap::Args)]
pub(crate) struct Sleep {
    /// The guest.
    name: String,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Wake a guest that sleeps.
#[derive(Debug, clap::Args)]
pub(crate) struct Wake {
    /// The guest.
    name: String,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn start(arguments: &Start) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let name = known(&arguments.name)?;
    print(&guests(&place)?.start(&name, local.outside(), &mut |_| {})?, arguments.format)
}

pub(super) fn stop(arguments: &Stop) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let name = known(&arguments.name)?;
    print(&guests(&place)?.stop(&name, local.outside(), &mut |_| {})?, arguments.format)
}

pub(super) fn restart(arguments: &Restart) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let name = known(&arguments.name)?;
    let changed = guests(&place)?.restart(&name, local.outside()).map_err(|error| hinted(error, &name))?;
    print(&changed, arguments.format)
}

pub(super) fn sleep(arguments: &Sleep) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let name = known(&arguments.name)?;
    let changed = guests(&place)?.sleep(&name, local.outside()).map_err(|error| hinted(error, &name))?;
    print(&changed, arguments.format)
}

pub(super) fn wake(arguments: &Wake) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let name = known(&arguments.name)?;
    let changed = guests(&place)?.wake(&name, local.outside()).map_err(|error| hinted(error, &name))?;
    print(&changed, arguments.format)
}

fn hinted(error: Error, name: &InstanceName) -> anyhow::Error {
    match error {
        Error::Stopped(_) => {
            Hinted::new(error.to_string(), format!("remotelab guest-instance start {name}")).into()
        }
        Error::Service(control::Error::NotRunning) => Hinted::new(error.to_string(), "remotelab up").into(),
        error => error.into(),
    }
}

fn print(changed: &Changed, format: Format) -> anyhow::Result<()> {
    if format.json { output::json(&changed.json()) } else { output::text(&changed.status_text()) }
}
