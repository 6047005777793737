//! `remotelab tunnel`

use std::process::ExitCode;

use anyhow::Context;
use remotelab_config::registry::Registry;
use remotelab_gateway::Settings as GatewaySettings;
use remotelab_manager::tunnel::{Dns, Outcome, Settings, examine};
use serde_json::{Value, json};

use crate::failure::Hinted;
use crate::output;
use crate::place::Place;

/// Lead host names to this machine through a Cloudflare tunnel.
///
/// The rules are those of `~/.cloudflared/config.yml`. It is changed line by line: comments and everything else in it
/// stay, and the five versions before are kept beside it. Host names of guests are led here when they are created,
/// renamed and deleted; none of this is needed for them where one rule leads all names of a domain to the front door.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the rules, in their order.
    List(Format),
    /// Have the tunnel lead a host name to a service on this machine.
    Lead {
        /// The host name, or all of a domain like `*.example.com`.
        hostname: String,
        /// Where to, like `http://127.0.0.1:7699`.
        service: String,
    },
    /// Have the tunnel lead a host name nowhere.
    Remove {
        /// The host name.
        hostname: String,
    },
    /// Have a host name lead to the tunnel.
    ///
    /// By Cloudflare's interface with the credentials in `CLOUDFLARE_API_TOKEN` or `cloudflare-auth.json`, else by
    /// `cloudflared`.
    Point {
        /// The host name.
        hostname: String,
        /// Take it also when it leads elsewhere now.
        #[arg(long)]
        overwrite_dns: bool,
    },
    /// Have the tunnel's client read its settings, if they were changed.
    Reconnect,
    /// Say what does not fit together: rules, guests, names and the tunnel's client.
    ///
    /// The exit code is 1 when there is anything.
    Doctor(Format),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Format {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let place = Place::find()?;
    if let Command::Doctor(format) = command {
        return doctor(&place, *format);
    }
    let settings = settings(&place)?;
    match command {
        Command::List(format) => list(&settings, *format)?,
        Command::Lead { hostname, service } => {
            changed(settings.set(&hostname.to_lowercase(), service)?, &settings)?;
        }
        Command::Remove { hostname } => changed(settings.remove(hostname)?, &settings)?,
        Command::Point { hostname, overwrite_dns } => {
            let dns = Dns::find(&place.paths(), &place.env).context("there is no tunnel")?;
            match dns.point(&hostname.to_lowercase(), *overwrite_dns)? {
                Outcome::Done => output::line(&format!("{hostname} leads to the tunnel"))?,
                Outcome::Already => output::line(&format!("{hostname} leads to the tunnel already"))?,
                Outcome::Nobody => {
                    let hint = format!("cloudflared tunnel route dns <tunnel> {hostname}");
                    return Err(Hinted::new(
                        "there are no credentials for Cloudflare, and no cloudflared",
                        hint,
                    )
                    .into());
                }
            }
        }
        Command::Reconnect => {
            settings.reconnect()?;
            output::line("the tunnel is up to date")?;
        }
        Command::Doctor(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(place: &Place) -> anyhow::Result<Settings> {
    Settings::find(&place.paths(), &place.env).ok_or_else(|| {
        Hinted::new("there is no tunnel: ~/.cloudflared/config.yml is missing", "remotelab setup").into()
    })
}

fn list(settings: &Settings, format: Format) -> anyhow::Result<()> {
    let document = settings.read()?;
    let rules = document.rules();
    if format.json {
        let rules = rules
            .iter()
            .map(|rule| json!({"hostname": rule.hostname, "path": rule.path, "service": rule.service}));
        return output::json(&rules.collect::<Vec<Value>>());
    }
    let line = |hostname: &str, path: &str, service: &str| {
        let all = if hostname.is_empty() { "*" } else { hostname };
        format!("{all}{path}\t{service}\n")
    };
    let lines = rules.iter().map(|rule| line(&rule.hostname, &rule.path, &rule.service));
    output::text(&lines.collect::<String>())
}

fn changed(is_changed: bool, settings: &Settings) -> anyhow::Result<()> {
    output::line(if is_changed { "changed" } else { "it is so already" })?;
    match settings.reconnect() {
        Err(error) if settings.is_stale() => {
            output::remark(&format!("warning: {error}; start cloudflared anew"));
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}

fn doctor(place: &Place, format: Format) -> anyhow::Result<ExitCode> {
    let paths = place.paths();
    let guests = Registry::load(&paths.registry())?.guests;
    let gateway = GatewaySettings::load(&place.env, &paths)?;
    let door = gateway.listeners.first().map_or(0, |listener| listener.bind.port());
    let findings = examine(&paths, &place.env, &guests, door);
    if format.json {
        output::json(&findings)?;
    } else if findings.is_empty() {
        output::line("everything fits together")?;
    } else {
        let blocks =
            findings.iter().map(|finding| format!("problem: {}\nfix: {}\n", finding.problem, finding.fix));
        output::text(&blocks.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
