//! The server goes away and comes back; what was written stays.

use std::time::Duration;

use anyhow::ensure;

use super::house::{House, begin, choose_helper, count, desktop, open_session, until};

#[tokio::test]
async fn the_page_outlives_its_server_and_sends_what_was_written_once() -> anyhow::Result<()> {
    let mut house = House::open().await?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        begin(&browser, "Before the break").await?;
        browser.see_text("Done: Before the break").await?;
        house.up.stop(Duration::from_secs(20)).await?;
        until(&browser, "document.querySelector('.connection').innerText !== ''").await?;
        browser.type_into("#message", "During the break\u{e007}").await?;
        browser.see_text("It is kept on this device and sent later.").await?;
        browser.see_text("No connection.").await?;
        ensure!(browser.text().await?.contains("Done: Before the break"), "the transcript is gone");
        browser.screenshot("state-reconnecting").await?;
        // Also a page that is left now finds it again.
        browser.type_into("#message", "half a thou").await?;

        house.up = house.world.up().await?;
        browser.see_text("Done: During the break").await?;
        until(&browser, "document.querySelector('.connection').innerText === ''").await?;
        ensure!(count(&browser, ".entry.user").await? == 2, "{}", browser.text().await?);
        let draft = browser.eval("return document.querySelector('#message').value").await?;
        ensure!(draft == "half a thou", "{draft}");
        browser.page().refresh().await?;
        browser.see_text("Done: During the break").await?;
        ensure!(count(&browser, ".entry.user").await? == 2);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_written_is_never_lost() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = desktop().await?;
    let draft = "return document.querySelector('#message').value";
    for place in house.places().await? {
        place.enter(&browser).await?;
        let id = begin(&browser, "First task").await?;
        browser.see_text("Done: First task").await?;
        browser.type_into("#message", "for the first").await?;
        // Another session has another draft.
        browser.click("a.new").await?;
        browser.see("rl-session.home #message").await?;
        ensure!(browser.eval(draft).await? == "");
        browser.type_into("#message", "for a new one").await?;
        browser.page().refresh().await?;
        browser.see("rl-session.home #message").await?;
        until(&browser, "document.querySelector('#message').value === 'for a new one'").await?;
        browser.click(&format!("#list .row[data-session='{id}']")).await?;
        until(&browser, "document.querySelector('#message').value === 'for the first'").await?;

        // What the server refuses comes back with its reason.
        browser.page().execute("window.stop()", Vec::new()).await?;
        let client = place.client().await?;
        let patch = serde_json::json!({"archived": true});
        let answer =
            client.send(reqwest::Method::PATCH, &format!("/api/sessions/{id}"), Some(&patch)).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        // A page that does not know it yet.
        browser
            .eval(
                "const field = document.querySelector('#message'); field.disabled = false; \
                   document.querySelector('.composer').requestSubmit()",
            )
            .await?;
        browser.see_text("Not accepted: Session is archived").await?;
        browser.page().refresh().await?;
        browser.see_text("Not accepted: Session is archived").await?;
        browser.screenshot("state-refused").await?;
        browser.eval("document.querySelector('.pending button:nth-of-type(2)').click()").await?;
        until(&browser, "document.querySelector('#message').value === 'for the first'").await?;
        ensure!(count(&browser, ".pending").await? == 0);

        // Restored, it can be sent.
        browser.click(".menu summary").await?;
        browser.click("[data-do=restore]").await?;
        until(&browser, "!document.querySelector('#message').disabled").await?;
        choose_helper(&browser).await?;
        browser.press("#message", fantoccini::key::Key::Enter).await?;
        browser.see_text("Done: for the first").await?;
        ensure!(open_session(&browser).await? == id);
    }
    Ok(())
}
