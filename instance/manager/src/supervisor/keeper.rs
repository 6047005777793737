//! Keeps one child in the state that is wanted of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use remotelab_protocol::rest::Rest;
use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::machine::{Action, Event, Machine, Phase};
use super::process::{Driver, Life, Running};
use super::spec::{Id, Spec};
use crate::control::State;

/// Orders that may wait for a keeper.
const QUEUE: usize = 16;

/// How long a process may take to end that has handed its work over.
const RETIRING: Duration = Duration::from_secs(60);

/// How long a child may take to say what it has to do.
const ANSWERING: Duration = Duration::from_secs(5);

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
    /// How often it was needed.
    wakes: u64,
}

/// What a child had to do, and how often it had been needed when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) rest: Rest,
    wakes: u64,
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
    /// It is needed.
    #[error("is awake: it is needed")]
    Needed,
}

enum Order {
    Start(Spec),
    Stop(Duration),
    Restart(Spec, Duration),
    Ask(oneshot::Sender<Asked>),
    /// Only if it was not needed since it was asked.
    Sleep(Asked, Duration),
    Wake(Spec),
    /// By another process that takes over while this one still works.
    Replace(Spec, oneshot::Sender<Result<(), Error>>),
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
        Self::keep(spec, driver, Machine::new(), State::Stopped)
    }

    /// The same for a child that is started when it is needed.
    pub(crate) fn asleep(spec: Spec, driver: Arc<dyn Driver>) -> Self {
        Self::keep(spec, driver, Machine::asleep(), State::Asleep)
    }

    fn keep(spec: Spec, driver: Arc<dyn Driver>, machine: Machine, state: State) -> Self {
        let (orders, order_queue) = mpsc::channel(QUEUE);
        let (status_sender, status) = watch::channel(Status { state, ..Status::default() });
        let task = Task {
            spec,
            driver,
            machine,
            running: None,
            successor: None,
            asked: None,
            status: status_sender,
        };
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

    /// Starts a child that sleeps, and waits until it listens. One that was stopped stays so.
    pub(crate) async fn wake(&self, spec: Spec, patience: Duration) -> Result<(), Error> {
        let failures = self.status.borrow().failures;
        self.order(Order::Wake(spec)).await;
        self.settled(failures, patience).await
    }

    /// Starts another process in the place of the one that runs. That one ends when the other has taken over, and
    /// goes on when it does not.
    pub(crate) async fn replace(&self, spec: Spec, patience: Duration) -> Result<(), Error> {
        let (told, outcome) = oneshot::channel();
        self.order(Order::Replace(spec, told)).await;
        match timeout(patience, outcome).await {
            Err(_) => Err(Error::Slow(patience)),
            Ok(outcome) => outcome.unwrap_or(Err(Error::Stopped)),
        }
    }

    /// Asks a child what it has to do; `None` when it does not say.
    pub(crate) async fn ask(&self) -> Option<Asked> {
        let (asked, answer) = oneshot::channel();
        self.orders.send(Order::Ask(asked)).await.ok()?;
        timeout(ANSWERING, answer).await.ok()?.ok()
    }

    /// Ends the process until the child is needed, unless it was needed since it was asked or finds something to
    /// do at its end.
    pub(crate) async fn sleep(&self, asked: Asked, grace: Duration) -> Result<(), Error> {
        self.order(Order::Sleep(asked, grace)).await;
        let patience = grace + Duration::from_secs(1);
        let mut status = self.status.clone();
        let settled = status.wait_for(|status| status.state != State::Stopping);
        match timeout(patience, settled).await {
            Err(_) => Err(Error::Stuck(patience)),
            Ok(Ok(status)) if status.state == State::Asleep => Ok(()),
            Ok(_) => Err(Error::Needed),
        }
    }

    /// Waits until the child listens, or dies for the first time.
    pub(crate) async fn ready(&self, patience: Duration) -> Result<(), Error> {
        self.settled(0, patience).await
    }

    async fn settled(&self, failures: u64, patience: Duration) -> Result<(), Error> {
        let mut status = self.status.clone();
        let settled = status.wait_for(|status| {
            matches!(status.state, State::Ready | State::Stopped | State::Asleep)
                || status.failures > failures
        });
        match timeout(patience, settled).await {
            Err(_) => Err(Error::Slow(patience)),
            Ok(Ok(status)) if status.state == State::Ready => Ok(()),
            Ok(Ok(status)) if matches!(status.state, State::Stopped | State::Asleep) => Err(Error::Stopped),
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
    /// Takes over when it listens.
    successor: Option<Successor>,
    /// Who wants to know what the child has to do.
    asked: Option<Question>,
    status: watch::Sender<Status>,
}

/// A process that is to take over.
struct Successor {
    running: Running,
    started_at: Timestamp,
    told: oneshot::Sender<Result<(), Error>>,
}

/// A question under way, how often the child had been needed before, and who waits for the answer.
struct Question {
    wakes: u64,
    askers: Vec<oneshot::Sender<Asked>>,
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
                life = next_of(&mut self.successor) => (self.succeed(life), false),
                () = at(deadline) => (Some(Event::Deadline), false),
            };
            if let Some(event) = event {
                self.apply(event).await;
            }
            self.publish(ordered);
        }
    }

    fn take(&mut self, order: Order) -> Option<Event> {
        Some(match order {
            Order::Start(spec) => {
                self.spec = spec;
                Event::Start
            }
            Order::Stop(grace) => Event::Stop(grace),
            Order::Restart(spec, grace) => {
                self.spec = spec;
                Event::Restart(grace)
            }
            Order::Ask(asked) => {
                self.ask(asked);
                return None;
            }
            Order::Sleep(asked, grace) => {
                let is_needed = asked.wakes != self.status.borrow().wakes;
                let is_ready = matches!(self.machine.phase(), Phase::Ready { .. });
                return (is_ready && !is_needed).then_some(Event::Sleep(grace));
            }
            Order::Replace(spec, told) => {
                self.replace(&spec, told);
                return None;
            }
            Order::Wake(spec) => {
                if self.machine.phase() == Phase::Asleep {
                    self.spec = spec;
                }
                self.status.send_if_modified(|status| {
                    status.wakes += 1;
                    false
                });
                Event::Wake
            }
        })
    }

    /// Passes the question on. One answer serves all who wait; it counts as old as the first question.
    fn ask(&mut self, asker: oneshot::Sender<Asked>) {
        if let Some(running) = &self.running
            && matches!(self.machine.phase(), Phase::Ready { .. })
            // A child that has not read the last question has this one to answer, too.
            && !matches!(running.questions.try_send(()), Err(mpsc::error::TrySendError::Closed(())))
        {
            let wakes = self.status.borrow().wakes;
            self.asked.get_or_insert_with(|| Question { wakes, askers: Vec::new() }).askers.push(asker);
        }
    }

    fn replace(&mut self, spec: &Spec, told: oneshot::Sender<Result<(), Error>>) {
        let is_ready = matches!(self.machine.phase(), Phase::Ready { .. }) && self.successor.is_none();
        let spawned = if is_ready { self.driver.spawn(spec) } else { Err(std::io::ErrorKind::Other.into()) };
        match spawned {
            Ok(running) => {
                self.successor = Some(Successor { running, started_at: Timestamp::now(), told });
            }
            Err(_) if !is_ready => drop(told.send(Err(Error::Stopped))),
            Err(error) => drop(told.send(Err(Error::Died(format!("cannot be started: {error}"))))),
        }
    }

    /// The successor takes over, or is none.
    fn succeed(&mut self, life: Life) -> Option<Event> {
        let Successor { running, started_at, told } = self.successor.take()?;
        match life {
            Life::Ready(address) => {
                self.status.send_if_modified(|status| {
                    status.pid = Some(running.pid);
                    status.started_at = Some(started_at);
                    status.listening = Some(address);
                    false
                });
                if let Some(old) = self.running.replace(running) {
                    tokio::spawn(retire(old));
                }
                let _ = told.send(Ok(()));
            }
            Life::Exited(reason) => drop(told.send(Err(Error::Died(reason)))),
            Life::Rest(_) => self.successor = Some(Successor { running, started_at, told }),
        }
        None
    }

    fn note(&mut self, life: Life) -> Option<Event> {
        Some(match life {
            Life::Ready(address) => {
                self.status.send_modify(|status| status.listening = Some(address));
                Event::Ready
            }
            Life::Rest(rest) => {
                let is_busy = !rest.can_sleep();
                if let Some(Question { wakes, askers }) = self.asked.take() {
                    for asker in askers {
                        let _ = asker.send(Asked { rest: rest.clone(), wakes });
                    }
                }
                return is_busy.then_some(Event::Busy);
            }
            Life::Exited(reason) => {
                self.running = None;
                self.asked = None;
                // There is nobody to take over from.
                self.successor = None;
                self.bury(reason)
            }
        })
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
            Phase::Asleep => State::Asleep,
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

/// Lets a process that has handed its work over end in its own time.
async fn retire(mut old: Running) {
    let ended = async { while !matches!(old.life.recv().await, None | Some(Life::Exited(_))) {} };
    if timeout(RETIRING, ended).await.is_err() {
        let _ = old.signals.send(Signal::KILL).await;
    }
}

async fn next_of(successor: &mut Option<Successor>) -> Life {
    match successor {
        Some(successor) => {
            successor.running.life.recv().await.unwrap_or_else(|| Life::Exited("lost".to_owned()))
        }
        None => std::future::pending().await,
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
