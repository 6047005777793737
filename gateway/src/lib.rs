//! The front door: one gateway before every instance.
//!
//! What is decided about a request (routing, headers, cookies, addresses) takes values and returns values
//! and knows no sockets. The engine around it moves bytes and keeps time.

pub mod cookie;
pub mod decision;
mod engine;
pub mod framing;
pub mod gateway;
pub mod headers;
pub mod host;
pub mod listener;
pub mod location;
pub mod request_id;
pub mod route;
pub mod settings;
pub mod target;
pub mod websocket;

pub use gateway::{Running, start};
pub use settings::Settings;
