//! Waiting for what a trigger starts.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use remotelab_client::{Method, Waited};
use remotelab_protocol::{RunId, time};
use serde_json::{Value, json};

use super::{one, shown};
use crate::output;
use crate::verb::outcome::{self, Outcome, Patience, Until};
use crate::verb::{Caller, Failure, Kind};

/// Between two looks: it may be changed or cancelled meanwhile.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Waits for a trigger that was made, and prints it with what became of it.
pub(super) async fn wait(
    caller: &Caller,
    made: Value,
    until: Until,
    patience: &Patience,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let mut told = json!({"trigger": made["trigger"]});
    let failure = watch(caller, &mut told, until, patience).await.unwrap_or_else(Some);
    if as_json {
        output::json(&told)?;
    } else {
        let reply = told["reply"].as_str().filter(|reply| !reply.is_empty());
        let reply = reply.map(|reply| format!("\n{reply}\n")).unwrap_or_default();
        output::text(&(shown(&told["trigger"]) + &reply))?;
    }
    Ok(outcome::finish(failure, as_json))
}

async fn watch(
    caller: &Caller,
    told: &mut Value,
    until: Until,
    patience: &Patience,
) -> Result<Option<Failure>, Failure> {
    let deadline = patience.deadline() + until_due(&told["trigger"]);
    let run = match delivered(caller, told, deadline).await? {
        Waited::Done(run) => run,
        Waited::TimedOut(_) => {
            told["timedOut"] = true.into();
            return Ok(Some(Failure::new(Kind::StillRunning, "Timed out waiting; the message waits")));
        }
    };
    told["runId"] = run.as_str().into();
    let outcome = Outcome::of(caller, &run, until, patience, deadline).await?;
    told["state"] = outcome.state().into();
    told["reply"] = outcome.reply.as_str().into();
    told["settledRunId"] = json!(outcome.settled_run);
    if outcome.timed_out {
        told["timedOut"] = true.into();
    }
    Ok(outcome.failure("The run"))
}

/// Waits for the run to which the message was given.
async fn delivered(caller: &Caller, told: &mut Value, deadline: Instant) -> Result<Waited<RunId>, Failure> {
    let text = |trigger: &Value, key: &str| trigger[key].as_str().unwrap_or_default().to_owned();
    let id = text(&told["trigger"], "id");
    loop {
        told["trigger"] = one(caller, Method::GET, &id, None).await?["trigger"].take();
        let trigger = &told["trigger"];
        match trigger["status"].as_str() {
            Some("delivered") => {
                let (session, request) = (text(trigger, "sessionId"), text(trigger, "requestId"));
                return Ok(caller.instance.wait_in_queue(&session, &request, deadline).await?);
            }
            Some(status @ ("failed" | "cancelled")) => {
                let reason = text(trigger, "lastError");
                let message = format!("The trigger is {status}. {reason}").trim_end().to_owned();
                return Err(Failure::new(Kind::Refused, message));
            }
            _ => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Waited::TimedOut(None));
        }
        tokio::time::sleep(until_due(trigger).clamp(SHORTEST, LONGEST).min(left)).await;
    }
}

fn until_due(trigger: &Value) -> Duration {
    let due = trigger["scheduledAt"].as_str().and_then(time::parse_iso);
    let left = due.map(|due| due.duration_since(jiff::Timestamp::now()));
    left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
}
