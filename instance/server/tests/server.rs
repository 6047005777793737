//! The chat server over real sockets, with shell scripts in the place of executors.

mod server {
    mod assets;
    mod assistant_messages;
    mod bad_input;
    mod connector;
    mod context;
    mod delegation;
    mod examples;
    mod full_disk;
    mod fuzz_corpus;
    mod health;
    mod install;
    mod login;
    mod methods;
    mod model;
    mod older_root;
    mod openapi;
    mod pages;
    mod paging;
    mod process;
    mod queue;
    mod recovery;
    mod request_log;
    mod results;
    mod reuse;
    mod run_tokens;
    mod runs;
    mod sleep;
    mod slow_bodies;
    mod streams;
    mod surface;
    mod tokens;
    mod tools;
    mod triggers;
    mod turns;
    mod weaknesses_api;
    mod weaknesses_runtime;
    mod webhooks;
    mod world;
}
