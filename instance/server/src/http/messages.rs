//! `POST /api/sessions/:id/messages`, as JSON or as a form with files.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Path, Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::wire::PostMessage;
use remotelab_protocol::{Attachment, SessionId, ids};
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::body;
use super::sessions::warn_of_dropped_context;
use crate::app::{Shared, blocking};
use crate::attachments::{self, Upload};
use crate::clock::now_ms;
use crate::sessions::{self, Detail};
use crate::submit::{self, Submission};

/// `POST /api/sessions/:id/messages`.
pub(super) async fn post(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    // An unknown session is 400 on this route; connectors compare the text.
    let unknown = || Refusal::bad_request("Session not found");
    let id = SessionId::parse(&id).map_err(|_| unknown())?;
    let cell = sessions::find(&app, &id).ok_or_else(unknown)?;
    body::check_announced(&headers, body::MESSAGE)?;
    // A body can take hundreds of megabytes for a moment; few of them at a time.
    let _turn = app.large_bodies.acquire().await;
    let (mut message, uploads) = read(&headers, request).await?;
    if message.text.trim().is_empty() {
        return Err(submit::Error::NoText.into());
    }
    let given = message.request_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let request_id = given.map_or_else(|| ids::request_id("compat", now_ms()), str::to_owned);
    // The files of a repeated message are stored already.
    let (target, id) = (Arc::clone(&cell), request_id.clone());
    let attachments = if blocking(move || submit::is_known(&target, &id)).await {
        Vec::new()
    } else {
        stored(&app, &mut message, uploads).await?
    };
    let (source_context, dropped) = sessions::source_context(message.source_context.as_ref());
    let submission = Submission {
        request_id: request_id.clone(),
        text: message.text,
        tool: message.tool,
        model: message.model,
        effort: message.effort,
        thinking: message.thinking == Some(Value::Bool(true)),
        attachments,
        source_context,
    };
    let accepted = submit::submit(&app, &cell, submission).await?;
    let status = if accepted.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut answer = json!({
        "requestId": request_id,
        "duplicate": accepted.duplicate,
        "queued": accepted.queued,
        "run": accepted.run,
        "session": sessions::body(&cell.snapshot(), Detail::Full),
    });
    warn_of_dropped_context(&mut answer, dropped);
    Ok(answer::json(status, answer))
}

async fn read(headers: &HeaderMap, request: Request) -> Result<(PostMessage, Vec<Upload>), Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("multipart/form-data") {
        read_form(request).await
    } else {
        let message = body::json(request.into_body(), body::MESSAGE, "Bad request").await?;
        Ok((message, Vec::new()))
    }
}

async fn read_form(request: Request) -> Result<(PostMessage, Vec<Upload>), Refusal> {
    let (parts, body) = request.into_parts();
    let limited = Body::new(http_body_util::Limited::new(body, body::MESSAGE));
    let mut form = Multipart::from_request(Request::from_parts(parts, limited), &())
        .await
        .map_err(|_| Refusal::bad_request("Bad request"))?;
    let (mut message, mut uploads) = (PostMessage::default(), Vec::new());
    while let Some(field) = form.next_field().await.map_err(refusal)? {
        let name = field.name().unwrap_or_default().to_owned();
        if matches!(name.as_str(), "attachments" | "images") && field.file_name().is_some() {
            uploads.push(upload(field).await?);
        } else {
            let text = field.text().await.map_err(refusal)?;
            set(&mut message, &name, text);
        }
    }
    Ok((message, uploads))
}

async fn upload(field: Field<'_>) -> Result<Upload, Refusal> {
    let name = field.file_name().map(str::to_owned);
    let mime_type = field.content_type().map(str::to_owned);
    let bytes = field.bytes().await.map_err(refusal)?.into();
    Ok(Upload { name, mime_type, bytes })
}

/// Takes a text part of a form. Malformed JSON in one is ignored, as connectors expect.
fn set(message: &mut PostMessage, name: &str, text: String) {
    match name {
        "requestId" => message.request_id = Some(text),
        "text" => message.text = text,
        "tool" => message.tool = Some(text),
        "model" => message.model = Some(text),
        "effort" => message.effort = Some(text),
        "thinking" => message.thinking = Some(Value::Bool(text == "true")),
        "sourceContext" => message.source_context = serde_json::from_str(&text).ok(),
        "existingAttachments" | "existingImages" | "externalAttachments" | "externalAssets" => {
            if let Ok(Value::Array(mut more)) = serde_json::from_str(&text) {
                match &mut message.attachments {
                    Some(Value::Array(list)) => list.append(&mut more),
                    other => *other = Some(Value::Array(more)),
                }
            }
        }
        _ => {}
    }
}

async fn stored(
    app: &Shared,
    message: &mut PostMessage,
    uploads: Vec<Upload>,
) -> Result<Vec<Attachment>, Refusal> {
    let list = message.attachments.take().filter(Value::is_array).or_else(|| message.images.take());
    if list.is_none() && uploads.is_empty() {
        return Ok(Vec::new());
    }
    let app = Arc::clone(app);
    let taken = blocking(move || {
        let paths = &app.settings.paths;
        let mut taken = attachments::from_json(paths, list)?;
        for upload in uploads {
            taken.push(attachments::store(paths, upload)?);
        }
        Ok::<_, attachments::Error>(taken)
    });
    taken.await.map_err(|error| match error {
        attachments::Error::Store(error) => {
            tracing::error!(%error, "cannot store an attachment");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the attachment cannot be stored at the moment")
        }
        other => Refusal::bad_request(other.to_string()),
    })
}

fn refusal(error: MultipartError) -> Refusal {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        body::too_large()
    } else {
        Refusal::bad_request("Bad request")
    }
}
