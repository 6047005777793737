//! The gateway between real sockets: toy instances behind it, raw and proper clients before it.

mod aborts;
mod access_log;
mod bytes;
mod client;
mod crowd;
mod explain;
mod figures;
mod forwarding;
mod fuzz_corpus;
mod handover;
mod hostile;
mod identity;
mod isolation;
mod lifecycle;
mod limits;
mod overview;
mod recorder;
mod reload;
mod shared_origin;
mod toy;
mod waking;
mod websockets;
mod world;
