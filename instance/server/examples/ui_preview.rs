//! Shows the page with invented sessions and a pretended API, to look at its states without executors.
//!
//! `cargo run -p remotelab-server --example ui_preview -- 7800`, then open `http://127.0.0.1:7800/`, or
//! `/trial1/` for the same below a prefix. A message with "refuse" is not accepted, one with "fail" fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::extract::{Form, Json, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::{Timestamp, tz::TimeZone};
use remotelab_protocol::event::{Known, Message, Usage};
use remotelab_protocol::queue::Queued;
use remotelab_protocol::session::HistoryMeta;
use remotelab_protocol::{Activity, Attachment, Event, Role, RunState, Session, SessionId, display};
use remotelab_server::web::pages::{self, ErrorKind, ErrorPage, LoginMode, LoginPage, Main, ShellPage};
use remotelab_server::web::view::{
    Composer, Running, SessionList, SessionPage, SessionRow, Steps, Timeline, ToolChoice, Viewer,
};
use remotelab_server::web::{Language, assets, csp, fragments, markdown};
use serde_json::{Value, json};
use tokio::sync::broadcast;

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
    let id = add_session(&state.0.0, &form["text"]);
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
    let id = add_session(&world, "");
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

fn hint(world: &World, id: &str) {
    let _ = world.hints.send(json!({"type": "sessions_invalidated"}).to_string());
    let _ = world.hints.send(json!({"type": "session_invalidated", "sessionId": id}).to_string());
}

fn add_session(world: &World, _: &str) -> String {
    let session = session("New task", "codex");
    let id = session.id.to_string();
    let talk = Talk { session, events: Vec::new(), running: false, last: None };
    world.sessions.lock().unwrap().insert(id.clone(), talk);
    hint(world, &id);
    id
}

fn send(world: &Arc<World>, id: &str, text: &str, request_id: &str) {
    {
        let mut sessions = world.sessions.lock().unwrap();
        let Some(talk) = sessions.get_mut(id) else {
            return;
        };
        if talk.running {
            talk.session.follow_up_queue.push(Queued {
                request_id: request_id.into(),
                text: text.into(),
                queued_at: remotelab_protocol::time::iso(Timestamp::now()),
                ..Queued::default()
            });
        } else {
            talk.running = true;
            if talk.events.is_empty() {
                talk.session.name = text.chars().take(40).collect();
            }
            let mut event = said(Role::User, text);
            event.request_id = Some(request_id.to_owned());
            push(talk, vec![event]);
            tokio::spawn(work(world.clone(), id.to_owned(), text.to_owned()));
        }
    }
    hint(world, id);
}

async fn work(world: Arc<World>, id: String, text: String) {
    let steps = [
        Known::Reasoning { content: "The person wants something. I look around first.".into() },
        call("bash", "cargo test --workspace"),
        outcome("running 12 tests\n............\ntest result: ok", 0),
        call("bash", "grep -rn 'TODO' src | wc -l"),
        outcome("7", 0),
        Known::FileChange { file_path: "/home/me/project/src/main.rs".into(), change_type: "update".into() },
    ];
    for step in steps {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut sessions = world.sessions.lock().unwrap();
        let Some(talk) = sessions.get_mut(&id).filter(|talk| talk.running) else {
            return;
        };
        push(talk, vec![Event::new(step, Timestamp::now().as_millisecond())]);
        drop(sessions);
        hint(&world, &id);
    }
    {
        let mut sessions = world.sessions.lock().unwrap();
        let Some(talk) = sessions.get_mut(&id).filter(|talk| talk.running) else {
            return;
        };
        talk.running = false;
        if text.contains("fail") {
            talk.last = Some(RunState::Failed);
            push(
                talk,
                vec![note("error: codex is not logged in; run `codex login` on the machine and try again")],
            );
        } else {
            talk.last = Some(RunState::Completed);
            push(
                talk,
                vec![said(
                    Role::Assistant,
                    &format!(
                        "Done: **{text}**\n\n```rust\nfn main() {{\n    println!(\"hello\"); // done\n}}\n```"
                    ),
                )],
            );
        }
        let waiting: Vec<_> = talk.session.follow_up_queue.drain(..).map(|item| item.text).collect();
        if !waiting.is_empty() {
            let (world, id) = (world.clone(), id.clone());
            tokio::spawn(async move { send(&world, &id, &waiting.join("\n\n"), "batch") });
        }
    }
    hint(&world, &id);
}

fn stop(world: &World, id: &str) {
    if let Some(talk) = world.sessions.lock().unwrap().get_mut(id) {
        talk.running = false;
        talk.last = Some(RunState::Cancelled);
        push(talk, vec![note("cancelled")]);
    }
    hint(world, id);
}

fn invented() -> BTreeMap<String, Talk> {
    let mut talks = BTreeMap::new();
    let mut add =
        |name: &str, minutes: i64, running: bool, last: Option<RunState>, kinds: Vec<Event>| -> String {
            let session = session(name, "codex");
            let id = session.id.to_string();
            let mut talk = Talk { session, events: Vec::new(), running, last };
            let start = Timestamp::now().as_millisecond() - minutes * 60_000;
            let count = i64::try_from(kinds.len()).unwrap();
            let kinds = kinds
                .into_iter()
                .zip(0_i64..)
                .map(|(event, index)| Event { timestamp: start + (index - count) * 40_000, ..event });
            push(&mut talk, kinds.collect());
            talks.insert(id.clone(), talk);
            id
        };
    let done = Some(RunState::Completed);
    add("Clean the customer spreadsheet", 3, false, done, rich());
    let running = add("Migrate the build to the new runner and check every target", 0, true, None, at_work());
    add("Fix the login test", 40, false, Some(RunState::Failed), failed());
    add("整理三月份的销售数据并生成图表", 130, false, done, chinese());
    add("Weekly news digest", 60 * 26, false, Some(RunState::Cancelled), stopped());
    add(
        "A very long name that nobody would ever type but some model certainly will produce one day",
        60 * 24 * 3,
        false,
        done,
        rich(),
    );
    add(
        "Old conversation with many turns",
        60 * 24 * 40,
        false,
        done,
        (0..60)
            .flat_map(|n| {
                [
                    said(Role::User, &format!("Question {n}")),
                    said(Role::Assistant, &format!("Answer **{n}**")),
                ]
            })
            .collect(),
    );
    let pinned = add("Server notes", 60 * 24 * 9, false, done, rich());
    talks.get_mut(&pinned).unwrap().session.pinned = true;
    let queue = &mut talks.get_mut(&running).unwrap().session.follow_up_queue;
    for text in [
        "Also check Linux on ARM, please",
        "And write the result into docs/build.md. 如果有问题，请用中文告诉我，并附上失败的日志。",
    ] {
        queue.push(Queued {
            request_id: text.len().to_string(),
            text: text.into(),
            queued_at: remotelab_protocol::time::iso(Timestamp::now()),
            ..Queued::default()
        });
    }
    talks
}

fn session(name: &str, tool: &str) -> Session {
    let id = SessionId::random();
    serde_json::from_value(json!({"id": id, "name": name, "tool": tool, "folder": "/home/me/project"}))
        .unwrap()
}

fn push(talk: &mut Talk, events: Vec<Event>) {
    for mut event in events {
        event.seq = talk.events.len() as u64 + 1;
        talk.events.push(event);
    }
}

fn said(role: Role, text: &str) -> Event {
    let message = Message { content: text.into(), ..Message::default() };
    Event::message(role, message, Timestamp::now().as_millisecond())
}

fn note(text: &str) -> Event {
    Event::new(Known::Status { content: text.into() }, Timestamp::now().as_millisecond())
}

fn call(name: &str, input: &str) -> Known {
    Known::ToolUse { tool_name: name.into(), tool_input: input.into() }
}

fn outcome(output: &str, exit_code: i32) -> Known {
    Known::ToolResult { tool_name: "bash".into(), output: output.into(), exit_code }
}

fn event(kind: Known) -> Event {
    Event::new(kind, 0)
}

fn rich() -> Vec<Event> {
    let files = vec![
        Attachment {
            filename: Some("a1.csv".into()),
            original_name: Some("customers-clean.csv".into()),
            mime_type: "text/csv".into(),
            size_bytes: Some(48_213),
            ..Attachment::default()
        },
        Attachment {
            filename: Some("a2.pdf".into()),
            original_name: Some(
                "A rather long name of a report about duplicates, final version (2).pdf".into(),
            ),
            mime_type: "application/pdf".into(),
            size_bytes: Some(1_238_213),
            ..Attachment::default()
        },
    ];
    let answer = Message {
        content: include_str!("ui_preview_answer.md").into(),
        attachments: files,
        ..Message::default()
    };
    vec![
        said(
            Role::User,
            "Please clean the spreadsheet:\n- remove duplicates\n- fix the dates\nand tell me what changed.",
        ),
        event(Known::Reasoning { content: "The file has **3,120 rows**. I read it first.".into() }),
        event(call(
            "bash",
            "python3 - <<'EOF'\nimport pandas as pd\nprint(pd.read_csv('customers.csv').shape)\nEOF",
        )),
        event(outcome("(3120, 14)\n", 0)),
        said(Role::Assistant, "I found duplicates; now the dates."),
        event(call("Read", r#"{"file_path":"/home/me/project/customers.csv"}"#)),
        event(outcome("head: cannot open 'customers.csvv' for reading: No such file or directory", 1)),
        event(Known::FileChange {
            file_path: "/home/me/project/out/customers-clean.csv".into(),
            change_type: "add".into(),
        }),
        Event::message(Role::Assistant, answer, 0),
        event(Known::Usage(Usage {
            context_tokens: Some(18_432),
            input_tokens: Some(16_100),
            output_tokens: Some(912),
            context_window_tokens: Some(272_000),
            ..Usage::default()
        })),
        said(Role::User, "Thanks! 谢谢"),
        said(Role::Assistant, "[x] Remove duplicates\n[x] Fix the dates\n[ ] Send the mail"),
    ]
}

fn at_work() -> Vec<Event> {
    vec![
        said(Role::User, "Migrate the build to the new runner and check that every target still works."),
        event(Known::Reasoning { content: "Start with the workflow files.".into() }),
        event(call("bash", "cat .github/workflows/build.yml")),
        event(outcome("name: build\non: push", 0)),
        said(
            Role::Assistant,
            "The workflow uses three runners. I change them **one by one** and run the build after each.",
        ),
        event(call(
            "bash",
            "cargo build --release --target aarch64-unknown-linux-musl --features full,metrics --locked && cargo test --release --target aarch64-unknown-linux-musl",
        )),
    ]
}

fn failed() -> Vec<Event> {
    vec![
        said(Role::User, "Fix the login test"),
        event(call("bash", "npm test")),
        event(outcome("2 failed", 1)),
        note(
            "error: codex exited with status 1: unexpected status 401 Unauthorized: Missing bearer or basic authentication in header\nurl: https://api.openai.com/v1/responses\ncf-ray: 9a1b2c3d4e5f\nplease run `codex login` on this machine",
        ),
    ]
}

fn stopped() -> Vec<Event> {
    vec![
        said(Role::User, "Collect the news of this week"),
        event(call("bash", "curl -s https://news.example/feed")),
        note("cancelled"),
    ]
}

fn chinese() -> Vec<Event> {
    vec![
        said(Role::User, "把三月份的销售数据整理一下，按地区汇总，生成一张图表。"),
        event(call("bash", "python3 report.py --month 3")),
        event(outcome("已生成 report.png", 0)),
        said(
            Role::Assistant,
            "已经整理完毕。**华东地区**的销售额最高，环比增长 12.5%。\n\n| 地区 | 销售额（万元） | 环比 |\n|---|---:|---:|\n| 华东 | 1,280 | +12.5% |\n| 华南 | 960 | +3.1% |\n| 华北 | 715 | −2.4% |\n\n1. 数据来自 `sales_2026_03.xlsx`\n2. 退货已经扣除\n\n> 如果需要按产品线拆分，请告诉我。\n\n```python\ndef total(rows):\n    # 只统计已完成的订单\n    return sum(r[\"amount\"] for r in rows if r[\"state\"] == \"done\")\n```",
        ),
    ]
}

fn rand_number() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Timestamp::now().as_nanosecond())
}
