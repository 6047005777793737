//! `POST /api/sessions/:id/assistant-messages`.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_config::InstancePaths;
use remotelab_protocol::event::Body as Whole;
use remotelab_protocol::{Attachment, Event, SessionId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::body;
use crate::app::{Shared, blocking};
use crate::assistant_message::{self, Said, publish};
use crate::attachments;
use crate::sessions::{self, Detail};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Given {
    text: Option<String>,
    request_id: Option<String>,
    run_id: Option<String>,
    source: Option<String>,
    attachments: Option<Value>,
    images: Option<Value>,
}

/// Appends an assistant message. The same `requestId` appends one.
pub(super) async fn post(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    // An unknown session is 400 here, as it is for messages.
    let unknown = || Refusal::bad_request("Session not found");
    let id = SessionId::parse(&id).map_err(|_| unknown())?;
    let cell = sessions::find(&app, &id).ok_or_else(unknown)?;
    body::check_announced(&headers, body::MESSAGE)?;
    let _turn = app.large_bodies.acquire().await;
    let given: Given = body::json(body, body::MESSAGE, "Invalid request body").await?;
    if cell.with(|state| state.session.archived) {
        return Err(assistant_message::Error::Archived.into());
    }
    let list = given.attachments.filter(Value::is_array).or(given.images);
    let worker = Arc::clone(&app);
    let attachments = blocking(move || taken(&worker.settings.paths, list)).await?;
    let said = Said {
        text: given.text.unwrap_or_default().trim().to_owned(),
        request_id: trimmed(given.request_id),
        run_id: trimmed(given.run_id),
        source: trimmed(given.source).unwrap_or_else(|| "assistant_message_api".to_owned()),
        attachments,
    };
    if said.text.is_empty() && said.attachments.is_empty() {
        return Err(Refusal::bad_request("text or attachments are required"));
    }
    let event = assistant_message::append(&app, &cell, said).await?;
    let whole = Whole { body_available: Some(true), body_loaded: Some(true), ..Whole::default() };
    let answer = json!({
        "event": Event { body: whole, ..event },
        "session": sessions::body(&cell.snapshot(), Detail::Full),
    });
    Ok(answer::json(StatusCode::CREATED, answer))
}

/// Takes the files of a message: those of this host by their path, others as for any message.
fn taken(paths: &InstancePaths, list: Option<Value>) -> Result<Vec<Attachment>, Refusal> {
    let Some(Value::Array(entries)) = list else { return Ok(Vec::new()) };
    let mut taken = Vec::new();
    for entry in entries {
        let Some(path) = entry.get("localPath").and_then(Value::as_str) else {
            let more = attachments::from_json(paths, Some(Value::Array(vec![entry])));
            taken.append(&mut more.map_err(|error| refusal(&error))?);
            continue;
        };
        let file = publish::publish(paths, FilePath::new(path))?;
        let as_file = entry.get("renderAs").and_then(Value::as_str).filter(|kind| *kind == "file");
        taken.push(Attachment { render_as: as_file.map(str::to_owned), ..file });
    }
    Ok(taken)
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn refusal(error: &attachments::Error) -> Refusal {
    match error {
        attachments::Error::Store(cause) => cannot_store(cause),
        other => Refusal::bad_request(other.to_string()),
    }
}

fn cannot_store(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "cannot store an attachment");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the attachment cannot be stored at the moment")
}

impl From<publish::Error> for Refusal {
    fn from(error: publish::Error) -> Self {
        match &error {
            publish::Error::Store(..) => cannot_store(&error),
            publish::Error::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            publish::Error::NoFile(_) => Self::bad_request(error.to_string()),
        }
    }
}

impl From<assistant_message::Error> for Refusal {
    fn from(error: assistant_message::Error) -> Self {
        match error {
            assistant_message::Error::Storage(refused) => refused.into(),
            assistant_message::Error::Archived => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}
