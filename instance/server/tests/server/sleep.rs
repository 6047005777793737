//! What keeps a server awake.

use jiff::{SignedDuration, Timestamp};
use remotelab_protocol::rest::{Because, Rest};
use remotelab_protocol::time;
use serde_json::json;
use std::time::{Duration, Instant};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_nothing_to_do_may_sleep() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    world.turn(&session, "r1", "hello").await;
    let rest = until(&world, |rest| rest.can_sleep()).await;
    assert_eq!(rest.wake_at, None);
    // A probe is no use of it, a request is.
    let first = until(&world, |rest| rest.idle_ms > 20).await;
    world.get("/api/build-info").await;
    world.get("/api/health").await;
    assert!(world.rest().idle_ms >= first.idle_ms);
    world.get("/api/sessions").await;
    let before = first.idle_ms;
    until(&world, |rest| rest.can_sleep() && rest.idle_ms < before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_those_who_wait_for_them_keep_it_awake() {
    let world = World::signed_in("exec sleep 60").await;
    let session = world.session().await;
    let (_, accepted) = world.send(&session, "r1", "hello").await;
    assert_eq!(world.rest().because, Some(Because::Run));
    let run = accepted["run"]["id"].as_str().unwrap();
    let waiting = world.request(reqwest::Method::GET, &format!("/api/runs/{run}?wait=20"));
    let waiting = tokio::spawn(waiting.send());
    until(&world, |rest| rest.because == Some(Because::Request)).await;
    waiting.abort();
    world.post(&format!("/api/sessions/{session}/cancel"), &json!({})).await;
    until(&world, Rest::can_sleep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_keeps_it_awake() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let path = format!("/api/sessions/{session}/stream");
    let mut stream = world.request(reqwest::Method::GET, &path).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(world.rest().because, Some(Because::Request));
    drop(stream);
    until(&world, Rest::can_sleep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_keeps_it_awake_when_it_is_due_soon_and_wakes_it_otherwise() {
    let world = World::signed_in(ECHO).await;
    let session = world.session().await;
    let at = |minutes| Timestamp::now() + SignedDuration::from_mins(minutes);
    let trigger = |at| json!({"sessionId": session, "scheduledAt": time::iso(at), "text": "wake up"});
    let later = time::parse_iso(&time::iso(at(60))).unwrap();
    world.post("/api/triggers", &trigger(later)).await;
    let rest = until(&world, Rest::can_sleep).await;
    assert_eq!(rest.wake_at, Some((later - SignedDuration::from_mins(1)).as_millisecond()));
    world.post("/api/triggers", &trigger(at(4))).await;
    until(&world, |rest| rest.because == Some(Because::Trigger)).await;
}

async fn until(world: &World, holds: impl Fn(&Rest) -> bool) -> Rest {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rest = world.rest();
        if holds(&rest) {
            return rest;
        }
        assert!(Instant::now() < deadline, "{rest:?}");
        tokio::task::yield_now().await;
    }
}
