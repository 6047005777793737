//! What messages do here: a pretended executor that answers after a while.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remotelab_protocol::event::Known;
use remotelab_protocol::queue::Queued;
use remotelab_protocol::{Event, Role, RunState};
use serde_json::json;

use crate::sessions::{call, note, outcome, push, said, session};
use crate::{Talk, World};

pub(crate) fn hint(world: &World, id: &str) {
    let _ = world.hints.send(json!({"type": "sessions_invalidated"}).to_string());
    let _ = world.hints.send(json!({"type": "session_invalidated", "sessionId": id}).to_string());
}

pub(crate) fn add_session(world: &World) -> String {
    let session = session("New task", "codex");
    let id = session.id.to_string();
    let talk = Talk { session, events: Vec::new(), running: false, last: None };
    world.sessions.lock().unwrap().insert(id.clone(), talk);
    hint(world, &id);
    id
}

pub(crate) fn send(world: &Arc<World>, id: &str, text: &str, request_id: &str) {
    {
        let mut sessions = world.sessions.lock().unwrap();
        let Some(talk) = sessions.get_mut(id) else {
            return;
        };
        if talk.running {
            talk.session.follow_up_queue.push(Queued {
                request_id: request_id.into(),
                text: text.into(),
                queued_at: remotelab_protocol::time::iso(Timestamp::now()),
                ..Queued::default()
            });
        } else {
            talk.running = true;
            if talk.events.is_empty() {
                talk.session.name = text.chars().take(40).collect();
            }
            let mut event = said(Role::User, text);
            event.request_id = Some(request_id.to_owned());
            push(talk, vec![event]);
            tokio::spawn(work(world.clone(), id.to_owned(), text.to_owned()));
        }
    }
    hint(world, id);
}

async fn work(world: Arc<World>, id: String, text: String) {
    let steps = [
        Known::Reasoning { content: "The person wants something. I look around first.".into() },
        call("bash", "cargo test --workspace"),
        outcome("running 12 tests\n............\ntest result: ok", 0),
        call("bash", "grep -rn 'TODO' src | wc -l"),
        outcome("7", 0),
        Known::FileChange { file_path: "/home/me/project/src/main.rs".into(), change_type: "update".into() },
    ];
    for step in steps {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut sessions = world.sessions.lock().unwrap();
        let Some(talk) = sessions.get_mut(&id).filter(|talk| talk.running) else {
            return;
        };
        push(talk, vec![Event::new(step, Timestamp::now().as_millisecond())]);
        drop(sessions);
        hint(&world, &id);
    }
    {
        let mut sessions = world.sessions.lock().unwrap();
        let Some(talk) = sessions.get_mut(&id).filter(|talk| talk.running) else {
            return;
        };
        talk.running = false;
        if text.contains("fail") {
            talk.last = Some(RunState::Failed);
            push(
                talk,
                vec![note("error: codex is not logged in; run `codex login` on the machine and try again")],
            );
        } else {
            talk.last = Some(RunState::Completed);
            push(
                talk,
                vec![said(
                    Role::Assistant,
                    &format!(
                        "Done: **{text}**\n\n```rust\nfn main() {{\n    println!(\"hello\"); // done\n}}\n```"
                    ),
                )],
            );
        }
        let waiting: Vec<_> = talk.session.follow_up_queue.drain(..).map(|item| item.text).collect();
        if !waiting.is_empty() {
            let (world, id) = (world.clone(), id.clone());
            tokio::spawn(async move { send(&world, &id, &waiting.join("\n\n"), "batch") });
        }
    }
    hint(&world, &id);
}

pub(crate) fn stop(world: &World, id: &str) {
    if let Some(talk) = world.sessions.lock().unwrap().get_mut(id) {
        talk.running = false;
        talk.last = Some(RunState::Cancelled);
        push(talk, vec![note("cancelled")]);
    }
    hint(world, id);
}
