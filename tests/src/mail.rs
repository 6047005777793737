//! Mail whose sender is proved: a name server of the test's own, and the signatures that it has keys for.

#[path = "../../mailbox/tests/component/dns.rs"]
#[expect(dead_code, reason = "the mailbox's own tests ask for more")]
mod dns;

/// A name server.
pub struct Names(dns::Dns);

impl Names {
    /// Starts one that knows the keys of these domains. It ends when it is dropped.
    #[must_use]
    pub fn of(domains: &[&str]) -> Self {
        let names = dns::Dns::start();
        domains.iter().for_each(|domain| names.key(domain));
        Self(names)
    }

    /// Its address, for `REMOTELAB_MAIL_RESOLVER`.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.addr.to_string()
    }

    /// Signs a mail for a domain.
    #[must_use]
    pub fn signed(&self, domain: &str, mail: &str) -> String {
        String::from_utf8_lossy(&dns::signed_by(domain, mail.as_bytes())).into_owned()
    }
}
