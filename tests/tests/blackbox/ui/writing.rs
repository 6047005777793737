//! An answer that is being written.

use std::fs;

use anyhow::{Context as _, ensure};
use remotelab_tests::standin_model::{Script, Step};
use remotelab_tests::world::World;

use super::house::{count, desktop, no_errors, until};

#[tokio::test]
async fn claude_is_read_while_it_writes_also_after_a_reload() -> anyhow::Result<()> {
    let world = World::new().await?;
    fs::remove_file(world.bin().join("codex")).context("take the other executor away")?;
    world.model().script(Script::new().when_text(
        "tell a story",
        [
            Step::text("Once upon a time "),
            Step::hold("first"),
            Step::text("there was **a lab**.\n\n- one\n"),
            Step::hold("second"),
            Step::text("- two\n\nThe end."),
        ],
    ));
    let _up = world.up().await?;
    let created = world.run(&["guest-instance", "create-trial", "--json"]).await?;
    ensure!(created.code == Some(0), "{created:?}");
    world.admit_executors("trial1").await?;
    let link = format!("{}/trial1/?token={}", world.gateway_url(), world.guest_token("trial1")?);
    let browser = desktop().await?;
    browser.goto(&link).await?;
    browser.type_into("#message", "Please tell a story").await?;
    browser.click(".composer button.send").await?;
    world.model().held("first").await?;
    until(&browser, "document.querySelector('.writing')?.innerText.trim() === 'Once upon a time'").await?;
    until(&browser, "document.querySelector('.now .doing').innerText === 'Writing the answer'").await?;
    world.model().release("first");
    world.model().held("second").await?;
    until(&browser, "document.querySelector('.writing strong')?.innerText === 'a lab'").await?;
    browser.page().refresh().await?;
    until(&browser, "document.querySelector('.writing strong')?.innerText === 'a lab'").await?;
    browser.screenshot("state-writing").await?;
    ensure!(count(&browser, ".entry.assistant").await? == 0, "it is shown as said");
    world.model().release("second");
    browser.see_text("The end.").await?;
    until(&browser, "document.querySelectorAll('.writing > *').length === 0").await?;
    until(&browser, "document.querySelectorAll('.entry.assistant li').length === 2").await?;
    ensure!(browser.text().await?.matches("Once upon a time").count() == 1);
    no_errors(&browser).await
}
