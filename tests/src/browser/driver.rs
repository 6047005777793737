//! Debian's chromedriver, and the Chromium that it starts.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Screen;
use crate::http;
use crate::process::{self, Process};

/// Marks the processes of one browser, so that all of them can be found again.
const MARK: &str = "REMOTELAB_TEST_BROWSER";

const FLAGS: &[&str] = &[
    "--headless=new",
    // Tests may run as root, where Chromium's sandbox cannot.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--hide-scrollbars",
    // Nothing but loopback, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
];

/// A running driver.
#[derive(Debug)]
pub(super) struct Driver {
    port: u16,
    home: TempDir,
    _process: Process,
}

impl Driver {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let home = TempDir::with_prefix("remotelab-browser-").context("make a temporary folder")?;
        let process = Process::start(
            "chromedriver",
            Command::new("chromedriver")
                .arg("--port=0")
                .env(MARK, home.path())
                .env("HOME", home.path())
                .env("TMPDIR", home.path()),
        )
        .context("install it with: cargo xtask setup")?;
        let port: u16 = process
            .line("the port", |line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .await?;
        Ok(Self { port, home, _process: process })
    }

    /// Opens the browser.
    pub(super) async fn session(&self, screen: Screen) -> anyhow::Result<Client> {
        let (width, height, mobile) = screen.shape();
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--window-size={width},{height}"));
        flags.push(format!("--user-data-dir={}", self.home.path().join("profile").display()));
        let mut options = json!({"args": flags});
        if mobile {
            let metrics =
                json!({"width": width, "height": height, "pixelRatio": 2, "touch": true, "mobile": true});
            options["mobileEmulation"] = json!({"deviceMetrics": metrics});
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else {
            anyhow::bail!("capabilities are an object");
        };
        ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.url())
            .await
            .context("open the browser")
    }

    /// A command that WebDriver itself does not have.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/{path}", self.url());
        http::send(http::client().post(url).json(body)).await?.json()
    }
}

impl Driver {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks the driver to end itself and its browser; killed at once, the two leave files behind.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        std::io::copy(&mut connection, &mut std::io::sink())?;
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.shut_down();
        process::end_all_with(MARK, self.home.path());
    }
}
