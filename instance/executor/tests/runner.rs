//! The detached runner on real processes: small shell scripts in the place of executors.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use remotelab_config::Env;
use remotelab_config::containment::Level;
use remotelab_config::limits::Limits;
use remotelab_executor::contain::{Policy, Walls};
use remotelab_executor::runner::{self, Settled};
use remotelab_executor::{Download, Launch, SpoolReader, Stream};
use remotelab_protocol::Run;
use remotelab_protocol::run::{RunResult, RunnerReport};

/// In this variable the runner process, which is this test program again, finds its run.
const RUN_DIR: &str = "TEST_RUN_DIR";
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
#[ignore = "not a test: the runner process that the tests start"]
fn acts_as_the_runner() {
    let env = Env::of_process();
    let run_dir = PathBuf::from(env.get(RUN_DIR).expect("the wrapper sets it"));
    assert_eq!(runner::main(&run_dir, env), ExitCode::SUCCESS);
}

/// One run with its folder; whatever it started ends with it.
struct World {
    root: tempfile::TempDir,
    runner: PathBuf,
}

impl World {
    /// Makes a run whose executor is a shell script.
    fn new(script: &str) -> Self {
        let world = Self::without_tool();
        let tool = world.root.path().join("tool");
        write_script(&tool, script);
        world.launch(&Launch { program: tool, ..world.call() });
        world
    }

    fn without_tool() -> Self {
        let root = tempfile::tempdir().unwrap();
        let runner = root.path().join("remotelab");
        let this = std::env::current_exe().unwrap();
        let wrapper = format!(
            "{RUN_DIR}=\"$2\" exec '{}' --exact acts_as_the_runner --ignored --nocapture",
            this.display()
        );
        write_script(&runner, &wrapper);
        fs::create_dir(root.path().join("run")).unwrap();
        Self { root, runner }
    }

    fn call(&self) -> Launch {
        Launch { tool_name: "Codex".into(), folder: self.root.path().to_owned(), ..Launch::default() }
    }

    fn launch(&self, launch: &Launch) {
        launch.write(&self.run()).unwrap();
    }

    fn run(&self) -> PathBuf {
        self.root.path().join("run")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    async fn spawn(&self) -> tokio::process::Child {
        let env: Env =
            [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("GREETING", "hello")].into_iter().collect();
        let run = self.run();
        eventually("the runner's wrapper is not busy", || {
            match runner::spawn(&self.runner, &run, &env) {
                // Another test's fork may hold the fresh script open for a moment.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => None,
                outcome => Some(outcome.unwrap()),
            }
        })
        .await
    }

    /// Runs to the end.
    async fn carry_out(&self) -> RunResult {
        let status = self.spawn().await.wait().await.unwrap();
        let log = fs::read_to_string(self.run().join("runner.log")).unwrap();
        assert!(status.success(), "{log}");
        runner::result(&self.run()).unwrap().expect("the runner has ended")
    }

    fn lines(&self) -> Vec<(Stream, String)> {
        let mut reader = SpoolReader::open(&self.run(), 0);
        let mut lines = Vec::new();
        loop {
            let records = reader.read_new(1 << 20).unwrap();
            if records.is_empty() {
                return lines;
            }
            lines.extend(records.into_iter().map(|record| (record.stream, record.line)));
        }
    }

    async fn started(&self) -> RunnerReport {
        let run = self.run();
        eventually("the executor starts", || runner::report(&run).unwrap()).await
    }

    /// Waits for a file that a script writes, and returns the number in it.
    async fn number_in(&self, name: &str) -> u32 {
        let path = self.file(name);
        eventually(name, || fs::read_to_string(&path).ok()?.trim().parse().ok()).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(Some(report)) = runner::report(&self.run()) {
            runner::kill_leftovers(&report);
        }
    }
}

fn write_script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Tells whether a process runs; a dead one that nobody has reaped does not.
fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn ended(result: &RunResult) -> (Option<i32>, Option<&str>, bool, Option<&str>) {
    (result.exit_code, result.signal.as_deref(), result.cancelled, result.error.as_deref())
}

fn out(line: &str) -> (Stream, String) {
    (Stream::Stdout, line.to_owned())
}

#[tokio::test]
async fn runtime_weakness_01_an_executor_that_exits_at_once_loses_nothing() {
    let world = World::new("echo \"$GREETING\"; echo oops >&2; printf 'no end'; exit 3");
    let result = world.carry_out().await;
    assert_eq!(ended(&result), (Some(3), None, false, None));
    let mut lines = world.lines();
    lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    assert_eq!(lines, [out("hello"), out("no end"), (Stream::Stderr, "oops".into())]);
    let report = world.started().await;
    assert!(report.tool_process_id.is_some() && report.started_at.is_some());
    assert!(!runner::is_alive(&world.run()).unwrap());
    assert_eq!(runner::settle(&world.run(), false).unwrap(), Settled::Ended(result));
}

#[tokio::test]
async fn files_from_elsewhere_are_there_before_the_executor_starts() {
    let world = World::without_tool();
    write_script(&world.file("tool"), "cat files/a.txt");
    let url = serve(&["503 Busy", "200 OK"], "from afar");
    let download = Download { name: "a.txt".into(), url, path: world.file("files/a.txt"), size: Some(9) };
    let call = Launch { program: world.file("tool"), downloads: vec![download], ..world.call() };
    world.launch(&call);
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    assert_eq!(world.lines(), [out("from afar")]);
    assert_eq!(fs::read_dir(world.file("files")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_run_whose_files_do_not_come_can_be_stopped_and_says_why_it_failed() {
    let world = World::without_tool();
    let elsewhere = |url: String| {
        let path = world.file("a.txt");
        let download = Download { name: "a.txt".into(), url, path, size: Some(3) };
        world.launch(&Launch { program: "/bin/true".into(), downloads: vec![download], ..world.call() });
    };
    elsewhere(serve(&["200 OK"], "four"));
    let reason = "The attached file a.txt could not be fetched: it is larger than it should be";
    assert_eq!(ended(&world.carry_out().await), (Some(1), None, false, Some(reason)));
    assert!(!world.file("a.txt").exists());

    fs::remove_dir_all(world.run()).unwrap();
    fs::create_dir(world.run()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere(format!("http://{}/a.txt", silent.local_addr().unwrap()));
    let mut runner = world.spawn().await;
    silent.accept().unwrap();
    runner::request_cancel(&world.run()).unwrap();
    assert!(runner.wait().await.unwrap().success());
    let result = runner::result(&world.run()).unwrap().unwrap();
    assert_eq!((result.cancelled, result.error), (true, None));
}

/// Answers one request after the other with these statuses; returns the address of a file.
fn serve(statuses: &'static [&'static str], body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.txt", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    url
}

#[tokio::test]
async fn runtime_weakness_02_a_start_that_fails_says_why() {
    let world = World::without_tool();
    let missing = |program: PathBuf, folder: PathBuf| Launch { program, folder, ..world.call() };
    fs::write(world.file("text"), "no program").unwrap();
    write_script(&world.file("strange"), "");
    fs::write(world.file("strange"), "#!/nowhere/interpreter\n").unwrap();
    let here = world.root.path();
    let cases = [
        (
            missing("codex".into(), here.into()),
            "Codex was not found on this machine; install it with: npm install -g @openai/codex".to_owned(),
        ),
        (
            missing("/nowhere/mine".into(), here.into()),
            "Codex was not found on this machine: there is no program /nowhere/mine".to_owned(),
        ),
        (
            missing("/bin/true".into(), "/nowhere".into()),
            "The folder /nowhere does not exist on this machine".to_owned(),
        ),
        (
            missing(world.file("text"), here.into()),
            format!("Codex could not be started: {} may not be executed", world.file("text").display()),
        ),
        (
            missing(world.file("strange"), here.into()),
            format!(
                "Codex could not be started: the interpreter that {} names is missing",
                world.file("strange").display()
            ),
        ),
    ];
    for (launch, expected) in cases {
        fs::remove_dir_all(world.run()).unwrap();
        fs::create_dir(world.run()).unwrap();
        world.launch(&launch);
        let result = world.carry_out().await;
        assert_eq!(ended(&result), (Some(1), None, false, Some(expected.as_str())));
    }
}

#[tokio::test]
async fn runtime_weakness_03_a_big_prompt_arrives_whole_and_is_in_no_process_list() {
    let world = World::new("cat > prompt; wc -c < prompt; cat /proc/$$/cmdline /proc/$PPID/cmdline > lists");
    let prompt = "0123456789".repeat(500_000);
    world.launch(&Launch { program: world.file("tool"), stdin: Some(prompt.clone()), ..world.call() });
    let result = world.carry_out().await;
    assert_eq!(ended(&result), (Some(0), None, false, None));
    assert_eq!(world.lines()[0].1.trim(), "5000000");
    assert!(fs::read_to_string(world.file("prompt")).unwrap() == prompt);
    let lists = fs::read_to_string(world.file("lists")).unwrap();
    assert!(
        lists.contains("/tool") && lists.contains("--nocapture") && !lists.contains("0123456789"),
        "{lists}"
    );
}

#[tokio::test]
async fn an_executor_need_not_read_its_prompt() {
    let world = World::new("exec 0<&-; echo done");
    world.launch(&Launch { program: world.file("tool"), stdin: Some("x".repeat(5_000_000)), ..world.call() });
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    assert_eq!(world.lines(), [out("done")]);
}

#[tokio::test]
async fn much_output_comes_through_in_order() {
    let world = World::new("seq -f 'line %010.0f of the long output of an executor' 1 400000");
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    let lines = world.lines();
    assert_eq!(lines.len(), 400_000);
    for (index, (_, line)) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {:010} of the long output of an executor", index + 1));
    }
}

/// The two streams keep their lines whole, and what has no end is not lost with the exit.
#[tokio::test]
async fn runtime_weakness_08_lines_arrive_whole() {
    let world =
        World::new("printf 'half ' >&2; sleep 0.2; echo line >&2; echo out; sleep 0.1; printf 'no end'");
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    // How the two streams interleave is the kernel's choice.
    let (errors, output): (Vec<_>, Vec<_>) =
        world.lines().into_iter().partition(|(stream, _)| *stream == Stream::Stderr);
    assert_eq!(
        (errors, output),
        (vec![(Stream::Stderr, "half line".into())], vec![out("out"), out("no end")])
    );
}

/// A runner that is killed before it could tell of its executor leaves it to nobody.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_executor_that_nobody_was_told_of_ends_with_its_runner() {
    let world = World::new("sleep 60 & echo $! > child; echo $$ > leader; wait");
    let mut runner = world.spawn().await;
    let (child, leader) = (world.number_in("child").await, world.number_in("leader").await);
    world.started().await;
    runner.kill().await.unwrap();
    // As if it had come to it a moment earlier.
    fs::remove_file(world.run().join("runner.json")).unwrap();
    let Settled::Ended(result) = runner::settle(&world.run(), false).unwrap() else { panic!("it has ended") };
    assert_eq!(result.error.as_deref(), Some("Detached runner disappeared before writing a result"));
    eventually("both are gone", || (!runs(child) && !runs(leader)).then_some(())).await;
}

/// The executor itself is gone, but what it started works on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_left_of_a_group_without_its_leader_ends_too() {
    let world = World::new("sleep 60 & echo $! > child; wait");
    let mut runner = world.spawn().await;
    let child = world.number_in("child").await;
    let leader = world.started().await.tool_process_id.unwrap();
    runner.kill().await.unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &leader.to_string()]).status().unwrap();
    assert!(killed.success());
    eventually("the leader is gone", || (!runs(leader)).then_some(())).await;
    assert!(runs(child));
    assert!(matches!(runner::settle(&world.run(), false).unwrap(), Settled::Ended(_)));
    eventually("its child is gone", || (!runs(child)).then_some(())).await;
}

/// A run that the earlier server's runner carries out is waited for; it is never started again.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_of_the_earlier_server_is_waited_for_and_fails_when_its_processes_are_gone() {
    let world = World::without_tool();
    let id = "run_a10872fb60d7ace1a4c1225d";
    let record = |runner: Option<u32>, tool: Option<u32>, cancel: bool| -> Run {
        serde_json::from_value(serde_json::json!({"id": id, "sessionId": "12d04b72795d9cef53d6aa1749cb0af7",
            "requestId": "r", "state": "running", "tool": "codex", "createdAt": "", "updatedAt": "",
            "runnerProcessId": runner, "toolProcessId": tool, "cancelRequested": cancel}))
        .unwrap()
    };
    let settled = |run: &Run| runner::settle_recorded(&world.run(), run).unwrap();
    // The runner names the run as its argument, its executor has it as a variable.
    let mut runner =
        std::process::Command::new("sh").args(["-c", "read line", id]).stdin(Stdio::piped()).spawn().unwrap();
    let mut tool = std::process::Command::new("sleep").arg("60").env("REMOTELAB_RUN_ID", id).spawn().unwrap();
    let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    eventually("they are named so", || {
        let running = [(runner.id(), tool.id())].iter().all(|&(runner, tool)| {
            settled(&record(Some(runner), None, false)) == Settled::Alive
                && settled(&record(None, Some(tool), false)) == Settled::Alive
        });
        running.then_some(())
    })
    .await;
    assert_eq!(settled(&record(None, None, false)), Settled::NotStarted);
    let both = |cancel| record(Some(runner.id()), Some(tool.id()), cancel);
    assert_eq!(settled(&both(true)), Settled::Alive);
    let asked = both(true);
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert_eq!(settled(&asked), Settled::Alive);
    // Nobody else was there to stop it.
    tool.wait().unwrap();
    let Settled::Ended(result) = settled(&asked) else { panic!("it has ended") };
    assert_eq!((result.cancelled, result.exit_code), (true, Some(1)));

    fs::remove_file(world.run().join("result.json")).unwrap();
    let reused = record(Some(stranger.id()), Some(999_999_998), false);
    let Settled::Ended(result) = settled(&reused) else { panic!("it has ended") };
    assert_eq!(result.error.as_deref(), Some("Detached runner disappeared before writing a result"));
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Two hundred megabytes go through the runner, and it does not grow with them.
#[tokio::test]
async fn output_without_bounds_takes_bounded_memory() {
    let world = World::new(
        "line=$(head -c 60000 /dev/zero | tr '\\0' x); yes \"$line\" | head -c 209715200; echo; grep VmHWM /proc/$PPID/status",
    );
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    let spool = fs::read(world.run().join("spool.jsonl")).unwrap();
    assert!(spool.len() > 209_715_200, "{}", spool.len());
    let last_line = spool[..spool.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    let last = SpoolReader::open(&world.run(), last_line as u64).read_new(4096).unwrap();
    let kib = last[0].line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    assert!(kib.is_some_and(|kib| kib < 48 * 1024), "{last:?}");
}

/// The server's record of a run has one writer.
#[tokio::test]
async fn runtime_weakness_15_the_runner_leaves_the_servers_record_alone() {
    let world = World::new("echo done");
    let record = world.run().join("status.json");
    fs::write(&record, "the server's").unwrap();
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    assert_eq!(fs::read_to_string(record).unwrap(), "the server's");
}

/// A run whose call is missing or damaged ends with the reason, and starts nothing.
#[tokio::test]
async fn a_call_that_cannot_be_read_is_told() {
    for (call, expected) in [
        (None, "nothing was told what to start".to_owned()),
        (Some("{\"program\":"), "cannot parse".to_owned()),
    ] {
        let world = World::without_tool();
        if let Some(call) = call {
            fs::write(world.run().join("launch.json"), call).unwrap();
        }
        let result = world.carry_out().await;
        assert!(result.error.as_ref().is_some_and(|error| error.starts_with(&expected)), "{result:?}");
        assert_eq!((result.exit_code, result.cancelled), (Some(1), false));
    }
}

#[tokio::test]
async fn a_signal_is_told_by_name() {
    let world = World::new("kill -SEGV $$");
    assert_eq!(ended(&world.carry_out().await), (None, Some("SIGSEGV"), false, None));
}

/// The executor is gone; what it left must not keep the run open.
#[tokio::test]
async fn a_grandchild_that_holds_the_output_does_not_hold_the_run() {
    let world = World::new("sleep 600 & echo $! > grandchild; echo done");
    let began = Instant::now();
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(world.lines(), [out("done")]);
    let grandchild = world.number_in("grandchild").await;
    assert!(runs(grandchild), "a run that ends well leaves its background work alone");
    kill(grandchild);
}

#[tokio::test]
async fn runtime_weakness_04_a_deaf_executor_is_killed_with_its_children() {
    let world =
        World::new("trap '' TERM; sleep 600 & echo $! > child; echo $$ > own; while :; do sleep 1; done");
    let mut child = world.spawn().await;
    let pids = [world.number_in("own").await, world.number_in("child").await];
    runner::request_cancel(&world.run()).unwrap();
    child.wait().await.unwrap();
    let result = runner::result(&world.run()).unwrap().unwrap();
    assert_eq!(ended(&result), (None, Some("SIGKILL"), true, None));
    assert_eq!(pids.map(runs), [false, false]);
}

/// The signal that a service manager sends means the same as the request.
#[tokio::test]
async fn a_terminated_runner_stops_its_executor() {
    let world = World::new("echo ready; exec sleep 600");
    let mut child = world.spawn().await;
    world.started().await;
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    child.wait().await.unwrap();
    let result = runner::result(&world.run()).unwrap().unwrap();
    assert_eq!(ended(&result), (None, Some("SIGTERM"), true, None));
}

#[tokio::test]
async fn a_run_that_is_cancelled_early_never_starts() {
    let world = World::new("touch ran");
    runner::request_cancel(&world.run()).unwrap();
    assert_eq!(ended(&world.carry_out().await), (None, None, true, None));
    assert!(!world.file("ran").exists());
}

#[tokio::test]
async fn a_run_is_carried_out_once() {
    let world = World::new("echo x >> ran; while [ ! -e go ]; do sleep 0.05; done");
    assert_eq!(runner::settle(&world.run(), false).unwrap(), Settled::NotStarted);
    let mut first = world.spawn().await;
    world.started().await;
    assert_eq!(runner::settle(&world.run(), false).unwrap(), Settled::Alive);
    let mut second = world.spawn().await;
    assert!(second.wait().await.unwrap().success());
    assert!(runner::is_alive(&world.run()).unwrap());
    fs::write(world.file("go"), "").unwrap();
    first.wait().await.unwrap();
    let result = runner::result(&world.run()).unwrap();
    world.carry_out().await;
    assert_eq!(runner::result(&world.run()).unwrap(), result);
    assert_eq!(fs::read_to_string(world.file("ran")).unwrap(), "x\n");
}

/// A runner that is about to begin must not find its lock taken by somebody who only asks.
#[test]
fn whoever_asks_for_a_run_leaves_it_alone() {
    let world = World::new("echo x");
    let files = || fs::read_dir(world.run()).unwrap().count();
    let before = files();
    assert_eq!(runner::settle(&world.run(), true).unwrap(), Settled::NotStarted);
    assert_eq!(files(), before);
}

#[tokio::test]
async fn a_run_that_is_given_up_is_never_started() {
    let world = World::new("touch ran");
    let result = runner::give_up(&world.run(), "remotelab is gone").unwrap();
    assert_eq!(ended(&result), (Some(1), None, false, Some("remotelab is gone")));
    assert_eq!(world.carry_out().await, result);
    assert!(!world.file("ran").exists());
}

/// Runs of the earlier server have no mark of having started, but output.
#[tokio::test]
async fn a_run_with_output_is_not_started_again() {
    let world = World::new("touch ran");
    fs::write(world.run().join("spool.jsonl"), "{}\n").unwrap();
    let reason = "Detached runner disappeared before writing a result";
    assert_eq!(ended(&world.carry_out().await), (Some(1), None, false, Some(reason)));
    assert!(!world.file("ran").exists());
}

#[tokio::test]
async fn runtime_weakness_09_a_killed_runner_is_found_out_and_its_executor_ended() {
    for (cancelled, second_runner) in [(false, false), (true, false), (false, true)] {
        let world = World::new("echo x >> ran; echo $$ > own; exec sleep 600");
        let mut child = world.spawn().await;
        world.started().await;
        let tool = world.number_in("own").await;
        child.kill().await.unwrap();
        assert!(!runner::is_alive(&world.run()).unwrap());
        assert!(runs(tool));

        let result = if second_runner {
            world.carry_out().await
        } else {
            let Settled::Ended(result) = runner::settle(&world.run(), cancelled).unwrap() else {
                panic!("the runner is dead");
            };
            result
        };
        let reason = "Detached runner disappeared before writing a result";
        assert_eq!(ended(&result), (Some(1), None, cancelled, Some(reason)));
        eventually("the executor ends", || (!runs(tool)).then_some(())).await;
        assert_eq!(fs::read_to_string(world.file("ran")).unwrap(), "x\n");
        assert_eq!(runner::settle(&world.run(), !cancelled).unwrap(), Settled::Ended(result));
    }
}

#[tokio::test]
async fn runtime_weakness_13_the_context_of_codex_is_told_at_the_end() {
    let world = World::new(r#"echo '{"type":"thread.started","thread_id":"0199-a"}'"#);
    let sessions = world.file("codex/sessions/2026/11/22");
    fs::create_dir_all(&sessions).unwrap();
    let count = r#"{"type":"event_msg","payload":{"type":"token_count","info":{"last_token_usage":{"input_tokens":7},"total_token_usage":{"input_tokens":9,"output_tokens":3},"model_context_window":60}}}"#;
    fs::write(sessions.join("rollout-0199-a.jsonl"), count).unwrap();
    world.launch(&Launch {
        program: world.file("tool"),
        codex_home: Some(world.file("codex")),
        ..world.call()
    });
    world.carry_out().await;
    assert_eq!(
        world.lines()[1],
        out(
            r#"{"type":"remotelab.context_metrics","contextTokens":7,"inputTokens":9,"outputTokens":3,"contextWindowTokens":60,"contextSource":"provider_last_token_count"}"#
        )
    );
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_run_that_takes_more_than_it_may_is_ended_and_told_so() {
    let world = World::without_tool();
    // One child leaves the session and the group.
    write_script(
        &world.file("tool"),
        "setsid sleep 300 & echo $! > child; for i in 1 2 3; do sleep 300 & done; wait",
    );
    let limits = Limits { tasks: Some(3), ..Limits::default() };
    world.launch(&Launch { program: world.file("tool"), limits, ..world.call() });
    let result = world.carry_out().await;
    let reason = "The work was ended because it started more processes than it may (3)";
    assert_eq!((result.error.as_deref(), result.cancelled), (Some(reason), false));
    let child = world.number_in("child").await;
    eventually("the child is gone", || (!runs_at_all(child)).then_some(())).await;
}

fn runs_at_all(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/stat")).exists() && runs(pid)
}

/// The whole way of a contained run: what the server wrote down is what the runner does.
#[tokio::test]
async fn a_contained_run_works_in_its_folder_and_in_no_other() {
    let world = World::without_tool();
    write_script(
        &world.file("tool"),
        "echo hello > made; cat made; cat ../secret 2>/dev/null || echo closed",
    );
    let ground = world.file("ground");
    fs::create_dir(&ground).unwrap();
    fs::write(world.file("secret"), "secret").unwrap();
    let policy = Policy {
        walls: Walls { namespaces: false, ..Walls::here() },
        level: Level::On,
        write: vec![ground.clone()],
        read: vec![world.file("tool")],
        ..Policy::default()
    };
    let call = Launch { program: world.file("tool"), folder: ground, ..world.call() };
    world.launch(&Launch { contain: Some(policy.clone()), ..call.clone() });
    assert_eq!(ended(&world.carry_out().await), (Some(0), None, false, None));
    assert_eq!(world.lines(), [out("hello"), out("closed")]);

    for (policy, folder, reason) in [
        (policy.clone(), world.file("run"), format!("The folder {} does not belong to this instance", world.file("run").display())),
        (
            Policy { walls: Walls::default(), level: Level::Require, ..policy },
            call.folder.clone(),
            "This instance keeps its work apart from others, and this machine cannot do that: nothing guards files, \
             modes of files, command lines, TCP ports, signals, sockets. The work was not begun. Ask whoever runs this machine"
                .to_owned(),
        ),
    ] {
        fs::remove_dir_all(world.run()).unwrap();
        fs::create_dir(world.run()).unwrap();
        world.launch(&Launch { contain: Some(policy), folder, ..call.clone() });
        assert_eq!(ended(&world.carry_out().await), (Some(1), None, false, Some(reason.as_str())));
    }
}
