//! What a session can be: waiting, failed, stopped, checked, summarised.

use anyhow::ensure;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use serde_json::json;

use super::house::{House, begin, count, desktop, no_errors, send, until};

#[tokio::test]
async fn a_second_message_waits_and_is_delivered() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        begin(&browser, "Sort the mail slowly").await?;
        browser.see(".now .stop button").await?;
        browser.type_into("#message", "then the letters\u{e007}").await?;
        browser.see_text("1 message waits").await?;
        until(&browser, "document.querySelector('.queue-text').innerText === 'then the letters'").await?;
        until(&browser, "document.querySelector('#list .row').innerText.includes('1 waiting')").await?;
        ensure!(count(&browser, "rl-outbox .pending").await? == 0, "it is shown as on its way as well");
        browser.screenshot("state-queued").await?;
        house.open_gate("work")?;
        browser.see_text("Done: Sort the mail slowly").await?;
        browser.see_text("Done: then the letters").await?;
        browser.see_gone("message waits").await?;
        ensure!(count(&browser, ".entry.user").await? == 2);
        no_errors(&browser).await?;
        house.close_gate("work")?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failure_says_why_and_can_be_tried_again() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = Browser::open(Screen::Phone, Scheme::Dark).await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        begin(&browser, "Print it badly").await?;
        browser.see(".entry.failed").await?;
        browser.see_text("This did not finish").await?;
        browser.see_text("the printer is on fire").await?;
        until(&browser, "document.querySelector('#list .row').textContent.includes('failed')").await?;
        browser.screenshot("state-failed").await?;
        browser.click(".entry.failed .retry button").await?;
        // The second attempt is a turn of its own, and only the last failure offers another.
        until(&browser, "document.querySelectorAll('.entry.failed').length === 2").await?;
        ensure!(count(&browser, ".entry.user:not(.pending)").await? == 2);
        ensure!(count(&browser, ".retry").await? == 1);
        no_errors(&browser).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_run_is_stopped_in_the_page_and_in_the_menu() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        begin(&browser, "Dig slowly").await?;
        browser.click(".now .stop button").await?;
        browser.see_text("Stopped ·").await?;
        until(&browser, "document.querySelector('#list .row').innerText.includes('stopped')").await?;
        send(&browser, "Dig on slowly").await?;
        browser.see(".now .stop button").await?;
        browser.click(".menu summary").await?;
        browser.click("[data-do=stop]").await?;
        until(&browser, "document.querySelectorAll('.entry.stopped').length === 2").await?;
        ensure!(count(&browser, ".now").await? == 0, "something still runs");
        no_errors(&browser).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_reply_that_is_checked_and_a_summary_that_is_made_are_told() -> anyhow::Result<()> {
    let house = House::open_with(&[
        ("REMOTELAB_REPLY_SELF_CHECK", "all"),
        ("REMOTELAB_TURN_HELPER_TOOL", super::house::HELPER),
    ])
    .await?;
    let browser = desktop().await?;
    for place in [house.owner(), house.owner_below_the_gateway()] {
        place.enter(&browser).await?;
        let id = begin(&browser, "Count the chairs").await?;
        // The answer is there while it is looked at, and nothing can be stopped about that.
        browser.see_text("Done: Count the chairs").await?;
        browser.see_text("Checking the answer").await?;
        ensure!(count(&browser, ".stop").await? == 0);
        browser.see_gone("Assistant self-check").await?;
        browser.screenshot("state-checking").await?;
        house.open_gate("check")?;
        browser.see_text("The answer was checked.").await?;
        browser.see_gone("Checking the answer").await?;

        browser.click(".menu summary").await?;
        browser.click("[data-do=compact]").await?;
        browser.see_text("Summarising the conversation").await?;
        let body = place.client().await?.get(&format!("/api/sessions/{id}")).await?;
        ensure!(body["session"]["activity"]["compact"] == json!({"state": "pending"}), "{body}");
        send(&browser, "And the tables").await?;
        browser.see_text("1 message waits").await?;
        browser.screenshot("state-summarising").await?;
        house.open_gate("summary")?;
        browser.see_text("What is above was summarised").await?;
        browser.see_text("I kept all of it.").await?;
        browser.see_text("Done: And the tables").await?;
        until(&browser, "document.querySelectorAll('.now').length === 0").await?;
        no_errors(&browser).await?;
        house.close_gate("check")?;
        house.close_gate("summary")?;
    }
    Ok(())
}
