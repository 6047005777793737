//! `remotelab guest-instance create` and `create-trial`

use std::path::{self, PathBuf};

use anyhow::{Context, ensure};
use remotelab_config::auth::Login;
use remotelab_config::password;
use remotelab_manager::guests::Request;
use remotelab_manager::guests::create::{Error, Name};
use remotelab_manager::guests::hostname::Wish;
use remotelab_manager::outside::Local;

use super::{Format, guests};
use crate::failure::Hinted;
use crate::place::Place;
use crate::{output, set_password};

/// Create a guest with its own login, files, memory and history.
///
/// Under a running `remotelab up` the guest is started and can be reached when the command returns.
/// Whatever goes wrong leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Its name: letters, digits and hyphens; everything else becomes a hyphen.
    #[arg(required_unless_present = "trial")]
    name: Option<String>,
    /// Take the next name of the row `trial1`, `trial2`, … unless a name is given.
    #[arg(long)]
    trial: bool,
    #[command(flatten)]
    options: Options,
}

/// Create the next trial guest: `trial1`, `trial2`, …
///
/// The same as `create --trial`.
#[derive(Debug, clap::Args)]
pub(crate) struct Trial {
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The port of its chat server; by default the lowest free one.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Its public host name, as it is.
    #[arg(long, value_name = "FQDN", conflicts_with = "local_only")]
    hostname: Option<String>,
    /// The first label of its host name, instead of its name.
    #[arg(long, value_name = "LABEL")]
    subdomain: Option<String>,
    /// The domain below which its host name goes; by default the owner's.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Give it no host name.
    #[arg(long)]
    local_only: bool,
    /// The folder for its files, absent or empty; by default `~/.remotelab/instances/<name>`.
    #[arg(long, value_name = "PATH")]
    instance_root: Option<PathBuf>,
    /// Days that a login lasts without use.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=30))]
    session_expiry_days: u32,
    /// A user name beside the link; needs a password, and is `owner` with a password alone.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
    /// The password. Other users of this machine may see it here; prefer `--password-stdin`.
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Leave the routes at the mail provider alone.
    #[arg(long)]
    no_mailbox_sync: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) fn named(arguments: Named) -> anyhow::Result<()> {
    let name = arguments.name.map_or(Name::NextTrial, Name::Given);
    run(name, arguments.options)
}

pub(super) fn trial(arguments: Trial) -> anyhow::Result<()> {
    run(Name::NextTrial, arguments.options)
}

fn run(name: Name, options: Options) -> anyhow::Result<()> {
    let place = Place::find()?;
    let guests = guests(&place)?;
    let format = options.format;
    let request = request(name, options)?;
    let system = Local::new(&place.paths());
    let created = guests.create(&request, system.outside(), &mut |_| {}).map_err(explain)?;
    if format.json { output::json(&created.json()) } else { output::text(&created.text()) }
}

fn request(name: Name, options: Options) -> anyhow::Result<Request> {
    let login = login(&options)?;
    let root = options.instance_root.map(path::absolute).transpose();
    Ok(Request {
        name,
        port: options.port,
        hostname: Wish {
            hostname: options.hostname,
            subdomain: options.subdomain,
            domain: options.domain,
            local_only: options.local_only,
        },
        root: root.context("cannot use --instance-root")?,
        session_expiry_days: options.session_expiry_days,
        login,
        sync_mail_routes: !options.no_mailbox_sync,
    })
}

fn login(options: &Options) -> anyhow::Result<Option<Login>> {
    let password = match (&options.password, options.password_stdin) {
        (Some(password), _) => password.clone(),
        (None, true) => set_password::from_stdin()?,
        (None, false) => {
            ensure!(options.username.is_none(), "--username needs --password-stdin");
            return Ok(None);
        }
    };
    ensure!(!password.is_empty(), "the password is empty");
    let username = options.username.as_deref().unwrap_or("owner").trim().to_owned();
    ensure!(!username.is_empty(), "the user name is empty");
    Ok(Some(Login { username, password_hash: password::hash(&password) }))
}

fn explain(error: Error) -> anyhow::Error {
    match &error {
        Error::Taken(name) => {
            let hint = format!("remotelab guest-instance show {name}");
            Hinted::new(error.to_string(), hint).into()
        }
        _ => error.into(),
    }
}
