//! A folder that an earlier server left: it opens, works, and can be handed back.

use std::fs;
use std::path::Path;

use remotelab_config::InstancePaths;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{ECHO, World};

const DONE: &str = "12d04b72795d9cef53d6aa1749cb0af7";
const WAITING: &str = "92e7fe15061b149cabc6f13f72c25a89";
const CUT_OFF: &str = "c96b98df8b8add0d3a60c5e9df8a6177";
const SILENT: &str = "d07c0a9bf0d64a1e9b3c5d2f8e6a7b10";
const RUN: &str = "run_a10872fb60d7ace1a4c1225d";
const ORPHAN: &str = "run_fbfc6430e0a0c96371d786ec";
const SILENT_RUN: &str = "run_0badcafe0badcafe0badcafe";
const LOGIN: &str = "5c5306961b1e5d7406738a413f40df5c5306961b1e5d7406738a413f40df0011";
const AT: &str = "2026-11-22T07:33:28.805Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_an_earlier_server_opens_works_and_can_be_handed_back() {
    let mut world = World::furnished(ECHO);
    let paths = InstancePaths::below(world.root.path());
    lay_out(&paths, world.root.path());
    world.start_process().await;

    // Who was signed in still is.
    let me = world.request(Method::GET, "/api/auth/me").header("cookie", format!("session_token={LOGIN}"));
    assert_eq!(
        me.send().await.unwrap().text().await.unwrap(),
        r#"{"role":"owner","preferredLanguage":"en"}"#
    );
    world.sign_in().await;

    let (_, done) = world.get(&format!("/api/sessions/{DONE}")).await;
    let session = &done["session"];
    assert_eq!(
        json!([
            session["name"],
            session["taskCard"],
            session["novel"],
            session["latestSeq"],
            session["messageCount"]
        ]),
        json!(["March sales cleanup", {"version": 1}, {"a": [1]}, 3, 2])
    );
    // Values that nobody understands hide nothing, and what is no session is told of.
    assert_eq!((session.get("sidebarOrder"), session.get("invalidFields")), (None, None));
    let reason = "1 of its entries are no sessions; they are kept and not shown";
    let damaged = json!([{"path": "chat-sessions.json", "reason": reason}]);
    assert_eq!(world.get("/api/health").await.1["damaged"], damaged);
    let events = world.events(DONE, "all").await;
    let texts: Vec<&Value> = events.iter().map(|event| &event["content"]).collect();
    assert_eq!(texts, ["Clean up March", "a long thought", "Cleaned up"]);
    assert_eq!(events[1]["bodyLoaded"], true);
    // The run is known by its request, as ever.
    let (status, again) = world.send(DONE, "old-1", "Clean up March").await;
    assert_eq!(
        (status, &again["duplicate"], &again["run"]["id"], &again["run"]["state"]),
        (StatusCode::OK, &json!(true), &json!(RUN), &json!("completed"))
    );
    let (_, accepted) = world.send(DONE, "new-1", "and April").await;
    assert_eq!(world.ended(accepted["run"]["id"].as_str().unwrap()).await["state"], "completed");
    assert_eq!(world.events(DONE, "all").await[3]["seq"], 4);

    // What waited is delivered, and known after that.
    world.until(WAITING, |session| session["messageCount"] == 2).await;
    let events = world.events(WAITING, "all").await;
    assert_eq!((&events[0]["content"], &events[0]["sourceContext"]), (&json!("wake up"), &json!({"n": 1})));
    let (_, waiting) = world.get(&format!("/api/sessions/{WAITING}")).await;
    let source = [&waiting["session"]["sourceId"], &waiting["session"]["sourceName"]];
    assert_eq!(source, [&json!("github"), &json!("Our GitHub")]);
    let (status, again) = world.send(WAITING, "q-1", "wake up").await;
    assert_eq!((status, &again["duplicate"]), (StatusCode::OK, &json!(true)));

    // A run whose processes are gone has ended, with what it had printed.
    let run = world.ended(ORPHAN).await;
    assert_eq!(run["state"], "failed");
    assert!(run["failureReason"].as_str().unwrap().starts_with("The work was cut off"), "{run}");
    let events = world.events(CUT_OFF, "all").await;
    let told: Vec<&Value> = events.iter().map(|event| &event["content"]).collect();
    assert_eq!(told[..2], ["go", "half an answer"]);
    // One that had printed nothing yet is not started a second time.
    let run = world.ended(SILENT_RUN).await;
    assert!(run["failureReason"].as_str().unwrap().starts_with("The work was cut off"), "{run}");
    let events = world.events(SILENT, "all").await;
    let types: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["message", "status"]);

    world.stop().await;
    let list: Vec<Value> = serde_json::from_slice(&fs::read(paths.chat_sessions()).unwrap()).unwrap();
    let row = list.iter().find(|row| row["id"] == DONE).unwrap();
    assert_eq!((&row["taskCard"], &row["novel"]), (&json!({"version": 1}), &json!({"a": [1]})));
    assert_eq!(row["invalidFields"], json!({"sidebarOrder": "3"}));
    assert!(list.contains(&json!("no session")), "{list:?}");
    let auth: Value = serde_json::from_slice(&fs::read(paths.auth()).unwrap()).unwrap();
    assert_eq!(auth["novel"], true);
}

fn lay_out(paths: &InstancePaths, root: &Path) {
    let mut auth: Value = serde_json::from_slice(&fs::read(paths.auth()).unwrap()).unwrap();
    auth["novel"] = true.into();
    put(&paths.auth(), &auth);
    let login = json!({"expiry": 4_102_444_800_000_i64, "role": "owner", "preferredLanguage": "en"});
    put(&paths.auth_sessions(), &json!({ LOGIN: login }));
    let session = |id: &str, more: Value| {
        let mut session =
            json!({"id": id, "folder": root, "tool": "echo", "name": "old", "created": AT, "updatedAt": AT});
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        session
    };
    let done = json!({"name": "March sales cleanup", "taskCard": {"version": 1}, "novel": {"a": [1]},
        "activeRun": null, "status": "idle", "queuedMessageCount": 0,
        "pinned": null, "sidebarOrder": "3", "followUpQueue": null});
    let queue = json!([{"requestId": "q-1", "text": "wake up", "queuedAt": AT, "images": [], "sourceContext": {"n": 1}}]);
    put(
        &paths.chat_sessions(),
        &json!([
            session(DONE, done),
            session(WAITING, json!({"followUpQueue": queue, "appId": "github", "appName": "Our GitHub"})),
            session(CUT_OFF, json!({"activeRunId": ORPHAN})),
            session(SILENT, json!({"activeRunId": SILENT_RUN})),
            "no session",
        ]),
    );
    let asked = |run: &str, request: &str, text: &str| {
        json!({"type": "message", "id": "evt_000012", "timestamp": 1_795_332_399_206_i64, "role": "user",
            "content": text, "requestId": request, "runId": run, "seq": 1})
    };
    let history = paths.chat_history().join(DONE);
    put(&history.join("events/000000001.json"), &asked(RUN, "old-1", "Clean up March"));
    put(
        &history.join("events/000000002.json"),
        &json!({"type": "reasoning", "id": "evt_000013", "timestamp": 1, "role": "assistant", "content": "a long…",
            "runId": RUN, "seq": 2, "bodyAvailable": true, "bodyLoaded": false, "bodyField": "content",
            "bodyRef": "evt_000000002_content", "bodyBytes": 14}),
    );
    fs::create_dir_all(history.join("bodies")).unwrap();
    fs::write(history.join("bodies/evt_000000002_content.txt"), "a long thought").unwrap();
    put(
        &history.join("events/000000003.json"),
        &json!({"type": "message", "id": "evt_000014", "timestamp": 2, "role": "assistant", "content": "Cleaned up",
            "runId": RUN, "requestId": "old-1", "seq": 3}),
    );
    put(
        &history.join("meta.json"),
        &json!({"latestSeq": 3, "lastEventAt": 2, "lastAssistantMessageAt": 2, "size": 3,
            "counts": {"message": 2, "message_user": 1, "message_assistant": 1, "reasoning": 1}}),
    );
    // The figures of this one were never written.
    put(&paths.chat_history().join(CUT_OFF).join("events/000000001.json"), &asked(ORPHAN, "old-2", "go"));
    put(&paths.chat_history().join(SILENT).join("events/000000001.json"), &asked(SILENT_RUN, "old-3", "go"));
    let dead = json!({"state": "running", "startedAt": AT, "runnerProcessId": 999_999_999, "toolProcessId": 999_999_998});
    run(paths, root, SILENT_RUN, SILENT, "old-3", &dead);
    run(
        paths,
        root,
        RUN,
        DONE,
        "old-1",
        &json!({"state": "completed", "completedAt": AT, "finalizedAt": AT,
        "result": {"completedAt": AT, "exitCode": 0, "signal": null, "cancelled": false}}),
    );
    run(
        paths,
        root,
        ORPHAN,
        CUT_OFF,
        "old-2",
        &json!({"state": "running", "startedAt": AT,
        "runnerProcessId": 999_999_999, "toolProcessId": 999_999_998}),
    );
    let line =
        r#"{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"half an answer"}}"#;
    let record = json!({"ts": AT, "stream": "stdout", "line": line});
    fs::write(paths.chat_runs().join(ORPHAN).join("spool.jsonl"), format!("{record}\n")).unwrap();
}

fn run(paths: &InstancePaths, root: &Path, id: &str, session: &str, request: &str, more: &Value) {
    let folder = paths.chat_runs().join(id);
    let manifest = json!({"sessionId": session, "requestId": request, "folder": root, "tool": "echo", "prompt": "p",
        "internalOperation": null, "options": {"images": [], "thinking": false}, "id": id});
    put(&folder.join("manifest.json"), &manifest);
    let mut status = json!({"id": id, "sessionId": session, "requestId": request, "tool": "echo", "createdAt": AT,
        "updatedAt": AT, "novel": 1});
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    put(&folder.join("status.json"), &status);
}

fn put(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_string_pretty(value).unwrap()).unwrap();
}
