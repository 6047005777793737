//! What follows a turn by itself.

use std::fs;
use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{World, executable};

/// Answers questions about a turn with the root's file `about`, waits for its file `go` if there is a file
/// `wait`, and repeats everything else when there is no file `hold`. Every question leaves a line in `asked`.
const SCRIPT: &str = r#"for last; do :; done
root=$(dirname "$0")
case "$last" in
*'Answer with a JSON object with these keys'*)
  echo "$*" | head -n 1 >>"$root/asked"
  text=$(sed 's/\\/\\\\/g; s/"/\\"/g' "$root/about")
  while [ -e "$root/wait" ] && [ ! -e "$root/go" ]; do sleep 0.02; done ;;
*)
  while [ -e "$root/hold" ]; do sleep 0.02; done
  case "$last" in *'write made.txt') echo made >made.txt ;; esac
  text="echo: $(printf '%s' "$last" | tail -n 1)" ;;
esac
echo '{"type":"thread.started","thread_id":"t"}'
printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"%s"}}\n' "$text"
"#;

const ASK: (&str, &str) = ("REMOTELAB_TURN_HELPER_TOOL", "echo");
const REVIEW: (&str, &str) = ("REMOTELAB_REPLY_SELF_CHECK", "all");

async fn world(variables: &[(&str, &str)], about: &Value) -> World {
    let world = World::signed_in_with(SCRIPT, variables).await;
    fs::write(world.root.path().join("about"), about.to_string()).unwrap();
    world
}

fn file(world: &World, name: &str) -> PathBuf {
    world.root.path().join(name)
}

fn times_asked(world: &World) -> usize {
    fs::read_to_string(file(world, "asked")).unwrap_or_default().lines().count()
}

/// Sends a message whose answer goes to a target, too, and waits for the end of its run.
async fn told_elsewhere(world: &World, session: &str, request_id: &str, text: &str) -> String {
    let targets = json!([{"type": "email", "to": "a@example.com"}]);
    let message = json!({"requestId": request_id, "text": text, "completionTargets": targets});
    let (_, answer) = world.post(&format!("/api/sessions/{session}/messages"), &message).await;
    let run = answer["run"]["id"].as_str().unwrap().to_owned();
    world.ended(&run).await;
    run
}

fn is_settled(session: &Value) -> bool {
    let activity = &session["activity"];
    activity["run"]["state"] == "idle"
        && activity["rename"]["state"] == "idle"
        && activity["queue"]["count"] == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_gives_a_session_its_labels_state_and_card() {
    let about = json!({"title": "March figures", "group": "Sales", "description": "Cleans the table.",
        "workflowState": "waiting for user", "taskCard": {"goal": "A clean table", "needsFromUser": ["the year"]}});
    let world = world(&[ASK], &about).await;
    let session = world.session().await;
    let run = world.turn(&session, "r-1", "clean the march sales").await;
    let told = world.until(&session, |session| session["name"] == "March figures").await;
    assert_eq!(
        json!({"group": told["group"], "description": told["description"], "pending": told["autoRenamePending"],
            "state": told["workflowState"], "priority": told["workflowPriority"], "goal": told["taskCard"]["goal"],
            "card": told["workState"]["taskCard"]["needsFromUser"], "afterTurn": told["afterTurn"]}),
        json!({"group": "Sales", "description": "Cleans the table.", "pending": false, "state": "waiting_user",
            "priority": "high", "goal": "A clean table", "card": ["the year"], "afterTurn": null})
    );
    assert_eq!(times_asked(&world), 1);
    // The question is a run of its own that adds nothing to the history.
    let events = world.events(&session, "all").await;
    let runs: Vec<&Value> = events.iter().map(|event| &event["runId"]).filter(|run| !run.is_null()).collect();
    assert!(runs.iter().all(|id| **id == run), "{runs:?}");
    // The next question asks only what changes with every turn, and sees the card.
    world.turn(&session, "r-2", "more").await;
    world.until(&session, |session| is_settled(session) && times_asked(&world) == 2).await;
    let asked =
        fs::read_dir(world.root.path().join("config/chat-runs")).unwrap().map(|run| run.unwrap().file_name());
    let prompts: Vec<String> = asked.map(|run| world.prompt(run.to_str().unwrap())).collect();
    let question = prompts.iter().find(|prompt| prompt.contains("The task card so far\n{")).unwrap();
    assert!(question.contains("A clean table") && !question.contains("\"title\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_tools_that_would_act_or_when_it_is_switched_off() {
    for variables in [&[][..], &[ASK, ("REMOTELAB_TURN_HELPER", "off")]] {
        let world = world(variables, &json!({"title": "t"})).await;
        let session = world.session().await;
        world.turn(&session, "r-1", "hello").await;
        let told = world.until(&session, is_settled).await;
        assert_eq!((told["name"].as_str(), times_asked(&world)), (Some("hello"), 0));
    }
}

/// A tool of the owner's own whose program is one that can answer without tools.
#[tokio::test(flavor = "multi_thread")]
async fn a_custom_tool_that_is_codex_names_its_sessions() {
    let world = World::signed_in_with("", &[]).await;
    let codex = r#"echo "$*" | tr '\n' ' ' >>"$(dirname "$0")/calls"; echo >>"$(dirname "$0")/calls"
echo '{"type":"thread.started","thread_id":"t"}'
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"{\"title\": \"Greeting\"}"}}'"#;
    executable(&world.root.path().join("bin/codex"), codex);
    let tools = json!([{"id": "micro-agent", "name": "Micro Agent", "command": "codex", "runtimeFamily": "codex-json"}]);
    fs::write(world.root.path().join("config/tools.json"), tools.to_string()).unwrap();
    let create = json!({"folder": world.root.path(), "tool": "micro-agent"});
    let (_, made) = world.post("/api/sessions", &create).await;
    let session = made["session"]["id"].as_str().unwrap();
    world.turn(session, "r-1", "hello").await;
    world.until(session, |session| session["name"] == "Greeting").await;
    let calls = fs::read_to_string(world.root.path().join("bin/calls")).unwrap();
    let question = calls.lines().last().unwrap();
    assert!(question.starts_with("exec --json --sandbox read-only --disable shell_tool "), "{question}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_names_a_session_in_which_something_stands_already() {
    let world = world(&[], &json!({})).await;
    let session = world.session().await;
    let welcome = json!({"text": "What shall we do?"});
    world.post(&format!("/api/sessions/{session}/assistant-messages"), &welcome).await;
    let name = async |text: &str, request: &str| {
        world.turn(&session, request, text).await;
        world.get(&format!("/api/sessions/{session}")).await.1["session"]["name"].clone()
    };
    assert_eq!(name("count the chairs", "r-1").await, "count the chairs");
    assert_eq!(name("and the tables", "r-2").await, "count the chairs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_the_reply_carries_is_kept_and_not_asked_for() {
    let world = world(&[ASK], &json!({"title": "Chairs", "taskCard": {"goal": "of the call"}})).await;
    let session = world.session().await;
    let card = r#"<task_card>{\"goal\": \"of the reply\"}</task_card>"#;
    let run = world.turn(&session, "r-1", card).await;
    let told = world.until(&session, |session| session["name"] == "Chairs").await;
    assert_eq!(told["taskCard"]["goal"], "of the reply");
    assert_eq!(
        keys(&question(&world, &session, &run).await),
        ["title", "group", "description", "workflowState"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_chosen_with_the_owners_projects_and_other_sessions_in_view() {
    let world = world(&[ASK], &json!({"title": "Chairs"})).await;
    let projects = "# Projects\n\n## Office\n- Path: `/w/office`\n- Triggers: chairs, tables\n\n## Garden\n- Triggers: roses\n";
    fs::write(world.root.path().join("memory/projects.md"), projects).unwrap();
    let other = world.session().await;
    let patch = json!({"name": "Invoices", "group": "Office", "description": "Sorts the invoices."});
    let path = format!("/api/sessions/{other}");
    let patched = world.request(reqwest::Method::PATCH, &path).json(&patch).send().await.unwrap();
    assert_eq!(patched.status(), StatusCode::OK);
    let session = world.session().await;
    let run = world.turn(&session, "r-1", "count the chairs").await;
    world.until(&session, |session| session["name"] == "Chairs").await;
    let question = question(&world, &session, &run).await;
    for told in [
        "\n\nKnown projects\n- Office: Path: `/w/office`; Triggers: chairs, tables\n\n",
        "\n\nOther sessions\nGroups: Office (1)\n- [Office] Invoices — Sorts the invoices.\n\n",
    ] {
        assert!(question.contains(told), "{question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_useless_answer_leaves_the_session_usable_and_says_so() {
    let world = world(&[ASK], &json!("no idea")).await;
    let session = world.session().await;
    world.turn(&session, "r-1", "hello").await;
    let told = world.until(&session, |session| session["activity"]["rename"]["state"] == "failed").await;
    assert_eq!(told["activity"]["rename"]["error"], "the answer was not understood");
    assert_eq!(told["name"], "hello");
    world.turn(&session, "r-2", "again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_44_a_question_survives_a_restart_and_is_asked_once() {
    let mut world = world(&[ASK], &json!({"title": "March sales"})).await;
    fs::write(file(&world, "wait"), "").unwrap();
    let session = world.session().await;
    world.turn(&session, "r-1", "hello").await;
    world
        .until(&session, |session| {
            session["activity"]["rename"]["state"] == "pending" && times_asked(&world) == 1
        })
        .await;
    world.restart().await;
    fs::write(file(&world, "go"), "").unwrap();
    world.until(&session, |session| session["name"] == "March sales").await;
    assert_eq!(times_asked(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_turn_does_not_wait_for_the_question_about_the_last_one() {
    let world = world(&[ASK], &json!({"title": "March sales"})).await;
    fs::write(file(&world, "wait"), "").unwrap();
    let session = world.session().await;
    world.turn(&session, "r-1", "hello").await;
    world.turn(&session, "r-2", "at once").await;
    fs::write(file(&world, "go"), "").unwrap();
    world.until(&session, |session| session["name"] == "March sales").await;
}

/// Reads what was asked about a run.
async fn question(world: &World, session: &str, run: &str) -> String {
    let (_, listed) = world.get(&format!("/api/sessions/{session}/runs")).await;
    let about = format!("turn_helper:{run}");
    let helper = listed["runs"].as_array().unwrap().iter().find(|run| run["requestId"] == about).unwrap();
    world.prompt(helper["id"].as_str().unwrap())
}

/// Returns what a question asks for.
fn keys(question: &str) -> Vec<&str> {
    let (_, keys) = question.split_once("with these keys:").unwrap();
    let all = ["title", "group", "description", "workflowState", "taskCard", "action"];
    all.into_iter().filter(|key| keys.contains(&format!("\"{key}\""))).collect()
}

/// Sends a message to a session that is held at work, so that it waits; returns the run at work.
async fn wait_behind(world: &World, session: &str) -> String {
    fs::write(file(world, "hold"), "").unwrap();
    let (_, first) = world.send(session, "r-1", "hello").await;
    assert_eq!(world.send(session, "q-1", "and this").await.1["queued"], true);
    fs::remove_file(file(world, "hold")).unwrap();
    first["run"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_messages_are_delivered_while_the_last_turn_is_asked_about() {
    let world = world(&[ASK, REVIEW], &json!({"title": "March sales", "workflowState": "done"})).await;
    fs::write(file(&world, "wait"), "").unwrap();
    let session = world.session().await;
    let run = wait_behind(&world, &session).await;
    // No question is answered yet.
    world.until(&session, |session| session["messageCount"] == 4 && times_asked(&world) == 2).await;
    assert_eq!(keys(&question(&world, &session, &run).await), ["title", "group", "description"]);
    fs::write(file(&world, "go"), "").unwrap();
    world
        .until(&session, |session| session["name"] == "March sales" && session["workflowState"] == "done")
        .await;
}

/// As many questions as are asked at once are under way already.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_was_not_begun_gives_way_to_messages() {
    let world = world(&[ASK, REVIEW], &json!({"title": "Greeting", "action": "accept"})).await;
    fs::write(file(&world, "wait"), "").unwrap();
    for _ in 0..2 {
        let other = world.session().await;
        world.turn(&other, "r", "hello").await;
    }
    let session = world.session().await;
    world.until(&session, |_| times_asked(&world) == 2).await;
    let run = world.turn(&session, "r-1", "hello").await;
    assert_eq!(world.send(&session, "r-2", "next").await.1["queued"], true);
    fs::write(file(&world, "go"), "").unwrap();
    world.until(&session, |session| session["messageCount"] == 4 && is_settled(session)).await;
    let events = world.events(&session, "all").await;
    let of_first = events.iter().filter(|event| event["runId"] == run.as_str());
    let lines: Vec<&str> = of_first
        .filter_map(|event| event["content"].as_str())
        .filter(|text| text.starts_with("Assistant self-check:"))
        .collect();
    assert_eq!(
        lines,
        ["Assistant self-check: reviewing the reply", "Assistant self-check: new messages came first"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_reply_holds_messages_back_until_it_was_reviewed() {
    let world = world(&[ASK, REVIEW], &json!({"action": "accept", "title": "Greeting"})).await;
    fs::write(file(&world, "wait"), "").unwrap();
    let session = world.session().await;
    let run = world.turn(&session, "r-1", "hello").await;
    let told =
        world.until(&session, |session| times_asked(&world) == 1 && session["latestSeq"].is_u64()).await;
    assert_eq!(told["activity"]["run"]["phase"], "reply_self_check");
    let (_, reply) = world.get(&format!("/api/runs/{run}/reply")).await;
    assert_eq!((&reply["reply"], &reply["settledRunId"]), (&json!("echo: hello"), &Value::Null));
    let (status, answer) = world.send(&session, "r-2", "next").await;
    assert_eq!((status, &answer["queued"]), (StatusCode::ACCEPTED, &json!(true)));
    // The reply can be read all the while.
    let shown = world.events(&session, "visible").await;
    assert!(shown.iter().any(|event| event["content"] == "echo: hello"), "{shown:?}");
    fs::write(file(&world, "go"), "").unwrap();
    fs::remove_file(file(&world, "wait")).unwrap();
    world.until(&session, |session| session["messageCount"] == 4 && is_settled(session)).await;
    let (_, found) = world.get(&format!("/api/sessions/{session}/runs?requestId=r-2")).await;
    let next = &found["runs"][0]["id"];
    let (_, reply) = world.get(&format!("/api/runs/{}/reply", next.as_str().unwrap())).await;
    assert_eq!(
        (&found["requestId"], &reply["reply"], &reply["settledRunId"]),
        (&json!("r-2"), &json!("echo: next"), next)
    );
    let events = world.events(&session, "all").await;
    let of_first = events.iter().filter(|event| event["runId"] == run.as_str());
    let lines: Vec<&str> = of_first
        .filter_map(|event| event["content"].as_str())
        .filter(|text| text.starts_with("Assistant self-check:"))
        .collect();
    assert_eq!(
        lines,
        ["Assistant self-check: reviewing the reply", "Assistant self-check: the reply stands"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_found_missing_is_done_once_and_not_reviewed_again() {
    let about = json!({"title": "Greeting", "action": "continue", "reason": "the file is missing", "continuationPrompt": "write made.txt"});
    let world = world(&[ASK, REVIEW], &about).await;
    let session = world.session().await;
    let first = told_elsewhere(&world, &session, "r-1", "hello").await;
    // So does who carries it elsewhere: both, and not before.
    let (_, waiting) = world.get("/api/completions?wait=20").await;
    assert_eq!(waiting["completions"][0]["reply"], "echo: hello\n\necho: write made.txt");
    assert_eq!(waiting["completions"].as_array().unwrap().len(), 1);
    // Whoever waits for the reply that stands gets the last one, and hears of no earlier one.
    let settled = format!("/api/runs/{first}/reply?wait=20&settled=1");
    let (_, reply) = world.get(&settled).await;
    assert_eq!((&reply["runId"], &reply["reply"]), (&json!(first), &json!("echo: write made.txt")));
    assert_ne!(reply["settledRunId"], reply["runId"]);
    // With the file that was missing, which is offered as any other.
    assert_eq!(reply["attachments"][0]["originalName"], "made.txt");
    assert_eq!(reply["attachments"], waiting["completions"][0]["attachments"]);
    let (_, own) = world.get(&format!("/api/runs/{first}/reply")).await;
    assert_eq!((&own["reply"], &own["settledRunId"]), (&json!("echo: hello"), &reply["settledRunId"]));
    let has_repair = |session: &Value| session["messageCount"] == 4 && is_settled(session);
    world.until(&session, has_repair).await;
    let events = world.events(&session, "all").await;
    let users = events.iter().filter(|event| event["type"] == "message" && event["role"] == "user").count();
    let last = events.iter().rfind(|event| event["type"] == "message" && event["content"] != "").unwrap();
    assert_eq!((users, last["content"].as_str()), (1, Some("echo: write made.txt")));
    let (_, run) = world.get(&format!("/api/runs/{}", last["runId"].as_str().unwrap())).await;
    assert_eq!(run["run"]["internalOperation"], "reply_self_repair");
    let reviews =
        events.iter().filter(|event| event["operation"] == "continue_turn" && event["phase"] == "queued");
    assert_eq!(reviews.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_22_new_messages_come_before_what_a_review_found_missing() {
    let about = json!({"title": "Greeting", "action": "continue", "continuationPrompt": "write the file"});
    let world = world(&[ASK, REVIEW], &about).await;
    fs::write(file(&world, "wait"), "").unwrap();
    let session = world.session().await;
    world.turn(&session, "r-1", "hello").await;
    world.until(&session, |_| times_asked(&world) == 1).await;
    assert_eq!(world.send(&session, "r-2", "never mind").await.1["queued"], true);
    // For the question about the next turn; the one that is under way has its answer.
    fs::write(file(&world, "about"), json!({"action": "accept", "title": "Greeting"}).to_string()).unwrap();
    fs::write(file(&world, "go"), "").unwrap();
    world.until(&session, |session| session["messageCount"] == 4 && is_settled(session)).await;
    let events = world.events(&session, "all").await;
    assert!(events.iter().all(|event| event["content"] != "echo: write the file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_44_a_question_that_is_not_answered_ends_in_time() {
    let world = world(&[ASK, ("REMOTELAB_TURN_HELPER_TIMEOUT_MS", "300")], &json!({"title": "Late"})).await;
    fs::write(file(&world, "wait"), "").unwrap();
    let session = world.session().await;
    world.turn(&session, "r-1", "hello").await;
    let told = world.until(&session, |session| session["activity"]["rename"]["state"] == "failed").await;
    assert_eq!(told["activity"]["rename"]["error"], "the executor took too long");
    let (_, runs) = world.get(&format!("/api/sessions/{session}/runs")).await;
    assert_eq!(
        (runs["runs"][0]["internalOperation"].as_str(), runs["runs"][0]["state"].as_str()),
        (Some("turn_helper"), Some("cancelled"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_14_codex_is_asked_with_the_login_that_it_works_with() {
    let world = World::signed_in_with("", &[]).await;
    let codex = r#"cat >/dev/null
echo "$CODEX_HOME" >>"$(dirname "$0")/homes"
echo '{"type":"thread.started","thread_id":"t"}'
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"{\"title\": \"Greeting\"}"}}'"#;
    executable(&world.root.path().join("bin/codex"), codex);
    let session = world.session().await;
    let body = json!({"requestId": "r-1", "text": "hello", "tool": "codex"});
    world.post(&format!("/api/sessions/{session}/messages"), &body).await;
    world.until(&session, |session| session["name"] == "Greeting").await;
    let homes = fs::read_to_string(world.root.path().join("bin/homes")).unwrap();
    let managed = world.root.path().join("config/provider-runtime-homes/codex");
    assert_eq!(homes.lines().collect::<Vec<_>>(), [managed.to_str().unwrap(); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_23_a_review_that_cannot_be_read_costs_no_run() {
    let world = world(&[ASK, REVIEW], &json!("hm")).await;
    let session = world.session().await;
    world.turn(&session, "r-1", "hello").await;
    world.until(&session, |session| session["activity"]["run"]["state"] == "idle").await;
    let events = world.events(&session, "all").await;
    let said = events.iter().filter(|event| event["type"] == "message").count();
    let told = events.iter().rfind(|event| event["operation"] == "continue_turn").unwrap();
    assert_eq!((said, told["phase"].as_str()), (2, Some("failed")));
}
