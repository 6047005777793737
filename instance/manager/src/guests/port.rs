//! Which port a new guest gets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

/// The lowest port of a guest, unless [`FIRST_SETTING`] says otherwise.
pub const FIRST: u16 = 7696;

/// The environment variable that moves the ports of new guests.
pub const FIRST_SETTING: &str = "REMOTELAB_GUEST_FIRST_PORT";

/// Ports of the product itself: admin page, owner, mailbox, host listener, front door, host router.
pub const PRODUCT: [u16; 6] = [7689, 7690, 7694, 7698, 7699, 7705];

/// Why there is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another instance or service has it.
    #[error("port {0} belongs to another instance or service")]
    Reserved(u16),
    /// Some program listens on it.
    #[error("port {0} is in use by another program")]
    InUse(u16),
    /// All are taken.
    #[error("no port from {0} to 65535 is free")]
    None(u16),
}

/// Chooses a port: the wanted one if it is free, else the lowest free one from `first` on.
///
/// # Errors
/// [`Error`], also when the wanted port is not free.
pub fn choose(
    wanted: Option<u16>,
    first: u16,
    reserved: &BTreeSet<u16>,
    is_free: impl Fn(u16) -> bool,
) -> Result<u16, Error> {
    match wanted {
        Some(port) if reserved.contains(&port) => Err(Error::Reserved(port)),
        Some(port) if !is_free(port) => Err(Error::InUse(port)),
        Some(port) => Ok(port),
        None => {
            let mut candidates = first..=u16::MAX;
            let port = candidates.find(|port| !reserved.contains(port) && is_free(*port));
            port.ok_or(Error::None(first))
        }
    }
}

/// Tells whether nothing listens on a port, by listening for a moment.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserved(ports: &[u16]) -> BTreeSet<u16> {
        PRODUCT.into_iter().chain(ports.iter().copied()).collect()
    }

    #[test]
    fn takes_the_lowest_free_port_and_never_a_product_port() {
        let free = |_| true;
        assert_eq!(choose(None, FIRST, &reserved(&[]), free), Ok(7696));
        assert_eq!(choose(None, FIRST, &reserved(&[7696]), free), Ok(7697));
        assert_eq!(choose(None, FIRST, &reserved(&[7696, 7697]), free), Ok(7700));
        assert_eq!(choose(None, FIRST, &reserved(&[]), |port| port > 7696), Ok(7697));
        assert_eq!(choose(None, FIRST, &reserved(&[]), |_| false), Err(Error::None(FIRST)));
    }

    #[test]
    fn a_wanted_port_is_given_or_refused() {
        assert_eq!(choose(Some(8000), FIRST, &reserved(&[]), |_| true), Ok(8000));
        assert_eq!(choose(Some(7699), FIRST, &reserved(&[]), |_| true), Err(Error::Reserved(7699)));
        assert_eq!(choose(Some(8000), FIRST, &reserved(&[8000]), |_| true), Err(Error::Reserved(8000)));
        assert_eq!(choose(Some(8000), FIRST, &reserved(&[]), |_| false), Err(Error::InUse(8000)));
    }

    #[test]
    fn listening_is_found_by_trying() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
    }
}
