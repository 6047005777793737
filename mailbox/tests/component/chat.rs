//! A chat server that speaks the external message protocol and lets the test end its runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{FromRequest, Multipart, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use remotelab_config::api_tokens::TokenFile;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running stand-in. Its state outlives [`Chat::stop`] and comes back with [`Chat::start`].
pub(crate) struct Chat {
    pub(crate) port: u16,
    pub(crate) state: Arc<Mutex<Book>>,
    server: Option<JoinHandle<()>>,
}

/// What the stand-in remembers.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) token: String,
    /// The folder with its scoped tokens; an older chat server knows none.
    pub(crate) tokens: Option<PathBuf>,
    /// How often the owner token was used.
    pub(crate) owner_logins: usize,
    /// Ends every run at once with this text.
    pub(crate) answer_at_once: Option<String>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) runs: BTreeMap<String, Run>,
    /// Requests that came without a valid cookie or with a wrong token.
    pub(crate) intruders: usize,
    /// Answers every call with this status.
    pub(crate) broken: Option<u16>,
    /// Reviews the reply of every run that ends.
    pub(crate) reviews: bool,
    /// Knows no replies and no runs of requests, as an older version.
    pub(crate) is_old: bool,
    /// How often a whole history was read.
    pub(crate) histories_read: usize,
    /// Answers for targets that wait, and what was said became of them.
    pub(crate) completions: Vec<Value>,
    pub(crate) reports: Vec<(String, Value)>,
    pub(crate) asked_for_completions: usize,
    /// Never answers a message that says this.
    pub(crate) hangs_at: Option<String>,
    ids: u64,
}

#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) body: Value,
    pub(crate) events: Vec<Value>,
    pub(crate) queue: Vec<Value>,
    pub(crate) posts: Vec<Post>,
}

/// One message as it was posted.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) message: Value,
    pub(crate) files: Vec<(String, String, Vec<u8>)>,
}

#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) session: String,
    pub(crate) request: String,
    pub(crate) state: &'static str,
    /// The requests that it answers.
    pub(crate) requests: Vec<String>,
    /// Whether more may come after its end.
    pub(crate) reviewed: bool,
    pub(crate) continued_by: Option<String>,
    pub(crate) files: Vec<String>,
}

/// What a file of a run holds.
pub(crate) fn content(name: &str) -> Vec<u8> {
    match name {
        "huge.bin" => vec![7; 11 << 20],
        name => [b"\xff\0\r\n.\r\n", name.as_bytes()].concat(),
    }
}

type Shared = Arc<Mutex<Book>>;

impl Chat {
    pub(crate) async fn new(token: &str) -> Self {
        let state = Arc::new(Mutex::new(Book { token: token.to_owned(), ..Book::default() }));
        let mut chat = Self { port: 0, state, server: None };
        chat.start().await;
        chat
    }

    /// Listens, on the same port as before if there was one.
    pub(crate) async fn start(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let app = router(Arc::clone(&self.state));
        self.server = Some(tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        }));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.state.lock().unwrap())
    }

    /// All posted messages in order.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.read(|book| book.sessions.iter().flat_map(|session| session.posts.clone()).collect())
    }

    pub(crate) fn running(&self) -> Vec<String> {
        self.read(|book| {
            book.runs.iter().filter(|(_, run)| run.state == "running").map(|(id, _)| id.clone()).collect()
        })
    }

    /// Ends a run; messages that waited for it start one run together.
    pub(crate) fn finish(&self, run: &str, state: &'static str, text: &str) {
        self.state.lock().unwrap().finish(run, state, text);
    }
}

impl Book {
    fn id(&mut self, digits: usize) -> String {
        self.ids += 1;
        format!("{:0digits$x}", self.ids)
    }

    fn session(&mut self, id: &str) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// Starts a run that goes on with another's reply.
    pub(crate) fn continue_run(&mut self, id: &str) -> String {
        let next = format!("run_{}", self.id(24));
        let run = self.runs.get_mut(id).expect("known run");
        run.continued_by = Some(next.clone());
        let run = Run { state: "running", requests: Vec::new(), continued_by: None, ..run.clone() };
        self.runs.insert(next.clone(), run);
        next
    }

    fn start_run(&mut self, session: &str, request: &str, context: &Value, text: &str) -> String {
        let id = format!("run_{}", self.id(24));
        let event = json!({"type": "message", "role": "user", "content": text, "requestId": request,
            "runId": id, "sourceContext": context});
        self.append(session, event);
        let together = context["queuedMessages"].as_array().into_iter().flatten();
        let ids = together.chain([context]).filter_map(|one| one["requestId"].as_str());
        let run = Run {
            session: session.to_owned(),
            request: request.to_owned(),
            state: "running",
            requests: ids.map(str::to_owned).collect(),
            reviewed: self.reviews,
            continued_by: None,
            files: Vec::new(),
        };
        self.runs.insert(id.clone(), run);
        if let Some(answer) = self.answer_at_once.clone() {
            self.finish(&id, "completed", &answer);
        }
        id
    }

    fn append(&mut self, session: &str, mut event: Value) {
        let session = self.session(session).expect("known session");
        event["seq"] = json!(session.events.len() + 1);
        event["id"] = json!(format!("evt_{:06}", session.events.len()));
        event["timestamp"] = json!(1);
        session.events.push(event);
    }

    fn finish(&mut self, id: &str, state: &'static str, text: &str) {
        let run = self.runs.get_mut(id).expect("known run");
        run.state = state;
        let (session, request) = (run.session.clone(), run.request.clone());
        if !text.is_empty() {
            let event = json!({"type": "message", "role": "assistant", "content": text,
                "requestId": request, "runId": id});
            self.append(&session, event);
        }
        let queue = std::mem::take(&mut self.session(&session).expect("known session").queue);
        if queue.is_empty() {
            return;
        }
        let context = match queue.as_slice() {
            [only] => only["sourceContext"].clone(),
            many => json!({"queuedMessages": many.iter().map(|message| {
                json!({"requestId": message["requestId"], "sourceContext": message["sourceContext"]})
            }).collect::<Vec<_>>()}),
        };
        let texts: Vec<_> = queue.iter().filter_map(|message| message["text"].as_str()).collect();
        let request = format!("queued_batch_{}", self.id(12));
        self.start_run(&session, &request, &context, &texts.join("\n\n"));
    }

    fn run_json(&self, id: &str) -> Value {
        let run = &self.runs[id];
        json!({"id": id, "sessionId": run.session, "requestId": run.request, "state": run.state,
            "tool": "codex", "createdAt": "2026-11-22T07:26:39.203Z", "updatedAt": "2026-11-22T07:26:39.203Z"})
    }

    fn post(&mut self, session_id: &str, post: Post) -> (StatusCode, Value) {
        let request = post.message["requestId"].as_str().unwrap_or_default().to_owned();
        let is_busy = self.runs.values().any(|run| run.session == session_id && run.state == "running");
        let existing = self.runs.iter().find(|(_, run)| run.session == session_id && run.request == request);
        let existing = existing.map(|(id, _)| id.clone());
        let Some(session) = self.session(session_id) else {
            return (StatusCode::BAD_REQUEST, json!({"error": "Session not found"}));
        };
        let answer = |duplicate: bool, queued: bool, run: Value| json!({"requestId": request, "duplicate": duplicate, "queued": queued, "run": run, "session": {}});
        if let Some(id) = existing {
            return (StatusCode::OK, answer(true, false, self.run_json(&id)));
        }
        if session.posts.iter().any(|known| known.message["requestId"] == post.message["requestId"]) {
            return (StatusCode::OK, answer(true, true, Value::Null));
        }
        session.posts.push(post.clone());
        if is_busy {
            session.queue.push(post.message);
            return (StatusCode::ACCEPTED, answer(false, true, Value::Null));
        }
        let text = post.message["text"].as_str().unwrap_or_default();
        let id = self.start_run(session_id, &request, &post.message["sourceContext"], text);
        (StatusCode::ACCEPTED, answer(false, false, self.run_json(&id)))
    }
}

fn router(state: Shared) -> Router {
    Router::new()
        .route("/", get(log_in))
        .route("/api/tools", get(tools))
        .route("/api/sessions", post(create))
        .route("/api/sessions/{id}/messages", post(message))
        .route("/api/sessions/{id}/events", get(events))
        .route("/api/sessions/{id}/runs", get(runs))
        .route("/api/media/{name}", get(media))
        .route("/api/completions", get(completions))
        .route("/api/completions/{id}", post(report))
        .route("/api/runs/{id}", get(run))
        .route("/api/runs/{id}/reply", get(reply))
        .with_state(state)
}

async fn log_in(State(state): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut book = state.lock().unwrap();
    if query.get("token") == Some(&book.token) {
        book.owner_logins += 1;
        let cookie = format!("session_token=cookie-{}; HttpOnly; Path=/", book.token);
        return (StatusCode::FOUND, [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)])
            .into_response();
    }
    book.intruders += 1;
    (StatusCode::FOUND, [(header::LOCATION, "/login")]).into_response()
}

fn guard(book: &mut Book, headers: &HeaderMap) -> Option<Response> {
    if let Some(status) = book.broken {
        let status = StatusCode::from_u16(status).unwrap();
        return Some((status, axum::Json(json!({"error": "broken"}))).into_response());
    }
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if let (Some(folder), Some(bearer)) = (&book.tokens, bearer) {
        let known = TokenFile::in_folder(folder).load().unwrap();
        if known.find(bearer, jiff::Timestamp::now()).is_some() {
            return None;
        }
        book.intruders += 1;
    }
    let expected = format!("session_token=cookie-{}", book.token);
    let presented = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if presented.as_deref() == Some(expected.as_str()) {
        return None;
    }
    book.intruders += usize::from(presented.is_some());
    Some((StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "Not authenticated"}))).into_response())
}

async fn tools(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let refused = guard(&mut state.lock().unwrap(), &headers);
    refused.unwrap_or_else(|| {
        axum::Json(json!({"tools": [
            {"id": "codex", "name": "Codex", "command": "codex", "builtin": true, "available": false},
            {"id": "claude", "name": "Claude", "command": "claude", "builtin": true, "available": true},
        ]}))
        .into_response()
    })
}

async fn create(State(state): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let trigger = &body["externalTriggerId"];
    let known = book.sessions.iter().find(|s| s.body["externalTriggerId"] == *trigger);
    let id = match known.map(|session| session.id.clone()) {
        Some(id) => id,
        None => {
            let id = book.id(32);
            let (events, queue, posts) = (Vec::new(), Vec::new(), Vec::new());
            book.sessions.push(Session { id: id.clone(), body: body.clone(), events, queue, posts });
            id
        }
    };
    let activity = json!({
        "run": {"state": "idle", "phase": null, "startedAt": null, "runId": null, "cancelRequested": false},
        "queue": {"state": "idle", "count": 0}, "rename": {"state": "idle", "error": null},
        "compact": {"state": "idle"}});
    let answer = json!({"session": {"id": id, "tool": body["tool"], "activity": activity}});
    (StatusCode::CREATED, axum::Json(answer)).into_response()
}

async fn message(State(state): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    if let Some(refused) = guard(&mut state.lock().unwrap(), request.headers()) {
        return refused;
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let post = if kind.starts_with("multipart/") {
        read_form(Multipart::from_request(request, &()).await.unwrap()).await
    } else {
        let body = axum::body::to_bytes(request.into_body(), 1 << 28).await.unwrap();
        Post { message: serde_json::from_slice(&body).unwrap(), files: Vec::new() }
    };
    let hangs = {
        let book = state.lock().unwrap();
        let text = post.message["text"].as_str().unwrap_or_default();
        book.hangs_at.as_ref().is_some_and(|word| text.contains(word))
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    let (status, answer) = state.lock().unwrap().post(&id, post);
    (status, axum::Json(answer)).into_response()
}

async fn read_form(mut form: Multipart) -> Post {
    let mut message = json!({});
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap_or_default().to_owned();
        if let Some(file_name) = field.file_name().map(str::to_owned) {
            let kind = field.content_type().unwrap_or_default().to_owned();
            files.push((file_name, kind, field.bytes().await.unwrap().to_vec()));
        } else if name == "sourceContext" {
            message[&name] = serde_json::from_str(&field.text().await.unwrap()).unwrap();
        } else {
            message[&name] = json!(field.text().await.unwrap());
        }
    }
    Post { message, files }
}

async fn events(State(state): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    book.histories_read += 1;
    match book.session(&id) {
        Some(session) => {
            axum::Json(json!({"sessionId": id, "filter": "all", "events": session.events})).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn run(State(state): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    if !book.runs.contains_key(&id) {
        return (StatusCode::NOT_FOUND, axum::Json(json!({"error": "Run not found"}))).into_response();
    }
    axum::Json(json!({"run": book.run_json(&id)})).into_response()
}

async fn runs(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    if book.is_old {
        return axum::Json(json!({"runs": []})).into_response();
    }
    let wanted = &query["requestId"];
    let is_it = |run: &(&String, &Run)| run.1.session == id && run.1.requests.contains(wanted);
    let runs: Vec<Value> = book.runs.iter().filter(is_it).map(|(id, _)| book.run_json(id)).collect();
    axum::Json(json!({"requestId": wanted, "runs": runs})).into_response()
}

async fn media(State(state): State<Shared>, headers: HeaderMap, Path(name): Path<String>) -> Response {
    let refused = guard(&mut state.lock().unwrap(), &headers);
    match name.as_str() {
        "gone.txt" => StatusCode::NOT_FOUND.into_response(),
        name => refused.unwrap_or_else(|| content(name).into_response()),
    }
}

async fn reply(State(state): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    let Some(run) = book.runs.get(&id).filter(|_| !book.is_old).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let session = book.session(&run.session).expect("known session");
    let events: Vec<remotelab_protocol::Event> =
        session.events.iter().map(|event| serde_json::from_value(event.clone()).unwrap()).collect();
    let text = remotelab_protocol::reply::choose(&events, remotelab_protocol::reply::Of::Run(&id));
    let files: Vec<Value> = run
        .files
        .iter()
        .map(|name| {
            json!({"originalName": name, "filename": name,
            "mimeType": "application/octet-stream"})
        })
        .collect();
    let last = run.continued_by.clone().unwrap_or_else(|| id.clone());
    let settled = [&id, &last].into_iter().all(|id| {
        let run = &book.runs[id];
        run.state != "running" && !run.reviewed
    });
    axum::Json(json!({"runId": id, "state": run.state, "reply": text, "attachments": files,
        "requestIds": run.requests, "settledRunId": settled.then_some(last)}))
    .into_response()
}

async fn completions(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    book.asked_for_completions += 1;
    axum::Json(json!({"completions": book.completions, "hasMore": false, "nextCursor": null})).into_response()
}

async fn report(
    State(state): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    axum::Json(said): axum::Json<Value>,
) -> Response {
    let mut book = state.lock().unwrap();
    if let Some(refused) = guard(&mut book, &headers) {
        return refused;
    }
    let Some(place) = book.completions.iter().position(|completion| completion["id"] == id.as_str()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if said["state"] == "sending" {
        book.completions[place]["taken"] = true.into();
    } else {
        book.completions.remove(place);
    }
    book.reports.push((id.clone(), said.clone()));
    axum::Json(json!({"id": id, "completion": said})).into_response()
}
