//! A real object storage (s3rver), which checks every signature.

use std::process::Command;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::executors::cache;
use crate::process::Process;
use crate::world::World;

/// The keys that s3rver knows.
const KEY: &str = "S3RVER";
const BUCKET: &str = "files";

/// A running storage with one bucket; dropping it stops it.
#[derive(Debug)]
pub struct ObjectStorage {
    process: Process,
    port: u16,
    _data: TempDir,
}

impl ObjectStorage {
    /// Starts on a free loopback port.
    pub async fn start() -> anyhow::Result<Self> {
        let program = cache()?.join("npm/node_modules/s3rver/bin/s3rver.js");
        if !program.is_file() {
            bail!("{} is missing; install it with: cargo xtask setup", program.display());
        }
        let data = TempDir::with_prefix("remotelab-objects-").context("make a temporary folder")?;
        let mut command = Command::new("node");
        command
            .arg(program)
            .args(["--address", "127.0.0.1", "--port", "0", "--configure-bucket", BUCKET, "--directory"])
            .arg(data.path());
        let process = Process::start("s3rver", &mut command)?;
        let port = process
            .line("the port", |line| line.split_once("listening on 127.0.0.1:")?.1.trim().parse().ok())
            .await?;
        Ok(Self { process, port, _data: data })
    }

    /// The address of its bucket.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/{BUCKET}", self.port)
    }

    /// Sets the variables by which a product finds it.
    pub fn tell(&self, world: &mut World) {
        world.set("REMOTELAB_ASSET_STORAGE_BASE_URL", self.base_url());
        world.set("REMOTELAB_ASSET_STORAGE_REGION", "us-east-1");
        world.set("REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID", KEY);
        world.set("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", KEY);
    }

    /// Ends it.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.map(drop)
    }
}
