//! `remotelab guest-instance delete`

use remotelab_manager::guests::Files;
use serde_json::json;

use super::{Format, guests, known};
use crate::failure::Hinted;
use crate::output;
use crate::place::Place;

/// Delete a guest. Its files go into the trash.
///
/// Its chat server and its runs are ended, and nothing leads to it any more. `trash restore` brings it back.
/// `owner` cannot be deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The guest.
    name: String,
    /// Remove its files for good.
    #[arg(long, conflicts_with = "keep_data")]
    purge: bool,
    /// Leave its files where they are.
    #[arg(long)]
    keep_data: bool,
    /// Do it. Without this or `--dry-run` nothing is done.
    #[arg(long)]
    yes: bool,
    /// Say what would be done, and change nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    let (guests, name) = (guests(&place)?, known(&arguments.name)?);
    anyhow::ensure!(name.as_str() != "owner", "the owner cannot be deleted");
    let (files, flag) = match arguments {
        Arguments { purge: true, .. } => (Files::Purge, " --purge"),
        Arguments { keep_data: true, .. } => (Files::Keep, " --keep-data"),
        _ => (Files::Trash, ""),
    };
    let format = arguments.format;
    // Also finds out whether there is such a guest, before anybody is asked to be sure.
    let plan = guests.plan_delete(&name, files)?;
    if arguments.dry_run {
        let mut json = plan.json();
        json["warnings"] = json!([]);
        return if format.json { output::json(&json) } else { output::text(&plan.text()) };
    }
    if !arguments.yes {
        let hint = format!("remotelab guest-instance delete {name}{flag} --yes");
        return Err(Hinted::new(format!("{name} is only deleted with --yes"), hint).with_code(2).into());
    }
    let local = place.local();
    let deleted = guests.delete(&name, files, local.outside(), &mut |_| {})?;
    if format.json { output::json(&deleted.json()) } else { output::text(&deleted.text()) }
}
