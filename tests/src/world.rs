//! One test's whole world: a home, ports, a model, executors on the search path, and the product.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Client;
use crate::executors::{Login, RealExecutors, write_script};
use crate::process::{self, Found, Output, Process};
use crate::standin_model::StandinModel;
use crate::wait::eventually;
use crate::{http, ports};

/// Everything that one test stands on; gone with it, processes too.
#[derive(Debug)]
pub struct World {
    root: TempDir,
    ports: Ports,
    model: StandinModel,
    variables: BTreeMap<String, String>,
}

/// Where the product listens in this world, on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The owner's chat server.
    pub owner: u16,
    /// The gateway.
    pub gateway: u16,
    /// The mailbox bridge.
    pub mailbox: u16,
}

impl World {
    /// A world with the real `codex` and `claude`, joined to the stand-in model.
    pub async fn new() -> anyhow::Result<Self> {
        let world = Self::without_executors().await?;
        world.link_executors(Login::In)?;
        Ok(world)
    }

    /// A world in which nobody installed an executor.
    pub async fn without_executors() -> anyhow::Result<Self> {
        let root = TempDir::with_prefix("remotelab-test-").context("make a temporary folder")?;
        let world = Self {
            ports: Ports { owner: ports::free()?, gateway: ports::free()?, mailbox: ports::free()? },
            model: StandinModel::start().await?,
            variables: BTreeMap::new(),
            root,
        };
        world.furnish().context("furnish the world")?;
        Ok(world)
    }

    /// Puts `codex` and `claude` on the search path, in place of what was there.
    pub fn link_executors(&self, login: Login) -> anyhow::Result<()> {
        RealExecutors::locate()?.link(&self.bin(), &self.model.base_url(), login)
    }

    /// Puts an executable script on the search path: a tool made up by the test.
    pub fn tool(&self, name: &str, script: &str) -> anyhow::Result<()> {
        write_script(&self.bin().join(name), script)
    }

    /// Sets a variable for the processes started from here on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// The model.
    pub fn model(&self) -> &StandinModel {
        &self.model
    }

    /// The ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// A temporary folder for anything else.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The home folder of the user.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// A folder to work in, below home.
    pub fn work(&self) -> PathBuf {
        self.home().join("work")
    }

    /// The folder that is first on the search path.
    pub fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }

    /// The owner's configuration.
    pub fn config(&self) -> PathBuf {
        self.home().join(".config/remotelab")
    }

    /// The owner's memory.
    pub fn memory(&self) -> PathBuf {
        self.home().join(".remotelab/memory")
    }

    /// Where guests are by default.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.home().join(".remotelab/instances").join(name)
    }

    /// `http://127.0.0.1:PORT` of the owner's chat server.
    pub fn owner_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.owner)
    }

    /// `http://127.0.0.1:PORT` of the gateway.
    pub fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.gateway)
    }

    /// `http://127.0.0.1:PORT` of the mailbox bridge.
    pub fn mailbox_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.mailbox)
    }

    /// Enters guests into the registry as if they had been created: each a name and a port.
    pub fn register<'a>(&self, guests: impl IntoIterator<Item = (&'a str, u16)>) -> anyhow::Result<()> {
        let records: Vec<Value> = guests.into_iter().map(|(name, port)| self.record(name, port)).collect();
        let file = self.config().join("guest-instances.json");
        fs::create_dir_all(self.config()).context("create the configuration folder")?;
        let text = serde_json::to_string_pretty(&records).context("print the registry")?;
        // At once, as the product itself does it: a reader never sees a half.
        let fresh = file.with_extension("json.new");
        fs::write(&fresh, text).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, &file).with_context(|| format!("write {}", file.display()))
    }

    fn record(&self, name: &str, port: u16) -> Value {
        let root = self.guest(name);
        let config = root.join("config");
        json!({
            "name": name,
            "label": format!("remotelab-guest@{name}"),
            "port": port,
            "hostname": "",
            "instanceRoot": root,
            "configDir": config,
            "memoryDir": root.join("memory"),
            "mailboxRoot": config.join("agent-mailbox"),
            "authFile": config.join("auth.json"),
            "launchAgentPath": "",
            "logPath": "",
            "errorLogPath": "",
            "publicBaseUrl": "",
            "localBaseUrl": format!("http://127.0.0.1:{port}"),
            "sessionExpiryDays": 30,
            "createdAt": "2026-11-22T07:26:39.203Z",
        })
    }

    /// The owner's token, as the files have it.
    pub fn owner_token(&self) -> anyhow::Result<String> {
        token(&self.config().join("auth.json"))
    }

    /// A guest's token, as the files have it.
    pub fn guest_token(&self, name: &str) -> anyhow::Result<String> {
        token(&self.guest(name).join("config/auth.json"))
    }

    /// The owner, logged in at the chat server itself.
    pub async fn owner(&self) -> anyhow::Result<Client> {
        Client::login(&self.owner_url(), &self.owner_token()?).await
    }

    /// The owner of a guest instance, logged in through the gateway.
    pub async fn guest_owner(&self, name: &str) -> anyhow::Result<Client> {
        let base = format!("{}/{name}", self.gateway_url());
        Client::login(&base, &self.guest_token(name)?).await
    }

    /// The product's command line, in this world.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(words).current_dir(self.work()).env_clear().envs(self.environment()?);
        Ok(command)
    }

    /// Runs a command of the product to its end.
    pub async fn run(&self, words: &[&str]) -> anyhow::Result<Output> {
        process::run(self.command(words)?).await
    }

    /// Starts a command of the product that stays.
    pub fn start(&self, words: &[&str]) -> anyhow::Result<Process> {
        Process::start(&format!("remotelab {}", words.join(" ")), &mut self.command(words)?)
    }

    /// Starts `remotelab up` and waits until all three of its servers answer.
    pub async fn up(&self) -> anyhow::Result<Process> {
        let mut up = self.start(&["up"])?;
        for url in [self.owner_url(), self.gateway_url(), self.mailbox_url()] {
            eventually(format!("an answer of {url}"), async || {
                if !up.is_running()? {
                    bail!("`remotelab up` ended: {:#?}", up.log());
                }
                Ok(http::send(http::client().get(&url)).await.ok())
            })
            .await?;
        }
        Ok(up)
    }

    /// All processes of this world, also detached ones.
    pub fn processes(&self) -> Vec<Found> {
        process::with_variable("HOME", self.home())
    }

    /// The product's processes under the subcommand `word`: `chat`, `gateway`, `runner`, …
    pub fn processes_of(&self, word: &str) -> Vec<u32> {
        let all = self.processes().into_iter();
        let is_it = |found: &Found| {
            found.words.first().is_some_and(|word| word.ends_with("remotelab"))
                && found.words.iter().skip(1).take(2).any(|it| it == word)
        };
        all.filter(is_it).map(|found| found.pid).collect()
    }

    fn furnish(&self) -> anyhow::Result<()> {
        for folder in [self.home(), self.work(), self.bin()] {
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        // RemoteLab asks the user's shell for the search path, and a login shell sets its own.
        let path = format!("export PATH='{}':\"$PATH\"\n", self.bin().display());
        for file in [".profile", ".bash_profile", ".bashrc"] {
            fs::write(self.home().join(file), &path).with_context(|| format!("write {file}"))?;
        }
        // The executors from npm are started by node, which may be anywhere.
        std::os::unix::fs::symlink(which("node")?, self.bin().join("node"))
            .context("link node into the world")
    }

    fn environment(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let home = self.home();
        let home = home.to_str().context("the temporary folder is not UTF-8")?;
        let mut variables = BTreeMap::from([
            ("HOME".to_owned(), home.to_owned()),
            ("SHELL".to_owned(), "/bin/bash".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("PATH".to_owned(), format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin().display())),
            // Browser and client speak plain HTTP to loopback.
            ("SECURE_COOKIES".to_owned(), "0".to_owned()),
            ("CHAT_PORT".to_owned(), self.ports.owner.to_string()),
            ("NATAPP_PROXY_LISTEN_PORT".to_owned(), self.ports.gateway.to_string()),
            ("NATAPP_BRIDGE_SERVICE_PORT".to_owned(), self.ports.owner.to_string()),
            ("AGENT_MAILBOX_PORT".to_owned(), self.ports.mailbox.to_string()),
            // Lists begin empty.
            ("REMOTELAB_STARTER_SESSIONS".to_owned(), "off".to_owned()),
            // Two worlds that chose from the same end would take each other's.
            ("REMOTELAB_GUEST_FIRST_PORT".to_owned(), (10_000 + self.ports.owner % 600 * 20).to_string()),
        ]);
        variables.extend(self.variables.clone());
        Ok(variables)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Runners live on when their server ends; here nothing may live on when the test does.
        process::end_all_with("HOME", self.home());
    }
}

/// The product: `REMOTELAB_BIN`, else the one built beside this test.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(binary) = env::var_os("REMOTELAB_BIN") {
        return Ok(binary.into());
    }
    let test = env::current_exe().context("find this test's own binary")?;
    let folder = test.ancestors().nth(2).context("a test is in target/debug/deps")?;
    let binary = folder.join("remotelab");
    if !binary.is_file() {
        bail!("{} is missing; build it with: cargo build --workspace --bins", binary.display());
    }
    Ok(binary)
}

fn token(file: &Path) -> anyhow::Result<String> {
    let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let auth: Value =
        serde_json::from_slice(&text).with_context(|| format!("read JSON in {}", file.display()))?;
    let token = auth["token"].as_str();
    Ok(token.with_context(|| format!("no token in {}", file.display()))?.to_owned())
}

fn which(program: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is not on the search path"))
}
