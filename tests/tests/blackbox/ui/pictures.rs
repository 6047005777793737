//! The printed link, a task, its answer, a message that waits, files. `cargo xtask screenshots` takes the
//! pictures of the documents from here.

use std::fs;

use anyhow::Context as _;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use remotelab_tests::process::Process;
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::world::World;

use super::files;

#[tokio::test]
async fn on_a_phone_codex_answers_the_owner() -> anyhow::Result<()> {
    let (world, up) = house("codex").await?;
    let link = link(&up, &format!("{}/?token=", world.owner_url())).await?;
    let visit = Visit::new(Screen::Phone, Scheme::Light, "codex").await?;
    visit.hand_over_a_task(&link, &world).await
}

#[tokio::test]
async fn on_a_desktop_claude_answers_the_owner_through_the_gateway() -> anyhow::Result<()> {
    let (world, up) = house("claude").await?;
    let link = link(&up, &format!("{}/owner/?token=", world.gateway_url())).await?;
    let visit = Visit::new(Screen::Desktop, Scheme::Dark, "claude").await?;
    visit.hand_over_a_task(&link, &world).await
}

#[tokio::test]
async fn on_a_desktop_codex_answers_a_guest() -> anyhow::Result<()> {
    let (world, _up) = house("codex").await?;
    let link = trial(&world).await?;
    let visit = Visit::new(Screen::Desktop, Scheme::Light, "codex").await?;
    visit.hand_over_a_task(&link, &world).await
}

#[tokio::test]
async fn on_a_phone_claude_answers_a_guest() -> anyhow::Result<()> {
    let (world, _up) = house("claude").await?;
    let link = trial(&world).await?;
    let visit = Visit::new(Screen::Phone, Scheme::Dark, "claude").await?;
    visit.hand_over_a_task(&link, &world).await
}

/// A house of somebody who has one executor, which works on price lists until it is let go on.
async fn house(tool: &str) -> anyhow::Result<(World, Process)> {
    let world = World::new().await?;
    let other = if tool == "codex" { "claude" } else { "codex" };
    fs::remove_file(world.bin().join(other)).context("take the other executor away")?;
    let compared = [
        Step::reasoning("Two lists, one difference"),
        Step::shell("printf 'apples 3\\npears 4\\n'"),
        Step::text("Pears went up:\n\n| Fruit | Old | New |\n|---|---|---|\n| Apples | 3 | 3 |\n"),
        Step::hold("half"),
        Step::text("| Pears | 3 | **4** |\n\n```python\nprint(\"pears\", 4)\n```\n"),
    ];
    let checked = [
        Step::add_file("checked.csv", "Fruit,Price\nApples,3\nPears,4\n"),
        Step::text("Both agree with the window. The checked list is `checked.csv`."),
    ];
    world.model().script(
        Script::new()
            .when_text("compare the two price lists", compared)
            .when_text("note to the shop", [Step::hold("note"), Step::text("The note is written.")])
            .when_text("which day is best", [Step::text("Tuesday is best.")])
            .when_text("check the list", checked),
    );
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
    world.admit_executors("trial1").await?;
    let token = world.guest_token("trial1")?;
    Ok(format!("{}/trial1/?token={token}", world.gateway_url()))
}

struct Visit {
    browser: Browser,
    screen: Screen,
    name: String,
    tool: &'static str,
}

impl Visit {
    async fn new(screen: Screen, scheme: Scheme, tool: &'static str) -> anyhow::Result<Self> {
        Ok(Self {
            browser: Browser::open(screen, scheme).await?,
            screen,
            name: format!("{screen:?}-{scheme:?}").to_lowercase(),
            tool,
        })
    }

    async fn hand_over_a_task(self, link: &str, world: &World) -> anyhow::Result<()> {
        let Self { browser, screen, name, tool } = self;
        let model = world.model();
        browser.goto(link).await?;
        browser.see("#message").await?;
        anyhow::ensure!(!browser.url().await?.contains("token"), "the token stays in the address");
        let picture = browser.screenshot(&format!("{name}-home")).await?;

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

        browser.type_into("#message", "Write a note to the shop").await?;
        browser.click(".composer button.send").await?;
        model.held("note").await?;
        browser.type_into("#message", "And tell me which day is best for shopping").await?;
        browser.click(".composer button.send").await?;
        browser.see_text("1 message waits").await?;
        if screen == Screen::Phone {
            browser.screenshot(&format!("{name}-queued")).await?;
        }
        anyhow::ensure!(!browser.scrolls_sideways().await?, "{name} scrolls sideways while one waits");
        model.release("note");
        browser.see_text("Tuesday is best.").await?;

        let mine = world.root().join("mine");
        fs::create_dir_all(&mine).context("make a folder")?;
        let (list, window) = (mine.join("Prices of this year.csv"), mine.join("Shop window.png"));
        fs::write(&list, "Fruit,Price\n".repeat(700)).context("write a list")?;
        fs::copy(picture, &window).context("copy a picture")?;
        files::choose(&browser, &list).await?;
        files::choose(&browser, &window).await?;
        browser.type_into("#message", "Please check the list against the picture").await?;
        browser.click(".composer button.send").await?;
        browser.see_text("Both agree with the window.").await?;
        // What the run made is offered.
        browser.see(".delivery .file").await?;
        browser.see_gone("Stop").await?;
        browser
            .eval("[...document.querySelectorAll('.entry.user')].at(-1).scrollIntoView({block: 'start'})")
            .await?;
        super::house::until(
            &browser,
            "[...document.querySelectorAll('.picture img')].every((i) => i.naturalWidth > 0)",
        )
        .await?;
        super::house::until(&browser, "document.querySelector('#list .row').dataset.state === 'idle'")
            .await?;
        if screen == Screen::Desktop {
            browser.screenshot(&format!("{name}-files")).await?;
        }
        anyhow::ensure!(!browser.scrolls_sideways().await?, "{name} scrolls sideways with files");

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
