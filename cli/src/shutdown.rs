//! When a serving process is to end: SIGTERM, Ctrl-C, or the end of its supervisor.

use std::io::Read;
use std::{io, thread};

use anyhow::Context;
use remotelab_manager::supervisor::SUPERVISED;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// Listens for the wish to end from the moment it is made.
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    supervisor: oneshot::Receiver<()>,
    questions: Option<mpsc::Receiver<()>>,
    _never: Option<oneshot::Sender<()>>,
}

impl Shutdown {
    /// Begins to listen. Needs a runtime.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let (gone, supervisor) = oneshot::channel();
        let (questions, never) = if std::env::var_os(SUPERVISED).is_some_and(|value| value == "1") {
            (Some(watch_supervisor(gone)?), None)
        } else {
            (None, Some(gone))
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            supervisor,
            questions,
            _never: never,
        })
    }

    /// Returns what brings the supervisor's questions, if there is a supervisor.
    pub(crate) fn questions(&mut self) -> Option<mpsc::Receiver<()>> {
        self.questions.take()
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

/// The supervisor holds the other end of our standard input: its end is the supervisor's end, however that came.
/// Each line is the question whether there is anything to do.
fn watch_supervisor(gone: oneshot::Sender<()>) -> anyhow::Result<mpsc::Receiver<()>> {
    let (question, questions) = mpsc::channel(1);
    let watch = move || {
        let mut piece = [0; 64];
        while let Ok(length @ 1..) = io::stdin().lock().read(&mut piece) {
            if piece[..length].contains(&b'\n') {
                // One answer serves all that wait.
                let _ = question.try_send(());
            }
        }
        let _ = gone.send(());
    };
    thread::Builder::new()
        .name("supervisor".to_owned())
        .spawn(watch)
        .context("cannot watch the supervisor")?;
    Ok(questions)
}
