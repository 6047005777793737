//! Free ports for programs that must be told theirs.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

/// Below the range from which the kernel takes ports by itself, so that no other connection of
/// the machine takes one between this choice and its use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

static HANDED_OUT: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listens on and that this process has not handed out before.
pub fn free() -> anyhow::Result<u16> {
    // Two test processes at once begin at different places.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let step = HANDED_OUT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free from {FIRST} on");
}
