//! Typed HTTP client of one instance: log in, open a session, post a message, watch its run; and what
//! executors ask for while they work.
//!
//! Every call has a time limit, every answer a size limit. The owner token is read from its file each time, so
//! that a rotated token needs no restart here, and presented only to the instance whose id lies beside it. A
//! connector that works on the instance's own machine has a scoped token of its own instead, see [`KeptToken`].

mod body;
mod completions;
mod error;
mod fetch;
mod identity;
mod kept_token;
mod login;
mod media_type;
mod reply;
mod verbs;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use remotelab_protocol::tool::Tool;
use remotelab_protocol::wire::{
    CreateSession, EventsAnswer, MessageAccepted, PostMessage, RunAnswer, SessionAnswer, SessionBody,
};
use remotelab_protocol::{Event, Run};
use reqwest::{RequestBuilder, Response, multipart, redirect};

use login::{Credential, Login};

pub use completions::{Carried, Completion, Completions, MailTarget};
pub use error::Error;
pub use fetch::Fetched;
pub use kept_token::KeptToken;
pub use media_type::media_type;
pub use reply::Reply;
pub use reqwest::Method;
pub use verbs::{AssistantMessage, Delegate, Delegated, DelegatedSession, LocalFile, NewTrigger};
pub use wait::{Found, Waited, while_away};

/// Finding the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One call, from first byte sent to last byte read.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A message with files.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(180);

/// Ordinary answers (bytes).
const ANSWER_MAX: usize = 4 * 1024 * 1024;

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
    credential: Credential,
    /// The run that calls.
    run: Option<String>,
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
            .user_agent(concat!("remotelab/", env!("CARGO_PKG_VERSION")))
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
            credential: Credential::Owner,
            run: None,
        })
    }

    /// Tells the instance which run calls.
    #[must_use]
    pub fn for_run(self, run: Option<&str>) -> Self {
        Self { run: run.map(str::to_owned), ..self }
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

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let call = self.http.request(method, format!("{}{path}", self.base));
        match &self.run {
            Some(run) => call.header("x-remotelab-run", run),
            None => call,
        }
    }
}

async fn send(step: &'static str, call: RequestBuilder) -> Result<Response, Error> {
    // The address may hold the token.
    call.send().await.map_err(|source| Error::Unreachable { step, source: source.without_url() })
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
    let objects =
        [("sourceContext", &message.source_context), ("completionTargets", &message.completion_targets)];
    for (name, value) in objects {
        if let Some(value) = value {
            form = form.text(name, value.to_string());
        }
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
