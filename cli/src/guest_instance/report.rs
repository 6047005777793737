//! `remotelab guest-instance report`

use super::{Format, guests};
use crate::output;
use crate::place::Place;

/// See who uses what: conversations, logins, runs, room, and when somebody was last there.
///
/// It reads the files alone, and shows no token. A guest is `empty`, `opened` (somebody came in, and wrote nothing),
/// `active` (work within two days), `occupied` (within two weeks) or `stale`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The guest, or several like `trial*`; all of them without it.
    name: Option<String>,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report = guests(&Place::find()?)?.report(arguments.name.as_deref())?;
    if arguments.format.json {
        return output::json(&report.json());
    }
    if report.rows.is_empty() {
        return output::line("There are no guest instances.");
    }
    output::text(&report.text())
}
