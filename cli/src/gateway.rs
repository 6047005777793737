//! `remotelab gateway`

mod serve;
mod socket;
mod supervisor;
mod table;

use std::time::Duration;

use anyhow::{Context, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_gateway::Settings;
use remotelab_gateway::explain::{self, Asked};
use remotelab_manager::control::{Client, Error};
use serde_json::{Value, json};

use crate::failure::Hinted;
use crate::output;
use crate::place::Place;
use socket::{Answer, Socket};

/// Longer than anything but a trace takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Run the front door in the foreground, or look into the one that runs.
///
/// It routes `/<name>/` and host names to the instances of the registry. Settings come from
/// `gateway.toml` beside the registry and from the environment.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Take over from the gateway that runs: get its listening sockets, and let it end.
    #[arg(long)]
    take_over: bool,
    /// Print what the gateway answers, in JSON.
    #[arg(long, global = true, display_order = 901)]
    json: bool,
}

/// One look.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the routes in force and the records that need a look.
    Routes,
    /// Look at registry and service definitions again, and wait until that is in force.
    Reload,
    /// Tell whether it serves, and what it refused.
    Health,
    /// Print its figures as Prometheus reads them.
    Metrics,
    Explain(Explain),
    Trace(Trace),
    /// Let it finish what is in work and end.
    Drain,
    /// Start the program anew in its place, without refusing anybody.
    ///
    /// The new one gets the listening sockets and says that it is ready; then the old one finishes what it has. If the
    /// new one does not start, nothing changes. Under another service manager than `remotelab up`, start
    /// `remotelab gateway --take-over` there.
    Upgrade,
}

/// Tell what would become of a request, without sending it.
#[derive(Debug, clap::Args)]
struct Explain {
    /// An address, `https://lab.example/trial1/`, or only its path.
    url: String,
    /// The method.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// The listener that it comes to; otherwise the first that serves the host.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A header, `Name: value`; may be given several times.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
}

/// Show requests to one tenant as they end.
#[derive(Debug, clap::Args)]
struct Trace {
    /// The name in its prefix.
    tenant: String,
    /// How long, 1 to 600.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(command) = &arguments.command else {
        return serve::run(arguments.take_over);
    };
    let place = Place::find()?;
    let socket = Socket::new(place.paths().gateway_socket());
    match command {
        Command::Routes => tell(&running(&socket, "GET", "/routes")?, arguments.json, table::routes),
        Command::Health => tell(&running(&socket, "GET", "/health")?, arguments.json, table::health),
        Command::Reload => tell(&running(&socket, "POST", "/reload")?, arguments.json, table::reload),
        Command::Drain => tell(&running(&socket, "POST", "/drain")?, arguments.json, table::drain),
        Command::Upgrade => upgrade(&place, arguments.json),
        Command::Metrics => output::text(&running(&socket, "GET", "/metrics")?.body),
        Command::Explain(asked) => explain(&place, &socket, asked, arguments.json),
        Command::Trace(trace) => {
            let path = format!("/trace?tenant={}&seconds={}", escaped(&trace.tenant), trace.seconds);
            let patience = Duration::from_secs(trace.seconds) + PATIENCE;
            let found = socket.ask_lines("GET", &path, patience, output::line)?;
            refuse(&found.ok_or_else(nobody)?)
        }
    }
}

fn upgrade(place: &Place, as_json: bool) -> anyhow::Result<()> {
    match Client::new(&place.paths().supervisor_socket()).replace("gateway") {
        Err(Error::NotRunning) => {
            Err(Hinted::new("no supervisor keeps the gateway running here", "remotelab gateway --take-over")
                .into())
        }
        Err(error) => Err(error.into()),
        Ok(()) if as_json => output::json(&json!({ "status": "replaced" })),
        Ok(()) => output::line("A new gateway has taken over."),
    }
}

fn explain(place: &Place, socket: &Socket, asked: &Explain, as_json: bool) -> anyhow::Result<()> {
    let settings = Settings::load(&place.env, &place.paths())?;
    let headers: Vec<(String, String)> = asked
        .header
        .iter()
        .map(|header| header.split_once(':').with_context(|| format!("{header:?} is no <name>: <value>")))
        .map(|header| header.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
        .collect::<Result<_, _>>()?;
    let request = Asked {
        listener: asked.listener.clone(),
        method: Some(asked.method.clone()),
        headers,
        ..Asked::url(&asked.url, &settings)
    };
    let mut path = format!("/explain?method={}", escaped(&asked.method));
    for (key, value) in [
        ("host", Some(&request.host)),
        ("target", Some(&request.target)),
        ("listener", request.listener.as_ref()),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", escaped(value)));
        }
    }
    for header in &asked.header {
        path.push_str(&format!("&header={}", escaped(header)));
    }
    let told = match socket.ask("GET", &path, PATIENCE)? {
        Some(answer) => {
            refuse(&answer)?;
            answer.json()?
        }
        None => {
            output::remark("no gateway runs: explained by the files");
            explain::offline(&settings, &request)?
        }
    };
    if as_json { output::json(&told) } else { output::text(&table::explained(&told)) }
}

fn running(socket: &Socket, method: &str, path: &str) -> anyhow::Result<Answer> {
    let answer = socket.ask(method, path, PATIENCE)?.ok_or_else(nobody)?;
    refuse(&answer)?;
    Ok(answer)
}

fn nobody() -> anyhow::Error {
    Hinted::new("no gateway runs here", "remotelab up").into()
}

fn refuse(answer: &Answer) -> anyhow::Result<()> {
    if answer.status == 200 {
        return Ok(());
    }
    let told = answer.json().unwrap_or_else(|_| json!({}));
    let reason = told["error"].as_str().unwrap_or("it did not say why").to_owned();
    bail!("the gateway answers {}: {reason}", answer.status)
}

fn tell(answer: &Answer, as_json: bool, words: fn(&Value) -> String) -> anyhow::Result<()> {
    let told = answer.json()?;
    if as_json { output::json(&told) } else { output::text(&words(&told)) }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
