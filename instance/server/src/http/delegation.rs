//! `POST /api/sessions/:id/delegate`.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::{self, Refusal};
use super::{body, sessions as routes};
use crate::app::Shared;
use crate::auth::caller::Caller;
use crate::delegate::{self, Task};
use crate::sessions::{self, Detail};

/// The longest task, in bytes.
const TASK_BYTES: usize = 256 << 10;

/// Creates a session beside this one and starts it. The same `requestId` starts one.
pub(super) async fn delegate(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let cell = routes::find(&app, &id)?;
    let fields: Map<String, Value> =
        body::long_json(&app, &headers, body, body::TASK, "Invalid request body").await?;
    let task = Task { by_run: matches!(caller, Caller::Run(_)), ..task(&fields)? };
    let (child, accepted) = delegate::delegate(&app, &cell, task).await?;
    let answer = json!({"session": sessions::body(&child.snapshot(), Detail::Full), "run": accepted.run});
    Ok(answer::json(StatusCode::CREATED, answer))
}

fn task(fields: &Map<String, Value>) -> Result<Task, Refusal> {
    let text = |key: &str| {
        fields
            .get(key)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let tool = match fields.get("tool") {
        None | Some(Value::Null | Value::String(_)) => text("tool"),
        Some(_) => return Err(Refusal::bad_request("tool must be a string when provided")),
    };
    let internal = match fields.get("internal") {
        None => false,
        Some(Value::Bool(internal)) => *internal,
        Some(_) => {
            return Err(Refusal::bad_request("internal must be a boolean when provided"));
        }
    };
    let task = text("task").ok_or_else(|| Refusal::bad_request("task is required"))?;
    if task.len() > TASK_BYTES {
        return Err(body::too_large());
    }
    let request_id = text("requestId");
    body::check_length("requestId", request_id.as_deref())?;
    Ok(Task {
        task,
        request_id,
        name: text("name"),
        tool,
        model: text("model"),
        effort: text("effort"),
        folder: text("folder"),
        internal,
        by_run: false,
    })
}
