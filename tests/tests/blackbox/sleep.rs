//! Guests that sleep, as real processes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use remotelab_tests::api::Client;
use remotelab_tests::http::{self, Answer};
use remotelab_tests::process::Process;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// So many first requests, and so often a guest falls asleep while it is asked.
const CROWD: usize = 50;
const ROUNDS: usize = 100;

#[tokio::test]
async fn fifty_first_requests_start_a_guest_once() -> anyhow::Result<()> {
    let house = House::open().await?;
    let before = house.pid().await?.context("the guest runs")?;
    house.sleep().await?;
    ensure!(house.world.processes_of("chat").len() == 1, "only the owner is left");
    ensure!(house.status("guest-instance list").await?.contains("\tasleep"));
    let check = house.status("guest-instance links --check").await?;
    ensure!(check.contains("localStatus: asleep"), "{check}");
    ensure!(house.pid().await?.is_none(), "a look woke it");

    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (url, cookie) = (house.url("/api/sessions"), house.guest.cookie().to_owned());
        crowd.spawn(async move { ask(&url, &cookie).await });
    }
    while let Some(asked) = crowd.join_next().await {
        let answer = asked??;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let after = house.pid().await?.context("it is awake")?;
    ensure!(after != before && house.world.processes_of("chat").len() == 2, "one start");
    let log = std::fs::read_to_string(house.world.config().join("logs/guest-trial1.log"))?;
    ensure!(log.matches("listening on").count() == 2, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_request_in_the_moment_of_falling_asleep_is_answered() -> anyhow::Result<()> {
    let house = House::open().await?;
    let mut slept = 0;
    for round in 0..ROUNDS {
        let sleeping = house.world.run(&["guest-instance", "sleep", "trial1"]);
        let asking = async {
            // From before the first question until after the end of the process.
            tokio::time::sleep(Duration::from_millis(2 * u64::try_from(round)?)).await;
            for number in 0..5 {
                let key = format!("{round}-{number}");
                let made = house.guest.send(Method::POST, "/api/sessions", Some(&session(&key))).await?;
                ensure!(made.status.is_success(), "round {round}: {made:?}");
            }
            anyhow::Ok(())
        };
        let (sleeping, asked) = tokio::join!(sleeping, asking);
        asked?;
        slept += usize::from(sleeping?.code == Some(0));
    }
    let listed = house.guest.get("/api/sessions").await?;
    let count = listed["sessions"].as_array().map_or(0, Vec::len);
    ensure!(count >= ROUNDS * 5, "{count} of {} are there", ROUNDS * 5);
    ensure!(slept > 0, "it never fell asleep");
    Ok(())
}

#[tokio::test]
async fn a_sleeping_guest_is_to_wake_before_its_trigger() -> anyhow::Result<()> {
    let house = House::open().await?;
    let made = house.guest.post("/api/sessions", &session("one")).await?;
    let session = made["session"]["id"].as_str().context("a session")?.to_owned();
    // Later than soon.
    let at = std::time::SystemTime::now() + Duration::from_secs(60 * 5 + 8);
    let at = u64::try_from(at.duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
    let words = [
        "trigger",
        "create",
        "--instance",
        "trial1",
        "--session",
        &session,
        "--in",
        "308s",
        "--text",
        "wake up",
        "--json",
    ];
    let output = house.world.run(&words).await?;
    ensure!(output.code == Some(0), "{output:?}");
    house.sleep().await?;
    let notes = std::fs::read_to_string(house.world.config().join("run/asleep.json"))?;
    let notes: Value = serde_json::from_str(&notes)?;
    let wake_at = notes["trial1"]["wakeAt"].as_u64().context("a time to wake")?;
    ensure!(wake_at.abs_diff(at - 60_000) < 5_000, "{wake_at}, {at}");
    Ok(())
}

#[tokio::test]
async fn who_nobody_uses_falls_asleep() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    std::fs::create_dir_all(world.config())?;
    std::fs::write(world.config().join("gateway.toml"), "[sleep]\nidle_after = 1\n")?;
    let house = House::in_world(world).await?;
    eventually("the guest sleeps", async || Ok(house.pid().await?.is_none().then_some(()))).await?;
    ensure!(house.world.processes_of("chat").len() == 1, "the owner never sleeps");
    let page = http::send(http::client().get(house.url("/")).header("accept", "text/html")).await?;
    ensure!(page.status == 503 && page.text.contains("This place is asleep"), "{page:?}");
    ensure!(ask(&house.url("/api/sessions"), house.guest.cookie()).await?.status == 200);
    Ok(())
}

/// A running product with a guest `trial1`, who is logged in.
struct House {
    world: World,
    guest: Client,
    _up: Process,
}

impl House {
    async fn open() -> anyhow::Result<Self> {
        Self::in_world(World::without_executors().await?).await
    }

    async fn in_world(world: World) -> anyhow::Result<Self> {
        let up = world.up().await?;
        let made = world.run(&["guest-instance", "create-trial", "--json"]).await?;
        ensure!(made.code == Some(0), "{made:?}");
        let guest = world.guest_owner("trial1").await?;
        Ok(Self { guest, world, _up: up })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/trial1{path}", self.world.gateway_url())
    }

    /// Its process, as the supervisor tells it.
    async fn pid(&self) -> anyhow::Result<Option<u64>> {
        let shown = self.world.run(&["guest-instance", "show", "trial1", "--json"]).await?;
        let shown: Value = serde_json::from_str(&shown.stdout).with_context(|| format!("{shown:?}"))?;
        Ok(shown["process"]["pid"].as_u64())
    }

    async fn sleep(&self) -> anyhow::Result<()> {
        // The last request may not be over for the gateway.
        eventually("the guest falls asleep", async || {
            let done = self.world.run(&["guest-instance", "sleep", "trial1"]).await?;
            Ok((done.code == Some(0)).then_some(()))
        })
        .await
    }

    async fn status(&self, words: &str) -> anyhow::Result<String> {
        let words: Vec<&str> = words.split(' ').collect();
        Ok(self.world.run(&words).await?.stdout)
    }
}

async fn ask(url: &str, cookie: &str) -> anyhow::Result<Answer> {
    http::send(http::client().get(url).header("cookie", cookie)).await
}

fn session(key: &str) -> Value {
    json!({"folder": "~", "tool": "demo", "name": key, "externalTriggerId": key})
}
