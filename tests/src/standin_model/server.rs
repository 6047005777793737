//! The HTTP surface: four model APIs and the test's own controls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use super::gates::Gates;
use super::question::{Api, Question};
use super::record::{Record, Request};
use super::reply::Reply;
use super::script::Script;
use super::{chat, gemini, messages, responses, stream};

/// A prompt may be long, but not endless.
const LONGEST_BODY: usize = 32 << 20;

/// Everything the stand-in remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    gates: Arc<Gates>,
}

#[derive(Debug, Default)]
struct Inner {
    script: Script,
    refusals: BTreeMap<(usize, usize), u32>,
    record: Record,
}

/// The routes, as a table of contents.
pub(super) fn routes(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/responses", post(answer_responses))
        .route("/v1/messages", post(answer_messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route("/v1/chat/completions", post(answer_chat))
        .route("/v1beta/models/{call}", post(answer_gemini))
        .route("/v1/models", get(models))
        .route("/script", put(put_script))
        .route("/requests", get(get_requests))
        .route("/gates/{name}/release", post(release))
        // The executors report home now and then; anything well-formed satisfies them.
        .fallback(|| async { Json(json!({})) })
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(state)
}

impl State {
    pub(super) fn set_script(&self, script: Script) {
        let mut inner = self.lock();
        inner.script = script;
        inner.refusals.clear();
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.lock().record.all()
    }

    pub(super) fn gates(&self) -> &Arc<Gates> {
        &self.gates
    }

    /// Records the request and decides its answer.
    fn reply(&self, api: Api, body: &Bytes) -> serde_json::Result<(Value, Reply)> {
        self.reply_as(api, body, None)
    }

    /// As [`reply`](Self::reply), for an API that does not name the model in the body.
    fn reply_as(&self, api: Api, body: &Bytes, model: Option<&str>) -> serde_json::Result<(Value, Reply)> {
        let mut value: Value = serde_json::from_slice(body)?;
        if let (Some(model), Value::Object(fields)) = (model, &mut value) {
            fields.insert("model".into(), model.into());
        }
        let question = Question::read(api, &value);
        let mut inner = self.lock();
        let reply = Reply::choose(&inner.script, &question, |rule, step| {
            inner.refusals.get(&(rule, step)).copied().unwrap_or(0)
        });
        if let Reply::Refusal { rule, step, .. } = reply {
            *inner.refusals.entry((rule, step)).or_default() += 1;
        }
        inner.record.push(body.len(), Request::new(api, &question, value.clone()));
        Ok((value, reply))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer_responses(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    match state.reply(Api::Responses, &body) {
        Err(error) => bad_request(&error),
        Ok((_, Reply::Refusal { status, .. })) => refuse(status, responses::error(status)),
        Ok((_, Reply::Turn(parts))) => stream::respond(responses::frames(&parts), Arc::clone(&state.gates)),
    }
}

async fn answer_messages(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    match state.reply(Api::Messages, &body) {
        Err(error) => bad_request(&error),
        Ok((_, Reply::Refusal { status, .. })) => refuse(status, messages::error(status)),
        Ok((asked, Reply::Turn(parts))) if asked["stream"] == true => {
            stream::respond(messages::frames(&parts, &asked), Arc::clone(&state.gates))
        }
        Ok((asked, Reply::Turn(parts))) => Json(messages::whole(&parts, &asked)).into_response(),
    }
}

async fn answer_chat(Shared(state): Shared<Arc<State>>, body: Bytes) -> Response {
    match state.reply(Api::Chat, &body) {
        Err(error) => bad_request(&error),
        Ok((_, Reply::Refusal { status, .. })) => refuse(status, responses::error(status)),
        Ok((asked, Reply::Turn(parts))) => {
            stream::respond(chat::frames(&parts, &asked), Arc::clone(&state.gates))
        }
    }
}

/// `call` is `MODEL:METHOD`; only the method that streams is part of a conversation.
async fn answer_gemini(Shared(state): Shared<Arc<State>>, Path(call): Path<String>, body: Bytes) -> Response {
    let Some(model) = call.strip_suffix(":streamGenerateContent") else {
        return Json(gemini::no_opinion()).into_response();
    };
    match state.reply_as(Api::Gemini, &body, Some(model)) {
        Err(error) => bad_request(&error),
        Ok((_, Reply::Refusal { status, .. })) => refuse(status, gemini::error(status)),
        Ok((asked, Reply::Turn(parts))) => {
            stream::respond(gemini::frames(&parts, &asked), Arc::clone(&state.gates))
        }
    }
}

async fn count_tokens() -> Json<Value> {
    Json(json!({"input_tokens": 100}))
}

async fn models() -> Json<Value> {
    Json(json!({"object": "list", "data": [], "models": []}))
}

async fn put_script(Shared(state): Shared<Arc<State>>, Json(script): Json<Script>) -> StatusCode {
    state.set_script(script);
    StatusCode::NO_CONTENT
}

async fn get_requests(Shared(state): Shared<Arc<State>>) -> Json<Vec<Request>> {
    Json(state.requests())
}

async fn release(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> StatusCode {
    state.gates.release(&name);
    StatusCode::NO_CONTENT
}

fn refuse(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}

fn bad_request(error: &serde_json::Error) -> Response {
    refuse(400, json!({"error": {"message": error.to_string()}}))
}
