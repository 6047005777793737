//! Keeps one child in the state that is wanted of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::machine::{Action, Event, Machine, Phase};
use super::process::{Driver, Life, Running};
use super::spec::{Id, Spec};
use crate::control::State;

/// Orders that may wait for a keeper.
const QUEUE: usize = 16;

/// What a child looks like from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) pid: Option<u32>,
    /// Where it listens.
    pub(crate) listening: Option<String>,
    /// When the process was started.
    pub(crate) started_at: Option<Timestamp>,
    /// How many processes of this child have died unasked.
    pub(crate) failures: u64,
    /// How the last one died.
    pub(crate) last_error: Option<String>,
    /// How many orders have been carried out; a waiter sees by it that a status is not an old one.
    orders: u64,
}

/// Why a child is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Its process died.
    #[error("{0}")]
    Died(String),
    /// It has not said that it listens.
    #[error("did not begin to listen within {} s", .0.as_secs())]
    Slow(Duration),
    /// It has not ended.
    #[error("did not end within {} s", .0.as_secs())]
    Stuck(Duration),
    /// It was told to stop.
    #[error("was stopped")]
    Stopped,
}

enum Order {
    Start(Spec),
    Stop(Duration),
    Restart(Spec, Duration),
}

/// A cheap handle on one child.
#[derive(Clone)]
pub(crate) struct Keeper {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
}

impl Keeper {
    /// Begins to keep a child, which is not started yet. The task ends with the last handle, and the
    /// child with it.
    pub(crate) fn new(spec: Spec, driver: Arc<dyn Driver>) -> Self {
        let (orders, order_queue) = mpsc::channel(QUEUE);
        let (status_sender, status) = watch::channel(Status::default());
        let task = Task { spec, driver, machine: Machine::new(), running: None, status: status_sender };
        tokio::spawn(task.run(order_queue));
        Self { orders, status }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How many handles there are on this child.
    pub(crate) fn handles(&self) -> usize {
        self.orders.strong_count()
    }

    /// Starts the child, if it does not run, and waits until it listens.
    pub(crate) async fn start(&self, spec: Spec, patience: Duration) -> Result<(), Error> {
        let failures = self.status.borrow().failures;
        self.launch(spec).await;
        self.settled(failures, patience).await
    }

    /// Starts the child, if it does not run, without waiting for it to listen.
    pub(crate) async fn launch(&self, spec: Spec) {
        self.order(Order::Start(spec)).await;
    }

    /// Ends the process, at the latest by killing it after `grace`.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<(), Error> {
        self.order(Order::Stop(grace)).await;
        let patience = grace + Duration::from_secs(1);
        let mut status = self.status.clone();
        let stopped = status.wait_for(|status| status.state == State::Stopped);
        timeout(patience, stopped).await.map_err(|_| Error::Stuck(patience))?.ok();
        Ok(())
    }

    /// Ends the process and waits until its successor, which is as `spec` says, listens. One that does not run
    /// is started.
    pub(crate) async fn restart(&self, spec: Spec, grace: Duration, patience: Duration) -> Result<(), Error> {
        let failures = self.status.borrow().failures;
        self.order(Order::Restart(spec, grace)).await;
        self.settled(failures, patience).await
    }

    /// Waits until the child listens, or dies for the first time.
    pub(crate) async fn ready(&self, patience: Duration) -> Result<(), Error> {
        self.settled(0, patience).await
    }

    async fn settled(&self, failures: u64, patience: Duration) -> Result<(), Error> {
        let mut status = self.status.clone();
        let settled = status.wait_for(|status| {
            matches!(status.state, State::Ready | State::Stopped) || status.failures > failures
        });
        match timeout(patience, settled).await {
            Err(_) => Err(Error::Slow(patience)),
            Ok(Ok(status)) if status.state == State::Ready => Ok(()),
            Ok(Ok(status)) if status.state == State::Stopped => Err(Error::Stopped),
            Ok(Ok(status)) => Err(Error::Died(status.last_error.clone().unwrap_or_default())),
            Ok(Err(_)) => Err(Error::Stopped),
        }
    }

    /// Gives an order and waits until it is under way, so that the status is no older than it.
    async fn order(&self, order: Order) {
        let mut status = self.status.clone();
        let before = status.borrow().orders;
        if self.orders.send(order).await.is_ok() {
            let _ = status.wait_for(|status| status.orders > before).await;
        }
    }
}

struct Task {
    spec: Spec,
    driver: Arc<dyn Driver>,
    machine: Machine,
    running: Option<Running>,
    status: watch::Sender<Status>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let deadline = self.machine.deadline();
            let (event, ordered) = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => (self.take(order), true),
                    // Nobody holds a handle: dropping the process closes its standard input.
                    None => return,
                },
                life = next(&mut self.running) => (self.note(life), false),
                () = at(deadline) => (Event::Deadline, false),
            };
            self.apply(event).await;
            self.publish(ordered);
        }
    }

    fn take(&mut self, order: Order) -> Event {
        match order {
            Order::Start(spec) => {
                self.spec = spec;
                Event::Start
            }
            Order::Stop(grace) => Event::Stop(grace),
            Order::Restart(spec, grace) => {
                self.spec = spec;
                Event::Restart(grace)
            }
        }
    }

    fn note(&mut self, life: Life) -> Event {
        match life {
            Life::Ready(address) => {
                self.status.send_modify(|status| status.listening = Some(address));
                Event::Ready
            }
            Life::Exited(reason) => {
                self.running = None;
                self.bury(reason)
            }
        }
    }

    fn bury(&mut self, reason: String) -> Event {
        let asked = matches!(self.machine.phase(), Phase::Draining { .. });
        self.status.send_if_modified(|status| {
            status.pid = None;
            status.listening = None;
            status.started_at = None;
            if !asked {
                status.last_error = Some(reason);
            }
            // Waiters are told when the new phase is known too.
            false
        });
        Event::Exited
    }

    async fn apply(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let died = event == Event::Exited
                && matches!(self.machine.phase(), Phase::Starting { .. } | Phase::Ready { .. });
            let action = self.machine.on(event, Instant::now());
            if died {
                self.report_death();
            }
            match action {
                Some(Action::Spawn) => next = self.spawn(),
                Some(Action::Terminate) => self.signal(Signal::TERM).await,
                Some(Action::Kill) => self.signal(Signal::KILL).await,
                None => {}
            }
        }
    }

    fn spawn(&mut self) -> Option<Event> {
        match self.driver.spawn(&self.spec) {
            Ok(running) => {
                self.status.send_if_modified(|status| {
                    status.pid = Some(running.pid);
                    status.started_at = Some(Timestamp::now());
                    false
                });
                self.running = Some(running);
                None
            }
            Err(error) => Some(self.bury(format!("cannot be started: {error}"))),
        }
    }

    fn report_death(&self) {
        self.status.send_if_modified(|status| {
            status.failures += 1;
            false
        });
        let status = self.status.borrow();
        let reason = status.last_error.as_deref().unwrap_or_default();
        if let Phase::Waiting { until } = self.machine.phase() {
            let delay = until.saturating_duration_since(Instant::now());
            let (id, seconds) = (&self.spec.id, delay.as_secs_f32());
            tracing::warn!("{} stopped ({reason}); starts again in {seconds:.1} s", describe(id));
        }
    }

    async fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            let _ = running.signals.send(signal).await;
        }
    }

    fn publish(&self, ordered: bool) {
        let state = match self.machine.phase() {
            Phase::Stopped => State::Stopped,
            Phase::Starting { .. } => State::Starting,
            Phase::Ready { .. } => State::Ready,
            Phase::Draining { .. } => State::Stopping,
            Phase::Waiting { .. } => State::Failed,
        };
        self.status.send_modify(|status| {
            status.state = state;
            status.orders += u64::from(ordered);
        });
    }
}

/// Names a child in a sentence.
pub(crate) fn describe(id: &Id) -> String {
    match id {
        Id::Owner => "the owner's chat server".to_owned(),
        Id::Gateway => "the gateway".to_owned(),
        Id::Mail => "the mailbox".to_owned(),
        Id::Guest(name) => format!("guest {name}"),
    }
}

async fn next(running: &mut Option<Running>) -> Life {
    match running {
        Some(running) => {
            let lost = || Life::Exited("lost".to_owned());
            running.life.recv().await.unwrap_or_else(lost)
        }
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
