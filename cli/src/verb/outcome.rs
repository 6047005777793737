//! How long to wait for a run, and what its end means.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use remotelab_client::{Reply, Waited};
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

/// What a wait waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// The end of the run.
    Run,
    /// The end of the run, of the review of its reply and of what the review found missing.
    #[default]
    Settled,
}

/// A run as it was seen last, and what it said.
pub(crate) struct Outcome {
    pub(crate) run: Run,
    /// Empty when it said nothing to a person.
    pub(crate) reply: String,
    /// The run whose words the reply is; none while more may come.
    pub(crate) settled_run: Option<RunId>,
    pub(crate) timed_out: bool,
}

impl Outcome {
    /// Waits for a run and reads its reply.
    pub(crate) async fn of(
        caller: &Caller,
        run: &RunId,
        until: Until,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let run = match caller.instance.wait_for_run(run, deadline).await? {
            Waited::Done(run) => run,
            Waited::TimedOut(Some(run)) => {
                return Ok(Self { run, reply: String::new(), settled_run: None, timed_out: true });
            }
            Waited::TimedOut(None) => {
                return Err(Failure::new(Kind::StillRunning, format!("Timed out waiting for run {run}")));
            }
        };
        let (reply, timed_out) = match until {
            Until::Run => (caller.patiently(async || caller.instance.reply(&run).await).await?, false),
            Until::Settled => match caller.instance.settled_reply(&run, deadline).await? {
                Waited::Done(reply) => (reply, false),
                Waited::TimedOut(reply) => (reply.unwrap_or_default(), true),
            },
        };
        let Reply { text, settled_run_id, .. } = reply;
        Ok(Self { run, reply: text.unwrap_or_default(), settled_run: settled_run_id, timed_out })
    }

    /// Why the verb does not succeed; `None` when it does.
    pub(crate) fn failure(&self, what: &str) -> Option<Failure> {
        let kind = match self.run.state {
            _ if self.timed_out => {
                let what = if self.run.state.is_terminal() { "the review of run" } else { "run" };
                let message = format!("Timed out waiting for {what} {}; it goes on", self.run.id);
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
