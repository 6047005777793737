//! The manager with real processes, sockets and files.

mod guests;
mod supervisor;
mod world;
