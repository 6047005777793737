//! The `remotelab` binary: parse, build, run.

fn main() {}
