//! More of the commands that executors and scripts call: what they take and print besides, and what they hold out.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::verbs::{done, furnished, post, say, session, until};

#[test]
fn an_answer_is_taken_apart_or_as_it_comes() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    fs::write(home.path().join("chart.png"), b"\x89PNG\r\n\x1a\n\x00\xff").unwrap();
    let file = home.path().join("chart.png").display().to_string();
    let shown = done(&home, &["assistant-message", "--session", &session, "--file", &file, "--json"]).json();
    let asset = shown["event"]["attachments"][0]["assetId"].as_str().unwrap();
    let path = format!("/api/assets/{asset}/download");
    let copy = home.path().join("copy.png").display().to_string();
    assert_eq!(done(&home, &["api", "GET", &path, "--output-file", &copy]).out, "");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&file).unwrap());
    let missing = say(&home, &["api", "GET", &format!("{path}x"), "--output-file", &copy]);
    assert_eq!((missing.code, missing.out.as_str()), (Some(1), ""));
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&file).unwrap());
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");

    let path = format!("/api/sessions/{session}");
    assert_eq!(done(&home, &["api", "GET", &path, "--field", "session.id"]).out, format!("{session}\n"));
    let events = format!("{path}/events");
    let seqs =
        ["api", "GET", &events, "--query", "filter=all", "--query", "limit=1", "--field", "events.0.seq"];
    assert_eq!(done(&home, &seqs).out, "1\n");
    let gone = say(&home, &["api", "GET", &path, "--field", "session.nothing"]);
    assert_eq!((gone.code, gone.err.as_str()), (Some(1), "error: the answer has no field session.nothing\n"));
    let raw = done(&home, &["api", "GET", &path, "--raw"]).out;
    assert!(raw.starts_with(r#"{"session":{"#) && !raw.ends_with('\n'), "{raw}");
    let included = done(&home, &["api", "GET", &path, "--include"]).out;
    let (head, body) = included.split_once("\n\n").unwrap();
    assert!(head.starts_with("HTTP 200 OK\n") && head.contains("\ncontent-type: application/json"), "{head}");
    assert_eq!(body, raw);
}

#[test]
fn several_tasks_start_as_many_sessions() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    fs::create_dir(home.path().join("other")).unwrap();
    let folder = home.path().join("other").display().to_string();
    let words = ["session-spawn", "--source-session", &session, "--task", "one", "--task", "two", "--wait"];
    let words = [&words[..], &["--model", "m", "--folder", &folder, "--request-id", "k", "--json"]].concat();
    let told = done(&home, &words).json();
    let states: Vec<&Value> = told.as_array().unwrap().iter().map(|child| &child["state"]).collect();
    assert_eq!(states, [&json!("completed"), &json!("completed")]);
    assert_ne!(told[0]["sessionId"], told[1]["sessionId"]);
    assert_eq!(done(&home, &words).json(), told);
    let run =
        done(&home, &["api", "GET", &format!("/api/runs/{}", told[1]["runId"].as_str().unwrap())]).json();
    assert_eq!(run["run"]["model"], "m");
    let child = format!("/api/sessions/{}", told[0]["sessionId"].as_str().unwrap());
    assert_eq!(done(&home, &["api", "GET", &child, "--field", "session.folder"]).out, format!("{folder}\n"));
    let texts =
        done(&home, &["session-spawn", "--source-session", &session, "--task=a", "--task=b", "--final-only"]);
    assert_eq!(texts.out, "done\n\ndone\n");
    let late = ["session-spawn", "--source-session", &session, "--task", "TAKE-LONG", "--wait", "--json"];
    let late = say(&home, &[&late[..], &["--timeout", "300ms", "--cancel-on-timeout"]].concat());
    assert_eq!((late.code, &late.json()["timedOut"]), (Some(5), &json!(true)));
    assert_eq!(say(&home, &["run", "wait", late.json()["runId"].as_str().unwrap()]).code, Some(7));
}

#[test]
fn a_trigger_is_changed_and_delivered_at_once() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let made = [
        "trigger",
        "create",
        "--session",
        &session,
        "--in",
        "2h",
        "--text",
        "x",
        "--json",
        "--request-id",
        "k",
    ];
    let made = (done(&home, &made).json(), done(&home, &made).json());
    assert_eq!(made.0, made.1);
    let id = made.0["trigger"]["id"].as_str().unwrap();
    let update =
        ["trigger", "update", id, "--text", "wake up", "--title", "T", "--at", "2999-01-01", "--json"];
    let changed = done(&home, &update).json();
    assert_eq!(
        ["text", "title", "scheduledAt", "status"].map(|key| &changed["trigger"][key]),
        [&json!("wake up"), &json!("T"), &json!("2999-01-01T00:00:00.000Z"), &json!("pending")]
    );
    let nothing = say(&home, &["trigger", "update", id]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(2), ""));
    done(&home, &["trigger", "run-now", id]);
    until("the trigger is delivered", || {
        done(&home, &["trigger", "get", id]).out.contains("status: delivered")
    });
    let asked =
        ["api", "GET", &format!("/api/sessions/{session}/events?filter=all"), "--field", "events.0.content"];
    assert_eq!(done(&home, &asked).out, "wake up\n");
}

#[test]
fn what_a_trigger_starts_is_waited_for() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let create = ["trigger", "create", "--session", &session, "--text", "wake up", "--in"];
    let told = done(&home, &[&create[..], &["1s", "--wait", "--json"]].concat()).json();
    let run = &told["runId"];
    assert!(run.as_str().is_some_and(|run| run.starts_with("run_")), "{told}");
    assert_eq!(
        [&told["trigger"]["status"], &told["state"], &told["reply"], &told["settledRunId"]],
        [&json!("delivered"), &json!("completed"), &json!("done"), run]
    );
    let shown = done(&home, &[&create[..], &["1s", "--wait"]].concat()).out;
    assert!(shown.contains("status: delivered\n") && shown.ends_with("\ndone\n"), "{shown}");
    // The time counts from when it is due; one that is cancelled is not waited for.
    let late = ["1s", "--wait=run", "--timeout", "3s", "--json", "--cancel-on-timeout"];
    let words = [&create[..6], &["TAKE-LONG", "--in"], &late[..]].concat();
    let words: Vec<&str> = words.into_iter().filter(|word| *word != "wake up").collect();
    let late = say(&home, &words);
    assert_eq!((late.code, &late.json()["timedOut"]), (Some(5), &json!(true)), "{late:?}");
    assert_eq!(say(&home, &["run", "wait", late.json()["runId"].as_str().unwrap()]).code, Some(7));
    let waiting = home
        .remotelab("")
        .args(create)
        .args(["2h", "--wait", "--request-id", "k"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = || {
        let listed = done(&home, &["trigger", "list", "--all", "--status", "pending", "--json"]).json();
        listed["triggers"][0]["id"].as_str().map(str::to_owned)
    };
    until("it is there", || id().is_some());
    done(&home, &["trigger", "cancel", &id().unwrap()]);
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(1), "error: The trigger is cancelled.\n"));
}

#[test]
fn who_is_interrupted_cancels_what_is_waited_for() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let run = post(&home, &session, "TAKE-LONG", &[]).json()["run"]["id"].as_str().unwrap().to_owned();
    let told = say(&home, &["run", "wait", &run, "--progress", "--timeout", "1s"]);
    assert!(told.err.starts_with(&format!("{run} is ")) && told.err.contains(", 0 s\n"), "{told:?}");
    let waiting = home
        .remotelab("run wait --cancel-on-interrupt")
        .arg(&run)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = waiting.id().to_string();
    until("it listens", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(caught, 16).unwrap() & 2 != 0
    });
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(say(&home, &["run", "wait", &run]).code, Some(7));
    let output = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!("error: Interrupted; run {run} is being cancelled\n");
    assert_eq!((output.status.code(), &*said), (Some(130), expected.as_str()));
}

#[test]
fn the_socket_of_the_environment_is_preferred_where_nobody_names_another_place() {
    let home = furnished();
    let _up = home.up();
    let path = home.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let port = home.owner_port();
    std::thread::spawn(move || {
        for inward in listener.incoming().map_while(Result::ok) {
            let outward = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from, mut to) = (inward.try_clone().unwrap(), outward.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (outward, inward);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let ask = |more: &[&str]| {
        let mut command = home.remotelab("api GET /api/auth/me");
        command.env("REMOTELAB_SOCKET", &path).env("REMOTELAB_CHAT_BASE_URL", "http://nowhere.invalid:1");
        command.args(more).output().unwrap().status.code()
    };
    assert_eq!(ask(&[]), Some(0));
    assert_eq!(ask(&["--base-url", "http://127.0.0.1:1"]), Some(3));
}

#[test]
fn a_message_is_sent_once_and_waited_for() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    home.write("table.csv", "a,b\n");
    let file = home.path().join("table.csv").display().to_string();
    let words =
        ["message", "send", "--session", &session, "--text", "look", "--file", &file, "--request-id", "k"];
    let told = done(&home, &[&words[..], &["--wait", "--json"]].concat()).json();
    let run = &told["runId"];
    assert_eq!(
        told,
        json!({"requestId": "k", "duplicate": false, "queued": false, "sessionId": session, "runId": run,
            "sessionUrl": format!("/?session={session}&tab=sessions"), "state": "completed", "reply": "done",
            "settledRunId": run})
    );
    let again = done(&home, &[&words[..], &["--json"]].concat()).json();
    assert_eq!((&again["duplicate"], &again["runId"]), (&json!(true), run));
    let text = done(&home, &words);
    assert!(
        text.out.starts_with(&format!("sessionId: {session}\nrequestId: k\nqueued: false\nrunId: run_")),
        "{text:?}"
    );
    let events = done(&home, &["api", "GET", &format!("/api/sessions/{session}/events?filter=all")]).json();
    let sent = &events["events"][0]["attachments"][0];
    assert_eq!((&sent["originalName"], &sent["mimeType"]), (&json!("table.csv"), &json!("text/csv")));
    let failed = say(&home, &["message", "send", "--session", &session, "--text", "GO-WRONG", "--wait"]);
    assert_eq!(failed.code, Some(6), "{failed:?}");
}

#[test]
fn files_are_checked_before_anything_is_said() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    for name in ["empty.txt", "secret.txt"] {
        home.write(name, "");
    }
    let path = |name: &str| home.path().join(name).display().to_string();
    let say_with = |files: &[&str], flags: &[&str]| {
        let files: Vec<String> = files.iter().map(|name| path(name)).collect();
        let mut words = vec!["assistant-message", "--session", &session, "--text", "see"];
        files.iter().for_each(|file| words.extend(["--file", file]));
        say(&home, &[&words[..], flags].concat())
    };
    // Root reads everything.
    fs::set_permissions(path("secret.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    let large = fs::File::create(path("large.bin")).unwrap();
    large.set_len(300 << 20).unwrap();
    let mut wrong = vec![
        (&["gone.txt"][..], "No such file or directory (os error 2)", &[][..]),
        (&["."], "this is not a file", &[]),
        (&["empty.txt", "large.bin"], "the files are too large to be sent along", &["--upload"]),
    ];
    if fs::read(path("secret.txt")).is_err() {
        wrong.push((&["secret.txt"], "Permission denied (os error 13)", &[]));
    }
    for (files, reason, flags) in wrong {
        let said = say_with(files, flags);
        let named = path(files.last().unwrap());
        assert_eq!(
            (said.code, said.out, said.err),
            (Some(2), String::new(), format!("error: {named}: {reason}\n"))
        );
    }
    let events = format!("/api/sessions/{session}/events?filter=all");
    assert_eq!(done(&home, &["api", "GET", &events, "--field", "events"]).out, "[]\n");

    home.write("out.txt", "result");
    for flags in [&[][..], &["--upload"]] {
        let named =
            [flags, &["--name", "Result.txt", "--mime", "text/x-log", "--as-file", "--json"]].concat();
        let said = say_with(&["out.txt", "empty.txt"], &named);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
        let files = said.json()["event"]["attachments"].as_array().unwrap().clone();
        let shown =
            |file: &Value| ["originalName", "mimeType", "sizeBytes", "renderAs"].map(|key| file[key].clone());
        // The server looks into a file of its own machine.
        let kind = if flags.is_empty() { "text/plain" } else { "text/x-log" };
        assert_eq!(shown(&files[0]), [json!("Result.txt"), json!(kind), json!(6), json!("file")]);
        assert_eq!(shown(&files[1])[..3], [json!("empty.txt"), json!("text/plain"), json!(0)]);
        assert_eq!(files[0]["assetId"].is_string(), flags.is_empty(), "{files:?}");
    }
}

#[test]
fn a_wait_outlives_the_server() {
    let home = furnished();
    let up = home.up();
    let session = session(&home);
    fs::write(home.path().join("gate"), "").unwrap();
    let command = "call while [ -e gate ]; do sleep 0.05; done";
    let waiting = home
        .remotelab("")
        .args(["session-spawn", "--source-session", &session, "--task", command, "--wait", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let list = || done(&home, &["api", "GET", "/api/sessions", "--field", "sessions"]).json();
    let is_running = |session: &Value| session["activity"]["run"]["state"] == "running";
    until("the task is begun", || list().as_array().unwrap().iter().any(is_running));
    home.end(up);
    let _up = home.up();
    fs::remove_file(home.path().join("gate")).unwrap();
    let output = waiting.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &told["state"], &told["reply"]),
        (Some(0), &json!("completed"), &json!("done"))
    );
}

#[test]
fn a_duplicate_that_was_delivered_with_others_is_waited_for() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    fs::write(home.path().join("gate"), "").unwrap();
    post(&home, &session, "call while [ -e gate ]; do sleep 0.05; done", &[]);
    let path = format!("/api/sessions/{session}/messages");
    let body = |id: &str| json!({"text": "and this", "requestId": id}).to_string();
    for id in ["q-1", "q-2"] {
        done(&home, &["api", "POST", &path, "--body", &body(id)]);
    }
    fs::remove_file(home.path().join("gate")).unwrap();
    let first = done(&home, &["api", "POST", &path, "--body", &body("q-1"), "--wait-run"]).json();
    let again = done(&home, &["api", "POST", &path, "--body", &body("q-2"), "--wait=run"]).json();
    assert_eq!(
        json!([again["duplicate"], again["awaitedRun"]["id"], again["reply"]]),
        json!([true, first["awaitedRun"]["id"], "done"])
    );
}

#[test]
fn a_source_and_a_run_can_be_named() {
    let home = furnished();
    let _up = home.up();
    let session = session(&home);
    let run =
        post(&home, &session, "hi", &["--wait-run"]).json()["awaitedRun"]["id"].as_str().unwrap().to_owned();
    let words = ["assistant-message", "--session", &session, "--text", "  more", "--source", "watch"];
    let said = done(&home, &[&words[..], &["--run-id", &run, "--request-id", "k", "--json"]].concat()).json();
    let again =
        done(&home, &[&words[..], &["--run-id", &run, "--request-id", "k", "--json"]].concat()).json();
    let event = &said["event"];
    assert_eq!(
        json!([event["content"], event["source"], event["runId"], again["event"]["seq"]]),
        json!(["  more", "watch", run, event["seq"]])
    );
    assert_eq!(done(&home, &["run", "wait", &run]).out, "more\n");
}

#[test]
fn shells_complete_what_there_is() {
    let home = furnished();
    for (shell, word) in
        [("bash", "_remotelab()"), ("zsh", "#compdef remotelab"), ("fish", "complete -c remotelab")]
    {
        let script = done(&home, &["completion", shell]).out;
        assert!(script.contains(word) && script.contains("session-spawn"), "{shell}");
    }
    assert_eq!(say(&home, &["completion", "tcsh"]).code, Some(2));
}

#[test]
fn the_version_is_there_as_data() {
    let home = furnished();
    let told = done(&home, &["version", "--json"]).json();
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(done(&home, &["version"]).out, format!("{}\n", env!("CARGO_PKG_VERSION")));
}
