//! Accepting connections and serving them, with limits on time and number.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Where connections come in.
pub(super) struct Listeners {
    pub(super) port: TcpListener,
    pub(super) socket: Option<UnixListener>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Anybody who reaches the port.
    Port(SocketAddr),
    /// The gateway, or whoever else may open this user's files.
    Socket,
}

enum Accepted {
    Port(TcpStream, SocketAddr),
    Socket(UnixStream),
}

/// How many connections are served at once; more wait to be accepted.
const CONNECTIONS: usize = 4_096;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(15);
/// How long to wait when the system refuses to accept, because files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is done, then lets open requests end, at most for `drain`.
pub(super) async fn serve(
    listeners: Listeners,
    router: Router,
    stop: impl Future<Output = ()> + Send,
    drain: Duration,
) {
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepting = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listeners.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accepting => accepted,
        };
        let Ok(accepted) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, watcher) = (router.clone(), open.watcher());
        tokio::spawn(async move {
            match accepted {
                Accepted::Port(stream, peer) => {
                    // Answers are small and wanted at once; without this they wait for the client's next
                    // packet.
                    let _ = stream.set_nodelay(true);
                    connection(stream, Peer::Port(peer), router, watcher).await;
                }
                Accepted::Socket(stream) => connection(stream, Peer::Socket, router, watcher).await,
            }
            drop(place);
        });
    }
    drop(listeners);
    let _ = tokio::time::timeout(drain, open.shutdown()).await;
}

impl Listeners {
    async fn accept(&self) -> io::Result<Accepted> {
        let socket = async {
            match &self.socket {
                Some(socket) => socket.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.port.accept() => accepted.map(|(stream, peer)| Accepted::Port(stream, peer)),
            accepted = socket => accepted.map(|(stream, _)| Accepted::Socket(stream)),
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    watcher: Watcher,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.clone().oneshot(request);
        async move { answer.await.map_err(|never: Infallible| never) }
    });
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    // Whatever ends a connection is the client's business.
    let _ = watcher.watch(serving).await;
}
