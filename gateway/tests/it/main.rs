//! The gateway between real sockets: toy instances behind it, raw and proper clients before it.

mod aborts;
mod access_log;
mod advisories;
mod bytes;
mod client;
mod compression;
mod crowd;
mod explain;
mod figures;
mod foreign;
mod forwarding;
mod fuzz_corpus;
mod hostile;
mod identity;
mod interim;
mod isolation;
mod isolation_holds;
mod lifecycle;
mod limits;
mod origins;
mod recorder;
mod reload;
mod shared_origin;
mod toy;
mod websockets;
mod world;
