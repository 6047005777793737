//! The black-box tests, one binary so that they link once.

mod cookies;
mod crash;
mod email_worker;
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
