//! The black-box tests, one binary so that they link once.

mod aborts;
mod activation;
mod coming_and_going;
mod contained;
mod cookies;
mod crash;
mod crash_set;
mod email_worker;
mod executors;
mod files;
mod harness;
mod idle;
mod lockout;
mod mail;
mod more_executors;
mod object_storage;
mod real_work;
mod replay;
mod sleep;
mod triggers;
mod turns;
mod ui;
mod up;
mod upgrade;
mod walk;
mod websocket_fuzz;
