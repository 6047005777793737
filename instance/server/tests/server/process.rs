//! A server in a process of its own, which can be killed.

use std::path::PathBuf;
use std::process::Stdio;

use remotelab_config::Env;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::world::{World, server};

/// In this variable the server process, which is this test program again, finds its folders.
const ROOT: &str = "TEST_SERVER_ROOT";
const LISTENING: &str = "listening on ";

#[test]
#[ignore = "not a test: the server process that the tests start"]
#[expect(clippy::print_stdout, reason = "so it tells its parent where it listens")]
fn acts_as_the_server() {
    let root = PathBuf::from(Env::of_process().get(ROOT).expect("the parent sets it"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = server(&root, &[], standard_input_ends()).await.unwrap();
        println!("\n{LISTENING}{}", server.address());
        server.stopped().await.unwrap();
    });
}

async fn standard_input_ends() {
    let mut byte = [0];
    // Whatever is read, nobody writes: it is the end.
    let _ = tokio::io::stdin().read(&mut byte).await;
}

impl World {
    /// As [`World::signed_in`], with the server in a process of its own.
    pub(super) async fn in_a_process(script: &str) -> Self {
        let mut world = Self::furnished(script);
        world.start_process().await;
        world.sign_in().await;
        world
    }

    /// kill -9.
    pub(super) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.unwrap();
        }
    }

    /// Ends the server as SIGTERM does.
    pub(super) async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            assert!(process.wait().await.unwrap().success());
        }
    }

    /// kill -9, and another server on the same folders. Logins live on.
    pub(super) async fn kill_and_start_again(&mut self) {
        self.kill().await;
        self.start_process().await;
    }

    /// Starts a server over the folders.
    pub(super) async fn start_process(&mut self) {
        self.start_process_with(":").await;
    }

    /// As [`World::start_process`], after a shell's command.
    pub(super) async fn start_process_with(&mut self, before: &str) {
        let mut process = Command::new("/bin/sh")
            .args(["-c", &format!("{before}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "server::process::acts_as_the_server", "--ignored", "--nocapture"])
            .env(ROOT, self.root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("it listens before it ends");
            if let Some(address) = line.strip_prefix(LISTENING) {
                break address.to_owned();
            }
        };
        // What it says at its end must have somewhere to go.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.base = format!("http://{address}");
        self.process = Some(process);
    }
}
