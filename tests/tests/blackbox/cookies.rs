//! What passes between a browser, the gateway and the instances behind it.

use anyhow::Context as _;
use remotelab_tests::http::{self, Answer};
use remotelab_tests::process::Process;
use remotelab_tests::upstream::Upstream;
use remotelab_tests::wait::eventually;
use remotelab_tests::world::World;

/// Everything that a browser has for this origin after a visit to each instance.
const ALL_COOKIES: &str = "owner__session_token=of-owner; trial1__session_token=of-trial1; \
     trial2__session_token=of-trial2; trial1__visitor_session_token=visitor; \
     session_token=bare; theme=dark";

#[tokio::test]
async fn each_instance_gets_its_own_cookies_alone() -> anyhow::Result<()> {
    let house = House::start().await?;

    let visit = async |upstream: &Upstream, path: &str| {
        house.get(path).await?;
        let arrived = upstream.arrived();
        let last = arrived.last().context("nothing arrived")?.headers.clone();
        let cookie = last.get("cookie").map(|it| it.to_str().map(str::to_owned));
        anyhow::Ok(cookie.transpose()?)
    };

    assert_eq!(
        visit(&house.trial1, "/trial1/").await?.as_deref(),
        Some("session_token=of-trial1; visitor_session_token=visitor")
    );
    assert_eq!(
        visit(&house.trial2, "/trial2/api/sessions").await?.as_deref(),
        Some("session_token=of-trial2")
    );
    assert_eq!(visit(&house.owner, "/owner/").await?.as_deref(), Some("session_token=of-owner"));
    Ok(())
}

#[tokio::test]
async fn the_prefix_goes_off_the_path_and_into_a_header() -> anyhow::Result<()> {
    let house = House::start().await?;

    house.get("/trial1/api/sessions?view=refs&x=%2F").await?;

    let arrived = house.trial1.arrived();
    let arrived = arrived.last().context("nothing arrived")?;
    assert_eq!(arrived.target, "/api/sessions?view=refs&x=%2F");
    assert_eq!(arrived.headers["x-forwarded-prefix"], "/trial1");
    Ok(())
}

#[tokio::test]
async fn cookies_and_places_of_an_answer_get_the_prefix() -> anyhow::Result<()> {
    let house = House::start().await?;
    let answers = &house.trial1;
    answers.answer_header("set-cookie", "session_token=abc; HttpOnly; SameSite=Lax; Path=/; Max-Age=60")?;
    answers.answer_header("set-cookie", "other=1; Domain=example.net; Path=/deep")?;
    answers.answer_header("location", "/login")?;

    let answer = house.get("/trial1/").await?;

    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(
        cookies,
        [
            "trial1__session_token=abc; Path=/trial1; HttpOnly; SameSite=Lax; Max-Age=60",
            "trial1__other=1; Path=/trial1/deep; SameSite=Lax",
        ]
    );
    assert_eq!(answer.header("location"), Some("/trial1/login"));
    Ok(())
}

#[tokio::test]
async fn an_unknown_name_is_nobodys_until_it_is_registered() -> anyhow::Result<()> {
    let house = House::start().await?;
    assert_eq!(house.get("/trial3/").await?.status, 404);
    assert_eq!(house.get("/trial10/").await?.status, 404);

    let late = Upstream::start().await?;
    let (trial1, trial2) = (house.trial1.port(), house.trial2.port());
    house.world.register([("trial1", trial1), ("trial2", trial2), ("trial3", late.port())])?;

    eventually("the new route", async || Ok((house.get("/trial3/").await?.status == 200).then_some(())))
        .await?;
    assert_eq!(late.arrived().len(), 1);
    Ok(())
}

/// A gateway with an upstream for the owner and for two guests.
struct House {
    owner: Upstream,
    trial1: Upstream,
    trial2: Upstream,
    _gateway: Process,
    world: World,
}

impl House {
    async fn start() -> anyhow::Result<Self> {
        let mut world = World::without_executors().await?;
        let (owner, trial1, trial2) =
            tokio::try_join!(Upstream::start(), Upstream::start(), Upstream::start())?;
        world.set("NATAPP_BRIDGE_SERVICE_PORT", owner.port().to_string());
        world.set("CHAT_PORT", owner.port().to_string());
        world.register([("trial1", trial1.port()), ("trial2", trial2.port())])?;
        let gateway = world.start(&["gateway"])?;
        eventually("the gateway", async || {
            Ok(http::send(http::client().get(world.gateway_url())).await.ok())
        })
        .await?;
        Ok(Self { owner, trial1, trial2, _gateway: gateway, world })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.world.gateway_url());
        let request =
            http::client().get(url).header("cookie", ALL_COOKIES).header("x-forwarded-prefix", "/spoofed");
        http::send(request).await
    }
}
