//! Black-box tests: real processes, real browser, real executors.
//!
//! The library is the harness; the tests themselves are in `tests/blackbox/`. It knows RemoteLab
//! from outside alone: its command line, its HTTP surface, its files.

pub mod executors;
pub mod standin_model;
