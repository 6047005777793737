//! The smallest phone, long code, wide tables, Chinese, the dark.

use std::fs;

use anyhow::ensure;
use remotelab_tests::browser::{Browser, Scheme, Screen};
use serde_json::json;

use super::house::{House, begin, no_errors, until};

#[tokio::test]
async fn long_code_and_wide_tables_scroll_in_their_own_box() -> anyhow::Result<()> {
    let house = House::open().await?;
    let cells = |text: &str| format!("|{}", format!(" {text} |").repeat(9));
    let table = format!("{}\\n{}\\n{}", cells("A longer heading"), cells("---"), cells("1234567.89"));
    let line =
        "let quite_a_long_name = another_long_name.method(with, many, arguments).unwrap_or_default();\\n";
    let wide = format!(
        "{table}\\n\\n```rust\\n{}```\\n\\nAverylongwordwithoutanyspace{}",
        line.repeat(60),
        "x".repeat(200)
    );
    fs::write(house.world.home().join("wide"), wide)?;
    let browser = Browser::open(Screen::SmallPhone, Scheme::Dark).await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        ensure!(browser.eval("return innerWidth").await? == 320);
        ensure!(!browser.scrolls_sideways().await?, "the first page scrolls sideways");
        begin(&browser, "something wide").await?;
        browser.see(".text pre").await?;
        let boxes = browser
            .eval(
                "return ['.text pre', '.table'].map((css) => { const e = document.querySelector(css); \
                   return e.scrollWidth > e.clientWidth && e.getBoundingClientRect().right <= innerWidth; })",
            )
            .await?;
        ensure!(boxes == json!([true, true]), "{boxes}");
        // Both can be reached and scrolled with keys.
        let stops = browser
            .eval("return ['.text pre', '.table'].map((css) => document.querySelector(css).tabIndex)")
            .await?;
        ensure!(stops == json!([0, 0]), "{stops}");
        // No more than the copy button stands over the code, in reach of a thumb.
        let copy = browser
            .eval("const c = document.querySelector('.copy').getBoundingClientRect(); return [c.width >= 44, c.height >= 44]")
            .await?;
        ensure!(copy == json!([true, true]), "{copy}");
        browser.screenshot("state-narrow").await?;
        // Menu and drawer fit.
        browser.click(".menu summary").await?;
        let fits = "const box = document.querySelector('.menu-items').getBoundingClientRect(); \
                    return box.left >= 0 && box.right <= innerWidth";
        ensure!(browser.eval(fits).await? == true, "the menu leaves the screen");
        browser.screenshot("state-narrow-menu").await?;
        browser.press("#message", fantoccini::key::Key::Escape).await?;
        browser.click(".to-list").await?;
        browser.see("a.new").await?;
        until(&browser, "document.querySelector('.side').getBoundingClientRect().left === 0").await?;
        browser.screenshot("state-drawer").await?;
        browser.click(".from-list").await?;
        let ground = "getComputedStyle(document.body).backgroundColor";
        ensure!(browser.eval(&format!("return {ground}")).await? == "rgb(20, 23, 22)");
        browser.prefer(Scheme::Light).await?;
        until(&browser, &format!("{ground} === 'rgb(255, 255, 255)'")).await?;
        browser.prefer(Scheme::Dark).await?;
        no_errors(&browser).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_chinese_browser_gets_chinese() -> anyhow::Result<()> {
    let house = House::open().await?;
    let browser = Browser::open(Screen::Phone, Scheme::Light).await?;
    browser.cdp("Network.enable", json!({})).await?;
    let agent = browser.eval("return navigator.userAgent").await?;
    browser
        .cdp("Network.setUserAgentOverride", json!({"userAgent": agent, "acceptLanguage": "zh-CN,zh;q=0.9"}))
        .await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        browser.see_text("要做什么？").await?;
        ensure!(browser.eval("return document.documentElement.lang").await? == "zh-CN");
        begin(&browser, "把邮件整理好 slowly").await?;
        browser.see_text("停止").await?;
        browser.type_into("#message", "再看一遍").await?;
        browser.click(".composer .send").await?;
        browser.see_text("1 条消息在等待").await?;
        browser.screenshot("state-chinese").await?;
        house.open_gate("work")?;
        browser.see_text("Done: 再看一遍").await?;
        let text = browser.text().await?;
        let own =
            text.replace("Done:", "").replace("slowly", "").replace("RemoteLab", "").replace("Helper", "");
        let foreign: Vec<_> = own
            .split_whitespace()
            .filter(|word| word.len() > 3 && word.bytes().all(|b| b.is_ascii_alphabetic()))
            .collect();
        ensure!(foreign.iter().all(|word| ["trial1", "owner", "smail"].contains(word)), "{foreign:?}");
        no_errors(&browser).await?;
        house.close_gate("work")?;
    }
    Ok(())
}
