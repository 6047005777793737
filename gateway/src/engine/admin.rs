//! The control socket: plain HTTP/1.1 for the manager and the command line.

pub(crate) mod scrape;
mod tell;
pub(crate) mod trace;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use remotelab_config::atomic;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::Core;
use super::body::Answer;
use super::handover;
use super::metrics::render::render;
use super::pool::Pool;
use super::standing::Standing;
use crate::explain::{Asked, explain};
use crate::route::Kind;

/// Asks for a reload.
pub(crate) type Reload = mpsc::Sender<oneshot::Sender<Result<u64, String>>>;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 64;
/// How long one may last.
const PATIENCE: Duration = Duration::from_secs(3600);
/// For what is being answered when the gateway stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes the socket, readable by the owner only. A dead gateway's socket is replaced, a living one's is
/// not, unless this one takes its place: then the name is taken at the end, by [`handover::settle`].
pub(crate) async fn bind(path: &Path, replaces: bool) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        atomic::create_private_dir(folder).map_err(|error| error.source)?;
    }
    if !replaces && UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    // The folder is private, so nobody gets in between these steps.
    let listener = handover::bind(path)?;
    if !replaces {
        handover::settle(path)?;
    }
    Ok(listener)
}

/// Serves the socket until the gateway drains.
pub(crate) async fn serve(core: Arc<Core>, listener: UnixListener, reload: Reload) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("places are never closed");
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            () = core.draining.cancelled() => break,
            (accepted, place) = accept => match accepted {
                Ok((stream, _)) => (stream, place),
                Err(error) => {
                    tracing::warn!(%error, "control socket cannot accept");
                    tokio::time::sleep(super::serve::ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let serving = connection(Arc::clone(&core), stream, reload.clone());
        core.tasks.spawn(async move {
            let _place = place;
            serving.await;
        });
    }
    // A socket without a listener would only confuse; losing the race for it does no harm. A successor's is none.
    if !core.handed_over.load(Ordering::SeqCst) {
        let _ = fs::remove_file(&core.settings.socket);
    }
}

async fn connection(core: Arc<Core>, stream: UnixStream, reload: Reload) {
    let service = service_fn(|request| {
        let (core, reload) = (Arc::clone(&core), reload.clone());
        async move { Ok::<_, Infallible>(answer(&core, &reload, &request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // A broken connection is the other side's affair, and a long one mostly a forgotten one.
        _ = timeout(PATIENCE, connection.as_mut()) => return,
        () = core.draining.cancelled() => {}
    }
    // Whoever asked for the end is told.
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LAST_WORDS, connection).await;
}

async fn answer(core: &Core, reload: &Reload, request: &Request<Incoming>) -> Response<Answer> {
    let live = core.snapshot.load_full();
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/routes") => json_answer(StatusCode::OK, &tell::routes(&live)),
        (&Method::GET, "/health") => json_answer(StatusCode::OK, &tell::health(core, &live)),
        (&Method::GET, "/metrics") => figures(core),
        (&Method::GET, "/explain") => {
            let asked = thought_of(request.uri().query().unwrap_or_default(), core);
            let mut told = explain(&core.settings, &live.table, &asked);
            told["generation"] = live.generation.into();
            json_answer(StatusCode::OK, &told)
        }
        (&Method::GET, "/trace") => trace::answer(core, request.uri().query().unwrap_or_default()),
        (&Method::POST, "/reload") => match self::reload(reload).await {
            Ok(generation) => json_answer(StatusCode::OK, &json!({ "generation": generation })),
            Err(error) => {
                let body = json!({ "error": error, "generation": live.generation });
                json_answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
            }
        },
        (&Method::POST, "/park") => bed(core, request, |standing, pool| {
            let is_parked = standing.park();
            if is_parked {
                // Whoever listens there next may be somebody else.
                pool.prune(Duration::ZERO);
                pool.forget_identity();
            }
            is_parked
        }),
        (&Method::POST, "/unpark") => bed(core, request, |standing, _| {
            standing.awake.unpark();
            standing.health.succeeded();
            true
        }),
        (&Method::POST, "/drain") => {
            tracing::info!("asked to stop by the control socket");
            core.draining.cancel();
            json_answer(StatusCode::OK, &json!({ "status": "draining" }))
        }
        _ => refusal(StatusCode::NOT_FOUND, "not_found"),
    }
}

fn figures(core: &Core) -> Response<Answer> {
    let text = render(core, &core.snapshot.load_full());
    let mut response = Response::new(Answer::from(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

/// Changes whether a guest is asked; 409 when that cannot be.
fn bed(core: &Core, request: &Request<Incoming>, change: fn(&Standing, &Pool) -> bool) -> Response<Answer> {
    let live = core.snapshot.load();
    let name = asked(request.uri().query().unwrap_or_default(), "name").unwrap_or_default();
    let guest = live.table.by_prefix(&name).map(|route| &live.upstreams[route]);
    let Some(guest) = guest.filter(|upstream| upstream.route.kind == Kind::Guest) else {
        return refusal(StatusCode::NOT_FOUND, "not_found");
    };
    if !change(&guest.standing, &guest.pool) {
        return refusal(StatusCode::CONFLICT, "in_use");
    }
    json_answer(StatusCode::OK, &json!({ "name": name, "state": guest.state().as_str() }))
}

fn refusal(status: StatusCode, code: &str) -> Response<Answer> {
    json_answer(status, &json!({ "error": code }))
}

/// `url`, or `host` and `target`; `method`, `listener`, and `header` as often as needed.
fn thought_of(query: &str, core: &Core) -> Asked {
    let asked_for = |key| asked(query, key);
    let whole = asked_for("url").map(|url| Asked::url(&url, &core.settings)).unwrap_or_default();
    let headers = query.split('&').filter(|pair| pair.starts_with("header="));
    Asked {
        listener: asked_for("listener"),
        method: asked_for("method"),
        host: asked_for("host").unwrap_or(whole.host),
        target: asked_for("target").unwrap_or(whole.target),
        headers: headers
            .filter_map(|pair| {
                let header = asked(pair, "header")?;
                let (name, value) = header.split_once(':')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect(),
    }
}

/// The value of a query's key, percent-decoded.
fn asked(query: &str, key: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
    percent_decode_str(value).decode_utf8().ok().map(Cow::into_owned)
}

/// Has the routes reloaded.
pub(crate) async fn reload(reload: &Reload) -> Result<u64, String> {
    let stopping = || "gateway is stopping".to_owned();
    let (reply, answer) = oneshot::channel();
    reload.send(reply).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())?
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Answer> {
    let mut response = Response::new(Answer::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
