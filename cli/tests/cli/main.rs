//! The real `remotelab` binary, as its users meet it.

mod converge;
mod documents;
mod gateway;
mod guests;
mod home;
mod more_verbs;
mod setup;
mod tokens;
mod tunnel;
mod up;
mod upkeep;
mod verbs;
