//! Files that a run declares as its results.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

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
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    std::fs::File::open(&old).unwrap().set_modified(before).unwrap();
    let (_, made) = world.post("/api/sessions", &json!({"folder": folder, "tool": "echo"})).await;
    let session = made["session"]["id"].as_str().unwrap().to_owned();
    let (_, answer) = world.send(&session, "r1", "write").await;
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
    // As a server leaves it that dies between the end of the run and its results, the files copied already.
    let folder = world.root.path().join(format!("config/chat-history/{session}"));
    let undo = || {
        std::fs::remove_file(folder.join(format!("events/{seq:09}.json"))).unwrap();
        let mut meta: Value = read(&folder.join("meta.json"));
        meta["latestSeq"] = json!(seq - 1);
        std::fs::write(folder.join("meta.json"), meta.to_string()).unwrap();
        let mut stored: Value = read(&folder.join("session.json"));
        stored["runsWithResults"] = json!([run]);
        std::fs::write(folder.join("session.json"), stored.to_string()).unwrap();
    };
    world.stopped_for(undo).await;
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
