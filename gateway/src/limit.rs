//! How much one client and one tenant may ask for. Pure: clocks and counters are handed in.

pub mod bandwidth;
pub mod client;
pub mod login;
pub mod rate;
pub mod table;
pub mod tenant;

pub use rate::Rate;
pub use tenant::Tenant;

/// Why something was refused that is otherwise in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A client asks too often.
    ClientRate,
    /// A client has too many connections.
    ClientConnections,
    /// A client has too many sockets open.
    ClientSockets,
    /// A client failed to sign in too often.
    Logins,
    /// A tenant is asked too often.
    TenantRate,
    /// A tenant has too many connections.
    TenantConnections,
    /// A tenant has too many sockets open.
    TenantSockets,
    /// A tenant works on too much at a time.
    TenantRequests,
}

impl Reason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::ClientRate,
        Self::ClientConnections,
        Self::ClientSockets,
        Self::Logins,
        Self::TenantRate,
        Self::TenantConnections,
        Self::TenantSockets,
        Self::TenantRequests,
    ];

    /// Its word in figures.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientRate => "client_rate",
            Self::ClientConnections => "client_connections",
            Self::ClientSockets => "client_sockets",
            Self::Logins => "logins",
            Self::TenantRate => "tenant_rate",
            Self::TenantConnections => "tenant_connections",
            Self::TenantSockets => "tenant_sockets",
            Self::TenantRequests => "tenant_requests",
        }
    }
}
