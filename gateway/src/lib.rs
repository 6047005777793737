//! The front door: one gateway before every instance.
//!
//! What is decided about a request takes values, returns values and knows no sockets:
//!
//! | Question | Module |
//! |---|---|
//! | Where does a request end and the next one begin? | [`framing`] |
//! | Is the target plain, the host a host? | [`target`], [`host`] |
//! | Which routes are there, and which record is wrong? | [`route`] |
//! | Which instance, or which answer of our own? | [`decision`] |
//! | Who is the client, on this listener? | [`listener`] |
//! | Which headers and cookies cross, and as what? | [`headers`], [`cookie`], [`location`] |
//! | What of the bodies of others is changed, and what is packed? | [`foreign`], [`compression`], [`etag`] |
//! | Is this a WebSocket, and from a page of ours? | [`websocket`] |
//! | Is this from a page of another tenant? | [`guard`] |
//! | What of it may stand in a log? | [`redact`] |
//! | Where does the root lead a browser? | [`last_prefix`] |
//! | Is it too much, for one client or one tenant? | [`limit`] |
//!
//! The private `engine` moves bytes and keeps time around that, and is the only part that knows hyper.
//! A request never touches a file: routes and keys are read beside it and swapped as a whole.

pub mod compression;
pub mod cookie;
pub mod decision;
mod engine;
pub mod etag;
pub mod explain;
pub mod foreign;
pub mod framing;
pub mod gateway;
pub mod guard;
pub mod headers;
pub mod host;
pub mod last_prefix;
pub mod limit;
pub mod listener;
pub mod location;
pub mod redact;
pub mod request_id;
pub mod route;
pub mod settings;
pub mod target;
pub mod websocket;

pub use gateway::{Reloader, Running, start};
pub use settings::Settings;
