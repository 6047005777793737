//! Types that cross a process or a disk, and the rules about them that need neither.
//!
//! Nothing here opens a file or a socket or reads a clock: values in, values out. The wire contract is
//! told for connector authors in `docs/external-message-protocol.md`.

pub mod activity;
pub mod attachment;
pub mod context;
pub mod display;
pub mod event;
pub mod ids;
pub mod pending;
pub mod queue;
pub mod reply;
pub mod rest;
pub mod run;
pub mod session;
pub mod source;
pub mod task_card;
pub mod time;
pub mod title;
pub mod tool;
pub mod wire;

pub use activity::Activity;
pub use attachment::Attachment;
pub use context::Context;
pub use event::{Event, Kind, Role};
pub use ids::{AssetId, RunId, SessionId};
pub use run::{Run, RunState};
pub use session::Session;
