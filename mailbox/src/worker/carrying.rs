//! Answers that the instance has for targets of others become letters.

use std::sync::Arc;
use std::time::Duration;

use remotelab_client::{Carried, Completion, Completions};
use tokio::time::Instant;

use super::{Ground, LONGEST, TROUBLE_PAUSE};
use crate::carry;
use crate::office::{Error, blocking};

/// How long an instance without an answer that can be told holds its own back.
const HELD_BACK: Duration = Duration::from_secs(25);

/// How long to wait when nothing came of a look.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Looks at what waits, at once when something new does, until the instance's work is over. Where no answer waits
/// nothing is asked: an instance that sleeps is left alone.
pub(super) async fn run(ground: &Ground) {
    let mut bell = ground.bell.subscribe();
    let (mut known, mut due, mut pause) = (Vec::new(), Instant::now(), LONGEST);
    while !ground.is_over() {
        let place = ground.place();
        let waiting = blocking(move || Ok(place.waiting())).await.unwrap_or_default();
        if !waiting.is_empty() && (waiting != known || Instant::now() >= due) {
            pause = match pass(ground).await {
                Ok(true) => LONGEST,
                Ok(false) => (pause * 2).min(LONGEST_PAUSE),
                Err(error) => {
                    ground.report(&error);
                    TROUBLE_PAUSE
                }
            };
            due = Instant::now() + pause;
        }
        known = waiting;
        tokio::select! {
            () = ground.shutdown.cancelled() => {}
            _ = bell.changed() => due = Instant::now(),
            () = tokio::time::sleep(LONGEST) => {}
        }
    }
}

/// Looks at all answers that wait. Tells whether anything came of it.
async fn pass(ground: &Ground) -> Result<bool, Error> {
    let (mut moved, mut cursor) = (false, None);
    loop {
        let Some(page) = ask(ground, cursor.as_deref()).await else { return Ok(moved) };
        for completion in page.completions {
            match carry_on(ground, completion).await? {
                None => {}
                Some(true) => moved = true,
                Some(false) => return Ok(moved),
            }
        }
        if moved {
            ground.ring();
        }
        cursor = page.next_cursor;
        if cursor.is_none() || ground.is_over() {
            return Ok(moved);
        }
    }
}

/// Asks for a page; `None` when the instance is away, or of a version that has none.
async fn ask(ground: &Ground, cursor: Option<&str>) -> Option<Completions> {
    let client = ground.office.client(&ground.place()).ok()?;
    let wait = if cursor.is_none() { HELD_BACK } else { Duration::ZERO };
    let page = tokio::select! {
        page = client.completions(wait, true, cursor) => page,
        () = ground.shutdown.cancelled() => return None,
    };
    page.inspect_err(|error| tracing::debug!("answers that wait cannot be read: {error}")).ok()
}

/// Brings an answer further. Tells whether the instance was told of it; `None` when there was nothing to tell.
async fn carry_on(ground: &Ground, completion: Completion) -> Result<Option<bool>, Error> {
    let (store, settings, now) = (ground.store().await?, ground.settings().await?, ground.now());
    let (office, place, id) = (Arc::clone(&ground.office), ground.place(), completion.id.clone());
    let carried = blocking(move || {
        let guests = office.places.guests()?;
        carry::further(&store, &place, &settings, &guests, &completion, now)
    });
    let Some(carried) = carried.await? else { return Ok(None) };
    if let Carried::Failed(why) = &carried {
        tracing::warn!(completion.id = %id, "answer {id} is not sent: {why}");
    }
    let Ok(client) = ground.office.client(&ground.place()) else { return Ok(Some(false)) };
    let told = client.settle_completion(&id, &carried).await;
    if let Err(error) = &told {
        tracing::debug!("what became of answer {id} cannot be told: {error}");
    }
    Ok(Some(told.is_ok()))
}
