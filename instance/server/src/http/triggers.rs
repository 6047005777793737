//! Triggers: list, make, read, change, delete.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use remotelab_protocol::SessionId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Refusal};
use super::query::Query;
use super::{body, run_scope};
use crate::app::{Shared, blocking};
use crate::auth::caller::Caller;
use crate::sessions;
use crate::triggers::{self, Edit, Wanted};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListQuery {
    session_id: String,
}

/// `GET /api/triggers`.
pub(super) async fn list(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ListQuery>,
) -> Response {
    let session = Some(query.session_id.trim()).filter(|id| !id.is_empty());
    let mut triggers = app.triggers.list(session);
    // A run sees those of its own sessions.
    triggers.retain(|trigger| run_scope::check(&app, &caller, &trigger.session_id).is_ok());
    answer::json(StatusCode::OK, json!({ "triggers": triggers }))
}

/// `POST /api/triggers`. The same `requestId` makes one trigger.
pub(super) async fn create(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Refusal> {
    let fields = fields(body).await?;
    let trigger = blocking(move || {
        let wanted = wanted(&app, fields)?;
        run_scope::check(&app, &caller, &wanted.session_id)?;
        Ok::<_, Refusal>(app.triggers.create(wanted, Timestamp::now())?)
    });
    let trigger = trigger.await?;
    Ok(answer::json(StatusCode::CREATED, json!({"trigger": trigger})))
}

/// `GET /api/triggers/:id`.
pub(super) async fn get(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    if !triggers::is_id(&id) {
        return Ok(answer::not_found().await);
    }
    Ok(answer::json(StatusCode::OK, json!({"trigger": app.triggers.get(&id)?})))
}

/// `PATCH /api/triggers/:id`.
pub(super) async fn patch(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    if !triggers::is_id(&id) {
        return Ok(answer::not_found().await);
    }
    let fields = fields(body).await?;
    app.triggers.get(&id)?;
    let trigger = blocking(move || {
        let edit = edit(&app, &fields)?;
        if let Some(session) = &edit.session_id {
            run_scope::check(&app, &caller, session)?;
        }
        Ok::<_, Refusal>(app.triggers.edit(&id, edit, Timestamp::now())?)
    });
    let trigger = trigger.await?;
    Ok(answer::json(StatusCode::OK, json!({"trigger": trigger})))
}

/// `DELETE /api/triggers/:id`.
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    if !triggers::is_id(&id) {
        return Ok(answer::not_found().await);
    }
    let trigger = blocking(move || app.triggers.delete(&id)).await?;
    Ok(answer::json(StatusCode::OK, json!({"ok": true, "trigger": trigger})))
}

impl From<triggers::Error> for Refusal {
    fn from(error: triggers::Error) -> Self {
        match error {
            triggers::Error::NotFound => Self::not_found(&error.to_string()),
            triggers::Error::TooMany => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            triggers::Error::Fixed(_) => Self::bad_request(error.to_string()),
            triggers::Error::Store(error) => {
                tracing::error!(%error, "cannot store a trigger");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the trigger cannot be stored at the moment")
            }
        }
    }
}

async fn fields(body: Body) -> Result<Map<String, Value>, Refusal> {
    body::json(body, body::CONTROL, "Invalid request body").await
}

fn wanted(app: &Shared, fields: Map<String, Value>) -> Result<Wanted, Refusal> {
    let edit = edit(app, &fields)?;
    let missing = |what: &str| Refusal::bad_request(format!("{what} is required"));
    Ok(Wanted {
        session_id: edit.session_id.ok_or_else(|| missing("sessionId"))?,
        scheduled_at: edit.scheduled_at.ok_or_else(not_a_time)?,
        text: edit.text.ok_or_else(|| missing("text"))?,
        title: edit.title.unwrap_or_default(),
        tool: edit.tool.unwrap_or_default(),
        model: edit.model.unwrap_or_default(),
        effort: edit.effort.unwrap_or_default(),
        thinking: edit.thinking.unwrap_or_default(),
        enabled: edit.enabled.unwrap_or(true),
        request_id: text(&fields, "requestId").filter(|id| !id.is_empty()),
    })
}

/// Reads the fields that are there and checks them against what the instance has. Blocks.
fn edit(app: &Shared, fields: &Map<String, Value>) -> Result<Edit, Refusal> {
    let session_id = required(fields, "sessionId")?;
    if let Some(id) = &session_id {
        check_session(app, id)?;
    }
    let scheduled_at = match fields.get("scheduledAt") {
        None => None,
        Some(value) => Some(value.as_str().and_then(time).ok_or_else(not_a_time)?),
    };
    let tool = text(fields, "tool");
    if let Some(tool) = tool.as_deref().filter(|tool| !tool.is_empty()) {
        app.known_tool(Some(tool), tool)?;
    }
    Ok(Edit {
        title: text(fields, "title"),
        session_id,
        scheduled_at,
        text: required(fields, "text")?,
        tool,
        model: text(fields, "model"),
        effort: text(fields, "effort"),
        thinking: flag(fields, "thinking")?,
        enabled: flag(fields, "enabled")?,
    })
}

fn check_session(app: &Shared, id: &str) -> Result<(), Refusal> {
    let id = SessionId::parse(id).ok();
    let cell = id.and_then(|id| sessions::find(app, &id));
    let cell = cell.ok_or_else(|| Refusal::bad_request("Session not found"))?;
    if cell.with(|state| state.session.archived) {
        return Err(Refusal::bad_request("Session is archived"));
    }
    Ok(())
}

/// A trimmed text; anything but a text counts as none.
fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    Some(fields.get(key)?.as_str().unwrap_or_default().trim().to_owned())
}

fn required(fields: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match text(fields, key) {
        Some(text) if text.is_empty() => Err(Refusal::bad_request(format!("{key} is required"))),
        other => Ok(other),
    }
}

fn flag(fields: &Map<String, Value>, key: &str) -> Result<Option<bool>, Refusal> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Refusal::bad_request(format!("{key} must be a boolean"))),
    }
}

fn not_a_time() -> Refusal {
    Refusal::bad_request("scheduledAt must be a valid timestamp")
}

/// Reads a time as browsers do: with an offset, without one in this machine's zone, a date alone as
/// midnight UTC.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let (civil, zone) = match text.parse::<Date>() {
        Ok(date) if text.len() <= 10 => (date.to_datetime(jiff::civil::Time::midnight()), TimeZone::UTC),
        _ => (text.parse::<DateTime>().ok()?, TimeZone::system()),
    };
    civil.to_zoned(zone).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_browsers_do() {
        let utc = |text: &str| text.parse::<Timestamp>().ok();
        assert_eq!(time("2026-11-22T08:30:19+01:00"), utc("2026-11-22T07:30:19Z"));
        assert_eq!(time(" 2026-11-22 "), utc("2026-11-22T00:00:00Z"));
        let local = "2026-11-22T07:30".parse::<DateTime>().unwrap().to_zoned(TimeZone::system()).unwrap();
        assert_eq!(time("2026-11-22T07:30"), Some(local.timestamp()));
        for wrong in ["", "soon", "2026-13-01", "12", "2026-11-22T25:00:00Z"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
