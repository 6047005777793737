//! `remotelab guest-instance trash`

use std::time::Duration;

use remotelab_manager::guests::{Entry, create};

use super::{Format, guests};
use crate::failure::Hinted;
use crate::output;
use crate::place::Place;
use crate::verb::duration;

/// One command about deleted guests.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what is in the trash.
    ///
    /// One line per guest: what the trash calls it, its name, and when it was deleted, separated by tabs.
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Bring a deleted guest back, with its files, token and host name.
    ///
    /// It is started as a new guest. Its port is another one when that is taken, and so is its folder.
    Restore {
        /// What the trash calls it, or its name.
        entry: String,
        /// Another name for it.
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Remove what is in the trash for good.
    Empty {
        /// Only what was deleted at least this long ago, like `30d`.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        older_than: Option<Duration>,
        /// Do it. Without this nothing is done.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        format: Format,
    },
}

impl Command {
    pub(super) fn is_json(&self) -> bool {
        let (Self::List { format } | Self::Restore { format, .. } | Self::Empty { format, .. }) = self;
        format.json
    }
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    let place = Place::find()?;
    let guests = guests(&place)?;
    match command {
        Command::List { format } => print(&guests.trash()?, "The trash is empty.", format),
        Command::Restore { entry, name, format } => {
            let local = place.local();
            let restored = guests.restore(&entry, name.as_deref(), local.outside(), &mut |_| {});
            let restored = restored.map_err(explain)?;
            if format.json { output::json(&restored.json()) } else { output::text(&restored.text()) }
        }
        Command::Empty { yes: false, .. } => {
            let hint = "remotelab guest-instance trash empty --yes";
            Err(Hinted::new("the trash is only emptied with --yes", hint).with_code(2).into())
        }
        Command::Empty { older_than, format, .. } => {
            let removed = guests.empty_trash(older_than.unwrap_or_default())?;
            print(&removed, "There was nothing to remove.", format)
        }
    }
}

fn print(entries: &[Entry], nothing: &str, format: Format) -> anyhow::Result<()> {
    if format.json {
        return output::json(&entries.iter().map(Entry::json).collect::<Vec<_>>());
    }
    if entries.is_empty() {
        return output::line(nothing);
    }
    output::text(&entries.iter().map(|entry| entry.line() + "\n").collect::<String>())
}

fn explain(error: create::Error) -> anyhow::Error {
    match &error {
        create::Error::NotInTrash(_) | create::Error::Several(_) => {
            Hinted::new(error.to_string(), "remotelab guest-instance trash list").into()
        }
        _ => error.into(),
    }
}
