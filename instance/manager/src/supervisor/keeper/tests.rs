use std::io;
use std::path::Path;

use remotelab_config::Env;
use remotelab_protocol::rest::Because;

use super::*;
use crate::supervisor::Options;

const PATIENCE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_dead_child_is_started_again_later_each_time() {
    let (keeper, mut processes) = kept();
    let begin = Instant::now();
    keeper.launch(spec()).await;
    for earliest_ms in [0, 100, 300] {
        let process = processes.recv().await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(earliest_ms));
        process.life.send(Life::Exited("exit status: 1".to_owned())).await.unwrap();
    }
    let process = processes.recv().await.unwrap();
    process.life.send(Life::Ready("http://127.0.0.1:1".to_owned())).await.unwrap();
    let mut status = keeper.status.clone();
    let status = status.wait_for(|status| status.state == State::Ready).await.unwrap().clone();
    assert_eq!(status.failures, 3);
    assert_eq!(status.listening.as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(status.last_error.as_deref(), Some("exit status: 1"));
}

#[tokio::test]
async fn starting_waits_for_the_ready_line_or_the_death() {
    let (keeper, mut processes) = kept();
    let starting = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.start(spec(), PATIENCE).await }
    });
    let process = processes.recv().await.unwrap();
    process.life.send(Life::Exited("exit status: 1: no room".to_owned())).await.unwrap();
    let died = Err(Error::Died("exit status: 1: no room".to_owned()));
    assert_eq!(starting.await.unwrap(), died);
    // The second process never says anything.
    assert_eq!(keeper.start(spec(), GRACE).await, Err(Error::Slow(GRACE)));
}

#[tokio::test]
async fn a_child_that_ignores_the_first_signal_is_killed() {
    let (keeper, mut processes) = kept();
    keeper.launch(spec()).await;
    let mut process = processes.recv().await.unwrap();
    let begin = Instant::now();
    let stopping = tokio::spawn({
        let keeper = keeper.clone();
        async move { keeper.stop(GRACE).await }
    });
    assert_eq!(process.signals.recv().await, Some(Signal::TERM));
    assert_eq!(process.signals.recv().await, Some(Signal::KILL));
    assert!(begin.elapsed() >= GRACE);
    process.life.send(Life::Exited("signal: 9".to_owned())).await.unwrap();
    assert_eq!(stopping.await.unwrap(), Ok(()));
    let status = keeper.status();
    assert_eq!((status.state, status.failures, status.last_error), (State::Stopped, 0, None));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_reported_and_tried_again() {
    let keeper = Keeper::new(spec(), Arc::new(Nothing));
    let error = keeper.start(spec(), PATIENCE).await.unwrap_err();
    assert_eq!(error, Error::Died("cannot be started: entity not found".to_owned()));
    let mut status = keeper.status.clone();
    status.wait_for(|status| status.failures == 2).await.unwrap();
}

#[tokio::test]
async fn a_child_sleeps_until_it_is_needed() {
    let (keeper, mut processes) = kept();
    let (mut process, asked) = ready(&keeper, &mut processes).await;
    let sleeping = asleep(&keeper, asked);
    assert_eq!(process.signals.recv().await, Some(Signal::TERM));
    process.life.send(Life::Exited(String::new())).await.unwrap();
    assert_eq!(sleeping.await.unwrap(), Ok(()));
    assert_eq!((keeper.status().state, keeper.status().failures), (State::Asleep, 0));
    assert_eq!(keeper.ask().await, None);
    let many: Vec<_> = (0..50).map(|_| woken(&keeper)).collect();
    let process = processes.recv().await.unwrap();
    process.life.send(Life::Ready(String::new())).await.unwrap();
    for woken in many {
        assert_eq!(woken.await.unwrap(), Ok(()));
    }
    assert!(processes.try_recv().is_err(), "one start for all");
}

#[tokio::test]
async fn who_is_needed_meanwhile_does_not_sleep() {
    // After it was asked, while it ends, and by what it finds at its end.
    let (keeper, mut processes) = kept();
    let (mut process, asked) = ready(&keeper, &mut processes).await;
    assert_eq!(woken(&keeper).await.unwrap(), Ok(()));
    assert_eq!(asleep(&keeper, asked).await.unwrap(), Err(Error::Needed));
    let asked = ask(&keeper, &mut process).await;
    let sleeping = asleep(&keeper, asked);
    assert_eq!(process.signals.recv().await, Some(Signal::TERM));
    let waking = woken(&keeper);
    let mut status = keeper.status.clone();
    status.wait_for(|status| status.wakes == 2).await.unwrap();
    process.life.send(Life::Exited(String::new())).await.unwrap();
    let mut process = processes.recv().await.unwrap();
    assert_eq!(sleeping.await.unwrap(), Err(Error::Needed));
    process.life.send(Life::Ready(String::new())).await.unwrap();
    assert_eq!(waking.await.unwrap(), Ok(()));
    let asked = ask(&keeper, &mut process).await;
    let sleeping = asleep(&keeper, asked);
    assert_eq!(process.signals.recv().await, Some(Signal::TERM));
    let busy = Rest { because: Some(Because::Run), ..Rest::default() };
    process.life.send(Life::Rest(busy)).await.unwrap();
    process.life.send(Life::Exited(String::new())).await.unwrap();
    assert_eq!(sleeping.await.unwrap(), Err(Error::Needed));
    assert!(processes.recv().await.is_some());
}

async fn ready(keeper: &Keeper, processes: &mut mpsc::UnboundedReceiver<Process>) -> (Process, Asked) {
    keeper.launch(spec()).await;
    let mut process = processes.recv().await.unwrap();
    process.life.send(Life::Ready("x".to_owned())).await.unwrap();
    keeper.ready(PATIENCE).await.unwrap();
    let asked = ask(keeper, &mut process).await;
    (process, asked)
}

async fn ask(keeper: &Keeper, process: &mut Process) -> Asked {
    let answer = async {
        process.questions.recv().await.unwrap();
        process.life.send(Life::Rest(Rest::default())).await.unwrap();
    };
    tokio::join!(keeper.ask(), answer).0.unwrap()
}

fn asleep(keeper: &Keeper, asked: Asked) -> tokio::task::JoinHandle<Result<(), Error>> {
    let keeper = keeper.clone();
    tokio::spawn(async move { keeper.sleep(asked, PATIENCE).await })
}

fn woken(keeper: &Keeper) -> tokio::task::JoinHandle<Result<(), Error>> {
    let keeper = keeper.clone();
    tokio::spawn(async move { keeper.wake(spec(), PATIENCE).await })
}

/// The test's end of a process that is none.
struct Process {
    life: mpsc::Sender<Life>,
    signals: mpsc::Receiver<Signal>,
    questions: mpsc::Receiver<()>,
}

struct Fake(mpsc::UnboundedSender<Process>);

impl Driver for Fake {
    fn spawn(&self, _: &Spec) -> io::Result<Running> {
        let (life, life_queue) = mpsc::channel(2);
        let (signals, signal_queue) = mpsc::channel(4);
        let (questions, question_queue) = mpsc::channel(1);
        let process = Process { life, signals: signal_queue, questions: question_queue };
        self.0.send(process).map_err(io::Error::other)?;
        Ok(Running { pid: 1, life: life_queue, signals, questions })
    }
}

struct Nothing;

impl Driver for Nothing {
    fn spawn(&self, _: &Spec) -> io::Result<Running> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn kept() -> (Keeper, mpsc::UnboundedReceiver<Process>) {
    let (sender, processes) = mpsc::unbounded_channel();
    (Keeper::new(spec(), Arc::new(Fake(sender))), processes)
}

fn spec() -> Spec {
    let options = Options::from_env(&Env::default(), Path::new("/home/op"), "/bin/true".into());
    Spec::owner(&options)
}
