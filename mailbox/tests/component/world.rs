//! One installation of its own: an owner, a guest, a relay, a bridge.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use remotelab_config::{Env, InstanceName};
use remotelab_mailbox::{
    AutomationChange, Clock, Desk, InitOptions, Options, Places, Running, Security, SmtpOptions, serve,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::chat::Chat;
use crate::dns::{Dns, signed_by};
use crate::relay::Relay;

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) owner: Chat,
    pub(crate) trial: Chat,
    pub(crate) relay: Relay,
    pub(crate) dns: Dns,
    pub(crate) places: Places,
    /// Milliseconds that the clock is ahead of the machine's.
    ahead: Arc<AtomicI64>,
    bridge: Option<(Running, CancellationToken)>,
}

pub(crate) const OWNER_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const TRIAL_TOKEN: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

impl World {
    /// Makes everything and starts the bridge. Permitted mail runs without review.
    pub(crate) async fn new() -> Self {
        let world = Self::without_bridge().await;
        world.desk().automation_configure(None, automatic(true)).unwrap();
        Self { bridge: Some(world.start_bridge().await), ..world }
    }

    pub(crate) async fn without_bridge() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (owner, trial) = (Chat::new(OWNER_TOKEN).await, Chat::new(TRIAL_TOKEN).await);
        let (relay, dns) = (Relay::new().await, Dns::start());
        let config = folder.path().join("owner");
        let root = folder.path().join("trial1");
        write(&config.join("auth.json"), &json!({"token": OWNER_TOKEN}));
        write(&root.join("config/auth.json"), &json!({"token": TRIAL_TOKEN}));
        let guest = json!([{"name": "trial1", "port": trial.port, "instanceRoot": root}]);
        write(&config.join("guest-instances.json"), &guest);
        trial.state.lock().unwrap().tokens = Some(root.join("config"));
        owner.state.lock().unwrap().tokens = Some(config.clone());
        let mut places = Places::below(&config);
        places.owner_base_url = Some(format!("http://127.0.0.1:{}", owner.port));
        let ahead = Arc::new(AtomicI64::new(0));
        let world = Self { folder, owner, trial, relay, dns, places, ahead, bridge: None };
        let desk = world.desk();
        desk.init(&InitOptions {
            name: "Rowan".into(),
            local_part: "rowan".into(),
            domain: "example.com".into(),
            allow: vec!["owner@example.com".into(), "second@example.com".into()],
            ..InitOptions::default()
        })
        .unwrap();
        desk.configure_smtp(SmtpOptions {
            host: "127.0.0.1".into(),
            port: Some(world.relay.port),
            security: Security::None,
            ..SmtpOptions::default()
        })
        .unwrap();
        world
    }

    pub(crate) fn desk(&self) -> Desk {
        Desk::new(self.places.clone(), self.env(), self.clock())
    }

    /// The test's own name server.
    pub(crate) fn env(&self) -> Env {
        let mut env = Env::default();
        env.set("REMOTELAB_MAIL_RESOLVER", self.dns.addr.to_string());
        env
    }

    pub(crate) fn clock(&self) -> Clock {
        let ahead = Arc::clone(&self.ahead);
        Clock::new(move || {
            let now = jiff::Timestamp::now().as_millisecond() + ahead.load(Ordering::Relaxed);
            jiff::Timestamp::from_millisecond(now).unwrap()
        })
    }

    pub(crate) fn pass_time(&self, duration: Duration) {
        self.ahead.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) async fn start_bridge(&self) -> (Running, CancellationToken) {
        let token = CancellationToken::new();
        let options = Options {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            places: self.places.clone(),
            env: self.env(),
            clock: self.clock(),
        };
        (serve(options, token.clone()).await.unwrap(), token)
    }

    pub(crate) async fn restart_bridge(&mut self) {
        self.stop_bridge().await;
        self.bridge = Some(self.start_bridge().await);
    }

    pub(crate) async fn stop_bridge(&mut self) {
        if let Some((running, token)) = self.bridge.take() {
            token.cancel();
            running.wait().await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let (running, _) = self.bridge.as_ref().expect("bridge is up");
        format!("http://{}{path}", running.addr)
    }

    pub(crate) fn webhook_token(&self) -> String {
        self.bridge_settings()["cloudflareWebhookToken"].as_str().unwrap().to_owned()
    }

    pub(crate) fn bridge_settings(&self) -> Value {
        let file = std::fs::read(self.places.owner_root.join("bridge.json")).unwrap();
        serde_json::from_slice(&file).unwrap()
    }

    pub(crate) fn set_bridge_settings(&self, settings: &Value) {
        remotelab_config::atomic::write_json(&self.places.owner_root.join("bridge.json"), settings).unwrap();
    }

    pub(crate) fn clock_seconds(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.ahead.load(Ordering::Relaxed) / 1000
    }

    /// Delivers a message, signed, in the streamed form.
    pub(crate) async fn deliver(&self, to: &str, raw: impl Into<Vec<u8>>) -> (u16, Value) {
        self.deliver_as_it_is(to, signed_by("example.com", &raw.into())).await
    }

    /// Delivers a message in the streamed form.
    pub(crate) async fn deliver_as_it_is(&self, to: &str, raw: impl Into<Vec<u8>>) -> (u16, Value) {
        let call = http()
            .post(self.url("/cloudflare-email/webhook"))
            .header("authorization", format!("Bearer {}", self.webhook_token()))
            .header("content-type", "message/rfc822")
            .header("x-envelope-from", "owner@example.com")
            .header("x-envelope-to", to)
            .body(raw.into());
        answer(call).await
    }

    pub(crate) fn trial_name(&self) -> InstanceName {
        InstanceName::normalise("trial1").unwrap()
    }
}

pub(crate) fn automatic(on: bool) -> AutomationChange {
    AutomationChange { allowlist_auto_approve: Some(on), ..AutomationChange::default() }
}

pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(crate) async fn answer(call: reqwest::RequestBuilder) -> (u16, Value) {
    let response = call.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// A plain mail from the owner.
pub(crate) fn mail(id: &str, extra: &str, text: &str) -> String {
    format!(
        "From: Owner <owner@example.com>\r\nTo: someone\r\nSubject: Monthly numbers\r\n\
         Date: Tue, 10 Mar 2026 02:10:00 +0000\r\nMessage-ID: <{id}>\r\n{extra}\r\n{text}\r\n"
    )
}

/// Waits until a value is there.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn write(path: &Path, value: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, value.to_string()).unwrap();
}
