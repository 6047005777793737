//! The name servers that are asked for keys and policies.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::read_system_conf;
use mail_auth::common::cache::NoCache;
use mail_auth::{MX, MessageAuthenticator, RecordSet};
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

impl Resolver {
    /// The mail servers of a domain, the preferred ones first; none when it has no such record.
    pub(crate) async fn mail_servers(&self, domain: &str) -> Result<Vec<String>, String> {
        let cache = None::<&NoCache<Box<str>, RecordSet<MX>>>;
        match self.0.mx_lookup(domain, cache).await {
            Ok(records) => {
                let names = records.rrset.iter().flat_map(|record| record.exchanges.iter());
                let names = names.map(|name| name.trim_end_matches('.').to_owned());
                // A lone dot says that there is none (RFC 7505).
                Ok(names.filter(|name| !name.is_empty()).collect())
            }
            Err(mail_auth::Error::Dns(mail_auth::DnsError::RecordNotFound(_))) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn only(server: SocketAddr) -> ResolverConfig {
    let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut name_server.connections {
        connection.port = server.port();
    }
    ResolverConfig::from_name_servers(vec![name_server])
}
