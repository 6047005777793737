//! The gateway's control socket.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 << 20;

/// Where a gateway of this home listens, if one runs.
pub(super) struct Socket(PathBuf);

/// What it answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Socket {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Asks; `None` when nobody listens.
    pub(super) fn ask(&self, method: &str, path: &str, patience: Duration) -> anyhow::Result<Option<Answer>> {
        let mut body = String::new();
        let outcome = self.send(method, path, patience)?.map(|(status, mut reader)| {
            reader.read_to_string(&mut body)?;
            Ok::<_, io::Error>(status)
        });
        let status = outcome.transpose().context("read what the gateway answers")?;
        Ok(status.map(|status| Answer { status, body }))
    }

    /// Asks, and tells each line of a good answer as it comes.
    pub(super) fn ask_lines(
        &self,
        method: &str,
        path: &str,
        patience: Duration,
        tell: impl Fn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Answer>> {
        let Some((status, mut reader)) = self.send(method, path, patience)? else {
            return Ok(None);
        };
        let mut body = String::new();
        if status == 200 {
            for line in reader.lines() {
                tell(&line.context("read what the gateway answers")?)?;
            }
        } else {
            reader.read_to_string(&mut body).context("read what the gateway answers")?;
        }
        Ok(Some(Answer { status, body }))
    }

    /// HTTP/1.0: the answer ends with the connection.
    fn send(
        &self,
        method: &str,
        path: &str,
        patience: Duration,
    ) -> anyhow::Result<Option<(u16, impl BufRead + use<>)>> {
        let mut stream = match UnixStream::connect(&self.0) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            outcome => outcome.context("ask the gateway")?,
        };
        stream.set_read_timeout(Some(patience)).context("ask the gateway")?;
        write!(stream, "{method} {path} HTTP/1.0\r\n\r\n").context("ask the gateway")?;
        let mut reader = BufReader::new(stream.take(MAX_ANSWER));
        let mut status = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).context("read what the gateway answers")?;
            if line.trim_end().is_empty() {
                break;
            }
            status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
        }
        Ok(Some((status.context("the gateway does not speak HTTP")?, reader)))
    }
}

impl Answer {
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).context("the gateway does not answer in JSON")
    }
}
