//! The page of a link that is good for a while.

use anyhow::ensure;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use remotelab_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn whoever_is_invited_sees_where_to_and_is_in_with_a_press() -> anyhow::Result<()> {
    let world = World::without_executors().await?;
    let _up = world.up().await?;
    let made = world.run(&["guest-instance", "create", "shop", "--local-only", "--json"]).await?;
    ensure!(made.code == Some(0), "{made:?}");
    let words = ["guest-instance", "links", "create", "shop", "--expires", "7d", "--uses", "1", "--json"];
    let made = world.run(&words).await?;
    ensure!(made.code == Some(0), "{made:?}");
    let link: Value = serde_json::from_str(&made.stdout)?;
    let link = link["url"].as_str().unwrap_or_default().to_owned();
    // Below its name at the front door as well.
    let (_, query) = link.split_once("/enter").unwrap_or_default();
    let prefixed = format!("{}/shop/enter{query}", world.gateway_url());

    for (screen, scheme, language, submit) in [
        (Screen::Phone, Scheme::Light, "en", "Come in"),
        (Screen::Phone, Scheme::Dark, "zh-CN", "进入"),
        (Screen::Desktop, Scheme::Light, "zh-CN", "进入"),
        (Screen::Desktop, Scheme::Dark, "en", "Come in"),
    ] {
        let browser = Browser::open(screen, scheme).await?;
        browser.cdp("Network.enable", json!({})).await?;
        browser.cdp("Network.setExtraHTTPHeaders", json!({"headers": {"accept-language": language}})).await?;
        browser.goto(&prefixed).await?;
        browser.see_text("shop").await?;
        browser.see_text(submit).await?;
        ensure!(!browser.scrolls_sideways().await?);
        let name = format!("enter-{screen:?}-{scheme:?}-{language}").to_lowercase();
        browser.screenshot(&name).await?;
        let was_last = matches!((screen, scheme), (Screen::Desktop, Scheme::Dark));
        if was_last {
            browser.click("form button").await?;
            browser.see("#message").await?;
            ensure!(!browser.url().await?.contains("link="), "the link stays in the address");
            browser.goto(&prefixed).await?;
            browser.see_text("does not lead in any more").await?;
            browser.screenshot(&format!("{name}-ended")).await?;
        }
        ensure!(browser.console_errors().await?.iter().all(|error| error.contains("410")));
    }
    Ok(())
}
