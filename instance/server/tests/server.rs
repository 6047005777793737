//! The chat server over real sockets, with shell scripts in the place of executors.

mod server {
    mod assets;
    mod assistant_messages;
    mod bad_input;
    mod connector;
    mod fuzz_corpus;
    mod login;
    mod pages;
    mod queue;
    mod results;
    mod tokens;
    mod tools;
    mod triggers;
    mod world;
}
