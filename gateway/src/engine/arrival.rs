//! A client's connection from its arrival to its first request: who is at the other end, and what is spoken.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Core;
use super::counts::Counted;
use super::tls;
use super::wire::wire;
use crate::listener::ClientIp;
use crate::listener::proxy_protocol::{self, Step};

/// How an HTTP/2 connection begins when nobody agreed on it before (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a preface that is not whole.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

wire! {
    /// A bare connection of a client.
    Downstream {
        Tcp(TcpStream),
        Tls(Box<TlsStream<TcpStream>>),
    }
}

/// A connection whose requests may come.
pub(crate) struct Arrival {
    pub(crate) stream: Downstream,
    /// The other end, or whom the proxy there speaks for.
    pub(crate) peer: SocketAddr,
    pub(crate) counted: Option<Counted>,
    pub(crate) is_http_2: bool,
}

/// Receives a connection; `None` when there is nothing to serve. Whoever calls bounds the time.
pub(crate) async fn arrive(
    core: &Core,
    index: usize,
    tcp: TcpStream,
    peer: SocketAddr,
    counted: Option<Counted>,
) -> Option<Arrival> {
    // Without it small answers wait for the client's acknowledgement; it fails only on a dead socket.
    let _ = tcp.set_nodelay(true);
    let received = receive(core, index, tcp, peer, counted).await;
    received.inspect_err(|error| tracing::debug!(%error, "a connection comes to nothing")).ok()
}

async fn receive(
    core: &Core,
    index: usize,
    mut tcp: TcpStream,
    mut peer: SocketAddr,
    mut counted: Option<Counted>,
) -> io::Result<Arrival> {
    let listener = &core.settings.listeners[index];
    if listener.client_ip == ClientIp::ProxyProtocol {
        if !listener.believes(peer.ip()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if let Some(source) = read_source(&mut tcp).await? {
            peer = source;
        }
        let connected = core.limits.connect(peer.ip(), &core.settings.limits);
        counted = connected.map_err(|()| io::Error::from(io::ErrorKind::QuotaExceeded))?;
    }
    let (stream, is_http_2) = match &core.certificates[index] {
        Some(certificates) => {
            let stream = certificates.accept(tcp).await?;
            let is_http_2 = tls::speaks_http_2(&stream);
            (Downstream::Tls(Box::new(stream)), is_http_2)
        }
        None => {
            let is_http_2 = listener.h2c && begins_http_2(&tcp).await?;
            (Downstream::Tcp(tcp), is_http_2)
        }
    };
    Ok(Arrival { stream, peer, counted, is_http_2 })
}

/// Reads a proxy's header and nothing after it.
async fn read_source(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = [0; proxy_protocol::MAX_LEN];
    let mut have = 0;
    loop {
        let seen = have + tcp.peek(&mut header[have..]).await?;
        if seen == have {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match proxy_protocol::parse(&header[..seen]) {
            Ok(Step::More) => {
                tcp.read_exact(&mut header[have..seen]).await?;
                have = seen;
            }
            Ok(Step::Done { len, source }) => {
                tcp.read_exact(&mut header[have..len]).await?;
                return Ok(source);
            }
            Err(malformed) => return Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
        }
    }
}

async fn begins_http_2(tcp: &TcpStream) -> io::Result<bool> {
    let mut beginning = [0; PREFACE.len()];
    loop {
        let seen = tcp.peek(&mut beginning).await?;
        if seen == 0 || !PREFACE.starts_with(&beginning[..seen]) {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}
