//! Looking into the gateway.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::home::Home;

#[test]
fn without_a_gateway_only_the_files_are_there_to_explain() {
    let home = Home::new();
    assert_eq!(home.failure("gateway routes"), "error: no gateway runs here\ntry: remotelab up\n");
    home.write(".config/remotelab/guest-instances.json", r#"[{"name":"trial1","port":9}]"#);
    let output = home.run("gateway explain https://lab.example/trial1/x?token=a");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "no gateway runs: explained by the files\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "goes to trial1 by prefix as /x?token=a at 127.0.0.1:9\nlistener: default\nheader: host: lab.example\n"
    );
    let told: Value =
        serde_json::from_slice(&home.run("gateway explain /nobody/ --json").stdout).expect("JSON");
    assert_eq!(
        told,
        json!({ "decision": "refuse", "status": 404, "code": "not_found", "listener": "default" })
    );
}

#[test]
fn a_running_gateway_tells_of_itself_and_ends_when_asked() {
    let home = Home::new();
    let mut gateway = Running::start(&home);
    let routes = home.out("gateway routes");
    assert!(routes.starts_with("/owner "), "{routes}");
    // Without a handler the signal would end it.
    let hangup = Command::new("kill").args(["-HUP", &gateway.0.id().to_string()]).status();
    assert!(hangup.expect("kill runs").success());
    let told: Value = serde_json::from_str(&home.out("gateway reload --json")).expect("JSON");
    assert_eq!(told, json!({ "generation": 1 }));
    assert_eq!(home.out("gateway reload"), "generation 1 is in force\n");
    assert_eq!(home.out("gateway health"), "ok, generation 1, 1 routes, 0 records need a look, 0 defects\n");
    assert_eq!(home.out("gateway explain /owner"), "is led on to /owner/ (308)\nlistener: default\n");
    assert!(home.out("gateway metrics").contains("gateway_routes 1\n"));
    assert_eq!(home.failure("gateway trace nobody"), "error: the gateway answers 404: no_such_tenant\n");
    assert_eq!(home.out("gateway trace owner --seconds 1"), "");
    assert_eq!(home.out("gateway drain"), "it finishes what is in work and ends\n");
    assert!(gateway.0.wait().expect("it ends").success());
}

struct Running(Child);

impl Running {
    fn start(home: &Home) -> Self {
        let mut child = home
            .remotelab("gateway")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("the pipe was asked for");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
