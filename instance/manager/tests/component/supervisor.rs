use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use std::{fs, io};

use remotelab_manager::control::{self, Child, Client, State};
use remotelab_manager::supervisor::{Error, Handle, Id, Service};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::world::World;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn starts_everything_privately_and_drains_it() {
    let world = World::new();
    world.write(
        ".config/remotelab/guest-instances.json",
        r#"[{"name":"trial1","port":7696,"instanceRoot":"/g"},
            {"name":"half","port":7697,"state":"creating"}, {"name": 1}]"#,
    );
    let up = Up::start(&world).await;
    let names = ["owner", "gateway", "mail", "trial1"];
    for name in names {
        up.handle.ready(&Id::parse(name).unwrap(), PATIENCE).await.unwrap();
    }
    let children = up.handle.children();
    let described: Vec<(&str, State)> =
        children.iter().map(|child| (child.name.as_str(), child.state)).collect();
    assert_eq!(described, names.map(|name| (name, State::Ready)));
    let owner = format!("http://127.0.0.1:{}", world.owner_port());
    assert_eq!(children[0].listening, Some(owner));
    for (path, mode) in [("", 0o700), ("run", 0o700), ("logs", 0o700), ("auth.json", 0o600)] {
        let found = fs::metadata(world.config().join(path)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
    let socket = fs::metadata(world.config().join("run/supervisor.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let logged = world.log_when("guest-trial1.log", |log| log.ends_with('\n')).await;
    assert_eq!(logged, "listening on http://127.0.0.1:7696\n");
    up.down().await;
    assert_eq!(children.iter().filter(|child| lives(child)).count(), 0);
}

#[tokio::test]
async fn a_killed_child_comes_back_under_another_id() {
    let world = World::new();
    let up = Up::start(&world).await;
    up.handle.ready(&Id::Owner, PATIENCE).await.unwrap();
    let before = up.child("owner");
    kill_process(pid(&before), Signal::KILL).unwrap();
    let after = up.child_when("owner", |now| now.state == State::Ready && now.pid != before.pid).await;
    assert_eq!(after.failures, 1);
    assert_eq!(after.last_error.as_deref(), Some("signal: 9 (SIGKILL)"));
    up.down().await;
}

#[tokio::test]
async fn a_child_that_cannot_start_says_why_and_the_others_run() {
    let world = World::new();
    world.well_behaved_unless(
        r#"[ "$1" = mail ] && { echo "error: no mail today" >&2; echo "try: later" >&2; exit 3; }"#,
    );
    let up = Up::start(&world).await;
    up.handle.ready(&Id::Gateway, PATIENCE).await.unwrap();
    let error = up.handle.ready(&Id::Mail, PATIENCE).await.unwrap_err();
    assert_eq!(error.to_string(), "the mailbox did not start: exit status: 3: no mail today");
    world.log_when("mail.log", |log| log.contains("no mail today\n")).await;
    up.down().await;
}

#[tokio::test]
async fn a_child_deaf_to_signals_delays_the_end_by_less_than_five_seconds() {
    let world = World::new();
    world.well_behaved_unless(
        r#"[ "$1" = chat ] && { trap '' TERM; echo "listening on x"; while :; do sleep 0.1; done; }"#,
    );
    let up = Up::start(&world).await;
    up.handle.ready(&Id::Owner, PATIENCE).await.unwrap();
    let owner = up.child("owner");
    let begin = Instant::now();
    up.down().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(!lives(&owner));
}

#[tokio::test]
async fn children_end_when_the_supervisor_is_gone() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let options = world.options();
    let service = runtime.spawn(Service::start(options)).await.unwrap().unwrap();
    let handle = service.handle();
    let owner = runtime.spawn(async move {
        handle.ready(&Id::Owner, PATIENCE).await.unwrap();
        handle.children().remove(0)
    });
    let owner = owner.await.unwrap();
    assert!(lives(&owner));
    // As after kill -9: nobody signals the children, their standard input just ends.
    drop(service);
    runtime.shutdown_background();
    let begin = Instant::now();
    while lives(&owner) && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!lives(&owner));
}

#[tokio::test]
async fn refuses_to_start_twice_or_over_a_taken_port_and_leaves_nothing_running() {
    let world = World::new();
    let taken = TcpListener::bind(("127.0.0.1", world.owner_port())).unwrap();
    let error = Service::start(world.options()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "port {} for the owner is in use by another program; \
             free it, or choose another one with CHAT_PORT",
            world.owner_port()
        )
    );
    drop(taken);
    let up = Up::start(&world).await;
    let error = Service::start(world.options()).await.err().unwrap();
    assert_eq!(error.to_string(), format!("RemoteLab is already up for {}", world.config().display()));
    up.down().await;
    Up::start(&world).await.down().await;
}

#[tokio::test]
async fn refuses_a_folder_that_cannot_be_written() {
    let world = World::new();
    world.write(".config/remotelab", "a file, no folder");
    let error = Service::start(world.options()).await.err().unwrap();
    assert!(matches!(error, Error::File(_)));
    assert_eq!(error.to_string(), format!("cannot create folder {}", world.config().display()));
}

#[tokio::test]
async fn a_damaged_owner_token_keeps_nobody_else_down() {
    let world = World::new();
    world.write(".config/remotelab/auth.json", r#"{"token":""}"#);
    let service = Service::start(world.options()).await.unwrap();
    assert!(service.owner_token().is_err());
    let handle = service.handle();
    handle.ready(&Id::Gateway, PATIENCE).await.unwrap();
    service.run(async {}).await;
    let kept = fs::read_to_string(world.config().join("auth.json")).unwrap();
    assert_eq!(kept, r#"{"token":""}"#);
}

#[tokio::test]
async fn obeys_the_control_socket() {
    let world = World::new();
    let socket = world.config().join("run/supervisor.sock");
    let client = Client::new(&socket);
    assert!(matches!(client.status(), Err(control::Error::NotRunning)));
    let up = Up::start(&world).await;
    world.write(
        ".config/remotelab/guest-instances.json",
        r#"[{"name":"trial1","port":7696,"instanceRoot":"/g","state":"creating"}]"#,
    );
    let (handle, tried) = (up.handle.clone(), client.clone());
    spawn_blocking(move || {
        tried.start("trial1").unwrap();
        assert_eq!(handle.children()[3].state, State::Ready);
        let error = tried.start("nobody").unwrap_err();
        assert_eq!(error.to_string(), "there is no guest nobody");
        let first = tried.status().unwrap()[3].pid;
        tried.restart("trial1").unwrap();
        assert_ne!(tried.status().unwrap()[3].pid, first);
        tried.stop("trial1").unwrap();
        assert_eq!(tried.status().unwrap().len(), 3);
        tried.stop("trial1").unwrap();
    })
    .await
    .unwrap();
    up.down().await;
    assert!(matches!(client.status(), Err(control::Error::NotRunning)));
}

#[tokio::test]
async fn a_restart_takes_the_changed_record_and_starts_what_does_not_run() {
    let world = World::new();
    let registry = |port: u16| {
        let rows = format!(r#"[{{"name":"trial1","port":{port},"instanceRoot":"/g"}}]"#);
        world.write(".config/remotelab/guest-instances.json", &rows);
    };
    registry(7696);
    let up = Up::start(&world).await;
    up.handle.ready(&Id::parse("trial1").unwrap(), PATIENCE).await.unwrap();
    registry(7697);
    let client = Client::new(&world.config().join("run/supervisor.sock"));
    let children = spawn_blocking(move || {
        client.restart("trial1").unwrap();
        let changed = client.status().unwrap();
        client.stop("trial1").unwrap();
        client.restart("trial1").unwrap();
        [changed, client.status().unwrap()]
    });
    for children in children.await.unwrap() {
        let guest = &children[3];
        let listening = guest.listening.as_deref();
        assert_eq!((guest.state, listening), (State::Ready, Some("http://127.0.0.1:7697")));
        // The stand-in is a script: what runs is the shell, and that is told.
        assert_eq!(guest.program, fs::canonicalize("/bin/sh").unwrap());
    }
    up.down().await;
}

#[tokio::test]
async fn what_was_stopped_stays_stopped() {
    let world = World::new();
    world.write(
        ".config/remotelab/guest-instances.json",
        r#"[{"name":"trial1","port":7696,"instanceRoot":"/g","stopped":true},
            {"name":"trial2","port":7697,"instanceRoot":"/h","stopped":false}]"#,
    );
    let up = Up::start(&world).await;
    let names: Vec<String> = up.handle.children().into_iter().map(|child| child.name).collect();
    assert_eq!(names, ["owner", "gateway", "mail", "trial2"]);
    up.down().await;
}

#[tokio::test]
async fn a_bad_request_gets_an_answer() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    let up = Up::start(&world).await;
    for bad in ["nonsense\n", "{\"verb\":\"explode\"}\n", "\n", &"x".repeat(4096)] {
        let socket = world.config().join("run/supervisor.sock");
        let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        stream.write_all(bad.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(r#"{"ok":false,"error":"not a request"#), "{answer}");
    }
    up.down().await;
}

/// A supervisor that runs until it is told to end.
pub(crate) struct Up {
    pub(crate) handle: Handle,
    end: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Up {
    pub(crate) async fn start(world: &World) -> Self {
        let service = Service::start(world.options()).await.unwrap();
        let handle = service.handle();
        let (end, ended) = oneshot::channel();
        let running = tokio::spawn(service.run(async {
            let _ = ended.await;
        }));
        Self { handle, end, running }
    }

    pub(crate) fn child(&self, name: &str) -> Child {
        self.handle.children().into_iter().find(|child| child.name == name).unwrap()
    }

    pub(crate) async fn child_when(&self, name: &str, right: impl Fn(&Child) -> bool) -> Child {
        let begin = Instant::now();
        loop {
            let child = self.child(name);
            if right(&child) {
                return child;
            }
            assert!(begin.elapsed() < PATIENCE, "{child:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn down(self) {
        self.end.send(()).unwrap();
        self.running.await.unwrap();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.pid.unwrap().try_into().unwrap()).unwrap()
}

/// Tells whether the process runs; a zombie that nobody waits for any more does not.
fn lives(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.pid.unwrap()));
    match stat {
        Ok(stat) => !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(_) => test_kill_process(pid(child)).is_ok(),
    }
}
