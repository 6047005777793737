//! The mail service against a chat server and a relay of the test's own.

mod answers;
mod carrying;
mod chat;
mod crash;
mod dns;
mod door;
mod formats;
mod fuzz_corpus;
mod inbound;
mod lanes;
mod lmtp;
mod path;
mod providers;
mod relay;
mod review;
mod routing;
mod tend;
mod token;
mod trouble;
mod trust;
mod world;
