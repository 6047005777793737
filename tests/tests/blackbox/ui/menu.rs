//! What can be done with a session as a whole, and who does the next message.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::house::{House, Place, begin, count, desktop, no_errors, open_session, send, until};

async fn of_session(place: &Place, id: &str) -> anyhow::Result<Value> {
    Ok(place.client().await?.get(&format!("/api/sessions/{id}")).await?["session"].take())
}

#[tokio::test]
async fn a_session_is_renamed_archived_found_again_and_copied() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        let id = begin(&browser, "Water the plants").await?;
        browser.see_text("Done: Water the plants").await?;
        browser.click(".menu summary").await?;
        browser.screenshot("state-menu").await?;
        browser.click("[data-do=rename]").await?;
        browser.type_into(".rename", "Plants\u{e007}").await?;
        until(&browser, "document.querySelector('#list .row-name')?.innerText === 'Plants'").await?;
        until(&browser, "document.querySelector('.bar h1').innerText === 'Plants'").await?;

        browser.click(".menu summary").await?;
        browser.click("[data-do=archive]").await?;
        until(&browser, "document.querySelectorAll('#list .row').length === 0").await?;
        until(&browser, "document.querySelector('#message').disabled").await?;
        browser.click("a.new").await?;
        browser.see("rl-session.home").await?;
        browser.click("#archive summary").await?;
        browser.click("#archive .row").await?;
        ensure!(open_session(&browser).await? == id);
        browser.click(".menu summary").await?;
        browser.click("[data-do=restore]").await?;
        until(&browser, "document.querySelectorAll('#list .row').length === 1").await?;
        browser.see_text("Nothing is archived.").await?;

        browser.click(".menu summary").await?;
        browser.click("[data-do=fork]").await?;
        until(&browser, &format!("location.pathname.includes('/s/') && !location.pathname.endsWith('{id}')"))
            .await?;
        let copy = open_session(&browser).await?;
        ensure!(of_session(&place, &copy).await?["forkedFromSessionId"] == json!(id));
        browser.see_text("Done: Water the plants").await?;
        send(&browser, "and the trees").await?;
        browser.see_text("Done: and the trees").await?;
        ensure!(of_session(&place, &id).await?["messageCount"] == 2, "the original grew");
        no_errors(&browser).await?;
    }
    Ok(())
}

#[tokio::test]
async fn model_and_thinking_are_chosen_and_remembered() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        browser.click(".choice summary").await?;
        super::house::choose_helper(&browser).await?;
        until(&browser, "document.querySelectorAll('[data-choose=model] option').length === 3").await?;
        for (what, value) in [("model", "deep"), ("effort", "on")] {
            browser.click(&format!("[data-choose={what}] option[value='{value}']")).await?;
        }
        until(&browser, "document.querySelector('.choice-name').innerText === 'Helper · Deep'").await?;
        browser.screenshot("state-choice").await?;
        browser.press("#message", fantoccini::key::Key::Escape).await?;
        until(&browser, "document.querySelectorAll('details.choice[open]').length === 0").await?;
        browser.type_into("#message", "Think about it\u{e007}").await?;
        let id = open_session(&browser).await?;
        browser.see_text("Done: Think about it").await?;
        let client = place.client().await?;
        let run = client.get(&format!("/api/sessions/{id}/runs")).await?["runs"][0].take();
        let run = client.run(run["id"].as_str().context("a run")?).await?;
        ensure!((&run["model"], &run["thinking"]) == (&json!("deep"), &json!(true)), "{run:#}");

        // In the session the server remembers it.
        browser.click(".choice summary").await?;
        browser.click("[data-choose=model] option[value='quick']").await?;
        remotelab_tests::wait::eventually("the model of the session", async || {
            Ok((of_session(&place, &id).await?["model"] == "quick").then_some(()))
        })
        .await?;
        browser.page().refresh().await?;
        until(&browser, "document.querySelector('.choice-name').innerText === 'Helper · Quick'").await?;
        ensure!(count(&browser, ".choice").await? == 1);
        no_errors(&browser).await?;
    }
    Ok(())
}
