//! Black-box tests: real processes, real browser, real executors.
//!
//! The library is the harness; the tests themselves are in `tests/blackbox/`. It knows RemoteLab
//! from outside alone: its command line, its HTTP surface, its files.

pub mod api;
pub mod browser;
pub mod email_worker;
pub mod executors;
pub mod http;
pub mod mail;
pub mod object_storage;
pub mod ports;
pub mod process;
pub mod smtp;
pub mod standin_model;
pub mod upstream;
pub mod wait;
pub mod world;
