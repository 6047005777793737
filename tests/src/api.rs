//! The HTTP surface as a connector uses it: log in, open a session, post, watch the run, read.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::wait::within;

/// How long a run may take. Real executors are slow to start where others need the processor too.
const RUN_PATIENCE: Duration = Duration::from_secs(90);

/// Somebody logged in at one instance.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    cookie: String,
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// 202 when accepted, 200 when it was there already.
    pub status: u16,
    /// The run that works on it; none while it is queued.
    pub run: Option<String>,
    /// Whether the same `requestId` came before.
    pub duplicate: bool,
    /// Whether it waits for the run before it.
    pub queued: bool,
}

impl Client {
    /// Logs in with `?token=`; `base` has no slash at the end, but may have a path.
    pub async fn login(base: &str, token: &str) -> anyhow::Result<Self> {
        let url = format!("{base}/?token={token}");
        let answer = http::send(http::client().get(url)).await?;
        ensure!(
            answer.status == StatusCode::FOUND,
            "login at {base} was answered {}: {}",
            answer.status,
            answer.text
        );
        let cookie = answer.header("set-cookie").context("login set no cookie")?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { base: base.to_owned(), cookie })
    }

    /// Nobody: requests without a cookie.
    pub fn anonymous(base: &str) -> Self {
        Self { base: base.to_owned(), cookie: String::new() }
    }

    /// The `name=value` of the login cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Any request; `path` begins with a slash and is put behind the base.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request =
            http::client().request(method, format!("{}{path}", self.base)).header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(body);
        }
        http::send(request).await.with_context(|| format!("ask {}{path}", self.base))
    }

    /// GET, which must succeed, as JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.send(Method::GET, path, None).await?;
        ensure!(answer.status.is_success(), "GET {path} was answered {}: {}", answer.status, answer.text);
        answer.json()
    }

    /// POST, which must succeed, as JSON.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        ensure!(answer.status.is_success(), "POST {path} was answered {}: {}", answer.status, answer.text);
        answer.json()
    }

    /// Opens a session with `tool` in the home folder; returns its id.
    pub async fn open_session(&self, tool: &str) -> anyhow::Result<String> {
        self.open_session_with(json!({"folder": "~", "tool": tool})).await
    }

    /// Opens a session with these fields; returns its id.
    pub async fn open_session_with(&self, fields: Value) -> anyhow::Result<String> {
        let answer = self.post("/api/sessions", &fields).await?;
        text(&answer["session"]["id"], "the session's id")
    }

    /// Posts a message.
    pub async fn say(&self, session: &str, request_id: &str, words: &str) -> anyhow::Result<Posted> {
        self.say_with(session, &json!({"requestId": request_id, "text": words})).await
    }

    /// Posts a message with these fields.
    pub async fn say_with(&self, session: &str, fields: &Value) -> anyhow::Result<Posted> {
        let path = format!("/api/sessions/{session}/messages");
        let answer = self.send(Method::POST, &path, Some(fields)).await?;
        if !answer.status.is_success() {
            bail!("the message was answered {}: {}", answer.status, answer.text);
        }
        let body = answer.json()?;
        Ok(Posted {
            status: answer.status.as_u16(),
            run: body["run"]["id"].as_str().map(str::to_owned),
            duplicate: body["duplicate"] == true,
            queued: body["queued"] == true,
        })
    }

    /// The run object.
    pub async fn run(&self, run: &str) -> anyhow::Result<Value> {
        let mut answer = self.get(&format!("/api/runs/{run}")).await?;
        Ok(answer["run"].take())
    }

    /// Waits for the end of a run; returns it.
    pub async fn finished(&self, run: &str) -> anyhow::Result<Value> {
        within(RUN_PATIENCE, format!("the end of {run}"), async || {
            let run = self.run(run).await?;
            let state = run["state"].as_str().unwrap_or_default();
            Ok(matches!(state, "completed" | "failed" | "cancelled").then_some(run))
        })
        .await
    }

    /// All stored events of a session.
    pub async fn events(&self, session: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.get(&format!("/api/sessions/{session}/events?filter=all")).await?;
        let events = answer["events"].as_array().context("no list of events")?;
        Ok(events.clone())
    }

    /// The last assistant message of a run.
    pub async fn reply(&self, session: &str, run: &str) -> anyhow::Result<String> {
        let events = self.events(session).await?;
        let reply = events.iter().rev().find(|event| {
            event["type"] == "message" && event["role"] == "assistant" && event["runId"] == run
        });
        let reply = reply.with_context(|| format!("no reply of {run} in {events:#?}"))?;
        text(&reply["content"], "the reply's content")
    }

    /// Posts a message, waits for the run and returns its reply; anything but success is an error.
    pub async fn ask(&self, session: &str, words: &str) -> anyhow::Result<String> {
        let request_id = format!("ask-{:016x}", rand::random::<u64>());
        let posted = self.say(session, &request_id, words).await?;
        let run = posted.run.context("the message was queued")?;
        let finished = self.finished(&run).await?;
        ensure!(finished["state"] == "completed", "the run ended as {finished:#}");
        self.reply(session, &run).await
    }
}

fn text(value: &Value, what: &str) -> anyhow::Result<String> {
    let text = value.as_str().with_context(|| format!("{what} is {value}"))?;
    Ok(text.to_owned())
}
