//! How long to wait for a run, and what its end means.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use remotelab_client::Waited;
use remotelab_protocol::{Run, RunId, RunState};

use super::{Caller, Failure, Kind, duration};

/// How long to wait.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Patience {
    /// How long to wait, like `90s` or `1h30m`; ten minutes by default.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "timeout_ms")]
    timeout: Option<Duration>,
    /// The same in milliseconds.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=31_622_400_000))]
    timeout_ms: Option<u64>,
}

impl Patience {
    pub(crate) fn deadline(&self) -> Instant {
        let given = self.timeout.or(self.timeout_ms.map(Duration::from_millis));
        Instant::now() + given.unwrap_or(Duration::from_secs(600))
    }
}

/// A run as it was seen last, and what it said.
pub(crate) struct Outcome {
    pub(crate) run: Run,
    /// Empty when it said nothing to a person.
    pub(crate) reply: String,
    pub(crate) timed_out: bool,
}

impl Outcome {
    /// Waits for a run and reads its reply.
    pub(crate) async fn of(caller: &Caller, run: &RunId, deadline: Instant) -> Result<Self, Failure> {
        let (run, timed_out) = match caller.instance.wait_for_run(run, deadline).await? {
            Waited::Done(run) => (run, false),
            Waited::TimedOut(Some(run)) => (run, true),
            Waited::TimedOut(None) => {
                return Err(Failure::new(Kind::StillRunning, format!("Timed out waiting for run {run}")));
            }
        };
        let reply = if timed_out {
            None
        } else {
            caller.patiently(async || caller.instance.reply(&run).await).await?
        };
        Ok(Self { run, reply: reply.unwrap_or_default(), timed_out })
    }

    /// Why the verb does not succeed; `None` when it does.
    pub(crate) fn failure(&self, what: &str) -> Option<Failure> {
        let kind = match self.run.state {
            _ if self.timed_out => {
                let message = format!("Timed out waiting for run {}; it goes on", self.run.id);
                return Some(Failure::new(Kind::StillRunning, message));
            }
            RunState::Failed => Kind::RunFailed,
            RunState::Cancelled => Kind::RunCancelled,
            _ => return None,
        };
        let reason = self.run.failure_reason.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
        let state = self.state();
        Some(Failure::new(kind, format!("{what} finished in state {state}.{reason}")))
    }

    pub(crate) fn state(&self) -> String {
        serde_json::to_value(self.run.state)
            .ok()
            .and_then(|state| state.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Ends a verb whose result has been printed.
pub(crate) fn finish(failure: Option<Failure>, as_json: bool) -> ExitCode {
    failure.map_or(ExitCode::SUCCESS, |failure| failure.report(as_json))
}
