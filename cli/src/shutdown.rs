//! When a serving process is to end: SIGTERM, Ctrl-C, or the end of its supervisor.

use std::{io, thread};

use anyhow::Context;
use remotelab_manager::supervisor::SUPERVISED;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Listens for the wish to end from the moment it is made.
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    supervisor: oneshot::Receiver<()>,
    _never: Option<oneshot::Sender<()>>,
}

impl Shutdown {
    /// Begins to listen. Needs a runtime.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let (gone, supervisor) = oneshot::channel();
        let never = if std::env::var_os(SUPERVISED).is_some_and(|value| value == "1") {
            watch_supervisor(gone)?;
            None
        } else {
            Some(gone)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            supervisor,
            _never: never,
        })
    }

    /// As [`Shutdown::listen`], for a command that no supervisor has started.
    pub(crate) fn listen_for_signals() -> anyhow::Result<Self> {
        let (never, supervisor) = oneshot::channel();
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            supervisor,
            _never: Some(never),
        })
    }

    /// Waits for it.
    pub(crate) async fn wanted(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.supervisor => {}
        }
    }
}

/// The supervisor holds the other end of our standard input and never writes: its end is the
/// supervisor's end, however that came.
fn watch_supervisor(gone: oneshot::Sender<()>) -> anyhow::Result<()> {
    let watch = move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    };
    thread::Builder::new()
        .name("supervisor".to_owned())
        .spawn(watch)
        .context("cannot watch the supervisor")?;
    Ok(())
}
