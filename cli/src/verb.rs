//! What the verbs have in common that executors, connectors and scripts call: where the instance is, who
//! calls, how results and failures are told.

mod access;
pub(crate) mod duration;
mod failure;
pub(crate) mod outcome;
pub(crate) mod words;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use remotelab_client::{Error, Instance, while_away};
use remotelab_config::Env;
use remotelab_config::chat::OWNER_PORT;

use crate::place::Place;
use crate::runtime;
use access::Access;

pub(crate) use failure::{Failure, Kind, redacted};

/// How long a call that is safe to repeat is repeated while the instance is being restarted.
const RESTART: Duration = Duration::from_secs(5);
/// How long one call may take, where the environment does not say otherwise.
const CALL: Duration = Duration::from_secs(30);

/// What all files of a message may hold that are sent along, in bytes. The rest of the 256 MiB is for the text.
pub(crate) const FILES_MAX: u64 = 255 << 20;

/// What every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// The address of the chat server; by default that of the run or, outside of runs, this machine's
    /// `CHAT_PORT`.
    #[arg(long, global = true, display_order = 900, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    base_url: Option<String>,
    #[command(flatten)]
    access: Access,
    /// Print one JSON document; failures are one line of JSON on standard error.
    #[arg(long, global = true, display_order = 901)]
    pub(crate) json: bool,
}

/// The instance that a verb talks to, and the run that it was called in.
pub(crate) struct Caller {
    pub(crate) instance: Instance,
    session: Option<String>,
    pub(crate) run: Option<String>,
}

/// Carries out a verb, tells how it failed, and leaves no login behind.
pub(crate) fn run(
    common: &Common,
    verb: impl AsyncFnOnce(&Caller) -> Result<ExitCode, Failure>,
) -> anyhow::Result<ExitCode> {
    runtime::enable_tls();
    let place = Place::find()?;
    runtime::block_on(async {
        let outcome = match Caller::new(common, &place) {
            Ok(caller) => {
                let outcome = verb(&caller).await.map_err(|failure| failure.at(caller.instance.base_url()));
                caller.instance.log_out().await;
                outcome
            }
            Err(failure) => Err(failure),
        };
        Ok(outcome.unwrap_or_else(|failure| failure.report(common.json)))
    })
}

impl Caller {
    fn new(common: &Common, place: &Place) -> Result<Self, Failure> {
        let env = &place.env;
        let chosen = common.access.chosen(place)?;
        let of_chosen = chosen.as_ref().and_then(|chosen| Some(format!("http://127.0.0.1:{}", chosen.port?)));
        let base = common.base_url.clone().or(of_chosen).unwrap_or_else(|| base_url(env));
        let limit = match env.get("REMOTELAB_HTTP_TIMEOUT") {
            Some(text) => duration::parse(text)
                .map_err(|error| Failure::usage(format!("REMOTELAB_HTTP_TIMEOUT: {error}")))?,
            None => CALL,
        };
        let run = env.get("REMOTELAB_RUN_ID").map(str::to_owned);
        // Of the instance that the environment means, and of no other.
        let socket = env.get("REMOTELAB_SOCKET").filter(|_| common.base_url.is_none() && chosen.is_none());
        let instance = common.access.sign_in(place, chosen.as_ref(), |folder| {
            let instance = Instance::with_timeout(&base, folder, limit)?.for_run(run.as_deref());
            Ok(match socket {
                Some(socket) => instance.through(Path::new(socket))?,
                None => instance,
            })
        })?;
        Ok(Self { instance, session: env.get("REMOTELAB_SESSION_ID").map(str::to_owned), run })
    }

    /// The session that was named, else that of the run; `None` for an empty name.
    pub(crate) fn session(&self, named: Option<&str>) -> Option<String> {
        let session = named.or(self.session.as_deref()).map(str::trim);
        session.filter(|id| !id.is_empty()).map(str::to_owned)
    }

    /// Repeats a call that is safe to repeat while the instance is being restarted.
    pub(crate) async fn patiently<T>(
        &self,
        call: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, Failure> {
        Ok(while_away(RESTART, call).await?)
    }
}

/// A key by which the instance knows a repeated request.
pub(crate) fn request_id(prefix: &str) -> String {
    remotelab_protocol::ids::request_id(prefix, jiff::Timestamp::now().as_millisecond())
}

/// Where a session is seen.
pub(crate) fn session_url(session: &str) -> String {
    format!("/?session={session}&tab=sessions")
}

/// Where the chat server is, when nobody says so. It is on this machine, whatever it listens on.
fn base_url(env: &Env) -> String {
    if let Some(base) = env.get("REMOTELAB_CHAT_BASE_URL") {
        return base.to_owned();
    }
    let host = match env.get("CHAT_BIND_HOST") {
        None | Some("0.0.0.0") => "127.0.0.1".to_owned(),
        Some("::") => "[::1]".to_owned(),
        Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        Some(host) => host.to_owned(),
    };
    format!("http://{host}:{}", env.port("CHAT_PORT").unwrap_or(OWNER_PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_where_the_environment_says() {
        for (pairs, expected) in [
            (vec![], "http://127.0.0.1:7690"),
            (vec![("CHAT_PORT", "7700")], "http://127.0.0.1:7700"),
            (vec![("CHAT_BIND_HOST", "::")], "http://[::1]:7690"),
            (vec![("CHAT_BIND_HOST", "0.0.0.0")], "http://127.0.0.1:7690"),
            (vec![("CHAT_BIND_HOST", "fd00::1")], "http://[fd00::1]:7690"),
            (
                vec![("REMOTELAB_CHAT_BASE_URL", "http://h:1/trial1"), ("CHAT_PORT", "7700")],
                "http://h:1/trial1",
            ),
        ] {
            assert_eq!(base_url(&pairs.into_iter().collect()), expected);
        }
    }
}
