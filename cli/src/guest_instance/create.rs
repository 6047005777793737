//! `remotelab guest-instance create` and `create-trial`

use std::path::{self, PathBuf};

use anyhow::{Context, ensure};
use remotelab_config::auth::Login;
use remotelab_config::password;
use remotelab_executor::contain::Walls;
use remotelab_manager::guests::create::{Error, Name, Planned};
use remotelab_manager::guests::hostname::Wish;
use remotelab_manager::guests::{Created, Guests, Request};
use serde_json::Value;

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
    /// Take its host name also when that leads elsewhere now.
    #[arg(long)]
    overwrite_dns: bool,
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
    /// Give its runs a file tree and processes of their own (by bubblewrap), or do not run anything.
    #[arg(long)]
    isolated: bool,
    /// Leave the routes at the mail provider alone.
    #[arg(long)]
    no_mailbox_sync: bool,
    /// Create several: the next trials, or `<name>-1`, `<name>-2`, …
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=1000),
        hide_default_value = true
    )]
    count: u16,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
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

impl Named {
    pub(super) fn is_json(&self) -> bool {
        self.options.format.json
    }
}

impl Trial {
    pub(super) fn is_json(&self) -> bool {
        self.options.format.json
    }
}

fn run(name: Name, options: Options) -> anyhow::Result<()> {
    let place = Place::find()?;
    let guests = guests(&place)?;
    let Options { format, count, dry_run, .. } = options;
    let several = count > 1;
    if several {
        check_several(&options)?;
    }
    let names = match name {
        name if !several => vec![name],
        Name::NextTrial => vec![name; usize::from(count)],
        Name::Given(name) => guests.numbered(&name, usize::from(count))?,
    };
    let request = request(Name::NextTrial, options)?;
    let requests: Vec<Request> = names.into_iter().map(|name| Request { name, ..request.clone() }).collect();
    if dry_run {
        let planned = guests.plan_creates(&requests).map_err(explain)?;
        return print(&planned, several, format, Planned::json, Planned::text, "would create");
    }
    let system = place.local();
    let mut created: Vec<Created> = Vec::new();
    for request in &requests {
        let outcome = guests.create(request, system.outside(), &mut |_| {}).map_err(explain);
        created.push(outcome.map_err(|error| {
            put_into_force(&guests, several);
            if several { cut_off(error, &created) } else { error }
        })?);
    }
    put_into_force(&guests, several);
    print(&created, several, format, Created::json, Created::text, "created")
}

/// The host names of several guests are led here together.
fn put_into_force(guests: &Guests, several: bool) {
    if let Some(warning) = several.then(|| guests.reconnect()).flatten() {
        output::remark(&format!("warning: {warning}"));
    }
}

/// What is one guest's cannot be given to several.
fn check_several(options: &Options) -> anyhow::Result<()> {
    let one = options.port.is_none()
        && options.hostname.is_none()
        && options.subdomain.is_none()
        && options.instance_root.is_none();
    ensure!(one, "--count cannot be used with --port, --hostname, --subdomain or --instance-root");
    Ok(())
}

/// Says which ones there are in spite of the failure.
fn cut_off(error: anyhow::Error, created: &[Created]) -> anyhow::Error {
    let names: Vec<&str> = created.iter().map(|created| created.view.record.name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    error.context(format!("not all were created (created: {names})"))
}

fn print<T>(
    items: &[T],
    several: bool,
    format: Format,
    json: impl Fn(&T) -> Value,
    text: impl Fn(&T) -> String,
    done: &str,
) -> anyhow::Result<()> {
    match items {
        [one] if !several => {
            if format.json {
                output::json(&json(one))
            } else {
                output::text(&text(one))
            }
        }
        _ if format.json => output::json(&items.iter().map(json).collect::<Vec<_>>()),
        _ => {
            let blocks: Vec<String> = items.iter().map(text).collect();
            output::text(&format!("{done}: {}\n\n{}", items.len(), blocks.join("\n")))
        }
    }
}

fn request(name: Name, options: Options) -> anyhow::Result<Request> {
    let login = login(&options)?;
    if options.isolated && !Walls::here().namespaces {
        return Err(
            Hinted::new("there are no namespaces for --isolated here", "apt-get install bubblewrap").into()
        );
    }
    let root = options.instance_root.map(path::absolute).transpose();
    Ok(Request {
        name,
        port: options.port,
        hostname: Wish {
            hostname: options.hostname,
            subdomain: options.subdomain,
            domain: options.domain,
            local_only: options.local_only,
            overwrite_dns: options.overwrite_dns,
            more_follow: options.count > 1,
        },
        root: root.context("cannot use --instance-root")?,
        session_expiry_days: options.session_expiry_days,
        login,
        isolated: options.isolated,
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
