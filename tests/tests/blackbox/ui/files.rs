//! Files: chosen, dropped, pasted; kept with the draft, sent, shown.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fantoccini::Locator;
use remotelab_tests::browser::Browser;
use serde_json::{Value, json};

use super::house::{House, begin, choose_helper, count, desktop, no_errors, open_session, until};

/// Eight by eight, red.
pub(super) const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4YGCAFTEMLQkARmxIAZ+ZdIsAAAAASUVORK5CYII=";

/// Chooses a file of this host, as the dialog of the browser would.
pub(super) async fn choose(browser: &Browser, path: &std::path::Path) -> anyhow::Result<()> {
    let input = browser.page().find(Locator::Css("input.pick")).await.context("the field for files")?;
    input.send_keys(path.to_str().context("a path")?).await.context("choose a file")
}

/// Brings files to the page as dragging or pasting them does.
async fn bring(browser: &Browser, event: &str, name: &str, mime: &str) -> anyhow::Result<Value> {
    let body = format!(
        "const data = new DataTransfer(); \
         const bytes = Uint8Array.from(atob('{PICTURE}'), (c) => c.charCodeAt(0)); \
         data.items.add(new File([bytes], '{name}', {{type: '{mime}'}})); \
         const field = document.querySelector('#message'); \
         const what = {{bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data}}; \
         if ('{event}' === 'paste') return field.dispatchEvent(new ClipboardEvent('paste', what)); \
         field.dispatchEvent(new DragEvent('dragover', what)); \
         const framed = 'dropping' in document.documentElement.dataset; \
         field.dispatchEvent(new DragEvent('drop', what)); return framed"
    );
    browser.eval(&body).await
}

#[tokio::test]
async fn files_are_attached_in_every_way_and_come_back_as_cards() -> anyhow::Result<()> {
    let house = House::open().await?;
    let folder = house.world.root().join("mine");
    fs::create_dir(&folder)?;
    let sheet = folder.join("报价 – März.csv");
    fs::write(&sheet, "apples,3\n".repeat(500))?;
    let empty = folder.join("empty.txt");
    fs::write(&empty, "")?;
    let browser = desktop().await?;
    for place in house.places().await? {
        place.enter(&browser).await?;
        choose_helper(&browser).await?;
        choose(&browser, &sheet).await?;
        choose(&browser, &empty).await?;
        ensure!(bring(&browser, "drop", "plan.png", "image/png").await? == true, "no frame shows");
        bring(&browser, "paste", "screenshot.png", "image/png").await?;
        until(&browser, "document.querySelectorAll('.attached li').length === 4").await?;
        browser.see_text("CSV · 4.5 kB").await?;
        browser.see_text("TXT · 0 B").await?;
        // One is taken back, and the others are there after a reload, previews too.
        browser.click(".attached [aria-label='Remove empty.txt']").await?;
        browser.page().refresh().await?;
        until(&browser, "document.querySelectorAll('.attached li').length === 3").await?;
        until(&browser, "[...document.querySelectorAll('.attached img')].filter((i) => i.naturalWidth === 8).length === 2")
            .await?;
        browser.screenshot("state-attached").await?;
        choose_helper(&browser).await?;
        browser.click(".composer button.send").await?;
        browser.see_text("Done: See the attached files.").await?;
        let id = open_session(&browser).await?;
        until(&browser, "document.querySelectorAll('.entry.user:not(.pending) .files li').length === 3")
            .await?;
        browser.see_text("报价 – März.csv").await?;
        until(&browser, "[...document.querySelectorAll('.picture img')].every((i) => i.naturalWidth === 8)")
            .await?;
        ensure!(count(&browser, ".attached li").await? == 0);
        browser.screenshot("state-files").await?;

        // They are assets, whole, and nothing is left behind in the browser.
        let events = place.client().await?.events(&id).await?;
        let files = events[0]["attachments"].as_array().context("files")?;
        let told: Vec<_> = files.iter().map(|file| (&file["originalName"], &file["sizeBytes"])).collect();
        ensure!(
            json!(told) == json!([["报价 – März.csv", 4500], ["plan.png", 74], ["screenshot.png", 74]]),
            "{told:?}"
        );
        ensure!(files.iter().all(|file| file["assetId"].is_string()), "{files:?}");
        let left = "const done = arguments[arguments.length - 1]; \
                    const open = indexedDB.open(`rl:${document.documentElement.dataset.base}:files`); \
                    open.onsuccess = () => { const all = open.result.transaction('files').objectStore('files').count(); \
                    all.onsuccess = () => done(all.result); };";
        let kept = browser.page().execute_async(left, Vec::new()).await?;
        ensure!(kept == 0, "{kept} files are kept");
        no_errors(&browser).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_large_file_outlives_the_server_that_takes_it() -> anyhow::Result<()> {
    const SIZE: usize = 300 << 20;
    let mut house = House::open().await?;
    let large = house.world.root().join("large.bin");
    fs::File::create(&large)?.set_len(SIZE as u64)?;
    let browser = desktop().await?;
    let place = house.owner();
    place.enter(&browser).await?;
    let id = begin(&browser, "Wait for a file").await?;
    browser.see_text("Done: Wait for a file").await?;
    house.up.stop(Duration::from_secs(20)).await?;
    choose(&browser, &large).await?;
    browser.see_text("BIN · 314.5 MB").await?;
    browser.type_into("#message", "Here it is\u{e007}").await?;
    browser.see_text("It is kept on this device and sent later.").await?;
    house.up = house.world.up().await?;
    browser.see_text("Done: Here it is").await?;
    until(&browser, "document.querySelectorAll('.pending').length === 0").await?;
    browser.see_text("BIN · 314.5 MB").await?;
    let events = place.client().await?.events(&id).await?;
    let sizes: Vec<_> =
        events.iter().filter_map(|event| event["attachments"][0]["sizeBytes"].as_u64()).collect();
    ensure!(sizes == [SIZE as u64], "{sizes:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() -> anyhow::Result<()> {
    let house = House::open().await?;
    let large = house.world.root().join("film.mov");
    fs::File::create(&large)?.set_len((2 << 30) + 1)?;
    let browser = desktop().await?;
    house.owner().enter(&browser).await?;
    choose(&browser, &large).await?;
    browser.see_text("film.mov is larger than 2 GB and cannot be sent.").await?;
    ensure!(count(&browser, ".attached li").await? == 0);
    no_errors(&browser).await
}
