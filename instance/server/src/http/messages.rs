//! `POST /api/sessions/:id/messages`, as JSON or as a form with files.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use remotelab_protocol::wire::PostMessage;
use remotelab_protocol::{Attachment, SessionId, ids};
use serde_json::{Value, json};

use super::answer::{self, Refusal};
use super::form::Form;
use super::sessions::warn_of_dropped_context;
use super::{body, form, run_scope};
use crate::app::{Shared, blocking};
use crate::attachments::{self, Sender, Upload};
use crate::auth::caller::Caller;
use crate::clock::now_ms;
use crate::completions::targets;
use crate::sessions::{self, Detail};
use crate::submit::{self, Submission};

/// `POST /api/sessions/:id/messages`.
pub(super) async fn post(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    // An unknown session is 400 on this route; connectors compare the text.
    let unknown = || Refusal::bad_request("Session not found");
    let id = SessionId::parse(&id).map_err(|_| unknown())?;
    let cell = sessions::find(&app, &id).ok_or_else(unknown)?;
    body::check_announced(&headers, body::MESSAGE)?;
    let (mut message, uploads) = read(&app, &headers, request).await?;
    check_names(&message)?;
    if message.text.trim().is_empty() {
        return Err(submit::Error::NoText.into());
    }
    let given = message.request_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let request_id = given.map_or_else(|| ids::request_id("compat", now_ms()), str::to_owned);
    let has_files = !uploads.is_empty() || message.attachments.is_some() || message.images.is_some();
    let (target, given) = (Arc::clone(&cell), request_id.clone());
    // The files of a repeated message are stored already.
    let attachments = if !has_files || blocking(move || submit::is_known(&target, &given)).await {
        Vec::new()
    } else {
        stored(&app, &id, &mut message, uploads).await?
    };
    // A run may not send what it likes to whom it likes.
    let given = message.completion_targets.as_ref().filter(|_| run_scope::is_free(&caller));
    let targets = targets::of_message(given, &request_id);
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
        targets,
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

async fn read(
    app: &Shared,
    headers: &HeaderMap,
    request: Request,
) -> Result<(PostMessage, Vec<Upload>), Refusal> {
    if form::is_one(headers) {
        let Form { message, uploads, .. } = form::read(app, request).await?;
        return Ok((message, uploads));
    }
    let message = body::long_json(app, headers, request.into_body(), body::MESSAGE, "Bad request").await?;
    Ok((message, Vec::new()))
}

fn check_names(message: &PostMessage) -> Result<(), Refusal> {
    let names = [
        ("requestId", &message.request_id),
        ("tool", &message.tool),
        ("model", &message.model),
        ("effort", &message.effort),
    ];
    names.into_iter().try_for_each(|(field, value)| body::check_length(field, value.as_deref()))
}

async fn stored(
    app: &Shared,
    session: &SessionId,
    message: &mut PostMessage,
    uploads: Vec<Upload>,
) -> Result<Vec<Attachment>, Refusal> {
    let list = message.attachments.take().filter(Value::is_array).or_else(|| message.images.take());
    let stored = async {
        let mut stored = attachments::take(app, session, list, Sender::User).await?;
        for upload in uploads {
            stored.push(attachments::store(app, session, upload).await?);
        }
        Ok::<_, attachments::Error>(stored)
    };
    // Whatever is wrong with a file is 400 on this route; connectors compare the text.
    stored.await.map_err(|error| form::refusal_of(error, StatusCode::BAD_REQUEST))
}
