//! A real object storage (s3s-fs), which checks every signature.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::executors::cache;
use crate::process::Process;
use crate::world::World;

const ACCESS_KEY: &str = "AKIDTEST";
const SECRET_KEY: &str = "not/a+secret";
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
        let program = cache()?.join("cargo/bin/s3s-fs");
        if !program.is_file() {
            bail!("{} is missing; install it with: cargo xtask setup", program.display());
        }
        let data = TempDir::with_prefix("remotelab-objects-").context("make a temporary folder")?;
        fs::create_dir(data.path().join(BUCKET)).context("make a bucket")?;
        let mut command = Command::new(program);
        command
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(data.path())
            .env("RUST_LOG", "s3s_fs=info");
        let process = Process::start("s3s-fs", &mut command)?;
        let port = process
            .line("the port", |line| line.split_once("running at http://127.0.0.1:")?.1.trim().parse().ok())
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
        world.set("REMOTELAB_ASSET_STORAGE_ACCESS_KEY_ID", ACCESS_KEY);
        world.set("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", SECRET_KEY);
    }

    /// Ends it.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.map(drop)
    }
}
