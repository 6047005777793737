//! The name servers that are asked for keys and policies.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::read_system_conf;
use mail_auth::MessageAuthenticator;
use remotelab_config::Env;

/// Names another name server than the system's, as `address:port`.
const RESOLVER_ENV: &str = "REMOTELAB_MAIL_RESOLVER";

/// One question to one server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks name servers. Answers are kept as long as they are valid.
pub(crate) struct Resolver(pub(super) MessageAuthenticator);

impl Resolver {
    /// Uses the server that the environment names, else the system's. `None`: there is none.
    pub(crate) fn from_env(env: &Env) -> Option<Self> {
        let (config, mut options) = match env.get(RESOLVER_ENV) {
            Some(text) => (only(text.parse().ok()?), ResolverOpts::default()),
            None => read_system_conf().ok()?,
        };
        options.timeout = TIMEOUT;
        options.attempts = 2;
        MessageAuthenticator::new(config, options).ok().map(Self)
    }
}

fn only(server: SocketAddr) -> ResolverConfig {
    let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut name_server.connections {
        connection.port = server.port();
    }
    ResolverConfig::from_name_servers(vec![name_server])
}
