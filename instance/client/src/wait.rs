//! Waiting for the end of a run, through restarts of the instance.

use std::time::{Duration, Instant};

use remotelab_protocol::{Event, Role, Run, RunId};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{ANSWER_MAX, Error, Instance};

/// The first pause between two looks, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_200);

/// How long an instance is asked to hold its answer back.
pub(crate) const HELD_BACK: Duration = Duration::from_secs(25);

/// How long an instance may be away before waiting for it is given up: runs survive its restart.
const AWAY: Duration = Duration::from_secs(60);

/// How a wait ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Waited<T> {
    /// It is there.
    Done(T),
    /// The time was up; what was seen last.
    TimedOut(Option<T>),
}

/// The run of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It answers the request.
    Run(RunId),
    /// The request waits.
    NotYet,
    /// An instance of an older version does not tell.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunsAnswer {
    request_id: Option<String>,
    #[serde(default)]
    runs: Vec<Run>,
}

impl Instance {
    /// Waits until a run has ended, at most until `deadline`.
    ///
    /// # Errors
    /// Any [`Error`] that waiting does not help against.
    pub async fn wait_for_run(&self, run: &RunId, deadline: Instant) -> Result<Waited<Run>, Error> {
        let mut last = None;
        let ended = patiently(deadline, async || {
            let left = deadline.saturating_duration_since(Instant::now());
            let run = self.run_ended(run.as_str(), left.min(HELD_BACK)).await?;
            let is_over = run.state.is_terminal();
            last = Some(run.clone());
            Ok(is_over.then_some(run))
        });
        Ok(ended.await?.map_or_else(|| Waited::TimedOut(last.take()), Waited::Done))
    }

    /// Waits until a message that was queued has been taken up by a run, and returns that run's id.
    ///
    /// # Errors
    /// Any [`Error`] that waiting does not help against.
    pub async fn wait_in_queue(
        &self,
        session: &str,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Waited<RunId>, Error> {
        let path = format!("/api/sessions/{session}");
        let taken_up = patiently(deadline, async || {
            let answer = self.request(Method::GET, &path, None).await?;
            if is_queued(&answer["session"], request_id) {
                return Ok(None);
            }
            self.run_of(session, request_id).await
        });
        Ok(taken_up.await?.map_or(Waited::TimedOut(None), Waited::Done))
    }

    /// Finds the run that a message was given to, alone or together with others.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn run_of_request(&self, session: &str, request_id: &str) -> Result<Found, Error> {
        let path = format!("/api/sessions/{session}/runs");
        let build = || Ok(self.call(Method::GET, &path).query(&[("requestId", request_id)]));
        let list: RunsAnswer = match self.answer("find the run", build, ANSWER_MAX).await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => return Ok(Found::Unknown),
            list => list?,
        };
        Ok(match list.request_id {
            Some(_) => list.runs.into_iter().next().map_or(Found::NotYet, |run| Found::Run(run.id)),
            None => Found::Unknown,
        })
    }

    async fn run_of(&self, session: &str, request_id: &str) -> Result<Option<RunId>, Error> {
        Ok(match self.run_of_request(session, request_id).await? {
            Found::Run(run) => Some(run),
            Found::NotYet => None,
            Found::Unknown => sent_as(&self.events(session).await?, request_id),
        })
    }
}

/// Repeats a call that is safe to repeat while the instance is away, at most for `budget`.
///
/// # Errors
/// The last one.
pub async fn while_away<T>(
    budget: Duration,
    mut call: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Err(error) if is_away(&error) && began.elapsed() + pause < budget => {}
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Returns the run that a message was given to, alone or together with others.
fn sent_as(events: &[Event], request_id: &str) -> Option<RunId> {
    let carries = |event: &&Event| {
        let together = event.as_message().and_then(|message| message.queued_request_ids.as_ref());
        event.is_message_of(Role::User)
            && (event.request_id.as_deref() == Some(request_id)
                || together.is_some_and(|ids| ids.iter().any(|id| id == request_id)))
    };
    let event = events.iter().rev().find(carries)?;
    RunId::parse(event.run_id.as_deref()?).ok()
}

fn is_queued(session: &Value, request_id: &str) -> bool {
    let queue = session["queuedMessages"].as_array();
    queue.is_some_and(|queue| queue.iter().any(|message| message["requestId"] == request_id))
}

/// Looks again and again until there is something; `None` when the time is up.
pub(crate) async fn patiently<T>(
    deadline: Instant,
    mut look: impl AsyncFnMut() -> Result<Option<T>, Error>,
) -> Result<Option<T>, Error> {
    let mut pause = FIRST_PAUSE;
    let mut seen = Instant::now();
    loop {
        let asked = Instant::now();
        match look().await {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => seen = Instant::now(),
            Err(error) if !is_away(&error) || seen.elapsed() > AWAY => return Err(error),
            Err(_) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // An answer that was held back was a pause.
        if asked.elapsed() < LONGEST_PAUSE {
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

/// Tells whether an error looks like an instance that is being restarted.
fn is_away(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused { status, .. } => status.is_server_error(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_protocol::event::Message;

    #[test]
    fn a_message_is_found_alone_and_among_others() {
        let run = RunId::random();
        let said = |request: &str, together: Option<Vec<String>>| Event {
            run_id: Some(run.to_string()),
            request_id: Some(request.to_owned()),
            ..Event::message(Role::User, Message { queued_request_ids: together, ..Message::default() }, 0)
        };
        let events = [said("a", None), said("queued_batch_1", Some(vec!["b".into(), "c".into()]))];
        for (request, expected) in [("a", Some(&run)), ("c", Some(&run)), ("d", None)] {
            assert_eq!(sent_as(&events, request).as_ref(), expected);
        }
    }

    #[tokio::test]
    async fn the_deadline_is_kept() {
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(patiently::<()>(deadline, async || Ok(None)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn only_an_instance_that_is_away_is_asked_again() {
        let mut asked = 0;
        let away = || Error::Refused { step: "x", status: StatusCode::BAD_GATEWAY, message: String::new() };
        let found = while_away(Duration::from_secs(60), async || {
            asked += 1;
            if asked < 2 { Err(away()) } else { Ok(asked) }
        });
        assert_eq!(found.await.unwrap(), 2);
        let refused = while_away(Duration::from_secs(60), async || Err::<(), _>(Error::TokenRefused));
        assert!(matches!(refused.await, Err(Error::TokenRefused)));
    }
}
