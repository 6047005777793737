//! The manager with real processes, sockets and files.

mod guests;
mod operations;
mod supervisor;
mod world;
