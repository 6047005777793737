//! Keys alone: no mouse, no finger.

use anyhow::ensure;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use remotelab_tests::browser::Browser;
use serde_json::{Value, json};

use super::house::{House, choose_helper, count, desktop, no_errors, open_session, until};

async fn press(browser: &Browser, keys: &[Key]) -> anyhow::Result<()> {
    let mut actions = KeyActions::new("keys".into());
    for key in keys {
        actions = actions.then(KeyAction::Down { value: (*key).into() });
    }
    for key in keys.iter().rev() {
        actions = actions.then(KeyAction::Up { value: (*key).into() });
    }
    Ok(browser.page().perform_actions(actions).await?)
}

/// What has the focus, in words.
async fn focused(browser: &Browser) -> anyhow::Result<Value> {
    browser
        .eval(
            "const e = document.activeElement; return e.id || e.name || e.getAttribute('aria-label') || \
               e.dataset.do || (e.className.split ? e.className : '') || e.tagName",
        )
        .await
}

/// What the focus meets on its way, `steps` times Tab.
async fn walk(browser: &Browser, steps: usize) -> anyhow::Result<Vec<Value>> {
    let mut met = Vec::new();
    for _ in 0..steps {
        press(browser, &[Key::Tab]).await?;
        met.push(focused(browser).await?);
    }
    Ok(met)
}

#[tokio::test]
async fn a_task_is_done_with_keys_alone() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        // The field waits for words.
        ensure!(focused(&browser).await? == "message");
        choose_helper(&browser).await?;
        browser.type_into("#message", "two").await?;
        press(&browser, &[Key::Shift, Key::Enter]).await?;
        browser.type_into("#message", "lines").await?;
        ensure!(browser.eval("return document.querySelector('#message').value").await? == "two\nlines");
        ensure!(count(&browser, ".pending").await? == 0);
        press(&browser, &[Key::Enter]).await?;
        open_session(&browser).await?;
        browser.see_text("Done: lines").await?;
        until(&browser, "document.querySelector('.entry.user .bubble').innerText === 'two\\nlines'").await?;

        // From the top: the skip link first, and it leads to the field.
        browser.page().refresh().await?;
        browser.see_text("Done: lines").await?;
        browser.eval("document.querySelector('.skip').focus()").await?;
        let met = walk(&browser, 6).await?;
        let order =
            ["Hide tasks", "button primary new", "row", "SUMMARY", "Sign out", "More about this task"];
        ensure!(json!(met) == json!(order), "{met:?}");
        browser.eval("document.querySelector('.skip').focus()").await?;
        browser.screenshot("state-skip").await?;
        press(&browser, &[Key::Enter]).await?;
        until(&browser, "document.activeElement.id === 'message'").await?;
        ensure!(open_session(&browser).await?.len() == 32);

        // The menu opens, is walked through and closed, and the focus is where it was.
        browser.eval("document.querySelector('.menu summary').focus()").await?;
        press(&browser, &[Key::Enter]).await?;
        until(&browser, "document.querySelector('.menu').open").await?;
        let met = walk(&browser, 5).await?;
        ensure!(json!(met) == json!(["rename", "pin", "fork", "compact", "archive"]), "{met:?}");
        press(&browser, &[Key::Escape]).await?;
        until(&browser, "!document.querySelector('.menu').open").await?;
        ensure!(focused(&browser).await? == "More about this task");
        no_errors(&browser).await?;
    }
    Ok(())
}
