//! The mail service against a chat server and a relay of the test's own.

mod chat;
mod crash;
mod door;
mod fuzz_corpus;
mod path;
mod relay;
mod review;
mod token;
mod trouble;
mod world;
