//! What can be read of runs: their end as soon as it is there, their reply, their prompt, their list.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{ECHO, World};

/// Works until a file appears, then answers with something hidden.
const SLOW: &str = r#"while ! [ -e go ]; do sleep 0.01; done
echo '{"type":"item.completed","item":{"id":"i1","type":"agent_message","text":"[x] done"}}'
echo '{"type":"item.completed","item":{"id":"i2","type":"agent_message","text":"all <private>secret</private>done"}}'
echo '{"type":"item.completed","item":{"id":"i3","type":"agent_message","text":"<hide>note</hide>"}}'"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_of_the_end_at_once() {
    let world = World::signed_in(SLOW).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    let run = accepted["run"]["id"].as_str().unwrap();
    let (_, at_once) = world.get(&format!("/api/runs/{run}")).await;
    assert!(["accepted", "running"].contains(&at_once["run"]["state"].as_str().unwrap()));
    let (_, early) = world.get(&format!("/api/runs/{run}/reply")).await;
    assert_eq!(
        (&early["reply"], &early["replySeq"], &early["attachments"], &early["settledRunId"]),
        (&Value::Null, &Value::Null, &json!([]), &Value::Null)
    );
    let (_, timed_out) = world.get(&format!("/api/runs/{run}?wait=1")).await;
    assert_eq!(timed_out["run"]["state"], "running");

    let began = Instant::now();
    let wait = format!("/api/runs/{run}?wait=999");
    let waiting = world.get(&wait);
    let go = async { std::fs::write(world.root.path().join("go"), "").unwrap() };
    let ((_, ended), ()) = tokio::join!(waiting, go);
    assert_eq!(ended["run"]["state"], "completed");
    assert!(began.elapsed() < Duration::from_secs(10));
    let (status, _) = world.get("/api/runs/run_000000000000000000000000?wait=25").await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    // Whoever saw the end finds the answer, without what is hidden.
    let all = world.events(&id, "all").await;
    let said = all
        .iter()
        .find(|event| event["content"].as_str().is_some_and(|text| text.starts_with("all")))
        .unwrap();
    let (_, reply) = world.get(&format!("/api/runs/{run}/reply")).await;
    assert_eq!(
        reply,
        json!({"runId": run, "state": "completed", "reply": "all done", "replySeq": said["seq"], "attachments": [],
            "requestIds": ["r"], "settledRunId": run})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_can_be_waited_for() {
    let world = World::signed_in(SLOW).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    let run = accepted["run"]["id"].as_str().unwrap();
    let (_, early) = world.get(&format!("/api/runs/{run}/reply?wait=1&settled=1")).await;
    assert_eq!((&early["state"], &early["settledRunId"]), (&json!("running"), &Value::Null));
    let began = Instant::now();
    let path = format!("/api/runs/{run}/reply?wait=999");
    let go = async { std::fs::write(world.root.path().join("go"), "").unwrap() };
    let ((_, ended), ()) = tokio::join!(world.get(&path), go);
    assert_eq!((&ended["state"], &ended["reply"]), (&json!("completed"), &json!("all done")));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_of_a_request_is_found_also_when_it_had_to_wait() {
    let world = World::signed_in(SLOW).await;
    let id = world.session().await;
    let (_, first) = world.send(&id, "r-1", "go").await;
    for request in ["q-1", "q-2"] {
        assert_eq!(world.send(&id, request, "and this").await.1["queued"], true);
    }
    let of = async |request: &str| {
        world.get(&format!("/api/sessions/{id}/runs?requestId={request}")).await.1["runs"].clone()
    };
    assert_eq!((of("q-1").await, &of("r-1").await[0]["id"]), (json!([]), &first["run"]["id"]));
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.until(&id, |session| session["messageCount"].as_u64() > Some(4)).await;
    let (one, two) = (of("q-1").await, of("q-2").await);
    assert_eq!(one[0]["id"], two[0]["id"]);
    assert!(one[0]["requestId"].as_str().unwrap().starts_with("queued_batch_"), "{one}");
    world.ended(one[0]["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_brings_the_files_of_its_run_and_of_no_other() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (_, first) = world.send(&id, "r-1", "one").await;
    let first = world.ended(first["run"]["id"].as_str().unwrap()).await;
    let (_, second) = world.send(&id, "r-2", "two").await;
    world.ended(second["run"]["id"].as_str().unwrap()).await;
    let file = world.root.path().join("chart.png");
    std::fs::write(&file, "png").unwrap();
    let note = json!({"text": "Here it is", "runId": first["id"], "requestId": "n", "attachments": [{"localPath": file}]});
    let (status, added) = world.post(&format!("/api/sessions/{id}/assistant-messages"), &note).await;
    assert!(status.is_success(), "{added}");
    let reply =
        async |run: &Value| world.get(&format!("/api/runs/{}/reply", run["id"].as_str().unwrap())).await.1;
    let told = reply(&first).await;
    assert_eq!(
        (&told["reply"], &told["attachments"][0]["originalName"]),
        (&json!("Here it is"), &json!("chart.png"))
    );
    assert!(!told.to_string().contains("savedPath"));
    let told = reply(&second["run"]).await;
    assert_eq!((&told["reply"], &told["attachments"]), (&json!("echo: two"), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_reads_what_an_executor_was_told_part_by_part() {
    let world = World::signed_in(ECHO).await;
    let create = json!({"folder": world.root.path(), "tool": "echo", "sourceId": "github", "systemPrompt": "Be brief."});
    let (_, created) = world.post("/api/sessions", &create).await;
    let id = created["session"]["id"].as_str().unwrap();
    let file = json!([{"data": "aGk=", "mimeType": "text/plain", "originalName": "note.txt"}]);
    let message = json!({"requestId": "r-1", "text": "Count äpfel", "attachments": file});
    let (_, first) = world.post(&format!("/api/sessions/{id}/messages"), &message).await;
    let first = world.ended(first["run"]["id"].as_str().unwrap()).await;
    let (_, told) = world.get(&format!("/api/runs/{}/prompt", first["id"].as_str().unwrap())).await;
    let prompt = &told["prompt"];
    assert_eq!(
        names(prompt),
        ["files", "startup", "defaults", "notes", "source", "instructions", "turn", "message"]
    );
    let blocks = prompt["blocks"].as_array().unwrap();
    assert!(blocks[0]["text"].as_str().unwrap().starts_with("[User attached file: note.txt"));
    assert_eq!(blocks[5], json!({"name": "instructions", "text": "Be brief.", "bytes": 9}));
    assert_eq!(blocks[7]["text"], "User message:\nCount äpfel");
    let texts: Vec<&str> = blocks[1..].iter().map(|block| block["text"].as_str().unwrap()).collect();
    let whole = format!("{}\n\n{}", blocks[0]["text"].as_str().unwrap(), texts.join("\n\n---\n\n"));
    assert_eq!((&prompt["text"], &prompt["bytes"]), (&json!(whole), &json!(whole.len())));

    let (_, second) = world.send(id, "r-2", "again").await;
    let second = world.ended(second["run"]["id"].as_str().unwrap()).await;
    let path = format!("/api/runs/{}/prompt", second["id"].as_str().unwrap());
    let (_, told) = world.get(&path).await;
    assert_eq!(names(&told["prompt"])[5..], ["conversation", "turn", "message"]);
    let (_, token) = super::tokens::token(&world).await;
    let connector =
        super::tokens::client(Some(&token)).get(format!("{}{path}", world.base)).send().await.unwrap();
    assert_eq!(connector.status(), StatusCode::FORBIDDEN);
    // A run of an older server.
    let manifest = format!("chat-runs/{}/manifest.json", second["id"].as_str().unwrap());
    let mut old: Value = serde_json::from_str(&world.stored(&manifest)).unwrap();
    let manifest = world.root.path().join("config").join(manifest);
    old.as_object_mut().unwrap().remove("promptBlocks");
    std::fs::write(&manifest, old.to_string()).unwrap();
    let (_, told) = world.get(&path).await;
    assert_eq!(names(&told["prompt"]), ["prompt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_session_are_listed_newest_first() {
    let world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let mut runs = Vec::new();
    for n in 0..5 {
        let (_, accepted) = world.send(&id, &format!("r-{n}"), "go").await;
        runs.insert(0, world.ended(accepted["run"]["id"].as_str().unwrap()).await);
    }
    let walk = async || {
        let (mut walked, mut query) = (Vec::new(), "limit=2".to_owned());
        loop {
            let (_, page) = world.get(&format!("/api/sessions/{id}/runs?{query}")).await;
            walked.extend(page["runs"].as_array().unwrap().clone());
            assert_eq!(page["hasMore"], page["nextCursor"].is_string());
            let Some(cursor) = page["nextCursor"].as_str() else { return walked };
            query = format!("limit=2&cursor={cursor}");
        }
    };
    assert_eq!(walk().await, runs);
    // Older servers kept no list; the messages tell the same.
    let list = format!("chat-history/{id}/requests.jsonl");
    world.stored_when(&list, |list| list.lines().count() == 5);
    std::fs::remove_file(world.root.path().join("config").join(list)).unwrap();
    assert_eq!(walk().await, runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_the_conversation_of_its_family_whatever_the_tool() {
    let world = World::signed_in(ECHO).await;
    let claude = r#"echo '{"type":"system","subtype":"init","session_id":"s-1"}'
echo '{"type":"result","subtype":"success","session_id":"s-1","usage":{"input_tokens":1,"output_tokens":1}}'"#;
    let program = world.root.path().join("claude-like");
    super::world::executable(&program, claude);
    let tool = json!({"command": program, "runtimeFamily": "claude-stream-json", "name": "Mine"});
    let (status, made) = world.post("/api/tools", &tool).await;
    assert!(status.is_success(), "{made}");
    let id = world.session().await;
    let ids = async |request: &str, tool: &Value| {
        let body = json!({"requestId": request, "text": "go", "tool": tool});
        let (_, answer) = world.post(&format!("/api/sessions/{id}/messages"), &body).await;
        let run = world.ended(answer["run"]["id"].as_str().unwrap()).await;
        json!([run["codexThreadId"], run["claudeSessionId"], run["providerResumeId"]])
    };
    let thread = "0199-thread-test";
    assert_eq!(ids("r-1", &json!("echo")).await, json!([thread, null, thread]));
    assert_eq!(ids("r-2", &made["tool"]["id"]).await, json!([null, "s-1", "s-1"]));
    // What codex itself goes on with is not theirs.
    let (_, session) = world.get(&format!("/api/sessions/{id}")).await;
    assert_eq!(
        [&session["session"]["codexThreadId"], &session["session"]["claudeSessionId"]],
        [&Value::Null; 2]
    );
}

fn names(prompt: &Value) -> Vec<&str> {
    prompt["blocks"].as_array().unwrap().iter().map(|block| block["name"].as_str().unwrap()).collect()
}
