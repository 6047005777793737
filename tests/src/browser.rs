//! A real Chromium, as a phone or a desktop.

mod driver;

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::wait::eventually;
use driver::Driver;

/// A browser with one page and a profile of its own; dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    page: Client,
    driver: Driver,
}

/// The device that the page is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// 390×844 with touch.
    Phone,
    /// 320×640 with touch, the smallest there is.
    SmallPhone,
    /// 1440×900 with a mouse.
    Desktop,
}

/// What the user prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Browser {
    /// Starts one.
    pub async fn open(screen: Screen, scheme: Scheme) -> anyhow::Result<Self> {
        let driver = Driver::start().await?;
        let page = driver.session(screen).await?;
        let browser = Self { page, driver };
        let (width, height, mobile) = screen.shape();
        // Whatever room the window leaves, the page has exactly this much.
        browser
            .cdp(
                "Emulation.setDeviceMetricsOverride",
                json!({"width": width, "height": height, "deviceScaleFactor": if mobile { 2 } else { 1 }, "mobile": mobile}),
            )
            .await?;
        browser.prefer(scheme).await?;
        Ok(browser)
    }

    /// The WebDriver client, for what has no method here.
    pub fn page(&self) -> &Client {
        &self.page
    }

    /// Goes to an address and waits until it is loaded.
    pub async fn goto(&self, url: &str) -> anyhow::Result<()> {
        self.page.goto(url).await.with_context(|| format!("go to {url}"))
    }

    /// The address of the page.
    pub async fn url(&self) -> anyhow::Result<String> {
        Ok(self.page.current_url().await.context("read the address")?.into())
    }

    /// Waits until an element is displayed.
    pub async fn see(&self, css: &str) -> anyhow::Result<Element> {
        eventually(format!("{css} on the page"), async || {
            let Ok(element) = self.page.find(Locator::Css(css)).await else {
                return Ok(None);
            };
            // It may be replaced between the two questions; then it is looked for again.
            let shown = element.is_displayed().await.unwrap_or(false);
            Ok(shown.then_some(element))
        })
        .await
    }

    /// Waits until the page shows this text.
    pub async fn see_text(&self, text: &str) -> anyhow::Result<()> {
        let seen = eventually(format!("“{text}” on the page"), async || {
            Ok(self.text().await?.contains(text).then_some(()))
        })
        .await;
        match seen {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(format!("the page says: {}", self.text().await?))),
        }
    }

    /// Waits until the page does not show this text.
    pub async fn see_gone(&self, text: &str) -> anyhow::Result<()> {
        eventually(format!("“{text}” to go from the page"), async || {
            Ok((!self.text().await?.contains(text)).then_some(()))
        })
        .await
    }

    /// The text that the page shows.
    pub async fn text(&self) -> anyhow::Result<String> {
        let text = self.eval("return document.body ? document.body.innerText : ''").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks an element once it is displayed.
    pub async fn click(&self, css: &str) -> anyhow::Result<()> {
        let element = self.see(css).await?;
        element.click().await.with_context(|| format!("click {css}"))
    }

    /// Types into an element once it is displayed.
    pub async fn type_into(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let element = self.see(css).await?;
        element.send_keys(text).await.with_context(|| format!("type into {css}"))
    }

    /// Presses a key in an element.
    pub async fn press(&self, css: &str, key: Key) -> anyhow::Result<()> {
        self.type_into(css, &char::from(key).to_string()).await
    }

    /// Runs the body of a function in the page and returns what it returns.
    pub async fn eval(&self, body: &str) -> anyhow::Result<Value> {
        self.page.execute(body, Vec::new()).await.with_context(|| format!("run in the page: {body}"))
    }

    /// Switches between light and dark.
    pub async fn prefer(&self, scheme: Scheme) -> anyhow::Result<()> {
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.cdp("Emulation.setEmulatedMedia", json!({"features": features})).await?;
        Ok(())
    }

    /// Cuts the network off, or joins it again.
    pub async fn offline(&self, offline: bool) -> anyhow::Result<()> {
        self.cdp("Network.enable", json!({})).await?;
        let conditions =
            json!({"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.cdp("Network.emulateNetworkConditions", conditions).await?;
        Ok(())
    }

    /// A command of the DevTools protocol.
    pub async fn cdp(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        let body = json!({"cmd": command, "params": parameters});
        self.extension("goog/cdp/execute", &body).await
    }

    /// Errors that the page's console collected since the last look.
    pub async fn console_errors(&self) -> anyhow::Result<Vec<String>> {
        let log = self.extension("se/log", &json!({"type": "browser"})).await?;
        let entries = log.as_array().context("the log is no list")?;
        let errors = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        Ok(errors.filter_map(|entry| Some(entry["message"].as_str()?.to_owned())).collect())
    }

    /// Whether the page is wider than the screen, which nobody wants on a phone.
    pub async fn scrolls_sideways(&self) -> anyhow::Result<bool> {
        // A phone widens its layout to what does not fit, so the screen itself is the measure.
        let wider = "const wide = window.visualViewport.width * window.visualViewport.scale; \
                     return Math.max(window.innerWidth, document.documentElement.scrollWidth) > wide + 1";
        Ok(self.eval(wider).await? == true)
    }

    /// Takes a picture of the screen: `NAME.png` in `REMOTELAB_SCREENSHOTS`, else in
    /// `tests/artifacts`.
    pub async fn screenshot(&self, name: &str) -> anyhow::Result<PathBuf> {
        let picture = self.cdp("Page.captureScreenshot", json!({"format": "png"})).await?;
        let data = picture["data"].as_str().context("there is no picture")?;
        let bytes = STANDARD.decode(data).context("decode the picture")?;
        let path = pictures()?.join(format!("{name}.png"));
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    async fn extension(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let session = self.page.session_id().await.context("read the session's id")?;
        let session = session.context("the browser has no session")?;
        let mut answer = self.driver.post(&format!("session/{session}/{path}"), body).await?;
        ensure!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]);
        Ok(answer["value"].take())
    }
}

impl Screen {
    /// Width and height in CSS pixels, and whether it is a phone.
    fn shape(self) -> (u32, u32, bool) {
        match self {
            Self::Phone => (390, 844, true),
            Self::SmallPhone => (320, 640, true),
            Self::Desktop => (1440, 900, false),
        }
    }
}

fn pictures() -> anyhow::Result<PathBuf> {
    let folder = match env::var_os("REMOTELAB_SCREENSHOTS") {
        Some(folder) => PathBuf::from(folder),
        None => env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from("."), PathBuf::from)
            .join("artifacts"),
    };
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}
