//! Guests of a running `up` that are brought to another program.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::documents::compare;
use crate::home::Home;
use crate::verbs::{done, furnished, until};

#[test]
fn a_replaced_program_reaches_all_guests_and_runs_in_flight_survive() {
    let home = furnished();
    let program = home.path().join("bin/remotelab");
    fs::create_dir(home.path().join("bin")).unwrap();
    copy(&program);
    let up = home.up_of(&program);
    assert!(
        home.remotelab_of(&program, "guest-instance create-trial --count 3 --local-only")
            .output()
            .unwrap()
            .status
            .success()
    );
    let tools = fs::read(home.config().join("tools.json")).unwrap();
    let busy = home.path().join(".remotelab/instances/trial1/config");
    fs::write(busy.join("tools.json"), tools).unwrap();
    // The run waits for a file that it would not see otherwise.
    ask(&home, &program, "guest-instance limits trial1 --contain off --json");
    let before = home.out("guest-instance list");
    let run = begin_run(&home);
    // What an installer does: another file of the same name.
    let fresh = home.path().join("bin/fresh");
    copy(&fresh);
    fs::rename(&fresh, &program).unwrap();
    let planned = ask(&home, &program, "guest-instance converge --all --dry-run --json");
    let states: Vec<&Value> = planned.as_array().unwrap().iter().map(|report| &report["status"]).collect();
    assert_eq!(states, ["planned", "planned", "planned"]);
    let said = home.remotelab_of(&program, "guest-instance converge --all").output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.ends_with("\nupdated+restarted     3  trial1, trial2, trial3\n"), "{text}");
    let told = String::from_utf8(said.stderr).unwrap();
    assert_eq!(told, "owner, gateway, mail: another program runs still, until `remotelab restart`\n");
    for name in ["trial1", "trial2", "trial3"] {
        let process = ask(&home, &program, &format!("guest-instance show {name} --json"))["process"].take();
        assert_eq!(process["program"], program.to_str().unwrap());
    }
    assert_eq!(home.out("guest-instance list"), before);
    let again = ask(&home, &program, "guest-instance converge trial1 --json");
    assert_eq!(again[0]["status"], "already-current");
    assert!(!home.config().join("run/converge").exists());
    fs::write(home.path().join("go"), "").unwrap();
    until("the run ends", || {
        let run = done(&home, &["api", "GET", &format!("/api/runs/{run}"), "--instance", "trial1"]).json();
        run["run"]["state"] == "completed"
    });
    drop(up);
}

#[test]
fn converging_is_as_recorded() {
    let home = Home::new();
    let mut record = String::new();
    for line in ["guest-instance converge --all", "guest-instance converge --all --json"] {
        record.push_str(&format!("$ remotelab {line}\n{}\n", home.out(line)));
    }
    home.out("guest-instance create-trial --count 2 --local-only");
    for line in [
        "guest-instance converge",
        "guest-instance converge --all trial1",
        "guest-instance converge nobody",
        "guest-instance converge x*",
        "guest-instance converge --all",
    ] {
        let output = home.run(line);
        let (code, said) = (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr));
        let text =
            String::from_utf8_lossy(&output.stdout).replace(env!("CARGO_BIN_EXE_remotelab"), "PROGRAM");
        let text: String = text
            .lines()
            .map(|line| match line.split_once(": ") {
                Some((key @ ("port" | "local"), _)) => format!("{key}: …\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        record.push_str(&format!("$ remotelab {line}\n{text}{said}exit code {code}\n\n"));
    }
    compare("converge.txt", &record);
}

fn copy(to: &Path) {
    // A link would be the same file.
    fs::copy(env!("CARGO_BIN_EXE_remotelab"), to).unwrap();
}

fn ask(home: &Home, program: &Path, line: &str) -> Value {
    let output = home.remotelab_of(program, line).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Begins a run in the guest that goes on until there is a file `go`.
fn begin_run(home: &Home) -> String {
    let post = |path: &str, body: &Value| {
        done(home, &["api", "POST", path, "--instance", "trial1", "--body", &body.to_string()]).json()
    };
    let session = post("/api/sessions", &json!({"folder": home.path(), "tool": "worker"}));
    let id = session["session"]["id"].as_str().unwrap();
    let at = home.path().display();
    let wait = format!("call touch {at}/begun; while [ ! -e {at}/go ]; do sleep 0.02; done");
    let sent = post(&format!("/api/sessions/{id}/messages"), &json!({"text": wait}));
    until("the run begins", || home.path().join("begun").exists());
    sent["run"]["id"].as_str().unwrap().to_owned()
}
