//! The chat server over real sockets, with shell scripts in the place of executors.

mod server {
    mod assistant_messages;
    mod bad_input;
    mod connector;
    mod fuzz_corpus;
    mod login;
    mod openapi;
    mod pages;
    mod paging;
    mod queue;
    mod runs;
    mod streams;
    mod tokens;
    mod tools;
    mod triggers;
    mod webhooks;
    mod world;
}
