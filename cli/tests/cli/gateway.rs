//! Looking into the gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::home::{Home, PATIENCE};

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

/// Random bytes, half of them behind the beginning of a request; then as many files are open as before.
#[cfg(target_os = "linux")]
#[test]
fn bytes_that_mean_harm_end_no_gateway_and_leave_nothing_open() {
    let home = Home::new();
    let mut gateway = Running::start(&home);
    let open = |gateway: &Running| {
        std::fs::read_dir(format!("/proc/{}/fd", gateway.0.id())).expect("it runs").count()
    };
    // What is opened once stays open: the log of requests is opened with the first of them.
    let mut first = TcpStream::connect(("127.0.0.1", home.gateway_port())).expect("it accepts");
    first.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").expect("it reads");
    first.read_to_end(&mut Vec::new()).expect("it answers");
    drop(first);
    let log = home.config().join("logs/access.jsonl");
    let deadline = Instant::now() + PATIENCE;
    while !log.exists() {
        assert!(Instant::now() < deadline, "nothing is logged");
        std::thread::yield_now();
    }
    home.out("gateway health");
    let before = open(&gateway);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; 32 * 1024];
    for round in 0..1000 {
        for byte in &mut bytes {
            // A generator of random numbers that is short (xorshift).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[4];
        }
        let head: &[u8] = if round % 2 == 0 { b"POST /owner/ HTTP/1.1\r\nhost: h\r\n" } else { b"" };
        let mut stream = TcpStream::connect(("127.0.0.1", home.gateway_port())).expect("it accepts");
        // It hangs up in the middle.
        let _ = stream.write_all(head).and_then(|()| stream.write_all(&bytes));
    }
    let deadline = Instant::now() + PATIENCE;
    while open(&gateway) > before {
        assert!(Instant::now() < deadline, "{} files are open, {before} were before", open(&gateway));
        std::thread::yield_now();
    }
    assert!(home.out("gateway health").contains(" 0 defects"));
    assert!(gateway.0.try_wait().expect("it can be asked").is_none());
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
