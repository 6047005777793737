//! What one listener serves and whom it believes.

pub mod proxy_protocol;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use serde::Deserialize;

use crate::guard::RefererGuard;
use crate::headers::names;

/// One ingress with its own trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its key in the settings, for logs and errors.
    pub name: String,
    /// The address it is bound to.
    pub bind: SocketAddr,
    /// What, if anything, tells the client's address.
    pub client_ip: ClientIp,
    /// Whose word about the client's address counts; empty is everybody's.
    pub peers: Vec<IpNet>,
    /// TLS that ends here.
    pub tls: Option<Tls>,
    /// HTTP/2 is understood without TLS, too.
    pub h2c: bool,
    /// What the outside sees.
    pub scheme: Scheme,
    /// Hosts that are served by prefix; empty serves any.
    pub hosts: Vec<String>,
    /// Domains whose labels name instances.
    pub domains: Vec<String>,
    /// How an instance is chosen.
    pub mode: Mode,
    /// Origins whose pages may open WebSockets beside its own: `https://app.example`.
    pub origins: Vec<String>,
    /// What pages of one tenant may not ask of another.
    pub referer_guard: RefererGuard,
    /// Lead browsers from the root to where they were last.
    pub last_prefix_redirect: bool,
}

/// How TLS ends at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Chosen by the name that the client asks for; the first one where no name fits.
    pub certificates: Vec<Pair>,
    /// HTTP/2 is offered.
    pub http2: bool,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate and those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where the client's address is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ClientIp {
    /// The peer of the connection.
    #[default]
    #[serde(rename = "none")]
    Peer,
    /// `CF-Connecting-IP`, set by Cloudflare's edge.
    #[serde(rename = "cf-connecting-ip")]
    CfConnectingIp,
    /// The last `X-Forwarded-For` entry, added by the tunnel that connects here.
    #[serde(rename = "x-forwarded-for:last")]
    LastForwardedFor,
    /// A header of the PROXY protocol, with which every connection begins.
    #[serde(rename = "proxy-protocol")]
    ProxyProtocol,
}

/// The scheme that browsers use to come here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// TLS, ended here or by whatever stands before this listener.
    Https,
}

impl Scheme {
    /// Returns `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// How a listener chooses the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A known host name first, else the first path segment.
    #[default]
    Both,
    /// By the first path segment alone.
    Prefix,
    /// By host name alone.
    Host,
}

impl Listener {
    /// Returns the listener that stands where nothing is configured.
    #[must_use]
    pub fn plain(name: &str, bind: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            bind,
            client_ip: ClientIp::default(),
            peers: Vec::new(),
            tls: None,
            h2c: false,
            scheme: Scheme::default(),
            hosts: Vec::new(),
            domains: Vec::new(),
            mode: Mode::default(),
            origins: Vec::new(),
            referer_guard: RefererGuard::default(),
            last_prefix_redirect: true,
        }
    }

    /// Tells whether a peer's word about the client's address counts.
    #[must_use]
    pub fn believes(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.peers.is_empty() || self.peers.iter().any(|network| network.contains(&peer))
    }

    /// Returns the client's address: what the trusted header says, else the peer.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let told = match self.client_ip {
            _ if !self.believes(peer) => None,
            ClientIp::Peer | ClientIp::ProxyProtocol => None,
            ClientIp::CfConnectingIp => {
                headers.get(names::CF_CONNECTING_IP).and_then(|value| value.to_str().ok())
            }
            ClientIp::LastForwardedFor => headers
                .get_all(names::X_FORWARDED_FOR)
                .iter()
                .next_back()
                .and_then(|value| value.to_str().ok()?.rsplit(',').next()),
        };
        told.and_then(|text| text.trim().parse().ok()).unwrap_or(peer)
    }

    /// Tells whether a header of the edge before this listener may reach instances.
    #[must_use]
    pub fn trusts(&self, name: &HeaderName) -> bool {
        self.client_ip == ClientIp::CfConnectingIp && name.as_str().starts_with("cf-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_whom_the_profile_believes() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "6.6.6.6".parse().unwrap());
        headers.append("x-forwarded-for", "7.7.7.7, 2001:db8::1".parse().unwrap());
        headers.append("cf-connecting-ip", "8.8.8.8".parse().unwrap());
        let client = |client_ip, headers: &HeaderMap| {
            let bind = "127.0.0.1:0".parse().unwrap();
            Listener { client_ip, ..Listener::plain("x", bind) }.client(peer, headers).to_string()
        };
        assert_eq!(client(ClientIp::Peer, &headers), "127.0.0.1");
        assert_eq!(client(ClientIp::LastForwardedFor, &headers), "2001:db8::1");
        assert_eq!(client(ClientIp::CfConnectingIp, &headers), "8.8.8.8");
        headers.insert("cf-connecting-ip", "nonsense".parse().unwrap());
        headers.append("x-forwarded-for", "".parse().unwrap());
        assert_eq!(client(ClientIp::LastForwardedFor, &headers), "127.0.0.1");
        assert_eq!(client(ClientIp::CfConnectingIp, &headers), "127.0.0.1");
    }

    #[test]
    fn only_listed_peers_are_believed() {
        let bind = "0.0.0.0:0".parse().unwrap();
        let peers = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let listener = Listener { peers, client_ip: ClientIp::CfConnectingIp, ..Listener::plain("x", bind) };
        let mut headers = HeaderMap::new();
        headers.append("cf-connecting-ip", "8.8.8.8".parse().unwrap());
        let client = |peer: &str| listener.client(peer.parse().unwrap(), &headers).to_string();
        assert_eq!(["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"].map(client), ["8.8.8.8"; 3]);
        assert_eq!(["11.0.0.1", "::1"].map(client), ["11.0.0.1", "::1"]);
    }
}
