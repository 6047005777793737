//! A real SMTP server (aiosmtpd) for mail that the product sends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::wait::eventually;

/// Debian's own interpreter, the one that its `python3-aiosmtpd` belongs to.
const PYTHON: &str = "/usr/bin/python3";
const PROGRAM: &str = include_str!("../support/smtp_sink.py");

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct SmtpServer {
    child: Child,
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

/// A mail that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mail {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// The message, byte for byte.
    #[serde(rename = "raw", deserialize_with = "bytes")]
    pub raw: Vec<u8>,
}

impl SmtpServer {
    /// Starts on a free loopback port.
    pub fn start() -> anyhow::Result<Self> {
        Self::refusing(0)
    }

    /// Starts, answering the first `times` mails "try again later".
    pub fn refusing(times: u32) -> anyhow::Result<Self> {
        let mut child = Command::new(PYTHON)
            .args(["-c", PROGRAM, &times.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {PYTHON}"))?;
        let output = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let port = lines.next().and_then(Result::ok);
        let port = port.and_then(|line| line.parse().ok());
        let port = port.context("aiosmtpd did not start; install it with: cargo xtask setup")?;
        let mails = Arc::<Mutex<Vec<Mail>>>::default();
        let received = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mail = serde_json::from_str(&line).expect("the program prints mails alone");
                received.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
            }
        });
        Ok(Self { child, port, mails })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The mails so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `count` mails are there; returns all.
    pub async fn received(&self, count: usize) -> anyhow::Result<Vec<Mail>> {
        eventually(format!("mail number {count}"), async || {
            let mails = self.mails();
            Ok((mails.len() >= count).then_some(mails))
        })
        .await
    }
}

impl Mail {
    /// The message as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The value of a header, with folded lines joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\r\n\r\n").next()?.replace("\r\n\t", " ").replace("\r\n ", " ");
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        // Either fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
