//! One server on a temporary root and port 0, and a client of it.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use remotelab_config::auth::Auth;
use remotelab_config::chat::Settings;
use remotelab_config::{Env, InstancePaths};
use remotelab_executor::runner;
use remotelab_protocol::rest::Rest;
use remotelab_server::{Idle, Server};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// In this variable the runner process, which is this test program again, finds its run.
const RUN_DIR: &str = "TEST_RUN_DIR";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Speaks like Codex and repeats the last line of its prompt, which custom tools get as an argument.
pub(super) const ECHO: &str = r#"for last; do :; done
text=$(printf '%s' "$last" | tail -n 1)
echo '{"type":"thread.started","thread_id":"0199-thread-test"}'
echo '{"type":"item.completed","item":{"id":"i1","type":"command_execution","command":"echo hi","aggregated_output":"hi","exit_code":0,"status":"completed"}}'
printf '{"type":"item.completed","item":{"id":"i2","type":"agent_message","text":"echo: %s"}}\n' "$text"
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
"#;

#[test]
#[ignore = "not a test: the runner process that the tests start"]
fn acts_as_the_runner() {
    let env = Env::of_process();
    let run_dir = PathBuf::from(env.get(RUN_DIR).expect("the wrapper sets it"));
    assert_eq!(runner::main(&run_dir, env), ExitCode::SUCCESS);
}

pub(super) struct World {
    pub(super) root: Root,
    pub(super) client: Client,
    pub(super) base: String,
    pub(super) process: Option<Child>,
    token: String,
    variables: Variables,
    script: String,
    idle: Option<Idle>,
    stop: Option<oneshot::Sender<()>>,
    stopped: Option<JoinHandle<std::io::Result<()>>>,
}

/// A test's folders. Runs that are under way end with them.
pub(super) struct Root(TempDir);

impl Deref for Root {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.0
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let runs = std::fs::read_dir(self.path().join("config/chat-runs")).into_iter().flatten().flatten();
        for run in runs.map(|run| run.path()).filter(|run| !run.join("result.json").exists()) {
            let report = std::fs::read(run.join("runner.json")).unwrap_or_default();
            let report: Value = serde_json::from_slice(&report).unwrap_or_default();
            if let Some(leader) = report["toolProcessId"].as_u64() {
                let group = format!("-{leader}");
                let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
            }
        }
    }
}

/// What the server's environment holds beside the path.
pub(super) type Variables = Vec<(String, String)>;

impl World {
    /// Starts a server whose tool `echo` runs a script.
    pub(super) async fn start(script: &str) -> Self {
        Self::start_with(script, &[]).await
    }

    /// Starts a server with more variables in its environment.
    pub(super) async fn start_with(script: &str, variables: &[(&str, &str)]) -> Self {
        let mut world = Self::furnished(script);
        world.variables = variables.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        world.serve().await;
        world
    }

    /// Stops the server, as its supervisor does, and starts another one on the same folders.
    pub(super) async fn restart(&mut self) {
        self.close().await;
        self.serve().await;
    }

    /// What the server says that it has to do.
    pub(super) fn rest(&self) -> Rest {
        self.idle.as_ref().expect("the server runs").ask()
    }

    async fn close(&mut self) {
        self.stop.take();
        if let Some(stopped) = self.stopped.take() {
            stopped.await.unwrap().unwrap();
        }
    }

    async fn serve(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopping = async {
            let _ = stopped.await;
        };
        let server = server(self.root.path(), &self.variables, stopping).await.unwrap();
        self.base = format!("http://{}", server.address());
        self.idle = Some(server.idle());
        self.stop = Some(stop);
        self.stopped = Some(tokio::spawn(server.stopped()));
    }

    /// Makes the folders, without a server.
    pub(super) fn furnished(script: &str) -> Self {
        Self::furnished_in(tempfile::tempdir().unwrap(), script)
    }

    /// Starts a server on a root in which something is already.
    pub(super) async fn start_in(root: TempDir, script: &str) -> Self {
        let mut world = Self::furnished_in(root, script);
        world.serve().await;
        world
    }

    fn furnished_in(root: TempDir, script: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let paths = InstancePaths::below(root.path());
        std::fs::create_dir_all(paths.config()).unwrap();
        std::fs::create_dir(root.path().join("bin")).unwrap();
        let auth = Auth::load_or_create(&paths.auth()).unwrap();
        let tool = root.path().join("echo-tool");
        executable(&tool, script);
        let tools = json!([{"id": "echo", "name": "Echo", "command": tool, "runtimeFamily": "codex-json"}]);
        std::fs::write(paths.tools(), tools.to_string()).unwrap();
        let runner = root.path().join("remotelab");
        let this = std::env::current_exe().unwrap();
        let test = "server::world::acts_as_the_runner";
        executable(
            &runner,
            &format!("{RUN_DIR}=\"$2\" exec '{}' --exact {test} --ignored --nocapture", this.display()),
        );
        let client = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build().unwrap();
        let (base, token, variables) = (String::new(), auth.token.reveal(), Variables::new());
        let script = script.to_owned();
        let root = Root(root);
        Self {
            root,
            client,
            base,
            process: None,
            token,
            variables,
            script,
            idle: None,
            stop: None,
            stopped: None,
        }
    }

    /// Stops the server, moves the whole instance to another root, and starts it there. Logins stay.
    pub(super) async fn moved(mut self) -> Self {
        self.close().await;
        let root = tempfile::tempdir().unwrap();
        for folder in ["config", "memory"] {
            std::fs::rename(self.root.path().join(folder), root.path().join(folder)).unwrap();
        }
        let mut world = Self::furnished_in(root, &self.script);
        world.client = self.client;
        world.serve().await;
        world
    }

    /// Stops the server, does something to its files, and starts it again.
    pub(super) async fn stopped_for(&mut self, change: impl FnOnce()) {
        self.close().await;
        change();
        self.serve().await;
    }

    /// Starts a server and signs in by the owner's link.
    pub(super) async fn signed_in(script: &str) -> Self {
        Self::signed_in_with(script, &[]).await
    }

    /// Starts a server with more variables in its environment and signs in.
    pub(super) async fn signed_in_with(script: &str, variables: &[(&str, &str)]) -> Self {
        let mut world = Self::start_with(script, variables).await;
        world.sign_in().await;
        world
    }

    /// Signs in by the owner's link.
    pub(super) async fn sign_in(&mut self) {
        let cookie = cookie(&self.open_link().await).unwrap();
        let headers = [(reqwest::header::COOKIE, cookie.parse().unwrap())].into_iter().collect();
        self.client = Client::builder()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .default_headers(headers)
            .build()
            .unwrap();
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(super) async fn open_link(&self) -> Response {
        self.request(Method::GET, &format!("/?token={}", self.token)).send().await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        body(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, json: &Value) -> (StatusCode, Value) {
        body(self.request(Method::POST, path).json(json).send().await.unwrap()).await
    }

    /// Creates a session in the root and returns its id.
    pub(super) async fn session(&self) -> String {
        let (status, answer) =
            self.post("/api/sessions", &json!({"folder": self.root.path(), "tool": "echo"})).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer["session"]["id"].as_str().unwrap().to_owned()
    }

    /// Posts a message and returns the answer.
    pub(super) async fn send(&self, session: &str, request_id: &str, text: &str) -> (StatusCode, Value) {
        self.post(
            &format!("/api/sessions/{session}/messages"),
            &json!({"requestId": request_id, "text": text}),
        )
        .await
    }

    /// Polls a run to its end.
    pub(super) async fn ended(&self, run: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, answer) = self.get(&format!("/api/runs/{run}")).await;
            let state = answer["run"]["state"].as_str().unwrap_or_default();
            if matches!(state, "completed" | "failed" | "cancelled") {
                return answer["run"].clone();
            }
            assert!(Instant::now() < deadline, "the run does not end: {answer}");
            tokio::task::yield_now().await;
        }
    }

    /// Reads what a run's executor was told.
    pub(super) fn prompt(&self, run: &str) -> String {
        let manifest: Value =
            serde_json::from_str(&self.stored(&format!("chat-runs/{run}/manifest.json"))).unwrap();
        manifest["prompt"].as_str().unwrap().to_owned()
    }

    /// Reads a file of the configuration folder, which may come a little after what is in it is known.
    pub(super) fn stored(&self, path: &str) -> String {
        self.stored_when(path, |_| true)
    }

    /// As [`World::stored`], when a condition holds.
    pub(super) fn stored_when(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        let (path, deadline) = (self.root.path().join("config").join(path), Instant::now() + PATIENCE);
        loop {
            match std::fs::read_to_string(&path) {
                Ok(text) if holds(&text) => return text,
                found => assert!(Instant::now() < deadline, "{} is {found:?}", path.display()),
            }
            std::thread::yield_now();
        }
    }

    /// Sends a message, waits for its end and returns the run's id.
    pub(super) async fn turn(&self, session: &str, request_id: &str, text: &str) -> String {
        let (status, answer) = self.send(session, request_id, text).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let run = answer["run"]["id"].as_str().unwrap_or_else(|| panic!("no run: {answer}")).to_owned();
        self.ended(&run).await;
        run
    }

    /// Polls a session until a condition holds.
    pub(super) async fn until(&self, session: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, answer) = self.get(&format!("/api/sessions/{session}")).await;
            if holds(&answer["session"]) {
                return answer["session"].clone();
            }
            assert!(Instant::now() < deadline, "the session does not come to it: {answer}");
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn events(&self, session: &str, filter: &str) -> Vec<Value> {
        let (status, answer) = self.get(&format!("/api/sessions/{session}/events?filter={filter}")).await;
        assert_eq!(status, StatusCode::OK);
        answer["events"].as_array().unwrap().clone()
    }
}

/// Returns the login cookie that an answer sets, as `name=value`.
pub(super) fn cookie(response: &Response) -> Option<String> {
    let value = response.headers().get("set-cookie")?.to_str().ok()?;
    Some(value.split(';').next()?.to_owned())
}

pub(super) async fn body(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Starts a server on port 0 over furnished folders. Programs of the root's folder `bin` are found.
pub(super) async fn server(
    root: &Path,
    variables: &[(String, String)],
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Server, remotelab_server::Error> {
    let path = format!("{}/bin:/usr/bin:/bin", root.display());
    let fixed = [("PATH".to_owned(), path), ("CHAT_PORT".to_owned(), "1".to_owned())];
    let env: Env = fixed.iter().chain(variables).cloned().collect();
    let mut settings = Settings::from_env(&env, root);
    settings.port = 0;
    settings.paths = InstancePaths::below(root);
    settings.secure_cookies = false;
    Server::start(settings, env, root.join("remotelab"), stop).await
}

/// Writes a shell script that can be run.
pub(super) fn executable(path: &Path, script: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
