//! `remotelab guest-instance rename`

use remotelab_manager::guests::NewName;
use serde_json::json;

use super::{Format, guests, known};
use crate::output;
use crate::place::Place;

/// Give a guest another name.
///
/// Its files stay where they are, and its token and port stay the same. Links that hold the old name lead nowhere
/// then, people who came in by such a link have to come in anew, and its mail address changes. A host name that
/// begins with the old name begins with the new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The guest.
    name: String,
    /// Its new name: letters, digits and hyphens; everything else becomes a hyphen.
    new_name: String,
    /// Its new host name, as it is.
    #[arg(long, value_name = "FQDN", conflicts_with = "keep_hostname")]
    hostname: Option<String>,
    /// Leave its host name as it is.
    #[arg(long)]
    keep_hostname: bool,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { name, new_name, hostname, keep_hostname, dry_run, format } = arguments;
    let place = Place::find()?;
    let (guests, name) = (guests(&place)?, known(&name)?);
    let to = NewName { name: new_name, hostname, keep_hostname };
    if dry_run {
        let plan = guests.plan_rename(&name, &to)?;
        let mut json = plan.json();
        json["warnings"] = json!([]);
        return if format.json { output::json(&json) } else { output::text(&plan.text()) };
    }
    let local = place.local();
    let changed = guests.rename(&name, &to, local.outside(), &mut |_| {})?;
    if format.json { output::json(&changed.json()) } else { output::text(&changed.text()) }
}
