//! The control socket: plain HTTP/1.1 for the manager and the command line.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remotelab_config::atomic;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::Core;
use super::body::Answer;
use super::live::Live;
use crate::limit::Reason;

/// Asks for a reload.
pub(crate) type Reload = mpsc::Sender<oneshot::Sender<Result<u64, String>>>;

/// Takes the socket, readable by the owner only. A dead gateway's socket is replaced, a living one's is
/// not.
pub(crate) async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        atomic::create_private_dir(folder).map_err(|error| error.source)?;
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The folder is private, so nobody gets in between these two steps.
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the socket until the gateway drains.
pub(crate) async fn serve(core: Arc<Core>, listener: UnixListener, reload: Reload) {
    loop {
        let stream = tokio::select! {
            () = core.draining.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "control socket cannot accept");
                    tokio::time::sleep(super::serve::ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        core.tasks.spawn(connection(Arc::clone(&core), stream, reload.clone()));
    }
    // A socket without a listener would only confuse; losing the race for it does no harm.
    let _ = fs::remove_file(&core.settings.socket);
}

async fn connection(core: Arc<Core>, stream: UnixStream, reload: Reload) {
    let service = service_fn(|request| {
        let (core, reload) = (Arc::clone(&core), reload.clone());
        async move { Ok::<_, Infallible>(answer(&core, &reload, &request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A broken connection is the other side's affair.
        _ = connection => {}
        () = core.draining.cancelled() => {}
    }
}

async fn answer(core: &Core, reload: &Reload, request: &Request<Incoming>) -> Response<Answer> {
    let live = core.snapshot.load_full();
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/routes") => json_answer(StatusCode::OK, &routes(&live)),
        (&Method::GET, "/health") => json_answer(StatusCode::OK, &health(core, &live)),
        (&Method::POST, "/reload") => match self::reload(reload).await {
            Ok(generation) => json_answer(StatusCode::OK, &json!({ "generation": generation })),
            Err(error) => {
                let body = json!({ "error": error, "generation": live.generation });
                json_answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
            }
        },
        _ => json_answer(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    }
}

/// Has the routes reloaded.
pub(crate) async fn reload(reload: &Reload) -> Result<u64, String> {
    let stopping = || "gateway is stopping".to_owned();
    let (reply, answer) = oneshot::channel();
    reload.send(reply).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())?
}

fn routes(live: &Live) -> Value {
    let routes: Vec<Value> = live
        .upstreams
        .iter()
        .map(|upstream| (&upstream.route, &upstream.standing))
        .map(|(route, standing)| {
            json!({
                "name": route.name,
                "id": route.id,
                "kind": route.kind.as_str(),
                "prefix": route.prefix,
                "hosts": route.hosts,
                "upstream": route.upstream.to_string(),
                "requests": standing.requests.inside(),
                "sockets": standing.sockets.load(Ordering::Relaxed),
            })
        })
        .collect();
    let problems: Vec<String> = live.problems.iter().map(ToString::to_string).collect();
    json!({ "generation": live.generation, "routes": routes, "problems": problems })
}

fn health(core: &Core, live: &Live) -> Value {
    let refused: serde_json::Map<String, Value> = Reason::ALL
        .map(|reason| (reason.as_str().to_owned(), core.limits.refused(reason)))
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason, count.into()))
        .collect();
    json!({
        "status": "ok",
        "generation": live.generation,
        "routes": live.table.routes().len(),
        "problems": live.problems.len(),
        "panics": core.metrics.panics.get(),
        "refused": refused,
    })
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Answer> {
    let mut response = Response::new(Answer::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
