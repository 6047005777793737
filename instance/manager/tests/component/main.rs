//! The manager with real processes, sockets and files.

mod cloudflare;
mod converge;
mod guests;
mod life;
mod operations;
mod sleep;
mod supervisor;
mod tunnel;
mod world;
