//! Guests that sleep.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use remotelab_manager::control::{Client, Error, State};
use remotelab_manager::supervisor::Id;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::supervisor::{PATIENCE, Up};
use crate::world::World;

#[tokio::test]
async fn sleeps_and_wakes_and_stays_asleep_over_a_restart() {
    let world = with_guests(&["trial1", "trial2"]);
    let up = Up::start(&world).await;
    ready(&up, "trial1").await;
    let before = up.child("trial1");
    asked(&world, |client| client.sleep("trial1")).await.unwrap();
    assert_eq!((up.child("trial1").state, up.child("trial1").pid), (State::Asleep, None));
    // Again is no error.
    asked(&world, |client| client.sleep("trial1")).await.unwrap();
    let woken: Vec<_> =
        (0..50).map(|_| tokio::spawn(asked(&world, |client| client.wake("trial1")))).collect();
    for woken in woken {
        woken.await.unwrap().unwrap();
    }
    let after = up.child("trial1");
    assert_eq!((after.state, after.failures), (State::Ready, 0));
    assert_ne!(after.pid, before.pid);
    asked(&world, |client| client.wake("trial1")).await.unwrap();
    assert_eq!(up.child("trial1"), after);
    asked(&world, |client| client.sleep("trial1")).await.unwrap();
    up.down().await;
    let up = Up::start(&world).await;
    ready(&up, "trial2").await;
    assert_eq!(up.child("trial1").state, State::Asleep);
    asked(&world, |client| client.start("trial1")).await.unwrap();
    assert_eq!(noted(&world), json!({}));
    up.down().await;
}

#[tokio::test]
async fn who_has_something_to_do_stays_awake_and_who_was_stopped_stays_so() {
    let world = with_guests(&["trial1"]);
    world.write("rest", "rest {\"idleMs\":0,\"because\":\"run\"}\n");
    let up = Up::start(&world).await;
    ready(&up, "trial1").await;
    let refused = |error: Result<(), Error>| error.unwrap_err().to_string();
    let busy = asked(&world, |client| client.sleep("trial1")).await;
    assert_eq!(refused(busy), "trial1 is needed: a run is under way");
    assert_eq!(up.child("trial1").state, State::Ready);
    let owner = asked(&world, |client| client.sleep("owner")).await;
    assert_eq!(refused(owner), "owner never sleeps");
    fs::remove_file(world.path().join("rest")).unwrap();
    asked(&world, |client| client.sleep("trial1")).await.unwrap();
    asked(&world, |client| client.stop("trial1")).await.unwrap();
    assert_eq!(noted(&world), json!({}));
    let stopped = asked(&world, |client| client.wake("trial1")).await;
    assert_eq!(refused(stopped), "trial1 is stopped");
    assert_eq!(refused(asked(&world, |client| client.wake("nobody")).await), "nobody is stopped");
    up.down().await;
}

#[tokio::test]
async fn who_was_idle_for_long_falls_asleep_and_the_owner_never() {
    let world = with_guests(&["trial1", "trial2"]);
    world.write(".config/remotelab/gateway.toml", "[sleep]\nidle_after = 60\n");
    let rows = json!([
        {"name": "trial1", "port": 7696, "instanceRoot": "/g"},
        {"name": "trial2", "port": 7697, "instanceRoot": "/h", "sleepPolicy": "never"},
    ]);
    world.write(".config/remotelab/guest-instances.json", &rows.to_string());
    world.write("rest", "rest {\"idleMs\":60000}\n");
    let up = Up::start(&world).await;
    up.child_when("trial1", |child| child.state == State::Asleep).await;
    for awake in ["owner", "trial2"] {
        assert_eq!(up.child(awake).state, State::Ready);
    }
    up.down().await;
}

#[tokio::test]
async fn who_has_to_be_awake_is_woken_in_time() {
    let world = with_guests(&["trial1"]);
    let soon = Timestamp::now() + Duration::from_millis(1500);
    let rest = json!({"idleMs": 1, "wakeAt": soon.as_millisecond()});
    world.write("rest", &format!("rest {rest}\n"));
    let up = Up::start(&world).await;
    ready(&up, "trial1").await;
    let asleep = asked(&world, |client| client.sleep("trial1"));
    asleep.await.unwrap();
    assert_eq!(noted(&world), json!({"trial1": {"wakeAt": soon.as_millisecond()}}));
    up.down().await;
    // The alarm is not forgotten by a restart.
    let up = Up::start(&world).await;
    up.child_when("trial1", |child| child.state == State::Ready).await;
    assert!(Timestamp::now() >= soon);
    up.down().await;
}

fn with_guests(names: &[&str]) -> World {
    let world = World::new();
    let rows = names.iter().zip(7696..);
    let rows: Vec<_> =
        rows.map(|(name, port)| json!({"name": name, "port": port, "instanceRoot": "/g"})).collect();
    world.write(".config/remotelab/guest-instances.json", &json!(rows).to_string());
    world
}

async fn ready(up: &Up, name: &str) {
    up.handle.ready(&Id::parse(name).unwrap(), PATIENCE).await.unwrap();
}

/// Asks the supervisor.
fn asked(
    world: &World,
    ask: impl FnOnce(&Client) -> Result<(), Error> + Send + 'static,
) -> impl Future<Output = Result<(), Error>> + Send + 'static {
    let client = Client::new(&world.config().join("run/supervisor.sock"));
    async move { spawn_blocking(move || ask(&client)).await.unwrap() }
}

/// Which guests are noted as sleeping.
fn noted(world: &World) -> serde_json::Value {
    let text = fs::read_to_string(world.config().join("run/asleep.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}
