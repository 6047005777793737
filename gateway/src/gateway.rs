//! Starting and stopping a gateway.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::handover::{self, Inherited};
use crate::engine::ledger::Ledger;
use crate::engine::limits::Desk;
use crate::engine::live::Snapshot;
use crate::engine::metrics::Metrics;
use crate::engine::tls::{self, Certificates};
use crate::engine::watch::{self, Source};
use crate::engine::{Core, admin, probe, serve};
use crate::listener::Listener;
use crate::route::Kind;
use crate::settings::Settings;
use crate::supervisor::{Alone, Supervisor};

/// Reloads that may wait; more callers wait to be let in.
const WAITING_RELOADS: usize = 16;

/// Between two looks whether the port for figures is free.
const FIGURES_PAUSE: Duration = Duration::from_secs(1);

/// A gateway that is serving.
#[derive(Debug)]
pub struct Running {
    core: Arc<Core>,
    addresses: Vec<SocketAddr>,
    reload: admin::Reload,
}

/// Asks a gateway to look at its files again.
#[derive(Clone, Debug)]
pub struct Reloader(admin::Reload);

impl Reloader {
    /// Reloads; returns the generation of routes that is in force then.
    ///
    /// # Errors
    /// In words, when the last good routes stay or the gateway is stopping.
    pub async fn reload(&self) -> Result<u64, String> {
        admin::reload(&self.0).await
    }
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No listener is configured.
    #[error("gateway has no listener")]
    NoListener,
    /// An address cannot be taken, mostly because another program has it.
    #[error("cannot listen on {address} for {name}")]
    Bind {
        /// The listener's name.
        name: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates of a listener cannot be used.
    #[error("cannot serve TLS for {name}")]
    Certificate {
        /// The listener's name.
        name: String,
        /// Why.
        #[source]
        source: tls::Error,
    },
    /// The control socket cannot be taken; `AddrInUse` means that another gateway is running.
    #[error("cannot listen on the control socket {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Starts a gateway. When it returns, every listener accepts and the first routes are in force.
///
/// # Errors
/// [`Error`] when an address or the control socket cannot be taken; nothing is left running then. An
/// unreadable registry is no error: it is reported, and until it is readable only the main service has a
/// route.
pub async fn start(settings: Settings) -> Result<Running, Error> {
    Start { supervisor: Arc::new(Alone), settings, inherited: Inherited::default() }.run().await
}

/// What a gateway starts from.
#[derive(Debug)]
pub struct Start {
    /// What it is set to.
    pub settings: Settings,
    /// Who starts instances that sleep.
    pub supervisor: Arc<dyn Supervisor>,
    /// Sockets that are there already, and the gateway that they are from.
    pub inherited: Inherited,
}

impl Start {
    /// As [`start`].
    ///
    /// # Errors
    /// As [`start`].
    pub async fn run(self) -> Result<Running, Error> {
        run(self).await
    }
}

async fn run(Start { settings, supervisor, mut inherited }: Start) -> Result<Running, Error> {
    if settings.listeners.is_empty() {
        return Err(Error::NoListener);
    }
    let certificates = certificates(&settings.listeners).await?;
    let mut listeners = Vec::new();
    for listener in &settings.listeners {
        listeners.push(bind(listener, &mut inherited).await?);
    }
    for address in inherited.left() {
        tracing::warn!(%address, "no listener is set to this address, so its socket is closed");
    }
    let held = held(&settings, &listeners)?;
    // The gateway before this one still has the port.
    let figures = match settings.metrics_port.filter(|_| !inherited.replaces()) {
        Some(port) => Some(bind_figures(port).await?),
        None => None,
    };
    let addresses: Vec<SocketAddr> = listeners.iter().map(|(_, address)| *address).collect();
    let control = settings.socket.clone();
    let no_socket = |source| Error::Socket { path: control.clone(), source };
    let replaces = inherited.replaces();
    let socket = admin::bind(&settings.socket, replaces).await.map_err(no_socket)?;
    for remark in &settings.remarks {
        tracing::info!("{remark}");
    }
    let own_ports = addresses.iter().map(SocketAddr::port).chain(settings.metrics_port).collect();
    let source = Arc::new(Mutex::new(Source::new(&settings, own_ports)));
    let core = Arc::new(Core {
        ledger: Ledger::start(&settings.log),
        settings,
        certificates,
        supervisor,
        snapshot: Snapshot::default(),
        limits: Desk::new(),
        metrics: Metrics::default(),
        handed_over: AtomicBool::new(false),
        draining: CancellationToken::new(),
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    publish_first(&core, &source).await;
    note_asleep(&core).await;
    let (reload, requests) = mpsc::channel(WAITING_RELOADS);
    core.tasks.spawn(watch::follow(Arc::clone(&core), source, requests));
    core.tasks.spawn(probe::watch(Arc::clone(&core)));
    core.tasks.spawn(admin::serve(Arc::clone(&core), socket, reload.clone()));
    match (figures, core.settings.metrics_port) {
        (Some(figures), _) => drop(core.tasks.spawn(admin::scrape::serve(Arc::clone(&core), figures))),
        (None, Some(port)) => drop(core.tasks.spawn(figures_later(Arc::clone(&core), port))),
        (None, None) => {}
    }
    let places = Arc::new(Semaphore::new(core.settings.limits.connections));
    for (index, (listener, _)) in listeners.into_iter().enumerate() {
        let (core, places) = (Arc::clone(&core), Arc::clone(&places));
        let tasks = core.tasks.clone();
        match listener {
            Some(listener) => tasks.spawn(serve::listen(core, index, listener, places)),
            None => tasks.spawn(serve::listen_later(core, index, places)),
        };
    }
    if replaces {
        handover::settle(&control).map_err(no_socket)?;
    }
    // Both accept now; the old one stops when it hears that.
    inherited.ready();
    let to_come = handover::open(&control).map_err(no_socket)?;
    core.tasks.spawn(handover::serve(Arc::clone(&core), to_come, held));
    Ok(Running { core, addresses, reload })
}

impl Running {
    /// Where it is reached, in the order of the listeners.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        let scheme = |listener: &Listener| if listener.tls.is_some() { "https" } else { "http" };
        let listeners = self.core.settings.listeners.iter();
        listeners.zip(&self.addresses).map(move |(listener, at)| format!("{}://{at}", scheme(listener)))
    }

    /// The bound addresses, in the order of the listeners.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The prefixes in force, with their slash, the main service's first.
    #[must_use]
    pub fn prefixes(&self) -> Vec<String> {
        let live = self.core.snapshot.load();
        live.table.routes().iter().map(|route| route.prefix.clone()).collect()
    }

    /// Returns what reloads it.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader(self.reload.clone())
    }

    /// Serves until `stop` is done or the control socket asks for the end, then shuts down.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.core.draining.cancelled() => {}
        }
        self.shutdown().await;
    }

    /// Stops accepting, closes WebSockets, lets requests in flight finish within the drain time, and cuts
    /// off what is left.
    pub async fn shutdown(self) {
        self.core.draining.cancel();
        self.core.tasks.close();
        let drained = tokio::time::timeout(self.core.settings.timeouts.drain, self.core.tasks.wait());
        if drained.await.is_err() {
            tracing::warn!(left = self.core.tasks.len(), "drain time is over, connections are cut off");
        }
        self.core.cut.cancel();
        self.core.tasks.wait().await;
        let core = self.core;
        // It waits for a file, and for nothing else.
        let _ = tokio::task::spawn_blocking(move || core.ledger.finish()).await;
    }
}

/// Keeps the sockets for a gateway that takes the place of this one.
fn held(
    settings: &Settings,
    listeners: &[(Option<TcpListener>, SocketAddr)],
) -> Result<Vec<handover::Held>, Error> {
    let bound = settings.listeners.iter().zip(listeners);
    let held = bound.filter_map(|(listener, (socket, _))| Some((listener, socket.as_ref()?))).map(
        |(listener, socket)| {
            let failed = |source| Error::Bind { name: listener.name.clone(), address: listener.bind, source };
            Ok((listener.bind, socket.as_fd().try_clone_to_owned().map_err(failed)?))
        },
    );
    held.collect()
}

/// Takes a listener's address. One that the machine does not have may come later, as those of other networks
/// do after a start.
async fn bind(
    listener: &Listener,
    inherited: &mut Inherited,
) -> Result<(Option<TcpListener>, SocketAddr), Error> {
    let failed = |source| Error::Bind { name: listener.name.clone(), address: listener.bind, source };
    if let Some(socket) = inherited.take(listener.bind) {
        let bound = socket.map_err(failed)?;
        let address = bound.local_addr().map_err(failed)?;
        return Ok((Some(bound), address));
    }
    match TcpListener::bind(listener.bind).await {
        Ok(bound) => {
            let address = bound.local_addr().map_err(failed)?;
            Ok((Some(bound), address))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let (name, address) = (&listener.name, listener.bind);
            tracing::warn!(name, %address, "this machine does not have the address yet");
            Ok((None, address))
        }
        Err(error) => Err(failed(error)),
    }
}

async fn certificates(listeners: &[Listener]) -> Result<Vec<Option<Certificates>>, Error> {
    let listeners = listeners.to_vec();
    let load = move || {
        let load = |listener: &Listener| {
            let certificates = listener.tls.as_ref().map(Certificates::load).transpose();
            certificates.map_err(|source| Error::Certificate { name: listener.name.clone(), source })
        };
        listeners.iter().map(load).collect()
    };
    tokio::task::spawn_blocking(load).await.expect("reading certificates does not panic")
}

async fn bind_figures(port: u16) -> Result<TcpListener, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |source| Error::Bind { name: "metrics".to_owned(), address, source };
    TcpListener::bind(address).await.map_err(failed)
}

/// Shows figures as soon as the gateway before this one has let go of the port.
async fn figures_later(core: Arc<Core>, port: u16) {
    loop {
        match bind_figures(port).await {
            Ok(figures) => return admin::scrape::serve(core, figures).await,
            Err(_) => tokio::select! {
                () = core.draining.cancelled() => return,
                () = tokio::time::sleep(FIGURES_PAUSE) => {}
            },
        }
    }
}

/// Nobody is to be asked at the address of an instance that sleeps.
async fn note_asleep(core: &Core) {
    let Some(asleep) = core.supervisor.asleep().await else { return };
    let live = core.snapshot.load();
    for name in asleep {
        let route = live.table.by_prefix(&name).map(|route| &live.upstreams[route]);
        if let Some(guest) = route.filter(|guest| guest.route.kind == Kind::Guest) {
            guest.standing.awake.sleeps();
        }
    }
}

/// The routes must be there before the first request; what cannot be read is reported by the watch, which
/// tries again at once.
async fn publish_first(core: &Arc<Core>, source: &watch::Shared) {
    let source = Arc::clone(source);
    let pooled = core.settings.limits.pooled;
    let core = Arc::clone(core);
    let published = tokio::task::spawn_blocking(move || {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = source.read().ok().flatten().unwrap_or_else(|| source.without_guests());
        core.snapshot.publish(draft, pooled);
    });
    if let Err(error) = published.await {
        tracing::error!(%error, "routes cannot be built");
    }
}
