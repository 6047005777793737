//! The chat server of one instance: durable sessions, runs of executors, the HTTP surface and the
//! pages. The wire is told in `docs/external-message-protocol.md`, the way of a message through the
//! server in `docs/architecture.md`.

mod after;
mod api_log;
mod app;
mod assets;
mod assistant_message;
mod attachments;
mod auth;
mod body_memory;
mod build;
mod clock;
mod compaction;
mod context;
mod custom_tool;
mod delegate;
mod drop_tools;
mod family;
mod fork;
mod http;
mod hub;
mod models;
mod outside;
mod patch;
mod prompt;
#[doc(hidden)]
pub mod readers;
mod records;
mod recovery;
mod rendered;
mod reply;
mod results;
mod resume;
mod runs;
mod selection;
mod serve;
mod sessions;
mod settled;
mod sleep;
mod submit;
mod templates;
mod thread;
mod triggers;
pub mod web;
mod webhooks;

pub use serve::{Error, Server};
pub use sleep::Idle;
