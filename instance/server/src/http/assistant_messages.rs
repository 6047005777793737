//! `POST /api/sessions/:id/assistant-messages`.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::event::Body as Whole;
use remotelab_protocol::{Event, SessionId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::{body, form};
use crate::app::Shared;
use crate::assistant_message::{self, Said};
use crate::attachments::{self, Sender};
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
    let given: Given = body::long_json(&app, &headers, body, body::MESSAGE, "Invalid request body").await?;
    for (field, value) in
        [("requestId", &given.request_id), ("runId", &given.run_id), ("source", &given.source)]
    {
        body::check_length(field, value.as_deref())?;
    }
    if cell.with(|state| state.session.archived) {
        return Err(assistant_message::Error::Archived.into());
    }
    let mut said = Said {
        text: given.text.unwrap_or_default().trim().to_owned(),
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
