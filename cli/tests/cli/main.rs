//! The real `remotelab` binary, as its users meet it.

mod documents;
mod gateway;
mod guests;
mod home;
mod tokens;
mod up;
mod upkeep;
mod verbs;
