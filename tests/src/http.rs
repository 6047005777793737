//! Plain HTTP to loopback, redirects shown and not followed.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

/// What came back, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text, with what is no UTF-8 replaced.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text)
            .with_context(|| format!("read JSON from {}: {}", self.status, self.text))
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The client that all tests share.
pub fn client() -> Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        // An error means that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(60))
            // A connection belongs to the runtime of one test; the next test has another.
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .expect("only constants are set")
    });
    CLIENT.clone()
}

/// Sends and reads the whole answer.
pub async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    let response = request.send().await.context("send the request")?;
    let status = response.status();
    let headers = response.headers().clone();
    let text = response.text().await.context("read the answer")?;
    Ok(Answer { status, headers, text })
}
