//! What the gateway is set to: `gateway.toml` first, then the environment, then defaults.

mod file;
mod limits;
mod log;
mod root;
mod service;
mod shared_origin;
mod timeouts;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use remotelab_config::{Env, OwnerPaths, atomic};

use crate::compression::Compression;
use crate::headers::Isolation;
use crate::listener::Listener;
use crate::route::build::{Main, Service};

pub use limits::Limits;
pub use log::Log;
pub use root::Root;
pub use timeouts::Timeouts;

/// Variables of all generations, the newest first.
const LISTEN_HOST: &str = "NATAPP_PROXY_LISTEN_HOST";
const LISTEN_PORT: &str = "NATAPP_PROXY_LISTEN_PORT";
const MAIN_PREFIX: [&str; 3] =
    ["NATAPP_BRIDGE_SERVICE_NAME", "NATAPP_MAINLAND_SERVICE_NAME", "NATAPP_OWNER_ROUTE_PREFIX"];
const MAIN_PORT: [&str; 3] =
    ["NATAPP_BRIDGE_SERVICE_PORT", "NATAPP_MAINLAND_SERVICE_PORT", "NATAPP_OWNER_UPSTREAM_PORT"];
const ROOT_MODE: &str = "NATAPP_ROOT_MODE";
const ROOT_PORT: &str = "NATAPP_ROOT_UPSTREAM_PORT";

const DEFAULT_LISTEN_PORT: u16 = 7699;
const DEFAULT_MAIN_PREFIX: &str = "owner";
const DEFAULT_MAIN_PORT: u16 = 7690;

/// Everything that a gateway needs to know at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen, at least one.
    pub listeners: Vec<Listener>,
    /// The main service.
    pub main: Main,
    /// Other services on this machine.
    pub services: Vec<Service>,
    /// The list of guests.
    pub registry: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Where names that left the list are remembered.
    pub gone: PathBuf,
    /// What `/` answers.
    pub root: Root,
    /// Pass the owner's login cookies of before prefixes existed.
    pub legacy_owner_cookies: bool,
    /// What is added to answers on an origin that tenants share.
    pub isolation: Isolation,
    /// What is packed on its way.
    pub compression: Compression,
    /// Limits.
    pub limits: Limits,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// The log of requests.
    pub log: Log,
    /// Sentences for the log about settings that have no effect, and about old names in use.
    pub remarks: Vec<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] atomic::Error),
    /// The file is not what it should be; the source names the key and the line.
    #[error("{} is not valid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("{key} in {} {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with dots.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Settings {
    /// Reads `gateway.toml` of the owner's folder over the environment and the defaults.
    ///
    /// # Errors
    /// [`Error`] when the file is there and cannot be used; unusable variables count as unset.
    pub fn load(env: &Env, paths: &OwnerPaths) -> Result<Self, Error> {
        let mut settings = Self::from_env(env, paths);
        let path = paths.gateway_settings();
        if let Some(bytes) = atomic::read(&path)? {
            file::lay_over(&mut settings, &path, &String::from_utf8_lossy(&bytes))?;
        }
        Ok(settings)
    }

    fn from_env(env: &Env, paths: &OwnerPaths) -> Self {
        let mut remarks = Vec::new();
        let mut note = |key: &str, value: &str| {
            remarks.push(format!("{key}={value} is used"));
        };
        let host = match env.get(LISTEN_HOST) {
            Some("localhost") | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(text) => text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        let port = env.port(LISTEN_PORT).unwrap_or(DEFAULT_LISTEN_PORT);
        let prefix = env
            .first_of(&MAIN_PREFIX)
            .and_then(|(key, text)| Some((key, main_prefix(text)?)))
            .inspect(|(key, prefix)| note(key, prefix));
        let main_port = MAIN_PORT
            .iter()
            .find_map(|key| Some((key, env.port(key)?)))
            .inspect(|(key, port)| note(key, &port.to_string()));
        if env.get(ROOT_PORT).is_some() || matches!(env.get(ROOT_MODE), Some("proxy" | "legacy-proxy")) {
            remarks.push(format!(
                "{ROOT_MODE} and {ROOT_PORT} no longer put a product at the root; / answers a neutral page"
            ));
        }
        Self {
            listeners: vec![Listener::plain("default", SocketAddr::new(host, port))],
            main: Main {
                name: prefix.map_or_else(|| DEFAULT_MAIN_PREFIX.to_owned(), |(_, prefix)| prefix),
                port: main_port.map_or(DEFAULT_MAIN_PORT, |(_, port)| port),
                hosts: Vec::new(),
                socket: paths.instance().chat_socket(),
                foreign: false,
                secret_file: paths.instance().gateway_secret(),
            },
            services: Vec::new(),
            registry: paths.registry(),
            socket: paths.gateway_socket(),
            gone: paths.runtime().join("gateway-gone.json"),
            root: Root::default(),
            legacy_owner_cookies: false,
            isolation: Isolation::default(),
            compression: Compression::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            // The service manager reads our output: its journal takes the requests, too.
            log: Log::new(paths.logs().join("access.jsonl"), env.get("JOURNAL_STREAM").is_some()),
            remarks,
        }
    }
}

/// The prefix in an operator's text: its first segment, unusual characters as one hyphen.
///
/// A prefix that holds `__` or ends in `_` could claim cookies of another; it is none.
fn main_prefix(text: &str) -> Option<String> {
    let segment = text.split('/').find(|segment| !segment.is_empty())?;
    let mut prefix = String::new();
    for c in segment.trim().chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            prefix.push(c);
        } else if !prefix.ends_with('-') {
            prefix.push('-');
        }
    }
    let is_path = prefix.bytes().any(|b| b != b'.');
    let is_own = !prefix.contains("__") && !prefix.ends_with('_');
    (is_path && is_own && prefix != "_gateway").then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::RefererGuard;
    use crate::listener::{ClientIp, Mode, Scheme};
    use std::path::Path;
    use std::time::Duration;

    fn load(pairs: &[(&str, &str)], toml: Option<&str>) -> Result<Settings, Error> {
        let env: Env = pairs.iter().copied().collect();
        let home = home_with(toml);
        Settings::load(&env, &OwnerPaths::from_env(&env, home.path()))
    }

    fn home_with(toml: Option<&str>) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let paths = OwnerPaths::from_env(&Env::default(), home.path());
        if let Some(toml) = toml {
            std::fs::create_dir_all(paths.instance().config()).unwrap();
            std::fs::write(paths.gateway_settings(), toml).unwrap();
        }
        home
    }

    #[test]
    fn all_generations_of_variables_are_understood() {
        let main = |pairs: &[(&str, &str)]| {
            let settings = load(pairs, None).unwrap();
            let bind = settings.listeners[0].bind.to_string();
            (bind, settings.main.name, settings.main.port)
        };
        let expected = |bind: &str, name: &str, port| (bind.to_owned(), name.to_owned(), port);
        assert_eq!(main(&[]), expected("127.0.0.1:7699", "owner", 7690));
        assert_eq!(
            main(&[
                ("NATAPP_PROXY_LISTEN_HOST", "0.0.0.0"),
                ("NATAPP_PROXY_LISTEN_PORT", "8001"),
                ("NATAPP_OWNER_ROUTE_PREFIX", "/old/x"),
                ("NATAPP_OWNER_UPSTREAM_PORT", "1"),
            ]),
            expected("0.0.0.0:8001", "old", 1)
        );
        assert_eq!(
            main(&[
                ("NATAPP_OWNER_ROUTE_PREFIX", "old"),
                ("NATAPP_MAINLAND_SERVICE_NAME", "Main Land"),
                ("NATAPP_MAINLAND_SERVICE_PORT", "2"),
            ]),
            expected("127.0.0.1:7699", "Main-Land", 2)
        );
        assert_eq!(
            main(&[
                ("NATAPP_PROXY_LISTEN_HOST", "nonsense"),
                ("NATAPP_PROXY_LISTEN_PORT", "70000"),
                ("NATAPP_BRIDGE_SERVICE_NAME", ".."),
                ("NATAPP_BRIDGE_SERVICE_PORT", "x"),
                ("NATAPP_MAINLAND_SERVICE_PORT", "3"),
            ]),
            expected("127.0.0.1:7699", "owner", 3)
        );
        assert_eq!(main_prefix("a__b"), None);
        assert_eq!(main_prefix("a_"), None);
    }

    #[test]
    fn the_documented_file_is_understood() {
        let settings = load(
            &[("NATAPP_BRIDGE_SERVICE_PORT", "1")],
            Some(
                r#"
                legacy_owner_cookies = true
                referer_guard = "strict"
                compression = "all"
                [listener.natapp]
                bind = "127.0.0.1:7699"
                client_ip = "x-forwarded-for:last"
                scheme = "https"
                hosts = ["CN.example.net"]
                mode = "prefix"
                origins = ["https://App.example/"]
                referer_guard = "off"
                [listener.cf]
                bind = "127.0.0.1:7698"
                client_ip = "cf-connecting-ip"
                scheme = "https"
                domains = ["example.com"]
                mode = "host"
                [service.owner]
                prefix = "owner"
                port = 7690
                hosts = ["Lab.example.com"]
                [service.wiki]
                port = 8080
                kind = "foreign"
                [shared_origin]
                sandbox = true
                [root]
                index = "off"
                last_prefix_redirect = false
                [limits]
                connections = 5
                [timeouts]
                drain = 3
                [log]
                max_mib = 1
                [sleep]
                idle_after = 5
                "#,
            ),
        )
        .unwrap();
        let listeners = &settings.listeners;
        assert_eq!(
            listeners[1],
            Listener {
                name: "natapp".into(),
                bind: "127.0.0.1:7699".parse().unwrap(),
                client_ip: ClientIp::LastForwardedFor,
                scheme: Scheme::Https,
                hosts: vec!["cn.example.net".into()],
                domains: vec![],
                mode: Mode::Prefix,
                origins: vec!["https://app.example".into()],
                referer_guard: RefererGuard::Off,
                last_prefix_redirect: false,
            }
        );
        assert_eq!((listeners[0].client_ip, listeners[0].mode), (ClientIp::CfConnectingIp, Mode::Host));
        assert_eq!((settings.main.name.as_str(), settings.main.port), ("owner", 7690));
        assert_eq!(settings.main.hosts, ["lab.example.com"]);
        assert_eq!(
            settings.services,
            [Service { name: "wiki".into(), port: 8080, hosts: vec![], foreign: true }]
        );
        assert_eq!(settings.compression, Compression::All);
        assert_eq!(settings.isolation, Isolation { sandbox: true, same_origin_resources: false });
        assert_eq!((settings.root, settings.legacy_owner_cookies), (Root::Off, true));
        assert_eq!((settings.limits.connections, settings.limits.pooled), (5, 64));
        assert_eq!(settings.timeouts.drain, Duration::from_secs(3));
        assert_eq!(settings.timeouts.connect, Duration::from_secs(2));
        assert_eq!((settings.log.access, settings.log.max_bytes), (true, 1 << 20));
        assert_eq!(listeners[0].referer_guard, RefererGuard::Strict);
        assert_eq!(settings.remarks.len(), 2);
    }

    #[test]
    fn errors_name_the_key() {
        let message = |toml: &str| {
            let error = load(&[], Some(toml)).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", source.unwrap_or_default())
        };
        assert!(message("[listener.a]\nbind = \"x\"").contains("listener.a.bind"));
        assert!(message("[listener.a]\nbind = \"1.1.1.1:1\"\nhosts=[\"a b\"]").contains("listener.a.hosts"));
        assert!(
            message("[listener.a]\nbind = \"1.1.1.1:1\"\norigins=[\"x\"]").contains("listener.a.origins")
        );
        assert!(message("[limits.tenant]\nburst = 1").contains("limits.tenant.burst"));
        assert!(message("[service.owner]\nprefix = \"a__b\"").contains("service.owner.prefix"));
        assert!(message("[service.owner]\nport = 0").contains("service.owner.port"));
        assert!(message("[service.wiki]").contains("service.wiki.port"));
        assert!(message("[service.admin]\nport = 1").contains("service.admin.prefix"));
        assert!(message("[service.x]\nprefix = \"owner\"\nport = 1").contains("service.x.prefix"));
        assert!(message("[service.owner]\nhosts = [\"a b\"]").contains("service.owner.hosts"));
        assert!(message("[root]\nindex = \"loud\"").contains("index"));
        assert!(message("[log]\nsample = 0").contains("log.sample"));
        assert!(message("[rooot]").contains("rooot"));
        assert!(message("[timeouts]\ndrain = -1").contains("drain"));
        for key in ["client_header", "keep_alive", "websocket_idle", "drain"] {
            assert!(message(&format!("[timeouts]\n{key} = 0")).contains(&format!("timeouts.{key} in")));
        }
        assert!(message("[timeouts]\nconnect = 31536001").contains("timeouts.connect"));
        assert!(message("[listener.a]\nbind = \"1.1.1.1:1\"\nclient_ip = \"guess\"").contains("client_ip"));
    }

    #[test]
    fn files_are_the_owners() {
        let env: Env = [("REMOTELAB_CONFIG_DIR", "/c")].into_iter().collect();
        let settings = Settings::from_env(&env, &OwnerPaths::from_env(&env, Path::new("/home/op")));
        assert_eq!(settings.registry, Path::new("/c/guest-instances.json"));
        assert_eq!(settings.socket, Path::new("/c/run/gateway.sock"));
        assert_eq!(settings.main.secret_file, Path::new("/c/gateway-secret"));
    }
}
