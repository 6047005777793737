//! A gateway with its own folders, before toy instances.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use remotelab_config::{Env, OwnerPaths};
use remotelab_gateway::limit::Rate;
use remotelab_gateway::supervisor::{Alone, Supervisor};
use remotelab_gateway::{Inherited, Running, Settings, Start};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::toy::Toy;

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
    pub(crate) running: Option<Running>,
    pub(crate) address: SocketAddr,
}

/// Settings on a fresh root, one listener on any port, the main service on `main_port`.
pub(crate) fn settings(folder: &TempDir, main_port: u16) -> Settings {
    let paths = OwnerPaths::from_env(&Env::default(), folder.path());
    std::fs::create_dir_all(paths.instance().config()).unwrap();
    let mut settings = Settings::load(&Env::default(), &paths).unwrap();
    settings.listeners[0].bind.set_port(0);
    settings.main.port = main_port;
    settings.timeouts.drain = Duration::from_secs(5);
    settings.timeouts.restart = Duration::from_millis(100);
    // Tests ask as fast as they can.
    settings.limits.tenant.rate = Rate::UNLIMITED;
    settings
}

impl World {
    /// A gateway before `owner` and guests `(name, hostname, toy)`.
    pub(crate) async fn new(owner: &Toy, guests: &[(&str, &str, &Toy)]) -> Self {
        Self::with(owner, guests, |_| {}).await
    }

    pub(crate) async fn with(
        owner: &Toy,
        guests: &[(&str, &str, &Toy)],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::under(Arc::new(Alone), owner, guests, change).await
    }

    /// With somebody who starts instances that sleep.
    pub(crate) async fn under(
        supervisor: Arc<dyn Supervisor>,
        owner: &Toy,
        guests: &[(&str, &str, &Toy)],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&folder, owner.port());
        change(&mut settings);
        let records: Vec<Value> =
            guests.iter().map(|(name, host, toy)| record(&folder, name, host, toy.port())).collect();
        std::fs::write(&settings.registry, json!(records).to_string()).unwrap();
        let running = Start { settings: settings.clone(), supervisor, inherited: Inherited::default() }
            .run()
            .await
            .unwrap();
        let address = running.addresses()[0];
        Self { folder, settings, running: Some(running), address }
    }

    pub(crate) fn record(&self, name: &str, hostname: &str, port: u16) -> Value {
        record(&self.folder, name, hostname, port)
    }

    pub(crate) fn write_registry(&self, text: &str) {
        let beside = self.settings.registry.with_extension("tmp");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &self.settings.registry).unwrap();
    }

    /// Asks the control socket.
    pub(crate) async fn admin(&self, method: &str, path: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(&self.settings.socket).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// How many requests and sockets of a tenant are open.
    pub(crate) async fn in_work(&self, name: &str) -> (u64, u64) {
        let (_, answer) = self.admin("GET", "/routes").await;
        let routes = answer["routes"].as_array().unwrap();
        let route = routes.iter().find(|route| route["name"] == name).unwrap();
        (route["requests"].as_u64().unwrap(), route["sockets"].as_u64().unwrap())
    }

    pub(crate) fn instance_config(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("config")
    }
}

fn record(folder: &TempDir, name: &str, hostname: &str, port: u16) -> Value {
    let root = folder.path().join(name);
    std::fs::create_dir_all(root.join("config")).unwrap();
    json!({
        "name": name, "port": port, "hostname": hostname,
        "instanceRoot": root, "configDir": root.join("config"),
        "localBaseUrl": format!("http://127.0.0.1:{port}"),
    })
}

/// Waits until something holds; fails after ten seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap_or_else(|_| panic!("it did not come to pass that {what}"));
}
