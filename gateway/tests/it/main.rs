//! The gateway between real sockets: toy instances behind it, raw and proper clients before it.

mod abort_times;
mod aborts;
mod access_log;
mod bytes;
mod client;
mod crowd;
mod explain;
mod figures;
mod forwarding;
mod fuzz_corpus;
mod hostile;
mod identity;
mod interim;
mod isolation;
mod lifecycle;
mod limits;
mod origins;
mod recorder;
mod reload;
mod shared_origin;
mod tls;
mod toy;
mod ways_in;
mod websockets;
mod world;
