//! The address by which other devices of the local network reach this machine.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Returns the private IPv4 address that this machine uses towards its network, if it has one.
///
/// Connecting a datagram socket only picks a route; nothing is sent.
#[must_use]
pub fn address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // A documentation address (RFC 5737): anything beyond the local network will do.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if is_local(ip) => Some(ip),
        _ => None,
    }
}

/// Tells whether an address belongs to a private or a shared (RFC 6598, Tailscale's) network.
fn is_local(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    ip.is_private() || (a == 100 && (64..128).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_and_shared_networks_are_local() {
        let local = |text: &str| is_local(text.parse().unwrap());
        assert!(local("192.168.1.7") && local("10.0.0.1") && local("100.101.1.1"));
        assert!(!local("127.0.0.1") && !local("100.1.1.1") && !local("203.0.113.9"));
    }
}
