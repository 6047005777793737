//! Slowing down whoever guesses. Pure: the time is handed in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// How many clients are remembered; the longest silent are forgotten first.
const MAX_CLIENTS: usize = 10_000;

const FREE_FAILURES: u32 = 4;
const FIRST_LOCK_MS: i64 = 60_000;
const LONGEST_LOCK_MS: i64 = 900_000;

/// Failed sign-ins by client.
#[derive(Debug, Default)]
pub(crate) struct Lockout(HashMap<String, Client>);

#[derive(Debug, Default)]
struct Client {
    failures: u32,
    locked_until: i64,
    last_seen: i64,
}

impl Lockout {
    /// Tells whether a client must wait. Attempts while locked are not counted.
    pub(crate) fn is_locked(&self, client: &str, now_ms: i64) -> bool {
        self.0.get(&key(client)).is_some_and(|known| now_ms < known.locked_until)
    }

    /// Counts a failure; from the fifth on the client must wait, each time twice as long.
    pub(crate) fn failed(&mut self, client: &str, now_ms: i64) {
        let key = key(client);
        if self.0.len() >= MAX_CLIENTS && !self.0.contains_key(&key) {
            self.forget_one();
        }
        let known = self.0.entry(key).or_default();
        known.failures = known.failures.saturating_add(1);
        known.last_seen = now_ms;
        if known.failures > FREE_FAILURES {
            let doublings = (known.failures - FREE_FAILURES - 1).min(10);
            known.locked_until = now_ms + (FIRST_LOCK_MS << doublings).min(LONGEST_LOCK_MS);
        }
    }

    /// Forgets a client's failures.
    pub(crate) fn succeeded(&mut self, client: &str) {
        self.0.remove(&key(client));
    }

    fn forget_one(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, known)| known.last_seen).map(|(client, _)| client.clone());
        if let Some(oldest) = oldest {
            self.0.remove(&oldest);
        }
    }
}

/// Whoever has one IPv6 address has all of its network (RFC 6177), and must not have as many tries.
fn key(client: &str) -> String {
    match client.parse().map(|ip: IpAddr| ip.to_canonical()) {
        Ok(IpAddr::V6(ip)) => {
            let network = u128::from(ip) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Err(_) => client.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_follow_the_documented_table() {
        let mut lockout = Lockout::default();
        let mut now = 0;
        for expected_seconds in [0, 0, 0, 0, 60, 120, 240, 480, 900, 900] {
            lockout.failed("a", now);
            let locked = (0..=2_000).find(|seconds| !lockout.is_locked("a", now + seconds * 1_000)).unwrap();
            assert_eq!(locked, expected_seconds);
            now += locked * 1_000;
        }
        assert!(!lockout.is_locked("b", now));
        lockout.succeeded("a");
        lockout.failed("a", now);
        assert!(!lockout.is_locked("a", now));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let mut lockout = Lockout::default();
        for n in 0..5 {
            lockout.failed(&format!("2001:db8:1:2::{n}"), 0);
        }
        let locked =
            ["2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "10.0.0.1"].map(|ip| lockout.is_locked(ip, 1));
        assert_eq!(locked, [true, false, false]);
        for _ in 0..5 {
            lockout.failed("::ffff:10.0.0.1", 0);
        }
        assert!(lockout.is_locked("10.0.0.1", 1) && !lockout.is_locked("10.0.0.2", 1));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut lockout = Lockout::default();
        for n in 0..=MAX_CLIENTS {
            lockout.failed(&n.to_string(), i64::try_from(n).unwrap());
        }
        assert_eq!(lockout.0.len(), MAX_CLIENTS);
        assert!(!lockout.0.contains_key("0"));
    }
}
