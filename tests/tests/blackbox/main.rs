//! The black-box tests, one binary so that they link once.

mod aborts;
mod cookies;
mod crash;
mod executors;
mod files;
mod harness;
mod idle;
mod mail;
mod more_executors;
mod object_storage;
mod real_work;
mod triggers;
mod turns;
mod ui;
mod up;
mod walk;
