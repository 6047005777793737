//! Files that a run declares as its results.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use remotelab_protocol::time::parse_iso;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::webhooks::Receiver;
use super::world::World;

/// Speaks like Codex: writes files, tells of one of them as changed, and names some in its answer.
const WRITER: &str = r#"
mkdir -p out .secret
printf 'a,b' > out/table.csv
printf 'report' > report.md
printf 'scratch' > scratch.txt
printf 'hidden' > .secret/key.txt
echo '{"type":"thread.started","thread_id":"t"}'
echo '{"type":"item.completed","item":{"id":"i1","type":"file_change","changes":[{"path":"'"$PWD"'/out/table.csv","kind":"add"}],"status":"completed"}}'
echo '{"type":"item.completed","item":{"id":"i2","type":"agent_message","text":"Done: see `report.md` and table.csv, not old.txt, /etc/passwd or .secret/key.txt."}}'
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
"#;

/// Waits for the message that offers the files of a session's run.
async fn offered(world: &World, session: &str) -> Vec<Value> {
    loop {
        let events = world.events(session, "all").await;
        let offers: Vec<Value> =
            events.into_iter().filter(|event| event["source"] == "result_file_assets").collect();
        if !offers.is_empty() {
            return offers;
        }
        tokio::task::yield_now().await;
    }
}

/// Runs the tool in a folder of its own; returns the session and the run.
async fn work(world: &World) -> (String, String) {
    let folder = world.root.path().join("work");
    std::fs::create_dir_all(&folder).unwrap();
    let old = folder.join("old.txt");
    std::fs::write(&old, "old").unwrap();
    let before = std::time::SystemTime::now() - Duration::from_secs(60);
    std::fs::File::open(&old).unwrap().set_modified(before).unwrap();
    let (_, made) = world.post("/api/sessions", &json!({"folder": folder, "tool": "echo"})).await;
    let session = made["session"]["id"].as_str().unwrap().to_owned();
    let targets = json!([{"type": "email", "to": "a@example.com"}]);
    let message = json!({"requestId": "r1", "text": "write", "completionTargets": targets});
    let (_, answer) = world.post(&format!("/api/sessions/{session}/messages"), &message).await;
    let run = answer["run"]["id"].as_str().unwrap().to_owned();
    world.ended(&run).await;
    (session, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_18_named_files_are_offered_once_in_one_message() {
    let world = World::signed_in(WRITER).await;
    let (session, run) = work(&world).await;
    let offers = offered(&world, &session).await;
    let [offer] = offers.as_slice() else { panic!("{offers:?}") };
    let ids = [0, 1].map(|index| offer["attachments"][index]["assetId"].as_str().unwrap());
    let files = json!([
        {"assetId": ids[0], "originalName": "report.md", "mimeType": "text/markdown", "sizeBytes": 6, "renderAs": "file"},
        {"assetId": ids[1], "originalName": "table.csv", "mimeType": "text/csv", "sizeBytes": 3, "renderAs": "file"},
    ]);
    assert_eq!(
        *offer,
        json!({
            "type": "message", "id": offer["id"], "timestamp": offer["timestamp"], "role": "assistant", "content": "",
            "attachments": files, "images": files, "source": "result_file_assets", "resultRunId": run,
            "runId": run, "requestId": "r1", "seq": offer["seq"], "bodyAvailable": offer["bodyAvailable"],
            "bodyLoaded": offer["bodyLoaded"],
        })
    );
    let (_, answer) = world.get(&format!("/api/runs/{run}")).await;
    assert_eq!(answer["run"]["publishedResultAssets"], files);
    let (_, waiting) = world.get("/api/completions?wait=20").await;
    assert_eq!(waiting["completions"][0]["attachments"], files);
    let file = world.request(Method::GET, &format!("/api/assets/{}/download", ids[0])).send().await.unwrap();
    assert_eq!(file.text().await.unwrap(), "report");
    let session_body = world.get(&format!("/api/sessions/{session}")).await.1;
    assert!(session_body["session"].get("runsWithResults").is_none());
    let visible = world.events(&session, "visible").await;
    assert_eq!(visible.last().unwrap()["type"], "attachment_delivery");
    let page = world.request(Method::GET, &format!("/s/{session}")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains(&format!("api/assets/{}/download?download=1", ids[0])));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_a_dead_server_had_not_come_to_are_offered_once() {
    let mut world = World::signed_in(WRITER).await;
    let (session, run) = work(&world).await;
    let before = offered(&world, &session).await;
    let seq = before[0]["seq"].as_u64().unwrap();
    // The files are copied already.
    let root = world.root.path().to_owned();
    let folder = root.join(format!("config/chat-history/{session}"));
    world.stopped_for(|| forget_results(&root, &session, &run, seq)).await;
    let after = offered(&world, &session).await;
    assert_eq!(after.len(), 1);
    assert_eq!((&after[0]["attachments"], &after[0]["seq"]), (&before[0]["attachments"], &before[0]["seq"]));
    world.stopped_for(|| ()).await;
    assert_eq!(offered(&world, &session).await, after);
    assert!(read(&folder.join("session.json")).get("runsWithResults").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_handed_over_files_itself_is_left_alone() {
    let script = WRITER.replace("Done: see `report.md`", "Wait: `report.md`");
    // Waits until the test has posted a message of this run.
    let script = format!("while [ ! -e ../go ]; do sleep 0.01; done\n{script}");
    let world = World::signed_in(&script).await;
    let folder = world.root.path().join("work");
    std::fs::create_dir_all(&folder).unwrap();
    let (_, made) = world.post("/api/sessions", &json!({"folder": folder, "tool": "echo"})).await;
    let session = made["session"]["id"].as_str().unwrap();
    let (_, answer) = world.send(session, "r1", "write").await;
    let run = answer["run"]["id"].as_str().unwrap();
    let file = world.root.path().join("own.txt");
    std::fs::write(&file, "own").unwrap();
    let body = json!({"runId": run, "attachments": [{"localPath": file}]});
    let (status, _) = world.post(&format!("/api/sessions/{session}/assistant-messages"), &body).await;
    assert_eq!(status, StatusCode::CREATED);
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(run).await;
    world.stored_when(&format!("chat-history/{session}/session.json"), |record| {
        record.contains("lastRunState") && !record.contains("runsWithResults")
    });
    let events = world.events(session, "all").await;
    assert!(events.iter().all(|event| event["source"] != "result_file_assets"), "{events:?}");
}

/// An object storage that takes files when its gate is opened.
struct SlowStorage {
    url: String,
    /// A permit for every file that is being brought.
    asked: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl SlowStorage {
    async fn start() -> Self {
        let (asked, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (knock, pass) = (Arc::clone(&asked), Arc::clone(&gate));
        let router = Router::new().fallback(move || {
            let (knock, pass) = (Arc::clone(&knock), Arc::clone(&pass));
            async move {
                knock.add_permits(1);
                drop(pass.acquire().await.unwrap());
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/files", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, gate }
    }

    async fn world(&self, script: &str) -> World {
        let variables = [
            ("REMOTELAB_ASSET_STORAGE_BASE_URL", self.url.as_str()),
            ("REMOTELAB_ASSET_STORAGE_REGION", "here"),
            ("REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID", "id"),
            ("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", "hush"),
        ];
        World::signed_in_with(script, &variables).await
    }

    async fn is_asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }

    fn open(&self) {
        self.gate.add_permits(100);
    }
}

fn names(files: &Value) -> Vec<&str> {
    files.as_array().unwrap().iter().map(|file| file["originalName"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_run_gets_its_files() {
    let storage = SlowStorage::start().await;
    let world = storage.world(WRITER).await;
    let mut receiver = Receiver::answering([200]).await;
    world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    // The end is told at once to those who only look.
    let (_, run) = work(&world).await;
    storage.is_asked().await;
    let (waiting, replying) = (format!("/api/runs/{run}?wait=20"), format!("/api/runs/{run}/reply"));
    let open = async { storage.open() };
    let ((_, ended), (_, reply), ()) = tokio::join!(world.get(&waiting), world.get(&replying), open);
    let told: Value = serde_json::from_slice(&receiver.next().await.body).unwrap();
    let files = ["report.md", "table.csv"];
    assert_eq!(names(&ended["run"]["publishedResultAssets"]), files);
    assert_eq!(names(&reply["attachments"]), files);
    assert_eq!(names(&told["attachments"]), files);
    assert_eq!(told["run"], ended["run"]);
}

/// As a server leaves them that is killed when the run has just ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_a_dead_server_left_brings_the_files() {
    let storage = SlowStorage::start().await;
    storage.open();
    let mut world = storage.world(WRITER).await;
    let mut receiver = Receiver::answering([503, 200]).await;
    world.post("/api/webhooks", &json!({"url": receiver.url})).await;
    let (session, run) = work(&world).await;
    let seq = offered(&world, &session).await[0]["seq"].as_u64().unwrap();
    let delivery = receiver.next().await.delivery;
    let delivery = world.stored(&format!("webhooks/outbox/{delivery}.json"));
    let root = world.root.path().to_owned();
    world
        .stopped_for(|| {
            forget_results(&root, &session, &run, seq);
            let mut delivery: Value = serde_json::from_str(&delivery).unwrap();
            delivery["nextAttemptAt"] = json!(0);
            let file = format!("config/webhooks/outbox/{}.json", delivery["id"].as_str().unwrap());
            std::fs::write(root.join(file), delivery.to_string()).unwrap();
        })
        .await;
    let told: Value = serde_json::from_slice(&receiver.next().await.body).unwrap();
    assert_eq!(names(&told["attachments"]), ["report.md", "table.csv"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_message_does_not_wait_for_files() {
    let storage = SlowStorage::start().await;
    let world = storage.world(&format!("while ! [ -e go ]; do sleep 0.01; done\n{WRITER}")).await;
    let folder = world.root.path().join("work");
    std::fs::create_dir_all(&folder).unwrap();
    let (_, made) = world.post("/api/sessions", &json!({"folder": folder, "tool": "echo"})).await;
    let session = made["session"]["id"].as_str().unwrap();
    let (_, first) = world.send(session, "r-1", "write").await;
    assert_eq!(world.send(session, "r-2", "and again").await.1["queued"], true);
    std::fs::write(folder.join("go"), "").unwrap();
    let first = world.ended(first["run"]["id"].as_str().unwrap()).await;
    world.until(session, |session| session["messageCount"] == 4).await;
    let events = world.events(session, "all").await;
    let second = events.iter().rfind(|event| event["role"] == "user").unwrap();
    let ended = parse_iso(first["finalizedAt"].as_str().unwrap()).unwrap();
    let waited = second["timestamp"].as_i64().unwrap() - ended.as_millisecond();
    // Files are waited for up to ten seconds.
    assert!(Duration::from_millis(waited.unsigned_abs()) < Duration::from_secs(8), "{waited}");
}

/// Leaves a session as a server does that dies between the end of a run and its results.
fn forget_results(root: &std::path::Path, session: &str, run: &str, seq: u64) {
    let folder = root.join(format!("config/chat-history/{session}"));
    std::fs::remove_file(folder.join(format!("events/{seq:09}.json"))).unwrap();
    let mut meta: Value = read(&folder.join("meta.json"));
    meta["latestSeq"] = json!(seq - 1);
    std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
    let mut stored: Value = read(&folder.join("session.json"));
    stored["runsWithResults"] = json!([run]);
    std::fs::write(folder.join("session.json"), stored.to_string()).unwrap();
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Nothing that the run's executor printed names the file; what it had said for it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_named_beside_the_output_is_offered_too() {
    let script = r#"printf 'report' > report.md
while ! [ -e go ]; do sleep 0.01; done
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'"#;
    let world = World::signed_in(script).await;
    let session = world.session().await;
    let (_, answer) = world.send(&session, "r1", "write").await;
    let run = answer["run"]["id"].as_str().unwrap();
    let said = json!({"text": "It is in report.md", "runId": run});
    let (status, _) = world.post(&format!("/api/sessions/{session}/assistant-messages"), &said).await;
    assert!(status.is_success());
    std::fs::write(world.root.path().join("go"), "").unwrap();

    let offers = offered(&world, &session).await;
    assert_eq!(offers[0]["attachments"][0]["originalName"], "report.md");
    assert_eq!(offers[0]["resultRunId"], run);
}
