//! What an executor, a connector or a script asks of an instance beside messages. Answers are handed on
//! as they are, with fields that this version does not know.

use std::path::Path;

use remotelab_protocol::wire::RunAnswer;
use remotelab_protocol::{Run, SessionId};
use reqwest::{Method, StatusCode, multipart};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ANSWER_MAX, EVENTS_MAX, Error, Instance, UPLOAD_TIMEOUT, body, media_type};

/// Body of `POST /api/sessions/:id/assistant-messages`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssistantMessage {
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The run whose words these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Who says it.
    pub source: String,
    /// Idempotency key within the session.
    pub request_id: String,
    /// Files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<LocalFile>,
}

/// A file on the instance's own host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalFile {
    /// Its absolute path.
    pub local_path: String,
    /// The name it is shown by; that of the file otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
    /// Its media type, where it does not follow from what is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// `file` shows it as a file even if it is a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub render_as: Option<String>,
}

/// Body of `POST /api/triggers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewTrigger {
    /// The session that gets the message.
    pub session_id: String,
    /// ISO time.
    pub scheduled_at: String,
    /// The message.
    pub text: String,
    /// The trigger's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Executor, model and effort of the run; the session's own otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// See `tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// See `tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Whether the executor thinks at length.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub thinking: bool,
    /// Idempotency key.
    pub request_id: String,
}

/// Body of `POST /api/sessions/:id/delegate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delegate {
    /// What to do.
    pub task: String,
    /// Idempotency key within the parent.
    pub request_id: String,
    /// The child session's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its executor; the parent's otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The model; the parent's otherwise, if the executor is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The effort; see `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Where it works; where the parent does otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Whether it is hidden from people.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}

/// A session that was started, and its run.
#[derive(Clone, Debug, Deserialize)]
pub struct Delegated {
    /// The session.
    pub session: DelegatedSession,
    /// Its run; none while it waits.
    pub run: Option<Run>,
}

/// The session that was started.
#[derive(Clone, Debug, Deserialize)]
pub struct DelegatedSession {
    /// The session.
    pub id: SessionId,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

impl Instance {
    /// Sends any request to the API. An answer that is not JSON becomes `{"text": …}`.
    ///
    /// # Errors
    /// Any [`Error`]; every status but 2xx is one.
    pub async fn request(&self, method: Method, path: &str, content: Option<&Value>) -> Result<Value, Error> {
        const STEP: &str = "ask the instance";
        let build = || {
            let call = self.call(method.clone(), path).header(reqwest::header::ACCEPT, "application/json");
            Ok(match content {
                Some(content) => call.json(content),
                None => call,
            })
        };
        let response = self.send_signed_in(STEP, build).await?;
        let status = response.status();
        let bytes = body::read(STEP, response, EVENTS_MAX).await?;
        if !status.is_success() {
            return Err(refused(STEP, status, &bytes));
        }
        Ok(serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!({"text": String::from_utf8_lossy(&bytes)})))
    }

    /// Puts a message into a session as the assistant's; `{event, session}`. The instance opens the files itself.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn say(&self, session: &str, message: &AssistantMessage) -> Result<Value, Error> {
        let path = format!("/api/sessions/{session}/assistant-messages");
        // The instance copies the files before it answers.
        let build = || Ok(self.call(Method::POST, &path).timeout(UPLOAD_TIMEOUT).json(message));
        self.answer("post the message", build, ANSWER_MAX).await
    }

    /// As [`Instance::say`], for an instance that cannot open the files: their bytes go along.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn say_with_bytes(&self, session: &str, message: &AssistantMessage) -> Result<Value, Error> {
        let path = format!("/api/sessions/{session}/assistant-messages");
        let build = || {
            let call = self.call(Method::POST, &path).timeout(UPLOAD_TIMEOUT);
            Ok(call.multipart(form(message)?))
        };
        self.answer("post the message", build, ANSWER_MAX).await
    }

    /// Makes a trigger; `{trigger}`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn create_trigger(&self, trigger: &NewTrigger) -> Result<Value, Error> {
        let build = || Ok(self.call(Method::POST, "/api/triggers").json(trigger));
        self.answer("create the trigger", build, ANSWER_MAX).await
    }

    /// Starts a session beside another one. Doing so again with the same `requestId` is safe.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn delegate(&self, source: &str, task: &Delegate) -> Result<Delegated, Error> {
        let path = format!("/api/sessions/{source}/delegate");
        let build = || Ok(self.call(Method::POST, &path).json(task));
        self.answer("start the session", build, ANSWER_MAX).await
    }

    /// Cancels a run and returns it as it is then.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn cancel_run(&self, run: &str) -> Result<Run, Error> {
        let path = format!("/api/runs/{run}/cancel");
        let build = || Ok(self.call(Method::POST, &path));
        let answer: RunAnswer = self.answer("cancel the run", build, ANSWER_MAX).await?;
        Ok(answer.run)
    }
}

fn form(message: &AssistantMessage) -> Result<multipart::Form, Error> {
    let mut form = multipart::Form::new()
        .text("source", message.source.clone())
        .text("requestId", message.request_id.clone());
    let as_file = message.attachments.iter().find_map(|file| file.render_as.clone());
    for (name, value) in [("text", &message.text), ("runId", &message.run_id), ("renderAs", &as_file)] {
        if let Some(value) = value {
            form = form.text(name, value.clone());
        }
    }
    for file in &message.attachments {
        form = form.part("attachments", part(file)?);
    }
    Ok(form)
}

/// A file as it is read while it is sent.
fn part(file: &LocalFile) -> Result<multipart::Part, Error> {
    let wrong = |error: std::io::Error| Error::Setup(format!("{}: {error}", file.local_path));
    let opened = std::fs::File::open(&file.local_path).map_err(wrong)?;
    let length = opened.metadata().map_err(wrong)?.len();
    let own_name =
        || Path::new(&file.local_path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let body = reqwest::Body::from(tokio::fs::File::from_std(opened));
    let part = multipart::Part::stream_with_length(body, length);
    let name = file.original_name.clone().unwrap_or_else(own_name);
    let kind = file.mime_type.as_deref().unwrap_or_else(|| media_type(&name));
    let typed = part.mime_str(kind).map_err(|_| Error::Setup(format!("\"{kind}\" is no media type")))?;
    Ok(typed.file_name(name))
}

fn refused(step: &'static str, status: StatusCode, bytes: &[u8]) -> Error {
    Error::Refused { step, status, message: body::error_text(bytes) }
}
