//! A home folder of its own with free ports, and the binary run in it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use remotelab_config::lock::FileLock;
use tempfile::TempDir;

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Home {
    folder: TempDir,
    ports: [u16; 3],
}

impl Home {
    pub(crate) fn new() -> Self {
        let listeners = [0; 3].map(|_: u8| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let ports = listeners.map(|listener| listener.local_addr().expect("an address").port());
        Self { folder: tempfile::tempdir().expect("a temporary folder"), ports }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join(".config/remotelab")
    }

    pub(crate) fn owner_port(&self) -> u16 {
        self.ports[0]
    }

    pub(crate) fn gateway_port(&self) -> u16 {
        self.ports[1]
    }

    /// The binary with nothing of this machine's environment.
    pub(crate) fn remotelab(&self, line: &str) -> Command {
        self.remotelab_of(Path::new(env!("CARGO_BIN_EXE_remotelab")), line)
    }

    /// The same for a copy of the binary.
    pub(crate) fn remotelab_of(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        let first_guest_port = 30_000 + self.ports[0] % 2_000;
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/bin:/bin")
            .env("CHAT_PORT", self.ports[0].to_string())
            .env("NATAPP_PROXY_LISTEN_PORT", self.ports[1].to_string())
            .env("AGENT_MAILBOX_PORT", self.ports[2].to_string())
            .env("REMOTELAB_GUEST_FIRST_PORT", first_guest_port.to_string())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Output {
        self.remotelab(line).output().expect("the binary runs")
    }

    /// Standard output of a command that must succeed and say nothing else.
    pub(crate) fn out(&self, line: &str) -> String {
        let output = self.run(line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{line}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Standard error of a command that must fail and print no result.
    pub(crate) fn failure(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{line}");
        String::from_utf8(output.stderr).expect("text")
    }

    /// Starts `up` and returns when it has printed its greeting.
    pub(crate) fn up(&self) -> Up {
        self.up_of(Path::new(env!("CARGO_BIN_EXE_remotelab")))
    }

    /// The same for a copy of the binary.
    pub(crate) fn up_of(&self, program: &Path) -> Up {
        let mut child = self
            .remotelab_of(program, "up")
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("the pipe was asked for");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut greeting = String::new();
        while !greeting.ends_with("runs in progress go on.\n") {
            let line = lines.recv_timeout(PATIENCE).expect("the greeting");
            greeting.push_str(&line);
            greeting.push('\n');
        }
        Up { child, greeting }
    }

    /// Ends `up` and waits until its chat server, which notices by itself, has ended too.
    pub(crate) fn end(&self, up: Up) {
        drop(up);
        let deadline = Instant::now() + PATIENCE;
        while FileLock::is_held(&self.config().join("run/chat.lock")).expect("it can be asked") {
            assert!(Instant::now() < deadline, "the chat server does not end");
            thread::yield_now();
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

/// A running `up`, ended with the test.
pub(crate) struct Up {
    pub(crate) child: Child,
    pub(crate) greeting: String,
}

impl Up {
    /// The value of a line of the greeting.
    pub(crate) fn said(&self, key: &str) -> Option<&str> {
        self.greeting.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }

    /// The processes that it has started.
    pub(crate) fn children(&self) -> Vec<u32> {
        let id = self.child.id();
        let threads = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
        let children =
            threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        children
            .flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|id| id.parse().ok())
            .collect()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request and returns the whole answer.
pub(crate) fn get(port: u16, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}
