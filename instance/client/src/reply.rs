//! What a run said to a person.

use std::time::{Duration, Instant};

use remotelab_protocol::{Attachment, Run, RunId, reply};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::wait::{HELD_BACK, patiently};
use crate::{Error, Instance, Waited};

/// A reply, which can be as long as a message (bytes).
const REPLY_MAX: usize = 48 << 20;

/// The reply of a run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reply {
    /// `None` when nothing was said to a person.
    #[serde(rename = "reply")]
    pub text: Option<String>,
    /// The files that it offers.
    pub attachments: Vec<Attachment>,
    /// The requests that it answers; empty where an instance of an older version does not tell.
    pub request_ids: Vec<String>,
    /// The run whose words stand, once nothing more comes: the run itself, or the one that went on with what a
    /// review found missing.
    pub settled_run_id: Option<RunId>,
}

impl Instance {
    /// Reads the reply of a run that has ended, as it is now.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn reply(&self, run: &Run) -> Result<Reply, Error> {
        match self.ask(run, "", Duration::ZERO).await {
            Err(error) if is_unknown(&error) => self.reply_in_events(run).await,
            answer => answer,
        }
    }

    /// Reads the reply of a run that has ended once it was reviewed and repaired, at most until `deadline`.
    ///
    /// # Errors
    /// Any [`Error`] that waiting does not help against.
    pub async fn settled_reply(&self, run: &Run, deadline: Instant) -> Result<Waited<Reply>, Error> {
        let mut last = None;
        let settled = patiently(deadline, async || {
            let wait = deadline.saturating_duration_since(Instant::now()).min(HELD_BACK);
            let query = format!("?settled=1&wait={}", wait.as_secs());
            let reply = match self.ask(run, &query, wait).await {
                Err(error) if is_unknown(&error) => return self.reply_in_events(run).await.map(Some),
                answer => answer?,
            };
            last = Some(reply.clone());
            Ok(Some(reply).filter(|reply| reply.settled_run_id.is_some()))
        });
        Ok(settled.await?.map_or_else(|| Waited::TimedOut(last.take()), Waited::Done))
    }

    async fn ask(&self, run: &Run, query: &str, held_back: Duration) -> Result<Reply, Error> {
        let path = format!("/api/runs/{}/reply{query}", run.id);
        let build = || Ok(self.call(Method::GET, &path).timeout(self.timeout + held_back));
        self.answer("read the reply", build, REPLY_MAX).await
    }

    /// As an instance of an older version has to be asked.
    async fn reply_in_events(&self, run: &Run) -> Result<Reply, Error> {
        let events = self.events(run.session_id.as_str()).await?;
        let text = reply::choose(&events, reply::Of::Run(run.id.as_str()));
        Ok(Reply { text, settled_run_id: Some(run.id.clone()), ..Reply::default() })
    }
}

/// Tells whether an instance knows no such route.
fn is_unknown(error: &Error) -> bool {
    matches!(error.status(), Some(StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST))
}
