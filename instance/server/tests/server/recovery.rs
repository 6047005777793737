//! What a server finds broken or half begun when it starts.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::queue::GATED;
use super::world::{ECHO, World, executable};

const LOST: &str =
    "error: the record of the last run is damaged, so its result is lost; please send the message again";

fn record(world: &World, run: &str) -> PathBuf {
    world.root.path().join(format!("config/chat-runs/{run}/status.json"))
}

/// Opens the gate behind which runs of a folder wait.
fn go(world: &World) {
    fs::write(world.root.path().join("go"), "").unwrap();
}

async fn statuses(world: &World, session: &str) -> Vec<Value> {
    let events = world.events(session, "all").await;
    events
        .into_iter()
        .filter(|event| event["type"] == "status")
        .map(|event| event["content"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_record_is_damaged_is_given_up_and_messages_go_on() {
    let mut world = World::signed_in(GATED).await;
    let session = world.session().await;
    let (_, first) = world.send(&session, "r-1", "start").await;
    assert_eq!(world.send(&session, "r-2", "and this").await.1["queued"], true);
    let record = record(&world, first["run"]["id"].as_str().unwrap());
    world.stopped_for(|| fs::write(&record, "{").unwrap()).await;
    while !statuses(&world, &session).await.contains(&json!(LOST)) {
        tokio::task::yield_now().await;
    }
    go(&world);
    world.until(&session, |session| session["messageCount"] == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_whose_record_is_damaged_is_given_up_and_messages_go_on() {
    let script = r#"for last; do :; done
case "$last" in 'Summarise a work session'*) while [ ! -e go ]; do sleep 0.02; done ;; esac
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"ok"}}'"#;
    let mut world = World::signed_in(script).await;
    let session = world.session().await;
    world.turn(&session, "r-1", "good morning").await;
    world.post(&format!("/api/sessions/{session}/compact"), &json!({})).await;
    assert_eq!(world.send(&session, "r-2", "and on").await.1["queued"], true);
    let (_, told) = world.get(&format!("/api/sessions/{session}")).await;
    let compactor = told["session"]["compactionSessionId"].as_str().unwrap();
    let (_, runs) = world.get(&format!("/api/sessions/{compactor}/runs")).await;
    let record = record(&world, runs["runs"][0]["id"].as_str().unwrap());
    world.stopped_for(|| fs::write(&record, "{").unwrap()).await;
    world.until(&session, |session| session["messageCount"] == 4).await;
    let failed = "error: the conversation was not summarised: its record is damaged";
    assert!(statuses(&world, &session).await.contains(&json!(failed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_before_it_takes_its_run_over_is_replaced() {
    let world = World::signed_in(ECHO).await;
    let runner = world.root.path().join("remotelab");
    let proper = fs::read_to_string(&runner).unwrap();
    let once = world.root.path().join("died");
    executable(&runner, &format!("[ -e '{0}' ] || {{ : >'{0}'; exit 1; }}\n{proper}", once.display()));
    let session = world.session().await;
    let run = world.turn(&session, "r-1", "hello").await;
    assert!(once.exists());
    let (_, told) = world.get(&format!("/api/runs/{run}/reply")).await;
    assert_eq!((&told["state"], &told["reply"]), (&json!("completed"), &json!("echo: hello")));
}
