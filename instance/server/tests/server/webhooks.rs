//! Webhooks, with a receiver on loopback that fails, hangs and goes away.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use remotelab_config::InstancePaths;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc;

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_is_told_signed_until_the_receiver_has_it() {
    let world = World::signed_in(ECHO).await;
    let mut receiver = Receiver::answering([500, 302, 204]).await;
    let (status, made) = world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (hook, secret) = (&made["webhook"], made["webhook"]["secret"].as_str().unwrap());
    assert_eq!(hook["events"], json!(["run.completed", "run.failed", "run.cancelled"]));
    assert!(secret.starts_with("whsec_") && secret.len() == 70);

    let run = run(&world).await;
    let first = receiver.next().await;
    let second = receiver.next().await;
    let third = receiver.next().await;
    assert_eq!([&second.delivery, &third.delivery], [&first.delivery, &first.delivery]);
    assert_eq!((&second.body, &third.body), (&first.body, &first.body));
    assert!([&first, &second, &third].iter().all(|call| call.is_signed_by(secret)));
    assert!(!first.is_signed_by("whsec_other"));
    let told: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(told["run"], run);
    assert_eq!(
        [
            &told["id"],
            &told["event"],
            &told["sessionId"],
            &told["reply"],
            &told["replyTruncated"],
            &told["attachments"]
        ],
        [
            &json!(first.delivery),
            &json!("run.completed"),
            &run["sessionId"],
            &json!("echo: go"),
            &json!(false),
            &json!([])
        ]
    );
    assert_eq!(first.event, "run.completed");
    settled(&world, 0).await;
    assert_eq!(receiver.elsewhere(), 0, "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_shown_once_and_the_hook_is_the_owners() {
    let world = World::signed_in(ECHO).await;
    let wanted =
        json!({"url": "http://127.0.0.1:9/x", "events": ["run.failed"], "secret": "0123456789abcdef"});
    let (_, made) = world.post("/api/webhooks", &wanted).await;
    assert_eq!(made["webhook"]["secret"], "0123456789abcdef");
    let (_, listed) = world.get("/api/webhooks").await;
    let hook = &listed["webhooks"][0];
    assert_eq!(
        (&hook["url"], &hook["events"], &hook["waiting"], hook.get("secret")),
        (&wanted["url"], &wanted["events"], &json!(0), None)
    );
    let file = InstancePaths::below(world.root.path()).config().join("webhooks.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for wrong in [
        json!({"url": "file:///etc/passwd"}),
        json!({"url": "http://a/", "events": ["x"]}),
        json!({"url": "http://a/", "secret": "short"}),
    ] {
        assert_eq!(world.post("/api/webhooks", &wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    // Nobody asked to be told of a run that ended well.
    run(&world).await;
    settled(&world, 0).await;
    let path = format!("/api/webhooks/{}", hook["id"].as_str().unwrap());
    let delete = async || world.request(Method::DELETE, &path).send().await.unwrap().status();
    assert_eq!((delete().await, delete().await), (StatusCode::OK, StatusCode::NOT_FOUND));
    assert_eq!(world.get("/api/webhooks").await.1, json!({"webhooks": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_keeps_neither_runs_nor_other_receivers_waiting() {
    let world = World::signed_in(ECHO).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = json!({"url": format!("http://{}/", silent.local_addr().unwrap())});
    world.post("/api/webhooks", &hanging).await;
    let mut receiver = Receiver::answering([200; 20]).await;
    world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    let ended = futures_util::future::join_all((0..12).map(|_| run(&world))).await;
    let mut told = Vec::new();
    for _ in &ended {
        let call: Value = serde_json::from_slice(&receiver.next().await.body).unwrap();
        told.push(call["run"]["id"].as_str().unwrap().to_owned());
    }
    let mut runs: Vec<String> = ended.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    told.sort();
    runs.sort();
    assert_eq!(told, runs);
    settled(&world, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_for_good_is_forgotten() {
    let world = World::signed_in(ECHO).await;
    let mut receiver = Receiver::answering([410]).await;
    world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    run(&world).await;
    receiver.next().await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while world.get("/api/webhooks").await.1 != json!({"webhooks": []}) {
        assert!(std::time::Instant::now() < deadline, "the hook stays");
    }
    settled(&world, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_delivered_by_the_next_server() {
    let mut world = World::signed_in(ECHO).await;
    let mut receiver = Receiver::answering([503, 200, 200]).await;
    let (_, made) = world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    run(&world).await;
    let first = receiver.next().await;
    let outbox = outbox(&world);
    // As a crash leaves it that comes right after the run has ended.
    let file = world.stored(&format!("webhooks/outbox/{}.json", first.delivery));
    let mut untried: Value = serde_json::from_str(&file).unwrap();
    world.restart().await;
    let again = receiver.next().await;
    assert_eq!((&again.delivery, &again.body), (&first.delivery, &first.body));
    assert!(again.is_signed_by(made["webhook"]["secret"].as_str().unwrap()));
    settled(&world, 0).await;

    untried["id"] = json!("dlv_000000000000000000000000");
    untried["nextAttemptAt"] = json!(0);
    let done = json!({"id": "dlv_1", "hook": untried["hook"], "event": "run.completed", "runId": untried["runId"],
        "sessionId": untried["sessionId"], "createdAt": "", "done": true});
    std::fs::write(outbox.join("dlv_000000000000000000000000.json"), untried.to_string()).unwrap();
    std::fs::write(outbox.join("dlv_1.json"), done.to_string()).unwrap();
    std::fs::write(outbox.join("damaged.json"), "{").unwrap();
    world.restart().await;
    assert_eq!(receiver.next().await.delivery, "dlv_000000000000000000000000");
    settled(&world, 1).await;
    assert!(outbox.join("damaged.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_for_itself_is_not_told() {
    let world = World::signed_in(ECHO).await;
    // One that is told too much fails the receiver.
    let mut receiver = Receiver::answering([200, 200]).await;
    world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    let session = world.session().await;
    let first = world.turn(&session, "r-1", "hello").await;
    let (status, answer) = world.post(&format!("/api/sessions/{session}/compact"), &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    world.until(&session, |session| session["activity"]["compact"]["state"] == "idle").await;
    let second = world.turn(&session, "r-2", "again").await;
    for run in [first, second] {
        let told: Value = serde_json::from_slice(&receiver.next().await.body).unwrap();
        assert_eq!(told["run"]["id"], run);
    }
    settled(&world, 0).await;
}

/// Runs one task to its end.
async fn run(world: &World) -> Value {
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await
}

fn outbox(world: &World) -> std::path::PathBuf {
    InstancePaths::below(world.root.path()).config().join("webhooks/outbox")
}

/// Waits until so many files are left in the outbox.
async fn settled(world: &World, left: usize) {
    let count = || std::fs::read_dir(outbox(world)).map_or(0, Iterator::count);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while count() != left {
        assert!(std::time::Instant::now() < deadline, "{} deliveries are left", count());
        tokio::task::yield_now().await;
    }
}

pub(super) struct Call {
    event: String,
    pub(super) delivery: String,
    signature: String,
    pub(super) body: Vec<u8>,
}

impl Call {
    fn is_signed_by(&self, secret: &str) -> bool {
        let (time, signature) = self.signature.split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&[time.as_bytes(), b".", &self.body].concat());
        hex::encode(mac.finalize().into_bytes()) == signature
    }
}

pub(super) struct Receiver {
    pub(super) url: String,
    calls: mpsc::UnboundedReceiver<Call>,
    elsewhere: Arc<Mutex<usize>>,
}

#[derive(Clone)]
struct Answers {
    statuses: Arc<Mutex<VecDeque<u16>>>,
    calls: mpsc::UnboundedSender<Call>,
    elsewhere: Arc<Mutex<usize>>,
}

impl Receiver {
    /// A receiver that answers with these statuses, in this order.
    pub(super) async fn answering(statuses: impl IntoIterator<Item = u16>) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let statuses = Arc::new(Mutex::new(statuses.into_iter().collect()));
        let elsewhere = Arc::new(Mutex::new(0));
        let answers = Answers { statuses, calls: sender, elsewhere: Arc::clone(&elsewhere) };
        let router = Router::new()
            .route("/hook", axum::routing::post(take))
            .fallback(|State(answers): State<Answers>| async move { *answers.elsewhere.lock().unwrap() += 1 })
            .with_state(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, calls, elsewhere }
    }

    pub(super) async fn next(&mut self) -> Call {
        let call = tokio::time::timeout(Duration::from_secs(20), self.calls.recv());
        call.await.expect("nothing was delivered").unwrap()
    }

    fn elsewhere(&self) -> usize {
        *self.elsewhere.lock().unwrap()
    }
}

async fn take(State(answers): State<Answers>, headers: HeaderMap, body: bytes::Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let call = Call {
        event: header("x-remotelab-event"),
        delivery: header("x-remotelab-delivery"),
        signature: header("x-remotelab-signature"),
        body: body.to_vec(),
    };
    let status = answers.statuses.lock().unwrap().pop_front().expect("one delivery too many");
    let _ = answers.calls.send(call);
    (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")]).into_response()
}
