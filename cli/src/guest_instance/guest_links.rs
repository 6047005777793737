//! `remotelab guest-instance links create`, `list` and `revoke`

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use remotelab_config::InstanceName;
use remotelab_config::guest_links::{GuestLink, LinkFile};
use remotelab_manager::guests::View;
use serde_json::{Value, json};

use super::{Format, guests, known};
use crate::failure::Hinted;
use crate::output;
use crate::place::Place;
use crate::verb::duration;

/// Links that are good for a while, so many times.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a link that is good for a while, so many times.
///
/// It is shown this once. Whoever opens it sees where it leads, and is in with the press of a button; previews of
/// messengers use nothing up.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The guest.
    name: String,
    /// How long it lets somebody in, like `7d`; for ever without it.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
    /// How many times it lets somebody in; any number without it.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
    /// Whom it is for.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    label: String,
    #[command(flatten)]
    format: Format,
}

/// List the links of a guest that are good for a while, and what is left of each.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The guest.
    name: String,
    #[command(flatten)]
    format: Format,
}

/// End a link, and sign out whoever came by it.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// The guest.
    name: String,
    /// The link's id, as `links list` shows it.
    id: String,
    #[command(flatten)]
    format: Format,
}

impl Command {
    pub(super) fn is_json(&self) -> bool {
        match self {
            Self::Create(Create { format, .. })
            | Self::List(List { format, .. })
            | Self::Revoke(Revoke { format, .. }) => format.json,
        }
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => create(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(arguments) => revoke(arguments),
    }
}

fn create(arguments: &Create) -> anyhow::Result<()> {
    let (name, view, file) = find(&arguments.name)?;
    let now = Timestamp::now();
    let expires = arguments.expires.map(|life| now.checked_add(life)).transpose();
    let expires = expires.context("that is too far away")?;
    let (link, secret) = file.create(&arguments.label, expires, arguments.uses, now)?;
    let url = format!("{}/enter?link={secret}", view.access_base());
    if arguments.format.json {
        let mut json = described(&link, now);
        json["name"] = json!(name);
        json["url"] = json!(url);
        return output::json(&json);
    }
    output::text(&format!("link: {url}\nid: {}\n{}", link.id, terms(&link)))
}

fn list(arguments: &List) -> anyhow::Result<()> {
    let (name, _, file) = find(&arguments.name)?;
    let (all, now) = (file.load()?, Timestamp::now());
    if arguments.format.json {
        return output::json(&all.list().map(|link| described(link, now)).collect::<Vec<_>>());
    }
    let line = |link: &GuestLink| {
        let expires = link.expires.map_or_else(|| "never".to_owned(), |end| format!("{end:.0}"));
        let uses = link.uses.map_or_else(|| "any".to_owned(), |uses| uses.to_string());
        format!("{}\t{}\t{} of {uses}\t{expires}\t{}\n", link.id, link.state(now), link.used, link.label)
    };
    let text: String = all.list().map(line).collect();
    if text.is_empty() {
        output::line(&format!("There are no such links of {name}."))
    } else {
        output::text(&text)
    }
}

fn revoke(arguments: &Revoke) -> anyhow::Result<()> {
    let (name, _, file) = find(&arguments.name)?;
    let revoked = file.revoke(&arguments.id)?.ok_or_else(|| {
        let hint = format!("remotelab guest-instance links list {name}");
        Hinted::new(format!("{name} has no link {}", arguments.id), hint)
    })?;
    if arguments.format.json {
        return output::json(&json!({"revoked": described(&revoked, Timestamp::now())}));
    }
    output::text(&format!("revoked: {}\n", revoked.id))
}

/// The guest and where its links are.
fn find(name: &str) -> anyhow::Result<(InstanceName, View, LinkFile)> {
    let name = known(name)?;
    let view = guests(&Place::find()?)?.link(&name)?;
    let file = LinkFile::in_folder(view.record.paths().config());
    Ok((name, view, file))
}

fn terms(link: &GuestLink) -> String {
    let expires = link.expires.map(|end| format!("expires: {end:.0}\n")).unwrap_or_default();
    let uses = link.uses.map(|uses| format!("uses: {uses}\n")).unwrap_or_default();
    expires + &uses
}

fn described(link: &GuestLink, now: Timestamp) -> Value {
    let mut json = json!(link);
    json["state"] = json!(link.state(now));
    json
}
