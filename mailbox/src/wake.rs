//! Waking a guest that sleeps, before it is asked anything.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::office::Office;
use crate::places::Place;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 * 1024;

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
}

impl Office {
    /// Has the supervisor start a guest, if it sleeps. Where that cannot be done the guest is asked all the same:
    /// it is then as unreachable as any other that does not run.
    pub(crate) async fn awake(&self, place: &Place) {
        let Some(name) = &place.name else { return };
        let socket = self.places.owner_config.join("run/supervisor.sock");
        match tokio::time::timeout(PATIENCE, ask(&socket, name.as_str())).await {
            // Without a supervisor nobody sleeps.
            Ok(Err(_)) => {}
            Ok(Ok(Answer { ok: true, .. })) => {}
            Ok(Ok(Answer { error, .. })) => tracing::debug!("{name} is not woken: {error}"),
            Err(_) => tracing::debug!("{name} does not wake in time"),
        }
    }
}

/// One line of JSON each way, as the supervisor speaks.
async fn ask(socket: &Path, name: &str) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!("{}\n", json!({"verb": "wake", "name": name}));
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
