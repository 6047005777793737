//! Where things live and what they are set to.
//!
//! The crate reads no environment of its own: a binary hands in [`Env`], everything below takes plain
//! values. It opens files, never sockets, and knows nothing of processes.

pub mod after_turn;
pub mod api_tokens;
pub mod atomic;
pub mod auth;
pub mod chat;
pub mod defaults;
pub mod env;
pub mod instance_id;
pub mod instance_name;
pub mod lock;
pub mod object_storage;
pub mod password;
pub mod paths;
pub mod registry;
pub mod run_tokens;
pub mod secret;
pub mod sleep;
pub mod vouch;

pub use env::Env;
pub use instance_name::InstanceName;
pub use paths::{InstancePaths, OwnerPaths};
