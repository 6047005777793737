//! The manager with real processes, sockets and files.

mod guests;
mod life;
mod operations;
mod supervisor;
mod world;
