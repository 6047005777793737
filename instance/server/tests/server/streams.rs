//! A session's stream: every event once, what is being written, and an end with its caller.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_also_to_a_reader_that_comes_again() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let mut stream = Stream::open(streamed(&world, &id, "?afterSeq=0")).await;
    let header = |name: &str| stream.response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        ["content-type", "cache-control", "x-accel-buffering"].map(header),
        ["text/event-stream", "no-store", "no"]
    );
    let first = stream.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.id, &first.data["latestSeq"]), ("session", 0, &json!(0)));
    let (_, accepted) = world.send(&id, "r", "go").await;
    let (seen, last) = stream.until(|frame| is_idle(frame) && frame.id > 1).await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let all = world.events(&id, "all").await;
    assert_eq!(events_of(&seen), all);
    assert_eq!((last.id, &last.data["latestSeq"]), (all.len() as u64, &json!(all.len())));

    // The connection broke after the second event.
    let again = stream_from(&world, &id, 2);
    let (seen, _) = Stream::open(again).await.until(is_idle).await;
    assert_eq!(events_of(&seen), all[2..]);
    let (seen, _) = Stream::open(streamed(&world, &id, "")).await.until(is_idle).await;
    assert_eq!(events_of(&seen), [] as [Value; 0]);
    // It saw more than there is: it has to read again.
    let reset = Stream::open(stream_from(&world, &id, 999)).await.next().await.unwrap();
    assert_eq!(
        (reset.name.as_str(), reset.id, &reset.data),
        ("reset", all.len() as u64, &json!({"latestSeq": all.len()}))
    );
    let unknown = streamed(&world, &"0".repeat(32), "").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

/// Ten readers of thirty messages, one of which reads only when all is over.
#[tokio::test(flavor = "multi_thread")]
async fn many_readers_see_the_same_and_a_slow_one_misses_nothing() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let mut slow = Stream::open(streamed(&world, &id, "?afterSeq=0")).await;
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(Stream::open(streamed(&world, &id, "?afterSeq=0")).await);
    }
    let (_, last) = world.send(&id, "r", "go").await;
    world.ended(last["run"]["id"].as_str().unwrap()).await;
    let notes = (0..30).map(|n| {
        let note = json!({"text": format!("note {n} {}", "x".repeat(20_000)), "requestId": format!("n-{n}")});
        let path = format!("/api/sessions/{id}/assistant-messages");
        let world = &world;
        async move { world.post(&path, &note).await }
    });
    assert!(futures_util::future::join_all(notes).await.iter().all(|(status, _)| status.is_success()));
    let all = world.events(&id, "all").await;
    let everything = |frame: &Frame| frame.name == "session" && frame.id == all.len() as u64;
    for reader in &mut readers {
        assert_eq!(events_of(&reader.until(everything).await.0), all);
    }
    assert_eq!(events_of(&slow.until(everything).await.0), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_its_login_and_its_server() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (_, made) = world.post("/api/tokens", &json!({"name": "bot"})).await;
    let token = &made["token"];
    let url = format!("{}/api/sessions/{id}/stream", world.base);
    let request = reqwest::Client::new().get(url).bearer_auth(token["token"].as_str().unwrap());
    let mut connectors = Stream::open(request).await;
    let mut owners = Stream::open(streamed(&world, &id, "")).await;
    connectors.next().await.unwrap();
    let path = format!("/api/tokens/{}", token["id"].as_str().unwrap());
    world.request(Method::DELETE, &path).send().await.unwrap();
    assert!(connectors.next().await.is_none());
    owners.next().await.unwrap();
    world.request(Method::POST, "/logout").send().await.unwrap();
    assert!(owners.next().await.is_none());

    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let mut open = Stream::open(streamed(&world, &id, "")).await;
    open.next().await.unwrap();
    let stopped = std::time::Instant::now();
    world.restart().await;
    assert!(open.next().await.is_none());
    assert!(stopped.elapsed() < Duration::from_secs(2), "an open stream holds a stopping server up");
}

/// Writes an answer in three pieces, each after a file of its number appeared.
const WRITER: &str = r#"say() { printf '{"type":"stream_event","event":%s}\n' "$1"; }
piece() { say "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"$1\"}}"; }
await() { while ! [ -e "$1" ]; do sleep 0.01; done; }
echo '{"type":"system","subtype":"init","session_id":"s-1"}'
say '{"type":"content_block_start","index":0}'
await 1; piece 'All <hide>not this</hide>'
await 2; for n in $(seq 300); do piece x; done
await 3; piece ' **done**'
await 4
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"All done"}]},"session_id":"s-1"}'
await 5
echo '{"type":"result","subtype":"success","is_error":false,"result":"All done","session_id":"s-1"}'"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_shows_while_it_is_written_and_is_stored_once() {
    let world = World::signed_in(WRITER).await;
    let (id, run) = write(&world).await;
    let mut stream = Stream::open(streamed(&world, &id, "?afterSeq=0")).await;
    stream.until(|frame| frame.data["content"] == "Session started (s-1)").await;
    // The run's record was written with that event, and is not for pieces of text.
    let record = world.root.path().join("config/chat-runs").join(&run).join("status.json");
    let written = || std::fs::read_to_string(&record).unwrap();
    let holds_event = |status: &str| status.contains("\"normalizedEventCount\": 1");
    let before = world.stored_when(&format!("chat-runs/{run}/status.json"), holds_event);

    go_on(&world, 1);
    let (_, partial) = stream.until(|frame| frame.name == "partial").await;
    assert_eq!(partial.data, json!({"runId": run, "text": "All"}));
    go_on(&world, 2);
    let whole = format!("All {}", "x".repeat(300));
    stream.until(|frame| frame.data["text"] == whole).await;
    go_on(&world, 3);
    let whole = format!("{whole} **done**");
    let (pieces, _) = stream.until(|frame| frame.data["text"] == whole).await;
    assert!(pieces.len() < 300, "each piece was told");
    assert_eq!(written(), before);

    let fragment = world.request(Method::GET, &format!("/ui/sessions/{id}/writing")).send().await.unwrap();
    let fragment = fragment.text().await.unwrap();
    assert!(fragment.contains("<strong>done</strong>") && !fragment.contains("not this"), "{fragment}");
    let page = world.request(Method::GET, &format!("/ui/sessions/{id}")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains(fragment.trim()));

    go_on(&world, 4);
    let (seen, gone) = stream.until(|frame| frame.name == "partial" && frame.data["text"] == "").await;
    assert_eq!(gone.data["runId"], run);
    assert_eq!(events_of(&seen).last().unwrap()["content"], "All done");
    let fragment = world.request(Method::GET, &format!("/ui/sessions/{id}/writing")).send().await.unwrap();
    assert_eq!(fragment.text().await.unwrap().trim(), "");

    go_on(&world, 5);
    let run = world.ended(&run).await;
    let all = world.events(&id, "all").await;
    let said = all.iter().filter(|event| event["role"] == "assistant").count();
    let spool = std::fs::metadata(record.with_file_name("spool.jsonl")).unwrap().len();
    assert_eq!(
        (said, &run["normalizedEventCount"], &run["normalizedLineCount"], &run["normalizedByteOffset"]),
        (1, &json!(3), &json!(306), &json!(spool))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_written_is_there_after_a_restart_and_the_answer_once() {
    let mut world = World::signed_in(WRITER).await;
    let (id, run) = write(&world).await;
    let mut first = Stream::open(streamed(&world, &id, "")).await;
    go_on(&world, 1);
    go_on(&world, 2);
    let whole = format!("All {}", "x".repeat(300));
    first.until(|frame| frame.data["text"] == whole).await;
    world.restart().await;
    let mut second = Stream::open(stream_from(&world, &id, 0)).await;
    second.until(|frame| frame.data["text"] == whole).await;
    for step in 3..=5 {
        go_on(&world, step);
    }
    let (_, last) = second.until(is_idle).await;
    world.ended(&run).await;
    let all = world.events(&id, "all").await;
    assert_eq!(last.id, all.len() as u64);
    let contents: Vec<&Value> = all.iter().skip(2).map(|event| &event["content"]).collect();
    assert_eq!(contents, [&json!("Session started (s-1)"), &json!("All done"), &json!("completed")]);
}

/// Gives a task to a tool that speaks like Claude.
async fn write(world: &World) -> (String, String) {
    let command = world.root.path().join("writer");
    std::fs::copy(world.root.path().join("echo-tool"), &command).unwrap();
    let tool = json!({"name": "Writer", "command": command, "runtimeFamily": "claude-stream-json"});
    let (_, added) = world.post("/api/tools", &tool).await;
    let id = world.session().await;
    let message = json!({"requestId": "r", "text": "go", "tool": added["tool"]["id"]});
    let (status, accepted) = world.post(&format!("/api/sessions/{id}/messages"), &message).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    (id, accepted["run"]["id"].as_str().unwrap().to_owned())
}

fn go_on(world: &World, step: usize) {
    std::fs::write(Path::new(world.root.path()).join(step.to_string()), "").unwrap();
}

fn streamed(world: &World, id: &str, query: &str) -> RequestBuilder {
    world.request(Method::GET, &format!("/api/sessions/{id}/stream{query}"))
}

fn stream_from(world: &World, id: &str, seen: u64) -> RequestBuilder {
    streamed(world, id, "").header("last-event-id", seen)
}

fn is_idle(frame: &Frame) -> bool {
    frame.name == "session" && frame.data["activity"]["run"]["state"] == "idle"
}

fn events_of(frames: &[Frame]) -> Vec<Value> {
    frames.iter().filter(|frame| frame.name == "event").map(|frame| frame.data.clone()).collect()
}

#[derive(Debug)]
struct Frame {
    name: String,
    id: u64,
    data: Value,
}

struct Stream {
    response: Response,
    received: String,
}

impl Stream {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self { response, received: String::new() }
    }

    /// Returns the next frame; `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.received.split_once("\n\n") {
                let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
                let name = field("event: ").map(str::to_owned);
                let frame = name.map(|name| Frame {
                    name,
                    id: field("id: ").unwrap().parse().unwrap(),
                    data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                });
                self.received = rest.to_owned();
                match frame {
                    Some(frame) => return Some(frame),
                    None => continue,
                }
            }
            let more = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            let more = more.expect("the stream is silent").ok().flatten()?;
            self.received.push_str(std::str::from_utf8(&more).unwrap());
        }
    }

    /// Reads up to the frame that is wanted; returns all before it, and it.
    async fn until(&mut self, is_wanted: impl Fn(&Frame) -> bool) -> (Vec<Frame>, Frame) {
        let mut before = Vec::new();
        loop {
            let frame = self.next().await.expect("the stream ended");
            if is_wanted(&frame) {
                return (before, frame);
            }
            before.push(frame);
        }
    }
}
