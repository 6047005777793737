//! The files of one instance, crash-safe.
//!
//! Every change is a [`journal::Transaction`]: a list of file writes that is appended to a journal and synced,
//! and carried out a little later; until then [`journal::Files`] reads it from memory. A crash at any moment leaves either all of a change or nothing,
//! and what was acknowledged is there after the next [`Store::open`]. The documented layout of the
//! files is kept, so that older tools can read them; see `docs/architecture.md`, "Storage".

pub mod body;
pub mod damage;
pub mod handoffs;
pub mod history;
pub mod housekeeping;
pub mod journal;
pub mod logins;
pub mod requests;
pub mod runs;
pub mod session;

#[cfg(test)]
mod crash_tests;
mod index;
mod sessions;
mod store;
mod triggers;

pub use damage::Damage;
pub use journal::{Commit, Files, Journal, Transaction};
pub use session::{Draft, SessionCell};
pub use store::{Error, Inserted, Recovery, Store};
