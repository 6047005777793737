//! A model on loopback that answers what a test told it to.
//!
//! It speaks the APIs that the executors use, all streamed: OpenAI's Responses for `codex`,
//! Anthropic's Messages for `claude`, `opencode` and `copilot`, OpenAI's Chat Completions for `cline`
//! and Google's for `gemini`. A test drives it as a library; the `standin-model` program offers the
//! same over HTTP.

mod calls;
mod chat;
mod gates;
mod gemini;
mod messages;
mod question;
mod record;
mod reply;
mod responses;
mod script;
mod server;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use question::Api;
pub use record::Request;
pub use script::{Rule, Script, Step, When};

use server::State;

/// A running stand-in model; dropping it stops it.
#[derive(Debug)]
pub struct StandinModel {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<std::io::Result<()>>,
}

impl StandinModel {
    /// Starts on a free loopback port, answering `You said: …` until told otherwise.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("bind the stand-in model")?;
        let address = listener.local_addr().context("read the bound address")?;
        let state = Arc::<State>::default();
        let routes = server::routes(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, state, server })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the script; requests under way keep the answer they began.
    pub fn script(&self, script: Script) {
        self.state.set_script(script);
    }

    /// The requests for an answer so far, oldest first (the latest few hundred).
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests()
    }

    /// Lets every answer that waits at `gate` go on, also those that come later.
    pub fn release(&self, gate: &str) {
        self.state.gates().release(gate);
    }

    /// Waits until an answer has arrived at `gate`.
    pub async fn held(&self, gate: &str) -> anyhow::Result<()> {
        self.state.gates().held(gate).await
    }

    /// Serves until the process ends.
    pub async fn run(mut self) -> anyhow::Result<()> {
        (&mut self.server).await.context("join the server")?.context("serve the stand-in model")
    }
}

impl Drop for StandinModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}
