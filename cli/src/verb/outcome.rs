//! How long to wait for a run, and what its end means.

use std::convert::Infallible;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use remotelab_client::{Reply, Waited};
use remotelab_protocol::{Run, RunId, RunState};

use super::{Caller, Failure, Kind, duration};
use crate::output;
use crate::shutdown::Shutdown;

/// How long to wait.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Patience {
    /// How long to wait, like `90s` or `1h30m`; ten minutes by default.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "timeout_ms")]
    timeout: Option<Duration>,
    /// The same in milliseconds.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=31_622_400_000))]
    timeout_ms: Option<u64>,
    /// Cancel what is not done when the time is up.
    #[arg(long)]
    cancel_on_timeout: bool,
    /// Cancel the run that is waited for when this command is interrupted (SIGINT, SIGTERM).
    #[arg(long)]
    cancel_on_interrupt: bool,
    /// Say on standard error how the run is, now and then, also where that is no terminal.
    #[arg(long)]
    progress: bool,
}

/// How often it is said how a run is.
const PROGRESS: Duration = Duration::from_secs(10);

impl Patience {
    pub(crate) fn deadline(&self) -> Instant {
        let given = self.timeout.or(self.timeout_ms.map(Duration::from_millis));
        Instant::now() + given.unwrap_or(Duration::from_secs(600))
    }

    /// Says how a run is, now and then, for as long as it is waited for.
    async fn tell(&self, caller: &Caller, run: &RunId) -> Infallible {
        let began = Instant::now();
        if !self.progress {
            tokio::time::sleep(PROGRESS).await;
        }
        loop {
            // Whoever waits for it tells what is wrong.
            if (self.progress || stderr().is_terminal())
                && let Ok(run) = caller.instance.run(run.as_str()).await
            {
                let seconds = began.elapsed().as_secs();
                output::remark(&format!("{} is {}, {seconds} s", run.id, run.state.as_str()));
            }
            tokio::time::sleep(PROGRESS).await;
        }
    }

    /// Waits for the wish to end, where it means more than that.
    async fn interrupted(&self) {
        let Ok(shutdown) = Shutdown::listen_for_signals() else { return std::future::pending().await };
        shutdown.wanted().await;
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
        patience: &Patience,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let outcome = tokio::select! {
            outcome = Self::watched(caller, run, until, deadline) => outcome?,
            () = patience.interrupted(), if patience.cancel_on_interrupt => {
                caller.instance.cancel_run(run.as_str()).await?;
                let message = format!("Interrupted; run {run} is being cancelled");
                return Err(Failure::new(Kind::Interrupted, message));
            }
            never = patience.tell(caller, run) => match never {},
        };
        if outcome.timed_out && patience.cancel_on_timeout && !outcome.run.state.is_terminal() {
            caller.instance.cancel_run(run.as_str()).await?;
        }
        Ok(outcome)
    }

    async fn watched(caller: &Caller, run: &RunId, until: Until, deadline: Instant) -> Result<Self, Failure> {
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
