//! The Email Worker of `deploy/`, in the runtime that it is made for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::executors::cache;
use crate::http;
use crate::process::Process;
use crate::world::World;

/// A running Worker.
#[derive(Debug)]
pub struct EmailWorker {
    process: Process,
    /// Where it listens, without a slash at the end.
    pub url: String,
}

impl EmailWorker {
    /// Starts it with these variables. It ends with the world.
    pub async fn start(world: &World, bindings: &Value) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let miniflare = cache()?.join("npm/node_modules/miniflare");
        ensure!(miniflare.is_dir(), "{} is missing; install it with: cargo xtask setup", miniflare.display());
        let mut node = Command::new("node");
        node.arg(root.join("support/email_worker.mjs")).arg(miniflare);
        node.arg(
            root.join("../deploy/cloudflare/email-worker/src").canonicalize().context("find the Worker")?,
        );
        node.arg(bindings.to_string()).env("HOME", world.home()).env("TMPDIR", world.root());
        let process = Process::start("worker", &mut node)?;
        let address = |line: &str| line.split_once("ready http").map(|(_, rest)| format!("http{rest}"));
        let url = process.line("the Worker's address", address).await?;
        Ok(Self { process, url: url.trim_end_matches('/').to_owned() })
    }

    /// Has a mail arrive; the answer is the status and words of the platform.
    pub async fn receive(&self, from: &str, to: &str, mail: &str) -> anyhow::Result<http::Answer> {
        let url = format!("{}/cdn-cgi/handler/email", self.url);
        let call = http::client().post(url).query(&[("from", from), ("to", to)]).body(mail.to_owned());
        http::send(call).await
    }

    /// Waits for a letter that it sends, and reads it.
    pub async fn sent(&self) -> anyhow::Result<String> {
        let file = |line: &str| {
            let path = line.get(line.find('/')?..)?.trim();
            path.ends_with(".eml").then(|| path.to_owned())
        };
        let file = self.process.line("a letter", file).await?;
        std::fs::read_to_string(&file).with_context(|| format!("read {file}"))
    }
}
