//! What executors are told of the past: summaries, forks, dropped tool results, templates, other executors.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{ECHO, World, executable};

/// Summarises when it is asked to, as the root's file `summary` says, after its file `go` has come; tells
/// the figures of a full window when it is told to; repeats everything else.
const SCRIPT: &str = r#"for last; do :; done
root=$(dirname "$0")
text="echo: $(printf '%s' "$last" | tail -n 1)"
case "$last" in
'Summarise a work session'*)
  while [ ! -e "$root/go" ]; do sleep 0.02; done
  text=$(cat "$root/summary") ;;
*'fill it')
  echo '{"type":"remotelab.context_metrics","contextTokens":7000,"inputTokens":1,"outputTokens":1,"contextWindowTokens":6000,"contextSource":"provider_last_token_count"}' ;;
esac
echo '{"type":"item.completed","item":{"id":"c","type":"command_execution","command":"make","aggregated_output":"built","exit_code":0,"status":"completed"}}'
printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"%s"}}\n' "$text"
"#;

const SUMMARY: &str = "<summary>they greeted each other</summary><handoff>All is kept.</handoff>";

async fn world(summary: &str) -> World {
    let world = World::signed_in(SCRIPT).await;
    fs::write(world.root.path().join("summary"), summary).unwrap();
    world
}

fn go(world: &World) {
    fs::write(world.root.path().join("go"), "").unwrap();
}

async fn act(world: &World, session: &str, action: &str) -> (StatusCode, Value) {
    world.post(&format!("/api/sessions/{session}/{action}"), &json!({})).await
}

fn error(status: StatusCode, text: &str) -> (StatusCode, Value) {
    (status, json!({"error": text}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_takes_the_place_of_what_was_said() {
    let world = world(SUMMARY).await;
    let session = world.session().await;
    world.turn(&session, "r-1", "good morning").await;
    let (status, answer) = act(&world, &session, "compact").await;
    assert_eq!((status, &answer["ok"]), (StatusCode::OK, &json!(true)));
    assert_eq!(answer["session"]["activity"]["compact"]["state"], "pending");
    // Once is enough, and messages wait.
    let unable = error(StatusCode::CONFLICT, "Unable to compact session");
    assert_eq!(act(&world, &session, "compact").await, unable);
    assert_eq!(world.send(&session, "r-2", "what did we say?").await.1["queued"], true);
    go(&world);
    let told = world
        .until(&session, |session| {
            session["messageCount"] == 5 && session["activity"]["run"]["state"] == "idle"
        })
        .await;
    assert_eq!(
        json!([
            told["contextMode"],
            told["activeMessageCount"],
            told["compactedThroughSeq"].as_u64() < told["activeFromSeq"].as_u64()
        ]),
        json!(["summary", 2, true])
    );
    let events = world.events(&session, "all").await;
    let handoff = events.iter().find(|event| event["source"] == "context_compaction_handoff").unwrap();
    assert_eq!(handoff["content"], "All is kept.");
    let operations: Vec<&str> = events.iter().filter_map(|event| event["phase"].as_str()).collect();
    assert_eq!(operations, ["queued", "applied"]);
    let asked = events.iter().rfind(|event| event["role"] == "user").unwrap();
    let prompt = world.prompt(asked["runId"].as_str().unwrap());
    assert!(prompt.contains("[Conversation summary]\nthey greeted each other"), "{prompt}");
    assert!(prompt.contains("[Earlier tool activity index]\nTools used: bash ×1"), "{prompt}");
    assert!(!prompt.contains("good morning"), "{prompt}");
    // The session that summarised is hidden, and knew nothing of how this one is run.
    let (_, list) = world.get("/api/sessions").await;
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(act(&world, &"0".repeat(32), "compact").await, unable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_fails_changes_nothing_and_says_why() {
    let world = world("I would rather not").await;
    go(&world);
    let session = world.session().await;
    let unable = error(StatusCode::CONFLICT, "Unable to compact session");
    assert_eq!(act(&world, &session, "compact").await, unable);
    world.turn(&session, "r-1", "good morning").await;
    assert_eq!(act(&world, &session, "compact").await.0, StatusCode::OK);
    let told = world.until(&session, |session| session["activity"]["compact"]["state"] == "idle").await;
    assert_eq!(told["contextMode"], "history");
    let events = world.events(&session, "all").await;
    let said = events.iter().rfind(|event| event["type"] == "status").unwrap();
    assert_eq!(said["content"], "error: the conversation was not summarised: it held no summary");
    let run = world.turn(&session, "r-2", "again").await;
    assert!(world.prompt(&run).contains("good morning"));
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_21_messages_wait_for_a_summary_across_a_restart() {
    let mut world = world(SUMMARY).await;
    let session = world.session().await;
    world.turn(&session, "r-1", "good morning").await;
    assert_eq!(act(&world, &session, "compact").await.0, StatusCode::OK);
    world.restart().await;
    assert_eq!(world.send(&session, "r-2", "what did we say?").await.1["queued"], true);
    go(&world);
    world
        .until(&session, |session| {
            session["messageCount"] == 5 && session["activity"]["run"]["state"] == "idle"
        })
        .await;
    let events = world.events(&session, "all").await;
    let summaries = events.iter().filter(|event| event["type"] == "context_barrier").count();
    assert_eq!(summaries, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_39_a_full_window_is_summarised_by_itself_also_with_a_title_pending() {
    let world = world(SUMMARY).await;
    go(&world);
    let session = world.session().await;
    world.turn(&session, "r-1", "fill it").await;
    let told = world.until(&session, |session| session["contextMode"] == "summary").await;
    assert_eq!(
        (told["autoRenamePending"].as_bool(), &told["contextTokenEstimate"]),
        (Some(true), &Value::Null)
    );
    let events = world.events(&session, "all").await;
    let barrier = events.iter().find(|event| event["type"] == "context_barrier").unwrap();
    assert_eq!(barrier["automatic"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_tool_results_are_told_no_more() {
    let world = world("").await;
    let session = world.session().await;
    let unable = error(StatusCode::CONFLICT, "Unable to drop tool results");
    assert_eq!(act(&world, &session, "drop-tools").await, unable);
    world.turn(&session, "r-1", "good morning").await;
    let (status, answer) = act(&world, &session, "drop-tools").await;
    assert_eq!((status, &answer["session"]["contextMode"]), (StatusCode::OK, &json!("summary")));
    let run = world.turn(&session, "r-2", "and now?").await;
    let prompt = world.prompt(&run);
    assert!(prompt.contains("[User]: good morning\n\n[Assistant]: echo: good morning"), "{prompt}");
    assert!(!prompt.contains("built"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_43_no_turn_writes_a_copy_of_the_conversation() {
    let world = world("").await;
    let session = world.session().await;
    for turn in ["r-1", "r-2"] {
        world.turn(&session, turn, "good morning").await;
    }
    let folder = world.root.path().join("config/chat-history").join(&session);
    assert!(!folder.join("fork-context.json").exists() && !folder.join("context.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_42_a_session_at_work_is_neither_cut_nor_forked() {
    let world = World::signed_in("while :; do sleep 0.05; done").await;
    let session = world.session().await;
    world.send(&session, "r-1", "work").await;
    assert_eq!(
        act(&world, &session, "drop-tools").await,
        error(StatusCode::CONFLICT, "Unable to drop tool results")
    );
    assert_eq!(act(&world, &session, "fork").await, error(StatusCode::CONFLICT, "Session is running"));
    assert_eq!(
        act(&world, &session, "compact").await,
        error(StatusCode::CONFLICT, "Unable to compact session")
    );
    assert_eq!(
        act(&world, &session, "save-template").await,
        error(StatusCode::CONFLICT, "Unable to save template")
    );
    let apply =
        world.post(&format!("/api/sessions/{session}/apply-template"), &json!({"templateId": "app_x"})).await;
    assert_eq!(apply, error(StatusCode::CONFLICT, "Session is running"));
    act(&world, &session, "cancel").await;
    world.until(&session, |session| session["activity"]["run"]["state"] == "idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_has_the_history_and_goes_its_own_way() {
    let world = world("").await;
    let parent = world.session().await;
    world.turn(&parent, "r-1", "good morning").await;
    let patch = json!({"name": "Greetings", "group": "Talk"});
    let request = world.request(reqwest::Method::PATCH, &format!("/api/sessions/{parent}")).json(&patch);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let (status, answer) = act(&world, &parent, "fork").await;
    assert_eq!(status, StatusCode::CREATED);
    let child = &answer["session"];
    let told = json!({"name": child["name"], "pending": child["autoRenamePending"], "from": child["forkedFromSessionId"],
        "root": child["rootSessionId"], "group": child["group"], "seq": child["forkedFromSeq"], "count": child["messageCount"],
        "hidden": child["internalRole"]});
    let (_, seen) = world.get(&format!("/api/sessions/{parent}")).await;
    assert_eq!(
        told,
        json!({"name": "fork - Greetings", "pending": false, "from": parent, "root": parent, "group": "Talk",
            "seq": seen["session"]["latestSeq"], "count": 2, "hidden": null})
    );
    let id = child["id"].as_str().unwrap();
    let contents =
        |events: Vec<Value>| events.into_iter().map(|event| event["content"].clone()).collect::<Vec<_>>();
    assert_eq!(contents(world.events(id, "all").await), contents(world.events(&parent, "all").await));
    assert!(world.events(id, "all").await.iter().all(|event| event["runId"].is_null()));
    let run = world.turn(id, "r-1", "and on").await;
    assert!(world.prompt(&run).contains("good morning"));
    assert_eq!(world.get(&format!("/api/sessions/{parent}")).await.1["session"]["messageCount"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_36_a_template_begins_other_sessions_and_has_no_share_link() {
    let world = world("").await;
    let source = world.session().await;
    assert_eq!(
        act(&world, &source, "save-template").await,
        error(StatusCode::CONFLICT, "Unable to save template")
    );
    world.turn(&source, "r-1", "good morning").await;
    let (status, saved) = world
        .post(&format!("/api/sessions/{source}/save-template"), &json!({"name": " How we  greet "}))
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let template = &saved["template"];
    assert_eq!((template["name"].as_str(), &template["shareToken"]), (Some("How we greet"), &Value::Null));
    assert_eq!(template["templateContext"]["sourceSessionId"], source.as_str());

    let apply = |session: String, body: Value| {
        let world = &world;
        async move { world.post(&format!("/api/sessions/{session}/apply-template"), &body).await }
    };
    let session = world.session().await;
    assert_eq!(
        apply(session.clone(), json!({})).await,
        error(StatusCode::BAD_REQUEST, "templateId is required")
    );
    let unable = error(StatusCode::CONFLICT, "Unable to apply template");
    assert_eq!(apply(session.clone(), json!({"templateId": "app_none"})).await, unable);
    let id = template["id"].clone();
    let (status, answer) = apply(session.clone(), json!({"templateId": id})).await;
    let dressed = &answer["session"];
    assert_eq!(
        (status, &dressed["templateId"], &dressed["sourceName"]),
        (StatusCode::OK, &id, &json!("How we greet"))
    );
    assert_eq!(apply(session.clone(), json!({"templateId": id})).await, unable);
    let events = world.events(&session, "all").await;
    assert_eq!(
        (events[0]["type"].as_str(), events[0]["templateFreshness"].as_str()),
        (Some("template_context"), Some("current"))
    );
    let run = world.turn(&session, "r-1", "hello").await;
    assert!(
        world.prompt(&run).contains("[Applied template context: How we greet]\n[User]\ngood morning"),
        "{}",
        world.prompt(&run)
    );
    let late = error(StatusCode::CONFLICT, "Templates can only be applied before the first message");
    assert_eq!(apply(session, json!({"templateId": id})).await, late);
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_19_an_executor_that_goes_on_hears_what_others_did_meanwhile() {
    let world = World::signed_in(ECHO).await;
    let codex = r#"cat >/dev/null
echo '{"type":"thread.started","thread_id":"thread-1"}'
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"codex was here"}}'"#;
    executable(&world.root.path().join("bin/codex"), codex);
    let session = world.session().await;
    let send = |id: &'static str, text: &'static str, tool: &'static str| {
        let (world, session) = (&world, session.clone());
        async move {
            let body = json!({"requestId": id, "text": text, "tool": tool});
            let (status, answer) = world.post(&format!("/api/sessions/{session}/messages"), &body).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
            let run = answer["run"]["id"].as_str().unwrap().to_owned();
            assert_eq!(world.ended(&run).await["state"], "completed");
            world.prompt(&run)
        }
    };
    send("r-1", "the first thing", "codex").await;
    let same = send("r-2", "the second thing", "codex").await;
    assert!(!same.contains("the first thing") && !same.contains("since you last worked"), "{same}");
    let other = send("r-3", "the third thing", "echo").await;
    assert!(other.contains("the first thing") && other.contains("codex was here"), "{other}");
    let back = send("r-4", "the fourth thing", "codex").await;
    assert!(back.contains("since you last worked in it") && back.contains("echo: the third thing"), "{back}");
    assert!(!back.contains("the second thing"), "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_the_executor_lost_is_begun_anew_with_the_history() {
    let world = World::signed_in("").await;
    let codex = r#"cat >/dev/null
case " $* " in *' resume '*) echo 'Error: no rollout found for thread id thread-1' >&2; exit 1 ;; esac
echo '{"type":"thread.started","thread_id":"thread-1"}'
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"codex was here"}}'"#;
    executable(&world.root.path().join("bin/codex"), codex);
    let session = world.session().await;
    let turn = async |request: &str, text: &str| {
        let body = json!({"requestId": request, "text": text, "tool": "codex"});
        let (_, answer) = world.post(&format!("/api/sessions/{session}/messages"), &body).await;
        let run = answer["run"]["id"].as_str().unwrap().to_owned();
        let state = world.ended(&run).await["state"].clone();
        let (_, told) = world.get(&format!("/api/sessions/{session}")).await;
        (json!([state, told["session"]["codexThreadId"]]), world.prompt(&run))
    };
    assert_eq!(turn("r-1", "the first thing").await.0, json!(["completed", "thread-1"]));
    let (lost, prompt) = turn("r-2", "the second thing").await;
    assert_eq!((lost, prompt.contains("the first thing")), (json!(["failed", null]), false));
    let (anew, prompt) = turn("r-3", "the third thing").await;
    assert_eq!(anew, json!(["completed", "thread-1"]));
    assert!(prompt.contains("[User]\nthe first thing\n\n[Assistant]\ncodex was here"), "{prompt}");
    assert!(prompt.contains("[User]\nthe second thing\n\n[System status]\nerror: "), "{prompt}");
}
