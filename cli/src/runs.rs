//! `remotelab run`

use std::process::ExitCode;

use remotelab_protocol::RunId;
use serde_json::json;

use crate::output;
use crate::verb::outcome::{self, Outcome, Patience, Until};
use crate::verb::{self, Common, Failure};

/// Look after a run that was started before.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// One command about runs.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Wait(Wait),
}

/// Wait for the end of a run and print its reply.
///
/// The exit code tells how it ended: 0 completed, 5 not yet, 6 failed, 7 cancelled.
#[derive(Debug, clap::Args)]
struct Wait {
    /// The run, `run_…`.
    #[arg(value_name = "RUN-ID", value_parser = run_id)]
    run: RunId,
    /// Wait until its reply is reviewed and repaired as well, or only for the end of the run.
    #[arg(long, value_enum, default_value = "settled")]
    wait: Until,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let as_json = arguments.common.json;
    let Command::Wait(wait) = &arguments.command;
    verb::run(&arguments.common, async |caller| {
        let deadline = wait.patience.deadline();
        let outcome = Outcome::of(caller, &wait.run, wait.wait, &wait.patience, deadline).await?;
        if as_json {
            let session = outcome.run.session_id.as_str();
            let mut told = json!({
                "runId": outcome.run.id, "sessionId": session, "sessionUrl": verb::session_url(session),
                "state": outcome.state(), "reply": outcome.reply,
            });
            if let Some(run) = &outcome.settled_run {
                told["settledRunId"] = run.as_str().into();
            }
            if outcome.timed_out {
                told["timedOut"] = true.into();
            }
            output::json(&told)?;
        } else if !outcome.timed_out {
            output::line(&outcome.reply)?;
        }
        Ok::<_, Failure>(outcome::finish(outcome.failure("The run"), as_json))
    })
}

fn run_id(text: &str) -> Result<RunId, String> {
    RunId::parse(text).map_err(|_| "it is no run id, which is run_ and 24 hex digits".to_owned())
}
