//! The mailbox's own configuration files. Read anew at each use, so that a change takes effect at
//! once; keys we do not know survive a rewrite.

mod automation;
mod bridge;
mod outbound;
mod policy;

pub use automation::{Automation, DeliveryMode, SessionDefaults};
pub(crate) use bridge::{Adapter, Bridge, Listen, SigningKey, token_matches};
pub use outbound::{Outbound, OutboundSummary, Provider, Security};
pub use policy::{Authority, Fate, Policy, Seal};
