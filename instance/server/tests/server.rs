//! The chat server over real sockets, with shell scripts in the place of executors.

mod server {
    mod assistant_messages;
    mod bad_input;
    mod connector;
    mod context;
    mod fuzz_corpus;
    mod health;
    mod install;
    mod login;
    mod methods;
    mod model;
    mod older_root;
    mod pages;
    mod process;
    mod queue;
    mod request_log;
    mod tokens;
    mod tools;
    mod triggers;
    mod turns;
    mod weaknesses_api;
    mod weaknesses_runtime;
    mod world;
}
