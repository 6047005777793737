//! What an earlier server got wrong behind its surface, each under its number; those that another test shows
//! bear their number there, most of them beside the runner and the store.

use std::time::Duration;

use remotelab_config::InstancePaths;
use remotelab_store::Error as StoreError;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::queue::GATED;
use super::world::{ECHO, World, executable, server};

/// Messages that come at once to an idle session give one run; the others wait, and all are worked on once.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_05_messages_at_once_run_one_after_the_other() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let texts: Vec<String> = (0..20).map(|number| format!("message {number}")).collect();
    let posts = texts.iter().map(|text| world.send(&id, text, text));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::ACCEPTED));
    let started: Vec<&Value> = answers.iter().map(|(_, answer)| &answer["run"]).collect();
    let started: Vec<&&Value> = started.iter().filter(|run| run.is_object()).collect();
    assert_eq!(started.len(), 1);
    assert_eq!(answers.iter().filter(|(_, answer)| answer["queued"] == true).count(), 19);
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(started[0]["id"].as_str().unwrap()).await;
    world.until(&id, |session| session["messageCount"] == 4).await;
    let events = world.events(&id, "all").await;
    let users: Vec<&str> = events
        .iter()
        .filter(|event| event["role"] == "user")
        .map(|event| event["content"].as_str().unwrap())
        .collect();
    assert_eq!(users.len(), 2);
    let lines: Vec<&str> = users.iter().flat_map(|text| text.lines()).collect();
    for text in &texts {
        let told = |line: &&&str| **line == text || line.split_once(". ").is_some_and(|(_, it)| it == text);
        assert_eq!(lines.iter().filter(told).count(), 1, "{text}: {users:?}");
    }
}

/// A run that fails says why, in its record and in the history.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_06_a_failed_run_says_why() {
    let world = World::signed_in("echo 'the disk is full' >&2; exit 3").await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let reason = "Echo stopped with an error: the disk is full (Process exited with code 3)";
    assert_eq!((&run["state"], &run["failureReason"]), (&json!("failed"), &json!(reason)));
    let last = world.events(&id, "visible").await.pop().unwrap();
    assert_eq!((&last["type"], &last["content"]), (&json!("status"), &json!(format!("error: {reason}"))));
}

/// A tool that is gone is said to be gone; no other one takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_07_no_other_tool_takes_the_place_of_one_that_is_gone() {
    let mut world = World::in_a_process(ECHO).await;
    let id = world.session().await;
    let paths = InstancePaths::below(world.root.path());
    std::fs::write(paths.tools(), "[]").unwrap();
    world.kill_and_start_again().await;
    let (status, refused) = world.send(&id, "r", "go").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["error"].as_str().unwrap().starts_with("Unknown tool \"echo\"."), "{refused}");
    assert_eq!(std::fs::read_dir(paths.chat_runs()).unwrap().count(), 0);
}

/// What an adapter has read counts for what comes later, also across the server's death.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_10_a_reader_remembers_across_restarts() {
    let script = r#"echo '{"type":"assistant","message":{"content":[{"type":"text","text":"half"}],"usage":{"input_tokens":5,"cache_read_input_tokens":2}}}'
while [ ! -e go ]; do sleep 0.02; done
echo '{"type":"result","result":"half","usage":{"input_tokens":3,"output_tokens":1}}'"#;
    let mut world = World::furnished(script);
    let paths = InstancePaths::below(world.root.path());
    let tools = std::fs::read_to_string(paths.tools()).unwrap().replace("codex-json", "claude-stream-json");
    std::fs::write(paths.tools(), tools).unwrap();
    world.start_process().await;
    world.sign_in().await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    world.until(&id, |session| session["messageCount"] == 2).await;
    world.kill_and_start_again().await;
    std::fs::write(world.root.path().join("go"), "").unwrap();
    let run = world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    assert_eq!((&run["state"], &run["contextInputTokens"]), (&json!("completed"), &json!(7)), "{run}");
    let usage = world.events(&id, "all").await.into_iter().find(|event| event["type"] == "usage").unwrap();
    assert_eq!((&usage["contextTokens"], &usage["inputTokens"]), (&json!(7), &json!(3)), "{usage}");
}

/// The events of a run are in the history once and in order, however often the server dies meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_11_events_are_told_once_and_in_order() {
    let script = r#"n=0; while [ $n -lt 120 ]; do n=$((n+1)); sleep 0.01
printf '{"type":"item.completed","item":{"id":"i%d","type":"agent_message","text":"line %d"}}\n' $n $n; done"#;
    let mut world = World::in_a_process(script).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    for reached in [3, 20, 45, 80] {
        let seen = |session: &Value| session["messageCount"].as_u64().unwrap() >= reached;
        world.until(&id, seen).await;
        world.kill_and_start_again().await;
    }
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let events = world.events(&id, "all").await;
    let told: Vec<&str> = events
        .iter()
        .filter(|event| event["role"] == "assistant")
        .map(|event| event["content"].as_str().unwrap())
        .collect();
    assert_eq!(told, (1..=120).map(|number| format!("line {number}")).collect::<Vec<_>>());
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
}

/// Telling a duplicate looks at no run, so that it costs the same however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_27_a_duplicate_is_known_without_the_runs() {
    let mut world = World::signed_in(ECHO).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let runs = InstancePaths::below(world.root.path()).chat_runs();
    world.stopped_for(|| std::fs::remove_dir_all(runs).unwrap()).await;
    let (status, again) = world.send(&id, "r", "go").await;
    assert_eq!(
        (status, &again["duplicate"], &again["queued"]),
        (StatusCode::OK, &json!(true), &json!(false))
    );
}

/// Records name files without their place, so that an instance which is moved keeps its attachments; only
/// the executor is told where they are.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_29_records_name_files_without_their_place() {
    let script = r#"for last; do :; done; printf '%s' "$last" > prompt
echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"seen"}}'"#;
    let world = World::signed_in(script).await;
    let id = world.session().await;
    let path = format!("/api/sessions/{id}/messages");
    let body = json!({"text": "look", "attachments": [{"data": "aGk=", "mimeType": "text/plain"}]});
    let (_, accepted) = world.post(&path, &body).await;
    let run = accepted["run"]["id"].as_str().unwrap();
    world.ended(run).await;
    let paths = InstancePaths::below(world.root.path());
    let name = world.events(&id, "all").await[0]["attachments"][0]["filename"].as_str().unwrap().to_owned();
    let prompt = std::fs::read_to_string(world.root.path().join("prompt")).unwrap();
    assert!(prompt.contains(&paths.images().join(&name).display().to_string()), "{prompt}");
    let images = paths.images().display().to_string();
    for file in [format!("chat-history/{id}/events/000000001.json"), format!("chat-runs/{run}/manifest.json")]
    {
        let record = world.stored(&file);
        assert!(record.contains(&name) && !record.contains(&images), "{record}");
    }
}

/// Two servers never work on the same folders.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_31_a_second_server_is_refused() {
    let mut world = World::in_a_process(ECHO).await;
    let id = world.session().await;
    let refused = server(world.root.path(), &[], std::future::pending()).await.unwrap_err();
    let is_in_use = matches!(&refused, remotelab_server::Error::Store(StoreError::InUse(_)));
    assert!(is_in_use, "{refused:?}");
    // The first one is not disturbed, and the folders are free as soon as it is dead.
    let (_, accepted) = world.send(&id, "r", "go").await;
    assert_eq!(world.ended(accepted["run"]["id"].as_str().unwrap()).await["state"], "completed");
    world.kill().await;
    drop(server(world.root.path(), &[], std::future::pending()).await.unwrap());
}

/// An executor that is installed while the server runs can be used at once, and so can one that went away be
/// missed.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_41_a_new_program_is_found_without_a_restart() {
    let world = World::signed_in(ECHO).await;
    let until_available = async |wanted: bool| {
        let looking = async {
            loop {
                let answer = world.get("/api/tools").await.1;
                let mut tools = answer["tools"].as_array().unwrap().iter();
                if tools.any(|tool| tool["id"] == "codex" && tool["available"] == wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), looking).await.expect("the list follows");
    };
    until_available(false).await;
    executable(&world.root.path().join("bin/codex"), "exit 0");
    until_available(true).await;
    std::fs::remove_file(world.root.path().join("bin/codex")).unwrap();
    until_available(false).await;
}

/// A cancel is carried out also when the runner is dead: its executor ends, and the session is free.
#[tokio::test(flavor = "multi_thread")]
async fn runtime_weakness_04_a_run_without_its_runner_can_be_stopped() {
    let world = World::signed_in(GATED).await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    let run = accepted["run"]["id"].as_str().unwrap().to_owned();
    world.until(&id, |session| session["activity"]["run"]["phase"] == "running").await;
    let (_, answer) = world.get(&format!("/api/runs/{run}")).await;
    let pid = |key: &str| i32::try_from(answer["run"][key].as_i64().unwrap()).unwrap();
    let (runner, tool) = (pid("runnerProcessId"), pid("toolProcessId"));
    let killed = std::process::Command::new("kill").args(["-9", &runner.to_string()]).status().unwrap();
    assert!(killed.success());
    world.post(&format!("/api/sessions/{id}/cancel"), &json!({})).await;
    let ended = world.ended(&run).await;
    assert!(["cancelled", "failed"].contains(&ended["state"].as_str().unwrap()), "{ended}");
    world.until(&id, |session| session["activity"]["run"]["state"] == "idle").await;
    let lives = || {
        std::fs::read_to_string(format!("/proc/{tool}/stat"))
            .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
    };
    tokio::time::timeout(Duration::from_secs(10), async {
        while lives() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the executor ends");
}
