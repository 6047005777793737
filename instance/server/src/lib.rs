//! The chat server of one instance: durable sessions, runs of executors, the HTTP surface and the
//! pages. The wire is told in `docs/external-message-protocol.md`, the way of a message through the
//! server in `docs/architecture.md`.

mod app;
mod assets;
mod assistant_message;
mod attachments;
mod auth;
mod build;
mod clock;
mod context;
mod custom_tool;
mod delegate;
mod http;
mod hub;
mod models;
mod outside;
mod patch;
mod prompt;
mod recovery;
mod rendered;
mod results;
mod runs;
mod selection;
mod serve;
mod sessions;
mod submit;
mod thread;
mod triggers;
pub mod web;

pub use serve::{Error, Server};
