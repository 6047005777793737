//! A toy instance that remembers what it saw.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// One request as the instance saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Answers by a function and counts connections.
pub(crate) struct Toy {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    answer: Arc<Answering>,
}

type Answering = dyn Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Toy {
    /// Answers `hello` to everything.
    pub(crate) async fn hello(text: &'static str) -> Self {
        Self::start(move |_| Response::new(Full::from(text))).await
    }

    pub(crate) async fn start(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let toy = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
            answer: Arc::new(answer),
        };
        let serving = toy.serving();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving(Box::new(stream));
            }
        });
        toy
    }

    /// Listens at a socket as well.
    pub(crate) fn listen_at(&self, path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        let serving = self.serving();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving(Box::new(stream));
            }
        });
    }

    fn serving(&self) -> impl Fn(Box<dyn Stream>) + Send + use<> {
        let (seen, answer) = (Arc::clone(&self.seen), Arc::clone(&self.answer));
        let connections = Arc::clone(&self.connections);
        move |stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            let service = service_fn(move |request: Request<Incoming>| {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                    let one = Seen {
                        method: head.method.to_string(),
                        target: head.uri.to_string(),
                        headers: head.headers,
                        body,
                    };
                    let response = answer(&one);
                    seen.lock().unwrap().push(one);
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything seen so far; forgets it.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().expect("the instance saw a request").clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.take().into_iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
    }
}
