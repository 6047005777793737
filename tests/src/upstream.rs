//! A server behind the gateway that tells what reached it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Requests kept.
const MOST_REQUESTS: usize = 1_000;
/// Bytes of a body kept.
const LONGEST_BODY: usize = 16 << 20;

/// A running upstream; dropping it stops it.
#[derive(Debug)]
pub struct Upstream {
    port: u16,
    state: Arc<Shared>,
    server: JoinHandle<std::io::Result<()>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Arrived>>,
    headers: Mutex<HeaderMap>,
}

impl Upstream {
    /// Starts on a free loopback port, answering every request with `upstream`.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind the upstream")?;
        let port = listener.local_addr().context("read the address")?.port();
        let state = Arc::<Shared>::default();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { port, state, server })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a header to every answer from here on, beside those of the same name.
    pub fn answer_header(&self, name: &'static str, value: &str) -> anyhow::Result<()> {
        let value = HeaderValue::from_str(value).context("read the header's value")?;
        let mut headers = lock(&self.state.headers);
        headers.append(HeaderName::from_static(name), value);
        Ok(())
    }

    /// The requests so far, oldest first.
    pub fn arrived(&self) -> Vec<Arrived> {
        lock(&self.state.requests).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(state): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LONGEST_BODY).await;
    let mut requests = lock(&state.requests);
    if requests.len() < MOST_REQUESTS {
        requests.push(Arrived {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers,
            body: body.unwrap_or_default(),
        });
    }
    (lock(&state.headers).clone(), "upstream").into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
