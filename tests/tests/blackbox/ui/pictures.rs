//! A person with a browser: the printed link, a task, the answer.

use std::fs;

use anyhow::Context as _;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use remotelab_tests::process::Process;
use remotelab_tests::standin_model::{Script, StandinModel, Step};
use remotelab_tests::world::World;

#[tokio::test]
async fn on_a_phone_codex_answers_the_owner() -> anyhow::Result<()> {
    let (world, up) = house("codex").await?;
    let link = link(&up, &format!("{}/?token=", world.owner_url())).await?;
    let visit = Visit::new(Screen::Phone, Scheme::Light, "codex").await?;
    visit.hand_over_a_task(&link, world.model()).await
}

#[tokio::test]
async fn on_a_desktop_claude_answers_the_owner_through_the_gateway() -> anyhow::Result<()> {
    let (world, up) = house("claude").await?;
    let link = link(&up, &format!("{}/owner/?token=", world.gateway_url())).await?;
    let visit = Visit::new(Screen::Desktop, Scheme::Dark, "claude").await?;
    visit.hand_over_a_task(&link, world.model()).await
}

#[tokio::test]
async fn on_a_desktop_codex_answers_a_guest() -> anyhow::Result<()> {
    let (world, _up) = house("codex").await?;
    let link = trial(&world).await?;
    let visit = Visit::new(Screen::Desktop, Scheme::Light, "codex").await?;
    visit.hand_over_a_task(&link, world.model()).await
}

#[tokio::test]
async fn on_a_phone_claude_answers_a_guest() -> anyhow::Result<()> {
    let (world, _up) = house("claude").await?;
    let link = trial(&world).await?;
    let visit = Visit::new(Screen::Phone, Scheme::Dark, "claude").await?;
    visit.hand_over_a_task(&link, world.model()).await
}

/// A house of somebody who has one executor, which works on price lists until it is let go on.
async fn house(tool: &str) -> anyhow::Result<(World, Process)> {
    let world = World::new().await?;
    let other = if tool == "codex" { "claude" } else { "codex" };
    fs::remove_file(world.bin().join(other)).context("take the other executor away")?;
    world.model().script(Script::new().when_text(
        "compare the two price lists",
        [
            Step::reasoning("Two lists, one difference"),
            Step::shell("printf 'apples 3\\npears 4\\n'"),
            Step::text("Pears went up:\n\n| Fruit | Old | New |\n|---|---|---|\n| Apples | 3 | 3 |\n"),
            Step::hold("half"),
            Step::text("| Pears | 3 | **4** |\n\n```python\nprint(\"pears\", 4)\n```\n"),
        ],
    ));
    let up = world.up().await?;
    Ok((world, up))
}

/// The link that `up` prints.
async fn link(up: &Process, begin: &str) -> anyhow::Result<String> {
    up.line("the link", |line| {
        let link = &line[line.find(begin)?..];
        Some(link.split_whitespace().next()?.to_owned())
    })
    .await
}

/// A guest, and the link to it through the gateway.
async fn trial(world: &World) -> anyhow::Result<String> {
    let created = world.run(&["guest-instance", "create-trial", "--json"]).await?;
    anyhow::ensure!(created.code == Some(0), "{created:?}");
    let token = world.guest_token("trial1")?;
    Ok(format!("{}/trial1/?token={token}", world.gateway_url()))
}

struct Visit {
    browser: Browser,
    name: String,
    tool: &'static str,
}

impl Visit {
    async fn new(screen: Screen, scheme: Scheme, tool: &'static str) -> anyhow::Result<Self> {
        Ok(Self {
            browser: Browser::open(screen, scheme).await?,
            name: format!("{screen:?}-{scheme:?}").to_lowercase(),
            tool,
        })
    }

    async fn hand_over_a_task(self, link: &str, model: &StandinModel) -> anyhow::Result<()> {
        let Self { browser, name, tool } = self;
        browser.goto(link).await?;
        browser.see("#message").await?;
        anyhow::ensure!(!browser.url().await?.contains("token"), "the token stays in the address");
        browser.screenshot(&format!("{name}-home")).await?;

        let choose = format!(
            "const tool = document.querySelector('select[name=tool]'); tool.value = '{tool}'; \
             tool.dispatchEvent(new Event('change', {{bubbles: true}})); return tool.value"
        );
        anyhow::ensure!(browser.eval(&choose).await? == tool, "{tool} is not offered");
        browser.type_into("#message", "Please compare the two price lists").await?;
        browser.click(".composer button.send").await?;
        browser.see_text("Please compare the two price lists").await?;
        model.held("half").await?;
        if tool == "claude" {
            // Claude tells of its answer while it writes it.
            browser.see(".writing table").await?;
        }
        browser.screenshot(&format!("{name}-running")).await?;
        anyhow::ensure!(!browser.scrolls_sideways().await?, "{name} scrolls sideways while it runs");
        model.release("half");

        browser.see("table").await?;
        browser.see("pre code").await?;
        browser.see_text("Pears went up").await?;
        browser.see_text("Worked").await?;
        browser.see_gone("Stop").await?;
        browser.screenshot(&format!("{name}-answer")).await?;

        // What was said is there after a reload, once.
        browser.page().refresh().await.context("reload")?;
        browser.see_text("Pears went up").await?;
        anyhow::ensure!(browser.text().await?.matches("Pears went up").count() == 1);
        anyhow::ensure!(!browser.scrolls_sideways().await?, "{name} scrolls sideways");
        let errors = browser.console_errors().await?;
        anyhow::ensure!(errors.is_empty(), "{errors:?}");
        Ok(())
    }
}
