//! Which children there are and how each is started.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use remotelab_config::registry::Record;
use remotelab_config::{Env, InstanceName, InstancePaths, OwnerPaths};

use super::Options;

/// Tells a child that its standard input is held by a supervisor: at its end the child drains and exits.
pub const SUPERVISED: &str = "REMOTELAB_SUPERVISED";

const DAY_MS: u64 = 86_400_000;

/// How the gateway is told the owner's port: every generation's name, the newest first.
const GATEWAY_OWNER_PORT: &[&str] =
    &["NATAPP_BRIDGE_SERVICE_PORT", "NATAPP_MAINLAND_SERVICE_PORT", "NATAPP_OWNER_UPSTREAM_PORT"];

/// Variables of the operator that a guest gets; everything else stays with the owner.
const INHERITED: &[&str] = &[
    "PATH",
    "LANG",
    "TZ",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "RUST_LOG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REMOTELAB_STARTER_SESSIONS",
];

/// Beginnings of names that executors need.
const INHERITED_PREFIXES: &[&str] = &["LC_", "OPENAI_", "ANTHROPIC_", "CODEX_", "CLAUDE_"];

/// Which child.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// The owner's chat server.
    Owner,
    /// The front door.
    Gateway,
    /// The mail pipeline.
    Mail,
    /// A guest's chat server.
    Guest(InstanceName),
}

impl Id {
    /// Reads a name: the three services by their own, everything else is a guest.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "owner" => Some(Self::Owner),
            "gateway" => Some(Self::Gateway),
            "mail" => Some(Self::Mail),
            _ => InstanceName::normalise(text).map(Self::Guest),
        }
    }

    /// In which turn the child is drained: the door closes first, the owner goes last.
    pub(crate) fn drain_turn(&self) -> usize {
        match self {
            Self::Gateway => 0,
            Self::Guest(_) | Self::Mail => 1,
            Self::Owner => 2,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.pad("owner"),
            Self::Gateway => f.pad("gateway"),
            Self::Mail => f.pad("mail"),
            Self::Guest(name) => f.pad(name.as_str()),
        }
    }
}

/// Everything that starting a child takes. The program is the same for all.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) id: Id,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The whole environment: nothing is inherited beside it.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) folder: PathBuf,
    pub(crate) log: PathBuf,
}

impl Spec {
    pub(crate) fn owner(options: &Options) -> Self {
        let mut environment = all(&options.env);
        // Plain `up` is plain HTTP: browsers outside this machine refuse a Secure cookie over it, and
        // the gateway adds the attribute where its outside is HTTPS.
        environment.entry("SECURE_COOKIES".to_owned()).or_insert_with(|| "0".to_owned());
        Self::new(options, Id::Owner, &["chat"], environment)
    }

    pub(crate) fn gateway(options: &Options) -> Self {
        let mut environment = all(&options.env);
        // The gateway has its own name for the owner's port; one setting must be enough.
        if let Some(port) = options.env.get("CHAT_PORT")
            && options.env.first_of(GATEWAY_OWNER_PORT).is_none()
        {
            environment.insert(GATEWAY_OWNER_PORT[0].to_owned(), port.to_owned());
        }
        Self::new(options, Id::Gateway, &["gateway"], environment)
    }

    /// The gateway that takes over from the one that runs.
    pub(crate) fn next_gateway(options: &Options) -> Self {
        let mut spec = Self::gateway(options);
        spec.arguments.push("--take-over".to_owned());
        spec
    }

    pub(crate) fn mail(options: &Options) -> Self {
        Self::new(options, Id::Mail, &["mail", "serve"], all(&options.env))
    }

    pub(crate) fn guest(options: &Options, record: &Record) -> Self {
        let environment = guest_environment(options, record);
        Self::new(options, Id::Guest(record.name.clone()), &["chat"], environment)
    }

    fn new(options: &Options, id: Id, arguments: &[&str], mut environment: BTreeMap<String, String>) -> Self {
        environment.insert(SUPERVISED.to_owned(), "1".to_owned());
        Self {
            log: match &id {
                Id::Guest(name) => guest_log(&options.paths, name),
                service => options.paths.logs().join(format!("{service}.log")),
            },
            id,
            program: options.program.clone(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment,
            folder: options.paths.home().to_owned(),
        }
    }
}

/// Where the output of a guest goes.
pub(crate) fn guest_log(paths: &OwnerPaths, name: &InstanceName) -> PathBuf {
    paths.logs().join(format!("guest-{name}.log"))
}

/// Tells whether a variable of the operator is handed on to guests.
pub(crate) fn is_inherited(key: &str) -> bool {
    INHERITED.contains(&key) || INHERITED_PREFIXES.iter().any(|start| key.starts_with(start))
}

fn all(env: &Env) -> BTreeMap<String, String> {
    env.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn guest_environment(options: &Options, record: &Record) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = options
        .env
        .iter()
        .filter(|(key, _)| is_inherited(key))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let secure = match options.env.get("SECURE_COOKIES") {
        Some(set) => set.to_owned(),
        None => if record.hostname.is_empty() { "0" } else { "1" }.to_owned(),
    };
    let mut set = |key: &str, value: String| environment.insert(key.to_owned(), value);
    set("HOME", options.paths.home().display().to_string());
    set("CHAT_BIND_HOST", "127.0.0.1".to_owned());
    set("CHAT_PORT", record.port.to_string());
    set("REMOTELAB_INSTANCE_NAME", record.name.to_string());
    set("REMOTELAB_INSTANCE_ID", record.id.clone());
    set("SECURE_COOKIES", secure);
    let expiry = u64::from(record.session_expiry_days) * DAY_MS;
    set("SESSION_EXPIRY", expiry.to_string());
    if !record.public_base_url.is_empty() {
        set("REMOTELAB_PUBLIC_BASE_URL", record.public_base_url.clone());
    }
    set("REMOTELAB_INSTANCE_ROOT", record.instance_root.display().to_string());
    let bounds = [record.containment.variables(), record.limits.variables(), record.quota.variables()];
    for (key, value) in bounds.into_iter().flatten() {
        set(key, value);
    }
    let paths = record.paths();
    if paths != InstancePaths::below(&record.instance_root) {
        set("REMOTELAB_CONFIG_DIR", paths.config().display().to_string());
        set("REMOTELAB_MEMORY_DIR", paths.memory().display().to_string());
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn options(pairs: &[(&str, &str)]) -> Options {
        let env: Env = pairs.iter().copied().collect();
        Options::from_env(&env, Path::new("/home/op"), "/bin/remotelab".into())
    }

    fn record(extra: &serde_json::Value) -> Record {
        let mut row = json!({"name": "trial1", "port": 7696, "instanceRoot": "/g/trial1",
            "configDir": "/g/trial1/config", "memoryDir": "/g/trial1/memory", "id": "abc"});
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn a_guest_gets_its_own_environment_and_none_of_the_owners_secrets() {
        let options = options(&[
            ("PATH", "/bin"),
            ("OPENAI_API_KEY", "k"),
            ("CLOUDFLARE_API_TOKEN", "secret"),
            ("REMOTELAB_ASSET_STORAGE_SECRET_ACCESS_KEY", "secret"),
            ("CHAT_PORT", "7690"),
        ]);
        let spec = Spec::guest(&options, &record(&json!({})));
        let environment: Vec<String> =
            spec.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            environment,
            [
                "CHAT_BIND_HOST=127.0.0.1",
                "CHAT_PORT=7696",
                "HOME=/home/op",
                "OPENAI_API_KEY=k",
                "PATH=/bin",
                "REMOTELAB_INSTANCE_ID=abc",
                "REMOTELAB_INSTANCE_NAME=trial1",
                "REMOTELAB_INSTANCE_ROOT=/g/trial1",
                "REMOTELAB_SUPERVISED=1",
                "SECURE_COOKIES=0",
                "SESSION_EXPIRY=2592000000",
            ]
        );
        assert_eq!(spec.log, Path::new("/home/op/.config/remotelab/logs/guest-trial1.log"));
    }

    #[test]
    fn a_public_guest_has_secure_cookies_and_odd_folders_are_handed_on() {
        let public = record(&json!({"hostname": "t.example.com", "configDir": "/elsewhere"}));
        let spec = Spec::guest(&options(&[]), &public);
        assert_eq!(spec.environment["SECURE_COOKIES"], "1");
        assert_eq!(spec.environment["REMOTELAB_CONFIG_DIR"], "/elsewhere");
        let spec = Spec::guest(&options(&[("SECURE_COOKIES", "0")]), &public);
        assert_eq!(spec.environment["SECURE_COOKIES"], "0");
    }

    #[test]
    fn the_owner_keeps_the_whole_environment() {
        let spec = Spec::owner(&options(&[("ANY", "x")]));
        assert_eq!(spec.environment["ANY"], "x");
        assert_eq!(spec.environment["SECURE_COOKIES"], "0");
        let spec = Spec::owner(&options(&[("SECURE_COOKIES", "1")]));
        assert_eq!(spec.environment["SECURE_COOKIES"], "1");
    }
}
