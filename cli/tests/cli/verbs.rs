//! The commands that executors and scripts call while they work, against a running instance.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::Home;

/// Speaks like Claude. A message `call <command>` makes it run that command and note what it said.
const TOOL: &str = r#"#!/bin/sh
for last; do :; done
# Behind a task stands who handed it over.
line=$(printf '%s\n' "$last" | tail -n 3 | grep '^call ' | tail -n 1)
case "$last" in
  *GO-WRONG*) exit 3 ;;
  *TAKE-LONG*) sleep 60 ;;
esac
case "$line" in
  "call "*)
    eval "${line#call }" > "$HOME/said" 2>&1
    echo "exit $?" >> "$HOME/said" ;;
esac
echo '{"type":"assistant","message":{"content":[{"type":"text","text":"done <private>secret</private>"}]}}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done"}'
"#;

/// Asks until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
    }
}

/// What a command answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn furnished() -> Home {
    let home = Home::new();
    home.write("tool", TOOL);
    fs::set_permissions(home.path().join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let tool = json!([{
        "id": "worker", "name": "Worker", "command": home.path().join("tool"), "runtimeFamily": "claude-stream-json",
    }]);
    home.write(".config/remotelab/tools.json", &tool.to_string());
    home
}

pub(crate) fn say(home: &Home, words: &[&str]) -> Said {
    let output = home.remotelab("").args(words).output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn done(home: &Home, words: &[&str]) -> Said {
    let said = say(home, words);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}: {said:?}");
    said
}

pub(crate) fn session(home: &Home) -> String {
    let body = json!({"folder": "~", "tool": "worker"}).to_string();
    let answer = done(home, &["api", "POST", "/api/sessions", "--body", &body]).json();
    answer["session"]["id"].as_str().unwrap().to_owned()
}

pub(crate) fn post(home: &Home, session: &str, text: &str, flags: &[&str]) -> Said {
    let path = format!("/api/sessions/{session}/messages");
    let body = json!({ "text": text }).to_string();
    say(home, &[&["api", "post", path.as_str(), "--body", body.as_str()], flags].concat())
}

#[test]
fn a_run_calls_the_verbs_with_what_it_was_given() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    fs::write(home.path().join("chart.png"), "png").unwrap();
    for (command, expected) in [
        ("remotelab session-spawn --task hi --internal --final-only", "done\n"),
        (
            "remotelab trigger create --in 2h --text \"- later\" | sed -n 2,3p",
            "status: pending\nsessionId: SESSION\n",
        ),
        ("remotelab triggers list | tail -n 1", "text: - later\n"),
        (
            "remotelab assistant-message --text \"Chart ready\" --file chart.png",
            "sessionId: SESSION\neventSeq: SEQ\ntext: Chart ready\nattachments: chart.png\n",
        ),
        ("remotelab assistant-message --text -", "error: --text - reads standard input, which is empty\n"),
    ] {
        let answer = post(&home, &session, &format!("call {command}"), &["--wait-run"]);
        assert_eq!((answer.code, &answer.json()["reply"]), (Some(0), &json!("done")), "{answer:?}");
        let said = fs::read_to_string(home.path().join("said")).unwrap();
        let exit = if expected.starts_with("error") { "exit 2\n" } else { "exit 0\n" };
        let seq = said.lines().find_map(|line| line.strip_prefix("eventSeq: ")).unwrap_or_default();
        let expected = expected.replace("SESSION", &session).replace("SEQ", seq) + exit;
        assert_eq!(said, expected);
    }
    // None of these calls made a login.
    assert!(!home.config().join("auth-sessions.json").exists());
}

#[test]
fn a_run_acts_in_its_own_session_and_as_nobody_else() {
    let home = furnished();
    let _up = home.up();
    let (own, other) = (session(&home), session(&home));
    let refused = "The token of this run has the scope \"session\" and may not do that";
    for (command, expected) in [
        ("remotelab api GET /api/sessions".to_owned(), format!("error: {refused}\nexit 4\n")),
        (
            format!("remotelab assistant-message --session {other} --text x"),
            format!("error: {refused}\nexit 4\n"),
        ),
        (
            format!("remotelab trigger create --in 1h --text x --session {other}"),
            format!("error: {refused}\nexit 4\n"),
        ),
        ("remotelab triggers list --all".to_owned(), "\nexit 0\n".to_owned()),
        ("echo \"$REMOTELAB_RUN_TOKEN\" >$HOME/old".to_owned(), "exit 0\n".to_owned()),
    ] {
        let answer = post(&home, &own, &format!("call {command}"), &["--wait-run"]);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let said = fs::read_to_string(home.path().join("said")).unwrap();
        assert_eq!(said, expected, "{command}");
    }
    // What is left of the run when it is over opens nothing.
    let old = home.path().join("old").display().to_string();
    let over = say(&home, &["api", "GET", "/api/tools", "--token-file", &old]);
    assert_eq!((over.code, over.err.as_str()), (Some(4), "error: The run of this token is over\n"));
}

#[test]
fn a_token_goes_to_its_own_instance_alone() {
    let home = furnished();
    let up = home.up();
    session(&home);
    // Somebody else answers, and notes what it is sent.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", stranger.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = stranger.accept().unwrap();
        let mut request = vec![0; 4096];
        let length = std::io::Read::read(&mut stream, &mut request).unwrap();
        let body = r#"{"instanceId":"another"}"#;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        drop(stream);
        stranger.set_nonblocking(true).unwrap();
        (String::from_utf8_lossy(&request[..length]).into_owned(), stranger)
    });
    let said = say(&home, &["api", "GET", "/api/sessions", "--base-url", &address]);
    let expected =
        "error: another instance than that of the token answers at the address; nothing was sent to it\n";
    assert_eq!((said.code, said.err.as_str()), (Some(4), expected));
    let (request, stranger) = heard.join().unwrap();
    assert!(
        request.starts_with("GET /api/build-info ") && !request.to_lowercase().contains("authorization"),
        "{request}"
    );
    assert!(stranger.accept().is_err(), "one question and nothing more");

    let clear = say(&home, &["api", "GET", "/api/sessions", "--base-url", "http://192.0.2.7:1"]);
    assert_eq!(clear.code, Some(2));
    assert!(
        clear.err.contains("in clear over the network\ntry: an https address, or --insecure\n"),
        "{clear:?}"
    );

    let made = done(&home, &["token", "create", "--name", "bot", "--json"]).json();
    home.write("bot-token", made["token"]["token"].as_str().unwrap());
    let file = home.path().join("bot-token").display().to_string();
    assert_eq!(say(&home, &["api", "GET", "/api/tools", "--token-file", &file]).code, Some(0));
    assert_eq!(say(&home, &["api", "GET", "/api/tokens", "--token-file", &file]).code, Some(4));
    home.end(up);
}

#[test]
fn waiting_ends_as_the_run_does() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let spawn = |task: &str, flags: &[&str]| {
        let words = ["spawn-session", "--source-session", &session, "--task", task];
        say(&home, &[&words, flags].concat())
    };
    let completed = spawn("hi", &["--wait", "--json", "--name", "Child"]);
    let told = completed.json();
    assert_eq!(
        (completed.code, told.clone()),
        (
            Some(0),
            json!({
                "sourceSessionId": session, "task": "hi", "sessionId": told["sessionId"], "sessionName": "Child",
                "runId": told["runId"], "sessionUrl": format!("/?session={}&tab=sessions", told["sessionId"].as_str().unwrap()),
                "state": "completed", "reply": "done", "settledRunId": told["runId"],
            })
        )
    );
    let failed = spawn("GO-WRONG", &["--final-only", "--json"]);
    let told = failed.json();
    assert_eq!((failed.code, &told["state"]), (Some(6), &json!("failed")));
    assert!(told["sessionId"].is_string() && told["runId"].is_string(), "{told}");
    assert!(failed.err.contains("Child session run finished in state failed."), "{failed:?}");
    let failed = spawn("GO-WRONG", &["--final-only"]);
    assert!(failed.out.starts_with("sessionId: ") && failed.out.contains("\nrunId: run_"), "{failed:?}");

    let long = spawn("TAKE-LONG", &["--wait", "--json", "--timeout", "300ms"]);
    let told = long.json();
    assert_eq!((long.code, &told["timedOut"], &told["state"]), (Some(5), &json!(true), &json!("running")));
    let run = told["runId"].as_str().unwrap();
    done(&home, &["api", "POST", &format!("/api/runs/{run}/cancel")]);

    let text = spawn("hi", &[]);
    let keys: Vec<&str> = text.out.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!((text.code, keys), (Some(0), vec!["sessionId", "runId", "sessionUrl"]));
}

#[test]
fn one_key_starts_one_session() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    home.write("task", &"long ".repeat(10_000));
    let file = home.path().join("task").display().to_string();
    let words = ["session-spawn", "--source-session", &session, "--task-file", &file, "--request-id", "k"];
    let spawn = |flags: &[&str]| done(&home, &[&words[..], flags, &["--json"]].concat()).json();
    let (first, again) = (spawn(&[]), spawn(&["--wait=run"]));
    assert_eq!(
        json!([again["sessionId"], again["runId"], again["state"]]),
        json!([first["sessionId"], first["runId"], "completed"])
    );
    let child = first["sessionId"].as_str().unwrap();
    let events = done(&home, &["api", "GET", &format!("/api/sessions/{child}/events?filter=all")]).json();
    let asked = events["events"][0]["content"].as_str().unwrap();
    assert!(asked.starts_with(&"long ".repeat(9_999)), "{}", asked.len());
}

#[test]
fn a_message_that_is_queued_is_waited_for() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    fs::write(home.path().join("gate"), "").unwrap();
    let first = post(&home, &session, "call while [ -e gate ]; do sleep 0.05; done", &[]);
    assert_eq!(first.json()["queued"], false);
    let body = json!({"text": "and this", "requestId": "q"}).to_string();
    let path = format!("/api/sessions/{session}/messages");
    let waiting = home
        .remotelab("")
        .args(["api", "POST", &path, "--body", &body, "--wait-run"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let path = format!("/api/sessions/{session}");
    until("the message waits", || done(&home, &["api", "GET", &path]).out.contains("\"and this\""));
    fs::remove_file(home.path().join("gate")).unwrap();
    let output = waiting.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &answer["queued"], &answer["awaitedRun"]["state"], &answer["reply"]),
        (Some(0), &json!(true), &json!("completed"), &json!("done"))
    );
}

#[test]
fn triggers_are_made_listed_and_cancelled() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let made = done(
        &home,
        &[
            "trigger",
            "create",
            "--session",
            &session,
            "--in=1h30m",
            "--text",
            "--- a",
            "--title",
            "T",
            "--json",
        ],
    );
    let trigger = made.json()["trigger"].clone();
    let id = trigger["id"].as_str().unwrap();
    assert_eq!(
        [&trigger["status"], &trigger["text"], &trigger["title"], &trigger["sessionId"]],
        [&json!("pending"), &json!("--- a"), &json!("T"), &json!(session)]
    );
    let block = format!(
        "id: {id}\nstatus: pending\nsessionId: {session}\nscheduledAt: {}\ntitle: T\ntext: --- a\n",
        trigger["scheduledAt"].as_str().unwrap()
    );
    assert_eq!(done(&home, &["trigger", "get", id]).out, block);
    assert_eq!(done(&home, &["triggers", "list", "--session", ""]).out, block);
    assert_eq!(done(&home, &["trigger", "list", "--status", "failed"]).out, "\n");
    assert_eq!(done(&home, &["trigger", "cancel", id]).out, block.replace("pending", "cancelled"));
    assert_eq!(done(&home, &["trigger", "delete", id, "--json"]).json()["trigger"]["status"], "cancelled");
    let gone = say(&home, &["trigger", "get", id, "--json"]);
    let error = json!({"error": {
        "code": "Refused", "message": "Trigger not found", "status": 404, "hint": null, "retryable": false,
    }});
    assert_eq!((gone.code, gone.out.as_str(), gone.err), (Some(1), "", format!("{error}\n")));
    let past =
        ["trigger", "create", "--session", &session, "--at", "2020-01-01T00:00", "--tz", "Europe/Berlin"];
    let past = [&past, &["--allow-past", "--text", "x"][..]].concat();
    assert!(done(&home, &past).out.contains("\nscheduledAt: 2019-12-31T23:00:00.000Z\n"));
    let unknown = say(
        &home,
        &["trigger", "create", "--session", &session, "--in", "1s", "--text", "x", "--tool", "nosuch"],
    );
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.starts_with("error: Unknown tool \"nosuch\". Known tools: "), "{unknown:?}");
}

#[test]
fn bodies_come_from_files_and_standard_input() {
    let home = furnished();
    let _up = home.up();
    let body = json!({"folder": "~", "tool": "worker"}).to_string();
    home.write("body.json", &body);
    let file = home.path().join("body.json").display().to_string();
    assert!(
        done(&home, &["api", "POST", "/api/sessions", "--body-file", &file]).json()["session"].is_object()
    );
    let mut child = home
        .remotelab("api POST /api/sessions --body -")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let list = done(&home, &["api", "GET", "/api/sessions"]).json();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(done(&home, &["api", "GET", "/favicon.ico"]).code, Some(0));
}

#[test]
fn who_cannot_be_asked_is_named() {
    let home = Home::new();
    let said = say(&home, &["api", "GET", "/api/sessions"]);
    let file = home.config().join("auth.json").display().to_string();
    let expected = format!("error: {file} does not exist\ntry: remotelab generate-token\n");
    assert_eq!((said.code, said.err), (Some(4), expected));
    assert!(!home.config().exists(), "asking changes nothing");

    home.out("generate-token");
    let refused = say(&home, &["api", "GET", "/api/sessions"]);
    let expected = format!(
        "error: cannot reach RemoteLab at http://127.0.0.1:{}: Connection refused (os error 111)\ntry: remotelab up\n",
        home.owner_port()
    );
    assert_eq!((refused.code, refused.err), (Some(3), expected));

    let token = "0123456789abcdef".repeat(4);
    let odd = say(&home, &["api", "GET", "/", "--base-url", &format!("nonsense/?token={token}")]);
    assert_eq!(odd.code, Some(3));
    assert!(!odd.err.contains(&token), "{odd:?}");
}

#[test]
fn a_server_that_never_answers_does_not_hold_a_verb() {
    let home = Home::new();
    home.out("generate-token");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let output = home
        .remotelab("")
        .args(["session-spawn", "--source-session", "s", "--task", "x", "--base-url", &address])
        .env("REMOTELAB_HTTP_TIMEOUT", "200ms")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains(&address) && said.contains("timed out"), "{said}");
}

#[test]
fn a_wait_that_ended_is_taken_up_again() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let started = post(&home, &session, "hi", &[]).json();
    let run = started["run"]["id"].as_str().unwrap();
    let told = done(&home, &["run", "wait", run, "--json"]).json();
    let url = format!("/?session={session}&tab=sessions");
    assert_eq!(
        told,
        json!({"runId": run, "sessionId": session, "sessionUrl": url, "state": "completed", "reply": "done",
            "settledRunId": run})
    );
    assert_eq!(done(&home, &["run", "wait", run]).out, "done\n");
    let long = post(&home, &session, "TAKE-LONG", &[]).json();
    let run = long["run"]["id"].as_str().unwrap();
    let late = say(&home, &["run", "wait", run, "--timeout", "200ms", "--cancel-on-timeout", "--json"]);
    assert_eq!((late.code, &late.json()["timedOut"]), (Some(5), &json!(true)));
    assert_eq!(say(&home, &["run", "wait", run]).code, Some(7));
    let unknown = say(&home, &["run", "wait", "run_000000000000000000000000"]);
    assert_eq!((unknown.code, unknown.err.as_str()), (Some(1), "error: Run not found\n"));
}

#[test]
fn the_owner_token_is_never_printed() {
    let home = furnished();
    let _up = home.up();
    let file = fs::read_to_string(home.config().join("auth.json")).unwrap();
    let token = serde_json::from_str::<Value>(&file).unwrap()["token"].as_str().unwrap().to_owned();
    let session = session(&home);
    let sum = "0123456789abcdef".repeat(4);
    let text = format!("{token} {sum}");
    let shown = done(&home, &["assistant-message", "--session", &session, "--text", &text]);
    assert!(shown.out.contains(&format!("text: [redacted] {sum}\n")), "{shown:?}");
}

#[test]
fn a_run_finds_this_program_in_every_way() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let root = home.config().join("program").join(env!("CARGO_PKG_VERSION"));
    let mut commands = vec![
        ("command -v remotelab", format!("{}\n", root.join("bin/remotelab").display())),
        ("\"$REMOTELAB_BIN\" --version", format!("{}\n", env!("CARGO_PKG_VERSION"))),
        ("echo $REMOTELAB_CHAT_BASE_URL", format!("http://127.0.0.1:{}\n", home.owner_port())),
        ("remotelab help run | sed -n 2p", format!("This session: {session}\n")),
    ];
    if std::process::Command::new("/usr/bin/node").arg("--version").output().is_ok() {
        let version = format!("{}\n", env!("CARGO_PKG_VERSION"));
        commands.push(("node \"$REMOTELAB_PROJECT_ROOT/cli.js\" --version", version));
    }
    for (command, expected) in commands {
        let answer = post(&home, &session, &format!("call {command}"), &["--wait-run"]);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let said = fs::read_to_string(home.path().join("said")).unwrap();
        assert_eq!(said, format!("{expected}exit 0\n"), "{command}");
    }
}
