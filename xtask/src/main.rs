//! `cargo xtask …`: one plain word for each job of a contributor.

fn main() {}
