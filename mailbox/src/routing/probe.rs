//! Asking the domain's mail servers whether they would take a mail for an address, without sending one.

use std::net::SocketAddr;
use std::time::Duration;

use remotelab_config::Env;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::address::Address;
use crate::trust::Resolver;

/// One step: a connection, or one answer.
const STEP: Duration = Duration::from_secs(10);

/// What is read of one answer (bytes).
const ANSWER_MAX: u64 = 8 * 1024;

/// Servers, and addresses of one, that are tried.
const MAX_SERVERS: usize = 10;
const MAX_ADDRESSES: usize = 4;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// The address.
    pub address: String,
    /// The server, in the place of those that the domain names.
    pub mx_host: Option<String>,
    /// Its port.
    pub port: u16,
    /// The name to greet with.
    pub hello: String,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A mail would be taken.
    Accepted,
    /// Nobody there has this address.
    RejectedUnknownUser,
    /// Refused for another reason.
    RejectedPolicy,
    /// To be tried again later.
    Deferred,
    /// The sender was refused, before anybody was named.
    SenderRefused,
    /// Nothing is said without TLS.
    TlsRequired,
    /// No server could be reached.
    ConnectFailed,
    /// No server answered at all, as when a provider lets nobody out on port 25.
    #[serde(rename = "port25_blocked")]
    Port25Blocked,
    /// The domain has no mail server.
    DnsNoMx,
    /// The name servers do not answer.
    DnsError,
    /// What answered is no mail server.
    ProtocolError,
}

/// An outcome, with all that was said.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// The address.
    pub address: String,
    /// The server that was asked last.
    pub mx_host: String,
    /// Whether a mail would be taken.
    pub accepted: bool,
    /// The reply code, 0 without one.
    pub code: u16,
    /// The reply.
    pub response: String,
    /// What it means.
    pub class: Class,
    transcript: Vec<Value>,
}

/// How a conversation went.
enum Outcome {
    Said(Class, u16, String),
    /// The next server may do better.
    Failed {
        timed_out: bool,
        is_protocol: bool,
        why: String,
    },
}

/// Asks. An address that is none is refused by the caller.
pub async fn probe(env: &Env, options: &ProbeOptions) -> Probe {
    let address = Address::parse(&options.address);
    let domain = address.as_ref().map(|address| address.domain().to_owned()).unwrap_or_default();
    let mut told = Probe {
        address: options.address.clone(),
        mx_host: String::new(),
        accepted: false,
        code: 0,
        response: String::new(),
        class: Class::DnsError,
        transcript: Vec::new(),
    };
    let servers = match &options.mx_host {
        Some(host) => vec![host.clone()],
        None => match servers(env, &domain).await {
            Ok(servers) if servers.is_empty() => {
                told.class = Class::DnsNoMx;
                return told;
            }
            Ok(servers) => servers,
            Err(why) => {
                told.response = why;
                return told;
            }
        },
    };
    let (mut all_timed_out, mut any_protocol) = (true, false);
    for host in servers.iter().take(MAX_SERVERS) {
        told.mx_host.clone_from(host);
        let found = tokio::time::timeout(STEP, tokio::net::lookup_host((host.as_str(), options.port))).await;
        let addresses: Vec<SocketAddr> = match found {
            Ok(Ok(found)) => found.take(MAX_ADDRESSES).collect(),
            _ => Vec::new(),
        };
        all_timed_out &= !addresses.is_empty();
        for server in addresses {
            match converse(server, options, &mut told.transcript).await {
                Outcome::Said(class, code, response) => {
                    return Probe { accepted: class == Class::Accepted, code, response, class, ..told };
                }
                Outcome::Failed { timed_out, is_protocol, why } => {
                    told.transcript.push(json!({"direction": "error", "line": why}));
                    told.response = why;
                    all_timed_out &= timed_out;
                    any_protocol |= is_protocol;
                }
            }
        }
    }
    told.class = match (any_protocol, all_timed_out) {
        (true, _) => Class::ProtocolError,
        (false, true) => Class::Port25Blocked,
        (false, false) => Class::ConnectFailed,
    };
    told
}

/// The domain's servers, the preferred ones first.
async fn servers(env: &Env, domain: &str) -> Result<Vec<String>, String> {
    let resolver = Resolver::from_env(env).ok_or("there is no name server")?;
    resolver.mail_servers(domain).await
}

async fn converse(server: SocketAddr, options: &ProbeOptions, transcript: &mut Vec<Value>) -> Outcome {
    let failed = |timed_out, is_protocol, why: String| Outcome::Failed { timed_out, is_protocol, why };
    let stream = match tokio::time::timeout(STEP, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => BufReader::new(stream),
        Ok(Err(error)) => return failed(false, false, format!("{server}: {error}")),
        Err(_) => return failed(true, false, format!("{server}: no answer within {} s", STEP.as_secs())),
    };
    let mut stream = stream;
    let steps = [
        String::new(),
        format!("EHLO {}", options.hello),
        "MAIL FROM:<>".to_owned(),
        format!("RCPT TO:<{}>", options.address),
    ];
    let mut last = (0, String::new());
    for (at, line) in steps.iter().enumerate() {
        if !line.is_empty() {
            transcript.push(json!({"direction": "send", "line": line}));
            if stream.write_all(format!("{line}\r\n").as_bytes()).await.is_err() {
                return failed(false, true, "the connection broke".to_owned());
            }
        }
        last = match tokio::time::timeout(STEP, hear(&mut stream, transcript)).await {
            Ok(Some(reply)) => reply,
            Ok(None) => return failed(false, true, "what answers is no mail server".to_owned()),
            Err(_) => return failed(true, false, format!("no answer within {} s", STEP.as_secs())),
        };
        if let Some(class) = judge(at, last.0, &last.1) {
            let _ = stream.write_all(b"QUIT\r\n").await;
            return Outcome::Said(class, last.0, last.1);
        }
    }
    failed(false, true, last.1)
}

/// What the reply to a step means; `None`: go on.
fn judge(step: usize, code: u16, text: &str) -> Option<Class> {
    let is_unknown = matches!(code, 550 | 551 | 553) && !text.contains(" 5.7.") || text.contains(" 5.1.");
    match (step, code) {
        (_, 530) => Some(Class::TlsRequired),
        (3, 250 | 251) => Some(Class::Accepted),
        (0..=2, 200..=299) => None,
        (_, 400..=499) => Some(Class::Deferred),
        (2, 500..=599) => Some(Class::SenderRefused),
        (3, 500..=599) if is_unknown => Some(Class::RejectedUnknownUser),
        _ => Some(Class::RejectedPolicy),
    }
}

/// Hears one reply. `None`: what came is none.
async fn hear(stream: &mut BufReader<TcpStream>, transcript: &mut Vec<Value>) -> Option<(u16, String)> {
    loop {
        let mut line = Vec::new();
        stream.take(ANSWER_MAX).read_until(b'\n', &mut line).await.ok()?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let code: u16 = line.get(..3)?.parse().ok().filter(|code| (200..600).contains(code))?;
        transcript.push(json!({"direction": "recv", "line": line}));
        if transcript.len() > 200 {
            return None;
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Some((code, line));
        }
    }
}
