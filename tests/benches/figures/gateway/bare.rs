//! A proxy of the same shape in as little hyper as possible: it finds a route by the first path segment, takes
//! that off and keeps connections. What the gateway takes more than this is what the gateway does more. It is
//! this program again, told so by a variable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use remotelab_tests::ports;
use remotelab_tests::process::Process;
use remotelab_tests::world::World;
use tokio::net::{TcpListener, TcpStream};

use super::Subject;

pub(crate) struct Bare;

#[derive(Default)]
struct Pool(Mutex<Vec<client::SendRequest<Incoming>>>);

impl Bare {
    /// In this variable it finds its port, the upstream's and the number of routes.
    const TOLD: &str = "BARE_PROXY";

    /// Serves for ever if this process was started to be the proxy.
    pub(crate) async fn serve_if_told() -> anyhow::Result<()> {
        let told = std::env::var(Self::TOLD).unwrap_or_default();
        let told: Vec<u16> = told.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [port, upstream, routes] = told[..] else { return Ok(()) };
        let pool = Arc::new(Pool::default());
        let routes: HashMap<String, Arc<Pool>> =
            (1..=routes).map(|number| (format!("trial{number}"), Arc::clone(&pool))).collect();
        let routes = Arc::new(routes);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.context("listen")?;
        loop {
            let (stream, _) = listener.accept().await.context("accept")?;
            stream.set_nodelay(true).context("set up the connection")?;
            let routes = Arc::clone(&routes);
            let service = service_fn(move |request| pass(Arc::clone(&routes), upstream, request));
            tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    pub(super) async fn start(world: &World, upstream: u16, routes: u16) -> anyhow::Result<Subject> {
        let port = ports::free()?;
        let program = std::env::current_exe().context("find this program")?;
        let mut command = std::process::Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.home());
        command.env(Self::TOLD, format!("{port} {upstream} {routes}"));
        Subject::at("bare hyper", port, Process::start("bare proxy", &mut command)?).await
    }
}

async fn pass(
    routes: Arc<HashMap<String, Arc<Pool>>>,
    upstream: u16,
    mut request: Request<Incoming>,
) -> anyhow::Result<Response<Incoming>> {
    let (segment, rest) = request.uri().path()[1..].split_once('/').context("no route in the path")?;
    let pool = routes.get(segment).context("no such route")?;
    *request.uri_mut() = format!("/{rest}").parse::<Uri>().context("read the rest of the path")?;
    let kept = pool.lock().pop().filter(client::SendRequest::is_ready);
    let mut sender = match kept {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(("127.0.0.1", upstream)).await.context("connect")?;
            stream.set_nodelay(true).context("set up the connection")?;
            let (sender, connection) = client::handshake(TokioIo::new(stream)).await.context("handshake")?;
            tokio::spawn(connection);
            sender
        }
    };
    let response = sender.send_request(request).await.context("ask the upstream")?;
    // Good for the next one as soon as this answer is read; whoever takes it too early opens another one.
    pool.lock().push(sender);
    Ok(response)
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<client::SendRequest<Incoming>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
