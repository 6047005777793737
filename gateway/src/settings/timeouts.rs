//! `[timeouts]`: how long anything may take.

use std::time::Duration;

use serde::Deserialize;

use super::file::Wrong;

/// A year: whatever is longer is a mistake, and no clock has to reckon with it.
const LONGEST: u64 = 365 * 24 * 3600;

/// How long anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a client's connect to its first request, and for the head of each further one.
    pub client_header: Duration,
    /// Between two pieces of a request body.
    pub client_body_idle: Duration,
    /// Bytes in a second that a request body has to come with, on average over that time; zero is any.
    pub client_body_rate: u32,
    /// Between two requests of a client connection.
    pub keep_alive: Duration,
    /// For a client to take anything of what is written to it.
    pub client_write: Duration,
    /// Connecting to an instance.
    pub connect: Duration,
    /// For an instance that is started anew, before anything was sent to it.
    pub restart: Duration,
    /// From the end of a request to the head of the answer.
    pub response_header: Duration,
    /// Between two pieces of an answer.
    pub body_idle: Duration,
    /// Between two pieces of an event stream.
    pub event_stream_idle: Duration,
    /// Without a byte on a WebSocket.
    pub websocket_idle: Duration,
    /// For requests in flight when the gateway stops.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            client_header: Duration::from_secs(10),
            client_body_idle: Duration::from_secs(30),
            client_body_rate: 1024,
            keep_alive: Duration::from_secs(60),
            client_write: Duration::from_secs(60),
            connect: Duration::from_secs(2),
            restart: Duration::from_secs(3),
            response_header: Duration::from_secs(60),
            body_idle: Duration::from_secs(120),
            event_stream_idle: Duration::from_secs(3600),
            websocket_idle: Duration::from_secs(120),
            drain: Duration::from_secs(30),
        }
    }
}

/// Whole seconds, but for the rate.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    client_header: Option<u64>,
    client_body_idle: Option<u64>,
    client_body_rate: Option<u32>,
    keep_alive: Option<u64>,
    client_write: Option<u64>,
    connect: Option<u64>,
    restart: Option<u64>,
    response_header: Option<u64>,
    body_idle: Option<u64>,
    event_stream_idle: Option<u64>,
    websocket_idle: Option<u64>,
    drain: Option<u64>,
}

impl Table {
    pub(super) fn lay_over(&self, timeouts: &mut Timeouts) -> Result<(), Wrong> {
        for (key, timeout, seconds) in [
            ("client_header", &mut timeouts.client_header, self.client_header),
            ("client_body_idle", &mut timeouts.client_body_idle, self.client_body_idle),
            ("keep_alive", &mut timeouts.keep_alive, self.keep_alive),
            ("client_write", &mut timeouts.client_write, self.client_write),
            ("connect", &mut timeouts.connect, self.connect),
            ("restart", &mut timeouts.restart, self.restart),
            ("response_header", &mut timeouts.response_header, self.response_header),
            ("body_idle", &mut timeouts.body_idle, self.body_idle),
            ("event_stream_idle", &mut timeouts.event_stream_idle, self.event_stream_idle),
            ("websocket_idle", &mut timeouts.websocket_idle, self.websocket_idle),
            ("drain", &mut timeouts.drain, self.drain),
        ] {
            let Some(seconds) = seconds else { continue };
            if !(1..=LONGEST).contains(&seconds) {
                return Err(Wrong::new(format!("timeouts.{key}"), "is not 1–31536000 seconds"));
            }
            *timeout = Duration::from_secs(seconds);
        }
        timeouts.client_body_rate = self.client_body_rate.unwrap_or(timeouts.client_body_rate);
        Ok(())
    }
}
