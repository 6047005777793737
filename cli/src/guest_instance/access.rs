//! `remotelab guest-instance rotate-token` and `set-password`

use std::process::ExitCode;

use super::{Format, guests, known};
use crate::place::Place;
use crate::{output, set_password};

/// Replace the access token of a guest and print its new links.
///
/// The old links lead nowhere then. Browsers that are logged in stay so, without `--sign-out`.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateToken {
    /// The guest.
    name: String,
    /// Sign every browser out, too. The guest is started anew for that.
    #[arg(long)]
    sign_out: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Set a user name and password for a guest, beside its access token.
///
/// Asks for both on a terminal, without showing the password.
#[derive(Debug, clap::Args)]
pub(crate) struct SetPassword {
    /// The guest.
    name: String,
    /// The user name.
    #[arg(long)]
    username: Option<String>,
    /// Read the password from standard input, to its end; one line end is dropped.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) fn rotate_token(arguments: &RotateToken) -> anyhow::Result<()> {
    let place = Place::find()?;
    let local = place.local();
    let (guests, name) = (guests(&place)?, known(&arguments.name)?);
    let changed = guests.rotate_token(&name, arguments.sign_out, local.outside(), &mut |_| {})?;
    if arguments.format.json { output::json(&changed.json()) } else { output::text(&changed.links_text()) }
}

pub(super) fn set_password(arguments: SetPassword) -> anyhow::Result<ExitCode> {
    let SetPassword { name, username, password_stdin, format } = arguments;
    set_password::run(&set_password::Arguments::for_guest(name, username, password_stdin, format.json))
}
