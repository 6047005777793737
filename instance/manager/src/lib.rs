//! Lifecycle of instances: the supervisor that keeps them running, the guests, and the links to them.
//!
//! [`supervisor`] runs processes, [`guests`] changes the registry and the files of guests by way of
//! [`operation`], [`control`] is how the second asks the first. Names, ports, host names and links are pure functions; processes,
//! sockets and files live one step out.

mod backup;
pub mod control;
pub mod definition;
pub mod doctor;
pub mod guests;
pub mod lan;
pub mod operation;
pub mod outside;
pub mod qr;
pub mod setup;
pub mod supervisor;
pub mod tunnel;
