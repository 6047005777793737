//! The chat server over real sockets, with shell scripts in the place of executors.

mod server {
    mod assistant_messages;
    mod bad_input;
    mod connector;
    mod fuzz_corpus;
    mod health;
    mod install;
    mod login;
    mod methods;
    mod pages;
    mod queue;
    mod request_log;
    mod tokens;
    mod tools;
    mod triggers;
    mod world;
}
