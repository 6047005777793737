//! Whom limits take for one client.

use std::net::IpAddr;

/// What stands for a client: its address, or its network, for whoever has one IPv6 address has all of its
/// network (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

/// Returns the key of a client; `None` for this machine itself. A tunnel or a proxy here brings everybody in
/// under that address, where the listener is not told whom, and everybody is not one client.
#[must_use]
pub fn key(client: IpAddr) -> Option<Key> {
    let client = client.to_canonical();
    if client.is_loopback() {
        return None;
    }
    Some(match client {
        IpAddr::V4(ip) => Key(u128::from(ip.to_ipv6_mapped())),
        IpAddr::V6(ip) => Key(u128::from(ip) >> 64 << 64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_client_and_this_machine_is_none() {
        let key = |ip: &str| key(ip.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::2:3"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
        assert_eq!(["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"].map(key), [None; 4]);
    }
}
