//! Mail in, mail out.
//!
//! A mail is taken in at the [bridge](serve), stored and synced, read, judged, put into its
//! conversation, handed to the instance it is for, and answered from an outbox when its run has
//! ended. Every step is a row's change of state; what a process was doing when it died is found again
//! by those rows. [`Desk`] is what the operator does with all that.
//!
//! Decisions are pure functions (`recipient`, `admission`, `thread`, `text`, `state`, `backoff`); the
//! files beside them carry the decisions out.

mod address;
mod admission;
mod allowlist;
mod automated;
mod backoff;
mod bridge;
mod carry;
mod clock;
#[cfg(test)]
mod corpus;
mod desk;
mod dispatch;
mod dsn;
mod identity;
mod ingest;
mod intake;
mod letter;
mod lmtp;
mod markup;
mod message;
mod office;
mod outbound;
mod places;
mod prompt;
mod recipient;
mod reply;
mod routing;
mod scan;
mod serve;
mod settings;
mod state;
mod store;
mod subaddress;
mod submit;
mod text;
mod thread;
mod trust;
mod wake;
mod watch;
mod worker;

pub use address::{Address, Malformed};
pub use allowlist::{Allowlist, BadEntry, Entry, Strictness};
pub use automated::Class;
pub use clock::Clock;
pub use desk::{
    Answer, AutomationChange, Counts, Deleted, Desk, Error, Ingested, InitOptions, InitReport,
    InstanceStatus, Latest, LetterCounts, LetterSummary, Mail, MailFile, Queue, Retried, SendOptions, Sent,
    SmtpOptions, Source, Status, Step, Summary, Text,
};
pub use identity::{AddressMode, Identity};
pub use office::Error as StepError;
pub use places::{Error as PlacesError, Places};
pub use routing::probe::probe;
pub use routing::{Error as RoutingError, Model, Probe, ProbeClass, ProbeOptions, Routing, RoutingOptions};
pub use serve::{Error as ServeError, Options, PORT, Running, serve};
pub use settings::{
    Authority, Automation, DeliveryMode, Fate, Outbound, OutboundSummary, Policy, Provider, Seal, Security,
    SessionDefaults,
};
pub use state::{Inbound, Outgoing};
pub use store::Error as StoreError;
pub use trust::{Signature, Verdict, Word};
