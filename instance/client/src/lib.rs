//! Typed HTTP client of one instance: log in, open a session, post a message, watch its run; and what
//! executors ask for while they work.
//!
//! Every call has a time limit, every answer a size limit. The owner token is read from its file at
//! each login, so that a rotated token needs no restart here. A connector that works on the instance's own
//! machine has a scoped token of its own instead, see [`KeptToken`].

mod body;
mod error;
mod kept_token;
mod verbs;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use remotelab_config::auth::Auth;
use remotelab_config::secret::Secret;
use remotelab_protocol::tool::Tool;
use remotelab_protocol::wire::{
    CreateSession, EventsAnswer, MessageAccepted, PostMessage, RunAnswer, SessionAnswer, SessionBody,
};
use remotelab_protocol::{Attachment, Event, Run, RunId, reply};
use reqwest::{RequestBuilder, Response, StatusCode, header, multipart, redirect};
use serde::Deserialize;

pub use error::Error;
pub use kept_token::KeptToken;
pub use reqwest::Method;
pub use verbs::{AssistantMessage, Delegate, Delegated, DelegatedSession, LocalFile, NewTrigger};
pub use wait::{Waited, while_away};

/// Finding the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One call, from first byte sent to last byte read.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Ending a login.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);

/// A message with files.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(180);

/// How long a token that was refused is not presented again.
const REFUSED_TOKEN_REST: Duration = Duration::from_secs(300);

/// Ordinary answers (bytes).
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// A reply: one text, which an executor wrote (bytes).
const REPLY_MAX: usize = 16 * 1024 * 1024;

/// The whole history of a session (bytes).
const EVENTS_MAX: usize = 64 * 1024 * 1024;

/// One instance, reached over HTTP as its owner or as a connector.
#[derive(Debug)]
pub struct Instance {
    base: String,
    auth_file: PathBuf,
    http: reqwest::Client,
    /// How long an ordinary call may take.
    timeout: Duration,
    login: Mutex<Login>,
    token: Option<KeptToken>,
}

/// What is known about logging in.
#[derive(Debug, Default)]
struct Login {
    /// `name=value`, once logged in.
    cookie: Option<String>,
    /// The token that was refused last, and when.
    refused: Option<(Secret, Instant)>,
    /// The scoped token that worked last.
    bearer: Option<String>,
    /// When the instance turned out to know no scoped tokens.
    knows_no_tokens: Option<Instant>,
}

impl Login {
    /// Failed logins lock this machine's other clients out too, so a refused token rests.
    fn was_refused(&self, token: &Secret) -> bool {
        let refused = self.refused.as_ref();
        refused.is_some_and(|(known, at)| known == token && at.elapsed() < REFUSED_TOKEN_REST)
    }
}

/// What a run said to a person.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReply {
    /// The text; `None` when it said nothing, or nothing yet.
    #[serde(default)]
    pub reply: Option<String>,
    /// The files that it offers.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// The requests that it answers.
    #[serde(default)]
    pub request_ids: Vec<String>,
    /// Whether that is all. An older instance does not tell; then it is.
    #[serde(default = "yes")]
    pub settled: bool,
    /// The run that went on with what was missing.
    #[serde(default)]
    pub continued_by: Option<RunId>,
}

/// The run of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// It answers the request.
    Run(RunId),
    /// The request waits.
    NotYet,
    /// An older instance does not tell.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunsAnswer {
    #[serde(default)]
    request_id: Option<String>,
    runs: Vec<Run>,
}

fn yes() -> bool {
    true
}

/// A file to send with a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub mime_type: String,
    /// Its content.
    pub bytes: Bytes,
}

impl Instance {
    /// Prepares a client; nothing is sent yet. `base_url` is like `http://127.0.0.1:7690`, with or
    /// without a path prefix; `auth_file` is the instance's `auth.json`.
    ///
    /// # Errors
    /// [`Error::Setup`] when the address is no HTTP address or TLS cannot be set up.
    pub fn new(base_url: &str, auth_file: &Path) -> Result<Self, Error> {
        Self::with_timeout(base_url, auth_file, CALL_TIMEOUT)
    }

    /// Prepares a client as [`Instance::new`] does, whose ordinary calls take at most `timeout`.
    ///
    /// # Errors
    /// As [`Instance::new`].
    pub fn with_timeout(base_url: &str, auth_file: &Path, timeout: Duration) -> Result<Self, Error> {
        // Fails only when another part of the process installed one first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = reqwest::Url::parse(base_url).ok().filter(|url| url.has_host());
        // The address itself is not repeated: people put tokens into addresses.
        let base = base.filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| Error::Setup("the base address is no HTTP address".to_owned()))?;
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .no_proxy()
            .build()
            .map_err(|error| Error::Setup(error.to_string()))?;
        Ok(Self {
            base: base.as_str().trim_end_matches('/').to_owned(),
            auth_file: auth_file.to_owned(),
            http,
            timeout,
            login: Mutex::default(),
            token: None,
        })
    }

    /// Signs in with a scoped token from now on. The owner token is left alone but for an instance of an
    /// older version, which knows no others.
    #[must_use]
    pub fn with_token(self, token: KeptToken) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Returns the address this client talks to.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Returns the token file this client logs in with.
    #[must_use]
    pub fn auth_file(&self) -> &Path {
        &self.auth_file
    }

    /// Creates a session, or returns the one with the same `externalTriggerId`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn create_session(&self, session: &CreateSession) -> Result<SessionBody, Error> {
        let build = || Ok(self.call(Method::POST, "/api/sessions").json(session));
        let answer: SessionAnswer = self.answer("create the session", build, ANSWER_MAX).await?;
        Ok(answer.session)
    }

    /// Reads a session.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn session(&self, id: &str) -> Result<SessionBody, Error> {
        let path = format!("/api/sessions/{id}");
        let build = || Ok(self.call(Method::GET, &path));
        let answer: SessionAnswer = self.answer("read the session", build, ANSWER_MAX).await?;
        Ok(answer.session)
    }

    /// Posts a message, as a form when there are files. Posting the same `requestId` again is safe.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn post_message(
        &self,
        session_id: &str,
        message: &PostMessage,
        files: &[Upload],
    ) -> Result<MessageAccepted, Error> {
        let path = format!("/api/sessions/{session_id}/messages");
        let build = || {
            let call = self.call(Method::POST, &path);
            if files.is_empty() {
                return Ok(call.json(message));
            }
            Ok(call.timeout(UPLOAD_TIMEOUT).multipart(form(message, files)?))
        };
        self.answer("post the message", build, ANSWER_MAX).await
    }

    /// Reads a run.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn run(&self, id: &str) -> Result<Run, Error> {
        let path = format!("/api/runs/{id}");
        let build = || Ok(self.call(Method::GET, &path));
        let answer: RunAnswer = self.answer("read the run", build, ANSWER_MAX).await?;
        Ok(answer.run)
    }

    /// Reads a run; an instance that can do so holds its answer back until the run has ended, at most for
    /// `wait`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn run_ended(&self, id: &str, wait: Duration) -> Result<Run, Error> {
        let path = format!("/api/runs/{id}?wait={}", wait.as_secs());
        let build = || Ok(self.call(Method::GET, &path).timeout(wait + self.timeout));
        let answer: RunAnswer = self.answer("read the run", build, ANSWER_MAX).await?;
        Ok(answer.run)
    }

    /// Reads all stored events of a session, long texts included.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn events(&self, session_id: &str) -> Result<Vec<Event>, Error> {
        let path = format!("/api/sessions/{session_id}/events?filter=all");
        let build = || Ok(self.call(Method::GET, &path));
        let answer: EventsAnswer = self.answer("read the events", build, EVENTS_MAX).await?;
        Ok(answer.events)
    }

    /// Reads the executors the instance knows.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn tools(&self) -> Result<Vec<Tool>, Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            tools: Vec<Tool>,
        }
        let build = || Ok(self.call(Method::GET, "/api/tools"));
        let answer: Answer = self.answer("read the tools", build, ANSWER_MAX).await?;
        Ok(answer.tools)
    }

    /// Reads the reply of a finished run; `None` when it said nothing to a person.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn reply(&self, run: &Run) -> Result<Option<String>, Error> {
        let events = self.events(run.session_id.as_str()).await?;
        Ok(reply::choose(&events, reply::Of::Run(run.id.as_str())))
    }

    /// Reads what a run said to a person and whether more may come.
    ///
    /// # Errors
    /// Any [`Error`]; status 404 also from an older instance, which does not choose replies itself.
    pub async fn run_reply(&self, id: &str) -> Result<RunReply, Error> {
        let path = format!("/api/runs/{id}/reply");
        let build = || Ok(self.call(Method::GET, &path));
        self.answer("read the reply", build, REPLY_MAX).await
    }

    /// Finds the run that answers a request, also one that was delivered together with others.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn run_of_request(&self, session_id: &str, request_id: &str) -> Result<Found, Error> {
        let path = format!("/api/sessions/{session_id}/runs");
        let build = || Ok(self.call(Method::GET, &path).query(&[("requestId", request_id), ("limit", "1")]));
        let answer: RunsAnswer = self.answer("find the run", build, ANSWER_MAX).await?;
        Ok(match answer.request_id {
            Some(_) => answer.runs.into_iter().next().map_or(Found::NotYet, |run| Found::Run(run.id)),
            None => Found::Unknown,
        })
    }

    async fn answer<T: serde::de::DeserializeOwned>(
        &self,
        step: &'static str,
        build: impl Fn() -> Result<RequestBuilder, Error>,
        limit: usize,
    ) -> Result<T, Error> {
        let response = self.send_signed_in(step, build).await?;
        let status = response.status();
        let bytes = body::read(step, response, limit).await?;
        if !status.is_success() {
            return Err(Error::Refused { step, status, message: body::error_text(&bytes) });
        }
        serde_json::from_slice(&bytes).map_err(|source| Error::Malformed { step, source })
    }

    /// Sends with the scoped token, if there is one, else with the owner's login.
    async fn send_signed_in(
        &self,
        step: &'static str,
        build: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let knows_none = self.login().knows_no_tokens;
        let Some(kept) = &self.token else { return self.send_logged_in(step, build).await };
        if knows_none.is_some_and(|at| at.elapsed() < REFUSED_TOKEN_REST) {
            return self.send_logged_in(step, build).await;
        }
        let mut refused = None;
        // The second time, what was refused is compared with what the instance knows.
        for _ in 0..2 {
            let held = self.login().bearer.clone().filter(|held| refused.as_ref() != Some(held));
            let Some(token) = (match held {
                Some(held) => Some(held),
                None => current(kept).await,
            }) else {
                break;
            };
            if refused.as_ref() == Some(&token) {
                break;
            }
            let response = send(step, build()?.bearer_auth(&token)).await?;
            if response.status() != StatusCode::UNAUTHORIZED {
                self.login().bearer = Some(token);
                return Ok(response);
            }
            self.login().bearer = None;
            refused = Some(token);
        }
        // It is in the instance's own list and still refused: an older version, which has no such list.
        self.login().knows_no_tokens = Some(Instant::now());
        self.send_logged_in(step, build).await
    }

    /// Sends with the login cookie; on 401 or 403 logs in anew and tries once more.
    async fn send_logged_in(
        &self,
        step: &'static str,
        build: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let held = self.login().cookie.clone();
        if let Some(cookie) = held {
            let response = send(step, build()?.header(header::COOKIE, cookie)).await?;
            if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(response);
            }
        }
        let cookie = self.log_in().await?;
        send(step, build()?.header(header::COOKIE, cookie)).await
    }

    async fn log_in(&self) -> Result<String, Error> {
        const STEP: &str = "log in";
        let path = self.auth_file.clone();
        let auth = tokio::task::spawn_blocking(move || Auth::load(&path))
            .await
            .map_err(|error| Error::Setup(error.to_string()))??;
        if self.login().was_refused(&auth.token) {
            return Err(Error::TokenRefused);
        }
        let call = self.http.get(format!("{}/", self.base)).query(&[("token", auth.token.reveal())]);
        let response = send(STEP, call).await?;
        let status = response.status();
        if status != StatusCode::FOUND {
            let bytes = body::read(STEP, response, ANSWER_MAX).await?;
            let message = body::error_text(&bytes);
            return Err(Error::Refused { step: STEP, status, message });
        }
        let Some(cookie) = session_cookie(&response) else {
            self.login().refused = Some((auth.token, Instant::now()));
            return Err(Error::TokenRefused);
        };
        let mut login = self.login();
        login.cookie = Some(cookie.clone());
        login.refused = None;
        drop(login);
        Ok(cookie)
    }

    /// Ends the login, so that no record of it stays behind; does nothing when there is none. A login that
    /// cannot be ended runs out by itself.
    pub async fn log_out(&self) {
        let held = self.login().cookie.take();
        if let Some(cookie) = held {
            let call = self.call(Method::POST, "/logout").timeout(LOGOUT_TIMEOUT);
            if let Err(error) = send("log out", call.header(header::COOKIE, cookie)).await {
                tracing::debug!(%error, "the login was not ended");
            }
        }
    }

    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }
}

/// Reads or makes the scoped token off the async threads; without one the owner's has to do.
async fn current(kept: &KeptToken) -> Option<String> {
    let kept = kept.clone();
    match tokio::task::spawn_blocking(move || kept.current()).await {
        Ok(Ok(token)) => Some(token),
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "there is no scoped token for this instance");
            None
        }
        Err(_) => None,
    }
}

async fn send(step: &'static str, call: RequestBuilder) -> Result<Response, Error> {
    // The address may hold the token.
    call.send().await.map_err(|source| Error::Unreachable { step, source: source.without_url() })
}

/// Returns `name=value` of the first cookie that is not being cleared.
fn session_cookie(response: &Response) -> Option<String> {
    response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next())
        .map(str::trim)
        .find(|pair| pair.split_once('=').is_some_and(|(_, value)| !value.is_empty()))
        .map(str::to_owned)
}

fn form(message: &PostMessage, files: &[Upload]) -> Result<multipart::Form, Error> {
    let mut form = multipart::Form::new().text("text", message.text.clone());
    let texts = [
        ("requestId", &message.request_id),
        ("tool", &message.tool),
        ("model", &message.model),
        ("effort", &message.effort),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            form = form.text(name, value.clone());
        }
    }
    if message.thinking == Some(true.into()) {
        form = form.text("thinking", "true");
    }
    if let Some(context) = &message.source_context {
        form = form.text("sourceContext", context.to_string());
    }
    for file in files {
        let length = file.bytes.len() as u64;
        let part = multipart::Part::stream_with_length(file.bytes.clone(), length);
        let part = part.file_name(file.name.clone());
        let part = part
            .mime_str(&file.mime_type)
            .map_err(|_| Error::Setup(format!("\"{}\" is no media type", file.mime_type)))?;
        form = form.part("attachments", part);
    }
    Ok(form)
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.name, self.mime_type, self.bytes.len())
    }
}
