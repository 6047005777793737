//! Links to an instance, as text.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use remotelab_config::InstanceName;

/// Returns the link that logs in: the base with the token, the base alone without one, nothing without
/// a base.
#[must_use]
pub fn access(base: &str, token: Option<&str>) -> String {
    let base = base.trim_end_matches('/');
    match token {
        Some(token) if !base.is_empty() => format!("{base}/?token={token}"),
        _ => base.to_owned(),
    }
}

/// Returns the base of a port on this machine.
#[must_use]
pub fn local_base(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Returns the base of a host name, or nothing for none.
#[must_use]
pub fn public_base(hostname: &str) -> String {
    match hostname {
        "" => String::new(),
        hostname => format!("https://{hostname}"),
    }
}

/// Returns the base of a guest behind the local front door.
#[must_use]
pub fn gateway_base(door: SocketAddr, name: &InstanceName) -> String {
    let ip = match door.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/{name}", SocketAddr::new(ip, door.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_follow_the_base() {
        assert_eq!(access("https://a.b///", Some("ab")), "https://a.b/?token=ab");
        assert_eq!(access("https://a.b/x/", None), "https://a.b/x");
        assert_eq!(access("", Some("ab")), "");
        assert_eq!(public_base(""), "");
        let name = InstanceName::normalise("trial1").unwrap();
        let base = gateway_base("0.0.0.0:7699".parse().unwrap(), &name);
        assert_eq!(base, "http://127.0.0.1:7699/trial1");
    }
}
