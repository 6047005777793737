//! What one more message costs where there are many already.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::{StreamExt as _, stream};
use remotelab_tests::api::Client;
use remotelab_tests::http;
use remotelab_tests::world::World;
use serde_json::json;

use crate::chat::{chat, furnished, kept_client, open_sessions, post, tool, waited};
use crate::{Figures, spread};

const MESSAGES: usize = 60;
const HANDS: usize = 32;

/// Over HTTP, beside a hundred, a thousand and ten thousand sessions, then in a session with as many events.
pub(crate) async fn one_more_message(figures: &mut Figures) -> anyhow::Result<()> {
    let world = furnished(Duration::ZERO).await?;
    let _chat = chat(&world).await?;
    let owner = world.owner().await?;
    let mut there = 0;
    for sessions in [100, 1_000, 10_000] {
        open_sessions(&world, &owner, sessions - there).await?;
        there = sessions;
        let mut opened = Vec::new();
        for _ in 0..MESSAGES {
            opened.push(owner.open_session("steady").await?);
        }
        let times = acknowledged(&world, &owner, &opened).await?;
        figures.add(format!("message acknowledged beside {sessions} sessions"), spread(times));
    }
    let mut there = 0;
    // One that goes on with its own memory, as the real ones do.
    world.tool("claude", &tool(Duration::ZERO))?;
    let long = owner.open_session("claude").await?;
    for events in [100, 1_000, 10_000] {
        say(&world, &owner, &long, there, events).await?;
        there = events;
        let times = acknowledged(&world, &owner, &vec![long.clone(); MESSAGES]).await?;
        figures.add(format!("message acknowledged behind {events} events"), spread(times));
    }
    Ok(())
}

/// Sends a message to each and waits for its run before the next is sent.
async fn acknowledged(world: &World, owner: &Client, sessions: &[String]) -> anyhow::Result<Vec<Duration>> {
    let kept = kept_client()?;
    let mut times = Vec::new();
    for session in sessions {
        let number = rand::random::<u32>() as usize;
        let began = Instant::now();
        let run = post(world, &kept, owner, session, number).await?;
        times.push(began.elapsed());
        waited(world, &kept, owner, &run).await?;
    }
    Ok(times)
}

/// Fills a session, from one event to another.
async fn say(world: &World, owner: &Client, session: &str, from: usize, to: usize) -> anyhow::Result<()> {
    let kept = kept_client()?;
    let url = format!("{}/api/sessions/{session}/assistant-messages", world.owner_url());
    let said = stream::iter(from..to).map(|number| {
        let message =
            json!({"requestId": format!("said-{number}"), "text": "Something that was said before"});
        http::send(kept.post(&url).header("cookie", owner.cookie()).json(&message))
    });
    let mut said = said.buffer_unordered(HANDS);
    while let Some(answer) = said.next().await {
        let answer = answer?;
        ensure!(answer.status.is_success(), "{answer:?}");
    }
    Ok(())
}
