//! The figures on a port of this machine, and nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{figures, refusal};
use crate::engine::Core;
use crate::engine::body::Answer;
use crate::engine::serve::ACCEPT_PAUSE;
use crate::host::Host;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 8;
/// How long one may last.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves until the gateway drains.
pub(crate) async fn serve(core: Arc<Core>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("places are never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = core.draining.cancelled() => return,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = connection(Arc::clone(&core), stream);
                core.tasks.spawn(async move {
                    let _place = place;
                    serving.await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the port of the figures cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(core: Arc<Core>, stream: TcpStream) {
    let service = service_fn(|request| {
        let core = Arc::clone(&core);
        async move { Ok::<_, Infallible>(answer(&core, &request)) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A broken connection is the other side's affair.
        _ = timeout(PATIENCE, connection) => {}
        () = core.draining.cancelled() => {}
    }
}

fn answer(core: &Core, request: &Request<Incoming>) -> Response<Answer> {
    // A page that a browser here shows may have a name that leads here.
    let host = request.headers().get(HOST).and_then(|host| Host::parse(host.to_str().ok()?));
    if !host.is_some_and(|host| host.is_loopback()) {
        return refusal(StatusCode::MISDIRECTED_REQUEST, "misdirected");
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => figures(core),
        _ => refusal(StatusCode::NOT_FOUND, "not_found"),
    }
}
