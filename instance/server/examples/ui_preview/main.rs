//! Shows the page with invented sessions and a pretended API, to look at its states without executors.
//!
//! `cargo run -p remotelab-server --example ui_preview -- 7800`, then open `http://127.0.0.1:7800/`, or
//! `/trial1/` for the same below a prefix. A message with "refuse" is not accepted, one with "fail" fails.

mod sessions;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::extract::{Form, Json, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::{Timestamp, tz::TimeZone};
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Activity, Event, Role, RunState, Session, display};
use remotelab_server::web::pages::{self, ErrorKind, ErrorPage, LoginMode, LoginPage, Main, ShellPage};
use remotelab_server::web::view::{
    Composer, Running, SessionList, SessionPage, SessionRow, Steps, Timeline, ToolChoice, Viewer,
};
use remotelab_server::web::{Language, assets, csp, fragments, markdown};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use sessions::invented;
use work::{add_session, hint, send, stop};

struct World {
    sessions: Mutex<BTreeMap<String, Talk>>,
    hints: broadcast::Sender<String>,
}

#[derive(Clone)]
struct Talk {
    session: Session,
    events: Vec<Event>,
    running: bool,
    last: Option<RunState>,
}

type Shared = State<(Arc<World>, &'static str)>;
type Params = Query<BTreeMap<String, String>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(7800), |text| text.parse())?;
    let world = Arc::new(World { sessions: Mutex::new(invented()), hints: broadcast::channel(64).0 });
    let app =
        routes().with_state((world.clone(), "/")).nest("/trial1/", routes().with_state((world, "/trial1/")));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app).await?;
    Ok(())
}

fn routes() -> axum::Router<(Arc<World>, &'static str)> {
    axum::Router::new()
        .route("/", get(home))
        .route("/s/{id}", get(session_page))
        .route("/login", get(login).post(|State((_, base)): Shared| async move { Redirect::to(base) }))
        .route(
            "/logout",
            post(|State((_, base)): Shared| async move { Redirect::to(&format!("{base}login")) }),
        )
        .route("/ui/new", get(new_fragment))
        .route("/ui/sessions", get(list_fragment).post(form_create))
        .route("/ui/sessions/{id}", get(session_fragment))
        .route("/ui/sessions/{id}/timeline", get(timeline_fragment))
        .route("/ui/sessions/{id}/blocks/{range}", get(block_fragment))
        .route("/ui/sessions/{id}/messages", post(form_message))
        .route("/ui/sessions/{id}/cancel", post(form_cancel))
        .route("/api/sessions", post(create))
        .route("/api/sessions/{id}", axum::routing::patch(patch))
        .route("/api/sessions/{id}/messages", post(message))
        .route("/api/sessions/{id}/cancel", post(cancel))
        .route("/ws", get(socket))
        .fallback(asset)
}

async fn home(State((world, base)): Shared, headers: HeaderMap) -> Response {
    shell(&world, base, &headers, None)
}

async fn session_page(State((world, base)): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    shell(&world, base, &headers, Some(&id))
}

fn shell(world: &World, base: &str, headers: &HeaderMap, id: Option<&str>) -> Response {
    let viewer = viewer(headers);
    let main = match id {
        None => Main::New(Box::new(composer(&viewer))),
        Some(id) => match world.sessions.lock().unwrap().get(id) {
            Some(talk) => Main::Session(Box::new(page_of(talk, None, &viewer))),
            None => {
                let page =
                    ErrorPage { base: base.into(), language: viewer.language, kind: ErrorKind::NotFound };
                return html(StatusCode::NOT_FOUND, "n", headers, pages::error(&page));
            }
        },
    };
    let nonce = format!("{:x}", rand_number());
    let page = ShellPage {
        base: base.into(),
        nonce: nonce.clone(),
        instance: if base == "/" { "owner".into() } else { "trial1".into() },
        list: list_of(world, id, &viewer),
        viewer,
        main,
        form_token: String::new(),
    };
    html(StatusCode::OK, &nonce, headers, pages::shell(&page))
}

async fn login(State((_, base)): Shared, Query(query): Params, headers: HeaderMap) -> Response {
    let page = LoginPage {
        base: base.into(),
        language: viewer(&headers).language,
        instance: "owner".into(),
        mode: if query.get("mode").is_some_and(|mode| mode == "pw") {
            LoginMode::Password
        } else {
            LoginMode::Token
        },
        failed: query.contains_key("error"),
        locked: query.contains_key("locked"),
        next: query.get("next").cloned().unwrap_or_default(),
    };
    html(StatusCode::OK, "n", &headers, pages::login(&page))
}

async fn new_fragment(headers: HeaderMap) -> Response {
    fragment(&headers, fragments::new_task(&composer(&viewer(&headers))))
}

async fn list_fragment(State((world, _)): Shared, Query(query): Params, headers: HeaderMap) -> Response {
    let selected = query.get("selected").map(String::as_str);
    fragment(&headers, fragments::session_list(&list_of(&world, selected, &viewer(&headers))))
}

async fn session_fragment(State((world, _)): Shared, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let sessions = world.sessions.lock().unwrap();
    match sessions.get(&id) {
        Some(talk) => fragment(&headers, fragments::session_view(&page_of(talk, None, &viewer(&headers)))),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn timeline_fragment(
    State((world, _)): Shared,
    Path(id): Path<String>,
    Query(query): Params,
    headers: HeaderMap,
) -> Response {
    let before = query.get("before").and_then(|text| text.parse().ok());
    let sessions = world.sessions.lock().unwrap();
    let Some(talk) = sessions.get(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    fragment(&headers, fragments::timeline(&timeline_of(talk, before, &viewer(&headers))))
}

async fn block_fragment(
    State((world, _)): Shared,
    Path((id, range)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let sessions = world.sessions.lock().unwrap();
    let ends = range.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let (Some(talk), Some((start, end))) = (sessions.get(&id), ends) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let events = display::block(&talk.events, start, end);
    fragment(&headers, fragments::block(&Steps::of(&events, &render, &viewer(&headers))))
}

async fn form_create(state: Shared, Form(form): Form<BTreeMap<String, String>>) -> Response {
    let base = state.0.1;
    let id = add_session(&state.0.0);
    send(&state.0.0, &id, &form["text"], "form");
    Redirect::to(&format!("{base}s/{id}")).into_response()
}

async fn form_message(
    state: Shared,
    Path(id): Path<String>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    send(&state.0.0, &id, &form["text"], "form");
    Redirect::to(&format!("{}s/{id}", state.0.1)).into_response()
}

async fn form_cancel(state: Shared, Path(id): Path<String>) -> Response {
    stop(&state.0.0, &id);
    Redirect::to(&format!("{}s/{id}", state.0.1)).into_response()
}

async fn create(State((world, _)): Shared, Json(body): Json<Value>) -> Response {
    if body["folder"] == "/nowhere" {
        return refusal(StatusCode::BAD_REQUEST, "Folder does not exist");
    }
    let id = add_session(&world);
    (StatusCode::CREATED, Json(json!({"session": {"id": id}}))).into_response()
}

async fn message(State((world, _)): Shared, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let text = body["text"].as_str().unwrap_or_default();
    if text.contains("refuse") {
        return refusal(StatusCode::CONFLICT, "Session is archived");
    }
    send(&world, &id, text, body["requestId"].as_str().unwrap_or_default());
    (StatusCode::ACCEPTED, Json(json!({"requestId": body["requestId"], "duplicate": false}))).into_response()
}

async fn cancel(State((world, _)): Shared, Path(id): Path<String>) -> Response {
    stop(&world, &id);
    Json(json!({})).into_response()
}

async fn patch(State((world, _)): Shared, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    if let Some(talk) = world.sessions.lock().unwrap().get_mut(&id) {
        if let Some(name) = body["name"].as_str() {
            name.clone_into(&mut talk.session.name);
        }
        talk.session.pinned = body["pinned"].as_bool().unwrap_or(talk.session.pinned);
        talk.session.archived = body["archived"].as_bool().unwrap_or(talk.session.archived);
    }
    hint(&world, &id);
    Json(json!({"session": {"id": id}})).into_response()
}

async fn socket(State((world, _)): Shared, upgrade: WebSocketUpgrade) -> Response {
    let mut hints = world.hints.subscribe();
    upgrade.on_upgrade(async move |mut socket| {
        while let Ok(text) = hints.recv().await {
            if socket.send(Frame::Text(text.into())).await.is_err() {
                return;
            }
        }
    })
}

async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    match assets::find(path, "gzip") {
        Some(asset) => {
            let mut response = Response::builder()
                .header(header::CONTENT_TYPE, asset.content_type)
                .header(header::CACHE_CONTROL, asset.cache_control)
                .header(header::ETAG, asset.etag);
            if let Some(encoding) = asset.content_encoding {
                response = response.header(header::CONTENT_ENCODING, encoding);
            }
            response.body(Body::from(asset.bytes)).unwrap()
        }
        None => {
            let page = ErrorPage {
                base: "/".into(),
                language: viewer(&headers).language,
                kind: ErrorKind::NotFound,
            };
            html(StatusCode::NOT_FOUND, "n", &headers, pages::error(&page))
        }
    }
}

fn html(status: StatusCode, nonce: &str, headers: &HeaderMap, body: String) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let policy = csp(nonce, &format!("ws://{host}"), &[]);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (status, headers, body).into_response()
}

fn fragment(headers: &HeaderMap, body: String) -> Response {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let etag = format!("\"{:x}\"", hasher.finish());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::ETAG, etag)];
    (headers, body).into_response()
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

fn viewer(headers: &HeaderMap) -> Viewer {
    let accept = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Viewer {
        language: Language::from_accept(accept.unwrap_or_default()),
        now: Timestamp::now(),
        zone: TimeZone::UTC,
    }
}

fn render(_: u64, text: &str) -> String {
    markdown::render(text)
}

fn tools() -> Vec<ToolChoice> {
    let choice = |id: &str, name: &str, demo| ToolChoice { id: id.into(), name: name.into(), demo };
    if std::env::var_os("ONLY_DEMO").is_some() {
        return vec![choice("demo", "Demo", true)];
    }
    vec![choice("codex", "Codex", false), choice("claude", "Claude Code", false)]
}

fn composer(viewer: &Viewer) -> Composer {
    Composer::first(tools(), "codex", "", viewer)
}

fn activity(talk: &Talk) -> Activity {
    let mut activity = Activity::of(None, &talk.session);
    if talk.running {
        "running".clone_into(&mut activity.run.state);
        let started = talk.events.iter().rev().find(|event| event.is_message_of(Role::User));
        activity.run.started_at = started.map(|event| remotelab_protocol::time::iso_from_ms(event.timestamp));
    }
    activity
}

fn list_of(world: &World, selected: Option<&str>, viewer: &Viewer) -> SessionList {
    let sessions = world.sessions.lock().unwrap();
    let mut talks: Vec<_> = sessions.values().filter(|talk| !talk.session.archived).collect();
    talks.sort_by_key(|talk| std::cmp::Reverse(talk.events.last().map_or(0, |event| event.timestamp)));
    let rows = talks.into_iter().map(|talk| {
        let history = HistoryMeta {
            last_event_at: talk.events.last().map(|event| event.timestamp),
            last_assistant_message_at: talk
                .events
                .iter()
                .rev()
                .find(|event| event.is_message_of(Role::Assistant))
                .map(|event| event.timestamp),
            ..HistoryMeta::default()
        };
        SessionRow::of(&talk.session, &activity(talk), &history, talk.last, viewer)
    });
    SessionList::of(rows.collect(), selected, viewer)
}

fn timeline_of(talk: &Talk, before: Option<u64>, viewer: &Viewer) -> Timeline {
    let seen: Vec<_> =
        talk.events.iter().filter(|event| before.is_none_or(|before| event.seq < before)).cloned().collect();
    let entries = display::view(&seen, talk.running && before.is_none());
    let start = entries.len().saturating_sub(40);
    Timeline::of(talk.session.id.as_str(), &entries[start..], start > 0, &render, viewer)
}

fn page_of(talk: &Talk, before: Option<u64>, viewer: &Viewer) -> SessionPage {
    let activity = activity(talk);
    let turn = talk.events.iter().rposition(|event| event.is_message_of(Role::User)).map_or(0, |at| at + 1);
    let running = Running::of(&activity, &talk.events[turn..], &render, viewer);
    SessionPage::of(&talk.session, &activity, timeline_of(talk, before, viewer), running, tools(), "", viewer)
}

fn rand_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Timestamp::now().as_nanosecond())
}
