//! `POST /api/sessions/:id/assistant-messages`, as JSON or as a form with files.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::event::Body as Whole;
use remotelab_protocol::{Attachment, Event, SessionId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::body;
use super::form::{self, Form};
use crate::app::Shared;
use crate::assistant_message::{self, Said};
use crate::attachments::{self, Sender, Upload};
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
    #[serde(skip)]
    uploads: Vec<Upload>,
    /// How uploads are shown.
    #[serde(skip)]
    render_as: Option<String>,
}

/// Appends an assistant message. The same `requestId` appends one.
pub(super) async fn post(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    // An unknown session is 400 here, as it is for messages.
    let unknown = || Refusal::bad_request("Session not found");
    let id = SessionId::parse(&id).map_err(|_| unknown())?;
    let cell = sessions::find(&app, &id).ok_or_else(unknown)?;
    body::check_announced(&headers, body::MESSAGE)?;
    let given = read(&app, &headers, request).await?;
    for (field, value) in
        [("requestId", &given.request_id), ("runId", &given.run_id), ("source", &given.source)]
    {
        body::check_length(field, value.as_deref())?;
    }
    if cell.with(|state| state.session.archived) {
        return Err(assistant_message::Error::Archived.into());
    }
    let mut said = Said {
        // The beginning of a text may be the indentation of code.
        text: given.text.filter(|text| !text.trim().is_empty()).unwrap_or_default(),
        request_id: trimmed(given.request_id),
        run_id: trimmed(given.run_id),
        source: trimmed(given.source).unwrap_or_else(|| "assistant_message_api".to_owned()),
        attachments: Vec::new(),
    };
    // The files of a repeated message are there already.
    let event = match assistant_message::find(&app, &cell, said.request_id.as_deref()).await? {
        Some(known) => known,
        None => {
            let list = given.attachments.filter(Value::is_array).or(given.images);
            let taken = attachments::take(&app, &id, list, Sender::Assistant).await;
            said.attachments = taken.map_err(|error| form::refusal_of(error, StatusCode::CONFLICT))?;
            for upload in given.uploads {
                let stored = attachments::store(&app, &id, upload).await;
                let stored = stored.map_err(|error| form::refusal_of(error, StatusCode::CONFLICT))?;
                said.attachments.push(Attachment { render_as: given.render_as.clone(), ..stored });
            }
            if said.text.is_empty() && said.attachments.is_empty() {
                return Err(Refusal::bad_request("text or attachments are required"));
            }
            assistant_message::append(&app, &cell, said).await?
        }
    };
    let whole = Whole { body_available: Some(true), body_loaded: Some(true), ..Whole::default() };
    let answer = json!({
        "event": Event { body: whole, ..event },
        "session": sessions::body(&cell.snapshot(), Detail::Full),
    });
    Ok(answer::json(StatusCode::CREATED, answer))
}

async fn read(app: &Shared, headers: &HeaderMap, request: Request) -> Result<Given, Refusal> {
    if !form::is_one(headers) {
        let body = request.into_body();
        return body::long_json(app, headers, body, body::MESSAGE, "Invalid request body").await;
    }
    let Form { message, uploads, run_id, source, render_as } = form::read(app, request).await?;
    Ok(Given {
        text: Some(message.text),
        request_id: message.request_id,
        run_id,
        source,
        attachments: message.attachments,
        images: message.images,
        uploads,
        render_as: render_as.filter(|kind| kind == "file"),
    })
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl From<assistant_message::Error> for Refusal {
    fn from(error: assistant_message::Error) -> Self {
        match error {
            assistant_message::Error::Storage(refused) => refused.into(),
            assistant_message::Error::Archived => Self::new(StatusCode::CONFLICT, error.to_string()),
        }
    }
}
